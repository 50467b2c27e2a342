"""The broker on a test bench: its keeper, its recorder and its frames are played
by this file over the real wire, against the real program with its real seal.

Struct layouts are those of include/{wire,keeper,record,addr,policy}.h; a change
there that is not made here fails the first test.
"""

import array
import contextlib
import ctypes
import fcntl
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

TCP, UDP, ECHO = 6, 17, 1
VERSION = 2
HELLO, OPEN, ACK, CLOSE, DROPS, PONG, RESOLVE, FLIGHT, MUTE = range(1, 10)
CONFIG, GRANT, DENY, REVOKE, PING, PEEK, ANSWER = range(64, 71)
K_POLICY, K_GUEST, K_CHILD, K_CHILD_LOG, K_DIED, K_STOP = range(128, 134)
K_HOST = 135
K_HELLO, K_SPAWN, K_KILL, K_READY, K_SUMMARY, K_LOGGING = range(160, 166)
R_START, R_WRITE, R_END, R_NAMED = 300, 301, 302, 303
R_HELLO, R_READY, R_DURABLE, R_FAILED, R_RECOVERED = range(330, 335)
R_CONFIG, R_ASK, R_RES_HELLO, R_ANSWER = 400, 401, 430, 431
I_FLIGHT, I_HELLO, I_RESULT = 500, 530, 531
ROLE_FRAME, ROLE_RECORDER, ROLE_RESOLVER, ROLE_INSPECTOR = 2, 3, 5, 6
A, AAAA, HTTPS = 1, 28, 65
RESOLVED, NODATA, NXDOMAIN, BOGUS, FAILED = 1, 2, 3, 4, 5
(ADDRESSES, ANS_NODATA, ANS_NXDOMAIN, DENIED, WITHHELD, SERVFAIL,
 REFUSED, UNREACHED) = range(1, 9)
ANSWER_MAX = 256
NAMED, NAMELESS, BAD, ALIEN = 1, 2, 3, 4
TLS, HTTP, EITHER = 1, 2, 3
NEEDS_RESOLVER, NEEDS_INSPECTOR = 1, 2
HOW_FIN, HOW_RST, HOW_CANCEL = 1, 2, 3
RESET, ADMIN, HOST, NET, SILENT = 1, 2, 3, 4, 5
BEFORE_DATA, BEFORE_CONNECT, ASYNC = 0, 1, 2
TYPES = ("?", "daemon.start", "daemon.stop", "policy.load", "guest.attach",
         "guest.detach", "flow.open", "flow.deny", "flow.close", "deny.agg",
         "limit", "ipc.violation", "frame.died", "dns", "child.died", "dns.ask",
         "flow.dial", "policy.replaced", "fail.agg", "resolver.change",
         "flow.live")
INFLIGHT_MAX = 16
GUEST, GATEWAY = "10.0.2.100", "10.0.2.2"
GUEST6, GATEWAY6 = "fd53:616c:6c79::100", "fd53:616c:6c79::2"


def reasons(srcdir):
    """{name: number} from include/reason.h and src/lib/reason.c."""
    enum = pathlib.Path(srcdir, "include/reason.h").read_text()
    body = re.sub(r"/\*.*?\*/", "", enum.split("enum reason {")[1]
                  .split("}")[0], flags=re.S)
    ids = re.findall(r"REASON_\w+", body)
    names = dict(re.findall(r'\[(REASON_\w+)\] = "([a-z-]+)"', pathlib.Path(
        srcdir, "src/lib/reason.c").read_text()))
    return {names[n]: i for i, n in enumerate(ids) if n in names}


SRCDIR = pathlib.Path(__file__).resolve().parents[2]
REASON = reasons(SRCDIR)
REASON_NAME = {v: k for k, v in REASON.items()}


CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


def write(path, what):
    with open(path, "w") as f:
        f.write(what)


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def enter():
    """True: lo is up in a network namespace of ours; as root, or where user
    namespaces are to be had."""
    if shutil.which("ip") is None:
        print("no network without iproute2")
        return False
    uid, gid = os.geteuid(), os.getegid()
    flags = CLONE_NEWNET | (0 if uid == 0 else CLONE_NEWUSER)
    if ctypes.CDLL(None, use_errno=True).unshare(flags) != 0:
        return False
    if uid != 0:
        write("/proc/self/setgroups", "deny")
        # as root of it: another user's ip(8) would have no capability
        write("/proc/self/uid_map", f"0 {uid} 1")
        write("/proc/self/gid_map", f"0 {gid} 1")
    return subprocess.run(["ip", "link", "set", "lo", "up"],
                          stderr=subprocess.DEVNULL).returncode == 0


def enter_street():
    """The same, with a way out that leads nowhere: whatever routes the machine has,
    here every address has one. Else the test is skipped."""
    if not enter():
        print(f"{sys.argv[0]}: no network namespace to be had; skipped")
        sys.exit(77)
    ip("link", "add", "street", "type", "veth", "peer", "name", "nowhere")
    ip("link", "set", "street", "up")
    ip("link", "set", "nowhere", "up")
    ip("addr", "add", "198.51.100.1/24", "dev", "street")
    ip("addr", "add", "2001:db8:51::1/64", "dev", "street", "nodad")
    ip("route", "add", "default", "dev", "street")
    ip("-6", "route", "add", "default", "dev", "street")


def endpoint(addr, port=0):
    if addr is None:
        return bytes(20)
    if ":" in addr:
        return struct.pack("<BBH16s", 6, 0, port,
                           socket.inet_pton(socket.AF_INET6, addr))
    return struct.pack("<BBH16s", 4, 0, port,
                       socket.inet_pton(socket.AF_INET, addr))


def endpoint_text(raw):
    family, _, port, addr = struct.unpack("<BBH16s", raw)
    if family == 0:
        return None
    if family == 4:
        return socket.inet_ntop(socket.AF_INET, addr[:4]), port
    return socket.inet_ntop(socket.AF_INET6, addr), port


def name(text):
    """struct name, of what need not be one; 256 bytes are taken as they are."""
    if isinstance(text, bytes) and len(text) == 256:
        return text
    raw = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<H254s", len(raw), raw)


def name_text(raw):
    n, data = struct.unpack("<H254s", raw)
    assert data[n:] == bytes(254 - n), data
    return data[:n].decode()


def head(kind, ident=0):
    return struct.pack("<IIQ", kind, 0, ident)


def text(raw):
    return raw.split(b"\0", 1)[0].decode()


class Record:
    """struct record or struct record_named, unpacked."""

    name = sni = alpn = ""
    assurance = ech = qtype = ttl = stripped = secure = urgent = \
        wants = vhost = tls = rcode = upstream_tls = uid = cut = bits = least = 0
    upstream = None
    cmd = ()
    chain = ips = ()

    def __init__(self, raw):
        kind = struct.unpack_from("<I", raw)[0]
        assert len(raw) == (728 if kind == R_WRITE else 3440), len(raw)
        named = kind == R_NAMED
        (_, _, self.rec, kind, self.verdict, reason, self.proto, self.flow,
         self.ts, self.mono) = struct.unpack_from("<IIQIIIIQQQ", raw)
        self.type, self.reason = TYPES[kind], REASON_NAME[reason]
        self.g_src, self.g_dst, self.h_src, self.h_dst = (
            endpoint_text(raw[i:i + 20]) for i in range(56, 136, 20))
        (self.up, self.down, self.pup, self.pdown, self.dur, self.conn,
         self.rtt, self.n, self.first, self.last, self.uniq, self.csrc,
         self.err, self.gen, self.pid, self.signal, self.status) = \
            struct.unpack_from("<11Q6I", raw, 136)
        self.tenant, self.guest, self.rule = (
            text(raw[i:i + 64]) for i in (280, 344, 408))
        self.loc, self.detail = text(raw[472:600]), text(raw[600:728])
        if named:
            self.names(raw[728:])

    def names(self, raw):
        self.name, self.sni = name_text(raw[:256]), name_text(raw[256:512])
        (self.assurance, self.ech, self.qtype, self.ttl, self.stripped,
         self.secure, self.urgent, self.wants, self.vhost, self.bits, self.least,
         self.tls, self.rcode, self.upstream_tls, self.uid, size, self.cut) = \
            struct.unpack_from("<17I", raw, 512)
        self.upstream = endpoint_text(raw[580:600])
        self.cmd = tuple(raw[664:664 + size].split(b"\0")[:-1])
        if self.type == "policy.load":
            self.text, self.policy = raw[600:632], text(raw[1688:1944])
        elif self.type != "daemon.start":
            self.alpn = text(raw[600:664])
            self.chain = tuple(text(raw[664:1688]).split())
            self.ips = tuple(text(raw[1688:]).split())

    def __repr__(self):
        return f"<{self.rec} {self.type} flow={self.flow} {self.reason}>"


class Chan:
    """One end of a channel, ours; blocking with a timeout."""

    def __init__(self, sock):
        self.sock = sock
        sock.settimeout(5)

    def send(self, data, fds=()):
        anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                array.array("i", fds))] if fds else []
        self.sock.sendmsg([data], anc)

    def recv(self, timeout=5):
        """(data, fd or None), or (None, None) when nothing came."""
        if not select.select([self.sock], [], [], timeout)[0]:
            return None, None
        try:
            data, anc, _, _ = self.sock.recvmsg(32768, socket.CMSG_SPACE(16))
        except ConnectionResetError:    # told once, ahead of the last words
            data, anc, _, _ = self.sock.recvmsg(32768, socket.CMSG_SPACE(16))
        fds = array.array("i")
        for _, _, raw in anc:
            fds.frombytes(raw[:len(raw) - len(raw) % 4])
        return data, fds[0] if fds else None

    def close(self):
        self.sock.close()


def pair():
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    b.setblocking(False)
    return a, b


def limits(conns=4096, pending=512, pending_dst=128, unproven=256,
           unproven_dst=64, rate=1000, burst=4000, idle=0, half_closed=600,
           lifetime=0, dns_rate=0, dns_burst=0, names=500, names_per=600,
           kernel_memory=524288, audit_rate=128, audit_burst=131072):
    return struct.pack("<17I", conns, pending, pending_dst, unproven,
                       unproven_dst, rate, burst, idle, half_closed, lifetime,
                       dns_rate, dns_burst, names, names_per, kernel_memory,
                       audit_rate, audit_burst)


class Frame:
    """A frame's end of the wire. It knows no rules: tests make them."""

    def __init__(self, bench, sock, slot=0):
        self.bench, self.slot, self.chan = bench, slot, Chan(sock)
        self.next = 0

    def hello(self, **change):
        fields = dict(magic=0x53414c59, version=VERSION, build=self.bench.build)
        fields.update(change)
        self.chan.send(head(HELLO) + struct.pack(
            "<II32s", fields["magic"], fields["version"], fields["build"]))

    def open(self, dst, port, proto=TCP, guest=None, gport=4000, ident=None):
        if ident is None:
            self.next += 1
            ident = self.next
        guest = guest or (GUEST6 if ":" in dst else GUEST)
        self.chan.send(head(OPEN, ident) + struct.pack("<I", proto) +
                       endpoint(guest, gport) + endpoint(dst, port) + bytes(4))
        return ident

    def ack(self, ident):
        self.chan.send(head(ACK, ident))

    def close(self, ident, how=HOW_FIN, reason="done", up=0, down=0):
        self.chan.send(head(CLOSE, ident) + struct.pack(
            "<II4Q", how, REASON[reason], up, down, 0, 0))

    def resolve(self, qname, qtype=A, ident=None):
        if ident is None:
            self.next += 1
            ident = self.next
        self.chan.send(head(RESOLVE, ident) + struct.pack("<II", qtype, 0) +
                       name(qname))
        return ident

    def answer(self, ident, timeout=5):
        """(code, ttl, addresses) of the next message, an ANSWER."""
        self.expect(ANSWER, ident, timeout)
        code, ttl, n, zero = struct.unpack_from("<4I", self.last, 16)
        assert zero == 0 and len(self.last) == 32 + 20 * ANSWER_MAX
        addrs = [endpoint_text(self.last[32 + 20 * i:52 + 20 * i])
                 for i in range(ANSWER_MAX)]
        assert addrs[n:] == [None] * (ANSWER_MAX - n)
        assert all(port == 0 for _, port in addrs[:n])
        return code, ttl, [a for a, _ in addrs[:n]]

    def ask(self, qname, qtype=A):
        return self.answer(self.resolve(qname, qtype))

    def flight(self, ident, data):
        self.chan.send(head(FLIGHT, ident) + struct.pack("<II", 0, len(data))
                       + data)

    def mute(self, ident):
        self.chan.send(head(MUTE, ident))

    def drops(self, reason, n):
        self.chan.send(head(DROPS) + struct.pack("<IIQ", REASON[reason], 0, n))

    def recv(self, timeout=5):
        """(type, id, code, fd); PING is answered on the way."""
        end = time.monotonic() + timeout
        while True:
            # keeper and recorder are served while the frame waits
            left = max(0.0, end - time.monotonic())
            if not self.bench.pump(left, self.chan.sock):
                return None, 0, 0, None
            if not select.select([self.chan.sock], [], [], 0)[0]:
                continue
            data, fd = self.chan.recv(0)
            self.last = data
            if not data:
                return "eof", 0, 0, None
            kind, _, ident = struct.unpack_from("<IIQ", data)
            if kind == PING:
                self.chan.send(head(PONG))
                continue
            code = struct.unpack_from("<I", data, 16)[0] \
                if kind in (DENY, PEEK) else 0
            return kind, ident, code, fd

    def expect(self, want, ident=None, timeout=5):
        kind, got, code, fd = self.recv(timeout)
        assert kind == want, f"wanted {want}, got {kind} (id {got})"
        assert ident is None or got == ident, (got, ident)
        return fd if want == GRANT else code

    def granted(self, dst, port, proto=TCP, **kw):
        """OPEN, GRANT, ACK: a socket of ours."""
        ident = self.open(dst, port, proto, **kw)
        fd = self.expect(GRANT, ident)
        self.ack(ident)
        return ident, socket.socket(fileno=fd)

    def silent(self, seconds=0.2):
        kind, ident, _, _ = self.recv(seconds)
        assert kind is None, f"unexpected message {kind} (id {ident})"


class Resolver:
    """A resolver's end. It answers what tests say."""

    def __init__(self, bench, chan):
        self.bench, self.chan = bench, chan
        data = self.take(R_CONFIG)
        assert len(data) == 40 + 8 * 284, len(data)
        n, self.dnssec, self.rotate, self.tcp, self.patience = \
            struct.unpack_from("<5I", data, 16)
        self.scopes = list(struct.unpack_from("<8I", data, 36))[:n]
        assert data[68:72] == bytes(4)
        self.upstreams = [endpoint_text(data[72 + 280 * i:92 + 280 * i])
                          for i in range(n)]

    def take(self, want, timeout=5):
        """The next message, while the rest of the bench goes on."""
        end = time.monotonic() + timeout
        while not select.select([self.chan.sock], [], [], 0)[0]:
            left = end - time.monotonic()
            assert left > 0, f"no {want}: {self.bench.log_text()}"
            self.bench.pump(min(left, 0.5), self.chan.sock)
        data, fd = self.chan.recv(0)
        kind = struct.unpack_from("<I", data)[0] if data else "eof"
        assert kind == want and fd is None, (kind, want)
        return data

    def asked(self):
        """(number, name, qtype) of the next question."""
        data = self.take(R_ASK)
        assert len(data) == 280
        qtype, zero = struct.unpack_from("<II", data, 16)
        assert zero == 0
        return struct.unpack_from("<Q", data, 8)[0], name_text(data[24:]), qtype

    def answer(self, number, addrs=(), ttl=300, status=None, chain=(),
               secure=0, n=None, nchain=None, more=0, source=None):
        """`source`: place of the upstream and its rcode, both from 1, and ns."""
        if status is None:
            status = RESOLVED if addrs else NODATA
        if source is None:
            rcode = {RESOLVED: 1, NODATA: 1, NXDOMAIN: 4}.get(status, 0)
            source = (1, rcode, 1000000) if rcode else (0, 0, 0)
        raw = [a if isinstance(a, bytes) else endpoint(a) for a in addrs]
        names = b"".join(name(c) for c in chain[:8])
        self.chan.send(head(R_ANSWER, number) + struct.pack(
            "<6I2IQ", status, ttl, secure, len(raw) if n is None else n,
            len(chain) if nchain is None else nchain, more, *source) +
            b"".join(raw[:ANSWER_MAX]).ljust(ANSWER_MAX * 20, b"\0") +
            names.ljust(8 * 256, b"\0"))

    def gone(self, sig=9, status=0):
        self.chan.close()
        self.bench.died(ROLE_RESOLVER, 0, sig, status)


class Inspector(Resolver):
    """An inspector's end."""

    def __init__(self, bench, chan):    # no CONFIG
        self.bench, self.chan, self.kinds = bench, chan, {}

    def flight(self):
        """(number, kind, bytes) of the next one."""
        data = self.take(I_FLIGHT)
        kind, n = struct.unpack_from("<II", data, 16)
        assert len(data) == 24 + n, (len(data), n)
        number, = struct.unpack_from("<Q", data, 8)
        self.kinds[number] = kind
        return number, kind, data[24:]

    def result(self, number, shown="", status=None, ech=0, alpn=b"h2",
               kind=None, hint=0, tls=None):
        if status is None:
            status = NAMED if shown else NAMELESS
        asked = self.kinds.get(number, EITHER)
        kind = kind or (TLS if asked == EITHER else asked)
        self.chan.send(head(I_RESULT, number) + struct.pack(
            "<6I", status, ech, kind, hint,
            (0x304 if kind == TLS and status in (NAMED, NAMELESS) else 0)
            if tls is None else tls, 0) +
            name(shown) + struct.pack("64s", alpn))

    def gone(self, sig=9, status=0):
        self.chan.close()
        self.bench.died(ROLE_INSPECTOR, 0, sig, status)


def host_resolver(upstream=(), rotate=0, tcp=0, patience=0, scopes=()):
    return struct.pack("<12I", len(upstream), rotate, tcp, patience,
                       *(list(scopes) + [0] * 8)[:8]) + b"".join(
        endpoint(*u) for u in upstream).ljust(160, b"\0")


def who(cmd=(), uid=0, pid=1, cut=0, policy=b"/policy.conf"):
    raw = b"".join(a + b"\0" for a in cmd)
    return struct.pack("<4I256s256s", uid, pid, len(raw), cut, raw, policy)


class Bench:
    """The keeper and the recorder. `hold`: records are not acknowledged."""

    def __init__(self, program, blob, tenant=b"", audit_mode=0, nofile=None,
                 recorder=True, upstream=(), quiet=0, about=None):
        self.hold = False
        self.records, self.acked, self.kills = [], 0, []
        self.summary, self.spawned, self.ready, self.logging = None, [], 0, 0
        self.start = None
        self.recorder = None
        ours, theirs = pair()
        self.log, log_w = os.pipe()
        self.pid = self.run(program, theirs, log_w, nofile)
        theirs.close()
        os.close(log_w)
        self.keeper = Chan(ours)
        memfd = os.memfd_create("policy", os.MFD_ALLOW_SEALING)
        os.write(memfd, blob)
        fcntl.fcntl(memfd, 1033, 0x2 | 0x4 | 0x8)
        self.keeper.send(head(K_POLICY) + struct.pack(
            "<Q64sII", len(blob), tenant, audit_mode, quiet) +
            host_resolver(upstream) + (about or who()), [memfd])
        os.close(memfd)
        data, _ = self.keeper.recv()
        assert data and struct.unpack_from("<I", data)[0] == K_HELLO, \
            self.log_text()
        self.build = data[24:56]
        self.wait(lambda: (ROLE_RECORDER, 0) in self.spawned)
        if recorder:
            self.start_recorder()

    @staticmethod
    def run(program, chan, log_w, nofile):
        pid = os.fork()
        if pid:
            return pid
        try:
            import resource
            null = os.open("/dev/null", os.O_RDWR)
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100)
                    for fd in (null, chan.fileno(), log_w)]
            for to, fd in ((0, high[0]), (1, high[0]), (2, high[0]),
                           (3, high[1]), (5, high[2])):
                os.dup2(fd, to)
            os.close(4) if os.path.exists("/proc/self/fd/4") else None
            os.closerange(6, 4096)
            if nofile:
                resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))
            os.execve(program, ["sallyport-broker", "1"],
                      {k: v for k, v in os.environ.items()
                       if k in ("ASAN_OPTIONS", "UBSAN_OPTIONS")})
        except BaseException as why:
            sys.stderr.write(f"{program}: {why}\n")
        os._exit(127)

    # ---- the keeper's side

    def pump(self, timeout=0.0, also=None):
        """Takes what keeper and recorder are told, and acknowledges."""
        if self.pid is None:
            return False
        socks = [self.keeper.sock] + ([also] if also else [])
        if self.recorder:
            socks.append(self.recorder.sock)
        ready = select.select(socks, [], [], timeout)[0]
        if self.recorder and self.recorder.sock in ready:
            self.take_record()
        if self.keeper.sock in ready:
            self.take_keeper()
        return bool(ready)

    def take_keeper(self):
        data, _ = self.keeper.recv(0)
        if not data:
            raise EOFError("the broker is gone: " + self.log_text())
        kind, _, slot = struct.unpack_from("<IIQ", data)
        if kind == K_SPAWN:
            self.spawned.append((struct.unpack_from("<I", data, 16)[0], slot))
        elif kind == K_KILL:
            self.kills.append((struct.unpack_from("<I", data, 16)[0], slot))
        elif kind == K_READY:
            self.ready += 1
        elif kind == K_LOGGING:
            self.logging += 1
        elif kind == K_SUMMARY:
            self.summary = struct.unpack_from("<5QI", data, 16)
        else:
            raise AssertionError(f"keeper message {kind}")

    def take_record(self):
        data, _ = self.recorder.recv(0)
        if not data:
            self.recorder = None
            return
        kind = struct.unpack_from("<I", data)[0]
        if kind == R_START:
            self.start = struct.unpack_from("<16sIIQQQ", data, 16)
        elif kind in (R_WRITE, R_NAMED):
            record = Record(data)
            assert record.rec == len(self.records) + 1, record
            self.records.append(record)
            if not self.hold:
                self.durable()
        elif kind == R_END:
            if not self.hold:
                self.durable()
            self.recorder.close()
            self.recorder = None
            with contextlib.suppress(BrokenPipeError):
                self.died(ROLE_RECORDER, 0)     # it need not wait for this

    def ack(self, kind, rec, err=0):
        self.recorder.send(head(kind, rec) + struct.pack("<II", err, 0))

    def durable(self):
        self.acked = len(self.records)
        self.ack(R_DURABLE, self.acked)

    def release(self, quiet=0.15):
        """Everything that is held becomes durable."""
        self.settle(quiet)
        self.hold = False
        self.durable()

    def settle(self, quiet=0.15):
        while self.pump(quiet):
            pass

    def wait(self, what, timeout=5):
        end = time.monotonic() + timeout
        while not what():
            assert time.monotonic() < end, f"timed out; {self.log_text()}"
            self.pump(0.05)

    def child(self, role, slot, pid=4242):
        ours, theirs = pair()
        self.keeper.send(head(K_CHILD, slot) + struct.pack("<II", role, pid),
                         [theirs.fileno()])
        theirs.close()
        return ours

    def start_recorder(self, ready=True, last=None):
        self.recorder = Chan(self.child(ROLE_RECORDER, 0))
        self.recorder.send(head(R_HELLO) + struct.pack(
            "<II32s", 0x53414c59, VERSION, self.build))
        self.start = None
        self.wait(lambda: self.start is not None)
        if ready:
            last = self.acked if last is None else last
            del self.records[last:]
            self.ack(R_READY, last)
            self.settle(0.05)

    def helper(self, role):
        """A resolver or an inspector, without its HELLO."""
        self.wait(lambda: (role, 0) in self.spawned)
        self.spawned.remove((role, 0))
        return Chan(self.child(role, 0))

    def greets(self, chan, kind):
        chan.send(head(kind) + struct.pack("<II32s", 0x53414c59, VERSION,
                                           self.build))

    def resolver(self, greet=True):
        r = Resolver(self, self.helper(ROLE_RESOLVER))
        if greet:
            self.greets(r.chan, R_RES_HELLO)
        return r

    def inspector(self, greet=True):
        i = Inspector(self, self.helper(ROLE_INSPECTOR))
        if greet:
            self.greets(i.chan, I_HELLO)
        return i

    def host(self, *upstream, **settings):
        """The host's resolv.conf says something else."""
        self.keeper.send(head(K_HOST) + host_resolver(
            [(u, 53) for u in upstream], **settings))

    def kill_recorder(self):
        self.recorder.close()
        self.recorder = None
        self.died(ROLE_RECORDER, 0, 9)

    def died(self, role, slot, sig=0, status=0, pid=4242, err=0):
        self.keeper.send(head(K_DIED, slot) + struct.pack(
            "<IIIIII", role, pid, sig, status, err, 0))

    def not_started(self, role, err, slot=0):
        """The keeper's answer to SPAWN where there is no process."""
        self.wait(lambda: (role, slot) in self.spawned)
        self.spawned.remove((role, slot))
        self.died(role, slot, pid=0, err=err)

    def attach(self, slot=0, **families):
        """A guest, whose frame is asked for."""
        self.link(slot, **families)
        self.wait(lambda: (ROLE_FRAME, slot) in self.spawned)

    def link(self, slot=0, v4=True, v6=True):
        """A link that wants a frame."""
        lease = endpoint(GUEST) + endpoint(GATEWAY) + struct.pack("<I", 24)
        lease6 = endpoint(GUEST6) + endpoint(GATEWAY6) + struct.pack("<I", 64)
        lease, lease6 = lease if v4 else bytes(44), lease6 if v6 else bytes(44)
        self.keeper.send(head(K_GUEST, slot) + struct.pack(
            "<64sIII6s6s", b"guest%d" % slot, 1, 0, 1500, bytes(6),
            bytes(6)) + lease + lease6 + bytes(8))

    def guest(self, slot=0, greet=True, **families):
        self.attach(slot, **families)
        return self.frame(slot, greet)

    def hang_up(self, frame):
        """Its link's other end is gone, and so is the guest."""
        n = len(self.of("guest.detach"))
        self.spawned = [s for s in self.spawned if s != (ROLE_FRAME, frame.slot)]
        frame.chan.close()
        self.died(ROLE_FRAME, frame.slot, status=3)
        self.wait(lambda: len(self.of("guest.detach")) > n)

    def frame(self, slot=0, greet=True):
        self.spawned = [s for s in self.spawned if s != (ROLE_FRAME, slot)]
        frame = Frame(self, self.child(ROLE_FRAME, slot), slot)
        if greet:
            frame.hello()
            data, _ = frame.chan.recv()
            assert data and len(data) == 160, len(data or b"")
            frame.config = data
            self.settle(0.05)
        return frame

    # ---- what tests look at

    def of(self, kind, **fields):
        self.settle(0.02)
        return [r for r in self.records if r.type == kind and
                all(getattr(r, k) == v for k, v in fields.items())]

    def one(self, kind, **fields):
        self.wait(lambda: self.of(kind, **fields))
        found = self.of(kind, **fields)
        assert len(found) == 1, (kind, fields, found)
        return found[0]

    def violation(self, frame, detail):
        """The frame was cut off, ended, and it is in the log."""
        record = self.one("ipc.violation", detail=detail)
        self.cut_off(frame)
        return record

    def cut_off(self, frame):
        """Killed, and its channel is at its end."""
        self.wait(lambda: (ROLE_FRAME, frame.slot) in self.kills)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            kind, _, _, fd = frame.recv(0.5)
            if fd is not None:
                os.close(fd)
            if kind == "eof":
                break
        assert kind == "eof", "the channel is still open"

    def log_text(self):
        os.set_blocking(self.log, False)
        with contextlib.suppress(BlockingIOError):
            return os.read(self.log, 65536).decode()
        return ""

    def alive(self):
        return os.waitpid(self.pid, os.WNOHANG) == (0, 0)

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def wakeups(self):
        """How often it has slept so far."""
        with open(f"/proc/{self.pid}/status") as f:
            return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)",
                                 f.read(), re.M)[1])

    def busy(self, seconds):
        """CPU seconds that it takes in so long."""
        def used():
            with open(f"/proc/{self.pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])
        before = used()
        time.sleep(seconds)
        return (used() - before) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        """An orderly end; every dial, open and question that was asked has its one
        end. The exit status."""
        self.keeper.send(head(K_STOP))
        with contextlib.suppress(EOFError):
            self.wait(lambda: self.summary is not None, 8)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = None
        assert status >= 0, f"died of signal {-status}: {self.log_text()}"
        self.check_log()
        return status

    def check_log(self):
        opens = [r.flow for r in self.records if r.type == "flow.open"]
        closes = [r.flow for r in self.records if r.type == "flow.close"]
        refused = [r.flow for r in self.records
                   if r.type == "flow.deny" and r.flow]
        dials = [r.flow for r in self.records if r.type == "flow.dial"]
        assert len(set(dials)) == len(dials), "a flow was dialled twice"
        undecided = [r for r in self.records if r.type == "flow.close" and
                     r.flow in set(dials) - set(opens)]
        assert not any(r.verdict or r.up or r.down for r in undecided)
        assert len(set(dials) - set(opens)) == len(undecided) + len(
            [f for f in refused if f in set(dials) - set(opens)]), \
            "a dial without its one end"
        closes = [f for f in closes if f not in {r.flow for r in undecided}]
        refused = [f for f in refused if f in opens or f not in dials]
        assert len(set(opens)) == len(opens), "a flow was opened twice"
        assert sorted(opens) == sorted(closes + refused), (
            "opens without a close: %s, closes without an open: %s" % (
                set(opens) - set(closes + refused),
                set(closes + refused) - set(opens)))
        asked = [(r.flow, r.name, r.qtype) for r in self.records
                 if r.type == "dns.ask"]
        ended = [(r.flow, r.name, r.qtype) for r in self.records
                 if r.type == "dns" and r.flow]
        assert sorted(asked) == sorted(ended), (
            "asked without an end: %s, ended without a question: %s" % (
                set(asked) - set(ended), set(ended) - set(asked)))
        assert not {a for a, _, _ in asked} & set(opens), "one number, two things"
        if self.summary:
            told = len([r for r in self.records if r.type == "flow.deny" or
                        r.type == "dns" and r.verdict == 2])
            told += sum(r.n for r in self.records
                        if r.type == "deny.agg" and r.csrc == 0)
            done = len(closes) + len(undecided) + sum(
                r.n for r in self.records if r.type == "fail.agg")
            allowed, denied, _, _, tried, _ = self.summary
            assert (allowed + tried, denied) == (done, told), (
                self.summary, done, told)
            assert tried >= len(undecided)

    def end(self):
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        for chan in (self.keeper, self.recorder):
            if chan:
                chan.close()
        os.close(self.log)


def listener(addr="127.0.0.1", backlog=512):
    family = socket.AF_INET6 if ":" in addr else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((addr, 0))
    s.listen(backlog)
    s.settimeout(5)
    return s, s.getsockname()[1]


def arrived(s, size):
    """What came on a granted socket, which does not block: waits for it."""
    assert select.select([s], [], [], 5)[0], "nothing came"
    return s.recv(size)


def shut_down(s):
    """Waits until a granted socket was shut down, both ways, by the broker."""
    poll = select.poll()
    poll.register(s, 0)
    assert poll.poll(5000) and poll.poll(0)[0][1] & select.POLLHUP, \
        "it was not shut down"


def named(functions, prefix="test_"):
    """(name, function) of those that are tests, in the order of the file."""
    return [(name[len(prefix):], function)
            for name, function in list(functions.items())
            if name.startswith(prefix)]


def main(tests, bench):
    """Runs each test with a bench of its own; the exit status. The slow ones
    run when asked for by name, or all by "-a"."""
    wanted, failed = [a for a in sys.argv[1:] if a != "-a"], 0
    for name, test in tests:
        slow = getattr(test, "slow", False) and "-a" not in sys.argv
        if name not in wanted if wanted else slow:
            continue
        begun = time.monotonic()
        try:
            with contextlib.ExitStack() as stack:
                b = bench(stack, **getattr(test, "needs", {}))
                test(b)
                if b.pid is not None:
                    assert b.alive(), "the broker died"
                    if b.recorder:
                        status = b.stop()
                        assert status == 0, (status, b.log_text())
            print(f"ok   {name} ({time.monotonic() - begun:.1f} s)")
        except Exception as why:
            failed += 1
            import traceback
            traceback.print_exc()
            print(f"FAIL {name}: {why}")
        sys.stdout.flush()
    return 1 if failed else 0


def compile_policy(parser, text_of_policy, log=2):
    """The blob that sallyport-parser makes of a text."""
    memfd = os.memfd_create("policy", os.MFD_ALLOW_SEALING)
    with tempfile.TemporaryDirectory() as where:
        path = os.path.join(where, "policy.conf")
        with open(path, "w") as f:
            f.write(text_of_policy)
        os.chmod(path, 0o600)
        pid = os.fork()
        if pid == 0:
            null = os.open("/dev/null", os.O_RDWR)
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100)
                    for fd in (null, memfd, log)]
            for to, fd in ((0, high[0]), (1, high[0]), (4, high[1]),
                           (5, high[2]), (2, high[0]), (3, high[0])):
                os.dup2(fd, to)
            os.closerange(6, 4096)
            os.execve(parser, ["sallyport-parser", "0", path], {})
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status == 0, f"{parser}: {status}"
    size = os.lseek(memfd, 0, os.SEEK_END)
    blob = os.pread(memfd, size, 0)
    os.close(memfd)
    return blob


def needs(**kw):
    def mark(test):
        test.needs = kw
        return test
    return mark


def slow(test):
    test.slow = True
    return test
