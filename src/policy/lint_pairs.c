/*
 * What two rules of one tenant are to each other: one that takes the other's proof
 * away, one that makes the other dead, one that says the same again, and a deny that
 * leaves open what its writer may think it closes.
 *
 * Trusts: a settled model.
 * Must not: warn of what a rule's order would explain: order explains nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "lint.h"

static bool
is_in_force(const struct lint *l, const struct rule *r)
{
	return r->deny && (r->mode == MODE_INHERIT ? l->t->mode : r->mode) !=
	    MODE_AUDIT;
}

static bool
subtracts(const struct dest *d)
{
	return d->out.net.n + d->out.table.n + d->xnames.list.n +
	    d->xnames.set.n > 0;
}

/* ---- which rules are compared --------------------------------------------------- */

/* It denies all that an allow of the same entry lets through. */
static bool
kills(const struct lint *l, const struct rule *o, const struct rule *r)
{
	return is_in_force(l, o) && !subtracts(&o->dest) &&
	    services_hold(&o->services, &r->services);
}

/* It asks for no proof where the other does. */
static bool
unproves(const struct lint *l, const struct rule *o, const struct rule *r)
{
	(void)l;
	return !o->deny && o->dest.kind == KIND_NAME &&
	    o->verify == VERIFY_NONE && !subtracts(&o->dest) &&
	    share_ports(&o->services, &r->services, PROTO_TCP);
}

/* All of it is said there: of two that say the same, the first says it. */
static bool
repeats(const struct lint *l, const struct rule *o, const struct rule *r)
{
	(void)l;
	return o != r && o->deny == r->deny && o->dest.kind == r->dest.kind &&
	    o->verify == r->verify && o->ech == r->ech && o->mode == r->mode &&
	    o->until == r->until && !subtracts(&o->dest) &&
	    services_hold(&o->services, &r->services) &&
	    (o < r || !services_hold(&r->services, &o->services));
}

static bool
denies_more(const struct lint *l, const struct rule *o, const struct rule *r)
{
	(void)l;
	return o->deny && services_hold(&o->services, &r->services);
}

static bool
lets_through(const struct lint *l, const struct rule *o, const struct rule *r)
{
	(void)l;
	return !o->deny && (r->services.written ?
	    share_services(&o->services, &r->services) : true);
}

/* ---- what needs no entries: any, and whole rules ------------------------------------- */

/* What is about any of the tenant, for the few rules that are. */
static const struct rule *
find_any(struct lint *l, const struct rule *r, lint_pred *good)
{
	size_t	i;

	for (i = 0; i < l->nany && lint_goes_on(l); i++) {
		const struct rule *o = &l->t->rule.v[l->any[i]];

		if (o != r && good(l, o, r))
			return o;
	}
	return NULL;
}

/* An allow to any takes every proof away; not what it leaves to others by except. */
static bool
opens(const struct lint *l, const struct rule *o, const struct rule *r)
{
	(void)l;
	return !o->deny && share_ports(&o->services, &r->services, PROTO_TCP);
}

/* ---- entries of one rule ---------------------------------------------------------------- */

static void
check_name(struct lint *l, const struct rule *r, const struct pattern *n)
{
	const struct rule	*o;
	char			 buf[PATTERN_STRLEN], here[PLACE_STRLEN],
				 there[PLACE_STRLEN];

	if (l->has_deny && (o = lint_name_holder(l, r, n, kills)) != NULL) {
		report_lint(l->p, "W121", &n->at, &r->at, "\"%.64s\" is allowed in %s "
		    "and denied in %s, so that nothing of it is let through: take "
		    "one of them out", pattern_text(n, buf),
		    place_print(&n->at, &r->at, here),
		    place_print(&n->at, &o->at, there));
		return;
	}
	if (!l->has_lax || r->verify == VERIFY_NONE || l->told == r ||
	    (o = lint_name_holder(l, r, n, unproves)) == NULL)
		return;
	l->told = r;		/* once for a rule, whose entries are alike */
	report_lint(l->p, "W120", &n->at, &r->at, "what %s verifies of \"%.64s\" is "
	    "allowed without it by %s: give them different ports, or take one of "
	    "them out", place_print(&n->at, &r->at, here), pattern_text(n, buf),
	    place_print(&n->at, &o->at, there));
}

static void
check_net(struct lint *l, const struct rule *r, const struct net *n)
{
	const struct rule	*o;
	char			 buf[ENDPOINT_STRLEN], here[PLACE_STRLEN],
				 there[PLACE_STRLEN];

	if (r->deny || !l->has_deny ||
	    (o = lint_net_holder(l, r, &n->prefix, kills)) == NULL)
		return;
	report_lint(l->p, "W121", &n->at, &r->at, "%s is allowed in %s and denied in %s, "
	    "so that nothing of it is let through: take one of them out",
	    prefix_print(&n->prefix, buf), place_print(&n->at, &r->at, here),
	    place_print(&n->at, &o->at, there));
}

/* Once for a rule: two lists that have much in common would say little more. */
static void
check_twins(struct lint *l, const struct rule *r)
{
	const struct rule	*o;
	char			 buf[PATTERN_STRLEN], there[PLACE_STRLEN];
	size_t			 i;

	for (i = 0; i < r->dest.names.list.n && lint_goes_on(l); i++) {
		const struct pattern *n = &r->dest.names.list.v[i];

		if ((o = lint_name_twin(l, r, n, repeats)) == NULL)
			continue;
		report_note(l->p, "W124", &n->at, &r->at, "%s has \"%.64s\" with all "
		    "of these ports already: take it out here",
		    place_print(&n->at, &o->at, there), pattern_text(n, buf));
		return;
	}
	for (i = 0; i < r->dest.in.net.n && lint_goes_on(l); i++) {
		const struct net *n = &r->dest.in.net.v[i];

		if ((o = lint_net_twin(l, r, &n->prefix, repeats)) == NULL)
			continue;
		report_note(l->p, "W124", &n->at, &r->at, "%s has %s with all of these "
		    "ports already: take it out here",
		    place_print(&n->at, &o->at, there),
		    prefix_print(&n->prefix, buf));
		return;
	}
}

/* ---- a deny of what is below a name ------------------------------------------------------ */

static bool
is_exactly_allowed(struct lint *l, const struct rule *r, const struct pattern *n)
{
	return lint_name_twin(l, r, n, lets_through) != NULL;
}

/* No deny has it on all of the ports of this rule, and none by any has. */
static bool
is_undenied(struct lint *l, const struct rule *r, const struct pattern *n)
{
	return lint_name_holder(l, r, n, denies_more) == NULL &&
	    find_any(l, r, denies_more) == NULL;
}

static void
check_apex(struct lint *l, const struct rule *r, const struct pattern *n)
{
	struct pattern		 apex = *n;
	const struct rule	*o;
	char			 there[PLACE_STRLEN];

	if (n->wild != NAME_ONE && n->wild != NAME_MANY)
		return;
	apex.wild = NAME_EXACT;
	if (!is_undenied(l, r, &apex) || is_exactly_allowed(l, r, &apex))
		return;
	o = lint_name_holder(l, r, &apex, lets_through);
	if (o == NULL)
		o = find_any(l, r, lets_through);
	if (o != NULL && is_undenied(l, o, &apex) &&
	    !model_covers(l->p->m, &o->dest.xnames, &apex))
		report_lint(l->p, "W205", &n->at, &r->at, "this leaves \"%.64s\" itself "
		    "open, which %s allows: write \"+.%.64s\", which is the name and "
		    "all below it", n->base->text,
		    place_print(&n->at, &o->at, there), n->base->text);
}

/* ---- a deny of what nobody allows ------------------------------------------------ */

static bool
is_any_allowed(struct lint *l, const struct rule *r, const struct patterns *s)
{
	size_t	i;

	for (i = 0; i < s->list.n; i++)
		if (s->list.v[i].wild != NAME_EXACT || !lint_goes_on(l) ||
		    lint_name_holder(l, r, &s->list.v[i], lets_through) != NULL)
			return true;
	for (i = 0; i < s->set.n; i++)
		if (is_any_allowed(l, r,
		    &l->p->m->nameset.v[s->set.v[i].index].patterns))
			return true;
	return false;
}

/*
 * Where names alone are allowed, and each has to be shown: else it stops what shows
 * them. A wildcard may always be about some.
 */
static void
check_use(struct lint *l, const struct rule *r)
{
	if (!r->deny || r->dest.kind != KIND_NAME || l->has_plain ||
	    l->t->mode == MODE_AUDIT || is_any_allowed(l, r, &r->dest.names))
		return;
	report_note(l->p, "W125", &r->dest.at, NULL, "line %u denies what no line of "
	    "this tenant allows: take it out, or mend the name", r->at.line);
}

/* ---- rules ------------------------------------------------------------------------- */

static void
each_name(struct lint *l, const struct rule *r, const struct patterns *s)
{
	size_t	i;

	for (i = 0; i < s->list.n && lint_goes_on(l); i++)
		if (r->deny)
			check_apex(l, r, &s->list.v[i]);
		else
			check_name(l, r, &s->list.v[i]);
}

static void
each_net(struct lint *l, const struct rule *r, const struct nets *s)
{
	size_t	i;

	for (i = 0; i < s->net.n && lint_goes_on(l); i++)
		check_net(l, r, &s->net.v[i]);
}

static bool
is_looked_at(const struct lint *l, const struct rule *r)
{
	return r->deny ? r->dest.kind == KIND_NAME :
	    l->has_deny || (l->has_lax && r->verify != VERIFY_NONE);
}

static void
check_entries(struct lint *l, const struct rule *r)
{
	const struct model	*m = l->p->m;
	size_t			 i;

	if (!is_looked_at(l, r))
		return;
	each_name(l, r, &r->dest.names);
	for (i = 0; i < r->dest.names.set.n; i++)
		each_name(l, r,
		    &m->nameset.v[r->dest.names.set.v[i].index].patterns);
	each_net(l, r, &r->dest.in);
	for (i = 0; i < r->dest.in.table.n; i++)
		each_net(l, r, &m->table.v[r->dest.in.table.v[i].index].nets);
}

static void
check_rule(struct lint *l, const struct rule *r)
{
	const struct rule	*o;

	if (!r->deny && (o = find_any(l, r, kills)) != NULL) {
		report_lint(l->p, "W121", &r->dest.at, NULL, "line %u denies all that "
		    "this allows, so that nothing of it is let through: take one of "
		    "them out", o->at.line);
		return;
	}
	if (!r->deny && r->dest.kind == KIND_NAME && r->verify != VERIFY_NONE &&
	    (o = find_any(l, r, opens)) != NULL) {
		report_lint(l->p, "W120", &r->dest.at, NULL, "what line %u verifies is "
		    "allowed without it by line %u, to any address: give them "
		    "different ports, or take one of them out", r->at.line,
		    o->at.line);
		l->told = r;
	}
	check_use(l, r);
	check_entries(l, r);
	if (!l->same[r - l->t->rule.v])
		check_twins(l, r);
}

/* ---- the tenant ------------------------------------------------------------------ */

static void
know(struct lint *l)
{
	const struct rule	*r;
	uint32_t		 i;

	for (i = 0; i < l->t->rule.n; i++) {
		r = &l->t->rule.v[i];
		if (r->dest.kind == KIND_ANY)
			l->any[l->nany++] = i;
		l->has_plain = l->has_plain || (!r->deny &&
		    (r->dest.kind != KIND_NAME || r->verify == VERIFY_NONE));
		l->has_deny = l->has_deny || is_in_force(l, r);
		l->has_lax = l->has_lax || unproves(l, r, r);
	}
}

/* Neither is there anything to reach, nor is it said that there is nothing. */
static void
check_allows(struct parse *p, const struct tenant *t)
{
	size_t	i;

	if (t->mode == MODE_AUDIT)
		return;
	for (i = 0; i < t->rule.n; i++)
		if (!t->rule.v[i].deny || t->rule.v[i].dest.kind == KIND_ANY)
			return;
	report_note(p, "W108", &t->at, NULL, "tenant %.63s allows nothing: write an "
	    "allow, or deny to any if that is meant", t->name);
}

static void
check_pairs(struct parse *p, uint32_t tenant)
{
	const struct tenant	*t = &p->m->tenant.v[tenant];
	struct lint		 l;
	size_t			 i;

	check_allows(p, t);
	if (t->rule.n < 2)
		return;
	lint_index(&l, p, tenant);
	know(&l);
	lint_same(&l);
	lint_labels(&l);
	for (i = 0; i < t->rule.n; i++)
		check_rule(&l, &t->rule.v[i]);
	lint_index_free(&l);
}

/* What is not compared is told of. */
static void
check_budget(struct parse *p)
{
	const struct where	whole = { p->opened.v[0], 0, 0 };

	if (p->compared >= COMPARE_MAX)
		report_note(p, "W109", &whole, NULL, "there is too much here to compare "
		    "all rules with each other: of W120, W121, W122, W124, W125, W126 "
		    "and W205 some may be missing");
}

void
lint_tenants(struct parse *p)
{
	const struct tenant	*t;
	uint32_t		 i;
	size_t			 k;

	for (i = 0; i < p->m->tenant.n; i++) {
		t = &p->m->tenant.v[i];
		for (k = 0; k < t->rule.n; k++)
			lint_except(p, &t->rule.v[k]);
		lint_any(p, t);
		check_pairs(p, i);
	}
	check_budget(p);
}
