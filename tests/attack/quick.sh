#!/bin/sh
# The quick part of the attack corpus, for `make check`: as an ordinary user. What
# gains is tried once more by itself, and said to have been: a machine may be busy.
# Twice is a failure.
#
# The programs are those of the build tree, in the current directory. Exit status
# 77 (skip) where the machine has no namespaces, no /dev/net/tun or no python3.
set -u
run="sh ${srcdir:-.}/tests/python.sh ${srcdir:-.}/tests/attack/attack.py --build . --user"

out=attack.$$
trap 'rm -f $out' EXIT
$run --quick >$out 2>&1
status=$?
cat $out
[ $status -eq 1 ] || exit $status
again=$(sed -n 's/^\(GAINED\|ERROR \) *\([a-z0-9_]*\) .*/--only \2/p' $out)
[ -n "$again" ] || exit $status
echo "once more: $again"
# shellcheck disable=SC2086
$run $again
