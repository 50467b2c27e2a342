/*
 * A guest's first flight: what is gathered, when it is handed over, and every way
 * in which it can end before there is a server. And flight.c by itself.
 */
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "unit.h"

#include "bytes.h"
#include "fd.h"
#include "flight.h"
#include "frame_room.h"
#include "log.h"
#include "pool.h"

#define ISS	1000u

static uint16_t		gport = 3000;
static uint32_t		seq, down_next, fin_seq;
static unsigned int	nsyn_acks, nresets, nother;
static struct room_seg	seen;
static uint8_t		down[65536];
static size_t		down_len;

static uint64_t		id;
static unsigned int	nflights, nmutes, ncloses;
static uint8_t		flight[WIRE_FLIGHT_MAX + 64];
static uint32_t		flight_len;
static struct wire_close closed;
static int		server = -1, copy = -1;

static void
on_segment(const struct room_seg *s)
{
	if (s->gport != gport)
		return;
	seen = *s;
	nsyn_acks += (s->flags & (S_SYN | S_ACK)) == (S_SYN | S_ACK);
	nresets += (s->flags & S_RST) != 0;
	if ((s->flags & S_FIN) != 0)
		fin_seq = s->seq + (uint32_t)s->len;
	if (s->len > 0 && s->seq == down_next) {
		assert_true(down_len + s->len <= sizeof(down));
		memcpy(down + down_len, s->data, s->len);
		down_len += s->len;
		down_next += (uint32_t)s->len;
	}
}

static void
on_other(const uint8_t *f, size_t len)
{
	(void)f;
	(void)len;
	nother++;
}

static void
flight_came(const uint8_t *buf, size_t len)
{
	struct wire_flight	m;

	memcpy(&m, buf, sizeof(m));
	assert_int_equal(m.head.id, id);
	assert_int_equal(len, sizeof(m) + m.len);
	flight_len = m.len;
	memcpy(flight, buf + sizeof(m), m.len);
	nflights++;
}

static void
turn(void)
{
	_Alignas(8) uint8_t	buf[WIRE_MAX];
	struct wire_head	h;
	size_t			len;

	room_turn();
	while ((len = room_broker_recv(buf, sizeof(buf))) > 0) {
		memcpy(&h, buf, sizeof(h));
		if (h.type == WIRE_OPEN)
			id = h.id;
		else if (h.type == WIRE_FLIGHT)
			flight_came(buf, len);
		else if (h.type == WIRE_MUTE) {
			assert_int_equal(len, sizeof(struct wire_id));
			assert_int_equal(h.id, id);
			nmutes++;
		} else if (h.type == WIRE_CLOSE) {
			memcpy(&closed, buf, sizeof(closed));
			assert_int_equal(h.id, id);
			ncloses++;
		}
	}
}

static void
send_raw(uint8_t flags, uint32_t s, const void *data, size_t len)
{
	struct room_seg	out = {
		.gport = gport, .dport = 443, .seq = s,
		.ack = down_next + (fin_seq == down_next && fin_seq != 0),
		.flags = flags, .window = 1000, .data = data, .len = len,
	};

	if ((flags & S_SYN) != 0) {
		out.options = SYN_OPTIONS;
		out.options_len = 8;
	}
	room_guest_sends(&out);
}

static void
say(uint8_t flags, const void *data, size_t len)
{
	send_raw(flags | S_ACK, seq, data, len);
	seq += (uint32_t)len + ((flags & S_FIN) != 0);
	turn();
}

static int
start(void **state)
{
	(void)state;
	gport++;
	nsyn_acks = nresets = nother = nflights = nmutes = ncloses = 0;
	flight_len = 0;
	down_len = 0;
	down_next = fin_seq = 0;
	seq = ISS;
	memset(&closed, 0, sizeof(closed));
	send_raw(S_SYN, seq++, NULL, 0);
	turn();
	assert_int_equal(nsyn_acks, 0);
	return 0;
}

static void
peeked(void)
{
	turn();
	assert_int_equal(nsyn_acks, 1);
	assert_int_equal(seen.window, 2 * WIRE_FLIGHT_MAX);
	down_next = seen.seq + 1;
	send_raw(S_ACK, seq, NULL, 0);
	turn();
	assert_int_equal(nflights, 0);
}

static void
peek(enum peek_kind kind)
{
	room_peek(id, kind);
	peeked();
}

static void
peek_leniently(enum peek_kind kind)
{
	room_peek_leniently(id, kind);
	peeked();
}

static void
grant_written(uint32_t written)
{
	int	pair[2];

	room_tcp_pair(pair);
	server = pair[1];
	copy = pair[0];
	/* as the broker does it */
	assert_int_equal(write(copy, flight, written), written);
	room_grant_written(id, copy, written);
	turn();
}

static void
grant(void)
{
	grant_written(flight_len);
}

static int
end(void **state)
{
	struct flow	*f = flow_by_id(id);

	(void)state;
	if (f != NULL && f->state == FLOW_OPEN)
		room_revoke(id);
	else if (f != NULL)
		room_deny(id, DENY_SILENT);
	turn();
	fd_drop(&server);
	fd_drop(&copy);
	room_wait(70000);
	turn();
	assert_int_equal(flow_count(), 0);
	return 0;
}

/* A ClientHello of `body` bytes in records of at most `part`. */
static size_t
hello(uint8_t *out, size_t body, size_t part)
{
	static uint8_t	msg[40000];
	size_t		at = 0, n = 4 + body, i, k;

	memset(msg, 0x55, sizeof(msg));
	put32(msg, (uint32_t)body);
	msg[0] = 1;
	for (i = 0; i < n; i += k) {
		k = n - i < part ? n - i : part;
		memcpy(out + at, "\x16\x03\x01", 3);
		put16(out + at + 3, (unsigned int)k);
		memcpy(out + at + 5, msg + i, k);
		at += 5 + k;
	}
	return at;
}

static uint8_t	bytes[60000];

/* ---- flight.c ---- */

/* Whole after exactly `want` bytes, however they are cut. */
static void
whole_at(enum peek_kind kind, const uint8_t *p, size_t len, size_t want)
{
	struct flight	s;
	size_t		i, part;

	for (part = 1; part < 8; part++) {
		flight_start(&s, kind);
		for (i = 0; i < len; i += part)
			if (flight_whole(&s, p + i, len - i < part ?
			    len - i : part))
				break;
		if (want > len)
			assert_true(i >= len);
		else
			assert_int_equal(i / part, (want - 1) / part);
	}
}

static void
tls_at(const char *p, size_t len, size_t want)
{
	whole_at(PEEK_TLS, (const uint8_t *)p, len, want);
}

static void
http_at(const char *p, size_t want)
{
	whole_at(PEEK_HTTP, (const uint8_t *)p, strlen(p), want);
}

static void
either_at(const char *p, size_t len, size_t want)
{
	whole_at(PEEK_EITHER, (const uint8_t *)p, len, want);
}
#define NEVER	100000

static void
test_tls(void **state)
{
	size_t	part, body, len;

	(void)state;
	for (body = 0; body < 600; body += 37)
		for (part = 1; part < 700; part += 51) {
			len = hello(bytes, body, part);
			whole_at(PEEK_TLS, bytes, len, len);
			whole_at(PEEK_TLS, bytes, len - 1, NEVER);
			memset(bytes + len, 0x17, 20);	/* what follows is no matter */
			whole_at(PEEK_TLS, bytes, len + 20, len);
		}
	/* what can never become one */
	tls_at("GET / HTTP/1.1", 14, 1);
	tls_at("\x16\x02\x00", 3, 2);
	tls_at("\x16\x03\x01\x00\x00", 5, 5);
	tls_at("\x16\x03\x01\x40\x01", 5, 5);
	tls_at("\x16\x03\x01\x40\x00", 5, NEVER);
	tls_at("\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00", 10, 6);
	tls_at("\x16\x03\x01\x00\x05\x01\x00\x40\x01\x00", 10, 9);
	tls_at("\x16\x03\x01\x00\x05\x01\x01\x00\x00\x00", 10, 9);
	/* the second record is an alert */
	tls_at("\x16\x03\x01\x00\x05\x01\x00\x00\x09\x00\x15", 11, 11);
	/* the record is longer than the message: up to its end */
	tls_at("\x16\x03\x01\x00\x06\x01\x00\x00\x00\x00\x00", 11, 11);
	/* SSLv2's */
	tls_at("\x80\x2e\x01\x03\x01", 5, 1);
}

static void
test_http(void **state)
{
	(void)state;
	http_at("GET / HTTP/1.1\r\nHost: a\r\n\r\nrest", 27);
	http_at("GET / HTTP/1.1\r\nHost: a\r\n\r", NEVER);
	http_at("GET / HTTP/1.1\nHost: a\n\n", 24);
	http_at("GET / HTTP/1.1\r\n\r\n", 18);
	http_at("\r\nGET / HTTP/1.1\r\n\r\n", 20);
	http_at("\r\n\r\n\r\n", NEVER);
	http_at("GET / HTTP/1.1\r\nX:\ta\xff\r\n\r\n", 25);
	http_at("GET /\x01 HTTP/1.1", 6);
	http_at("\x16\x03\x01", 1);
	http_at("GET /\x7f", 6);
	/* a first line that is no request's is enough */
	http_at("example.org\r\nmore", 13);
	http_at("GET /\n\n", 6);
	http_at("\r\n*1\r\n$4\r\nPING\r\n", 6);
	http_at("GET / HTTP/1.2\r\n", 16);
	http_at("GET / HTTP/1.1x\r\n", 17);
	http_at("GET / HTTP/1.1 \n", 16);
	http_at("PRI * HTTP/2.0\r\n\r\n", 16);
	http_at("GET / HTTP/1.0\n\n", 16);
	http_at("GET /HTTP/1.HTTP/1.1\na\n\n", 24);
	http_at("GET / HTTP/1.1\r\nHost: HTTP/1.2\r\n\r\n", 34);
	http_at("GET / HTTP/1.", NEVER);
	/* and so is what begins like none */
	http_at("<?xml version='1.0'?>", 1);
	http_at("\r\n{\"id\":1}", 3);
	http_at(" GET / HTTP/1.1\r\n", 1);
	http_at("GE(T / HTTP/1.1\r\n", 3);
	http_at("0\x84\x01", 2);
	http_at("!#$%&'*+-.^_`|~09azAZ /(\xff HTTP/1.1\n\n", 36);
}

/* The first byte says which. */
static void
test_either(void **state)
{
	size_t	len = hello(bytes, 300, 100);

	(void)state;
	whole_at(PEEK_EITHER, bytes, len, len);
	whole_at(PEEK_EITHER, bytes, len - 1, NEVER);
	either_at("GET / HTTP/1.1\r\n\r\n", 18, 18);
	either_at("GET / HTTP/1.1\r\n\r", 17, NEVER);
	either_at("SSH-2.0-OpenSSH\r\n", 17, 17);
	/* no method has 33 bytes; a first word of 32 may be one */
	either_at("abcdefghijklmnopqrstuvwxyzabcdefg", 33, 33);
	either_at("abcdefghijklmnopqrstuvwxyzabcdef x", 34, NEVER);
	either_at("\x16GET", 4, 2);
	either_at("\r\n\x16", 3, 3);
}

/* ---- what is handed over ---- */

static void
test_at_once(void **state)
{
	uint8_t	got[20000];
	size_t	len = hello(bytes, 500, 16384);

	(void)state;
	peek(PEEK_TLS);
	say(S_PSH, bytes, len);
	assert_int_equal(nflights, 1);
	assert_int_equal(flight_len, len);
	assert_memory_equal(flight, bytes, len);
	assert_int_equal(seen.ack, seq);
	/* what comes now waits */
	say(S_PSH, "more", 4);
	assert_int_equal(nflights, 1);
	grant();
	assert_int_equal(read(server, got, sizeof(got)), len + 4);
	assert_memory_equal(got, bytes, len);
	assert_memory_equal(got + len, "more", 4);
	/* and both ways, as ever */
	assert_int_equal(write(server, "hello", 5), 5);
	turn();
	assert_int_equal(down_len, 5);
	say(S_PSH, "again", 5);
	assert_int_equal(read(server, got, 10), 5);
	say(S_FIN, NULL, 0);
	assert_int_equal(read(server, got, 10), 0);
	shutdown(server, SHUT_WR);
	turn();
	assert_int_equal(closed.how, HOW_FIN);
	assert_int_equal(closed.reason, REASON_DONE);
	assert_int_equal(closed.up, len + 9);
	assert_int_equal(closed.down, 5);
	assert_int_equal(nresets, 0);
}

static void
test_byte_by_byte(void **state)
{
	size_t	len = hello(bytes, 500, 100), i;

	(void)state;
	peek(PEEK_TLS);
	for (i = 0; i < len; i++) {
		assert_int_equal(nflights, 0);
		say(S_PSH, bytes + i, 1);
	}
	assert_int_equal(nflights, 1);
	assert_int_equal(flight_len, len);
	assert_memory_equal(flight, bytes, len);
}

/* With the last ACK of the handshake, out of order, twice. */
static void
test_odd_segments(void **state)
{
	size_t	len = hello(bytes, 900, 16384);

	(void)state;
	room_peek(id, PEEK_TLS);
	turn();
	down_next = seen.seq + 1;
	say(S_PSH, bytes, 300);
	send_raw(S_ACK, seq + 300, bytes + 600, len - 600);
	turn();
	assert_int_equal(nflights, 0);
	send_raw(S_ACK, seq - 300, bytes, 300);
	turn();
	say(S_PSH, bytes + 300, 300);
	say(S_PSH, bytes + 600, len - 600);
	assert_int_equal(nflights, 1);
	assert_int_equal(flight_len, len);
	assert_memory_equal(flight, bytes, len);
}

static void
test_largest(void **state)
{
	uint8_t	got[40000];
	size_t	len = hello(bytes, 16384, 16384), i, have = 0;
	ssize_t	n;

	(void)state;
	assert_true(len > WIRE_FLIGHT_MAX);
	peek(PEEK_TLS);
	for (i = 0; i < 16000; i += 1000)
		say(S_PSH, bytes + i, 1000);
	assert_int_equal(nflights, 0);
	say(S_PSH, bytes + 16000, 383);
	assert_int_equal(nflights, 0);
	say(S_PSH, bytes + 16383, 1);
	assert_int_equal(nflights, 1);
	assert_int_equal(flight_len, WIRE_FLIGHT_MAX);
	/* the window opens again, by as much */
	say(S_PSH, bytes + 16384, len - 16384);
	grant();
	while ((n = read(server, got + have, sizeof(got) - have)) > 0)
		have += (size_t)n;
	assert_int_equal(have, len);
	assert_memory_equal(got, bytes, len);
}

/* A sender of whole segments only, which keeps to what it was told. */
static void
test_whole_segments(void **state)
{
	size_t		at = 0;
	uint32_t	edge;

	(void)state;
	hello(bytes, 16384, 16384);
	peek(PEEK_TLS);
	edge = seq + seen.window;	/* not yet scaled: the SYN|ACK's */
	while (nflights == 0) {
		assert_true(edge - seq >= 1460);
		say(S_PSH, bytes + at, 1460);
		at += 1460;
		edge = seen.ack + ((uint32_t)seen.window << 7);
	}
	assert_in_range(at, WIRE_FLIGHT_MAX, WIRE_FLIGHT_MAX + 1459);
	assert_int_equal(flight_len, WIRE_FLIGHT_MAX);
	assert_memory_equal(flight, bytes, flight_len);
}

/* More than was announced is not kept; nobody takes a byte for minutes. */
static void
test_back_pressure(void **state)
{
	uint8_t		got[1000];
	uint32_t	sent = 0, have = 0, right;
	size_t		len = hello(bytes, 100, 16384);
	ssize_t		n;

	(void)state;
	peek(PEEK_TLS);
	say(S_PSH, bytes, len);
	memset(bytes, 'x', 30000);
	while (((uint32_t)seen.window << 7) >= 1000) {
		say(S_PSH, bytes, 1000);
		sent += 1000;
		assert_true(sent <= 3 * WIRE_FLIGHT_MAX);
	}
	right = seen.ack;
	say(S_PSH, bytes, 20000);
	assert_true(seen.ack - right < 1000);
	sent += seen.ack - right;
	seq = seen.ack;
	room_wait(60000);
	turn();
	assert_int_equal(ncloses, 0);
	grant();
	while ((n = read(server, got, sizeof(got))) > 0 || have < sent) {
		have += n > 0 ? (uint32_t)n : 0;
		turn();
	}
	assert_int_equal(have, len + sent);
	assert_true(((uint32_t)seen.window << 7) > 2 * WIRE_FLIGHT_MAX);
}

static void
test_http_flow(void **state)
{
	static const char	head[] = "POST / HTTP/1.1\r\nHost: a.example\r\n\r\nbody";

	(void)state;
	peek(PEEK_HTTP);
	say(S_PSH, head, 20);
	assert_int_equal(nflights, 0);
	say(S_PSH, head + 20, sizeof(head) - 21);
	assert_int_equal(nflights, 1);
	/* all that was there */
	assert_int_equal(flight_len, sizeof(head) - 1);
	assert_memory_equal(flight, head, flight_len);
}

static void
test_garbage(void **state)
{
	(void)state;
	peek(PEEK_TLS);
	say(S_PSH, "SSH-2.0-OpenSSH\r\n", 17);
	assert_int_equal(nflights, 1);
	assert_int_equal(flight_len, 17);
	room_deny(id, DENY_ADMIN);
	turn();
	/* after a handshake there is only one way to say it */
	assert_int_equal(nresets, 1);
	assert_int_equal(seen.seq, down_next);
	assert_int_equal(nother, 0);
	assert_int_equal(ncloses, 0);
}

/*
 * Others hold all of the memory: the window is small, nothing is lost, and when
 * there is room again the flight goes on although the guest only waits.
 */
static void
test_short_of_memory(void **state)
{
	TAILQ_HEAD(, chunk)	 held = TAILQ_HEAD_INITIALIZER(held);
	struct chunk		*c;
	size_t			 len = hello(bytes, 6000, 16384), at = 0, n;
	uint32_t		 edge;

	(void)state;
	while ((c = chunk_get(true, 4)) != NULL)
		TAILQ_INSERT_TAIL(&held, c, entry);
	room_peek(id, PEEK_TLS);
	turn();
	assert_in_range(seen.window, 1, 1000);
	down_next = seen.seq + 1;
	send_raw(S_ACK, seq, NULL, 0);
	turn();
	edge = seq + 896;
	while (at < 896) {
		n = 896 - at < 100 ? 896 - at : 100;
		say(S_PSH, bytes + at, n);
		at += n;
	}
	assert_int_equal(seen.ack, edge);
	assert_int_equal(seen.window, 0);
	room_wait(2000);
	turn();
	assert_int_equal(seen.window, 0);
	assert_int_equal(nflights, 0);
	while ((c = TAILQ_FIRST(&held)) != NULL) {
		TAILQ_REMOVE(&held, c, entry);
		chunk_put(c);
	}
	room_wait(200);
	turn();
	assert_true((uint32_t)seen.window << 7 >= len - at);
	say(S_PSH, bytes + at, len - at);
	assert_int_equal(nflights, 1);
	assert_int_equal(flight_len, len);
	assert_memory_equal(flight, bytes, len);
}

/* ---- the guest ends ---- */

static void
test_fin_after(void **state)
{
	uint8_t	got[2000];
	size_t	len = hello(bytes, 500, 16384);

	(void)state;
	peek(PEEK_TLS);
	say(S_PSH | S_FIN, bytes, len);
	assert_int_equal(nflights, 1);
	assert_int_equal(flight_len, len);
	assert_int_equal(ncloses, 0);
	grant();
	assert_int_equal(read(server, got, sizeof(got)), len);
	assert_int_equal(read(server, got, 1), 0);	/* and not before */
	assert_int_equal(write(server, "late", 4), 4);
	shutdown(server, SHUT_WR);
	turn();
	assert_int_equal(down_len, 4);
	assert_int_equal(fin_seq, down_next);
	assert_int_equal(closed.how, HOW_FIN);
	assert_int_equal(nresets, 0);
}

/* Between flight and grant. */
static void
test_fin_between(void **state)
{
	uint8_t	got[2000];
	size_t	len = hello(bytes, 500, 16384);

	(void)state;
	peek(PEEK_TLS);
	say(S_PSH, bytes, len);
	assert_int_equal(nflights, 1);
	say(S_PSH, "tail", 4);
	say(S_FIN, NULL, 0);
	assert_int_equal(nflights, 1);
	assert_int_equal(ncloses, 0);
	grant();
	assert_int_equal(read(server, got, sizeof(got)), len + 4);
	assert_int_equal(read(server, got, 1), 0);
}

static void
test_fin_before(void **state)
{
	size_t	len = hello(bytes, 500, 16384);

	(void)state;
	peek(PEEK_TLS);
	say(S_PSH, bytes, len - 1);
	assert_int_equal(nflights, 0);
	say(S_FIN, NULL, 0);
	assert_int_equal(nflights, 1);
	assert_int_equal(flight_len, len - 1);
	room_deny(id, DENY_RESET);
	turn();
	assert_int_equal(nresets, 1);
}

static void
test_fin_of_nothing(void **state)
{
	(void)state;
	peek(PEEK_TLS);
	say(S_FIN, NULL, 0);
	assert_int_equal(nflights, 0);
	assert_int_equal(ncloses, 1);
	assert_int_equal(closed.how, HOW_CANCEL);
	assert_int_equal(closed.reason, REASON_GUEST_CANCEL);
	assert_int_equal(nresets, 1);
	/* what crosses it is ignored */
	room_deny(id, DENY_RESET);
	turn();
	assert_int_equal(nresets, 1);
}

static void
test_rst(void **state)
{
	size_t	len = hello(bytes, 500, 16384);
	int	when;

	for (when = 0; when < 3; when++) {
		if (when > 0)
			start(state);
		room_peek(id, PEEK_TLS);
		turn();
		down_next = seen.seq + 1;
		if (when > 0)
			say(S_PSH, bytes, when == 1 ? 100 : len);
		assert_int_equal(nflights, when == 2);
		say(S_RST, NULL, 0);
		assert_int_equal(ncloses, 1);
		assert_int_equal(closed.how, HOW_CANCEL);
		assert_int_equal(closed.reason, REASON_GUEST_CANCEL);
		assert_int_equal(nresets, 0);
		assert_int_equal(flow_count(), 0);
		/* a grant that crosses it: the fd is closed */
		if (when == 2) {
			uint8_t	b[2000];

			grant();
			fd_drop(&copy);
			assert_int_equal(read(server, b, sizeof(b)), len);
			assert_true(read(server, b, 1) <= 0);
			fd_drop(&server);
		}
	}
}

/* The grant is there, and in the same turn the guest's RST is. */
static void
test_rst_with_grant(void **state)
{
	uint8_t	b[2000];
	size_t	len = hello(bytes, 500, 16384);
	int	pair[2];

	(void)state;
	peek(PEEK_TLS);
	say(S_PSH, bytes, len);
	room_tcp_pair(pair);
	server = pair[1];
	send_raw(S_RST | S_ACK, seq, NULL, 0);
	room_grant_written(id, pair[0], flight_len);
	close(pair[0]);
	turn();
	assert_int_equal(ncloses, 1);
	assert_true(closed.how == HOW_RST || closed.how == HOW_CANCEL);
	assert_int_equal(read(server, b, 1), -1);
	assert_int_equal(errno, ECONNRESET);
}

static void
test_denied_early(void **state)
{
	(void)state;
	/* in the middle of the handshake */
	room_peek(id, PEEK_TLS);
	turn();
	assert_int_equal(nsyn_acks, 1);
	room_deny(id, DENY_RESET);
	turn();
	assert_int_equal(nresets, 1);
	assert_int_equal(flow_count(), 0);
	/* before it was whole: the broker's deadline */
	start(state);
	peek(PEEK_TLS);
	say(S_PSH, "\x16\x03", 2);
	room_deny(id, DENY_SILENT);
	turn();
	assert_int_equal(nresets, 1);
	assert_int_equal(nflights, 0);
	assert_int_equal(ncloses, 0);
}

/* ---- a broker that may go on without ---- */

static void
server_has(const void *want, size_t len)
{
	uint8_t	got[40000];

	assert_int_equal(read(server, got, sizeof(got)), len);
	assert_memory_equal(got, want, len);
}

/* The server speaks first, then the guest, and both end. */
static void
talk(void)
{
	assert_int_equal(write(server, "220 ready", 9), 9);
	turn();
	assert_int_equal(down_len, 9);
	assert_memory_equal(down, "220 ready", 9);
	say(S_PSH, "EHLO", 4);
	server_has("EHLO", 4);
	say(S_FIN, NULL, 0);
	assert_int_equal(read(server, bytes, 1), 0);
	shutdown(server, SHUT_WR);
	turn();
	assert_int_equal(ncloses, 1);
	assert_int_equal(closed.how, HOW_FIN);
	assert_int_equal(closed.reason, REASON_DONE);
	assert_int_equal(nresets, 0);
	assert_int_equal(nmutes, 0);
}

static void
test_no_flight(void **state)
{
	(void)state;
	peek_leniently(PEEK_TLS);
	grant_written(0);
	assert_int_equal(nflights, 0);
	talk();
}

/* What had come of it is not lost, and not handed over any more. */
static void
test_part_of_flight(void **state)
{
	size_t	len = hello(bytes, 500, 16384);

	(void)state;
	peek_leniently(PEEK_TLS);
	say(S_PSH, bytes, 300);
	grant_written(0);
	server_has(bytes, 300);
	say(S_PSH, bytes + 300, len - 300);
	server_has(bytes + 300, len - 300);
	assert_int_equal(nflights, 0);
	talk();
}

/* It is sent once, by whoever the grant says. */
static void
test_lenient_flight(void **state)
{
	size_t	len = hello(bytes, 500, 16384);
	int	crossing;

	for (crossing = 0; crossing < 2; crossing++) {
		if (crossing > 0)
			start(state);
		hello(bytes, 500, 16384);
		peek_leniently(PEEK_TLS);
		say(S_PSH, bytes, len);
		memcpy(bytes + len, "more", 4);
		say(S_PSH, "more", 4);
		assert_int_equal(nflights, 1);
		grant_written(crossing ? 0 : flight_len);
		server_has(bytes, len + 4);
		talk();
		assert_int_equal(closed.up, len + 8);
		assert_int_equal(closed.down, 9);
		if (crossing == 0)
			end(state);
	}
}

/* A FIN before the first byte is told, once, and reaches the server. */
static void
test_mute(void **state)
{
	(void)state;
	peek_leniently(PEEK_TLS);
	say(S_FIN, NULL, 0);
	assert_int_equal(nmutes, 1);
	send_raw(S_SYN, ISS, NULL, 0);	/* a challenge, and the flow is looked at */
	room_wait(60000);
	turn();
	assert_int_equal(nmutes + nflights + ncloses, 1);
	grant_written(0);
	assert_int_equal(read(server, bytes, 1), 0);
	assert_int_equal(write(server, "late", 4), 4);
	shutdown(server, SHUT_WR);
	turn();
	assert_int_equal(down_len, 4);
	assert_int_equal(fin_seq, down_next);
	assert_int_equal(closed.how, HOW_FIN);
	assert_int_equal(nresets, 0);
	/* and after a part of it, it is the flight */
	start(state);
	peek_leniently(PEEK_TLS);
	say(S_PSH, "\x16\x03", 2);
	say(S_FIN, NULL, 0);
	assert_int_equal(nflights, 1);
	assert_int_equal(nmutes, 0);
	assert_int_equal(flight_len, 2);
}

/* The server was quicker than the guest's handshake, which has its own limit. */
static void
test_granted_in_handshake(void **state)
{
	(void)state;
	room_peek_leniently(id, PEEK_TLS);
	turn();
	assert_int_equal(nsyn_acks, 1);
	grant_written(0);
	down_next = seen.seq + 1;
	send_raw(S_ACK, seq, NULL, 0);
	turn();
	talk();
	end(state);
	start(state);
	room_peek_leniently(id, PEEK_TLS);
	turn();
	grant_written(0);
	room_wait(21000);
	turn();
	assert_int_equal(ncloses, 1);
	assert_int_equal(closed.how, HOW_RST);
	assert_int_equal(closed.reason, REASON_GUEST_TIMEOUT);
}

/* ---- a broker that breaks the protocol ---- */

/* The frame must end; it does so in a child, which takes the message. */
static void
must_end(void)
{
	int	status;
	pid_t	pid = fork();

	assert_true(pid != -1);
	if (pid == 0) {
		log_init("room", open("/dev/null", O_WRONLY), LOG_LEVEL_WARN);
		room_turn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), FATAL_STATUS);
}

static void
must_not_grant(uint64_t written)
{
	int	pair[2];

	room_tcp_pair(pair);
	room_grant_written(id, pair[0], written);
	must_end();
	close(pair[0]);
	close(pair[1]);
}

static void
test_violations(void **state)
{
	struct wire_answer	a;
	uint64_t		tcp;
	size_t			len = hello(bytes, 500, 16384);

	(void)state;
	must_not_grant(1);			/* no PEEK, no flight */
	room_peek(id, (enum peek_kind)0);
	must_end();
	room_peek(id, (enum peek_kind)4);
	must_end();
	room_peek(id + 1, PEEK_TLS);		/* not yet made */
	must_end();
	wire_begin(&a, sizeof(a), WIRE_ANSWER, id);
	a.code = ANSWER_NXDOMAIN;		/* it was no question */
	room_broker_send(&a, sizeof(a), -1);
	must_end();
	peek(PEEK_TLS);
	room_peek(id, PEEK_TLS);
	must_end();
	room_revoke(id);
	must_end();
	must_not_grant(0);			/* before the flight */
	must_not_grant(1);
	say(S_PSH, bytes, len);
	assert_int_equal(nflights, 1);
	must_not_grant(0);
	must_not_grant(len - 1);
	must_not_grant(len + 1);
	grant();
	room_peek(id, PEEK_TLS);
	must_end();
	tcp = id;
	/* UDP has no first flight; a question is no flow */
	room_guest_datagram(false, 999, 54, bytes, 5);
	turn();
	room_peek(id, PEEK_TLS);
	must_end();
	room_deny(id, DENY_SILENT);
	turn();
	room_guest_datagram(false, 999, 53, (const uint8_t *)
	    "\0\1\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1", 19);
	turn();
	id++;
	room_deny(id, DENY_RESET);
	must_end();
	must_not_grant(0);
	room_peek(id, PEEK_TLS);
	must_end();
	id = tcp;
}

static void
test_lenient_violations(void **state)
{
	struct wire_peek	m;
	size_t			len = hello(bytes, 500, 16384);

	(void)state;
	wire_begin(&m, sizeof(m), WIRE_PEEK, id);
	m.kind = PEEK_TLS;
	m.lenient = 2;
	room_broker_send(&m, sizeof(m), -1);
	must_end();
	peek_leniently(PEEK_TLS);
	must_not_grant(1);
	say(S_PSH, bytes, 100);
	must_not_grant(100);
	say(S_PSH, bytes + 100, len - 100);
	assert_int_equal(nflights, 1);
	must_not_grant(1);
	must_not_grant(len - 1);
	must_not_grant(len + 1);
	grant();
	room_peek_leniently(id, PEEK_TLS);
	must_end();
}

/* ---- time ---- */

static void
test_timeouts(void **state)
{
	size_t	len = hello(bytes, 500, 16384);

	/* no ACK to our SYN|ACK */
	room_peek(id, PEEK_TLS);
	turn();
	room_wait(21000);
	turn();
	assert_int_equal(ncloses, 1);
	assert_int_equal(closed.how, HOW_CANCEL);
	assert_int_equal(closed.reason, REASON_GUEST_TIMEOUT);
	/* connected and silent: said so once, and then it is the broker's */
	start(state);
	peek(PEEK_TLS);
	room_wait(4000);
	turn();
	assert_int_equal(nmutes, 0);
	room_wait(2000);
	turn();
	assert_int_equal(nmutes, 1);
	room_wait(21000);
	turn();
	assert_int_equal(nmutes, 1);
	assert_int_equal(ncloses, 0);
	assert_int_equal(nflights, 0);
	/* its first byte late, and its last five seconds after that */
	room_deny(id, DENY_SILENT);
	turn();
	start(state);
	peek(PEEK_TLS);
	room_wait(4000);
	say(S_PSH, bytes, 9);
	room_wait(4000);
	turn();
	assert_int_equal(nflights + nmutes, 0);
	room_wait(2000);
	turn();
	assert_int_equal(nflights, 1);
	assert_int_equal(flight_len, 9);
	/* only looked at: no limit until then, and the same after it */
	room_deny(id, DENY_SILENT);
	turn();
	start(state);
	peek_leniently(PEEK_EITHER);
	room_wait(1000000);
	turn();
	assert_int_equal(nflights + nmutes + ncloses, 0);
	say(S_PSH, bytes, 9);
	room_wait(6000);
	turn();
	assert_int_equal(nflights, 1);
	assert_int_equal(flight_len, 9);
	/* once it has spoken, it is the broker that takes its time */
	room_deny(id, DENY_SILENT);
	turn();
	start(state);
	peek(PEEK_TLS);
	say(S_PSH, bytes, len);
	room_wait(120000);
	turn();
	assert_int_equal(ncloses, 0);
	grant();
	assert_int_equal(ncloses, 0);
	assert_int_equal(read(server, bytes + 30000, 10000), len);
}

/* ---- the channel ---- */

/* n guests speak at once. */
static void
fill_channel(uint64_t *ids, unsigned int n, size_t len, bool lenient)
{
	uint16_t	first = gport;
	unsigned int	i;

	ids[0] = id;
	for (i = 1; i < n; i++) {
		start(NULL);
		ids[i] = id;
	}
	gport = first;
	for (i = 0; i < n; i++, gport++) {
		nsyn_acks = 0;
		down_next = fin_seq = 0;
		seq = ISS + 1;
		if (lenient)
			room_peek_leniently(ids[i], PEEK_TLS);
		else
			room_peek(ids[i], PEEK_TLS);
		room_turn();
		down_next = seen.seq + 1;
		send_raw(S_ACK, seq, bytes, len);
		room_turn();
	}
}

/* Flights that find it full go out later, each once, and before more is asked. */
static void
test_channel_full(void **state)
{
	_Alignas(8) uint8_t	buf[WIRE_MAX];
	struct wire_head	h;
	uint64_t		ids[40];
	unsigned int		n = 40, i, flights = 0;
	size_t			len = hello(bytes, 16000, 16384);

	(void)state;
	fill_channel(ids, n, len, false);
	for (i = 0; i < 100; i++) {
		while (room_broker_recv(buf, sizeof(buf)) > 0) {
			memcpy(&h, buf, sizeof(h));
			if (h.type != WIRE_FLIGHT)
				continue;
			assert_int_equal(h.id, ids[flights++]);
			assert_memory_equal(buf + sizeof(struct wire_flight),
			    bytes, len);
		}
		if (i == 0)
			assert_true(flights < n);
		room_turn();
	}
	assert_int_equal(flights, n);
	for (i = 0; i < n; i++)
		room_deny(ids[i], DENY_RESET);
	room_turn();
	assert_int_equal(flow_count(), 0);
}

/* What waits for the channel may die there. */
static void
test_dies_waiting(void **state)
{
	_Alignas(8) uint8_t	buf[WIRE_MAX];
	uint64_t		ids[20];
	unsigned int		n = 20, i;
	size_t			len = hello(bytes, 16000, 16384);

	(void)state;
	fill_channel(ids, n, len, false);
	for (i = 0; i < n; i++)
		room_deny(ids[i], DENY_RESET);
	room_turn();
	assert_int_equal(flow_count(), 0);
	for (i = 0; i < 50; i++) {
		while (room_broker_recv(buf, sizeof(buf)) > 0)
			;
		room_turn();
	}
}

/* A grant makes an end of a flight that waits for the channel. */
static void
test_granted_waiting(void **state)
{
	_Alignas(8) uint8_t	buf[WIRE_MAX];
	struct wire_head	h;
	uint64_t		ids[40];
	unsigned int		n = 40, i, flights = 0;
	size_t			len = hello(bytes, 16000, 16384);
	int			pair[2];

	(void)state;
	fill_channel(ids, n, len, true);
	room_tcp_pair(pair);
	server = pair[1];
	copy = pair[0];
	room_grant_written(ids[n - 1], copy, 0);
	room_turn();
	for (i = 0; i < 100; i++) {
		while (room_broker_recv(buf, sizeof(buf)) > 0) {
			memcpy(&h, buf, sizeof(h));
			flights += h.type == WIRE_FLIGHT;
			assert_true(h.type != WIRE_FLIGHT ||
			    h.id != ids[n - 1]);
		}
		room_turn();
	}
	assert_int_equal(flights, n - 1);
	server_has(bytes, len);
	for (i = 0; i + 1 < n; i++)
		room_deny(ids[i], DENY_RESET);
	id = ids[n - 1];
}

#define T(f)	cmocka_unit_test_setup_teardown(f, start, end)

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_tls), cmocka_unit_test(test_http),
		cmocka_unit_test(test_either),
		T(test_at_once), T(test_byte_by_byte), T(test_odd_segments),
		T(test_largest), T(test_whole_segments), T(test_back_pressure), T(test_http_flow),
		T(test_garbage), T(test_short_of_memory), T(test_fin_after), T(test_fin_between),
		T(test_fin_before), T(test_fin_of_nothing), T(test_rst),
		T(test_rst_with_grant), T(test_violations), T(test_denied_early), T(test_timeouts),
		T(test_no_flight), T(test_part_of_flight), T(test_lenient_flight),
		T(test_mute), T(test_granted_in_handshake),
		T(test_lenient_violations), T(test_granted_waiting),
		T(test_channel_full), T(test_dies_waiting),
	};

	room_on_segment = on_segment;
	room_on_other = on_other;
	room_start(0, 65520, 256);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
