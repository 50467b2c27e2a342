/*
 * What to write about each reason for which a guest is refused. Words in capitals
 * stand for what the line before has: a hint has nothing of a guest's in it.
 *
 * Trusts: nothing. Must not: name what the grammar has not, or advise where no policy
 * can help: "" is a decision, and a reason without one fails tests/unit/test_hint.c.
 */
#include <stddef.h>

#include "hint.h"
#include "reason.h"

#define NOTHING		""
#define VERIFY_NONE	"verify none nowarn W201 \"WHY\""
#define LIMITS(what)	"where that is too few, write in the tenant's limits: " what

static const char *const	hints[REASON_MAX] = {
	[REASON_NONE] = NOTHING,
	[REASON_DEFAULT_DENY] = "to allow it, write: allow to net ADDRESS port tcp N "
	    "(or: port udp N; for ping: icmp echo)",
	[REASON_DENY_RULE] = "the deny at the place told has to go, or to be narrower",
	[REASON_RULE_EXPIRED] = "the allow at the place told needs a later \"until\"",
	[REASON_FLOOR_SPECIAL] = "besides an allow it needs: floor except net ADDRESS "
	    "port tcp N for tenant TENANT ticket \"WHY\"",
	[REASON_FLOOR_METADATA] = NOTHING,
	[REASON_FLOOR_LOCAL] = "for an address of a link of this host, besides an "
	    "allow: floor except net ADDRESS port tcp N for tenant TENANT "
	    "ticket \"WHY\"",
	[REASON_FLOOR_PORT] = "besides an allow it needs: floor except any port tcp N "
	    "for tenant TENANT ticket \"WHY\"",
	[REASON_POLICY_REVOKED] = NOTHING,
	[REASON_NO_PIN] = "the guest has not looked the name up here, but has the "
	    "address from a cache or a file: let it ask, or write: "
	    "allow to net ADDRESS port tcp N",
	[REASON_PIN_EXPIRED] = "the guest has to look the name up again; where it "
	    "never does, write: allow to net ADDRESS port tcp N",
	[REASON_SNI_MISSING] = "where its TLS names no server, write to the rule: "
	    VERIFY_NONE,
	[REASON_SNI_MISMATCH] = "to allow the name that was shown, write: "
	    "allow to name \"NAME\" port tcp N",
	[REASON_SNI_UNPARSEABLE] = "where this port speaks HTTP, write to the rule: "
	    "verify host; where neither that nor TLS: " VERIFY_NONE,
	[REASON_ECH_PRESENT] = "where the name that is hidden need not be known, "
	    "write to the rule: ech allow",
	[REASON_TLS_TIMEOUT] = "where the server speaks first, or it is not TLS, "
	    "write to the rule: " VERIFY_NONE,
	[REASON_VHOST_MISSING] = "where its requests have no Host, write to the rule: "
	    VERIFY_NONE,
	[REASON_VHOST_MISMATCH] = "to allow the name that was shown, write: "
	    "allow to name \"NAME\" port tcp N verify host",
	[REASON_VHOST_UNPARSEABLE] = "where this port speaks TLS, write to the rule: "
	    "verify sni; where neither that nor HTTP/1: " VERIFY_NONE,
	[REASON_VHOST_TIMEOUT] = "where the server speaks first, or it is not HTTP, "
	    "write to the rule: " VERIFY_NONE,
	[REASON_SERVER_FIRST] = "where the server speaks first, write to the rule: "
	    VERIFY_NONE,
	[REASON_INSPECTOR_UNAVAILABLE] = NOTHING,
	[REASON_QUIC_UNVERIFIABLE] = "nothing proves a name over UDP; to allow it "
	    "all the same, write: allow to name \"NAME\" port udp N "
	    "nowarn W201 \"WHY\"",
	[REASON_NAME_INVALID] = NOTHING,
	[REASON_NAME_NOT_ALLOWED] = "to allow it, write: "
	    "allow to name \"NAME\" port tcp N",
	[REASON_TYPE_NOT_ALLOWED] = NOTHING,
	[REASON_DNS_BUDGET] = LIMITS("dns N/s, or names N per 10m"),
	[REASON_DNS_BOGUS] = NOTHING,
	[REASON_DNS_UPSTREAM] = NOTHING,
	[REASON_REBINDING_STRIPPED] = "besides the allow it needs: floor except "
	    "net ADDRESS port tcp N for tenant TENANT ticket \"WHY\"",
	[REASON_NO_ROUTE] = NOTHING,
	[REASON_NO_FAMILY] = NOTHING,
	[REASON_ANSWER_CUT] = NOTHING,
	[REASON_RATE] = LIMITS("rate N/s"),
	[REASON_CONNS] = LIMITS("conns N"),
	[REASON_PENDING] = LIMITS("pending N, or pending-per-destination N"),
	[REASON_UNPROVEN] = LIMITS("unproven N, or unproven-per-destination N"),
	[REASON_LIFETIME] = NOTHING,
	[REASON_IDLE] = NOTHING,
	[REASON_RESOURCE] = NOTHING,
	[REASON_KERNEL_MEMORY] = LIMITS("kernel-memory SIZE"),
	[REASON_PINS] = NOTHING,
	[REASON_PINS_NAME] = NOTHING,
	[REASON_PINS_ADDRESS] = NOTHING,
	[REASON_AUDIT_RATE] = LIMITS("audit SIZE/s"),
	[REASON_AUDIT_UNAVAILABLE] = NOTHING,
	[REASON_DONE] = NOTHING,
	[REASON_GUEST_RST] = NOTHING,
	[REASON_GUEST_CANCEL] = NOTHING,
	[REASON_GUEST_TIMEOUT] = NOTHING,
	[REASON_GUEST_REFUSED] = NOTHING,
	[REASON_GUEST_DETACH] = NOTHING,
	[REASON_PEER_RESET] = NOTHING,
	[REASON_UNANSWERED] = NOTHING,
	[REASON_PEER_TIMEOUT] = NOTHING,
	[REASON_KILLED] = NOTHING,
	[REASON_SHUTDOWN] = NOTHING,
	[REASON_FRAME_DIED] = NOTHING,
	[REASON_REVOKE_IGNORED] = NOTHING,
	[REASON_UNKNOWN_CRASH] = NOTHING,
	[REASON_CONNECT_REFUSED] = NOTHING,
	[REASON_CONNECT_TIMEOUT] = NOTHING,
	[REASON_HOST_UNREACH] = NOTHING,
	[REASON_NET_UNREACH] = NOTHING,
	[REASON_HOST_MISMATCH] = NOTHING,
	[REASON_ICMP_UNAVAILABLE] = NOTHING,
	[REASON_INTERNAL_MISMATCH] = NOTHING,
	[REASON_SPOOFED_SOURCE] = NOTHING,
	[REASON_PROTO_UNSUPPORTED] = NOTHING,
	[REASON_ICMP_TYPE] = NOTHING,
	[REASON_FRAGMENT] = NOTHING,
	[REASON_MULTICAST] = NOTHING,
	[REASON_BAD_CHECKSUM] = NOTHING,
	[REASON_MALFORMED] = NOTHING,
	[REASON_IPC_VIOLATION] = NOTHING,
};

const char *
hint_of(unsigned int reason)
{
	return reason < REASON_MAX ? hints[reason] : NOTHING;
}
