#!/bin/sh
# Every room's filter: the suite of forbidden calls, and the golden file.
# A changed filter changes tests/seal/golden/ROOM.ARCH.pfc in the same commit:
#   build/seal_suite --pfc ROOM > tests/seal/golden/ROOM.$(uname -m).pfc
set -u
src=${srcdir:-.}
build=${builddir:-.}
# libseccomp's generator decides the text; compared with the reference one only
reference=2.5.4
arch=$(uname -m)
bad=0
have=$(pkg-config --modversion libseccomp 2>/dev/null || echo unknown)

if grep -q '^#define SANITIZE 1' "$build/config.h"; then
	echo "seal: sanitizer builds load no filter; the plain build runs this"
	exit 77
fi
for room in frame broker recorder keeper parser inspector resolver; do
	"$build/seal_suite" $room || bad=1
	golden=$src/tests/seal/golden/$room.$arch.pfc
	if [ "$have" != "$reference" ] || [ ! -f "$golden" ]; then
		echo "$room: golden file not compared (libseccomp $have, $arch)"
	elif ! "$build/seal_suite" --pfc $room | diff -u "$golden" -; then
		echo "$room: the filter differs from $golden"
		bad=1
	fi
done
exit $bad
