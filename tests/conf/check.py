#!/usr/bin/python3
"""What `sallyport check` says beside the golden pairs: the order of its messages over
several files, how many are shown, what is acknowledged, and its exit status."""

import hashlib
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile

CMD = pathlib.Path(os.environ.get("builddir", ".")).resolve() / "policy_cmd"
failures = 0


def check(what, good, *details):
    global failures
    if not good:
        failures += 1
        print("check:", what, *details, file=sys.stderr)


def run(path, *options):
    done = subprocess.run([CMD, "check", *options, path.name], cwd=path.parent,
                          capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr.splitlines()


def write(path, text):
    path.write_text(text)
    path.chmod(0o644)
    return path


def text_hash(tmp):
    """`text_sha256' is what sha256sum makes of `files', one behind the other; a line
    that moves changes it and not the law's."""
    (tmp / "more").mkdir()
    write(tmp / "more" / "b.conf", "tenant b { allow to net <t> port tcp 80 }\n")
    write(tmp / "more" / "a.conf", "tenant a { allow to net 203.0.114.2 port tcp 22 }\n")
    write(tmp / "more" / "t.txt", "203.0.114.0/28\n")
    path = write(tmp / "many.conf", 'policy version 1\ninclude "more/*.conf"\n'
                 'table <t> file "more/t.txt"\ntable <u> file "more/t.txt"\n'
                 "tenant c { allow to net <u> port tcp 443 }\n") or tmp / "many.conf"
    found = []
    for more in ("", "# one line\n"):
        path.write_text(more + path.read_text())
        status, out, err = run(path, "--json")
        got = json.loads(out)
        check("it is good", status != 1, err, out)
        text = b"".join((tmp / name).read_bytes() for name in got["files"])
        check("all files are there, in their order", got["files"][0] == "many.conf" and
              [f for f in got["files"] if f.endswith(".conf")][1:] ==
              ["more/a.conf", "more/b.conf"] and
              got["files"].count("more/t.txt") == 2, got["files"])
        check("the text's hash", got["text_sha256"] == hashlib.sha256(text).hexdigest())
        found.append(got)
    check("another text", found[0]["text_sha256"] != found[1]["text_sha256"])
    check("the same law", found[0]["sha256"] == found[1]["sha256"])


def policy(tmp, *lines, head=""):
    rules = "".join(f"\t{line}\n" for line in lines)
    return write(tmp / "p.conf", f"policy version 1\n{head}tenant t {{\n{rules}}}\n")


def many(tmp):
    """25 warnings: 20 are shown, in the order of the lines, and the rest is told of."""
    rules = [f'allow to name "h{i}.example.com" port udp {1000 + i}' for i in range(25)]
    path = policy(tmp, *rules)
    status, _, lines = run(path)
    check("the first 20", [re.match(r"p.conf:(\d+):", x).group(1) for x in lines[:20]] ==
          [str(i) for i in range(3, 23)], lines)
    check("and the rest", status == 2 and lines[20:] == ["and 5 more: sallyport check --all"],
          status, lines[20:])
    status, _, lines = run(path, "--all")
    check("all of them", status == 2 and len(lines) == 25 and "(W201)" in lines[24], lines)
    status, _, lines = run(policy(tmp, *(r + ' nowarn W201 "meant"' for r in rules)))
    check("acknowledged", (status, lines) == (
        0, ["p.conf: 25 acknowledged: sallyport check --all"]), status, lines)
    status, out, lines = run(path, "--all")
    check("with their reasons", status == 0 and len(lines) == 25 and all(
        ": acknowledged: " in x and x.endswith("(W201): meant") for x in lines), lines)
    status, quiet, lines = run(path, "-q")
    check("nothing of a good one", (status, quiet, lines) == (0, "", []), quiet, lines)
    status, plain, _ = run(policy(tmp, *rules))
    check("the law is the same", out.split("sha256")[1] == plain.split("sha256")[1])
    mixed = rules[:21] + [rules[21] + ' nowarn W201 "meant"'] + ["allow to net 203.0.114.1/8"]
    status, _, lines = run(policy(tmp, *mixed))
    check("an error is shown whatever else is", status == 1 and any(
        "p.conf:25:15: " in x and "warning" not in x for x in lines), lines)


def places(tmp):
    """The policy's own lines first, then the files in the order of reading."""
    write(tmp / "a.nets", "203.0.114.0/24\n8.8.8.8\n")
    write(tmp / "b.conf", 'tenant b {\n\tallow to name "*.github.io" port tcp 443\n'
          "\tallow to net <dns> port udp 53 port udp 443\n}\n")
    head = 'pages = { "a.example.com"\n\t"*.netlify.app" }\n' \
        'table <dns> { 1.1.1.1 } file "a.nets"\ninclude "b.conf"\n'
    last = "allow to name $pages port tcp 443"
    path = policy(tmp, "allow to net <dns> port udp 443", last + " ech allow",
                  last + ' label "x"', head=head)
    status, _, lines = run(path)
    check("an order of places", [x.split(": ")[0] for x in lines] ==
          ["p.conf:3:2", "p.conf:4:15", "a.nets:2:1", "b.conf:2:16"], lines)
    check("an entry knows its rules", status == 2 and
          lines[0].endswith("(W202); used in 2 rules, first at p.conf:8") and
          lines[1].endswith("(W110); used in 2 rules, first at p.conf:7") and
          lines[2].endswith("(W110); used in 2 rules, first at p.conf:7"), lines)
    _, _, lines = run(policy(tmp, "allow to net <dns> port udp 443", last +
                             ' ech allow nowarn W202 "here"', last, head=head))
    check("a use that is acknowledged", lines[0].startswith("p.conf:3:2: warning") and
          lines[0].endswith("(W202)"), lines)
    meant = head.replace('"a.nets"\n', '"a.nets" nowarn W110 "ours"\n')
    status, _, lines = run(policy(tmp, "allow to net <dns> port udp 443", head=meant))
    check("a file's entries are its statement's", status == 2 and
          not any("W110" in x for x in lines[:-1]) and
          lines[-1] == "p.conf: 2 acknowledged: sallyport check --all", lines)
    write(tmp / "a.nets", '203.0.114.0/24\n8.8.8.8 nowarn W110 "trust me"\n')
    status, _, lines = run(path)
    check("a file does not speak for itself", status == 1 and
          lines[0].startswith("a.nets:2:9: "), status, lines)


def large(tmp):
    """Rules are compared with each other, and not each with each: 100 000 of them
    take the processor for a second, and would for a quarter of a minute."""
    kinds = ('allow to name "h{0}.example.com" port tcp 443 label "r{0}"',
             "allow to net 11.{1}.{2}.{3} port tcp 443",
             'deny to name "*.bad{0}.example.com" port tcp 443',
             'allow to name "l{0}.example.org" port tcp 8443 verify none')
    path = policy(tmp, *(kinds[i % 4].format(i, i >> 16, i >> 8 & 255, i & 255)
                         for i in range(100000)))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    status, _, lines = run(path)
    took = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    check("what many rules say", status == 2 and len(lines) == 21, lines[:3])
    check("many rules", took < 8, took)
    same = 'allow to name "a.example.com" port tcp {0}', \
        'deny to name "a.example.com" port tcp 1 mode enforce label "d{0}"'
    path = policy(tmp, *(same[i % 2].format(i + 1000) for i in range(12000)))
    status, _, lines = run(path, "--all")
    check("too much to compare is told", status == 2 and
          lines[0].startswith("p.conf: note: there is too much here ") and
          lines[0].endswith("(W109)"), lines[:2])


def main():
    os.umask(0o022)
    with tempfile.TemporaryDirectory() as name:
        many(pathlib.Path(name))
        places(pathlib.Path(name))
        large(pathlib.Path(name))
        text_hash(pathlib.Path(name))
    sys.exit(1 if failures else 0)


main()
