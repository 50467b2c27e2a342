/*
 * What one guest was told of names: (name, address) until a time. A pin is a
 * grant to this guest alone, by its name, and to each of its links until then.
 *
 * Times are the caller's, in ns of a clock that runs on while the host sleeps,
 * so that a pin does not outlive the TTL that made it.
 */
#ifndef SALLYPORT_BROKER_PINS_H
#define SALLYPORT_BROKER_PINS_H

#include "addr.h"
#include "name.h"

#define PINS_MAX	20480u		/* of one guest: below 8 MB; the oldest go */
#define PINS_PER_NAME	64u		/* addresses; ANSWER_MAX */
#define PINS_PER_ADDR	256u		/* names that share one address */
#define PINS_LAPSED	UINT64_C(600000000000)	/* ns: an old pin is known as such */

struct pins;

/* The names that are pinned to an address now: sorted, no doubles. */
struct bound {
	const struct name *name[PINS_PER_ADDR];	/* until the next pins_put() */
	size_t		n;
	bool		lapsed;		/* some that were are no longer */
};

struct pins *pins_new(void);		/* NULL: no memory */
void	pins_free(struct pins *);
/* Pins; one that is there already never ends earlier for it. */
void	pins_put(struct pins *, const struct name *, const struct endpoint *,
	    uint64_t until, uint64_t now);
/* p may be NULL: nothing is pinned. */
void	pins_bound(struct pins *, const struct endpoint *, uint64_t now,
	    struct bound *);
/* When the last of them ends; 0: there is none. */
uint64_t pins_end(const struct pins *);
uint32_t pins_count(const struct pins *);	/* old ones included */

#endif
