"""A frame that was taken over: tests/evil/ plays one against the broker, and here
it is asked what it got. tests/broker/ has those that need a double of the floor."""
import os
import subprocess
import sys

from corpus import NoAttack, attack

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# what each of tests/evil would have gained
GAINS = {
    "uses_its_socket_on": "a socket that outlives the flow",
    "bytes": "false counts of a TCP flow in the log",
    "close_reason": "the broker's words in the log",
    "fd": "a descriptor of its own in the broker",
    "never_ack": "more descriptors on the way than its share",
    "conns": "more flows than its limit",
    "floor": "an address of the host, in some spelling",
    "rebinding": "an address of the host, as a name's answer",
    "before_hello": "a flow before it said who it is",
    "guest_address": "a flow in another guest's name",
    "killed_without_revoke": "a close that hides why",
    "half_dead": "its sockets after its channel",
    "flood_garbage": "the broker's end",
}


@attack("held", timeout=180)
def frame_taken_over(a):
    """Everything that it can put on its channel."""
    bindir = os.path.abspath(a.t.options.bindir)
    done = subprocess.run(
        [sys.executable, os.path.join(TESTS, "evil", "evil.py"), *GAINS],
        cwd=bindir, capture_output=True, text=True, check=False, timeout=170)
    said = {}
    for line in done.stdout.splitlines():
        word, _, rest = line.partition(" ")
        if word in ("ok", "FAIL"):
            said[rest.split()[0].rstrip(":")] = word
    if set(said) != set(GAINS):
        raise NoAttack(f"not run: {sorted(set(GAINS) - set(said))}; "
                       f"{done.stderr[-300:]}")
    a.control(True, "")
    for name, word in said.items():
        if word == "FAIL":
            a.gained(GAINS[name])
