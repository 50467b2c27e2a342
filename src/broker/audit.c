/*
 * Records on their way to the recorder: numbered, kept until acknowledged, sent
 * again to a new recorder; and the gate that holds every grant until its
 * flow.open, and a question until its dns.ask, is where the policy wants it.
 *
 * Trusts: the recorder's acknowledgements, within their order.
 * Must not: forget a record, number one twice, or let anything through the gate
 * while the recorder is gone or cannot write; or let it wait for a recorder that
 * does neither.
 */
#include <sys/random.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker.h"
#include "log.h"

#define RECORDER_QUEUE	4u		/* START only: records wait here */
#define CROWDED		8192u		/* unacknowledged: guests are read no more */
#define HANGS_MS	4500u		/* unacknowledged; with a tick it is 5 s */

enum audit_state {
	AUDIT_NONE = 1 << 0,		/* no recorder */
	AUDIT_GREETING = 1 << 1,
	AUDIT_STARTED = 1 << 2,		/* START sent, no READY yet */
	AUDIT_UP = 1 << 3
};

/* A record without the zeros at its end, which many a struct record_named has. */
struct entry {
	STAILQ_ENTRY(entry) entry;
	uint64_t	rec;
	uint64_t	since;		/* mono */
	bool		named;
	size_t		len;
	unsigned char	bytes[];
};

struct audit {
	struct broker	*broker;
	struct chan	*chan;
	enum audit_state state;
	bool		failed;		/* it says it cannot write */
	bool		hangs;		/* it says nothing: stopped, or its disk does */
	bool		harmed;		/* lines that it had are gone, or elsewhere */
	uint64_t	up_since;	/* no record has waited longer for it */
	bool		was_up;		/* the log could be used, once */
	bool		resume;		/* a recorder had been started before */
	bool		begun;		/* the first one is ready, or gone */
	bool		ending, ended;	/* END is due; END is sent */
	uint64_t	rec, acked;	/* last number given, last acknowledged */
	uint64_t	backlog;
	STAILQ_HEAD(, entry) queue;	/* not acknowledged, oldest first */
	struct entry	*unsent;	/* in it; NULL = all are sent */
	struct waiter_list await;	/* by their records' numbers */
	uint8_t		inst[16];
};

static const struct chan_ops	audit_ops;

struct audit *
audit_new(struct broker *b)
{
	struct audit	*a = calloc(1, sizeof(*a));

	if (a == NULL || getrandom(a->inst, sizeof(a->inst), 0) !=
	    (ssize_t)sizeof(a->inst))
		fatal("audit");
	a->inst[6] = (uint8_t)((a->inst[6] & 0x0f) | 0x40);	/* RFC 9562, 5.4 */
	a->inst[8] = (uint8_t)((a->inst[8] & 0x3f) | 0x80);
	a->broker = b;
	a->state = AUDIT_NONE;
	STAILQ_INIT(&a->queue);
	TAILQ_INIT(&a->await);
	return a;
}

static void
pop(struct audit *a)
{
	struct entry	*e = STAILQ_FIRST(&a->queue);

	STAILQ_REMOVE_HEAD(&a->queue, entry);
	a->backlog--;
	free(e);
}

void
audit_free(struct audit *a)
{
	if (a == NULL)
		return;
	chan_free(a->chan);
	while (!STAILQ_EMPTY(&a->queue))
		pop(a);
	free(a);
}

bool
audit_up(const struct broker *b)
{
	return b->audit->state == AUDIT_UP && !b->audit->failed &&
	    !b->audit->hangs;
}

bool
audit_harmed(const struct broker *b)
{
	return b->audit->harmed;
}

/*
 * Guests are not read: their opens come faster than they are written, or the
 * first recorder is not ready yet, which is a matter of a moment and no reason
 * to refuse. While a later one is missing opens are refused, and what then waits
 * is bounded by the flows that live and can only close.
 */
bool
audit_crowded(const struct broker *b)
{
	return !b->audit->begun ||
	    (audit_up(b) && b->audit->backlog > CROWDED);
}

uint64_t
audit_backlog(const struct broker *b)
{
	return b->audit->backlog;
}

static int
send_entry(const struct audit *a, const struct entry *e)
{
	struct record_named	m;
	size_t			len = e->named ? sizeof(m) : sizeof(m.r);

	memset(&m, 0, len);
	memcpy(&m, e->bytes, e->len);
	return chan_try(a->chan, &m, len, -1);
}

/* As much as the socket takes; the chan calls again when there is room. */
static void
pump(struct audit *a)
{
	struct wire_head	end;

	if (a->state != AUDIT_UP)
		return;
	for (; a->unsent != NULL; a->unsent = STAILQ_NEXT(a->unsent, entry))
		if (send_entry(a, a->unsent) == -1)
			return;
	if (!a->ending || a->ended)
		return;
	wire_begin(&end, sizeof(end), RECORD_END, 0);
	a->ended = chan_try(a->chan, &end, sizeof(end), -1) == 0;
}

static size_t
without_zeros(const void *msg, size_t len)
{
	const unsigned char	*p = msg;

	while (len > sizeof(struct wire_head) && p[len - 1] == 0)
		len--;
	return len;
}

static uint64_t
put(struct broker *b, void *msg, size_t len, bool named)
{
	struct audit	*a = b->audit;
	size_t		 kept = without_zeros(msg, len);
	struct entry	*e = malloc(sizeof(*e) + kept);

	if (e == NULL)
		fatal("a record");	/* flows end with us; none goes unrecorded */
	e->rec = ++a->rec;
	e->since = mono_now();
	((struct wire_head *)msg)->id = e->rec;
	e->named = named;
	e->len = kept;
	memcpy(e->bytes, msg, kept);
	STAILQ_INSERT_TAIL(&a->queue, e, entry);
	a->backlog++;
	if (a->unsent == NULL)
		a->unsent = e;
	pump(a);
	broker_want_tick(b);
	return a->rec;
}

uint64_t
audit_put(struct broker *b, struct record *r)
{
	return put(b, r, sizeof(*r), false);
}

uint64_t
audit_put_named(struct broker *b, struct record_named *r)
{
	r->r.head.type = RECORD_NAMED;
	return put(b, r, sizeof(*r), true);
}

/* ---- the gate ---------------------------------------------------------------- */

/* `rec` has just been put. False: an async policy waits for nothing. */
bool
audit_await(struct broker *b, struct waiter *w, uint64_t rec)
{
	if (b->durable == DURABLE_ASYNC)
		return false;
	w->rec = rec;
	w->waits = true;
	TAILQ_INSERT_TAIL(&b->audit->await, w, entry);
	return true;
}

void
audit_forget(struct broker *b, struct waiter *w)
{
	if (w->waits)
		TAILQ_REMOVE(&b->audit->await, w, entry);
	w->waits = false;
}

/* All that was put is the recorder's: it writes that also when we are dead. */
bool
audit_sent(const struct broker *b)
{
	return audit_up(b) && b->audit->unsent == NULL;
}

static void
open_gate(struct audit *a)
{
	struct waiter	*w;

	while ((w = TAILQ_FIRST(&a->await)) != NULL && w->rec <= a->acked) {
		audit_forget(a->broker, w);
		if (w->flow != NULL)
			ledger_durable(w->flow);	/* may free it */
		else
			question_durable(w->question);	/* too */
	}
	guest_durable(a->broker, a->acked);
}

/* Their records may never reach the log: they are not let through. */
static void
shut_gate(struct audit *a)
{
	struct waiter	*w;

	while ((w = TAILQ_FIRST(&a->await)) != NULL) {
		audit_forget(a->broker, w);
		if (w->flow != NULL)
			ledger_refuse(w->flow);
		else
			question_refuse(w->question);
	}
	guest_durable(a->broker, a->acked);	/* reads on, to refuse */
}

static bool
waits_long(const struct audit *a, uint64_t mono)
{
	const struct entry	*e = STAILQ_FIRST(&a->queue);
	uint64_t		 since;

	if (e == NULL)
		return false;
	since = e->since > a->up_since ? e->since : a->up_since;
	return mono > since && mono - since >= HANGS_MS * (SEC / 1000);
}

/* A recorder that has failed has said so, and has its own time to recover. */
static void
look_if_hangs(struct audit *a, uint64_t mono)
{
	bool	hangs = a->state == AUDIT_UP && !a->failed &&
		    waits_long(a, mono);

	if (hangs == a->hangs)
		return;
	a->hangs = hangs;
	if (hangs) {
		log_warnx("the audit log takes no record: the recorder is "
		    "stopped, or its disk hangs; new flows are refused");
		shut_gate(a);
	} else if (a->state == AUDIT_UP && !a->failed)
		log_warnx("the audit log takes records again");
}

void
audit_tick(struct broker *b, uint64_t mono)
{
	look_if_hangs(b->audit, mono);
}

/* Somebody waits for the recorder, or will for the next one. */
bool
audit_urgent(const struct broker *b)
{
	return b->audit->state == AUDIT_UP && b->audit->backlog > 0;
}

/* ---- from the recorder --------------------------------------------------------- */

/* All up to its id were written: true if they had been sent. */
static bool
acknowledge(struct audit *a, const struct record_ack *m)
{
	struct entry	*e;
	uint64_t	 rec = m->head.id;

	a->harmed |= m->harm != 0;
	if (rec < a->acked || rec > a->rec || (a->unsent != NULL &&
	    rec >= a->unsent->rec))
		return false;
	while ((e = STAILQ_FIRST(&a->queue)) != NULL &&
	    e->rec <= rec)
		pop(a);
	a->acked = rec;
	return true;
}

static int
audit_hello(void *room, const void *msg, int fd)
{
	const struct wire_hello		*m = msg;
	struct audit			*a = room;
	struct record_start		 s;

	(void)fd;
	if (!wire_hello_ours(m))
		return -1;
	wire_begin(&s, sizeof(s), RECORD_START, 0);
	memcpy(s.inst, a->inst, sizeof(s.inst));
	s.durable = a->broker->durable;
	s.resume = a->resume;
	s.rotate = policy_audit(a->broker->policy)->rotate;
	s.keep_bytes = policy_audit(a->broker->policy)->keep_bytes;
	s.keep_files = policy_audit(a->broker->policy)->keep_files;
	a->state = AUDIT_STARTED;
	a->resume = true;
	return chan_send(a->chan, &s, sizeof(s), -1);
}

/* `rec` is the last of ours in the log; what follows is sent (again). */
static int
audit_ready(void *room, const void *msg, int fd)
{
	const struct record_ack	*m = msg;
	struct audit		*a = room;

	(void)fd;
	a->unsent = NULL;
	if (m->head.id > a->acked && !acknowledge(a, m))
		return -1;
	a->unsent = STAILQ_FIRST(&a->queue);
	a->state = AUDIT_UP;
	if (!a->was_up)
		keeper_logging(a->broker);
	a->was_up = true;
	a->begun = true;
	a->failed = a->hangs = false;
	a->up_since = mono_now();
	pump(a);
	open_gate(a);
	return 0;
}

static int
audit_durable(void *room, const void *msg, int fd)
{
	const struct record_ack	*m = msg;
	struct audit		*a = room;

	(void)fd;
	if (!acknowledge(a, m))
		return -1;
	open_gate(a);
	look_if_hangs(a, mono_now());
	if (a->broker->stop != STOP_NO)
		broker_stop_step(a->broker);
	return 0;
}

static int
audit_failed(void *room, const void *msg, int fd)
{
	const struct record_ack	*m = msg;
	struct audit		*a = room;

	(void)fd;
	if (!acknowledge(a, m))
		return -1;
	errno = (int)m->err;
	log_warn("the audit log cannot be written; new flows are refused");
	open_gate(a);
	a->failed = true;
	a->hangs = false;
	shut_gate(a);
	return 0;
}

static int
audit_recovered(void *room, const void *msg, int fd)
{
	const struct record_ack	*m = msg;
	struct audit		*a = room;

	(void)fd;
	if (!acknowledge(a, m))
		return -1;
	log_warnx("the audit log is written again");
	a->failed = false;
	a->up_since = mono_now();
	open_gate(a);
	return 0;
}

static const struct wire_rule rules[] = {
	{ RECORD_HELLO, AUDIT_GREETING, sizeof(struct wire_hello), false,
	    audit_hello, 0 },
	{ RECORD_READY, AUDIT_STARTED, sizeof(struct record_ack), false,
	    audit_ready, 0 },
	{ RECORD_DURABLE, AUDIT_UP, sizeof(struct record_ack), false,
	    audit_durable, 0 },
	{ RECORD_FAILED, AUDIT_UP, sizeof(struct record_ack), false,
	    audit_failed, 0 },
	{ RECORD_RECOVERED, AUDIT_UP, sizeof(struct record_ack), false,
	    audit_recovered, 0 },
};

static void
hang_up(struct audit *a)
{
	chan_free(a->chan);
	a->chan = NULL;
	a->state = AUDIT_NONE;
	a->hangs = false;
	a->begun = true;
	a->unsent = STAILQ_FIRST(&a->queue);
	shut_gate(a);
	if (a->broker->stop != STOP_NO)
		broker_stop_step(a->broker);
}

static void
audit_message(void *arg, const void *buf, size_t len, int fd)
{
	struct audit	*a = arg;
	enum wire_fault	 fault;

	fault = wire_dispatch(rules, sizeof(rules) / sizeof(rules[0]),
	    a->state, a, buf, len, fd);
	if (fault == WIRE_OK)
		return;
	log_warnx("the recorder speaks nonsense (%s) and is ended",
	    wire_fault_name(fault));
	keeper_kill(a->broker, ROLE_RECORDER, 0);
	hang_up(a);
}

static void
audit_closed(void *arg, const char *why)
{
	struct audit	*a = arg;

	if (why != NULL)
		log_warnx("the recorder's channel: %s", why);
	if (why != NULL)
		keeper_kill(a->broker, ROLE_RECORDER, 0);
	hang_up(a);
}

static void
audit_writable(void *arg)
{
	pump(arg);
}

static const struct chan_ops	audit_ops = {
	.message = audit_message,
	.closed = audit_closed,
	.writable = audit_writable
};

/* ---- the recorder's life --------------------------------------------------------- */

void
audit_recorder(struct broker *b, int fd)
{
	struct audit	*a = b->audit;

	if (a->chan != NULL)
		fatalx("the keeper started a second recorder");
	a->chan = chan_new(b->base, fd, 0, RECORDER_QUEUE, &audit_ops, a);
	if (a->chan == NULL) {		/* its end of file; then DIED */
		log_warnx("the recorder's channel cannot be watched, so it is "
		    "ended");
		close(fd);
		hang_up(a);
		return;
	}
	a->state = AUDIT_GREETING;
}

/*
 * A recorder that gave up before the log was usable will not fare better the next
 * time: it has said why, and nothing has begun that would have to be ended.
 */
void
audit_died(struct broker *b, const struct keeper_died *d)
{
	struct audit	*a = b->audit;

	if (a->chan != NULL)
		chan_drain(a->chan);	/* its last acknowledgement counts */
	if (a->chan != NULL || d->pid == 0)
		hang_up(a);		/* guests are read, and refused */
	if (!a->was_up && d->signal == 0 && d->status != 0) {
		childlog_drain(b->childlog);
		if (d->status != FATAL_STATUS)
			log_warnx("the recorder ended with status %u and has not "
			    "said why; are all programs of the same build?",
			    d->status);
		_exit(FATAL_STATUS);
	}
	if (a->ended && a->backlog == 0)
		return;
	a->ended = false;
	if (d->pid != 0)		/* else the keeper has said it */
		log_warnx("the recorder died; new flows are refused until it "
		    "is back");
	keeper_spawn(b, ROLE_RECORDER, 0);
}

/* Asks it to end. True: it has, and every record is acknowledged. */
bool
audit_end(struct broker *b)
{
	struct audit	*a = b->audit;

	a->ending = true;
	pump(a);
	return a->ended && a->chan == NULL && a->backlog == 0;
}
