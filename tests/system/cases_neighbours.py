"""Neighbours: what one guest, or a client of its link, leaves or uses up does not
hang another."""
import contextlib
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import time

import audit
import gateway
import lab
import packets as p
import servers
import stream
from cases_stream import works
from trial import Failure, case


# ---- descriptors that a stranger left ------------------------------------------------

class Slow:
    """A connection whose close(2) takes an hour: its peer does not read."""

    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.sock = socket.create_connection(server.getsockname())
            self.peer, _ = server.accept()
        self.sock.setblocking(False)
        try:
            while self.sock.send(b"x" * 65536):
                pass
        except BlockingIOError:
            pass
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 3600))

    def leave_with(self, client):
        """In the client's queue, as the last copy. False: the kernel does not let us
        (Linux 6.16, SO_PASSRIGHTS), or it was turned away already."""
        try:
            socket.send_fds(client, [b"?"], [self.sock.fileno()])
            return True
        except OSError:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 struct.pack("ii", 1, 0))
            return False
        finally:
            self.sock.close()


@case(quick=True, gateways=("sallyport",))
def stream_strangers(t):
    """Clients that leave such a connection in the link's queue, one that is served
    and some that are turned away: the guest, and the next client, notice nothing."""
    server = t.serve(servers.echo)
    with stream.serve(t) as link:
        guest = t.keep(link.attach())
        works(t, guest, server)
        slow = [Slow() for _ in range(6)]
        for one in slow[1:]:
            with socket.socket(socket.AF_UNIX) as second:
                second.connect(link.sock)
                one.leave_with(second)
        begun = time.monotonic()
        with socket.socket(socket.AF_UNIX) as second:
            second.settimeout(2)
            second.connect(link.sock)
            t.equal(second.recv(1), b"", "a further client is turned away")
        works(t, guest, server)
        took = time.monotonic() - begun
        t.check(took < 1, f"turned away, and a round trip, after {took:.1f} s")
        guest.raw(bytes(4))             # ends its frame, and the rest is not read
        left = slow[0].leave_with(guest.sock)
        guest.close()
        begun = time.monotonic()
        works(t, t.keep(link.attach()), server)
        took = time.monotonic() - begun
        t.check(took < 1.5, f"the next client is served after {took:.1f} s")
        t.note("left in the queue" if left else "not taken")


@case(quick=True, gateways=("sallyport",))
def stream_reconnects(t):
    """A client that hangs up and comes again is the same guest: 20 links are no 20
    times the rate."""
    server = t.serve(servers.echo)
    head = "limits few { rate 5/s burst 5 }\n"
    policy = gateway.policy_text(head=head, tenant="limits few\n")
    with stream.serve(t, policy=policy) as link:
        begun = time.monotonic()
        for _ in range(20):
            guest = t.keep(link.attach())
            for _ in range(5):
                peer = guest.open(lab.LIVE4, server.port)
                peer.segment(p.SYN, options=peer.options)
            peer.next(1)
            guest.close()
        took = time.monotonic() - begun
    opened = len(t.records("flow.open"))
    t.check(5 <= opened <= 5 + 5 * took + 1, f"{opened} flows in {took:.1f} s")
    t.note(f"{opened} flows in {took:.1f} s")


# ---- what all processes of one user share ----------------------------------------------

# A line in, a line out: "dial HOST PORT" makes a connection and keeps it, "use N"
# sends a byte on the Nth and gets it back, "end N" closes it.
AGENT = """
import socket, sys, time
kept = []
for line in sys.stdin:
    what, *args = line.split()
    begun, said = time.monotonic(), "ok"
    try:
        if what == "dial":
            s = socket.create_connection((args[0], int(args[1])), 10)
            kept.append(s)
        s = kept[int(args[0])] if what != "dial" else s
        if what == "end":
            s.close()
        else:
            s.settimeout(10)
            s.sendall(b"x")
            said = "ok" if s.recv(1) == b"x" else "closed"
    except OSError as error:
        said = type(error).__name__
    print(said, time.monotonic() - begun, flush=True)
"""

# They hold what they get until their stdin ends, what becomes free meanwhile too,
# and tell how much it was at first.
KEEP = """
import array, errno, os, select, socket, sys
kept, n, told = [], 0, False
while not select.select([0], [], [], 0.02 if told else 0)[0]:
    try:
        while True:
            n += more()
    except OSError as error:
        if not told:
            print(errno.errorcode[error.errno], n, flush=True)
        told = True
"""
IN_FLIGHT = """
fds = None
def more():
    global fds
    fds = fds or array.array("i", [0] * 250)
    while True:
        if kept:
            try:
                return 250 * bool(kept[-1][0].sendmsg([b"x"], [(
                    socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]))
            except BlockingIOError:
                pass
        kept.append(socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
        kept[-1][0].setblocking(False)
""" + KEEP
WATCHES = """
fds = []
def more():
    if n % 500 == 0:
        kept.append(select.epoll())
    while len(fds) < 500:
        fds.append(os.eventfd(0))
    kept[-1].register(fds[n % 500], 0)
    return 1
""" + KEEP
PROCESSES = """
import os, sys
pids = []
for _ in range(int(sys.argv[1])):
    pids.append(os.fork())
    if pids[-1] == 0:
        os.read(0, 1)
        os._exit(0)
print("held", len(pids), flush=True)
sys.stdin.read()
"""
USED, OTHER = lab.USER_ID, lab.USER_ID + 1
NOFILE = 4096                           # hard, of everybody here


def as_uid(uid, *command, nproc=None):
    limits = ["prlimit", f"--nofile=1024:{NOFILE}"]
    if nproc:                           # or there would be no exec(2)
        command = ["prlimit", f"--nproc={nproc}:{nproc}", *command]
    if uid == 0:
        return [*limits, *command]
    return [*limits, "setpriv", f"--reuid={uid}", f"--regid={uid}",
            "--clear-groups", "--", *command]


class Guest:
    """`sallyport run` of a user with AGENT in it."""

    def __init__(self, t, uid, name, nproc=None):
        self.path = os.path.join(t.lab.scratch, name)
        os.mkdir(self.path, 0o700)
        policy = os.path.join(self.path, "policy.conf")
        with open(policy, "w", encoding="ascii") as file:
            file.write(gateway.policy_text())
        for path in (self.path, policy):
            os.chown(path, uid, uid)
        self.log = os.path.join(self.path, "log")
        self.stderr = open(os.path.join(self.path, "stderr"), "w+b")
        self.process = subprocess.Popen(
            as_uid(uid, os.path.join(t.bindir, "sallyport"), "run", "-q", "-p",
                   policy, "--audit", self.log, "--", "python3", "-I", "-S",
                   "-c", AGENT, nproc=nproc),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr,
            cwd=self.path, env={"PATH": os.environ["PATH"],
                                "HOME": self.path}, text=True)

    def do(self, *what):
        """How it went, and after how many seconds."""
        with contextlib.suppress(BrokenPipeError):
            print(*what, file=self.process.stdin, flush=True)
        said = self.process.stdout.readline().split()
        if not said:
            raise Failure(f"the guest is gone: {self.said()}")
        return said[0], float(said[1])

    def said(self):
        self.stderr.flush()
        with open(self.stderr.name, encoding="utf-8") as file:
            return file.read()

    def end(self):
        self.process.stdin.close()
        status = self.process.wait(20)
        return status, audit.read(self.log)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self.stderr):
            file.close()
        shutil.rmtree(self.path, ignore_errors=True)


class Hoard:
    """A program of a user's that uses up one of his accounts."""

    def __init__(self, t, uid, script, *args):
        self.process = t.keep(self) and subprocess.Popen(
            as_uid(uid, "prlimit", f"--nofile={NOFILE}:{NOFILE}", "python3",
                   "-I", "-S", "-c", script, *args), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.why, self.held = self.process.stdout.readline().split()

    process = None

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.stdout.close()
            self.process.wait(20)
            self.process = None


def guests(t):
    """Two of the user whose account is used up, one of another, one of root's."""
    if not t.lab.user:
        t.skip("where root's guests are, there is no user's tun")
    return [t.keep(Guest(t, uid, name)) for uid, name in (
        (USED, "one"), (USED, "two"), (OTHER, "other"), (0, "roots"))]


def dials(t, guest, server, what):
    said, took = guest.do("dial", lab.LIVE4, server.port)
    t.equal(said, "ok", f"{what} ({guest.said()!r})")
    t.check(took < 3, f"{what}: after {took:.1f} s")


def used_up(t, script, why, words):
    """The account is used up: those who share it are refused at once, and what they
    have goes on; the others do not notice; afterwards all is as before."""
    server = t.serve(servers.echo)
    one, two, other, roots = all_four = guests(t)
    for guest in all_four:
        dials(t, guest, server, "at first")
    hoard = Hoard(t, USED, script)
    t.equal(hoard.why, why)
    t.note(f"{hoard.held} held")
    for guest in (one, two):
        for _ in range(3):
            said, took = guest.do("dial", lab.LIVE4, server.port)
            t.equal(said, "ConnectionRefusedError", guest.said())
            t.check(took < 4, f"refused after {took:.1f} s")
        t.equal(guest.do("use", 0)[0], "ok", "what it had")
    for guest in (other, roots):
        for _ in range(3):
            dials(t, guest, server, "another user's")
    t.equal(one.do("end", 0)[0], "ok")
    hoard.close()
    for guest in all_four:
        dials(t, guest, server, "afterwards")
        ended, records = guest.end()
        shared = guest in (one, two)
        t.equal(ended, 0, guest.said())
        t.equal(guest.said().count(words), shared, guest.said())
        closed = [r for r in records if r["type"] == "flow.close"]
        reasons = [r["reason"] for r in closed]
        t.equal(reasons.count("resource"), 3 if shared else 0, f"{reasons}")
        for r in closed:
            if r["reason"] == "resource":
                t.equal((r["up"], r["down"]), (0, 0), "of a refused one")
        if shared:
            t.equal([(r["up"], r["down"]) for r in closed if r["flow"] == 1],
                    [(2, 2)], "of the one that went on")


@case(root=True, gateways=("sallyport",), timeout=120)
def neighbours_in_flight(t):
    """File descriptors in flight: RLIMIT_NOFILE of all that a user's programs sent."""
    used_up(t, IN_FLIGHT, "ETOOMANYREFS", "in flight")


@contextlib.contextmanager
def fewer_watches(t, most=40000):
    """fs.epoll.max_user_watches is the whole host's: lowered, by one at a time, to
    what nobody else comes near, and put back."""
    path = "/proc/sys/fs/epoll/max_user_watches"
    with open(path, "r+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        before = int(file.read())
        if before > most:
            try:
                file.seek(0)
                file.write(str(most))
                file.flush()
            except OSError:
                t.skip("fs.epoll.max_user_watches cannot be set here")
        try:
            yield
        finally:
            file.seek(0)
            file.write(str(before))
            file.flush()


@case(root=True, gateways=("sallyport",), timeout=120)
def neighbours_watches(t):
    """What epoll watches: fs.epoll.max_user_watches."""
    with fewer_watches(t):
        used_up(t, WATCHES, "ENOSPC", "max_user_watches")


@contextlib.contextmanager
def hoarding(t, script, *args):
    """The user's account is used up meanwhile."""
    with contextlib.ExitStack() as stack:
        if script is WATCHES:
            stack.enter_context(fewer_watches(t))
        hoard = Hoard(t, USED, script, *args)
        try:
            yield hoard
        finally:
            hoard.close()


SCARCE = ((PROCESSES, ("150",), 100), (IN_FLIGHT, (), None), (WATCHES, (), None))


@case(root=True, gateways=("sallyport",), timeout=60)
def neighbours_start_without(t):
    """A guest that cannot be started for want of one of these says so and ends; the
    one that runs goes on."""
    server = t.serve(servers.echo)
    one, _, other, _ = all_four = guests(t)
    for script, args, nproc in SCARCE:
        with hoarding(t, script, *args) as hoard:
            begun = time.monotonic()
            late = t.keep(Guest(t, USED, "late", nproc))
            status = late.process.wait(30)
            t.check(status not in (0, None), f"exit status {status}")
            t.check(late.said().strip(), "nothing is said")
            t.note(f"{hoard.why}: {late.said().strip()[-120:]!r} after "
                   f"{time.monotonic() - begun:.1f} s")
            late.close()
            dials(t, other, server, "another user's")
        dials(t, one, server, "the one that runs")
    for guest in all_four:
        t.equal(guest.end()[0], 0, guest.said())


@case(root=True, gateways=("sallyport",), timeout=90)
def neighbours_restart_without(t):
    """A frame that dies meanwhile is started when there is room again."""
    if not t.lab.user:
        t.skip("there is no user's tun")
    server = t.serve(servers.echo)
    for script, args, nproc in SCARCE:
        guest = t.keep(Guest(t, USED, "victim", nproc))
        dials(t, guest, server, "at first")
        with hoarding(t, script, *args):
            frame, = [p for p in lab.descendants(guest.process.pid)
                      if lab.program(p) == "sallyport-frame"]
            os.kill(frame, signal.SIGKILL)
            if script is not IN_FLIGHT:     # where it waits to be handed out
                t.check(lab.wait_until(lambda: "sallyport-frame cannot be "
                                       "started" in guest.said(), 5),
                        f"it is not said: {guest.said()!r}")
            time.sleep(0.5)
        end = time.monotonic() + 10
        while guest.do("dial", lab.LIVE4, server.port)[0] != "ok":
            t.check(time.monotonic() < end, f"it is cut off: {guest.said()}")
        t.equal(guest.end()[0], 0, guest.said())
        guest.close()
