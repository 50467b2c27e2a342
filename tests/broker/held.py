#!/usr/bin/python3
"""Flows over `pending` and `unproven` wait for their turn and are not refused, against
the real broker.

usage: held.py [-a] [TEST...]     (BROKER=program; default ./broker-double)
"""

import os
import socket
import sys
import time

sys.dont_write_bytecode = True
from rig import *  # noqa: E402
from broker import LO, bench as plain_bench, eof_or_reset  # noqa: E402
from names import NAMED_NET, bench as names_bench, resolve, world  # noqa: E402

DEAD, LIVE = "127.0.0.2", "127.0.0.3"


def bench(stack, named=False, **how):
    return (names_bench if named else plain_bench)(stack, **how)


def dead(addr=DEAD):
    """(listener, port): connects to it get no answer until accept() makes room."""
    srv, port = listener(addr, backlog=0)
    for _ in range(4):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex((addr, port))
        dead.fillers.append(s)
    time.sleep(0.1)
    return srv, port


dead.fillers = []


def cancel(f, *idents):
    for ident in idents:
        f.close(ident, HOW_CANCEL, "guest-cancel")


def limited(b, *why):
    """Each limit is told once: a record, and a line for whoever runs this."""
    assert {r.detail for r in b.of("limit")} == set(why), b.of("limit")
    words = b.log_text()
    for limit in why:
        assert words.count(f'at its limit "{limit}"') == 1, words


# ---- pending -----------------------------------------------------------------------

@needs(pending=8, pending_dst=4)
def test_one_address(b):
    """Four connects to one address; more wait, and nobody waits for them."""
    f = b.guest()
    srv, port = dead()
    live, lport = listener(LIVE)
    ids = [f.open(DEAD, port) for _ in range(7)]
    f.silent(0.3)
    assert len(b.of("flow.open")) == 4
    limited(b, "pending")
    _, s = f.granted(LIVE, lport)
    cancel(f, ids[1])                       # one that is dialled: the next is
    b.wait(lambda: len(b.of("flow.open")) == 6)
    assert b.of("flow.open")[-1].flow == 5
    cancel(f, ids[5])                       # one that waits
    assert b.one("flow.deny").reason == "pending"
    cancel(f, ids[0])
    b.wait(lambda: len(b.of("flow.open")) == 7)
    assert b.of("flow.open")[-1].flow == 7
    assert not b.of("flow.deny")[1:]
    s.close()
    cancel(f, *ids[2:5], ids[6])
    b.wait(lambda: len(b.of("flow.close")) == 6)
    assert b.stop() == 0
    assert (b.summary[:2], b.summary[4]) == ((1, 1), 6), b.summary


@needs(pending=3, durable=BEFORE_CONNECT)
def test_all_in_order(b):
    """Whoever came first is connected first."""
    f = b.guest()
    srv, port = listener()
    b.hold = True
    ids = [f.open(LO, port) for _ in range(8)]
    b.wait(lambda: len(b.of("flow.open")) == 3)
    f.silent(0.2)
    assert len(b.of("flow.open")) == 3
    b.release()
    for ident in ids:
        os.close(f.expect(GRANT, ident))
        f.ack(ident)
    assert [r.flow for r in b.of("flow.open")] == list(range(1, 9))
    for ident in ids:
        f.close(ident, HOW_RST, "guest-rst")
    limited(b, "pending")


@needs(pending=1)
def test_waiting_is_not_connecting(b):
    """What a connect took has nothing of the wait for its turn."""
    f = b.guest()
    srv, port = dead()
    live, lport = listener(LIVE)
    first, ident = f.open(DEAD, port), f.open(LIVE, lport)
    f.silent(1)
    cancel(f, first)
    os.close(f.expect(GRANT, ident))
    f.ack(ident)
    f.close(ident, HOW_RST, "guest-rst")
    b.wait(lambda: len(b.of("flow.close")) == 2)
    end = b.of("flow.close")[1]
    assert end.conn < 700_000_000, end.conn
    assert end.dur >= 900_000_000, end.dur


@needs(pending=2)
def test_datagrams_too(b):
    f = b.guest()
    srv, port = dead()
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((LO, 0))
    ids = [f.open(DEAD, port) for _ in range(2)]
    ident = f.open(LO, udp.getsockname()[1], UDP)
    f.silent(0.2)
    cancel(f, ids[0])
    os.close(f.expect(GRANT, ident))
    f.ack(ident)
    cancel(f, ids[1])


@needs(pending=1)
def test_refused_in_a_row(b):
    """A queue in which each one fails at once: no answer is within another."""
    f = b.guest()
    srv, port = dead()
    keep = socket.socket()
    keep.bind((LIVE, 0))
    first = f.open(DEAD, port)
    ids = [f.open(LIVE, keep.getsockname()[1]) for _ in range(900)]
    f.silent(0.2)
    cancel(f, first)
    for ident in ids:
        assert f.expect(DENY, ident) == RESET
    assert b.stop() == 0
    assert (b.summary[:2], b.summary[4]) == ((0, 0), 901), b.summary
    assert sum(r.n for r in b.of("fail.agg")) + len(
        b.of("flow.close", reason="connect-refused")) == 900


@needs(conns=6, pending=2)
def test_is_one_of_conns(b):
    f = b.guest()
    srv, port = dead()
    ids = [f.open(DEAD, port) for _ in range(6)]
    assert f.expect(DENY, f.open(DEAD, port)) == RESET
    assert b.one("flow.deny").reason == "conns"
    limited(b, "pending", "conns")
    cancel(f, *ids)


@needs(pending=2)
def test_guests_do_not_wait_for_each_other(b):
    f, g = b.guest(), b.guest(1)
    srv, port = dead()
    live, lport = listener(LIVE)
    for _ in range(200):
        f.open(DEAD, port)
    waits = f.open(LIVE, lport)
    f.silent(0.1)
    for _ in range(5):
        begun = time.monotonic()
        _, s = g.granted(LIVE, lport)
        assert time.monotonic() - begun < 0.5
        s.close()
    cancel(f, 1, 2)
    f.silent(0.2)                           # 198 others are in front
    cancel(f, *range(3, 201))
    os.close(f.expect(GRANT, waits))


@needs(pending=2, nofile=100)
def test_takes_no_descriptor(b):
    """What waits is not counted where descriptors are: another guest has them."""
    f, g = b.guest(), b.guest(1)
    srv, port = dead()
    live, lport = listener(LIVE)
    for _ in range(49):
        f.open(DEAD, port)
    f.silent(0.2)
    kept = [g.granted(LIVE, lport)[1] for _ in range(40)]
    assert len(kept) == 40 and not b.of("flow.deny")


def frame_ends(how, reason):
    """What waits ends with its frame; what is dialled has its close."""
    @needs(pending=2)
    def test(b):
        f = b.guest()
        srv, port = dead()
        for _ in range(5):
            f.open(DEAD, port)
        b.wait(lambda: len(b.of("flow.open")) == 2)
        f.silent(0.1)
        how(b, f)
        b.settle()
        if b.pid is not None:
            assert b.stop() == 0
        ends = [(r.type, r.reason) for r in b.records
                if r.type in ("flow.close", "flow.deny")]
        assert ends == [("flow.close", reason)] * 2 + \
            [("flow.deny", "pending")] * 3, ends
    return test


def frame_dies(b, f):
    f.chan.close()
    b.died(ROLE_FRAME, 0, 9)


test_hung_up = frame_ends(lambda b, f: b.hang_up(f), "guest-detach")
test_frame_died = frame_ends(frame_dies, "frame-died")
test_shutdown = frame_ends(lambda b, f: b.stop(), "shutdown")


@needs(pending=2)
def test_next_link_is_free(b):
    """Charges of a link that is gone are nobody's."""
    f = b.guest()
    srv, port = dead()
    live, lport = listener(LIVE)
    for _ in range(5):
        f.open(DEAD, port)
    f.silent(0.1)
    b.hang_up(f)
    f = b.guest()
    for _ in range(3):
        f.granted(LIVE, lport)[1].close()


@needs(pending=1)
def test_no_recorder_meanwhile(b):
    """Its turn comes, and its record cannot."""
    f = b.guest()
    srv, port = dead()
    live, lport = listener(LIVE)
    first = f.open(DEAD, port)
    second = f.open(LIVE, lport)
    f.silent(0.1)
    b.kill_recorder()
    b.settle(0.1)
    # the first, whose record was there, is dialled on; now it gives up
    cancel(f, first)
    assert f.expect(DENY, second) == RESET
    b.wait(lambda: (ROLE_RECORDER, 0) in b.spawned)
    b.start_recorder()
    b.settle()
    assert b.stop() == 0
    denied = b.of("flow.deny") + b.of("deny.agg")
    assert [r.reason for r in denied] == ["audit-unavailable"], denied


@needs(pending=1)
@slow
def test_not_for_ever(b):
    """Its guest is told nothing, as by a server that is not there."""
    f = b.guest()
    srv, port = dead()
    live, lport = listener(LIVE)
    first = f.open(DEAD, port)
    second = f.open(LIVE, lport)
    begun = time.monotonic()
    codes = {}
    while len(codes) < 2:
        kind, ident, code, fd = f.recv(70)
        if kind == GRANT:                   # the first's turn ended in time
            os.close(fd)
        codes[ident] = kind, code
    took = time.monotonic() - begun
    assert 59 < took < 63, took
    assert codes[first] == (DENY, SILENT)
    assert codes[second] in ((DENY, SILENT), (GRANT, 0))


# ---- unproven ----------------------------------------------------------------------

def asks(b, f, port, n):
    resolve(b, f, "sni.test", [NAMED_NET])
    return [f.open(NAMED_NET, port) for _ in range(n)]


def shows(b, f, ident):
    f.flight(ident, b"hello")
    b.ins.result(b.ins.flight()[0], "sni.test")
    fd = f.expect(GRANT, ident)
    f.ack(ident)
    return socket.socket(fileno=fd)


def proof(**limits):
    """All are dialled; two guests are asked for their first bytes."""
    @needs(named=True, **limits)
    def test(b):
        f = world(b)
        srv, port = listener(NAMED_NET)
        ids = asks(b, f, port, 5)
        for ident in ids[:2]:
            f.expect(PEEK, ident)
        f.silent(0.3)
        assert len(b.of("flow.dial")) == 5
        conns = [srv.accept()[0] for _ in range(5)]
        limited(b, "unproven")
        for n, ident in enumerate(ids):
            shows(b, f, ident).close()
            f.close(ident, HOW_RST, "guest-rst")
            if n < 3:
                f.expect(PEEK, ids[n + 2])
        assert not b.of("flow.deny")
        assert {c.recv(9) for c in conns} == {b"hello"}
    return test


test_unproven = proof(unproven=2)
test_unproven_per_destination = proof(unproven_dst=2)


@needs(named=True, unproven=1, pending=3)
def test_both_limits(b):
    """What waits for its turn to prove is pending still, so that what a guest can
    make the host connect to without a byte is bounded."""
    f = world(b)
    srv, port = listener(NAMED_NET)
    ids = asks(b, f, port, 6)
    f.expect(PEEK, ids[0])
    f.silent(0.3)
    assert len(b.of("flow.dial")) == 4
    limited(b, "unproven", "pending")
    for n, ident in enumerate(ids):
        shows(b, f, ident).close()
        f.close(ident, HOW_RST, "guest-rst")
        if n < 5:
            f.expect(PEEK, ids[n + 1])
    assert not b.of("flow.deny")


@needs(named=True, unproven=1)
def test_server_does_not_wait(b):
    """It speaks, ends or resets while its turn has not come."""
    f = world(b)
    srv, port = listener(NAMED_NET)
    ids = asks(b, f, port, 4)
    f.expect(PEEK, ids[0])
    f.silent(0.2)
    conns = [srv.accept()[0] for _ in ids]
    for conn in conns:
        conn.send(b"220\r\n")
    denied = 0
    while denied < 4:
        kind, _, code, _ = f.recv()         # the turn of one may come before
        assert kind == PEEK or (kind, code) == (DENY, RESET)
        denied += kind == DENY
    assert [r.reason for r in b.of("flow.deny")] == ["server-first"] * 4
    for conn in conns:
        assert eof_or_reset(conn) == "reset"


@needs(named=True, unproven=1)
def test_guest_does_not_wait(b):
    f = world(b)
    srv, port = listener(NAMED_NET)
    ids = asks(b, f, port, 3)
    f.expect(PEEK, ids[0])
    f.silent(0.2)
    cancel(f, ids[1])
    b.wait(lambda: len(b.of("flow.close", reason="guest-cancel")) == 1)
    cancel(f, ids[0])
    f.expect(PEEK, ids[2])
    shows(b, f, ids[2]).close()


if __name__ == "__main__":
    sys.exit(main([(n, f) for n, f in named(globals())
                   if f.__module__ == "__main__"], bench))
