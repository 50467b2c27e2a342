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

#define PINS_MAX	20480u		/* of one guest: below 8 MB */
#define PINS_PER_NAME	1024u		/* addresses */
#define PINS_PER_ADDR	1024u		/* names that share one address */
#define PINS_LAPSED	UINT64_C(600000000000)	/* ns: an old pin is known as such */

struct pins;

/* Names of one address: sorted, no doubles. */
struct bound {
	const struct name *name[PINS_PER_ADDR];	/* until the next pins_put() */
	size_t		n;
	bool		lapsed;		/* some that were are no longer */
};

/* Nothing was pinned, for there are so many already, and all of them live: */
enum pins_full {
	PINS_PUT,			/* no, they were */
	PINS_FULL,			/* of this guest */
	PINS_FULL_NAME,			/* of this name */
	PINS_FULL_ADDR			/* of one of the addresses */
};

struct pins *pins_new(void);		/* NULL: no memory */
void	pins_free(struct pins *);
/*
 * Pins all of these addresses, at most PINS_PER_NAME, or none. What is pinned
 * already never ends earlier for it, and what has not ended makes no room.
 */
enum pins_full pins_put(struct pins *, const struct name *,
	    const struct endpoint *, size_t n, uint64_t until, uint64_t now);
/* The names that are pinned to an address now. p may be NULL: nothing is pinned. */
void	pins_bound(const struct pins *, const struct endpoint *, uint64_t now,
	    struct bound *);
/* Those that were, and are no longer. */
void	pins_lapsed(const struct pins *, const struct endpoint *, uint64_t now,
	    struct bound *);
/* When the last of them ends; 0: there is none. */
uint64_t pins_end(const struct pins *);
uint32_t pins_count(const struct pins *);	/* old ones included */

#endif
