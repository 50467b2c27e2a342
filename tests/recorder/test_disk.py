"""A disk that is full, lies, or fails: new flows are refused, nothing is torn,
every denied attempt is counted, and it goes on when the disk does.

The 64 KiB file system needs a mount namespace: the test enters one itself. The
faults are injected by strace, from the start of the program, so that its own
filter stays in force."""

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drive import *
from broker_side import Broker, events


def tight(directory):
    """Mounts a file system with 64 KiB left; the file that fills the rest."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700",
                       "none", directory], stderr=subprocess.DEVNULL).returncode:
        return None
    ballast = os.path.join(directory, "ballast")
    with open(ballast, "wb") as f:
        os.posix_fallocate(f.fileno(), 0, (8 << 20) - (64 << 10))
    return ballast


def full_disk():
    small = tempfile.mkdtemp()
    ballast = tight(small)
    if ballast is None:
        return "no tmpfs can be mounted here"
    r = Recorder(small)
    r.start(inst())
    b = Broker(r)
    while not b.failed:
        b.open()
        b.hear()
        if b.live and b.flow % 3 == 0:
            b.close()
    assert b.err == errno.ENOSPC, b.err
    assert 20 < b.flow < 200, b.flow
    # the reserve holds some closes and denies
    for _ in range(3):
        b.close()
    b.settle()
    assert b.acked == b.rec, "nothing was written into the reserve"
    opened = len(b.live)
    assert opened > 0
    # until it is used up, and far beyond
    for _ in range(6000):
        b.deny()
    for _ in range(100):
        b.open()
        assert b.hear()
    while b.live:
        b.close()
    while b.hear(1.5):
        pass
    assert not b.recovered and b.rec - 4096 < b.acked < b.rec, (b.acked, b.rec)
    os.unlink(ballast)
    while not b.recovered:
        assert b.hear(10), f"not recovered: {r.words()}"
    b.settle()
    assert b.acked == b.rec, (b.acked, b.rec)
    b.open()
    b.settle()
    assert len(b.live) == 1
    b.close()
    b.rec += 1
    b.send(record(b.rec, DAEMON_STOP))
    r.end(b.rec)
    print(validate(os.path.join(small, "audit.jsonl"), "--denies",
                   str(b.denied)).strip())
    b.recorded(events(small))
    gap = [d for d in events(small) if d["type"] == "audit.gap"]
    assert gap and gap[-1]["errno"] == "ENOSPC" and gap[-1]["denies"] > 0, gap
    assert sum(d["opens"] for d in gap) >= 100
    for d in events(small):
        assert d["type"] != "flow.close" or d["reason"] == "done", d
    subprocess.run(["umount", small])
    os.rmdir(small)


def killed_while_full():
    """The disk is full, and then the recorder is killed. The next one cannot
    begin before there is space, and then nothing is missing."""
    small = tempfile.mkdtemp()
    ballast = tight(small)
    if ballast is None:
        return "no tmpfs can be mounted here"
    me = inst()
    r = Recorder(small)
    r.start(me)
    b = Broker(r)
    while not b.failed:
        b.open()
        b.hear()
    for _ in range(200):
        b.deny()
    while b.hear(1.2):
        pass
    assert min(b.denies) + 5 < b.acked < b.rec, "the reserve was not used"
    r.kill()
    r.done()
    while True:
        r = Recorder(small)
        b.r = r
        assert r.expect(HELLO)
        r.send(struct.pack("=IIQ16sIIQQQ", START, 0, 0, me, 0, 1, 0, 0, 0))
        got = r.receive()
        if got is not None:
            break
        assert os.path.exists(ballast), r.words()
        os.unlink(ballast)
    assert got[0] == READY
    for rec, data in b.denies.items():
        if rec > max(b.acked, got[1]):
            r.send(data)
    b.acked = max(b.acked, got[1])
    if os.path.exists(ballast):
        os.unlink(ballast)
    while b.live:
        b.close()
    b.settle()
    b.open()
    while b.pending:
        assert b.hear(5)
    b.close()
    r.end()
    print(validate(os.path.join(small, "audit.jsonl"), "--denies",
                   str(b.denied)).strip())
    b.recorded(events(small))
    subprocess.run(["umount", small])
    os.rmdir(small)


def full_from_the_start():
    """No space for a single line: a clear end, not a hang."""
    small = tempfile.mkdtemp()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,mode=0700",
                       "none", small], stderr=subprocess.DEVNULL).returncode:
        return "no tmpfs can be mounted here"
    with open(os.path.join(small, "other"), "wb") as f:
        f.write(b"x" * 4096)
    r = Recorder(small)
    assert r.expect(HELLO)
    r.send(struct.pack("=IIQ16sIIQQQ", START, 0, 0, inst(), 0, 0, 0, 0, 0))
    assert r.receive() is None
    assert r.process.wait(5) == 70
    words = r.words()
    assert "No space left" in words, words
    assert "audit.jsonl cannot be begun: no room is left there" in words, words
    subprocess.run(["umount", small])
    os.rmdir(small)


def strace(inject):
    if shutil.which("strace") is None:
        return None
    probe = subprocess.run(["strace", "-o", "/dev/null", "true"],
                           stderr=subprocess.DEVNULL)
    if probe.returncode != 0:
        return None
    # A failed call is entered as number -1, which the filter kills; strace can
    # enter a harmless one instead, and geteuid(2) is in the filter.
    if "error=" in inject:
        inject += ":syscall=geteuid"
    return ["strace", "-o", "/dev/null", "-e", "signal=none", "-e",
            f"inject={inject}"]


def injected(inject, check):
    wrap = strace(inject)
    if wrap is None:
        return "strace is missing or may not trace"
    directory = tempfile.mkdtemp()
    r = Recorder(directory, wrap=wrap)
    r.start(inst())
    b = Broker(r)
    check(r, b)
    b.settle()
    while b.live:
        b.close()
    b.settle()
    b.rec += 1
    b.send(record(b.rec, DAEMON_STOP))
    b.settle()
    r.end()
    print(validate(os.path.join(directory, "audit.jsonl"), "--denies",
                   str(b.denied)).strip())
    lines = events(directory)
    b.recorded(lines)
    shutil.rmtree(directory)
    return lines


def load(b, flows):
    for _ in range(flows):
        b.open()
        b.deny()
        if b.live:
            b.close()
        while b.hear(0):
            pass


def eio_once():
    """One failed fdatasync: its opens are refused, the next segment works."""
    def check(r, b):
        while not b.failed and b.flow < 300:
            load(b, 1)
            b.hear(.1)
        assert b.err == errno.EIO, b.err
        while not b.recovered:
            assert b.hear(10), "not recovered"
        load(b, 20)
        b.settle()
        assert b.acked == b.rec and b.live
    lines = injected("fdatasync:error=EIO:when=9", check)
    if isinstance(lines, str):
        return lines
    gap = [d for d in lines if d["type"] == "audit.gap"]
    assert gap and gap[0]["errno"] == "EIO" and gap[0]["void_from"] <= gap[0]["void_to"], gap


def eio_for_a_while():
    """A disk that fails for a while: no open is let through, and all the denies
    of that time are in the log afterwards."""
    def check(r, b):
        while not b.failed:
            load(b, 1)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            b.open()
            b.deny()
            b.hear(.01)
        assert b.failed > 1 and not b.recovered
        while not b.recovered:
            assert b.hear(20), "not recovered"
        load(b, 20)
    lines = injected("fdatasync:error=EIO:when=9..11", check)
    if isinstance(lines, str):
        return lines
    segments = sum(d["type"] == "audit.rotate" for d in lines)
    assert segments <= 3, f"{segments} segments"


def no_blocks():
    """ENOSPC before anything is written: into the reserve, and back."""
    def check(r, b):
        while not b.failed and b.flow < 300:
            load(b, 1)
            b.hear(.1)
        assert b.err == errno.ENOSPC, b.err
        while not b.recovered:
            assert b.hear(10), "not recovered"
        load(b, 5)
    lines = injected("fallocate:error=ENOSPC:when=3..4", check)
    if isinstance(lines, str):
        return lines
    assert not any("void_from" in d for d in lines), "nothing had to be taken back"


def cut_lines():
    """A limit on the size of files that comes when it has started (one that it was
    started with is a size for its segments) cuts a line for real, and the next
    life, without the limit, makes it whole. Nothing of what was acknowledged is
    lost on the way."""
    directory = tempfile.mkdtemp()
    me = inst()
    r = Recorder(directory)
    r.start(me)
    resource.prlimit(r.process.pid, resource.RLIMIT_FSIZE, (20001, 20001))
    b = Broker(r)
    while not b.failed:
        b.open()
        b.deny()
        b.hear()
    assert b.err in (errno.EFBIG, errno.ENOSPC), b.err
    for _ in range(50):
        b.deny()
    while b.hear(.3):
        pass
    r.kill()
    r.done()
    r = Recorder(directory)
    last = r.start(me, resume=1)
    assert last <= b.rec
    # the denies that were not acknowledged are sent again
    for rec in range(b.acked + 1, b.rec + 1):
        if rec > last:
            r.send(deny(rec))
    b.r = r
    b.settle()
    while b.live:
        b.close()
    b.settle()
    r.end()
    validate(os.path.join(directory, "audit.jsonl"))
    lines = events(directory)
    assert any(d.get("torn") is True for d in lines), "no line was cut"
    b.recorded([d for d in lines if d.get("torn") is not True])
    shutil.rmtree(directory)


def no_preallocation():
    """A file system without fallocate(2) works, too."""
    def check(r, b):
        load(b, 50)
        b.settle()
        assert b.acked == b.rec and not b.failed
    lines = injected("fallocate:error=EOPNOTSUPP", check)
    if isinstance(lines, str):
        return lines


def slow_disk():
    """While one fdatasync takes 200 ms, the next group gathers; nothing is
    acknowledged before its own is done."""
    def check(r, b):
        began = time.monotonic()
        for _ in range(100):
            b.open()
        assert b.hear()
        assert time.monotonic() - began > .19, "acknowledged too early"
        b.settle()
        assert b.acked == b.rec
        assert time.monotonic() - began < 1.5, "no group commit"
    lines = injected("fdatasync:delay_enter=200000", check)
    if isinstance(lines, str):
        return lines


if os.environ.get("SALLYPORT_TEST_NS") is None:
    os.environ["SALLYPORT_TEST_NS"] = "1"
    flags = ["-m"] if os.geteuid() == 0 else ["-Urm"]
    if subprocess.run(["unshare", *flags, "true"],
                      stderr=subprocess.DEVNULL).returncode == 0:
        os.execvp("unshare", ["unshare", *flags, sys.executable, *sys.argv])

run([full_disk, killed_while_full, full_from_the_start, eio_once, eio_for_a_while, no_blocks, cut_lines,
     no_preallocation, slow_disk])
