/*
 * The same again: a rule that stands in its tenant twice, and entries of one list that
 * stand there twice, or lie in others.
 *
 * Trusts: a settled model; of lists, what settle.c drops from them.
 * Must not: take two rules for one that differ in anything but label, ticket and note.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lint.h"
#include "log.h"

/* ---- rules ------------------------------------------------------------------------ */

static bool
same_nets(const struct nets *a, const struct nets *b)
{
	size_t	i;

	if (a->net.n != b->net.n || a->table.n != b->table.n)
		return false;
	for (i = 0; i < a->net.n; i++)
		if (prefix_compare(&a->net.v[i].prefix, &b->net.v[i].prefix) != 0)
			return false;
	for (i = 0; i < a->table.n; i++)
		if (a->table.v[i].index != b->table.v[i].index)
			return false;
	return true;
}

static bool
same_patterns(const struct patterns *a, const struct patterns *b)
{
	size_t	i;

	if (a->list.n != b->list.n || a->set.n != b->set.n)
		return false;
	for (i = 0; i < a->list.n; i++)
		if (a->list.v[i].base != b->list.v[i].base ||
		    a->list.v[i].wild != b->list.v[i].wild)
			return false;
	for (i = 0; i < a->set.n; i++)
		if (a->set.v[i].index != b->set.v[i].index)
			return false;
	return true;
}

static bool
same_services(const struct services *a, const struct services *b)
{
	return a->echo == b->echo && a->range.n == b->range.n &&
	    (a->range.n == 0 || memcmp(a->range.v, b->range.v,
	    a->range.n * sizeof(*a->range.v)) == 0);
}

static bool
same_rule(const struct rule *a, const struct rule *b)
{
	return a->deny == b->deny && a->mode == b->mode &&
	    a->verify == b->verify && a->ech == b->ech && a->until == b->until &&
	    a->dest.kind == b->dest.kind &&
	    a->dest.service.index == b->dest.service.index &&
	    same_services(&a->services, &b->services) &&
	    same_nets(&a->dest.in, &b->dest.in) &&
	    same_nets(&a->dest.out, &b->dest.out) &&
	    same_patterns(&a->dest.names, &b->dest.names) &&
	    same_patterns(&a->dest.xnames, &b->dest.xnames);
}

static uint64_t
mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 32;
}

static uint64_t
bytes(uint64_t h, const void *data, size_t len)
{
	const unsigned char	*p = data;

	for (; len > 0; len--)
		h = (h ^ *p++) * UINT64_C(0x100000001b3);
	return h;
}

/* Of most rules the first entry and the ports tell them apart. */
static uint64_t
rule_hash(const struct rule *r)
{
	const struct dest	*d = &r->dest;
	uint64_t		 h = mix(r->deny, d->kind);

	h = mix(mix(h, d->names.list.n), d->in.net.n);
	if (d->names.list.n > 0)
		h = bytes(h, d->names.list.v[0].base->text,
		    d->names.list.v[0].base->len);
	if (d->in.net.n > 0)
		h = bytes(h, &d->in.net.v[0].prefix, sizeof(struct prefix));
	if (d->in.table.n > 0)
		h = mix(h, d->in.table.v[0].index);
	if (d->names.set.n > 0)
		h = mix(h, d->names.set.v[0].index);
	if (r->services.range.n > 0)
		h = bytes(h, r->services.range.v, r->services.range.n *
		    sizeof(*r->services.range.v));
	return mix(h, r->verify);
}

/* The first of these rules, or 0 if there is none before it. */
static uint32_t
find_same(struct lint *l, uint32_t *slot, size_t n, uint32_t which)
{
	const struct rule	*v = l->t->rule.v;
	size_t			 i = (size_t)rule_hash(&v[which]) & (n - 1);

	for (; slot[i] != 0 && lint_goes_on(l); i = (i + 1) & (n - 1))
		if (same_rule(&v[slot[i] - 1], &v[which]))
			return slot[i];
	if (slot[i] == 0)
		slot[i] = which + 1;
	return 0;
}

void
lint_same(struct lint *l)
{
	const struct rule	*r, *v = l->t->rule.v;
	uint32_t		*slot, i, found;
	char			 place[PLACE_STRLEN];
	size_t			 n = 16;

	while (n < 2 * l->t->rule.n)
		n *= 2;
	if ((slot = calloc(n, sizeof(*slot))) == NULL)
		fatalx("out of memory for the policy");
	for (i = 0; i < l->t->rule.n; i++) {
		if ((found = find_same(l, slot, n, i)) == 0)
			continue;
		r = &v[i];
		l->same[i] = true;
		report_lint(l->p, "W122", &r->at, NULL, "this is the rule of %s "
		    "again, and no record will have its name: take one of them "
		    "out", place_print(&r->at, &v[found - 1].at, place));
	}
	free(slot);
}

void
lint_labels(struct lint *l)
{
	struct strtab		*t = strtab_new();
	const struct rule	*r, *v = l->t->rule.v;
	char			 place[PLACE_STRLEN];
	uint32_t		 i;
	int			 found;

	for (i = 0; i < l->t->rule.n; i++) {
		r = &v[i];
		if (r->label == NULL ||
		    (found = strtab_add(t, 0, r->label, i)) == -1)
			continue;
		report_lint(l->p, "W103", &r->label_at, NULL, "the label \"%.63s\" "
		    "stands in %s already, and records will not tell them apart: "
		    "give it another one", r->label,
		    place_print(&r->label_at, &v[found].label_at, place));
	}
	strtab_free(t);
}

/* ---- entries of one list -------------------------------------------------------------- */

/* Further down in the same file: that is the one to take out. */
static bool
is_behind(const struct where *a, const struct where *b)
{
	return a->file == b->file && (a->line > b->line ||
	    (a->line == b->line && a->column > b->column));
}

/* Once for a list, which may be a macro's in many rules. */
static void
dropped(struct parse *p, const struct where *at, const char *what,
    const struct where *by, const char *by_what, size_t n)
{
	char	more[64] = "", place[PLACE_STRLEN];

	if (n > 1)
		snprintf(more, sizeof(more), ", as are %zu more", n - 1);
	report_note(p, "W124", at, at, "%s is in this list already, with %s in %s%s: "
	    "take it out", what, by_what, place_print(at, by, place), more);
}

/* Of two that are the same, sorting does not say which is which. */
void
lint_dropped_net(struct parse *p, const struct net *n, const struct net *by,
    size_t count)
{
	bool	same = prefix_compare(&n->prefix, &by->prefix) == 0;
	char	buf[ENDPOINT_STRLEN], other[ENDPOINT_STRLEN];

	if (count == 0)
		return;
	prefix_print(&n->prefix, buf);
	prefix_print(&by->prefix, other);
	if (same && is_behind(&by->at, &n->at))
		dropped(p, &by->at, other, &n->at, buf, count);
	else
		dropped(p, &n->at, buf, &by->at, other, count);
}

void
lint_dropped_name(struct parse *p, const struct pattern *n,
    const struct pattern *by, size_t count)
{
	char	buf[PATTERN_STRLEN];

	if (count == 0)
		return;
	pattern_text(n, buf);
	if (is_behind(&by->at, &n->at))
		dropped(p, &by->at, buf, &n->at, "the same", count);
	else
		dropped(p, &n->at, buf, &by->at, "the same", count);
}
