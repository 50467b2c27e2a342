/*
 * A guest: its link's frame, from one frame to the next. What is charged to it is
 * its name's account. The frame's channel is its identity.
 *
 * Trusts: the keeper's word on addresses, deaths and slots.
 * Must not: give a frame anything before its HELLO, or let a new frame inherit
 * the flows of a dead one.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker.h"
#include "log.h"

#define FRAME_QUEUE	16u		/* CONFIG and PING only: the rest waits in the ledger */
#define FRAME_LINK_GONE	3u		/* exit status: the link's other end is gone */
#define FRAME_LINES	1024u		/* bytes of its attachment and its end, about */
#define PING_EVERY	(10 * SEC)
#define PATIENCE	(2 * SEC)	/* to hear what was said meanwhile */

/* s; datagrams have no end: one answered at once, one that is talked to, an echo */
#define UDP_IDLE	30u
#define UDP_STREAM	180u
#define ECHO_IDLE	30u

static const struct policy_limits *
limits(const struct broker *b)
{
	return policy_limits(b->policy, b->tenant);
}

static int
tables_new(struct guest *g, uint64_t now)
{
	struct broker	*b = g->broker;
	uint32_t	 size = 64;

	accounts_tick(&b->accounts, now, boot_now());
	g->account = account_take(&b->accounts, g->conf.name, limits(b),
	    b->conns_max, policy_rules(b->policy), now);
	if (g->account == NULL)
		return -1;
	g->quota = g->account->quota;
	g->pins = g->account->pins;
	g->budget = g->account->budget;
	g->kmem = leftovers_tick(&g->account->leftovers, now);
	while (size < quota_conns_max(g->quota))
		size *= 2;
	g->table_mask = size - 1;
	g->table = calloc(size, sizeof(*g->table));
	return g->table == NULL ? -1 : 0;
}

/*
 * A frame's beginning and end have their lines, and who hangs up and comes again can
 * have any number of frames: where the rate of its lines is used up, the next one waits.
 */
static void
want_frame(struct guest *g)
{
	g->state = GUEST_ASKED;
	g->put_off = !volume_has(&g->account->volume, VOLUME_MUST, FRAME_LINES,
	    mono_now());
	if (g->put_off) {
		deny_limit(g, REASON_AUDIT_RATE);
		broker_want_tick(g->broker);
	} else
		keeper_spawn(g->broker, ROLE_FRAME, g->slot);
}

/* A link is there and wants a frame. */
void
guest_take(struct broker *b, const struct keeper_guest *conf)
{
	uint32_t	 slot = (uint32_t)conf->head.id;
	struct guest	*g;

	if (conf->head.id >= GUESTS_MAX || b->guest[slot] != NULL)
		fatalx("the keeper gave slot %u twice, or there is none",
		    slot);
	if ((g = calloc(1, sizeof(*g))) == NULL)
		fatal("guest");
	g->broker = b;
	g->slot = slot;
	g->conf = *conf;
	TAILQ_INIT(&g->flows);
	TAILQ_INIT(&g->ready);
	TAILQ_INIT(&g->hup);
	TAILQ_INIT(&g->revoked);
	TAILQ_INIT(&g->held);
	TAILQ_INIT(&g->lives);
	TAILQ_INIT(&g->drains);
	TAILQ_INIT(&g->unpeeked);
	TAILQ_INIT(&g->peeking);
	TAILQ_INIT(&g->looking);
	TAILQ_INIT(&g->questions);
	STAILQ_INIT(&g->owed);
	STAILQ_INIT(&g->replies);
	if (tables_new(g, mono_now()) == -1)
		fatal("guest %s", g->conf.name);
	b->guest[slot] = g;
	g->attach_rec = UINT64_MAX;	/* READY is owed */
	lease_look(g);
	want_frame(g);
}

/* Its frame has been started. */
void
guest_frame(struct broker *b, const struct keeper_child *m, int fd)
{
	uint64_t	 slot = m->head.id;
	struct guest	*g = slot < GUESTS_MAX ? b->guest[slot] : NULL;

	if (g == NULL || g->state != GUEST_ASKED) {
		close(fd);		/* it detached meanwhile */
		keeper_kill(b, ROLE_FRAME, (uint32_t)slot);
		return;
	}
	g->chan = chan_new(b->base, fd, 0, FRAME_QUEUE, &answer_ops, g);
	g->frame_pid = m->pid;
	if (g->chan == NULL) {		/* DIED brings the next try */
		log_warnx("guest %s: its frame's channel cannot be watched, so "
		    "it is ended", g->conf.name);
		close(fd);
		keeper_kill(b, ROLE_FRAME, g->slot);
		return;
	}
	g->state = GUEST_GREETING;
	g->hello_due = mono_now() + HELLO_OVERDUE;
	broker_want_tick(b);
}

static uint32_t
at_most(uint32_t policy, uint32_t value)
{
	return policy != 0 && policy < value ? policy : value;
}

static void
send_config(struct guest *g)
{
	const struct keeper_guest	*k = &g->conf;
	const struct policy_limits	*l = limits(g->broker);
	struct wire_config		 m;

	wire_begin(&m, sizeof(m), WIRE_CONFIG, 0);
	m.kind = k->kind;
	m.flags = k->flags;
	if (g->broker->echo4)
		m.flags |= LINK_ECHO4;
	if (g->broker->echo6)
		m.flags |= LINK_ECHO6;
	m.mtu = k->mtu;
	m.flows_max = quota_conns_max(g->quota);
	m.tcp_idle = l->idle;
	m.tcp_half_idle = at_most(l->idle, l->half_closed);
	m.udp_idle = at_most(l->idle, UDP_IDLE);
	m.udp_stream = at_most(l->idle, UDP_STREAM);
	m.echo_idle = at_most(l->idle, ECHO_IDLE);
	memcpy(m.gateway_mac, k->gateway_mac, sizeof(m.gateway_mac));
	memcpy(m.guest_mac, k->guest_mac, sizeof(m.guest_mac));
	m.v4 = k->v4;
	m.v6 = k->v6;
	chan_send(g->chan, &m, sizeof(m), -1);
}

/* A lease's addresses, and the frame that serves them. */
static void
record_lease(const struct guest *g, enum record_type type, struct record *r)
{
	record_init(g->broker, g, type, r);
	r->pid = g->frame_pid;
	if (g->conf.v4.guest.family != ADDR_NONE) {
		r->g_src = g->conf.v4.guest;
		r->g_dst = g->conf.v4.gateway;
	} else {
		r->g_src = g->conf.v6.guest;
		r->g_dst = g->conf.v6.gateway;
	}
}

void
guest_greeted(struct guest *g)
{
	struct record	r;
	uint64_t	rec;

	g->state = GUEST_SERVED;
	g->ping_open = false;
	g->ping_due = mono_now() + PING_EVERY;
	send_config(g);
	record_lease(g, REC_GUEST_ATTACH, &r);
	rec = record_write(g, &r);
	if (g->attach_rec == UINT64_MAX)
		g->attach_rec = rec;
	guest_pause(g);
}

/* The record of its attachment is on the disk: CMD may start. */
void
guest_durable(struct broker *b, uint64_t rec)
{
	struct guest	*g;
	unsigned int	 i;

	for (i = 0; i < GUESTS_MAX; i++) {
		if ((g = b->guest[i]) == NULL)
			continue;
		if (g->state == GUEST_SERVED && g->attach_rec != 0 &&
		    g->attach_rec <= rec) {
			g->attach_rec = 0;
			keeper_ready(b, g->slot);
		}
		guest_pause(g);
	}
}

/* Reads on only when it is owed little, not flooding, and the log keeps up. */
void
guest_pause(struct guest *g)
{
	bool	pause;

	if (g->chan == NULL || g->died.role != 0)
		return;
	pause = g->flooding || audit_crowded(g->broker) ||
	    g->nowed > (g->paused ? OWED_MAX / 2 : OWED_MAX);
	if (pause != g->paused)
		chan_pause(g->chan, pause);
	g->paused = pause;
	if (pause)
		broker_want_tick(g->broker);
}

/* shown NULL: no flight was seen. */
struct verdict
guest_decide(const struct guest *g, uint32_t proto,
    const struct endpoint *dst, const struct bound *bound,
    const struct policy_shown *shown)
{
	struct broker		*b = g->broker;
	struct policy_query	 q;

	memset(&q, 0, sizeof(q));
	(void)host_look(b, proto, NULL, dst, &q.own);
	q.tenant = b->tenant;
	q.proto = proto;
	q.dst = *dst;
	q.gateway4 = g->conf.v4.gateway;
	q.gateway6 = g->conf.v6.gateway;
	q.bound = bound->name;
	q.nbound = bound->n;
	q.lapsed = bound->lapsed;
	q.shown = shown;
	q.now = wall_seconds();
	return policy_decide(b->policy, &q);
}

/* ---- ends ------------------------------------------------------------------ */

static void
hang_up(struct guest *g)
{
	chan_free(g->chan);
	g->chan = NULL;
	g->paused = g->flooding = false;
	g->state = GUEST_ENDING;
	answer_reset(g);
}

static void
record_death(struct guest *g)
{
	struct record	r;

	record_lease(g, REC_FRAME_DIED, &r);
	r.reason = REASON_FRAME_DIED;
	r.signal = g->died.signal;
	r.status = g->died.status;
	record_write(g, &r);
}

/* Channel gone and process gone: the next frame, or the end of the guest. */
static void
buried(struct guest *g)
{
	bool	link = g->died.signal == 0 &&
		    g->died.status == FRAME_LINK_GONE;

	if (link) {
		guest_detach(g, REASON_GUEST_DETACH);
		return;
	}
	ledger_end_all(g, REASON_FRAME_DIED);
	question_end_all(g, REASON_FRAME_DIED);
	g->crossing = 0;	/* of flows that ended since its end of file, too */
	record_death(g);
	log_warnx("guest %s: its frame died (signal %u, status %u) and is "
	    "started again", g->conf.name, g->died.signal, g->died.status);
	memset(&g->died, 0, sizeof(g->died));
	want_frame(g);
}

/* End of file. A frame that only closed its channel is no frame any more. */
void
guest_gone(struct guest *g)
{
	hang_up(g);
	if (g->died.role != 0)
		buried(g);
	else
		keeper_kill(g->broker, ROLE_FRAME, g->slot);
}

/* What it had said before its death is heard first. */
void
guest_died(struct broker *b, const struct keeper_died *m)
{
	struct guest	*g = m->head.id < GUESTS_MAX ? b->guest[m->head.id] :
			    NULL;

	if (g == NULL)
		return;
	if (m->pid == 0) {		/* there was none: nothing has ended */
		keeper_spawn(b, ROLE_FRAME, g->slot);
		return;
	}
	g->died = *m;
	if (g->chan != NULL) {
		if (g->paused)
			chan_pause(g->chan, false);
		g->paused = false;
		chan_drain(g->chan);
		if (b->guest[m->head.id] == NULL || g->chan == NULL)
			return;		/* its end of file was there */
		hang_up(g);
	}
	buried(g);
}

void
guest_report(struct guest *g, const char *what)
{
	struct record	r;

	log_warnx("guest %s: ipc.violation: %s", g->conf.name, what);
	record_lease(g, REC_IPC_VIOLATION, &r);
	r.reason = REASON_IPC_VIOLATION;
	record_text(r.detail, sizeof(r.detail), what);
	record_write(g, &r);
}

/* Ends the frame and every flow; DIED brings the next one. */
void
guest_kill(struct guest *g, enum reason reason)
{
	ledger_end_all(g, reason);
	hang_up(g);
	if (g->died.role != 0)
		buried(g);
	else
		keeper_kill(g->broker, ROLE_FRAME, g->slot);
}

/* It may have kept a copy of what it says it closed, and nothing would tell us. */
void
guest_untested(struct guest *g)
{
	g->untested = false;
	log_warn("guest %s: the end of a connection cannot be watched, so its "
	    "frame is ended", g->conf.name);
	guest_kill(g, REASON_RESOURCE);
}

void
guest_violation(struct guest *g, const char *what)
{
	guest_report(g, what);
	guest_kill(g, REASON_IPC_VIOLATION);
}

void
guest_detach(struct guest *g, enum reason reason)
{
	struct broker	*b = g->broker;
	struct record	 r;

	if (g->chan != NULL)	/* it holds copies of what ends here */
		keeper_kill(b, ROLE_FRAME, g->slot);
	ledger_end_all(g, reason);
	question_end_all(g, reason);
	deny_flush(g, mono_now(), true);
	record_lease(g, REC_GUEST_DETACH, &r);
	r.reason = reason;
	record_write(g, &r);
	b->guest[g->slot] = NULL;
	guest_free(g);
}

void
guest_free(struct guest *g)
{
	answer_reset(g);
	drain_leave(g);
	chan_free(g->chan);
	account_leave(&g->broker->accounts, g->account, mono_now());
	free(g->table);
	free(g);
}

/* ---- time -------------------------------------------------------------------- */

static void
ping(struct guest *g, uint64_t mono)
{
	struct wire_id	m;

	if (g->state != GUEST_SERVED || mono < g->ping_due ||
	    !guest_heard(g, mono))
		return;
	if (g->ping_open) {
		log_warnx("guest %s: its frame hangs and is ended",
		    g->conf.name);
		guest_kill(g, REASON_FRAME_DIED);
		return;
	}
	g->ping_due = mono + PING_EVERY;
	wire_begin(&m, sizeof(m), WIRE_PING, 0);
	g->ping_open = chan_try(g->chan, &m, sizeof(m), -1) == 0;
}

/* All that its frame may have said is read: its silence is its own. */
bool
guest_heard(const struct guest *g, uint64_t mono)
{
	return g->deaf == 0 || mono - g->deaf >= PATIENCE;
}

/* Something is due within seconds. */
bool
guest_urgent(const struct guest *g)
{
	return g->unread_since != 0 || g->paused || g->put_off ||
	    g->account->dropped ||
	    g->state == GUEST_GREETING || aggregate_busy(g->account->denied) ||
	    aggregate_busy(g->account->unresolved) ||
	    aggregate_busy(g->account->failed) || !TAILQ_EMPTY(&g->peeking) ||
	    kmem_urgent(g) || live_urgent(g) ||
	    !TAILQ_EMPTY(&g->hup) || !TAILQ_EMPTY(&g->revoked) ||
	    !TAILQ_EMPTY(&g->held) ||
	    (g->nflows > 0 && limits(g->broker)->lifetime != 0);
}

/* The frame may be ended here; the guest stays. */
void
guest_tick(struct guest *g, uint64_t mono)
{
	deny_flush(g, mono, false);
	if (g->put_off)
		want_frame(g);
	if (audit_crowded(g->broker))
		g->deaf = mono;
	if (g->flooding) {
		g->flooding = false;
		guest_pause(g);
	}
	if (g->state == GUEST_GREETING && mono >= g->hello_due &&
	    guest_heard(g, mono))
		guest_violation(g, "no-hello");
	else if (g->unread_since != 0 &&
	    mono - g->unread_since >= UNREAD_OVERDUE)
		guest_violation(g, "never-reads");
	else if (g->untested && g->state == GUEST_SERVED)
		guest_untested(g);
	else {
		peek_tick(g, mono);
		hold_tick(g, mono);
		kmem_tick(g, mono);
		silent_tick(g, mono);
		live_tick(g, mono);
		ledger_tick(g, mono);
		ping(g, mono);
	}
}
