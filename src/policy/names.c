/*
 * Rules by name: which names of an address are denied, why none lets a flow through,
 * and which names may be resolved at all.
 *
 * Trusts: a policy that policy_load() accepted, and that query.bound holds names
 * which this guest was given for this address.
 * Must not: take a name for an address, or an address for a name.
 */
#include <string.h>

#include "index.h"

#define FEW_WILDCARDS	16u	/* of a rule that is looked through by its names */

/* ---- flows -------------------------------------------------------------------- */

/* A question about the rules by name that have a port. */
struct ask {
	const struct policy		*policy;
	const struct policy_query	*query;
	const struct blob_rule		*rule;	/* the tenant's first */
	const struct name_keys		*keys;	/* or NULL: the names of the address */
};

static struct ask
ask_of(const struct policy *p, const struct policy_query *q,
    const struct name_keys *keys)
{
	return (struct ask){ p, q, p->rule + p->tenant[q->tenant].rule, keys };
}

static bool
is_about(const void *arg, uint32_t item)
{
	const struct ask	*a = arg;

	return match_by_keys(a->policy, &a->rule[item].match, a->keys);
}

uint32_t
names_denied(const struct policy *p, const struct policy_query *q,
    const struct name *name, bool all)
{
	const struct ports	*t = &index_of(p, q->tenant)->named;
	struct name_keys	 k;
	struct ask		 a = ask_of(p, q, &k);
	uint32_t		 item = POLICY_NO_RULE;

	name_keys(p, name, &k);
	item = ports_first(t, q->proto, q->dst.port, CLASS_WATCH, item,
	    is_about, &a);
	if (all)
		item = ports_first(t, q->proto, q->dst.port,
		    CLASS_WATCH_AUDITED, item, is_about, &a);
	return item == POLICY_NO_RULE ? item :
	    p->tenant[q->tenant].rule + item;
}

const struct name *
names_bound(const struct policy_query *q, const struct name *name)
{
	size_t	lo = 0, hi = q->nbound, mid;
	int	c;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if ((c = name_compare(q->bound[mid], name)) == 0)
			return q->bound[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static bool
is_excepted(const struct policy *p, const struct blob_match *m,
    const struct name *n)
{
	struct name_keys	k;

	if (m->nxnames == 0)
		return false;
	name_keys(p, n, &k);
	return match_keys(p, m->xname, m->nxnames, &k);
}

/* One name of the policy, by itself or as a wildcard: see names_some(). */
static bool
some_of(const struct policy *p, const struct policy_query *q,
    const struct blob_match *m, uint32_t key,
    bool (*good)(void *, const struct name *), void *arg)
{
	const struct name	*n;
	struct blob_name	 b;
	size_t			 k;

	name_of_key(p, key, &b);
	if (b.wild == NAME_EXACT)
		return (n = names_bound(q, &b.base)) != NULL &&
		    !is_excepted(p, m, n) && good(arg, n);
	for (k = 0; k < q->nbound; k++)
		if (name_matches(q->bound[k], b.wild, &b.base) &&
		    !is_excepted(p, m, q->bound[k]) && good(arg, q->bound[k]))
			return true;
	return false;
}

static bool
few(const struct policy *p, const struct policy_query *q,
    const struct blob_match *m)
{
	uint32_t	i, k, n = 0, wild = 0;

	for (i = m->name; i < m->name + m->nnames; i++) {
		const struct blob_nset *s = &p->nset[p->nref[i]];

		if (s->n > 2 * q->nbound || (n += s->n) > 2 * q->nbound)
			return false;
		for (k = s->first; k < s->first + s->n; k++)
			wild += (p->key[k] & 3) != NAME_EXACT;
	}
	return wild <= FEW_WILDCARDS;
}

/*
 * Is there a name of the address that the rule matches, and that is good? An address
 * may have a thousand names, and a policy as many rules: so the names of a rule that
 * has few are looked for among those of an address that has many, and else the other
 * way round.
 */
bool
names_some(const struct policy *p, const struct policy_query *q,
    const struct blob_match *m, bool (*good)(void *, const struct name *),
    void *arg)
{
	uint32_t	i, k;

	if (few(p, q, m)) {
		for (i = m->name; i < m->name + m->nnames; i++) {
			const struct blob_nset *s = &p->nset[p->nref[i]];

			for (k = s->first; k < s->first + s->n; k++)
				if (some_of(p, q, m, p->key[k], good, arg))
					return true;
		}
		return false;
	}
	for (k = 0; k < q->nbound; k++)
		if (match_names(p, m, q->bound[k]) && good(arg, q->bound[k]))
			return true;
	return false;
}

static bool
any_is_good(void *arg, const struct name *n)
{
	(void)arg;
	(void)n;
	return true;
}

/* It has not ended, and has a name of the address, if that is asked for. */
static bool
is_bound(const void *arg, uint32_t item)
{
	const struct ask	*a = arg;
	const struct blob_rule	*r = &a->rule[item];

	return !match_expired(r, a->query->now) && (a->keys != NULL ||
	    names_some(a->policy, a->query, &r->match, any_is_good, NULL));
}

/* An allow by name has this port, and `bound` or nothing asks for its names. */
static bool
allows_port(const struct policy *p, const struct policy_query *q,
    uint32_t proto, bool bound)
{
	static const struct name_keys	 any;
	const struct ports		*t = &index_of(p, q->tenant)->named;
	struct ask			 a = ask_of(p, q, bound ? NULL : &any);
	uint32_t			 class;

	for (class = CLASS_NAMED; class < CLASSES; class++)
		if (ports_first(t, proto, q->dst.port, class, POLICY_NO_RULE,
		    is_bound, &a) != POLICY_NO_RULE)
			return true;
	return false;
}

/* Not by `any'. */
static bool
has_address(const void *arg, uint32_t item)
{
	const struct ask	*a = arg;
	const struct endpoint	 e = endpoint_canonical(a->query->dst);

	return !match_expired(&a->rule[item], a->query->now) &&
	    match_net(a->policy, &a->rule[item].match, &e);
}

/* An allow names its network, for whatever ports. */
static bool
allows_address(const struct policy *p, const struct policy_query *q)
{
	const struct endpoint	e = endpoint_canonical(q->dst);
	struct ask		a = ask_of(p, q, NULL);
	struct spot		s;

	cover_find(&index_of(p, q->tenant)->rules, &e, &s);
	s.proto = PROTO_NONE;
	s.any = false;
	return cover_first(&s, CLASS_ALLOW, POLICY_NO_RULE, has_address, &a) !=
	    POLICY_NO_RULE;
}

/*
 * A name that was not resolved is told from a port that is not allowed: where the
 * address is pinned, or allowed by itself, on other ports, it is the port.
 */
enum reason
names_reason(const struct policy *p, const struct policy_query *q)
{
	if (q->proto == PROTO_UDP && allows_port(p, q, PROTO_TCP, true))
		return REASON_QUIC_UNVERIFIABLE;
	if (!allows_port(p, q, q->proto, false))
		return REASON_DEFAULT_DENY;
	if (q->lapsed)
		return REASON_PIN_EXPIRED;
	return q->nbound > 0 || allows_address(p, q) ? REASON_DEFAULT_DENY :
	    REASON_NO_PIN;
}

/* ---- resolution -------------------------------------------------------------------- */

/* A deny without ports: of the name, or of everything there is. */
static bool
stops(const struct policy *p, const struct blob_rule *r, const struct name *name)
{
	const struct blob_match	*m = &r->match;

	return match_all_ports(p, m) && (match_names(p, m, name) ||
	    (m->kind == KIND_ANY && m->nxrefs == 0));
}

/* The rules that speak first about a name; an exact one before a wildcard. */
struct speakers {
	uint32_t	deny, audited, allow, expired;
	bool		exact;
};

static void
find_speakers(const struct policy *p, const struct blob_tenant *t,
    const struct name *name, uint64_t now, struct speakers *s)
{
	uint32_t	i, *slot;

	for (i = t->rule; i < t->rule + t->nrules; i++) {
		const struct blob_rule *r = &p->rule[i];

		if (r->deny != 0) {
			slot = match_audited(t, r) ? &s->audited : &s->deny;
			if (*slot == POLICY_NO_RULE && stops(p, r, name))
				*slot = i;
		} else if (match_expired(r, now)) {
			if (s->expired == POLICY_NO_RULE &&
			    (r->match.kind == KIND_ANY ||
			    match_names(p, &r->match, name)))
				s->expired = i;
		} else if (!s->exact && match_exactly(p, &r->match, name)) {
			s->allow = i;
			s->exact = true;
		} else if (s->allow == POLICY_NO_RULE &&
		    (r->match.kind == KIND_ANY ||
		    match_names(p, &r->match, name)))
			s->allow = i;
	}
}

static enum reason
not_allowed(const struct speakers *s, uint32_t *rule)
{
	*rule = s->expired;
	return *rule == POLICY_NO_RULE ? REASON_NAME_NOT_ALLOWED :
	    REASON_RULE_EXPIRED;
}

struct name_verdict
policy_name(const struct policy *p, unsigned int tenant,
    const struct name *name, uint64_t now)
{
	struct speakers		 s = { POLICY_NO_RULE, POLICY_NO_RULE,
				    POLICY_NO_RULE, POLICY_NO_RULE, false };
	struct name_verdict	 v = { VERDICT_DENY, REASON_NAME_INVALID,
				    POLICY_NO_RULE, false };
	const struct blob_tenant *t;

	if (tenant >= p->head->tenants || !name_valid(name))
		return v;
	t = &p->tenant[tenant];
	find_speakers(p, t, name, now, &s);
	v.counted = !s.exact;
	if (s.deny != POLICY_NO_RULE) {
		v.reason = REASON_DENY_RULE;
		v.rule = s.deny;
	} else if (s.allow == POLICY_NO_RULE && t->mode != MODE_AUDIT) {
		v.reason = not_allowed(&s, &v.rule);
	} else if (s.audited != POLICY_NO_RULE) {
		v.kind = VERDICT_AUDIT_DENY;
		v.reason = REASON_DENY_RULE;
		v.rule = s.audited;
	} else if (s.allow == POLICY_NO_RULE) {
		v.kind = VERDICT_AUDIT_DENY;
		v.reason = not_allowed(&s, &v.rule);
	} else {
		v.kind = VERDICT_ALLOW;
		v.reason = REASON_NONE;
		v.rule = s.allow;
	}
	return v;
}

/* ---- what else a policy says of names ---------------------------------------- */

int
policy_host(const struct policy *p, const struct name *name,
    enum addr_family family, struct endpoint out[ANSWER_MAX])
{
	uint32_t	lo = 0, hi = p->head->hosts, mid, i;
	int		c = -1, n = 0;

	while (lo < hi && c != 0) {
		mid = lo + (hi - lo) / 2;
		if ((c = name_compare(&p->host[mid].name, name)) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (c != 0)
		return -1;
	for (i = 0; i < p->host[hi].naddrs && n < ANSWER_MAX; i++)
		if (p->addr[p->host[hi].addr + i].family == family)
			out[n++] = p->addr[p->host[hi].addr + i];
	return n;
}

unsigned int
policy_needs(const struct policy *p, unsigned int tenant)
{
	const struct blob_tenant	*t;
	unsigned int			 needs = 0;
	uint32_t			 i;

	if (tenant >= p->head->tenants)
		return 0;
	t = &p->tenant[tenant];
	if (t->mode == MODE_AUDIT)
		/* every name resolves, and what would be denied is looked at */
		needs |= NEEDS_RESOLVER | NEEDS_INSPECTOR;
	for (i = t->rule; i < t->rule + t->nrules; i++) {
		const struct blob_rule *r = &p->rule[i];

		if (r->deny != 0) {	/* by name: what is shown is looked at */
			if (r->match.kind == KIND_NAME)
				needs |= NEEDS_INSPECTOR;
			continue;
		}
		if (r->match.kind == KIND_NAME || r->match.kind == KIND_ANY)
			needs |= NEEDS_RESOLVER;
		if (r->verify != VERIFY_NONE)
			needs |= NEEDS_INSPECTOR;
	}
	return needs;
}

const struct policy_resolver *
policy_resolver(const struct policy *p)
{
	return p->resolver;
}
