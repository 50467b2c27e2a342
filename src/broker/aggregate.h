/*
 * Denied attempts and failed connects, told in full or added up. For
 * every guest: lines written in full + the sum of all n == attempts counted.
 */
#ifndef SALLYPORT_BROKER_AGGREGATE_H
#define SALLYPORT_BROKER_AGGREGATE_H

#include "addr.h"
#include "name.h"
#include "reason.h"
#include "record.h"

#define AGGREGATE_FULL		10u	/* of one kind told in full, then added up */
#define AGGREGATE_KEYS		1024u	/* kinds per guest; more share one per reason */
#define AGGREGATE_SHOWN		512u	/* of those, names that flows have shown */
#define AGGREGATE_WIDE		16u	/* reasons that such a one has lists for */
#define AGGREGATE_PERIOD	UINT64_C(10000000000)	/* ns */

struct aggregate;

/* What the name of an attempt is: of the address only, or what it is about. */
enum attempt_name { ATTEMPT_NO_NAME, ATTEMPT_ASKED, ATTEMPT_SNI, ATTEMPT_VHOST };

/*
 * One that is counted. Its kind is (reason, protocol, rule, name), and, if it is not
 * about that name, (net, port); what varies are the destinations.
 */
struct attempt {
	enum reason		 reason;
	uint32_t		 proto, rule;
	const struct endpoint	*dst;		/* NULL: of a question */
	enum attempt_name	 what;
	const struct name	*name;		/* NULL: of ATTEMPT_NO_NAME */
};

/*
 * A sum that is due. Of one kind: its net (/24, /64) or its name. Of several: neither,
 * and `rule' and `proto' only if they had the same.
 */
struct aggregate_sum {
	enum reason		 reason;
	uint32_t		 proto, rule;
	bool			 several;
	struct endpoint		 net;
	uint32_t		 bits;		/* 0: there is no net */
	enum attempt_name	 what;
	struct name		 name;
	uint64_t		 n, first, last;
	uint64_t		 uniq;		/* destinations or names; 0: not known */
	bool			 least;		/* at least so many */
	char			 names[RECORD_LIST_MAX], dsts[RECORD_LIST_MAX];
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
 * Counts one at wall time `ts` (ns). True: write it in full. False: it is in a sum.
 */
bool	aggregate_count(struct aggregate *, const struct attempt *, uint64_t ts,
	    enum aggregate_how);
/* One was written in full without asking. */
void	aggregate_told(struct aggregate *, const struct attempt *);
/* The next of this kind would be in a sum. */
bool	aggregate_hot(struct aggregate *, const struct attempt *);
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
