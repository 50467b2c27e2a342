"""Audit mode stops nothing but what the floor, limits and denies in force stop,
whatever comes of a first flight: the record has the reason, and the flow goes on.

Each case is one of cases_sni.py's in another mode.
"""
import os
import shutil
import signal

import lab
import names_lab
import servers
import tls_lab
from cases_sni import bad_hellos
from names_lab import API, OTHER, SITE4, SITE6
from trial import OURS, case

RULE = f'allow to name "{API}" port tcp {{ 443 2222 }} label "api"\n'
DENY = f'deny to name "{OTHER}" port tcp {{ 443 2222 }} mode enforce\n'
BANNER = b"SSH-2.0-lab\r\n"
PROMPT = 0.6                            # s: nobody has waited for a deadline


def policy(rules=RULE, **how):
    return names_lab.policy(rules, mode="mode audit", **how)


def opens(t, *members):
    return [tuple(r.get(m) for m in members) for r in t.records("flow.open")]


def greeted(t, guest, address=SITE4):
    """The server's first words, and when they came."""
    got = guest.call("read", address, 2222)
    t.equal((got["text"], got["end"]), (BANNER.decode(), "fin"), address)
    return got["first"]


@case(quick=True, gateways=OURS)
def lenient_server_first(t):
    """A server that speaks first is heard at once."""
    names_lab.World(t)
    t.serve(servers.greet(BANNER), port=2222)
    with t.guest(policy=policy()) as guest:
        guest.call("lookup", API)
        for address in (SITE4, SITE6):
            first = greeted(t, guest, address)
            t.check(first < PROMPT, f"{address}: after {first:.2f} s")
    t.equal(opens(t, "verdict", "reason", "rule_id", "sni"),
            [("audit-deny", "server-first", "api", None)] * 2)
    t.equal(t.records("flow.deny"), [])


@case(quick=True, gateways=OURS)
def lenient_flights(t):
    """Every flight that enforcement refuses reaches the server, byte for byte; the
    record has enforcement's reason."""
    names_lab.World(t)
    t.serve(servers.echo, port=443)
    rows = list(bad_hellos())
    with t.guest(policy=policy()) as guest:
        guest.call("lookup", API)
        for what, flight, _ in rows:
            outcome, seconds, back = guest.call(
                "pieces", SITE4, 443, [flight.hex()], fin=True)
            t.equal((outcome, bytes.fromhex(back) == flight), ("fin", True),
                    f"{what}: {len(back) // 2} of {len(flight)} bytes back")
            t.check(seconds < PROMPT, f"{what}: after {seconds:.2f} s")
    t.equal(opens(t, "verdict", "reason"),
            [("audit-deny", reason) for _, _, reason in rows])


@case(quick=True, gateways=OURS)
def lenient_ends(t):
    """FIN or RST before a flight: told to the server as what it is."""
    names_lab.World(t)
    server = t.serve(servers.sink, port=443)
    with t.guest(policy=policy()) as guest:
        guest.call("lookup", API)
        outcome, seconds, back = guest.call("pieces", SITE4, 443, [],
                                            fin=True)
        t.check(outcome == "fin" and seconds < PROMPT, f"{outcome} {seconds}")
        t.check(bytes.fromhex(back).startswith(b"0 "), back)
        outcome, seconds, back = guest.call("pieces", SITE4, 443, ["1603"],
                                            fin=True)
        t.check(outcome == "fin" and seconds < PROMPT, f"{outcome} {seconds}")
        t.check(bytes.fromhex(back).startswith(b"2 "), back)
        guest.call("abort", SITE4, 443, send=0)
        t.check(lab.wait_until(lambda: len(server.log) == 3 and
                               server.log[2].done.is_set(), 3), "no reset")
    t.equal(type(server.log[2].error), ConnectionResetError)
    t.equal(opens(t, "verdict", "reason"), [
        ("audit-deny", "sni-unparseable"), ("audit-deny", "sni-unparseable")])
    t.equal([(r["reason"], r.get("verdict")) for r in t.records("flow.close")],
            [("done", "audit-deny"), ("done", "audit-deny"),
             ("guest-cancel", None)])
    t.equal([r["flow"] for r in t.records("flow.dial")],
            [r["flow"] for r in t.records("flow.close")])


@case(quick=True, gateways=OURS)
def lenient_refused(t):
    """A server that is not there is seen as such: no handshake with nobody."""
    names_lab.World(t)
    with t.guest(policy=policy()) as guest:
        guest.call("lookup", API)
        t.equal(guest.call("connect", SITE4, 443)[0], "ECONNREFUSED")
    t.equal([(r.get("verdict"), r["reason"], r["conn_ns"] // 10**9 if "conn_ns" in r
              else 0) for r in t.records("flow.close")],
            [(None, "connect-refused", 0)])
    t.equal([(r["name"], r["h_dst"], r["wants"]) for r in
             t.records("flow.dial")], [(API, SITE4, "look")])
    t.equal(opens(t, "verdict"), [])


@case(timeout=90, gateways=OURS)
def lenient_slow(t):
    """A byte now and then: five seconds after the first it goes on with what there
    is, and nothing is lost. While there is none, nobody waits."""
    names_lab.World(t)
    t.serve(servers.echo, port=443)
    flight = tls_lab.records(tls_lab.hello(tls_lab.sni(API)))[:30]
    with t.guest(policy=policy()) as guest:
        guest.call("lookup", API)
        handles = [guest.start("pieces", SITE4, 443, [
            *(flight[n:n + 1].hex() for n in range(len(flight)))],
            pause=pause, fin=True) for pause in (0.3, 0.5)]
        handles.append(guest.start("pause_echo", SITE4, 443, 7))
        silent = guest.start("pieces", SITE4, 443, ["", b"late\n".hex()], pause=7,
                             fin=True, wait=20.0)
        got = [guest.finish(handle) for handle in handles]
        outcome, seconds, back = guest.finish(silent)
        t.equal(bytes.fromhex(back), b"late\n")
        for outcome, seconds, back in got[:2]:
            t.check(4.9 < seconds < 20, f"{outcome} after {seconds:.1f} s")
            t.equal(len(back) > 0, True)
        t.equal(got[2], "ab")
    t.equal(sorted(set(opens(t, "verdict", "reason"))), [
        ("audit-deny", "sni-unparseable"), ("audit-deny", "tls-timeout")])


@case(gateways=OURS)
def lenient_deny_in_force(t):
    """A deny by name holds: what shows it brings the server no byte. A server that
    speaks first is heard at once there, too."""
    names_lab.World(t)
    site = t.keep(tls_lab.VhostServer(t.lab, [API, OTHER]))
    t.serve(servers.greet(BANNER), port=2222)
    with t.guest(policy=policy(RULE + DENY)) as guest:
        guest.call("lookup", API)
        flight = tls_lab.records(tls_lab.hello(tls_lab.sni(OTHER)))
        t.equal(guest.call("pieces", SITE4, 443, [flight.hex()])[0],
                "ECONNRESET")
        t.equal(site.raws(), [], "bytes at the server")
        first = greeted(t, guest)
        t.check(first < PROMPT, f"after {first:.2f} s")
    t.equal([r["reason"] for r in t.records("flow.deny")], ["deny-rule"])
    t.equal(opens(t, "verdict", "reason"), [("audit-deny", "server-first")])


@case(gateways=OURS)
def lenient_before_connect(t):
    """The same where the record has to be there before a SYN: it is that of the
    dial."""
    names_lab.World(t)
    t.serve(servers.greet(BANNER), port=2222)
    head = names_lab.LIMITS + "audit { durable before-connect }\n"
    with t.guest(policy=policy(head=head)) as guest:
        guest.call("lookup", API)
        first = greeted(t, guest)
        t.check(first < PROMPT, f"after {first:.2f} s")
    t.equal(opens(t, "verdict", "reason"), [("audit-deny", "server-first")])
    t.equal(len(t.records("flow.dial")), 1)


@case(gateways=OURS, timeout=120)
def lenient_broker_killed(t):
    """At any moment of the wait for first bytes: the server that saw a connection
    is in the log, and the flow has its end there."""
    names_lab.World(t)
    server = t.serve(servers.sink, port=443)
    log = os.path.join(t.lab.directory("dialled"), "audit.jsonl")
    for turn in range(t.scale(10, 4)):
        run = t.guest(policy=policy(), log=log, fds=False)
        guest = run.__enter__()
        guest.call("lookup", API)
        guest.start("hold", SITE4, 443, 20)
        lab.wait_until(lambda: len(server.log) >= turn * 20 + 5 + turn, 2)
        os.kill(t.pid("sallyport-broker"), signal.SIGKILL)
        t.check(lab.wait_until(lambda: not run.pids(), 5), "still there")
        guest.process.wait(5)
        guest.process.stdout.close()
        run.guest = None
    with t.guest(policy=policy(), log=log):
        pass
    dialled = len(t.records("flow.dial"))
    t.check(5 <= len(server.log) <= dialled,
            f"{len(server.log)} connections, {dialled} records")
    t.equal({(r["reason"], r.get("verdict")) for r in t.records("flow.close")},
            {("unknown-crash", None)})
    shutil.rmtree(os.path.dirname(log))


@case(gateways=OURS)
def lenient_without_inspector(t):
    """Nobody reads what is shown: the flow goes on, when that is certain."""
    _, server = names_lab.World(t), t.keep(tls_lab.VhostServer(t.lab, [API]))
    with t.guest(policy=policy()) as guest:
        guest.call("lookup", API)
        os.kill(t.pid("sallyport-inspector"), signal.SIGSTOP)
        text = guest.call("tls", SITE4, 443, API, server.ca)
        t.equal(text, f"this is {API}\n")
    t.equal(opens(t, "verdict", "reason"),
            [("audit-deny", "inspector-unavailable")])


@case(quick=True, gateways=OURS)
def lenient_right_name(t):
    """What fits is allowed, as in enforce mode."""
    _, server = names_lab.World(t), t.keep(tls_lab.VhostServer(t.lab, [API]))
    with t.guest(policy=policy()) as guest:
        guest.call("lookup", API)
        for how in ({}, {"chunk": 1}, {"record": 50, "chunk": 7}):
            t.equal(guest.call("tls", SITE4, 443, API, server.ca, **how),
                    f"this is {API}\n", how)
    t.equal(set(opens(t, "verdict", "name", "sni", "assurance")),
            {("allow", API, API, "sni")})


# ---- names in the records ---------------------------------------------------------

@case(quick=True, gateways=OURS)
def names_in_audit_mode(t):
    """What no rule is about has its name all the same, if it can be only one."""
    names_lab.World(t)
    t.serve(servers.greet(BANNER), port=2200)
    udp = t.keep(servers.UdpServer(t.lab.internet, SITE4, port=123))
    rules = 'deny to any port tcp 9 mode enforce\n'
    with t.guest(policy=policy(rules), fds=False) as guest:
        guest.call("read", SITE4, 2200)
        guest.call("lookup", API, 4)
        guest.call("read", SITE4, 2200)
        guest.call("udp", SITE4, 123, [10])
        guest.call("connect", SITE4, 9)
        guest.call("lookup", OTHER, 4)
        guest.call("read", SITE4, 2200)
        guest.call("connect", SITE4, 9)
    t.equal(len(udp.log), 1)
    members = ("proto", "name", "names", "assurance")
    known, several = (API, None, "dns"), (None, [API, OTHER], "none")
    t.equal(opens(t, *members), [("tcp", None, None, None), ("tcp", *known),
                                 ("udp", *known), ("tcp", *several)])
    t.equal([tuple(r.get(m) for m in members[1:])
             for r in t.records("flow.deny")], [known, several])
    t.equal([r.get("names") for r in t.records("flow.close")].count(
        [API, OTHER]), 1, "the close")


@case(quick=True, gateways=OURS)
def shown_name_in_audit_mode(t):
    """A flow is its flight's, if the guest was told the address for that name."""
    names_lab.World(t)
    t.serve(servers.echo, port=443)
    rows = ((API, "allow", API, None, "sni"),
            (OTHER, "audit-deny", OTHER, None, "sni"),
            ("x.example", "audit-deny", None, [API, OTHER], "none"))
    with t.guest(policy=policy()) as guest:
        for name in (API, OTHER):
            guest.call("lookup", name)
        for name, *_ in rows:
            flight = tls_lab.records(tls_lab.hello(tls_lab.sni(name)))
            guest.call("pieces", SITE4, 443, [flight.hex()], fin=True)
    t.equal(opens(t, "sni", "verdict", "name", "names", "assurance"),
            list(rows))


@case(quick=True, gateways=OURS)
def looked_at_in_audit_mode(t):
    """No rule has these names; the records do, and nobody waits for it."""
    names_lab.World(t)
    site = t.keep(tls_lab.VhostServer(t.lab, [API, OTHER]))
    t.serve(servers.http(b"web\n"), port=80)
    t.serve(servers.greet(BANNER), port=2222)
    t.serve(servers.echo, port=43)
    with t.guest(policy=policy("")) as guest:
        for name in (API, OTHER):
            guest.call("lookup", name, 4)
        t.equal(guest.call("tls", SITE4, 443, OTHER, site.ca),
                f"this is {OTHER}\n")
        t.equal(guest.call("run", ["curl", "-sS", f"http://{API}/"])[:2],
                [0, "web\n"])
        t.check(greeted(t, guest) < PROMPT, "the banner is late")
        for words in (b"example.org\r\n", b"<stream>", b"\0\1", b"\x16\1"):
            _, seconds, back = guest.call("pieces", SITE4, 43, [words.hex()],
                                          pause=5.0, fin=True)
            t.equal(bytes.fromhex(back), words)
            t.check(seconds < PROMPT, f"{words}: {seconds:.1f} s")
    several = (None, [API, OTHER], None, None, "none")
    t.equal(opens(t, "name", "names", "sni", "vhost", "assurance"), [
        (OTHER, None, OTHER, None, "sni"), (API, None, None, API, "host"),
        *[several] * 5])
    t.equal(set(opens(t, "verdict", "reason")),
            {("audit-deny", "default-deny")})
