"""As CMD: what it was started with."""
import contextlib
import os
import socket
import struct

from tools import attempt, call, checked, gained, libc


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
