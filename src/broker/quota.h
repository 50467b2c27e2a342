/*
 * What one guest, by its name, may hold at once and ask per second. One tier: everything is
 * charged to the guest (security.md, E4). A charge is a member of what it pays
 * for, and quota_refund() takes back whatever of it is left.
 */
#ifndef SALLYPORT_BROKER_QUOTA_H
#define SALLYPORT_BROKER_QUOTA_H

#include "policy.h"

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
	bool		conn, pending;
	struct endpoint	dst;		/* what `pending` was charged for */
};

/* conns_max: what this process has fds for. NULL: no memory. */
struct quota	*quota_new(const struct policy_limits *, uint32_t conns_max,
		    uint64_t now);
void		 quota_free(struct quota *);
uint32_t	 quota_conns_max(const struct quota *);
uint32_t	 quota_conns(const struct quota *);
uint32_t	 quota_pending(const struct quota *);

/* Nothing is charged, and nothing of the rate used up. */
bool		 quota_at_rest(const struct quota *, uint64_t now);

/* One OPEN: false = over the rate. */
bool		 quota_rate(struct quota *, uint64_t now);
/* REASON_NONE, or the limit that was met; then nothing is charged. */
enum reason	 quota_charge(struct quota *, const struct endpoint *dst,
		    struct charge *);
/* The same of a flow whose connect was put off by quota_connected(). */
enum reason	 quota_connecting(struct quota *, const struct endpoint *dst,
		    struct charge *);
/* The connect is over, or is not yet to begin; the flow goes on. */
void		 quota_connected(struct quota *, struct charge *);
void		 quota_refund(struct quota *, struct charge *);

#endif
