#!/usr/bin/python3
"""What a guest is told of names, and for how long that holds, against the real
broker: how many addresses, of which families, and what there is no room for.

usage: pins.py [TEST...]     (BROKER=program; default ./broker-double)
"""

import sys
import time

sys.dont_write_bytecode = True
from rig import *  # noqa: E402
from names import bench, NAMED_NET, resolve, world  # noqa: E402

PER_NAME = PER_ADDRESS = 1024
ALL = 20480
PTR = 12
SHORT = (1, 1, 1)                       # pins of two seconds


def address(n):
    """The nth of the addresses that only names lead to."""
    return f"127.9.{n >> 8}.{n & 255}"


def answer(b, f, qname, first, n=ANSWER_MAX, **kw):
    """The next n of them are the name's."""
    addrs = [address(first + i) for i in range(n)]
    got = resolve(b, f, qname, addrs, **kw)
    assert got[0] != ADDRESSES or got[2] == addrs
    return got[0]


def limits(b):
    return [(r.reason, r.detail, r.guest) for r in b.of("limit")]


def reaches(f, addr, port):
    ident = f.open(addr, port)
    kind, got, _, fd = f.recv()
    assert got == ident and kind in (GRANT, DENY), kind
    if kind == DENY:
        return False
    f.ack(ident)
    os.close(fd)
    f.close(ident)
    return True


# ---- what lives stays ------------------------------------------------------------------

def test_rotating(b):
    """Eight of 400 addresses at a time: each holds for as long as it was told."""
    f = world(b)
    srv, port = listener("0.0.0.0")
    for i in range(0, 400, 8):
        assert answer(b, f, "a.test", i, 8, ttl=1) == ADDRESSES
    assert all(reaches(f, address(i), port) for i in range(400))
    assert not b.of("flow.deny") and limits(b) == []


def test_names_of_one_address(b):
    """The first is still known when there are as many as there may be, and each of
    them may be what a flow is of."""
    f = world(b)
    for i in range(PER_ADDRESS):
        assert resolve(b, f, f"sni{i:04}.test", [NAMED_NET])[0] == ADDRESSES
    srv, port = listener(NAMED_NET)
    for i in 0, 1, 299, PER_ADDRESS - 1:
        ident = f.open(NAMED_NET, port)
        assert f.expect(PEEK, ident) == EITHER
        f.flight(ident, b"hello")
        number, _, _ = b.ins.flight()
        b.ins.result(number, f"sni{i:04}.test")
        os.close(f.expect(GRANT, ident))
        f.ack(ident)
        assert b.of("flow.open")[-1].name == f"sni{i:04}.test"
        f.close(ident)
    assert limits(b) == []


def test_one_address_is_full(b):
    f = world(b)
    for i in range(PER_ADDRESS):
        assert resolve(b, f, f"n{i}.test", [NAMED_NET])[0] == ADDRESSES
    srv, port = listener("0.0.0.0")
    assert resolve(b, f, "more.test", [address(7), NAMED_NET]) == (
        SERVFAIL, 0, [])
    r = b.of("dns")[-1]
    assert (r.verdict, r.reason, r.name, r.ips, r.n) == (
        2, "pins-per-address", "more.test", (), 0), vars(r)
    assert limits(b) == [("pins-per-address", "pins-per-address", "guest0")]
    assert not reaches(f, address(7), port), "pinned, and not told"
    assert resolve(b, f, "n5.test", [NAMED_NET])[0] == ADDRESSES
    assert resolve(b, f, "more.test", [address(7)])[0] == ADDRESSES
    assert reaches(f, address(7), port)
    g = b.guest(1)                      # has pins of its own
    assert resolve(b, g, "more.test", [NAMED_NET])[0] == ADDRESSES


@needs(pins=SHORT)
def test_one_name_is_full(b):
    """And has room again when they have ended."""
    f = world(b)
    srv, port = listener("0.0.0.0")
    for i in range(0, PER_NAME, ANSWER_MAX):
        assert answer(b, f, "a.test", i, ttl=1) == ADDRESSES
    begun = time.monotonic()
    assert answer(b, f, "a.test", PER_NAME - 1, 2) == SERVFAIL
    assert time.monotonic() - begun < 1, "this machine is too slow"
    r = b.of("dns")[-1]
    assert (r.verdict, r.reason, r.ips) == (2, "pins-per-name", ()), vars(r)
    assert limits(b) == [("pins-per-name", "pins-per-name", "guest0")]
    assert answer(b, f, "b.test", PER_NAME - 1, 2) == ADDRESSES
    time.sleep(2.1)
    assert answer(b, f, "a.test", PER_NAME - 1, 2) == ADDRESSES
    assert reaches(f, address(PER_NAME), port)
    assert not reaches(f, address(0), port)


@needs(pins=(2, 2, 1))
def test_all_are_used(b):
    """All that a guest may have, of names and of addresses; and again."""
    f = world(b)
    g = b.guest(1)
    srv, port = listener("0.0.0.0")
    for i in range(ALL // ANSWER_MAX):
        assert answer(b, f, f"n{i}.test", i * ANSWER_MAX) == ADDRESSES
    assert answer(b, f, "more.test", ALL, 1) == SERVFAIL
    assert b.of("dns")[-1].reason == "pins"
    assert limits(b) == [("pins", "pins", "guest0")]
    assert 'its limit "pins": answers with addresses beyond it fail' in b.log_text()
    assert answer(b, f, "n0.test", 0) == ADDRESSES, "those that are there"
    assert reaches(f, address(0), port)
    assert reaches(f, address(ALL - 1), port)
    assert answer(b, g, "more.test", ALL, 1) == ADDRESSES, "another's"
    assert reaches(g, address(ALL), port)
    time.sleep(3.2)
    for i in range(ALL // ANSWER_MAX):
        assert answer(b, f, f"n{i}.test", ALL + i * ANSWER_MAX) == ADDRESSES


@needs(pins=SHORT)
def test_expired_has_a_name(b):
    """The one that it was, or all that it may have been."""
    f = world(b)
    srv, port = listener("0.0.0.0")
    resolve(b, f, "plain.test", [address(1)])
    resolve(b, f, "b.test", [address(2)])
    resolve(b, f, "a.test", [address(2)])
    time.sleep(2.1)
    assert not reaches(f, address(1), port)
    assert not reaches(f, address(2), port)
    assert not reaches(f, address(3), port)
    assert [(r.reason, r.name, r.chain) for r in b.of("flow.deny")] == [
        ("pin-expired", "plain.test", ()),
        ("pin-expired", "", ("a.test", "b.test")),
        ("no-pin", "", ())]


# ---- what is asked for ----------------------------------------------------------------

def test_more_than_an_answer_holds(b):
    """Some of them, and the record says that there were others."""
    f = world(b)
    addrs = [address(i) for i in range(ANSWER_MAX)]
    assert resolve(b, f, "a.test", addrs, more=1) == (ADDRESSES, 300, addrs)
    r = b.one("dns")
    assert (r.verdict, r.reason, r.n) == (1, "answer-cut", ANSWER_MAX), vars(r)
    assert resolve(b, f, "audit.test", addrs, more=1)[0] == ADDRESSES
    r = b.one("dns", name="audit.test")
    assert (r.verdict, r.reason) == (3, "name-not-allowed"), vars(r)


def only(family):
    """A guest without one family is not told of it, and nobody is asked for it."""
    def test(b):
        world(b)
        f = b.guest(1, v4=family == 4, v6=family == 6)
        want, other = (A, AAAA) if family == 4 else (AAAA, A)
        good = "192.0.2.7" if family == 4 else "2001:db8::7"
        assert resolve(b, f, "a.test", [good], want) == (ADDRESSES, 300, [good])
        assert f.ask("a.test", other) == (ANS_NODATA, 5, [])
        assert f.ask("audit.test", other) == (ANS_NODATA, 5, [])
        assert f.ask("static.test", other) == (ANS_NODATA, 5, [])
        assert f.ask("n.wild.test", other) == (ANS_NODATA, 5, [])
        assert f.ask("stop.test", other) == (DENIED, 5, [])
        assert not select.select([b.res.chan.sock], [], [], 0.2)[0], "asked"
        assert [(r.name, r.verdict, r.reason, r.qtype, r.ttl)
                for r in b.of("dns", qtype=other)] == [
            ("a.test", 1, "no-family", other, 5),
            ("audit.test", 3, "name-not-allowed", other, 5),
            ("static.test", 1, "no-family", other, 5),
            ("n.wild.test", 1, "no-family", other, 5),
            ("stop.test", 2, "deny-rule", other, 5)]
        assert {r.name for r in b.of("dns.ask")} == {"a.test"}
        assert b.stop() == 0
        assert b.summary[:2] == (0, 1)
    return test


def test_reverse(b):
    """There is nothing below the zones of addresses; elsewhere there is something,
    but not of this type."""
    f = world(b)
    for name, code in (("7.2.0.192.in-addr.arpa", DENIED),
                       ("2.0.192.in-addr.arpa", DENIED),
                       ("1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa", DENIED),
                       ("in-addr.arpa", ANS_NODATA), ("ip6.arpa", ANS_NODATA),
                       ("xin-addr.arpa", ANS_NODATA), ("a.test", ANS_NODATA)):
        assert f.ask(name, PTR) == (code, 5, []), name
        r = b.of("dns")[-1]
        assert (r.verdict, r.reason, r.name) == (2, "type-not-allowed", name)
    assert resolve(b, f, "7.2.0.192.in-addr.arpa", [])[0] == ANS_NODATA


def tests():
    yield from named(globals())
    yield "only_v4", only(4)
    yield "only_v6", only(6)


if __name__ == "__main__":
    enter_street()
    sys.exit(main(tests(), bench))
