/*
 * A flow whose first flight the law wants to see: PEEK, FLIGHT, the inspector, a
 * second verdict, and the flight on its way to the server before the frame gets
 * the socket. It is the broker that writes what was inspected, so that a frame
 * which is taken over cannot show one name and send another (RFC 6066, 3).
 *
 * Trusts: the inspector for what is in a flight.
 * Must not: look into a flight, write a byte of one before the flow's verdict and
 * its flow.open stand, or grant a flow whose flight is not written whole.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker.h"
#include "log.h"

#define FLIGHT_OVERDUE	(5 * SEC)	/* flows.md, 6; the guest's own to send it */
#define WRITE_TIMEOUT	60		/* s; as a connect */

/* ---- PEEK ------------------------------------------------------------------- */

/* No connect is under way while the guest makes up its mind. */
void
peek_begin(struct flow *f, enum verify verify)
{
	struct guest	*g = f->guest;

	if (f->named == NULL &&
	    (f->named = calloc(1, sizeof(*f->named))) == NULL)
		fatal("a flow's name");
	f->named->shown.kind = verify == VERIFY_HOST ? PEEK_HTTP : PEEK_TLS;
	f->state = FLOW_PEEK;
	quota_connected(g->quota, &f->charge);
	ledger_move(f, &g->unpeeked);
	answer_flush(g);
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
		if (!answer_tell(g, &m, sizeof(m), -1))
			return;
		f->due = mono_now() + FLIGHT_OVERDUE;
		ledger_move(f, &g->peeking);
		broker_want_tick(g->broker);
	}
}

/* No flight in time. The frame gives up a little earlier, if it is honest. */
void
peek_tick(struct guest *g, uint64_t mono)
{
	struct flow	*f;

	while ((f = TAILQ_FIRST(&g->peeking)) != NULL && f->due <= mono)
		ledger_failed(f, f->named->shown.kind == PEEK_HTTP ?
		    REASON_VHOST_TIMEOUT : REASON_TLS_TIMEOUT, DENY_RESET, 0);
}

/* ---- FLIGHT ------------------------------------------------------------------ */

static const char *
flight_fault(struct guest *g, const struct wire_flight *m,
    const struct flow *f)
{
	if (m->zero != 0)
		return "flight";
	if (m->head.id > g->last_id)
		return "flight-of-nothing";
	if (f != NULL)
		return f->on == &g->peeking ? NULL : "flight-unasked";
	if (g->crossing == 0)
		return "flight-unasked";
	g->crossing--;		/* our DENY was on its way */
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
	const char	*fault = flight_fault(g, m, f);

	if (fault != NULL)
		return answer_refuse(g, fault);
	if (f == NULL)
		return 0;
	f->state = FLOW_INSPECT;
	ledger_move(f, NULL);
	if (hold_flight(f, m))
		inspector_ask(f);
	else
		ledger_failed(f, REASON_RESOURCE, DENY_RESET, 0);
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

/* What cannot be read names nothing, and the log says which of the two it was. */
static enum reason
unreadable(enum reason why)
{
	return why == REASON_SNI_MISSING ? REASON_SNI_UNPARSEABLE :
	    why == REASON_VHOST_MISSING ? REASON_VHOST_UNPARSEABLE : why;
}

static void
show(struct named *n, const struct inspect_result *m)
{
	n->seen = true;
	n->shown.named = m->status == INSPECT_NAMED;
	n->shown.ech = m->ech != 0;
	n->shown.name = m->name;
	memcpy(n->alpn, m->alpn, sizeof(n->alpn));
}

static void
judged_again(struct flow *f, const struct verdict *v)
{
	f->epoch = f->guest->broker->epoch;
	f->rule = v->rule;
	f->verdict = v->kind;
	f->judged = v->reason;
	f->local_ok = v->local_ok;
	f->dial = v->dial;
}

/* REASON_NONE: it goes on, or has ended with its record. */
static enum reason
judge(struct flow *f, bool readable, enum deny_code *code)
{
	struct guest	*g = f->guest;
	struct bound	 bound;
	struct verdict	 v;
	enum reason	 why;

	pins_bound(g->pins, &f->g_dst, boot_now(), &bound);
	v = guest_decide(g, f->proto, &f->g_dst, &bound, &f->named->shown);
	if (!readable)
		v.reason = unreadable(v.reason);
	open_name(f->named, &v, &bound);
	judged_again(f, &v);
	if (v.kind == VERDICT_DENY)
		return v.reason;
	if (v.peek != VERIFY_NONE)
		return REASON_INTERNAL_MISMATCH;
	if (g->broker->stop != STOP_NO)
		return REASON_SHUTDOWN;
	if (!audit_up(g->broker))
		return REASON_AUDIT_UNAVAILABLE;
	why = quota_connecting(g->quota, &f->g_dst, &f->charge);
	return why != REASON_NONE ? why : open_go(f, code);
}

void
peek_result(struct flow *f, const struct inspect_result *m)
{
	enum deny_code	code = DENY_RESET;
	enum reason	why;

	show(f->named, m);
	why = judge(f, m->status != INSPECT_BAD, &code);
	if (why != REASON_NONE)
		ledger_failed(f, why, code, 0);
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
		ledger_failed(f, REASON_RESOURCE, DENY_RESET, ENOMEM);
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
