/*
 * A bucket of bytes. See volume.h.
 *
 * Trusts: its caller to spend what it writes. Must not: lose time to rounding, or
 * gain any by a clock that goes back.
 */
#include "volume.h"

#define NSEC	UINT64_C(1000000000)

void
volume_init(struct volume *v, uint32_t rate, uint32_t burst, uint64_t now)
{
	v->rate = (uint64_t)rate << 10;
	v->burst = (uint64_t)burst << 10;
	v->level = v->burst;
	v->last = now;
}

/* The part of a byte that has not come yet is left in `last`. */
static void
refill(struct volume *v, uint64_t now)
{
	uint64_t	gone = now > v->last ? now - v->last : 0, part, more;

	if (v->rate == 0)
		return;
	part = gone % NSEC * v->rate;
	if (gone / NSEC > (v->burst - v->level) / v->rate) {
		v->level = v->burst;
		v->last = now;
		return;
	}
	more = gone / NSEC * v->rate + part / NSEC;
	if (more == 0)
		return;
	v->level = more < v->burst - v->level ? v->level + more : v->burst;
	v->last = now - part % NSEC / v->rate;
}

bool
volume_has(struct volume *v, enum volume_use use, uint64_t bytes, uint64_t now)
{
	uint64_t	kept = use == VOLUME_MUST ? 0 : use == VOLUME_SUM ?
			    v->burst / 4 : v->burst / 2;

	refill(v, now);
	return v->rate == 0 || (v->level >= kept && v->level - kept >= bytes);
}

void
volume_spend(struct volume *v, uint64_t bytes, uint64_t now)
{
	refill(v, now);
	v->level -= bytes < v->level ? bytes : v->level;
}

bool
volume_full(struct volume *v, uint64_t now)
{
	refill(v, now);
	return v->rate == 0 || v->level == v->burst;
}
