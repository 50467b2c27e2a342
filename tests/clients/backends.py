"""The servers of the clients, each a function of the stage that starts it on the
lab's internet and returns words for the catalog's scripts.

The programs are Debian's, on the site's two addresses (names_lab.SITE4, SITE6); all
of them, and their files, end with the stage.
"""
import base64
import glob
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import zipfile

import cases_clients
import dnswire
import lab as lablib
import longline
import names_lab
import servers
import tls_lab
from names_lab import API, SITE4, SITE6, WWW
from stage import PATH, USER

# program: what a client's entry has to name beside its own
NEEDS = {"web": ["nginx", "openssl"], "far": ["nginx", "openssl"], "ssh": ["sshd"], "repository": ["git"],
         "apt": ["dpkg-deb"], "redis": ["redis-server"],
         "mosquitto": ["mosquitto"], "postgres": ["postgres"],
         "tftp": ["in.tftpd"], "java": ["javac"], "musl": ["musl-gcc"]}
DEAD4, DEAD6 = "dead4.example.net", "dead6.example.net"
FIRST, GONE = "first.example.net", "gone.example.net"
FAR = "far.example.net"
ROUND_TRIP = 0.1                        # seconds to it and back


def source(*path):
    """Read before /tmp is another one: the checkout may be in there."""
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


FETCH = source(os.path.dirname(os.path.abspath(__file__)), "Fetch.java")
LOOKUP = source(os.path.dirname(os.path.abspath(cases_clients.__file__)), "lookup.c")


def both(v4, v6):
    return {dnswire.A: (60, v4), dnswire.AAAA: (60, v6)}


# Names with addresses that nobody answers at, or of which a router says so.
NAMES = {"web": {
    DEAD4: both([lablib.HOLE4], [SITE6]), DEAD6: both([SITE4], [lablib.HOLE6]),
    FIRST: both([lablib.HOLE4, SITE4], [lablib.HOLE6, SITE6]),
    GONE: both([lablib.NOHOST4, SITE4], [lablib.NOHOST6, SITE6])},
    "far": {FAR: both([longline.FAR4], [longline.FAR6])}}


class Daemon:
    """A server in the foreground, ended with the stage."""

    def __init__(self, stage, argv, user=False, netns=None):
        self.path = os.path.join(stage.lab.scratch,
                                 os.path.basename(argv[0]) + ".said")
        with open(self.path, "ab") as out, netns or stage.lab.internet:
            self.child = subprocess.Popen(
                [*(as_user(stage.lab) if user else []), *argv],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env={"PATH": PATH, "LANG": "C.UTF-8"}, process_group=0)
        stage.keep(self)

    def wait(self, stage, *places):
        """Until it answers at each (address, port)."""
        for address, port in places:
            with stage.lab.internet:
                if not lablib.wait_until(lambda: stage.reference(
                        "connect", address, port)[0] == "ok", 20):
                    with open(self.path, encoding="utf-8",
                              errors="replace") as file:
                        stage.fail(f"no server at {address} {port}: "
                                   f"{file.read()[-500:]}")

    def close(self):
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()


def as_user(lab):
    """argv prefix of a server that must not be root."""
    if lab.root:
        return ["setpriv", f"--reuid={lablib.USER_ID}",
                f"--regid={lablib.USER_ID}", "--clear-groups", "--"]
    return ["unshare", f"--map-user={lablib.USER_ID}",
            f"--map-group={lablib.USER_ID}", "--"]


def own(stage, path):
    """Hands a directory to the lab's ordinary user."""
    if stage.lab.root:
        os.chown(path, lablib.USER_ID, lablib.USER_ID)
    return path


# ---- web ----------------------------------------------------------------------

VHOST = """  server {
    listen ADDRESS4:80;
    listen [ADDRESS6]:80;
    listen ADDRESS4:443 ssl http2;
    listen [ADDRESS6]:443 ssl http2;
    server_name {name};
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    root ROOT;
    index index.html;
    types { text/html html; application/json json; }
    default_type application/octet-stream;
    location = / { return 200 "this is $host\\n"; }
    location /npm/ { default_type application/json; }
  }
"""


def vhost(stage, address4=SITE4, address6=SITE6):
    """The text that cases_clients.Nginx formats for each name."""
    text = VHOST.replace("{", "{{").replace("}", "}}")
    for word in ("name", "certificate", "key"):
        text = text.replace("{{" + word + "}}", "{" + word + "}")
    return text.replace("ADDRESS4", address4).replace("ADDRESS6", address6) \
        .replace("ROOT", os.path.join(stage.share, "www"))


def files(stage):
    """What both web servers have below @share@/www."""
    page = "<!doctype html><title>lab</title><p id=p>a page</p>" \
        "<script>document.title='script ran'</script>\n"
    stage.shared("www/page.html", page)
    for n in range(300):
        stage.shared(f"www/n/{n}", f"file {n}\n" * 100)


def web(stage):
    """nginx: HTTP/1 and 2, plain and TLS."""
    files(stage)
    server = cases_clients.Nginx(stage, [API, WWW, *NAMES["web"]],
                                 vhost=vhost(stage))
    return {"ca": server.ca, "dead4": DEAD4, "dead6": DEAD6, "first": FIRST,
            "gone": GONE, "spki": spki(stage)}


def far(stage):
    """The same at the end of a long line, under one name of its own."""
    files(stage)
    line = stage.keep(longline.LongLine(stage.lab, ROUND_TRIP))
    server = cases_clients.Nginx(
        stage, [FAR], vhost=vhost(stage, longline.FAR4, longline.FAR6),
        netns=line.netns, address=longline.FAR4)
    return {"ca": server.ca, "far": FAR}


def spki(stage):
    """The pin of api's key, as Chromium wants it."""
    certificate = tls_lab.Certificates.of(stage.lab).issue(API)[0]
    key = subprocess.run(["openssl", "x509", "-in", certificate, "-noout",
                          "-pubkey"], capture_output=True, check=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"],
                         input=key, capture_output=True, check=True).stdout
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def echo(stage):
    """Port 7, TCP and UDP."""
    stage.serve(servers.echo, port=7)
    for address in (SITE4, SITE6):
        stage.serve_udp(address, port=7)


# ---- packages -----------------------------------------------------------------

def repository(stage):
    """A git repository that the web server has, and sshd."""
    made = names_lab.Repository(stage)
    stage.shared("www/.keep", "")
    os.rename(made.root, os.path.join(stage.share, "www/git"))
    where = os.path.join(stage.share, "www/git/r.git")
    for at, inner, files in os.walk(where):
        for name in inner + files:
            path = os.path.join(at, name)
            os.chmod(path, 0o755 if os.path.isdir(path) else 0o644)
            own(stage, path)
    os.chmod(os.path.dirname(where), 0o755)
    own(stage, where)
    return {"repository": where}


def npm(stage):
    """A registry that has one package: files that nginx serves."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, text in (("package.json", json.dumps(
                {"name": "tiny", "version": "1.0.0", "main": "index.js"})),
                ("index.js", "console.log('tiny says hello')\n")):
            info = tarfile.TarInfo("package/" + name)
            info.size, info.mode = len(text), 0o644
            tar.addfile(info, io.BytesIO(text.encode()))
    data = data.getvalue()
    stage.shared("www/npm/files/tiny-1.0.0.tgz", data)
    digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
    stage.shared("www/npm/tiny", json.dumps({
        "name": "tiny", "dist-tags": {"latest": "1.0.0"}, "versions": {
            "1.0.0": {"name": "tiny", "version": "1.0.0", "dist": {
                "tarball": f"https://{API}/npm/files/tiny-1.0.0.tgz",
                "integrity": "sha512-" + digest,
                "shasum": hashlib.sha1(data).hexdigest()}}}}))


def pip(stage):
    """A simple index with one wheel."""
    data = io.BytesIO()
    info = "tiny-1.0.dist-info/"
    with zipfile.ZipFile(data, "w") as wheel:
        wheel.writestr("tiny.py", "print('tiny says hello')\n")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: tiny\n"
                       "Version: 1.0\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: lab\n"
                       "Root-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(info + "RECORD", f"tiny.py,,\n{info}METADATA,,\n"
                       f"{info}WHEEL,,\n{info}RECORD,,\n")
    data = data.getvalue()
    name = "tiny-1.0-py3-none-any.whl"
    stage.shared("www/simple/tiny/" + name, data)
    stage.shared("www/simple/tiny/index.html", "<!doctype html><a href=\""
                 f"{name}#sha256={hashlib.sha256(data).hexdigest()}\">{name}</a>")


def apt(stage):
    """A flat repository with one package, and a configuration that uses it alone."""
    tree = os.path.join(stage.lab.scratch, "deb")
    os.makedirs(os.path.join(tree, "DEBIAN"))
    control = "Package: tiny\nVersion: 1.0\nArchitecture: all\n" \
        "Maintainer: nobody <nobody@example.org>\nDescription: the lab's\n"
    with open(os.path.join(tree, "DEBIAN/control"), "w",
              encoding="ascii") as file:
        file.write(control)
    stage.shared("www/debian/.keep", "")
    path = os.path.join(stage.share, "www/debian/tiny_1.0_all.deb")
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, path],
                   check=True, capture_output=True)
    with open(path, "rb") as file:
        data = file.read()
    packages = control + "Filename: ./tiny_1.0_all.deb\n" \
        f"Size: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
    stage.shared("www/debian/Packages", packages)
    stage.shared("www/debian/Release", "Suite: lab\nSHA256:\n "
                 f"{hashlib.sha256(packages.encode()).hexdigest()} "
                 f"{len(packages)} Packages\n")
    stage.shared("sources.list", f"deb [trusted=yes] http://{API}/debian ./\n")
    stage.shared("apt.conf", APT.replace("SHARE", stage.share))
    return {"apt": os.path.join(stage.share, "apt.conf")}


APT = """Dir::Etc::SourceList "SHARE/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Acquire::Languages "none";
Acquire::Retries "0";
"""


# ---- servers of one client ------------------------------------------------------

SSHD = """Port 22
ListenAddress {address4}
ListenAddress {address6}
HostKey {dir}/host
AuthorizedKeysFile {dir}/authorized
StrictModes no
UsePAM no
UseDNS no
PidFile none
Subsystem sftp internal-sftp
"""
SSH = """Host *
\tIdentityFile {dir}/key
\tIdentityAgent none
\tUserKnownHostsFile {dir}/known
\tGlobalKnownHostsFile /dev/null
\tHashKnownHosts no
\tUser {user}
"""


def ssh(stage):
    """OpenSSH's server; @ssh@ is a configuration for its clients."""
    if not stage.lab.root:
        stage.skip("sshd needs root")
    place = stage.lab.directory("ssh")
    os.chmod(place, 0o755)
    for name in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                        os.path.join(place, name)], check=True)
    own(stage, os.path.join(place, "key"))
    with open(os.path.join(place, "host.pub"), encoding="ascii") as file:
        key = " ".join(file.read().split()[:2])
    for name, text in (("known", f"{API} {key}\n"), ("sshd", SSHD.format(
            address4=SITE4, address6=SITE6, dir=place)),
            ("config", SSH.format(dir=place, user=USER))):
        with open(os.path.join(place, name), "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(os.path.join(place, name), 0o644)
    os.rename(os.path.join(place, "key.pub"), os.path.join(place, "authorized"))
    os.mkdir("/run/sshd", 0o755)
    os.makedirs(os.path.join(stage.share, "inbox"))
    own(stage, os.path.join(stage.share, "inbox"))
    stage.shared("outbox/file", "from the server\n")
    Daemon(stage, ["/usr/sbin/sshd", "-D", "-e", "-f",
                   os.path.join(place, "sshd")]).wait(
                       stage, (SITE4, 22), (SITE6, 22))
    return {"ssh": os.path.join(place, "config")}


def redis(stage):
    Daemon(stage, ["redis-server", "--port", "6379", "--bind", SITE4, SITE6,
                   "--protected-mode", "no", "--save", "", "--daemonize", "no",
                   "--dir", stage.lab.directory("redis")]).wait(
                       stage, (SITE4, 6379), (SITE6, 6379))


def mosquitto(stage):
    path = stage.shared("mosquitto.conf", f"listener 1883 {SITE4}\n"
                        f"listener 1883 {SITE6}\nallow_anonymous true\n"
                        "user root\n")
    Daemon(stage, ["/usr/sbin/mosquitto", "-c", path]).wait(
        stage, (SITE4, 1883), (SITE6, 1883))


def postgres(stage):
    programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
    place = own(stage, stage.lab.directory("postgres"))
    data = os.path.join(place, "data")
    subprocess.run([*as_user(stage.lab), programs + "/initdb", "-D", data, "-U",
                    "lab", "-A", "trust", "--no-sync", "--no-instructions"],
                   check=True, capture_output=True, env={"PATH": PATH})
    with open(os.path.join(data, "pg_hba.conf"), "a", encoding="ascii") as file:
        file.write("host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n")
    made = tls_lab.Certificates.of(stage.lab)
    for source, name in zip(made.issue(API), ("server.crt", "server.key")):
        path = shutil.copy(source, os.path.join(data, name))
        os.chmod(path, 0o600)
        own(stage, path)
    Daemon(stage, [programs + "/postgres", "-c", "ssl=on", "-D", data, "-k", place, "-h",
                   f"{SITE4},{SITE6}", "-c", "fsync=off", "-c",
                   "autovacuum=off"], user=True).wait(
                       stage, (SITE4, 5432), (SITE6, 5432))
    return {"ca": made.ca}


def tftp(stage):
    """One address each: it answers from another port, and from the same address."""
    if not stage.lab.root:
        stage.skip("in.tftpd needs root")
    place = os.path.dirname(stage.shared("tftp/file", "by tftp\n"))
    for address in (SITE4, f"[{SITE6}]"):
        Daemon(stage, ["/usr/sbin/in.tftpd", "-L", "--secure", "-u", "root",
                       "--address", address + ":69", place])


def java(stage):
    place = os.path.join(stage.share, "java")
    subprocess.run(["javac", "-d", place, stage.shared("Fetch.java", FETCH)],
                   check=True, capture_output=True)
    return {"java": place}


def musl(stage):
    """The C library of Alpine and of static programs, as the lab builds it."""
    program = os.path.join(stage.share, "lookup")
    subprocess.run(["musl-gcc", "-static", "-o", program,
                    stage.shared("lookup.c", LOOKUP)], check=True, timeout=60)
    return {"musl": program}
