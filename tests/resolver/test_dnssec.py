#!/usr/bin/python3
"""DNSSEC: what is signed is `secure`, what is forged is BOGUS. The root of these
tests is signed with a key that everybody knows (anchor.c), in Ed25519 (RFC 8080)
by openssl(1), and holds its names itself.

usage: test_dnssec.py [TEST...]"""

import base64
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import dns  # noqa: E402
from dns import CNAME, NXDOMAIN, Server, labels, reply, rr  # noqa: E402
from drive import *  # noqa: E402

ENGINE = program("anchor")
SECRET = b"Sallyport: everybody knows this."
RRSIG, NSEC, DNSKEY, OPT, ED25519 = 46, 47, 48, 41, 15
TTL = 300
ZONE = {
    "": {},
    "a.test": {A: [b"\xc0\0\2\1", b"\xc0\0\2\2"]},
    "alias.test": {CNAME: [labels("a.test")]},
}


def openssl(*words, data=None):
    return subprocess.run(["openssl", *words], input=data, check=True,
                          capture_output=True).stdout


def pem():
    """RFC 8410, 7: the secret is the key."""
    der = bytes.fromhex("302e020100300506032b657004220420") + SECRET
    return b"-----BEGIN PRIVATE KEY-----\n" + base64.b64encode(der) + \
        b"\n-----END PRIVATE KEY-----\n"


def dnskey():
    public = openssl("pkey", "-pubout", "-outform", "DER", data=pem())[-32:]
    return struct.pack("!HBB", 257, 3, ED25519) + public


def tag(key):
    total = sum(b << 8 if i % 2 == 0 else b for i, b in enumerate(key))
    return (total + (total >> 16)) & 0xffff


def ds(key):
    return (f". IN DS {tag(key)} {ED25519} 2 "
            + hashlib.sha256(b"\0" + key).hexdigest().upper())


def sign(key, owner, kind, data, begins=None, ends=None):
    """RFC 4034, 3.1.8.1."""
    now = int(time.time())
    head = struct.pack("!HBBIIIH", kind, ED25519, owner.count(".") + 1
                       if owner else 0, TTL, ends or now + 3600,
                       begins or now - 3600, tag(key)) + b"\0"
    body = b"".join(labels(owner) + struct.pack("!HHIH", kind, 1, TTL, len(d))
                    + d for d in sorted(data))
    with tempfile.TemporaryDirectory() as work:
        path = os.path.join(work, "k.pem")
        with open(path, "wb") as f:
            f.write(pem())
        with open(os.path.join(work, "data"), "wb") as f:
            f.write(head + body)
        return head + openssl("pkeyutl", "-sign", "-rawin", "-inkey", path,
                              "-in", os.path.join(work, "data"))


def bitmap(kinds):
    bits = bytearray(max(kinds) // 8 + 1)
    for k in kinds:
        bits[k // 8] |= 0x80 >> k % 8
    return bytes([0, len(bits)]) + bytes(bits)


class Root:
    def __init__(self, **times):
        self.key, self.times, self.known = dnskey(), times, {}

    def signed(self, owner, kind, data):
        if (owner, kind) not in self.known:
            self.known[owner, kind] = [rr(owner, kind, d, TTL) for d in data] \
                + [rr(owner, RRSIG, sign(self.key, owner, kind, data,
                                         **self.times), TTL)]
        return list(self.known[owner, kind])

    def nsec(self, owner):
        names = list(ZONE)          # in canonical order (RFC 4034, 6.1)
        after = names[(names.index(owner) + 1) % len(names)]
        kinds = list(ZONE[owner]) + [RRSIG, NSEC] + ([DNSKEY] if not owner else [])
        return self.signed(owner, NSEC, [labels(after) + bitmap(kinds)])

    def serve(self, q):
        out, authority, rcode, at = [], [], dns.NOERROR, q.name
        opt = [b"\0" + struct.pack("!HHIH", OPT, 1232, 0x8000, 0)]
        if (at, q.type) == ("", DNSKEY):
            out = self.signed("", DNSKEY, [self.key])
        elif at in ZONE:
            if CNAME in ZONE[at]:
                out += self.signed(at, CNAME, ZONE[at][CNAME])
                at = "a.test"
            if q.type in ZONE[at]:
                out += self.signed(at, q.type, ZONE[at][q.type])
            else:
                authority = self.nsec(at)
        else:
            rcode = NXDOMAIN        # neither it nor a wildcard in its place
            authority = self.nsec("alias.test") + self.nsec("")
        return reply(q, out, rcode, authority=authority, more=opt)


def one(serve, text="a.test", qtype=A, dnssec=1):
    with Server(serve) as s, \
            Resolver(ENGINE, [s.upstream()], dnssec=dnssec) as r:
        return r.ask(text, qtype)


def test_anchor(engine):
    """The DS that anchor.c has is this key's."""
    with open(os.path.join(SRC, "tests/resolver/anchor.c")) as f:
        text = f.read().replace('"\n\t"', "")
    assert f'"{ds(dnskey())}"' in text, ds(dnskey())


def test_secure(engine):
    root = Root()
    with Server(root.serve) as s, \
            Resolver(ENGINE, [s.upstream()], dnssec=1) as r:
        got = r.ask("a.test")
        assert (got.key(), got.secure) == (
            ("resolved", ["192.0.2.1", "192.0.2.2"], []), 1), got
        got = r.ask("alias.test")
        assert (got.key(), got.secure) == (
            ("resolved", ["192.0.2.1", "192.0.2.2"], ["a.test"]), 1), got
        got = r.ask("a.test", AAAA)
        assert (got.status, got.secure) == (NODATA, 1), got
        got = r.ask("nowhere.test")
        assert (got.status, got.secure) == (NXDOMAIN, 1), got


def test_not_asked_for(engine):
    got = one(Root().serve, dnssec=0)
    assert (got.status, got.secure) == (RESOLVED, 0), got


def test_forged(engine):
    root = Root()

    def serve(q):
        return root.serve(q).replace(b"\xc0\0\2\1", b"\6\6\6\6")

    got = one(serve)
    assert (got.status, got.addr, got.secure) == (BOGUS, [], 0), got
    # and who does not ask for DNSSEC gets what he is told
    assert "6.6.6.6" in one(serve, dnssec=0).addr


def test_stripped(engine):
    root = Root()

    def serve(q):
        if q.type == DNSKEY:
            return root.serve(q)
        return reply(q, [rr(None, A, "6.6.6.6")])

    assert one(serve).status == BOGUS


def test_denied(engine):
    """An NXDOMAIN that nobody signed."""
    root = Root()
    got = one(lambda q: root.serve(q) if q.type == DNSKEY else
              reply(q, rcode=NXDOMAIN))
    assert (got.status, got.secure) == (BOGUS, 0), got


def test_expired(engine):
    now = int(time.time())
    assert one(Root(begins=now - 9 * 86400, ends=now - 2 * 86400).serve
               ).status == BOGUS


def test_another_key(engine):
    root = Root()
    root.key = root.key[:-1] + bytes([root.key[-1] ^ 1])
    assert one(root.serve).status == BOGUS


if __name__ == "__main__":
    if not os.access(ENGINE, os.X_OK):
        print("skipped: libunbound is not built in")
        sys.exit(SKIP)
    if shutil.which("openssl") is None:
        print("skipped: there is no openssl(1) to sign with")
        sys.exit(SKIP)
    sys.exit(run([f for n, f in list(globals().items())
                  if n.startswith("test_")], ["anchor"]))
