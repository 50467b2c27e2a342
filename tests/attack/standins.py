"""Stand-ins for the programs of a host that would do something for whoever talks
to them: a listener at each place where such programs are known to listen. What
matters is who is heard, so a stand-in only notes that.

All of it is in the lab's own mount namespace: /run, /tmp, /var/tmp, /dev/shm,
/var/lib and /var/spool are its own tmpfs until the case ends.
"""
import contextlib
import os
import selectors
import socket
import threading

import lab as lablib
import nspace

OWN = ("/run", "/tmp", "/var/tmp", "/dev/shm", "/var/lib", "/var/spool")
STREAM, DGRAM, PACKET = (socket.SOCK_STREAM, socket.SOCK_DGRAM,
                         socket.SOCK_SEQPACKET)

# {u} is the user's number.
SYSTEM = ["/run/docker.sock", "/run/podman/podman.sock",
          "/run/containerd/containerd.sock", "/run/k3s/containerd/containerd.sock",
          "/run/buildkit/buildkitd.sock", "/run/crio/crio.sock",
          "/run/cri-dockerd.sock", "/run/libvirt/libvirt-sock",
          "/run/snapd.socket", "/run/incus/unix.socket",
          "/var/lib/incus/unix.socket", "/var/lib/lxd/unix.socket",
          "/run/dbus/system_bus_socket", "/run/systemd/private",
          "/run/systemd/resolve/io.systemd.Resolve",
          "/run/systemd/userdb/io.systemd.Multiplexer",
          "/run/avahi-daemon/socket", "/run/nscd/socket", "/run/nslcd/socket",
          "/run/samba/winbindd/pipe", "/var/lib/sss/pipes/nss",
          "/run/cups/cups.sock", "/run/mysqld/mysqld.sock",
          "/run/postgresql/.s.PGSQL.5432", "/run/redis/redis.sock",
          "/run/tor/control", "/run/tailscale/tailscaled.sock",
          "/run/screen/S-user/1.tty", "/run/fail2ban/fail2ban.sock",
          "/run/acpid.socket", "/run/rpcbind.sock", "/run/gssproxy.sock",
          "/run/pcscd/pcscd.comm", "/run/php/php-fpm.sock",
          "/var/spool/postfix/public/pickup"]
RUNTIME = ["bus", "docker.sock", "podman/podman.sock", "systemd/private",
           "gnupg/S.gpg-agent", "gnupg/S.dirmngr", "gnupg/S.gpg-agent.ssh",
           "wayland-0", "pipewire-0", "pulse/native", "keyring/ssh",
           "emacs/server", "nvim.1.0", "zellij/0.40/main", "at-spi/bus",
           "vscode-ipc-1.sock", "containerd-rootless/api.sock"]
TEMPORARY = ["/tmp/tmux-{u}/default", "/tmp/.X11-unix/X0", "/tmp/.ICE-unix/1",
             "/tmp/ssh-XXaaaa/agent.17", "/tmp/dbus-AbCdEf", "/tmp/emacs{u}/server",
             "/tmp/zellij-{u}/0.40/main", "/tmp/nvim.user/x/nvim.2.0",
             "/tmp/screens/S-user/2.tty", "/tmp/.s.PGSQL.5432",
             "/tmp/vscode-ipc-2.sock", "/tmp/.font-unix/fs7100",
             "/var/tmp/agent.sock", "/dev/shm/jack/default"]
HOME = [".ssh/control-host-22", ".ssh/agent/s.1.agent", ".gnupg/S.gpg-agent",
        ".gnupg/S.dirmngr", ".docker/run/docker.sock",
        ".docker/desktop/docker.sock", ".colima/default/docker.sock",
        ".lima/default/ha.sock", ".rd/docker.sock", ".config/emacs/server/server",
        ".emacs.d/server/server", ".vscode-server/code.sock",
        ".cursor-server/code.sock", ".local/share/containers/podman/podman.sock",
        ".cache/keyring-1/ssh", ".screen/1.tty", ".dbus/session", "project/api.sock"]
DATAGRAMS = ["/run/systemd/journal/socket", "/run/systemd/journal/dev-log",
             "/run/systemd/notify", "/run/chrony/chronyd.sock", "/tmp/notify",
             "/var/tmp/log", "/dev/shm/log"]
PACKETS = ["/run/udev/control", "/run/systemd/coredump", "/tmp/packets"]


def usual(user, home):
    """{path: kind} of everything above."""
    kinds = {p: STREAM for p in SYSTEM}
    kinds |= {p.format(u=user): STREAM for p in TEMPORARY}
    kinds |= {f"/run/user/{user}/{p}": STREAM for p in RUNTIME}
    kinds |= {os.path.join(home, p): STREAM for p in HOME}
    kinds |= {p: DGRAM for p in DATAGRAMS} | {p: PACKET for p in PACKETS}
    return kinds


class Host:
    """Its directories and who listens in them; `heard` names who was spoken to."""

    def __init__(self, a, place):
        self.a, self.place = a, place
        self.user = a.lab.uid
        self.heard = set()
        self.sockets = {}
        self.made = []
        self.select = selectors.DefaultSelector()
        self.lock = threading.Lock()
        self.open = True
        for path in OWN:
            if os.path.isdir(path):
                mode = "1777" if "tmp" in path or "shm" in path else "755"
                nspace.mount("host", path, "tmpfs", 0, f"mode={mode}")
                self.made.append(path)
        self.directory(f"/run/user/{self.user}", 0o700)
        a.t.keep(self)
        self.wake, waker = os.pipe()
        self.waker = waker
        self.select.register(self.wake, selectors.EVENT_READ, None)
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def own(self, path):
        if self.a.lab.root and self.a.lab.user:
            os.chown(path, self.user, self.user, follow_symlinks=False)

    def directory(self, path, mode=0o755):
        """With all above it; the user's own where the place is a user's."""
        missing = []
        while not os.path.isdir(path):
            missing.append(path)
            path = os.path.dirname(path)
        for one in reversed(missing):
            os.mkdir(one, mode)
            self.own(one)

    def listen(self, path, kind=STREAM, netns=None, name=None):
        """Somebody who hears; again at the same path is what a restart does."""
        if not path.startswith("\0"):
            self.directory(os.path.dirname(path))
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        with netns or contextlib.nullcontext():
            s = socket.socket(socket.AF_UNIX, kind)
        s.bind(path)
        if kind != DGRAM:
            s.listen(64)
        s.setblocking(False)
        if not path.startswith("\0"):
            os.chmod(path, 0o666)
            self.own(path)
        with self.lock:
            old = self.sockets.pop(path, None)
            if old:
                self.select.unregister(old)
                old.close()
            self.sockets[path] = s
            self.select.register(s, selectors.EVENT_READ, name or path)
        os.write(self.waker, b"x")
        return path

    def everything(self):
        kinds = usual(self.user, self.place.path)
        for path, kind in kinds.items():
            self.listen(path, kind)
        return list(kinds)

    def _listen(self):
        while self.open:
            for key, _ in self.select.select(0.5):
                if key.data is None:
                    os.read(self.wake, 64)
                    continue
                with self.lock, contextlib.suppress(OSError):
                    self._hear(key.fileobj, key.data)

    def _hear(self, s, name):
        if s.type == DGRAM:
            if s.recv(4096).startswith((b"/", b"@")):
                self.heard.add(name)
            return
        with s.accept()[0] as peer:
            peer.settimeout(1)
            # others come too: a C library on the host asks nscd
            if peer.recv(4096).startswith((b"/", b"@")):
                self.heard.add(name)

    def hears(self, names, seconds=2):
        """Who of these was spoken to; what has been said is heard by then."""
        lablib.wait_until(lambda: set(names) <= self.heard, seconds)
        return {n for n in names if n in self.heard}

    def forget(self):
        self.heard.clear()

    def close(self):
        self.open = False
        os.write(self.waker, b"x")
        self.thread.join()
        for s in self.sockets.values():
            s.close()
        self.select.close()
        os.close(self.wake)
        os.close(self.waker)
        for path in reversed(self.made):
            nspace.umount(path)
