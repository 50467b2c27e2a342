"""What held when it was attacked, and the tests that keep it so: HELD. Those that no
other suite has are here.

    attack.py --list shows them with the kind [held].
"""
import ctypes
import glob
import os
import re

import lab as lablib
import servers
from corpus import Program, allow, attack

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HELD = {
    "a frame's filter lets through what its table says, argument by argument":
        ["seal_suite", "held_frame_filter", "processes_are_sealed"],
    "CMD's calls: ptrace, pidfd_getfd, mounts, netlink, TUNSETIFF, io_uring, keyctl, "
    "raw sockets": ["kernel_calls", "kernel_families", "kernel_link", "kernel_doors",
                    "guard_refuses_keys", "cmd_is_confined"],
    "nested namespaces do not lift a cover": ["sockets_nested", "log_nested"],
    "no signal reaches who is outside": ["kernel_signals", "border_stops_signals"],
    "the name that is compared is the one that a server reads":
        ["test_inspect", "fuzz_inspect", "test_clients", "other_vhost"],
    "a Host header in every form": ["test_request", "verify_host", "one_alphabet"],
    "a compiled policy of random bytes": ["fuzz_load", "test_load"],
    "a frame that says anything": ["evil_flood_garbage", "frame_taken_over",
                                   "fuzz_packet"],
    "killed at any moment, each connection has its flow.open":
        ["kill_frame", "kill_recorder", "kill_broker", "kill_keeper", "kill_command"],
    "a floored address in every spelling": ["evil_floor", "evil_rebinding",
                                            "test_floor"],
    "floods of frames": ["hostile_noise", "hostile_syn_flood", "hostile_dns_flood",
                         "evil_flood_denied"],
}


def exists(name):
    """A test of that name: a function, a case or a program."""
    for path in glob.glob(os.path.join(TESTS, "**", "*"), recursive=True):
        if os.path.basename(path).rsplit(".", 1)[0] == name:
            return True
        if path.endswith((".py", ".c")) and path != os.path.abspath(__file__):
            with open(path, encoding="utf-8") as file:
                if re.search(rf"^(def )?{name}\(", file.read(), re.M):
                    return True
    return False


@attack("held", quick=True)
def held_by_tests(a):
    """Every promise above has its tests, by name."""
    for promise, tests in HELD.items():
        for name in tests:
            a.control(promise, "")
            if not exists(name) and name not in globals():
                a.gained(f"{promise}: there is no test {name}")


# ---- the filter of a frame that runs -------------------------------------------------

class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in (
        "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs "
        "eflags rsp ss fs_base gs_base ds es fs gs").split()]


ATTACH, GETREGS, SETREGS, DETACH = 16, 12, 13, 17
libc = ctypes.CDLL(None, use_errno=True)


def inject(pid, number, *args):
    """The process makes this call when it goes on: it is in a system call, whose
    instruction is there to be run again. False: it cannot be traced."""
    regs = Registers()
    if libc.ptrace(ATTACH, pid, None, None) == -1:
        return False
    os.waitpid(pid, 0x40000000)
    libc.ptrace(GETREGS, pid, None, ctypes.byref(regs))
    regs.rip -= 2
    regs.rax, regs.orig_rax = number, 2 ** 64 - 1
    for register, value in zip(("rdi", "rsi", "rdx", "r10"), args):
        setattr(regs, register, value)
    libc.ptrace(SETREGS, pid, None, ctypes.byref(regs))
    return libc.ptrace(DETACH, pid, None, None) == 0


WANTED = {"socket": (41, 2, 1, 0), "connect": (42, 6, 0, 16), "execve": (59, 0, 0, 0),
          "openat": (257, -100 % 2 ** 64, 0, 0), "sendmsg with an fd": (46, 5, 0, 0),
          "ptrace": (101, 16, 1, 0), "clone": (56, 17, 0, 0), "mmap": (
              9, 0, 4096, 7), "mprotect": (10, 0, 4096, 7), "bind": (49, 6, 0, 16),
          "sendto": (44, 6, 0, 0), "setns": (308, 0, 0)}


@attack("held", root=True, timeout=120)
def held_frame_filter(a):
    """The filter of a frame that serves, not that of the table: each of these ends
    it by SIGSYS."""
    with open(os.path.join(os.path.abspath(a.t.options.bindir), "config.h"),
              encoding="utf-8") as file:
        if "#define SANITIZE 1" in file.read() or os.uname().machine != "x86_64":
            a.skip("no filter in this build, or another machine")
    place = a.place(allow(f"allow to net {lablib.LIVE4} port tcp 80\n"))
    server = a.t.serve(servers.sink)
    del server
    for name, (number, *args) in WANTED.items():
        program = Program(a, place, "connect", dst=lablib.LIVE4, port=80,
                          later=True, bare=True, options=[
                              "-p", place.policy, "--audit",
                              place.path + "/log"])
        program.ready()
        pid = next(p for p in lablib.processes()
                   if lablib.program(p) == "sallyport-frame")
        if not inject(pid, number, *args):
            a.skip("a frame cannot be traced here")
        gone = lablib.wait_until(lambda p=pid: p not in lablib.processes(), 5)
        program.go()
        _, err = program.end()
        a.control(True, "")
        if not gone or "signal 31" not in err:
            a.gained(f"{name}: the frame lives, or died of something else: "
                     f"{err[-200:]!r}")
