"""The clients: what is run, with which servers, and what is right.

`run` is a shell's script; @WORD@ is a name, an address or a file that the stage or a
server (backends.py) made. `right` is what it prints, or a pattern found in that.
`known` are exceptions, {host kind or "all": (pattern of the failure, the reason)}; one
that does not fail so any more is a failure itself.
"""
import dataclasses
import glob
import os
import re
import shutil

import backends
from stage import KINDS, PATH

# What is not in a package of its own name.
PACKAGES = {
    "ab": "apache2-utils", "busybox": "busybox-static", "apt-get": "apt", "dig": "bind9-dnsutils",
    "dpkg-deb": "dpkg", "getent": "libc-bin", "h2load": "nghttp2-client",
    "in.tftpd": "tftpd-hpa", "java": "default-jdk-headless",
    "javac": "default-jdk-headless", "kdig": "knot-dnsutils",
    "mosquitto_pub": "mosquitto-clients", "mosquitto_sub": "mosquitto-clients",
    "musl-gcc": "musl-tools", "nc": "netcat-openbsd", "node": "nodejs",
    "ping": "iputils-ping", "pip3": "python3-pip", "postgres": "postgresql",
    "psql": "postgresql-client", "redis-cli": "redis-tools",
    "scp": "openssh-client", "setsid": "util-linux",
    "sftp": "openssh-client", "ssh": "openssh-client",
    "sshd": "openssh-server", "tftp": "tftp-hpa"}
ALWAYS = ("setsid", "nsd", "unbound")
BY_NAME = "allow to name "
ELSEWHERE = {"postgres": "/usr/lib/postgresql/*/bin/postgres"}


@dataclasses.dataclass
class Client:
    """One entry; `needs` are programs, those of its servers not among them."""
    name: str
    needs: str
    serve: tuple
    run: str
    right: object
    hosts: tuple = KINDS
    rules: str = BY_NAME                # what each rule that is learnt has to match
    known: dict = dataclasses.field(default_factory=dict)
    root: bool = False                  # not as an ordinary user
    never_root: bool = False            # also where all others run as root (--root)
    timeout: int = 60                   # seconds of one run

    def programs(self):
        return {*ALWAYS, *self.needs.split(), *(
            p for s in self.serve for p in backends.NEEDS.get(s, []))}

    def missing(self):
        return sorted(p for p in self.programs() if not found(p))

    def known_for(self, kind):
        return self.known.get(kind) or self.known.get("all")


def found(program):
    return glob.glob(ELSEWHERE[program]) if program in ELSEWHERE \
        else shutil.which(program, path=PATH)


def packages(programs):
    return sorted({PACKAGES.get(p, p) for p in programs})


def client(name, needs, serve, run, right, **more):
    CLIENTS.append(Client(name, needs, tuple(serve.split()), run, right, **more))


CLIENTS = []
API_SAYS = "this is @api@\n"
V4, V6, BOTH = ("dual", "v4"), ("dual", "v6"), ("dual",)

# ---- curl and wget ------------------------------------------------------------------

CURL = "curl -sS --cacert @ca@ "
client("curl-http", "curl", "web", CURL + "http://@api@/", API_SAYS)
client("curl-h1", "curl", "web", CURL + "--http1.1 -w '%{http_version}' https://@api@/",
       API_SAYS + "1.1")
client("curl-h2", "curl", "web", CURL + "--http2 -w '%{http_version}' https://@api@/",
       API_SAYS + "2")
client("curl-4", "curl", "web", CURL + "-4 -w '%{remote_ip}' https://@api@/",
       API_SAYS + "@site4@", hosts=V4)
client("curl-6", "curl", "web", CURL + "-6 -w '%{remote_ip}' https://@api@/",
       API_SAYS + "@site6@", hosts=V6)
client("curl-address", "curl", "web", CURL + "http://@site4@/ 'http://[@site6@]/'",
       "this is @site4@\nthis is [@site6@]\n", hosts=BOTH, rules="allow to net ")
client("curl-mixed", "curl", "web", CURL + "https://@api@/ && curl -sSk https://@at@/",
       API_SAYS + "this is @at@\n", rules="allow to (name|net @site@ port tcp 443)")
client("curl-dead-v4", "curl", "web", CURL + "https://@dead4@/", "this is @dead4@\n",
       hosts=V6)
client("curl-dead-v6", "curl", "web", CURL + "https://@dead6@/", "this is @dead6@\n",
       hosts=V4)
client("curl-dead-first", "curl", "web", CURL + "--connect-timeout 8 https://@first@/",
       "this is @first@\n")
client("curl-unreachable-first", "curl", "web", CURL + "https://@gone@/",
       "this is @gone@\n")
client("curl-parallel", "curl", "web", CURL +
       "-Z --parallel-max 50 'https://@api@/n/[0-99]' 2>/dev/null | sort -u | wc -l",
       "100\n")
client("wget", "wget", "web", "wget -q --ca-certificate=@ca@ -O - https://@api@/ "
       "http://@www@/", "this is @api@\nthis is @www@\n")
client("busybox-wget", "busybox", "web", "busybox wget -q -O - http://@one@/",
       "this is @one@\n")

# ---- git, ssh -----------------------------------------------------------------------

client("git-https", "git", "web repository", "GIT_SSL_CAINFO=@ca@ git clone -q "
       "https://@api@/git/r.git c && cat c/file", "words\n")
client("git-ssh", "git ssh", "ssh web repository", "GIT_SSH_COMMAND='ssh -F @ssh@' "
       "git clone -q @api@:@repository@ c && cat c/file", "words\n")
client("git-push", "git ssh", "ssh web repository", "export GIT_SSH_COMMAND='ssh -F "
       "@ssh@' && git clone -q @api@:@repository@ c && cd c && git -c user.name=s -c "
       "user.email=s@s commit -q --allow-empty -m two && b=b$(date +%s%N) && git push -q "
       "origin HEAD:$b && git ls-remote origin $b | grep -c $b", "1\n")
client("ssh", "ssh", "ssh", "ssh -F @ssh@ @api@ 'echo from $USER'", "from someone\n")
client("ssh-terminal", "ssh", "ssh", "ssh -q -tt -F @ssh@ @api@ 'test -t 0 && tty | cut "
       "-c 1-8'", "/dev/pts\n")
client("scp", "scp", "ssh", "scp -q -F @ssh@ @api@:@share@/outbox/file . && cat file",
       "from the server\n")
client("sftp", "sftp", "ssh", "echo 'get @share@/outbox/file' | sftp -q -b - -F @ssh@ "
       "@api@ >&2 && cat file", "from the server\n")
client("rsync", "rsync ssh", "ssh", "rsync -e 'ssh -F @ssh@' -a @api@:@share@/outbox/ "
       "got && cat got/file", "from the server\n")

# ---- package managers ---------------------------------------------------------------

APT = ("mkdir -p s/lists/partial c/archives/partial && : >status && apt-get -qq -c @apt@ "
       "-o Dir::State=$PWD/s -o Dir::State::Status=$PWD/status -o Dir::Cache=$PWD/c ")
client("apt-get", "apt-get", "web apt", f"{APT} update && {APT} download tiny >&2 && "
       "ls *.deb", "tiny_1.0_all.deb\n")
client("apt-get-root", "apt-get", "web apt", f"{APT} update && {APT} -y -d install tiny "
       ">&2 && ls c/archives", re.compile(r"tiny_1\.0_all\.deb"), root=True)
client("npm", "npm node", "web npm", "npm install --cafile @ca@ --registry "
       "https://@api@/npm/ --fetch-retries 0 --no-audit --no-fund "
       "--no-update-notifier tiny >&2 && node node_modules/tiny", "tiny says hello\n")
client("pip", "pip3", "web pip", "/usr/bin/python3 -m pip -q install --cert @ca@ "
       "--index-url https://@api@/simple --retries 1 --disable-pip-version-check "
       "--no-cache-dir -t t tiny && cd t && /usr/bin/python3 -m tiny",
       "tiny says hello\n")

# ---- runtimes -----------------------------------------------------------------------

client("node-fetch", "node", "web", "NODE_EXTRA_CA_CERTS=@ca@ node -e 'fetch(\"https://"
       "@api@/\").then(r=>r.text()).then(t=>process.stdout.write(t))'", API_SAYS)
client("node-http", "node", "web", "node -e 'require(\"http\").get(\"http://@api@/\","
       "r=>r.pipe(process.stdout))'", API_SAYS)
client("python", "python3", "web", "/usr/bin/python3 -c 'import ssl, urllib.request as u;"
       "print(u.urlopen(\"https://@api@/\", context=ssl.create_default_context(cafile="
       "\"@ca@\")).read().decode(), end=\"\")'", API_SAYS)
client("java", "java", "web java", "java -Djava.net.preferIPv6Addresses=system "
       "-cp @java@ Fetch https://@api@/ @ca@",
       "HTTP_2 " + API_SAYS)
client("chromium", "chromium", "web", "chromium --headless --no-first-run "
       "--disable-gpu --user-data-dir=$PWD/p --ignore-certificate-errors-spki-list=@spki@ "
       "--dump-dom https://@api@/page.html", re.compile(
           r"<title>script ran</title>.*a page", re.S), timeout=120, never_root=True)

# ---- servers that are no web --------------------------------------------------------

client("psql", "psql", "postgres", "psql -X -A -t -h @api@ -U lab -d postgres -c "
       "\"select 'row ' || generate_series(1, 3)\"", "row 1\nrow 2\nrow 3\n")
client("psql-tls", "psql openssl", "postgres", "PGSSLMODE=verify-full PGSSLROOTCERT=@ca@ "
       "psql -X -A -t -h @api@ -U lab -d postgres -c 'select ssl from pg_stat_ssl where "
       "pid = pg_backend_pid()'", "t\n")
client("redis-cli", "redis-cli", "redis", "redis-cli -h @one@ set key value && "
       "redis-cli -h @one@ get key", "OK\nvalue\n")
client("mosquitto", "mosquitto_pub mosquitto_sub", "mosquitto", "mosquitto_pub -r -h "
       "@api@ -t t -m words && mosquitto_sub -h @api@ -t t -C 1 -W 20", "words\n")

# ---- tools --------------------------------------------------------------------------

FETCH = "curl -sS --cacert @ca@ https://@api@/"
ONE_AND_API = re.compile("(?m)^@site@\n(.*\n)?" + API_SAYS + r"\Z")
client("dig", "dig curl", "web", "dig +short @api@ A @api@ AAAA && " + FETCH, ONE_AND_API)
client("kdig", "kdig curl", "web", "kdig +short @api@ A @api@ AAAA && " + FETCH,
       ONE_AND_API)
client("getent", "getent curl", "web", "getent ahosts @api@ >&2 && " + FETCH, API_SAYS)
client("getent-alone", "getent", "web", "getent ahosts @api@ | sort -u | grep -c @site@",
       re.compile("^[1-9]"), rules="deny to any", known={"all": (
           "works: ", "a rule by name has ports: --learn lists what was only looked up")})
client("musl", "curl", "web musl", "@musl@ @api@ >&2 && " + FETCH, API_SAYS)
client("openssl", "openssl", "web", "printf 'GET / HTTP/1.0\\r\\nHost: @api@\\r\\n\\r\\n' "
       "| openssl s_client -quiet -CAfile @ca@ -verify_return_error -connect @api@:443 "
       "2>/dev/null | tail -n 1", API_SAYS)
client("openssl-no-sni", "openssl", "web", "printf 'GET / HTTP/1.0\\r\\nHost: @api@\\r\\n"
       "\\r\\n' | openssl s_client -quiet -noservername -connect @api@:443 2>/dev/null | "
       "tail -n 1", API_SAYS)
client("socat", "socat", "echo", "echo words | socat -t 5 - TCP:@one@:7", "words\n")
client("nc", "nc", "echo", "echo words | nc -N @api@ 7", "words\n")
client("nc-probe", "nc", "echo", "nc -z -w 5 @api@ 7 && echo there", "there\n")
client("nc-udp", "nc", "echo", "echo words | nc -u -W 1 @api@ 7", "words\n")
client("ping", "ping", "echo", "ping -q -c 2 -i 0.2 @site@ | grep -o '2 received'",
       "2 received\n", rules="allow to net @site@ icmp echo")
client("ping-name", "ping", "echo", "ping -q -c 2 -i 0.2 -@f@ @api@ | grep -o "
       "'2 received'", "2 received\n", rules="allow to net @site@ icmp echo", known={
           "all": ("works: ", "a rule by name has no echo")})
client("tftp", "tftp", "tftp", "tftp -@f@ -m binary @api@ -c get file && cat file",
       "by tftp\n", known={"all": (
           r"learn: ", "its server answers from another port, which no flow has")})

# ---- load ---------------------------------------------------------------------------

client("ab", "ab", "web", "ab -q -n 400 -c 100 -s 20 http://@api@/ | grep -E "
       "'^(Complete|Failed) requests' | tr -s ' '",
       "Complete requests: 400\nFailed requests: 0\n")
client("h2load", "h2load", "web", "h2load -n 1000 -c 100 https://@api@/ | grep -o "
       "'1000 succeeded, 0 failed'", "1000 succeeded, 0 failed\n")
client("wrk", "wrk", "web", "wrk -t 1 -c 50 -d 1 http://@api@/ | grep -oE "
       "'requests in|Socket errors|Non-2xx'", "requests in\n")

# The same, and more at once, at the end of a line of 100 ms.
client("ab-far", "ab", "far", "ab -q -n 400 -c 200 -s 20 http://@far@/ | grep -E "
       "'^(Complete|Failed) requests' | tr -s ' '",
       "Complete requests: 400\nFailed requests: 0\n")
client("h2load-far", "h2load", "far", "h2load -n 1000 -c 200 https://@far@/ | grep -o "
       "'1000 succeeded, 0 failed'", "1000 succeeded, 0 failed\n")
client("wrk-far", "wrk", "far", "wrk -t 1 -c 200 -d 2 http://@far@/ | grep -oE "
       "'requests in|Socket errors|Non-2xx'", "requests in\n")
client("curl-parallel-far", "curl", "far", CURL + "--http1.1 -Z --parallel-immediate "
       "--parallel-max 300 'https://@far@/n/[0-299]' 2>/dev/null | sort -u | wc -l",
       "300\n")
