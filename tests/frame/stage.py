"""What the tests of this directory share: a network namespace of their own, the
sealed frame behind driver.py (the broker), and the guest's scenarios (t_NAME).
"""
import ctypes
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CLONE_NEWNET = 0x40000000


def enter():
    """Nothing of the machine's own network from here on; 77 where that cannot be."""
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        print("needs root and /dev/net/tun")
        sys.exit(77)
    if ctypes.CDLL(None).unshare(CLONE_NEWNET) != 0:
        print("no network namespace")
        sys.exit(77)
    if shutil.which("ip") is None:
        print("needs iproute2")
        sys.exit(77)
    subprocess.run("ip link set lo up", shell=True, check=True)


def drive(script, options, guest, timeout):
    """The exit status of `script guest...` as the guest of a driver."""
    return subprocess.run(
        [sys.executable, f"{HERE}/driver.py", "--frame",
         os.environ.get("builddir", ".") + "/sallyport-frame", "--verbose",
         "0", *options, "--", sys.executable, script, *guest],
        timeout=timeout).returncode


def told(link, status):
    print(f"{link}: {'ok' if status == 0 else status}", flush=True)
    return status


def scenarios(functions):
    """Their names, in the order of the file."""
    return [name[2:] for name in list(functions) if name.startswith("t_")]


def play(functions, names):
    """The guest's part: 1 if a scenario failed."""
    bad = 0
    for name in names:
        start = time.time()
        try:
            functions["t_" + name]()
            print(f"ok   {name:18s} {time.time() - start:.2f} s", flush=True)
        except Exception as e:  # noqa: BLE001
            bad += 1
            print(f"FAIL {name:18s} {type(e).__name__}: {e}", flush=True)
    return 1 if bad else 0
