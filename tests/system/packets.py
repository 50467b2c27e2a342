"""Packets by hand: what the stream guest and the hostile cases send.

Everything is built from parts that a case may lie about: a length, a checksum,
an option, a cut.
"""
import socket
import struct

ETH_IP4, ETH_ARP, ETH_IP6 = 0x0800, 0x0806, 0x86dd
TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def address(text):
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    return socket.inet_pton(family, text)


def checksum(data):
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ethernet(dst, src, kind, payload):
    return dst + src + struct.pack("!H", kind) + payload


def ip4(src, dst, proto, payload, ident=1, frag=0x4000, ttl=64, length=None,
        options=b"", ihl=None, total=None, version=4):
    """frag: the whole flags-and-offset field (default: don't fragment)."""
    header_len = 20 + len(options)
    head = struct.pack(
        "!BBHHHBBH", version << 4 | (header_len // 4 if ihl is None else ihl),
        0, header_len + len(payload) if length is None else length, ident,
        frag, ttl, proto, 0) + address(src) + address(dst) + options
    value = checksum(head) if total is None else total
    return head[:10] + struct.pack("!H", value) + head[12:] + payload


def ip6(src, dst, proto, payload, length=None, hops=64, version=6):
    return struct.pack("!IHBB", version << 28,
                       len(payload) if length is None else length, proto,
                       hops) + address(src) + address(dst) + payload


def ip(src, dst, proto, payload, **how):
    return (ip6 if ":" in dst else ip4)(src, dst, proto, payload, **how)


def pseudo(src, dst, proto, length):
    head = address(src) + address(dst)
    if ":" in dst:
        return head + struct.pack("!IHBB", length, 0, 0, proto)
    return head + struct.pack("!BBH", 0, proto, length)


def tcp(src, dst, sport, dport, seq, ack, flags, payload=b"", window=65535,
        options=b"", urgent=0, offset=None, total=None):
    options += b"\0" * (-len(options) % 4)
    head = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xffffffff,
                       ack & 0xffffffff,
                       ((20 + len(options)) // 4 if offset is None else offset)
                       << 4, flags, window, 0, urgent) + options
    segment = head + payload
    if total is None:
        total = checksum(pseudo(src, dst, TCP, len(segment)) + segment)
    return segment[:16] + struct.pack("!H", total) + segment[18:]


def udp(src, dst, sport, dport, payload=b"", length=None, total=None):
    head = struct.pack("!HHHH", sport, dport,
                       8 + len(payload) if length is None else length, 0)
    if total is None:
        total = checksum(pseudo(src, dst, UDP, 8 + len(payload)) + head
                         + payload) or 0xffff
    return head[:6] + struct.pack("!H", total) + payload


def icmp(kind, code, rest, payload=b"", total=None):
    """rest: the four bytes after the checksum."""
    body = struct.pack("!BBH", kind, code, 0) + rest + payload
    value = checksum(body) if total is None else total
    return body[:2] + struct.pack("!H", value) + body[4:]


def icmp6(src, dst, kind, code, rest, payload=b""):
    body = struct.pack("!BBH", kind, code, 0) + rest + payload
    value = checksum(pseudo(src, dst, ICMP6, len(body)) + body)
    return body[:2] + struct.pack("!H", value) + body[4:]


def arp(op, sender_mac, sender, target_mac, target):
    return struct.pack("!HHBBH", 1, ETH_IP4, 6, 4, op) + sender_mac + \
        address(sender) + target_mac + address(target)


def solicit(src_mac, src, target):
    """(destination, packet) of a neighbour solicitation, RFC 4861 4.3."""
    dst = "ff02::1:ff%02x:%02x%02x" % tuple(address(target)[-3:])
    body = icmp6(src, dst, 135, 0, b"\0" * 4,
                 address(target) + b"\1\1" + src_mac)
    return dst, ip6(src, dst, ICMP6, body, hops=255)


class Parsed:
    """A frame taken apart as far as it goes; absent parts are None."""

    def __init__(self, frame):
        self.frame = frame
        self.dst_mac, self.src_mac = frame[:6], frame[6:12]
        self.kind = struct.unpack_from("!H", frame, 12)[0]
        self.proto = self.src = self.dst = self.payload = None
        body = frame[14:]
        if self.kind == ETH_IP4 and len(body) >= 20:
            length = struct.unpack_from("!H", body, 2)[0]
            self.proto = body[9]
            self.src = socket.inet_ntop(socket.AF_INET, body[12:16])
            self.dst = socket.inet_ntop(socket.AF_INET, body[16:20])
            self.fragment = struct.unpack_from("!H", body, 6)[0] & 0x3fff
            self.payload = body[(body[0] & 15) * 4:length]
        elif self.kind == ETH_IP6 and len(body) >= 40:
            length = struct.unpack_from("!H", body, 4)[0]
            self.proto = body[6]
            self.src = socket.inet_ntop(socket.AF_INET6, body[8:24])
            self.dst = socket.inet_ntop(socket.AF_INET6, body[24:40])
            self.payload = body[40:40 + length]
        if self.proto == TCP and len(self.payload) >= 20:
            self._tcp()
        elif self.proto == UDP and len(self.payload) >= 8:
            self.sport, self.dport = struct.unpack_from("!HH", self.payload)
            self.data = self.payload[8:]

    def _tcp(self):
        (self.sport, self.dport, self.seq, self.ack, offset, self.flags,
         self.window) = struct.unpack_from("!HHIIBBH", self.payload)
        start = (offset >> 4) * 4
        self.options = self.payload[20:start]
        self.data = self.payload[start:]

    def checksum_good(self):
        """True if the transport's checksum is right."""
        if self.proto == UDP and self.kind == ETH_IP4 and \
                self.payload[6:8] == b"\0\0":
            return True                 # none was sent (RFC 768)
        if self.proto in (TCP, UDP, ICMP6):
            return checksum(pseudo(self.src, self.dst, self.proto,
                                   len(self.payload)) + self.payload) == 0
        if self.proto == ICMP:
            return checksum(self.payload) == 0
        return True
