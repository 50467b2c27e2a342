"""What a name may not come to mean: what a forger says (B10), an address that has
become the host's own (B15), and what another guest has learnt (B8).
"""
import ipaddress
import random
import socket
import struct
import threading
import time

import dnswire
import gateway
import lab
import names_lab
import packets as p
import servers
import stream
from cases_names import LIE, dns, refused
from names_lab import API, SITE4, SITE6, STRAY4, ask
from trial import OURS, case

UPSTREAM4, UPSTREAM6 = "203.0.114.33", "2600:1f00::33"
RULE = f'allow to name "**.{names_lab.BASE}" port tcp 2222 verify none\n'
WINDOW = 4.0                            # seconds that a flood has


# ---- forged answers ---------------------------------------------------------------

class SlowUpstream(servers.UdpServer):
    """Keeps what it is asked until truth() is called, and then answers at once."""

    def __init__(self, t, address):
        self.held, self.free = [], threading.Event()
        super().__init__(t.lab.internet, address, answer=self._hear, port=53)
        t.keep(self)

    def _hear(self, data):
        if self.free.is_set():
            return self._answer(data)
        self.held.append(data)
        return None

    @staticmethod
    def _answer(data):
        name = dnswire.Message(data).name
        return dnswire.reply(data, [(name, dnswire.A, 60, SITE4)])

    def first(self, t):
        """(peer, question) of what was asked first since the last truth()."""
        t.check(lab.wait_until(lambda: self.held, 5), "nothing was asked")
        return self.log[-len(self.held)][0], self.held[0]

    def truth(self):
        self.free.set()
        for (peer, _, _), data in zip(self.log[-len(self.held):], self.held):
            self.sock.sendto(self._answer(data), peer)

    def slow_again(self):
        self.held.clear()
        self.free.clear()


def forged(src, dst, answer):
    """packet(port, id): this answer, as from src's port 53 to a port of dst."""
    segment = struct.pack("!HHHH", 53, 0, 8 + len(answer), 0) + b"\0\0" + \
        answer[2:]
    head = p.ip(src, dst, p.UDP, segment)[:-len(segment)]
    rest = ~p.checksum(p.pseudo(src, dst, p.UDP, len(segment)) + segment) \
        & 0xffff

    def packet(port, ident):
        total = rest + port + ident
        while total >> 16:
            total = (total & 0xffff) + (total >> 16)
        return head + struct.pack("!HHHHH", 53, port, len(segment),
                                  ~total & 0xffff or 0xffff, ident) + \
            segment[10:]
    return packet


def lie(name):
    """The forger's answer. He knows what is asked, and has not seen it."""
    return dnswire.reply(dnswire.query(name), [(name, dnswire.A, 60, STRAY4)])


def guesses(seconds):
    """(port, id): each port in turn, then in disorder, while there is time."""
    end, ports = time.monotonic() + seconds, list(range(1024, 65536))
    for port in ports + random.sample(ports, len(ports)):
        if time.monotonic() > end:
            return
        yield port, random.getrandbits(16)


class Forger:
    """A host of the internet that sends from whatever address it likes."""

    def __init__(self, t, src, dst):
        family = socket.AF_INET6 if ":" in dst else socket.AF_INET
        with t.lab.internet:
            self.sock = t.keep(socket.socket(family, socket.SOCK_RAW,
                                             socket.IPPROTO_RAW))
        self.src, self.dst = src, dst

    def send(self, answer, places):
        packet, count = forged(self.src, self.dst, answer), 0
        for port, ident in places:
            self.sock.sendto(packet(port, ident), (self.dst, 0))
            count += 1
        return count


def spoofed_upstream(t, upstream, own):
    """Who has seen a question can answer it, and so the flood gets there; without
    port, id and spelling no flood can."""
    server, forger = SlowUpstream(t, upstream), Forger(t, upstream, own)
    seen, blind = f"seen.{names_lab.BASE}", f"forged.{names_lab.BASE}"
    with t.guest(policy=names_lab.policy(RULE, upstreams=(upstream,))) as guest:
        asked = guest.start("udp_raw", gateway.GATEWAY4, 53,
                            dnswire.query(seen).hex(), timeout=12.0)
        peer, question = server.first(t)
        answer = dnswire.reply(question, [(dnswire.Message(question).name,
                                           dnswire.A, 60, STRAY4)])
        forger.send(answer, [(peer[1], int.from_bytes(question[:2], "big"))])
        t.equal(dnswire.Message(bytes.fromhex(guest.finish(
            asked))).addresses(), [STRAY4], "the way is open")
        server.slow_again()
        asked = guest.start("udp_raw", gateway.GATEWAY4, 53,
                            dnswire.query(blind).hex(), timeout=12.0)
        server.first(t)
        count = forger.send(lie(blind), guesses(WINDOW))
        t.check(count >= 64512, f"{count}: not one for each port")
        server.truth()
        t.equal(dnswire.Message(bytes.fromhex(guest.finish(
            asked))).addresses(), [SITE4], "under the flood")
        t.equal(ask(guest, blind).addresses(), [SITE4], "and afterwards")
    t.note(f"{count} forged")
    t.equal({tuple(r["ips"]) for r in dns(t, name=blind)}, {(SITE4,)},
            "the records")


@case(gateways=OURS)
def forged_answers(t):
    """A flood from the internet, as from a slow upstream (B10)."""
    spoofed_upstream(t, UPSTREAM4, lab.HOST4)


@case(gateways=OURS)
def forged_answers_v6(t):
    spoofed_upstream(t, UPSTREAM6, lab.HOST6)


@case(gateways=OURS)
def forged_by_the_guest(t):
    """The guest answers its own question, from the upstream's address and from its
    own, to the gateway and to the host: none of it leaves its link (B10)."""
    server = SlowUpstream(t, UPSTREAM4)
    t.serve(servers.greet(b"x"), port=2222)
    name, count = f"forged.{names_lab.BASE}", 0
    with stream.serve(t, policy=names_lab.policy(
            RULE, upstreams=(UPSTREAM4,))) as link:
        guest = t.keep(link.attach())
        guest.send_udp(gateway.GATEWAY4, 5353, 53, dnswire.query(name))
        server.first(t)
        for dst in (lab.HOST4, gateway.GATEWAY4, lab.HOST6, gateway.GATEWAY6):
            src = UPSTREAM6 if ":" in dst else UPSTREAM4
            packet = forged(src, dst, lie(name))
            for port, ident in random.sample(list(guesses(9)), 20000):
                guest.send(packet(port, ident))
                count += 1
            packet = forged(guest.me(dst), dst, lie(name))
            for port in random.sample(range(1024, 65536), 500):
                guest.send(packet(port, port))
        server.truth()
        answer = guest.expect(lambda f: f.proto == p.UDP and f.sport == 53, 9)
        t.check(answer, "no answer")
        t.equal(dnswire.Message(answer.data).addresses(), [SITE4], "the answer")
        guest.drain()
        for place, outcome in ((STRAY4, False), (SITE4, True)):
            peer = guest.open(place, 2222)
            t.equal(peer.connect(), outcome, f"to {place}")
            peer.close()
        told = lab.wait_until(lambda: spoofed(t) >= count and spoofed(t), 5)
        t.equal(told, count, "spoofed packets in the log")
    t.equal([r["ips"] for r in dns(t)], [[SITE4]], "the records")


def spoofed(t):
    return sum(r["n"] for r in t.records("deny.agg")
               if r["reason"] == "spoofed-source")


# ---- an address that becomes the host's own ----------------------------------------------

OWN4, OWN6 = "203.0.114.35", "2600:1f00::35"


class OwnAddresses:
    """Addresses that the host gets, and loses at the latest with the case."""

    def __init__(self, *places):
        self.places = places
        self._each("add", "nodad")

    def _each(self, verb, more=""):
        lab.ip_batch("".join(
            f"address {verb} {a}/{128 if ':' in a else 32} dev lo "
            f"{more if ':' in a else ''}\n" for a in self.places))

    def close(self):
        if self.places:
            self._each("delete")
        self.places = ()


def spellings(v4):
    """IPv6 addresses that hold this one, and whether they are reached otherwise."""
    raw = ipaddress.ip_address(v4).packed.hex()
    high, low = raw[:4], raw[4:]
    return [(f"64:ff9b::{v4}", True), (f"2600:1f00::5efe:{high}:{low}", True),
            (f"2600:1f00::200:5efe:{high}:{low}", True), (f"::ffff:{v4}", True),
            (f"::{v4}", False), (f"::ffff:0:{high}:{low}", False),
            (f"2002:{high}:{low}::1", False),
            (f"64:ff9b:1:{high}:{low[:2]}:{low[2:]}00::", False),
            (f"2001::{int(high, 16) ^ 0xffff:x}:{int(low, 16) ^ 0xffff:x}",
             False)]


def forwarded(guest, names, qtype):
    """{name: addresses} of many questions at once."""
    got = names_lab.answers(guest, [dnswire.query(n, qtype) for n in names])
    return {names[n]: m.addresses() for n, (m, _) in got.items()}


@case(quick=True, gateways=OURS)
def address_becomes_ours(t):
    """The host gets an address that a pinned name has: denied within a second,
    stripped from the next answer, and free again when the host has lost it (B15)."""
    spelt = {f"s{n}.lie.example.net": row
             for n, row in enumerate(spellings(OWN4))}
    table = {name: {dnswire.AAAA: (0, [text])}
             for name, (text, _) in spelt.items()}
    table["both.lie.example.net"] = {dnswire.A: (0, [OWN4]),
                                     dnswire.AAAA: (0, [OWN6])}
    table["part.lie.example.net"] = {dnswire.A: (0, [OWN4, SITE4])}
    table["alias.lie.example.net"] = {dnswire.CNAME: (
        0, ["both.lie.example.net"])}
    names_lab.World(t, liar=table)
    t.serve(servers.greet(b"x"), port=22)
    canary = t.serve(servers.greet(b"x"), netns=t.lab.host, port=22)
    with t.guest(policy=names_lab.policy(LIE)) as guest:
        before = forwarded(guest, list(spelt), dnswire.AAAA)
        t.equal({n: bool(a) for n, a in before.items()},
                {n: free for n, (_, free) in spelt.items()}, "spellings")
        t.equal(guest.call("lookup", "both.lie.example.net")[1], [OWN4, OWN6])
        for place in (OWN4, OWN6):
            t.equal(guest.call("connect", place, 22)[0], "ok", place)
        ours = t.keep(OwnAddresses(OWN4, OWN6))
        time.sleep(0.5)                 # a second is promised
        for place in (OWN4, OWN6, *sum(before.values(), [])):
            t.equal(guest.call("connect", place, 22)[0], "ECONNREFUSED", place)
        for name in ("both", "alias"):
            for qtype in (dnswire.A, dnswire.AAAA):
                message = ask(guest, f"{name}.lie.example.net", qtype)
                t.equal((message.rcode, message.answers), (0, []), name)
        t.equal(ask(guest, "part.lie.example.net").addresses(), [SITE4])
        t.equal(forwarded(guest, list(spelt), dnswire.AAAA),
                {n: [] for n in spelt}, "spellings of what is ours")
        t.equal(canary.log, [], "connections to the host")
        ours.close()
        late = 0                        # a second is promised here, too
        while any(guest.call("connect", place, 22)[0] != "ok"
                  for place in (OWN4, OWN6)):
            late += 1
            t.check(late < 20, "still denied")
            time.sleep(0.05)
        t.equal(ask(guest, "both.lie.example.net").addresses(), [OWN4])
    denied = names_lab.all_denied(t)
    t.equal(denied, {"floor-local": 2 + late + sum(f for _, f in spelt.values())})
    stripped = [r for r in dns(t, name="both.lie.example.net")
                if r.get("reason") == "rebinding-stripped"]
    t.equal([(r["verdict"], r["stripped"], r.get("ips", [])) for r in stripped],
            [("deny", 1, [])] * 2, "records")


@case(quick=True, gateways=OURS)
def ours_by_name(t):
    """0.0.0.0, ::, loopback and the host's own, in every spelling, by a name (B15)."""
    rows = [(dnswire.AAAA, a) for a in ("::", "::1", lab.HOST6)]
    for v4 in ("0.0.0.0", "0.1.2.3", "127.0.0.1", lab.HOST4):
        rows.append((dnswire.A, v4))
        rows += [(dnswire.AAAA, a) for a, _ in spellings(v4)]
    names = [f"z{n}.lie.example.net" for n in range(len(rows))]
    names_lab.World(t, liar={n: {q: (0, [a])}
                             for n, (q, a) in zip(names, rows)})
    canary = t.serve(servers.greet(b"x"), netns=t.lab.host, port=22)
    with t.guest(policy=names_lab.policy(
            'allow to any port tcp 1-24 label "any"\n')) as guest:
        got = names_lab.answers(guest, [dnswire.query(n, q) for n, (q, _)
                                        in zip(names, rows)])
        t.equal({rows[n]: (m.rcode, m.answers) for n, (m, _) in got.items()},
                {row: (0, []) for row in rows})
        for _, place in rows:
            if ":" in place and place not in ("::", "::1"):
                t.check(guest.call("connect", place, 22, 2)[0] != "ok", place)
    t.equal(canary.log, [], "connections to the host")
    t.equal(refused(t), {(n, "rebinding-stripped"): 1 for n in names})


# ---- another guest's pins ---------------------------------------------------------------

@case(quick=True, gateways=OURS)
def pins_of_another(t):
    """Two daemons under one policy file: what the first guest has looked up opens
    nothing to the second, until it asks itself (B8)."""
    names_lab.World(t)
    server = t.serve(servers.greet(b"x"), port=2222)
    rule = f'allow to name "{API}" port tcp 2222 verify none\n'
    first = t.guest(policy=names_lab.policy(rule))
    with first as one:
        t.equal(one.call("lookup", API)[1], [SITE4, SITE6])
        second = t.guest(policy_file=first.policy_file)
        with second as other:
            for place in (SITE4, SITE6):
                t.equal(one.call("connect", place, 2222)[0], "ok", place)
                t.equal(other.call("connect", place, 2222)[0], "ECONNREFUSED",
                        f"{place} of the second guest")
            t.equal(len(server.log), 2, "connections at the server")
            t.equal(ask(other, API).addresses(), [SITE4])
            t.equal(other.call("connect", SITE4, 2222)[0], "ok")
            t.equal(other.call("connect", SITE6, 2222)[0], "ECONNREFUSED",
                    "what it has not asked for")
        t.equal(one.call("connect", SITE6, 2222)[0], "ok", "the first goes on")
    t.check(first.log != second.log, "one log for both")
    t.equal([r["reason"] for r in t.records("flow.deny")], ["no-pin"] * 3)
    # what a kernel says to all on its link is its frame's to count
    t.equal([r["type"] for r in first.records()
             if r["type"] in ("flow.deny", "deny.agg") and
             r.get("csrc") != "frame"], [], "of the first")
