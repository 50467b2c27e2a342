/*
 * The flows that have a flow.open, or as yet a flow.dial, in the log and no end, and
 * the questions that have a dns.ask and no dns: what must be closed when the broker
 * or an earlier recorder is found dead.
 *
 * Bounded by OPENS_MAX; the table is keyed with a random seed, so that nobody
 * who chooses flow numbers chooses a bucket.
 *
 * Must not: hold what is not in the log.
 */
#include <sys/mman.h>

#include <stdlib.h>
#include <string.h>

#include "recorder.h"

#define BUCKETS		16384

struct openset {
	uint64_t		 seed;
	size_t			 count;
	size_t			 cursor;	/* openset_take_stale goes on here */
	struct open_flow	*bucket[BUCKETS];
};

struct openset *
openset_new(uint64_t seed)
{
	/* zeroed page by page, as it is used: calloc(3) clears all that a heap had */
	struct openset	*s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (s == MAP_FAILED)
		return NULL;
	s->seed = seed;
	return s;
}

void
openset_free(struct openset *s)
{
	struct open_flow	*f, *next;
	size_t			 i;

	for (i = 0; i < BUCKETS; i++)
		for (f = s->bucket[i]; f != NULL; f = next) {
			next = f->next;
			free(f);
		}
	munmap(s, sizeof(*s));
}

size_t
openset_count(const struct openset *s)
{
	return s->count;
}

static struct open_flow **
slot(const struct openset *s, const uint8_t inst[16], uint64_t flow)
{
	struct open_flow *const	*p;
	uint64_t		 h;

	memcpy(&h, inst, sizeof(h));
	h ^= flow ^ s->seed;
	h *= UINT64_C(0x9e3779b97f4a7c15);	/* 2^64 / golden ratio */
	h ^= h >> 32;
	h *= s->seed | 1;
	p = &s->bucket[(h >> 32) % BUCKETS];
	while (*p != NULL && ((*p)->flow != flow ||
	    memcmp((*p)->inst, inst, 16) != 0))
		p = &(*p)->next;
	return (struct open_flow **)(uintptr_t)p;
}

struct open_flow *
openset_find(const struct openset *s, const uint8_t inst[16], uint64_t flow)
{
	return *slot(s, inst, flow);
}

static void
drop(struct openset *s, struct open_flow **p)
{
	struct open_flow	*f = *p;

	*p = f->next;
	free(f);
	s->count--;
}

void
openset_del(struct openset *s, const uint8_t inst[16], uint64_t flow)
{
	struct open_flow	**p = slot(s, inst, flow);

	if (*p != NULL)
		drop(s, p);
}

int
openset_add(struct openset *s, enum open_kind kind, const uint8_t inst[16],
    uint64_t flow, uint64_t seq, const struct slice *body)
{
	struct open_flow	*f, **p;

	openset_del(s, inst, flow);
	if (s->count >= OPENS_MAX)
		return -1;
	if ((f = malloc(sizeof(*f) + body->len)) == NULL)
		return -1;
	f->flow = flow;
	f->seq = seq;
	f->kind = kind;
	memcpy(f->inst, inst, 16);
	f->len = body->len;
	if (body->len > 0)	/* a damaged old line may have none */
		memcpy(f->body, body->p, body->len);
	p = slot(s, inst, flow);
	f->next = NULL;
	*p = f;
	s->count++;
	return 0;
}

void
openset_void(struct openset *s, uint64_t from, uint64_t to)
{
	struct open_flow	**p;
	size_t			  i;

	for (i = 0; i < BUCKETS; i++)
		for (p = &s->bucket[i]; *p != NULL;) {
			if ((*p)->seq >= from && (*p)->seq <= to)
				drop(s, p);
			else
				p = &(*p)->next;
		}
}

struct open_flow *
openset_take_stale(struct openset *s, const uint8_t *keep)
{
	struct open_flow	**p, *f;
	size_t			  n;

	for (n = 0; n < BUCKETS; n++, s->cursor = (s->cursor + 1) % BUCKETS)
		for (p = &s->bucket[s->cursor]; *p != NULL; p = &(*p)->next) {
			f = *p;
			if (keep != NULL && memcmp(f->inst, keep, 16) == 0)
				continue;
			*p = f->next;
			s->count--;
			return f;
		}
	return NULL;
}

uint64_t
openset_oldest(const struct openset *s)
{
	const struct open_flow	*f;
	uint64_t		 oldest = 0;
	size_t			 i;

	if (s->count == 0)
		return 0;
	for (i = 0; i < BUCKETS; i++)
		for (f = s->bucket[i]; f != NULL; f = f->next)
			if (oldest == 0 || f->seq < oldest)
				oldest = f->seq;
	return oldest;
}
