"""Gateways under one interface: Sallyport, pasta, and the plain veth path.

    with gateway.guest(trial, policy=...) as guest:
        guest.call("connect", "203.0.114.10", 80)

A guest is agent.py behind the gateway. On the plain path ("direct") it has a
namespace of its own and the host forwards: what a case finds there is what the
kernel does, and the case's expectation is checked against it.
"""
import json
import os
import signal
import subprocess
import tempfile
import threading

import audit
import lab as lablib
import nspace

GUEST4, GATEWAY4 = "10.83.80.100", "10.83.80.2"
GUEST6, GATEWAY6 = "fd53:616c:6c79::100", "fd53:616c:6c79::2"
START_TIMEOUT = 10
END_TIMEOUT = 10

NETS4 = "{ 203.0.114.0/23 203.0.116.0/22 203.0.120.0/22 }"
NETS6 = "2600:1f00::/32"
PORTS = "{ 1-24 26-852 854-65535 }"     # what the port floor leaves
ALLOW_ALL = "".join(
    f'allow to net {nets} {what} label "{word}{family}"\n'
    for family, nets in ((4, NETS4), (6, NETS6))
    for word, what in (("tcp", f"port tcp {PORTS}"), ("udp", "port udp "
                       "{ 1-852 854-65535 }"), ("ping", "icmp echo")))
MANY = ("limits many { conns 20000 pending 4000 rate 100000/s burst 100000 "
        "kernel-memory 16G }\n")


def policy_text(rules=ALLOW_ALL, head=MANY, tenant="limits many\n", mode=""):
    """A whole policy file around the rules of one tenant."""
    body = "".join(f"    {line}\n"
                   for line in (tenant + rules).splitlines() if line.strip())
    return ("policy version 1\nfloor builtin\ndefault deny\n" + head
            + f"tenant t{' ' + mode if mode else ''} {{\n{body}}}\n")


class GuestError(Exception):
    """The guest's operation failed, or the guest is gone."""


class Guest:
    """The runner's end of agent.py."""

    def __init__(self, process, stderr_path):
        self.process = process
        self.stderr_path = stderr_path
        self.waiting = {0: [threading.Event(), None]}
        self.number = 0
        self.gone = False
        self.lock = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            try:
                message = json.loads(line)
                slot = self.waiting[message["id"]]
            except (ValueError, KeyError):
                continue
            slot[1] = message
            slot[0].set()
        self.gone = True
        with self.lock:
            for slot in self.waiting.values():
                slot[0].set()

    def start(self, operation, *args, **kw):
        """Begins an operation; a handle for finish()."""
        with self.lock:
            self.number += 1
            number = self.number
            self.waiting[number] = [threading.Event(), None]
        line = json.dumps({"id": number, "op": operation, "args": args,
                           "kw": kw})
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise GuestError(f"the guest is gone: {self.stderr()}") from error
        return number

    def finish(self, number, timeout=120):
        slot = self.waiting[number]
        if not slot[0].wait(timeout):
            raise GuestError(f"no answer within {timeout} s")
        del self.waiting[number]
        if slot[1] is None:
            raise GuestError(f"the guest is gone: {self.stderr()}")
        if "error" in slot[1]:
            raise GuestError(slot[1]["error"])
        return slot[1]["ok"]

    def call(self, operation, *args, timeout=120, **kw):
        return self.finish(self.start(operation, *args, **kw), timeout)

    def wait_ready(self):
        try:
            self.finish(0, START_TIMEOUT)
        except GuestError as error:
            raise GuestError(f"the guest did not start: {self.stderr()}"
                             ) from error

    def stderr(self):
        with open(self.stderr_path, encoding="utf-8", errors="replace") as f:
            return f.read().strip()[-2000:]

    def end(self, timeout=END_TIMEOUT):
        """Ends CMD; the exit status of what ran it."""
        try:
            self.process.stdin.close()
        except OSError:
            pass
        return self.process.wait(timeout)


class Gateway:
    """What the three have in common; a context manager for one guest."""

    programs = ()
    name = ""

    def __init__(self, trial, **options):
        self.trial = trial
        self.lab = trial.lab
        self.options = options
        self.guest = None
        self.directory = tempfile.mkdtemp(dir=self.lab.scratch, prefix="run-")
        os.chmod(self.directory, 0o755)

    def command(self):
        raise NotImplementedError

    def agent(self):
        return ["/usr/bin/python3", "-I", "-S",
                os.path.join(self.trial.bindir, "agent.py")]

    def __enter__(self):
        stderr_path = os.path.join(self.directory, "stderr")
        with open(stderr_path, "wb") as file, self.netns():
            process = subprocess.Popen(
                self.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=self.options.get("stderr", file), process_group=0)
        self.guest = Guest(process, stderr_path)
        self.guest.gateway = self
        self.guest.wait_ready()
        return self.guest

    def netns(self):
        return self.lab.host

    def __exit__(self, kind, value, trace):
        try:
            status = self.guest.end()
        except subprocess.TimeoutExpired:
            os.killpg(self.guest.process.pid, signal.SIGKILL)
            status = self.guest.process.wait()
            if kind is None:
                raise GuestError("the gateway did not end with CMD") from None
        finally:
            self.guest.process.stdout.close()
        if kind is None and status not in self.options.get("status", (0,)):
            raise GuestError(f"exit status {status}: {self.guest.stderr()}")
        self.cleanup(kind is None)

    def cleanup(self, good):
        """Run after the guest's end; `good`: the case has not failed yet."""

    def pids(self, program=None):
        """The gateway's own processes, or those of one program."""
        return [pid for pid in lablib.processes()
                if (lablib.program(pid) == program if program
                    else lablib.program(pid) in self.programs)]

    def guest_pid(self):
        for pid in lablib.processes():
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    argv = file.read().split(b"\0")
            except OSError:
                continue
            if argv[-2:] == [self.agent()[-1].encode(), b""] and \
                    argv[0].endswith(b"python3"):
                return pid
        raise GuestError("no guest process")

    def guest_netns(self):
        return nspace.Netns.of(self.guest_pid())


class Sallyport(Gateway):
    programs = lablib.PROGRAMS + (lablib.NURSERY,)
    name = "sallyport"

    def __init__(self, trial, policy=None, mtu=None, args=(), log=None,
                 policy_file=None, **options):
        super().__init__(trial, **options)
        self.policy = policy or policy_text()
        self.policy_file = policy_file or os.path.join(self.directory,
                                                       "policy.conf")
        self.mtu = mtu
        self.args = list(args)
        self.log = log
        self.baseline = {}

    def files(self):
        """Policy (unless it is another guest's) and log, owned by whoever runs
        the gateway."""
        path = self.policy_file
        if not os.path.exists(path):
            with open(path, "w", encoding="ascii") as file:
                file.write(self.policy)
            os.chmod(path, 0o644)
        if self.log is None:
            self.log = os.path.join(self.directory, "log", "audit.jsonl")
            os.mkdir(os.path.dirname(self.log), 0o700)
        if self.lab.root and self.lab.user:
            os.chown(path, self.lab.uid, self.lab.uid)
            os.chown(os.path.dirname(self.log), self.lab.uid, self.lab.uid)
        return path

    def command(self):
        argv = self.lab.as_user() + [
            os.path.join(self.trial.bindir, "sallyport"), "run",
            "-p", self.files(), "--tenant", "t", "--audit", self.log]
        if self.mtu:
            argv += ["--mtu", str(self.mtu)]
        return argv + self.args + ["--"] + self.agent()

    def __enter__(self):
        guest = super().__enter__()
        self.baseline = {pid: lablib.fd_count(pid) for pid in self.pids()}
        return guest

    def __exit__(self, kind, value, trace):
        if kind is None and self.options.get("fds", True):
            self.check_fds()
        super().__exit__(kind, value, trace)

    def check_fds(self):
        """Closed flows leave no fd in any process.

        The resolver keeps a connection to an upstream for a while.
        """
        def grown():
            return {lablib.program(p): (n, lablib.fd_count(p))
                    for p, n in self.baseline.items()
                    if lablib.fd_count(p) > n
                    and lablib.program(p) != "sallyport-resolver"}
        lablib.wait_until(lambda: not grown(), 5)
        left = grown()
        if left:
            raise GuestError(f"fds left (at start, now): {left}")

    def cleanup(self, good):
        text = self.guest.stderr()
        for bad in ("AddressSanitizer", "runtime error:", "LeakSanitizer"):
            if bad in text:
                raise GuestError(text)
        if good and self.options.get("audit", True):
            self.trial.validate(self.log)

    def records(self):
        return audit.read(self.log)


class Pasta(Gateway):
    programs = ("pasta", "pasta.avx2", "passt", "passt.avx2")
    name = "pasta"

    def __init__(self, trial, policy=None, mtu=None, args=(), log=None,
                 **options):
        super().__init__(trial, **options)
        self.mtu = mtu or lablib.MTU_BIG
        del policy, args, log           # pasta has none of them

    def command(self):
        runas = ["--runas", "0:0"] if os.geteuid() == 0 else []
        return ["pasta", *runas, "--config-net", "-f", "-q", "-m",
                str(self.mtu), "--no-map-gw", "-t", "none", "-u", "none", "-T",
                "none", "-U", "none", "--", *self.agent()]


class Direct(Gateway):
    """No gateway: a veth pair and the host's forwarding."""

    name = "direct"

    def __init__(self, trial, policy=None, mtu=None, args=(), log=None,
                 **options):
        super().__init__(trial, **options)
        self.mtu = mtu or lablib.MTU_BIG
        self.ns = nspace.Netns.new()
        self.wire()
        del policy, args, log

    def wire(self):
        fd = f"/proc/{os.getpid()}/fd/{self.ns.fd}"
        lablib.sysctl("net/ipv4/conf/all/forwarding", 1)
        lablib.sysctl("net/ipv6/conf/all/forwarding", 1)
        lablib.sysctl("net/ipv4/icmp_ratemask", 0)
        lablib.ip_batch(
            f"link add guest mtu {self.mtu} type veth peer name eth0 "
            f"mtu {self.mtu} netns {fd}\nlink set guest up\n"
            f"address add {GATEWAY4}/24 dev guest\n"
            f"address add {GATEWAY6}/64 dev guest nodad\n")
        with self.ns:
            lablib.prepare()
            lablib.ip_batch(
                "link set lo up\nlink set eth0 up\n"
                f"address add {GUEST4}/24 dev eth0\n"
                f"address add {GUEST6}/64 dev eth0 nodad\n"
                f"route add default via {GATEWAY4}\n"
                f"route add default via {GATEWAY6}\n")
            lablib.sysctl("net/ipv4/ping_group_range", "0 0")

    def netns(self):
        return self.ns

    def command(self):
        return self.agent()

    def cleanup(self, good):
        lablib.sysctl("net/ipv4/conf/all/forwarding", 0)
        lablib.sysctl("net/ipv6/conf/all/forwarding", 0)
        subprocess.run(["ip", "link", "delete", "guest"], check=False)
        self.ns.close()


GATEWAYS = {"sallyport": Sallyport, "pasta": Pasta, "direct": Direct}
