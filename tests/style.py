#!/usr/bin/python3
"""The measurable part of the house style (HACKING.md): lengths of files,
functions and lines, and the head comment of every file.

usage: style.py SRCDIR [-v]

Limits: no file of src/ longer than 700 lines; functions: median <= 15 lines,
90 % <= 50, none > 100 (grammar files excepted); no line wider than 100 columns
with tabs of eight; every file of src/ and include/ opens with a comment; a page
that a comment names is in the tree.
"""

import os
import pathlib
import re
import statistics
import sys

FILE_MAX, LINE_MAX = 700, 100
MEDIAN_MAX, P90_MAX, FUNCTION_MAX = 15, 50, 100


def functions(text):
    """(name, lines) of each function in KNF: name at column 0, braces too."""
    lines = text.split("\n")
    name, start = None, None
    for number, line in enumerate(lines):
        if start is None:
            match = re.match(r"([a-z_][a-z0-9_]*)\(", line)
            if match:
                name = match.group(1)
            elif line == "{" and name:
                start = number
            elif line and not line[0].isspace() and line != "{":
                name = None
        elif line == "}":
            yield name, number - start + 1
            name, start = None, None


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else
                        os.environ.get("srcdir", "."))
    verbose = "-v" in sys.argv
    files = sorted(root.glob("src/*/*.[ch]")) + sorted(root.glob("include/*.h"))
    # a tarball has what bison makes of a .y beside it
    files = [f for f in files if not f.with_suffix(".y").exists()]
    bad, lengths = [], []
    for path in files + sorted(root.glob("src/*/*.y")):
        text = path.read_text()
        where = path.relative_to(root)
        count = text.count("\n")
        if not text.startswith("/*") and not (
                path.suffix == ".y" and "/*" in text[:200]):
            bad.append(f"{where}: no head comment")
        if count > FILE_MAX:
            bad.append(f"{where}: {count} lines, {FILE_MAX} is the most")
        for number, line in enumerate(text.split("\n"), 1):
            if len(line.expandtabs(8)) > LINE_MAX:
                bad.append(f"{where}:{number}: wider than {LINE_MAX} columns")
            for page in re.findall(r"[\w/.-]+\.md\b", line):
                if not (root / page).exists() and not (root / "doc" / page).exists():
                    bad.append(f"{where}:{number}: there is no {page}")
            if line != line.rstrip():
                bad.append(f"{where}:{number}: white space at the end")
        if path.suffix != ".c":
            continue
        for name, length in functions(text):
            lengths.append(length)
            if length > FUNCTION_MAX:
                bad.append(f"{where}: {name}() has {length} lines")
            elif verbose and length > P90_MAX:
                print(f"{where}: {name}() has {length} lines")
    median = statistics.median(lengths)
    p90 = sorted(lengths)[int(len(lengths) * 0.9)]
    if median > MEDIAN_MAX or p90 > P90_MAX:
        bad.append(f"functions: median {median}, 90 % {p90}")
    for line in bad:
        print("style:", line, file=sys.stderr)
    print(f"style: {len(files)} files, {len(lengths)} functions, "
          f"median {median:g}, 90 % {p90}, longest {max(lengths)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
