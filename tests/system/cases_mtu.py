"""Datagrams that are larger than a link or a path: fragments, and what is told of them."""
import os
import subprocess

import gateway
import lab
import nspace
import servers
from trial import OURS, case

NARROW4, NARROW6 = "203.0.116.10", "2600:1f00:0:2::10"
PATH = 1400

# A datagram that must not be fragmented, and what becomes of it and of the next.
PROBE = """
import socket, struct, sys, time
dst, port, size, how = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
v6 = ":" in dst
level = socket.IPPROTO_IPV6 if v6 else socket.IPPROTO_IP
DISCOVER, MTU, RECVERR = (23, 24, 25) if v6 else (10, 14, 11)
head = 48 if v6 else 28
s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(level, DISCOVER, {"do": 2, "probe": 3}[how])
s.setsockopt(level, RECVERR, 1)
s.connect((dst, port))
s.settimeout(3)
s.send(bytes(size - head))
told = 0
try:
    print("echo", len(s.recv(70000)))
except OSError as error:
    print(type(error).__name__, error.errno)
    end = time.monotonic() + 1
    while time.monotonic() < end and not told:
        try:
            _, anc, _, _ = s.recvmsg(2000, 1000, socket.MSG_ERRQUEUE | 0x40)
            told = struct.unpack("IBBBBII", anc[0][2][:16])[5]
        except BlockingIOError:
            time.sleep(0.01)
print("told", told, s.getsockopt(level, MTU))
if told:
    while True:                         # what is pending
        try:
            s.send(bytes(told - head))
            break
        except OSError:
            pass
    print("echo", len(s.recv(70000)))
"""


class Narrow:
    """A network behind a router of the internet's, by a link of so many bytes."""

    def __init__(self, t):
        self.ns = t.keep(nspace.Netns.new())
        fd = f"/proc/{os.getpid()}/fd/{self.ns.fd}"
        with t.lab.internet:
            lab.ip_batch(
                f"link add narrow mtu {PATH} type veth peer name eth0 "
                f"mtu {PATH} netns {fd}\n"
                "address add 203.0.116.1/24 dev narrow\n"
                "address add 2600:1f00:0:2::1/64 dev narrow nodad\n"
                "link set narrow up\n")
        with self.ns:
            lab.prepare()
            lab.ip_batch(
                "link set lo up\n"
                f"address add {NARROW4}/24 dev eth0\n"
                f"address add {NARROW6}/64 dev eth0 nodad\n"
                "link set eth0 up\n"
                "route add default via 203.0.116.1\n"
                "route add default via 2600:1f00:0:2::1\n")
        self.server = {dst: t.keep(servers.UdpServer(self.ns, dst))
                       for dst in (NARROW4, NARROW6)}

    def sizes(self, dst):
        return {size for _, size, _ in self.server[dst].log}


def probe(guest, dst, port, size, how="do"):
    status, out, err = guest.call("run", ["python3", "-c", PROBE, dst,
                                          str(port), str(size), how])
    if status != 0:
        raise AssertionError(err[-300:])
    return out.splitlines()


@case(quick=True, gateways=OURS)
def df_is_honoured(t):
    """What is too large for the path, and has DF, does not arrive in pieces: the guest
    is told what fits, each time, and that arrives."""
    narrow = Narrow(t)
    for mtu in (1500, 65520):
        with t.guest(mtu=mtu, fds=False) as guest:
            for dst in (NARROW4, NARROW6):
                head = 48 if ":" in dst else 28
                port = narrow.server[dst].port
                narrow.server[dst].log.clear()
                for how in ("do", "probe"):
                    t.equal(probe(guest, dst, port, 1450, how),
                            ["OSError 90", f"told {PATH} {PATH}",
                             f"echo {PATH - head}"], f"{mtu} {dst} {how}")
                t.equal(narrow.sizes(dst), {PATH - head}, "what arrived")
                t.equal(probe(guest, dst, port, PATH)[0],
                        f"echo {PATH - head}", dst)


@case(quick=True, gateways=OURS)
def df_first_link(t):
    """The host's own link is too small: told at once, and nothing is sent."""
    with t.guest(mtu=9000, fds=False) as guest:
        for dst in (lab.SMALL4, lab.SMALL6):
            server = t.serve_udp(dst)
            head = 48 if ":" in dst else 28
            t.equal(probe(guest, dst, server.port, 4000),
                    ["OSError 90", "told 1500 1500", f"echo {1500 - head}"],
                    dst)
            t.equal(len(server.log), 1, "datagrams")


@case(quick=True, gateways=OURS)
def no_df_no_limit(t):
    """Without DF all sizes arrive, over a narrow path and from a small link."""
    narrow = Narrow(t)
    for mtu in (1500, 65520):
        with t.guest(mtu=mtu, fds=False) as guest:
            for dst in (NARROW4, NARROW6):
                sizes = [1, 1352, 1372, 1373, 1472, 1473, 3000, 20000, 65000]
                number = guest.start("udp", dst, narrow.server[dst].port,
                                     sizes, timeout=0.7)
                t.equal(guest.finish(number), [], f"{mtu} {dst}")


@case(quick=True, gateways=OURS, timeout=120)
def larger_than_the_link(t):
    """Datagrams and pings that the guest's own kernel has to cut."""
    sizes = [1472, 1473, 1480, 2951, 2952, 2953, 9000, 40000, 65000, 65487]
    with t.guest(mtu=1500, fds=False) as guest:
        for dst, most in ((lab.LIVE4, 65507), (lab.LIVE6, 65487)):
            server = t.serve_udp(dst)
            t.equal(guest.call("udp", dst, server.port, sizes + [most],
                               tries=1), [], dst)
            t.equal(guest.call("ping", dst, [1472, 1473, 3000, 20000, 60000]),
                    [], dst)
    t.equal([r for r in t.records("deny.agg") if r["reason"] == "fragment"],
            [])


@case(quick=True, gateways=OURS)
def errors_about_datagrams(t):
    """What a router says of a closed port, or of a network that it prohibits, the
    guest's program hears."""
    with t.lab.internet:
        lab.ip_batch("route add prohibit 203.0.117.0/24\n"
                     "route add prohibit 2600:1f00:0:9::/64\n")
    try:
        with t.guest(fds=False) as guest:
            for dst, port, wanted in (
                    (lab.LIVE4, 9, "ECONNREFUSED"),
                    (lab.LIVE6, 9, "ECONNREFUSED"),
                    ("203.0.117.1", 5, "EHOSTUNREACH"),
                    ("2600:1f00:0:9::1", 5, "EACCES")):
                error, seconds = guest.call("udp_error", dst, port)
                t.equal(error, wanted, dst)
                t.check(seconds < 1, f"{dst}: after {seconds:.2f} s")
    finally:
        with t.lab.internet:
            lab.ip_batch("route del prohibit 203.0.117.0/24\n"
                         "route del prohibit 2600:1f00:0:9::/64\n")


@case(quick=True, gateways=OURS)
def mtu_of_run(t):
    """CMD's link has the MTU of this host's way to the world."""
    def facts(args=()):
        with t.guest(args=args) as guest:
            return guest.call("facts")["mtu"]["eth0"]

    def default(mtu):
        subprocess.run(["ip", "route", "replace", "default", "via",
                        lab.ROUTER4, *(["mtu", str(mtu)] if mtu else [])],
                       check=True)

    t.equal(facts(), 65520, "the way has")
    try:
        for way, wanted in ((1420, 1420), (9000, 9000), (600, 1280)):
            default(way)
            t.equal(facts(), wanted, way)
        t.equal(facts(("--mtu", "3000")), 3000, "said")
        for family in ("-4", "-6"):
            subprocess.run(["ip", family, "route", "del", "default"],
                           check=True)
        t.equal(facts(), 1500, "no way")
    finally:
        default(0)
        subprocess.run(["ip", "-6", "route", "replace", "default", "via",
                        lab.ROUTER6], check=True)
