"""The addresses of the link: which they are, that nothing else is hidden by them,
and that what nobody has is refused at once and recorded.
"""
import re
import time

import gateway
import lab
import servers
import stream
from cases_floor import PROHIBITED
from cases_run import MACHINERY, USAGE, Place, quiet
from trial import OURS, case

NEIGHBOURS = ("10.83.80.7", "10.83.80.1", "10.83.80.255",
              "fd53:616c:6c79::7", "fd53:616c:6c79::")
# The networks of VirtualBox and QEMU, and our own, as a host may have them.
SITES = ("10.0.2.3", "10.83.80.7", "10.83.80.255", "fd53:616c:6c79::7")
AT_ONCE = 1.5                           # seconds; a neighbour is waited for 3


class Sites:
    """Hosts of the internet's with addresses that this host has routes to."""

    def __init__(self, t):
        self.t = t
        routes = [f"{a.rsplit('.', 1)[0]}.0/24 via {lab.ROUTER4}"
                  for a in SITES[:2]]
        self.routes = [*routes, f"{SITES[3][:-1]}/64 via {lab.ROUTER6}"]
        self.change("add")

    def change(self, verb):
        # the lab's internet has a route back to our guests for the plain path
        if verb == "add":
            lab.ip_batch("".join(f"route add {r}\n" for r in self.routes))
        with self.t.lab.internet:
            # without nodad an address may be bound only when the kernel gets to it
            lab.ip_batch("".join(
                f"address {verb} {a}/128 dev lo{' nodad' if verb == 'add' else ''}\n"
                if ":" in a else f"address {verb} {a}/32 dev lo\n"
                for a in SITES))
        if verb == "del":
            lab.ip_batch("".join(f"route del {r}\n" for r in self.routes))

    def close(self):
        self.change("del")


def policy_of_sites():
    nets = ("10.0.2.0/24", "10.83.80.0/24", "fd53:616c:6c79::/64")
    return gateway.policy_text(
        "allow to net { " + " ".join(nets) + " }\n", head=gateway.MANY + "".join(
            f'floor except net {n} for tenant t ticket "T-1"\n' for n in nets))


def refused_at_once(t, guest, addresses):
    for address in addresses:
        outcome, seconds = guest.call("connect", address, 80)
        t.equal(outcome, "ECONNREFUSED", address)
        t.check(seconds < AT_ONCE, f"{address}: {seconds:.1f} s")
        start = time.monotonic()
        error, _ = guest.call("udp_error", address, 9)
        t.check(error in PROHIBITED, f"udp {address}: {error}")
        t.check(time.monotonic() - start < AT_ONCE, f"udp {address}: slow")
    t.equal(sorted(r["g_dst"] for r in t.records("flow.deny")),
            sorted(a for a in addresses for _ in "tu"), "records")


@case(quick=True, gateways=OURS)
def link_has_no_neighbours(t):
    """Nobody is on the link: each address is refused at once, with a record."""
    with t.guest() as guest:
        refused_at_once(t, guest, NEIGHBOURS)


@case(quick=True, gateways=OURS)
def link_with_a_net(t):
    """The same where the command was given a whole net, and asks for neighbours."""
    with t.guest(args=["--guest-address", "10.1.2.3/24", "--gateway", "10.1.2.1",
                       "--guest-address", "fd00:1::3/64", "--gateway",
                       "fd00:1::1"]) as guest:
        refused_at_once(t, guest, ("10.1.2.7", "10.1.2.254", "fd00:1::7"))
        _, out, _ = guest.call("run", ["ip", "-o", "addr", "show", "dev", "eth0"])
        for address in ("10.1.2.3/24", "fd00:1::3/64"):
            t.check(address in out, out)
        _, out, _ = guest.call("run", ["cat", "/etc/resolv.conf"])
        t.equal(re.findall("nameserver (.*)", out), ["10.1.2.1", "fd00:1::1"])


@case(quick=True, gateways=OURS)
def link_hides_no_network(t):
    """What the host has in the link's own network, and where others have theirs, is
    there if the policy allows it; explain says the same."""
    t.keep(Sites(t))
    for address in SITES:
        t.serve(servers.greet(b"x"), address=address, port=2222)
    policy = policy_of_sites()
    with t.guest(policy=policy) as guest:
        for address in SITES:
            t.equal(guest.call("connect", address, 2222)[0], "ok", address)
    # with a net on the link, all but its broadcast address
    with t.guest(policy=policy, args=["--guest-address", "10.83.80.9/24",
                                      "--gateway", "10.83.80.1"]) as guest:
        for address in SITES[:2]:
            t.equal(guest.call("connect", address, 2222)[0], "ok", address)
    place = t.keep(Place(t))
    path = place.write("sites.conf", policy)
    for address in SITES:
        where = f"[{address}]" if ":" in address else address
        t.equal(place.run("explain", path, "t", "tcp", where + ":2222")[0], 0,
                f"explain {address}")


@case(quick=True, gateways=OURS)
def link_and_policy(t):
    """The two addresses that a guest cannot reach at the host are named, if the policy
    leaves them to it."""
    place = t.keep(Place(t))
    path = place.write("sites.conf", policy_of_sites())
    run = ["run", "-p", path, "--audit", "log"]
    _, _, err = place.run(*run, "true")
    for address in ("10.83.80.100", "10.83.80.2", "fd53:616c:6c79::100",
                    "fd53:616c:6c79::2"):
        t.equal(err.count(f": {address} is "), 1, err)
    t.equal((err.count("--guest-address"), err.count("--gateway")), (2, 2), err)
    _, _, err = place.run(*run, "--guest-address", "10.9.8.7", "--gateway",
                          "10.9.8.1", "-4", "true")
    t.check("--guest-address" not in err and "--gateway" not in err, err)
    _, _, err = place.run(*run, "-q", "true")
    t.equal(err, "", "-q")
    _, _, err = place.run("run", "-p", place.policy, "--audit", "log", "true")
    t.check("--gateway" not in err, err)


@case(quick=True, gateways=OURS)
def link_options(t):
    """One message for what cannot be an address of a link."""
    place = t.keep(Place(t))
    for args, words in (
            (["--guest-address", "10.1.2"], "not an address"),
            (["--guest-address", "10.1.2.3/33"], "from 1 to 32"),
            (["--guest-address", "10.1.2.3/"], "from 1 to 32"),
            (["--guest-address", "fd00::1/129"], "from 1 to 128"),
            (["--guest-address", "10.1.2.3/24x"], "from 1 to 32"),
            (["--guest-address", "10.1.2.0/24"], "no machine's"),
            (["--guest-address", "10.1.2.255/24"], "no machine's"),
            (["--guest-address", "127.0.0.1"], "loopback"),
            (["--guest-address", "::1"], "loopback"),
            (["--guest-address", "224.0.0.1"], "group"),
            (["--guest-address", "169.254.1.2"], "link-local"),
            (["--guest-address", "::ffff:10.0.0.1"], "IPv4"),
            (["--guest-address", "0.0.0.0"], "no machine's"),
            (["--guest-address", "10.1.2.3", "--guest-address", "10.1.2.4"],
             "one of each"),
            (["--gateway", "10.1.2.3", "--gateway", "10.1.2.4"], "one of each"),
            (["--gateway", "x"], "not an address"),
            (["--guest-address", "10.1.2.3/24", "--gateway", "10.1.3.1"],
             "not in the guest's net, 10.1.2.3/24"),
            (["--guest-address", "10.1.2.3/24", "--gateway", "10.1.2.255"],
             "no machine's"),
            (["--guest-address", "10.1.2.3/24", "--gateway", "10.1.2.3"],
             "both")):
        for status, command in (
                (MACHINERY, ["run", "-p", place.policy, *args, "--", "true"]),
                (USAGE, ["serve", "-p", place.policy, "--stream", "s", *args])):
            code, _, err = place.run(*command)
            t.check(code == status and (words in err or "for each" in err),
                    f"{command}: {code} {err!r}")
            t.equal(err.count("\n"), 1, f"lines of {err!r}")
    code, _, err = place.run("run", "-p", place.policy, "--guest-address",
                             "10.1.2.3/24", "true")
    t.check(code == MACHINERY and f"the gateway, {gateway.GATEWAY4}, is not in the "
            "guest's net, 10.1.2.3/24: --gateway names another" in err, err)
    for args in (["-4", "--guest-address", "fd00::3"],
                 ["--gateway", "fd00::1", "-4"],
                 ["-6", "--gateway", "192.168.44.1"]):
        code, _, err = place.run("run", "-p", place.policy, *args, "true")
        t.check(code == MACHINERY and "leaves no use" in err, f"{args}: {err}")
    code, out, err = place.run(
        *quiet(place)[:-1], "--gateway", "192.168.44.1", "-4", "--",
        "ip", "route")
    t.check(code == 0 and b"default via 192.168.44.1" in out, f"{out} {err}")


@case(quick=True, gateways=OURS)
def link_of_a_machine(t):
    """serve has both, too, and a guest of one address finds its gateway."""
    server = t.serve(servers.greet(b"hello"))
    with stream.serve(t, address=("10.7.7.7", "10.9.9.9", "fd00::7", "fd01::9"),
                      lengths=(32, 128)) as link:
        guest = t.keep(link.attach())
        for address in (lab.LIVE4, lab.LIVE6):
            peer = guest.open(address, server.port)
            t.equal(peer.connect(), True, address)
            peer.read(5)
            t.equal(peer.received, b"hello", address)
