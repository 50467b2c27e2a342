/*
 * Flows that are over, with their close recorded, and have bytes in the kernel that
 * the peer has yet to take. A socket that is closed like that lives on in the kernel
 * without an owner, for minutes if the peer acknowledges and does not read, and so a
 * guest could leave there as much as it likes by ending its flows in order. So the fd
 * is kept, and what it holds is charged, until all is sent.
 *
 * Trusts: SO_MEMINFO. Must not: take the time from a peer that is only slow: as long
 * as the queue gets shorter, it is waited for, as the kernel would.
 */
#include <sys/socket.h>

#include "broker.h"
#include "log.h"

/* The frame has ended it in order: is there more than a last packet? */
bool
drain_wanted(const struct flow *f)
{
	return kmem_queued(f->fd) > DRAIN_LITTLE;
}

/* It is on no list, and its close is written. */
void
drain_take(struct flow *f)
{
	struct guest	*g = f->guest;

	f->state = FLOW_DRAIN;
	f->held = kmem_queued(f->fd);
	f->due = mono_now() + DRAIN_STUCK;
	TAILQ_INSERT_TAIL(&g->drains, f, all);
	broker_want_tick(g->broker);
}

/* What the frame's CLOSE was put to the test with otherwise comes now (cut.c). */
static void
end(struct flow *f, bool reset)
{
	struct linger	 now = { .l_onoff = 1, .l_linger = 0 };
	struct guest	*g = f->guest;

	TAILQ_REMOVE(&g->drains, f, all);
	if (reset && setsockopt(f->fd, SOL_SOCKET, SO_LINGER, &now,
	    sizeof(now)) == -1)
		log_warn("linger: flow %llu", (unsigned long long)f->number);
	if (!cut_wire(f))
		g->untested = true;
	ledger_free(f);
}

/* How much of the kernel's memory is left in them. */
uint64_t
drain_tick(struct guest *g, uint64_t mono)
{
	struct flow	*f, *next;
	uint64_t	 all = 0;

	for (f = TAILQ_FIRST(&g->drains); f != NULL; f = next) {
		next = TAILQ_NEXT(f, all);
		if (kmem_drained(f->fd, &f->held, &f->due, mono))
			end(f, f->held > DRAIN_LITTLE);
		else
			all += f->held;
	}
	return all;
}

/* Over the limit: the oldest goes. Returns what it held. */
uint64_t
drain_reset(struct guest *g)
{
	struct flow	*f = TAILQ_FIRST(&g->drains);
	uint64_t	 held = f->held;

	end(f, true);
	return held;
}

/* The guest is gone, and with it its frames: what is left is its name's. */
void
drain_leave(struct guest *g)
{
	struct flow	*f;

	while ((f = TAILQ_FIRST(&g->drains)) != NULL) {
		TAILQ_REMOVE(&g->drains, f, all);
		ledger_unwatch(f);
		leftover_add(&g->account->leftovers, &f->fd, &f->charge,
		    f->held, mono_now());
		ledger_free(f);
	}
}
