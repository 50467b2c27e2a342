/*
 * What one guest may ask of names: questions per second, and how many different
 * names under a rule that leaves their choice to the guest. A name can carry a
 * guest's bytes to whoever serves the zone, so the second bounds how many.
 *
 * Times are the caller's, in ns.
 */
#ifndef SALLYPORT_BROKER_BUDGET_H
#define SALLYPORT_BROKER_BUDGET_H

#include "name.h"
#include "policy.h"

#define BUDGET_MAX	65536u		/* remembered of one guest; then no new ones */

struct budget;

/* rules: of the policy. NULL: no memory. */
struct budget *budget_new(const struct policy_limits *, uint32_t rules,
	    uint64_t now);
void	budget_free(struct budget *);
/* One question: false = over the rate. */
bool	budget_rate(struct budget *, uint64_t now);
/* No name is counted, and nothing of the rate used up. */
bool	budget_at_rest(struct budget *, uint64_t now);
/*
 * May this name be asked under this rule (or POLICY_NO_RULE)? One that was
 * counted within the period costs nothing.
 */
bool	budget_charge(struct budget *, uint32_t rule, const struct name *,
	    uint64_t now);

#endif
