/*
 * Inside of `sallyport rules`: a tenant's law.
 */
#ifndef SALLYPORT_RULES_H
#define SALLYPORT_RULES_H

#include "answer.h"
#include "law.h"

struct listing {
	struct reading		 r;
	unsigned int		 index;		/* of the tenant in the policy */
	const struct tenant	*tenant;	/* in the model */
	uint32_t		 first;		/* of its rules */
	uint64_t		 now;
	bool			 quiet, json, all;
	size_t			 most;		/* entries of a list that are shown */
};

/* rules.c: what concerns this tenant */
bool	rules_host(const struct listing *, const struct host *);
bool	rules_service(const struct listing *, const struct service *);
/* The limits that hold, by their name or the defaults. */
struct limits rules_limits(const struct listing *);
bool	rules_audited(const struct listing *, const struct rule *);

/* rules_json.c */
void	rules_json(const struct listing *);

#endif
