#!/bin/sh
# What the README tells a person to type is true: the packages are those of quickstart,
# the commands, targets and files exist.
set -u
src=${srcdir:-.}
wrong=0
fail() { echo "readme: $*"; wrong=1; }

# words: one a line, sorted
words() { tr -s ' \\\n' '\n\n\n' | sed '/^$/d' | sort; }

sed -n '/^build_packages="/,/"$/p' "$src/quickstart" | sed 's/^build_packages=//; s/"//g' | words >readme.a
sed -n '/^apt-get install/,/[^\\]$/p' "$src/README.md" |
    sed 's/^apt-get install --no-install-recommends//' | words >readme.b
diff readme.a readme.b || fail "other packages than quickstart's"
[ "$(wc -l <readme.a)" -gt 10 ] || fail "quickstart has no packages"
rm -f readme.a readme.b

for target in $(grep -oE 'make (-C build )?(check-[a-z]+|bench)' "$src/README.md" | sed 's/.* //' | sort -u); do
	grep -q "^$target:" "$src/Makefile.am" || fail "no target $target"
done
for verb in $(grep -oE '(^|[ $(`])(build/)?sallyport (run|serve|check|explain|demo|help|[a-z]+ [A-Z-])' "$src/README.md" |
    sed 's/.*sallyport //; s/ .*//' | sort -u); do
	./sallyport help "$verb" >/dev/null || fail "no command $verb"
done
for file in $(grep -oE '\]\([A-Za-z./-]+\)' "$src/README.md" | tr -d '[]()'); do
	[ -e "$src/$file" ] || fail "no file $file"
done
[ "$wrong" = 0 ] && echo "readme: what it says is there"
exit "$wrong"
