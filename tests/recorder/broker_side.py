"""What the broker does, for tests of the recorder: opens flows, lets them through
when their opens are durable, and denies them when the log has failed."""

import json
import os

from drive import *


def events(directory):
    """Every line of every segment, in order."""
    lines = []
    for name in os.listdir(directory):
        if name == "ballast":
            continue
        with open(os.path.join(directory, name)) as f:
            lines += [json.loads(line) for line in f]
    return sorted(lines, key=lambda d: d["seq"])


class Broker:
    """Answers FAILED as record.h asks: the flows it waits for are denied."""

    def __init__(self, recorder):
        self.r = recorder
        self.rec = self.flow = self.denied = 0
        self.pending = {}       # rec -> flow
        self.live, self.granted = [], set()
        self.acked = 0
        self.denies = {}
        self.failed = self.recovered = 0
        self.err = None

    def send(self, data):
        self.r.send(data)

    def open(self):
        self.rec += 1
        self.flow += 1
        self.pending[self.rec] = self.flow
        self.send(open_(self.rec, self.flow))

    def close(self):
        self.rec += 1
        self.send(close(self.rec, self.live.pop(0)))

    def deny(self, flow=0, **f):
        self.rec += 1
        self.denied += 1
        self.denies[self.rec] = deny(self.rec, flow, **f)
        self.send(self.denies[self.rec])

    def grant(self, rec):
        for p in [p for p in self.pending if p <= rec]:
            flow = self.pending.pop(p)
            self.live.append(flow)
            self.granted.add(flow)

    def recorded(self, lines):
        """Every flow that was let through has its line, and it counts."""
        void = [(d["void_from"], d["void_to"]) for d in lines if "void_from" in d]
        there = {d["flow"] for d in lines if d.get("type") == "flow.open" and
                 not any(a <= d["seq"] <= b for a, b in void)}
        assert self.granted <= there, self.granted - there

    def hear(self, timeout=5):
        """One message; False if none came."""
        try:
            got = self.r.receive(timeout)
        except TimeoutError:
            return False
        assert got is not None, f"it ended: {self.r.words()}"
        kind, rec, err = got
        if kind == DURABLE:
            assert rec >= self.acked, (rec, self.acked)
            self.acked = rec
            self.grant(rec)
        elif kind == FAILED:
            assert rec >= self.acked, (rec, self.acked)
            self.acked = rec
            self.grant(rec)
            self.failed += 1
            self.err = err
            refused, self.pending = self.pending, {}
            for flow in refused.values():
                self.deny(flow, reason=AUDIT_UNAVAILABLE)
        elif kind == RECOVERED:
            self.recovered += 1
        return True

    def settle(self):
        while self.acked < self.rec and self.hear(2):
            pass
