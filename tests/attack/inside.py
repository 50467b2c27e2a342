#!/usr/bin/python3
"""What an attacker runs as CMD: inside.py NAME '{"argument": ...}'.

    sallyport run -p deny.conf -- python3 inside.py reach '{"paths": ["/run/x"]}'

At the end it says {"gained": [...], "tried": n}: what it got as far as it can see
itself, and how many ways it tried. Without Sallyport the same program is the
control: there it has to gain. {"ready": true} means that it waits for a line, so
that the host can change meanwhile.

Trusts: nothing; everything here is the attacker's. Must not: need more than
Python's standard library and the user's own rights.
"""
import json
import os
import sys

sys.dont_write_bytecode = True
# run as `python3 -I`, which leaves the program's own directory out
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import in_files  # noqa: E402
import in_inherited  # noqa: E402
import in_kernel  # noqa: E402
import in_nested  # noqa: E402
import in_network  # noqa: E402
import in_sockets  # noqa: E402
import tools  # noqa: E402

PROGRAMS = (in_files, in_inherited, in_kernel, in_nested, in_network, in_sockets)


def main():
    name, args = sys.argv[1], json.loads(sys.argv[2] if len(sys.argv) > 2
                                         else "{}")
    for module in PROGRAMS:
        function = getattr(module, "try_" + name, None)
        if function:
            function(**args)
            tools.say({"gained": tools.gains, "tried": tools.tries[0]})
            return
    sys.exit(f"inside.py: no attack {name}")


if __name__ == "__main__":
    main()
