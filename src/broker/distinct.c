/*
 * Which destinations and names were in a sum. Exact up to a bound that is said in
 * distinct.h and in sallyport-audit(5); beyond it, "at least so many".
 *
 * Trusts: nothing; what is counted is of the guest's choosing, so hashes are keyed.
 * Must not: allocate, or tell of more than it has seen.
 */
#include <stdio.h>
#include <string.h>

#include "broker.h"
#include "distinct.h"
#include "hash.h"

static void
in_24(struct distinct *d, uint8_t last)
{
	uint8_t	bit = (uint8_t)(1u << last % 8);

	d->n += (d->of.bit[last / 8] & bit) == 0;
	d->of.bit[last / 8] |= bit;
}

void
distinct_in_net(struct distinct *d, const struct endpoint *e)
{
	uint32_t	i;

	if (e->family == ADDR_V4) {
		in_24(d, e->addr[3]);
		return;
	}
	for (i = 0; i < d->n; i++)
		if (memcmp(d->of.low[i], e->addr + 8, 8) == 0)
			return;
	if (d->n == DISTINCT_LOW)
		d->more = 1;
	else
		memcpy(d->of.low[d->n++], e->addr + 8, 8);
}

void
distinct_dst(struct distinct *d, const struct endpoint *e)
{
	uint32_t	i;

	for (i = 0; i < d->n; i++)
		if (memcmp(&d->of.dst[i], e, sizeof(*e)) == 0)
			return;
	if (d->n == DISTINCT_DST)
		d->more = 1;
	else
		d->of.dst[d->n++] = *e;
}

static bool
next_of_24(const struct distinct *d, uint32_t *at, struct endpoint *e)
{
	for (; *at < 256; (*at)++)
		if ((d->of.bit[*at / 8] >> *at % 8 & 1) != 0) {
			e->addr[3] = (uint8_t)(*at)++;
			return true;
		}
	return false;
}

bool
distinct_next(const struct distinct *d, const struct endpoint *net,
    uint32_t *at, struct endpoint *e)
{
	*e = *net;
	if (net->family == ADDR_V4)
		return next_of_24(d, at, e);
	if (*at >= d->n)
		return false;
	if (net->family == ADDR_NONE)
		*e = d->of.dst[*at];
	else
		memcpy(e->addr + 8, d->of.low[*at], 8);
	(*at)++;
	return true;
}

void
distinct_text(char list[RECORD_LIST_MAX], const struct endpoint *e, bool port)
{
	char	addr[ENDPOINT_STRLEN], text[ENDPOINT_STRLEN + 9];

	addr_print(e, addr);
	if (!port || e->port == 0)
		snprintf(text, sizeof(text), "%s", addr);
	else
		snprintf(text, sizeof(text), e->family == ADDR_V4 ? "%s:%u" :
		    "[%s]:%u", addr, e->port);
	record_list(list, RECORD_LIST_MAX, text);
}

/* True if it is a new one of those that can be counted. */
static bool
is_new(struct wide *w, uint64_t hash)
{
	size_t	i = hash % (2 * DISTINCT_WIDE);

	hash |= hash == 0;		/* 0 is an empty place */
	for (; w->seen[i] != 0; i = (i + 1) % (2 * DISTINCT_WIDE))
		if (w->seen[i] == hash)
			return false;
	if (w->n == DISTINCT_WIDE) {
		w->more = 1;
		return false;
	}
	w->seen[i] = hash;
	w->n++;
	return true;
}

void
wide_dst(struct wide *w, const struct endpoint *e)
{
	if (is_new(w, hash_bytes(e, sizeof(*e))))
		distinct_text(w->dsts, e, true);
}

void
wide_name(struct wide *w, const struct name *n)
{
	if (is_new(w, hash_bytes(n, sizeof(*n))))
		record_list(w->names, sizeof(w->names), n->text);
}
