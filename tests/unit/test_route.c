/*
 * What the kernel is asked of an address, and what its answers mean. A socketpair
 * plays the kernel; that the real one answers so is tests/broker/netns.py's.
 */
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "unit.h"

#include "route.h"

static struct route	route;
static int		kernel;

struct answer {
	struct nlmsghdr	h;
	union {
		struct rtmsg	m;
		struct nlmsgerr	e;
		char		room[2000];
	};
};

static int
setup(void **state)
{
	int	fd[2];

	(void)state;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fd) == -1)
		return -1;
	route = (struct route){ .fd = fd[0] };
	kernel = fd[1];
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	route_close(&route);
	close(kernel);
	return route.fd == -1 ? 0 : -1;
}

static void
say(const struct answer *a, size_t len)
{
	assert_int_equal(write(kernel, a, len), len);
}

static void
say_route(uint32_t seq, unsigned char type)
{
	struct answer	a = { .h = { .nlmsg_type = RTM_NEWROUTE,
			    .nlmsg_seq = seq }, .m = { .rtm_type = type } };

	say(&a, sizeof(a));	/* longer than there is room for */
}

static void
say_error(uint32_t seq, int error)
{
	struct answer	a = { .h = { .nlmsg_type = NLMSG_ERROR,
			    .nlmsg_seq = seq }, .e = { .error = -error } };

	say(&a, NLMSG_LENGTH(sizeof(a.e)));
}

static enum route_kind
ask(void)
{
	const struct endpoint	dst = endpoint_v4(0xcb007207, 443);

	return route_ask(&route, PROTO_TCP, NULL, &dst);
}

/* How often it has asked since. */
static unsigned int
questions(void)
{
	char		buf[256];
	unsigned int	n = 0;

	while (read(kernel, buf, sizeof(buf)) > 0)
		n++;
	return n;
}

static void
types(void **state)
{
	static const enum route_kind	kinds[] = {
		[RTN_UNICAST] = ROUTE_STREET, [RTN_LOCAL] = ROUTE_OWN,
		[RTN_BROADCAST] = ROUTE_OWN, [RTN_ANYCAST] = ROUTE_OWN,
		[RTN_MULTICAST] = ROUTE_OWN, [RTN_BLACKHOLE] = ROUTE_NONE,
		[RTN_UNREACHABLE] = ROUTE_NONE, [RTN_PROHIBIT] = ROUTE_NONE,
		[RTN_THROW] = ROUTE_NONE };
	unsigned char			i;

	(void)state;
	for (i = RTN_UNICAST; i <= RTN_THROW; i++) {
		say_route(i, i);
		assert_int_equal(ask(), kinds[i]);
		assert_int_equal(questions(), 1);
	}
	/* types that nobody knows what they do */
	for (i = RTN_THROW + 1; i < RTN_THROW + 4; i++) {
		say_route(route.seq + 1, i);
		say_route(route.seq + 2, i);
		assert_int_equal(ask(), ROUTE_UNKNOWN);
		assert_int_equal(questions(), 2);
	}
	say_route(route.seq + 1, RTN_UNSPEC);
	assert_int_equal(ask(), ROUTE_UNKNOWN);
}

static void
errors(void **state)
{
	static const int	none[] = { ENETUNREACH, EHOSTUNREACH, EACCES,
				    EINVAL },
				unknown[] = { ENOBUFS, ENOMEM, EPERM, EOPNOTSUPP,
				    EAGAIN, 0 };
	static const uint8_t	a6[16] = { 0x26, [15] = 1 };
	const struct endpoint	v6 = endpoint_v6(a6, 443);
	size_t			i;

	(void)state;
	for (i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		say_error(route.seq + 1, none[i]);
		assert_int_equal(ask(), ROUTE_NONE);
	}
	for (i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		say_error(route.seq + 1, unknown[i]);
		say_error(route.seq + 2, unknown[i]);
		assert_int_equal(ask(), ROUTE_UNKNOWN);
	}
	/* a kernel without IPv6: there is no socket to dial with, either */
	say_error(route.seq + 1, EOPNOTSUPP);
	assert_int_equal(route_ask(&route, PROTO_TCP, NULL, &v6), ROUTE_NONE);
	say_error(route.seq + 1, EAFNOSUPPORT);
	say_error(route.seq + 2, EAFNOSUPPORT);
	assert_int_equal(route_ask(&route, PROTO_TCP, NULL, &v6),
	    ROUTE_UNKNOWN);
	/* what was missing is there the second time */
	say_error(route.seq + 1, ENOBUFS);
	say_route(route.seq + 2, RTN_LOCAL);
	assert_int_equal(ask(), ROUTE_OWN);
}

static void
strangers(void **state)
{
	struct answer	a = { .h = { .nlmsg_type = RTM_NEWROUTE },
			    .m = { .rtm_type = RTN_UNICAST } };
	uint32_t	i;

	(void)state;
	/* nothing comes */
	assert_int_equal(ask(), ROUTE_UNKNOWN);
	assert_int_equal(questions(), 2);
	/* an answer to an earlier question says nothing of this one */
	say_route(route.seq, RTN_UNICAST);
	say_route(route.seq + 1, RTN_LOCAL);
	assert_int_equal(ask(), ROUTE_OWN);
	for (i = 0; i < 16; i++)
		say_route(route.seq, RTN_UNICAST);
	assert_int_equal(ask(), ROUTE_UNKNOWN);
	/* cut short, and of another kind */
	a.h.nlmsg_seq = route.seq + 1;
	say(&a, NLMSG_LENGTH(sizeof(a.m)) - 1);
	a.h.nlmsg_seq++;
	say(&a, sizeof(a.h) - 1);
	assert_int_equal(ask(), ROUTE_UNKNOWN);
	a.h.nlmsg_seq = route.seq + 1;
	a.h.nlmsg_type = RTM_DELROUTE;
	say(&a, sizeof(a));
	assert_int_equal(ask(), ROUTE_UNKNOWN);
}

/* An attribute of the last question, or NULL. */
static const void *
attribute(struct answer *q, unsigned short type, size_t len)
{
	struct rtattr	*a = RTM_RTA(&q->m);
	int		 left;
	ssize_t		 n;

	n = recv(kernel, q, sizeof(*q), MSG_PEEK);
	assert_true(n > 0 && q->h.nlmsg_len == (size_t)n);
	assert_int_equal(q->h.nlmsg_type, RTM_GETROUTE);
	assert_int_equal(q->h.nlmsg_flags, NLM_F_REQUEST);
	left = (int)RTM_PAYLOAD(&q->h);
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == type) {
			assert_int_equal(RTA_PAYLOAD(a), len);
			return RTA_DATA(a);
		}
	assert_int_equal(left, 0);
	return NULL;
}

/* Whatever a rule may look at is said. */
static void
question(void **state)
{
	struct endpoint	dst, src;
	struct answer	q;
	uint16_t	port;

	(void)state;
	assert_int_equal(endpoint_parse("[2600:1f00::7]:443", &dst), 0);
	assert_int_equal(endpoint_parse("[2600:1f00::8]:40000", &src), 0);
	assert_int_equal(route_ask(&route, PROTO_UDP, &src, &dst),
	    ROUTE_UNKNOWN);
	assert_memory_equal(attribute(&q, RTA_DST, 16), dst.addr, 16);
	assert_int_equal(q.m.rtm_family, AF_INET6);
	assert_int_equal(q.m.rtm_dst_len, 128);
	assert_int_equal(q.m.rtm_src_len, 128);
	assert_memory_equal(attribute(&q, RTA_SRC, 16), src.addr, 16);
	assert_int_equal(*(const uint8_t *)attribute(&q, RTA_IP_PROTO, 1),
	    IPPROTO_UDP);
	port = htons(443);
	assert_memory_equal(attribute(&q, RTA_DPORT, 2), &port, 2);
	port = htons(40000);
	assert_memory_equal(attribute(&q, RTA_SPORT, 2), &port, 2);
	questions();

	route_ask(&route, PROTO_ECHO, NULL, &dst);
	assert_int_equal(*(const uint8_t *)attribute(&q, RTA_IP_PROTO, 1),
	    IPPROTO_ICMPV6);
	assert_null(attribute(&q, RTA_DPORT, 2));
	assert_null(attribute(&q, RTA_SRC, 16));
	questions();

	/* a source of the other family is none */
	dst = endpoint_v4(0xcb007207, 0);
	route_ask(&route, PROTO_ECHO, &src, &dst);
	assert_memory_equal(attribute(&q, RTA_DST, 4), dst.addr, 4);
	assert_int_equal(q.m.rtm_dst_len, 32);
	assert_int_equal(*(const uint8_t *)attribute(&q, RTA_IP_PROTO, 1),
	    IPPROTO_ICMP);
	assert_null(attribute(&q, RTA_SRC, 4));
	questions();

	route_ask(&route, PROTO_NONE, NULL, &dst);
	assert_null(attribute(&q, RTA_IP_PROTO, 1));
}

static void
real_kernel(void **state)
{
	struct route	r;
	struct endpoint	any = endpoint_v4(0, 0);

	(void)state;
	assert_int_equal(route_open(&r), 0);
	/* wherever this runs: it connects to this host, or nothing has a route */
	assert_int_not_equal(route_ask(&r, PROTO_TCP, NULL, &any),
	    ROUTE_UNKNOWN);
	route_close(&r);
}

#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		T(types), T(errors), T(strangers), T(question),
		cmocka_unit_test(real_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
