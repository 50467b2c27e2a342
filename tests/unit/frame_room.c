/*
 * See frame_room.h. The link's functions are defined here, so link.c, tap.c and
 * stream.c stay out; clock_gettime(2) is, so libevent's timers obey us.
 */
#include <sys/socket.h>
#include <sys/syscall.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <assert.h>
#include <err.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bytes.h"
#include "fd.h"
#include "frame_room.h"
#include "link.h"
#include "log.h"

#define RX_BUFFERS	256

struct frame	 frame;
void		(*room_on_segment)(const struct room_seg *);
void		(*room_on_other)(const uint8_t *, size_t);
bool		 room_link_full;
unsigned int	 room_frames;

static int	 broker = -1;
static uint64_t	 now_ns = UINT64_C(1000000000000);
static uint32_t	 link_flags;
static struct rxbuf *free_list;
static unsigned int free_count;

/* ---- the clock ---- */

/* libFuzzer looks at the wall clock, and is to see the real one. */
int
clock_gettime(clockid_t id, struct timespec *ts)
{
	if (id == CLOCK_REALTIME)
		return (int)syscall(SYS_clock_gettime, id, ts);
	ts->tv_sec = (time_t)(now_ns / 1000000000);
	ts->tv_nsec = (long)(now_ns % 1000000000);
	return 0;
}

void
frame_clock(void)
{
	frame.now_ms = now_ns / 1000000;
}

/* ---- the link ---- */

void
rxbuf_release(struct rxbuf *b)
{
	b->next = free_list;
	free_list = b;
	free_count++;
}

struct rxbuf *
rxbuf_get(void)
{
	struct rxbuf	*b = free_list;

	if (b == NULL)
		return NULL;
	free_list = b->next;
	free_count--;
	b->needs_csum = b->csum_valid = false;
	b->gso_size = 0;
	return b;
}

unsigned int
rxbuf_free_count(void)
{
	return free_count;
}

bool
link_full(void)
{
	return room_link_full;
}

bool
link_has_csum(void)
{
	return (link_flags & LINK_CSUM) != 0;
}

bool
link_has_tso(bool v6)
{
	return (link_flags & (v6 ? LINK_TSO6 : LINK_TSO4)) != 0;
}

static void
show_segment(const uint8_t *f, size_t len, bool v6)
{
	size_t			 ihl = v6 ? 40 : 20, thl;
	const uint8_t		*t = f + ETH_LEN + ihl;
	struct room_seg		 s = { .v6 = v6 };

	thl = (t[12] >> 4) * 4u;
	s.dport = get16(t);
	s.gport = get16(t + 2);
	s.seq = get32(t + 4);
	s.ack = get32(t + 8);
	s.flags = t[13];
	s.window = get16(t + 14);
	s.options = t + 20;
	s.options_len = thl - 20;
	s.data = t + thl;
	s.len = len - ETH_LEN - ihl - thl;
	if (room_on_segment != NULL)
		room_on_segment(&s);
}

int
link_send(const struct iovec *iov, unsigned int n,
    const struct tx_offload *off)
{
	static uint8_t	f[FRAME_MAX];
	size_t		len = 0;
	unsigned int	i;

	(void)off;
	for (i = 0; i < n; i++) {
		assert(iov[i].iov_len <= sizeof(f) - len);
		memcpy(f + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	room_frames++;
	if (len >= 54 && get16(f + 12) == 0x0800 && f[23] == IPPROTO_TCP)
		show_segment(f, len, false);
	else if (len >= 74 && get16(f + 12) == 0x86dd && f[20] == IPPROTO_TCP)
		show_segment(f, len, true);
	else if (room_on_other != NULL)
		room_on_other(f, len);
	return 0;
}

/* ---- the guest ---- */

void
room_guest_frame(const uint8_t *data, size_t len)
{
	struct rxbuf	*b = rxbuf_get();

	if (b == NULL || len > FRAME_MAX)
		errx(1, "no buffer left");
	memcpy(rxbuf_eth(b), data, len);
	b->len = (uint32_t)len;
	frame_clock();
	packet_input(b);
}

static const uint8_t	guest6[16] = { 0xfd, 0x53, 0x61, 0x6c, 0x6c, 0x79,
			    [14] = 0x01, [15] = 0x00 };
static const uint8_t	far6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };

static const uint8_t	gateway6[16] = { 0xfd, 0x53, 0x61, 0x6c, 0x6c, 0x79,
			    [15] = 2 };

/* The IP header in front of l4_len bytes of TCP or UDP; returns its length. */
static size_t
put_ip(uint8_t *ip, bool v6, bool gateway, uint8_t proto, size_t l4_len)
{
	uint16_t	sum;

	memset(ip, 0, 40);
	if (v6) {
		ip[0] = 0x60;
		put16(ip + 4, (unsigned int)l4_len);
		ip[6] = proto;
		ip[7] = 64;
		memcpy(ip + 8, guest6, 16);
		memcpy(ip + 24, gateway ? gateway6 : far6, 16);
		return 40;
	}
	ip[0] = 0x45;
	put16(ip + 2, (unsigned int)l4_len + 20);
	ip[8] = 64;
	ip[9] = proto;
	memcpy(ip + 12, "\x0a\x00\x02\x64", 4);
	memcpy(ip + 16, gateway ? "\x0a\x00\x02\x02" : "\xc6\x33\x64\x09", 4);
	sum = (uint16_t)~csum_fold(csum_add(0, ip, 20));
	memcpy(ip + 10, &sum, 2);
	return 20;
}

/* Up to L4, which is to follow; returns where. */
static size_t
put_front(uint8_t *f, bool v6, bool gateway, uint8_t proto, size_t l4_len)
{
	memcpy(f, frame.config.gateway_mac, 6);
	memcpy(f + 6, "\x02\x53\x50\x00\x00\x02", 6);
	put16(f + 12, v6 ? 0x86dd : 0x0800);
	return ETH_LEN + put_ip(f + ETH_LEN, v6, gateway, proto, l4_len);
}

static void
put_sum(uint8_t *f, bool v6, uint8_t proto, uint8_t *l4, size_t len, size_t at)
{
	uint16_t	sum;

	sum = (uint16_t)~csum_fold(csum_add(csum_pseudo(v6,
	    f + ETH_LEN + (v6 ? 8 : 12), f + ETH_LEN + (v6 ? 24 : 16),
	    proto, (uint32_t)len), l4, len));
	memcpy(l4 + at, &sum, 2);
}

void
room_guest_datagram(bool v6, uint16_t gport, uint16_t dport,
    const uint8_t *data, size_t len)
{
	static uint8_t	 f[FRAME_MAX];
	size_t		 at = put_front(f, v6, true, IPPROTO_UDP, 8 + len);
	uint8_t		*u = f + at;

	put16(u, gport);
	put16(u + 2, dport);
	put16(u + 4, (unsigned int)(8 + len));
	put16(u + 6, 0);
	memcpy(u + 8, data, len);
	put_sum(f, v6, IPPROTO_UDP, u, 8 + len, 6);
	room_guest_frame(f, at + 8 + len);
}

void
room_guest_sends(const struct room_seg *s)
{
	static uint8_t	 f[FRAME_MAX];
	size_t		 l4 = 20 + s->options_len + s->len, at;
	uint8_t		*t;

	at = put_front(f, s->v6, s->gateway, IPPROTO_TCP, l4);
	t = f + at;
	memset(t, 0, 20);
	put16(t, s->gport);
	put16(t + 2, s->dport);
	put32(t + 4, s->seq);
	put32(t + 8, s->ack);
	t[12] = (uint8_t)((5 + s->options_len / 4) << 4);
	t[13] = s->flags;
	put16(t + 14, s->window);
	put16(t + 18, s->urgent);
	if (s->options_len > 0)
		memcpy(t + 20, s->options, s->options_len);
	if (s->len > 0)
		memcpy(t + 20 + s->options_len, s->data, s->len);
	put_sum(f, s->v6, IPPROTO_TCP, t, l4, 16);
	room_guest_frame(f, at + l4);
}

/* ---- the broker ---- */

size_t
room_broker_recv(void *buf, size_t size)
{
	ssize_t	n = fd_recv(broker, buf, size, NULL, NULL);

	if (n <= 0 && errno != EAGAIN)
		errx(1, "the frame's channel ended");
	return n > 0 ? (size_t)n : 0;
}

void
room_broker_send(const void *msg, size_t len, int fd)
{
	if (fd_send(broker, msg, len, fd) == -1)
		err(1, "to the frame");
}

void
room_grant_written(uint64_t id, int fd, uint64_t written)
{
	struct wire_grant	m;

	wire_begin(&m, sizeof(m), WIRE_GRANT, id);
	m.written = written;
	room_broker_send(&m, sizeof(m), fd);
}

void
room_grant(uint64_t id, int fd)
{
	room_grant_written(id, fd, 0);
}

static void
send_peek(uint64_t id, enum peek_kind kind, uint32_t lenient)
{
	struct wire_peek	m;

	wire_begin(&m, sizeof(m), WIRE_PEEK, id);
	m.kind = kind;
	m.lenient = lenient;
	room_broker_send(&m, sizeof(m), -1);
}

void
room_peek(uint64_t id, enum peek_kind kind)
{
	send_peek(id, kind, 0);
}

void
room_peek_leniently(uint64_t id, enum peek_kind kind)
{
	send_peek(id, kind, 1);
}

void
room_deny(uint64_t id, enum deny_code code)
{
	struct wire_deny	m;

	wire_begin(&m, sizeof(m), WIRE_DENY, id);
	m.code = code;
	room_broker_send(&m, sizeof(m), -1);
}

void
room_revoke(uint64_t id)
{
	struct wire_revoke	m;

	wire_begin(&m, sizeof(m), WIRE_REVOKE, id);
	room_broker_send(&m, sizeof(m), -1);
}

/* ---- the loop ---- */

void
room_turn(void)
{
	int	i;

	for (i = 0; i < 50; i++) {
		event_base_loop(frame.base, EVLOOP_NONBLOCK);
		if (!tcp_turn_end() && i > 2)
			return;
	}
}

void
room_wait(uint64_t ms)
{
	for (; ms > 0; ms -= ms < 100 ? ms : 100) {
		now_ns += (ms < 100 ? ms : 100) * UINT64_C(1000000);
		room_turn();
	}
}

void
room_tcp_pair(int pair[2])
{
	struct sockaddr_in	sin = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t		len = sizeof(sin);
	int			l = socket(AF_INET, SOCK_STREAM, 0);
	struct linger		rst = { 1, 0 };

	pair[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(l, (struct sockaddr *)&sin, len) == -1 || listen(l, 1) == -1 ||
	    getsockname(l, (struct sockaddr *)&sin, &len) == -1 ||
	    connect(pair[0], (struct sockaddr *)&sin, len) == -1 ||
	    (pair[1] = accept(l, NULL, NULL)) == -1)
		err(1, "no TCP over the loopback");
	close(l);
	setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	fd_nonblock(pair[0]);
	fd_nonblock(pair[1]);
}

/* ---- the start ---- */

static void
addresses(struct wire_config *c)
{
	c->v4.guest = endpoint_v4(0x0a000264, 0);
	c->v4.gateway = endpoint_v4(0x0a000202, 0);
	c->v4.prefix_len = 24;
	c->v6.guest = endpoint_v6(guest6, 0);
	c->v6.gateway = c->v6.guest;
	c->v6.gateway.addr[14] = 0;
	c->v6.gateway.addr[15] = 2;
	c->v6.prefix_len = 64;
	memcpy(c->gateway_mac, "\x02\x53\x50\x00\x00\x01", 6);
	memcpy(c->guest_mac, "\x02\x53\x50\x00\x00\x02", 6);
}

void
frame_configure(const struct wire_config *c)
{
	frame.config = *c;
	frame.configured = true;
	memcpy(frame.guest_mac, c->guest_mac, 6);
	frame.guest_mac_known = true;
	flow_init();
	tcp_room_init();
	dgram_room_init();
	dns_room_init();
}

static void
buffers(void)
{
	unsigned int	 i;
	struct rxbuf	*b;

	for (i = 0; i < RX_BUFFERS; i++) {
		b = aligned_alloc(64, (sizeof(*b) + RXBUF_SLACK + FRAME_MAX +
		    63) & ~(size_t)63);
		if (b == NULL)
			err(1, "malloc");
		rxbuf_release(b);
	}
}

void
room_start(uint32_t flags, uint32_t mtu, uint32_t flows_max)
{
	struct wire_config	 c;
	struct wire_hello	 hello;
	int			 pair[2];

	signal(SIGPIPE, SIG_IGN);
	log_init("room", 2, LOG_LEVEL_WARN);
	link_flags = flags;
	buffers();
	rand_seed();
	if (fd_channel(pair) == -1)
		err(1, "channel");
	/* The frame's end has a fixed number; ours goes out of its way. */
	broker = fcntl(pair[0], F_DUPFD_CLOEXEC, 64);
	if (broker == -1 || dup2(pair[1], FD_CHANNEL) == -1)
		err(1, "channel");
	if (pair[0] != FD_CHANNEL)
		close(pair[0]);
	if (pair[1] != FD_CHANNEL)
		close(pair[1]);
	frame.base = event_base_new();
	ask_init();
	if (room_broker_recv(&hello, sizeof(hello)) != sizeof(hello))
		errx(1, "no HELLO");
	wire_begin(&c, sizeof(c), WIRE_CONFIG, 0);
	c.kind = LINK_TAP;
	c.flags = flags;
	c.mtu = mtu;
	c.flows_max = flows_max;
	c.tcp_half_idle = 600;
	c.udp_idle = 30;
	c.udp_stream = 180;
	c.echo_idle = 30;
	addresses(&c);
	room_broker_send(&c, sizeof(c), -1);
	room_turn();
	if (!frame.configured)
		errx(1, "not configured");
}
