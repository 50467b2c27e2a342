/*
 * Sets of prefixes: sorted by family, address and length, and disjoint, so that
 * one binary search answers for a table of any size.
 *
 * Trusts: prefix_valid() of each prefix.
 * Must not: allocate, or know what a set is for.
 */
#include <stdlib.h>
#include <string.h>

#include "law.h"

int
prefix_compare(const struct prefix *a, const struct prefix *b)
{
	int	c;

	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	if ((c = memcmp(a->addr, b->addr, sizeof(a->addr))) != 0)
		return c;
	return a->len < b->len ? -1 : a->len > b->len;
}

static int
compare(const void *a, const void *b)
{
	return prefix_compare(a, b);
}

/* In sorted order what contains a prefix stands before it. */
size_t
prefix_normalise(struct prefix *p, size_t n)
{
	size_t	i, kept = 0;

	if (n == 0)
		return 0;
	qsort(p, n, sizeof(*p), compare);
	for (i = 1; i < n; i++)
		if (p[i].len < p[kept].len || !prefix_overlaps(&p[kept], &p[i]))
			p[++kept] = p[i];
	return kept + 1;
}

bool
prefix_normalised(const struct prefix *p, size_t n)
{
	size_t	i;

	for (i = 1; i < n; i++)
		if (prefix_compare(&p[i - 1], &p[i]) >= 0 ||
		    prefix_overlaps(&p[i - 1], &p[i]))
			return false;
	return true;
}

/* The last prefix that does not begin after the address is the only candidate. */
const struct prefix *
prefix_search(const struct prefix *p, size_t n, const struct endpoint *e)
{
	struct prefix	key = { .family = e->family, .len = UINT8_MAX };
	size_t		lo = 0, hi = n, mid;

	memcpy(key.addr, e->addr, sizeof(key.addr));
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (prefix_compare(&p[mid], &key) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo > 0 && prefix_contains(&p[lo - 1], e) ? &p[lo - 1] : NULL;
}
