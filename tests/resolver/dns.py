"""A DNS codec for tests, and servers that are told how to lie.

Written from RFC 1035 alone; it shares nothing with src/resolver/message.c."""

import ipaddress
import random
import socket
import ssl
import struct
import threading
import time

A, CNAME, SOA, AAAA = 1, 5, 6, 28
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
QR, AA, TC, RD, RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080


def labels(text):
    """Wire form; a str is split at dots, a list of bytes is taken as it is."""
    parts = text if isinstance(text, list) else \
        [p.encode() for p in text.split(".")] if text else []
    return b"".join(bytes([len(p)]) + p for p in parts) + b"\0"


class Query:
    def __init__(self, data, transport="udp"):
        self.data, self.transport = data, transport
        self.id, self.flags, qd, an, ns, ar = struct.unpack_from("!6H", data)
        assert qd == 1 and an == 0 and ns == 0
        at, parts = 12, []
        while data[at]:
            parts.append(data[at + 1:at + 1 + data[at]])
            at += 1 + data[at]
        self.spelled = b".".join(parts).decode("latin-1")
        self.name = self.spelled.lower()
        self.type, self.qclass = struct.unpack_from("!HH", data, at + 1)
        self.question = data[12:at + 5]
        self.edns = ar > 0


def guessed(text, qtype=A):
    """A question as it looks to who knows what is asked, and has not seen it."""
    return Query(struct.pack("!6H", 0, RD, 1, 0, 0, 0) + labels(text) +
                 struct.pack("!HH", qtype, 1))


def rr(owner, kind, data, ttl=300, qclass=1):
    """One record. owner: text, wire bytes, or None for the question's name."""
    if kind == CNAME and not isinstance(data, bytes):
        data = labels(data)
    elif kind in (A, AAAA) and not isinstance(data, bytes):
        data = ipaddress.ip_address(data).packed
    where = b"\xc0\x0c" if owner is None else \
        owner if isinstance(owner, bytes) else labels(owner)
    return where + struct.pack("!HHIH", kind, qclass, ttl, len(data)) + data


def soa(zone, ttl=300):
    return rr(zone, SOA, labels("ns." + zone) + labels("root." + zone) +
              struct.pack("!5I", 1, 3600, 600, 86400, 60), ttl)


def reply(q, answers=(), rcode=NOERROR, flags=QR | RD | RA, authority=(),
          ident=None, question=None, count=None, more=()):
    return struct.pack("!6H", q.id if ident is None else ident, flags | rcode,
                       1, len(answers) if count is None else count,
                       len(authority), len(more)) + \
        (q.question if question is None else question) + \
        b"".join(answers) + b"".join(authority) + b"".join(more)


class Server:
    """UDP and TCP (or TLS) on one port of loopback. `serve(query)` gives what is
    sent back: bytes, a list of them, None, or (seconds, bytes). Everything that
    was asked is in `seen`."""

    def __init__(self, serve, addr="127.0.0.1", tls=None, udp=True, tcp=True,
                 limit=None, close_after=None, port=0):
        self.serve, self.addr, self.tls = serve, addr, tls
        self.limit, self.close_after = limit, close_after
        self.seen, self.ports, self.connections = [], set(), 0
        self.lock, self.over = threading.Lock(), False
        family = socket.AF_INET6 if ":" in addr else socket.AF_INET
        while True:
            u = socket.socket(family, socket.SOCK_DGRAM)
            t = socket.socket(family, socket.SOCK_STREAM)
            u.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
            t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # all of it: a link-local address has the number of its link
            where = socket.getaddrinfo(addr, port, family)[0][4]
            u.bind(where)
            self.port = u.getsockname()[1]
            try:
                t.bind((addr, self.port) + where[2:])
                break
            except OSError:
                u.close()
                t.close()
        t.listen(1024)
        self.udp, self.tcp = u, t
        if udp:
            self.thread(self.run_udp)
        else:
            u.close()
        if tcp:
            self.thread(self.run_tcp)
        else:
            t.close()

    def thread(self, what, *args):
        threading.Thread(target=what, args=args, daemon=True).start()

    def answers(self, data, transport):
        q = Query(data, transport)
        with self.lock:
            self.seen.append(q)
        got = self.serve(q)
        return [] if got is None else got if isinstance(got, list) else [got]

    def send_later(self, wait, send, data):
        time.sleep(wait)
        try:
            send(data)
        except OSError:
            pass

    def give(self, got, send):
        for what in got:
            if isinstance(what, tuple):
                self.thread(self.send_later, what[0], send, what[1])
            else:
                send(what)

    def run_udp(self):
        while True:
            try:
                data, peer = self.udp.recvfrom(65536)
                if not data:
                    return
            except OSError:
                return
            self.ports.add(peer[1])
            self.give(self.answers(data, "udp"),
                      lambda m, peer=peer: self.udp.sendto(m, peer))

    def run_tcp(self):
        while True:
            try:
                conn, _ = self.tcp.accept()
            except OSError:
                return
            self.connections += 1
            self.thread(self.converse, conn)

    def converse(self, conn):
        n = 0
        lock = threading.Lock()

        def send(m):
            with lock:
                conn.sendall(struct.pack("!H", len(m)) + m)

        try:
            if self.tls:
                conn = self.tls.wrap_socket(conn, server_side=True)
            stream = conn.makefile("rb")
            while len(head := stream.read(2)) == 2:
                data = stream.read(struct.unpack("!H", head)[0])
                self.give(self.answers(data, "tls" if self.tls else "tcp"),
                          send)
                n += 1
                if n == self.close_after:
                    break
            conn.close()
        except (OSError, ssl.SSLError, AssertionError, IndexError):
            pass

    def upstream(self, tls=None):
        from drive import upstream
        return upstream(self.addr, self.port, tls)

    def close(self):
        for s in (self.udp, self.tcp):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def honest(zone):
    """Serves {name: {type: [data]}} like a resolver: chains, NODATA, NXDOMAIN.
    Addresses that do not fit into 512 bytes are for TCP."""

    def serve(q):
        out, at, seen = [], q.name, set()
        rcode = NOERROR
        while True:
            here = zone.get(at)
            if here is None:
                rcode = NXDOMAIN
                break
            if CNAME in here and at not in seen:
                seen.add(at)
                out.append(rr(at, CNAME, here[CNAME][0]))
                at = here[CNAME][0]
                continue
            out += [rr(at, q.type, d) for d in here.get(q.type, ())]
            break
        m = reply(q, out, rcode, authority=[] if any(
            q.type == struct.unpack("!H", r[len(labels(at)):][:2])[0]
            for r in out[-1:]) else [soa("test")])
        if q.transport == "udp" and len(m) > (1232 if q.edns else 512):
            return reply(q, flags=QR | RD | RA | TC)
        return m

    return serve


def forged(q, n, seed=1, spelling=True):
    """n answers that each fail in one thing: the id, the name, its spelling."""
    chance = random.Random(seed)
    out = []
    for _ in range(n):
        kind = chance.randrange(3 if spelling else 2)
        lie = [rr(None, A, "6.6.6.6")]
        if kind == 0:
            out.append(reply(q, lie, ident=q.id ^ chance.randrange(1, 65536)))
        elif kind == 1:
            out.append(reply(q, lie, ident=q.id ^ 1, question=labels(
                "evil.test") + q.question[-4:]))
        else:
            out.append(reply(q, lie, question=bytes(
                c ^ 0x20 if 0x41 <= c & 0xdf <= 0x5a else c
                for c in q.question[:-4]) + q.question[-4:]))
    return out
