"""Policies of the shapes that published lists have, and policies of any size. All of
it is made up here: names below .example, networks of the ranges that nobody warns of.

usage: shapes.py SHAPE DIRECTORY [N]     writes DIRECTORY/policy.conf and its files
"""
import json
import os
import random
import subprocess
import sys

HEAD = "policy version 1\n"


class Folder:
    def __init__(self, path):
        self.path = path
        os.makedirs(path, exist_ok=True)

    def write(self, name, text):
        path = os.path.join(self.path, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, 0o644)
        return path

    def policy(self, text):
        return self.write("policy.conf", HEAD + text)

    def run(self, line):
        """The one line of the manual page that makes a list of what is published."""
        subprocess.run(line, shell=True, check=True, cwd=self.path)


def word(rnd, least=4, most=12):
    return "".join(rnd.choice("abcdefghiklmnoprstuvz")
                   for _ in range(rnd.randint(least, most)))


def domains(n, seed=1, labels=2):
    """Distinct names of a house each, as word.word-N.example."""
    rnd = random.Random(seed)
    return [".".join([word(rnd) for _ in range(labels - 1)] +
                     ["%s-%d.example" % (word(rnd), i)]) for i in range(n)]


def nets(n, seed=1, v6=0):
    """Distinct prefixes outside of the floor."""
    rnd = random.Random(seed)
    out = []
    for i in range(n - v6):
        at = (11 << 24) + (i << 9)
        length = rnd.choice((24, 24, 25, 26, 27, 29, 32))
        out.append("%d.%d.%d.%d/%d" % (at >> 24, at >> 16 & 255, at >> 8 & 255, 0,
                                       length))
    for i in range(v6):
        out.append("2600:%x:%x::/48" % (i >> 16 & 0xffff, i & 0xffff))
    return out


def lines(items):
    return "".join("%s\n" % i for i in items)


def quoted(items):
    return " ".join('"%s"' % i for i in items)


# ---- the sixteen shapes of lists ---------------------------------------------------
# Each returns what its policy must allow or deny: ("tcp", name, port, allowed).

def apex_and_below(d, n=70):
    """70 domains of which the apex and all below it are meant."""
    names = domains(n, 10, 1)
    d.policy("names <agents> { %s }\ntenant ci {\n\tallow to name <agents> port tcp 443"
             "\n}\n" % quoted("+." + i for i in names))
    return [(names[3], 443, True), ("a.b." + names[9], 443, True),
            ("x" + names[3], 443, False)]


def system_packages(d, n=12):
    """Mirrors of a distribution: plain HTTP on port 80, proved by the Host."""
    names = domains(n, 11)
    d.policy("deb = { %s }\ntenant ci {\n"
             "\tallow to name $deb port tcp 80 verify host\n"
             "\tallow to name $deb port tcp 443\n}\n" % quoted(names))
    return [(names[0], 80, True), (names[5], 443, True), (names[0], 8080, False)]


def meta_json(d, n=400):
    """An object of lists of prefixes, each for one service."""
    v = nets(n, 12, n // 4)
    d.write("meta.json", json.dumps({"verifiable": True, "web": v[:n // 2],
                                     "api": v[n // 2:], "domains": {"x": ["y"]}}))
    d.run("jq -r '(.web + .api)[]' meta.json >github.nets")
    d.policy('table <github> file "github.nets"\ntenant ci {\n'
             "\tallow to net <github> port tcp { 22 443 }\n}\n")
    return [("11.0.2.0", 443, True), ("12.255.0.1", 443, False)]


def ip_ranges_json(d, n=9000):
    """A list of objects, IPv4 and IPv6 under two keys; many overlap."""
    four, six = nets(n, 13), nets(n // 4, 13, n // 4)
    d.write("ip-ranges.json", json.dumps({
        "prefixes": [{"ip_prefix": i, "region": "r", "service": s}
                     for i in four for s in ("A", "B")],
        "ipv6_prefixes": [{"ipv6_prefix": i, "region": "r"} for i in six]}))
    d.run("jq -r '.prefixes[].ip_prefix, .ipv6_prefixes[].ipv6_prefix' "
          "ip-ranges.json >aws.nets")
    d.policy('table <aws> file "aws.nets"\ntenant ci {\n'
             "\tallow to net <aws> port tcp 443\n}\n")
    return [("11.0.2.0", 443, True), ("192.31.196.1", 443, False)]


def drop_list(d, n=1500):
    """; opens a comment, also behind an entry."""
    d.write("drop.txt", "; published now\n; expires: soon\n" +
            lines("%s ; SBL%d" % (i, k) for k, i in enumerate(nets(n, 14))))
    d.policy('table <drop> file "drop.txt"\ntenant ci {\n\tallow to any except <drop>'
             "\n\tdeny to net <drop>\n}\n")
    return [("11.0.2.0", 443, False), ("192.31.196.1", 443, True)]


def netset(d, n=20000):
    """A head of # lines, then prefixes and addresses."""
    d.write("level1.netset", "#\n# level1\n# Maintainer: x\n#\n" + lines(nets(n, 15)))
    d.policy('table <level1> file "level1.netset"\ntenant ci {\n\tallow to any '
             "port tcp 443\n\tdeny to net <level1>\n}\n")
    return [("11.0.2.0", 443, False), ("192.31.196.1", 443, True)]


def many_prefixes(d, n=111000):
    d.write("all.nets", lines(nets(n, 16, n // 4)))
    d.policy('table <all> file "all.nets"\ntenant ci {\n\tallow to net <all>\n}\n')
    return [("11.0.2.0", 443, True), ("192.31.196.1", 443, False)]


def per_tenant(d, n=1000):
    """One file for each tenant, with lists of its own."""
    os.makedirs(os.path.join(d.path, "tenants.d"), exist_ok=True)
    for i in range(n):
        d.write("tenants.d/t%04d.conf" % i,
                "names <own-%04d> { %s }\nmirrors = { 11.%d.%d.0/24 }\n"
                "limits small-%04d { conns 64 }\ntenant t%04d {\n"
                "\tlimits small-%04d\n"
                "\tallow to name <own-%04d> port tcp 443\n"
                "\tallow to net $mirrors port tcp 443\n}\n" %
                (i, quoted(domains(20, 100 + i)), i >> 8, i & 255, i, i, i, i))
    d.policy('include "tenants.d/*.conf"\n')
    return [("11.0.7.9", 443, True, "t0007"), ("11.0.7.9", 443, False, "t0008"),
            (domains(20, 103)[2], 443, True, "t0003"),
            (domains(20, 103)[2], 443, False, "t0004")]


def plain_domains(d, n=5000):
    names = domains(n, 17)
    d.write("block.txt", "# one to a line\n" + lines(names))
    d.policy('names <block> file "block.txt"\ntenant ci {\n\tallow to any port tcp 443'
             "\n\tdeny to name <block>\n}\n")
    return [(names[4000], 443, False), ("www.example.com", 443, True)]


def hosts_format(d, n=5000):
    names = domains(n, 18)
    d.write("hosts", "127.0.0.1 localhost\n::1 localhost\n0.0.0.0 0.0.0.0\n# ads\n" +
            lines("0.0.0.0 %s" % i for i in names))
    d.run("awk '$1 == \"0.0.0.0\" && $2 ~ /[.].*[a-z]$/ { print $2 }' hosts "
          ">ads.names")
    d.policy('names <ads> file "ads.names"\ntenant ci {\n\tallow to any port tcp 443\n'
             "\tdeny to name <ads>\n}\n")
    return [(names[1], 443, False), ("a." + names[1], 443, True)]


def wildcards(d, n=300):
    names = domains(n, 19, 1)
    d.write("wild.names", lines("%s%s" % (("*.", "**.", "+.")[k % 3], i)
                                for k, i in enumerate(names)))
    d.policy('names <wild> file "wild.names"\ntenant ci {\n'
             "\tallow to name <wild> except { %s } port tcp 443\n}\n" %
             quoted("bad." + i for i in names[:9]))
    return [("a." + names[0], 443, True), ("a.b." + names[0], 443, False),
            ("a.b." + names[1], 443, True), (names[1], 443, False),
            (names[2], 443, True), ("bad." + names[1], 443, False)]


def registries(d, names_of=("npm", "pypi", "docker", "apt", "git")):
    """Allow-lists of a few names for each tool, put together for each tenant."""
    text, sets = "", {}
    for k, tool in enumerate(names_of):
        sets[tool] = domains(3 + k, 20 + k)
        text += "names <%s> { %s }\n" % (tool, quoted(sets[tool]))
    text += ("tenant front { allow to name { <npm> <git> } port tcp 443 }\n"
             "tenant back { allow to name { <pypi> <docker> <git> } except <npm> "
             "port tcp 443 }\n"
             "tenant image { allow to name { <apt> <docker> } port tcp 443 }\n")
    d.policy(text)
    return [(sets["npm"][0], 443, True, "front"),
            (sets["pypi"][1], 443, False, "front"),
            (sets["git"][0], 443, True, "back"),
            (sets["npm"][0], 443, False, "back"),
            (sets["apt"][0], 443, True, "image")]


def office(d, n=120):
    """Names and networks of one house, with ports of their own."""
    v, names = nets(n, 30), domains(n, 31)
    d.write("office.nets", lines(v))
    d.write("office.names", lines(names))
    d.policy('table <office-nets> file "office.nets"\n'
             'names <office> file "office.names"\n'
             "turn = { 3478-3481 }\ntenant desk {\n"
             "\tallow to name <office> port tcp 443\n"
             "\tallow to net <office-nets> port udp $turn\n}\n")
    return [(names[7], 443, True, "desk"), ("11.0.2.0", 443, False, "desk")]


def exits(d, n=1300):
    """Single addresses, one to a line; may be empty on a good day."""
    d.write("exits.txt", lines(i.split("/")[0] for i in nets(n, 32)))
    d.write("today.txt", "")
    d.policy('table <exits> file "exits.txt"\ntable <today> file "today.txt" '
             "allow-empty\ntenant ci {\n\tallow to any port tcp 443\n"
             "\tdeny to net { <exits> <today> }\n}\n")
    return [("11.0.2.0", 443, False), ("11.0.2.9", 443, True)]


def international(d, n=60):
    names = domains(n, 33, 1)
    d.write("idn.names", lines("b\u00fccher." + i for i in names))
    d.policy('names <idn> file "idn.names"\ntenant ci {\n\tallow to name <idn> '
             "port tcp 443\n}\n")
    return [("xn--bcher-kva." + names[8], 443, True)]


def webhooks(d, n=40):
    """A list of a service's addresses that is written into the policy as it is."""
    v = nets(n, 34)
    d.policy("hooks = {\n%s}\ntenant ci {\n\tallow to net $hooks port tcp 443\n"
             "\tallow to net $hooks port tcp 80\n}\n" %
             "".join("\t%s,\n" % i for i in v).rstrip(",\n").join(("", "\n")))
    return [("11.0.2.0", 80, True), ("192.31.196.1", 443, False)]


LISTS = (apex_and_below, system_packages, meta_json, ip_ranges_json, drop_list, netset,
         many_prefixes, per_tenant, plain_domains, hosts_format, wildcards, registries,
         office, exits, international, webhooks)


# ---- any size ------------------------------------------------------------------------

def names_set(d, n=1000000):
    d.write("all.names", lines(domains(n, 40)))
    d.policy('names <all> file "all.names"\ntenant t {\n\tallow to name <all> '
             "port tcp 443\n}\n")


def names_rule(d, n=1000000):
    """In one rule, without a name of its own."""
    d.policy("tenant t {\n\tallow to name {\n%s\t} port tcp 443\n}\n" %
             "".join('"%s"\n' % i for i in domains(n, 41)))


def rules_net(d, n=100000):
    d.policy("tenant t {\n%s}\n" % "".join(
        "\tallow to net %s port tcp 443 label \"r%d\"\n" % (i, k)
        for k, i in enumerate(nets(n, 42))))


def rules_name(d, n=100000):
    d.policy("tenant t {\n%s}\n" % "".join(
        '\tallow to name "%s" port tcp 443\n' % i for i in domains(n, 43)))


def rules_deny(d, n=100000):
    """Half of them allow, half of them deny, by name and by network."""
    v, names = nets(n, 44), domains(n, 45)
    d.policy("tenant t {\n%s}\n" % "".join(
        ("\tallow to net %s port tcp 443\n" % v[i] if i % 4 == 0 else
         '\tdeny to name "%s" port tcp 80\n' % names[i] if i % 4 == 1 else
         '\tallow to name "%s" port tcp 443 verify none\n' % names[i]
         if i % 4 == 2 else "\tdeny to net %s\n" % v[i]) for i in range(n)))


def tenants(d, n=100000):
    d.policy("limits l { conns 64 }\n" + "".join(
        'tenant t%d {\n\tlimits l\n\tallow to name "n%d.example" port tcp 443\n}\n' %
        (i, i) for i in range(n)))


def tenants_except(d, n=100000):
    d.policy("".join(
        'floor except net 10.%d.%d.%d port tcp 443 for tenant t%d ticket "x"\n'
        "tenant t%d {\n\tallow to net 10.%d.%d.%d port tcp 443\n}\n" %
        (i >> 16, i >> 8 & 255, i & 255, i, i, i >> 16, i >> 8 & 255, i & 255)
        for i in range(n)))


def macro_tenants(d, n=2000):
    d.policy("m = { %s }\n" % quoted(domains(350, 46)) + "".join(
        "tenant t%d { allow to name $m port tcp 443 }\n" % i for i in range(n)))


def set_tenants(d, n=2000):
    d.policy("names <m> { %s }\n" % quoted(domains(350, 47)) + "".join(
        "tenant t%d { allow to name <m> port tcp 443 }\n" % i for i in range(n)))


def table_tenants(d, n=1000):
    d.write("all.nets", lines(nets(111000, 48)))
    d.policy('table <all> file "all.nets"\n' + "".join(
        "tenant t%d { allow to net <all> port tcp 443 }\n" % i for i in range(n)))


def hosts(d, n=50000):
    d.policy("".join('host "n%d.example" 11.%d.%d.1\n' % (i, i >> 8, i & 255)
                     for i in range(n)) +
             "tenant t {\n\tallow to name \"+.example\" port tcp 443\n}\n")


def macros(d, n=100000):
    d.policy("".join("m%d = 443\n" % i for i in range(n)) + "tenant t {\n%s}\n" %
             "".join("\tallow to net 11.%d.%d.%d port tcp $m%d\n" %
                     (i >> 16, i >> 8 & 255, i & 255, i) for i in range(n)))


SIZES = (names_set, names_rule, rules_net, rules_name, rules_deny, tenants,
         tenants_except, macro_tenants, set_tenants, table_tenants, hosts, macros)

if __name__ == "__main__":
    shape = {f.__name__: f for f in LISTS + SIZES}[sys.argv[1]]
    shape(Folder(sys.argv[2]), *[int(a) for a in sys.argv[3:4]])
