#!/usr/bin/python3
"""What check, explain and rules say with --json fits doc/answer.schema.json, and says
the same as their text and their exit status.

usage: answers.py      in the build directory
"""

import json
import os
import re
import subprocess
import sys
import tempfile

CMD = os.path.abspath("policy_cmd")
SRC = os.environ.get("srcdir", ".")
with open(os.path.join(SRC, "doc/answer.schema.json"), encoding="utf-8") as f:
    SCHEMA = json.load(f)
KINDS = {"object": dict, "array": list, "string": str, "boolean": bool,
         "integer": int}
wrong = []


def fits(value, schema, at="answer", known=None):
    """A list of what does not fit; the words of JSON Schema that the file has. `known'
    gathers the members that were seen, to find those that the schema does not tell."""
    if "$ref" in schema:
        return fits(value, SCHEMA["$defs"][schema["$ref"].split("/")[-1]], at)
    bad = []
    if "type" in schema and (not isinstance(value, KINDS[schema["type"]]) or
                             (schema["type"] == "integer" and isinstance(value, bool))):
        return [f"{at}: {value!r} is no {schema['type']}"]
    if "const" in schema and value != schema["const"]:
        bad.append(f"{at}: {value!r} is not {schema['const']!r}")
    if "enum" in schema and value not in schema["enum"]:
        bad.append(f"{at}: {value!r} is none of {schema['enum']}")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        bad.append(f"{at}: {value!r}")
    if value < schema.get("minimum", value) if isinstance(value, int) else False:
        bad.append(f"{at}: {value} is too small")
    if value > schema.get("maximum", value) if isinstance(value, int) else False:
        bad.append(f"{at}: {value} is too large")
    for key in schema.get("required", ()):
        if key not in value:
            bad.append(f"{at}: no {key}")
    for i, item in enumerate(value if isinstance(value, list) else ()):
        bad += fits(item, schema.get("items", {}), f"{at}[{i}]")
    if isinstance(value, dict) and "properties" in schema:
        for key, item in value.items():
            if key in schema["properties"]:
                bad += fits(item, schema["properties"][key], f"{at}.{key}")
            elif "oneOf" not in schema:
                bad.append(f"{at}: {key} is not in the schema")
    if "oneOf" in schema:
        tries = [fits(value, s, at) for s in schema["oneOf"]]
        if sum(not t for t in tries) != 1:
            bad += min(tries, key=len) or [f"{at}: fits more than one"]
    return bad


def by_jsonschema(value):
    try:
        import jsonschema
    except ImportError:
        return
    jsonschema.validate(value, SCHEMA)


def run(*words):
    done = subprocess.run([CMD, *words], capture_output=True, text=True, timeout=60,
                          check=False)
    return done.returncode, done.stdout, done.stderr


def expect(what, value, wanted):
    if value != wanted:
        wrong.append(f"{what}: {value!r}, not {wanted!r}")


def ask(*words):
    """Its object, held to the schema and to the exit status."""
    status, out, err = run(words[0], "--json", *words[1:])
    if out.count("\n") != 1 or not out.endswith("\n"):
        wrong.append(f"{words}: not one line: {out!r} {err!r}")
        return {}
    value = json.loads(out)
    wrong.extend(f"{' '.join(words)}: {x}" for x in fits(value, SCHEMA))
    by_jsonschema(value)
    if "exit" in value:
        expect(words, value["exit"], status)
    expect(f"{words}: stderr", err, "")
    return value


POLICY = '''policy version 1
table <bad> file "bad.nets"
web = { "a.example"
    "*.b.example" }
host "in.example" 203.0.114.7
tenant t {
    allow to name $web port tcp { 80 443 } label "web"
    allow to name { "in.example" "c.example" } port tcp 22 verify none
    deny to net <bad>
}
tenant trial mode audit {
    deny to name "d.example" port tcp 443 mode enforce
}
'''


def explain():
    q = ask("explain", "p.conf", "t", "tcp", "203.0.115.1:443", "--name", "a.example",
            "--sni", "a.example")
    expect("verdict", q["verdict"]["verdict"], "allow")
    expect("its rule", (q["verdict"]["rule"]["label"], q["verdict"]["rule"]["line"]),
           ("web", 7))
    expect("name", (q["verdict"]["name"], q["verdict"]["assurance"]),
           ("a.example", "sni"))
    expect("dial", q["verdict"]["dial"], "203.0.115.1:443")
    q = ask("explain", "p.conf", "t", "tcp", "203.0.115.1:443", "--name", "a.example")
    rows = {(s["shown"], s.get("name")): s["verdict"] for s in q["steps"]
            if "shown" in s}
    expect("rows", rows, {("sni", "a.example"): "allow", ("host", "a.example"): "deny",
                          ("other", None): "deny", ("nothing", None): "deny",
                          ("undecided", None): "deny"})
    q = ask("explain", "p.conf", "t", "udp", "203.0.116.9:53")
    entry = [s["entry"] for s in q["steps"] if s["step"] == "deny"][0]
    expect("entry", (entry["text"], entry["set"], entry["file"][-8:], entry["line"]),
           ("203.0.116.0/24", "table <bad>", "bad.nets", 2))
    expect("reason", q["verdict"]["reason"], "deny-rule")
    q = ask("explain", "p.conf", "trial", "tcp", "203.0.115.1:80", "--name", "d.example")
    expect("audit", q["verdict"]["verdict"], "audit-deny")
    for words in (("icmp", "203.0.114.1"), ("dns", "x.b.example"), ("dns", "in.example"),
                  ("dns", "no.example"), ("tcp", "127.0.0.1:1"), ("tcp", "10.83.80.2:53"),
                  ("tcp", "[64:ff9b::127.0.0.1]:1")):
        for tenant in ("t", "trial"):
            ask("explain", "p.conf", tenant, *words)


def reach():
    q = ask("explain", "p.conf", "t", "reach", "a.example")
    ports = q["reach"][0]["ports"]
    for proto in ("tcp", "udp"):
        ranges = [(p["from"], p["to"]) for p in ports if p["proto"] == proto]
        expect("whole", ranges[0][0], 1)
        expect("whole", ranges[-1][1], 65535)
        for (_, a), (b, _) in zip(ranges, ranges[1:]):
            expect("no hole", b, a + 1)
    for port, shown in ((80, ["host"]), (443, ["sni"])):
        p = [p for p in ports if p["proto"] == "tcp" and p["from"] <= port <= p["to"]][0]
        expect("verdict", p["verdict"], "proof")
        expect(f"proofs of {port}", [x["shown"] for x in p["proofs"]], shown)
    for words in (("in.example",), ("no.example",), ("203.0.116.0/22",), ("127.0.0.1",),
                  ("203.0.114.7", "--name", "in.example"), ("10.83.80.2",),
                  ("2000::/3",)):
        for tenant in ("t", "trial"):
            ask("explain", "p.conf", tenant, "reach", *words)


LAW = """policy version 1
limits small { conns 9 }
host-service m 127.0.0.1:9091 tcp
floor except net 10.1.2.3 port tcp 443 for tenant t ticket "T-1"
floor except net 10.1.2.4 port tcp 443 for tenant u ticket "T-2"
host "h.example" 10.1.2.3
host "other.example" 203.0.115.1
tenant t {
    limits small
    allow to name { "h.example" "*.w.example" } port tcp { 79-81 443 } port udp 9 label "n"
    allow to net { 10.1.2.3 203.0.114.0/24 } port tcp 443 ticket "T-3" \\
        until 2001-01-31 note "as agreed"
    allow to host-service m
    deny to any port tcp 22 mode audit
}
tenant u mode audit {
    allow to net 10.1.2.4 port tcp 443
    deny to name "x.example"
}
"""


def rules():
    with open("law.conf", "w", encoding="utf-8") as f:
        f.write(LAW)
    q = ask("rules", "law.conf", "t")
    expect("limits", (q["limits"]["name"], q["limits"]["conns"], q["limits"]["line"]),
           ("small", 9, 2))
    expect("exceptions", [(x["ticket"], x["line"]) for x in q["exceptions"]],
           [("T-1", 4)])
    expect("hosts", [(x["name"], x["addresses"]) for x in q["hosts"]],
           [("h.example", ["10.1.2.3"])])
    expect("services", [(x["name"], x["address"]) for x in q["services"]],
           [("m", "127.0.0.1:9091")])
    expect("ids", [r["rule_id"] for r in q["rules"]][0], "n")
    expect("lines", [r["line"] for r in q["rules"]], [10, 11, 13, 14])
    expect("actions", [(r["action"], r["to"], r["mode"]) for r in q["rules"]],
           [("allow", "name", "enforce"), ("allow", "net", "enforce"),
            ("allow", "host-service", "enforce"), ("deny", "any", "audit")])
    expect("proofs", [(p["proto"], p["from"], p["to"], p.get("verify"))
                      for p in q["rules"][0]["ports"]],
           [("tcp", 79, 79, "sni"), ("tcp", 80, 80, "host"), ("tcp", 81, 81, "sni"),
            ("tcp", 443, 443, "sni"), ("udp", 9, 9, None)])
    expect("attributes", [q["rules"][1].get(k) for k in ("ticket", "until", "note",
                                                         "ended")],
           ["T-3", "2001-01-31", "as agreed", True])
    q = ask("rules", "law.conf", "u")
    expect("u", (q["tenant"]["mode"], "name" in q["limits"], q["hosts"] != [],
                 q["rules"][1]["mode"]), ("audit", False, True, "audit"))
    status, out, err = run("rules", "law.conf", "t")
    lines = out.splitlines()
    expect("text", status, 0)
    expect("a rule a line", [x.split("(")[0] for x in lines if x.startswith("rule ")],
           [f"rule       law.conf:{n}: " for n in (10, 11, 13, 14)])
    for words in ('verify sni, on port 80 host', '(has ended) ticket "T-3" note "as agreed"',
                  'except     law.conf:4: floor except net 10.1.2.3 port tcp 443 for',
                  'limits     law.conf:2: limits small { conns 9', 'default    deny'):
        expect(words, words in out, True)
    status, out, err = run("rules", "law.conf")
    expect("which tenant", (status, "it has: t u" in err), (2, True))
    expect("quiet", run("rules", "-q", "law.conf", "t")[:2], (0, ""))
    expect("misuse", run("rules")[0], 64)
    # lists are cut unless all is wanted
    with open("law.conf", "w", encoding="utf-8") as f:
        f.write("policy version 1\ntenant t {\n allow to net { " + " ".join(
            f"203.0.{i}.1" for i in range(114, 134)) + " }\n}\n")
    expect("cut", "203.0.121.1 and 12 more }" in run("rules", "law.conf", "t")[1], True)
    expect("all", "203.0.133.1 }" in run("rules", "--all", "law.conf")[1], True)


def check():
    with open("good.conf", "w", encoding="utf-8") as f:
        f.write('policy version 1\ntenant t {\n allow to name "a.example.com" port tcp 443'
                "\n}\ntenant u {\n}\n")
    q = ask("check", "good.conf")
    expect("status", (q["status"], q["exit"], q["tenants"], q["rules"],
                      [d for d in q["diagnostics"] if d["severity"] != "note"]),
           ("good", 0, 2, 1, []))
    with open("bad.conf", "w", encoding="utf-8") as f:
        f.write("policy version 1\ntenant t {\n    allow to name a.example port tcp 443\n"
                "    allow too any\n}\n")
    q = ask("check", "bad.conf")
    expect("status", (q["status"], q["exit"], "sha256" in q), ("errors", 1, False))
    expect("places", {d["line"] for d in q["diagnostics"]} <= {3, 4}, True)
    expect("errors", (q["errors"] > 0, {d["severity"] for d in q["diagnostics"]}),
           (True, {"error"}))
    with open("warned.conf", "w", encoding="utf-8") as f:
        f.write('policy version 1\ntenant t {\n    allow to any port tcp 22\n'
                '    allow to name "*.github.io" port tcp 443\n'
                '    allow to name "*.gitlab.io" port tcp 443 nowarn W202 "as it is"\n}\n')
    q = ask("check", "warned.conf")
    expect("status", (q["status"], q["exit"]), ("warnings", 2))
    expect("W202", (4, "W202") in [(d["line"], d.get("code"))
                                   for d in q["diagnostics"]], True)
    told = [d for d in q["diagnostics"] if d["severity"] == "warning"]
    expect("codes", all(d["code"][0] == "W" for d in told), True)
    expect("counts", (sum(not d["acknowledged"] for d in told),
                      sum(d["acknowledged"] for d in told)),
           (q["warnings"], q["acknowledged"]))
    expect("reason", [(d["line"], d["reason"]) for d in told if d["acknowledged"]],
           [(5, "as it is")])
    places = [(d["line"], d["column"]) for d in q["diagnostics"]]
    expect("order", places, sorted(places))
    expect("quiet", run("check", "-q", "--json", "good.conf")[:2], (0, ""))
    expect("misuse", run("check", "-p", "--json", "p.conf")[0], 64)
    expect("missing", ask("check", "missing.conf")["status"], "errors")


def odd_bytes():
    """A path of any bytes."""
    name = b'od"d\\\xff\x01.conf'
    with open(name, "wb") as f:
        f.write(b"policy version 1\ntenant t {\nallow to any\n}\n")
    done = subprocess.run([CMD, "explain", "--json", name, "t", "tcp", "203.0.114.1:1"],
                          capture_output=True, timeout=60, check=False)
    expect("odd path", done.returncode, 0)
    value = json.loads(done.stdout.decode() or '{"policy":""}')
    expect("path", value["policy"], 'od"d\\\ufffd\x01.conf')


def main():
    os.umask(0o022)
    with tempfile.TemporaryDirectory() as where:
        os.chdir(where)
        with open("p.conf", "w", encoding="utf-8") as f:
            f.write(POLICY)
        with open("bad.nets", "w", encoding="utf-8") as f:
            f.write("# list\n203.0.116.0/24 203.0.118.0/24\n")
        explain()
        reach()
        rules()
        check()
        odd_bytes()
        os.chdir("/")
    for line in wrong[:40]:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
