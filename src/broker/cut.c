/*
 * The end of a grant in the kernel. A frame that is taken over may say CLOSE and
 * keep its copy of the socket, which then nobody counts or can take back. So a
 * CLOSE is not believed: the fd is closed here with one registration left in
 * our epoll, set to a condition that holds for ever. If ours was the last copy,
 * the kernel removes the registration with the file and nothing is heard of it.
 * If it fires, there is another copy, and its frame is ended (epoll(7), Q6).
 *
 * Trusts: the kernel; that an honest frame closes before it says CLOSE.
 * Must not: send a FIN where an honest frame's guest sent a RST (shutdown(2) for
 * writing would), or dissolve a connection by connect(AF_UNSPEC), which a frame could
 * aim anew while it holds its copy.
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>

#include "broker.h"
#include "log.h"

/* The slot, marked with a bit that no pointer to a flow has. */
#define WIRE(slot)	((uint64_t)(slot) << 1 | 1)

static void
shut(const struct flow *f, int how)
{
	if (shutdown(f->fd, how) == -1 && errno != ENOTCONN)
		log_warn("shutdown: flow %llu", (unsigned long long)f->number);
}

/*
 * Until its frame is ended a kept copy may send no more than what the kernel does
 * not pace: ten segments in a connection's life, and one more.
 */
static void
slow_down(const struct flow *f)
{
	uint32_t	rate = 1;	/* byte per second */

	if (setsockopt(f->fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate,
	    sizeof(rate)) == -1)
		log_warn("pacing: flow %llu", (unsigned long long)f->number);
}

/* Its fd is on the way to the frame, which has given it up already. */
static void
cut_in_flight(const struct flow *f)
{
	struct sockaddr_storage	ss;
	socklen_t		len = endpoint_to_sockaddr(&f->h_src, &ss);

	shut(f, SHUT_RDWR);
	/* a datagram socket would go on receiving: now only from itself */
	if (f->proto != PROTO_TCP &&
	    connect(f->fd, (const struct sockaddr *)&ss, len) == -1)
		log_warn("connect: flow %llu", (unsigned long long)f->number);
}

/*
 * Before the last look at the counters. Not at once: the end is a RST, with the
 * last copy. Shut for reading only, a socket is for ever readable, which springs
 * the wire, and no packet is sent for it.
 */
void
cut_flow(const struct flow *f, bool at_once)
{
	if (answer_inflight(f->guest, f->id))
		cut_in_flight(f);
	else if (at_once || f->proto != PROTO_TCP)
		shut(f, SHUT_RDWR);
	else {
		shut(f, SHUT_RD);
		slow_down(f);
	}
}

/*
 * The frame says that it has closed its copy. To be called right before ours. False:
 * there is no wire. A registration that is there is changed without memory, so that
 * is a kernel that we do not know, and a frame that we cannot believe.
 */
bool
cut_wire(struct flow *f)
{
	struct epoll_event	ev = { .events = EPOLLIN | EPOLLONESHOT };

	if (answer_inflight(f->guest, f->id))
		return true;		/* cut_in_flight() has made it useless */
	ev.data.u64 = WIRE(f->guest->slot);
	if (epoll_ctl(f->guest->broker->watch, EPOLL_CTL_MOD, f->fd,
	    &ev) == -1)
		return false;
	f->watched = false;		/* the kernel removes it with the file */
	return true;
}

bool
cut_is_wire(const struct epoll_event *ev)
{
	return (ev->data.u64 & 1) != 0;
}

/* May end the frame, and with it every flow of the guest. */
void
cut_sprung(struct broker *b, const struct epoll_event *ev)
{
	struct guest	*g = b->guest[ev->data.u64 >> 1];

	if (g != NULL && g->state == GUEST_SERVED)
		guest_violation(g, "kept-copy");
}
