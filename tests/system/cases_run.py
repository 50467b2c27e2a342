"""`sallyport run` as a command: what it does for CMD, to CMD, and when it is
called wrongly.
"""
import os
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import time

import audit
import gateway
import lab
import names_lab
import servers
from trial import OURS, Failure, case

ROOT_WARNING = re.compile(r"sallyport: CMD is root for files[^\n]*\n")
MACHINERY, NOT_EXECUTABLE, NOT_FOUND, USAGE = 125, 126, 127, 64
ROOT_CAPS = 0x800405ff          # src/cli/identity.c's list


class Place:
    """A directory of the gateway's user, with files for it."""

    def __init__(self, t):
        self.t = t
        self.path = t.lab.directory("place")
        self.policy = self.write("policy.conf", gateway.policy_text())

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.path, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        self.own(path, mode)
        return path

    def own(self, path, mode):
        os.chmod(path, mode)
        if self.t.lab.root and self.t.lab.user:
            os.chown(path, self.t.lab.uid, self.t.lab.uid)

    def close(self):
        shutil.rmtree(self.path)

    def run(self, *args, prefix=(), timeout=20, **more):
        """[status, stdout, stderr] of `sallyport ARGS`."""
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.path}
        done = subprocess.run(
            [*prefix, *self.t.lab.as_user(),
             os.path.join(self.t.bindir, "sallyport"), *args],
            stdin=more.pop("stdin", subprocess.DEVNULL), capture_output=True,
            timeout=timeout, cwd=self.path, env=env, check=False, **more)
        err = done.stderr.decode("utf-8", "replace")
        if not self.t.lab.user:
            err = ROOT_WARNING.sub("", err)
        return done.returncode, done.stdout, err

    def status(self, *args, stderr, timeout=20):
        """The status alone; its messages go to a descriptor."""
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.path}
        return subprocess.run(
            [*self.t.lab.as_user(), os.path.join(self.t.bindir, "sallyport"),
             *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=stderr, timeout=timeout, cwd=self.path, env=env,
            check=False).returncode


# ---- called wrongly ----------------------------------------------------------

def expect(t, place, status, pattern, *args, lines=1, **more):
    """One row: exit status, one message that matches, nothing left behind."""
    before = set(lab.processes())
    code, out, err = place.run(*args, **more)
    row = " ".join(str(a) for a in args)[:60]
    said = [line for line in err.splitlines() if line.strip()]
    t.equal(code, status, f"`{row}` (it said {err.strip()[-300:]!r})")
    if lines and len(said) != lines:
        raise Failure(f"`{row}`: {len(said)} lines on stderr, not {lines}: "
                      f"{said[:4]}")
    if not re.search(pattern, err):
        raise Failure(f"`{row}`: no /{pattern}/ in {err.strip()[-300:]!r}")
    t.equal(out, b"", f"`{row}`: stdout")
    left = lab.wait_until(lambda: not set(lab.processes()) - before, 2)
    t.check(left, f"`{row}`: processes left")


@case(quick=True, gateways=OURS)
def bad_options(t):
    place = t.keep(Place(t))
    policy = ["-p", place.policy]
    for status, pattern, args in (
            (MACHINERY, "--bogus", ["run", "--bogus", "--", "true"]),
            (MACHINERY, "-X", ["run", "-X", "--", "true"]),
            (MACHINERY, "CMD", ["run", *policy]),
            (MACHINERY, "CMD", ["run", *policy, "--"]),
            (MACHINERY, "-p", ["run", "-p"]),
            (MACHINERY, "mtu", ["run", *policy, "--mtu", "1", "true"]),
            (MACHINERY, "mtu", ["run", *policy, "--mtu", "1279", "true"]),
            (MACHINERY, "mtu", ["run", *policy, "--mtu", "65521", "true"]),
            (MACHINERY, "mtu", ["run", *policy, "--mtu", "x", "true"]),
            (MACHINERY, "mtu", ["run", *policy, "--mtu", "1500x", "true"]),
            (MACHINERY, "mtu", ["run", *policy, "--mtu", "-1", "true"]),
            (MACHINERY, "mtu",
             ["run", *policy, "--mtu", "18446744073709553116", "true"]),
            (MACHINERY, "-4", ["run", *policy, "-4", "-6", "true"]),
            (MACHINERY, "nobody-has-this",
             ["run", *policy, "--tenant", "nobody-has-this", "true"]),
            (MACHINERY, "tenant",
             ["run", *policy, "--tenant", "t" * 100, "true"]),
            (USAGE, "bogus", ["bogus"]),
            (USAGE, "check", ["check"]),
            (USAGE, "stream", ["serve", *policy])):
        expect(t, place, status, pattern, *args)
    # It is called in three ways, and says all of them.
    expect(t, place, USAGE, "explain", "explain", place.policy, lines=3)


@case(quick=True, gateways=OURS)
def bad_commands(t):
    place = t.keep(Place(t))
    place.write("script", "#!/bin/sh\nexit 0\n", 0o644)
    head = ["run", "-q", "-p", place.policy, "--audit",
            os.path.join(place.path, "log"), "--"]
    for status, pattern, command in (
            (NOT_FOUND, "no-such-command", "no-such-command"),
            (NOT_FOUND, "no/such/file", "/no/such/file"),
            (NOT_EXECUTABLE, "script", os.path.join(place.path, "script")),
            (NOT_EXECUTABLE, place.path, place.path)):
        expect(t, place, status, pattern, *head, command)


@case(gateways=OURS, root=True)
def file_capabilities(t):
    """A program with some in its file, as Debian's ping(8), runs without them."""
    place = t.keep(Place(t))
    path = os.path.join(place.path, "capable")
    shutil.copy("/bin/cat", path)
    net_raw = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
    os.setxattr(path, "security.capability", net_raw)
    code, out, err = place.run(*quiet(place), path, "/proc/self/status")
    t.equal((code, err), (0, ""))
    had = re.search(r"CapPrm:\s*([0-9a-f]+)", out.decode()).group(1)
    t.equal(int(had, 16), 0 if t.lab.user else ROOT_CAPS, "permitted")


@case(quick=True, gateways=OURS)
def closed_directory_in_path(t):
    """It is no reason to say that a command cannot be run."""
    place = t.keep(Place(t))
    closed = os.path.join(place.path, "closed")
    os.mkdir(closed, 0o000)
    code, _, err = place.run(
        *quiet(place), "no-such-command",
        prefix=["env", f"PATH={closed}:/usr/bin:/bin"])
    os.chmod(closed, 0o700)
    t.equal(code, NOT_FOUND, f"exit status ({err!r})")


@case(quick=True, gateways=OURS)
def bad_policies(t):
    """Each is refused before anything starts, also where it could hang."""
    place = t.keep(Place(t))
    good = gateway.policy_text()
    os.mkfifo(os.path.join(place.path, "fifo"))
    os.mkdir(os.path.join(place.path, "directory"))
    os.symlink(place.policy, os.path.join(place.path, "link"))
    place.write("writable", good, 0o666)
    place.write("group", good, 0o664)
    place.write("loop", 'policy version 1\ninclude "'
                + os.path.join(place.path, "loop") + '"\n')
    place.write("long", "policy version 1\n" + "# nothing\n" * 9998
                + "allow frobnicate\n")
    place.write("empty", "")
    place.write("binary", "policy version 1\n\0\1\2\n")
    place.write("version", "policy version 2\n")
    place.write("suffix", policy_with('allow to name "*.co.uk" port tcp 443'))
    place.write("portless", policy_with('allow to name "example.com"'))
    place.write("notname", policy_with('allow to name "1.2.3.4" port tcp 1'))
    place.write("nothing", policy_with(""))
    rows = [("missing", "missing"), ("fifo", "fifo"),
            ("directory", "directory"), ("writable", "writable"),
            ("group", "group"), ("loop", "loop"), ("long", r"long:10000:"),
            ("empty", r"empty"), ("binary", r"binary:2:"),
            ("version", r"version:1:"),
            ("suffix", "suffix"), ("portless", "port"),
            ("notname", "1.2.3.4")]
    if t.lab.user:
        place.write("secret", good, 0o000)
        rows.append(("secret", "secret"))
    for name, pattern in rows:
        path = os.path.join(place.path, name)
        expect(t, place, MACHINERY, pattern, "run", "-p", path, "true",
               lines=0)


def policy_with(rule):
    return ("policy version 1\nfloor builtin\ndefault deny\n"
            f"tenant t {{\n    {rule}\n}}\n")


@case(quick=True, gateways=OURS)
def several_errors_at_once(t):
    """Every error is told in one go, each with its place."""
    place = t.keep(Place(t))
    path = place.write("many", policy_with(
        'allow to net 10.0.0.1/8 port tcp 80\n    allow to nett 1.2.3.4\n'
        '    allow to net 1.2.3.4 port tcp 70000'))
    code, _, err = place.run("check", path)
    t.equal(code, 1, "exit status")
    for line in (5, 6, 7):
        t.check(re.search(rf"many:{line}:\d+: ", err),
                f"no error for line {line}: {err}")


@case(quick=True, gateways=OURS)
def check_and_explain(t):
    place = t.keep(Place(t))
    t.equal(place.run("check", place.policy)[0], 0, "check")
    for target, word in (("203.0.114.10:80", "allow"),
                         ("8.8.8.8:80", "default-deny"),
                         ("169.254.169.254:80", "floor-metadata"),
                         ("[2600:1f00::10]:80", "allow")):
        code, out, err = place.run("explain", place.policy, "t", "tcp", target)
        text = out.decode()
        t.check(word in text, f"{target}: no {word} in {text!r} {err!r}")
        if word == "allow":
            t.equal(code, 0, target)
            t.check(re.search(r"policy.conf:\d+", text),
                    f"{target}: no deciding line in {text!r}")


@case(quick=True, gateways=OURS)
def bad_log(t):
    place = t.keep(Place(t))
    os.mkdir(os.path.join(place.path, "directory"))
    os.mkfifo(os.path.join(place.path, "fifo"))
    target = place.write("target", "")
    os.symlink(target, os.path.join(place.path, "link"))
    os.symlink("nowhere", os.path.join(place.path, "loose"))
    twice = place.write("twice", "")
    os.link(twice, os.path.join(place.path, "again"))
    rows = ["/no/such/directory/log", os.path.join(place.path, "directory"),
            os.path.join(place.path, "fifo"), "/proc/self/status"]
    rows += [os.path.join(place.path, name)
             for name in ("link", "loose", "twice", "again")]
    if t.lab.user:
        rows.append("/etc/sallyport-test-log")
    for path in rows:
        expect(t, place, MACHINERY, re.escape(path), "run", "-p",
               place.policy, "--audit", path, "true")
    expect(t, place, MACHINERY, "--audit", "run", "-p", place.policy,
           "--audit", "", "true")


@case(quick=True, gateways=OURS)
def log_of_another(t):
    """The second writer of a log is turned away at once, with one message."""
    place = t.keep(Place(t))
    first = subprocess.Popen(
        [*t.lab.as_user(), os.path.join(t.bindir, "sallyport"), *quiet(place),
         "sh", "-c", "echo up; exec sleep 100"], stdout=subprocess.PIPE,
        cwd=place.path)
    try:
        t.equal(first.stdout.readline(), b"up\n")
        start = time.monotonic()
        code, _, err = place.run(*quiet(place), "true")
        t.equal(code, MACHINERY, f"exit status ({err!r})")
        t.equal(len(err.splitlines()), 1, f"lines of {err!r}")
        t.check("another Sallyport" in err, f"it said {err!r}")
        t.check(time.monotonic() - start < 3, "it took its time")
    finally:
        first.terminate()
        first.communicate(timeout=10)


@case(quick=True, gateways=OURS)
def without_tun(t):
    place = t.keep(Place(t))
    log = os.path.join(place.path, "log")
    expect(t, place, MACHINERY, "/dev/net/tun", "run", "-p", place.policy,
           "--audit", log, "true", prefix=[
               "unshare", "-m", "sh", "-c",
               'mount -t tmpfs none /dev/net && exec "$@"', "sh"])


@case(quick=True, gateways=OURS)
def without_user_namespaces(t):
    """The limit is set in a user namespace of its own, not on the machine."""
    place = t.keep(Place(t))
    log = os.path.join(place.path, "log")
    prefix = ["unshare", "--user", "--map-root-user", "sh", "-c",
              'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"', "sh"]
    code = subprocess.run([*prefix, "true"], check=False).returncode
    if code != 0:
        t.skip("the limit cannot be lowered here")
    if t.lab.user and t.lab.root:
        # Inside such a namespace only the mapped uid exists: become it first.
        prefix = [*t.lab.as_user(), *prefix]
    done = subprocess.run(
        [*prefix, os.path.join(t.bindir, "sallyport"), "run", "-p",
         place.policy, "--audit", log, "true"], capture_output=True,
        timeout=20, cwd=place.path, check=False)
    err = done.stderr.decode()
    t.equal(done.returncode, MACHINERY, f"exit status ({err!r})")
    t.check(re.search("user namespaces|max_user_namespaces", err),
            f"it said {err!r}")


# ---- exit status, stdio ----------------------------------------------------------

def quiet(place):
    return ["run", "-q", "-p", place.policy, "--audit",
            os.path.join(place.path, "log"), "--"]


@case(quick=True, gateways=OURS)
def exit_statuses(t):
    place = t.keep(Place(t))
    for command, status in (("exit 0", 0), ("exit 7", 7), ("exit 255", 255),
                            ("kill -TERM $$", 143), ("kill -KILL $$", 137),
                            ("kill -SEGV $$", 139)):
        code, out, err = place.run(*quiet(place), "sh", "-c", command)
        t.equal((code, out, err), (status, b"", ""), command)


@case(quick=True, gateways=OURS)
def stdio_is_untouched(t):
    place = t.keep(Place(t))
    data = servers.BLOCK * 8
    path = place.write("input", "")
    with open(path, "wb") as file:
        file.write(data)
    with open(path, "rb") as file:
        code, out, err = place.run(*quiet(place), "cat", stdin=file)
    t.equal((code, err), (0, ""))
    t.check(out == data, f"{len(out)} bytes came out of {len(data)}")
    code, out, err = place.run(*quiet(place), "sh", "-c", "echo x >&2")
    t.equal((code, out, err), (0, b"", "x\n"))


@case(quick=True, gateways=OURS)
def summary_line(t):
    """Without -q: one line at the end, and the log's path."""
    place = t.keep(Place(t))
    log = os.path.join(place.path, "log")
    code, out, err = place.run("run", "-p", place.policy, "--audit", log,
                               "true")
    t.equal((code, out), (0, b""))
    t.check(log in err, f"the log's path is not in {err!r}")
    t.check(len(err.splitlines()) <= 2, f"it said {err!r}")


@case(quick=True, gateways=OURS)
def default_log(t):
    """Without --audit: a file of the user's state directory."""
    place = t.keep(Place(t))
    code, _, err = place.run("run", "-p", place.policy, "true")
    t.equal(code, 0, f"exit status ({err!r})")
    found = os.listdir(os.path.join(place.path, ".local/state/sallyport"))
    found = [name for name in found if name != ".pruned"]
    t.check(len(found) == 1 and found[0].endswith(".jsonl"), f"{found}")
    t.check(found[0] in err, f"{found[0]} is not in {err!r}")


@case(quick=True, gateways=OURS)
def orphans_die(t):
    """What CMD leaves running ends with it, also in a session of its own."""
    place = t.keep(Place(t))
    start = time.monotonic()
    code, _, err = place.run(
        *quiet(place), "sh", "-c",
        "sleep 300 & setsid sleep 301 & (trap '' TERM HUP; sleep 302) & true")
    t.equal((code, err), (0, ""))
    t.check(time.monotonic() - start < 5, "it waited for them")
    left = [p for p in lab.processes() if lab.program(p) == "sleep"]
    t.equal(left, [], "sleepers")


@case(quick=True, gateways=OURS)
def only_one_family(t):
    server = t.serve(servers.greet(b"x"))
    for option, good, bad in (("-4", lab.LIVE4, lab.LIVE6),
                              ("-6", lab.LIVE6, lab.LIVE4)):
        with t.guest(args=[option]) as guest:
            t.equal(guest.call("connect", good, server.port)[0], "ok", good)
            t.equal(guest.call("connect", bad, server.port)[0], "ENETUNREACH",
                    bad)


# ---- what CMD is -------------------------------------------------------------------

@case(quick=True, gateways=OURS)
def cmd_is_confined(t):
    """No capability but root's few, no way to gain one, nobody else's process, 3
    fds."""
    with t.guest() as guest:
        facts = guest.call("facts")
        t.equal(facts["uid"], lab.USER_ID if t.lab.user else 0, "uid")
        for name in ("cap", "bnd"):
            t.equal(int(facts[name], 16), 0 if t.lab.user else ROOT_CAPS, name)
        t.equal(facts["nnp"], "1", "NoNewPrivs")
        t.equal(facts["seccomp"], "2", "Seccomp")
        t.check(len(facts["fds"]) <= 4, f"fds {facts['fds']}")
        t.check(len(facts["processes"]) <= 3, f"sees {facts['processes']}")
        t.check(facts["pid"] == 2, f"pid {facts['pid']}")
        t.equal(facts["interfaces"], ["eth0", "lo"], "interfaces")
        t.equal(facts["mtu"]["eth0"], 65520, "MTU")
        t.check(gateway.GATEWAY4 in facts["resolv"], facts["resolv"])
        for fam, kind, proto, wanted in (
                (socket.AF_UNIX, socket.SOCK_STREAM, 0, "ok"),
                (socket.AF_INET, socket.SOCK_STREAM, 0, "ok"),
                (socket.AF_NETLINK, socket.SOCK_RAW, 0, "ok"),
                (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP,
                 "EPERM"),
                (socket.AF_PACKET, socket.SOCK_RAW, 0, "EPERM"),
                (40, socket.SOCK_STREAM, 0, "EPERM"),       # AF_VSOCK
                (38, socket.SOCK_SEQPACKET, 0, "EPERM")):   # AF_ALG
            t.equal(guest.call("try_socket", fam, kind, proto), wanted,
                    f"family {fam}")
        log = os.path.dirname(t.gateway.log)
        shown = guest.call("listing", log)
        t.check(shown in ([], "EACCES", "ENOENT", "EPERM"),
                f"the log's directory shows {shown}")
        t.equal(guest.call("try_write", "/proc/sys/net/ipv4/ip_forward"),
                "EACCES" if t.lab.user else "EROFS", "/proc/sys")


@case(quick=True, gateways=OURS)
def ways_out_are_hidden(t):
    """Sockets of programs outside, where the environment says they are."""
    place = t.keep(Place(t))
    runtime = os.path.join(place.path, "runtime")
    os.mkdir(runtime)
    place.own(runtime, 0o700)
    path = os.path.join(place.path, "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        place.own(path, 0o600)
        for variable in (f"TMUX={path},1,0", f"DOCKER_HOST=unix://{path}",
                         f"DBUS_SESSION_BUS_ADDRESS=unix:path={path},guid=1"):
            code, _, err = place.run(*quiet(place), "test", "-S", path,
                                     prefix=["env", variable])
            t.check(code == 1 and "makes it anew" in err, f"{variable}: {err!r}")
    os.mkdir(os.path.join(runtime, "deep"))
    place.own(os.path.join(runtime, "deep"), 0o700)
    code, out, err = place.run(
        *quiet(place), "pwd", prefix=[
            "env", "-C", runtime + "/deep", f"XDG_RUNTIME_DIR={runtime}"])
    t.equal((code, out), (MACHINERY, b""), f"a hidden directory ({err!r})")
    t.check("--expose" in err, f"it said {err!r}")


@case(quick=True, gateways=OURS)
def cmd_cannot_touch_its_link(t):
    """No capability in the namespaces that were made for it."""
    with t.guest() as guest:
        for command in (["ip", "link", "set", "eth0", "down"],
                        ["ip", "addr", "add", "10.83.80.5/24", "dev", "eth0"],
                        ["ip", "route", "add", "1.2.3.0/24", "dev", "eth0"],
                        ["ip", "neigh", "flush", "all"]):
            guest.call("run", command)
        t.check(guest.call("facts")["interfaces"] == ["eth0", "lo"], "link")
        _, out, _ = guest.call("run", ["ip", "-o", "addr", "show"])
        t.check("10.83.80.5" not in out, out)
        t.equal(guest.call("run", ["ip", "route", "show", "1.2.3.0/24"])[1],
                "", "route")


def not_sanitized(t, why):
    """Skips the case in a build with sanitizers."""
    config = os.path.join(t.options.bindir, "config.h")
    if os.path.exists(config):
        with open(config, encoding="utf-8") as file:
            if "#define SANITIZE 1" in file.read():
                t.skip(why)


@case(quick=True, gateways=OURS)
def processes_are_sealed(t):
    """/proc of each: no capability, no_new_privs, a filter, own namespaces."""
    not_sanitized(t, "a sanitizer build has no filters")
    rule = 'allow to name "a.example.org" port tcp 443\n'
    with t.guest(policy=names_lab.policy(rule)):
        ours = namespaces(os.getpid())
        t.equal(proc_status(t.pid(lab.NURSERY))["NoNewPrivs"], "1", "nursery")
        for program in ("sallyport-frame", "sallyport-broker",
                        "sallyport-recorder", "sallyport-resolver",
                        "sallyport-inspector", "sallyportd"):
            status = proc_status(t.pid(program))
            t.equal(status["NoNewPrivs"], "1", f"{program} NoNewPrivs")
            t.equal(status["Seccomp"], "2", f"{program} Seccomp")
            t.equal(status["Name"], program.replace("sallyport-", "sp-"),
                    "its name in ps(1)")
            if program not in ("sallyport-broker", "sallyportd"):
                for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
                    t.equal(int(status[name], 16), 0, f"{program} {name}")
        for program in ("sallyport-frame", "sallyport-inspector"):
            theirs = namespaces(t.pid(program))
            shared = [n for n in ours if theirs[n] == ours[n]
                      and n not in ("time", "time_for_children")]
            t.equal(shared, [], f"namespaces that {program} shares with us")


def proc_status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return {k: v.strip() for k, v in
                (line.split(":", 1) for line in file)}


def namespaces(pid):
    return {name: os.readlink(f"/proc/{pid}/ns/{name}")
            for name in os.listdir(f"/proc/{pid}/ns")
            if not name.endswith("_for_children")}


# ---- the terminal ---------------------------------------------------------------------

class Terminal:
    """A shell with job control on a pty of its own."""

    BASH = ("bash", "--norc", "--noprofile", "-i")

    def __init__(self, place, shell=BASH):
        master, slave = os.openpty()
        self.place = place
        self.master = master
        self.text = ""
        self.process = subprocess.Popen(
            [*place.t.lab.as_user(), *shell],
            stdin=slave, stdout=slave, stderr=slave, cwd=place.path,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PS1": "READY> ",
                 "TERM": "dumb", "HOME": place.path,
                 "SP": os.path.join(place.t.bindir, "sallyport")},
            preexec_fn=self._control)
        os.close(slave)
        os.set_blocking(master, False)
        self.wait("READY> ")

    @staticmethod
    def _control():
        import fcntl
        import termios
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def _read(self):
        try:
            self.text += os.read(self.master, 65536).decode("latin-1")
        except (BlockingIOError, OSError):
            pass

    def wait(self, pattern, timeout=10):
        """Waits for a pattern in what is new, and takes all up to its end."""
        def found():
            self._read()
            return re.search(pattern, self.text)
        match = lab.wait_until(found, timeout)
        if not match:
            raise Failure(f"no /{pattern}/ in {self.text[-500:]!r}")
        self.text = self.text[match.end():]
        return match

    def type(self, text):
        os.write(self.master, text.encode())

    def command(self, text, answer, timeout=10):
        self.type(text + "\n")
        self.wait(re.escape(text), timeout)     # the terminal's echo
        return self.wait(answer, timeout)

    def runs(self, program):
        """Waits until the foreground is that program, to which a key then goes.

        A shell in the midst of starting it cannot be stopped, anywhere.
        """
        def there():
            return lab.program(os.tcgetpgrp(self.master)) == program
        if not lab.wait_until(there, 10):
            raise Failure(f"{program} is not in the foreground")

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def terminal(t, shell=Terminal.BASH):
    place = t.keep(Place(t))
    shell = t.keep(Terminal(place, shell))
    shell.command(f'run() {{ "$SP" run -q -p {place.policy} --audit log -- '
                  '"$@"; }', "READY> ")
    return shell


@case(quick=True, gateways=OURS)
def interrupt_key(t):
    """^C ends CMD, and the status is 130."""
    shell = terminal(t)
    shell.command("run sh -c 'echo started; exec sleep 100'", "started")
    shell.type("\x03")
    shell.wait("READY> ")
    shell.command("echo status=$?", "status=130")


@case(quick=True, gateways=OURS)
def suspend_key(t):
    """^Z stops the job; fg goes on; the status is CMD's own."""
    shell = terminal(t)
    shell.command("run sh -c 'echo started; sleep 2; echo woke; exit 9'",
                  "started")
    # a shell in the midst of vfork() cannot stop, anywhere
    t.check(lab.wait_until(lambda: [p for p in lab.processes()
                                    if lab.program(p) == "sleep"], 10), "sleep")
    shell.type("\x1a")
    shell.wait("Stopped")
    shell.wait("READY> ")
    shell.command("fg", "woke")
    shell.wait("READY> ")
    shell.command("echo status=$?", "status=9")


@case(quick=True, gateways=OURS)
def shell_inside(t):
    """A shell as CMD: its own job control works, and ^C is its own."""
    shell = terminal(t)
    shell.command("run env PS1='IN> ' bash --norc --noprofile -i", "IN> ")
    shell.type("sleep 100\n")
    shell.runs("sleep")
    shell.type("\x03")
    shell.wait("IN> ")
    shell.type("sleep 200\n")
    shell.runs("sleep")
    shell.type("\x1a")
    shell.wait("Stopped")
    shell.type("fg\n")
    shell.runs("sleep")
    shell.type("\x03")
    shell.wait("IN> ")
    shell.command("exit 5", "READY> ")
    shell.command("echo status=$?", "status=5")


@case(quick=True, gateways=OURS)
def reads_the_terminal(t):
    shell = terminal(t)
    shell.command("run sh -c 'echo go; read x; echo got-$x'", "go")
    shell.type("hello\n")
    shell.wait("got-hello")
    shell.wait("READY> ")


@case(quick=True, gateways=OURS)
def terminate_signal(t):
    """A signal sent to `sallyport` is meant for CMD."""
    place = t.keep(Place(t))
    process = subprocess.Popen(
        [*t.lab.as_user(), os.path.join(t.bindir, "sallyport"), *quiet(place),
         "sh", "-c", "trap 'echo got it; exit 3' TERM; echo up; "
         "while :; do sleep 0.1; done"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=place.path)
    t.equal(process.stdout.readline(), b"up\n")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)
    err = ROOT_WARNING.sub("", err.decode())
    t.equal((process.returncode, out, err), (3, b"got it\n", ""))


@case(quick=True, gateways=OURS)
def log_is_private(t):
    with t.guest():
        mode = os.stat(t.gateway.log).st_mode
    t.equal(stat.S_IMODE(mode) & 0o077, 0, f"mode {stat.S_IMODE(mode):o}")


@case(quick=True, gateways=OURS)
def udp_bytes_at_the_end(t):
    """CMD's end is sooner than that of its UDP flows: their bytes are told."""
    place = t.keep(Place(t))
    udp = t.keep(servers.UdpServer(t.lab.internet, lab.LIVE4))
    log = os.path.join(place.path, "log")
    script = ("import socket\n"
              "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
              f"s.sendto(b'words', ('{lab.LIVE4}', {udp.port})); s.recv(9)\n")
    begun = time.monotonic()
    code, _, err = place.run("run", "-p", place.policy, "--audit", log, "--",
                             "python3", "-c", script)
    t.check(time.monotonic() - begun < 2, "it took long")
    t.equal(code, 0, err)
    t.check("bytes: 5 up, 5 down" in err, err)
    close = audit.of_type(audit.read(log), "flow.close")
    t.equal([(r["reason"], r["up"], r["down"], r.get("csrc")) for r in close],
            [("shutdown", 5, 5, "frame")])
    t.validate(log)
