#!/usr/bin/python3
"""DNS over TLS: the right name is asked, a wrong one is not; nor is one whose CA
nobody knows. Needs openssl(1) for a CA of its own.

usage: test_tls.py [TEST...]"""

import atexit
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import warnings

warnings.simplefilter("ignore", DeprecationWarning)     # old TLS, on purpose
sys.dont_write_bytecode = True
import dns  # noqa: E402
from dns import Server, honest  # noqa: E402
from drive import *  # noqa: E402

ZONE = {"a.test": {A: ["192.0.2.1"], AAAA: ["2001:db8::1"]},
        "big.test": {A: [f"198.51.100.{i}" for i in range(60)]},
        **{f"n{i}.test": {A: [f"198.18.{i // 250}.{i % 250}"]}
           for i in range(1000)}}
NAME = "dns.example.test"
work = tempfile.mkdtemp()
atexit.register(shutil.rmtree, work)


def openssl(*words):
    subprocess.run(["openssl", *words], cwd=work, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def authority(label):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
            f"/CN={label}", "-keyout", f"{label}.key", "-out", f"{label}.pem")


def server_context(ca, label, *options, version=None):
    with open(os.path.join(work, "san"), "w") as f:
        f.write(f"subjectAltName=DNS:{label}\n")
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={NAME}",
            "-keyout", "s.key", "-out", "s.csr")
    openssl("x509", "-req", "-in", "s.csr", "-CA", f"{ca}.pem", "-CAkey",
            f"{ca}.key", "-CAcreateserial", "-extfile", "san",
            "-out", "s.pem", *(options or ("-days", "1")))
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(f"{work}/s.pem", f"{work}/s.key")
    c.set_alpn_protocols(["dot"])
    if version:
        c.minimum_version = ssl.TLSVersion.TLSv1
        c.set_ciphers("ALL:@SECLEVEL=0")
        c.maximum_version = version
    return c


def bundle():
    return os.path.join(work, "ca.pem")


def refused(context, words, name=NAME):
    with Server(honest(ZONE), tls=context) as s, \
            Resolver("unbound", [s.upstream(name)], ca=bundle()) as r:
        began = time.monotonic()
        assert r.ask("a.test").status == FAILED
        assert time.monotonic() - began < 5
        assert s.seen == [], "it was asked all the same"
        said = r.words()
        assert any(w in said for w in words), said


def test_right_name(engine):
    with Server(honest(ZONE), tls=server_context("ca", NAME)) as s, \
            Resolver("unbound", [s.upstream(NAME)], ca=bundle()) as r:
        for text in ("a.test", "big.test"):
            got = r.ask(text)
            assert sorted(got.addr) == sorted(ZONE[text][A]), got
        assert r.ask("nowhere.test").status == NXDOMAIN
        assert {q.transport for q in s.seen} == {"tls"}
        assert s.connections == 1, f"{s.connections} connections"
        assert all(q.spelled == q.name for q in s.seen), "0x20 over TLS"


def test_same_bundle_again(engine):
    """A restarted resolver is given the very file description that was read."""
    fd = os.open(bundle(), os.O_RDONLY)
    with Server(honest(ZONE), tls=server_context("ca", NAME)) as s:
        for _ in range(2):
            with Resolver("unbound", [s.upstream(NAME)], ca=fd) as r:
                assert r.ask("a.test").status == RESOLVED


def test_wildcard_name(engine):
    with Server(honest(ZONE), tls=server_context("ca", "*.example.test")) as s, \
            Resolver("unbound", [s.upstream(NAME)], ca=bundle()) as r:
        assert r.ask("a.test").addr == ["192.0.2.1"]


def test_tls12(engine):
    with Server(honest(ZONE), tls=server_context(
            "ca", NAME, version=ssl.TLSVersion.TLSv1_2)) as s, \
            Resolver("unbound", [s.upstream(NAME)], ca=bundle()) as r:
        assert r.ask("big.test").status == RESOLVED


def test_tls11(engine):
    refused(server_context("ca", NAME, version=ssl.TLSVersion.TLSv1_1),
            ["protocol", "version"])


def test_wrong_name(engine):
    """The CN is right; the names that count are not (RFC 6125, 6.4.4)."""
    refused(server_context("ca", "other.example.test"), ["mismatch"])


def test_partial_wildcard(engine):
    refused(server_context("ca", "d*.example.test"), ["mismatch"])


def test_wrong_ca(engine):
    authority("stranger")
    refused(server_context("stranger", NAME), ["issuer", "self-signed"])


def test_expired(engine):
    refused(server_context("ca", NAME, "-days", "-1"), ["expired"])


def test_plain_server(engine):
    refused(None, ["TLS", "ssl", "SSL", "packet length", "wrong version"])


def test_second_upstream(engine):
    """The first has a wrong name: the second is asked, and the first no more
    than it must."""
    with Server(honest(ZONE), tls=server_context("ca", "x.test")) as bad, \
            Server(honest(ZONE), tls=server_context("ca", NAME)) as good, \
            Resolver("unbound", [bad.upstream(NAME), good.upstream(NAME)],
                     ca=bundle()) as r:
        for _ in range(50):
            assert r.ask("a.test").status == RESOLVED
        assert bad.seen == []
        assert bad.connections < 5, f"{bad.connections} attempts"


def test_thousand(engine):
    with Server(honest(ZONE), tls=server_context("ca", NAME)) as s, \
            Resolver("unbound", [s.upstream(NAME)], ca=bundle()) as r:
        got = r.ask_all([(f"n{i}.test", A) for i in range(1000)])
        for (n, _), a in got.items():
            assert a.addr == ZONE[n][A], (n, a)
        assert s.connections == 1


def test_closing_server(engine):
    """It closes after three answers: what was lost is asked again."""
    with Server(honest(ZONE), tls=server_context("ca", NAME),
                close_after=3) as s, \
            Resolver("unbound", [s.upstream(NAME)], ca=bundle()) as r:
        for i in range(20):
            assert r.ask(f"n{i}.test").addr == ZONE[f"n{i}.test"][A]
        assert s.connections > 5


def test_silent_server(engine):
    """It takes the connection and says nothing, not even TLS."""
    import socket
    mute = socket.create_server(("127.0.0.1", 0))
    with Resolver("unbound", [upstream("127.0.0.1", mute.getsockname()[1],
                                       NAME)], ca=bundle()) as r:
        began = time.monotonic()
        assert r.ask("a.test").status == FAILED
        assert time.monotonic() - began < TIMEOUT
    mute.close()


def test_no_bundle(engine):
    r = Resolver("unbound", [upstream("127.0.0.1", 853, NAME)], start=False)
    assert r.ends() == 70
    assert "ca-certificates" in r.words(), r.words()


def test_dnssec(engine):
    r = Resolver("unbound", [upstream("127.0.0.1", 853, NAME)], dnssec=1,
                 ca=bundle(), start=False)
    assert r.ends() == 70
    assert "DNSSEC" in r.words(), r.words()


def test_mixed(engine):
    r = Resolver("unbound", [upstream("127.0.0.1", 853, NAME),
                             upstream("127.0.0.1", 53)], start=False)
    assert r.ends() == 70
    assert "with and without tls" in r.words(), r.words()


def test_stub_refuses(engine):
    for dnssec, tls, word in ((0, NAME, "tls upstreams"), (1, None, "DNSSEC")):
        r = Resolver("stub", [upstream("127.0.0.1", 853, tls)], dnssec=dnssec,
                     ca=bundle(), start=False)
        assert r.ends() == 70
        assert word in r.words() and "--with-resolver" in r.words(), r.words()


if __name__ == "__main__":
    if "unbound" not in engines():
        print("skipped: libunbound and OpenSSL are not built in")
        sys.exit(SKIP)
    if shutil.which("openssl") is None:
        print("skipped: there is no openssl(1) to make certificates with")
        sys.exit(SKIP)
    authority("ca")
    sys.exit(run([f for n, f in list(globals().items())
                  if n.startswith("test_")], ["unbound"]))
