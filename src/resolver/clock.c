/*
 * The one clock of this room: deadlines, back-off, how long a refusal counts.
 *
 * Trusts: the kernel. Must not: be set by anybody, so it is not the time of day.
 */
#include <time.h>

#include "resolver.h"

int64_t
now_ns(void)
{
	struct timespec	ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t
now_ms(void)
{
	return now_ns() / 1000000;
}
