/*
 * Slots and those who wait for them. See slots.h.
 *
 * Who waits for one of all has its place at its address already, so a place that
 * becomes free goes to the next of that address, and no walk is ever longer than
 * one step, whatever addresses a guest chooses.
 *
 * Trusts: its caller, that no more than `most` take or wait at once.
 * Must not: allocate after the start, or let who comes later have a slot that one
 * before it could have had.
 */
#include <stdlib.h>

#include "hash.h"
#include "slots.h"

#define NONE	0u

struct target {			/* an address that somebody has a place at */
	struct endpoint	addr;
	uint32_t	count;
	uint32_t	next;
	struct slot_list queue;	/* only while all its places are taken */
};

/* Zeroed memory is empty tables, and a page that no target has needed is not touched. */
int
slots_init(struct slots *s, uint32_t max, uint32_t max_addr, uint32_t most)
{
	uint32_t	size = 16;

	while (size < most)
		size *= 2;
	s->max = max;
	s->max_addr = max_addr != 0 ? max_addr : UINT32_MAX;
	s->mask = size - 1;
	TAILQ_INIT(&s->placed);
	s->head = calloc(size, sizeof(*s->head));
	s->target = calloc((size_t)most + 1, sizeof(*s->target));
	return s->head == NULL || s->target == NULL ? -1 : 0;
}

void
slots_free(struct slots *s)
{
	free(s->head);
	free(s->target);
}

/* The link that leads to the address's target, or to NONE at the chain's end. */
static uint32_t *
target_find(struct slots *s, const struct endpoint *addr)
{
	uint64_t	 h = hash_bytes(addr, sizeof(*addr));
	uint32_t	*link = &s->head[h & s->mask];

	while (*link != NONE && !addr_equal(&s->target[*link].addr, addr))
		link = &s->target[*link].next;
	return link;
}

static struct target *
target_get(struct slots *s, const struct endpoint *addr)
{
	uint32_t	*link = target_find(s, addr), i = *link;

	if (i != NONE)
		return &s->target[i];
	if ((i = s->spare) != NONE)
		s->spare = s->target[i].next;
	else
		i = ++s->fresh;
	s->target[i] = (struct target){ .addr = *addr, .next = NONE };
	TAILQ_INIT(&s->target[i].queue);
	*link = i;
	return &s->target[i];
}

static void
place(struct slots *s, struct target *t, struct slot *slot)
{
	t->count++;
	slot->state = SLOT_PLACED;
	TAILQ_INSERT_TAIL(&s->placed, slot, entry);
}

/* Its place is the next one's there, or nobody's. */
static void
leave(struct slots *s, const struct slot *slot)
{
	uint32_t	*link = target_find(s, &slot->addr), i = *link;
	struct target	*t = &s->target[i];
	struct slot	*next = TAILQ_FIRST(&t->queue);

	t->count--;
	if (next != NULL) {
		TAILQ_REMOVE(&t->queue, next, entry);
		place(s, t, next);
	} else if (t->count == 0) {
		*link = t->next;
		t->next = s->spare;
		s->spare = i;
	}
}

bool
slots_due(const struct slots *s)
{
	return s->taken < s->max && !TAILQ_EMPTY(&s->placed);
}

void *
slots_next(struct slots *s)
{
	struct slot	*slot = TAILQ_FIRST(&s->placed);

	if (!slots_due(s))
		return NULL;
	TAILQ_REMOVE(&s->placed, slot, entry);
	s->taken++;
	slot->state = SLOT_TAKEN;
	return slot->owner;
}

bool
slots_take(struct slots *s, struct slot *slot, const struct endpoint *addr,
    void *owner)
{
	struct target	*t;

	slot->addr = endpoint_canonical(*addr);
	slot->addr.port = 0;
	slot->owner = owner;
	t = target_get(s, &slot->addr);
	if (t->count >= s->max_addr) {
		slot->state = SLOT_QUEUED;
		TAILQ_INSERT_TAIL(&t->queue, slot, entry);
		return false;
	}
	if (s->taken >= s->max || !TAILQ_EMPTY(&s->placed)) {
		place(s, t, slot);
		return false;
	}
	t->count++;
	s->taken++;
	slot->state = SLOT_TAKEN;
	return true;
}

void
slots_give(struct slots *s, struct slot *slot)
{
	enum slot_state	was = slot->state;

	slot->state = SLOT_NONE;
	if (was == SLOT_QUEUED)
		TAILQ_REMOVE(&target_get(s, &slot->addr)->queue, slot, entry);
	if (was == SLOT_PLACED)
		TAILQ_REMOVE(&s->placed, slot, entry);
	if (was == SLOT_TAKEN)
		s->taken--;
	if (was == SLOT_PLACED || was == SLOT_TAKEN)
		leave(s, slot);
}
