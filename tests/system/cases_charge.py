"""What a guest can make the host keep: lines of the log, memory of the kernel."""
import os
import re
import subprocess
import time

import audit
import gateway
import lab
import servers
from trial import OURS, case

CLOSED = 9                              # nobody listens there
SMALL = "limits small { rate 100000/s burst 100000 audit 8K/s burst 256K }\n"
SLACK = 16 << 10                        # the log's own lines, sums for each reason
AT_ONCE = 50                            # flows that begin together: the end of one that
                                        # lives is written, whatever is left


def log_size(t):
    return sum(os.path.getsize(p) for p in audit.files(t.gateway.log))


def sockets_hold(t):
    """Bytes of kernel memory in the broker's sockets."""
    with t.lab.host:
        found = subprocess.run(["ss", "-tmnH", "dst", lab.LIVE4], check=True,
                               capture_output=True, text=True).stdout
    return sum(int(r) + int(w) for r, w in
               re.findall(r"skmem:\(r(\d+),rb\d+,t\d+,tb\d+,f\d+,w(\d+)", found))


def failed(t):
    """Connects that the log says have failed, in full and counted."""
    return len(t.records("flow.close")) + sum(
        r["n"] for r in t.records("fail.agg"))


@case(quick=True, gateways=OURS)
def refused_connects_are_counted(t):
    """Ten are told in full; all were, at 1.2 KB each, 106 GB a day."""
    with t.guest() as guest:
        results = guest.call("connects", lab.LIVE4, CLOSED, 1500)
        t.equal({r[0] for r in results}, {"ECONNREFUSED"})
    t.equal(failed(t), 1500)
    t.equal(len(t.records("flow.open")), 10, "in full")
    t.check(log_size(t) < 40000, f"{log_size(t)} bytes of log")
    t.validate(t.gateway.log)


@case(quick=True, gateways=OURS)
def log_within_its_rate(t):
    """A scan, then flows until there is no room for their lines: what the log grows
    by is what the policy says, and all is accounted for."""
    server = t.serve(servers.echo)
    policy = gateway.policy_text(head=SMALL, tenant="limits small\n")
    with t.guest(policy=policy) as guest:
        start = time.monotonic()
        found = guest.call("scan", lab.LIVE4, 10000, 3000)
        t.equal(found, {"ECONNREFUSED": 3000})
        guest.call("sequence", lab.LIVE4, server.port, 20)   # room is left
        passed = 20
        for _ in range(20):
            results = guest.call("connects", lab.LIVE4, server.port, AT_ONCE)
            t.equal({r[0] for r in results} - {"ok", "ECONNREFUSED"}, set())
            passed += sum(r[0] == "ok" for r in results)
    allowed = (256 << 10) + (8 << 10) * (time.monotonic() - start) + SLACK + \
        AT_ONCE * 1024
    size = log_size(t)
    t.note(f"{size >> 10} KiB of {int(allowed) >> 10}")
    t.check(allowed / 2 < size < allowed, f"{size} bytes, not {allowed:.0f}")
    t.equal(len(server.log), passed, "accepted")
    t.equal(len(t.records("flow.open")) + sum(
        r["n"] for r in t.records("fail.agg")), 3000 + passed)
    denied = [r for r in t.records("flow.deny", "deny.agg")
              if r.get("csrc") != "frame"]      # nor the guest's own multicast
    t.equal(sum(r.get("n", 1) for r in denied), 1020 - passed)
    t.equal({r["reason"] for r in denied}, {"audit-rate"})
    t.equal([r["detail"] for r in t.records("limit")], ["audit-rate"])
    t.validate(t.gateway.log)


@case(quick=True, gateways=OURS, timeout=90)
def peers_that_do_not_read(t):
    """What waits in the kernel for them is a part of a megabyte each: it was up to
    4 MB, of 4 096 flows."""
    server = t.serve(None, rcvbuf=4096)
    count = t.scale(200, 60)
    with t.guest() as guest:
        guest.call("hold", lab.LIVE4, server.port, count)
        for _ in range(8):
            guest.call("fill", count)
            time.sleep(0.2)
        held = sockets_hold(t)
        t.note(f"{held / count / 1024:.0f} KiB each")
        t.check(50 << 10 < held / count < 450 << 10,
                f"{held >> 20} MiB in {count} sockets")
        guest.call("release", reset=True)


@case(gateways=OURS, timeout=90)
def kernel_memory_limit(t):
    """Beyond the limit the largest flows are ended; small ones and the guest's
    next ones are not hurt."""
    stuck = t.serve(None, rcvbuf=4096)
    live = t.serve(servers.echo)
    head = "limits small { kernel-memory 4M rate 10000/s burst 10000 }\n"
    policy = gateway.policy_text(head=head, tenant="limits small\n")
    with t.guest(policy=policy) as guest:
        guest.call("hold", lab.LIVE4, stuck.port, 40)
        for _ in range(8):
            guest.call("fill", 40)
            time.sleep(0.3)
        bounded = lab.wait_until(lambda: sockets_hold(t) < 5 << 20, 10)
        t.check(bounded, f"{sockets_hold(t) >> 20} MiB held")
        ended = t.records("flow.close")
        t.check(0 < len(ended) < 40, f"{len(ended)} of 40 flows were ended")
        t.equal({r["reason"] for r in ended}, {"kernel-memory"})
        guest.call("release", reset=True)
        again = lab.wait_until(lambda: guest.call(
            "connect", lab.LIVE4, live.port)[0] == "ok", 5, step=0.2)
        t.check(again, "no room came back")
    t.check("kernel-memory" in {r["detail"] for r in t.records("limit")},
            "no limit record")
