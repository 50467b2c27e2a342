#!/usr/bin/env python3
"""UDP, echo and ICMP errors through the real, sealed frame, with a guest that is
this kernel in a namespace (driver.py is the broker; it allows everything and
dials the loopback).

    dgram.py            every MTU, with and without the vnet header
    dgram.py guest MTU  the guest's part

Skipped (77) without root or /dev/net/tun. Makes a network namespace for all of
it, so nothing of the machine's own network is touched.
"""
import errno
import select
import socket
import struct
import sys
import threading
import time

import stage

ECHO, REFUSED = 7007, 7099
DENIED = {7010: "admin", 7011: "host", 7012: "net", 7013: "reset"}
FAR = {4: "192.0.2.1", 6: "2001:db8::1"}
GATEWAY = {4: "10.0.2.2", 6: "fd53:616c:6c79::2"}
AF = {4: socket.AF_INET, 6: socket.AF_INET6}
PATTERN = bytes((i * 2654435761 >> 13) & 255 for i in range(65536))
QUERY = bytes.fromhex("1234010000010000000000000461352d7803636f6d00"
                      "00010001")          # a5-x.com


# ---- outside: servers on the loopback ----

def serve(family):
    """Echoes; "want N" is answered with N bytes."""
    s = socket.socket(AF[family], socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
    s.bind(("::1" if family == 6 else "127.0.0.1", ECHO))

    def loop():
        while True:
            data, peer = s.recvfrom(65536)
            if data.startswith(b"want "):
                data = PATTERN[:int(data[5:])]
            s.sendto(data, peer)
    threading.Thread(target=loop, daemon=True).start()


def outside():
    stage.enter()
    with open("/proc/sys/net/ipv4/ping_group_range", "w") as f:
        f.write("0 2147483647")
    serve(4)
    serve(6)
    failed = 0
    for mtu in (1280, 1500, 65520):
        for plain in ([], ["--plain"]):
            denied = [a for p, c in DENIED.items()
                      for a in ("--deny", f"{p}={c}")]
            status = stage.drive(__file__,
                                 ["--mtu", str(mtu)] + plain + denied,
                                 ["guest", str(mtu)], 120)
            failed |= stage.told(f"mtu {mtu} {'plain' if plain else 'vnet'}",
                                 status)
    return 1 if failed else 0


# ---- inside: the guest ----

def udp(family, port, to=FAR, timeout=2.0):
    s = socket.socket(AF[family], socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    s.settimeout(timeout)
    s.connect((to[family], port))
    return s


def check_echo_sizes(family, mtu):
    most = mtu - (48 if family == 6 else 28)    # larger ones are fragments
    s = udp(family, ECHO)
    for n in {0, 1, 2, 3, 63, 64, 65, 1000, most - 1, most}:
        if n <= 65507:
            s.send(PATTERN[:n])
            assert s.recv(65536) == PATTERN[:n], n


def check_answer_sizes(family, mtu):
    """Larger than the MTU: fragments that the guest's kernel puts together."""
    s = udp(family, ECHO)
    sizes = {mtu - 49, mtu - 48, mtu - 47, mtu - 28, mtu - 27, 2 * mtu, 9000,
             30000, 65472, 65492, 65507}
    for n in sorted(x for x in sizes if x <= 65507):
        s.send(b"want %d" % n)
        got = s.recv(65536)
        assert got == PATTERN[:n], (n, len(got))


def check_errors(family, _):
    want = {"admin": errno.EHOSTUNREACH if family == 4 else errno.EACCES,
            "host": errno.EHOSTUNREACH, "net": errno.ENETUNREACH,
            "reset": errno.ECONNREFUSED}
    for port, code in list(DENIED.items()) + [(REFUSED, "reset")]:
        s = udp(family, port)
        # Soft errors reach only a socket that asks for them.
        level, option = (0, 11) if family == 4 else (41, 25)
        s.setsockopt(level, option, 1)
        start = time.monotonic()
        s.send(b"x")
        try:
            s.recv(10)
            raise AssertionError("an answer from a denied port")
        except OSError as e:
            assert e.errno == want[code], (port, code, e)
        assert time.monotonic() - start < 0.5, (port, code)


def icmp_echo(family, to, n):
    v6 = family == 6
    s = socket.socket(AF[family], socket.SOCK_DGRAM, 58 if v6 else 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    s.settimeout(2)
    s.connect((to[family], 0))
    for seq in range(3):
        s.send(struct.pack(">BBHHH", 128 if v6 else 8, 0, 0, 0, seq) +
               PATTERN[:n])
        got = s.recv(65536)
        assert got[0] == (129 if v6 else 0), got[:8]
        assert got[6:8] == struct.pack(">H", seq), got[:8]
        assert got[8:] == PATTERN[:n], (n, len(got))


def check_ping(family, mtu):
    with open("/proc/sys/net/ipv4/ping_group_range", "w") as f:
        f.write("0 2147483647")
    most = min(mtu - (48 if family == 6 else 28), 65507)
    for n in (0, 1, 56, 1000, most):
        icmp_echo(family, GATEWAY, n)
        icmp_echo(family, FAR, n)


def check_dns(family, _):
    s = udp(family, 53, GATEWAY)
    s.send(QUERY)
    got = s.recv(512)
    assert got[:2] == QUERY[:2] and got[3] & 15 == 0, got
    assert got[12:len(QUERY)] == QUERY[12:], got
    assert len(got) == len(QUERY) + 5 * 16 and got[6:8] == b"\0\5", got


def check_many_ports(family, _):
    socks = [udp(family, ECHO) for _ in range(64)]
    for turn in range(20):
        for i, s in enumerate(socks):
            s.send(b"%d %d" % (turn, i))
        for i, s in enumerate(socks):
            assert s.recv(100) == b"%d %d" % (turn, i)


def check_burst(family, _):
    """What waits for the grant arrives, and in order."""
    s = udp(family, ECHO)
    for i in range(64):
        s.send(b"%d" % i)
    for i in range(64):
        assert s.recv(100) == b"%d" % i, i


def guest(mtu):
    for family in (4, 6):
        for check in (check_dns, check_burst, check_echo_sizes,
                      check_answer_sizes, check_errors, check_ping,
                      check_many_ports):
            try:
                check(family, mtu)
            except (OSError, AssertionError) as e:
                print(f"{check.__name__} v{family} mtu {mtu}: {e!r}")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(guest(int(sys.argv[2])) if sys.argv[1:2] == ["guest"] else
             outside())
