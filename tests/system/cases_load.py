"""Many open flows, and what they cost."""
import time

import lab
import servers
from trial import OURS, case

MIB = 1 << 20
# The frame's pool is 64 MiB and its RLIMIT_AS above that; the
# broker keeps a ledger entry and a socket for each flow.
FRAME_RSS_MAX = 96 * MIB
BROKER_RSS_MAX = 64 * MIB
RECORDER_RSS_MAX = 16 * MIB


@case(timeout=240)
def flows_8000(t):
    """8 000 flows, 1-byte segments, servers that never read: bounded memory."""
    server = t.serve(None, rcvbuf=4096)
    live = t.serve(servers.echo)
    with t.guest() as guest:
        for start in range(0, 8000, 1000):
            t.equal(guest.call("hold", lab.LIVE4, server.port, 1000,
                               payload=2), start + 1000)
        for _ in range(10):
            guest.call("trickle", 10)
        # All of them would fill the machine's TCP memory, not ours.
        taken = guest.call("fill", 100)
        if t.is_sallyport:
            check_memory(t)
        # The flood does not keep one more flow from working.
        times = guest.call("sequence", lab.LIVE4, live.port, 20)
        t.check(max(times) < 1, f"a new flow took {max(times):.1f} s")
        guest.call("release", reset=True)
        t.check(lab.wait_until(lambda: len(server.log) >= 8000, 10),
                f"{len(server.log)} accepted")
    t.note(f"{taken // MIB} MiB in flight")


def check_memory(t):
    for program, limit in (("sallyport-frame", FRAME_RSS_MAX),
                           ("sallyport-broker", BROKER_RSS_MAX),
                           ("sallyport-recorder", RECORDER_RSS_MAX)):
        size = lab.rss(t.pid(program))
        t.note(f"{program[10:]} {size / MIB:.1f} MiB")
        t.check(size <= limit, f"{program}: {size // MIB} MiB")


@case(quick=True, gateways=OURS)
def idle_costs_nothing(t):
    """A hundred idle flows: no process wakes up."""
    server = t.serve(None)
    with t.guest() as guest:
        guest.call("hold", lab.LIVE4, server.port, 100)
        before = {p: lab.cpu_ns(p) for p in t.gateway.pids()}
        time.sleep(1)
        for pid, start in before.items():
            used = (lab.cpu_ns(pid) - start) / 1e6
            t.check(used < 20, f"{lab.program(pid)}: {used:.1f} ms in 1 s")
        guest.call("release", reset=True)


@case(quick=True, gateways=OURS)
def no_spin_after_server_end(t):
    """Servers go on sending to flows that the guest has closed."""
    def flood(connection):
        try:
            while True:
                connection.sock.sendall(servers.BLOCK)
        except OSError:
            return None
    server = t.serve(flood)
    count = t.scale(1000, 100)
    with t.guest() as guest:
        guest.call("hold", lab.LIVE4, server.port, count)
        guest.call("release")
        lab.wait_until(lambda: server.ended.qsize() >= count, 5)
        t.equal(server.ended.qsize(), count, "connections that were reset")
        before = {p: lab.cpu_ns(p) for p in t.gateway.pids()}
        time.sleep(1)
        for pid, start in before.items():
            used = (lab.cpu_ns(pid) - start) / 1e6
            t.check(used < 20, f"{lab.program(pid)}: {used:.1f} ms in 1 s")


@case(timeout=120, gateways=OURS)
def syn_scan(t):
    """A scan of 20 000 ports of the internet: all refused, nothing left."""
    with t.guest() as guest:
        broker = t.pid("sallyport-broker")
        results = guest.call("scan", lab.LIVE4, 1, 20000)
        t.equal(set(results), {"ECONNREFUSED"})
        t.note(f"broker {lab.rss(broker) / MIB:.1f} MiB")
        t.check(lab.rss(broker) <= BROKER_RSS_MAX, "memory")


@case(timeout=150, gateways=OURS)
def udp_many_tuples(t):
    """100 000 distinct destinations: bounded, and gone when they are idle.

    A guest that fills its own quota may refuse itself, but not for ever.
    """
    live = t.serve(servers.echo)
    with t.guest(fds=False) as guest:
        guest.call("udp_spray", "203.0.118.9", 100000)
        frame, broker = t.pid("sallyport-frame"), t.pid("sallyport-broker")
        t.note(f"{lab.fd_count(broker)} fds in the broker")
        t.check(lab.fd_count(broker) <= 20100, "fds")
        t.check(lab.rss(frame) <= FRAME_RSS_MAX,
                f"frame {lab.rss(frame) // MIB} MiB")
        start = time.monotonic()
        again = lab.wait_until(lambda: guest.call(
            "connect", lab.LIVE4, live.port, 5)[0] == "ok", 60, step=0.5)
        t.check(again, "no TCP 60 s after the spray")
        t.note(f"TCP again after {time.monotonic() - start:.0f} s")
