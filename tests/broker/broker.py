#!/usr/bin/python3
"""The broker's answers, one by one, against the real program: a flow's whole
life, every way in which it can fail, and what the log says of it.

usage: broker.py [TEST...]     (BROKER=program; default ./broker-double)
"""

import contextlib
import errno
import os
import select
import signal
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
from rig import *  # noqa: E402

PROGRAM = os.path.abspath(os.environ.get("BROKER", "./broker-double"))
LO = "127.0.0.1"


def double_blob(durable=BEFORE_DATA, rotate=0, needs=0, pins=(60, 3600, 30),
                upstreams=1, live=0, **lim):
    return struct.pack("<8sII", b"DOUBLE01", rotate, durable) + \
        limits(**lim) + struct.pack("<6I", needs, *pins, upstreams, live)


def bench(stack, durable=BEFORE_DATA, nofile=None, recorder=True, **lim):
    b = Bench(PROGRAM, double_blob(durable, **lim), nofile=nofile,
              recorder=recorder)
    stack.callback(b.end)
    return b


def eof_or_reset(s):
    """What the server sees in the end: b"" (FIN) or "reset"."""
    s.settimeout(5)
    try:
        while s.recv(65536):
            pass
        return "fin"
    except ConnectionResetError:
        return "reset"


# ---- start ---------------------------------------------------------------------

def test_start(b):
    assert b.start[1:] == (BEFORE_DATA, 0, 0, 0, 0)
    assert [r.type for r in b.records] == ["daemon.start", "policy.load"]
    f = b.guest()
    b.wait(lambda: b.ready == 1)
    attach = b.one("guest.attach")
    assert (attach.g_src[0], attach.pid) == (GUEST, 4242), vars(attach)
    kind, flags, mtu, flows = struct.unpack_from("<4I", f.config, 16)
    assert (kind, mtu, flows) == (1, 1500, 4096)
    assert struct.unpack_from("<5I", f.config, 32) == (0, 600, 30, 180, 30)


def test_sealed(b):
    with open(f"/proc/{b.pid}/status") as f:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in f)
    if b"-fsanitize" not in open(PROGRAM, "rb").read() and \
            b"__asan_init" not in open(PROGRAM, "rb").read():
        assert status["Seccomp"].strip() == "2"
    assert status["NoNewPrivs"].strip() == "1"
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        if name != "CapBnd" or os.geteuid() == 0:
            assert int(status[name], 16) == 0, name
    links = {}
    for fd in os.listdir(f"/proc/{b.pid}/fd"):
        links[int(fd)] = os.readlink(f"/proc/{b.pid}/fd/{fd}")
    assert [links[i] for i in range(3)] == ["/dev/null"] * 3
    rest = sorted(v.split(":")[0] for k, v in links.items() if k > 2)
    # keeper, recorder, netlink; libevent's epoll and ours; the log's pipe and
    # the one that libevent makes for signals it is never asked to handle
    assert rest == ["anon_inode"] * 2 + ["pipe"] * 3 + ["socket"] * 5, links


def test_ready_waits_for_the_log(b):
    b.hold = True
    f = b.guest()
    assert b.ready == 0
    b.release()
    b.wait(lambda: b.ready == 1)


# ---- one flow ------------------------------------------------------------------

def test_tcp(b):
    f = b.guest()
    srv, port = listener()
    ident, s = f.granted(LO, port)
    conn, peer = srv.accept()
    s.send(b"x" * 1000)
    assert conn.recv(2000) == b"x" * 1000
    conn.send(b"y" * 500)
    assert arrived(s, 1000) == b"y" * 500
    s.shutdown(socket.SHUT_WR)
    assert conn.recv(10) == b""
    conn.close()
    assert arrived(s, 10) == b""
    s.close()
    f.close(ident, HOW_FIN, "done")
    opened, closed = b.one("flow.open"), b.one("flow.close")
    assert opened.flow == closed.flow and opened.verdict == 1
    assert opened.rule == "yes" and opened.loc == "double:1"
    assert opened.g_src == (GUEST, 4000) and opened.g_dst == (LO, port)
    assert opened.h_src == peer and opened.h_dst == (LO, port)
    assert (closed.reason, closed.up, closed.down, closed.csrc) == \
        ("done", 1000, 500, 1), vars(closed)
    assert b.stop() == 0
    assert b.summary[:4] == (1, 0, 1000, 500)


def test_tcp6(b):
    f = b.guest()
    srv, port = listener("::1")
    ident, s = f.granted("::1", port)
    srv.accept()[0].close()
    s.close()
    f.close(ident, HOW_RST, "guest-rst")
    assert b.one("flow.close").reason == "guest-rst"
    assert b.one("flow.open").h_dst == ("::1", port)


def test_host_service(b):
    f = b.guest()
    srv, port = listener()
    ident, s = f.granted(GATEWAY, port)
    srv.accept()[0].close()
    opened = b.one("flow.open")
    assert opened.g_dst == (GATEWAY, port) and opened.h_dst == (LO, port)
    s.close()
    f.close(ident)


def test_socket_options(b):
    f = b.guest()
    srv, port = listener()
    ident, s = f.granted(LO, port)
    get = s.getsockopt
    assert get(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert get(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert get(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
    assert get(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 30
    assert get(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 8
    # it would end a peer that only does not read
    assert get(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0
    assert get(socket.SOL_SOCKET, socket.SO_OOBINLINE)
    assert struct.unpack("ii", get(socket.SOL_SOCKET, socket.SO_LINGER,
                                   8)) == (1, 0)
    assert not os.get_blocking(s.fileno())
    # the kernel's socket layer knows it as connected: no TFO can re-aim it
    conn, _ = srv.accept()
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))
    conn.close()
    time.sleep(0.05)
    other, oport = listener()
    for _ in range(4):
        with contextlib.suppress(OSError):
            s.sendmsg([b"hi"], [], socket.MSG_FASTOPEN | socket.MSG_NOSIGNAL,
                      (LO, oport))
        time.sleep(0.01)
    assert not select.select([other], [], [], 0.1)[0], "re-aimed"
    s.close()
    f.close(ident, HOW_RST, "peer-reset")


def test_udp(b):
    f = b.guest()
    srv = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    srv.bind((LO, 0))
    ident, s = f.granted(LO, srv.getsockname()[1], UDP)
    s.send(b"ping")
    data, peer = srv.recvfrom(100)
    srv.sendto(b"pong!", peer)
    assert arrived(s, 100) == b"pong!"
    assert s.getsockopt(socket.IPPROTO_IP, 10) == 1     # IP_PMTUDISC_WANT
    assert s.getsockopt(socket.IPPROTO_IP, 11) == 0     # IP_RECVERR
    s.close()
    f.close(ident, HOW_FIN, "idle", up=4, down=5)
    closed = b.one("flow.close")
    assert (closed.up, closed.down, closed.csrc) == (4, 5, 2)
    assert b.one("flow.open").h_src == peer


def test_echo_unavailable(b):
    f = b.guest()
    with open("/proc/sys/net/ipv4/ping_group_range") as r:
        low, high = map(int, r.read().split())
    ident = f.open(LO, 0, ECHO)
    if low <= os.getegid() <= high:
        os.close(f.expect(GRANT, ident))
        f.ack(ident)
        f.close(ident)
        return
    assert f.expect(DENY, ident) == ADMIN
    assert b.one("flow.deny").reason == "icmp-unavailable"
    assert "ping_group_range" in b.log_text()
    assert struct.unpack_from("<I", f.config, 20)[0] & 0x60 == 0


def test_audit_mode(b):
    f = b.guest()
    ident = f.open(LO, 4)
    f.expect(DENY, ident)       # nobody listens there; but it was tried
    opened = b.one("flow.open")
    assert (opened.verdict, opened.reason) == (3, "default-deny")


# ---- refusals ------------------------------------------------------------------

def test_denied(b):
    f = b.guest()
    assert f.expect(DENY, f.open("192.0.2.1", 1)) == RESET
    assert f.expect(DENY, f.open("192.0.2.1", 2)) == RESET
    assert f.expect(DENY, f.open("192.0.2.1", 2, UDP)) == ADMIN
    assert f.expect(DENY, f.open("169.254.169.254", 80)) == RESET
    denied = {(r.reason, r.proto): r for r in b.of("flow.deny")}
    assert set(denied) == {("default-deny", TCP), ("deny-rule", TCP),
                           ("deny-rule", UDP), ("floor-metadata", TCP)}
    assert denied["deny-rule", TCP].rule == "no"
    assert all(r.verdict == 2 and r.flow == 0 for r in denied.values())


def test_refused(b):
    f = b.guest()
    srv, port = listener()
    srv.close()
    assert f.expect(DENY, f.open(LO, port)) == RESET
    closed = b.one("flow.close")
    assert (closed.reason, closed.err, closed.up) == \
        ("connect-refused", 111, 0)


def test_this_very_host(b):
    """The kernel says that it is this very host: it is not connected to."""
    f = b.guest()
    with contextlib.suppress(PermissionError):
        tcp = socket.socket()
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((LO, 3))
        tcp.listen()
        assert f.expect(DENY, f.open(LO, 3)) == RESET
        assert f.expect(DENY, f.open(LO, 3, UDP)) == ADMIN
        assert [r.reason for r in b.of("flow.deny")] == ["floor-local"] * 2
        assert not b.of("flow.open")
        assert not select.select([tcp], [], [], 0.2)[0], "a connection came"


def test_unreachable(b):
    """No route: at once, with the right code (a bench host may have one)."""
    f = b.guest()
    probe = socket.socket()
    probe.setblocking(False)
    code = probe.connect_ex(("203.0.113.77", 5))
    ident = f.open("203.0.113.77", 5)
    if code == 101:
        assert f.expect(DENY, ident) == NET
        closed = b.one("flow.close")
        assert (closed.reason, closed.err) == ("net-unreach", 101)
    else:
        f.close(ident, HOW_CANCEL, "guest-cancel")
        b.one("flow.close")


@needs(conns=3)
def test_conns(b):
    f = b.guest()
    srv, port = listener()
    flows = [f.granted(LO, port) for _ in range(3)]
    assert f.expect(DENY, f.open(LO, port)) == RESET
    assert b.one("flow.deny").reason == "conns"
    assert b.one("limit").detail == "conns"
    ident, s = flows.pop()
    s.close()
    f.close(ident)
    f.granted(LO, port)


@needs(rate=1, burst=5)
def test_rate(b):
    f = b.guest()
    for _ in range(50):
        f.open("192.0.2.1", 1)
    codes = [f.expect(DENY, i + 1) for i in range(50)]
    # over the rate a SYN is as good as lost: who repeats it has its turn
    assert codes == sorted(codes) and set(codes) == {RESET, SILENT}, codes
    assert 5 <= codes.count(RESET) <= 6
    rate = b.of("flow.deny", reason="rate")
    assert len(rate) == 10, "told in full"
    assert len(b.of("flow.deny", reason="default-deny")) in (5, 6)
    assert b.stop() == 0
    assert sum(r.n for r in b.of("deny.agg", reason="rate")) in (34, 35)


@needs(rate=5, burst=10, conns=100)
def test_reconnects(b):
    """Twenty links within seconds are one guest: its rate, and what of its denials
    is told in full."""
    srv, port = listener()
    allowed, begun = 0, time.monotonic()
    for _ in range(20):
        f = b.guest()
        for _ in range(5):
            f.open("192.0.2.1", 1)
            f.open(LO, port)
            for _ in range(2):
                kind, ident, _, fd = f.recv()
                if kind == GRANT:
                    allowed += 1
                    os.close(fd)
                    f.ack(ident)
        b.hang_up(f)
    took = time.monotonic() - begun
    denied = len(b.of("flow.deny", reason="default-deny"))
    assert 4 <= allowed + denied <= 10 + 5 * took + 1, (allowed, denied, took)
    assert len(b.of("flow.deny", reason="rate")) <= 20, "ten of a kind, twice at most"
    assert len(b.of("guest.attach")) == len(b.of("guest.detach")) == 20
    assert len(b.of("limit", reason="rate")) == 1
    assert b.stop() == 0


@needs(nofile=48)
def test_emfile(b):
    f = b.guest()
    srv, port = listener()
    held = []
    for _ in range(60):
        ident = f.open(LO, port)
        kind, got, code, fd = f.recv()
        if kind == DENY:
            assert code == RESET
            break
        f.ack(ident)
        held.append((ident, fd))
    assert kind == DENY and len(held) >= 16
    assert b.of("flow.deny")[0].reason in ("resource", "conns")
    assert b.busy(0.5) < 0.1, "spins"
    for ident, fd in held:
        os.close(fd)
        f.close(ident, HOW_FIN)
    b.settle()
    f.granted(LO, port)


# ---- cancel in every state -----------------------------------------------------

def test_cancel_recorded(b):
    f = b.guest()
    srv, port = listener()
    b.hold = True
    ident = f.open(LO, port)
    conn = srv.accept()[0]
    b.wait(lambda: b.of("flow.open"))
    f.close(ident, HOW_CANCEL, "guest-cancel")
    assert eof_or_reset(conn) == "reset"
    b.release()
    f.silent()
    assert b.one("flow.close").reason == "guest-cancel"


def test_cancel_connecting(b):
    f = b.guest()
    srv, port = listener(backlog=0)
    filler = [socket.socket() for _ in range(4)]
    for s in filler:
        s.setblocking(False)
        s.connect_ex((LO, port))
    time.sleep(0.05)
    ident = f.open(LO, port)
    f.silent()
    f.close(ident, HOW_CANCEL, "guest-timeout")
    assert b.one("flow.close").reason == "guest-timeout"
    b.settle()
    assert b.fds() == 14, b.fds()


@needs(durable=BEFORE_CONNECT)
def test_cancel_before_connect(b):
    f = b.guest()
    srv, port = listener()
    b.hold = True
    ident = f.open(LO, port)
    b.wait(lambda: b.of("flow.open"))
    f.close(ident, HOW_CANCEL, "guest-cancel")
    b.release()
    f.silent()
    assert not select.select([srv], [], [], 0.1)[0]


def test_cancel_ready(b):
    """Waiting for room among the fds in flight."""
    f = b.guest()
    srv, port = listener()
    ids = [f.open(LO, port) for _ in range(INFLIGHT_MAX + 1)]
    fds = [f.expect(GRANT, i) for i in ids[:-1]]
    f.silent()
    f.close(ids[-1], HOW_CANCEL, "guest-cancel")
    b.one("flow.close", reason="guest-cancel")
    for i in ids[:-1]:
        f.ack(i)
    f.silent()
    for fd in fds:
        os.close(fd)


def test_cancel_crosses_grant(b):
    f = b.guest()
    srv, port = listener()
    ident = f.open(LO, port)
    b.settle()                      # the GRANT is in our queue
    f.close(ident, HOW_CANCEL, "guest-cancel")
    os.close(f.expect(GRANT, ident))
    f.ack(ident)
    assert b.one("flow.close").reason == "guest-cancel"
    # shut at once: what is on its way to a frame must not outlive the flow
    assert eof_or_reset(srv.accept()[0]) in ("fin", "reset")
    f.granted(LO, port)


def test_cancel_crosses_deny(b):
    f = b.guest()
    ident = f.open("192.0.2.1", 1)
    f.close(ident, HOW_CANCEL, "guest-cancel")
    f.expect(DENY, ident)
    f.silent()
    assert b.alive()


# ---- the log comes first --------------------------------------------------------

def test_before_data(b):
    f = b.guest()
    srv, port = listener()
    b.hold = True
    ident = f.open(LO, port)
    conn = srv.accept()[0]          # the connect runs meanwhile
    b.wait(lambda: b.of("flow.open"))
    f.silent(0.3)
    b.release()
    f.expect(GRANT, ident)
    assert conn


@needs(durable=BEFORE_CONNECT)
def test_before_connect(b):
    f = b.guest()
    srv, port = listener()
    b.hold = True
    ident = f.open(LO, port)
    b.wait(lambda: b.of("flow.open"))
    assert not select.select([srv], [], [], 0.3)[0], "a SYN came first"
    b.release()
    os.close(f.expect(GRANT, ident))
    srv.accept()
    f.ack(ident)
    f.close(ident)
    assert b.one("flow.close").h_dst == (LO, port)


@needs(durable=ASYNC)
def test_async(b):
    f = b.guest()
    srv, port = listener()
    b.hold = True
    f.expect(GRANT, f.open(LO, port))
    b.release()


def test_answer_and_close(b):
    """A server that answers and closes at once, a log that takes 50 ms."""
    f = b.guest()
    srv, port = listener()
    for i in range(40):
        b.hold = True
        ident = f.open(LO, port)
        conn = srv.accept()[0]
        conn.send(b"answer")
        conn.close()
        b.wait(lambda: len(b.of("flow.open")) > i)
        time.sleep(0.05)
        b.release(0.01)
        s = socket.socket(fileno=f.expect(GRANT, ident))
        f.ack(ident)
        assert arrived(s, 100) == b"answer" and arrived(s, 100) == b""
        s.close()
        f.close(ident, HOW_FIN, "done")
    assert all(r.down == 6 for r in b.of("flow.close"))


def test_answer_and_reset_during_commit(b):
    f = b.guest()
    srv, port = listener()
    b.hold = True
    ident = f.open(LO, port)
    conn = srv.accept()[0]
    b.wait(lambda: b.of("flow.open"))
    conn.send(b"answer")
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))
    time.sleep(0.05)
    conn.close()
    b.release()
    s = socket.socket(fileno=f.expect(GRANT, ident))
    f.ack(ident)
    s.close()
    f.close(ident, HOW_RST, "peer-reset")
    assert b.one("flow.close").reason == "peer-reset"


def test_recorder_dies(b):
    f = b.guest()
    srv, port = listener()
    live, s = f.granted(LO, port)
    b.hold = True
    ident = f.open(LO, port)
    b.wait(lambda: len(b.of("flow.open")) == 2)
    b.kill_recorder()
    assert f.expect(DENY, ident) == RESET
    assert f.expect(DENY, f.open(LO, port)) == RESET
    s.close()
    f.close(live)
    b.wait(lambda: b.spawned.count((ROLE_RECORDER, 0)) == 2)
    b.hold = False
    b.start_recorder()
    assert b.start[2] == 1, "resume"
    assert b.one("flow.close").reason == "done"
    assert b.one("flow.deny", reason="audit-unavailable").flow == 2
    f.granted(LO, port)
    assert b.stop() == 0
    assert b.one("deny.agg").n == 1
    assert b.logging == 1, "told at the first only"


def test_recorder_dies_after_writing(b):
    """It had written what it did not acknowledge: nothing is sent twice."""
    f = b.guest()
    srv, port = listener()
    b.hold = True
    ident = f.open(LO, port)
    b.wait(lambda: b.of("flow.open"))
    written = len(b.records)
    b.kill_recorder()
    f.expect(DENY, ident)
    b.hold = False
    b.start_recorder(last=written)
    opened, refused = b.one("flow.open"), b.one("flow.deny")
    assert (refused.flow, refused.reason) == \
        (opened.flow, "audit-unavailable")


def test_log_fails_and_recovers(b):
    f = b.guest()
    srv, port = listener()
    b.hold = True
    ident = f.open(LO, port)
    b.wait(lambda: b.of("flow.open"))
    b.ack(R_FAILED, b.acked, 28)
    assert f.expect(DENY, ident) == RESET
    for _ in range(30):
        assert f.expect(DENY, f.open(LO, port)) == RESET
    assert len(b.of("flow.deny")) == 1, "added up while nothing is written"
    b.release()
    b.ack(R_RECOVERED, b.acked)
    b.settle()
    f.granted(LO, port)
    assert b.stop() == 0
    assert sum(r.n for r in b.of("deny.agg",
                                 reason="audit-unavailable")) == 30


@slow
@needs(conns=20000, pending=20000, rate=0)
def test_many_close_without_a_log(b):
    """10 000 closes wait for a recorder; opens are refused meanwhile, at once."""
    f = b.guest()
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((LO, 0))
    port = udp.getsockname()[1]
    for _ in range(9000):
        ident, s = f.granted(LO, port, UDP)
        s.close()
    b.settle()
    b.kill_recorder()
    for i in range(9000):
        f.close(i + 1, HOW_FIN, "idle")
    assert f.expect(DENY, f.open(LO, port)) == RESET
    b.start_recorder()
    b.wait(lambda: len(b.of("flow.close")) == 9000, 20)


@needs(nofile=96)
def test_two_guests_share_the_fds(b):
    """Not even two guests together take the fds that new processes need."""
    one, two = b.guest(0), b.guest(1)
    srv, port = listener()
    n = 0
    for f in (one, two):
        while True:
            ident = f.open(LO, port)
            kind, _, code, fd = f.recv()
            if kind == DENY:
                break
            os.close(fd)
            f.ack(ident)
            n += 1
    assert b.fds() < 96 - 24, (n, b.fds())
    assert {r.reason for r in b.of("flow.deny")} <= {"conns", "resource"}


@needs(recorder=False)
def test_no_recorder_yet(b):
    """A guest that is there before the log: its flows wait for it."""
    f = b.guest()
    srv, port = listener()
    ident = f.open(LO, port)
    f.silent(1)
    assert not select.select([srv], [], [], 0)[0], "connected before the log"
    b.start_recorder()
    b.wait(lambda: b.ready == 1)
    os.close(f.expect(GRANT, ident))
    assert b.one("flow.open").rec > b.one("guest.attach").rec


@needs(recorder=False)
def test_first_recorder_dies(b):
    """It never was ready: its guests wait no longer."""
    f = b.guest()
    ident = f.open(LO, 1)
    f.silent()
    b.start_recorder(ready=False)
    f.silent()
    b.kill_recorder()
    assert f.expect(DENY, ident) == RESET
    b.start_recorder()


@needs(recorder=False)
def test_recorder_not_started(b):
    """There is none, says the keeper: guests are refused instead of waiting, and
    the next try is asked for; the one that succeeds serves."""
    f = b.guest()
    srv, port = listener()
    ident = f.open(LO, port)
    f.silent()
    for _ in range(2):
        b.not_started(ROLE_RECORDER, errno.EMFILE)
        assert f.expect(DENY, ident, 1) == RESET
        ident = f.open(LO, port)
    assert f.expect(DENY, ident, 1) == RESET
    assert not b.ready and b.alive()
    b.start_recorder()
    b.wait(lambda: b.ready == 1)
    f.granted(LO, port)
    assert b.stop() == 0
    denied = b.one("deny.agg")
    assert (denied.reason, denied.n) == ("audit-unavailable", 3)


def test_frame_not_started(b):
    """Asked for again; nothing has died, and nothing is recorded as dead."""
    b.attach()
    for _ in range(2):
        b.not_started(ROLE_FRAME, 3)        # a frame's status 3 means: detached
    f = b.frame()
    srv, port = listener()
    f.granted(LO, port)
    assert b.of("frame.died") == b.of("guest.detach") == []


def test_recorder_hangs(b):
    """It is there and says nothing, as on a disk that does not answer: whoever waits
    is refused within 5 s, and who comes then at once, until it speaks again."""
    f = b.guest()
    srv, port = listener()
    srv.settimeout(5)
    _, s = f.granted(LO, port)
    b.settle()
    b.hold = True
    begun = time.monotonic()
    waits = [f.open(LO, port) for _ in range(5)]
    f.silent(3.5)
    for ident in waits:
        f.expect(DENY, ident, 2)
    assert 4 < time.monotonic() - begun < 5.3, time.monotonic() - begun
    assert "takes no record" in b.log_text()
    begun = time.monotonic()
    f.expect(DENY, f.open(LO, port))
    assert time.monotonic() - begun < 0.5
    conn = srv.accept()[0]
    s.send(b"still here")           # a flow that has its record goes on
    assert conn.recv(20) == b"still here"
    assert not b.kills and b.alive()
    b.release()
    b.wait(lambda: "takes records again" in b.log_text())
    opened = {r.flow for r in b.of("flow.open")}
    refused = [r for r in b.of("flow.deny") if r.flow]
    assert {r.flow for r in refused} <= opened and len(refused) == 5, refused
    assert {r.reason for r in b.of("flow.deny")} == {"audit-unavailable"}
    f.granted(LO, port)
    assert b.stop() == 0


def test_recorder_hangs_at_the_end(b):
    """The end waits for it, and not for ever; the status says that it was in vain."""
    f = b.guest()
    srv, port = listener()
    f.granted(LO, port)
    b.hold = True
    b.keeper.send(head(K_STOP))
    begun = time.monotonic()
    b.wait(lambda: b.summary is not None, 9)
    assert time.monotonic() - begun < 8
    status = os.waitstatus_to_exitcode(os.waitpid(b.pid, 0)[1])
    b.pid = None
    assert status == 1 and "could not be written" in b.log_text()


def test_harm_to_the_log(b):
    """The recorder wrote on in a new file, and yet something is missing."""
    f = b.guest()
    srv, port = listener()
    f.granted(LO, port)
    b.settle()
    b.recorder.send(head(R_FAILED, b.acked) + struct.pack("<II", errno.ESTALE, 1))
    b.recorder.send(head(R_RECOVERED, b.acked) + struct.pack("<II", 0, 1))
    b.wait(lambda: "written again" in b.log_text())
    f.granted(LO, port)
    assert b.stop() == 1


def test_recorder_speaks_nonsense(b):
    b.ack(R_DURABLE, 10 ** 6)
    b.wait(lambda: (ROLE_RECORDER, 0) in b.kills and not b.recorder)
    b.died(ROLE_RECORDER, 0, 9)
    b.start_recorder()
    f = b.guest()
    srv, port = listener()
    f.granted(LO, port)


# ---- grants and their end ---------------------------------------------------------

def test_inflight(b):
    f = b.guest()
    srv, port = listener()
    ids = [f.open(LO, port) for _ in range(50)]
    fds = {}
    for i in range(INFLIGHT_MAX):
        fds[ids[i]] = f.expect(GRANT, ids[i])
    f.silent(0.3)
    f.ack(ids[0])
    fds[ids[16]] = f.expect(GRANT, ids[16])
    f.silent(0.1)
    f.ack(ids[16])                  # speaks for the fifteen before it
    for i in range(17, 33):
        fds[ids[i]] = f.expect(GRANT, ids[i])
    f.silent(0.1)
    for fd in fds.values():
        os.close(fd)


def channel_room(b, f):
    """How many small messages fit into the channel to a frame."""
    told = [f.open("192.0.2.1", 1) for _ in range(400)]
    b.settle()
    os.kill(b.pid, signal.SIGSTOP)
    room = 0
    while f.chan.recv(0)[0]:
        room += 1
    os.kill(b.pid, signal.SIGCONT)
    for ident in told[room:]:
        f.expect(DENY, ident)
    return room


@slow
def test_full_channel_and_nothing_to_say(b):
    """It was full, and what it was full for is gone: that is no violation."""
    f = b.guest()
    srv, port = listener()
    told = [f.open("192.0.2.1", 1) for _ in range(channel_room(b, f))]
    b.settle()
    waiting = f.open(LO, port)
    srv.accept()
    b.settle()
    f.close(waiting, HOW_CANCEL, "guest-cancel")
    b.one("flow.close")
    for ident in told:
        f.expect(DENY, ident)
    f.silent(11)
    assert not b.of("ipc.violation")


def in_flight(n):
    """Two ends of a socket of ours, with so many descriptors between them."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    null = os.open("/dev/null", os.O_RDONLY)
    for _ in range(n // 200):
        socket.send_fds(ends[0], [b"x"], [null] * 200)
    os.close(null)
    return ends


@needs(nofile=128)
def test_too_many_in_flight(b):
    """Another process of this user has used up the fds in flight."""
    f = b.guest()
    srv, port = listener()
    hoard = in_flight(800)
    ident = f.open(LO, port)
    f.silent(0.3)
    assert b.busy(0.5) < 0.1, "spins"
    for s in hoard:                 # it passes, and nobody has noticed
        s.close()
    os.close(f.expect(GRANT, ident))
    f.ack(ident)
    assert not b.of("limit") and "refused" not in b.log_text()
    hoard = in_flight(800)
    begun = time.monotonic()
    first = f.open(LO, port)
    f.expect(DENY, first, 3)
    assert time.monotonic() - begun > 0.8, "not given a moment"
    begun = time.monotonic()
    for _ in range(20):
        f.expect(DENY, f.open(LO, port))
    assert time.monotonic() - begun < 0.8, "each waits again"
    closed = b.of("flow.close")
    assert len(closed) == 21 and all(
        (r.reason, r.err, r.up, r.down) == ("resource", errno.ETOOMANYREFS, 0, 0)
        for r in closed), closed
    assert b.one("limit").reason == "resource"
    assert b.log_text().count("in flight") == 1
    for s in hoard:
        s.close()
    ident = f.open(LO, port)
    os.close(f.expect(GRANT, ident))


@slow
@needs(nofile=128)
def test_too_many_in_flight_for_long(b):
    """The frame is not taken for one that does not read."""
    f = b.guest()
    srv, port = listener()
    hoard = in_flight(800)
    for _ in range(12):
        f.expect(DENY, f.open(LO, port), 3)
        f.silent(1)
    for s in hoard:
        s.close()
    os.close(f.expect(GRANT, f.open(LO, port)))
    assert not b.of("ipc.violation")


def test_rst(b):
    f = b.guest()
    srv, port = listener()
    ident, s = f.granted(LO, port)
    conn = srv.accept()[0]
    s.close()
    f.close(ident, HOW_RST, "guest-rst")
    assert eof_or_reset(conn) == "reset"


def received(s, seconds=0.3):
    """What a copy of a socket still gets."""
    if select.select([s], [], [], seconds)[0]:
        with contextlib.suppress(OSError):
            return s.recv(65536)
    return b""


def kept_copy(b, how, reason):
    """The frame says CLOSE and keeps its copy: it is ended, and until then the
    copy lets out an initial window at most."""
    f = b.guest()
    srv, port = listener()
    others = [f.granted(LO, port) for _ in range(3)]
    ident, s = f.granted(LO, port)
    conn = [srv.accept()[0] for _ in range(4)][3]
    f.close(ident, how, reason)
    b.one("flow.close", flow=4)
    sent = 0
    with contextlib.suppress(OSError):
        while sent < 1 << 24:
            sent += s.send(b"z" * 65536)
    time.sleep(0.3)
    got = 0
    conn.setblocking(False)
    with contextlib.suppress(OSError):
        while chunk := conn.recv(1 << 20):
            got += len(chunk)
    assert got < 1 << 20, f"{got} of {sent} bytes left after the close"
    b.violation(f, "kept-copy")
    assert len(b.of("flow.close", reason="ipc-violation")) == 3
    for _, other in others:
        other.close()
    s.close()
    conn.setblocking(True)
    return conn


def test_kept_copy_fin(b):
    assert eof_or_reset(kept_copy(b, HOW_FIN, "done")) == "fin"


def test_kept_copy_rst(b):
    assert eof_or_reset(kept_copy(b, HOW_RST, "guest-rst")) == "reset"


def test_kept_copy_after_hup(b):
    f = b.guest()
    srv, port = listener()
    ident, s = f.granted(LO, port)
    s.shutdown(socket.SHUT_WR)
    srv.accept()[0].close()
    assert arrived(s, 10) == b""
    time.sleep(0.1)
    f.close(ident, HOW_FIN, "done")
    b.violation(f, "kept-copy")


def test_kept_copy_udp(b):
    f = b.guest()
    srv = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    srv.bind((LO, 0))
    ident, s = f.granted(LO, srv.getsockname()[1], UDP)
    f.close(ident, HOW_FIN, "idle")
    b.violation(f, "kept-copy")
    with contextlib.suppress(OSError):
        s.send(b"two")
    assert received(srv) == b""


def crossing(b, proto, srv):
    """A CLOSE that crosses the GRANT: the frame has the fd and owes it back."""
    f = b.guest()
    ident = f.open(LO, srv.getsockname()[1], proto)
    b.settle()
    f.close(ident, HOW_CANCEL, "guest-cancel")
    s = socket.socket(fileno=f.expect(GRANT, ident))
    f.ack(ident)
    b.one("flow.close")
    return s


def test_kept_copy_of_a_crossing_grant(b):
    srv, port = listener()
    s = crossing(b, TCP, srv)
    conn = srv.accept()[0]
    with contextlib.suppress(OSError):
        conn.send(b"secret")
    assert received(s) == b""
    try:
        s.send(b"more")
        raise AssertionError("it still sends")
    except OSError:
        pass


def test_kept_copy_of_a_crossing_grant_udp(b):
    srv = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    srv.bind((LO, 0))
    s = crossing(b, UDP, srv)
    srv.sendto(b"secret", s.getsockname())
    assert received(s) == b""
    with contextlib.suppress(OSError):
        s.send(b"more")
    assert received(srv) == b"" and received(s) == b""


def test_fin_delivers_all(b):
    """CLOSE{FIN} with a full send queue: the server gets every byte."""
    f = b.guest()
    srv, port = listener()
    ident, s = f.granted(LO, port)
    conn = srv.accept()[0]
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += s.send(b"z" * 65536)
    s.shutdown(socket.SHUT_WR)
    s.close()
    f.close(ident, HOW_FIN, "done")
    assert b.one("flow.close").up == sent
    conn.settimeout(5)
    got = 0
    while chunk := conn.recv(1 << 20):
        got += len(chunk)
    assert got == sent, (got, sent)


def revoke_all(b, frame_obeys=True):
    f = b.guest()
    srv, port = listener()
    srv.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    ident, s = f.granted(LO, port)
    conn = srv.accept()[0]
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += s.send(b"z" * 65536)
    f.expect(REVOKE, ident, timeout=8)
    shut_down(s)                        # it is told a moment before
    try:
        s.send(b"more")
        raise AssertionError("a revoked socket still sends")
    except BrokenPipeError:
        pass
    if frame_obeys:
        s.close()
        f.close(ident, HOW_RST, "killed")
        closed = b.one("flow.close")
        assert closed.reason == "lifetime", closed
    else:
        b.wait(lambda: (ROLE_FRAME, 0) in b.kills)
        s.close()
        b.died(ROLE_FRAME, 0, 9)
        assert b.one("flow.close").reason == "revoke-ignored"
        assert b.one("frame.died").signal == 9
    got = 0
    conn.settimeout(5)
    try:
        while chunk := conn.recv(65536):
            got += len(chunk)
        raise AssertionError("looks like an orderly end")
    except ConnectionResetError:
        pass
    assert got < sent, (got, sent)


@needs(lifetime=1)
def test_revoke(b):
    revoke_all(b)


@needs(lifetime=1)
def test_revoke_ignored(b):
    revoke_all(b, frame_obeys=False)


@needs(lifetime=1)
def test_revoke_many(b):
    """More REVOKEs than the channel holds, to a frame that reads late."""
    f = b.guest()
    srv, port = listener(backlog=1024)
    flows = dict(f.granted(LO, port) for _ in range(400))
    time.sleep(1.2)
    seen = set()
    while len(seen) < len(flows):
        kind, ident, _, _ = f.recv(3)
        assert kind == REVOKE, (kind, len(seen))
        seen.add(ident)
        flows[ident].close()
        f.close(ident, HOW_RST, "killed")
    assert seen == set(flows)


def test_frame_dies(b):
    f = b.guest()
    srv, port = listener()
    ident, s = f.granted(LO, port)
    waiting = f.open(LO, port)
    os.close(f.expect(GRANT, waiting))
    conns = [srv.accept()[0] for _ in range(2)]
    s.close()
    f.chan.close()
    b.died(ROLE_FRAME, 0, 11)
    died = b.one("frame.died")
    assert (died.signal, died.reason) == (11, "frame-died")
    assert {r.reason for r in b.of("flow.close")} == {"frame-died"}
    for c in conns:
        assert eof_or_reset(c) == "reset"
    b.wait(lambda: (ROLE_FRAME, 0) in b.spawned)
    again = b.frame()
    again.granted(LO, port)         # ids begin anew
    assert b.ready == 1


def test_last_words(b):
    """DIED overtakes what the frame had said, and a new client is there."""
    f = b.guest()
    srv, port = listener()
    ident, s = f.granted(LO, port)
    s.close()
    f.close(ident, HOW_FIN, "done")
    f.chan.close()
    b.died(ROLE_FRAME, 0, 0, 3)
    again = b.guest()
    assert b.one("flow.close").reason == "done"
    b.one("guest.detach", reason="guest-detach")
    again.granted(LO, port)
    assert b.ready == 2


def test_frame_closes_its_channel(b):
    f = b.guest()
    f.chan.close()
    b.wait(lambda: (ROLE_FRAME, 0) in b.kills)
    b.died(ROLE_FRAME, 0, 9)
    b.wait(lambda: (ROLE_FRAME, 0) in b.spawned)


@needs(rate=0)
def test_hup_without_spin(b):
    """1 000 flows closed by both sides while the frame keeps its copies."""
    f = b.guest()
    srv, port = listener(backlog=1024)
    flows, conns = [], []
    for _ in range(1000):
        flows.append(f.granted(LO, port))
        conns.append(srv.accept()[0])
    for (_, s), c in zip(flows, conns):
        s.shutdown(socket.SHUT_WR)
        c.send(b"bye")
        c.close()
    b.settle()
    before = b.wakeups()
    assert b.busy(1) < 0.05, "spins on HUP"
    assert b.wakeups() - before < 10, "wakes up on HUP again and again"
    for ident, s in flows:
        s.close()
        f.close(ident)
    b.wait(lambda: len(b.of("flow.close")) == 1000)
    assert b.fds() == 14, b.fds()
    assert all(r.down == 3 for r in b.of("flow.close"))


@needs(rate=0)
def test_data_does_not_wake(b):
    f = b.guest()
    srv, port = listener()
    ident, s = f.granted(LO, port)
    conn = srv.accept()[0]
    b.settle()
    before = b.wakeups()
    end = time.monotonic() + 1
    while time.monotonic() < end:
        conn.send(b"x" * 100)
        with contextlib.suppress(BlockingIOError):
            s.recv(65536)
        time.sleep(0.001)
    assert b.wakeups() - before < 20, "wakes up for data"


@slow
def test_slow_but_alive(b):
    """PING is answered; nothing is ended in 12 s of reading nothing else."""
    f = b.guest()
    srv, port = listener()
    ident, s = f.granted(LO, port)
    f.silent(12)
    s.close()
    f.close(ident)


@slow
def test_hangs(b):
    f = b.guest()
    srv, port = listener()
    ident, s = f.granted(LO, port)
    b.wait(lambda: (ROLE_FRAME, 0) in b.kills, 40)
    assert b.one("flow.close").reason == "frame-died"
    b.died(ROLE_FRAME, 0, 9)


def test_stopped_and_continued(b):
    """^Z and fg: the kernel may resume the wait by restart_syscall(2)."""
    f = b.guest()
    os.kill(b.pid, signal.SIGSTOP)
    time.sleep(0.2)
    os.kill(b.pid, signal.SIGCONT)
    srv, port = listener()
    f.granted(LO, port)


@slow
@needs(rate=0)
def test_silent_because_not_read(b):
    """The log is far behind, so the guest is not read: its frame, which answers
    all that it is asked, is not ended for the silence."""
    f = b.guest()
    ident, s = f.granted(LO, 9, UDP)
    b.hold = True
    for _ in range(4200):
        f.close(f.open(LO, 9, UDP), HOW_CANCEL, "guest-cancel")
        b.pump()
    f.silent(25)
    assert not b.kills
    b.release()
    s.close()
    f.close(ident)
    b.one("flow.close", reason="done")


# ---- diagnostics, drops, the end --------------------------------------------------

def test_drops(b):
    f = b.guest()
    for _ in range(5):
        f.drops("spoofed-source", 7)
        f.drops("fragment", 1)

    def told(reason):
        return sum(r.n for r in b.of("deny.agg", reason=reason))
    b.wait(lambda: told("spoofed-source") >= 35 and told("fragment") >= 5)
    time.sleep(1.2)                     # for what it is not to say
    agg = b.of("deny.agg", reason="spoofed-source")
    assert told("spoofed-source") == 35 and len(agg) <= 2
    assert all(r.csrc == 2 for r in agg)
    assert told("fragment") == 5


def test_deny_spam(b):
    f = b.guest()
    for i in range(3000):
        f.open(f"192.0.2.{i % 50}", 1)
        f.recv()
    assert len(b.of("flow.deny")) == 10
    assert b.stop() == 0
    agg = b.of("deny.agg")
    assert sum(r.n for r in agg) == 2990
    assert agg[-1].g_dst == ("192.0.2.0", 1) and agg[-1].uniq == 50, agg
    assert agg[-1].bits == 24 and not agg[-1].least and not agg[-1].name
    assert agg[-1].ips == tuple(f"192.0.2.{i}" for i in range(50)), agg[-1].ips


def test_child_log(b):
    f = b.guest()
    r, w = os.pipe()
    b.keeper.send(head(K_CHILD_LOG) + struct.pack("<II", ROLE_FRAME, 0), [r])
    os.close(r)
    os.write(w, b"sallyport-frame: hello\nevil \x1b[2J\r\nhalf")
    for i in range(200):
        os.write(w, b"spam\n")
    os.close(w)
    log = ""

    def said():
        nonlocal log
        log += b.log_text()
        return "halfspam" in log
    b.wait(said)
    time.sleep(0.3)                     # for what it is not to say
    log += b.log_text()
    assert "frame 0: hello\n" in log, log
    assert "evil \\x1b[2J" in log and "\x1b" not in log
    assert log.count("spam\n") < 110


def test_child_log_flood(b):
    """Who writes without end is read at a pace: a megabyte would be a blink."""
    f = b.guest()
    r, w = os.pipe()
    b.keeper.send(head(K_CHILD_LOG) + struct.pack("<II", ROLE_FRAME, 0), [r])
    os.close(r)
    os.set_blocking(w, False)
    written, end = 0, time.monotonic() + 1
    while time.monotonic() < end:
        try:
            written += os.write(w, b"spam\n" * 800)
        except BlockingIOError:
            time.sleep(0.001)
    assert 200_000 < written < 1_000_000, written
    os.set_blocking(w, True)
    os.write(w, b"\nthe end\n")
    os.close(w)
    srv, port = listener()
    f.granted(LO, port)
    assert b.stop() == 0


def test_stop_with_flows(b):
    f = b.guest()
    srv, port = listener()
    ident, s = f.granted(LO, port)
    b.hold = True
    f.open(LO, port)
    b.wait(lambda: len(b.of("flow.open")) == 2)
    b.hold = False
    assert b.stop() == 0
    assert {r.reason for r in b.of("flow.close")} == {"shutdown"}
    assert [r.type for r in b.records[-2:]] == ["guest.detach", "daemon.stop"]


def test_stop_lets_the_last_bytes_out(b):
    f = b.guest()
    srv, port = listener()
    ident, s = f.granted(LO, port)
    conn = srv.accept()[0]
    b.keeper.send(head(K_STOP))
    time.sleep(0.2)
    assert b.alive()
    s.send(b"last")
    s.close()
    f.close(ident, HOW_FIN, "done")
    b.wait(lambda: b.summary is not None)
    os.waitpid(b.pid, 0)
    b.pid = None
    assert b.one("flow.close").reason == "done" and conn.recv(9) == b"last"


def test_keeper_gone(b):
    f = b.guest()
    srv, port = listener()
    ident, s = f.granted(LO, port)
    b.settle()
    rec = b.recorder
    b.keeper.close()
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        if select.select([rec.sock], [], [], 0.1)[0]:
            data, _ = rec.recv(0)
            if not data:
                break
            if struct.unpack_from("<I", data)[0] == R_WRITE:
                b.records.append(Record(data))
                b.durable()
            elif struct.unpack_from("<I", data)[0] == R_END:
                rec.close()
                break
    assert os.waitstatus_to_exitcode(os.waitpid(b.pid, 0)[1]) == 0
    b.pid = None
    assert [r.reason for r in b.records if r.type == "flow.close"] == \
        ["shutdown"]
    assert b.records[-1].type == "daemon.stop"


def test_two_guests(b):
    """One guest's flood and violation, the other's quiet flow."""
    quiet, loud = b.guest(0), b.guest(1)
    srv, port = listener()
    ident, s = quiet.granted(LO, port)
    for _ in range(500):
        loud.open("192.0.2.1", 1)
        loud.recv()
    loud.chan.send(b"nonsense" * 8)
    b.violation(loud, "unknown-type")
    quiet.granted(LO, port)
    assert {r.guest for r in b.of("flow.open")} == {"guest0"}
    assert not b.of("flow.close")


if __name__ == "__main__":
    sys.exit(main(named(globals()), bench))
