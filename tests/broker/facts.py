#!/usr/bin/python3
"""What the records say of who, of whom and how much: who started it, which upstream
answered, what a hello offers, and what open flows have moved so far.

usage: facts.py [TEST...]     (BROKER=program; default ./broker-double)
"""

import sys

sys.dont_write_bytecode = True
from broker import *  # noqa: E402
from names import NAMED_NET, peeked  # noqa: E402

# of a guest's lines; the first half of it is the live ones' share
LITTLE = dict(audit_rate=1, audit_burst=64)


def bench(stack, needs=0, about=None, **lim):
    b = Bench(PROGRAM, double_blob(needs=needs, **lim), about=about)
    stack.callback(b.end)
    return b


# ---- who ---------------------------------------------------------------------------

@needs(about=who([b"sh", b"-c", b"", b"x\xff\n"], uid=1000, pid=77, cut=1,
                 policy=b"/etc/a policy"))
def test_who(b):
    start, load = b.one("daemon.start"), b.one("policy.load")
    assert start.cmd == (b"sh", b"-c", b"", b"x\xff\n") and start.cut == 1
    assert (start.uid, start.pid) == (1000, 77)
    assert load.policy == "/etc/a policy" and load.text == b"\xd1" + bytes(31)


@needs(about=who(uid=0, pid=2 ** 22))
def test_who_does_not_tell(b):
    start = b.one("daemon.start")
    assert (start.cmd, start.cut, start.uid, start.pid) == ((), 0, 0, 2 ** 22)


def test_who_is_wrong(_):
    """Nonsense of the keeper's is fatal."""
    good = who([b"true"])
    for at, wrong in ((8, struct.pack("<I", 257)), (8, struct.pack("<I", 4)),
                      (12, struct.pack("<I", 2)), (272, b"x" * 256)):
        about = good[:at] + wrong + good[at + len(wrong):]
        with contextlib.ExitStack() as stack:
            try:
                bench(stack, about=about)
            except (AssertionError, BrokenPipeError) as why:
                assert "not a policy" in str(why), why
            else:
                raise AssertionError(f"taken: {wrong!r} at {at}")


# ---- of whom -----------------------------------------------------------------------

@needs(needs=NEEDS_RESOLVER)
def test_upstream(b):
    """Who answered: told with an answer, with what was of no use, and not of silence."""
    b.res = b.resolver()
    f = b.guest()
    for i, (answer, want) in enumerate((
            (dict(addrs=["192.0.2.7"], source=(1, 1, 5000)),
             ("192.0.2.53", 53, 1, 5000, "none")),
            (dict(addrs=["10.0.0.1"], source=(1, 1, 6000)),
             ("192.0.2.53", 53, 1, 6000, "rebinding-stripped")),
            (dict(status=NXDOMAIN, source=(1, 4, 7000)),
             ("192.0.2.53", 53, 4, 7000, "none")),
            (dict(status=FAILED, source=(1, 6, 8000)),
             ("192.0.2.53", 53, 6, 8000, "dns-upstream")),
            (dict(status=BOGUS, source=(1, 0, 9000)),
             ("192.0.2.53", 53, 0, 9000, "dns-bogus")),
            (dict(status=FAILED), (None, None, 0, 0, "dns-upstream")))):
        ident = f.resolve(f"n{i}.test")
        number, _, _ = b.res.asked()
        b.res.answer(number, **answer)
        f.answer(ident)
        b.settle()
        r = b.of("dns")[-1]
        got = (*(r.upstream or (None, None)), r.rcode, r.rtt, r.reason)
        assert (r.name, got) == (f"n{i}.test", want), got
        assert r.upstream_tls == 0
    f.ask("static.test")
    b.settle()
    assert b.of("dns")[-1].upstream is None


@needs(needs=NEEDS_RESOLVER | NEEDS_INSPECTOR)
def test_tls_offered(b):
    """Of a hello, whatever becomes of its flow; of a request there is none."""
    b.res, b.ins = b.resolver(), b.inspector()
    f = b.guest()
    srv, port = listener(NAMED_NET)
    for shown, kind, tls, where in (
            ("sni.test", TLS, 0x303, "flow.open"),
            ("other.test", TLS, 0x304, "flow.deny"),
            ("sni.test", TLS, 0, "flow.open")):
        ident = peeked(b, f, "sni.test", port)
        f.flight(ident, b"hello")
        number, _, _ = b.ins.flight()
        b.ins.result(number, shown, kind=kind, tls=tls)
        if where == "flow.open":
            os.close(f.expect(GRANT, ident))
            f.ack(ident)
            f.close(ident)
        else:
            f.expect(DENY, ident)
        b.settle()
        assert b.of(where)[-1].tls == tls, vars(b.of(where)[-1])
        if where == "flow.open":
            assert b.of("flow.close")[-1].tls == tls


def wrong_tls(**more):
    """A version that there cannot be, or one of what is no hello."""
    @needs(needs=NEEDS_RESOLVER | NEEDS_INSPECTOR)
    def test(b):
        b.res, b.ins = b.resolver(), b.inspector()
        f = b.guest()
        _, port = listener(NAMED_NET)
        ident = peeked(b, f, "sni.test", port)
        f.flight(ident, b"hello")
        number, _, _ = b.ins.flight()
        b.ins.result(number, **(dict(shown="sni.test") | more))
        f.expect(DENY, ident)
        b.wait(lambda: (ROLE_INSPECTOR, 0) in b.kills)
        b.ins.gone()
        b.settle()
        assert b.one("child.died").detail == "inspector: bad-version"
    return test


test_tls_too_low = wrong_tls(tls=0x204)
test_tls_too_long = wrong_tls(tls=0x10303)
test_tls_of_http = wrong_tls(tls=0x303, kind=HTTP)
test_tls_of_nothing = wrong_tls(tls=0x303, shown="", status=BAD)


# ---- how much ----------------------------------------------------------------------

def flows(f, srv, port, n):
    out = []
    for _ in range(n):
        ident, s = f.granted(LO, port)
        out.append((ident, s, srv.accept()[0]))
    return out


def look(b, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        b.pump(0.05)


@needs(live=1)
def test_live(b):
    """Each once in that time, with the kernel's numbers; none of UDP, none of a flow
    that is over."""
    f = b.guest()
    srv, port = listener(LO)
    (one, s1, c1), (two, s2, c2) = flows(f, srv, port, 2)
    f.granted(LO, port, UDP)[1].close()
    s1.sendall(b"x" * 1000)
    c1.sendall(b"y" * 3000)
    assert len(c1.recv(4096)) == 1000 and len(s1.recv(4096)) == 3000
    look(b, 3.4)
    told = b.of("flow.live")
    opens = [r.flow for r in b.of("flow.open")]
    for flow, moved in ((opens[0], (1000, 3000)), (opens[1], (0, 0))):
        mine = [r for r in told if r.flow == flow]
        assert 2 <= len(mine) <= 4, (flow, mine)
        assert {(r.up, r.down, r.csrc) for r in mine} == {(*moved, 1)}, mine
        assert [r.dur for r in mine] == sorted({r.dur for r in mine})
        assert all(y.dur - x.dur > 0.4e9 for x, y in zip(mine, mine[1:])), mine
    assert {r.flow for r in told} == set(opens[:2])
    for ident, s, c in ((one, s1, c1), (two, s2, c2)):
        s.close()
        c.close()
        f.close(ident, HOW_RST, "guest-rst")
    b.settle()
    n = len(b.of("flow.live"))
    look(b, 1.6)
    assert len(b.of("flow.live")) == n, "of flows that are over"


@needs(live=3)
def test_live_spread(b):
    """Sixty flows that began together are not told of together."""
    f = b.guest()
    srv, port = listener(LO)
    mine = flows(f, srv, port, 60)
    look(b, 6.6)
    told = b.of("flow.live")
    assert {r.flow for r in told} == {r.flow for r in b.of("flow.open")}
    assert 100 <= len(told) <= 150, len(told)
    half = {}
    for r in told:
        half[r.ts // 500000000] = half.get(r.ts // 500000000, 0) + 1
    assert max(half.values()) <= 21, half
    for ident, s, c in mine:
        s.close()
        c.close()
        f.close(ident, HOW_RST, "guest-rst")
    b.settle()


def test_live_off(b):
    f = b.guest()
    srv, port = listener(LO)
    flows(f, srv, port, 3)
    look(b, 1.5)
    assert not b.of("flow.live")


@needs(live=1, **LITTLE)
def test_live_has_no_room(b):
    """They take nothing from what happens: below half of its share there are none,
    and flows begin all the same."""
    f = b.guest()
    srv, port = listener(LO)
    flows(f, srv, port, 20)
    look(b, 5)
    n = len(b.of("flow.live"))
    assert 0 < n < 64, n
    flows(f, srv, port, 10)
    assert len(b.of("flow.open")) == 30 and not b.of("flow.deny")


@needs(live=1)
def test_live_without_a_log(b):
    """None is kept for a recorder that is gone."""
    f = b.guest()
    srv, port = listener(LO)
    flows(f, srv, port, 4)
    b.settle()
    n = len(b.records)
    b.kill_recorder()
    look(b, 3)
    b.start_recorder()
    b.settle()
    assert len([r for r in b.records[n:] if r.type == "flow.live"]) <= 4


if __name__ == "__main__":
    sys.exit(main([(name[5:], fn) for name, fn in list(globals().items())
                   if name.startswith("test_") and
                   fn.__module__ == "__main__"], bench))
