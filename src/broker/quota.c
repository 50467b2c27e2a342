/*
 * Charges of one guest: live flows, connects under way (in all and to one
 * address), opens per second.
 *
 * Trusts: its caller to charge before it allocates and to refund once.
 * Must not: allocate after the start, or let a guest's choice of addresses make
 * a look-up slow.
 */
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "quota.h"

#define NSEC	UINT64_C(1000000000)
#define NONE	0u

struct target {			/* one address with connects under way */
	struct endpoint	addr;
	uint32_t	count;
	uint32_t	next;
};

struct quota {
	struct policy_limits	 limits;
	struct bucket		 opens;
	uint32_t		 conns, pending;
	uint32_t		 mask;		/* of head[] */
	uint32_t		 fresh;		/* targets used once, so far */
	uint32_t		 spare;		/* list of those that are not now */
	uint32_t		*head;
	struct target		*target;	/* number 0 is none */
};

void
bucket_init(struct bucket *b, uint32_t rate, uint32_t burst, uint64_t now)
{
	memset(b, 0, sizeof(*b));
	b->rate = rate;
	b->burst = burst > 0 ? burst : 1;
	b->level = b->burst * NSEC;
	b->last = now;
}

bool
bucket_take(struct bucket *b, uint64_t now)
{
	uint64_t	full = b->burst * NSEC, gone;

	if (b->rate == 0)
		return true;
	gone = now > b->last ? now - b->last : 0;
	b->last = now;
	if (gone >= (full - b->level) / b->rate)
		b->level = full;
	else
		b->level += gone * b->rate;
	if (b->level < NSEC)
		return false;
	b->level -= NSEC;
	return true;
}

bool
bucket_full(const struct bucket *b, uint64_t now)
{
	uint64_t	full = b->burst * NSEC, gone;

	gone = now > b->last ? now - b->last : 0;
	return b->rate == 0 || gone >= (full - b->level) / b->rate;
}

static uint32_t
smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Zeroed memory is empty tables, and a page that no target has needed is not touched. */
static int
tables_new(struct quota *q)
{
	uint32_t	n = q->limits.pending, size = 16;

	while (size < n)
		size *= 2;
	q->head = calloc(size, sizeof(*q->head));
	q->target = calloc((size_t)n + 1, sizeof(*q->target));
	if (q->head == NULL || q->target == NULL)
		return -1;
	q->mask = size - 1;
	return 0;
}

struct quota *
quota_new(const struct policy_limits *limits, uint32_t conns_max, uint64_t now)
{
	struct quota	*q = calloc(1, sizeof(*q));

	if (q == NULL)
		return NULL;
	q->limits = *limits;
	q->limits.conns = smaller(limits->conns, conns_max);
	q->limits.pending = smaller(limits->pending, QUOTA_PENDING_MAX);
	q->limits.pending = smaller(q->limits.pending, q->limits.conns);
	if (q->limits.pending == 0)
		q->limits.pending = 1;
	bucket_init(&q->opens, limits->rate, limits->burst, now);
	if (tables_new(q) == -1) {
		quota_free(q);
		return NULL;
	}
	return q;
}

void
quota_free(struct quota *q)
{
	if (q == NULL)
		return;
	free(q->head);
	free(q->target);
	free(q);
}

uint32_t
quota_conns_max(const struct quota *q)
{
	return q->limits.conns;
}

uint32_t
quota_conns(const struct quota *q)
{
	return q->conns;
}

uint32_t
quota_pending(const struct quota *q)
{
	return q->pending;
}

bool
quota_at_rest(const struct quota *q, uint64_t now)
{
	return q->conns == 0 && q->pending == 0 && bucket_full(&q->opens, now);
}

bool
quota_rate(struct quota *q, uint64_t now)
{
	return bucket_take(&q->opens, now);
}

/* The link that leads to the address's target, or to NONE at the chain's end. */
static uint32_t *
target_find(struct quota *q, const struct endpoint *addr)
{
	uint64_t	 h = hash_bytes(addr, sizeof(*addr));
	uint32_t	*link = &q->head[h & q->mask];

	while (*link != NONE && !addr_equal(&q->target[*link].addr, addr))
		link = &q->target[*link].next;
	return link;
}

/* There are as many targets as connects may be under way, so one is spare. */
static bool
target_charge(struct quota *q, const struct endpoint *addr)
{
	uint32_t	*link = target_find(q, addr), i = *link;

	if (i == NONE) {
		if ((i = q->spare) != NONE)
			q->spare = q->target[i].next;
		else
			i = ++q->fresh;
		q->target[i] = (struct target){ .addr = *addr, .next = NONE };
		*link = i;
	}
	if (q->limits.pending_dst != 0 &&
	    q->target[i].count >= q->limits.pending_dst)
		return false;
	q->target[i].count++;
	return true;
}

static void
target_refund(struct quota *q, const struct endpoint *addr)
{
	uint32_t	*link = target_find(q, addr), i = *link;

	if (i == NONE || --q->target[i].count > 0)
		return;
	*link = q->target[i].next;
	q->target[i].next = q->spare;
	q->spare = i;
}

enum reason
quota_connecting(struct quota *q, const struct endpoint *dst, struct charge *c)
{
	struct endpoint	addr = endpoint_canonical(*dst);

	addr.port = 0;
	if (q->pending >= q->limits.pending || !target_charge(q, &addr))
		return REASON_PENDING;
	q->pending++;
	c->pending = true;
	c->dst = addr;
	return REASON_NONE;
}

enum reason
quota_charge(struct quota *q, const struct endpoint *dst, struct charge *c)
{
	enum reason	why;

	memset(c, 0, sizeof(*c));
	if (q->conns >= q->limits.conns)
		return REASON_CONNS;
	if ((why = quota_connecting(q, dst, c)) != REASON_NONE)
		return why;
	q->conns++;
	c->conn = true;
	return REASON_NONE;
}

void
quota_connected(struct quota *q, struct charge *c)
{
	if (!c->pending)
		return;
	c->pending = false;
	q->pending--;
	target_refund(q, &c->dst);
}

void
quota_refund(struct quota *q, struct charge *c)
{
	quota_connected(q, c);
	if (c->conn)
		q->conns--;
	c->conn = false;
}
