#!/bin/sh
# What is no policy file: each kind gets one message that says what to do, at once.
set -u
cmd=$(cd "${builddir:-.}" && pwd)/policy_cmd
tmp=$(mktemp -d) || exit 99
trap 'chmod -R u+rwX "$tmp"; rm -rf "$tmp"' EXIT
cd "$tmp" || exit 99
umask 022
bad=0

# refused FILE PATTERN: exit 1 within seconds, one line, which matches
refused() {
	out=$(timeout 10 "$cmd" check "$1" 2>&1)
	status=$?
	if [ $status -ne 1 ]; then
		echo "files: $1: exit $status" >&2; bad=1
	fi
	if [ "$(printf '%s\n' "$out" | wc -l)" -ne 1 ] ||
	    ! printf '%s\n' "$out" | grep -q -- "$2"; then
		echo "files: $1: said: $out" >&2; bad=1
	fi
}

printf 'policy version 1\ntenant a { }\n' >good
"$cmd" check -q good || { echo "files: a good one is refused" >&2; bad=1; }

mkfifo fifo
refused fifo 'fifo: this is a FIFO; name a regular file'
mkdir dir
refused dir 'dir: this is a directory; name a regular file'
refused missing 'missing: there is no such file; check the path'
refused good/x 'there is no such file'
ln -s good link
refused link 'link leads over a symbolic link, and .*: name the file itself'
ln -s link loop1
refused loop1 'leads over a symbolic link'

# what the shell has opened is read by check, and is no file to be put in force
for stream in - /dev/stdin /dev/fd/0; do
	"$cmd" check -q "$stream" <good || { echo "files: $stream is refused" >&2; bad=1; }
done
mkdir sub; printf 'tenant b { }\n' >sub/b.conf
printf 'policy version 1\ninclude "sub/*.conf"\n' | "$cmd" check -q - ||
	{ echo "files: an include of -" >&2; bad=1; }
printf 'policy version 1\ninclude "-"\ntenant a { }\n' >incstream
refused incstream "incstream:2:9: -: what is put in force is a file"
printf 'policy version 1\n' | "$cmd" check - 2>&1 | grep -q '^-: there is no tenant' ||
	{ echo "files: the name of -" >&2; bad=1; }

# a ConfigMap below directories that are root's; nothing else may turn a link
cat >links.sh <<'END'
mount -t tmpfs -o mode=755 none /mnt && mkdir /mnt/map /mnt/map/..2026 /mnt/open || exit 77
cp good /mnt/map/..2026/policy.conf; cp good /mnt/open/policy.conf
ln -s ..2026 /mnt/map/..data
ln -s ..data/policy.conf /mnt/map/policy.conf
ln -s /mnt/map/policy.conf /mnt/map/absolute.conf
ln -s policy.conf /mnt/open/link
ln -s /mnt/open/link /mnt/map/through.conf
ln -s nothing /mnt/map/nothing.conf
ln -s . /mnt/map/directory.conf
ln -s self.conf /mnt/map/self.conf
ln -s policy.conf /mnt/map/theirs.conf; chown -h 12345 /mnt/map/theirs.conf
chmod 777 /mnt/open
for good in policy absolute; do
	"$1" check -q /mnt/map/$good.conf || echo "$good: refused"
done
(cd /mnt/map && "$1" check -q policy.conf) || echo "relative: refused"
for bad in through nothing directory self theirs; do
	"$1" check -q /mnt/map/$bad.conf 2>said && echo "$bad: taken"
	[ "$(wc -l <said)" -eq 1 ] && grep -q 'leads over a symbolic link\|this is a directory' said ||
		echo "$bad: $(cat said)"
done
chmod 777 /mnt/map && "$1" check -q /mnt/map/policy.conf 2>said && echo "777: taken"
mount -o remount,ro /mnt && { "$1" check -q /mnt/map/policy.conf || echo "ro: refused"; }
END
if [ "$(id -u)" -eq 0 ] && unshare -m true 2>/dev/null; then
	out=$(unshare -m --propagation private sh links.sh "$cmd" 2>&1)
	[ $? -eq 77 ] && out=
	[ -z "$out" ] || { echo "files: links: $out" >&2; bad=1; }
else
	echo "files: links below root's directories: not tried, for want of root"
fi
refused /dev/null 'this is a device; name a regular file'
cp good group; chmod 664 group
refused group 'its mode is 0664.*chmod go-w group'
cp good world; chmod 646 world
refused world 'its mode is 0646.*chmod go-w world'
: >big; truncate -s 70M big
refused big 'larger than 64 MiB'
if [ "$(id -u)" -eq 0 ]; then
	cp good other; chown 12345 other
	refused other 'belongs to uid 12345.*chown'
else
	cp good secret; chmod 000 secret
	refused secret 'may not read this'
fi

# the same look at what a policy names
printf 'policy version 1\ninclude "fifo"\ntenant a { }\n' >inc
refused inc 'inc:2:9: fifo: this is a FIFO'
printf 'policy version 1\ntable <t> file "world"\ntenant a { }\n' >tab
refused tab 'tab:2:16: world: its mode is 0646'
printf 'tenant b { }\ninclude "self"\n' >self
printf 'policy version 1\ninclude "self"\n' >loop
refused loop 'self:2:9: self is being read already: the includes form a loop'

# what is neither policy nor table may be secret: its place is told, and no word of it
cat >shadow <<'END'
root:$6$s3cret/s3cret:19000:0:99999:7:::
"s3cret" <s3cret> $s3cret
tenant "s3cret" {
daemon:`s3cret\:19000:0:99999:7:::
END
chmod 600 shadow
printf 'policy version 1\ninclude "shadow"\ntenant a { }\n' >inc
printf 'policy version 1\ntable <t> file "shadow"\ntenant a { }\n' >tab
for file in inc tab; do
	out=$("$cmd" check "$file" 2>&1)
	if [ $? -ne 1 ] ||
	    ! printf '%s\n' "$out" | grep -q '^shadow:1:6: unexpected text: expected =\|^shadow:1:1: .* not an address' ||
	    printf '%s\n' "$out" | grep -q 's3cret\|root\|daemon\|0x'; then
		echo "files: $file of no policy: $out" >&2; bad=1
	fi
done

# nine deep
i=0
while [ $i -lt 10 ]; do
	printf 'include "d%d"\n' $((i + 1)) >d$i
	i=$((i + 1))
done
printf 'tenant deep { }\n' >d10
printf 'policy version 1\ninclude "d0"\n' >deep
refused deep 'includes are nested more than 8 deep'

# macros of macros of macros
{
	printf 'policy version 1\nm0 = { 1 2 3 4 5 6 7 8 9 10 }\n'
	i=0
	while [ $i -lt 20 ]; do
		m="\$m$i"
		printf 'm%d = { %s %s %s %s %s %s %s %s %s %s }\n' $((i + 1)) \
		    "$m" "$m" "$m" "$m" "$m" "$m" "$m" "$m" "$m" "$m"
		i=$((i + 1))
	done
	printf 'tenant a { allow to any port tcp $m20 }\n'
} >bomb
out=$(timeout 10 "$cmd" check bomb 2>&1)
[ $? -eq 1 ] && printf '%s\n' "$out" | grep -q 'macros stand for more than 1048576' ||
	{ echo "files: bomb: $out" >&2; bad=1; }

# errors on the last two of ten thousand lines, found at once
{
	printf 'policy version 1\ntenant a {\n'
	awk 'BEGIN { for (i = 0; i < 10000; i++)
		printf "\tallow to net 11.%d.%d.0/24 port tcp { 80 443 } label \"r%d\"\n",
		    int(i / 256), i % 256, i }'
	printf '\tallow to net 203.0.114.1/24\n\tallow to nett 203.0.114.1\n}\n'
} >long
out=$(timeout 10 "$cmd" check long 2>&1)
if [ $? -ne 1 ] || [ "$out" != 'long:10003:15: "203.0.114.1/24" has bits set beyond its length: write 203.0.114.0/24
long:10004:11: unexpected "nett": did you mean "net"?' ]; then
	echo "files: long: $out" >&2; bad=1
fi
sed -e 10003,10004d long >long.good
timeout 10 "$cmd" check -q long.good || { echo "files: long.good" >&2; bad=1; }

# the command line
for args in "" "-x good" "good good" "-p"; do
	# shellcheck disable=SC2086
	"$cmd" check $args 2>err.txt
	[ $? -eq 64 ] && grep -q 'usage: ' err.txt ||
		{ echo "files: check $args: $(cat err.txt)" >&2; bad=1; }
done
exit $bad
