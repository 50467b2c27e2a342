"""Namespaces by system call: what lab.py needs and Python 3.11 does not have.

No name is ever given to a namespace: it lives as long as a process or an open
fd of this program, so runs cannot collide and nothing has to be cleaned up.
"""
import ctypes
import os
import signal
import sys

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_BIND = 0x1000
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        err = ctypes.get_errno()
        raise OSError(err, f"{what}: {os.strerror(err)}")


def unshare(flags):
    _check(_libc.unshare(flags), "unshare")


def setns(fd, kind=0):
    _check(_libc.setns(fd, kind), "setns")


def mount(source, target, fstype, flags=0, data=None):
    _check(_libc.mount(source.encode(), target.encode(), fstype.encode(),
                       ctypes.c_ulong(flags),
                       data.encode() if data else None), f"mount {target}")


def umount(target):
    _check(_libc.umount2(target.encode(), 2), f"umount {target}")


def die_with_parent():
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


class Netns:
    """A network namespace held by an fd; `with ns:` moves this thread into it.

    Sockets made and processes started inside the block belong to it for ever.
    """

    def __init__(self, fd):
        self.fd = fd
        self._back = []

    @classmethod
    def current(cls):
        return cls(os.open("/proc/thread-self/ns/net",
                           os.O_RDONLY | os.O_CLOEXEC))

    @classmethod
    def new(cls):
        back = cls.current()
        unshare(CLONE_NEWNET)
        try:
            return cls.current()
        finally:
            setns(back.fd)
            os.close(back.fd)

    @classmethod
    def of(cls, pid):
        return cls(os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    def __enter__(self):
        self._back.append(os.open("/proc/thread-self/ns/net",
                                  os.O_RDONLY | os.O_CLOEXEC))
        setns(self.fd, CLONE_NEWNET)
        return self

    def __exit__(self, *exc):
        back = self._back.pop()
        setns(back, CLONE_NEWNET)
        os.close(back)

    def close(self):
        os.close(self.fd)


def _write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _init(child):
    """Process 1: buries everybody's orphans, ends when `child` ends."""
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, signal.SIG_IGN)
    while True:
        pid, status = os.wait()
        if pid == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xff)


def enter(scratch):
    """Goes on in a child with pid, mount, ipc and network namespaces of its own.

    The caller's process waits there for ever and exits with the child's status.
    `scratch` (an existing directory) gets a tmpfs. When the calling process
    dies, everything in these namespaces dies. Raises OSError where the machine
    does not allow it.
    """
    uid, gid = os.geteuid(), os.getegid()
    if uid != 0:
        unshare(CLONE_NEWUSER)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {uid} 1")
        _write("/proc/self/gid_map", f"0 {gid} 1")
    unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid != 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGKILL))
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        os._exit(code if code >= 0 else 128 - code)
    die_with_parent()
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    mount("proc", "/proc", "proc")
    mount("tmpfs", scratch, "tmpfs", 0, "mode=755")
    child = os.fork()
    if child != 0:
        _init(child)
    die_with_parent()
