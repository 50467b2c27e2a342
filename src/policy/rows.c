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
#include "rows.h"

/* ---- by address ------------------------------------------------------------------- */

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

	return row_port(a, m) && (a->form == NULL ?
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

	if (!row_port(a, m) || row_ended(a, item) != a->ended)
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
	if (!row_some_ended(a))
		return;
	a->ended = true;
	r->expired = cover_first(&s, CLASS_ALLOW, r->expired, allow_matches, a);
	a->ended = false;
}

/* ---- the row ---------------------------------------------------------------------- */

/* Items become rules: those of a policy are counted through all tenants. */
static void
number_rules(const struct blob_tenant *t, struct row *r)
{
	uint32_t	*slot[] = { &r->deny, &r->watch, &r->shown_deny,
			    &r->plain, &r->proving, &r->proved, &r->expired,
			    &r->barred };
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
					    p->rule + t->rule, NULL, NULL, all, false, r };

	*r = (struct row){ .deny = POLICY_NO_RULE, .watch = POLICY_NO_RULE,
	    .shown_deny = POLICY_NO_RULE, .barred = POLICY_NO_RULE,
	    .plain = POLICY_NO_RULE, .proving = POLICY_NO_RULE,
	    .proved = POLICY_NO_RULE, .expired = POLICY_NO_RULE };
	fill_addresses(&a);
	if (!j->gateway)
		row_names(&a);
	number_rules(t, r);
}
