/*
 * A connection to an upstream that carries many questions at once (RFC 7766,
 * 6.2.1.1), over TLS if the upstream says so (RFC 7858). It is made when there is
 * something to ask, and closed when there has not been for a while.
 *
 * Trusts: nothing that arrives.
 * Must not: hold more bytes than the constants below; send a question before the
 * server's name is verified, where one is given.
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
#include "resolver.h"
#include "stub.h"

#define OPEN_MS		3000	/* to be connected, and verified */
#define STALL_MS	4000	/* something is asked, and not a byte came */
#define IDLE_MS		10000	/* nothing is asked: RFC 7766, 6.2.3 */
#define HOLD_MS		500	/* after a failure, before it is tried again */
#define IDS		65536
#define LENGTH		2	/* in front of each message: RFC 1035, 4.2.2 */
#define CHUNK		16384
/* Every open question twice (a try is not the last), with TLS's own share. */
#define OUT_MAX		(2u * RESOLVE_OPEN_MAX * (LENGTH + MESSAGE_ASK_MAX + 64))
#define IN_MAX		(LENGTH + 65535u + 2 * CHUNK)
#define READS		8	/* chunks, before others have their turn */

struct bytes {
	uint8_t		*at;
	size_t		 len, size;
};

enum state { CLOSED, CONNECTING, SHAKING, OPEN };

struct stream {
	struct event_base		*base;
	const struct resolver_config	*conf;
	const struct policy_upstream	*upstream;
	unsigned int			 at;		/* its number */
	enum state			 state;
	int				 fd;
	struct event			*rd, *wr, *timer;
	struct tls			*tls;
	struct bytes			 text;	/* for the cipher, once it is up */
	struct bytes			 out, in;
	struct inquiries		 asked;
	struct inquiry			**by_id;
	int64_t				 hold;	/* ms: not before */
	bool				 told;	/* that it fails */
};

static void	on_read(int, short, void *);
static void	on_write(int, short, void *);
static void	on_timer(int, short, void *);

static bool
bytes_add(struct bytes *b, const void *data, size_t len, size_t max)
{
	uint8_t	*more;
	size_t	 size = b->size == 0 ? CHUNK : b->size;

	if (len > max - b->len)
		return false;
	while (size < b->len + len)
		size *= 2;
	if (size != b->size) {
		if ((more = realloc(b->at, size)) == NULL)
			fatal("a connection's buffer");
		b->at = more;
		b->size = size;
	}
	memcpy(b->at + b->len, data, len);
	b->len += len;
	return true;
}

static void
bytes_take(struct bytes *b, size_t n)
{
	memmove(b->at, b->at + n, b->len - n);
	b->len -= n;
}

static void
bytes_free(struct bytes *b)
{
	free(b->at);
	memset(b, 0, sizeof(*b));
}

struct stream *
stream_new(struct event_base *base, const struct resolver_config *c,
    unsigned int at)
{
	struct stream	*s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->base = base;
	s->conf = c;
	s->at = at;
	s->upstream = &c->upstream[at];
	s->fd = -1;
	TAILQ_INIT(&s->asked);
	s->timer = event_new(base, -1, 0, on_timer, s);
	s->by_id = calloc(IDS, sizeof(*s->by_id));	/* pages when touched */
	return s->timer == NULL || s->by_id == NULL ? NULL : s;
}

static void
set_timer(struct stream *s, unsigned int ms)
{
	struct timeval	tv = { .tv_sec = ms / 1000,
			    .tv_usec = ms % 1000 * 1000 };

	if (event_add(s->timer, &tv) == -1)
		fatalx("no memory for a timer");
}

static void
shut(struct stream *s)
{
	event_del(s->timer);
	if (s->rd != NULL)
		event_free(s->rd);
	if (s->wr != NULL)
		event_free(s->wr);
	s->rd = s->wr = NULL;
	fd_drop(&s->fd);
	if (s->tls != NULL)
		stub_cipher->free(s->tls);
	s->tls = NULL;
	bytes_free(&s->text);
	bytes_free(&s->out);
	bytes_free(&s->in);
	s->state = CLOSED;
}

/*
 * The connection is gone, and who waits for it is told. `why`: it never was a
 * good one, or is one no more; NULL: the server ended it, as it may.
 */
static void
fail(struct stream *s, const char *why)
{
	struct inquiries	 left = TAILQ_HEAD_INITIALIZER(left);
	struct inquiry		*q;
	char			 text[ENDPOINT_STRLEN];

	if (why != NULL) {
		if (!s->told)
			log_warnx("upstream %s%s: %s",
			    endpoint_print(&s->upstream->addr, text),
			    s->upstream->tls ? " (tls)" : "", why);
		s->told = true;
		s->hold = now_ms() + HOLD_MS;
	}
	shut(s);
	TAILQ_CONCAT(&left, &s->asked, entry);
	TAILQ_FOREACH(q, &left, entry) {
		s->by_id[message_id(q->ask)] = NULL;
		q->stream = NULL;
	}
	while ((q = TAILQ_FIRST(&left)) != NULL) {
		TAILQ_REMOVE(&left, q, entry);
		stub_unheard(q, why != NULL);
	}
}

static bool
connect_it(struct stream *s)
{
	if (now_ms() < s->hold ||
	    (s->fd = socket_tcp(s->conf, s->at)) == -1)
		return false;
	s->rd = event_new(s->base, s->fd, EV_READ | EV_PERSIST, on_read, s);
	s->wr = event_new(s->base, s->fd, EV_WRITE, on_write, s);
	if (s->rd == NULL || s->wr == NULL || event_add(s->wr, NULL) == -1) {
		shut(s);
		return false;
	}
	s->state = CONNECTING;
	set_timer(s, OPEN_MS);
	return true;
}

/* What is to be sent, as far as the socket takes it. Fails by NULL or text. */
static bool
push(struct stream *s, const char **why)
{
	uint8_t	chunk[CHUNK];
	ssize_t	n;
	size_t	got;

	*why = NULL;
	if (s->tls != NULL) {
		if (s->state == OPEN && s->text.len > 0) {
			if (stub_cipher->write(s->tls, s->text.at,
			    s->text.len) == -1)
				return false;
			s->text.len = 0;
		}
		while ((got = stub_cipher->pull(s->tls, chunk,
		    sizeof(chunk))) > 0)
			if (!bytes_add(&s->out, chunk, got, OUT_MAX))
				return false;
	}
	while (s->out.len > 0) {
		n = send(s->fd, s->out.at, s->out.len, MSG_NOSIGNAL);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n == -1)
			return false;
		bytes_take(&s->out, (size_t)n);
	}
	if (s->out.len > 0)
		event_add(s->wr, NULL);
	return true;
}

/* From the last byte that came, or from the first question after a pause. */
static void
watch(struct stream *s)
{
	set_timer(s, TAILQ_EMPTY(&s->asked) ? IDLE_MS : STALL_MS);
}

static void
opened(struct stream *s)
{
	s->state = OPEN;
	s->told = false;
	watch(s);
}

static void
on_write(int fd, short what, void *arg)
{
	struct stream	*s = arg;
	const char	*why;
	int		 err = 0;
	socklen_t	 len = sizeof(err);

	(void)what;
	if (s->state == CONNECTING) {
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1 ||
		    err != 0) {
			fail(s, strerrordesc_np(err));
			return;
		}
		if (event_add(s->rd, NULL) == -1) {
			fail(s, "the host has no watch left for it");
			return;
		}
		if (s->upstream->tls) {
			s->tls = stub_cipher->start(&s->upstream->name);
			s->state = SHAKING;
		} else
			opened(s);
	}
	if (!push(s, &why))
		fail(s, why);
}

/* Where questions wait to be sent. */
static struct bytes *
outgoing(struct stream *s)
{
	return s->upstream->tls ? &s->text : &s->out;
}

static bool
set_id(struct stream *s, struct inquiry *q)
{
	uint16_t	id;
	int		i;

	/* at most one id in sixteen is in use */
	for (i = 0; i < 64; i++) {
		if (getrandom(&id, sizeof(id), 0) != sizeof(id))
			fatal("getrandom");
		if (s->by_id[id] != NULL)
			continue;
		message_set_id(q->ask, id);
		s->by_id[id] = q;
		return true;
	}
	return false;
}

int
stream_ask(struct stream *s, struct inquiry *q)
{
	uint8_t	length[LENGTH] = { (uint8_t)(q->asklen >> 8),
		    (uint8_t)q->asklen };
	bool	pause = TAILQ_EMPTY(&s->asked);

	if ((s->state == CLOSED && !connect_it(s)) ||
	    outgoing(s)->len + LENGTH + q->asklen > OUT_MAX || !set_id(s, q))
		return -1;
	bytes_add(outgoing(s), length, sizeof(length), OUT_MAX);
	bytes_add(outgoing(s), q->ask, q->asklen, OUT_MAX);
	TAILQ_INSERT_TAIL(&s->asked, q, entry);
	q->stream = s;
	/* not now: its end would come back to the caller */
	event_add(s->wr, NULL);
	if (s->state == OPEN && pause)
		watch(s);
	return 0;
}

void
stream_forget(struct inquiry *q)
{
	struct stream	*s = q->stream;

	s->by_id[message_id(q->ask)] = NULL;
	TAILQ_REMOVE(&s->asked, q, entry);
	q->stream = NULL;
}

/*
 * Every whole message that is there. An answer may lead to the end of everything
 * but this stream, and to a new question on it.
 */
static void
deliver(struct stream *s)
{
	struct inquiry	*q;
	size_t		 at = 0, len;

	while (s->in.len - at >= LENGTH) {
		len = (size_t)s->in.at[at] << 8 | s->in.at[at + 1];
		if (s->in.len - at - LENGTH < len)
			break;
		at += LENGTH;
		q = len < MESSAGE_HEAD ? NULL :
		    s->by_id[message_id(s->in.at + at)];
		if (q != NULL) {	/* else it was given up meanwhile */
			stream_forget(q);
			stub_heard(q, s->in.at + at, len);
		}
		at += len;
	}
	if (at > 0)
		bytes_take(&s->in, at);
}

/* Bytes from the street into messages. False: the end, and why. */
static bool
take(struct stream *s, const uint8_t *data, size_t len, const char **why)
{
	uint8_t	chunk[CHUNK];
	size_t	n;

	*why = NULL;
	if (s->tls == NULL) {
		if (!bytes_add(&s->in, data, len, IN_MAX))
			return false;
		deliver(s);
		return true;
	}
	if (stub_cipher->feed(s->tls, data, len, why) == -1)
		return false;
	if (s->state == SHAKING && stub_cipher->up(s->tls))
		opened(s);
	while ((n = stub_cipher->read(s->tls, chunk, sizeof(chunk))) > 0) {
		if (!bytes_add(&s->in, chunk, n, IN_MAX))
			return false;
		deliver(s);
	}
	return push(s, why);
}

static void
on_read(int fd, short what, void *arg)
{
	struct stream	*s = arg;
	uint8_t		 chunk[CHUNK];
	const char	*why;
	ssize_t		 n;
	int		 i;

	(void)what;
	for (i = 0; i < READS; i++) {
		n = recv(fd, chunk, sizeof(chunk), 0);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		why = s->state == SHAKING ? "it ends the TLS handshake" : NULL;
		if (n <= 0 || !take(s, chunk, (size_t)n, &why)) {
			fail(s, why);
			return;
		}
		if (s->state == OPEN)
			watch(s);
	}
}

static void
on_timer(int fd, short what, void *arg)
{
	struct stream	*s = arg;

	(void)fd;
	(void)what;
	if (s->state == CONNECTING)
		fail(s, "no connection in time");
	else if (s->state == SHAKING)
		fail(s, "no TLS handshake in time");
	else
		fail(s, NULL);
}
