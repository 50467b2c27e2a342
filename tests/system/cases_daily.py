"""The command's day: logs of earlier runs, what is said as it happens, help, the
programs that people use in a sandbox, and sandboxes in the sandbox.
"""
import fcntl
import grp
import hashlib
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import threading
import time

import gateway
import lab
import nspace
import servers
from cases_run import MACHINERY, Place, quiet
from trial import OURS, case

DAY = 24 * 3600
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def tool(t, name):
    """The program's path, or the case is skipped."""
    found = shutil.which(name, path=PATH)
    if not found:
        t.skip(f"no {name} on this machine")
    return found


# ---- logs of earlier runs -----------------------------------------------------------

class State:
    """The directory where runs keep their logs by themselves."""

    def __init__(self, t, place):
        self.t = t
        self.place = place
        self.path = place.path
        for part in (".local", "state", "sallyport"):
            self.path = os.path.join(self.path, part)
            os.mkdir(self.path, 0o700)
            place.own(self.path, 0o700)

    def log(self, number, days, *rest, size=0):
        """A log that was last written to so many days ago, and its segments; each of
        them of a size that takes no room."""
        name = f"20250101T000000Z-{number}.jsonl"
        for path in (name, *(name + r for r in rest)):
            path = os.path.join(self.path, path)
            with open(path, "w", encoding="ascii") as file:
                file.truncate(size)
            self.place.own(path, 0o600)
            when = time.time() - days * DAY
            os.utime(path, (when, when))
        return name

    def names(self):
        return set(os.listdir(self.path))

    def logs(self):
        return {n for n in self.names() if n.endswith(".jsonl")}

    def run(self, *options):
        code, _, err = self.place.run("run", "-q", *options, "-p",
                                      self.place.policy, "true")
        self.t.equal((code, err), (0, ""))


@case(quick=True, gateways=OURS)
def old_logs(t):
    """The oldest go; none that is in use, is fresh, is linked, is somebody's own, or is
    of another name."""
    place = t.keep(Place(t))
    state = State(t, place)
    old = state.log(1, 31, ".000000000001", ".000000000900", ".reserve")
    kept = {state.log(2, 29), state.log(3, 0)}
    used, linked = state.log(4, 60, ".000000000001"), state.log(5, 60)
    os.link(os.path.join(state.path, linked), os.path.join(state.path, "link"))
    target = place.write("target", "")
    symlink = "20250101T000000Z-6.jsonl"
    os.symlink(target, os.path.join(state.path, symlink))
    others = ["mine.jsonl", old + ".bak", "20250101T000000Z-.jsonl", "x" + old,
              "20250101T000000Z-8.jsonl2", "20250101T000000Z-9.jsonl.000000000001"]
    for name in others:
        path = os.path.join(state.path, name)
        with open(path, "w", encoding="ascii"):
            pass
        os.utime(path, (0, 0))
    os.symlink(target, os.path.join(state.path, old + ".000000000077"))
    kept |= {used, used + ".000000000001", linked, "link", symlink, *others,
             old + ".000000000077"}
    with open(os.path.join(state.path, used), "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        state.run("--keep", "3")
    left = state.names()
    t.equal(kept - left, set(), "removed, and should not be")
    t.equal({n for n in left if n.startswith(old)},
            {old + ".bak", old + ".000000000077"}, "the old one's")
    state.run("--keep", "1")
    left = state.names()
    t.check(used not in left, "in use no more, and old")
    t.check(kept & {state.log(3, 0)} <= left, "written to a moment ago")


@case(quick=True, gateways=OURS)
def lock_is_a_link(t):
    """What two that start at once agree by is a file of its own, or nothing goes."""
    place = t.keep(Place(t))
    state = State(t, place)
    target = place.write("target", "of value\n")
    lock = os.path.join(state.path, ".pruned")
    old = state.log(1, 40)
    for link in (os.link, os.symlink):
        link(target, lock)
        state.run("--keep", "1")
        with open(target, encoding="ascii") as file:
            t.equal(file.read(), "of value\n", link.__name__)
        t.check(old in state.names(), f"{link.__name__}: a log was removed by it")
        os.unlink(lock)
    with open(lock, "w", encoding="ascii") as file:
        place.own(lock, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        state.run("--keep", "1")
    t.check(old in state.names(), "another one was at it")
    state.run("--keep", "1")
    t.check(old not in state.names(), "nobody was at it")


@case(quick=True, gateways=OURS)
def many_logs(t):
    """A hundred with the one of this run, or as many as are wanted; and the oldest of
    more than a gigabyte, their segments counted, but never the newest."""
    place = t.keep(Place(t))
    state = State(t, place)
    logs = [state.log(i, 1 + i / 100) for i in range(120)]
    state.run("--keep", "all")
    t.equal(set(logs) - state.logs(), set(), "--keep all")
    state.run("--keep", "111")
    t.equal(state.logs() & set(logs), set(logs[:109]), "--keep 111")
    state.run()
    t.equal(len(state.logs()), 100, "by default")
    t.equal(state.logs() & set(logs), set(logs[:97]), "the newest")
    for sizes, left in (([2], 1), ([1, 2, 0], 1), ([0, 5], 1), ([1, 1, 1, 0], 2)):
        for name in state.names():
            os.unlink(os.path.join(state.path, name))
        logs = [state.log(i, 1 + i, ".000000000001", size=size << 28)
                for i, size in enumerate(sizes)]
        state.run()
        t.equal(state.logs() & set(logs), set(logs[:left]),
                f"{sizes} halves of a gigabyte")


@case(quick=True, gateways=OURS)
def two_at_once(t):
    """Runs that start beside each other, and one that goes on: each keeps its log."""
    place = t.keep(Place(t))
    state = State(t, place)
    old = [state.log(i, 2) for i in range(20)]
    runs = [threading.Thread(target=state.run, args=("--keep", "1"))
            for _ in range(6)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    left = state.logs()
    t.equal(left & set(old), set(), "old ones")
    t.equal(len(left), 6, "logs of those six")
    for name in left:
        with open(os.path.join(state.path, name), encoding="ascii") as file:
            t.check("daemon.stop" in file.read(), f"{name}: not whole")


@case(quick=True, gateways=OURS)
def keep_words(t):
    """--keep and --guest say what they want."""
    place = t.keep(Place(t))
    for argv, words in ((["--keep", "0"], "a number of logs"),
                        (["--keep", "-1"], "a number of logs"),
                        (["--keep", "1x"], "a number of logs"),
                        (["--keep", "9999999"], "a number of logs"),
                        (["--keep", "3", "--audit", "x/log"], "--audit"),
                        (["--guest", ""], "a name of 1 to 63"),
                        (["--guest", "-x"], "a name of 1 to 63"),
                        (["--guest", "a b"], "a name of 1 to 63"),
                        (["--guest", "a\nb"], "a name of 1 to 63"),
                        (["--guest", "x" * 64], "a name of 1 to 63")):
        code, _, err = place.run("run", "-p", place.policy, *argv, "true")
        t.check(code == MACHINERY and words in err, f"{argv}: {code} {err!r}")


@case(quick=True, gateways=OURS)
def log_has_a_name(t):
    place = t.keep(Place(t))
    os.mkdir(os.path.join(place.path, "logs"), 0o700)
    place.own(os.path.join(place.path, "logs"), 0o700)
    for name, words in (("logs", "a directory"), ("-", "standard output")):
        code, _, err = place.run("run", "-p", place.policy, "--audit", name, "true")
        t.check(code == MACHINERY and words in err and err.count("\n") == 1, err)
    t.check(not os.path.exists(os.path.join(place.path, "-.d")), "a log named -")


@case(quick=True, gateways=OURS)
def who_it_was(t):
    """The log says who started what by which policy; --no-command leaves that out."""
    place = t.keep(Place(t))
    os.mkdir(os.path.join(place.path, "logs"), 0o700)
    place.own(os.path.join(place.path, "logs"), 0o700)
    with open(place.policy, "rb") as file:
        text = hashlib.sha256(file.read()).hexdigest()
    long = "x" * 300
    for number, (options, argv, cmd, cut) in enumerate((
            ([], ["true"], ["true"], False),
            (["--guest", "build-7.a_b"], ["sh", "-c", ": \"$1\"", "--", "a b\n\xff", ""],
             ["sh", "-c", ': "$1"', "--", "a b\n\xc3\xbf", ""], False),
            ([], ["true", long], ["true", "x" * 250], True),
            ([], ["true", *["y"] * 200], ["true", *["y"] * 125], True),
            (["--no-command"], ["true", "--token=secret"], None, False))):
        log = os.path.join("logs", str(number))
        code, _, err = place.run("run", "-q", "-p", "policy.conf", "--audit", log,
                                 *options, *argv)
        t.equal((code, err), (0, ""))
        with open(os.path.join(place.path, log), encoding="ascii") as file:
            lines = file.read()
        records = {r["type"]: r for r in map(json.loads, lines.splitlines())}
        start, load = records["daemon.start"], records["policy.load"]
        t.equal((start.get("cmd"), start.get("cmd_cut", False)), (cmd, cut))
        t.check("secret" not in lines, "a secret")
        t.equal(start["uid"], t.lab.uid if t.lab.user else os.getuid())
        t.check(start["pid"] > 1 and start["version"][0].isdigit(), start)
        t.equal((load["policy"], load["pol_text"]), (place.policy, text))
        t.equal(records["guest.attach"]["guest"],
                options[1] if "--guest" in options else "run")


# ---- what is said -----------------------------------------------------------------------

ASKS = """
import socket, sys, time
def tcp(where, port):
    try:
        socket.create_connection((where, port), 5).close()
    except OSError:
        pass
tcp("203.0.114.10", 26)
tcp("10.9.9.9", 80)
with socket.create_connection(("203.0.114.10", int(sys.argv[2])), 5) as s:
    s.sendall(b"GET / HTTP/1.1\\r\\nHost: bad.example\\r\\n\\r\\n")
    try:
        s.recv(1)
    except OSError:
        pass
try:
    socket.getaddrinfo("evil.example", 443)
except OSError:
    pass
for i in range(int(sys.argv[1])):
    tcp("203.0.114.10", 26)
"""


@case(quick=True, gateways=OURS)
def denials_told(t):
    """-v: each denial as it happens, and no more than a terminal can take."""
    place = t.keep(Place(t))
    port = t.serve(servers.echo).port
    place.policy = place.write("policy.conf", gateway.policy_text(
        'allow to name "good.example" port tcp 443\n'
        f'allow to net {lab.LIVE4} port tcp {port}\n'
        f'deny to name "bad.example" port tcp {port}\n'
        f'deny to net {lab.LIVE4} port tcp 26 label "mail"\n'))
    for count in (0, 300):
        argv = quiet(place)
        argv[1:2] = ["-q", "-v"]
        code, _, err = place.run(*argv, "python3", "-I", "-S", "-c", ASKS,
                                 str(count), str(port))
        t.equal(code, 0, err)
        for words in (f"denied: tcp {lab.LIVE4}:26 (deny-rule), ",
                      "denied: tcp 10.9.9.9:80 (floor-special)",
                      f'denied: tcp {lab.LIVE4}:{port} "bad.example" '
                      "(deny-rule), ",
                      'denied: name "evil.example" (name-not-allowed)'):
            t.check(words in err, f"no {words!r} in {err!r}")
        for words in ("hint: deny-rule: the deny at the place told",
                      "hint: floor-special: besides an allow it needs: "
                      "floor except net ADDRESS",
                      'hint: name-not-allowed: to allow it, write: '
                      'allow to name "NAME" port tcp N'):
            t.equal(err.count(words), 1, f"{words!r} in {err!r}")
        t.check(err.count("denied: ") < 200, f"{err.count('denied: ')} lines")
    _, _, err = place.run(*quiet(place), "python3", "-I", "-S", "-c", ASKS, "0",
                          str(port))
    t.equal(err, "", "without -v")
    argv = [word for word in quiet(place) if word != "-q"]
    _, _, err = place.run(*argv, "python3", "-I", "-S", "-c", ASKS, "300", str(port))
    lines = [line for line in err.splitlines() if "denied" in line]
    t.equal(len(lines), 4, f"three reasons, and the last line: {err}")
    t.check(lines[0].startswith("sallyport: 30") and " denied, deny-rule: the deny at "
            "the place told" in lines[0], lines[0])
    t.check("flows: " in lines[3], lines[3])
    counts = [int(line.split()[1]) for line in lines[:3]]
    t.equal(counts, sorted(counts, reverse=True), "the most first")
    t.check(sum(counts) <= int(lines[3].split(", ")[1].split()[0]), err)


@case(quick=True, gateways=OURS)
def help_and_cmd(t):
    """Help is had among other options, too; after CMD it is CMD's. (tests/help.py
    looks at what it says.)"""
    place = t.keep(Place(t))
    t.equal(place.run("run", "-p", "x", "--help")[:2], place.run("help", "run")[:2])
    t.equal(place.run("serve", "-q", "-h")[:2], place.run("help", "serve")[:2])
    _, out, _ = place.run(*quiet(place), "echo", "-h")
    t.equal(out, b"-h\n")


# ---- users, chroots, signals ------------------------------------------------------------

@case(quick=True, gateways=OURS)
def user_by_number(t):
    """--user takes a number, whether or not it has a name."""
    place = t.keep(Place(t))
    head = quiet(place)[:-1]
    if t.lab.user:
        code, _, err = place.run(*head, "--user", "4242", "true")
        t.check(code == MACHINERY and "only root" in err, err)
        t.equal(place.run(*head, "--user", str(t.lab.uid), "true")[0], 0, "itself")
        return
    for who, wanted in (("4242", b"4242 4242 4242 /\n"),
                        ("65534", b"65534 65534 65534 /nonexistent\n")):
        code, out, err = place.run(*head, "--user", who, "sh", "-c",
                                   "echo $(id -u) $(id -g) $(id -G) $HOME; "
                                   "grep -q nameserver /etc/resolv.conf")
        t.equal((code, out, err), (0, wanted, ""), who)
    for who in ("4294967295", "99999999999999999999", "-1", "4242x", ""):
        code, _, err = place.run(*head, "--user", who, "true")
        t.check(code == MACHINERY and "no such user" in err, f"{who}: {err}")
    # a group that means something (shadow, docker) is not got by guessing its number
    users = {u.pw_uid for u in pwd.getpwall()}
    group = next((g for g in grp.getgrall() if g.gr_gid not in users), None)
    if group is None:
        return
    code, out, err = place.run(*head, "--user", str(group.gr_gid), "id", "-g")
    t.check((code, out) == (MACHINERY, b"") and group.gr_name in err, (code, out, err))


@case(quick=True, gateways=OURS, root=True)
def chroot_is_named(t):
    """No namespace in a chroot: that is the kernel's word, and is said so."""
    place = t.keep(Place(t))
    os.chmod(place.path, 0o755)
    for mounted in (False, True):
        root = os.path.join(place.path, f"root{mounted:d}")
        os.mkdir(root)
        try:
            if mounted:
                nspace.mount("/", root, "none", nspace.MS_BIND | nspace.MS_REC)
            else:
                for name in ("usr", "bin", "lib", "lib64", "sbin", "etc", "proc",
                             "dev", t.lab.scratch[1:]):
                    if os.path.islink("/" + name):
                        os.symlink(os.readlink("/" + name), f"{root}/{name}")
                    elif os.path.isdir("/" + name):
                        os.makedirs(f"{root}/{name}")
                        nspace.mount("/" + name, f"{root}/{name}", "none",
                                     nspace.MS_BIND | nspace.MS_REC)
            done = subprocess.run(
                ["chroot", root, os.path.join(t.bindir, "sallyport"), "run", "-q",
                 "-p", place.policy, "--audit", os.path.join(place.path, "log"),
                 "true"], capture_output=True, timeout=20, check=False,
                env={"PATH": PATH, "HOME": place.path})
            t.equal(done.returncode, MACHINERY, done.stderr)
            t.check(b"in a chroot" in done.stderr and b"sysctl" not in done.stderr,
                    done.stderr)
        finally:
            with open("/proc/self/mountinfo", encoding="utf-8") as file:
                under = [line.split()[4] for line in file]
            for path in reversed([p for p in under if p.startswith(root)]):
                nspace.umount(path)


@case(quick=True, gateways=("sallyport",))
def serve_ended_early(t):
    """SIGTERM at any time after the socket is there is an end in order."""
    place = t.keep(Place(t))
    path = os.path.join(place.path, "sock")
    for step in range(t.scale(30, 10)):
        process = subprocess.Popen(
            [*t.lab.as_user(), os.path.join(t.bindir, "sallyport"), "serve", "-q",
             "-p", place.policy, "--audit", os.path.join(place.path, f"log{step}"),
             "--stream", path], stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        if not lab.wait_until(lambda: os.path.exists(path), 5, 0.0002):
            t.fail("no socket")
        time.sleep(step * 0.02 / t.scale(30, 10))
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
        t.equal((process.returncode, err), (0, b""), f"step {step}")
        t.check(not os.path.exists(path), "the socket is left")
