/*
 * What a frame may say and what it is told: the table of messages, and the
 * queue of what the channel had no room for.
 *
 * Trusts: nothing of the frame. Identity is the channel; ids are opaque.
 * Must not: argue. What the table or a handler refuses ends the frame.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker.h"
#include "log.h"

#define CROWDED_PATIENCE	SEC

/* A handler's word for its refusal, which the log repeats. */
int
answer_refuse(struct guest *g, const char *why)
{
	g->why = why;
	return -1;
}

/* ---- towards the frame -------------------------------------------------- */

/* Tries once. False: no room now, answer_flush() is called when there is. */
bool
answer_tell(struct guest *g, const void *msg, size_t len, int fd)
{
	if (g->chan == NULL)
		return false;
	if (chan_try(g->chan, msg, len, fd) == 0) {
		g->unread_since = 0;
		return true;
	}
	if (errno == EAGAIN && g->unread_since == 0)
		g->unread_since = mono_now();
	broker_want_tick(g->broker);
	return false;
}

static bool
tell_deny(struct guest *g, uint64_t id, uint32_t code)
{
	struct wire_deny	m;

	wire_begin(&m, sizeof(m), WIRE_DENY, id);
	m.code = code;
	return answer_tell(g, &m, sizeof(m), -1);
}

void
answer_deny(struct guest *g, uint64_t id, enum deny_code code)
{
	struct owed	*o;

	if (g->chan == NULL ||
	    (g->nowed == 0 && tell_deny(g, id, code)))
		return;
	if ((o = calloc(1, sizeof(*o))) == NULL)
		fatal("a refusal");
	o->id = id;
	o->code = code;
	STAILQ_INSERT_TAIL(&g->owed, o, entry);
	g->nowed++;
	guest_pause(g);
}

static void
owed_pop(struct guest *g)
{
	struct owed	*o = STAILQ_FIRST(&g->owed);

	STAILQ_REMOVE_HEAD(&g->owed, entry);
	g->nowed--;
	free(o);
}

void
answer_revoke(struct flow *f)
{
	struct wire_revoke	m;

	wire_begin(&m, sizeof(m), WIRE_REVOKE, f->id);
	f->owes_revoke = !answer_tell(f->guest, &m, sizeof(m), -1);
}

/*
 * The fds in flight of all processes of this user are as many as this one may have
 * open, and we have sent the least of them. The first flow of a row waits a moment,
 * those after it no more until one has got through.
 */
static bool
crowded_out(struct guest *g)
{
	uint64_t	mono = mono_now();

	if (g->crowded == 0)
		g->crowded = mono;
	return mono - g->crowded >= CROWDED_PATIENCE;
}

/* False: not now. Else it is under way, or refused. */
static bool
grant(struct flow *f)
{
	struct guest		*g = f->guest;
	struct wire_grant	 m;

	wire_begin(&m, sizeof(m), WIRE_GRANT, f->id);
	m.written = f->written;
	if (!ledger_watched(f))
		return true;
	if (!answer_tell(g, &m, sizeof(m), f->fd)) {
		if (errno == ETOOMANYREFS && crowded_out(g)) {
			ledger_failed(f, REASON_RESOURCE, deny_code(f->proto),
			    ETOOMANYREFS);
			return true;
		}
		ledger_unwatch(f);
		return false;
	}
	g->crowded = 0;
	g->inflight[g->ninflight++] = f->id;
	ledger_granted(f);
	return true;
}

/* Says what is owed, oldest first, as far as the channel takes it. */
void
answer_flush(struct guest *g)
{
	struct flow	*f;
	struct owed	*o;

	while ((o = STAILQ_FIRST(&g->owed)) != NULL) {
		if (!tell_deny(g, o->id, o->code))
			return;
		owed_pop(g);
	}
	peek_flush(g);
	reply_flush(g);
	TAILQ_FOREACH(f, &g->revoked, turn) {
		if (f->owes_revoke)
			answer_revoke(f);
		if (f->owes_revoke)
			return;
	}
	while (g->chan != NULL && g->ninflight < WIRE_INFLIGHT_MAX &&
	    (f = TAILQ_FIRST(&g->ready)) != NULL)
		if (ledger_release(f) && !grant(f))
			break;
	guest_pause(g);
}

/* A new frame: nothing is owed and nothing in flight. */
void
answer_reset(struct guest *g)
{
	while (!STAILQ_EMPTY(&g->owed))
		owed_pop(g);
	question_reset(g);
	g->ninflight = 0;
	g->crossing = 0;
	g->last_id = 0;
	g->unread_since = 0;
	g->crowded = 0;
}

/* ---- from the frame ------------------------------------------------------- */

static int
answer_hello(void *room, const void *msg, int fd)
{
	const struct wire_hello	*m = msg;
	struct guest		*g = room;

	(void)fd;
	if (!wire_hello_ours(m))
		return answer_refuse(g, "another-build");
	guest_greeted(g);
	return 0;
}

static int
answer_open(void *room, const void *msg, int fd)
{
	(void)fd;
	return open_take(room, msg);
}

static int
answer_resolve(void *room, const void *msg, int fd)
{
	(void)fd;
	return question_take(room, msg);
}

static int
answer_flight(void *room, const void *msg, int fd)
{
	(void)fd;
	return peek_take(room, msg);
}

static int
answer_mute(void *room, const void *msg, int fd)
{
	(void)fd;
	return peek_mute(room, msg);
}

/* Where in the list of fds in flight; -1: nowhere. */
static int
inflight(const struct guest *g, uint64_t id)
{
	unsigned int	i;

	for (i = 0; i < g->ninflight; i++)
		if (g->inflight[i] == id)
			return (int)i;
	return -1;
}

bool
answer_inflight(const struct guest *g, uint64_t id)
{
	return inflight(g, id) != -1;
}

/* One ACK speaks for the fds before it too: they were sent in this order. */
static int
answer_ack(void *room, const void *msg, int fd)
{
	const struct wire_id	*m = msg;
	struct guest		*g = room;
	int			 at = inflight(g, m->head.id);

	(void)fd;
	if (at == -1)
		return answer_refuse(g, "ack-of-nothing");
	g->ninflight -= (uint32_t)at + 1;
	memmove(g->inflight, g->inflight + at + 1,
	    g->ninflight * sizeof(g->inflight[0]));
	answer_flush(g);
	return 0;
}

/* A cancel may cross a GRANT, which then is still among the fds in flight. */
static const char *
close_fault(const struct guest *g, const struct flow *f,
    const struct wire_close *m)
{
	bool	cancel = m->how == HOW_CANCEL;

	if (m->how < HOW_FIN || m->how > HOW_CANCEL)
		return "unknown-how";
	if (!reason_from_frame_close(m->reason))
		return "close-reason";
	if (m->head.id > g->last_id)
		return "close-of-nothing";
	if (f == NULL)		/* it may have crossed our DENY */
		return cancel ? NULL : "close-of-nothing";
	if (f->state != FLOW_OPEN && f->state != FLOW_REVOKED)
		return cancel ? NULL : "close-before-grant";
	if (cancel && inflight(g, f->id) == -1)
		return "cancel-after-grant";
	if (m->reason == REASON_KILLED && f->state != FLOW_REVOKED)
		return "not-revoked";
	return NULL;
}

static int
answer_close(void *room, const void *msg, int fd)
{
	const struct wire_close	*m = msg;
	struct guest		*g = room;
	struct broker		*b = g->broker;
	struct flow		*f = ledger_find(g, m->head.id);
	const char		*fault = close_fault(g, f, m);

	(void)fd;
	if (fault != NULL)
		return answer_refuse(g, fault);
	if (f != NULL && !ledger_end(f, f->state == FLOW_REVOKED ?
	    f->revoked : (enum reason)m->reason, m))
		guest_untested(g);
	if (b->stop != STOP_NO)
		broker_stop_step(b);
	return 0;
}

static int
answer_drops(void *room, const void *msg, int fd)
{
	const struct wire_drops	*m = msg;
	struct guest		*g = room;

	(void)fd;
	if (m->head.id != 0 || m->zero != 0 || m->n == 0 ||
	    !reason_from_frame_drop(m->reason))
		return answer_refuse(g, "drops");
	deny_drops(g, (enum reason)m->reason, m->n);
	return 0;
}

static int
answer_pong(void *room, const void *msg, int fd)
{
	const struct wire_id	*m = msg;
	struct guest		*g = room;

	(void)fd;
	if (m->head.id != 0 || !g->ping_open)
		return answer_refuse(g, "pong");
	g->ping_open = false;
	return 0;
}

static const struct wire_rule rules[] = {
	{ WIRE_HELLO, GUEST_GREETING, sizeof(struct wire_hello), false,
	    answer_hello, 0 },
	{ WIRE_OPEN, GUEST_SERVED, sizeof(struct wire_open), false,
	    answer_open, 0 },
	{ WIRE_ACK, GUEST_SERVED, sizeof(struct wire_id), false, answer_ack, 0 },
	{ WIRE_CLOSE, GUEST_SERVED, sizeof(struct wire_close), false,
	    answer_close, 0 },
	{ WIRE_DROPS, GUEST_SERVED, sizeof(struct wire_drops), false,
	    answer_drops, 0 },
	{ WIRE_PONG, GUEST_SERVED, sizeof(struct wire_id), false,
	    answer_pong, 0 },
	{ WIRE_RESOLVE, GUEST_SERVED, sizeof(struct wire_resolve), false,
	    answer_resolve, 0 },
	{ WIRE_FLIGHT, GUEST_SERVED, sizeof(struct wire_flight), false,
	    answer_flight, WIRE_FLIGHT_MAX },
	{ WIRE_MUTE, GUEST_SERVED, sizeof(struct wire_id), false, answer_mute,
	    0 },
};

static void
answer_message(void *arg, const void *buf, size_t len, int fd)
{
	struct guest	*g = arg;
	enum wire_fault	 fault;

	if (!bucket_take(&g->account->messages, mono_now())) {
		g->flooding = true;
		guest_pause(g);
	}
	g->why = NULL;
	fault = wire_dispatch(rules, sizeof(rules) / sizeof(rules[0]),
	    g->state, g, buf, len, fd);
	if (fault != WIRE_OK)
		guest_violation(g, g->why != NULL ? g->why :
		    wire_fault_name(fault));
}

static void
answer_closed(void *arg, const char *why)
{
	struct guest	*g = arg;

	if (why != NULL)
		guest_violation(g, why);
	else
		guest_gone(g);
}

/* There is room, so it reads, even if nothing is to be said any more. */
static void
answer_writable(void *arg)
{
	struct guest	*g = arg;

	g->unread_since = 0;
	answer_flush(g);
}

const struct chan_ops	answer_ops = {
	.message = answer_message,
	.closed = answer_closed,
	.writable = answer_writable
};
