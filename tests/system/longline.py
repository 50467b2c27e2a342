"""A long line: a namespace behind the lab's internet, each packet some time away.

    internet -- far0 (tun) -- this thread -- near0 (tun) -- far

    203.0.120.10, 2600:1f00:0:f::10      FAR4, FAR6

A delay of the kernel's own (netem) is a module that a machine may not have; this one
needs a tun alone. What comes in order leaves in order, and nothing is lost before the
thousands of packets that a queue holds.
"""
import collections
import fcntl
import os
import select
import struct
import threading
import time

import lab
import nspace

FAR4, FAR6 = "203.0.120.10", "2600:1f00:0:f::10"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 0x0001, 0x1000
QUEUE = 20000                           # packets of one way


def tun(name):
    """A new link of the current namespace's; its packets are the descriptor's."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(),
                                           IFF_TUN | IFF_NO_PI))
    lab.ip_batch(f"link set {name} up mtu 1500 txqueuelen {QUEUE}\n")
    return fd


class LongLine:
    """`netns` is the far end; both ways take half of the round trip."""

    def __init__(self, place, seconds):
        self.half = seconds / 2
        self.netns = nspace.Netns.new()
        with place.internet:
            here = tun("far0")
            lab.ip_batch("route add 203.0.120.0/24 dev far0\n"
                         "route add 2600:1f00:0:f::/64 dev far0\n")
        with self.netns:
            lab.prepare()
            lab.sysctl("net/core/somaxconn", 16384)
            lab.sysctl("net/ipv4/tcp_max_syn_backlog", 16384)
            there = tun("near0")
            lab.ip_batch(f"link set lo up\naddress add {FAR4}/24 dev near0\n"
                         f"address add {FAR6}/64 dev near0 nodad\n"
                         "route add default dev near0\n"
                         "route add ::/0 dev near0\n")
        self.other = {here: there, there: here}
        self.waiting = {fd: collections.deque() for fd in self.other}
        self.stop, self.stopped = os.pipe()
        self.thread = threading.Thread(target=self._loop, daemon=True)
        self.thread.start()

    def _loop(self):
        poller = select.poll()
        for fd in (*self.other, self.stop):
            poller.register(fd, select.POLLIN)
        while True:
            for fd, _ in poller.poll(self._patience()):
                if fd == self.stop:
                    return
                self._take(fd)
            self._deliver()

    def _patience(self):
        """Milliseconds until a packet is due; None without one."""
        due = [queue[0][0] for queue in self.waiting.values() if queue]
        return max(0.0, (min(due) - time.monotonic()) * 1000) if due else None

    def _take(self, fd):
        due = time.monotonic() + self.half
        queue = self.waiting[self.other[fd]]
        try:
            while True:
                packet = os.read(fd, 2048)
                if len(queue) < QUEUE:
                    queue.append((due, packet))
        except BlockingIOError:
            pass

    def _deliver(self):
        now = time.monotonic()
        for fd, queue in self.waiting.items():
            while queue and queue[0][0] <= now:
                try:
                    os.write(fd, queue.popleft()[1])
                except OSError:         # as on any line, one packet less
                    pass

    def close(self):
        os.close(self.stopped)
        self.thread.join(5)
        for fd in (self.stop, *self.other):
            os.close(fd)
        self.netns.close()
