/*
 * What only the whole policy can tell of names: a wildcard over a suffix that is
 * everyone's, a rule that promises less than it seems to, a host that no rule
 * reaches. The codes stand in sallyport.conf(5).
 *
 * Trusts: a settled model.
 * Must not: refuse what is merely unwise; that is what warnings are for.
 */
#include "read.h"

/* A policy of the largest size is looked at this far; the rest is not compared. */
#define COMPARE_MAX	(1u << 24)

/* ---- suffixes ------------------------------------------------------------------ */

static void
check_wildcard(struct parse *p, const struct rule *r, const struct pattern *n)
{
	char	buf[PATTERN_STRLEN];

	pattern_print(&n->name, buf);
	switch (suffix_find(&n->name)) {
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
	enum suffix	kind = suffix_find(&n->name);

	if (kind == SUFFIX_ICANN)
		report_lint(p, "W202", &n->at, &r->at, "\"%.64s\" is a public "
		    "suffix, and this means that host alone, none below it: write "
		    "the names that are meant", n->name.base.text);
	else if (kind == SUFFIX_PRIVATE)
		report_lint(p, "W202", &n->at, &r->at, "\"%.64s\" is a host that "
		    "the customers of one house share, and anyone can be one: "
		    "write the name of your own", n->name.base.text);
}

/* ---- pairs of rules --------------------------------------------------------------- */

static bool
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

static bool
share_services(const struct services *a, const struct services *b)
{
	return (a->echo && b->echo) || share_ports(a, b, PROTO_TCP) ||
	    share_ports(a, b, PROTO_UDP);
}

/* All that the one stands for, the other stands for too. */
static bool
pattern_covers(const struct blob_name *outer, const struct blob_name *inner)
{
	bool	deep = outer->wild == NAME_MANY || outer->wild == NAME_TREE;

	if (inner->wild == NAME_EXACT)
		return name_matches(&inner->base, outer->wild, &outer->base);
	if (name_equal(&outer->base, &inner->base))
		return outer->wild == inner->wild || outer->wild == NAME_TREE ||
		    (deep && inner->wild == NAME_ONE);
	return deep && name_matches(&inner->base, NAME_MANY, &outer->base);
}

static const struct pattern *
find_covered(struct parse *p, const struct patterns *by,
    const struct patterns *of)
{
	size_t	i, k;

	for (i = 0; i < of->list.n; i++)
		for (k = 0; k < by->list.n; k++) {
			if (p->compared++ > COMPARE_MAX)
				return NULL;
			if (pattern_covers(&by->list.v[k].name,
			    &of->list.v[i].name))
				return &of->list.v[i];
		}
	return NULL;
}

static bool
wants_no_proof(const struct rule *r)
{
	return !r->deny && (r->dest.kind == KIND_ANY ||
	    (r->dest.kind == KIND_NAME && r->verify == VERIFY_NONE));
}

/* What lets a name through without the proof that this rule wants takes it away. */
static bool
takes_proof(struct parse *p, const struct rule *o, const struct rule *r)
{
	const struct pattern	*n;
	char			 buf[PATTERN_STRLEN];

	if (o->dest.kind == KIND_ANY) {
		report_lint(p, "W120", &r->dest.at, NULL, "what line %u verifies is "
		    "allowed without it by line %u, to any address", r->at.line,
		    o->at.line);
		return true;
	}
	n = find_covered(p, &o->dest.names, &r->dest.names);
	if (n == NULL)
		return false;
	report_lint(p, "W120", &n->at, &r->at, "what line %u verifies of \"%.64s\" is "
	    "allowed without it by line %u", r->at.line,
	    pattern_print(&n->name, buf), o->at.line);
	return true;
}

static void
check_covered(struct parse *p, const struct tenant *t, const struct rule *r)
{
	const struct rule	*o, *end = t->rule.v + t->rule.n;

	if (r->verify == VERIFY_NONE)
		return;
	for (o = t->rule.v; o < end; o++)
		if (wants_no_proof(o) && share_ports(&o->services,
		    &r->services, PROTO_TCP) && takes_proof(p, o, r))
			return;
}

/* ---- what a rule does not promise ---------------------------------------------------- */

static void
check_deny(struct parse *p, const struct tenant *t, const struct rule *r)
{
	size_t	i;

	for (i = 0; i < t->rule.n; i++) {
		const struct rule *o = &t->rule.v[i];

		if (o->deny || o->dest.kind == KIND_SERVICE ||
		    (o->dest.kind == KIND_NAME && (o->verify_at.line == 0 ||
		    o->verify != VERIFY_NONE)) ||
		    !share_services(&o->services, &r->services))
			continue;
		report_lint(p, "W203", &r->dest.at, NULL, "this stops what shows the "
		    "name; not ECH, STARTTLS, or flows without a name: the allow "
		    "in line %u asks for none", o->at.line);
		return;
	}
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
check_allow(struct parse *p, const struct tenant *t, const struct rule *r)
{
	size_t	i;

	for (i = 0; i < r->dest.names.list.n && !report_full(p); i++) {
		const struct pattern *n = &r->dest.names.list.v[i];

		if (n->name.wild == NAME_EXACT)
			check_exact(p, r, n);
		else
			check_wildcard(p, r, n);
		lint_name(p, r, n);
	}
	check_proof(p, r);
	check_covered(p, t, r);
}

/* An exception may be for the addresses of this rule's names. */
static void
use_exceptions(struct parse *p, const struct rule *r, uint32_t tenant)
{
	size_t	i;

	for (i = 0; i < p->m->except.n; i++) {
		struct except *e = &p->m->except.v[i];

		if (e->tenant.index == tenant &&
		    share_services(&e->services, &r->services))
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
	check_allow(p, t, r);
	use_exceptions(p, r, tenant);
}

/* ---- hosts ------------------------------------------------------------------------------ */

static bool
rule_allows(struct parse *p, const struct rule *r, const struct name *n)
{
	size_t	i;

	if (r->deny)
		return false;
	for (i = 0; i < r->dest.names.list.n; i++)
		if (p->compared++ > COMPARE_MAX ||
		    name_matches(n, r->dest.names.list.v[i].name.wild,
		    &r->dest.names.list.v[i].name.base))
			return true;
	return r->dest.kind == KIND_ANY;
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

/* TEMPORARY */
bool
model_mentions(const struct model *m, const struct name *n)
{
	size_t	i, j, k;

	for (i = 0; i < m->tenant.n; i++)
		for (j = 0; j < m->tenant.v[i].rule.n; j++) {
			const struct patterns *s =
			    &m->tenant.v[i].rule.v[j].dest.names;

			for (k = 0; k < s->list.n; k++)
				if (name_equal(&s->list.v[k].name.base, n))
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
