/*
 * What one guest may add to the audit log: bytes per second, and how many at once.
 * What can be told in a sum never takes from what cannot: denials and failed
 * connects are told in full from the upper half only, sums one by one from the
 * upper three quarters, and all of it is for what must have lines of its own.
 *
 * Times are the caller's, in ns.
 */
#ifndef SALLYPORT_BROKER_VOLUME_H
#define SALLYPORT_BROKER_VOLUME_H

#include <stdbool.h>
#include <stdint.h>

enum volume_use {
	VOLUME_MUST,		/* an open, a question: refused without its lines */
	VOLUME_SUM,		/* one of many sums, which can be one */
	VOLUME_FULL		/* what can be in a sum */
};

struct volume {
	uint64_t	rate, burst;	/* bytes per second, 0 = no limit; bytes */
	uint64_t	level, last;
};

/* Both in KiB; a rate of 0 is no limit. */
void	volume_init(struct volume *, uint32_t rate, uint32_t burst,
	    uint64_t now);
bool	volume_has(struct volume *, enum volume_use, uint64_t bytes,
	    uint64_t now);
/* Written is written: what is not there is not owed. */
void	volume_spend(struct volume *, uint64_t bytes, uint64_t now);
bool	volume_full(struct volume *, uint64_t now);

#endif
