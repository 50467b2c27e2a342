#!/usr/bin/python3
"""What doc/log-recipes.md says of rsyslog, logrotate, the shell of SQLite and pandas,
each where it is installed: their settings are taken from that page, and every line of
a log that the real recorder has rotated meanwhile has to arrive once, in order.
"""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

SRC = os.environ.get("srcdir", ".")
sys.path.insert(0, os.path.join(SRC, "tests/recorder"))
sys.dont_write_bytecode = True
import drive  # noqa: E402

SBIN = os.environ["PATH"] + ":/usr/sbin:/sbin"
with open(os.path.join(SRC, "doc/log-recipes.md"), encoding="utf-8") as page:
    PAGE = page.read()


def block(kind, where):
    text = re.search(rf"^```{kind}\n(.*?)^```", PAGE, re.M | re.S).group(1)
    return text.replace("/var/log/sallyport/", where + "/log/").replace(
        "/var/log/sallyport-copy", where + "/copy")


def save(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


def numbers(text):
    return [json.loads(line)["seq"] for line in text.splitlines()]


def read(path):
    with open(path, encoding="ascii") as file:
        return file.read()


def write(log):
    """Ten segments or so; a flow at the end."""
    r = drive.Recorder(log)
    r.start(drive.inst(), rotate=65536)
    rec = 0
    for _ in range(10):
        for _ in range(100):
            rec += 1
            r.send(drive.deny(rec))
        r.wait_durable(rec)
        time.sleep(0.3)         # no log is rotated ten times in a moment
    r.send(drive.open_(rec + 1, 1))
    r.send(drive.close(rec + 2, 1, verdict=1))
    r.wait_durable(rec + 2)
    r.end(rec + 2)
    r.done()
    segments = sorted(glob.glob(log + "/audit.jsonl.[0-9]*"))
    assert len(segments) >= 5, segments
    return "".join(read(path) for path in [*segments, log + "/audit.jsonl"])


def with_rsyslog(place):
    """It follows the file from its first line on."""
    program, log = shutil.which("rsyslogd", path=SBIN), place + "/log"
    if not program:
        print("no rsyslogd on this machine: not run")
        return write(log)
    conf = save(place + "/rsyslog.conf", block("rsyslog", place) +
                f'global(workDirectory="{place}")\n')
    with subprocess.Popen([program, "-n", "-f", conf, "-i", place + "/pid"],
                          stderr=subprocess.DEVNULL) as process:
        try:
            whole = write(log)
            until = time.monotonic() + 10
            copy = place + "/copy.jsonl"
            while time.monotonic() < until and not (
                    os.path.exists(copy) and os.path.getsize(copy) >= len(whole)):
                time.sleep(0.05)
        finally:
            process.terminate()
            process.wait(10)
    assert read(copy) == whole, "rsyslog's copy is another"
    print(f"rsyslog: {len(whole.splitlines())} lines, each once")
    return whole


def with_logrotate(place, whole):
    program = shutil.which("logrotate", path=SBIN)
    if not program:
        print("no logrotate on this machine: not run")
        return
    os.chmod(place + "/log", 0o755)
    conf = save(place + "/logrotate.conf", block("logrotate", place))
    os.chmod(conf, 0o644)
    last = read(place + "/log/audit.jsonl")
    subprocess.run([program, "-s", place + "/state", conf], check=True)
    packed = sorted(glob.glob(place + "/log/audit.jsonl.[0-9]*"))
    assert packed and all(path.endswith(".1.gz") for path in packed), packed
    assert read(place + "/log/audit.jsonl") == last
    r = drive.Recorder(place + "/log")
    r.start(drive.inst(), rotate=65536)
    r.end(0)
    r.done()
    got = subprocess.run("zcat -f audit.jsonl.[0-9]* audit.jsonl", shell=True,
                         check=True, cwd=place + "/log", stdout=subprocess.PIPE,
                         text=True).stdout
    assert got.startswith(whole), "lines are missing behind logrotate"
    assert numbers(got) == list(range(1, len(got.splitlines()) + 1))
    print(f"logrotate: {len(packed)} segments, and the log goes on")


def with_sqlite(place, path, whole):
    if not shutil.which("sqlite3"):
        print("no sqlite3 on this machine: not run")
        return
    words = [w.replace("audit.jsonl", path) for w in re.findall(
        r"`(\.(?:mode|separator|import)[^`]*)`", PAGE)]
    assert len(words) == 3, words
    got = subprocess.run(
        ["sqlite3", place + "/db", "CREATE TABLE raw(line TEXT);", *words,
         ".mode list", "SELECT json_extract(line, '$.seq') FROM raw ORDER BY rowid;"],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    assert [int(n) for n in got.split()] == numbers(whole)
    print("sqlite3: all lines")


def with_pandas(path):
    try:
        import pandas
    except ImportError:
        print("no pandas on this machine: not run")
        return
    names = {"pandas": pandas}
    exec(block("python", "").replace("audit.jsonl", path), names)
    got = [[k, *map(int, v)] for k, v in zip(names["answer"].index,
                                             names["answer"].values)]
    assert got == [["192.0.2.10", 100, 2000]], got
    print("pandas: question 3")


with tempfile.TemporaryDirectory() as directory:
    os.mkdir(directory + "/log")
    lines = with_rsyslog(directory)
    assert numbers(lines) == list(range(1, len(lines.splitlines()) + 1))
    whole_log = save(directory + "/whole.jsonl", lines)
    with_sqlite(directory, whole_log, lines)
    with_pandas(whole_log)
    with_logrotate(directory, lines)
