#!/bin/sh
# The quick part of the system tests, for `make check`: the cases marked quick,
# and as root a few of each kind once more as an ordinary user.
#
# The programs are those of the build tree, in the current directory. Exit status
# 77 (skip) where the machine has no namespaces or no /dev/net/tun.
set -u
run="${PYTHON3:-/usr/bin/python3} ${srcdir:-.}/tests/system/run.py --bindir . --quick"

$run || exit $?
[ "$(id -u)" = 0 ] || exit 0
echo "as an ordinary user:"
$run --user --only 'start_*' --only 'bulk_v4' --only 'half_close' --only ping \
    --only 'udp_sizes' --only 'cmd_*' --only 'processes_*' --only 'bad_*' \
    --only 'without_*' --only '*_key' --only 'kill_each_once' --only 'log_*'
