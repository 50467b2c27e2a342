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

# ask STATUS PATTERN FILE TENANT PROTO DST: a step's lines are one line for the
# pattern; and no answer is longer than a screen.
ask() {
	want=$1 pattern=$2; shift 2
	out=$("$cmd" explain "$@" 2>&1)
	status=$?
	if [ $status -ne 2 ] && [ $status -ne 64 ] && printf '%s\n' "$out" |
	    awk 'length > 80 || NR > 24 { bad = 1 } END { exit !bad }'; then
		echo "explain $*: more than 24 lines of 80 columns:" >&2
		echo "$out" >&2
		bad=1
	fi
	if [ $status -ne "$want" ] || ! printf '%s\n' "$out" |
	    sed -e ':a' -e 'N' -e '$!ba' -e 's/\n   */ /g' | grep -q -- "$pattern"; then
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
# an answer takes one screen whatever is asked: 64 names, of which each has its rows
names=
i=0
while [ $i -lt 64 ]; do
	names="$names --name host$i.$(printf 'long%.0s' 1 2 3 4 5 6 7 8 9 10).example"
	i=$((i + 1))
done
# shellcheck disable=SC2086
ask 3 'and what 61 more names would be: --all' look.conf t tcp 203.0.115.1:80 $names
"$cmd" explain --all look.conf t tcp 203.0.115.1:80 $names | grep -q 'Host host63' ||
	{ echo "explain --all: not all of it" >&2; bad=1; }
# the entry that matched, and where it stands: a table's file, a macro, the rule
printf '203.0.114.0/24\n# more\n203.0.115.7 2600:1f00::/32\n' >bad.nets
printf '%s\n' 'policy version 1' 'table <bad> file "bad.nets"' 'web = { "a.example"' '  "*.b.example" }' \
    'tenant t {' 'allow to name $web port tcp 443' 'deny to net <bad>' \
    'deny to net { 203.0.116.0/24 203.0.117.0/24 }' '}' >entries.conf
ask 1 'deny       entries.conf:7 .*: deny to net <bad> *by 203.0.115.7 (bad.nets:3, table <bad>)' entries.conf t tcp 203.0.115.7:443
ask 1 'by 2600:1f00::/32 (bad.nets:3, table <bad>)' entries.conf t tcp '[2600:1f00::9]:443'
ask 1 'by 203.0.117.0/24 (entries.conf:8)' entries.conf t tcp 203.0.117.9:443
ask 0 'by \*.b.example (entries.conf:4, macro .web)' entries.conf t dns x.b.example
ask 3 'proof .*by a.example (entries.conf:3, macro .web)' entries.conf t tcp 203.0.118.1:443 --name a.example
# a wrong port is told with the right ones
ask 1 'ports      not on tcp 8443, but on tcp 443: allowed with proof: SNI a.example, no ECH, by entries.conf:6' \
	entries.conf t tcp 203.0.118.1:8443 --name a.example
ask 1 'no rule allows this address on any port; rules by name are about' entries.conf t tcp 203.0.118.1:8443
ask 1 'no rule allows this address, or what it was resolved for' entries.conf t tcp 203.0.118.1:8443 --name b.example
# and no-pin is said only where a name was not resolved
printf '%s\n' 'policy version 1' 'tenant t {' 'allow to name "a.example" port tcp 443' \
    'allow to name "b.example" port tcp 8443' 'allow to net 203.0.115.0/24 port tcp 80' \
    'allow to any port tcp 22' '}' >ports.conf
ask 1 'but on tcp 443[:0-9 ]' ports.conf t tcp 203.0.118.1:8443 --name a.example
ask 1 'verdict    deny (default-deny)$' ports.conf t tcp 203.0.118.1:8443 --name a.example
ask 1 'but on tcp 80[:0-9 ]' ports.conf t tcp 203.0.115.1:8443
ask 1 'verdict    deny (default-deny)$' ports.conf t tcp 203.0.115.1:8443
ask 1 'verdict    deny (no-pin)$' ports.conf t tcp 203.0.118.1:8443
ask 1 'verdict    deny (default-deny)$' ports.conf t tcp 203.0.118.1:8080
# -q: the status alone; warnings are counted, not repeated
out=$("$cmd" explain -q entries.conf t tcp 203.0.118.1:443 --name a.example 2>&1)
[ "$?:$out" = 3: ] || { echo "explain -q: $out" >&2; bad=1; }
ask 0 '^look.conf: [1-9][0-9]* warnings*: sallyport check look.conf$' look.conf t dns c.example
# the link's addresses, as run has them
ask 1 "this is the guest's own address" open.conf open tcp 192.168.7.9:80 --guest-address 192.168.7.9
ask 0 "the guest's gateway: metrics" example.conf ci tcp 192.168.7.1:9091 --guest-address 192.168.7.9 --gateway 192.168.7.1
ask 1 'floor-special' example.conf ci tcp 10.83.80.2:9091 --guest-address 192.168.7.9 --gateway 192.168.7.1
ask 64 "cannot be both the guest's and the gateway's" open.conf open tcp 203.0.114.1:80 --guest-address 10.83.80.2
# what a tenant reaches: a name, an address, a network
ask 3 'tcp        443: allowed with proof: SNI www.example.com, no ECH, by names.conf:[0-9]* (web)' names.conf web reach www.example.com
ask 1 'example.com does not resolve, so no flow has it' names.conf web reach example.com
ask 0 'tcp        1-24 26-852 854-65535: allowed by open.conf' open.conf open reach 203.0.114.10
ask 1 'tcp        1-65535: denied (floor-local)' open.conf open reach 127.0.0.1
ask 0 'tcp        443: allowed by example.conf:[0-9]* (artefact-cache)' example.conf ci reach cache.corp.example
ask 1 'host       10.20.7.10, which the floor takes away' example.conf trial reach cache.corp.example
ask 0 'addresses  10.20.7.10$' example.conf ci reach 10.20.7.0/24
ask 0 'addresses  10.20.7.0-10.20.7.9 10.20.7.11-10.20.7.255$' example.conf ci reach 10.20.7.0/24
ask 0 'tcp        443: allowed by example.conf.*(artefact-cache)' example.conf ci reach 10.20.7.0/24
ask 0 'tcp        9091: allowed by example.conf.*(push-metrics)' example.conf ci reach 10.83.80.2
ask 0 '53: answered by the gateway itself' example.conf ci reach 10.83.80.2
ask 3 'allowed by look.conf:3 .*, looked at: unless it shows what is denied by look.conf:4' look.conf t reach c.example
ask 1 'b.example does not resolve' look.conf t reach b.example
ask 3 '443: allowed with proof: SNI a.example, no ECH, by two.conf:3' two.conf t reach 203.0.115.1 --name a.example --name b.example
ask 3 '80: allowed with proof: Host a.example, by two.conf:3 .*; or Host b.example\|80: allowed with proof: Host a.example, b.example' \
	two.conf t reach 203.0.115.1 --name a.example --name b.example
{
	printf 'policy version 1\ntenant t {\n'
	for i in $(seq 1 60); do
		printf 'allow to net 203.0.114.%s port tcp %s label "rule-with-a-long-label-%s"\n' \
			"$i" "$((1000 + i * 2))" "$i"
		printf 'allow to name "many.example" port tcp %s verify none\n' "$((3000 + i * 2))"
	done
	printf '}\nhost "many.example"'
	printf ' 203.0.114.%s' $(seq 1 60)
	printf '\n'
} >many.conf
ask 0 '^[.][.][.]        [0-9]* more: --all' many.conf t reach many.example
ask 0 '^[.][.][.]        [0-9]* more: --all' many.conf t reach 203.0.114.0/24
ask 0 '^[.][.][.]        [0-9]* more: --all' many.conf t reach 203.0.118.1 --name many.example
[ "$("$cmd" explain --all many.conf t reach 203.0.114.0/24 | grep -c '^tcp  *1[0-9]*: allowed by')" = 60 ] ||
	{ echo "explain --all: not all of a network" >&2; bad=1; }
ask 2 'is not a network' open.conf open reach 203.0.114.1/24
ask 2 'translator' open.conf open reach 2002::/16
ask 64 'usage:' open.conf open reach 203.0.114.1 --sni a.example
# no verdict
ask 2 'has no tenant "nobody"; it has: ci apps trial' example.conf nobody tcp 203.0.114.1:80
ask 2 'is not an address' demo.conf demo tcp 127.1:80
ask 2 'is not an address' demo.conf demo tcp example.com:80
ask 2 'is not tcp, udp, icmp, dns or reach' demo.conf demo sctp 203.0.114.1:80
ask 2 'no such file' missing demo tcp 203.0.114.1:80
ask 64 'usage:' demo.conf demo tcp
# what cannot be written is not said to be good
for form in "" --json; do
	# shellcheck disable=SC2086
	"$cmd" rules $form open.conf >/dev/full 2>&1 &&
	    { echo "rules $form to a full disk: exit 0" >&2; bad=1; }
done
exit $bad
