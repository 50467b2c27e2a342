/*
 * Charges of one guest: live flows; connects under way, and what is connected and
 * has yet to show its first bytes (in all and to one address); opens per second.
 *
 * Trusts: its caller to charge before it allocates and to refund once.
 * Must not: allocate after the start, or let a guest's choice of addresses make
 * a look-up slow.
 */
#include <stdlib.h>
#include <string.h>

#include "quota.h"

#define NSEC	UINT64_C(1000000000)

struct quota {
	struct policy_limits	 limits;
	struct bucket		 opens;
	uint32_t		 conns;
	struct slots		 pending, unproven;
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

static uint32_t
within(uint32_t limit, uint32_t most)
{
	limit = smaller(limit, most);
	return limit != 0 ? limit : 1;
}

struct quota *
quota_new(const struct policy_limits *limits, uint32_t conns_max, uint64_t now)
{
	struct quota		*q = calloc(1, sizeof(*q));
	struct policy_limits	*l;

	if (q == NULL)
		return NULL;
	l = &q->limits;
	*l = *limits;
	l->conns = smaller(l->conns, conns_max);
	l->pending = within(smaller(l->pending, QUOTA_PENDING_MAX), l->conns);
	l->unproven = within(l->unproven, l->conns);
	bucket_init(&q->opens, l->rate, l->burst, now);
	if (slots_init(&q->pending, l->pending, l->pending_dst,
	    l->conns) == -1 || slots_init(&q->unproven, l->unproven,
	    l->unproven_dst, l->conns) == -1) {
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
	slots_free(&q->pending);
	slots_free(&q->unproven);
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
	return q->pending.taken;
}

uint32_t
quota_unproven(const struct quota *q)
{
	return q->unproven.taken;
}

bool
quota_at_rest(const struct quota *q, uint64_t now)
{
	return q->conns == 0 && bucket_full(&q->opens, now);
}

bool
quota_rate(struct quota *q, uint64_t now)
{
	return bucket_take(&q->opens, now);
}

bool
quota_conn(struct quota *q, struct charge *c)
{
	memset(c, 0, sizeof(*c));
	if (q->conns >= q->limits.conns)
		return false;
	q->conns++;
	c->conn = true;
	return true;
}

bool
quota_connecting(struct quota *q, const struct endpoint *dst,
    struct charge *c, void *owner)
{
	return slots_take(&q->pending, &c->pending, dst, owner);
}

bool
quota_proving(struct quota *q, const struct endpoint *dst, struct charge *c,
    void *owner)
{
	if (!slots_take(&q->unproven, &c->unproven, dst, owner))
		return false;
	slots_give(&q->pending, &c->pending);
	return true;
}

bool
quota_due(const struct quota *q)
{
	return slots_due(&q->unproven) || slots_due(&q->pending);
}

/* Proof first: it makes room for a connect. */
void *
quota_next(struct quota *q)
{
	void	*owner = slots_next(&q->unproven);

	return owner != NULL ? owner : slots_next(&q->pending);
}

void
quota_connected(struct quota *q, struct charge *c)
{
	slots_give(&q->pending, &c->pending);
}

void
quota_proven(struct quota *q, struct charge *c)
{
	slots_give(&q->unproven, &c->unproven);
	slots_give(&q->pending, &c->pending);
}

void
quota_refund(struct quota *q, struct charge *c)
{
	quota_proven(q, c);
	if (c->conn)
		q->conns--;
	c->conn = false;
}
