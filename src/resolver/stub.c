/*
 * The engine that is our own: a stub resolver (RFC 1034, 5.3.1) that asks
 * recursive servers and caches nothing. One for each upstream.
 *
 * Each question has a socket, a port, an id and a spelling (0x20) of its own.
 * What does not repeat all of them is not an answer, and is waited past (RFC
 * 5452, 9.1): the right one may follow. An upstream that is silent for a while is
 * asked again; one that says no is not.
 *
 * Trusts: nothing that arrives.
 * Must not: believe a packet for what message.c does not find in it.
 */
#include "config.h"	/* _GNU_SOURCE */

#include <sys/random.h>
#include <sys/socket.h>

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "stub.h"

/* How long each try waits: together not more than RESOLVE_TIMEOUT. */
static const unsigned int	try_ms[] = { 500, 800, 1300, 2000, 2500, 2400 };
#define TRIES_MAX	(sizeof(try_ms) / sizeof(try_ms[0]))
/* The same for who has just refused another: its "no" may be lost. */
#define CURT_MS		250
/* Datagrams that are looked at before others have their turn. */
#define BATCH		16
#define DATAGRAM_MAX	4096	/* without EDNS none is longer than 512 */

struct stub {
	struct event_base	*base;
	const struct resolver_config *conf;
	unsigned int		 at;		/* the upstream's number */
	bool			 tls, by_stream;	/* never by UDP */
	struct stream		*stream;
	unsigned int		 active, active_max;
	struct inquiries	 waiting;	/* for sockets */
	struct event		*room;		/* there are some again */
};

static void	on_datagrams(int, short, void *);
static void	on_silence(int, short, void *);
static void	on_room(int, short, void *);

static void *
stub_open(struct event_base *base, const struct resolver_config *c,
    unsigned int at)
{
	struct stub	*s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->base = base;
	s->conf = c;
	s->at = at;
	s->tls = c->upstream[at].tls != 0;
	s->by_stream = s->tls || c->tcp != 0;
	s->active_max = s->by_stream ? RESOLVE_OPEN_MAX :
	    sockets_max() / c->nupstreams;
	TAILQ_INIT(&s->waiting);
	if ((s->room = event_new(base, -1, 0, on_room, s)) == NULL ||
	    (s->stream = stream_new(base, c, at)) == NULL)
		return NULL;
	if (s->tls && at == 0)
		stub_cipher->prepare(FD_CA_BUNDLE);
	return s;
}

static void
close_socket(struct inquiry *q)
{
	if (q->rd == NULL)
		return;
	event_free(q->rd);
	q->rd = NULL;
	fd_drop(&q->fd);
}

/* Everything that it has open is shut. */
static void
release(struct inquiry *q)
{
	struct stub	*s = q->stub;

	close_socket(q);
	if (q->stream != NULL)
		stream_forget(q);
	if (q->timer != NULL)
		event_free(q->timer);
	if (q->waiting)
		TAILQ_REMOVE(&s->waiting, q, entry);
	else
		s->active--;
	free(q);
	/* not from here: one that fails at once would come back to here */
	if (!TAILQ_EMPTY(&s->waiting))
		event_active(s->room, EV_TIMEOUT, 0);
}

static void
finish(struct inquiry *q, struct resolver_answer *a)
{
	struct attempt	*t = q->attempt;

	release(q);
	attempt_done(t, a);
}

/* The upstream will not answer this. */
static void
refuse(struct inquiry *q)
{
	struct resolver_answer	a;

	answer_failed(&a);
	finish(q, &a);
}

static int
open_socket(struct inquiry *q)
{
	q->fd = socket_udp(q->stub->conf, q->stub->at);
	if (q->fd == -1)
		return -1;
	q->rd = event_new(q->stub->base, q->fd, EV_READ | EV_PERSIST,
	    on_datagrams, q);
	if (q->rd != NULL && event_add(q->rd, NULL) == 0)
		return 0;
	if (q->rd != NULL)
		event_free(q->rd);
	q->rd = NULL;
	fd_drop(&q->fd);
	return -1;
}

/* -1: the upstream cannot be asked. */
static int
send_ask(struct inquiry *q)
{
	if (q->stub->by_stream)
		return stream_ask(q->stub->stream, q);
	if (q->rd == NULL && open_socket(q) == -1)
		return -1;
	return send(q->fd, q->ask, q->asklen, MSG_NOSIGNAL) ==
	    (ssize_t)q->asklen || errno == EAGAIN ? 0 : -1;
}

/* It has just refused a datagram, of this question or another. */
static bool
curt(const struct inquiry *q)
{
	return q->rd != NULL && alive_refuses(q->stub->at);
}

static void
wait_for_it(struct inquiry *q)
{
	unsigned int	ms = curt(q) ? CURT_MS : try_ms[q->tries - 1];
	struct timeval	tv = { .tv_sec = ms / 1000,
			    .tv_usec = ms % 1000 * 1000 };

	if (event_add(q->timer, &tv) == -1)
		fatalx("no memory for a timer");
}

static void
next(struct inquiry *q)
{
	/* what went by a stream got there: it is only waited for */
	if (q->tries == TRIES_MAX || (q->stream == NULL && send_ask(q) == -1)) {
		refuse(q);
		return;
	}
	q->tries++;
	wait_for_it(q);
}

static void
on_silence(int fd, short what, void *arg)
{
	struct inquiry	*q = arg;

	(void)fd;
	(void)what;
	if (curt(q))
		refuse(q);
	else
		next(q);
}

static void
judge(struct inquiry *q, const uint8_t *m, size_t len)
{
	struct resolver_answer	a;

	message_read(m, len, &q->attempt->name, q->attempt->qtype, &a);
	finish(q, &a);
}

/* The whole of it is asked for by TCP. */
static void
by_stream(struct inquiry *q)
{
	close_socket(q);
	wait_for_it(q);
	if (stream_ask(q->stub->stream, q) == -1)
		refuse(q);
}

/* False: the inquiry is gone, or nothing more is there. */
static bool
read_datagram(struct inquiry *q)
{
	uint8_t	buf[DATAGRAM_MAX];
	ssize_t	n = recv(q->fd, buf, sizeof(buf), 0);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n == -1) {			/* ICMP says that nobody is there */
		alive_refused(q->stub->at);
		refuse(q);
		return false;
	}
	alive_heard(q->stub->at);
	if (!message_fits(buf, (size_t)n, q->ask, q->asklen))
		return true;		/* a forger's, or an old one */
	if (message_cut(buf))
		by_stream(q);
	else
		judge(q, buf, (size_t)n);
	return false;
}

static void
on_datagrams(int fd, short what, void *arg)
{
	struct inquiry	*q = arg;
	int		 i;

	(void)fd;
	(void)what;
	for (i = 0; i < BATCH; i++)
		if (!read_datagram(q))
			return;
}

void
stub_heard(struct inquiry *q, const uint8_t *m, size_t len)
{
	alive_heard(q->stub->at);
	if (!message_fits(m, len, q->ask, q->asklen))
		refuse(q);
	else
		judge(q, m, len);
}

void
stub_unheard(struct inquiry *q, bool refused)
{
	if (refused)
		refuse(q);
	else
		next(q);
}

/* Over TLS nothing can be forged on the way, and some servers change the case. */
static void
spell(struct inquiry *q)
{
	uint8_t		caps[CAPS_BYTES] = { 0 };
	uint16_t	id;

	if (getrandom(&id, sizeof(id), 0) != sizeof(id) || (!q->stub->tls &&
	    getrandom(caps, sizeof(caps), 0) != sizeof(caps)))
		fatal("getrandom");
	q->asklen = message_ask(q->ask, id, &q->attempt->name,
	    q->attempt->qtype, caps);
}

static void
start(struct inquiry *q)
{
	q->stub->active++;
	spell(q);
	next(q);
}

static void
on_room(int fd, short what, void *arg)
{
	struct stub	*s = arg;
	struct inquiry	*q;

	(void)fd;
	(void)what;
	while (s->active < s->active_max &&
	    (q = TAILQ_FIRST(&s->waiting)) != NULL) {
		TAILQ_REMOVE(&s->waiting, q, entry);
		q->waiting = false;
		start(q);
	}
}

static void
stub_ask(void *state, struct attempt *t)
{
	struct stub	*s = state;
	struct inquiry	*q = calloc(1, sizeof(*q));

	if (q == NULL ||
	    (q->timer = event_new(s->base, -1, 0, on_silence, q)) == NULL)
		fatal("a question");
	q->stub = s;
	q->fd = -1;
	q->attempt = t;
	t->work = q;
	if (s->active < s->active_max) {
		start(q);
		return;
	}
	q->waiting = true;
	TAILQ_INSERT_TAIL(&s->waiting, q, entry);
}

static void
stub_drop(void *state, struct attempt *t)
{
	(void)state;
	release(t->work);
}

const struct engine	stub_engine = {
	"the stub", stub_open, stub_ask, stub_drop
};
