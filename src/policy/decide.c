/*
 * policy_decide(): the floor, then law.c with what the rules say. A pure function of
 * the policy and the query; nothing in it allocates, asks or remembers.
 *
 * Trusts: a policy that policy_load() accepted.
 * Must not: trust the query. The destination is what a guest wrote.
 */
#include <string.h>

#include "index.h"

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

struct lift {
	const struct policy		*policy;
	const struct policy_query	*query;	/* NULL: no port is known yet */
	const struct blob_except	*except;	/* the tenant's first */
	const struct endpoint		*form;
	bool				 own;
};

static bool
has_port(const struct lift *l, const struct blob_except *x)
{
	return l->query == NULL || match_ports(l->policy, &x->match,
	    l->query->proto, l->query->dst.port);
}

static bool
lifts_form(const void *arg, uint32_t item)
{
	const struct lift		*l = arg;
	const struct blob_except	*x = &l->except[item];

	return has_port(l, x) && lifts(l->policy, x, l->form, l->own);
}

static bool
lifts_port(const void *arg, uint32_t item)
{
	const struct lift		*l = arg;
	const struct blob_except	*x = &l->except[item];

	return x->ports != 0 && has_port(l, x) &&
	    match_net(l->policy, &x->match, l->form);
}

static uint32_t
first_except(const struct policy *p, unsigned int tenant,
    const struct lift *l, item_test *passes)
{
	const struct blob_tenant	*t = &p->tenant[tenant];
	struct spot			 s;
	uint32_t			 item;

	if (t->nexcepts == 0)
		return BLOB_NONE;
	cover_find(&index_of(p, tenant)->excepts, l->form, &s);
	if (l->query != NULL) {
		s.proto = l->query->proto;
		s.port = l->query->dst.port;
	}
	item = cover_first(&s, CLASS_DENY, POLICY_NO_RULE, passes, l);
	return item == POLICY_NO_RULE ? BLOB_NONE : t->except + item;
}

/* The tenant's exception that lifts the address floor for one form. */
static uint32_t
find_except(const struct policy *p, const struct policy_query *q,
    const struct endpoint *form, bool own)
{
	const struct lift	l = { p, q, p->except +
				    p->tenant[q->tenant].except, form, own };

	return first_except(p, q->tenant, &l, lifts_form);
}

/* The same for an address that is an answer: no port is known yet. */
static bool
excepted(const struct policy *p, unsigned int tenant,
    const struct endpoint *form, bool own)
{
	const struct lift	l = { p, NULL, p->except +
				    p->tenant[tenant].except, form, own };

	return first_except(p, tenant, &l, lifts_form) != BLOB_NONE;
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
		if ((hit != NULL && hit->never) ||
		    !excepted(p, tenant, &f.form[i], is_own(own, i)))
			return false;
	}
	return true;
}

/* The one that lifts the port floor: it must have named the port. */
static uint32_t
find_except_port(const struct policy *p, const struct policy_query *q,
    const struct forms *f)
{
	const struct lift	l = { p, q, p->except +
				    p->tenant[q->tenant].except, &f->form[0],
				    false };

	return first_except(p, q->tenant, &l, lifts_port);
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

/* Why no line of the law lets it through, and which rule is to blame. */
static void
refuse(const struct policy *p, const struct policy_query *q,
    const struct judgement *j, const struct row *r, struct verdict *v)
{
	v->kind = VERDICT_DENY;
	v->reason = law_reason(r, q->shown, &v->rule);
	if (v->reason != REASON_NONE)
		return;
	v->rule = r->barred;
	v->reason = j->gateway ? REASON_DEFAULT_DENY :
	    r->barred != POLICY_NO_RULE ? REASON_NAME_NOT_ALLOWED :
	    names_reason(p, q);
}

static bool
holds(const struct row *r, const struct policy_query *q, bool lenient)
{
	return q->shown != NULL ? law_allows(r, q->shown->what, lenient) :
	    law_may_allow(r, lenient);
}

/*
 * What is only recorded is looked at, too: where the verdict would depend on it if
 * all rules were in force, and in audit mode wherever it may tell the name.
 */
static void
ask_for_bytes(const struct policy_query *q, struct judgement *j)
{
	struct verdict	*v = &j->verdict;

	if (q->shown != NULL || q->proto != PROTO_TCP || j->gateway)
		return;
	v->peek = law_peek(&j->row, j->lenient);
	if (v->peek == PEEK_NONE && (law_peek(&j->all, false) != PEEK_NONE ||
	    (j->lenient && q->nbound > 0))) {
		v->peek = PEEK_LOOK;
		v->recorded = true;
	}
}

static bool
some_are_audited(const struct index *x)
{
	return x->count[CLASS_DENY_AUDITED] > 0 ||
	    x->count[CLASS_WATCH_AUDITED] > 0;
}

/* By the rules that are in force, and by all of them for what is recorded. */
static void
apply_law(const struct policy *p, const struct policy_query *q,
    struct judgement *j)
{
	const struct blob_tenant	*t = &p->tenant[q->tenant];
	struct verdict			*v = &j->verdict;

	j->lenient = t->mode == MODE_AUDIT && !j->gateway;
	row_fill(p, q, j, false, &j->row);
	j->all = j->row;
	if (some_are_audited(index_of(p, q->tenant)))
		row_fill(p, q, j, true, &j->all);
	if (!holds(&j->row, q, j->lenient)) {
		refuse(p, q, j, &j->row, v);
		return;
	}
	if (holds(&j->all, q, false)) {
		v->kind = VERDICT_ALLOW;
		v->reason = REASON_NONE;
		v->rule = law_label(&j->all, q->shown);
	} else {
		refuse(p, q, j, &j->all, v);
		v->kind = VERDICT_AUDIT_DENY;
	}
	ask_for_bytes(q, j);
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
	apply_law(p, q, j);
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
	j->row.deny = j->row.watch = j->row.shown_deny = j->row.barred =
	    j->row.plain = j->row.proving = j->row.proved =
	    j->row.expired = POLICY_NO_RULE;
	j->all = j->row;
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
	if ((j->row.floored = floor_holds(p, q, j)))
		return;
	apply_law(p, q, j);
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
