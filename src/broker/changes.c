/*
 * The host's network changes: addresses, routes, rules, links. What somebody else's
 * address was may be this host's own now, so each change begins a new epoch (what
 * was judged before is judged again at its grant) and a round: each live flow is
 * looked at, and what reaches the host itself is taken back.
 *
 * A host may learn of thousands of routes in a second, and guests may have as many
 * flows. So a round does not hold up the loop, a change that comes during one waits
 * for its end, and a round is followed by a pause many times as long as the round.
 * In round and pause nothing is read of what changes: the kernel drops it cheaply,
 * and says that it did.
 *
 * A rule that ends is a change like them (expiry.c).
 *
 * Trusts: the kernel. Must not: miss a change; which one it was does not matter.
 */
#include <sys/socket.h>

#include <errno.h>
#include <event2/event.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker.h"
#include "fd.h"
#include "log.h"

#define GROUP(g)	(UINT32_C(1) << ((g) - 1))
#define TURN		(2 * SEC / 1000)	/* of a round, without a break */
#define TURN_STEP	16u	/* flows between two looks at the clock */
#define DRAIN_MAX	512u	/* reads; more than the socket holds */
#define PAUSE_MIN	(2 * SEC / 1000)
#define PAUSE_MAX	SEC
#define PAUSE_TIMES	19u	/* a round: a twentieth of the time at most */

struct changes {
	struct broker	*broker;
	int		 fd;
	struct event	*listing;	/* addresses: locals.c reads them */
	struct event	*heard;		/* of the rest; only where one may begin */
	struct event	*turn;		/* pending: in a round, or in its pause */
	bool		 stale;		/* something changed since the round began */
	bool		 walking;	/* a round is under way, and no pause */
	uint64_t	 spent;		/* on it, and on hearing of it; ns */
};

static void
look_at(struct flow *f)
{
	if (f->state == FLOW_REVOKED)
		return;
	if (!host_clear(f))
		ledger_revoke(f, REASON_FLOOR_LOCAL);
	else if (ledger_expired(f))
		ledger_revoke(f, REASON_RULE_EXPIRED);
}

/* True: all flows have been looked at. */
static bool
walk(struct broker *b, uint64_t until)
{
	struct flow	*f;
	unsigned int	 n;

	for (n = 1; (f = TAILQ_FIRST(&b->walk)) != NULL &&
	    f->walked != b->round; n++) {
		if (n % TURN_STEP == 0 && mono_now() >= until)
			return false;
		f->walked = b->round;
		TAILQ_REMOVE(&b->walk, f, walk);
		TAILQ_INSERT_TAIL(&b->walk, f, walk);
		look_at(f);
	}
	return true;
}

static void
wait_for(struct changes *c, uint64_t ns)
{
	struct timeval	tv = { .tv_sec = (time_t)(ns / SEC),
			    .tv_usec = (suseconds_t)(ns % SEC / 1000) };

	if (event_add(c->turn, &tv) == -1)
		fatalx("libevent has no memory");
}

/* A turn of the round; what follows it is another one, or the pause. */
static void
go_on(struct changes *c)
{
	uint64_t	begun = mono_now();
	uint64_t	pause;

	c->walking = !walk(c->broker, begun + TURN);
	c->spent += mono_now() - begun;
	pause = c->spent * PAUSE_TIMES;
	wait_for(c, c->walking ? 0 : pause < PAUSE_MIN ? PAUSE_MIN :
	    pause > PAUSE_MAX ? PAUSE_MAX : pause);
}

static void
begin(struct changes *c, uint64_t spent)
{
	c->stale = false;
	c->spent = spent;
	c->broker->epoch++;
	c->broker->round++;
	event_del(c->heard);
	go_on(c);
}

static void
changed(struct changes *c, uint64_t spent)
{
	c->stale = true;
	if (!event_pending(c->turn, EV_TIMEOUT, NULL))
		begin(c, spent);
}

void
changes_look(struct changes *c)
{
	changed(c, 0);
}

/*
 * Which ones they are does not matter, nor does how much of each is read. False:
 * there are none.
 */
static bool
drain(struct changes *c, uint64_t *spent)
{
	char		buf[64];
	uint64_t	begun = mono_now();
	unsigned int	n = 0;

	while (n < DRAIN_MAX && (read(c->fd, buf, sizeof(buf)) > 0 ||
	    errno == ENOBUFS))
		n++;
	*spent = mono_now() - begun;
	return n > 0;
}

static void
on_turn(int fd, short what, void *arg)
{
	struct changes	*c = arg;
	uint64_t	 spent;

	(void)fd;
	(void)what;
	if (c->walking)
		go_on(c);
	else if (drain(c, &spent) || c->stale)
		begin(c, spent);
	else if (event_add(c->heard, NULL) == -1)
		fatalx("libevent has no memory");
}

static void
on_heard(int fd, short what, void *arg)
{
	uint64_t	spent;

	(void)fd;
	(void)what;
	if (drain(arg, &spent))
		changed(arg, spent);
}

static void
on_listing(int fd, short what, void *arg)
{
	struct changes	*c = arg;

	(void)fd;
	(void)what;
	if (locals_read(c->broker->locals))
		changed(c, 0);
}

static int
subscribe(void)
{
	struct sockaddr_nl	sa = { .nl_family = AF_NETLINK,
				    .nl_groups = RTMGRP_LINK |
				    RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE |
				    RTMGRP_IPV4_RULE |
				    GROUP(RTNLGRP_IPV6_RULE) };
	int			fd;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    NETLINK_ROUTE);
	if (fd != -1 &&
	    bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) == -1)
		fd_drop(&fd);
	return fd;
}

struct changes *
changes_new(struct broker *b)
{
	struct changes	*c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->broker = b;
	if ((c->fd = subscribe()) == -1) {
		free(c);
		return NULL;
	}
	c->listing = event_new(b->base, locals_fd(b->locals),
	    EV_READ | EV_PERSIST, on_listing, c);
	c->heard = event_new(b->base, c->fd, EV_READ | EV_PERSIST, on_heard, c);
	c->turn = event_new(b->base, -1, 0, on_turn, c);
	if (c->listing == NULL || c->heard == NULL || c->turn == NULL ||
	    event_add(c->listing, NULL) == -1 ||
	    event_add(c->heard, NULL) == -1)
		fatalx("libevent has no memory");
	return c;
}

void
changes_free(struct changes *c)
{
	event_free(c->listing);
	event_free(c->heard);
	event_free(c->turn);
	fd_drop(&c->fd);
	free(c);
}
