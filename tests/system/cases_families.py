"""Which addresses a guest is told, and for how long they hold: the families that it
and its host have, and names with more addresses, or addresses with more names, than
anybody thought of.
"""
import os
import shutil
import subprocess
import time

import dnswire
import gateway
import lab
import names_lab
import packets
import servers
import stream
import tls_lab
from cases_names import dns
from cases_run import Place
from names_lab import API, BASE, SITE4, SITE6, ask
from trial import OURS, case

A, AAAA = dnswire.A, dnswire.AAAA
BOTH = "both.example.test"              # written out
WEB = "port tcp 80 verify none\n"
RULES = (f'allow to name "**.{BASE}" {WEB}allow to name "{BOTH}" {WEB}'
         f'allow to name "**.lie.example.net" {WEB}')
HOSTS = f'host "{BOTH}" {SITE4} {SITE6}\n'
NODE = ("let b=Date.now();fetch('http://%s/').then(r=>console.log(r.status),"
        "e=>console.log(e.cause?.code??e)).then(()=>console.log(Date.now()-b))")


def policy(rules=RULES, **how):
    return names_lab.policy(rules, head=names_lab.LIMITS + HOSTS, **how)


class Host:
    """This host's addresses of a family, but for link-local ones, are gone, and with
    them its routes; until the case's end."""

    LINES = {4: (f"address add {lab.HOST4}/24 dev wan",
                 "address add 203.0.115.2/24 dev wan1500",
                 f"route add default via {lab.ROUTER4}"),
             6: (f"address add {lab.HOST6}/64 dev wan nodad",
                 "address add 2600:1f00:0:1::2/64 dev wan1500 nodad",
                 f"route add default via {lab.ROUTER6}")}

    def __init__(self, family):
        self.lines = self.LINES[family]
        lab.ip_batch(self.lines[-1].replace("add", "del") + "\n")
        for dev in "wan", "wan1500":
            subprocess.run(["ip", f"-{family}", "address", "flush", "dev", dev,
                            "scope", "global"], check=True)

    def close(self):
        lines, self.lines = self.lines, ()
        lab.ip_batch("".join(line + "\n" for line in lines))


class Ula:
    """The only IPv6 addresses of this host are local ones, and there is a way out all
    the same."""

    def __init__(self, t):
        self.t = t
        lab.ip_batch("address add fd99::2/64 dev wan nodad\n")
        with t.lab.internet:
            lab.ip_batch("address add fd99::1/64 dev inet nodad\n")
        lab.ip_batch("route add default via fd99::1\n")

    def close(self):
        lab.ip_batch("route del default via fd99::1\n"
                     "address del fd99::2/64 dev wan\n")
        with self.t.lab.internet:
            lab.ip_batch("address del fd99::1/64 dev inet\n")


def reasons(t, qtype):
    word = {A: "A", AAAA: "AAAA"}[qtype]
    return {(r["name"].split(".")[0], r["verdict"], r.get("reason"),
             tuple(r.get("ips", ()))) for r in dns(t, qtype=word)}


def fetches(t, guest, name, other):
    """Each client is there at once, over what is there; told to use the other
    family, it knows at once that there is none: curl -6 resolves both, and has no
    address to connect to."""
    for argv, wanted in ((["curl", "-sS", f"http://{name}/"], (0, "hello")),
                         (["wget", "-qO-", "-T5", "-t1", f"http://{name}/"],
                          (0, "hello")),
                         (["node", "-e", NODE % name], (0, "200")),
                         (["curl", "-s", f"-{other}", f"http://{name}/"],
                          (7 if other == 6 else 6, ""))):
        if not names_lab.have(argv[0]):
            t.note(f"no {argv[0]}")
            continue
        # a busy machine is slow once; what waits for something does each time
        t.check(any(fetched(t, guest, argv, wanted) < 1 for _ in range(3)),
                f"{argv}: more than a second, thrice")


def fetched(t, guest, argv, wanted):
    """How long it took; of node, without its own start."""
    begun = time.monotonic()
    code, out, err = guest.call("run", argv)
    took = time.monotonic() - begun
    if argv[0] == "node":
        out, spent = out.split()
        took = int(spent) / 1000
    t.equal((code, out), wanted, f"{argv}: {err}")
    return took


# ---- the guest's ---------------------------------------------------------------------

@case(quick=True, gateways=OURS)
def family_of_the_guest(t):
    """One that it has not is not asked for, and the answer is empty, at once."""
    world = names_lab.World(t, liar={
        "x.lie.example.net": {A: (60, [SITE4]), AAAA: (60, [SITE6])}})
    t.serve(servers.http(b"hello"), port=80)
    for number, option in enumerate(("-4", "-6")):
        mine, other = ((A, AAAA), (AAAA, A))[number]
        site = (SITE4, SITE6)[number]
        place = (gateway.GATEWAY4, gateway.GATEWAY6)[number]
        world.liar.asked.clear()
        with t.guest(policy=policy(), args=[option]) as guest:
            for name in API, BOTH, "x.lie.example.net":
                t.equal(ask(guest, name, mine, dst=place).addresses(), [site])
                none = ask(guest, name, other, dst=place, edns=1232)
                t.equal((none.rcode, none.addresses(), none.ede), (0, [], None))
            t.equal(ask(guest, "no.example.test", other, dst=place).rcode,
                    dnswire.NXDOMAIN, "a name that is not allowed")
            code, out, err = guest.call("run", ["getent", "ahosts", API])
            t.equal((code, {w for w in out.split() if w in (SITE4, SITE6)}),
                    (0, {site}), err)
            fetches(t, guest, API, (6, 4)[number])
        t.equal({q for _, q, _, _ in world.liar.asked}, {mine},
                "asked of the internet")
        t.equal(reasons(t, other), {
            ("no", "deny", "name-not-allowed", ()),
            *((n, "allow", "no-family", ()) for n in ("api", "both", "x"))})


class ServeOne(stream.Serve):
    """A machine that is given an address of IPv4 alone."""

    def command(self):
        argv = super().command()
        at = argv.index(f"{self.address[2]}/{self.lengths[1]}") - 1
        del argv[at:at + 4]
        return argv


@case(quick=True, gateways=("sallyport",))
def family_of_the_machine(t):
    """The same under serve, whose machine may have its addresses from elsewhere."""
    names_lab.World(t)
    with ServeOne(t, policy=policy()) as link:
        guest = link.attach()
        for number, (qtype, wanted) in enumerate(((AAAA, []), (A, [SITE4]))):
            guest.send_udp(gateway.GATEWAY4, 4000 + number, 53,
                           dnswire.query(API, qtype))
            back = guest.expect(lambda f: f.proto == packets.UDP
                                and f.dport == 4000 + number)
            t.check(back is not None, "no answer")
            got = dnswire.Message(back.data)
            t.equal((got.rcode, got.addresses()), (0, wanted))
        guest.close()
    t.equal(reasons(t, AAAA), {("api", "allow", "no-family", ())})


PRELOAD = r"""
#include <dlfcn.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <string.h>
#include <unistd.h>

ssize_t
write(int fd, const void *p, size_t n)
{
	static ssize_t	(*next)(int, const void *, size_t);
	struct nlmsghdr	h;

	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "write");
	if (n > sizeof(h)) {
		memcpy(&h, p, sizeof(h));
		if (h.nlmsg_len == n && h.nlmsg_type == RTM_NEWADDR &&
		    ((const char *)p)[sizeof(h)] == AF_INET6) {
			errno = EAFNOSUPPORT;
			return -1;
		}
	}
	return next(fd, p, n);
}
"""


@case(quick=True, gateways=OURS)
def kernel_without_ipv6(t):
    """CMD has IPv4 alone, is told of nothing else, and has no name server that it
    cannot reach."""
    names_lab.need(t, "cc")
    place = t.keep(Place(t))
    names_lab.World(t)
    source = place.write("no6.c", PRELOAD)
    library = os.path.join(place.path, "no6.so")
    done = subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o",
                           library, source, "-ldl"], capture_output=True,
                          check=False)
    if done.returncode != 0:
        t.fail(f"cc: {done.stderr.decode()}")
    law = place.write("names.conf", policy())
    script = ("unset LD_PRELOAD; cat /etc/resolv.conf; ip -6 route; "
              f"getent ahosts {API}")
    code, out, err = place.run(
        "run", "-q", "-p", law, "--audit", os.path.join(place.path, "log"),
        "sh", "-c", script, prefix=[
            "env", f"LD_PRELOAD={library}",
            "ASAN_OPTIONS=verify_asan_link_order=0"])
    words = out.decode().split()
    t.equal((code, words.count("nameserver")), (0, 1), f"{out} {err}")
    t.check(gateway.GATEWAY4 in words and gateway.GATEWAY6 not in words and
            SITE4 in words and SITE6 not in words, out)


# ---- the host's ----------------------------------------------------------------------

@case(quick=True, gateways=OURS)
def host_with_ipv4_alone(t):
    """Its links have link-local addresses, as they always have: no AAAA is told, of
    the world's names and of those that are written out. A route that comes counts
    with the next question."""
    names_lab.World(t)
    t.serve(servers.http(b"hello"), port=80)
    gone = t.keep(Host(6))
    with t.guest(policy=policy()) as guest:
        for name in API, BOTH:
            none = ask(guest, name, AAAA)
            t.equal((none.rcode, none.addresses()), (0, []), name)
            t.equal(ask(guest, name).addresses(), [SITE4], name)
            t.equal(guest.call("lookup", name)[1], [SITE4])
            fetches(t, guest, name, 6)
        t.equal({r[2:] for r in reasons(t, AAAA)}, {("no-route", ())})
        gone.close()
        for name in API, BOTH:
            t.equal(ask(guest, name, AAAA).addresses(), [SITE6], name)
            code, out, err = guest.call("run", ["curl", "-s", "-6",
                                                f"http://{name}/"])
            t.equal((code, out), (0, "hello"), err)
    t.equal({r["g_dst"] for r in t.records("flow.open")},
            {SITE4, SITE6})


@case(quick=True, gateways=OURS)
def host_with_ipv6_alone(t):
    """The guest has both, and would try IPv4 first: no A is told. What a DNS64 makes of
    one is, unless the floor holds what is in it back."""
    names_lab.World(t, liar={
        "site.lie.example.net": {A: (60, [SITE4]),
                                 AAAA: (60, ["64:ff9b::" + SITE4])},
        "inner.lie.example.net": {A: (60, ["10.1.2.3"]),
                                  AAAA: (60, ["64:ff9b::10.1.2.3"])}})
    t.serve(servers.http(b"hello"), port=80)
    t.keep(Host(4))
    with t.guest(policy=policy(upstreams=(f"[{names_lab.FORWARDER6}]:53",)
                               )) as guest:
        for name in API, BOTH:
            none = ask(guest, name, A)
            t.equal((none.rcode, none.addresses()), (0, []), name)
            t.equal(ask(guest, name, AAAA).addresses(), [SITE6], name)
            fetches(t, guest, name, 4)
        for name, wanted in ("site", ["64:ff9b::cb00:720b"]), ("inner", []):
            name += ".lie.example.net"
            t.equal(ask(guest, name, A).addresses(), [], name)
            t.equal(ask(guest, name, AAAA).addresses(), wanted, name)
    t.equal({r[2] for r in reasons(t, A)} - {"rebinding-stripped"}, {"no-route"})
    t.equal({r[:3] for r in reasons(t, AAAA) if r[2]},
            {("inner", "deny", "rebinding-stripped")})
    t.equal(t.records("flow.deny"), [])


@case(quick=True, gateways=OURS)
def host_with_local_ipv6(t):
    """NAT66: that its own addresses are local says nothing of where it gets."""
    names_lab.World(t)
    t.serve(servers.http(b"hello"), port=80)
    t.keep(Host(6))
    t.keep(Ula(t))
    with t.guest(policy=policy()) as guest:
        for name in API, BOTH:
            t.equal(ask(guest, name, AAAA).addresses(), [SITE6], name)
            code, out, err = guest.call("run", ["curl", "-s", "-6",
                                                f"http://{name}/"])
            t.equal((code, out), (0, "hello"), err)


@case(quick=True, gateways=OURS)
def address_is_nobodys_name(t):
    """A PTR under `allow to any` is at its end at once: no name is there."""
    names_lab.World(t)
    with t.guest(policy=names_lab.policy("allow to any\n")) as guest:
        for name in ("11.114.0.203.in-addr.arpa", "1.0.0.127.in-addr.arpa",
                     "1." + "0." * 23 + "0.0.f.1.0.0.6.2.ip6.arpa"):
            got = ask(guest, name, dnswire.PTR, edns=1232)
            t.equal((got.rcode, got.ede), (dnswire.NXDOMAIN, 15), name)
        if shutil.which("nmap"):
            begun = time.monotonic()
            code, out, err = guest.call("run", [
                "nmap", "-sT", "--unprivileged", "-p80", SITE4])
            t.check(code == 0 and "1 host up" in out, out + err)
            t.check(time.monotonic() - begun < 5, "nmap waits for a name")
    t.equal(set(r["reason"] for r in dns(t)), {"type-not-allowed"})


# ---- many ------------------------------------------------------------------------------

@case(quick=True, gateways=OURS)
def four_hundred_addresses(t):
    """Eight at a time, and each time others: what was told first still holds."""
    told = []

    def turn(_name, qtype):
        first = 8 * len(told)
        told.append(first)
        return {A: (0, [SITE4 if n == 0 else f"203.0.117.{n % 200 + 1}"
                        if n < 200 else f"203.0.116.{n % 200 + 1}"
                        for n in range(first, first + 8)])} if qtype == A else {}
    names_lab.World(t, liar={"x.lie.example.net": turn})
    t.serve(servers.http(b"hello"), port=80)
    seen = set()
    with t.guest(policy=policy(upstreams=(names_lab.LIAR4,))) as guest:
        for _ in range(50):
            seen |= set(ask(guest, "x.lie.example.net").addresses())
        t.equal(len(seen), 400, "addresses")
        t.equal(guest.call("connect", SITE4, 80)[0], "ok", "the first of them")
    t.equal([r["name"] for r in t.records("flow.open")], ["x.lie.example.net"])
    t.equal(t.records("flow.deny", "limit"), [])


@case(quick=True, gateways=OURS)
def three_hundred_names(t):
    """Of one address, each to be proved: the first is known as well as the last."""
    names = [f"n{n}.lie.example.net" for n in range(300)]
    names_lab.World(t, liar={"*.lie.example.net": {A: (60, [SITE4])}})
    server = t.keep(tls_lab.VhostServer(t.lab, [API]))
    with t.guest(policy=names_lab.policy(
            'allow to name "*.lie.example.net" port tcp 443\n')) as guest:
        got = names_lab.answers(guest, [dnswire.query(n) for n in names])
        t.equal({tuple(m.addresses()) for m, _ in got.values()}, {(SITE4,)})
        for name in names[0], names[150], names[299]:
            hello = tls_lab.records(tls_lab.hello(tls_lab.sni(name)))
            guest.call("pieces", SITE4, 443, [hello.hex()], fin=True)
    t.equal(t.records("flow.deny", "limit"), [])
    t.equal([(r["name"], r["assurance"]) for r in t.records("flow.open")],
            [(n, "sni") for n in (names[0], names[150], names[299])])
    t.equal(len(server.spoken()), 3, "what reached the server")
