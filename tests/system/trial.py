"""A case's tools. A case is a function with @case(...) over it:

    @case(quick=True)
    def closed_port(t):
        with t.guest() as guest:
            t.equal(guest.call("connect", lab.LIVE4, 9)[0], "ECONNREFUSED")

It ends by returning (ok), by Failure or any other exception, or by Skip.
"""
import os
import subprocess
import sys

import agent
import audit
import gateway
import lab as lablib
import servers

ALL = ("sallyport", "pasta", "direct")
OURS = ("sallyport",)
cases = []


class Failure(Exception):
    """The promise does not hold."""


class Skip(Exception):
    """The case cannot be tried here; the text says why."""


class Case:
    def __init__(self, function, quick, timeout, gateways, root, differs):
        self.function = function
        self.name = function.__name__
        self.quick = quick              # part of `make check`
        self.timeout = timeout          # seconds
        self.gateways = gateways
        self.root = root                # needs root in the first user namespace
        self.differs = differs          # {gateway: why it fails there}


def case(quick=False, timeout=60, gateways=ALL, root=False, differs=None):
    def register(function):
        cases.append(Case(function, quick, timeout, gateways, root,
                          differs or {}))
        return function
    return register


class Trial:
    def __init__(self, lab, options, bindir):
        self.lab = lab
        self.options = options
        self.bindir = bindir
        self.open = []
        self.gateway = None
        self.notes = []

    # what a case makes; all of it ends with the case

    def guest(self, policy=None, **options):
        kind = gateway.GATEWAYS[self.options.gateway]
        self.gateway = kind(self, policy=policy, **options)
        return self.gateway

    def keep(self, thing):
        self.open.append(thing)
        return thing

    def serve(self, handler, **options):
        netns = options.pop("netns", self.lab.internet)
        return self.keep(servers.TcpServer(netns, handler, **options))

    def serve_udp(self, address, **options):
        return self.keep(servers.UdpServer(self.lab.internet, address,
                                           **options))

    def sniff(self):
        """What passes the host's door to the internet."""
        return self.keep(servers.Sniffer(self.lab.host, "wan"))

    def close(self):
        while self.open:
            self.open.pop().close()

    @staticmethod
    def reference(operation, *args, **kw):
        """The same operation without a gateway, from the host itself."""
        return getattr(agent, "op_" + operation)(*args, **kw)

    # what a case says

    def note(self, text):
        """A figure worth reading, printed on the case's line."""
        self.notes.append(text)

    def scale(self, full, quick):
        return quick if self.options.quick else full

    def check(self, condition, text):
        if not condition:
            raise Failure(text)

    def equal(self, found, wanted, what=""):
        if found != wanted:
            prefix = f"{what}: " if what else ""
            raise Failure(f"{prefix}{found!r}, not {wanted!r}")

    def skip(self, why):
        raise Skip(why)

    def fail(self, why):
        raise Failure(why)

    # what a case asks of the log

    def records(self, *types):
        found = audit.read(self.gateway.log)
        return audit.of_type(found, *types) if types else found

    def validate(self, path, faults=True):
        """Every line by the schema's own validator, and audit.faults()."""
        tool = os.path.join(os.path.dirname(os.path.dirname(
            os.path.abspath(__file__))), "validate-audit.py")
        if os.path.exists(tool):
            done = subprocess.run([sys.executable, tool, *audit.files(path)],
                                  capture_output=True, text=True, timeout=60,
                                  check=False)
            if done.returncode != 0:
                raise Failure("validate-audit: " +
                              (done.stdout + done.stderr).strip()[-600:])
        found = audit.faults(audit.read(path)) if faults else []
        if found:
            raise Failure(f"{len(found)} faults in the log: "
                          + "; ".join(found[:3]))

    @property
    def is_sallyport(self):
        return self.options.gateway == "sallyport"

    def pids(self, program):
        return self.gateway.pids(program)

    def pid(self, program):
        """The one process of that program, waiting for it a moment."""
        if not lablib.wait_until(lambda: len(self.pids(program)) == 1, 5):
            raise Failure(f"{len(self.pids(program))} processes of {program}")
        return self.pids(program)[0]
