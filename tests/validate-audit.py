#!/usr/bin/python3
"""Checks an audit log against what sallyport-audit(5) promises.

usage: validate-audit.py [--only] [--open-ok] [--schema FILE] [--denies N] FILE...

  --only      do not look for the retired segments (FILE.NNNNNNNNNNNN)
  --open-ok   flows may still be open (the log of a running daemon)
  --denies N  the log must account for exactly N denied attempts

Always checked: every line is JSON, without duplicate members, in the fixed
order; `seq` has no hole and no repetition; `rec` rises within one instance;
every flow.open has exactly one flow.close; every flow.dial is followed by exactly
one flow.open, flow.deny or flow.close of its flow; every close has its open, or its
dial and then no amounts; every dns.ask
has exactly one dns with its number, and every such dns its dns.ask; a question's
addresses are of its type and as many as it says; a segment
begins with audit.open or audit.rotate and points to the one before; counts of
deny.agg, fail.agg and audit.gap make sense; each line fits doc/audit.schema.json (and
python3-jsonschema, if it is there, agrees).

Exit status: 0 good, 1 something is wrong (one line for each), 2 usage.
"""

import argparse
import ipaddress
import json
import os
import pathlib
import re
import sys

ORDER = ("v seq ts mono_ns type verdict reason hostname boot inst rec tenant guest flow "
         "ask proto g_src g_sp g_dst g_net g_dp h_src h_sp h_dst h_dp g_cid h_cid name "
         "names dsts qtype chain ips ttl stripped secure upstream upstream_port "
         "upstream_tls rcode sni vhost alpn tls_offered ech assurance rule_id loc gen "
         "pol policy pol_text version uid cmd cmd_cut wants up down pup pdown csrc "
         "dur_ns rtt_ns conn_ns errno n first last uniq uniq_least pid signal status "
         "detail mode durable rotate reserve head prev oldest void_from void_to opens "
         "closes denies other torn_seq lost lost_from lost_to segment first_seq last_seq "
         "torn").split()
PLACE = {key: place for place, key in enumerate(ORDER)}
NOT_PRINTABLE = re.compile(rb"[^ -~]")
MOST = 20       # of one kind are printed


class Check:
    def __init__(self, schema):
        self.errors = 0
        self.kinds = {}
        self.schema = schema
        self.seq = None
        self.void = []          # ranges that a gap took back
        self.lost = []          # ranges that a gap says were taken away
        self.holes = []         # (where, last seq before, first after)
        self.lines = []         # (where, record)
        self.rec = {}
        self.segment = None

    def bad(self, where, what, kind=None):
        self.errors += 1
        kind = kind or what.split(":")[0]
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if self.kinds[kind] <= MOST:
            print(f"{where}: {what}", file=sys.stderr)

    def pairs(self, where, pairs):
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys):
            self.bad(where, "a member appears twice")
        places = [PLACE.get(key, -1) for key in keys]
        if "torn" not in keys and places != sorted(places):
            self.bad(where, "members out of order")
        return dict(pairs)

    def parse(self, where, raw):
        if NOT_PRINTABLE.search(raw):
            self.bad(where, "a byte that is not printable ASCII")
        try:
            value = json.loads(raw, object_pairs_hook=lambda p:
                               self.pairs(where, p))
        except ValueError as e:
            self.bad(where, f"not JSON: {e}: {raw[:80]!r}", "not JSON")
            return None
        if not isinstance(value, dict):
            self.bad(where, "not an object")
            return None
        error = self.schema.error(value)
        if error is not None:
            self.bad(where, f"schema: {value.get('type')}: {error}", "schema")
        return value

    def number(self, where, r):
        seq = r.get("seq")
        if not isinstance(seq, int) or seq < 1:
            self.bad(where, "no seq")
        elif self.seq is not None and seq != self.seq + 1:
            self.holes.append((where, self.seq, seq))
        self.seq = seq if isinstance(seq, int) else self.seq

    def file(self, path):
        data = path.read_bytes()
        if data.startswith(b'{"v":1,'):
            print(f"{path}: is of format 1, and not looked at")
            self.segment, self.seq = path.name, None
            return
        if data and not data.endswith(b"\n"):
            self.bad(path, "the last line is torn")
        first = True
        for number, raw in enumerate(data.split(b"\n")[:-1], 1):
            where = f"{path}:{number}"
            r = self.parse(where, raw)
            if r is None:
                continue
            self.number(where, r)
            if first:
                self.begins(where, path, r)
            first = False
            if r.get("torn") is True:
                continue
            if r.get("type") == "audit.gap" and "void_from" in r:
                self.void.append((r["void_from"], r["void_to"]))
            if r.get("type") == "audit.gap" and "lost" in r:
                self.lost.append((r.get("lost_from", 1), r.get("lost_to", 0)))
            if r.get("type") == "audit.remove":
                self.lost.append((r["first_seq"], r["last_seq"]))
            self.lines.append((where, r))
        self.segment = path.name

    def begins(self, where, path, r):
        if r.get("type") not in ("audit.open", "audit.rotate"):
            self.bad(where, f"a segment begins with {r.get('type')}")
        elif self.segment is None and r["head"] != 0 and r.get("prev") and \
                (path.parent / r["prev"]).exists():
            self.bad(where, f"{r['prev']} comes before it and was not given")
        elif self.segment is not None and "prev" in r and \
                r["prev"] != self.segment:
            self.bad(where, f"prev is {r['prev']}, not {self.segment}")

    def counts(self, r):
        return not any(a <= r["seq"] <= b for a, b in self.void)

    def explained(self, before, after):
        """Every line between these two was taken away, and that is told."""
        return before < after and all(
            any(a <= seq <= b for a, b in self.lost + self.void)
            for seq in range(before + 1, after))

    def meaning(self, open_ok):
        for where, before, after in self.holes:
            if not (self.lost and self.explained(before, after)):
                self.bad(where, f"seq {after} after {before}", "seq")
        opened, closed, denied = {}, {}, 0
        asked, ended, missing = {}, {}, 0
        dialled, refused = {}, {}
        for where, r in self.lines:
            if not self.counts(r):
                continue
            kind, key = r.get("type"), (r.get("inst"), r.get("flow"))
            if kind in ("dns", "dns.ask") and "ask" in r:
                key = r["inst"], r["ask"]
                one = asked if kind == "dns.ask" else ended
                if key in one:
                    self.bad(where, f"{kind} {key[1]} is there twice (first: "
                             f"{one[key][0]})", "question twice")
                one[key] = where, r["name"], r["qtype"]
            if kind == "flow.open":
                if key in opened:
                    self.bad(where, f"flow {key[1]} is opened twice", "opened twice")
                opened[key] = where
            elif kind == "flow.dial":
                if key in dialled or key in opened:
                    self.bad(where, f"flow {key[1]} is dialled twice",
                             "dialled twice")
                dialled[key] = where
            elif kind == "flow.close":
                if key not in opened and key not in dialled and \
                        not self.lost:
                    self.bad(where, f"flow {key[1]} is closed and has no open",
                             "no open")
                elif key in dialled and key not in opened and not self.lost \
                        and ("verdict" in r or r.get("up") or r.get("down")):
                    self.bad(where, f"flow {key[1]} was never decided",
                             "undecided")
                if key in closed:
                    self.bad(where, f"flow {key[1]} is closed twice (first: "
                             f"{closed[key]})", "closed twice")
                closed[key] = where
            elif kind == "flow.deny" or \
                    kind == "dns" and r.get("verdict") == "deny":
                denied += 1
                if kind == "flow.deny" and "flow" in r:
                    refused[key] = where
            elif kind == "dns" and (what := self.answer(r)):
                self.bad(where, f"{what}: {r['name']}", what)
            elif kind in ("deny.agg", "fail.agg"):
                denied += r["n"] if kind == "deny.agg" else 0
                if r["n"] < 1 or r.get("uniq", 0) > r["n"] or \
                        r.get("first", "") > r.get("last", "~") or \
                        (what := self.sum(r)):
                    self.bad(where, f"a sum makes no sense: {what or r['n']}")
            elif kind == "audit.gap":
                denied += r["denies"]
                missing += r["other"]
                if "void_from" in r and \
                        not r["void_from"] <= r["void_to"] < r["seq"]:
                    self.bad(where, "the range of audit.gap makes no sense")
                if "lost_from" in r and \
                        not r["lost_from"] <= r["lost_to"] < r["seq"]:
                    self.bad(where, "what audit.gap lost makes no sense")
            if kind != "flow.close" and kind[:6] != "audit." and "rec" in r:
                self.rises(where, r)
        open_ok = open_ok or bool(self.lost)    # the end may be what was lost
        if not open_ok:
            for key in opened.keys() - closed.keys():
                self.bad(opened[key], f"flow {key[1]} has no close", "no close")
        for key in dialled.keys() - opened.keys():
            ends = (key in closed) + (key in refused)
            if ends > 1 or ends == 0 and not open_ok:
                self.bad(dialled[key], f"flow {key[1]} has {ends} ends",
                         "dialled")
        self.questions(asked, ended, open_ok, missing)
        return len(opened), denied

    def questions(self, asked, ended, open_ok, missing):
        for key in asked.keys() - ended.keys() if not open_ok else ():
            self.bad(asked[key][0], f"question {key[1]} has no end", "no end")
        for key in ended.keys() & asked.keys():
            if ended[key][1:] != asked[key][1:]:
                self.bad(ended[key][0], f"question {key[1]} was another")
        # a log that could not be written may have counted some
        lost = sorted(ended.keys() - asked.keys())
        for key in lost if len(lost) > missing and not self.lost else ():
            self.bad(ended[key][0], f"question {key[1]} was not asked",
                     "no question")

    def answer(self, r):
        """What of an answer that was given makes no sense."""
        told = [ip for ip in r.get("ips", ()) if ip != "..."]
        if len(told) > r.get("n", 0) or ("ips" in r) != (r.get("n", 0) > 0):
            return "addresses and their number do not agree"
        family = {"A": 4, "AAAA": 6}.get(r["qtype"])
        if told and {ipaddress.ip_address(ip).version for ip in told} != {family}:
            return "addresses are not of the question's type"
        return None

    def sum(self, r):
        """What of a sum contradicts itself."""
        dsts = [d for d in r.get("dsts", ()) if d != "..."]
        names = [n for n in r.get("names", ()) if n != "..."]
        if len(set(dsts)) != len(dsts) or len(set(names)) != len(names):
            return "something is listed twice"
        told = len(names) if names else len(dsts)
        if told > r.get("uniq", 0) or told and "..." not in (
                r.get("names", ()) if names else r["dsts"])[-1:] and \
                not r.get("uniq_least") and told != r["uniq"]:
            return f"{told} listed, uniq {r.get('uniq')}"
        if "g_net" in r:
            net = ipaddress.ip_network(r["g_net"])
            if any(ipaddress.ip_address(d) not in net for d in dsts):
                return f"a destination outside {net}"
        return None

    def rises(self, where, r):
        if r["rec"] <= self.rec.get(r["inst"], 0):
            self.bad(where, f"rec {r['rec']} after {self.rec[r['inst']]}", "rec")
        self.rec[r["inst"]] = r["rec"]


def segments(names, only):
    """The files in the order of their first seq."""
    paths = set()
    for name in names:
        path = pathlib.Path(name)
        paths.add(path)
        if not only:
            paths.update(p for p in path.parent.glob(path.name + ".*")
                         if re.fullmatch(r"\d{12,19}", p.name[len(path.name) + 1:]))

    def first(path):
        with open(path, "rb") as f:
            m = re.match(rb'{"v":[12],"seq":(\d+)', f.readline())
        return int(m.group(1)) if m else sys.maxsize
    return sorted(paths, key=lambda p: (first(p), p.name))


def problem(schema, value):
    """What is wrong with a value, or None. The words of JSON Schema that the
    schema uses, and no others."""
    for word, arg in {} if schema is True else schema.items():
        if word == "const" and value != arg or word == "enum" and value not in arg:
            return f"{value!r} is not {arg!r}"
        if word == "type" and type(value) is not TYPES[arg]:
            return f"{value!r} is not of type {arg}"
        if word == "minimum" and value < arg or word == "maximum" and value > arg:
            return f"{value!r} is beyond the {word} {arg}"
        if word == "minLength" and len(value) < arg or \
                word == "maxLength" and len(value) > arg:
            return f"{value!r} is beyond the {word} {arg}"
        if word == "pattern" and not re.search(arg, value, re.ASCII):
            return f"{value!r} does not match {arg}"
        if word == "required" and (missing := set(arg) - value.keys()):
            return f"{', '.join(sorted(missing))} not there"
        if word == "dependentRequired":
            for key, others in arg.items():
                if key in value and not set(others) <= value.keys():
                    return f"{key} without {others}"
        if word == "minItems" and len(value) < arg:
            return f"{value!r} is beyond the {word} {arg}"
        if word == "items":
            for item in value:
                if why := problem(arg, item):
                    return why
        if word == "properties":
            for key, sub in arg.items():
                if key in value and (why := problem(sub, value[key])):
                    return f"{key}: {why}"
        if word == "if":
            way = schema.get("else" if problem(arg, value) else "then", True)
            if why := problem(way, value):
                return why
        if word not in WORDS:
            return f"{word}: this check does not know it"
    return None


TYPES = {"object": dict, "string": str, "integer": int, "boolean": bool,
         "array": list}
WORDS = ("title description examples const enum type minimum maximum minLength "
         "maxLength pattern required dependentRequired properties items minItems "
         "if then else $schema $id $defs").split()


def inline(node, defs):
    """A part of the schema without its $refs."""
    if isinstance(node, list):
        return [inline(v, defs) for v in node]
    if not isinstance(node, dict):
        return node
    node = dict(node)
    if "$ref" in node:
        node |= defs[node.pop("$ref").removeprefix("#/$defs/")]
    return {k: inline(v, defs) for k, v in node.items() if k != "$defs"}


class Schema:
    """The schema is a switch on the type, and lets through what it does not know: a
    later program's. This one's log has to have nothing of that kind. python3-jsonschema
    is slow, so it sees only the first SAMPLE of each type, to prove that problem()
    above reads the schema as others do."""

    SAMPLE = 20

    def __init__(self, name):
        with open(name, encoding="ascii") as f:
            schema = json.load(f)
        defs = schema["$defs"]
        self.whole, self.seen = inline(schema, defs), {}
        self.reasons = set(defs["reason"]["examples"])
        always = set(defs["record"]["required"]) | {"boot"}
        self.members = {d["title"]: always | d["properties"].keys()
                        for d in defs.values()
                        if "title" in d and d["title"] != "a record"}
        try:
            import jsonschema
        except ImportError:
            self.other = None
            return
        cls = jsonschema.validators.validator_for(schema)
        cls.check_schema(schema)
        self.other = cls(schema)

    def unknown(self, value):
        if value.get("torn") is True:
            return None
        members = self.members.get(value.get("type"))
        if members is None:
            return "no such type"
        if more := value.keys() - members:
            return f"{', '.join(sorted(more))} should not be there"
        if value.get("reason", "done") not in self.reasons:
            return f"no such reason: {value['reason']}"
        return None

    def error(self, value):
        kind = None if value.get("torn") is True else value.get("type")
        why = problem(self.whole, value)
        self.seen[kind] = self.seen.get(kind, 0) + 1
        if self.other is not None and (self.seen[kind] <= self.SAMPLE or why):
            valid = self.other.is_valid(value)
            if valid != (why is None):
                return f"jsonschema says {'' if valid else 'in'}valid; {why}"
        return why or self.unknown(value)


def main():
    here = pathlib.Path(__file__).resolve().parent
    p = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1])
    p.add_argument("--only", action="store_true")
    p.add_argument("--open-ok", action="store_true")
    p.add_argument("--schema", default=here.parent / "doc/audit.schema.json")
    p.add_argument("--denies", type=int)
    p.add_argument("file", nargs="+")
    args = p.parse_args()
    check = Check(Schema(args.schema))
    try:
        for path in segments(args.file, args.only):
            check.file(path)
    except OSError as e:
        sys.exit(f"validate-audit: {e}")
    flows, denied = check.meaning(args.open_ok)
    if args.denies is not None and denied != args.denies:
        check.bad(args.file[0], f"{denied} denied attempts, {args.denies} expected")
    print(f"{len(check.lines)} records, {flows} flows, {denied} denied, "
          f"{check.errors} errors")
    return 1 if check.errors else 0


if __name__ == "__main__":
    sys.exit(main())
