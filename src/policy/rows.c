/*
 * From a policy and a flow to the row that law.c judges: which rules are about its
 * address, its port and its names. The index says which can be, of each class the
 * first that is, is what the row wants.
 *
 * A name of the address is live if no deny by name matches it; an allow by name is
 * about live names only.
 *
 * Trusts: a policy that policy_load() accepted, and that query.bound holds names which
 * this guest was given for this address.
 * Must not: decide. Must not: take a name for an address, or an address for a name.
 */
#include "index.h"

/* One question, as it goes through the index. */
struct ask {
	const struct policy		*policy;
	const struct policy_query	*query;
	const struct judgement		*judgement;
	const struct index		*index;
	const struct blob_rule		*rule;	/* the tenant's first */
	const struct endpoint		*form;	/* a deny: the one that it is about */
	bool				 all;
	bool				 ended;	/* allows that are no longer are meant */
	struct row			*row;
};

static void
earliest(uint32_t *slot, uint32_t item)
{
	if (item < *slot)
		*slot = item;
}

/* ---- by address ------------------------------------------------------------------- */

static bool
has_port(const struct ask *a, const struct blob_match *m)
{
	return match_ports(a->policy, m, a->query->proto, a->query->dst.port);
}

static bool
has_ended(const struct ask *a, uint32_t item)
{
	return match_expired(&a->rule[item], a->query->now);
}

static bool
at_gateway(const struct blob_match *m, const struct judgement *j, bool any)
{
	return (any && m->kind == KIND_ANY) ||
	    (m->kind == KIND_SERVICE && m->service == j->service);
}

/* It holds if it matches any form. */
static bool
deny_matches(const void *arg, uint32_t item)
{
	const struct ask	*a = arg;
	const struct blob_match	*m = &a->rule[item].match;

	return has_port(a, m) && (a->form == NULL ?
	    at_gateway(m, a->judgement, true) :
	    match_net(a->policy, m, a->form));
}

/*
 * It must match what is dialled, and no form of it may be in its `except`. `any` is
 * what the floor leaves, also where an exception lifted it: what is excepted must be
 * named.
 */
static bool
allow_matches(const void *arg, uint32_t item)
{
	const struct ask	*a = arg;
	const struct blob_match	*m = &a->rule[item].match;
	const struct judgement	*j = a->judgement;
	size_t			 i;

	if (!has_port(a, m) || has_ended(a, item) != a->ended)
		return false;
	if (j->gateway)
		return at_gateway(m, j, false);
	if (m->kind == KIND_ANY && (j->floor != NULL || j->local))
		return false;
	if (!match_net(a->policy, m, &j->forms.form[0]))
		return false;
	for (i = 1; i < j->forms.n; i++)
		if (match_sets(a->policy, m->xref, m->nxrefs,
		    &j->forms.form[i]))
			return false;
	return true;
}

static void
find_spot(const struct ask *a, size_t form, struct spot *s)
{
	const struct judgement	*j = a->judgement;

	if (j->gateway)
		cover_service(&a->index->rules, j->service, s);
	else
		cover_find(&a->index->rules, &j->forms.form[form], s);
	s->proto = a->query->proto;
	s->port = a->query->dst.port;
}

static bool
some_ended(const struct ask *a)
{
	return a->query->now >= a->index->ending;
}

/* All forms of the address: what is dialled is the first. */
static void
fill_addresses(struct ask *a)
{
	const struct judgement	*j = a->judgement;
	struct row		*r = a->row;
	struct spot		 s;
	size_t			 i, n = j->gateway ? 1 : j->forms.n;

	for (i = n; i-- > 0;) {
		find_spot(a, i, &s);
		a->form = j->gateway ? NULL : &j->forms.form[i];
		r->deny = cover_first(&s, CLASS_DENY, r->deny, deny_matches, a);
		if (a->all)
			r->deny = cover_first(&s, CLASS_DENY_AUDITED, r->deny,
			    deny_matches, a);
	}
	s.any = j->floor == NULL && !j->local;
	r->plain = cover_first(&s, CLASS_ALLOW, r->plain, allow_matches, a);
	if (!some_ended(a))
		return;
	a->ended = true;
	r->expired = cover_first(&s, CLASS_ALLOW, r->expired, allow_matches, a);
	a->ended = false;
}

/* ---- by name ----------------------------------------------------------------------- */

static uint32_t
first_named(const struct ask *a, uint32_t class, item_test *passes)
{
	return ports_first(&a->index->named, a->query->proto,
	    a->query->dst.port, class, POLICY_NO_RULE, passes, a);
}

static bool
always(const void *arg, uint32_t item)
{
	(void)arg;
	(void)item;
	return true;
}

static bool
matches_shown(const void *arg, uint32_t item)
{
	const struct ask	*a = arg;

	return has_ended(a, item) == a->ended && match_names(a->policy, &a->rule[item].match,
	    &a->query->shown->name);
}

static void
fill_watch(struct ask *a, uint32_t class)
{
	const struct policy_shown	*s = a->query->shown;

	earliest(&a->row->watch, first_named(a, class, always));
	if (s != NULL && s->what == SHOWN_NAME)
		earliest(&a->row->shown_deny, first_named(a, class,
		    matches_shown));
}

/* Denies by name that have the port: most policies have none, so all names live. */
static bool
is_live(void *arg, const struct name *n)
{
	const struct ask	*a = arg;
	uint32_t		 by = a->row->watch == POLICY_NO_RULE ?
				    POLICY_NO_RULE : names_denied(a->policy,
				    a->query, n, a->all);

	earliest(&a->row->barred, by);
	return by == POLICY_NO_RULE;
}

static bool
has_live_name(const void *arg, uint32_t item)
{
	struct ask	a = *(const struct ask *)arg;

	return has_ended(&a, item) == a.ended && names_some(a.policy,
	    a.query, &a.rule[item].match, is_live, &a);
}

/* ---- allows by name ------------------------------------------------------------- */

/* What a flow with this port has to show for a rule of this class. */
static enum verify
wanted(const struct ask *a, uint32_t class)
{
	const struct blob_rule	r = { .verify = (class - CLASS_NAMED) %
				    (CLASS_ECH - CLASS_NAMED) };

	return a->query->proto != PROTO_TCP ? VERIFY_NONE :
	    match_verify(&r, a->query->dst.port);
}

/* The name that is shown is one that it may be shown for. */
static bool
shows_live_name(struct ask *a)
{
	const struct policy_shown	*s = a->query->shown;

	return s != NULL && s->what == SHOWN_NAME &&
	    names_bound(a->query, &s->name) != NULL && is_live(a, &s->name);
}

/* In the way that the rules of this class ask for. */
static bool
proves(const struct ask *a, uint32_t class)
{
	const struct policy_shown	*s = a->query->shown;

	return s->kind == (wanted(a, class) == VERIFY_SNI ? PEEK_TLS :
	    PEEK_HTTP) && (!s->ech || class >= CLASS_ECH);
}

/* The same rules, had they not ended; of those that prove, the one that is proved. */
static void
fill_ended(struct ask *a, uint32_t class, bool shown)
{
	uint32_t	rule;

	a->ended = true;
	rule = first_named(a, class, has_live_name);
	if (rule != POLICY_NO_RULE && a->query->shown != NULL &&
	    wanted(a, class) != VERIFY_NONE)
		rule = shown && proves(a, class) ?
		    first_named(a, class, matches_shown) : POLICY_NO_RULE;
	earliest(&a->row->expired, rule);
	a->ended = false;
}

static void
fill_named(struct ask *a, uint32_t class, bool shown)
{
	struct row	*r = a->row;
	enum verify	 verify = wanted(a, class);
	uint32_t	 rule = first_named(a, class, has_live_name);

	if (rule == POLICY_NO_RULE)
		return;
	if (verify == VERIFY_NONE) {
		earliest(&r->plain, rule);
		return;
	}
	earliest(&r->proving, rule);
	*(verify == VERIFY_SNI ? &r->proving_sni : &r->proving_host) = true;
	r->ech_stops |= verify == VERIFY_SNI && class < CLASS_ECH;
	if (shown && proves(a, class))
		earliest(&r->proved, first_named(a, class, matches_shown));
}

static void
fill_names(struct ask *a)
{
	const struct index	*x = a->index;
	uint32_t		 class;
	bool			 shown;

	fill_watch(a, CLASS_WATCH);
	if (a->all)
		fill_watch(a, CLASS_WATCH_AUDITED);
	if (a->query->nbound == 0)
		return;
	shown = shows_live_name(a);
	a->row->barred = POLICY_NO_RULE;	/* an allow was not asked yet */
	for (class = CLASS_NAMED; class < CLASSES; class++)
		if (x->count[class] > 0) {
			fill_named(a, class, shown);
			if (some_ended(a))
				fill_ended(a, class, shown);
		}
}

/* ---- the row ---------------------------------------------------------------------- */

/* Items become rules: those of a policy are counted through all tenants. */
static void
number_rules(const struct blob_tenant *t, struct row *r)
{
	uint32_t	*slot[] = { &r->deny, &r->watch, &r->shown_deny,
			    &r->plain, &r->proving, &r->proved, &r->expired };
	size_t		 i;

	for (i = 0; i < sizeof(slot) / sizeof(slot[0]); i++)
		if (*slot[i] != POLICY_NO_RULE)
			*slot[i] += t->rule;
}

/* The denies first: they say which names are live. */
void
row_fill(const struct policy *p, const struct policy_query *q,
    const struct judgement *j, bool all, struct row *r)
{
	const struct blob_tenant	*t = &p->tenant[q->tenant];
	struct ask			 a = { p, q, j, index_of(p, q->tenant),
					    p->rule + t->rule, NULL, all, false, r };

	*r = (struct row){ .deny = POLICY_NO_RULE, .watch = POLICY_NO_RULE,
	    .shown_deny = POLICY_NO_RULE, .barred = POLICY_NO_RULE,
	    .plain = POLICY_NO_RULE, .proving = POLICY_NO_RULE,
	    .proved = POLICY_NO_RULE, .expired = POLICY_NO_RULE };
	fill_addresses(&a);
	if (!j->gateway)
		fill_names(&a);
	number_rules(t, r);
}
