#!/usr/bin/python3
"""What a guest is charged for beyond its flows: the kernel's memory that its
sockets hold, living or over; and what it adds to the audit log.

usage: charge.py [-a] [TEST...]     (BROKER=program; default ./broker-double)
"""

import sys

sys.dont_write_bytecode = True
from broker import *  # noqa: E402

BLOCK = b"z" * 65536
SO_MEMINFO, RMEM, WMEM = 55, 0, 5


def fill(s):
    """How many bytes a socket takes until it takes no more."""
    sent = 0
    s.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += s.send(BLOCK)
    return sent


def held(s):
    """(received and not read, queued) bytes of kernel memory."""
    info = struct.unpack("9I", s.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))
    return info[RMEM], info[WMEM]


def connected(f, srv, port):
    ident, s = f.granted(LO, port)
    return ident, s, srv.accept()[0]


def until_refused(b, f, srv, port, use):
    """Flows, each used like this, until the next is refused. They come slowly enough
    for the broker, which looks twice a second, to see it in time."""
    flows = []
    while len(flows) < 120:
        ident = f.open(LO, port)
        kind, got, code, fd = f.recv()
        assert got == ident
        if kind == DENY:
            b.settle()
            assert b.of("flow.deny")[-1].reason == "kernel-memory"
            told_once(b)
            assert not b.of("flow.close", reason="kernel-memory")
            return flows
        f.ack(ident)
        s = socket.socket(fileno=fd)
        conn = srv.accept()[0]
        flows.append((ident, s, conn, use((ident, s, conn))))
        time.sleep(0.1)
    raise AssertionError("never refused")


def refused(b, f, port, why="kernel-memory"):
    """The next OPEN is denied for it, once it has been looked at."""
    end = time.monotonic() + 4
    while time.monotonic() < end:
        ident = f.open(LO, port)
        kind, got, code, fd = f.recv()
        if kind == DENY:
            assert (got, code) == (ident, RESET)
            b.settle()
            assert b.of("flow.deny")[-1].reason == why
            return
        f.ack(ident)
        os.close(fd)
        f.close(ident, HOW_RST, "guest-rst")
        time.sleep(0.1)
    raise AssertionError("never refused")


def admitted(b, f, srv, port):
    """There is room again, within two looks."""
    end = time.monotonic() + 4
    while time.monotonic() < end:
        ident = f.open(LO, port)
        kind, _, _, fd = f.recv()
        if kind == GRANT:
            f.ack(ident)
            os.close(fd)
            f.close(ident, HOW_RST, "guest-rst")
            return
        time.sleep(0.1)
    raise AssertionError("refused for ever")


def told_once(b, why="kernel-memory"):
    assert [r.detail for r in b.of("limit")] == [why], b.of("limit")


def test_waiting_is_little(b):
    """A peer that does not read costs a part of a megabyte, not all that the
    kernel's tuning would give: 300 such flows were 1.1 GB on loopback."""
    f = b.guest()
    srv, port = listener()
    ident, s, conn = connected(f, srv, port)
    fill(s)
    assert held(s)[1] < 400 << 10, held(s)


@needs(kernel_memory=16384)
def test_peers_that_do_not_read(b):
    f = b.guest()
    srv, port = listener()
    flows = until_refused(b, f, srv, port, lambda flow: fill(flow[1]))
    assert len(flows) > 30, len(flows)
    _, s, conn, sent = flows[0]            # those that live go on, unharmed
    got = 0
    conn.settimeout(5)
    while got < sent:
        got += len(conn.recv(1 << 20))
    assert s.send(b"more") == 4 and conn.recv(9) == b"more"
    for _, _, conn, _ in flows[1:12]:
        conn.setblocking(False)
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                conn.recv(1 << 20)
    admitted(b, f, srv, port)


@needs(kernel_memory=4096)
def test_guest_that_does_not_read(b):
    f = b.guest()
    srv, port = listener()
    flows = [connected(f, srv, port) for _ in range(32)]
    for _, _, conn in flows:
        fill(conn)                          # 112 KiB each, and 127 in the end
    refused(b, f, port)
    assert sum(held(s)[1] for _, s, _ in flows) < 1 << 16


@needs(kernel_memory=4096)
def test_datagrams_that_are_not_read(b):
    f = b.guest()
    srv = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    srv.bind((LO, 0))
    flows = [f.granted(LO, srv.getsockname()[1], UDP) for _ in range(18)]
    for _, s in flows:
        for _ in range(300):
            srv.sendto(b"z" * 1400, s.getsockname())
    assert 7 << 19 < sum(held(s)[0] for _, s in flows) < 4 << 20
    tcp, port = listener()
    refused(b, f, port)


@needs(kernel_memory=1024)
def test_the_largest_goes(b):
    """Beyond the limit the fewest flows are taken back that bring it within."""
    f = b.guest()
    srv, port = listener()
    flows = {i: (s, c) for i, s, c in
             (connected(f, srv, port) for _ in range(8))}
    ids = list(flows)
    for i in ids[2:6]:                      # 4 * 300 KiB, more or less
        fill(flows[i][0])
        time.sleep(0.02)
        fill(flows[i][0])
    flows[ids[1]][0].send(bytes(20000))
    kind, ident, _, _ = f.recv(4)
    assert kind == REVOKE and ident in ids[2:6], (kind, ident)
    flows[ident][0].close()
    f.close(ident, HOW_RST, "killed")
    f.silent(1.2)
    closed = b.one("flow.close")
    assert closed.reason == "kernel-memory" and closed.up > 100000, vars(closed)
    told_once(b)
    assert eof_or_reset(flows[ident][1]) == "reset"
    for i in ids[:2] + ids[6:]:
        s, conn = flows[i]
        assert s.send(b"still") == 5
    assert flows[ids[0]][1].recv(9) == b"still"


@needs(kernel_memory=1024)
def test_many_at_once(b):
    """Hundreds of flows to choose from, none of them large."""
    f = b.guest()
    srv, port = listener()
    flows = {i: (s, c) for i, s, c in
             (connected(f, srv, port) for _ in range(300))}
    for _, conn in flows.values():
        conn.send(bytes(9000))
    kind, ident, _, _ = f.recv(4)
    while kind == REVOKE:
        flows.pop(ident)[0].close()
        f.close(ident, HOW_RST, "killed")
        kind, ident, _, _ = f.recv(1.2)
    assert kind is None, kind
    assert 20 < len(flows) < 280, len(flows)
    assert len(b.of("flow.close", reason="kernel-memory")) == 300 - len(flows)


@needs(kernel_memory=1024)
def test_frame_that_does_not_give_it_back(b):
    f = b.guest()
    srv, port = listener()
    flows = [connected(f, srv, port) for _ in range(6)]
    for _, s, _ in flows:
        fill(s)
    f.expect(REVOKE, timeout=4)
    b.wait(lambda: (ROLE_FRAME, 0) in b.kills)
    assert "revoke-ignored" in {r.reason for r in b.of("flow.close")}


def over(f, flow):
    """The flow's end in order, with its queue full. How much was sent."""
    ident, s, conn = flow
    conn.shutdown(socket.SHUT_WR)
    sent = fill(s)
    s.shutdown(socket.SHUT_WR)
    s.close()
    f.close(ident, HOW_FIN, "done")
    return sent


@needs(kernel_memory=16384)
def test_over_and_not_taken(b):
    """A flow that is over is charged until its peer has taken the rest, and the
    peer gets all of it."""
    f = b.guest()
    srv, port = listener()
    base = b.fds()
    flows = until_refused(b, f, srv, port, lambda flow: over(f, flow))
    assert len(flows) > 30 and b.fds() >= base + len(flows)
    sent = [flow[3] for flow in flows]
    assert [r.up for r in b.of("flow.close", reason="done")] == sent
    for (_, _, conn, n) in flows:
        got = 0
        conn.settimeout(5)
        while chunk := conn.recv(1 << 20):
            got += len(chunk)
        assert got == n, (got, n)
    admitted(b, f, srv, port)
    b.wait(lambda: b.fds() <= base + 1)


@needs(kernel_memory=16384)
def test_over_and_hung_up(b):
    """Hanging up is no new memory: what the last link has left is the name's, until
    its peers have taken it. They get all of it."""
    f = b.guest()
    srv, port = listener()
    base = b.fds()
    flows = until_refused(b, f, srv, port, lambda flow: over(f, flow))
    b.hang_up(f)
    f = b.guest()
    assert f.expect(DENY, f.open(LO, port)) == RESET
    b.settle()
    assert b.of("flow.deny")[-1].reason == "kernel-memory"
    assert b.fds() >= base + len(flows)
    for (_, _, conn, n) in flows:
        got = 0
        conn.settimeout(5)
        while chunk := conn.recv(1 << 20):
            got += len(chunk)
        assert got == n, (got, n)
    admitted(b, f, srv, port)
    b.wait(lambda: b.fds() <= base + 1)


@needs(kernel_memory=1024)
def test_over_and_too_much(b):
    """Flows that are over go first, the oldest at once: none that lives is hurt."""
    f = b.guest()
    srv, port = listener()
    living = connected(f, srv, port)
    flows = [connected(f, srv, port) for _ in range(5)]
    for flow in flows:
        over(f, flow)
    fill(living[1])
    f.silent(1.2)
    ends = []
    for _, _, conn in flows:
        ends.append(eof_or_reset(conn))
    assert ends == sorted(ends, reverse=True) and ends[0] == "reset" and \
        ends[-1] == "fin", ends
    assert not b.of("flow.close", reason="kernel-memory")


def test_over_and_kept(b):
    """A copy that a frame keeps of such a flow sends nothing, and is found."""
    f = b.guest()
    srv, port = listener()
    ident, s, conn = connected(f, srv, port)
    conn.shutdown(socket.SHUT_WR)
    sent = fill(s)
    f.close(ident, HOW_FIN, "done")
    b.one("flow.close")
    with contextlib.suppress(OSError):
        s.send(b"more")
        raise AssertionError("it still sends")
    conn.settimeout(5)
    got = 0
    while chunk := conn.recv(1 << 20):
        got += len(chunk)
    assert got == sent, (got, sent)
    b.violation(f, "kept-copy")


def test_over_at_the_end(b):
    """Whoever stops us does not take the last bytes from the peer."""
    f = b.guest()
    srv, port = listener()
    flow = connected(f, srv, port)
    sent = over(f, flow)
    b.settle()
    assert b.stop() == 0
    flow[2].settimeout(5)
    got = 0
    while chunk := flow[2].recv(1 << 20):
        got += len(chunk)
    assert got == sent, (got, sent)


# ---- the volume of the log ---------------------------------------------------------

def closed_port():
    """(a socket that keeps it, a port that refuses)."""
    s = socket.socket()
    s.bind((LO, 0))
    return s, s.getsockname()[1]


def told(b, kind, **fields):
    return sum(r.n for r in b.of(kind, **fields))


def hammer(b, f, ports, code=RESET):
    """OPENs that all come to nothing."""
    for port in ports:
        ident = f.open(LO, port)
        assert f.expect(DENY, ident) == code


def ended(b):
    """All records, the last sums among them."""
    assert b.stop() == 0
    return b.records


def test_failed_connects_are_counted(b):
    """A refused connect was two lines, 1.2 KB; now the first ten of a kind are."""
    f = b.guest()
    keep, port = closed_port()
    hammer(b, f, [port] * 1000)
    ended(b)
    assert len(b.of("flow.open")) == len(b.of("flow.close")) == 10
    assert {r.reason for r in b.of("flow.close")} == {"connect-refused"}
    assert told(b, "fail.agg", reason="connect-refused") == 990
    agg = b.of("fail.agg")[0]
    assert (agg.g_dst, agg.proto, agg.verdict) == (("127.0.0.0", port), TCP, 1)
    assert agg.uniq == 1 and agg.first <= agg.last
    assert not b.of("flow.deny") and not b.of("deny.agg") and not b.of("limit")


def test_a_kind_that_fails_and_then_works(b):
    """Its record follows the connect, and still comes before the grant."""
    f = b.guest()
    keep, port = closed_port()
    hammer(b, f, [port] * 20)
    keep.listen(5)
    b.hold = True
    ident = f.open(LO, port)
    f.silent(0.3)
    assert len(b.of("flow.open")) == 11
    b.release()
    s = socket.socket(fileno=f.expect(GRANT, ident))
    f.ack(ident)
    assert s.send(b"x") == 1
    s.close()
    f.close(ident)
    assert b.of("flow.close")[-1].reason == "done"


def test_gone_while_it_connects(b):
    """The guest gives up on a hot kind: counted, under that reason."""
    f = b.guest()
    srv, port = listener(backlog=0)
    fillers = []
    for _ in range(4):                      # the backlog is full: no answer
        c = socket.socket()
        c.setblocking(False)
        c.connect_ex((LO, port))
        fillers.append(c)
    time.sleep(0.1)
    for _ in range(40):
        ident = f.open(LO, port)
        f.silent(0.02)
        f.close(ident, HOW_CANCEL, "guest-cancel")
    ended(b)
    full = b.of("flow.close", reason="guest-cancel")
    assert len(full) == 10 == len(b.of("flow.open"))
    assert told(b, "fail.agg", reason="guest-cancel") == 30


@needs(durable=BEFORE_CONNECT)
def test_before_connect_has_each_line(b):
    f = b.guest()
    keep, port = closed_port()
    hammer(b, f, [port] * 30)
    ended(b)
    assert len(b.of("flow.open")) == len(b.of("flow.close")) == 30
    assert not b.of("fail.agg")


SMALL = dict(audit_rate=1, audit_burst=64, rate=100000, burst=100000)


@needs(**SMALL)
def test_spam_takes_the_upper_half(b):
    """A scan of ports, each a kind of its own, denied or refused: its lines are
    bounded, nothing is lost, and flows still go."""
    f = b.guest()
    srv, port = listener()
    begun = time.monotonic()
    for p in range(1001, 2501):
        ident = f.open("169.254.169.254", p)
        assert f.expect(DENY, ident) == RESET
    lines = len(b.records)
    assert lines < 120 + 3 * (time.monotonic() - begun), lines
    keep = [closed_port() for _ in range(50)]
    hammer(b, f, [p for _, p in keep] * 2)
    assert len(b.records) - lines < 20 + 3 * (time.monotonic() - begun)
    ident, s = f.granted(LO, port)
    s.close()
    f.close(ident)
    ended(b)
    assert [r.detail for r in b.of("limit")] == ["audit-rate"]
    assert len(b.of("flow.deny")) + told(b, "deny.agg") == 1500
    assert len(b.of("flow.close", reason="connect-refused")) + \
        told(b, "fail.agg") == 100
    assert {r.detail for r in b.of("fail.agg")} == {"other"}


@needs(**SMALL)
def test_sums_are_bounded(b):
    """A thousand kinds that are known, each hit again and again."""
    f = b.guest()
    for _ in range(6):
        for p in range(1001, 1901):
            ident = f.open("169.254.169.254", p)
            assert f.expect(DENY, ident) == RESET
    b.keeper.send(head(K_STOP))
    begun = len(b.records)
    ended(b)
    sums = b.of("deny.agg")
    assert len(sums) < 120, len(sums)
    assert len(b.of("flow.deny")) + sum(r.n for r in sums) == 5400


@needs(**SMALL)
def test_all_used_up(b):
    """Flows that cannot have their lines are refused, and that is told in a sum."""
    f = b.guest()
    srv, port = listener()
    granted = 0
    for _ in range(300):
        ident = f.open(LO, port)
        kind, got, code, fd = f.recv()
        assert got == ident
        if kind == DENY:
            assert code == RESET
            continue
        granted += 1
        os.close(fd)
        f.ack(ident)
        f.close(ident)
        srv.accept()[0].close()
    assert 30 < granted < 120, granted
    ended(b)
    assert len(b.of("flow.open")) == len(b.of("flow.close")) == granted
    denied = b.of("flow.deny")
    assert not denied, denied
    assert told(b, "deny.agg", reason="audit-rate") == 300 - granted
    assert [r.detail for r in b.of("limit")] == ["audit-rate"]


@needs(**SMALL)
def test_it_comes_back(b):
    """A second's worth is there after a second (or two), and it is the name's: a
    new link does not bring it sooner."""
    f = b.guest()
    srv, port = listener()

    def use_up():
        for n in range(200):
            ident = f.open(LO, port)
            kind, _, _, fd = f.recv()
            if kind == DENY:
                return n
            f.ack(ident)
            os.close(fd)
            f.close(ident)
            srv.accept()[0].close()
        raise AssertionError("no end")

    assert use_up() > 30
    b.died(ROLE_FRAME, 0, 0, 3)             # its link is gone
    f = b.guest()
    assert use_up() <= 2
    time.sleep(3)
    assert 1 <= use_up() <= 4


@needs(**SMALL)
def test_links_that_come_and_go(b):
    """Each link has two lines. Who has used up its rate has the next link when there
    is something of it again."""
    links, begun, last = 0, time.monotonic(), 0
    while time.monotonic() < begun + 8:
        b.hang_up(b.guest())
        links += 1
        last = time.monotonic() - begun
    assert len(b.of("guest.attach")) == len(b.of("guest.detach")) == links
    # 64 KiB, and 1 KiB for each second: a line is charged with a half of that
    assert 60 < links < 64 * 2.6 + 8 * 3, links
    assert last > 6, last           # nobody is locked out
    assert [r.detail for r in b.of("limit")] == ["audit-rate"]


@needs(**SMALL)
def test_put_off_and_ended(b):
    """The end does not wait for a frame that waits, and such a guest is in the log."""
    for _ in range(500):
        b.hang_up(b.guest())
        if b.of("limit"):
            break
    b.link()
    b.settle()
    assert (ROLE_FRAME, 0) not in b.spawned
    begun = time.monotonic()
    assert b.stop() == 0
    assert time.monotonic() - begun < 3
    assert b.of("guest.detach")[-1].reason == "shutdown"


if __name__ == "__main__":
    sys.exit(main([(name[5:], fn) for name, fn in list(globals().items())
                   if name.startswith("test_") and
                   fn.__module__ == "__main__"], bench))
