/*
 * Adds up what comes in masses, denials and failed connects: per (reason, destination
 * net, port, protocol) or (reason, name) the first ten are told in full, the rest as
 * one sum every ten seconds. A kind that was quiet for a whole period is forgotten, so
 * its next ten are full again.
 *
 * Trusts: nothing of what it counts. Must not: lose a denial, allocate after the
 * start, or keep more kinds than AGGREGATE_KEYS.
 */
#include <stdlib.h>
#include <string.h>

#include "aggregate.h"
#include "hash.h"

#define BUCKETS		2048u		/* a power of two */
#define NONE		0u

struct kind {			/* no padding: it is hashed and compared as bytes */
	uint32_t	reason;
	uint32_t	proto;
	struct endpoint	net;
	struct name	name;		/* of a question, or none */
};
static_assert(sizeof(struct kind) == 284, "kind has no padding");

struct row {
	struct kind	kind;
	uint32_t	told;		/* in full */
	uint32_t	next;
	uint64_t	n, first, last;
	uint8_t		seen[32];	/* one bit per address, or per hash of one */
};

/* Zeroed memory is an empty one, and a page that no row has needed is never touched. */
struct aggregate {
	uint64_t	due;		/* 0 = not set yet */
	uint32_t	rows;
	uint32_t	fresh;		/* rows used once, so far */
	uint32_t	spare;
	uint32_t	others;		/* reasons of which there is something in other[] */
	uint32_t	head[BUCKETS];
	struct row	row[AGGREGATE_KEYS + 1];	/* number 0 is none */
	struct row	other[REASON_MAX];	/* when the rows are used up */
};

struct aggregate *
aggregate_new(void)
{
	return calloc(1, sizeof(struct aggregate));
}

void
aggregate_free(struct aggregate *a)
{
	free(a);
}

static struct kind
kind_of(enum reason reason, uint32_t proto, const struct endpoint *dst)
{
	struct prefix	p = prefix_of(dst, dst->family == ADDR_V4 ? 24 : 64);
	struct kind	k;

	memset(&k, 0, sizeof(k));
	k.reason = reason;
	k.proto = proto;
	k.net.family = dst->family;
	k.net.port = dst->port;
	memcpy(k.net.addr, p.addr, sizeof(k.net.addr));
	return k;
}

static uint32_t *
row_link(struct aggregate *a, const struct kind *k)
{
	uint32_t	*link;

	size_t		 len = offsetof(struct kind, name.text) + k->name.len;

	link = &a->head[hash_bytes(k, len) % BUCKETS];
	while (*link != NONE &&
	    memcmp(&a->row[*link].kind, k, sizeof(*k)) != 0)
		link = &a->row[*link].next;
	return link;
}

/* The row of this kind, a new one, or NULL if all are in use. */
static struct row *
row_get(struct aggregate *a, const struct kind *k)
{
	uint32_t	*link = row_link(a, k), i = *link;

	if (i != NONE)
		return &a->row[i];
	if (a->rows == AGGREGATE_KEYS)
		return NULL;
	if ((i = a->spare) != NONE)
		a->spare = a->row[i].next;
	else
		i = ++a->fresh;
	a->rows++;
	memset(&a->row[i], 0, sizeof(a->row[i]));
	a->row[i].kind = *k;
	a->row[i].next = NONE;
	*link = i;
	return &a->row[i];
}

/* id: what is counted as one target; its low byte is looked at. */
static void
row_count(struct row *r, uint64_t id, uint64_t ts)
{
	uint8_t	bit = (uint8_t)id;

	r->seen[bit / 8] |= (uint8_t)(1u << bit % 8);
	if (r->n++ == 0)
		r->first = ts;
	r->last = ts;
}

static struct row *
row_other(struct aggregate *a, uint32_t reason)
{
	struct row	*r = &a->other[reason];

	r->kind.reason = reason;
	if (r->n == 0)
		a->others++;
	return r;
}

static bool
deny(struct aggregate *a, const struct kind *k, uint64_t id, uint64_t ts,
    enum aggregate_how how)
{
	struct row	*r = NULL;

	if (how != AGGREGATE_FOLD || *row_link(a, k) != NONE)
		r = row_get(a, k);
	if (r != NULL && how == AGGREGATE_TELL && r->told < AGGREGATE_FULL) {
		r->told++;
		return true;
	}
	row_count(r != NULL ? r : row_other(a, k->reason), id, ts);
	return false;
}

bool
aggregate_deny(struct aggregate *a, enum reason reason, uint32_t proto,
    const struct endpoint *dst, uint64_t ts, enum aggregate_how how)
{
	struct kind	k = kind_of(reason, proto, dst);

	return deny(a, &k, dst->family == ADDR_V4 ? dst->addr[3] :
	    hash_bytes(dst->addr, sizeof(dst->addr)), ts, how);
}

bool
aggregate_name(struct aggregate *a, enum reason reason,
    const struct name *name, uint64_t ts, enum aggregate_how how)
{
	struct kind	k;

	memset(&k, 0, sizeof(k));
	k.reason = reason;
	k.name = *name;
	return deny(a, &k, hash_bytes(name, sizeof(*name)), ts, how);
}

void
aggregate_told(struct aggregate *a, enum reason reason, uint32_t proto,
    const struct endpoint *dst)
{
	struct kind	 k = kind_of(reason, proto, dst);
	struct row	*r = row_get(a, &k);

	if (r != NULL && r->told < AGGREGATE_FULL)
		r->told++;
}

bool
aggregate_hot(struct aggregate *a, enum reason reason, uint32_t proto,
    const struct endpoint *dst)
{
	struct kind	k = kind_of(reason, proto, dst);
	uint32_t	i = *row_link(a, &k);

	return i == NONE ? a->rows == AGGREGATE_KEYS :
	    a->row[i].told >= AGGREGATE_FULL;
}

static uint64_t
bits(const uint8_t seen[32])
{
	uint64_t	n = 0;
	unsigned int	i;

	for (i = 0; i < 256; i++)
		n += seen[i / 8] >> i % 8 & 1u;
	return n;
}

static struct aggregate_sum
row_sum(const struct row *r)
{
	return (struct aggregate_sum){ .reason = r->kind.reason,
	    .proto = r->kind.proto, .dst = r->kind.net, .name = r->kind.name,
	    .n = r->n, .first = r->first, .last = r->last,
	    .uniq = bits(r->seen) };
}

static void
row_clear(struct row *r)
{
	r->n = r->first = r->last = 0;
	memset(r->seen, 0, sizeof(r->seen));
}

static void
row_add(struct row *to, const struct row *r)
{
	unsigned int	i;

	if (to->n == 0 || r->first < to->first)
		to->first = r->first;
	if (r->last > to->last)
		to->last = r->last;
	to->n += r->n;
	for (i = 0; i < sizeof(to->seen); i++)
		to->seen[i] |= r->seen[i];
}

struct flush {
	bool	(*sum)(void *, const struct aggregate_sum *);
	void	*arg;
	bool	 due;
};

static void
row_hand_out(struct aggregate *a, struct row *r, const struct flush *f)
{
	struct aggregate_sum	s = row_sum(r);

	if (!f->sum(f->arg, &s))
		row_add(row_other(a, r->kind.reason), r);
	row_clear(r);
}

/* True if the row was quiet and is spare again. */
static bool
row_flush(struct aggregate *a, uint32_t *link, const struct flush *f)
{
	uint32_t	 i = *link;
	struct row	*r = &a->row[i];
	bool		 quiet = r->n == 0;

	if (!quiet)
		row_hand_out(a, r, f);
	if (!quiet || !f->due)
		return false;
	*link = r->next;
	r->next = a->spare;
	a->spare = i;
	a->rows--;
	return true;
}

/* Last, and whatever there is room for: they are few. */
static void
others_flush(struct aggregate *a, const struct flush *f)
{
	struct aggregate_sum	s;
	uint32_t		i;

	for (i = 0; a->others > 0 && i < REASON_MAX; i++) {
		if (a->other[i].n == 0)
			continue;
		s = row_sum(&a->other[i]);
		(void)f->sum(f->arg, &s);
		row_clear(&a->other[i]);
	}
	a->others = 0;
}

void
aggregate_flush(struct aggregate *a, uint64_t now, bool all,
    bool (*sum)(void *arg, const struct aggregate_sum *), void *arg)
{
	struct flush	f = { .sum = sum, .arg = arg };
	uint32_t	i, *link;

	if (a->due == 0)
		a->due = now + AGGREGATE_PERIOD;
	f.due = now >= a->due;
	if (!all && !f.due)
		return;
	if (f.due)
		a->due = now + AGGREGATE_PERIOD;
	for (i = 0; a->rows > 0 && i < BUCKETS; i++)
		for (link = &a->head[i]; *link != NONE; )
			if (!row_flush(a, link, &f))
				link = &a->row[*link].next;
	others_flush(a, &f);
	if (a->rows == 0)
		a->due = 0;
}

bool
aggregate_busy(const struct aggregate *a)
{
	return a->rows > 0 || a->others > 0;
}
