#!/usr/bin/python3
"""The ten questions of doc/log-recipes.md: each jq line and its SQL, taken from that
page, are run over a log that the real recorder has written, and say what happened.
"""
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

SRC = os.environ.get("srcdir", ".")
sys.path.insert(0, os.path.join(SRC, "tests/recorder"))
sys.dont_write_bytecode = True
import drive  # noqa: E402

DAY = 86400 * 10 ** 9
FIRST = int(time.mktime((2026, 1, 1, 12, 0, 0, 0, 0, 0)) - time.timezone) * 10 ** 9
SNI_MISMATCH = drive.reason("SNI_MISMATCH")


def at(days):
    return dict(ts=FIRST + int(days * DAY))


def write(directory):
    """One life of a daemon that dies with a flow open, and the next one's start."""
    named = drive.named
    rows = [drive.start(1, [b"make"]), drive.load(2)]
    close = drive.record

    def flow(number, name, days, **f):
        rec = len(rows) + 1
        rows.append(named(drive.open_(rec, number, **f, **at(days)), name=name,
                          assurance=1))
        return number, name, days, f

    def end(opened, up, down, conn):
        number, name, days, f = opened
        rows.append(named(close(len(rows) + 1, drive.FLOW_CLOSE, number, up=up, down=down,
                                conn=conn, csrc=1, dur=1, verdict=1,
                                reason=drive.DONE, **f, **at(days)), name=name,
                          assurance=1))

    for i in range(4):
        end(flow(i + 1, b"a.example", i / 100), 10, 100 + i, 1000 * (i + 1))
    end(flow(5, b"b.example", 1, guest=b"build-2", rule=b"other"), 7, 8, 50)
    last = flow(6, b"c.example", 1)
    rows.append(named(drive.live(len(rows) + 1, 6, up=99, down=99, **at(1)),
                      name=b"c.example", assurance=1))
    for i in range(2):
        rows.append(named(drive.deny(len(rows) + 1, **at(0)), name=b"bad.example"))
    rows.append(named(drive.deny(len(rows) + 1, reason=SNI_MISMATCH, **at(0)),
                      name=b"a.example", sni=b"evil.example", assurance=0))
    rows.append(drive.record(len(rows) + 1, drive.DENY_AGG, 0, n=40, verdict=2,
                             reason=drive.DEFAULT_DENY, uniq=1, first=FIRST, last=FIRST,
                             **at(0)))
    r = drive.Recorder(directory)
    r.start(drive.inst())
    for row in rows:
        r.send(row)
    r.wait_durable(len(rows))
    r.process.kill()
    r.process.wait()
    assert last[0] == 6
    r = drive.Recorder(directory)
    r.start(drive.inst())
    r.end(0)


# by the number of the question
WANT = {
    1: [["build-1", "default-deny", "bad.example", 2],
        ["build-1", "sni-mismatch", "a.example", 1]],
    2: [["a.example", 4], ["b.example", 1], ["c.example", 1]],
    3: [["a.example", 40, 406], ["b.example", 7, 8]],
    5: [["build-1", 6, "c.example"]],
    6: [["bad.example"]],
    7: [["b.example"], ["c.example"]],
    8: [["a.example", 4, 4000], ["b.example", 1, 50]],
    9: [["a.example", 4, "2026-01-01T12:43:12.000000Z"],
        ["c.example", 1, "2026-01-02T12:00:00.000000Z"]],
    10: [],
}


def wrong(question, how, got, want):
    print(f"question {question}, {how}: {got}, not {want}")
    return 1


def compare(question, how, got):
    if question == 1:       # the sum's destination is as the recorder has it
        total = sum(row[3] for row in got)
        got = [row for row in got if row[3] < 40]
        if total != 43:
            return wrong(question, how, total, 43)
    if question == 4:       # two lines of each closed flow, one live, four denials
        ok = len(got) == 12 and all(row[1] in (
            "flow.open", "flow.close", "flow.deny", "deny.agg") for row in got)
        return 0 if ok else wrong(question, how, got, "12 lines")
    return 0 if got == WANT[question] else wrong(question, how, got, WANT[question])


def main():
    with open(os.path.join(SRC, "doc/log-recipes.md"), encoding="utf-8") as file:
        page = file.read()
    setup = re.search(r"^```sql setup\n(.*?)^```", page, re.M | re.S).group(1)
    parts = re.findall(r"^### (\d+)\. .*?^```jq\n(.*?)^```.*?^```sql\n(.*?)^```", page,
                       re.M | re.S)
    assert [int(n) for n, _, _ in parts] == list(range(1, 11)), "ten questions"
    bad, jq = 0, shutil.which("jq")
    if not jq:
        print("no jq on this machine: the SQL alone is run")
    with tempfile.TemporaryDirectory() as directory:
        write(directory)
        path = os.path.join(directory, "audit.jsonl")
        with open(path, encoding="ascii") as file:
            lines = file.read().splitlines()
        holes = [line for i, line in enumerate(lines) if i not in (3, 4, 9)]
        for which in (lines, holes):
            with open(path, "w", encoding="ascii") as file:
                file.write("\n".join(which) + "\n")
            db = sqlite3.connect(":memory:")
            db.executescript(setup)
            db.executemany("INSERT INTO raw VALUES (?)", ((line,) for line in which))
            for number, line, sql in parts:
                number, found = int(number), []
                if which is holes and number != 10:
                    continue
                found.append(("SQL", [list(row) for row in db.execute(sql)]))
                if jq:
                    done = subprocess.run(["sh", "-c", line], cwd=directory, check=False,
                                          capture_output=True, text=True)
                    bad += bool(done.stderr)
                    print(done.stderr, end="")
                    found.append(("jq", [json.loads(x) for x in
                                         done.stdout.splitlines()]))
                for how, got in found:
                    if which is holes:
                        if got != [[3, 6], [9, 11]]:
                            bad += wrong(number, how, got, "two holes")
                    else:
                        bad += compare(number, how, got)
    print(f"{len(parts)} questions, {bad} wrong")
    return 1 if bad else 0


sys.exit(main())
