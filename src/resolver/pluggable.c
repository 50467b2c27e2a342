/*
 * The pluggable event base of unbound-event(3)'s header: each of its calls as the
 * one of libevent that does it.
 *
 * And one thing more. libunbound waits for an answer as long as its timer says,
 * and passes over the error that ICMP leaves on the socket: nobody listens there.
 * Here the error shortens the timer. Which timer is that? The order of the calls
 * says it: libunbound adds the socket, sends, and adds the timer of what it sent
 * (randomize_and_send_udp() in its outside_network.c). Where a socket is not
 * followed by a timer, there is no pair, and the wait is libunbound's own.
 *
 * Trusts: libunbound to keep to that header.
 * Must not: know a DNS message. What the header says is never called is fatal.
 */
#include "config.h"	/* _GNU_SOURCE */

#include <sys/socket.h>

#include <event2/event.h>
#include <stdlib.h>
#include <unbound-event.h>

#include "log.h"
#include "pluggable.h"
#include "resolver.h"

struct base {
	struct ub_event_base	 super;		/* first: it is cast */
	struct event_base	*base;
	unsigned int		 at;		/* the upstream's number */
};

struct item {
	struct ub_event		 super;		/* first: it is cast */
	const struct base	*base;
	struct event		*ev;
	short			 bits;		/* EV_* */
	void			(*call)(int, short, void *);
	void			*arg;
	struct item		*partner;	/* a UDP socket's timer; or its socket */
};

static struct item	*fresh;		/* the last call added this UDP socket */
static struct timeval	 curt;		/* a timer whose datagram was refused */

static short
to_event(short bits)
{
	return (short)((bits & UB_EV_TIMEOUT ? EV_TIMEOUT : 0) |
	    (bits & UB_EV_READ ? EV_READ : 0) |
	    (bits & UB_EV_WRITE ? EV_WRITE : 0) |
	    (bits & UB_EV_PERSIST ? EV_PERSIST : 0));
}

static void
part(struct item *item)
{
	fresh = NULL;
	if (item->partner == NULL)
		return;
	item->partner->partner = NULL;
	item->partner = NULL;
}

static void
shorten(struct item *timer)
{
	struct timeval	left, now;

	evutil_gettimeofday(&now, NULL);
	if (!event_pending(timer->ev, EV_TIMEOUT, &left))
		return;
	evutil_timersub(&left, &now, &left);
	if (evutil_timercmp(&left, &curt, >))
		event_add(timer->ev, &curt);
}

/* Of a socket that waits for an answer: is it one, or an error? */
static void
heed(const struct item *item, int fd)
{
	unsigned int	at = item->base->at;
	int		err = 0;
	socklen_t	len = sizeof(err);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1)
		return;
	if (err == 0) {
		alive_heard(at);
		return;
	}
	alive_refused(at);
	shorten(item->partner);
}

static void
on_event(int fd, short what, void *arg)
{
	struct item	*item = arg;

	if (item->partner != NULL && (what & EV_READ) != 0)
		heed(item, fd);
	if ((what & EV_TIMEOUT) != 0)
		part(item);
	item->call(fd, (short)((what & EV_TIMEOUT ? UB_EV_TIMEOUT : 0) |
	    (what & EV_READ ? UB_EV_READ : 0) |
	    (what & EV_WRITE ? UB_EV_WRITE : 0)), item->arg);
}

/* An event must not be pending while it is changed; the header promises it. */
static void
assign(struct item *item, int fd)
{
	part(item);
	event_del(item->ev);
	if (event_assign(item->ev, item->base->base, fd, item->bits, on_event,
	    item) == -1)
		fatalx("libevent refuses an event of libunbound's");
}

static void
add_bits(struct ub_event *e, short bits)
{
	struct item	*item = (struct item *)e;

	item->bits = (short)(item->bits | to_event(bits));
	assign(item, event_get_fd(item->ev));
}

static void
del_bits(struct ub_event *e, short bits)
{
	struct item	*item = (struct item *)e;

	item->bits = (short)(item->bits & ~to_event(bits));
	assign(item, event_get_fd(item->ev));
}

static void
set_fd(struct ub_event *e, int fd)
{
	assign((struct item *)e, fd);
}

static void
free_item(struct ub_event *e)
{
	struct item	*item = (struct item *)e;

	part(item);
	event_free(item->ev);
	free(item);
}

static int
add(struct ub_event *e, struct timeval *tv)
{
	struct item	*item = (struct item *)e;

	part(item);
	if (tv == NULL && item->bits == (EV_READ | EV_PERSIST))
		fresh = item;
	return event_add(item->ev, tv);
}

static int
del(struct ub_event *e)
{
	part((struct item *)e);
	return event_del(((struct item *)e)->ev);
}

static int
add_timer(struct ub_event *e, struct ub_event_base *base,
    void (*call)(int, short, void *), void *arg, struct timeval *tv)
{
	struct item	*item = (struct item *)e, *socket = fresh;

	item->base = (const struct base *)base;
	item->call = call;
	item->arg = arg;
	item->bits = EV_TIMEOUT;
	assign(item, -1);
	if (socket != NULL) {
		item->partner = socket;
		socket->partner = item;
	}
	if (socket != NULL && alive_refuses(item->base->at) &&
	    evutil_timercmp(tv, &curt, >))
		tv = &curt;
	return event_add(item->ev, tv);
}

static int
add_signal(struct ub_event *e, struct timeval *tv)
{
	(void)e;
	(void)tv;
	fatalx("libunbound asks for a signal");
}

static int
del_signal(struct ub_event *e)
{
	return add_signal(e, NULL);
}

static void
unregister(struct ub_event *e)
{
	add_signal(e, NULL);
}

static void
wouldblock(struct ub_event *e, int bit)
{
	(void)e;
	(void)bit;	/* means something on Windows only, and is called everywhere */
}

static struct ub_event_vmt	item_calls = {
	.add_bits = add_bits, .del_bits = del_bits, .set_fd = set_fd,
	.free = free_item, .add = add, .del = del, .add_timer = add_timer,
	.del_timer = del, .add_signal = add_signal, .del_signal = del_signal,
	.winsock_unregister_wsaevent = unregister,
	.winsock_tcp_wouldblock = wouldblock
};

static struct ub_event *
new_event(struct ub_event_base *base, int fd, short bits,
    void (*call)(int, short, void *), void *arg)
{
	struct item	*item = calloc(1, sizeof(*item));

	if (item == NULL)
		return NULL;
	item->super.magic = UB_EVENT_MAGIC;
	item->super.vmt = &item_calls;
	item->base = (const struct base *)base;
	item->call = call;
	item->arg = arg;
	item->bits = to_event(bits);
	item->ev = event_new(item->base->base, fd, item->bits, on_event, item);
	if (item->ev == NULL) {
		free(item);
		return NULL;
	}
	return &item->super;
}

static struct ub_event *
new_signal(struct ub_event_base *base, int fd, void (*call)(int, short, void *),
    void *arg)
{
	(void)base;
	(void)fd;
	(void)call;
	(void)arg;
	fatalx("libunbound asks for a signal");
}

static struct ub_event *
new_wsaevent(struct ub_event_base *base, void *wsaevent,
    void (*call)(int, short, void *), void *arg)
{
	(void)wsaevent;
	return new_signal(base, -1, call, arg);
}

static void
free_base(struct ub_event_base *base)
{
	(void)base;		/* it lives as long as the process */
}

static int
dispatch(struct ub_event_base *base)
{
	(void)base;
	fatalx("libunbound runs the loop");
}

static int
loopexit(struct ub_event_base *base, struct timeval *tv)
{
	(void)tv;
	return dispatch(base);
}

static struct ub_event_base_vmt	base_calls = {
	.free = free_base, .dispatch = dispatch, .loopexit = loopexit,
	.new_event = new_event, .new_signal = new_signal,
	.winsock_register_wsaevent = new_wsaevent
};

struct ub_event_base *
pluggable_base(struct event_base *base, unsigned int at,
    unsigned int refused_ms)
{
	struct base	*b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	curt.tv_usec = refused_ms * 1000;
	b->super.magic = UB_EVENT_MAGIC;
	b->super.vmt = &base_calls;
	b->base = base;
	b->at = at;
	return &b->super;
}
