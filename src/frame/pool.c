/*
 * The chunks. All memory that a guest can fill with payload is here, in
 * link.c's buffers and in ahead.c's; all are of fixed size, so a frame cannot grow.
 *
 *	link.c		256 x 64 KB	17 MB	(small buffers: 2048 x 1.6 KB)
 *	large chunks	256 x 64 KB	17 MB
 *	small chunks	18432 x 1 KB	19 MB
 *	ahead.c		576 x 1.6 KB	 1 MB	(static)
 *	flows, lwIP	8 000 flows	 8 MB	(malloc)
 *
 * which is below 64 MB, what one guest may cost. What was never used costs nothing:
 * an idle guest's frame is a few megabytes.
 *
 * Trusts: nothing. Must not: be called with a chunk twice; there is no test for
 * that but the sanitizer builds.
 */
#include <stdlib.h>

#include "log.h"
#include "pool.h"

#define LARGE_COUNT	256
/*
 * Two for each of 8 000 flows and some: up.c and down.c let nobody have a second one
 * in a direction when only as many are left as there are flows without a first.
 * So a flow always goes on, however much the others hold.
 */
#define SMALL_COUNT	18432

struct pool {
	struct chunk_queue	 free;		/* used before */
	uint8_t			*fresh;		/* never used: no page of it is there */
	size_t			 step;
	uint32_t		 size;
	unsigned int		 nfresh, nfree;	/* nfree: of both kinds */
};

static struct pool	large, small;

static void
carve(struct pool *p, uint32_t size, unsigned int n)
{
	TAILQ_INIT(&p->free);
	p->size = size;
	p->step = (sizeof(struct chunk) + size + 31) & ~(size_t)31;
	p->nfresh = p->nfree = n;
	if ((p->fresh = aligned_alloc(32, p->step * n)) == NULL)
		fatal("no memory for the chunks");
}

void
pool_init(void)
{
	carve(&large, CHUNK_LARGE, LARGE_COUNT);
	carve(&small, CHUNK_SMALL, SMALL_COUNT);
}

static struct chunk *
fresh(struct pool *p)
{
	struct chunk	*c = (struct chunk *)(void *)p->fresh;

	p->fresh += p->step;
	p->nfresh--;
	c->size = p->size;
	return c;
}

static struct chunk *
take(struct pool *p, unsigned int reserve)
{
	struct chunk	*c = TAILQ_FIRST(&p->free);

	if (p->nfree <= reserve)
		return NULL;
	p->nfree--;
	if (c == NULL)
		c = fresh(p);
	else
		TAILQ_REMOVE(&p->free, c, entry);
	c->begin = c->end = 0;
	return c;
}

struct chunk *
chunk_get(bool want_large, unsigned int reserve)
{
	struct chunk	*c;

	if (!want_large && (c = take(&small, reserve)) != NULL)
		return c;
	if ((c = take(&large, 0)) != NULL || !want_large)
		return c;
	return take(&small, reserve);
}

/* Last in, first out: what was used last is in the cache. */
void
chunk_put(struct chunk *c)
{
	struct pool	*p = c->size == CHUNK_LARGE ? &large : &small;

	TAILQ_INSERT_HEAD(&p->free, c, entry);
	p->nfree++;
}

bool
pool_holds(uint32_t len, unsigned int reserve)
{
	return large.nfree >= 2 ||
	    small.nfree > reserve + len / CHUNK_SMALL + 1;
}

uint64_t
pool_free_bytes(unsigned int reserve)
{
	uint64_t	n = (uint64_t)large.nfree * CHUNK_LARGE;

	if (small.nfree > reserve)
		n += (uint64_t)(small.nfree - reserve) * CHUNK_SMALL;
	return n;
}
