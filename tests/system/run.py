#!/usr/bin/python3
"""The system tests: cases against a gateway in a lab of namespaces.

One line per case: `ok NAME 1.2s`, `FAIL NAME: why` or `skip NAME: why`, and at
the end `N passed, N failed, N skipped`. Exit status: 0 all passed, 1 something
failed, 2 usage, 77 the machine has no namespaces or no tun.
"""
import argparse
import fnmatch
import glob
import importlib
import os
import signal
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import lab as lablib  # noqa: E402
import nspace  # noqa: E402
import trial  # noqa: E402

SKIPPED = 77
LINE_MAX = 400                          # of why a case failed; -v has all


def part(text):
    """K/N, as (K - 1, N): every Nth case, so that no part has all the long ones."""
    which, _, of = text.partition("/")
    if not 1 <= int(which) <= int(of):
        raise ValueError(text)
    return int(which) - 1, int(of)


def parser(text):
    """The options; other suites of cases (tests/attack/) add theirs."""
    parser = argparse.ArgumentParser(description=text.split("\n")[0])
    parser.add_argument("--bindir", default=".", help="where the programs are")
    parser.add_argument("--gateway", default="sallyport",
                        choices=["sallyport", "pasta", "direct"])
    parser.add_argument("--user", action="store_true",
                        help="run the gateway as an ordinary user")
    parser.add_argument("--quick", action="store_true",
                        help="the minute's worth that `make check` runs")
    parser.add_argument("--only", action="append", metavar="GLOB",
                        help="cases by name; may be given again")
    parser.add_argument("--part", type=part, metavar="K/N",
                        help="of N equal parts the Kth")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--vm", metavar="DIR",
                        help="kernel and busybox for a real guest (vm.py)")
    parser.add_argument("-v", "--verbose", action="store_true",
                        help="a traceback for each failure")
    parser.add_argument("--keep", metavar="DIR",
                        help="copy a failed case's files there")
    return parser


def cases():
    for path in sorted(glob.glob(os.path.join(HERE, "cases_*.py"))):
        importlib.import_module(os.path.basename(path)[:-3])
    return trial.cases


def selected(every, options):
    wanted = [c for c in every
              if (not options.only or
                  any(fnmatch.fnmatch(c.name, g) for g in options.only))
              and (c.quick or options.only or not options.quick)]
    first, step = options.part or (0, 1)
    return wanted[first::step]


class Runner:
    def __init__(self, options, lab, bindir):
        self.options = options
        self.lab = lab
        self.bindir = bindir
        self.count = {"ok": 0, "FAIL": 0, "skip": 0}

    def say(self, verdict, case, text):
        self.count[verdict] += 1
        print(f"{verdict} {case.name}{text}", flush=True)

    def unfit(self, case):
        """Why a case is not even tried here."""
        if self.options.gateway not in case.gateways:
            return f"not for {self.options.gateway}"
        if case.root and not self.lab.root:
            return "needs root"
        if self.options.gateway in case.differs and not self.options.only:
            return "differs: " + case.differs[self.options.gateway]
        return None

    def run(self, case):
        why = self.unfit(case)
        if why:
            self.say("skip", case, f": {why}")
            return
        before = State()
        tools = trial.Trial(self.lab, self.options, self.bindir)
        start = time.monotonic()
        signal.alarm(case.timeout)
        try:
            case.function(tools)
            signal.alarm(0)
            tools.close()
            before.check()
            notes = "".join(f" ({n})" for n in tools.notes)
            self.say("ok", case, f" {time.monotonic() - start:.1f}s{notes}")
        except trial.Skip as skip:
            self.say("skip", case, f": {skip}")
        except Exception as error:      # pylint: disable=broad-except
            self.failed(case, error, tools)
        finally:
            signal.alarm(0)
            tools.close()
            before.restore()

    def failed(self, case, error, tools):
        why = " ".join(str(error).split()) or type(error).__name__
        if not isinstance(error, trial.Failure):
            why = f"{type(error).__name__}: {why}"
        self.say("FAIL", case, f": {why[:LINE_MAX]}")
        if self.options.verbose:
            traceback.print_exception(error)
            if tools.gateway and tools.gateway.guest:
                print(tools.gateway.guest.stderr())
        if self.options.keep and tools.gateway:
            self.save(case, tools.gateway.directory)

    def save(self, case, directory):
        import shutil
        shutil.copytree(directory, os.path.join(self.options.keep, case.name),
                        dirs_exist_ok=True)


class State:
    """What must be the same after a case as before it."""

    def __init__(self):
        self.processes = set(lablib.processes())
        self.mounts = self._mounts()
        self.interfaces = self._interfaces()
        self.files = self._files()

    @staticmethod
    def _mounts():
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            return {line.split()[4] for line in file}

    @staticmethod
    def _interfaces():
        return set(os.listdir("/sys/class/net")) if os.access(
            "/sys/class/net", os.R_OK) else set()

    @staticmethod
    def _files():
        return {p for d in ("/tmp", "/var/tmp", "/run", "/dev/shm")
                for p in glob.glob(d + "/*sallyport*")}

    def left(self):
        now = set(lablib.processes())
        return now - self.processes

    def check(self):
        left = lablib.wait_until(lambda: not self.left(), 3) or self.left()
        if left is not True:
            raise trial.Failure("processes left: " + ", ".join(
                f"{lablib.program(p)} ({p})" for p in left))
        for what in ("mounts", "interfaces", "files"):
            # /tmp is everyone's: what a case beside this one made is soon gone.
            if not lablib.wait_until(lambda: not self.extra(what), 5):
                raise trial.Failure(f"{what} left: {sorted(self.extra(what))}")

    def extra(self, what):
        return getattr(State, "_" + what)() - getattr(self, what)

    def restore(self):
        """After a failure: nothing of it may meet the next case."""
        for pid in self.left():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        lablib.wait_until(lambda: not self.left(), 3)


def on_alarm(_signal, _frame):
    raise TimeoutError("the case's time is over")


def run(wanted, options, kind=Runner, extra=()):
    """The cases, each said as it ends; the counts, or an exit status.

    Returns in a child of the caller's, in namespaces of its own. `extra`: files
    that the guests run, beside agent.py and nspace.py.
    """
    bindir = os.path.abspath(options.bindir)
    if options.gateway == "sallyport" and \
            not os.path.exists(os.path.join(bindir, "sallyport")):
        print(f"no sallyport in {bindir}: build it, or give --bindir",
              file=sys.stderr)
        return 2
    try:
        scratch = lablib.scratch_dir([HERE, bindir])
        nspace.enter(scratch)
        lab = lablib.Lab(scratch, options.user)
    except (OSError, FileNotFoundError) as error:
        print(f"skip: no lab on this machine: {error}; the system tests need "
              "user or root namespaces, iproute2 and /dev/net/tun")
        return SKIPPED
    lablib.raise_limits()
    signal.signal(signal.SIGALRM, on_alarm)
    # A shell's background jobs ignore it, and so would every ^C in the cases.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    runner = kind(options, lab, lab.install(
        bindir, [os.path.join(HERE, "agent.py"), nspace.__file__, *extra]))
    for case in wanted:
        runner.run(case)
    return runner.count


def main():
    options = parser(__doc__).parse_args()
    wanted = selected(cases(), options)
    if options.list:
        for case in wanted:
            print(case.name + (" (quick)" if case.quick else ""))
        return 0
    count = run(wanted, options)
    if isinstance(count, int):
        return count
    print(f"{count['ok']} passed, {count['FAIL']} failed, "
          f"{count['skip']} skipped")
    return 1 if count["FAIL"] else 0


if __name__ == "__main__":
    try:
        code = main()
    except KeyboardInterrupt:
        code = 130
    # Daemon threads of servers must not hold the end up.
    sys.stdout.flush()
    os._exit(code)
