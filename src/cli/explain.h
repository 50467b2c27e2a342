/*
 * Inside of `sallyport explain`: the question, and the steps that are printed.
 */
#ifndef SALLYPORT_EXPLAIN_H
#define SALLYPORT_EXPLAIN_H

#include "law.h"
#include "model.h"

#define LOCALS_MAX	4096
#define EXPLAIN_NAMES	64		/* --name */

struct question {
	const char		*path, *tenant;
	const char		*name[EXPLAIN_NAMES];	/* as they were written */
	size_t			 nnames;
	const char		*shown;		/* NULL: no flight; "": it names nothing */
	bool			 dns;		/* about the name alone */
	struct policy_query	 query;
	struct endpoint		 local[LOCALS_MAX];
	struct name		 names[EXPLAIN_NAMES];	/* sorted, no doubles */
	const struct name	*bound[EXPLAIN_NAMES];
	struct policy_shown	 flight;
};

/* explain_steps.c: print, and return the exit status */
int	explain_flow(const struct policy *, const struct model *,
	    const struct question *);
int	explain_name(const struct policy *, const struct model *,
	    const struct question *);

#endif
