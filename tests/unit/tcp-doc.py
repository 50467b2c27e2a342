#!/usr/bin/env python3
"""doc/tcp.md and the tests that it names.

    tcp-doc.py           each test there is one, and the table is that of test_states.c
    tcp-doc.py --write   puts the table there
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "doc/tcp.md"
UNIT = ROOT / "tests/unit"
MARK = "| segment |"


def table():
    """The events of test_states.c, in its order of states."""
    text = (UNIT / "test_states.c").read_text()
    body = text[text.index("events[] = {"):]
    body = body[:body.index("\n};")]
    states = re.findall(r'^\t\{ "([A-Z0-9-]+)", \w+, \d', text, re.M)
    rows = re.findall(r'\{ "([^"]+)",.*?"([.A-Z]{%d})" \}' % len(states),
                      body, re.S)
    assert len(states) == 9 and len(rows) == body.count("{ \"")
    head = [MARK + "".join(f" {s} |" for s in states),
            "|---|" + "---|" * len(states)]
    return head + ["| " + name + " |" + "".join(f" {c} |" for c in answers)
                   for name, answers in rows]


def tests():
    """Names of scripts and of functions."""
    names = set()
    for source in UNIT.glob("test_*.c"):
        text = source.read_text()
        names.update(re.findall(r'^\t\{ "([^"]+)", \w+ \},$', text, re.M))
        names.update(re.findall(r"\bT\((test_\w+)\)", text))
        names.add(source.stem)
    names.update(("walk_frame", "tests/frame/hostile.py"))
    return names


def named(page):
    """What stands in backquotes in the tables and looks like a test."""
    known = re.compile(r"src/|tests/unit/|make |[a-z]+\.c$|idle$|lifetime$|SO_")
    return {n for n in re.findall(r"`([^`]+)`", page) if not known.match(n)}


def old_table(page):
    start = page.index(MARK) if MARK in page else page.index("STATE-TABLE")
    return start, page.index("\n\n", start)


def main():
    page = PAGE.read_text()
    start, end = old_table(page)
    want = "\n".join(table())
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page[:start] + want + page[end:])
        return 0
    wrong = sorted(named(page) - tests())
    for name in wrong:
        print(f"doc/tcp.md names `{name}`, which is no test")
    if page[start:end] != want:
        wrong.append("table")
        print("doc/tcp.md: the table is not test_states.c's (--write)")
    # and the other way round: no script is without its place there
    scripts = {n for s in ("test_behave.c", "test_patience.c") for n in
               re.findall(r'^\t\{ "([^"]+)", \w+ \},$',
                          (UNIT / s).read_text(), re.M)}
    for name in sorted(scripts - named(page)):
        wrong.append(name)
        print(f"doc/tcp.md has no word of `{name}`")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
