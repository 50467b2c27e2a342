"""No name leaves the host without its record, whoever dies and in whatever order:
what an upstream has seen is in the log.
"""
import os
import random
import shutil
import signal
import time

import dnswire
import gateway
import lab
import names_lab
import stream
from names_lab import LIAR4
from trial import OURS, case

WILD, EXACT = "wild.example.net", "exact.example.net"
RULES = (f'allow to name "**.{WILD}" port tcp 443 label "wild"\n'
         + "".join(f'allow to name "e{i}.{EXACT}" port tcp 443\n'
                   for i in range(20)))
ADDRESS = "203.0.114.11"
FLOOD = 400


def policy():
    return names_lab.policy(RULES, upstreams=(LIAR4,))


def authority(t, seconds=0.0):
    """Knows every name, and after a while says so."""
    def found(_name, qtype):
        return {qtype: (60, [ADDRESS])} if qtype == dnswire.A else {}
    answer = dnswire.zone_answer({f"*.{WILD}": found, f"*.{EXACT}": found})
    return t.keep(dnswire.Authority(t.lab.internet, [LIAR4],
                                    dnswire.slowly(seconds, answer)))


def all_are_there(t, server):
    """The promise. How many names there were."""
    seen = {name.lower() for name in server.names()}
    asked = {r["name"] for r in t.records("dns.ask")}
    missing = sorted(seen - asked)
    t.equal(missing[:5], [], f"{len(missing)} of {len(seen)} names that an "
            "upstream saw are not in the log")
    return len(seen)


def some_names(number):
    """Questions for names that nobody has asked for yet, and a few that many
    have."""
    wild = [f"s{number + i}-{os.urandom(6).hex()}.{WILD}" for i in range(FLOOD)]
    return [name if i % 8 else f"e{i // 8 % 20}.{EXACT}"
            for i, name in enumerate(wild)]


def flood(guest, number):
    return guest.start("dns", gateway.GATEWAY4, 53,
                       [dnswire.query(n).hex() for n in some_names(number)],
                       timeout=1.0, gap=0.0005)


@case(quick=True, gateways=OURS)
def asked_and_gone(t):
    """50 names under a wildcard, an authority that is slow, and a command that
    does not wait for it."""
    server = authority(t, 1.0)
    names = [f"secret-{i:02}-{os.urandom(8).hex()}.{WILD}" for i in range(50)]
    with t.guest(policy=policy()) as guest:
        guest.start("dns", gateway.GATEWAY4, 53,
                    [dnswire.query(n).hex() for n in names], timeout=0.2)
        lab.wait_until(lambda: len(server.names()) >= 50, 2)
    t.equal(all_are_there(t, server), 50, "names that the upstream saw")
    ends = t.records("dns")
    t.equal({r["name"] for r in ends}, set(names))
    t.equal({r.get("reason") for r in ends} - {"shutdown", "guest-detach",
                                               "frame-died"}, set())


def killed(t, server, program, kills, runs):
    """SIGKILLs under a flood of names; the run goes on."""
    rng = random.Random(program)
    for _ in range(runs):
        with t.guest(policy=policy(), fds=False) as guest:
            for _ in range(kills):
                handle = flood(guest, len(server.asked))
                time.sleep(rng.random() * 0.3)
                old = t.pid(program)
                os.kill(old, signal.SIGKILL)
                t.check(lab.wait_until(
                    lambda: [p for p in t.pids(program) if p != old], 10),
                    f"no new {program}")
                guest.finish(handle)
        saw = all_are_there(t, server)
        t.check(saw > 20, f"no load: {saw} names")
        server.asked.clear()
    t.note(f"{kills * runs} kills")


@case(gateways=OURS, timeout=600)
def asked_frame_killed(t):
    killed(t, authority(t), "sallyport-frame", 3, t.scale(14, 1))


@case(gateways=OURS, timeout=600)
def asked_recorder_killed(t):
    killed(t, authority(t), "sallyport-recorder", 3, t.scale(14, 1))


@case(gateways=OURS, timeout=600)
def asked_resolver_killed(t):
    killed(t, authority(t), "sallyport-resolver", 3, t.scale(14, 1))


def broker_killed(t, server, kills):
    """It takes the run with it; the next one ends what was left open."""
    rng = random.Random(7)
    log = os.path.join(t.lab.directory("asked"), "audit.jsonl")
    for _ in range(kills):
        run = t.guest(policy=policy(), log=log, fds=False)
        guest = run.__enter__()
        flood(guest, len(server.asked))
        time.sleep(rng.random() * 0.3)
        os.kill(t.pid("sallyport-broker"), signal.SIGKILL)
        t.check(lab.wait_until(lambda: not run.pids(), 5), "still there")
        guest.process.wait(5)
        guest.process.stdout.close()
        run.guest = None
    with t.guest(policy=policy(), log=log):
        pass
    t.check(all_are_there(t, server) > kills, "no load")
    left = [r for r in t.records("dns") if r.get("reason") == "unknown-crash"]
    t.note(f"{kills} kills, {len(left)} questions ended by the recorder")
    shutil.rmtree(os.path.dirname(log))


@case(gateways=OURS, timeout=600)
def asked_broker_killed(t):
    broker_killed(t, authority(t), t.scale(40, 4))


def hung_up(t, server, times):
    """Clients of `serve` that ask and are gone."""
    rng = random.Random(8)
    with stream.serve(t, policy=policy()) as link:
        for _ in range(times):
            guest = link.attach()
            for i, name in enumerate(some_names(len(server.asked))):
                guest.send_udp(gateway.GATEWAY4, 2000 + i, 53,
                               dnswire.query(name))
            time.sleep(rng.random() * 0.2)
            guest.close()
    t.check(all_are_there(t, server) > times, "no load")
    gone = {r["reason"] for r in t.records("dns") if "reason" in r}
    t.check("guest-detach" in gone, f"reasons {gone}")


@case(gateways=OURS, timeout=600)
def asked_hung_up(t):
    hung_up(t, authority(t, 0.2), t.scale(40, 4))


@case(quick=True, gateways=OURS, timeout=120)
def asked_and_killed(t):
    """The quick form: some of each."""
    server = authority(t)
    for program in ("frame", "recorder", "resolver"):
        killed(t, server, f"sallyport-{program}", 2, 2)
    broker_killed(t, server, 4)
    server.asked.clear()
    hung_up(t, server, 4)
