"""The user's terminals, and the one that CMD runs on."""
import json
import os
import select
import shlex

import cases_run
from corpus import Program, argv_of, attack


class Other:
    """A terminal of the user's, on which somebody else works."""

    def __init__(self, a):
        self.master, slave = os.openpty()
        self.name = os.ttyname(slave)
        self.slave = slave
        if a.lab.root and a.lab.user:
            os.chown(self.name, a.lab.uid, a.lab.uid)
        os.chmod(self.name, 0o620)
        a.t.keep(self)

    def shows(self):
        text = b""
        while select.select([self.master], [], [], 0.2)[0]:
            text += os.read(self.master, 4096)
        return text

    def close(self):
        os.close(self.slave)
        os.close(self.master)


@attack("L1", quick=True)
def terminal_of_another(a):
    """Written to, and so read from, by its name and by what lies in /dev/pts."""
    place = a.place()
    other = Other(a)
    for inside in (False, True):
        late = Program(a, place, "terminals", inside=inside, names=[other.name],
                       later=True)
        late.ready()
        later = Other(a)
        late.go()
        late.result()
        shown = other.shows(), later.shows()
        if not inside:
            a.control(all(b"attack" in s for s in shown), f"{shown}")
        else:
            for what, text in zip(("from before", "made later"), shown):
                if b"attack" in text:
                    a.gained(f"CMD writes to a terminal {what}")


@attack("held", quick=True)
def terminal_typing(a):
    """TIOCSTI and its like on CMD's own terminal: what the shell reads next."""
    place = a.place()
    found = {}
    for inside in (False, True):
        shell = a.t.keep(cases_run.Terminal(place))
        said = os.path.join(place.path, f"said{inside}")
        command = argv_of(a, "type")
        if inside:
            command = [os.path.join(a.t.bindir, "sallyport"), "run", "-q", "-p",
                       place.policy, "--audit", place.path + "/log", "--",
                       *command]
        shell.type(f"SAY_TO={said} {shlex.join(command)}; echo en''ded\n")
        shell.wait("ended", 20)
        with open(said, encoding="utf-8") as file:
            found[inside] = json.loads(file.readline())["words"]
    a.control(found[False]["TIOCSTI 0"] in ("ok", "EIO"), f"{found[False]}")
    for name, word in found[True].items():
        if word == "ok" or (word != "EPERM" and found[False][name] != "EPERM"
                            and "TIOCSTI" in name):
            a.gained(f"{name} passes ({word})")


@attack("L1")
def terminal_stays_whole(a):
    """CMD works with its own: tty, stty, a new pty. Nothing is gained by that it
    fails; this is the other side, that the mend left CMD its terminal."""
    place = a.place()
    shell = a.t.keep(cases_run.Terminal(place))
    shell.command(f'run() {{ "$SP" run -q -p {place.policy} --audit log -- "$@"; '
                  "}", "READY> ")
    shell.command("run tty", r"/dev/(pts/\d+|console)")
    shell.command("run sh -c 'echo told >/dev/tty'", "told")
    shell.command("run script -qc 'tty; echo in-a-pty' /dev/null", "in-a-pty")
    shell.wait("READY> ")
    a.control(True, "")
