#!/usr/bin/python3
"""Names, against the real broker: its resolver, its inspector and its frames are
played here, the law by the double (policy_double.c says what it allows).

usage: names.py [TEST...]     (BROKER=program; default ./broker-double)
"""

import contextlib
import errno
import os
import select
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
from rig import *  # noqa: E402
from broker import double_blob, eof_or_reset, LO, PROGRAM  # noqa: E402

NAMED_NET = "127.9.0.1"         # reached by name only
BOTH = NEEDS_RESOLVER | NEEDS_INSPECTOR


def bench(stack, durable=BEFORE_DATA, upstream=(), quiet=0, recorder=True,
          needs=BOTH, **lim):
    b = Bench(PROGRAM, double_blob(durable, needs=needs, **lim),
              upstream=upstream, quiet=quiet, recorder=recorder)
    stack.callback(b.end)
    return b


def world(b):
    """A resolver, an inspector and a guest."""
    b.res, b.ins = b.resolver(), b.inspector()
    return b.guest()


def resolve(b, f, qname, addrs, qtype=A, **kw):
    """A question, the resolver's answer, the guest's."""
    ident = f.resolve(qname, qtype)
    number, asked, asked_type = b.res.asked()
    assert (asked, asked_type) == (qname, qtype)
    b.res.answer(number, addrs, **kw)
    return f.answer(ident)


def peeked(b, f, qname, port, addr=NAMED_NET):
    resolve(b, f, qname, [addr])
    ident = f.open(addr, port)
    assert f.expect(PEEK, ident) == EITHER
    return ident


def nothing_came(srv):
    srv.settimeout(0.2)
    try:
        conn, _ = srv.accept()
    except TimeoutError:
        return
    conn.settimeout(2)
    with contextlib.suppress(ConnectionResetError):
        data = conn.recv(100)
        assert data == b"", f"the server has {data!r}"


# ---- questions ------------------------------------------------------------------

def test_start(b):
    b.settle()
    assert sorted(b.spawned) == [(ROLE_RECORDER, 0), (ROLE_RESOLVER, 0),
                                 (ROLE_INSPECTOR, 0)]
    b.resolver(), b.inspector()


@needs(needs=0)
def test_not_needed(b):
    """No process is started for nothing, and no name is allowed then."""
    b.settle()
    assert b.spawned == [(ROLE_RECORDER, 0)]
    f = b.guest()
    assert f.ask("x.example") == (DENIED, 5, [])
    assert f.ask("a.test") == (UNREACHED, 0, [])


@needs(upstreams=0)
def test_no_upstream(b):
    """Nobody to ask: names fail with a reason, at once."""
    b.settle()
    assert (ROLE_RESOLVER, 0) not in b.spawned
    f = b.guest()
    assert f.ask("a.test") == (UNREACHED, 0, [])
    assert b.one("dns").reason == "dns-upstream"
    assert f.ask("static.test")[0] == ADDRESSES
    assert "names cannot be resolved" in b.log_text()


@needs(upstreams=0, upstream=[("192.0.2.1", 53), ("2001:db8::1", 53)])
def test_host_upstreams(b):
    r = b.resolver()
    assert r.upstreams == [("192.0.2.1", 53), ("2001:db8::1", 53)]
    assert "resolvers 192.0.2.1, 2001:db8::1" in b.log_text()


@needs(upstreams=0, quiet=1)
def test_no_upstream_quiet(b):
    """It is a warning, not news."""
    b.settle()
    assert "names cannot be resolved" in b.log_text()


@needs(upstreams=0, upstream=[("192.0.2.1", 53)], quiet=1)
def test_host_upstreams_quiet(b):
    b.resolver()
    assert "192.0.2.1" not in b.log_text()


def test_policy_upstreams(b):
    assert b.resolver().upstreams == [("192.0.2.53", 53)]


def test_resolve(b):
    f = world(b)
    got = resolve(b, f, "a.test", ["192.0.2.7", "192.0.2.8"],
                  chain=["b.cdn.test", "c.cdn.test"], secure=1)
    assert got == (ADDRESSES, 300, ["192.0.2.7", "192.0.2.8"])
    r = b.one("dns")
    assert (r.verdict, r.reason, r.name, r.qtype, r.ttl, r.n) == \
        (1, "none", "a.test", A, 300, 2), vars(r)
    assert r.ips == ("192.0.2.7", "192.0.2.8") and r.secure == 1
    assert r.chain == ("b.cdn.test", "c.cdn.test")
    assert (r.guest, r.rule) == ("guest0", "yes")
    got = resolve(b, f, "a.test", ["2001:db8::7"], AAAA)
    assert got == (ADDRESSES, 300, ["2001:db8::7"])


def test_ttl(b):
    f = world(b)
    for ttl, told in ((0, 60), (59, 60), (61, 61), (3600, 3600), (2 ** 32 - 1,
                                                                  3600)):
        assert resolve(b, f, "a.test", ["192.0.2.7"], ttl=ttl)[1] == told
    assert resolve(b, f, "a.test", [], ttl=10 ** 6)[:2] == (ANS_NODATA, 3600)
    assert resolve(b, f, "a.test", [], ttl=7, status=NXDOMAIN)[:2] == \
        (ANS_NXDOMAIN, 7)


def test_denied(b):
    f = world(b)
    assert f.ask("x.example") == (DENIED, 5, [])
    assert f.ask("x.example", HTTPS) == (DENIED, 5, [])
    assert f.ask("stop.test") == (DENIED, 5, [])
    assert f.ask("a.test", HTTPS) == (ANS_NODATA, 5, [])
    assert f.ask("a.test", 0) == (ANS_NODATA, 5, [])
    assert [(r.reason, r.name, r.qtype, r.verdict) for r in b.of("dns")] == [
        ("name-not-allowed", "x.example", A, 2),
        ("name-not-allowed", "x.example", HTTPS, 2),
        ("deny-rule", "stop.test", A, 2),
        ("type-not-allowed", "a.test", HTTPS, 2),
        ("type-not-allowed", "a.test", 0, 2)]
    assert not select.select([b.res.chan.sock], [], [], 0.1)[0], "it was asked"
    assert b.stop() == 0
    assert b.summary[:2] == (0, 5)


def test_audited(b):
    f = world(b)
    assert resolve(b, f, "audit.test", ["192.0.2.7"])[0] == ADDRESSES
    r = b.one("dns")
    assert (r.verdict, r.reason) == (3, "name-not-allowed")


def test_statuses(b):
    f = world(b)
    for status, code, reason in ((NODATA, ANS_NODATA, "none"),
                                 (NXDOMAIN, ANS_NXDOMAIN, "none"),
                                 (BOGUS, SERVFAIL, "dns-bogus"),
                                 (FAILED, UNREACHED, "dns-upstream")):
        assert resolve(b, f, "a.test", [], status=status)[0] == code
        assert b.of("dns")[-1].reason == reason
        assert b.of("dns")[-1].verdict == 1


def test_static(b):
    f = world(b)
    assert f.ask("static.test") == (ADDRESSES, 3600, [NAMED_NET])
    r = b.one("dns")
    assert (r.stripped, r.detail, r.ips) == (1, "10.0.0.1", (NAMED_NET,))
    assert f.ask("static.test", AAAA)[:1] == (ANS_NODATA,)
    srv, port = listener(NAMED_NET)
    f.granted(NAMED_NET, port)
    assert b.one("flow.open").name == "static.test"


def test_rebinding(b):
    f = world(b)
    got = resolve(b, f, "a.test", ["10.1.2.3", "169.254.169.254"])
    assert got == (WITHHELD, 5, [])
    r = b.one("dns")
    assert (r.verdict, r.reason, r.stripped, r.ips, r.detail) == (
        2, "rebinding-stripped", 2, (), "10.1.2.3 169.254.169.254"), vars(r)
    got = resolve(b, f, "a.test", ["10.1.2.3", "192.0.2.1"])
    assert got == (ADDRESSES, 300, ["192.0.2.1"])
    assert resolve(b, f, "a.test", ["fe80::1", "::1"], AAAA)[0] == WITHHELD


def test_long_lists(b):
    f = world(b)
    addrs = [f"2001:db8:1111:2222:3333:4444:5555:{i:x}" for i in range(ANSWER_MAX)]
    chain = [f"{'x' * 60}.{'y' * 60}.{'z' * 60}.{i}.test" for i in range(8)]
    got = resolve(b, f, "a.test", addrs, AAAA, chain=chain)
    assert got[2] == addrs
    r = b.one("dns")
    assert r.n == ANSWER_MAX and r.reason == "none" and r.ips[-1] == "..." and r.chain[-1] == "..."
    assert list(r.ips[:-1]) == addrs[:len(r.ips) - 1] and len(r.ips) > 20
    assert list(r.chain[:-1]) == chain[:len(r.chain) - 1]
    resolve(b, f, "b.test", ["192.0.2.7"], chain=["c.test"])
    r = b.one("dns", name="b.test")
    assert (r.ips, r.chain) == (("192.0.2.7",), ("c.test",)), vars(r)


def test_many_at_once(b):
    """1 000 questions: none is lost, none is answered wrongly."""
    f = world(b)
    ids = {f.resolve(f"n{i}.test"): i for i in range(1000)}
    asked = [b.res.asked() for _ in ids]
    assert len({number for number, _, _ in asked}) == 1000
    for number, qname, _ in reversed(asked):
        b.res.answer(number, [f"192.0.{int(qname[1:-5]) >> 8}."
                              f"{int(qname[1:-5]) & 255}"])
    for _ in range(1000):
        kind, ident, _, _ = f.recv()
        assert kind == ANSWER
        i = ids.pop(ident)
        assert endpoint_text(f.last[32:52])[0] == f"192.0.{i >> 8}.{i & 255}"


def test_slow_frame(b):
    """Answers wait for a frame that reads late; more questions than may be
    open are its fault."""
    f = world(b)
    ids = [f.resolve("x.example") for _ in range(1000)]
    time.sleep(0.5)
    for ident in ids:
        assert f.answer(ident)[0] == DENIED


def test_too_many_questions(b):
    """1 024 may be open. What is more is refused, because a frame that was heard
    late has given up some of them; a frame that does not read at all is ended."""
    f = world(b)
    for _ in range(1024):
        f.resolve("a.test")
    numbers = [b.res.asked()[0] for _ in range(1024)]
    assert f.ask("a.test") == (REFUSED, 0, [])
    b.res.answer(numbers[0], ["192.0.2.7"])
    assert f.answer(1)[0] == ADDRESSES
    last = f.resolve("a.test")
    b.res.answer(b.res.asked()[0], ["192.0.2.8"])
    assert f.answer(last)[0] == ADDRESSES
    assert b.one("dns", reason="dns-budget").verdict == 2
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(4096):
            f.resolve("x.example")
            b.pump(0)
    b.violation(f, "too-many-questions")


def test_before_hello(b):
    """What is asked before the resolver is there waits for it."""
    b.ins = b.inspector()
    f = b.guest()
    ident = f.resolve("a.test")
    b.res = b.resolver(greet=False)
    f.silent()
    assert not select.select([b.res.chan.sock], [], [], 0)[0]
    b.greets(b.res.chan, R_RES_HELLO)
    b.res.answer(b.res.asked()[0], ["192.0.2.7"])
    assert f.answer(ident)[0] == ADDRESSES


@slow
def test_asked_late(b):
    """What has waited is not held against the resolver: its time begins when it
    is asked."""
    b.ins = b.inspector()
    f = b.guest()
    ident = f.resolve("a.test")
    b.res = b.resolver(greet=False)
    f.silent(4)
    b.greets(b.res.chan, R_RES_HELLO)
    number, _, _ = b.res.asked()
    f.silent(9.3)
    assert (ROLE_RESOLVER, 0) not in b.kills
    b.res.answer(number, ["192.0.2.7"])
    assert f.answer(ident)[0] == ADDRESSES


@slow
def test_no_hello(b):
    f = b.guest()
    b.inspector()
    ident = f.resolve("a.test")
    r = b.resolver(greet=False)
    assert f.answer(ident, 13)[0] == UNREACHED
    b.wait(lambda: (ROLE_RESOLVER, 0) in b.kills)
    r.gone()
    assert b.one("child.died").detail == "resolver: no-hello"


@slow
def test_never_started(b):
    """The keeper is silent: what waits fails in bounded time."""
    b.res = b.resolver()
    f = b.guest()
    srv, port = listener(NAMED_NET)
    ident = peeked(b, f, "sni.test", port)
    f.flight(ident, b"hello")
    assert f.expect(DENY, ident, 12) == RESET
    assert b.one("flow.deny").reason == "inspector-unavailable"


def test_resolver_not_started(b):
    """The keeper says that there is none: what waits fails at once, so does what
    is asked then; each try has a record, and the one that succeeds serves."""
    b.inspector()
    f = b.guest()
    ident = f.resolve("a.test")
    f.silent()
    b.not_started(ROLE_RESOLVER, errno.EPERM)
    assert f.answer(ident, 1) == (UNREACHED, 0, [])
    b.not_started(ROLE_RESOLVER, errno.EMFILE)
    assert f.answer(f.resolve("a.test"), 1) == (UNREACHED, 0, [])
    assert {r.reason for r in b.of("dns")} == {"dns-upstream"}
    assert [(r.detail, r.pid, r.signal, r.status, r.err)
            for r in b.of("child.died")] == [
        ("resolver: not-started", 0, 0, 0, e)
        for e in (errno.EPERM, errno.EMFILE)]
    assert "resolver" not in b.log_text(), "the keeper has said it"
    b.res = b.resolver()
    assert resolve(b, f, "a.test", ["192.0.2.7"])[0] == ADDRESSES


def test_inspector_not_started(b):
    """A flight that waits is refused at once, with the reason; later ones too."""
    b.res = b.resolver()
    f = b.guest()
    srv, port = listener(NAMED_NET)
    ident = peeked(b, f, "sni.test", port)
    f.flight(ident, b"hello")
    f.silent()
    for _ in range(2):
        b.not_started(ROLE_INSPECTOR, errno.ENOENT)
        assert f.expect(DENY, ident, 1) == RESET
        ident = f.open(NAMED_NET, port)
        assert f.expect(PEEK, ident) == EITHER
        f.flight(ident, b"hello")
    assert f.expect(DENY, ident, 1) == RESET
    assert {r.reason for r in b.of("flow.deny")} == {"inspector-unavailable"}
    assert {(r.detail, r.err) for r in b.of("child.died")} == {
        ("inspector: not-started", errno.ENOENT)}
    b.ins = b.inspector()
    b.settle()                  # its HELLO is not overtaken by the flight
    ident = f.open(NAMED_NET, port)
    f.expect(PEEK, ident)
    f.flight(ident, b"hello")
    b.ins.result(b.ins.flight()[0], "sni.test")
    os.close(f.expect(GRANT, ident))


def test_before_hello(b):
    """It cannot be executed, for example: said once, with what to do, until one
    greets; each has its record."""
    b.inspector()
    f = b.guest()
    said = ""
    for _ in range(3):
        ident = f.resolve("a.test")
        b.resolver(greet=False).gone(0, 70)
        assert f.answer(ident, 1) == (UNREACHED, 0, [])
        b.wait(lambda: (ROLE_RESOLVER, 0) in b.spawned)
        said += b.log_text()
    assert said.count("the resolver") == said.count("own line") == 1, said
    assert [(r.detail, r.status) for r in b.of("child.died")] == [
        ("resolver: before-hello", 70)] * 3
    b.res = b.resolver()
    assert resolve(b, f, "a.test", ["192.0.2.7"])[0] == ADDRESSES
    b.res.gone()
    b.resolver(greet=False).gone(0, 127)
    b.wait(lambda: (ROLE_RESOLVER, 0) in b.spawned)
    said = b.log_text()
    assert "is started again" in said and "ldd(1)" in said, said
    assert b.of("child.died")[3].detail == "resolver"


@slow
def test_no_answer(b):
    """Stopped, for example: SERVFAIL in bounded time, and it is ended."""
    f = world(b)
    ident = f.resolve("a.test")
    begun = time.monotonic()
    assert f.answer(ident, 14) == (UNREACHED, 0, [])
    assert 11 < time.monotonic() - begun < 13.5
    assert b.one("dns").reason == "dns-upstream"
    b.wait(lambda: (ROLE_RESOLVER, 0) in b.kills)


# ---- a resolver that dies or lies ---------------------------------------------------

def test_resolver_dies(b):
    """Names fail closed at once, literals and pins go on, and it comes back."""
    f = world(b)
    srv, port = listener(NAMED_NET)
    resolve(b, f, "plain.test", [NAMED_NET])
    ids = [f.resolve("a.test") for _ in range(3)]
    for _ in ids:
        b.res.asked()
    b.res.gone()
    for ident in ids:
        assert f.answer(ident) == (UNREACHED, 0, [])
    assert f.ask("a.test") == (UNREACHED, 0, [])
    assert {r.reason for r in b.of("dns", name="a.test")} == {"dns-upstream"}
    died = b.one("child.died")
    assert (died.detail, died.signal, died.guest) == ("resolver", 9, "")
    other, oport = listener()
    f.granted(LO, oport)
    f.granted(NAMED_NET, port)
    b.res = b.resolver()
    assert resolve(b, f, "a.test", ["192.0.2.7"])[0] == ADDRESSES


def lies(detail, act, hello=True):
    """The resolver is ended for it; the question fails; the next one serves."""
    def test(b):
        f = world(b)
        ident = f.resolve("a.test")
        number, _, _ = b.res.asked()
        act(b.res, number)
        assert f.answer(ident) == (UNREACHED, 0, [])
        b.wait(lambda: (ROLE_RESOLVER, 0) in b.kills)
        b.res.gone()
        assert b.one("child.died").detail == f"resolver: {detail}"
        assert f.ask("static.test")[0] == ADDRESSES
        b.res = b.resolver()
        assert resolve(b, f, "a.test", ["192.0.2.7"])[0] == ADDRESSES
    return test


LIES = {
    "family": ("bad-addresses", lambda r, n: r.answer(n, ["2001:db8::1"])),
    "mapped": ("bad-addresses", lambda r, n: r.answer(n, ["::ffff:1.2.3.4"])),
    "none": ("bad-addresses", lambda r, n: r.answer(n, [bytes(20)])),
    # the 65th would be what follows: a name that looks like an address
    "count": ("bad-addresses", lambda r, n: r.answer(
        n, ["192.0.2.1"] * 64, n=65, nchain=1, chain=[struct.pack(
            "<H254s", 4, b"\0\0\1\2\3\4")])),
    "huge_count": ("bad-addresses", lambda r, n: r.answer(
        n, ["192.0.2.1"], n=2 ** 32 - 1)),
    "more_than_there_are": ("bad-addresses", lambda r, n: r.answer(
        n, ["192.0.2.1"], n=2)),
    "resolved_to_nothing": ("bad-addresses", lambda r, n: r.answer(
        n, [], status=RESOLVED)),
    "nodata_with_address": ("bad-addresses", lambda r, n: r.answer(
        n, ["192.0.2.1"], status=NODATA)),
    "port": ("bad-addresses", lambda r, n: r.answer(
        n, [endpoint("192.0.2.1", 53)])),
    "tail": ("bad-addresses", lambda r, n: r.answer(
        n, [struct.pack("<BBH16s", 4, 0, 0, b"\1" * 16)])),
    "chain_count": ("bad-chain", lambda r, n: r.answer(
        n, ["192.0.2.1"], nchain=9)),
    "chain_empty": ("bad-chain", lambda r, n: r.answer(
        n, ["192.0.2.1"], nchain=1)),
    "chain_upper": ("bad-chain", lambda r, n: r.answer(
        n, ["192.0.2.1"], chain=["A.test"])),
    "chain_space": ("bad-chain", lambda r, n: r.answer(
        n, ["192.0.2.1"], chain=["a b.test"])),
    "chain_nul": ("bad-chain", lambda r, n: r.answer(
        n, ["192.0.2.1"], chain=[b"a\0.test"])),
    "no_such_upstream": ("bad-source", lambda r, n: r.answer(
        n, ["192.0.2.1"], source=(9, 1, 1))),
    "rcode": ("bad-source", lambda r, n: r.answer(
        n, ["192.0.2.1"], source=(1, 17, 1))),
    "rtt": ("bad-source", lambda r, n: r.answer(
        n, ["192.0.2.1"], source=(1, 1, 2 ** 63))),
    "word_of_nobody": ("bad-source", lambda r, n: r.answer(
        n, ["192.0.2.1"], source=(0, 1, 0))),
    "status_0": ("bad-answer", lambda r, n: r.answer(n, [], status=0)),
    "status_6": ("bad-answer", lambda r, n: r.answer(n, [], status=6)),
    "secure": ("bad-answer", lambda r, n: r.answer(n, [], secure=2)),
    "zero": ("bad-answer", lambda r, n: r.answer(n, [], more=2)),
    "more": ("bad-addresses", lambda r, n: r.answer(n, [], more=1)),
    "unasked": ("unasked-answer", lambda r, n: r.answer(n + 1, ["192.0.2.1"])),
    "number_0": ("unasked-answer", lambda r, n: r.answer(0, ["192.0.2.1"])),
    "hello_twice": ("wrong-state", lambda r, n: r.bench.greets(
        r.chan, R_RES_HELLO)),
    "short": ("short", lambda r, n: r.chan.send(b"x")),
    "length": ("wrong-length", lambda r, n: r.chan.send(
        head(R_ANSWER, n) + bytes(100))),
    "type": ("unknown-type", lambda r, n: r.chan.send(head(R_ASK, n))),
    "records": ("unknown-type", lambda r, n: r.chan.send(
        head(R_DURABLE, 1) + bytes(8))),
    "fd": ("bad datagram", lambda r, n: r.chan.send(
        head(R_ANSWER, n) + bytes(100), [0])),
    "giant": ("bad datagram", lambda r, n: r.chan.send(bytes(20000))),
}


def test_answered_twice(b):
    f = world(b)
    resolve(b, f, "a.test", ["192.0.2.7"])
    b.res.answer(1, ["192.0.2.8"])
    b.wait(lambda: (ROLE_RESOLVER, 0) in b.kills)
    b.res.gone()
    assert b.one("child.died").detail == "resolver: unasked-answer"


def test_another_build(b):
    b.inspector()
    r = b.resolver(greet=False)
    r.chan.send(head(R_RES_HELLO) + struct.pack("<II32s", 0x53414c59, VERSION,
                                                b"other"))
    b.wait(lambda: (ROLE_RESOLVER, 0) in b.kills)
    b.died(ROLE_RESOLVER, 0, 9)
    assert b.one("child.died").detail == "resolver: another-build"
    assert "all programs of the same build" in b.log_text()


def test_answer_of_a_dead_guest(b):
    """A question outlives who asked it, and its answer is then nobody's."""
    f = world(b)
    f.resolve("a.test")
    number, _, _ = b.res.asked()
    f.chan.close()
    b.died(ROLE_FRAME, 0, 9)
    f = b.frame()
    ident = f.resolve("b.test")
    other, _, _ = b.res.asked()
    b.res.answer(number, ["192.0.2.7"])
    b.res.answer(other, ["192.0.2.8"])
    assert f.answer(ident)[2] == ["192.0.2.8"]
    r = b.one("dns", name="a.test")
    assert (r.verdict, r.reason, r.ips) == (1, "frame-died", ())


# ---- no name without its record --------------------------------------------------

WILD, EXACT = "a.wild.test", "a.test"


def asked_of(b):
    """What the resolver has been told, nobody else being served meanwhile."""
    names = []
    while select.select([b.res.chan.sock], [], [], 0.3)[0]:
        data, _ = b.res.chan.recv(0)
        if not data:
            break
        names.append(name_text(data[24:]))
    return names


def test_asked_after_its_record(b):
    """A name that the policy spells out: its record is sent first, and nobody
    waits for the disk. The answer's record refers to it."""
    f = world(b)
    b.settle()
    b.hold = True
    ident = f.resolve(EXACT, AAAA)
    number, _, _ = b.res.asked()
    ask = b.one("dns.ask")
    assert (ask.name, ask.qtype, ask.guest, ask.rule, ask.verdict, ask.urgent) \
        == (EXACT, AAAA, "guest0", "yes", 1, 0), vars(ask)
    assert ask.flow != 0 and not b.of("dns")
    b.res.answer(number, ["2001:db8::7"])
    assert f.answer(ident)[0] == ADDRESSES
    assert b.one("dns").flow == ask.flow
    b.hold = False
    b.durable()


def test_wildcard_waits_for_the_disk(b):
    f = world(b)
    b.settle()
    b.hold = True
    ids = [f.resolve(f"{i}.wild.test") for i in range(3)]
    f.silent()
    assert [(r.name, r.urgent) for r in b.of("dns.ask")] == [
        (f"{i}.wild.test", 1) for i in range(3)]
    assert not asked_of(b)
    b.hold = False
    b.durable()
    for ident in ids:
        b.res.answer(b.res.asked()[0], ["192.0.2.7"])
        assert f.answer(ident)[0] == ADDRESSES


@needs(durable=ASYNC)
def test_wildcard_async(b):
    f = world(b)
    b.settle()
    b.hold = True
    f.resolve(WILD)
    b.res.asked()
    assert b.one("dns.ask").name == WILD
    b.hold = False
    b.durable()


def test_no_ask(b):
    """What never leaves the host needs none."""
    f = world(b)
    f.ask("static.test"), f.ask("x.example"), f.ask("a.test", HTTPS)
    b.settle()
    assert not b.of("dns.ask") and {r.flow for r in b.of("dns")} == {0}
    b.res.gone()
    assert f.ask(WILD) == (UNREACHED, 0, [])
    assert not b.of("dns.ask"), "there was nobody to ask"


def given_up(act, reason, dies=True):
    """Two questions, one waiting for the disk and one for its answer: each has one
    end, and the first is never asked."""
    def test(b):
        f = world(b)
        b.settle()
        b.hold = True
        f.resolve(EXACT)
        number, _, _ = b.res.asked()
        f.resolve(WILD)
        b.wait(lambda: len(b.of("dns.ask")) == 2)
        act(b, f)
        assert not asked_of(b), "it was asked"
        if dies:
            b.res.answer(number, ["192.0.2.7"])
            b.settle()
        for qname, why in zip((EXACT, WILD), reason):
            r = b.one("dns", name=qname)
            assert r.reason == why, r
    return test


def act_frame(b, f):
    f.chan.close()
    b.died(ROLE_FRAME, 0, 9)
    b.hold = False
    b.durable()
    b.frame()


def act_violation(b, f):
    f.chan.send(b"?")
    b.violation(f, "short")
    b.died(ROLE_FRAME, 0, 9)
    b.hold = False
    b.durable()


def act_link(b, f):
    f.chan.close()
    b.died(ROLE_FRAME, 0, 0, 3)
    b.hold = False
    b.durable()


def act_recorder(b, f):
    b.recorder.close()
    b.recorder = None
    b.died(ROLE_RECORDER, 0, 9)
    b.wait(lambda: b.spawned.count((ROLE_RECORDER, 0)) == 2)
    assert f.answer(2) == (SERVFAIL, 0, [])
    b.hold = False
    b.start_recorder(last=len(b.records))


def act_failed(b, f):
    b.recorder.send(head(R_FAILED, b.acked) + struct.pack("<II", 28, 0))
    assert f.answer(2) == (SERVFAIL, 0, [])
    b.recorder.send(head(R_RECOVERED, len(b.records)) + bytes(8))
    b.acked = len(b.records)
    b.hold = False


def act_resolver(b, f):
    b.res.gone()
    assert f.answer(1) == (UNREACHED, 0, [])
    b.hold = False
    b.durable()
    b.res = b.resolver()
    assert f.answer(2) == (UNREACHED, 0, [])


def act_stop(b, f):
    b.hold = False
    assert b.stop() == 0
    assert max(r.rec for r in b.records if r.type == "dns") < \
        b.one("guest.detach").rec


GIVEN_UP = {
    "frame": given_up(act_frame, ("frame-died", "frame-died")),
    "violation": given_up(act_violation, ("frame-died", "frame-died")),
    "link": given_up(act_link, ("guest-detach", "guest-detach")),
    "recorder": given_up(act_recorder, ("none", "audit-unavailable")),
    "failed": given_up(act_failed, ("none", "audit-unavailable")),
    "resolver": given_up(act_resolver, ("dns-upstream", "dns-upstream"), False),
    "stop": given_up(act_stop, ("shutdown", "shutdown"), False),
}


def test_ends_are_not_summed_up(b):
    """A name that left the host stands in full, however many there are."""
    f = world(b)
    for i in range(200):
        resolve(b, f, f"{i}.test", ["10.1.2.3"])
    assert {r.name for r in b.of("dns", reason="rebinding-stripped")} == {
        f"{i}.test" for i in range(200)}


def broker_killed(pattern):
    """SIGKILL while the recorder takes nothing: what the resolver was told is in
    the recorder's channel, or on its disk."""
    def test(b):
        f = world(b)
        b.settle()
        for i in range(600):
            f.resolve(pattern % i)
        told = asked_of(b)
        os.kill(b.pid, 9)
        os.waitpid(b.pid, 0)
        b.pid = None
        told += asked_of(b)
        while select.select([b.recorder.sock], [], [], 0)[0]:
            data, _ = b.recorder.recv(0)
            if not data:
                break
            b.records.append(Record(data))
        missing = set(told) - {r.name for r in b.of("dns.ask")}
        assert not missing, (len(missing), len(told))
        if "wild" in pattern:
            assert not told
        else:
            assert 10 < len(told) < 600, len(told)
    return test


# ---- budgets ---------------------------------------------------------------------

@needs(dns_rate=1, dns_burst=20)
def test_question_rate(b):
    f = world(b)
    codes = [f.ask("x.example")[0] for _ in range(60)]
    assert codes.count(DENIED) in (20, 21, 22) and codes[-1] == REFUSED
    assert b.one("limit").detail == "dns-budget"
    assert len(b.of("dns", reason="dns-budget")) == 10, "told in full"
    assert b.stop() == 0
    sums = {r.reason: r.n for r in b.of("deny.agg")}
    assert sum(sums.values()) + 20 == 60, sums
    assert {r.name for r in b.of("deny.agg")} == {"x.example"}


@needs(names=5, names_per=600)
def test_wildcard_budget(b):
    """Zero bytes beyond the budget reach anybody; names known already do."""
    f = world(b)
    for i in range(5):
        assert resolve(b, f, f"n{i}.wild.test", ["192.0.2.7"])[0] == ADDRESSES
    for i in range(5, 50):
        assert f.ask(f"n{i}.wild.test")[0] == REFUSED
    assert resolve(b, f, "n3.wild.test", ["192.0.2.7"], A)[0] == ADDRESSES
    assert resolve(b, f, "n3.wild.test", [], AAAA)[0] == ANS_NODATA
    assert resolve(b, f, "exact.test", ["192.0.2.7"])[0] == ADDRESSES
    assert not select.select([b.res.chan.sock], [], [], 0.1)[0]
    assert len(b.of("dns", reason="dns-budget")) == 45


@needs(names=3, names_per=3600, dns_rate=5, dns_burst=60)
def test_reconnects(b):
    """Hanging up is no new budget, and no new name reaches anybody; a pin is its
    name's, on each of its links."""
    f = world(b)
    for i in range(3):
        assert resolve(b, f, f"n{i}.wild.test", ["192.0.2.7"])[0] == ADDRESSES
    srv, port = listener()
    resolve(b, f, "exact.test", [LO])
    begun, asked, limited = time.monotonic(), 4, 0
    for i in range(20):
        b.hang_up(f)
        f = b.guest()
        for n in range(5):
            code = f.ask(f"x{i}-{n}.wild.test")[0]
            assert code == REFUSED, (i, n, code)
        f.granted(LO, port)[1].close()
        f.close(f.next, HOW_RST, "guest-rst")
    assert all(r.name == "exact.test" for r in b.of("flow.open"))
    assert not select.select([b.res.chan.sock], [], [], 0.1)[0]
    # 104 questions, of which the bucket had 60 and 5 more a second
    limit = b.of("limit", reason="dns-budget")
    assert len(limit) == 1, limit


@needs(names=1, names_per=1)
def test_wildcard_period(b):
    f = world(b)
    resolve(b, f, "a.wild.test", ["192.0.2.7"])
    assert f.ask("b.wild.test")[0] == REFUSED
    time.sleep(1.1)
    resolve(b, f, "b.wild.test", ["192.0.2.7"])
    assert f.ask("a.wild.test")[0] == REFUSED


def test_denials_add_up(b):
    """Names at random: the log stays small, and the sums are right."""
    f = world(b)
    for i in range(3000):
        f.resolve(f"x{i}.example")
        if i % 500 == 499:
            for _ in range(500):
                assert f.recv()[0] == ANSWER
    for _ in range(100):
        assert f.ask("same.example")[0] == DENIED
    assert b.stop() == 0
    assert b.summary[1] == 3100
    assert len(b.of("dns")) <= 1024 + 10


# ---- pins --------------------------------------------------------------------------

def test_pin(b):
    f = world(b)
    srv, port = listener(NAMED_NET)
    assert f.expect(DENY, f.open(NAMED_NET, port)) == RESET
    resolve(b, f, "plain.test", [NAMED_NET])
    ident, s = f.granted(NAMED_NET, port)
    opened = b.one("flow.open")
    assert (opened.name, opened.assurance, opened.sni) == ("plain.test", 1, "")
    assert b.one("flow.deny").reason == "no-pin"
    s.close()
    f.close(ident)
    closed = b.one("flow.close")
    assert (closed.name, closed.assurance) == ("plain.test", 1)


def test_name_of_an_address(b):
    """No rule asks for it, and the record has it all the same: allowed, audited,
    denied."""
    f = world(b)
    srv, port = listener()
    resolve(b, f, "a.test", [LO])
    ident, s = f.granted(LO, port)
    s.close()
    f.close(ident, HOW_RST, "guest-rst")
    f.expect(DENY, f.open(LO, 4))       # audited; and nobody is there
    f.expect(DENY, f.open(LO, 1))
    for r in (*b.of("flow.open"), *b.of("flow.close"), b.one("flow.deny")):
        assert (r.name, r.assurance, r.sni, r.chain) == ("a.test", 1, "", ()), \
            vars(r)
    assert [r.verdict for r in b.of("flow.open")] == [1, 3]


def test_names_of_an_address(b):
    """Several: which it is, is not known; they are listed, as far as they fit."""
    f = world(b)
    srv, port = listener()
    for name in ("b.test", "a.test"):
        resolve(b, f, name, [LO])
    ident, s = f.granted(LO, port)
    s.close()
    f.close(ident, HOW_RST, "guest-rst")
    f.expect(DENY, f.open(LO, 1))
    for r in b.one("flow.open"), b.one("flow.close"), b.one("flow.deny"):
        assert (r.name, r.assurance, r.chain) == ("", 0, ("a.test", "b.test")), \
            vars(r)
    for i in range(30):
        resolve(b, f, f"{'x' * 50}{i:02}.test", [LO])
    f.granted(LO, port)
    chain = b.of("flow.open")[-1].chain
    assert chain[:2] == ("a.test", "b.test") and chain[-1] == "...", chain
    assert chain[2].startswith("xxx") and 960 < len(" ".join(chain)) < 1024
    assert not b.of("flow.open", name="a.test")


@needs(pins=(1, 1, 1))
def test_pin_expires(b):
    """A live flow outlives its pin, a new one does not."""
    f = world(b)
    srv, port = listener(NAMED_NET)
    assert resolve(b, f, "plain.test", [NAMED_NET], ttl=3600)[1] == 1
    ident, s = f.granted(NAMED_NET, port)
    time.sleep(1.2)
    f.granted(NAMED_NET, port)          # the grace
    time.sleep(1)
    assert f.expect(DENY, f.open(NAMED_NET, port)) == RESET
    assert b.one("flow.deny").reason == "pin-expired"
    conn, _ = srv.accept()
    s.send(b"still there")
    assert conn.recv(20) == b"still there"
    resolve(b, f, "plain.test", [NAMED_NET])
    f.granted(NAMED_NET, port)


def test_pins_are_of_one_guest(b):
    f = world(b)
    g = b.guest(1)
    srv, port = listener(NAMED_NET)
    resolve(b, f, "plain.test", [NAMED_NET])
    f.granted(NAMED_NET, port)
    assert g.expect(DENY, g.open(NAMED_NET, port)) == RESET
    assert b.one("flow.deny").reason == "no-pin"


def test_pins_are_the_names(b):
    """Of each frame and each link of this guest, and of no other guest."""
    f = world(b)
    srv, port = listener(NAMED_NET)
    resolve(b, f, "plain.test", [NAMED_NET])
    f.chan.close()
    b.died(ROLE_FRAME, 0, 9)            # a new frame, the same guest
    f = b.frame()
    f.granted(NAMED_NET, port)
    f.chan.close()
    b.died(ROLE_FRAME, 0, 0, 3)         # its link is gone
    b.wait(lambda: b.of("guest.detach"))
    f = b.guest()
    f.granted(NAMED_NET, port)
    b.hang_up(f)
    f = b.guest(1)
    assert f.expect(DENY, f.open(NAMED_NET, port)) == RESET


def test_quic(b):
    f = world(b)
    resolve(b, f, "sni.test", [NAMED_NET])
    assert f.expect(DENY, f.open(NAMED_NET, 443, UDP)) == ADMIN
    assert b.one("flow.deny").reason == "quic-unverifiable"


@slow
def test_pins_memory(b):
    """20 000 live pins of as many names, and what they cost."""
    f = world(b)

    def rss():
        with open(f"/proc/{b.pid}/status") as s:
            return int(re.search(r"VmRSS:\s*(\d+)", s.read())[1])
    resolve(b, f, "first.test", ["192.0.2.1"])
    b.settle()
    before = rss()
    for i in range(1, 20001):
        addr = f"198.{18 + (i >> 16)}.{i >> 8 & 255}.{i & 255}"
        ident = f.resolve(f"n{i}.{'x' * 50}.test")
        b.res.answer(b.res.asked()[0], [addr])
        f.answer(ident)
    b.settle()
    grown = rss() - before
    print(f"     20 000 pins: {grown} KiB")
    if b"__asan_init" not in open(PROGRAM, "rb").read():
        assert grown * 1024 <= 8_000_000, grown


# ---- first flights --------------------------------------------------------------------

def test_verified(b):
    """It is dialled first; what the server gets then is the flight, from the
    broker, before the grant."""
    f = world(b)
    srv, port = listener(NAMED_NET)
    ident = peeked(b, f, "sni.test", port)
    conn, _ = srv.accept()
    dial = b.one("flow.dial")
    assert (dial.wants, dial.name, dial.verdict, dial.rule, dial.h_dst) == (
        1, "sni.test", 0, "", (NAMED_NET, port)), vars(dial)
    hello = bytes(range(256)) * 7
    f.flight(ident, hello)
    number, kind, data = b.ins.flight()
    assert (kind, data) == (EITHER, hello)
    f.silent(0.1)
    assert not select.select([conn], [], [], 0)[0], "before the verdict"
    b.hold = True
    b.ins.result(number, "sni.test", alpn=b"h2,http/1.1")
    f.silent(0.2)
    assert not select.select([conn], [], [], 0)[0], "before the log"
    b.release()
    fd = f.expect(GRANT, ident)
    assert struct.unpack_from("<Q", f.last, 16)[0] == len(hello)
    f.ack(ident)
    assert conn.recv(4000) == hello
    s = socket.socket(fileno=fd)
    s.send(b"more")
    assert conn.recv(100) == b"more"
    conn.send(b"answer")
    conn.shutdown(socket.SHUT_WR)
    assert arrived(s, 100) == b"answer"
    assert arrived(s, 100) == b""
    s.close()
    f.close(ident)
    opened, closed = b.one("flow.open"), b.one("flow.close")
    for r in opened, closed:
        assert (r.name, r.sni, r.alpn, r.assurance, r.ech) == (
            "sni.test", "sni.test", "h2,http/1.1", 2, 0), vars(r)
    assert (closed.up, closed.down, closed.csrc) == (len(hello) + 4, 6, 1)


def verified_by(durable):
    @needs(durable=durable)
    def test(b):
        f = world(b)
        srv, port = listener(NAMED_NET)
        ident = peeked(b, f, "hosted.test", port)
        f.flight(ident, b"GET / HTTP/1.1\r\nHost: hosted.test\r\n\r\n")
        number, kind, _ = b.ins.flight()
        assert kind == EITHER
        b.ins.result(number, "hosted.test", alpn=b"", kind=HTTP)
        os.close(f.expect(GRANT, ident))
        f.ack(ident)
        f.close(ident, HOW_RST, "guest-rst")
        conn, _ = srv.accept()
        assert conn.recv(4).startswith(b"GET ")
        assert b.one("flow.open").assurance == 3
    return test


test_verified_before_connect = verified_by(BEFORE_CONNECT)
test_verified_async = verified_by(ASYNC)


def refused(reason, result, qname="sni.test", detail=""):
    """Denied after the flight: the server has seen a connection, and no byte."""
    def test(b):
        f = world(b)
        srv, port = listener(NAMED_NET)
        ident = peeked(b, f, qname, port)
        f.flight(ident, b"hello")
        number, _, _ = b.ins.flight()
        result(b, number)
        assert f.expect(DENY, ident) == RESET
        r = b.one("flow.deny")
        assert (r.reason, r.flow, r.name, r.h_dst) == (
            reason, b.one("flow.dial").flow, qname, (NAMED_NET, port)), vars(r)
        assert r.detail == detail, r.detail
        nothing_came(srv)
        assert not b.of("flow.open") and not b.of("flow.close")
        assert b.stop() == 0
        assert b.summary[:2] == (0, 1)
    return test


test_sni_mismatch = refused("sni-mismatch", lambda b, n: b.ins.result(
    n, "other.test"))
test_sni_missing = refused("sni-missing", lambda b, n: b.ins.result(n))
test_sni_bad = refused("sni-unparseable", lambda b, n: b.ins.result(
    n, status=BAD))
test_sni_alien = refused("sni-unparseable", lambda b, n: b.ins.result(
    n, status=ALIEN, hint=3), detail="ssh")
test_ech = refused("ech-present", lambda b, n: b.ins.result(
    n, "sni.test", ech=1))
test_vhost_mismatch = refused("vhost-mismatch", lambda b, n: b.ins.result(
    n, "sni.test"), "host.test")
test_vhost_missing = refused("vhost-missing", lambda b, n: b.ins.result(n),
                             "host.test")
test_vhost_bad = refused("vhost-unparseable", lambda b, n: b.ins.result(
    n, status=BAD), "host.test")
test_inspector_killed = refused("inspector-unavailable", lambda b, n:
                                b.ins.gone())
test_inspector_garbage = refused("inspector-unavailable", lambda b, n:
                                 b.ins.chan.send(b"garbage" * 9))
test_inspector_other_number = refused("inspector-unavailable", lambda b, n:
                                      b.ins.result(n + 1, "sni.test"))
test_inspector_bad_name = refused("inspector-unavailable", lambda b, n:
                                  b.ins.result(n, "SNI.test"))
test_inspector_name_unsaid = refused("inspector-unavailable", lambda b, n:
                                     b.ins.result(n, "sni.test", NAMELESS))
test_inspector_alpn = refused("inspector-unavailable", lambda b, n:
                              b.ins.result(n, "sni.test", alpn=b"\x1b[2J"))
test_inspector_silent = refused("inspector-unavailable", lambda b, n: None)


# ---- looked at, for a deny by name ------------------------------------------------------

def watched(b):
    """A flow that nothing has to prove, and that must not show stop.test."""
    f = world(b)
    srv, port = listener(NAMED_NET)
    ident = peeked(b, f, "watch.test", port)
    assert struct.unpack_from("<I", f.last, 20)[0] == 1, "it is not lenient"
    assert b.one("flow.dial").wants == 2
    return f, ident, srv.accept()[0]


def passes(result):
    def test(b):
        f, ident, conn = watched(b)
        f.flight(ident, b"hello")
        result(b, b.ins.flight()[0])
        os.close(f.expect(GRANT, ident))
        assert conn.recv(9) == b"hello"
        assert b.one("flow.open").verdict == 1
    return test


test_look_passes = passes(lambda b, n: b.ins.result(n, "other.test"))
test_look_passes_ech = passes(lambda b, n: b.ins.result(n, "a.test", ech=1))
test_look_passes_nameless = passes(lambda b, n: b.ins.result(n))
test_look_passes_alien = passes(lambda b, n: b.ins.result(n, status=ALIEN))


def stopped(reason, result):
    def test(b):
        f, ident, conn = watched(b)
        f.flight(ident, b"hello")
        result(b, b.ins.flight()[0])
        assert f.expect(DENY, ident) == RESET
        r = b.one("flow.deny")
        assert (r.reason, r.rule) == (reason, "no"), vars(r)
        conn.settimeout(2)
        with contextlib.suppress(ConnectionResetError):
            assert conn.recv(9) == b""
        assert not b.of("flow.open") and not b.of("flow.close")
    return test


test_look_denied = stopped("deny-rule", lambda b, n: b.ins.result(n, "stop.test"))
test_look_undecided = stopped("sni-unparseable", lambda b, n: b.ins.result(
    n, status=BAD))
test_look_unread = stopped("inspector-unavailable", lambda b, n: b.ins.gone())


def test_look_server_first(b):
    f, ident, conn = watched(b)
    conn.send(b"220 ready\r\n")
    s = socket.socket(fileno=f.expect(GRANT, ident))
    assert s.recv(20) == b"220 ready\r\n"
    assert b.one("flow.open").verdict == 1


def test_audited_flight(b):
    """In audit mode what does not fit is let through and told."""
    f = world(b)
    srv, port = listener(NAMED_NET)
    ident = peeked(b, f, "sniaudit.test", port)
    f.flight(ident, b"hello")
    b.ins.result(b.ins.flight()[0], status=BAD)
    os.close(f.expect(GRANT, ident))
    f.ack(ident)
    f.close(ident, HOW_RST, "guest-rst")
    opened = b.one("flow.open")
    assert (opened.verdict, opened.reason) == (3, "sni-unparseable")
    assert srv.accept()[0].recv(9) == b"hello"


def test_two_names_on_one_address(b):
    f = world(b)
    srv, port = listener(NAMED_NET)
    resolve(b, f, "snia.test", [NAMED_NET])
    ident = peeked(b, f, "snib.test", port)
    f.flight(ident, b"hello")
    b.ins.result(b.ins.flight()[0], "snib.test")
    os.close(f.expect(GRANT, ident))
    f.ack(ident)
    f.close(ident, HOW_RST, "guest-rst")
    assert b.one("flow.open").name == "snib.test"


def test_inspector_away(b):
    """Refused at once while it is away; literals go on; then it is back."""
    f = world(b)
    srv, port = listener(NAMED_NET)
    b.ins.gone()
    b.one("child.died", detail="inspector")
    ident = peeked(b, f, "sni.test", port)
    f.flight(ident, b"hello")
    assert f.expect(DENY, ident) == RESET
    assert b.one("flow.deny").reason == "inspector-unavailable"
    other, oport = listener()
    f.granted(LO, oport)
    b.ins = b.inspector()
    ident = peeked(b, f, "sni.test", port)
    f.flight(ident, b"hello")
    b.ins.result(b.ins.flight()[0], "sni.test")
    os.close(f.expect(GRANT, ident))


def test_inspector_late(b):
    """Flights before its first HELLO wait for it."""
    b.res = b.resolver()
    f = b.guest()
    srv, port = listener(NAMED_NET)
    ident = peeked(b, f, "sni.test", port)
    f.flight(ident, b"hello")
    f.silent()
    b.ins = b.inspector()
    b.ins.result(b.ins.flight()[0], "sni.test")
    os.close(f.expect(GRANT, ident))


def test_many_flights(b):
    """More than its channel holds, 16 KiB each; results in order."""
    f = world(b)
    srv, port = listener(NAMED_NET)
    resolve(b, f, "sni.test", [NAMED_NET])
    ids = [f.open(NAMED_NET, port) for _ in range(60)]
    for ident in ids:
        f.expect(PEEK, ident)
    for ident in ids:
        f.flight(ident, struct.pack("<Q", ident) * 2048)
    conns = []
    for ident in ids:
        number, _, data = b.ins.flight()
        assert data == struct.pack("<Q", ident) * 2048
        b.ins.result(number, "sni.test")
        os.close(f.expect(GRANT, ident))
        f.ack(ident)
        conns.append(srv.accept()[0])
    for conn in conns:
        first = conn.recv(8)
        got = first + conn.recv(16376, socket.MSG_WAITALL)
        assert got == first * 2048, len(got)


@needs(unproven=200, unproven_dst=200)
def test_flights_are_bounded(b):
    """Bytes held of one guest: 2 MiB, then refused; others are served."""
    f = world(b)
    g = b.guest(1)
    srv, port = listener(NAMED_NET)
    resolve(b, f, "sni.test", [NAMED_NET])
    resolve(b, g, "sni.test", [NAMED_NET])
    ids = [f.open(NAMED_NET, port) for _ in range(130)]
    for ident in ids:
        f.expect(PEEK, ident)
    for ident in ids:
        f.flight(ident, bytes(16384))
        b.pump(0)
    assert f.expect(DENY, ids[128]) == RESET
    assert f.expect(DENY, ids[129]) == RESET
    assert {r.reason for r in b.of("flow.deny")} == {"resource"}
    ident = g.open(NAMED_NET, port)
    g.expect(PEEK, ident)
    for n in range(128):
        b.ins.result(b.ins.flight()[0], "other.test")
        f.expect(DENY, ids[n])
    g.flight(ident, b"hello")
    b.ins.result(b.ins.flight()[0], "sni.test")
    os.close(g.expect(GRANT, ident))
    ident = f.open(NAMED_NET, port)
    f.expect(PEEK, ident)
    f.flight(ident, bytes(16384))
    b.ins.result(b.ins.flight()[0], "sni.test")
    os.close(f.expect(GRANT, ident))


@needs(conns=4, pending=1, unproven=2)
def test_peek_charges(b):
    """A flow that is peeked at is one of `conns`, and of `unproven` until it has
    shown what it is to show; of `pending` no more."""
    f = world(b)
    srv, port = listener(NAMED_NET)
    resolve(b, f, "sni.test", [NAMED_NET])
    for _ in range(2):
        ids = [f.open(NAMED_NET, port) for _ in range(2)]
        for ident in ids:
            f.expect(PEEK, ident)
        for ident in ids:
            f.flight(ident, b"hello")
            b.ins.result(b.ins.flight()[0], "sni.test")
            os.close(f.expect(GRANT, ident))
            f.ack(ident)
    f.expect(DENY, f.open(NAMED_NET, port))
    assert [r.reason for r in b.of("flow.deny")] == ["conns"]


def ended(b, port, reason, addr=NAMED_NET):
    """Before a verdict: neither allowed nor denied."""
    dial, closed = b.one("flow.dial"), b.one("flow.close")
    assert (closed.flow, closed.verdict, closed.reason, closed.rule, closed.up,
            closed.h_dst) == (dial.flow, 0, reason, "", 0, (addr, port))
    assert not b.of("flow.open") and not b.of("flow.deny")
    return closed


def test_server_first(b):
    """Its word cannot be let through, and comes before the name can. A flight may
    cross that DENY; but one only."""
    f = world(b)
    srv, port = listener(NAMED_NET)
    ident = peeked(b, f, "sni.test", port)
    conn, _ = srv.accept()
    conn.send(b"220 ready\r\n")
    assert f.expect(DENY, ident, 1) == RESET
    assert eof_or_reset(conn) == "reset"
    r = b.one("flow.deny")
    assert (r.reason, r.flow, r.h_dst, r.name) == (
        "server-first", b.one("flow.dial").flow, (NAMED_NET, port), "sni.test")
    assert not b.of("flow.open") and not b.of("flow.close")
    f.flight(ident, b"late")
    f.silent()
    f.flight(ident, b"late")
    b.violation(f, "flight-unasked")


def server_ends(act):
    """It went away before it was spoken to."""
    def test(b):
        f = world(b)
        srv, port = listener(NAMED_NET)
        ident = peeked(b, f, "sni.test", port)
        act(srv.accept()[0])
        assert f.expect(DENY, ident, 1) == RESET
        ended(b, port, "peer-reset")
    return test


def reset(conn):
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


test_server_fin = server_ends(lambda conn: conn.close())
test_server_rst = server_ends(reset)


def test_no_handshake_before_the_log(b):
    """The guest's connection is accepted when the server's is, and the log has
    it."""
    f = world(b)
    srv, port = listener(NAMED_NET)
    resolve(b, f, "sni.test", [NAMED_NET])
    b.hold = True
    ident = f.open(NAMED_NET, port)
    srv.accept()
    b.wait(lambda: b.of("flow.dial"))
    f.silent(0.3)
    b.release()
    assert f.expect(PEEK, ident) == EITHER


@needs(durable=BEFORE_CONNECT)
def test_dial_before_connect(b):
    f = world(b)
    srv, port = listener(NAMED_NET)
    resolve(b, f, "sni.test", [NAMED_NET])
    b.hold = True
    ident = f.open(NAMED_NET, port)
    b.wait(lambda: b.of("flow.dial"))
    assert not select.select([srv], [], [], 0.3)[0], "it was connected to"
    b.release()
    assert f.expect(PEEK, ident) == EITHER


def test_peek_timeout(b):
    f = world(b)
    srv, port = listener(NAMED_NET)
    other, oport = listener("127.9.0.2")
    begun = time.monotonic()
    ident = peeked(b, f, "sni.test", port)
    # a frame that does not keep its guest's time, which is twice five seconds
    assert f.expect(DENY, ident, 13) == RESET
    assert 10.9 < time.monotonic() - begun < 12.5
    assert b.one("flow.deny").reason == "tls-timeout"
    f.flight(ident, b"late")            # it crossed our DENY
    ident = peeked(b, f, "host.test", oport, "127.9.0.2")
    f.mute(ident)                       # one that does: nothing came
    assert f.expect(DENY, ident, 1) == RESET
    assert b.of("flow.deny")[-1].reason == "vhost-timeout"
    assert not b.of("ipc.violation")


@needs(rate=0)
def test_peek_cancel(b):
    f = world(b)
    srv, port = listener(NAMED_NET)
    ident = peeked(b, f, "sni.test", port)
    conn, _ = srv.accept()
    f.close(ident, HOW_CANCEL, "guest-rst")
    assert ended(b, port, "guest-rst").name == "sni.test"
    assert eof_or_reset(conn) == "reset"
    ident = f.open(NAMED_NET, port)
    f.expect(PEEK, ident)
    f.flight(ident, b"hello")
    number, _, _ = b.ins.flight()
    f.close(ident, HOW_CANCEL, "guest-rst")
    b.settle(0.05)
    srv.accept()
    b.ins.result(number, "sni.test")    # nobody's
    ident = f.open(NAMED_NET, port)
    f.expect(PEEK, ident)
    f.flight(ident, b"hello")
    b.ins.result(b.ins.flight()[0], "sni.test")
    os.close(f.expect(GRANT, ident))
    conn, _ = srv.accept()
    assert conn.recv(9) == b"hello"
    nothing_came(srv)


def test_cancel_while_it_waits_for_the_log(b):
    f = world(b)
    srv, port = listener(NAMED_NET)
    ident = peeked(b, f, "sni.test", port)
    f.flight(ident, b"hello")
    number, _, _ = b.ins.flight()
    b.hold = True
    b.ins.result(number, "sni.test")
    conn, _ = srv.accept()
    f.close(ident, HOW_CANCEL, "guest-rst")
    b.release()
    assert b.one("flow.close").reason == "guest-rst"
    assert eof_or_reset(conn) == "reset"


def test_refused(b):
    """A server that is not there is seen as such: no handshake with nobody."""
    f = world(b)
    srv, port = listener(NAMED_NET)
    srv.close()
    resolve(b, f, "sni.test", [NAMED_NET])
    b.hold = True                       # nor is the disk waited for
    assert f.expect(DENY, f.open(NAMED_NET, port), 1) == RESET
    b.release()
    closed = ended(b, port, "connect-refused")
    assert (closed.name, closed.err) == ("sni.test", errno.ECONNREFUSED)


def test_recorder_dies_before_the_flight_is_written(b):
    f = world(b)
    srv, port = listener(NAMED_NET)
    ident = peeked(b, f, "sni.test", port)
    f.flight(ident, b"hello")
    number, _, _ = b.ins.flight()
    b.hold = True
    b.ins.result(number, "sni.test")
    conn, _ = srv.accept()
    b.settle(0.05)
    acked = b.acked
    b.kill_recorder()
    assert f.expect(DENY, ident) == RESET
    assert eof_or_reset(conn) == "reset"
    assert f.ask("a.test")[0] == SERVFAIL
    b.hold = False
    b.start_recorder(last=len(b.records))
    b.settle()
    refusal = b.one("flow.deny")
    assert (refusal.reason, refusal.name) == ("audit-unavailable", "sni.test")
    assert acked < len(b.records)


def test_frame_dies_in_peek(b):
    f = world(b)
    srv, port = listener(NAMED_NET)
    other, oport = listener("127.9.0.2")
    peeked(b, f, "sni.test", port)
    ident = peeked(b, f, "snib.test", oport, "127.9.0.2")
    f.flight(ident, b"hello")
    number, _, _ = b.ins.flight()
    f.chan.close()
    b.died(ROLE_FRAME, 0, 11)
    b.wait(lambda: len(b.of("flow.close")) == 2)
    assert {(r.reason, r.verdict) for r in b.of("flow.close")} == {
        ("frame-died", 0)}
    b.ins.result(number, "snib.test")
    f = b.frame()
    ident = peeked(b, f, "sni.test", port)
    f.flight(ident, b"hello")
    b.ins.result(b.ins.flight()[0], "sni.test")
    os.close(f.expect(GRANT, ident))


def test_stop_in_peek(b):
    f = world(b)
    srv, port = listener(NAMED_NET)
    peeked(b, f, "sni.test", port)
    f.resolve("a.test")
    b.res.asked()
    assert b.stop() == 0
    ended(b, port, "shutdown")
    assert b.summary[:2] == (0, 0)


# ---- a frame that lies about flights (evil.py has the rest) -------------------------

def flight_twice(b, f, ident):
    f.flight(ident, b"hello")
    f.flight(ident, b"hello")


def flight_after_result(b, f, ident):
    b.hold = True
    f.flight(ident, b"hello")
    b.ins.result(b.ins.flight()[0], "sni.test")
    b.settle(0.05)
    f.flight(ident, b"hello")
    b.settle()
    b.release()


def flight_after_grant(b, f, ident):
    f.flight(ident, b"hello")
    b.ins.result(b.ins.flight()[0], "sni.test")
    os.close(f.expect(GRANT, ident))
    f.ack(ident)
    f.flight(ident, b"hello")


def flight_after_cancel(b, f, ident):
    f.close(ident, HOW_CANCEL, "guest-rst")
    f.flight(ident, b"hello")


def flight_after_deny_twice(b, f, ident):
    f.expect(DENY, ident, 13)
    f.flight(ident, b"hello")
    f.flight(ident, b"hello")


def ack_of_a_peek(b, f, ident):
    f.ack(ident)


def close_of_a_peek(b, f, ident):
    f.close(ident, HOW_FIN, "done")


def close_with_a_flight_under_way(b, f, ident):
    f.flight(ident, b"hello")
    f.close(ident, HOW_RST, "guest-rst")


EVIL = {flight_twice: "flight-unasked", flight_after_result: "flight-unasked",
        flight_after_grant: "flight-unasked",
        flight_after_cancel: "flight-unasked",
        flight_after_deny_twice: "flight-unasked",
        ack_of_a_peek: "ack-of-nothing", close_of_a_peek: "close-before-grant",
        close_with_a_flight_under_way: "close-before-grant"}


def evil(act, detail):
    def test(b):
        f = world(b)
        srv, port = listener(NAMED_NET)
        ident = peeked(b, f, "sni.test", port)
        act(b, f, ident)
        b.violation(f, detail)
    return test


@needs(audit_rate=1, audit_burst=64, dns_rate=100000, dns_burst=100000,
       names=100000)
def test_audit_rate(b):
    """A question whose lines there is no room for is refused, and not asked."""
    f = world(b)
    asked = refused = 0
    began = time.monotonic()
    while refused < 50:
        ident = f.resolve(f"n{asked + refused}.wild.test")
        while True:
            b.pump(0.01, f.chan.sock)   # the question waits for its record
            ready = select.select([b.res.chan.sock, f.chan.sock], [], [], 0)[0]
            if b.res.chan.sock in ready:
                number, _, _ = b.res.asked()
                b.res.answer(number, ["192.0.2.7"])
                asked += 1
                assert f.answer(ident)[0] == ADDRESSES
                break
            if f.chan.sock in ready and (got := f.recv(0))[0] is not None:
                # else it was a PING, which it has answered
                assert got[:2] == (ANSWER, ident), got
                assert struct.unpack_from("<3I", f.last, 16) == (REFUSED, 0, 0)
                refused += 1
                break
    # of 64 KiB and what came since, at over 512 bytes a question
    room = 100 + 2 * (time.monotonic() - began)
    assert 20 < asked < room, (asked, refused, room)
    assert b.stop() == 0
    assert len(b.of("dns.ask")) == asked
    denied = b.of("dns", verdict=2)
    assert len(denied) + sum(
        r.n for r in b.of("deny.agg", reason="audit-rate")) == refused
    assert [r.detail for r in b.of("limit")] == ["audit-rate"]


@slow
def test_wakes(b):
    """Nothing under way: no work."""
    f = world(b)
    resolve(b, f, "a.test", ["192.0.2.7"])
    time.sleep(12)
    b.settle()
    before = b.wakeups()
    time.sleep(2)
    assert b.wakeups() - before <= 1


def tests():
    yield from named(globals())
    for act, detail in EVIL.items():
        yield act.__name__, evil(act, detail)
    for key, (detail, act) in LIES.items():
        yield f"lies_{key}", lies(detail, act)
    for key, test in GIVEN_UP.items():
        yield f"given_up_{key}", test
    yield "broker_killed", broker_killed("%d.test")
    yield "broker_killed_wild", broker_killed("%d.wild.test")


if __name__ == "__main__":
    enter_street()
    sys.exit(main(tests(), bench))
