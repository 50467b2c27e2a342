/*
 * A SOCK_SEQPACKET channel on an event loop: datagrams in, a bounded queue out,
 * death on any fault. Knows nothing of what is in the messages.
 *
 * A callback may call chan_free(); nothing of the channel is touched afterwards.
 */
#ifndef SALLYPORT_CHAN_H
#define SALLYPORT_CHAN_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

struct chan;
struct event_base;

/*
 * The one event base of a room: no locks, no look at the environment. Fatal if
 * there is none.
 */
struct event_base *chan_base(void);

/*
 * The first message on fd 3, waited for: before it nobody has anything to do. As
 * fd_recv(); whoever started us may give up before it, which ends the process.
 */
ssize_t	chan_first(void *buf, size_t size, int *fd);

struct chan_ops {
	/* One datagram; the callee owns fd (-1 = none). */
	void	(*message)(void *arg, const void *buf, size_t len, int fd);
	/*
	 * An fd was lost because this process is at RLIMIT_NOFILE; the message
	 * is whole. NULL: treated as a fault.
	 */
	void	(*fd_lost)(void *arg, const void *buf, size_t len);
	/*
	 * The end, once: the peer is gone (why NULL), or broke the rules of the
	 * channel (why says how). The callee frees the channel.
	 */
	void	(*closed)(void *arg, const char *why);
	/* The queue is empty again and the socket writable; may be NULL. */
	void	(*writable)(void *arg);
};

enum chan_flag {
	CHAN_TAKES_FDS = 1 << 0,	/* else an fd is a fault */
};

/* Takes fd. queue_max: messages kept when the socket is full. NULL: no memory. */
struct chan *chan_new(struct event_base *, int fd, unsigned int flags,
	    size_t queue_max, const struct chan_ops *, void *arg);
void	chan_free(struct chan *);
int	chan_fd(const struct chan *);

/*
 * Sends now or queues. With fd != -1 a dup is kept while queued; the fd stays
 * the caller's. 0, or -1: the queue is full (ENOBUFS) or the peer is gone
 * (EPIPE, and closed() will be called from the loop).
 */
int	chan_send(struct chan *, const void *buf, size_t len, int fd);
/*
 * Sends now or not at all: -1 with EAGAIN leaves no copy, and writable() is
 * called when it is worth trying again; also -1 with ETOOMANYREFS, when it is not
 * the peer who has no room: this user's fds in flight are too many (unix(7)).
 */
int	chan_try(struct chan *, const void *buf, size_t len, int fd);
size_t	chan_queued(const struct chan *);
/*
 * Hands on everything that has arrived until now, outside of the loop. Not to be
 * called from a callback of this channel.
 */
void	chan_drain(struct chan *);
/* Stop and go on reading: the back-pressure of a flooded room. */
void	chan_pause(struct chan *, bool);

#endif
