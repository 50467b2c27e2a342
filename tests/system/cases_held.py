"""Limits that a client can live with: what is over `pending` or `unproven` waits for
its turn, under the policy's defaults and with a server that is 100 ms away.
"""
import shutil
import statistics

import far
import gateway
import lab
import names_lab
import servers
import tls_lab
from trial import OURS, case

NAME = "far.example"
HOST = f'host "{NAME}" {far.FAR4}\n'
RTT = 0.1
PLAIN = f"allow to net {far.FAR4} port tcp {gateway.PORTS}\n"
PROVED = f'allow to name "{NAME}" port tcp 443\n'
FLIGHT = tls_lab.records(tls_lab.hello(tls_lab.sni(NAME)))


def policy(rules=PLAIN):
    """Without limits of its own."""
    return gateway.policy_text(rules, head=HOST, tenant="")


def told(guest, *limits):
    """Each limit has one line for whoever runs this."""
    words = guest.stderr()
    return [words.count(f'at its limit "{limit}"') for limit in limits]


def limits_met(t):
    return sorted(r["detail"] for r in t.records("limit"))


@case(quick=True, gateways=OURS)
def held_plain(t):
    """300 connections at once to one address, 128 of which may be under way."""
    away = far.Far(t, RTT)
    server = t.serve(servers.echo, netns=away.netns)
    with t.guest(policy=policy()) as guest:
        found = guest.call("burst", far.FAR4, server.port, 300, "00" * 100)
        t.equal(found["outcomes"], {"ok": 300})
        t.check(found["seconds"] < 20, f"{found['seconds']:.1f} s")
        t.note(f"300 in {found['seconds']:.2f} s")
        t.equal(told(guest, "pending"), [1], guest.stderr())
    t.equal(limits_met(t), ["pending"])
    t.equal(len(t.records("flow.open")), 300)
    t.equal(names_lab.all_denied(t), {})


@case(quick=True, gateways=OURS)
def held_proved(t):
    """The same by name, where each has to show its first bytes."""
    away = far.Far(t, RTT)
    t.serve(servers.echo, netns=away.netns, port=443)
    with t.guest(policy=policy(PROVED)) as guest:
        guest.call("lookup", NAME)
        found = guest.call("burst", far.FAR4, 443, 300, FLIGHT.hex())
        t.equal(found["outcomes"], {"ok": 300})
        t.check(found["seconds"] < 20, f"{found['seconds']:.1f} s")
        t.note(f"300 in {found['seconds']:.2f} s")
    t.equal({r["assurance"] for r in t.records("flow.open")}, {"sni"})
    t.equal(len(t.records("flow.dial")), 300)
    t.equal(names_lab.all_denied(t), {})


@case(quick=True, gateways=OURS)
def held_by_a_black_hole(t):
    """128 connects hang; the 129th waits for one of them, and nobody for it."""
    server = t.serve(servers.greet(b"x"))
    with t.guest(policy=gateway.policy_text(head="", tenant=""),
                 fds=False) as guest:
        before = [r[1] for r in guest.call("connects", lab.LIVE4, server.port,
                                           50)]
        guest.call("start_connects", lab.HOLE4, 80, 128)
        t.equal(guest.call("connect", lab.HOLE4, 80, 1.5)[0], "timeout")
        results = guest.call("connects", lab.LIVE4, server.port, 50)
        t.equal({r[0] for r in results}, {"ok"}, "a live host")
        after = [r[1] for r in results]
        t.check(statistics.median(after) <
                2 * statistics.median(before) + 0.001,
                f"a live host took {statistics.median(after) * 1000:.1f} ms, "
                f"{statistics.median(before) * 1000:.1f} before")
        # Other addresses of the same dead net are not charged to it.
        guest.call("start_connects", "203.0.118.2", 80, 1)
        t.equal(guest.call("held_states"), {"ok": 129}, "those that hang")
        t.equal(told(guest, "pending"), [1])
        guest.call("release")
    t.equal(limits_met(t), ["pending"])
    t.equal({r["reason"] for r in t.records("flow.deny")}, {"pending"})


@case(quick=True, gateways=OURS)
def held_and_resumed(t):
    """A limit of one: each is connected when the one before it is."""
    away = far.Far(t, 0.02)
    server = t.serve(servers.echo, netns=away.netns)
    head = HOST + "limits one { pending 1 unproven 1 }\n"
    with t.guest(policy=gateway.policy_text(
            PLAIN + PROVED, head=head, tenant="limits one\n")) as guest:
        found = guest.call("burst", far.FAR4, server.port, 40, "00")
        t.equal(found["outcomes"], {"ok": 40})
        t.check(0.7 < found["seconds"] < 20, f"{found['seconds']:.2f} s")


# ---- real clients ------------------------------------------------------------------

def web(t, away):
    return t.serve(servers.http(b"x" * 1000), netns=away.netns, port=80)


def tool(t, *argv, timeout=120):
    """What the program said, run as CMD's child."""
    if not shutil.which(argv[0]):
        t.skip(f"no {argv[0]}")
    guest = t.gateway.guest
    status, out, err = guest.call("run", list(argv), timeout)
    t.equal(status, 0, f"{argv[0]}: {out[-300:]} {err[-300:]}")
    return out


@case(gateways=OURS, timeout=180)
def held_ab(t):
    web(t, far.Far(t, RTT))
    with t.guest(policy=policy()):
        out = tool(t, "ab", "-q", "-n", "2000", "-c", "200",
                   f"http://{far.FAR4}/")
    t.check("Complete requests:      2000" in out and
            "Failed requests:        0" in out, out)


@case(gateways=OURS, timeout=180)
def held_h2load(t):
    """HTTP/1, and HTTP/2 by TLS and by name."""
    away = far.Far(t, RTT)
    web(t, away)
    t.keep(tls_lab.VhostServer(t.lab, [NAME], h2=True, netns=away.netns))
    # the lab's server of HTTP/2 leaves its end open
    with t.guest(policy=policy(PLAIN + PROVED), fds=False) as guest:
        guest.call("lookup", NAME)
        for url, more in ((f"http://{far.FAR4}/", ["--h1"]),
                          (f"https://{NAME}/", [])):
            out = tool(t, "h2load", "-n", "200", "-c", "200", *more, url)
            t.check("200 succeeded, 0 failed, 0 errored" in out, out)


@case(gateways=OURS, timeout=180)
def held_curl(t):
    """--parallel-max 300; 172 of 300 had come through."""
    web(t, far.Far(t, RTT))
    with t.guest(policy=policy()):
        out = tool(t, "curl", "-sSZ", "--no-keepalive", "--parallel-immediate",
                   "--parallel-max", "300", "-o", "/dev/null", "-w",
                   "%{http_code}\\n", f"http://{far.FAR4}/[1-300]")
    t.equal(out.split(), ["200"] * 300)
