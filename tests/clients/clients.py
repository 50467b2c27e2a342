#!/usr/bin/python3
"""Real programs behind the gateway: `make check-clients`.

    ok     curl-h2 dual 3.1s
    FAIL   NAME KIND: step: what was wrong
    known  NAME KIND: the exception of the catalog's that it is
    ERROR  NAME KIND: it does not work without a gateway either
    skip   NAME KIND: not installed: apt-get install PACKAGE

Each client (catalog.py) runs on each kind of host (stage.py) in namespaces of its own,
a few at a time. At the end: a table, and `N passed, N failed, N skipped`. Exit status:
0 all passed, 1 something failed (with --require-all: or was skipped), 2 usage, 77 the
machine has no namespaces or no tun.
"""
import argparse
import concurrent.futures
import fnmatch
import json
import os
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "system")]

import backends  # noqa: E402
import catalog  # noqa: E402
import nspace  # noqa: E402
import stage  # noqa: E402

SKIPPED = 77
LINE_MAX = 600
MARKS = {"ok": "ok", "known": "known", "skip": "-", "FAIL": "FAIL",
         "ERROR": "ERROR"}


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bindir", default=".", help="where the programs are")
    parser.add_argument("--only", action="append", metavar="GLOB",
                        help="clients by name; may be given again")
    parser.add_argument("--host", action="append", choices=stage.KINDS,
                        help="kinds of host; all of them without it")
    parser.add_argument("--jobs", type=int, default=(os.cpu_count() or 1) + 1,
                        help="cases at a time")
    parser.add_argument("--require-all", action="store_true",
                        help="a client that is not installed is a failure")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--packages", action="store_true",
                        help="print which packages are missing, and end")
    parser.add_argument("--root", action="store_true",
                        help="as root, and not as an ordinary user")
    parser.add_argument("--play", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def selected(wanted):
    return [(c, kind) for c in catalog.CLIENTS for kind in stage.KINDS
            if kind in c.hosts and kind in (wanted.host or stage.KINDS) and
            (not wanted.only or any(fnmatch.fnmatch(c.name, g)
                                    for g in wanted.only))]


# ---- one case, in a process of its own -----------------------------------------------

def play(bindir, root, name, kind):
    """Its last line is the result; what servers say of themselves is before it."""
    nspace.die_with_parent()            # the thread that waits for it
    chosen = next(c for c in catalog.CLIENTS if c.name == name)
    try:
        result = stage.play(chosen, kind, bindir, backends, root)
    except OSError as error:
        result = ["nolab", str(error), {}, []]
    print("\n" + json.dumps(result), flush=True)
    os._exit(0)                         # daemon threads of servers


def case(bindir, root, chosen, kind):
    """[verdict, why, seconds, rules]; whatever it does, it ends."""
    missing = chosen.missing()
    if missing:
        return ["skip", "not installed: apt-get install " + " ".join(
            catalog.packages(missing)), {}, []]
    child = subprocess.Popen(
        [sys.executable, os.path.join(HERE, "clients.py"), "--bindir", bindir,
         *(["--root"] if root else []), "--play", chosen.name, kind], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0)
    try:
        said = child.communicate(timeout=60 + 8 * chosen.timeout)[0]
        result = json.loads(said.splitlines()[-1])
    except subprocess.TimeoutExpired:
        child.terminate()               # and with it its namespaces
        child.communicate()
        result = ["ERROR", "the case did not end", {}, []]
    except (ValueError, IndexError):
        result = ["ERROR", f"it ended with {child.returncode}: "
                  f"{said.decode('utf-8', 'replace')[-LINE_MAX:]}", {}, []]
    return result


# ---- all of them ---------------------------------------------------------------------

def say(chosen, kind, verdict, why, seconds, _rules=()):
    text = f": {' '.join(why.split())[:LINE_MAX]}" if why else ""
    spent = f" {sum(seconds.values()):.1f}s" if seconds and not why else ""
    print(f"{verdict:6} {chosen.name} {kind}{spent}{text}", flush=True)


def run(cases, bindir, root, jobs):
    """{(name, kind): result}; each is said as it ends."""
    results = {}
    pool = concurrent.futures.ThreadPoolExecutor(jobs)
    todo = {pool.submit(case, bindir, root, c, kind): (c, kind)
            for c, kind in cases}
    for done in concurrent.futures.as_completed(todo):
        chosen, kind = todo[done]
        results[chosen.name, kind] = done.result()
        if done.result()[0] == "nolab":
            pool.shutdown(cancel_futures=True)
            return done.result()[1]
        say(chosen, kind, *done.result())
    return results


def differing(cases, results):
    """What is learnt by name is the same on each host: a policy can move."""
    by_name = {c.name for c, _ in cases if c.rules == catalog.BY_NAME and
               "@one@" not in c.run}
    for name in sorted(by_name):
        learnt = {kind: r[3] for (n, kind), r in results.items()
                  if n == name and r[0] == "ok"}
        if len(set(map(tuple, learnt.values()))) > 1:
            kind = sorted(learnt)[0]
            results[name, kind][:2] = ["FAIL", f"rules differ: {learnt}"]
            say(next(c for c, _ in cases if c.name == name), "all",
                *results[name, kind])


def table(cases, results):
    """A row a client: its verdicts, and the seconds of each step, the longest."""
    names = list(dict.fromkeys(c.name for c, _ in cases))
    width = max(map(len, names))
    print(f"\n{'':{width}}  " + " ".join(f"{k:6}" for k in stage.KINDS) +
          " ".join(f"{s:>8}" for s in stage.STEPS))
    for name in names:
        marks = [MARKS[results[name, kind][0]] if (name, kind) in results
                 else "" for kind in stage.KINDS]
        spent = [[results[name, kind][2].get(step) for kind in stage.KINDS
                  if (name, kind) in results] for step in stage.STEPS]
        spent = [max((s for s in times if s is not None), default=None)
                 for times in spent]
        print(f"{name:{width}}  " + " ".join(f"{m:6}" for m in marks) +
              " ".join(f"{s:8.2f}" if s is not None else f"{'':8}"
                       for s in spent))


def end(results, require_all):
    count = {verdict: sum(r[0] == verdict for r in results.values())
             for verdict in MARKS}
    failed = count["FAIL"] + count["ERROR"]
    absent = sorted({word for r in results.values() if r[0] == "skip" and
                     "apt-get install " in r[1] for word in
                     r[1].split("apt-get install ")[1].split()})
    if count["known"]:
        print(f"\n{count['known']} known exceptions")
    if absent:
        print("\nnot installed (`./quickstart clients` does it): " +
              " ".join(absent))
    print(f"{count['ok'] + count['known']} passed, {failed} failed, "
          f"{count['skip']} skipped")
    return 1 if failed or (require_all and absent) else 0


def main():
    wanted = options()
    bindir = os.path.abspath(wanted.bindir)
    if wanted.play:
        play(bindir, wanted.root, *wanted.play)
    cases = selected(wanted)
    if wanted.packages:
        print(*catalog.packages({p for c, _ in cases for p in c.missing()}))
        return 0
    if wanted.list:
        for chosen, kind in cases:
            print(chosen.name, kind)
        return 0
    if not cases or not os.path.exists(os.path.join(bindir, "sallyport")):
        print("no such client" if not cases else
              f"no sallyport in {bindir}: build it, or give --bindir",
              file=sys.stderr)
        return 2
    results = run(cases, bindir, wanted.root, wanted.jobs)
    if isinstance(results, str):
        print(f"skip: no lab on this machine: {results}")
        return SKIPPED
    differing(cases, results)
    table(cases, results)
    return end(results, wanted.require_all)


if __name__ == "__main__":
    try:
        code = main()
    except KeyboardInterrupt:
        code = 130                      # the cases end with this process
    sys.stdout.flush()
    os._exit(code)
