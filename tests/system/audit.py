"""Reading an audit log, and the promises that can be seen in it alone."""
import glob
import json
import os


def where(path):
    """`run --audit PATH` makes a directory of its own for the log, if it needs one."""
    own = os.path.join(path + ".d", os.path.basename(path))
    return own if os.path.exists(own) else path


def files(path):
    """The log's segments, oldest first: PATH.FIRST-SEQ made by rotation, then PATH."""
    path = where(path)
    rotated = [p for p in glob.glob(path + ".*") if p.rsplit(".", 1)[1].isdigit()]
    return sorted(rotated) + (
        [path] if os.path.exists(path) else [])


def read(path):
    """Every record. A last line without its end is left out (see torn())."""
    records = []
    for segment in files(path):
        with open(segment, "rb") as file:
            for line in file.read().split(b"\n")[:-1]:
                if line:
                    records.append(json.loads(line))
    return records


def torn(path):
    """Bytes after the last newline: a line that was never finished."""
    with open(where(path), "rb") as file:
        return file.read().rsplit(b"\n", 1)[-1]


def field(record, name):
    """field(r, "g_dp"): also where the record nests {"g": {"dp": ...}}."""
    if name in record:
        return record[name]
    for part in name.split("."):
        if not isinstance(record, dict) or part not in record:
            return None
        record = record[part]
    return record


def of_type(records, *types):
    return [r for r in records if r.get("type") in types]


def denied(records):
    """Attempts that the log counts as refused: in full and aggregated."""
    return len(of_type(records, "flow.deny")) + sum(
        r["n"] for r in of_type(records, "deny.agg"))


def faults(records):
    """What is wrong with a finished log; [] is what one wants."""
    found = []
    for before, after in zip(records, records[1:]):
        if after["seq"] != before["seq"] + 1 and \
                after["type"] != "audit.gap":
            found.append(f"seq {before['seq']} is followed by {after['seq']}")
    # Lines whose sync failed: the next segment says that they count no longer.
    void = [(r["void_from"], r["void_to"]) for r in records
            if "void_from" in r]
    opens, closes, dials = {}, {}, {}
    for record in records:
        if any(first <= record["seq"] <= last for first, last in void):
            continue
        key = (record.get("inst"), record.get("flow"))
        if record["type"] == "flow.open":
            if key in opens:
                found.append(f"flow {key} opened twice")
            opens[key] = record["seq"]
        elif record["type"] == "flow.dial":
            dials[key] = record["seq"]
        elif record["type"] == "flow.close":
            if key in closes:
                found.append(f"flow {key} closed twice")
            if key not in opens and key not in dials:
                found.append(f"flow {key} closed and never opened")
            closes[key] = record["seq"]
    for key in opens.keys() - closes.keys():
        found.append(f"flow {key} (seq {opens[key]}) never closed")
    return found
