"""The broker's side of the recorder's channel, for tests: starts the real
sallyport-recorder on a directory and speaks include/record.h to it.

The layouts are written down a second time here, on purpose: a change of
record.h that its other readers would notice fails these tests."""

import fcntl
import ipaddress
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time
import uuid

START, WRITE, END, NAMED = 300, 301, 302, 303
HELLO, READY, DURABLE, FAILED, RECOVERED = 330, 331, 332, 333, 334
BEFORE_DATA, BEFORE_CONNECT, ASYNC = 0, 1, 2
(DAEMON_START, DAEMON_STOP, POLICY_LOAD, GUEST_ATTACH, GUEST_DETACH, FLOW_OPEN,
 FLOW_DENY, FLOW_CLOSE, DENY_AGG, LIMIT, IPC_VIOLATION, FRAME_DIED, DNS,
 CHILD_DIED, DNS_ASK, FLOW_DIAL, POLICY_REPLACED, FAIL_AGG, RESOLVER_CHANGE,
 FLOW_LIVE) = range(1, 21)
ALLOW, DENY, AUDIT_DENY = 1, 2, 3
KERNEL, FRAME = 1, 2
TCP, UDP, ECHO = 6, 17, 1
A, AAAA, HTTPS = 1, 28, 65

RECORD = struct.Struct("=IIQ IIII QQQ 20s20s20s20s 11Q 6I 32s 64s 64s 64s 128s 128s")
assert RECORD.size == 728, RECORD.size
ACK = struct.Struct("=IIQII")
NAMES = struct.Struct("=H254s H254s 17I 20s 64s 1024s 1024s")
assert RECORD.size + NAMES.size == 3440, NAMES.size
SRC = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("builddir", ".")
SKIP = 77


def reason(name):
    """Its number in this build: the order of include/reason.h."""
    with open(os.path.join(SRC, "include/reason.h"), encoding="ascii") as f:
        text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    ids = re.findall(r"REASON_\w+", text.split("enum reason {")[1].split("}")[0])
    return ids.index("REASON_" + name)


DEFAULT_DENY, AUDIT_UNAVAILABLE, DONE = (
    reason(n) for n in ("DEFAULT_DENY", "AUDIT_UNAVAILABLE", "DONE"))


def endpoint(text, port=0):
    if text is None:
        return bytes(20)
    a = ipaddress.ip_address(text)
    return struct.pack("=BBH16s", a.version, 0, port, a.packed)


def record(rec, kind, flow=0, **f):
    now = time.time_ns()
    g = f.get
    return RECORD.pack(
        WRITE, 0, rec, kind, g("verdict", 0), g("reason", 0), g("proto", TCP),
        flow, g("ts", now), g("mono", time.clock_gettime_ns(time.CLOCK_BOOTTIME)),
        endpoint(*g("g_src", ("10.0.2.100", 40000 + flow % 20000))),
        endpoint(*g("g_dst", ("192.0.2.10", 443))),
        endpoint(*g("h_src", ("198.51.100.7", 50000))),
        endpoint(*g("h_dst", ("192.0.2.10", 443))),
        g("up", 0), g("down", 0), g("pup", 0), g("pdown", 0), g("dur", 0),
        g("conn", 0), g("rtt", 0), g("n", 0), g("first", 0), g("last", 0),
        g("uniq", 0), g("csrc", 0), g("err", 0), g("gen", 1), g("pid", 0),
        g("signal", 0), g("status", 0), g("pol", bytes(range(32))),
        g("tenant", b"acme"), g("guest", b"build-1"), g("rule", b"web"),
        g("loc", b"sallyport.conf:12"), g("detail", b""))


def named(raw, name=b"", sni=b"", assurance=0, ech=0, qtype=0, ttl=0, stripped=0,
          secure=0, urgent=0, wants=0, vhost=0, bits=0, least=0, tls=0, rcode=0, upstream_tls=0,
          uid=0, cmd_len=0, cmd_cut=0, upstream=None, alpn=b"", chain=b"", ips=b""):
    """The same record, with names."""
    return struct.pack("=I", NAMED) + raw[4:] + NAMES.pack(
        len(name), name, len(sni), sni, assurance, ech, qtype, ttl, stripped,
        secure, urgent, wants, vhost, bits, least, tls, rcode, upstream_tls, uid, cmd_len, cmd_cut,
        endpoint(*(upstream or (None,))), alpn, chain, ips)


def open_(rec, flow, **f):
    return record(rec, FLOW_OPEN, flow, verdict=ALLOW, **f)


def dial(rec, flow, wants=2, **f):
    f = dict(h_src=(None,), rule=b"", loc=b"") | f
    return named(record(rec, FLOW_DIAL, flow, **f), wants=wants,
                 chain=b"a.example b.example")


def close(rec, flow, **f):
    f.setdefault("reason", DONE)
    return record(rec, FLOW_CLOSE, flow, csrc=KERNEL, up=100, down=2000,
                  pup=3, pdown=4, dur=5000000, **f)


def deny(rec, flow=0, **f):
    f.setdefault("reason", DEFAULT_DENY)
    return record(rec, FLOW_DENY, flow, verdict=DENY, **f)


def ask(rec, number, name=b"x.wild.example", qtype=A, **f):
    """A question that waits for the disk before it leaves."""
    return named(record(rec, DNS_ASK, number, proto=0, verdict=ALLOW, **f),
                 name=name, qtype=qtype, urgent=1)


def answer(rec, number, name=b"x.wild.example", qtype=A, more=None, **f):
    f.setdefault("verdict", ALLOW)
    return named(record(rec, DNS, number, proto=0, **f), name=name, qtype=qtype,
                 **more or {})


NOBODY = dict(proto=0, g_src=(None,), g_dst=(None,), h_src=(None,), h_dst=(None,),
              tenant=b"", guest=b"", rule=b"", loc=b"")


def start(rec, cmd=(), uid=1000, cut=0, **f):
    raw = b"".join(word + b"\0" for word in cmd)
    return named(record(rec, DAEMON_START, **NOBODY | f), uid=uid, cmd_len=len(raw),
                 cmd_cut=cut, chain=raw)


def load(rec, policy=b"/policy.conf", text=b"\xab" * 32, **f):
    return named(record(rec, POLICY_LOAD, **NOBODY | f), alpn=text, ips=policy)


def live(rec, flow, **f):
    return record(rec, FLOW_LIVE, flow, verdict=ALLOW, csrc=KERNEL, dur=9, **f)


def program():
    return os.path.abspath(os.path.join(BUILD, "sallyport-recorder"))


class Recorder:
    """One life of a recorder. `wrap`: words in front of it (strace ...); `path`: it
    is to see whether the directory stays there."""

    def __init__(self, directory, name="audit.jsonl", wrap=(), level="0",
                 path=None):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock = ours
        log_r, log_w = os.pipe()
        dirfd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self.log = log_r
        self.diag = b""

        def fds():
            # above the targets first: dup2 must not step on a source
            src = [fcntl.fcntl(fd, fcntl.F_DUPFD, 200)
                   for fd in (theirs.fileno(), dirfd, log_w)]
            for i, fd in enumerate(src):
                os.dup2(fd, 3 + i)
            null = os.open("/dev/null", os.O_RDWR)
            for fd in (0, 1, 2) if not wrap else (0,):
                os.dup2(null, fd)
            os.closerange(6, 65536)

        self.harm = False
        argv = [program(), level, name] + ([path] if path else [])
        if wrap:
            argv = list(wrap) + argv
        else:
            argv[0] = "sallyport-recorder"
        self.process = subprocess.Popen(
            argv, executable=program() if not wrap else None, preexec_fn=fds,
            close_fds=False, env={"PATH": os.environ["PATH"]} if wrap else {})
        theirs.close()
        os.close(dirfd)
        os.close(log_w)

    def receive(self, timeout=10):
        """(type, rec, err), or None at the end."""
        if not select.select([self.sock], [], [], timeout)[0]:
            raise TimeoutError(f"the recorder says nothing; {self.words()}")
        try:
            data = self.sock.recv(4096)
        except ConnectionResetError:
            return None
        if not data:
            return None
        if len(data) == ACK.size:
            kind, zero, rec, err, harm = ACK.unpack(data)
            assert zero == 0 and harm in (self.harm, True), (zero, harm)
            self.harm = bool(harm)
            return kind, rec, err
        kind, zero, rec = struct.unpack("=IIQ", data[:16])
        return kind, rec, 0

    def start(self, inst, mode=BEFORE_DATA, resume=0, rotate=0, keep_bytes=0,
              keep_files=0):
        """The last record of this inst that is in the log."""
        assert self.expect(HELLO) is not None
        self.sock.send(struct.pack("=IIQ16sIIQQQ", START, 0, 0, inst, mode,
                                   resume, rotate, keep_bytes, keep_files))
        return self.expect(READY)[1]

    def expect(self, kind, timeout=10):
        got = self.receive(timeout)
        if got is None or got[0] != kind:
            raise AssertionError(f"expected {kind}, got {got}; {self.words()}")
        return got

    def send(self, data):
        self.sock.send(data)

    def wait_durable(self, rec, timeout=10):
        while True:
            kind, got, err = self.receive(timeout) or (None, 0, 0)
            if kind != DURABLE:
                raise AssertionError(f"{kind} {got} {err}; {self.words()}")
            if got >= rec:
                return

    def end(self, rec=None, status=0):
        self.send(struct.pack("=IIQ", END, 0, 0))
        last = None
        while (got := self.receive()) is not None:
            last = got
        code = self.process.wait(10)
        assert code == status, f"exit {code}; {self.words()}"
        if rec is not None and last is not None:
            assert last[:2] == (DURABLE, rec), last
        return last

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def words(self):
        while select.select([self.log], [], [], 0)[0]:
            data = os.read(self.log, 65536)
            if not data:
                break
            self.diag += data
        return self.diag.decode(errors="replace")

    def done(self):
        self.sock.close()
        os.close(self.log)


def inst():
    return uuid.uuid4().bytes


def validate(path, *more):
    r = subprocess.run([sys.executable,
                        os.path.join(SRC, "tests/validate-audit.py"),
                        *more, path], capture_output=True, text=True)
    if r.returncode != 0:
        raise AssertionError(r.stdout + r.stderr)
    return r.stdout


def run(tests):
    """Every function in turn; the name and the reason of what failed."""
    bad = skipped = 0
    only = sys.argv[1:]
    for test in tests:
        if only and test.__name__ not in only:
            continue
        began = time.monotonic()
        try:
            why = test()
        except AssertionError as e:
            bad += 1
            print(f"not ok {test.__name__}: {e}", flush=True)
        else:
            skipped += why is not None
            print(f"ok {test.__name__}"
                  f"{f' # skipped: {why}' if why else ''}"
                  f" ({time.monotonic() - began:.1f} s)", flush=True)
    sys.exit(1 if bad else SKIP if skipped == len(tests) else 0)
