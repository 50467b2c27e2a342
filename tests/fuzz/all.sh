#!/bin/sh
# Every fuzz target for a while under ASan and UBSan, from its committed corpus:
# what `make check-fuzz` does. Needs clang and its runtime (libclang-rt).
#
# usage: all.sh SRCDIR LWIP-DIR [SECONDS-EACH]
#
# The build is one of its own, in ./fuzz; a finding is left there as crash-*.
set -u
src=$(cd "$1" && pwd)
lwip=$(cd "$2" && pwd)
seconds=${3:-60}
bad=0 good=0

mkdir -p fuzz && cd fuzz || exit 1
if [ ! -f Makefile ]; then
	"$src/configure" CC=clang --enable-fuzz --enable-sanitize \
	    --with-lwip="$lwip" CFLAGS="-O1 -g -fsanitize=fuzzer-no-link" \
	    >configure.out 2>&1 || { tail configure.out; exit 1; }
fi
{ make -j"$(nproc)" all && make load_seeds; } >make.out 2>&1 || { tail make.out; exit 1; }

for target in parse load log packet frame link answer inspect dns stub; do
	mkdir -p "new-$target"
	seeds=
	[ -d "$src/tests/fuzz/$target" ] && seeds=$src/tests/fuzz/$target
	if [ $target = load ]; then
		seeds=seeds-load
		rm -rf $seeds && mkdir $seeds
		./load_seeds $seeds "$src"/tests/conf/*.in "$src"/policy/*.conf || exit 1
	fi
	[ $target = parse ] && seeds="$seeds $src/tests/conf $src/policy"
	# shellcheck disable=SC2086
	if ./fuzz_$target -max_total_time="$seconds" -rss_limit_mb=4096 \
	    -print_final_stats=1 "new-$target" $seeds >"$target.out" 2>&1; then
		good=$((good + 1))
		echo "ok $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$target.out") runs in $seconds s"
	else
		bad=$((bad + 1))
		echo "FAIL $target: $PWD/$target.out"
		grep -m3 -E 'ERROR|SUMMARY|runtime error' "$target.out"
	fi
done
echo "$good passed, $bad failed"
[ $bad -eq 0 ]
