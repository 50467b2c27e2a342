#!/usr/bin/python3
"""A part of the lab's internet that is far away: what goes there, or comes from
there, is late by half of a round trip. Two TUN devices and a process between them,
because not every kernel has netem.

    203.0.122.10    the far servers' address
"""
import collections
import fcntl
import os
import select
import struct
import subprocess
import sys
import time

FAR4 = "203.0.122.10"
NET4 = "203.0.122.0/24"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 1, 0x1000
QUEUE = 4096                            # packets that wait in the kernel


def tun(name):
    """A TUN device of the network namespace that the thread is in."""
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(),
                                           IFF_TUN | IFF_NO_PI))
    return fd


class Far:
    """far.netns is where the far servers are; rtt in seconds."""

    def __init__(self, t, rtt):
        import lab
        import nspace
        internet = t.lab.internet
        self.netns = nspace.Netns.new()
        with internet:
            near = tun("near")
            lab.ip_batch(f"link set near up txqueuelen {QUEUE}\n"
                         f"route add {NET4} dev near\n")
        with self.netns:
            lab.prepare()
            far = tun("far")
            lab.sysctl("net/core/somaxconn", 16384)
            lab.sysctl("net/ipv4/tcp_max_syn_backlog", 16384)
            lab.ip_batch(f"link set lo up\nlink set far up txqueuelen {QUEUE}\n"
                         f"address add {FAR4}/24 dev far\n"
                         "route add default dev far\n")
        self.process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), str(near), str(far),
             str(rtt / 2)], pass_fds=(near, far), stdin=subprocess.DEVNULL)
        os.close(near)
        os.close(far)
        t.keep(self)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.netns.close()


def bring(ends, late):
    """Each packet to the other end, `late` after it came."""
    waiting = collections.deque()
    while True:
        left = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for fd in select.select(list(ends), [], [], left)[0]:
            waiting.append((time.monotonic() + late, ends[fd],
                            os.read(fd, 65536)))
        while waiting and waiting[0][0] <= time.monotonic():
            _, to, packet = waiting.popleft()
            os.write(to, packet)


def main():
    one, other = int(sys.argv[1]), int(sys.argv[2])
    bring({one: other, other: one}, float(sys.argv[3]))


if __name__ == "__main__":
    main()
