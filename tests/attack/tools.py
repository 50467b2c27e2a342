"""What every program of inside.py is made of: counting, system calls, namespaces."""
import ctypes
import json
import os
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUSER, NEWPID, NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000
NEWIPC, NEWUTS, NEWCGROUP = 0x8000000, 0x4000000, 0x2000000
MS_BIND, MS_REC, MS_PRIVATE, MS_MOVE = 0x1000, 0x4000, 0x40000, 0x2000
MS_REMOUNT = 0x20
MNT_DETACH = 2
MARK = b"attack\n"
gains, tries = [], [0]


def gained(what):
    if what not in gains:
        gains.append(what)


def count():
    tries[0] += 1


def say(message):
    """On stdout; in a file where that is part of the attack."""
    text = json.dumps(message) + "\n"
    if "SAY_TO" in os.environ:
        with open(os.environ["SAY_TO"], "a", encoding="utf-8") as file:
            file.write(text)
    else:
        sys.stdout.write(text)
        sys.stdout.flush()


def wait():
    """The host changes something now."""
    say({"ready": True})
    sys.stdin.readline()


def attempt(function, *args, what=None):
    """True if it did not fail; counted."""
    count()
    try:
        function(*args)
    except (OSError, subprocess.SubprocessError, ValueError):
        return False
    if what:
        gained(what)
    return True


def call(number, *args):
    """A system call by its number; OSError if it fails."""
    libc.syscall.restype = ctypes.c_long
    ret = libc.syscall(ctypes.c_long(number), *[
        a if isinstance(a, (bytes, ctypes.Array, type(None)))
        or hasattr(a, "_obj") or isinstance(a, ctypes.c_void_p)
        else ctypes.c_long(a) for a in args])
    if ret == -1:
        err = ctypes.get_errno()
        raise OSError(err, os.strerror(err))
    return ret


def checked(ret):
    if ret != 0:
        err = ctypes.get_errno()
        raise OSError(err, os.strerror(err))


def mount(source, target, kind, flags=0, data=None):
    checked(libc.mount(os.fsencode(source), os.fsencode(target), kind.encode(),
                       ctypes.c_ulong(flags), data.encode() if data else None))


def umount(target, flags=MNT_DETACH):
    checked(libc.umount2(os.fsencode(target), flags))


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def mounts():
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return [line.split()[4].encode().decode("unicode_escape")
                for line in file]


# ---- nested namespaces ------------------------------------------------------------

def nested(function, flags=NEWUSER | NEWNS, full=True):
    """function() in a child in namespaces of its own, as their root. Its gains
    count; False if there are no such namespaces."""
    uid, gid = os.geteuid(), os.getegid()
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(r)
        code = 1
        try:
            checked(libc.unshare(flags))
            if flags & NEWUSER and full:
                write("/proc/self/setgroups", "deny")
                write("/proc/self/uid_map", f"0 {uid} 1")
                write("/proc/self/gid_map", f"0 {gid} 1")
            os.write(w, b"+")
            gains.clear()
            function()
            code = 0
        except OSError:
            pass
        finally:
            os.write(w, json.dumps([gains, tries[0]]).encode())
            os._exit(code)
    os.close(w)
    with os.fdopen(r, "rb") as file:
        text = file.read()
    os.waitpid(pid, 0)
    if not text.startswith(b"+"):
        return False
    more, count = json.loads(text[1:])
    for one in more:
        gained(one)
    tries[0] = count
    return True
