/*
 * Distinct things, in the order in which they were first seen, and found by their
 * first bytes in the same time however many there are: a log is read once.
 *
 * Trusts: nothing of what is in an item: names are guests'. The seed keeps them from
 * choosing what falls together.
 * Must not: give an order that depends on the seed.
 */
#include <sys/random.h>

#include <stdlib.h>
#include <string.h>

#include "learn.h"

#define SLOTS_FIRST	64

static uint64_t
mix(uint64_t h, uint64_t word)
{
	h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 32;
}

/* A word at a time: most of a name is NULs. */
static uint64_t
hash(const unsigned char *p, size_t n)
{
	static uint64_t	seed;
	uint64_t	h, word;

	if (seed == 0 && getrandom(&seed, sizeof(seed), 0) == -1)
		seed = 1;
	for (h = seed; n > 0; p += 8, n -= n < 8 ? n : 8) {
		word = 0;
		memcpy(&word, p, n < 8 ? n : 8);
		h = mix(h, word);
	}
	return mix(h, seed);
}

void *
list_at(const struct list *l, size_t i)
{
	return l->item + i * l->size;
}

/* The slot that has it, or where it would be. */
static size_t
slot_of(const struct list *l, const void *key)
{
	size_t	at = hash(key, l->key) & (l->nslot - 1);

	while (l->slot[at] != 0 &&
	    memcmp(list_at(l, l->slot[at] - 1), key, l->key) != 0)
		at = (at + 1) & (l->nslot - 1);
	return at;
}

size_t
list_find(const struct list *l, const void *key)
{
	size_t	at;

	if (l->nslot == 0)
		return LIST_NONE;
	at = slot_of(l, key);
	return l->slot[at] == 0 ? LIST_NONE : l->slot[at] - 1;
}

static void
make_slots(struct list *l)
{
	size_t	i;

	if (l->nslot != 0 && l->n < l->nslot / 2)
		return;
	l->nslot = l->nslot == 0 ? SLOTS_FIRST : l->nslot * 2;
	free(l->slot);
	if ((l->slot = calloc(l->nslot, sizeof(*l->slot))) == NULL)
		fatalx("learn: no memory");
	for (i = 0; i < l->n; i++)
		l->slot[slot_of(l, list_at(l, i))] = (uint32_t)i + 1;
}

static void
make_room(struct list *l)
{
	if (l->n < l->room)
		return;
	if (l->n >= UINT32_MAX - 1)
		fatalx("learn: more than can be counted");
	l->room = l->room == 0 ? 16 : l->room * 2;
	l->item = reallocarray(l->item, l->room, l->size);
	if (l->item == NULL)
		fatalx("learn: no memory");
}

size_t
list_put(struct list *l, const void *item)
{
	size_t	at;

	make_slots(l);
	at = slot_of(l, item);
	if (l->slot[at] != 0)
		return l->slot[at] - 1;
	make_room(l);
	memcpy(list_at(l, l->n), item, l->size);
	l->slot[at] = (uint32_t)++l->n;
	return l->n - 1;
}

void
list_empty(struct list *l)
{
	l->n = 0;
	if (l->nslot > 0)
		memset(l->slot, 0, l->nslot * sizeof(*l->slot));
}

void
list_free(struct list *l)
{
	free(l->item);
	free(l->slot);
	l->item = NULL;
	l->slot = NULL;
	l->n = l->room = l->nslot = 0;
}

void
list_sort(struct list *l, int (*order)(const void *, const void *))
{
	if (l->n > 1)
		qsort(l->item, l->n, l->size, order);
}
