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
#include "reason.h"
#include "record.h"

#define POLICY_BLOB_MAX		(64u << 20)
#define POLICY_NO_RULE		UINT32_MAX

struct policy;

/* Checks and adopts a copy of a compiled policy. NULL, with words in err. */
struct policy *policy_load(const void *blob, size_t len, char *err,
	    size_t errlen);
void	policy_free(struct policy *);

/* Index of a tenant, of the only one if name is "", or -1. */
int	policy_tenant(const struct policy *, const char *name);
const char *policy_tenant_name(const struct policy *, unsigned int tenant);
unsigned int policy_tenants(const struct policy *);

struct policy_limits {
	uint32_t	conns;		/* live flows */
	uint32_t	pending;	/* connects under way */
	uint32_t	pending_dst;	/* of those, to one address */
	uint32_t	rate, burst;	/* opens per second; bucket size */
	uint32_t	idle;		/* seconds, 0 = none */
	uint32_t	lifetime;	/* seconds, 0 = none */
};
/* flows.md, 6: what holds without a `limits` line. */
#define POLICY_LIMITS_DEFAULT { 4096, 512, 128, 1000, 4000, 0, 0 }
const struct policy_limits *policy_limits(const struct policy *,
	    unsigned int tenant);

struct policy_audit {
	uint32_t	durable;	/* enum policy_durable */
	uint64_t	rotate;		/* bytes, 0 = never */
};
const struct policy_audit *policy_audit(const struct policy *);

/* SHA-256 of the canonical compiled model, floor version included. */
const uint8_t *policy_hash(const struct policy *);	/* 32 bytes */
uint32_t policy_rules(const struct policy *);

/* This host's own addresses, sorted by addr_compare(); ports are ignored. */
struct policy_locals {
	const struct endpoint *addr;
	size_t		n;
};

struct policy_query {
	unsigned int	tenant;
	uint32_t	proto;		/* enum proto */
	struct endpoint	dst;		/* as the guest wrote it */
	struct endpoint	gateway4, gateway6;	/* of this guest; may be ADDR_NONE */
	struct policy_locals locals;
};

struct verdict {
	uint32_t	kind;		/* VERDICT_ALLOW, _DENY, _AUDIT_DENY (let through) */
	uint32_t	reason;		/* enum reason; REASON_NONE when allowed */
	uint32_t	rule;		/* deciding rule, or POLICY_NO_RULE */
	bool		local_ok;	/* the peer may be this host (host-service, floor except) */
	struct endpoint	dial;		/* what to connect to: the only address that may be used */
};

/*
 * floor -> deny -> allow -> default deny; the order of rules never matters.
 * A destination at the guest's gateway is a host-service or nothing.
 */
struct verdict policy_decide(const struct policy *,
	    const struct policy_query *);

/* "label" or 8 hex digits, and "file:line"; "" for POLICY_NO_RULE. */
const char *policy_rule_id(const struct policy *, uint32_t rule);
const char *policy_rule_loc(const struct policy *, uint32_t rule);

#endif
