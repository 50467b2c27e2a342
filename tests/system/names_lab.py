"""Names on the lab's internet: nsd for the zones, unbound in front of it as the
forwarder that a policy names, and a server of our own for the zones that lie.

    203.0.114.30, 2600:1f00::30    unbound, port 53 (FORWARDER)
    203.0.114.31                   nsd, authoritative for example.org's zones
    203.0.114.32                   dnswire.Authority for *.example.net (World.liar)

All of it ends with the case that made it.
"""
import os
import shutil
import subprocess
import tempfile
import time

import dnswire
import gateway
import lab as lablib
import nspace

FORWARDER4, FORWARDER6 = "203.0.114.30", "2600:1f00::30"
AUTHORITY4, LIAR4 = "203.0.114.31", "203.0.114.32"
SITE4, SITE6 = "203.0.114.11", "2600:1f00::11"  # of all vhosts
STRAY4, STRAY6 = "203.0.114.12", "2600:1f00::12"  # where no name points
BASE = "alpha.example.org"
API, WWW, OTHER = "api." + BASE, "www." + BASE, "other." + BASE
MANY_NAMES = 1000

LIMITS = ("limits many { conns 20000 pending 4000 rate 100000/s burst 100000 "
          "dns 100000/s burst 100000 names 100000 per 10m }\n")


def many_address(number):
    return f"203.0.{116 + number // 250}.{1 + number % 250}"


def _zone():
    both = f"A {SITE4}\n{{0}} IN AAAA {SITE6}"
    lines = [f"$ORIGIN {BASE}.", "$TTL 300",
             "@ IN SOA ns hostmaster 1 3600 600 86400 60", "@ IN NS ns",
             f"ns IN A {AUTHORITY4}", f"@ IN A {SITE4}"]
    for name in ("api", "www", "other", "git", "_under", "xn--bcher-kva",
                 "*.wild"):
        lines.append(f"{name} IN " + both.format(name))
    lines += [f"only4 IN A {SITE4}", f"only6 IN AAAA {SITE6}",
              f"short 1 IN A {SITE4}", f"long 86400 IN A {SITE4}",
              f"mixed IN A {SITE4}", "mixed IN A 10.0.0.1",
              "mixed IN AAAA fd00::1", f"mixed IN AAAA {SITE6}",
              "floored IN A 127.0.0.1", "floored IN AAAA ::1",
              "text IN TXT \"words\"", "alias IN CNAME api",
              "cross IN CNAME api.beta.example.org.",
              "loop1 IN CNAME loop2", "loop2 IN CNAME loop1",
              "self IN CNAME self", "dangling IN CNAME nothing"]
    # hopN reaches the address over N aliases.
    lines.append(f"hop0 IN A {SITE4}")
    lines += [f"hop{n} IN CNAME hop{n - 1}" for n in range(1, 12)]
    lines += [f"wide IN A 203.0.117.{n}" for n in range(1, 41)]
    lines += [f"wide IN AAAA 2600:1f00:0:2::{n:x}" for n in range(1, 41)]
    lines += [f"huge IN A 203.0.117.{n}" for n in range(1, 241)]
    lines += [f"vast IN A 203.0.{117 + n // 240}.{1 + n % 240}"
              for n in range(300)]
    lines += [f"n{n}.many IN A {many_address(n)}" for n in range(MANY_NAMES)]
    return "\n".join(lines) + "\n"


BETA = f"""$ORIGIN beta.example.org.
$TTL 300
@ IN SOA ns hostmaster 1 3600 600 86400 60
@ IN NS ns
ns IN A {AUTHORITY4}
api IN A {SITE4}
api IN AAAA {SITE6}
"""

NSD = """server:
  ip-address: {address}
  username: ""
  chroot: ""
  zonesdir: "{dir}"
  database: ""
  pidfile: "{dir}/nsd.pid"
  xfrdfile: "{dir}/xfrd.state"
  xfrdir: "{dir}"
  zonelistfile: "{dir}/zone.list"
  rrl-ratelimit: 0
  server-count: 1
  hide-version: yes
  do-ip6: no
remote-control:
  control-enable: no
zone:
  name: "alpha.example.org"
  zonefile: "alpha"
zone:
  name: "beta.example.org"
  zonefile: "beta"
"""

UNBOUND = """server:
  interface: {address4}
  interface: {address6}
  interface-automatic: no
  access-control: 0.0.0.0/0 allow
  access-control: ::/0 allow
  username: ""
  chroot: ""
  directory: "{dir}"
  pidfile: ""
  use-syslog: no
  logfile: "{dir}/unbound.log"
  module-config: "iterator"
  do-daemonize: no
  num-threads: 1
  outgoing-range: 4096
  num-queries-per-thread: 4096
  so-rcvbuf: 1m
  msg-cache-size: 4m
  rrset-cache-size: 4m
  infra-host-ttl: 1
  local-zone: "example.net." transparent
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: {authority}
forward-zone:
  name: "example.net."
  forward-addr: {liar}
"""


def missing():
    return [p for p in ("nsd", "unbound") if not shutil.which(
        p, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")]


class World:
    """The servers of one case. liar: {name: ...} of dnswire.zone_answer()."""

    def __init__(self, t, liar=None):
        if missing():
            t.skip("no " + " and no ".join(missing()))
        self.t = t
        self.netns = t.lab.internet
        self.dir = tempfile.mkdtemp(dir=t.lab.scratch, prefix="names-")
        self.children = []
        self.mounted = False
        self.liar = dnswire.Authority(self.netns, [LIAR4],
                                      dnswire.zone_answer(liar or {}))
        t.keep(self)
        self._write("alpha", _zone())
        self._write("beta", BETA)
        self._start(["nsd", "-d", "-c", self._write("nsd.conf", NSD.format(
            address=AUTHORITY4, dir=self.dir))])
        self._start(["unbound", "-c", self._write("unbound.conf",
            UNBOUND.format(address4=FORWARDER4, address6=FORWARDER6,
                           dir=self.dir, authority=AUTHORITY4, liar=LIAR4))])
        self._wait(AUTHORITY4)
        self._wait(FORWARDER4)

    def _write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return path

    def _start(self, argv):
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        with open(os.path.join(self.dir, argv[0] + ".out"), "wb") as out, \
                self.netns:
            self.children.append(subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env=env, process_group=0))

    def _wait(self, address):
        """Until it answers."""
        ask = dnswire.query(API)
        for _ in range(200):
            with self.netns:
                try:
                    back = dnswire.Message(bytes.fromhex(self.t.reference(
                        "udp_raw", address, 53, ask.hex(), timeout=0.2)))
                except OSError:
                    time.sleep(0.02)
                    continue
            if back.addresses() == [SITE4]:
                return
            time.sleep(0.02)
        self.t.fail(f"no answer from {address}: {self._words()}")

    def _words(self):
        text = ""
        for name in ("nsd.out", "unbound.out", "unbound.log"):
            try:
                with open(os.path.join(self.dir, name), encoding="utf-8",
                          errors="replace") as file:
                    text += file.read()[-500:]
            except OSError:
                pass
        return text

    def resolv_conf(self, text=f"nameserver {FORWARDER4}\n"):
        """Puts a resolv.conf of the case's own over the machine's."""
        path = self._write("resolv.conf", text)
        os.chmod(path, 0o644)
        nspace.mount(path, "/etc/resolv.conf", "none", nspace.MS_BIND)
        self.mounted = True

    def forwarder(self):
        return self.children[1]

    def close(self):
        if self.mounted:
            nspace.umount("/etc/resolv.conf")
        for child in self.children:
            try:
                os.killpg(child.pid, 9)
            except ProcessLookupError:
                pass
            child.wait()
        self.liar.close()
        lablib.wait_until(lambda: not [
            p for p in lablib.processes() if lablib.program(p) in
            ("nsd", "unbound")], 3)
        shutil.rmtree(self.dir, ignore_errors=True)


def policy(rules, resolver="", upstreams=(FORWARDER4,), head=LIMITS, **how):
    """A policy whose resolver block names these upstreams."""
    block = "resolver { " + " ".join(f"upstream {u}" for u in upstreams) + \
        f" {resolver} }}\n" if upstreams else ""
    return gateway.policy_text(rules, head=head + block, **how)


def ask(guest, name, qtype=dnswire.A, dst=gateway.GATEWAY4, timeout=12.0,
        **how):
    """One question of the guest; the answer taken apart."""
    data = dnswire.query(name, qtype, **how)
    return dnswire.Message(raw(guest, data, dst, timeout))


def raw(guest, data, dst=gateway.GATEWAY4, timeout=12.0):
    """What a datagram brings back."""
    return bytes.fromhex(guest.finish(guest.start(
        "udp_raw", dst, 53, data.hex(), timeout=timeout)))


def answers(guest, queries, **how):
    """Many questions at once: {index: (Message, seconds)} of what came back."""
    got = guest.call("dns", how.pop("dst", gateway.GATEWAY4), 53,
                     [q.hex() for q in queries], **how)
    return {int(k): (dnswire.Message(bytes.fromhex(v[0])), v[1])
            for k, v in got.items()}


def need(t, *programs):
    """Skips the case where the guest would not find a program."""
    for program in programs:
        if not shutil.which(program):
            t.skip(f"no {program}")


def have(program):
    return shutil.which(program) is not None


# ---- reading the log ---------------------------------------------------------

def count(reasons):
    found = {}
    for reason in reasons:
        found[reason] = found.get(reason, 0) + 1
    return found


def all_denied(t):
    """{reason: how many flows}, those counted in deny.agg included.

    What the frame refuses by itself is no flow: a guest's kernel sends multicast.
    """
    found = count(r["reason"] for r in t.records("flow.deny"))
    for record in t.records("deny.agg"):
        if "name" not in record and record.get("csrc") != "frame":
            found[record["reason"]] = found.get(record["reason"], 0) \
                + record["n"]
    return found


def grown(before, after):
    return {k: n - before.get(k, 0) for k, n in after.items()
            if n > before.get(k, 0)}


class Repository:
    """A git repository that any web server can serve (`git update-server-info`)."""

    def __init__(self, t):
        self.dir = t.lab.directory("git")
        t.keep(self)
        self.root = os.path.join(self.dir, "root")
        script = ("git init -q work && cd work && echo words >file && "
                  "git add file && git -c user.name=t -c user.email=t@t commit "
                  "-q -m one && git clone -q --bare . ../root/r.git && "
                  "cd ../root/r.git && git update-server-info")
        subprocess.run(["sh", "-c", "mkdir root && " + script], cwd=self.dir,
                       check=True, capture_output=True,
                       env={"PATH": os.environ["PATH"], "HOME": self.dir})

    def place(self, name):
        return os.path.join(self.dir, name)

    def serve(self, _connection, path):
        path = os.path.normpath(path.split("?", 1)[0]).lstrip("/")
        try:
            with open(os.path.join(self.root, path), "rb") as file:
                return file.read()
        except OSError:
            return None

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)
