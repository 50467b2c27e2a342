"""System calls, devices, signals: what a process may do to a kernel that others
use too. "Held" is not an error alone: what passes CMD's filter is told, because a
kernel with another module would go on."""
import os
import signal
import subprocess
import time

import lab as lablib
import nspace
from corpus import Program, attack, nobody

BLOCKED = ("io_uring", "key", "add_key", "request_key", "reboot")
OF_ROOT = {"chroot", "setuid(0)", "setgid(0)", "setgroups"}     # sallyport(1)
HARMLESS = {                    # succeed for everybody and reach nobody else:
    "prctl(SET_SECCOMP off)",
    "personality(ADDR_NO_RANDOMIZE)",
    # the kernel looks at the caller's pid namespace only, or kernel_schedules does
    "setpriority(USER)", "ioprio_set(USER)", "setpriority(PGRP)",
    "ioprio_set(PGRP)"}


def words(program):
    program.end()
    return next(s["words"] for s in program.said if "words" in s)


@attack("held", quick=True)
def kernel_calls(a):
    """Calls of which an ordinary program needs none."""
    passing(a, "calls", 65, BLOCKED)


@attack("L4", quick=True)
def kernel_families(a):
    """Families of sockets but AF_UNIX, AF_INET, AF_INET6 and AF_NETLINK, and raw
    ones of these; by socketpair(2) too."""
    passing(a, "families", 300, ("socket ", "socketpair "))


def passing(a, name, least, blocked):
    """What does something; and of `blocked`, what gets past the filter."""
    place = a.place()
    outside = words(Program(a, place, name, inside=False, prefix=nobody(a)))
    inside = words(Program(a, place, name))
    a.control(len(inside) > least, f"{len(inside)} calls")
    for what, word in inside.items():
        if word == "ok" and what not in HARMLESS and \
                (a.lab.user or what not in OF_ROOT):
            a.gained(what)
        elif what.startswith(blocked) and word not in ("EPERM", "died") and \
                outside[what] != "EPERM":
            a.gained(f"{what} passes the filter ({word})")


@attack("L3", quick=True)
def kernel_schedules(a):
    """The priority of the user's other processes."""
    place = a.place()
    for inside in (True, False):
        who = [] if inside else nobody(a)
        program = Program(a, place, "schedules", inside=inside, later=True,
                          prefix=who)
        program.ready()
        others = Sleeper(a, program.process.pid, who), Sleeper(a, 0, who)
        before = [(o.nice(), o.io()) for o in others]
        program.go()
        program.result()
        hit = [(o.nice(), o.io()) for o in others]
        if not inside:
            a.control(all(n != m and i != j for (n, i), (m, j) in zip(hit, before)),
                      f"on the host {hit}")
        elif hit != before:
            a.gained(f"others have nice and I/O priority {hit}, not {before}")


class Sleeper:
    """Another process of the user, in this group or one of its own."""

    def __init__(self, a, group, who):
        self.process = subprocess.Popen(
            [*who, *a.lab.as_user(), "sleep", "100"], process_group=group)
        a.t.keep(self)
        lablib.wait_until(lambda: lablib.program(self.process.pid) == "sleep", 5)

    def nice(self):
        return os.getpriority(os.PRIO_PROCESS, self.process.pid)

    def io(self):
        import ctypes
        value = ctypes.CDLL(None).syscall(252, 1, self.process.pid)
        return 0 if value >> 13 == 0 else value

    def close(self):
        self.process.kill()
        self.process.wait()


@attack("held", quick=True)
def kernel_signals(a):
    """Groups, everybody, owners of sockets, pidfds: nobody outside is hit."""
    place = a.place()
    for inside in (True, False):
        who = [] if inside else nobody(a)
        program = Program(a, place, "signals", inside=inside, later=True,
                          prefix=who)
        program.ready()
        other = subprocess.Popen([*who, *a.lab.as_user(), "sleep", "100"],
                                 process_group=program.process.pid)
        lablib.wait_until(lambda: lablib.program(other.pid) == "sleep", 5)
        program.go()
        status, err = program.end()
        time.sleep(0.2)
        hit = other.poll()
        other.kill()
        other.wait()
        if not inside:
            a.control(hit == -signal.SIGUSR1, f"nobody is hit on the host: {hit}")
        elif hit is not None:
            a.gained(f"a process outside died of signal {-hit}")
        elif status not in (0, -signal.SIGUSR1):
            a.gained(f"`sallyport` itself ended with {status}: {err[-100:]!r}")


@attack("L1", quick=True)
def kernel_devices(a):
    """Nodes of /dev that are the host's."""
    place = a.place()
    out = Program(a, place, "devices", inside=False).result()
    if out["tried"] <= 3:
        a.skip("this machine has none but those that everybody needs")
    a.control(out["tried"] > 3, f"{out}")
    a.gained_all(Program(a, place, "devices").result()["gained"])


@attack("held", quick=True)
def kernel_queues(a):
    """A POSIX queue of the host's is a file below /dev/mqueue."""
    import ctypes
    if not os.path.isdir("/dev/mqueue"):
        a.skip("no /dev/mqueue")
    nspace.mount("host", "/dev/mqueue", "mqueue")
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(240, b"attack", os.O_RDWR | os.O_CREAT, 0o666, None)
    os.fchmod(fd, 0o666)
    place = a.place()
    try:
        out = Program(a, place, "queues", inside=False).result()
        a.control(out["gained"], f"no queue on the host: {out}")
        a.gained_all(Program(a, place, "queues").result()["gained"])
    finally:
        libc.syscall(241, b"attack")
        os.close(fd)
        nspace.umount("/dev/mqueue")


@attack("held", quick=True)
def kernel_link(a):
    """CMD's own link: netlink, and taps that would be in its place."""
    place = a.place()
    found = Program(a, place, "link").result()
    a.control(found["tried"] > 10, f"{found}")
    a.gained_all(found["gained"])


@attack("held", quick=True)
def kernel_doors(a):
    """i386's calls, x32's, and arguments that are longer than they look."""
    place = a.place()
    probe = os.path.join(a.t.bindir, "probe")
    if not os.path.exists(probe):
        a.skip("tests/attack/probe is not built")
    out = Program(a, place, "doors", inside=False, probe=probe).result()
    a.control(any("socket" in g for g in out["gained"]), f"{out}")
    a.gained_all(Program(a, place, "doors", probe=probe).result()["gained"])
