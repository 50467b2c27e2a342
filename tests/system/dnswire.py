"""DNS messages by hand, and an authoritative server that does what it is told.

query() and reply() build; Message takes apart. Names are bytes of labels or
text with dots; nothing here cares whether a label is a good one, because the
cases about bad ones are the point.
"""
import errno
import socket
import struct
import threading
import time

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA = 1, 2, 5, 6, 12, 15, 16, 28
SRV, OPT, SVCB, HTTPS, ANY = 33, 41, 64, 65, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
EDE = 15                                # the option's code; RFC 8914
BLOCKED = 15                            # and the error that a denial is


def wire_name(name):
    """Text with dots, or a list of labels in bytes; upper case stays."""
    labels = name if isinstance(name, (list, tuple)) else \
        [part.encode("latin-1") for part in name.rstrip(".").split(".")
         if part]
    return b"".join(bytes([len(p)]) + p for p in labels) + b"\0"


def query(name, qtype=A, ident=1, edns=None, flags=0x0100, qclass=1):
    """One question; edns: the size that its OPT record says."""
    data = struct.pack("!HHHHHH", ident, flags, 1, 0, 0, int(edns is not None))
    data += wire_name(name) + struct.pack("!HH", qtype, qclass)
    if edns is not None:
        data += b"\0" + struct.pack("!HHIH", OPT, edns, 0, 0)
    return data


def rdata(qtype, value):
    if qtype == A:
        return socket.inet_pton(socket.AF_INET, value)
    if qtype == AAAA:
        return socket.inet_pton(socket.AF_INET6, value)
    return wire_name(value) if qtype in (CNAME, NS, PTR) else value


def reply(asked, records, rcode=NOERROR, ident=None, question=None, flags=0):
    """records: (name, type, ttl, value), in the answer section."""
    end = 12
    while asked[end]:
        end += asked[end] + 1
    section = asked[12:end + 5] if question is None else question
    number = struct.unpack_from("!H", asked)[0] if ident is None else ident
    data = struct.pack("!HHHHHH", number, 0x8400 | flags | rcode, 1,
                       len(records), 0, 0) + section
    for name, qtype, ttl, value in records:
        raw = rdata(qtype, value)
        data += wire_name(name) + struct.pack("!HHIH", qtype, 1, ttl,
                                              len(raw)) + raw
    return data


class Message:
    """A message taken apart; struct.error or IndexError if it cannot be."""

    def __init__(self, data):
        self.data = data
        (self.ident, flags, questions, answers, authorities,
         additional) = struct.unpack_from("!HHHHHH", data)
        self.rcode, self.is_reply = flags & 15, bool(flags & 0x8000)
        self.truncated = bool(flags & 0x0200)
        self.name = self.qtype = self.edns = self.ede = None
        at = 12
        for _ in range(questions):
            self.name, at = self._name(at)
            self.qtype, _ = struct.unpack_from("!HH", data, at)
            at += 4
        self.answers, at = self._records(at, answers)
        _, at = self._records(at, authorities)
        self.additional, self.end = self._records(at, additional)

    def _name(self, at, hops=0):
        """(text, offset behind it); text keeps the case that was sent."""
        parts, back = [], None
        while self.data[at]:
            if self.data[at] >= 0xc0:
                back = back or at + 2
                at = struct.unpack_from("!H", self.data, at)[0] & 0x3fff
                hops += 1
                if hops > 40:
                    raise IndexError("a loop of pointers")
                continue
            parts.append(self.data[at + 1:at + 1 + self.data[at]])
            at += 1 + self.data[at]
        return b".".join(parts).decode("latin-1"), back or at + 1

    def _records(self, at, count):
        found = []
        for _ in range(count):
            name, at = self._name(at)
            qtype, qclass, ttl, size = struct.unpack_from("!HHIH", self.data,
                                                          at)
            raw = self.data[at + 10:at + 10 + size]
            if qtype == A:
                value = socket.inet_ntop(socket.AF_INET, raw)
            elif qtype == AAAA:
                value = socket.inet_ntop(socket.AF_INET6, raw)
            elif qtype in (CNAME, NS, PTR):
                value = self._name(at + 10)[0]
            else:
                value = raw
            if qtype == OPT:
                self.edns = qclass
                self._options(raw)
            found.append((name, qtype, ttl, value))
            at += 10 + size
        return found, at

    def _options(self, raw):
        at = 0
        while at + 4 <= len(raw):
            code, size = struct.unpack_from("!HH", raw, at)
            if code == EDE:
                self.ede = struct.unpack_from("!H", raw, at + 4)[0]
            at += 4 + size

    def addresses(self):
        return sorted(v for _, t, _, v in self.answers if t in (A, AAAA))


class Authority:
    """A server of its own making, UDP and TCP, in the test's own process.

    answer(data, message, tcp) returns the reply's bytes, a list of replies, or
    None for silence; it may sleep. asked: one (name, type, length, tcp) per
    question, in the order of arrival: what reached the internet.
    """

    def __init__(self, netns, addresses, answer, port=53):
        self.answer = answer
        self.asked = []
        self.sockets = []
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with netns:
                udp = socket.socket(family, socket.SOCK_DGRAM)
                tcp = socket.socket(family, socket.SOCK_STREAM)
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            for sock in (udp, tcp):
                self._bind(sock, address, port)
                self.sockets.append(sock)
            tcp.listen(1024)
            threading.Thread(target=self._datagrams, args=(udp,),
                             daemon=True).start()
            threading.Thread(target=self._accept, args=(tcp,),
                             daemon=True).start()

    @staticmethod
    def _bind(sock, address, port):
        """The last case's server may be a thread's wake-up from its end."""
        end = time.monotonic() + 2
        while True:
            try:
                sock.bind((address, port))
                return
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > end:
                    raise
                time.sleep(0.01)

    def names(self):
        return [name for name, _, _, _ in self.asked]

    def _replies(self, data, tcp):
        try:
            message = Message(data)
        except (IndexError, struct.error):
            return []
        self.asked.append((message.name, message.qtype, len(data), tcp))
        found = self.answer(data, message, tcp)
        return found if isinstance(found, list) else [found] if found else []

    def _datagrams(self, sock):
        while True:
            try:
                data, peer = sock.recvfrom(65536)
            except OSError:
                return
            if peer is None:
                return
            threading.Thread(target=self._one, args=(sock, data, peer),
                             daemon=True).start()

    def _one(self, sock, data, peer):
        for back in self._replies(data, False):
            try:
                sock.sendto(back, peer)
            except OSError:
                return

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._stream, args=(sock,),
                             daemon=True).start()

    def _stream(self, sock):
        sock.settimeout(20)
        with sock:
            try:
                while True:
                    size = struct.unpack("!H", self._exactly(sock, 2))[0]
                    for back in self._replies(self._exactly(sock, size), True):
                        sock.sendall(struct.pack("!H", len(back)) + back)
            except OSError:
                return

    @staticmethod
    def _exactly(sock, count):
        data = b""
        while len(data) < count:
            piece = sock.recv(count - len(data))
            if not piece:
                raise ConnectionError("ended")
            data += piece
        return data

    def close(self):
        for sock in self.sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()


def zone_answer(table):
    """answer() for Authority from {name: {type: (ttl, [values])}}.

    A name may stand as "*.base". A function in place of a table of types is
    asked (name, qtype) and returns one.
    """
    def answer(data, message, tcp):
        name = message.name.lower()
        found = table.get(name)
        parts = name.split(".")
        for number in range(1, len(parts)):
            if found is None:
                found = table.get("*." + ".".join(parts[number:]))
        if callable(found):
            found = found(name, message.qtype)
        if found is None:
            return reply(data, [], NXDOMAIN)
        for qtype in (message.qtype, CNAME):
            if qtype in found:
                ttl, values = found[qtype]
                back = reply(data, [(name, qtype, ttl, v) for v in values])
                if not tcp and len(back) > 1232:
                    return reply(data, [], flags=0x0200)
                return back
        return reply(data, [])
    return answer


def slowly(seconds, answer):
    def later(data, message, tcp):
        time.sleep(seconds)
        return answer(data, message, tcp)
    return later
