#!/usr/bin/python3
"""What `sallyport explain` says of a flow is what happens: random policies and flows,
with the real broker and the real inspector, real connects to servers of which some
speak first, and real first bytes. The frame, the resolver and the recorder are played.

Compared are the verdict, its reason, its rule, the name and its assurance; and that
first bytes are asked for exactly where explain says so.

usage: explain.py      in the build directory
       EXPLAIN_POLICIES=n (default 40); SEED=n
"""

import collections
import os
import random
import socket
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
import rig  # noqa: E402
from rig import *  # noqa: E402

# as explain has them, and `run`
rig.GUEST, rig.GATEWAY = "10.83.80.100", "10.83.80.2"
BROKER, PARSER, INSPECTOR, EXPLAIN = (os.path.abspath(p) for p in (
    "sallyport-broker", "sallyport-parser", "sallyport-inspector", "policy_cmd"))
NAMES = ("a.example", "b.example", "x.a.example", "y.b.example")
PORTS = (80, 443)
SERVICE = 9091
QUESTIONS = 56
QUIET = os.open("/dev/null", os.O_RDWR)     # warnings of random policies
# a net for each set of names, so that few denials are added up: silent, talkative
SILENT, TALKER = 16, 48


# ---- the street -----------------------------------------------------------------------

def serve():
    """All addresses are its own; below 203.0.48/20 it speaks first."""
    def accept(srv):
        kept = collections.deque(maxlen=600)
        while True:
            conn, _ = srv.accept()
            with contextlib.suppress(OSError):      # it is gone already
                if int(conn.getsockname()[0].split(".")[2]) >= TALKER:
                    conn.send(b"220 ready\r\n")
            kept.append(conn)
    for port in PORTS:
        srv = socket.socket()
        srv.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        srv.bind(("0.0.0.0", port))
        srv.listen(512)
        threading.Thread(target=accept, args=(srv,)).start()


def street():
    """A namespace with the servers, and in ours a road to it."""
    ready_r, ready_w = os.pipe()
    go_r, go_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go_w)
        ctypes.CDLL(None).unshare(CLONE_NEWNET)
        os.write(ready_w, b".")
        os.read(go_r, 1)
        ip("link", "set", "lo", "up")
        ip("addr", "add", "198.51.100.2/24", "dev", "nowhere")
        ip("link", "set", "nowhere", "up")
        ip("route", "add", "local", "203.0.0.0/17", "dev", "lo")
        serve()
        os.write(ready_w, b".")
        os.read(go_r, 1)                # until we end
        os._exit(0)
    os.close(go_r)
    os.read(ready_r, 1)
    ip("link", "add", "street", "type", "veth", "peer", "name", "nowhere")
    ip("link", "set", "nowhere", "netns", str(pid))
    ip("link", "set", "street", "up")
    ip("addr", "add", "198.51.100.1/24", "dev", "street")
    ip("route", "add", "default", "via", "198.51.100.2")
    os.write(go_w, b".")
    os.read(ready_r, 1)
    return pid


# ---- random policies and questions ------------------------------------------------------

PATTERNS = ('"a.example"', '"b.example"', '"*.a.example"', '"**.a.example"',
            '"*.example"', '"**.example"', '"y.b.example"',
            '{ "a.example" "b.example" }')
NETS = ("203.0.16.0/21", "203.0.17.1", "203.0.50.1", "203.0.48.0/20",
        "203.0.24.0/22")


def named(rng):
    return "name " + rng.choice(PATTERNS) + (
        " except " + rng.choice(PATTERNS[:4]) if rng.random() < 0.15 else "")


def ports(rng):
    return rng.choice(("80", "443", "{ 80 443 }"))


def allow(rng):
    if rng.random() < 0.1:
        return "allow to host-service h"
    if rng.random() < 0.65:
        proto = "udp" if rng.random() < 0.15 else "tcp"
        port = ports(rng)
        verify = "" if proto == "udp" else rng.choice((
            "", "", "verify host", "verify none", "verify none",
            "verify sni ech allow" if port == "80" else "ech allow"))
        return f"allow to {named(rng)} port {proto} {port} {verify}"
    what = "any" if rng.random() < 0.4 else "net " + rng.choice(NETS)
    return f"allow to {what} port tcp {ports(rng)}" + rng.choice((
        "", "", "", " icmp echo", " port udp 443"))


def deny(rng):
    what = named(rng) if rng.random() < 0.75 else "net " + rng.choice(NETS)
    where = f"port tcp {ports(rng)}" if rng.random() < 0.75 else ""
    mode = rng.choice(("", "", "", "", "mode audit", "mode enforce"))
    return f"deny to {what} {where} {mode}"


def policy(rng):
    rules = [deny(rng) if rng.random() < 0.35 else allow(rng)
             for _ in range(rng.randrange(2, 7))]
    mode = " mode audit" if rng.random() < 0.2 else ""
    return "\n".join(["policy version 1", "host-service h 127.0.0.1:%d tcp" %
                      SERVICE, "tenant t%s {" % mode, *rules, "}", ""])


def vector(size, data):
    return len(data).to_bytes(size, "big") + data


def hello(sni, ech):
    extensions = b""
    if sni:
        extensions += b"\0\0" + vector(2, vector(2, b"\0" + vector(
            2, sni.encode())))
    if ech:
        extensions += b"\xfe\x0d" + vector(2, bytes(8))
    body = b"\3\3" + bytes(32) + b"\0" + vector(2, b"\x13\1") + b"\1\0" + \
        vector(2, extensions + b"\0\x0b" + vector(2, b"\1\0"))
    return b"\x16\3\1" + vector(2, b"\1" + vector(3, body))


SSH = b"SSH-2.0-x\r\n"         # names nothing, and is no hello without a name


def shown(rng):
    """(explain's words, the first bytes or None where the server speaks)"""
    what, n = rng.randrange(13), rng.choice(NAMES)
    if what < 4:
        return ["--sni", n], hello(n, False)
    if what < 6:
        return ["--sni", n, "--ech"], hello(n, True)
    if what < 8:
        return ["--host", n], \
            b"GET / HTTP/1.1\r\nHost: " + n.encode() + b":80\r\n\r\n"
    if what == 8:
        return ["--sni", ""], hello("", False)
    if what == 9:
        return ["--host", ""], b"GET / HTTP/1.0\r\nAccept: */*\r\n\r\n"
    if what == 10:
        return ["--undecided"], hello(n, False)[:-3]
    return (["--sni", ""], SSH) if what == 11 else (["--nothing"], None)


Question = collections.namedtuple("Question", "proto dst port bound words data")


def question(rng):
    what, bound = rng.random(), rng.randrange(16)
    words, data = shown(rng)
    net = TALKER if data is None else SILENT
    dst = f"203.0.{net + bound}.1"
    if what < 0.06:
        return Question(UDP, dst, rng.choice(PORTS), bound, [], None)
    if what < 0.1:
        return Question(ECHO, dst, 0, bound, [], None)
    if what < 0.13:
        return Question(TCP, rig.GATEWAY, rng.choice((SERVICE, 80)), 0, words,
                        data)
    if what < 0.16:
        return Question(TCP, "10.1.2.3", 443, 0, words, data)
    return Question(TCP, dst, rng.choice(PORTS), bound, words, data)


# ---- what explain says ---------------------------------------------------------------------

Said = collections.namedtuple("Said", "kind reason loc name assurance asks depends")
PROTO = {TCP: "tcp", UDP: "udp", ECHO: "icmp"}


class Explain:
    """Many questions, one process."""

    def __init__(self):
        self.run = subprocess.Popen([EXPLAIN, "batch"], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, text=True,
                                    stderr=subprocess.DEVNULL)

    def ask(self, *words):
        self.run.stdin.write("\t".join(words) + "\n")
        self.run.stdin.flush()
        lines = []
        while True:
            line = self.run.stdout.readline()
            assert line, (words, lines)
            if line.startswith("exit "):
                return int(line[5:]), lines
            if line.startswith(" " * 11) and lines:     # the step goes on
                line = lines.pop().rstrip("\n") + " " + line.lstrip()
            lines.append(line)

    def of(self, path, q, names):
        where = q.dst if q.proto == ECHO else f"{q.dst}:{q.port}"
        base = ["explain", path, "t", PROTO[q.proto], where]
        for n in names:
            base += ["--name", n]
        status, lines = self.ask(*base)
        asks = status == 3 or any("for the record" in x for x in lines)
        depends = status == 3
        if q.proto == TCP:
            status, lines = self.ask(*base, *q.words)
        assert status in (0, 1), (status, base, q.words, lines)
        line = lines[-1]
        kind = re.match(r"verdict    ([a-z-]+)", line)[1]
        reason = re.search(r" \((?!assurance)([a-z-]+)\)", line)
        loc = re.search(r" by (\S+:\d+)", line)
        name = re.search(r", as (\S+) \(assurance (\w+)\)", line)
        return Said(kind, reason[1] if reason else "none", loc[1] if loc else "",
                    *(name.groups() if name else ("", "none")), asks, depends)


# ---- what happens ----------------------------------------------------------------------------

VERDICTS = {1: "allow", 2: "deny", 3: "audit-deny"}
ASSURANCE = {0: "none", 1: "dns", 2: "sni", 3: "host"}


def start_inspector(b):
    """The real one, at the end of the broker's channel."""
    chan = b.helper(ROLE_INSPECTOR)
    null = os.open("/dev/null", os.O_RDWR)
    pid = os.fork()
    if pid == 0:
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100)
                for fd in (null, chan.sock.fileno(), 2)]
        for to, fd in ((0, high[0]), (1, high[0]), (2, high[0]), (3, high[1]),
                       (5, high[2])):
            os.dup2(fd, to)
        os.close(4) if os.path.exists("/proc/self/fd/4") else None
        os.closerange(6, 4096)
        os.execve(INSPECTOR, ["sallyport-inspector", "1"],
                  {k: v for k, v in os.environ.items()
                   if k in ("ASAN_OPTIONS", "UBSAN_OPTIONS")})
    os.close(null)
    chan.close()
    return pid


def resolve_all(f, res):
    """Each name leads to all addresses of the sets that it is in. Those that may be
    resolved at all."""
    got = []
    for i, n in enumerate(NAMES):
        addrs = [f"203.0.{net + s}.1" for net in (SILENT, TALKER)
                 for s in range(16) if s >> i & 1]
        ident = f.resolve(n)
        kind = f.recv(0.05)[0]
        if kind is None:
            res.answer(res.asked()[0], addrs)
            assert f.answer(ident)[0] == ADDRESSES
            got.append(n)
    return got


def play_flows(b, f, questions):
    """Opens all, shows what is asked for. {gport: asked}, {gport: granted}"""
    asked, granted, left = {}, {}, {}
    for i, q in enumerate(questions):
        left[f.open(q.dst, q.port, q.proto, gport=1000 + i)] = i
    while left:
        kind, ident, _, fd = f.recv(10)
        assert kind in (GRANT, DENY, PEEK), (kind, [questions[i] for i in
                                                    left.values()])
        i = left[ident]
        if kind == PEEK:
            asked[i] = True
            if questions[i].data is not None:
                f.flight(ident, questions[i].data)
            continue
        del left[ident]
        granted[i] = kind == GRANT
        if kind == GRANT:
            f.ack(ident)
            os.close(fd)
            f.close(ident, HOW_RST, "guest-rst")
    return asked, granted


def told(b, i):
    """The record that has the verdict; None if it was added up."""
    for r in b.records:
        if r.g_src and r.g_src[1] == 1000 + i and \
                r.type in ("flow.open", "flow.deny"):
            return r
    return None


def compare(text, q, names, said, asked, granted, r):
    where = f"{text}\n{q}\nnames {names}\nexplain: {said}\nlive: granted " \
            f"{granted}, asked {asked}, {r and vars(r)}"
    assert granted == (said.kind != "deny"), where
    assert asked == said.asks, where
    if r is None:
        assert not granted, where
        return 0
    reasons = r.reason, said.reason
    if q.data == SSH:                   # no word for that: it is as good as no name
        reasons = [x.replace("unparseable", "missing") for x in reasons]
    live = (VERDICTS[r.verdict], reasons[0], r.loc.rsplit("/", 1)[-1])
    assert live == (said.kind, reasons[1], said.loc.rsplit("/", 1)[-1]), where
    if granted:
        assert (r.name, ASSURANCE[r.assurance]) == (said.name, said.assurance), \
            where
    return 1


def try_policy(rng, explain, path):
    text = policy(rng)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o600)
    b = Bench(BROKER, compile_policy(PARSER, text, QUIET),
              upstream=[("198.51.100.2", 53)])
    inspector = res = None
    try:
        b.settle(0.02)
        if (ROLE_RESOLVER, 0) in b.spawned:
            res = b.resolver()
        if (ROLE_INSPECTOR, 0) in b.spawned:
            inspector = start_inspector(b)
        f = b.guest()
        names = resolve_all(f, res)
        questions = [question(rng) for _ in range(QUESTIONS)]
        asked, granted = play_flows(b, f, questions)
        b.settle(0.05)
        full = depends = 0
        for i, q in enumerate(questions):
            bound = [n for k, n in enumerate(NAMES)
                     if q.bound >> k & 1 and n in names]
            said = explain.of(path, q, bound)
            depends += said.depends
            full += compare(text, q, bound, said, asked.get(i, False),
                            granted[i], told(b, i))
        assert b.stop() == 0
    finally:
        b.end()
        if inspector:
            os.waitpid(inspector, 0)
    return len(questions), full, depends


def main():
    if not enter():
        print("explain: no network namespace to be had; skipped")
        return 77
    write("/proc/sys/net/ipv4/ping_group_range", "0 0" if os.getegid() == 0
          else f"{os.getegid()} {os.getegid()}")
    service = socket.create_server(("127.0.0.1", SERVICE))
    servers = street()
    seed = int(os.environ.get("SEED", "1"))
    explain, sums = Explain(), [0, 0, 0]
    with tempfile.TemporaryDirectory() as where:
        for i in range(int(os.environ.get("EXPLAIN_POLICIES", "40"))):
            got = try_policy(random.Random(seed * 1000003 + i), explain,
                             os.path.join(where, "policy.conf"))
            sums = [a + b for a, b in zip(sums, got)]
    explain.run.stdin.close()
    explain.run.wait()
    service.close()
    os.kill(servers, signal.SIGKILL)
    os.waitpid(servers, 0)
    print("%d flows, %d of them compared with a record, %d that their first bytes "
          "decided" % tuple(sums))
    assert sums[1] > sums[0] // 2 and sums[2] > sums[0] // 10, sums
    return 0


if __name__ == "__main__":
    sys.exit(main())
