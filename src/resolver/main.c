/*
 * sallyport-resolver LEVEL: typed questions of the broker in, typed answers out.
 *
 * fd 3 is the channel to the broker, fd 4 a bundle of CA certificates, fd 5
 * takes diagnostics. It takes its CONFIG, opens the engine, seals itself, and
 * then answers every question within RESOLVE_TIMEOUT, whatever upstreams do.
 *
 * Trusts: its fds; the broker for what it asks, not for form.
 * Must not: learn who asks or why; see a guest, a policy or the log.
 */
#include "config.h"	/* _GNU_SOURCE */

#include <sys/resource.h>

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"
#include "fd.h"
#include "log.h"
#include "resolver.h"
#include "seal.h"

/* Half a second of RESOLVE_TIMEOUT is for the way back. */
#define DEADLINE_MS	(RESOLVE_TIMEOUT * 1000 - 500)

struct resolver {
	struct event_base	*base;
	struct chan		*chan;
	struct questions	 open;		/* in the order of their deadlines */
	unsigned int		 nopen;
	struct event		*timer;		/* the first deadline */
};

/* question_done() is called by those who know no more than the question. */
static struct resolver	self;

void
answer_failed(struct resolver_answer *a)
{
	memset(a, 0, sizeof(*a));
	a->status = RESOLVE_FAILED;
}

static void
arm(struct resolver *r)
{
	struct question	*q = TAILQ_FIRST(&r->open);
	struct timeval	 tv = { 0, 0 };
	int64_t		 left;

	if (q == NULL || event_pending(r->timer, EV_TIMEOUT, NULL))
		return;		/* a timer that comes too early is set again */
	left = q->deadline - now_ms();
	if (left > 0) {
		tv.tv_sec = left / 1000;
		tv.tv_usec = left % 1000 * 1000;
	}
	event_add(r->timer, &tv);
}

void
question_done(struct question *q, struct resolver_answer *a)
{
	struct resolver	*r = &self;

	a->head.type = RESOLVER_ANSWER;
	a->head.zero = 0;
	a->head.id = q->id;
	TAILQ_REMOVE(&r->open, q, entry);
	r->nopen--;
	free(q);
	/* EPIPE: the read side will see the end */
	if (chan_send(r->chan, a, sizeof(*a), -1) == -1 && errno == ENOBUFS)
		fatalx("the broker takes no answers");
}

static void
on_deadline(int fd, short what, void *arg)
{
	struct resolver		*r = arg;
	struct resolver_answer	 a;
	struct question		*q;
	int64_t			 now = now_ms();

	(void)fd;
	(void)what;
	while ((q = TAILQ_FIRST(&r->open)) != NULL && q->deadline <= now) {
		order_drop(q);
		order_failed(q, &a);
		question_done(q, &a);
	}
	arm(r);
}

static int
on_ask(void *arg, const void *msg, int fd)
{
	const struct resolver_ask	*m = msg;
	struct resolver			*r = arg;
	struct question			*q;

	(void)fd;
	if (m->zero != 0 || (m->qtype != RESOLVE_A && m->qtype != RESOLVE_AAAA) ||
	    !name_valid(&m->name) || r->nopen == RESOLVE_OPEN_MAX)
		return -1;
	if ((q = calloc(1, sizeof(*q))) == NULL)
		fatal("a question");
	q->id = m->head.id;
	q->qtype = m->qtype;
	q->name = m->name;
	q->deadline = now_ms() + DEADLINE_MS;
	TAILQ_INSERT_TAIL(&r->open, q, entry);
	r->nopen++;
	arm(r);
	order_ask(q);
	return 0;
}

static const struct wire_rule	rules[] = {
	{ RESOLVER_ASK, 1, sizeof(struct resolver_ask), false, on_ask, 0 },
};

static void
on_message(void *arg, const void *buf, size_t len, int fd)
{
	enum wire_fault	fault;

	fault = wire_dispatch(rules, sizeof(rules) / sizeof(rules[0]), 1, arg,
	    buf, len, fd);
	if (fault != WIRE_OK)
		fatalx("a message of the broker: %s", wire_fault_name(fault));
}

/* Without the broker there is nobody to answer: what is open is dropped. */
static void
on_closed(void *arg, const char *why)
{
	(void)arg;
	if (why != NULL)
		fatalx("the broker's channel: %s", why);
	_exit(0);		/* nothing of libc's or a library's is left to be done */
}

static const struct chan_ops	ops = {
	.message = on_message, .closed = on_closed
};

static bool
upstream_valid(const struct policy_upstream *u, uint32_t scope)
{
	return endpoint_valid(&u->addr) && u->addr.family != ADDR_NONE &&
	    u->addr.port != 0 && u->tls <= 1 &&
	    (u->tls == 0 || name_valid(&u->name)) &&
	    (scope == 0 || (u->addr.family == ADDR_V6 &&
	    addr_is_link_local(&u->addr)));
}

static void
check_config(const struct resolver_config *c)
{
	uint32_t	i;

	if (c->head.type != RESOLVER_CONFIG || c->head.zero != 0 ||
	    c->dnssec > 1 || c->rotate > 1 || c->tcp > 1 || c->zero != 0 ||
	    c->patience > UPSTREAM_PATIENCE_MAX || c->nupstreams == 0 ||
	    c->nupstreams > UPSTREAM_MAX)
		fatalx("the broker's first message is no configuration");
	for (i = 0; i < c->nupstreams; i++)
		if (!upstream_valid(&c->upstream[i], c->scope[i]))
			fatalx("upstream %u is not well-formed", i + 1);
	for (i = 1; i < c->nupstreams; i++)
		if (c->upstream[i].tls != c->upstream[0].tls)
			fatalx("upstreams with and without tls: whoever blocks "
			    "the former gets plain questions; use one kind");
}

unsigned int
sockets_max(void)
{
	struct rlimit	rl;
	rlim_t		n = NOFILE;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		fatal("getrlimit");
	if (rl.rlim_max < n)
		n = rl.rlim_max;
	if (n <= 2 * NOFILE_OWN)	/* libunbound would get no socket */
		fatalx("the hard limit of open files is %u; %u is the least: "
		    "raise it", (unsigned int)n, 2 * NOFILE_OWN + 1);
	return (unsigned int)n - NOFILE_OWN;
}

static void
prepare(struct resolver *r)
{
	static struct resolver_config	c;	/* the engines keep it */
	const struct engine		*engine;

	TAILQ_INIT(&r->open);
	r->base = chan_base();
	if (chan_first(&c, sizeof(c), NULL) != (ssize_t)sizeof(c))
		fatalx("the broker's first message is no configuration");
	check_config(&c);
	engine = engine_for(&c);
	alive_open(r->base, &c);
	order_open(r->base, engine, &c);
	r->chan = chan_new(r->base, FD_CHANNEL, 0, RESOLVE_OPEN_MAX + 1, &ops, r);
	r->timer = event_new(r->base, -1, 0, on_deadline, r);
	if (r->chan == NULL || r->timer == NULL)
		fatalx("no memory for the channel");
	log_debug("asking by %s", engine->name);
	close(FD_CA_BUNDLE);
}

static void
greet(struct resolver *r)
{
	struct wire_hello	hello;

	wire_hello_begin(&hello, RESOLVER_HELLO);
	if (chan_send(r->chan, &hello, sizeof(hello), -1) == -1)
		fatal("greeting the broker");
}

int
main(int argc, char *argv[])
{
	if (log_init_child("sallyport-resolver", argc, argv) == -1 || argc != 2)
		fatalx("this program is started by sallyportd only");
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		fatal("signal");
	seal_check_fds(FD_LOG + 1, NULL, 0);
	prepare(&self);
	resolver_seal_self();
	greet(&self);
	if (event_base_dispatch(self.base) == -1)
		fatalx("libevent's loop failed");
	_exit(0);
}
