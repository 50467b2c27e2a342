/*
 * The law. Pure: no sockets, no clock, no libevent, no environment.
 *
 * Text is parsed by the grammar (src/policy/parse.y; linked into the sealed
 * parser child and the `sallyport` command only) into a model, and the model is
 * compiled into a blob. The broker gets the blob, checks every length in it
 * (policy_load) and asks policy_decide(). It never sees the text.
 */
#ifndef SALLYPORT_POLICY_H
#define SALLYPORT_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "keeper.h"
#include "name.h"
#include "reason.h"
#include "record.h"

#define POLICY_BLOB_MAX		(64u << 20)
#define POLICY_NO_RULE		UINT32_MAX

struct policy;

/* Checks and adopts a copy of a compiled policy. NULL, with words in err. */
struct policy *policy_load(const void *blob, size_t len, char *err,
	    size_t errlen);
void	policy_free(struct policy *);
/*
 * Makes ready for questions about a tenant: once, before the first of policy_decide(),
 * policy_name() and policy_reaches(); none of these allocates. It takes memory as the
 * tenant's rules do. 0, or -1: there is none.
 */
int	policy_index(struct policy *, unsigned int tenant);
void	policy_unindex(struct policy *, unsigned int tenant);

/* Index of a tenant, of the only one if name is "", or -1. */
int	policy_tenant(const struct policy *, const char *name);
const char *policy_tenant_name(const struct policy *, unsigned int tenant);
unsigned int policy_tenants(const struct policy *);
/* Of one that is not there ("": of none): "; did you mean x? It has: a b", cut. */
#define TENANTS_HINT_MAX	1500
void	policy_tenants_hint(const struct policy *, const char *name, char *buf,
	    size_t len);

struct policy_limits {
	uint32_t	conns;		/* live flows */
	uint32_t	pending;	/* connects under way */
	uint32_t	pending_dst;	/* of those, to one address */
	uint32_t	unproven;	/* connected, and yet to show their first bytes */
	uint32_t	unproven_dst;	/* of those, to one address */
	uint32_t	rate, burst;	/* opens per second; bucket size */
	uint32_t	idle;		/* seconds, 0 = none */
	uint32_t	half_closed;	/* seconds idle, when one side has ended */
	uint32_t	lifetime;	/* seconds, 0 = none */
	uint32_t	dns_rate, dns_burst;	/* questions per second; bucket size */
	uint32_t	names, names_per;	/* new names per rule that is a wildcard or
					   `any`, within so many seconds */
	uint32_t	kernel_memory;	/* KiB in the buffers of its sockets */
	uint32_t	audit_rate, audit_burst;	/* KiB of log per second; bucket size */
};
/* What holds without a `limits` line. */
#define POLICY_LIMITS_DEFAULT \
	{ 4096, 512, 128, 256, 64, 1000, 4000, 0, 600, 0, 100, 1000, 500, 600, \
	    524288, 128, 131072 }
const struct policy_limits *policy_limits(const struct policy *,
	    unsigned int tenant);

struct policy_audit {
	uint32_t	durable;	/* enum policy_durable */
	uint64_t	rotate;		/* bytes, 0 = never */
	uint64_t	keep_bytes;	/* of retired segments, 0 = all of them */
	uint32_t	keep_files;	/* the same */
	uint32_t	live;		/* s between two flow.live of a flow, 0 = none */
};
const struct policy_audit *policy_audit(const struct policy *);

struct policy_upstream {
	struct endpoint	addr;		/* with its port: 53, or 853 with tls */
	uint32_t	tls;		/* 0 or 1: DNS over TLS, `name` is verified */
	struct name	name;
};
static_assert(sizeof(struct policy_upstream) == 280, "policy_upstream");

struct policy_resolver {		/* `resolver { ... }`, or its defaults */
	uint32_t	nupstreams;	/* 0: the policy names none */
	uint32_t	dnssec;
	uint32_t	pin_min, pin_max, pin_grace;	/* seconds: 60, 3600, 30 */
	struct policy_upstream upstream[UPSTREAM_MAX];
};
const struct policy_resolver *policy_resolver(const struct policy *);

/* What a tenant's rules make necessary: no process is started for nothing. */
enum { NEEDS_RESOLVER = 1 << 0, NEEDS_INSPECTOR = 1 << 1 };
unsigned int policy_needs(const struct policy *, unsigned int tenant);

/* SHA-256 of the canonical compiled model, floor version included. */
const uint8_t *policy_hash(const struct policy *);	/* 32 bytes */
/* The same of the text of all its files, one behind the other as they were read. */
const uint8_t *policy_text_hash(const struct policy *);
uint32_t policy_rules(const struct policy *);

/*
 * All addresses that one address stands for: itself in canonical form first, then
 * each IPv4 address that some translator or tunnel finds in it. How many they are.
 */
#define POLICY_FORMS_MAX	8
size_t	policy_forms(const struct endpoint *,
	    struct endpoint out[POLICY_FORMS_MAX]);

/*
 * What an allow by name wants of its TCP flows. BY_PORT: a rule that does not say, and
 * has port 80 among others: a Host there, and a server name on the others.
 */
enum verify { VERIFY_NONE, VERIFY_SNI, VERIFY_HOST, VERIFY_BY_PORT };
#define VERIFY_HOST_PORT	80u

/*
 * Are a flow's first bytes asked for? LOOK: it goes on, unless they show what is
 * denied. PROOF: it ends, unless they show what is allowed.
 */
enum peek { PEEK_NONE, PEEK_LOOK, PEEK_PROOF };

/* What a flow's first bytes were, once: the law's only question to the inspector. */
enum shown {
	SHOWN_NAME,		/* one name, whole and read without a doubt */
	SHOWN_OTHER,		/* whole, and names nothing; or nothing that could name */
	SHOWN_NOTHING,		/* the server spoke or ended first, the guest ended
				   first, or both were silent */
	SHOWN_UNDECIDED		/* began as what could name, and is cut, malformed,
				   ambiguous, too long or too slow; or nobody read it */
};

struct policy_shown {
	uint32_t	what;		/* enum shown */
	uint32_t	kind;		/* enum peek_kind, as it was read; 0: it was not */
	/*
	 * Why it is no name, an enum reason: tls-timeout, server-first,
	 * inspector-unavailable, ... (of a pair of reasons for SNI and Host, the first).
	 * REASON_NONE: what that is, says `what'.
	 */
	uint32_t	why;
	bool		ech;
	struct name	name;		/* SHOWN_NAME; else len 0 */
};

struct policy_query {
	unsigned int	tenant;
	uint32_t	proto;		/* enum proto */
	struct endpoint	dst;		/* as the guest wrote it */
	struct endpoint	gateway4, gateway6;	/* of this guest; may be ADDR_NONE */
	uint32_t	own;	/* bit i: form i of dst is this host's own now */
	/* names that were pinned to dst for this guest at its OPEN; sorted, no doubles */
	const struct name *const *bound;
	size_t		nbound;
	bool		lapsed;		/* a pin to dst has run out */
	uint64_t	now;		/* s since 1970, UTC: which rules have ended */
	const struct policy_shown *shown;	/* NULL: nothing was asked for yet */
};

struct verdict {
	uint32_t	kind;		/* VERDICT_ALLOW, _DENY, _AUDIT_DENY (let through) */
	uint32_t	reason;		/* enum reason; REASON_NONE when allowed */
	uint32_t	rule;		/* the first rule that is for it, or POLICY_NO_RULE */
	uint32_t	local_ok;	/* bit i: form i may be this host's own (host-service,
					   floor except), now or later */
	struct endpoint	dial;		/* what to connect to: the only address that may be used */
	/*
	 * Not PEEK_NONE in an allow or audit-deny without `shown`: it may be dialled,
	 * and nothing sent yet. The guest's first bytes are to be seen, and the question
	 * asked again.
	 */
	uint32_t	peek;		/* enum peek */
	bool		recorded;	/* with PEEK_LOOK: whatever they show stops nothing,
					   but the record has it */
};

/*
 * The law for one flow; src/policy/law.c is its text. Where nothing that it says
 * depends on first bytes, none are asked for. The order of rules matters for `rule'
 * alone. A destination at the guest's gateway is a host-service or nothing.
 */
struct verdict policy_decide(const struct policy *,
	    const struct policy_query *);

/*
 * The name that a record may give a flow, and how firmly it is bound to it: what its
 * first bytes named if that is bound, or the only one there is. No rule says it.
 */
struct naming {
	int		name;		/* index in bound; -1: none, or which is not known */
	uint32_t	assurance;
};
struct naming policy_naming(const struct verdict *,
	    const struct name *const *bound, size_t n,
	    const struct policy_shown *);

/*
 * May this tenant's guests resolve this name? Allowed by any allow rule that
 * matches the name, whatever its ports; an allow to `any` lets every name be
 * resolved, because it lets the guest send its bytes anywhere as it is. A deny
 * by name without ports stops it, and so does a deny to `any` without any.
 */
struct name_verdict {
	uint32_t	kind, reason, rule;
	bool		counted;	/* by a wildcard or `any`: the budget of names */
};
struct name_verdict policy_name(const struct policy *, unsigned int tenant,
	    const struct name *, uint64_t now);

/*
 * True if the floor (the host's own addresses included: `own` as in a query)
 * leaves this address to this tenant, or an exception lifts it for some port: what
 * an answer may hold.
 */
bool	policy_reaches(const struct policy *, unsigned int tenant,
	    const struct endpoint *, uint32_t own);

/*
 * `host "name" addr ...`: how many of this family were written out (at most
 * ANSWER_MAX), or -1: the policy has no such host.
 */
int	policy_host(const struct policy *, const struct name *,
	    enum addr_family, struct endpoint out[ANSWER_MAX]);

/* "label" or 8 hex digits, and "file:line"; "" for POLICY_NO_RULE. */
const char *policy_rule_id(const struct policy *, uint32_t rule);
const char *policy_rule_loc(const struct policy *, uint32_t rule);
/* `until': the second from which on the rule allows nothing; 0 = it has none. */
uint64_t policy_rule_until(const struct policy *, uint32_t rule);
/* The next of those after `now' among a tenant's rules, or 0. */
uint64_t policy_expiry(const struct policy *, unsigned int tenant,
	    uint64_t now);

#endif
