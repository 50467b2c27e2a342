#!/usr/bin/env python3
"""TCP through the real frame, end to end: servers on the loopback here, clients
behind the frame (driver.py runs this file again, as `client`, in the guest's
namespace). Each scenario is a function; a failed one says what it saw.

    tcp_test.py [--driver "OPTIONS"] [SCENARIO...]
"""
import errno
import hashlib
import os
import random
import resource
import socket
import struct
import sys
import threading
import time

import stage

V4, V6 = "198.51.100.9", "2001:db8::99"
P_HASH, P_BURST, P_SMALL, P_EARLY, P_RST, P_SINK, P_DEAF, P_DUPLEX = \
    range(7101, 7109)
DENIED = {7151: "reset", 7152: "admin", 7153: "host", 7154: "net",
          7155: "silent"}
BURST = 400_000
LINGER_RST = struct.pack("ii", 1, 0)


def pattern(n, seed=1):
    return random.Random(seed).randbytes(n)


# ---- servers, one thread per connection -------------------------------------

def serve_hash(c):
    """Reads to the end; then the hash and length; then as much back."""
    m, n = hashlib.sha256(), 0
    while True:
        d = c.recv(1 << 18)
        if not d:
            break
        m.update(d)
        n += len(d)
    c.sendall(m.digest() + n.to_bytes(8, "big"))
    c.sendall(pattern(min(n, 3_000_000), n))
    c.close()


def serve_burst(c):
    c.sendall(pattern(BURST))
    c.close()


def serve_small(c):
    c.sendall(b"hello")
    c.close()


def serve_early(c):
    """Answers without reading what was asked, and closes: a RST follows."""
    c.recv(1)
    c.sendall(pattern(BURST))
    time.sleep(0.05)
    c.close()


def serve_rst(c):
    """An answer, then a real RST; tells what the guest did to it."""
    c.sendall(pattern(BURST))
    time.sleep(0.2)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RST)
    c.close()


SINK = []


def serve_sink(c):
    """Reads until the end and notes how it came."""
    try:
        while c.recv(1 << 16):
            pass
        SINK.append("fin")
    except OSError as e:
        SINK.append(errno.errorcode[e.errno])
    c.close()


def serve_sink_report(c):
    time.sleep(0.3)
    c.sendall(" ".join(SINK).encode())
    SINK.clear()
    c.close()


DEAF = []
DEAF_BYTES = b"x" * int(os.environ.get("DEAF_BYTES", "1"))


def serve_deaf(c):
    c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    DEAF.append(c)


def serve_duplex(c):
    """Echo, both directions at once."""
    def back():
        c.sendall(pattern(30_000_000, 7))
        c.shutdown(socket.SHUT_WR)
    t = threading.Thread(target=back)
    t.start()
    m = hashlib.sha256()
    while True:
        d = c.recv(1 << 18)
        if not d:
            break
        m.update(d)
    t.join()
    if m.digest() != hashlib.sha256(pattern(30_000_000, 9)).digest():
        print("FAIL duplex: wrong bytes up", flush=True)
        os._exit(1)
    c.close()


def listen(port, handler, thread=True):
    for family, addr in ((socket.AF_INET, "127.0.0.1"),
                         (socket.AF_INET6, "::1")):
        s = socket.socket(family, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((addr, port))
        s.listen(4096)

        def loop(s=s):
            while True:
                c, _ = s.accept()
                if thread:
                    threading.Thread(target=handler, args=(c,),
                                     daemon=True).start()
                else:
                    handler(c)
        threading.Thread(target=loop, daemon=True).start()


# ---- clients ------------------------------------------------------------------

def dial(port, host=V4, timeout=20):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET,
                      socket.SOCK_STREAM)
    s.settimeout(timeout)
    s.connect((host, port))
    return s


def read_all(s):
    parts = []
    while True:
        d = s.recv(1 << 18)
        if not d:
            return b"".join(parts)
        parts.append(d)


def exchange(n, host=V4):
    s = dial(P_HASH, host)
    d = os.urandom(n)
    s.sendall(d)
    s.shutdown(socket.SHUT_WR)
    r = read_all(s)
    s.close()
    assert r[:32] == hashlib.sha256(d).digest(), f"{n} bytes up: wrong hash"
    assert r[40:] == pattern(min(n, 3_000_000), n), f"{n}: wrong answer"


def t_sizes():
    for n in (0, 1, 100, 1460, 1461, 65535, 1_000_000):
        exchange(n)
        exchange(n, V6)


def t_bulk():
    exchange(64_000_000)
    exchange(20_000_000, V6)


def t_duplex():
    s = dial(P_DUPLEX)
    data = pattern(30_000_000, 9)
    t = threading.Thread(target=lambda: (s.sendall(data),
                                         s.shutdown(socket.SHUT_WR)))
    t.start()
    got = read_all(s)
    t.join()
    assert got == pattern(30_000_000, 7), "wrong bytes down"


def t_parallel():
    bad = []

    def one(i):
        try:
            exchange(random.randint(0, 1_000_000), V6 if i % 2 else V4)
        except Exception as e:  # noqa: BLE001 (collected and shown)
            bad.append(repr(e))
    ts = [threading.Thread(target=one, args=(i,)) for i in range(40)]
    for t in ts:
        t.start()
    for t in ts:
        t.join()
    assert not bad, bad[:3]


def t_many():
    socks = []
    for i in range(1000):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex((V4, P_SMALL))
        socks.append(s)
    for s in socks:
        s.setblocking(True)
        s.settimeout(20)
        assert read_all(s) == b"hello"
        s.close()


def t_serial():
    times = []
    for _ in range(4):
        t = time.time()
        for _ in range(500):
            s = dial(P_SMALL)
            assert read_all(s) == b"hello"
            s.close()
        times.append(time.time() - t)
    assert times[-1] < 3 * times[0] + 0.5, f"slower and slower: {times}"
    print("  serial: %.0f/s" % (500 / times[-1]))


def t_slow_reader():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    s.settimeout(20)
    s.connect((V4, P_BURST))
    got = b""
    while len(got) < BURST:
        d = s.recv(16384)
        if not d:
            break
        got += d
        if len(got) < 100_000:
            time.sleep(0.002)
    assert got == pattern(BURST), f"{len(got)} of {BURST}"


def t_close_unread():
    """The server closes long before the guest begins to read."""
    for _ in range(20):
        s = dial(P_BURST)
        time.sleep(0.05)
        assert read_all(s) == pattern(BURST)
        s.close()


def t_early_answer():
    """Answer and RST while our own data is unread: the answer arrives."""
    for i in range(40):
        s = dial(P_EARLY, V6 if i % 2 else V4)
        s.sendall(b"x" * 3000)
        got = b""
        end = "fin"
        try:
            while True:
                d = s.recv(1 << 18)
                if not d:
                    break
                got += d
        except ConnectionResetError:
            end = "rst"
        assert got == pattern(BURST), f"round {i}: {len(got)} of {BURST}"
        assert end == "rst", f"round {i}: ended with FIN"
        s.close()


def t_host_rst():
    s = dial(P_RST)
    got = b""
    try:
        while True:
            d = s.recv(1 << 18)
            assert d, "the RST came as a FIN"
            got += d
    except ConnectionResetError:
        pass
    assert got == pattern(BURST), len(got)


def sink_report():
    return read_all(dial(P_SINK + 100)).decode()


def t_guest_rst():
    for host in (V4, V6):
        s = dial(P_SINK, host)
        s.sendall(b"x" * 1000)
        time.sleep(0.1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RST)
        s.close()
        assert sink_report() == "ECONNRESET"


def t_guest_fin():
    s = dial(P_SINK)
    s.sendall(b"x" * 1000)
    s.close()
    assert sink_report() == "fin"


def refused(port, host):
    t = time.time()
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    s.settimeout(1.5)
    try:
        s.connect((host, port))
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e)), time.time() - t
    finally:
        s.close()
    return "connected", 0


def t_refusals():
    want = {("reset", 4): "ECONNREFUSED", ("reset", 6): "ECONNREFUSED",
            ("admin", 4): "EHOSTUNREACH", ("admin", 6): "EACCES",
            ("host", 4): "EHOSTUNREACH", ("host", 6): "EHOSTUNREACH",
            ("net", 4): "ENETUNREACH", ("net", 6): "ENETUNREACH",
            ("silent", 4): "timed out", ("silent", 6): "timed out"}
    for port, code in DENIED.items():
        for v, host in ((4, V4), (6, V6)):
            got, took = refused(port, host)
            assert got == want[code, v], f"{code} v{v}: {got}"
            assert code == "silent" or took < 0.2, f"{code} v{v}: {took}"
    assert refused(9, V4)[0] == "ECONNREFUSED"


def t_port_reuse():
    """The same source port again while our side is in TIME_WAIT."""
    for _ in range(5):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("10.0.2.100", 33333))
        s.settimeout(5)
        s.connect((V4, P_SMALL))
        assert read_all(s) == b"hello"
        s.close()
        time.sleep(0.05)


def t_deaf():
    """Thousands of flows with small segments and servers that do not read."""
    n = int(os.environ.get("DEAF_FLOWS", "1000"))
    socks = []
    for i in range(n):
        s = dial(P_DEAF)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.setblocking(False)
        socks.append(s)
    end = time.time() + float(os.environ.get("DEAF_SECONDS", "2"))
    sent = 0
    while time.time() < end:
        for s in socks:
            for _ in range(4):
                try:
                    sent += s.send(DEAF_BYTES)
                except BlockingIOError:
                    break
    print(f"  deaf: {n} flows, {sent} bytes")
    t_sizes()


def main():
    argv = sys.argv[1:]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if argv[:1] == ["client"]:
        return stage.play(globals(), argv[1:])
    stage.enter()
    extra = []
    if argv[:1] == ["--driver"]:
        extra = argv[1].split()
        argv = argv[2:]
    for port, h in ((P_HASH, serve_hash), (P_BURST, serve_burst),
                    (P_SMALL, serve_small), (P_EARLY, serve_early),
                    (P_RST, serve_rst), (P_SINK, serve_sink),
                    (P_SINK + 100, serve_sink_report),
                    (P_DUPLEX, serve_duplex)):
        listen(port, h)
    listen(P_DEAF, serve_deaf, thread=False)
    deny = [a for p, c in DENIED.items() for a in ("--deny", f"{p}={c}")]
    names = argv or stage.scenarios(globals())
    return stage.drive(__file__, ["--flows", "16384"] + deny + extra,
                       ["client"] + names, 600)


if __name__ == "__main__":
    sys.exit(main())
