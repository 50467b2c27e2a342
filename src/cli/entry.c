/*
 * From a rule and what it matched to the entry of its lists that says so, and where
 * that stands: in the rule itself, a macro, a table, a file.
 *
 * Trusts: the model, and that the law has found a match: this only finds it again.
 * Must not: decide anything.
 */
#include <stdio.h>
#include <string.h>

#include "entry.h"

static bool
same_place(const struct where *a, const struct where *b)
{
	return a->line == b->line && a->column == b->column && a->file != NULL &&
	    b->file != NULL && strcmp(a->file, b->file) == 0;
}

static bool
has_item_at(const struct items *s, const struct where *at)
{
	size_t	i;

	for (i = 0; i < s->list.n; i++)
		if (same_place(&s->list.v[i].at, at))
			return true;
	return false;
}

/* What is not written in a table may be a macro's. */
static void
found(const struct model *m, struct spot *e, const struct where *at,
    const char *kind, const char *set)
{
	size_t	i;

	e->at = *at;
	e->set[0] = '\0';
	if (set != NULL) {
		snprintf(e->set, sizeof(e->set), "%s <%.64s>", kind, set);
		return;
	}
	for (i = 0; i < m->macro.n; i++)
		if (m->macro.v[i].used && has_item_at(&m->macro.v[i].value, at)) {
			snprintf(e->set, sizeof(e->set), "macro $%.64s",
			    m->macro.v[i].name);
			return;
		}
}

static const struct net *
find_net(const struct nets *s, const struct endpoint *a)
{
	size_t	i;

	for (i = 0; i < s->net.n; i++)
		if (prefix_contains(&s->net.v[i].prefix, a))
			return &s->net.v[i];
	return NULL;
}

bool
entry_of_address(const struct model *m, const struct dest *d,
    const struct endpoint *a, struct spot *e)
{
	const struct net	*n = find_net(&d->in, a);
	const char		*set = NULL;
	char			 buf[ENDPOINT_STRLEN];
	size_t			 i;

	if (d->kind != KIND_NET)
		return false;
	for (i = 0; n == NULL && i < d->in.table.n; i++) {
		const struct table *t = &m->table.v[d->in.table.v[i].index];

		n = find_net(&t->nets, a);
		set = t->name;
	}
	if (n == NULL)
		return false;
	snprintf(e->text, sizeof(e->text), "%s", prefix_print(&n->prefix, buf));
	found(m, e, &n->at, "table", set);
	return true;
}

static void
print_name(struct spot *e, const struct blob_name *n)
{
	static const char *const	prefix[] = { [NAME_EXACT] = "",
					    [NAME_ONE] = "*.", [NAME_MANY] = "**." };

	snprintf(e->text, sizeof(e->text), "%s%s", prefix[n->wild],
	    n->base.text);
}

/* The closest one: itself, then what stands for it. */
bool
entry_of_name(const struct model *m, const struct dest *d,
    const struct name *name, struct spot *e)
{
	const struct pattern	*best = NULL, *p;
	size_t			 i;

	if (d->kind != KIND_NAME)
		return false;
	for (i = 0; i < d->names.list.n; i++) {
		p = &d->names.list.v[i];
		if (name_matches(name, p->name.wild, &p->name.base) &&
		    (best == NULL || p->name.base.len > best->name.base.len))
			best = p;
	}
	if (best == NULL)
		return false;
	print_name(e, &best->name);
	found(m, e, &best->at, NULL, NULL);
	return true;
}
