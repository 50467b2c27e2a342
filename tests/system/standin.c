/*
 * Stand-ins for all rooms, chosen by argv[0]: enough of
 * the wire to bring the keeper up, and nothing else. tests/system/keeper.py looks
 * at them from outside. The log level picks what the broker does:
 *
 *   0 the usual  1 breaks the rules once it is up  2 asks for a role that it must not
 *
 * It says which children failed to start, and asks for every one again.
 *
 * Trusts: the test. Must not: be installed.
 */
#include <sys/epoll.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "keeper.h"

static union {
	struct wire_head	head;
	struct keeper_child	child;
	struct keeper_died	died;
	unsigned char		bytes[1024];
} in;

static int	rooms[ROLE_INSPECTOR + 1] = { -1, -1, -1, -1, -1, -1, -1 };

static void
send_to(int chan, void *msg, size_t len)
{
	if (fd_send(chan, msg, len, -1) == -1)
		_exit(10);
}

static void
hello(int chan, uint32_t type)
{
	struct wire_hello	h;

	wire_begin(&h, sizeof(h), type, 0);
	h.magic = WIRE_MAGIC;
	h.version = WIRE_VERSION;
	wire_build_id(h.build);
	send_to(chan, &h, sizeof(h));
}

static void
ask(uint32_t type, uint32_t role)
{
	struct keeper_child	c;

	wire_begin(&c, sizeof(c), type, 0);
	c.role = role;
	send_to(FD_CHANNEL, &c, sizeof(c));
}

static void
simple(uint32_t type)
{
	struct wire_head	h;

	wire_begin(&h, sizeof(h), type, 0);
	send_to(FD_CHANNEL, &h, sizeof(h));
}

static bool	is_frame;

/* A frame's link may be a tap, or a file in its place: then it has no end. */
static int
watch(void)
{
	struct epoll_event	ev = { .events = EPOLLIN, .data.fd = FD_CHANNEL };
	struct epoll_event	link = { .events = EPOLLRDHUP,
				    .data.fd = FD_OBJECT };
	int			ep = epoll_create1(EPOLL_CLOEXEC);

	if (ep == -1 || epoll_ctl(ep, EPOLL_CTL_ADD, FD_CHANNEL, &ev) == -1)
		_exit(13);
	if (is_frame)
		(void)epoll_ctl(ep, EPOLL_CTL_ADD, FD_OBJECT, &link);
	return ep;
}

/* The next message, or the end of this process; a frame's with its client. */
static int
next(int *fd)
{
	static int		ep = -1;
	struct epoll_event	ev;

	if (ep == -1)
		ep = watch();
	if (epoll_wait(ep, &ev, 1, 20000) != 1)
		_exit(11);
	if (ev.data.fd == FD_OBJECT)
		_exit(3);
	if (fd_recv(FD_CHANNEL, &in, sizeof(in), fd, NULL) <= 0)
		_exit(0);
	return (int)in.head.type;
}

static void
stop(void)
{
	struct keeper_summary	s;

	wire_begin(&s, sizeof(s), KEEPER_SUMMARY, 0);
	s.allowed = 3;
	s.denied = 2;
	s.tried = 4;
	s.up = 1000;
	s.down = 2000;
	send_to(FD_CHANNEL, &s, sizeof(s));
	_exit(0);
}

static void
say_failure(void)
{
	if (in.died.pid == 0)
		dprintf(FD_LOG, "no %s: %s\n", role_name(in.died.role),
		    strerrorname_np((int)in.died.err));
	else if (in.died.status != 0)
		dprintf(FD_LOG, "%s: status %u\n", role_name(in.died.role),
		    in.died.status);
}

static void
broker_message(int type, int fd, int mode)
{
	if (type == KEEPER_POLICY) {
		hello(FD_CHANNEL, KEEPER_HELLO);
		ask(KEEPER_SPAWN, ROLE_RECORDER);
		ask(KEEPER_SPAWN, ROLE_RESOLVER);
		ask(KEEPER_SPAWN, ROLE_INSPECTOR);
	} else if (type == KEEPER_GUEST)
		ask(KEEPER_SPAWN, ROLE_FRAME);
	else if (type == KEEPER_CHILD) {
		fd_drop(&rooms[in.child.role]);
		rooms[in.child.role] = fd;
		if (in.child.role == ROLE_FRAME)
			simple(mode == 1 ? 4711 : KEEPER_READY);
		if (in.child.role == ROLE_FRAME && mode == 2)
			ask(KEEPER_SPAWN, ROLE_PARSER);
	} else if (type == KEEPER_DIED && in.died.status != 3) {
		say_failure();
		ask(KEEPER_SPAWN, in.died.role);
	}
	else if (type == KEEPER_STOP)
		stop();
}

static void
broker(int mode)
{
	int	fd, type;

	for (;;) {
		type = next(&fd);
		broker_message(type, fd, mode);
	}
}

/* Lives until the broker's end of the channel is closed. */
static void
room(uint32_t hello_type)
{
	hello(FD_CHANNEL, hello_type);
	for (;;)
		next(NULL);
}

int
main(int argc, char **argv)
{
	if (argc < 2)
		return 12;
	if (strcmp(argv[0], "sallyport-parser") == 0)
		return write(FD_OBJECT, argv[2], strlen(argv[2])) > 0 ? 0 : 1;
	if (strcmp(argv[0], "sallyport-resolver") == 0 &&
	    (read(FD_OBJECT, &in, sizeof(in)) != 3 ||
	    memcmp(&in, "CA\n", 3) != 0))
		return 14;	/* the bundle is to be read from its beginning */
	if (strcmp(argv[0], "sallyport-broker") == 0)
		broker(argv[1][0] - '0');
	is_frame = strcmp(argv[0], "sallyport-frame") == 0;
	room(1);
	return 0;
}
