"""CMD's world: which of the host's files, sockets and terminals `run` lets its
command reach, and that what people do every day works in there.

The host of these cases has a /run and a /tmp of its own (Host): nothing of the
machine's is touched, and no name of a socket is shared with anybody.
"""
import ctypes
import json
import os
import pty
import re
import select
import shutil
import socket
import subprocess
import tempfile

import lab
import nspace
from cases_run import MACHINERY, NOT_FOUND, Place, terminal
from trial import OURS, Failure, case

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

# CMD: tries each path as a stream and as a datagram socket, once at the start and
# once more after a line on its standard input. One list of JSON for each time.
TRY = """
import json, socket, sys
def one(path):
    said = []
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
        s = socket.socket(socket.AF_UNIX, kind)
        try:
            s.connect(path)
            s.send(b"out")
            said.append("sent")
        except OSError as e:
            said.append(e.strerror)
        s.close()
    return said
for line in sys.stdin:
    print(json.dumps({p: one(p) for p in json.loads(line)}), flush=True)
"""


class Host(Place):
    """A home, a /run and a /tmp, with sockets that know who came."""

    MOUNTED = ("/run", "/tmp", "/var/tmp")

    def __init__(self, t):
        super().__init__(t)
        self.sockets = {}
        self.uid = t.lab.uid
        for path in self.MOUNTED:
            nspace.mount("tmpfs", path, "tmpfs", 0, "mode=1777")
        self.env = {"PATH": PATH, "HOME": self.path}

    def close(self):
        for listener in self.sockets.values():
            listener.close()
        for path in self.MOUNTED:
            nspace.umount(path)
        super().close()

    def directory(self, path, mode=0o755):
        """With its parents; those are the user's as well, outside of /run."""
        made = []
        while not os.path.isdir(path):
            made.append(path)
            path = os.path.dirname(path)
        for path in reversed(made):
            os.mkdir(path)
            self.own(path, mode)
        return path

    def listen(self, path, kind=socket.SOCK_STREAM):
        """As a service does that starts: what was there goes first."""
        self.directory(os.path.dirname(path))
        if path in self.sockets:
            self.sockets.pop(path).close()
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX, kind)
        listener.setblocking(False)
        listener.bind(path)
        if kind != socket.SOCK_DGRAM:
            listener.listen(5)
        self.own(path, 0o666)
        self.sockets[path] = listener
        return path

    def reached(self):
        """The sockets that somebody has connected or sent to."""
        ready = select.select(list(self.sockets.values()), [], [], 0)[0]
        return sorted(p for p, s in self.sockets.items() if s in ready)

    def argv(self, *options, policy=True):
        return [*self.t.lab.as_user(),
                "env", *(f"{k}={v}" for k, v in self.env.items()),
                os.path.join(self.t.bindir, "sallyport"), "run",
                *(["-p", self.policy] if policy else []),
                "--audit", os.path.join(self.path, "log.d", "log"), *options]

    def start(self, *command, options=("-q",), cwd=None, **more):
        self.directory(os.path.join(self.path, "log.d"), 0o700)
        return subprocess.Popen(
            [*self.argv(*options), "--", *command], cwd=cwd or self.path,
            env={"PATH": PATH}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, **more)

    def cmd(self, *command, timeout=60, **more):
        """[status, stdout, stderr], without what root is told each time."""
        process = self.start(*command, **more)
        out, err = process.communicate(timeout=timeout)
        err = "\n".join(line for line in err.decode().splitlines()
                        if "CMD " not in line or "root" not in line)
        return process.returncode, out.decode(), err

    def sh(self, script, **more):
        return self.cmd("sh", "-c", script, **more)


class Inside:
    """A CMD that tries sockets when it is told to."""

    def __init__(self, t, host, options=("-q",), cwd=None):
        self.t = t
        self.process = host.start("/usr/bin/python3", "-c", TRY,
                                  options=options, cwd=cwd)
        self.host = host

    def tries(self, paths):
        self.process.stdin.write((json.dumps(paths) + "\n").encode())
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise Failure("CMD ended: "
                          + self.process.stderr.read().decode()[-300:])
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process.stderr.close()


def refused(t, host, found, what):
    through = {p: said for p, said in found.items() if "sent" in said}
    t.check(not through, f"{what}: CMD got through to {through}")
    t.equal(host.reached(), [], what)


def usual(host):
    """Where programs that would go out for CMD listen: (path, kind)."""
    uid, home, stream = host.uid, host.path, socket.SOCK_STREAM
    return [
        ("/run/docker.sock", stream), ("/run/containerd/containerd.sock", stream),
        ("/run/dbus/system_bus_socket", stream), ("/run/k3s/c.sock", stream),
        ("/run/udev/control", socket.SOCK_SEQPACKET),
        ("/run/systemd/journal/dev-log", socket.SOCK_DGRAM),
        ("/run/systemd/private/a", stream), (f"/run/user/{uid}/bus", stream),
        (f"/run/user/{uid}/docker.sock", stream),
        ("/tmp/.X11-unix/X7", stream), (f"/tmp/tmux-{uid}/default", stream),
        ("/tmp/dbus-Xyz", stream), ("/tmp/ssh-abc/agent.1", stream),
        ("/tmp/a.dgram", socket.SOCK_DGRAM), ("/var/tmp/zellij/s", stream),
        (f"{home}/.gnupg/S.dirmngr", stream), (f"{home}/.ssh/cm-host", stream),
        (f"{home}/.vscode-server/data/x.sock", stream),
        (f"{home}/.docker/run/docker.sock", stream),
        (f"{home}/.gnupg/log.dgram", socket.SOCK_DGRAM),
    ]


@case(quick=True, gateways=OURS)
def sockets_of_the_host(t):
    """Made anew, made later, of each kind: CMD reaches none of them."""
    host = t.keep(Host(t))
    shm = tempfile.mkdtemp(dir="/dev/shm")
    host.own(shm, 0o755)
    try:
        places = [*usual(host), (f"{shm}/sock", socket.SOCK_STREAM),
                  (f"{host.path}/unknown/deep/sock", socket.SOCK_STREAM),
                  (f"{host.path}/unknown/dgram", socket.SOCK_DGRAM)]
        for path, kind in places:
            host.listen(path, kind)
        inside = t.keep(Inside(t, host))
        refused(t, host, inside.tries([p for p, _ in places]), "at the start")
        for path, kind in places:
            host.listen(path, kind)
        refused(t, host, inside.tries([p for p, _ in places]), "made anew")
        inside.close()
    finally:
        shutil.rmtree(shm)


@case(quick=True, gateways=OURS)
def sockets_made_later(t):
    """Nothing listened when CMD began; then everything does."""
    host = t.keep(Host(t))
    for name in (".gnupg", ".ssh", ".vscode-server", ".docker/run"):
        host.directory(os.path.join(host.path, name), 0o700)
    inside = t.keep(Inside(t, host))
    paths = [host.listen(path, kind) for path, kind in usual(host)]
    refused(t, host, inside.tries(paths), "made later")


@case(quick=True, gateways=OURS)
def sockets_by_environment(t):
    """A variable names a socket, a directory or a D-Bus address: gone too."""
    host = t.keep(Host(t))
    place = os.path.join(host.path, "elsewhere")
    paths = [host.listen(os.path.join(place, name, "s"))
             for name in ("a", "b", "c", "d", "e", "f")]
    host.env |= {
        "TMUX": f"{paths[0]},1,0", "DOCKER_HOST": f"unix://{paths[1]}",
        "DBUS_SESSION_BUS_ADDRESS":
            f"unix:path={paths[2]},guid=1;unix:path={paths[3]}",
        "ANYTHING": f"{paths[4]}:1:1", "NVIM": paths[5],
        "XDG_RUNTIME_DIR": os.path.join(place, "runtime"),
        "GNUPGHOME": os.path.join(place, "gpg")}
    for name in ("runtime", "gpg"):
        host.directory(os.path.join(place, name), 0o700)
    # they are listed where they were made, which is not where the command is
    other = nspace.Netns.new()
    with other:
        for path in paths:
            host.listen(path)
    inside = t.keep(Inside(t, host))
    refused(t, host, inside.tries(paths), "at the start")
    late = [host.listen(os.path.join(place, name, "late"))
            for name in ("a", "c", "f", "runtime", "gpg")]
    for path in paths:
        host.listen(path)
    refused(t, host, inside.tries(paths + late), "later")
    other.close()


@case(quick=True, gateways=OURS)
def sockets_under_other_names(t):
    """The kernel lists what was bound: not the name of now, nor where a relative
    one begins, and one with a newline as two lines."""
    host = t.keep(Host(t))
    home = host.path
    for name in ("a/old", "c/x", "odd\nname/so ck"):
        host.listen(os.path.join(home, name))
    os.rename(home + "/a/old", home + "/a/new")     # as one that is made aside
    os.rename(home + "/c", home + "/d")
    host.directory(home + "/rel")
    back = os.open(".", os.O_PATH)      # it may be below a /tmp that is covered now
    os.chdir(home)
    try:
        host.listen("rel/ative")
    finally:
        os.fchdir(back)
        os.close(back)
    inside = t.keep(Inside(t, host))
    refused(t, host, inside.tries(
        [home + "/" + name for name in
         ("a/new", "d/x", "odd\nname/so ck", "rel/ative")]), "renamed")


@case(quick=True, gateways=OURS)
def sockets_at_other_paths(t):
    """A second mount of the home, of /tmp, of a part of /run, of one socket, of the
    terminals: what is not there for CMD is at none of them."""
    host = t.keep(Host(t))
    home = host.path
    first = [host.listen(p) for p in (
        f"{home}/.gnupg/S.dirmngr", f"{home}/app/s", f"{home}/s", "/tmp/x/s",
        "/run/svc/s", "/run/one.sock", f"{home}/deep/er/s")]
    others = {home: "home2", "/tmp": "tmp2", "/run/svc": "svc2",
              "/dev/pts": "pts2", f"{home}/deep/er": "er2"}
    mounted = []
    try:
        for source, name in others.items():
            others[source] = os.path.join(t.lab.scratch, name)
            os.mkdir(others[source])
            nspace.mount(source, others[source], "none", nspace.MS_BIND)
            mounted.append(others[source])
        one = os.path.join(t.lab.scratch, "one2")
        with open(one, "w", encoding="ascii"):
            pass
        nspace.mount("/run/one.sock", one, "none", nspace.MS_BIND)
        mounted.append(one)
        paths = [p.replace(home, others[home]) for p in first[:3]]
        paths += [others["/tmp"] + "/x/s", others["/run/svc"] + "/s", one,
                  others[f"{home}/deep/er"] + "/s"]
        inside = t.keep(Inside(t, host))
        refused(t, host, inside.tries(paths), "by another mount")
        for path in first[:2] + first[3:5]:
            host.listen(path)
        refused(t, host, inside.tries(paths), "anew")
        inside.close()
        code, out, err = host.sh(f"ls {others['/dev/pts']}; "
                                 f"echo x >{others[home]}/.gnupg/made")
        t.equal((code, out), (0, ""), err)
        t.check(os.path.exists(home + "/.gnupg/made"), "files pass")
    finally:
        for path in mounted:
            nspace.umount(path)
        for path in others.values():
            os.rmdir(path)
        os.unlink(one)


@case(quick=True, gateways=OURS)
def socket_where_one_works(t):
    """In the working directory: covered, and said that it may not last."""
    host = t.keep(Host(t))
    work = tempfile.mkdtemp(dir="/tmp")
    host.own(work, 0o755)
    paths = [host.listen(os.path.join(work, "s")),
             host.listen(os.path.join(host.path, "s"))]
    inside = t.keep(Inside(t, host, cwd=work))
    refused(t, host, inside.tries(paths), "at the start")
    inside.close()
    code, _, err = host.sh("true", cwd=work)
    t.equal(code, 0)
    t.check("makes it anew" in err, err)


# In namespaces of CMD's own, where it may mount: takes what lies on top away, and
# looks below it by a bind, an overlay, a new root.
DIG = """
mkdir -p /tmp/m /tmp/l /tmp/u /tmp/w /tmp/o
for p in /run /tmp /dev /var/tmp "$HOME/.ssh" "$HOME/.gnupg" "$HOME"; do
    umount "$p"; umount -l "$p"; mount -o remount,rw "$p"
    mount --move "$p" /tmp/l
done
mount --bind / /tmp/m; mount --rbind / /tmp/m
for low in / "$HOME" /run; do
    mount -t overlay o -o "lowerdir=$low,upperdir=/tmp/u,workdir=/tmp/w" /tmp/o
    mount -t overlay o -o "lowerdir=$low:/tmp/l" /tmp/o
done
mv "$HOME/.ssh" "$HOME/.ssh2"; rmdir "$HOME/.ssh"
mkdir /tmp/n; mount --bind "$HOME" /tmp/n; pivot_root /tmp/m /tmp/m/tmp
"""


@case(quick=True, gateways=OURS)
def covers_hold(t):
    """In nested namespaces, where CMD has every capability."""
    host = t.keep(Host(t))
    paths = [host.listen("/run/docker.sock"), host.listen("/tmp/x/s"),
             host.listen(f"{host.path}/.ssh/cm"),
             host.listen(f"{host.path}/.gnupg/S.dirmngr")]
    tried = [under + path for path in paths
             for under in ("", "/tmp/m", "/tmp/o", "/tmp", "/tmp/n", "/tmp/l")]
    tried += ["/tmp/o/.ssh/cm", "/tmp/n/.ssh/cm", "/tmp/l/cm", "/tmp/n/.ssh2/cm",
              "/tmp/o/docker.sock", f"{host.path}/.ssh2/cm"]
    for name, text in (("try.py", TRY), ("dig.sh", DIG),
                       ("list", json.dumps(tried) + "\n")):
        host.write(name, text)
    code, out, err = host.sh("unshare -Urm sh -c "
                             "'sh dig.sh; /usr/bin/python3 try.py <list'")
    t.equal(code, 0, err[-500:])
    refused(t, host, json.loads(out.splitlines()[-1]), "nested")
    t.check(os.path.exists(paths[2]), "the host's .ssh was moved")


@case(quick=True, gateways=OURS)
def real_tmux(t):
    """A server of the user's that is started later, and one of CMD's own."""
    if shutil.which("tmux", path=PATH) is None:
        t.skip("no tmux")
    host = t.keep(Host(t))
    process = host.start("sh", "-c", "read x; tmux ls && echo OPEN; "
                         "tmux -f /dev/null new-session -d 'sleep 9' && "
                         "tmux ls && tmux kill-server")
    t.check(lab.wait_until(lambda: [p for p in lab.processes()
                                    if lab.comm(p) == "sh"], 10), "start")
    tmux = [*t.lab.as_user(), "env", "-i", f"PATH={PATH}", f"HOME={host.path}",
            "tmux", "-f", "/dev/null"]
    subprocess.run([*tmux, "new-session", "-d", "sleep 60"], check=True,
                   timeout=20)
    try:
        out, err = process.communicate(b"go\n", timeout=30)
    finally:
        subprocess.run([*tmux, "kill-server"], check=True, timeout=20)
    t.check(b"OPEN" not in out, f"CMD sees the user's tmux: {out!r}")
    t.equal(process.returncode, 0, err)


# ---- what passes ---------------------------------------------------------------------

@case(quick=True, gateways=OURS)
def files_pass(t):
    """Through a directory whose sockets do not, both ways and whole."""
    host = t.keep(Host(t))
    gpg = os.path.join(host.path, ".gnupg")
    host.directory(gpg, 0o700)
    host.directory(os.path.join(gpg, "sub"), 0o700)
    host.write(".gnupg/conf", "before\n")
    host.listen(os.path.join(gpg, "S.agent"))
    code, out, err = host.sh("""set -e; cd ~/.gnupg; cat conf; echo in >>conf
        echo new >made; mkdir dir; echo x >dir/f; mv dir dir2; mv dir2/f sub/g
        ln made hard; ln -s made soft; mkfifo fifo; chmod 600 made; touch gone
        rm gone; rmdir dir2; mv made named; test -S S.agent
        /usr/bin/python3 -c 'import mmap, os, socket
s = socket.socket(socket.AF_UNIX); s.bind("own"); s.listen()
c = socket.socket(socket.AF_UNIX); c.connect("own"); print("own works")
f = open("named", "r+b"); m = mmap.mmap(f.fileno(), 0); m[0:1] = b"N"; m.flush()
os.ftruncate(os.open(".", os.O_TMPFILE | os.O_RDWR), 9)'
        cat conf; stat -c %a named; grep -m1 -o volatile /proc/mounts""")
    t.equal((code, err), (0, ""))
    # volatile: else the end of the run writes out the whole file system below
    t.equal(out, "before\nown works\nbefore\nin\n600\nvolatile\n")
    with open(os.path.join(gpg, "named"), encoding="ascii") as file:
        t.equal(file.read(), "New\n", "as the host sees it")
    t.equal(sorted(os.listdir(gpg)), ["S.agent", "conf", "fifo", "hard",
                                      "named", "own", "soft", "sub"])
    t.equal(os.stat(os.path.join(gpg, "named")).st_uid, host.uid)
    t.equal([n for n in os.listdir(host.path) if n.startswith(".sallyport")],
            [], "left behind")


@case(quick=True, gateways=OURS)
def files_that_cannot_pass(t):
    """No overlay on it: its files come by themselves, and its sockets do not."""
    host = t.keep(Host(t))
    ssh = os.path.join(host.path, ".ssh")
    host.directory(ssh, 0o700)
    # a mount of its own, as in a container: no place beside it
    nspace.mount("tmpfs", ssh, "tmpfs", 0, "mode=0700")
    try:
        host.own(ssh, 0o700)
        host.write(".ssh/config", "Host *\n")
        host.directory(os.path.join(ssh, "cm"), 0o700)
        socks = [host.listen(os.path.join(ssh, "cm", "a"))]
        inside = t.keep(Inside(t, host))
        socks.append(host.listen(os.path.join(ssh, "later")))
        socks.append(host.listen(os.path.join(ssh, "cm", "later")))
        refused(t, host, inside.tries(socks), "below .ssh")
        inside.close()
        code, out, err = host.sh("cat ~/.ssh/config; echo '#' >>~/.ssh/config;"
                                 "touch ~/.ssh/new", options=())
        t.check(code != 0 and ssh in err and "--expose" in err, err)
        t.equal(out, "Host *\n", "the file")
        code, out, err = host.sh("cat ~/.ssh/config; touch ~/.ssh/new",
                                 options=("-q", "--expose", ssh))
        t.equal((code, out, err), (0, "Host *\n#\n", ""), "--expose")
    finally:
        for listener in host.sockets.values():
            listener.close()
        host.sockets.clear()
        nspace.umount(ssh)


@case(quick=True, gateways=OURS)
def directories_of_its_own(t):
    """/tmp and /run are CMD's; where it works is not, nor where TMPDIR is."""
    host = t.keep(Host(t))
    work = tempfile.mkdtemp(dir="/tmp")
    host.own(work, 0o755)
    for name, mode in (("prog/tool", 0o755), ("alone", 0o755)):
        path = os.path.join("/tmp", name)
        host.directory(os.path.dirname(path))
        with open(path, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\necho tool\n")
        host.own(path, mode)
    with open("/tmp/secret", "w", encoding="ascii") as file:
        file.write("x")
    code, out, err = host.sh(
        "ls -A /tmp /var/tmp /run/user /dev/shm; echo made >file; pwd; "
        "flock /run/lock/x echo locked; touch /tmp/a /var/tmp/a /dev/shm/a && "
        "stat -c %a /tmp /dev/shm /run", cwd=work)
    t.equal((code, err), (0, ""))
    base = os.path.basename(work)
    t.equal(out.split(), ["/dev/shm:", "/run/user:", str(host.uid), "/tmp:",
                          base, "/var/tmp:", work, "locked", "1777", "1777",
                          "755"])
    with open(os.path.join(work, "file"), encoding="ascii") as file:
        t.equal(file.read(), "made\n", "outside")
    t.check(not os.path.exists("/tmp/a"), "CMD wrote to the host's /tmp")
    for program in ("/tmp/prog/tool", "/tmp/alone"):
        t.equal(host.cmd(program), (0, "tool\n", ""), program)
    t.equal(host.cmd("./tool", cwd="/tmp/prog"), (0, "tool\n", ""))
    host.env["PATH"] = "/tmp/prog:" + PATH
    t.equal(host.cmd("tool"), (0, "tool\n", ""), "by PATH")
    host.env |= {"PATH": PATH, "TMPDIR": "/tmp/user/7", "HOME": work}
    t.equal(host.sh("mktemp >/dev/null && cat ~/file"), (0, "made\n", ""))
    t.equal(host.sh("cat /tmp/secret; ls -A", cwd="/tmp", options=())[0], 0,
            "the host's /tmp as cwd")
    code, out, err = host.sh("ls -A", cwd="/tmp", options=())
    t.check("one of its own" in err and "secret" not in out, err)


@case(quick=True, gateways=OURS)
def home_by_a_link_in_tmp(t):
    """HOME is where the caller's is, by the name that it has in CMD's own /tmp too."""
    host = t.keep(Host(t))
    host.write("file", "at home\n")
    os.symlink(host.path, "/tmp/link")
    host.directory("/tmp/deep")
    os.symlink(os.path.dirname(host.path), "/tmp/deep/up")
    for home in ("/tmp/link", "/tmp/deep/up/" + os.path.basename(host.path)):
        host.env["HOME"] = home
        t.equal(host.sh("cd && cat file && echo made >~/new && cat ~/new", cwd="/"),
                (0, "at home\nmade\n", ""), home)


# An automounter with an indirect map, in its own process group, which is how the
# kernel knows it. It has one entry, and tells what it was asked for.
AUTOMOUNTER = """
import os, sys
sys.path.insert(0, sys.argv[1])
import nspace
net, uid = sys.argv[2], int(sys.argv[3])
read, write = os.pipe()
os.set_blocking(read, False)
os.setpgid(0, 0)
nspace.mount("sp", net, "autofs", 0, f"fd={write},pgrp={os.getpgrp()},"
             "minproto=5,maxproto=5,indirect")
os.close(write)
os.mkdir(net + "/here")
nspace.mount("sp", net + "/here", "tmpfs", 0, f"uid={uid},mode=755")
print("ready", flush=True)
sys.stdin.readline()
try:
    print("asked", os.read(read, 400)[44:])
except BlockingIOError:
    print("quiet")
nspace.umount(net + "/here")
nspace.umount(net)
"""


@case(quick=True, gateways=OURS, root=True)
def automounter(t):
    """A name that CMD looks up in an automounter's directory is told nobody; where
    CMD works is there all the same."""
    host = t.keep(Host(t))
    net = host.directory(os.path.join(host.path, "net of hosts"))
    daemon = subprocess.Popen(
        ["/usr/bin/python3", "-c", AUTOMOUNTER, t.bindir, net,
         str(host.uid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        t.equal(daemon.stdout.readline(), b"ready\n")
        code, _, err = host.sh(f"timeout 2 stat '{net}/secret.example'")
        t.check(code == 1 and "No such file" in err, f"{code} {err}")
        code, out, err = host.sh("pwd; timeout 2 stat ../secret.example",
                                 cwd=net + "/here")
        t.equal((code, out), (1, net + "/here\n"), err)
    finally:
        said = daemon.communicate(b"\n", timeout=10)[0]
    t.equal(said, b"quiet\n")


@case(quick=True, gateways=OURS)
def tmp_is_shared(t):
    host = t.keep(Host(t))
    with open("/tmp/there", "w", encoding="ascii") as file:
        file.write("x")
    os.chmod("/tmp/there", 0o644)
    code, out, err = host.sh("cat /tmp/there; ls /run/user",
                             options=("--share-tmp",))
    t.equal((code, out), (0, f"x{host.uid}\n"), err)
    t.equal(err.count("--share-tmp"), 1, "said once")
    t.equal(host.sh("cat /tmp/there", options=("-q", "--share-tmp")),
            (0, "x", ""))


@case(quick=True, gateways=OURS)
def any_umask(t):
    """What is made for CMD can be read by CMD, and its umask is the caller's."""
    host = t.keep(Host(t))
    os.chmod(host.path, 0o755)
    for mask in ("027", "077"):
        for user in ([] if t.lab.user else [["--user", "nobody"], []]):
            host.directory(os.path.join(host.path, "log.d"), 0o700)
            done = subprocess.run(
                ["sh", "-c", f'umask {mask}; exec "$@"', "sh",
                 *host.argv("-q", *user), "--", "sh", "-c",
                 "umask; grep nameserver /etc/resolv.conf; touch /tmp/x "
                 "/run/lock/x /dev/shm/x; : </dev/null"],
                cwd="/", env={"PATH": PATH}, capture_output=True, timeout=20,
                check=False)
            t.equal(done.returncode, 0, done.stderr)
            t.check(done.stdout.startswith(f"0{mask}\n".encode())
                    and b"nameserver" in done.stdout, done.stdout)


@case(quick=True, gateways=OURS)
def linked_resolv_conf(t):
    """/etc/resolv.conf leads into /run, where CMD has another one; or nowhere."""
    host = t.keep(Host(t))
    etc = {name: os.path.join(t.lab.scratch, name) for name in ("up", "work")}
    for path in etc.values():
        os.mkdir(path)
    nspace.mount("sp", "/etc", "overlay", 0, f"lowerdir=/etc,upperdir={etc['up']}"
                 f",workdir={etc['work']},userxattr")
    try:
        for target in ("/run/systemd/resolve/stub-resolv.conf",
                       "../run/systemd/resolve/resolv.conf", "/run/dangling"):
            if os.path.lexists("/etc/resolv.conf"):
                os.unlink("/etc/resolv.conf")
            os.symlink(target, "/etc/resolv.conf")
            real = os.path.realpath("/etc/resolv.conf")
            if "dangling" not in target:
                host.directory(os.path.dirname(real))
                with open(real, "w", encoding="ascii") as file:
                    file.write("nameserver 127.0.0.53\n")
            code, out, err = host.sh("cat /etc/resolv.conf; echo 2>&- "
                                     ">/etc/resolv.conf && echo written")
            t.check("nameserver 10.83.80.2" in out and "127" not in out
                    and "written" not in out, f"{target}: {code} {out} {err}")
    finally:
        nspace.umount("/etc")
        for path in etc.values():
            shutil.rmtree(path)


# ---- devices and terminals -------------------------------------------------------------

@case(quick=True, gateways=OURS)
def devices(t):
    """What everybody needs; no disk, no other device, none for root either."""
    host = t.keep(Host(t))
    code, out, err = host.sh("{ ls /dev; ls /dev/net; echo x >/dev/stdout; } | "
                             "cat")
    t.equal((code, err), (0, ""))
    t.equal(set(out.split()) - {"console"}, {
        "fd", "full", "mqueue", "net", "null", "ptmx", "pts", "random", "shm",
        "stderr", "stdin", "stdout", "tty", "tun", "urandom", "x", "zero"})
    code, out, err = host.sh("head -c3 /dev/urandom | wc -c; echo >/dev/full",)
    t.check(out.startswith("3") and code != 0, f"{out} {err}")


@case(quick=True, gateways=OURS)
def other_terminals(t):
    """A terminal of the user's that is not the caller's: CMD cannot open it."""
    master, slave = pty.openpty()
    name = os.ttyname(slave)
    host = t.keep(Host(t))
    if t.lab.root:
        os.chown(name, host.uid, host.uid)
    try:
        code, out, err = host.sh(f"echo stolen >{name}; ls /dev/pts")
        t.equal(out.split(), ["ptmx"], err)
        t.check(not select.select([master], [], [], 0.2)[0],
                "CMD wrote to another terminal")
    finally:
        os.close(master)
        os.close(slave)


@case(quick=True, gateways=OURS)
def own_terminal(t):
    """Under its own name; new ones work beside it."""
    spare = [pty.openpty() for _ in range(3)]   # so that ours is none of the first
    try:
        shell = terminal(t)
        shell.type("echo name=$(tty)\n")
        name = shell.wait(r"name=(/dev/pts/\d+)").group(1)
        if t.lab.root:
            os.chown(name, t.lab.uid, t.lab.uid)    # as login(1) does
        for command, answer in (
                ("T=$(tty); run sh -c 'test \"$(tty)\" = '$T' && echo sa''me'",
                 "same"),
                ("run ls /dev/pts", "ptmx"),
                ("run sh -c 'echo to-it >'$T", "to-it"),
                ("run script -qc 'tty' /dev/null", r"/dev/pts/\d+"),
                ("run sh -c 'tty </dev/null; test -c '$T' && echo th''ere'",
                 "there"),
                ("run sh -c 'exec </dev/null >out 2>&1; test -c '$T; "
                 "echo st=$?", "st=0")):
            shell.command(command, answer)
            shell.wait("READY> ")       # or script(1) would read what follows
    finally:
        for pair in spare:
            os.close(pair[0])
            os.close(pair[1])


@case(quick=True, gateways=OURS)
def high_terminal(t):
    """Above 1023 its name is not reached for: it is the console."""
    spare = []
    try:
        while len(spare) < 1030:
            try:
                spare.append(pty.openpty())
            except OSError:
                t.skip("not that many terminals here")
        shell = terminal(t)
        shell.type("echo name=$(tty)\n")
        number = int(shell.wait(r"name=/dev/pts/(\d+)").group(1))
        if number < 1024:
            t.skip(f"/dev/pts/{number} was free")
        shell.wait("READY> ")
        shell.command("run tty", "/dev/console")
        shell.wait("READY> ")
        shell.command("run sh -c 'echo started; exec sleep 100'", "started")
        shell.type("\x03")
        shell.wait("READY> ")
        shell.command("echo status=$?", "status=130")
    finally:
        for pair in spare:
            os.close(pair[0])
            os.close(pair[1])


# ---- every day -------------------------------------------------------------------------

EVERY_DAY = {
    "git": "git init -q . && echo a>a && git add a && git -c user.name=a -c "
           "user.email=a@b commit -qm x && git gc -q",
    "gcc": "echo 'int main(void){return 0;}' >x.c && gcc x.c -o x && ./x",
    "make": "printf 'all: a b\\na b:\\n\\t@mktemp >/dev/null\\n' >M && "
            "make -j2 -f M",
    "tmux": "tmux -f /dev/null new-session -d 'sleep 5' && tmux ls && "
            "tmux kill-server",
    "script": "script -qc true /dev/null",
    "flock": "flock /run/lock/x true && flock /tmp/y true",
    "mkfifo": "mkfifo /tmp/ff && (echo a >/tmp/ff & cat /tmp/ff)",
    "bash": "bash -c 'cat <(echo a) && echo b | tee /dev/fd/3 3>&1 | cat'",
    "vim": "vim -Nu NONE -es -c q",
    "python3": """/usr/bin/python3 -c 'import multiprocessing as m
from multiprocessing import shared_memory as s
if __name__ == "__main__":
    m.set_start_method("fork")
    x = s.SharedMemory(create=True, size=10); x.close(); x.unlink()
    q = m.Lock(); n = m.Manager(); print(n.list([1]))
    import ctypes; l = ctypes.CDLL(None)
    assert l.mq_open(b"/sp", 66, 0o600, 0) >= 0 and l.mq_unlink(b"/sp") == 0'""",
}
AS_NOBODY_KNOWS = {                     # ssh refuses a uid without a name
    "ssh-agent": "eval $(ssh-agent) && ssh-keygen -qN '' -t ed25519 -f k && "
                 "ssh-add k && kill $SSH_AGENT_PID",
}


@case(quick=True, timeout=180, gateways=OURS)
def every_day(t):
    """Programs that people run: files, /tmp, locks, terminals, own agents."""
    host = t.keep(Host(t))
    scripts = EVERY_DAY if t.lab.user else EVERY_DAY | AS_NOBODY_KNOWS
    done = []
    for name, script in scripts.items():
        if shutil.which(name, path=PATH) is None:
            continue
        work = tempfile.mkdtemp(dir="/tmp")
        host.own(work, 0o755)
        code, out, err = host.sh(script, cwd=work)
        t.equal(code, 0, f"{name}: {(out + err)[-300:]}")
        done.append(name)
    t.check(len(done) > 4, f"only {done} are here")


@case(quick=True, gateways=OURS)
def standard_streams(t):
    """Pipes and files as 0, 1, 2 are what they were."""
    host = t.keep(Host(t))
    host.write("in", "text\n")
    host.directory(os.path.join(host.path, "log.d"), 0o700)
    with open(os.path.join(host.path, "in"), "rb") as file, \
            open(os.path.join(host.path, "out"), "wb") as out:
        done = subprocess.run([*host.argv("-q"), "--", "sh", "-c",
                               "cat; cat /dev/stdin; echo e >&2"], stdin=file,
                              stdout=out, stderr=subprocess.PIPE, cwd=host.path,
                              env={"PATH": PATH}, timeout=20, check=False)
    t.equal((done.returncode, done.stderr.splitlines()[-1]), (0, b"e"))
    with open(os.path.join(host.path, "out"), "rb") as file:
        t.check(file.read().startswith(b"text\n"), "its output")


@case(quick=True, gateways=OURS)
def sandbox_inside(t):
    """Another sallyport, and a procfs of its own, as sandboxes have."""
    if not t.lab.user:
        t.skip("root's /proc is partly read-only, which allows no other")
    host = t.keep(Host(t))
    host.directory(os.path.join(host.path, ".gnupg"), 0o700)
    script = (f"{t.bindir}/sallyport run -q -p {host.policy} --audit inner/log "
              "-- sh -c 'test -c /dev/null && ls /tmp && echo inner'")
    host.directory(os.path.join(host.path, "inner"), 0o700)
    code, out, err = host.sh(script)
    t.check(code == 0 and out.endswith("inner\n"), f"nested: {code} {err}")
    t.equal(host.sh("unshare -Urpf --mount-proc sh -c 'ls -d /proc/1'"),
            (0, "/proc/1\n", ""), "a procfs inside")
    t.equal(host.sh("grep -c ' /proc/' /proc/mounts; true")[1], "0\n",
            "mounts on /proc")
    if shutil.which("bwrap", path=PATH):
        t.equal(host.sh("bwrap --ro-bind / / --dev /dev --unshare-all "
                        "--proc /proc true")[0], 0, "bwrap")


# ---- what is brought back --------------------------------------------------------------

@case(quick=True, gateways=OURS)
def exposed(t):
    """A socket, a directory, a pattern, a link to one; and what cannot be."""
    host = t.keep(Host(t))
    one = host.listen("/run/svc/one.sock")
    two = host.listen("/tmp/svc/two.sock")
    deep = host.listen(os.path.join(host.path, ".gnupg", "S.agent"))
    os.symlink(two, "/tmp/link")

    def open_to(options, paths):
        inside = Inside(t, host, options=("-q", *options))
        said = inside.tries(paths)
        inside.close()
        for path in host.reached():
            host.listen(path)
        return [p for p in paths if "sent" in said[p]]
    t.equal(open_to(["--expose", one], [one, two, deep]), [one], "a socket")
    t.equal(open_to(["--expose", "/tmp/svc"], [one, two]), [two], "directory")
    t.equal(open_to(["--expose", deep], [deep, one]), [deep], "under a cover")
    t.equal(open_to(["--expose", "/*/svc/*.sock"], [one, two, deep]),
            [one, two], "a pattern")
    t.equal(open_to(["--expose", "/tmp/link"], ["/tmp/link", two]),
            ["/tmp/link", two], "by a link")
    host.env["SSH_AUTH_SOCK"] = two
    t.equal(open_to([], [two]), [], "an agent")
    t.equal(open_to(["--ssh-agent"], [two, one]), [two], "--ssh-agent")
    # a directory outlives a restart of its service, a socket does not: said
    inside = t.keep(Inside(t, host, options=("-q", "--expose", "/run/svc")))
    host.listen(one)
    t.check("sent" in inside.tries([one])[one], "after a restart")
    inside.close()
    _, _, err = host.sh("true", options=("--expose", one))
    t.check("makes it anew" in err, err)
    t.equal(host.sh("test -w /dev/full && ls /dev/fu*",
                    options=("-q", "--expose", "/dev/fu*"))[0], 0, "a device")


@case(quick=True, gateways=OURS)
def cannot_be_exposed(t):
    host = t.keep(Host(t))
    host.write("plain", "x")
    for options, pattern in (
            (["--expose", "/no/such"], "/no/such.*make it first"),
            (["--expose", "/no/such*"], "nothing here is named so"),
            (["--expose", "/"], "name what is needed"),
            (["--expose", "/dev"], "name the devices"),
            (["--expose", "/proc/self"], "of its own"),
            (["--ssh-agent"], "start an agent first")):
        code, out, err = host.sh("echo ran", options=options)
        t.equal((code, out), (MACHINERY, ""), options)
        t.check(len(err.splitlines()) == 1, f"{options}: {err!r}")
        t.check(re.search(pattern, err), f"{options}: {err!r}")
    t.equal(host.sh("true")[0], 0)      # leaves a log
    code, out, err = host.sh("echo ran", options=(
        "--expose", os.path.join(host.path, "log.d", "*")))
    t.check((code, out) == (MACHINERY, "") and "audit log is there" in err, err)
    for where, word in (("plain", "no socket"), ("gone", "start an agent anew")):
        host.env["SSH_AUTH_SOCK"] = os.path.join(host.path, where)
        code, _, err = host.sh("true", options=("--ssh-agent",))
        t.check(code == MACHINERY and word in err, err)
    host.env["SSH_AUTH_SOCK"] = "plain"
    code, _, err = host.sh("true", options=("--ssh-agent",))
    t.check(code == MACHINERY and "no absolute path" in err, err)


@case(quick=True, gateways=OURS)
def told_what_was_hidden(t):
    """One line, if CMD failed; none after a success, nor with -q."""
    host = t.keep(Host(t))
    bus = host.listen("/run/bus-of-mine")
    host.listen("/run/docker.sock")
    host.env["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={bus}"
    code, _, err = host.sh("exit 3", options=())
    said = [line for line in err.splitlines() if "--expose" in line]
    t.equal((code, len(said)), (3, 1), err)
    t.check("hidden from CMD: " + bus in said[0], said[0])
    t.check("/run/docker.sock" in said[0], said[0])
    for options, script in (((), "exit 0"), (("-q",), "exit 3"),
                            (("--expose", "/run"), "exit 3")):
        _, _, err = host.sh(script, options=options)
        t.check(bus not in err, f"{options} {script}: {err}")
    code, _, err = host.cmd("no-such-program", options=())
    t.check(code == NOT_FOUND and bus not in err, err)
    for number in range(5):
        host.listen(f"/run/many{number}")
    host.listen("/run/frobd.sock")
    _, _, err = host.sh(": frobd ps; exit 1", options=())
    t.check(f"8 sockets of this host were hidden from CMD: {bus}, "
            "/run/frobd.sock, /run/" in err, err)
    with open("/tmp/script", "w", encoding="ascii") as file:
        file.write("exit 0")
    code, _, err = host.cmd("sh", "/tmp/script", options=())
    t.check(code == 2 and "/tmp/script is not there for CMD" in err, err)
    t.equal(host.cmd("sh", "/tmp/script", cwd="/tmp", options=(
        "-q", "--expose", "/tmp/script")), (0, "", ""))


@case(quick=True, gateways=OURS, root=True)
def sockets_of_another_user(t):
    """--user: it is that user's directories whose files pass."""
    if t.lab.user:
        t.skip("not root")
    host = t.keep(Host(t))
    os.chmod(host.path, 0o755)
    nobody = 65534
    gpg, ssh = os.path.join(host.path, "gpg"), os.path.join(host.path, "ssh")
    for path in (gpg, ssh):
        os.mkdir(path, 0o700)
    nspace.mount("tmpfs", ssh, "tmpfs", 0, "mode=0700")
    try:
        paths = [host.listen(os.path.join(gpg, "s")),
                 host.listen(os.path.join(ssh, "s"))]
        os.mkdir(os.path.join(ssh, "sub"), 0o700)
        host.write("ssh/sub/file", "x")
        for path in (gpg, ssh, os.path.join(ssh, "sub")):
            os.chown(path, nobody, nobody)
        host.env |= {"GNUPGHOME": gpg, "SCREENDIR": ssh}
        inside = t.keep(Inside(t, host, options=("-q", "--user", "nobody")))
        refused(t, host, inside.tries(paths), "another's")
        inside.close()
        code, out, err = host.sh(
            f"echo >{gpg}/new && cat {ssh}/sub/file && stat -c %u:%a {ssh} "
            f"{ssh}/sub {gpg}/new", options=("-q", "--user", "nobody"))
        t.equal((code, out.split()), (0, ["x65534:700", "65534:700",
                                          "65534:644"]), err)
        t.equal(os.stat(os.path.join(gpg, "new")).st_uid, nobody)
    finally:
        for listener in host.sockets.values():
            listener.close()
        host.sockets.clear()
        nspace.umount(ssh)


@case(quick=True, gateways=OURS)
def no_socket_at_all(t):
    """Where Landlock has the right: not even one that nobody could foresee."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(444, None, 0, 1) < 9:   # landlock_create_ruleset: the version
        t.skip("needs Landlock ABI 9 (Linux 7.1)")
    host = t.keep(Host(t))
    inside = t.keep(Inside(t, host))
    late = host.listen(os.path.join(host.path, "nobody", "knew", "s"))
    refused(t, host, inside.tries([late]), "later, somewhere")
    code, _, err = host.sh(EVERY_DAY["python3"] + "&& mkdir a b && >a/f && "
                           "mv a/f b/f")
    t.equal(code, 0, err)


@case(quick=True, gateways=OURS)
def user_with_a_name(t):
    """An own uid that passwd(5) does not have, but some service does."""
    if shutil.which("gcc", path=PATH) is None:
        t.skip("no gcc")
    host = t.keep(Host(t))
    host.write("name.c", """#include <pwd.h>
struct passwd *getpwuid(uid_t uid) {
    static struct passwd p = { .pw_name = "spelled", .pw_passwd = "x",
        .pw_gecos = "", .pw_dir = "/nowhere", .pw_shell = "/bin/sh" };
    p.pw_uid = p.pw_gid = uid; return &p; }
""")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", "name.so", "name.c"],
                   cwd=host.path, check=True, env={"PATH": PATH})
    host.env |= {"LD_PRELOAD": os.path.join(host.path, "name.so"),
                 "ASAN_OPTIONS": "verify_asan_link_order=0"}
    code, out, err = host.sh("unset LD_PRELOAD; getent passwd $(id -u) && "
                             "getent passwd root >/dev/null")
    known = any(line.split(":")[2] == str(host.uid)
                for line in open("/etc/passwd", encoding="utf-8"))
    t.equal((code, out.startswith("spelled:x:")), (0, not known), err + out)
