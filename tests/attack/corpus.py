"""What an attack is made of.

    @attack("H1", quick=True)
    def sockets_existing(a):
        ...
        a.gained("the docker socket")

An attack says each thing that it got by a.gained(); saying nothing is "held".
It has to show that it was an attack at all: a.control() is true of something that
works where Sallyport is not in the way (the same program run on the host, a server
that hears who is allowed). An attack whose control fails is an error, and never
"held".
"""
import json
import os
import subprocess

from cases_run import Place
import gateway
import lab as lablib
import trial

PYTHON = ["/usr/bin/python3", "-I", "-S"]
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
DENY = "policy version 1\nfloor builtin\ndefault deny\ntenant t {\n}\n"
MACHINERY = 125
attacks = []


class Gained(trial.Failure):
    """The attacker has something that the policy does not give."""


class NoAttack(Exception):
    """It could not be tried, or would not have worked anywhere."""


def attack(entry, quick=False, timeout=90, root=False, documented=None):
    """`entry`: which kind it is of. `documented`: words of sallyport(1) that say
    that this is open; then a gain is told and is no failure."""
    def register(function):
        case = trial.Case(function, quick, timeout, trial.OURS, root, {})
        case.entry, case.documented = entry, documented
        attacks.append(case)
        return function
    return register


class Attack:
    """A case's tools, from the attacker's side."""

    def __init__(self, t):
        self.t = t
        self.lab = t.lab
        self.gains = []
        self.controls = 0

    def gained(self, what):
        if what not in self.gains:
            self.gains.append(what)

    def gained_all(self, what):
        for one in what:
            self.gained(one)

    def control(self, works, what):
        self.controls += 1
        if not works:
            raise NoAttack(f"no attack: {what}")

    def skip(self, why):
        self.t.skip(why)

    def place(self, policy=DENY):
        place = self.t.keep(Place(self.t))
        place.policy = place.write("policy.conf", policy)
        status, _, err = place.run("check", place.policy)
        if status != 0 and "warning:" not in err:
            raise NoAttack(f"the policy is not good: {err[-300:]}")
        return place

    def verdict(self):
        if not self.controls:
            raise NoAttack("no attack: nothing shows that it would work")
        if self.gains:
            raise Gained("; ".join(self.gains))


# ---- programs of ours, as CMD and without Sallyport -------------------------------

def argv_of(a, name, **args):
    """inside.py's attack NAME."""
    return [*PYTHON, os.path.join(a.t.bindir, "inside.py"), name,
            json.dumps(args)]


def environment(place, env=None):
    return {"PATH": PATH, "HOME": place.path, **(env or {})}


class Program:
    """inside.py, as CMD of a `run` or, with inside=False, on the host as the same
    user. It says lines of JSON, and waits for a line where the attack does."""

    def __init__(self, a, place, name, inside=True, options=(), env=None,
                 cwd=None, stdin=subprocess.PIPE, log=None, bare=False,
                 pass_fds=(), prefix=(), **args):
        command = argv_of(a, name, **args)
        if inside:
            where = [] if bare else ["-q", "-p", place.policy, "--audit", log or
                                     os.path.join(place.path, "log")]
            command = [os.path.join(a.t.bindir, "sallyport"), "run", *where,
                       *options, "--", *command]
        self.a = a
        self.process = subprocess.Popen(
            [*prefix, *a.lab.as_user(), *command], stdin=stdin,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=cwd or place.path, env=environment(place, env),
            pass_fds=pass_fds, process_group=0)
        a.t.keep(self)
        self.said = []
        self.stderr = None

    def line(self):
        """What it says next, or None at its end."""
        raw = self.process.stdout.readline()
        if not raw:
            return None
        self.said.append(json.loads(raw))
        return self.said[-1]

    def ready(self):
        """It has come so far as to wait for go()."""
        while (said := self.line()) is not None:
            if said == {"ready": True}:
                return
        raise NoAttack(f"it is not ready: {self.end()[1][-300:]!r}")

    def says(self, key):
        """The next line that has this."""
        while (said := self.line()) is not None:
            if key in said:
                return said[key]
        raise NoAttack(f"it does not say {key}: {self.end()[1][-300:]!r}")

    def go(self):
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()

    def end(self, timeout=60):
        """(exit status, stderr), once it has ended."""
        if self.stderr is None:
            out, err = self.process.communicate(timeout=timeout)
            self.said += [json.loads(line) for line in out.splitlines()
                          if line.startswith(b"{")]
            self.stderr = err.decode("utf-8", "replace")
        return self.process.returncode, self.stderr

    def result(self, timeout=60):
        """{"gained": [...], "tried": n} that it ended with."""
        status, err = self.end(timeout)
        for said in reversed(self.said):
            if "tried" in said:
                return said
        raise NoAttack(f"the program says nothing, status {status}: "
                       f"{err[-300:]!r}")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        if self.stderr is None:
            self.process.communicate()


def nobody(a):
    """argv prefix for a control that would do real harm as root: calls that mount or
    set the clock, signals to all. It is somebody else's then."""
    if a.lab.user:
        return []
    return ["setpriv", f"--reuid={lablib.USER_ID}", f"--regid={lablib.USER_ID}",
            "--clear-groups", "--"]


def tree(place, below, mode=0o700):
    """Directories of the user's, each in the one before it; the last one."""
    path = place.path
    for name in below.split("/"):
        path = os.path.join(path, name)
        if not os.path.isdir(path):
            os.mkdir(path)
        place.own(path, mode)
    return path


def another(a, place):
    """A place instead of this one."""
    place.close()
    a.t.open.remove(place)


def allow(rules, head="", tenant=""):
    return gateway.policy_text(rules, head, tenant)
