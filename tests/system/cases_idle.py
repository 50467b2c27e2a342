"""Connections on which nothing moves: dead servers, forgotten and half-closed ends."""
import re
import subprocess
import time

import gateway
import lab
import servers
from trial import OURS, case

# So many connections that have said all they had; the program that made them ends.
HALVES = """
import socket, sys
held = []
for _ in range(int(sys.argv[3])):
    try:
        held.append(socket.create_connection((sys.argv[1], int(sys.argv[2])), 5))
        held[-1].sendall(b"x")
        held[-1].shutdown(socket.SHUT_WR)
    except ConnectionRefusedError:
        print("refused")
print(len(held))
"""

# A question, and for how long the answer is waited for: what came, and how it ended.
ASK = """
import socket, sys, time
begun = time.monotonic()
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
s.settimeout(900)
try:
    what = sys.argv[3]
    if what == "half":
        s.sendall(b"x")
        s.shutdown(socket.SHUT_WR)
    elif what == "send":
        s.sendall(b"x")
        time.sleep(6)                   # the server is gone by then
        s.sendall(b"y" * 100000)
    elif what == "full":
        s.sendall(b"x")
        s.sendall(bytes(8 << 20))       # until the server reads
        s.shutdown(socket.SHUT_WR)
    if what == "keep":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
    got = s.recv(100)
    end = got.decode() or "fin"
except OSError as error:
    end = type(error).__name__
print(end, int(time.monotonic() - begun))
"""


def python(guest, script, *args):
    return guest.start("run", ["python3", "-c", script, *map(str, args)],
                       timeout=900)


def output(guest, number, timeout=60):
    status, out, err = guest.finish(number, timeout=timeout)
    if status != 0:
        raise AssertionError(f"exit {status}: {err[-200:]}")
    return out.split()


def limited(head):
    return gateway.policy_text(head=f"limits l {{ {head} }}\n",
                               tenant="limits l\n")


def closes(t):
    return [r["reason"] for r in t.records("flow.close")]


def timers(t, port):
    """What runs for the gateway's sockets to that port, as ss(8) names it."""
    with t.lab.host:
        found = subprocess.run(["ss", "-tnoH", "dport", f"= :{port}"],
                               check=True, capture_output=True,
                               text=True).stdout
    return re.findall(r"timer:\((\w+),(?:(\d+)min)?([\d.]+)?(m?s)?", found)


@case(quick=True, gateways=OURS)
def keepalive_outside(t):
    """A server that vanishes is noticed: the socket's own timer is a minute's."""
    server = t.serve(servers.echo)
    with t.guest() as guest:
        for dst in (lab.LIVE4, lab.LIVE6):
            guest.call("hold", dst, server.port, 1)
        found = timers(t, server.port)
        t.equal([f[0] for f in found], ["keepalive"] * 2)
        for _, minutes, rest, unit in found:
            seconds = 60 * int(minutes or 0) + \
                (float(rest or 0) if unit == "s" else 0)
            t.check(40 < seconds <= 60, f"after {seconds} s")
        guest.call("release")


@case(quick=True, gateways=OURS)
def keepalive_of_the_guest(t):
    """The guest's own probes are answered here."""
    def late(connection):
        time.sleep(5)
        connection.sock.sendall(b"late")
    server = t.serve(late)
    with t.guest() as guest:
        number = python(guest, ASK, lab.LIVE4, server.port, "keep")
        t.equal(output(guest, number)[0], "late")


@case(quick=True, gateways=OURS)
def half_closed_word(t):
    """For how long a half-closed connection may be idle is the operator's to say."""
    def late(connection):
        servers.drain(connection.sock)
        time.sleep(5)
        connection.sock.sendall(b"late")
    server = t.serve(late)
    for word, wanted, reason in (("half-closed 2s", "ConnectionResetError",
                                  "idle"),
                                 ("half-closed 30s", "late", "done")):
        with t.guest(policy=limited(word)) as guest:
            number = python(guest, ASK, lab.LIVE4, server.port, "half")
            end, seconds = output(guest, number)
            t.equal(end, wanted, word)
            t.check(int(seconds) < 5 or end == "late", f"after {seconds} s")
        t.equal(closes(t)[-1], reason, word)


@case(quick=True, gateways=OURS)
def half_closed_makes_room(t):
    """What programs that are gone have left does not keep others out, and no
    connection goes that is in use."""
    def drain(connection):
        if connection.sock.recv(1) == b"x":
            servers.drain(connection.sock)
            time.sleep(30)
        else:
            connection.sock.sendall(b"hello")
    left = t.serve(drain)
    server = t.serve(servers.echo)
    with t.guest(policy=limited("conns 100"), fds=False) as guest:
        guest.call("hold", lab.LIVE4, server.port, 5)
        number = python(guest, HALVES, lab.LIVE4, left.port, 150)
        found = output(guest, number)
        t.check(int(found[-1]) >= 95, f"{found[-1]} connections")
        time.sleep(1.2)
        results = guest.call("connects", lab.LIVE4, server.port, 60)
        t.equal({r[0] for r in results}, {"ok"})
        t.equal(guest.call("held_states"), {"ok": 5})
        guest.call("release")
    found = closes(t)
    t.check(found.count("conns") >= 1, f"{found}")
    t.validate(t.gateway.log)


def in_order(found, what, low, high, t):
    end, seconds = found
    t.check(low <= int(seconds) <= high, f"{what}: {end} after {seconds} s")
    return end


@case(gateways=OURS, timeout=560)
def vanished(t):
    """Servers that vanish: one that is waited for, one that is sent to. One that
    only does not read lives on. And a guest's program that ended."""
    def quiet(connection):
        time.sleep(540)

    def slow(connection):
        connection.sock.recv(1)
        time.sleep(400)
        while connection.sock.recv(1 << 16):
            pass

    gone = t.serve(quiet, address="203.0.114.20")
    there = t.serve(slow, rcvbuf=8192)
    with t.guest() as guest:
        output(guest, python(guest, HALVES, lab.LIVE4, there.port, 1))
        silent = python(guest, ASK, "203.0.114.20", gone.port, "read")
        sending = python(guest, ASK, "203.0.114.20", gone.port, "send")
        full = python(guest, ASK, lab.LIVE4, there.port, "full")
        time.sleep(3)
        with t.lab.internet:
            subprocess.run(["ip", "route", "add", "blackhole", lab.HOST4,
                            "table", "99"], check=True)
            subprocess.run(["ip", "rule", "add", "from", "203.0.114.20",
                            "table", "99", "pref", "99"], check=True)
        try:
            time.sleep(140)
            t.equal(closes(t), ["guest-rst"])       # the program that ended
            end = in_order(output(guest, silent, 300), "waited for", 240, 340, t)
            t.equal(end, "ConnectionResetError")
            end = in_order(output(guest, sending, 100), "sent to", 240, 360, t)
            t.equal(end, "ConnectionResetError")
            t.equal(sorted(closes(t)), ["guest-rst"] + ["peer-timeout"] * 2)
            end = in_order(output(guest, full, 120), "reads late", 380, 440, t)
            t.equal(end, "fin")
        finally:
            with t.lab.internet:
                subprocess.run(["ip", "rule", "del", "pref", "99"], check=False)
                subprocess.run(["ip", "route", "flush", "table", "99"],
                               check=False)
    t.validate(t.gateway.log)
