/* The channel: order, bounds, ends, and freeing inside a callback. */
#include <sys/socket.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "unit.h"

#include "chan.h"
#include "fd.h"

struct peer {
	struct chan	*chan;
	unsigned int	 messages, ends, writables;
	uint32_t	 last;
	bool		 in_order, free_on_message;
	const char	*why;
	int		 fd;
};

static struct event_base	*base;

static void
on_message(void *arg, const void *buf, size_t len, int fd)
{
	struct peer	*p = arg;
	uint32_t	 n;

	if (len >= sizeof(n)) {
		memcpy(&n, buf, sizeof(n));
		if (n != p->last + 1)
			p->in_order = false;
		p->last = n;
	}
	p->messages++;
	if (fd != -1) {
		fd_drop(&p->fd);
		p->fd = fd;
	}
	if (p->free_on_message) {
		chan_free(p->chan);
		p->chan = NULL;
	}
}

static void
on_closed(void *arg, const char *why)
{
	struct peer	*p = arg;

	p->ends++;
	p->why = why;
	chan_free(p->chan);
	p->chan = NULL;
}

static void
on_writable(void *arg)
{
	((struct peer *)arg)->writables++;
}

static const struct chan_ops	ops = {
	.message = on_message, .closed = on_closed, .writable = on_writable,
};

static int
connect_peers(struct peer *a, struct peer *b, unsigned int flags)
{
	int	pair[2];

	memset(a, 0, sizeof(*a));
	memset(b, 0, sizeof(*b));
	a->in_order = b->in_order = true;
	a->fd = b->fd = -1;
	base = event_base_new();
	assert_non_null(base);
	assert_int_equal(fd_channel(pair), 0);
	a->chan = chan_new(base, pair[0], 0, 1000, &ops, a);
	b->chan = chan_new(base, pair[1], flags, 1000, &ops, b);
	assert_non_null(a->chan);
	assert_non_null(b->chan);
	return 0;
}

static void
done(struct peer *a, struct peer *b)
{
	chan_free(a->chan);
	chan_free(b->chan);
	fd_drop(&b->fd);
	event_base_free(base);
}

static void
turn(void)
{
	int	i;

	for (i = 0; i < 50; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

/* More than a socket holds: the rest queues and arrives in order. */
static void
order_and_queue(void **state)
{
	struct peer	a, b;
	uint32_t	n;
	unsigned int	sent = 0;

	(void)state;
	connect_peers(&a, &b, 0);
	for (n = 1; n <= 5000; n++)
		if (chan_send(a.chan, &n, sizeof(n), -1) == -1)
			break;
		else
			sent++;
	assert_true(sent >= 1000 && sent < 5000);	/* bounded */
	assert_int_equal(errno, ENOBUFS);
	assert_int_equal(chan_queued(a.chan), 1000);
	turn();
	assert_int_equal(b.messages, sent);
	assert_true(b.in_order);
	assert_int_equal(chan_queued(a.chan), 0);
	assert_true(a.writables > 0);
	done(&a, &b);
}

static void
try_keeps_nothing(void **state)
{
	struct peer	a, b;
	uint32_t	n;
	int		r = 0;

	(void)state;
	connect_peers(&a, &b, 0);
	for (n = 1; n < 100000 && r == 0; n++)
		r = chan_try(a.chan, &n, sizeof(n), -1);
	assert_int_equal(r, -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(chan_queued(a.chan), 0);
	turn();
	assert_true(a.writables > 0);
	done(&a, &b);
}

static void
queued_fd(void **state)
{
	struct peer	a, b;
	uint32_t	n;
	int		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	connect_peers(&a, &b, CHAN_TAKES_FDS);
	for (n = 1; chan_queued(a.chan) == 0; n++)
		assert_int_equal(chan_send(a.chan, &n, sizeof(n), -1), 0);
	assert_int_equal(chan_send(a.chan, &n, sizeof(n), fd), 0);
	close(fd);		/* the queue holds its own */
	turn();
	assert_int_equal(b.messages, n);
	assert_true(b.in_order);
	assert_true(b.fd > 2);
	assert_int_equal(fcntl(b.fd, F_GETFD), FD_CLOEXEC);
	done(&a, &b);
}

static void
fd_is_a_fault(void **state)
{
	struct peer	a, b;
	uint32_t	n = 1;

	(void)state;
	connect_peers(&a, &b, 0);
	assert_int_equal(chan_send(a.chan, &n, sizeof(n), 0), 0);
	turn();
	assert_int_equal(b.messages, 0);
	assert_int_equal(b.ends, 1);
	assert_string_equal(b.why, "bad datagram");
	assert_int_equal(a.ends, 1);		/* sees us gone */
	assert_null(a.why);
	done(&a, &b);
}

static void
freed_in_callback(void **state)
{
	struct peer	a, b;
	uint32_t	n;

	(void)state;
	connect_peers(&a, &b, 0);
	b.free_on_message = true;
	for (n = 1; n <= 10; n++)
		assert_int_equal(chan_send(a.chan, &n, sizeof(n), -1), 0);
	turn();
	assert_int_equal(b.messages, 1);
	assert_int_equal(b.ends, 0);
	assert_int_equal(a.ends, 1);
	done(&a, &b);
}

static void
paused(void **state)
{
	struct peer	a, b;
	uint32_t	n = 1;

	(void)state;
	connect_peers(&a, &b, 0);
	chan_pause(b.chan, true);
	assert_int_equal(chan_send(a.chan, &n, sizeof(n), -1), 0);
	turn();
	assert_int_equal(b.messages, 0);
	chan_pause(b.chan, false);
	turn();
	assert_int_equal(b.messages, 1);
	done(&a, &b);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(order_and_queue),
		cmocka_unit_test(try_keeps_nothing),
		cmocka_unit_test(queued_fd),
		cmocka_unit_test(fd_is_a_fault),
		cmocka_unit_test(freed_in_callback),
		cmocka_unit_test(paused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
