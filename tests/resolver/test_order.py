#!/usr/bin/python3
"""Whom the resolver asks: upstreams in their order, the next one if one fails, and
never by chance; for upstreams need not know the same names.

usage: test_order.py [TEST...]"""

import select
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import dns  # noqa: E402
from dns import Server, reply, rr  # noqa: E402
from drive import *  # noqa: E402

INSIDE, OUTSIDE = "192.0.2.1", "198.51.100.1"


def says(addr, also=None):
    """A server that knows every name at this address."""

    def serve(q):
        other = also(q) if also else False
        return reply(q, [rr(None, A, addr)]) if other is False else other

    return serve


def split(also=None, second=None, **settings):
    """Two servers, and the resolver between them in that order."""
    inside = Server(says(INSIDE, also))
    outside = Server(second or says(OUTSIDE))
    return inside, outside, dict(settings), \
        [inside.upstream(), outside.upstream()]


def asked(server):
    """Names that guests asked for; what only sounds whether it is there is none."""
    return [q.name for q in server.seen if q.name]


def check(got, addr):
    assert got.status == RESOLVED and got.addr == [addr], (got, addr)


def timed(r, text):
    began = time.monotonic()
    got = r.ask(text)
    return got, time.monotonic() - began


def test_first(engine):
    """The first one, each time, for one by one and for many at once."""
    inside, outside, _, both = split()
    with inside, outside, Resolver(engine, both) as r:
        for i in range(40):
            check(r.ask(f"n{i}.test"), INSIDE)
        for a in r.ask_all([(f"m{i}.test", A) for i in range(200)]).values():
            check(a, INSIDE)
        assert asked(outside) == []


def test_after_a_failure(engine):
    """What the first fails about is the second's; the next name is the first's."""
    for code in (dns.SERVFAIL, dns.REFUSED, dns.NOTIMP, dns.FORMERR):
        inside, outside, _, both = split(lambda q, code=code: reply(
            q, rcode=code) if "bad" in q.name else False)
        with inside, outside, Resolver(engine, both) as r:
            for i in range(5):
                got, took = timed(r, f"bad{i}.test")
                check(got, OUTSIDE)
                assert took < 1.5, f"{took:.1f} s"
                check(r.ask(f"n{i}.test"), INSIDE)
            assert all("bad" in n for n in asked(outside)), asked(outside)


def test_no_is_an_answer(engine):
    """NXDOMAIN and "no such record" are the first one's answers."""
    for code, want in ((dns.NXDOMAIN, NXDOMAIN), (dns.NOERROR, NODATA)):
        inside, outside, _, both = split(lambda q, code=code: reply(
            q, rcode=code, authority=[dns.soa("test")]))
        with inside, outside, Resolver(engine, both) as r:
            for i in range(10):
                got = r.ask(f"n{i}.test")
                assert got.status == want, got
            assert asked(outside) == []


def test_slow_is_an_answer(engine):
    """One that is there and takes 3 s over a name is waited for, whoever would have
    said something else at once."""

    first = {}

    def also(q):
        """It looks for itself, and answers whoever waits for that by then."""
        if "slow" not in q.name:
            return False
        left = first.setdefault(q.name, time.monotonic()) + 3 - time.monotonic()
        return max(left, 0), reply(q, [rr(None, A, INSIDE)])

    inside, outside, _, both = split(also, lambda q: reply(
        q, rcode=dns.NXDOMAIN, authority=[dns.soa("test")]))
    with inside, outside, Resolver(engine, both) as r:
        for a in r.ask_all([(f"slow{i}.test", A) for i in range(5)]).values():
            check(a, INSIDE)
        assert asked(outside) == []


def test_silent_about_a_zone(engine):
    """Names that the first says nothing about go on to the second, in time for a
    guest's own resolver; other names stay the first's meanwhile."""
    inside, outside, _, both = split(
        lambda q: None if "silent" in q.name else False)
    with inside, outside, Resolver(engine, both) as r:
        for i in range(3):
            ident = r.send(f"a{i}.silent.test")
            began = time.monotonic()
            while time.monotonic() - began < 2.5:
                check(r.ask(f"n{i}x{int((time.monotonic() - began) * 10)}.test"),
                      INSIDE)
                time.sleep(0.1)
            got = r.answer()
            assert got.id == ident and time.monotonic() - began < 4.8
            check(got, OUTSIDE)
            check(r.ask(f"after{i}.test"), INSIDE)
        assert all("silent" in n for n in asked(outside)), asked(outside)


def test_gone(engine):
    """One that is not there at all costs the first question its patience, and the
    next ones nothing; when it is back it is the first again."""
    there = [False]
    inside, outside, _, both = split(lambda q: False if there[0] else None)
    with inside, outside, Resolver(engine, both) as r:
        got, took = timed(r, "first.test")
        check(got, OUTSIDE)
        assert 1 < took < 3, f"{took:.1f} s"
        for i in range(10):
            got, took = timed(r, f"n{i}.test")
            check(got, OUTSIDE)
            assert took < 0.5, f"{took:.1f} s"
        there[0] = True
        began, n, got = time.monotonic(), 0, None
        while got is None or got.addr != [INSIDE]:
            assert time.monotonic() - began < 8, "it stays forgotten"
            time.sleep(0.2)
            n += 1
            got, took = timed(r, f"back{n}.test")
            assert got.status == RESOLVED and took < 0.7, (got, took)
        for i in range(10):
            check(r.ask(f"m{i}.test"), INSIDE)


def test_refused(engine):
    """ICMP says at once that nobody is there."""
    inside, outside, _, both = split()
    port = inside.port
    inside.close()
    with outside, Resolver(engine, both) as r:
        for i in range(5):
            got, took = timed(r, f"n{i}.test")
            check(got, OUTSIDE)
            assert took < 0.5, f"{took:.1f} s"
        with Server(says(INSIDE), port=port):
            time.sleep(2.1)         # that long such a word counts
            for i in range(5):
                check(r.ask(f"m{i}.test"), INSIDE)


def test_outage(engine):
    """Where nobody answers it is the network that is gone: nobody has lost his
    place when it is back."""
    there = [False]

    def serve(addr):
        return says(addr, lambda q: False if there[0] else None)

    with Server(serve(INSIDE)) as inside, Server(serve(OUTSIDE)) as outside, \
            Resolver(engine, [inside.upstream(), outside.upstream()]) as r:
        lost = r.send("lost.test")
        time.sleep(5)
        there[0] = True
        assert r.answer().id == lost
        time.sleep(0.3)
        for a in r.ask_all([(f"n{i}.test", A) for i in range(10)]).values():
            check(a, INSIDE)


def test_last_of_eight(engine):
    """However many are silent: the one that is there is found in time."""
    silent = [Server(lambda q: None) for _ in range(7)]
    with Server(says(INSIDE)) as s:
        with Resolver(engine, [x.upstream() for x in silent + [s]]) as r:
            got, took = timed(r, "a.test")
            check(got, INSIDE)
            assert took < 9, f"{took:.1f} s"
            got, took = timed(r, "b.test")
            check(got, INSIDE)
            assert took < 0.5, f"{took:.1f} s"
    for x in silent:
        x.close()


def test_one_answer(engine):
    """A question gets one answer, although two upstreams give one."""
    inside, outside, _, both = split(lambda q: (2.6, reply(
        q, [rr(None, A, INSIDE)])) if q.name else None)
    with inside, outside, Resolver(engine, both) as r:
        for i in range(3):
            r.ask(f"n{i}.test")
        time.sleep(3)
        assert not select.select([r.sock], [], [], 0)[0], "a second answer"


def test_patience(engine):
    """`options timeout:1' of a resolv.conf."""
    inside, outside, _, both = split(lambda q: None)
    with inside, outside, Resolver(engine, both, patience=1) as r:
        got, took = timed(r, "a.test")
        check(got, OUTSIDE)
        assert 0.9 < took < 1.5, f"{took:.1f} s"


def test_rotate(engine):
    """`options rotate': any of them, and each of them."""
    inside, outside, _, both = split()
    with inside, outside, Resolver(engine, both, rotate=1) as r:
        got = [r.ask(f"n{i}.test").addr for i in range(60)]
        assert 8 < got.count([INSIDE]) < 52, got.count([INSIDE])
        assert got.count([INSIDE]) + got.count([OUTSIDE]) == 60


def test_tcp(engine):
    """`options use-vc': not a datagram leaves."""
    inside, outside, _, both = split(
        lambda q: reply(q, rcode=dns.SERVFAIL) if "bad" in q.name else False)
    with inside, outside, Resolver(engine, both, tcp=1) as r:
        for i in range(5):
            check(r.ask(f"n{i}.test"), INSIDE)
            check(r.ask(f"bad{i}.test"), OUTSIDE)
        assert {q.transport for q in inside.seen + outside.seen} == {"tcp"}


def test_scope(engine):
    """An upstream on the link, which is told by the link's number."""
    if not own_network():
        return "no network namespaces here"
    for words in ("link add up0 type veth peer name up1", "link set up0 up",
                  "link set up1 up", "address add fe80::1/64 dev up0 nodad"):
        if subprocess.run(["ip", *words.split()], check=False,
                          stderr=subprocess.DEVNULL).returncode != 0:
            return "no pairs of links here"
    index = socket.if_nametoindex("up0")
    with Server(says(INSIDE), addr="fe80::1%up0") as s, \
            Resolver(engine, [upstream("fe80::1", s.port)],
                     scopes=[index]) as r:
        check(r.ask("a.test"), INSIDE)
    return None


def test_source(engine):
    """Who said what, and how long that took: nobody's word is told as nobody's."""
    none = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    none.bind(("127.0.0.1", 0))     # bound, and never read
    mute = upstream("127.0.0.1", none.getsockname()[1])

    def slow(q):
        if "bad" in q.name:
            return reply(q, rcode=dns.REFUSED)
        return (0.2, reply(q, [rr(None, A, OUTSIDE)])) if q.name else reply(q)

    inside, outside, _, both = split(
        lambda q: reply(q, rcode=dns.SERVFAIL) if q.name else False, slow)
    with inside, outside, none:
        with Resolver(engine, both) as r:
            got = r.ask("a.test")
            check(got, OUTSIDE)
            assert (got.upstream, got.rcode) == (2, 1 + dns.NOERROR), vars(got)
            assert 150e6 < got.rtt < 2e9, got.rtt
            got = r.ask("bad.test")
            assert got.status == FAILED, got
            # libunbound does not tell what it was told, and then nothing is
            assert (got.upstream, got.rcode) == \
                ((2, 1 + dns.REFUSED) if engine == "stub" else (0, 0)), vars(got)
        with Resolver(engine, [mute]) as r:
            got = r.ask("a.test")
            assert got.status == FAILED, got
            assert (got.upstream, got.rcode, got.rtt) == (0, 0, 0), vars(got)


if __name__ == "__main__":
    sys.exit(run([f for n, f in list(globals().items())
                  if n.startswith("test_")]))
