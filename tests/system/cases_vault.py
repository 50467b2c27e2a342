"""The log of a run and the policy of the next one are out of CMD's reach: by path, by
a rename of a directory above, by rotation, by mode; and what somebody outside does to
the log is seen, said, and shuts the gate.

Each attack first shows that it was tried, so that none passes because it could not
begin."""
import json
import os
import signal
import stat
import subprocess
import time

import audit
import gateway
import lab
import nspace
import servers
from cases_run import MACHINERY, Place
from trial import OURS, case

ROTATE = gateway.MANY + "audit { rotate 64K }\n"
FORGED = '{"v":2,"seq":1,"type":"forged"}\n'
SOON = 5        # seconds, until it must be known


def python(script):
    return ["python3", "-I", "-S", "-c", script]


def sh(place, *args, script, **more):
    return place.run("run", *args, "--", "sh", "-c", script, **more)


# ---- by path -----------------------------------------------------------------------

RUIN = """
import os, sys
top, name = sys.argv[1], 'audit.jsonl'
found = []
for where, dirs, files in os.walk(top):
    for file in files:
        if not file.startswith(name):
            continue
        path = os.path.join(where, file)
        with open(path) as f:
            if 'forged' not in f.read():
                found.append(path)
        with open(path, 'w') as f:
            f.write('{"v":2,"seq":1,"type":"forged"}\\n')
for file in (name, name + '.d/' + name):
    try:
        os.makedirs(os.path.dirname(os.path.join(top, file)), exist_ok=True)
        with open(os.path.join(top, file), 'a') as f:
            f.write('{"v":2,"seq":1,"type":"forged"}\\n')
    except OSError:
        pass
for what in (name + '.d', name):
    for do in (lambda p: os.rename(p, p + '.old'), os.unlink, os.rmdir):
        try:
            do(os.path.join(top, what))
        except OSError:
            pass
print(len(found))
"""


@case(quick=True, gateways=OURS)
def log_in_any_directory(t):
    """--audit FILE where CMD may write: also what the log has become by rotation."""
    server = t.serve(servers.greet(b"x"))
    place = t.keep(Place(t))
    place.own(place.path, 0o755)
    top = place.path
    log = os.path.join(top, "audit.jsonl")
    with t.guest(policy=gateway.policy_text(head=ROTATE), log=log) as guest:
        for _ in range(3):
            guest.call("connects", lab.LIVE4, server.port, 100)
            status, out, err = guest.call("run", python(RUIN) + [top])
            t.equal((status, out.strip()), (0, "0"), err)
    segments = audit.files(log)
    t.check(len(segments) > 2, f"{len(segments)} segments")
    t.equal(t.records("forged"), [])
    t.equal(len(t.records("flow.open")), 300)
    with open(t.gateway.guest.stderr_path, encoding="utf-8") as file:
        t.check(os.path.dirname(segments[0]) in file.read(), "its place is not told")
    t.equal(stat.S_IMODE(os.stat(os.path.dirname(segments[0])).st_mode), 0o700)


@case(quick=True, gateways=OURS)
def log_of_an_earlier_run(t):
    """The default directory with a wider mode, as an older version or umask left it."""
    place = t.keep(Place(t))
    state = os.path.join(place.path, ".local/state/sallyport")
    os.makedirs(state)
    for path in (state, os.path.dirname(state), os.path.join(place.path, ".local")):
        place.own(path, 0o755)
    place.write(".local/state/sallyport/earlier.jsonl", "earlier\n")
    code, out, err = sh(place, "-p", place.policy, script=(
        "cd ~/.local/state/sallyport && ls -A; rm -f earlier.jsonl; "
        "echo forged >earlier.jsonl; rm -rf ../sallyport"))
    t.equal(out, b"", "what CMD saw of it")
    with open(os.path.join(state, "earlier.jsonl"), encoding="ascii") as file:
        t.equal(file.read(), "earlier\n")
    t.equal(len(set(os.listdir(state)) - {".pruned"}), 2, "logs")
    t.check("audit log: " + state in err, err)


@case(quick=True, gateways=OURS)
def log_with_any_umask(t):
    """The directories that are made for the log can be used, by the next run too."""
    place = t.keep(Place(t))
    place.own(place.path, 0o755)
    log = os.path.join(place.path, "audit.jsonl")
    for args, made in ((("--audit", log), log + ".d"),
                       ((), os.path.join(place.path, ".local/state/sallyport"))):
        for mask in (0o777, 0o022):
            code, _, err = sh(place, "-q", *args, "-p", place.policy, script="true",
                              umask=mask)
            t.equal(code, 0, f"umask {mask:o}: {err}")
            t.equal(stat.S_IMODE(os.stat(made).st_mode), 0o700, made)


@case(quick=True, gateways=OURS)
def works_in_the_logs_directory(t):
    """CMD cannot have the log's directory to work in, or by --expose; that is said."""
    place = t.keep(Place(t))
    own = os.path.join(place.path, "own")
    os.mkdir(own)
    place.own(own, 0o700)
    log = os.path.join(own, "log")
    for path in (own, log):
        code, _, err = place.run("run", "-p", place.policy, "--audit", log,
                                 "--expose", path, "--", "true")
        t.check(code == MACHINERY and "--expose" in err, f"{path}: {code} {err}")
    # what is above it does not uncover it
    code, out, err = sh(place, "-p", place.policy, "--audit", log, "--expose",
                        place.path, script=f"ls -A {own}")
    t.equal((code, out), (0, b""), err)
    state = os.path.join(place.path, ".local/state/sallyport")
    code, _, err = place.run("run", "-p", place.policy, "--", "true")
    t.equal(code, 0, err)
    done = subprocess.run(
        [*t.lab.as_user(), os.path.join(t.bindir, "sallyport"), "run", "-p",
         place.policy, "--", "true"], cwd=state, capture_output=True, text=True,
        env={"PATH": os.environ["PATH"], "HOME": place.path}, timeout=20,
        check=False)
    t.equal(done.returncode, MACHINERY, done.stderr)
    t.check("another directory" in done.stderr, done.stderr)


# ---- by a rename above -----------------------------------------------------------------

MOVE = """
import os, subprocess, sys
os.chdir(os.environ['HOME'])
def moves():
    done = 0
    for d in ('.local/state/sallyport', '.local/state', '.local'):
        try:
            os.rename(d, 'moved')
            os.makedirs('.local/state/sallyport', exist_ok=True)
            done += 1
        except OSError:
            pass
    return done
print(moves(), end=' ')
if len(sys.argv) == 1:
    sys.stdout.flush()
    subprocess.run(['unshare', '-Urm', 'sh', '-c', 'umount -l .local/state/sallyport '
                    '.local/state .local 2>/dev/null; exec "$@"', 'sh', 'python3',
                    '-c', MOVE, 'nested'])
else:
    print()
""".replace("MOVE", "open('/proc/self/cmdline').read().split(chr(0))[-2]")


@case(quick=True, gateways=OURS)
def log_above_is_renamed(t):
    """CMD moves a directory above the log away, and makes another in its place; and once
    more from namespaces below its own."""
    place = t.keep(Place(t))
    code, out, err = place.run("run", "-p", place.policy, "--", *python(MOVE))
    t.equal((code, out), (0, b"0 0 \n"), err)
    log = err.rsplit("audit log: ", 1)[1].strip()
    t.equal(len(audit.of_type(audit.read(log), "daemon.start")), 1, log)
    t.validate(log)


@case(quick=True, gateways=OURS)
def pins_do_not_stand_in_the_way(t):
    """What CMD does beside the log: files, directories, links, renames at home."""
    place = t.keep(Place(t))
    script = ("set -e; mkdir -p work/sub .local/share .cache; cd work; "
              "echo x >a; mv a b; ln b c; mv sub .. ; mv ../sub .; mv b ..; "
              "echo y >../.local/share/f; mv ../.local/share/f ../.local/share/g; "
              "ln ../.local/share/g ../.local/share/h; mkdir ../.local/state/other; "
              "mv ../.local/state/other ../.local/state/another; "
              "mv ../b ../.local/; cat ../.local/b ../.local/share/h")
    code, out, err = sh(place, "-p", place.policy, script=script)
    t.equal((code, out), (0, b"x\ny\n"), err)


@case(quick=True, gateways=OURS)
def path_of_the_log_is_another(t):
    """Somebody outside leads the path elsewhere: what is there is not named."""
    place = t.keep(Place(t))
    top = os.path.join(place.path, "top")
    os.makedirs(os.path.join(top, "own"))
    place.own(top, 0o755)
    place.own(os.path.join(top, "own"), 0o700)
    log = os.path.join(top, "own", "log")
    with open(os.path.join(place.path, "err"), "w+", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [*t.lab.as_user(), os.path.join(t.bindir, "sallyport"), "run", "-p",
             place.policy, "--audit", log, "--", "sh", "-c",
             "echo up; read x; exit 3"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=errors)
        t.equal(process.stdout.readline(), b"up\n")
        os.rename(top, top + ".moved")
        os.makedirs(os.path.dirname(log))
        with open(log, "w", encoding="ascii") as file:
            file.write(FORGED)
        process.communicate(b"go\n", timeout=30)
        errors.seek(0)
        err = errors.read()
    t.equal(process.returncode, MACHINERY, err)
    t.check("does not lead to the audit log" in err and "flows:" not in err, err)
    t.check("ended with status 3" in err, err)


# ---- the policy, and what it includes ---------------------------------------------------

LAW = """policy version 1
include "parts/one.conf"
include "more/*.conf"
table <nets> file "nets"
tenant t {
    allow to net 203.0.114.11 port tcp 80
}
"""
WRITE = """
import os
done = []
def tried(name, do):
    try:
        do()
        done.append(name)
    except OSError:
        pass
def put(path):
    with open(path, 'a') as f:
        f.write('# CMD was here\\n')
for path in ('conf/p.conf', 'conf/parts/one.conf', 'conf/more/two.conf', 'conf/nets',
             'conf/more/new.conf'):
    tried(path, lambda: put(path))
    tried('unlink ' + path, lambda: os.unlink(path))
    put('other')
    tried('replace ' + path, lambda: os.rename('other', path))
for path in ('conf/more', 'conf/parts', 'conf'):
    tried('rename ' + path, lambda: os.rename(path, 'moved'))
put('conf/mine')
print(done)
"""


class Law:
    """A policy of several files, in directories that are CMD's user's own."""

    def __init__(self, t):
        self.place = t.keep(Place(t))
        for name in ("conf", "conf/parts", "conf/more"):
            os.mkdir(os.path.join(self.place.path, name))
            self.place.own(os.path.join(self.place.path, name), 0o755)
        self.files = {"conf/p.conf": LAW, "conf/parts/one.conf": "# one\n",
                      "conf/more/two.conf": "# two\n", "conf/nets": "203.0.114.0/24\n"}
        for name, text in self.files.items():
            self.place.write(name, text)

    def changed(self):
        """What is not as it was written."""
        def now(name):
            try:
                with open(os.path.join(self.place.path, name), encoding="ascii") as f:
                    return f.read()
            except OSError as error:
                return str(error)
        return [name for name, text in self.files.items() if now(name) != text]


@case(quick=True, gateways=OURS)
def policy_and_includes(t):
    """CMD changes none of the files, adds none, and renames no directory above; all
    else in there is its own."""
    law = Law(t)
    code, out, err = law.place.run("run", "-p", "conf/p.conf", "--", *python(WRITE))
    t.equal((code, out), (0, b"[]\n"), err)
    t.equal(law.changed(), [])
    t.check("another now" not in err, err)
    t.check(os.path.exists(os.path.join(law.place.path, "conf/mine")), "no mine")


def run_in(t, place, cwd, *args):
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": place.path}
    return subprocess.Popen(
        [*t.lab.as_user(), os.path.join(t.bindir, "sallyport"), *args], cwd=cwd,
        env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True)


@case(quick=True, gateways=OURS)
def policy_where_cmd_works(t):
    """CMD may move the directory that it works in, and with it the policy: that is
    found out, said, and in the log."""
    law = Law(t)
    conf = os.path.join(law.place.path, "conf")
    log = os.path.join(law.place.path, "log")
    process = run_in(t, law.place, conf, "run", "-p", "p.conf", "--audit", log, "--",
                     "sh", "-c", f"cd {law.place.path} && mv conf moved && mkdir conf "
                     "&& echo evil >conf/p.conf; exit 4")
    out, err = process.communicate(timeout=20)
    t.equal(process.returncode, 4, f"{out} {err}")
    t.check("conf was moved or replaced" in err and "p.conf is another now" in err, err)
    found = audit.of_type(audit.read(log), "policy.replaced")
    t.equal([r["detail"] for r in found], ["p.conf"])
    t.validate(log)


@case(quick=True, gateways=OURS)
def policy_by_a_link(t):
    """A link on the way to the policy is not turned; where the kernel has no mounts on
    links it is found out."""
    law = Law(t)
    os.symlink("conf", os.path.join(law.place.path, "link"))
    if t.lab.user and t.lab.root:
        os.chown(os.path.join(law.place.path, "link"), t.lab.uid, t.lab.uid,
                 follow_symlinks=False)
    code, out, err = sh(law.place, "-p", "link/p.conf", script=(
        "mkdir evil; echo x >evil/p.conf; rm link && ln -s evil link && echo turned; "
        "exit 0"))
    t.equal(code, 0, err)
    turned = os.readlink(os.path.join(law.place.path, "link")) == "evil"
    t.equal(b"turned" in out, turned)
    t.equal("another now" in err, turned, err)


@case(quick=True, gateways=OURS)
def policy_with_another_name(t):
    """A hard link is the file itself, and not found by looking: it is said."""
    law = Law(t)
    _, _, err = sh(law.place, "-p", "conf/p.conf", script="true")
    t.check("hard link" not in err, err)
    os.link(os.path.join(law.place.path, "conf/parts/one.conf"),
            os.path.join(law.place.path, "another"))
    code, _, err = sh(law.place, "-p", "conf/p.conf", script="true")
    t.equal(code, 0, err)
    t.check("one.conf: the policy's file has another name, a hard link" in err, err)


@case(quick=True, gateways=OURS)
def policy_that_the_user_edits(t):
    """From outside, in a directory that CMD could not have moved: nothing to tell."""
    law = Law(t)
    process = run_in(t, law.place, law.place.path, "run", "-p", "conf/p.conf", "--",
                     "sh", "-c", "echo up; read x")
    t.equal(process.stdout.readline(), "up\n")
    law.place.write("new", LAW)
    os.rename(os.path.join(law.place.path, "new"),
              os.path.join(law.place.path, "conf/p.conf"))
    _, err = process.communicate("go\n", timeout=20)
    t.equal(process.returncode, 0, err)
    t.check("another now" not in err, err)


# ---- --learn ---------------------------------------------------------------------------

LIE = json.dumps({"v": 2, "type": "flow.deny", "verdict": "deny", "proto": "tcp",
                  "g_dst": "10.0.0.1", "g_dp": 1,
                  "reason": "floor-\n}\ntenant z { allow to any }\n#"})


@case(quick=True, gateways=OURS)
def learn_from_a_forgery(t):
    """CMD puts a log of its own where the log's path leads."""
    place = t.keep(Place(t))
    own = os.path.join(place.path, "top/own")
    os.makedirs(own)
    place.own(os.path.dirname(own), 0o755)
    place.own(own, 0o700)
    lie = place.write("lie", LIE + "\n")
    # mv succeeded: CMD's own directory, made for it, shows that the script works
    script = (f"mv top moved; mkdir -p top/own; cat {lie} >top/own/log; "
              "mkdir ours && mv ours theirs && echo tried; exit 0")
    code, out, err = sh(place, "-q", "--learn", "l.conf", "--audit", own + "/log",
                        script=script)
    t.equal((code, out), (0, b"tried\n"), err)
    with open(os.path.join(place.path, "l.conf"), encoding="utf-8") as file:
        text = file.read()
    t.check("tenant z" not in text and "10.0.0.1" not in text, text)


@case(quick=True, gateways=OURS)
def learn_from_a_fifo(t):
    """... or a FIFO, on which nobody waits; and SIGTERM is heard while it reads."""
    place = t.keep(Place(t))
    own = os.path.join(place.path, "top/own")
    os.makedirs(own)
    place.own(os.path.dirname(own), 0o755)
    place.own(own, 0o700)
    script = "mv top moved; mkdir -p top/own; mkfifo top/own/log; true"
    code, _, err = sh(place, "-q", "--learn", "l.conf", "--audit", own + "/log",
                      script=script, timeout=15)
    t.equal(code, 0, err)


@case(quick=True, gateways=OURS)
def learn_file_is_led_elsewhere(t):
    """The directory of --learn's file is moved: no other file is called learnt."""
    place = t.keep(Place(t))
    out = os.path.join(place.path, "out")
    os.mkdir(out)
    place.own(out, 0o755)
    code, _, err = sh(place, "--learn", "out/l.conf", "--audit",
                      os.path.join(place.path, "log"),
                      script="mv out moved && mkdir out && echo bad >out/l.conf")
    t.equal(code, MACHINERY, err)
    t.check("does not lead to the file" in err and "learnt from" not in err, err)
    with open(os.path.join(out, "l.conf"), encoding="ascii") as file:
        t.equal(file.read(), "bad\n")
    t.equal(os.listdir(os.path.join(place.path, "moved")), [])


# ---- from outside: what happens to a log is seen ---------------------------------------

def refused_soon(t, guest, server):
    """Until connects are refused; the time."""
    begun = time.monotonic()
    while guest.call("connect", lab.LIVE4, server.port)[0] == "ok":
        t.check(time.monotonic() - begun < SOON, "flows go on")
    return time.monotonic() - begun


def says(t, guest, words):
    t.check(lab.wait_until(lambda: words in guest.stderr(), SOON),
            f"no {words!r} in {guest.stderr()!r}")


@case(quick=True, gateways=OURS)
def log_is_removed(t):
    """rm FILE: another one begins, tells what was lost, and the status says so."""
    server = t.serve(servers.greet(b"x"))
    with t.guest(status=(MACHINERY,), audit=False) as guest:
        guest.call("connects", lab.LIVE4, server.port, 3)
        log = audit.where(t.gateway.log)
        os.unlink(log)
        says(t, guest, "was removed while it was written")
        says(t, guest, "the audit log is written again")
        t.equal(guest.call("connect", lab.LIVE4, server.port)[0], "ok")
        t.check(os.path.exists(log), "no other log")
    gap = t.records("audit.gap")
    t.equal([r.get("lost") for r in gap], ["removed"])
    t.equal(len(t.records("flow.open")), 1, "opens after it")
    t.validate(t.gateway.log, faults=False)


@case(quick=True, gateways=OURS)
def log_is_truncated(t):
    server = t.serve(servers.greet(b"x"))
    with t.guest(status=(MACHINERY,), audit=False) as guest:
        guest.call("connects", lab.LIVE4, server.port, 3)
        os.truncate(audit.where(t.gateway.log), 100)
        says(t, guest, "was changed by somebody else")
        says(t, guest, "the audit log is written again")
    with open(audit.where(t.gateway.log), encoding="ascii") as file:
        gap = audit.of_type(map(json.loads, file), "audit.gap")
    t.equal([r.get("lost") for r in gap], ["changed"])


@case(quick=True, gateways=OURS)
def log_directory_is_removed(t):
    server = t.serve(servers.greet(b"x"))
    with t.guest(status=(MACHINERY,), audit=False) as guest:
        guest.call("connects", lab.LIVE4, server.port, 3)
        where = os.path.dirname(audit.where(t.gateway.log))
        subprocess.run(["rm", "-rf", where], check=False)
        subprocess.run(["rm", "-rf", where], check=True)
        refused_soon(t, guest, server)
        time.sleep(1.5)
        t.equal(guest.call("connect", lab.LIVE4, server.port)[0], "ECONNREFUSED")
        text = guest.stderr()
    t.check("new flows are refused" in text, text)
    t.check("does not lead to the audit log" in guest.stderr(), guest.stderr())


@case(quick=True, gateways=OURS)
def log_directory_is_moved(t):
    """It is whole, but elsewhere: refused until it is back where it is looked for."""
    server = t.serve(servers.greet(b"x"))
    with t.guest(status=(MACHINERY,), audit=False) as guest:
        guest.call("connects", lab.LIVE4, server.port, 3)
        where = os.path.dirname(audit.where(t.gateway.log))
        os.rename(where, where + ".away")
        says(t, guest, "no longer the directory of the log")
        t.equal(guest.call("connect", lab.LIVE4, server.port)[0], "ECONNREFUSED")
        os.rename(where + ".away", where)
        t.check(lab.wait_until(lambda: "written again" in guest.stderr(), 10),
                guest.stderr())
        t.equal(guest.call("connect", lab.LIVE4, server.port)[0], "ok")
    t.validate(t.gateway.log)


def recorder(t):
    return t.gateway.pids("sallyport-recorder")[0]


@case(quick=True, gateways=OURS, timeout=60)
def recorder_hangs(t):
    """A recorder that is stopped, as on a disk that hangs: nobody waits for it longer
    than 5 s, and it is said; when it goes on, so does everything."""
    server = t.serve(servers.greet(b"x"))
    with t.guest(audit=False) as guest:
        guest.call("connects", lab.LIVE4, server.port, 3)
        pid = recorder(t)
        os.kill(pid, signal.SIGSTOP)
        try:
            found, seconds = guest.call("connect", lab.LIVE4, server.port, 20)
            t.equal(found, "ECONNREFUSED")
            t.check(seconds < SOON + 0.5, f"it waited {seconds:.1f} s")
            found, seconds = guest.call("connect", lab.LIVE4, server.port, 20)
            t.check(found == "ECONNREFUSED" and seconds < 0.5,
                    f"the next one: {found} after {seconds:.1f} s")
            says(t, guest, "the audit log takes no record")
        finally:
            os.kill(pid, signal.SIGCONT)
        says(t, guest, "takes records again")
        t.equal(guest.call("connect", lab.LIVE4, server.port)[0], "ok")
    t.validate(t.gateway.log)
    t.check("audit-unavailable" in {r["reason"] for r in t.records("flow.deny")},
            "no denial")


@case(gateways=OURS, timeout=60)
def recorder_hangs_at_the_end(t):
    """CMD ends, and the log cannot: neither does the end wait for ever, nor is it good."""
    with t.guest(status=(MACHINERY,), audit=False) as guest:
        pid = recorder(t)
        os.kill(pid, signal.SIGSTOP)
        begun = time.monotonic()
        guest.process.stdin.close()
        guest.process.wait(40)
        seconds = time.monotonic() - begun
    t.check(seconds < 25, f"it took {seconds:.0f} s")
    t.check("not all there" in guest.stderr(), guest.stderr())


# ---- other ways ------------------------------------------------------------------------

@case(quick=True, gateways=OURS)
def log_of_other_runs(t):
    """With a log elsewhere, those in the default directory are hidden all the same;
    and a log that has a directory of its own is continued there from anywhere."""
    place = t.keep(Place(t))
    code, _, err = place.run("run", "-p", place.policy, "--", "true")
    t.equal(code, 0, err)
    own = os.path.join(place.path, "own")
    os.mkdir(own)
    place.own(own, 0o700)
    log = os.path.join(own, "log")
    for cwd in (own, place.path):
        process = run_in(t, place, cwd, "run", "-p", place.policy, "--audit", log,
                         "--", "ls", "-A", place.path + "/.local/state/sallyport")
        out, err = process.communicate(timeout=20)
        t.equal((process.returncode, out), (0, ""), err)
    t.check(f"audit log: {log}.d/log" in err, err)
    t.equal(len(audit.of_type(audit.read(log), "daemon.start")), 2, "runs in it")


@case(quick=True, gateways=OURS, root=True)
def second_mount(t):
    """The same directories at a second place, by another mount of their file system."""
    law = Law(t)
    second = os.path.join(t.lab.scratch, "second\tmount")
    os.mkdir(second)
    nspace.mount(law.place.path, second, "none", nspace.MS_BIND)
    try:
        there = second + "/conf"
        script = ("import os, sys; os.chdir(sys.argv[1])\n" + WRITE +
                  "print(os.listdir('.local/state/sallyport'))")
        code, out, err = law.place.run("run", "-p", "conf/p.conf", "--",
                                       *python(script), second)
        t.equal((code, out), (0, b"[]\n[]\n"), err)
        t.equal(law.changed(), [])
        t.check(os.path.exists(there + "/mine"), "it could not write there at all")
    finally:
        nspace.umount(second)
        os.rmdir(second)
