"""Something leaves the host, and the log does not say so."""
import os
import signal
import socket
import threading
import time

import audit
import dnswire
import gateway
import lab as lablib
import servers
import stream
from corpus import Program, allow, attack

UPSTREAM = "203.0.114.32"
NAMES = 50


class Silent:
    """An upstream that hears every question and answers none."""

    def __init__(self, a):
        with a.lab.internet:
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((UPSTREAM, 53))
        self.sock.settimeout(0.2)
        self.names = set()
        self.open = True
        self.thread = threading.Thread(target=self._hear, daemon=True)
        self.thread.start()
        a.t.keep(self)

    def _hear(self):
        while self.open:
            try:
                data = self.sock.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                return
            labels, at = [], 12
            while at < len(data) and data[at]:
                labels.append(data[at + 1:at + 1 + data[at]].decode("latin-1"))
                at += 1 + data[at]
            self.names.add(".".join(labels).lower())

    def close(self):
        self.open = False
        self.thread.join()
        self.sock.close()


def names():
    return [f"secret-{n:02}.wild.example.net" for n in range(NAMES)]


def policy():
    return allow('allow to name "*.wild.example.net" port tcp 443\n',
                 f"resolver {{ upstream {UPSTREAM} }}\n")


def logged(path):
    """Every name that the log has, in whatever record."""
    found = set()
    for record in audit.read(path) if os.path.exists(path) else []:
        found |= {str(v).lower().rstrip(".") for v in record.values()
                  if isinstance(v, str)}
    return found


def logs(place):
    found = set()
    for top, _, files in os.walk(place.path):
        for name in files:
            if "log" in top + name and not name.endswith(".reserve"):
                found |= logged(os.path.join(top, name))
    return found


def leaked(a, upstream, place):
    """The names that got out, and those that nobody can know of."""
    time.sleep(0.5)
    got = {n for n in upstream.names if n.startswith("secret-")}
    missing = got - logs(place)
    if missing:
        a.gained(f"{len(missing)} of {len(got)} names that left are in no log")
    return got


def asking(a, how, seconds=0.3):
    """CMD asks, and how(program) ends somebody."""
    place = a.place(policy())
    upstream = Silent(a)
    program = Program(a, place, "ask", names=names(), seconds=seconds,
                      later=how is not None, log=place.path + "/log.jsonl")
    if how:
        program.ready()
        lablib.wait_until(lambda: upstream.names, 5)
        how(program)
    program.end()
    leaked(a, upstream, place)
    a.control(upstream.names, "no name came to the upstream")


def killer(name, sign=signal.SIGKILL):
    def how(program):
        for pid in lablib.processes():
            if lablib.program(pid) == name:
                os.kill(pid, sign)
        time.sleep(0.3)
        try:
            program.go()
        except OSError:
            pass
    return how


@attack("H2", quick=True)
def names_and_gone(a):
    """CMD asks for fifty names and ends."""
    asking(a, None)


@attack("H2")
def names_and_at_once_gone(a):
    """... in the very moment."""
    asking(a, None, 0)


@attack("H2", quick=True)
def names_and_dead_frame(a):
    asking(a, killer("sallyport-frame"))


@attack("H2")
def names_and_dead_broker(a):
    asking(a, killer("sallyport-broker"))


@attack("H2")
def names_and_dead_keeper(a):
    asking(a, killer("sallyportd"))


@attack("H2")
def names_and_dead_resolver(a):
    asking(a, killer("sallyport-resolver"))


@attack("H2")
def names_and_dead_command(a):
    asking(a, killer("sallyport"))


@attack("H2")
def names_and_terminated(a):
    asking(a, killer("sallyport", signal.SIGTERM))


@attack("H2")
def names_and_hung_up(a):
    """A virtual machine that asks and hangs up."""
    upstream = Silent(a)
    with stream.serve(a.t, policy=policy()) as link:
        guest = link.attach()
        for number, name in enumerate(names()):
            guest.send_udp(guest.gate[4], 5000 + number, 53,
                           dnswire.query(name, ident=number + 1))
        lablib.wait_until(lambda: upstream.names, 5)
        guest.close()
        time.sleep(1)
    got = {n for n in upstream.names if n.startswith("secret-")}
    missing = got - logged(link.log)
    a.control(got, "no name came to the upstream")
    if missing:
        a.gained(f"{len(missing)} of {len(got)} names that left are in no log")


class Answering:
    """An upstream that has one name, at the server's address."""

    def __init__(self, a, name):
        self.authority = dnswire.Authority(
            a.lab.internet, [UPSTREAM], dnswire.zone_answer(
                {name: {dnswire.A: (300, [lablib.LIVE4])}}))
        a.t.keep(self.authority)


@attack("L2", quick=True)
def audit_mode_and_dead_broker(a):
    """In audit mode the host connects to a name's address before the guest has
    shown a name: it shows none, and the broker is killed meanwhile."""
    name = "api.wild.example.net"
    Answering(a, name)
    server = a.t.serve(servers.sink)
    place = a.place(gateway.policy_text(
        f'allow to name "{name}" port tcp {server.port} verify sni\n',
        f"resolver {{ upstream {UPSTREAM} }}\n", "", "mode audit"))
    log = place.path + "/log.jsonl"
    program = Program(a, place, "ask_and_keep", host=name, dst=lablib.LIVE4,
                      port=server.port, log=log)
    a.control(lablib.wait_until(lambda: server.log, 10), "no connection")
    time.sleep(0.3)                     # five seconds are to pass without a name
    killer("sallyport-broker")(program)
    program.end()
    peers = {c.peer[1] for c in server.log}
    told = [r for top, _, files in os.walk(place.path) for f in files
            if "log.jsonl" in f and "reserve" not in f
            for r in audit.read(os.path.join(top, f))
            if r["type"].startswith("flow.") and lablib.LIVE4 in str(r.values())]
    if len(told) < len(peers):
        a.gained(f"{len(peers)} connections to the server, {len(told)} records of "
                 "flows")
