"""As CMD: system calls, families, devices, signals, priorities, terminals."""
import ctypes
import errno
import fcntl
import os
import socket
import struct
import subprocess
import time

from tools import (MS_BIND, MS_MOVE, MS_REMOUNT, NEWNET, NEWNS, NEWPID, NEWUSER,
                   NEWUTS, attempt, call, checked, count, gained, libc, say, wait)


# ---- the kernel ---------------------------------------------------------------------

def word_of(function, *args):
    """What came of it, in a word: "ok" or the error's name; counted."""
    count()
    try:
        function(*args)
        return "ok"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))


def family_of(number, kind):
    fd = call(41, number, kind, 0)
    os.close(fd)


def pair_of(number, kind):
    call(53, number, kind, 0, (ctypes.c_int * 2)())


def raw_of(family, kind, proto):
    fd = call(41, family, kind, proto)
    os.close(fd)


def families():
    """Every family but those that a program needs; every raw socket of those."""
    found = {}
    for family in range(47):
        for kind in (1, 2, 3, 5):
            if family not in (1, 2, 10, 16):
                found[f"socket {family} {kind}"] = (family_of, family, kind)
                found[f"socketpair {family} {kind}"] = (pair_of, family, kind)
    for family in (2, 10):
        for proto in (1, 6, 17, 58, 255):
            found[f"raw {family} {proto}"] = (raw_of, family, 3, proto)
    return found


ZERO = bytes(256)
NOW = struct.pack("qq", int(time.time()), 0)
CALLS = {                       # x86-64's numbers
    "ptrace(ATTACH, init)": (101, 16, 1, 0, 0),
    "ptrace(SEIZE, init)": (101, 0x4206, 1, 0, 0),
    "kcmp(init)": (312, 1, 1, 0, 0, 0),
    "keyctl(JOIN_SESSION)": (250, 1, None),
    "keyctl(GET_KEYRING_ID)": (250, 0, -4, 0),
    "add_key": (248, b"user", b"x", b"x", 1, -5),
    "request_key": (249, b"user", b"x", None, 0),
    "io_uring_setup": (425, 4, ctypes.create_string_buffer(ZERO)),
    "io_uring_enter": (426, -1, 0, 0, 0, None, 0),
    "io_uring_register": (427, -1, 0, None, 0),
    "bpf(MAP_CREATE)": (321, 0, ctypes.create_string_buffer(struct.pack(
        "IIII", 1, 4, 4, 4) + ZERO), 64),
    "bpf(PROG_LOAD)": (321, 5, ctypes.create_string_buffer(ZERO), 64),
    "mount a tmpfs": (165, b"none", b"/mnt", b"tmpfs", 0, None),
    "mount a bind": (165, b"/", b"/mnt", b"none", MS_BIND, None),
    "mount a move": (165, b"/run", b"/mnt", b"none", MS_MOVE, None),
    "remount": (165, b"none", b"/", b"none", MS_REMOUNT | MS_BIND, None),
    "share": (165, b"none", b"/", b"none", 0x100000, None),
    "umount /run": (166, b"/run", 2), "umount /tmp": (166, b"/tmp", 2),
    "umount /proc": (166, b"/proc", 2), "umount /dev": (166, b"/dev", 2),
    "umount /etc/resolv.conf": (166, b"/etc/resolv.conf", 2),
    "pivot_root": (155, b"/", b"/"), "chroot": (161, b"/"),
    "open_tree(CLONE)": (428, -100, b"/", 0x80001),
    "fsopen": (430, b"tmpfs", 0), "fspick": (433, -100, b"/", 0),
    "mount_setattr": (442, -100, b"/", 0x8000, ctypes.create_string_buffer(
        struct.pack("QQQQ", 0, 2, 0, 0)), 32),
    "unshare(NEWNS)": (272, NEWNS), "unshare(NEWNET)": (272, NEWNET),
    "unshare(NEWPID)": (272, NEWPID), "unshare(NEWUTS)": (272, NEWUTS),
    "sethostname": (170, b"x", 1), "setuid(0)": (105, 0), "setgid(0)": (106, 0),
    "setgroups": (116, 1, ctypes.create_string_buffer(ZERO)),
    "capset": (126, ctypes.create_string_buffer(struct.pack(
        "II", 0x20080522, 0)), ctypes.create_string_buffer(struct.pack(
            "6I", *[0xffffffff] * 6))),
    "prctl(CAP_AMBIENT_RAISE)": (157, 47, 2, 13, 0, 0),
    "prctl(SET_SECCOMP off)": (157, 22, 0, 0, 0, 0),
    "prctl(SET_NO_NEW_PRIVS off)": (157, 38, 0, 0, 0, 0),
    "open_by_handle_at": (304, 3, ctypes.create_string_buffer(struct.pack(
        "Ii", 8, 1) + ZERO), 0),
    "kexec_load": (246, 0, 0, None, 0), "init_module": (175, None, 0, b""),
    "finit_module": (313, 0, b"", 0), "delete_module": (176, b"x", 0),
    "swapon": (167, b"/x", 0), 
    # with an argument that nobody would do anything for
    "reboot": (169, 1, 1, 0, 0),
    "acct": (163, b"/x"), "quotactl": (179, 0, None, 0, None),
    "iopl": (172, 3), "ioperm": (173, 0, 1, 1), "settimeofday": (
        164, ctypes.create_string_buffer(NOW), None),
    "clock_settime": (227, 0, ctypes.create_string_buffer(NOW)),
    "perf_event_open": (298, ctypes.create_string_buffer(struct.pack(
        "IIQ", 1, 128, 0) + ZERO), -1, 0, -1, 0),
    "syslog(READ_ALL)": (103, 3, ctypes.create_string_buffer(ZERO), 256),
    "fanotify_init(CONTENT)": (300, 4, 0),
    "lookup_dcookie": (212, 1, ctypes.create_string_buffer(ZERO), 256),
    "setns(init's net)": (308, "/proc/1/ns/net", NEWNET),
    "setns(init's user)": (308, "/proc/1/ns/user", NEWUSER),
    "setns(init's mnt)": (308, "/proc/1/ns/mnt", NEWNS),
    "pidfd_getfd(init)": (438, "pidfd", 0, 0),
    "process_madvise(init)": (440, "pidfd", None, 0, 4, 0),
    "ioprio_set(USER)": (251, 3, "uid", 0x4000),
    "ioprio_set(PGRP)": (251, 2, 0, 0x4000),
    "setpriority(USER)": (141, 2, "uid", 5), "setpriority(PGRP)": (141, 1, 0, 5),
    "vhangup": (153,), "nfsservctl": (180, 0, None, None),
    "personality(ADDR_NO_RANDOMIZE)": (135, 0x40000),
}


def prepared(arguments):
    """The words in a row become what they are about."""
    done = []
    for one in arguments:
        if one == "pidfd":
            one = os.pidfd_open(1)
        elif one == "uid":
            one = os.getuid()
        elif isinstance(one, str):
            one = os.open(one, os.O_RDONLY)
        done.append(one)
    return done


def try_calls():
    outcomes({n: (lambda a=a: call(*prepared(a)),) for n, a in CALLS.items()})


def try_families():
    outcomes(families())


def outcomes(rows):
    """Every row in a process of its own: {"words": {name: outcome}}."""
    words = {}
    for name, (function, *args) in rows.items():
        r, w = os.pipe()
        if (pid := os.fork()) == 0:
            os.write(w, word_of(function, *args).encode())
            os._exit(0)
        os.close(w)
        words[name] = os.read(r, 64).decode() or "died"
        os.close(r)
        os.waitpid(pid, 0)
        count()
    say({"words": words})


def try_doors(probe):
    """The same call by i386's door, by x32's, and with high bits."""
    for door in ("i386", "x32", "x86-64"):
        for what in ("40", "38", "31", "17"):
            done = subprocess.run([probe, door, what], check=False,
                                  capture_output=True)
            count()
            if done.returncode == 0:
                gained(f"socket({what}) by {door}")
    if attempt(call, 41, 40 | 1 << 32, 1, 0):
        gained("socket(40) with high bits")


DEVICES = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "tun", "fd",
           "stdin", "stdout", "stderr", "shm", "mqueue", "pts", "net", "console"}


def try_devices():
    """Every node of /dev that opens and is not one that everybody needs; the
    queues of the host."""
    for top, _, names in os.walk("/dev"):
        for name in names:
            path = os.path.join(top, name)
            if name in DEVICES or "/pts/" in path or path.startswith(
                    ("/dev/fd/", "/dev/shm/", "/dev/mqueue/")):
                continue
            for how in (os.O_RDONLY, os.O_RDWR):
                if attempt(lambda p=path, h=how: os.close(os.open(
                        p, h | os.O_NONBLOCK | os.O_NOCTTY))):
                    gained(path)
                    break


def try_queues():
    """POSIX queues of the host, by the file system that shows them."""
    if not os.path.isdir("/dev/mqueue"):
        return
    for name in os.listdir("/dev/mqueue"):
        path = "/dev/mqueue/" + name
        if attempt(lambda p=path: call(242, os.open(p, os.O_RDWR), b"attack", 6,
                                       0, None)):
            gained(path)


def try_link():
    """eth0, its tap, routes, neighbours; taps of other names."""
    for command in ("link set eth0 down", "link set lo down",
                    "address add 10.9.9.9/24 dev eth0",
                    "route replace default via 10.83.80.3",
                    "neigh replace 10.83.80.2 lladdr 02:00:00:00:00:99 dev eth0",
                    "link add d0 type dummy", "tuntap add tap9 mode tap",
                    "rule add from all lookup 9", "link set eth0 netns 1"):
        done = subprocess.run(["ip", *command.split()], check=False,
                              capture_output=True)
        count()
        if done.returncode == 0:
            gained("ip " + command)
    for flags in (0x1002, 0x1001, 0x5002, 0x1102):
        attempt(tap, b"eth0", flags, what=f"TUNSETIFF eth0 {flags:#x}")
        attempt(tap, b"mine", flags, what=f"TUNSETIFF {flags:#x}")


def tap(name, flags):
    with open("/dev/net/tun", "r+b", buffering=0) as file:
        fcntl.ioctl(file, 0x400454ca, struct.pack("16sH22x", name, flags))


# ---- signals and schedules of others ---------------------------------------------------

def by_owner(s, number):
    """F_SETOWN, F_SETSIG, O_ASYNC: what comes is told to the owner."""
    checked(libc.fcntl(s.fileno(), 8, number))
    checked(libc.fcntl(s.fileno(), 10, 10))                 # F_SETSIG, SIGUSR1
    checked(libc.fcntl(s.fileno(), 4, 0o20000 | 0o4000))


def by_ioctl(s, number, request=0x8901):
    fcntl.ioctl(s, request, struct.pack("i", number))
    checked(libc.fcntl(s.fileno(), 10, 10))
    checked(libc.fcntl(s.fileno(), 4, 0o20000 | 0o4000))


def by_owner_ex(s, _):
    fcntl.fcntl(s, 15, struct.pack("ii", 2, os.getpgrp()))   # F_OWNER_PGRP
    checked(libc.fcntl(s.fileno(), 10, 10))
    checked(libc.fcntl(s.fileno(), 4, 0o20000 | 0o4000))


def asynchronous(way):
    """A socket that signals when it can be read; then it can."""
    for number in (-os.getpgrp(), 0, -1, -2):
        a, b = socket.socketpair()
        if attempt(way, a, number):
            b.send(b"x")
            time.sleep(0.05)


def try_signals(later=False):
    """Everything that sends a signal to a group, or to all. Nobody inside minds."""
    import signal
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if later:
        wait()
    for target in (0, -1, -os.getpgrp(), -2):
        attempt(os.kill, target, signal.SIGUSR1)
    attempt(os.killpg, 0, signal.SIGUSR1)
    child = os.fork()
    if child == 0:
        time.sleep(2)
        os._exit(0)
    for pid in (child, os.getpid(), 1):
        for flags in (0, 1, 2, 4):                          # 4: its whole group
            attempt(lambda p=pid, f=flags: call(
                424, os.pidfd_open(p), signal.SIGUSR1, None, f))
    for way in (by_owner, by_ioctl, by_owner_ex,
                lambda s, n: by_ioctl(s, n, 0x8902)):
        asynchronous(way)
    os.kill(child, 9)
    os.waitpid(child, 0)


def try_schedules(later=False):
    """Priorities of everybody of this user, or of this group."""
    if later:
        wait()
    for which, who in ((1, 0), (2, 0), (2, os.getuid())):
        attempt(call, 141, which, who, 7)
        attempt(call, 141 | 0x40000000, which, who, 7)
    for which, who in ((2, 0), (3, 0), (3, os.getuid())):
        attempt(call, 251, which, who, 0x4007)


# ---- terminals ------------------------------------------------------------------------

def try_terminals(names, later=False):
    """Terminals that are not CMD's own: by name, by every node there is, by others'
    descriptors."""
    if later:
        wait()
    paths = list(names)
    for top in ("/dev/pts", "/proc/1/root/dev/pts"):
        if attempt(os.listdir, top):
            paths += [f"{top}/{n}" for n in os.listdir(top) if n.isdigit()]
    for path in dict.fromkeys(paths):
        try:
            if os.path.sameopenfile(0, os.open(path, os.O_PATH)):
                continue                    # its own
        except OSError:
            pass
        if attempt(speak, path):
            gained(f"{path} opens")


def speak(path):
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        os.write(fd, b"attack " + path.encode() + b"\n")
    finally:
        os.close(fd)


def try_type():
    """Characters into the caller's own terminal: {"words": ...}."""
    words = {}
    x = ctypes.create_string_buffer(b"x")
    for name, request in (("TIOCSTI", 0x5412), ("TIOCLINUX", 0x541c),
                          ("TIOCSTI with high bits", 0x5412 | 1 << 32),
                          ("TIOCLINUX with high bits", 0x541c | 7 << 32)):
        for fd in (0, 1, 2):
            words[f"{name} {fd}"] = word_of(call, 16, fd, request, x)
        if attempt(os.close, os.open("/dev/tty", os.O_RDWR)):
            words[name + " /dev/tty"] = word_of(
                call, 16, os.open("/dev/tty", os.O_RDWR), request, x)
    say({"words": words})
