#!/usr/bin/python3
"""Upstreams that others wrote: Debian's nsd with a zone, and its unbound in front
of it, by UDP, TCP and TLS.

usage: test_servers.py [TEST...]"""

import atexit
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from drive import *  # noqa: E402

NSD, UNBOUND = (shutil.which(p, path="/usr/sbin:" + os.environ["PATH"])
                for p in ("nsd", "unbound"))
MANY = [(f"n{i}.lab.test", f"198.18.{i // 250}.{i % 250}") for i in range(1000)]
BIG = [f"198.51.{i // 200}.{i % 200}" for i in range(700)]
DNS = "dns.lab.test"
work = tempfile.mkdtemp()
os.chmod(work, 0o755)
atexit.register(shutil.rmtree, work, ignore_errors=True)

ZONE = f"""$ORIGIN lab.test.
$TTL 300
@ SOA ns root 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
www A 192.0.2.1
www A 192.0.2.2
www AAAA 2001:db8::1
v6 AAAA 2001:db8::6
one CNAME two
two CNAME www
lost CNAME nowhere
empty TXT "nothing else"
*.wild A 192.0.2.9
""" + "".join(f"big A {a}\n" for a in BIG) + \
    "".join(f"{n.partition('.')[0]} A {a}\n" for n, a in MANY)


def free_port():
    """One that neither UDP nor TCP has."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u, \
                socket.socket() as t:
            u.bind(("127.0.0.1", 0))
            with contextlib.suppress(OSError):
                t.bind(u.getsockname())
                return u.getsockname()[1]


def write(label, text):
    path = os.path.join(work, label)
    with open(path, "w") as f:
        f.write(text)
    return path


@contextlib.contextmanager
def daemon(*words, port):
    p = subprocess.Popen(words, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(
                    ("127.0.0.1", port), 1):
                break
            assert p.poll() is None, p.stdout.read().decode()
            time.sleep(0.05)
        yield port
    finally:
        p.terminate()
        p.wait(10)


def nsd():
    port = free_port()
    zone = write("lab.zone", ZONE)
    conf = write("nsd.conf", f"""server:
 ip-address: 127.0.0.1@{port}
 username: ""
 chroot: ""
 zonesdir: "{work}"
 database: ""
 pidfile: ""
 xfrdfile: "{work}/xfrd.state"
 zonelistfile: "{work}/zone.list"
 cookie-secret-file: ""
 logfile: "{work}/nsd.log"
 rrl-ratelimit: 0
remote-control:
 control-enable: no
zone:
 name: lab.test
 zonefile: "{zone}"
""")
    return daemon(NSD, "-d", "-c", conf, port=port)


def forwarder(behind, tls=""):
    port = free_port()
    conf = write("unbound.conf", f"""server:
 interface: 127.0.0.1@{port}
 port: {port}
 do-daemonize: no
 username: ""
 chroot: ""
 directory: "{work}"
 pidfile: ""
 use-syslog: no
 logfile: "{work}/unbound.log"
 num-threads: 1
 do-not-query-localhost: no
 module-config: iterator
 access-control: 127.0.0.0/8 allow
 local-zone: test. nodefault
{tls.format(port=port)}
remote-control:
 control-enable: no
stub-zone:
 name: lab.test
 stub-addr: 127.0.0.1@{behind}
""")
    return daemon(UNBOUND, "-d", "-c", conf, port=port)


def questions(r):
    for text, qtype, want in (
            ("www.lab.test", A, ("resolved", ["192.0.2.1", "192.0.2.2"], [])),
            ("www.lab.test", AAAA, ("resolved", ["2001:db8::1"], [])),
            ("v6.lab.test", A, ("nodata", [], [])),
            ("empty.lab.test", A, ("nodata", [], [])),
            ("one.lab.test", A, ("resolved", ["192.0.2.1", "192.0.2.2"],
                                 ["two.lab.test", "www.lab.test"])),
            ("lost.lab.test", A, ("nxdomain", [], ["nowhere.lab.test"])),
            ("x.wild.lab.test", A, ("resolved", ["192.0.2.9"], [])),
            ("none.lab.test", AAAA, ("nxdomain", [], []))):
        got = r.ask(text, qtype)
        assert got.key() == want, (text, got, want)
    got = r.ask("big.lab.test")
    assert len(got.addr) == ADDRESSES and set(got.addr) < set(BIG), got
    assert got.more == 1


def thousand(r):
    got = r.ask_all([(n, A) for n, _ in MANY])
    for n, a in MANY:
        assert got[n, A].addr == [a], (n, got[n, A])


def test_authoritative(engine):
    with nsd() as port, Resolver(engine, [upstream("127.0.0.1", port)]) as r:
        questions(r)
        thousand(r)


def test_forwarder(engine):
    with nsd() as behind, forwarder(behind) as port, \
            Resolver(engine, [upstream("127.0.0.1", port)]) as r:
        questions(r)
        thousand(r)


def test_tls(engine):
    if engine != "unbound":
        return "this engine has none"
    if shutil.which("openssl") is None:
        return "no openssl(1)"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=lab",
         "-addext", f"subjectAltName=DNS:{DNS}", "-keyout", f"{work}/k.pem",
         "-out", f"{work}/c.pem"], check=True, capture_output=True)
    tls = (f' tls-port: {{port}}\n tls-service-key: "{work}/k.pem"\n'
           f' tls-service-pem: "{work}/c.pem"\n')
    with nsd() as behind, forwarder(behind, tls) as port, \
            Resolver(engine, [upstream("127.0.0.1", port, DNS)],
                     ca=f"{work}/c.pem") as r:
        questions(r)
        thousand(r)
    return None


def test_restarted_upstream(engine):
    """It goes away and comes back: nothing but the pause is noticed."""
    with nsd() as behind:
        with Resolver(engine, [upstream("127.0.0.1", behind)]) as r:
            assert r.ask("n1.lab.test").status == RESOLVED
    # the port is free now; what was asked meanwhile has failed in time
    with nsd() as port, Resolver(engine, [upstream("127.0.0.1", behind),
                                          upstream("127.0.0.1", port)]) as r:
        began = time.monotonic()
        assert r.ask("n2.lab.test").status == RESOLVED
        assert time.monotonic() - began < 4


def test_latency(engine):
    """Printed, not judged: what a question costs beside the upstream."""
    with nsd() as port, Resolver(engine, [upstream("127.0.0.1", port)]) as r:
        r.ask("www.lab.test")
        took = []
        for _ in range(500):
            began = time.perf_counter()
            r.ask("www.lab.test")
            took.append(time.perf_counter() - began)
        print(f"median {sorted(took)[250] * 1e6:.0f} us "
              f"({'cached' if engine == 'unbound' else 'by nsd'})", end="")


if __name__ == "__main__":
    if NSD is None or UNBOUND is None:
        print("skipped: the packages nsd and unbound are not both installed")
        sys.exit(SKIP)
    sys.exit(run([f for n, f in list(globals().items())
                  if n.startswith("test_")]))
