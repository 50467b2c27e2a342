/*
 * Denied attempts, told in full or added up. For
 * every guest: lines written in full + the sum of all n == attempts counted.
 */
#ifndef SALLYPORT_BROKER_AGGREGATE_H
#define SALLYPORT_BROKER_AGGREGATE_H

#include "addr.h"
#include "name.h"
#include "reason.h"

#define AGGREGATE_FULL		10u	/* of one kind told in full, then added up */
#define AGGREGATE_KEYS		1024u	/* kinds per guest; more share one per reason */
#define AGGREGATE_PERIOD	UINT64_C(10000000000)	/* ns */

struct aggregate;

/*
 * A sum that is due. dst: the net's address (/24, /64); name: of a question. Neither:
 * several kinds.
 */
struct aggregate_sum {
	enum reason	reason;
	uint32_t	proto;
	struct endpoint	dst;
	struct name	name;
	uint64_t	n, first, last, uniq;	/* uniq: distinct addresses or names,
						   at most 256 */
};

struct aggregate *aggregate_new(void);		/* NULL: no memory */
void	aggregate_free(struct aggregate *);
/* May it be written now? */
enum aggregate_how {
	AGGREGATE_COUNT,	/* none: the log is not there */
	AGGREGATE_TELL,		/* the first of a kind */
	AGGREGATE_FOLD		/* none, and a kind that is new is none of its own */
};
/*
 * Counts one denial at wall time `ts` (ns). True: write it in full. False: it
 * is in a sum.
 */
bool	aggregate_deny(struct aggregate *, enum reason, uint32_t proto,
	    const struct endpoint *dst, uint64_t ts, enum aggregate_how);
/* The same of a denied question. */
bool	aggregate_name(struct aggregate *, enum reason, const struct name *,
	    uint64_t ts, enum aggregate_how);
/* One was written in full without asking. */
void	aggregate_told(struct aggregate *, enum reason, uint32_t proto,
	    const struct endpoint *dst);
/* The next of this kind would be in a sum. */
bool	aggregate_hot(struct aggregate *, enum reason, uint32_t proto,
	    const struct endpoint *dst);
/*
 * Hands out every sum that is due at `now` (monotonic ns), or all of them; what was
 * told of a kind in full stays known for its period. What `sum` does not take is
 * added to that of several kinds, which it has to take.
 */
void	aggregate_flush(struct aggregate *, uint64_t now, bool all,
	    bool (*sum)(void *arg, const struct aggregate_sum *), void *arg);
/* There is something to flush, now or later. */
bool	aggregate_busy(const struct aggregate *);

#endif
