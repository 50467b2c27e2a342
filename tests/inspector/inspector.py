#!/usr/bin/env python3
"""The real inspector, sealed, as the broker sees it: hellos that OpenSSL and others
make, garbage on its channel, and a system call that it never makes.

usage: inspector.py [--time N]    (how long N hellos take)
"""

import ctypes, os, random, resource, shutil, signal, socket, ssl, struct, subprocess
import sys, threading, time

BUILD = os.environ.get("builddir", ".")
PROGRAM = os.path.join(BUILD, "sallyport-inspector")
FLIGHT, HELLO, RESULT = 500, 530, 531
TLS, HTTP, EITHER = 1, 2, 3
NAMED, NAMELESS, BAD, ALIEN = 1, 2, 3, 4
with open(os.path.join(BUILD, "config.h")) as f:
    SEALED = "#define SANITIZE 1" not in f.read()
bad = 0


def check(ok, what):
    global bad
    if not ok:
        bad += 1
    print(("ok   " if ok else "FAIL ") + what, flush=True)


class Inspector:
    def __init__(self):
        self.chan, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)       # as the keeper makes them
        self.log, log = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                null = os.open("/dev/null", os.O_RDWR)
                high = [fcntl_dup(fd) for fd in (theirs.fileno(), log)]
                for n in (0, 1, 2):
                    os.dup2(null, n)
                os.dup2(high[0], 3)
                os.dup2(high[1], 5)
                os.close(4)
                os.closerange(6, 4096)
                os.execve(PROGRAM, ["sallyport-inspector", "2"], {})
            finally:
                os._exit(99)
        os.close(log)
        theirs.close()
        self.chan.settimeout(20)
        self.id = 0
        self.hello = self.chan.recv(4096)

    def ask(self, kind, flight):
        self.id += 1
        self.chan.send(struct.pack("<IIQII", FLIGHT, 0, self.id, kind, len(flight)) + flight)
        data = self.chan.recv(4096)
        (kind_, zero, number, status, ech, self.kind, self.hint, self.tls, zero2,
         size) = struct.unpack_from("<IIQ6IH", data)
        if (kind_, zero | zero2, number, len(data)) != (RESULT, 0, self.id,
                                                       16 + 24 + 256 + 64):
            raise AssertionError(f"a strange answer: {data!r}")
        if self.kind != kind != EITHER:
            raise AssertionError(f"asked for {kind}, read as {self.kind}")
        name = data[42:42 + 254]
        if name[size:].strip(b"\0"):
            raise AssertionError("the name is not NUL-filled")
        return status, name[:size].decode(), data[296:].split(b"\0")[0].decode(), ech

    def end(self):
        """Its wait status."""
        self.chan.close()
        return self.wait()

    def wait(self, seconds=10):
        end = time.time() + seconds
        while time.time() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return status
            time.sleep(0.002)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return None

    def text(self):
        return os.read(self.log, 4096).decode()

    def status(self):
        with open(f"/proc/{self.pid}/status") as f:
            return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)

    def fds(self):
        return sorted(int(n) for n in os.listdir(f"/proc/{self.pid}/fd"))


def fcntl_dup(fd):
    import fcntl
    return fcntl.fcntl(fd, fcntl.F_DUPFD, 100)


def memory_hello(host, alpn=None, low=None, high=None):
    """What Python's ssl would send first."""
    c = ssl.create_default_context()
    if alpn:
        c.set_alpn_protocols(alpn)
    if low:
        c.minimum_version = low
    if high:
        c.maximum_version = high
    if host is None:
        c.check_hostname = False
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        c.wrap_bio(into, out, server_hostname=host).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def sent_by(*argv):
    """The first bytes that a client sends to a server which says nothing."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(10)
    port = str(server.getsockname()[1])
    argv = [a.replace("PORT", port) for a in argv]
    proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    try:
        conn, _ = server.accept()
        with conn:
            conn.settimeout(10)
            data = conn.recv(65536)
            conn.settimeout(0.05)
            try:
                data += conn.recv(65536)
            except socket.timeout:
                pass
        return data
    finally:
        server.close()
        proc.kill()
        proc.wait()


def records(hello):
    """The handshake of a flight, without its records."""
    out = b""
    while hello:
        kind, size = hello[0], struct.unpack_from(">H", hello, 3)[0]
        if kind != 22:
            break
        out += hello[5:5 + size]
        hello = hello[5 + size:]
    return out


def split(hello, rng):
    out, rest = b"", records(hello)
    while rest:
        n = rng.choice((1, 2, 3, 7, 40, 200, len(rest)))
        part, rest = rest[:n], rest[n:]
        out += b"\x16\x03\x03" + struct.pack(">H", len(part)) + part
    return out


def test_hellos(i):
    rng = random.Random(1)
    for host, want in (("www.example.org", (NAMED, "www.example.org")),
                       ("WWW.Example.ORG", (NAMED, "www.example.org")),
                       ("xn--bcher-kva.example", (NAMED, "xn--bcher-kva.example")),
                       ("a_b.c-d.example", (NAMED, "a_b.c-d.example")),
                       (".".join(["a" * 49] * 5), (NAMED, ".".join(["a" * 49] * 5))),
                       ("192.0.2.1", (NAMELESS, "")),      # it is not sent
                       (None, (NAMELESS, ""))):
        for low, high in ((None, None), (None, ssl.TLSVersion.TLSv1_2),
                          (ssl.TLSVersion.TLSv1_3, None)):
            for alpn in (None, ["h2", "http/1.1"]):
                hello = memory_hello(host, alpn, low, high)
                want_all = (*want, ",".join(alpn or []), 0)
                ok = i.ask(TLS, hello) == want_all
                ok &= i.tls == (0x303 if high else 0x304)
                ok &= all(i.ask(TLS, split(hello, rng)) == want_all for _ in range(20))
                ok &= all(i.ask(TLS, hello[:n]) == (BAD, "", "", 0)
                          for n in range(1, len(hello)))
                check(ok, f"python: {host and host[:30]}, {high or low or 'any'}, {alpn}")


def test_clients(i):
    s_client = ("openssl", "s_client", "-connect", "127.0.0.1:PORT")
    curl = ("curl", "-sk", "--max-time", "5", "--resolve", "www.example.org:PORT:127.0.0.1")
    node = "require('tls').connect({port: PORT, host: '127.0.0.1', " \
           "servername: 'www.example.org', ALPNProtocols: ['h2']})"
    for what, argv, want in (
            ("s_client", (*s_client, "-servername", "www.example.org"), (NAMED, "")),
            ("s_client -tls1_2", (*s_client, "-servername", "www.example.org", "-tls1_2"),
             (NAMED, "")),
            ("s_client -alpn", (*s_client, "-servername", "www.example.org", "-alpn",
                                "h2,http/1.1"), (NAMED, "h2,http/1.1")),
            ("s_client -noservername", (*s_client, "-noservername"), (NAMELESS, "")),
            ("s_client, a dot at the end", (*s_client, "-servername", "www.example.org."),
             (BAD, "")),
            ("s_client, an address", (*s_client, "-servername", "127.0.0.1"), (BAD, "")),
            ("s_client, no name", (*s_client, "-servername", "www.example.org/x"), (BAD, "")),
            ("curl", (*curl, "https://www.example.org:PORT/"), (NAMED, "h2,http/1.1")),
            ("curl --http1.1", (*curl, "--http1.1", "https://www.example.org:PORT/"),
             (NAMED, "http/1.1")),
            ("curl to an address", ("curl", "-sk", "https://127.0.0.1:PORT/"),
             (NAMELESS, "h2,http/1.1")),
            ("node", ("node", "-e", node), (NAMED, "h2"))):
        if shutil.which(argv[0]) is None:
            print(f"skip {what}")
            continue
        name = "www.example.org" if want[0] == NAMED else ""
        got = i.ask(TLS, sent_by(*argv))
        check(got == (want[0], name, want[1], 0), f"{what}: {got}")
    for what, argv, want in (
            ("curl", (*curl, "http://www.example.org:PORT/"), NAMED),
            ("curl, a post", (*curl, "-d", "a=b", "http://www.example.org:PORT/"), NAMED),
            ("curl through a proxy", ("curl", "-s", "-x", "http://127.0.0.1:PORT",
                                      "http://www.example.org/"), NAMED),
            ("curl's CONNECT", ("curl", "-s", "-x", "http://127.0.0.1:PORT",
                                "https://www.example.org/"), BAD),
            ("curl, HTTP/2 at once", (*curl, "--http2-prior-knowledge",
                                      "http://www.example.org:PORT/"), BAD),
            ("curl to an address", ("curl", "-s", "http://127.0.0.1:PORT/"), BAD),
            ("wget", ("wget", "-qO-", "-t1", "--header=Host: www.example.org",
                      "http://127.0.0.1:PORT/"), NAMED)):
        if shutil.which(argv[0]) is None:
            print(f"skip {what}")
            continue
        got = i.ask(HTTP, sent_by(*argv))
        check(got[:2] == (want, "www.example.org" if want == NAMED else ""),
              f"http, {what}: {got}")


def test_either(i):
    hello = memory_hello("www.example.org", None, None, None)
    head = b"GET / HTTP/1.1\r\nHost: www.example.org\r\n\r\n"
    for what, flight, kind, status in (
            ("a hello", hello, TLS, NAMED), ("a request", head, HTTP, NAMED),
            ("a cut hello", hello[:-1], TLS, BAD), ("a cut request", head[:-1], HTTP, BAD),
            ("a request behind a hello's first byte", b"\x16" + head, TLS, ALIEN),
            ("an empty line and a hello", b"\r\n" + hello, HTTP, ALIEN),
            ("something else", b"SSH-2.0-x\r\n", HTTP, ALIEN)):
        got = i.ask(EITHER, flight)
        check((i.kind, got[0]) == (kind, status), f"either: {what}: {i.kind} {got}")


def message(kind=FLIGHT, number=1, what=TLS, size=None, body=b"x"):
    return struct.pack("<IIQII", kind, 0, number, what, len(body) if size is None else size) + body


def test_garbage():
    for what, data in (("one byte", b"x"), ("an empty head", bytes(16)),
                       ("another type", message(FLIGHT + 1)),
                       ("its own type", message(RESULT)),
                       ("no byte of a flight", message(body=b"")),
                       ("a byte less", message(size=2)), ("a byte more", message(size=0)),
                       ("a length that wraps", message(size=0xffffffff)),
                       ("16 KiB + 1", message(body=bytes(16385))),
                       ("60 KiB", message(size=16384, body=bytes(60000))),
                       ("padding", b"\xf4\1\0\0\1" + message()[5:]),
                       ("no such kind", message(what=4)), ("kind 0", message(what=0)),
                       ("random bytes", random.Random(2).randbytes(500))):
        i = Inspector()
        i.chan.send(data)
        status = i.wait()
        check(status == 70 << 8 and "a message of the broker: " in i.text(),
              f"{what}: it ends: {status}")
        try:
            left = i.chan.recv(4096)
        except ConnectionResetError:
            left = b""
        check(left == b"", f"{what}: and answers nothing")
        i.chan.close()
    i = Inspector()
    check(i.end() == 0, "the broker hung up: exit 0")


def test_looks(i):
    build = [w for w in open(os.path.join(BUILD, "config.h")) if "BUILD_ID" in w][0]
    check(struct.unpack_from("<IIQII", i.hello)[0] == HELLO and len(i.hello) == 56 and
          build.split('"')[1].encode() in i.hello, "it greets")
    s = i.status()
    check(s["Name"] == "sp-inspector", "its name in ps")
    if SEALED:
        check(s["Seccomp"] == "2", "sealed")
    check(s["NoNewPrivs"] == "1" and s["Threads"] == "1", "no new privileges, one thread")
    for cap in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        if os.geteuid() == 0 or cap != "CapBnd":
            check(int(s[cap], 16) == 0, f"{cap} is empty")
    with open(f"/proc/{i.pid}/limits") as f:
        limits = {line[:26].strip(): line[26:].split()[:2] for line in f}
    for what, most in (("Max core file size", "0"), ("Max file size", "0"),
                       ("Max processes", "0"), ("Max open files", "5")):
        check(limits[what] == [most, most], f"{what}: {limits[what]}")
    if os.geteuid() == 0:
        before = i.fds()
        check(before == [0, 1, 2, 3, 5], f"fds: {before}")
        hello = memory_hello("www.example.org")
        socket.send_fds(i.chan, [message(body=hello)], [0, 1, 2])
        i.chan.recv(4096)
        check(i.fds() == before, "an fd that is sent along does not come in")


def inject(pid, nr):
    """Makes a process that waits in a system call do another one. x86-64."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    regs = (ctypes.c_ulonglong * 27)()
    attach, getregs, setregs, detach = 16, 12, 13, 17
    if libc.ptrace(attach, pid, None, None) == -1:
        return False
    os.waitpid(pid, 0)
    if libc.ptrace(getregs, pid, None, ctypes.addressof(regs)) == -1:
        return False
    regs[16] -= 2                               # rip: the syscall instruction again
    regs[10] = nr                               # rax
    regs[15] = ctypes.c_ulonglong(-1).value     # orig_rax: nothing is restarted
    libc.ptrace(setregs, pid, None, ctypes.addressof(regs))
    return libc.ptrace(detach, pid, None, None) == 0


def waits(pid, seconds=10):
    """Until it is in read(2) of its channel: it has sealed itself, and waits."""
    end = time.time() + seconds
    while time.time() < end:
        with open(f"/proc/{pid}/syscall") as f:
            if f.read().startswith("0 0x3 "):
                return
        time.sleep(0.002)
    raise AssertionError("it does not come to wait for a message")


def test_another_call():
    if not SEALED or os.uname().machine != "x86_64":
        return
    for nr, what in ((39, "getpid"), (41, "socket"), (9, "mmap"), (231, "exit_group")):
        i = Inspector()
        waits(i.pid)
        if not inject(i.pid, nr):
            print("skip another call: it cannot be traced")
            i.end()
            return
        status = i.wait()
        want = "it ends" if nr == 231 else "SIGSYS"
        check(status is not None and (os.WTERMSIG(status) == signal.SIGSYS) == (nr != 231),
              f"{what}: {want}: {status}")
        i.chan.close()


def timing(i, n):
    hello = memory_hello("www.example.org", ["h2", "http/1.1"])
    data = message(body=hello)
    for _ in range(1000):
        i.chan.send(data)
        i.chan.recv(4096)
    times = []
    for _ in range(n):
        began = time.perf_counter_ns()
        i.chan.send(data)
        i.chan.recv(4096)
        times.append(time.perf_counter_ns() - began)
    times.sort()
    s = i.status()
    print(f"{len(hello)} bytes, there and back: median {times[n // 2] / 1000:.1f} us, 99 % "
          f"{times[n * 99 // 100] / 1000:.1f} us; {s['VmSize'].strip()} mapped, "
          f"{s['RssAnon'].strip()} its own")


def main():
    i = Inspector()
    if len(sys.argv) == 3:
        return timing(i, int(sys.argv[2]))
    test_looks(i)
    test_hellos(i)
    test_clients(i)
    timing(i, 2000)
    check(i.end() == 0, "the one that did all this ends in order")
    test_garbage()
    test_another_call()
    sys.exit(1 if bad else 0)


main()
