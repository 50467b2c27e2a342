#!/bin/sh
# The quick part of the system tests, for `make check`: the cases marked quick,
# and as root a few of each kind once more as an ordinary user.
#
# quick-1.sh, quick-2.sh, quick-3.sh and quick-user.sh run a share each, beside each
# other: a case waits more than it works, and has namespaces of its own.
#
# A case that fails is tried once more by itself, and said to have been: the cases
# are timed, and the machine may have been busy. Twice is a failure.
#
# The programs are those of the build tree, in the current directory. Exit status
# 77 (skip) where the machine has no namespaces, no /dev/net/tun or no python3.
set -u
share=$1
run="sh ${srcdir:-.}/tests/python.sh ${srcdir:-.}/tests/system/run.py --bindir . --quick"

out=quick.$$
trap 'rm -f $out' EXIT

# attempt ARGUMENTS...: the cases, and those that failed once more.
attempt() {
	$run "$@" >$out 2>&1
	status=$?
	cat $out
	[ $status -eq 1 ] || return $status
	again=$(sed -n 's/^FAIL \([a-z0-9_]*\).*/--only \1/p' $out)
	[ -n "$again" ] || return $status
	user=
	[ "${1:-}" = --user ] && user=--user
	echo "once more: $again"
	# shellcheck disable=SC2086
	$run $user $again
}

if [ "$share" != user ]; then
	attempt --part "$share"
	exit $?
fi
if [ "$(id -u)" != 0 ]; then
	echo "skip: all of it runs as an ordinary user already"
	exit 77
fi
attempt --user --only 'start_*' --only 'bulk_v4' --only 'half_close' --only ping \
    --only 'udp_sizes' --only 'cmd_*' --only 'inherited_*' --only securebits \
    --only descriptors_in_flight --only limits_are_half --only ping_runs \
    --only 'processes_*' --only 'bad_*' \
    --only 'without_*' --only 'log_*' --only 'neighbours_*' \
    --only 'https_by_name' --only 'other_vhost' --only 'denied_name' \
    --only 'host_resolv_conf' --only 'resolver_killed' --only 'learn_names'
