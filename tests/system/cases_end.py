"""How a run ends: at once, whatever is still under way; and what it was started with
too little of.
"""
import os
import signal
import statistics
import subprocess
import threading
import time

import dnswire
import gateway
import lab
import names_lab
from cases_run import MACHINERY, Place, not_sanitized, quiet
from trial import OURS, case

LATE = 0.6                      # seconds; what is waited for was a second and more

CONNECTING = """
import socket, sys
for where in sys.argv[1:]:
    s = socket.socket(socket.AF_INET6 if ":" in where else socket.AF_INET)
    s.setblocking(False)
    try:
        s.connect((where, 9))
    except BlockingIOError:
        pass
    globals()["s" + where] = s
import time
time.sleep(0.2)
"""
ASKING = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(bytes.fromhex(sys.argv[2]), (sys.argv[1], 53))
c = socket.create_connection((sys.argv[1], 53))
q = bytes.fromhex(sys.argv[2])
c.sendall(len(q).to_bytes(2, "big") + q)
time.sleep(0.2)
"""
NAMED = """
import socket, sys, time
a = socket.getaddrinfo(sys.argv[1], 9, socket.AF_INET, socket.SOCK_STREAM)[0][4]
s = socket.socket()
s.setblocking(False)
try:
    s.connect(a)
except BlockingIOError:
    pass
time.sleep(0.2)
"""
TALKING = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.sendall(b"x" * int(sys.argv[3]))
time.sleep(0.2)
"""
NOTHING = "import time; time.sleep(0.2)"


def took(t, place, script, *args):
    """The middle one of three."""
    times = []
    for _ in range(3):
        start = time.monotonic()
        code, _, err = place.run(*quiet(place), "python3", "-I", "-S", "-c",
                                 script, *[str(a) for a in args])
        times.append(time.monotonic() - start)
        t.equal((code, err), (0, ""), f"{args}")
    return statistics.median(times)


@case(quick=True, gateways=OURS)
def end_while_connecting(t):
    """A process that dies takes its connects along, and so does a run."""
    place = t.keep(Place(t))
    least = took(t, place, NOTHING)
    more = took(t, place, CONNECTING, lab.HOLE4, lab.HOLE6, lab.NOBODY4,
                lab.NOHOST4) - least
    t.note(f"{1000 * more:.0f} ms more")
    t.check(more < LATE, f"{more:.2f} s more than a run that does nothing")


@case(quick=True, gateways=OURS)
def end_while_asking(t):
    """A name whose upstream is silent; asked by UDP and TCP."""
    place = t.keep(Place(t))
    name = "slow.example.net"
    place.policy = place.write("policy.conf", names_lab.policy(
        f'allow to name "{name}" port tcp 443\n', upstreams=(lab.HOLE4,)))
    least = took(t, place, NOTHING)
    more = took(t, place, ASKING, gateway.GATEWAY4,
                dnswire.query(name).hex()) - least
    t.note(f"{1000 * more:.0f} ms more")
    t.check(more < LATE, f"{more:.2f} s more than a run that does nothing")


@case(quick=True, gateways=OURS)
def end_while_a_name_is_dialled(t):
    """The same for an address of a name whose first bytes are to be seen."""
    place = t.keep(Place(t))
    name = "hole.lie.example.net"
    t.keep(dnswire.Authority(t.lab.internet, [names_lab.LIAR4], dnswire.zone_answer(
        {name: {dnswire.A: (60, [lab.HOLE4])}})))
    place.policy = place.write("policy.conf", names_lab.policy(
        f'allow to name "{name}" port tcp 9\n', upstreams=(names_lab.LIAR4,)))
    least = took(t, place, NOTHING)
    more = took(t, place, NAMED, name) - least
    t.note(f"{1000 * more:.0f} ms more")
    t.check(more < LATE, f"{more:.2f} s more than a run that does nothing")


@case(quick=True, gateways=OURS)
def end_while_nobody_reads(t):
    """A server that neither reads nor closes has what it was sent in its kernel."""
    place = t.keep(Place(t))
    done = threading.Event()
    server = t.serve(lambda connection: done.wait(60))
    least = took(t, place, NOTHING)
    try:
        more = took(t, place, TALKING, lab.LIVE4, server.port, 10000) - least
    finally:
        done.set()
    t.note(f"{1000 * more:.0f} ms more")
    t.check(more < LATE, f"{more:.2f} s more than a run that does nothing")


# ---- limits that it is called with ----------------------------------------------------

LIMITS = """
import resource, sys
for name in sys.argv[1:]:
    print(*resource.getrlimit(getattr(resource, "RLIMIT_" + name)))
"""


# A sanitizer's shadow is terabytes of address space.
NO_ROOM = "a sanitizer needs more memory than these limits"


@case(quick=True, gateways=OURS)
def limits_that_are_low(t):
    """Named before anything is started; what is enough is enough."""
    not_sanitized(t, NO_ROOM)
    place = t.keep(Place(t))
    for option, value, words in (
            ("nofile", 24, "open files is 24, and 128"),
            ("nofile", 64, "open files is 64, and 128"),
            ("nofile", 127, "open files is 127, and 128"),
            ("fsize", 512, "a file's size is 0 KB, and 16384"),
            ("fsize", 8 << 20, "a file's size is 8192 KB, and 16384"),
            ("stack", 65536, "the stack is 64 KB, and 256"),
            ("data", 16 << 20, "memory (data) is 16384 KB, and 131072"),
            ("as", 100 << 20, "memory (address space) is 102400 KB")):
        prefix = ["prlimit", f"--{option}={value}:{value}"]
        for command in (["run", "-p", place.policy, "--", "echo", "ran"],
                        ["serve", "-p", place.policy, "--stream", "s"]):
            code, out, err = place.run(*command, prefix=prefix)
            t.equal((code, out), (MACHINERY, b""), f"{option} {value}: {err}")
            t.check(err.count("\n") == 1 and words in err, err)
    for limits in (["--nofile=128:128"], ["--fsize=16777216:16777216"],
                   ["--stack=262144:262144"], ["--cpu=8:8"],
                   ["--fsize=0:20000000", "--cpu=1:100", "--stack=65536:8388608"]):
        code, out, err = place.run(*quiet(place), "echo", "ran",
                                   prefix=["prlimit", *limits])
        t.equal((code, out, err), (0, b"ran\n", ""), f"{limits}")
    _, _, err = place.run("run", "-p", place.policy, "--audit", "log", "true",
                          prefix=["prlimit", "--cpu=8:8"])
    t.check("processor time (ulimit -Ht) is 8 s" in err, err)


@case(quick=True, gateways=OURS)
def limits_are_the_callers(t):
    """What Sallyport takes of a hard limit, CMD has its soft one of."""
    not_sanitized(t, NO_ROOM)
    place = t.keep(Place(t))
    code, out, err = place.run(
        *quiet(place), "python3", "-I", "-S", "-c", LIMITS, "FSIZE", "STACK",
        "CPU", "DATA", prefix=[
            "prlimit", "--fsize=4096:20000000", "--stack=1048576:8388608",
            "--cpu=50:100", f"--data={1 << 30}:{1 << 31}"])
    t.equal((code, err), (0, ""))
    t.equal(out.decode().splitlines(), ["4096 20000000", "1048576 8388608",
                                        "50 100", f"{1 << 30} {1 << 31}"])


@case(quick=True, gateways=OURS)
def limit_of_processes(t):
    """Where a user has no process left, that is what is said."""
    if not t.lab.user:
        t.skip("root's processes are not counted")
    place = t.keep(Place(t))
    failed = 0
    for few in (1, 2, 3, 8):
        code, out, err = place.run(*quiet(place), "echo", "ran", prefix=[
            "prlimit", f"--nproc={few}:{few}"])
        if code == 0:
            t.equal((out, err), (b"ran\n", ""), few)
            continue
        failed += 1
        if "setpriv:" in err:           # not even that is let start
            continue
        t.equal((code, out), (MACHINERY, b""), f"{few}: {err}")
        t.check("limit of processes" in err, f"{few}: {err}")
    t.check(failed > 0, "no limit was low enough")


# ---- told to end before it has begun ------------------------------------------------

def told_early(t, times):
    """Each time a half millisecond later than the last, from when the socket is there:
    all of its process group, or it and those that it has started, as a supervisor
    that ends a cgroup does."""
    place = t.keep(Place(t))
    sock, log = (os.path.join(place.path, name) for name in ("sock", "log"))
    for i in range(times):
        server = subprocess.Popen(
            [*t.lab.as_user(), os.path.join(t.bindir, "sallyport"), "serve", "-q", "-p",
             place.policy, "--stream", sock, "--audit", log], cwd=place.path,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
            env={"PATH": "/usr/bin:/bin", "HOME": place.path})
        try:
            t.check(lab.wait_until(lambda: server.poll() is not None or
                                   os.path.exists(sock), 10, 0.0002), "no socket")
            time.sleep(i // 2 % 32 / 2000)
            if i % 2:
                os.killpg(server.pid, signal.SIGTERM)
            else:
                with open(f"/proc/{server.pid}/task/{server.pid}/children",
                          encoding="ascii") as f:
                    keepers = [int(pid) for pid in f.read().split()]
                for pid in [server.pid, *keepers]:
                    os.kill(pid, signal.SIGTERM)
            _, err = server.communicate(timeout=20)
            t.equal((server.returncode, err), (0, ""), f"{i}")
            t.check(not os.path.exists(sock), "the socket is left")
        finally:
            server.kill()
            server.wait()


@case(quick=True, gateways=OURS)
def serve_told_early(t):
    """Who ends it before it is up ends it in order: nothing has failed."""
    told_early(t, 16)


@case(timeout=120, gateways=OURS)
def serve_told_early_often(t):
    told_early(t, 100)
