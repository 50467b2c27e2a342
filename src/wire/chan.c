/*
 * A SEQPACKET channel on libevent. See include/chan.h.
 *
 * Trusts: nothing of the peer. Must not: block, grow without bound, or look into
 * a message. A callback may free the channel: it then dies after the callback.
 */
#include <sys/queue.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"
#include "fd.h"
#include "log.h"
#include "record.h"

/* Datagrams per turn: one busy peer must not starve the others. */
#define CHAN_BATCH	64
#define CHAN_BUF	WIRE_MAX
/*
 * ETOOMANYREFS: the fds in flight of all processes of this user are as many as
 * RLIMIT_NOFILE (unix(7)). The socket is writable all the same, so waiting for
 * that would spin.
 */
#define CHAN_LATER_US	50000

struct packet {
	STAILQ_ENTRY(packet)	entry;
	int			fd;
	size_t			len;
	unsigned char		data[];
};
static_assert(sizeof(struct record_named) <= CHAN_BUF, "the longest message fits");

struct chan {
	int			 fd;
	unsigned int		 flags;
	size_t			 queue_max, queued;
	STAILQ_HEAD(, packet)	 queue;
	struct event		*rd, *wr;
	struct event		*later;		/* too many fds are in flight */
	const struct chan_ops	*ops;
	void			*arg;
	bool			 paused;	/* not to be read */
	bool			 busy;		/* a callback is under way */
	bool			 dead;		/* freed inside it */
};

static void	chan_read(int, short, void *);
static void	chan_write(int, short, void *);
static void	chan_later(int, short, void *);

/*
 * A watch that cannot be set is a return code here, and whoever asked for it says
 * what became of it. libevent's own words would be one line for each.
 */
static void
chan_log(int severity, const char *msg)
{
	if (severity >= EVENT_LOG_ERR)
		log_warnx("libevent: %s", msg);
	else
		log_debug("libevent: %s", msg);
}

struct event_base *
chan_base(void)
{
	struct event_config	*config = event_config_new();
	struct event_base	*base;

	event_set_log_callback(chan_log);
	if (config == NULL || event_config_set_flag(config,
	    EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV) == -1 ||
	    (base = event_base_new_with_config(config)) == NULL)
		fatalx("libevent cannot start");
	event_config_free(config);
	return base;
}

ssize_t
chan_first(void *buf, size_t size, int *fd)
{
	struct pollfd	p = { .fd = FD_CHANNEL, .events = POLLIN };
	ssize_t		n;

	do {
		if (poll(&p, 1, -1) == -1 && errno != EINTR)
			fatal("poll");
		n = fd_recv(FD_CHANNEL, buf, size, fd, NULL);
	} while (n == -1 && (errno == EAGAIN || errno == EINTR));
	if (n == 0 || (n == -1 && errno == ECONNRESET))
		_exit(0);
	return n;
}

struct chan *
chan_new(struct event_base *base, int fd, unsigned int flags,
    size_t queue_max, const struct chan_ops *ops, void *arg)
{
	struct chan	*c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->fd = fd;
	c->flags = flags;
	c->queue_max = queue_max;
	c->ops = ops;
	c->arg = arg;
	STAILQ_INIT(&c->queue);
	c->rd = event_new(base, fd, EV_READ | EV_PERSIST, chan_read, c);
	c->wr = event_new(base, fd, EV_WRITE, chan_write, c);
	c->later = event_new(base, -1, 0, chan_later, c);
	if (c->rd == NULL || c->wr == NULL || c->later == NULL ||
	    event_add(c->rd, NULL) == -1) {
		c->fd = -1;	/* still the caller's */
		chan_free(c);
		return NULL;
	}
	return c;
}

static void
packet_pop(struct chan *c)
{
	struct packet	*p = STAILQ_FIRST(&c->queue);

	STAILQ_REMOVE_HEAD(&c->queue, entry);
	c->queued--;
	fd_drop(&p->fd);
	free(p);
}

void
chan_free(struct chan *c)
{
	if (c == NULL)
		return;
	if (c->rd != NULL)
		event_free(c->rd);
	if (c->wr != NULL)
		event_free(c->wr);
	if (c->later != NULL)
		event_free(c->later);
	c->rd = c->wr = c->later = NULL;
	while (!STAILQ_EMPTY(&c->queue))
		packet_pop(c);
	fd_drop(&c->fd);
	c->dead = true;
	if (!c->busy)
		free(c);
}

int
chan_fd(const struct chan *c)
{
	return c->fd;
}

size_t
chan_queued(const struct chan *c)
{
	return c->queued;
}

/* Waits for the socket; if there is no watch for that, for another try. */
static void
chan_watch(struct chan *c, struct event *e)
{
	struct timeval	tv = { .tv_usec = CHAN_LATER_US };

	if (event_add(e, NULL) == -1)
		event_add(c->later, &tv);
}

void
chan_pause(struct chan *c, bool pause)
{
	c->paused = pause;
	if (pause)
		event_del(c->rd);
	else
		chan_watch(c, c->rd);
}

/* Tells the owner once that it is over; the owner frees the channel. */
static void
chan_end(struct chan *c, const char *why)
{
	c->paused = true;
	event_del(c->rd);
	event_del(c->wr);
	event_del(c->later);
	c->ops->closed(c->arg, why);
}

/* The last send failed, and may succeed another time? Then there will be one. */
static bool
chan_retry(struct chan *c)
{
	struct timeval	tv = { .tv_usec = CHAN_LATER_US };

	if (errno == ETOOMANYREFS)
		event_add(c->later, &tv);
	else if (errno == EAGAIN || errno == EINTR)
		chan_watch(c, c->wr);
	else
		return false;
	return true;
}

static int
chan_enqueue(struct chan *c, const void *buf, size_t len, int fd)
{
	struct packet	*p;

	if (c->queued >= c->queue_max ||
	    (p = malloc(sizeof(*p) + len)) == NULL) {
		errno = ENOBUFS;
		return -1;
	}
	p->fd = -1;
	if (fd != -1 && (p->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)) == -1) {
		free(p);
		errno = ENOBUFS;
		return -1;
	}
	p->len = len;
	memcpy(p->data, buf, len);
	STAILQ_INSERT_TAIL(&c->queue, p, entry);
	c->queued++;
	return 0;
}

int
chan_send(struct chan *c, const void *buf, size_t len, int fd)
{
	if (!STAILQ_EMPTY(&c->queue))
		return chan_enqueue(c, buf, len, fd);
	if (fd_send(c->fd, buf, len, fd) == 0)
		return 0;
	if (chan_retry(c))
		return chan_enqueue(c, buf, len, fd);
	return -1;		/* the read side will see the end */
}

int
chan_try(struct chan *c, const void *buf, size_t len, int fd)
{
	int	why = EAGAIN;		/* chan_write() will call */

	if (STAILQ_EMPTY(&c->queue)) {
		if (fd_send(c->fd, buf, len, fd) == 0)
			return 0;
		if (errno == ETOOMANYREFS)
			why = errno;
		if (!chan_retry(c))
			return -1;
	}
	errno = why;
	return -1;
}

static void
chan_write(int fd, short what, void *arg)
{
	struct chan	*c = arg;
	struct packet	*p;

	(void)fd;
	(void)what;
	while ((p = STAILQ_FIRST(&c->queue)) != NULL) {
		if (fd_send(c->fd, p->data, p->len, p->fd) == -1) {
			chan_retry(c);
			return;
		}
		packet_pop(c);
	}
	if (c->ops->writable != NULL)
		c->ops->writable(c->arg);
}

/* Too many fds were in flight, or there was no watch. */
static void
chan_later(int fd, short what, void *arg)
{
	struct chan	*c = arg;

	if (!c->paused && !event_pending(c->rd, EV_READ, NULL))
		chan_watch(c, c->rd);
	chan_write(fd, what, c);
}

/* One datagram. False: nothing more to read, or the channel may be gone. */
static bool
chan_read_one(struct chan *c)
{
	unsigned char	buf[CHAN_BUF] __attribute__((aligned(8)));
	bool		takes = (c->flags & CHAN_TAKES_FDS) != 0;
	size_t		lost = 0;
	ssize_t		n;
	int		fd = -1;

	n = fd_recv(c->fd, buf, sizeof(buf), takes ? &fd : NULL, &lost);
	if (n > 0)
		c->ops->message(c->arg, buf, (size_t)n, fd);
	else if (n == 0)
		chan_end(c, NULL);
	else if (errno == EMFILE && c->ops->fd_lost != NULL)
		c->ops->fd_lost(c->arg, buf, lost);
	else if (errno == EAGAIN || errno == EINTR)
		return false;
	else if (errno == ECONNRESET)
		chan_end(c, NULL);
	else
		chan_end(c, errno == EBADMSG ? "bad datagram" :
		    strerror(errno));
	return n > 0 || (n == -1 && lost > 0);
}

/* At most `max` datagrams. */
static void
chan_read_some(struct chan *c, int max)
{
	c->busy = true;
	while (max-- > 0)
		if (!chan_read_one(c) || c->dead ||
		    !event_pending(c->rd, EV_READ, NULL))
			break;
	c->busy = false;
	if (c->dead)
		free(c);
}

static void
chan_read(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	chan_read_some(arg, CHAN_BATCH);
}

void
chan_drain(struct chan *c)
{
	if (!c->busy)
		chan_read_some(c, INT_MAX);
}
