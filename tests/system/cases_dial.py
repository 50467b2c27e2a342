"""A server is dialled before its guest's connection is accepted, whatever is still to
be seen of it: what becomes of that reaches the guest as without any rule by name, and
is neither allowed nor denied.
"""
import os
import random
import signal
import socket
import time

import gateway
import lab
import names_lab
import servers
import tls_lab
from trial import OURS, case

# what -> (the net of those that answer so, what the log says, does it come at once?)
OUTCOMES = {"refused": ("203.0.114.%d", "connect-refused", True),
            "nohost": ("203.0.119.%d", "host-unreach", True),
            "nonet": ("203.0.121.%d", "net-unreach", True),
            "hole": ("203.0.118.%d", None, False)}
KINDS = {"sni": (443, ""), "host": (80, " verify host"),
         "ech": (8443, " ech allow"), "none": (22, " verify none"),
         "look": (8080, None)}          # allowed by address, beside a deny by name
LITERAL = 39                            # last byte of what no name is about
NOT_THIS = "not-this.example"


def address(outcome, kind):
    return OUTCOMES[outcome][0] % (20 + list(KINDS).index(kind))


def policy(mode, durable):
    """Each kind has a name and an address of its own for each outcome."""
    head = names_lab.LIMITS + f"audit {{ durable {durable} }}\n"
    rules = "".join(f"allow to net {net % LITERAL} port tcp 443\n"
                    for net, _, _ in OUTCOMES.values())
    for kind, (port, words) in KINDS.items():
        for outcome in OUTCOMES:
            where = address(outcome, kind)
            if words is None:
                rules += f"allow to net {where} port tcp {port}\n"
                continue
            name = f"{kind}-{outcome}.example"
            head += f'host "{name}" {where}\n'
            rules += f'allow to name "{name}" port tcp {port}{words}\n'
    rules += f'deny to name "{NOT_THIS}" port tcp 8080 mode enforce\n'
    return gateway.policy_text(rules, head=head, mode=mode)


def seen(guest, where, port, at_once):
    outcome, seconds = guest.call("connect", where, port,
                                  10.0 if at_once else 0.7)
    return outcome, seconds


def last_line(guest):
    """(allowed, denied, tried) of what `run` says in the end."""
    line = [l for l in guest.stderr().splitlines() if "flows: " in l][-1]
    words = line.split("flows: ")[1].split(";")[0].split(", ")
    found = {w.split()[1]: int(w.split()[0]) for w in words}
    return [found.get(k, 0) for k in ("allowed", "denied", "tried")]


def table(t, mode, durable):
    with t.guest(policy=policy(mode, durable), fds=False) as guest:
        for outcome, (net, _, at_once) in OUTCOMES.items():
            plain, _ = seen(guest, net % LITERAL, 443, at_once)
            t.check(plain != "ok", f"{outcome}: somebody is there")
            for kind, (port, words) in KINDS.items():
                if words is not None:
                    guest.call("lookup", f"{kind}-{outcome}.example", 4)
                found, seconds = seen(guest, address(outcome, kind), port,
                                      at_once)
                t.equal(found, plain, f"{kind}, {outcome}")
                t.check(not at_once or seconds < 3, f"{kind}, {outcome}: "
                        f"after {seconds:.1f} s")
    dials = {r["h_dst"]: r["flow"] for r in t.records("flow.dial")}
    opens = {r["g_dst"] for r in t.records("flow.open")}
    ends = {r["g_dst"]: r for r in t.records("flow.close")}
    for outcome, (_, reason, _) in OUTCOMES.items():
        for kind in KINDS:
            where = address(outcome, kind)
            # in audit mode the record depends on first bytes where nothing else does
            by_bytes = kind != "none" or mode != ""
            t.equal((where in dials, where in opens),
                    (by_bytes, not by_bytes), f"{kind}, {outcome}")
            end = ends[where]
            t.equal(end.get("verdict"), None if by_bytes else "allow")
            if reason is not None:
                t.equal(end["reason"], reason, f"{kind}, {outcome}")
            if by_bytes:
                t.equal(end["flow"], dials[where])
    t.equal(names_lab.all_denied(t), {})
    return guest


@case(quick=True, gateways=OURS, timeout=120)
def dial_outcomes(t):
    """Every kind of rule and every end of a connect, in enforce mode."""
    guest = table(t, "", "before-data")
    t.equal(last_line(guest), [0, 0, len(OUTCOMES) * (1 + len(KINDS))])


@case(quick=True, gateways=OURS, timeout=120)
def dial_outcomes_in_audit_mode(t):
    table(t, "mode audit", "before-connect")


@case(gateways=OURS, timeout=400)
def dial_outcomes_everywhere(t):
    """The same in each mode with each durability."""
    for mode in ("", "mode audit"):
        for durable in ("before-data", "before-connect", "async"):
            table(t, mode, durable)


RULES = ('allow to name "site.example" port tcp 443\n'
         f"allow to net {lab.LIVE4} port tcp 1-24\n")
HEAD = 'host "site.example" 203.0.114.30\n'


@case(quick=True, gateways=OURS)
def tried_is_neither(t):
    """A port that is looked for and let go, a server that is not there, under a rule
    by address and one by name: nothing was denied, and nothing passed."""
    t.serve(servers.echo, port=443)
    with t.guest(policy=gateway.policy_text(RULES, head=HEAD,
                                            tenant="")) as guest:
        guest.call("lookup", "site.example", 4)
        t.equal(guest.call("connect", "203.0.114.30", 443)[0], "ok")
        t.check(lab.wait_until(lambda: t.records("flow.close"), 5), "no end")
        t.equal(guest.call("connect", lab.LIVE4, 9)[0], "ECONNREFUSED")
    t.equal(last_line(guest), [0, 0, 2])
    t.equal([(r["reason"], r.get("verdict")) for r in t.records("flow.close")],
            [("guest-cancel", None), ("connect-refused", "allow")])
    t.equal(names_lab.all_denied(t), {})


@case(quick=True, gateways=OURS)
def allowed_is_allowed(t):
    t.serve(servers.echo, port=443)
    flight = tls_lab.records(tls_lab.hello(tls_lab.sni("site.example")))
    with t.guest(policy=gateway.policy_text(RULES, head=HEAD,
                                            tenant="")) as guest:
        guest.call("lookup", "site.example", 4)
        guest.call("pieces", "203.0.114.30", 443, [flight.hex()], fin=True)
        other = tls_lab.records(tls_lab.hello(tls_lab.sni("other.example")))
        guest.call("pieces", "203.0.114.30", 443, [other.hex()], fin=True)
    t.equal(last_line(guest), [1, 1, 0])


# ---- whoever dies ----------------------------------------------------------------------

PROOF = HEAD + "limits few { pending 4 unproven 3 rate 10000/s burst 10000 }\n"


def kill_under_load(t, guest, program, rng):
    flight = tls_lab.records(tls_lab.hello(tls_lab.sni("site.example")))
    guest.call("lookup", "site.example", 4)
    handles = [guest.start("burst", "203.0.114.30", 443, 40, flight.hex())]
    handles += [guest.start("pieces", "203.0.114.30", 443, [], wait=1.0)
                for _ in range(6)]
    time.sleep(rng.random() * 0.2)
    old = t.pid(program)
    os.kill(old, signal.SIGKILL)
    t.check(lab.wait_until(
        lambda: [p for p in t.pids(program) if p != old], 10),
        f"no new {program}: {guest.stderr()[-300:]}")
    for handle in handles:
        guest.finish(handle)


def killed(t, program, runs):
    """Under a load of dials, most of which wait for a slot or for first bytes: each
    connection that the server saw is in the log, with one end (the validator)."""
    rng = random.Random(program)
    server = t.serve(servers.echo, port=443)
    text = gateway.policy_text(RULES, head=PROOF, tenant="limits few\n")
    dialled = 0
    for _ in range(runs):
        with t.guest(policy=text, fds=False) as guest:
            for _ in range(3):
                kill_under_load(t, guest, program, rng)
        dialled += len(t.records("flow.dial"))
    t.check(runs * 10 < len(server.log) <= dialled,
            f"{len(server.log)} connections, {dialled} dials")
    t.note(f"{3 * runs} kills, {dialled} dials")


@case(gateways=OURS, timeout=300)
def dial_frame_killed(t):
    killed(t, "sallyport-frame", t.scale(7, 1))


@case(gateways=OURS, timeout=300)
def dial_recorder_killed(t):
    killed(t, "sallyport-recorder", t.scale(7, 1))


@case(gateways=OURS, timeout=300)
def dial_inspector_killed(t):
    killed(t, "sallyport-inspector", t.scale(7, 1))


# ---- the next address ----------------------------------------------------------------

def falls_back(t, first):
    """The guest chose the address, and it is the guest that learns that nobody is
    there and goes on to the next, as it would without us."""
    names_lab.need(t, "curl")
    live = "203.0.114.31"
    t.serve(servers.http(b"it works\n"), port=80, address=live)
    head = f'host "two.example" {first} {live}\n'
    text = gateway.policy_text('allow to name "two.example" port tcp 80 '
                               "verify host\n", head=head, tenant="")
    with t.guest(policy=text, fds=False) as guest:
        status, out, err = guest.call("run", [
            "curl", "-sS4", "--connect-timeout", "6", "http://two.example/"])
        t.equal((status, out), (0, "it works\n"), err)
    t.equal([r["h_dst"] for r in t.records("flow.dial")], [first, live])
    t.equal([(r["h_dst"], r["assurance"]) for r in t.records("flow.open")],
            [(live, "host")])


@case(quick=True, gateways=OURS)
def next_address_after_refused(t):
    falls_back(t, "203.0.114.30")


class Silent:
    """A listener whose queue is full: connects to it are not answered."""

    def __init__(self, t, address, port):
        with t.lab.internet:
            self.socks = [socket.socket() for _ in range(5)]
        listener = self.socks[0]
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(0)
        for filler in self.socks[1:]:
            filler.setblocking(False)
            filler.connect_ex((address, port))
        time.sleep(0.1)
        t.keep(self)

    def close(self):
        for sock in self.socks:
            sock.close()


@case(quick=True, gateways=OURS)
def next_address_after_black_hole(t):
    Silent(t, "203.0.114.30", 80)
    falls_back(t, "203.0.114.30")
