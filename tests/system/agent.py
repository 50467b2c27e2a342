#!/usr/bin/python3
"""The guest: runs as CMD behind the gateway and does what the case asks.

Requests are lines of JSON on stdin, {"id", "op", "args"}; answers are lines on
stdout, {"id", "ok": result} or {"id", "error": text}. Each request has a thread
of its own. End of stdin ends the guest.
"""
import errno
import fcntl
import hashlib
import json
import os
import resource
import select
import socket
import struct
import subprocess
import sys
import threading
import time

threading.stack_size(256 * 1024)
BLOCK = bytes(range(256)) * 1024
RESET = struct.pack("ii", 1, 0)
TIMEOUT = 60
held = []                       # sockets that an operation leaves open


def name(error):
    if isinstance(error, TimeoutError) and error.errno is None:
        return "timeout"
    return errno.errorcode.get(error.errno, str(error))


def family(dst):
    return socket.AF_INET6 if ":" in dst else socket.AF_INET


def connected(dst, port, timeout=TIMEOUT, rcvbuf=None):
    sock = socket.socket(family(dst), socket.SOCK_STREAM)
    sock.settimeout(timeout)
    if rcvbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    try:
        sock.connect((dst, port))
    except OSError:
        sock.close()
        raise
    return sock


def pattern(count):
    while count > 0:
        piece = BLOCK if count >= len(BLOCK) else BLOCK[:count]
        yield piece
        count -= len(piece)


def read_all(sock, pause=0.0, pause_below=0):
    digest, count = hashlib.sha256(), 0
    buf = bytearray(1 << 20)
    view = memoryview(buf)
    while True:
        n = sock.recv_into(view[:16384] if pause else buf)
        if n == 0:
            return count, digest.hexdigest()
        digest.update(view[:n])
        count += n
        if pause and count < pause_below:
            time.sleep(pause)


def read_count(sock, count):
    """`count` bytes, or what came before the end."""
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            break
        data += piece
    return data


# ---- operations: connecting -----------------------------------------------------

def op_connect(dst, port, timeout=TIMEOUT):
    """[outcome, seconds] of one connect."""
    start = time.monotonic()
    try:
        connected(dst, port, timeout).close()
        outcome = "ok"
    except OSError as error:
        outcome = name(error)
    return [outcome, time.monotonic() - start]


def op_connects(dst, port, count, timeout=TIMEOUT, step=0):
    """Outcomes and seconds of `count` connects, one after another."""
    return [op_connect(dst, port + i * step, timeout) for i in range(count)]


def op_sequence(dst, port, count, size=100):
    """Seconds of `count` whole request/response connections to an echo."""
    times, payload = [], BLOCK[:size]
    for _ in range(count):
        start = time.monotonic()
        with connected(dst, port) as sock:
            sock.sendall(payload)
            if read_count(sock, size) != payload:
                raise ValueError("not what was sent came back")
        times.append(time.monotonic() - start)
    return times


def op_at_once(dst, port, count, size=1000):
    """`count` connections open together, then an echo on each. Failures."""
    socks, failed = [], {}
    for _ in range(count):
        sock = socket.socket(family(dst), socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.connect((dst, port))
        except BlockingIOError:
            pass
        socks.append(sock)
    for sock in socks:
        sock.settimeout(TIMEOUT)
        try:
            wait_connected(sock)
            sock.sendall(BLOCK[:size])
        except OSError as error:
            failed[name(error)] = failed.get(name(error), 0) + 1
            sock.close()
    for sock in socks:
        if sock.fileno() < 0:
            continue
        with sock:
            try:
                back = read_count(sock, size)
                why = None if back == BLOCK[:size] else "short"
            except OSError as error:
                why = name(error)
        if why:
            failed[why] = failed.get(why, 0) + 1
    return failed


def op_burst(dst, port, count, flight):
    """`count` connections at once; each sends this as soon as it can and wants it
    back. How they ended, and seconds until the last of them had."""
    start, flight = time.monotonic(), bytes.fromhex(flight)
    poll, socks, found = select.epoll(), {}, {}
    for _ in range(count):
        sock = socket.socket(family(dst), socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.connect_ex((dst, port))
        socks[sock.fileno()] = [sock, b""]
        poll.register(sock, select.EPOLLOUT)

    def end(fd, how):
        found[how] = found.get(how, 0) + 1
        socks.pop(fd)[0].close()

    while socks:
        ready = poll.poll(TIMEOUT)
        if not ready:
            return {"outcomes": {**found, "timeout": len(socks)},
                    "seconds": time.monotonic() - start}
        for fd, what in ready:
            sock = socks[fd][0]
            try:
                if what & select.EPOLLOUT:
                    sock.sendall(flight)
                    poll.modify(fd, select.EPOLLIN)
                    continue
                data = sock.recv(65536)
            except OSError as error:
                end(fd, name(error))
                continue
            socks[fd][1] += data
            if not data or len(socks[fd][1]) >= len(flight):
                end(fd, "ok" if socks[fd][1] == flight else "short")
    return {"outcomes": found, "seconds": time.monotonic() - start}


def wait_connected(sock):
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    if not poll.poll(TIMEOUT * 1000):
        raise TimeoutError
    err = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if err:
        raise OSError(err, os.strerror(err))


def op_start_connects(dst, port, count):
    """Begins `count` connects and keeps them: they hang on a black hole."""
    for _ in range(count):
        sock = socket.socket(family(dst), socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.connect((dst, port))
        except BlockingIOError:
            pass
        held.append(sock)
    return len(held)


def op_hold(dst, port, count, payload=0):
    """Opens `count` connections, writes 1-byte segments, keeps them open."""
    for _ in range(count):
        sock = connected(dst, port)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(payload):
            sock.sendall(b"x")
        held.append(sock)
    return len(held)


def op_trickle(rounds):
    """`rounds` more 1-byte segments on each held connection; bytes taken."""
    taken = 0
    for _ in range(rounds):
        for sock in held:
            sock.setblocking(False)
            try:
                taken += sock.send(b"x")
            except BlockingIOError:
                pass
    return taken


def op_fill(count):
    """Writes to `count` held connections until they take no more."""
    taken = 0
    for sock in held[:count]:
        sock.setblocking(False)
        try:
            while True:
                taken += sock.send(BLOCK)
        except (BlockingIOError, ConnectionError):
            pass
    return taken


def op_release(reset=False):
    count = len(held)
    for sock in held:
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.close()
    held.clear()
    return count


def op_held_states():
    """SO_ERROR of each held socket, counted by name."""
    found = {}
    for sock in held:
        err = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        key = errno.errorcode.get(err, "ok") if err else "ok"
        found[key] = found.get(key, 0) + 1
    return found


# ---- operations: moving data --------------------------------------------------------

def op_upload(dst, port, count, announce=True):
    """Sends, reads the answer: [sent, hash, answer].

    The server is told the length, or, without `announce`, knows it by our FIN.
    """
    digest = hashlib.sha256()
    with connected(dst, port) as sock:
        if announce:
            sock.sendall(b"%d\n" % count)
        for piece in pattern(count):
            sock.sendall(piece)
            digest.update(piece)
        if not announce:
            sock.shutdown(socket.SHUT_WR)
        answer = b""
        while True:
            data = sock.recv(65536)
            if not data:
                break
            answer += data
    return [count, digest.hexdigest(), answer.decode("latin-1")]


def op_download(dst, port, count, pause=0.0, pause_below=0, rcvbuf=None,
                sleep=0.0, shut=False):
    with connected(dst, port, rcvbuf=rcvbuf) as sock:
        sock.sendall(b"%d\n" % count)
        if shut:
            sock.shutdown(socket.SHUT_WR)
        time.sleep(sleep)
        return read_all(sock, pause, pause_below)


def op_both(dst, port, count):
    with connected(dst, port) as sock:
        result = []
        reader = threading.Thread(target=lambda: result.append(read_all(sock)))
        sock.sendall(b"%d\n" % count)
        reader.start()
        digest = hashlib.sha256()
        for piece in pattern(count):
            sock.sendall(piece)
            digest.update(piece)
        sock.shutdown(socket.SHUT_WR)
        reader.join()
        return [result[0][0], result[0][1], digest.hexdigest()]


def op_read(dst, port, send=0, sleep=0.0, timeout=TIMEOUT):
    """Connects, sends, reads to the end: bytes, end, connect and read times."""
    start = time.monotonic()
    out = {"sent": 0, "send": "ok", "end": "fin", "text": "", "count": 0}
    with connected(dst, port, timeout) as sock:
        out["connect"] = time.monotonic() - start
        try:
            for piece in pattern(send):
                sock.sendall(piece)
                out["sent"] += len(piece)
        except OSError as error:
            out["send"] = name(error)
        time.sleep(sleep)
        data = b""
        try:
            while True:
                piece = sock.recv(65536)
                if not piece:
                    break
                if not data:
                    out["first"] = time.monotonic() - start
                data += piece
        except OSError as error:
            out["end"] = name(error)
    out["count"], out["text"] = len(data), data[:200].decode("latin-1")
    out["sha256"] = hashlib.sha256(data).hexdigest()
    return out


def op_reads(dst, port, times, send=0):
    return [op_read(dst, port, send) for _ in range(times)]


def op_abort(dst, port, send=1000):
    """Connects, sends a little, resets."""
    sock = connected(dst, port)
    sock.sendall(BLOCK[:send])
    time.sleep(0.1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()
    return send


def op_after_fin(dst, port, count):
    """Reads to the server's FIN, then sends `count` bytes."""
    with connected(dst, port) as sock:
        text = b""
        while True:
            data = sock.recv(65536)
            if not data:
                break
            text += data
        for piece in pattern(count):
            sock.sendall(piece)
        sock.shutdown(socket.SHUT_WR)
    return text.decode("latin-1")


def op_pause_echo(dst, port, seconds):
    with connected(dst, port) as sock:
        sock.sendall(b"a")
        text = sock.recv(10)
        time.sleep(seconds)
        sock.sendall(b"b")
        return (text + sock.recv(10)).decode("latin-1")


def op_run(argv, timeout=60):
    """[exit status, stdout, stderr] of a command of the guest."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=timeout, check=False)
    return [done.returncode, done.stdout.decode("latin-1"),
            done.stderr.decode("latin-1")]


children = []


def op_begin(argv):
    """Starts a command and waits for its first line."""
    child = subprocess.Popen(argv, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    children.append(child)
    return child.stdout.readline()


def op_abandon():
    """Ends what begin() started and did not get its first line from."""
    while children:
        child = children.pop()
        child.kill()
        child.wait()


def op_next_line():
    return children[-1].stdout.readline()


def op_end():
    """Ends its stdin, and waits for it."""
    child = children.pop()
    child.stdin.close()
    child.stdout.close()
    return child.wait(20)


def connect_when_free(sock, dst, port):
    """The last connection of this port may still wait for its last ACK."""
    end = time.monotonic() + 2
    while True:
        try:
            sock.connect((dst, port))
            return
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL or time.monotonic() > end:
                raise
            time.sleep(0.01)


def op_same_port(dst, port, local, times):
    """Connects again and again from one local port; the server ends first."""
    out = []
    for _ in range(times):
        sock = socket.socket(family(dst), socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.settimeout(5)
        sock.bind(("", local))
        start = time.monotonic()
        try:
            connect_when_free(sock, dst, port)
            text = read_all(sock)[0]
            out.append(["ok", text, time.monotonic() - start])
        except OSError as error:
            out.append([name(error), 0, time.monotonic() - start])
        sock.close()
    return out


def op_load(dst, port, seconds, pause=0.0):
    """Short connections for a while, each with one numbered line."""
    end, outcome, number = time.monotonic() + seconds, {}, 0
    while time.monotonic() < end:
        number += 1
        try:
            with connected(dst, port, 5) as sock:
                sock.sendall(b"%d\n" % number)
                sock.shutdown(socket.SHUT_WR)
                read_all(sock)
            why = "ok"
        except OSError as error:
            why = name(error)
        outcome[why] = outcome.get(why, 0) + 1
        time.sleep(pause)
    return outcome


# ---- operations: datagrams and echo ---------------------------------------------------

def op_udp(dst, port, sizes, timeout=3.0, tries=3):
    """Sizes whose echo did not come back whole, with why."""
    sock = socket.socket(family(dst), socket.SOCK_DGRAM)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, 4 << 20)
    sock.connect((dst, port))
    sock.settimeout(timeout)
    lost = []
    for size in sizes:
        payload = (BLOCK[size % 251:] + BLOCK)[:size]
        why = None
        for _ in range(tries):
            try:
                sock.send(payload)
                data = sock.recv(70000)
                why = None if data == payload else f"{len(data)} bytes"
            except OSError as error:
                why = name(error)
            if why is None:
                break
        if why:
            lost.append([size, why])
    sock.close()
    return lost


def op_udp_ports(dst, port, ports, rounds):
    """Request/response from many local ports at once; answers per port."""
    poll, socks, got = select.poll(), {}, {}
    for number in range(ports):
        sock = socket.socket(family(dst), socket.SOCK_DGRAM)
        sock.connect((dst, port))
        poll.register(sock, select.POLLIN)
        socks[sock.fileno()] = (sock, number)
        got[number] = 0
        sock.send(b"%d %d" % (number, 0))
    end = time.monotonic() + TIMEOUT
    while min(got.values()) < rounds and time.monotonic() < end:
        for fd, _ in poll.poll(1000):
            sock, number = socks[fd]
            data = sock.recv(100)
            if data != b"%d %d" % (number, got[number]):
                raise ValueError(f"port {number} got {data!r}")
            got[number] += 1
            if got[number] < rounds:
                sock.send(b"%d %d" % (number, got[number]))
    for sock, _ in socks.values():
        sock.close()
    return min(got.values())


def op_scan(dst, first, count):
    """Connects to `count` ports from `first`, 64 at a time; outcomes counted."""
    outcome, ports = {}, list(range(first, first + count))
    while ports:
        batch, ports = ports[:64], ports[64:]
        socks = []
        for port in batch:
            sock = socket.socket(family(dst), socket.SOCK_STREAM)
            sock.setblocking(False)
            try:
                sock.connect((dst, port))
            except BlockingIOError:
                pass
            socks.append(sock)
        for sock in socks:
            try:
                wait_connected(sock)
                why = "ok"
            except OSError as error:
                why = name(error)
            outcome[why] = outcome.get(why, 0) + 1
            sock.close()
    return outcome


def op_syn_retransmits():
    """The guest kernel's TcpExtTCPSynRetrans."""
    with open("/proc/net/netstat", encoding="ascii") as file:
        lines = [line.split() for line in file if line.startswith("TcpExt:")]
    return int(dict(zip(*lines))["TCPSynRetrans"])


def op_udp_spray(dst, count):
    """One datagram to each of `count` ports, two local ports apart."""
    socks = [socket.socket(family(dst), socket.SOCK_DGRAM) for _ in range(2)]
    for number in range(count):
        try:
            socks[number >= 65000].sendto(b"x", (dst, 1 + number % 65000))
        except OSError:
            pass
    return count


def op_udp_answer(dst, port, sizes, timeout=3.0, tries=1):
    """Asks for answers of these sizes; those that did not come, with why."""
    sock = socket.socket(family(dst), socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.connect((dst, port))
    sock.settimeout(timeout)
    lost = []
    for size in sizes:
        why = "not tried"
        for _ in range(tries):
            try:
                sock.send(b"%d" % size)
                back = sock.recv(70000)
                why = None if back == b"a" * size else f"{len(back)} bytes"
            except OSError as error:
                why = name(error)
            if why is None:
                break
        if why:
            lost.append([size, why])
    sock.close()
    return lost


def op_udp_many(places, timeout=3.0):
    """One unconnected port, many servers; answers that came from elsewhere."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(timeout)
    for number, (dst, port) in enumerate(places):
        sock.sendto(b"%d" % number, (dst, port))
    wrong, waiting = [], {(d, p): b"%d" % n for n, (d, p) in enumerate(places)}
    try:
        while waiting:
            data, peer = sock.recvfrom(100)
            if waiting.pop(peer, None) != data:
                wrong.append([list(peer), data.decode("latin-1")])
    except TimeoutError:
        wrong += [[list(peer), "nothing"] for peer in waiting]
    sock.close()
    return wrong


def op_udp_raw(dst, port, payload, timeout=3.0):
    """Sends hex, returns the answer as hex."""
    sock = socket.socket(family(dst), socket.SOCK_DGRAM)
    sock.settimeout(timeout)
    sock.connect((dst, port))
    sock.send(bytes.fromhex(payload))
    data = sock.recv(70000)
    sock.close()
    return data.hex()


def op_udp_error(dst, port, timeout=5.0):
    """[error, seconds] that a datagram to a bad place brings back."""
    sock = socket.socket(family(dst), socket.SOCK_DGRAM)
    sock.settimeout(timeout)
    sock.connect((dst, port))
    start = time.monotonic()
    try:
        sock.send(b"x")
        sock.recv(100)
        return ["answer", time.monotonic() - start]
    except OSError as error:
        return [name(error), time.monotonic() - start]
    finally:
        sock.close()


def op_udp_on(dst, port, seconds, gap=0.001):
    """[error or None, seconds, datagrams] of a sender that does not listen."""
    sock = socket.socket(family(dst), socket.SOCK_DGRAM)
    sock.connect((dst, port))
    start, sent = time.monotonic(), 0
    try:
        while time.monotonic() - start < seconds:
            sock.send(b"x")
            sent += 1
            time.sleep(gap)
        return [None, seconds, sent]
    except OSError as error:
        return [name(error), time.monotonic() - start, sent]
    finally:
        sock.close()


def op_ping(dst, sizes, timeout=3.0):
    """Echo requests through a ping socket; sizes that failed, with why."""
    v6 = ":" in dst
    sock = socket.socket(family(dst), socket.SOCK_DGRAM,
                         socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP)
    sock.settimeout(timeout)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.connect((dst, 0))
    lost = []
    for seq, size in enumerate(sizes, 1):
        body = BLOCK[:size]
        try:
            sock.send(struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, 0, seq)
                      + body)
            data = sock.recv(70000)
            kind, number = data[0], struct.unpack_from("!H", data, 6)[0]
            if kind != (129 if v6 else 0) or number != seq or \
                    data[8:] != body:
                lost.append([size, f"type {kind} seq {number}"])
        except OSError as error:
            lost.append([size, name(error)])
    sock.close()
    return lost


# ---- operations: names and first flights ----------------------------------------------

def op_lookup(host, fam=0):
    """[outcome, addresses, seconds] of the C library's resolver."""
    start = time.monotonic()
    kind = {0: 0, 4: socket.AF_INET, 6: socket.AF_INET6}[fam]
    try:
        found = socket.getaddrinfo(host, None, kind, socket.SOCK_STREAM)
        outcome, places = "ok", sorted({f[4][0] for f in found})
    except socket.gaierror as error:
        codes = {getattr(socket, n): n for n in dir(socket)
                 if n.startswith("EAI_")}
        outcome, places = codes.get(error.errno, str(error)), []
    return [outcome, places, time.monotonic() - start]


def op_lookups(hosts, fam=4):
    return [op_lookup(host, fam) for host in hosts]


def op_dns(dst, port, queries, tcp=False, chunk=0, timeout=15.0, gap=0.0):
    """All questions at once; {index: [answer, seconds]} of those that came.

    Index n has id n. tcp: one connection, written in pieces of `chunk` bytes.
    """
    queries = [struct.pack("!H", n) + bytes.fromhex(q)[2:]
               for n, q in enumerate(queries)]
    start = time.monotonic()
    read = _dns_tcp if tcp else _dns_udp
    return {n: [data.hex(), when - start] for n, (data, when) in
            read(dst, port, queries, chunk, gap, start + timeout).items()}


def _dns_udp(dst, port, queries, _chunk, gap, end):
    got = {}
    with socket.socket(family(dst), socket.SOCK_DGRAM) as sock:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, 16 << 20)
        sock.connect((dst, port))
        for query in queries:
            sock.send(query)
            if gap:
                time.sleep(gap)
        while len(got) < len(queries) and time.monotonic() < end:
            sock.settimeout(max(end - time.monotonic(), 0.001))
            try:
                data = sock.recv(65536)
            except TimeoutError:
                break
            got.setdefault(struct.unpack_from("!H", data)[0],
                           (data, time.monotonic()))
    return got


def _dns_tcp(dst, port, queries, chunk, gap, end):
    got = {}
    with connected(dst, port, 10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b"".join(struct.pack("!H", len(q)) + q for q in queries)
        for at in range(0, len(data), chunk or len(data)):
            sock.sendall(data[at:at + (chunk or len(data))])
            if gap:
                time.sleep(gap)
        while len(got) < len(queries):
            sock.settimeout(max(end - time.monotonic(), 0.001))
            size = read_count(sock, 2)
            if len(size) < 2:
                break
            back = read_count(sock, struct.unpack("!H", size)[0])
            got[struct.unpack_from("!H", back)[0]] = (back, time.monotonic())
    return got


def op_dns_times(dst, query, count, pause=0.0):
    """Seconds of `count` questions, one after another."""
    times = []
    with socket.socket(family(dst), socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((dst, 53))
        query = bytes.fromhex(query)
        for number in range(count):
            ask = struct.pack("!H", number & 0xffff) + query[2:]
            start = time.monotonic()
            sock.send(ask)
            while sock.recv(65536)[:2] != ask[:2]:
                pass
            times.append(time.monotonic() - start)
            if pause:
                time.sleep(pause)
    return times


def op_first_byte(dst, port, flight, count, pause=0.0):
    """Seconds from connect() to the first byte after a first flight."""
    times, data = [], bytes.fromhex(flight)
    for _ in range(count):
        time.sleep(pause)
        start = time.monotonic()
        with connected(dst, port, 5) as sock:
            sock.sendall(data)
            if not sock.recv(1):
                raise ConnectionError("ended")
            times.append(time.monotonic() - start)
    return times


def op_pieces(dst, port, pieces, pause=0.0, wait=12.0, fin=False):
    """Connects and sends hex pieces: how it ended, seconds, bytes back."""
    back, start = b"", time.monotonic()
    try:
        with connected(dst, port, wait) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                sock.sendall(bytes.fromhex(piece))
                if pause and _readable(sock, pause):
                    break
            if fin:
                sock.shutdown(socket.SHUT_WR)
            while True:
                data = sock.recv(65536)
                if not data:
                    break
                back += data
        outcome = "fin"
    except OSError as error:
        outcome = name(error)
    return [outcome, time.monotonic() - start, back.hex()]


def _readable(sock, seconds):
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def op_tls(dst, port, host, cafile, chunk=0, record=0, pause=0.0):
    """A GET over TLS whose first flight is cut: the answer's body.

    record: the hello is put into records of so many bytes; chunk: what is
    written at a time.
    """
    import ssl
    context = ssl.create_default_context(cafile=cafile)
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    engine = context.wrap_bio(into, out, server_hostname=host)
    with connected(dst, port, 15) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        first = True

        def step(work):
            nonlocal first
            while True:
                try:
                    return work()
                except ssl.SSLWantReadError:
                    pass
                finally:
                    data = out.read()
                    if data and first:
                        data = _again(data, record)
                        for at in range(0, len(data), chunk or len(data)):
                            sock.sendall(data[at:at + (chunk or len(data))])
                            time.sleep(pause)
                        first = False
                    elif data:
                        sock.sendall(data)
                back = sock.recv(65536)
                if not back:
                    into.write_eof()
                into.write(back)

        step(engine.do_handshake)
        step(lambda: engine.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n"
                                  "Connection: close\r\n\r\n".encode()))
        text = b""
        while b"\r\n\r\n" not in text or not text.endswith(b"\n"):
            text += step(lambda: engine.read(65536))
    return text.split(b"\r\n\r\n", 1)[1].decode()


def _again(data, size):
    """The one record that `data` is, as records of `size` bytes."""
    if not size:
        return data
    body = data[5:]
    return b"".join(data[:3] + struct.pack("!H", len(body[at:at + size]))
                    + body[at:at + size] for at in range(0, len(body), size))


# ---- operations: about the guest itself --------------------------------------------------

def op_facts():
    """What CMD can see and hold: for the cases about confinement."""
    with open("/proc/self/status", encoding="ascii") as file:
        status = dict(line.split(":", 1) for line in file)
    return {"uid": os.getuid(), "gid": os.getgid(), "pid": os.getpid(),
            "fds": sorted(int(f) for f in os.listdir("/proc/self/fd")),
            "cap": status["CapEff"].strip(), "bnd": status["CapBnd"].strip(),
            "nnp": status["NoNewPrivs"].strip(),
            "seccomp": status["Seccomp"].strip(),
            "interfaces": sorted(n for _, n in socket.if_nameindex()),
            "mtu": {n: mtu(n) for _, n in socket.if_nameindex()},
            "resolv": read_file("/etc/resolv.conf"),
            "processes": sorted(int(n) for n in os.listdir("/proc")
                                if n.isdigit())}


def mtu(interface):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16si12x", interface.encode(), 0)
        reply = fcntl.ioctl(sock, 0x8921, request)      # SIOCGIFMTU
    return struct.unpack_from("i", reply, 16)[0]


def read_file(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        return "" if error.errno == errno.ENOENT else f"!{name(error)}"


def op_listing(path):
    try:
        return os.listdir(path)
    except OSError as error:
        return name(error)


def op_try_write(path):
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write("1")
        return "ok"
    except OSError as error:
        return name(error)


def op_try_socket(fam, kind, proto=0):
    try:
        socket.socket(fam, kind, proto).close()
        return "ok"
    except OSError as error:
        return name(error)


# ---- the loop --------------------------------------------------------------------------------

lock = threading.Lock()


def answer(request):
    try:
        result = {"ok": globals()["op_" + request["op"]](*request["args"],
                                                         **request["kw"])}
    except Exception as error:          # pylint: disable=broad-except
        text = name(error) if isinstance(error, OSError) else str(error)
        result = {"error": f"{type(error).__name__}: {text}"}
    result["id"] = request["id"]
    with lock:
        os.write(1, json.dumps(result).encode() + b"\n")


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.write(1, b'{"id": 0, "ok": "ready"}\n')
    for line in sys.stdin.buffer:
        threading.Thread(target=answer, args=(json.loads(line),),
                         daemon=True).start()


if __name__ == "__main__":
    main()
