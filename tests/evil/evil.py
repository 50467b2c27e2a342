#!/usr/bin/python3
"""A hostile frame over the real wire against the real broker with a real policy.

What a taken-over frame can put on its channel: everything. For each piece of it
the design has one answer, and that answer is asserted here; afterwards the broker
must be alive, another guest must be served, and a violation must be in the log.

usage: evil.py [TEST...]     (in the build directory)
"""

import contextlib
import ipaddress
import os
import pathlib
import random
import re
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "broker"))
from rig import *  # noqa: E402

enter_street()
BROKER = os.path.abspath("./sallyport-broker")
PARSER = os.path.abspath("./sallyport-parser")

# One service of this host is allowed by name, so that there is something to
# grant; everything else in the world is allowed, so that only the floor says no.
SERVER, PORT = listener()
POLICY = f"""
policy version 1
host-service server 127.0.0.1:{PORT} tcp
limits evil {{ conns 64 pending 32 rate 5000/s burst 5000 }}
tenant t {{
    limits evil
    allow to host-service server
    allow to any port tcp {{ 80 1024-65535 }}
    allow to any port udp {{ 80 1024-65535 }}
    allow to any icmp echo
}}
"""
BLOB = compile_policy(PARSER, POLICY)


def bench(stack):
    b = Bench(BROKER, BLOB, upstream=[("192.0.2.53", 53)], quiet=1)
    stack.callback(b.end)
    b.born, b.caught = False, 0
    b.good = b.guest(1)
    serves(b)
    return b


def serves(b):
    """The other guest notices nothing."""
    ident, s = b.good.granted(GATEWAY, PORT)
    conn, peer = SERVER.accept()
    while peer != s.getsockname():      # what a hostile flow left behind
        conn.close()
        conn, peer = SERVER.accept()
    conn.send(b"x")
    assert arrived(s, 1) == b"x"
    s.close()
    b.good.close(ident, HOW_FIN)
    conn.close()


def victim(b, greet=True):
    """The hostile guest's first frame, or the one after the last was caught."""
    if b.born:
        return b.frame(0, greet)
    b.born = True
    return b.guest(0, greet)


def caught(b, frame, *details):
    """Recorded once, cut off, ended, and the other guest notices nothing."""
    b.wait(lambda: len(b.of("ipc.violation")) > b.caught)
    b.caught += 1
    found = b.of("ipc.violation")
    assert len(found) == b.caught, found
    assert found[-1].detail in details, (found[-1].detail, details)
    assert found[-1].guest == "guest0"
    b.cut_off(frame)
    frame.chan.close()
    b.kills.clear()
    b.died(ROLE_FRAME, 0, 9)
    b.wait(lambda: (ROLE_FRAME, 0) in b.spawned)
    assert len(b.of("frame.died")) == b.caught
    drain_server()
    serves(b)


def drain_server():
    SERVER.settimeout(0)
    with contextlib.suppress(BlockingIOError):
        while True:
            SERVER.accept()[0].close()
    SERVER.settimeout(5)


def each(cases):
    """The same with each of these, one after another on one broker."""
    def mark(test):
        def run(b):
            for label, case in cases.items():
                try:
                    test(b, case)
                except Exception as why:
                    raise AssertionError(f"case {label}: {why!r}") from why
        return run
    return mark


# ---- greetings ------------------------------------------------------------------

@each({"open-first": lambda f: f.open("1.1.1.1", 80),
       "ack-first": lambda f: f.ack(1),
       "drops-first": lambda f: f.drops("fragment", 1),
       "pong-first": lambda f: f.chan.send(head(PONG))})
def evil_before_hello(b, act):
    f = victim(b, greet=False)
    act(f)
    caught(b, f, "wrong-state")


@each({"magic": dict(magic=0x53414c5a), "version": dict(version=VERSION + 1),
       "version-0": dict(version=0), "build": dict(build=b"another"),
       "build-no-nul": dict(build=b"A" * 32)})
def evil_hello(b, change):
    f = victim(b, greet=False)
    f.hello(**change)
    caught(b, f, "another-build")


def evil_hello_twice(b):
    f = victim(b)
    f.hello()
    caught(b, f, "wrong-state")


def evil_no_hello(b):
    f = victim(b, greet=False)
    b.wait(lambda: b.of("ipc.violation"), 8)
    caught(b, f, "no-hello")


# ---- shapes ------------------------------------------------------------------------

LENGTHS = {HELLO: 56, OPEN: 64, ACK: 16, CLOSE: 56, DROPS: 32, PONG: 16,
           RESOLVE: 280, FLIGHT: 24, MUTE: 16}


@each({f"{kind}-{n}": (kind, n) for kind, size in LENGTHS.items()
       for n in (16, size - 1, size + 1, size + 8, 512, 4096) if n != size})
def evil_length(b, case):
    kind, n = case
    f = victim(b)
    f.chan.send(head(kind, 1) + bytes(n - 16) if n >= 16 else
                head(kind, 1)[:n])
    caught(b, f, "wrong-length", "wrong-state", "short")


@each({str(n): n for n in (1, 4, 8, 15)})
def evil_short(b, n):
    f = victim(b)
    f.chan.send(head(OPEN, 1)[:n])
    caught(b, f, "short")


@each({str(n): n for n in (16449, 32768, 65536)})
def evil_giant(b, n):
    f = victim(b)
    f.chan.send(head(OPEN, 1) + bytes(n - 16))
    caught(b, f, "bad datagram")


@each({str(n): n for n in (0, 10, 63, CONFIG, GRANT, DENY, REVOKE, PING, PEEK,
                           ANSWER, 71, K_POLICY, K_CHILD, K_STOP, K_SPAWN,
                           R_WRITE, R_NAMED, R_DURABLE, R_ASK, R_ANSWER,
                           I_FLIGHT, I_RESULT, 2 ** 31, 2 ** 32 - 1)})
def evil_type(b, kind):
    f = victim(b)
    f.chan.send(head(kind, 1) + bytes(48))
    caught(b, f, "unknown-type")


@each({str(kind): kind for kind in LENGTHS if kind not in (HELLO, FLIGHT)})
def evil_padding(b, kind):
    f = victim(b)
    f.chan.send(struct.pack("<IIQ", kind, 1, 1) + bytes(LENGTHS[kind] - 16))
    caught(b, f, "padding")


def evil_zero_length(b):
    """Reads as the end of file, so it is the end."""
    f = victim(b)
    f.chan.sock.send(b"")
    b.wait(lambda: (ROLE_FRAME, 0) in b.kills)
    b.died(ROLE_FRAME, 0, 9)
    serves(b)


# ---- fds that nobody asked for ---------------------------------------------------------

@each({f"{kind}-{n}": (kind, n) for kind in LENGTHS for n in (1, 2, 20)})
def evil_fd(b, case):
    kind, n = case
    f = victim(b)
    before = b.fds()
    with open("/dev/null") as null:
        f.chan.send(head(kind, 1) + bytes(LENGTHS[kind] - 16),
                    [null.fileno()] * n)
    b.wait(lambda: len(b.of("ipc.violation")) > b.caught)
    assert b.fds() <= before, "an fd came in"
    caught(b, f, "bad datagram")


# ---- OPEN -----------------------------------------------------------------------------

def raw_open(ident=1, proto=TCP, guest=None, dst=None, tail=bytes(4)):
    return head(OPEN, ident) + struct.pack("<I", proto) + \
        (guest or endpoint(GUEST, 4000)) + \
        (dst or endpoint("1.1.1.1", 80)) + tail


@each({"zero": (0,), "same": (5, 5), "lower": (5, 4), "top-bit": (1 << 63,),
       "max": (2 ** 64 - 1,), "top-bit-later": (7, (1 << 63) | 8)})
def evil_id(b, ids):
    f = victim(b)
    for ident in ids:
        f.chan.send(raw_open(ident, dst=endpoint("127.0.0.1", 1)))
    caught(b, f, "id-not-new")


def evil_id_exhausted(b):
    """The highest id is legal; after it there is none."""
    f = victim(b)
    f.chan.send(raw_open((1 << 63) - 1, dst=endpoint("127.0.0.1", 1)))
    f.expect(DENY, (1 << 63) - 1)
    f.chan.send(raw_open(1))
    caught(b, f, "id-not-new")


@each({str(p): p for p in (0, 2, 41, 58, 132, 255, 256 + 6, 2 ** 32 - 1)})
def evil_proto(b, proto):
    f = victim(b)
    f.chan.send(raw_open(proto=proto))
    caught(b, f, "unknown-protocol")


@each({"other": "10.0.2.101", "gateway": GATEWAY, "loopback": "127.0.0.1",
       "any": "0.0.0.0", "server": "203.0.113.9"})
def evil_guest_address(b, addr):
    f = victim(b)
    f.chan.send(raw_open(guest=endpoint(addr, 4000)))
    caught(b, f, "address-not-leased")


@each({"v6-other": "fd53:616c:6c79::101", "v6-loopback": "::1",
       "v6-mapped": "::ffff:10.0.2.100"})
def evil_guest_address6(b, addr):
    f = victim(b)
    f.chan.send(raw_open(guest=endpoint(addr, 4000),
                         dst=endpoint("2606:4700::1111", 80)))
    caught(b, f, "address-not-leased")


@each({"family-0": bytes(20), "family-5": b"\5" + bytes(19),
       "family-255": b"\xff" + bytes(19),
       "zero-byte": struct.pack("<BBH16s", 4, 1, 80, b"\1\1\1\1"),
       "v4-tail": struct.pack("<BBH16s", 4, 0, 80, b"\1\1\1\1" + b"\0" * 11 +
                              b"\1"),
       "v4-to-v6": endpoint("2606:4700::1111", 80)})
def evil_endpoint(b, dst):
    f = victim(b)
    f.chan.send(raw_open(dst=dst))
    caught(b, f, "bad-endpoint")


def evil_open_padding(b):
    f = victim(b)
    f.chan.send(raw_open(tail=b"\0\0\0\1"))
    caught(b, f, "bad-endpoint")


# ---- ACK, CLOSE, DROPS, PONG -------------------------------------------------------------

def evil_ack_of_nothing(b):
    f = victim(b)
    f.ack(1)
    caught(b, f, "ack-of-nothing")


def evil_ack_twice(b):
    f = victim(b)
    ident, s = f.granted(GATEWAY, PORT)
    SERVER.accept()
    f.ack(ident)
    caught(b, f, "ack-of-nothing")


def evil_ack_of_denied(b):
    f = victim(b)
    ident = f.open("127.0.0.1", 80)
    f.expect(DENY, ident)
    f.ack(ident)
    caught(b, f, "ack-of-nothing")


@each({"fin": HOW_FIN, "rst": HOW_RST, "cancel": HOW_CANCEL})
def evil_close_of_nothing(b, how):
    f = victim(b)
    f.close(99, how)
    caught(b, f, "close-of-nothing")


@each({"fin": HOW_FIN, "rst": HOW_RST})
def evil_close_twice(b, how):
    f = victim(b)
    ident, s = f.granted(GATEWAY, PORT)
    SERVER.accept()
    s.close()
    f.close(ident, how)
    f.close(ident, how)
    caught(b, f, "close-of-nothing")


@each({"fin": HOW_FIN, "rst": HOW_RST})
def evil_close_before_grant(b, how):
    f = victim(b)
    b.hold = True
    ident = f.open(GATEWAY, PORT)
    b.settle()
    f.close(ident, how)
    b.settle()
    b.release()
    SERVER.accept()
    caught(b, f, "close-before-grant")


def evil_cancel_after_ack(b):
    f = victim(b)
    ident, s = f.granted(GATEWAY, PORT)
    SERVER.accept()
    f.close(ident, HOW_CANCEL, "guest-cancel")
    caught(b, f, "cancel-after-grant")


@each({str(n): n for n in (0, 4, 2 ** 32 - 1)})
def evil_how(b, how):
    f = victim(b)
    ident, s = f.granted(GATEWAY, PORT)
    SERVER.accept()
    f.close(ident, how)
    caught(b, f, "unknown-how")


@each({name: name for name in ("policy-revoked", "default-deny", "lifetime",
                               "audit-unavailable", "ipc-violation",
                               "frame-died", "shutdown", "spoofed-source")})
def evil_close_reason(b, reason):
    """A frame cannot put the broker's words into the log."""
    f = victim(b)
    ident, s = f.granted(GATEWAY, PORT)
    SERVER.accept()
    f.close(ident, HOW_RST, reason)
    caught(b, f, "close-reason")


@each({str(n): n for n in (len(REASON) + 50, 2 ** 31, 2 ** 32 - 1)})
def evil_close_reason_number(b, number):
    f = victim(b)
    ident, s = f.granted(GATEWAY, PORT)
    SERVER.accept()
    f.chan.send(head(CLOSE, ident) + struct.pack("<II4Q", HOW_RST, number,
                                                 0, 0, 0, 0))
    caught(b, f, "close-reason")


def evil_killed_without_revoke(b):
    f = victim(b)
    ident, s = f.granted(GATEWAY, PORT)
    SERVER.accept()
    f.close(ident, HOW_RST, "killed")
    caught(b, f, "not-revoked")


def evil_bytes(b):
    """What it claims of a TCP flow's bytes is not what the log says."""
    f = victim(b)
    ident, s = f.granted(GATEWAY, PORT)
    conn, _ = SERVER.accept()
    s.send(b"four")
    conn.recv(9)
    s.close()
    f.close(ident, HOW_RST, "guest-rst", up=2 ** 64 - 1, down=2 ** 64 - 1)
    closed = b.one("flow.close", guest="guest0")
    assert (closed.up, closed.down, closed.csrc) == (4, 0, 1)


@each({"none": (0, 0, 0), "id": (1, 0, 1), "zero": (0, 1, 1)})
def evil_drops(b, case):
    ident, zero, n = case
    f = victim(b)
    f.chan.send(head(DROPS, ident) + struct.pack(
        "<IIQ", REASON["fragment"], zero, n))
    caught(b, f, "drops")


@each({name: name for name in ("default-deny", "floor-metadata", "rate",
                               "ipc-violation", "done")})
def evil_drops_reason(b, reason):
    f = victim(b)
    f.drops(reason, 1)
    caught(b, f, "drops")


def evil_drops_sum(b):
    """Sums that run over stay at their end; one line per second."""
    f = victim(b)
    for _ in range(2000):
        f.drops("multicast", 2 ** 64 - 1)
    b.wait(lambda: b.of("deny.agg"))
    assert all(r.n == 2 ** 64 - 1 and r.csrc == 2 for r in b.of("deny.agg"))
    assert len(b.of("deny.agg")) <= 2


def evil_pong(b):
    f = victim(b)
    f.chan.send(head(PONG))
    caught(b, f, "pong")


# ---- floods ----------------------------------------------------------------------------------

def rss(b):
    with open(f"/proc/{b.pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def flood(b, f, message, seconds):
    """As much as it takes, without reading anything. How many were taken."""
    f.chan.sock.setblocking(False)
    n, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            f.chan.sock.send(message(n))
            n += 1
        except BlockingIOError:
            b.pump(0.001)
        except (BrokenPipeError, ConnectionResetError):
            break
    f.chan.sock.settimeout(5)
    return n


def evil_flood_unread(b):
    """OPENs for ever, and never a read: paused, then ended."""
    f = victim(b)
    before = rss(b)
    flood(b, f, lambda n: raw_open(n + 1, dst=endpoint("127.0.0.1", 9)), 3)
    assert rss(b) - before < 8 << 20, "grows with the flood"
    serves(b)
    assert b.busy(1) < 0.1, "spins while nothing is read"
    b.wait(lambda: b.of("ipc.violation"), 15)
    caught(b, f, "never-reads")


def evil_flood_denied(b):
    """A frame that reads, and is denied 5 000 times a second and more."""
    f = victim(b)
    f.chan.sock.settimeout(5)
    sent = got = 0
    end = time.monotonic() + 2
    while time.monotonic() < end:
        for _ in range(100):
            sent += 1
            f.chan.send(raw_open(sent, dst=endpoint(
                f"10.{sent >> 8 & 255}.{sent & 255}.1", 80)))
        for _ in range(100):
            kind, _, code, _ = f.recv()
            assert kind == DENY and code in (RESET, SILENT)
            got += 1
    serves(b)
    assert b.stop() == 0
    assert b.summary[1] == got == sent
    full = len(b.of("flow.deny"))
    assert full < 12000, full


def evil_flood_targets(b):
    """More kinds of denial than there are rows: the sums still match."""
    f = victim(b)
    for n in range(3000):
        f.chan.send(raw_open(n + 1, dst=endpoint(f"10.{n >> 8}.{n & 255}.1",
                                                 80)))
        assert f.recv()[0] == DENY
    assert b.stop() == 0          # stop() compares
    assert len(b.of("flow.deny")) == 1024
    assert sum(r.n for r in b.of("deny.agg", detail="other")) == 3000 - 1024


def evil_never_ack(b):
    """16 fds in flight and no more; the rest are charged and wait."""
    f = victim(b)
    for _ in range(6):
        for _ in range(10):
            f.open(GATEWAY, PORT)
        b.settle()
    fds = [f.expect(GRANT) for _ in range(INFLIGHT_MAX)]
    f.silent(0.5)
    serves(b)
    for fd in fds:
        os.close(fd)
    SERVER.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        while True:
            SERVER.accept()[0].close()
    SERVER.settimeout(5)


def evil_conns(b):
    """Flows that are never closed: 64, then `conns`."""
    f = victim(b)
    held = [f.granted(GATEWAY, PORT) for _ in range(64)]
    ident = f.open(GATEWAY, PORT)
    assert f.expect(DENY, ident) == RESET
    assert b.one("flow.deny").reason == "conns"
    for ident, s in held:
        SERVER.accept()[0].close()
        s.close()
        f.close(ident, HOW_RST, "guest-rst")
    b.settle()
    assert b.one("flow.deny")


def evil_flood_garbage(b):
    """Random datagrams: each ends a frame, none ends the broker."""
    rng = random.Random(5)
    f = victim(b)
    for _ in range(60):
        size = rng.choice((1, 15, 16, 17, 32, 56, 64, 100))
        data = bytearray(rng.randbytes(size))
        if size >= 16 and rng.random() < 0.7:
            data[:8] = struct.pack("<II", rng.choice(list(LENGTHS)), 0)
        if rng.random() < 0.5 and size >= 16:
            data[8:16] = struct.pack("<Q", rng.choice((0, 1, 2, 1 << 63)))
        with contextlib.suppress(BrokenPipeError):
            f.chan.send(bytes(data))
        seen = len(b.of("ipc.violation"))
        if (ROLE_FRAME, 0) in b.kills:
            b.kills.clear()
            f.chan.close()
            b.died(ROLE_FRAME, 0, 9)
            b.wait(lambda: (ROLE_FRAME, 0) in b.spawned)
            f = b.frame(0)
    assert seen > 30, seen
    serves(b)


def evil_half_dead(b):
    """Shuts its channel in one direction, keeps its sockets."""
    f = victim(b)
    ident, s = f.granted(GATEWAY, PORT)
    conn, _ = SERVER.accept()
    f.chan.sock.shutdown(socket.SHUT_WR)
    b.wait(lambda: (ROLE_FRAME, 0) in b.kills)
    s.close()
    f.chan.close()
    b.died(ROLE_FRAME, 0, 9)
    assert b.one("flow.close", guest="guest0").reason == "frame-died"
    serves(b)


def evil_uses_its_socket_on(b):
    """Cut off for a violation, it still has a copy: it is shut at once."""
    f = victim(b)
    ident, s = f.granted(GATEWAY, PORT)
    conn, _ = SERVER.accept()
    f.ack(77)
    b.wait(lambda: b.of("ipc.violation"))
    b.wait(lambda: b.of("flow.close", guest="guest0"))
    with contextlib.suppress(BrokenPipeError):
        s.send(b"after the end")
        raise AssertionError("still sends")
    conn.settimeout(5)
    with contextlib.suppress(ConnectionResetError):
        assert conn.recv(99) == b""
    assert b.one("flow.close", guest="guest0").reason == "ipc-violation"
    caught(b, f, "ack-of-nothing")


# ---- the floor, in every encoding -----------------------------------------------------------

FLOORED4 = """0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200
127.0.0.1 127.1.2.3 127.255.255.255 168.63.129.16 169.254.0.1 169.254.169.254
169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.1
192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1
224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255""".split()
FLOORED6 = """:: ::1 fe80::1 febf::1 fec0::1 fc00::1 fd00::1 fd00:ec2::254
ff02::1 ff0e::1 2001:db8::1 2001::1 100::1 64:ff9b:1::1 3fff::1 5f00::1""".split()


def encodings(v4):
    """Every form in which IPv6 can carry an IPv4 address."""
    raw = ipaddress.IPv4Address(v4).packed
    flipped = bytes(byte ^ 0xff for byte in raw)
    forms = {
        "mapped": bytes(10) + b"\xff\xff" + raw,
        "compatible": bytes(12) + raw,
        "translated": bytes(8) + b"\xff\xff\0\0" + raw,
        "nat64": bytes.fromhex("0064ff9b") + bytes(8) + raw,
        "nat64-local": bytes.fromhex("0064ff9b0001") + bytes(6) + raw,
        "6to4": b"\x20\x02" + raw + bytes(9) + b"\1",
        "teredo-client": bytes.fromhex("20010000") + b"\1\1\1\1" + bytes(4) +
        flipped,
        "teredo-server": bytes.fromhex("20010000") + raw + bytes(8),
        "isatap": bytes.fromhex("fe80000000000000" "00005efe") + raw,
    }
    return {k: str(ipaddress.IPv6Address(v)) for k, v in forms.items()}


def evil_floor(b):
    """Every floored range, every encoding, every protocol: a refusal at once,
    with the floor as its reason, and no packet."""
    f = victim(b)
    targets = FLOORED4 + FLOORED6
    for v4 in FLOORED4:
        targets += encodings(v4).values()
    for dst in targets:
        for proto, port, code in ((TCP, PORT, RESET), (UDP, PORT, ADMIN),
                                  (ECHO, 0, ADMIN)):
            ident = f.open(dst, port, proto)
            kind, got, shown, _ = f.recv()
            assert (kind, got, shown) == (DENY, ident, code), (dst, proto)
    asked = 3 * len(targets)
    b.settle()
    assert not b.of("flow.open", guest="guest0")
    assert b.stop() == 0
    counted = {}
    for r in b.of("flow.deny"):
        counted[r.reason] = counted.get(r.reason, 0) + 1
    for r in b.of("deny.agg"):
        counted[r.reason] = counted.get(r.reason, 0) + r.n
    assert set(counted) <= {"floor-special", "floor-metadata",
                            "floor-local"}, counted
    assert sum(counted.values()) == asked, (counted, asked)


def evil_rebinding(b):
    """The same as answers of a name: none of them is told or pinned, each is
    named in the log, and one that may be told comes through beside them."""
    b.res = b.resolver()
    f = victim(b)
    forms = [v6 for v4 in FLOORED4 for v6 in encodings(v4).values()]
    forms += FLOORED6 + own_addresses()
    for i, addr in enumerate(FLOORED4 + forms):
        qtype, good = (AAAA, "2606:4700::1111") if ":" in addr else \
            (A, "1.1.1.1")
        for addrs in [addr], [good, addr]:
            ident = f.resolve(f"n{i}.example", qtype)
            b.res.answer(b.res.asked()[0], addrs)
            code, _, told = f.answer(ident)
            assert told == addrs[:-1], (addr, told)
            assert code == (ADDRESSES if told else WITHHELD), addr
            record = b.of("dns")[-1]
            assert record.stripped == 1, record
            assert ipaddress.ip_address(record.detail) == \
                ipaddress.ip_address(addr), (record.detail, addr)
            assert told or record.reason == "rebinding-stripped"
        ident = f.open(addr, PORT)
        assert f.expect(DENY, ident) == RESET, addr
        b.good.silent(0)                # but for PING, which it answers
    assert not b.of("flow.open", guest="guest0")


# ---- RESOLVE, FLIGHT ------------------------------------------------------------------------

def raw_resolve(ident=1, qname="a.example", qtype=A, zero=0):
    return head(RESOLVE, ident) + struct.pack("<II", qtype, zero) + name(qname)


def not_a_name(label):
    return {f"{label}-{i}": bad for i, bad in enumerate((
        b"", b".", b"a..example", b".example", b"example.", b"-a.example",
        b"a-.example", b"x" * 64 + b".example", b"1.2.3.4", b"a.0x7f", b"7",
        b"A.example", "\u00e9.example".encode(), b"a.example\0"))}


@each(not_a_name("name") | {
    "len-0": struct.pack("<H254s", 0, b"a.example"),
    "len-short": struct.pack("<H254s", 3, b"a.example"),
    "len-254": struct.pack("<H254s", 254, b".".join([b"x" * 50] * 5)),
    "len-65535": struct.pack("<H254s", 65535, b"a.example"),
    "tail": struct.pack("<H254s", 9, b"a.example".ljust(253, b"\0") + b"x")})
def evil_name(b, bad):
    f = victim(b)
    f.chan.send(raw_resolve(qname=bad))
    caught(b, f, "bad-name")


def evil_name_bytes(b):
    """Each byte in a label: a name is what include/name.h says, no more."""
    b.res = b.resolver()
    f = victim(b)
    good = b"abcdefghijklmnopqrstuvwxyz0123456789_"
    for byte in range(256):
        qname = b"a" + bytes([byte]) + b"a.example"
        if byte in good or byte in b"-.":
            ident = f.resolve(qname)
            b.res.answer(b.res.asked()[0], ["1.1.1.1"])
            f.answer(ident)
            continue
        f.chan.send(raw_resolve(f.next + 1, qname))
        b.wait(lambda: len(b.of("ipc.violation")) > b.caught)
        b.caught += 1
        b.good.silent(0)                # but for PING, which it answers
        assert b.of("ipc.violation")[-1].detail == "bad-name", byte
        b.kills.clear()
        f.chan.close()
        b.died(ROLE_FRAME, 0, 9)
        b.wait(lambda: (ROLE_FRAME, 0) in b.spawned)
        f = victim(b)
        if byte % 32 == 0:
            serves(b)               # and has its PINGs answered
    serves(b)


@each({"qtype": dict(qtype=65536), "qtype-max": dict(qtype=2 ** 32 - 1),
       "zero": dict(zero=1)})
def evil_question(b, fields):
    f = victim(b)
    f.chan.send(raw_resolve(**fields))
    caught(b, f, "bad-question")


@each({"zero": (0,), "same": (5, 5), "lower": (5, 4), "top-bit": (1 << 63,)})
def evil_question_id(b, ids):
    f = victim(b)
    for ident in ids:
        f.chan.send(raw_resolve(ident))
    caught(b, f, "id-not-new")


@each({"open-after": (raw_resolve(3), raw_open(3)),
       "resolve-after": (raw_open(3), raw_resolve(3))})
def evil_id_of_both(b, messages):
    """RESOLVE and OPEN share the ids."""
    f = victim(b)
    for message in messages:
        f.chan.send(message)
    caught(b, f, "id-not-new")


@each({"fin": HOW_FIN, "rst": HOW_RST})
def evil_close_of_a_question(b, how):
    f = victim(b)
    b.resolver() if not b.caught else None
    f.chan.send(raw_resolve(1))
    f.close(1, how)
    caught(b, f, "close-of-nothing")


def evil_ack_of_a_question(b):
    f = victim(b)
    f.resolve("a.example")
    f.ack(1)
    caught(b, f, "ack-of-nothing")


def evil_flood_questions(b):
    """RESOLVEs for ever, and never a read."""
    f = victim(b)
    before = rss(b)
    flood(b, f, lambda n: raw_resolve(n + 1, f"n{n}.example"), 3)
    assert rss(b) - before < 16 << 20, "grows with the flood"
    serves(b)
    b.wait(lambda: b.of("ipc.violation"), 15)
    caught(b, f, "never-reads", "too-many-questions")


def evil_flood_names(b):
    """A frame that reads, and asks for other names all the time."""
    b.res = b.resolver()
    f = victim(b)
    asked, begun = 0, time.monotonic()
    for n in range(20000):
        ident = f.resolve(f"n{n}.example")
        either, end = [b.res.chan.sock, f.chan.sock], time.monotonic() + 5
        while not (came := select.select(either, [], [], 0)[0]):
            assert time.monotonic() < end
            b.pump(0.001)       # the name may wait for its record
        if b.res.chan.sock in came:
            b.res.answer(b.res.asked()[0], ["1.1.1.1"])
            asked += 1
        f.answer(ident)
        if n % 1000 == 999:     # also: it is asked whether it lives, and has to answer
            serves(b)
    assert asked <= 600, asked
    assert b.stop() == 0
    # what was asked, and in each period of 10 s as many kinds as are told apart
    most = 600 + 1024 * (2 + int((time.monotonic() - begun) / 10))
    assert len(b.of("dns")) <= most, (len(b.of("dns")), most)


def raw_flight(ident, n, said=None):
    return head(FLIGHT, ident) + struct.pack("<II", 0, n if said is None else
                                             said) + bytes(n)


@each({"empty": raw_flight(1, 0), "too-long": raw_flight(1, 16385),
       "longer-than-said": raw_flight(1, 10, 9),
       "shorter-than-said": raw_flight(1, 10, 11),
       "said-max": raw_flight(1, 10, 2 ** 32 - 1)})
def evil_flight_length(b, message):
    f = victim(b)
    f.open("127.0.0.1", 9)
    f.chan.send(message)
    caught(b, f, "wrong-length")


def evil_flight_padding(b):
    f = victim(b)
    f.open("127.0.0.1", 9)
    f.chan.send(head(FLIGHT, 1) + struct.pack("<II", 1, 4) + b"1234")
    caught(b, f, "flight")


@each({"never-opened": 9, "max": (1 << 63) - 1, "top-bit": 1 << 63})
def evil_flight_of_nothing(b, ident):
    f = victim(b)
    f.chan.send(raw_flight(ident, 5))
    caught(b, f, "flight-of-nothing")


def evil_flight_of_denied(b):
    f = victim(b)
    f.expect(DENY, f.open("127.0.0.1", 9))
    f.chan.send(raw_flight(1, 5))
    caught(b, f, "flight-unasked")


def evil_flight_of_granted(b):
    f = victim(b)
    ident, s = f.granted(GATEWAY, PORT)
    SERVER.accept()
    f.chan.send(raw_flight(ident, 5))
    caught(b, f, "flight-unasked")


def evil_flight_before_the_grant(b):
    f = victim(b)
    b.hold = True
    ident = f.open(GATEWAY, PORT)
    b.settle()
    f.chan.send(raw_flight(ident, 5))
    b.settle()
    b.release()
    caught(b, f, "flight-unasked")


def evil_flight_of_a_question(b):
    b.resolver()
    f = victim(b)
    f.chan.send(raw_resolve(1))
    f.chan.send(raw_flight(1, 5))
    caught(b, f, "flight-unasked")


def own_addresses():
    """What this host calls its own, loopback aside."""
    found = []
    with contextlib.suppress(OSError):
        out = subprocess.run(["ip", "-o", "addr"], capture_output=True,
                             text=True).stdout
        found = re.findall(r"inet6? ([0-9a-f.:]+)", out)
    return [a for a in found if not ipaddress.ip_address(a).is_loopback]


def evil_own_addresses(b):
    f = victim(b)
    for addr in own_addresses():
        assert f.expect(DENY, f.open(addr, PORT)) == RESET, addr


def evil_gateway_ports(b):
    """At the gateway's address there is the host-service and nothing else."""
    f = victim(b)
    for port in (22, 53, 80, PORT - 1, PORT + 1, 65535):
        assert f.expect(DENY, f.open(GATEWAY, port)) == RESET
    assert f.expect(DENY, f.open(GATEWAY, PORT, UDP)) == ADMIN


if __name__ == "__main__":
    sys.exit(main(named(globals(), "evil_"), bench))
