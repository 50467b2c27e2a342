#!/usr/bin/python3
"""The malformed policies of slips.txt: each message stands where it should and says what
it should, nothing follows from one, and whoever does what it says has a policy that
passes. Then all of them, cut off after each byte, to the reader of the fuzzer.

usage: slips.py [--update]      (--update writes the messages anew)"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(os.environ.get("srcdir", ".")).resolve() / "tests/conf"
BUILD = pathlib.Path(os.environ.get("builddir", ".")).resolve()
CMD = BUILD / "policy_cmd"
REPLAY = BUILD / "replay_parse"
MARK = "\u25b8"
HEAD = ("table <good> { 203.0.115.9 }\nnets = { 203.0.115.9 }\n"
        "host-service web 127.0.0.1:80 tcp\nlimits few { conns 5 }\n")
AROUND = {"R": ("policy version 1\n" + HEAD + "tenant t {\n", "}\n"),
          "G": ("policy version 1\n", "tenant t {\n\tdeny to net 203.0.115.9\n}\n"),
          "F": ("", "")}
LEAST = 146


class Case:
    def __init__(self, kind, name):
        self.kind, self.name = kind, name
        self.bad, self.good, self.said = [], [], []

    def text(self, lines):
        """(the file's bytes, where its marks were)."""
        before, after = AROUND[self.kind[-1]]
        indent = "\t" if self.kind[-1] == "R" else ""
        marks, out = [], []
        number = before.count("\n")
        for line in lines:
            number += 1
            line = indent + line
            while MARK in line:
                marks.append((number, len(self.characters(line[:line.index(MARK)])) + 1))
                line = line.replace(MARK, "", 1)
            if line.strip("\t") or number - before.count("\n") < len(lines):
                out.append(line)        # a mark alone at the end: there is no line
        body = before + "".join(line + "\n" for line in out) + after
        return self.encode(body), marks

    def encode(self, text):
        data = text.encode()
        if self.kind[0] != "B":
            return data
        return re.sub(rb"\\x([0-9a-f]{2})|\\r",
                      lambda m: b"\r" if m[1] is None else bytes([int(m[1], 16)]), data)

    def characters(self, text):
        """Without what stands for no column: a BOM."""
        return self.encode(text).replace(b"\xef\xbb\xbf", b"").decode(errors="replace")


def read():
    cases = []
    for line in (HERE / "slips.txt").read_text().split("\n"):
        if re.match(r"B?[RGF] ", line):
            cases.append(Case(*line.split(" ", 1)))
        elif line[:1] in ("<", ">", "!") and cases:
            case = cases[-1]
            {"<": case.bad, ">": case.good, "!": case.said}[line[0]].append(line[2:])
    return cases


def check(path):
    done = subprocess.run([CMD, "check", path.name], cwd=path.parent, text=True,
                          capture_output=True, timeout=60, check=False)
    return done.returncode, done.stderr.splitlines()


def wanted(message):
    """What the message says is to be written, if it says so literally."""
    found = re.search(r'did you mean "?([^"?]+)"?\?', message) or \
        re.search(r": write (\S+(?: [^:]*)?)$", message)
    if not found or re.search(r"NAME| or | as |\.\.\.|,|^it |\\x|around|behind|into| of | the ",
                              found[1]):
        return None
    return found[1]


def problems(case, directory):
    path = directory / "policy"
    data, marks = case.text(case.bad)
    path.write_bytes(data)
    status, lines = check(path)
    if status != 1:
        yield f"exit {status}: {lines}"
        return
    said = [line for line in lines if ": warning: " not in line]
    places = []
    for line in said:
        at = re.match(r"policy:(\d+):(\d+): (.*)", line)
        places.append((int(at[1]), int(at[2])) if at else None)
    if [at for at in places if at] != marks:
        yield f"at {places}, not {marks}: {said}"
    told = [re.sub(r"^policy:(\d+:\d+: )? ?", "", line) for line in said]
    if UPDATE:
        case.said = told
    elif told != case.said:
        yield f"said {told}, not {case.said}"
    data, _ = case.text(case.good)
    for message in told:
        literal = wanted(message)
        if literal is not None and literal not in data.decode(errors="replace"):
            yield f"says {literal!r}, which is not what was made of it"
    path.write_bytes(data)
    status, lines = check(path)
    if status not in (0, 2):
        yield f"what was made of it: exit {status}: {lines}"


def write(cases):
    """The messages, behind what each was made of."""
    at, out, case = iter(cases), [], None
    for line in (HERE / "slips.txt").read_text().split("\n"):
        if line.startswith("! "):
            continue
        if case is not None and line[:1] not in ("<", ">"):
            out += [f"! {text}" for text in case.said]
            case = None
        if re.match(r"B?[RGF] ", line):
            case = next(at)
        out.append(line)
    (HERE / "slips.txt").write_text("\n".join(out))


def cut(cases, directory):
    """Every beginning of every one of them is read without a crash."""
    if not REPLAY.exists():
        return "no replay_parse: not built"
    for i, case in enumerate(cases):
        data, _ = case.text(case.bad)
        before = len(AROUND[case.kind[-1]][0])
        for n in range(before, len(data) + 1):
            (directory / f"{i}-{n}").write_bytes(data[:n])
    done = subprocess.run([REPLAY, directory], capture_output=True, text=True,
                          timeout=600, check=False)
    return f"replay: exit {done.returncode}: {done.stderr[-2000:]}" \
        if done.returncode != 0 else None


def main():
    bad = 0
    cases = read()
    os.umask(0o022)
    if len(cases) < LEAST or len({c.name for c in cases}) != len(cases):
        print(f"slips: {len(cases)} policies, or two of one name", file=sys.stderr)
        bad += 1
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        (directory / "x").mkdir()
        (directory / "x/a.conf").write_text("tenant a { }\n")
        for case in cases:
            for problem in problems(case, directory):
                print(f"slips: {case.name}: {problem}", file=sys.stderr)
                bad += 1
    with tempfile.TemporaryDirectory() as name:
        problem = cut(cases, pathlib.Path(name))
        if problem:
            print(f"slips: {problem}", file=sys.stderr)
            bad += 1
    if UPDATE:
        write(cases)
    return bad > 0


UPDATE = "--update" in sys.argv[1:]
sys.exit(main())
