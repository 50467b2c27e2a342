/*
 * Inside of `sallyport explain`: the question, and the steps that are printed.
 */
#ifndef SALLYPORT_EXPLAIN_H
#define SALLYPORT_EXPLAIN_H

#include "law.h"
#include "model.h"
#include "route.h"

#define EXPLAIN_LOCALS	4096
#define EXPLAIN_NAMES	64		/* --name */

struct question {
	const char		*path, *tenant;
	const char		*name[EXPLAIN_NAMES];	/* as they were written */
	size_t			 nnames;
	const char		*shown;		/* of --sni, --host; "": it names nothing */
	bool			 told;		/* what the first bytes are: `flight' */
	bool			 dns;		/* about the name alone */
	struct policy_query	 query;
	struct endpoint		 local[EXPLAIN_LOCALS];	/* sorted */
	size_t			 nlocals;
	struct route		 route;		/* fd -1: there is no asking */
	struct name		 names[EXPLAIN_NAMES];	/* sorted, no doubles */
	const struct name	*bound[EXPLAIN_NAMES];
	struct policy_shown	 flight;
};

/* explain.c: as policy_query.own, by the addresses of this host and its routes */
uint32_t explain_own(struct question *, uint32_t proto, const struct endpoint *);

/* explain_row.c: what the verdict would be for each thing that may be shown */
void	explain_row(const struct policy *, const struct question *,
	    const struct judgement *);

/* explain_steps.c: print, and return the exit status */
int	explain_flow(const struct policy *, const struct model *,
	    struct question *);
int	explain_name(const struct policy *, const struct model *,
	    struct question *);

#endif
