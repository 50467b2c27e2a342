/*
 * The channel to the broker: what it may ask, and what it is told.
 *
 * Trusts: nothing but the table below; the broker talks to the street.
 * Must not: act on a name, a path or a number of the broker's. It may choose
 * among four roles, and one slot.
 */
#include <errno.h>
#include <string.h>

#include "keeperd.h"

#define HATCH_QUEUE	64
#define GATEWAY_MAC	{ 0x02, 0x53, 0x50, 0x00, 0x00, 0x01 }
#define GUEST_MAC	{ 0x02, 0x53, 0x50, 0x00, 0x00, 0x02 }

/* The command may go on: with CMD, or with saying that clients may come. */
static void
up(struct keeper *k)
{
	if (k->state != KEEPER_S_GREETED)
		return;
	k->state = KEEPER_S_READY;
	k->was_ready = true;
	life_deadline(k, 0);
	command_up(k);
}

static int
on_hello(void *arg, const void *msg, int fd)
{
	struct keeper		*k = arg;
	struct wire_hello	 hello;

	(void)fd;
	memcpy(&hello, msg, sizeof(hello));
	if (!wire_hello_ours(&hello)) {
		log_warnx("the broker is of another build; install all "
		    "programs of one build");
		return -1;
	}
	k->state = KEEPER_S_GREETED;
	hatch_guest(k);
	return 0;
}

/* Only these four are the broker's to ask for. */
static bool
known(const struct keeper_child *c)
{
	return c->head.id == 0 && c->pid == 0 &&
	    (c->role == ROLE_FRAME || c->role == ROLE_RECORDER ||
	    c->role == ROLE_RESOLVER || c->role == ROLE_INSPECTOR);
}

static int
on_spawn(void *arg, const void *msg, int fd)
{
	struct keeper_child	c;

	(void)fd;
	memcpy(&c, msg, sizeof(c));
	if (!known(&c) || child_running(arg, (enum role)c.role))
		return -1;
	child_want(arg, (enum role)c.role);
	return 0;
}

static int
on_kill(void *arg, const void *msg, int fd)
{
	struct keeper_child	c;

	(void)fd;
	memcpy(&c, msg, sizeof(c));
	if (!known(&c))
		return -1;
	child_kill(arg, (enum role)c.role);
	return 0;
}

/*
 * A tap's guest waits for READY: its record durable, its frame greeted. A stream's
 * client comes whenever it likes and waits in the socket, so the policy in force and
 * a log are enough to say that it may.
 */
static int
on_logging(void *arg, const void *msg, int fd)
{
	struct keeper	*k = arg;

	(void)msg;
	(void)fd;
	if (k->opt.kind == LINK_STREAM)
		up(k);
	return 0;
}

static int
on_ready(void *arg, const void *msg, int fd)
{
	(void)msg;
	(void)fd;
	up(arg);
	return 0;
}

static int
on_summary(void *arg, const void *msg, int fd)
{
	struct keeper	*k = arg;

	(void)fd;
	memcpy(&k->summary, msg, sizeof(k->summary));
	return 0;
}

#define S_LIVE	(KEEPER_S_GREETED | KEEPER_S_READY | KEEPER_S_STOPPING)

static const struct wire_rule rules[] = {
	{ KEEPER_HELLO, KEEPER_S_START, sizeof(struct wire_hello), false,
	    on_hello, 0 },
	{ KEEPER_SPAWN, S_LIVE, sizeof(struct keeper_child), false, on_spawn, 0 },
	{ KEEPER_KILL, S_LIVE, sizeof(struct keeper_child), false, on_kill, 0 },
	{ KEEPER_READY, S_LIVE, sizeof(struct wire_head), false, on_ready, 0 },
	{ KEEPER_LOGGING, S_LIVE, sizeof(struct wire_head), false, on_logging, 0 },
	{ KEEPER_SUMMARY, KEEPER_S_STOPPING, sizeof(struct keeper_summary),
	    false, on_summary, 0 },
};

static void
hatch_message(void *arg, const void *buf, size_t len, int fd)
{
	struct keeper	*k = arg;
	enum wire_fault	 fault;

	fault = wire_dispatch(rules, sizeof(rules) / sizeof(rules[0]),
	    k->state, k, buf, len, fd);
	if (fault == WIRE_OK)
		return;
	log_warnx("the broker broke the rules (%s); it is killed",
	    wire_fault_name(fault));
	chan_free(k->broker);
	k->broker = NULL;
	child_kill(k, ROLE_BROKER);
}

/* Its end is seen on its pidfd; if it only hung up, it is made to end. */
static void
hatch_closed(void *arg, const char *why)
{
	struct keeper	*k = arg;

	if (why != NULL)
		log_warnx("channel to the broker: %s", why);
	chan_free(k->broker);
	k->broker = NULL;
	if (k->state != KEEPER_S_STOPPING)
		child_kill(k, ROLE_BROKER);
}

static const struct chan_ops ops = {
	.message = hatch_message,
	.closed = hatch_closed,
};

int
hatch_open(struct keeper *k, int fd)
{
	k->broker = chan_new(k->base, fd, 0, HATCH_QUEUE, &ops, k);
	if (k->broker == NULL) {
		fd_drop(&fd);
		errno = ENOMEM;
		return -1;
	}
	return 0;
}

/* A broker that does not read sixty-four messages is as good as dead. */
static void
tell(struct keeper *k, const void *msg, size_t len, int fd)
{
	if (k->broker != NULL && chan_send(k->broker, msg, len, fd) == -1 &&
	    errno == ENOBUFS) {
		log_warnx("the broker does not listen; it is killed");
		child_kill(k, ROLE_BROKER);
	}
}

void
hatch_policy(struct keeper *k, int memfd, uint64_t len)
{
	struct keeper_policy	p;

	wire_begin(&p, sizeof(p), KEEPER_POLICY, 0);
	p.len = len;
	p.audit_mode = k->opt.durable;
	memcpy(p.tenant, k->opt.tenant, strlen(k->opt.tenant));
	p.host = k->opt.host;
	p.quiet = k->opt.quiet;
	p.who = k->opt.who;
	tell(k, &p, sizeof(p), memfd);
}

/* Once the broker has greeted and the link is there, in either order. */
void
hatch_guest(struct keeper *k)
{
	static const uint8_t	gateway[6] = GATEWAY_MAC, guest[6] = GUEST_MAC;
	struct keeper_guest	g;

	if (k->link.fd == -1 ||
	    (k->state & (KEEPER_S_GREETED | KEEPER_S_READY)) == 0)
		return;
	wire_begin(&g, sizeof(g), KEEPER_GUEST, 0);
	memcpy(g.name, k->opt.guest, strlen(k->opt.guest));
	g.kind = k->opt.kind;
	g.flags = k->link.flags;
	if (k->opt.trust_csum)
		g.flags |= LINK_TRUST_CSUM;
	g.mtu = k->opt.mtu;
	memcpy(g.gateway_mac, gateway, sizeof(gateway));
	if (k->opt.kind == LINK_TAP)	/* we gave it; a stream's is learnt */
		memcpy(g.guest_mac, guest, sizeof(guest));
	g.v4 = k->opt.v4;
	g.v6 = k->opt.v6;
	tell(k, &g, sizeof(g), -1);
}

void
hatch_child(struct keeper *k, enum role role, pid_t pid, int channel, int log)
{
	struct keeper_child	c;

	wire_begin(&c, sizeof(c), KEEPER_CHILD, 0);
	c.role = role;
	c.pid = (uint32_t)pid;
	tell(k, &c, sizeof(c), channel);
	c.head.type = KEEPER_CHILD_LOG;
	c.pid = 0;
	tell(k, &c, sizeof(c), log);
}

void
hatch_died(struct keeper *k, const struct keeper_died *d)
{
	tell(k, d, sizeof(*d), -1);
}

/* As the command tells it: the broker writes it down. */
void
hatch_law(struct keeper *k, const struct keeper_law *m)
{
	struct keeper_law	l = *m;

	wire_begin(&l.head, sizeof(l.head), KEEPER_LAW_GONE, 0);
	tell(k, &l, sizeof(l), -1);
}

void
hatch_host(struct keeper *k, const struct keeper_host *m)
{
	struct keeper_host	h = *m;

	wire_begin(&h.head, sizeof(h.head), KEEPER_HOST, 0);
	tell(k, &h, sizeof(h), -1);
}

void
hatch_stop(struct keeper *k)
{
	struct wire_head	stop;

	wire_begin(&stop, sizeof(stop), KEEPER_STOP, 0);
	tell(k, &stop, sizeof(stop), -1);
}
