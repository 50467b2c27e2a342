"""Servers of the lab's internet: threads of the test program itself, so that a
case can look at what its server saw (server.log: one entry per connection).
"""
import hashlib
import queue
import socket
import struct
import threading
import time

threading.stack_size(256 * 1024)
BLOCK = bytes(range(256)) * 1024        # 256 KiB of a pattern
RESET = struct.pack("ii", 1, 0)         # SO_LINGER: close sends RST


def pattern(count):
    """`count` bytes in pieces of at most 256 KiB."""
    while count > 0:
        piece = BLOCK if count >= len(BLOCK) else BLOCK[:count]
        yield piece
        count -= len(piece)


def pattern_hash(count):
    digest = hashlib.sha256()
    for piece in pattern(count):
        digest.update(piece)
    return digest.hexdigest()


def read_exactly(sock, count):
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise ConnectionError("ended early")
        data += piece
    return data


def drain(sock):
    """(bytes, sha256) of all until the peer's FIN."""
    digest, count = hashlib.sha256(), 0
    buf = bytearray(1 << 20)
    view = memoryview(buf)
    while True:
        n = sock.recv_into(buf)
        if n == 0:
            return count, digest.hexdigest()
        digest.update(view[:n])
        count += n


class Connection:
    """What happened on one connection, for the case to look at."""

    def __init__(self, sock, peer):
        self.sock = sock
        self.peer = peer
        self.sock_name = sock.getsockname()[0]
        self.accepted = time.monotonic()
        self.done = threading.Event()
        self.error = None
        self.data = None


class TcpServer:
    """A listener; handler(connection) runs in a thread of its own.

    handler None: connections are accepted and kept, and nothing is read.
    """

    def __init__(self, netns, handler, backlog=4096, rcvbuf=None, address=None,
                 port=0):
        with netns:
            family = socket.AF_INET if address and ":" not in address \
                else socket.AF_INET6
            self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and address is None:
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.bind((address or "::", port))
        self.sock.listen(backlog)
        self.port = self.sock.getsockname()[1]
        self.handler = handler
        self.log = []
        self.ended = queue.Queue()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, peer = self.sock.accept()
            except OSError:
                return
            connection = Connection(sock, peer)
            self.log.append(connection)
            if self.handler:
                threading.Thread(target=self._serve, args=(connection,),
                                 daemon=True).start()

    def _serve(self, connection):
        try:
            connection.data = self.handler(connection)
        except OSError as error:
            connection.error = error
        finally:
            connection.sock.close()
            connection.done.set()
            self.ended.put(connection)

    def next_end(self, timeout=20):
        """The next connection whose handler has returned."""
        return self.ended.get(timeout=timeout)

    def close(self):
        # shutdown() wakes the thread in accept(); close() alone would not.
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        for connection in self.log:
            connection.sock.close()


# ---- TCP handlers -----------------------------------------------------------

def echo(connection):
    sock, count = connection.sock, 0
    while True:
        data = sock.recv(65536)
        if not data:
            return count
        count += len(data)
        sock.sendall(data)


def read_line(sock):
    line = b""
    while not line.endswith(b"\n"):
        line += read_exactly(sock, 1)
    return int(line)


def take(connection):
    """Reads a decimal line, that many bytes, and answers with their hash."""
    sock, digest = connection.sock, hashlib.sha256()
    count = left = read_line(sock)
    buf = bytearray(1 << 20)
    view = memoryview(buf)
    while left:
        n = sock.recv_into(buf, min(left, len(buf)))
        if n == 0:
            raise ConnectionError("ended early")
        digest.update(view[:n])
        left -= n
    sock.sendall(f"{count} {digest.hexdigest()}\n".encode())
    return count, digest.hexdigest()


def sink(connection):
    """Reads until FIN, answers with length and hash: half-close both ways."""
    count, digest = drain(connection.sock)
    connection.sock.sendall(f"{count} {digest}\n".encode())
    return count, digest


def source(connection):
    """Reads a decimal line, sends that many bytes of the pattern, closes."""
    count = read_line(connection.sock)
    for piece in pattern(count):
        connection.sock.sendall(piece)
    return count


def both(connection):
    """Reads a decimal line; sends that many while it drains until FIN."""
    sock, result = connection.sock, []
    count = read_line(sock)
    reader = threading.Thread(target=lambda: result.append(drain(sock)))
    reader.start()
    for piece in pattern(count):
        sock.sendall(piece)
    sock.shutdown(socket.SHUT_WR)
    reader.join()
    return result[0] if result else None


def greet(text):
    def handler(connection):
        """Answers before it is asked, then ends."""
        connection.sock.sendall(text)
        return len(text)
    return handler


def early_answer(text, read=65536):
    def handler(connection):
        """Reads a little, answers, and resets: the rest stays unread."""
        read_exactly(connection.sock, read)
        connection.sock.sendall(text)
        time.sleep(0.01)        # let more of the request arrive
        return len(text)        # close with unread data is a reset
    return handler


def wait_error(connection):
    """Waits for the peer's end: 'fin', or the error's name."""
    connection.sock.settimeout(30)
    try:
        while connection.sock.recv(65536):
            pass
        return "fin"
    except ConnectionResetError:
        return "reset"


def send_then_reset(count):
    def handler(connection):
        """Sends `count` bytes, waits until they are acknowledged, resets."""
        for piece in pattern(count):
            connection.sock.sendall(piece)
        # SIOCOUTQ counts what is not acknowledged yet: unread by the guest's
        # side data is lost by a reset on every path, also the plain one.
        wait_acknowledged(connection.sock)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        return count
    return handler


def wait_acknowledged(sock, timeout=20):
    import fcntl
    import termios
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        raw = fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0")
        if struct.unpack("i", raw)[0] == 0:
            return
        time.sleep(0.005)


def http(body):
    def handler(connection):
        """One GET, one answer; enough for curl and for the audit cases."""
        request = b""
        while b"\r\n\r\n" not in request:
            data = connection.sock.recv(4096)
            if not data:
                return request
            request += data
        connection.sock.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
        connection.sock.sendall(body)
        return request
    return handler


# ---- UDP ----------------------------------------------------------------------

class UdpServer:
    """Answers every datagram; log: (peer, length, monotonic time).

    answer(data): the bytes to send back, or None. Without it: an echo.
    """

    def __init__(self, netns, address, answer=lambda data: data, port=0):
        with netns:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            self.sock = socket.socket(family, socket.SOCK_DGRAM)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self.sock.setsockopt(socket.SOL_SOCKET, option, 4 << 20)
        self.sock.bind((address, port))
        self.port = self.sock.getsockname()[1]
        self.answer = answer
        self.log = []
        threading.Thread(target=self._loop, daemon=True).start()

    def _loop(self):
        while True:
            try:
                data, peer = self.sock.recvfrom(65536)
                if peer is None:        # close() has shut it down
                    return
                self.log.append((peer, len(data), time.monotonic()))
                back = self.answer(data)
                if back is not None:
                    self.sock.sendto(back, peer)
            except OSError:
                if self.sock.fileno() < 0:
                    return

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass                # ENOTCONN, but it wakes the thread
        self.sock.close()


# ---- looking at the wire ------------------------------------------------------------

class Sniffer:
    """Every TCP segment that passes an interface: what really left the host.

    segments: (monotonic time, 'out'|'in', source port, destination port,
    flags, payload length) as seen on `interface` of `netns`.
    """
    ETH_P_ALL = 3
    PACKET_OUTGOING = 4

    def __init__(self, netns, interface):
        with netns:
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM,
                                      socket.htons(self.ETH_P_ALL))
            self.sock.bind((interface, self.ETH_P_ALL))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
        self.sock.settimeout(0.2)
        self.segments = []
        self.running = True
        self.thread = threading.Thread(target=self._loop, daemon=True)
        self.thread.start()

    def _loop(self):
        while self.running:
            try:
                packet, where = self.sock.recvfrom(65600)
            except TimeoutError:
                continue
            except OSError:
                return
            self._note(packet, "out" if where[2] == self.PACKET_OUTGOING
                       else "in")

    def _note(self, packet, direction):
        if packet[0] >> 4 == 4 and packet[9] == 6:
            at = (packet[0] & 15) * 4
            end = struct.unpack_from("!H", packet, 2)[0] or len(packet)
        elif packet[0] >> 4 == 6 and packet[6] == 6:
            at, end = 40, 40 + struct.unpack_from("!H", packet, 4)[0]
            if end == 40:
                end = len(packet)
        else:
            return
        sport, dport = struct.unpack_from("!HH", packet, at)
        offset = packet[at + 12] >> 4
        self.segments.append((time.monotonic(), direction, sport, dport,
                              packet[at + 13], end - at - offset * 4))

    def to_port(self, port):
        return [s for s in self.segments if s[3] == port]

    def from_port(self, port):
        return [s for s in self.segments if s[2] == port]

    def close(self):
        self.running = False
        self.thread.join(1)
        self.sock.close()
