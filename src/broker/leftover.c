/*
 * What a guest's last links have left in the kernel. See leftover.h.
 *
 * A guest that hangs up ends its flows in order, and what their peers do not take
 * stays in the kernel for minutes. If that were nobody's from then on, each new
 * link would be new memory. So it is kept and charged to the name, for as long as
 * drain.c would keep it.
 *
 * Trusts: SO_MEMINFO. Must not: take the last bytes from a peer that takes them.
 */
#include <sys/socket.h>

#include <stdlib.h>

#include "broker.h"
#include "fd.h"
#include "log.h"

void
leftovers_init(struct leftovers *s, struct quota *quota, uint32_t *total)
{
	TAILQ_INIT(&s->list);
	s->quota = quota;
	s->total = total;
}

void
leftover_add(struct leftovers *s, int *fd, struct charge *charge,
    uint64_t held, uint64_t mono)
{
	struct leftover	*l = malloc(sizeof(*l));

	if (l == NULL)
		return;
	*l = (struct leftover){ .fd = *fd, .held = held,
	    .due = mono + DRAIN_STUCK, .charge = *charge };
	*fd = -1;
	*charge = (struct charge){ .conn = false };
	TAILQ_INSERT_TAIL(&s->list, l, entry);
	++*s->total;
}

static void
finish(struct leftovers *s, struct leftover *l, bool reset)
{
	struct linger	now = { .l_onoff = 1, .l_linger = 0 };

	if (reset && setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &now,
	    sizeof(now)) == -1)
		log_warn("linger");
	TAILQ_REMOVE(&s->list, l, entry);
	--*s->total;
	quota_refund(s->quota, &l->charge);
	fd_drop(&l->fd);
	free(l);
}

uint64_t
leftovers_tick(struct leftovers *s, uint64_t mono)
{
	struct leftover	*l, *next;
	uint64_t	 all = 0;

	for (l = TAILQ_FIRST(&s->list); l != NULL; l = next) {
		next = TAILQ_NEXT(l, entry);
		if (kmem_drained(l->fd, &l->held, &l->due, mono))
			finish(s, l, l->held > DRAIN_LITTLE);
		else
			all += l->held;
	}
	return all;
}

uint64_t
leftover_reset(struct leftovers *s)
{
	struct leftover	*l = TAILQ_FIRST(&s->list);
	uint64_t	 held = l->held;

	finish(s, l, true);
	return held;
}

void
leftovers_free(struct leftovers *s)
{
	struct leftover	*l;

	while ((l = TAILQ_FIRST(&s->list)) != NULL)
		finish(s, l, false);
}
