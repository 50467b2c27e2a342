#!/usr/bin/python3
"""What is the host's own, as only its kernel knows: nets that are local as a whole,
anycast and broadcast, the tables of rules; at the dial, after it, in answers, and
when the host's network changes under a live flow. In a network namespace of its
own; else skipped. (Port 3: the double allows what is not this host, see
policy_double.c.)

usage: own.py [TEST...]     (BROKER=program; default ./broker-double)
"""

import os
import select
import socket
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
from rig import *  # noqa: E402
from names import bench as names_bench, resolve  # noqa: E402

AWAY4, AWAY6 = "198.51.100.9", "2001:db8:51::9"     # next door, and silent
REFUSALS = {TCP: RESET, UDP: ADMIN, ECHO: ADMIN}


def bench(stack, needs=0, **kw):
    return names_bench(stack, needs=needs, **kw)


def setup():
    write("/proc/sys/net/ipv4/ping_group_range", "0 0" if os.getegid() == 0
          else f"{os.getegid()} {os.getegid()}")
    write("/proc/sys/net/ipv4/tcp_syn_retries", "1")
    for dst in (AWAY4, AWAY6):
        ip("neigh", "add", dst, "lladdr", "02:00:00:00:00:09", "nud",
           "permanent", "dev", "street")
    ip("route", "add", "local", "198.18.0.0/16", "dev", "lo")
    ip("-6", "route", "add", "local", "2001:db8:a::/64", "dev", "lo")


def canary(kind, family=socket.AF_INET6):
    """A service of the host, on all its addresses, at port 3."""
    s = socket.socket(family, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 3))
    if kind == socket.SOCK_STREAM:
        s.listen(16)
    s.setblocking(False)
    return s


def heard(s):
    return bool(select.select([s], [], [], 0.1)[0])


def denied(b, dst, protos=(TCP, UDP, ECHO)):
    """By the floor, before there is a socket."""
    f = b.guest()
    tcp, udp = canary(socket.SOCK_STREAM), canary(socket.SOCK_DGRAM)
    for proto in protos:
        ident = f.open(dst, 0 if proto == ECHO else 3, proto)
        kind, got, code, fd = f.recv()
        if fd is not None:
            os.write(fd, b"to the host itself")
        assert (kind, got, code) == (DENY, ident, REFUSALS[proto]), (
            dst, proto, kind, heard(tcp), heard(udp))
    assert not heard(tcp) and not heard(udp)
    assert [r.reason for r in b.of("flow.deny")] == \
        ["floor-local"] * len(protos)
    assert not b.of("flow.open")


def test_any_ip(b):
    denied(b, "198.18.4.4")


def test_any_ip6(b):
    """The source is another address: nothing about the socket shows it."""
    denied(b, "2001:db8:a::1234")


def test_wrapped(b):
    """By the road of a NAT64, which would send it back."""
    denied(b, "64:ff9b::c612:404")


def test_subnet_router_anycast(b):
    write("/proc/sys/net/ipv6/conf/all/forwarding", "1")
    try:
        denied(b, "2001:db8:51::")
    finally:
        write("/proc/sys/net/ipv6/conf/all/forwarding", "0")


def test_broadcast(b):
    denied(b, "198.51.100.255")


def test_table_of_a_rule(b):
    """Local for one protocol and port alone, in a table that a rule chooses."""
    ip("route", "add", "local", "203.0.113.0/24", "dev", "lo", "table", "77")
    ip("rule", "add", "ipproto", "17", "dport", "3", "lookup", "77")
    try:
        denied(b, "203.0.113.5", [UDP])
        b.guest(1).granted("203.0.113.5", 5, UDP)
    finally:
        ip("rule", "del", "ipproto", "17", "dport", "3", "lookup", "77")
        ip("route", "flush", "table", "77")


def test_table_by_source(b):
    """The rule looks at the source, which is known only after the connect."""
    ip("route", "add", "local", "203.0.113.0/24", "dev", "lo", "table", "78")
    ip("rule", "add", "from", "198.51.100.1", "lookup", "78")
    try:
        f = b.guest()
        udp = canary(socket.SOCK_DGRAM)
        assert f.expect(DENY, f.open("203.0.113.6", 3, UDP)) == ADMIN
        assert b.one("flow.close").reason == "floor-local"
        assert not heard(udp)
    finally:
        ip("rule", "del", "from", "198.51.100.1", "lookup", "78")
        ip("route", "flush", "table", "78")


# ---- a change under a live flow --------------------------------------------------------

def revoked_by(b, dst, change, undo):
    """What leaves after the change, and reaches the host, is what raced."""
    f = b.guest()
    ident, s = f.granted(dst, 3, UDP)
    keeps, t = f.granted(dst, 5, UDP)       # may be this host
    s.send(b"away")
    udp = canary(socket.SOCK_DGRAM)
    try:
        change()
        changed = time.monotonic()
        refused = None
        while refused is None and time.monotonic() < changed + 3:
            try:
                s.send(b"x")
            except BlockingIOError:     # what waits for a neighbour
                time.sleep(0.001)
            except BrokenPipeError:
                refused = time.monotonic() - changed
        assert refused is not None, "it is sent on and on"
        f.expect(REVOKE, ident)
        last = 0
        while heard(udp):
            udp.recv(9)
            last += 1
        print(f"     {dst}: {last} datagrams in {refused * 1000:.1f} ms")
        assert refused < 0.5
        s.close()
        f.close(ident, HOW_RST, "killed")
        assert b.one("flow.close").reason == "floor-local"
        t.send(b"on")
        f.silent(0.3)
        t.close()
        f.close(keeps)
    finally:
        undo()


def vip(dst):
    length = "128" if ":" in dst else "32"
    return (lambda: ip("addr", "add", f"{dst}/{length}", "dev", "lo"),
            lambda: ip("addr", "del", f"{dst}/{length}", "dev", "lo"))


def test_address_moves_here(b):
    revoked_by(b, AWAY4, *vip(AWAY4))


def test_address_moves_here6(b):
    revoked_by(b, AWAY6, *vip(AWAY6))


def test_net_becomes_local(b):
    revoked_by(b, "2001:db8:b::7",
               lambda: ip("-6", "route", "add", "local", "2001:db8:b::/64",
                          "dev", "lo"),
               lambda: ip("-6", "route", "del", "local", "2001:db8:b::/64",
                          "dev", "lo"))


def test_rule_makes_it_local(b):
    ip("-6", "route", "add", "local", "2001:db8:c::/64", "dev", "lo", "table",
       "79")
    try:
        revoked_by(b, "2001:db8:c::7",
                   lambda: ip("-6", "rule", "add", "to", "2001:db8:c::/64",
                              "lookup", "79"),
                   lambda: ip("-6", "rule", "del", "to", "2001:db8:c::/64",
                              "lookup", "79"))
    finally:
        ip("-6", "route", "flush", "table", "79")


def test_forwarding_is_switched_on(b):
    path = "/proc/sys/net/ipv6/conf/all/forwarding"
    revoked_by(b, "2001:db8:51::", lambda: write(path, "1"),
               lambda: write(path, "0"))


def test_inside_moves_here(b):
    """A flow by NAT64 to an IPv4 address that moves here."""
    f = b.guest()
    ident, s = f.granted("64:ff9b::c633:6409", 3, UDP)
    come, go = vip(AWAY4)
    come()
    try:
        f.expect(REVOKE, ident)
        s.close()
        f.close(ident, HOW_RST, "killed")
        assert b.one("flow.close").reason == "floor-local"
    finally:
        go()


def test_moves_here_before_the_grant(b):
    """Connected, and its record not yet on the disk."""
    f = b.guest()
    b.hold = True
    ident = f.open(AWAY4, 3, UDP)
    b.wait(lambda: b.of("flow.open"))
    come, go = vip(AWAY4)
    come()
    try:
        assert f.expect(DENY, ident) == ADMIN
        b.release()
        assert b.one("flow.close").reason == "floor-local"
    finally:
        go()


@needs(durable=BEFORE_CONNECT)
def test_moves_here_before_the_connect(b):
    f = b.guest()
    tcp = canary(socket.SOCK_STREAM)
    b.hold = True
    ident = f.open(AWAY4, 3)
    b.wait(lambda: b.of("flow.open"))
    come, go = vip(AWAY4)
    come()
    try:
        assert f.expect(DENY, ident) == RESET
        b.release()
        assert b.one("flow.close").reason == "floor-local"
        assert not heard(tcp)
    finally:
        go()


@needs(conns=2000, burst=4000, pending_dst=2000)
def test_storm(b):
    """20 000 routes come and go, with 1000 flows alive: dials are answered
    meanwhile, the broker takes a small part of the time, and what moves here in the
    midst of it is noticed."""
    f = b.guest()
    flows = [f.granted(f"198.51.100.{20 + i % 100}", 5 + i, UDP)
             for i in range(1000)]
    ident, s = f.granted(AWAY4, 3, UDP)
    routes = [f"route add 100.{i >> 8 & 127}.{i & 255}.0/24 dev street"
              for i in range(20000)]
    batch = "\n".join(routes + [r.replace("add", "del") for r in routes])
    storm = subprocess.Popen(["ip", "-batch", "-"], stdin=subprocess.PIPE,
                             text=True)
    thread = threading.Thread(target=storm.communicate, args=(batch,))
    begun, used = time.monotonic(), cpu(b)
    thread.start()
    slow, dials = 0.0, 0
    while thread.is_alive():
        at = time.monotonic()
        last, t = f.granted("198.51.100.150", 4000 + dials, UDP)
        slow = max(slow, time.monotonic() - at)
        t.close()
        f.close(last)
        dials += 1
        time.sleep(0.02)
        if dials == 10:
            come, go = vip(AWAY4)
            come()
            at = time.monotonic()
            f.expect(REVOKE, ident)
            noticed = time.monotonic() - at
            s.close()
            f.close(ident, HOW_RST, "killed")
    took = time.monotonic() - begun
    share = (cpu(b) - used) / took
    go()
    assert storm.returncode == 0 and dials > 10
    print(f"     {took:.1f} s: {share:.0%} of a processor, slowest of {dials} "
          f"dials {slow * 1000:.0f} ms, noticed after {noticed * 1000:.0f} ms")
    assert share < 0.25, share
    assert noticed < 2
    for ident, s in flows:
        s.close()
        f.close(ident)


def cpu(b):
    with open(f"/proc/{b.pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- answers ----------------------------------------------------------------------------

@needs(needs=NEEDS_RESOLVER)
def test_answers_of_our_own(b):
    """Any of them: taken out as the rest of the floor is."""
    write("/proc/sys/net/ipv6/conf/all/forwarding", "1")
    try:
        b.res = b.resolver()
        f = b.guest()
        for addr, good in (("198.18.4.4", AWAY4), ("198.51.100.255", AWAY4),
                           ("2001:db8:a::77", AWAY6), ("2001:db8:51::", AWAY6),
                           ("64:ff9b::c612:404", AWAY6)):
            qtype = AAAA if ":" in addr else A
            assert resolve(b, f, "a.test", [addr], qtype) == (
                WITHHELD, 5, []), addr
            r = b.of("dns")[-1]
            assert (r.verdict, r.reason, r.stripped) == (
                2, "rebinding-stripped", 1), vars(r)
            assert resolve(b, f, "a.test", [addr, good], qtype) == (
                ADDRESSES, 300, [good])
            assert b.of("dns")[-1].stripped == 1
    finally:
        write("/proc/sys/net/ipv6/conf/all/forwarding", "0")


@needs(needs=NEEDS_RESOLVER)
def test_answers_without_a_route(b):
    """Left out; an empty answer if none is left, and only for a moment."""
    ip("route", "add", "unreachable", "203.0.114.0/24")
    ip("-6", "route", "add", "prohibit", "2600:1::/32")
    ip("-6", "route", "add", "blackhole", "2600:2::/32")
    try:
        b.res = b.resolver()
        f = b.guest()
        for addrs, qtype in ((["203.0.114.7"], A),
                             (["2600:1::1", "2600:2::1"], AAAA)):
            assert resolve(b, f, "a.test", addrs, qtype) == (
                ANS_NODATA, 5, []), addrs
            r = b.of("dns")[-1]
            assert (r.verdict, r.reason, r.stripped, r.n, r.detail) == (
                1, "no-route", 0, 0, " ".join(addrs)), vars(r)
        assert resolve(b, f, "a.test", ["203.0.114.7", "10.0.0.1", AWAY4]) == (
            ADDRESSES, 300, [AWAY4])
        r = b.of("dns")[-1]
        assert (r.verdict, r.reason, r.stripped, r.ips, r.detail) == (
            1, "no-route", 1, (AWAY4,), "10.0.0.1 203.0.114.7"), vars(r)
        # what is left out is not pinned, what is pinned is told as it was
        assert resolve(b, f, "a.test", ["203.0.114.7", "10.0.0.1"]) == (
            ANS_NODATA, 5, [])
        ip("route", "del", "unreachable", "203.0.114.0/24")
        assert resolve(b, f, "a.test", ["203.0.114.7"]) == (
            ADDRESSES, 300, ["203.0.114.7"])
    finally:
        subprocess.run(["ip", "route", "del", "unreachable",
                        "203.0.114.0/24"], stderr=subprocess.DEVNULL)
        ip("-6", "route", "del", "prohibit", "2600:1::/32")
        ip("-6", "route", "del", "blackhole", "2600:2::/32")


if __name__ == "__main__":
    enter_street()
    setup()
    sys.exit(main(named(globals()), bench))
