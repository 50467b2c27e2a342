"""One client on one host: the namespaces, the steps, and what has to be true of each.

    control  without a gateway its output is right: the lab works
    none     in a namespace without a network it fails; how long that takes
    learn    under `run --learn` its output is right, and a policy is written
    works    under exactly that policy its output is right
    denied   under a policy that denies everything it fails, in no more time than
             without a network (and `run`'s own, and a margin)

After each of the last three nothing may be left: processes, mounts, links, files,
sockets; and the terminal is as it was. The host has both families, or one (`kind`).
All of it is made in namespaces of this process's own, with empty /tmp, /var/tmp,
/dev/shm and /run, and ends with it.
"""
import argparse
import glob
import json
import os
import pty
import re
import select
import shutil
import subprocess
import termios
import time

import lab as lablib
import names_lab
import nspace
import run as system
import trial
from learnt import rules_of
from trial import Failure

KINDS = ("dual", "v4", "v6")
STEPS = ("control", "none", "learn", "works", "denied")
OWN = ("/tmp", "/var/tmp", "/dev/shm", "/run")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
MARGIN = 1.5            # seconds beside a quarter of the time without a network
TAIL = 300              # bytes of what a program said that a failure shows
DENY = "policy version 1\ntenant t {\n\tdeny to any\n}\n"
USER = "someone"        # what the lab's ordinary user is called
TIME_WAIT = "06"
MACHINERY = 125         # run's own status, if CMD could not be run
# The session outlives the command: what is left of it gets no SIGHUP.
LEADER = ('"$@"; echo $? >/proc/self/fd/{}; '
          'exec cat </proc/self/fd/{} >/dev/null')


class LabFailed(Exception):
    """It does not work without a gateway either: nothing is learnt of it."""


# ---- the host -----------------------------------------------------------------

def private(lab):
    """What other users of the machine do in these places is not met here."""
    resolv = os.path.realpath("/etc/resolv.conf")
    for path in OWN:
        nspace.mount("tmpfs", path, "tmpfs", 0,
                     "mode=" + ("755" if path == "/run" else "1777"))
    if not os.path.exists(resolv):
        os.makedirs(os.path.dirname(resolv), exist_ok=True)
        with open(resolv, "wb"):
            pass
    path = os.path.join(lab.scratch, "passwd")
    shutil.copy("/etc/passwd", path)
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{USER}:x:{lablib.USER_ID}:{lablib.USER_ID}::{lab.scratch}"
                   ":/bin/sh\n")
    nspace.mount(path, "/etc/passwd", "none", nspace.MS_BIND)


def one_family(kind):
    """What this host does not have is gone, as on one that never had it."""
    if kind == "v4":
        lablib.sysctl("net/ipv6/conf/all/disable_ipv6", 1)
        lablib.sysctl("net/ipv6/conf/default/disable_ipv6", 1)
    elif kind == "v6":
        for dev in ("wan", "wan1500"):
            subprocess.run(["ip", "-4", "address", "flush", "dev", dev],
                           check=True)


def networkless():
    """A namespace with a loopback link and nothing else."""
    netns = nspace.Netns.new()
    with netns:
        lablib.ip_batch("link set lo up\n")
    return netns


# ---- what must not be left ------------------------------------------------------

class Traces:
    """What must be the same after a run as before it."""

    def __init__(self, terminal):
        self.terminal = terminal
        self.before = system.State()
        self.things = self._things()

    def _things(self):
        return {"files": self._files(), "sockets": self._sockets(),
                "mounts": system.State._mounts(),
                "links": system.State._interfaces(),
                "terminal's settings": {str(termios.tcgetattr(self.terminal))}}

    @staticmethod
    def _files():
        return {os.path.join(at, name) for top in OWN
                for at, inner, files in os.walk(top) for name in inner + files}

    @staticmethod
    def _sockets():
        """Of the host's namespace, those that belong to somebody."""
        found = set()
        for proto in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
            try:
                with open("/proc/thread-self/net/" + proto,
                          encoding="ascii") as file:
                    rows = [line.split() for line in file][1:]
            except FileNotFoundError:   # the host has no IPv6
                continue
            found |= {f"{proto} {row[1]} {row[2]}" for row in rows
                      if row[9] != "0" and row[3] != TIME_WAIT}
        return found

    def _extra(self, leader):
        now = self._things()
        extra = {f"{what}: {sorted(now[what] - was)}"
                 for what, was in self.things.items() if now[what] - was}
        left = [f"{lablib.program(p)} ({p})"
                for p in self.before.left() - {leader}]
        if left:
            extra.add(f"processes: {left}")
        if os.tcgetpgrp(self.terminal) != leader:
            extra.add("the terminal's foreground is another process group")
        return extra

    def left(self, leader):
        """What is still there; it has three seconds to go, as in any test."""
        lablib.wait_until(lambda: not self._extra(leader), 3)
        return "; ".join(sorted(self._extra(leader)))


# ---- one run --------------------------------------------------------------------

class Attempt:
    """How the client's command ended: status None if it did not."""

    def __init__(self, status, out, err, seconds):
        self.status = status
        self.out = out
        self.err = err
        self.seconds = seconds


def tail(text):
    return " ".join(text.split())[-TAIL:]


def slurp(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def said_within(fd, seconds):
    """The exit status that the session's leader writes; None if it does not."""
    if not select.select([fd], [], [], seconds)[0]:
        return None
    return int(os.read(fd, 16) or b"-1")


def odd_terminal():
    """(master, slave) with settings that nobody would come upon by himself."""
    master, slave = pty.openpty()
    settings = termios.tcgetattr(slave)
    settings[3] &= ~termios.ECHOK
    settings[6][termios.VERASE] = b"\x10"
    termios.tcsetattr(slave, termios.TCSANOW, settings)
    return master, slave


class Stage(trial.Trial):
    """A case's tools (trial.py), for one client of the catalog."""

    def __init__(self, lab, bindir, client, kind):
        super().__init__(lab, argparse.Namespace(gateway="sallyport",
                                                 quick=False), bindir)
        self.client = client
        self.kind = kind
        self.seconds = {}
        self.learnt = []
        self.share = os.path.join(lab.scratch, "share")
        os.mkdir(self.share, 0o755)
        self.master, self.slave = odd_terminal()
        self.homes = {}
        self.words = {
            "api": names_lab.API, "www": names_lab.WWW,
            "share": self.share,
            "site4": names_lab.SITE4, "site6": names_lab.SITE6,
            "site": names_lab.SITE6 if kind == "v6" else names_lab.SITE4,
            "at": f"[{names_lab.SITE6}]" if kind == "v6" else names_lab.SITE4,
            "f": "6" if kind == "v6" else "4",
            # for those that try a name's first address alone, or IPv4 first
            "one": "only6." + names_lab.BASE if kind == "v6" else names_lab.API}

    def shared(self, name, data, mode=0o644):
        """A file that the client and the servers can read."""
        path = os.path.join(self.share, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
        os.chmod(path, mode)
        return path

    def said(self, text):
        """A text of the catalog, with @WORD@ replaced."""
        for word, value in self.words.items():
            text = text.replace(f"@{word}@", value)
        return text

    # a run of the client's command

    def attempt(self, step, prefix=(), netns=None, script=None, after=None):
        """The command in a home of its own, in the foreground of a terminal.

        after(leader's pid) is called when it has ended and its session has not.
        """
        home, env = self.home(step)
        paths = [home + ".out", home + ".err"]
        told, end = os.pipe(), os.pipe()
        argv = ["setsid", "-c", "sh", "-c", LEADER.format(told[1], end[0]), "sh",
                *self.lab.as_user(), *prefix, "sh", "-c",
                self.said(script or self.client.run)]
        begun = time.monotonic()
        with open(paths[0], "wb") as out, open(paths[1], "wb") as err, \
                netns or self.lab.host:
            leader = subprocess.Popen(argv, stdin=self.slave, stdout=out,
                                      stderr=err, cwd=home, env=env,
                                      pass_fds=(told[1], end[0]))
        os.close(told[1])
        os.close(end[0])
        try:
            status = said_within(told[0], self.client.timeout)
            seconds = time.monotonic() - begun
            if status is None:
                os.killpg(leader.pid, 9)
            elif after:
                after(leader.pid)
        finally:
            os.close(end[1])
            os.close(told[0])
            leader.wait()
        self.seconds.setdefault(step, seconds)
        return Attempt(status, *[slurp(path) for path in paths], seconds)

    def home(self, step):
        """A directory that no earlier run has seen, and the environment for it."""
        self.homes[step] = self.homes.get(step, 0) + 1
        home = self.lab.directory(f"{step}-{self.homes[step]}")
        os.chmod(home, 0o755)
        return home, {"PATH": PATH, "HOME": home, "LANG": "C.UTF-8",
                      "TERM": "xterm", "USER": USER, "SHELL": "/bin/sh"}

    def wrong(self, got):
        """Why this is not what the client does when it works; None if it is."""
        if got.status is None:
            return f"still running after {got.seconds:.0f} s: {tail(got.err)}"
        if got.status != 0:
            return f"status {got.status}: {tail(got.err) or tail(got.out)}"
        right = self.client.right
        if isinstance(right, str):
            good = got.out == self.said(right)
        else:
            good = re.search(self.said(right.pattern), got.out, right.flags)
        return None if good else f"said {tail(got.out)!r} {tail(got.err)!r}"

    def run(self, step, *options):
        """The same under the gateway; nothing may be left of it."""
        traces, left = Traces(self.master), []
        got = self.attempt(step, [os.path.join(self.bindir, "sallyport"),
                                  "run", *options, "--"],
                           after=lambda leader: left.append(traces.left(leader)))
        traces.before.restore()
        if any(left):
            raise Failure(f"{step}: left behind: {left[0]}")
        return got

    # the steps

    def control(self):
        why = self.wrong(self.attempt("control"))
        if why:
            raise LabFailed(why)

    def without_network(self):
        netns = networkless()
        try:
            got = self.attempt("none", netns=netns)
        finally:
            netns.close()
        if self.wrong(got) is None:
            raise LabFailed("it works without a network: what is tested?")
        return got.seconds

    def learn(self):
        path = os.path.join(self.lab.directory("learnt"), "policy.conf")
        got = self.run("learn", "--learn", path)
        why = self.wrong(got)
        if why:
            raise Failure(f"learn: {why}{self.log('learn')}")
        done = subprocess.run(
            [*self.lab.as_user(), os.path.join(self.bindir, "sallyport"),
             "check", "-q", path], capture_output=True, text=True, check=False)
        if done.returncode not in (0, 2):
            raise Failure(f"learn: the policy is no good: {done.stderr}")
        self.learnt = self.rules(path)
        wide = [r for r in self.learnt if not re.match(
            self.said(self.client.rules), r)]
        if wide:
            raise Failure(f"learn: not by /{self.client.rules}/: {wide}")
        return path

    def works(self, policy):
        why = self.wrong(self.run("works", "-p", policy))
        if why:
            raise Failure(f"works: {why}; under: {self.learnt[:6]}"
                          f"{self.log('works')}")

    @staticmethod
    def rules(policy):
        return rules_of(slurp(policy))

    def denied(self, without):
        """Time is measured once more, both ways, before it is said to be over."""
        path = self.shared("deny.conf", DENY)
        own = self.own_seconds(path)
        for _ in range(2):
            got = self.run("denied", "-p", path)
            if self.wrong(got) is None:
                raise Failure("denied: it works all the same")
            if got.status == MACHINERY:
                raise Failure(f"denied: it did not run: {tail(got.err)}")
            most = without * 1.25 + own + MARGIN
            if got.seconds <= most:
                return
            without = max(without, self.without_network())
            own = max(own, self.own_seconds(path))
            if got.seconds <= without * 1.25 + own + MARGIN:
                return
        raise Failure(f"denied: it took {got.seconds:.1f} s, {without:.1f} s "
                      f"without a network: {tail(got.err)}{self.log('denied')}")

    def own_seconds(self, policy):
        return self.attempt("true", [
            os.path.join(self.bindir, "sallyport"), "run", "-p", policy, "--"],
            script="true").seconds

    def log(self, step):
        """What the audit log of a step says against it."""
        said = []
        for path in glob.glob(os.path.join(
                self.lab.scratch, step + "-*", ".local/state/sallyport/*.jsonl")):
            for line in slurp(path).splitlines():
                word = self.accusation(line)
                if word and word not in said:
                    said.append(word)
        return "; log: " + ", ".join(said[:8]) if said else ""

    @staticmethod
    def accusation(line):
        try:
            r = json.loads(line)
        except ValueError:
            return None
        if r.get("verdict") != "deny" and r.get("err") in (None, 0, "") and \
                r.get("type") not in ("limit", "deny.agg"):
            return None
        return " ".join(str(r.get(key, "")) for key in (
            "type", "reason", "name", "g_dst", "g_dp", "err")).strip()

    def all(self):
        """The steps in their order; a denial is tried in any case."""
        self.control()
        without = self.without_network()
        failures = []
        for step in (lambda: self.works(self.learn()),
                     lambda: self.denied(without)):
            try:
                step()
            except Failure as failure:
                failures.append(failure)
        if failures:
            raise failures[0]


def serve(stage, backends):
    """The client's servers, and the names that lead to them."""
    liar = {}
    for name in stage.client.serve:
        liar.update(getattr(backends, "NAMES", {}).get(name, {}))
    world = names_lab.World(stage, liar)
    world.resolv_conf("nameserver " + (names_lab.FORWARDER6 if stage.kind == "v6"
                                       else names_lab.FORWARDER4) + "\n")
    for name in stage.client.serve:
        stage.words.update(getattr(backends, name)(stage) or {})


def play(client, kind, bindir, backends, root):
    """[verdict, why, {step: seconds}, rules] of one client on one host."""
    here = os.path.dirname(os.path.abspath(__file__))
    scratch = lablib.scratch_dir([here, bindir])
    nspace.enter(scratch)
    root = client.root or (root and not client.never_root)
    lab = lablib.Lab(scratch, not root)
    if root and not lab.root:
        return ["skip", "needs root", {}, []]
    lablib.raise_limits()
    stage = Stage(lab, lab.install(bindir, []), client, kind)
    known = client.known_for(kind)
    try:
        private(lab)
        serve(stage, backends)
        one_family(kind)
        stage.all()
        verdict = ["FAIL", f"no exception any more: {known[1]}"] if known \
            else ["ok", ""]
    except trial.Skip as skip:
        verdict = ["skip", str(skip)]
    except LabFailed as error:
        verdict = ["ERROR", f"without a gateway: {error}"]
    except Failure as error:
        verdict = ["known", known[1]] if known and \
            re.match(known[0], str(error)) else ["FAIL", str(error)]
    except Exception as error:          # pylint: disable=broad-except
        verdict = ["ERROR", f"{type(error).__name__}: {error}"]
    finally:
        stage.close()
    return [*verdict, stage.seconds, stage.learnt]
