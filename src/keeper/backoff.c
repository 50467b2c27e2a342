/*
 * How long a part that died has to wait: 100 ms, doubling up to 30 s, and back to
 * the beginning after a minute of health. Pure.
 *
 * A room that its guest can crash at will is restarted ever more slowly, so that
 * guessing an address layout by crashing costs time.
 *
 * Trusts: its arguments. Must not: read a clock.
 */
#include "keeperd.h"

void
backoff_started(struct backoff *b, uint64_t now)
{
	b->started = now;
}

void
backoff_died(struct backoff *b, uint64_t now)
{
	if (now - b->started >= BACKOFF_HEALTHY)
		b->delay = 0;
	if (b->delay == 0)
		b->delay = BACKOFF_MIN;
	else if (b->delay < BACKOFF_MAX / 2)
		b->delay *= 2;
	else
		b->delay = BACKOFF_MAX;
}
