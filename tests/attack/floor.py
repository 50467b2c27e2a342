"""Addresses that are the host's own, reached under a policy that allows all."""
import socket
import subprocess

import gateway
import lab as lablib
import servers
from corpus import Program, allow, attack

EVERYTHING = f"allow to any port tcp {gateway.PORTS}\n" \
    "allow to any port udp { 1-852 854-65535 }\n"


class Routes:
    """Lines for ip(8), and those that undo them."""

    def __init__(self, a, *lines):
        self.lines = lines
        lablib.ip_batch("\n".join(lines))
        a.t.keep(self)

    def close(self):
        undo = [line.replace(" add ", " del ", 1) for line in reversed(self.lines)]
        subprocess.run(["ip", "-force", "-batch", "-"], input="\n".join(undo),
                       text=True, check=False, capture_output=True)


class Service:
    """Something on the host that listens to every address of it."""

    def __init__(self, a):
        self.tcp = a.t.serve(servers.sink, netns=a.lab.host)
        self.udp = [servers.UdpServer(a.lab.host, any_, port=self.tcp.port)
                    for any_ in ("::",)]
        for server in self.udp:
            a.t.keep(server)
        self.port = self.tcp.port

    def heard(self):
        return len(self.tcp.log) + sum(len(s.log) for s in self.udp)


def reach(a, service, addresses, policy):
    """Connects and datagrams of CMD to the host's own addresses."""
    place = a.place(policy)
    for address in addresses:
        for name in ("connect", "datagram"):
            before = service.heard()
            program = Program(a, place, name, dst=address, port=service.port)
            program.result()
            if lablib.wait_until(lambda b=before: service.heard() > b, 0.5):
                a.gained(f"{name} to {address}: the host's own service hears it")


def control(a, service, addresses):
    for address in addresses:
        before = service.heard()
        with a.lab.host, socket.create_connection((address, service.port), 5):
            pass
        a.control(lablib.wait_until(lambda b=before: service.heard() > b, 2),
                  f"the host does not answer at {address}")


@attack("M1", quick=True)
def floor_any_ip(a):
    """Whole nets that are local by a route, without being an address."""
    Routes(a, "route add local 198.51.100.0/24 dev lo",
           "route add local 2001:db8:77::/64 dev lo",
           "route add local 2a00:77::/64 dev lo",
           "route add local 45.77.0.0/24 dev lo")
    service = Service(a)
    addresses = ["2a00:77::1234", "45.77.0.9"]
    control(a, service, addresses)
    reach(a, service, addresses, allow(EVERYTHING))


@attack("M1")
def floor_late_any_ip(a):
    """The route comes while CMD runs."""
    service = Service(a)
    place = a.place(allow(EVERYTHING))
    program = Program(a, place, "connect", dst="45.79.0.9", port=service.port,
                      later=True)
    program.ready()
    Routes(a, "route add local 45.79.0.0/24 dev lo")
    before = service.heard()
    program.go()
    program.result()
    if service.heard() > before:
        a.gained("the host's own service hears it")
    control(a, service, ["45.79.0.9"])


@attack("M1", quick=True)
def floor_excepted_wide(a):
    """`floor except' of a private net is not meant for this host's address in it."""
    Routes(a, "address add 10.77.0.1/32 dev lo", "address add 10.78.0.1/24 dev wan")
    service = Service(a)
    addresses = ["10.77.0.1", "10.78.0.1"]
    control(a, service, addresses)
    reach(a, service, addresses, allow(
        EVERYTHING + f"allow to net 10.0.0.0/8 port tcp {gateway.PORTS}\n",
        'floor except net 10.0.0.0/8 for tenant t ticket "x"\n'))


@attack("M1")
def floor_live_flow(a):
    """A UDP flow to an address that then moves to this host."""
    vip = "203.0.114.77"
    with a.lab.internet:
        lablib.ip_batch(f"address add {vip}/24 dev inet")
    there = servers.UdpServer(a.lab.internet, vip)
    a.t.keep(there)
    place = a.place(allow(EVERYTHING))
    program = Program(a, place, "datagrams", dst=vip, port=there.port, later=True)
    program.ready()
    a.control(lablib.wait_until(lambda: there.log, 5), "no flow")
    with a.lab.internet:
        lablib.ip_batch(f"address del {vip}/24 dev inet")
    Routes(a, f"address add {vip}/32 dev lo")
    here = servers.UdpServer(a.lab.host, vip, port=there.port)
    a.t.keep(here)
    program.go()
    program.result()
    if len(here.log) > 1:
        a.gained(f"{len(here.log)} datagrams of a live flow came to the host's own "
                 "port")


METADATA = ("169.254.169.254", "169.254.42.42", "169.254.0.23", "fd00:c1::a9fe:a9fe",
            "fd00:42::42", "fd00:ec2::254", "100.100.100.200")


@attack("L4")
def floor_metadata_excepted(a):
    """A `floor except' of exactly a cloud's metadata service is no policy."""
    place = a.place()
    for address in (*METADATA, "10.1.2.3"):
        policy = place.write("except.conf", allow(
            f"allow to net {address} port tcp 80\n",
            f'floor except net {address} for tenant t ticket "x"\n', ""))
        target = f"[{address}]:80" if ":" in address else f"{address}:80"
        status, out, _ = place.run("explain", policy, "t", "tcp", target)
        if address == "10.1.2.3":
            a.control(status == 0 and b"allow" in out, "no exception works")
        elif status == 0 and b"verdict    allow" in out:
            a.gained(f"{address} is allowed")
