/*
 * A flow whose first flight the law wants to see: dialled, and then PEEK, FLIGHT, the
 * inspector, a second verdict, and the flight on its way to the server before the
 * frame gets the socket. It is the broker that writes what was inspected, so that a
 * frame which is taken over cannot show one name and send another (RFC 6066, 3).
 *
 * The guest's handshake is completed when the server's is, so a server that is not
 * there is seen as in any other flow. One that speaks before the guest has shown a
 * name ends the wait: what it says cannot be let through. Until then it has been
 * sent nothing, and the flow is charged as unproven.
 *
 * What was shown, or that nothing was, is for the law to judge: some flows have to
 * prove what they are, others only not to be what is denied.
 *
 * Trusts: the inspector for what is in a flight.
 * Must not: look into a flight, end a flow for what it shows without the law, write a
 * byte of one before the flow's verdict and its flow.open stand, or grant a flow whose
 * flight it holds and has not written whole.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker.h"
#include "log.h"

/*
 * What a frame gives its guest to begin, and again from its first byte to the last.
 * One that has told us of neither after both, and a second for its clock, is late.
 */
#define FLIGHT_TIME	(5 * SEC)
#define FLIGHT_OVERDUE	(2 * FLIGHT_TIME + SEC)
#define WRITE_TIMEOUT	60		/* s; as a connect */

/* ---- PEEK ------------------------------------------------------------------- */

/* REASON_NONE: it lives, or its end is recorded. */
enum reason
peek_begin(struct flow *f, const struct verdict *v, enum deny_code *code)
{
	if (f->named == NULL &&
	    (f->named = calloc(1, sizeof(*f->named))) == NULL)
		fatal("a flow's name");
	f->named->shown.kind = PEEK_EITHER;
	f->lenient = v->peek == PEEK_LOOK;
	return open_ahead(f, code);
}

/* A word of the server's, or its end: there is nothing left to wait for. */
static void
server_first(int fd, short what, void *arg)
{
	struct flow	*f = arg;

	(void)fd;
	(void)what;
	if (f->lenient || meter_spoke(f))
		peek_unseen(f, SHOWN_NOTHING, REASON_SERVER_FIRST);
	else
		ledger_failed(f, REASON_PEER_RESET, DENY_RESET, 0);
}

/* Connected, and the guest is to make up its mind. */
void
peek_ask(struct flow *f)
{
	struct guest	*g = f->guest;

	f->state = FLOW_PEEK;
	f->connecting = event_new(g->broker->base, f->fd, EV_READ,
	    server_first, f);
	if (f->connecting == NULL || event_add(f->connecting, NULL) == -1) {
		ledger_failed(f, REASON_RESOURCE, DENY_RESET, ENOSPC);
		return;
	}
	if (f->lenient || quota_proving(g->quota, &f->dial, &f->charge, f))
		peek_turn(f);
	else
		hold_flow(f, REASON_UNPROVEN);
}

/* It is charged as what it is. */
void
peek_turn(struct flow *f)
{
	quota_connected(f->guest->quota, &f->charge);
	hold_wake(f->guest);
	ledger_move(f, &f->guest->unpeeked);
	answer_flush(f->guest);
}

/* As many as the channel takes; their time runs from now on. */
void
peek_flush(struct guest *g)
{
	struct wire_peek	 m;
	struct flow		*f;

	while ((f = TAILQ_FIRST(&g->unpeeked)) != NULL) {
		wire_begin(&m, sizeof(m), WIRE_PEEK, f->id);
		m.kind = f->named->shown.kind;
		m.lenient = f->lenient;
		if (!answer_tell(g, &m, sizeof(m), -1))
			return;
		f->peeked_at = mono_now();
		f->due = f->peeked_at + FLIGHT_OVERDUE;
		ledger_move(f, f->lenient ? &g->looking : &g->peeking);
		broker_want_tick(g->broker);
	}
}

/* The frame owes us an answer. */
bool
peek_is_told(const struct flow *f)
{
	return f->on != NULL && (f->on == &f->guest->peeking ||
	    f->on == &f->guest->looking);
}

/*
 * No flight in time: it may have begun. Who is only looked at may be silent for as
 * long as its server is.
 */
void
peek_tick(struct guest *g, uint64_t mono)
{
	struct flow	*f;

	while ((f = TAILQ_FIRST(&g->peeking)) != NULL && f->due <= mono)
		peek_unseen(f, SHOWN_UNDECIDED, REASON_TLS_TIMEOUT);
}

/* ---- FLIGHT ------------------------------------------------------------------ */

/*
 * To a PEEK that is over nothing is answered: we had denied the flow, or let it go
 * on without (*late).
 */
static const char *
flight_fault(struct guest *g, uint64_t id, struct flow *f, bool *late)
{
	*late = false;
	if (id > g->last_id)
		return "flight-of-nothing";
	if (f != NULL && peek_is_told(f))
		return NULL;
	*late = true;
	if (f == NULL && g->crossing > 0)
		g->crossing--;		/* our DENY was on its way */
	else if (f != NULL && f->crossing)
		f->crossing = false;	/* our GRANT is, or will be */
	else
		return "flight-unasked";
	return NULL;
}

static bool
hold_flight(struct flow *f, const struct wire_flight *m)
{
	struct guest	*g = f->guest;
	struct flight	*flight;

	if (m->len > FLIGHTS_MAX - g->flights ||
	    (flight = malloc(sizeof(*flight) + m->len)) == NULL)
		return false;
	flight->len = m->len;
	memcpy(flight->bytes, m + 1, m->len);
	f->flight = flight;
	g->flights += m->len;
	return true;
}

int
peek_take(struct guest *g, const struct wire_flight *m)
{
	struct flow	*f = ledger_find(g, m->head.id);
	bool		 late;
	const char	*fault = m->zero != 0 ? "flight" :
			    flight_fault(g, m->head.id, f, &late);

	if (fault != NULL)
		return answer_refuse(g, fault);
	if (late)
		return 0;
	f->state = FLOW_INSPECT;
	f->flown_at = mono_now();
	ledger_move(f, NULL);
	connect_drop(f);		/* now it is the server's turn to wait */
	if (hold_flight(f, m))
		inspector_ask(f);
	else
		peek_unseen(f, SHOWN_UNDECIDED, REASON_RESOURCE);
	return 0;
}

/*
 * The guest has ended before its first byte; or, where it was to prove something, has
 * had its time for that.
 */
int
peek_mute(struct guest *g, const struct wire_id *m)
{
	struct flow	*f = ledger_find(g, m->head.id);
	bool		 late;
	const char	*fault = flight_fault(g, m->head.id, f, &late);

	if (fault != NULL)
		return answer_refuse(g, fault);
	if (late)
		return 0;
	f->mute = f->lenient;
	ledger_move(f, NULL);
	peek_unseen(f, SHOWN_NOTHING, f->lenient ? REASON_SNI_UNPARSEABLE :
	    REASON_TLS_TIMEOUT);
	return 0;
}

static void
flight_free(struct flow *f)
{
	if (f->flight == NULL)
		return;
	f->guest->flights -= f->flight->len;
	free(f->flight);
	f->flight = NULL;
}

/* The flow ends. */
void
peek_drop(struct flow *f)
{
	inspector_forget(f);
	flight_free(f);
	free(f->named);
	f->named = NULL;
}

/* ---- the second verdict -------------------------------------------------------- */

/* What no name can be in is no name; what could have had one, and was not read, is. */
static void
show(struct named *n, const struct inspect_result *m, bool slow)
{
	static const struct {
		enum shown	what;
		enum reason	why;
	} as[] = {
		[INSPECT_NAMED] = { SHOWN_NAME, REASON_NONE },
		[INSPECT_NAMELESS] = { SHOWN_OTHER, REASON_SNI_MISSING },
		[INSPECT_BAD] = { SHOWN_UNDECIDED, REASON_SNI_UNPARSEABLE },
		[INSPECT_ALIEN] = { SHOWN_OTHER, REASON_SNI_UNPARSEABLE },
	};

	n->seen = true;
	n->shown.kind = m->status == INSPECT_ALIEN ? 0 : m->kind;
	n->shown.what = as[m->status].what;
	n->shown.why = slow && m->status == INSPECT_BAD ? REASON_TLS_TIMEOUT :
	    as[m->status].why;
	n->shown.ech = m->ech != 0;
	n->shown.name = m->name;
	memcpy(n->alpn, m->alpn, sizeof(n->alpn));
	n->tls = m->tls;
	n->hint = m->hint;
}

/*
 * The frame of one that is to prove itself has given its bytes away: it cannot go on
 * without them, even if it were allowed to by now.
 */
static bool
is_stuck(const struct flow *f)
{
	return !f->lenient && f->flight == NULL;
}

/* REASON_NONE: it goes on, or has ended with its record. */
static enum reason
judge(struct flow *f)
{
	struct guest	*g = f->guest;
	struct bound	 bound;
	struct verdict	 v;

	open_bound(f, &bound);
	v = guest_decide(g, f->proto, &f->g_dst, &bound, &f->named->shown);
	open_name(f->named, &v, &bound);
	if (v.kind == VERDICT_DENY) {
		f->rule = v.rule;
		return v.reason;
	}
	if (is_stuck(f))
		return f->named->shown.why;
	if (!endpoint_equal(&v.dial, &f->dial))
		return REASON_POLICY_REVOKED;
	open_judged(f, &v);
	if (g->broker->stop != STOP_NO)
		return REASON_SHUTDOWN;
	if (!audit_up(g->broker))
		return REASON_AUDIT_UNAVAILABLE;
	open_connected(f);
	return REASON_NONE;
}

static void
go_on_or_end(struct flow *f)
{
	enum reason	why = judge(f);

	if (why != REASON_NONE)
		ledger_failed(f, why, DENY_RESET, 0);
}

void
peek_result(struct flow *f, const struct inspect_result *m)
{
	show(f->named, m, f->flown_at - f->peeked_at >= FLIGHT_TIME);
	go_on_or_end(f);
}

/* There is no flight, or nobody to read it. The law says what that means. */
void
peek_unseen(struct flow *f, enum shown what, enum reason why)
{
	f->crossing = peek_is_told(f);
	ledger_move(f, NULL);
	connect_drop(f);
	f->named->seen = true;
	f->named->shown.what = what;
	f->named->shown.why = why;
	go_on_or_end(f);
}

/* ---- to the server -------------------------------------------------------------- */

static void
write_again(int fd, short what, void *arg)
{
	struct flow	*f = arg;

	(void)fd;
	connect_drop(f);
	if ((what & EV_TIMEOUT) != 0)
		ledger_failed(f, REASON_CONNECT_TIMEOUT, DENY_RESET,
		    ETIMEDOUT);
	else
		peek_write(f);
}

static void
write_later(struct flow *f)
{
	struct timeval	wait = { .tv_sec = WRITE_TIMEOUT };

	f->connecting = event_new(f->guest->broker->base, f->fd, EV_WRITE,
	    write_again, f);
	if (f->connecting == NULL || event_add(f->connecting, &wait) == -1)
		ledger_failed(f, REASON_RESOURCE, DENY_RESET, ENOSPC);
}

/*
 * Connected and durable. Looked at once more before the first byte, because what
 * is written cannot be taken back.
 */
void
peek_write(struct flow *f)
{
	ssize_t	n;

	f->state = FLOW_WRITE;
	if (f->written == 0 && !ledger_release(f))
		return;
	n = write(f->fd, f->flight->bytes + f->written,
	    f->flight->len - f->written);
	if (n == -1 && errno != EAGAIN && errno != EINTR) {
		ledger_failed(f, REASON_PEER_RESET, DENY_RESET, errno);
		return;
	}
	if (n > 0)
		f->written += (uint32_t)n;
	if (f->written < f->flight->len) {
		write_later(f);
		return;
	}
	flight_free(f);
	ledger_ready(f);
}
