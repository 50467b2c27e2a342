/*
 * Prefixes that lie in each other, for one family: the last one that does not begin
 * after an address, or one that this lies in, is the narrowest that holds it; from
 * there on they are nested, so there are never more of them than an address has bits.
 *
 * Trusts: prefix_valid() of each.
 * Must not: allocate once it is made.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "index.h"

static struct net_key
key_of(const uint8_t addr[16])
{
	struct net_key	k;

	memcpy(&k.hi, addr, 8);
	memcpy(&k.lo, addr + 8, 8);
	k.hi = be64toh(k.hi);
	k.lo = be64toh(k.lo);
	return k;
}

static bool
holds(const struct net_tree *t, uint32_t i, const struct net_key *k)
{
	const struct net_key	*n = &t->key[i];
	uint32_t		 len = t->node[i].len;

	if (len == 0)
		return true;
	if (len <= 64)
		return (n->hi ^ k->hi) >> (64 - len) == 0;
	return n->hi == k->hi && (n->lo ^ k->lo) >> (128 - len) == 0;
}

/* From one that may hold it upwards. */
static uint32_t
climb(const struct net_tree *t, uint32_t i, const struct net_key *k)
{
	while (i != POLICY_NO_RULE && !holds(t, i, k))
		i = t->node[i].up;
	return i;
}

uint32_t
nets_find(const struct net_tree *t, const struct endpoint *e)
{
	struct net_key	k = key_of(e->addr);
	uint32_t	lo = 0, n = t->n, half;

	if (n == 0)
		return POLICY_NO_RULE;
	while (n > 1) {
		half = n / 2;
		if (t->key[lo + half].hi < k.hi ||
		    (t->key[lo + half].hi == k.hi &&
		    t->key[lo + half].lo <= k.lo))
			lo += half;
		n -= half;
	}
	return climb(t, lo, &k);
}

static int
compare(const void *a, const void *b)
{
	const struct net_pair	*x = a, *y = b;
	int			 c = prefix_compare(&x->prefix, &y->prefix);

	return c != 0 ? c : (x->set > y->set) - (x->set < y->set);
}

/* A prefix stands behind all that it lies in: the last one or one above that. */
static void
add_node(struct net_tree *t, const struct prefix *p)
{
	struct net_key	k = key_of(p->addr);
	uint32_t	at = t->n, up = at > 0 ? at - 1 : POLICY_NO_RULE;

	up = climb(t, up, &k);
	t->key[at] = k;
	t->node[at] = (struct net_node){ .up = up, .len = p->len };
	t->n++;
}

/* As it is saturated, it is never too small to be compared. */
static uint32_t
plus(uint32_t a, uint32_t b)
{
	return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

static void
weigh(struct net_tree *t, const struct lists *weight)
{
	uint32_t	i, k, sum;

	for (i = 0; i < t->n; i++) {
		sum = t->node[i].up != POLICY_NO_RULE ?
		    t->node[t->node[i].up].sum : 0;
		for (k = t->sets.start[i]; k < t->sets.start[i + 1]; k++)
			sum = plus(sum, list_length(weight,
			    t->sets.number[k]));
		t->node[i].sum = sum;
	}
}

int
nets_make(struct net_tree *t, struct net_pair *v, size_t n,
    const struct lists *weight)
{
	struct pairs	sets = { NULL, 0, 0, false };
	size_t		i;

	t->key = malloc((n + 1) * sizeof(*t->key));
	t->node = malloc((n + 1) * sizeof(*t->node));
	if (t->key == NULL || t->node == NULL)
		return -1;
	if (n > 0)
		qsort(v, n, sizeof(*v), compare);
	for (i = 0; i < n; i++) {
		if (i == 0 || prefix_compare(&v[i - 1].prefix,
		    &v[i].prefix) != 0)
			add_node(t, &v[i].prefix);
		pairs_add(&sets, t->n - 1, v[i].set);
	}
	if (lists_make(&t->sets, t->n, &sets) == -1)
		return -1;
	weigh(t, weight);
	return 0;
}

void
nets_free(struct net_tree *t)
{
	free(t->key);
	free(t->node);
	lists_free(&t->sets);
}
