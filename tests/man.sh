#!/bin/sh
# Every man page is clean under mandoc's lint, and has a command or file to it.
set -u
src=${1:-${srcdir:-.}}
command -v mandoc >/dev/null || { echo "man: no mandoc here"; exit 77; }
said=$(mandoc -Tlint -Wwarning "$src"/man/*.[1-8] 2>&1)
[ -z "$said" ] && { echo "man: clean"; exit 0; }
echo "$said"
exit 1
