"""What the command hides from CMD and hands to it, and how `serve` treats the
place of its socket.
"""
import os
import shutil
import signal
import socket
import stat
import subprocess
import time

import gateway
import lab
import servers
from cases_fail import fill
from cases_run import MACHINERY, USAGE, Place, quiet, terminal
from trial import OURS, case


@case(quick=True, gateways=OURS)
def hidden_and_exposed(t):
    """$XDG_RUNTIME_DIR is hidden, its parts come back by name, cwd or not."""
    place = t.keep(Place(t))
    run = os.path.join(place.path, "runtime")
    os.mkdir(run)
    place.own(run, 0o700)
    for name in ("bus", "agent"):
        listener = t.keep(socket.socket(socket.AF_UNIX))
        listener.bind(os.path.join(run, name))
    env = ["env", f"XDG_RUNTIME_DIR={run}"]
    # the variable must be the command's, so env(1) stands in front of it
    def sallyport(*args, cwd="."):
        argv = [*t.lab.as_user(), *env, os.path.join(t.bindir, "sallyport"),
                *quiet(place)[:-1], *args]
        done = subprocess.run(argv, capture_output=True, timeout=20, check=False,
                              cwd=os.path.join(place.path, cwd),
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                                   "HOME": place.path})
        return done.returncode, done.stdout.decode().split(), done.stderr
    t.equal(sallyport("ls", run), (0, [], b""), "hidden")
    t.equal(sallyport("ls", cwd="runtime"), (0, [], b""),
            "hidden also where CMD works")
    t.equal(sallyport("--expose", os.path.join(run, "bus"), "ls", run)[:2],
            (0, ["bus"]), "one socket")
    t.equal(sallyport("--expose", run, "ls", run)[:2], (0, ["agent", "bus"]),
            "all of it")
    t.equal(sallyport("--expose", "/no/such", "true")[0], MACHINERY)


@case(quick=True, gateways=OURS)
def descriptors(t):
    """Nothing from 3 on but what --keep-fd names."""
    place = t.keep(Place(t))
    read, write = os.pipe()
    for fd in (read, write):
        os.set_inheritable(fd, True)
    script = f"echo kept >&{write}"
    code, _, err = place.run(*quiet(place), "bash", "-c", script, close_fds=False)
    t.check(code != 0 and "Bad file descriptor" in err, f"{code} {err!r}")
    code, _, err = place.run(*quiet(place)[:-1], "--keep-fd", str(write),
                             "bash", "-c", script, close_fds=False)
    t.equal((code, err), (0, ""))
    t.equal(os.read(read, 16), b"kept\n")
    os.close(read)
    os.close(write)
    code, _, err = place.run(*quiet(place)[:-1], "--keep-fd", "77", "true")
    t.check(code == MACHINERY and "77" in err, f"{code} {err!r}")


@case(quick=True, gateways=OURS)
def policy_is_read_only(t):
    """CMD may not write the law of the next run."""
    place = t.keep(Place(t))
    code, _, err = place.run(*quiet(place), "sh", "-c",
                             f"echo x >>{place.policy}; rm -f {place.policy}")
    t.check(code != 0 and os.path.getsize(place.policy) > 10, f"{code} {err!r}")


@case(quick=True, gateways=OURS)
def without_policy(t):
    """No -p and none installed: everything denied, and it is said."""
    place = t.keep(Place(t))
    log = os.path.join(place.path, "log")
    code, out, err = place.run(
        "run", "-q", "--audit", log, "python3", "-c",
        "import socket\ns = socket.socket()\n"
        f"print(s.connect_ex(('{lab.LIVE4}', 80)))")
    t.equal((code, out), (0, b"111\n"), err)
    t.check("everything is denied" in err, err)


@case(quick=True, gateways=OURS)
def other_user(t):
    """--user NAME is root's; CMD then has that user's ids and no others."""
    place = t.keep(Place(t))
    code, out, err = place.run(*quiet(place)[:-1], "--user", "nobody", "id")
    if t.lab.user:
        t.check(code == MACHINERY and "only root" in err, f"{code} {err!r}")
        return
    t.equal(code, 0, err)
    t.check(out.startswith(b"uid=65534(nobody)") and b"root" not in out, out)
    code, out, err = place.run(*quiet(place)[:-1], "--user", "nobody", "sh",
                               "-c", "sleep 300 & echo $HOME $USER")
    t.equal((code, err), (0, ""), "what runs as another user ends as well")
    t.equal(out.split()[1], b"nobody")
    code, _, err = place.run(*quiet(place)[:-1], "--user", "no-such", "true")
    t.check(code == MACHINERY and "no such user" in err, f"{code} {err!r}")


@case(quick=True, gateways=OURS)
def plain_tap(t):
    """--no-offload: the same, frame by frame."""
    server = t.serve(servers.greet(b"x" * 200000))
    with t.guest(args=["--no-offload"]) as guest:
        t.equal(guest.call("connect", lab.LIVE4, server.port)[0], "ok")


@case(quick=True, gateways=OURS)
def last_bytes(t):
    """What CMD wrote before it ended arrives: 40 of 40."""
    place = t.keep(Place(t))
    server = t.serve(lambda connection: servers.drain(connection.sock)[0])
    script = ("import socket\n"
              f"s = socket.create_connection(('{lab.LIVE4}', {server.port}))\n"
              "s.sendall(b'z' * 100000)\n")
    for _ in range(t.scale(40, 10)):
        t.equal(place.run(*quiet(place), "python3", "-c", script)[0], 0)
        t.equal(server.next_end().data, 100000, "bytes that arrived")


@case(quick=True, gateways=OURS)
def early_keys(t):
    """^Z and ^C are not lost while CMD is still being started."""
    shell = terminal(t)

    def has_the_terminal():
        # before that, the key would be bash's
        return lab.program(os.tcgetpgrp(shell.master)) == "sallyport"
    for delay in (0.0, 0.01, 0.02, 0.03, 0.05):
        shell.type("run sleep 30\n")
        t.check(lab.wait_until(has_the_terminal, 10), "it did not start")
        time.sleep(delay)
        shell.type("\x1a")
        shell.wait("Stopped")
        shell.wait("READY> ")
        shell.type("fg\n")
        shell.wait("audit log")         # bash says what it goes on with
        time.sleep(delay)
        shell.type("\x03")
        shell.wait("READY> ")
        shell.command("echo status=$?", "status=130")


def serve(t, place, path, *more):
    return subprocess.Popen(
        [*t.lab.as_user(), os.path.join(t.bindir, "sallyport"), "serve", "-q",
         "-p", place.policy, "--audit", os.path.join(place.path, "log"),
         "--stream", path, *more], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)


@case(quick=True, gateways=("sallyport",))
def place_of_the_socket(t):
    """0600, replaced if stale, never taken from others, removed at the end."""
    place = t.keep(Place(t))
    path = os.path.join(place.path, "sock")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.close()
    place.own(path, 0o600)
    first = serve(t, place, path)
    t.equal(first.stdout.readline(), f"ready: {path}\n".encode(), "stale")
    t.equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, "mode")
    second = serve(t, place, path)
    said = second.communicate(timeout=10)[1].decode()
    t.check(second.returncode == MACHINERY and "listens on it" in said, said)
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    time.sleep(0.2)
    late = socket.socket(socket.AF_UNIX)
    late.settimeout(5)
    late.connect(path)
    t.equal(late.recv(1), b"", "a second client")
    client.close()
    late.close()
    first.send_signal(signal.SIGTERM)
    t.equal((first.wait(10), os.path.exists(path)), (0, False), "the end")
    file = place.write("file", "precious")
    third = serve(t, place, file)
    said = third.communicate(timeout=10)[1].decode()
    t.check(third.returncode == MACHINERY and "not a socket" in said, said)
    t.equal(os.path.getsize(file), 8, "the file")


@case(quick=True, gateways=("sallyport",))
def not_ready_without_a_log(t):
    """A supervisor that has heard "ready" may count on it."""
    place = t.keep(Place(t))
    first = serve(t, place, os.path.join(place.path, "one"))
    t.check(first.stdout.readline().startswith(b"ready: "), "the first")
    second = serve(t, place, os.path.join(place.path, "two"))
    out, said = second.communicate(timeout=20)
    t.equal((second.returncode, out), (MACHINERY, b""), "the second")
    t.check(b"another Sallyport" in said, said)
    first.send_signal(signal.SIGTERM)
    t.equal(first.wait(10), 0, "the end")


@case(quick=True, gateways=("sallyport",))
def serve_options(t):
    place = t.keep(Place(t))
    for args, pattern in ((["--stream", "s"], "-p POLICY"),
                          (["-p", place.policy], "--stream"),
                          (["-p", place.policy, "--stream", "s", "--checksum",
                            "no"], "verify or"),
                          (["-p", place.policy, "--stream", "s", "--gateway",
                            "10.0.0.1"], "a --gateway for each"),
                          (["-p", place.policy, "--stream", "s", "x"], "what is x"),
                          (["-p", place.policy, "--stream", "s", "--ready-fd",
                            "99"], "99")):
        code, _, err = place.run("serve", *args)
        t.check(code == USAGE and pattern in err, f"{args}: {code} {err!r}")
        t.equal(len(err.splitlines()), 1, f"lines of {err!r}")
    t.check(not os.path.exists(os.path.join(place.path, "s")), "a socket is left")


# ---- messages that nobody reads ------------------------------------------------

WARNED = (f'allow to net {lab.LIVE4}\nallow to name "a.example" port tcp 80 '
          "verify none\n")              # W201


@case(gateways=OURS)
def nobody_reads_run(t):
    """Neither a pipe that is full from the start nor one without a reader keeps
    `run` from its end, or CMD from running."""
    place = t.keep(Place(t))
    policy = place.write("warned.conf", gateway.policy_text(WARNED))
    there = place.write("there", "")
    late = ["sh", "-c", "echo >late.conf"]      # --learn's words go to stderr
    for status, args in ((3, ["-p", policy, "sh", "-c", "exit 3"]),
                         (0, ["--learn", "new.conf", "true"]),
                         (MACHINERY, ["--learn", "late.conf", *late]),
                         (MACHINERY, ["--learn", there, "true"])):
        for full in (True, False) if there not in args else (True,):
            reader, writer = os.pipe()
            if full:
                fill(writer)
            else:
                os.close(reader)
            begun = time.monotonic()
            code = place.status("run", "--audit", "log", *args, stderr=writer)
            seconds = time.monotonic() - begun
            t.equal(code, status, f"{args}, full: {full}")
            t.check(seconds < 6, f"{args}: {seconds:.1f} s")
            os.close(writer)
            if full:
                os.close(reader)
            for name in ("new.conf", "late.conf"):
                if os.path.exists(os.path.join(place.path, name)):
                    os.unlink(os.path.join(place.path, name))


@case(gateways=OURS)
def nobody_reads_serve(t):
    """`serve` serves, and ends when it is told to."""
    place = t.keep(Place(t))
    policy = place.write("warned.conf", gateway.policy_text(WARNED))
    reader, writer = os.pipe()
    fill(writer)
    server = subprocess.Popen(
        [*t.lab.as_user(), os.path.join(t.bindir, "sallyport"), "serve", "-p",
         policy, "--stream", "sock", "--audit", "log"], cwd=place.path,
        stdin=subprocess.DEVNULL, stdout=writer, stderr=writer,
        env={"PATH": "/usr/bin:/bin", "HOME": place.path})
    try:
        t.check(lab.wait_until(lambda: server.poll() is not None or "log" in
                               os.listdir(place.path), 5), "no log")
        time.sleep(1)                   # who is ended earlier was never up
        server.send_signal(signal.SIGTERM)
        t.equal(server.wait(5), 0, "exit status")
    finally:
        server.kill()
        server.wait()
        os.close(reader)
        os.close(writer)


@case(gateways=OURS)
def programs_of_another_build(t):
    """What never comes up is not silent: whoever has not said why is named."""
    place = t.keep(Place(t))
    bindir = t.bindir
    head = ["run", "-p", place.policy, "--audit", "log", "--", "true"]
    for name, pattern in (("broker", "the broker ended with status 1"),
                          ("recorder", "the recorder ended with status 1")):
        t.bindir = os.path.join(place.path, name)
        shutil.copytree(bindir, t.bindir)
        program = os.path.join(t.bindir, "sallyport-" + name)
        shutil.copy("/bin/false", program)
        wrong = place.run(*head)
        os.unlink(program)
        gone = place.run(*head)
        t.bindir = bindir
        t.equal(wrong[0], MACHINERY, name)
        t.check(pattern in wrong[2] and "same build" in wrong[2], wrong[2])
        t.equal(gone[0], MACHINERY, name)
        t.check("/sallyportd: is Sallyport installed" in gone[2], gone[2])
