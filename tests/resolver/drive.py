"""The broker's side of the resolver's channel, for tests: starts the real
program and speaks include/resolve.h to it.

The layouts are written down a second time here, on purpose: a change of
resolve.h that its other readers would notice fails these tests."""

import concurrent.futures
import ctypes
import fcntl
import ipaddress
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import time

CONFIG, ASK, HELLO, ANSWER = 400, 401, 430, 431
A, AAAA = 1, 28
RESOLVED, NODATA, NXDOMAIN, BOGUS, FAILED = range(1, 6)
WORD = {1: "resolved", 2: "nodata", 3: "nxdomain", 4: "bogus", 5: "failed"}
TIMEOUT, OPEN_MAX, ADDRESSES, CHAIN = 10, 4096, 256, 8
MAGIC, VERSION = 0x53414c59, 2
BUILD = os.environ.get("builddir", ".")
SRC = os.environ.get("srcdir", os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__)))))
SKIP = 77
# e.g. RESOLVER_WRAP="strace -f -A -o calls" measures what the seal must allow
WRAP = os.environ.get("RESOLVER_WRAP", "").split()
HEAD = struct.Struct("=IIQ")
FIXED = struct.Struct("=IIQ6I2IQ")
ANSWER_SIZE = 16 + 40 + ADDRESSES * 20 + CHAIN * 256


def program(engine):
    return os.path.abspath(os.path.join(BUILD, f"resolver-{engine}"))


def engines():
    return [e for e in ("stub", "unbound") if os.access(program(e), os.X_OK)]


def sanitized():
    with open(os.path.join(BUILD, "config.h")) as f:
        return "#define SANITIZE 1" in f.read()


def own_network():
    """This process alone on a loopback of its own. False: the machine has none."""
    if shutil.which("ip") is None:
        print("no network without iproute2")
        return False
    uid, gid = os.geteuid(), os.getegid()
    flags = 0x40000000 | (0 if uid == 0 else 0x10000000)    # CLONE_NEWNET, NEWUSER
    if ctypes.CDLL(None).unshare(flags) != 0:
        return False
    if uid != 0:
        for path, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"),
                           ("gid_map", f"0 {gid} 1")):
            with open("/proc/self/" + path, "w") as f:
                f.write(text)
    return subprocess.run(["ip", "link", "set", "lo", "up"], check=False,
                          stderr=subprocess.DEVNULL).returncode == 0


def name(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("=H254s", len(data), data)


def endpoint(addr, port=0):
    a = ipaddress.ip_address(addr)
    return struct.pack("=BBH16s", a.version, 0, port, a.packed)


def upstream(addr, port, tls=None):
    return endpoint(addr, port) + struct.pack("=I", tls is not None) + \
        (name(tls) if tls else bytes(256))


def config(upstreams, dnssec=0, count=None, rotate=0, tcp=0, patience=0,
           scopes=(), zero=0):
    n = len(upstreams) if count is None else count
    return HEAD.pack(CONFIG, 0, 0) + \
        struct.pack("=14I", n, dnssec, rotate, tcp, patience,
                    *(list(scopes) + [0] * 8)[:8], zero) + \
        b"".join(upstreams).ljust(8 * 280, b"\0")


def ask(ident, text, qtype=A):
    return HEAD.pack(ASK, 0, ident) + struct.pack("=II", qtype, 0) + name(text)


class Answer:
    def __init__(self, data):
        assert len(data) == ANSWER_SIZE, len(data)
        (kind, zero, self.id, self.status, self.ttl, self.secure, n, nchain,
         self.more, self.upstream, self.rcode, self.rtt) = FIXED.unpack_from(data)
        assert (kind, zero) == (ANSWER, 0), (kind, zero)
        assert n <= ADDRESSES and nchain <= CHAIN
        assert self.more == 0 or (self.more == 1 and n > 0), self.more
        self.addr, self.chain = [], []
        for i in range(ADDRESSES):
            at = 56 + 20 * i
            raw = data[at:at + 20]
            family, z, port, packed = struct.unpack("=BBH16s", raw)
            if i >= n:
                assert raw == bytes(20), "an address behind the last one"
                continue
            assert z == 0 and port == 0 and family in (4, 6)
            self.addr.append(str(ipaddress.ip_address(
                packed[:4] if family == 4 else packed)))
        for i in range(CHAIN):
            at = 56 + 20 * ADDRESSES + 256 * i
            (length,) = struct.unpack_from("=H", data, at)
            text = data[at + 2:at + 256]
            if i >= nchain:
                assert length == 0 and text == bytes(254)
                continue
            assert text[length:] == bytes(254 - length)
            self.chain.append(text[:length].decode())
        assert (self.status == RESOLVED) == (n > 0), "a status that lies"
        assert self.upstream != 0 or (self.rcode, self.rtt) == (0, 0), \
            "nobody's word"
        if self.status in (RESOLVED, NODATA, NXDOMAIN):
            assert self.upstream > 0 and self.rtt > 0, "an answer of nobody"
            # a chain that ends in nothing is NXDOMAIN or not, as servers like
            assert self.rcode - 1 in (0, 3), self.rcode

    def key(self):
        """All but the TTL, which a cache lets run down."""
        return WORD[self.status], sorted(self.addr), self.chain

    def __repr__(self):
        return (f"<{WORD[self.status]} {self.addr} chain={self.chain} "
                f"ttl={self.ttl} secure={self.secure}>")


class Resolver:
    """One life of a resolver, as the keeper and the broker make it."""

    def __init__(self, engine, upstreams, dnssec=0, ca=None, wrap=(),
                 level="0", conf=None, start=True, **settings):
        self.sock, theirs = socket.socketpair(socket.AF_UNIX,
                                              socket.SOCK_SEQPACKET)
        # answers come in bursts while a test sleeps
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        log_r, log_w = os.pipe()
        self.log, self.diag, self.next, self.early = log_r, b"", 1, []
        bundle = os.dup(ca) if isinstance(ca, int) else \
            os.open(ca or "/dev/null", os.O_RDONLY)
        theirs.setblocking(False)

        def fds():
            # above the targets first: dup2 must not step on a source
            src = [fcntl.fcntl(fd, fcntl.F_DUPFD, 200)
                   for fd in (theirs.fileno(), bundle, log_w)]
            for i, fd in enumerate(src):
                os.dup2(fd, 3 + i)
            null = os.open("/dev/null", os.O_RDWR)
            for fd in (0, 1, 2):
                if not wrap and not sanitized() or fd == 0:
                    os.dup2(null, fd)
            os.closerange(6, 65536)

        path = engine if "/" in engine else program(engine)
        wrap = wrap or WRAP
        argv = list(wrap) + [path, level] if wrap else \
            ["sallyport-resolver", level]
        self.process = subprocess.Popen(
            argv, executable=None if wrap else path, preexec_fn=fds,
            close_fds=False, env={"PATH": os.environ["PATH"]} if wrap else {})
        theirs.close()
        os.close(bundle)
        os.close(log_w)
        self.pid = self.process.pid
        self.sock.send(config(upstreams, dnssec, **settings) if conf is None
                       else conf)
        if start:
            self.hello()

    def hello(self):
        data = self.recv(20)
        if not data:
            raise AssertionError(f"no HELLO; {self.words()}")
        kind, zero, ident, magic, version = struct.unpack_from("=IIQII", data)
        assert (kind, zero, ident, magic, version, len(data)) == \
            (HELLO, 0, 0, MAGIC, VERSION, 56), data[:24]

    def recv(self, timeout):
        if not select.select([self.sock], [], [], timeout)[0]:
            raise AssertionError(f"nothing within {timeout} s; {self.words()}")
        try:
            return self.sock.recv(65536)
        except ConnectionResetError:
            return b""

    def send(self, text, qtype=A):
        ident, self.next = self.next, self.next + 1
        self.sock.send(ask(ident, text, qtype))
        return ident

    def answer(self, timeout=TIMEOUT + 5):
        data = self.recv(timeout)
        if not data:
            raise AssertionError(f"the resolver is gone; {self.words()}")
        return Answer(data)

    def ask(self, text, qtype=A):
        ident = self.send(text, qtype)
        got = self.answer()
        assert got.id == ident, (got.id, ident)
        return got

    def ask_all(self, questions, timeout=TIMEOUT + 5, window=OPEN_MAX):
        """{(text, qtype): Answer}, everything on its way at once."""
        sent, got, todo = {}, {}, list(reversed(questions))
        end = time.monotonic() + timeout
        while todo or sent:
            while todo and len(sent) < window:
                # the socket's queue is shorter than what may be on its way
                if not select.select([], [self.sock], [], 0)[1]:
                    break
                q = todo.pop()
                sent[self.send(*q)] = q
            if select.select([self.sock], [], [], 0.01)[0]:
                a = self.answer(max(0, end - time.monotonic()))
                got[sent.pop(a.id)] = a
            assert time.monotonic() < end, \
                f"{len(sent) + len(todo)} without an answer; {self.words()}"
        return got

    def ends(self, timeout=5):
        """The exit status: the end is the process's own."""
        while self.recv(timeout):
            pass
        return self.process.wait(timeout)

    def words(self):
        while select.select([self.log], [], [], 0.05)[0]:
            data = os.read(self.log, 65536)
            if not data:
                break
            self.diag += data
        return self.diag.decode(errors="replace")

    def done(self):
        """Closes the channel; a resolver that died before is a failure."""
        gone = self.process.poll()
        self.sock.close()
        code = self.process.wait(5)
        words = self.words()
        os.close(self.log)
        assert gone is None, f"it died with {gone}; {words}"
        assert code == 0, f"exit {code}; {words}"
        return words

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.done()
            return
        self.process.kill()
        self.process.wait()
        print(self.words(), file=sys.stderr)


def alone(tests, which):
    """One test with one engine, in this process."""
    label = sys.argv[1]
    for test in tests:
        for engine in which:
            if label != f"{test.__name__}[{engine}]":
                continue
            why = test(engine)
            print(f"skipped: {why}" if why else "", end="")
            return SKIP if why else 0
    return 2


def long(test):
    test.long = True
    return test


def is_long(test):
    return getattr(test, "long", False)


def run(tests, which=None):
    """Each test with each engine that is built. Most of them wait for a clock, so
    some run side by side, each in a process of its own. Long ones only if they
    are named, or with --long, which runs nothing else."""
    which = which or engines()
    if not which:
        print("no resolver is built: make check builds them")
        return SKIP
    only = sys.argv[1:]
    if len(only) == 1 and only[0].endswith("]"):
        return alone(tests, which)
    labels = [f"{t.__name__}[{e}]" for t in tests for e in which
              if t.__name__ in only or
              (only in ([], ["--long"]) and is_long(t) == bool(only))]

    def one(label):
        began = time.monotonic()
        r = subprocess.run([sys.executable, sys.argv[0], label],
                           capture_output=True, text=True, timeout=120)
        word = {0: "ok", SKIP: "skip"}.get(r.returncode, "not ok")
        print(f"{word} {label} ({time.monotonic() - began:.1f} s) "
              f"{r.stdout.strip()}", flush=True)
        if word == "not ok":
            print(r.stderr, flush=True)
        return word

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        words = list(pool.map(one, labels))
    print(f"{words.count('ok')} passed, {words.count('not ok')} failed, "
          f"{words.count('skip')} skipped")
    return 1 if "not ok" in words else 0
