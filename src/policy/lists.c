/*
 * Many short lists of numbers, made once: two arrays for all of them.
 *
 * Trusts: its caller, that a list is below the count.
 * Must not: allocate once they are made.
 */
#include <stdlib.h>
#include <string.h>

#include "index.h"

void
pairs_add(struct pairs *p, uint32_t list, uint32_t number)
{
	uint64_t	*v = p->v;
	size_t		 cap = p->cap;

	if (p->n == cap) {
		cap = cap * 2 + 16;
		if ((v = reallocarray(v, cap, sizeof(*v))) == NULL) {
			p->failed = true;
			return;
		}
		p->v = v;
		p->cap = cap;
	}
	v[p->n++] = (uint64_t)list << 32 | number;
}

static int
compare(const void *a, const void *b)
{
	const uint64_t	*x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* What was added in order, as most is, is not sorted again. */
void
pairs_sort(struct pairs *p)
{
	size_t	i, kept = 0;

	for (i = 1; i < p->n && p->v[i - 1] < p->v[i]; i++)
		;
	if (i >= p->n)
		return;
	qsort(p->v, p->n, sizeof(*p->v), compare);
	for (i = 1; i < p->n; i++)
		if (p->v[i] != p->v[kept])
			p->v[++kept] = p->v[i];
	p->n = kept + 1;
}

int
lists_make(struct lists *l, uint32_t n, struct pairs *p)
{
	size_t	i;

	l->n = n;
	l->start = calloc((size_t)n + 1, sizeof(*l->start));
	l->number = malloc((p->n + 1) * sizeof(*l->number));
	if (l->start == NULL || l->number == NULL || p->failed) {
		free(p->v);
		return -1;
	}
	for (i = 0; i < p->n; i++) {
		l->start[(p->v[i] >> 32) + 1]++;
		l->number[i] = (uint32_t)p->v[i];
	}
	for (i = 0; i < n; i++)
		l->start[i + 1] += l->start[i];
	free(p->v);
	return 0;
}

void
lists_free(struct lists *l)
{
	free(l->start);
	free(l->number);
}

bool
item_any(const void *arg, uint32_t item)
{
	(void)arg;
	(void)item;
	return true;
}

/* ---- keys ----------------------------------------------------------------------- */

/* Where a class begins; short lists are walked. */
static uint32_t
class_start(const struct lists *l, uint32_t list, uint32_t class)
{
	uint32_t	key = class << KEY_BITS, lo = l->start[list],
			hi = l->start[list + 1], mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (l->number[mid] < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

uint32_t
list_first(const struct lists *l, uint32_t list, uint32_t class, uint32_t best,
    item_test *passes, const void *arg)
{
	uint32_t	i, item, end = l->start[list + 1];

	for (i = class_start(l, list, class); i < end &&
	    l->number[i] >> KEY_BITS == class; i++) {
		item = l->number[i] & ((1u << KEY_BITS) - 1);
		if (item >= best)
			break;
		if (passes(arg, item))
			return item;
	}
	return best;
}

uint32_t
list_count(const struct lists *l, uint32_t list, uint32_t class)
{
	return class_start(l, list, class + 1) - class_start(l, list, class);
}
