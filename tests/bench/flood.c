/*
 * The bench's load: one server for all kinds, and clients that each print one
 * line, "COUNT SECONDS" (bytes or transactions).
 *
 *	flood serve ADDR PORT
 *	flood up|down ADDR PORT SECONDS
 *	flood rr ADDR PORT SECONDS FLOWS ACTIVE	one byte there and back, in turn
 *						over ACTIVE of FLOWS open ones
 *	flood crr ADDR PORT SECONDS [ABREAST]	a connection for each byte, one
 *						after another or so many at a time
 *	flood udp ADDR PORT SECONDS		like rr, in datagrams
 *	flood hold ADDR PORT FLOWS		opens them, waits for end of stdin
 *
 * rr, crr and hold use ADDR and the 30 addresses that follow it.
 * A connection's first byte says what its client wants of the server.
 *
 * Trusts: everybody; it runs in the lab only.
 * Must not: be what is measured. Blocking calls, one thread, no allocation in a
 * loop.
 */
#include "config.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK		(128 * 1024)
#define FDS_MAX		40000
#define EVENTS		256
#define BATCH		128		/* connects under way at a time */
#define SERVERS		31		/* addresses from ADDR on */

enum want { WANT_NOTHING = 0, WANT_SINK = 'u', WANT_SOURCE = 'd', WANT_ECHO = 'e',
	WANT_HELLO = 0x16 };	/* a TLS record's first byte: echoed like 'e' */

static char	block[BLOCK];
static uint8_t	wants[FDS_MAX];		/* by fd */

static double
now(void)
{
	struct timespec	ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
result(uint64_t count, double seconds)
{
	printf("%" PRIu64 " %.6f\n", count, seconds);
	fflush(stdout);
}

static void
say(const char *word)
{
	puts(word);
	fflush(stdout);
}

static socklen_t
address(struct sockaddr_storage *ss, const char *text, const char *port)
{
	struct sockaddr_in6	*sin6 = (struct sockaddr_in6 *)ss;
	struct sockaddr_in	*sin = (struct sockaddr_in *)ss;

	memset(ss, 0, sizeof(*ss));
	if (inet_pton(AF_INET, text, &sin->sin_addr) == 1) {
		sin->sin_family = AF_INET;
		sin->sin_port = htons((uint16_t)atoi(port));
		return sizeof(*sin);
	}
	if (inet_pton(AF_INET6, text, &sin6->sin6_addr) != 1)
		errx(2, "%s: not an address", text);
	sin6->sin6_family = AF_INET6;
	sin6->sin6_port = htons((uint16_t)atoi(port));
	return sizeof(*sin6);
}

/* ---- the server ---- */

static int
listener(const char *addr, const char *port, int type)
{
	struct sockaddr_storage	ss;
	socklen_t		len = address(&ss, addr, port);
	int			fd, one = 1;

	if ((fd = socket(ss.ss_family, type | SOCK_NONBLOCK, 0)) == -1)
		err(1, "socket");
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == -1 ||
	    bind(fd, (struct sockaddr *)&ss, len) == -1)
		err(1, "bind");
	if (type == SOCK_STREAM && listen(fd, 4096) == -1)
		err(1, "listen");
	return fd;
}

static void
watch(int ep, int fd, uint32_t events)
{
	struct epoll_event	ev = { .events = events, .data.fd = fd };

	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == -1 &&
	    epoll_ctl(ep, EPOLL_CTL_MOD, fd, &ev) == -1)
		err(1, "epoll_ctl");
}

static void
accept_all(int ep, int lfd)
{
	int	fd, one = 1;

	while ((fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK)) != -1) {
		if (fd >= FDS_MAX) {
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		wants[fd] = WANT_NOTHING;
		watch(ep, fd, EPOLLIN);
	}
}

/* False: the connection is over. */
static bool
serve_in(int ep, int fd)
{
	ssize_t	n;
	size_t	size = wants[fd] == WANT_NOTHING ? 1 : sizeof(block);

	if ((n = read(fd, block, size)) == 0)
		return false;
	if (n == -1)
		return errno == EAGAIN || errno == EINTR;
	if (wants[fd] == WANT_NOTHING) {
		wants[fd] = (uint8_t)block[0];
		if (wants[fd] == WANT_SOURCE)
			watch(ep, fd, EPOLLIN | EPOLLOUT);
		return true;
	}
	if (wants[fd] != WANT_ECHO && wants[fd] != WANT_HELLO)
		return true;
	return write(fd, block, (size_t)n) == n;
}

static void
serve_udp(int fd)
{
	struct sockaddr_storage	ss;
	socklen_t		len = sizeof(ss);
	ssize_t			n;

	while ((n = recvfrom(fd, block, sizeof(block), 0,
	    (struct sockaddr *)&ss, &len)) != -1) {
		sendto(fd, block, (size_t)n, 0, (struct sockaddr *)&ss, len);
		len = sizeof(ss);
	}
}

static void
serve_event(int ep, const struct epoll_event *ev)
{
	int	fd = ev->data.fd;

	if (ev->events & EPOLLOUT && write(fd, block, sizeof(block)) == -1 &&
	    errno != EAGAIN) {
		close(fd);
		return;
	}
	if (ev->events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !serve_in(ep, fd))
		close(fd);
}

_Noreturn static void
serve(const char *addr, const char *port)
{
	static struct epoll_event	events[EVENTS];
	int	ep = epoll_create1(0), n, i;
	int	tcp = listener("::", port, SOCK_STREAM);
	int	udp = listener(addr, port, SOCK_DGRAM);

	watch(ep, tcp, EPOLLIN);
	watch(ep, udp, EPOLLIN);
	say("ready");
	for (;;) {
		n = epoll_wait(ep, events, EVENTS, -1);
		for (i = 0; i < n; i++) {
			if (events[i].data.fd == tcp)
				accept_all(ep, tcp);
			else if (events[i].data.fd == udp)
				serve_udp(udp);
			else
				serve_event(ep, &events[i]);
		}
	}
}

/* ---- the clients ---- */

/*
 * The n-th of many goes to the n-th of 31 addresses: a closed connection keeps its
 * local port for a minute, and each address has but 28 000 of them.
 */
static void
spread(struct sockaddr_storage *ss, uint64_t n)
{
	struct sockaddr_in	*sin = (struct sockaddr_in *)ss;
	uint32_t		 add = (uint32_t)(n % SERVERS);

	if (ss->ss_family == AF_INET)
		sin->sin_addr.s_addr = htonl(ntohl(sin->sin_addr.s_addr) + add);
}

/* Begins the n-th connection; with `wait`, it is there when this returns. */
static int
begin(const char *addr, const char *port, uint64_t n, bool wait)
{
	struct sockaddr_storage	ss;
	socklen_t		len = address(&ss, addr, port);
	int			fd, one = 1;

	spread(&ss, n);

	fd = socket(ss.ss_family, SOCK_STREAM | (wait ? 0 : SOCK_NONBLOCK), 0);
	if (fd == -1)
		err(1, "socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&ss, len) == -1 &&
	    (wait || errno != EINPROGRESS))
		err(1, "connect");
	return fd;
}

static void
want(int fd, enum want w)
{
	char	byte = (char)w;

	if (write(fd, &byte, 1) != 1)
		err(1, "write");
}

static int
client(const char *addr, const char *port, enum want w)
{
	int	fd = begin(addr, port, 0, true);

	want(fd, w);
	return fd;
}

/* What the guest's kernel has had acknowledged. */
static uint64_t
acknowledged(int fd)
{
	struct tcp_info	ti;
	socklen_t	len = sizeof(ti);

	memset(&ti, 0, sizeof(ti));
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &len) == -1)
		err(1, "TCP_INFO");
	return ti.tcpi_bytes_acked;
}

static void
stream(const char *addr, const char *port, double seconds, bool up)
{
	int		fd = client(addr, port, up ? WANT_SINK : WANT_SOURCE);
	double		start = now();
	uint64_t	count = 0;
	ssize_t		n;

	do {
		n = up ? write(fd, block, sizeof(block)) :
		    read(fd, block, sizeof(block));
		if (n <= 0)
			err(1, "the stream ended");
		count += (uint64_t)n;
	} while (now() - start < seconds);
	if (up)
		count = acknowledged(fd);
	result(count, now() - start);
}

static void
turn(int fd)
{
	char	byte = 'x';

	if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
		err(1, "a turn");
}

static void
await(int fd)
{
	struct pollfd	p = { .fd = fd, .events = POLLOUT };
	int		error = 0;
	socklen_t	len = sizeof(error);

	if (poll(&p, 1, 30000) != 1 || getsockopt(fd, SOL_SOCKET, SO_ERROR,
	    &error, &len) == -1 || error != 0)
		errx(1, "connect: %s", strerror(error));
	if (fcntl(fd, F_SETFL, 0) == -1)
		err(1, "fcntl");
	want(fd, WANT_ECHO);
	turn(fd);
}

/* Many are opened together: one after another would take a minute. */
static int *
connections(const char *addr, const char *port, int flows)
{
	int	*fd = calloc((size_t)flows, sizeof(*fd)), i, j, end;

	if (fd == NULL)
		err(1, "calloc");
	for (i = 0; i < flows; i = end) {
		end = i + BATCH < flows ? i + BATCH : flows;
		for (j = i; j < end; j++)
			fd[j] = begin(addr, port, (uint64_t)j, false);
		for (j = i; j < end; j++)
			await(fd[j]);
	}
	return fd;
}

static void
request_response(const char *addr, const char *port, double seconds, int flows,
    int active)
{
	int		*fd = connections(addr, port, flows), i = 0;
	double		 start = now();
	uint64_t	 count = 0;

	say("open");		/* the measuring begins here */
	do {
		turn(fd[i]);
		i = i + 1 == active ? 0 : i + 1;
		count++;
	} while (now() - start < seconds);
	result(count, now() - start);
	getchar();			/* until it has been measured */
}

static void
connect_request_response(const char *addr, const char *port, double seconds)
{
	double		start = now();
	uint64_t	count = 0;
	int		fd;

	do {
		fd = begin(addr, port, count, true);
		want(fd, WANT_ECHO);
		turn(fd);
		close(fd);
		count++;
	} while (now() - start < seconds);
	result(count, now() - start);
}

/* The oldest is awaited while the others come about. */
static void
abreast(const char *addr, const char *port, double seconds, int width)
{
	int		fd[BATCH];
	double		start;
	uint64_t	count;
	int		i;

	if (width < 1 || width > BATCH)
		errx(2, "from 1 to %d abreast", BATCH);
	for (i = 0; i < width; i++)
		fd[i] = begin(addr, port, (uint64_t)i, false);
	start = now();
	for (count = 0; now() - start < seconds; count++) {
		i = (int)(count % (uint64_t)width);
		await(fd[i]);
		close(fd[i]);
		fd[i] = begin(addr, port, count + (uint64_t)width, false);
	}
	result(count, now() - start);
}

static void
datagrams(const char *addr, const char *port, double seconds)
{
	struct sockaddr_storage	ss;
	socklen_t		len = address(&ss, addr, port);
	struct timeval		tv = { .tv_sec = 1 };
	double			start;
	uint64_t		count = 0;
	int			fd = socket(ss.ss_family, SOCK_DGRAM, 0);

	if (fd == -1 || connect(fd, (struct sockaddr *)&ss, len) == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == -1)
		err(1, "socket");
	turn(fd);
	start = now();
	do {
		turn(fd);
		count++;
	} while (now() - start < seconds);
	result(count, now() - start);
}

static void
more_fds(void)
{
	struct rlimit	rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
}

int
main(int argc, char **argv)
{
	if (argc < 4)
		errx(2, "usage: flood MODE ADDR PORT [SECONDS [FLOWS ACTIVE]]");
	more_fds();
	signal(SIGPIPE, SIG_IGN);
	if (strcmp(argv[1], "serve") == 0)
		serve(argv[2], argv[3]);
	if (argc < 5)
		errx(2, "%s: how long?", argv[1]);
	if (strcmp(argv[1], "up") == 0 || strcmp(argv[1], "down") == 0)
		stream(argv[2], argv[3], atof(argv[4]), argv[1][0] == 'u');
	else if (strcmp(argv[1], "rr") == 0 && argc > 6)
		request_response(argv[2], argv[3], atof(argv[4]),
		    atoi(argv[5]), atoi(argv[6]));
	else if (strcmp(argv[1], "crr") == 0 && argc > 5)
		abreast(argv[2], argv[3], atof(argv[4]), atoi(argv[5]));
	else if (strcmp(argv[1], "crr") == 0)
		connect_request_response(argv[2], argv[3], atof(argv[4]));
	else if (strcmp(argv[1], "udp") == 0)
		datagrams(argv[2], argv[3], atof(argv[4]));
	else if (strcmp(argv[1], "hold") == 0) {
		(void)connections(argv[2], argv[3], atoi(argv[4]));
		say("open");
		getchar();
	} else
		errx(2, "%s: no such mode", argv[1]);
	return 0;
}
