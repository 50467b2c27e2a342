"""File systems that do something outside when they are looked at, and second ways to
what is covered: the host's mounts, seen from CMD."""
import os
import select
import signal
import subprocess

import log
import nspace
import standins
from corpus import Program, another, attack, tree


class Automounter:
    """autofs with a daemon of ours on the host: what it is asked for. It answers
    nobody, so who asks waits. `home` is what it has mounted already, as `me`."""

    def __init__(self, a, place, kind, home=None):
        self.where = place
        os.makedirs(place, exist_ok=True)
        self.reader, writer = os.pipe()
        ready, told = os.pipe()
        self.daemon = os.fork()
        if self.daemon == 0:
            os.setsid()
            try:
                nspace.mount("auto", place, "autofs", 0,
                             f"fd={writer},pgrp={os.getpgrp()},minproto=5,"
                             f"maxproto=5,{kind}")
                if home:
                    os.mkdir(place + "/me")
                    nspace.mount(home, place + "/me", "none", nspace.MS_BIND)
                os.write(told, b"+")
            finally:
                os.close(told)
                signal.pause()
                os._exit(0)
        os.close(writer)
        os.close(told)
        self.good = os.read(ready, 1) == b"+"
        self.home = home
        os.close(ready)
        a.t.keep(self)
        if not self.good:
            a.skip("no autofs here")

    def asked(self):
        found = b""
        while select.select([self.reader], [], [], 0.3)[0]:
            text = os.read(self.reader, 4096)
            if not text:
                break
            found += text
        return found

    def close(self):
        if self.good and self.home:
            nspace.umount(self.where + "/me")
        if self.good:
            nspace.umount(self.where)
        os.kill(self.daemon, signal.SIGKILL)
        os.waitpid(self.daemon, 0)
        os.close(self.reader)


def look(a, place, paths, inside, home=None):
    """CMD looks at these, a second each; it may be left waiting."""
    logs = tree(place, "logs")          # nobody's home, nor where CMD works
    program = Program(a, place, "look", inside=inside, log=logs + "/audit.jsonl",
                      backwards=[p[::-1] for p in paths], env={"HOME": home} if home else None, cwd=home)
    try:
        return program.result(20)["tried"]
    except subprocess.TimeoutExpired:
        return None
    finally:
        program.close()


def automounted(a, name, kind, path, home=False):
    place = a.place()
    where = os.path.join(a.lab.scratch, name)
    auto = Automounter(a, where, kind, place.path if home else None)
    me = where + "/me" if home else None
    tried = look(a, place, [where + path], True, me)
    heard = auto.asked()
    look(a, place, [where + path], False, me)
    a.control(tried and (auto.asked() or heard), "the automounter is not asked")
    if heard:
        a.gained(f"the host's automounter is asked below {where}"
                 + ", by the name secret.example" * (b"secret" in heard))
    auto.close()
    a.t.open.remove(auto)
    another(a, place)


@attack("suspected", root=True, timeout=120)
def mounts_autofs(a):
    """A map like -hosts: to look at /net/NAME has the host ask for NAME and mount
    from there. Also where the user's own home is in a map."""
    automounted(a, "net", "indirect", "/secret.example")
    automounted(a, "a net\t2", "indirect", "/secret.example/deep")
    automounted(a, "homes", "indirect", "/secret.example", home=True)


@attack("suspected", root=True, documented="by an indirect map")
def mounts_autofs_direct(a):
    """A map without names: that somebody looked is all that gets out."""
    automounted(a, "direct", "direct", "/x")


class Second:
    """The same directory at a second place, as /home on a disk that is mounted
    elsewhere too."""

    def __init__(self, a, source, target):
        os.makedirs(target, exist_ok=True)
        nspace.mount(source, target, "none", nspace.MS_BIND)
        self.target = target
        a.t.keep(self)

    def close(self):
        nspace.umount(self.target)


@attack("H1")
def mounts_second_way_to_sockets(a):
    """~/.gnupg and what else is covered, by another mount of the same tree."""
    place = a.place()
    host = standins.Host(a, place)
    home = place.path
    first = [host.listen(home + p) for p in ("/.gnupg/S.dirmngr", "/app/api.sock")]
    second = Second(a, home, os.path.join(a.lab.scratch, "second"))
    paths = [p.replace(home, second.target) for p in first]
    Program(a, place, "reach", inside=False, paths=paths).result()
    # who is heard is told by the path that was spoken to: both count
    told = Program(a, place, "reach", inside=False, paths=paths).result()
    a.control(len(told["gained"]) == 2, f"on the host: {told}")
    told = Program(a, place, "reach", paths=paths).result()
    if told["gained"]:
        a.gained(f"{len(told['gained'])} of 2 by a second mount of the home")


@attack("H3")
def mounts_second_way_to_the_log(a):
    """Log and policy by another mount of the same tree."""
    place = a.place()
    second = Second(a, place.path, os.path.join(a.lab.scratch, "second"))
    logs = tree(place, "logs")
    path = logs + "/audit.jsonl"
    program = log.run_with(a, place, ["--audit", path], "spoil",
                           path=path.replace(place.path, second.target))
    found = program.result()
    status, err = program.end()
    a.control(found["tried"] >= 8, f"{found}")
    log.judge(a, status, err, lost=False)
    program = log.run_with(a, place, ["--audit", place.path + "/other/l"],
                           "nothing")
    with open(place.policy, encoding="utf-8") as file:
        before = file.read()
    log.run_with(a, place, ["--audit", path], "spoil", path=place.policy.replace(
        place.path, second.target)).result()
    try:
        with open(place.policy, encoding="utf-8") as file:
            same = file.read() == before
    except FileNotFoundError:
        same = False
    if not same:
        a.gained("the policy was changed by a second mount of its directory")


@attack("H1")
def mounts_second_way_below_run(a):
    """/run/user/UID, a mount below /run, at a second place; a socket made later."""
    place = a.place()
    host = standins.Host(a, place)
    runtime = f"/run/user/{host.user}"
    nspace.mount("host", runtime, "tmpfs", 0, "mode=0755")
    host.made.append(runtime)
    second = Second(a, runtime, os.path.join(a.lab.scratch, "second"))
    for path in ("/bus", "/later"):
        if path == "/bus":
            host.listen(runtime + path)
        program = Program(a, place, "reach", paths=[second.target + path],
                          later=True)
        program.ready()
        host.listen(runtime + path)
        program.go()
        if program.result()["gained"]:
            a.gained(f"{path} by a second mount of {runtime}")
        told = Program(a, place, "reach", inside=False,
                       paths=[second.target + path]).result()
        a.control(told["gained"], f"on the host: {told}")


@attack("H1", root=True)
def mounts_second_proc(a):
    """A procfs of the host's at a second place, as in a chroot: who runs there. What
    CMD has instead may have the same numbers, so it is the words that count."""
    place = a.place()
    where = os.path.join(a.lab.scratch, "chroot")
    os.makedirs(where, exist_ok=True)
    nspace.mount("proc", where, "proc")
    a.t.keep(mount_of(where))
    mark = str(int.from_bytes(os.urandom(6), "big"))
    other = subprocess.Popen(["sleep", "60", "0." + "0" * 9 + mark])
    try:
        for inside in (False, True):
            told = Program(a, place, "shows", inside=inside, mark=mark,
                           path=f"{where}/{other.pid}/cmdline").result()
            if inside:
                a.gained_all(told["gained"])
            else:
                a.control(told["gained"], f"on the host: {told}")
    finally:
        other.kill()
        other.wait()


def mount_of(path):
    mount = Second.__new__(Second)
    mount.target = path
    return mount


@attack("H3a")
def log_by_a_link_in_tmp(a):
    """HOME, --audit and -p by a symbolic link in /tmp, of which CMD has its own."""
    place = a.place()
    standins.Host(a, place)                 # a /tmp of the lab's
    link = "/tmp/link"
    os.symlink(place.path, link)
    tree(place, "logs")
    path = link + "/logs/audit.jsonl"
    linked = place.policy.replace(place.path, link)
    real, place.policy = place.policy, linked
    with open(real, encoding="utf-8") as file:
        before = file.read()
    for what in (place.path + "/logs/audit.jsonl", real):
        program = log.run_with(a, place, ["--audit", path], "spoil", path=what,
                               env={"HOME": link})
        found = program.result()
        status, err = program.end()
        a.control(found["tried"] >= 8, f"{found}")
        if what != real:
            log.judge(a, status, err, lost=False)
    try:
        with open(real, encoding="utf-8") as file:
            same = file.read() == before
    except FileNotFoundError:
        same = False
    if not same:
        a.gained("the policy was changed")


@attack("H1", root=True)
def mounts_second_sysctl(a):
    """What root writes in it: the host's sysctls."""
    place = a.place()
    where = os.path.join(a.lab.scratch, "chroot")
    os.makedirs(where, exist_ok=True)
    nspace.mount("proc", where, "proc")
    a.t.keep(mount_of(where))
    path = where + "/sys/kernel/core_pattern"
    with open(path, encoding="utf-8") as file:
        text = file.read().strip()
    told = Program(a, place, "order", inside=False, path=path, text=text).result()
    a.control(told["gained"] or a.lab.user, "root cannot write it")
    a.gained_all(Program(a, place, "order", path=path, text=text)
                 .result()["gained"])


@attack("H3", quick=True)
def home_by_a_link_in_tmp(a):
    """HOME is a link in a directory that CMD has one of its own of: log, policy and
    known sockets are at its end, where the link does not lead for CMD."""
    place = a.place()
    host = standins.Host(a, place)
    link = f"/tmp/link-{os.getpid()}"
    os.symlink(place.path, link)
    host.directory(place.path + "/.gnupg", 0o700)
    other = tree(place, "work")
    with open(place.policy, encoding="utf-8") as file:
        before = file.read()
    real, place.policy = place.policy, link + "/policy.conf"
    for options, path in (([], "/.local/state/sallyport/none"),
                          (["--audit", link + "/own/a.jsonl"], "/own/a.jsonl")):
        tree(place, "own")
        program = log.run_with(a, place, options, "spoil", env={"HOME": link},
                               cwd=other, path=place.path + path)
        a.control(program.result()["tried"] >= 8, "nothing was tried")
        status, err = program.end()
        log.judge(a, status, err)
    log.run_with(a, place, [], "spoil", env={"HOME": link}, cwd=other,
                 path=real).result()
    if not os.path.exists(real) or log.everything(place.path)[real] != before.encode():
        a.gained("the policy was changed")
        place.write("policy.conf", before)
    socket = place.path + "/.gnupg/later"
    program = log.run_with(a, place, [], "reach", env={"HOME": link}, cwd=other,
                           paths=[socket], later=True)
    program.ready()
    host.listen(socket)
    program.go()
    if program.result()["gained"]:
        a.gained("a later socket in ~/.gnupg")
    a.control(Program(a, place, "reach", inside=False, cwd=other,
                      paths=[socket]).result()["gained"], "nobody listens")


@attack("H3d", quick=True)
def log_of_a_neighbour(a):
    """A run with a log elsewhere meets those in the default directory: one that is
    written now, and earlier ones."""
    place = a.place()
    live = log.run_with(a, place, [], "connect", dst="192.0.2.1", port=9,
                        later=True)
    live.ready()
    state = place.path + "/.local/state/sallyport"
    files = [os.path.join(state, n) for n in os.listdir(state)
             if n.endswith(".jsonl")]
    a.control(len(files) == 1, f"logs: {files}")
    own = tree(place, "own") + "/audit.jsonl"
    log.run_with(a, place, ["--audit", own], "spoil", path=files[0]).result()
    live.go()
    live.result()
    status, err = live.end()
    log.judge(a, status, err, lost=False)
    if status == 125:
        a.gained("another run was made to fail: its log was harmed")


@attack("H3", documented="where the host removes the log's directory")
def log_directory_made_anew(a):
    """The host removes the log's directory, which takes CMD's cover along; the next
    run makes it again, and CMD is still there."""
    import shutil
    place = a.place()
    first = log.run_with(a, place, [], "nothing")
    path = log.NAMED.search(first.end()[1])[1]
    state = os.path.dirname(path)
    program = log.run_with(a, place, [], "spoil", path=state + "/x", later=True)
    program.ready()
    shutil.rmtree(state)
    other = log.run_with(a, place, [], "nothing")
    _, err = other.end()
    path = log.NAMED.search(err)[1]
    with open(path, "rb") as file:
        before = file.read()
    a.control(b"daemon.stop" in before, "no log of the other run")
    program.go()
    program.result()
    program.end()
    if not os.path.exists(path) or log.everything(state)[path] != before:
        a.gained("the log of another run was changed")


@attack("suspected", quick=True)
def limits_of_cmd(a):
    """What CMD could use up or leave: core dumps for a program outside, addresses
    that are known, a neighbour's share."""
    place = a.place()
    for inside in (False, True):
        program = Program(a, place, "limits", inside=inside,
                          prefix=["setarch", "-R", "prlimit", "--core=unlimited"])
        said = program.result()
        words = next(s["limits"] for s in program.said if "limits" in s)
        if not inside:
            outside = words
            a.control(words["personality"] & 0x40000 and words["core"] == -1,
                      f"{words}")
            continue
        del said
        if words["personality"] & 0x440000:
            a.gained(f"personality {words['personality']:#x} is inherited")
        if words["core"] not in (0, 1):
            a.gained(f"core dumps of {words['core']} bytes")
        if words["nofile"] * 2 > outside["nofile"] + 1:
            a.gained(f"{words['nofile']} of the user's {outside['nofile']} "
                     "descriptors")


@attack("held")
def cgroup_of_cmd(a):
    """The control group of the run is not CMD's to freeze, where it may not."""
    place = a.place()
    found = Program(a, place, "cgroups").result()
    a.control(found["tried"] > 0 or not os.path.exists("/sys/fs/cgroup"),
              f"{found}")
    a.gained_all(found["gained"])
