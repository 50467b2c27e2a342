"""A log that somebody removes, moves, cuts, or writes to while it is written; the
same with its reserve and its directory. It is seen within seconds, without a record
that would make it be looked at; opens are refused until there is a log again; an
audit.gap tells what was lost; and the broker is told that there was harm.

What has been put aside (FILE.NNNNNNNNNNNN) is anybody's to move."""

import errno
import json
import os
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drive import *
from broker_side import Broker

SOON = 5        # seconds, until it must be known


class Log:
    """A recorder with some flows in its log."""

    def __init__(self, watched=False, flows=3, rotate=0):
        self.top = os.path.realpath(tempfile.mkdtemp())
        self.dir = os.path.join(self.top, "log")
        os.mkdir(self.dir, 0o700)
        self.inst = inst()
        self.r = Recorder(self.dir, path=self.dir if watched else None)
        self.r.start(self.inst, rotate=rotate)
        self.b = Broker(self.r)
        for _ in range(flows):
            self.b.open()
            self.b.settle()
        assert len(self.b.live) == flows and not self.r.harm

    def path(self, name="audit.jsonl"):
        return os.path.join(self.dir, name)

    def until(self, what, why, seconds=SOON):
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, f"{why}: {self.r.words()}"
            self.b.hear(.1)

    def noticed(self):
        """Without a record: the recorder looks by itself."""
        self.until(lambda: self.b.failed, "not seen")
        assert self.b.err == errno.ESTALE, self.b.err
        assert self.r.harm, "no harm was told"

    def recovered(self):
        self.until(lambda: self.b.recovered, "not recovered")

    def works(self):
        """A flow is let through, and its open is in the log of that name."""
        self.b.open()
        self.b.settle()
        flow = self.b.flow
        assert flow in self.b.live, "it is not let through"
        with open(self.path()) as f:
            lines = [json.loads(line) for line in f]
        assert any(d.get("flow") == flow for d in lines), "it is not in the log"
        return lines

    def finish(self, status=1, valid=True):
        while self.b.live:
            self.b.close()
        self.b.settle()
        self.b.rec += 1
        self.b.send(record(self.b.rec, DAEMON_STOP))
        self.r.end(self.b.rec, status)
        if valid:
            validate(self.path())
        self.gone()

    def gone(self):
        self.r.done()
        shutil.rmtree(self.top)


def gap(lines, how):
    found = [d for d in lines if d["type"] == "audit.gap"]
    assert len(found) == 1 and found[0].get("lost") == how, found
    assert found[0]["errno"] == "ESTALE", found
    return found[0]


def removed():
    """rm FILE: a new one begins and tells which lines it had."""
    log = Log()
    with open(log.path()) as f:
        had = [json.loads(line)["seq"] for line in f]
    os.unlink(log.path())
    log.noticed()
    log.recovered()
    told = gap(log.works(), "removed")
    assert (told["lost_from"], told["lost_to"]) == (had[0], had[-1]), (told, had)
    assert "was removed while" in log.r.words(), log.r.words()
    log.finish()


def moved():
    """mv FILE elsewhere, and a forgery put in its place, which nobody believes."""
    log = Log()
    os.rename(log.path(), os.path.join(log.top, "stolen"))
    with open(log.path(), "w") as f:
        f.write('{"v":2,"seq":1,"type":"forged"}\n')
    log.noticed()
    log.recovered()
    lines = log.works()
    gap(lines, "moved")
    assert not any(d["type"] == "forged" for d in lines), lines
    aside = [n for n in os.listdir(log.dir) if ".foreign." in n]
    assert len(aside) == 1, os.listdir(log.dir)
    with open(log.path(aside[0])) as f:
        assert "forged" in f.read()
    log.finish()


def cut():
    """truncate(2), as copytruncate does it: the rest stays, under its last name."""
    log = Log()
    size = os.stat(log.path()).st_size
    os.truncate(log.path(), size // 2)
    log.noticed()
    log.recovered()
    told = gap(log.works(), "changed")
    kept = log.path("audit.jsonl.%012d" % told["lost_from"])
    assert os.stat(kept).st_size == size // 2
    log.finish(valid=False)


def added():
    """Somebody else writes a line of his own."""
    log = Log()
    with open(log.path(), "a") as f:
        f.write('{"v":2,"seq":99,"type":"forged"}\n')
    log.noticed()
    log.recovered()
    gap(log.works(), "changed")
    log.finish(valid=False)


def before_it_is_acknowledged():
    """An open whose line went into a file without a name is not let through."""
    log = Log()
    for _ in range(5):
        os.unlink(log.path())
        log.b.failed = log.b.recovered = 0
        log.b.open()
        flow = log.b.flow
        log.until(lambda: log.b.failed, "not seen")
        assert flow not in log.b.live, "let through, and not in the log"
        log.recovered()
        gap(log.works(), "removed")
    log.finish()


def retired_ones_may_go():
    """What a log that rotates has put aside is shipped and removed."""
    log = Log(watched=True, rotate=65536)
    for i in range(400):
        log.b.open()
        if i % 40 == 0:
            log.b.settle()
    log.b.settle()
    old = [n for n in os.listdir(log.dir) if n[-1].isdigit()]
    assert len(old) >= 2, os.listdir(log.dir)
    os.unlink(log.path(old[0]))
    os.rename(log.path(old[1]), os.path.join(log.top, "shipped"))
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        log.b.hear(.2)
    assert not log.b.failed and not log.r.harm, log.r.words()
    log.finish(status=0, valid=False)


def reserve_removed():
    """It holds no line, so there is no harm; another one is made."""
    log = Log()
    os.unlink(log.path("audit.jsonl.reserve"))
    log.until(lambda: os.path.exists(log.path("audit.jsonl.reserve")),
              "no other reserve")
    log.works()
    assert not log.b.failed and not log.r.harm
    log.finish(status=0)


def reserve_replaced():
    """What somebody else has put there never becomes the log."""
    log = Log()
    other = log.path("other")
    with open(other, "w") as f:
        f.write('{"v":2,"seq":1,"type":"forged"}\n')
    os.rename(other, log.path("audit.jsonl.reserve"))
    os.unlink(log.path())
    log.noticed()
    time.sleep(2)
    while log.b.hear(.1):
        pass
    assert not log.b.recovered, "it went on without a reserve of its own"
    os.unlink(log.path("audit.jsonl.reserve"))
    log.until(lambda: log.b.recovered, "not recovered", 20)
    assert not any(d["type"] == "forged" for d in log.works())
    log.finish()


def directory_moved():
    """The files are whole, but not where everybody looks: no flow begins until the
    directory is back. What ends meanwhile is written all the same."""
    log = Log(watched=True)
    away = os.path.join(log.top, "away")
    os.rename(log.dir, away)
    log.noticed()
    os.mkdir(log.dir, 0o700)            # another one is not good enough
    log.b.open()
    log.b.close()
    log.b.settle()
    assert len(log.b.live) == 2 and not log.b.recovered
    with open(os.path.join(away, "audit.jsonl")) as f:
        assert any(json.loads(line)["type"] == "flow.close" for line in f)
    os.rmdir(log.dir)
    os.rename(away, log.dir)
    log.until(lambda: log.b.recovered, "not recovered", 20)
    log.works()
    log.finish()


def above_moved():
    """A directory above it: the path leads elsewhere all the same."""
    log = Log(watched=True)
    os.rename(log.top, log.top + ".old")
    os.makedirs(log.dir, 0o700)
    log.noticed()
    log.b.open()
    log.b.settle()
    assert len(log.b.live) == 3
    shutil.rmtree(log.top)
    os.rename(log.top + ".old", log.top)
    log.until(lambda: log.b.recovered, "not recovered", 20)
    log.works()
    log.finish()


def directory_removed():
    """rm -r: there is no place for a log any more, and no flow."""
    log = Log(watched=True)
    while os.path.exists(log.dir):
        shutil.rmtree(log.dir, ignore_errors=True)
    log.noticed()
    for _ in range(3):
        log.b.open()
        log.until(lambda: not log.b.pending, "no answer")
    assert len(log.b.live) == 3 and not log.b.recovered
    log.r.sock.close()
    assert log.r.process.wait(10) == 1
    os.close(log.r.log)
    shutil.rmtree(log.top)


def not_there_at_all():
    """The path that it is given leads elsewhere from the start."""
    d = tempfile.mkdtemp()
    r = Recorder(d, path="/nowhere/at/all")
    assert r.receive() is None
    assert r.process.wait(10) != 0 and "any more" in r.words(), r.words()
    r.done()
    shutil.rmtree(d)


def removed_at_the_end():
    """In the last moment: the broker hears of the harm before the end."""
    log = Log()
    while log.b.live:
        log.b.close()
    log.b.settle()
    os.unlink(log.path())
    log.r.end(status=1)
    assert log.r.harm
    log.gone()


run([removed, moved, cut, added, before_it_is_acknowledged, retired_ones_may_go,
     reserve_removed, reserve_replaced, directory_moved, above_moved,
     directory_removed, not_there_at_all, removed_at_the_end])
