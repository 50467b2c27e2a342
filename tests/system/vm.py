#!/usr/bin/python3
"""A real guest: Debian's cloud kernel and busybox in QEMU, TCG only.

    vm.py fetch DIR     gets the two packages with apt-get into DIR (no root)

DIR then holds boot/vmlinuz-*, lib/modules and bin/busybox, and is what
`run.py --vm DIR` wants. The initial RAM disk is made here, without cpio.
"""
import glob
import gzip
import os
import re
import shutil
import stat
import subprocess
import sys

# In the order of loading; virtio wants virtio_ring first in 6.1.
MODULES = ("virtio_ring", "virtio", "virtio_pci_modern_dev",
           "virtio_pci_legacy_dev", "virtio_pci", "failover", "net_failover",
           "virtio_net")
TOOLS = ("sh", "mount", "insmod", "ip", "wget", "sha256sum", "ping", "sleep",
         "echo", "poweroff", "ls", "cut")
BOOT_TIMEOUT = 120


class Archive:
    """A cpio archive in the "newc" format that the kernel unpacks."""

    def __init__(self):
        self.parts = []
        self.number = 0

    def add(self, name, mode, data=b"", rdev=(0, 0)):
        self.number += 1
        encoded = name.encode() + b"\0"
        fields = (self.number, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev,
                  len(encoded), 0)
        head = b"070701" + b"".join(b"%08x" % f for f in fields) + encoded
        self.parts += [head + b"\0" * (-len(head) % 4),
                       data + b"\0" * (-len(data) % 4)]

    def directory(self, name):
        self.add(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o755):
        self.add(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        self.add(name, stat.S_IFLNK | 0o777, target.encode())

    def finish(self):
        self.add("TRAILER!!!", 0)
        return gzip.compress(b"".join(self.parts), 1)


def script(guest, prefix, gate, guest6, gate6, url):
    return f"""#!/bin/sh
mount -t proc proc /proc
for m in {" ".join(MODULES)}; do [ -f /m/$m.ko ] && insmod /m/$m.ko; done
echo GUEST-UP
i=0
while ! ip link show eth0 >/dev/null 2>&1 && [ $i -lt 50 ]; do
	sleep 0.1; i=$((i + 1)); done
ip link set lo up
ip link set eth0 up
ip addr add {guest}/{prefix} dev eth0
ip -6 addr add {guest6}/64 dev eth0
ip route add default via {gate}
ip -6 route add default via {gate6}
ping -c 1 -W 2 {gate}
wget -q -O - {url} | sha256sum
echo GUEST-DONE
poweroff -f
"""


class Machine:
    def __init__(self, directory, kernel, modules):
        self.directory = directory
        self.kernel = kernel
        self.modules = modules

    def initrd(self, path, init):
        archive = Archive()
        for name in ("bin", "proc", "m", "dev"):
            archive.directory(name)
        archive.add("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1))
        archive.add("dev/null", stat.S_IFCHR | 0o666, rdev=(1, 3))
        with open(os.path.join(self.directory, "bin/busybox"), "rb") as file:
            archive.file("bin/busybox", file.read())
        for tool in TOOLS:
            archive.link(f"bin/{tool}", "busybox")
        for module in MODULES:
            for found in glob.glob(f"{self.modules}/**/{module}.ko",
                                   recursive=True):
                with open(found, "rb") as file:
                    archive.file(f"m/{module}.ko", file.read())
        archive.file("init", init.encode())
        with open(path, "wb") as file:
            file.write(archive.finish())

    def boot(self, t, link, url):
        """What the guest's console said."""
        own4, gate4, own6, gate6 = link.address
        image = os.path.join(link.directory, "initrd")
        self.initrd(image, script(own4, 24, gate4, own6, gate6, url))
        done = subprocess.run(
            ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", "max",
             "-m", "256", "-display", "none", "-no-reboot", "-nodefaults",
             "-serial", "stdio", "-kernel", self.kernel, "-initrd", image,
             "-append", "console=ttyS0 panic=-1 quiet",
             "-netdev", "stream,id=n,server=off,addr.type=unix,"
             f"addr.path={link.sock}",
             "-device", "virtio-net-pci,romfile=,netdev=n,"
             "mac=02:53:50:00:00:02"],
            stdin=subprocess.DEVNULL, capture_output=True,
            timeout=BOOT_TIMEOUT, check=False)
        text = done.stdout.decode("latin-1").replace("\r", "")
        t.check("GUEST-UP" in text,
                f"the kernel did not start: {done.stderr.decode()[-300:]}")
        return text


def find(directory):
    """The machine in DIR, or None where something is missing."""
    if directory is None or not shutil.which("qemu-system-x86_64"):
        return None
    directory = os.path.abspath(directory)
    kernels = glob.glob(os.path.join(directory, "boot/vmlinuz-*"))
    modules = glob.glob(os.path.join(directory, "lib/modules/*"))
    if not kernels or not modules or \
            not os.path.exists(os.path.join(directory, "bin/busybox")):
        return None
    return Machine(directory, kernels[0], modules[0])


def fetch(directory):
    os.makedirs(directory, exist_ok=True)
    depends = subprocess.run(
        ["apt-cache", "depends", "linux-image-cloud-amd64"], check=True,
        capture_output=True, text=True).stdout
    kernel = re.search(r"Depends: (linux-image-\S+)", depends).group(1)
    subprocess.run(["apt-get", "download", kernel, "busybox-static"],
                   cwd=directory, check=True)
    for package in glob.glob(os.path.join(directory, "*.deb")):
        subprocess.run(["dpkg", "-x", package, directory], check=True)
        os.unlink(package)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "fetch":
        sys.exit(__doc__)
    fetch(sys.argv[2])
