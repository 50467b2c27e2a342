#!/bin/sh
# sallyport explain: the deciding line, and the exit status, of one question each.
set -u
src=${srcdir:-.}
cmd=$(cd "${builddir:-.}" && pwd)/policy_cmd
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
umask 022
for f in "$src"/policy/*.conf; do cat "$f" >"$tmp/${f##*/}"; done
cd "$tmp" || exit 99
bad=0

# ask STATUS PATTERN FILE TENANT PROTO DST
ask() {
	want=$1 pattern=$2; shift 2
	out=$("$cmd" explain "$@" 2>&1)
	status=$?
	if [ $status -ne "$want" ] || ! printf '%s\n' "$out" | grep -q -- "$pattern"; then
		echo "explain $*: exit $status, not $want, or no \"$pattern\" in:" >&2
		echo "$out" >&2
		bad=1
	fi
}

# the shipped policies hold what they say
for f in *.conf; do
	"$cmd" check "$f" >/dev/null || { echo "explain: $f is not clean" >&2; bad=1; }
done
ask 0 'allow      demo.conf:[0-9]* (demo-web): allow to net' demo.conf demo tcp 203.0.114.10:80
ask 0 'verdict    allow by demo.conf' demo.conf demo tcp '[2600:1f00::10]:80'
ask 1 'verdict    deny (default-deny)' demo.conf demo tcp 203.0.114.20:80
ask 1 'verdict    deny (floor-metadata)' demo.conf demo tcp 169.254.169.254:80
ask 0 'dials 203.0.114.7$' open.conf open icmp 203.0.114.7
ask 0 'dials 203.0.114.10:80' open.conf open tcp '[::ffff:203.0.114.10]:80'
ask 1 'floor-local' open.conf open tcp 127.0.0.1:80
ask 1 '64:ff9b::7f00:1, which a translator may take for 127.0.0.1' open.conf open tcp '[64:ff9b::127.0.0.1]:80'
ask 1 'floor-port' open.conf open tcp 203.0.114.10:25
ask 1 'deny (deny-rule) by deny.conf:[0-9]' deny.conf closed udp 203.0.114.10:53
ask 0 'excepted: NET-4411 artefact cache' example.conf ci tcp 10.20.7.10:443
ask 1 'floor-special' example.conf apps tcp 10.20.7.10:443
ask 0 "the guest's gateway: metrics" example.conf ci tcp 10.83.80.2:9091
ask 1 'no host-service has this port' example.conf ci tcp 10.83.80.2:80
ask 1 "what is sent there stays" example.conf ci tcp 10.83.80.100:80
ask 1 "what is sent there stays" example.conf ci udp '[fd53:616c:6c79::100]:53'
ask 0 'audit-deny: recorded as denied, let through (default-deny)' example.conf trial tcp 203.0.115.1:81
ask 1 'deny (deny-rule) by example.conf' example.conf trial tcp 203.0.115.1:22
# names
ask 0 "and this port its name server" names.conf web udp 10.83.80.2:53
ask 0 "answered by the gateway itself" names.conf web tcp '[fd53:616c:6c79::2]:53'
ask 1 "no host-service has this port" names.conf web tcp 10.83.80.2:54
ask 0 'answered by the gateway itself' names.conf web icmp 10.83.80.2
printf 'policy version 1\nhost "in.example.com" 10.20.7.10 fd00::1\nhost "one.example.com" 10.0.0.1 203.0.115.1\ntenant t {\n\tallow to name { "in.example.com" "one.example.com" } port tcp 443\n}\n' >floored.conf
ask 1 'verdict    deny (rebinding-stripped) by floored.conf:5, answered NXDOMAIN' floored.conf t dns in.example.com
ask 0 'host       10.0.0.1, which the floor takes away' floored.conf t dns one.example.com
ask 3 "SNI www.example.com  *allow by names.conf" names.conf web tcp 203.0.114.10:443 --name www.example.com
ask 3 'verdict    depends on the first bytes' names.conf web tcp 203.0.114.10:443 --name www.example.com
ask 1 'verdict    deny (server-first)' names.conf web tcp 203.0.114.10:443 --name www.example.com --nothing
ask 1 'verdict    deny (sni-unparseable)' names.conf web tcp 203.0.114.10:443 --name www.example.com --undecided
ask 0 'verdict    allow by names.conf:[0-9]*, as www.example.com (assurance sni), dials 203.0.114.10:443$' \
	names.conf web tcp 203.0.114.10:443 --name WWW.example.com. --sni www.example.com
ask 1 'verdict    deny (sni-mismatch) by names.conf' names.conf web tcp 203.0.114.10:443 --name www.example.com --sni example.com
ask 1 'proof      names.conf:[0-9]* (web): allow to name' names.conf web tcp 203.0.114.10:443 --name www.example.com --sni example.com
ask 1 'verdict    deny (sni-missing)' names.conf web tcp 203.0.114.10:443 --name www.example.com --sni ''
ask 1 'verdict    deny (ech-present)' names.conf web tcp 203.0.114.10:443 --name www.example.com --sni www.example.com --ech
ask 1 'verdict    deny (no-pin)' names.conf web tcp 203.0.114.10:443
ask 1 'verdict    deny (quic-unverifiable)' names.conf web udp 203.0.114.10:443 --name www.example.com
ask 1 'example.com leads to this address (but it does not resolve: name-not-allowed)' names.conf web tcp 203.0.114.10:443 --name example.com
ask 0 'assurance host' example.conf ci tcp 203.0.115.1:80 --name www.example.com --host www.example.com
ask 1 'vhost-mismatch' example.conf ci tcp 203.0.115.1:80 --name www.example.com --host example.com
ask 0 'excepted: NET-4411' example.conf ci tcp 10.20.7.10:443 --name cache.corp.example
ask 0 'verdict    allow by names.conf:[0-9]*, asked of the upstreams' names.conf web dns www.example.com
ask 1 'verdict    deny (name-not-allowed), answered NXDOMAIN' names.conf web dns example.com
ask 1 'verdict    deny (deny-rule) by deny.conf' deny.conf closed dns example.com
ask 0 'budget     one of 500 new names in 600 seconds' example.conf ci dns a.usercontent.example.com
ask 1 'name-not-allowed' example.conf ci dns paste.usercontent.example.com
ask 0 'host       10.20.7.10$' example.conf ci dns cache.corp.example
ask 0 'answered by this policy' example.conf ci dns cache.corp.example
ask 1 '10.20.7.10, which the floor takes away (rebinding-stripped)' example.conf trial dns cache.corp.example
ask 0 'name       xn--bcher-kva.example' open.conf open dns bücher.example
ask 2 'is an address, not a name' names.conf web dns 203.0.114.10
# no spelling of an address is a name (B14)
for address in 127.1 0x7f000001 2130706433 0177.0.0.1 127.0.0.01 1.2.3 a.0x7F 127.0.0.1. ::1; do
	ask 2 'address' open.conf open dns "$address"
	ask 2 'address' open.conf open tcp 203.0.114.10:443 --name "$address"
done
ask 2 'stands for many names' names.conf web tcp 203.0.114.10:443 --name '*.example.com'
ask 64 'usage:' names.conf web udp 203.0.114.10:443 --sni www.example.com
ask 64 'usage:' names.conf web dns www.example.com --name www.example.com
ask 64 'usage:' names.conf web tcp 203.0.114.10:443 --host www.example.com --ech
ask 64 'usage:' names.conf web tcp 203.0.114.10:443 --host www.example.com --nothing
ask 64 'usage:' names.conf web tcp 203.0.114.10:443 --undecided --ech
ask 64 'usage:' names.conf web icmp 203.0.114.10 --nothing
# the record's name, also where no rule is about it
ask 0 'as www.example.com (assurance dns), dials' example.conf trial tcp 203.0.115.1:80 --name www.example.com
ask 0 'as www.example.com (assurance sni), dials' example.conf trial tcp 203.0.115.1:81 --name www.example.com \
    --name api.example.com --sni www.example.com
ask 0 'as www.example.com (assurance none), dials' example.conf trial tcp 203.0.115.1:81 --name www.example.com \
    --sni api.example.com
ask 0 ', as one of 2 names, dials' example.conf trial tcp 203.0.115.1:81 --name www.example.com \
    --name api.example.com
# audit mode, and what has to be seen
sed 's/^tenant web {/tenant web mode audit {/' names.conf >audit.conf
ask 0 'looked at for the record' audit.conf web tcp 203.0.114.10:443 --name www.example.com
ask 0 'audit-deny: .*(sni-missing)' audit.conf web tcp 203.0.114.10:443 --name www.example.com --sni ''
ask 0 'looked at for the record' example.conf trial tcp 203.0.115.1:81 --name www.example.com
printf '%s\n' 'policy version 1' 'audit { durable before-connect }' 'tenant t mode audit {' '}' >late.conf
ask 0 'looked at for the record' late.conf t tcp 203.0.115.1:81 --name www.example.com
# a deny by name beside an allow that asks for no name: what is shown is looked at
printf '%s\n' 'policy version 1' 'tenant t {' 'allow to any port tcp { 80 443 }' \
    'deny to name "b.example"' 'deny to name "c.example" port tcp 443' '}' >look.conf
ask 3 'a name that this rule denies  *deny by look.conf:4' look.conf t tcp 203.0.115.1:80
ask 3 'which are not to show what is denied' look.conf t tcp 203.0.115.1:80 --name b.example
ask 1 'verdict    deny (deny-rule) by look.conf:4' look.conf t tcp 203.0.115.1:80 --host b.example
ask 1 'verdict    deny (deny-rule) by look.conf:4' look.conf t tcp 203.0.115.1:443 --sni b.example --ech
ask 1 'verdict    deny (sni-unparseable) by look.conf:4' look.conf t tcp 203.0.115.1:80 --undecided
ask 0 'verdict    allow by look.conf:3' look.conf t tcp 203.0.115.1:80 --nothing
ask 0 'verdict    allow by look.conf:3' look.conf t tcp 203.0.115.1:80 --host c.example
ask 0 'verdict    allow by look.conf:3' look.conf t tcp 203.0.115.1:443 --sni ''
# the one name that shows what another asks for
printf '%s\n' 'policy version 1' 'tenant t {' 'allow to name "a.example" port tcp { 80 443 }' \
    'allow to name "b.example" port tcp 80 verify host' 'allow to net 203.0.115.2 port tcp 443' '}' >two.conf
ask 0 'verdict    allow by two.conf:4, as b.example (assurance host)' two.conf t tcp 203.0.115.1:80 \
    --name a.example --name b.example --host b.example
ask 1 'verdict    deny (sni-unparseable) by two.conf:3' two.conf t tcp 203.0.115.1:443 --name a.example --host b.example
ask 0 'verdict    allow by two.conf:5' two.conf t tcp 203.0.115.2:443 --name a.example
ask 0 'nothing depends on it, so it is not asked for' two.conf t tcp 203.0.115.2:443 --name a.example --sni x.example
# lists of any length take one line
{
	printf 'policy version 1\ntenant t {\nallow to name {'
	seq -f '"host%.0f.example"' 3000 | tr '\n' ' '
	printf '} port tcp { 1'
	seq -f ' %.0f' 31 2 127
	printf '}\n deny to net {'
	seq -f '203.0.114.%.0f' 0 2 200 | tr '\n' ' '
	printf '}\n}\n'
} | tr '\n' ' ' | sed 's/ version 1 /&\n/; s/tenant t {/&\n/; s/} *deny/}\ndeny/; s/} *} *$/}\n}\n/' >long.conf
ask 1 '{ "host1.example" "host10.example" "host100.example" "host1000.example" and 2996 more } port tcp { 1 31 33 35 and 46 more }' \
	long.conf t tcp 203.0.115.1:1 --name host7.example --nothing
ask 1 'deny to net { 203.0.114.0 203.0.114.2 203.0.114.4 203.0.114.6 and 97 more }' long.conf t tcp 203.0.114.8:1
# no verdict
ask 2 'has no tenant "nobody"; it has: ci apps trial' example.conf nobody tcp 203.0.114.1:80
ask 2 'is not an address' demo.conf demo tcp 127.1:80
ask 2 'is not an address' demo.conf demo tcp example.com:80
ask 2 'is not tcp, udp, icmp or dns' demo.conf demo sctp 203.0.114.1:80
ask 2 'no such file' missing demo tcp 203.0.114.1:80
ask 64 'usage:' demo.conf demo tcp
exit $bad
