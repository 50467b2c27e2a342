"""Who CMD is: what it inherits, what it may do as a user and as root, how much of
the user's accounts it can use up, and whose the terminal is when it is over.
"""
import os
import re
import resource
import signal
import socket
import subprocess
import time

import gateway
import lab
import servers
from cases_run import MACHINERY, ROOT_CAPS, Place, Terminal, quiet, terminal
from trial import OURS, Failure, case

BITS_CMD = 0xcf                 # linux/securebits.h: all but KEEP_CAPS


def python(script, *args):
    return ["python3", "-I", "-S", "-c", script, *[str(a) for a in args]]


# ---- what it inherits ----------------------------------------------------------

SENDS = """
import socket, sys
s = socket.socket(fileno=int(sys.argv[1]))
if s.type == socket.SOCK_DGRAM:
    s.sendto(b"past the policy", (sys.argv[2], int(sys.argv[3])))
else:
    import ctypes, struct
    ctypes.CDLL(None).connect(s.fileno(), struct.pack("16x"), 16)   # AF_UNSPEC
    s.connect((sys.argv[2], int(sys.argv[3])))
    s.sendall(b"past the policy")
"""
DENY_ALL = 'allow to net 203.0.116.1/32 port tcp 1\n'


def denying(t):
    place = t.keep(Place(t))
    place.policy = place.write("deny.conf", gateway.policy_text(DENY_ALL))
    return place


@case(quick=True, gateways=OURS)
def inherited_datagrams(t):
    """A UDP socket of the host's as 0 or 5: refused, unless it is asked for."""
    place = denying(t)
    with t.lab.internet:
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((lab.LIVE4, 0))
    with server:
        server.settimeout(0.3)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
            os.set_inheritable(ours.fileno(), True)
            where = [lab.LIVE4, server.getsockname()[1]]
            _refused(t, place, ours, server, where)


def _refused(t, place, ours, server, where):
    head, number = quiet(place)[:-1], str(ours.fileno())
    for options, stdin, fd in (([], ours, 0),
                               (["--keep-fd", number], None, number)):
        code, _, err = place.run(*head, *options, *python(SENDS, fd, *where),
                                 stdin=stdin, close_fds=False)
        t.equal(code, MACHINERY, f"{options} ({err!r})")
        t.check("--unsafe-fd" in err and "socket" in err, err)
        try:
            t.fail(f"{options}: it sent {server.recv(99)!r}")
        except TimeoutError:
            pass
    for options, stdin, fd in (
            (["--keep-fd", "0", "--unsafe-fd"], ours, 0),
            (["--keep-fd", number, "--unsafe-fd"], None, number)):
        code, _, err = place.run(*head, *options, *python(SENDS, fd, *where),
                                 stdin=stdin, close_fds=False)
        t.equal((code, err), (0, ""), "what it would gain")
        t.equal(server.recv(99), b"past the policy")


@case(quick=True, gateways=OURS)
def inherited_connection(t):
    """inetd's TCP connection: by AF_UNSPEC it could be made another."""
    place = denying(t)
    server = t.serve(lambda c: c.sock.recv(99))
    with socket.create_connection((lab.LIVE4, server.port)) as ours:
        code, _, err = place.run(
            *quiet(place), *python(SENDS, 0, lab.LIVE4, server.port),
            stdin=ours)
        t.equal(code, MACHINERY, err)
        code, _, err = place.run(*quiet(place), "true", stdin=ours)
        t.equal(code, MACHINERY, err)
        t.check("standard input" in err, err)


@case(quick=True, gateways=OURS)
def inherited_directory(t):
    """From a directory openat(2) walks up, beside all covers."""
    place = denying(t)
    for flags in (os.O_RDONLY, os.O_PATH, os.O_PATH | os.O_DIRECTORY):
        fd = os.open(place.path, flags)
        try:
            code, out, err = place.run(
                *quiet(place), "sh", "-c", "ls /proc/self/fd/0/..", stdin=fd)
            t.equal((code, out), (MACHINERY, b""), f"flags {flags:o}: {err}")
        finally:
            os.close(fd)
    fd = os.open(place.path, os.O_RDONLY)
    os.set_inheritable(fd, True)
    code, _, err = place.run(*quiet(place)[:-1], "--keep-fd", str(fd), "true",
                             close_fds=False)
    os.close(fd)
    t.equal(code, MACHINERY, err)
    t.check("directory" in err and f"--keep-fd {fd}" in err, err)


@case(quick=True, gateways=OURS)
def inherited_data(t):
    """Files, pipes, connections of AF_UNIX and the harmless devices pass."""
    place = denying(t)
    place.write("file", "x" * 100)
    reader, writer = os.pipe()
    os.write(writer, b"y" * 100)
    os.close(writer)
    ours, theirs = socket.socketpair()
    theirs.sendall(b"z" * 100)
    theirs.close()
    for what, stdin, count in (
            ("file", os.open(os.path.join(place.path, "file"), os.O_RDONLY),
             100), ("pipe", reader, 100), ("socket", ours.detach(), 100),
            ("null", os.open("/dev/null", os.O_RDWR), 0),
            ("zero", os.open("/dev/zero", os.O_RDONLY), 100),
            ("proc", os.open("/proc/self/status", os.O_RDONLY), 100)):
        code, out, err = place.run(*quiet(place), "head", "-c", "100",
                                   stdin=stdin)
        os.close(stdin)
        t.equal((code, len(out), err), (0, count, ""), what)


# ---- what it can do to others -----------------------------------------------------

PRIORITIES = """
import ctypes, os
libc = ctypes.CDLL(None)
for which in (os.PRIO_PGRP, os.PRIO_USER):
    try:
        os.setpriority(which, 0, 19)
        print("priority", which)
    except OSError:
        pass
for which in (2, 3):
    if libc.syscall(%d, which, 0, 2 << 13 | 7) == 0:
        print("io", which)
os.setpriority(os.PRIO_PROCESS, 0, 19)
print(os.getpriority(os.PRIO_PROCESS, 0))
"""
IOPRIO_SET = {"x86_64": 251, "aarch64": 30}


@case(quick=True, gateways=OURS)
def priorities_of_the_group(t):
    """CMD is in its caller's process group; the rest of that is left alone."""
    number = IOPRIO_SET.get(os.uname().machine)
    if number is None:
        t.skip("an unknown machine")
    place = t.keep(Place(t))
    script = place.write("script", PRIORITIES % number)
    shell = subprocess.Popen(
        [*t.lab.as_user(), "sh", "-c",
         'sleep 30 & echo $!; "$@" </dev/null; echo end; wait', "sh",
         os.path.join(t.bindir, "sallyport"), *quiet(place), "python3", "-I",
         "-S", script], stdout=subprocess.PIPE, process_group=0,
        cwd=place.path)
    try:
        sleeper = int(shell.stdout.readline())
        said = []
        while (line := shell.stdout.readline()) not in (b"end\n", b""):
            said.append(line)
        t.equal(os.getpriority(os.PRIO_PROCESS, sleeper),
                os.getpriority(os.PRIO_PROCESS, 0), "the sleeper's")
        t.equal(said, [b"19\n"], "CMD")
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
        shell.stdout.close()


# Sends descriptors to itself until the kernel says no, and holds them there.
FILL = """
import array, errno, os, resource, socket, sys
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
kept, sent, fds = [], 0, array.array("i", [0] * 250)
try:
    while True:
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        a.setblocking(False)
        kept.append((a, b))
        try:
            while True:
                a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
                sent += 250
        except BlockingIOError:
            pass
except OSError as error:
    print(sent, errno.errorcode[error.errno], flush=True)
sys.stdin.read()
"""


@case(quick=True, gateways=OURS)
def descriptors_in_flight(t):
    """One CMD fills what its limit lets it; another guest of the same user starts,
    and its connections are granted."""
    place = t.keep(Place(t))
    server = t.serve(servers.greet(b"x"))
    hard = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 20000)
    prefix = ["prlimit", f"--nofile=1024:{hard}"]
    filler = subprocess.Popen(
        [*prefix, *t.lab.as_user(), os.path.join(t.bindir, "sallyport"),
         *quiet(place), *python(FILL)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, cwd=place.path)
    try:
        sent, why = filler.stdout.readline().decode().split()
        t.equal(why, "ETOOMANYREFS", f"after {sent}")
        t.note(f"{sent} in flight")
        script = ("import socket\n"
                  f"s = socket.create_connection(('{lab.LIVE4}', "
                  f"{server.port}), 10)\nprint(s.recv(1))\n")
        for _ in range(3):
            code, out, err = place.run(
                "run", "-q", "-p", place.policy, "--audit", "other", "--",
                *python(script), prefix=prefix, timeout=60)
            t.equal((code, out), (0, b"b'x'\n"), err)
    finally:
        filler.stdin.close()
        filler.stdout.close()
        filler.wait(20)


LIMITS = """
import resource as r
for what in (r.RLIMIT_NOFILE, r.RLIMIT_NPROC, r.RLIMIT_SIGPENDING, r.RLIMIT_CORE,
             r.RLIMIT_RTPRIO):
    soft, hard = r.getrlimit(what)
    try:
        r.setrlimit(what, (hard + 1, hard + 1))
        print("raised", end=" ")
    except (ValueError, OSError):
        pass
    print(soft, hard)
"""


@case(quick=True, gateways=OURS)
def limits_are_half(t):
    """Hard, so that CMD cannot raise them; a soft one that is lower stays."""
    place = t.keep(Place(t))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    code, out, err = place.run(
        *quiet(place), *python(LIMITS), prefix=[
            "prlimit", f"--nofile=1000:{hard}", "--nproc=3000:6000",
            "--sigpending=2000:2000", "--core=unlimited"])
    t.equal((code, err), (0, ""))
    t.equal(out.decode().splitlines(),
            [f"1000 {hard // 2}", "3000 3000", "1000 1000", "1 1", "0 0"])


@case(quick=True, gateways=OURS)
def limit_of_open_files(t):
    """One line says what is too little; with the number that it names CMD runs."""
    place = t.keep(Place(t))
    for few in (24, 64, 127):
        code, out, err = place.run(*quiet(place), "echo", "ran",
                                   prefix=["prlimit", f"--nofile={few}:{few}"])
        t.equal((code, out), (125, b""), err)
        t.check(len(err.splitlines()) == 1 and
                f"limit of open files is {few}, and 128 is the least" in err, err)
    code, out, err = place.run(*quiet(place), "echo", "ran",
                               prefix=["prlimit", "--nofile=128:128"])
    t.equal((code, out), (0, b"ran\n"), err)


# How many of 80 processes get a user namespace at the same time.
NESTED = """
import ctypes, os
libc, (r, w), (go, hold) = ctypes.CDLL(None), os.pipe(), os.pipe()
for i in range(80):
    if os.fork() == 0:
        os.close(hold)
        os.write(w, b"1" if libc.unshare(0x10000000) == 0 else b"0")
        os.read(go, 1)
        os._exit(0)
got = b""
while len(got) < 80:
    got += os.read(r, 80)
print(got.count(b"1"))
"""


@case(quick=True, gateways=OURS)
def nested_namespaces(t):
    """64 of a kind within CMD's, none with --no-userns."""
    place = t.keep(Place(t))
    for options, want in (([], 64), (["--no-userns"], 0)):
        code, out, err = place.run(*quiet(place)[:-1], *options,
                                   *python(NESTED))
        t.equal((code, out, err), (0, b"%d\n" % want, ""), f"{options}")


@case(quick=True, gateways=OURS)
def watches_are_half(t):
    """Of inotify's instances: so many that the user's others have as many."""
    place = t.keep(Place(t))
    with open("/proc/sys/fs/inotify/max_user_instances",
              encoding="ascii") as file:
        most = int(file.read())
    if most > 4000:
        t.skip("the host has no limit worth the name")
    script = ("import ctypes\nlibc = ctypes.CDLL(None)\nn = 0\n"
              f"while n < {most} and libc.inotify_init1(0) >= 0: n += 1\n"
              "print(n)")
    code, out, err = place.run(*quiet(place), *python(script))
    t.equal((code, err), (0, ""))
    t.check(0 < int(out) <= most // 2, f"{out} of {most}")


# ---- who it is ------------------------------------------------------------------

@case(quick=True, gateways=OURS)
def addresses_are_random(t):
    """setarch -R in front of it leaves neither the rooms nor CMD without ASLR."""
    place = t.keep(Place(t))
    for persona, left in ((["setarch", "-R"], 0),
                          (["setarch", "--read-implies-exec", "-R"], 0),
                          (["setarch", "--short-inode", "-R"], 0x1000000)):
        run = subprocess.Popen(
            [*persona, *t.lab.as_user(), os.path.join(t.bindir, "sallyport"),
             *quiet(place), "sh", "-c", "cat /proc/self/personality; read x"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=place.path)
        try:
            t.equal(int(run.stdout.read(8), 16), left, f"CMD, {persona}")
            for program in ("frame", "broker", "recorder"):
                pid = [p for p in lab.descendants(run.pid)
                       if lab.program(p) == "sallyport-" + program]
                t.equal(len(pid), 1, program)
                with open(f"/proc/{pid[0]}/personality",
                          encoding="ascii") as file:
                    t.equal(int(file.read(), 16), left, program)
        finally:
            run.stdin.close()
            run.stdout.close()
            run.wait(20)


BITS = ("import ctypes; libc = ctypes.CDLL(None); "
        "print(libc.prctl(27), libc.prctl(8, 1))")


@case(quick=True, gateways=OURS)
def securebits(t):
    """As a user: nothing can be gained, and PR_SET_KEEPCAPS, which has nothing to
    keep, is no error (ping(8), setpriv(1))."""
    place = t.keep(Place(t))
    more = [] if t.lab.user else ["--user", "nobody"]
    os.chmod(place.path, 0o755)
    code, out, err = place.run(*quiet(place)[:-1], *more, *python(BITS))
    t.equal((code, err), (0, ""))
    bits, keep = (int(n) for n in out.split())
    t.equal((bits, keep), (BITS_CMD, 0), "securebits, PR_SET_KEEPCAPS")


@case(quick=True, gateways=OURS)
def setpriv_works(t):
    place = t.keep(Place(t))
    code, out, err = place.run(*quiet(place), "setpriv", "--no-new-privs",
                               "--inh-caps=-all", "echo", "done")
    t.equal((code, out, err), (0, b"done\n", ""))


@case(quick=True, gateways=OURS)
def ping_runs(t):
    """Debian's: a program with a capability in its file, which it then drops."""
    place = t.keep(Place(t))
    for where in (lab.LIVE4, gateway.GATEWAY4):
        code, out, err = place.run(*quiet(place), "ping", "-n", "-c", "1", "-W",
                                   "5", where)
        t.equal((code, err), (0, ""), f"{where}: {out.decode()}")
        t.check(b" 1 received" in out, out)


@case(quick=True, gateways=OURS)
def root_of_one_id(t):
    """unshare -r: uid 0, every capability, nobody to become. The user's way."""
    place = t.keep(Place(t))
    start = time.monotonic()
    done = subprocess.run(
        [*t.lab.as_user(), "unshare", "-Ur",
         os.path.join(t.bindir, "sallyport"), *quiet(place), "cat",
         "/proc/self/status", "/proc/self/uid_map"], capture_output=True,
        timeout=60, cwd=place.path, check=False)
    t.equal(done.returncode, 0, done.stderr.decode())
    t.check(time.monotonic() - start < 10, "it took long")
    for name in ("CapPrm", "CapEff", "CapBnd"):
        t.check(re.search(rf"{name}:\s*0+\n", done.stdout.decode()), name)
    t.check(re.search(r"^ *0 +0 +1$", done.stdout.decode(), re.M), "its map")


@case(quick=True, gateways=OURS, root=True)
def policy_of_an_unmapped_root(t):
    """Where uid 0 is not known, as within CMD, root's policies are nobody's."""
    place = t.keep(Place(t))
    os.chmod(place.path, 0o755)
    path = os.path.join(place.path, "roots.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write(gateway.policy_text(DENY_ALL))
    inside = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups",
              "unshare", "-U", "--map-user=54321", "--map-group=54321"]
    alone = [*inside[:4], "unshare", "-Ur"]
    for owner, mode, prefix, good in (
            (0, 0o644, alone, True), (0, 0o664, alone, False),
            (54321, 0o644, alone, True), (0, 0o644, ["unshare", "-Ur"], True),
            (54321, 0o644, ["unshare", "-Ur"], False),
            (0, 0o644, inside, True), (0, 0o666, inside, False),
            (0, 0o664, inside, False), (54321, 0o644, inside, True),
            (65534, 0o644, inside[:4], False),
            (54322, 0o644, inside[:4], False)):
        os.chown(path, owner, owner)
        os.chmod(path, mode)
        done = subprocess.run(
            [*prefix, os.path.join(t.bindir, "sallyport"), "check", path],
            capture_output=True, timeout=20, check=False)
        t.equal(done.returncode == 0, good, f"{owner} {mode:o} {len(prefix)}: "
                f"{done.stderr!r}")


# ---- root's CMD ---------------------------------------------------------------------

def as_root(t, place, *command, status=0, **more):
    code, out, err = place.run(*quiet(place), *command, **more)
    if status is not None:
        t.equal(code, status, f"{' '.join(command)[:70]}: {err.strip()!r}")
    return out.decode() + err


def root_place(t):
    if t.lab.user:
        t.skip("not root")
    return t.keep(Place(t))


@case(quick=True, gateways=OURS, root=True)
def root_is_told(t):
    """One line, at the start; none with -q, nor with --user."""
    if t.lab.user:
        t.skip("not root")
    place = t.keep(Place(t))
    def said(*options):
        done = subprocess.run(
            [os.path.join(t.bindir, "sallyport"), "run", "-p", place.policy,
             "--audit", "log", *options, "true"], capture_output=True,
            timeout=20, cwd=place.path, check=False)
        t.equal(done.returncode, 0, done.stderr.decode())
        return done.stderr.decode()
    t.check("CMD is root for files: it can leave the network through "
            "/etc/cron.d and the like" in said(), "it is not said")
    t.check("root" not in said("-q"), "-q")
    t.check("is root" not in said("--user", "nobody"), "--user")


@case(quick=True, gateways=OURS, root=True)
def root_is_root_for_files(t):
    """What package managers and archives ask of it."""
    place = root_place(t)
    text = as_root(t, place, "cat", "/proc/self/status")
    for name in ("CapPrm", "CapEff", "CapBnd"):
        t.check(re.search(rf"{name}:\s*{ROOT_CAPS:016x}\n", text), text)
    for name in ("CapInh", "CapAmb"):
        t.check(re.search(rf"{name}:\s*0+\n", text), text)
    t.check("NoNewPrivs:\t1" in text, text)
    for command in (["su", "-s", "/bin/sh", "nobody", "-c",
                     "id -u; grep -E 'Cap(Prm|Eff|Inh|Amb)' /proc/self/status"],
                    ["setpriv", "--reuid=65534", "--regid=65534",
                     "--clear-groups", "sh", "-c",
                     "id -u; grep -E 'Cap(Prm|Eff|Inh|Amb)' /proc/self/status"]):
        text = as_root(t, place, *command)
        t.check(text.startswith("65534\n"), text)
        t.equal(len(re.findall(r"Cap...:\s*0{16}\n", text)), 4, text)
    as_root(t, place, "sh", "-ec", "echo x >f; chown 7:8 f; tar cf t f; rm f; "
            "tar xpf t --same-owner")
    st = os.stat(os.path.join(place.path, "f"))
    t.equal((st.st_uid, st.st_gid), (7, 8), "tar --same-owner")


@case(gateways=OURS, root=True)
def root_installs(t):
    """dpkg -i of a package, and apt-get gets beyond becoming _apt."""
    place = root_place(t)
    os.makedirs(os.path.join(place.path, "p/DEBIAN"))
    os.makedirs(os.path.join(place.path, "p/opt"))
    place.write("p/DEBIAN/control", "Package: sallyport-trial\nVersion: 1\n"
                "Architecture: all\nMaintainer: x <x@example.org>\n"
                "Description: x\n")
    place.write("p/opt/trial", "x")
    os.chown(os.path.join(place.path, "p/opt/trial"), 33, 33)
    for name in ("root/opt", "root/var/lib/dpkg/updates",
                 "root/var/lib/dpkg/info", "lists/partial", "cache/partial"):
        os.makedirs(os.path.join(place.path, name))
    place.write("root/var/lib/dpkg/status", "")
    place.write("sources", "deb [trusted=yes] http://198.51.100.7/ x main\n")
    as_root(t, place, "dpkg-deb", "-b", "p", "p.deb")
    as_root(t, place, "dpkg", f"--root={place.path}/root",
            "--force-not-root", "--force-script-chrootless", "-i", "p.deb")
    st = os.stat(os.path.join(place.path, "root/opt/trial"))
    t.equal(st.st_uid, 33, "the owner that the package names")
    text = as_root(
        t, place, "apt-get", "update", "-o", f"Dir::Etc::SourceList={place.path}"
        "/sources", "-o", "Dir::Etc::SourceParts=/nowhere", "-o",
        f"Dir::State::Lists={place.path}/lists", "-o",
        f"Dir::Cache={place.path}/cache", "-o", "Acquire::Retries=0",
        status=None, timeout=60)
    t.check("setgroups" not in text and "seteuid" not in text, text)
    t.check("198.51.100.7" in text, text)


SOCKETS = ("import socket\n"
           "for f, k, p in ((17, 3, 768), (2, 3, 1), (10, 3, 58)):\n"
           "    try: socket.socket(f, k, p); print('a raw socket')\n"
           "    except PermissionError: pass\n")
OWNERS = """
import ctypes, fcntl, os
libc = ctypes.CDLL(None)
for name in ("net", "mnt", "pid", "ipc", "user"):
    for path in ("/proc/self/ns/", "/proc/1/ns/"):
        try:
            fd = os.open(path + name, os.O_RDONLY)
        except OSError:
            continue
        if name != "user" and libc.setns(fd, 0) == 0: print("setns", name)
        for request in (0xb701, 0xb702):
            try:
                owner = fcntl.ioctl(fd, request)
                if libc.setns(owner, 0) == 0: print("its owner", name)
            except OSError:
                pass
"""


@case(quick=True, gateways=OURS, root=True)
def root_is_nobody_for_the_rest(t):
    """No namespace but its user namespace is its own."""
    place = root_place(t)
    for command in ("ip link set lo down", "ip link set eth0 down",
                    "ip link add d type dummy", "ip route del default",
                    "umount /proc/sys", "mount -t tmpfs x /mnt",
                    "mount -o remount,rw /proc/sys",
                    "mount --bind /etc /mnt", "umount -l /proc",
                    "mknod node b 254 0", "mknod node c 1 1",
                    "unshare -n true", "unshare -m true", "unshare -p true",
                    "nsenter -t 1 -n true", "nsenter -t 1 -m true",
                    "nsenter -t 1 -p true", "hostname x", "sysctl -q -w "
                    "net.ipv4.ip_forward=1", "echo 3 >/proc/sys/vm/drop_caches",
                    "chroot /proc/1/root true", "swapoff -a; swapon /mnt",
                    "date -s 12:00", "unshare -Urm umount /proc/sys",
                    "unshare -Urm mount -o remount,rw,bind /proc/sys"):
        code, _, err = place.run(*quiet(place), "sh", "-c",
                                 f"PATH=$PATH:/sbin:/usr/sbin; {command}")
        t.check(code != 0 and "not found" not in err, f"{command}: {err!r}")
    for script in (SOCKETS, OWNERS):
        t.equal(as_root(t, place, *python(script)), "")
    pids = as_root(t, place, "sh", "-c", "ls /proc | grep -c '^[0-9]'")
    t.check(int(pids) <= 5, f"{pids} processes")


@case(quick=True, gateways=OURS, root=True)
def root_cannot_end_init_alone(t):
    """init's uid is CMD's; its namespace is not, and it is not there to be had."""
    place = root_place(t)
    text = as_root(t, place, "sh", "-c", "cat /proc/1/environ /proc/1/maps; "
                   "ls /proc/1/fd /proc/1/root; kill -9 1; kill -TERM 1; "
                   "kill -STOP 1; echo still here", status=0)
    t.check(text.count("Permission denied") >= 3, text)
    t.check("still here" in text, text)


# In a user namespace with all ids, where so many may be made.
LIMITED = """
import ctypes, os, sys
libc, (r, w), (go, g) = ctypes.CDLL(None), os.pipe(), os.pipe()
if (child := os.fork()) == 0:
    if libc.unshare(0x10000000) != 0: os._exit(77)
    os.write(w, b"x")
    os.read(go, 1)
    with open("/proc/sys/user/max_user_namespaces", "w") as f: f.write(sys.argv[1])
    os.execvp(sys.argv[2], sys.argv[2:])
os.read(r, 1)
for which in ("uid_map", "gid_map"):
    with open(f"/proc/{child}/{which}", "w") as f: f.write("0 0 4294967295")
os.write(g, b"x")
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@case(quick=True, gateways=OURS, root=True)
def root_without_a_namespace(t):
    """One user namespace too few for CMD's second: said once, no capability."""
    place = root_place(t)
    for limit in range(12, 2, -1):
        done = subprocess.run(
            [*python(LIMITED, limit), os.path.join(t.bindir, "sallyport"),
             *quiet(place), "cat", "/proc/self/status"], capture_output=True,
            timeout=60, cwd=place.path, check=False)
        err = done.stderr.decode()
        t.equal(done.returncode, 0, f"{limit}: {err}")
        if err:
            break
    t.equal(len(re.findall("no user namespace for root's CMD", err)), 1, err)
    for name in ("CapPrm", "CapEff", "CapBnd"):
        t.check(re.search(rf"{name}:\s*0+\n", done.stdout.decode()), name)


# ---- the terminal ------------------------------------------------------------------

DASH = ("dash", "-i")


def stopped(shell, command):
    """Started in the foreground, and stopped by ^Z."""
    shell.command(f"run sh -c 'echo started; exec {command}'", "started\r\n")
    time.sleep(0.2)     # a shell in the midst of vfork() cannot stop, anywhere
    shell.type("\x1a")
    shell.wait("Stopped")
    shell.wait("READY> ")


def alive(shell):
    """The shell is there, reads, and has the terminal."""
    shell.command("echo al$((6*7))ive", "al42ive")
    shell.wait("READY> ")
    if shell.process.poll() is not None:
        raise Failure("the shell is gone")
    if os.tcgetpgrp(shell.master) != os.getpgid(shell.process.pid):
        raise Failure("the terminal is not the shell's")


def ended(t, shell):
    """The job, however it ended, is over."""
    t.check(lab.wait_until(lambda: not [
        p for p in lab.descendants(shell.process.pid)
        if lab.program(p) == "sallyport"], 10), "it did not end")
    time.sleep(0.2)


@case(quick=True, gateways=OURS)
def job_in_background(t):
    """^Z, bg; when it ends the terminal stays with the shell."""
    for kind in (Terminal.BASH, DASH):
        shell = terminal(t, kind)
        stopped(shell, "sleep 1.5")
        shell.type("bg\n")
        ended(t, shell)
        shell.type("\n")
        alive(shell)
        t.close()


@case(quick=True, gateways=OURS)
def job_killed(t):
    """^Z, kill %1; bash continues what it has killed, dash is told to."""
    for kind in (Terminal.BASH, DASH):
        shell = terminal(t, kind)
        stopped(shell, "sleep 60")
        shell.type("kill %1; kill -CONT %1\n")
        ended(t, shell)
        shell.type("\n")
        alive(shell)
        t.close()


@case(quick=True, gateways=OURS)
def job_in_foreground(t):
    """^Z, fg."""
    for kind in (Terminal.BASH, DASH):
        shell = terminal(t, kind)
        stopped(shell, "sleep 1")
        shell.command("fg", "READY> ")
        alive(shell)
        t.close()


@case(quick=True, gateways=OURS)
def job_disowned(t):
    shell = terminal(t)
    stopped(shell, "sleep 1.5")
    shell.type("bg\ndisown\n")
    ended(t, shell)
    shell.type("\n")
    alive(shell)


@case(quick=True, gateways=OURS)
def job_of_another(t):
    """While it ends in the background, something else has the terminal."""
    shell = terminal(t)
    stopped(shell, "sleep 1.5")
    shell.type("bg\n")
    shell.command("sh -c 'sleep 3; read x; echo got-$x'", "\n")
    ended(t, shell)
    shell.type("words\n")
    shell.wait("got-words")
    alive(shell)


def inner(shell):
    shell.command("run env PS1='IN> ' bash --norc --noprofile -i", "IN> ")


@case(quick=True, gateways=OURS)
def nested_shell_killed(t):
    """The one that has the terminal dies with it: it comes back."""
    for kind in (Terminal.BASH, DASH):
        shell = terminal(t, kind)
        inner(shell)
        shell.type("kill -9 $$\n")
        shell.wait("READY> ")
        alive(shell)
        t.close()


@case(quick=True, gateways=OURS)
def nested_jobs(t):
    """Job control within, then the shell is replaced and ends."""
    shell = terminal(t)
    inner(shell)
    shell.type("sleep 30\n")
    time.sleep(0.3)
    shell.type("\x1a")
    shell.wait("Stopped")
    shell.wait("IN> ")
    shell.command("kill -9 %1", "IN> ")
    shell.command("exec sleep 0.1", "READY> ")
    alive(shell)


@case(quick=True, gateways=OURS)
def script_goes_on(t):
    """sh -c 'sallyport ...; read': not interactive, no shell takes it back."""
    shell = terminal(t)
    place = shell.place
    script = place.write(
        "script", f'"$SP" run -q -p {place.policy} --audit log -- bash --norc '
        "--noprofile -ic 'kill -9 $$'\necho next; read x; echo got-$x\n")
    shell.command(f"sh {script}", "next")
    shell.type("hello\n")
    shell.wait("got-hello")
    shell.wait("READY> ")
    alive(shell)
