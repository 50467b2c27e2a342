/*
 * A stand-in for the law, for tests of the broker alone: its answers depend on
 * nothing but the destination's address and port.
 *
 *   port 1: default-deny   port 2: deny-rule   port 4: audit-deny
 *   169.254.169.254: floor-metadata   the gateway: a host-service on loopback
 *   127.9.0.0/16: allowed by name only, and what its first label begins with says
 *   what has to be seen: "sni", "host", else nothing. With "audit" or "glance" in it
 *   what does not fit is audited, but with "glance" what shows "stop.test" is denied.
 *   What "look" leads to is audited, and looked at; what "watch" leads to is allowed,
 *   unless it shows "stop.test" or nobody can say what it shows
 *   everything else: allowed, and it may be this host unless the port is 3, or it is
 *   echo to what is not 127.0.0.1 or ::1; what then is known to be, is floor-local
 *
 * Names: all below "test" and "arpa" are allowed, those below "wild.test" by a wildcard; but
 * "stop.test" is denied by a rule and "audit.test" audited. "static.test" is written
 * out. 10/8, link-local and ::/96 cannot be reached, nor what is this host's own but
 * is not in 127/8.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy_double.h"

struct policy {
	struct double_blob	blob;
	struct policy_audit	audit;
	struct policy_resolver	resolver;
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
	p->audit.live = p->blob.live;
	p->resolver.pin_min = p->blob.pin_min;
	p->resolver.pin_max = p->blob.pin_max;
	p->resolver.pin_grace = p->blob.pin_grace;
	p->resolver.nupstreams = p->blob.upstreams;
	p->resolver.upstream[0].addr = endpoint_v4(0xc0000235, 53);
	return p;
}

int
policy_index(struct policy *p, unsigned int tenant)
{
	(void)p;
	(void)tenant;
	return 0;
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
policy_text_hash(const struct policy *p)
{
	static const uint8_t	hash[32] = { 0xd1 };

	(void)p;
	return hash;
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

static bool
may_be_ours(const struct endpoint *dst)
{
	return dst->port != 3 && (dst->port != 0 || addr_is_loopback(dst));
}

static struct verdict
verdict(uint32_t kind, uint32_t reason, uint32_t rule,
    const struct endpoint *dst)
{
	struct verdict	v = { .kind = kind, .reason = reason, .rule = rule,
			    .dial = *dst };

	v.local_ok = may_be_ours(dst) ? UINT32_MAX : 0;
	return v;
}

static bool
begins(const struct name *n, const char *word)
{
	return strncmp(n->text, word, strlen(word)) == 0;
}

static bool
is(const struct name *n, const char *text)
{
	return n->len == strlen(text) && memcmp(n->text, text, n->len) == 0;
}

static bool
is_audited(const struct name *n)
{
	return strstr(n->text, "audit") != NULL || begins(n, "look");
}

static bool
is_watched(const struct name *n)
{
	return strstr(n->text, "glance") != NULL || begins(n, "watch");
}

static enum verify
verify_of(const struct name *n)
{
	return begins(n, "sni") ? VERIFY_SNI :
	    begins(n, "host") ? VERIFY_HOST : VERIFY_NONE;
}

static enum reason
of_host(enum reason reason)
{
	return reason == REASON_SNI_MISSING ? REASON_VHOST_MISSING :
	    reason == REASON_SNI_UNPARSEABLE ? REASON_VHOST_UNPARSEABLE :
	    reason == REASON_TLS_TIMEOUT ? REASON_VHOST_TIMEOUT : reason;
}

static enum reason
unproved(const struct policy_query *q)
{
	bool	host = verify_of(q->bound[0]) == VERIFY_HOST;

	if (q->shown->what != SHOWN_NAME)
		return host ? of_host((enum reason)q->shown->why) :
		    (enum reason)q->shown->why;
	if (q->shown->ech)
		return REASON_ECH_PRESENT;
	return host ? REASON_VHOST_MISMATCH : REASON_SNI_MISMATCH;
}

static bool
is_proved(const struct policy_query *q)
{
	size_t	i;

	if (q->shown->what != SHOWN_NAME || q->shown->ech)
		return false;
	for (i = 0; i < q->nbound; i++)
		if (name_equal(q->bound[i], &q->shown->name))
			return true;
	return false;
}

static struct verdict
decide_shown(const struct policy_query *q)
{
	const struct name	*n = q->bound[0];

	if (q->shown->what == SHOWN_NAME && is(&q->shown->name, "stop.test"))
		return verdict(VERDICT_DENY, REASON_DENY_RULE, 1, &q->dst);
	if (q->shown->what == SHOWN_UNDECIDED && begins(n, "watch"))
		return verdict(VERDICT_DENY, unproved(q), 1, &q->dst);
	if (verify_of(n) == VERIFY_NONE || is_proved(q))
		return verdict(VERDICT_ALLOW, REASON_NONE, 0, &q->dst);
	return verdict(is_audited(n) || is_watched(n) ? VERDICT_AUDIT_DENY :
	    VERDICT_DENY, unproved(q), 0, &q->dst);
}

static struct verdict
decide_name(const struct policy_query *q)
{
	struct verdict	v = verdict(VERDICT_ALLOW, REASON_NONE, 0, &q->dst);

	if (q->nbound == 0)
		return verdict(VERDICT_DENY, q->lapsed ? REASON_PIN_EXPIRED :
		    REASON_NO_PIN, POLICY_NO_RULE, &q->dst);
	if (verify_of(q->bound[0]) != VERIFY_NONE && q->proto == PROTO_UDP)
		return verdict(VERDICT_DENY, REASON_QUIC_UNVERIFIABLE,
		    POLICY_NO_RULE, &q->dst);
	if (begins(q->bound[0], "look"))
		v = verdict(VERDICT_AUDIT_DENY, REASON_DEFAULT_DENY,
		    POLICY_NO_RULE, &q->dst);
	else if (q->shown != NULL)
		return decide_shown(q);
	if (q->proto != PROTO_TCP || q->shown != NULL)
		return v;
	if (is_audited(q->bound[0]) || is_watched(q->bound[0]))
		v.peek = PEEK_LOOK;
	else if (verify_of(q->bound[0]) != VERIFY_NONE)
		v.peek = PEEK_PROOF;
	v.recorded = is_audited(q->bound[0]);
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
	if (dst.family == ADDR_V4 && endpoint_u32(&dst) >> 16 == 0x7f09)
		return decide_name(q);
	if (q->own != 0 && !may_be_ours(&dst))
		return verdict(VERDICT_DENY, REASON_FLOOR_LOCAL, POLICY_NO_RULE,
		    &dst);
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

void
policy_tenants_hint(const struct policy *p, const char *name, char *buf,
    size_t len)
{
	(void)p;
	(void)name;
	(void)len;
	*buf = '\0';
}

uint64_t
policy_rule_until(const struct policy *p, uint32_t rule)
{
	(void)p;
	(void)rule;
	return 0;
}

uint64_t
policy_expiry(const struct policy *p, unsigned int tenant, uint64_t now)
{
	(void)p;
	(void)tenant;
	(void)now;
	return 0;
}

const char *
policy_rule_loc(const struct policy *p, uint32_t rule)
{
	(void)p;
	return rule == POLICY_NO_RULE ? "" : "double:1";
}

const struct policy_resolver *
policy_resolver(const struct policy *p)
{
	return &p->resolver;
}

unsigned int
policy_needs(const struct policy *p, unsigned int tenant)
{
	(void)tenant;
	return p->blob.needs;
}

static bool
below(const struct name *n, const char *base)
{
	struct name	b;

	return name_from_text(base, strlen(base), &b) == 0 &&
	    name_matches(n, NAME_MANY, &b);
}

struct name_verdict
policy_name(const struct policy *p, unsigned int tenant,
    const struct name *n, uint64_t now)
{
	struct name_verdict	v = { VERDICT_ALLOW, REASON_NONE, 0, false };

	(void)p;
	(void)tenant;
	(void)now;
	v.counted = below(n, "wild.test");
	if (is(n, "stop.test"))
		v = (struct name_verdict){ VERDICT_DENY, REASON_DENY_RULE, 1,
		    false };
	else if (is(n, "audit.test"))
		v = (struct name_verdict){ VERDICT_AUDIT_DENY,
		    REASON_NAME_NOT_ALLOWED, POLICY_NO_RULE, false };
	else if (!below(n, "test") && !below(n, "arpa"))
		v = (struct name_verdict){ VERDICT_DENY,
		    REASON_NAME_NOT_ALLOWED, POLICY_NO_RULE, false };
	return v;
}

bool
policy_reaches(const struct policy *p, unsigned int tenant,
    const struct endpoint *e, uint32_t own)
{
	static const uint8_t	zeros[12];

	(void)p;
	(void)tenant;
	if (own != 0 && !addr_is_loopback(e))
		return false;
	if (e->family == ADDR_V6)
		return !addr_is_link_local(e) &&
		    memcmp(e->addr, zeros, sizeof(zeros)) != 0;
	return e->addr[0] != 10 && !addr_is_link_local(e);
}

int
policy_host(const struct policy *p, const struct name *n,
    enum addr_family family, struct endpoint out[ANSWER_MAX])
{
	(void)p;
	if (!is(n, "static.test"))
		return -1;
	if (family != ADDR_V4)
		return 0;
	out[0] = endpoint_v4(0x7f090001, 0);
	out[1] = endpoint_v4(0x0a000001, 0);
	return 2;
}
