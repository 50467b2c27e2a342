#!/usr/bin/python3
"""First flights in audit mode, against the real broker: whatever comes of them, the
flow goes on, and the record says what would have become of it.

usage: audited.py [TEST...]     (BROKER=program; default ./broker-double)
"""

import errno
import os
import select
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
from rig import *  # noqa: E402
from broker import LO, eof_or_reset  # noqa: E402
from names import NAMED_NET, bench, nothing_came, resolve, world  # noqa: E402

AHEAD, GLANCE = "sniaudit.test", "sniglance.test"


def listening(b, qname=AHEAD):
    """A frame, the name's server and its port."""
    f = world(b)
    srv, port = listener(NAMED_NET)
    resolve(b, f, qname, [NAMED_NET])
    return f, srv, port


def peeked(f, port):
    ident = f.open(NAMED_NET, port)
    assert f.expect(PEEK, ident) == EITHER
    assert struct.unpack_from("<I", f.last, 20)[0] == 1, "it is not lenient"
    return ident


def granted(f, ident, written, timeout=5):
    fd = f.expect(GRANT, ident, timeout)
    assert struct.unpack_from("<Q", f.last, 16)[0] == written
    f.ack(ident)
    return socket.socket(fileno=fd)


def audited(b, reason, **fields):
    """The flow's open, and a close that agrees with it."""
    opened = b.one("flow.open")
    assert (opened.verdict, opened.reason) == (3, reason), vars(opened)
    for key, value in fields.items():
        assert getattr(opened, key) == value, (key, vars(opened))
    return opened


def dialled(b, port, **fields):
    """The record that the flow has from its connect on; it decides nothing."""
    r = b.one("flow.dial", **fields)
    assert (r.verdict, r.reason, r.rule, r.wants) == (0, "none", "", 2), vars(r)
    assert (r.g_dst, r.h_dst, r.h_src) == ((NAMED_NET, port),) * 2 + (None,)
    return r


def undecided(b, port, reason, met=True):
    """It ended before that was known; neither allowed nor denied."""
    dial, closed = dialled(b, port), b.one("flow.close")
    assert (closed.flow, closed.verdict, closed.reason, closed.rule, closed.up,
            closed.down) == (dial.flow, 0, reason, "", 0, 0), vars(closed)
    assert closed.h_dst == ((NAMED_NET, port) if met else None)
    assert not b.of("flow.open") and not b.of("flow.deny")
    return closed


def say(s, conn):
    """Both ways."""
    s.send(b"up")
    assert conn.recv(9) == b"up"
    conn.send(b"down")
    assert arrived(s, 9) == b"down"


# ---- nothing, or not in time -------------------------------------------------------

def test_server_first(b):
    """It is connected to before anybody has spoken, and its word is enough."""
    f, srv, port = listening(b)
    ident = peeked(f, port)
    conn, _ = srv.accept()
    f.silent(1.5)
    assert not b.of("flow.open")
    dial = dialled(b, port)
    assert (dial.name, dial.assurance) == (AHEAD, 1)
    conn.send(b"220 ready\r\n")
    s = granted(f, ident, 0, 0.4)
    assert arrived(s, 20) == b"220 ready\r\n"
    say(s, conn)
    s.close()
    f.close(ident, HOW_RST, "guest-rst")
    opened = audited(b, "server-first", sni="", flow=dial.flow)
    assert (opened.g_dst, opened.h_dst) == ((NAMED_NET, port),) * 2
    closed = b.one("flow.close")
    assert (closed.verdict, closed.up, closed.down) == (3, 2, 15), vars(closed)


def test_server_ends_first(b):
    f, srv, port = listening(b)
    ident = peeked(f, port)
    srv.accept()[0].close()
    assert granted(f, ident, 0, 0.4).recv(9) == b""


def test_quick_server(b):
    """One that has spoken when it is connected to."""
    f, srv, port = listening(b)
    srv.settimeout(5)
    idents = [f.open(NAMED_NET, port) for _ in range(20)]
    for _ in idents:
        srv.accept()[0].send(b"220\r\n")
    got = {}
    while len(got) < len(idents):
        kind, ident, _, fd = f.recv()
        assert kind in (PEEK, GRANT), kind
        if kind == GRANT:
            got[ident] = socket.socket(fileno=fd)
            f.ack(ident)
    assert all(arrived(s, 9) == b"220\r\n" for s in got.values())


def test_mute(b):
    """The guest has ended before its first byte."""
    f, srv, port = listening(b)
    ident = peeked(f, port)
    conn, _ = srv.accept()
    f.mute(ident)
    s = granted(f, ident, 0, 0.4)
    s.shutdown(socket.SHUT_WR)
    assert conn.recv(9) == b""
    conn.send(b"late")
    assert arrived(s, 9) == b"late"
    audited(b, "sni-unparseable")


def test_mute_request(b):
    f, srv, port = listening(b, "hostaudit.test")
    ident = peeked(f, port)
    f.mute(ident)
    granted(f, ident, 0, 0.4)
    audited(b, "vhost-unparseable")


def test_no_limit_before_a_byte(b):
    """Nobody waits: neither has spoken. It may be the server that does."""
    f, srv, port = listening(b)
    ident = peeked(f, port)
    conn, _ = srv.accept()
    f.silent(12)
    assert not b.of("flow.open")
    conn.send(b"220\r\n")
    s = granted(f, ident, 0, 1)
    assert arrived(s, 9) == b"220\r\n"
    f.flight(ident, b"late")            # it crossed our GRANT; one may
    say(s, conn)
    audited(b, "server-first")
    assert not b.of("ipc.violation")
    f.flight(ident, b"late")
    b.violation(f, "flight-unasked")


def test_slow_flight(b):
    """What took its five seconds is cut, and that is why nothing is known of it."""
    f, srv, port = listening(b)
    ident = peeked(f, port)
    f.silent(5.1)
    f.flight(ident, b"half")
    b.ins.result(b.ins.flight()[0], status=BAD)
    granted(f, ident, 4)
    audited(b, "tls-timeout")


def test_mute_sends_nothing(b):
    """The broker itself has ended that direction: a frame that was lying has no
    flow to say anything on."""
    f, srv, port = listening(b)
    ident = peeked(f, port)
    conn, _ = srv.accept()
    f.mute(ident)
    s = granted(f, ident, 0, 0.4)
    assert conn.recv(9) == b"", "no end before the grant"
    try:
        s.send(b"secret")
        raise AssertionError("it could be sent")
    except BrokenPipeError:
        pass
    conn.send(b"late")
    assert arrived(s, 9) == b"late"


def test_glance(b):
    """The same where a deny may depend on the name."""
    f, srv, port = listening(b, GLANCE)
    ident = peeked(f, port)
    conn, _ = srv.accept()
    conn.send(b"220\r\n")
    s = granted(f, ident, 0, 1)
    assert arrived(s, 9) == b"220\r\n"
    say(s, conn)
    audited(b, "server-first")
    f.mute(ident)                       # it crossed our GRANT
    f.silent()
    assert not b.of("ipc.violation")


@needs(durable=BEFORE_CONNECT)
def test_dial_before_connect(b):
    """A SYN would be too much: the record comes first."""
    f, srv, port = listening(b)
    b.hold = True
    ident = f.open(NAMED_NET, port)
    f.silent(1)
    dialled(b, port)
    assert select.select([srv], [], [], 0)[0] == [], "it was connected to"
    b.release()
    assert f.expect(PEEK, ident) == EITHER
    conn, _ = srv.accept()
    conn.send(b"220\r\n")
    assert granted(f, ident, 0).recv(9) == b"220\r\n"


@needs(durable=BEFORE_CONNECT)
def test_cancel_before_connect(b):
    f, srv, port = listening(b)
    b.hold = True
    ident = f.open(NAMED_NET, port)
    b.wait(lambda: b.of("flow.dial"))
    f.close(ident, HOW_CANCEL, "guest-cancel")
    b.release()
    undecided(b, port, "guest-cancel", met=False)
    assert select.select([srv], [], [], 0)[0] == [], "it was connected to"


@needs(durable=ASYNC)
def test_server_first_async(b):
    f, srv, port = listening(b)
    b.hold = True
    ident = peeked(f, port)
    srv.accept()[0].send(b"220\r\n")
    assert granted(f, ident, 0, 0.4).recv(9) == b"220\r\n"
    b.release()


def test_nothing_before_the_log(b):
    """Neither its handshake nor, later, its bytes."""
    f, srv, port = listening(b)
    b.hold = True
    ident = f.open(NAMED_NET, port)
    srv.accept()[0].send(b"220\r\n")
    f.silent(0.3)
    dialled(b, port)
    b.durable()
    assert f.expect(PEEK, ident) == EITHER
    f.silent(0.3)
    assert b.of("flow.open")
    b.release()
    granted(f, ident, 0)


# ---- what is shown -----------------------------------------------------------------

def test_shown(b):
    """The right name: as in enforce mode, but on a connection that is there."""
    f, srv, port = listening(b)
    ident = peeked(f, port)
    conn, _ = srv.accept()
    b.hold = True
    f.flight(ident, b"hello")
    b.ins.result(b.ins.flight()[0], AHEAD)
    conn.settimeout(0.2)
    try:
        assert False, conn.recv(9)
    except TimeoutError:
        conn.settimeout(5)
    b.release()
    s = granted(f, ident, 5)
    assert conn.recv(9) == b"hello"
    say(s, conn)
    opened = b.one("flow.open")
    assert (opened.verdict, opened.name, opened.assurance) == (1, AHEAD, 2)


def test_server_speaks_after_the_flight(b):
    """Then the flight is what is waited for, and goes first."""
    f, srv, port = listening(b)
    ident = peeked(f, port)
    conn, _ = srv.accept()
    f.flight(ident, b"hello")
    number, _, _ = b.ins.flight()
    conn.send(b"220\r\n")
    f.silent(0.3)
    b.ins.result(number, "other.test")
    s = granted(f, ident, 5)
    assert conn.recv(9) == b"hello"
    assert arrived(s, 9) == b"220\r\n"
    audited(b, "sni-mismatch", sni="other.test")


def test_glance_denied(b):
    """A deny by name is in force in audit mode too; its server gets no byte."""
    f, srv, port = listening(b, GLANCE)
    ident = peeked(f, port)
    f.flight(ident, b"hello")
    b.ins.result(b.ins.flight()[0], "stop.test")
    assert f.expect(DENY, ident) == RESET
    denied = b.one("flow.deny")
    assert (denied.reason, denied.flow, denied.sni) == (
        "deny-rule", dialled(b, port).flow, "stop.test")
    assert eof_or_reset(srv.accept()[0]) == "reset"


def test_denied_after_all(b):
    """The law has changed since, as when an address becomes the host's: the server
    has seen a connection, so the log tells of that, and what was shown."""
    f, srv, port = listening(b)
    ident = peeked(f, port)
    conn, _ = srv.accept()
    f.flight(ident, b"hello")
    b.ins.result(b.ins.flight()[0], "stop.test")
    assert f.expect(DENY, ident) == RESET
    assert eof_or_reset(conn) == "reset"
    denied = b.one("flow.deny")
    assert (denied.flow, denied.reason, denied.h_dst, denied.sni) == \
        (dialled(b, port).flow, "deny-rule", (NAMED_NET, port), "stop.test")
    assert not b.of("flow.open") and not b.of("flow.close")


def test_denied_in_full(b):
    """However many there are: each has made a connection."""
    f, srv, port = listening(b)
    for _ in range(100):
        ident = peeked(f, port)
        f.flight(ident, b"hello")
        b.ins.result(b.ins.flight()[0], "stop.test")
        assert f.expect(DENY, ident) == RESET
    assert len(b.of("flow.deny", reason="deny-rule")) == 100
    assert not b.of("deny.agg")


# ---- looked at for the record ----------------------------------------------------------

def looked(kind, shown, assurance, name="look.test", **result):
    """Nothing depends on it, and the record has it."""
    def test(b):
        f, srv, port = listening(b, "look.test")
        ident = peeked(f, port)
        conn, _ = srv.accept()
        f.flight(ident, b"hello")
        number, asked, _ = b.ins.flight()
        assert asked == EITHER
        b.ins.result(number, shown, kind=kind, **result)
        s = granted(f, ident, 5)
        assert conn.recv(9) == b"hello"
        say(s, conn)
        audited(b, "default-deny", name=name, sni=shown, assurance=assurance)
    return test


test_look_tls = looked(TLS, "look.test", 2)
test_look_ech = looked(TLS, "look.test", 1, ech=1)
test_look_http = looked(HTTP, "look.test", 3)
test_look_other = looked(TLS, "other.test", 0)
test_look_nothing = looked(HTTP, "", 1, status=BAD)


def test_look_among_names(b):
    f, srv, port = listening(b, "look.test")
    resolve(b, f, "lookb.test", [NAMED_NET])
    for shown, name, names in (("lookb.test", "lookb.test", ()),
                               ("", "", ("look.test", "lookb.test"))):
        ident = peeked(f, port)
        f.flight(ident, b"hello")
        b.ins.result(b.ins.flight()[0], shown, kind=TLS)
        granted(f, ident, 5)
        r = b.of("flow.open")[-1]
        assert (r.name, r.chain) == (name, names), vars(r)


def test_look_server_first(b):
    f, srv, port = listening(b, "look.test")
    ident = peeked(f, port)
    srv.accept()[0].send(b"220\r\n")
    granted(f, ident, 0, 0.4)
    audited(b, "default-deny", name="look.test", assurance=1)


@needs(durable=BEFORE_CONNECT)
def test_look_before_connect(b):
    """As ever, once the record of its connect is there."""
    f, srv, port = listening(b, "look.test")
    ident = peeked(f, port)
    srv.accept()[0].send(b"220\r\n")
    granted(f, ident, 0, 0.4)
    audited(b, "default-deny", name="look.test", assurance=1)


def wrong_kind(kind, hint=0, qname="look.test"):
    def test(b):
        f, srv, port = listening(b, qname)
        ident = peeked(f, port)
        f.flight(ident, b"hello")
        b.ins.result(b.ins.flight()[0], qname, kind=kind, hint=hint)
        b.wait(lambda: (ROLE_INSPECTOR, 0) in b.kills)
        b.ins.gone()
        assert b.one("child.died").detail == "inspector: bad-kind"
        granted(f, ident, 5)
    return test


test_look_kind = wrong_kind(EITHER)
test_look_kind_4 = wrong_kind(4)
test_look_hint = wrong_kind(TLS, hint=6)
test_another_kind = wrong_kind(EITHER, 0, AHEAD)


# ---- nobody reads it -----------------------------------------------------------------

def test_no_inspector(b):
    f, srv, port = listening(b)
    b.ins.gone()
    b.one("child.died", detail="inspector")
    ident = peeked(f, port)
    conn, _ = srv.accept()
    f.flight(ident, b"hello")
    granted(f, ident, 5)
    assert conn.recv(9) == b"hello"
    audited(b, "inspector-unavailable")


def test_inspector_dies(b):
    """With one flight in hand and others on their way to it."""
    f, srv, port = listening(b)
    idents = [peeked(f, port) for _ in range(40)]
    for ident in idents:
        f.flight(ident, struct.pack("<Q", ident) * 2048)
    b.ins.gone()
    for ident in idents:
        granted(f, ident, 16384)
    assert {r.reason for r in b.of("flow.open")} == {"inspector-unavailable"}


def test_many_held(b):
    """What there is no room for is the frame's to send."""
    f, srv, port = listening(b)
    idents = [peeked(f, port) for _ in range(130)]
    for ident in idents:
        f.flight(ident, bytes(16384))
        b.pump(0)
    for ident in idents[128:]:
        granted(f, ident, 0)
    assert {r.reason for r in b.of("flow.open")} == {"resource"}


# ---- ends --------------------------------------------------------------------------------

def test_refused(b):
    """As if nobody had wanted to see anything: no handshake for the guest."""
    f, srv, port = listening(b)
    srv.close()
    assert f.expect(DENY, f.open(NAMED_NET, port)) == RESET
    assert undecided(b, port, "connect-refused").err == errno.ECONNREFUSED
    assert b.stop() == 0
    assert b.summary[:2] == (0, 0)


def cancelled(reason, act):
    """A connection that was made is in the log, whatever ends it."""
    def test(b):
        f, srv, port = listening(b)
        ident = peeked(f, port)
        conn, _ = srv.accept()
        act(b, f, ident)
        assert eof_or_reset(conn) == "reset"
        undecided(b, port, reason)
    return test


def frame_dies(b, f, _ident):
    f.chan.close()
    b.died(ROLE_FRAME, 0, 11)


test_cancel = cancelled("guest-cancel", lambda b, f, ident: f.close(
    ident, HOW_CANCEL, "guest-cancel"))
test_frame_dies = cancelled("frame-died", frame_dies)
test_stop = cancelled("shutdown", lambda b, f, ident: b.stop())


@needs(lifetime=1)
def test_lifetime(b):
    f, srv, port = listening(b)
    ident = peeked(f, port)
    assert f.expect(DENY, ident) == RESET
    assert b.one("flow.close").reason == "lifetime"
    f.mute(ident)
    f.silent()
    assert not b.of("ipc.violation")


def test_recorder_dies(b):
    """Without a log nothing is let through, in this mode neither."""
    f, srv, port = listening(b)
    ident = peeked(f, port)
    conn, _ = srv.accept()
    b.kill_recorder()
    b.settle(0.1)
    conn.send(b"220\r\n")
    assert f.expect(DENY, ident) == RESET
    assert eof_or_reset(conn) == "reset"
    f.flight(ident, b"late")
    b.start_recorder(last=len(b.records))
    denied = b.one("flow.deny")
    assert (denied.reason, denied.flow) == ("audit-unavailable",
                                            dialled(b, port).flow)
    assert not b.of("ipc.violation")


def test_recorder_dies_with_the_dial(b):
    f, srv, port = listening(b)
    b.hold = True
    ident = f.open(NAMED_NET, port)
    b.wait(lambda: b.of("flow.dial"))
    conn, _ = srv.accept()
    b.kill_recorder()
    assert f.expect(DENY, ident) == RESET
    assert eof_or_reset(conn) == "reset"
    b.hold = False
    b.start_recorder(last=len(b.records))
    denied = b.one("flow.deny")
    assert (denied.reason, denied.flow) == ("audit-unavailable",
                                            dialled(b, port).flow)


def test_broker_killed(b):
    """At any moment: who has seen a connection stands in the log."""
    f, srv, port = listening(b)
    for _ in range(40):
        f.open(NAMED_NET, port)
    time.sleep(0.05)
    os.kill(b.pid, 9)
    os.waitpid(b.pid, 0)
    b.pid = None
    seen = 0
    while select.select([srv], [], [], 0.2)[0]:
        srv.accept()
        seen += 1
    while select.select([b.recorder.sock], [], [], 0)[0]:
        data, _ = b.recorder.recv(0)
        if not data:
            break
        b.records.append(Record(data))
    told = [r for r in b.records if r.type == "flow.dial"]
    assert 0 < seen <= len(told) <= 40, (seen, len(told))


def test_recorder_dies_with_the_record(b):
    f, srv, port = listening(b)
    ident = peeked(f, port)
    b.hold = True
    srv.accept()[0].send(b"220\r\n")
    b.wait(lambda: b.of("flow.open"))
    b.kill_recorder()
    assert f.expect(DENY, ident) == RESET
    f.flight(ident, b"late")
    b.hold = False
    b.start_recorder(last=len(b.records))
    assert b.one("flow.deny").reason == "audit-unavailable"
    assert not b.of("ipc.violation")


@needs(conns=4, pending=1)
def test_charges(b):
    """One of `conns`; of `pending` while it connects, and not while it waits."""
    f, srv, port = listening(b)
    idents = [peeked(f, port) for _ in range(4)]
    assert f.expect(DENY, f.open(NAMED_NET, port)) == RESET
    assert b.one("flow.deny").reason == "conns"
    for ident in idents:
        f.mute(ident)
        granted(f, ident, 0)


def test_crossing_dies_with_the_frame(b):
    """What may cross a DENY that nobody could be told is no excuse for the next."""
    f, srv, port = listening(b)
    peeked(f, port)
    conn, _ = srv.accept()
    f.chan.close()
    b.wait(lambda: (ROLE_FRAME, 0) in b.kills)
    b.kill_recorder()
    b.settle(0.1)
    conn.send(b"220\r\n")
    assert eof_or_reset(conn) == "reset"
    b.start_recorder(last=len(b.records))
    b.died(ROLE_FRAME, 0, 9)
    b.wait(lambda: (ROLE_FRAME, 0) in b.spawned)
    f = b.frame()
    ident = f.open(LO, 1)
    f.expect(DENY, ident)
    f.flight(ident, b"hello")
    b.violation(f, "flight-unasked")


# ---- a frame that lies ----------------------------------------------------------------

def mute_unasked(b, f, srv, port):
    other, oport = listener()
    ident, _ = f.granted(LO, oport)
    f.mute(ident)


def mute_of_nothing(b, f, srv, port):
    f.mute(9)


def mute_twice(b, f, srv, port):
    ident = peeked(f, port)
    f.mute(ident)
    f.mute(ident)


def flight_after_mute(b, f, srv, port):
    ident = peeked(f, port)
    f.mute(ident)
    f.flight(ident, b"hello")


def mute_after_flight(b, f, srv, port):
    ident = peeked(f, port)
    f.flight(ident, b"hello")
    f.mute(ident)


def mute_after_cancel(b, f, srv, port):
    ident = peeked(f, port)
    f.close(ident, HOW_CANCEL, "guest-cancel")
    f.mute(ident)


def flight_unasked_beside_one_that_crosses(b, f, srv, port):
    """One flow's crossing excuses no other."""
    ident = peeked(f, port)
    srv.accept()[0].send(b"220\r\n")
    granted(f, ident, 0)
    other = peeked(f, port)
    f.mute(other)
    granted(f, other, 0)
    f.flight(other, b"hello")


EVIL = {mute_unasked: "flight-unasked",
        mute_of_nothing: "flight-of-nothing", mute_twice: "flight-unasked",
        flight_after_mute: "flight-unasked",
        mute_after_flight: "flight-unasked",
        mute_after_cancel: "flight-unasked",
        flight_unasked_beside_one_that_crosses: "flight-unasked"}


def evil(act, detail):
    def test(b):
        f, srv, port = listening(b)
        act(b, f, srv, port)
        b.violation(f, detail)
    return test


def tests():
    yield from named(globals())
    for act, detail in EVIL.items():
        yield act.__name__, evil(act, detail)


if __name__ == "__main__":
    sys.exit(main(tests(), bench))
