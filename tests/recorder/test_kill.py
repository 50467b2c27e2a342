"""SIGKILL at random moments: no torn line, no hole in seq, every open closed,
nothing acknowledged lost, nothing written twice."""

import json
import os
import random
import select
import shutil
import sys
import tempfile
import time
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from drive import *


class Broker:
    """A load that survives its recorders: opens, closes, denies, questions. Opens
    that were not acknowledged are refused (a deny of that flow), and so are
    questions (their end); what was not acknowledged is sent again, what was
    refused too, as the real one does."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.rec = self.flow = 0
        self.wait = {}          # rec -> (kind, flow, bytes), not acknowledged
        self.live, self.asked, self.dialled = [], [], []
        self.begun = {FLOW_OPEN: self.live, DNS_ASK: self.asked,
                      FLOW_DIAL: self.dialled}
        self.granted, self.refused = set(), set()
        self.denied = self.last = 0
        self.inst = inst()

    def make(self):
        self.before = (self.live[:], self.asked[:], self.dialled[:], self.flow,
                       self.denied)
        self.rec += 1
        n = self.rng.random()
        if n > .85:
            if self.asked and n > .92:
                flow = self.asked.pop(self.rng.randrange(len(self.asked)))
                return DNS, flow, answer(self.rec, flow)
            self.flow += 1
            return DNS_ASK, self.flow, ask(self.rec, self.flow)
        if n < .1:
            if self.dialled and n > .05:
                return self.decide(n)
            self.flow += 1
            return FLOW_DIAL, self.flow, dial(self.rec, self.flow)
        if n < .5 or not self.live and n < .8:
            self.flow += 1
            return FLOW_OPEN, self.flow, open_(self.rec, self.flow)
        if n < .8:
            flow = self.live.pop(self.rng.randrange(len(self.live)))
            return FLOW_CLOSE, flow, close(self.rec, flow)
        self.denied += 1
        return FLOW_DENY, 0, deny(self.rec)

    def decide(self, n):
        """What becomes of a flow that was dialled."""
        flow = self.dialled.pop(self.rng.randrange(len(self.dialled)))
        if n > .07:
            return FLOW_OPEN, flow, open_(self.rec, flow)
        if n > .06:
            return FLOW_CLOSE, flow, record(self.rec, FLOW_CLOSE, flow,
                                            reason=DONE)
        self.denied += 1
        return FLOW_DENY, flow, deny(self.rec, flow)

    def acked(self, rec):
        for r in [r for r in self.wait if r <= rec]:
            kind, flow, _ = self.wait.pop(r)
            if kind in self.begun and flow not in self.refused:
                self.begun[kind].append(flow)
                self.granted.add(flow)

    def load(self, recorder, seconds):
        """False: the recorder is gone."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            readable, writable, _ = select.select([recorder.sock],
                                                  [recorder.sock], [], .01)
            if readable:
                got = recorder.receive()
                if got is None:
                    return
                assert got[0] == DURABLE, got
                self.acked(got[1])
            if writable and len(self.wait) < 300:
                rec = self.make()
                self.wait[self.rec] = rec
                try:
                    recorder.sock.send(rec[2], 0x40)    # MSG_DONTWAIT
                except (BlockingIOError, BrokenPipeError):
                    self.undo(rec)

    def undo(self, rec):
        del self.wait[self.rec]
        self.rec -= 1
        self.live[:], self.asked[:], self.dialled[:] = self.before[:3]
        self.flow, self.denied = self.before[3:]

    def resume(self, recorder, last):
        """What record.h asks of a broker when a new recorder is there."""
        refused = []
        assert not last or last >= self.last, (last, self.last)
        self.last = last
        for r in sorted(self.wait):
            kind, flow, data = self.wait[r]
            if kind in self.begun and flow not in self.refused:
                refused.append((kind, flow))
                self.refused.add(flow)
            if r <= last:
                del self.wait[r]
            else:
                recorder.send(data)
        for kind, flow in refused:
            self.rec += 1
            self.denied += 1
            if kind != DNS_ASK:
                kind = FLOW_DENY
                data = deny(self.rec, flow, reason=AUDIT_UNAVAILABLE)
            else:
                kind = DNS
                data = answer(self.rec, flow, verdict=DENY,
                              reason=AUDIT_UNAVAILABLE)
            self.wait[self.rec] = (kind, flow, data)
            recorder.send(data)


def kills(mode, times, seed, rotate=0):
    directory = tempfile.mkdtemp()
    broker = Broker(seed)
    for turn in range(times + 1):
        r = Recorder(directory)
        last = r.start(broker.inst, mode=mode, resume=int(turn > 0),
                       rotate=rotate)
        broker.resume(r, last)
        if turn == times:
            break
        broker.load(r, broker.rng.uniform(0, .08))
        r.kill()
        # what it said before it died still counts
        while (got := r.receive()) is not None:
            if got[0] == DURABLE:
                broker.acked(got[1])
        r.done()
    last = r.end()
    path = os.path.join(directory, "audit.jsonl")
    print(validate(path, "--denies", str(broker.denied)).strip())
    opens = set()
    for name in os.listdir(directory):
        assert "reserve" not in name, os.listdir(directory)
        with open(os.path.join(directory, name)) as f:
            for line in f:
                d = json.loads(line)
                if d.get("type") in ("flow.open", "flow.dial", "dns.ask") and \
                        not d.get("torn"):
                    opens.add(d.get("flow") or d["ask"])
    lost = broker.granted - opens
    assert not lost, f"granted without a record: {sorted(lost)[:5]}"
    assert len(broker.granted) > times, "no load"
    shutil.rmtree(directory)


def before_data():
    kills(BEFORE_DATA, 50, 1)


def asynchronous():
    kills(ASYNC, 15, 2)


def with_rotation():
    kills(BEFORE_DATA, 15, 3, rotate=65536)


def broker_dies():
    """EOF without END: everything open is closed, and the next life agrees."""
    directory = tempfile.mkdtemp()
    r = Recorder(directory)
    r.start(inst())
    for i in range(1, 301):
        r.send(open_(i, i))
    r.wait_durable(300)
    r.send(close(301, 5))
    for i in range(302, 332):
        r.send(ask(i, i, rule=b"names"))
    r.send(answer(332, 302))
    r.send(named(record(333, DNS, proto=0, verdict=DENY), name=b"no.example",
                 qtype=A))
    for i in range(334, 337):
        r.send(dial(i, i))
    r.send(deny(337, 334))
    r.send(open_(338, 335))
    r.sock.close()
    assert r.process.wait(10) == 0
    path = os.path.join(directory, "audit.jsonl")
    validate(path)
    with open(path) as f:
        lines = [json.loads(line) for line in f]
    reasons = [d["reason"] for d in lines if d["type"] == "flow.close"]
    assert sorted(set(reasons)) == ["done", "unknown-crash"] and \
        len(reasons) == 302, len(reasons)
    at = {d["flow"]: d for d in lines if d["type"] == "flow.close"}
    assert "rule_id" in at[335] and "rule_id" not in at[336] and 334 not in at
    assert "h_src" in at[335] and "h_src" not in at[336]
    ends = {d["ask"]: d for d in lines if d["type"] == "dns" and "ask" in d}
    assert ends.keys() == set(range(302, 332))
    assert "reason" not in ends.pop(302)
    for d in ends.values():
        assert (d["reason"], d["name"], d["qtype"], d["rule_id"]) == (
            "unknown-crash", "x.wild.example", "A", "names") and \
            "verdict" not in d, d
    r = Recorder(directory)
    assert r.start(inst()) == 0
    r.send(record(1, DAEMON_STOP))
    r.end(1)
    validate(path)
    shutil.rmtree(directory)


def everything_dies():
    """A fresh daemon closes what the last one left, as the last one's."""
    directory = tempfile.mkdtemp()
    path = os.path.join(directory, "audit.jsonl")
    first = inst()
    r = Recorder(directory)
    r.start(first)
    for i in range(1, 11):
        r.send(open_(i, i))
    for i in range(11, 21):
        r.send(ask(i, i))
    r.send(answer(21, 11))
    r.send(open_(22, 22))
    r.send(dial(23, 23))
    r.send(dial(24, 24))
    r.send(deny(25, 24))
    r.send(dial(26, 26))
    r.wait_durable(26)
    r.kill()
    r.done()
    # and a line that was cut in the middle
    with open(path, "ab") as f:
        f.write(b'{"v":2,"seq":28,"ts":"2026-01-01T00:00:00.000000Z","mono_ns":1,"ty')
    r = Recorder(directory)
    assert r.start(inst()) == 0
    validate(path)
    r.end()
    with open(path) as f:
        lines = [json.loads(line) for line in f]
    ends = [d for d in lines if d.get("type") == "dns"]
    assert [d["ask"] for d in ends if "rec" in d] == [11]
    assert sorted(d["ask"] for d in ends if "rec" not in d) == list(range(12, 21))
    assert {d["inst"].replace("-", "") for d in ends} == {first.hex()}
    closed = [d for d in lines if d.get("type") == "flow.close"]
    assert len(closed) == 13 and len({d["inst"] for d in closed}) == 1 and \
        closed[0]["inst"].replace("-", "") == first.hex()
    gap = [d for d in lines if d.get("type") == "audit.gap"]
    assert gap[0]["torn_seq"] == 28 and gap[0]["reason"] == "unknown-crash", gap
    shutil.rmtree(directory)


OLD = ('{"v":1,"seq":%d,"ts":"2026-11-25T03:28:46.092624Z","mono":%d,"type":"%s",'
       '"host":"vm","inst":"01020304-0506-0708-090a-0b0c0d0e0f10","rec":%d%s}\n')
HEAD = ',"mode":"before-data","durable":true,"rotate":0,"reserve":4096,"head":%d'
FLOW = (',"tenant":"acme","guest":"build-1","flow":%d,"proto":"tcp",'
        '"g.src":"10.0.2.100","g.sp":40001,"g.dst":"192.0.2.10","g.dp":443,'
        '"names":"a.example,b.example","rule":"web","loc":"p:1","gen":1,"pol":"00"')


def old_chain(path, end):
    """A log of format 1: a segment, and an active file that ends so."""
    with open(path + ".000000000001", "w") as f:
        f.write(OLD % (1, 1, "audit.open", 0, HEAD % 0) +
                OLD % (2, 2, "flow.open", 1, FLOW % 1))
    with open(path, "w") as f:
        f.write(OLD % (3, 3, "audit.rotate", 1, HEAD % 2 +
                       ',"prev":"audit.jsonl.000000000001","oldest":2') +
                OLD % (4, 4, "flow.open", 2, FLOW % 2) + end)
    os.chmod(path, 0o600)


def format_one():
    """What the programs before this one have left is closed, and nothing is read out
    of it but its numbers: the new file goes on behind them, in format 2."""
    stop = OLD % (5, 5, "daemon.stop", 3, "")
    for end, head, crash in ((stop, 5, False), ("", 4, True),
                             (stop[:90], 5, True), (stop[:12], 5, True)):
        directory = tempfile.mkdtemp()
        path = os.path.join(directory, "audit.jsonl")
        old_chain(path, end)
        r = Recorder(directory)
        assert r.start(uuid.UUID("01020304-0506-0708-090a-0b0c0d0e0f10").bytes) == 0
        r.send(open_(1, 1))
        r.send(close(2, 1))
        r.end(2)
        assert "format 1" in r.words(), r.words()
        r.done()
        assert sorted(os.listdir(directory)) == [
            "audit.jsonl", "audit.jsonl.000000000001",
            "audit.jsonl.000000000003"], os.listdir(directory)
        with open(path + ".000000000003") as f:
            left = [json.loads(line) for line in f]
        assert all(d["v"] == 1 for d in left[:2]) and len(left) == head - 2, left
        print(validate(path).strip())
        lines = [json.loads(line) for line in open(path)]
        assert {d["v"] for d in lines} == {2}
        assert (lines[0]["type"], lines[0]["seq"], lines[0]["head"],
                lines[0]["prev"]) == ("audit.open", head + 1, head,
                                      "audit.jsonl.000000000003"), lines[0]
        assert "oldest" not in lines[0], lines[0]
        gap = [d for d in lines if d["type"] == "audit.gap"]
        assert [d["reason"] for d in gap] == ["unknown-crash"] * crash, gap
        assert [d["type"] for d in lines if "flow" in d] == [
            "flow.open", "flow.close"], "a flow of format 1 was taken over"
        # and once more, on the chain that has both
        r = Recorder(directory)
        r.start(inst(), rotate=65536, keep_files=1)
        for i in range(1, 400):
            r.send(open_(2 * i - 1, i))
            r.send(close(2 * i, i))
        r.end(798)
        assert "format 1" not in r.words(), r.words()
        r.done()
        print(validate(path).strip())
        assert not {"audit.jsonl.000000000001", "audit.jsonl.000000000003"} & set(
            os.listdir(directory)), "a segment of format 1 was not removed"
        shutil.rmtree(directory)
    # the new file was not yet begun
    directory = tempfile.mkdtemp()
    path = os.path.join(directory, "audit.jsonl")
    old_chain(path, stop)
    os.rename(path, path + ".000000000003")
    r = Recorder(directory)
    r.start(inst())
    r.end()
    r.done()
    with open(path) as f:
        first = json.loads(f.readline())
    assert (first["v"], first["seq"], first["prev"]) == (
        2, 6, "audit.jsonl.000000000003"), first
    shutil.rmtree(directory)


run([before_data, asynchronous, with_rotation, broker_dies, everything_dies,
     format_one])
