/*
 * A flow's turns between a host socket and lwIP (up.c, down.c), and how it ends.
 * Where there is no socket, its turns are peek.c's or dnstcp.c's.
 *
 * Trusts: that a granted fd is a connected TCP socket (the broker's promise).
 * Must not: end a socket in any way but shutdown(2) and close(2), or call lwIP
 * from inside of a callback: those only mark a flow dirty, and it is served once
 * at the end of the turn.
 *
 * Ends. Reads go on until 0 or an error, and all of it reaches the
 * guest; then FIN, or RST if any call had failed. Both directions ended: close,
 * CLOSE{FIN}; lwIP keeps what the guest has not acknowledged. A guest's RST, or
 * its silence: close, CLOSE{RST} at once.
 */
#include <stdlib.h>
#include <unistd.h>

#include "tcp.h"

#define HANDSHAKE_S	20	/* no policy sets it */

/*
 * Flows that only wait for the guest to take its last bytes count in no limit of
 * the policy's, and no time ends them: a reader may pause for as long as it
 * likes. So they have a limit here: the oldest goes first.
 */
#define DRAINING_MAX	1024

/* What can wait a little, waits so long. */
#define LATER_MS	1
/* Quick answers in a row, after which an ACK waits for the next answer. */
#define PROMPT_ENOUGH	4
#define PROMPT_LOST	(-32)

TAILQ_HEAD(flow_list, tcp_flow);
static struct flow_list	 dirty = TAILQ_HEAD_INITIALIZER(dirty);
static struct flow_list	 later = TAILQ_HEAD_INITIALIZER(later);
static struct flow_list	 draining = TAILQ_HEAD_INITIALIZER(draining);
static unsigned int	 ndraining;
static struct event	 later_timer;

static void	on_socket(int, short, void *);

void
relay_dirty(struct tcp_flow *f)
{
	if (f->is_dirty)
		return;
	f->is_dirty = true;
	TAILQ_INSERT_TAIL(&dirty, f, dirty);
}

/* Served again in a millisecond. */
void
relay_later(struct tcp_flow *f)
{
	static const struct timeval	tv = { 0, LATER_MS * 1000 };

	if (f->is_later)
		return;
	if (TAILQ_EMPTY(&later))
		evtimer_add(&later_timer, &tv);
	f->is_later = true;
	TAILQ_INSERT_TAIL(&later, f, later);
}

static void
not_later(struct tcp_flow *f)
{
	if (f->is_later)
		TAILQ_REMOVE(&later, f, later);
	f->is_later = false;
}

static void
on_later(int fd, short what, void *arg)
{
	struct tcp_flow	*f;

	(void)fd;
	(void)what;
	(void)arg;
	frame_clock();
	while ((f = TAILQ_FIRST(&later)) != NULL) {
		not_later(f);
		f->was_later = true;
		relay_dirty(f);
	}
}

/* ---- ends ---- */

static void
drain_leave(struct tcp_flow *f)
{
	if (!f->is_draining)
		return;
	TAILQ_REMOVE(&draining, f, draining);
	f->is_draining = false;
	ndraining--;
}

static void
drain_enter(struct tcp_flow *f)
{
	f->phase = TCP_DRAINING;
	f->is_draining = true;
	TAILQ_INSERT_TAIL(&draining, f, draining);
	if (ndraining++ < DRAINING_MAX)
		return;
	f = TAILQ_FIRST(&draining);
	stack_abort(f);
	relay_bury(f);
}

/*
 * The far side is over. How a socket ends is the broker's to do (SO_LINGER); where
 * there was none, `how` says nothing.
 */
static void
end_far(struct tcp_flow *f, enum wire_how how, enum reason reason)
{
	if (f->far == FAR_DNS)
		dnstcp_leave(f);
	if (f->flow.fd != -1) {
		event_del(&f->ev);	/* before close: the broker holds a copy */
		close(f->flow.fd);
		f->flow.fd = -1;
	}
	half_leave(f);
	ahead_discard(f);
	up_discard(f);
	flow_close(&f->flow, how, reason);
	flow_set_timeout(&f->flow, 0);
	drain_enter(f);
}

void
relay_end(struct tcp_flow *f)
{
	end_far(f, HOW_FIN, REASON_DONE);
}

void
relay_bury(struct tcp_flow *f)
{
	if (f->phase == TCP_DEAD)
		return;
	drain_leave(f);
	flow_remove(&f->flow);
	f->phase = TCP_DEAD;
	relay_dirty(f);
}

static void
destroy(struct tcp_flow *f)
{
	not_later(f);
	peek_forget(f);
	ahead_discard(f);
	up_discard(f);
	down_discard(f);
	up_recount(f);
	down_recount(f);
	free(f);
}

/* ---- a turn ---- */

/* Before there was a host: what is told is that the guest wants none any more. */
static void
cancel(struct tcp_flow *f)
{
	end_far(f, HOW_CANCEL, f->gone == GONE_ABORT ? REASON_GUEST_TIMEOUT :
	    REASON_GUEST_CANCEL);
	relay_bury(f);
}

/* The guest's side ended by itself. */
static void
guest_gone(struct tcp_flow *f)
{
	if (f->phase == TCP_DRAINING) {
		relay_bury(f);
		return;
	}
	if (f->far != FAR_HOST) {
		cancel(f);
		return;
	}
	if (f->gone == GONE_CLEAN && (f->up_bytes > 0 || !f->shut_wr)) {
		/* It has said and heard all; the host has not taken all yet. */
		half_check(f, up_flush(f) > 0);
		if (!f->host_reset && !f->shut_wr)
			return;
	}
	if (f->gone == GONE_CLEAN)
		end_far(f, f->host_reset ? HOW_RST : HOW_FIN,
		    f->host_reset ? f->host_why : REASON_DONE);
	else
		end_far(f, HOW_RST, f->gone == GONE_RESET ?
		    REASON_GUEST_RST : REASON_GUEST_TIMEOUT);
	relay_bury(f);
}

void
relay_settle(struct tcp_flow *f)
{
	if (f->gone != GONE_NOT && f->phase != TCP_DEAD &&
	    f->quit == REASON_NONE)
		guest_gone(f);
}

/* The host's side has ended, one way or the other, or both have. */
static void
check_end(struct tcp_flow *f)
{
	if (f->phase == TCP_OPEN && f->host_eof) {
		if (f->host_reset)
			end_far(f, HOW_RST, f->host_why);
		else if (f->shut_wr)
			end_far(f, HOW_FIN, REASON_DONE);
	}
	if (f->phase != TCP_DRAINING)
		return;
	if (f->host_reset && f->down_bytes == 0) {
		stack_abort(f);		/* the guest has all; now its RST */
		relay_bury(f);
	} else if (f->waiting) {
		flow_set_timeout(&f->flow, 0);
		drain_leave(f);		/* stack.c has a limit for these */
	}
}

void
relay_give_up(struct tcp_flow *f, enum reason reason)
{
	stack_abort(f);
	end_far(f, HOW_RST, reason);
	relay_bury(f);
}

/*
 * For another flow. A server that has heard all that the guest had to say gets the rest
 * of it; to one that has not, this must not look like the end.
 */
void
relay_make_room(struct tcp_flow *f)
{
	stack_abort(f);
	end_far(f, f->shut_wr ? HOW_FIN : HOW_RST, REASON_CONNS);
	relay_bury(f);
}

/*
 * In a conversation of short questions and quick answers the ACK goes with the
 * answer. A guest whose answers do not come at once is told at once: it may hold
 * back its next piece until then (RFC 896).
 */
static bool
ack_can_wait(struct tcp_flow *f, uint32_t up, uint32_t down)
{
	if (down > 0 && f->asked_ms != 0) {
		if (frame.now_ms - f->asked_ms > LATER_MS)
			f->prompt = PROMPT_LOST;
		else if (f->prompt < PROMPT_ENOUGH)
			f->prompt++;
		f->asked_ms = 0;
	}
	if (up > 0)
		f->asked_ms = frame.now_ms;
	if (down > 0 || !stack_owes_ack(f) || f->want_ack ||
	    up >= f->peer_mss)
		return false;
	if (up == 0 && frame.now_ms - f->asked_ms > LATER_MS)
		f->prompt = PROMPT_LOST;	/* it has waited long enough */
	if (f->prompt < PROMPT_ENOUGH)
		return false;
	relay_later(f);
	return true;
}

/* True: the guest is to be sent what there is now. */
static bool
serve_open(struct tcp_flow *f)
{
	uint32_t	up, down;
	bool		moved, wait;

	if (f->recheck && f->was_later)
		f->readable = true;
	f->recheck = f->recheck && !f->was_later;
	up = up_flush(f);
	if (f->host_eof && f->readable)
		down_look_behind_end(f);
	down = down_pump(f);
	if (f->quit != REASON_NONE)
		return false;
	moved = up + down > 0 || f->acked;
	f->acked = false;
	if (moved)
		flow_touch(&f->flow);
	up_adapt_window(f, up);
	half_check(f, moved);
	stack_open_window(f);
	wait = ack_can_wait(f, up, down);
	f->was_later = false;
	return !wait;
}

static bool
serve_far(struct tcp_flow *f)
{
	switch (f->far) {
	case FAR_HOST:
		return serve_open(f);
	case FAR_BROKER:
		peek_serve(f);
		break;
	case FAR_DNS:
		dnstcp_serve(f);
		break;
	}
	return true;
}

static void
serve(struct tcp_flow *f)
{
	bool	send = true;

	f->is_dirty = false;
	if (f->phase == TCP_DEAD) {
		destroy(f);
		return;
	}
	if (f->gone != GONE_NOT && f->quit == REASON_NONE)
		guest_gone(f);
	else if (f->phase == TCP_OPEN)
		send = serve_far(f);
	else
		stack_open_window(f);
	if (f->quit != REASON_NONE)
		relay_give_up(f, f->quit);
	else if (f->gone == GONE_NOT) {
		check_end(f);
		if (send)
			stack_flush(f);
	}
	up_recount(f);
	down_recount(f);
}

/* Each dirty flow once; what becomes dirty meanwhile waits for the next turn. */
bool
tcp_turn_end(void)
{
	struct tcp_flow	*f, *last = TAILQ_LAST(&dirty, flow_list);

	while (last != NULL && (f = TAILQ_FIRST(&dirty)) != NULL) {
		TAILQ_REMOVE(&dirty, f, dirty);
		if (f == last)
			last = NULL;
		serve(f);
	}
	return !TAILQ_EMPTY(&dirty);
}

static void
unblock(struct tcp_flow *f)
{
	if (f->blocked || f->readable)
		relay_dirty(f);
}

void
tcp_link_writable(void)
{
	stack_each(unblock);
}

static void
on_socket(int fd, short what, void *arg)
{
	struct tcp_flow	*f = arg;

	(void)fd;
	frame_clock();
	if ((what & (EV_READ | EV_CLOSED)) != 0)
		f->readable = true;
	if ((what & EV_CLOSED) != 0)
		f->hup = true;
	if ((what & EV_WRITE) != 0)
		f->writable = true;
	relay_dirty(f);
}

/* ---- what the broker says ---- */

/* What a guest sees whose connection is not to be: before its handshake, or after. */
static void
refuse(struct tcp_flow *f, enum deny_code code)
{
	if (f->phase == TCP_HELD)
		segment_refuse(f, code);
	else
		stack_abort(f);
}

/* The SYN|ACK goes out. */
static void
answer_syn(struct tcp_flow *f)
{
	f->phase = TCP_HANDSHAKE;
	flow_set_timeout(&f->flow, HANDSHAKE_S);
	if (stack_replay(f) == -1) {
		segment_refuse(f, DENY_RESET);
		relay_give_up(f, REASON_RESOURCE);
	}
	up_recount(f);
}

static void
peeked(struct flow *flow, enum peek_kind kind)
{
	struct tcp_flow	*f = (struct tcp_flow *)flow;

	f->far = FAR_BROKER;
	flight_start(&f->peek, kind);
	answer_syn(f);
	if (f->flow.state == FLOW_PEEKED)
		peek_start(f);
}

/*
 * The guest has been connected for a while; from now on, to somebody. Or it is
 * still at its handshake, which has its own limits.
 */
static void
go_on(struct tcp_flow *f)
{
	peek_granted(f);
	f->far = FAR_HOST;
	if (f->phase == TCP_OPEN) {
		flow_set_timeout(&f->flow, frame.config.tcp_idle);
		up_first_window(f);
	}
	relay_dirty(f);
}

static void
granted(struct flow *flow, int fd)
{
	struct tcp_flow	*f = (struct tcp_flow *)flow;

	event_assign(&f->ev, frame.base, fd,
	    EV_READ | EV_WRITE | EV_CLOSED | EV_PERSIST | EV_ET,
	    on_socket, f);
	if (event_add(&f->ev, NULL) == -1) {
		refuse(f, DENY_RESET);
		relay_give_up(f, REASON_RESOURCE);
	} else if (f->far == FAR_BROKER)
		go_on(f);
	else
		answer_syn(f);
}

static void
denied(struct flow *flow, enum deny_code code)
{
	struct tcp_flow	*f = (struct tcp_flow *)flow;

	refuse(f, code);
	relay_bury(f);
}

/* Not now: it may be this flow that made down.c ask. */
static void
revoked(struct flow *flow)
{
	struct tcp_flow	*f = (struct tcp_flow *)flow;

	f->quit = REASON_KILLED;
	relay_dirty(f);
}

static void
timed_out(struct flow *flow)
{
	struct tcp_flow	*f = (struct tcp_flow *)flow;

	if (f->phase == TCP_DRAINING) {
		stack_abort(f);
		relay_bury(f);
	} else if (f->far == FAR_DNS)
		dnstcp_idle(f);
	else if (f->is_half)
		half_idle(f);
	else if (f->phase == TCP_HANDSHAKE)
		relay_give_up(f, REASON_GUEST_TIMEOUT);
	else if (f->far == FAR_BROKER)
		peek_overdue(f);
	else
		relay_give_up(f, REASON_IDLE);
}

static void
lost(struct flow *flow)
{
	struct tcp_flow	*f = (struct tcp_flow *)flow;

	refuse(f, DENY_RESET);
	relay_give_up(f, REASON_RESOURCE);
}

const struct flow_ops tcp_flow_ops = {
	.peeked = peeked,
	.granted = granted,
	.denied = denied,
	.revoked = revoked,
	.timeout = timed_out,
	.lost = lost,
};

void
tcp_room_init(void)
{
	evtimer_assign(&later_timer, frame.base, on_later, NULL);
	pool_init();
	stack_init();
}
