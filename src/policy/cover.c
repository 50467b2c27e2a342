/*
 * Which items are about an address. What an item is about is sets of prefixes, and a
 * table is the set of as many items as have it: so the sets are what is indexed, and
 * each has a list of its items. The few biggest ones are searched where they lie in
 * the policy, so that an index is as big as the rules are, not as the tables.
 *
 * An item is looked for among those that are about the address or, if these are many,
 * among those that have the port, whichever are fewer. No index of the size of its
 * rules does better for all of them (it would tell quickly whether two sets of a
 * thousand meet), but one number is small wherever rules are not written to make
 * both large: of a hundred hosts with a hundred ports each it is a hundred.
 *
 * Trusts: a policy that policy_load() accepted.
 * Must not: decide: what it finds may match, and is matched by its caller. Must not:
 * allocate once it is made.
 */
#include <stdlib.h>
#include <string.h>

#include "index.h"

#define FEW	32u		/* items, that are looked at without a count */

/* ---- making one -------------------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
	const uint32_t	*x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The sets that the items are about, each once. */
static int
collect_sets(struct cover *c, const struct cover_item *item, size_t n)
{
	size_t	i, total = 0, at = 0;

	for (i = 0; i < n; i++)
		total += item[i].match->nrefs;
	if ((c->set = malloc((total + 1) * sizeof(*c->set))) == NULL)
		return -1;
	for (i = 0; i < n; i++) {
		memcpy(c->set + at, c->policy->ref + item[i].match->ref,
		    item[i].match->nrefs * sizeof(*c->set));
		at += item[i].match->nrefs;
	}
	if (total > 0)
		qsort(c->set, total, sizeof(*c->set), compare);
	for (i = 0; i < total; i++)
		if (i == 0 || c->set[i] != c->set[i - 1])
			c->set[c->nsets++] = c->set[i];
	return 0;
}

static uint32_t
size_of(const struct cover *c, uint32_t i)
{
	return c->policy->set[c->set[i]].n;
}

/* The biggest ones, if they are big. */
static void
choose_big(struct cover *c)
{
	uint32_t	i, k;

	for (i = 0; i < c->nsets; i++) {
		if (size_of(c, i) < BIG_LEAST ||
		    (c->nbig == BIG_SETS &&
		    size_of(c, i) <= size_of(c, c->big[c->nbig - 1])))
			continue;
		k = c->nbig < BIG_SETS ? c->nbig++ : c->nbig - 1;
		for (; k > 0 && size_of(c, c->big[k - 1]) < size_of(c, i); k--)
			c->big[k] = c->big[k - 1];
		c->big[k] = i;
	}
}

static bool
is_big(const struct cover *c, uint32_t i)
{
	uint32_t	k;

	for (k = 0; k < c->nbig; k++)
		if (c->big[k] == i)
			return true;
	return false;
}

static uint32_t
first_set(const struct cover *c)
{
	return 1 + c->policy->head->services;
}

/* Its place among the sets: it is one of them. */
static uint32_t
place_of(const struct cover *c, uint32_t set)
{
	const uint32_t	*at = bsearch(&set, c->set, c->nsets, sizeof(set),
			    compare);

	return (uint32_t)(at - c->set);
}

static int
make_keys(struct cover *c, const struct cover_item *item, size_t n)
{
	struct pairs	keys = { NULL, 0, 0, false };
	uint32_t	k;
	size_t		i;

	for (i = 0; i < n; i++) {
		const struct blob_match	*m = item[i].match;

		if (m->kind == KIND_ANY)
			pairs_add(&keys, 0, item[i].key);
		if (m->kind == KIND_SERVICE)
			pairs_add(&keys, 1 + m->service, item[i].key);
		for (k = m->ref; k < m->ref + m->nrefs; k++)
			pairs_add(&keys, first_set(c) +
			    place_of(c, c->policy->ref[k]), item[i].key);
	}
	pairs_sort(&keys);
	return lists_make(&c->keys, first_set(c) + c->nsets, &keys);
}

static int
make_ports(struct cover *c, const struct cover_item *item, size_t n)
{
	struct pairs	keys = { NULL, 0, 0, false };
	size_t		i;

	for (i = 0; i < n; i++)
		ports_add(&keys, c->policy, item[i].match, item[i].key);
	return ports_make(&c->ports, &keys);
}

/* The prefixes of one family of all sets that are not big. */
static size_t
collect_nets(const struct cover *c, uint8_t family, struct net_pair *v)
{
	uint32_t	i, k;
	size_t		n = 0;

	for (i = 0; i < c->nsets; i++) {
		const struct blob_set	*s = &c->policy->set[c->set[i]];
		const struct prefix	*p = c->policy->prefix + s->first;

		if (is_big(c, i))
			continue;
		for (k = 0; k < s->n; k++)
			if (p[k].family == family)
				v[n++] = (struct net_pair){ p[k],
				    first_set(c) + i };
	}
	return n;
}

static int
make_nets(struct cover *c)
{
	struct net_pair	*v;
	size_t		 total = 1;
	uint32_t	 i;
	int		 failed;

	for (i = 0; i < c->nsets; i++)
		total += is_big(c, i) ? 0 : size_of(c, i);
	if ((v = malloc(total * sizeof(*v))) == NULL)
		return -1;
	failed = nets_make(&c->v4, v, collect_nets(c, ADDR_V4, v),
	    &c->keys) == -1 || nets_make(&c->v6, v,
	    collect_nets(c, ADDR_V6, v), &c->keys) == -1;
	free(v);
	return failed ? -1 : 0;
}

int
cover_make(struct cover *c, const struct policy *p,
    const struct cover_item *item, size_t n)
{
	c->policy = p;
	if (collect_sets(c, item, n) == -1)
		return -1;
	choose_big(c);
	return make_keys(c, item, n) == -1 || make_ports(c, item, n) == -1 ||
	    make_nets(c) == -1 ? -1 : 0;
}

void
cover_free(struct cover *c)
{
	ports_free(&c->ports);
	lists_free(&c->keys);
	nets_free(&c->v4);
	nets_free(&c->v6);
	free(c->set);
}

/* ---- asking one ---------------------------------------------------------------------- */

static uint32_t
set_length(const struct cover *c, uint32_t i)
{
	return list_length(&c->keys, first_set(c) + i);
}

void
cover_find(const struct cover *c, const struct endpoint *e, struct spot *s)
{
	uint32_t	i;

	*s = (struct spot){ .cover = c, .service = BLOB_NONE, .any = true,
	    .nets = e->family == ADDR_V4 ? &c->v4 : &c->v6,
	    .port = e->port };
	s->node = nets_find(s->nets, e);
	s->sum = list_length(&c->keys, 0);
	if (s->node != POLICY_NO_RULE)
		s->sum += s->nets->node[s->node].sum;
	for (i = 0; i < c->nbig; i++) {
		const struct blob_set *b = &c->policy->set[c->set[c->big[i]]];

		if (prefix_search(c->policy->prefix + b->first, b->n, e) == NULL)
			continue;
		s->big |= UINT32_C(1) << i;
		s->sum += set_length(c, c->big[i]);
	}
}

void
cover_service(const struct cover *c, uint32_t service, struct spot *s)
{
	*s = (struct spot){ .cover = c, .service = service, .any = true,
	    .nets = &c->v4, .node = POLICY_NO_RULE,
	    .port = c->policy->service[service].addr.port };
	s->sum = list_length(&c->keys, 0) + list_length(&c->keys, 1 + service);
}

static uint32_t
by_ports(const struct spot *s, uint32_t class, uint32_t best,
    item_test *passes, const void *arg)
{
	return ports_first(&s->cover->ports, s->proto, s->port, class, best,
	    passes, arg);
}

static uint32_t
by_nets(const struct spot *s, uint32_t class, uint32_t best,
    item_test *passes, const void *arg)
{
	const struct lists	*sets = &s->nets->sets;
	uint32_t		 i, k;

	for (i = s->node; i != POLICY_NO_RULE; i = s->nets->node[i].up)
		for (k = sets->start[i]; k < sets->start[i + 1]; k++)
			best = list_first(&s->cover->keys, sets->number[k],
			    class, best, passes, arg);
	return best;
}

uint32_t
cover_first(const struct spot *s, uint32_t class, uint32_t best,
    item_test *passes, const void *arg)
{
	const struct cover	*c = s->cover;
	uint32_t		 i;

	if (s->sum > FEW && s->proto != PROTO_NONE &&
	    ports_count(&c->ports, s->proto, s->port, class) < s->sum)
		return by_ports(s, class, best, passes, arg);
	if (s->any)
		best = list_first(&c->keys, 0, class, best, passes, arg);
	if (s->service != BLOB_NONE)
		best = list_first(&c->keys, 1 + s->service, class, best,
		    passes, arg);
	for (i = 0; i < c->nbig; i++)
		if ((s->big >> i & 1) != 0)
			best = list_first(&c->keys, first_set(c) + c->big[i],
			    class, best, passes, arg);
	return by_nets(s, class, best, passes, arg);
}
