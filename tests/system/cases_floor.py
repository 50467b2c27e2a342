"""What is the host's own is its kernel's to say: whole networks, anycast, broadcast,
tables of rules; what moves here under a live flow; what `floor except` of a network
leaves out; and answers of names with all of that in them.
"""
import subprocess
import time

import dnswire
import gateway
import lab
import names_lab
import servers
from cases_names import LIE, dns
from cases_learn import learnt
from cases_run import Place
from cases_spoof import OwnAddresses
from names_lab import SITE4, SITE6, ask
from trial import OURS, case

ANYIP4, ANYIP6 = "203.0.123.0/24", "2600:1f00:0:fa::/64"
ANYCAST6 = "2600:1f00::"                # of the host's link to the internet
TAKEN4, TAKEN6 = "203.0.114.39", "2600:1f00::39"
SITE10, OURS10 = "10.88.0.1", "10.77.0.1"
PROHIBITED = {"EHOSTUNREACH", "EACCES"}  # as ICMP and ICMPv6 say it


class Routes:
    """Routes and rules of the host's, until the case's end."""

    def __init__(self, *lines):
        self.lines = []
        for line in lines:
            self._ip(line)
            self.lines.append(line)

    @staticmethod
    def _ip(line):
        subprocess.run(["ip", "-6" if ":" in line else "-4", *line.split()],
                       check=True)

    def close(self):
        while self.lines:
            self._ip(self.lines.pop().replace(" add ", " del ", 1))


class Forwarding:
    """The host forwards IPv6: each of its links' networks gets an address more."""

    NAME = "net/ipv6/conf/all/forwarding"

    def __init__(self):
        lab.sysctl(self.NAME, 1)

    def close(self):
        lab.sysctl(self.NAME, 0)


class Bridge:
    """A bridge of the host's in 10/8, and a host of the internet's in it."""

    def __init__(self, t):
        self.t = t
        lab.ip_batch(f"link add bridge7 type bridge\n"
                     f"address add {OURS10}/24 brd + dev bridge7\n"
                     f"link set bridge7 up\n"
                     f"route add 10.88.0.0/16 via {lab.ROUTER4}\n")
        with t.lab.internet:
            lab.ip_batch(f"address add {SITE10}/32 dev lo\n")

    def close(self):
        lab.ip_batch("route del 10.88.0.0/16\nlink del bridge7\n")
        with self.t.lab.internet:
            lab.ip_batch(f"address del {SITE10}/32 dev lo\n")


def canaries(t):
    """Services of the host on all its addresses: (TCP 22, UDP 9)."""
    return (t.serve(servers.greet(b"x"), netns=t.lab.host, port=22),
            t.keep(servers.UdpServer(t.lab.host, "::", port=9)))


def nothing_reaches(t, guest, places, heard):
    """Refused at once, by every protocol, and nobody was there."""
    for place in places:
        t.equal(guest.call("connect", place, 22)[0], "ECONNREFUSED", place)
        error, seconds = guest.call("udp_error", place, 9)
        t.check(error in PROHIBITED and seconds < 1, f"{place}: udp {error}")
        t.equal(len(guest.call("ping", place, [8])), 1, f"{place}: ping")
    t.equal([len(c.log) for c in heard], [0, 0], "what the host heard")


def only_floor_local(t, wanted):
    denied = {}
    for r in t.records("flow.deny", "deny.agg"):
        denied[r["reason"]] = denied.get(r["reason"], 0) + r.get("n", 1)
    t.equal(denied, {"floor-local": wanted}, "denied")
    t.equal(t.records("flow.open"), [], "opened")


# ---- at the dial -----------------------------------------------------------------------

@case(quick=True, gateways=OURS)
def own_networks(t):
    """AnyIP of both families: local without being an address of any interface."""
    t.keep(Routes(f"route add local {ANYIP4} dev lo", f"route add local {ANYIP6} dev lo"))
    heard = canaries(t)
    places = ["203.0.123.9", "203.0.123.200", "2600:1f00:0:fa::7",
              "2600:1f00:0:fa:1:2:3:4", "64:ff9b::203.0.123.9"]
    with t.guest(policy=gateway.policy_text(
            gateway.ALLOW_ALL + "allow to any\nallow to any icmp echo\n"
            )) as guest:
        nothing_reaches(t, guest, places, heard)
    only_floor_local(t, 3 * len(places))


@case(quick=True, gateways=OURS)
def own_anycast(t):
    """The subnet-router anycast address of a host that forwards."""
    t.keep(Forwarding())
    heard = canaries(t)
    with t.guest() as guest:
        nothing_reaches(t, guest, [ANYCAST6], heard)
    only_floor_local(t, 3)


@case(quick=True, gateways=OURS)
def own_broadcast(t):
    with t.guest() as guest:
        nothing_reaches(t, guest, ["203.0.114.255"], canaries(t))
    only_floor_local(t, 3)


@case(quick=True, gateways=OURS)
def own_by_rule(t):
    """Local in a table that a rule finds for one protocol and port: that is floored,
    and the rest of the address is not."""
    t.keep(Routes(f"route add local {lab.LIVE4} dev lo table 77",
                  f"rule add ipproto 17 dport 9 lookup 77"))
    heard = canaries(t)
    server = t.serve_udp(lab.LIVE4)
    with t.guest(fds=False) as guest:
        t.check(guest.call("udp_error", lab.LIVE4, 9)[0] in PROHIBITED, "udp 9")
        t.equal(guest.call("udp", lab.LIVE4, server.port, [8]), [], "others")
    t.equal(len(heard[1].log), 0, "what the host heard")
    t.equal([r["reason"] for r in t.records("flow.deny")], ["floor-local"])


# ---- what moves here ---------------------------------------------------------------------

@case(quick=True, gateways=OURS)
def address_moves_here(t):
    """An address of a live UDP and a live TCP flow becomes the host's own: both end
    within moments, and the host hears no more than what raced. When it has gone
    again, it can be reached again."""
    away = t.keep(servers.UdpServer(t.lab.internet, "::", port=9))
    t.serve(servers.echo, port=22)
    heard = canaries(t)
    with t.guest() as guest:
        for place in (TAKEN4, TAKEN6):
            moves_here(t, guest, place, away, heard)
        t.equal(sum(len(c.log) for c in heard[:1]), 0, "TCP of the host's")
    closed = [r for r in t.records("flow.close")
              if r["reason"] == "floor-local"]
    t.equal(sorted(r["proto"] for r in closed), ["tcp", "tcp", "udp", "udp"],
            "taken back")


def moves_here(t, guest, place, away, heard):
    before, arrived = len(heard[1].log), len(away.log)
    guest.call("hold", place, 22, 1)
    sender = guest.start("udp_on", place, 9, 4)
    t.check(lab.wait_until(lambda: len(away.log) > arrived, 2),
            f"{place}: nothing arrives")
    ours = t.keep(OwnAddresses(place))
    moved = time.monotonic()
    error, _, sent = guest.finish(sender)
    t.check(error in PROHIBITED, f"{place}: {error} after {sent} datagrams")
    t.check(time.monotonic() - moved < 1.5, f"{place}: it went on")
    raced = len(heard[1].log) - before
    t.note(f"{raced} raced")
    t.check(raced < 100, f"{place}: {raced} datagrams reached the host")
    t.check(lab.wait_until(lambda: guest.call("held_states") ==
                           {"ECONNRESET": 1}, 2), f"{place}: TCP goes on")
    t.equal(guest.call("connect", place, 22)[0], "ECONNREFUSED", place)
    guest.call("release")
    ours.close()
    t.check(lab.wait_until(lambda: guest.call("connect", place, 22)[0] == "ok",
                           2), f"{place}: not back")


@case(quick=True, gateways=OURS)
def network_becomes_ours(t):
    """The same by a route, by a rule, and by forwarding that is switched on."""
    heard = canaries(t)
    away = t.keep(servers.UdpServer(t.lab.internet, "::", port=9))
    for change, place in (
            (lambda: Routes(f"route add local {TAKEN6} dev lo"), TAKEN6),
            (lambda: Routes(f"route add local {TAKEN6} dev lo table 77",
                            f"rule add to {TAKEN6} lookup 77"), TAKEN6),
            (Forwarding, ANYCAST6)):
        with t.guest() as guest:
            before = len(heard[1].log), len(away.log)
            sender = guest.start("udp_on", place, 9, 4)
            t.check(lab.wait_until(lambda: len(away.log) > before[1], 2),
                    f"{place}: nothing arrives")
            changed = change()
            moved = time.monotonic()
            try:
                error, _, sent = guest.finish(sender)
            finally:
                changed.close()
            t.check(error in PROHIBITED and time.monotonic() - moved < 1.5,
                    f"{place}: {error} after {sent} datagrams")
            raced = len(heard[1].log) - before[0]
            t.check(raced < 100, f"{place}: {raced} datagrams")
        t.equal([r["reason"] for r in t.records("flow.close")],
                ["floor-local"], place)


# ---- floor except --------------------------------------------------------------------------

def policy10(exception):
    return gateway.policy_text(
        "allow to net 10.0.0.0/8\nallow to net 10.0.0.0/8 icmp echo\n",
        head=gateway.MANY + "".join(
            f'floor except net {e} for tenant t ticket "T-1"\n'
            for e in exception))


@case(quick=True, gateways=OURS)
def excepted_network(t):
    """`floor except net 10.0.0.0/8` is the other hosts in it; this one, its bridges
    and their broadcast are not meant unless they are named."""
    t.keep(Bridge(t))
    heard = canaries(t)
    t.serve(servers.greet(b"x"), address=SITE10, port=22)
    whole = policy10(["10.0.0.0/8"])
    with t.guest(policy=whole) as guest:
        t.equal(guest.call("connect", SITE10, 22)[0], "ok", SITE10)
        nothing_reaches(t, guest, [OURS10, "10.77.0.255"], heard)
    t.equal([r["reason"] for r in t.records("flow.deny")],
            ["floor-local"] * 6)
    for named in (["10.0.0.0/8", OURS10 + " port tcp 22"],
                  ["10.0.0.0/8", "10.77.0.0/24 own-addresses port tcp 22"]):
        with t.guest(policy=policy10(named)) as guest:
            t.equal(guest.call("connect", SITE10, 22)[0], "ok", SITE10)
            t.equal(guest.call("connect", OURS10, 22)[0], "ok", OURS10)
            error, _ = guest.call("udp_error", OURS10, 9)
            t.check(error in PROHIBITED, f"{named}: udp {error}")
        t.equal([r["reason"] for r in t.records("flow.deny")],
                ["floor-local"], str(named))
    explained(t, whole)


def explained(t, whole):
    """check warns, and explain has the broker's verdict."""
    place = t.keep(Place(t))
    path = place.write("whole.conf", whole)
    code, _, err = place.run("check", path)
    t.equal((code, err.count("(W140)")), (2, 1), err)
    for dst, wanted, words in (
            (OURS10, 1, f"{OURS10} is this host's own"),
            ("10.77.0.255", 1, "10.77.0.255 is this host's own"),
            (SITE10, 0, "excepted: T-1")):
        code, out, err = place.run("explain", path, "t", "tcp", dst + ":22")
        t.equal(code, wanted, f"explain {dst}: {out!r} {err!r}")
        t.check(words in out.decode(), f"explain {dst}: {out!r}")
    path = place.write("named.conf", policy10(
        ["10.0.0.0/8", OURS10 + " port tcp 22"]))
    code, _, err = place.run("check", path)
    t.equal((code, err.count("warning"), err.count("(W140)")), (2, 1, 1), err)
    path = place.write("address.conf", policy10([OURS10]).replace(
        "to net 10.0.0.0/8", f"to net {OURS10}"))
    t.equal(place.run("check", path)[::2], (0, ""), "by itself")
    t.equal(place.run("explain", path, "t", "udp", OURS10 + ":9")[0], 0)


# ---- answers -----------------------------------------------------------------------------------

NOROUTE4, NOROUTE6 = "203.0.122.9", "2600:1f00:0:fb::9"


def liar():
    return {
        "any.lie.example.net": {dnswire.A: (0, ["203.0.123.9"]),
                                dnswire.AAAA: (0, ["2600:1f00:0:fa::7"])},
        "cast.lie.example.net": {dnswire.A: (0, ["203.0.114.255", SITE4]),
                                 dnswire.AAAA: (0, [ANYCAST6, SITE6])},
        "lost.lie.example.net": {dnswire.A: (0, [NOROUTE4]),
                                 dnswire.AAAA: (0, [NOROUTE6])},
        "mixed.lie.example.net": {
            dnswire.A: (0, [NOROUTE4, SITE4, "10.1.2.3"]),
            dnswire.AAAA: (0, [NOROUTE6, SITE6])}}


@case(quick=True, gateways=OURS)
def own_in_answers(t):
    """Taken out as the rest of the floor is, and so is what has no route."""
    t.keep(Routes(f"route add local {ANYIP4} dev lo", f"route add local {ANYIP6} dev lo",
                  f"route add unreachable {NOROUTE4}/32",
                  f"route add prohibit {NOROUTE6}/128"))
    t.keep(Forwarding())
    names_lab.World(t, liar=liar())
    with t.guest(policy=names_lab.policy(LIE)) as guest:
        for qtype, good in ((dnswire.A, SITE4), (dnswire.AAAA, SITE6)):
            got = {name: ask(guest, name, qtype, edns=1232)
                   for name in liar()}
            t.equal({n.split(".")[0]: (m.rcode, m.addresses(), m.ede)
                     for n, m in got.items()},
                    {"any": (0, [], dnswire.BLOCKED), "cast": (0, [good], None),
                     "lost": (0, [], None), "mixed": (0, [good], None)},
                    str(qtype))
    t.equal([(r["name"].split(".")[0], r["verdict"], r.get("reason"),
              r.get("stripped")) for r in dns(t)],
            [("any", "deny", "rebinding-stripped", 1),
             ("cast", "allow", None, 1), ("lost", "allow", "no-route", None),
             ("mixed", "allow", "no-route", 1),
             ("any", "deny", "rebinding-stripped", 1),
             ("cast", "allow", None, 1), ("lost", "allow", "no-route", None),
             ("mixed", "allow", "no-route", None)], "records")


@case(quick=True, gateways=OURS)
def learnt_of_answers(t):
    """What had no route is not told as what the floor held back."""
    t.keep(Routes(f"route add unreachable {NOROUTE4}/32"))
    names_lab.World(t, liar=liar()).resolv_conf()
    place = t.keep(Place(t))
    _, _, text = learnt(t, place, "getent ahostsv4 mixed.lie.example.net")
    t.check("mixed.lie.example.net: 10.1.2.3" in text, text)
    t.check(NOROUTE4 not in text, text)
