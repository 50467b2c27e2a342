/*
 * Rules that end (`until'). Each judgement reads the clock itself, so nothing new is
 * let through from that second on. What lives is looked at in a round of changes.c: a
 * flow that a rule let through which has ended is judged again, and taken back if no
 * other lets it through.
 *
 * The date is the host's wall clock, which may be set, and which goes on while the
 * host sleeps; the timer's does neither. So it is looked at every few seconds, where
 * there is a rule that ends. A clock that is set back brings a rule back;
 * what was taken back stays so.
 *
 * Trusts: the host's clock. Must not: leave a flow to a rule that has ended.
 */
#include <event2/event.h>
#include <stdlib.h>

#include "broker.h"
#include "log.h"

#define LOOK_EVERY	5u		/* seconds */

struct expiry {
	struct broker	*broker;
	struct event	*timer;
	uint64_t	 seen;		/* s: rules that ended by then were dealt with */
};

uint64_t
wall_seconds(void)
{
	return record_time() / SEC;
}

/* A moment too late rather than one too early: the next look is a second away. */
static void
arm(struct expiry *e)
{
	const struct broker	*b = e->broker;
	uint64_t		 ns = record_time();
	uint64_t		 next = policy_expiry(b->policy, b->tenant,
				    e->seen) * SEC;
	uint64_t		 wait;
	struct timeval		 tv;

	if (policy_expiry(b->policy, b->tenant, 0) == 0)
		return;
	wait = next > ns ? next - ns : 0;
	/* none is to end, unless the clock is set back */
	if (next == 0 || wait > LOOK_EVERY * SEC)
		wait = LOOK_EVERY * SEC;
	wait += SEC / 1000;
	tv.tv_sec = (time_t)(wait / SEC);
	tv.tv_usec = (suseconds_t)(wait % SEC / 1000);
	if (event_add(e->timer, &tv) == -1)
		fatalx("libevent has no memory");
}

static void
on_timer(int fd, short what, void *arg)
{
	struct expiry	*e = arg;
	struct broker	*b = e->broker;
	uint64_t	 next = policy_expiry(b->policy, b->tenant, e->seen);
	uint64_t	 now = wall_seconds();

	(void)fd;
	(void)what;
	if (next != 0 && next <= now)
		changes_look(b->changes);
	e->seen = now;
	arm(e);
}

struct expiry *
expiry_new(struct broker *b)
{
	struct expiry	*e = calloc(1, sizeof(*e));

	if (e == NULL)
		fatal("broker");
	e->broker = b;
	if ((e->timer = event_new(b->base, -1, 0, on_timer, e)) == NULL)
		fatalx("libevent has no memory");
	e->seen = wall_seconds();
	arm(e);
	return e;
}

void
expiry_free(struct expiry *e)
{
	event_free(e->timer);
	free(e);
}
