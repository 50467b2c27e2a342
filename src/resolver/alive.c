/*
 * What is known of each upstream: when something last came from there, that ICMP
 * said that nobody listens, that it was waited for in vain.
 *
 * Silence about one name says little: its zone's servers may be silent, and the
 * upstream waits for them itself. So it is asked for the root's servers, which it
 * knows by heart: whoever is there has something to say to that at once.
 *
 * A host says "nobody listens" once a second, after six at once (icmp(7),
 * icmp_ratelimit): most of many questions are not told. So one such word counts for
 * a while, for whatever else is sent there, until something comes from there.
 *
 * Trusts: the kernel, which believes only ICMP that quotes the socket's own ports.
 * Must not: read what answers a probe; that it came is all.
 */
#include "config.h"	/* _GNU_SOURCE */

#include <sys/random.h>
#include <sys/socket.h>

#include <errno.h>
#include <event2/event.h>
#include <string.h>

#include "fd.h"
#include "log.h"
#include "message.h"
#include "resolver.h"

#define REFUSES_MS	2000	/* longer than libunbound waits at first */
#define PROBE_MS	2000	/* an answer to a probe may take this long */
#define DUE_MS		5000	/* how often one that is down is tried */
#define PAUSE_MS	1000

struct life {
	struct event_base	*base;
	int64_t			 heard;		/* 0: never */
	int64_t			 refuses;	/* until then */
	int64_t			 tried;		/* by a probe, or else */
	int64_t			 down;		/* since then; 0: it is not */
	struct event		*probe;		/* NULL: none is on its way */
	int			 fd;
};

static struct life			life[UPSTREAM_MAX];
static const struct resolver_config	*conf;

void
alive_open(struct event_base *base, const struct resolver_config *c)
{
	unsigned int	i;

	conf = c;
	for (i = 0; i < UPSTREAM_MAX; i++)
		life[i] = (struct life){ .base = base, .fd = -1 };
}

/*
 * After a pause the network may have been away, and with it those who seem to be
 * down: they are asked at once.
 */
void
alive_heard(unsigned int at)
{
	int64_t		now = now_ms();
	bool		pause = now - life[at].heard > PAUSE_MS;
	unsigned int	i;

	life[at].heard = now;
	life[at].refuses = 0;
	life[at].down = 0;
	for (i = 0; pause && i < conf->nupstreams; i++)
		if (life[i].down != 0 && now - life[i].tried > PAUSE_MS)
			(void)alive_probe(i);
}

bool
alive_since(unsigned int at, int64_t when)
{
	return life[at].heard != 0 && life[at].heard >= when;
}

void
alive_refused(unsigned int at)
{
	life[at].refuses = now_ms() + REFUSES_MS;
	order_refused(at);
}

bool
alive_refuses(unsigned int at)
{
	return now_ms() < life[at].refuses;
}

void
alive_silent(unsigned int at)
{
	if (life[at].down == 0)
		life[at].down = life[at].tried = now_ms();
}

/* If nobody at all was heard since, it is the network that is down, and not this one. */
bool
alive_down(unsigned int at)
{
	unsigned int	i;

	for (i = 0; life[at].down != 0 && i < conf->nupstreams; i++)
		if (alive_since(i, life[at].down))
			return true;
	return false;
}

bool
alive_due(unsigned int at)
{
	int64_t	now = now_ms();

	if (life[at].down == 0 || now - life[at].tried < DUE_MS)
		return false;
	life[at].tried = now;
	return true;
}

static void
probe_over(struct life *l)
{
	event_free(l->probe);
	l->probe = NULL;
	fd_drop(&l->fd);
}

static void
on_probe(int fd, short what, void *arg)
{
	struct life	*l = arg;
	uint8_t		 byte;
	ssize_t		 n;
	unsigned int	 at = (unsigned int)(l - life);

	if ((what & EV_READ) != 0) {
		n = recv(fd, &byte, sizeof(byte), 0);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n == -1)
			alive_refused(at);
		else
			alive_heard(at);
	}
	probe_over(l);
}

bool
alive_probe(unsigned int at)
{
	static const struct timeval	wait = { .tv_sec = PROBE_MS / 1000 };
	struct life			*l = &life[at];
	uint8_t				 ask[MESSAGE_ASK_MAX];
	uint16_t			 id;
	size_t				 len;

	if (conf->upstream[at].tls != 0 || conf->tcp != 0)
		return false;
	l->tried = now_ms();
	if (l->probe != NULL)
		return true;
	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		fatal("getrandom");
	len = message_ask_root(ask, id);
	if ((l->fd = socket_udp(conf, at)) == -1)
		return true;
	l->probe = event_new(l->base, l->fd, EV_READ, on_probe, l);
	if (l->probe == NULL || event_add(l->probe, &wait) == -1)
		fatalx("no memory for a probe");
	(void)send(l->fd, ask, len, MSG_NOSIGNAL);
	return true;
}
