/*
 * Between the broker's PEEK and its GRANT: the guest is connected to nobody. Its
 * handshake is completed here, its first bytes are gathered and handed over once,
 * and whatever it says after that waits in its window.
 *
 * The broker writes those bytes to the server itself, and only then lends the
 * socket; so they are dropped here when they are handed over, and the relay goes
 * on behind them. A lenient broker may lend the socket without having waited for
 * them, so then they are kept until it is known who sends them.
 *
 * A guest that is to prove something has five seconds to begin; one that is only
 * looked at has all the time that its server leaves it, for neither waits for the
 * other. From its first byte to the last of a flight both have five seconds: then it
 * goes as it is.
 *
 * Trusts: flight.c's judgement. Must not: hand over anything twice, or keep more
 * of a guest than a flow with a slow server could.
 */
#include "tcp.h"

#define FLIGHT_S	5	/* and as long again for the rest; the broker's too */

TAILQ_HEAD(waiting_list, tcp_flow);
static struct waiting_list waiting = TAILQ_HEAD_INITIALIZER(waiting);

/* ---- a full channel ---- */

static void
wait_for_channel(struct tcp_flow *f)
{
	if (f->flight_waits)
		return;
	f->flight_waits = true;
	TAILQ_INSERT_TAIL(&waiting, f, flights);
}

void
peek_forget(struct tcp_flow *f)
{
	if (f->flight_waits)
		TAILQ_REMOVE(&waiting, f, flights);
	f->flight_waits = false;
}

void
tcp_channel_writable(void)
{
	struct tcp_flow	*f;

	while ((f = TAILQ_FIRST(&waiting)) != NULL) {
		peek_forget(f);
		relay_dirty(f);
	}
}

/* ---- the flight ---- */

/* Looks at what has come since the last time. */
static bool
is_whole(struct tcp_flow *f)
{
	uint8_t		part[4096];
	uint32_t	n;

	while (!f->peek.whole && f->peek_seen < f->up_bytes &&
	    f->peek_seen < WIRE_FLIGHT_MAX) {
		n = up_read(f, f->peek_seen, part, sizeof(part));
		flight_whole(&f->peek, part, n);
		f->peek_seen += n;
	}
	return f->peek.whole || f->peek_seen >= WIRE_FLIGHT_MAX;
}

/* From here on it is the broker that waits (for the server), and sets limits. */
static void
send_flight(struct tcp_flow *f)
{
	static uint8_t	bytes[WIRE_FLIGHT_MAX];
	uint32_t	len = up_read(f, 0, bytes, sizeof(bytes));

	if (ask_flight(&f->flow, bytes, len) == -1) {
		wait_for_channel(f);
		return;
	}
	f->peek_told = true;
	f->peek_mute = len == 0;
	f->flow.flight = len;
	if (!f->flow.lenient)
		up_take(f, len);
	flow_set_timeout(&f->flow, 0);
}

void
peek_granted(struct tcp_flow *f)
{
	peek_forget(f);
	if (f->flow.lenient)
		up_take(f, f->flow.flight);
}

/*
 * The window lets all of a flight come. When memory is short it does not at first;
 * what is needed then is looked for again in a moment.
 */
static void
want_more(struct tcp_flow *f)
{
	up_want_window(f, PEEK_WINDOW);
	if (f->up_bytes > 0 && f->window < PEEK_WINDOW)
		relay_later(f);
}

static void
gather(struct tcp_flow *f)
{
	if (f->up_bytes > 0 && !f->peek_begun) {
		f->peek_begun = true;
		flow_set_timeout(&f->flow, FLIGHT_S);
	}
	if (!is_whole(f) && !f->guest_fin && !f->peek_late)
		want_more(f);
	else if (f->up_bytes > 0 || f->flow.lenient || f->peek_late)
		send_flight(f);
	else
		f->quit = REASON_GUEST_CANCEL;
}

/* Its handshake is part of the time that a guest has to begin. */
void
peek_start(struct tcp_flow *f)
{
	if (!f->flow.lenient)
		flow_set_timeout(&f->flow, FLIGHT_S);
}

void
peek_connected(struct tcp_flow *f)
{
	if (f->flow.lenient)
		flow_set_timeout(&f->flow, frame.config.tcp_idle);
}

/* Silence, where that means something, or a flight that does not end. */
void
peek_overdue(struct tcp_flow *f)
{
	if (f->flow.lenient && !f->peek_begun) {
		relay_give_up(f, REASON_IDLE);
		return;
	}
	f->peek_late = true;
	relay_dirty(f);
}

void
peek_serve(struct tcp_flow *f)
{
	if (!f->peek_told)
		gather(f);
	stack_open_window(f);
}
