#!/usr/bin/python3
"""Two implementations, one truth: libunbound and our stub are asked the same
about a generated zone, behind a server with many manners. They must agree on
status, addresses, chain and TTL, with each other and with the zone.

usage: differ.py [ANSWERS [SEED]]     (400 1; check-system takes 10000)"""

import random
import struct
import sys
import time

sys.dont_write_bytecode = True
import dns  # noqa: E402
from dns import CNAME, NOERROR, NXDOMAIN, Server, labels, reply, rr, soa  # noqa: E402
from drive import *  # noqa: E402

LDH = "abcdefghijklmnopqrstuvwxyz0123456789"


class Zone:
    """{name: (ttl, {type: [data]})}, and the names that are asked about."""

    def __init__(self, count, seed):
        self.chance = random.Random(seed)
        self.names, self.asked, self.manner = {}, [], {}
        while len(self.asked) * 2 < count:
            self.grow()

    def label(self):
        c = self.chance
        n = c.choice((1, 2, 3, 5, 8, 20, 63))
        text = "".join(c.choice(LDH + "-_") for _ in range(n))
        return text.strip("-") or "x"

    def fresh(self):
        while True:
            name = ".".join(self.label() for _ in range(
                self.chance.choice((1, 1, 2, 3)))) + ".test"
            if len(name) <= 253 and name not in self.names:
                return name

    def addresses(self):
        c = self.chance
        return {A: [f"198.{c.choice((18, 19))}.{c.randrange(256)}."
                    f"{c.randrange(256)}" for _ in range(
                        c.choice((0, 1, 1, 2, 5, 30, 70, 256, 300)))],
                AAAA: [f"2001:db8::{c.randrange(65536):x}:"
                       f"{c.randrange(1, 65536):x}" for _ in range(
                           c.choice((0, 0, 1, 3)))]}

    def add(self, name, records):
        ttl = self.chance.choice((60, 300, 301, 3600, 86400))
        self.names[name] = (ttl, {k: list(dict.fromkeys(v))
                                  for k, v in records.items() if v})

    def grow(self):
        c = self.chance
        first = here = self.fresh()
        kind = c.choice(("plain", "plain", "chain", "chain", "loop", "none",
                         "dangling", "nohost", "join", "servfail"))
        self.asked.append(first)
        self.manner[first] = c.randrange(1 << 30)
        if kind == "none":
            return
        if kind == "servfail":
            self.names[first] = (0, None)
            return
        if kind != "plain":
            for _ in range(c.choice((1, 1, 2, 3, 7, 8, 9, 10))):
                self.names[here] = (0, {})
                there = self.fresh()
                self.add(here, {CNAME: [there]})
                here = there
        if kind in ("plain", "chain"):
            self.add(here, self.addresses())
        elif kind == "loop":
            self.add(here, {CNAME: [c.choice([first, here])]})
        elif kind == "nohost":
            self.add(here, {CNAME: [c.choice((
                b"\x04a.b.\x04test\0", b"\x01*\x04test\0", b"\x02a \0",
                b"\x03-ab\x04test\0", b"\x03\xc3\xa4a\x04test\0"))]})
        elif kind == "join":
            known = [n for n in self.asked[:-1] if n in self.names]
            if known:
                self.add(here, {CNAME: [c.choice(known)]})

    # ---- the server ------------------------------------------------------------

    def owner(self, c, q, name, manner):
        if name == q.name and manner != "plain" and c.random() < 0.7:
            return b"\xc0\x0c"
        parts = name.split(".")
        if manner == "spelled":
            parts = ["".join(c.choice((x.lower(), x.upper())) for x in p)
                     for p in parts]
        if manner == "pointers" and q.question[-10:-4] == b"\4test\0":
            at = 12 + len(q.question) - 10
            return labels(".".join(parts[:-1]))[:-1] + struct.pack(
                "!H", 0xc000 | at)
        return labels(".".join(parts))

    def serve(self, q):
        c = random.Random(f"{q.name} {q.type}")
        manner = c.choice(("plain", "spelled", "pointers", "noisy", "double"))
        out, at, rcode, seen = [], q.name, NOERROR, set()
        while True:
            ttl, here = self.names.get(at, (0, "nx"))
            if here is None:
                return reply(q, rcode=dns.SERVFAIL)
            if here == "nx":
                rcode = NXDOMAIN
            elif CNAME in here and at not in seen:
                seen.add(at)
                target = here[CNAME][0]
                out.append(rr(self.owner(c, q, at, manner), CNAME, target, ttl))
                if isinstance(target, bytes):
                    rcode = NXDOMAIN
                    break
                at = target
                continue
            else:
                out += [rr(self.owner(c, q, at, manner), q.type, d, ttl)
                        for d in here.get(q.type, ())]
            break
        found = here != "nx" and isinstance(here, dict) and here.get(q.type)
        if manner == "noisy":
            noise = [rr("noise.test", A, "6.6.6.6"), rr(None, 16, b"\4text"),
                     rr(None, 65280, b"\0" * 9)]
            out = noise[:1] + out + noise[1:]
        elif manner == "double":
            out += out[-1:]
        m = reply(q, out, rcode, authority=[] if found else [soa("test")])
        if q.transport == "udp" and len(m) > (1232 if q.edns else 512):
            return reply(q, flags=dns.QR | dns.RD | dns.RA | dns.TC)
        return m


def truth(zone, text, qtype):
    """(word, addresses, chain, TTL), from the zone alone."""
    chain, ttls, at = [], [], text
    while True:
        ttl, here = zone.names.get(at, (0, "nx"))
        if here is None:
            return "failed", [], [], 0
        if here == "nx":
            return "nxdomain", [], chain, 0
        if CNAME not in here:
            break
        at = here[CNAME][0]
        if isinstance(at, bytes) or len(chain) == CHAIN:
            return "failed", [], [], 0
        chain.append(at)
        ttls.append(ttl)
    addr = here.get(qtype, [])
    if not addr:
        return "nodata", [], chain, 0
    return "resolved", sorted(addr), chain, min(ttls + [ttl])


def wrong(want, got, engine):
    """None, or what."""
    word, addr, chain, ttl = want
    if len(addr) > ADDRESSES:       # which of them are left out is free
        right = len(got.addr) == ADDRESSES and set(got.addr) < set(addr) and \
            (WORD[got.status], got.chain, got.more) == (word, chain, 1)
    else:
        right = (got.key(), got.more) == ((word, addr, chain), 0)
    if word == "resolved":          # a cache lets it run down
        top = ttl if engine == "stub" else min(ttl, 3600)
        right = right and top - (0 if engine == "stub" else 60) <= got.ttl <= top
    return None if right else f"{engine}: {got}, and the zone says {want}"


def main():
    if engines() != ["stub", "unbound"]:
        print("skipped: only one of the engines is built")
        return SKIP
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    zone = Zone(count, seed)
    questions = [(n, t) for n in zone.asked for t in (A, AAAA)]
    got, took = {}, {}
    with Server(zone.serve) as s:
        for engine in ("stub", "unbound"):
            began = time.monotonic()
            with Resolver(engine, [s.upstream()]) as r:
                got[engine] = r.ask_all(questions, timeout=600, window=300)
            took[engine] = time.monotonic() - began
    bad, kinds = 0, {}
    for q in questions:
        want = truth(zone, *q)
        kind = want[0] + ("+chain" if want[2] else "")
        kinds[kind] = kinds.get(kind, 0) + 1
        why = [w for e in got if (w := wrong(want, got[e][q], e))]
        bad += bool(why)
        if why and bad <= 10:
            print(q, *why, sep="\n    ")
    print(f"seed {seed}: {len(questions)} answers, {bad} wrong; "
          + ", ".join(f"{v} {k}" for k, v in sorted(kinds.items()))
          + "; " + ", ".join(f"{e} {t:.1f} s" for e, t in took.items()))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
