/*
 * Which items are about a name. keys.c says with which keys a policy could mean a
 * name; here each key has the sets that it stands in, and each set has its items. The
 * other half of the question is the port, as in cover.c: of both ways the shorter one
 * is taken.
 *
 * Trusts: a policy that policy_load() accepted.
 * Must not: decide: what it finds may match, and is matched by its caller. Must not:
 * allocate once it is made.
 */
#include <stdlib.h>

#include "index.h"

#define FEW	32u		/* items, that are looked at without a count */

/* ---- making one -------------------------------------------------------------------- */

/* The keys of all sets that are not big, and where each stands. */
static void
collect_keys(const struct called *c, struct pairs *p)
{
	uint32_t	i, k;

	for (i = 0; i < c->sets.n; i++) {
		const struct blob_nset	*s = &c->policy->nset[c->sets.set[i]];

		if (sets_is_big(&c->sets, i))
			continue;
		for (k = s->first; k < s->first + s->n; k++)
			pairs_add(p, c->policy->key[k], i);
	}
	pairs_sort(p);
}

static int
make_keys(struct called *c)
{
	struct pairs	p = { NULL, 0, 0, false };
	uint32_t	n = 0, key;
	size_t		i;

	collect_keys(c, &p);
	if ((c->key = malloc((p.n + 1) * sizeof(*c->key))) == NULL) {
		free(p.v);
		return -1;
	}
	for (i = 0; i < p.n; i++) {
		key = (uint32_t)(p.v[i] >> 32);
		if (n == 0 || c->key[n - 1] != key)
			c->key[n++] = key;
		p.v[i] = (uint64_t)(n - 1) << 32 | (uint32_t)p.v[i];
	}
	return lists_make(&c->with, n, &p);
}

int
called_make(struct called *c, const struct policy *p,
    const struct index_item *item, size_t n)
{
	struct pairs	ports = { NULL, 0, 0, false };
	size_t		i;

	c->policy = c->sets.policy = p;
	c->sets.names = true;
	if (sets_make(&c->sets, item, n) == -1 || make_keys(c) == -1)
		return -1;
	for (i = 0; i < n; i++)
		ports_add(&ports, p, item[i].match, item[i].key);
	return ports_make(&c->ports, &ports);
}

void
called_free(struct called *c)
{
	ports_free(&c->ports);
	sets_free(&c->sets);
	lists_free(&c->with);
	free(c->key);
}

/* ---- asking one ---------------------------------------------------------------------- */

/*
 * Where it stands in a run of keys, or n. Names are numbered in the order of their
 * hashes, so those of a set are spread evenly: it is near where it should be. From
 * there the steps double, so that it is found as soon however they are spread.
 */
static uint32_t
search(const struct policy *p, const uint32_t *v, uint32_t n, uint32_t key)
{
	uint32_t	lo = 0, left, half, step = 1, at;

	if (n == 0)
		return n;
	at = (uint32_t)((uint64_t)key * n / ((uint64_t)p->head->names << 2));
	if (v[at] <= key) {
		for (lo = at; step < n - lo && v[lo + step] <= key; step *= 2)
			lo += step;
		left = step < n - lo ? step : n - lo;
	} else {
		for (; step <= at && v[at - step] > key; step *= 2)
			at -= step;
		lo = step <= at ? at - step : 0;
		left = at - lo;
	}
	for (; left > 1; left -= half) {
		half = left / 2;
		lo += v[lo + half] <= key ? half : 0;
	}
	return v[lo] == key ? lo : n;
}

static void
add_big(struct calling *s, uint32_t key)
{
	const struct called	*c = s->called;
	uint32_t		 i;

	for (i = 0; i < c->sets.nbig; i++) {
		const struct blob_nset	*b = &c->policy->nset[
					    c->sets.set[c->sets.big[i]]];

		if ((s->big >> i & 1) != 0 || search(c->policy,
		    c->policy->key + b->first, b->n, key) == b->n)
			continue;
		s->big |= UINT32_C(1) << i;
		s->sum += list_length(&c->sets.items, c->sets.big[i]);
	}
}

static void
add_key(struct calling *s, uint32_t key)
{
	const struct called	*c = s->called;
	uint32_t		 i, at = search(c->policy, c->key, c->with.n,
				    key);

	if (at == c->with.n)
		return;
	for (i = c->with.start[at]; i < c->with.start[at + 1]; i++)
		s->sum += list_length(&c->sets.items, c->with.number[i]);
	s->at[s->n++] = at;
}

void
called_find(const struct called *c, const uint32_t *key, uint32_t n,
    struct calling *s)
{
	uint32_t	i;

	s->called = c;
	s->n = s->big = s->sum = 0;
	s->proto = PROTO_NONE;
	for (i = 0; i < n; i++) {
		add_key(s, key[i]);
		add_big(s, key[i]);
	}
}

uint32_t
called_first(const struct calling *s, uint32_t class, uint32_t best,
    item_test *passes, const void *arg)
{
	const struct called	*c = s->called;
	uint32_t		 i, k;

	if (s->sum > FEW && s->proto != PROTO_NONE &&
	    ports_count(&c->ports, s->proto, s->port, class) < s->sum)
		return ports_first(&c->ports, s->proto, s->port, class, best,
		    passes, arg);
	for (i = 0; i < s->n; i++)
		for (k = c->with.start[s->at[i]];
		    k < c->with.start[s->at[i] + 1]; k++)
			best = list_first(&c->sets.items, c->with.number[k],
			    class, best, passes, arg);
	for (i = 0; i < c->sets.nbig; i++)
		if ((s->big >> i & 1) != 0)
			best = list_first(&c->sets.items, c->sets.big[i],
			    class, best, passes, arg);
	return best;
}
