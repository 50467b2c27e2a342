/*
 * The pins of one guest. Two tables of fixed size, indexed by 32-bit numbers of
 * which 0 is none, so that zeroed memory is an empty table and a page that no pin
 * has needed is never touched.
 *
 * Trusts: its caller, that name and address are well-formed.
 * Must not: allocate after the start, grow with what a guest asks, give a name that
 * is pinned no longer, or take away a pin that has not ended.
 *
 * A chain of addresses is in the order of (address, name): what is bound to an
 * address lies together in it, sorted. glibc's qsort(3) would ask the kernel for
 * the size of its memory, which the seal does not allow. A heap has the pin that
 * ends first at its top: that is the next one to make room, if it has ended.
 */
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "pins.h"

#define BUCKETS	32768u		/* a power of two */
#define SLOTS	(PINS_MAX + 1)	/* number 0 is none */
#define FORGET_TURN	256u	/* more than that at once would keep others waiting */

struct pin {
	struct endpoint	addr;		/* canonical, port 0 */
	uint32_t	name;		/* its number */
	uint64_t	until;
	uint32_t	by_addr, addr_prev;	/* in the address's bucket; 0: its head */
	uint32_t	by_name, name_prev;	/* of the same name; 0: its first */
	uint32_t	by_pair;	/* in the bucket of address and name */
	uint32_t	at;		/* in the heap */
};
static_assert(sizeof(struct pin) == 56, "20 000 pins stay below 8 MB");

struct entry {
	struct name	name;
	uint32_t	next;		/* in its bucket, or of the spare ones */
	uint32_t	first;		/* its pins */
	uint32_t	npins;
};

struct pins {
	uint32_t	count;		/* also of the heap */
	uint32_t	fresh_pin, fresh_name;		/* used once, so far */
	uint32_t	spare_pin, spare_name;
	uint32_t	addrs[BUCKETS], names[BUCKETS], pairs[BUCKETS];
	uint32_t	heap[SLOTS];	/* from 1 on */
	struct pin	pin[SLOTS];
	struct entry	entry[SLOTS];
};
static_assert(sizeof(struct pins) < 8000000, "a guest's pins, all of them");

struct pins *
pins_new(void)
{
	return calloc(1, sizeof(struct pins));
}

void
pins_free(struct pins *p)
{
	free(p);
}

uint32_t
pins_count(const struct pins *p)
{
	return p->count;
}

uint64_t
pins_end(const struct pins *p)
{
	uint64_t	end = 0;
	uint32_t	i;

	for (i = 1; i <= p->count; i++)
		if (p->pin[p->heap[i]].until > end)
			end = p->pin[p->heap[i]].until;
	return end;
}

static struct endpoint
key_of(const struct endpoint *addr)
{
	struct endpoint	key = endpoint_canonical(*addr);

	key.port = 0;
	return key;
}

static uint32_t
addr_bucket(const struct endpoint *key)
{
	return (uint32_t)(hash_bytes(key, sizeof(*key)) % BUCKETS);
}

static uint32_t
name_bucket(const struct name *name)
{
	return (uint32_t)(hash_bytes(name->text, name->len) % BUCKETS);
}

/* ---- the order of their ends ------------------------------------------------- */

static void
heap_set(struct pins *p, uint32_t at, uint32_t i)
{
	p->heap[at] = i;
	p->pin[i].at = at;
}

static uint64_t
heap_until(const struct pins *p, uint32_t at)
{
	return p->pin[p->heap[at]].until;
}

/* Puts pin i where there is a gap, or above it. */
static void
heap_rise(struct pins *p, uint32_t at, uint32_t i)
{
	while (at > 1 && heap_until(p, at / 2) > p->pin[i].until) {
		heap_set(p, at, p->heap[at / 2]);
		at /= 2;
	}
	heap_set(p, at, i);
}

/* The same, or below it. */
static void
heap_sink(struct pins *p, uint32_t at, uint32_t i)
{
	uint32_t	child;

	while ((child = at * 2) <= p->count) {
		if (child < p->count &&
		    heap_until(p, child + 1) < heap_until(p, child))
			child++;
		if (heap_until(p, child) >= p->pin[i].until)
			break;
		heap_set(p, at, p->heap[child]);
		at = child;
	}
	heap_set(p, at, i);
}

/* The last one takes its place. */
static void
heap_remove(struct pins *p, uint32_t at)
{
	uint32_t	last = p->heap[p->count--];

	if (at > p->count)
		return;
	if (at > 1 && heap_until(p, at / 2) > p->pin[last].until)
		heap_rise(p, at, last);
	else
		heap_sink(p, at, last);
}

/* ---- names ------------------------------------------------------------------- */

static uint32_t
name_find(const struct pins *p, const struct name *name)
{
	uint32_t	i = p->names[name_bucket(name)];

	while (i != 0 && !name_equal(&p->entry[i].name, name))
		i = p->entry[i].next;
	return i;
}

/* There are as many as pins, and each has one at least: one is spare. */
static uint32_t
name_add(struct pins *p, const struct name *name)
{
	uint32_t	*bucket = &p->names[name_bucket(name)];
	uint32_t	 i = p->spare_name;

	if (i != 0)
		p->spare_name = p->entry[i].next;
	else
		i = ++p->fresh_name;
	p->entry[i] = (struct entry){ .name = *name, .next = *bucket };
	*bucket = i;
	return i;
}

static void
name_remove(struct pins *p, uint32_t i)
{
	uint32_t	*link = &p->names[name_bucket(&p->entry[i].name)];

	while (*link != i)
		link = &p->entry[*link].next;
	*link = p->entry[i].next;
	p->entry[i].next = p->spare_name;
	p->spare_name = i;
}

/* ---- pins --------------------------------------------------------------------- */

static uint32_t *
pair_bucket(struct pins *p, const struct endpoint *key, uint32_t name)
{
	struct {
		struct endpoint	addr;
		uint32_t	name;
	} pair = { *key, name };

	return &p->pairs[hash_bytes(&pair, sizeof(pair)) % BUCKETS];
}

/* Without a walk past the other names of the address. 0: it is not there. */
static uint32_t
pin_find(struct pins *p, const struct endpoint *key, const struct name *name)
{
	uint32_t	n = name_find(p, name), i;

	i = n != 0 ? *pair_bucket(p, key, n) : 0;
	while (i != 0 && (p->pin[i].name != n ||
	    memcmp(&p->pin[i].addr, key, sizeof(*key)) != 0))
		i = p->pin[i].by_pair;
	return i;
}

static void
pin_remove(struct pins *p, uint32_t i)
{
	struct pin	*pin = &p->pin[i];
	struct entry	*e = &p->entry[pin->name];
	uint32_t	*link = pair_bucket(p, &pin->addr, pin->name);

	while (*link != i)
		link = &p->pin[*link].by_pair;
	*link = pin->by_pair;
	*(pin->addr_prev != 0 ? &p->pin[pin->addr_prev].by_addr :
	    &p->addrs[addr_bucket(&pin->addr)]) = pin->by_addr;
	p->pin[pin->by_addr].addr_prev = pin->addr_prev;
	*(pin->name_prev != 0 ? &p->pin[pin->name_prev].by_name :
	    &e->first) = pin->by_name;
	p->pin[pin->by_name].name_prev = pin->name_prev;
	if (--e->npins == 0)
		name_remove(p, pin->name);
	heap_remove(p, pin->at);
	pin->by_addr = p->spare_pin;
	p->spare_pin = i;
}

/* The order within a bucket. */
static int
pin_compare(const struct pins *p, uint32_t i, const struct endpoint *addr,
    const struct name *name)
{
	int	c = memcmp(&p->pin[i].addr, addr, sizeof(*addr));

	return c != 0 ? c : name_compare(&p->entry[p->pin[i].name].name, name);
}

/* Where it belongs: behind *prev, which may be 0, and this is there now. */
static uint32_t
pin_place(const struct pins *p, const struct endpoint *addr,
    const struct name *name, uint32_t *prev)
{
	uint32_t	i = p->addrs[addr_bucket(addr)];

	*prev = 0;
	while (i != 0 && pin_compare(p, i, addr, name) < 0) {
		*prev = i;
		i = p->pin[i].by_addr;
	}
	return i;
}

static uint32_t
pin_new(struct pins *p)
{
	uint32_t	i = p->spare_pin;

	if (i != 0)
		p->spare_pin = p->pin[i].by_addr;
	else
		i = ++p->fresh_pin;
	return i;
}

/* Number 0 is written to as a neighbour, and never read. */
static void
pin_add(struct pins *p, const struct endpoint *addr, const struct name *name,
    uint64_t until)
{
	uint32_t	prev, next = pin_place(p, addr, name, &prev);
	uint32_t	n = name_find(p, name), i = pin_new(p), *pair;
	struct entry	*e;

	if (n == 0)
		n = name_add(p, name);
	e = &p->entry[n];
	pair = pair_bucket(p, addr, n);
	p->pin[i] = (struct pin){ .addr = *addr, .name = n, .until = until,
	    .by_addr = next, .addr_prev = prev, .by_name = e->first,
	    .by_pair = *pair };
	*pair = i;
	*(prev != 0 ? &p->pin[prev].by_addr : &p->addrs[addr_bucket(addr)]) = i;
	p->pin[next].addr_prev = i;
	p->pin[e->first].name_prev = i;
	e->first = i;
	e->npins++;
	heap_rise(p, ++p->count, i);
}

static void
put(struct pins *p, const struct name *name, const struct endpoint *addr,
    uint64_t until)
{
	struct endpoint	key = key_of(addr);
	uint32_t	i = pin_find(p, &key, name);

	if (i == 0)
		pin_add(p, &key, name, until);
	else if (p->pin[i].until < until) {
		p->pin[i].until = until;
		heap_sink(p, p->pin[i].at, i);
	}
}

/* ---- room ---------------------------------------------------------------------- */

static bool
lives(const struct pins *p, uint32_t i, uint64_t now)
{
	return p->pin[i].until > now;
}

/* For so long that nobody is to know of it. */
static bool
forgotten(const struct pins *p, uint32_t i, uint64_t now)
{
	return !lives(p, i, now) && now - p->pin[i].until >= PINS_LAPSED;
}

/* The first of an address's pins, and the next. */
static uint32_t
first_at(const struct pins *p, const struct endpoint *key)
{
	uint32_t	i = p->addrs[addr_bucket(key)];

	while (i != 0 && memcmp(&p->pin[i].addr, key, sizeof(*key)) < 0)
		i = p->pin[i].by_addr;
	return i != 0 && memcmp(&p->pin[i].addr, key, sizeof(*key)) == 0 ?
	    i : 0;
}

static uint32_t
next_at(const struct pins *p, uint32_t i)
{
	uint32_t	next = p->pin[i].by_addr;

	return next != 0 && memcmp(&p->pin[next].addr, &p->pin[i].addr,
	    sizeof(p->pin[i].addr)) == 0 ? next : 0;
}

/* At its limit an address loses the pins that have ended. True: it has room then. */
static bool
addr_room(struct pins *p, const struct endpoint *key, const struct name *name,
    uint64_t now)
{
	uint32_t	n = 0, live = 0, i, next;

	if (pin_find(p, key, name) != 0)
		return true;
	for (i = first_at(p, key); i != 0; i = next_at(p, i)) {
		live += lives(p, i, now);
		n++;
	}
	if (n < PINS_PER_ADDR)
		return true;
	if (live == PINS_PER_ADDR)
		return false;
	for (i = first_at(p, key); i != 0; i = next) {
		next = next_at(p, i);
		if (!lives(p, i, now))
			pin_remove(p, i);
	}
	return true;
}

/* The same for a name that is to have up to n more. */
static void
name_room(struct pins *p, const struct name *name, size_t n, uint64_t now)
{
	uint32_t	entry = name_find(p, name), i, next;

	if (entry == 0 || p->entry[entry].npins + n <= PINS_PER_NAME)
		return;
	for (i = p->entry[entry].first; i != 0; i = next) {
		next = p->pin[i].by_name;
		if (!lives(p, i, now))
			pin_remove(p, i);
	}
}

/* The same for all of them; what has ended long ago goes in any case, by and by. */
static void
guest_room(struct pins *p, size_t n, uint64_t now)
{
	size_t	left = n + FORGET_TURN;

	while (p->count > 0 && ((left > 0 && forgotten(p, p->heap[1], now)) ||
	    (p->count + n > PINS_MAX && !lives(p, p->heap[1], now)))) {
		pin_remove(p, p->heap[1]);
		left -= left > 0;
	}
}

/* How many of these are not pinned to the name. */
static uint32_t
missing(struct pins *p, const struct name *name, const struct endpoint *addr,
    size_t n)
{
	struct endpoint	key;
	uint32_t	lack = 0;
	size_t		i;

	for (i = 0; i < n; i++) {
		key = key_of(&addr[i]);
		lack += pin_find(p, &key, name) == 0;
	}
	return lack;
}

/* Made for all of them; one that has ended and is pinned again makes room, too. */
static enum pins_full
make_room(struct pins *p, const struct name *name, const struct endpoint *addr,
    size_t n, uint64_t now)
{
	struct endpoint	key;
	uint32_t	lack, entry;
	size_t		i;

	for (i = 0; i < n; i++) {
		key = key_of(&addr[i]);
		if (!addr_room(p, &key, name, now))
			return PINS_FULL_ADDR;
	}
	name_room(p, name, n, now);
	guest_room(p, n, now);
	lack = missing(p, name, addr, n);
	entry = name_find(p, name);
	if (lack + (entry != 0 ? p->entry[entry].npins : 0) > PINS_PER_NAME)
		return PINS_FULL_NAME;
	return p->count + lack > PINS_MAX ? PINS_FULL : PINS_PUT;
}

enum pins_full
pins_put(struct pins *p, const struct name *name, const struct endpoint *addr,
    size_t n, uint64_t until, uint64_t now)
{
	enum pins_full	full = make_room(p, name, addr, n, now);
	size_t		i;

	for (i = 0; full == PINS_PUT && i < n; i++)
		put(p, name, &addr[i], until);
	return full;
}

/* ---- what an address has --------------------------------------------------------- */

static void
hand_out(const struct pins *p, const struct endpoint *addr, uint64_t now,
    bool live, struct bound *out)
{
	struct endpoint	key = key_of(addr);
	uint32_t	i;

	out->n = 0;
	out->lapsed = false;
	for (i = p != NULL ? first_at(p, &key) : 0; i != 0; i = next_at(p, i)) {
		if (forgotten(p, i, now))
			continue;
		if (!lives(p, i, now))
			out->lapsed = true;
		if (lives(p, i, now) == live)
			out->name[out->n++] = &p->entry[p->pin[i].name].name;
	}
}

void
pins_bound(const struct pins *p, const struct endpoint *addr, uint64_t now,
    struct bound *out)
{
	hand_out(p, addr, now, true, out);
}

void
pins_lapsed(const struct pins *p, const struct endpoint *addr, uint64_t now,
    struct bound *out)
{
	hand_out(p, addr, now, false, out);
}
