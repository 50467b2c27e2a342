#!/usr/bin/python3
"""What the resolver makes of upstreams that are honest, slow, dead, wrong or
hostile; the real program, with each of its engines.

usage: test_answers.py [TEST...]"""

import os
import random
import select
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
import dns  # noqa: E402
from dns import CNAME, Server, forged, honest, reply, rr, soa  # noqa: E402
from drive import *  # noqa: E402

ZONE = {
    "a.test": {A: ["192.0.2.1", "192.0.2.2"], AAAA: ["2001:db8::1"]},
    "v4only.test": {A: ["192.0.2.3"]},
    "alias.test": {CNAME: ["middle.test"]},
    "middle.test": {CNAME: ["a.test"]},
    "dangling.test": {CNAME: ["nowhere.test"]},
    "toempty.test": {CNAME: ["v4only.test"]},
    "big.test": {A: [f"198.51.100.{i}" for i in range(60)]},
    **{n: {A: [f"198.51.{100 + i // 200}.{i % 200}" for i in range(number)]}
       for n, number in (("full.test", 256), ("huge.test", 257),
                         ("vast.test", 2000))},
    "seven.test": {CNAME: ["s1.test"]},
    **{f"s{i}.test": {CNAME: [f"s{i + 1}.test"]} for i in range(1, 8)},
    "s8.test": {A: ["192.0.2.8"]},
    "nine.test": {CNAME: ["seven.test"]},
    "loop.test": {CNAME: ["pool.test"]},
    "pool.test": {CNAME: ["loop.test"]},
    "self.test": {CNAME: ["self.test"]},
    "_srv._tcp.test": {A: ["192.0.2.4"]},
    "x" * 63 + "." + "y" * 63 + "." + "z" * 63 + "." + "w" * 56 + ".test":
        {A: ["192.0.2.5"]},
}
LONGEST = max(ZONE, key=len)


def one(engine, serve, text="a.test", qtype=A, **kw):
    with Server(serve, **kw) as s, Resolver(engine, [s.upstream()]) as r:
        return r.ask(text, qtype)


def check(got, status, addr=None, chain=None):
    assert got.status == status, (got, WORD[status])
    if addr is not None:
        assert sorted(got.addr) == sorted(addr), got
    if chain is not None:
        assert got.chain == chain, got


def test_honest(engine):
    with Server(honest(ZONE)) as s, Resolver(engine, [s.upstream()]) as r:
        got = r.ask("a.test")
        check(got, RESOLVED, ["192.0.2.1", "192.0.2.2"], [])
        assert (got.ttl, got.secure) == (300, 0), got
        check(r.ask("a.test", AAAA), RESOLVED, ["2001:db8::1"], [])
        check(r.ask("v4only.test", AAAA), NODATA, [], [])
        check(r.ask("nowhere.test"), NXDOMAIN, [], [])
        check(r.ask("_srv._tcp.test"), RESOLVED, ["192.0.2.4"])
        assert len(LONGEST) == 253
        check(r.ask(LONGEST), RESOLVED, ["192.0.2.5"])


def test_chains(engine):
    with Server(honest(ZONE)) as s, Resolver(engine, [s.upstream()]) as r:
        check(r.ask("alias.test"), RESOLVED, ["192.0.2.1", "192.0.2.2"],
              ["middle.test", "a.test"])
        check(r.ask("dangling.test"), NXDOMAIN, [], ["nowhere.test"])
        check(r.ask("toempty.test", AAAA), NODATA, [], ["v4only.test"])
        check(r.ask("seven.test"), RESOLVED, ["192.0.2.8"],
              [f"s{i}.test" for i in range(1, 9)])
        check(r.ask("nine.test"), FAILED, [], [])
        check(r.ask("loop.test"), FAILED, [], [])
        check(r.ask("self.test"), FAILED, [], [])


def test_tcp(engine):
    with Server(honest(ZONE)) as s, Resolver(engine, [s.upstream()]) as r:
        check(r.ask("big.test"), RESOLVED, ZONE["big.test"][A])
        got = r.ask("full.test")
        check(got, RESOLVED, ZONE["full.test"][A])
        assert len(got.addr) == ADDRESSES and got.more == 0
        for huge in "huge.test", "vast.test":   # some, and that they are not all
            got = r.ask(huge)
            assert got.status == RESOLVED and len(got.addr) == ADDRESSES
            assert set(got.addr) < set(ZONE[huge][A]) and got.more == 1
        assert "tcp" in {q.transport for q in s.seen}


def test_ipv6_upstream(engine):
    with Server(honest(ZONE), addr="::1") as s, \
            Resolver(engine, [s.upstream()]) as r:
        check(r.ask("a.test"), RESOLVED)
        check(r.ask("big.test"), RESOLVED)


def test_questions(engine):
    """Every question has a port, an id and a spelling of its own."""
    with Server(honest({f"n{i}.many.example.test": {A: ["192.0.2.9"]}
                        for i in range(300)})) as s, \
            Resolver(engine, [s.upstream()]) as r:
        for i in range(300):
            check(r.ask(f"n{i}.many.example.test"), RESOLVED)
        spelled = {q.spelled.partition(".")[2] for q in s.seen}
        assert len(spelled) > 250, f"{len(spelled)} spellings in 300"
        assert len({q.id for q in s.seen}) > 280, "ids repeat"
        assert len(s.ports) > 280, f"{len(s.ports)} ports in 300"
        assert all(q.flags & dns.RD for q in s.seen)


def test_forged(engine):
    """A hundred wrong answers ahead of the right one are waited past. (What the
    wrong spelling alone gives away, libunbound asks about again, in lower case.)"""

    def serve(q):
        time.sleep(0.02)
        return forged(q, 100, q.id, engine == "stub") + \
            [reply(q, [rr(None, A, "192.0.2.7")])]

    with Server(serve) as s, Resolver(engine, [s.upstream()]) as r:
        for i in range(20):
            check(r.ask(f"n{i}.test"), RESOLVED, ["192.0.2.7"])


def test_forged_only(engine):
    began = time.monotonic()
    check(one(engine, lambda q: forged(q, 50, q.id, engine == "stub")), FAILED)
    assert time.monotonic() - began < TIMEOUT


WINDOW = 3.5                    # seconds that the upstream takes to answer


def flood(s, end, near, answer, ident):
    """From the upstream's own address, to each port in turn and then in disorder:
    what can be done by who has not seen the port. How many until then. It begins
    near the true one, because a question is asked again from another."""
    chance, sent = random.Random(7), 0
    ports = [port for port in range(1, 65536) if port != s.port]
    ports = ports[near - 300:] + ports[:near - 300]
    for port in ports + chance.sample(ports, len(ports)):
        if time.monotonic() > end:
            break
        s.udp.sendto((ident or chance.randbytes(2)) + answer, (s.addr, port))
        sent += 1
    return sent


def test_off_path(engine):
    """Forged answers from the upstream's address, while it is slow. Who has seen id
    and spelling wins by trying every port, so the flood does get there; who knows
    only what is asked does not (B10)."""
    if not own_network():
        return "no network namespaces here"
    asked = []

    def serve(q):
        asked.append((q, time.monotonic()))
        wait = asked[0][1] + WINDOW - asked[-1][1]
        truth = reply(q, [rr(None, A, "192.0.2.7")])
        return (wait, truth) if wait > 0 else truth

    with Server(serve) as s, Resolver(engine, [s.upstream()]) as r:
        for seen, want in ((True, "6.6.6.6"), (False, "192.0.2.7")):
            asked.clear()
            s.ports.clear()
            text = f"www.{seen}.example.test".lower()
            r.send(text)
            while not asked:
                time.sleep(0.01)
            q = asked[0][0] if seen else dns.guessed(text)
            lie = reply(q, [rr(None, A, "6.6.6.6")])
            sent = flood(s, asked[0][1] + WINDOW - 0.2, min(s.ports),
                         lie[2:], lie[:2] if seen else None)
            assert sent >= 10000, f"{sent}: a flood it is not"
            check(r.answer(), RESOLVED, [want])
        check(r.ask(text), RESOLVED, [want])
    print(f"{sent} forged", end="")
    return None


def test_every_other_id(engine):
    """Who has seen port and spelling, and lacks the id alone, wins nothing by all
    the wrong ones."""
    asked = []

    def serve(q):
        asked.append(q)
        lie = reply(q, [rr(None, A, "6.6.6.6")])[2:]
        lies = [n.to_bytes(2, "big") + lie
                for n in range(65536) if n != q.id]
        return (lies if len(asked) == 1 else []) + [
            reply(q, [rr(None, A, "192.0.2.7")])]

    check(one(engine, serve), RESOLVED, ["192.0.2.7"])


def test_other_owner(engine):
    """Addresses that belong to another name are nobody's."""

    def serve(q):
        return reply(q, [rr("evil.test", A, "6.6.6.6"),
                         rr(None, A, "192.0.2.1"),
                         rr("other.a.test", A, "6.6.6.7")])

    check(one(engine, serve), RESOLVED, ["192.0.2.1"], [])


def test_only_other_owner(engine):
    got = one(engine, lambda q: reply(q, [rr("evil.test", A, "6.6.6.6")]))
    assert got.status in (NODATA, FAILED) and got.addr == [], got


def test_detour(engine):
    """A chain that does not begin at the question leads nowhere."""
    got = one(engine, lambda q: reply(q, [
        rr("b.test", CNAME, "c.test"), rr("c.test", A, "6.6.6.6")]))
    assert got.status in (NODATA, FAILED) and got.addr == [], got


def test_two_aliases(engine):
    got = one(engine, lambda q: reply(q, [
        rr(None, CNAME, "b.test"), rr(None, CNAME, "c.test"),
        rr("b.test", A, "6.6.6.6"), rr("c.test", A, "6.6.6.7")]))
    # libunbound picks one of them before we see it, and follows that alone
    assert got.status == FAILED or engine == "unbound" and \
        len(got.chain) == 1 and len(got.addr) == 1, got


def test_alias_no_host(engine):
    for target in (b"\x03a b\x04test\0", b"\x04a\0.b\x04test\0", b"\0",
                   b"\x01*\x04test\0", b"\x09127.0.0.1\0",
                   b"\x03127\x010\x010\x011\0"):
        got = one(engine, lambda q, target=target: reply(q, [
            rr(None, CNAME, target), rr(target, A, "6.6.6.6")]))
        assert got.status in (FAILED, NXDOMAIN) and got.addr == [], \
            (target, got)


def test_malformed(engine):
    """Each of them ends in FAILED, at once or in time; none ends the process."""

    def cases(q):
        good = reply(q, [rr(None, A, "192.0.2.1")])
        yield good[:-1]
        yield good[:12]
        yield b""
        yield good[:11]
        yield reply(q, [rr(None, A, b"\1\2\3")])
        yield reply(q, [rr(None, A, b"\1\2\3\4\5")])
        yield reply(q, [rr(None, A, "192.0.2.1")], count=2)
        yield reply(q, [rr(b"\xc0\xff", A, "192.0.2.1")])
        yield reply(q, [b"\xc0" + bytes([12 + len(q.question)]) +
                        struct.pack("!HHIH", A, 1, 1, 4) + b"\1\2\3\4"])
        yield reply(q, [rr(b"\x40abc\0", A, "192.0.2.1")])
        yield reply(q, [rr(None, CNAME, b"\xc0\x0c\0")])
        yield good.replace(struct.pack("!H", q.id), struct.pack("!H", q.id) +
                           b"", 1)[:2] + bytes([good[2] & 0x7f]) + good[3:]
        yield good[:2] + bytes([good[2] | 0x10]) + good[3:]

    count = 13
    with Server(lambda q: list(cases(q))[int(q.name[1:].split(".")[0])]) as s, \
            Resolver(engine, [s.upstream()]) as r:
        got = r.ask_all([(f"n{i}.test", A) for i in range(count)])
        for (text, _), a in got.items():
            assert a.status in (FAILED, NODATA) and a.addr == [], (text, a)


def test_other_class(engine):
    got = one(engine, lambda q: reply(q, [rr(None, A, "6.6.6.6", qclass=3)]))
    assert got.addr == [], got


def test_ttl(engine):
    def serve(q):
        if q.name == "top.test":
            return reply(q, [rr(None, A, "192.0.2.1", ttl=0x80000001)])
        there = [rr("b.test", A, "192.0.2.1", ttl=100),
                 rr("b.test", A, "192.0.2.2", ttl=100)]
        return reply(q, there if q.name == "b.test" else
                     [rr(None, CNAME, "b.test", ttl=50)] + there)

    with Server(serve) as s, Resolver(engine, [s.upstream()]) as r:
        got = r.ask("a.test")
        assert got.ttl == 50, got
        assert r.ask("top.test").ttl in (0, 1), r.ask("top.test")


def test_negative_ttl(engine):
    """A "no" lasts as long as its zone says, and a minute at most."""
    def serve(q):
        zone = q.name.split(".")[1]
        ttl = int(zone[1:])
        return reply(q, [], dns.NXDOMAIN if q.type == A else dns.NOERROR,
                     authority=[soa(zone, ttl)] if ttl else [])

    with Server(serve) as s, Resolver(engine, [s.upstream()]) as r:
        for qtype, status in ((A, NXDOMAIN), (AAAA, NODATA)):
            for ttl in (0, 30, 3600):       # dns.soa()'s own number is 60
                got = r.ask(f"a.z{ttl}", qtype)
                check(got, status)
                assert min(ttl, 60) - 1 <= got.ttl <= min(ttl, 60), got


def test_second_upstream(engine):
    """The first says no, is not there, or is silent: the second is asked."""
    good = Server(honest(ZONE))
    for rcode in (dns.SERVFAIL, dns.REFUSED, dns.NOTIMP, dns.FORMERR):
        with Server(lambda q: reply(q, rcode=rcode)) as bad, \
                Resolver(engine, [bad.upstream(), good.upstream()]) as r:
            began = time.monotonic()
            check(r.ask("a.test"), RESOLVED)
            assert time.monotonic() - began < 4, "too slow"
    gone = Server(honest(ZONE))
    gone.close()
    with Server(lambda q: None) as silent:
        for bad in (gone, silent):
            with Resolver(engine, [bad.upstream(), good.upstream()]) as r:
                got = r.ask_all([(n, A) for n in ("a.test", "alias.test",
                                                  "v4only.test", "big.test")])
                for q, a in got.items():
                    check(a, RESOLVED)
    good.close()


def test_no_upstream(engine):
    """Nobody helps: FAILED, in time, and soon if they say so."""
    with Server(lambda q: reply(q, rcode=dns.SERVFAIL)) as bad, \
            Resolver(engine, [bad.upstream()] * 2) as r:
        began = time.monotonic()
        check(r.ask("a.test"), FAILED)
        assert time.monotonic() - began < 5, "too slow"
    with Server(lambda q: None) as silent, \
            Resolver(engine, [silent.upstream()] * 3) as r:
        began = time.monotonic()
        got = r.ask_all([(f"n{i}.test", A) for i in range(200)])
        took = time.monotonic() - began
        assert took < TIMEOUT, f"{took} s"
        assert len(got) == 200
        for a in got.values():
            check(a, FAILED)


def away():
    """An upstream where nobody listens: ICMP says so."""
    s = Server(lambda q: None)
    s.close()
    return s


def refused(r, questions):
    """How long it took until all had failed."""
    began = time.monotonic()
    got = r.ask_all(questions)
    assert {a.status for a in got.values()} == {FAILED}
    return time.monotonic() - began


def test_all_refuse(engine):
    """Nothing can come any more: FAILED within a second, for one question and for
    many, whatever the number of upstreams."""
    for n in (1, 2, 8):
        with Resolver(engine, [away().upstream() for _ in range(n)]) as r:
            for questions in ([("a.test", A)],
                              [(f"n{i}.test", t) for i in range(20)
                               for t in (A, AAAA)]):
                took = [refused(r, questions)]
                # a kernel sends so many ICMP errors a second, to all its networks
                # together: the tests beside this one may have had them
                while took[-1] >= 1.9 and len(took) < 4:
                    time.sleep(2)
                    took.append(refused(r, questions))
                assert took[-1] < 1.9, f"{took} s, {n} upstreams"


def test_refused_and_slow(engine):
    """One is not there, and the other takes its time: it is waited for."""
    with Server(lambda q: (1.2, reply(q, [rr(None, A, "192.0.2.1")]))) as s, \
            Resolver(engine, [away().upstream(), s.upstream(),
                              away().upstream()]) as r:
        got = r.ask_all([(f"n{i}.test", A) for i in range(20)])
        for a in got.values():
            check(a, RESOLVED)


def test_refused_and_good(engine):
    """One is not there: the next one is asked soon, not after a wait."""
    with Server(honest(ZONE)) as s, \
            Resolver(engine, [away().upstream(), s.upstream()]) as r:
        began = time.monotonic()
        check(r.ask("a.test"), RESOLVED)
        check(r.ask("v4only.test"), RESOLVED)
        assert time.monotonic() - began < 1


def test_refused_for_a_moment(engine):
    """An upstream is started again: names work when it is there, and from then on
    it may take its time."""
    gone = away()

    def serve(q):
        return (0.8, reply(q, [rr(None, A, "192.0.2.1")])) if "slow" in q.name \
            else honest(ZONE)(q)

    with Resolver(engine, [gone.upstream()]) as r:
        first = r.send("a.test")
        time.sleep(0.3)
        with Server(serve, port=gone.port):
            got = r.answer()
            assert got.id == first
            if engine == "unbound":     # which tries for a second
                check(got, RESOLVED)
            began = time.monotonic()
            check(r.ask("v4only.test"), RESOLVED)
            assert time.monotonic() - began < 0.5
            check(r.ask("slow.test"), RESOLVED)


def test_slow(engine):
    with Server(lambda q: (1.2, reply(q, [rr(None, A, "192.0.2.1")]))) as s, \
            Resolver(engine, [s.upstream()]) as r:
        got = r.ask_all([(f"n{i}.test", A) for i in range(100)])
        for a in got.values():
            check(a, RESOLVED)


def test_back_again(engine):
    """An upstream that was silent is asked again soon after."""
    up = [True]
    with Server(lambda q: reply(q, [rr(None, A, "192.0.2.1")]) if up[0]
                else None) as s, Resolver(engine, [s.upstream()]) as r:
        check(r.ask("first.test"), RESOLVED)
        up[0] = False
        for i in range(60):
            r.send(f"down{i}.test")
            time.sleep(0.25)
        up[0] = True
        began = time.monotonic()
        got, n = None, 0
        while got is None or got.status != RESOLVED:
            assert time.monotonic() - began < 6, got
            n += 1
            first = r.send(f"up{n}.test")
            got = r.answer()
            while got.id != first:
                got = r.answer()


def silent_zone(engine, rate):
    """Names whose servers are silent do not cost other names their answers,
    however few or many are asked, and for how long. libunbound takes the upstream
    for dead for moments (unbound.c), but not for longer."""

    def serve(q):
        return None if "silent" in q.name.lower() else \
            reply(q, [rr(None, A, "192.0.2.1")])

    with Server(serve) as s, Resolver(engine, [s.upstream()]) as r:
        began, sent, asked, late, lost = time.monotonic(), 0, {}, [], 0
        while (now := time.monotonic() - began) < 38:
            if sent < now * rate:
                r.send(f"n{sent}.silent.test")
                sent += 1
            elif now > 22 + len(asked):
                asked[r.send(f"n{len(asked)}.test")] = now
            elif select.select([r.sock], [], [], 0.01)[0]:
                got = r.answer()
                if got.id in asked:
                    late.append(time.monotonic() - began - asked[got.id])
                    lost += got.status != RESOLVED
        assert len(late) >= 14 and max(late) < 2, late
        assert lost <= (2 if engine == "unbound" else 0), lost


@long
def test_silent_zone(engine):
    silent_zone(engine, 3)


@long
def test_silent_zone_flood(engine):
    silent_zone(engine, 100)


def test_lame(engine):
    """A server that refers to others instead of answering is no help."""
    got = one(engine, lambda q: reply(q, flags=dns.QR | dns.RD, authority=[
        rr("test", 2, dns.labels("ns.test"))]))
    assert got.status == FAILED or engine == "unbound" and \
        got.status == NODATA, got


def test_tcp_trouble(engine):
    """TC, and then TCP that is closed, silent, or talks nonsense."""

    def cut(q):
        return reply(q, flags=dns.QR | dns.RD | dns.RA | dns.TC)

    for tcp in (lambda q: None, cut,
                lambda q: reply(q, ident=q.id ^ 1),
                lambda q: b"\0" * 11):
        began = time.monotonic()
        got = one(engine, lambda q, tcp=tcp: cut(q) if q.transport == "udp"
                  else tcp(q))
        assert got.status == FAILED, got
        assert time.monotonic() - began < TIMEOUT
    with Server(cut, tcp=False) as s, Resolver(engine, [s.upstream()]) as r:
        check(r.ask("a.test"), FAILED)


def test_one_per_connection(engine):
    """Servers may close a connection after an answer: then there is another."""
    zone = {f"n{i}.test": {A: [f"198.51.100.{j}" for j in range(90)]}
            for i in range(40)}
    with Server(honest(zone), close_after=1) as s, \
            Resolver(engine, [s.upstream()]) as r:
        for i in range(40):
            check(r.ask(f"n{i}.test"), RESOLVED)


def test_thousand(engine):
    """1 000 at once: none lost, none wrong."""
    zone = {f"n{i}.test": {A: [f"198.18.{i // 250}.{i % 250}"],
                           AAAA: [f"2001:db8::{i + 1:x}"]} for i in range(500)}
    with Server(honest(zone)) as s, Resolver(engine, [s.upstream()]) as r:
        got = r.ask_all([(n, t) for n in zone for t in (A, AAAA)])
        for (n, t), a in got.items():
            check(a, RESOLVED, zone[n][t])


def test_all_there_may_be(engine):
    """As many as may be open, and all of them by TCP as well."""
    zone = {f"n{i}.test": {A: [f"198.18.{i // 250}.{i % 250}"]}
            for i in range(OPEN_MAX)}
    zone["n0.test"][A] = [f"198.51.100.{j}" for j in range(60)]
    with Server(honest(zone)) as s, Resolver(engine, [s.upstream()]) as r:
        got = r.ask_all([(n, A) for n in zone])
        lost = [n for (n, _), a in got.items()
                if sorted(a.addr) != sorted(zone[n][A])]
        assert not lost, f"{len(lost)} of {OPEN_MAX} failed"


def test_more_than_may_be(engine):
    with Server(lambda q: None) as s:
        r = Resolver(engine, [s.upstream()])
        r.sock.settimeout(5)
        try:
            for i in range(OPEN_MAX + 1):
                r.send(f"n{i}.test")
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert r.ends() == 70, "it takes more questions than it may"
        assert "violation" in r.words() or "refused" in r.words(), r.words()


def test_not_from_its_own_files(engine):
    """/etc/hosts and resolv.conf are nobody's business here."""
    with Server(honest({})) as s, Resolver(engine, [s.upstream()]) as r:
        check(r.ask(socket.gethostname().split(".")[0] + ".test"), NXDOMAIN)
        got = r.ask("localhost")
        assert got.status in (NXDOMAIN, RESOLVED), got
        assert not {"192.0.2.1"} & set(got.addr)


if __name__ == "__main__":
    sys.exit(run([f for n, f in list(globals().items())
                  if n.startswith("test_")]))
