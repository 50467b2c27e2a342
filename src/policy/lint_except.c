/*
 * Exceptions of a rule that subtract nothing, or all: what is written with `except' and
 * lies nowhere in the rule is a slip, and so is an entry of which nothing is left.
 *
 * Trusts: a settled model.
 * Must not: look at any: what is taken from it is always something.
 */
#include <string.h>

#include "lint.h"

/* ---- networks ------------------------------------------------------------------- */

static bool
touches(const struct nets *s, const struct prefix *x)
{
	size_t	at = lint_place(s, x);

	return (at > 0 && prefix_overlaps(&s->net.v[at - 1].prefix, x)) ||
	    (at < s->net.n && prefix_overlaps(&s->net.v[at].prefix, x));
}

static bool
any_touches(const struct model *m, const struct nets *s, const struct prefix *x)
{
	size_t	i;

	if (touches(s, x))
		return true;
	for (i = 0; i < s->table.n; i++)
		if (touches(&m->table.v[s->table.v[i].index].nets, x))
			return true;
	return false;
}

/* Entries that are written here; a table may be for many rules. */
static void
check_nets(struct parse *p, const struct rule *r)
{
	const struct net	*n;
	char			 buf[ENDPOINT_STRLEN], place[PLACE_STRLEN];
	size_t			 i;

	for (i = 0; i < r->dest.out.net.n; i++) {
		n = &r->dest.out.net.v[i];
		if (!any_touches(p->m, &r->dest.in, &n->prefix))
			report_lint(p, "W126", &n->at, &r->at, "except %s takes "
			    "nothing away, as it lies in none of the networks of "
			    "%s: take it out, or mend it",
			    prefix_print(&n->prefix, buf),
			    place_print(&n->at, &r->at, place));
	}
	for (i = 0; i < r->dest.in.net.n; i++) {
		n = &r->dest.in.net.v[i];
		if (lint_nets_hold(p->m, &r->dest.out, &n->prefix))
			report_lint(p, "W126", &n->at, &r->at, "nothing is left of %s, "
			    "as %s excepts all of it: take it out, or mend the "
			    "exception", prefix_print(&n->prefix, buf),
			    place_print(&n->at, &r->at, place));
	}
}

/* ---- names ------------------------------------------------------------------------- */

/* How many labels a name has more than the base. */
static void
depth(const struct pattern *n, unsigned int *lo, unsigned int *hi)
{
	*lo = n->wild == NAME_ONE || n->wild == NAME_MANY;
	*hi = n->wild == NAME_EXACT ? 0 : n->wild == NAME_ONE ? 1 : NAME_TEXT_MAX;
}

/* Some name is matched by both, where the base of the second lies below the first's. */
static bool
meet(const struct pattern *a, const struct pattern *b)
{
	const char	*end, *s;
	unsigned int	 alo, ahi, blo, bhi, more = 0;

	if (b->base->len < a->base->len)
		return false;
	end = b->base->text + b->base->len - a->base->len;
	if (strcmp(end, a->base->text) != 0 ||
	    (end > b->base->text && end[-1] != '.'))
		return false;
	for (s = b->base->text; s < end; s++)
		more += *s == '.';
	depth(a, &alo, &ahi);
	depth(b, &blo, &bhi);
	return alo <= more + bhi && more + blo <= ahi;
}

static bool
meets(struct parse *p, const struct patterns *s, const struct pattern *x)
{
	size_t	i, k;

	if (model_covers(p->m, s, x))
		return true;
	for (i = 0; i < s->list.n; i++)
		if (p->compared++ >= COMPARE_MAX || meet(x, &s->list.v[i]) ||
		    meet(&s->list.v[i], x))
			return true;
	for (k = 0; k < s->set.n; k++)
		if (meets(p, &p->m->nameset.v[s->set.v[k].index].patterns, x))
			return true;
	return false;
}

static void
check_patterns(struct parse *p, const struct rule *r)
{
	const struct pattern	*n;
	char			 buf[PATTERN_STRLEN], place[PLACE_STRLEN];
	size_t			 i;

	for (i = 0; i < r->dest.xnames.list.n; i++) {
		n = &r->dest.xnames.list.v[i];
		if (!meets(p, &r->dest.names, n))
			report_lint(p, "W126", &n->at, &r->at, "except \"%.64s\" takes "
			    "nothing away, as none of the names of %s is one of "
			    "these: take it out, or mend it", pattern_text(n, buf),
			    place_print(&n->at, &r->at, place));
	}
	if (r->dest.xnames.list.n + r->dest.xnames.set.n == 0)
		return;
	for (i = 0; i < r->dest.names.list.n; i++) {
		n = &r->dest.names.list.v[i];
		if (model_covers(p->m, &r->dest.xnames, n))
			report_lint(p, "W126", &n->at, &r->at, "nothing is left of "
			    "\"%.64s\", as %s excepts all of it: take it out, or "
			    "mend the exception", pattern_text(n, buf),
			    place_print(&n->at, &r->at, place));
	}
}

void
lint_except(struct parse *p, const struct rule *r)
{
	if (r->dest.kind == KIND_NET)
		check_nets(p, r);
	else if (r->dest.kind == KIND_NAME)
		check_patterns(p, r);
}
