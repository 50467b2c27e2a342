/*
 * The names of the reasons: the closed list that operators and their tools rely
 * on. A name is never changed or reused.
 */
#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "reason.h"

static const char *const names[] = {
	[REASON_NONE] = "none",
	[REASON_DEFAULT_DENY] = "default-deny",
	[REASON_DENY_RULE] = "deny-rule",
	[REASON_RULE_EXPIRED] = "rule-expired",
	[REASON_FLOOR_SPECIAL] = "floor-special",
	[REASON_FLOOR_METADATA] = "floor-metadata",
	[REASON_FLOOR_LOCAL] = "floor-local",
	[REASON_FLOOR_PORT] = "floor-port",
	[REASON_POLICY_REVOKED] = "policy-revoked",
	[REASON_NO_PIN] = "no-pin",
	[REASON_PIN_EXPIRED] = "pin-expired",
	[REASON_SNI_MISSING] = "sni-missing",
	[REASON_SNI_MISMATCH] = "sni-mismatch",
	[REASON_SNI_UNPARSEABLE] = "sni-unparseable",
	[REASON_ECH_PRESENT] = "ech-present",
	[REASON_TLS_TIMEOUT] = "tls-timeout",
	[REASON_VHOST_MISSING] = "vhost-missing",
	[REASON_VHOST_MISMATCH] = "vhost-mismatch",
	[REASON_VHOST_UNPARSEABLE] = "vhost-unparseable",
	[REASON_VHOST_TIMEOUT] = "vhost-timeout",
	[REASON_SERVER_FIRST] = "server-first",
	[REASON_INSPECTOR_UNAVAILABLE] = "inspector-unavailable",
	[REASON_QUIC_UNVERIFIABLE] = "quic-unverifiable",
	[REASON_NAME_INVALID] = "name-invalid",
	[REASON_NAME_NOT_ALLOWED] = "name-not-allowed",
	[REASON_TYPE_NOT_ALLOWED] = "type-not-allowed",
	[REASON_DNS_BUDGET] = "dns-budget",
	[REASON_DNS_BOGUS] = "dns-bogus",
	[REASON_DNS_UPSTREAM] = "dns-upstream",
	[REASON_REBINDING_STRIPPED] = "rebinding-stripped",
	[REASON_NO_ROUTE] = "no-route",
	[REASON_NO_FAMILY] = "no-family",
	[REASON_ANSWER_CUT] = "answer-cut",
	[REASON_RATE] = "rate",
	[REASON_CONNS] = "conns",
	[REASON_PENDING] = "pending",
	[REASON_UNPROVEN] = "unproven",
	[REASON_LIFETIME] = "lifetime",
	[REASON_IDLE] = "idle",
	[REASON_RESOURCE] = "resource",
	[REASON_KERNEL_MEMORY] = "kernel-memory",
	[REASON_PINS] = "pins",
	[REASON_PINS_NAME] = "pins-per-name",
	[REASON_PINS_ADDRESS] = "pins-per-address",
	[REASON_AUDIT_RATE] = "audit-rate",
	[REASON_AUDIT_UNAVAILABLE] = "audit-unavailable",
	[REASON_DONE] = "done",
	[REASON_GUEST_RST] = "guest-rst",
	[REASON_GUEST_CANCEL] = "guest-cancel",
	[REASON_GUEST_TIMEOUT] = "guest-timeout",
	[REASON_GUEST_REFUSED] = "guest-refused",
	[REASON_GUEST_DETACH] = "guest-detach",
	[REASON_PEER_RESET] = "peer-reset",
	[REASON_UNANSWERED] = "unanswered",
	[REASON_PEER_TIMEOUT] = "peer-timeout",
	[REASON_KILLED] = "killed",
	[REASON_SHUTDOWN] = "shutdown",
	[REASON_FRAME_DIED] = "frame-died",
	[REASON_REVOKE_IGNORED] = "revoke-ignored",
	[REASON_UNKNOWN_CRASH] = "unknown-crash",
	[REASON_CONNECT_REFUSED] = "connect-refused",
	[REASON_CONNECT_TIMEOUT] = "connect-timeout",
	[REASON_HOST_UNREACH] = "host-unreach",
	[REASON_NET_UNREACH] = "net-unreach",
	[REASON_HOST_MISMATCH] = "host-mismatch",
	[REASON_ICMP_UNAVAILABLE] = "icmp-unavailable",
	[REASON_INTERNAL_MISMATCH] = "internal-mismatch",
	[REASON_SPOOFED_SOURCE] = "spoofed-source",
	[REASON_PROTO_UNSUPPORTED] = "proto-unsupported",
	[REASON_ICMP_TYPE] = "icmp-type",
	[REASON_FRAGMENT] = "fragment",
	[REASON_MULTICAST] = "multicast",
	[REASON_BAD_CHECKSUM] = "bad-checksum",
	[REASON_MALFORMED] = "malformed",
	[REASON_IPC_VIOLATION] = "ipc-violation",
};
static_assert(sizeof(names) / sizeof(names[0]) == REASON_MAX,
    "every reason has a name");

const char *
reason_name(unsigned int reason)
{
	return reason < REASON_MAX ? names[reason] : "?";
}

int
reason_parse(const char *text)
{
	unsigned int	i;

	for (i = 0; i < REASON_MAX; i++)
		if (strcmp(text, names[i]) == 0)
			return (int)i;
	return -1;
}

bool
reason_from_frame_close(unsigned int reason)
{
	switch (reason) {
	case REASON_DONE:
	case REASON_GUEST_RST:
	case REASON_GUEST_CANCEL:
	case REASON_GUEST_TIMEOUT:
	case REASON_PEER_RESET:
	case REASON_PEER_TIMEOUT:
	case REASON_UNANSWERED:
	case REASON_IDLE:
	case REASON_CONNS:		/* it has made room */
	case REASON_RESOURCE:
	case REASON_KILLED:		/* the answer to REVOKE */
		return true;
	default:
		return false;
	}
}

bool
reason_from_frame_drop(unsigned int reason)
{
	return reason == REASON_CONNS || reason == REASON_NAME_INVALID ||
	    reason == REASON_DNS_BUDGET || (reason >= REASON_SPOOFED_SOURCE &&
	    reason <= REASON_MALFORMED);
}
