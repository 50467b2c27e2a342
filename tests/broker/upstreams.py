#!/usr/bin/python3
"""Upstreams of the host that change, against the real broker: another resolver takes
the place of the one there is, and no question is lost or answered twice.

usage: upstreams.py [TEST...]     (BROKER=program; default ./broker-double)
"""

import errno
import os
import sys
import time

sys.dont_write_bytecode = True
from rig import *  # noqa: E402
from names import bench, listener, resolve, world, NAMED_NET  # noqa: E402

OLD, NEW = "192.0.2.1", "192.0.2.2"
HERE = {"upstreams": 0, "upstream": [(OLD, 53)]}


def killed(b, r):
    """The broker has it ended; it is gone."""
    b.wait(lambda: (ROLE_RESOLVER, 0) in b.kills)
    b.kills.remove((ROLE_RESOLVER, 0))
    r.gone()


def changes(b):
    return [r.detail for r in b.of("resolver.change")]


def idle(b):
    b.settle()
    assert (ROLE_RESOLVER, 0) not in b.spawned + b.kills


@needs(**HERE)
def test_first_record(b):
    """Whom names are asked of is in the log from the beginning."""
    b.resolver(), b.inspector()
    b.settle()
    assert [r.type for r in b.records[:3]] == [
        "daemon.start", "policy.load", "resolver.change"]
    assert changes(b) == [OLD]


def test_no_record(b):
    """The policy's own are the policy's to say, whatever the host's do."""
    f = world(b)
    b.host(NEW)
    b.host()
    idle(b)
    assert changes(b) == []
    resolve(b, f, "a.test", ["203.0.113.1"])


@needs(needs=0, upstreams=0, upstream=[(OLD, 53)])
def test_no_names(b):
    """No rule by name: nobody asks anybody."""
    b.host(NEW)
    idle(b)
    assert changes(b) == [] and b.spawned == [(ROLE_RECORDER, 0)] or \
        b.spawned == []


@needs(**HERE)
def test_another(b):
    """A new process with a new CONFIG; the old is ended, and nobody to blame."""
    f = world(b)
    resolve(b, f, "a.test", ["203.0.113.1"])
    b.host(NEW, "fe80::1", rotate=1, tcp=1, patience=3, scopes=[0, 7])
    killed(b, b.res)
    b.res = b.resolver()
    assert b.res.upstreams == [(NEW, 53), ("fe80::1", 53)]
    assert (b.res.rotate, b.res.tcp, b.res.patience, b.res.scopes) == \
        (1, 1, 3, [0, 7])
    resolve(b, f, "a.test", ["203.0.113.2"])
    assert changes(b) == [OLD, f"{NEW}, fe80::1%7"]
    assert b.of("child.died") == []
    assert f"this host's resolvers {NEW}, fe80::1%7 now" in b.log_text()
    assert "died" not in b.log_text()


@needs(**HERE)
def test_the_same(b):
    """What says the same is no change."""
    world(b)
    b.host(OLD)
    idle(b)
    assert changes(b) == [OLD]


@needs(**HERE)
def test_under_way(b):
    """What is asked is asked again, in its order; what comes meanwhile waits."""
    f = world(b)
    early = [f.resolve(n) for n in ("a.test", "x.test", "plain.test")]
    first = [b.res.asked() for _ in early]
    b.host(NEW)
    killed(b, b.res)
    late = f.resolve("b.test")
    b.res = b.resolver()
    again = [b.res.asked() for _ in range(4)]
    assert [a[1] for a in again] == [a[1] for a in first] + ["b.test"]
    for i, (ident, (number, _, _)) in enumerate(zip(early + [late], again)):
        b.res.answer(number, [f"203.0.113.{i + 1}"])
        assert f.answer(ident)[2] == [f"203.0.113.{i + 1}"]
    f.silent()
    assert len(b.of("dns")) == 4 and len(b.of("dns.ask")) == 4


@needs(**HERE)
def test_pins_stay(b):
    """An address that was learnt of the old ones can be used."""
    f = world(b)
    srv, port = listener(NAMED_NET)
    resolve(b, f, "plain.test", [NAMED_NET])
    b.host(NEW)
    killed(b, b.res)
    b.res = b.resolver()
    f.granted(NAMED_NET, port)


@needs(**HERE)
def test_again_and_again(b):
    """Changes in a row, at each moment of the next one's life."""
    f = world(b)
    ident = f.resolve("a.test")
    b.res.asked()
    for i in range(3, 8):
        b.host(f"192.0.2.{i}")
        killed(b, b.res)
        b.res = b.resolver(greet=i % 2 == 0)
        assert b.res.upstreams == [(f"192.0.2.{i}", 53)]
    # two while it is being killed, and one while the next is being started
    b.host("192.0.2.20")
    b.wait(lambda: (ROLE_RESOLVER, 0) in b.kills)
    b.host("192.0.2.21")
    b.settle()
    killed(b, b.res)
    b.wait(lambda: (ROLE_RESOLVER, 0) in b.spawned)
    b.host("192.0.2.22")
    b.settle()
    b.res = b.resolver()
    assert b.res.upstreams == [("192.0.2.22", 53)]
    number, asked, _ = b.res.asked()
    assert asked == "a.test"
    b.res.answer(number, ["203.0.113.1"])
    assert f.answer(ident)[2] == ["203.0.113.1"]
    assert changes(b)[-3:] == [f"192.0.2.{i}" for i in (20, 21, 22)]
    assert b.of("child.died") == []


@slow
@needs(**HERE)
def test_not_for_ever(b):
    """A question that its guest has given up by now is not asked once more."""
    f = world(b)
    ident = f.resolve("a.test")
    b.res.asked()
    time.sleep(6)
    b.host("192.0.2.3")
    killed(b, b.res)
    b.res = b.resolver()
    b.res.asked()
    time.sleep(5)
    b.host("192.0.2.4")
    assert f.answer(ident) == (UNREACHED, 0, [])
    killed(b, b.res)
    b.resolver()
    assert b.one("dns").reason == "dns-upstream"


@needs(**HERE)
def test_gone_and_back(b):
    """A resolv.conf without anybody: names fail at once, with a reason; and they come
    to work when it names somebody."""
    f = world(b)
    ident = f.resolve("a.test")
    b.res.asked()
    b.host()
    assert f.answer(ident) == (UNREACHED, 0, [])
    assert f.ask("b.test") == (UNREACHED, 0, [])
    killed(b, b.res)
    idle(b)
    assert {r.reason for r in b.of("dns")} == {"dns-upstream"}
    assert "cannot be resolved any more" in b.log_text()
    b.host(NEW)
    b.res = b.resolver()
    resolve(b, f, "a.test", ["203.0.113.1"])
    assert changes(b) == [OLD, "none", NEW]


@needs(**HERE)
def test_back_before_it_is_gone(b):
    """The old one is not dead yet when there is somebody again."""
    f = world(b)
    b.host()
    b.wait(lambda: (ROLE_RESOLVER, 0) in b.kills)
    b.host(NEW)
    b.settle()
    assert (ROLE_RESOLVER, 0) not in b.spawned
    killed(b, b.res)
    b.res = b.resolver()
    assert b.res.upstreams == [(NEW, 53)]
    resolve(b, f, "a.test", ["203.0.113.1"])


@needs(**HERE)
def test_gone_while_it_starts(b):
    """Nobody to ask any more when the first one comes."""
    b.wait(lambda: (ROLE_RESOLVER, 0) in b.spawned)
    b.host()
    b.settle()
    b.spawned.remove((ROLE_RESOLVER, 0))
    chan = Chan(b.child(ROLE_RESOLVER, 0))
    b.wait(lambda: (ROLE_RESOLVER, 0) in b.kills)
    chan.close()
    b.kills.clear()
    b.died(ROLE_RESOLVER, 0, 9)
    idle(b)
    b.host(NEW)
    assert b.resolver().upstreams == [(NEW, 53)]


@needs(upstreams=0)
def test_appears(b):
    """None at first."""
    b.settle()
    assert (ROLE_RESOLVER, 0) not in b.spawned
    b.ins = b.inspector()
    f = b.guest()
    assert f.ask("a.test") == (UNREACHED, 0, [])
    b.host(NEW)
    b.res = b.resolver()
    resolve(b, f, "a.test", ["203.0.113.1"])
    assert changes(b) == ["none", NEW]


@needs(**HERE)
def test_cannot_start(b):
    """The next one cannot be started: names fail, and it is asked for again."""
    f = world(b)
    b.host(NEW)
    killed(b, b.res)
    b.not_started(ROLE_RESOLVER, errno.EMFILE)
    assert f.ask("a.test") == (UNREACHED, 0, [])
    b.res = b.resolver()
    resolve(b, f, "a.test", ["203.0.113.1"])
    assert b.one("child.died").err == errno.EMFILE


@needs(**HERE)
def test_nonsense(b):
    """The keeper's message is checked like each of its."""
    b.keeper.send(head(K_HOST) + host_resolver([(NEW, 0)]))
    b.wait(lambda: "nonsense" in b.log_text())
    assert os.waitpid(b.pid, 0)[1] != 0
    b.pid = None


if __name__ == "__main__":
    enter_street()
    sys.exit(main(named(globals()), bench))
