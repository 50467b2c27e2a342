"""As CMD: talking to programs of the host, by every way to a path."""
import ctypes
import os
import socket
import struct
import subprocess

from tools import attempt, call, count, gained, wait

# ---- sockets ----------------------------------------------------------------------

KINDS = {"stream": socket.SOCK_STREAM, "dgram": socket.SOCK_DGRAM,
         "seqpacket": socket.SOCK_SEQPACKET}


def knock(path, word=None):
    """Says `word` to whoever hears at the path, whatever kind it is of."""
    text = (word or path).encode() + b"\n"
    for kind in KINDS.values():
        with socket.socket(socket.AF_UNIX, kind) as s:
            s.settimeout(3)
            if attempt(s.connect, path):
                attempt(s.send, text)
                return True
    return False


def knock_all(paths, word=None):
    for path in paths:
        if knock(path, word):
            gained(path)


def try_reach(paths, later=False):
    """Every path, by its name. later: when the host has changed."""
    if later:
        wait()
    knock_all(paths)


def by_fd(path):
    """Through an O_PATH descriptor of its directory."""
    fd = os.open(os.path.dirname(path), os.O_PATH)
    found = knock(f"/proc/self/fd/{fd}/{os.path.basename(path)}", path)
    os.close(fd)
    return found


def by_fd_of_itself(path):
    fd = os.open(path, os.O_PATH)
    found = knock(f"/proc/self/fd/{fd}", path)
    os.close(fd)
    return found


def by_hard_link(path):
    os.link(path, "linked")
    try:
        return knock("linked", path)
    finally:
        os.unlink("linked")


def by_symlink(path):
    os.symlink(os.path.dirname(path), "symlinked")
    try:
        return knock("symlinked/" + os.path.basename(path), path)
    finally:
        os.unlink("symlinked")


def by_link_of_fd(path):
    """linkat(AT_EMPTY_PATH): the inode gets a new name."""
    fd = os.open(path, os.O_PATH)
    try:
        os.link(f"/proc/self/fd/{fd}", "linked", follow_symlinks=True)
        return knock("linked", path)
    finally:
        os.close(fd)
        if os.path.lexists("linked"):
            os.unlink("linked")


def by_dots(path):
    return knock(os.getcwd() + "/" + "../" * 20 + path, path)


def by_var_run(path):
    return path.startswith("/run/") and knock("/var" + path, path)


def by_root_of(pid):
    def way(path):
        return knock(f"/proc/{pid}/root{path}", path)
    way.__name__ = f"root of {pid}"
    return way


def by_cwd_of_init(path):
    return knock(f"/proc/1/cwd/{'../' * 20}{path}", path)


def by_handle(path):
    """open_by_handle_at(2): past every mount."""
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    number = ctypes.c_int()
    call(303, -100, os.fsencode(path), handle, ctypes.byref(number), 0)
    where = os.open(os.path.dirname(path), os.O_RDONLY)
    fd = call(304, where, handle, os.O_PATH)
    return knock(f"/proc/self/fd/{fd}", path)


WAYS = [by_fd, by_fd_of_itself, by_hard_link, by_link_of_fd, by_symlink, by_dots,
        by_var_run,        by_root_of(1), by_root_of("self"), by_root_of("thread-self"),
        by_cwd_of_init, by_handle]


def try_roundabout(paths):
    """Every path, by everything but its name."""
    for path in paths:
        for way in WAYS:
            try:
                if way(path):
                    gained(f"{path} by {way.__name__}")
            except OSError:
                attempt(os.stat, "/nowhere")


def try_abstract(names):
    for name in names:
        if knock("\0" + name, "@" + name):
            gained("@" + name)


def try_shell(commands, later=False):
    """Each [command, words]: gained if its output has the words."""
    if later:
        wait()
    for command, words in commands:
        count()
        done = subprocess.run(["sh", "-c", command], capture_output=True,
                              timeout=20, check=False, text=True,
                              stdin=subprocess.DEVNULL)
        if words in done.stdout:
            gained(command)
