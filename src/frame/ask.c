/*
 * The channel to the broker: what this room asks, and what it is told. The
 * other half of each call is the broker's answer.c.
 *
 * Trusts: the broker, but not with a message that makes no sense: two builds
 * that disagree must not go on. Must not: send an fd (the seal forbids it), reuse
 * an id, lose a CLOSE, or report a drop more than once per reason and second.
 */
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"
#include "fd.h"
#include "frame.h"
#include "log.h"
#include "wire.h"

enum ask_state { ASK_GREETED = 1 << 0, ASK_READY = 1 << 1 };

/*
 * ACKs and PONGs are answers, and a flow has one CLOSE; OPENs, RESOLVEs and
 * FLIGHTs are not queued here. So this is a bound on the broker's own messages, not on the guest's.
 */
#define QUEUE_MAX	(1 << 17)

static struct chan	*chan;
static enum ask_state	 state;
static uint64_t		 next_id = 1;	/* of OPENs and RESOLVEs alike */
static uint64_t		 drops[REASON_MAX];
static struct event	 drops_timer;

/* Queued if need be. A broker that is gone is seen on the read side. */
static void
send_sure(const void *m, size_t len)
{
	if (chan_send(chan, m, len, -1) == -1 && errno == ENOBUFS)
		fatalx("the broker does not read its channel");
}

static void
send_id(uint32_t type, uint64_t id)
{
	struct wire_id	m;

	wire_begin(&m, sizeof(m), type, id);
	send_sure(&m, sizeof(m));
}

/* ---- what the broker says ---- */

static int
told_config(void *room, const void *msg, int fd)
{
	struct wire_config	c;

	(void)room;
	(void)fd;
	memcpy(&c, msg, sizeof(c));
	state = ASK_READY;
	frame_configure(&c);
	return 0;
}

bool
ask_id_used(uint64_t id)
{
	return id != 0 && id < next_id;
}

/*
 * The flow, or NULL for one that we have closed; an id that is foreign or a
 * question's is a violation.
 */
static int
find(const void *msg, struct flow **f)
{
	struct wire_head	head;

	memcpy(&head, msg, sizeof(head));
	*f = flow_by_id(head.id);
	return *f != NULL ||
	    (ask_id_used(head.id) && !dns_outstanding(head.id)) ? 0 : -1;
}

/* Has the broker still to grant or to deny it? */
static bool
is_asked(const struct flow *f)
{
	return f->state == FLOW_ASKED || f->state == FLOW_PEEKED;
}

/*
 * After a PEEK a grant says what the broker has written: all of the flight; or, if
 * it goes on without one, nothing.
 */
static bool
may_grant(const struct flow *f, uint64_t written)
{
	if (f->state == FLOW_ASKED || (f->state == FLOW_PEEKED && f->lenient &&
	    written == 0))
		return written == 0;
	return f->state == FLOW_PEEKED && f->flight > 0 &&
	    written == f->flight;
}

static int
told_grant(void *room, const void *msg, int fd)
{
	struct wire_grant	 m;
	struct flow		*f;

	(void)room;
	memcpy(&m, msg, sizeof(m));
	send_id(WIRE_ACK, m.head.id);
	if (find(msg, &f) == -1 || (f != NULL && !may_grant(f, m.written))) {
		close(fd);
		return -1;
	}
	if (f == NULL) {
		close(fd);	/* our CLOSE crossed it */
		return 0;
	}
	f->state = FLOW_OPEN;
	f->fd = fd;
	f->flight = (uint32_t)m.written;
	f->ops->granted(f, fd);
	return 0;
}

static int
told_peek(void *room, const void *msg, int fd)
{
	struct wire_peek	 m;
	struct flow		*f;

	(void)room;
	(void)fd;
	memcpy(&m, msg, sizeof(m));
	if (find(msg, &f) == -1 || m.lenient > 1 ||
	    m.kind < PEEK_TLS || m.kind > PEEK_EITHER ||
	    (f != NULL && (f->state != FLOW_ASKED || f->ops->peeked == NULL)))
		return -1;
	if (f == NULL)
		return 0;
	f->state = FLOW_PEEKED;
	f->lenient = m.lenient != 0;
	f->ops->peeked(f, (enum peek_kind)m.kind);
	return 0;
}

static int
told_answer(void *room, const void *msg, int fd)
{
	struct wire_answer	m;

	(void)room;
	(void)fd;
	memcpy(&m, msg, sizeof(m));
	if (!ask_id_used(m.head.id) || flow_by_id(m.head.id) != NULL)
		return -1;
	return dns_answered(&m);
}

static int
told_deny(void *room, const void *msg, int fd)
{
	struct wire_deny	 m;
	struct flow		*f;

	(void)room;
	(void)fd;
	memcpy(&m, msg, sizeof(m));
	if (find(msg, &f) == -1 || (f != NULL && !is_asked(f)) ||
	    m.code < DENY_RESET || m.code > DENY_SILENT)
		return -1;
	if (f == NULL)
		return 0;
	flow_forget(f);
	f->ops->denied(f, (enum deny_code)m.code);
	return 0;
}

static int
told_revoke(void *room, const void *msg, int fd)
{
	struct flow	*f;

	(void)room;
	(void)fd;
	if (find(msg, &f) == -1 || (f != NULL && f->state != FLOW_OPEN))
		return -1;
	if (f != NULL)
		f->ops->revoked(f);
	return 0;
}

static int
told_ping(void *room, const void *msg, int fd)
{
	struct wire_head	head;

	(void)room;
	(void)fd;
	memcpy(&head, msg, sizeof(head));
	send_id(WIRE_PONG, head.id);
	return 0;
}

static const struct wire_rule rules[] = {
	{ WIRE_CONFIG, ASK_GREETED, sizeof(struct wire_config), false,
	    told_config, 0 },
	{ WIRE_GRANT, ASK_READY, sizeof(struct wire_grant), true, told_grant, 0 },
	{ WIRE_DENY, ASK_READY, sizeof(struct wire_deny), false, told_deny, 0 },
	{ WIRE_REVOKE, ASK_READY, sizeof(struct wire_revoke), false,
	    told_revoke, 0 },
	{ WIRE_PEEK, ASK_READY, sizeof(struct wire_peek), false, told_peek, 0 },
	{ WIRE_ANSWER, ASK_READY, sizeof(struct wire_answer), false,
	    told_answer, 0 },
	{ WIRE_PING, ASK_GREETED | ASK_READY, sizeof(struct wire_id), false,
	    told_ping, 0 },
};

static void
on_message(void *arg, const void *buf, size_t len, int fd)
{
	enum wire_fault	fault;

	(void)arg;
	frame_clock();
	fault = wire_dispatch(rules, sizeof(rules) / sizeof(rules[0]), state,
	    NULL, buf, len, fd);
	if (fault != WIRE_OK)
		fatalx("the broker's message makes no sense: %s",
		    wire_fault_name(fault));
}

/* A GRANT whose fd did not fit into our table (RLIMIT_NOFILE). */
static void
on_fd_lost(void *arg, const void *buf, size_t len)
{
	struct wire_head	 head;
	struct flow		*f;

	(void)arg;
	frame_clock();
	if (len != sizeof(struct wire_grant))
		fatalx("an fd was lost, and not a grant's");
	memcpy(&head, buf, sizeof(head));
	send_id(WIRE_ACK, head.id);
	f = flow_by_id(head.id);
	if (f == NULL || !is_asked(f))
		return;
	log_warnx("no room for another fd: a flow is given up");
	f->state = FLOW_OPEN;
	f->ops->lost(f);
}

static void
on_closed(void *arg, const char *why)
{
	(void)arg;
	if (why != NULL)
		log_warnx("channel to the broker: %s", why);
	_exit(why == NULL ? FRAME_EXIT_DONE : FATAL_STATUS);
}

static void
on_writable(void *arg)
{
	(void)arg;
	frame_clock();
	dns_channel_writable();
	tcp_channel_writable();
	flow_channel_writable();
}

void
ask_drain(void)
{
	chan_drain(chan);
}

/* ---- what we say ---- */

/* An id is spent when its message is out: they rise one by one on the channel. */
static uint64_t
try_new(const void *m, size_t len)
{
	return chan_try(chan, m, len, -1) == 0 ? next_id++ : 0;
}

uint64_t
ask_open(const struct flow *f)
{
	struct wire_open	m;

	wire_begin(&m, sizeof(m), WIRE_OPEN, next_id);
	m.proto = f->key.proto;
	m.guest = f->key.guest;
	m.dst = f->key.dst;
	return try_new(&m, sizeof(m));
}

uint64_t
ask_resolve(uint16_t qtype, const struct name *name)
{
	struct wire_resolve	m;

	wire_begin(&m, sizeof(m), WIRE_RESOLVE, next_id);
	m.qtype = qtype;
	m.name = *name;
	return try_new(&m, sizeof(m));
}

int
ask_flight(const struct flow *f, const uint8_t *bytes, uint32_t len)
{
	static struct {
		struct wire_flight	m;
		uint8_t			bytes[WIRE_FLIGHT_MAX];
	} out;
	struct wire_id	mute;

	if (len == 0) {
		wire_begin(&mute, sizeof(mute), WIRE_MUTE, f->id);
		return chan_try(chan, &mute, sizeof(mute), -1);
	}
	wire_begin(&out.m, sizeof(out.m), WIRE_FLIGHT, f->id);
	out.m.len = len;
	memcpy(out.bytes, bytes, len);
	return chan_try(chan, &out, sizeof(out.m) + len, -1);
}

void
ask_close(const struct flow *f, enum wire_how how, enum reason reason)
{
	struct wire_close	m;

	wire_begin(&m, sizeof(m), WIRE_CLOSE, f->id);
	m.how = how;
	m.reason = reason;
	m.up = f->up;
	m.down = f->down;
	m.pup = f->pup;
	m.pdown = f->pdown;
	send_sure(&m, sizeof(m));
}

static void
drops_start(void)
{
	struct timeval	tv = { 1, 0 };

	if (!evtimer_pending(&drops_timer, NULL))
		evtimer_add(&drops_timer, &tv);
}

void
ask_drop(enum reason reason)
{
	if (!reason_from_frame_drop(reason))
		return;
	drops[reason]++;
	drops_start();
}

static void
on_drops(int fd, short what, void *arg)
{
	struct wire_drops	m;
	unsigned int		r;

	(void)fd;
	(void)what;
	(void)arg;
	frame_clock();
	for (r = 0; r < REASON_MAX; r++) {
		if (drops[r] == 0)
			continue;
		wire_begin(&m, sizeof(m), WIRE_DROPS, 0);
		m.reason = r;
		m.n = drops[r];
		if (chan_try(chan, &m, sizeof(m), -1) == 0)
			drops[r] = 0;
		else
			drops_start();
	}
}

void
ask_init(void)
{
	static const struct chan_ops ops = {
		.message = on_message,
		.fd_lost = on_fd_lost,
		.closed = on_closed,
		.writable = on_writable,
	};
	struct wire_hello	m;

	chan = chan_new(frame.base, FD_CHANNEL, CHAN_TAKES_FDS, QUEUE_MAX,
	    &ops, NULL);
	if (chan == NULL)
		fatal("channel to the broker");
	evtimer_assign(&drops_timer, frame.base, on_drops, NULL);
	wire_hello_begin(&m, WIRE_HELLO);
	if (chan_send(chan, &m, sizeof(m), -1) == -1)
		fatal("channel to the broker");
	state = ASK_GREETED;
}
