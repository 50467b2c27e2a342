/*
 * What the kernel would do with what is sent to an address: rtnetlink(7),
 * RTM_GETROUTE, on a socket of its own. The kernel answers within the write, so
 * that nobody waits for it.
 *
 * Trusts: the kernel. The socket is connected to it, so that nobody else's
 * message gets in.
 * Must not: wait, or make a route of what is not one: an answer that does not
 * come, or says something new, is ROUTE_UNKNOWN.
 */
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "route.h"

#define ANSWER_ROOM	1024	/* what is longer is cut; its head is all we read */
#define OLD_MAX		16	/* answers to earlier questions, passed over */

struct ask {
	struct nlmsghdr	h;
	struct rtmsg	m;
	unsigned char	attr[128];
};

int
route_open(struct route *r)
{
	static const struct sockaddr_nl	kernel = { .nl_family = AF_NETLINK };

	r->seq = 0;
	r->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    NETLINK_ROUTE);
	if (r->fd == -1)
		return -1;
	if (connect(r->fd, (const struct sockaddr *)&kernel,
	    sizeof(kernel)) == -1) {
		fd_drop(&r->fd);
		return -1;
	}
	return 0;
}

void
route_close(struct route *r)
{
	fd_drop(&r->fd);
}

/* ---- the question --------------------------------------------------------------- */

/* The room is for all that put_question() has. */
static void
put(struct ask *q, unsigned short type, const void *data, size_t len)
{
	struct rtattr	a = { .rta_len = (unsigned short)RTA_LENGTH(len),
			    .rta_type = type };
	unsigned char	*at = (unsigned char *)q + q->h.nlmsg_len;

	memcpy(at, &a, sizeof(a));
	memcpy(at + RTA_LENGTH(0), data, len);
	q->h.nlmsg_len += (uint32_t)RTA_SPACE(len);
}

static void
put_port(struct ask *q, unsigned short type, uint16_t port)
{
	uint16_t	net = htons(port);

	if (port != 0)
		put(q, type, &net, sizeof(net));
}

static void
put_question(struct ask *q, uint32_t proto, const struct endpoint *src,
    const struct endpoint *dst)
{
	bool	v6 = dst->family == ADDR_V6;
	size_t	len = v6 ? 16 : 4;
	uint8_t	ip = proto == PROTO_ECHO && v6 ? IPPROTO_ICMPV6 :
		    (uint8_t)proto;

	memset(q, 0, sizeof(*q));
	q->h.nlmsg_type = RTM_GETROUTE;
	q->h.nlmsg_flags = NLM_F_REQUEST;
	q->h.nlmsg_len = NLMSG_LENGTH(sizeof(q->m));
	q->m.rtm_family = v6 ? AF_INET6 : AF_INET;
	q->m.rtm_dst_len = (unsigned char)(len * 8);
	put(q, RTA_DST, dst->addr, len);
	if (src != NULL && src->family == dst->family) {
		q->m.rtm_src_len = q->m.rtm_dst_len;
		put(q, RTA_SRC, src->addr, len);
	}
	if (proto == PROTO_NONE)
		return;
	put(q, RTA_IP_PROTO, &ip, sizeof(ip));
	if (proto == PROTO_ECHO)
		return;
	put_port(q, RTA_DPORT, dst->port);
	if (src != NULL)
		put_port(q, RTA_SPORT, src->port);
}

/* ---- the answer ------------------------------------------------------------------- */

static enum route_kind
of_type(const struct rtmsg *m)
{
	switch (m->rtm_type) {
	case RTN_UNICAST:
		return ROUTE_STREET;
	case RTN_LOCAL:
	case RTN_ANYCAST:
	case RTN_BROADCAST:
	case RTN_MULTICAST:
		return ROUTE_OWN;
	case RTN_BLACKHOLE:
	case RTN_UNREACHABLE:
	case RTN_PROHIBIT:
	case RTN_THROW:
		return ROUTE_NONE;
	default:
		return ROUTE_UNKNOWN;
	}
}

/*
 * EINVAL is a black hole's, and that of a source that this host does not have. A
 * kernel without IPv6 does not know the question: it has no socket to dial with,
 * either.
 */
static enum route_kind
of_error(const struct nlmsgerr *e, const struct endpoint *dst)
{
	switch (-e->error) {
	case ENETUNREACH:
	case EHOSTUNREACH:
	case EACCES:
	case EINVAL:
		return ROUTE_NONE;
	case EOPNOTSUPP:
		return dst->family == ADDR_V6 ? ROUTE_NONE : ROUTE_UNKNOWN;
	default:
		return ROUTE_UNKNOWN;
	}
}

static enum route_kind
of_answer(const void *buf, size_t len, const struct endpoint *dst)
{
	struct nlmsghdr	h;
	struct rtmsg	m;
	struct nlmsgerr	e;

	memcpy(&h, buf, sizeof(h));
	if (h.nlmsg_type == RTM_NEWROUTE &&
	    len >= NLMSG_LENGTH(sizeof(m))) {
		memcpy(&m, (const char *)buf + NLMSG_HDRLEN, sizeof(m));
		return of_type(&m);
	}
	if (h.nlmsg_type == NLMSG_ERROR && len >= NLMSG_LENGTH(sizeof(e))) {
		memcpy(&e, (const char *)buf + NLMSG_HDRLEN, sizeof(e));
		return of_error(&e, dst);
	}
	return ROUTE_UNKNOWN;
}

static enum route_kind
take_answer(const struct route *r, const struct endpoint *dst)
{
	_Alignas(struct nlmsghdr) unsigned char	buf[ANSWER_ROOM];
	struct nlmsghdr	h;
	ssize_t		n;
	int		i;

	for (i = 0; i < OLD_MAX; i++) {
		n = read(r->fd, buf, sizeof(buf));
		if (n == -1 && errno == EINTR)
			continue;
		if (n < (ssize_t)sizeof(h))
			return ROUTE_UNKNOWN;
		memcpy(&h, buf, sizeof(h));
		if (h.nlmsg_seq == r->seq)
			return of_answer(buf, (size_t)n, dst);
	}
	return ROUTE_UNKNOWN;
}

/* Twice: the first time may have met a lack of memory, or an answer lost to one. */
enum route_kind
route_ask(struct route *r, uint32_t proto, const struct endpoint *src,
    const struct endpoint *dst)
{
	enum route_kind	kind = ROUTE_UNKNOWN;
	struct ask	q;
	int		i;

	put_question(&q, proto, src, dst);
	for (i = 0; i < 2 && kind == ROUTE_UNKNOWN; i++) {
		q.h.nlmsg_seq = ++r->seq;
		if (write(r->fd, &q, q.h.nlmsg_len) == (ssize_t)q.h.nlmsg_len)
			kind = take_answer(r, dst);
	}
	return kind;
}
