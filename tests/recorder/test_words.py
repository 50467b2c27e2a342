"""The words of the log are the same in the code, the schema, the man page and
the validator: every reason, every type, every member."""

import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

root = pathlib.Path(os.environ.get("srcdir", "."))
bad = 0


def same(what, want, got, where):
    global bad
    for word in sorted(want - got):
        print(f"{what} {word} is not in {where}")
        bad = 1


spec = importlib.util.spec_from_file_location("validate",
                                              root / "tests/validate-audit.py")
validate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(validate)
schema = json.loads((root / "doc/audit.schema.json").read_text())
man = (root / "man/sallyport-audit.5").read_text()
line, member, own = ((root / f"src/recorder/{f}.c").read_text()
                     for f in ("line", "member", "own"))
tags = set()
for tag in re.findall(r"^\.It Cm (.+)$", man, re.M):
    tags.update(tag.replace(",", " ").split())

reasons = set(re.findall(r'\[REASON_\w+\] = "([^"]+)"',
                         (root / "src/lib/reason.c").read_text())) - {"none"}
assert len(reasons) > 35, reasons
same("reason", reasons, set(schema["$defs"]["reason"]["examples"]), "the schema")
same("reason", set(schema["$defs"]["reason"]["examples"]), reasons, "reason.c")
same("reason", reasons, tags, "the man page")

types = {t for t in re.findall(r'"([a-z]{3,}\.[a-z]{3,})"', line + own)} | \
    {"limit", "dns"}
known = {k: d for k, d in schema["$defs"].items()
         if "title" in d and k != "record"}
assert len(types) == 24, sorted(types)
same("type", types, known.keys(), "the schema")
same("type", known.keys(), types, "line.c and own.c")
same("type", types, tags, "the man page")
switched, part = [], schema["$defs"]["record"]
while "if" in part:
    kind = part["if"]["properties"]["type"]["const"]
    assert part["then"] == {"$ref": f"#/$defs/{kind}"}, part["then"]
    switched.append(kind)
    part = part.get("else", {})
assert sorted(switched) == sorted(known), switched

members = set(re.findall(r'(?:JSON_KEY|NUMBER|TEXT|WORD)\(j, "([^"]+)"', line + own))
members |= set(re.findall(r'KEY\("([^"]+)"\)', member))
# within longer literals
members |= {"v", "seq", "durable", "torn"}
same("member", members, set(validate.ORDER), "validate-audit.py")
same("member", set(validate.ORDER), members, "line.c, member.c and own.c")
same("member", set(validate.ORDER), tags, "the man page")
order = [key for key in re.findall(r'KEY\("([^"]+)"\)', member)]
assert order[2:] == [key for key in validate.ORDER if key in order[2:]], \
    "member.c has another order than validate-audit.py"

# every member is described, and the types have all of them
described = schema["$defs"]["record"]["properties"]
same("member", set(validate.ORDER) - {"torn"}, described.keys(), "the schema")
same("member", described.keys(), set(validate.ORDER), "validate-audit.py")
used = set(schema["$defs"]["record"]["required"]) | {"boot"}
for kind, d in known.items():
    used |= d["properties"].keys()
    same(f"{kind}'s", d["properties"].keys(), described.keys(), "the record's members")
    same(f"{kind}'s", set(d["required"]), d["properties"].keys(), "its own members")
same("member", described.keys(), used, "any type")
for key, d in described.items():
    if len(d.get("description", "")) < 10:
        print(f"{key} is not described")
        bad = 1

# Readers put a line into SQL, and beside ECS, whose field sets are objects.
ECS = """agent base client cloud code_signature container data_stream destination device
dll dns ecs elf email error event faas file geo group hash host http interface labels log
macho message network observer orchestrator organization os package pe process registry
related risk rule server service source span tags threat tls trace transaction url user
user_agent vlan volume vulnerability x509""".split()
SQL = """all and any as asc between by case check column constraint create cross current
default delete desc distinct drop else end exists false for foreign from full grant group
having in index inner insert into is join key left like limit natural not null on or order
outer primary references right row select set table then to true union unique update user
using values view when where window with""".split()
for key in members:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", key) or key in ECS or key in SQL:
        print(f"{key} stops a reader: a dot, a field set of ECS or a word of SQL")
        bad = 1

# One key, one type, in whatever line it stands; what is new is let through.
for kind, d in known.items():
    for key, sub in d["properties"].items():
        if sub is not True and {"type", "items"} & sub.keys() and \
                sub.get("type") != described[key].get("type"):
            print(f"{key} of {kind} has another type than elsewhere")
            bad = 1
s = validate.Schema(root / "doc/audit.schema.json")
minimal = {"v": 2, "seq": 1, "ts": "2026-12-01T00:00:00.000000Z", "mono_ns": 1,
           "type": "daemon.stop", "hostname": "h", "rec": 1,
           "inst": "01020304-0506-4708-890a-0b0c0d0e0f10"}
for more, valid in (({}, True), ({"newer": [1]}, True), ({"type": "newer.type"}, True),
                    ({"reason": "newer-reason"}, True), ({"pid": "x"}, False),
                    ({"v": 1}, False), ({"type": "flow.open"}, False),
                    ({"torn": True, "type": None}, True),
                    ({"torn": 7}, False), ({"mono_ns": None}, False)):
    why = validate.problem(s.whole, minimal | more)
    if (why is None) != valid or \
            s.other is not None and s.other.is_valid(minimal | more) != valid:
        print(f"the schema of {more}: {why}")
        bad = 1

# What doc/ says turns a line of format 1 into one of format 2, does.
MORE = ['"type":"deny.agg","verdict":"deny","reason":"default-deny","host":"h",%s,'
        '"rec":5,"tenant":"t","guest":"g","proto":"tcp","g.dst":"192.0.2.0",'
        '"g.dp":443,"gen":1,"pol":"0001020304050607","n":7,'
        '"first":"2026-11-25T03:28:46.092624Z","last":"2026-11-25T03:28:47.092624Z",'
        '"uniq":1','"type":"audit.gap","reason":"unknown-crash","host":"h",%s,"rec":0,"from":2,'
        '"to":3,"opens":0,"closes":0,"denies":0,"other":0,"torn":5',
        '"type":"audit.remove","host":"h",%s,"rec":0,"file":"a.000000000001",'
        '"first_seq":1,"last_seq":2',
        '"type":"flow.deny","verdict":"deny","reason":"sni-mismatch","host":"h",%s,'
        '"rec":3,"tenant":"t","guest":"g","proto":"tcp","names":"a.example,b.example",'
        '"sni":"c.example","alpn":"h2,http/1.1","assurance":"none","gen":1,'
        '"pol":"0001020304050607","conn_ms":3',
        '"type":"flow.deny","verdict":"deny","reason":"vhost-mismatch","host":"h",%s,'
        '"rec":4,"tenant":"t","guest":"g","proto":"tcp","name":"a.example",'
        '"sni":"c.example","assurance":"none","gen":1,"pol":"0001020304050607"']
filters = re.findall(r"^jq -c '([^']+)' audit.jsonl$",
                     (root / "doc/audit-format-1.md").read_text(), re.M)
assert len(filters) == 1, filters
if shutil.which("jq"):
    old = (root / "tests/fuzz/log/old").read_text() + "".join(
        '{"v":1,"seq":%d,"ts":"2026-11-25T03:28:46.092624Z","mono":7,%s}\n' %
        (100 + i, more % '"inst":"01020304-0506-4708-890a-0b0c0d0e0f10"')
        for i, more in enumerate(MORE))
    new = subprocess.run(["jq", "-c", filters[0]], input=old, capture_output=True,
                         text=True, check=True).stdout.splitlines()
    assert len(new) == len(old.splitlines()), new
    for text in new:
        if why := s.error(json.loads(text)):
            print(f"what jq makes of format 1: {why}: {text}")
            bad = 1
    assert json.loads(new[-2])["conn_ns"] == 3000000 and \
        json.loads(new[-2])["alpn"] == ["h2", "http/1.1"], new[-2]
    assert json.loads(new[-1])["vhost"] == "c.example", new[-1]

if shutil.which("mandoc"):
    lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning",
                           root / "man/sallyport-audit.5"],
                          capture_output=True, text=True)
    if lint.returncode:
        print(lint.stdout)
        bad = 1
print(f"{len(reasons)} reasons, {len(types)} types, {len(members)} members")
sys.exit(bad)
