/*
 * What a guest's sockets hold of the kernel's memory: data that a peer does not
 * take, data that the guest does not read. All of it is the guest's choice, or that
 * of a server it works with, and none of it is in any process's address space, so
 * it is measured here and charged to the guest.
 *
 * Trusts: SO_MEMINFO. Must not: end a flow while the guest is within its limit.
 *
 * From seven eighths of the limit on there are no new flows; beyond it the flows
 * that hold the most are taken back, the largest first, until the rest is within.
 * An honest guest's flows are small or move, so it does not come that far, and what
 * it has is not slowed down: a buffer of a fixed size would do that, for good. What
 * may wait for a peer that does not read is bounded before (connect.c).
 */
#include <sys/socket.h>

#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "log.h"

#define PER_FLOW	(16u << 20)	/* few flows come to hold more */

static uint64_t
limit(const struct guest *g)
{
	return (uint64_t)policy_limits(g->broker->policy,
	    g->broker->tenant)->kernel_memory << 10;
}

/* A datagram's send buffer is counted in another place than a stream's. */
static uint64_t
look(int fd, uint64_t *queued)
{
	uint32_t	m[SK_MEMINFO_VARS];
	socklen_t	len = sizeof(m);

	memset(m, 0, sizeof(m));
	if (fd != -1 && getsockopt(fd, SOL_SOCKET, SO_MEMINFO, m, &len) == -1)
		log_warn("SO_MEMINFO");
	*queued = m[SK_MEMINFO_WMEM_QUEUED] > m[SK_MEMINFO_WMEM_ALLOC] ?
	    m[SK_MEMINFO_WMEM_QUEUED] : m[SK_MEMINFO_WMEM_ALLOC];
	return *queued + m[SK_MEMINFO_RMEM_ALLOC] + m[SK_MEMINFO_BACKLOG] +
	    m[SK_MEMINFO_OPTMEM];
}

/* In both directions. */
uint64_t
kmem_held(int fd)
{
	uint64_t	queued;

	return look(fd, &queued);
}

/* To be sent, or sent and not acknowledged. */
uint64_t
kmem_queued(int fd)
{
	uint64_t	queued;

	(void)look(fd, &queued);
	return queued;
}

/*
 * One more look at a socket that is over: true if all is sent, which leaves it with
 * DRAIN_LITTLE at most, or if its peer has taken nothing until `due`.
 */
bool
kmem_drained(int fd, uint64_t *held, uint64_t *due, uint64_t mono)
{
	uint64_t	now = kmem_queued(fd);

	if (now < *held)
		*due = mono + DRAIN_STUCK;
	*held = now;
	return now <= DRAIN_LITTLE || mono >= *due;
}

/* Of all flows, and of those that were not yet taken back. */
static uint64_t
measure(struct guest *g, uint64_t *live)
{
	struct flow	*f;
	uint64_t	 all = 0;

	*live = 0;
	TAILQ_FOREACH(f, &g->flows, all) {
		f->held = kmem_held(f->fd);
		all += f->held;
		if (f->state != FLOW_REVOKED)
			*live += f->held;
	}
	return all;
}

/*
 * Shell's sort: glibc's qsort(3) asks for the size of the machine's memory by a
 * call that the seal does not have.
 */
static void
largest_first(struct flow **all, size_t n)
{
	struct flow	*f;
	size_t		 gap, i, k;

	for (gap = n / 2; gap > 0; gap /= 2)
		for (i = gap; i < n; i++) {
			f = all[i];
			for (k = i; k >= gap && all[k - gap]->held < f->held;
			    k -= gap)
				all[k] = all[k - gap];
			all[k] = f;
		}
}

/* Takes back the fewest that bring it within its limit. */
static void
revoke(struct guest *g, uint64_t live)
{
	struct flow	**all = calloc(g->nflows, sizeof(struct flow *));
	struct flow	*f;
	size_t		 i, n = 0;

	if (all == NULL)
		fatal("memory");
	TAILQ_FOREACH(f, &g->flows, all)
		if (f->state != FLOW_REVOKED && f->held > 0)
			all[n++] = f;
	largest_first(all, n);
	for (i = 0; i < n && live > limit(g); i++) {
		live -= all[i]->held;
		ledger_revoke(all[i], REASON_KERNEL_MEMORY);
	}
	free(all);
}

void
kmem_tick(struct guest *g, uint64_t mono)
{
	struct leftovers *past = &g->account->leftovers;
	uint64_t	live, drains = drain_tick(g, mono);
	uint64_t	left = leftovers_tick(past, mono);

	g->kmem = measure(g, &live) + drains + left;
	if (live + drains + left <= limit(g))
		return;
	deny_limit(g, REASON_KERNEL_MEMORY);
	while (left > 0 && live + drains + left > limit(g))
		left -= leftover_reset(past);
	while (drains > 0 && live + drains + left > limit(g))
		drains -= drain_reset(g);
	if (live + drains + left > limit(g))
		revoke(g, live + drains + left);
}

bool
kmem_room(const struct guest *g)
{
	return g->kmem < limit(g) / 8 * 7;
}

/* It may come to hold much within a moment. */
bool
kmem_urgent(const struct guest *g)
{
	return g->nflows > limit(g) / PER_FLOW || g->kmem > limit(g) / 4 ||
	    !TAILQ_EMPTY(&g->drains);
}
