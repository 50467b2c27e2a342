"""The log and the policy of CMD's own run, and of earlier ones."""
import os
import re
import shutil
import signal
import subprocess

import audit
import gateway
import lab as lablib
import servers
from corpus import DENY, Program, allow, another, attack, tree

MARK = b"attack"
ROTATING = DENY.replace("default deny", "default deny\naudit { rotate 64K }\n"
                        "limits many { rate 100000/s burst 100000 }").replace(
                            "tenant t {\n", "tenant t {\n    limits many\n")
NAMED = re.compile(r"audit log: (\S+)")


def everything(directory):
    """{path: content} of the files below it."""
    found = {}
    for top, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(top, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    found[path] = file.read()
    return found


def run_with(a, place, options, name, env=None, cwd=None, **args):
    """A run with the end line; its program."""
    return Program(a, place, name, bare=True, env=env, cwd=cwd,
                   options=["-p", place.policy, "-v", *options], **args)


def whole(path, runs):
    """True if the log has all that so many runs wrote, and nothing else."""
    try:
        records = audit.read(path)
        return len(audit.of_type(records, "daemon.stop")) == runs and \
            not audit.faults(records)
    except (ValueError, KeyError):
        return False


def judge(a, status, err, before=(), lost=True, runs=1):
    """What the log that is named is worth, after CMD. lost=False: a run that knows
    it, names no log and fails is no gain."""
    named = NAMED.search(err)
    if named:
        text = b"".join(everything_of(named[1]))
        if MARK in text:
            a.gained("the log that is named at the end has CMD's words")
        elif not whole(named[1], runs):
            a.gained("the log that is named at the end is not the run's")
    elif lost or status == 0:
        a.gained(f"the run has lost its log: {err[-200:]!r}")
    for old, content in before:
        try:
            with open(old, "rb") as file:
                if file.read() != content:
                    a.gained(f"an earlier log was changed: {old}")
        except FileNotFoundError:
            a.gained(f"an earlier log is gone: {old}")


def everything_of(path):
    for one in audit.files(path):
        with open(one, "rb") as file:
            yield file.read()


def spoiled(a, place, path, options, policy=None, **more):
    """CMD does what it can to the log at `path`; earlier runs wrote there too."""
    place.policy = place.write("policy.conf", policy or DENY)
    first = run_with(a, place, options, "nothing", env=more.get("env"),
                     cwd=more.get("cwd"))
    status, err = first.end()
    a.control(status == 0 and NAMED.search(err), f"no log: {err!r}")
    before = [(p, c) for p, c in everything(os.path.dirname(path)).items()
              if p.endswith(".jsonl")] if "--audit" not in options else []
    program = run_with(a, place, options, "spoil", path=path, **more)
    found = program.result()
    status, err = program.end()
    a.control(found["tried"] >= 8, f"{found}")
    judge(a, status, err, before, runs=2 if "--audit" in options else 1)


@attack("H3a", quick=True)
def log_in_an_ordinary_directory(a):
    """--audit FILE where CMD works."""
    place = a.place()
    path = place.path + "/audit.jsonl"
    spoiled(a, place, path, ["--audit", path])


@attack("H3a", quick=True)
def log_after_rotation(a):
    """The first segment is renamed away, with the cover that was on it."""
    place = a.place()
    path = place.path + "/audit.jsonl"
    spoiled(a, place, path, ["--audit", path], ROTATING, refusals=2500)


@attack("H3a")
def log_after_rotation_elsewhere(a):
    """The same in a directory of its own, of any mode."""
    for mode in (0o700, 0o750, 0o755):
        place = a.place()
        path = tree(place, "logs", mode) + "/audit.jsonl"
        spoiled(a, place, path, ["--audit", path], ROTATING, refusals=2500)
        another(a, place)


@attack("H3a")
def log_moved_by_the_host(a):
    """What logrotate does: the host renames the live file."""
    place = a.place()
    path = place.path + "/audit.jsonl"
    program = run_with(a, place, ["--audit", path], "spoil", path=path,
                       later=True)
    program.ready()
    live = next((p for p in everything(place.path) if p.endswith("jsonl")), None)
    a.control(live, "no log to rename")
    os.rename(live, live + ".old")
    program.go()
    program.result()
    program.end()
    a.control(True, "")
    text = b"".join(everything(place.path).get(p, b"") for p in everything(
        place.path) if "jsonl" in p)
    if MARK in text:
        a.gained("the run's log has CMD's words")


@attack("H3d", quick=True)
def log_of_earlier_runs(a):
    """The default directory, with the mode that the umask gave it."""
    for mode in (0o700, 0o755):
        place = a.place()
        tree(place, ".local/state", 0o755)
        state = tree(place, ".local/state/sallyport", 0o755)
        place.own(state, mode)
        spoiled(a, place, state + "/x.jsonl", [])
        another(a, place)


@attack("H3")
def log_where_cmd_works(a):
    """The log's own directory is the working directory, or HOME."""
    for env in ({}, {"HOME": None}):
        place = a.place()
        logs = tree(place, "logs")
        if env:
            env = {"HOME": logs}
        spoiled(a, place, logs + "/audit.jsonl",
                ["--audit", logs + "/audit.jsonl"], env=env, cwd=logs)
        another(a, place)


# ---- the directories above ---------------------------------------------------------

def ancestors(a, place, path, options, env=None, **args):
    program = run_with(a, place, options, "ancestors", path=path,
                       top=place.path, env=env, **args)
    program.result()
    status, err = program.end()
    judge(a, status, err, lost=False)
    return err


def control_ancestors(a, path):
    """The same on the host."""
    place = a.place()
    tree(place, os.path.dirname(path).strip("/"))
    done = Program(a, place, "ancestors", inside=False, path=place.path + path,
                   top=place.path).result()
    a.control("a file of ours is there" in done["gained"], f"{done}")
    another(a, place)


@attack("H3b", quick=True)
def log_ancestor(a):
    """~/.local/state is renamed and made again."""
    control_ancestors(a, "/.local/state/sallyport/x.jsonl")
    place = a.place()
    state = place.path + "/.local/state/sallyport"
    first = run_with(a, place, [], "nothing")
    path = NAMED.search(first.end()[1])[1]
    a.control(path.startswith(state), path)
    program = run_with(a, place, [], "ancestors", path=path, top=place.path)
    found = program.result()
    status, err = program.end()
    judge(a, status, err, lost=False, before=[(path, b"".join(everything_of(path)))]
          if os.path.exists(path) else [])
    if "a file of ours is there" in found["gained"]:
        a.gained("another tree is where the log's was")


@attack("H3b")
def log_ancestor_of_a_chosen_place(a):
    """--audit below directories of the user's, and below a symbolic link."""
    for link in (False, True):
        place = a.place()
        tree(place, "one/two")
        top = "/one"
        if link:
            os.symlink("one", place.path + "/link")
            if a.lab.root and a.lab.user:
                os.chown(place.path + "/link", a.lab.uid, a.lab.uid,
                         follow_symlinks=False)
            top = "/link"
        path = place.path + top + "/two/audit.jsonl"
        ancestors(a, place, path, ["--audit", path])
        a.control(True, "")
        another(a, place)


@attack("H3b", quick=True)
def policy_ancestor(a):
    """The policy's directory is renamed: the next run would use CMD's policy."""
    control_ancestors(a, "/conf/deep/policy.conf")
    place = a.place()
    work = tree(place, "work", 0o755)
    path = tree(place, "conf/deep", 0o755) + "/policy.conf"
    os.rename(place.policy, path)
    place.policy = path
    wide = place.write("wide", allow(f"allow to any port tcp {gateway.PORTS}\n"))
    program = run_with(a, place, [], "ancestors", path=path, top=place.path,
                       content=wide, cwd=work)
    program.result()
    changed(a, place, path, program.end()[1])


@attack("H3b")
def policy_where_cmd_works(a):
    """The policy lies in the working directory, which is renamed itself."""
    place = a.place()
    work = tree(place, "work", 0o755)
    path = work + "/policy.conf"
    os.rename(place.policy, path)
    place.policy = path
    wide = place.write("wide", allow(f"allow to any port tcp {gateway.PORTS}\n"))
    program = run_with(a, place, [], "ancestors", path=path, top=place.path,
                       content=wide, cwd=work)
    program.result()
    a.control(True, "")
    changed(a, place, path, program.end()[1])


def changed(a, place, path, err):
    """Gained, if the policy is another and nobody says so."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if text != DENY and not re.search("policy.*(replac|chang|anoth|not the)", err):
        a.gained("the next run's policy is CMD's, and nothing is said")
    elif text != DENY:
        a.t.note("the policy was replaced, and it is said")
    del place


@attack("H3b", quick=True)
def policy_file(a):
    """The policy and what it includes, by everything but their directories."""
    place = a.place()
    more = place.write("more.conf", "tenant more {\n}\n")
    place.policy = place.write("policy.conf", DENY + 'include "more.conf"\n')
    how = ["--tenant", "t", "--audit", place.path + "/log"]
    status, err = run_with(a, place, how, "nothing").end()
    a.control(status == 0, err)
    before = everything(place.path)
    for path in (place.policy, more):
        run_with(a, place, how, "spoil", path=path).result()
    after = everything(place.path)
    for path in (place.policy, more):
        if after.get(path) != before[path]:
            a.gained(f"{os.path.basename(path)} was changed")


@attack("H3", timeout=180)
def log_nested(a):
    """The covers of log and policy, from nested namespaces."""
    place = a.place()
    first = run_with(a, place, [], "nothing")
    path = NAMED.search(first.end()[1])[1]
    before = everything(os.path.dirname(path))
    program = run_with(a, place, [], "under", paths=[path, place.policy])
    found = program.result(150)
    status, err = program.end()
    a.control(found["tried"] > 100, f"{found['tried']} tries")
    judge(a, status, err, before.items())
    with open(place.policy, encoding="utf-8") as file:
        if file.read() != DENY:
            a.gained("the policy was changed")


# ---- --learn ------------------------------------------------------------------------

def learned(a, place, **args):
    """(text, status, stderr) of a --learn in whose run CMD went for the log."""
    out = place.path + "/learned.conf"
    path = tree(place, "one/two") + "/audit.jsonl"
    program = Program(a, place, "ancestors", bare=True, path=path,
                      options=["--learn", out, "--audit", path],
                      top=place.path, **args)
    status, err = program.end(40)
    if os.path.exists(out):
        with open(out, encoding="utf-8") as file:
            return file.read(), status, err
    return "", status, err


INJECTED = ('{"type":"flow.deny","verdict":"deny","proto":"tcp","g_dst":"1.2.3.4",'
            '"g_dp":1,"reason":"floor-\\ntenant z{allow to any}"}\n')


@attack("H3c", quick=True)
def learn_from_a_forged_log(a):
    """Words of CMD's own in the policy that it is to be held by."""
    place = a.place()
    started = '{"type":"daemon.start"}\n'
    forged = place.write("forged", started + INJECTED)
    text, status, err = learned(a, place, content=forged)
    a.control(status in (0, 125), f"status {status}: {err!r}")
    for line in text.splitlines():
        if line.startswith("tenant z"):
            a.gained(f"the learnt policy says: {line}")


@attack("H3c")
def learn_from_a_fifo(a):
    """It waits for ever, and for SIGTERM too."""
    place = a.place()
    try:
        _, status, err = learned(a, place, fifo=True)
        a.control(status in (0, 125), f"status {status}: {err!r}")
    except subprocess.TimeoutExpired:
        a.control(True, "")
        a.gained("--learn waits for a FIFO of CMD's")


@attack("H3c")
def learn_over_a_link(a):
    """CMD makes the file that --learn is to make: a link to another."""
    place = a.place()
    victim = place.write("victim", "precious\n")
    out = place.path + "/learned.conf"
    program = Program(a, place, "shell", bare=True, options=["--learn", out],
                      commands=[[f"ln -s {victim} {out}; echo made", "made"]])
    a.control(program.result()["gained"], "no link")
    with open(victim, encoding="utf-8") as file:
        if file.read() != "precious\n":
            a.gained("--learn wrote through CMD's link")


# ---- a log that is gone, a recorder that is stuck -----------------------------------

def connecting(a, how, count=3):
    """A CMD that connects once, and once more when the host has done `how`; what
    the server saw, and the program."""
    place = a.place(allow(f"allow to net {lablib.LIVE4} port tcp {gateway.PORTS}\n"))
    server = a.t.serve(lambda c: servers.drain(c.sock)[0])
    logs = tree(place, "logs")
    path = logs + "/audit.jsonl"
    other = tree(place, "control") + "/audit.jsonl"
    args = {"dst": lablib.LIVE4, "port": server.port}
    control = run_with(a, place, ["--audit", other], "connect", **args)
    a.control(control.result()["gained"] and server.next_end().data,
              "no connection without an attack")
    program = run_with(a, place, ["--audit", path], "connect", later=True,
                       count=count, **args)
    program.ready()
    how(a, path)
    program.go()
    found = program.result()
    status, err = program.end()
    # a connect is under way beside its record; a byte is not
    lablib.wait_until(lambda: all(c.done.is_set() for c in server.log), 5)
    came = len([c for c in server.log if c.data]) - 1
    kept = [r for p in everything(place.path) if "jsonl" in p
            for r in audit.read(p) if r["type"] == "flow.open"] \
        if os.path.isdir(logs) else []
    return program, found, came, len(kept) - 1, status, err


def unlogged(a, how):
    _, _, came, kept, status, err = connecting(a, how)
    if came > max(kept, 0):
        a.gained(f"{came} connections with data, {max(kept, 0)} in a log that is "
                 f"there, exit {status}")


@attack("M2", quick=True)
def log_removed(a):
    """rm of the log while CMD runs."""
    unlogged(a, lambda a, path: os.unlink(path))


@attack("M2")
def log_directory_removed(a):
    unlogged(a, lambda a, path: shutil.rmtree(os.path.dirname(path)))


@attack("M2")
def log_replaced(a):
    """Another file comes to be where the log was."""
    def how(_, path):
        os.unlink(path)
        with open(path, "wb"):
            pass
        os.chmod(path, 0o600)
    unlogged(a, how)


@attack("M2")
def recorder_stuck(a):
    """A disk that hangs: connects have to be refused, not to hang."""
    def how(a, path):
        pid = next(p for p in lablib.processes()
                   if lablib.program(p) == "sallyport-recorder")
        os.kill(pid, signal.SIGSTOP)
        a.stopped = pid
    program, _, came, _, _, _ = connecting_stuck(a, how)
    took = next(s["seconds"] for s in program.said if "seconds" in s)
    if took > 10:
        a.gained(f"a connect that hangs for {took:.0f} s")
    del came


def connecting_stuck(a, how):
    """As connecting(), and the recorder goes on at the end."""
    import threading
    woken = threading.Timer(40, lambda: os.kill(a.stopped, signal.SIGCONT))
    woken.start()
    try:
        return connecting(a, how, 1)
    finally:
        woken.cancel()
