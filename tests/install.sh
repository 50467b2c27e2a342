#!/bin/sh
# `make install' below a directory of its own: what is there, that the pages and the
# policies name the configured places, and that `make uninstall' leaves nothing.
set -eu
top=$(cd "${srcdir:-.}" && pwd)
if grep -q '^#define SANITIZE 1' config.h; then
	echo "skip: a build with sanitizers is not installed"
	exit 77
fi
place=$PWD/install.$$
trap 'rm -rf "$place"' EXIT
fail() { echo "install: $*"; exit 1; }

# The build's own prefix is its configuration's: the test takes it from there.
MAKEFLAGS= make -s install DESTDIR="$place" >install.out 2>&1 || {
	cat install.out; fail "make install failed"; }
rm -f install.out
prefix=$(sed -n 's/^prefix = //p' Makefile)
case $prefix in
/usr) etc='' ;;
*) etc=$(sed -n 's/^sysconfdir = //p' Makefile | sed "s,\${prefix},$prefix,") ;;
esac

for file in bin/sallyport sbin/sallyportd libexec/sallyport/sallyport-frame \
    libexec/sallyport/sallyport-broker libexec/sallyport/sallyport-recorder \
    libexec/sallyport/sallyport-resolver libexec/sallyport/sallyport-inspector \
    libexec/sallyport/sallyport-parser share/man/man1/sallyport.1 \
    share/man/man5/sallyport.conf.5 share/man/man5/sallyport-audit.5 \
    share/man/man8/sallyportd.8 share/sallyport/policy/example.conf; do
	[ -f "$place$prefix/$file" ] || fail "no $file"
done
find "$place" -type f -perm /6000 | grep . && fail "set-user-ID programs"
for policy in "$top"/policy/*.conf; do
	[ -f "$place$prefix/share/sallyport/policy/${policy##*/}" ] || fail "no ${policy##*/}"
done

# Every place that a page names as ours is one that was configured.
if [ "$prefix" != /usr ]; then
	grep -rnE '(^|[^a-z])/usr/share/sallyport|[[:space:]"]/etc/sallyport' \
	    "$place$prefix/share" && fail "a page names another place than $prefix"
	grep -q "$prefix/share/sallyport/policy/deny.conf" \
	    "$place$prefix/share/man/man1/sallyport.1" || fail "sallyport(1) names no policy"
	grep -q "$etc/sallyport/policy.conf" \
	    "$place$prefix/share/man/man5/sallyport.conf.5" || fail "sallyport.conf(5) names no policy"
fi

MAKEFLAGS= make -s uninstall DESTDIR="$place" >uninstall.out 2>&1 || {
	cat uninstall.out; fail "make uninstall failed"; }
rm -f uninstall.out
find "$place" ! -type d | grep . && fail "uninstall left files"
echo "install: what is there is named where it is"
