/*
 * Datagrams that wait for their grant: copies in a fixed pool.
 *
 * Two sizes, because a slot for the largest datagram would waste 63 of 64 KB on
 * nearly every one. One guest has one frame, so the pool is the guest's budget;
 * when it is used up the datagram is lost, as in any router.
 *
 * Trusts: the lengths that packet_parse() checked. Must not: allocate.
 */
#include <string.h>

#include "dgram.h"

#define SMALL_SLOTS	1024
#define SMALL_SIZE	2048		/* an Ethernet MTU and struct held */
#define LARGE_SLOTS	32
#define LARGE_SIZE	(65536 + 64)	/* any packet and struct held */

static_assert(sizeof(struct held) <= 64, "a large slot takes any packet");

static _Alignas(16) uint8_t	small[SMALL_SLOTS][SMALL_SIZE];
static _Alignas(16) uint8_t	large[LARGE_SLOTS][LARGE_SIZE];
static unsigned int		small_used, large_used;	/* ever */
static STAILQ_HEAD(, held)	small_free = STAILQ_HEAD_INITIALIZER(small_free);
static STAILQ_HEAD(, held)	large_free = STAILQ_HEAD_INITIALIZER(large_free);

static struct held *
take_small(void)
{
	struct held	*h = STAILQ_FIRST(&small_free);

	if (h != NULL)
		STAILQ_REMOVE_HEAD(&small_free, entry);
	else if (small_used < SMALL_SLOTS)
		h = (struct held *)(void *)small[small_used++];
	return h;
}

static struct held *
take_large(void)
{
	struct held	*h = STAILQ_FIRST(&large_free);

	if (h != NULL)
		STAILQ_REMOVE_HEAD(&large_free, entry);
	else if (large_used < LARGE_SLOTS)
		h = (struct held *)(void *)large[large_used++];
	return h;
}

struct held *
hold_take(const struct dgram *g)
{
	bool		 big = g->ip_len > SMALL_SIZE - sizeof(struct held);
	struct held	*h;

	if (g->ip_len > LARGE_SIZE - sizeof(struct held))
		return NULL;
	if ((h = big ? take_large() : take_small()) == NULL)
		return NULL;
	h->large = big;
	h->df = g->df;
	h->ip_len = g->ip_len;
	h->l4_at = (uint32_t)(g->l4 - g->ip);
	h->l4_len = g->l4_len;
	memcpy(h->ip, g->ip, g->ip_len);
	return h;
}

void
hold_release(struct held *h)
{
	if (h->large)
		STAILQ_INSERT_HEAD(&large_free, h, entry);
	else
		STAILQ_INSERT_HEAD(&small_free, h, entry);
}

struct dgram
hold_view(const struct held *h)
{
	return (struct dgram){ h->ip, h->ip + h->l4_at, h->ip_len, h->l4_len,
	    h->df };
}
