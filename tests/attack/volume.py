"""What a guest makes the host keep: lines on its disk, bytes in its kernel."""
import os
import re
import subprocess
import time

import gateway
import lab as lablib
from corpus import DENY, Program, allow, another, attack

LINES_MOST = 64 << 10           # bytes of log a second, after the first burst
KERNEL_MOST = 64 << 20


def size(place):
    total = 0
    for top, _, names in os.walk(place.path):
        total += sum(os.path.getsize(os.path.join(top, n)) for n in names
                     if "log" in top + n and "reserve" not in n)
    return total


@attack("M5", quick=True)
def volume_of_refusals(a):
    """Connects at the default rate that the policy refuses, each to another
    address, or that it allows and the server refuses."""
    refusals(a, DENY)
    refusals(a, allow(f"allow to net {lablib.LIVE4} port tcp {gateway.PORTS}\n",
                      "", ""), dst=lablib.LIVE4)


def refusals(a, policy, **args):
    place = a.place(policy)
    program = Program(a, place, "refusals", seconds=8, **args)
    time.sleep(3)
    before, begun = size(place), time.monotonic()
    found = program.result()
    rate = (size(place) - before) / (time.monotonic() - begun)
    a.control(found["tried"] > 2000, f"{found['tried']} connects")
    a.t.note(f"{rate / 1024:.0f} KiB/s")
    if rate > LINES_MOST:
        a.gained(f"{rate / 1024:.0f} KiB of log a second, "
                 f"{rate * 86400 / 1e9:.0f} GB a day")
    another(a, place)


def tcp_memory():
    """Bytes that TCP sockets of the host's namespace hold; CMD's own are CMD's."""
    text = subprocess.run(["ss", "-tmnH"], capture_output=True, text=True,
                          check=True).stdout
    return sum(int(n) for n in re.findall(r"(?:\(|,)[rfw](\d+)", text))


def kernel_memory(a, place, server, count):
    before = tcp_memory()
    program = Program(a, place, "flows", dst=lablib.LIVE4, port=server.port,
                      count=count, data=8 << 20)
    program.ready()
    used = tcp_memory() - before
    program.go()
    return used, program.result()["gained"][0]


@attack("M5")
def volume_in_the_kernel(a):
    """A hundred flows to a server that does not read."""
    rules = f"allow to net {lablib.LIVE4} port tcp {gateway.PORTS}\n"
    few = f"limits few {{ kernel-memory {KERNEL_MOST >> 21}M }}\n"
    place = a.place(allow(rules))
    limited = place.write("few.conf", allow(rules, few, "limits few\n"))
    if place.run("check", limited)[0] == 0:
        place.policy = limited          # a build without it has no such limit
    server = a.t.serve(None, rcvbuf=4096)
    used, what = kernel_memory(a, place, server, 100)
    a.control("flows" in what and not what.startswith("0 "), what)
    a.t.note(f"{used >> 20} MiB, {what}")
    if used > KERNEL_MOST:
        a.gained(f"{used >> 20} MiB of the kernel's memory by {what}")
