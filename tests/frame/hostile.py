#!/usr/bin/env python3
"""Frames that no kernel would send, from a guest with a packet socket; after each
kind the gateway must still answer (a ping, a UDP echo, a TCP connection). The
kinds are the bad-input cases of other stacks' histories: truncation at every
length, lengths that lie, options without end, fragments, ports 0, floods.

    hostile.py          plain and with the vnet header
    hostile.py guest    the guest's part

Skipped (77) without root or /dev/net/tun.
"""
import random
import socket
import struct
import sys
import threading
import time

import stage

ECHO = 7007
GUEST, GATEWAY, FAR = "10.0.2.100", "10.0.2.2", "192.0.2.1"
GUEST6, GATEWAY6 = "fd53:616c:6c79::100", "fd53:616c:6c79::2"
FAR6 = "2001:db8::1"
GATEWAY_MAC = bytes.fromhex("025350000001")


# ---- outside ----

def serve():
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.bind(("127.0.0.1", ECHO))
    t = socket.create_server(("127.0.0.1", ECHO), backlog=128)

    def udp():
        while True:
            data, peer = u.recvfrom(65536)
            u.sendto(data, peer)

    def tcp():
        while True:
            s, _ = t.accept()
            try:
                s.settimeout(1)
                s.sendall(s.recv(100))
            except OSError:
                pass
            s.close()
    for target in (udp, tcp):
        threading.Thread(target=target, daemon=True).start()


def outside():
    stage.enter()
    serve()
    failed = 0
    for plain in ([], ["--plain"]):
        # room for all flows of a flood, which live for half a minute
        status = stage.drive(__file__,
                             ["--flows", "9000", "--mtu", "1500"] + plain,
                             ["guest"], 120)
        failed |= stage.told("plain" if plain else "vnet", status)
    return 1 if failed else 0


# ---- packets ----

def fold(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xffff:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def raw(text):
    return socket.inet_pton(
        socket.AF_INET6 if ":" in text else socket.AF_INET, text)


CSUM_AT = {6: 16, 17: 6, 1: 2, 58: 2}


def with_sum(proto, src, dst, l4):
    at = CSUM_AT.get(proto)
    if at is None or len(l4) < at + 2:
        return l4
    l4 = l4[:at] + b"\0\0" + l4[at + 2:]
    pseudo = b"" if proto == 1 else \
        raw(src) + raw(dst) + struct.pack(">II", len(l4), proto)
    return l4[:at] + struct.pack(">H", fold(pseudo + l4)) + l4[at + 2:]


def ip4(proto, l4, src=GUEST, dst=FAR, frag=0, length=None, options=b""):
    l4 = with_sum(proto, src, dst, l4)
    head = struct.pack(">BBHHHBBH", 0x45 + len(options) // 4, 0,
                       20 + len(options) + len(l4) if length is None
                       else length, 1, frag, 64, proto, 0) + \
        raw(src) + raw(dst) + options
    head = head[:10] + struct.pack(">H", fold(head)) + head[12:]
    return eth(0x0800, head + l4)


def ip6(proto, l4, src=GUEST6, dst=FAR6, length=None, hops=64, ext=b"",
        first=None):
    l4 = with_sum(proto, src, dst, l4)
    return eth(0x86dd, struct.pack(
        ">IHBB", 6 << 28, len(ext) + len(l4) if length is None else length,
        proto if first is None else first, hops) + raw(src) + raw(dst) + ext +
        l4)


def eth(kind, body):
    with open("/sys/class/net/eth0/address") as f:
        mac = bytes.fromhex(f.read().strip().replace(":", ""))
    return GATEWAY_MAC + mac + struct.pack(">H", kind) + body


def udp(sport=4000, dport=ECHO, payload=b"hostile", length=None):
    return struct.pack(">HHHH", sport, dport, 8 + len(payload)
                       if length is None else length, 0) + payload


def tcp(sport=4001, dport=ECHO, flags=2, seq=1, ack=0, options=b"",
        payload=b"", offset=None, urgent=0):
    return struct.pack(">HHIIBBHHH", sport, dport, seq, ack,
                       (5 + len(options) // 4 if offset is None else offset)
                       << 4, flags, 1000, 0, urgent) + options + payload


def echo(v6, payload=b"12345678", ident=7):
    return struct.pack(">BBHHH", 128 if v6 else 8, 0, 0, ident, 1) + payload


def solicit(options=b""):
    return struct.pack(">BBHI", 135, 0, 0, 0) + raw(GATEWAY6) + options


def seeds():
    mac = bytes(6)
    arp = eth(0x0806, struct.pack(">HHBBH", 1, 0x800, 6, 4, 1) + mac +
              raw(GUEST) + mac + raw(GATEWAY))
    return [
        arp, ip4(17, udp()), ip6(17, udp()), ip4(1, echo(False)),
        ip4(1, echo(False), dst=GATEWAY), ip6(58, echo(True)),
        ip6(58, echo(True), dst=GATEWAY6), ip4(6, tcp(sport=4100)),
        ip6(6, tcp(sport=4100)), ip4(17, udp(dport=53), dst=GATEWAY),
        ip4(6, tcp(sport=4101, options=b"\2\4\5\xb4\1\3\3\7")),
        ip6(58, solicit(b"\1\1" + mac), hops=255),
        ip6(17, udp(), ext=b"\x11\0\1\4\0\0\0\0", first=0)]


def truncated():
    for s in seeds():
        for n in range(14, len(s)):
            yield s[:n]


def lies():
    for n in list(range(0, 30)) + [65535]:
        yield ip4(17, udp(), length=n)
        yield ip6(17, udp(), length=n)
        yield ip4(17, udp(length=n))
        yield ip6(17, udp(length=n))
        yield ip4(17, udp(payload=bytes(n % 1400)))
        yield ip4(1, echo(False, bytes(n % 70)))
    for ports in ((0, 9), (9, 0), (0, 0)):
        for make in (udp, tcp):
            proto = 17 if make is udp else 6
            yield ip4(proto, make(*ports))
            yield ip6(proto, make(*ports))


def fragments():
    for frag in (0x2000, 0x2001, 1, 0x1fff, 0x3fff):
        yield ip4(17, udp(), frag=frag)
        yield ip4(6, tcp(), frag=frag)
        yield ip4(17, udp(), frag=frag, options=b"\1" * 40)
    for offset in (0, 1, 8, 9, 0xfff8, 0xffff):
        yield ip6(17, udp(), first=44,
                  ext=struct.pack(">BBHI", 17, 0, offset, 1))
    for _ in range(2000):
        yield ip4(17, udp(), frag=random.randrange(0x2000, 0x4000))


def headers():
    for n in (0, 1, 2, 31, 255):
        yield ip6(17, udp(), first=60, ext=bytes([17, n, 1, 4, 0, 0, 0, 0]))
        yield ip6(17, udp(), first=0, ext=bytes([17, 0, 1, n, 0, 0, 0, 0]))
        yield ip6(58, solicit(bytes([1, n]) + bytes(6)), hops=255)
    for n in range(1, 40):
        yield ip6(17, udp(), first=60,
                  ext=bytes([60, 0, 1, 4, 0, 0, 0, 0]) * n +
                  bytes([17, 0, 1, 4, 0, 0, 0, 0]))
    for kind in range(256):
        yield ip4(kind, b"x" * 20)
        yield ip6(kind, b"x" * 20)


def segments():
    for flags in range(256):
        yield ip4(6, tcp(sport=4200, flags=flags))
        yield ip6(6, tcp(sport=4200, flags=flags, payload=b"data"))
    for offset in range(16):
        yield ip4(6, tcp(sport=4201, offset=offset))
    for option in (b"\2\0\0\0", b"\2\1\0\0", b"\2\4\0\0", b"\2\4\0\1",
                   b"\3\3\xff\0", b"\xfe\xff\0\0", b"\1\1\1\2", b"\0\0\0\0",
                   b"\1" * 39 + b"\2", b"\5\x0a" + bytes(10)):
        yield ip4(6, tcp(sport=4202, options=option))
    for urgent in (0, 1, 65535):
        yield ip4(6, tcp(sport=4203, flags=0x22, urgent=urgent,
                         payload=b"x"))
        yield ip4(6, tcp(sport=4203, flags=0x38, urgent=urgent))


def mutated():
    random.seed(11)
    all_seeds = seeds()
    for _ in range(5000):
        s = bytearray(random.choice(all_seeds))
        for _ in range(random.randrange(1, 5)):
            s[random.randrange(12, len(s))] = random.randrange(256)
        if s[12:14] == b"\x08\0" and len(s) > 34 and random.random() < 0.7:
            n = 14 + (s[14] & 15) * 4
            s[24:26] = b"\0\0"
            s[24:26] = struct.pack(">H", fold(bytes(s[14:n])))
        yield bytes(s)


def strangers():
    for src in ("10.0.2.7", "10.0.2.2", "127.0.0.1", "0.0.0.0",
                "224.0.0.1", "255.255.255.255"):
        yield ip4(17, udp(), src=src)
        yield ip4(6, tcp(), src=src)
    for src in ("::", "::1", "ff02::1", "fe80::9", GATEWAY6):
        yield ip6(17, udp(), src=src)
        yield ip6(6, tcp(), src=src)
    for dst in (GUEST, "10.0.2.255", "224.0.0.251", "255.255.255.255"):
        yield ip4(17, udp(), dst=dst)
        yield ip4(6, tcp(), dst=dst)


def floods():
    for i in range(3000):
        yield ip4(17, udp(sport=10000 + i, dport=1 + i % 60000))
    for i in range(3000):
        yield ip4(6, tcp(sport=10000 + i, dport=1 + i % 60000))


# ---- the guest ----

def alive():
    """The three ways in which a guest notices that its network is there."""
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.settimeout(2)
    u.connect((FAR, ECHO))
    for _ in range(3):              # a datagram may be lost behind a flood
        u.send(b"alive")
        try:
            assert u.recv(10) == b"alive"
            break
        except socket.timeout:
            pass
    else:
        raise AssertionError("no UDP answer")
    with socket.create_connection((FAR, ECHO), timeout=5) as t:
        t.sendall(b"alive")
        assert t.recv(10) == b"alive"
    p = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1)
    p.settimeout(2)
    p.connect((GATEWAY, 0))
    p.send(echo(False))
    assert p.recv(100)[8:] == b"12345678"


def guest():
    with open("/proc/sys/net/ipv4/ping_group_range", "w") as f:
        f.write("0 2147483647")
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    link.bind(("eth0", 0))
    alive()
    for kind in (truncated, lies, fragments, headers, segments, strangers,
                 mutated, floods):
        n = 0
        for frame in kind():
            try:
                link.send(frame)
            except OSError:         # the queue is full: that is ours
                time.sleep(0.001)
            n += 1
        try:
            alive()
        except (OSError, AssertionError) as e:
            print(f"after {kind.__name__} ({n} frames): {e!r}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(guest() if sys.argv[1:2] == ["guest"] else outside())
