/*
 * Which items are about an address.
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

#include "index.h"

#define FEW	32u		/* items, that are looked at without a count */

/* ---- making one -------------------------------------------------------------------- */

static int
make_others(struct cover *c, const struct index_item *item, size_t n)
{
	struct pairs	keys = { NULL, 0, 0, false };
	size_t		i;

	for (i = 0; i < n; i++) {
		const struct blob_match	*m = item[i].match;

		if (m->kind == KIND_ANY)
			pairs_add(&keys, 0, item[i].key);
		if (m->kind == KIND_SERVICE)
			pairs_add(&keys, 1 + m->service, item[i].key);
	}
	pairs_sort(&keys);
	return lists_make(&c->others, 1 + c->policy->head->services, &keys);
}

static int
make_ports(struct cover *c, const struct index_item *item, size_t n)
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

	for (i = 0; i < c->sets.n; i++) {
		const struct blob_set	*s = &c->policy->set[c->sets.set[i]];
		const struct prefix	*p = c->policy->prefix + s->first;

		if (sets_is_big(&c->sets, i))
			continue;
		for (k = 0; k < s->n; k++)
			if (p[k].family == family)
				v[n++] = (struct net_pair){ p[k], i };
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

	for (i = 0; i < c->sets.n; i++)
		total += sets_is_big(&c->sets, i) ? 0 : sets_size(&c->sets, i);
	if ((v = malloc(total * sizeof(*v))) == NULL)
		return -1;
	failed = nets_make(&c->v4, v, collect_nets(c, ADDR_V4, v),
	    &c->sets.items) == -1 || nets_make(&c->v6, v,
	    collect_nets(c, ADDR_V6, v), &c->sets.items) == -1;
	free(v);
	return failed ? -1 : 0;
}

int
cover_make(struct cover *c, const struct policy *p,
    const struct index_item *item, size_t n)
{
	c->policy = c->sets.policy = p;
	return sets_make(&c->sets, item, n) == -1 ||
	    make_others(c, item, n) == -1 || make_ports(c, item, n) == -1 ||
	    make_nets(c) == -1 ? -1 : 0;
}

void
cover_free(struct cover *c)
{
	ports_free(&c->ports);
	lists_free(&c->others);
	sets_free(&c->sets);
	nets_free(&c->v4);
	nets_free(&c->v6);
}

/* ---- asking one ---------------------------------------------------------------------- */

void
cover_find(const struct cover *c, const struct endpoint *e, struct spot *s)
{
	uint32_t	i;

	*s = (struct spot){ .cover = c, .service = BLOB_NONE, .any = true,
	    .nets = e->family == ADDR_V4 ? &c->v4 : &c->v6,
	    .port = e->port };
	s->node = nets_find(s->nets, e);
	s->sum = list_length(&c->others, 0);
	if (s->node != POLICY_NO_RULE)
		s->sum += s->nets->node[s->node].sum;
	for (i = 0; i < c->sets.nbig; i++) {
		const struct blob_set *b = &c->policy->set[
					    c->sets.set[c->sets.big[i]]];

		if (prefix_search(c->policy->prefix + b->first, b->n, e) == NULL)
			continue;
		s->big |= UINT32_C(1) << i;
		s->sum += list_length(&c->sets.items, c->sets.big[i]);
	}
}

void
cover_service(const struct cover *c, uint32_t service, struct spot *s)
{
	*s = (struct spot){ .cover = c, .service = service, .any = true,
	    .nets = &c->v4, .node = POLICY_NO_RULE,
	    .port = c->policy->service[service].addr.port };
	s->sum = list_length(&c->others, 0) +
	    list_length(&c->others, 1 + service);
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
			best = list_first(&s->cover->sets.items,
			    sets->number[k], class, best, passes, arg);
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
		best = list_first(&c->others, 0, class, best, passes, arg);
	if (s->service != BLOB_NONE)
		best = list_first(&c->others, 1 + s->service, class, best,
		    passes, arg);
	for (i = 0; i < c->sets.nbig; i++)
		if ((s->big >> i & 1) != 0)
			best = list_first(&c->sets.items, c->sets.big[i],
			    class, best, passes, arg);
	return by_nets(s, class, best, passes, arg);
}
