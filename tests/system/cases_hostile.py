"""A hostile guest: testing.md's list of what broke others, over the stream link,
and frames with lying offload headers injected into a tap guest's namespace.

After each: the same frame process is there, it is idle when left alone, and a
fresh connection works.
"""
import random
import socket
import struct
import time

import dnswire
import lab
import packets as p
import servers
import stream
from cases_stream import works
from trial import OURS, case

RSS_MAX = 128 << 20
ECHO = struct.pack("!HH", 7, 1)


class Attack:
    """A stream guest and the means to see that the gateway is unharmed."""

    def __init__(self, t, link):
        self.t = t
        self.link = link
        self.server = t.serve(servers.echo)
        self.guest = t.keep(link.attach())
        self.frame = t.pid("sallyport-frame")
        self.broker = t.pid("sallyport-broker")
        self.fds = (lab.fd_count(self.frame), lab.fd_count(self.broker))
        works(t, self.guest, self.server)

    def ip(self, dst, proto, payload, **how):
        src = self.guest.me(dst)
        self.guest.send(p.ip(src, dst, proto, payload, **how))

    def link_frame(self, kind, payload, dst=None):
        self.guest.frame(p.ethernet(dst or self.guest.gate_mac,
                                    stream.GUEST_MAC, kind, payload))

    def unharmed(self, what):
        """The liveness check of every hostile case."""
        t = self.t
        t.check(not self.guest.ended.is_set(), f"{what}: the link was dropped")
        self.guest.drain()
        try:
            works(t, self.guest, self.server)
        except Exception as error:
            raise type(error)(f"{what}: {error}") from error
        t.equal(t.pid("sallyport-frame"), self.frame, f"{what}: the frame")
        t.equal(t.pid("sallyport-broker"), self.broker, f"{what}: the broker")
        for pid in (self.frame, self.broker):
            t.check(lab.rss(pid) < RSS_MAX, f"{what}: memory of "
                    f"{lab.program(pid)} {lab.rss(pid) >> 20} MiB")

    def quiet(self, what):
        """Idle means idle, and no fd is left."""
        time.sleep(0.3)
        before = lab.cpu_ns(self.frame) + lab.cpu_ns(self.broker)
        time.sleep(1)
        used = (lab.cpu_ns(self.frame) + lab.cpu_ns(self.broker) - before) / 1e6
        self.t.check(used < 20, f"{what}: {used:.0f} ms of CPU while idle")


def attack(*steps):
    """A case made of steps: each is a function of Attack."""
    def body(t):
        with stream.serve(t) as link:
            a = Attack(t, link)
            for step in steps:
                step(a)
                a.unharmed(step.__name__)
            a.quiet(steps[-1].__name__)
    return body


# ---- frames and IP headers --------------------------------------------------------

def cut_frames(a):
    """Frames that end inside ARP, IP and transport headers: every length."""
    src, dst = a.guest.own[4], lab.LIVE4
    whole = [(p.ETH_ARP, p.arp(1, stream.GUEST_MAC, src, b"\0" * 6,
                               a.guest.gate[4])),
             (p.ETH_IP4, p.ip4(src, dst, p.TCP, p.tcp(src, dst, 1, 2, 3, 4,
                                                      p.SYN))),
             (p.ETH_IP4, p.ip4(src, dst, p.UDP, p.udp(src, dst, 1, 2, b"xy"))),
             (p.ETH_IP4, p.ip4(src, a.guest.gate[4], p.ICMP,
                               p.icmp(8, 0, ECHO, b"abcd"))),
             (p.ETH_IP6, p.ip6(a.guest.own[6], lab.LIVE6, p.TCP, p.tcp(
                 a.guest.own[6], lab.LIVE6, 1, 2, 3, 4, p.SYN))),
             p.solicit(stream.GUEST_MAC, a.guest.own[6], a.guest.gate[6])]
    whole[-1] = (p.ETH_IP6, whole[-1][1])
    for kind, body in whole:
        for length in range(len(body)):
            a.link_frame(kind, body[:length])


def unknown_frames(a):
    for kind in (0, 1, 46, 1500, 0x0805, 0x8035, 0x8100, 0x8863, 0x88f8,
                 0x9000, 0xffff):
        for length in (0, 1, 4, 46, 1500, 65000):
            a.link_frame(kind, b"\xaa" * length)
            a.link_frame(kind, b"\xaa" * length, b"\xff" * 6)
            a.link_frame(kind, b"\xaa" * length, b"\1\0\x5e\0\0\1")


def lying_ip4_headers(a):
    src, dst = a.guest.own[4], lab.LIVE4
    body = p.udp(src, dst, 9, 9, b"x" * 20)
    for length in (0, 1, 19, 20, 27, 28, 47, 49, 1000, 65535):
        a.ip(dst, p.UDP, body, length=length)
    for ihl in (0, 1, 4, 6, 10, 12, 14, 15):
        a.ip(dst, p.UDP, body, ihl=ihl)
    for version in (0, 3, 5, 6, 15):
        packet = p.ip4(src, dst, p.UDP, body, version=version)
        a.link_frame(p.ETH_IP4, packet)
        a.link_frame(p.ETH_IP6, packet)
    a.ip(dst, p.UDP, body, total=0x1111)
    a.ip(dst, p.UDP, body, ttl=0)
    for options in (b"\x83\x27\4" + b"\0" * 37, b"\x44\x28\5\0" + b"\0" * 36,
                    b"\x07\0\0\0", b"\x94\4\0\0", b"\xff" * 40, b"\1" * 40):
        a.ip(dst, p.UDP, body, options=options)
    for proto in range(256):
        if proto != p.TCP:
            a.ip(dst, proto, b"\0" * 64)


def bad_addresses(a):
    """Sources and destinations that no packet may have."""
    body = b"x" * 20
    for dst in ("0.0.0.0", "255.255.255.255", "10.83.80.255", "224.0.0.1",
                "239.255.255.250", "127.0.0.1", "240.0.0.1", a.guest.own[4]):
        for proto in (p.UDP, p.TCP, p.ICMP):
            a.ip(dst, proto, body)
    for dst in ("::", "::1", "ff02::1", "ff02::fb", "fe80::1", "ff0e::1",
                "::ffff:203.0.114.10", "fec0::1", a.guest.own[6]):
        for proto in (p.UDP, p.TCP, p.ICMP6):
            a.ip(dst, proto, body)
    for src in ("::", "::1", "ff02::1", "fe80::1"):
        a.guest.send(p.ip6(src, lab.LIVE6, p.UDP, body))
    for src, dst in (("10.83.80.2", "10.83.80.2"), ("10.83.80.100", "10.83.80.100")):
        a.guest.send(p.ip4(src, dst, p.TCP, p.tcp(src, dst, 7, 7, 1, 1, p.SYN)))


def ip6_extensions(a):
    """Header chains: lengths that wrap, loops, nothing behind them."""
    src, dst = a.guest.own[6], lab.LIVE6
    tail = p.udp(src, dst, 5, 5, b"x" * 8)
    for kind in (0, 43, 44, 50, 51, 60, 135, 59):
        for length in (0, 1, 5, 254, 255):
            header = bytes([p.UDP, length]) + b"\1\4" + b"\0" * 4
            a.ip(dst, kind, header + tail)
            a.ip(dst, kind, header[:3])
        chain = (bytes([kind, 0]) + b"\1\4\0\0\0\0") * 1000
        a.ip(dst, kind, chain + tail)
    for option in (b"\0" * 6, b"\1\0\1\0\1\0", b"\xc2\4\0\1\0\0",
                   b"\5\2\0\0\0\0", b"\xff\xff\0\0\0\0", b"\1\xff\0\0\0\0"):
        a.ip(dst, 0, bytes([p.UDP, 0]) + option + tail)
        a.ip(dst, 60, bytes([p.UDP, 0]) + option + tail)
    for length in (0, 1, 7, 8, 39, 65535):
        a.ip(dst, p.UDP, tail, length=length)


def fragments(a):
    """Teardrop, ping of death, overlaps, holes; and many that never end."""
    src, dst = a.guest.own[4], lab.LIVE4
    body = p.icmp(8, 0, ECHO, b"x" * 1400)
    for offset, more in ((0, 1), (8189, 0), (8191, 1), (1, 1), (3, 0), (0, 0)):
        for ident in range(20):
            a.ip(dst, p.ICMP, body, ident=ident, frag=more << 13 | offset)
    for ident in range(3000):
        a.ip(dst, p.UDP, b"y" * 64, ident=ident, frag=0x2000)
    for offset in (0, 1, 8191):
        for ident in range(300):
            head = struct.pack("!BBHI", p.UDP, 0, offset << 3 | 1, ident)
            a.guest.send(p.ip6(a.guest.own[6], lab.LIVE6, 44, head + b"z" * 64))
    a.ip(a.guest.gate[4], p.ICMP, p.ip4(src, dst, p.UDP, b""), frag=0x2000)


@case(gateways=OURS)
def hostile_ip(t):
    attack(cut_frames, unknown_frames, lying_ip4_headers, bad_addresses,
           ip6_extensions, fragments)(t)


# ---- ARP, NDP, ICMP ---------------------------------------------------------------------

def arp_storm(a):
    """Claims for every address of the LAN, the gateway's and our own."""
    for number in range(256):
        for op in (1, 2):
            a.link_frame(p.ETH_ARP, p.arp(
                op, stream.GUEST_MAC, f"10.83.80.{number}", b"\0" * 6,
                f"10.83.80.{255 - number}"), b"\xff" * 6)
    good = p.arp(1, stream.GUEST_MAC, a.guest.own[4], b"\0" * 6,
                 a.guest.gate[4])
    for place in range(8):
        for value in (0, 1, 7, 255):
            a.link_frame(p.ETH_ARP, good[:place] + bytes([value])
                         + good[place + 1:])


def ndp_lies(a):
    """Option lengths 0, odd, beyond the end; hop limits; redirects; RAs."""
    own, gate = a.guest.own[6], a.guest.gate[6]
    target = p.address(gate)
    options = [b"", b"\1", b"\1\0" + b"\0" * 6, b"\1\1", b"\1\2" + b"\0" * 6,
               b"\1\xff" + b"\0" * 6, b"\x19\2" + b"\0" * 14,
               b"\1\1" + b"\xff" * 6, (b"\1\1" + b"\0" * 6) * 500]
    for kind in (133, 134, 135, 136, 137):
        for option in options:
            for hops in (255, 254, 0):
                for rest in (target, target + target, b"\0" * 8, b""):
                    a.ip(gate, p.ICMP6, p.icmp6(own, gate, kind, 0, b"\0" * 4,
                                                rest + option), hops=hops)


def icmp_lies(a):
    """Echo requests shorter than they say, replies nobody asked for, errors."""
    gate = a.guest.gate[4]
    for length in range(0, 9):
        a.ip(gate, p.ICMP, p.icmp(8, 0, ECHO)[:length])
    for kind in range(256):
        for code in (0, 1, 4, 255):
            a.ip(lab.LIVE4, p.ICMP, p.icmp(kind, code, ECHO, b"x" * 28))
    inner = p.ip4(lab.LIVE4, a.guest.own[4], p.TCP, b"\0" * 8)
    for mtu in (0, 1, 68, 576, 1279, 65535):
        a.ip(gate, p.ICMP, p.icmp(3, 4, struct.pack("!HH", 0, mtu), inner))
        a.ip(a.guest.gate[6], p.ICMP6, p.icmp6(
            a.guest.own[6], a.guest.gate[6], 2, 0, struct.pack("!I", mtu),
            inner))
    for ihl in (0, 4, 15):
        a.ip(gate, p.ICMP, p.icmp(3, 3, b"\0" * 4, p.ip4(
            lab.LIVE4, a.guest.own[4], p.UDP, b"", ihl=ihl)))


def echo_keeps_to_itself(a):
    """A reply never has bytes that were not sent (CVE-2020-10756)."""
    a.guest.drain()
    gate6 = a.guest.gate[6]
    body = p.icmp6(a.guest.own[6], gate6, 128, 0, ECHO, b"secret?")
    a.ip(gate6, p.ICMP6, body, length=1000)
    a.ip(gate6, p.ICMP6, body)
    replies = []
    while True:
        f = a.guest.expect(lambda f: f.proto == p.ICMP6 and
                           f.payload[0] == 129, 0.5)
        if f is None:
            break
        replies.append(f.payload[4:])
    a.t.equal(replies, [ECHO + b"secret?"], "replies")


@case(gateways=OURS)
def hostile_neighbours(t):
    attack(arp_storm, ndp_lies, icmp_lies, echo_keeps_to_itself)(t)


# ---- UDP -----------------------------------------------------------------------------------

def udp_lies(a):
    """Length fields below 8, beyond the packet; port 0."""
    for dst in (lab.LIVE4, lab.LIVE6):
        src = a.guest.me(dst)
        for length in (0, 1, 7, 9, 100, 65535):
            a.ip(dst, p.UDP, p.udp(src, dst, 9, 9, b"x", length=length))
        for cut in range(8):
            a.ip(dst, p.UDP, p.udp(src, dst, 9, 9, b"")[:cut])
        for sport, dport in ((0, 9), (9, 0), (0, 0)):
            a.ip(dst, p.UDP, p.udp(src, dst, sport, dport, b"x"))


def dhcp_and_friends(a):
    """Every length of nonsense to the gateway's well-known ports."""
    for port in (53, 67, 69, 123, 137, 161, 500, 546, 547, 1900, 5353):
        for dst in (a.guest.gate[4], "255.255.255.255", a.guest.gate[6]):
            src = a.guest.me(dst)
            for length in list(range(0, 40)) + [235, 236, 240, 241, 300]:
                a.ip(dst, p.UDP, p.udp(src, dst, 68, port, b"\1" * length))


def dns_lies(a):
    """Queries with counts that are not so, labels that loop or run out."""
    gate, src = a.guest.gate[4], a.guest.own[4]
    heads = [struct.pack("!HHHHHH", 1, 0x0100, *counts) for counts in (
        (1, 0, 0, 0), (0, 0, 0, 0), (65535, 65535, 65535, 65535),
        (1, 0, 0, 1))]
    names = [b"\3www\0\0\1\0\1", b"\xc0\x0c\0\1\0\1", b"\x3f" + b"a" * 20,
             b"\3www", b"", b"\xff" * 300, b"\1a" * 200 + b"\0\0\1\0\1",
             b"\0\0\1\0\1"]
    for head in heads:
        for name in names:
            for cut in (len(name), len(name) // 2):
                a.ip(gate, p.UDP, p.udp(src, gate, 999, 53, head + name[:cut]))
    a.ip(gate, p.UDP, p.udp(src, gate, 999, 53, struct.pack(
        "!HHHHHH", 1, 0x8180, 1, 0, 0, 0) + names[0]))      # an answer


@case(gateways=OURS)
def hostile_udp(t):
    attack(udp_lies, dhcp_and_friends, dns_lies)(t)


# ---- TCP ----------------------------------------------------------------------------------

def segment(a, **how):
    dst = how.pop("dst", lab.LIVE4)
    src = a.guest.me(dst)
    flags = how.pop("flags", p.SYN)
    args = {"sport": 4444, "dport": a.server.port, "seq": 1, "ack": 0}
    args.update({k: how.pop(k) for k in list(how) if k in args})
    a.ip(dst, p.TCP, p.tcp(src, dst, args["sport"], args["dport"],
                           args["seq"], args["ack"], flags, **how))


def tcp_headers(a):
    """Every flag combination, data offset, and port 0."""
    for flags in range(256):
        segment(a, flags=flags, sport=10000 + flags)
    for offset in range(16):
        for payload in (b"", b"x" * 40):
            segment(a, offset=offset, payload=payload, sport=11000 + offset)
    for sport, dport in ((0, a.server.port), (4444, 0), (0, 0)):
        for flags in (p.SYN, p.ACK, p.RST, p.FIN):
            segment(a, sport=sport, dport=dport, flags=flags)
    for cut in range(20):
        a.ip(lab.LIVE4, p.TCP, b"\x11\x5c" + b"\0" * cut)
    segment(a, payload=b"data on a SYN" * 50, sport=12000)
    segment(a, flags=p.SYN | p.FIN, payload=b"x" * 100, sport=12001)


def tcp_options(a):
    """Options that end beyond the header (lwIP 3d896ba0), in each state."""
    evil = [b"\2", b"\2\0", b"\2\1", b"\2\3\5", b"\2\4\0\0", b"\2\xff\5\xb4",
            b"\3\3\xff", b"\3\3\x0f", b"\4\2\5\xff" + b"\xff" * 8, b"\5\2",
            b"\x08\x0a" + b"\0" * 8, b"\x08\x03", b"\xfe\0", b"\1" * 40,
            b"\1\1\1\x08", b"\x22\xff", b"\xff" * 40]
    for number, options in enumerate(evil):
        segment(a, options=options, sport=13000 + number)
        peer = a.guest.open(lab.LIVE4, a.server.port)
        a.t.equal(peer.connect(), True)
        for flags in (p.ACK, p.SYN, p.ACK | p.FIN, p.RST | p.ACK):
            peer.segment(flags, options=options)
        peer.close()


def sequence_extremes(a):
    """ISNs at the wrap, acknowledgements of what was never sent."""
    for isn in (0, 1, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff):
        peer = a.guest.open(lab.LIVE4, a.server.port, isn=isn)
        a.t.equal(peer.connect(), True, f"ISN {isn:#x}")
        peer.write(b"x" * 3000)
        a.t.equal(len(peer.read(3000)), 3000, f"ISN {isn:#x}")
        for distance in (1, 65535, 1 << 20, 1 << 31, -1, -(1 << 31)):
            peer.segment(p.ACK, ack=peer.ack + distance)
            peer.segment(p.ACK | p.PSH, b"y", seq=peer.seq + distance)
        peer.segment(p.RST | p.ACK)
        peer.close()


def window_games(a):
    """Shrinking, closing and reopening windows while data wait."""
    peer = a.guest.open(lab.LIVE4, a.server.port)
    a.t.equal(peer.connect(), True)
    peer.write(b"w" * 20000)
    for window in (0, 1, 65535, 0, 2, 536, 0, 65535, 1, 0):
        peer.segment(p.ACK, window=window)
        time.sleep(0.02)
    peer.segment(p.RST | p.ACK)
    peer.close()


def random_segments(a):
    """Steered noise into live connections: sequence numbers near the mark."""
    rng = random.Random(7)
    for _ in range(20):
        peer = a.guest.open(lab.LIVE4, a.server.port)
        a.t.equal(peer.connect(), True)
        for _ in range(150):
            peer.segment(
                rng.choice((p.ACK, p.ACK | p.PSH, p.ACK | p.FIN, p.SYN,
                            p.ACK | p.URG, rng.randrange(256) & ~p.RST)),
                rng.randbytes(rng.choice((0, 1, 2, 500, 1400))),
                seq=peer.seq + rng.choice((0, 0, 1, -1, 500, -500, 65535,
                                           rng.getrandbits(32))),
                ack=peer.ack + rng.choice((0, 0, 1, -1, 1000)),
                window=rng.choice((0, 1, 100, 65535)),
                urgent=rng.randrange(65536))
        peer.segment(p.RST | p.ACK)
        peer.segment(p.RST, seq=peer.seq)
        peer.close()


@case(gateways=OURS)
def hostile_tcp(t):
    attack(tcp_headers, tcp_options, sequence_extremes, window_games,
           random_segments)(t)


def random_frames(a):
    """What isic did: random bytes behind right-looking headers."""
    rng = random.Random(11)
    for _ in range(a.t.scale(20000, 3000)):
        kind = rng.choice((p.ETH_IP4, p.ETH_IP6, p.ETH_ARP, rng.randrange(65536)))
        body = bytearray(rng.randbytes(rng.randrange(0, 300)))
        if body and kind == p.ETH_IP4 and len(body) > 24:
            body[0] = rng.choice((0x45, 0x46, 0x4f))
            body[2:4] = struct.pack("!H", rng.choice((len(body), 20, 65535)))
            body[9] = rng.choice((1, 6, 17, rng.randrange(256)))
            body[10:12] = b"\0\0"
            body[12:16] = p.address(a.guest.own[4])
            body[10:12] = struct.pack("!H", p.checksum(
                bytes(body[:(body[0] & 15) * 4])))
        if kind == p.ETH_IP6 and len(body) > 44:
            body[0] = 0x60
            body[4:6] = struct.pack("!H", rng.choice((len(body) - 40, 0)))
            body[6] = rng.choice((0, 6, 17, 43, 44, 58, 60, rng.randrange(256)))
            body[8:24] = p.address(a.guest.own[6])
        a.link_frame(kind, bytes(body))


@case(gateways=OURS, timeout=120)
def hostile_noise(t):
    attack(random_frames)(t)


# ---- floods ---------------------------------------------------------------------------------

def syn_flood(a):
    """10 000 half-open connections: bounded, and gone when they are over."""
    src = a.guest.own[4]
    for number in range(10000):
        a.guest.send(p.ip4(src, lab.LIVE4, p.TCP, p.tcp(
            src, lab.LIVE4, 1024 + number, a.server.port, number, 0, p.SYN)))
    time.sleep(0.5)
    count = lab.fd_count(a.broker)
    a.t.note(f"{count} fds in the broker")
    a.t.check(count < 4096 + 64, "more than the tenant's connections")
    for number in range(10000):
        a.guest.send(p.ip4(src, lab.LIVE4, p.TCP, p.tcp(
            src, lab.LIVE4, 1024 + number, a.server.port, number + 1, 0,
            p.RST)))
    a.guest.drain()
    a.t.check(lab.wait_until(
        lambda: lab.fd_count(a.broker) <= a.fds[1] + 2, 30, step=0.5),
        f"{lab.fd_count(a.broker)} fds 30 s after the flood")


@case(gateways=OURS, timeout=120)
def hostile_syn_flood(t):
    import gateway
    text = gateway.policy_text(head="", tenant="")      # the default limits
    with stream.serve(t, policy=text) as link:
        a = Attack(t, link)
        syn_flood(a)
        # The rate limit's bucket fills again.
        time.sleep(4)
        a.unharmed("syn_flood")
        a.quiet("syn_flood")


def dns_flood(a):
    """30 000 questions as fast as they go, to a forwarder that never answers."""
    src, gate = a.guest.own[4], a.guest.gate[4]
    for n in range(30000):
        a.guest.send(p.ip4(src, gate, p.UDP, p.udp(
            src, gate, 1024 + n % 60000, 53,
            dnswire.query(f"n{n}.example.com", ident=n & 0xffff))))
        if n % 1000 == 0:
            a.unharmed(f"dns_flood, {n}")


@case(gateways=OURS, timeout=120)
def hostile_dns_flood(t):
    import gateway
    text = gateway.policy_text(head=f"resolver {{ upstream {lab.HOLE4} }}\n",
                               tenant="")
    with stream.serve(t, policy=text) as link:
        a = Attack(t, link)
        dns_flood(a)
        a.unharmed("dns_flood")
        time.sleep(13)                  # what was asked has failed by now
        a.unharmed("dns_flood")
        a.quiet("dns_flood")
        t.check(lab.fd_count(a.broker) <= a.fds[1] + 2, "fds are left")
    records = link.records()
    told = sum(r.get("n", 1) for r in records
               if r["type"] in ("dns", "deny.agg"))
    t.equal(told, 30000, "questions in the log")


# ---- offload headers on a tap -----------------------------------------------------------------

@case(quick=True, gateways=OURS, root=True)
def hostile_offload(t):
    """The kernel passes on what PACKET_VNET_HDR says: lies included."""
    server = t.serve(servers.echo)
    with t.guest() as guest:
        frame = t.pid("sallyport-frame")
        facts = gateway_macs(t, guest)
        with t.gateway.guest_netns():
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            sock.setsockopt(263, 15, 1)         # SOL_PACKET, PACKET_VNET_HDR
            sock.bind(("eth0", 0))
        sent = 0
        for header, packet in offload_lies():
            try:
                sock.send(header + facts[0] + facts[1] + packet)
                sent += 1
            except OSError:
                pass                            # the kernel saw through it
        sock.close()
        t.note(f"{sent} passed the kernel")
        times = guest.call("sequence", lab.LIVE4, server.port, 20)
        t.check(max(times) < 1, f"{max(times):.1f} s")
        t.equal(t.pid("sallyport-frame"), frame, "the frame")


def gateway_macs(t, guest):
    with t.gateway.guest_netns():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sock.bind(("eth0", 0))
        own = sock.getsockname()[4]
        sock.close()
    del guest
    return p.mac("02:53:50:00:00:01"), own


def offload_lies():
    """(virtio_net_hdr, frame from its type on): sizes and offsets that lie."""
    src, dst = "10.83.80.100", lab.LIVE4
    needs_csum, gso4, gso_udp, gso6, ecn = 1, 1, 3, 4, 0x80
    for length in (0, 1, 100, 1460, 9000, 65000):
        packet = struct.pack("!H", p.ETH_IP4) + p.ip4(src, dst, p.TCP, p.tcp(
            src, dst, 5555, 80, 1, 1, p.ACK | p.PSH, b"x" * length))
        for gso in (0, gso4, gso_udp, gso6, gso4 | ecn, 5, 9):
            for size in (0, 1, 8, 536, 1460, 65535):
                for start, offset in ((34, 16), (0, 0), (14, 10), (34, 0),
                                      (65535, 16), (34, 65535), (53, 1)):
                    for hdr in (54, 0, 14, 34, 65535):
                        yield struct.pack("<BBHHHH", needs_csum, gso, hdr,
                                          size, start, offset), packet


# ---- a virtual machine -----------------------------------------------------------------------

@case(timeout=180, gateways=("sallyport", "pasta"))
def real_vm(t):
    """A Debian kernel in QEMU fetches 32 MiB over the stream link."""
    import vm
    machine = vm.find(t.options.vm)
    if machine is None:
        t.skip("no QEMU, or no --vm DIR with a kernel and busybox (vm.py)")
    body = servers.BLOCK * 128
    server = t.serve(servers.http(body))
    with stream.serve(t) as link:
        text = machine.boot(t, link, f"http://{lab.LIVE4}:{server.port}/f")
    want = servers.pattern_hash(len(body))
    t.check(want in text, f"no {want[:16]} in {text[-400:]!r}")
