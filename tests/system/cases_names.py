"""Names and their resolution: which names resolve, for whom, and what becomes of
answers that lie. Acceptance 2, 3 and 5 of the names job; B1, B9, B11-B14, B19-B21.
"""
import base64
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import threading
import time

import dnswire
import gateway
import lab
import names_lab
import servers
import tls_lab
from names_lab import API, BASE, FORWARDER4, OTHER, SITE4, SITE6, WWW, ask
from trial import OURS, case

GATEWAYS = (gateway.GATEWAY4, gateway.GATEWAY6)
RULES = f'allow to name "{API}" port tcp 443 label "api"\n'
MANY = f'allow to name "**.{BASE}" port tcp 443 label "many"\n'
LIE = 'allow to name "**.lie.example.net" port tcp 1-24 verify none\n'
TXT_WORDS = b"\5words"


def dns(t, **fields):
    """`dns` records with these fields."""
    return [r for r in t.records("dns")
            if all(r.get(k) == v for k, v in fields.items())]


def refused(t):
    """{(name, reason): questions} of all that were refused, aggregates too."""
    found = names_lab.count((r["name"], r["reason"])
                            for r in dns(t, verdict="deny"))
    for record in t.records("deny.agg"):
        if record.get("name"):
            key = (record["name"], record["reason"])
            found[key] = found.get(key, 0) + record["n"]
    return found


# ---- the guest's own resolvers -----------------------------------------------------

@case(quick=True)
def c_library(t):
    """getaddrinfo() and getent: both families, aliases, what is not there."""
    world = names_lab.World(t)
    if not t.is_sallyport:
        world.resolv_conf()
    with t.guest(policy=names_lab.policy(MANY)) as guest:
        for name, wanted in ((API, [SITE4, SITE6]), (f"only4.{BASE}", [SITE4]),
                             (f"only6.{BASE}", [SITE6]),
                             (f"alias.{BASE}", [SITE4, SITE6]),
                             (f"x.wild.{BASE}", [SITE4, SITE6]),
                             (f"cross.{BASE}", [SITE4, SITE6])):
            outcome, places, _ = guest.call("lookup", name)
            t.equal((outcome, places), ("ok", sorted(wanted)), name)
        for name in (f"nothing.{BASE}", f"text.{BASE}"):
            t.check(guest.call("lookup", name)[0] in
                    ("EAI_NONAME", "EAI_NODATA"), name)
        code, out, err = guest.call("run", ["getent", "ahosts", API])
        t.check(code == 0 and SITE4 in out and SITE6 in out, f"{out} {err}")


@case(quick=True, gateways=OURS)
def musl_library(t):
    """musl asks for both families at once, and takes a denial for what it is."""
    names_lab.need(t, "musl-gcc")
    names_lab.World(t)
    program = os.path.join(t.lab.directory("musl"), "lookup")
    subprocess.run(["musl-gcc", "-static", "-o", program,
                    os.path.join(os.path.dirname(__file__), "lookup.c")],
                   check=True, timeout=30)
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        code, out, err = guest.call("run", [program, API])
        t.equal((code, sorted(out.split())), (0, sorted([SITE4, SITE6])), err)
        start = time.monotonic()
        code, out, err = guest.call("run", [program, f"denied.{BASE}"])
        t.equal((code, out.strip()), (1, "Name does not resolve"), err)
        t.check(time.monotonic() - start < 1, "slow to be denied")


@case(quick=True, gateways=OURS)
def other_resolvers(t):
    """busybox, kdig (also over TCP and over IPv6), node's own and c-ares."""
    names_lab.World(t)
    node = ("require('dns').resolve4('%s',(e,a)=>{console.log(e?e.code:"
            "a.join());require('dns').lookup('%s',{family:6},(e,a)=>console"
            ".log(e?e.code:a))})" % (API, API))
    commands = {
        "busybox": [["busybox", "nslookup", API]],
        "kdig": [["kdig", "+short", f"@{place}", *how, API, "A", API, "AAAA"]
                 for place in GATEWAYS for how in ([], ["+tcp"], ["+noedns"])],
        "dig": [["dig", "+short", "+time=5", API, "A", API, "AAAA"]],
        "node": [["node", "-e", node]]}
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        for program, tries in commands.items():
            if not names_lab.have(program):
                t.note(f"no {program}")
                continue
            for command in tries:
                code, out, err = guest.call("run", command)
                t.check(code == 0 and SITE4 in out and SITE6 in out,
                        f"{command}: {code} {out!r} {err!r}")
                t.check(OTHER not in out, out)


@case(quick=True, gateways=OURS)
def busybox_fetches(t):
    """A static program without nsswitch fetches by name."""
    names_lab.need(t, "busybox")
    names_lab.World(t)
    t.serve(servers.http(b"body"), port=80)
    rule = f'allow to name "{API}" port tcp 80 verify host\n'
    with t.guest(policy=names_lab.policy(rule)) as guest:
        code, out, err = guest.call("run", [
            "busybox", "wget", "-q", "-O", "-", f"http://{API}/"])
        t.equal((code, out), (0, "body"), err)


@case(quick=True, gateways=OURS)
def host_resolv_conf(t):
    """Without a resolver block: the host's upstreams, and one line says so."""
    world = names_lab.World(t)
    world.resolv_conf(f"# a comment\nnameserver {FORWARDER4}\n"
                      "options edns0\n")
    with t.guest(policy=names_lab.policy(RULES, upstreams=())) as guest:
        t.equal(guest.call("lookup", API)[:2], ["ok", [SITE4, SITE6]])
        said = guest.stderr()
    t.equal(said.count(FORWARDER4), 1, f"it said {said!r}")


@case(quick=True, gateways=OURS)
def forwarder_over_v6(t):
    """The upstream's own address may be of either family."""
    names_lab.World(t)
    with t.guest(policy=names_lab.policy(
            RULES, upstreams=(names_lab.FORWARDER6,))) as guest:
        t.equal(guest.call("lookup", API)[:2], ["ok", [SITE4, SITE6]])


@case(quick=True, gateways=OURS)
def static_hosts(t):
    """`host` answers without any upstream, if a rule allows the name."""
    head = names_lab.LIMITS + f'host "{API}" {STATIC4} {SITE6}\n' \
        f'host "{OTHER}" {STATIC4}\nhost "{WWW}" 10.0.0.1 {SITE4}\n'
    rules = (f'allow to name {{ "{API}" "{WWW}" }} port tcp 2222 '
             'verify none label "ssh"\n')
    t.serve(servers.greet(b"x"), port=2222)
    with t.guest(policy=names_lab.policy(
            rules, upstreams=(lab.HOLE4,), head=head)) as guest:
        t.equal(ask(guest, API).addresses(), [STATIC4])
        t.equal(ask(guest, API, dnswire.AAAA).addresses(), [SITE6])
        t.equal(ask(guest, WWW).addresses(), [SITE4], "less what is floored")
        t.equal(ask(guest, OTHER).rcode, dnswire.NXDOMAIN, "no rule")
        for address in (STATIC4, SITE6):
            t.equal(guest.call("connect", address, 2222)[0], "ok", address)
    t.equal({r["name"] for r in t.records("flow.open")}, {API})


STATIC4 = "203.0.114.21"


# ---- which names resolve ---------------------------------------------------------------

@case(quick=True, gateways=OURS)
def denied_name(t):
    """NXDOMAIN at once, error 15, a short TTL; over UDP and TCP, v4 and v6."""
    world = names_lab.World(t)
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        ask(guest, OTHER)
        times = guest.call("dns_times", gateway.GATEWAY4,
                           dnswire.query(OTHER, edns=1232).hex(), 200)
        middle = statistics.median(times) * 1e3
        t.note(f"{middle:.2f} ms")
        t.check(middle < 5, f"a denial takes {middle:.1f} ms")
        for place in GATEWAYS:
            for tcp in (False, True):
                message, _ = names_lab.answers(
                    guest, [dnswire.query(OTHER, edns=1232)], dst=place,
                    tcp=tcp)[0]
                t.equal((message.rcode, message.ede, message.answers),
                        (dnswire.NXDOMAIN, dnswire.BLOCKED, []), place)
        plain = ask(guest, OTHER)
        t.equal((plain.rcode, plain.edns), (dnswire.NXDOMAIN, None),
                "without EDNS")
        if names_lab.have("kdig"):
            out = guest.call("run", ["kdig", f"@{GATEWAYS[0]}", "+edns",
                                       OTHER])[1]
            t.check("NXDOMAIN" in out and ("EDE: 15" in out or "Blocked" in
                                           out), out)
    del world
    found = refused(t)
    t.equal(set(found), {(OTHER, "name-not-allowed")})
    t.check(found[OTHER, "name-not-allowed"] >= 206, f"{found}")


@case(quick=True, gateways=OURS)
def deny_by_name(t):
    """A deny rule stops the name and its handshake; the rest goes on."""
    names_lab.World(t)
    server = t.keep(tls_lab.VhostServer(t.lab, [API, OTHER]))
    rules = MANY + f'deny to name "{OTHER}" label "not-that"\n'
    flight = tls_lab.records(tls_lab.hello(tls_lab.sni(OTHER)))
    with t.guest(policy=names_lab.policy(rules)) as guest:
        t.equal(ask(guest, OTHER).rcode, dnswire.NXDOMAIN)
        t.equal(ask(guest, API).addresses(), [SITE4])
        t.equal(guest.call("pieces", SITE4, 443, [flight.hex()])[0],
                "ECONNRESET")
        t.equal(server.raws(), [], "bytes at the server")
        t.equal(guest.call("tls", SITE4, 443, API, server.ca),
                f"this is {API}\n")
    t.equal([(r["reason"], r["rule_id"]) for r in dns(t, name=OTHER)],
            [("deny-rule", "not-that")])
    t.check(t.records("flow.deny")[0]["reason"] in ("deny-rule",
                                                    "sni-mismatch"), "flow")


@case(quick=True, gateways=OURS)
def wildcards(t):
    """One label, one or more, and never the name itself; by labels (B12)."""
    names_lab.World(t)
    rules = (f'allow to name "*.wild.{BASE}" port tcp 443 label "one"\n'
             'allow to name "**.beta.example.org" port tcp 443 label "any"\n')
    with t.guest(policy=names_lab.policy(rules)) as guest:
        for name, allowed in ((f"a.wild.{BASE}", True),
                              (f"A.WiLd.{BASE}", True),
                              (f"a.b.wild.{BASE}", False),
                              (f"wild.{BASE}", False),
                              (f"awild.{BASE}", False),
                              (f"a.wild.{BASE}.example.net", False),
                              ("api.beta.example.org", True),
                              ("a.b.c.beta.example.org", True),
                              ("beta.example.org", False),
                              ("evilbeta.example.org", False),
                              ("api.beta.example.org.evil.example.net", False),
                              ("org", False), ("example.org", False)):
            message = ask(guest, name, edns=1232)
            t.equal(message.ede != dnswire.BLOCKED, allowed, name)


@case(quick=True, gateways=OURS)
def allow_any(t):
    """`allow to any` resolves every name; the answers still meet the floor."""
    names_lab.World(t)
    t.serve(servers.greet(b"x"), port=2222)
    rules = 'allow to any port tcp 2222 label "any"\n'
    with t.guest(policy=names_lab.policy(rules)) as guest:
        t.equal(ask(guest, API).addresses(), [SITE4])
        t.equal(ask(guest, f"mixed.{BASE}").addresses(), [SITE4])
        t.equal(ask(guest, f"floored.{BASE}").addresses(), [])
        t.equal(guest.call("connect", SITE4, 2222)[0], "ok")


@case(quick=True, gateways=OURS)
def audit_mode_of_names(t):
    """A name that no rule allows is resolved, and the record says audit-deny."""
    names_lab.World(t)
    t.serve(servers.greet(b"x"), port=2222)
    with t.guest(policy=names_lab.policy(RULES, mode="mode audit")) as guest:
        t.equal(ask(guest, OTHER).addresses(), [SITE4])
        t.equal(guest.call("connect", SITE4, 2222)[0], "ok")
        t.equal(ask(guest, f"floored.{BASE}").addresses(), [], "the floor")
    t.equal([r["verdict"] for r in dns(t, name=OTHER)], ["audit-deny"])
    t.equal([(r["verdict"], r["reason"]) for r in t.records("flow.open")],
            [("audit-deny", "default-deny")])


@case(quick=True, gateways=OURS)
def only_addresses(t):
    """Every other type of an allowed name: no data, and nothing is sent."""
    world = names_lab.World(t, liar={"*.lie.example.net": {
        q: (60, [TXT_WORDS]) for q in (dnswire.TXT, dnswire.HTTPS)}})
    types = (dnswire.NS, dnswire.CNAME, dnswire.SOA, 10, dnswire.PTR,
             dnswire.MX, dnswire.TXT, dnswire.SRV, 35, dnswire.SVCB,
             dnswire.HTTPS, dnswire.ANY, 250, 251, 252, 65280)
    with t.guest(policy=names_lab.policy(LIE)) as guest:
        for qtype in types:
            message = ask(guest, "a.lie.example.net", qtype, edns=4096)
            t.equal((message.rcode, message.answers), (0, []), f"type {qtype}")
            message = ask(guest, API, qtype, edns=4096)
            t.equal((message.rcode, message.ede), (dnswire.NXDOMAIN, 15),
                    f"type {qtype} of a denied name")
    t.equal(world.liar.asked, [], "what reached the internet")
    t.equal({r["reason"] for r in t.records("dns")},
            {"type-not-allowed", "name-not-allowed"})


@case(gateways=OURS)
def names_that_are_none(t):
    """Every byte value at each end and in the middle of a label; literals."""
    world = names_lab.World(t, liar={
        "*.lie.example.net": {dnswire.A: (60, [SITE4])}})
    good = set(b"abcdefghijklmnopqrstuvwxyz0123456789_-"
               b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    tail = [b"lie", b"example", b"net"]
    queries, wanted = [], []
    for value in range(256):
        for where in range(3):
            label = bytearray(b"xyz")
            label[where] = value
            queries.append(dnswire.query([bytes(label), *tail]))
            wanted.append(value in good and not (value == ord("-") and
                                                 where != 1))
    for labels in ([b"127", b"1"], [b"0x7f000001"], [b"2130706433"],
                   [b"0177", b"0", b"0", b"1"], [b"127.0.0.1"], [b"a" * 63,
                   *[b"b" * 63] * 3], [b"x.lie.example.net"],
                   [b"x\0", *tail], [b"lie", b"example", b"net", b"1"]):
        queries.append(dnswire.query(labels))
        wanted.append(False)
    with t.guest(policy=names_lab.policy(LIE)) as guest:
        got = names_lab.answers(guest, queries)
        # The frame counts them, and tells each second.
        t.check(lab.wait_until(lambda: [
            r for r in t.records("deny.agg") if r["reason"] == "name-invalid"],
            3), "no record of an invalid name")
    t.equal(len(got), len(queries), "answers")
    wrong = [queries[n][12:30] for n, (m, _) in got.items()
             if bool(m.addresses()) != wanted[n] or
             (not wanted[n] and m.rcode not in (dnswire.NXDOMAIN,
                                                dnswire.FORMERR))]
    t.equal(wrong, [], "wrongly answered")
    bad = [n for n in world.liar.names()
           if not set(n.encode("latin-1")) <= good | {ord(".")}]
    t.equal(bad, [], "what reached the internet")


@case(gateways=OURS)
def malformed_questions(t):
    """Junk at the resolver's port: an error or silence, and it lives on."""
    names_lab.World(t)
    good = dnswire.query(API)
    junk = [b"", b"\0", good[:11], good[:14], good[:-1], good + b"\0" * 50,
            good[:4] + b"\0\2" + good[6:], good[:4] + b"\0\0" + good[6:],
            good[:2] + b"\x84\0" + good[4:],       # a response
            good[:2] + b"\x29\0" + good[4:],       # another opcode
            good[:12] + b"\xc0\x0c" + good[-4:],    # a pointer to itself
            good[:12] + b"\x3f" + bytes(300), os.urandom(512),
            dnswire.query(API, qclass=3), dnswire.query(API, qclass=255)]
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        for place in GATEWAYS:
            for data in junk:
                try:
                    back = names_lab.raw(guest, data, place, 0.1)
                    t.equal(dnswire.Message(back).addresses() and
                            len(data) <= len(good), [], data)
                except gateway.GuestError:
                    pass                # silence
            t.equal(ask(guest, API, dst=place).addresses(), [SITE4], place)


@case(quick=True, gateways=OURS)
def question_comes_back(t):
    """The answer repeats the question byte by byte, whatever its case."""
    names_lab.World(t)
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        for name in (API, API.upper(), "aPi.AlPhA.eXaMpLe.OrG"):
            message = ask(guest, name, ident=0xbeef)
            t.equal((message.name, message.ident, message.is_reply),
                    (name, 0xbeef, True))
            t.equal(message.answers[0][0].lower(), API, "owner")
            t.equal(message.addresses(), [SITE4])
    t.equal({r["name"] for r in t.records("dns")}, {API})


# ---- sizes and numbers --------------------------------------------------------------------

@case(quick=True, gateways=OURS)
def large_answers(t):
    """Truncation without EDNS, whole with it and over TCP; 256 at most, and that there
    are more is in the log."""
    names_lab.World(t)
    wide, huge, vast = f"wide.{BASE}", f"huge.{BASE}", f"vast.{BASE}"
    four = sorted(f"203.0.117.{n}" for n in range(1, 41))
    with t.guest(policy=names_lab.policy(MANY)) as guest:
        short = ask(guest, wide)
        t.check(short.truncated and len(short.data) <= 512, "no TC at 512")
        middle = ask(guest, wide, dnswire.AAAA, edns=600)
        t.check(middle.truncated and len(middle.data) <= 600, "no TC at 600")
        whole = ask(guest, wide, edns=4096)
        t.equal((whole.truncated, whole.addresses()), (False, four))
        message, _ = names_lab.answers(guest, [dnswire.query(wide)],
                                       tcp=True)[0]
        t.equal((message.truncated, message.addresses()), (False, four), "TCP")
        many = ask(guest, huge, edns=4096)
        t.equal((many.truncated, len(set(many.addresses()))), (False, 240))
        for name, count in (huge, 240), (vast, 256):
            message, _ = names_lab.answers(guest, [dnswire.query(name)],
                                           tcp=True)[0]
            t.equal((message.truncated, len(set(message.addresses()))),
                    (False, count), name)
            t.equal(len(set(guest.call("lookup", name, 4)[1])), count)
        many = ask(guest, vast, edns=4096)
        t.check(many.truncated and len(many.data) <= 4096, "no TC at 4096")
        t.equal(guest.call("lookup", wide, 4)[1], four, "the C library")
    t.equal({(r["n"], r.get("reason")) for r in dns(t, name=vast)},
            {(256, "answer-cut")})
    t.equal({r.get("reason") for r in dns(t) if r["name"] != vast}, {None})


@case(quick=True, gateways=OURS, timeout=90)
def thousand_at_once(t):
    """1 000 questions from one port, none lost, none answered wrongly."""
    names_lab.World(t)
    count = names_lab.MANY_NAMES
    queries = [dnswire.query(f"n{n}.many.{BASE}") for n in range(count)]
    with t.guest(policy=names_lab.policy(MANY)) as guest:
        resolver = t.pid("sallyport-resolver")
        before = lab.fd_count(resolver)
        for how in ({}, {"tcp": True}):
            got = names_lab.answers(guest, queries, **how)
            wrong = {n: (m.rcode, m.addresses()) for n, (m, _) in got.items()
                     if m.addresses() != [names_lab.many_address(n)]
                     or m.name != f"n{n}.many.{BASE}"}
            t.equal((len(got), dict(list(wrong.items())[:3])), (count, {}),
                    f"{how}")
            t.note(f"{max(s for _, s in got.values()):.2f} s")
        t.check(lab.wait_until(
            lambda: lab.fd_count(resolver) <= before + 4, 5),
            f"{lab.fd_count(resolver)} fds of the resolver, {before} at first")


@case(quick=True, gateways=OURS)
def questions_over_tcp(t):
    """Byte by byte, many on one connection, and a half one at the end (B19)."""
    names_lab.World(t)
    with t.guest(policy=names_lab.policy(MANY)) as guest:
        for place in GATEWAYS:
            queries = [dnswire.query(n) for n in (API, WWW, f"cross.{BASE}")]
            got = names_lab.answers(guest, queries, dst=place, tcp=True,
                                    chunk=1, gap=0.001)
            t.equal([got[n][0].addresses() for n in range(3)], [[SITE4]] * 3,
                    place)
            got = names_lab.answers(guest, [dnswire.query(OTHER)] * 50,
                                    dst=place, tcp=True)
            t.equal(len(got), 50, "many on one connection")
        half = b"\0\x40" + dnswire.query(API)
        outcome, _, back = guest.call("pieces", GATEWAYS[0], 53, [half.hex()],
                                      fin=True)
        t.check(outcome in ("fin", "ECONNRESET") and not back, outcome)


@case(quick=True, gateways=OURS)
def other_name_servers(t):
    """Port 53 anywhere else is a flow like any other: denied (B19, B20)."""
    names_lab.World(t)
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        t.equal(guest.call("connect", FORWARDER4, 53)[0], "ECONNREFUSED")
        t.equal(guest.call("udp_error", FORWARDER4, 53)[0], "EHOSTUNREACH")
        t.equal(guest.call("connect", FORWARDER4, 853)[0], "ECONNREFUSED")
        for port in (52, 54, 443, 853, 5353):
            t.equal(guest.call("connect", GATEWAYS[0], port)[0],
                    "ECONNREFUSED", f"the gateway's port {port}")
        t.equal(guest.call("lookup", API)[0], "ok")
    t.equal([r["reason"] for r in t.records("flow.deny")][:3],
            ["default-deny", "default-deny", "floor-port"])


# ---- answers that lie -----------------------------------------------------------------------

FLOORED4 = ["0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.0.1",
            "169.254.169.254", "169.254.0.1", "172.16.0.1", "192.0.0.192",
            "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
            "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1",
            "255.255.255.255", "168.63.129.16", "100.100.100.200",
            "169.254.170.2", "169.254.170.23", "192.0.0.1",
            lab.HOST4, "203.0.115.2"]
FLOORED6 = ["::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:0.0.0.0",
            "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::1",
            "2001::1", "2001:db8::1", "3fff::1", "fe80::1", "fec0::1",
            "fc00::1", "fd00:ec2::254", "fd20:ce::254", "ff02::1",
            "100::1", "4000::1", "8000::1", "fd00:ec2::23",
            "2600:1f00::5efe:a00:1", "2600:1f00::200:5efe:7f00:1",
            "::ffff:0:7f00:1", lab.HOST6, "::ffff:" + lab.HOST4]


@case(quick=True, gateways=OURS, timeout=90)
def rebinding(t):
    """A name that turns to each floored range and encoding (B1, B13)."""
    turned = []

    def flip(address, qtype):
        return lambda name, _: {qtype: (0, [address if turned else (
            SITE4 if qtype == dnswire.A else SITE6)])}
    table, rows = {}, []
    for qtype, addresses in ((dnswire.A, FLOORED4), (dnswire.AAAA, FLOORED6)):
        for address in addresses:
            name = f"f{len(rows)}.lie.example.net"
            table[name] = flip(address, qtype)
            rows.append((name, qtype, address))
    names_lab.World(t, liar=table)
    with t.guest(policy=names_lab.policy(
            LIE, "pin min 1s max 1s grace 0s")) as guest:
        queries = [dnswire.query(n, q, edns=1232) for n, q, _ in rows]
        got = names_lab.answers(guest, queries)
        good = [SITE4, SITE6]
        t.equal({n: m.addresses() for n, (m, _) in got.items()},
                {n: [good[rows[n][1] != dnswire.A]] for n in range(len(rows))},
                "at first")
        turned.append(True)
        time.sleep(1.2)
        got = names_lab.answers(guest, queries)
        t.equal({rows[n][2]: m.addresses() for n, (m, _) in got.items()},
                {a: [] for _, _, a in rows}, "turned")
        t.equal(guest.call("connect", SITE4, 22)[0], "ECONNREFUSED",
                "the old address, its pin over")
    found = refused(t)
    t.equal({n: found.get((n, "rebinding-stripped")) for n, _, _ in rows},
            {n: 1 for n, _, _ in rows}, "records")


@case(gateways=OURS)
def pins_cost(t):
    """20 000 live pins: what the broker grows by."""
    table = {"*.lie.example.net": lambda name, _: {dnswire.AAAA: (600, [
        f"2600:1f00:0:2:{int(name.split('.')[0][1:]):x}::{n:x}"
        for n in range(64)])}}
    names_lab.World(t, liar=table)
    queries = [dnswire.query(f"n{n}.lie.example.net", dnswire.AAAA, edns=4096)
               for n in range(313)]
    with t.guest(policy=names_lab.policy(LIE), fds=False) as guest:
        before = lab.rss(t.pid("sallyport-broker"))
        got = names_lab.answers(guest, queries)
        pins = sum(len(m.addresses()) for m, _ in got.values())
        grown = lab.rss(t.pid("sallyport-broker")) - before
    t.equal(pins, 313 * 64, "pins")
    t.note(f"{grown / 2 ** 20:.1f} MB")
    t.check(grown <= 8 << 20, f"{grown} bytes for {pins} pins")


@case(quick=True, gateways=OURS)
def partly_floored(t):
    """What is left of an answer is given; what was taken away is counted."""
    names_lab.World(t)
    with t.guest(policy=names_lab.policy(MANY)) as guest:
        t.equal(ask(guest, f"mixed.{BASE}").addresses(), [SITE4])
        t.equal(ask(guest, f"mixed.{BASE}", dnswire.AAAA).addresses(), [SITE6])
        t.equal(ask(guest, f"floored.{BASE}").addresses(), [])
        t.equal(guest.call("connect", "10.0.0.1", 443)[0], "ECONNREFUSED")
    t.equal([(r["stripped"], r["ips"]) for r in
             dns(t, name=f"mixed.{BASE}")], [(1, [SITE4]), (1, [SITE6])])
    t.equal([r["reason"] for r in dns(t, name=f"floored.{BASE}")],
            ["rebinding-stripped"])


@case(quick=True, gateways=OURS)
def aliases(t):
    """Chains are followed and recorded; loops and long ones end (B9)."""
    names_lab.World(t)
    with t.guest(policy=names_lab.policy(MANY)) as guest:
        for name in ("alias", "cross", "hop1", "hop8"):
            message = ask(guest, f"{name}.{BASE}")
            t.equal([(r[0], r[1], r[3]) for r in message.answers],
                    [(f"{name}.{BASE}", dnswire.A, SITE4)], name)
        for name in ("loop1", "self", "hop9", "hop11"):
            message = ask(guest, f"{name}.{BASE}")
            t.check(message.rcode in (dnswire.SERVFAIL, dnswire.NXDOMAIN)
                    and not message.answers, f"{name}: {message.rcode}")
        t.equal(ask(guest, f"dangling.{BASE}").answers, [])
        t.equal(guest.call("lookup", API)[0], "ok", "afterwards")
    chains = {r["name"]: r.get("chain", []) for r in t.records("dns")}
    t.equal(chains[f"cross.{BASE}"], ["api.beta.example.org"])
    t.equal(chains[f"hop8.{BASE}"], [f"hop{n}.{BASE}" for n in
                                     range(7, -1, -1)])


@case(quick=True, gateways=OURS)
def alias_target_is_no_grant(t):
    """An alias's target is reached under the alias's name alone."""
    names_lab.World(t)
    server = t.keep(tls_lab.VhostServer(t.lab, [f"cross.{BASE}",
                                                "api.beta.example.org"]))
    rule = f'allow to name "cross.{BASE}" port tcp 443\n'
    with t.guest(policy=names_lab.policy(rule)) as guest:
        guest.call("lookup", f"cross.{BASE}")
        t.equal(ask(guest, "api.beta.example.org").rcode, dnswire.NXDOMAIN)
        flight = tls_lab.records(tls_lab.hello(tls_lab.sni(
            "api.beta.example.org")))
        t.equal(guest.call("pieces", SITE4, 443, [flight.hex()])[0],
                "ECONNRESET")
        t.equal(server.raws(), [])
        t.equal(guest.call("tls", SITE4, 443, f"cross.{BASE}", server.ca),
                f"this is cross.{BASE}\n")


def stray_records(asked):
    """Answers that carry what was not asked for, around a good one or alone."""
    name = dnswire.Message(asked).name
    other = "victim.lie.example.net"
    return {
        "other": [(other, dnswire.A, 60, SITE4)],
        "both": [(other, dnswire.A, 60, names_lab.STRAY4),
                 (name, dnswire.A, 60, SITE4)],
        "broken": [(name, dnswire.CNAME, 60, "x.lie.example.net"),
                   ("y.lie.example.net", dnswire.A, 60, names_lab.STRAY4)]}


@case(gateways=OURS)
def records_of_others(t):
    """Only what the question's own chain leads to counts (B9)."""
    def answer(data, message, _tcp):
        kind = message.name.lower().split(".")[0]
        return dnswire.reply(data, stray_records(data).get(kind, []))
    t.keep(dnswire.Authority(t.lab.internet, [BAD4], answer))
    with t.guest(policy=names_lab.policy(LIE, upstreams=(BAD4,))) as guest:
        t.equal(ask(guest, "other.lie.example.net").addresses(), [])
        t.check(ask(guest, "both.lie.example.net").addresses() in
                ([SITE4], []), "both")
        t.equal(ask(guest, "broken.lie.example.net").addresses(), [])
        t.equal(guest.call("connect", names_lab.STRAY4, 22)[0],
                "ECONNREFUSED", "the stray address")


# ---- upstreams that fail ------------------------------------------------------------------------

BAD4 = "203.0.114.33"


def wrong_question(data, _message, _tcp):
    return dnswire.reply(data, [("evil.example.net", dnswire.A, 60,
                                 names_lab.STRAY4)],
                         question=dnswire.query("evil.example.net")[12:])


def wrong_id(data, message, _tcp):
    return [dnswire.reply(data, [(message.name, dnswire.A, 60,
                                  names_lab.STRAY4)], ident=n)
            for n in random.sample(range(65536), 50)
            if n != message.ident]


def junk(data, _message, _tcp):
    return [data[:2] + os.urandom(random.randrange(200)) for _ in range(5)]


def no_service(data, _message, _tcp):
    return dnswire.reply(data, [], dnswire.SERVFAIL)


def refuses(data, _message, _tcp):
    return dnswire.reply(data, [], dnswire.REFUSED)


def always_cut(data, _message, tcp):
    return None if tcp else dnswire.reply(data, [], flags=0x0200)


BAD_UPSTREAMS = (wrong_question, wrong_id, junk, no_service, refuses,
                 always_cut)


@case(gateways=OURS, timeout=120)
def next_upstream(t):
    """The first upstream is bad in some way: the next one is asked."""
    names_lab.World(t)
    kinds = t.scale(BAD_UPSTREAMS, BAD_UPSTREAMS[:4])
    bad = dnswire.Authority(t.lab.internet, [BAD4], None)
    t.keep(bad)
    for kind in (None, *kinds):
        bad.answer = kind or (lambda *_: None)
        with t.guest(policy=names_lab.policy(
                RULES, upstreams=(BAD4, FORWARDER4))) as guest:
            handles = [guest.start("udp_raw", gateway.GATEWAY4, 53,
                                   dnswire.query(API, q).hex(), timeout=12.0)
                       for q in (dnswire.A, dnswire.AAAA)]
            start = time.monotonic()
            places = [dnswire.Message(bytes.fromhex(guest.finish(
                h))).addresses() for h in handles]
            seconds = time.monotonic() - start
        what = kind.__name__ if kind else "silent"
        t.equal(places, [[SITE4], [SITE6]], f"{what}, after {seconds:.1f} s")
        t.check(seconds < 10.5, f"{what}: {seconds:.1f} s")
    t.check(bad.asked, "the bad one was not asked")


@case(gateways=OURS, timeout=120)
def upstream_fails(t):
    """No upstream is any good: SERVFAIL in bounded time, and a record."""
    bad = t.keep(dnswire.Authority(t.lab.internet, [BAD4], None))
    rows = [("closed", "203.0.114.34", None), ("hole", lab.HOLE4, None)]
    rows += [(k.__name__, BAD4, k) for k in
             t.scale(BAD_UPSTREAMS, BAD_UPSTREAMS[:3])]
    for what, address, kind in rows:
        bad.answer = kind or (lambda *_: None)
        with t.guest(policy=names_lab.policy(
                RULES + f'allow to net {SITE4} port tcp 22\n',
                upstreams=(address,))) as guest:
            asked = guest.start("udp_raw", gateway.GATEWAY4, 53,
                                dnswire.query(API).hex(), timeout=15.0)
            start = time.monotonic()
            t.equal(guest.call("connect", SITE4, 22)[0], "ECONNREFUSED",
                    "a literal meanwhile")
            message = dnswire.Message(bytes.fromhex(guest.finish(asked)))
            seconds = time.monotonic() - start
            t.equal((message.rcode, message.answers), (dnswire.SERVFAIL, []),
                    what)
            t.check(seconds < 11.5, f"{what}: after {seconds:.1f} s")
        t.equal([r["reason"] for r in t.records("dns")], ["dns-upstream"],
                what)
        t.check(not names_lab.all_denied(t), "a literal was denied")


def with_stub(t):
    """The programs, with the other engine in the resolver's place."""
    place = os.path.join(t.lab.scratch, "stub")
    if os.path.isdir(place):            # another case's
        return place
    shutil.copytree(t.bindir, place)
    shutil.copy(os.path.join(t.options.bindir, "resolver-stub"),
                os.path.join(place, "sallyport-resolver"))
    return place


def all_refuse(t, upstreams, mask, count, most):
    """mask: of the ICMP errors that the kernel limits, which the lab lifts."""
    with t.lab.internet:
        lab.sysctl("net/ipv4/icmp_ratemask", mask)
    with t.guest(policy=names_lab.policy(MANY, upstreams=upstreams),
                 fds=False) as guest:
        got = names_lab.answers(guest, [
            dnswire.query(f"n{n}.{BASE}", q) for n in range(count)
            for q in (dnswire.A, dnswire.AAAA)])
    with t.lab.internet:
        lab.sysctl("net/ipv4/icmp_ratemask", 0)
    seconds = max(s for _, s in got.values())
    t.note(f"{seconds:.1f} s")
    t.check(len(got) == 2 * count and seconds < most,
            f"{len(got)} answers, the last after {seconds:.1f} s")
    t.equal({m.rcode for m, _ in got.values()}, {dnswire.SERVFAIL})
    t.equal({r["reason"] for r in dns(t)}, {"dns-upstream"})


@case(quick=True, gateways=OURS)
def upstreams_refuse(t):
    """Nobody listens at any of them, and the host says so: SERVFAIL in about a
    second, for one name and for many, though it does not say it every time."""
    closed = ("203.0.114.34", "203.0.114.35")
    all_refuse(t, closed, 0, 1, 1.5)
    all_refuse(t, closed[:1], 6168, 1, 1.5)
    if t.scale(True, False):
        all_refuse(t, closed[:1], 6168, 20, 5)
    if os.path.exists(os.path.join(t.options.bindir, "resolver-stub")):
        t.bindir = with_stub(t)
        all_refuse(t, closed[:1], 6168, 20, 5)


@case(gateways=OURS, timeout=60)
def slow_upstream(t):
    """Two seconds late is late, not lost; denials do not wait for it."""
    answer = dnswire.slowly(2.0, dnswire.zone_answer(
        {API: {dnswire.A: (60, [SITE4])}}))
    t.keep(dnswire.Authority(t.lab.internet, [BAD4], answer))
    with t.guest(policy=names_lab.policy(RULES, upstreams=(BAD4,))) as guest:
        asked = guest.start("udp_raw", gateway.GATEWAY4, 53,
                            dnswire.query(API).hex(), timeout=12.0)
        start = time.monotonic()
        t.equal(ask(guest, OTHER).rcode, dnswire.NXDOMAIN)
        t.check(time.monotonic() - start < 0.5, "a denial waited")
        t.equal(dnswire.Message(bytes.fromhex(guest.finish(
            asked))).addresses(), [SITE4])


@case(gateways=OURS)
def upstream_changes(t):
    """The forwarder dies and comes back: so do names."""
    world = names_lab.World(t)
    with t.guest(policy=names_lab.policy(MANY)) as guest:
        t.equal(ask(guest, API).addresses(), [SITE4])
        world.forwarder().send_signal(signal.SIGSTOP)
        t.equal(ask(guest, WWW).rcode, dnswire.SERVFAIL, "while it is away")
        world.forwarder().send_signal(signal.SIGCONT)
        back = lab.wait_until(lambda: ask(
            guest, f"only4.{BASE}").addresses() == [SITE4], 15, step=0.2)
        t.check(back, "names did not come back")


# ---- tunnels ----------------------------------------------------------------------------------

def tunnel_names(base, count):
    """What iodine and its like ask: base32 of random bytes, in long labels."""
    for _ in range(count):
        text = base64.b32encode(os.urandom(100)).decode().rstrip("=").lower()
        yield ".".join(text[at:at + 60] for at in range(0, len(text), 60)) \
            + "." + base


@case(quick=True, gateways=OURS)
def tunnel_exact(t):
    """Under an exact rule not a byte gets out, of any type (B21)."""
    table = {"*.tunnel.example.net": {dnswire.A: (0, [SITE4])},
             "tunnel.example.net": {dnswire.A: (0, [SITE4])}}
    world = names_lab.World(t, liar=table)
    rule = 'allow to name "tunnel.example.net" port tcp 443\n'
    queries = [dnswire.query(name, qtype, edns=4096) for name in
               tunnel_names("tunnel.example.net", 100) for qtype in
               (dnswire.A, dnswire.AAAA, dnswire.TXT, 10, dnswire.MX)]
    with t.guest(policy=names_lab.policy(rule)) as guest:
        got = names_lab.answers(guest, queries)
        t.equal({m.rcode for m, _ in got.values()}, {dnswire.NXDOMAIN})
        t.equal(world.liar.asked, [], "what reached the canary")
        guest.call("lookup", "tunnel.example.net")
        guest.call("lookups", ["TUNNEL.example.NET"] * 20)
    names = {n.lower() for n in world.liar.names()}
    t.equal(names, {"tunnel.example.net"}, "names at the canary")
    total = sum(refused(t).values())
    t.equal(total, len(queries), "refusals in the log")


@case(quick=True, gateways=OURS)
def tunnel_wildcard(t):
    """Under a wildcard: as many new names as the budget has (B21)."""
    table = {"*.tunnel.example.net": {dnswire.A: (0, [SITE4])}}
    world = names_lab.World(t, liar=table)
    budget = 20
    head = ("limits many { conns 20000 rate 100000/s burst 100000 "
            f"dns 100000/s burst 100000 names {budget} per 10m }}\n")
    rule = 'allow to name "**.tunnel.example.net" port tcp 443\n'
    names = list(tunnel_names("tunnel.example.net", 300))
    with t.guest(policy=names_lab.policy(rule, head=head)) as guest:
        got = names_lab.answers(guest, [dnswire.query(n) for n in names])
        t.equal(len(got), len(names), "answers")
        good = [n for n, (m, _) in got.items() if m.addresses()]
        t.equal(len(good), budget, "names resolved")
        t.equal(ask(guest, names[good[0]]).addresses(), [SITE4],
                "one that is not new")
    reached = {n.lower() for n in world.liar.names()}
    t.equal(len(reached), budget, "names at the canary")
    total = sum(n for (_, reason), n in refused(t).items()
                if reason == "dns-budget")
    t.equal(total, len(names) - budget, "refusals in the log")


@case(gateways=OURS)
def question_rate(t):
    """More questions a second than the limit: refused, and recorded."""
    names_lab.World(t)
    head = "limits many { dns 10/s burst 20 }\n"
    with t.guest(policy=names_lab.policy(RULES, head=head)) as guest:
        got = names_lab.answers(guest, [dnswire.query(API)] * 200)
        t.equal(len(got), 200, "answers")
        codes = names_lab.count(m.rcode for m, _ in got.values())
        t.check(20 <= codes.get(0, 0) <= 40, f"rcodes {codes}")
        t.equal(set(codes) - {0}, {dnswire.REFUSED}, "the others")
        time.sleep(1)
        t.equal(ask(guest, API).addresses(), [SITE4], "a second later")
    t.equal(sum(refused(t).values()), 200 - codes[0], "refusals in the log")


@case(quick=True, gateways=OURS)
def names_meet_the_log(t):
    """Each decided question has its record, with all that was decided."""
    names_lab.World(t)
    with t.guest(policy=names_lab.policy(MANY)) as guest:
        ask(guest, f"alias.{BASE}")
        ask(guest, f"nothing.{BASE}")
        for _ in range(100):
            ask(guest, "denied.example.com")
    good = dns(t, name=f"alias.{BASE}")
    t.equal(len(good), 1)
    t.equal([good[0][k] for k in ("qtype", "verdict", "rule_id", "ips", "chain")],
            ["A", "allow", "many", [SITE4], [API]])
    t.check(good[0]["ttl"] > 0 and "policy.conf:" in good[0]["loc"], good[0])
    t.equal([r["verdict"] for r in dns(t, name=f"nothing.{BASE}")], ["allow"])
    t.check(50 < dns(t, name=f"nothing.{BASE}")[0]["ttl"] <= 60, "its zone's")
    t.check(len(dns(t, name="denied.example.com")) <= 20, "in full")
    t.equal(refused(t), {("denied.example.com", "name-not-allowed"): 100})


# ---- processes that die --------------------------------------------------------------------------

def works(guest, server):
    return guest.call("lookup", API, 4)[0] == "ok" and \
        guest.call("tls", SITE4, 443, API, server.ca) == f"this is {API}\n"


def disturbed(t, program, disturb, seconds, rounds):
    """Literals work all the time; names fail only with a reason, and come back.
    """
    names_lab.World(t)
    server = t.keep(tls_lab.VhostServer(t.lab, [API]))
    t.serve(servers.sink, port=2222)
    rules = RULES + f'allow to net {names_lab.STRAY4} port tcp 2222\n'
    outcomes = set()
    with t.guest(policy=names_lab.policy(rules), fds=False) as guest:
        t.check(works(guest, server), "at first")
        for _ in range(rounds):
            load = guest.start("load", names_lab.STRAY4, 2222, seconds)
            name = guest.start("lookups", [API] * 3)
            time.sleep(random.random() * 0.2)
            disturb(t.pid(program))
            outcomes |= {o for o, _, _ in guest.finish(name)}
            t.equal(set(guest.finish(load)), {"ok"}, "literals")
            t.check(lab.wait_until(lambda: attempt(guest, server), 20,
                                   step=0.1), "names did not come back")
    t.check(outcomes <= {"ok", "EAI_AGAIN"}, f"lookups: {outcomes}")
    for record in t.records("flow.deny", "dns"):
        if record["verdict"] == "deny":
            t.check(record["reason"] in (
                "dns-upstream", "inspector-unavailable", "tls-timeout"),
                f"refused: {record}")


def attempt(guest, server):
    try:
        return works(guest, server)
    except gateway.GuestError:
        return False


def kill(pid):
    os.kill(pid, signal.SIGKILL)


def stop_a_while(seconds):
    def disturb(pid):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass                # the broker had enough of it
    return disturb


@case(gateways=OURS, timeout=120)
def resolver_killed(t):
    disturbed(t, "sallyport-resolver", kill, 0.5, t.scale(7, 3))
    t.check(len(t.records("child.died")) >= 3, "child.died")


@case(gateways=OURS, timeout=120)
def inspector_killed(t):
    disturbed(t, "sallyport-inspector", kill, 0.5, t.scale(7, 3))
    t.check(len(t.records("child.died")) >= 3, "child.died")


@case(gateways=OURS, timeout=200)
def resolver_stopped(t):
    disturbed(t, "sallyport-resolver", stop_a_while(3), 3.5, 3)


@case(gateways=OURS, timeout=200)
def inspector_stopped(t):
    disturbed(t, "sallyport-inspector", stop_a_while(3), 3.5, 3)


class KeptDown:
    """Kills a program whenever it is there."""

    def __init__(self, t, program):
        self.t, self.program = t, program
        self.deaths, self.over = 0, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self.over.wait(0.02):
            for pid in self.t.pids(self.program):
                try:
                    kill(pid)
                    self.deaths += 1
                except ProcessLookupError:
                    pass

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        self.thread.join()


def kept_down(t, program, refusals):
    """It is tried again less and less often. Meanwhile names fail, with a reason,
    literals work, and a pin ends in its time and not before."""
    names_lab.World(t)
    server = t.keep(tls_lab.VhostServer(t.lab, [API]))
    t.serve(servers.sink, port=2222)
    rules = RULES + f'allow to name "{API}" port tcp 2222 verify none\n' \
        f'allow to net {names_lab.STRAY4} port tcp 2222\n'
    with t.guest(policy=names_lab.policy(
            rules, "pin min 1s max 2s grace 1s"), fds=False) as guest:
        t.check(works(guest, server), "at first")
        with KeptDown(t, program) as down:
            end = time.monotonic() + 6
            lab.wait_until(lambda: down.deaths, 2)
            t.equal(guest.call("connect", SITE4, 2222)[0], "ok", "a pin")
            failures = 0                # it may be seen at work before its end
            while time.monotonic() < end:
                failures += not attempt(guest, server)
                t.equal(set(guest.call("load", names_lab.STRAY4, 2222, 0.3,
                                       0.01)), {"ok"}, "literals")
            t.check(3 <= down.deaths <= 8, f"{down.deaths} starts in 6 s")
            t.check(failures >= 3, f"{failures} failures")
            t.note(f"{down.deaths} starts, {failures} failures")
            if program == "sallyport-resolver":
                t.equal(guest.call("connect", SITE4, 2222)[0], "ECONNREFUSED",
                        "a pin that is over")
        t.check(lab.wait_until(lambda: attempt(guest, server), 20, step=0.1),
                "names did not come back")
    reasons = {r["reason"] for r in t.records("flow.deny", "dns", "deny.agg")
               if "reason" in r and r.get("csrc") != "frame"}
    t.equal(reasons, refusals, "reasons")


@case(gateways=OURS, timeout=90)
def resolver_kept_down(t):
    kept_down(t, "sallyport-resolver", {"dns-upstream", "pin-expired"})


@case(gateways=OURS, timeout=90)
def inspector_kept_down(t):
    kept_down(t, "sallyport-inspector", {"inspector-unavailable"})


@case(gateways=OURS)
def inspector_away(t):
    """It hangs: the flow is refused in bounded time, no byte at the server."""
    names_lab.World(t)
    server = t.keep(tls_lab.VhostServer(t.lab, [API]))
    flight = tls_lab.records(tls_lab.hello(tls_lab.sni(API)))
    with t.guest(policy=names_lab.policy(RULES), fds=False) as guest:
        guest.call("lookup", API)
        pid = t.pid("sallyport-inspector")
        os.kill(pid, signal.SIGSTOP)
        outcome, seconds, _ = guest.call("pieces", SITE4, 443, [flight.hex()],
                                         wait=20.0)
        t.equal(outcome, "ECONNRESET", f"after {seconds:.1f} s")
        t.check(seconds < 8, f"after {seconds:.1f} s")
        t.equal(server.raws(), [], "bytes at the server")
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
    t.check(t.records("flow.deny")[0]["reason"] in (
        "inspector-unavailable", "tls-timeout"), "reason")


def another_build(path):
    with open(path, "rb") as file:
        data = file.read()
    other, count = re.subn(rb"(\d\.\d\.\d\+)[0-9a-f]", rb"\1x", data)
    assert count, "no build in the program"
    with open(path, "wb") as file:
        file.write(other)


SPOIL = {"missing": os.unlink,
         "not executable": lambda path: os.chmod(path, 0o644),
         "another build": another_build,
         "no program": lambda path: os.truncate(path, 100)}


def spoiled(t, bindir, program, how):
    """The programs, one of which cannot be started."""
    place = os.path.join(t.lab.scratch, f"{how}-{program}".replace(" ", "-"))
    shutil.copytree(bindir, place)
    SPOIL[how](os.path.join(place, program))
    return place


def quickly(t, what, function):
    start = time.monotonic()
    found = function()
    seconds = time.monotonic() - start
    t.check(seconds < 1, f"{what}: after {seconds:.1f} s")
    return found


def said_once(t, guest, role):
    time.sleep(1)                       # three tries
    said = [line for line in guest.stderr().splitlines()
            if role in line and "fatal" not in line]
    t.check(0 < len(said) <= 2 and len(set(said)) == len(said) and
            any(words in line for line in said for words in (
                "start Sallyport again", "own line says why", "same build")),
            f"it said {said}")


@case(quick=True, gateways=OURS)
def no_resolver(t):
    """It cannot be started: names fail at once with the reason, literals do not;
    what to do is said once; and names work when it can."""
    names_lab.World(t)
    good = t.bindir
    rules = RULES + f'allow to net {SITE4} port tcp 22\n'
    for how in t.scale(SPOIL, ("missing", "not executable")):
        t.bindir = spoiled(t, good, "sallyport-resolver", how)
        with t.guest(policy=names_lab.policy(rules), fds=False) as guest:
            for _ in range(3):
                message = quickly(t, how, lambda: ask(guest, API))
                t.equal(message.rcode, dnswire.SERVFAIL, how)
            t.equal(guest.call("connect", SITE4, 22)[0], "ECONNREFUSED", how)
            said_once(t, guest, "resolver")
            if how == "not executable":
                os.chmod(os.path.join(t.bindir, "sallyport-resolver"), 0o755)
                t.check(lab.wait_until(lambda: ask(guest, API).addresses() ==
                                       [SITE4], 10, step=0.1), "no names")
        t.equal({r.get("reason") for r in dns(t)} - {None}, {"dns-upstream"},
                how)
        died(t, how, "resolver")


def died(t, how, role):
    records = t.records("child.died")
    t.equal({(r["detail"], r.get("errno")) for r in records},
            {(f"{role}: not-started", "ENOENT") if how == "missing" else
             (f"{role}: another-build", None) if how == "another build" else
             (f"{role}: before-hello", None)}, how)
    t.check(len(records) == 1 if how == "missing" else 1 < len(records) < 10,
            f"{how}: {len(records)} deaths")


@case(quick=True, gateways=OURS)
def no_inspector(t):
    """The same of the inspector: flows that it would have to see are refused."""
    names_lab.World(t)
    server = t.keep(tls_lab.VhostServer(t.lab, [API]))
    flight = tls_lab.records(tls_lab.hello(tls_lab.sni(API))).hex()
    good = t.bindir
    for how in t.scale(SPOIL, ("missing", "not executable")):
        t.bindir = spoiled(t, good, "sallyport-inspector", how)
        with t.guest(policy=names_lab.policy(RULES), fds=False) as guest:
            t.equal(ask(guest, API).addresses(), [SITE4], how)
            before = len(server.raws())
            outcome = quickly(t, how, lambda: guest.call(
                "pieces", SITE4, 443, [flight]))[0]
            t.equal((outcome, len(server.raws())), ("ECONNRESET", before), how)
            said_once(t, guest, "inspector")
            if how == "not executable":
                os.chmod(os.path.join(t.bindir, "sallyport-inspector"), 0o755)
                t.check(lab.wait_until(lambda: attempt(guest, server), 10,
                                       step=0.1), "no flows by name")
        t.check("inspector-unavailable" in {
            r["reason"] for r in t.records("flow.deny")}, how)
        died(t, how, "inspector")


@case(gateways=OURS)
def nursery_killed(t):
    """Nobody can start the resolver again: names fail, literals do not."""
    names_lab.World(t)
    t.serve(servers.sink, port=2222)
    rules = RULES + f'allow to net {names_lab.STRAY4} port tcp 2222\n'
    with t.guest(policy=names_lab.policy(rules), fds=False,
                 status=(0, 125)) as guest:
        t.equal(ask(guest, API).addresses(), [SITE4])
        kill(t.pid(lab.NURSERY))
        kill(t.pid("sallyport-resolver"))
        for _ in range(3):
            t.equal(ask(guest, API).rcode, dnswire.SERVFAIL)
            t.equal(guest.call("load", names_lab.STRAY4, 2222, 0.3).keys(),
                    {"ok"}, "literals")


@case(quick=True, gateways=OURS)
def no_process_for_nothing(t):
    """A policy without names starts neither of the two."""
    names_lab.World(t)
    rules = f'allow to net {SITE4} port tcp 2222\n'
    with t.guest(policy=names_lab.policy(rules)) as guest:
        t.equal(t.pids("sallyport-inspector"), [])
        t.equal(t.pids("sallyport-resolver"), [])
        t.equal(ask(guest, API).rcode, dnswire.NXDOMAIN)
    rules = f'allow to name "{API}" port tcp 2222 verify none\n'
    with t.guest(policy=names_lab.policy(rules)):
        t.equal(t.pids("sallyport-inspector"), [])
        t.pid("sallyport-resolver")
