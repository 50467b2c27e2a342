"""Talking to programs of the host that would use the network for CMD."""
import os
import shutil
import socket
import subprocess

import lab as lablib
from corpus import NoAttack, Program, attack, environment
from standins import DGRAM, PACKET, STREAM, Host


def shown(paths, home):
    return [p.replace(home, "~") for p in sorted(paths)]


def world(a):
    place = a.place()
    return place, Host(a, place)


def heard_by(a, place, host, paths, what=""):
    """Whoever was spoken to has been gained."""
    found = host.hears(paths, 0.5)
    if found:
        a.gained(f"{len(found)} of {len(paths)} heard{what}: "
                 + ", ".join(shown(found, place.path)))


def spoken_on_the_host(a, place, host, paths):
    """The control: without Sallyport the same program is heard by all."""
    Program(a, place, "reach", inside=False, paths=paths).result()
    missing = set(paths) - host.hears(paths, 5)
    a.control(not missing, f"not heard on the host: {sorted(missing)[:5]}")
    host.forget()


def try_all(a, place, host, paths, name="reach", **more):
    spoken_on_the_host(a, place, host, paths)
    Program(a, place, name, paths=paths, **more).result()
    heard_by(a, place, host, paths)


@attack("H1", quick=True)
def sockets_existing(a):
    """Every usual socket of a host, there from the start."""
    place, host = world(a)
    try_all(a, place, host, host.everything())


@attack("H1", quick=True)
def sockets_restarted(a):
    """Unlinked and bound again while CMD runs, as a restart does."""
    place, host = world(a)
    paths = host.everything()
    spoken_on_the_host(a, place, host, paths)
    program = Program(a, place, "reach", paths=paths, later=True)
    program.ready()
    host.everything()
    program.go()
    program.result()
    heard_by(a, place, host, paths)


@attack("H1")
def sockets_directory_restarted(a):
    """The whole directory is removed and made again: RuntimeDirectory=."""
    place, host = world(a)
    paths = [p for p in host.everything() if p.startswith("/run/") and
             p.count("/") > 2]
    spoken_on_the_host(a, place, host, paths)
    program = Program(a, place, "reach", paths=paths, later=True)
    program.ready()
    for name in os.listdir("/run"):
        if os.path.isdir("/run/" + name) and not os.path.islink("/run/" + name):
            shutil.rmtree("/run/" + name)
    for path in paths:
        host.listen(path)
    program.go()
    program.result()
    heard_by(a, place, host, paths)


LATER = ["/tmp/later", "/tmp/tmux-{u}/default", "/tmp/.X11-unix/X1", "/tmp/new/deep/x",
         "/var/tmp/later", "/dev/shm/later", "/run/later", "/run/user/{u}/later",
         "/run/user/{u}/new/later", "/run/docker.sock", "/run/user/4242/bus",
         "/run/lock/later", "/run/shm/later", "/dev/mqueue/later"]


@attack("H1", quick=True)
def sockets_later(a):
    """Made while CMD runs, in directories that may not have been there."""
    place, host = world(a)
    host.directory("/run/lock", 0o777)
    paths = [p.format(u=host.user) for p in LATER[:-1]]
    program = Program(a, place, "reach", paths=paths, later=True)
    program.ready()
    for path in paths:
        host.listen(path)
    program.go()
    program.result()
    heard_by(a, place, host, paths)
    spoken_on_the_host(a, place, host, paths)


@attack("H1")
def sockets_login_later(a):
    """/run/user/UID comes with a login that is later than CMD."""
    place, host = world(a)
    shutil.rmtree(f"/run/user/{host.user}")
    paths = [f"/run/user/{host.user}/{n}" for n in ("bus", "podman/podman.sock")]
    program = Program(a, place, "reach", paths=paths, later=True)
    program.ready()
    for path in paths:
        host.listen(path)
    program.go()
    program.result()
    heard_by(a, place, host, paths)
    spoken_on_the_host(a, place, host, paths)


@attack("H1")
def sockets_of_a_mounted_runtime(a):
    """The same as systemd does it: a tmpfs is mounted there at the login."""
    import nspace
    place, host = world(a)
    runtime = f"/run/user/{host.user}"
    paths = [runtime + "/bus", runtime + "/systemd/private"]
    program = Program(a, place, "reach", paths=paths, later=True)
    program.ready()
    nspace.mount("host", runtime, "tmpfs", 0, "mode=0755")
    host.made.append(runtime)
    for path in paths:
        host.listen(path)
    program.go()
    program.result()
    heard_by(a, place, host, paths)
    spoken_on_the_host(a, place, host, paths)


KNOWN = [".ssh", ".gnupg", ".docker/run", ".vscode-server"]


@attack("H1")
def sockets_later_in_known_directories(a):
    """In directories of the home that are known for sockets."""
    place, host = world(a)
    for name in KNOWN:
        host.directory(os.path.join(place.path, name), 0o700)
    paths = [os.path.join(place.path, name, "later") for name in KNOWN]
    program = Program(a, place, "reach", paths=paths, later=True)
    program.ready()
    for path in paths:
        host.listen(path)
    program.go()
    program.result()
    heard_by(a, place, host, paths)
    spoken_on_the_host(a, place, host, paths)


@attack("H1")
def sockets_beside_known_ones(a):
    """Made later in a directory where another one listened from the start."""
    place, host = world(a)
    home = place.path
    first = [home + "/app/run/first", home + "/deep/er/first"]
    later = [p.replace("first", "later") for p in first]
    for path in first:
        host.listen(path)
    program = Program(a, place, "reach", paths=later, later=True)
    program.ready()
    for path in later:
        host.listen(path)
    program.go()
    program.result()
    heard_by(a, place, host, later)
    spoken_on_the_host(a, place, host, later)


@attack("H1", documented="after the command has started, in a directory that both share")
def sockets_later_anywhere(a):
    """Made later in a directory of the home that nobody knows."""
    place, host = world(a)
    host.directory(place.path + "/work/deep")
    paths = [place.path + "/work/later", place.path + "/work/deep/later",
             place.path + "/made/later"]
    program = Program(a, place, "reach", paths=paths, later=True)
    program.ready()
    for path in paths:
        host.listen(path)
    program.go()
    program.result()
    heard_by(a, place, host, paths)
    spoken_on_the_host(a, place, host, paths)


@attack("H1", quick=True)
def sockets_of_other_kinds(a):
    """Each kind of socket at each kind of place: a cover is of names, and a check
    that knows streams only is none."""
    place, host = world(a)
    places = ["/run/{}", "/tmp/{}", "/var/tmp/{}", "/dev/shm/{}",
              f"/run/user/{host.user}/{{}}", place.path + "/.ssh/{}"]
    paths = [host.listen(p.format(name), kind) for p in places
             for name, kind in (("s", STREAM), ("d", DGRAM), ("p", PACKET))]
    try_all(a, place, host, paths)


@attack("H1")
def sockets_renamed(a):
    """/proc/net/unix has the names that were bound: another one, a hard link, a
    relative one, one with a newline."""
    place, host = world(a)
    home = place.path
    for path in (home + "/a/old", home + "/b/one", home + "/c/x"):
        host.listen(path)
    os.rename(home + "/a/old", home + "/a/new")
    os.makedirs(home + "/elsewhere")
    os.link(home + "/b/one", home + "/elsewhere/two")
    os.rename(home + "/c", home + "/d")
    odd = host.listen(home + "/odd\nname/so ck")
    back = os.getcwd()
    os.chdir(home)
    try:
        os.mkdir("rel")
        host.own(home + "/rel")
        relative = socket.socket(socket.AF_UNIX)
        relative.bind("rel/ative")
        relative.listen(8)
    finally:
        os.chdir(back)
    os.chmod(home + "/rel/ative", 0o666)
    names = {home + "/a/new": home + "/a/old", home + "/elsewhere/two":
             home + "/b/one", home + "/d/x": home + "/c/x", odd: odd}
    paths = [*names, home + "/rel/ative"]
    for inside in (False, True):
        told = Program(a, place, "reach", inside=inside, paths=paths).result()
        found = set(told["gained"])
        if not inside:
            a.control(found == set(paths), f"on the host only {found}")
        elif found:
            a.gained(f"{len(found)} of {len(paths)}: "
                     f"{shown(found, place.path)}")
    relative.close()


@attack("H1", quick=True)
def sockets_roundabout(a):
    """By descriptors, links, /proc/PID/root, file handles."""
    place, host = world(a)
    home = place.path
    paths = [host.listen(p) for p in (
        "/run/docker.sock", f"/run/user/{host.user}/bus",
        f"/tmp/tmux-{host.user}/default", home + "/.gnupg/S.dirmngr",
        home + "/app/api.sock")]
    Program(a, place, "roundabout", inside=False, paths=paths).result()
    a.control(host.hears(paths, 5) == set(paths), "not heard on the host")
    host.forget()
    found = Program(a, place, "roundabout", paths=paths).result()
    heard_by(a, place, host, paths, f" ({'; '.join(found['gained'])[:200]})")


@attack("H1", timeout=180)
def sockets_nested(a):
    """By nested namespaces: umount, bind, overlay, open_tree, pivot_root."""
    place, host = world(a)
    home = place.path
    paths = [host.listen(p) for p in (
        "/run/docker.sock", "/var/tmp/x.sock", home + "/.gnupg/S.dirmngr")]
    spoken_on_the_host(a, place, host, paths)
    program = Program(a, place, "nested", paths=paths)
    found = program.result(150)
    a.control(found["tried"] > 100, f"{found['tried']} tries")
    heard_by(a, place, host, paths, f" ({'; '.join(found['gained'])[:200]})")


@attack("H1", quick=True)
def sockets_abstract(a):
    """Abstract names of the host's network namespace."""
    place, host = world(a)
    names = ["/tmp/.X11-unix/X0", "/tmp/dbus-x", "containerd-shim", "kdeinit"]
    paths = [host.listen("\0" + n, kind, name="@" + n)
             for n, kind in zip(names, (STREAM, STREAM, DGRAM, PACKET))]
    told = ["@" + n for n in names]
    Program(a, place, "abstract", inside=False, names=names).result()
    a.control(host.hears(told, 5) == set(told), "not heard on the host")
    host.forget()
    Program(a, place, "abstract", names=names).result()
    heard_by(a, place, host, told)
    del paths


@attack("H1")
def sockets_of_another_namespace(a):
    """Made in another network namespace: no list of ours has them."""
    place, host = world(a)
    home = place.path
    paths = [host.listen(p, netns=a.lab.internet) for p in (
        f"/run/user/{host.user}/docker.sock", "/tmp/rootless/api.sock",
        "/var/tmp/api.sock", home + "/.docker/run/docker.sock")]
    try_all(a, place, host, paths)


@attack("H1", documented="a program in another network namespace")
def sockets_of_another_namespace_anywhere(a):
    """The same in a directory of the home that nobody knows: a volume."""
    place, host = world(a)
    paths = [host.listen(place.path + "/volume/api.sock",
                         netns=a.lab.internet)]
    try_all(a, place, host, paths)


@attack("H1", quick=True)
def sockets_beside_the_work(a):
    """CMD works below /tmp or $XDG_RUNTIME_DIR: its neighbours there."""
    place, host = world(a)
    for work in ("/tmp/work", "/var/tmp/work", "/dev/shm/work",
                 f"/run/user/{host.user}/work"):
        host.directory(work)
        top = os.path.dirname(work)
        paths = [host.listen(p) for p in (
            top + "/beside.sock", top + "/other/x.sock", "/tmp/tmux-0/default")]
        spoken_on_the_host(a, place, host, paths)
        program = Program(a, place, "reach", paths=paths, cwd=work)
        if refused(program, f"in {work}"):
            continue
        program.result()
        heard_by(a, place, host, paths, f" from {work}")


def refused(program, what):
    """`run` does not start CMD like that, which is an answer too."""
    status, err = program.end()
    if status == 125 and not program.said:
        return True
    if not program.said:
        raise NoAttack(f"{what}: status {status}, {err[-200:]!r}")
    return False


@attack("H1")
def sockets_where_the_work_is_all(a):
    """CMD works in /tmp, in /run/user/UID, in / or in /run itself."""
    place, host = world(a)
    paths = [host.listen(p) for p in (
        "/run/docker.sock", f"/tmp/tmux-{host.user}/default", "/var/tmp/x",
        f"/run/user/{host.user}/bus", "/dev/shm/x")]
    spoken_on_the_host(a, place, host, paths)
    for work in ("/tmp", "/var/tmp", "/dev/shm", f"/run/user/{host.user}", "/run",
                 "/"):
        host.forget()
        program = Program(a, place, "reach", paths=paths, cwd=work)
        if not refused(program, f"in {work}"):
            heard_by(a, place, host, paths, f" from {work}")


@attack("H1")
def sockets_where_the_environment_says(a):
    """XDG_RUNTIME_DIR, TMUX_TMPDIR, SSH_AUTH_SOCK, DBUS_* point elsewhere."""
    place, host = world(a)
    home = place.path
    paths = [host.listen(home + p) for p in (
        "/rt/bus", "/tt/tmux-1/default", "/ag/agent", "/dbus/sock", "/x/X0")]
    env = {"XDG_RUNTIME_DIR": home + "/rt", "TMUX_TMPDIR": home + "/tt",
           "SSH_AUTH_SOCK": home + "/ag/agent", "TMPDIR": home + "/x",
           "DBUS_SESSION_BUS_ADDRESS":
           f"tcp:host=nowhere;unix:guid=1,path={home}/dbus/sock",
           "DOCKER_HOST": f"unix://{home}/x/X0"}
    os.chmod(home + "/rt", 0o700)
    try_all(a, place, host, paths, env=env)


@attack("H1")
def sockets_of_an_exposed_directory_only(a):
    """--expose of one path opens that one."""
    place, host = world(a)
    wanted = host.listen("/run/wanted/socket")
    paths = [host.listen(p) for p in ("/run/docker.sock", "/run/wanted2/socket",
                                      f"/run/user/{host.user}/bus")]
    spoken_on_the_host(a, place, host, [wanted, *paths])
    Program(a, place, "reach", paths=[wanted, *paths],
            options=["--expose", "/run/wanted"]).result()
    heard_by(a, place, host, paths)


# ---- the real ones ----------------------------------------------------------------

class Real:
    """A program of Debian's, as the user, on the host; up when `path` is there."""

    def __init__(self, a, place, argv, path, env=None):
        if not shutil.which(argv[0]):
            a.skip(f"no {argv[0]}")
        self.a, self.place = a, place
        self.env = environment(place, env)
        self.process = subprocess.Popen(
            [*a.lab.as_user(), *argv], stdin=subprocess.DEVNULL, cwd=place.path,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.env,
            process_group=0)
        a.t.keep(self)
        if not lablib.wait_until(lambda: os.path.exists(path), 10):
            a.skip(f"{argv[0]} does not start")

    def close(self):
        self.process.terminate()
        self.process.wait()


def try_real(a, place, start, command, words, env=None):
    """start() starts it: before CMD, and again while another CMD is there. What
    CMD then has it do is `command`, which says `words` if it was done."""
    how = {"env": env, "commands": [[command, words]]}
    late = Program(a, place, "shell", later=True, **how)
    late.ready()
    real = start()
    found = Program(a, place, "shell", inside=False, **how).result(60)
    a.control(found["gained"], f"on the host: {found}")
    late.go()
    if late.result(60)["gained"]:
        a.gained("it was started while CMD ran")
    if Program(a, place, "shell", **how).result(60)["gained"]:
        a.gained("it was there before CMD")
    real.close()


def told_to_write(what, mark):
    """`what` makes somebody else write the file; what he wrote is said."""
    return (f"({what}) >/dev/null 2>&1 & for i in $(seq 30); do test -s {mark} && "
            f"break; sleep .1; done; cat {mark}; rm -f {mark}; kill $! 2>&-")


def outside():
    """What a program says of itself that is not CMD's."""
    return os.readlink("/proc/self/ns/net")


@attack("H1", quick=True)
def real_tmux(a):
    """The user's tmux runs a command for CMD, outside."""
    place, host = world(a)
    mark = os.path.join(place.path, "mark")
    try_real(a, place, lambda: Real(
        a, place, ["tmux", "-D"], f"/tmp/tmux-{host.user}/default"),
        told_to_write("tmux new-session -d 'readlink /proc/self/ns/net "
                      f">{mark}'", mark), outside())


@attack("H1")
def real_dirmngr(a):
    """dirmngr fetches a URL for CMD, where there is no /run/user."""
    import servers
    place, host = world(a)
    shutil.rmtree(f"/run/user/{host.user}")
    server = a.t.serve(servers.http(b"fetched"))
    home = os.path.join(place.path, ".gnupg")
    os.mkdir(home)
    place.own(home, 0o700)
    path = home + "/S.dirmngr"
    script = ("import socket; s = socket.socket(socket.AF_UNIX); "
              f"s.connect('{path}'); s.recv(99); s.sendall(b'KS_FETCH "
              f"http://{lablib.LIVE4}:{server.port}/x\\n'); s.recv(99)")
    dirmngr = lambda: Real(a, place, ["dirmngr", "--daemon"], path)  # noqa: E731
    dirmngr()
    for inside in (False, True):
        before = len(server.log)
        Program(a, place, "shell", inside=inside, commands=[
            [f'python3 -c "{script}"', "x"]]).result(60)
        came = lablib.wait_until(lambda b=before: len(server.log) > b, 3)
        if not inside:
            a.control(came, "it fetches nothing on the host")
        elif came:
            a.gained("it fetched a URL")
    subprocess.run([*a.lab.as_user(), "gpgconf", "--kill", "all"],
                   env=environment(place), check=False)


BUS = ("<busconfig><type>session</type><listen>unix:path={path}</listen>"
       "<auth>EXTERNAL</auth><servicedir>{dir}</servicedir>"
       "<policy context='default'><allow send_destination='*' eavesdrop='true'/>"
       "<allow eavesdrop='true'/><allow own='*'/></policy></busconfig>\n")


@attack("H1")
def real_dbus(a):
    """A session bus starts a service for CMD, outside."""
    if a.lab.user:
        a.skip("dbus-daemon serves nobody without a name in /etc/passwd")
    place, host = world(a)
    mark = os.path.join(place.path, "mark")
    services = os.path.join(place.path, "services")
    os.makedirs(services)
    path = f"/run/user/{host.user}/bus"
    conf = place.write("bus.conf", BUS.format(path=path, dir=services))
    script = place.write("script", "#!/bin/sh\nreadlink /proc/self/ns/net "
                         f">{mark}\n", 0o755)
    os.rename(place.write("x", f"[D-BUS Service]\nName=x.mark\nExec={script}\n"),
              services + "/x.mark.service")
    try_real(a, place, lambda: Real(
        a, place, ["dbus-daemon", "--nofork", "--nopidfile", "--config-file",
                   conf], path),
        told_to_write("dbus-send --session --print-reply "
                      "--dest=org.freedesktop.DBus / "
                      "org.freedesktop.DBus.StartServiceByName string:x.mark "
                      "uint32:0", mark), outside(),
        {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={path}"})


@attack("H1")
def real_ssh_agent(a):
    """The user's agent answers CMD; where ssh-agent itself puts it."""
    place, host = world(a)
    for path in ("/tmp/ssh-XXXXaa/agent.1", f"/run/user/{host.user}/agent"):
        host.directory(os.path.dirname(path), 0o700)
        try_real(a, place, lambda p=path: Real(
            a, place, ["ssh-agent", "-D", "-a", p], p), "ssh-add -l; true",
            "no identities", {"SSH_AUTH_SOCK": path})
