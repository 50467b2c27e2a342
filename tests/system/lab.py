"""The lab: an "internet" with servers, and the host that the gateway runs on.

    guest (made by the gateway) -- gateway -- host -- veth -- internet

This program runs in the host's network namespace; `lab.internet` is a second
one. On the internet:

    203.0.114.10-40, 2600:1f00::10-40     servers, MTU 65520
    203.0.115.10-40, 2600:1f00:0:1::10-40 servers, MTU 1500
    203.0.118.0/24,  2600:1f00:0:b::/64   black hole: never an answer
    203.0.119.0/24,  2600:1f00:0:c::/64   a router says: host unreachable
    203.0.121.0/24,  2600:1f00:0:d::/64   a router says: no route there
    203.0.114.200, 2600:1f00::200         on the link, but nobody has it

Everything is gone when this process is (nspace.py).
"""
import os
import resource
import shutil
import stat
import subprocess
import time

import nspace

SCRATCH_CHOICES = ("/mnt", "/srv", "/media", "/opt")
USER_ID = 54321                         # the ordinary user of --user
MTU_BIG = 65520

HOST4, ROUTER4, LIVE4 = "203.0.114.2", "203.0.114.1", "203.0.114.10"
HOST6, ROUTER6, LIVE6 = "2600:1f00::2", "2600:1f00::1", "2600:1f00::10"
SMALL4, SMALL6 = "203.0.115.10", "2600:1f00:0:1::10"
HOLE4, HOLE6 = "203.0.118.1", "2600:1f00:0:b::1"
NOHOST4, NOHOST6 = "203.0.119.1", "2600:1f00:0:c::1"
NONET4, NONET6 = "203.0.121.1", "2600:1f00:0:d::1"
NOBODY4, NOBODY6 = "203.0.114.200", "2600:1f00::200"
METADATA4 = "169.254.169.254"

PROGRAMS = ("sallyport", "sallyportd", "sallyport-broker", "sallyport-frame",
            "sallyport-recorder", "sallyport-parser", "sallyport-resolver",
            "sallyport-inspector")
NURSERY = "sp-nursery"                  # a second process of sallyportd


def scratch_dir(avoid):
    """A directory of the file system standard that hides nothing we need."""
    for path in SCRATCH_CHOICES:
        if os.path.isdir(path) and not any(
                os.path.realpath(a).startswith(path + "/") for a in avoid):
            return path
    raise OSError(0, "no place for a private tmpfs")


def ip_batch(text):
    done = subprocess.run(["ip", "-batch", "-"], input=text, text=True,
                          capture_output=True, check=False)
    if done.returncode != 0:
        raise OSError(0, "ip -batch: " + " ".join(done.stderr.split()))


def sysctl(name, value):
    path = "/proc/sys/" + name
    with open(path, "w", encoding="ascii") as file:
        file.write(str(value))


def prepare():
    """Addresses are usable at once; buffers hold more than one big frame.

    With the kernel's default of 128 KiB a receiver at MTU 65520 drops the second
    frame that waits, and the lab would measure retransmission timers.
    """
    sysctl("net/ipv6/conf/all/accept_dad", 0)
    sysctl("net/ipv6/conf/default/accept_dad", 0)
    # Orphans of a namespace that is gone would hold the machine's TCP memory.
    sysctl("net/ipv4/tcp_orphan_retries", 1)
    sysctl("net/ipv4/tcp_rmem", "4096 2097152 33554432")
    sysctl("net/ipv4/tcp_wmem", "4096 1048576 33554432")


def _servers(net4, net6, dev):
    numbers = [1] + list(range(10, 41))
    lines = [f"address add {net4}.{n}/24 dev {dev}" for n in numbers]
    lines += [f"address add {net6}{n}/64 dev {dev} nodad" for n in numbers]
    return "\n".join(lines)


def _routes(kind, *nets):
    return "\n".join(f"route add {kind} {net}" for net in nets)


class Lab:
    def __init__(self, scratch, user):
        self.root = os.geteuid() == 0 and _maps_everybody()
        self.scratch = scratch
        self.user = user or not self.root
        self.uid = USER_ID if self.root and user else os.geteuid()
        self.host = nspace.Netns.current()
        self.internet = nspace.Netns.new()
        self._wire()
        if self.user:
            self._tun()

    def _wire(self):
        fd = f"/proc/{os.getpid()}/fd/{self.internet.fd}"
        prepare()
        with self.internet:
            prepare()
        ip_batch("link set lo up\n"
                 f"link add wan mtu {MTU_BIG} type veth "
                 f"peer name inet mtu {MTU_BIG} netns {fd}\n"
                 f"link add wan1500 type veth peer name inet1500 netns {fd}\n"
                 f"address add {HOST4}/24 dev wan\n"
                 f"address add {HOST6}/64 dev wan nodad\n"
                 "address add 203.0.115.2/24 dev wan1500\n"
                 "address add 2600:1f00:0:1::2/64 dev wan1500 nodad\n"
                 "link set wan up\nlink set wan1500 up\n"
                 f"route add default via {ROUTER4}\n"
                 f"route add default via {ROUTER6}\n")
        group = "0 2147483647" if self.root else "0 0"
        sysctl("net/ipv4/ping_group_range", group)
        with self.internet:
            sysctl("net/ipv4/conf/all/forwarding", 1)
            sysctl("net/ipv6/conf/all/forwarding", 1)
            sysctl("net/ipv4/icmp_ratemask", 0)
            sysctl("net/ipv6/icmp/ratelimit", 0)
            sysctl("net/core/somaxconn", 16384)
            sysctl("net/ipv4/tcp_max_syn_backlog", 16384)
            ip_batch("link set lo up\nlink set inet up\nlink set inet1500 up\n"
                     + _servers("203.0.114", "2600:1f00::", "inet") + "\n"
                     + _servers("203.0.115", "2600:1f00:0:1::", "inet1500")
                     + "\n"
                     + _routes("blackhole", "203.0.118.0/24",
                               "2600:1f00:0:b::/64") + "\n"
                     + _routes("unreachable", "203.0.119.0/24",
                               "2600:1f00:0:c::/64") + "\n"
                     f"route add 10.83.80.0/24 via {HOST4}\n"
                     f"route add fd53:616c:6c79::/64 via {HOST6}\n")

    def _tun(self):
        """Lets an ordinary user open /dev/net/tun, in this namespace only."""
        node = "/dev/net/tun"
        mode = os.stat(node).st_mode
        if stat.S_IMODE(mode) & 0o006 == 0o006:
            return
        if not self.root:
            raise OSError(0, f"{node} is not open to this user")
        private = os.path.join(self.scratch, "tun")
        os.mknod(private, stat.S_IFCHR | 0o666, os.makedev(10, 200))
        os.chmod(private, 0o666)
        nspace.mount(private, node, "none", nspace.MS_BIND)

    def install(self, bindir, extra):
        """Copies programs where every uid of the lab can reach them."""
        place = os.path.join(self.scratch, "bin")
        os.makedirs(place, exist_ok=True)
        for name in PROGRAMS:
            path = os.path.join(bindir, name)
            if os.path.exists(path):
                shutil.copy(path, place)
        policies = os.path.join(bindir, "policy")
        if os.path.isdir(policies):
            shutil.copytree(policies, os.path.join(place, "policy"),
                            dirs_exist_ok=True)
        for path in extra:
            shutil.copy(path, place)
        return place

    def as_user(self):
        """argv prefix that turns a command into the lab's ordinary user's."""
        if not self.user:
            return []
        if self.root:
            return ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}",
                    "--clear-groups", "--"]
        return ["unshare", f"--map-user={USER_ID}", f"--map-group={USER_ID}",
                "--"]

    def directory(self, name):
        """A fresh directory of the gateway's owner."""
        path = os.path.join(self.scratch, name)
        os.makedirs(path, mode=0o700)
        if self.user and self.root:
            os.chown(path, self.uid, self.uid)
        return path


def _maps_everybody():
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return int(file.read().split()[2]) > 1


def raise_limits(want=40000):
    """Enough descriptors for ten thousand flows with both ends in one process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (want, max(hard, want)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# ---- looking at processes -------------------------------------------------

def processes():
    """{pid: parent} of everything that lives in the lab's pid namespace."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rsplit(b")", 1)[1].split()
            except OSError:
                continue
            if fields[0] != b"Z":
                found[int(name)] = int(fields[1])
    return found


def program(pid):
    """The program's file name: what it was executed from; or NURSERY."""
    try:
        path = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return comm(pid)
    return NURSERY if comm(pid) == NURSERY else path


def comm(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def descendants(pid):
    tree, found = processes(), {pid}
    grown = True
    while grown:
        more = {p for p, parent in tree.items()
                if parent in found and p not in found}
        found |= more
        grown = bool(more)
    return found


def fd_count(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return -1


def rss(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        for line in f:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def cpu_ns(pid):
    """CPU time of all threads, in nanoseconds where the kernel counts them."""
    total = 0
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            path = f"/proc/{pid}/task/{task}/schedstat"
            with open(path, encoding="ascii") as file:
                total += int(file.read().split()[0])
    except OSError:
        return total
    return total


def wait_until(condition, timeout, step=0.02):
    """The condition's value as soon as it is true, or its last false value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(step)
