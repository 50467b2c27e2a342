#!/usr/bin/env python3
"""The keeper among stand-ins: what it gives its children, and what it does when
one of them, or the command, is gone. As root everything is done twice: with a
keeper that is root's, and with one that is a user's, looked at by root."""

import fcntl, os, shutil, signal, socket, struct, subprocess, sys, tempfile, time

BUILD = os.environ.get("builddir", ".")
ROOMS = ("broker", "frame", "recorder", "parser", "resolver", "inspector")
LIVE = ("broker", "recorder", "resolver", "inspector", "frame")
SO_PASSRIGHTS = 83
LINK, FINISH, UP, DOWN, FAILED = 192, 193, 224, 225, 226
SUMMARY = struct.Struct("<IIQ QQQQQ II QII QII QII")
UID_BASE = 2013265920
USER = 1234
with open(os.path.join(BUILD, "config.h")) as f:
    SEALED = "#define SANITIZE 1" not in f.read()     # else no filter, no empty root
as_user = os.geteuid() != 0
bad = 0


def check(ok, what):
    global bad
    if not ok:
        bad += 1
    print(("ok   " if ok else "FAIL ") + what, flush=True)


class Keeper:
    """sallyportd, with us as the command."""

    def __init__(self, where, level=0, extra=(), listener=None):
        self.where = where
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        log = os.path.join(where, "log")
        argv = [os.path.join(where, "sallyportd"), "--one-guest", "--policy",
                "/some/policy", "--audit", os.path.join(log, "audit.jsonl"),
                "--guest", "test", "--address", "10.83.80.100/24", "--gateway",
                "10.83.80.2", "--level", str(level), "--ca-bundle", os.path.join(where, "ca.pem"),
                *extra]
        n = theirs.fileno()
        argv = self.owner() + argv
        move = f"exec 3<&{n} {n}<&-; " if n != 3 else ""
        if listener:                    # on 4
            n4 = fcntl.fcntl(listener.fileno(), fcntl.F_DUPFD, 5)
            move += f"exec 4<&{n4} {n4}<&-; "
        self.err = tempfile.TemporaryFile()
        self.proc = subprocess.Popen(["bash", "-c", move + 'exec "$@"', "sh", *argv],
                                     pass_fds=(n, n4) if listener else (n,), stdin=subprocess.DEVNULL, stderr=self.err)
        theirs.close()
        if listener:
            os.close(n4)
        ours.settimeout(10)
        self.chan = ours

    @staticmethod
    def owner():
        return ["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups",
                "--bounding-set=-all"] if as_user and os.geteuid() == 0 else []

    def descriptors(self, most):
        """How many the keeper itself may have from now on."""
        subprocess.run([*self.owner(), "prlimit", f"--pid={self.proc.pid}", f"--nofile={most}:"],
                       check=True)

    def link(self):
        fd = os.open("/dev/null", os.O_RDWR)
        socket.send_fds(self.chan, [struct.pack("<IIQII", LINK, 0, 0, 0, 0)], [fd])
        os.close(fd)

    def recv(self):
        data = self.chan.recv(512)
        return (struct.unpack_from("<I", data)[0] if data else None, data)

    def up(self):
        self.link()
        return self.recv()[0] == UP

    def send(self, kind):
        self.chan.send(struct.pack("<IIQ", kind, 0, 0))

    def text(self):
        self.err.seek(0)
        return self.err.read().decode()

    def says(self, text, times=1, seconds=5):
        """So often, within so many seconds."""
        end = time.time() + seconds
        while self.text().count(text) < times and time.time() < end:
            time.sleep(0.02)
        return self.text().count(text) >= times

    def room(self, name):
        """The pid of a child, by its program."""
        for _ in range(300):
            for pid in children(self.proc.pid):
                if comm(pid) == f"sallyport-{name}"[:15]:
                    return pid
            time.sleep(0.01)
        return None

    def nursery(self):
        for pid in children(self.proc.pid):
            with open(f"/proc/{pid}/comm") as f:
                if f.read() == "sp-nursery\n":
                    return pid
        return None

    def wait(self, seconds=10):
        try:
            return self.proc.wait(seconds)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            return None


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(p) for p in f.read().split()]
    except OSError:
        return []


def comm(pid):
    """The program's name: argv[0], which the keeper sets."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().split(b"\0")[0].decode()[:15]
    except OSError:
        return ""


def status(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def fds(pid):
    got = {}
    for n in os.listdir(f"/proc/{pid}/fd"):
        try:
            got[int(n)] = os.readlink(f"/proc/{pid}/fd/{n}")
        except FileNotFoundError:       # closed since the list was made
            pass
    return got


def is_null(pid, n):
    """By its number: /dev/null may be a mount of its own, which has no name in a
    process with another root."""
    return os.stat(f"/proc/{pid}/fd/{n}").st_rdev == os.makedev(1, 3)


def fds_at_rest(pid, right, seconds=5):
    """The descriptors, as soon as they are right. A process that is just starting
    opens files for a moment, a sanitizer's its own /proc/PID/maps; what it keeps
    is there to the end."""
    end = time.time() + seconds
    while not right(got := fds(pid)) and time.time() < end:
        time.sleep(0.02)
    return got


def gone(pids, seconds=5):
    end = time.time() + seconds
    while time.time() < end:
        if not any(os.path.exists(f"/proc/{p}") and
                   status_or_none(p) not in (None, "Z") for p in pids):
            return True
        time.sleep(0.02)
    return False


def status_or_none(pid):
    try:
        return status(pid)["State"][0]
    except (OSError, KeyError):
        return None


def ns(pid, kind):
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def rooms_look(k):
    """What a child has of its own, seen from outside."""
    own = {"frame": "user pid net mnt ipc uts cgroup", "broker": "user pid ipc uts cgroup",
           "recorder": "user pid net ipc uts cgroup", "resolver": "user pid ipc uts cgroup",
           "inspector": "user pid net mnt ipc uts cgroup"}
    want = {"frame": {0, 1, 2, 3, 4, 5}, "broker": {0, 1, 2, 3, 5},
            "recorder": {0, 1, 2, 3, 4, 5}, "resolver": {0, 1, 2, 3, 4, 5},
            "inspector": {0, 1, 2, 3, 5}}
    root = not as_user
    me = USER if as_user and os.geteuid() == 0 else os.geteuid()
    uid = {"frame": UID_BASE + 16, "broker": UID_BASE + 1, "resolver": UID_BASE + 2,
           "inspector": UID_BASE + 3}
    for name in LIVE:
        pid = k.room(name)
        check(pid is not None, f"{name} runs")
        if pid is None:
            continue
        s = status(pid)
        expected = uid.get(name, 0) if root else me
        check(s["Uid"].split() == [str(expected)] * 4, f"{name}: all four uids are {expected}")
        check(s["Gid"].split() == [str(expected if root else status(k.proc.pid)["Gid"].split()[0])] * 4,
              f"{name}: all four gids")
        if root:
            check(s["Groups"].strip() == "", f"{name}: no groups")
        for cap in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            check(int(s[cap], 16) == 0, f"{name}: {cap} is empty")
        # the resolver is not the keeper's to hold back: it makes sockets
        check(s["Seccomp"] == ("2" if SEALED and name not in ("broker", "resolver") else "0"),
              f"{name}: the keeper's filter, or none")
        check(int(s["PPid"]) == k.proc.pid, f"{name}: the keeper's child")
        check(s["NoNewPrivs"] == ("0" if name == "broker" else "1"),
              f"{name}: no_new_privs as the keeper had it then")
        for kind in "user pid net mnt ipc uts cgroup".split():
            mine = ns(pid, kind) != ns(k.proc.pid, kind)
            check(mine == (kind in own[name].split()), f"{name}: {kind} namespace")
        # the broker has been given policy, channels and logs since it began
        def right(got):
            extra = {n for n, t in got.items() if n not in want[name]
                     and "eventpoll" not in t and name != "broker"}
            return want[name] <= set(got) and not extra
        try:
            got = fds_at_rest(pid, right)
        except PermissionError:
            check(False, f"{name}: fds can be seen")
            continue
        check(right(got), f"{name}: fds are {sorted(want[name])}, not {got}")
        check(all(is_null(pid, n) for n in (0, 1, 2)), f"{name}: 0, 1 and 2 are /dev/null")
        with open(f"/proc/{pid}/environ", "rb") as f:
            check(f.read() == b"", f"{name}: the environment is empty")
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            argv = f.read().split(b"\0")[:-1]
        check(argv == [b"sallyport-" + name.encode(), b"0"] +
              ([b"audit.jsonl", os.path.join(k.where, "log").encode()]
               if name == "recorder" else []), f"{name}: argv is {argv}")
        if name == "resolver":
            check(got.get(4, "").endswith("/ca.pem"), f"{name}: holds the CA bundle: {got.get(4)}")
        if name in ("frame", "inspector") and SEALED:
            with open(f"/proc/{pid}/mountinfo") as f:
                mounts = f.read().splitlines()
            check(len(mounts) == 1 and " ro," in mounts[0] and "nr_inodes=2" in mounts[0],
                  f"{name}: one mount, read-only, without room: {mounts}")
            check(os.listdir(f"/proc/{pid}/root") == [], f"{name}: its root is empty")
            check(s["NSpid"].split()[-1] == "1", f"{name}: pid 1 of its own")


def keeper_looks(k):
    s = status(k.proc.pid)
    check(s["Seccomp"] == ("2" if SEALED else "0") and s["NoNewPrivs"] == "1", "keeper: sealed")
    keep = 0 if as_user else 1 << 6 | 1 << 7 | 1 << 31     # SETGID, SETUID, SETFCAP
    check(int(s["CapEff"], 16) & ~keep == 0, f"keeper: capabilities {s['CapEff']}")


def nursery_looks(k):
    """What the resolver is started by: no filter, and nothing to use its absence for."""
    pid = k.nursery()
    check(pid is not None, "the nursery is there")
    s = status(pid)
    keep = 0 if as_user else 1 << 6 | 1 << 7               # SETGID, SETUID
    check(int(s["CapPrm"], 16) & ~keep == 0 and s["NoNewPrivs"] == "1",
          f"nursery: capabilities {s['CapPrm']}")
    if os.geteuid() == 0:
        def right(got):
            return set(got) == {0, 1, 2, 3, 4, 5} and got[3].startswith("socket:") and \
                got[4].endswith("/sallyport-resolver") and got[5].endswith("/ca.pem")
        got = fds_at_rest(pid, right)
        check(right(got), f"nursery: fds are {got}")


def test_usual(where):
    k = Keeper(where)
    check(k.up(), "the set comes up")
    if os.geteuid() == 0:
        rooms_look(k)
    keeper_looks(k)
    nursery_looks(k)
    pids = [k.room(n) for n in LIVE] + [k.nursery()]
    k.send(FINISH)
    kind, data = k.recv()
    check(kind == DOWN, "FINISH is answered by DOWN")
    if kind == DOWN:
        f = SUMMARY.unpack(data)
        check(f[3:8] == (3, 2, 1000, 2000, 4) and f[8] == 0, f"the summary passes: {f}")
    check(k.wait() == 0, "exit 0")
    check(gone(pids), "nobody is left")
    check(not any(os.path.exists(f"/proc/{p}") for p in pids), "not even as a zombie")
    check(k.text() == "", f"no message: {k.text()!r}")


def test_restart(where):
    k = Keeper(where)
    k.up()
    for name in LIVE[1:]:
        old = k.room(name)
        began = time.time()
        os.kill(old, signal.SIGKILL)
        new = old
        while new in (old, None) and time.time() - began < 5:
            new = k.room(name)
            time.sleep(0.01)
        took = time.time() - began
        check(new not in (old, None), f"{name}: started again")
        check(0.08 < took < 1, f"{name}: after the back-off, {took * 1000:.0f} ms")
        time.sleep(0.05)
        check(k.room(name) == new, f"{name}: and stays")
    k.send(FINISH)
    check(k.recv()[0] == DOWN and k.wait() == 0, "and ended in order")


def test_broker_dies(where):
    k = Keeper(where)
    k.up()
    pids = [k.room(n) for n in LIVE] + [k.nursery()]
    os.kill(pids[0], signal.SIGKILL)
    kind, data = k.recv()
    check(kind == DOWN and SUMMARY.unpack(data)[8] == 1, "broker killed: DOWN, failed")
    check(k.wait() == 1, "exit 1")
    check(gone(pids), "nobody is left")


def test_keeper_dies(where):
    k = Keeper(where)
    k.up()
    pids = [k.room(n) for n in LIVE] + [k.nursery()]
    k.proc.kill()
    k.wait()
    check(gone(pids), "keeper killed: nobody is left")


def test_command_dies(where):
    k = Keeper(where)
    k.up()
    pids = [k.room(n) for n in LIVE] + [k.nursery()]
    k.chan.close()
    check(k.wait() == 0, "the command hung up: the keeper ends")
    check(gone(pids), "and nobody is left")


def test_nursery_dies(where):
    """Then no resolver can be started; the rest goes on and ends in order."""
    k = Keeper(where)
    k.up()
    old = k.room("resolver")
    os.kill(k.nursery(), signal.SIGKILL)
    os.kill(old, signal.SIGKILL)
    check(k.says("no resolver: E"), "nursery killed: the broker is told")
    time.sleep(2.5)
    tries = k.text().count("no resolver: E")
    check(2 <= tries <= 6, f"and asks again ever more slowly: {tries} times")
    check(k.text().count("resolver cannot be started") == 1 and "sp-nursery is gone" in k.text(),
          f"and what to do is said, once: {k.text()!r}")
    check(k.room("frame") is not None, "the frame lives")
    pids = [k.room(n) for n in LIVE if n != "resolver"]
    k.send(FINISH)
    check(k.recv()[0] == DOWN and k.wait() == 0 and gone(pids), "and all ends in order")


def test_missing(where):
    """Programs that only names need: the rest comes up without them, and it is said."""
    names = [os.path.join(where, f"sallyport-{n}") for n in ("resolver", "inspector")]
    for name in names:
        os.rename(name, name + ".away")
    try:
        k = Keeper(where)
        check(k.up(), "no resolver and no inspector installed: it comes up")
        for n in ("resolver", "inspector"):
            check(f"sallyport-{n} cannot be started (No such file" in k.text(), f"{n}: it is said")
            check(k.says(f"no {n}: ENOENT"), f"{n}: the broker is told")
        time.sleep(0.5)
        check(k.text().count("install it") == k.text().count("ENOENT") == 2, f"once: {k.text()!r}")
        k.send(FINISH)
        check(k.recv()[0] == DOWN and k.wait() == 0, "and ends in order")
    finally:
        for name in names:
            os.rename(name + ".away", name)


def test_not_started(where):
    """A keeper that is short of something: the broker is told of each try, the operator
    of the first, and a later one succeeds. Then all that again."""
    k = Keeper(where)
    k.up()
    for name in LIVE[1:]:
        pid = k.room(name)
        k.descriptors(0)
        began = time.time()
        os.kill(pid, signal.SIGKILL)
        check(k.says(f"no {name}: EMFILE") and time.time() - began < 5,
              f"{name}: no descriptor for it, and the broker is told")
        check(k.says(f"no {name}: EMFILE", 3), f"{name}: and asks again")
        text = f"sallyport-{name} cannot be started (Too many open files)"
        check(k.text().count(text) == 1 and "raise the limit of open files" in k.text(),
              f"{name}: it is said once")
        k.descriptors(256)
        check(k.room(name) is not None, f"{name}: started when it can be")
    k.send(FINISH)
    check(k.recv()[0] == DOWN and k.wait() == 0, "and ended in order")


class Stranger:
    """A client of a stream's socket, and what it leaves in the queue: a connection
    whose close(2) takes an hour, for its peer does not read."""

    def __init__(self, path, leave):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.sock.settimeout(5)
        if not leave:
            return
        with socket.create_server(("127.0.0.1", 0)) as server:
            slow = socket.create_connection(server.getsockname())
            self.peer, _ = server.accept()
        slow.setblocking(False)
        try:
            while slow.send(b"x" * 65536):
                pass
        except BlockingIOError:
            pass
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
        socket.send_fds(self.sock, [b"?"], [slow.fileno()])
        slow.close()

    def ended(self):
        self.sock.settimeout(0.01)
        try:
            return self.sock.recv(1) == b""
        except TimeoutError:
            return False

    def close(self):
        self.sock.close()
        return self


def test_strangers(where):
    """Clients that leave a descriptor in the queue of the link whose close(2) sleeps:
    the keeper goes on at once, for those that come after them and at the end. They
    come before the keeper has told the kernel that it takes none."""
    path = os.path.join(where, "sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        os.chmod(path, 0o666)
        listener.listen(64)
        served = Stranger(path, True)
        keep = [served] + [Stranger(path, True).close() for _ in range(30)]
        waits = Stranger(path, False)
        k = Keeper(where, extra=("--link", "stream"), listener=listener)
        check(k.recv()[0] == UP, "thirty strangers, and the set comes up")
        first, began = k.room("frame"), time.time()
        check(waits.sock.recv(1) == b"", f"a client behind them is turned away after "
              f"{time.time() - began:.3f} s")
        served.close()
        began = time.time()
        client, frame = None, first
        while frame in (first, None) and time.time() - began < 5:
            if client is None or client.ended():    # the last one's end was not seen yet
                client = Stranger(path, False)
            frame = next((p for p in children(k.proc.pid) if comm(p) == "sallyport-frame"), None)
        took = time.time() - began
        check(frame not in (first, None) and took < 1, f"the next client is served after {took:.3f} s")
        try:
            check(listener.getsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS) == 0,
                  "and from now on the kernel takes no descriptor")
        except OSError:                 # before Linux 6.16
            pass
        base = len(LIVE) + 1            # and the nursery
        while len(children(k.proc.pid)) > base and time.time() - began < 5:
            time.sleep(0.02)
        check(len(children(k.proc.pid)) == base, "and no bearer is left")
        pids = [k.room(n) for n in LIVE] + [k.nursery()]
        client.close()
        began = time.time()
        k.send(FINISH)
        check(k.recv()[0] == DOWN and k.wait() == 0 and time.time() - began < 2,
              "and ended in order")
        check(gone(pids), "nobody is left")
        del keep
    os.unlink(path)


HOARD = """import os, socket, sys
ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
null = os.open("/dev/null", os.O_RDONLY)
for _ in range(int(sys.argv[1])):
    socket.send_fds(ends[0], [b"x"], [null])
print("held", flush=True)
sys.stdin.read()
"""


def test_in_flight(where):
    """Another program of the keeper's user holds as many descriptors in flight as the
    keeper may have open, or one less. The nursery is not left with half an order."""
    k = Keeper(where)
    k.up()
    with open(f"/proc/{k.nursery()}/limits") as f:
        limit = [line.split()[3:5] for line in f if line.startswith("Max open files")][0]
    check(limit[0] == limit[1], f"the nursery's limit is the hard one: {limit}")
    for held in (101, 100):
        with subprocess.Popen([*k.owner(), sys.executable, "-c", HOARD, str(held)], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as hoard:
            hoard.stdout.readline()
            pid, nursery = k.room("resolver"), k.nursery()
            told = k.text().count("no resolver: ETOOMANYREFS")
            k.descriptors(100)
            os.kill(nursery, signal.SIGSTOP)
            os.kill(pid, signal.SIGKILL)
            check(k.says("no resolver: ETOOMANYREFS", told + 1), f"{held} in flight: told so")
            os.kill(nursery, signal.SIGCONT)
            k.descriptors(256)
            hoard.stdin.close()
        new = k.room("resolver")
        check(new is not None and new != pid, "a resolver when it can be")
        got = fds_at_rest(new, lambda got: "pipe" in got.get(5, ""))
        check("socket" in got[3] and "pipe" in got[5], f"with its own two ends: {got}")
    check(k.text().count("holds its file descriptors in flight") == 2, "each said once")
    k.send(FINISH)
    check(k.recv()[0] == DOWN and k.wait() == 0, "and ended in order")


def test_not_executable(where):
    """Exec fails in the child: its death is told, as any, within moments."""
    names = ("resolver", "inspector")
    for name in names:
        os.chmod(os.path.join(where, f"sallyport-{name}"), 0o644)
    try:
        k = Keeper(where)
        check(k.up(), "a resolver and an inspector that cannot be executed: it comes up")
        for name in names:
            check(k.says(f"{name}: status 70", 2, 1), f"{name}: told, and tried again: {k.text()!r}")
    finally:
        for name in names:
            os.chmod(os.path.join(where, f"sallyport-{name}"), 0o755)
    check(k.room("resolver") is not None and k.room("inspector") is not None,
          "and started when they can be")
    k.send(FINISH)
    check(k.recv()[0] == DOWN and k.wait() == 0, "and ended in order")


def test_rules(where):
    for level, what in ((1, "an unknown type"), (2, "a role that it may not")):
        k = Keeper(where, level)
        k.link()
        kinds = [k.recv()[0]]
        if kinds == [UP]:
            kinds.append(k.recv()[0])
        check(kinds in ([FAILED], [UP, DOWN]), f"a broker that sends {what} ends the set: {kinds}")
        check(k.wait() == 1 and "broke the rules" in k.text(), "and it is said")


def test_options(where):
    exe = os.path.join(where, "sallyportd")
    for argv, words in ((["--one-guest"], "--policy and --audit"), (["--frob"], "unknown option"),
                        ([], "--one-guest only"),
                        (["--one-guest", "--mtu", "1"], "from 1280 to 65520"),
                        (["--one-guest", "--policy", "p", "--audit", "a", "--address",
                          "10.0.0.1/24"], "an address needs a gateway"),
                        (["--one-guest", "--upstream", "localhost"], "not an address"),
                        (["--one-guest", "--policy", "p", "--audit", "a", "--address",
                          "10.0.0.1/24", "--gateway", "10.0.0.2", "--ca-bundle", "/none"],
                         "--ca-bundle /none: No such"),
                        (["--one-guest", "--policy", "p", "--audit", "a", "--address",
                          "10.0.0.1/24", "--gateway", "10.0.0.2", "--ca-bundle", "/"],
                         "--ca-bundle /: not a file")):
        r = subprocess.run([exe, *argv], capture_output=True, text=True)
        check(r.returncode == 70 and words in r.stderr, f"{argv}: {r.stderr.strip()!r}")


def test_parser(where):
    """A parser that fails, hangs or dies ends the start with one message."""
    parser = os.path.join(where, "sallyport-parser")
    real = parser + ".real"
    os.rename(parser, real)
    try:
        for src, words in (("return 1;", ""), ("return 4;", "failed with status 4"),
                           ("raise(9);", "died of signal 9"), ("return 0;", "has 0 bytes")):
            with open(parser + ".c", "w") as f:
                f.write("#include <signal.h>\nint main(void) { %s }\n" % src)
            subprocess.run([os.environ.get("CC", "cc").split()[0], "-w", "-o", parser,
                            parser + ".c"], check=True)
            k = Keeper(where)
            check(k.recv()[0] == FAILED and k.wait() == 1 and words in k.text(),
                  f"a parser that does {src!r}: {k.text()!r}")
    finally:
        os.rename(real, parser)


def place():
    where = tempfile.mkdtemp(prefix="keeper.")
    os.chmod(where, 0o755)
    for name in ("sallyport", "sallyportd"):
        shutil.copy(os.path.join(BUILD, name), where)
    for name in ROOMS:
        shutil.copy(os.path.join(BUILD, "tests/system/standin"),
                    os.path.join(where, f"sallyport-{name}"))
    os.mkdir(os.path.join(where, "log"), 0o700)
    with open(os.path.join(where, "ca.pem"), "w") as f:
        f.write("CA\n")
    return where


def main():
    global as_user
    where = place()
    log = os.path.join(where, "log")
    tests = (test_usual, test_restart, test_broker_dies, test_keeper_dies,
             test_command_dies, test_nursery_dies, test_missing, test_not_started,
             test_in_flight, test_strangers, test_not_executable, test_rules, test_options, test_parser)
    try:
        for who in ([False, True] if os.geteuid() == 0 else [True]):
            as_user = who
            if who and os.geteuid() == 0:
                os.chown(log, USER, USER)
            for test in tests:
                print(f"# {test.__name__}, {'user' if who else 'root'}", flush=True)
                test(where)
    finally:
        shutil.rmtree(where, ignore_errors=True)
    sys.exit(1 if bad else 0)


main()
