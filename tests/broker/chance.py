#!/usr/bin/python3
"""Four guests, their frames, the recorder, the resolver and the inspector do what they
may at random, hang up, die and come again. Whatever the order: the broker lives, each
dial, open and question has its one end (Bench.check_log), and when all is quiet again
each guest, by its old name, has what it had at first.

usage: chance.py [TEST...]     (BROKER=program; default ./broker-double; SEED=n)
"""

import random
import sys

sys.dont_write_bytecode = True
from names import *  # noqa: E402
from names import bench as names_bench

GUESTS, TURNS = 4, 4000
NAMES = ("plain.test", "a.test", "b.test", "deny.example", "x.wild.test")


def bench(stack, **kw):
    return names_bench(stack, **kw)


def waiting(chan):
    return chan.sock.fileno() != -1 and \
        select.select([chan.sock], [], [], 0)[0]


def parse(data):
    return struct.unpack_from("<IIQ", data)


class Play:
    """Who is there: slot -> its frame, or None where one is to be started."""

    def __init__(self, b, seed):
        self.b, self.rng, self.frames = b, random.Random(seed), {}
        self.srv, self.port = listener()
        self.named, self.named_port = listener(NAMED_NET)
        for s in self.srv, self.named:
            s.setblocking(False)
        self.conns, self.asked, self.flights = [], [], []
        self.granted = 0

    def maybe(self, part):
        return self.rng.random() < part

    # ---- what the broker wants

    def spawn(self, role, slot):
        if role == ROLE_FRAME:
            self.b.spawned.remove((role, slot))
            if self.maybe(0.05):
                self.b.died(role, slot, pid=0, err=errno.EAGAIN)
            elif self.frames.get(slot, 0) is None:
                f = Frame(self.b, self.b.child(role, slot), slot)
                f.socks, f.peeks, f.last_open = {}, [], None
                self.frames[slot] = f
                f.hello()
        elif role == ROLE_RECORDER and self.b.recorder is None:
            self.b.spawned.remove((role, slot))
            self.b.start_recorder()
        elif role == ROLE_RESOLVER:
            self.b.res = self.b.resolver()
        elif role == ROLE_INSPECTOR:
            self.b.ins = self.b.inspector()

    def told(self, f):
        data, fd = f.chan.recv(0)
        if not data:
            return self.gone(f, 9)
        kind, _, ident = parse(data)
        if kind == PING:
            f.chan.send(head(PONG))
        elif kind == GRANT:
            self.granted += 1
            f.socks[ident] = socket.socket(fileno=fd)
            f.ack(ident)
        elif kind == PEEK:
            f.peeks.append(ident)
        elif kind == REVOKE and ident in f.socks:
            f.socks.pop(ident).close()
            f.close(ident, HOW_RST, "killed")
        return None

    def helpers(self):
        while waiting(self.b.res.chan):
            data, _ = self.b.res.chan.recv(0)
            if not data:
                break
            if parse(data)[0] == R_ASK:
                self.asked.append(parse(data)[2])
        while waiting(self.b.ins.chan):
            data, _ = self.b.ins.chan.recv(0)
            if not data:
                break
            number = parse(data)[2]
            self.b.ins.kinds[number], = struct.unpack_from("<I", data, 16)
            self.flights.append(number)

    def serve(self):
        self.b.pump(0)
        for role, slot in list(self.b.spawned):
            self.spawn(role, slot)
        for f in list(self.frames.values()):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                while f and self.frames.get(f.slot) is f and waiting(f.chan):
                    self.told(f)
        self.helpers()
        for s in self.srv, self.named:
            with contextlib.suppress(BlockingIOError):
                while True:
                    self.conns.append(s.accept()[0])

    # ---- what they do

    def gone(self, f, sig=0, status=0, first=False):
        """Its death overtakes its end of file, or follows it."""
        for s in f.socks.values():
            s.close()
        if not first:
            f.chan.close()
        self.b.died(ROLE_FRAME, f.slot, sig, status)
        if first:
            f.chan.close()
        if sig:
            self.frames[f.slot] = None      # the link is there still
        else:
            del self.frames[f.slot]

    def over(self, f):
        if not f.socks:
            return
        ident = self.rng.choice(list(f.socks))
        if self.maybe(0.3):
            with contextlib.suppress(OSError):
                f.socks[ident].send(bytes(self.rng.choice((10, 65536, 400000))))
            return
        f.socks.pop(ident).close()
        f.close(ident, *self.rng.choice(((HOW_FIN, "done"),
                                         (HOW_RST, "guest-rst"))),
                up=self.rng.randrange(1 << 64))

    def look(self, f):
        if not f.peeks:
            return
        ident = f.peeks.pop()
        if self.maybe(0.3):
            f.mute(ident)
        else:
            f.flight(ident, bytes(self.rng.randrange(1, 300)))

    def guest_turn(self, f):
        what = self.rng.random()
        if what < 0.40:
            f.last_open = f.open(*self.rng.choice((
                (LO, self.port), (LO, self.port), (LO, 1), (LO, 4),
                (NAMED_NET, self.named_port))))
        elif what < 0.60:
            f.resolve(self.rng.choice((*NAMES, f"y{self.rng.randrange(30)}"
                                       ".wild.test")),
                      self.rng.choice((A, AAAA, 15)))
        elif what < 0.70:
            self.look(f)
        elif what < 0.90:
            self.over(f)
        elif what < 0.93 and f.last_open and f.last_open not in f.socks:
            f.close(f.last_open, HOW_CANCEL, "guest-cancel")
            f.last_open = None
        elif what < 0.95:
            f.drops("dns-budget", self.rng.choice((1, (1 << 64) - 1)))
        elif what < 0.96:
            self.gone(f, *self.rng.choice(((0, 3), (0, 3), (11, 0))),
                      first=self.maybe(0.5))
        elif what < 0.961:
            f.ack(1 << 40)                  # a violation

    def world_turn(self):
        b, what = self.b, self.rng.random()
        if what < 0.5 and self.asked:
            b.res.answer(self.asked.pop(self.rng.randrange(len(self.asked))),
                         self.rng.choice(((LO,), (NAMED_NET,), (),
                                          ("10.0.0.1",), (LO, NAMED_NET))),
                         ttl=self.rng.choice((0, 1, 300)))
        elif what < 0.8 and self.flights:
            b.ins.result(self.flights.pop(), self.rng.choice(
                ("plain.test", "x.wild.test", "a.test", "")))
        elif what < 0.95 and self.conns:
            self.conns.pop(self.rng.randrange(len(self.conns))).close()
        elif what < 0.96 and b.recorder:
            b.hold = not b.hold
            if not b.hold:
                b.durable()
        elif what < 0.965 and b.recorder and not b.hold:
            b.ack(R_FAILED, b.acked, errno.ENOSPC)
            b.settle(0.01)
            b.ack(R_RECOVERED, b.acked)
        elif what < 0.968 and b.recorder:
            b.hold = False
            b.kill_recorder()
        elif what < 0.970 and b.res.chan.sock.fileno() != -1:
            self.asked.clear()
            b.res.gone()
        elif what < 0.972 and b.ins.chan.sock.fileno() != -1:
            self.flights.clear()
            b.ins.gone()

    def turn(self):
        self.serve()
        slot = self.rng.randrange(GUESTS)
        f = self.frames.get(slot, 0)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if f == 0:
                self.frames[slot] = None
                self.b.link(slot)
            elif f is not None:
                self.guest_turn(f)
            self.world_turn()

    # ---- and then

    def until(self, what, seconds=20):
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, self.b.log_text()[-2000:]
            self.serve()
            time.sleep(0.005)

    def recovers(self, slot):
        """Nothing of what it was charged with is left for ever."""
        def tried():
            f, before = self.frames.get(slot), self.granted
            if not f:
                return False
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                f.open(LO, self.port)
                time.sleep(0.1)
                self.serve()
            return self.granted > before
        if slot not in self.frames:
            self.frames[slot] = None
            self.b.link(slot)
        self.until(tried)


def play(b, seed):
    b.res, b.ins = b.resolver(), b.inspector()
    p = Play(b, int(os.environ.get("SEED", seed)))
    for _ in range(TURNS):
        p.turn()
    assert p.granted > 20, p.granted
    b.hold = False
    p.until(lambda: b.recorder)
    b.durable()
    for s in p.conns:
        s.close()
    for slot in range(GUESTS):
        if p.frames.get(slot):
            p.gone(p.frames[slot], status=3)
    for slot in range(GUESTS):
        p.recovers(slot)
    assert b.stop() == 0


def test_usual_limits(b):
    play(b, 1)


@needs(conns=20, pending=6, pending_dst=3, rate=200, burst=50)
def test_few_flows(b):
    play(b, 2)


@needs(audit_rate=4, audit_burst=64)
def test_little_log(b):
    play(b, 3)


@needs(kernel_memory=1024, conns=64)
def test_little_memory(b):
    play(b, 4)


@needs(dns_rate=50, dns_burst=20, names=10, names_per=2, durable=BEFORE_CONNECT)
def test_few_questions(b):
    play(b, 5)


if __name__ == "__main__":
    sys.exit(main([(n, f) for n, f in named(globals())
                   if f.__module__ == "__main__"], bench))
