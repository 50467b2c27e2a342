"""A verdict depends on the flow, not on what else was resolved or on the order of
lines; and a deny by name, beside what lets through without proof, stops what shows
the name and nothing else. doc/law.md has the whole of it.
"""
import lab
import names_lab
import servers
import tls_lab
from names_lab import API, OTHER, SITE4, SITE6, WWW
from trial import OURS, case

BANNER = b"SSH-2.0-lab\r\n"
PROMPT = 0.6                            # s: nobody has waited for a deadline
RESETS = ("ECONNRESET", "EPIPE", "ENOTCONN")   # while reading, writing, ending
CURL = ("curl", "-sS", "--max-time", "9")


def hello(name, *more):
    return tls_lab.records(tls_lab.hello(tls_lab.sni(name), *more))


def head(name):
    return f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()


# ---- not on history ---------------------------------------------------------------

def visited(t, rules, name, *before):
    """The name by HTTP, after others of its address were resolved."""
    names_lab.World(t)
    t.serve(servers.http(b"body"), port=80)
    with t.guest(policy=names_lab.policy(rules)) as guest:
        for other in before:
            guest.call("lookup", other)
        code, out, err = guest.call("run", [*CURL, f"http://{name}/"])
        t.equal((code, out), (0, "body"), err)
    opened, = t.records("flow.open")
    return opened


@case(quick=True, gateways=OURS)
def another_name_resolved_first(t):
    """By Host, though a name that wants an SNI leads here too and came first."""
    opened = visited(t, f'allow to name "{API}" port tcp {{ 80 443 }} verify sni\n'
                     f'allow to name "{OTHER}" port tcp {{ 80 443 }}\n',
                     OTHER, API)
    t.equal((opened["name"], opened["assurance"]), (OTHER, "host"))


@case(gateways=OURS)
def another_name_without_proof(t):
    """The same where the second asks for none."""
    opened = visited(t, f'allow to name "{API}" port tcp {{ 80 443 }}\n'
                     f'allow to name "{OTHER}" port tcp 80 verify none '
                     'label "plain"\n', OTHER, API)
    t.equal(opened["rule_id"], "plain")


@case(quick=True, gateways=OURS)
def another_name_for_an_address(t):
    """A server that speaks first, at an address that a rule allows as it is, is
    heard also when a name of that address has been looked up."""
    names_lab.World(t)
    t.serve(servers.greet(BANNER), port=2222)
    rules = f'allow to name "{API}" port tcp {{ 2222 443 }}\n' \
        f"allow to net {SITE4} port tcp 2222\n"
    with t.guest(policy=names_lab.policy(rules)) as guest:
        for _ in range(2):
            got = guest.call("read", SITE4, 2222)
            t.equal((got["text"], got["end"]), (BANNER.decode(), "fin"))
            t.check(got["first"] < PROMPT, f"after {got['first']:.2f} s")
            guest.call("lookup", API)
    t.equal(t.records("flow.deny"), [])


# ---- a deny by name beside an allow to any ------------------------------------------------

LOOK = f'allow to any port tcp {{ 80 443 2222 }} label "any"\n' \
    f'deny to name "{OTHER}" port tcp {{ 80 443 2222 }} label "not"\n'


@case(quick=True, gateways=OURS)
def looked_at(t):
    """What shows the denied name, or cannot be read, gets no byte out; all else goes
    on, whatever it is and whoever speaks first."""
    names_lab.World(t)
    server = t.serve(servers.echo, port=443)
    t.serve(servers.greet(BANNER), port=2222)
    good = [("another name", hello(API)), ("ECH", hello(API, tls_lab.ech())),
            ("no name", tls_lab.records(tls_lab.hello())),
            ("another Host", head(WWW)), ("no Host", b"GET / HTTP/1.0\r\n\r\n"),
            ("SSH", b"SSH-2.0-x\r\n"), ("Postgres", bytes.fromhex("0000000804d2162f")),
            ("SMTP", b"EHLO host\r\n"), ("one byte", b"\0")]
    bad = [("SNI", hello(OTHER), "deny-rule"), ("Host", head(OTHER), "deny-rule"),
           ("SNI in small records", tls_lab.records(tls_lab.hello(
               tls_lab.sni(OTHER)), 7), "deny-rule"),
           ("a cut hello", hello(API)[:-1], "sni-unparseable"),
           ("two Hosts", head(API)[:-2] + b"Host: x.example\r\n\r\n",
            "vhost-unparseable"),
           ("a bare line feed", b"GET / HTTP/1.1\nHost: " + OTHER.encode() +
            b"\n\n", "vhost-unparseable"),
           ("a long method", b"A" * 33 + head(OTHER)[3:], "vhost-unparseable"),
           ("an alert in front", bytes.fromhex("1503010002015a") + hello(OTHER),
            "vhost-unparseable"),
           ("a record of another version", b"\x16\x0f" + hello(OTHER)[2:],
            "sni-unparseable")]
    with t.guest(policy=names_lab.policy(LOOK)) as guest:
        for address in (SITE4, SITE6):
            for what, flight in good:
                outcome, seconds, back = guest.call(
                    "pieces", address, 443, [flight.hex()], fin=True)
                t.equal((outcome, bytes.fromhex(back)), ("fin", flight), what)
                t.check(seconds < PROMPT, f"{what}: after {seconds:.2f} s")
        seen = len(server.log)
        for what, flight, _ in bad:
            outcome, seconds, back = guest.call(
                "pieces", SITE4, 443, [flight.hex()], fin=True)
            t.check(outcome in RESETS and not back, f"{what}: {outcome}")
        got = guest.call("read", SITE4, 2222)
        t.equal((got["text"], got["end"]), (BANNER.decode(), "fin"))
        t.check(got["first"] < PROMPT, f"after {got['first']:.2f} s")
    t.check(lab.wait_until(lambda: all(c.done.is_set() for c in server.log), 3),
            "connections")
    t.equal([c.data for c in server.log[seen:] if c.data], [],
            "bytes of what was refused")
    t.equal([r["reason"] for r in t.records("flow.deny")], [r for *_, r in bad])
    t.equal({r["rule_id"] for r in t.records("flow.deny")}, {"not"})
    t.equal({r["rule_id"] for r in t.records("flow.open")}, {"any"})


@case(timeout=90, gateways=OURS)
def looked_at_in_time(t):
    """Silence is waited out; what has begun is not. A guest that ends is seen to."""
    names_lab.World(t)
    t.serve(servers.echo, port=443)
    with t.guest(policy=names_lab.policy(LOOK)) as guest:
        silent = guest.start("pieces", SITE4, 443, ["", b"*1\r\n".hex()],
                             pause=7, fin=True, wait=20.0)
        slow = guest.start("pieces", SITE4, 443, [
            b"\x16".hex(), *(hello(API)[n:n + 1].hex() for n in range(1, 30))],
            pause=0.5, wait=20.0)
        begun = guest.start("pieces", SITE4, 443, [hello(OTHER)[:40].hex()],
                            wait=20.0)
        for handle in slow, begun:
            outcome, seconds, back = guest.finish(handle)
            t.check(outcome in RESETS and not back, outcome)
            t.check(4 < seconds < 8, f"over after {seconds:.1f} s")
        outcome, seconds, back = guest.finish(silent)
        t.equal((outcome, bytes.fromhex(back)), ("fin", b"*1\r\n"))
        t.check(seconds > 6.9, f"after {seconds:.1f} s")
        outcome, seconds, back = guest.call("pieces", SITE4, 443, [], fin=True)
        t.equal((outcome, back), ("fin", ""))
    t.equal(names_lab.all_denied(t), {"tls-timeout": 2})
