#!/usr/bin/python3
"""Help says the same as the program and its manual page, in one form.

Every option that a command takes is in what `sallyport help COMMAND' says and in
sallyport(1); every option of the page's items is in some help, and those of a command's
synopsis in that command's, and are taken; `help', -h and --help say the same; no line
is wider than a terminal.
"""
import glob
import os
import re
import subprocess
import sys

SRC = os.environ.get("srcdir", ".")
PROGRAM = os.path.abspath("./sallyport")
OPTION = re.compile(r'\{\s*"([a-z0-9-]+)",\s*(?:no|required|optional)_argument')
# An option's line: two columns, its short form or four more, the long form, its value.
LINE = re.compile(r"^  (?:-[A-Za-z0-9](?:, --[a-z0-9-]+)?|    --[a-z0-9-]+)"
                  r"(?:[ =,|\[\]A-Za-z0-9/:.-]*)(?: {2,}\S.*)?$")
wrong = []


def said(*arguments):
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True,
                          timeout=20, check=False)
    if done.returncode != 0:
        wrong.append(f"{' '.join(arguments)}: exit status {done.returncode}: "
                     f"{done.stderr.strip()}")
    return done.stdout


def commands():
    found = re.findall(r"^  ([a-z]+) {2,}\S", said("help"), re.M)
    if len(found) < 6:
        wrong.append(f"help lists {found} only")
    return found


def synopses():
    """Of sallyport(1): the long options of each command."""
    with open(os.path.join(SRC, "man/sallyport.1"), encoding="utf-8") as file:
        text = file.read().split(".Sh DESCRIPTION")[0]
    found = {}
    for part in re.split(r"^\.Nm sallyport\n", text, flags=re.M)[1:]:
        command = re.match(r"\.Cm ([a-z]+)", part)
        if command:
            found.setdefault(command.group(1), set()).update(
                re.findall(r"Fl -([a-z0-9-]+)", part))
    return found


def is_taken(command, option):
    """What is missing beside it may be wrong then; the option itself must not be."""
    done = subprocess.run([PROGRAM, command, "--" + option], capture_output=True,
                          text=True, timeout=20, check=False, stdin=subprocess.DEVNULL)
    return not re.search(r"(no|unrecogni[sz]ed|unknown) option", done.stderr)


def look_at(command, promised):
    """One command's help; the options in it, long and short."""
    text = said("help", command)
    for flag in ("-h", "--help"):
        if said(command, flag) != text:
            wrong.append(f"{command} {flag} says something else than help")
    if "sallyport(1) says all" not in text or not text.startswith("usage: "):
        wrong.append(f"help {command}: no usage, or no word of the manual page")
    for line in text.splitlines():
        if len(line) > 80:
            wrong.append(f"help {command}: {len(line)} columns: {line}")
        if re.match(r"^ +-", line) and "sallyport" not in line \
                and not line.startswith("          ") and not LINE.match(line):
            wrong.append(f"help {command}: not the form of an option: {line}")
    # The usage may abbreviate; what counts is that each option is explained.
    explained = "\n".join(line for line in text.splitlines()
                          if re.match(r"^ {2,6}-", line))
    options = set(re.findall(r"--([a-z0-9-]+)", explained))
    for option in promised - options:
        wrong.append(f"help {command}: no --{option}, which is in its synopsis")
    for option in promised | options:
        if not is_taken(command, option):
            wrong.append(f"{command} does not take --{option}")
    return (options,
            set(re.findall(r"(?<![-\w])-([A-Za-z0-9])(?![\w-])", explained)))


def main():
    keeper = [subprocess.run([os.path.abspath("./sallyportd"), flag],
                             capture_output=True, text=True, timeout=20, check=False)
              for flag in ("-h", "--help")]
    if any(k.returncode != 0 or not k.stdout.startswith("usage: sallyportd")
           for k in keeper):
        wrong.append("sallyportd -h or --help says nothing")
    long, short = set(), set()
    promised = synopses()
    for command in commands():
        if command != "demo" and command not in promised:
            wrong.append(f"{command}: not in the synopsis of sallyport(1)")
        options, letters = look_at(command, promised.get(command, set()))
        long |= options
        short |= letters
    taken = set()
    for path in glob.glob(os.path.join(SRC, "src/cli/*.c")):
        with open(path, encoding="utf-8") as file:
            taken |= set(OPTION.findall(file.read()))
    taken -= {"help"}
    with open(os.path.join(SRC, "man/sallyport.1"), encoding="utf-8") as file:
        page = file.read()
    items = re.findall(r"^\.It Fl (.*)$", page, re.M)
    paged = set(re.findall(r"(?:^|, )-([a-z0-9-]{2,})", "\n".join(items), re.M))
    letters = set(re.findall(r"^([A-Za-z0-9])(?= |$)", "\n".join(items), re.M))
    paged.discard("version")
    for what, missing in (
            ("taken, and in no help", taken - long),
            ("in a help, and not taken", long - taken),
            ("taken, and not an item of sallyport(1)", taken - paged),
            ("an item of sallyport(1), and in no help", paged - long),
            ("a letter of sallyport(1), and in no help", letters - short),
            ("a letter of a help, and not an item of sallyport(1)", short - letters)):
        for name in sorted(missing):
            wrong.append(f"{name}: {what}")
    for line in wrong:
        print(line)
    print(f"help: {len(long)} options, {len(wrong)} wrong")
    return 1 if wrong else 0


sys.exit(main())
