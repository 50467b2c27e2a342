/*
 * From a verdict to an established socket: the only file that opens a door to
 * the street.
 *
 * Trusts: the verdict, and of it only `dial`; never what a frame wrote.
 * Must not: hand on a socket that is not connected to exactly `dial`, or read
 * SO_ERROR of a granted one: reading takes the error away, and the frame would take
 * a reset for an end.
 *
 * A non-blocking connect leaves the socket "connecting" for the kernel's socket
 * layer even when TCP is long established; if the peer then resets it, a holder
 * could use MSG_FASTOPEN to connect it anywhere. The second connect(2) here
 * ends that state: afterwards the kernel answers EISCONN for ever (measured).
 */
#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <event2/event.h>
#include <unistd.h>

#include "broker.h"
#include "log.h"

/* inet_getname() answers ENOTCONN for port 0, so echo sockets get this one. */
#define ECHO_PORT	1

/*
 * What may wait in a socket for a peer that does not read. What is on its way is
 * not counted, so the kernel's own tuning of the send buffer (which SO_SNDBUF
 * would end) goes on, and a fast path stays as full as it was.
 */
#define NOTSENT		(256 << 10)

/*
 * A server that is gone, or a path that has forgotten the connection, is found within
 * minutes; an outage of a few minutes (a roaming laptop, a VPN) is lived through, and
 * once a minute is often enough for the NATs on the way. TCP_USER_TIMEOUT would also
 * end what has bytes on the way, but a server that only does not read for as long, too:
 * silent.c does that.
 */
#define KEEP_IDLE	60		/* s */
#define KEEP_INTERVAL	30
#define KEEP_COUNT	8

static int
set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

/*
 * Abortive unless told otherwise: when all that hold the socket die, the peer gets RST,
 * and takes what it has got for cut short, not for whole.
 */
static int
options_tcp(int fd, bool v6)
{
	struct linger	l = { .l_onoff = 1, .l_linger = 0 };

	if (v6 && set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) == -1)
		return -1;
	if (set(fd, IPPROTO_TCP, TCP_NODELAY, 1) == -1 ||
	    set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOTSENT) == -1 ||
	    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE) == -1 ||
	    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL) == -1 ||
	    set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEP_COUNT) == -1 ||
	    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1) == -1 ||
	    set(fd, SOL_SOCKET, SO_OOBINLINE, 1) == -1)
		return -1;
	return setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

/* The host kernel fragments, and nobody reads an error queue: it stays shut. */
static int
options_datagram(int fd, bool v6)
{
	if (v6)
		return set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) == -1 ||
		    set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER,
		    IPV6_PMTUDISC_WANT) == -1 ||
		    set(fd, IPPROTO_IPV6, IPV6_RECVERR, 0) == -1 ? -1 : 0;
	return set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_WANT) == -1 ||
	    set(fd, IPPROTO_IP, IP_RECVERR, 0) == -1 ? -1 : 0;
}

/* A socket with every option set and no address yet, or -1 with errno. */
int
connect_socket(uint32_t proto, const struct endpoint *dial)
{
	bool	v6 = dial->family == ADDR_V6;
	int	domain = v6 ? AF_INET6 : AF_INET, fd, r;

	if (proto == PROTO_TCP)
		fd = socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
		    IPPROTO_TCP);
	else
		fd = socket(domain, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
		    proto == PROTO_UDP ? IPPROTO_UDP : v6 ? IPPROTO_ICMPV6 :
		    IPPROTO_ICMP);
	if (fd == -1)
		return -1;
	r = proto == PROTO_TCP ? options_tcp(fd, v6) :
	    options_datagram(fd, v6);
	if (r == -1) {
		r = errno;
		close(fd);
		errno = r;
		return -1;
	}
	return fd;
}

static socklen_t
target(const struct flow *f, struct sockaddr_storage *ss)
{
	struct endpoint	e = f->dial;

	if (f->proto == PROTO_ECHO)
		e.port = ECHO_PORT;
	return endpoint_to_sockaddr(&e, ss);
}

static void
source(struct flow *f)
{
	struct sockaddr_storage	ss;
	socklen_t		len = sizeof(ss);

	if (getsockname(f->fd, (struct sockaddr *)&ss, &len) == 0)
		endpoint_from_sockaddr((const struct sockaddr *)&ss,
		    &f->h_src);
}

/* What the guest is shown and the log is told. */
enum reason
connect_reason(int error, enum deny_code *code)
{
	*code = DENY_RESET;
	switch (error) {
	case EHOSTUNREACH:
	case EHOSTDOWN:
		*code = DENY_HOST;
		return REASON_HOST_UNREACH;
	case EAFNOSUPPORT:
	case ENETUNREACH:
	case ENETDOWN:
		*code = DENY_NET;
		return REASON_NET_UNREACH;
	case EACCES:
	case EPERM:
		*code = DENY_ADMIN;
		return REASON_HOST_UNREACH;
	case ETIMEDOUT:
		*code = DENY_SILENT;
		return REASON_CONNECT_TIMEOUT;
	case EADDRNOTAVAIL:
	case EAGAIN:
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case ENOSPC:		/* no watch: fs.epoll.max_user_watches */
	case ETOOMANYREFS:	/* no more fds in flight: unix(7) */
		return REASON_RESOURCE;
	case ECONNRESET:
	case EPIPE:
		/*
		 * It was there, and has reset us before we looked. Whatever it
		 * sent is not handed on: getpeername() cannot say any more who
		 * it was, and a cgroup's connect hook may have chosen another.
		 */
		return REASON_PEER_RESET;
	default:
		return REASON_CONNECT_REFUSED;
	}
}

/* 0: established, and the socket layer knows it. EALREADY: not yet. */
static int
again(const struct flow *f)
{
	struct sockaddr_storage	ss;
	socklen_t		len = target(f, &ss);

	if (connect(f->fd, (const struct sockaddr *)&ss, len) == 0 ||
	    errno == EISCONN)
		return 0;
	return errno;
}

/* Established. Look once at who is there, and never again. */
static void
verify(struct flow *f)
{
	struct sockaddr_storage	ss;
	socklen_t		len = sizeof(ss);
	struct endpoint		peer;

	if (getpeername(f->fd, (struct sockaddr *)&ss, &len) == -1 ||
	    endpoint_from_sockaddr((const struct sockaddr *)&ss, &peer) == -1 ||
	    !addr_equal(&peer, &f->dial) ||
	    (f->proto != PROTO_ECHO && peer.port != f->dial.port))
		ledger_failed(f, REASON_HOST_MISMATCH, DENY_RESET, 0);
	else if (!host_clear(f))
		ledger_failed(f, REASON_FLOOR_LOCAL, deny_code(f->proto), 0);
	else
		ledger_connected(f);
}

static void
connect_ready(int fd, short what, void *arg)
{
	struct flow	*f = arg;
	socklen_t	 len = sizeof(int);
	int		 error = ETIMEDOUT;

	connect_drop(f);
	if ((what & EV_TIMEOUT) == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		error = errno;
	connect_settle(f, error != 0 ? error : again(f));
}

/*
 * Starts; 0, EINPROGRESS, or what went wrong. The source address is known
 * afterwards, in time for the record. A near host has answered already when the
 * first call returns, so asking again at once spares it the way through epoll.
 */
int
connect_begin(struct flow *f)
{
	struct timeval		wait = { .tv_sec = CONNECT_TIMEOUT };
	struct sockaddr_storage	ss;
	socklen_t		len = target(f, &ss);
	int			error = 0;

	f->state = FLOW_CONNECT;
	if (connect(f->fd, (const struct sockaddr *)&ss, len) == -1)
		error = errno;
	if (error == 0 || error == EINPROGRESS)
		source(f);
	if (error == EINPROGRESS)
		error = again(f);
	if (error != EALREADY)
		return error;
	f->connecting = event_new(f->guest->broker->base, f->fd, EV_WRITE,
	    connect_ready, f);
	if (f->connecting == NULL)
		return ENOMEM;
	return event_add(f->connecting, &wait) == -1 ? ENOSPC : EINPROGRESS;
}

/* Goes on from what connect_begin() or the event found; may free the flow. */
void
connect_settle(struct flow *f, int error)
{
	enum deny_code	code;
	enum reason	why;

	if (error == 0)
		verify(f);
	else if (error != EINPROGRESS) {
		why = connect_reason(error, &code);
		ledger_failed(f, why, code, error);
	}
}

/*
 * Always before the fd is closed or given away: epoll keeps a registration as long as
 * anybody holds the file, and the frame may.
 */
void
connect_drop(struct flow *f)
{
	if (f->connecting != NULL)
		event_free(f->connecting);
	f->connecting = NULL;
}
