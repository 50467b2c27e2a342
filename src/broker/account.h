/*
 * What is charged to a guest's name, and so outlives its link and its frames: a
 * guest that hangs up and comes again finds its limits as it left them.
 */
#ifndef SALLYPORT_BROKER_ACCOUNT_H
#define SALLYPORT_BROKER_ACCOUNT_H

#include <sys/queue.h>

#include "aggregate.h"
#include "budget.h"
#include "keeper.h"
#include "leftover.h"
#include "pins.h"
#include "quota.h"
#include "reason.h"
#include "volume.h"

#define ACCOUNTS_IDLE	64u			/* as many as there are guests */
#define ACCOUNT_REST	UINT64_C(60000000000)	/* ns idle; then it may go, if at rest */

struct drops {			/* of one reason, told by the frame */
	uint64_t	n, first, last, told;
};

struct account {
	TAILQ_ENTRY(account) entry;	/* all; the idle ones by when they became it */
	char		name[GUEST_MAX];
	uint64_t	left;		/* mono: when its guest went */
	uint64_t	pinned;		/* boot time: when the last pin ends */
	struct quota	*quota;
	struct bucket	messages;
	struct pins	*pins;
	struct budget	*budget;
	struct volume	volume;		/* of its lines in the log */
	struct aggregate *denied, *unresolved;	/* flows, questions */
	struct aggregate *failed;	/* connects */
	struct leftovers leftovers;
	struct drops	drops[REASON_MAX];
	bool		dropped;	/* one of them is not yet told */
	uint64_t	limit_told[REASON_MAX], starved_told;
	bool		limit_said[REASON_MAX];
};

struct accounts {
	TAILQ_HEAD(, account) taken, idle;
	uint32_t	nidle;
	uint32_t	nleftovers;
};

void	accounts_init(struct accounts *);
void	accounts_free(struct accounts *);
/*
 * The name's account, or a new one under these limits. NULL: no memory, or EEXIST:
 * there is a guest of this name.
 */
struct account *account_take(struct accounts *, const char *name,
	    const struct policy_limits *, uint32_t conns_max, uint32_t rules,
	    uint64_t mono);
/* Its guest is gone; no charge is left but those of its leftovers. */
void	account_leave(struct accounts *, struct account *, uint64_t mono);
/* Forgets those whose memory makes no difference any more. */
void	accounts_tick(struct accounts *, uint64_t mono, uint64_t boot);

#endif
