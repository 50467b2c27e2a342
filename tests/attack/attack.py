#!/usr/bin/python3
"""The attack corpus: what an attacker gains from a build, one line an attack.

    held   NAME [KIND] 1.2s           it got nothing
    GAINED NAME [KIND]: what          it got this
    known  NAME [KIND]: what          it got this, and sallyport(1) says so
    ERROR  NAME [KIND]: why           it could not be tried: neither
    skip   NAME [KIND]: why           this machine cannot show it

--build DIR says whose programs are attacked; given twice or more it runs each and
prints a table, so that an attack is seen to gain on an old build and to hold on a
new one. Exit status: 0 all held, 1 not, 2 usage, 77 no namespaces here.
"""
import glob
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
sys.path[:0] = [HERE, os.path.join(TESTS, "system")]

import run as system  # noqa: E402
import corpus  # noqa: E402

FAMILIES = ("sockets", "log", "mounts", "records", "inherited", "neighbours", "floor",
            "volume", "terminal", "kernel", "frame", "held")
WORDS = {"ok": "held  ", "FAIL": "GAINED", "skip": "skip  "}
LINE = re.compile(r"^(held|GAINED|known|ERROR|skip)\s+(\w+) \[(.*?)\]:? ?(.*)$")


class Attacker(system.Runner):
    """Runs an attack as a case, and says what came of it in its own words."""

    def __init__(self, *args):
        super().__init__(*args)
        self.count |= {"ERROR": 0, "known": 0}

    def run(self, case):
        function = case.function

        def attempt(t):
            a = corpus.Attack(t)
            function(a)
            t.close()
            a.verdict()
        case.function = attempt
        super().run(case)
        case.function = function

    def tell(self, word, case, text):
        print(f"{word} {case.name} [{case.entry}]{text}", flush=True)

    def say(self, verdict, case, text):
        self.count[verdict] += 1
        self.tell(WORDS[verdict], case, text)

    def failed(self, case, error, tools):
        why = " ".join(str(error).split()) or type(error).__name__
        if not isinstance(error, corpus.Gained):
            self.count["ERROR"] += 1
            self.tell("ERROR ", case, f": {type(error).__name__}: {why[:400]}")
        elif case.documented and self.admitted(case.documented):
            self.count["known"] += 1
            self.tell("known ", case, f": {why[:400]}")
        else:
            self.say("FAIL", case, f": {why[:400]}")
        if self.options.verbose:
            import traceback
            traceback.print_exception(error)

    @staticmethod
    def admitted(words):
        """True if the man page tells the user of it."""
        path = os.path.join(TESTS, os.pardir, "man", "sallyport.1")
        with open(path, encoding="utf-8") as file:
            return words in " ".join(file.read().split())


def load():
    for family in FAMILIES:
        if os.path.exists(os.path.join(HERE, family + ".py")):
            __import__(family)
    return corpus.attacks


def table(options, rest):
    """Each build in a process of its own, side by side."""
    results, names = [], {}
    for build in options.build:
        out = subprocess.run(
            [sys.executable, __file__, *rest, "--build", build],
            stdout=subprocess.PIPE, text=True, check=False).stdout
        found = {}
        for match in map(LINE.match, out.splitlines()):
            if match:
                found[match[2]] = (match[1], match[4])
                names[match[2]] = match[3]
        results.append(found)
    for number, build in enumerate(options.build):
        print(f"{number}: {build}")
    print(f"{'attack':36} {'kind':10} " + " ".join(
        f"{n:8}" for n in map(str, range(len(results)))))
    for name, entry in names.items():
        row = [found.get(name, ("-", ""))[0] for found in results]
        print(f"{name:36} {entry:10} " + " ".join(f"{w:8}" for w in row))
    return 1 if any(word in ("GAINED", "ERROR")
                    for word, _ in results[-1].values()) else 0


def main():
    parser = system.parser(__doc__)
    parser.add_argument("--build", action="append", metavar="DIR")
    options = parser.parse_args()
    if options.build and len(options.build) > 1:
        rest, words = [], iter(sys.argv[1:])
        for word in words:
            if word == "--build":
                next(words)
            elif not word.startswith("--build="):
                rest.append(word)
        return table(options, rest)
    if options.build:
        options.bindir = options.build[0]
    wanted = system.selected(load(), options)
    if options.list:
        for case in wanted:
            print(f"{case.name} [{case.entry}]" + " (quick)" * case.quick)
        return 0
    count = system.run(wanted, options, Attacker, [
        *glob.glob(os.path.join(HERE, "in_*.py")),
        os.path.join(HERE, "inside.py"), os.path.join(HERE, "tools.py"),
        *probe(options)])
    if isinstance(count, int):
        return count
    print(", ".join(f"{count[key]} {word}" for key, word in (
        ("ok", "held"), ("FAIL", "gained"), ("known", "known"),
        ("ERROR", "errors"), ("skip", "skipped"))))
    return 1 if count["FAIL"] or count["ERROR"] else 0


def probe(options):
    """The C programs, of this tree's build even where another is attacked."""
    for directory in (options.bindir, ".", os.path.join(
            TESTS, os.pardir, "build")):
        path = os.path.join(directory, "tests/attack/probe")
        if os.path.exists(path):
            return [path]
    return []


if __name__ == "__main__":
    try:
        code = main()
    except KeyboardInterrupt:
        code = 130
    sys.stdout.flush()
    os._exit(code)
