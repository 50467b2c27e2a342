"""As CMD: names, flows, and what a user has only so much of."""
import errno
import os
import socket
import struct
import time

from in_inherited import address
from tools import (MARK, NEWUSER, attempt, checked, gained, libc, say, wait)


def try_connect(dst, port, later=False, count=1):
    """Gained: connections; and how long the last one took."""
    if later:
        wait()
    longest = 0
    for _ in range(count):
        begun = time.monotonic()
        with socket.socket(address(dst)) as s:
            s.settimeout(25)
            if attempt(s.connect, (dst, port)):
                attempt(s.sendall, MARK)
                gained("connected")
        longest = max(longest, time.monotonic() - begun)
    say({"seconds": longest})


def try_nothing():
    """A CMD that does no harm."""
    attempt(os.getpid)


# ---- names and flows --------------------------------------------------------------------

def question(name, ident):
    return struct.pack("!6H", ident, 0x100, 1, 0, 0, 0) + b"".join(
        bytes([len(x)]) + x.encode() for x in name.split(".")) + \
        b"\0" + struct.pack("!HH", 1, 1)


def try_ask(names, server="10.83.80.2", port=53, seconds=0.2, later=False):
    """Questions for names that carry something; then it is gone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for number, name in enumerate(names):
            attempt(s.sendto, question(name, number + 1), (server, port))
        say({"asked": len(names)})
        if later:
            wait()
        time.sleep(seconds)


def try_ask_and_keep(host, dst, port, server="10.83.80.2"):
    """The name is resolved, then its address connected to, and nothing is said."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        attempt(s.sendto, question(host, 1), (server, 53))
        attempt(s.recv, 4096)
    try_keep(dst, port)


def try_keep(dst, port, seconds=5, later=False):
    """A connection on which nothing is said."""
    with socket.socket() as s:
        s.settimeout(5)
        if attempt(s.connect, (dst, port)):
            gained("connected")
        if later:
            wait()
        time.sleep(seconds)


def try_flows(dst, port, count, data=0):
    """So many at once, each with `data` bytes that nobody reads; they stay until
    the host says go."""
    open_ = []
    for _ in range(count):
        s = socket.socket()
        s.settimeout(5)
        if not attempt(s.connect, (dst, port)):
            continue
        s.setblocking(False)
        open_.append(s)
    block, end = b"x" * 65536, time.monotonic() + 20
    sent = [0] * len(open_)
    last = time.monotonic()
    while data and time.monotonic() < end and time.monotonic() - last < 2:
        for n, s in enumerate(open_):
            try:
                if sent[n] < data:
                    sent[n] += s.send(block)
                    last = time.monotonic()
            except OSError:
                pass
    gained(f"{len(open_)} flows, {sum(sent)} bytes")
    wait()


def try_datagram(dst, port):
    with socket.socket(address(dst), socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        attempt(s.sendto, MARK, (dst, port))
        if attempt(s.recv, 100):
            gained("an answer")


def try_datagrams(dst, port, later=False, count=8):
    """One flow: a datagram, then the host changes, then more of it."""
    with socket.socket(address(dst), socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        attempt(s.sendto, MARK, (dst, port))
        attempt(s.recv, 100)
        if later:
            wait()
        for _ in range(count):
            attempt(s.sendto, MARK, (dst, port))
            time.sleep(0.2)


def try_refusals(seconds, dst=None):
    """Connects as fast as they are, each elsewhere; with dst, each to another of
    its ports, where nobody listens."""
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        with socket.socket() as s:
            n += 1
            s.setblocking(False)
            attempt(s.connect, (dst or f"45.{n >> 16 & 255}.{n >> 8 & 255}."
                                     f"{n & 255}", 1024 + n % 60000))
            busy = n % 20 == 0
        if busy:
            time.sleep(0.02)


# ---- what a user has only so much of -------------------------------------------------------

def try_hoard(later=True):
    """Descriptors in flight over socketpairs of its own: as many as go."""
    null = os.open("/dev/null", os.O_RDONLY)
    pairs, count = [], 0
    while True:
        try:
            if not pairs or count % 2000 == 0:
                pairs.append(socket.socketpair(socket.AF_UNIX,
                                               socket.SOCK_DGRAM))
                pairs[-1][0].setblocking(False)
            socket.send_fds(pairs[-1][0], [b"x"], [null] * 250)
            count += 250
        except BlockingIOError:
            pairs.append(socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
            pairs[-1][0].setblocking(False)
        except OSError as error:
            say({"stopped": errno.errorcode.get(error.errno), "count": count})
            break
    attempt(os.getpid)
    wait()


def try_processes():
    """As many as go; they sleep."""
    count = 0
    while True:
        try:
            if os.fork() == 0:
                time.sleep(600)
                os._exit(0)
            count += 1
        except OSError:
            break
    say({"count": count})
    attempt(os.getpid)
    wait()


def try_namespaces():
    """As many user namespaces as go, each held by a descriptor."""
    held = []
    while True:
        r, w = os.pipe()
        if (pid := os.fork()) == 0:
            try:
                checked(libc.unshare(NEWUSER))
                os.write(w, b"+")
                time.sleep(600)
            except OSError:
                os.write(w, b"-")
            os._exit(0)
        os.close(w)
        good = os.read(r, 1) == b"+"
        os.close(r)
        held.append(pid)
        if not good or len(held) > 5000:
            break
    say({"count": len(held)})
    attempt(os.getpid)
    wait()
