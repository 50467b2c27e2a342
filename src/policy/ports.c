/*
 * Which items have a port. A range is cut into pieces that are nodes of a tree over
 * all ports of a protocol: one piece for all of them, one for a single one, never
 * more than thirty; a port's are those of its 17 nodes, whatever ranges there are.
 *
 * Trusts: ranges that policy_load() accepted.
 * Must not: allocate once it is made.
 */
#include <stdlib.h>

#include "index.h"

#define SIDE	(1u << 16)	/* node SIDE + p is port p, its half is above it, ... */
#define ROOT	1u
#define DEPTHS	17u

static uint32_t
slot_of(uint32_t proto)
{
	return proto == PROTO_TCP ? 0 : proto == PROTO_UDP ? 1 : 2;
}

/* Nothing has port 0: with it, all ports are one piece. */
static void
add_range(struct pairs *p, const struct blob_range *r, uint32_t key)
{
	uint32_t	base = slot_of(r->proto) * 2 * SIDE;
	uint32_t	lo = SIDE + (r->lo == 1 ? 0 : r->lo);
	uint32_t	hi = SIDE + r->hi + 1;

	for (; lo < hi; lo /= 2, hi /= 2) {
		if ((lo & 1) != 0)
			pairs_add(p, base + lo++, key);
		if ((hi & 1) != 0)
			pairs_add(p, base + --hi, key);
	}
}

void
ports_add(struct pairs *p, const struct policy *policy,
    const struct blob_match *m, uint32_t key)
{
	uint32_t	i;

	for (i = m->range; i < m->range + m->nranges; i++)
		add_range(p, &policy->range[i], key);
	if (m->echo != 0)
		pairs_add(p, slot_of(PROTO_ECHO) * 2 * SIDE + ROOT, key);
}

/* How far a node is above a single port. */
static uint32_t
height(uint32_t node)
{
	uint32_t	k = 0;

	for (node %= 2 * SIDE; node < SIDE; node *= 2)
		k++;
	return k;
}

/* From here on a node is known by its place among those that are in use. */
int
ports_make(struct ports *t, struct pairs *p)
{
	uint32_t	n = 0, node;
	size_t		i;

	pairs_sort(p);
	if ((t->node = malloc((p->n + 1) * sizeof(*t->node))) == NULL) {
		free(p->v);
		return -1;
	}
	for (i = 0; i < p->n; i++) {
		node = (uint32_t)(p->v[i] >> 32);
		if (n == 0 || t->node[n - 1] != node) {
			t->node[n++] = node;
			t->depths[node / (2 * SIDE)] |= 1u << height(node);
		}
		p->v[i] = (uint64_t)(n - 1) << 32 | (uint32_t)p->v[i];
	}
	return lists_make(&t->keys, n, p);
}

void
ports_free(struct ports *t)
{
	free(t->node);
	lists_free(&t->keys);
}

/* Its place, or POLICY_NO_RULE. */
static uint32_t
find(const struct ports *t, uint32_t node)
{
	uint32_t	lo = 0, hi = t->keys.n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (t->node[mid] == node)
			return mid;
		if (t->node[mid] < node)
			lo = mid + 1;
		else
			hi = mid;
	}
	return POLICY_NO_RULE;
}

/* The next node that a port is in, from *k upwards, or POLICY_NO_RULE. */
static uint32_t
next(const struct ports *t, uint32_t proto, uint16_t port, uint32_t *k)
{
	uint32_t	slot = slot_of(proto), at, leaf;

	leaf = proto == PROTO_ECHO ? SIDE : SIDE + port;
	while (*k < DEPTHS) {
		at = (*k)++;
		if ((t->depths[slot] >> at & 1) != 0 && (at = find(t,
		    slot * 2 * SIDE + (leaf >> at))) != POLICY_NO_RULE)
			return at;
	}
	return POLICY_NO_RULE;
}

uint32_t
ports_first(const struct ports *t, uint32_t proto, uint16_t port,
    uint32_t class, uint32_t best, item_test *passes, const void *arg)
{
	uint32_t	k = 0, node;

	while ((node = next(t, proto, port, &k)) != POLICY_NO_RULE)
		best = list_first(&t->keys, node, class, best, passes, arg);
	return best;
}

uint32_t
ports_count(const struct ports *t, uint32_t proto, uint16_t port,
    uint32_t class)
{
	uint32_t	k = 0, node, n = 0;

	while ((node = next(t, proto, port, &k)) != POLICY_NO_RULE)
		n += list_count(&t->keys, node, class);
	return n;
}
