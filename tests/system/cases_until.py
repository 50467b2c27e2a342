"""Rules that end (`until`) while what they let through is under way."""
import datetime
import time

import gateway
import lab
import servers
import tls_lab
from cases_floor import PROHIBITED
from cases_names import refused
from trial import OURS, case

NAME, STAYS = "ends.example", "stays.example"
HOSTS = (f'host "{NAME}" {lab.LIVE4}\nhost "{STAYS}" {lab.LIVE4}\n')
AHEAD = 8                               # seconds, from when the policy is written


def date(at):
    return datetime.datetime.fromtimestamp(
        at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def hello(name):
    return tls_lab.records(tls_lab.hello(tls_lab.sni(name)))


@case(quick=True, gateways=OURS)
def until_under_a_flow(t):
    """A rule ends under live flows, TCP and UDP: those that only it lets through are
    taken back within moments, what another rule lets through as well goes on, and
    nothing new begins."""
    ends, stays = t.serve(servers.echo), t.serve(servers.echo)
    away = t.keep(servers.UdpServer(t.lab.internet, "::", port=9))
    t.serve(servers.echo, port=443)
    at = int(time.time()) + AHEAD
    rules = (
        f'allow to net {lab.LIVE4} port tcp {{ {ends.port} {stays.port} }} '
        f'port udp 9 until {date(at)} label "brief" ticket "OPS-7"\n'
        f'allow to net {lab.LIVE4} port tcp {stays.port} label "long"\n'
        f'allow to name "{NAME}" port tcp 443 until {date(at)} label "name"\n'
        f'allow to name "{STAYS}" port tcp 443\n')
    with t.guest(policy=gateway.policy_text(rules, head=HOSTS,
                                            tenant="")) as guest:
        guest.call("lookup", NAME)
        guest.call("lookup", STAYS)
        guest.call("hold", lab.LIVE4, ends.port, 1)
        guest.call("hold", lab.LIVE4, stays.port, 1)
        sender = guest.start("udp_on", lab.LIVE4, 9, AHEAD + 4)
        t.check(lab.wait_until(lambda: len(away.log) > 0, 2), "nothing arrives")
        t.equal(guest.call("held_states"), {"ok": 2}, "before")
        t.check(time.time() < at, f"{time.time() - at:.1f} s late: no test")
        error, _, sent = guest.finish(sender)
        late = time.time() - at
        t.check(error in PROHIBITED, f"UDP: {error} after {sent} datagrams")
        t.check(0 <= late < 2, f"UDP: {late:.1f} s after the end")
        t.check(lab.wait_until(lambda: guest.call("held_states") ==
                               {"ECONNRESET": 1, "ok": 1}, 2),
                f"TCP: {guest.call('held_states')}")
        t.equal(guest.call("connect", lab.LIVE4, ends.port)[0], "ECONNREFUSED")
        t.equal(guest.call("connect", lab.LIVE4, stays.port)[0], "ok")
        t.equal(guest.call("lookup", NAME)[0], "EAI_NONAME", "it resolves")
        t.equal(guest.call("burst", lab.LIVE4, 443, 1,
                           hello(STAYS).hex())["outcomes"], {"ok": 1})
        t.equal("ok" in guest.call("burst", lab.LIVE4, 443, 1,
                                   hello(NAME).hex())["outcomes"], False)
        guest.call("release")
    closed = [r for r in t.records("flow.close")
              if r["reason"] == "rule-expired"]
    t.equal(sorted(r["proto"] for r in closed), ["tcp", "udp"], "taken back")
    # the sender's next datagram, too, if it was quicker than the answer to the last
    denied = {r["rule_id"] for r in t.records("flow.deny")
              if r["reason"] == "rule-expired"}
    t.equal(denied, {"brief", "name"}, "refused, and by which rule")
    t.equal(set(refused(t)), {(NAME, "rule-expired")}, "no longer resolved")
