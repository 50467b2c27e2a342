"""TLS on the lab's internet: a certificate authority, one server with many
virtual hosts on every address, and ClientHellos made by hand.

The server's log is the canary: which bytes came, on which address, under which
name. It reads the socket itself and feeds the TLS engine from memory, so that
`raw` is all that arrived, also of a hello that the engine will not have.
"""
import os
import ssl
import struct
import subprocess
import tempfile

import servers

CONFIG = """[req]
distinguished_name = dn
prompt = no
x509_extensions = {kind}
[dn]
CN = {name}
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:{name}
"""


class Certificates:
    """An authority of this run of the tests; made by openssl on first use."""

    def __init__(self, lab):
        self.dir = tempfile.mkdtemp(dir=lab.scratch, prefix="ca-")
        os.chmod(self.dir, 0o755)
        self.ca = self._make("ca", "the lab", [])
        os.chmod(self.ca, 0o644)
        self.made = {}

    @classmethod
    def of(cls, lab):
        if not hasattr(lab, "certificates"):
            lab.certificates = cls(lab)
        return lab.certificates

    def _make(self, kind, name, more):
        stem = os.path.join(self.dir, name.replace(" ", "-"))
        with open(stem + ".conf", "w", encoding="ascii") as file:
            file.write(CONFIG.format(kind=kind, name=name))
        subprocess.run(
            ["openssl", "req", "-x509", "-config", stem + ".conf", "-newkey",
             "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
             "30", "-keyout", stem + ".key", "-out", stem + ".crt", *more],
            check=True, capture_output=True)
        return stem + ".crt"

    def issue(self, name):
        """(certificate, key) for a name."""
        if name not in self.made:
            stem = os.path.join(self.dir, "the-lab")
            path = self._make("leaf", name, ["-CA", self.ca, "-CAkey",
                                             stem + ".key"])
            self.made[name] = (path, path[:-4] + ".key")
        return self.made[name]


class VhostServer(servers.TcpServer):
    """Port 443 of every address of the internet, with these virtual hosts.

    Each connection of `log` has raw (bytes that came), sni, alpn and request.
    serve(connection, path) makes the body; without it: which host answered.
    """

    def __init__(self, lab, names, port=443, h2=False, serve=None,
                 netns=None):
        made = Certificates.of(lab)
        self.ca = made.ca
        self.serve = serve or (lambda c, path: f"this is {c.sni}\n".encode())
        self.contexts, self.by_engine = {}, {}
        for name in names:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*made.issue(name))
            context.set_alpn_protocols(["h2", "http/1.1"] if h2
                                       else ["http/1.1"])
            self.contexts[name] = context
        self.first = self.contexts[names[0]]
        self.first.sni_callback = self._choose
        super().__init__(netns or lab.internet, self._talk, port=port)

    def _choose(self, engine, name, _context):
        self.by_engine[id(engine)].sni = name
        if name in self.contexts:
            engine.context = self.contexts[name]
        elif name is not None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        return None

    def _talk(self, connection):
        connection.raw, connection.sni, connection.alpn = b"", None, None
        connection.request = b""
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        engine = self.first.wrap_bio(into, out, server_side=True)
        self.by_engine[id(engine)] = connection
        self._pump(connection, engine.do_handshake, into, out)
        connection.alpn = engine.selected_alpn_protocol()
        if connection.alpn == "h2":
            self._h2(connection, engine, into, out)
        else:
            self._h1(connection, engine, into, out)
        return connection.request

    @staticmethod
    def _pump(connection, step, into, out):
        """Runs one step of the engine; the socket is ours to read and write."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                VhostServer._rest(connection)
                raise
            finally:
                connection.sock.sendall(out.read())
            data = connection.sock.recv(65536)
            if not data:
                raise ConnectionError("ended early")
            connection.raw += data
            into.write(data)

    @staticmethod
    def _rest(connection):
        """What else came of a connection that the engine gave up."""
        connection.sock.settimeout(1)
        try:
            while True:
                data = connection.sock.recv(65536)
                if not data:
                    return
                connection.raw += data
        except OSError:
            return

    def _h1(self, connection, engine, into, out):
        while b"\r\n\r\n" not in connection.request:
            connection.request += self._pump(
                connection, lambda: engine.read(65536), into, out)
        path = connection.request.split(b" ", 2)[1].decode("latin-1")
        body = self.serve(connection, path)
        head = b"HTTP/1.1 200 OK" if body is not None else \
            b"HTTP/1.1 404 Not Found"
        body = body or b""
        engine.write(head + b"\r\nConnection: close\r\nContent-Length: %d\r\n"
                     b"\r\n" % len(body) + body)
        connection.sock.sendall(out.read())
        try:
            engine.unwrap()
        except ssl.SSLError:
            pass
        connection.sock.sendall(out.read())

    def _h2(self, connection, engine, into, out):
        """RFC 9113: SETTINGS both ways, the first HEADERS, one answer."""
        data, stream = b"", None
        while stream is None:
            data += self._pump(connection, lambda: engine.read(65536), into,
                               out)
            at = 24                     # behind the client's preface
            while at + 9 <= len(data):
                size = int.from_bytes(data[at:at + 3], "big")
                if data[at + 3] == 1:
                    stream = data[at + 5:at + 9]
                at += 9 + size
        connection.request = data
        body = self.serve(connection, "/")
        settings = b"\0\0\0\4\0\0\0\0\0"
        headers = b"\0\0\1\1\4" + stream + b"\x88"      # :status 200
        engine.write(settings + headers + struct.pack("!I", len(body))[1:]
                     + b"\0\1" + stream + body)
        connection.sock.sendall(out.read())
        try:
            while True:
                self._pump(connection, lambda: engine.read(65536), into, out)
        except OSError:
            return

    def spoken(self):
        """The connections on which anything has reached the server so far."""
        return [c for c in self.log if getattr(c, "raw", b"")]

    def raws(self):
        """How many bytes these were, on each."""
        return [len(c.raw) for c in self.spoken()]


# ---- ClientHellos ------------------------------------------------------------

def vector(width, data):
    return len(data).to_bytes(width, "big") + data


def extension(kind, data):
    return struct.pack("!H", kind) + vector(2, data)


def sni(*names):
    """RFC 6066, 3; several names, or none, are a fault."""
    listed = b"".join(b"\0" + vector(2, n if isinstance(n, bytes)
                                     else n.encode()) for n in names)
    return extension(0, vector(2, listed))


def alpn(*names):
    return extension(16, vector(2, b"".join(vector(1, n.encode())
                                            for n in names)))


def ech(enc=32, payload=160, config=7):
    """The outer form of encrypted_client_hello; GREASE looks the same."""
    return extension(0xfe0d, b"\0" + struct.pack("!HHB", 1, 1, config)
                     + vector(2, os.urandom(enc))
                     + vector(2, os.urandom(payload)))


COMMON = (extension(43, b"\2\3\4") + extension(10, b"\0\2\0\x1d")
          + extension(13, b"\0\4\4\3\x08\4")
          + extension(51, vector(2, b"\0\x1d" + vector(2, bytes(32)))))


def hello(*extensions, common=COMMON, session=b"", suites=b"\x13\1\x13\2",
          padding=0):
    """A handshake message with these extensions, then the usual ones."""
    parts = b"".join(extensions) + common
    if padding:
        parts += extension(21, bytes(padding))
    body = b"\3\3" + os.urandom(32) + vector(1, session) + vector(2, suites) \
        + b"\1\0" + vector(2, parts)
    return b"\1" + vector(3, body)


def records(message, size=16384):
    """The message in TLS records of at most `size` bytes."""
    return b"".join(b"\x16\3\1" + vector(2, message[at:at + size])
                    for at in range(0, len(message), size))
