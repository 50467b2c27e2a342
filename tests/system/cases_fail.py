"""Failures as the guest sees them: acceptance 3 of the main job."""
import os
import signal
import statistics
import threading
import time

import gateway
import lab
import servers
from trial import OURS, case

NOTHING = 'allow to net 203.0.114.11 port tcp 1 label "one"\n'


def same_as_reference(t, guest, dst, port, timeout=10):
    wanted, plain = t.reference("connect", dst, port, timeout)
    found, seconds = guest.call("connect", dst, port, timeout)
    t.equal(found, wanted, dst)
    t.check(seconds < plain + 0.3,
            f"{dst}: after {seconds:.1f} s, {plain:.1f} without a gateway")
    return found


@case(quick=True, differs={"pasta": "some refused connects time out"})
def closed_port(t):
    with t.guest() as guest:
        for dst in (lab.LIVE4, lab.LIVE6):
            results = guest.call("connects", dst, 9, 20)
            t.equal({r[0] for r in results}, {"ECONNREFUSED"}, dst)
            slowest = max(r[1] for r in results)
            t.check(slowest < 0.2, f"{dst}: {slowest * 1000:.0f} ms")
    if t.is_sallyport:
        closes, summed = t.records("flow.close"), t.records("fail.agg")
        t.equal(len(closes) + sum(r["n"] for r in summed), 40, "told")
        t.check(len(closes) >= 20, f"{len(closes)} in full")
        t.equal({r["reason"] for r in closes + summed}, {"connect-refused"})
        t.equal({r["up"] for r in closes} | {r["down"] for r in closes}, {0})


@case(quick=True, differs={"pasta": "every failure is a reset"})
def unreachable(t):
    """A router's ICMP error: the errno is that of the plain path."""
    with t.guest() as guest:
        for dst in t.scale((lab.NOHOST4, lab.NOHOST6, lab.NONET4, lab.NONET6),
                           (lab.NOHOST4, lab.NONET6)):
            found = same_as_reference(t, guest, dst, 80)
            t.check(found in ("EHOSTUNREACH", "ENETUNREACH"), f"{dst} {found}")


@case(timeout=60, differs={"pasta": "every failure is a reset",
                           "direct": "the host is the router here"})
def nobody_on_the_link(t):
    """No neighbour answers: the host's kernel says so after 3 s."""
    with t.guest() as guest:
        for dst in (lab.NOBODY4, lab.NOBODY6):
            same_as_reference(t, guest, dst, 80, 15)


def quick_and_recorded(t, guest, dst, port, reasons):
    results = guest.call("connects", dst, port, 100)
    t.equal({r[0] for r in results}, {"ECONNREFUSED"}, dst)
    times = [r[1] for r in results]
    median, slowest = statistics.median(times), max(times)
    t.check(median < 0.005, f"{dst}: median {median * 1000:.1f} ms")
    t.check(slowest < 0.2, f"{dst}: slowest {slowest * 1000:.0f} ms")
    t.note(f"{dst}: median {median * 1e6:.0f} us, "
           f"slowest {slowest * 1000:.1f} ms")
    return len(results), reasons


@case(quick=True, gateways=OURS)
def denied(t):
    """Refused at once, and every attempt is in the log with its reason."""
    rules = NOTHING + ('deny to net 203.0.114.12 port tcp 1-65535 '
                       'label "never"\n')
    want = {}
    with t.guest(policy=gateway.policy_text(rules)) as guest:
        for dst, reason in ((lab.LIVE4, "default-deny"),
                            (lab.LIVE6, "default-deny"),
                            ("203.0.114.12", "deny-rule"),
                            ("10.1.2.3", "floor-special"),
                            ("127.0.0.2", None),
                            (lab.METADATA4, "floor-metadata"),
                            (lab.HOST4, "floor-local")):
            if reason is None:
                continue                # the guest's own loopback
            count, reason = quick_and_recorded(t, guest, dst, 80, reason)
            want[reason] = want.get(reason, 0) + count
    found = {}
    for record in t.records("flow.deny", "deny.agg"):
        n = record.get("n", 1) if record["type"] == "deny.agg" else 1
        found[record["reason"]] = found.get(record["reason"], 0) + n
    t.equal(found, want, "attempts by reason")
    rules = {r["reason"]: (r.get("rule_id"), r.get("loc"))
             for r in t.records("flow.deny")}
    t.equal(rules["deny-rule"][0], "never", "rule")
    t.check(":" in (rules["deny-rule"][1] or ""), f"loc {rules}")


@case(quick=True, gateways=OURS)
def floor_is_below_allow(t):
    """An allow rule for any does not reach below the floor."""
    rules = f'allow to any port tcp {gateway.PORTS} label "all"\n'
    targets = [lab.METADATA4, "10.0.0.1", "192.168.1.1", "172.16.0.1",
               "100.64.0.1", "168.63.129.16", "198.18.0.1", "192.88.99.1",
               lab.HOST4, lab.HOST6, "fd00::1", "::ffff:10.0.0.1",
               "64:ff9b::a00:1", "2002:a00:1::1", "2001:db8::1"]
    server = t.serve(servers.greet(b"x"), netns=t.lab.host)
    with t.guest(policy=gateway.policy_text(rules)) as guest:
        for dst in targets:
            found, _ = guest.call("connect", dst, server.port)
            t.equal(found, "ECONNREFUSED", dst)
    t.equal(len(server.log), 0, "connections to the host")
    t.equal(t.records("flow.open"), [], "flow.open")


@case(quick=True, gateways=OURS)
def audit_mode(t):
    """Lets through what the policy refuses, says so; the floor still holds."""
    server = t.serve(servers.greet(b"hello"))
    text = gateway.policy_text(NOTHING, mode="mode audit")
    with t.guest(policy=text) as guest:
        got = guest.call("read", lab.LIVE4, server.port)
        t.equal(got["text"], "hello")
        found, _ = guest.call("connect", lab.METADATA4, 80)
        t.equal(found, "ECONNREFUSED", "metadata")
    opens = t.records("flow.open")
    t.equal([r["verdict"] for r in opens], ["audit-deny"])
    t.equal([r["reason"] for r in opens], ["default-deny"])
    t.equal([r["reason"] for r in t.records("flow.deny")], ["floor-metadata"])


@case(quick=True, gateways=OURS)
def host_service(t):
    """A named service of the host's loopback, at the gateway's address."""
    server = t.serve(servers.greet(b"metrics"), netns=t.lab.host,
                     address="127.0.0.1")
    other = t.serve(servers.greet(b"no"), netns=t.lab.host,
                    address="127.0.0.1")
    head = f"host-service metrics 127.0.0.1:{server.port} tcp\n"
    text = gateway.policy_text("allow to host-service metrics label \"m\"\n",
                               head=head, tenant="")
    with t.guest(policy=text) as guest:
        got = guest.call("read", gateway.GATEWAY4, server.port)
        t.equal(got["text"], "metrics")
        found, _ = guest.call("connect", gateway.GATEWAY4, other.port)
        t.equal(found, "ECONNREFUSED", "a port that no service names")
    t.equal(len(other.log), 0)


@case(quick=True)
def black_hole(t):
    """The guest's own timeout; other connections are not held up by it."""
    server = t.serve(servers.greet(b"x"))
    # Without a reset from the guest, connects go on until their own timeout.
    with t.guest(fds=False) as guest:
        hanging = [guest.start("connect", hole, 80, 2)
                   for hole in (lab.HOLE4, lab.HOLE6)]
        results = guest.call("connects", lab.LIVE4, server.port, 50)
        t.equal({r[0] for r in results}, {"ok"})
        slowest = max(r[1] for r in results)
        t.check(slowest < 0.2, f"a live host took {slowest * 1000:.0f} ms")
        for handle in hanging:
            found, seconds = guest.finish(handle)
            t.equal(found, "timeout")
            t.check(1.9 < seconds < 3, f"after {seconds:.1f} s")


@case(gateways=OURS, timeout=120)
def connect_gives_up(t):
    """A held SYN that nobody asks for any more does not hold its slot on."""
    with t.guest() as guest:
        base = lab.fd_count(t.pid("sallyport-broker"))
        guest.call("start_connects", lab.HOLE4, 80, 20)
        t.check(lab.wait_until(
            lambda: lab.fd_count(t.pid("sallyport-broker")) >= base + 20, 3),
            "no connects under way")
        guest.call("release")
        left = lab.wait_until(
            lambda: lab.fd_count(t.pid("sallyport-broker")) == base, 90,
            step=0.5)
        t.check(left, "sockets still there 90 s later")
    t.equal({r["reason"] for r in t.records("flow.close")} -
            {"connect-timeout", "guest-cancel", "guest-timeout"}, set())


@case(quick=True, gateways=OURS)
def conns_limit(t):
    server = t.serve(servers.echo)
    head = "limits few { conns 50 }\n"
    with t.guest(policy=gateway.policy_text(head=head,
                                            tenant="limits few\n")) as guest:
        t.equal(guest.call("hold", lab.LIVE4, server.port, 50), 50)
        found, _ = guest.call("connect", lab.LIVE4, server.port)
        t.equal(found, "ECONNREFUSED", "the 51st")
        guest.call("release", reset=True)
        again = lab.wait_until(lambda: guest.call(
            "connect", lab.LIVE4, server.port)[0] == "ok", 5, step=0.2)
        t.check(again, "no slot came back")
    t.check("conns" in {r["reason"] for r in t.records("flow.deny",
                                                       "deny.agg")},
            "no flow.deny with reason conns")


@case(quick=True, gateways=OURS)
def rate_limit(t):
    """What is over the rate is dropped, and comes again: in a second there is room."""
    server = t.serve(servers.greet(b"x"))
    head = "limits slow { rate 10/s burst 20 }\n"
    with t.guest(policy=gateway.policy_text(head=head,
                                            tenant="limits slow\n")) as guest:
        results = guest.call("connects", lab.LIVE4, server.port, 40, 0.02)
        passed = sum(r[0] == "ok" for r in results)
        t.check(20 <= passed < 40, f"{passed} of 40 passed")
        t.equal({r[0] for r in results} - {"ok"}, {"timeout"})
        t.equal(len(server.log), passed, "accepted")
        start = time.monotonic()
        t.equal(guest.call("at_once", lab.LIVE4, server.port, 25, 0), {})
        t.check(time.monotonic() - start < 20, "all of them, soon")
    t.check(any(r["reason"] == "rate" for r in t.records("flow.deny")), "rate")


@case(gateways=OURS, timeout=30)
def lifetime_and_idle(t):
    """Flows end by their limits, with a reset and the reason."""
    server = t.serve(None)
    head = "limits short { lifetime 4s }\nlimits quiet { idle 2s }\n"
    for limit, reason in (("short", "lifetime"), ("quiet", "idle")):
        text = gateway.policy_text(head=head, tenant=f"limits {limit}\n")
        with t.guest(policy=text) as guest:
            guest.call("hold", lab.LIVE4, server.port, 3)
            ended = lab.wait_until(lambda: guest.call("held_states") ==
                                   {"ECONNRESET": 3}, 8, step=0.2)
            t.check(ended, f"{limit}: {guest.call('held_states')}")
            guest.call("release")
        t.equal({r["reason"] for r in t.records("flow.close")}, {reason})


def fill(pipe):
    os.set_blocking(pipe, False)
    try:
        while True:
            os.write(pipe, b" " * 4096)
    except BlockingIOError:
        os.set_blocking(pipe, True)


@case(quick=True, gateways=OURS)
def nobody_reads_stderr(t):
    """A pager that waits for a key stops neither flows nor a restart."""
    server = t.serve(servers.echo)
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as ours, \
            t.guest(fds=False, stderr=writer) as guest:
        fill(writer)
        os.close(writer)
        old = t.pid("sallyport-recorder")
        os.kill(old, signal.SIGKILL)
        t.check(lab.wait_until(lambda: [
            p for p in t.pids("sallyport-recorder") if p != old], 3),
                "no recorder, after its death could not be told")
        works = lab.wait_until(lambda: guest.call(
            "connect", lab.LIVE4, server.port, 5)[0] == "ok", 5)
        t.check(works, "no connection while nobody reads stderr")
        threading.Thread(target=ours.read, daemon=True).start()


def waits(pid, fd):
    with open(f"/proc/{pid}/fdinfo/{fd}") as info:
        flags = next(line for line in info if line.startswith("flags:"))
    return int(flags.split()[1], 8) & os.O_NONBLOCK == 0


@case(quick=True, gateways=OURS)
def stderr_cannot_wait(t):
    """poll(2) calls a terminal writable that has room for half a line, and a pipe
    that others fill meanwhile. What is the caller's own stays as it was."""
    for ours, writer in (os.pipe(), os.openpty()):
        if t.lab.root and t.lab.user:   # a user's own are the user's
            os.fchown(writer, t.lab.uid, t.lab.uid)
        with t.guest(fds=False, stderr=writer):
            t.check(not waits(t.pid("sallyportd"), 2), "the keeper waits")
            t.check(not waits(t.pid("sallyport-broker"), 5), "the broker waits")
            t.check(os.get_blocking(writer), "the caller does not wait")
        os.close(ours)
        os.close(writer)
