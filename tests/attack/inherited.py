"""What CMD is started with: 0, 1, 2, --keep-fd and what nobody closed."""
import contextlib
import json
import os
import socket
import subprocess

import lab as lablib
import servers
from corpus import DENY, NoAttack, Program, argv_of, attack, environment

LIVE = lablib.LIVE4


class Heard:
    """The internet's side: what came, by whatever way."""

    def __init__(self, a):
        self.udp = a.t.serve_udp(LIVE)
        self.tcp = a.t.serve(servers.sink, port=self.udp.port)
        self.port = self.udp.port

    def count(self):
        return len(self.udp.log) + len(self.tcp.log)


def inet(kind, proto=0, **how):
    """A socket of the host's network; how: options of the maker."""
    def make(a, heard):
        s = socket.socket(how.get("family", socket.AF_INET), kind, proto)
        if how.get("listen"):
            s.bind(("127.0.0.1", 0))
            s.listen(4)
            client = socket.create_connection(s.getsockname())
            a.t.keep(client)
        if how.get("connected"):
            s.connect((LIVE, heard.tcp.port))
        return s.detach()
    return make


def opened(path, flags):
    def make(a, heard):
        del a, heard
        return os.open(path, flags)
    return make


def accepted(a, heard):
    """What inetd or StandardInput=socket hands over."""
    del heard
    listener = a.t.keep(socket.create_server(("127.0.0.1", 0)))
    a.t.keep(socket.create_connection(listener.getsockname()))
    return listener.accept()[0].detach()


def pidfd(a, heard):
    del heard
    child = subprocess.Popen([*a.lab.as_user(), "sleep", "60"])
    a.t.keep(Killed(child))
    return os.pidfd_open(child.pid)


class Killed:
    def __init__(self, child):
        self.child = child

    def close(self):
        self.child.kill()
        self.child.wait()


def open_tree(a, heard):
    """A tree with the host's /run in it, as a descriptor."""
    import ctypes
    del a, heard
    fd = ctypes.CDLL(None, use_errno=True).syscall(428, -100, b"/", 0x88001)
    if fd == -1:
        raise NoAttack("open_tree")
    return fd


THINGS = {
    "a UDP socket": inet(socket.SOCK_DGRAM),
    "a TCP socket": inet(socket.SOCK_STREAM),
    "a connected TCP socket": inet(socket.SOCK_STREAM, connected=True),
    "an accepted TCP socket": accepted,
    "a listening TCP socket": inet(socket.SOCK_STREAM, listen=True),
    "a UDP socket of IPv6": inet(socket.SOCK_DGRAM, family=socket.AF_INET6),
    "a raw socket": inet(socket.SOCK_RAW, socket.IPPROTO_RAW),
    "a netlink socket": inet(socket.SOCK_RAW, 0, family=socket.AF_NETLINK),
    "a directory": opened("/run/hidden", os.O_RDONLY),
    "a directory by O_PATH": opened("/run/hidden", os.O_PATH),
    "the root directory": opened("/", os.O_RDONLY),
    "a network namespace": opened("/proc/self/ns/net", os.O_RDONLY),
    "a tree that is nowhere": open_tree,
    "a process": pidfd,
}


def hide(a):
    """Something that only the host's own tree has."""
    import nspace
    nspace.mount("host", "/run", "tmpfs", 0, "mode=755")
    a.t.keep(Unmount("/run"))
    os.mkdir("/run/hidden")
    for path in ("/run/hidden/x", "/run/secret-of-the-host",
                 "/run/hidden/secret-of-the-host"):
        with open(path, "wb"):
            pass


class Unmount:
    def __init__(self, path):
        self.path = path

    def close(self):
        import nspace
        nspace.umount(self.path)


def run_with(a, place, heard, fd, where, inside):
    """The attack with this descriptor at this number; what it gained."""
    # an interpreter does not start with a directory as 0
    command = ["bash", "-c", f'exec "$@" 19<&{where} {where}</dev/null', "sh",
               *argv_of(a, "inherited", fds=[19], dst=LIVE, port=heard.port)]
    if inside:
        keep = ["--keep-fd", str(where)] if where > 2 else []
        command = [os.path.join(a.t.bindir, "sallyport"), "run", "-q", "-p",
                   place.policy, "--audit", place.path + "/log", *keep, "--",
                   *command]
    out = os.path.join(place.path, "out")
    # its words go to a file: 1 and 2 may be what is handed over
    subprocess.run(
        [*a.lab.as_user(), "bash", "-c", f'exec "$@" {where}<&{fd}', "sh",
         *command],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
        pass_fds=[fd], env=environment(place, {"SAY_TO": out + ".said"}),
        cwd=place.path, check=False)
    try:
        with open(out + ".said", encoding="utf-8") as file:
            return json.loads(file.read().splitlines()[-1])["gained"]
    except (FileNotFoundError, IndexError):
        return None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(out + ".said")


def try_thing(a, place, heard, name, wheres):
    """Without Sallyport it is of use; how much of that is left at each number."""
    make = THINGS[name]
    fd = make(a, heard)
    control = run_with(a, place, heard, fd, 0, False)
    os.close(fd)
    if not control:
        a.t.note(f"{name} is of no use to this user")
        return
    a.controls += 1
    for where in wheres:
        fd = make(a, heard)
        found = run_with(a, place, heard, fd, where, True)
        os.close(fd)
        found = [w for w in found or [] if w in control]
        if found:
            a.gained(f"{name} as {where}: {', '.join(found)}")


def try_things(a, names, wheres=(0, 1, 2, 7)):
    place = a.place(DENY)
    hide(a)
    heard = Heard(a)
    for name in names:
        try_thing(a, place, heard, name, wheres)


@attack("M3", quick=True)
def inherited_sockets(a):
    """A socket of the host's network as 0, 1, 2 or by --keep-fd."""
    try_things(a, [n for n in THINGS if "UDP" in n or "TCP" in n], (0, 2, 7))


@attack("M3", quick=True)
def inherited_directories(a):
    """A directory leads to the tree that is not covered."""
    try_things(a, [n for n in THINGS if "director" in n or "tree" in n], (0, 2, 7))


@attack("M3")
def inherited_others(a):
    """Raw and netlink sockets, namespaces, processes."""
    try_things(a, ["a raw socket", "a netlink socket", "a network namespace",
                   "a process"], (0, 1, 7))


@attack("M3", quick=True)
def inherited_unasked(a):
    """Descriptors that the caller forgot to close: none comes to CMD."""
    place = a.place()
    fds = [os.open("/dev/null", os.O_RDWR) for _ in range(3)]
    fds += [socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach()]
    outside = Program(a, place, "descriptors", inside=False,
                      pass_fds=fds).result()
    a.control(len(outside["gained"]) >= 4, f"{outside}")
    a.gained_all(Program(a, place, "descriptors", pass_fds=fds).result()["gained"])
    for fd in fds:
        os.close(fd)


@attack("M3")
def inherited_directory_as_cwd(a):
    """The working directory is one that was removed, or that is hidden."""
    place = a.place()
    hide(a)
    os.chmod("/run/hidden", 0o755)
    command = [["cat /proc/self/cwd/../secret-of-the-host && echo seen", "seen"],
               ["cat ../secret-of-the-host && echo seen", "seen"]]
    out = Program(a, place, "shell", inside=False, cwd="/run/hidden",
                  commands=command).result()
    a.control(len(out["gained"]) == 2, f"{out}")
    program = Program(a, place, "shell", cwd="/run/hidden", commands=command)
    program.end()
    for said in program.said:
        a.gained_all(said.get("gained", ()))
