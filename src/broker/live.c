/*
 * What open flows have moved so far, told about once in the policy's `flow-live': one
 * after the other, so that ten thousand of them are no burst, and never at the cost of
 * a record of what happens.
 *
 * A flow goes round: the head is told and becomes the tail, as many in a second as make
 * one round in that time. TCP alone: of others the kernel counts no bytes, and what
 * their frame claims it says at the end.
 *
 * Trusts: the kernel's numbers. Must not: tell of a flow that has no flow.open, or go
 * on while the log or its guest's share of it is short.
 */
#include "broker.h"

#define LIVE_LINE	1024u		/* bytes of a record, about */
#define LIVE_OFTEN	10u		/* s: what a slow tick is too slow for */
#define LIVE_DENSE	20u		/* a second: more come in smaller lots */
#define MS		(SEC / 1000)

static uint64_t
round_ms(const struct guest *g)
{
	return (uint64_t)policy_audit(g->broker->policy)->live * 1000;
}

/* It is granted. */
void
live_add(struct flow *f)
{
	struct guest	*g = f->guest;

	if (round_ms(g) == 0 || f->proto != PROTO_TCP)
		return;
	if (g->nlives++ == 0) {
		g->lived = mono_now();
		g->lives_due = 0;
	}
	TAILQ_INSERT_TAIL(&g->lives, f, live);
	f->lives = true;
}

/* It is over, or is being taken back. */
void
live_drop(struct flow *f)
{
	if (!f->lives)
		return;
	TAILQ_REMOVE(&f->guest->lives, f, live);
	f->guest->nlives--;
	f->lives = false;
}

static void
tell(struct flow *f, uint64_t mono)
{
	struct record	r;
	struct meter	now;

	meter_read(f, false, &now);
	record_flow(f, REC_FLOW_LIVE, &r);
	r.dur = mono - f->begun;
	r.up = now.up;
	r.down = now.down;
	r.rtt = now.rtt;
	r.csrc = CSRC_KERNEL;
	record_put(f->guest, f->named, f->names, &r);
}

/* How many are due: each has its part of the round, and none has two at a time. */
static uint32_t
due(struct guest *g, uint64_t mono)
{
	uint64_t	round = round_ms(g), gone = (mono - g->lived) / MS, n;

	g->lived += gone * MS;
	g->lives_due += (gone < round ? gone : round) * g->nlives;
	n = g->lives_due / round;
	g->lives_due %= round;
	return n < g->nlives ? (uint32_t)n : g->nlives;
}

void
live_tick(struct guest *g, uint64_t mono)
{
	struct broker	*b = g->broker;
	struct flow	*f;
	uint32_t	 n;

	if (g->nlives == 0 || b->stop != STOP_NO)
		return;
	for (n = due(g, mono); n > 0; n--) {
		if (!audit_up(b) || audit_crowded(b) ||
		    !volume_has(&g->account->volume, VOLUME_FULL, LIVE_LINE,
		    mono))
			return;
		f = TAILQ_FIRST(&g->lives);
		TAILQ_REMOVE(&g->lives, f, live);
		TAILQ_INSERT_TAIL(&g->lives, f, live);
		tell(f, mono);
	}
}

bool
live_urgent(const struct guest *g)
{
	uint64_t	round = round_ms(g);

	return g->nlives > 0 && (round < LIVE_OFTEN * 1000 ||
	    g->nlives > round / 1000 * LIVE_DENSE);
}
