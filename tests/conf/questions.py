#!/usr/bin/python3
"""What explain, reach and rules answer is what the law says: random policies with all
that a rule may be made of, random questions, and doc/law.md written down once more
here, by brute force and over the policy as it was made up, not as it was read.

Compared are verdicts, the deciding lines, the reasons where the law gives one, for
reach the verdict and the proofs of each port that may differ from its neighbours and of
some that should not, and for rules all that it lists.

usage: questions.py      in the build directory
       QUESTIONS_POLICIES=n (default 24); SEED=n
"""

import collections
import ipaddress
import json
import os
import random
import subprocess
import sys
import tempfile

CMD = os.path.abspath("policy_cmd")
GATEWAY = "10.83.80.2"
NAMES = ("a.example", "b.example", "x.a.example", "y.b.example", "deep.x.a.example",
         "in.example", "floored.example")
PATTERNS = ("a.example", "b.example", "*.a.example", "**.a.example", "+.a.example",
            "+.b.example", "*.example", "**.example", "y.b.example", "in.example",
            "floored.example")
NETS = ("203.0.114.0/24", "203.0.114.7/32", "203.0.115.128/25", "203.0.116.0/22",
        "2600:1f00::/32", "2600:1f00:0:1::/64", "198.41.0.0/24")
ADDRESSES = ("203.0.114.7", "203.0.114.8", "203.0.115.200", "203.0.118.1",
             "2600:1f00::1", "2600:1f00:0:1::1", "198.41.0.4", "64:ff9b::203.0.114.7",
             "10.20.7.10", "10.20.7.11", "127.0.0.1", "169.254.169.254", "9.9.9.9",
             "64:ff9b::10.20.7.10")
PORTS = (22, 25, 53, 80, 81, 443, 853, 8080)
NOW, PAST, FUTURE = "2026-06-01", "2026-01-31", "2027-01-31"
Rule = collections.namedtuple(
    "Rule", "line action kind nets out ports echo verify ech audit past label text")
Except = collections.namedtuple("Except", "line nets ports echo written ticket")


# ---- policies -------------------------------------------------------------------------

class Policy:
    """One tenant that is asked about, another that must not matter; lines as written."""

    def __init__(self, rng):
        self.rng, self.lines, self.rules, self.excepts = rng, [], [], []
        self.hosts, self.tables, self.sets, self.macros = {}, {}, {}, {}
        self.audit = rng.random() < 0.25
        self.service = rng.random() < 0.5
        self.write("policy version 1")
        self.globals()
        self.write("tenant other {", " allow to any", "}")
        self.write("tenant t%s {" % (" mode audit" if self.audit else ""))
        if self.limited:
            self.write(" limits small")
        for _ in range(rng.randrange(1, 8)):
            self.rule()
        self.write("}")

    def write(self, *lines):
        self.lines.extend(lines)
        return len(self.lines)

    def text(self):
        return "\n".join(self.lines) + "\n"

    def globals(self):
        rng = self.rng
        self.limited = rng.random() < 0.3
        if self.limited:
            self.write("limits small { conns 17 }")
        if self.service:
            self.write("host-service h 127.0.0.1:8080 tcp")
        self.tables["nets"] = rng.sample(NETS, 3)
        self.write('table <nets> file "nets.list"')
        self.sets["hosts"] = rng.sample(PATTERNS, 3)
        self.write('names <hosts> { %s }' % " ".join(
            f'"{p}"' for p in self.sets["hosts"]))
        self.macros["web"] = rng.sample(PATTERNS, 2)
        self.write('web = { %s }' % " ".join(f'"{p}"' for p in self.macros["web"]))
        self.hosts = {"in.example": ["203.0.114.7"], "floored.example": ["10.20.7.10"]}
        for name, addresses in self.hosts.items():
            self.write(f'host "{name}" {" ".join(addresses)}')
        if rng.random() < 0.5:
            ports, echo, written, text = self.services(deny=True)
            if any(lo <= p <= hi for _, lo, hi in ports for p in (25, 853)
                   if written):
                ports, echo, written, text = [("tcp", 443, 443)], False, True, \
                    " port tcp 443"
            self.excepts.append(Except(self.write(
                f'floor except net 10.20.7.10{text} for tenant t ticket "T-1"'),
                ["10.20.7.10/32"], ports, echo, written, "T-1"))
        self.write('floor except net 10.20.7.11 for tenant other ticket "T-2"')

    def services(self, deny):
        """(ranges, echo, whether they are written, their text)"""
        rng = self.rng
        if rng.random() < (0.3 if deny else 0.15):
            return [("tcp", 1, 65535), ("udp", 1, 65535)], deny, False, ""
        low = rng.choice((22, 80, 81, 443, 8080))
        tcp = rng.choice(([(80, 80)], [(443, 443)], [(80, 80), (443, 443)],
                          [(low, low)], [(low, low + rng.randrange(1, 300))]))
        ranges = [("tcp", lo, hi) for lo, hi in tcp]
        text = " port tcp { %s }" % " ".join(f"{lo}-{hi}" if hi > lo else str(lo)
                                             for lo, hi in tcp)
        if rng.random() < 0.25:
            ranges.append(("udp", 443, 443))
            text += " port udp 443"
        return ranges, False, True, text

    def named(self, deny):
        rng = self.rng
        what = rng.random()
        if what < 0.2:
            nets, text = list(self.sets["hosts"]), "<hosts>"
        elif what < 0.35:
            nets, text = list(self.macros["web"]), "$web"
        else:
            nets = rng.sample(PATTERNS, rng.choice((1, 1, 2)))
            text = "{ %s }" % " ".join(f'"{p}"' for p in nets)
        out = []
        if not deny and rng.random() < 0.2:
            out = [rng.choice(PATTERNS[:5])]
            text += f' except "{out[0]}"'
        return nets, out, "name " + text

    def networks(self, deny):
        rng = self.rng
        what, out = rng.random(), []
        if what < 0.2:
            return "any", [], out, "any"
        if what < 0.4:
            nets, text = list(self.tables["nets"]), "<nets>"
        elif what < 0.5 and self.excepts and not deny:
            return "net", list(self.excepts[0].nets), out, "net 10.20.7.10"
        else:
            nets = rng.sample(NETS, rng.choice((1, 1, 2)))
            text = "{ %s }" % " ".join(nets)
        if rng.random() < 0.2:
            out = [rng.choice(("203.0.114.7/32", "2600:1f00:0:1::/64"))]
            text += f" except {out[0]}"
        return "net", nets, out, "net " + text

    def rule(self):
        rng = self.rng
        deny = rng.random() < 0.3
        if self.service and rng.random() < 0.15:
            line = self.write(" allow to host-service h")
            self.rules.append(Rule(line, "allow", "service", [], [],
                                   [("tcp", 8080, 8080)], False, None, False, False,
                                   False, None, "allow to host-service h"))
            return
        by_name = rng.random() < 0.6
        ports, echo, written, services = self.services(deny)
        if by_name:
            kind = "name"
            nets, out, to = self.named(deny)
            if not written and not deny:
                ports, services = [("tcp", 80, 80), ("tcp", 443, 443)], \
                    " port tcp { 80 443 }"
                written = True
        else:
            kind, nets, out, to = self.networks(deny)
            if to == "net 10.20.7.10":      # with the exception's services
                ports, echo = list(self.excepts[0].ports), False
                services = self.lines[self.excepts[0].line - 1].split("10.20.7.10")[1]
                services = services.split(" for tenant")[0]
            elif written and rng.random() < 0.15:
                echo, services = True, services + " icmp echo"
        tcp = any(p == "tcp" for p, _, _ in ports)
        verify, ech, options = None, False, ""
        if by_name and not deny and tcp:
            verify = rng.choice((None, None, None, "none", "sni", "host"))
            options += f" verify {verify}" if verify else ""
            ech = verify in (None, "sni") and rng.random() < 0.2
            options += " ech allow" if ech else ""
            verify = verify or "default"
        mode = rng.choice((None, None, "audit", "enforce")) if deny else None
        options += f" mode {mode}" if mode else ""
        until = rng.choice((None, None, None, PAST, FUTURE)) if not deny else None
        options += f" until {until}" if until else ""
        label = f"l{len(self.rules)}" if rng.random() < 0.5 else None
        options += f' label "{label}"' if label else ""
        action = "deny" if deny else "allow"
        text = f"{action} to {to}{services}{options}"
        self.rules.append(Rule(
            self.write(" " + text), action, kind, nets, out, ports, echo, verify, ech,
            (mode or ("audit" if self.audit else "enforce")) == "audit",
            until == PAST, label, text))


# ---- the law, once more -----------------------------------------------------------------

NEVER = [ipaddress.ip_network(n) for n in ("127.0.0.0/8", "169.254.169.254/32")]
FLOOR = [ipaddress.ip_network(n) for n in ("10.0.0.0/8", "203.0.113.0/24")]
ANY4, ANY6 = "any IPv4 address", "any IPv6 address"     # in no net at all
NAT64 = ipaddress.ip_network("64:ff9b::/96")


def forms(address):
    if address in (ANY4, ANY6):
        return [address]
    a = ipaddress.ip_address(address)
    return [a] if a not in NAT64 else \
        [a, ipaddress.ip_address(int(a) & 0xffffffff)]


def within(form, nets):
    return form not in (ANY4, ANY6) and any(
        form in ipaddress.ip_network(n) for n in nets)


def pattern_matches(pattern, name):
    for prefix, least, most in (("**.", 1, 99), ("*.", 1, 1), ("+.", 0, 99)):
        if pattern.startswith(prefix):
            base = pattern[len(prefix):]
            if name != base and not name.endswith("." + base):
                return False
            return least <= name.count(".") - base.count(".") <= most
    return name == pattern


def about(rule, name):
    return rule.kind == "name" and any(pattern_matches(p, name) for p in rule.nets) \
        and not any(pattern_matches(p, name) for p in rule.out)


def has_port(ports, echo, proto, port):
    return echo if proto == "icmp" else any(
        p == proto and lo <= port <= hi for p, lo, hi in ports)


def kind_of_proof(rule, port):
    if rule.verify == "default":
        return "host" if port == 80 else "sni"
    return rule.verify


Row = collections.namedtuple("Row", "deny watch shown plain proving proved")


class Law:
    """One question's: a policy, a flow, the names of its address, what is shown."""

    def __init__(self, policy, proto, address, port, bound):
        self.policy, self.proto, self.port, self.bound = policy, proto, port, bound
        self.address = address
        self.forms = forms(address)
        self.gateway = address == GATEWAY
        self.hit = None             # what of the floor was lifted, if any
        self.floor = None if self.gateway else self.find_floor()

    def lifted(self, form):
        return any(within(form, x.nets) and
                   has_port(x.ports, x.echo, self.proto, self.port)
                   for x in self.policy.excepts)

    def find_floor(self):
        for form in self.forms:
            if form not in (ANY4, ANY6) and any(form in n for n in NEVER):
                return "floor"
        for form in self.forms:
            if form not in (ANY4, ANY6) and any(form in n for n in FLOOR):
                self.hit = form
                if not self.lifted(form):
                    return "floor"
        if (self.proto, self.port) in (("tcp", 25), ("tcp", 853), ("udp", 853)):
            return "floor-port"
        return None

    def row(self, shown, everything):
        rules = [r for r in self.policy.rules
                 if has_port(r.ports, r.echo, self.proto, self.port)]
        denies = [r for r in rules if r.action == "deny" and
                  (everything or not r.audit)]
        by_name = [] if self.gateway else [r for r in denies if r.kind == "name"]
        live = [n for n in self.bound if not any(about(r, n) for r in by_name)]
        deny = [r for r in denies if r.kind != "name" and self.deny_has(r)]
        named = shown[1] if shown and shown[0] in ("sni", "sni-ech", "host") else None
        hidden = [r for r in by_name if named and about(r, named)]
        plain, proving, proved = [], [], []
        for r in rules:
            if r.action != "allow" or r.past:
                continue
            if r.kind != "name":
                if self.allow_has(r):
                    plain.append(r)
            elif not self.gateway and any(about(r, n) for n in live):
                proof = kind_of_proof(r, self.port)
                if self.proto != "tcp" or proof == "none":
                    plain.append(r)
                    continue
                proving.append(r)
                if named in live and about(r, named) and shown[0] in (
                        (proof,) + (("sni-ech",) if proof == "sni" and r.ech else ())):
                    proved.append(r)
        first = lambda rules: rules[0].line if rules else None    # noqa: E731
        return Row(first(deny), first(by_name if self.proto == "tcp" else []),
                   first(hidden), first(plain), first(proving), first(proved))

    def deny_has(self, r):
        if self.gateway:
            return r.kind == "any"
        if r.kind == "any":
            return True
        return r.kind == "net" and any(within(f, r.nets) and not within(f, r.out)
                                       for f in self.forms)

    def allow_has(self, r):
        if self.gateway or r.kind == "service":
            return self.gateway and r.kind == "service"
        if r.kind == "any":
            return self.hit is None
        return within(self.forms[0], r.nets) and not any(
            within(f, r.out) for f in self.forms)

    @staticmethod
    def allows(row, shown, lenient):
        if row.deny or row.shown:
            return False
        if lenient:
            return True
        if shown and shown[0] == "undecided" and row.watch:
            return False
        return bool(row.plain or row.proved)

    def peek(self, row, lenient):
        if row.deny or self.proto != "tcp" or self.gateway:
            return None
        if lenient or row.plain:
            return "look" if row.watch else None
        return "proof" if row.proving else None

    def asks(self):
        """Are first bytes looked at, if only for the record?"""
        if self.floor or self.gateway or self.proto != "tcp":
            return False
        now, every = self.row(None, False), self.row(None, True)
        if now.deny or self.ask(None)[0] == "deny":
            return False
        return bool(self.peek(now, self.policy.audit) or self.peek(every, False) or
                    (self.policy.audit and self.bound))

    def ask(self, shown):
        """(verdict, line or None, class of reason)"""
        if self.gateway:
            served = self.policy.service and (self.proto, self.port) == ("tcp", 8080)
            if not served and (self.proto == "icmp" or self.port == 53):
                return "gateway", None, None
            if not served:
                return "deny", None, "floor"
        elif self.floor:
            return "deny", None, self.floor
        lenient = self.policy.audit and not self.gateway
        now, every = self.row(shown, False), self.row(shown, True)
        if shown is None:
            peek = self.peek(now, lenient)
            if peek:
                return peek, None, None
        if not self.allows(now, shown, lenient):
            return self.refused("deny", now)
        if self.allows(every, shown, False) or (
                shown is None and self.peek(every, False)):
            named = shown and shown[0] in ("sni", "sni-ech", "host")
            some = [x for x in ((every.plain, every.proved) if named else
                                (every.plain,)) if x]
            if shown is None and not some and every.proving:
                some = [every.proving]
            return "allow", min(some) if some else None, None
        return self.refused("audit-deny", every)

    @staticmethod
    def refused(verdict, row):
        by = [x for x in (row.deny, row.shown) if x]
        return (verdict, min(by), "deny-rule") if by else (verdict, None, "other")


def resolves(policy, name):
    """(verdict, line)"""
    enforced, audited, exact, allow, ended = [], [], [], [], []
    for r in policy.rules:
        if r.action == "deny":
            if r.echo and len([1 for _, lo, hi in r.ports if (lo, hi) == (1, 65535)]) \
                    == 2 and (about(r, name) or r.kind == "any"):
                (audited if r.audit else enforced).append(r.line)
        elif r.past and (r.kind == "any" or about(r, name)):
            ended.append(r.line)
        elif r.kind == "any" or about(r, name):
            allow.append(r.line)
            exact += [r.line] if any(
                p in (name, "+." + name) for p in r.nets) else []
    if enforced:
        return "deny", enforced[0]
    if not allow and not policy.audit:
        return "deny", (ended + [None])[0]
    if audited:
        return "audit-deny", audited[0]
    if not allow:
        return "audit-deny", (ended + [None])[0]
    return "allow", (exact or allow)[0]


def answered(policy, name):
    """What a guest is told: as resolves(), or None for addresses on the floor only."""
    verdict, line = resolves(policy, name)
    if verdict != "deny" and name in policy.hosts and not left(policy, name):
        return "deny", line             # of the rule that would allow it
    return verdict, line


def left(policy, name):
    return [a for a in policy.hosts[name] if all(
        not any(f in n for n in FLOOR) or any(within(f, x.nets)
                                              for x in policy.excepts)
        for f in forms(a))]


# ---- questions --------------------------------------------------------------------------

class Ask:
    """Many questions, one process."""

    def __init__(self):
        self.run = subprocess.Popen([CMD, "batch"], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, text=True,
                                    stderr=subprocess.DEVNULL)

    def __call__(self, *words):
        self.run.stdin.write("\t".join(words) + "\n")
        self.run.stdin.flush()
        lines = []
        while not (line := self.run.stdout.readline()).startswith("exit "):
            assert line, (words, lines)
            lines.append(line)
        return int(line[5:]), json.loads(lines[0]) if lines else None

    def end(self):
        self.run.stdin.close()
        return self.run.wait()


SHOWN = {"sni": lambda n: ["--sni", n], "sni-ech": lambda n: ["--sni", n, "--ech"],
         "host": lambda n: ["--host", n], "other": lambda n: ["--sni", ""],
         "nothing": lambda n: ["--nothing"], "undecided": lambda n: ["--undecided"]}


def written(proto, address, port):
    return address if proto == "icmp" else f"[{address}]:{port}" if ":" in address \
        else f"{address}:{port}"


def ask_flow(rng, ask, policy, problem):
    proto = rng.choice(("tcp",) * 6 + ("udp", "icmp"))
    address, port = rng.choice(ADDRESSES + (GATEWAY,)), rng.choice(PORTS)
    bound = [n for n in NAMES if rng.random() < 0.3]
    if address == GATEWAY and rng.random() < 0.5:
        port = 8080
    shown = None
    if proto == "tcp" and rng.random() < 0.7:
        shown = (rng.choice(list(SHOWN)), rng.choice(bound or NAMES))
    words = ["explain", "--json", "--at", NOW, "p.conf", "t", proto,
             written(proto, address, port)]
    for n in bound:
        words += ["--name", n]
    law = Law(policy, proto, address, port, bound)
    verdict, line, why = law.ask(None)
    if shown:
        words += SHOWN[shown[0]](shown[1])
        if law.asks():
            verdict, line, why = law.ask(shown)
    elif verdict in ("look", "proof"):
        verdict = "depends"
    status, said = ask(*words)
    if said is None:
        problem(words, "no answer", status)
        return
    v = said["verdict"]
    if v["verdict"] != verdict:
        problem(words, v, (verdict, line, why))
    elif status != {"allow": 0, "gateway": 0, "audit-deny": 0, "deny": 1,
                    "depends": 3}[verdict]:
        problem(words, f"exit {status}", verdict)
    elif (verdict == "allow" or why == "deny-rule") and \
            v.get("rule", {}).get("line") != line:
        problem(words, v, (verdict, line, why))
    elif v.get("reason") == "no-pin" and (bound or any(
            r.action == "allow" and r.kind == "net" and not r.past and
            within(law.forms[0], r.nets) and not within(law.forms[0], r.out)
            for r in policy.rules)):
        problem(words, v, "no-pin is for a name that was not resolved")
    elif why == "floor" and not v["reason"].startswith("floor-") or \
            why == "floor-port" and v["reason"] != why or \
            why == "deny-rule" and v["reason"] != why:
        problem(words, v, (verdict, line, why))


def ask_name(rng, ask, policy, problem):
    name = rng.choice(NAMES)
    words = ["explain", "--json", "--at", NOW, "p.conf", "t", "dns", name]
    status, said = ask(*words)
    verdict, line = answered(policy, name)
    v = said["verdict"]
    if (v["verdict"], v.get("rule", {}).get("line")) != (verdict, line) or \
            status != (verdict == "deny"):
        problem(words, (v, status), (verdict, line))


def sample_ports(rng, policy):
    """Where something may change, its neighbours, and some others."""
    ports = {1, 65535, 25, 53, 80, 853, 8080} | {rng.randrange(1, 65536)
                                                  for _ in range(4)}
    for r in policy.rules + policy.excepts:
        ports |= {p + d for _, lo, hi in r.ports for p in (lo, hi) for d in (-1, 0, 1)}
    return sorted(p for p in ports if 1 <= p <= 65535)


def compare_ports(rng, policy, words, part, address, bound, problem):
    cases = [(p, n) for p in ("tcp", "udp") for n in sample_ports(rng, policy)]
    for proto, port in cases + [("icmp", 0)]:
        found = [r for r in part["ports"] if r["proto"] == proto and
                 (proto == "icmp" or r["from"] <= port <= r["to"])]
        law = Law(policy, proto, address, port, bound)
        verdict, line, why = law.ask(None)
        if len(found) != 1 or found[0]["verdict"] != verdict:
            problem(words, (proto, port, found), (verdict, line, why))
        elif (verdict == "allow" or why == "deny-rule") and \
                found[0].get("rule", {}).get("line") != line:
            problem(words, (proto, port, found), (verdict, line, why))
        elif verdict == "proof":
            proofs = {(k, n) for k in ("sni", "sni-ech", "host") for n in bound
                      if law.ask((k, n))[0] != "deny"}
            if {(x["shown"], x["name"]) for x in found[0]["proofs"]} != proofs:
                problem(words, (proto, port, found), proofs)


def ask_reach_name(rng, ask, policy, problem):
    name = rng.choice(NAMES)
    words = ["explain", "--json", "--at", NOW, "p.conf", "t", "reach", name]
    status, said = ask(*words)
    if said is None:
        problem(words, "no answer", status)
    elif resolves(policy, name)[0] == "deny" or (
            name in policy.hosts and not left(policy, name)):
        if said["reach"] or status != 1:
            problem(words, said, "nothing")
    elif name in policy.hosts:
        if [p["of"] for p in said["reach"]] != left(policy, name):
            problem(words, said["reach"], left(policy, name))
        for part in said["reach"]:
            compare_ports(rng, policy, words, part, part["of"], [name], problem)
    else:
        for part in said["reach"]:
            for address in ((ANY4, ANY6) if part["of"] == "any address" else
                            (part["of"],)):
                compare_ports(rng, policy, words, part, address, [name], problem)


def ask_reach_address(rng, ask, policy, problem):
    address = rng.choice(ADDRESSES + (GATEWAY,))
    bound = [n for n in NAMES if rng.random() < 0.3]
    words = ["explain", "--json", "--at", NOW, "p.conf", "t", "reach", address]
    for n in bound:
        words += ["--name", n]
    _, said = ask(*words)
    compare_ports(rng, policy, words, said["reach"][0], address, bound, problem)


def holds(part, address):
    for text in part["addresses"]:
        first, _, last = text.partition("-")
        if int(ipaddress.ip_address(first)) <= int(ipaddress.ip_address(address)) \
                <= int(ipaddress.ip_address(last or first)):
            return True
    return False


def ask_reach_net(rng, ask, policy, problem):
    net = ipaddress.ip_network(rng.choice((
        "203.0.112.0/20", "203.0.114.0/25", "2600:1f00::/31", "10.20.7.8/29",
        "203.0.114.7/32")))
    words = ["explain", "--json", "--at", NOW, "p.conf", "t", "reach", str(net)]
    _, said = ask(*words)
    edges = [int(net[0]), int(net[-1])] + [rng.randrange(
        int(net[0]), int(net[-1]) + 1) for _ in range(3)]
    for n in NETS + ("10.20.7.10/32",):
        n = ipaddress.ip_network(n)
        edges += [int(n[0]) - 1, int(n[0]), int(n[-1]), int(n[-1]) + 1] \
            if n.version == net.version and n.overlaps(net) else []
    for number in edges:
        address = type(net[0])(number)
        if address not in net:
            continue
        parts = [p for p in said["reach"] if holds(p, address)]
        if len(parts) != 1:
            problem(words, f"{len(parts)} parts hold {address}", "one")
            continue
        compare_ports(rng, policy, words, parts[0], str(address), [], problem)


def ask_rules(ask, policy, problem):
    words = ["rules", "--json", "--all", "p.conf", "t"]
    _, said = ask(*words)

    def same(what, found, wanted):
        if found != wanted:
            problem(words, f"{what}: {found}", wanted)
    same("lines", [r["line"] for r in said["rules"]], [r.line for r in policy.rules])
    same("labels", [r.get("label") for r in said["rules"]],
         [r.label for r in policy.rules])
    same("modes", [r["mode"] for r in said["rules"]],
         ["audit" if (r.audit if r.action == "deny" else policy.audit) else "enforce"
          for r in policy.rules])
    same("hosts", sorted(h["name"] for h in said["hosts"]),
         sorted(h for h in policy.hosts if rules_resolves(policy, h) != "deny"))
    same("exceptions", [(x["line"], x["ticket"]) for x in said["exceptions"]],
         [(x.line, x.ticket) for x in policy.excepts])
    same("limits", (said["limits"].get("name"), said["limits"]["conns"]),
         ("small", 17) if policy.limited else (None, 4096))
    same("services", [s["name"] for s in said["services"]],
         ["h"] if any(r.kind == "service" for r in policy.rules) else [])
    for r, wanted in zip(said["rules"], policy.rules):
        same("action", (r["action"], r["to"].replace("host-", "")),
             (wanted.action, wanted.kind))
        for proto in ("tcp", "udp"):
            for port in (22, 79, 80, 81, 443, 8080):
                found = [p for p in r["ports"] if p["proto"] == proto and
                         p["from"] <= port <= p["to"]]
                same(f"{wanted.text}: {proto} {port}", bool(found),
                     has_port(wanted.ports, False, proto, port))
                if found and wanted.verify and proto == "tcp":
                    same("verify", found[0]["verify"], kind_of_proof(wanted, port))
        same("echo", r["echo"], wanted.echo)


def rules_resolves(policy, name):
    return resolves(policy, name)[0]


# ---- all of it ----------------------------------------------------------------------------

def good_policy(seed):
    """The next one that check takes: what is made up may leave nothing of a rule."""
    for i in range(50):
        policy = Policy(random.Random(f"{seed}.{i}"))
        with open("p.conf", "w", encoding="utf-8") as f:
            f.write(policy.text())
        with open("nets.list", "w", encoding="utf-8") as f:
            f.write("# of a file\n" + "\n".join(policy.tables["nets"]) + "\n")
        done = subprocess.run([CMD, "check", "-q", "p.conf"], capture_output=True,
                              timeout=60, check=False)
        if done.returncode != 1:
            return policy
    raise AssertionError(f"no good policy: {policy.text()}\n{done.stderr.decode()}")


def main():
    seed = os.environ.get("SEED", "1")
    wrong, asked = [], collections.Counter()
    os.umask(0o022)
    with tempfile.TemporaryDirectory() as where:
        os.chdir(where)
        ask = Ask()
        for i in range(int(os.environ.get("QUESTIONS_POLICIES", "24"))):
            policy = good_policy(f"{seed}.{i}")
            rng = random.Random(f"{seed}.{i}")

            def problem(words, said, wanted, policy=policy):
                wrong.append(f"{policy.text()}{' '.join(words)}\nsaid {said}\n"
                             f"wanted {wanted}\n")
            for kind, n in ((ask_flow, 12), (ask_name, 3), (ask_reach_name, 2),
                            (ask_reach_address, 2), (ask_reach_net, 1)):
                for _ in range(n):
                    kind(rng, ask, policy, problem)
                    asked[kind.__name__[4:]] += 1
            ask_rules(ask, policy, problem)
            asked["rules"] += 1
        os.chdir("/")
    status = ask.end()
    for text in wrong[:5]:
        print(text, file=sys.stderr)
    print(f"{sum(asked.values())} questions: {dict(asked)}, {len(wrong)} answered wrongly")
    return 1 if wrong or status else 0


if __name__ == "__main__":
    sys.exit(main())
