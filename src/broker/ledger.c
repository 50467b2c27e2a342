/*
 * The ledger: every flow from its OPEN to its one close record. A granted
 * socket's original fd stays here, so that a flow can be measured and ended
 * whatever the frame does.
 *
 * Trusts: the kernel's answers about its own sockets.
 * Must not: end a flow without its record, or close an fd that is still
 * registered with an epoll (the frame's copy would keep it firing; cut.c makes
 * use of that once).
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker.h"
#include "fd.h"
#include "hash.h"
#include "log.h"

#define WATCH_BATCH	64

static struct flow **
bucket(const struct guest *g, uint64_t id)
{
	return &g->table[hash_bytes(&id, sizeof(id)) & g->table_mask];
}

struct flow *
ledger_find(const struct guest *g, uint64_t id)
{
	struct flow	*f = *bucket(g, id);

	while (f != NULL && f->id != id)
		f = f->chain;
	return f;
}

void
ledger_move(struct flow *f, struct flow_list *to)
{
	if (f->on != NULL)
		TAILQ_REMOVE(f->on, f, turn);
	f->on = to;
	if (to != NULL)
		TAILQ_INSERT_TAIL(to, f, turn);
}

/* A copy for the flow to keep, if there is a name. False: no memory. */
static bool
keep_name(struct flow *f, const struct named *n)
{
	if (n->name.len == 0)
		return true;
	if ((f->named = malloc(sizeof(*f->named))) == NULL)
		return false;
	*f->named = *n;
	return true;
}

/* Takes the charge. NULL: no memory, and the charge is the caller's still. */
struct flow *
ledger_add(struct guest *g, const struct wire_open *m,
    const struct verdict *v, const struct named *named,
    const struct charge *charge)
{
	struct flow	*f = calloc(1, sizeof(*f)), **slot;

	if (f == NULL || !keep_name(f, named)) {
		free(f);
		return NULL;
	}
	f->guest = g;
	f->wait.flow = f;
	f->id = m->head.id;
	f->number = ++g->broker->flow_number;
	f->begun = mono_now();
	f->asked_at = boot_now();
	f->proto = m->proto;
	f->epoch = g->broker->epoch;
	f->rule = v->rule;
	f->verdict = v->kind;
	f->judged = v->reason;
	f->local_ok = v->local_ok;
	f->g_src = m->guest;
	f->g_dst = m->dst;
	f->dial = v->dial;
	f->charge = *charge;
	f->fd = -1;
	slot = bucket(g, f->id);
	f->chain = *slot;
	*slot = f;
	TAILQ_INSERT_TAIL(&g->flows, f, all);
	f->walked = g->broker->round;
	TAILQ_INSERT_TAIL(&g->broker->walk, f, walk);
	g->nflows++;
	g->broker->nflows++;
	f->state = FLOW_HELD;
	g->broker->nheld++;
	return f;
}

/*
 * Before the fd leaves, so that none is out that is not watched; the registration
 * then stays until the flow is over, and its last use (cut.c) needs no memory of
 * the kernel's. EPOLLET alone: the kernel adds HUP and ERR. False: the flow is
 * refused, and freed.
 */
bool
ledger_watched(struct flow *f)
{
	struct epoll_event	ev = { .events = EPOLLET };

	ev.data.ptr = f;
	f->watched = epoll_ctl(f->guest->broker->watch, EPOLL_CTL_ADD, f->fd,
	    &ev) == 0;
	if (f->watched)
		return true;
	ledger_failed(f, REASON_RESOURCE, deny_code(f->proto), errno);
	return false;
}

void
ledger_unwatch(struct flow *f)
{
	if (f->watched && epoll_ctl(f->guest->broker->watch, EPOLL_CTL_DEL,
	    f->fd, NULL) == -1)
		log_warn("watch: flow %llu", (unsigned long long)f->number);
	f->watched = false;
}

/* Off every list: nobody finds it by its id any more. */
static void
leave(struct flow *f)
{
	struct guest	*g = f->guest;
	struct flow	**slot = bucket(g, f->id);

	while (*slot != f)
		slot = &(*slot)->chain;
	*slot = f->chain;
	TAILQ_REMOVE(&g->flows, f, all);
	TAILQ_REMOVE(&g->broker->walk, f, walk);
	g->nflows--;
	g->broker->nheld -= f->state == FLOW_HELD;
	ledger_move(f, NULL);
	audit_forget(g->broker, &f->wait);
	live_drop(f);
	connect_drop(f);
	peek_drop(f);
	free(f->names);
	f->names = NULL;
}

/* What it is charged for goes with its fd. */
void
ledger_free(struct flow *f)
{
	struct guest	*g = f->guest;

	ledger_unwatch(f);
	fd_drop(&f->fd);
	g->broker->nflows--;
	quota_refund(g->quota, &f->charge);
	hold_wake(g);
	free(f);
}

static void
flow_free(struct flow *f)
{
	leave(f);
	ledger_free(f);
}

static bool
granted(const struct flow *f)
{
	return f->state == FLOW_OPEN || f->state == FLOW_REVOKED;
}

/* The kernel's numbers for TCP, the frame's claim for the rest. */
static void
count(struct flow *f, const struct wire_close *m, struct record *r)
{
	struct meter	now;
	bool		fin = m != NULL && m->how == HOW_FIN;

	if (!granted(f) && f->written == 0)
		return;
	if (f->proto == PROTO_TCP) {
		meter_read(f, fin, &now);
		r->up = f->metered ? f->up : now.up;
		r->down = f->metered ? f->down : now.down;
		r->rtt = now.rtt;
		r->csrc = CSRC_KERNEL;
	} else if (m != NULL) {
		r->up = m->up;
		r->down = m->down;
		r->csrc = CSRC_FRAME;
	}
	if (m != NULL) {
		r->pup = m->pup;
		r->pdown = m->pdown;
	}
}

/* A frame may claim any number: totals stay at their end. */
static uint64_t
sum(uint64_t a, uint64_t b)
{
	return b > UINT64_MAX - a ? UINT64_MAX : a + b;
}

/* Nothing of it is in the log: it is an OPEN that was refused after all. */
static void
finish_denied(struct flow *f, enum reason reason)
{
	struct wire_open	m;

	wire_begin(&m, sizeof(m), WIRE_OPEN, f->id);
	m.proto = f->proto;
	m.guest = f->g_src;
	m.dst = f->g_dst;
	deny_open(f->guest, &m, reason, f->rule, f->named);
	flow_free(f);
}

/* Without the wait for its turn, which says nothing of the server. */
static uint64_t
connect_time(const struct flow *f, uint64_t now)
{
	if (f->turned == 0)
		return 0;
	return (f->connected != 0 ? f->connected : now) - f->turned;
}

/*
 * Refused by us, not ended by somebody: reason.h has these in front. What we have no
 * room for once it is connected is refused, too.
 */
static bool
is_verdict(const struct flow *f, enum reason reason)
{
	return (reason > REASON_NONE && reason <= REASON_UNPROVEN) ||
	    reason == REASON_AUDIT_UNAVAILABLE ||
	    reason == REASON_INTERNAL_MISMATCH ||
	    (reason == REASON_RESOURCE && f->connected != 0);
}

/* It was dialled, its server has seen a connection, and that is all. */
static void
finish_judged(struct flow *f, enum reason reason)
{
	struct record	r;

	record_flow(f, REC_FLOW_DENY, &r);
	r.verdict = VERDICT_DENY;
	r.reason = reason;
	r.conn = connect_time(f, mono_now());
	deny_flow(f, &r);
	flow_free(f);
}

/*
 * The way out of the ledger: the one close record of this flow, or its deny. False:
 * the frame's word that it has closed its copy could not be put to the test.
 */
static bool
finish(struct flow *f, enum reason reason, int error,
    const struct wire_close *m)
{
	struct broker	*b = f->guest->broker;
	struct linger	 orderly = { 0, 0 };
	struct record	 r;
	uint64_t	 now = mono_now();
	bool		 fin = m != NULL && m->how == HOW_FIN, tested;

	if (f->fd != -1 && f->connected == 0) {
		if (f->opened || f->dialled)
			deny_told(f, reason);
		else if (deny_failed(f, reason))
			open_record(f);
		else {
			flow_free(f);
			return true;
		}
	}
	if (f->state == FLOW_HELD && !is_verdict(f, reason))
		reason = f->waits;	/* that is why it came to nothing */
	if (!f->opened && (!f->dialled || is_verdict(f, reason))) {
		(f->dialled ? finish_judged : finish_denied)(f, reason);
		return true;
	}
	(f->opened ? record_flow : record_undecided)(f, REC_FLOW_CLOSE, &r);
	r.reason = reason;
	r.err = (uint32_t)error;
	r.dur = now - f->begun;
	r.conn = connect_time(f, now);
	if (granted(f) && f->guest->died.role == 0)
		cut_flow(f, fin || (m == NULL && reason != REASON_SHUTDOWN));
	count(f, m, &r);
	b->up = sum(b->up, r.up);
	b->down = sum(b->down, r.down);
	if (fin && f->proto == PROTO_TCP && setsockopt(f->fd, SOL_SOCKET,
	    SO_LINGER, &orderly, sizeof(orderly)) == -1)
		log_warn("linger: flow %llu", (unsigned long long)f->number);
	*(granted(f) || f->written > 0 ? &b->allowed : &b->tried) += 1;
	record_put(f->guest, f->named, f->names, &r);
	if (fin && f->proto == PROTO_TCP && drain_wanted(f)) {
		leave(f);
		drain_take(f);
		return true;
	}
	tested = !granted(f) || m == NULL || cut_wire(f);
	flow_free(f);
	return tested;
}

/* Before the grant: the frame is told, without waiting for the commit. */
void
ledger_failed(struct flow *f, enum reason reason, enum deny_code code,
    int error)
{
	struct guest	*g = f->guest;
	uint64_t	 id = f->id;

	if (peek_is_told(f) || f->crossing)
		g->crossing++;		/* its FLIGHT may be under way */
	if (reason == REASON_RESOURCE)
		deny_starved(g, error);
	(void)finish(f, reason, error, NULL);
	answer_deny(g, id, code);
}

/*
 * Its flow.open, or flow.dial, may never reach the log. The recorder makes of this
 * deny a close too, if the open did; either way the attempt is told once.
 */
void
ledger_refuse(struct flow *f)
{
	struct guest	*g = f->guest;
	struct record	 r;
	uint64_t	 id = f->id;
	uint32_t	 proto = f->proto;

	(f->opened ? record_flow : record_undecided)(f, REC_FLOW_DENY, &r);
	r.verdict = VERDICT_DENY;
	r.reason = REASON_AUDIT_UNAVAILABLE;
	g->broker->denied++;
	g->broker->denied_for[REASON_AUDIT_UNAVAILABLE]++;
	g->crossing += f->crossing;
	record_put(g, f->named, f->names, &r);
	flow_free(f);
	answer_deny(g, id, deny_code(proto));
}

bool
ledger_end(struct flow *f, enum reason reason, const struct wire_close *m)
{
	return finish(f, reason, 0, m);
}

void
ledger_end_all(struct guest *g, enum reason reason)
{
	struct flow	*f;

	while ((f = TAILQ_FIRST(&g->flows)) != NULL)
		(void)finish(f, f->state == FLOW_REVOKED ? f->revoked : reason,
		    0, NULL);
}

void
ledger_ready(struct flow *f)
{
	struct guest	*g = f->guest;

	f->state = FLOW_READY;
	quota_proven(g->quota, &f->charge);
	hold_wake(g);
	ledger_move(f, &g->ready);
	answer_flush(g);
}

/*
 * Connected and durable. What was inspected is sent before the socket is given, and
 * where nothing was, because the guest has ended, nothing can be after it.
 */
static void
make_ready(struct flow *f)
{
	if (f->mute && shutdown(f->fd, SHUT_WR) == -1 && errno != ENOTCONN)
		log_warn("shutdown: flow %llu", (unsigned long long)f->number);
	if (f->flight != NULL)
		peek_write(f);
	else
		ledger_ready(f);
}

/* Connected, and what there is in the log is durable. */
static void
go_on(struct flow *f)
{
	if (f->opened)
		make_ready(f);
	else
		peek_ask(f);
}

/* connect.c has seen it established, and who is there. */
void
ledger_connected(struct flow *f)
{
	f->connected = mono_now();
	if (f->late)
		open_record(f);
	f->late = false;
	if (f->opened || f->lenient)
		quota_connected(f->guest->quota, &f->charge);
	hold_wake(f->guest);
	if (f->durable)
		go_on(f);
	else
		f->state = FLOW_RECORDED;
}

/* It has waited for its record: is what it is dialled at still somebody else's? */
static void
begin(struct flow *f)
{
	if (host_clear(f))
		connect_settle(f, connect_begin(f));
	else
		ledger_failed(f, REASON_FLOOR_LOCAL, deny_code(f->proto), 0);
}

/* audit.c knows its last record to be where the policy wants it. */
void
ledger_durable(struct flow *f)
{
	f->durable = true;
	if (f->state == FLOW_RECORD)
		begin(f);
	else if (f->state == FLOW_RECORDED)
		go_on(f);
}

/* As at first, with what is known since. */
static struct verdict
judge_again(const struct flow *f)
{
	const struct named	*n = f->named;
	struct bound		 bound;

	open_bound(f, &bound);
	return guest_decide(f->guest, f->proto, &f->g_dst, &bound,
	    n != NULL && n->seen ? &n->shown : NULL);
}

/*
 * The last look before the grant, and before the first byte: if policy or the
 * host's network have changed since the verdict, it is made again from what the
 * guest had asked.
 */
bool
ledger_release(struct flow *f)
{
	enum reason	why = REASON_POLICY_REVOKED;
	struct verdict	v;

	if (f->epoch == f->guest->broker->epoch)
		return true;
	v = judge_again(f);
	if (v.kind == VERDICT_DENY)
		why = v.reason;
	else if ((v.peek == PEEK_NONE || v.recorded) &&
	    endpoint_equal(&v.dial, &f->dial)) {
		f->local_ok = v.local_ok;
		f->epoch = f->guest->broker->epoch;
		if (host_clear(f))
			return true;
		why = REASON_FLOOR_LOCAL;
	}
	ledger_failed(f, why, deny_code(f->proto), 0);
	return false;
}

/* The rule that let it through has ended, and no other one does. */
bool
ledger_expired(const struct flow *f)
{
	uint64_t	until = policy_rule_until(f->guest->broker->policy,
			    f->rule);

	return until != 0 && f->verdict == VERDICT_ALLOW &&
	    until <= wall_seconds() && judge_again(f).kind == VERDICT_DENY;
}

/* The fd is on its way, and watched. */
void
ledger_granted(struct flow *f)
{
	f->state = FLOW_OPEN;
	ledger_move(f, NULL);
	live_add(f);
	broker_want_tick(f->guest->broker);
}

/*
 * Takes the grant back: the bytes are counted, the frame is told, and the socket is
 * shut both ways. It is closed only when the frame has closed its copy: then the server
 * gets RST, and what is queued is gone.
 */
void
ledger_revoke(struct flow *f, enum reason reason)
{
	struct meter	m;

	if (f->state == FLOW_REVOKED)
		return;
	if (f->state != FLOW_OPEN) {
		ledger_failed(f, reason, deny_code(f->proto), 0);
		return;
	}
	meter_read(f, false, &m);
	f->up = m.up;
	f->down = m.down;
	f->metered = true;
	f->state = FLOW_REVOKED;
	live_drop(f);
	f->revoked = reason;
	f->due = mono_now() + REVOKE_OVERDUE;
	ledger_move(f, &f->guest->revoked);
	answer_revoke(f);
	if (shutdown(f->fd, SHUT_RDWR) == -1 && errno != ENOTCONN)
		log_warn("shutdown: flow %llu", (unsigned long long)f->number);
	broker_want_tick(f->guest->broker);
}

/* HUP: both directions are over, so CLOSE is to come. The first one counts. */
static void
hung_up(struct flow *f, uint32_t events)
{
	if ((events & EPOLLHUP) == 0)
		return;		/* ERR alone is the frame's to see */
	if (f->state != FLOW_OPEN || f->on == &f->guest->hup)
		return;
	f->due = mono_now() + CLOSE_OVERDUE;
	ledger_move(f, &f->guest->hup);
	broker_want_tick(f->guest->broker);
}

/* The flows first: a wire that is sprung frees some. */
void
ledger_watch(struct broker *b)
{
	struct epoll_event	ev[WATCH_BATCH];
	int			i, n;

	n = epoll_wait(b->watch, ev, WATCH_BATCH, 0);
	for (i = 0; i < n; i++)
		if (!cut_is_wire(&ev[i]))
			hung_up(ev[i].data.ptr, ev[i].events);
	for (i = 0; i < n; i++)
		if (cut_is_wire(&ev[i]))
			cut_sprung(b, &ev[i]);
}

/*
 * Over for 30 s, all data fetched, and no CLOSE. The frame may be giving a slow
 * guest the last of it, so this flow is taken back, not the frame ended: that
 * follows within a second if it does not obey.
 */
static void
overdue(struct guest *g, uint64_t mono)
{
	struct flow	*f;

	while ((f = TAILQ_FIRST(&g->hup)) != NULL && f->due <= mono) {
		if (meter_drained(f->fd)) {
			guest_report(g, "close-overdue");
			ledger_revoke(f, REASON_IPC_VIOLATION);
			continue;
		}
		f->due = mono + CLOSE_OVERDUE;
		ledger_move(f, &g->hup);
	}
}

static void
lifetimes(struct guest *g, uint64_t mono)
{
	uint64_t	 max = policy_limits(g->broker->policy,
			    g->broker->tenant)->lifetime * SEC;
	struct flow	*f, *next;

	if (max == 0)
		return;
	for (f = TAILQ_FIRST(&g->flows); f != NULL && f->begun + max <= mono;
	    f = next) {
		next = TAILQ_NEXT(f, all);
		ledger_revoke(f, REASON_LIFETIME);
	}
}

/* May end the frame. */
void
ledger_tick(struct guest *g, uint64_t mono)
{
	struct flow	*f = TAILQ_FIRST(&g->revoked);
	bool		 heard = guest_heard(g, mono);

	if (heard && f != NULL && f->due <= mono) {
		log_warnx("guest %s: its frame ignores a REVOKE and is ended",
		    g->conf.name);
		f->revoked = REASON_REVOKE_IGNORED;
		guest_kill(g, REASON_FRAME_DIED);
		return;
	}
	if (heard)
		overdue(g, mono);
	lifetimes(g, mono);
}
