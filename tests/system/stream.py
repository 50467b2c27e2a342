"""A guest on a stream link: length-prefixed frames over a UNIX socket, with
ARP, NDP and a TCP of its own that does what the case says, right or wrong.
"""
import os
import queue
import random
import socket
import struct
import subprocess
import tempfile
import threading
import time

import audit
import gateway
import lab as lablib
import packets as p

GUEST_MAC = p.mac("02:53:50:00:00:02")
BROADCAST = b"\xff" * 6


class StreamGuest:
    """One client of the stream link, owner of the guest's addresses."""

    def __init__(self, path, own4, gate4, own6, gate6):
        self.own = {4: own4, 6: own6}
        self.gate = {4: gate4, 6: gate6}
        self.gate_mac = None
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            self.sock.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
        self.sock.settimeout(10)
        self.sock.connect(path)
        self.frames = queue.Queue()
        self.taps = []                  # predicates with a queue of their own
        self.ended = threading.Event()
        self.ports = iter(random.sample(range(20000, 60000), 20000))
        threading.Thread(target=self._read, daemon=True).start()

    # frames

    def raw(self, data):
        """Bytes as they are, without any framing."""
        self.sock.sendall(data)

    def frame(self, frame):
        self.sock.sendall(struct.pack("!I", len(frame)) + frame)

    def _take(self, count):
        data = b""
        while len(data) < count:
            piece = self.sock.recv(count - len(data))
            if not piece:
                raise ConnectionError
            data += piece
        return data

    def _read(self):
        try:
            self.sock.settimeout(None)
            while True:
                length = struct.unpack("!I", self._take(4))[0]
                frame = self._take(length)
                if length < 14:
                    self.frames.put(None)       # a promise broken
                    continue
                self._frame(p.Parsed(frame))
        except (OSError, ConnectionError):
            self.ended.set()
            self.frames.put(None)

    def _frame(self, parsed):
        if self._neighbour(parsed):
            return
        for predicate, tap in list(self.taps):
            if predicate(parsed):
                tap.put(parsed)
                return
        self.frames.put(parsed)

    def _neighbour(self, parsed):
        body = parsed.frame[14:]
        if parsed.kind == p.ETH_ARP and len(body) >= 28:
            op, target = body[7], socket.inet_ntop(socket.AF_INET, body[24:28])
            if op == 1 and target == self.own[4]:
                self.frame(p.ethernet(parsed.src_mac, GUEST_MAC, p.ETH_ARP,
                                      p.arp(2, GUEST_MAC, self.own[4],
                                            body[8:14], socket.inet_ntop(
                                                socket.AF_INET, body[14:18]))))
                return True
        if parsed.proto == p.ICMP6 and parsed.payload[:1] == b"\x87":
            target = parsed.payload[8:24]
            if target == p.address(self.own[6]):
                reply = p.icmp6(self.own[6], parsed.src, 136, 0,
                                b"\x60\0\0\0", target + b"\2\1" + GUEST_MAC)
                self.frame(p.ethernet(parsed.src_mac, GUEST_MAC, p.ETH_IP6,
                                      p.ip6(self.own[6], parsed.src, p.ICMP6,
                                            reply, hops=255)))
            return True
        return False

    def expect(self, predicate, timeout=5):
        """The next frame that fits; others are dropped. None: none came."""
        end = time.monotonic() + timeout
        while True:
            left = end - time.monotonic()
            if left <= 0:
                return None
            try:
                parsed = self.frames.get(timeout=left)
            except queue.Empty:
                return None
            if parsed is None:
                return None
            if predicate(parsed):
                return parsed

    def drain(self):
        while not self.frames.empty():
            self.frames.get_nowait()

    # the gateway

    def resolve(self, timeout=5):
        """Learns the gateway's address of the link by ARP."""
        self.frame(p.ethernet(BROADCAST, GUEST_MAC, p.ETH_ARP,
                              p.arp(1, GUEST_MAC, self.own[4], b"\0" * 6,
                                    self.gate[4])))
        gate = p.address(self.gate[4])
        reply = self.expect(lambda f: f.kind == p.ETH_ARP and
                            f.frame[21] == 2 and f.frame[28:32] == gate,
                            timeout)
        if reply is None:
            raise gateway.GuestError("no ARP reply from the gateway")
        self.gate_mac = reply.frame[22:28]
        return self.gate_mac

    def send(self, packet, dst_mac=None):
        kind = p.ETH_IP6 if packet[0] >> 4 == 6 else p.ETH_IP4
        self.frame(p.ethernet(dst_mac or self.gate_mac, GUEST_MAC, kind,
                              packet))

    def me(self, dst):
        return self.own[6 if ":" in dst else 4]

    def send_udp(self, dst, sport, dport, payload, **how):
        src = self.me(dst)
        self.send(p.ip(src, dst, p.UDP, p.udp(src, dst, sport, dport, payload,
                                              **how)))

    def open(self, dst, port, **how):
        return TcpPeer(self, dst, port, **how)

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


class TcpPeer:
    """One connection whose every segment is the case's. Nothing is resent."""

    def __init__(self, guest, dst, port, sport=None, isn=None, mss=1460,
                 options=None, window=65535):
        self.guest, self.dst, self.port = guest, dst, port
        self.src = guest.me(dst)
        self.sport = sport or next(guest.ports)
        self.seq = random.getrandbits(32) if isn is None else isn
        self.ack = 0
        self.window = window
        self.options = (struct.pack("!BBH", 2, 4, mss)
                        if options is None else options)
        self.received = b""
        self.saw = set()                # "syn", "fin", "rst"
        self.tap = queue.Queue()
        guest.taps.append((self._mine, self.tap))

    def _mine(self, f):
        return f.proto == p.TCP and f.src == self.dst and \
            f.sport == self.port and f.dport == self.sport

    def segment(self, flags, payload=b"", seq=None, ack=None, **how):
        how.setdefault("window", self.window)
        self.guest.send(p.ip(self.src, self.dst, p.TCP, p.tcp(
            self.src, self.dst, self.sport, self.port,
            self.seq if seq is None else seq,
            self.ack if ack is None else ack, flags, payload, **how)))

    def next(self, timeout=5):
        try:
            return self.tap.get(timeout=timeout)
        except queue.Empty:
            return None

    def connect(self, timeout=5):
        """True: established. False: reset. None: silence."""
        self.segment(p.SYN, options=self.options)
        reply = self.next(timeout)
        if reply is None:
            return None
        if reply.flags & p.RST:
            self.saw.add("rst")
            return False
        self.seq += 1
        self.ack = (reply.seq + 1) & 0xffffffff
        self.segment(p.ACK)
        return True

    def write(self, data, size=1400):
        for start in range(0, len(data), size):
            piece = data[start:start + size]
            self.segment(p.ACK | p.PSH, piece)
            self.seq += len(piece)

    def take(self, f):
        """Accounts for one segment that came."""
        if f.flags & p.RST:
            self.saw.add("rst")
            return
        if f.seq == self.ack and f.data:
            self.received += f.data
            self.ack = (self.ack + len(f.data)) & 0xffffffff
        if f.flags & p.FIN and (f.seq + len(f.data)) & 0xffffffff == self.ack:
            self.saw.add("fin")
            self.ack = (self.ack + 1) & 0xffffffff
        if f.data or f.flags & p.FIN:
            self.segment(p.ACK)

    def read(self, count=None, timeout=5):
        """Reads until `count` bytes, FIN, RST or silence."""
        end = time.monotonic() + timeout
        while not self.saw and (count is None or len(self.received) < count):
            f = self.next(max(0, end - time.monotonic()))
            if f is None:
                break
            self.take(f)
        return self.received

    def finish(self):
        self.segment(p.FIN | p.ACK)
        self.seq += 1

    def close(self):
        self.guest.taps.remove(
            next(x for x in self.guest.taps if x[1] is self.tap))


# ---- gateways that serve a stream ------------------------------------------------

class Serve:
    """`sallyport serve --stream` in the foreground."""

    def __init__(self, trial, policy=None, args=(), address=None,
                 lengths=(24, 64)):
        self.trial = trial
        self.lengths = lengths
        self.lab = trial.lab
        self.policy = policy or gateway.policy_text()
        self.args = list(args)
        self.address = address or (
            gateway.GUEST4, gateway.GATEWAY4, gateway.GUEST6,
            gateway.GATEWAY6)
        self.directory = tempfile.mkdtemp(dir=self.lab.scratch, prefix="s-")
        self.sock = os.path.join(self.directory, "sock")
        self.log = os.path.join(self.directory, "log", "audit.jsonl")
        self.process = None
        trial.gateway = self

    def files(self):
        path = os.path.join(self.directory, "policy.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(self.policy)
        os.mkdir(os.path.dirname(self.log), 0o700)
        if self.lab.root and self.lab.user:
            for name in (self.directory, path, os.path.dirname(self.log)):
                os.chown(name, self.lab.uid, self.lab.uid)
        os.chmod(path, 0o644)
        return path

    def command(self):
        own4, gate4, own6, gate6 = self.address
        return self.lab.as_user() + [
            os.path.join(self.trial.bindir, "sallyport"), "serve", "-p",
            self.files(), "--tenant", "t", "--audit", self.log, "--stream",
            self.sock, "--guest-address", f"{own4}/{self.lengths[0]}",
            "--gateway", gate4, "--guest-address",
            f"{own6}/{self.lengths[1]}", "--gateway", gate6, *self.args]

    def __enter__(self):
        self.stderr_path = os.path.join(self.directory, "stderr")
        with open(self.stderr_path, "wb") as stderr:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=stderr, process_group=0)
        if not lablib.wait_until(lambda: os.path.exists(self.sock) or
                                 self.process.poll() is not None, 10) or \
                self.process.poll() is not None:
            raise gateway.GuestError(f"serve did not start: {self.stderr()}")
        return self

    def stderr(self):
        with open(self.stderr_path, encoding="utf-8", errors="replace") as f:
            return f.read().strip()[-2000:]

    def attach(self):
        """A new client; the link may still be busy with the last one's end."""
        end = time.monotonic() + 5
        while True:
            guest = StreamGuest(self.sock, *self.address)
            try:
                guest.resolve(1)
                return guest
            except (gateway.GuestError, OSError):
                guest.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def pids(self, program=None):
        return [pid for pid in lablib.processes()
                if (lablib.program(pid) == program if program
                    else lablib.program(pid) in lablib.PROGRAMS)]

    guest = None

    def __exit__(self, kind, value, trace):
        self.process.terminate()
        try:
            status = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise gateway.GuestError("serve did not end on SIGTERM") from None
        finally:
            self.process.stdout.close()
        if kind is None:
            self.after(status)

    def after(self, status):
        if status != 0:
            raise gateway.GuestError(f"exit status {status}: {self.stderr()}")
        if os.path.exists(self.sock):
            raise gateway.GuestError("the socket's path is still there")
        self.trial.validate(self.log)

    def records(self):
        return audit.read(self.log)


class Passt(Serve):
    """The peer with the same protocol: our client is checked against it."""

    def __init__(self, trial, policy=None, args=(), address=None):
        del policy, args, address
        super().__init__(trial, address=(
            lablib.HOST4, lablib.ROUTER4, lablib.HOST6, lablib.ROUTER6))

    def command(self):
        return ["passt", "--runas", "0:0", "-f", "-q", "-s", self.sock, "-t",
                "none", "-u", "none", "--no-map-gw"]

    def after(self, status):
        del status
        if os.path.exists(self.sock):
            os.unlink(self.sock)


def serve(trial, **how):
    return (Serve if trial.is_sallyport else Passt)(trial, **how)
