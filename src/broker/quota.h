/*
 * What one guest, by its name, may hold at once and ask per second. One tier: everything is
 * charged to the guest. A charge is a member of what it pays
 * for, and quota_refund() takes back whatever of it is left.
 */
#ifndef SALLYPORT_BROKER_QUOTA_H
#define SALLYPORT_BROKER_QUOTA_H

#include "policy.h"
#include "slots.h"

/* A token bucket on any clock in nanoseconds. */
struct bucket {
	uint32_t	rate;		/* per second; 0 = no limit */
	uint32_t	burst;
	uint64_t	level;		/* billionths of a token */
	uint64_t	last;
};
void	bucket_init(struct bucket *, uint32_t rate, uint32_t burst,
	    uint64_t now);
bool	bucket_take(struct bucket *, uint64_t now);
bool	bucket_full(const struct bucket *, uint64_t now);

/* Nobody needs more connects under way to be called a busy guest. */
#define QUOTA_PENDING_MAX	16384u

struct quota;

struct charge {
	bool		conn;
	struct slot	pending, unproven;
};

/* conns_max: what this process has fds for. NULL: no memory. */
struct quota	*quota_new(const struct policy_limits *, uint32_t conns_max,
		    uint64_t now);
void		 quota_free(struct quota *);
uint32_t	 quota_conns_max(const struct quota *);
uint32_t	 quota_conns(const struct quota *);
uint32_t	 quota_pending(const struct quota *);
uint32_t	 quota_unproven(const struct quota *);

/* Nothing is charged, and nothing of the rate used up. */
bool		 quota_at_rest(const struct quota *, uint64_t now);

/* One OPEN: false = over the rate. */
bool		 quota_rate(struct quota *, uint64_t now);
/* False: the limit is met, and nothing is charged. */
bool		 quota_conn(struct quota *, struct charge *);
/*
 * A slot of those that connect to this address; then, instead of it, one of those
 * that have yet to show something. False: it waits for it, with what it has, until
 * it is quota_next()'s or gives up.
 */
bool		 quota_connecting(struct quota *, const struct endpoint *,
		    struct charge *, void *owner);
bool		 quota_proving(struct quota *, const struct endpoint *,
		    struct charge *, void *owner);
/* The owner of the next that waited: it has its slot now. NULL: there is none. */
void		*quota_next(struct quota *);
bool		 quota_due(const struct quota *);	/* it would not be NULL */
/* The connect is over; it has shown what it had to. The flow goes on. */
void		 quota_connected(struct quota *, struct charge *);
void		 quota_proven(struct quota *, struct charge *);
void		 quota_refund(struct quota *, struct charge *);

#endif
