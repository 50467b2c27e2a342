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
        odd_bytes()
        os.chdir("/")
    for line in wrong[:40]:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
