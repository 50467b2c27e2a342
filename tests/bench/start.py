#!/usr/bin/env python3
"""What `sallyport run -- true` costs beside another build's, in pairs.

    tests/bench/start.py --bindir build --vs ../parent/build [-n 100]

CPU of all processes, in ms: median of each, median and quartiles of the pairs'
differences. Each run begins with an empty log directory, since a full one is
read. As an ordinary user /dev/net/tun has to be open to users."""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import tempfile


def cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000


def one(bindir, state):
    """CPU of one run; every process of it has been waited for when it ends."""
    shutil.rmtree(os.path.join(state, "sallyport"), ignore_errors=True)
    began = cpu()
    subprocess.run([os.path.join(bindir, "sallyport"), "run", "-q", "--", "true"],
                   env=dict(os.environ, XDG_STATE_HOME=state), cwd="/", check=True,
                   stdin=subprocess.DEVNULL, capture_output=True)
    return cpu() - began


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bindir", default=".")
    parser.add_argument("--vs", required=True)
    parser.add_argument("-n", type=int, default=100)
    args = parser.parse_args()
    ours, theirs = [os.path.abspath(d) for d in (args.bindir, args.vs)]
    with tempfile.TemporaryDirectory() as state:
        pairs = [(one(ours, state), one(theirs, state)) for _ in range(args.n + 2)][2:]
    apart = [a - b for a, b in pairs]
    low, middle, high = statistics.quantiles(apart)
    print(f"start  {args.n} pairs  ours {statistics.median(a for a, _ in pairs):.1f} ms  "
          f"theirs {statistics.median(b for _, b in pairs):.1f} ms  "
          f"apart {middle:+.2f} ms ({low:+.2f} to {high:+.2f})")


main()
