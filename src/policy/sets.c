/*
 * The sets that a tenant's items are about, of prefixes or of names, each once, with
 * the items that have it: a table of a hundred rules is one set with a hundred items.
 * The few biggest ones are searched where they lie in the policy, so that an index is
 * as big as the rules are, not as the tables.
 *
 * Trusts: a policy that policy_load() accepted.
 * Must not: allocate once they are made.
 */
#include <stdlib.h>
#include <string.h>

#include "index.h"

/* What an item is about: a run of p->ref, or of p->nref. */
static const uint32_t *
refs_of(const struct sets *s, const struct blob_match *m, uint32_t *n)
{
	*n = s->names ? m->nnames : m->nrefs;
	return s->names ? s->policy->nref + m->name : s->policy->ref + m->ref;
}

static int
compare(const void *a, const void *b)
{
	const uint32_t	*x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int
collect(struct sets *s, const struct index_item *item, size_t n)
{
	const uint32_t	*ref;
	uint32_t	 k;
	size_t		 i, total = 0;

	for (i = 0; i < n; i++) {
		(void)refs_of(s, item[i].match, &k);
		total += k;
	}
	if ((s->set = malloc((total + 1) * sizeof(*s->set))) == NULL)
		return -1;
	for (i = total = 0; i < n; i++, total += k) {
		ref = refs_of(s, item[i].match, &k);
		if (k > 0)
			memcpy(s->set + total, ref, k * sizeof(*ref));
	}
	if (total > 0)
		qsort(s->set, total, sizeof(*s->set), compare);
	for (i = 0; i < total; i++)
		if (i == 0 || s->set[i] != s->set[i - 1])
			s->set[s->n++] = s->set[i];
	return 0;
}

uint32_t
sets_size(const struct sets *s, uint32_t i)
{
	return s->names ? s->policy->nset[s->set[i]].n :
	    s->policy->set[s->set[i]].n;
}

/* The biggest ones, if they are big. */
static void
choose_big(struct sets *s)
{
	uint32_t	i, k;

	for (i = 0; i < s->n; i++) {
		if (sets_size(s, i) < BIG_LEAST || (s->nbig == BIG_SETS &&
		    sets_size(s, i) <= sets_size(s, s->big[BIG_SETS - 1])))
			continue;
		k = s->nbig < BIG_SETS ? s->nbig++ : s->nbig - 1;
		for (; k > 0 && sets_size(s, s->big[k - 1]) < sets_size(s, i);
		    k--)
			s->big[k] = s->big[k - 1];
		s->big[k] = i;
	}
}

bool
sets_is_big(const struct sets *s, uint32_t i)
{
	uint32_t	k;

	for (k = 0; k < s->nbig; k++)
		if (s->big[k] == i)
			return true;
	return false;
}

int
sets_make(struct sets *s, const struct index_item *item, size_t n)
{
	struct pairs	 keys = { NULL, 0, 0, false };
	const uint32_t	*ref, *at;
	uint32_t	 k;
	size_t		 i;

	if (collect(s, item, n) == -1)
		return -1;
	choose_big(s);
	for (i = 0; i < n; i++)
		for (ref = refs_of(s, item[i].match, &k); k > 0; k--, ref++) {
			at = bsearch(ref, s->set, s->n, sizeof(*ref), compare);
			pairs_add(&keys, (uint32_t)(at - s->set), item[i].key);
		}
	pairs_sort(&keys);
	return lists_make(&s->items, s->n, &keys);
}

void
sets_free(struct sets *s)
{
	free(s->set);
	lists_free(&s->items);
}
