#!/bin/sh
# The floor plan in executable form: who may include whom, and which file alone
# may name a dangerous thing. HACKING.md has the same in words.
#
# usage: rooms.sh SRCDIR BUILDDIR
set -u
src=${1:-${srcdir:-.}}
build=${2:-${builddir:-.}}
bad=0
oops() { echo "rooms: $*" >&2; bad=1; }

# Own headers that a room may include, besides its own ones in src/ROOM/.
allowed() {
	ground="addr.h fd.h log.h name.h reason.h seal.h config.h"
	wire="$ground wire.h chan.h"
	case $1 in
	lib)      echo "$ground hint.h place.h idmap.h route.h" ;;
	wire)     echo "$wire record.h keeper.h" ;;
	policy)   echo "$ground policy.h wire.h record.h idmap.h" ;;
	recorder) echo "$wire record.h keeper.h" ;;
	frame)    echo "$wire" ;;
	broker)   echo "$wire hint.h keeper.h record.h policy.h resolve.h inspect.h route.h" ;;
	resolver) echo "$wire resolve.h" ;;
	inspector) echo "$wire inspect.h" ;;
	keeper)   echo "$wire keeper.h record.h policy.h place.h idmap.h" ;;
	cli)      echo "$wire hint.h keeper.h record.h policy.h model.h grammar.h law.h place.h idmap.h route.h" ;;
	esac
}

for room in lib wire policy recorder frame broker keeper cli resolver inspector; do
	[ -d "$src/src/$room" ] || continue
	ok=" $(allowed $room) "
	for file in "$src/src/$room"/*.[chy]; do
		[ -f "$file" ] || continue
		for header in $(sed -n 's/^#[ ]*include "\(.*\)".*/\1/p' "$file"); do
			case $ok in *" $header "*) continue ;; esac
			# which files of it: below
			case $room/$header in frame/lwip/*) continue ;; esac
			[ -f "$src/src/$room/$header" ] && continue
			# bison writes it
			[ "$header" = parse.h ] && [ $room = policy ] && continue
			oops "$room may not include $header (${file#"$src"/})"
		done
	done
done

# only PATTERN FILES...: the extended regexp stands in no other file of src/.
only() {
	pattern=$1; shift
	for file in $(grep -lE "$pattern" "$src"/src/*/*.[chy] 2>/dev/null); do
		case " $* " in *" ${file#"$src"/src/} "*) continue ;; esac
		# a comment may say why a thing is not used
		grep -vE '^[[:space:]]*(/?\*)' "$file" | grep -qE "$pattern" &&
			oops "${file#"$src"/}: only $* may have /$pattern/"
	done
}
only '(^|[^_a-z])(sendmsg|recvmsg|sendmmsg|recvmmsg)\(' lib/fd.c
only '#include ["<]lwip/' frame/gate.c frame/stack.c frame/netif.c frame/port.c \
    frame/port.h
only '#include <jansson' cli/learn_record.c
only '#include <libpsl' policy/suffix.c
only '#include <idn2' policy/pattern.c
only '#include <(linux/seccomp|seccomp)\.h' lib/seal.c frame/seal.c broker/seal.c \
    recorder/seal.c keeper/seal.c policy/seal.c resolver/seal.c inspector/seal.c cli/init.c cli/guard.c
only '(^|[^_a-z])socket\(' broker/connect.c broker/publish.c broker/locals.c \
    broker/changes.c broker/ping.c lib/route.c resolver/socket.c keeper/link.c cli/linkmtu.c cli/netlink.c cli/web.c cli/serve.c
only '(^|[^_a-z])seal_filter\(' lib/seal.c frame/main.c broker/seal.c \
    recorder/seal.c keeper/seal.c policy/seal.c resolver/seal.c inspector/seal.c
only '(^|[^_a-z])(getaddrinfo|gethostbyname|inet_aton|inet_addr)\(' none
only '(^|[^_a-z])(system|popen|strcpy|strcat|sprintf|gets|alloca|atoi)\(' none
only '(^|[^_a-z.>])getenv\(' cli/where.c cli/expose.c cli/kept.c cli/outside.c cli/private.c \
    cli/sockets.c cli/vault.c cli/world.c cli/demo.c cli/begin.c

# Each sealed room seals exactly once.
for room in frame broker recorder keeper policy resolver inspector; do
	[ -f "$src/src/$room/seal.c" ] || continue
	n=$(cat "$src/src/$room"/*.c | grep -c '[^_a-z]seal_filter(')
	[ "$n" -eq 1 ] || oops "$room calls seal_filter $n times"
done

# The frame's own objects name nothing that opens a door.
if [ -f "$build/libframe.a" ]; then
	doors='socket|socketpair|connect|bind|listen|accept4?|sendto|sendmsg|sendmmsg|setsockopt|open|openat|open64|fopen|exec.*|fexecve|posix_spawn.*|fork|vfork|clone|dlopen|system|popen'
	found=$(nm -u "$build/libframe.a" | awk '{print $NF}' |
	    grep -xE "$doors" | sort -u | tr '\n' ' ')
	[ -z "$found" ] || oops "libframe.a refers to: $found"
	if nm -u "$build/libframe.a" | grep -qE ' (policy_|broker_)'; then
		oops "libframe.a refers to the policy or the broker"
	fi
fi
if [ -f "$build/libbroker.a" ]; then
	if nm -u "$build/libbroker.a" |
	    grep -qE ' (tcp_|pbuf_|ub_|json_|fork|vfork|clone|execve|fexecve|setns|yyparse)'; then
		oops "libbroker.a refers to lwIP, libunbound, jansson, the grammar, or starts processes"
	fi
fi

# What the broker links of the law reads no text, and no list of suffixes.
if [ -f "$build/libpolicy.a" ] &&
    nm -u "$build/libpolicy.a" | grep -qE ' (psl_|idn2_|yyparse|grammar_|open|openat|read$)'; then
	oops "libpolicy.a refers to libpsl, libidn2, the grammar or files"
fi

# Every public header compiles alone.
: "${CC:=cc}"
for header in "$src"/include/*.h; do
	printf '#include "%s"\n' "$(basename "$header")" |
	    $CC -std=gnu17 -D_GNU_SOURCE -I"$src/include" -Wall -Werror \
	    -fsyntax-only -x c - 2>/dev/null ||
		oops "${header#"$src"/} does not compile alone"
done

[ $bad -eq 0 ] && echo "rooms: every wall stands"
exit $bad
