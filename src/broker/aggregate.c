/*
 * Adds up what comes in masses, denials and failed connects: per (reason, protocol,
 * rule) and destination net and port, or name, the first ten are told in full, the rest
 * as one sum every ten seconds. A kind that was quiet for a whole period is forgotten,
 * so its next ten are full again.
 *
 * Trusts: nothing of what it counts. Must not: lose a denial, allocate after the
 * start, or keep more kinds than AGGREGATE_KEYS; or let the names that a guest shows
 * take all of them.
 */
#include <stdlib.h>
#include <string.h>

#include "aggregate.h"
#include "distinct.h"
#include "hash.h"
#include "policy.h"

#define BUCKETS		2048u		/* a power of two */
#define NONE		0u

struct kind {			/* no padding: it is hashed and compared as bytes */
	uint32_t	reason;
	uint32_t	proto;
	uint32_t	rule;
	uint32_t	what;		/* enum attempt_name */
	struct endpoint	net;		/* of ATTEMPT_NO_NAME */
	struct name	name;
};
static_assert(sizeof(struct kind) == 292, "kind has no padding");

struct counts {
	uint64_t	n, first, last;
};

struct row {
	struct kind	kind;
	uint32_t	told;		/* in full */
	uint32_t	next;
	struct counts	counts;
	struct distinct	distinct;
};

/* Of all kinds of one reason that have no row. */
struct other {
	struct counts	counts;
	uint32_t	proto, rule;	/* of all, or none */
	uint32_t	wide;		/* its number, from 1; 0 = none is left */
};

/* Zeroed memory is an empty one, and a page that no row has needed is never touched. */
struct aggregate {
	uint64_t	due;		/* 0 = not set yet */
	uint32_t	rows;
	uint32_t	shown;		/* rows of names that flows have shown */
	uint32_t	fresh;		/* rows used once, so far */
	uint32_t	spare;
	uint32_t	others;		/* reasons of which there is something in other[] */
	uint32_t	wides;		/* in use; given back with the others */
	uint32_t	head[BUCKETS];
	struct row	row[AGGREGATE_KEYS + 1];	/* number 0 is none */
	struct other	other[REASON_MAX];	/* when the rows are used up */
	struct wide	wide[AGGREGATE_WIDE + 1];
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
kind_of(const struct attempt *t)
{
	struct prefix	p;
	struct kind	k;

	memset(&k, 0, sizeof(k));
	k.reason = t->reason;
	k.proto = t->proto;
	k.rule = t->rule;
	k.what = t->what;
	if (t->name != NULL)
		k.name = *t->name;
	if (t->what != ATTEMPT_NO_NAME)
		return k;
	p = prefix_of(t->dst, t->dst->family == ADDR_V4 ? 24 : 64);
	k.net.family = t->dst->family;
	k.net.port = t->dst->port;
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

static bool
is_shown(const struct kind *k)
{
	return k->what == ATTEMPT_SNI || k->what == ATTEMPT_VHOST;
}

static bool
is_full(const struct aggregate *a, const struct kind *k)
{
	return a->rows == AGGREGATE_KEYS ||
	    (is_shown(k) && a->shown == AGGREGATE_SHOWN);
}

/* The row of this kind, a new one, or NULL if all are in use. */
static struct row *
row_get(struct aggregate *a, const struct kind *k)
{
	uint32_t	*link = row_link(a, k), i = *link;

	if (i != NONE)
		return &a->row[i];
	if (is_full(a, k))
		return NULL;
	if ((i = a->spare) != NONE)
		a->spare = a->row[i].next;
	else
		i = ++a->fresh;
	a->rows++;
	a->shown += is_shown(k);
	memset(&a->row[i], 0, sizeof(a->row[i]));
	a->row[i].kind = *k;
	a->row[i].next = NONE;
	*link = i;
	return &a->row[i];
}

static void
count(struct counts *c, const struct counts *more)
{
	if (c->n == 0 || more->first < c->first)
		c->first = more->first;
	if (more->last > c->last)
		c->last = more->last;
	c->n += more->n;
}

static void
row_count(struct row *r, const struct attempt *t, const struct counts *one)
{
	count(&r->counts, one);
	if (t->what == ATTEMPT_NO_NAME)
		distinct_in_net(&r->distinct, t->dst);
	else if (t->dst != NULL)
		distinct_dst(&r->distinct, t->dst);
}

/* ---- several kinds ---------------------------------------------------------------- */

static struct other *
other_get(struct aggregate *a, const struct kind *k)
{
	struct other	*o = &a->other[k->reason];

	if (o->counts.n == 0) {
		a->others++;
		o->proto = k->proto;
		o->rule = k->rule;
		o->wide = a->wides < AGGREGATE_WIDE ? ++a->wides : NONE;
	}
	if (o->proto != k->proto)
		o->proto = PROTO_NONE;
	if (o->rule != k->rule)
		o->rule = POLICY_NO_RULE;
	return o;
}

static void
other_count(struct aggregate *a, const struct attempt *t, const struct kind *k,
    const struct counts *one)
{
	struct other	*o = other_get(a, k);

	count(&o->counts, one);
	if (o->wide == NONE)
		return;
	if (t->what != ATTEMPT_NO_NAME)
		wide_name(&a->wide[o->wide], t->name);
	else
		wide_dst(&a->wide[o->wide], t->dst);
}

/* A row's sum that nobody had room for. */
static void
other_add(struct aggregate *a, const struct row *r)
{
	struct other	*o = other_get(a, &r->kind);
	struct wide	*w = &a->wide[o->wide];
	struct endpoint	 e;
	uint32_t	 at = 0;

	count(&o->counts, &r->counts);
	if (o->wide == NONE)
		return;
	if (r->kind.what != ATTEMPT_NO_NAME) {
		wide_name(w, &r->kind.name);
		return;
	}
	while (distinct_next(&r->distinct, &r->kind.net, &at, &e))
		wide_dst(w, &e);
	w->more |= r->distinct.more;
}

/* ---- what comes in ---------------------------------------------------------------- */

bool
aggregate_count(struct aggregate *a, const struct attempt *t, uint64_t ts,
    enum aggregate_how how)
{
	struct kind	k = kind_of(t);
	struct counts	one = { 1, ts, ts };
	struct row	*r = NULL;

	if (how != AGGREGATE_FOLD || *row_link(a, &k) != NONE)
		r = row_get(a, &k);
	if (r != NULL && how == AGGREGATE_TELL && r->told < AGGREGATE_FULL) {
		r->told++;
		return true;
	}
	if (r != NULL)
		row_count(r, t, &one);
	else
		other_count(a, t, &k, &one);
	return false;
}

void
aggregate_told(struct aggregate *a, const struct attempt *t)
{
	struct kind	 k = kind_of(t);
	struct row	*r = row_get(a, &k);

	if (r != NULL && r->told < AGGREGATE_FULL)
		r->told++;
}

bool
aggregate_hot(struct aggregate *a, const struct attempt *t)
{
	struct kind	k = kind_of(t);
	uint32_t	i = *row_link(a, &k);

	return i == NONE ? is_full(a, &k) : a->row[i].told >= AGGREGATE_FULL;
}

/* ---- what goes out ---------------------------------------------------------------- */

/* With a net the destinations' port is the kind's. */
static void
row_sum(const struct row *r, struct aggregate_sum *s)
{
	struct endpoint	e;
	uint32_t	at = 0;

	memset(s, 0, sizeof(*s));
	s->reason = (enum reason)r->kind.reason;
	s->proto = r->kind.proto;
	s->rule = r->kind.rule;
	s->net = r->kind.net;
	s->bits = s->net.family == ADDR_NONE ? 0 :
	    s->net.family == ADDR_V4 ? 24 : 64;
	s->what = (enum attempt_name)r->kind.what;
	s->name = r->kind.name;
	s->n = r->counts.n;
	s->first = r->counts.first;
	s->last = r->counts.last;
	s->uniq = r->distinct.n;
	s->least = r->distinct.more != 0;
	while (distinct_next(&r->distinct, &r->kind.net, &at, &e))
		distinct_text(s->dsts, &e, s->bits == 0);
}

static void
other_sum(const struct aggregate *a, uint32_t reason, struct aggregate_sum *s)
{
	const struct other	*o = &a->other[reason];
	const struct wide	*w = &a->wide[o->wide];

	memset(s, 0, sizeof(*s));
	s->reason = (enum reason)reason;
	s->several = true;
	s->proto = o->proto;
	s->rule = o->rule;
	s->n = o->counts.n;
	s->first = o->counts.first;
	s->last = o->counts.last;
	if (o->wide == NONE)
		return;
	s->uniq = w->n;
	s->least = w->more != 0;
	memcpy(s->names, w->names, sizeof(s->names));
	memcpy(s->dsts, w->dsts, sizeof(s->dsts));
}

struct flush {
	bool	(*sum)(void *, const struct aggregate_sum *);
	void	*arg;
	bool	 due;
};

static void
row_hand_out(struct aggregate *a, struct row *r, const struct flush *f)
{
	struct aggregate_sum	s;

	row_sum(r, &s);
	if (!f->sum(f->arg, &s))
		other_add(a, r);
	memset(&r->counts, 0, sizeof(r->counts));
	memset(&r->distinct, 0, sizeof(r->distinct));
}

/* True if the row was quiet and is spare again. */
static bool
row_flush(struct aggregate *a, uint32_t *link, const struct flush *f)
{
	uint32_t	 i = *link;
	struct row	*r = &a->row[i];
	bool		 quiet = r->counts.n == 0;

	if (!quiet)
		row_hand_out(a, r, f);
	if (!quiet || !f->due)
		return false;
	*link = r->next;
	r->next = a->spare;
	a->spare = i;
	a->rows--;
	a->shown -= is_shown(&r->kind);
	return true;
}

/* Last, and whatever there is room for: they are few. */
static void
others_flush(struct aggregate *a, const struct flush *f)
{
	struct aggregate_sum	s;
	uint32_t		i;

	for (i = 0; a->others > 0 && i < REASON_MAX; i++) {
		if (a->other[i].counts.n == 0)
			continue;
		other_sum(a, i, &s);
		(void)f->sum(f->arg, &s);
		memset(&a->other[i], 0, sizeof(a->other[i]));
	}
	memset(&a->wide[1], 0, a->wides * sizeof(a->wide[0]));
	a->wides = a->others = 0;
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
