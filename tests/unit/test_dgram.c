/*
 * dgram.c, hold.c, udp.c, echo.c: what waits, what is sent, what comes back, and
 * how each kind of end looks. The host side is a SEQPACKET pair (one write, one
 * datagram, empty ones too) or a connected UDP socket on the loopback.
 */
#include <sys/socket.h>

#include <netinet/in.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "bytes.h"
#include "dgram.h"
#include "frame_fake.h"
#include "unit.h"

#define FAR4	"192.0.2.1"
#define FAR6	"2001:db8::1"

static struct mk	m;
static uint8_t		noise[65536], buf[65536];
static int		pair[2] = { -1, -1 };

static void
turn(void)
{
	event_base_loop(frame.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static struct flow *
find(const char *guest, uint16_t gport, const char *dst, uint16_t dport,
    uint8_t proto)
{
	struct flow_key	key;

	memset(&key, 0, sizeof(key));
	key.guest = fake_addr(guest);
	key.guest.port = gport;
	key.dst = fake_addr(dst);
	key.dst.port = dport;
	key.proto = proto;
	return flow_find(&key);
}

static void
udp(const char *src, uint16_t sport, const char *dst, size_t len)
{
	mk_udp(&m, src, sport, dst, 7, noise, len);
	mk_send(&m);
}

static struct flow *
open_flow(const char *guest, const char *dst, uint8_t proto)
{
	struct flow	*f = find(guest, 99, dst, proto == PROTO_UDP ? 7 : 0,
	    proto);
	int		 size = 1 << 20;

	assert_non_null(f);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK,
	    0, pair), 0);
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	f->state = FLOW_OPEN;
	f->ops->granted(f, pair[0]);
	return f;
}

static void
end_flow(struct flow *f)
{
	f->ops->timeout(f);
	close(pair[1]);
	assert_int_equal(flow_count(), 0);
}

static void
expect_at_host(size_t len)
{
	assert_int_equal(read(pair[1], buf, sizeof(buf)), len);
	assert_memory_equal(buf, noise, len);
}

/* ---- UDP ---- */

static void
test_udp_held_in_order(void **state)
{
	struct flow	*f;
	size_t		 i;

	(void)state;
	for (i = 0; i < 70; i++)
		udp(GUEST4, 99, FAR4, i);
	assert_int_equal(fake_asked, 1);
	assert_int_equal(flow_count(), 1);
	f = open_flow(GUEST4, FAR4, PROTO_UDP);
	for (i = 0; i < 64; i++)
		expect_at_host(i);
	assert_int_equal(read(pair[1], buf, sizeof(buf)), -1);
	assert_int_equal(f->pup, 64);
	assert_int_equal(f->up, 63 * 64 / 2);
	assert_int_equal(f->timeout_s, 30);
	end_flow(f);
	assert_int_equal(fake_how, HOW_FIN);
	assert_int_equal(fake_reason, REASON_UNANSWERED);
}

static void
both_ways(const char *guest, const char *dst, size_t len)
{
	struct flow	*f = find(guest, 99, dst, 7, PROTO_UDP);
	const uint8_t	*l4;

	fake_nsent = 0;
	udp(guest, 99, dst, len);
	if (f == NULL)
		f = open_flow(guest, dst, PROTO_UDP);
	expect_at_host(len);
	assert_int_equal(write(pair[1], noise, len), len);
	turn();
	assert_int_equal(fake_nsent, 1);
	check_sent(&fake_sent[0]);
	l4 = sent_l4(&fake_sent[0]);
	assert_int_equal(get16(l4), 7);
	assert_int_equal(get16(l4 + 2), 99);
	assert_int_equal(get16(l4 + 4), 8 + len);
	assert_memory_equal(l4 + 8, noise, len);
}

static void
test_udp_sizes(void **state)
{
	static const size_t	len[] = { 0, 1, 2, 511, 1452, 1472, 9000,
	    32768, 65471, 65472, 65491, 65492 };
	size_t			i;

	(void)state;
	for (i = 0; i < sizeof(len) / sizeof(len[0]); i++)
		both_ways(GUEST4, FAR4, len[i]);
	end_flow(find(GUEST4, 99, FAR4, 7, PROTO_UDP));
	for (i = 0; i < 10; i++)
		both_ways(GUEST6, FAR6, len[i]);
	end_flow(find(GUEST6, 99, FAR6, 7, PROTO_UDP));
}

static void
test_udp_timeouts(void **state)
{
	struct flow	*f;
	uint64_t	 at;

	(void)state;
	udp(GUEST4, 99, FAR4, 1);
	f = open_flow(GUEST4, FAR4, PROTO_UDP);
	assert_int_equal(f->timeout_s, 30);
	frame.now_ms += 10000;
	at = f->expires_ms;
	udp(GUEST4, 99, FAR4, 1);
	assert_int_equal(f->expires_ms, at + 10000);
	assert_int_equal(write(pair[1], "abc", 3), 3);
	turn();
	assert_int_equal(f->timeout_s, 180);
	assert_int_equal(f->down, 3);
	assert_int_equal(f->pdown, 1);
	/* a guest whose link is full got nothing */
	fake_link_full = true;
	assert_int_equal(write(pair[1], "abc", 3), 3);
	turn();
	assert_int_equal(f->pdown, 1);
	end_flow(f);
}

/* A flow that is written to without end lets the others have their turn. */
static void
test_udp_batch(void **state)
{
	struct flow	*f;
	unsigned int	 i;

	(void)state;
	udp(GUEST4, 99, FAR4, 1);
	f = open_flow(GUEST4, FAR4, PROTO_UDP);
	for (i = 0; i < 80; i++)
		assert_int_equal(write(pair[1], "x", 1), 1);
	turn();
	assert_int_equal(f->pdown, 32);
	turn();
	assert_int_equal(f->pdown, 64);
	turn();
	assert_int_equal(f->pdown, 80);
	end_flow(f);
}

/* ---- refusals ---- */

static void
test_denied(void **state)
{
	struct flow	*f;
	unsigned int	 i;

	(void)state;
	for (i = 0; i < 5; i++)
		udp(GUEST4, 99, FAR4, 100 + i);
	f = find(GUEST4, 99, FAR4, 7, PROTO_UDP);
	f->state = FLOW_CLOSING;
	f->ops->denied(f, DENY_ADMIN);
	assert_int_equal(flow_count(), 0);
	assert_int_equal(fake_closed, 0);	/* the id is gone already */
	assert_int_equal(fake_nsent, 5);
	for (i = 0; i < 5; i++) {
		check_sent(&fake_sent[i]);
		assert_int_equal(sent_l4(&fake_sent[i])[1], 13);
		/* each quotes its own datagram */
		assert_int_equal(get16(sent_l4(&fake_sent[i]) + 8 + 20 + 4),
		    8 + 100 + i);
	}
	udp(GUEST4, 99, FAR4, 1);
	assert_int_equal(fake_asked, 2);
	f = find(GUEST4, 99, FAR4, 7, PROTO_UDP);
	fake_nsent = 0;
	f->ops->denied(f, DENY_SILENT);
	assert_int_equal(fake_nsent, 0);
}

static void
test_lost(void **state)
{
	struct flow	*f;

	(void)state;
	udp(GUEST4, 99, FAR4, 1);
	f = find(GUEST4, 99, FAR4, 7, PROTO_UDP);
	f->ops->lost(f);
	assert_int_equal(flow_count(), 0);
	assert_int_equal(fake_reason, REASON_RESOURCE);
	assert_int_equal(fake_nsent, 1);
	assert_int_equal(sent_l4(&fake_sent[0])[1], 3);
}

static void
test_revoked(void **state)
{
	struct flow	*f;

	(void)state;
	udp(GUEST4, 99, FAR4, 5);
	f = open_flow(GUEST4, FAR4, PROTO_UDP);
	f->ops->revoked(f);
	assert_int_equal(flow_count(), 0);
	assert_int_equal(fake_how, HOW_RST);
	assert_int_equal(fake_reason, REASON_KILLED);
	assert_int_equal(fake_nsent, 1);
	assert_int_equal(sent_l4(&fake_sent[0])[1], 13);
	/* the fd is closed, and nothing is left in the loop */
	assert_int_equal(fcntl(pair[0], F_GETFD), -1);
	assert_int_equal(event_base_get_num_events(frame.base,
	    EVENT_BASE_COUNT_ADDED), 0);
	close(pair[1]);
}

/* ---- errors of a real UDP socket ---- */

static int
udp_socket(struct sockaddr_in *sin, bool bound)
{
	socklen_t	len = sizeof(*sin);
	int		fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	if (bound) {
		memset(sin, 0, sizeof(*sin));
		sin->sin_family = AF_INET;
		sin->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		assert_int_equal(bind(fd, (struct sockaddr *)sin, len), 0);
		getsockname(fd, (struct sockaddr *)sin, &len);
	} else
		assert_int_equal(connect(fd, (struct sockaddr *)sin, len), 0);
	return fd;
}

static struct flow *
open_real(int fd)
{
	struct flow	*f = find(GUEST4, 99, FAR4, 7, PROTO_UDP);

	f->state = FLOW_OPEN;
	f->ops->granted(f, fd);
	return f;
}

static void
test_refused(void **state)
{
	struct sockaddr_in	sin;
	int			server = udp_socket(&sin, true), fd;
	struct flow		*f;

	(void)state;
	fd = udp_socket(&sin, false);
	close(server);				/* now its port is closed */
	udp(GUEST4, 99, FAR4, 11);
	f = open_real(fd);
	turn();					/* the error wakes us */
	assert_int_equal(fake_nsent, 1);
	assert_int_equal(sent_l4(&fake_sent[0])[1], 3);
	assert_int_equal(get16(sent_l4(&fake_sent[0]) + 8 + 20 + 4), 19);
	/* two in a row: the second write learns of the first, and is sent */
	udp(GUEST4, 99, FAR4, 12);
	udp(GUEST4, 99, FAR4, 13);
	assert_int_equal(fake_nsent, 2);
	assert_int_equal(get16(sent_l4(&fake_sent[1]) + 8 + 20 + 4), 20);
	turn();
	assert_int_equal(fake_nsent, 3);
	assert_int_equal(get16(sent_l4(&fake_sent[2]) + 8 + 20 + 4), 21);
	assert_int_equal(f->pup, 3);
	f->ops->timeout(f);
}

/* The error that waits belongs to an earlier one; this one must arrive. */
static void
test_refused_then_sent(void **state)
{
	struct sockaddr_in	sin;
	int			server = udp_socket(&sin, true), fd;
	struct flow		*f;

	(void)state;
	fd = udp_socket(&sin, false);
	close(server);
	udp(GUEST4, 99, FAR4, 11);
	f = open_real(fd);
	server = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(server, (struct sockaddr *)&sin, sizeof(sin)), 0);
	udp(GUEST4, 99, FAR4, 12);
	assert_int_equal(read(server, buf, sizeof(buf)), 12);
	assert_int_equal(fake_nsent, 1);
	assert_int_equal(f->pup, 2);
	close(server);
	f->ops->timeout(f);
}

/* shutdown(2) of the broker's copy: no wake-ups until REVOKE comes. */
static void
test_shutdown(void **state)
{
	struct sockaddr_in	sin;
	int			server = udp_socket(&sin, true), fd, copy;
	struct flow		*f;
	unsigned int		i;

	(void)state;
	fd = udp_socket(&sin, false);
	copy = dup(fd);
	udp(GUEST4, 99, FAR4, 11);
	f = open_real(fd);
	shutdown(copy, SHUT_RDWR);
	for (i = 0; i < 10; i++)
		turn();
	assert_int_equal(fake_nsent, 0);
	assert_int_equal(event_base_get_num_events(frame.base,
	    EVENT_BASE_COUNT_ADDED), 0);
	udp(GUEST4, 99, FAR4, 12);		/* EPIPE: lost */
	assert_int_equal(f->pup, 1);
	f->ops->revoked(f);
	close(copy);
	close(server);
}

/* ---- limits ---- */

static struct flow *
open_many(unsigned int n, int fd)
{
	struct flow	*f = NULL;
	unsigned int	 i;

	for (i = 0; i < n; i++) {
		mk_udp(&m, GUEST4, (uint16_t)(1000 + i), FAR4, 7, noise, 1);
		mk_send(&m);
		f = find(GUEST4, (uint16_t)(1000 + i), FAR4, 7, PROTO_UDP);
		if (f != NULL && fd != -1) {
			f->state = FLOW_OPEN;
			f->ops->granted(f, dup(fd));
		}
		frame.now_ms++;
	}
	return f;
}

static void
test_replacement(void **state)
{
	struct sockaddr_in	sin;
	int			server = udp_socket(&sin, true), fd;
	struct flow		*f;
	unsigned int		i;

	(void)state;
	fd = udp_socket(&sin, false);
	assert_non_null(open_many(fake_flows_max, fd));
	assert_int_equal(flow_count(), fake_flows_max);
	/* all are in use: the next is refused at once */
	frame.now_ms = 1000000;
	fake_nsent = 0;
	udp(GUEST4, 99, FAR4, 1);
	assert_int_equal(fake_nsent, 1);
	assert_int_equal(sent_l4(&fake_sent[0])[1], 3);
	/* the longest idle one makes room, and not the one used since */
	frame.now_ms += 5000;
	mk_udp(&m, GUEST4, 1000, FAR4, 7, noise, 1);
	mk_send(&m);
	udp(GUEST4, 99, FAR4, 1);
	assert_non_null(find(GUEST4, 99, FAR4, 7, PROTO_UDP));
	assert_non_null(find(GUEST4, 1000, FAR4, 7, PROTO_UDP));
	assert_null(find(GUEST4, 1001, FAR4, 7, PROTO_UDP));
	assert_int_equal(fake_closed, 1);
	assert_int_equal(fake_reason, REASON_CONNS);
	for (i = 0; i < fake_flows_max; i++)
		if ((f = find(GUEST4, (uint16_t)(1000 + i), FAR4, 7,
		    PROTO_UDP)) != NULL)
			f->ops->timeout(f);
	f = find(GUEST4, 99, FAR4, 7, PROTO_UDP);
	f->ops->denied(f, DENY_SILENT);
	assert_int_equal(flow_count(), 0);
	close(fd);
	close(server);
}

/* What waits is bounded by the pool, and all of it comes back. */
static void
hold_everything(size_t len, unsigned int flows, unsigned int expect)
{
	struct flow	*f;
	unsigned int	 i, j, held = 0;

	for (i = 0; i < flows; i++)
		for (j = 0; j < 64; j++) {
			mk_udp(&m, GUEST4, (uint16_t)(1000 + i), FAR4, 7,
			    noise, len);
			mk_send(&m);
		}
	for (i = 0; i < flows; i++) {
		f = find(GUEST4, (uint16_t)(1000 + i), FAR4, 7, PROTO_UDP);
		held += ((struct dgram_flow *)f)->nheld;
		f->ops->denied(f, DENY_SILENT);
	}
	assert_int_equal(held, expect);
}

static void
test_pool(void **state)
{
	unsigned int	i;

	(void)state;
	for (i = 0; i < 3; i++) {
		hold_everything(100, 32, 1024);
		hold_everything(60000, 2, 32);
		hold_everything(100, 1, 64);
	}
}

/* ---- echo ---- */

static void
ping(const char *src, const char *dst, uint16_t seq, size_t len)
{
	mk_echo(&m, src, dst, strchr(src, ':') != NULL ? 128 : 8, 99, seq,
	    noise, len);
	mk_send(&m);
}

/* As the host's kernel answers: another ident, the type of a reply. */
static void
pong(bool v6, uint16_t seq, const uint8_t *payload, size_t len)
{
	static uint8_t	reply[65536];

	memset(reply, 0, 8);
	reply[0] = v6 ? 129 : 0;
	put16(reply + 4, 0x7777);
	put16(reply + 6, seq);
	memcpy(reply + 8, payload, len);
	fake_nsent = 0;
	assert_int_equal(write(pair[1], reply, 8 + len), 8 + len);
	turn();
}

static void
exchange(const char *guest, const char *dst, size_t len)
{
	bool		 v6 = strchr(guest, ':') != NULL;
	struct flow	*f;
	const uint8_t	*l4;

	fake_forget();
	ping(guest, dst, 3, len);
	assert_int_equal(fake_asked, 1);
	f = open_flow(guest, dst, PROTO_ECHO);
	assert_int_equal(read(pair[1], buf, sizeof(buf)), 8 + len);
	assert_int_equal(buf[0], v6 ? 128 : 8);
	assert_int_equal(get16(buf + 6), 3);
	assert_memory_equal(buf + 8, noise, len);
	pong(v6, 3, noise, len);
	assert_int_equal(fake_nsent, 1);
	check_sent(&fake_sent[0]);
	l4 = sent_l4(&fake_sent[0]);
	assert_int_equal(l4[0], v6 ? 129 : 0);
	assert_int_equal(get16(l4 + 4), 99);
	assert_int_equal(get16(l4 + 6), 3);
	assert_memory_equal(l4 + 8, noise, len);
	assert_int_equal(f->up, len);
	assert_int_equal(f->down, len);
	end_flow(f);
}

static void
test_echo(void **state)
{
	static const size_t	len[] = { 0, 1, 56, 1472, 9000, 65472 };
	size_t			i;

	(void)state;
	for (i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
		exchange(GUEST4, FAR4, len[i]);
		exchange(GUEST6, FAR6, len[i]);
	}
}

static void
test_echo_strangers(void **state)
{
	struct flow	*f;
	unsigned int	 i;

	(void)state;
	ping(GUEST4, FAR4, 3, 56);
	f = open_flow(GUEST4, FAR4, PROTO_ECHO);
	pong(false, 4, noise, 56);		/* another sequence */
	assert_int_equal(fake_nsent, 0);
	pong(false, 3 + 32, noise, 56);
	assert_int_equal(fake_nsent, 0);
	pong(false, 3, noise, 55);		/* length */
	assert_int_equal(fake_nsent, 0);
	pong(false, 3, noise + 1, 56);		/* payload */
	assert_int_equal(fake_nsent, 0);
	pong(true, 3, noise, 56);		/* type */
	assert_int_equal(fake_nsent, 0);
	for (i = 0; i < 8; i++) {		/* shorter than its header */
		assert_int_equal(write(pair[1], buf, i), i);
		turn();
	}
	assert_int_equal(fake_nsent, 0);
	pong(false, 3, noise, 56);
	assert_int_equal(fake_nsent, 1);
	pong(false, 3, noise, 56);		/* a second time */
	assert_int_equal(fake_nsent, 0);
	/* many under way */
	for (i = 0; i < 32; i++)
		ping(GUEST4, FAR4, (uint16_t)(65530 + i), i);
	for (i = 0; i < 32; i++) {
		pong(false, (uint16_t)(65530 + i), noise, i);
		assert_int_equal(fake_nsent, 1);
	}
	end_flow(f);
}

/* Another ident is another exchange; a UDP port of that number is not it. */
static void
test_keys(void **state)
{
	struct flow	*f;

	(void)state;
	ping(GUEST4, FAR4, 1, 1);
	mk_echo(&m, GUEST4, FAR4, 8, 98, 1, noise, 1);
	mk_send(&m);
	udp(GUEST4, 99, FAR4, 1);
	udp(GUEST4, 98, FAR4, 1);
	udp(GUEST4, 99, "192.0.2.2", 1);
	assert_int_equal(fake_asked, 5);
	assert_int_equal(flow_count(), 5);
	while ((f = find(GUEST4, 99, FAR4, 7, PROTO_UDP)) != NULL ||
	    (f = find(GUEST4, 98, FAR4, 7, PROTO_UDP)) != NULL ||
	    (f = find(GUEST4, 99, "192.0.2.2", 7, PROTO_UDP)) != NULL ||
	    (f = find(GUEST4, 99, FAR4, 0, PROTO_ECHO)) != NULL ||
	    (f = find(GUEST4, 98, FAR4, 0, PROTO_ECHO)) != NULL)
		f->ops->denied(f, DENY_ADMIN);
	assert_int_equal(flow_count(), 0);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test_setup(test_udp_held_in_order, fake_reset),
		cmocka_unit_test_setup(test_udp_sizes, fake_reset),
		cmocka_unit_test_setup(test_udp_timeouts, fake_reset),
		cmocka_unit_test_setup(test_udp_batch, fake_reset),
		cmocka_unit_test_setup(test_denied, fake_reset),
		cmocka_unit_test_setup(test_lost, fake_reset),
		cmocka_unit_test_setup(test_revoked, fake_reset),
		cmocka_unit_test_setup(test_refused, fake_reset),
		cmocka_unit_test_setup(test_refused_then_sent, fake_reset),
		cmocka_unit_test_setup(test_shutdown, fake_reset),
		cmocka_unit_test_setup(test_replacement, fake_reset),
		cmocka_unit_test_setup(test_pool, fake_reset),
		cmocka_unit_test_setup(test_echo, fake_reset),
		cmocka_unit_test_setup(test_echo_strangers, fake_reset),
		cmocka_unit_test_setup(test_keys, fake_reset),
	};
	size_t	i;
	int	failed;

	for (i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)(i * 2654435761u >> 13);
	frame.base = event_base_new();
	fake_reset(NULL);
	dgram_room_init();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	event_base_free(frame.base);
	return failed;
}
