"""Clients and servers that others wrote and that need more than a line: dig, and
nginx with curl for HTTP/2. Acceptance 1 and 3 of the names job.
"""
import os
import shutil
import signal
import subprocess
import tempfile

import dnswire
import lab
import names_lab
import tls_lab
from cases_names import GATEWAYS, LIE, MANY, refused
from cases_sni import RULES
from names_lab import API, BASE, OTHER, SITE4, SITE6, WWW
from trial import OURS, case

DIG = ["dig", "+time=5", "+tries=1"]


# ---- dig ------------------------------------------------------------------------

def dig(guest, *words):
    """(exit status, stdout); what dig has to say of itself is in there."""
    code, out, err = guest.call("run", [*DIG, *words])
    return code, out + err


@case(quick=True, gateways=OURS)
def dig_types(t):
    """A and AAAA, at both addresses of the gateway, with and without EDNS, by TCP."""
    names_lab.need(t, "dig")
    names_lab.World(t)
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        for place in GATEWAYS:
            for how in ([], ["+tcp"], ["+noedns"], ["+bufsize=512"],
                        ["+bufsize=4096", "+dnssec"]):
                for qtype, wanted in (("A", SITE4), ("AAAA", SITE6)):
                    got = dig(guest, "+short", "@" + place, *how, API, qtype)
                    t.equal(got, (0, wanted + "\n"), f"{place} {how}")
        for place in (names_lab.FORWARDER4, "8.8.8.8"):
            for how in ("+notcp", "+tcp"):
                code, out = dig(guest, "@" + place, how, API)
                t.check(code != 0 and SITE4 not in out, f"@{place} {how}: {out}")


@case(quick=True, gateways=OURS)
def dig_sizes(t):
    """What does not fit is cut, and dig comes again by TCP."""
    names_lab.need(t, "dig")
    wide = f"wide.{BASE}"
    four = [f"203.0.117.{n}" for n in range(1, 41)]
    longest = ".".join(["x" * 63, "y" * 63, "z" * 63, "w" * 45,
                        "lie.example.net"])
    names_lab.World(t, liar={longest: {dnswire.AAAA: (60, [
        f"2600:1f00:0:2::{n:x}" for n in range(1, 71)])}})
    with t.guest(policy=names_lab.policy(MANY + LIE)) as guest:
        for how, again in ((["+bufsize=512"], True), (["+noedns"], True),
                           (["+bufsize=4096"], False), (["+tcp"], False)):
            code, out = dig(guest, *how, wide)
            t.equal((code, sorted(w for w in out.split() if w in four)),
                    (0, sorted(four)), how)
            t.equal("Truncated, retrying in TCP mode" in out, again, out[:300])
        _, out = dig(guest, "+ignore", "+bufsize=512", wide)
        t.check(" tc " in out.split("QUERY:")[0], out)
        _, out = dig(guest, "+bufsize=4096", longest, "AAAA")
        t.check("ANSWER: 70," in out and "(UDP)" in out and "rcvd: 2242" in out,
                out[:300] + out[-300:])


@case(quick=True, gateways=OURS)
def dig_denied(t):
    """NXDOMAIN and, to who speaks EDNS, why."""
    names_lab.need(t, "dig")
    names_lab.World(t)
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        for place in GATEWAYS:
            for how, told in (("+notcp", True), ("+tcp", True),
                              ("+noedns", False)):
                code, out = dig(guest, "@" + place, how, OTHER)
                t.check(code == 0 and "status: NXDOMAIN" in out, out)
                t.equal("EDE: 15 (Blocked)" in out, told, out)
    t.equal(refused(t), {(OTHER, "name-not-allowed"): 6})


@case(quick=True, gateways=OURS)
def dig_thousand(t):
    """1 000 names by twenty digs at once: none lost, none answered wrongly."""
    names_lab.need(t, "dig")
    names_lab.World(t)
    place = t.lab.directory("batches")
    os.chmod(place, 0o755)
    with t.guest(policy=names_lab.policy(MANY)) as guest:
        handles = {}
        for first in range(0, names_lab.MANY_NAMES, 50):
            path = os.path.join(place, str(first))
            with open(path, "w", encoding="ascii") as file:
                file.writelines(f"n{first + n}.many.{BASE}\n"
                                for n in range(50))
            # Left alone they share ports now and then (SO_REUSEPORT) and lose
            # answers to each other, also without a gateway.
            handles[first] = guest.start("run", [
                *DIG, "+short", "-b", f"0.0.0.0#{20000 + first}", "-f", path])
        for first, handle in handles.items():
            code, out, err = guest.finish(handle)
            wrong = sorted(set(out.split()) ^ {names_lab.many_address(
                first + n) for n in range(50)})
            t.equal((code, wrong, len(out.split())), (0, [], 50),
                    f"from {first} on: {err}")
    shutil.rmtree(place)


# ---- HTTP/2 at nginx -----------------------------------------------------------------

NGINX = """daemon off;
master_process off;
user root;
pid {dir}/pid;
error_log {dir}/error.log info;
events {{ worker_connections 4096; }}
http {{
  log_format lab "$server_addr $ssl_server_name $ssl_alpn_protocol $server_protocol $host";
  access_log {dir}/access.log lab;
  client_body_temp_path {dir}/t;
  proxy_temp_path {dir}/t;
  fastcgi_temp_path {dir}/t;
  uwsgi_temp_path {dir}/t;
  scgi_temp_path {dir}/t;
{hosts}}}
"""
VHOST = """  server {{
    listen {site4}:443 ssl http2;
    listen [{site6}]:443 ssl http2;
    server_name {name};
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    location / {{ return 200 "this is {name}\n"; }}
  }}
"""


class Nginx:
    """Debian's nginx, one virtual host for each name; by default on the site's two
    addresses of the internet."""

    def __init__(self, t, names, vhost=VHOST, netns=None, address=SITE4):
        program = shutil.which("nginx", path="/usr/sbin:" + os.environ["PATH"])
        if program is None:
            t.skip("no nginx")
        made = tls_lab.Certificates.of(t.lab)
        self.ca = made.ca
        self.dir = tempfile.mkdtemp(dir=t.lab.scratch, prefix="nginx-")
        hosts = "".join(vhost.format(name=name, site4=SITE4, site6=SITE6,
                                     certificate=made.issue(name)[0],
                                     key=made.issue(name)[1])
                        for name in names)
        with open(self._place("conf"), "w", encoding="ascii") as file:
            file.write(NGINX.format(dir=self.dir, hosts=hosts))
        netns = netns or t.lab.internet
        with netns, open(self._place("out"), "wb") as out:
            self.child = subprocess.Popen(
                [program, "-e", self._place("error.log"), "-p", self.dir, "-c",
                 self._place("conf")], stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, process_group=0)
        t.keep(self)
        with netns:
            t.check(lab.wait_until(lambda: t.reference(
                "connect", address, 443)[0] == "ok", 5), self._read("out"))

    def _place(self, name):
        return os.path.join(self.dir, name)

    def _read(self, name):
        with open(self._place(name), encoding="utf-8") as file:
            return file.read()

    def requests(self):
        """(server's address, SNI, ALPN, protocol, Host) of each so far."""
        return [tuple(line.split()) for line in
                self._read("access.log").splitlines()]

    def close(self):
        os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()
        shutil.rmtree(self.dir)


@case(quick=True, gateways=OURS)
def http2_at_nginx(t):
    """HTTP/2 to two virtual hosts of one address; a third is refused before a
    byte leaves the host (B2). What is asked for inside is not seen (B5)."""
    names_lab.World(t)
    server = Nginx(t, [API, WWW, OTHER])
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        def curl(url, *more):
            return guest.call("run", [
                "curl", "-sS", "-m", "15", "--http2", "--cacert", server.ca,
                "-w", "%{http_version}", *more, url])
        wire = t.sniff()
        guest.call("lookup", API)
        for place in (SITE4, f"[{SITE6}]"):
            code, out, err = curl(f"https://{OTHER}/", "--resolve",
                                  f"{OTHER}:443:{place}")
            t.check(code in (35, 56) and "this is" not in out, f"{out} {err}")
        t.equal(([s for s in wire.to_port(443) if s[5]], server.requests()),
                ([], []), "bytes that left the host")
        for name in (API, WWW):
            for family in ("-4", "-6"):
                code, out, err = curl(f"https://{name}/", family)
                t.equal((code, out), (0, f"this is {name}\n2"), err)
        code, out, err = curl(f"https://{API}/", "-H", f"Host: {OTHER}", "-4")
        t.equal((code, out), (0, f"this is {OTHER}\n2"), err)
    t.equal(server.requests(), [(place, name, "h2", "HTTP/2.0", name) for name
                                in (API, WWW) for place in (SITE4, SITE6)] +
            [(SITE4, API, "h2", "HTTP/2.0", OTHER)], "at the server")
    t.equal([(r["name"], r["sni"], r["alpn"], r["assurance"])
             for r in t.records("flow.open")], [
                 (name, name, ["h2", "http/1.1"], "sni")
                 for name in (API, API, WWW, WWW, API)])
    t.equal(names_lab.all_denied(t), {"sni-mismatch": 2})
