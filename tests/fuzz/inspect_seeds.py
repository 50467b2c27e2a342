#!/usr/bin/env python3
"""Writes the seeds of fuzz_inspect: hellos and requests of every shape that the
inspector tells apart, built here and by nobody's library.

usage: inspect_seeds.py DIRECTORY
"""

import hashlib, os, struct, sys


def vec(size, body):
    return len(body).to_bytes(size, "big") + body


def ext(kind, body):
    return struct.pack(">H", kind) + vec(2, body)


def sni(*names, kind=0):
    return ext(0, vec(2, b"".join(bytes([kind]) + vec(2, n) for n in names)))


def alpn(*protos):
    return ext(16, vec(2, b"".join(vec(1, p) for p in protos)))


def ech(kind=0):
    return ext(0xfe0d, bytes([kind]) + b"\0\1\0\1\x2a" + vec(2, b"k" * 32) + vec(2, b"p" * 64))


VERSIONS = ext(43, vec(1, b"\x03\x04\x03\x03"))
SHARE = ext(51, vec(2, struct.pack(">H", 29) + vec(2, bytes(range(32)))))
GROUPS = ext(10, vec(2, b"\0\x1d\0\x17"))
GREASE = ext(0x3a3a, b"\0")


def hello(*exts, session=32, extensions=True):
    body = b"\3\3" + bytes(range(32)) + vec(1, bytes(session)) + \
        vec(2, b"\x13\1\x13\2\xc0\x2f") + vec(1, b"\0")
    if extensions:
        body += vec(2, b"".join(exts))
    return b"\1" + vec(3, body)


def record(body, kind=22, version=b"\3\1"):
    return bytes([kind]) + version + vec(2, body)


def records(message, size=16384):
    return b"".join(record(message[i:i + size]) for i in range(0, len(message), size))


def tls():
    name = b"www.example.org"
    usual = (GREASE, VERSIONS, sni(name), GROUPS, alpn(b"h2", b"http/1.1"), SHARE)
    for message in (
            hello(*usual), hello(*usual, session=0), hello(ech(), *usual), hello(*usual, ech(1)),
            hello(*usual, ext(21, bytes(300))), hello(sni(b"A-b.Example")), hello(VERSIONS),
            *(hello(ext(43, v), sni(name)) for v in (
                vec(1, b"\x3a\x3a\3\3"), vec(1, b"\3\4\3"), b"\4\3\4", b"\0", b"")),
            hello(), hello(extensions=False), hello(ext(0, b"\0\0")), hello(ext(0, b"")),
            hello(sni(name, name)), hello(sni(name), sni(name)), hello(sni(name, kind=1)),
            hello(sni(b"192.0.2.1")), hello(sni(b"a.org.")), hello(sni(b"a\0b.org")),
            hello(sni(b"")), hello(sni(b"a" * 63 + b".x")), hello(sni(b"a" * 64 + b".x")),
            hello(alpn(b"\x0a\x0a", b"h3"), sni(name)), hello(alpn(b""), sni(name)),
            hello(ext(16, b"")), hello(*usual, *usual), hello(ech(), ech()),
            hello(*usual, ext(0xffce, b"\x13\1" + bytes(36))), hello(ext(0xfe08, b""), *usual),
            hello(*usual, ext(0xfe0a, bytes(9)))):
        yield records(message)
    message = hello(*usual)
    for size in (1, 3, 4, 5, 60, 100):
        yield records(message, size)
    whole = records(message)
    yield whole[:len(whole) // 2]
    yield whole[:-1]
    yield whole + record(b"\1", 20) + record(b"early", 23)
    yield whole + whole
    yield records(message + message)
    yield record(message[:50]) + record(b"\1\0", 21) + record(message[50:])
    yield record(b"") + whole
    yield record(message, version=b"\2\0")
    yield record(b"\2" + message[1:])
    yield b"\x80\x2e\1\3\1\0\x15\0\0\0\x10" + bytes(37)


def http():
    host = b"Host: www.example.org\r\n"
    for line in (b"GET / HTTP/1.1", b"GET / HTTP/1.0", b"POST /a?b HTTP/1.1",
                 b"OPTIONS * HTTP/1.1", b"GET http://www.example.org/ HTTP/1.1",
                 b"GET http://evil.org/ HTTP/1.1", b"CONNECT www.example.org:443 HTTP/1.1",
                 b"PRI * HTTP/2.0", b"GET  / HTTP/1.1", b"GET /"):
        yield line + b"\r\n" + host + b"Accept: */*\r\n\r\n"
    for fields in (b"", b"Host:\r\n", b"host: WWW.example.ORG:8080\r\n", host + host,
                   b"Host : a.org\r\n", b" Host: a.org\r\n", host + b" more\r\n",
                   b"Host: a.org\n", b"Host: a.org\r\r\n", b"Host: [::1]:80\r\n",
                   b"Host: a.org.\r\n", b"Host: a.org:\r\n", b"A: \x80\t\0\r\n" + host,
                   b"Host: a.org, b.org\r\n", b"Host: me@a.org\r\n"):
        yield b"GET / HTTP/1.1\r\n" + fields + b"\r\n"
    yield b"GET / HTTP/1.1\r\n" + host
    yield b"GET / HTTP/1.1\r\n" + host + b"\r\nbody\r\n\r\n"


def main():
    where = sys.argv[1]
    os.makedirs(where, exist_ok=True)
    for flags, flights in ((0x20, tls()), (1, http())):
        for flight in flights:
            data = bytes([flags]) + flight
            name = hashlib.sha256(data).hexdigest()[:12]
            with open(os.path.join(where, name), "wb") as f:
                f.write(data)


main()
