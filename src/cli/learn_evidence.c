/*
 * Evidence: what a flow says of the name that it was for. In this order, the first
 * that there is decides:
 *
 * SHOWN    Its first bytes named one: a ClientHello's server name, a request's Host.
 *          It is for that name and no other, however many have its address.
 * NO PIN   What it named was not looked up: it is for the address. By that name it would
 *          be refused.
 * ASKED    The guest was told this address for a name, for no longer ago than
 *          JUST_BEFORE when the flow began, and no flow has used that answer yet; or
 *          flows for this name have this very port. An answer speaks for the port that
 *          is connected to after it, at each of its addresses, and for no other: who
 *          asks and connects by TLS has not asked for the datagram that goes to the
 *          same address a moment later.
 * DOUBT    The same, but the answer is older, and was used for nothing else: it
 *          may be for the name, or for the address. Both are allowed.
 * BARE     None of these: it is for the address, whatever names that had once (HAD).
 *
 * One answer is of one guest in one run: what another was told says nothing.
 *
 * Trusts: learn_record.c, which has checked each name and address.
 * Must not: grow with the number of records, only with that of distinct things and of
 * flows that are open at one time.
 */
#include <stdlib.h>
#include <string.h>

#include "learn.h"

#define JUST_BEFORE	UINT64_C(5000000000)	/* ns: resolvers' patience is 5 s */
#define LIVE_FIRST	1024

struct pair {			/* a guest was told this address for this name */
	uint32_t	place, name;
	uint32_t	next;		/* no key: in the place's chain; 1 + index */
	uint32_t	chained;
	uint32_t	unused;		/* its last answer, so far */
	uint32_t	zero;
	uint64_t	when;		/* of that */
};

struct place {			/* an address, for a guest */
	uint32_t	guest, addr;
	uint32_t	first;		/* no key: of what may be unused; 1 + index */
};

struct name_port { uint32_t guest, name, port; };

struct live {			/* a flow that is open; an empty slot has used 0 */
	uint64_t	flow, began;
	uint32_t	used, n;
	uint32_t	*claim;		/* what it spoke for */
};

static const struct {
	size_t	list, size, key;
} shapes[] = {
	{ offsetof(struct learned, names), sizeof(struct word), sizeof(struct word) },
	{ offsetof(struct learned, addrs), sizeof(struct word), sizeof(struct word) },
	{ offsetof(struct learned, guests), sizeof(struct word), sizeof(struct word) },
	{ offsetof(struct learned, tenants), sizeof(struct word), sizeof(struct word) },
	{ offsetof(struct learned, spots), sizeof(struct spot), sizeof(struct spot) },
	{ offsetof(struct learned, claims), sizeof(struct claim), 12 },
	{ offsetof(struct learned, wants), sizeof(struct want), WANT_KEY },
	{ offsetof(struct learned, floored), sizeof(struct floored), FLOORED_KEY },
	{ offsetof(struct learned, asked), 4, 4 },
	{ offsetof(struct learned, shown), 8, 8 },
	{ offsetof(struct learned, pairs), sizeof(struct pair), 8 },
	{ offsetof(struct learned, places), sizeof(struct place), 8 },
	{ offsetof(struct learned, ports), sizeof(struct name_port), 12 },
};
#define NSHAPES	(sizeof(shapes) / sizeof(shapes[0]))

static struct list *
shape(struct learned *l, size_t i)
{
	return (struct list *)(void *)((char *)l + shapes[i].list);
}

void
evidence_init(struct learned *l)
{
	size_t	i;

	for (i = 0; i < NSHAPES; i++) {
		shape(l, i)->size = shapes[i].size;
		shape(l, i)->key = shapes[i].key;
	}
}

void
evidence_free(struct learned *l)
{
	size_t	i;

	evidence_begin(l);
	free(l->live);
	l->live = NULL;
	l->live_room = 0;
	for (i = 0; i < NSHAPES; i++)
		list_free(shape(l, i));
}

/* ---- flows that are open --------------------------------------------------------- */

static size_t
live_slot(const struct learned *l, uint64_t flow)
{
	size_t	at = (flow * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (l->live_room - 1);

	while (l->live[at].used != 0 && l->live[at].flow != flow)
		at = (at + 1) & (l->live_room - 1);
	return at;
}

static void
live_grow(struct learned *l)
{
	struct live	*old = l->live;
	size_t		 i, room = l->live_room;

	if (room != 0 && l->nlive < room / 2)
		return;
	l->live_room = room == 0 ? LIVE_FIRST : room * 2;
	if ((l->live = calloc(l->live_room, sizeof(*l->live))) == NULL)
		fatalx("learn: no memory");
	for (i = 0; i < room; i++)
		if (old[i].used != 0)
			l->live[live_slot(l, old[i].flow)] = old[i];
	free(old);
}

static struct live *
live_find(const struct learned *l, uint64_t flow)
{
	struct live	*f = l->live_room == 0 ? NULL : &l->live[live_slot(l, flow)];

	return f == NULL || f->used == 0 ? NULL : f;
}

/* `when': it begins now, unless it has begun. */
static struct live *
live_put(struct learned *l, uint64_t flow, uint64_t when)
{
	struct live	*f;

	live_grow(l);
	f = &l->live[live_slot(l, flow)];
	if (f->used == 0) {
		*f = (struct live){ .flow = flow, .began = when, .used = 1 };
		l->nlive++;
	}
	return f;
}

/* The gap is closed: those behind it that would be looked for there move up. */
static void
live_remove(struct learned *l, struct live *f)
{
	size_t	at = (size_t)(f - l->live), i;
	struct live	moved;

	free(f->claim);
	memset(f, 0, sizeof(*f));
	l->nlive--;
	for (i = (at + 1) & (l->live_room - 1); l->live[i].used != 0;
	    i = (i + 1) & (l->live_room - 1)) {
		moved = l->live[i];
		memset(&l->live[i], 0, sizeof(moved));
		l->live[live_slot(l, moved.flow)] = moved;
	}
}

void
evidence_begin(struct learned *l)
{
	size_t	i;

	for (i = 0; i < l->live_room; i++)
		free(l->live[i].claim);
	if (l->live_room > 0)
		memset(l->live, 0, l->live_room * sizeof(*l->live));
	l->nlive = 0;
	list_empty(&l->pairs);
	list_empty(&l->places);
	list_empty(&l->ports);
}

/* ---- answers ------------------------------------------------------------------------ */

static uint32_t
place_of(struct learned *l, const struct word *guest, const struct word *addr)
{
	struct place	p = { .guest = (uint32_t)list_put(&l->guests, guest),
			    .addr = (uint32_t)list_put(&l->addrs, addr) };

	return (uint32_t)list_put(&l->places, &p);
}

void
evidence_answer(struct learned *l, const struct word *guest, const struct word *name,
    const struct word *addr, uint64_t when)
{
	uint32_t	 id = (uint32_t)list_put(&l->names, name);
	struct pair	 p = { .place = place_of(l, guest, addr), .name = id };
	size_t		 i = list_put(&l->pairs, &p);
	struct pair	*at = list_at(&l->pairs, i);
	struct place	*place = list_at(&l->places, p.place);

	list_put(&l->asked, &id);
	at->when = when;
	at->unused = 1;
	if (at->chained)
		return;
	at->chained = 1;
	at->next = place->first;
	place->first = (uint32_t)i + 1;
}

/* ---- flows ---------------------------------------------------------------------------- */

struct hearing {		/* one flow's */
	struct learned		*l;
	const struct flow_fact	*f;
	struct live		*live;
	uint32_t		 spot, guest, place;
	uint32_t		 found;
};

static void
claim(struct hearing *h, enum how how, uint32_t name)
{
	struct claim	 c = { .spot = h->spot, .name = name, .how = how };
	size_t		 i = list_put(&h->l->claims, &c);

	((struct claim *)list_at(&h->l->claims, i))->saw |= h->f->saw;
	h->live->claim = reallocarray(h->live->claim, h->live->n + 1,
	    sizeof(*h->live->claim));
	if (h->live->claim == NULL)
		fatalx("learn: no memory");
	h->live->claim[h->live->n++] = (uint32_t)i;
	h->found++;
}

/* For this name, on this port: the next flow there needs no answer of its own. */
static void
claim_port(struct hearing *h, enum how how, uint32_t name)
{
	struct name_port	p = { h->guest, name, h->f->port };

	list_put(&h->l->ports, &p);
	claim(h, how, name);
}

static bool
has_port(const struct hearing *h, uint32_t name)
{
	struct name_port	p = { h->guest, name, h->f->port };

	return list_find(&h->l->ports, &p) != LIST_NONE;
}

static uint32_t
name_id(const struct hearing *h, size_t i)
{
	return (uint32_t)list_put(&h->l->names, &h->f->name[i]);
}

/* The record has the name among those that the address has for the guest now. */
static bool
listed(const struct hearing *h, uint32_t name)
{
	const struct word	*w = list_at(&h->l->names, name);
	size_t			 i;

	for (i = 0; i < h->f->nnames; i++)
		if (memcmp(&h->f->name[i], w, sizeof(*w)) == 0)
			return true;
	return h->f->more;
}

/* It has shown the name: the answer that it used is used, and those of others are not. */
static void
hear_shown(struct hearing *h)
{
	struct learned	*l = h->l;
	uint32_t	 id = name_id(h, 0), key[2] = { h->place, id };
	size_t		 i = list_find(&l->pairs, key);

	claim_port(h, h->f->how, id);
	if (i != LIST_NONE)
		((struct pair *)list_at(&l->pairs, i))->unused = 0;
	key[0] = id;
	key[1] = h->f->port;
	list_put(&l->shown, key);
	key[1] = 0;
	list_put(&l->shown, key);
}

/* Answers that no flow has used: this one uses all of them up. */
static void
hear_unused(struct hearing *h)
{
	struct learned	*l = h->l;
	struct place	*place = list_at(&l->places, h->place);
	uint32_t	 i = place->first;
	struct pair	*p;

	place->first = 0;
	for (; i != 0; i = p->next) {
		p = list_at(&l->pairs, i - 1);
		p->chained = 0;
		if (!p->unused)
			continue;
		p->unused = 0;
		if (h->live->began <= p->when + JUST_BEFORE || has_port(h, p->name))
			claim_port(h, HOW_ASKED, p->name);
		else if (listed(h, p->name))
			claim_port(h, HOW_DOUBT, p->name);
	}
}

/* The log does not have its answer: then it was before what is left of the log. */
static bool
is_told(const struct hearing *h, uint32_t name)
{
	uint32_t	key[2] = { h->place, name };

	return list_find(&h->l->pairs, key) != LIST_NONE;
}

/* Names that the address has, whose answers are used up. */
static void
hear_listed(struct hearing *h)
{
	uint32_t	id;
	size_t		i;

	for (i = 0; i < h->f->nnames; i++) {
		id = name_id(h, i);
		if (has_port(h, id))
			claim(h, HOW_ASKED, id);
		else if (!is_told(h, id))
			claim_port(h, HOW_DOUBT, id);
	}
}

static void
hear_bare(struct hearing *h)
{
	size_t	i;

	claim(h, HOW_BARE, 0);
	if (h->f->other != NULL)
		claim(h, HOW_NO_PIN, (uint32_t)list_put(&h->l->names, h->f->other));
	for (i = 0; i < h->f->nnames; i++)
		claim(h, HOW_HAD, name_id(h, i));
}

static void
hear(struct hearing *h)
{
	if (h->f->how != HOW_ASKED)
		return hear_shown(h);
	if (h->f->other == NULL && h->f->proto != PROTO_ECHO) {
		hear_unused(h);
		if (h->found == 0)
			hear_listed(h);
	}
	if (h->found == 0)
		hear_bare(h);
}

void
evidence_dial(struct learned *l, uint64_t flow, uint64_t when)
{
	(void)live_put(l, flow, when);
}

void
evidence_flow(struct learned *l, const struct flow_fact *f)
{
	struct spot	s = { f->proto, f->port,
			    (uint32_t)list_put(&l->addrs, &f->addr) };
	struct hearing	h = { .l = l, .f = f, .live = live_put(l, f->flow, f->when),
			    .spot = (uint32_t)list_put(&l->spots, &s),
			    .guest = (uint32_t)list_put(&l->guests, &f->guest),
			    .place = place_of(l, &f->guest, &f->addr) };

	l->flows++;
	hear(&h);
}

void
evidence_close(struct learned *l, uint64_t flow, bool moved)
{
	struct live	*f = live_find(l, flow);
	uint32_t	 i;

	if (f == NULL)
		return;
	for (i = 0; moved && i < f->n; i++)
		((struct claim *)list_at(&l->claims, f->claim[i]))->saw |= SAW_MOVED;
	live_remove(l, f);
}
