#!/usr/bin/python3
"""The sealed parser child, started as the keeper starts it: what it puts into the
memfd, what it says, how it ends. srcdir and builddir come from the environment."""

import os
import pathlib
import subprocess
import sys
import tempfile

SRC = pathlib.Path(os.environ.get("srcdir", ".")).resolve()
PARSER = pathlib.Path(os.environ.get("builddir", ".")).resolve() / "sallyport-parser"
failures = 0


def parse(path, cwd, level="0", more=()):
    """(exit status or -signal, blob, messages) of one parser child."""
    memfd = os.memfd_create("policy")
    out_r, out_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.chdir(cwd)
        null = os.open("/dev/null", os.O_RDWR)
        for source, target in ((null, 100), (memfd, 104), (out_w, 105)):
            os.dup2(source, target)
        for source, target in ((100, 0), (100, 1), (100, 2), (100, 3), (104, 4), (105, 5)):
            os.dup2(source, target, inheritable=True)
        os.closerange(6, 256)
        os.execve(PARSER, ["sallyport-parser", level, path, *more], {})
    os.close(out_w)
    with os.fdopen(out_r, errors="replace") as pipe:
        text = pipe.read()
    _, status = os.waitpid(pid, 0)
    size = os.fstat(memfd).st_size
    blob = os.pread(memfd, size, 0)
    os.close(memfd)
    return os.waitstatus_to_exitcode(status), blob, text


def check(what, good, *details):
    global failures
    if not good:
        failures += 1
        print("parser:", what, *details, file=sys.stderr)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
    return path


def main():
    os.umask(0o022)
    with tempfile.TemporaryDirectory() as name:
        tmp = pathlib.Path(name)
        for shipped in sorted((SRC / "policy").glob("*.conf")):
            write(tmp / shipped.name, shipped.read_text())
            status, blob, text = parse(shipped.name, tmp)
            check(shipped.name, status == 0 and blob[:4] == b"SPOL", status, text)

        bad = write(tmp / "bad", "policy version 1\ntenant a {\n\tallow to nett x\n}\n")
        status, blob, text = parse(str(bad), "/")
        check("errors", status == 1 and blob == b"" and
              text == f'{bad}:3:11: unexpected "nett": did you mean "net"?\n',
              status, text)

        write(tmp / "warned", 'policy version 1\ntenant a {\n\tallow to name "a.example" '
              'port tcp 1 verify none\n}\n')
        status, _, text = parse("warned", tmp)
        check("a warning", status == 0 and text.count("W201") == 1, status, text)
        status, blob, text = parse("warned", tmp, more=["quiet"])
        check("quiet", status == 0 and text == "" and blob[:4] == b"SPOL", status, text)
        status, _, text = parse(str(bad), "/", more=["quiet"])
        check("quiet, but not about errors", status == 1 and ":3:11: " in text, status, text)

        # libpsl and libidn2 ask the kernel for nothing that the filter denies
        write(tmp / "names", 'policy version 1\ntenant a {\n\tallow to name {\n'
              + "".join(f'"*.bücher{i}.co.uk" "a.公司{i}.cn"\n' for i in range(2000))
              + '} port tcp 443\n}\n')
        status, blob, text = parse("names", tmp)
        check("names", status == 0 and text == "" and blob.count(b"xn--") == 4000, status, text)
        write(tmp / "wild", 'policy version 1\ntenant a {\n'
              '\tallow to name "*.xn--p1ai" port tcp 443\n'
              '\tallow to name "**.公司.cn" port tcp 443\n}\n')
        status, blob, text = parse("wild", tmp)
        check("suffixes", status == 1 and blob == b"" and text.count("public suffix") == 2,
              status, text)

        # a hundred thousand networks, from another directory, and includes
        write(tmp / "lists/big", "".join(
            f"11.{i >> 12}.{i >> 4 & 255}.{(i & 15) << 4}/28\n" for i in range(100000)))
        write(tmp / "etc/t.d/one.conf", 'tenant one { deny to net <big>\n}\ninclude "more/x"\n')
        write(tmp / "etc/t.d/more/x", "tenant two { }\n")
        write(tmp / "etc/policy", 'policy version 1\ninclude "t.d/*.conf"\n'
              'table <big> file "../lists/big"\n'
              "tenant three { allow to net <big> port tcp 443\n}\n")
        status, blob, text = parse("policy", tmp / "etc")
        check("a large policy", status == 0 and len(blob) > 1800000, status, text)

        # an included file may not lead out of the policy's directories
        write(tmp / "etc/t.d/more/x", 'tenant two { }\ninclude "/etc/passwd"\n')
        status, blob, text = parse("policy", tmp / "etc")
        check("a way out", status == 1 and "below a directory" in text and
              "root:" not in text, status, text)

        os.mkfifo(tmp / "fifo")
        status, _, text = parse("fifo", tmp)
        check("a FIFO", status == 1 and "FIFO" in text, status, text)
        status, _, text = parse("missing", tmp)
        check("no file", status == 1 and "no such file" in text, status, text)
        write(tmp / "nul", "policy version 1\ntenant a\0 { }\n\x1b[31m\n")
        status, _, text = parse("nul", tmp)
        check("raw bytes", status == 1 and "\x1b" not in text and "\0" not in text, status, text)

        # an fd too many is a keeper's mistake: it stops before it reads anything
        probe = subprocess.run(
            ["sh", "-c", f"exec 4<>memfd 5>&2 7</dev/null; exec {PARSER} 0 deny.conf"],
            cwd=tmp, capture_output=True, text=True, check=False)
        check("an fd too many", probe.returncode == 70 and "fd 7" in probe.stderr,
              probe.returncode, probe.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
