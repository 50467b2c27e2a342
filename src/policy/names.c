/*
 * Rules by name: why none lets a flow through, and which names may be resolved at all.
 *
 * Trusts: a policy that policy_load() accepted, and that query.bound holds names
 * which this guest was given for this address.
 * Must not: take a name for an address, or an address for a name.
 */
#include "index.h"

/* A question about the rules that have a name. */
struct ask {
	const struct policy	*policy;
	const struct index	*index;
	const struct blob_rule	*rule;		/* the tenant's first */
	const struct name_keys	*keys;
	const struct endpoint	*address;
	uint64_t		 now;
	bool			 ended;		/* allows that are no longer */
	uint32_t		 proto;
	uint16_t		 port;
};

static struct ask
ask_of(const struct policy *p, unsigned int tenant, uint64_t now)
{
	return (struct ask){ .policy = p, .index = index_of(p, tenant),
	    .rule = p->rule + p->tenant[tenant].rule, .now = now };
}

/* An allow has ended, if that is what is asked for, or has not. */
static bool
is_meant(const void *arg, uint32_t item)
{
	const struct ask	*a = arg;

	return match_expired(&a->rule[item], a->now) == a->ended;
}

static bool
allows_name(const void *arg, uint32_t item)
{
	const struct ask	*a = arg;

	return is_meant(a, item) &&
	    match_by_keys(a->policy, &a->rule[item].match, a->keys);
}

/* ---- flows -------------------------------------------------------------------- */

static bool
allows_there(const void *arg, uint32_t item)
{
	const struct ask	*a = arg;

	return match_ports(a->policy, &a->rule[item].match, a->proto, a->port) &&
	    allows_name(a, item);
}

/* The first of all classes by name. */
static uint32_t
first_allow(const struct ask *a, const struct calling *c, item_test *passes)
{
	uint32_t	class, item = POLICY_NO_RULE;

	for (class = CLASS_NAMED; class < CLASSES; class++)
		if (a->index->count[class] > 0)
			item = called_first(c, class, item, passes, a);
	return item;
}

/* An allow by name has this port. */
static bool
allows_port(const struct policy *p, const struct policy_query *q)
{
	const struct ask	a = ask_of(p, q->tenant, q->now);
	uint32_t		class;

	for (class = CLASS_NAMED; class < CLASSES; class++)
		if (a.index->count[class] > 0 && ports_first(
		    &a.index->named.ports, q->proto, q->dst.port, class,
		    POLICY_NO_RULE, is_meant, &a) != POLICY_NO_RULE)
			return true;
	return false;
}

/* One would have it over TCP, for a name of the address. */
static bool
allows_tcp(const struct policy *p, const struct policy_query *q)
{
	struct ask		a = ask_of(p, q->tenant, q->now);
	struct name_keys	k;
	struct calling		c;
	size_t			i;

	a.proto = PROTO_TCP;
	a.port = q->dst.port;
	a.keys = &k;
	for (i = 0; i < q->nbound; i++) {
		name_keys(p, q->bound[i], &k);
		called_find(&a.index->named, k.key, k.n, &c);
		c.proto = a.proto;
		c.port = a.port;
		if (first_allow(&a, &c, allows_there) != POLICY_NO_RULE)
			return true;
	}
	return false;
}

/* Not by `any'. */
static bool
has_address(const void *arg, uint32_t item)
{
	const struct ask	*a = arg;

	return is_meant(a, item) &&
	    match_net(a->policy, &a->rule[item].match, a->address);
}

/* An allow names its network, for whatever ports. */
static bool
allows_address(const struct policy *p, const struct policy_query *q)
{
	const struct endpoint	e = endpoint_canonical(q->dst);
	struct ask		a = ask_of(p, q->tenant, q->now);
	struct spot		s;

	a.address = &e;
	cover_find(&a.index->rules, &e, &s);
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
	if (q->proto == PROTO_UDP && allows_tcp(p, q))
		return REASON_QUIC_UNVERIFIABLE;
	if (!allows_port(p, q))
		return REASON_DEFAULT_DENY;
	if (q->lapsed)
		return REASON_PIN_EXPIRED;
	return q->nbound > 0 || allows_address(p, q) ? REASON_DEFAULT_DENY :
	    REASON_NO_PIN;
}

/* ---- resolution -------------------------------------------------------------------- */

/* A deny without ports. */
static bool
stops(const void *arg, uint32_t item)
{
	const struct ask	*a = arg;
	const struct blob_match	*m = &a->rule[item].match;

	return match_all_ports(a->policy, m) &&
	    match_by_keys(a->policy, m, a->keys);
}

/* The rules that speak first about a name; an exact one before a wildcard. */
struct speakers {
	uint32_t	deny, audited, allow, expired;
	bool		exact;
};

/* By name, or to `any'. */
static uint32_t
find_allow(struct ask *a, const struct calling *c, bool ended)
{
	uint32_t	item;

	a->ended = ended;
	item = first_allow(a, c, allows_name);
	return list_first(&a->index->rules.others, 0, CLASS_ALLOW, item,
	    is_meant, a);
}

static uint32_t
find_stop(const struct ask *a, const struct calling *c, bool audited)
{
	uint32_t	class = audited ? CLASS_WATCH_AUDITED : CLASS_WATCH;

	return a->index->count[class] == 0 ? a->index->stops[audited] :
	    called_first(c, class, a->index->stops[audited], stops, a);
}

static struct speakers
find_speakers(const struct policy *p, unsigned int tenant,
    const struct name *name, uint64_t now)
{
	struct ask		a = ask_of(p, tenant, now);
	struct speakers		s = { .expired = POLICY_NO_RULE };
	struct name_keys	k;
	struct calling		c;

	name_keys(p, name, &k);
	a.keys = &k;
	called_find(&a.index->named, k.key, k.exact, &c);
	s.allow = first_allow(&a, &c, allows_name);
	s.exact = s.allow != POLICY_NO_RULE;
	called_find(&a.index->named, k.key, k.n, &c);
	s.deny = find_stop(&a, &c, false);
	s.audited = find_stop(&a, &c, true);
	if (!s.exact)
		s.allow = find_allow(&a, &c, false);
	if (now >= a.index->ending)
		s.expired = find_allow(&a, &c, true);
	return s;
}

/* Items become rules: those of a policy are counted through all tenants. */
static void
number_rules(const struct blob_tenant *t, struct speakers *s)
{
	uint32_t	*slot[] = { &s->deny, &s->audited, &s->allow,
			    &s->expired };
	size_t		 i;

	for (i = 0; i < sizeof(slot) / sizeof(slot[0]); i++)
		if (*slot[i] != POLICY_NO_RULE)
			*slot[i] += t->rule;
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
	struct speakers		 s;
	struct name_verdict	 v = { VERDICT_DENY, REASON_NAME_INVALID,
				    POLICY_NO_RULE, false };
	const struct blob_tenant *t;

	if (tenant >= p->head->tenants || !name_valid(name))
		return v;
	t = &p->tenant[tenant];
	s = find_speakers(p, tenant, name, now);
	number_rules(t, &s);
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
