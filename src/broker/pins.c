/*
 * The pins of one guest. Two tables of fixed size, indexed by 32-bit numbers of
 * which 0 is none, so that zeroed memory is an empty table and a page that no pin
 * has needed is never touched.
 *
 * Trusts: its caller, that name and address are well-formed.
 * Must not: allocate after the start, grow with what a guest asks, or give a name
 * that is pinned no longer.
 *
 * A chain of addresses is in the order of (address, name): what is bound to an
 * address lies together in it, sorted. glibc's qsort(3) would ask the kernel for
 * the size of its memory, which the seal does not allow.
 */
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "pins.h"

#define BUCKETS	32768u		/* a power of two */
#define SLOTS	(PINS_MAX + 1)	/* number 0 is none */

struct pin {
	struct endpoint	addr;		/* canonical, port 0 */
	uint32_t	name;		/* its number */
	uint64_t	until;
	uint32_t	by_addr;	/* next in the address's bucket */
	uint32_t	by_name;	/* next of the same name */
	uint32_t	older, newer;	/* by last use */
};
static_assert(sizeof(struct pin) == 48, "20 000 pins stay below 8 MB");

struct entry {
	struct name	name;
	uint32_t	next;		/* in its bucket, or of the spare ones */
	uint32_t	first;		/* its pins */
	uint32_t	npins;
};

struct pins {
	uint32_t	count;
	uint32_t	oldest, newest;
	uint32_t	fresh_pin, fresh_name;		/* used once, so far */
	uint32_t	spare_pin, spare_name;
	uint32_t	addrs[BUCKETS], names[BUCKETS];
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

	for (i = p->oldest; i != 0; i = p->pin[i].newer)
		if (p->pin[i].until > end)
			end = p->pin[i].until;
	return end;
}

static struct endpoint
key_of(const struct endpoint *addr)
{
	struct endpoint	key = endpoint_canonical(*addr);

	key.port = 0;
	return key;
}

static uint32_t *
addr_bucket(struct pins *p, const struct endpoint *key)
{
	return &p->addrs[hash_bytes(key, sizeof(*key)) % BUCKETS];
}

static uint32_t *
name_bucket(struct pins *p, const struct name *name)
{
	return &p->names[hash_bytes(name->text, name->len) % BUCKETS];
}

/* ---- the order of use ------------------------------------------------------- */

static void
unlist(struct pins *p, uint32_t i)
{
	struct pin	*pin = &p->pin[i];

	*(pin->older != 0 ? &p->pin[pin->older].newer : &p->oldest) =
	    pin->newer;
	*(pin->newer != 0 ? &p->pin[pin->newer].older : &p->newest) =
	    pin->older;
	pin->older = pin->newer = 0;
}

static void
enlist(struct pins *p, uint32_t i)
{
	p->pin[i].older = p->newest;
	*(p->newest != 0 ? &p->pin[p->newest].newer : &p->oldest) = i;
	p->newest = i;
}

/* ---- names ------------------------------------------------------------------- */

static uint32_t
name_find(struct pins *p, const struct name *name)
{
	uint32_t	i = *name_bucket(p, name);

	while (i != 0 && !name_equal(&p->entry[i].name, name))
		i = p->entry[i].next;
	return i;
}

/* There are as many as pins, and each has one at least: one is spare. */
static uint32_t
name_add(struct pins *p, const struct name *name)
{
	uint32_t	*bucket = name_bucket(p, name), i = p->spare_name;

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
	uint32_t	*link = name_bucket(p, &p->entry[i].name);

	while (*link != i)
		link = &p->entry[*link].next;
	*link = p->entry[i].next;
	p->entry[i].next = p->spare_name;
	p->spare_name = i;
}

/* ---- pins --------------------------------------------------------------------- */

static void
pin_remove(struct pins *p, uint32_t i)
{
	struct pin	*pin = &p->pin[i];
	struct entry	*e = &p->entry[pin->name];
	uint32_t	*link = addr_bucket(p, &pin->addr);

	while (*link != i)
		link = &p->pin[*link].by_addr;
	*link = pin->by_addr;
	for (link = &e->first; *link != i; )
		link = &p->pin[*link].by_name;
	*link = pin->by_name;
	if (--e->npins == 0)
		name_remove(p, pin->name);
	unlist(p, i);
	pin->by_addr = p->spare_pin;
	p->spare_pin = i;
	p->count--;
}

/* The order within a bucket. */
static int
pin_compare(const struct pins *p, uint32_t i, const struct endpoint *addr,
    const struct name *name)
{
	int	c = memcmp(&p->pin[i].addr, addr, sizeof(*addr));

	return c != 0 ? c : name_compare(&p->entry[p->pin[i].name].name, name);
}

/* Where it is, or belongs: the link in its bucket. */
static uint32_t *
pin_link(struct pins *p, const struct endpoint *addr, const struct name *name)
{
	uint32_t	*link = addr_bucket(p, addr);

	while (*link != 0 && pin_compare(p, *link, addr, name) < 0)
		link = &p->pin[*link].by_addr;
	return link;
}

static bool
pin_is(const struct pins *p, uint32_t i, const struct endpoint *addr,
    const struct name *name)
{
	return i != 0 && pin_compare(p, i, addr, name) == 0;
}

static void
pin_add(struct pins *p, const struct endpoint *addr, const struct name *name,
    uint64_t until)
{
	uint32_t	 n = name_find(p, name), i = p->spare_pin, *link;
	struct pin	*pin;

	if (n == 0)
		n = name_add(p, name);
	if (i != 0)
		p->spare_pin = p->pin[i].by_addr;
	else
		i = ++p->fresh_pin;
	pin = &p->pin[i];
	memset(pin, 0, sizeof(*pin));
	link = pin_link(p, addr, name);
	pin->addr = *addr;
	pin->name = n;
	pin->until = until;
	pin->by_addr = *link;
	*link = i;
	pin->by_name = p->entry[n].first;
	p->entry[n].first = i;
	p->entry[n].npins++;
	enlist(p, i);
	p->count++;
}

/* Of these two the one that ends first; 0 = there is none. */
static uint32_t
first_to_end(const struct pins *p, uint32_t a, uint32_t b)
{
	return a == 0 || p->pin[b].until < p->pin[a].until ? b : a;
}

/* A name with too many addresses loses the pin that ends first. */
static void
trim_name(struct pins *p, const struct name *name)
{
	uint32_t	n = name_find(p, name), i, first = 0;

	if (n == 0 || p->entry[n].npins < PINS_PER_NAME)
		return;
	for (i = p->entry[n].first; i != 0; i = p->pin[i].by_name)
		first = first_to_end(p, first, i);
	pin_remove(p, first);
}

/* The same for an address with too many names. */
static void
trim_addr(struct pins *p, const struct endpoint *addr)
{
	uint32_t	i, n = 0, first = 0;

	for (i = *addr_bucket(p, addr); i != 0; i = p->pin[i].by_addr) {
		if (memcmp(&p->pin[i].addr, addr, sizeof(*addr)) != 0)
			continue;
		first = first_to_end(p, first, i);
		n++;
	}
	if (n >= PINS_PER_ADDR)
		pin_remove(p, first);
}

/* What has been over for long is known no more. */
static void
forget_oldest(struct pins *p, uint64_t now)
{
	while (p->oldest != 0 && (p->count >= PINS_MAX ||
	    (p->pin[p->oldest].until < now &&
	    now - p->pin[p->oldest].until >= PINS_LAPSED)))
		pin_remove(p, p->oldest);
}

void
pins_put(struct pins *p, const struct name *name, const struct endpoint *addr,
    uint64_t until, uint64_t now)
{
	struct endpoint	 key = key_of(addr);
	uint32_t	 i = *pin_link(p, &key, name);

	if (pin_is(p, i, &key, name)) {
		if (p->pin[i].until < until)
			p->pin[i].until = until;
		unlist(p, i);
		enlist(p, i);
		return;
	}
	trim_name(p, name);
	trim_addr(p, &key);
	forget_oldest(p, now);
	pin_add(p, &key, name, until);
}

/* One that is live: in the list, and used now. */
static void
hand_out(struct pins *p, uint32_t i, struct bound *out)
{
	if (out->n < PINS_PER_ADDR)
		out->name[out->n++] = &p->entry[p->pin[i].name].name;
	unlist(p, i);
	enlist(p, i);
}

void
pins_bound(struct pins *p, const struct endpoint *addr, uint64_t now,
    struct bound *out)
{
	struct endpoint	key = key_of(addr);
	uint32_t	i, next;

	out->n = 0;
	out->lapsed = false;
	if (p == NULL)
		return;
	for (i = *addr_bucket(p, &key); i != 0; i = next) {
		next = p->pin[i].by_addr;
		if (memcmp(&p->pin[i].addr, &key, sizeof(key)) != 0)
			continue;
		if (p->pin[i].until > now)
			hand_out(p, i, out);
		else if (now - p->pin[i].until >= PINS_LAPSED)
			pin_remove(p, i);
		else
			out->lapsed = true;
	}
}
