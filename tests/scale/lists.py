#!/usr/bin/python3
"""Policies of the shapes that published lists have, read and asked; and whether reading
a policy takes time and memory in proportion to it.

usage: lists.py            in the build directory: quick
       lists.py --long     the sizes of sallyport.conf(5), each in at most three times
                           3 seconds of processor time, and 512 MB
       lists.py --table    the same, and a line for each to put into a commit
"""
import os
import resource
import shutil
import sys
import tempfile

import shapes

CMD = os.path.abspath(os.path.join(os.environ.get("builddir", "."), "policy_cmd"))
SECONDS = 3 * 3         # a test's machine is slow, or has other work
MEGABYTES = 512
NEEDS_JQ = ("meta_json", "ip_ranges_json")
# What a list's own size is, in a quick run.
FEW = {"per_tenant": 100, "netset": 5000}
bad = []


def run(*args):
    """(exit status, what it said, seconds of processor time, MB)."""
    with tempfile.TemporaryFile() as out:
        pid = os.posix_spawn(CMD, (CMD,) + args, os.environ, file_actions=(
            (os.POSIX_SPAWN_DUP2, out.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, out.fileno(), 2)))
        _, status, use = os.wait4(pid, 0)
        out.seek(0)
        return (os.waitstatus_to_exitcode(status), out.read().decode(),
                use.ru_utime + use.ru_stime, use.ru_maxrss / 1024)


def ask(path, question):
    where, port, allowed, tenant = (*question, "ci")[:4]
    if where[0].isdigit():
        args = ["tcp", f"{where}:{port}"]
    else:
        args = ["tcp", f"203.0.114.9:{port}", "--name", where,
                "--host" if port == 80 else "--sni", where]
    status, said, *_ = run("explain", path, tenant, *args)
    if status not in (0, 1) or (status == 0) != allowed:
        bad.append(f"{path}: {question}: exit {status}: {said[:300]}")


def lists(tmp, few):
    for shape in shapes.LISTS:
        name = shape.__name__
        if name in NEEDS_JQ and shutil.which("jq") is None:
            print(f"skip: {name}: no jq here")
            continue
        folder = shapes.Folder(os.path.join(tmp, name))
        questions = shape(folder, *([few[name]] if name in few else []))
        path = os.path.join(folder.path, "policy.conf")
        status, said, *_ = run("check", "-q", path)
        if status not in (0, 2):
            bad.append(f"{name}: exit {status}: {said[:300]}")
        if not any(q[2] for q in questions):
            bad.append(f"{name}: nothing that must be allowed is asked")
        for q in questions:
            ask(path, q)


def measure(tmp, shape, *size):
    folder = shapes.Folder(os.path.join(tmp, shape.__name__))
    shape(folder, *size)
    status, said, seconds, mb = run("check", "-q",
                                    os.path.join(folder.path, "policy.conf"))
    if status not in (0, 2):
        bad.append(f"{shape.__name__} {size}: exit {status}: {said[:400]}")
    shutil.rmtree(folder.path)
    return seconds, mb


# Large enough to be seen, small enough for each build.
QUICK = {"names_set": 8000, "names_rule": 8000, "rules_net": 4000, "rules_name": 4000,
         "rules_deny": 4000, "tenants": 4000, "tenants_except": 3000,
         "macro_tenants": 40, "set_tenants": 500, "table_tenants": 100, "hosts": 4000,
         "macros": 4000}


def proportion(tmp):
    """Four times as much takes four times as long, not sixteen times."""
    for shape in shapes.SIZES:
        n = QUICK[shape.__name__]
        few = many = 100.0
        for _ in range(4):              # others may have the processor's caches
            few = min(few, measure(tmp, shape, n)[0])
            many = min(many, measure(tmp, shape, 4 * n)[0])
            if many < 8 * max(few, 0.02):
                break
        else:
            bad.append(f"{shape.__name__}: {n}: {few:.2f} s, {4 * n}: {many:.2f} s")


def sizes(tmp, table):
    for shape in shapes.SIZES:
        seconds, mb = measure(tmp, shape)
        if table:
            print(f"{shape.__name__:16} {seconds:6.2f} s {mb:6.0f} MB", flush=True)
        if seconds > SECONDS or mb > MEGABYTES:
            bad.append(f"{shape.__name__}: {seconds:.2f} s, {mb:.0f} MB")


def too_much(tmp, name, text, words, files=()):
    """A policy over one of the limits of sallyport.conf(5), and what is said of it."""
    folder = shapes.Folder(os.path.join(tmp, name))
    for i, size in enumerate(files):
        os.truncate(folder.write("%05d.conf" % i, ""), size)
    folder.policy(text)
    status, said, *_ = run("check", "-q", os.path.join(folder.path, "policy.conf"))
    if status == 0 or words not in said:
        bad.append(f"{name}: exit {status}: {said[:300]}")
    shutil.rmtree(folder.path)


def limits(tmp):
    macro = "m = { %s }\n" % shapes.quoted(shapes.domains(1100, 50))
    rule = "\tallow to name $m port tcp 443\n"
    too_much(tmp, "macros", macro + "tenant t {\n%s}\n" % (rule * 1000),
             "macros stand for more than 1048576 entries by now: use table <x> or "
             "names <x>")
    too_much(tmp, "directories", "".join('include "d%d/x"\n' % i for i in range(17)) +
             "tenant t { }\n", "a policy's files lie in at most 16 directories")
    too_much(tmp, "bytes", 'include "*.conf"\n', "with it the policy's files have more "
             "than 256 MiB", [60 << 20] * 5)


def limits_long(tmp):
    too_much(tmp, "files", 'include "*.conf"\n', "more than 65535 files match",
             [0] * 65536)
    folder = shapes.Folder(os.path.join(tmp, "compiled"))
    for k in range(2):
        folder.write("%d.names" % k, shapes.lines(
            "%s.%d-%d.example" % ("x" * 60 + "." + "y" * 40, k, i)
            for i in range(350000)))
    folder.policy('names <a> file "0.names"\nnames <b> file "1.names"\n'
                  "tenant t { allow to name { <a> <b> } port tcp 443 }\n")
    status, said, *_ = run("check", "-q", os.path.join(folder.path, "policy.conf"))
    if status == 0 or "compiled it has more than 64 MiB: put lists" not in said:
        bad.append(f"compiled: exit {status}: {said[:300]}")
    folder = shapes.Folder(os.path.join(tmp, "memory"))
    for k in range(4):      # one letter, and a whole entry of a macro for it
        folder.write("%d.conf" % k, "m%d = { %s }\ntenant t%d { }\n" %
                     (k, "1 " * (8 << 20), k))
    folder.policy('include "?.conf"\n')
    status, said, *_ = run("check", "-q", os.path.join(folder.path, "policy.conf"))
    if status == 0 or "says more than 640 MiB of memory can hold" not in said:
        bad.append(f"memory: exit {status}: {said[:300]}")


def is_sanitized():
    with open(CMD, "rb") as f:
        return b"__asan_init" in f.read()


def main():
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as tmp:
        if "--table" in sys.argv or "--long" in sys.argv:
            lists(tmp, {})
            limits_long(tmp)
            sizes(tmp, "--table" in sys.argv)
        else:
            lists(tmp, FEW)
            limits(tmp)
            if is_sanitized():
                print("skip: proportions: a sanitizer has its own")
            else:
                proportion(tmp)
    for line in bad:
        print("lists:", line, file=sys.stderr)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
