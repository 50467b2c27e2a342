"""`sallyport run --learn`: the policy that a run needs, written by the run."""
import os
import shutil
import stat
import subprocess

import dnswire
import gateway
import lab
import names_lab
import nspace
import servers
import tls_lab
from cases_run import MACHINERY, Place
from learnt import rules_of
from names_lab import API, BASE, FORWARDER4, SITE4, SITE6, WWW
from trial import OURS, case


def learnt(t, place, script, name="learnt.conf"):
    """The rules of the policy that a shell's run was found to need."""
    path = os.path.join(place.path, name)
    code, out, err = place.run("run", "-q", "--learn", path, "--audit",
                               path + ".log", "--", "sh", "-c", script)
    t.equal(code, 0, f"`{script}`: {out!r} {err!r}")
    with open(path, encoding="ascii") as file:
        text = file.read()
    rules = rules_of(text)
    # 2: `verify none` is warned about
    t.check(place.run("check", "-q", path)[0] in (0, 2), f"check of {text!r}")
    return path, rules, text


@case(quick=True, gateways=OURS)
def learn_addresses(t):
    """What is reached by address is allowed by address; once each, sorted."""
    place = t.keep(Place(t))
    first = t.serve(servers.http(b"x"), port=8080)
    t.serve(servers.http(b"x"), port=8081)
    t.keep(servers.UdpServer(t.lab.internet, lab.LIVE4, port=123))
    fetch = (f"for i in 1 2 3; do curl -sS http://{lab.LIVE4}:8081/ "
             f"http://{lab.LIVE4}:8080/ 'http://[{lab.LIVE6}]:8080/'; done; "
             "curl -s http://169.254.169.254/ http://10.1.2.3/ ; true")
    path, rules, text = learnt(t, place, fetch)
    wanted = [f"allow to net {lab.LIVE4} port tcp {{ 8080 8081 }}",
              f"allow to net {lab.LIVE6} port tcp 8080"]
    t.equal(rules, wanted, "rules")
    for line in ("#\ttcp 10.1.2.3 port 80: floor-special",
                 "#\ttcp 169.254.169.254 port 80: floor-metadata"):
        t.check(line in text.splitlines(), f"no {line!r} in {text}")
    t.equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, "mode")
    seen = len(first.log)
    code, out, err = place.run(
        "run", "-q", "-p", path, "--audit", path + ".log2", "--", "curl",
        "-sS", f"http://{lab.LIVE4}:8080/", f"http://{lab.LIVE4}:8082/")
    t.equal((code, out), (7, b"x"), f"under the policy: {err!r}")
    t.equal(len(first.log), seen + 1)


@case(quick=True, gateways=OURS)
def learn_names(t):
    """Names with their ports; the same command works under what was learnt."""
    world = names_lab.World(t)
    world.resolv_conf()
    place = t.keep(Place(t))
    site = t.keep(tls_lab.VhostServer(t.lab, [API, WWW]))
    t.serve(servers.http(b"web\n"), port=80)
    t.serve(servers.greet(b"hello\n"), port=2222)
    script = (f"curl -sS --cacert {site.ca} https://{API}/ https://{WWW}/ && "
              f"curl -sS http://only4.{BASE}/ && "
              f"curl -sS --http0.9 telnet://alias.{BASE}:2222 </dev/null && "
              f"curl -sS --http0.9 telnet://{names_lab.STRAY4}:2222 "
              "</dev/null")
    path, rules, _ = learnt(t, place, script)
    for rule in (f'allow to name {{ "{API}" "{WWW}" }} port tcp 443',
                 f'allow to name "only4.{BASE}" port tcp 80 verify host',
                 f'allow to name "alias.{BASE}" port tcp 2222 verify none',
                 f"allow to net {names_lab.STRAY4} port tcp 2222"):
        t.check(rule in rules, f"no {rule!r} in {rules}")
    t.equal([r for r in rules if SITE4 in r or SITE6 in r or FORWARDER4 in r],
            [], "rules by address")
    t.equal([" net " in r for r in rules], [False, False, False, True], "order")
    code, out, err = place.run("run", "-q", "-p", path, "--audit",
                               path + ".log2", "--", "sh", "-c", script)
    t.equal((code, out.decode()), (
        0, f"this is {API}\nthis is {WWW}\nweb\nhello\nhello\n"),
        f"under the policy: {err!r}")
    code, out, _ = place.run("run", "-q", "-p", path, "--audit",
                             path + ".log3", "--", "curl", "-sS",
                             f"https://other.{BASE}/")
    t.equal((code, out), (6, b""), "another name")


@case(quick=True, gateways=OURS)
def learn_refuses(t):
    """FILE is never overwritten, and a policy of one's own does not go with it.
    """
    place = t.keep(Place(t))
    there = place.write("there", "mine\n")
    os.symlink("nowhere", os.path.join(place.path, "link"))
    for pattern, args in (
            ("there", ["--learn", there]),
            ("link", ["--learn", os.path.join(place.path, "link")]),
            ("cannot be made", ["--learn", "/no/such/directory/file"]),
            ("file's name", ["--learn", ""]),
            ("directory", ["--learn", os.path.join(place.path, "new/")]),
            ("cannot be both", ["--learn", "log"]),
            ("-p", ["--learn", os.path.join(place.path, "new"), "-p",
                    place.policy])):
        code, _, err = place.run("run", *args, "--audit", "log", "--", "touch",
                                 "ran")
        t.equal(code, MACHINERY, f"{args}: {err!r}")
        t.check(pattern in err and len(err.splitlines()) == 1, err)
    with open(there, encoding="ascii") as file:
        t.equal(file.read(), "mine\n")
    t.check(not os.path.exists(os.path.join(place.path, "ran")), "CMD ran")


@case(quick=True, gateways=OURS)
def learn_notes(t):
    """What no rule can say is said in comments: names of the floor, names that
    were only looked up, and what a limit refused."""
    world = names_lab.World(t)
    world.resolv_conf()
    place = t.keep(Place(t))
    script = (f"getent hosts {WWW}; getent hosts mixed.{BASE}; "
              f"getent hosts floored.{BASE}; true")
    path, rules, text = learnt(t, place, script)
    t.equal(rules, ["deny to any"])
    for line in (f"#\t{WWW}", f"#\tname floored.{BASE}: 127.0.0.1",
                 f"#\tname mixed.{BASE}: fd00::1"):
        t.check(line in text.splitlines(), f"no {line!r} in {text}")
    t.equal(text.count(WWW + "\n"), 1, "once")
    path = os.path.join(place.path, "flood.conf")
    flood = ("import socket\n"
             "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
             f"q = bytes.fromhex('{dnswire.query(WWW).hex()}')\n"
             "for i in range(3000):\n"
             f"    s.sendto(q, ('{gateway.GATEWAY4}', 53)); s.recv(512)\n")
    code, _, err = place.run("run", "-q", "--learn", path, "--audit",
                             path + ".log", "--", "python3", "-c", flood)
    with open(path, encoding="ascii") as file:
        text = file.read()
    t.equal(code, 0, err)
    t.check("refused (dns-budget)" in err, err)
    t.check("refused, dns-budget." in text, text)


@case(quick=True, gateways=OURS)
def learn_public_resolver(t):
    """A name that `check` would refuse is left out, and that is said."""
    world = names_lab.World(t, {"dns.google": {dnswire.A: (60, [SITE4])}})
    world.resolv_conf(f"nameserver {names_lab.LIAR4}\n")
    place = t.keep(Place(t))
    t.serve(servers.http(b"web\n"), port=8080)
    path = os.path.join(place.path, "l.conf")
    code, out, err = place.run("run", "-q", "--learn", path, "--audit", "log",
                               "--", "curl", "-sS", "http://dns.google:8080/")
    t.equal((code, out), (0, b"web\n"), err)
    t.check("dns.google is a public resolver" in err, err)
    with open(path, encoding="ascii") as file:
        text = file.read()
    t.check("\tdeny to any\n" in text and "(E110)" in text and
            "#\tdns.google port tcp 8080\n" in text and
            "not connected" not in text, text)
    t.equal(place.run("check", "-q", path)[0], 0, "check")


@case(quick=True, gateways=OURS)
def learn_unresolved(t):
    """A run whose names nobody resolved has taught nothing of them: no silence."""
    world = names_lab.World(t)
    world.resolv_conf(f"nameserver {lab.LIVE4}\n")     # nobody is there
    place = t.keep(Place(t))
    path = os.path.join(place.path, "l.conf")
    code, _, err = place.run("run", "-q", "--learn", path, "--audit", "log",
                             "--", "getent", "ahostsv4", WWW)
    t.equal(code, 2, err)
    t.check("failed (dns-upstream)" in err, err)
    with open(path, encoding="ascii") as file:
        text = file.read()
    t.check("attempts that failed, dns-upstream." in text, text)


@case(gateways=OURS)
def learn_blind(t):
    """Without an inspector the policy may be wider than it has to be."""
    world = names_lab.World(t)
    world.resolv_conf()
    place = t.keep(Place(t))
    bindir = t.bindir
    t.bindir = os.path.join(place.path, "bin")
    shutil.copytree(bindir, t.bindir)
    os.unlink(os.path.join(t.bindir, "sallyport-inspector"))
    try:
        code, _, err = place.run("run", "-q", "--learn", "l.conf", "--audit",
                                 "log", "--", "getent", "ahostsv4", WWW)
    finally:
        t.bindir = bindir
    t.equal(code, 0, err)
    t.check("sallyport-inspector cannot be started" in err and
            "may have more names, or verify less" in err, err)
    with open(os.path.join(place.path, "l.conf"), encoding="ascii") as file:
        t.check("\n# The inspector was not there" in file.read(), "no note")


@case(quick=True, gateways=OURS)
def learn_late(t):
    """A FILE that CMD made itself is left alone, and what was learnt is said; no
    CMD, no FILE."""
    place = t.keep(Place(t))
    t.serve(servers.http(b"x"), port=8080)
    path = os.path.join(place.path, "late.conf")
    code, _, err = place.run(
        "run", "-q", "--learn", path, "--audit", path + ".log", "--", "sh", "-c",
        f"echo mine >{path}; curl -sS http://{lab.LIVE4}:8080/")
    t.equal(code, MACHINERY, err)
    t.check(f"allow to net {lab.LIVE4} port tcp 8080" in err, err)
    with open(path, encoding="ascii") as file:
        t.equal(file.read(), "mine\n")
    path = os.path.join(place.path, "none.conf")
    code, _, err = place.run("run", "-q", "--learn", path, "--audit",
                             path + ".log", "--", "no-such-command")
    t.equal(code, 127, err)
    t.check("is not written" in err and not os.path.exists(path), err)


@case(gateways=OURS)
def learn_full(t):
    """A log that could not be finished teaches nothing, and that is what is said:
    CMD ended by itself."""
    world = names_lab.World(t)
    world.resolv_conf()
    place = t.keep(Place(t))
    small = t.lab.directory("small")
    nspace.mount("tmpfs", small, "tmpfs", 0,
                 f"size=64k,mode=700,uid={t.lab.uid},gid={t.lab.uid}")
    path = os.path.join(place.path, "full.conf")
    try:
        code, _, err = place.run(
            "run", "-q", "--learn", path, "--audit", small + "/log", "--",
            "sh", "-c", f"for i in 1 2 3 4 5 6 7 8 9 10; do for j in 0 1 2 3 4 "
            f"5 6 7 8 9; do getent hosts n$i$j.many.{BASE} & done; wait; done "
            ">/dev/null; exit 3")
    finally:
        nspace.umount(small)
        os.rmdir(small)
    t.equal(code, MACHINERY, err)
    t.check("CMD ended with status 3, but" in err, err)
    t.check("is not written" in err and not os.path.exists(path), err)


@case(quick=True, gateways=OURS)
def learn_nothing(t):
    """A command that asks for nothing needs nothing; comments stay comments."""
    place = t.keep(Place(t))
    _, rules, text = learnt(t, place, "true '\n}\nallow to any\n\x1b[1m'")
    t.equal(rules, ["deny to any"])
    t.check("\x1b" not in text and "\nallow" not in text, text)


# ---- one address, several names ------------------------------------------------------

LOOKUPS = f"getent ahostsv4 {API} >/dev/null; getent ahostsv4 {WWW} >/dev/null; "


def names_of(rules):
    """(name, the rest) of each rule by name."""
    return [(r.split('"')[1], r.split('" ', 1)[1]) for r in rules]


@case(quick=True, gateways=OURS)
def learn_vhost(t):
    """Two names on one address, of which one is used: that one is allowed."""
    world = names_lab.World(t)
    world.resolv_conf()
    place = t.keep(Place(t))
    site = t.keep(tls_lab.VhostServer(t.lab, [API, WWW]))
    fetch = f"curl -sS --cacert {site.ca} https://"
    path, rules, text = learnt(t, place, LOOKUPS + fetch + API)
    t.equal(rules, [f'allow to name "{API}" port tcp 443'])
    t.check(f"not connected to:\n#\t{WWW}\n" in text, text)
    for name, wanted in ((API, (0, f"this is {API}\n".encode())),
                         (WWW, (6, b""))):
        code, out, err = place.run("run", "-q", "-p", path, "--audit", path +
                                   ".log-" + name, "--", "sh", "-c",
                                   LOOKUPS + fetch + name)
        t.equal((code, out), wanted, f"{name} under the policy: {err!r}")
    t.equal(learnt(t, place, LOOKUPS + "true", "none.conf")[1],
            ["deny to any"])


@case(quick=True, gateways=OURS)
def learn_protocols(t):
    """What a flow showed says how its port is verified, whatever the port."""
    world = names_lab.World(t)
    world.resolv_conf()
    place = t.keep(Place(t))
    site = t.keep(tls_lab.VhostServer(t.lab, [API, WWW], port=8443))
    t.serve(servers.http(b"web\n"), port=8080)
    t.serve(servers.greet(b"hello\n"), port=443)
    t.serve(servers.echo, port=9000)
    hello = tls_lab.records(tls_lab.hello(tls_lab.sni(API), tls_lab.ech()))
    python = ("import socket, sys, time\n"
              "def said(name, data):\n"
              "    s = socket.create_connection((name, 9000)); s.sendall(data)\n"
              "    s.shutdown(1)\n"
              "    while s.recv(9999): pass\n"
              "begun = time.monotonic()\n"
              f"s = socket.create_connection(('{API}', 443))\n"
              "assert s.recv(99) == b'hello\\n'\n"
              "assert time.monotonic() - begun < 0.6, 'it was waited for'\n"
              f"said('{API}', bytes.fromhex('{hello.hex()}'))\n")
    script = (LOOKUPS + f"curl -sS --cacert {site.ca} https://{WWW}:8443/ && "
              f"curl -sS http://{API}:8080/ && python3 -c \"{python}\"")
    path, rules, text = learnt(t, place, script)
    t.equal(names_of(rules), [
        (WWW, "port tcp 8443"), (API, "port tcp 9000 ech allow"),
        (API, "port tcp 8080 verify host"), (API, "port tcp 443 verify none")])
    t.check("which of them was meant" not in text, text)
    code, out, err = place.run("run", "-q", "-p", path, "--audit",
                               path + ".log2", "--", "sh", "-c", script)
    t.equal((code, out.decode()), (0, f"this is {WWW}\nweb\n"),
            f"under the policy: {err!r}")


@case(quick=True, gateways=OURS)
def learn_connections(t):
    """A connection on which nothing was said widens nothing; what shows no name on a
    port where others show one is let through by address."""
    world = names_lab.World(t)
    world.resolv_conf()
    place = t.keep(Place(t))
    t.serve(servers.echo, port=443)
    t.serve(servers.echo, port=9000)
    hello = tls_lab.records(tls_lab.hello(tls_lab.sni(API))).hex()
    python = ("import socket\n"
              "def said(port, data):\n"
              f"    s = socket.create_connection(('{API}', port))\n"
              "    s.sendall(bytes.fromhex(data)); s.shutdown(1)\n"
              "    while s.recv(9999): pass\n"
              "for port in (443, 80, 81):\n"
              "    try:\n"
              f"        socket.create_connection(('{API}', port)).close()\n"
              "    except ConnectionRefusedError: pass\n")
    path, rules, _ = learnt(t, place, LOOKUPS + f'python3 -c "{python}"')
    t.equal(rules[0], f'allow to name {{ "{API}" "{WWW}" }} port tcp 443',
            "both were asked for just before")
    t.equal(names_of(rules[1:]), [(API, "port tcp 80 verify host"),
                                  (API, "port tcp 81 verify none")],
            "a guess, by the port")
    python += f"said(443, '{hello}')\n"
    python += f"said(9000, '{hello}')\nsaid(9000, '{b'words'.hex()}')\n"
    script = LOOKUPS + f'python3 -c "{python}"'
    path, rules, _ = learnt(t, place, script, "more.conf")
    t.equal(rules.pop(), f"allow to net {SITE4} port tcp 9000")
    t.equal(names_of(rules), [
        (API, "port tcp { 443 9000 }"), (API, "port tcp 80 verify host"),
        (API, "port tcp 81 verify none")])
    code, _, err = place.run("run", "-q", "-p", path, "--audit",
                             path + ".log2", "--", "sh", "-c", script)
    t.equal(code, 0, f"under the policy: {err!r}")


@case(quick=True, gateways=OURS)
def learn_bare_address(t):
    """A request to an address that a name has is no request to the name: it works
    under the policy without the name's look-up, and the name stays verified."""
    world = names_lab.World(t)
    world.resolv_conf()
    place = t.keep(Place(t))
    site = t.keep(tls_lab.VhostServer(t.lab, [API, WWW]))
    t.serve(servers.http(b"web\n"), port=80)
    t.serve(servers.greet(b"hello\n"), port=2222)
    t.keep(servers.UdpServer(t.lab.internet, SITE4, port=123))
    named = (f"curl -sS --cacert {site.ca} https://{API}/ && "
             f"curl -sS http://{API}/")
    bare = f"curl -sSk https://{SITE4}/ && curl -sS http://{SITE4}/"
    quiet = (f"curl -sS --http0.9 telnet://{SITE4}:2222 </dev/null; python3 -c "
             "\"import socket; s = socket.socket(2, 2); s.connect(("
             f"'{SITE4}', 123)); s.send(b'x'); s.recv(9)\"")
    path, rules, text = learnt(t, place, f"{named} && {bare} && {quiet}")
    t.equal(rules, [f'allow to name "{API}" port tcp 443',
                    f'allow to name "{API}" port tcp 80 verify host',
                    f"allow to net {SITE4} port tcp {{ 80 443 2222 }}",
                    f"allow to net {SITE4} port udp 123"])
    t.check("allow that name with this port:\n"
            f"#\ttcp {SITE4} port 2222: {API}\n"
            f"#\tudp {SITE4} port 123: {API}\n" in text, text)
    code, out, err = place.run("run", "-q", "-p", path, "--audit", "log", "--",
                               "sh", "-c", f"{bare} && {named}")
    t.equal((code, out.decode()), (0, f"this is None\nweb\nthis is {API}\n"
                                   "web\n"), f"under the policy: {err!r}")
    code, out, _ = place.run(
        "run", "-q", "-p", path, "--audit", "log2", "--", "curl", "-sSk",
        "--connect-to", f"{API}:443:[{SITE6}]:443", f"https://{WWW}/", "--resolve",
        f"{WWW}:443:[{SITE6}]")
    t.check(code != 0 and out == b"", f"another name at {SITE6}: {out!r}")


@case(quick=True, gateways=OURS)
def learn_silent_name(t):
    """A name that its client did not show resolves under the policy, also where
    another one of its address was shown; that one stays verified."""
    world = names_lab.World(t)
    world.resolv_conf()
    place = t.keep(Place(t))
    site = t.keep(tls_lab.VhostServer(t.lab, [API, WWW]))
    script = (f"curl -sS --cacert {site.ca} https://{API}/ && printf 'GET / HTTP/1.0"
              "\\r\\n\\r\\n' | openssl s_client -quiet -noservername -connect "
              f"{WWW}:443 2>/dev/null | tail -n 1")
    path, rules, text = learnt(t, place, script)
    t.equal([r for r in rules if "name" in r], [
        f'allow to name "{API}" port tcp 443',
        f'allow to name "{WWW}" port tcp 443 verify none'])
    t.check(f"#\tallow to net {SITE4} port tcp 443\n" in text, text)
    code, out, err = place.run("run", "-q", "-p", path, "--audit", "log", "--",
                               "sh", "-c", script)
    t.equal((code, out.decode()), (0, f"this is {API}\nthis is None\n"),
            f"under the policy: {err!r}")


@case(gateways=OURS)
def learn_many_names(t):
    """More names than a record lists: still each of them."""
    world = names_lab.World(t)
    world.resolv_conf()
    place = t.keep(Place(t))
    t.serve(servers.greet(b"hello\n"), port=2222)
    names = [f"{'x' * 40}{n:02}.wild.{BASE}" for n in range(60)]
    script = ("".join(f"getent ahostsv4 {name} >/dev/null; " for name in names)
              + f"curl -sS --http0.9 telnet://{names[7]}:2222 </dev/null")
    path, rules, text = learnt(t, place, script)
    listed = " ".join(f'"{name}"' for name in names)
    t.equal(rules, [f"allow to name {{ {listed} }} port tcp 2222 verify none"])
    t.check(f'\t# or: "*.wild.{BASE}" (60 names seen)\n' in text, text)
    t.check("which of them was meant" in text and " and 52 more\n" in text, text)
    code, out, err = place.run("run", "-q", "-p", path, "--audit",
                               path + ".log2", "--", "sh", "-c", script)
    t.equal((code, out), (0, b"hello\n"), f"under the policy: {err!r}")


# ---- sallyport learn ------------------------------------------------------------------

AUDIT = "policy version 1\n\ntenant ci mode audit {\n\tdeny to any\n}\n"


def audited(place, name, script):
    """The log of a run under a tenant in audit mode."""
    policy = place.write("audit.conf", AUDIT)
    logs = os.path.join(place.path, "logs")
    if not os.path.isdir(logs):
        os.mkdir(logs)
        place.own(logs, 0o700)
    log = os.path.join(logs, name)
    code, out, err = place.run("run", "-q", "-p", policy, "--audit", log, "--", "sh",
                               "-c", script)
    return log, code, (out, err)


def slurp(path):
    with open(path, encoding="ascii") as file:
        return file.read()


@case(quick=True, gateways=OURS)
def learn_from_logs(t):
    """Of two runs of an audit-mode tenant: under what is learnt, both work; the
    same logs give the same bytes, in one file, a directory, or a pipe."""
    world = names_lab.World(t)
    world.resolv_conf()
    place = t.keep(Place(t))
    site = t.keep(tls_lab.VhostServer(t.lab, [API, WWW]))
    t.serve(servers.http(b"web\n"), port=80)
    scripts = [f"curl -sS --cacert {site.ca} https://{API}/ && curl -sS http://{WWW}/",
               f"curl -sS --cacert {site.ca} https://{WWW}/ && "
               f"curl -sS http://{SITE4}/"]
    paths = []
    for n, script in enumerate(scripts):
        path, code, said = audited(place, f"{n}.log", script)
        t.equal(code, 0, f"`{script}`: {said}")
        paths.append(path)
    code, out, err = place.run("learn", *paths)
    t.equal(code, 0, err)
    t.check("\ntenant ci {\n" in out.decode(), out)
    t.equal(rules_of(out.decode()), [
        f'allow to name {{ "{API}" "{WWW}" }} port tcp 443',
        f'allow to name "{WWW}" port tcp 80 verify host',
        f"allow to net {SITE4} port tcp 80"])
    t.equal(place.run("learn", *paths)[1], out, "the same bytes")
    logs = os.path.dirname(paths[0])
    directory = place.run("learn", logs)[1]
    t.equal(rules_of(directory.decode()), rules_of(out.decode()), "of a directory")
    text = "".join(slurp(path) for path in paths) + '{"v":2,"type":"flow.o'
    done = place.run("learn", "-", stdin=open_text(place, text))
    t.equal(rules_of(done[1].decode()), rules_of(out.decode()), "of a pipe")
    t.check("in the middle of a line" in done[2], done[2])
    policy = os.path.join(place.path, "learnt.conf")
    t.equal(place.run("learn", "-o", policy, logs)[0], 0)
    t.check(place.run("check", "-q", policy)[0] in (0, 2), slurp(policy))
    for n, script in enumerate(scripts):
        code, out, err = place.run("run", "-q", "-p", policy, "--audit", f"{n}.log",
                                   "--", "sh", "-c", script)
        t.equal(code, 0, f"`{script}` under the policy: {err!r}")


def open_text(place, text):
    return os.open(place.write("piped", text), os.O_RDONLY)


@case(quick=True, gateways=OURS)
def learn_merges(t):
    """--merge keeps each byte of the policy, and adds what it does not allow yet."""
    place = t.keep(Place(t))
    t.serve(servers.http(b"x"), port=8080)
    t.serve(servers.http(b"x"), port=8081)
    fetch = f"curl -sS http://{lab.LIVE4}:8080/ http://{lab.LIVE4}:8081/"
    log, code, said = audited(place, "log", fetch)
    t.equal(code, 0, said)
    before = ("# mine: { not a brace }\npolicy version 1\n\n"
              f"live = \"203.0.113.0/24\"\ntenant other {{\n\tdeny to any\n}}\n"
              "tenant ci { # \"not a string }\n"
              f"\tallow to net {{ {lab.LIVE4} }} port tcp {{ 8080 }}\t# kept\n"
              "\t# the end\n}\n# after it\n").replace(
                  'live = "203.0.113.0/24"\n', "")
    policy = place.write("policy.conf", before)
    code, out, err = place.run("learn", "--merge", policy, log)
    t.equal(code, 0, err)
    text = out.decode()
    added = [line for line in text.splitlines() if line not in before.splitlines()]
    t.check(f"\tallow to net {lab.LIVE4} port tcp 8081" in added, text)
    t.equal([line for line in added if "8080" in line], [], "allowed already")
    rest = iter(text.splitlines())
    t.check(all(any(line == other for other in rest) for line in
                before.splitlines()), f"lines were lost: {text}")
    t.equal(slurp(policy), before, "the policy is not touched")
    code, _, err = place.run("learn", "--merge", policy, "-o", policy, log)
    t.check(code == 1 and "--force" in err, err)
    t.equal(slurp(policy), before)
    code, _, err = place.run("learn", "--merge", policy, "-o", policy, "--force", log)
    t.equal((code, slurp(policy)), (0, text), err)
    code, out, err = place.run("run", "-q", "-p", policy, "--tenant", "ci", "--audit",
                               "log2", "--", "sh", "-c", fetch)
    t.equal((code, out), (0, b"xx"), f"under it: {err!r}")
    code, out, err = place.run("learn", "--merge", policy, log)
    t.equal((code, out.decode()), (0, text), "again: nothing to add")
    t.check("allows all of it already" in err, err)
    code, out, err = place.run("learn", "--merge", policy, "--tenant", "new", log)
    t.check(code == 1 and "nothing of tenant new" in err and "ci" in err, err)
    # a tenant in a file of its own: that file's text, and never over another's
    own = place.write("own.conf", before.split("\n", 2)[2].replace("other", "third"))
    main = place.write("main.conf", 'policy version 1\ninclude "own.conf"\n'
                       "tenant other {\n\tdeny to any\n}\n")
    kept = slurp(main), slurp(own)
    code, _, err = place.run("learn", "--merge", main, "--tenant", "ci", "-o", main,
                             "--force", log)
    t.check(code == 1 and "would be lost" in err and f"-o {own}" in err, err)
    t.equal((slurp(main), slurp(own)), kept)
    code, _, err = place.run("learn", "--merge", main, "--tenant", "ci", "-o", own,
                             "--force", log)
    t.equal((code, slurp(main)), (0, kept[0]), err)
    t.check("tcp 8081" in slurp(own) and "# kept" in slurp(own), slurp(own))
    t.equal(place.run("check", "-q", main)[0], 0, "what is there now")


@case(quick=True, gateways=OURS)
def learn_command_wrong(t):
    """Called wrongly, or of nothing: one line, and no file."""
    place = t.keep(Place(t))
    start = '{"v":2,"type":"dns","tenant":"%s","guest":"g","name":"a.example",' \
        '"ips":["203.0.114.1"],"mono_ns":1}\n'
    two = place.write("two", start % "a" + start % "b")
    bad = place.write("bad", start % "}\\nallow" + "not json\n" + '{"v":1}\n')
    for status, words, args in (
            (64, "LOG is missing", []), (64, "no option", ["--nosuch", two]),
            (64, "needs a value", [two, "-o"]), (64, "--force", ["--force", two]),
            (64, "not a tenant's name", ["--tenant", "a b", two]),
            (1, "No such file", ["nosuch"]),
            (1, "of several tenants: they are of a, b: name one", [two]),
            (1, "name", ["-o", "new/", "--tenant", "a", two])):
        code, out, err = place.run("learn", *args)
        t.equal((code, out), (status, b""), f"{args}: {err!r}")
        t.check(words in err and len(err.splitlines()) == 1, f"{args}: {err!r}")
    code, out, err = place.run("learn", "--tenant", "b", two)
    t.check(code == 0 and b"\ntenant b {\n" in out, err)
    code, out, err = place.run("learn", bad)
    t.check(code == 0 and b"\ntenant learned {\n" in out and b"allow" not in
            out.replace(b"It allows", b""), out)
    t.check("1 lines could not be read" in err and "not of format 2" in err, err)
    # a line with NULs, and one without end, take no other line with them
    holed = place.write("holed", start % "a" + "\0" * 9 + "\n" + "x" * 70000 + "\n" +
                        start % "a" + start[:20])
    code, out, err = place.run("learn", holed)
    t.check(code == 0 and "2 lines could not be read" in err and
            "1 logs end in the middle" in err, err)
    with open("/dev/full", "wb") as full:
        t.equal(subprocess.run([os.path.join(t.bindir, "sallyport"), "learn", "-q", two,
                                "--tenant", "b"], stdout=full, check=False,
                               stderr=subprocess.DEVNULL).returncode, 1, "a full disk")


@case(quick=True, gateways=OURS)
def learn_private(t):
    """A mirror with a private address: said, and the exception is there to be let out
    of its comment; then it passes `check`."""
    world = names_lab.World(t)
    world.resolv_conf()
    place = t.keep(Place(t))
    path = os.path.join(place.path, "private.conf")
    code, _, err = place.run(
        "run", "-q", "--learn", path, "--audit", path + ".log", "--", "sh", "-c",
        f"curl -s http://10.1.2.3:8081/; getent ahosts mixed.{BASE}; true")
    t.equal(code, 0, err)
    t.check("10.1.2.3, which is private, is not in the policy" in err, err)
    text = slurp(path)
    line = ('# floor except net 10.1.2.3 port tcp 8081 for tenant learned ticket '
            '"WHO AGREED"')
    t.check(line in text.splitlines(), text)
    out = []
    for line in text.splitlines():
        if line.startswith(("# floor except ", "#\tallow to net 10.1.2.3 ")):
            line = line[1:].lstrip()
        out.append(line)
    rule = "allow to net 10.1.2.3 port tcp 8081"
    out.remove(rule)
    out = "\n".join(out).replace("\tdeny to any\n", f"\t{rule}\n", 1) + "\n"
    code, _, err = place.run("check", place.write("let-out.conf", out))
    t.check(code in (0, 2), f"{err}\n{out}")
