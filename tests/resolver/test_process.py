#!/usr/bin/python3
"""The resolver as a process: its seal, its protocol, its end.

usage: test_process.py [TEST...]"""

import os
import signal
import struct
import sys
import time

sys.dont_write_bytecode = True
from dns import Server, honest  # noqa: E402
from drive import *  # noqa: E402

ZONE = {f"n{i}.test": {A: [f"198.18.{i // 250}.{i % 250}"]}
        for i in range(4000)}
GOOD = upstream("127.0.0.1", 53)


def status(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f)


def descriptors(pid):
    """Number and target of each; {} without the right to see them: a sealed
    process is not dumpable, and so its /proc is root's."""
    try:
        return {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}")
                for fd in os.listdir(f"/proc/{pid}/fd")}
    except PermissionError:
        assert os.geteuid() != 0
        return {}


def test_sealed(engine):
    with Server(honest(ZONE)) as s, Resolver(engine, [s.upstream()]) as r:
        r.ask("n1.test")
        st = status(r.pid)
        if not sanitized():
            assert st["Seccomp"].strip() == "2"
        assert st["NoNewPrivs"].strip() == "1"
        assert st["Threads"].strip() == "1"
        for cap in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(st[cap], 16) == 0, cap
        if os.geteuid() == 0:
            assert int(st["CapBnd"], 16) == 0
        links = descriptors(r.pid)
        if not links:
            return
        if not sanitized():
            assert [links[i] for i in range(3)] == ["/dev/null"] * 3
        rest = sorted(v.split(":")[0] for k, v in links.items() if k > 2)
        # the channel; the log, and the pipe that libevent makes for signals it
        # is never asked to handle; epoll. libunbound keeps a socket for reuse.
        assert rest in (["anon_inode"] + ["pipe"] * 3 + ["socket"] * n
                        for n in (1, 2)), links
        assert 4 not in links or "null" not in links[4]


def test_early_questions(engine):
    """They may be on their way before HELLO is."""
    with Server(honest(ZONE)) as s:
        r = Resolver(engine, [s.upstream()], start=False)
        idents = [r.send(f"n{i}.test") for i in range(50)]
        r.hello()
        got = {r.answer().id for _ in idents}
        assert got == set(idents)
        r.done()


def test_bad_config(engine):
    good = config([GOOD])

    def change(at, data):
        return good[:at] + data + good[at + len(data):]

    for conf in (good[:-1], good + b"\0", b"x", change(0, b"\xff"),
                 change(4, b"\1"), config([], 0), config([GOOD] * 8, 0, 9),
                 config([GOOD], 2), config([upstream("127.0.0.1", 0)]),
                 change(72, b"\7"), change(72, b"\0"), change(73, b"\1"),
                 change(92, b"\2"), config([GOOD], count=2),
                 config([GOOD], rotate=2), config([GOOD], tcp=2),
                 config([GOOD], patience=31), config([GOOD], zero=1),
                 config([GOOD], scopes=[1]),
                 config([upstream("127.0.0.1", 853, "a..b")]),
                 config([upstream("127.0.0.1", 853, "-")])):
        r = Resolver(engine, [], conf=conf, start=False)
        assert r.ends() == 70, f"{conf[:60]} is taken"
        assert "fatal" in r.words()


def test_violations(engine):
    good = ask(1, "n1.test")

    def change(at, data):
        return good[:at] + data + good[at + len(data):]

    with Server(honest(ZONE)) as s:
        for bad in (good[:-1], good + b"\0", b"x", change(0, b"\xff"),
                    config([GOOD]), change(4, b"\1"), change(16, b"\2"),
                    change(16, b"\x1d"), change(20, b"\1"),
                    ask(1, "N1.test"), ask(1, "n1.test."), ask(1, ""),
                    ask(1, "a b"), ask(1, "1.2.3.4"), ask(1, b"a\0b.test"),
                    change(24, struct.pack("=H", 6)), change(240, b"x"),
                    ask(1, "a" * 64 + ".test")):
            r = Resolver(engine, [s.upstream()])
            r.sock.send(bad)
            assert r.ends() == 70, f"{bad[:60]} is taken"
            assert "a message of the broker" in r.words()
        assert s.seen == []


def test_fd_is_a_violation(engine):
    import socket
    with Server(honest(ZONE)) as s:
        r = Resolver(engine, [s.upstream()])
        socket.send_fds(r.sock, [ask(1, "n1.test")], [0])
        assert r.ends() == 70


def test_broker_gone(engine):
    """It ends at once, whatever is open."""
    with Server(lambda q: None) as s:
        r = Resolver(engine, [s.upstream()])
        for i in range(100):
            r.send(f"n{i}.test")
        time.sleep(0.1)
        began = time.monotonic()
        r.done()
        assert time.monotonic() - began < 1


def test_gone_before_config(engine):
    r = Resolver(engine, [], conf=b"", start=False)
    r.sock.close()
    assert r.process.wait(5) in (0, 70)


def test_stopped(engine):
    """After a pause longer than everything there are answers all the same."""
    with Server(lambda q: None) as s, Resolver(engine, [s.upstream()]) as r:
        for i in range(20):
            r.send(f"n{i}.test")
        time.sleep(0.2)
        os.kill(r.pid, signal.SIGSTOP)
        time.sleep(TIMEOUT)
        os.kill(r.pid, signal.SIGCONT)
        began = time.monotonic()
        got = [r.answer() for _ in range(20)]
        assert time.monotonic() - began < 2
        assert {a.status for a in got} == {FAILED}


def test_no_leak(engine):
    """What was asked leaves neither sockets nor memory behind."""
    with Server(honest(ZONE)) as s, Resolver(engine, [s.upstream()]) as r:
        names = [(n, A) for n in ZONE]
        r.ask_all(names)
        r.ask_all([(n, AAAA) for n in ZONE])
        before = int(status(r.pid)["VmRSS"].split()[0])
        for _ in range(4):
            r.ask_all(names)
        after = int(status(r.pid)["VmRSS"].split()[0])
        fds = len(descriptors(r.pid))
        assert fds < 20, f"{fds} descriptors"
        if not sanitized():
            # Both level off in 100 000 names: the stub's heap at 14 MB (answers of
            # 7 KB that wait to be read), libunbound's caches at 41 MB.
            limit = (20 if engine == "stub" else 56) << 10
            assert after < limit, f"{before} kB, then {after} kB"


def test_silence_leaves_nothing(engine):
    with Server(lambda q: None) as s, Resolver(engine, [s.upstream()]) as r:
        got = r.ask_all([(n, A) for n in list(ZONE)[:1500]])
        assert {a.status for a in got.values()} == {FAILED}
        if engine == "stub":
            assert len(descriptors(r.pid)) < 20


if __name__ == "__main__":
    sys.exit(run([f for n, f in list(globals().items())
                  if n.startswith("test_")]))
