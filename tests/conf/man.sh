#!/bin/sh
# sallyport.conf(5) against the grammar: every word is in it, its examples parse, its
# mdoc is clean.
set -u
src=$(cd "${srcdir:-.}" && pwd)
man=$src/man/sallyport.conf.5
cmd=$(cd "${builddir:-.}" && pwd)/policy_cmd
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
bad=0
umask 022
cd "$tmp" || exit 99

sed -n 's/^	{ "\([a-z0-9-]*\)", \([A-Z_]*\) },$/\1 \2/p' "$src/src/policy/keywords.c" >words
[ "$(wc -l <words)" -gt 50 ] || { echo "man: no table of words in keywords.c?" >&2; exit 1; }
sed -n '/^\.Sh LATER WORDS/,/^\.Sh FILES/p' "$man" | tr -s ' ,.:' '\n\n\n\n' >later
sed '/^\.Sh LATER WORDS/,/^\.Sh FILES/d; /^\.Sh EXAMPLES/,$d' "$man" |
	tr -s ' ,:()' '\n\n\n\n\n' >now
while read -r word kind; do
	where=now
	[ "$kind" = UNSUPPORTED ] && where=later
	grep -qx -- "$word" $where ||
		{ echo "man: \"$word\" is not where it belongs" >&2; bad=1; }
done <words

echo 203.0.115.0/24 >partners.nets
echo 140.82.112.0/20 2a0a:a440::/29 >github.nets
echo 52.92.0.0/15 >s3.nets
printf '; a list\n1.10.16.0/20 ; SBL256894\n' >drop.txt
echo ads.example.com >ads.names
awk '/^\.Bd -literal/ { n++; on = 1; next } /^\.Ed/ { on = 0 }
	on { gsub(/\\e/, "\\"); print >("example" n) }' "$man"
for f in example*; do
	"$cmd" check -q "$f" || { echo "man: $f does not parse" >&2; bad=1; }
done
[ -f example7 ] || { echo "man: its examples are missing" >&2; bad=1; }

# every code that can be acknowledged is explained, and warned with by a golden pair
sed -n '/^static const char \*const	codes/,/};/p' "$src/src/policy/nowarn.c" |
	tr -dc 'W0-9\n' | sed 's/W/\nW/g' | grep W >codes
[ "$(wc -l <codes)" -gt 25 ] || { echo "man: no table of codes in nowarn.c?" >&2; bad=1; }
for code in $(cat codes) W107 E110; do
	grep -qx "\.It $code" "$man" ||
		{ echo "man: $code is not explained" >&2; bad=1; }
	case $code in W109|W160) continue ;; esac	# check.py, test_attributes
	grep -q "($code)" "$src"/tests/conf/*.err ||
		{ echo "man: $code has no golden pair" >&2; bad=1; }
done
for code in $(sed -n 's/^\.It \(W[0-9]*\)$/\1/p' "$man"); do
	[ "$code" = W107 ] || grep -qx "$code" codes ||
		{ echo "man: $code cannot be acknowledged" >&2; bad=1; }
done

if command -v mandoc >/dev/null; then
	mandoc -Tlint -Wwarning "$man" >&2 || bad=1
fi
exit $bad
