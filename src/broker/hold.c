/*
 * Flows that wait for their turn: over `pending` before they are dialled, over
 * `unproven` before their guest is asked for first bytes. The guest's SYN is not
 * answered meanwhile, so its kernel tries again as with a server that is slow.
 *
 * Trusts: quota.c for whose turn it is.
 * Must not: begin anything in the midst of another flow's end, or let one guest's
 * queue hold up the others.
 */
#include <event2/event.h>

#include "broker.h"
#include "log.h"

#define HELD_OVERDUE	(60 * SEC)	/* as a connect */
#define TURN		64u		/* of one guest, until all others had theirs */

void
hold_flow(struct flow *f, enum reason limit)
{
	struct guest	*g = f->guest;

	f->waits = limit;
	f->due = mono_now() + HELD_OVERDUE;
	ledger_move(f, &g->held);
	deny_limit(g, limit);
	broker_want_tick(g->broker);
}

/* A slot is free, and somebody can have it. */
void
hold_wake(struct guest *g)
{
	static const struct timeval	at_once = { 0, 0 };

	if (quota_due(g->quota) &&
	    event_add(g->broker->holding, &at_once) == -1)
		fatalx("libevent has no memory");
}

static void
go_on(struct guest *g)
{
	struct flow	*f;
	unsigned int	 n;

	for (n = 0; n < TURN && (f = quota_next(g->quota)) != NULL; n++) {
		f->waits = REASON_NONE;
		ledger_move(f, NULL);
		if (f->state == FLOW_HELD)
			open_held(f);
		else
			peek_turn(f);
	}
}

void
hold_turn(struct broker *b)
{
	unsigned int	i;

	for (i = 0; i < GUESTS_MAX; i++)
		if (b->guest[i] != NULL)
			go_on(b->guest[i]);
	for (i = 0; i < GUESTS_MAX; i++)
		if (b->guest[i] != NULL)
			hold_wake(b->guest[i]);
}

/* Its guest has given up by now, or may try again. */
void
hold_tick(struct guest *g, uint64_t mono)
{
	struct flow	*f;

	while ((f = TAILQ_FIRST(&g->held)) != NULL && f->due <= mono)
		ledger_failed(f, f->waits, DENY_SILENT, 0);
}
