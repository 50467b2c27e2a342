"""What is in the log: every type of line against the schema, groups under
load, rotation, and what the recorder refuses."""

import errno
import json
import os
import re
import shutil
import stat
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drive import *

BARE = dict(proto=0, g_src=(None,), g_dst=(None,), h_src=(None,), h_dst=(None,),
            gen=0, pol=b"", rule=b"", loc=b"", tenant=b"", guest=b"")


def refused(message):
    """It ends the recorder, and leaves no trace."""
    directory = tempfile.mkdtemp()
    r = Recorder(directory)
    r.start(inst())
    r.send(open_(1, 1))
    r.wait_durable(1)
    r.send(message)
    assert r.receive() is None
    assert r.process.wait(5) == 0, (message[:16], r.words())
    assert "message of the broker" in r.words() or "channel" in r.words()
    path = os.path.join(directory, "audit.jsonl")
    validate(path)
    shutil.rmtree(directory)


def names():
    """Records with names: every member, the schema, a close at restart, and what
    was denied."""
    directory = tempfile.mkdtemp()
    path = os.path.join(directory, "audit.jsonl")
    r = Recorder(directory)
    who = inst()
    r.start(who)
    shown = dict(name=b"a.example", sni=b"b.example", assurance=2, ech=1,
                 alpn=b"h2,\x01\xff")
    dns = BARE | dict(tenant=b"t", guest=b"g", gen=1, pol=b"x" * 32)
    rows = [
        named(open_(1, 1), **shown),
        named(open_(2, 2), name=b"a.example", assurance=1),
        named(close(3, 1), **shown),
        named(deny(4), name=b"a.example", sni=b"c.example"),
        named(record(5, DNS, verdict=ALLOW, n=2, **dns), name=b"a.example",
              qtype=A, ttl=60, stripped=1, secure=1, chain=b"b.example c.example",
              ips=b"192.0.2.1 192.0.2.2"),
        named(record(6, DNS, verdict=DENY, reason=reason("NAME_NOT_ALLOWED"),
                     **dns), name=b"x.example", qtype=HTTPS, ttl=5),
        named(record(7, DENY_AGG, verdict=DENY, reason=reason("DNS_BUDGET"),
                     n=9, first=10**18, last=2 * 10**18, uniq=1,
                     **BARE | dict(tenant=b"t", guest=b"g")),
              name=b"x.example"),
        record(8, CHILD_DIED, signal=9, pid=5, **BARE | dict(
            gen=1, pol=b"x" * 32, detail=b"resolver: bad-answer")),
        named(open_(9, 3), **shown),
        record(10, CHILD_DIED, err=errno.EMFILE, **BARE | dict(
            gen=1, pol=b"x" * 32, detail=b"resolver: not-started")),
        named(open_(11, 4), chain=b"a.example b.example"),
    ]
    for row in rows:
        r.send(row)
    r.wait_durable(10)
    r.kill()
    r.done()
    r = Recorder(directory)
    r.start(inst())
    r.end()
    print(validate(path, "--denies", "11").strip())
    lines = []
    for name in sorted(os.listdir(directory)):
        if name.startswith("audit.jsonl") and not name.endswith("reserve"):
            with open(os.path.join(directory, name)) as f:
                lines += [json.loads(line) for line in f]
    by_rec = {d["rec"]: d for d in lines if "rec" in d and d["type"][:5] !=
              "audit"}
    assert by_rec[5]["chain"] == ["b.example", "c.example"]
    assert by_rec[5]["ips"] == ["192.0.2.1", "192.0.2.2"]
    assert (by_rec[5]["secure"], by_rec[5]["stripped"]) == (True, 1)
    assert by_rec[6]["qtype"] == "HTTPS" and "ips" not in by_rec[6]
    assert by_rec[10]["errno"] == "EMFILE" and "pid" not in by_rec[10]
    assert by_rec[8]["pid"] == 5 and "errno" not in by_rec[8]
    closed = [d for d in lines if d["type"] == "flow.close" and "rec" not in d]
    assert {d["flow"] for d in closed} == {2, 3, 4}
    fourth = next(d for d in closed if d["flow"] == 4)
    assert fourth["names"] == by_rec[11]["names"] == ["a.example", "b.example"]
    third = next(d for d in closed if d["flow"] == 3)
    for key in ("name", "sni", "alpn", "ech", "assurance"):
        assert third[key] == by_rec[9][key], key
    assert third["alpn"] == ["h2", "\x01\xff"]
    shutil.rmtree(directory)


def long_command():
    """The longest lines that a start can have, and what is no command line at all."""
    for words, n in (([b"\1" * 255], 1), ([b""] * 256, 256), ([b"\xff"] * 128, 128),
                     ([], 0)):
        directory = tempfile.mkdtemp()
        r = Recorder(directory)
        r.start(inst())
        r.send(start(1, words))
        r.send(load(2, b"\1" * 255))
        r.end(2)
        path = os.path.join(directory, "audit.jsonl")
        validate(path)
        with open(path, encoding="ascii") as f:
            line = [json.loads(line) for line in f][1]
        assert len(line.get("cmd", ())) == n and "cmd_cut" not in line, line
        shutil.rmtree(directory)
    for wrong in (dict(cmd_len=257), dict(cmd_len=3, chain=b"abc"), dict(cmd_cut=2),
                  dict(cmd_len=2 ** 32 - 1)):
        refused(named(record(2, DAEMON_START, **BARE), **wrong))
    refused(named(record(2, POLICY_LOAD, **BARE), ips=b"x" * 1024))
    refused(record(2, DAEMON_START, **BARE))
    refused(record(2, POLICY_LOAD, **BARE))
    for wrong in (dict(rcode=17), dict(tls=65536), dict(upstream_tls=2),
                  dict(upstream=("192.0.2.1", 53), ips=b"x" * 1024)):
        refused(named(record(2, DNS, proto=0), name=b"a.example", qtype=A, **wrong))


def dns_source():
    """Whose word an answer was."""
    directory = tempfile.mkdtemp()
    r = Recorder(directory)
    r.start(inst())
    rows = [answer(1, 0, more=dict(upstream=("192.0.2.53", 53), rcode=1), rtt=1500),
            answer(2, 0, more=dict(upstream=("2001:db8::53", 853), rcode=4,
                                   upstream_tls=1)),
            answer(3, 0, more=dict(upstream=("192.0.2.53", 53), rcode=14)),
            answer(4, 0, more=dict(upstream=("192.0.2.53", 53)))]
    for row in rows:
        r.send(row)
    r.end(len(rows))
    path = os.path.join(directory, "audit.jsonl")
    validate(path)
    with open(path, encoding="ascii") as f:
        lines = [json.loads(line) for line in f][1:]
    got = [[d.get(k) for k in ("upstream", "upstream_port", "upstream_tls", "rcode",
                               "rtt_ns")] for d in lines]
    assert got == [["192.0.2.53", 53, None, "NOERROR", 1500],
                   ["2001:db8::53", 853, True, "NXDOMAIN", None],
                   ["192.0.2.53", 53, None, "RCODE13", None],
                   ["192.0.2.53", 53, None, None, None]], got
    shutil.rmtree(directory)


def every_type():
    """With everything a record can hold, and with next to nothing."""
    directory = tempfile.mkdtemp()
    r = Recorder(directory)
    r.start(inst())
    full = dict(n=9, first=10**18, last=2 * 10**18, uniq=3, csrc=FRAME, err=111,
                pid=77, signal=31, status=1, detail=b'a"\\\x01\xff', up=1, down=2,
                rtt=5, conn=6)
    rows = [
        start(1, (b"sh", b"-c", b'echo "$1"\n\xff', b"", b"x" * 200), uid=0, cut=1,
              pid=5),
        load(2, b"/etc/p\"\n.conf", n=3),
        record(3, GUEST_ATTACH, **BARE | dict(tenant=b"t", guest=b"g",
                                              g_src=("10.0.2.100",), pid=7)),
        open_(4, 1, h_src=(None,), h_dst=(None,), rule=b"", loc=b""),
        open_(5, 2, **full),
        open_(6, 3, proto=UDP, g_src=("2001:db8::1", 9), g_dst=("2001:db8::2", 53),
              h_src=("2001:db8::3", 8), h_dst=("2001:db8::2", 53)),
        open_(7, 4, proto=ECHO, g_dst=("192.0.2.1",)),
        record(8, FLOW_DENY, 5, verdict=DENY, reason=DEFAULT_DENY, **full),
        record(9, FLOW_DENY, 0, verdict=DENY, reason=DEFAULT_DENY, proto=0),
        close(10, 1), close(11, 2, err=110, rtt=9, conn=12),
        record(12, FLOW_CLOSE, 3, reason=DONE, csrc=FRAME),
        record(13, FLOW_CLOSE, 4, reason=DONE, csrc=0),
        record(14, DENY_AGG, 0, reason=DEFAULT_DENY, verdict=DENY, **full),
        record(15, DENY_AGG, 0, reason=DEFAULT_DENY, **BARE | dict(
            n=4, csrc=FRAME, first=10**18, last=10**18, uniq=1)),
        record(16, LIMIT, 0, **BARE | dict(detail=b"conns", tenant=b"t", guest=b"g")),
        record(17, IPC_VIOLATION, 0, **full),
        record(18, FRAME_DIED, 0, **BARE | dict(signal=31, pid=9)),
        record(19, GUEST_DETACH, 0, **BARE),
        dial(20, 6), record(21, FLOW_DENY, 6, verdict=DENY,
                            reason=DEFAULT_DENY, conn=7),
        dial(22, 7, wants=1), open_(23, 7), close(24, 7),
        dial(25, 8), record(26, FLOW_CLOSE, 8, reason=DONE),
        open_(27, 9), live(28, 9, up=0, down=7, rtt=3), live(29, 9, up=5, down=8),
        close(30, 9),
        record(31, DAEMON_STOP, 0, **BARE),
    ]
    for row in rows:
        r.send(row)
    r.end(31)
    path = os.path.join(directory, "audit.jsonl")
    print(validate(path, "--denies", "16").strip())
    with open(path) as f:
        lines = [json.loads(line) for line in f]
    assert [d["seq"] for d in lines] == list(range(1, 33))
    with open(os.path.join(SRC, "configure.ac"), encoding="ascii") as f:
        version = re.search(r"AC_INIT\(\[[^]]+\], *\[([^]]+)\]", f.read()).group(1)
    assert lines[1]["version"] == version and lines[1]["uid"] == 0
    assert lines[1]["cmd"] == ["sh", "-c", 'echo "$1"\n\xff', "", "x" * 200]
    assert lines[1]["cmd_cut"] is True and lines[1]["pid"] == 5
    assert lines[2]["policy"] == '/etc/p"\n.conf'
    assert lines[2]["pol_text"] == "ab" * 32
    assert [(d["up"], d["down"]) for d in lines if d["type"] == "flow.live"] == \
        [(0, 7), (5, 8)]
    assert [d["wants"] for d in lines if d["type"] == "flow.dial"] == [
        "look", "proof", "look"]
    assert lines[21]["conn_ns"] == 7 and lines[20]["h_dst"] == "192.0.2.10"
    assert lines[5]["g_sp"] == 40002 and "g_sp" not in lines[7]
    assert lines[5]["detail"] == 'a"\\\x01\xff'
    assert lines[11]["errno"] == "ETIMEDOUT" and "errno" not in lines[10]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert os.listdir(directory) == ["audit.jsonl"]
    shutil.rmtree(directory)


def group_commit():
    """10 000 records as fast as they go; far fewer syncs than opens."""
    directory = tempfile.mkdtemp()
    r = Recorder(directory)
    r.start(inst())
    rows = [open_(i, i) if i <= 5000 else close(i, i - 5000)
            for i in range(1, 10001)]
    began = time.monotonic()
    acks = acked = 0
    r.sock.setblocking(False)
    sent = 0
    while acked < 10000:
        readable, writable, _ = select.select(
            [r.sock], [r.sock] if sent < 10000 else [], [], 5)
        assert readable or writable, r.words()
        if readable:
            kind, rec, _ = r.receive()
            assert kind == DURABLE and rec > acked, (kind, rec, acked)
            acks += 1
            acked = rec
        try:
            while writable and sent < 10000:
                r.sock.send(rows[sent])
                sent += 1
        except BlockingIOError:
            pass
    spent = time.monotonic() - began
    r.sock.setblocking(True)
    r.end(None)
    assert acks < 5000, f"{acks} acknowledgements: no groups"
    print(f"10 000 records in {spent:.2f} s, {acks} acknowledgements")
    validate(os.path.join(directory, "audit.jsonl"))
    shutil.rmtree(directory)


def closes_within_a_second():
    directory = tempfile.mkdtemp()
    r = Recorder(directory)
    r.start(inst())
    r.send(open_(1, 1))
    r.wait_durable(1)
    began = time.monotonic()
    r.send(close(2, 1))
    r.send(deny(3))
    r.wait_durable(3)
    spent = time.monotonic() - began
    assert .1 < spent < 1, spent
    r.end()
    shutil.rmtree(directory)


def async_says_so():
    """async: acknowledged when written, and the log says that it is not more."""
    directory = tempfile.mkdtemp()
    r = Recorder(directory)
    r.start(inst(), mode=ASYNC)
    began = time.monotonic()
    for i in range(1, 51):
        r.send(open_(i, i))
        r.wait_durable(i)
    r.end()
    print(f"50 one after the other in {time.monotonic() - began:.3f} s")
    with open(os.path.join(directory, "audit.jsonl")) as f:
        first = json.loads(f.readline())
    assert first["mode"] == "async" and first["durable"] is False, first
    validate(os.path.join(directory, "audit.jsonl"))
    shutil.rmtree(directory)


def rotation():
    """Segments are full but never beyond their size; opens live across them."""
    directory = tempfile.mkdtemp()
    me = inst()
    r = Recorder(directory)
    r.start(me, rotate=65536)
    rec = 0
    for i in range(1, 801):
        rec += 1
        r.send(open_(rec, i))
        if i > 300 and i % 2:
            rec += 1
            r.send(close(rec, i - 300))
    r.wait_durable(rec)
    r.kill()
    names = sorted(os.listdir(directory))
    assert len(names) > 8, names
    for name in names:
        assert os.stat(os.path.join(directory, name)).st_size <= 65536, name
    r = Recorder(directory)
    assert r.start(me, rotate=65536, resume=1) == rec
    for i in range(1, 801):
        if i > 500 or not i % 2:
            rec += 1
            r.send(close(rec, i))
    rec += 1
    r.send(record(rec, DAEMON_STOP))
    r.end(rec)
    path = os.path.join(directory, "audit.jsonl")
    print(validate(path).strip())
    with open(path) as f:
        assert "unknown-crash" not in [json.loads(line).get("reason")
                                       for line in f][2:]
    shutil.rmtree(directory)


def limit_of_size():
    """RLIMIT_FSIZE is a size for segments: no write is refused, nothing is lost."""
    most, count = 8 << 20, 19000
    directory = tempfile.mkdtemp()
    r = Recorder(directory, wrap=["prlimit", f"--fsize={most}:{most}"])
    r.start(inst(), rotate=256 << 20)
    for i in range(1, count + 1):
        r.send(deny(i))
        if i % 2000 == 0:
            r.wait_durable(i)
    r.end(count)
    names, lines = os.listdir(directory), 0
    assert len(segments(directory)) == 1, names
    for name in names:
        with open(os.path.join(directory, name), "rb") as f:
            text = f.read()
        assert len(text) <= most, name
        lines += text.count(b"\n")
    assert lines == count + 2, lines
    shutil.rmtree(directory)


def segments(directory):
    return sorted(n for n in os.listdir(directory)
                  if re.fullmatch(r"audit.jsonl[.][0-9]{12}", n))


def keep_some(**keep):
    """Flows of which one stays open over all segments. What is left, and why."""
    directory = tempfile.mkdtemp()
    path = os.path.join(directory, "audit.jsonl")
    me = inst()
    r = Recorder(directory)
    r.start(me, rotate=65536, **keep)
    rec = 1
    r.send(open_(rec, 100000))
    strangers = ["audit.jsonl.000000000001.gz", "audit.jsonl.x",
                 "audit.jsonl.000000000003", "audit.jsonl.000000000005",
                 "other.jsonl.000000000001"]
    for name in strangers:                  # not ours, whatever they are called
        with open(os.path.join(directory, name), "w") as f:
            f.write('{"v":2,"seq":999,"ts":"no"}\n' * 3)
    many = [f"audit.jsonl.{900000 - i:012}" for i in range(300)]
    for name in many:                       # more than fit into a page
        open(os.path.join(directory, name), "w").close()
    os.rename(os.path.join(directory, strangers[3]), path + ".d")
    os.symlink("audit.jsonl.d", os.path.join(directory, strangers[3]))
    for i in range(1, 1201):
        rec += 2
        r.send(open_(rec - 1, i))
        r.send(close(rec, i))
    r.wait_durable(rec)
    left = [n for n in segments(directory) if n not in strangers + many]
    sizes = [os.stat(os.path.join(directory, n)).st_size for n in left]
    lines = [json.loads(line) for n in left + ["audit.jsonl"]
             for line in open(os.path.join(directory, n))]
    gone = [x for x in lines if x["type"] == "audit.remove"]
    assert set(strangers + many) - set(os.listdir(directory)) == set(), \
        os.listdir(directory)
    # the newest are there, without a hole, and the last removal says up to where
    seqs = [x["seq"] for x in lines]
    assert seqs == list(range(seqs[0], seqs[-1] + 1))
    assert gone[-1]["last_seq"] == seqs[0] - 1, (gone[-1], seqs[0])
    assert all(a["last_seq"] + 1 == b["first_seq"]
               for a, b in zip(gone, gone[1:]))
    # killed, and another daemon: what was opened in a removed one has no close
    r.kill()
    for name in strangers + many:
        os.unlink(os.path.join(directory, name))
    os.unlink(path + ".d")
    r = Recorder(directory)
    r.start(inst(), rotate=65536, **keep)
    r.send(record(1, DAEMON_STOP))
    r.end(1)
    print(validate(path).strip())
    shutil.rmtree(directory)
    return left, sizes


def keep_number():
    """The oldest finished files go when there are more than so many, no other's."""
    for n in 5, 1:          # strangers that look like it do not count
        left, _ = keep_some(keep_files=n)
        assert len(left) == n, left


def keep_size():
    left, sizes = keep_some(keep_bytes=200000)
    assert 2 <= len(left) and sum(sizes) <= 200000, (left, sizes)


def keep_all():
    directory = tempfile.mkdtemp()
    r = Recorder(directory)
    r.start(inst(), rotate=65536)
    for i in range(1, 601):
        r.send(open_(2 * i - 1, i))
        r.send(close(2 * i, i))
    r.wait_durable(1200)
    names = segments(directory)
    assert len(names) > 6 and names[0].endswith(".000000000001"), names
    r.kill()
    shutil.rmtree(directory)


def keep_crash():
    """A flow that was opened in a file that is gone: the daemon dies, and what is
    left is read on."""
    directory = tempfile.mkdtemp()
    r = Recorder(directory)
    r.start(inst(), rotate=65536, keep_files=2)
    r.send(open_(1, 100000))
    for i in range(1, 401):
        r.send(open_(2 * i, i))
        r.send(close(2 * i + 1, i))
    r.send(open_(802, 500))
    r.wait_durable(802)
    r.kill()
    r = Recorder(directory)
    r.start(inst(), rotate=65536, keep_files=2)
    r.send(record(1, DAEMON_STOP))
    r.end(1)
    path = os.path.join(directory, "audit.jsonl")
    closed = [json.loads(line)["flow"] for n in segments(directory) +
              ["audit.jsonl"] for line in open(os.path.join(directory, n))
              if "unknown-crash" in line and "flow.close" in line]
    assert closed == [500], closed
    print(validate(path).strip())
    shutil.rmtree(directory)


def fails(directory, words, name="audit.jsonl"):
    r = Recorder(directory, name)
    assert r.receive() is None, "it greets"
    assert r.process.wait(5) == 70
    assert words in r.words(), r.words()
    r.done()


def hostile_directory():
    directory = tempfile.mkdtemp()
    path = os.path.join(directory, "audit.jsonl")
    victim = os.path.join(directory, "victim")
    with open(victim, "w") as f:
        f.write("precious\n")
    os.symlink("victim", path)
    fails(directory, "symbolic link")
    os.unlink(path)
    os.mkfifo(path)
    fails(directory, "not a regular file")
    os.unlink(path)
    os.link(victim, path)
    fails(directory, "have one name")
    os.unlink(path)
    os.mkdir(path)
    fails(directory, "not a regular file")
    os.rmdir(path)
    for name in ("..", ".", "", "a/b", "x" * 250):
        fails(directory, "cannot be the name", name)
    os.chmod(directory, 0o777)
    fails(directory, "writable by everybody")
    os.chmod(directory, 0o700)
    # the reserve's name is taken by a link: no flow, and the link is not followed
    os.symlink("victim", path + ".reserve")
    r = Recorder(directory)
    r.start(inst())
    assert r.receive()[0] == FAILED
    r.kill()
    with open(victim) as f:
        assert f.read() == "precious\n"
    shutil.rmtree(directory)


def not_a_log():
    directory = tempfile.mkdtemp()
    path = os.path.join(directory, "audit.jsonl")
    with open(path, "w") as f:
        f.write("dear diary\n")
    os.chmod(path, 0o600)
    r = Recorder(directory)
    assert r.expect(HELLO)
    r.send(struct.pack("=IIQ16sIIQQQ", START, 0, 0, inst(), 0, 0, 0, 0, 0))
    assert r.receive() is None and r.process.wait(5) == 70
    assert "is not an audit log" in r.words()
    with open(path) as f:
        assert f.read() == "dear diary\n"
    shutil.rmtree(directory)


def one_writer():
    directory = tempfile.mkdtemp()
    r = Recorder(directory)
    r.start(inst())
    fails(directory, "another Sallyport writes to it")
    s = Recorder(directory, "other.jsonl")      # its neighbour is not disturbed
    s.start(inst())
    s.end()
    r.end()
    shutil.rmtree(directory)


def nonsense():
    """A broker that breaks the rules is a dead broker: closed, exit 0."""
    head = struct.pack("=IIQ", WRITE, 0, 2)
    bad = [head, b"x", open_(2, 2) + b"x", struct.pack("=IIQ", 999, 0, 0),
           struct.pack("=IIQ16sIIQQQ", START, 0, 0, inst(), 0, 0, 0, 0, 0),
           record(2, 99), record(2, FLOW_OPEN, 2, reason=9999),
           record(2, FLOW_OPEN, 2, tenant=b"t" * 64), b"\0" * 4000]
    for message in bad:
        refused(message)


def proc_of_it():
    """What the kernel says of the running recorder."""
    directory = tempfile.mkdtemp()
    r = Recorder(directory)
    r.start(inst())
    with open(f"/proc/{r.process.pid}/status") as f:
        status = dict(line.split(":\t", 1) for line in f if ":\t" in line)
    for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert key == "CapBnd" and os.geteuid() != 0 or \
            int(status[key], 16) == 0, (key, status[key])
    assert status["NoNewPrivs"].strip() == "1"
    if "SANITIZE 1" not in open(os.path.join(BUILD, "config.h")).read():
        assert status["Seccomp"].strip() == "2", status["Seccomp"]
    fds = set(os.listdir(f"/proc/{r.process.pid}/fd")) if os.geteuid() == 0 else None
    assert fds is None or fds == set("01234567"), fds
    r.end()
    shutil.rmtree(directory)


run([every_type, long_command, dns_source, names, group_commit, closes_within_a_second, async_says_so,
     rotation, limit_of_size, keep_all, keep_number, keep_size, keep_crash,
     hostile_directory, not_a_log, one_writer, nonsense, proc_of_it])
