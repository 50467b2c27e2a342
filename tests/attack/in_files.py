"""As CMD: the log and the policy of its run; mounts that do something; limits."""
import os
import socket
import time

from tools import MARK, attempt, call, count, gained, gains, say, wait

# ---- files of the run: log, policy ------------------------------------------------

def append(path):
    with open(path, "ab") as file:
        file.write(MARK)


def cut(path):
    os.truncate(path, 0)


def replace(path):
    with open("mine", "wb") as file:
        file.write(MARK)
    os.rename("mine", path)


def exchange(path):
    """renameat2(RENAME_EXCHANGE)."""
    with open("mine", "wb") as file:
        file.write(MARK)
    call(316, -100, b"mine", -100, os.fsencode(path), 2)


def by_descriptor(path):
    fd = os.open(os.path.dirname(path), os.O_PATH)
    try:
        with open(os.open(os.path.basename(path), os.O_WRONLY | os.O_APPEND,
                          dir_fd=fd), "ab") as file:
            file.write(MARK)
    finally:
        os.close(fd)


def by_proc_root(path):
    append("/proc/1/root" + path)


def by_link(path):
    os.link(path, "hard")
    append("hard")


def spoil(path):
    """Everything that can be done to a file by its name."""
    for way in (append, by_descriptor, by_proc_root, by_link, exchange, replace,
                cut, os.unlink):
        if attempt(way, path):
            gained(f"{way.__name__} of {os.path.basename(path)}")


def segments(path):
    """The file, and the logs that lie beside it or in a directory of its own."""
    found = [path]
    for where in (os.path.dirname(path), path + ".d"):
        if attempt(os.listdir, where):
            found += [os.path.join(where, n) for n in sorted(os.listdir(where))
                      if n.startswith(os.path.basename(path)) or ".jsonl" in n]
    return found


def many_refusals(count):
    """Records, by connections that the policy refuses."""
    for n in range(count):
        with socket.socket() as s:
            s.setblocking(False)
            attempt(s.connect, (f"192.0.{2 + n % 250}.{1 + n // 250 % 250}", 9))
            if n % 50 == 49:
                time.sleep(0.05)


def try_spoil(path, refusals=0, later=False):
    """The run's own log, its directory's other files, and what rotation made."""
    if refusals:
        many_refusals(refusals)
    if later:
        wait()
    for one in segments(path):
        spoil(one)


def above(path, top):
    """The directories above it, the lowest first, below `top`."""
    found = []
    while (path := os.path.dirname(path)) not in ("/", top):
        found.append(path)
    return found


def try_ancestors(path, top, content=None, fifo=False):
    """Another tree in the place of the one that leads to `path`: each directory
    above it, and each symbolic link, renamed away; then a file of ours there."""
    for one in above(path, top):
        if attempt(os.rename, one, one + ".away"):
            gained(f"{one} was renamed")
        elif attempt(os.rename, one, os.path.join(top, "away")):
            gained(f"{one} was moved")
        elif os.path.islink(one) and attempt(os.unlink, one):
            gained(f"{one} was unlinked")
        else:
            attempt(os.symlink, "elsewhere", "swap")
            if attempt(call, 316, -100, b"swap", -100, os.fsencode(one), 2):
                os.unlink(one)
                gained(f"{one} was exchanged")
        if gains and attempt(os.makedirs, os.path.dirname(path), 0o700):
            break
    if gains and not os.path.lexists(path):
        text = MARK
        if content:
            with open(content, "rb") as file:
                text = file.read()
        if fifo:
            attempt(os.mkfifo, path, what="a FIFO is there")
        else:
            with open(path, "wb") as file:
                file.write(text)
            gained("a file of ours is there")


# ---- mounts and limits --------------------------------------------------------------------

def try_look(backwards):
    """stat, listing and opening, each by a child that has a second for it. The
    paths are written backwards: `run` itself looks at what its words name."""
    for path in [p[::-1] for p in backwards]:
        for way in (os.stat, os.listdir, os.chdir,
                    lambda p: os.close(os.open(p, os.O_RDONLY))):
            if (pid := os.fork()) == 0:
                attempt(way, path)
                os._exit(0)
            count()
            end = time.monotonic() + 1
            while os.waitpid(pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > end:
                    os.kill(pid, 9)
                    os.waitpid(pid, 0)
                    break
                time.sleep(0.02)


def try_shows(path, mark):
    """What a file has, if it can be read; `mark` is what the host has there."""
    count()
    try:
        with open(path, "rb") as file:
            if mark.encode() in file.read():
                gained(f"{path} shows {mark}")
    except OSError:
        pass


def try_order(path, text):
    """A file of the kernel's takes this, which is what it has."""
    def order():
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    attempt(order, what=f"{path} can be written")


def try_limits():
    import resource
    for what in (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE,
                 resource.RLIMIT_NPROC):
        attempt(resource.setrlimit, what, (-1, -1))
    say({"limits": {
        "core": resource.getrlimit(resource.RLIMIT_CORE)[1],
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "nproc": resource.getrlimit(resource.RLIMIT_NPROC)[1],
        "personality": call(135, 0xffffffff)}})


def try_cgroups():
    for top, _, names in os.walk("/sys/fs/cgroup"):
        for name in names:
            if name in ("cgroup.freeze", "cgroup.kill", "cgroup.procs",
                        "memory.max", "pids.max"):
                path = os.path.join(top, name)
                attempt(lambda p=path: os.close(os.open(p, os.O_WRONLY)),
                        what=path)
    attempt(os.stat, "/")
