/*
 * Connections of which one side has ended: when they are of no use to anybody any
 * more, and which of them makes room when there are as many flows as may be.
 *
 * A program that has said all it had and was then ended leaves its kernel nothing to
 * tell us, and the server may never have anything to say. So the guest is asked every
 * minute: one that knows the connection acknowledges, one that does not resets it.
 * That it answers does not make the flow live longer, nor does its silence end it: a
 * virtual machine may be paused.
 *
 * Trusts: a guest's acknowledgement for no more than that it knows the connection.
 * Must not: end a flow that somebody is still to take bytes of, or on which something
 * has moved just now.
 */
#include "tcp.h"

#define PROBE_S		60

/* Those on which nothing has moved for longest are in front. */
static TAILQ_HEAD(half_list, tcp_flow) idle = TAILQ_HEAD_INITIALIZER(idle);

static void
unlist(struct tcp_flow *f)
{
	if (f->is_listed)
		TAILQ_REMOVE(&idle, f, half);
	f->is_listed = false;
}

void
half_leave(struct tcp_flow *f)
{
	unlist(f);
	f->is_half = false;
}

/* Until the next probe, or the end. */
static void
await(struct tcp_flow *f)
{
	uint32_t	left = frame.config.tcp_half_idle - f->probes * PROBE_S;

	flow_set_timeout(&f->flow, left < PROBE_S ? left : PROBE_S);
}

static void
enter(struct tcp_flow *f)
{
	unlist(f);
	f->is_half = true;
	f->probes = 0;
	f->moved_ms = frame.now_ms;
	await(f);
	if (f->up_bytes + f->down_bytes > 0)
		return;		/* the guest is gone; the server is to take the rest */
	f->is_listed = true;
	TAILQ_INSERT_TAIL(&idle, f, half);
}

/*
 * After each turn. As long as one side is still to take what we have told the other
 * that we had, only the policy's own limit holds, if it sets one.
 */
void
half_check(struct tcp_flow *f, bool moved)
{
	if (f->phase != TCP_OPEN || !(f->guest_fin || f->host_eof))
		return;
	if (f->gone == GONE_NOT && f->up_bytes + f->down_bytes > 0) {
		if (f->is_half || f->flow.timeout_s != frame.config.tcp_idle)
			flow_set_timeout(&f->flow, frame.config.tcp_idle);
		half_leave(f);
	} else if (moved || !f->is_half)
		enter(f);
}

/* A minute has passed, or what was left. */
void
half_idle(struct tcp_flow *f)
{
	f->probes++;
	if (f->probes * PROBE_S >= frame.config.tcp_half_idle) {
		relay_give_up(f, REASON_IDLE);
		return;
	}
	stack_probe(f);
	await(f);
}

uint64_t
half_idle_since(void)
{
	const struct tcp_flow	*f = TAILQ_FIRST(&idle);

	return f != NULL ? f->moved_ms : UINT64_MAX;
}

void
half_evict(void)
{
	relay_make_room(TAILQ_FIRST(&idle));
}
