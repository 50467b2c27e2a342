/*
 * policy_decide(): floor -> deny -> allow -> default deny. A pure function of
 * the policy and the query; nothing in it allocates, asks or remembers.
 *
 * Trusts: a policy that policy_load() accepted.
 * Must not: trust the query. The destination is what a guest wrote.
 */
#include <string.h>

#include "law.h"

/* ---- the floor ------------------------------------------------------------ */

static bool
is_own(uint32_t own, size_t form)
{
	return (own >> form & 1) != 0;
}

/*
 * A network that is excepted is other hosts' as far as it goes. What in it is this
 * host's own is only meant where it is named by itself, or by `own-addresses'.
 */
static bool
lifts(const struct policy *p, const struct blob_except *x,
    const struct endpoint *form, bool own)
{
	if (own && x->own == 0)
		return match_address(p, &x->match, form);
	return x->match.kind == KIND_NET && match_net(p, &x->match, form);
}

/* The tenant's exception that lifts the address floor for one form. */
static uint32_t
find_except(const struct policy *p, const struct policy_query *q,
    const struct endpoint *form, bool own)
{
	const struct blob_tenant	*t = &p->tenant[q->tenant];
	uint32_t			 i;

	for (i = t->except; i < t->except + t->nexcepts; i++)
		if (lifts(p, &p->except[i], form, own) &&
		    match_ports(p, &p->except[i].match, q->proto, q->dst.port))
			return i;
	return BLOB_NONE;
}

/* The same for an address that is an answer: no port is known yet. */
static bool
excepted(const struct policy *p, const struct blob_tenant *t,
    const struct endpoint *form, bool own)
{
	uint32_t	i;

	for (i = t->except; i < t->except + t->nexcepts; i++)
		if (lifts(p, &p->except[i], form, own))
			return true;
	return false;
}

bool
policy_reaches(const struct policy *p, unsigned int tenant,
    const struct endpoint *e, uint32_t own)
{
	const struct floor_entry	*hit;
	struct forms			 f;
	size_t				 i;

	if (tenant >= p->head->tenants || !endpoint_valid(e))
		return false;
	floor_forms(e, &f);
	for (i = 0; i < f.n; i++) {
		hit = floor_find(&f.form[i]);
		if (hit == NULL && !is_own(own, i))
			continue;
		if ((hit != NULL && hit->never) || !excepted(p,
		    &p->tenant[tenant], &f.form[i], is_own(own, i)))
			return false;
	}
	return true;
}

/* The one that lifts the port floor: it must have named the port. */
static uint32_t
find_except_port(const struct policy *p, const struct policy_query *q,
    const struct forms *f)
{
	const struct blob_tenant	*t = &p->tenant[q->tenant];
	uint32_t			 i;

	for (i = t->except; i < t->except + t->nexcepts; i++) {
		const struct blob_except *x = &p->except[i];

		if (x->ports != 0 && match_net(p, &x->match, &f->form[0]) &&
		    match_ports(p, &x->match, q->proto, q->dst.port))
			return i;
	}
	return BLOB_NONE;
}

static void
deny(struct judgement *j, enum reason reason)
{
	j->verdict.kind = VERDICT_DENY;
	j->verdict.reason = reason;
}

/*
 * Each form must be clear or excepted by itself: an exception for the outside of
 * an address says nothing about the inside. True = the floor holds.
 */
static bool
floor_form(const struct policy *p, const struct policy_query *q,
    struct judgement *j, size_t i)
{
	const struct endpoint		*form = &j->forms.form[i];
	const struct floor_entry	*e = floor_find(form);
	bool				 local = is_own(q->own, i);
	uint32_t			 by;

	if (e == NULL && !local)
		return false;
	j->floor = e;
	j->form = i;
	j->local = local;
	by = e != NULL && e->never ? BLOB_NONE : find_except(p, q, form, local);
	if (by != BLOB_NONE) {
		j->lifted = by;
		return false;
	}
	j->lifted = BLOB_NONE;
	deny(j, e != NULL && e->never ? e->reason : local ? REASON_FLOOR_LOCAL :
	    e->reason);
	return true;
}

static bool
floor_holds(const struct policy *p, const struct policy_query *q,
    struct judgement *j)
{
	const struct floor_entry	*e, *worst = NULL;
	size_t				 i, at = 0;

	/* what never yields speaks first, in whatever form it hides */
	for (i = 0; i < j->forms.n; i++) {
		e = floor_find(&j->forms.form[i]);
		if (e != NULL && e->never && (worst == NULL || e < worst)) {
			worst = e;
			at = i;
		}
	}
	if (worst != NULL)
		return floor_form(p, q, j, at);
	for (i = 0; i < j->forms.n; i++)
		if (floor_form(p, q, j, i))
			return true;
	if (q->proto == PROTO_ECHO)
		return false;
	j->port = floor_find_port(q->proto, q->dst.port);
	if (j->port != NULL)
		j->lifted_port = find_except_port(p, q, &j->forms);
	if ((j->port != NULL && j->lifted_port == BLOB_NONE) ||
	    q->dst.port == 0) {
		deny(j, REASON_FLOOR_PORT);
		return true;
	}
	return false;
}

/* ---- the rules -------------------------------------------------------------- */

/*
 * A deny holds if it matches the address in any form. A deny by name holds if the
 * flight shows the name; it does not claim to stop an address.
 */
static bool
deny_matches(const struct policy *p, const struct policy_query *q,
    const struct blob_match *m, const struct judgement *j)
{
	size_t	i;

	if (j->gateway)
		return m->kind == KIND_ANY || (m->kind == KIND_SERVICE &&
		    m->service == j->service);
	if (m->kind == KIND_NAME)
		return q->shown != NULL && q->shown->named &&
		    match_names(p, m, &q->shown->name);
	for (i = 0; i < j->forms.n; i++)
		if (match_net(p, m, &j->forms.form[i]))
			return true;
	return false;
}

/*
 * An allow must match the address that is dialled, and no form of it may be in
 * its `except`. `any` is what the floor leaves, also where an exception lifted
 * it: what is excepted must be named.
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

static bool
rule_matches(const struct policy *p, const struct policy_query *q, uint32_t i,
    struct judgement *j)
{
	const struct blob_match	*m = &p->rule[i].match;

	if (!match_ports(p, m, q->proto, q->dst.port))
		return false;
	if (p->rule[i].deny != 0)
		return deny_matches(p, q, m, j);
	if (m->kind != KIND_NAME)
		return allow_matches(p, m, j);
	if (j->gateway)
		return false;
	j->verdict.name = names_match(p, q, i, j);
	return j->verdict.name != -1;
}

/* The first deny in force, the first that is only audited, the first allow. */
static void
match_rules(const struct policy *p, const struct policy_query *q,
    struct judgement *j)
{
	const struct blob_tenant	*t = &p->tenant[q->tenant];
	uint32_t			 i;

	for (i = t->rule; i < t->rule + t->nrules; i++) {
		const struct blob_rule	*r = &p->rule[i];
		uint32_t		*slot = r->deny == 0 ? &j->allow :
					    match_audited(t, r) ? &j->audited :
					    &j->deny;

		if (*slot == POLICY_NO_RULE && rule_matches(p, q, i, j))
			*slot = i;
	}
	if (j->verdict.name != -1 && j->audited == POLICY_NO_RULE)
		j->audited = names_denied(p, q, q->bound[j->verdict.name],
		    true);
}

/* How far the name of an allow holds, and what is still to be seen for it. */
static void
assure(const struct policy *p, const struct policy_query *q,
    struct verdict *v, uint32_t allow)
{
	const struct blob_rule	*r = &p->rule[allow];

	if (r->match.kind != KIND_NAME)
		return;
	v->assurance = ASSURANCE_DNS;
	if (r->verify == VERIFY_NONE || q->proto != PROTO_TCP)
		return;
	if (q->shown == NULL)
		v->peek = r->verify;
	else if (r->verify == VERIFY_HOST)
		v->assurance = ASSURANCE_HOST;
	else if (!q->shown->ech)	/* else the outer name may not be the one */
		v->assurance = ASSURANCE_SNI;
}

/*
 * What audit mode makes of a flight that is still to be seen. What only this mode
 * lets through is looked at for its name, if it may be one that the guest asked for.
 */
static void
be_lenient(const struct policy *p, const struct policy_query *q,
    struct verdict *v)
{
	if (q->shown != NULL || q->proto != PROTO_TCP ||
	    (v->peek == VERIFY_NONE && (v->kind != VERDICT_AUDIT_DENY ||
	    q->nbound == 0)))
		return;
	v->ahead = !names_stoppable(p, q);
	if (v->peek == VERIFY_NONE && v->ahead)
		v->peek = VERIFY_LOOK;
	v->lenient = v->peek != VERIFY_NONE;
}

static void
conclude(const struct policy *p, const struct policy_query *q,
    struct judgement *j)
{
	struct verdict	*v = &j->verdict;
	bool		 audit = p->tenant[q->tenant].mode == MODE_AUDIT &&
			    !j->gateway;

	if (j->deny != POLICY_NO_RULE) {
		deny(j, REASON_DENY_RULE);
		v->rule = j->deny;
		return;
	}
	if (j->allow == POLICY_NO_RULE) {
		deny(j, names_reason(p, q, j));
		if (!audit)
			return;
		v->kind = VERDICT_AUDIT_DENY;
	} else {
		v->kind = VERDICT_ALLOW;
		v->reason = REASON_NONE;
		v->rule = j->allow;
		assure(p, q, v, j->allow);
	}
	if (j->audited != POLICY_NO_RULE) {
		v->kind = VERDICT_AUDIT_DENY;
		v->reason = REASON_DENY_RULE;
		v->rule = j->audited;
	}
	if (audit)
		be_lenient(p, q, v);
}

/* ---- the gateway: a host-service or nothing ------------------------------- */

static uint32_t
find_service(const struct policy *p, const struct policy_query *q)
{
	uint32_t	i;

	for (i = 0; i < p->head->services; i++)
		if (p->service[i].proto == q->proto &&
		    p->service[i].addr.port == q->dst.port)
			return i;
	return BLOB_NONE;
}

static void
judge_gateway(const struct policy *p, const struct policy_query *q,
    struct judgement *j)
{
	if ((j->service = find_service(p, q)) == BLOB_NONE) {
		deny(j, REASON_FLOOR_LOCAL);
		return;
	}
	match_rules(p, q, j);
	conclude(p, q, j);
	j->verdict.dial = p->service[j->service].addr;
	j->verdict.local_ok = UINT32_MAX;
}

static bool
is_gateway(const struct policy_query *q, const struct endpoint *e)
{
	return (q->gateway4.family == ADDR_V4 && addr_equal(e, &q->gateway4)) ||
	    (q->gateway6.family == ADDR_V6 && addr_equal(e, &q->gateway6));
}

static bool
well_formed(const struct policy *p, const struct policy_query *q)
{
	return q->tenant < p->head->tenants && endpoint_valid(&q->dst) &&
	    (q->proto == PROTO_TCP || q->proto == PROTO_UDP ||
	    q->proto == PROTO_ECHO);
}

void
law_judge(const struct policy *p, const struct policy_query *q,
    struct judgement *j)
{
	size_t	i;

	memset(j, 0, sizeof(*j));
	j->service = j->lifted = j->lifted_port = BLOB_NONE;
	j->deny = j->audited = j->allow = j->barred = POLICY_NO_RULE;
	j->verdict.name = -1;
	j->verdict.rule = POLICY_NO_RULE;
	deny(j, REASON_FLOOR_SPECIAL);
	if (!well_formed(p, q))
		return;
	floor_forms(&q->dst, &j->forms);
	j->verdict.dial = j->forms.form[0];
	if (q->proto == PROTO_ECHO)
		j->verdict.dial.port = 0;
	if ((j->gateway = is_gateway(q, &j->forms.form[0]))) {
		judge_gateway(p, q, j);
		return;
	}
	if (floor_holds(p, q, j))
		return;
	match_rules(p, q, j);
	conclude(p, q, j);
	for (i = 0; i < j->forms.n; i++)
		if (find_except(p, q, &j->forms.form[i], true) != BLOB_NONE)
			j->verdict.local_ok |= UINT32_C(1) << i;
}

struct verdict
policy_decide(const struct policy *p, const struct policy_query *q)
{
	struct judgement	j;

	law_judge(p, q, &j);
	return j.verdict;
}
