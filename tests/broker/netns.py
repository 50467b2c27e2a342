#!/usr/bin/python3
"""What the host's network tells the broker: routes that refuse, addresses that
come and go, ping sockets. In a network namespace of its own, as root or where
user namespaces are to be had; else skipped.

usage: netns.py [-a] [TEST...]     (BROKER=program; default ./broker-double)
"""

import os
import sys

sys.dont_write_bytecode = True
from broker import *  # noqa: E402


def setup():
    write("/proc/sys/net/ipv4/ping_group_range", "0 0" if os.getegid() == 0
          else f"{os.getegid()} {os.getegid()}")
    write("/proc/sys/net/ipv4/tcp_syn_retries", "1")
    ip("link", "add", "hole", "type", "veth", "peer", "name", "void")
    ip("link", "set", "hole", "up")
    ip("link", "set", "void", "up")
    ip("addr", "add", "198.51.100.1/24", "dev", "hole")
    ip("neigh", "add", "198.51.100.9", "lladdr", "02:00:00:00:00:09",
       "nud", "permanent", "dev", "hole")
    ip("route", "add", "unreachable", "192.0.2.0/25")
    ip("route", "add", "prohibit", "192.0.2.128/25")
    ip("-6", "route", "add", "unreachable", "2001:db8:1::/48")
    ip("-6", "route", "add", "prohibit", "2001:db8:2::/48")


def refused(b, dst, code, reason, error, proto=TCP, timeout=5):
    f = b.guest()
    ident = f.open(dst, 5, proto)
    got = f.expect(DENY, ident, timeout)
    closed = b.one("flow.close")
    assert (got, closed.reason, closed.err) == (code, reason, error), (
        got, closed.reason, closed.err)


def test_host_unreachable(b):
    refused(b, "192.0.2.1", HOST, "host-unreach", 113)


def test_net_unreachable(b):
    refused(b, "203.0.113.1", NET, "net-unreach", 101)


def test_prohibited(b):
    refused(b, "192.0.2.200", ADMIN, "host-unreach", 13)


def test_udp_unreachable(b):
    refused(b, "192.0.2.1", HOST, "host-unreach", 113, UDP)


def test_net_unreachable6(b):
    refused(b, "2001:db8:3::1", NET, "net-unreach", 101)


def test_host_unreachable6(b):
    refused(b, "2001:db8:1::1", HOST, "host-unreach", 113)


def test_black_hole(b):
    refused(b, "198.51.100.9", SILENT, "connect-timeout", 110, timeout=10)


@needs(pending=600, pending_dst=128)
def test_black_hole_is_charged(b):
    """128 wait for it; the 129th waits for one of them, and others open at once."""
    f = b.guest()
    for _ in range(129):
        f.open("198.51.100.9", 5)
    f.silent()
    assert len(b.of("flow.open")) == 128
    srv, port = listener()
    begun = time.monotonic()
    ident, s = f.granted(LO, port)
    assert time.monotonic() - begun < 0.5
    f.close(129, HOW_CANCEL, "guest-cancel")
    assert b.one("flow.deny").reason == "pending"
    for i in range(1, 129):
        f.close(i, HOW_CANCEL, "guest-cancel")
    s.close()
    f.close(ident)
    b.wait(lambda: len(b.of("flow.close")) == 129)


@needs(pending=1)
def test_own_address_comes_while_held(b):
    """What waits for its turn is judged by what the host is then."""
    f = b.guest()
    f.open("198.51.100.9", 5)
    ident = f.open("203.0.113.7", 3, UDP)
    f.silent()
    ip("addr", "add", "203.0.113.7/32", "dev", "lo")
    try:
        time.sleep(0.1)
        f.close(1, HOW_CANCEL, "guest-cancel")
        assert f.expect(DENY, ident) == ADMIN
        assert b.one("flow.deny").reason == "floor-local"
    finally:
        ip("addr", "del", "203.0.113.7/32", "dev", "lo")


def test_own_address_comes(b):
    """An address that this host gets while the broker runs is its own."""
    f = b.guest()
    ip("addr", "add", "203.0.113.7/32", "dev", "lo")
    srv, port = listener("203.0.113.7")
    try:
        time.sleep(0.1)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("203.0.113.7", 3))
        assert f.expect(DENY, f.open("203.0.113.7", 3, UDP)) == ADMIN
        assert b.one("flow.deny").reason == "floor-local"
    finally:
        ip("addr", "del", "203.0.113.7/32", "dev", "lo")


def test_own_address_comes_during_commit(b):
    """It was somebody else's when it was judged; it is ours at the grant."""
    f = b.guest()
    ip("addr", "add", "203.0.113.8/32", "dev", "lo")
    srv, port = listener("203.0.113.8")
    ip("addr", "del", "203.0.113.8/32", "dev", "lo")
    ip("addr", "add", "203.0.113.8/32", "dev", "lo")
    time.sleep(0.1)
    b.hold = True
    ident = f.open("203.0.113.8", port)      # local_ok: the double allows it
    b.wait(lambda: b.of("flow.open"))
    ip("addr", "add", "203.0.113.9/32", "dev", "lo")     # a new epoch
    time.sleep(0.1)
    b.release()
    f.expect(GRANT, ident)                   # judged again, allowed again
    for last in (8, 9):
        ip("addr", "del", f"203.0.113.{last}/32", "dev", "lo")


def echo(b, dst, kind, reply):
    f = b.guest()
    assert struct.unpack_from("<I", f.config, 20)[0] & 0x60 == 0x60
    ident, s = f.granted(dst, 0, ECHO)
    s.send(struct.pack(">BBHHH", kind, 0, 0, 0, 7) + b"payload")
    data = arrived(s, 100)
    assert data[0] == reply and data[6:] == b"\0\7payload"
    s.close()
    f.close(ident, HOW_FIN, "idle", up=7, down=7)
    assert b.one("flow.close").csrc == 2
    opened = b.one("flow.open")
    assert opened.proto == ECHO and opened.h_dst[0] == dst


def test_ping(b):
    echo(b, LO, 8, 0)


def test_ping6(b):
    echo(b, "::1", 128, 129)


def test_end_of_ports(b):
    """No source port is left: a resource of ours, not a refusal of theirs."""
    write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40003")
    try:
        f = b.guest()
        srv, port = listener()
        kinds = []
        for _ in range(8):
            f.open(LO, port)
            kind, ident, code, fd = f.recv()
            kinds.append(kind)
            if kind == GRANT:
                f.ack(ident)
        assert kinds[-1] == DENY and code == RESET, kinds
        closed = b.of("flow.close")[-1]
        assert (closed.reason, closed.err) == ("resource", 99), vars(closed)
    finally:
        write("/proc/sys/net/ipv4/ip_local_port_range", "32768 60999")


if __name__ == "__main__":
    if not enter():
        print("netns: no network namespace to be had; skipped")
        sys.exit(77)
    setup()
    sys.exit(main([(name[5:], fn) for name, fn in list(globals().items())
                   if name.startswith("test_") and
                   fn.__module__ == "__main__"], bench))
