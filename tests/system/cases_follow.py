"""The host's resolv.conf: who is asked, while it changes, comes and goes; what of it
CMD gets. Each case has an /etc of its own.
"""
import os
import shutil
import subprocess
import tempfile
import time

import dnswire
import gateway
import lab
import names_lab
import nspace
import stream
from cases_names import with_stub
from names_lab import SITE4, STRAY4
from trial import OURS, Failure, case

ONE, TWO = "203.0.114.33", "203.0.114.34"       # they differ about every name
ZONE = "corp.example.net"
RULES = f'allow to name "**.{ZONE}" port tcp 443\n'
RESOLV = "/etc/resolv.conf"
SERVFAIL = 2


class Etc:
    """A copy of /etc over the machine's, for the gateway and for nobody else."""

    def __init__(self, t):
        self.dir = tempfile.mkdtemp(dir=t.lab.scratch, prefix="etc-")
        os.chmod(self.dir, 0o755)
        subprocess.run(["cp", "-a", "/etc/.", self.dir], check=True)
        nspace.mount(self.dir, "/etc", "none", nspace.MS_BIND)
        self.remove()
        t.keep(self)

    def remove(self):
        if os.path.lexists(RESOLV):
            os.unlink(RESOLV)

    @staticmethod
    def write(text, path=RESOLV):
        """In place: cut to nothing, and written."""
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(path, 0o644)

    def replace(self, text):
        self.write(text, RESOLV + ".new")
        os.rename(RESOLV + ".new", RESOLV)

    @staticmethod
    def link(target):
        os.symlink(target, RESOLV + ".new")
        os.rename(RESOLV + ".new", RESOLV)

    def close(self):
        nspace.umount("/etc")
        shutil.rmtree(self.dir, ignore_errors=True)


class Servers:
    """ONE says SITE4 and TWO says STRAY4, whatever the name; silent.* is not answered
    by ONE."""

    def __init__(self, t):
        self.both = [dnswire.Authority(t.lab.internet, [place], self.says(
            address, place == ONE)) for place, address in
            ((ONE, SITE4), (TWO, STRAY4))]
        t.keep(self)

    @staticmethod
    def says(address, first):
        def answer(data, message, _tcp):
            name = message.name.lower()
            if first and name.startswith("silent"):
                return None
            return dnswire.zone_answer({name: {dnswire.A: (300, [address])}})(
                data, message, _tcp)
        return answer

    def close(self):
        for server in self.both:
            server.close()


def servers(*places, more=""):
    return "".join(f"nameserver {p}\n" for p in places) + more


def as_user(t):
    """Options with which CMD cannot write /etc."""
    return ["--user", "nobody"] if t.lab.root and not t.lab.user else []


def policy(resolver="", **how):
    return names_lab.policy(RULES, upstreams=(), head=names_lab.LIMITS +
                            (f"resolver {{ {resolver} }}\n" if resolver else ""),
                            **how)


def asks(guest, count=[0]):         # pylint: disable=dangerous-default-value
    """The address of a name that nobody has asked for yet, or the rcode."""
    count[0] += 1
    back = names_lab.ask(guest, f"n{count[0]}.{ZONE}")
    return back.addresses()[0] if back.addresses() else back.rcode


def becomes(t, guest, wanted, what):
    if not lab.wait_until(lambda: asks(guest) == wanted, 6):
        raise Failure(f"{what}: not {wanted}; {guest.stderr()}")
    for _ in range(5):
        t.equal(asks(guest), wanted, what)


def changed(t):
    return [r["detail"] for r in t.records("resolver.change")]


def every_way(t, guest, etc):
    """What DHCP clients, systemd-resolved, NetworkManager and editors do."""
    becomes(t, guest, SITE4, "at first")
    etc.replace(servers(TWO))
    becomes(t, guest, STRAY4, "replaced")
    etc.write(servers(ONE, TWO))
    becomes(t, guest, SITE4, "written anew")
    os.makedirs("/etc/elsewhere", mode=0o755, exist_ok=True)
    etc.write(servers(TWO), "/etc/elsewhere/two")
    etc.write(servers(ONE), "/etc/elsewhere/one")
    etc.link("/etc/elsewhere/two")
    becomes(t, guest, STRAY4, "a link in its place")
    etc.link("elsewhere/one")
    becomes(t, guest, SITE4, "the link turned")
    etc.write(servers(TWO), "/etc/elsewhere/new")
    os.rename("/etc/elsewhere/new", "/etc/elsewhere/one")
    becomes(t, guest, STRAY4, "what the link leads to replaced")
    etc.write(servers(ONE), "/etc/elsewhere/one")
    becomes(t, guest, SITE4, "what the link leads to written anew")
    etc.write("")
    becomes(t, guest, SERVFAIL, "empty")
    etc.remove()
    etc.write(servers(TWO))
    becomes(t, guest, STRAY4, "back")
    etc.remove()
    becomes(t, guest, SERVFAIL, "gone")
    etc.link("/etc/later/resolv.conf")
    os.mkdir("/etc/later")
    etc.write(servers(ONE), "/etc/later/resolv.conf")
    becomes(t, guest, SITE4, "a link whose end came later")


WAYS = [ONE, TWO, f"{ONE}, {TWO}", TWO, ONE, TWO, ONE, "none", TWO, "none", ONE]


@case(quick=True, gateways=OURS)
def follow(t):
    """The file is followed however it changes, and the log says to whom."""
    etc = Etc(t)
    Servers(t)
    etc.write(servers(ONE))
    with t.guest(policy=policy(), args=as_user(t)) as guest:
        every_way(t, guest, etc)
        said = guest.stderr()
    t.equal(changed(t), WAYS)
    t.equal(t.records("child.died"), [])
    t.check(f"this host's resolver {TWO} now" in said, said)
    t.check("cannot be resolved any more" in said and "died" not in said, said)


@case(gateways=OURS)
def follow_stub(t):
    """The same with the other engine."""
    before, t.bindir = t.bindir, with_stub(t)
    try:
        follow(t)
    finally:
        t.bindir = before


@case(gateways=("sallyport",))
def follow_serve(t):
    """A virtual machine's gateway follows it, too."""
    etc = Etc(t)
    Servers(t)
    etc.write(servers(ONE))
    with stream.serve(t, policy=policy()) as link:
        guest = t.keep(link.attach())

        def address(count=[0]):     # pylint: disable=dangerous-default-value
            count[0] += 1
            guest.send_udp(guest.gate[4], 4000 + count[0], 53, dnswire.query(
                f"v{count[0]}.{ZONE}", dnswire.A))
            back = guest.expect(lambda f: f.proto == 17 and
                                f.dport == 4000 + count[0])
            found = dnswire.Message(back.data)
            return (found.addresses() or [found.rcode])[0]

        for text, wanted in ((servers(ONE), SITE4), (servers(TWO), STRAY4),
                             ("", SERVFAIL), (servers(ONE), SITE4)):
            etc.replace(text)
            t.check(lab.wait_until(lambda w=wanted: address() == w, 6), wanted)
    t.equal(changed(t), [ONE, TWO, "none", ONE])


@case(gateways=OURS)
def follow_under_way(t):
    """A question that waits is asked of the new one, and answered once; what was
    learnt of the old one stays."""
    etc = Etc(t)
    Servers(t)
    etc.write(servers(ONE))
    with t.guest(policy=policy(), args=as_user(t)) as guest:
        t.equal(names_lab.ask(guest, f"a.{ZONE}").addresses(), [SITE4])
        number = guest.start("udp_raw", gateway.GATEWAY4, 53,
                             dnswire.query(f"silent.{ZONE}").hex(), timeout=9)
        time.sleep(0.5)
        etc.replace(servers(TWO))
        back = dnswire.Message(bytes.fromhex(guest.finish(number)))
        t.equal(back.addresses(), [STRAY4])
        t.equal(names_lab.ask(guest, f"a.{ZONE}").addresses(), [STRAY4])
    t.equal(len([r for r in t.records("dns")
                 if r["name"] == f"silent.{ZONE}"]), 1)
    t.equal(len([r for r in t.records("dns.ask")
                 if r["name"] == f"silent.{ZONE}"]), 1)


def stays(t, etc, guest):
    becomes(t, guest, SITE4, "at first")
    etc.replace(servers(TWO))
    for _ in range(8):
        time.sleep(0.25)
        t.equal(asks(guest), SITE4, "it is not followed")


@case(quick=True, gateways=OURS)
def follow_not_of_cmd(t):
    """Where CMD could write the file, it could choose who answers its questions: it
    is not followed. Root's can; and whoever owns the file, or what is above it."""
    if not t.lab.root:
        t.skip("needs other ids")
    etc = Etc(t)
    Servers(t)
    uid = t.lab.uid if t.lab.user else 65534
    etc.write(servers(ONE))
    if not t.lab.user:
        with t.guest(policy=policy()) as guest:
            stays(t, etc, guest)
    etc.replace(servers(ONE))
    with t.guest(policy=policy(), args=as_user(t)) as guest:
        becomes(t, guest, SITE4, "at first")
        etc.write(servers(TWO), RESOLV + ".cmd")
        os.chown(RESOLV + ".cmd", uid, uid)
        os.rename(RESOLV + ".cmd", RESOLV)
        t.check(lab.wait_until(lambda: "not followed" in guest.stderr(), 5),
                guest.stderr())
        for _ in range(4):
            t.equal(asks(guest), SITE4, "what CMD may have written")
    place = t.lab.directory("of-cmd")
    os.chown(place, uid, uid)
    etc.write(servers(ONE), os.path.join(place, "resolv.conf"))
    etc.link(os.path.join(place, "resolv.conf"))
    with t.guest(policy=policy(), args=as_user(t)) as guest:
        becomes(t, guest, SITE4, "at first")
        etc.write(servers(TWO), os.path.join(place, "resolv.conf"))
        time.sleep(2)
        t.equal(asks(guest), SITE4, "in a directory of CMD's")
    below = os.path.join(place, "of-root")
    os.mkdir(below, 0o755)
    etc.write(servers(ONE), os.path.join(below, "resolv.conf"))
    os.symlink(below, "/etc/way")
    etc.link("/etc/way/resolv.conf")
    with t.guest(policy=policy(), args=as_user(t)) as guest:
        becomes(t, guest, SITE4, "at first")
        os.rename(below, below + ".old")        # as CMD could
        os.mkdir(below, 0o755)
        etc.write(servers(TWO), os.path.join(below, "resolv.conf"))
        time.sleep(2)
        t.equal(asks(guest), SITE4, "below a directory of CMD's, by a link")


@case(quick=True, gateways=OURS)
def no_resolv_conf(t):
    """A host without one: CMD has one all the same, names fail with a reason, and
    work when there is one."""
    etc = Etc(t)
    Servers(t)
    with t.guest(policy=policy(), args=as_user(t), fds=False) as guest:
        said = guest.stderr()
        t.check("names cannot be resolved" in said, said)
        text = resolv_of(guest)
        t.check(f"nameserver {gateway.GATEWAY4}\n" in text, text)
        t.check(not os.path.exists(RESOLV), "made at the host")
        back = names_lab.ask(guest, f"none.{ZONE}", edns=1232)
        t.equal((back.rcode, back.ede), (SERVFAIL, 22))
        _, out, _ = guest.call("run", ["ls", "-A", "/etc"])
        t.equal(set(out.split()), set(os.listdir("/etc")) | {"resolv.conf"})
        etc.write(servers(TWO))
        becomes(t, guest, STRAY4, "it appeared")
    t.equal(t.records("dns")[0]["reason"], "dns-upstream")


@case(quick=True, gateways=OURS, root=True)
def no_resolv_conf_root(t):
    """Root's CMD goes on writing /etc as it could; where that is a file system of its
    own, as here, it cannot have a file more, and is told."""
    if t.lab.user:
        t.skip("of root's")
    Etc(t)
    with t.guest(policy=policy()) as guest:
        t.check("make an empty file" in guest.stderr(), guest.stderr())
        code, _, err = guest.call("run", ["touch", "/etc/of-cmd"])
        t.equal(code, 0, err)


def resolv_of(guest):
    _, out, err = guest.call("run", ["cat", RESOLV])
    if err:
        raise Failure(err)
    return out


@case(quick=True, gateways=OURS)
def search(t):
    """CMD's search list is the host's or the policy's; what comes of a short name
    needs a rule."""
    etc = Etc(t)
    Servers(t)
    etc.write(servers(ONE, more="search other.example.net corp.example.net\n"
                      "options ndots:2 rotate edns0 timeout:1\n"))
    with t.guest(policy=policy(), args=as_user(t)) as guest:
        text = resolv_of(guest)
        t.check("\nsearch other.example.net corp.example.net\n" in text, text)
        t.check("ndots:2" in text and "rotate" not in text and
                "timeout" not in text, text)
        t.equal(guest.call("lookup", "host")[:2], ["ok", [SITE4]])
    t.equal({r["name"]: r["verdict"] for r in t.records("dns")},
            {"host.other.example.net": "deny", f"host.{ZONE}": "allow"})
    with t.guest(policy=policy(f'search "{ZONE}" "x.{ZONE}"'),
                 args=as_user(t)) as guest:
        text = resolv_of(guest)
        t.check(f"\nsearch {ZONE} x.{ZONE}\n" in text and "other" not in text,
                text)
        t.equal(guest.call("lookup", "host")[:2], ["ok", [SITE4]])


@case(gateways=OURS)
def without_ipv6(t):
    """CMD's resolv.conf names the gateways that it can reach."""
    etc = Etc(t)
    etc.write(servers(ONE))
    for family, other in (("-4", gateway.GATEWAY6), ("-6", gateway.GATEWAY4)):
        with t.guest(policy=policy(), args=[family, *as_user(t)]) as guest:
            t.check(other not in resolv_of(guest), family)


@case(gateways=OURS)
def in_order(t):
    """Two upstreams that know different things: never a toss of a coin."""
    etc = Etc(t)
    both = Servers(t).both
    etc.write(servers(ONE, TWO))
    with t.guest(policy=policy(), args=as_user(t)) as guest:
        for _ in range(30):
            t.equal(asks(guest), SITE4)
        t.equal(both[1].names(), [])
        t.equal(names_lab.ask(guest, f"silent.{ZONE}").addresses(), [STRAY4])
        t.equal(asks(guest), SITE4)
    etc.write(servers(ONE, TWO, more="options rotate\n"))
    with t.guest(policy=policy(), args=as_user(t)) as guest:
        found = [asks(guest) for _ in range(40)]
        t.check(4 < found.count(SITE4) < 36, found.count(SITE4))


@case(quick=True, gateways=OURS)
def etc_hosts(t):
    """It is not asked; who allows a name that stands there is told what to write."""
    Etc(t)
    with open("/etc/hosts", "a", encoding="ascii") as file:
        file.write(f"10.1.2.3 db.{ZONE} www.{ZONE} # a comment\n"
                   f"10.1.2.4 static.{ZONE}\n127.0.0.1 here.{ZONE}\n")
    rules = f'allow to name {{ "db.{ZONE}" "static.{ZONE}" "here.{ZONE}" }} ' \
        f'port tcp 443\nallow to name "*.{ZONE}" port tcp 8443\n'
    path = os.path.join(t.lab.directory("hosts"), "p.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write(names_lab.policy(rules, upstreams=(), head=names_lab.LIMITS +
                                    f'host "static.{ZONE}" {SITE4}\n'))
    os.chmod(path, 0o644)
    done = subprocess.run([os.path.join(t.bindir, "sallyport"), "check", path],
                          capture_output=True, text=True, check=False, timeout=10)
    t.equal([line for line in done.stderr.splitlines() if "note" in line], [
        f"{path}: note: db.{ZONE} is in this host's /etc/hosts, which no guest's "
        f'question sees: write host "db.{ZONE}" 10.1.2.3'])
    t.check(done.returncode in (0, 2), done.stderr)
