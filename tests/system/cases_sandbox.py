"""Programs that bring a sandbox of their own, and those that look at the network:
in a run they do what they do outside.
"""
import os
import shutil
import subprocess

import lab
from cases_daily import tool
from cases_run import MACHINERY, Place, quiet
from trial import OURS, case


def ordinary(t):
    """(place, the words of a run by an ordinary user); root's is root --user's."""
    place = t.keep(Place(t))
    os.chmod(place.path, 0o755)
    head = quiet(place)[:-1]
    return place, head if t.lab.user else [*head, "--user", "nobody"]


@case(quick=True, gateways=OURS)
def sandbox_bwrap(t):
    """bubblewrap with all its namespaces and a /proc of its own."""
    tool(t, "bwrap")
    place, head = ordinary(t)
    code, out, err = place.run(
        *head, "--nested", "--", "bwrap", "--ro-bind", "/", "/", "--dev", "/dev",
        "--unshare-all", "--proc", "/proc", "sh", "-c",
        "test -d /proc/1 && ! grep -q eth0 /proc/net/dev && echo in")
    t.equal((code, out, err), (0, b"in\n", ""))
    # with our network, which is what agents' sandboxes share
    code, out, err = place.run(
        *head, "--nested", "--", "bwrap", "--ro-bind", "/", "/", "--dev", "/dev",
        "--unshare-all", "--share-net", "--proc", "/proc", "ping", "-n", "-c", "1",
        "-W", "5", lab.LIVE4)
    t.equal((code, err), (0, ""), out)


@case(quick=True, gateways=OURS)
def sandbox_of_roots_policy(t):
    """A run in a run in a run, each by root's policy, which a user has to have."""
    if not t.lab.user or not t.lab.root:
        t.skip("for a user beside root")
    place = t.keep(Place(t))
    path = os.path.join(place.path, "roots.conf")
    shutil.copy(place.policy, path)
    os.chown(path, 0, 0)
    os.chmod(path, 0o644)
    run = [os.path.join(t.bindir, "sallyport"), "run", "-q", "-p", path]
    code, out, err = place.run(*run[1:], "--nested", "--", *run, "--nested", "--",
                               *run, "--", "ping", "-n", "-c", "1", "-W", "5",
                               lab.LIVE4)
    t.equal((code, err), (0, ""), out)
    done = subprocess.run(
        [*t.lab.as_user(), "unshare", "-Ur", *run, "echo", "ran"], timeout=20,
        capture_output=True, check=False, cwd=place.path,
        env={"PATH": os.environ["PATH"], "HOME": place.path})
    t.equal((done.returncode, done.stdout), (0, b"ran\n"), done.stderr)


@case(quick=True, gateways=OURS, root=True)
def sandbox_in_roots_run(t):
    """Root's /proc is partly read-only: another run in there says so in a line."""
    if t.lab.user:
        t.skip("for root")
    place = t.keep(Place(t))
    code, _, err = place.run(*quiet(place), os.path.join(t.bindir, "sallyport"),
                             "run", "-q", "-p", place.policy, "true")
    t.equal((code, err.count("\n")), (MACHINERY, 1), err)
    t.check("give that one --user" in err, err)


@case(gateways=OURS, timeout=120)
def sandbox_chromium(t):
    """Debian's, headless, with its own sandbox on."""
    tool(t, "chromium")
    place, head = ordinary(t)
    page = place.write("page.html", "<p>from the page</p>")
    code, out, err = place.run(
        *head, "--nested", "--", "env", "HOME=/tmp", "chromium", "--headless",
        "--disable-gpu", "--no-first-run", "--user-data-dir=/tmp/c", "--dump-dom",
        "file://" + page, timeout=100)
    t.equal(code, 0, err[-600:])
    t.check(b"from the page" in out and "No usable sandbox" not in err, err[-600:])


@case(quick=True, gateways=OURS)
def network_tools(t):
    """ping's options, mtr; what is denied is said at once. (Debian's fping 5.1 hears
    no answer without CAP_NET_RAW, with or without a gateway.)"""
    place = t.keep(Place(t))
    tried = []
    for argv, words in (
            (["ping", "-n", "-c", "2", "-i", "0.2", "-s", "1000", lab.LIVE4],
             b" 2 received"),
            (["ping", "-6", "-n", "-c", "1", "-W", "5", lab.LIVE6], b" 1 received"),
            (["mtr", "-n", "-r", "-c", "1", "-G", "1", lab.LIVE4],
             lab.LIVE4.encode())):
        if not shutil.which(argv[0], path="/usr/bin:/bin:/usr/sbin:/sbin"):
            continue
        tried.append(argv[0])
        code, out, err = place.run(*quiet(place), *argv, timeout=40)
        t.check(code == 0 and words in out, f"{argv}: {code} {out} {err}")
    code, out, err = place.run(*quiet(place), "ping", "-n", "-c", "1", "-W", "3",
                               "10.9.9.9")
    t.check(code == 1 and b"Packet filtered" in out, f"denied: {out} {err}")
    t.note(" ".join(sorted(set(tried))))


@case(gateways=OURS, root=True, timeout=120)
def root_updates_lists(t):
    """apt-get update of root's, from a repository, by _apt as ever."""
    if t.lab.user:
        t.skip("for root")
    tool(t, "apt-get")
    place = t.keep(Place(t))
    os.chmod(place.path, 0o755)
    for name in ("lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(place.path, name))
    repository = os.path.join(place.path, "repository")
    os.mkdir(repository)
    place.write("repository/Packages", "Package: x\nVersion: 1\n"
                "Architecture: all\nMaintainer: x <x@example.org>\n"
                "Filename: x.deb\nSize: 1\nSHA256: " + "0" * 64 + "\n"
                "Description: x\n\n")
    place.write("sources", f"deb [trusted=yes] http://{lab.LIVE4}:8099/ ./\n")
    with t.lab.internet:
        server = subprocess.Popen(
            ["python3", "-m", "http.server", "--bind", lab.LIVE4, "--directory",
             repository, "8099"], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
    try:
        def answers():
            import socket
            with t.lab.internet:
                sock = socket.socket()
            with sock:
                return sock.connect_ex((lab.LIVE4, 8099)) == 0
        t.check(lab.wait_until(answers, 10), "no repository")
        code, out, err = place.run(
            *quiet(place), "apt-get", "update", "-o",
            f"Dir::Etc::SourceList={place.path}/sources", "-o",
            "Dir::Etc::SourceParts=/nowhere", "-o",
            f"Dir::State::Lists={place.path}/lists", "-o",
            f"Dir::Cache={place.path}/cache", timeout=60)
    finally:
        server.kill()
        server.wait()
    t.equal((code, err), (0, ""), out.decode()[-300:])
    found = [n for n in os.listdir(os.path.join(place.path, "lists"))
             if "Packages" in n]
    t.equal(len(found), 1, os.listdir(os.path.join(place.path, "lists")))
