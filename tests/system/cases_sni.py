"""Rules by name at the flow's beginning: what is shown in the first flight, and
on which address. Acceptance 1 of the names job; B2-B7, B22.

The server is the canary: a refused flow must not have brought it one byte. (That
somebody connected it does see, if an allowed name led to its address.)
"""
import dnswire
import lab
import names_lab
import servers
import tls_lab
from names_lab import API, BASE, OTHER, SITE4, SITE6, STRAY4, WWW
from trial import OURS, case

CLIENT = ["curl", "-sS", "-m", "15"]
RESETS = ("ECONNRESET", "EPIPE", "ENOTCONN")   # while reading, writing, ending
REFUSED = 7                             # curl's "could not connect"
RULES = (f'allow to name "{API}" port tcp 443 label "api"\n'
         f'allow to name "{WWW}" port tcp 443 label "www"\n')


def site(t, names=(API, WWW, OTHER), **how):
    """Every name's server, and the names."""
    world = names_lab.World(t)
    if not t.is_sallyport:
        world.resolv_conf()
    server = t.keep(tls_lab.VhostServer(t.lab, list(names), **how))
    return world, server


def curl(guest, server, url, *more):
    return guest.call("run", [*CLIENT, "--cacert", server.ca, *more, url])


def denied(t, reason, count=1):
    """The log has so many refusals, and every one for this reason."""
    found = [r["reason"] for r in t.records("flow.deny")
             for _ in range(r.get("n", 1))]
    t.equal(found, [reason] * count, "flow.deny")


def untouched(t, server):
    t.equal(server.raws(), [], "bytes that reached the server")


# ---- what works ----------------------------------------------------------------

@case(quick=True)
def https_by_name(t):
    """curl by a name over v4, over v6, and as it likes."""
    _, server = site(t)
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        for family in ("-4", "-6", "-s"):
            for name in (API, WWW):
                code, out, err = curl(guest, server, f"https://{name}/",
                                      family)
                t.equal((code, out), (0, f"this is {name}\n"),
                        f"curl {family} {name}: {err}")
    t.equal([c.sni for c in server.log], [API, WWW] * 3, "SNI")
    places = [c.sock_name for c in server.log]
    t.equal([p in (SITE4, "::ffff:" + SITE4) for p in places[:2]],
            [True] * 2, "over v4")
    t.equal(places[2:4], [SITE6] * 2, "over v6")
    if not t.is_sallyport:
        return
    opens = t.records("flow.open")
    t.equal([(r["name"], r["sni"], r["assurance"], r["rule_id"])
             for r in opens], [(API, API, "sni", "api"),
                               (WWW, WWW, "sni", "www")] * 3, "flow.open")


@case(quick=True)
def https_http2(t):
    """curl speaks h2 with a server that does; the record says so."""
    _, server = site(t, h2=True)
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        code, out, err = curl(guest, server, f"https://{API}/", "--http2",
                              "-w", " %{http_version}")
    t.equal((code, out), (0, f"this is {API}\n 2"), err)
    t.equal([c.alpn for c in server.log], ["h2"])
    if t.is_sallyport:
        t.equal([r["alpn"] for r in t.records("flow.open")], [["h2", "http/1.1"]])


@case(quick=True)
def https_other_clients(t):
    """openssl, wget, python and node, each as its users call it."""
    _, server = site(t)
    url = f"https://{API}/"
    python = ("import ssl,sys,urllib.request as u;print(u.urlopen(sys.argv[1],"
              "context=ssl.create_default_context(cafile=sys.argv[2]))"
              ".read().decode(),end='')")
    node = ("require('https').get(process.argv[1],r=>{r.on('data',d=>process."
            "stdout.write(d))})")
    request = f"printf 'GET / HTTP/1.1\\r\\nHost: {API}\\r\\n\\r\\n'"
    commands = {
        "wget": ["wget", "-q", "-T", "10", "-O", "-", "--ca-certificate="
                 + server.ca, url],
        "openssl": ["sh", "-c", f"({request}; sleep 1) | openssl s_client "
                    f"-quiet -connect {API}:443 -servername {API} "
                    f"-verify_return_error -CAfile {server.ca} 2>&1"],
        "python3": ["/usr/bin/python3", "-c", python, url, server.ca],
        "node": ["env", "NODE_EXTRA_CA_CERTS=" + server.ca, "node", "-e",
                 node, url]}
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        for program, command in commands.items():
            if not names_lab.have(program):
                t.note(f"no {program}")
                continue
            code, out, err = guest.call("run", command)
            t.check(code == 0 and f"this is {API}\n" in out,
                    f"{program}: {code} {out!r} {err!r}")


@case(quick=True)
def git_over_https(t):
    """A clone by name, of a repository that any web server can serve."""
    names_lab.need(t, "git")
    repository = names_lab.Repository(t)
    _, server = site(t, names=["git." + BASE], serve=repository.serve)
    rule = f'allow to name "git.{BASE}" port tcp 443\n'
    with t.guest(policy=names_lab.policy(rule)) as guest:
        place = repository.place("clone")
        code, _, err = guest.call("run", [
            "env", "HOME=" + repository.dir, "GIT_SSL_CAINFO=" + server.ca,
            "git", "clone", "-q", f"https://git.{BASE}/r.git", place])
        t.equal(code, 0, f"git clone: {err}")
        t.equal(guest.call("run", ["cat", place + "/file"])[1], "words\n")


@case(quick=True)
def hello_in_pieces(t):
    """A true hello, byte by byte and in many records: the server gets it all."""
    _, server = site(t)
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        guest.call("lookup", API)
        for how in ({"chunk": 1}, {"record": 1}, {"record": 50, "chunk": 7},
                    {"record": 5, "chunk": 10}, {"chunk": 100, "pause": 0.2}):
            text = guest.call("tls", SITE4, 443, API, server.ca, **how)
            t.equal(text, f"this is {API}\n", how)
    t.equal([c.sni for c in server.log], [API] * 5)


# ---- what is refused -------------------------------------------------------------

@case(quick=True, gateways=OURS)
def other_vhost(t):
    """The address is right, the name is another's: not one byte gets there."""
    _, server = site(t)
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        guest.call("lookup", API)
        code, out, err = curl(guest, server, f"https://{OTHER}/", "--resolve",
                              f"{OTHER}:443:{SITE4}")
        t.check(code in (35, 56) and not out, f"{code} {out!r} {err!r}")
        untouched(t, server)
        t.equal(curl(guest, server, f"https://{API}/")[0], 0, "the right one")
    denied(t, "sni-mismatch")
    t.equal(t.records("flow.deny")[0]["sni"], OTHER, "the record's sni")


@case(quick=True, gateways=OURS)
def name_of_another_address(t):
    """Both names are allowed, but this address is the other one's."""
    _, server = site(t)
    rules = RULES + f'allow to name "wide.{BASE}" port tcp 443\n'
    with t.guest(policy=names_lab.policy(rules)) as guest:
        guest.call("lookup", f"wide.{BASE}")
        t.equal(guest.call("connect", SITE4, 443)[0], "ECONNREFUSED")
        guest.call("lookup", API)
        hello = tls_lab.records(tls_lab.hello(tls_lab.sni(f"wide.{BASE}")))
        t.equal(guest.call("pieces", SITE4, 443, [hello.hex()])[0],
                "ECONNRESET")
        untouched(t, server)
    t.equal([r["reason"] for r in t.records("flow.deny")],
            ["no-pin", "sni-mismatch"])


@case(quick=True, gateways=OURS)
def unpinned_address(t):
    """An allowed SNI opens no address that no name led to: refused at SYN."""
    _, server = site(t)
    wire = t.sniff()
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        t.equal(guest.call("lookup", API)[0], "ok")
        for address in (STRAY4, names_lab.STRAY6):
            code, _, _ = curl(guest, server, f"https://{API}/", "--resolve",
                              f"{API}:443:{address}")
            t.equal(code, REFUSED, f"curl to {address}")
        code, out, err = guest.call("run", [
            "openssl", "s_client", "-connect", f"{STRAY4}:443", "-servername",
            API])
        t.check(code and "refused" in err, f"{code} {out!r} {err!r}")
        handles = [guest.start("connect", f"203.0.{116 + n % 6}.{1 + n}", 443)
                   for n in range(100)]
        outcomes = [guest.finish(handle) for handle in handles]
        t.equal({o for o, _ in outcomes}, {"ECONNREFUSED"}, "100 addresses")
        slow = max(seconds for _, seconds in outcomes)
        t.check(slow < 0.5, f"a refusal took {slow:.2f} s")
        untouched(t, server)
        t.equal(wire.to_port(443), [], "segments that left the host")
    t.equal(names_lab.all_denied(t), {"no-pin": 103})


@case(quick=True, gateways=OURS)
def before_any_lookup(t):
    """A name rule alone opens nothing, not even the name's own address."""
    _, server = site(t)
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        for address in (SITE4, SITE6):
            t.equal(guest.call("connect", address, 443)[0], "ECONNREFUSED",
                    address)
    untouched(t, server)
    denied(t, "no-pin", 2)


def bad_hellos():
    """(what, bytes, reason) of flights that no server may see."""
    good = tls_lab.sni(API)
    whole = tls_lab.records(tls_lab.hello(good))
    for where, parts in (("first", (tls_lab.ech(), good)),
                         ("last", (good, tls_lab.COMMON, tls_lab.ech()))):
        yield (f"ECH {where}", tls_lab.records(tls_lab.hello(
            *parts, common=b"" if where == "last" else tls_lab.COMMON)),
            "ech-present")
    for enc, payload in ((32, 144), (0, 1), (65, 480), (32, 12000)):
        yield (f"GREASE ECH {enc} {payload}", tls_lab.records(tls_lab.hello(
            good, tls_lab.ech(enc, payload))), "ech-present")
    yield ("ECH's inner form", tls_lab.records(tls_lab.hello(
        good, tls_lab.extension(0xfe0d, b"\1"))), "ech-present")
    yield ("ECH in small records", tls_lab.records(tls_lab.hello(
        good, tls_lab.ech()), 7), "ech-present")
    yield ("no SNI", tls_lab.records(tls_lab.hello()), "sni-missing")
    yield ("no extensions", tls_lab.records(
        tls_lab.hello(common=b"")), "sni-missing")
    yield ("two names", tls_lab.records(tls_lab.hello(
        tls_lab.sni(API, OTHER))), "sni-unparseable")
    yield ("two SNI extensions", tls_lab.records(tls_lab.hello(
        good, tls_lab.sni(OTHER))), "sni-unparseable")
    yield ("an empty list", tls_lab.records(tls_lab.hello(
        tls_lab.extension(0, b"\0\0"))), "sni-missing")
    for text in (API + "\0." + OTHER, API + "\0", "a\0" + API, SITE4, "-x.y",
                 "", "a..b", API + "%2f", "\u00fc." + BASE, " " + API):
        yield (f"the name {text!r}", tls_lab.records(tls_lab.hello(
            tls_lab.sni(text.encode("latin-1")))), "sni-unparseable")
    yield ("16 KiB and one byte", tls_lab.records(tls_lab.hello(
        good, padding=16385)), "sni-unparseable")
    yield ("HTTP", b"GET / HTTP/1.1\r\nHost: " + API.encode() + b"\r\n\r\n",
           "sni-unparseable")
    yield ("SSLv2", b"\x80\x2e\1\0\2\0\x15\0\0\0\x10" + bytes(37),
           "sni-unparseable")
    yield ("an alert", b"\x15\3\1\0\2\2\x28", "sni-unparseable")
    yield ("an empty record", b"\x16\3\1\0\0" + whole, "sni-unparseable")
    yield ("a length that lies", whole[:9] + b"\xff\xff" + whole[11:],
           "sni-unparseable")
    yield ("random bytes", bytes(range(256)) * 70, "sni-unparseable")
    for name in (OTHER, "api." + BASE + ".evil.example.net", "evil" + API,
                 "x." + API, BASE):
        yield (f"SNI {name}", tls_lab.records(tls_lab.hello(
            tls_lab.sni(name))), "sni-mismatch")


@case(quick=True, gateways=OURS)
def bad_first_flights(t):
    """ECH, GREASE, no name, two names, junk: each with its reason."""
    _, server = site(t)
    rows = list(bad_hellos())
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        guest.call("lookup", API)
        for what, flight, _ in rows:
            # What is cut short is judged at its end: the guest's FIN.
            outcome, seconds, back = guest.call(
                "pieces", SITE4, 443, [flight.hex()], fin=True)
            t.check(outcome in RESETS and not back,
                    f"{what}: {outcome} after {seconds:.2f} s")
            t.check(seconds < 2, f"{what}: refused after {seconds:.2f} s")
        untouched(t, server)
        t.equal(curl(guest, server, f"https://{API}/")[0], 0, "a good one")
    found = names_lab.all_denied(t)
    for what, _, reason in rows:
        t.check(found.get(reason, 0) > 0, f"{what}: no {reason} in {found}")
    wanted = {}
    for _, _, reason in rows:
        wanted[reason] = wanted.get(reason, 0) + 1
    t.equal(found, wanted, "reasons")


@case(quick=True, gateways=OURS, timeout=400)
def one_bad_flight_each(t):
    """As above, one guest's log line at a time: which reason belongs to which. From
    the eleventh of a reason on, a line tells of ten seconds."""
    _, server = site(t)
    rows = [r for n, r in enumerate(bad_hellos()) if n % t.scale(1, 6) == 0]
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        guest.call("lookup", API)
        for what, flight, reason in rows:
            before = names_lab.all_denied(t)
            guest.call("pieces", SITE4, 443, [flight.hex()], fin=True)
            t.check(lab.wait_until(
                lambda: names_lab.grown(before, names_lab.all_denied(t)), 12),
                f"{what}: no record")
            t.equal(names_lab.grown(before, names_lab.all_denied(t)),
                    {reason: 1}, what)
    untouched(t, server)


@case(quick=True, gateways=OURS)
def longest_flight(t):
    """A hello of 16 KiB gets there whole; with a byte more it gets nowhere."""
    _, server = site(t)
    least = len(tls_lab.records(tls_lab.hello(tls_lab.sni(API), padding=1)))
    flights = [tls_lab.records(tls_lab.hello(tls_lab.sni(API), padding=size))
               for size in (16385 - least, 16386 - least)]
    t.equal([len(f) for f in flights], [16384, 16385])
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        guest.call("lookup", API)
        for flight in reversed(flights):
            guest.call("pieces", SITE4, 443, [flight.hex()], fin=True)
        t.check(lab.wait_until(lambda: server.raws() == [16384], 3),
                f"at the server: {server.raws()}")
    t.equal(server.spoken()[0].raw, flights[0], "the flight")
    denied(t, "sni-unparseable")


@case(gateways=OURS)
def one_alphabet(t):
    """Every byte in every place of a label: what resolves is a name in a hello, and
    nothing else is (B11)."""
    names_lab.World(t, liar={"*.lie.example.net": {dnswire.A: (60, [SITE4])}})
    server = t.keep(tls_lab.VhostServer(t.lab, [API]))
    rule = 'allow to name "**.lie.example.net" port tcp 443\n'
    labels = sorted({b"xyz"[:n] + bytes([value]) + b"xyz"[n + 1:]
                     for value in range(256) for n in range(3)})
    with t.guest(policy=names_lab.policy(rule)) as guest:
        got = names_lab.answers(guest, [dnswire.query(
            [label, b"lie", b"example", b"net"]) for label in labels])
        named = {labels[n] for n, (m, _) in got.items() if m.addresses()}
        shown = set()
        for first in range(0, len(labels), 64):
            handles = {label: guest.start("pieces", SITE4, 443, [
                tls_lab.records(tls_lab.hello(tls_lab.sni(
                    label + b".lie.example.net"))).hex()], fin=True)
                for label in labels[first:first + 64]}
            shown |= {label for label, handle in handles.items()
                      if guest.finish(handle)[2]}
    t.equal(len(got), len(labels), "answers")
    # 64 bytes are good, the hyphen in the middle alone; "xyz" comes three times.
    t.equal(len(named), 63 + 64 + 63 - 2, "names")
    t.equal(named ^ shown, set(), "a name in one place only")
    t.equal(len(server.raws()), len(shown), "connections with a byte")
    t.check(set(names_lab.all_denied(t)) <= {"sni-unparseable",
                                             "sni-mismatch"}, "reasons")


@case(quick=True, gateways=OURS)
def ech_where_allowed(t):
    """`ech allow` lets it through, and the record has it."""
    _, server = site(t)
    rule = f'allow to name "{API}" port tcp 443 ech allow label "api"\n'
    flight = tls_lab.records(tls_lab.hello(tls_lab.sni(API), tls_lab.ech()))
    with t.guest(policy=names_lab.policy(rule)) as guest:
        guest.call("lookup", API)
        guest.call("pieces", SITE4, 443, [flight.hex()], fin=True)
        t.check(lab.wait_until(lambda: server.log and
                               getattr(server.log[0], "raw", b"") == flight,
                               3), "the flight did not arrive whole")
    t.equal([(r["sni"], r.get("ech"))
             for r in t.records("flow.open")], [(API, True)])


@case(timeout=90, gateways=OURS)
def slow_hellos(t):
    """Nothing, and a byte now and then: over after five seconds."""
    _, server = site(t)
    flight = tls_lab.records(tls_lab.hello(tls_lab.sni(API)))
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        guest.call("lookup", API)
        handles = [guest.start("pieces", SITE4, 443, [], wait=20.0)]
        handles += [guest.start("pieces", SITE4, 443, [
            *(flight[n:n + 1].hex() for n in range(len(flight)))],
            pause=pause, wait=20.0) for pause in (0.1, 0.5)]
        for handle in handles:
            outcome, seconds, back = guest.finish(handle)
            t.check(outcome in RESETS and not back, outcome)
            t.check(4 < seconds < 6.5, f"over after {seconds:.1f} s")
        t.equal(guest.call("connect", SITE4, 443)[0], "ok", "afterwards")
    untouched(t, server)
    t.equal(names_lab.all_denied(t), {"tls-timeout": 3})
    t.equal([(r["reason"], r.get("verdict")) for r in t.records("flow.close")],
            [("guest-cancel", None)])


@case(gateways=OURS)
def first_flight_never_comes(t):
    """FIN or RST instead of a hello, or in its midst: the server gets no byte, and
    a reset."""
    _, server = site(t)
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        guest.call("lookup", API)
        t.equal(guest.call("pieces", SITE4, 443, [], fin=True)[1] < 2, True)
        guest.call("abort", SITE4, 443, send=0)
        guest.call("abort", SITE4, 443, send=100)
        t.equal(curl(guest, server, f"https://{API}/")[0], 0)
    t.equal(len(server.raws()), 1, "connections with a byte")
    t.check(set(names_lab.all_denied(t)) <= {"sni-unparseable"}, "reasons")
    undecided = [r["reason"] for r in t.records("flow.close")
                 if "verdict" not in r]
    t.check("guest-cancel" in undecided, f"{undecided}")


@case(quick=True, gateways=OURS)
def server_speaks_first(t):
    """What it says cannot be let through before the name is shown: refused at once,
    with a reason of its own."""
    names_lab.World(t)
    t.serve(servers.greet(b"SSH-2.0-lab\r\n"), port=443)
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        guest.call("lookup", API)
        outcome, seconds, back = guest.call("pieces", SITE4, 443, [], wait=9.0)
        t.check(outcome in RESETS and not back, f"{outcome} {back}")
        t.check(seconds < 1, f"after {seconds:.2f} s")
    denied(t, "server-first")


@case(quick=True, gateways=OURS)
def nobody_there(t):
    """A server that is not there is seen as such, and at once: there is no
    handshake with nobody."""
    names_lab.World(t)
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        guest.call("lookup", API)
        for address in (SITE4, SITE6):
            outcome, seconds = guest.call("connect", address, 443)
            t.equal(outcome, "ECONNREFUSED", address)
            t.check(seconds < 1, f"{address}: after {seconds:.2f} s")
    t.equal([(r["reason"], r.get("verdict"), r["name"]) for r in
             t.records("flow.close")], [("connect-refused", None, API)] * 2)
    t.equal([r["wants"] for r in t.records("flow.dial")], ["proof"] * 2)
    t.equal(t.records("flow.open", "flow.deny"), [])


# ---- other ways to verify ----------------------------------------------------------

@case(quick=True, gateways=OURS)
def verify_none(t):
    """A protocol in which the server speaks first; bound by the address alone."""
    names_lab.World(t)
    server = t.serve(servers.greet(b"SSH-2.0-lab\r\n"), port=2222)
    rule = (f'allow to name "{API}" port tcp 2222 verify none label "ssh"\n')
    with t.guest(policy=names_lab.policy(rule)) as guest:
        t.equal(guest.call("connect", SITE4, 2222)[0], "ECONNREFUSED")
        guest.call("lookup", API)
        for address in (SITE4, SITE6):
            t.equal(guest.call("read", address, 2222)["text"],
                    "SSH-2.0-lab\r\n", address)
    t.equal(len(server.log), 2)
    t.equal([(r["name"], r["assurance"]) for r in t.records("flow.open")],
            [(API, "dns")] * 2)
    denied(t, "no-pin")


@case(quick=True, gateways=OURS)
def verify_host(t):
    """Port 80: the Host of the first request, or nothing."""
    names_lab.World(t)
    server = t.serve(servers.http(b"body"), port=80)
    rule = f'allow to name "{API}" port tcp 80 verify host label "web"\n'
    rows = (("another", f"Host: {OTHER}", "vhost-mismatch"),
            ("none", "X-Nothing: 1", "vhost-missing"),
            ("two", f"Host: {API}\r\nHost: {OTHER}", "vhost-unparseable"),
            ("dot", f"Host: {API}.", "vhost-unparseable"),
            ("NUL", f"Host: {API}\0.x", "vhost-unparseable"),
            ("space", f"Host : {API}", "vhost-unparseable"))
    with t.guest(policy=names_lab.policy(rule)) as guest:
        guest.call("lookup", API)
        code, out, err = guest.call("run", [*CLIENT, f"http://{API}/"])
        t.equal((code, out), (0, "body"), err)
        for host in (API.upper(), API + ":80"):
            code, out, err = guest.call("run", [
                *CLIENT, "-H", "Host: " + host, f"http://{API}/"])
            t.equal((code, out), (0, "body"), f"Host {host}: {err}")
        seen = len(server.log)
        for what, line, _ in rows:
            text = f"GET / HTTP/1.1\r\n{line}\r\n\r\n".encode()
            outcome, _, back = guest.call("pieces", SITE4, 80, [text.hex()],
                                          fin=True)
            t.check(outcome in RESETS and not back, f"{what}: {outcome}")
        t.equal([c.data for c in server.log[seen:] if c.data], [],
                "bytes of the bad ones")
    t.equal(names_lab.all_denied(t), names_lab.count(r for _, _, r in rows))
    t.equal({r["assurance"] for r in t.records("flow.open")}, {"host"})


# ---- datagrams -----------------------------------------------------------------------

@case(quick=True, gateways=OURS)
def udp_only_when_written(t):
    """`port udp` opens it, for the pinned address only."""
    names_lab.World(t)
    rules = RULES + f'allow to name "{API}" port udp 123 label "ntp"\n'
    server = t.keep(servers.UdpServer(t.lab.internet, SITE4, port=123))
    with t.guest(policy=names_lab.policy(rules), fds=False) as guest:
        t.equal(guest.call("udp_error", SITE4, 123)[0], "EHOSTUNREACH")
        guest.call("lookup", API)
        t.equal(guest.call("udp", SITE4, 123, [10, 1000]), [])
        t.equal(guest.call("udp_error", STRAY4, 123)[0], "EHOSTUNREACH")
    t.equal(len(server.log), 2, "datagrams")
    denied(t, "no-pin", 2)
    t.equal([(r["name"], r["assurance"]) for r in t.records("flow.open")],
            [(API, "dns")])


@case(quick=True, gateways=OURS)
def quic_falls_back(t):
    """UDP 443 at an address that is allowed by TCP: refused at once."""
    names_lab.World(t)
    canary = t.keep(servers.UdpServer(t.lab.internet, SITE4, port=443))
    with t.guest(policy=names_lab.policy(RULES)) as guest:
        guest.call("lookup", API)
        for address, wanted in ((SITE4, "EHOSTUNREACH"), (SITE6, "EACCES")):
            error, seconds = guest.call("udp_error", address, 443)
            t.equal(error, wanted, address)
            t.check(seconds < 0.2, f"{address}: after {seconds:.2f} s")
    t.equal(canary.log, [], "datagrams")
    denied(t, "quic-unverifiable", 2)


# ---- pins -------------------------------------------------------------------------------

@case(gateways=OURS)
def pins_run_out(t):
    """After expiry and grace a new flow is refused; the old one lives."""
    names_lab.World(t)
    server = t.serve(servers.echo, port=2222)
    rules = f'allow to name "long.{BASE}" port tcp 2222 verify none\n'
    with t.guest(policy=names_lab.policy(
            rules, "pin min 1s max 2s grace 1s")) as guest:
        answer = names_lab.ask(guest, f"long.{BASE}")
        t.equal([r[2] for r in answer.answers], [2], "TTL of the answer")
        t.equal(guest.call("hold", SITE4, 2222, 1), 1)
        old = guest.start("pause_echo", SITE4, 2222, 4.2)
        t.equal(guest.call("connect", SITE4, 2222)[0], "ok", "at first")
        gone = lab.wait_until(lambda: guest.call(
            "connect", SITE4, 2222)[0] == "ECONNREFUSED", 5, step=0.1)
        t.check(gone, "the pin did not run out")
        t.equal(guest.finish(old), "ab", "the old flow")
        t.equal(guest.call("trickle", 3), 3, "the held flow")
        guest.call("lookup", f"long.{BASE}")
        t.equal(guest.call("connect", SITE4, 2222)[0], "ok", "looked up again")
        guest.call("release")
    t.equal(set(names_lab.all_denied(t)), {"pin-expired"})
    t.check(len(server.log) >= 4, "connections")


@case(quick=True, gateways=OURS)
def pins_and_short_ttls(t):
    """The guest is told the pin's least life, not the zone's shorter one."""
    names_lab.World(t)
    rules = f'allow to name "**.{BASE}" port tcp 2222 verify none\n'
    with t.guest(policy=names_lab.policy(
            rules, "pin min 30s max 600s grace 5s")) as guest:
        for name, low, high in (("short", 30, 30), ("long", 600, 600),
                                ("only4", 290, 300)):
            ttl = names_lab.ask(guest, f"{name}.{BASE}").answers[0][2]
            t.check(low <= ttl <= high, f"{name}: TTL {ttl}")


@case(quick=True, gateways=OURS)
def literals_beside_names(t):
    """A net rule needs no name, and a name rule never matches a literal."""
    names_lab.World(t)
    t.serve(servers.greet(b"x"), port=443)
    rules = RULES + f'allow to net {STRAY4} port tcp 443 label "net"\n'
    with t.guest(policy=names_lab.policy(rules)) as guest:
        t.equal(guest.call("connect", STRAY4, 443)[0], "ok")
        t.equal(guest.call("connect", SITE4, 443)[0], "ECONNREFUSED")
    t.equal([(r["rule_id"], r.get("assurance", "none"))
             for r in t.records("flow.open")], [("net", "none")])
