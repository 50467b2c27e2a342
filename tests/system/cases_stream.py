"""The stream link: framing, reconnection, and a guest whose TCP is ours."""
import os
import random
import struct
import time

import gateway
import lab
import packets as p
import servers
import stream
from trial import Failure, case

BOTH = ("sallyport", "pasta")           # here pasta stands for passt


def works(t, guest, server):
    """The liveness check: a fresh connection carries data both ways."""
    peer = guest.open(lab.LIVE4, server.port)
    if peer.connect() is not True:
        raise Failure(f"no connection any more ({peer.saw or 'silence'})")
    peer.write(b"still there?")
    found = peer.read(12)
    t.equal(found, b"still there?", "echo")
    peer.segment(p.RST | p.ACK)
    peer.close()


@case(quick=True, gateways=BOTH)
def stream_echo(t):
    """ARP, a connection, an echo, both ends: over both families."""
    server = t.serve(servers.echo)
    with stream.serve(t) as link:
        guest = t.keep(link.attach())
        for dst in (lab.LIVE4, lab.LIVE6):
            peer = guest.open(dst, server.port)
            t.equal(peer.connect(), True, dst)
            data = servers.BLOCK[:20000]
            for start in range(0, len(data), 1000):
                peer.write(data[start:start + 1000])
                peer.read(start + 1000)
            t.equal(peer.received, data, dst)
            peer.finish()
            peer.read()
            t.equal(peer.saw, {"fin"}, dst)
            t.equal(server.next_end().data, len(data), dst)


@case(quick=True, gateways=BOTH)
def stream_udp_and_ping(t):
    server = t.serve_udp(lab.LIVE4)
    with stream.serve(t) as link:
        guest = t.keep(link.attach())
        guest.send_udp(lab.LIVE4, 4000, server.port, b"hello")
        reply = guest.expect(lambda f: f.proto == p.UDP and f.dport == 4000)
        t.check(reply and reply.data == b"hello", "no UDP answer")
        t.check(reply.checksum_good(), "checksum of the answer")
        guest.send(p.ip4(guest.own[4], lab.LIVE4, p.ICMP, p.icmp(
            8, 0, struct.pack("!HH", 77, 1), b"ping")))
        reply = guest.expect(lambda f: f.proto == p.ICMP)
        t.check(reply and reply.payload[0] == 0, "no echo reply")
        t.equal(reply.payload[4:], struct.pack("!HH", 77, 1) + b"ping")


def neighbour(guest, target):
    """Whether the gateway says that it is, or stands for, this neighbour."""
    if ":" in target:
        dst, packet = p.solicit(stream.GUEST_MAC, guest.own[6], target)
        guest.send(packet, b"\x33\x33" + p.address(dst)[-4:])
        return guest.expect(lambda f: f.proto == p.ICMP6 and f.payload[0] == 136
                            and f.payload[8:24] == p.address(target),
                            0.5 if target in guest.own.values() else 5)
    guest.frame(p.ethernet(stream.BROADCAST, stream.GUEST_MAC, p.ETH_ARP,
                           p.arp(1, stream.GUEST_MAC, guest.own[4],
                                 b"\0" * 6, target)))
    return guest.expect(lambda f: f.kind == p.ETH_ARP, 0.5 if target ==
                        guest.own[4] else 5)


@case(quick=True, gateways=("sallyport",))
def stream_neighbours(t):
    """The gateway stands for every address of the link but the guest's own: what
    goes to one that nobody has is refused at once, and recorded."""
    nobody = {4: "10.83.80.77", 6: "fd53:616c:6c79::77"}
    with stream.serve(t) as link:
        guest = t.keep(link.attach())
        for version in (4, 6):
            for target in (guest.gate[version], nobody[version]):
                t.check(neighbour(guest, target), f"no answer for {target}")
            t.equal(neighbour(guest, guest.own[version]), None, "its own")
            peer = guest.open(nobody[version], 80)
            peer.connect(5)
            t.equal(peer.saw, {"rst"}, nobody[version])
    t.equal([(r["g_dst"], r["reason"]) for r in t.records("flow.deny")],
            [(nobody[4], "floor-special"), (nobody[6], "floor-special")])


@case(quick=True, gateways=("sallyport",))
def stream_guest_reset(t):
    """A guest's reset of a held SYN cancels the connect; of a flow, resets."""
    server = t.serve(servers.wait_error)
    with stream.serve(t) as link:
        guest = t.keep(link.attach())
        broker = t.pid("sallyport-broker")
        base = lab.fd_count(broker)
        peer = guest.open(lab.HOLE4, 80)
        t.equal(peer.connect(0.3), None, "a black hole")
        t.check(lab.fd_count(broker) > base, "no connect under way")
        peer.segment(p.RST, seq=peer.seq + 1)
        t.check(lab.wait_until(lambda: lab.fd_count(broker) == base, 3),
                "the connect goes on after the guest's reset")
        peer = guest.open(lab.LIVE4, server.port)
        t.equal(peer.connect(), True)
        peer.write(b"data")
        time.sleep(0.1)
        peer.segment(p.RST | p.ACK)
        t.equal(server.next_end().data, "reset")
    reasons = [r["reason"] for r in t.records("flow.close")]
    t.equal(reasons, ["guest-cancel", "guest-rst"])


@case(quick=True, gateways=("sallyport",))
def stream_bad_lengths(t):
    """A length outside 14..65535 drops the client; a new one may come."""
    server = t.serve(servers.echo)
    with stream.serve(t) as link:
        for length in (0, 1, 13, 65536, 0x10000000, 0x7fffffff, 0x80000000,
                       0xffffffff):
            guest = link.attach()
            guest.raw(struct.pack("!I", length) + b"x" * 64)
            t.check(guest.ended.wait(3), f"length {length:#x} is served")
            guest.close()
            sizes = [lab.rss(pid) for pid in link.pids()]
            t.check(max(sizes) < 128 << 20, f"memory after {length:#x}")
        works(t, t.keep(link.attach()), server)


@case(quick=True, gateways=("sallyport",))
def stream_in_pieces(t):
    """Frames in single bytes, many frames in one write, a frame that waits."""
    server = t.serve(servers.echo)
    with stream.serve(t) as link:
        guest = t.keep(link.attach())
        src = guest.own[4]
        frame = p.ethernet(guest.gate_mac, stream.GUEST_MAC, p.ETH_IP4, p.ip4(
            src, guest.gate[4], p.ICMP, p.icmp(8, 0, struct.pack("!HH", 5, 1),
                                               b"x" * 20)))
        record = struct.pack("!I", len(frame)) + frame
        for byte in record:
            guest.raw(bytes([byte]))
        t.check(guest.expect(lambda f: f.proto == p.ICMP), "single bytes")
        guest.raw(record * 50)
        for number in range(50):
            t.check(guest.expect(lambda f: f.proto == p.ICMP),
                    f"frame {number} of 50 in one write")
        guest.raw(record[:20])
        time.sleep(1)
        guest.raw(record[20:])
        t.check(guest.expect(lambda f: f.proto == p.ICMP), "a late half")
        works(t, guest, server)


@case(quick=True, gateways=("sallyport",))
def stream_reconnect(t):
    """Client after client; one at a time; flows of the last one are closed."""
    server = t.serve(servers.wait_error)
    echo = t.serve(servers.echo)
    with stream.serve(t) as link:
        for _ in range(t.scale(30, 5)):
            guest = link.attach()
            peer = guest.open(lab.LIVE4, server.port)
            t.equal(peer.connect(), True)
            peer.write(b"x")
            time.sleep(0.02)
            guest.close()
            t.equal(server.next_end(5).data, "reset", "its flow")
        first = t.keep(link.attach())
        second = stream.StreamGuest(link.sock, *link.address)
        t.check(second.ended.wait(3), "a second client is not turned away")
        second.close()
        works(t, first, echo)
    closes = {r["reason"] for r in t.records("flow.close")}
    t.check("guest-detach" in closes, f"reasons {closes}")


@case(gateways=("sallyport",), timeout=90)
def stream_never_read(t):
    """A client that never reads: frames are dropped, nothing else suffers."""
    server = t.serve(servers.source)
    with stream.serve(t) as link:
        guest = t.keep(link.attach())
        peer = guest.open(lab.LIVE4, server.port)
        t.equal(peer.connect(), True)
        # Stop reading: the thread's next recv finds a full stop.
        guest.taps.clear()
        reader = guest._frame
        guest._frame = lambda parsed: time.sleep(3600)
        peer.write(b"100000000\n")
        time.sleep(5)
        frame, broker = t.pid("sallyport-frame"), t.pid("sallyport-broker")
        before = lab.cpu_ns(frame) + lab.cpu_ns(broker)
        time.sleep(3)
        used = (lab.cpu_ns(frame) + lab.cpu_ns(broker) - before) / 1e6
        t.check(used < 60, f"{used:.0f} ms of CPU in 3 s")
        t.check(lab.rss(frame) < 128 << 20, "memory")
        del reader


@case(quick=True, gateways=("sallyport",), timeout=120)
def stream_frame_killed(t):
    """The frame dies in the midst of frames; the link goes on in step.

    A kill at the worst instruction may cost the client; then a
    new one is served. It must stay the exception.
    """
    server = t.serve(servers.echo)
    rng = random.Random(3)
    rounds, dropped = t.scale(7, 4), 0      # the back-off doubles each time
    with stream.serve(t) as link:
        guest = t.keep(link.attach())
        for _ in range(rounds):
            kill_in_midst(t, link, guest, rng)
            guest.drain()
            lab.wait_until(lambda: guest.ended.is_set() or
                           ping_gateway(guest), 15, step=0.2)
            if guest.ended.is_set():
                dropped += 1
                guest = t.keep(link.attach())
            t.check(ping_gateway(guest), "the gateway is silent")
        works(t, guest, server)
    t.note(f"{dropped} of {rounds} kills cost the client")
    t.check(dropped <= rounds // 2, f"{dropped} of {rounds} clients dropped")
    t.equal(len(t.records("frame.died")), rounds, "frame.died in the log")


def kill_in_midst(t, link, guest, rng):
    frame = p.ethernet(guest.gate_mac, stream.GUEST_MAC, p.ETH_IP4, p.ip4(
        guest.own[4], guest.gate[4], p.ICMP, p.icmp(
            8, 0, struct.pack("!HH", 5, 1), b"x" * 1000)))
    record = struct.pack("!I", len(frame)) + frame
    cut = rng.randrange(1, len(record))
    guest.raw(record * 20 + record[:cut])
    time.sleep(rng.random() * 0.005)
    old = t.pid("sallyport-frame")
    os.kill(old, 9)
    try:
        guest.raw(record[cut:] + record * 5)
    except OSError:
        return
    t.check(lab.wait_until(lambda: guest.ended.is_set() or [
        x for x in link.pids("sallyport-frame") if x != old], 35),
        "no new frame")


def ping_gateway(guest):
    guest.send(p.ip4(guest.own[4], guest.gate[4], p.ICMP, p.icmp(
        8, 0, struct.pack("!HH", 9, 9), b"alive")))
    return guest.expect(lambda f: f.proto == p.ICMP and
                        f.payload[4:6] == struct.pack("!H", 9), 1)


@case(quick=True, gateways=("sallyport",))
def checksums_are_verified(t):
    """Bad checksums are dropped; with `--checksum trust` TCP's is not read."""
    server = t.serve_udp(lab.LIVE4)
    for args, wanted in (((), False), (("--checksum", "trust"), True)):
        with stream.serve(t, args=args) as link:
            guest = link.attach()
            guest.send_udp(lab.LIVE4, 4001, server.port, b"bad", total=0x1234)
            reply = guest.expect(lambda f: f.proto == p.UDP, 1)
            t.equal(reply is not None, wanted, f"UDP {args}")
            guest.send_udp(lab.LIVE4, 4001, server.port, b"good")
            t.check(guest.expect(lambda f: f.proto == p.UDP), "good UDP")
            guest.send_udp(lab.LIVE4, 4001, server.port, b"none", total=0)
            t.check(guest.expect(lambda f: f.proto == p.UDP),
                    "UDP without checksum (RFC 768)")
            guest.close()


def dropped(t, reason):
    """How many frames the log counts; reports go out once a second."""
    return sum(r.get("n", 1) for r in t.records("deny.agg", "flow.deny")
               if r["reason"] == reason)


@case(quick=True, gateways=("sallyport",))
def spoofed_sources(t):
    """Only the lease's address is served; the rest is dropped and counted."""
    server = t.serve_udp(lab.LIVE4)
    with stream.serve(t) as link:
        guest = t.keep(link.attach())
        for src in ("10.83.80.101", "203.0.114.2", "127.0.0.1", "0.0.0.0",
                    "255.255.255.255", guest.gate[4]):
            guest.send(p.ip4(src, lab.LIVE4, p.UDP, p.udp(
                src, lab.LIVE4, 5000, server.port, b"spoof")))
        guest.send_udp(lab.LIVE4, 5000, server.port, b"mine")
        t.check(guest.expect(lambda f: f.proto == p.UDP), "my own")
        t.equal(len(server.log), 1, "datagrams that got through")
        lab.wait_until(lambda: dropped(t, "spoofed-source") >= 6, 10)
    t.equal(dropped(t, "spoofed-source"), 6, "in the log")


@case(quick=True, gateways=("sallyport",))
def fragments(t):
    """The guest's fragments, in their order, are one datagram for the server; in any
    other they reach nobody and are counted."""
    server = t.serve_udp(lab.LIVE4)
    with stream.serve(t) as link:
        guest = t.keep(link.attach())
        whole = p.udp(guest.own[4], lab.LIVE4, 5000, server.port, b"x" * 100)

        def send(ident, offsets):
            for offset in offsets:
                last = offset + 16 >= len(whole)
                guest.send(p.ip4(guest.own[4], lab.LIVE4, p.UDP,
                                 whole[offset:offset + 16], ident=ident,
                                 frag=(0 if last else 0x2000) | offset // 8))
        offsets = list(range(0, len(whole), 16))
        send(1, offsets)
        t.check(guest.expect(lambda f: f.proto == p.UDP), "one in pieces")
        send(2, reversed(offsets))      # the last to come begins one
        send(3, [offsets[1], *offsets[2:]])
        send(4, [offsets[0], offsets[2]])
        guest.send_udp(lab.LIVE4, 5000, server.port, b"whole")
        t.check(guest.expect(lambda f: f.proto == p.UDP and
                             b"whole" in f.data), "a whole one")
        t.equal([size for _, size, _ in server.log], [100, 5])
        lab.wait_until(lambda: dropped(t, "fragment") >= 14, 10)
    t.equal(dropped(t, "fragment"), 6 + 6 + 2, "fragments in the log")


# ---- TCP by the letter (RFC 9293, Appendix B) ---------------------------------------

@case(quick=True, gateways=("sallyport",))
def tcp_by_the_letter(t):
    """What a guest can see of RFC 9293's MUSTs from its side."""
    server = t.serve(servers.echo)
    with stream.serve(t) as link:
        guest = t.keep(link.attach())
        for check in (no_mss_option, odd_options, bad_checksum, urgent_data,
                      stray_segments, out_of_window_reset, small_window,
                      zero_window_probe, fin_before_data, isn_differs,
                      syn_to_live_flow, out_of_order):
            check(t, guest, server)
            works(t, guest, server)


def opened(t, guest, server, **how):
    peer = guest.open(lab.LIVE4, server.port, **how)
    t.equal(peer.connect(), True, f"connect {how}")
    return peer


def echoed(t, peer, text, what):
    start = len(peer.received)
    t.equal(peer.read(start + len(text))[start:], text, what)
    peer.segment(p.RST | p.ACK)
    peer.close()


def no_mss_option(t, guest, server):
    """MUST-15: without the option no segment carries more than 536."""
    peer = opened(t, guest, server, options=b"")
    peer.write(b"a" * 1400)
    seen = []
    while len(peer.received) < 1400:
        f = peer.next(3)
        if f is None:
            raise Failure(f"{len(peer.received)} of 1400 bytes came back")
        seen.append(len(f.data))
        peer.take(f)
    t.check(max(seen) <= 536, f"a segment of {max(seen)} without MSS option")
    peer.segment(p.RST | p.ACK)
    peer.close()


def odd_options(t, guest, server):
    """MUST-6, -7: unknown options, NOPs, EOL; an option cut by the header."""
    for options in (b"\1\1\1\2\4\5\xb4\0", b"\xfe\4\0\0\2\4\5\xb4", b"\0",
                    b"\x1e\x0c" + b"\0" * 10, b"\1\1\1\2", b"\2",
                    b"\xff\xff\xff\xff", b"\3\0\1\1", b"\2\4\0\0"):
        peer = guest.open(lab.LIVE4, server.port, options=options)
        peer.connect(1)
        peer.segment(p.RST, seq=peer.seq)
        peer.close()
    peer = opened(t, guest, server, options=b"\xfe\4\0\0\2\4\5\xb4")
    peer.write(b"options")
    echoed(t, peer, b"options", "unknown option")


def bad_checksum(t, guest, server):
    """MUST-3: a segment with a bad checksum is not taken."""
    peer = opened(t, guest, server)
    peer.segment(p.ACK | p.PSH, b"evil", total=0x4242)
    peer.write(b"good")
    echoed(t, peer, b"good", "after a bad checksum")


def urgent_data(t, guest, server):
    """URG data stay in line, whatever the pointer says."""
    peer = opened(t, guest, server)
    for pointer in (0, 1, 3, 1000, 65535):
        peer.segment(p.ACK | p.PSH | p.URG, b"abc", urgent=pointer)
        peer.seq += 3
    echoed(t, peer, b"abc" * 5, "urgent data")


def stray_segments(t, guest, server):
    """MUST for CLOSED: each stray segment but a reset is answered by one."""
    for flags in (p.ACK, p.ACK | p.PSH, p.FIN | p.ACK, 0):
        peer = guest.open(lab.LIVE4, server.port)
        peer.segment(flags, ack=12345)
        f = peer.next(2)
        t.check(f is not None and f.flags & p.RST, f"flags {flags:#x}: no RST")
        peer.close()
    peer = guest.open(lab.LIVE4, server.port)
    peer.segment(p.RST | p.ACK)
    t.equal(peer.next(0.3), None, "a reset was answered")
    peer.close()


def out_of_window_reset(t, guest, server):
    """RFC 5961 3.2: only a reset at the exact place ends a connection."""
    peer = opened(t, guest, server)
    for distance in (1, 100, 70000, 1 << 30, -1, -100):
        peer.segment(p.RST, seq=peer.seq + distance)
    time.sleep(0.1)
    while not peer.tap.empty():
        t.check(not peer.next(0).flags & p.RST, "reset back")
    peer.write(b"alive")
    echoed(t, peer, b"alive", "after stray resets")


def small_window(t, guest, server):
    """MUST-34: never more than the window is in flight."""
    peer = opened(t, guest, server, window=100)
    peer.write(b"w" * 1000)
    time.sleep(0.3)
    seen = 0
    while not peer.tap.empty():
        seen += len(peer.next(0).data)
    t.check(seen <= 100 + 1, f"{seen} bytes into a window of 100")
    peer.segment(p.RST | p.ACK)
    peer.close()


def zero_window_probe(t, guest, server):
    """MUST-35, -36: a closed window is probed, and an open one used again."""
    peer = opened(t, guest, server, window=300)
    peer.write(b"z" * 600)
    peer.window = 0                     # full with the first 300
    peer.read(300)
    t.equal(len(peer.received), 300, "bytes into a window of 300")
    probe = peer.next(8)
    t.check(probe is not None and len(probe.data) <= 1 and
            not probe.flags & p.RST, "no probe of a closed window")
    peer.window = 65535
    peer.segment(p.ACK)
    t.equal(peer.read(600), b"z" * 600, "after the window opened")
    peer.segment(p.RST | p.ACK)
    peer.close()


def fin_before_data(t, guest, server):
    """A FIN with data out of order: nothing is taken before its turn."""
    peer = opened(t, guest, server)
    peer.segment(p.ACK | p.FIN, b"cd", seq=peer.seq + 2)
    time.sleep(0.05)
    peer.segment(p.ACK, b"ab")
    peer.segment(p.ACK | p.FIN, b"cd", seq=peer.seq + 2)
    peer.seq += 5
    peer.read(4)
    t.equal(peer.received, b"abcd", "data before FIN")
    peer.segment(p.RST | p.ACK)
    peer.close()


def isn_differs(t, guest, server):
    """RFC 6528: the initial sequence number is no counter."""
    found = []
    for _ in range(8):
        peer = guest.open(lab.LIVE4, server.port)
        peer.segment(p.SYN, options=peer.options)
        f = peer.next(2)
        t.check(f is not None, "no SYN-ACK")
        found.append(f.seq)
        peer.segment(p.RST, seq=peer.seq + 1)
        peer.close()
    steps = {(b - a) & 0xffffffff for a, b in zip(found, found[1:])}
    t.check(len(steps) == 7, f"steps of the ISN: {sorted(steps)}")


def syn_to_live_flow(t, guest, server):
    """RFC 5961 4.2: a SYN on a live flow gets a challenge ACK."""
    peer = opened(t, guest, server)
    peer.segment(p.SYN, seq=peer.seq + 5000, options=peer.options)
    f = peer.next(2)
    t.check(f is not None and f.flags & p.ACK and not f.flags & (p.RST | p.SYN),
            f"answer {f and f.flags}")
    peer.write(b"lives")
    echoed(t, peer, b"lives", "after a SYN")


def out_of_order(t, guest, server):
    """A gap is acknowledged up to where it begins, and filled later."""
    peer = opened(t, guest, server)
    peer.segment(p.ACK, b"second", seq=peer.seq + 5)
    f = peer.next(2)
    t.check(f is not None and f.ack == peer.seq & 0xffffffff,
            "no duplicate ACK at the gap")
    peer.segment(p.ACK, b"first")
    peer.segment(p.ACK, b"second", seq=peer.seq + 5)
    peer.seq += 11
    echoed(t, peer, b"firstsecond", "in order")


@case(quick=True, gateways=("sallyport",))
def same_tuple_after_reset(t):
    """A reset followed at once by a SYN on the same tuple opens anew."""
    server = t.serve(servers.echo)
    with stream.serve(t) as link:
        guest = t.keep(link.attach())
        for _ in range(20):
            peer = guest.open(lab.LIVE4, server.port, sport=34567)
            peer.segment(p.SYN, options=peer.options)
            f = peer.next(3)
            t.check(f is not None and f.flags & p.SYN, "no SYN-ACK")
            peer.seq += 1
            peer.ack = (f.seq + 1) & 0xffffffff
            peer.segment(p.ACK)
            peer.segment(p.RST | p.ACK)
            peer.close()


@case(quick=True, gateways=("sallyport",))
def readiness(t):
    """serve says when it can be connected to, by a line on stdout."""
    with stream.serve(t) as link:
        line = link.process.stdout.readline().decode()
        t.check("ready" in line.lower() or link.sock in line, repr(line))
        guest = stream.StreamGuest(link.sock, *link.address)
        guest.resolve()
        guest.close()


@case(quick=True, gateways=("sallyport",))
def stream_other_addresses(t):
    server = t.serve(servers.echo)
    address = ("192.168.7.9", "192.168.7.1", "fd00:7::9", "fd00:7::1")
    with stream.serve(t, address=address) as link:
        works(t, t.keep(link.attach()), server)
        t.check(gateway.GUEST4 not in str(t.records("guest.attach")),
                "the default address in guest.attach")
