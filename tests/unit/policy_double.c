/*
 * A stand-in for the law, for tests of the broker alone: its answers depend on
 * nothing but the destination's address and port.
 *
 *   port 1: default-deny   port 2: deny-rule   port 4: audit-deny
 *   169.254.169.254: floor-metadata   the gateway: a host-service on loopback
 *   everything else: allowed, and it may be this host unless the port is 3
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy_double.h"

struct policy {
	struct double_blob	blob;
	struct policy_audit	audit;
};

struct policy *
policy_load(const void *blob, size_t len, char *err, size_t errlen)
{
	struct policy	*p;

	if (len != sizeof(struct double_blob) ||
	    memcmp(blob, DOUBLE_MAGIC, 8) != 0) {
		snprintf(err, errlen, "not a double's blob");
		return NULL;
	}
	if ((p = calloc(1, sizeof(*p))) == NULL)
		abort();
	memcpy(&p->blob, blob, len);
	p->audit.durable = p->blob.durable;
	p->audit.rotate = p->blob.rotate;
	return p;
}

void
policy_free(struct policy *p)
{
	free(p);
}

int
policy_tenant(const struct policy *p, const char *name)
{
	(void)p;
	return *name == '\0' || strcmp(name, "double") == 0 ? 0 : -1;
}

const char *
policy_tenant_name(const struct policy *p, unsigned int tenant)
{
	(void)p;
	(void)tenant;
	return "double";
}

const struct policy_limits *
policy_limits(const struct policy *p, unsigned int tenant)
{
	(void)tenant;
	return &p->blob.limits;
}

const struct policy_audit *
policy_audit(const struct policy *p)
{
	return &p->audit;
}

const uint8_t *
policy_hash(const struct policy *p)
{
	static const uint8_t	hash[32] = { 0xd0 };

	(void)p;
	return hash;
}

uint32_t
policy_rules(const struct policy *p)
{
	(void)p;
	return 2;
}

static struct verdict
verdict(uint32_t kind, uint32_t reason, uint32_t rule,
    const struct endpoint *dst)
{
	struct verdict	v = { .kind = kind, .reason = reason, .rule = rule,
			    .dial = *dst };

	v.local_ok = dst->port != 3;
	return v;
}

struct verdict
policy_decide(const struct policy *p, const struct policy_query *q)
{
	struct endpoint	dst = endpoint_canonical(q->dst);

	(void)p;
	if (addr_equal(&dst, &q->gateway4))
		dst = endpoint_v4(0x7f000001, dst.port);
	if (dst.family == ADDR_V4 && endpoint_u32(&dst) == 0xa9fea9fe)
		return verdict(VERDICT_DENY, REASON_FLOOR_METADATA,
		    POLICY_NO_RULE, &dst);
	switch (dst.port) {
	case 1:
		return verdict(VERDICT_DENY, REASON_DEFAULT_DENY,
		    POLICY_NO_RULE, &dst);
	case 2:
		return verdict(VERDICT_DENY, REASON_DENY_RULE, 1, &dst);
	case 4:
		return verdict(VERDICT_AUDIT_DENY, REASON_DEFAULT_DENY,
		    POLICY_NO_RULE, &dst);
	default:
		return verdict(VERDICT_ALLOW, REASON_NONE, 0, &dst);
	}
}

const char *
policy_rule_id(const struct policy *p, uint32_t rule)
{
	(void)p;
	return rule == POLICY_NO_RULE ? "" : rule == 1 ? "no" : "yes";
}

const char *
policy_rule_loc(const struct policy *p, uint32_t rule)
{
	(void)p;
	return rule == POLICY_NO_RULE ? "" : "double:1";
}
