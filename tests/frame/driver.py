#!/usr/bin/env python3
"""Runs a command behind the real, sealed sallyport-frame, with a broker in this
file that allows everything: every destination is the same port of the loopback,
and the first label of a name says how it is answered (see answer()).

    driver.py [options] -- CMD...

CMD runs in a network namespace of its own with a tap (10.0.2.100/24 and
fd53:616c:6c79::100/64) whose other end the frame holds. Needs root. The exit
status is CMD's; 99 if the frame died. For tests of the frame alone; the system
tests use the real broker.
"""
import argparse
import array
import ctypes
import errno
import fcntl
import hashlib
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MAGIC, VERSION = 0x53414c59, 2
HELLO, OPEN, ACK, CLOSE, DROPS, PONG, RESOLVE, FLIGHT, MUTE = range(1, 10)
CONFIG, GRANT, DENY, REVOKE, PING, PEEK, ANSWER = range(64, 71)
ADDRESSES, NODATA, NXDOMAIN, DENIED, WITHHELD, SERVFAIL, REFUSED = range(1, 8)
KINDS = {"tls": 1, "http": 2}
TAP, STREAM = 1, 2
VNET, CSUM, TSO4, TSO6, TRUST = 1, 2, 4, 8, 16
TCP, UDP, ECHO = 6, 17, 1
FIN, RST, CANCEL = 1, 2, 3
RESET, ADMIN, HOST, NET, SILENT = 1, 2, 3, 4, 5
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 2, 0x1000, 0x4000
TUNSETIFF, TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454ca, 0x400454d0, 0x400454d8
GATEWAY_MAC = bytes.fromhex("025350000001")
CODES = {"reset": RESET, "admin": ADMIN, "host": HOST, "net": NET,
         "silent": SILENT}

libc = ctypes.CDLL(None, use_errno=True)


def endpoint(text=None, port=0):
    if text is None:
        return bytes(20)
    v6 = ":" in text
    raw = socket.inet_pton(socket.AF_INET6 if v6 else socket.AF_INET, text)
    return struct.pack("=BBH16s", 6 if v6 else 4, 0, port, raw)


def addresses(name, family, n):
    """What `name` resolves to, so that a client can tell a wrong answer."""
    h = hashlib.sha256(name.encode()).digest()
    if family == 6:
        return [b"\x20\x01\x0d\xb8" + h[:11] + bytes([i]) for i in range(n)]
    return [bytes([192, h[0], h[1], i]) for i in range(n)]


def answer(ident, qtype, name):
    """Code, TTL and addresses by the first label: aN- has N addresses."""
    label = name.split(".")[0].split("-")[0]
    codes = {"nodata": NODATA, "nx": NXDOMAIN, "denied": DENIED, "withheld": WITHHELD,
             "fail": SERVFAIL, "refused": REFUSED}
    n = 0
    code = codes.get(label, NODATA)
    if label[:1] == "a" and label[1:].isdigit() and qtype in (1, 28):
        n = int(label[1:])
        code = ADDRESSES if n > 0 else NODATA
    family = 4 if qtype == 1 else 6
    body = b"".join(struct.pack("=BBH", family, 0, 0) + a.ljust(16, b"\0")
                    for a in addresses(name, family, n))
    return struct.pack("=IIQIIII", ANSWER, 0, ident, code, 60, n, 0) + \
        body.ljust(256 * 20, b"\0")


def lease(guest, gateway, bits):
    return endpoint(guest) + endpoint(gateway) + struct.pack("=I", bits)


def config(o, flags):
    return struct.pack("=IIQ9I6s6s", CONFIG, 0, 0,
                       STREAM if o.stream else TAP, flags, o.mtu, o.flows,
                       0, 600, 30, 180, 30, GATEWAY_MAC, bytes(6)) + \
        lease("10.0.2.100", "10.0.2.2", 24) + \
        lease("fd53:616c:6c79::100", "fd53:616c:6c79::2", 64) + bytes(8)


class Netns:
    """A namespace that lives as long as one process in it."""

    def __init__(self):
        r, w = os.pipe()
        self.hold = w
        self.pid = os.fork()
        if self.pid == 0:
            os.close(w)
            if libc.unshare(0x40000000) != 0:
                os._exit(1)
            os.read(r, 1)
            os._exit(0)
        os.close(r)
        me = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{self.pid}/ns/net") == me:
            time.sleep(0.001)

    def enter(self):
        fd = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        if libc.setns(fd, 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(fd)

    def run(self, *cmd):
        subprocess.run(["nsenter", f"--net=/proc/{self.pid}/ns/net"] +
                       list(cmd), check=True)

    def end(self):
        os.close(self.hold)
        os.waitpid(self.pid, 0)


def open_tap(ns, o):
    """The tap's fd, made inside the namespace, and the flags it got."""
    flags = 0
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    ns.enter()
    try:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        what = IFF_TAP | IFF_NO_PI | (0 if o.plain else IFF_VNET_HDR)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"eth0", what))
    finally:
        libc.setns(home, 0x40000000)
        os.close(home)
    if not o.plain:
        fcntl.ioctl(fd, TUNSETVNETHDRSZ, struct.pack("i", 12))
        fcntl.ioctl(fd, TUNSETOFFLOAD, 1 if o.no_tso else 1 | 2 | 4)
        flags = VNET | CSUM | (0 if o.no_tso else TSO4 | TSO6)
    for cmd in (
            "link set lo up",
            f"link set eth0 mtu {o.mtu} txqueuelen 16384 up",
            "addr add 10.0.2.100/24 dev eth0",
            "addr add fd53:616c:6c79::100/64 dev eth0 nodad",
            "route add default via 10.0.2.2",
            "-6 route add default via fd53:616c:6c79::2"):
        ns.run("ip", *cmd.split())
    return fd, flags


class Flow:
    def __init__(self, ident, proto, sock):
        self.ident, self.proto, self.sock = ident, proto, sock
        self.granted = False
        self.flight = b""


class Broker:
    """Allows everything. Counts what the frame says."""

    def __init__(self, chan, o, flags):
        self.chan, self.o, self.flags = chan, o, flags
        self.flows, self.by_fd = {}, {}
        self.closes, self.drops, self.opens, self.died = {}, {}, 0, False
        self.reasons = {}
        self.last_id = 0
        self.out = []
        self.ep = select.epoll()
        self.ep.register(chan.fileno(), select.EPOLLIN)
        self.deny = dict((int(p), CODES[c]) for p, c in
                         (d.split("=") for d in o.deny))
        self.peek = dict((int(p), KINDS[k]) for p, k in
                         (d.split("=") for d in o.peek))
        self.peeked, self.resolves, self.slow = {}, 0, []

    def send(self, msg, fd=None):
        self.out.append((msg, fd))
        self.flush()

    def flush(self):
        while self.out:
            msg, fd = self.out[0]
            anc = [] if fd is None else [
                (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
            try:
                self.chan.sendmsg([msg], anc, socket.MSG_DONTWAIT)
            except BlockingIOError:
                self.ep.modify(self.chan.fileno(),
                               select.EPOLLIN | select.EPOLLOUT)
                return
            except OSError:
                self.out = []
                return
            self.out.pop(0)
        self.ep.modify(self.chan.fileno(), select.EPOLLIN)

    def deny_flow(self, ident, code):
        self.send(struct.pack("=IIQII", DENY, 0, ident, code, 0))

    def open(self, ident, body):
        self.opens += 1
        proto, = struct.unpack_from("=I", body)
        family, _, port, _ = struct.unpack_from("=BBH16s", body, 24)
        if port in self.deny:
            self.deny_flow(ident, self.deny[port])
        elif proto == TCP and port in self.peek:
            self.peeked[ident] = family, port
            self.send(struct.pack("=IIQII", PEEK, 0, ident, self.peek[port],
                                  0))
        else:
            self.connect(ident, proto, family, port)

    def flight(self, ident, body):
        """All of it goes to the server before the frame gets the socket."""
        zero, size = struct.unpack_from("=II", body)
        data = body[8:]
        assert zero == 0 and len(data) == size and 0 < size <= 16384, size
        family, port = self.peeked.pop(ident)   # KeyError: it came twice
        if b"deny me" in data:
            self.deny_flow(ident, ADMIN)
        else:
            self.connect(ident, TCP, family, port, data)

    def mute(self, ident):
        """Nothing came in the time that there is to begin: that proves nothing."""
        self.peeked.pop(ident)                  # KeyError: it came twice
        self.deny_flow(ident, RESET)

    def resolve(self, ident, body):
        self.resolves += 1
        qtype, zero, size = struct.unpack_from("=IIH", body)
        name = body[10:10 + size].decode()
        assert zero == 0 and not body[10 + size:].strip(b"\0"), body
        assert name == name.lower(), name
        if name.startswith("slow-"):
            self.slow.append((time.time() + 1, ident, qtype, name))
        elif not name.startswith("never-"):
            self.send(answer(ident, qtype, name))

    def connect(self, ident, proto, family, port, flight=b""):
        af = socket.AF_INET6 if family == 6 else socket.AF_INET
        kind, num = {TCP: (socket.SOCK_STREAM, 0), UDP: (socket.SOCK_DGRAM, 0),
                     ECHO: (socket.SOCK_DGRAM,
                            58 if family == 6 else 1)}[proto]
        try:
            s = socket.socket(af, kind | socket.SOCK_NONBLOCK, num)
        except OSError:
            self.deny_flow(ident, ADMIN)
            return
        if proto == TCP:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         struct.pack("ii", 1, 0))
        if proto == TCP and port == self.o.choke:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        f = Flow(ident, proto, s)
        f.flight = flight
        self.flows[ident] = f
        err = s.connect_ex(("::1" if family == 6 else "127.0.0.1", port))
        if err == errno.EINPROGRESS:
            self.by_fd[s.fileno()] = f
            self.ep.register(s.fileno(), select.EPOLLOUT)
        else:
            self.connected(f, err)

    def connected(self, f, err):
        if err != 0:
            code = {errno.EHOSTUNREACH: HOST, errno.ENETUNREACH: NET}
            self.deny_flow(f.ident, code.get(err, RESET))
            del self.flows[f.ident]
            f.sock.close()
            return
        f.granted = True
        if f.flight:
            assert f.sock.send(f.flight) == len(f.flight)
        self.send(struct.pack("=IIQQ", GRANT, 0, f.ident, len(f.flight)),
                  f.sock.fileno())

    def close(self, ident, body):
        how, reason = struct.unpack_from("=II", body)
        self.closes[how] = self.closes.get(how, 0) + 1
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        f = self.flows.pop(ident, None)
        self.peeked.pop(ident, None)
        if f is None:
            return
        if self.by_fd.pop(f.sock.fileno(), None):
            self.ep.unregister(f.sock.fileno())
        if how == FIN and f.proto == TCP:
            f.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                              struct.pack("ii", 0, 0))
        f.sock.close()

    def message(self):
        for _ in range(256):
            try:
                m = self.chan.recv(20000, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except ConnectionResetError:
                m = b""
            if not m:
                self.died = True
                return
            kind, _, ident = struct.unpack_from("=IIQ", m)
            if kind in (OPEN, RESOLVE):
                assert ident == self.last_id + 1, (ident, self.last_id)
                self.last_id = ident
            if kind == HELLO:
                magic, version = struct.unpack_from("=II", m, 16)
                assert (magic, version) == (MAGIC, VERSION), m
                self.send(config(self.o, self.flags))
            elif kind == OPEN:
                self.open(ident, m[16:])
            elif kind == RESOLVE:
                self.resolve(ident, m[16:])
            elif kind == FLIGHT:
                self.flight(ident, m[16:])
            elif kind == MUTE:
                self.mute(ident)
            elif kind == CLOSE:
                self.close(ident, m[16:])
            elif kind == DROPS:
                reason, _, n = struct.unpack_from("=IIQ", m, 16)
                self.drops[reason] = self.drops.get(reason, 0) + n

    def turn(self, timeout):
        while self.slow and self.slow[0][0] <= time.time():
            self.send(answer(*self.slow.pop(0)[1:]))
        for fd, ev in self.ep.poll(timeout):
            if fd == self.chan.fileno():
                self.flush()
                self.message()
            elif fd in self.by_fd:
                f = self.by_fd.pop(fd)
                self.ep.unregister(fd)
                self.connected(f, f.sock.getsockopt(socket.SOL_SOCKET,
                                                    socket.SO_ERROR))


def start_frame(o, chan, link, shared=None):
    """fds 3, 4, 5 (and 6) as the keeper hands them over; empty environment."""
    pid = os.fork()
    if pid:
        return pid
    try:
        null = os.open("/dev/null", os.O_RDWR)
        log = os.open(o.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) \
            if o.log else 2
        fds = [null, null, null, chan, link, log]
        if shared is not None:
            fds.append(shared)
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in fds]
        for n, fd in enumerate(high):
            os.dup2(fd, n)
        os.closerange(len(fds), 4096)
        if o.cpu is not None:
            os.sched_setaffinity(0, {o.cpu})
        os.execve(o.frame, ["sallyport-frame", str(o.verbose)], {})
    finally:
        os._exit(70)


def options(argv):
    p = argparse.ArgumentParser()
    p.add_argument("--frame", default=os.environ.get(
        "SALLYPORT_FRAME", "./sallyport-frame"))
    p.add_argument("--mtu", type=int, default=65520)
    p.add_argument("--flows", type=int, default=4096)
    p.add_argument("--plain", action="store_true", help="no vnet header")
    p.add_argument("--no-tso", action="store_true")
    p.add_argument("--deny", action="append", default=[],
                   metavar="PORT=CODE")
    p.add_argument("--peek", action="append", default=[],
                   metavar="PORT=tls|http", help="ask for the first flight")
    p.add_argument("--choke", type=int, metavar="PORT",
                   help="host sockets to it get the smallest send buffer")
    p.add_argument("--log", help="file for the frame's diagnostics")
    p.add_argument("--verbose", type=int, default=1)
    p.add_argument("--cpu", type=int, help="pin the frame")
    p.add_argument("--cost", action="store_true",
                   help="print the frame's CPU seconds and peak memory")
    p.add_argument("cmd", nargs=argparse.REMAINDER)
    o = p.parse_args(argv)
    o.stream = False
    if o.cmd[:1] == ["--"]:
        o.cmd = o.cmd[1:]
    return o


def cost(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    tick = os.sysconf("SC_CLK_TCK")
    with open(f"/proc/{pid}/status") as f:
        status = dict(line.split(":", 1) for line in f)
    return (int(fields[11]) + int(fields[12])) / tick, \
        status["VmHWM"].strip(), status["VmRSS"].strip()


def main():
    o = options(sys.argv[1:])
    ns = Netns()
    link, flags = open_tap(ns, o)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = start_frame(o, theirs.fileno(), link)
    theirs.close()
    os.close(link)
    broker = Broker(ours, o, flags)
    while not broker.died and broker.out == [] and \
            not getattr(broker, "ready", False):
        broker.turn(5)
        broker.ready = True
    cmd = subprocess.Popen(["nsenter", f"--net=/proc/{ns.pid}/ns/net"] + o.cmd)
    while cmd.poll() is None and not broker.died:
        broker.turn(0.02)
    # What is still on its way: CLOSEs, mostly.
    end = time.time() + 0.3
    while time.time() < end and not broker.died:
        broker.turn(0.05)
    status = cmd.poll()
    if broker.died:
        cmd.kill()
        _, w = os.waitpid(pid, 0)
        print(f"driver: the frame died, wait status {w:#x}", file=sys.stderr)
        ns.end()
        return 99
    if o.cost:
        print("driver: frame cpu %.2f s, peak %s, now %s" % cost(pid),
              file=sys.stderr)
    if o.verbose > 1 or o.cost:
        print(f"driver: opens {broker.opens} closes {broker.closes} reasons "
              f"{broker.reasons} left {len(broker.flows)} drops "
              f"{broker.drops} resolves {broker.resolves}", file=sys.stderr)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    ns.end()
    return status


if __name__ == "__main__":
    sys.exit(main())
