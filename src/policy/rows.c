/*
 * From a policy and a flow to the row that law.c judges: which rules are about its
 * address, its port and its names.
 *
 * A name of the address is live if no deny by name matches it; an allow by name is
 * about live names only.
 *
 * Trusts: a policy that policy_load() accepted, and that query.bound holds names which
 * this guest was given for this address.
 * Must not: decide. Must not: take a name for an address, or an address for a name.
 */
#include "law.h"

/* ---- denies ------------------------------------------------------------------- */

/* By address it holds if it matches any form; by name it is about what is shown. */
static bool
deny_matches(const struct policy *p, const struct blob_match *m,
    const struct judgement *j)
{
	size_t	i;

	if (j->gateway)
		return m->kind == KIND_ANY || (m->kind == KIND_SERVICE &&
		    m->service == j->service);
	for (i = 0; i < j->forms.n; i++)
		if (match_net(p, m, &j->forms.form[i]))
			return true;
	return false;
}

static void
first(uint32_t *slot, uint32_t rule)
{
	if (*slot == POLICY_NO_RULE)
		*slot = rule;
}

static void
add_deny(const struct policy *p, const struct policy_query *q,
    const struct judgement *j, uint32_t i, struct row *r)
{
	const struct blob_match	*m = &p->rule[i].match;

	if (m->kind != KIND_NAME) {
		if (deny_matches(p, m, j))
			first(&r->deny, i);
		return;
	}
	if (j->gateway)
		return;
	first(&r->watch, i);
	if (q->shown != NULL && q->shown->what == SHOWN_NAME &&
	    match_names(p, m, &q->shown->name))
		first(&r->shown_deny, i);
}

/* ---- allows ------------------------------------------------------------------- */

/*
 * By address it must match what is dialled, and no form of it may be in its `except`.
 * `any` is what the floor leaves, also where an exception lifted it: what is excepted
 * must be named.
 */
static bool
allow_matches(const struct policy *p, const struct blob_match *m,
    const struct judgement *j)
{
	size_t	i;

	if (j->gateway)
		return m->kind == KIND_SERVICE && m->service == j->service;
	if (m->kind == KIND_ANY && (j->floor != NULL || j->local))
		return false;
	if (!match_net(p, m, &j->forms.form[0]))
		return false;
	for (i = 1; i < j->forms.n; i++)
		if (match_sets(p, m->xref, m->nxrefs, &j->forms.form[i]))
			return false;
	return true;
}

/* Denies by name that have the port: most policies have none, so all names live. */
static bool
is_live(const struct policy *p, const struct policy_query *q, bool all,
    const struct name *n, struct row *r)
{
	uint32_t	by = r->watch == POLICY_NO_RULE ? POLICY_NO_RULE :
			    names_denied(p, q, n, all);

	if (by < r->barred)
		r->barred = by;
	return by == POLICY_NO_RULE;
}

struct live {
	const struct policy		*policy;
	const struct policy_query	*query;
	bool				 all;
	struct row			*row;
};

static bool
is_good(void *arg, const struct name *n)
{
	struct live	*l = arg;

	return is_live(l->policy, l->query, l->all, n, l->row);
}

static bool
has_live_name(const struct policy *p, const struct policy_query *q, bool all,
    const struct blob_match *m, struct row *r)
{
	struct live	l = { p, q, all, r };

	return names_some(p, q, m, is_good, &l);
}

/* The name that is shown, in the way that the rule asks for. */
static bool
is_proved(const struct policy *p, const struct policy_query *q, bool all,
    const struct blob_rule *rule, struct row *r)
{
	const struct policy_shown	*s = q->shown;

	return s != NULL && s->what == SHOWN_NAME &&
	    s->kind == (match_verify(rule, q->dst.port) == VERIFY_SNI ?
	    PEEK_TLS : PEEK_HTTP) &&
	    (!s->ech || rule->ech != 0) && names_bound(q, &s->name) != NULL &&
	    match_names(p, &rule->match, &s->name) &&
	    is_live(p, q, all, &s->name, r);
}

static void
add_allow(const struct policy *p, const struct policy_query *q,
    const struct judgement *j, bool all, uint32_t i, struct row *r)
{
	const struct blob_rule	*rule = &p->rule[i];
	enum verify		 verify = match_verify(rule, q->dst.port);
	bool			 expired = match_expired(rule, q->now);

	if (rule->match.kind != KIND_NAME) {
		if (allow_matches(p, &rule->match, j))
			first(expired ? &r->expired : &r->plain, i);
		return;
	}
	if (j->gateway || !has_live_name(p, q, all, &rule->match, r))
		return;
	if (verify == VERIFY_NONE || q->proto != PROTO_TCP) {
		first(expired ? &r->expired : &r->plain, i);
		return;
	}
	if (expired) {		/* looked at if others are, too */
		if (q->shown == NULL || is_proved(p, q, all, rule, r))
			first(&r->expired, i);
		return;
	}
	first(&r->proving, i);
	*(verify == VERIFY_SNI ? &r->proving_sni : &r->proving_host) = true;
	r->ech_stops |= verify == VERIFY_SNI && rule->ech == 0;
	if (r->proved == POLICY_NO_RULE && is_proved(p, q, all, rule, r))
		r->proved = i;
}

/* The denies first: they say which names are live. */
void
row_fill(const struct policy *p, const struct policy_query *q,
    const struct judgement *j, bool all, struct row *r)
{
	const struct blob_tenant	*t = &p->tenant[q->tenant];
	uint32_t			 i, end = t->rule + t->nrules;

	*r = (struct row){ .deny = POLICY_NO_RULE, .watch = POLICY_NO_RULE,
	    .shown_deny = POLICY_NO_RULE, .barred = POLICY_NO_RULE,
	    .plain = POLICY_NO_RULE, .proving = POLICY_NO_RULE,
	    .proved = POLICY_NO_RULE, .expired = POLICY_NO_RULE };
	for (i = t->rule; i < end; i++)
		if (p->rule[i].deny != 0 &&
		    (all || !match_audited(t, &p->rule[i])) &&
		    match_ports(p, &p->rule[i].match, q->proto, q->dst.port))
			add_deny(p, q, j, i, r);
	for (i = t->rule; i < end; i++)
		if (p->rule[i].deny == 0 &&
		    match_ports(p, &p->rule[i].match, q->proto, q->dst.port))
			add_allow(p, q, j, all, i, r);
}
