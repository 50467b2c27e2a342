#!/usr/bin/env python3
"""Names through the real, sealed frame: DNS at the gateway by UDP and TCP, and the
first flight of connections that the broker (driver.py) wants to see.

    names.py [SCENARIO...]      every link that there is
    names.py client [...]       the guest's part

Skipped (77) without root or /dev/net/tun.
"""
import ctypes
import os
import select
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

import driver       # what a name resolves to
import stage

GATEWAY = {4: "10.0.2.2", 6: "fd53:616c:6c79::2"}
FAR = {4: "198.51.100.9", 6: "2001:db8::99"}
AF = {4: socket.AF_INET, 6: socket.AF_INET6}
A, AAAA, TXT, HTTPS = 1, 28, 16, 65
P_TLS, P_HTTP, P_FIRST = 7201, 7202, 7203   # the last: a server that speaks first
FIRST = b"220 ready\r\n"
RST = struct.pack("ii", 1, 0)


# ---- outside ----

RECEIVED = []       # (bytes, how it ended), one per connection


def serve(port, greeting=b""):
    s = socket.create_server(("::", port), family=socket.AF_INET6,
                             dualstack_ipv6=True, backlog=256)

    def one(c):
        c.sendall(greeting)
        data, how = b"", "fin"
        try:
            while True:
                d = c.recv(1 << 16)
                if not d:
                    break
                data += d
                if data.endswith(b"answer!"):
                    c.sendall(b"yes")
            c.sendall(len(data).to_bytes(8, "big") + data[-1000:])
        except OSError:
            how = "rst"
        RECEIVED.append((data, how))
        c.close()

    def loop():
        while True:
            c, _ = s.accept()
            threading.Thread(target=one, args=(c,), daemon=True).start()
    threading.Thread(target=loop, daemon=True).start()


def outside(names):
    stage.enter()
    serve(P_TLS)
    serve(P_HTTP)
    serve(P_FIRST, FIRST)
    failed = 0
    for link in ([], ["--plain", "--mtu", "1500"], ["--mtu", "1280"]):
        del RECEIVED[:]
        played = [n for n in names or stage.scenarios(globals())
                  if not link or n not in SLOW]
        status = stage.drive(
            __file__, ["--peek", f"{P_TLS}=tls", "--peek", f"{P_HTTP}=http",
                       "--peek", f"{P_FIRST}=tls"] + link,
            ["client"] + played, 240)
        # What was refused never reached a server.
        leaked = [d for d, _ in RECEIVED if b"deny me" in d]
        if leaked:
            print("FAIL a refused flight reached the server", leaked[:1])
            status = 1
        failed |= stage.told(" ".join(link) or "vnet", status)
    return 1 if failed else 0


# ---- DNS ----

def query(ident, name, qtype, size=None, flags=0x0100):
    q = struct.pack(">HHHHHH", ident, flags, 1, 0, 0, size is not None)
    for label in name.split("."):
        q += bytes([len(label)]) + label.encode()
    q += struct.pack(">BHH", 0, qtype, 1)
    if size is not None:
        q += struct.pack(">BHHIH", 0, 41, size, 0, 0)
    return q


def parse(m, name):
    """(id, rcode, tc, addresses, EDE); the question must be the one asked."""
    ident, flags, qd, an, ns, ar = struct.unpack_from(">HHHHHH", m)
    assert flags & 0x8000 and flags & 0x80 and qd == 1, m[:12]
    want = query(0, name, 0)[12:-4]
    assert m[12:12 + len(want)] == want, (name, m)
    at = 12 + len(want) + 4
    found, ede = [], None
    for n in range(an + ns + ar):
        at += 2 if m[at] & 0xc0 else 1      # the root owns the others
        kind, _, _, size = struct.unpack_from(">HHIH", m, at)
        data = m[at + 10:at + 10 + size]
        assert len(data) == size, m
        at += 10 + size
        if n < an:
            found.append(data)
        elif kind == 41:
            while data:
                code, length = struct.unpack_from(">HH", data)
                if code == 15:
                    ede, = struct.unpack_from(">H", data, 4)
                data = data[4 + length:]
    assert at == len(m), m
    return ident, flags & 15, bool(flags & 0x200), found, ede


def udp(family, timeout=5.0):
    s = socket.socket(AF[family], socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    s.settimeout(timeout)
    s.connect((GATEWAY[family], 53))
    return s


def tcp(family, timeout=20.0):
    s = socket.socket(AF[family], socket.SOCK_STREAM)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.settimeout(timeout)
    s.connect((GATEWAY[family], 53))
    return s


def framed(q):
    return struct.pack(">H", len(q)) + q


def recv_exact(s, n):
    got = b""
    while len(got) < n:
        d = s.recv(n - len(got))
        if not d:
            raise EOFError(f"{len(got)} of {n} bytes")
        got += d
    return got


def recv_answer(s):
    return recv_exact(s, int.from_bytes(recv_exact(s, 2), "big"))


def right(m, name, qtype, n):
    """Its own addresses, all of them, in order."""
    _, rcode, tc, found, _ = parse(m, name)
    assert rcode == 0 and not tc, (name, rcode, tc)
    assert found == driver.addresses(name.lower(), 4 if qtype == A else 6, n), \
        (name, found)


def t_udp():
    for family in (4, 6):
        s = udp(family)
        for qtype in (A, AAAA):
            for n in (1, 2, 13):
                name = f"A{n}-wWw.Example.com"
                s.send(query(n, name, qtype))
                right(s.recv(4096), name, qtype, n)


def t_codes():
    s = udp(4)
    want = {"nodata": 0, "nx": 3, "denied": 3, "withheld": 0, "fail": 2,
            "refused": 5}
    for label, rcode in want.items():
        for size in (None, 1232):
            for qtype in (A, AAAA, TXT, HTTPS):
                s.send(query(7, label + ".test", qtype, size))
                _, got, tc, found, ede = parse(s.recv(4096), label + ".test")
                assert (got, tc, found) == (rcode, False, []), (label, got)
                assert ede == (15 if label in ("denied", "withheld") and size
                               else None)
    s.send(query(8, "a1-x.10", A))          # a number at its end: no name
    assert parse(s.recv(4096), "a1-x.10")[1] == 3


def t_sizes():
    """What does not fit is cut, says so, and is whole by TCP."""
    for family in (4, 6):
        s = udp(family)
        for size, n, qtype in ((None, 64, A), (512, 64, AAAA), (1232, 64, AAAA),
                               (4096, 64, AAAA), (65535, 64, A),
                               (4096, 144, AAAA), (4096, 256, A),
                               (65535, 256, AAAA), (None, 256, A)):
            name = f"a{n}-big.test"
            s.send(query(9, name, qtype, size))
            m = s.recv(65536)
            assert len(m) <= min(size or 512, 4096), (size, len(m))
            if 12 + len(name) + 6 + 11 + n * (16 if qtype == A else 28) <= min(
                    size or 512, 4096):
                right(m, name, qtype, n)
                continue
            _, rcode, tc, found, _ = parse(m, name)
            whole = driver.addresses(name, 4 if qtype == A else 6, n)
            assert rcode == 0 and tc and found == whole[:len(found)], size
            t = tcp(family)
            t.sendall(framed(query(9, name, qtype, size)))
            right(recv_answer(t), name, qtype, n)


def t_udp_thousand():
    """As many as there may be, all at once, from one socket and from many."""
    for socks in ([udp(4, 10)], [udp(4 + i % 2 * 2, 10) for i in range(50)]):
        want = {}
        for i in range(1000):
            name = f"a{i % 20}-n{i}.test"
            s = socks[i % len(socks)]
            s.send(query(i, name, A))
            want[i] = name
        while want:
            ready, _, _ = select.select(socks, [], [], 10)
            assert ready, f"{len(want)} of 1000 are lost"
            for s in ready:
                m = s.recv(4096)
                i = int.from_bytes(m[:2], "big")
                name = want.pop(i)
                if i % 20 == 0:
                    assert parse(m, name)[1:4] == (0, False, []), name
                else:
                    right(m, name, A, i % 20)


def t_tcp_thousand():
    for family in (4, 6):
        s = tcp(family)
        want = {i: f"a{1 + i % 256}-n{i}.test" for i in range(1000)}
        data = b"".join(framed(query(i, n, AAAA)) for i, n in want.items())
        t = threading.Thread(target=s.sendall, args=(data,))
        t.start()
        for _ in range(1000):
            m = recv_answer(s)
            i = int.from_bytes(m[:2], "big")
            right(m, want.pop(i), AAAA, 1 + i % 256)
        t.join()


def t_tcp_order():
    """A slow one does not hold up what was asked behind it."""
    s = tcp(4)
    s.sendall(framed(query(1, "slow-x.test", A)) +
              framed(query(2, "a2-quick.test", A)))
    assert recv_answer(s)[:2] == b"\0\2"
    assert recv_answer(s)[:2] == b"\0\1"


def t_tcp_bytes():
    s = tcp(6)
    for byte in framed(query(3, "a3-slowly.test", A)) * 2:
        s.send(bytes([byte]))
        time.sleep(0.001)
    right(recv_answer(s), "a3-slowly.test", A, 3)
    right(recv_answer(s), "a3-slowly.test", A, 3)


def t_tcp_fin():
    s = tcp(4)
    s.sendall(framed(query(3, "a3-fin.test", A)))
    s.shutdown(socket.SHUT_WR)
    right(recv_answer(s), "a3-fin.test", A, 3)
    assert s.recv(1) == b""


def t_tcp_slowly():
    """Connections that say next to nothing: more of them than there are places,
    and a real one in between; then all of them end."""
    slow = []
    for i in range(60):
        s = tcp(4 + i % 2 * 2)
        s.send(b"\0")
        slow.append(s)
    time.sleep(1.1)
    start = time.monotonic()
    for i in range(30):
        s = tcp(4)
        s.sendall(framed(query(i, "a1-x.test", A)))
        right(recv_answer(s), "a1-x.test", A, 1)
    assert time.monotonic() - start < 2
    for s in slow:
        s.settimeout(12)
        try:
            assert s.recv(1) == b""
        except ConnectionResetError:
            pass
    assert time.monotonic() - start < 12


def t_tcp_reset():
    """Questions whose connection is gone harm nobody."""
    for i in range(50):
        s = tcp(4)
        s.sendall(b"".join(framed(query(n, f"slow-{i}-{n}.test", A))
                           for n in range(10)))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
        s.close()
    time.sleep(1.2)
    t_udp()


def t_never():
    """No answer of the broker's: SERVFAIL in bounded time."""
    s, t = udp(4, 20), tcp(6)
    start = time.monotonic()
    s.send(query(1, "never-x.test", A))
    t.sendall(framed(query(2, "never-y.test", A)))
    assert parse(s.recv(512), "never-x.test")[1] == 2
    assert parse(recv_answer(t), "never-y.test")[1] == 2
    assert 14 < time.monotonic() - start < 18


def t_other_ports():
    """Nothing else listens at the gateway; 53 elsewhere is an ordinary flow."""
    for family in (4, 6):
        for kind, port in ((socket.SOCK_STREAM, 54), (socket.SOCK_DGRAM, 54)):
            s = socket.socket(AF[family], kind)
            s.settimeout(2)
            try:
                s.connect((GATEWAY[family], port))
                s.send(b"x")
                s.recv(1)
                raise AssertionError("an answer")
            except ConnectionRefusedError:
                pass
        s = socket.socket(AF[family], socket.SOCK_DGRAM)
        s.settimeout(2)
        s.connect((FAR[family], 53))
        s.send(query(1, "a1-x.test", A))
        try:
            s.recv(512)
            raise AssertionError("an answer")
        except ConnectionRefusedError:
            pass                # the loopback's port 53 is closed


def t_libc():
    """The C library's own stub; kdig, if it is there."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x20000) != 0 or libc.mount(
            b"none", b"/", None, 0x44000, None) != 0:
        print("  no mount namespace")
        return
    for path, text in (("/etc/resolv.conf", "nameserver 10.0.2.2\n"),
                       ("/etc/nsswitch.conf", "hosts: dns\n")):
        with tempfile.NamedTemporaryFile("w") as f:
            f.write(text)
            f.flush()
            if libc.mount(f.name.encode(), path.encode(), None, 0x1000,
                          None) != 0:
                print("  no bind mount")
                return
    code = "import socket, sys; print(sorted({a[4][0] for a in " \
        "socket.getaddrinfo(sys.argv[1], 80)}))"
    for name, n in (("a3-libc.test", 3), ("a40-libc.test", 40)):
        out = subprocess.run([sys.executable, "-c", code, name], check=True,
                             capture_output=True, text=True).stdout
        want = [socket.inet_ntop(AF[f], a) for f in (4, 6)
                for a in driver.addresses(name, f, n)]
        assert eval(out) == sorted(want), (name, out)   # noqa: S307 (ours)
    for name in ("nx.test", "denied.test", "nodata.test"):
        start = time.monotonic()
        assert subprocess.run([sys.executable, "-c", code, name],
                              capture_output=True, check=False).returncode
        assert time.monotonic() - start < 2, name
    if shutil.which("kdig"):
        for extra in ([], ["+tcp"], ["+bufsize=512"], ["+noedns"]):
            out = subprocess.run(
                ["kdig", "@10.0.2.2", "+short", "a50-kdig.test", "AAAA"] +
                extra, check=True, capture_output=True, text=True).stdout
            assert len([x for x in out.split("\n")
                        if x.startswith("2001:")]) == 50, (extra, out)


# ---- the first flight ----

def client_hello(name="peek.test", alpn=("h2", "http/1.1")):
    ctx = ssl.create_default_context()
    ctx.set_alpn_protocols(list(alpn))
    out = ssl.MemoryBIO()
    obj = ctx.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    try:
        obj.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def records(hello, part):
    """The same handshake message in smaller records."""
    body = hello[5:]
    return b"".join(b"\x16\x03\x01" + struct.pack(">H", len(body[i:i + part])) +
                    body[i:i + part] for i in range(0, len(body), part))


def large_hello(size):
    """A handshake message of so many bytes in one record."""
    return b"\x16\x03\x01" + struct.pack(">H", size) + b"\x01" + \
        (size - 4).to_bytes(3, "big") + bytes(size - 4)


def dial(port, family=4):
    s = socket.socket(AF[family], socket.SOCK_STREAM)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.settimeout(10)
    s.connect((FAR[family], port))
    return s


def read_all(s):
    got = b""
    while True:
        d = s.recv(1 << 16)
        if not d:
            return got
        got += d


def finish(s, sent):
    """Our FIN; the server tells what it has got."""
    s.shutdown(socket.SHUT_WR)
    got = read_all(s)
    assert got[:8] == len(sent).to_bytes(8, "big"), (got[:20], len(sent))
    assert got[8:] == sent[-1000:], "wrong bytes"


def t_hello():
    for family in (4, 6):
        for hello in (client_hello(), records(client_hello(), 100),
                      records(client_hello(), 1), large_hello(16000)):
            s = dial(P_TLS, family)
            s.sendall(hello)
            finish(s, hello)


def t_hello_in_pieces():
    hello = client_hello()
    for step in (1, 7, 100):
        s = dial(P_TLS)
        for i in range(0, len(hello), step):
            s.send(hello[i:i + step])
            if step > 1:
                time.sleep(0.002)
        s.sendall(b"and more" * 1000)
        finish(s, hello + b"and more" * 1000)


def t_hello_then_much():
    """Behind the flight it is a connection like any other."""
    data = os.urandom(5_000_000)
    s = dial(P_TLS, 6)
    hello = client_hello()
    t = threading.Thread(target=s.sendall, args=(hello + data,))
    t.start()
    t.join()
    finish(s, hello + data)


def t_hello_and_fin():
    hello = client_hello()
    for _ in range(20):
        s = dial(P_TLS)
        s.send(hello)
        finish(s, hello)


def t_hello_16k():
    """A hello that is longer than a flight: 16 384 bytes go first."""
    for size in (16384 - 5, 16384 - 4, 16384):
        s = dial(P_TLS)
        s.sendall(large_hello(size))
        s.sendall(b"answer!")
        assert recv_exact(s, 3) == b"yes", size
        finish_later = large_hello(size) + b"answer!"
        s.shutdown(socket.SHUT_WR)
        assert read_all(s)[:8] == len(finish_later).to_bytes(8, "big")


def t_http():
    for family in (4, 6):
        head = b"POST / HTTP/1.1\r\nHost: a.test\r\n\r\n" + b"body" * 500
        s = dial(P_HTTP, family)
        for i in range(0, len(head), 10):
            s.send(head[i:i + 10])
        finish(s, head)


def t_garbage():
    """What can never be a hello goes at once, for the inspector to refuse."""
    s = dial(P_TLS)
    s.sendall(b"SSH-2.0-x\r\n")
    s.sendall(b"answer!")
    assert recv_exact(s, 3) == b"yes"


def t_server_first():
    """A server that speaks first is heard, after the guest's first flight."""
    s = dial(P_FIRST)
    s.settimeout(0.5)
    try:
        s.recv(1)
        raise AssertionError("the server was there before the flight")
    except socket.timeout:
        pass
    s.settimeout(10)
    s.sendall(client_hello())
    assert recv_exact(s, len(FIRST)) == FIRST


def t_refused():
    """Refused after the handshake: a reset, at once."""
    for family in (4, 6):
        for _ in range(10):
            s = dial(P_HTTP, family)
            start = time.monotonic()
            s.sendall(b"GET / HTTP/1.1\r\nHost: deny me\r\n\r\n")
            try:
                assert s.recv(1) != b"", "FIN"
                raise AssertionError("an answer")
            except ConnectionResetError:
                pass
            assert time.monotonic() - start < 1


def t_nothing():
    """FIN or RST instead of a first byte; a connection that says nothing."""
    for _ in range(20):
        s = dial(P_TLS)
        s.shutdown(socket.SHUT_WR)
        try:
            assert s.recv(1) == b""
        except ConnectionResetError:
            pass
        s = dial(P_TLS)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
        s.close()
        s = dial(P_TLS)
        s.send(client_hello()[:100])
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
        s.close()
    t_hello()


def t_many_hellos():
    """Many at once, more than the channel holds."""
    hello = large_hello(15000)
    socks = [dial(P_TLS, 4 + i % 2 * 2) for i in range(300)]
    for s in socks:
        s.sendall(hello)
    for s in socks:
        finish(s, hello)


def t_silent():
    """Five seconds to begin, and the broker is told that nothing came."""
    s = dial(P_TLS)
    s.settimeout(15)
    start = time.monotonic()
    try:
        s.recv(1)
        raise AssertionError("no reset")
    except ConnectionResetError:
        pass
    assert 4 < time.monotonic() - start < 9


SLOW = ("tcp_slowly", "never", "silent")    # once is enough

if __name__ == "__main__":
    sys.exit(stage.play(globals(), sys.argv[2:])
             if sys.argv[1:2] == ["client"] else outside(sys.argv[1:]))
