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
line = (root / "src/recorder/line.c").read_text()
tags = set()
for tag in re.findall(r"^\.It Cm (.+)$", man, re.M):
    tags.update(tag.replace(",", " ").split())

reasons = set(re.findall(r'\[REASON_\w+\] = "([^"]+)"',
                         (root / "src/lib/reason.c").read_text())) - {"none"}
assert len(reasons) > 35, reasons
same("reason", reasons, set(schema["$defs"]["reason"]["enum"]), "the schema")
same("reason", set(schema["$defs"]["reason"]["enum"]), reasons, "reason.c")
same("reason", reasons, tags, "the man page")

types = {t for t in re.findall(r'"([a-z]{3,}\.[a-z]{3,})"', line)} | \
    {"limit", "dns"}
known = {b["properties"].get("type", {}).get("const") for b in schema["oneOf"]}
assert len(types) == 23, sorted(types)
same("type", types, known, "the schema")
same("type", types, tags, "the man page")

members = set(re.findall(r'(?:JSON_KEY|NUMBER|TEXT|WORD)\(j, "([^"]+)"', line))
members |= set(re.findall(r'"([gh]\.(?:sp|dp|src|dst))"', line))
# within longer literals
members |= {"v", "seq", "pol", "durable", "ech", "secure"}
same("member", members, set(validate.ORDER), "validate-audit.py")
same("member", set(validate.ORDER), members, "line.c")
same("member", set(validate.ORDER), tags, "the man page")
in_schema = {k for b in schema["oneOf"] for k in b["properties"]}
same("member", set(validate.ORDER), in_schema, "the schema")
same("member", in_schema, set(validate.ORDER), "validate-audit.py")
for b in schema["oneOf"][:-1]:
    if b["additionalProperties"] is not False:
        print(f"{b['title']} takes any member")
        bad = 1

if shutil.which("mandoc"):
    lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning",
                           root / "man/sallyport-audit.5"],
                          capture_output=True, text=True)
    if lint.returncode:
        print(lint.stdout)
        bad = 1
print(f"{len(reasons)} reasons, {len(types)} types, {len(members)} members")
sys.exit(bad)
