#!/bin/sh
# Golden pairs of the grammar: NN.in is read as it stands; NN.ok is its canonical
# text, NN.err what is said about it (an NN.in may have both: text, and warnings or
# notes, of which the latter are no reason for another exit status).
# The canonical text must be canonical: it prints as itself.
#
# usage: conf.sh [--update]      (--update writes the golden files anew)
set -u
src=${srcdir:-.}/tests/conf
cmd=$(cd "${builddir:-.}" && pwd)/policy_cmd
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
bad=0

# Copies, because a checkout's owner and mode may be what a policy's may not.
umask 022
cp -R "$src"/*.in "$src"/*.d "$tmp"/ || exit 99
chmod -R u=rwX,go=rX "$tmp"
here=$(cd "$src" && pwd)
cd "$tmp" || exit 99

for in in *.in; do
	n=${in%.in}
	"$cmd" check -p "$in" >out 2>err
	status=$?
	if [ "${1-}" = --update ]; then
		rm -f "$here/$n.ok" "$here/$n.err"
		[ -s out ] && cp out "$here/$n.ok"
		[ -s err ] && cp err "$here/$n.err"
		continue
	fi
	want=0
	[ -f "$here/$n.err" ] && want=1
	[ -f "$here/$n.err" ] && [ -f "$here/$n.ok" ] && want=0 &&
		grep -q ': warning: ' "$here/$n.err" && want=2
	[ $status -eq $want ] || { echo "conf: $n: exit $status, not $want" >&2; bad=1; }
	for what in ok err; do
		got=out; [ $what = err ] && got=err
		if [ -f "$here/$n.$what" ]; then
			diff -u "$here/$n.$what" $got || bad=1
		elif [ -s $got ]; then
			echo "conf: $n: unexpected:" >&2; cat $got >&2; bad=1
		fi
	done
	if [ $status -ne 1 ]; then
		cp out again.conf
		"$cmd" check -p again.conf >again.out 2>again.err
		[ $? -eq 1 ] && { echo "conf: $n: its print does not parse:"
			cat again.err; bad=1; } >&2
		diff -u out again.out || bad=1
		# and it is the same law
		one=$("$cmd" check "$in" 2>/dev/null | sed 's/.*sha256 //')
		two=$("$cmd" check again.conf 2>/dev/null | sed 's/.*sha256 //')
		[ "$one" = "$two" ] || { echo "conf: $n: its print is another law" >&2; bad=1; }
	fi
done
exit $bad
