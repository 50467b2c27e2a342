/*
 * What only the whole policy can tell of names: a wildcard over a suffix that is
 * everyone's, a rule that promises less than it seems to, a host that no rule
 * reaches. The codes stand in sallyport.conf(5).
 *
 * Trusts: a settled model.
 * Must not: refuse what is merely unwise; that is what warnings are for.
 */
#include <string.h>

#include "lint.h"

/* ---- suffixes ------------------------------------------------------------------ */

static void
check_wildcard(struct parse *p, const struct rule *r, const struct pattern *n)
{
	char	buf[PATTERN_STRLEN];

	pattern_text(n, buf);
	switch (suffix_find(n)) {
	case SUFFIX_ICANN:
		report_error(p, &n->at, "\"%.64s\" is all names below a public "
		    "suffix, and anyone can buy one: write the names, or any", buf);
		break;
	case SUFFIX_PRIVATE:
		report_lint(p, "W202", &n->at, &r->at, "below \"%.64s\" live the "
		    "customers of one house side by side, and anyone can be one: "
		    "write the names that are meant", buf);
		break;
	case SUFFIX_UNKNOWN:
		report_lint(p, "W202", &n->at, &r->at, "\"%.64s\" is a whole top "
		    "level that the public suffix list does not know: be sure "
		    "that it is your own, or write the names that are meant",
		    buf);
		break;
	case SUFFIX_NONE:
		break;
	}
}

/* One name opens one name; but few suffixes are hosts, so it may be a slip. */
static void
check_exact(struct parse *p, const struct rule *r, const struct pattern *n)
{
	enum suffix	kind = suffix_find(n);

	if (kind == SUFFIX_ICANN)
		report_lint(p, "W202", &n->at, &r->at, "\"%.64s\" is a public "
		    "suffix, and this means that host alone, none below it: write "
		    "the names that are meant", n->base->text);
	else if (kind == SUFFIX_PRIVATE)
		report_lint(p, "W202", &n->at, &r->at, "\"%.64s\" is a host that "
		    "the customers of one house share, and anyone can be one: "
		    "write the name of your own", n->base->text);
}

/* ---- pairs of rules --------------------------------------------------------------- */

bool
share_ports(const struct services *a, const struct services *b, uint32_t proto)
{
	size_t	i, k;

	for (i = 0; i < a->range.n; i++)
		for (k = 0; k < b->range.n; k++)
			if (a->range.v[i].proto == proto &&
			    b->range.v[k].proto == proto &&
			    a->range.v[i].lo <= b->range.v[k].hi &&
			    b->range.v[k].lo <= a->range.v[i].hi)
				return true;
	return false;
}

bool
share_services(const struct services *a, const struct services *b)
{
	return (a->echo && b->echo) || share_ports(a, b, PROTO_TCP) ||
	    share_ports(a, b, PROTO_UDP);
}

/* ---- what a rule does not promise ---------------------------------------------------- */

static bool
same_services(const struct services *a, const struct services *b)
{
	return a->echo == b->echo && a->range.n == b->range.n &&
	    (a->range.n == 0 || memcmp(a->range.v, b->range.v, a->range.n *
	    sizeof(*a->range.v)) == 0);
}

static const struct rule *
find_lax(struct parse *p, const struct tenant *t, const struct services *s)
{
	size_t	i;

	for (i = 0; i < t->lax.n && p->compared++ <= COMPARE_MAX; i++) {
		const struct rule *o = &t->rule.v[t->lax.v[i]];

		if ((o->dest.kind != KIND_NAME || o->verify_at.line != 0) &&
		    share_services(&o->services, s))
			return o;
	}
	return NULL;
}

/* Most denies of a tenant have the ports of the one before: the answer is the same. */
static void
check_deny(struct parse *p, const struct tenant *t, const struct rule *r)
{
	if (p->lax_of != t || !same_services(&p->lax_for, &r->services)) {
		p->lax = find_lax(p, t, &r->services);
		p->lax_of = t;
		p->lax_for = r->services;
	}
	if (p->lax != NULL)
		report_lint(p, "W203", &r->dest.at, NULL, "this stops what shows the "
		    "name; not ECH, STARTTLS, or flows without a name: the allow "
		    "in line %u asks for none", p->lax->at.line);
}

static bool
has_ports(const struct services *s, uint32_t proto)
{
	size_t	i;

	for (i = 0; i < s->range.n; i++)
		if (s->range.v[i].proto == proto)
			return true;
	return false;
}

/* Nothing is looked at in datagrams, whatever `verify` says of the TCP ports. */
static void
check_proof(struct parse *p, const struct rule *r)
{
	if (r->verify_at.line != 0 && r->verify == VERIFY_NONE)
		report_lint(p, "W201", &r->verify_at, NULL, "verify none: whoever "
		    "shares an address with these names is reached too");
	else if (has_ports(&r->services, PROTO_UDP))
		report_lint(p, "W201", &r->services.at, NULL, "a name is never proved "
		    "over UDP: whoever shares an address with these names is "
		    "reached too");
}

static void
check_patterns(struct parse *p, const struct rule *r, const struct patterns *s)
{
	size_t	i;

	for (i = 0; i < s->list.n && !report_full(p); i++) {
		if (s->list.v[i].wild == NAME_EXACT)
			check_exact(p, r, &s->list.v[i]);
		else
			check_wildcard(p, r, &s->list.v[i]);
		lint_name(p, r, &s->list.v[i]);
	}
}

/* It is looked at once, however many rules allow it; what was found is every one's. */
static void
check_set(struct parse *p, const struct rule *r, struct nameset *set)
{
	if (set->reviewed) {
		report_use(p, set->from, set->to, &r->at);
		return;
	}
	set->reviewed = true;
	set->from = report_count(p);
	check_patterns(p, r, &set->patterns);
	set->to = report_count(p);
}

static void
check_allow(struct parse *p, const struct rule *r)
{
	size_t	i;

	check_patterns(p, r, &r->dest.names);
	for (i = 0; i < r->dest.names.set.n; i++)
		check_set(p, r,
		    &p->m->nameset.v[r->dest.names.set.v[i].index]);
	check_proof(p, r);
}

/* An exception may be for the addresses of this rule's names. */
static void
use_exceptions(struct parse *p, const struct rule *r, const struct tenant *t)
{
	size_t	i;

	for (i = 0; i < t->except.n; i++) {
		struct except *e = &p->m->except.v[t->except.v[i]];

		if (!e->used && share_services(&e->services, &r->services))
			e->used = true;
	}
}

void
review_name_rule(struct parse *p, uint32_t tenant, const struct rule *r)
{
	const struct tenant	*t = &p->m->tenant.v[tenant];

	if (r->deny) {
		check_deny(p, t, r);
		return;
	}
	check_allow(p, r);
	use_exceptions(p, r, t);
}

/* ---- hosts ------------------------------------------------------------------------------ */

static bool
rule_allows(struct parse *p, const struct rule *r, const struct name *n)
{
	return !r->deny && (r->dest.kind == KIND_ANY ||
	    p->compared++ > COMPARE_MAX ||
	    model_has_name(p->m, &r->dest.names, n));
}

static bool
is_allowed(struct parse *p, const struct name *n)
{
	size_t	i, k;

	for (i = 0; i < p->m->tenant.n; i++) {
		const struct tenant *t = &p->m->tenant.v[i];

		if (t->mode == MODE_AUDIT)
			return true;
		for (k = 0; k < t->rule.n; k++)
			if (rule_allows(p, &t->rule.v[k], n))
				return true;
	}
	return false;
}

/* Like those of an answer, its addresses are stripped of the floor. */
static void
check_addresses(struct parse *p, const struct host *h)
{
	const struct floor_entry	*f;
	char				 buf[ENDPOINT_STRLEN];
	size_t				 i;

	for (i = 0; i < h->addr.n; i++) {
		f = floor_find(&h->addr.v[i]);
		if (f == NULL || review_excepted(p->m, &h->addr.v[i]))
			continue;
		report_lint(p, "W130", &h->at, NULL, "the host %.64s is never found "
		    "at %s, which is on the floor (%s): only a \"floor except\" "
		    "lifts it", h->name.text, addr_print(&h->addr.v[i], buf),
		    f->what);
	}
}

void
review_hosts(struct parse *p)
{
	const struct host	*h;
	size_t			 i;

	for (i = 0; i < p->m->host.n; i++) {
		h = &p->m->host.v[i];
		if (is_allowed(p, &h->name))
			check_addresses(p, h);
		else
			report_lint(p, "W131", &h->at, NULL, "no tenant may resolve "
			    "the host %.64s: it needs an allow like any name",
			    h->name.text);
	}
}
