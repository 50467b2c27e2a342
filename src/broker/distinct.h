/*
 * What varied in a sum: the first different destinations or names, and how many
 * different ones there were. Zeroed memory is an empty one of either.
 */
#ifndef SALLYPORT_BROKER_DISTINCT_H
#define SALLYPORT_BROKER_DISTINCT_H

#include "addr.h"
#include "name.h"
#include "record.h"

#define DISTINCT_LOW	32u		/* addresses of a /64, exactly */
#define DISTINCT_DST	12u		/* destinations of one name, exactly */
#define DISTINCT_WIDE	256u		/* of several kinds, exactly */

/* Of one kind, in little room. */
struct distinct {
	uint32_t	n;
	uint32_t	more;		/* there were others */
	union {
		uint8_t		bit[32];	/* of a /24: all, exactly */
		uint8_t		low[DISTINCT_LOW][8];
		struct endpoint	dst[DISTINCT_DST];
	}		of;
};

/* Of whatever is added up. */
struct wide {
	uint32_t	n;
	uint32_t	more;
	uint64_t	seen[2 * DISTINCT_WIDE];	/* keyed hashes */
	char		names[RECORD_LIST_MAX], dsts[RECORD_LIST_MAX];
};

/* One address of a net that is its /24 or /64; one destination. */
void	distinct_in_net(struct distinct *, const struct endpoint *);
void	distinct_dst(struct distinct *, const struct endpoint *);
/* The next of what was counted; false at the end. *at begins with 0. */
bool	distinct_next(const struct distinct *, const struct endpoint *net,
	    uint32_t *at, struct endpoint *);
/* Adds it to a list of texts; port: with its port, if it has one. */
void	distinct_text(char list[RECORD_LIST_MAX], const struct endpoint *,
	    bool port);

void	wide_dst(struct wide *, const struct endpoint *);
void	wide_name(struct wide *, const struct name *);

#endif
