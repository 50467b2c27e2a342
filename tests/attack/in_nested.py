"""As CMD: what a user's root of new namespaces can do about covers."""
import os

from in_sockets import knock
from tools import (MARK, MNT_DETACH, MS_BIND, MS_MOVE, MS_PRIVATE, MS_REC, MS_REMOUNT,
                   NEWCGROUP, NEWIPC, NEWNET, NEWNS, NEWPID, NEWUSER, NEWUTS, attempt,
                   call, gained, mount, mounts, nested, umount)

files = False                   # what reached() is about


def private():
    mount("none", "/", "none", MS_REC | MS_PRIVATE)


def bare(path, name):
    """Every mount at or above the path taken away, as far as it goes."""
    for place in reversed(mounts()):
        if place != "/" and (path + "/").startswith(place + "/"):
            for flags in (MNT_DETACH, 0, 1, 4):
                attempt(umount, place, flags)
    if reached(path):
        gained(f"{name} by umount")


def reached(path):
    """Of a socket: it answers. Of a file: it can be written."""
    if not files:
        return knock(path)
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "ab") as file:
            return file.write(MARK) > 0
    except OSError:
        return False


def fresh(name):
    path = os.path.join(os.getcwd(), name)
    os.makedirs(path, exist_ok=True)
    return path


def mounted(path, way, make):
    """make(where) mounts something at `where` that would show what is below the
    covers; `path` is looked for in it."""
    where = fresh("where")
    if not attempt(make, where):
        return
    for candidate in (where + path, where + "/" + os.path.basename(path),
                      os.path.join(where, os.path.basename(
                          os.path.dirname(path)), os.path.basename(path))):
        if reached(candidate):
            gained(f"{path} by {way}")
    attempt(umount, where)


def tree(flags, source, where):
    """open_tree(2) and move_mount(2)."""
    fd = call(428, -100, os.fsencode(source), flags)
    try:
        call(429, fd, b"", -100, os.fsencode(where), 4)
    finally:
        os.close(fd)


def overlay(where, lower, upper=None):
    data = f"lowerdir={lower},userxattr"
    if upper:
        data += f",upperdir={upper},workdir={fresh('work')}"
    mount("overlay", where, "overlay", 0, data)


def swap_root(path):
    """pivot_root(2) into a copy of everything, the old one taken away."""
    new = fresh("root")
    mount("/", new, "none", MS_BIND | MS_REC)
    os.chdir(new)
    call(155, b".", b".")
    attempt(umount, ".")
    if reached(path):
        gained(f"{path} by pivot_root")


def under_the_covers(paths):
    """Everything that a user's root of a new mount namespace can do about them."""
    attempt(private)
    for path in paths:
        parent, grand = os.path.dirname(path), os.path.dirname(
            os.path.dirname(path))
        for source in ("/", parent, grand, path):
            mounted(path, "a bind", lambda w, s=source: mount(
                s, w, "none", MS_BIND))
            mounted(path, "a recursive bind", lambda w, s=source: mount(
                s, w, "none", MS_BIND | MS_REC))
            mounted(path, "open_tree", lambda w, s=source: tree(
                0x80001, s, w))                 # CLOEXEC | CLONE
            mounted(path, "open_tree, recursive", lambda w, s=source: tree(
                0x88001, s, w))
            mounted(path, "an overlay's lower", lambda w, s=source: overlay(
                w, s + ":" + fresh("empty")))
            mounted(path, "an overlay's upper", lambda w, s=source: overlay(
                w, fresh("empty"), s))
            mounted(path, "moving", lambda w, s=source: mount(
                s, w, "none", MS_MOVE))
        bare(path, path)
        attempt(mount, "none", parent, "none", MS_REMOUNT | MS_BIND)
        if reached(path):
            gained(f"{path} after a remount")
    for path in paths:
        attempt(swap_root, path)


def try_nested(paths):
    """The same from nested namespaces, alone, with others, twice over."""
    def deeper():
        nested(lambda: under_the_covers(paths))
    for flags in (NEWUSER | NEWNS, NEWUSER | NEWNS | NEWPID | NEWNET | NEWIPC |
                  NEWUTS | NEWCGROUP):
        nested(lambda: under_the_covers(paths), flags)
    nested(deeper, NEWUSER | NEWNS)
    nested(lambda: under_the_covers(paths), NEWNS, full=False)
    attempt(under_the_covers, paths)            # with no namespace of its own


def try_under(paths):
    """Files, from nested namespaces."""
    globals()["files"] = True
    try_nested(paths)


