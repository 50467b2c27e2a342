/*
 * Why a flow was refused or ended: the closed list of sallyport-audit(5).
 * The numbers are internal to one build; the names are for ever.
 */
#ifndef SALLYPORT_REASON_H
#define SALLYPORT_REASON_H

#include <stdbool.h>

enum reason {
	REASON_NONE = 0,
	/* the policy's */
	REASON_DEFAULT_DENY,
	REASON_DENY_RULE,
	REASON_RULE_EXPIRED,	/* an allow fits, and its `until' has come */
	REASON_FLOOR_SPECIAL,
	REASON_FLOOR_METADATA,
	REASON_FLOOR_LOCAL,
	REASON_FLOOR_PORT,
	REASON_POLICY_REVOKED,
	/* names */
	REASON_NO_PIN,		/* a name rule would fit, but no name is pinned here */
	REASON_PIN_EXPIRED,
	REASON_SNI_MISSING,
	REASON_SNI_MISMATCH,
	REASON_SNI_UNPARSEABLE,
	REASON_ECH_PRESENT,
	REASON_TLS_TIMEOUT,
	REASON_VHOST_MISSING,	/* the same for `verify host` */
	REASON_VHOST_MISMATCH,
	REASON_VHOST_UNPARSEABLE,
	REASON_VHOST_TIMEOUT,
	REASON_SERVER_FIRST,	/* it spoke before the guest had shown anything */
	REASON_INSPECTOR_UNAVAILABLE,
	REASON_QUIC_UNVERIFIABLE,	/* UDP where only TCP of that name is allowed */
	REASON_NAME_INVALID,
	REASON_NAME_NOT_ALLOWED,
	REASON_TYPE_NOT_ALLOWED,
	REASON_DNS_BUDGET,
	REASON_DNS_BOGUS,
	REASON_DNS_UPSTREAM,
	REASON_REBINDING_STRIPPED,
	REASON_NO_ROUTE,	/* to addresses of an answer, which then are left out */
	REASON_NO_FAMILY,	/* addresses that this guest has no use for */
	REASON_ANSWER_CUT,	/* more addresses than an answer has room for */
	/* limits */
	REASON_RATE,
	REASON_CONNS,
	REASON_PENDING,
	REASON_UNPROVEN,
	REASON_LIFETIME,
	REASON_IDLE,
	REASON_RESOURCE,
	REASON_KERNEL_MEMORY,
	REASON_PINS,		/* all of the guest's, or of one name, one address */
	REASON_PINS_NAME,
	REASON_PINS_ADDRESS,
	REASON_AUDIT_RATE,
	REASON_AUDIT_UNAVAILABLE,
	/* ends of an open flow */
	REASON_DONE,		/* both sides sent FIN */
	REASON_GUEST_RST,
	REASON_GUEST_CANCEL,	/* RST while the SYN was held */
	REASON_GUEST_TIMEOUT,	/* no ACK to our SYN-ACK, or retransmissions ran out */
	REASON_GUEST_REFUSED,
	REASON_GUEST_DETACH,
	REASON_PEER_RESET,
	REASON_UNANSWERED,	/* UDP, echo: nothing came back, ever */
	REASON_PEER_TIMEOUT,	/* nothing came back, for minutes */
	REASON_KILLED,
	REASON_SHUTDOWN,
	REASON_FRAME_DIED,
	REASON_REVOKE_IGNORED,
	REASON_UNKNOWN_CRASH,
	/* failed connects */
	REASON_CONNECT_REFUSED,
	REASON_CONNECT_TIMEOUT,
	REASON_HOST_UNREACH,
	REASON_NET_UNREACH,
	REASON_HOST_MISMATCH,
	REASON_ICMP_UNAVAILABLE,
	REASON_INTERNAL_MISMATCH,
	/* refused by the frame itself; reach the log as DROPS */
	REASON_SPOOFED_SOURCE,
	REASON_PROTO_UNSUPPORTED,
	REASON_ICMP_TYPE,
	REASON_FRAGMENT,
	REASON_MULTICAST,
	REASON_BAD_CHECKSUM,
	REASON_MALFORMED,
	/* a peer that speaks nonsense */
	REASON_IPC_VIOLATION,
	REASON_MAX
};

const char *reason_name(unsigned int);		/* "default-deny"; "?" beyond */
int	reason_parse(const char *);		/* or -1 */
/* What a frame may give as `reason` in CLOSE, and in DROPS. */
bool	reason_from_frame_close(unsigned int);
bool	reason_from_frame_drop(unsigned int);

#endif
