/*
 * The law by a plain walk: each rule is looked at, in the order of the file, as it is
 * written. It is slow, and there is nothing in it that could be wrong without being
 * seen.
 *
 * Trusts: match.c, for one rule and one address or name.
 * Must not: use an index.
 */
#include <string.h>

#include "plain.h"

static bool
has_port(const struct policy *p, const struct blob_match *m, uint32_t proto,
    uint16_t port)
{
	uint32_t	i;

	for (i = m->range; i < m->range + m->nranges; i++)
		if (p->range[i].proto == proto && p->range[i].lo <= port &&
		    port <= p->range[i].hi)
			return true;
	return proto == PROTO_ECHO && m->echo != 0;
}

static bool
of_query(const struct policy *p, const struct blob_match *m,
    const struct policy_query *q)
{
	return has_port(p, m, q->proto, q->dst.port);
}

static void
first(uint32_t *slot, uint32_t rule)
{
	if (*slot == POLICY_NO_RULE)
		*slot = rule;
}

/* ---- denies -------------------------------------------------------------------- */

static bool
in_force(const struct policy *p, const struct policy_query *q, bool all,
    const struct blob_rule *r)
{
	return all || !match_audited(&p->tenant[q->tenant], r);
}

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

static uint32_t
denied_by(const struct policy *p, const struct policy_query *q, bool all,
    const struct name *n)
{
	const struct blob_tenant	*t = &p->tenant[q->tenant];
	uint32_t			 i;

	for (i = t->rule; i < t->rule + t->nrules; i++) {
		const struct blob_rule	*r = &p->rule[i];

		if (r->deny != 0 && r->match.kind == KIND_NAME &&
		    in_force(p, q, all, r) && of_query(p, &r->match, q) &&
		    match_names(p, &r->match, n))
			return i;
	}
	return POLICY_NO_RULE;
}

/* ---- allows --------------------------------------------------------------------- */

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

/* Of the names of the address; those that a deny matches are no longer there. */
static bool
has_live_name(const struct policy *p, const struct policy_query *q, bool all,
    const struct blob_match *m)
{
	size_t	k;

	for (k = 0; k < q->nbound; k++)
		if (match_names(p, m, q->bound[k]) &&
		    denied_by(p, q, all, q->bound[k]) == POLICY_NO_RULE)
			return true;
	return false;
}

/* The first deny of a name that an allow matches, ended or not, if none lives. */
static uint32_t
barred_by(const struct policy *p, const struct policy_query *q, bool all)
{
	const struct blob_tenant	*t = &p->tenant[q->tenant];
	uint32_t			 i, by, first_by = POLICY_NO_RULE;
	size_t				 k;

	for (i = t->rule; i < t->rule + t->nrules; i++) {
		const struct blob_rule	*r = &p->rule[i];

		if (r->deny != 0 || r->match.kind != KIND_NAME ||
		    !of_query(p, &r->match, q))
			continue;
		for (k = 0; k < q->nbound; k++) {
			if (!match_names(p, &r->match, q->bound[k]))
				continue;
			by = denied_by(p, q, all, q->bound[k]);
			if (by == POLICY_NO_RULE)
				return by;
			first_by = by < first_by ? by : first_by;
		}
	}
	return first_by;
}

static bool
is_proved(const struct policy *p, const struct policy_query *q, bool all,
    const struct blob_rule *rule)
{
	const struct policy_shown	*s = q->shown;
	size_t				 k;

	if (s == NULL || s->what != SHOWN_NAME ||
	    s->kind != (match_verify(rule, q->dst.port) == VERIFY_SNI ?
	    PEEK_TLS : PEEK_HTTP) || (s->ech && rule->ech == 0) ||
	    !match_names(p, &rule->match, &s->name) ||
	    denied_by(p, q, all, &s->name) != POLICY_NO_RULE)
		return false;
	for (k = 0; k < q->nbound; k++)
		if (name_equal(q->bound[k], &s->name))
			return true;
	return false;
}

static void
add_allow(const struct policy *p, const struct policy_query *q,
    const struct judgement *j, bool all, uint32_t i, struct row *r)
{
	const struct blob_rule	*rule = &p->rule[i];
	enum verify		 verify = match_verify(rule, q->dst.port);
	bool			 ended = match_expired(rule, q->now);

	if (rule->match.kind != KIND_NAME) {
		if (allow_matches(p, &rule->match, j))
			first(ended ? &r->expired : &r->plain, i);
		return;
	}
	if (j->gateway || !has_live_name(p, q, all, &rule->match))
		return;
	if (verify == VERIFY_NONE || q->proto != PROTO_TCP) {
		first(ended ? &r->expired : &r->plain, i);
		return;
	}
	if (ended) {		/* looked at if others are, too */
		if (q->shown == NULL || is_proved(p, q, all, rule))
			first(&r->expired, i);
		return;
	}
	first(&r->proving, i);
	*(verify == VERIFY_SNI ? &r->proving_sni : &r->proving_host) = true;
	r->ech_stops |= verify == VERIFY_SNI && rule->ech == 0;
	if (is_proved(p, q, all, rule))
		first(&r->proved, i);
}

void
plain_row(const struct policy *p, const struct policy_query *q,
    const struct judgement *j, bool all, struct row *r)
{
	const struct blob_tenant	*t = &p->tenant[q->tenant];
	uint32_t			 i;

	*r = (struct row){ .deny = POLICY_NO_RULE, .watch = POLICY_NO_RULE,
	    .shown_deny = POLICY_NO_RULE, .barred = POLICY_NO_RULE,
	    .plain = POLICY_NO_RULE, .proving = POLICY_NO_RULE,
	    .proved = POLICY_NO_RULE, .expired = POLICY_NO_RULE };
	if (!j->gateway)
		r->barred = barred_by(p, q, all);
	for (i = t->rule; i < t->rule + t->nrules; i++) {
		if (!of_query(p, &p->rule[i].match, q))
			continue;
		if (p->rule[i].deny == 0)
			add_allow(p, q, j, all, i, r);
		else if (in_force(p, q, all, &p->rule[i]))
			add_deny(p, q, j, i, r);
	}
}

/* ---- exceptions ------------------------------------------------------------------- */

static bool
lifts(const struct policy *p, const struct blob_except *x,
    const struct endpoint *form, bool own)
{
	if (own && x->own == 0)
		return match_address(p, &x->match, form);
	return x->match.kind == KIND_NET && match_net(p, &x->match, form);
}

uint32_t
plain_except(const struct policy *p, const struct policy_query *q,
    const struct endpoint *form, bool own)
{
	const struct blob_tenant	*t = &p->tenant[q->tenant];
	uint32_t			 i;

	for (i = t->except; i < t->except + t->nexcepts; i++)
		if (lifts(p, &p->except[i], form, own) &&
		    (q->proto == PROTO_NONE ||
		    of_query(p, &p->except[i].match, q)))
			return i;
	return BLOB_NONE;
}

uint32_t
plain_except_port(const struct policy *p, const struct policy_query *q,
    const struct endpoint *form)
{
	const struct blob_tenant	*t = &p->tenant[q->tenant];
	uint32_t			 i;

	for (i = t->except; i < t->except + t->nexcepts; i++)
		if (p->except[i].ports != 0 &&
		    match_net(p, &p->except[i].match, form) &&
		    of_query(p, &p->except[i].match, q))
			return i;
	return BLOB_NONE;
}

bool
plain_reaches(const struct policy *p, unsigned int tenant,
    const struct endpoint *e, uint32_t own)
{
	const struct policy_query	 q = { .tenant = tenant };
	const struct floor_entry	*hit;
	struct forms			 f;
	size_t				 i;
	bool				 mine;

	floor_forms(e, &f);
	for (i = 0; i < f.n; i++) {
		hit = floor_find(&f.form[i]);
		mine = (own >> i & 1) != 0;
		if (hit == NULL && !mine)
			continue;
		if ((hit != NULL && hit->never) || plain_except(p, &q,
		    &f.form[i], mine) == BLOB_NONE)
			return false;
	}
	return true;
}

/* ---- names ------------------------------------------------------------------------- */

static bool
allows_port(const struct policy *p, const struct policy_query *q,
    uint32_t proto, bool bound)
{
	const struct blob_tenant	*t = &p->tenant[q->tenant];
	uint32_t			 i;
	size_t				 k;

	for (i = t->rule; i < t->rule + t->nrules; i++) {
		const struct blob_rule	*r = &p->rule[i];

		if (r->deny != 0 || r->match.kind != KIND_NAME ||
		    match_expired(r, q->now) || !has_port(p, &r->match, proto, q->dst.port))
			continue;
		if (!bound)
			return true;
		for (k = 0; k < q->nbound; k++)
			if (match_names(p, &r->match, q->bound[k]))
				return true;
	}
	return false;
}

/* An allow names its network, for whatever ports. */
static bool
allows_address(const struct policy *p, const struct policy_query *q)
{
	const struct blob_tenant	*t = &p->tenant[q->tenant];
	const struct endpoint		 e = endpoint_canonical(q->dst);
	uint32_t			 i;

	for (i = t->rule; i < t->rule + t->nrules; i++)
		if (p->rule[i].deny == 0 && p->rule[i].match.kind == KIND_NET &&
		    !match_expired(&p->rule[i], q->now) &&
		    match_net(p, &p->rule[i].match, &e))
			return true;
	return false;
}

enum reason
plain_reason(const struct policy *p, const struct policy_query *q)
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

/* A deny without ports: of the name, or of everything there is. */
static bool
stops(const struct policy *p, const struct blob_match *m,
    const struct name *name)
{
	return match_all_ports(p, m) && (match_names(p, m, name) ||
	    (m->kind == KIND_ANY && m->nxrefs == 0));
}

/* The rules that speak first about a name; an exact one before a wildcard. */
struct speakers {
	uint32_t	deny, audited, allow, exact, ended;
};

static struct speakers
find_speakers(const struct policy *p, const struct blob_tenant *t,
    const struct name *name, uint64_t now)
{
	struct speakers	s = { POLICY_NO_RULE, POLICY_NO_RULE,
			    POLICY_NO_RULE, POLICY_NO_RULE, POLICY_NO_RULE };
	uint32_t	i;

	for (i = t->rule; i < t->rule + t->nrules; i++) {
		const struct blob_rule	*r = &p->rule[i];

		if (r->deny != 0) {
			if (stops(p, &r->match, name))
				first(match_audited(t, r) ? &s.audited :
				    &s.deny, i);
			continue;
		}
		if (r->match.kind != KIND_ANY &&
		    !match_names(p, &r->match, name))
			continue;
		first(match_expired(r, now) ? &s.ended : &s.allow, i);
		if (!match_expired(r, now) && match_exactly(p, &r->match, name))
			first(&s.exact, i);
	}
	return s;
}

struct name_verdict
plain_name(const struct policy *p, unsigned int tenant,
    const struct name *name, uint64_t now)
{
	const struct blob_tenant	*t = &p->tenant[tenant];
	struct speakers			 s = find_speakers(p, t, name, now);
	bool				 exact = s.exact != POLICY_NO_RULE;
	uint32_t			 allow = exact ? s.exact : s.allow;
	enum reason			 none = s.ended == POLICY_NO_RULE ?
					    REASON_NAME_NOT_ALLOWED :
					    REASON_RULE_EXPIRED;

	if (s.deny != POLICY_NO_RULE)
		return (struct name_verdict){ VERDICT_DENY, REASON_DENY_RULE,
		    s.deny, !exact };
	if (allow == POLICY_NO_RULE && t->mode != MODE_AUDIT)
		return (struct name_verdict){ VERDICT_DENY, none, s.ended,
		    true };
	if (s.audited != POLICY_NO_RULE)
		return (struct name_verdict){ VERDICT_AUDIT_DENY,
		    REASON_DENY_RULE, s.audited, !exact };
	if (allow == POLICY_NO_RULE)
		return (struct name_verdict){ VERDICT_AUDIT_DENY, none, s.ended,
		    true };
	return (struct name_verdict){ VERDICT_ALLOW, REASON_NONE, allow,
	    !exact };
}
