/*
 * Beginnings and ends of the whole set.
 *
 *   START -> GREETED -> READY -> STOPPING -> ENDING -> exit
 *
 * STOPPING: the broker closes flows and log; it ends by itself. ENDING: it is
 * gone; frame, resolver and inspector are killed, and the recorder ends by the
 * end of its channel, never by a signal: it has a log to close.
 *
 * Trusts: the pidfds. Must not: leave anyone behind, or wait for ever.
 */
#include <event2/event.h>

#include "keeperd.h"

#define STOP_SECONDS	10	/* for the broker to close what is open */
#define END_SECONDS	5	/* for the recorder to flush */

/* Seconds until what is awaited must have come; 0 = no longer. */
void
life_deadline(struct keeper *k, int seconds)
{
	struct timeval	tv = { .tv_sec = seconds };

	event_del(k->deadline);
	if (seconds > 0)
		event_add(k->deadline, &tv);
}

void
life_stop(struct keeper *k)
{
	enum keeper_state	was = k->state;

	if (was == KEEPER_S_STOPPING || was == KEEPER_S_ENDING)
		return;
	k->state = KEEPER_S_STOPPING;
	life_deadline(k, STOP_SECONDS);
	if (was == KEEPER_S_START) {	/* it has nothing to close yet */
		k->unborn = true;
		child_kill(k, ROLE_BROKER);
		chan_free(k->broker);	/* what it may have said is too late */
		k->broker = NULL;
	} else
		hatch_stop(k);
}

void
life_broker_gone(struct keeper *k, bool clean)
{
	if (!k->unborn && (!clean || k->state != KEEPER_S_STOPPING))
		k->failed = true;
	k->state = KEEPER_S_ENDING;
	chan_free(k->broker);
	k->broker = NULL;
	child_kill(k, ROLE_FRAME);
	child_kill(k, ROLE_RESOLVER);
	child_kill(k, ROLE_INSPECTOR);
	life_deadline(k, END_SECONDS);
	life_check_end(k);
}

void
life_check_end(struct keeper *k)
{
	if (k->state != KEEPER_S_ENDING || child_running(k, ROLE_FRAME) ||
	    child_running(k, ROLE_RECORDER) ||
	    child_running(k, ROLE_RESOLVER) ||
	    child_running(k, ROLE_INSPECTOR))
		return;
	life_deadline(k, 0);
	command_end(k);
	event_base_loopbreak(k->base);
}
