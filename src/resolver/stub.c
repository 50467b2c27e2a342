/*
 * The engine that is our own: a stub resolver (RFC 1034, 5.3.1) that asks
 * recursive servers and caches nothing.
 *
 * Each question has a socket, a port, an id and a spelling (0x20) of its own.
 * What does not repeat all of them is not an answer, and is waited past (RFC
 * 5452, 9.1): the right one may follow. An upstream that is silent for a while is
 * asked again after the others; one that says no is not. Who answered last is
 * asked first.
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
	uint32_t		 n;
	bool			 tls;
	struct policy_upstream	 upstream[UPSTREAM_MAX];
	struct stream		*stream[UPSTREAM_MAX];
	unsigned int		 first;		/* who answered last */
	unsigned int		 active, active_max;
	struct inquiries	 waiting;	/* for sockets */
	struct event		*room;		/* there are some again */
};

static void	on_datagrams(int, short, void *);
static void	on_silence(int, short, void *);
static void	on_room(int, short, void *);

static void *
stub_open(struct event_base *base, const struct resolver_config *c)
{
	struct stub	*s = calloc(1, sizeof(*s));
	uint32_t	 i;

	if (s == NULL)
		fatal("the stub");
	s->base = base;
	s->n = c->nupstreams;
	s->tls = c->upstream[0].tls != 0;
	s->active_max = s->tls ? RESOLVE_OPEN_MAX : sockets_max() / s->n;
	TAILQ_INIT(&s->waiting);
	if ((s->room = event_new(base, -1, 0, on_room, s)) == NULL)
		fatal("the stub");
	memcpy(s->upstream, c->upstream, sizeof(s->upstream));
	for (i = 0; i < s->n; i++)
		if ((s->stream[i] = stream_new(base, &s->upstream[i])) == NULL)
			fatal("the stub");
	if (s->tls)
		stub_cipher->prepare(FD_CA_BUNDLE);
	return s;
}

static void
close_door(struct door *d)
{
	if (d->rd == NULL)
		return;
	event_free(d->rd);
	d->rd = NULL;
	fd_drop(&d->fd);
}

/* Everything that it has open is shut. */
static void
release(struct inquiry *q)
{
	struct stub	*s = q->stub;
	unsigned int	 i;

	for (i = 0; i < s->n; i++)
		close_door(&q->door[i]);
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
	struct question	*question = q->question;

	release(q);
	question_done(question, a);
}

static int
open_door(struct inquiry *q, struct door *d)
{
	d->inquiry = q;
	d->fd = socket_udp(&q->stub->upstream[q->at].addr);
	if (d->fd == -1)
		return -1;
	d->rd = event_new(q->stub->base, d->fd, EV_READ | EV_PERSIST,
	    on_datagrams, d);
	if (d->rd != NULL && event_add(d->rd, NULL) == 0)
		return 0;
	if (d->rd != NULL)
		event_free(d->rd);
	d->rd = NULL;
	fd_drop(&d->fd);
	return -1;
}

/* Asks upstream q->at. -1: it cannot be asked. */
static int
send_ask(struct inquiry *q)
{
	struct door	*d = &q->door[q->at];

	if (q->stub->tls)
		return stream_ask(q->stub->stream[q->at], q);
	if (d->rd == NULL && open_door(q, d) == -1)
		return -1;
	return send(d->fd, q->ask, q->asklen, MSG_NOSIGNAL) ==
	    (ssize_t)q->asklen || errno == EAGAIN ? 0 : -1;
}

/* Who is waited for has just refused a datagram, of this question or another. */
static bool
curt(const struct inquiry *q)
{
	return q->door[q->at].rd != NULL && refused_lately(q->door[q->at].fd);
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

/* The next upstream that has not said no; false: there is none, or no time. */
static bool
choose(struct inquiry *q)
{
	const struct stub	*s = q->stub;
	unsigned int		 i, at;

	for (i = 0; q->tries < TRIES_MAX && i < s->n; i++) {
		at = (q->at + 1 + i) % s->n;
		if (q->tries == 0)
			at = (s->first + i) % s->n;
		if ((q->refused >> at & 1) != 0)
			continue;
		q->at = at;
		q->tries++;
		return true;
	}
	return false;
}

static void
next(struct inquiry *q)
{
	struct resolver_answer	a;

	while (choose(q)) {
		/* what went by a stream got there: it is only waited for */
		if (q->stream == NULL || q->stream != q->stub->stream[q->at]) {
			if (q->stream != NULL)
				stream_forget(q);
			if (send_ask(q) == -1) {
				q->refused |= 1u << q->at;
				continue;
			}
		}
		wait_for_it(q);
		return;
	}
	answer_failed(&a);
	finish(q, &a);
}

/* Upstream `at` will not answer this; if it is waited for, on to another. */
static void
refuse(struct inquiry *q, unsigned int at)
{
	q->refused |= 1u << at;
	close_door(&q->door[at]);
	if (at == q->at)
		next(q);
}

static void
on_silence(int fd, short what, void *arg)
{
	struct inquiry	*q = arg;

	(void)fd;
	(void)what;
	if (curt(q))
		refuse(q, q->at);
	else
		next(q);
}

static void
judge(struct inquiry *q, unsigned int at, const uint8_t *m, size_t len)
{
	struct resolver_answer	a;

	message_read(m, len, &q->question->name, q->question->qtype, &a);
	if (a.status == RESOLVE_FAILED) {
		refuse(q, at);
		return;
	}
	q->stub->first = at;
	finish(q, &a);
}

/* The whole of it is asked for by TCP, at the same upstream. */
static void
by_stream(struct inquiry *q, unsigned int at)
{
	close_door(&q->door[at]);
	if (q->stream != NULL)
		stream_forget(q);
	q->at = at;
	wait_for_it(q);
	if (stream_ask(q->stub->stream[at], q) == -1)
		refuse(q, at);
}

/* False: the inquiry is gone, or nothing more is there. */
static bool
read_datagram(struct inquiry *q, unsigned int at)
{
	uint8_t	buf[DATAGRAM_MAX];
	ssize_t	n = recv(q->door[at].fd, buf, sizeof(buf), 0);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n == -1) {			/* ICMP says that nobody is there */
		refused_by(q->door[at].fd);
		refuse(q, at);
		return false;
	}
	refused_no_more(q->door[at].fd);
	if (!message_fits(buf, (size_t)n, q->ask, q->asklen))
		return true;		/* a forger's, or an old one */
	if (message_cut(buf))
		by_stream(q, at);
	else
		judge(q, at, buf, (size_t)n);
	return false;
}

static void
on_datagrams(int fd, short what, void *arg)
{
	struct door	*d = arg;
	struct inquiry	*q = d->inquiry;
	int		 i;

	(void)fd;
	(void)what;
	for (i = 0; i < BATCH; i++)
		if (!read_datagram(q, (unsigned int)(d - q->door)))
			return;
}

void
stub_heard(struct inquiry *q, const uint8_t *m, size_t len)
{
	if (!message_fits(m, len, q->ask, q->asklen))
		refuse(q, q->at);
	else
		judge(q, q->at, m, len);
}

void
stub_unheard(struct inquiry *q, bool refused)
{
	if (refused)
		q->refused |= 1u << q->at;
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
	q->asklen = message_ask(q->ask, id, &q->question->name,
	    q->question->qtype, caps);
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
stub_ask(void *state, struct question *question)
{
	struct stub	*s = state;
	struct inquiry	*q = calloc(1, sizeof(*q));

	if (q == NULL ||
	    (q->timer = event_new(s->base, -1, 0, on_silence, q)) == NULL)
		fatal("a question");
	q->stub = s;
	q->question = question;
	question->work = q;
	if (s->active < s->active_max) {
		start(q);
		return;
	}
	q->waiting = true;
	TAILQ_INSERT_TAIL(&s->waiting, q, entry);
}

static void
stub_drop(void *state, struct question *question)
{
	(void)state;
	release(question->work);
}

const struct engine	stub_engine = {
	"the stub", stub_open, stub_ask, stub_drop
};
