/*
 * sallyport-inspector LEVEL: a guest's first bytes go in, at most one name comes
 * out. fd 3 is the channel to the broker, fd 5 takes diagnostics.
 *
 * It is a process of its own, and not a part of the resolver: this one reads
 * what a guest wrote, that one holds sockets to the internet.
 *
 * One flight at a time, so it may as well wait in read(2) and write(2); then its
 * filter needs nothing to wait with. Whether a socket blocks is a matter of each
 * of its two ends: the broker's does not.
 *
 * Trusts: the broker in form only. Must not: read a byte before it is sealed, or
 * answer a message that it does not understand; it ends, and another is started.
 */
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "inspector.h"
#include "log.h"
#include "seal.h"

static void
greet(void)
{
	struct wire_hello	hello;

	wire_hello_begin(&hello, INSPECT_HELLO);
	if (fd_send(FD_CHANNEL, &hello, sizeof(hello), -1) == -1)
		fatal("greeting the broker");
}

static int
on_flight(void *room, const void *msg, int fd)
{
	struct inspect_flight	f;
	struct inspect_result	r;

	(void)room;
	(void)fd;
	memcpy(&f, msg, sizeof(f));
	wire_begin(&r, sizeof(r), INSPECT_RESULT, f.head.id);
	if (inspect(f.kind, (const uint8_t *)msg + sizeof(f), f.len,
	    &r) == -1)
		return -1;
	if (fd_send(FD_CHANNEL, &r, sizeof(r), -1) == 0)
		return 0;
	if (errno != EPIPE)
		fatal("answering the broker");
	_exit(0);
}

static const struct wire_rule rules[] = {
	{ INSPECT_FLIGHT, 1, sizeof(struct inspect_flight), false, on_flight,
	    WIRE_FLIGHT_MAX },
};

/*
 * A datagram that does not fit is cut by read(2); the buffer is longer than any
 * that is allowed, so its length is wrong all the same.
 */
static void
loop(void)
{
	static unsigned char	buf[WIRE_MAX] __attribute__((aligned(8)));
	enum wire_fault		fault;
	ssize_t			n;

	static_assert(sizeof(struct inspect_flight) + WIRE_FLIGHT_MAX <
	    sizeof(buf), "too long is seen");
	while ((n = read(FD_CHANNEL, buf, sizeof(buf))) != 0) {
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == ECONNRESET)
			return;
		if (n == -1)
			fatal("the broker's channel");
		fault = wire_dispatch(rules, sizeof(rules) / sizeof(rules[0]),
		    1, NULL, buf, (size_t)n, -1);
		if (fault != WIRE_OK)
			fatalx("a message of the broker: %s",
			    wire_fault_name(fault));
	}
}

static void
check_fds(void)
{
	static const int	log = FD_LOG;
	int			flags, type = 0;
	socklen_t		len = sizeof(type);

	if (fcntl(FD_LOG, F_GETFD) == -1)
		_exit(FATAL_STATUS);	/* and nowhere to say so */
	if (getsockopt(FD_CHANNEL, SOL_SOCKET, SO_TYPE, &type, &len) == -1 ||
	    type != SOCK_SEQPACKET)
		fatalx("this program is started by sallyportd only");
	if ((flags = fcntl(FD_CHANNEL, F_GETFL)) == -1 ||
	    fcntl(FD_CHANNEL, F_SETFL, flags & ~O_NONBLOCK) == -1)
		fatal("O_NONBLOCK");
	seal_check_fds(FD_OBJECT, &log, 1);
}

int
main(int argc, char **argv)
{
	log_init_child("inspector", argc, argv);
	check_fds();
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		fatal("SIGPIPE");
	inspector_seal_in();
	greet();
	loop();
	_exit(0);
}
