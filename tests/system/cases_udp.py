"""Datagrams and echo: acceptance 2 of the main job."""
import socket

import dnswire
import gateway
import lab
from trial import OURS, case

# The largest datagram that fits a frame at MTU 65520: less IP and UDP headers.
MAX4, MAX6 = 65520 - 28, 65520 - 48
# Both sides of what is a border for somebody: MTUs, powers of two, pools.
BORDERS = [0, 1, 2, 3, 7, 8, 63, 64, 255, 256, 511, 512, 513, 1023, 1024, 1231,
           1232, 1233, 1251, 1252, 1253, 1451, 1452, 1453, 1471, 1472, 1473,
           1499, 1500, 1501, 2047, 2048, 4095, 4096, 4097, 8191, 8192, 9000,
           16383, 16384, 16385, 32767, 32768, 32769, 40000, 65000, 65400]


def sweep(limit, full):
    found = set(b for b in BORDERS if b <= limit)
    found |= set(range(limit - (20 if full else 3), limit + 1))
    if full:
        found |= set(range(0, 300)) | set(range(0, limit, 617))
    return sorted(found)


@case(quick=True, timeout=120)
def udp_sizes(t):
    """Every size from nothing to what a frame can hold, over both families."""
    full = t.scale(True, False)
    with t.guest(fds=False) as guest:
        for dst, limit in ((lab.LIVE4, MAX4), (lab.LIVE6, MAX6)):
            server = t.serve_udp(dst)
            t.equal(guest.call("udp", dst, server.port, sweep(limit, full)),
                    [], dst)


@case(quick=True)
def udp_sizes_small_path(t):
    """The host's path has MTU 1500: its kernel fragments, not we."""
    with t.guest(fds=False) as guest:
        for dst in (lab.SMALL4, lab.SMALL6):
            server = t.serve_udp(dst)
            sizes = [0, 1, 1400, 1452, 1472, 1473, 3000, 9000, 40000, 65400]
            t.equal(guest.call("udp", dst, server.port, sizes), [], dst)


@case(quick=True)
def udp_answer_above_mtu(t):
    """Answers larger than the guest's MTU reach it, in fragments."""
    sizes = [1472, 1473, 3000, 9000, 40000, 65000]
    with t.guest(mtu=1500, fds=False) as guest:
        for dst in (lab.LIVE4, lab.LIVE6):
            server = t.serve_udp(
                dst, answer=lambda data: b"a" * int(data.decode()))
            # On the plain path a first "packet too big" costs a datagram.
            tries = 1 if t.is_sallyport else 2
            t.equal(guest.call("udp_answer", dst, server.port, sizes,
                               tries=tries), [], dst)


@case(quick=True, timeout=90)
def udp_64_ports(t):
    server = t.serve_udp(lab.LIVE4)
    rounds = t.scale(500, 100)
    with t.guest(fds=False) as guest:
        t.equal(guest.call("udp_ports", lab.LIVE4, server.port, 64, rounds),
                rounds)
    t.equal(len({peer[1] for peer, _, _ in server.log}), 64, "source ports")


@case(quick=True)
def udp_servers_apart(t):
    """One local port, many servers: each answer comes from its own."""
    servers = [t.serve_udp(f"203.0.114.{n}") for n in range(10, 30)]
    with t.guest(fds=False) as guest:
        t.equal(guest.call("udp_many", [[s.sock.getsockname()[0], s.port]
                                        for s in servers]), [])


@case(quick=True, differs={"pasta": "carries no ICMP errors"})
def udp_closed_port(t):
    with t.guest(fds=False) as guest:
        for dst in (lab.LIVE4, lab.LIVE6):
            error, seconds = guest.call("udp_error", dst, 9)
            t.equal(error, "ECONNREFUSED", dst)
            t.check(seconds < 1, f"{dst}: after {seconds:.2f} s")


@case(quick=True, gateways=OURS)
def udp_denied(t):
    """ICMP administratively prohibited, at once, and a record."""
    rules = 'allow to net 203.0.114.11 port udp 53 label "one"\n'
    with t.guest(policy=gateway.policy_text(rules)) as guest:
        for dst, wanted in ((lab.LIVE4, "EHOSTUNREACH"),
                            (lab.LIVE6, "EACCES")):
            error, seconds = guest.call("udp_error", dst, 9)
            t.equal(error, wanted, dst)
            t.check(seconds < 0.2, f"{dst}: after {seconds:.2f} s")
    denied = t.records("flow.deny")
    t.equal([r["reason"] for r in denied], ["default-deny"] * 2)


@case(quick=True, differs={"pasta": "its guest may open no ping socket"})
def ping(t):
    """Echo to hosts of both families, through the guest's ping sockets."""
    with t.guest(fds=False) as guest:
        for dst in (lab.LIVE4, lab.LIVE6):
            sizes = [0, 1, 56, 1000, 1452, 1472]
            t.equal(guest.call("ping", dst, sizes), [], dst)


@case(quick=True, gateways=OURS)
def ping_gateway(t):
    """The gateway itself answers, whatever the policy says."""
    rules = 'allow to net 203.0.114.11 port udp 53 label "one"\n'
    with t.guest(policy=gateway.policy_text(rules)) as guest:
        for dst in (gateway.GATEWAY4, gateway.GATEWAY6):
            t.equal(guest.call("ping", dst, [0, 56, 1400, 60000]), [], dst)


@case(quick=True, gateways=OURS)
def ping_denied(t):
    rules = 'allow to net 203.0.114.11 port udp 53 label "one"\n'
    with t.guest(policy=gateway.policy_text(rules)) as guest:
        for dst, wanted in ((lab.LIVE4, "EHOSTUNREACH"),
                            (lab.LIVE6, "EACCES")):
            t.equal(guest.call("ping", dst, [56])[0][1], wanted, dst)
    t.equal(len(t.records("flow.deny")), 2, "flow.deny")


@case(quick=True, gateways=OURS)
def resolver_without_names(t):
    """Port 53 at the gateway, of a policy without names: NXDOMAIN at once."""
    with t.guest() as guest:
        back = dnswire.Message(bytes.fromhex(guest.call(
            "udp_raw", gateway.GATEWAY4, 53,
            dnswire.query("www.example.org", ident=0x1234).hex())))
    t.equal((back.ident, back.is_reply, back.rcode),
            (0x1234, True, dnswire.NXDOMAIN))


@case(timeout=320, gateways=OURS)
def udp_idle_ends(t):
    """An answered association ends 180 s after its last datagram."""
    server = t.serve_udp(lab.LIVE4)
    with t.guest() as guest:
        before = lab.fd_count(t.pid("sallyport-broker"))
        t.equal(guest.call("udp", lab.LIVE4, server.port, [10]), [])
        t.check(lab.wait_until(
            lambda: lab.fd_count(t.pid("sallyport-broker")) > before, 2),
            "the broker holds no fd for it")
        gone = lab.wait_until(
            lambda: lab.fd_count(t.pid("sallyport-broker")) == before, 260,
            step=1)
        t.check(gone, "the association is still there after 260 s")
    closes = t.records("flow.close")
    t.equal([r["reason"] for r in closes], ["idle"])


@case(quick=True, gateways=OURS)
def udp_unanswered(t):
    """An answer from another port does not arrive, and the log says that none did."""
    def answer_elsewhere(data):
        elsewhere.sendto(b"from another port", server.log[-1][0])
        return None

    with t.lab.internet:
        elsewhere = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    elsewhere.bind((lab.LIVE4, 0))
    server = t.serve_udp(lab.LIVE4, answer=answer_elsewhere)
    good = t.serve_udp(lab.LIVE4)
    with t.guest(policy=gateway.policy_text(
            head="limits l { idle 2s }\n", tenant="limits l\n")) as guest:
        number = guest.start("udp", lab.LIVE4, server.port, [10], timeout=0.5,
                             tries=1)
        t.equal(guest.finish(number), [[10, "timeout"]])
        t.equal(guest.call("udp", lab.LIVE4, good.port, [10]), [])
        t.equal(guest.call("udp_error", lab.LIVE4, 9)[0], "ECONNREFUSED")
        t.check(lab.wait_until(
            lambda: len(t.records("flow.close")) == 3, 10), "no end")
    elsewhere.close()
    t.equal({r["g_dp"]: r["reason"] for r in t.records("flow.close")},
            {server.port: "unanswered", good.port: "idle", 9: "idle"})
