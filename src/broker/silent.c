/*
 * Servers that vanish while something is sent to them. An idle connection is probed by
 * the kernel (connect.c), and so is one to a server that makes no room; but what is
 * sent and not acknowledged is sent again for a quarter of an hour, and the guest
 * waits for as long.
 *
 * Trusts: TCP_INFO, and kmem.c's last look. Must not: end a flow whose peer answers,
 * whatever it answers: one that reads nothing for an hour is there.
 */
#include "broker.h"

#define SILENT_MS	300000u
#define LOOK_EVERY	(15 * SEC)

void
silent_tick(struct guest *g, uint64_t mono)
{
	struct flow	*f, *next;

	if (mono < g->silent_due)
		return;
	g->silent_due = mono + LOOK_EVERY;
	for (f = TAILQ_FIRST(&g->flows); f != NULL; f = next) {
		next = TAILQ_NEXT(f, all);
		if (f->state == FLOW_OPEN && f->held > 0 &&
		    meter_silent(f, SILENT_MS))
			ledger_revoke(f, REASON_PEER_TIMEOUT);
	}
}
