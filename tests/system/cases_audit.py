"""The audit promise: acceptance 6 of the main job.

Calls of the recorder are delayed and failed by strace's injection. The text of
the log is judged by validate-audit.py and audit.faults() after every case.
"""
import os
import random
import select
import shutil
import signal
import subprocess
import time

import audit
import gateway
import lab
import nspace
import servers
from trial import OURS, case

DELAY = 0.2
SYNC = "fdatasync,fsync"
SYN = 2

MS_REMOUNT = 32                 # mount(2)


class Injection:
    """strace on a process, changing what its system calls do."""

    def __init__(self, t, pid, what):
        if not shutil.which("strace"):
            t.skip("no strace")
        self.log = os.path.join(t.gateway.directory, f"strace.{pid}")
        calls = what.split(":")[0]
        self.process = subprocess.Popen(
            ["strace", "-f", "-ttt", "-o", self.log, "-e", f"trace={calls}",
             "-e", f"inject={what}", "-p", str(pid)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        # strace says so once each thread of it has been stopped: not a call is missed
        ready, _, _ = select.select([self.process.stderr], [], [], 10)
        said = self.process.stderr.readline().decode() if ready else "nothing said"
        if " attached" not in said:
            self.process.kill()
            t.skip(f"strace may not attach here: {said.strip()}")

    def close(self):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()


def slow_log(t):
    return t.keep(Injection(t, t.pid("sallyport-recorder"),
                            f"{SYNC}:delay_enter={int(DELAY * 1e6)}"))


def durable(mode):
    return gateway.policy_text(head=gateway.MANY +
                               f"audit {{ durable {mode} }}\n")


def watched(t, wire, server, send):
    """(start, the read's result, segments of that one connection)."""
    start = time.monotonic()
    guest = t.gateway.guest
    got = guest.call("read", lab.LIVE4, server.port, send=send)
    port = server.next_end().peer[1]
    lab.wait_until(lambda: any(s[2] == port and s[4] & SYN
                               for s in list(wire.segments)), 2)
    return start, got, [s for s in list(wire.segments) if s[2] == port]


@case(quick=True, gateways=OURS)
def no_byte_before_the_record(t):
    """before-data: the SYN may leave, no payload byte passes either way."""
    server = t.serve(servers.greet(b"too early?"))
    wire = t.sniff()
    with t.guest(policy=durable("before-data")) as guest:
        slow_log(t)
        for _ in range(5):
            start, got, sent = watched(t, wire, server, 1000)
            t.equal(got["text"][:10], "too early?")
            t.check(got["connect"] > DELAY * 0.95, "the guest was connected "
                    f"after {got['connect'] * 1000:.0f} ms")
            early = [s for s in sent
                     if s[5] > 0 and s[0] < start + DELAY * 0.95]
            t.equal(early, [], "payload to the server")
            t.check(got["first"] > DELAY * 0.95, "payload to the guest "
                    f"after {got['first'] * 1000:.0f} ms")
        t.close()


@case(quick=True, gateways=OURS)
def no_syn_before_the_record(t):
    """before-connect: nothing at all leaves before the record is durable."""
    server = t.serve(servers.greet(b"hello"))
    wire = t.sniff()
    with t.guest(policy=durable("before-connect")) as guest:
        slow_log(t)
        for _ in range(5):
            start, got, sent = watched(t, wire, server, 0)
            t.equal(got["text"], "hello")
            t.check(sent, "nothing was seen on the wire")
            t.check(sent[0][0] > start + DELAY * 0.95, "a SYN left after "
                    f"{(sent[0][0] - start) * 1000:.0f} ms")
        t.close()


@case(quick=True, gateways=OURS)
def async_does_not_wait(t):
    """async: the guest does not wait for the disk."""
    server = t.serve(servers.greet(b"hello"))
    with t.guest(policy=durable("async")) as guest:
        slow_log(t)
        got = guest.call("read", lab.LIVE4, server.port)
        t.equal(got["text"], "hello")
        t.check(got["connect"] < DELAY * 0.8, "the guest waited "
                f"{got['connect'] * 1000:.0f} ms")
        t.close()


@case(quick=True, gateways=OURS)
def answer_and_close_slow_log(t):
    """The server has answered and closed before the record is durable."""
    server = t.serve(servers.greet(b"220 hello\r\n"))
    with t.guest() as guest:
        t.keep(Injection(t, t.pid("sallyport-recorder"),
                         f"{SYNC}:delay_enter=50000"))
        results = guest.call("reads", lab.LIVE4, server.port, 40)
        t.equal([r["text"] for r in results], ["220 hello\r\n"] * 40)
        t.equal({r["end"] for r in results}, {"fin"})
        t.close()


@case(quick=True, gateways=OURS)
def refusal_does_not_wait(t):
    """A refused connect is told to the guest without waiting for the disk."""
    with t.guest() as guest:
        slow_log(t)
        found, seconds = guest.call("connect", lab.LIVE4, 9)
        t.equal(found, "ECONNREFUSED")
        t.check(seconds < DELAY * 0.8, f"after {seconds * 1000:.0f} ms")
        t.close()


@case(quick=True, gateways=OURS)
def records_of_a_flow(t):
    """One open and one close, with bytes, both 5-tuples and the rule."""
    server = t.serve(servers.source)
    with t.guest() as guest:
        guest.call("download", lab.LIVE4, server.port, 123456)
        guest.call("download", lab.LIVE6, server.port, 10)
    opens, closes = t.records("flow.open"), t.records("flow.close")
    t.equal(len(opens), 2, "flow.open")
    peers = [c.peer for c in server.log]
    for opened, closed, peer, down, rule in zip(
            opens, closes, peers, (123456, 10), ("tcp4", "tcp6")):
        t.equal(opened["flow"], closed["flow"], "flow")
        t.equal(audit.field(opened, "g_dp"), server.port, "g_dp")
        t.equal(audit.field(opened, "h_sp"), peer[1], "h_sp")
        t.equal(opened["rule_id"], rule, "rule")
        t.equal(closed["down"], down, "down")
        t.equal(closed["up"], len(f"{down}\n"), "up")
        t.equal(closed["csrc"], "kernel", "csrc")
        t.equal(closed["reason"], "done", "reason")
    kinds = [r["type"] for r in t.records()]
    for kind in ("daemon.start", "policy.load", "guest.attach",
                 "guest.detach", "daemon.stop"):
        t.check(kind in kinds, f"no {kind} in {kinds}")


@case(quick=True, gateways=OURS)
def denies_add_up(t):
    """Aggregated or not, the log counts every refused attempt."""
    total = t.scale(20000, 3000)
    with t.guest(policy=gateway.policy_text(
            'deny to any port tcp 1-65535 label "none"\n')) as guest:
        for first in range(1, total + 1, 1000):
            found = guest.call("scan", lab.LIVE4, first, 1000)
            t.equal(set(found), {"ECONNREFUSED"})
        again = guest.call("syn_retransmits")
    records = t.records()
    # The guest's kernel also talks to multicast groups; the frame counts those.
    counted = audit.denied([r for r in records if r.get("csrc") != "frame"])
    # A SYN that was sent again before its RST came may count as one more.
    t.check(total <= counted <= total + again,
            f"{counted} attempts in the log, {total} made, {again} SYNs again")
    lines = len(audit.of_type(records, "flow.deny"))
    t.check(lines < total, "no aggregation")
    t.note(f"{lines} lines and "
           f"{len(audit.of_type(records, 'deny.agg'))} sums")


@case(quick=True, gateways=OURS)
def sync_fails(t):
    """EIO from the disk: new flows are refused, live ones go on, then again."""
    server, other = t.serve(servers.echo), t.serve(None)
    with t.guest() as guest:
        guest.call("sequence", lab.LIVE4, server.port, 3)
        guest.call("hold", lab.LIVE4, other.port, 1)
        broken = Injection(t, t.pid("sallyport-recorder"),
                           f"{SYNC}:error=EIO")
        # The first to meet the error may be the one that finds it.
        guest.call("connects", lab.LIVE4, server.port, 2, timeout=5)
        results = guest.call("connects", lab.LIVE4, server.port, 20, timeout=5)
        passed = [r for r in results if r[0] == "ok"]
        t.equal(passed, [], "flows that passed without a record")
        t.equal({r[0] for r in results}, {"ECONNREFUSED"})
        t.check(max(r[1] for r in results) < 1, "slow refusals")
        t.equal(guest.call("held_states"), {"ok": 1}, "the live flow")
        broken.close()
        again = lab.wait_until(lambda: guest.call(
            "connect", lab.LIVE4, server.port, 5)[0] == "ok", 35, step=0.3)
        t.check(again, "no flow passes although the disk works again")
        guest.call("release", reset=True)
    reasons = {r["reason"] for r in t.records("flow.deny", "deny.agg",
                                              "flow.close")}
    t.check("audit-unavailable" in reasons, f"reasons {reasons}")


@case(quick=True, gateways=OURS)
def disk_full(t):
    """A log on a 64 KiB tmpfs: refused when full, no torn line, whole again later."""
    server = t.serve(servers.greet(b"x"))
    small = t.lab.directory("small")
    nspace.mount("tmpfs", small, "tmpfs", 0,
                 f"size=64k,mode=700,uid={t.lab.uid},gid={t.lab.uid}")
    try:
        log = os.path.join(small, "audit.jsonl")
        # The log cannot be finished, and the exit status may say so.
        with t.guest(log=log, status=(0, 125), audit=False) as guest:
            results = []
            for _ in range(20):
                results += guest.call("connects", lab.LIVE4, server.port, 50)
            outcomes = [r[0] for r in results]
            t.equal(set(outcomes), {"ok", "ECONNREFUSED"})
            first = outcomes.index("ECONNREFUSED")
            t.note(f"{first} flows fitted")
            t.equal(set(outcomes[first + 2:]), {"ECONNREFUSED"},
                    "after the first refusal")
        t.equal(audit.torn(log), b"", "a torn line")
        opened = len(t.records("flow.open"))
        t.check(outcomes.count("ok") <= opened,
                f"{outcomes.count('ok')} connections, {opened} opens")
        # Closes that found no room are written by the next one, when there is.
        nspace.mount("tmpfs", small, "tmpfs", MS_REMOUNT, "size=4m")
        with t.guest(log=log) as guest:
            t.equal(guest.call("connects", lab.LIVE4, server.port, 1)[0][0],
                    "ok", "with room again")
    finally:
        nspace.umount(small)
        os.rmdir(small)


@case(quick=True, gateways=OURS)
def log_goes_on(t):
    """A second run continues the first one's log, without a gap."""
    server = t.serve(servers.greet(b"x"))
    for _ in range(3):
        log = t.gateway.log if t.gateway else None
        with t.guest(log=log) as guest:
            guest.call("connects", lab.LIVE4, server.port, 2)
    t.equal(len(t.records("flow.open")), 6)
    t.equal(len(t.records("daemon.start")), 3)


@case(gateways=OURS, timeout=60)
def rotation(t):
    """Segments by size: seq runs through them."""
    server = t.serve(servers.greet(b"x"))
    text = gateway.policy_text(head=gateway.MANY +
                               "audit { rotate 64K }\n")
    with t.guest(policy=text) as guest:
        guest.call("connects", lab.LIVE4, server.port, 500)
    segments = audit.files(t.gateway.log)
    t.check(len(segments) > 3, f"{len(segments)} segments")
    t.equal(len(t.records("flow.open")), 500)


# ---- kills ------------------------------------------------------------------------

def load_server(t):
    """Notes each byte received, by the client's port: the host-side flow."""
    def handler(connection):
        count, _ = servers.drain(connection.sock)
        connection.sock.sendall(b"ok")
        return count
    return t.serve(handler)


def check_promise(t, server, records):
    """Every connection whose server got a byte has its open record."""
    opened = {(audit.field(r, "h_sp"), audit.field(r, "h_dp"))
              for r in audit.of_type(records, "flow.open")}
    missing = []
    for connection in server.log:
        count = connection.data
        if count and (connection.peer[1], server.port) not in opened:
            missing.append(connection.peer[1])
    t.equal(missing, [], "connections with data and without flow.open")


def kill_under_load(t, program, kills, back):
    """SIGKILLs under load; the guest lives, and is served again in a second."""
    server = load_server(t)
    rng = random.Random(20)
    with t.guest(fds=False) as guest:
        handles = [guest.start("load", lab.LIVE4, server.port, kills * 0.45)
                   for _ in range(4)]
        for _ in range(kills):
            time.sleep(0.05 + rng.random() * 0.2)
            old = t.pid(program)
            os.kill(old, signal.SIGKILL)
            again = lab.wait_until(
                lambda: [p for p in t.pids(program) if p != old], back)
            t.check(again, f"no new {program} within {back} s")
        total = {}
        for handle in handles:
            for key, n in guest.finish(handle).items():
                total[key] = total.get(key, 0) + n
        works = lab.wait_until(lambda: guest.call(
            "load", lab.LIVE4, server.port, 0.2).get("ok"), 35, step=0.2)
        t.check(works, "no connection after the last kill")
        t.note(f"{total}")
    check_promise(t, server, t.records())


@case(gateways=OURS, timeout=600)
def kill_frame(t):
    """Back-off doubles up to 30 s, so fewer kills in one run: many runs."""
    for _ in range(t.scale(17, 2)):
        kill_under_load(t, "sallyport-frame", 3, 5)


@case(gateways=OURS, timeout=600)
def kill_recorder(t):
    for _ in range(t.scale(17, 2)):
        kill_under_load(t, "sallyport-recorder", 3, 5)


def kill_the_whole(t, program, kills):
    """Death of keeper, broker or command ends the run, and all of it."""
    server = load_server(t)
    rng = random.Random(21)
    log = os.path.join(t.lab.directory(f"kills-{program}"), "audit.jsonl")
    for _ in range(kills):
        run = t.guest(log=log, fds=False)
        guest = run.__enter__()
        handles = [guest.start("load", lab.LIVE4, server.port, 5)
                   for _ in range(4)]
        time.sleep(0.05 + rng.random() * 0.3)
        os.kill(guest.process.pid if program == "sallyport"
                else t.pid(program), signal.SIGKILL)
        t.check(lab.wait_until(lambda: not run.pids(), 3),
                f"alive 3 s later: "
                f"{[lab.program(p) for p in run.pids()]}")
        status = guest.process.wait(5)
        wanted = -signal.SIGKILL if program == "sallyport" else 125
        t.equal(status, wanted, "exit status")
        guest.process.stdout.close()
        del handles
    # The next run closes what the dead ones left open.
    with t.guest(log=log):
        pass
    check_promise(t, server, t.records())
    shutil.rmtree(os.path.dirname(log))


@case(gateways=OURS, timeout=600)
def kill_broker(t):
    kill_the_whole(t, "sallyport-broker", t.scale(50, 5))


@case(gateways=OURS, timeout=600)
def kill_keeper(t):
    kill_the_whole(t, "sallyportd", t.scale(50, 5))


@case(gateways=OURS, timeout=600)
def kill_command(t):
    kill_the_whole(t, "sallyport", t.scale(50, 5))


@case(gateways=OURS)
def kill_each_once(t):
    """The quick form: every process dies once."""
    kill_under_load(t, "sallyport-frame", 1, 5)
    kill_under_load(t, "sallyport-recorder", 1, 5)
    for program in ("sallyport-broker", "sallyportd", "sallyport"):
        kill_the_whole(t, program, 1)


@case(gateways=OURS, timeout=60)
def stopped_frame(t):
    """A frame that is stopped for 5 s and goes on: the flow lives."""
    server = t.serve(servers.take)
    with t.guest() as guest:
        frame = t.pid("sallyport-frame")
        handle = guest.start("upload", lab.LIVE4, server.port, 1 << 30)
        time.sleep(0.2)
        os.kill(frame, signal.SIGSTOP)
        time.sleep(5)
        os.kill(frame, signal.SIGCONT)
        _, digest, answer = guest.finish(handle)
        t.equal(answer, f"{1 << 30} {digest}\n")
