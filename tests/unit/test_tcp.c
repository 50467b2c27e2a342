/*
 * One TCP connection at a time through the whole room, each side of it played by
 * the test: what the guest is sent, what the broker is told, what the server sees.
 */
#include <sys/socket.h>

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "unit.h"

#include "bytes.h"
#include "fd.h"
#include "frame_room.h"
#include "pool.h"

#define ISS	1000u

/* What the guest has seen last, and in all. */
static struct room_seg	seen;
static unsigned int	nsegs, nsyn_acks, nresets, nother;
static uint32_t		fin_seq;
static uint8_t		other[2000];
static uint8_t		down[1 << 20];
static size_t		down_len;
static uint32_t		down_next;

/* The connection of the running test. */
static uint16_t		gport = 2000;
static bool		v6;
static uint32_t		seq, ack;
static uint16_t		window;
static uint64_t		id;
static int		server, copy = -1;	/* copy: as the broker keeps one */
static struct wire_close closed;
static struct wire_open	 opened;
static unsigned int	 nopens, ncloses;

static void
on_segment(const struct room_seg *s)
{
	if (s->gport != gport)
		return;
	seen = *s;
	nsegs++;
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
	nother++;
	memcpy(other, f, len < sizeof(other) ? len : sizeof(other));
}

/* ---- the guest ---- */

static void
send_raw(uint8_t flags, uint32_t s, uint32_t a, const void *data, size_t len)
{
	struct room_seg	out = {
		.v6 = v6, .gport = gport, .dport = 80, .seq = s, .ack = a,
		.flags = flags, .window = window, .data = data, .len = len,
	};

	if ((flags & S_SYN) != 0) {
		out.options = SYN_OPTIONS;
		out.options_len = 8;
	}
	room_guest_sends(&out);
}

/* In order, acknowledging all that was seen. */
static void
send_flags(uint8_t flags, const void *data, size_t len)
{
	ack = down_next + (fin_seq == down_next ? 1 : 0);
	send_raw(flags | S_ACK, seq, ack, data, len);
	seq += (uint32_t)len + ((flags & S_FIN) != 0);
	room_turn();
}

static void
read_broker(void)
{
	_Alignas(8) uint8_t	buf[WIRE_MAX];
	struct wire_head	h;

	while (room_broker_recv(buf, sizeof(buf)) > 0) {
		memcpy(&h, buf, sizeof(h));
		if (h.type == WIRE_OPEN) {
			memcpy(&opened, buf, sizeof(opened));
			id = h.id;
			nopens++;
		} else if (h.type == WIRE_CLOSE) {
			memcpy(&closed, buf, sizeof(closed));
			ncloses++;
		}
	}
}

static void
turn(void)
{
	room_turn();
	read_broker();
}

static int
reset_all(void **state)
{
	(void)state;
	gport++;
	nsegs = nsyn_acks = nresets = nother = nopens = ncloses = 0;
	down_len = 0;
	fin_seq = 0;
	down_next = 0;
	id = 0;
	seq = ISS;
	window = 1000;
	server = -1;
	memset(&closed, 0, sizeof(closed));
	memset(&seen, 0, sizeof(seen));
	return 0;
}

static int
end_all(void **state)
{
	(void)state;
	fd_drop(&server);
	fd_drop(&copy);
	if (id != 0 && ncloses == 0) {
		room_revoke(id);
		turn();
	}
	room_wait(70000);
	read_broker();
	assert_int_equal(flow_count(), 0);
	return 0;
}

static void
syn(void)
{
	send_raw(S_SYN, seq, 0, NULL, 0);
	turn();
}

static void
grant(void)
{
	int	pair[2];

	room_tcp_pair(pair);
	server = pair[1];
	room_grant(id, pair[0]);
	fd_drop(&copy);
	copy = pair[0];
	turn();
}

static void
handshake(void)
{
	syn();
	grant();
	assert_int_equal(nsyn_acks, 1);
	seq = ISS + 1;
	down_next = seen.seq + 1;
	send_flags(0, NULL, 0);
}

/* ---- the SYN ---- */

static void
test_held(void **state)
{
	(void)state;
	syn();
	assert_int_equal(nopens, 1);
	assert_int_equal(opened.proto, PROTO_TCP);
	assert_int_equal(opened.guest.port, gport);
	assert_int_equal(opened.dst.port, 80);
	assert_int_equal(nsegs, 0);
	/* Retransmissions are not answered and ask nothing. */
	syn();
	syn();
	assert_int_equal(nopens, 1);
	assert_int_equal(nsegs, 0);
	grant();
	assert_int_equal(nsyn_acks, 1);
	assert_int_equal(seen.ack, ISS + 1);
	assert_true(seen.options_len >= 8 && seen.options[0] == 2);
	/* Now a copy gets the SYN|ACK again. */
	send_raw(S_SYN, ISS, 0, NULL, 0);
	turn();
	assert_int_equal(nsyn_acks, 2);
}

static void
test_cancel(void **state)
{
	(void)state;
	syn();
	send_raw(S_RST, ISS + 1, 0, NULL, 0);
	turn();
	assert_int_equal(ncloses, 1);
	assert_int_equal(closed.how, HOW_CANCEL);
	assert_int_equal(closed.reason, REASON_GUEST_CANCEL);
	/* A grant that crosses it: the fd is closed. */
	grant();
	fd_drop(&copy);
	assert_int_equal(nsegs, 0);
	assert_int_equal(read(server, other, 1), -1);
	assert_int_equal(errno, ECONNRESET);
}

/* A new attempt from the same port while the first is held. */
static void
test_new_attempt(void **state)
{
	(void)state;
	syn();
	seq = 777000;
	syn();
	assert_int_equal(nopens, 1);
	grant();
	assert_int_equal(seen.ack, 777001);
}

static void
test_denied(void **state)
{
	/* code -> ICMP type and code, ICMPv6 code (type 1) */
	static const struct {
		enum deny_code	code;
		uint8_t		type, icmp, icmp6;
	} cases[] = {
		{ DENY_ADMIN, 3, 13, 1 }, { DENY_HOST, 3, 1, 3 },
		{ DENY_NET, 3, 0, 0 },
	};
	size_t	i;

	(void)state;
	for (i = 0; i < 6; i++) {
		reset_all(NULL);
		v6 = i % 2 != 0;
		syn();
		room_deny(id, cases[i / 2].code);
		turn();
		assert_int_equal(nother, 1);
		assert_int_equal(nsegs, 0);
		if (v6) {
			assert_int_equal(other[54], 1);
			assert_int_equal(other[55], cases[i / 2].icmp6);
			assert_int_equal(get16(other + 54 + 8 + 40), gport);
			assert_int_equal(get32(other + 54 + 8 + 44), ISS);
		} else {
			assert_int_equal(other[34], cases[i / 2].type);
			assert_int_equal(other[35], cases[i / 2].icmp);
			assert_int_equal(get16(other + 34 + 8 + 20), gport);
			assert_int_equal(get32(other + 34 + 8 + 24), ISS);
		}
		assert_int_equal(flow_count(), 0);
	}
	v6 = false;
	reset_all(NULL);
	syn();
	room_deny(id, DENY_RESET);
	turn();
	assert_int_equal(nresets, 1);
	assert_int_equal(seen.ack, ISS + 1);
	reset_all(NULL);
	syn();
	room_deny(id, DENY_SILENT);
	turn();
	assert_int_equal(nsegs + nother, 0);
	id = 0;
}

static void
test_handshake_timeout(void **state)
{
	(void)state;
	syn();
	grant();
	room_wait(21000);
	read_broker();
	assert_int_equal(ncloses, 1);
	assert_int_equal(closed.how, HOW_RST);
	assert_int_equal(closed.reason, REASON_GUEST_TIMEOUT);
	assert_true(nresets > 0);
}

/* ---- bytes ---- */

static void
fill(uint8_t *p, size_t len)
{
	size_t	i;

	for (i = 0; i < len; i++)
		p[i] = (uint8_t)(i * 31 + i / 251);
}

static size_t
server_reads(uint8_t *p, size_t size)
{
	size_t	have = 0;
	ssize_t	n;

	while (have < size && (n = read(server, p + have, size - have)) > 0)
		have += (size_t)n;
	return have;
}

static void
test_up(void **state)
{
	static uint8_t	data[60000], got[400000];
	unsigned int	i;
	size_t		have = 0;

	(void)state;
	fill(data, sizeof(data));
	handshake();
	for (i = 0; i < 5; i++) {
		send_flags(S_PSH, data, 60000);		/* pinned */
		send_flags(S_PSH, data, 1000);		/* copied */
		have += server_reads(got + have, sizeof(got) - have);
		assert_int_equal(seen.ack, seq);
	}
	assert_int_equal(have, 5 * 61000);
	for (i = 0; i < 5; i++) {
		assert_memory_equal(got + i * 61000, data, 60000);
		assert_memory_equal(got + i * 61000 + 60000, data, 1000);
	}
}

static void
test_down(void **state)
{
	static uint8_t	data[300000];
	size_t		sent = 0;
	ssize_t		n;
	int		i;

	(void)state;
	fill(data, sizeof(data));
	handshake();
	for (i = 0; i < 1000 && down_len < sizeof(data); i++) {
		if (sent < sizeof(data) && (n = write(server, data + sent,
		    sizeof(data) - sent)) > 0)
			sent += (size_t)n;
		turn();
		send_flags(0, NULL, 0);
	}
	assert_int_equal(down_len, sizeof(data));
	assert_memory_equal(down, data, sizeof(data));
}

/* What is not taken by the host closes the window and is not lost. */
static void
test_back_pressure(void **state)
{
	static uint8_t	data[1400], got[65536];
	uint32_t	sent = 0, have = 0;
	int		i;
	size_t		n, k;

	(void)state;
	fill(data, sizeof(data));
	handshake();
	while (((uint32_t)seen.window << 7) >= 1400) {
		send_flags(S_PSH, data, 1400);
		sent += 1400;
		assert_true(sent < 20000000);
	}
	for (i = 0; have < sent && i < 10000; i++) {
		n = server_reads(got, sizeof(got));
		for (k = 0; k < n; k++)
			assert_int_equal(got[k], data[(have + k) % 1400]);
		have += (uint32_t)n;
		turn();
	}
	assert_int_equal(have, sent);
	assert_true(((uint32_t)seen.window << 7) >= 1400);
}

/* A window that is shut shuts out neither a RST nor an acknowledgment. */
static void
test_shut_window(void **state)
{
	static uint8_t	data[1400];
	uint32_t	n;

	(void)state;
	handshake();
	while ((n = (uint32_t)seen.window << 7) > 0) {
		send_flags(S_PSH, data, n < 1400 ? n : 1400);
		assert_true(seq - ISS < 20000000);
	}
	assert_int_equal(write(server, "abc", 3), 3);
	turn();
	assert_int_equal(down_len, 3);
	n = nsegs;
	send_raw(S_ACK, seq, down_next, "x", 1);	/* a probe, and an ACK */
	turn();
	assert_int_equal(nsegs, n + 1);
	assert_in_range(seen.ack, seq, seq + 1);	/* 128s are told of */
	assert_int_equal(seen.len, 0);
	seq = seen.ack;
	room_wait(5000);
	assert_int_equal(nsegs, n + 1);			/* nothing is repeated */
	send_raw(S_RST, seq, 0, NULL, 0);
	turn();
	assert_int_equal(closed.reason, REASON_GUEST_RST);
}

/* Duplicates, the past and the future change nothing. */
static void
test_odd_segments(void **state)
{
	static const uint8_t	mss[] = { 2, 4, 0, 1 };
	struct room_seg		s = {
		.dport = 80, .flags = S_ACK | S_PSH, .window = 1000,
		.options = mss, .options_len = 4,
		.data = (const uint8_t *)"defg", .len = 4,
	};
	uint8_t			got[20];
	uint32_t		right;

	(void)state;
	handshake();
	send_flags(S_PSH, "abc", 3);
	right = seq;
	send_raw(S_ACK | S_PSH, seq - 3, ack, "abc", 3);
	send_raw(S_ACK | S_PSH, seq + 10, ack, "xyz", 3);
	send_raw(S_ACK | S_PSH, seq + 0x7fffffff, ack, "xyz", 3);
	turn();
	assert_int_equal(seen.ack, right);
	/* An MSS of 1 outside of a SYN is not believed. */
	s.gport = gport;
	s.seq = seq;
	s.ack = ack;
	room_guest_sends(&s);
	seq += 4;
	assert_int_equal(write(server, "0123456789", 10), 10);
	turn();
	assert_int_equal(seen.len, 10);
	assert_int_equal(server_reads(got, 7), 7);
	assert_memory_equal(got, "abcdefg", 7);
}

/* ---- ends ---- */

static void
test_end_guest_first(void **state)
{
	uint8_t	b[10];

	(void)state;
	handshake();
	send_flags(S_FIN, "bye", 3);
	assert_int_equal(server_reads(b, 10), 3);
	assert_int_equal(read(server, b, 1), 0);
	assert_int_equal(ncloses, 0);
	assert_int_equal(write(server, "late", 4), 4);
	turn();
	assert_int_equal(down_len, 4);
	shutdown(server, SHUT_WR);
	turn();
	assert_int_equal(fin_seq, down_next);
	assert_int_equal(ncloses, 1);
	assert_int_equal(closed.how, HOW_FIN);
	assert_int_equal(closed.reason, REASON_DONE);
	assert_int_equal(closed.up, 3);
	assert_int_equal(closed.down, 4);
	assert_int_equal(nresets, 0);
	send_flags(0, NULL, 0);		/* the last ACK */
	assert_int_equal(nresets, 0);
	/* It is gone now: a segment is a stray one. */
	send_raw(S_ACK, seq, ack, NULL, 0);
	assert_int_equal(nresets, 1);
}

static void
test_end_host_first(void **state)
{
	uint8_t		b[10];
	uint32_t	iss;

	(void)state;
	handshake();
	iss = seen.seq;
	assert_int_equal(write(server, "hello", 5), 5);
	shutdown(server, SHUT_WR);
	turn();
	assert_int_equal(down_len, 5);
	assert_int_equal(fin_seq, down_next);
	assert_int_equal(ncloses, 0);
	send_flags(S_PSH, "more", 4);
	assert_int_equal(server_reads(b, 4), 4);
	send_flags(S_FIN, NULL, 0);
	turn();
	assert_int_equal(closed.how, HOW_FIN);
	assert_int_equal(closed.reason, REASON_DONE);
	assert_int_equal(seen.ack, seq);
	/* TIME_WAIT: the same port may come again. */
	ncloses = nopens = nsyn_acks = 0;
	room_wait(1000);
	seq = 500000;
	syn();
	assert_int_equal(nopens, 1);
	grant();
	assert_int_equal(nsyn_acks, 1);
	assert_int_equal(seen.ack, 500001);
	/* The same 5-tuple, a second later: 250 000 ticks (RFC 6528). */
	assert_int_equal(seen.seq - iss, 250000);
}

static void
test_guest_rst(void **state)
{
	uint8_t	b[10];

	(void)state;
	handshake();
	send_flags(S_PSH, "abc", 3);
	send_raw(S_RST, seq, 0, NULL, 0);
	turn();
	assert_int_equal(closed.how, HOW_RST);
	assert_int_equal(closed.reason, REASON_GUEST_RST);
	assert_int_equal(closed.up, 3);
	/* SO_LINGER of the broker's copy: our close was the last one here. */
	while (read(server, b, sizeof(b)) > 0)
		;
	assert_int_equal(nresets, 0);
}

static void
reset_server(void)
{
	struct linger	l = { 1, 0 };

	setsockopt(server, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	fd_drop(&server);
}

/* The guest gets the data, acknowledges it, and only then the RST. */
static void
test_host_rst(void **state)
{
	(void)state;
	handshake();
	assert_int_equal(write(server, "answer", 6), 6);
	turn();
	assert_int_equal(down_len, 6);
	reset_server();
	turn();
	assert_int_equal(closed.how, HOW_RST);
	assert_int_equal(closed.reason, REASON_PEER_RESET);
	assert_int_equal(nresets, 0);
	send_flags(0, NULL, 0);
	assert_int_equal(nresets, 1);
}

/*
 * A reset that a write has noticed: the data that came before it is delivered,
 * and the end is a RST although read() says 0.
 */
static void
test_host_rst_write(void **state)
{
	(void)state;
	handshake();
	send_flags(S_PSH, "question", 8);
	assert_int_equal(write(server, "answer", 6), 6);
	fd_drop(&server);		/* with 8 bytes unread: RST */
	send_flags(S_PSH, "more", 4);
	turn();
	assert_int_equal(down_len, 6);
	send_flags(0, NULL, 0);
	turn();
	assert_int_equal(closed.how, HOW_RST);
	assert_int_equal(closed.reason, REASON_PEER_RESET);
	assert_int_equal(nresets, 1);
	assert_int_equal(fin_seq, 0);
}

/* Data and reset in one event, which does not tell the one from the other. */
static void
test_host_rst_at_once(void **state)
{
	(void)state;
	handshake();
	assert_int_equal(write(server, "answer", 6), 6);
	reset_server();
	turn();
	assert_int_equal(down_len, 6);
	room_wait(2);
	send_flags(0, NULL, 0);
	read_broker();
	assert_int_equal(closed.reason, REASON_PEER_RESET);
	assert_int_equal(nresets, 1);
}

/* Somebody else took the error: read() says 0, and it was a reset all the same. */
static void
test_host_rst_taken(void **state)
{
	int		error = 0;
	socklen_t	len = sizeof(error);

	(void)state;
	handshake();
	assert_int_equal(write(server, "answer", 6), 6);
	reset_server();
	assert_int_equal(getsockopt(copy, SOL_SOCKET, SO_ERROR, &error, &len),
	    0);
	assert_int_equal(error, ECONNRESET);
	turn();
	assert_int_equal(down_len, 6);
	send_flags(0, NULL, 0);
	turn();
	assert_int_equal(closed.reason, REASON_PEER_RESET);
	assert_int_equal(fin_seq, 0);
	assert_int_equal(nresets, 1);
}

static void
test_revoke(void **state)
{
	(void)state;
	handshake();
	room_revoke(id);
	turn();
	assert_int_equal(nresets, 1);
	assert_int_equal(closed.how, HOW_RST);
	assert_int_equal(closed.reason, REASON_KILLED);
}

/* The shutdown that follows a REVOKE looks like the server's FIN. */
static void
test_revoke_and_eof(void **state)
{
	(void)state;
	handshake();
	shutdown(server, SHUT_WR);
	/* It arrives when the events of this turn are over. */
	event_base_loop(frame.base, EVLOOP_NONBLOCK);
	room_revoke(id);
	tcp_turn_end();
	turn();
	assert_int_equal(fin_seq, 0);
	assert_int_equal(nresets, 1);
	assert_int_equal(closed.reason, REASON_KILLED);
}

static void
test_half_closed_idle(void **state)
{
	(void)state;
	handshake();
	send_flags(S_FIN, NULL, 0);
	room_wait(599000);
	read_broker();
	assert_int_equal(ncloses, 0);
	room_wait(3000);
	read_broker();
	assert_int_equal(closed.how, HOW_RST);
	assert_int_equal(closed.reason, REASON_IDLE);
	assert_int_equal(nresets, 1);
}

/* What the guest has said, and a server has yet to read, is not idle. */
static void
test_half_closed_unread(void **state)
{
	static uint8_t	data[1400], got[65536];
	uint32_t	sent = 0, have = 0, n;

	(void)state;
	handshake();
	while (((uint32_t)seen.window << 7) >= 1400) {
		send_flags(S_PSH, data, 1400);
		sent += 1400;
	}
	send_flags(S_FIN, NULL, 0);
	room_wait(2000000);
	read_broker();
	assert_int_equal(ncloses, 0);
	while ((n = (uint32_t)server_reads(got, sizeof(got))) > 0) {
		have += n;
		turn();
	}
	assert_int_equal(have, sent);
	assert_int_equal(read(server, got, 1), 0);
	/* Now it is. */
	room_wait(602000);
	read_broker();
	assert_int_equal(closed.reason, REASON_IDLE);
}

/* A live connection answers a SYN with an ACK; the guest may then reset it. */
static void
test_challenge(void **state)
{
	(void)state;
	handshake();
	send_raw(S_SYN, 4242, 0, NULL, 0);
	turn();
	assert_int_equal(seen.flags & (S_ACK | S_SYN | S_RST), S_ACK);
	assert_int_equal(seen.ack, seq);
	assert_int_equal(nopens, 1);
	send_raw(S_RST, seen.ack, 0, NULL, 0);
	turn();
	assert_int_equal(closed.reason, REASON_GUEST_RST);
}

/* The guest that never acknowledges is given up, and what it held is free. */
static void
test_silent_guest(void **state)
{
	(void)state;
	handshake();
	assert_int_equal(write(server, "x", 1), 1);
	turn();
	room_wait(1300000);
	read_broker();
	assert_int_equal(closed.how, HOW_RST);
	assert_int_equal(closed.reason, REASON_GUEST_TIMEOUT);
}

/* Output that the link has no room for is sent when it has. */
static void
test_link_full(void **state)
{
	(void)state;
	handshake();
	room_link_full = true;
	assert_int_equal(write(server, "abc", 3), 3);
	turn();
	assert_int_equal(down_len, 0);
	room_link_full = false;
	tcp_link_writable();
	turn();
	assert_int_equal(down_len, 3);
}

/* The same for what lwIP has already: it was the window that held it. */
static void
test_link_full_output(void **state)
{
	static uint8_t	data[3000];

	(void)state;
	window = 10;			/* 1280 bytes */
	handshake();
	fill(data, sizeof(data));
	assert_int_equal(write(server, data, sizeof(data)), sizeof(data));
	turn();
	assert_in_range(down_len, 1, 1280);
	room_link_full = true;
	window = 1000;
	send_flags(0, NULL, 0);
	assert_in_range(down_len, 1, 1280);
	room_link_full = false;
	tcp_link_writable();
	turn();
	assert_int_equal(down_len, sizeof(data));
}

/* The ACK of a question goes with its answer, if answers come quickly. */
static void
test_quick_answers(void **state)
{
	uint8_t		b[4];
	unsigned int	i, before;

	(void)state;
	handshake();
	for (i = 0; i < 10; i++) {
		before = nsegs;
		send_flags(S_PSH, "ask", 3);
		assert_int_equal(server_reads(b, 3), 3);
		if (i >= 5)
			assert_int_equal(nsegs, before);
		assert_int_equal(write(server, "yes", 3), 3);
		turn();
		if (i >= 5)
			assert_int_equal(nsegs, before + 1);
		assert_int_equal(seen.ack, seq);
	}
	/* One that does not come: the ACK goes alone, and at once from now on. */
	before = nsegs;
	send_flags(S_PSH, "ask", 3);
	assert_int_equal(nsegs, before);
	room_wait(1);
	room_wait(1);
	room_wait(1);
	assert_int_equal(nsegs, before + 1);
	assert_int_equal(seen.ack, seq);
	send_flags(S_PSH, "ask", 3);
	assert_int_equal(nsegs, before + 2);
}

/* ---- bounds ---- */

/* TIME_WAIT is for so many; the oldest goes. */
static void
test_time_wait_bound(void **state)
{
	uint16_t	first = (uint16_t)(gport + 1);
	unsigned int	i;

	(void)state;
	for (i = 0; i < 520; i++) {
		reset_all(NULL);
		handshake();
		shutdown(server, SHUT_WR);
		turn();
		send_flags(S_FIN, NULL, 0);
		turn();
		assert_int_equal(closed.how, HOW_FIN);
		fd_drop(&server);
	}
	nresets = 0;
	send_raw(S_ACK, seq, ack, NULL, 0);	/* the last is known */
	assert_int_equal(nresets, 0);
	gport = first;
	send_raw(S_ACK, seq, ack, NULL, 0);	/* the first is not */
	assert_int_equal(nresets, 1);
	gport = (uint16_t)(first + 600);
}

/* And so many flows may have no more than bytes that the guest does not take. */
static void
test_draining_bound(void **state)
{
	uint16_t	first = (uint16_t)(gport + 1);
	unsigned int	i;

	(void)state;
	for (i = 0; i < 1030; i++) {
		reset_all(NULL);
		handshake();
		assert_int_equal(write(server, "x", 1), 1);
		shutdown(server, SHUT_WR);
		turn();
		send_raw(S_ACK | S_FIN, seq, ack, NULL, 0);
		turn();
		assert_int_equal(closed.how, HOW_FIN);
		fd_drop(&server);
	}
	nresets = 0;
	send_raw(S_ACK, seq, ack, NULL, 0);
	assert_int_equal(nresets, 0);
	gport = first;
	send_raw(S_ACK, seq, ack, NULL, 0);
	assert_int_equal(nresets, 1);
	gport = (uint16_t)(first + 1100);
	room_wait(1300000);
}

/* But those that only wait for TIME_WAIT to end push none of them out. */
static void
test_draining_and_waiting(void **state)
{
	uint16_t	first = (uint16_t)(gport + 1);
	unsigned int	i;

	(void)state;
	for (i = 0; i < 1120; i++) {
		reset_all(NULL);
		handshake();
		if (i == 0 || i > 520)
			assert_int_equal(write(server, "x", 1), 1);
		shutdown(server, SHUT_WR);
		turn();
		if (i == 0 || i > 520)
			send_raw(S_ACK | S_FIN, seq, ack, NULL, 0);
		else
			send_flags(S_FIN, NULL, 0);
		turn();
		assert_int_equal(closed.how, HOW_FIN);
		fd_drop(&server);
	}
	gport = first;
	seq = ISS + 2;
	nresets = 0;
	send_raw(S_ACK, seq, ack, NULL, 0);
	assert_int_equal(nresets, 0);
	gport = (uint16_t)(first + 1200);
	room_wait(1300000);
}

/* The pools are nearly empty: a flow's first chunk is filled, the rest is lost. */
static void
test_short_memory(void **state)
{
	struct chunk_queue	all = TAILQ_HEAD_INITIALIZER(all);
	static uint8_t		data[2000], got[2000];
	struct chunk		*c;

	(void)state;
	handshake();
	fill(data, sizeof(data));
	while (pool_holds(2 * CHUNK_SMALL, 0) &&
	    (c = chunk_get(true, 2)) != NULL)
		TAILQ_INSERT_TAIL(&all, c, entry);
	send_flags(S_PSH, data, sizeof(data));
	assert_int_equal(seen.ack, seq - sizeof(data) + CHUNK_SMALL);
	assert_int_equal(server_reads(got, sizeof(got)), CHUNK_SMALL);
	while ((c = TAILQ_FIRST(&all)) != NULL) {
		TAILQ_REMOVE(&all, c, entry);
		chunk_put(c);
	}
	/* As if lost: sent again, it is taken. */
	seq -= (uint32_t)(sizeof(data) - CHUNK_SMALL);
	send_flags(S_PSH, data + CHUNK_SMALL, sizeof(data) - CHUNK_SMALL);
	assert_int_equal(server_reads(got + CHUNK_SMALL, sizeof(got)),
	    sizeof(data) - CHUNK_SMALL);
	assert_memory_equal(got, data, sizeof(data));
}

/* What is ahead of its turn: so many segments, and then as if they were lost. */
static void
test_ahead_bound(void **state)
{
	static uint8_t	data[10], got[10000];
	unsigned int	i;

	(void)state;
	handshake();
	for (i = 1; i <= 700; i++)
		send_raw(S_ACK, seq + 10 * i, ack, data, 10);
	turn();
	send_flags(S_PSH, data, 10);
	assert_int_equal(seen.ack, ISS + 1 + 10 + 576 * 10);
	assert_int_equal(server_reads(got, sizeof(got)), 577 * 10);
	/* All of them are free again. */
	seq = seen.ack;
	for (i = 1; i <= 576; i++)
		send_raw(S_ACK, seq + 10 * i, ack, data, 10);
	send_flags(S_PSH, data, 10);
	assert_int_equal(seen.ack, seq + 576 * 10);
}

/* Large ones keep their buffers, but never the link's last. */
static void
test_ahead_large(void **state)
{
	static uint8_t	data[30000];
	unsigned int	before = rxbuf_free_count(), i;

	(void)state;
	handshake();
	for (i = 1; i <= 2; i++)
		send_raw(S_ACK, seq + 30000 * i, ack, data, 30000);
	assert_int_equal(rxbuf_free_count(), before - 2);
	for (i = 0; i < 2000; i++)
		send_raw(S_ACK, seq + 20000 + i, ack, data, 5000 + i);
	assert_int_equal(rxbuf_free_count(), 161);	/* and the one that came */
	send_raw(S_RST, seq, 0, NULL, 0);
	turn();
	assert_int_equal(rxbuf_free_count(), before);
}

/* A guest that does not fill its gap holds up no other flow. */
static void
test_ahead_stale(void **state)
{
	static uint8_t	data[10], got[100];
	unsigned int	i;
	uint64_t	first;

	(void)state;
	handshake();
	for (i = 1; i <= 600; i++)
		send_raw(S_ACK, seq + 10 * i, ack, data, 10);
	turn();
	first = id;
	fd_drop(&server);
	reset_all(NULL);
	handshake();
	send_raw(S_ACK, seq + 10, ack, data, 10);
	send_flags(S_PSH, data, 10);
	assert_int_equal(seen.ack, seq);	/* no room */
	room_wait(2100);
	send_raw(S_ACK, seq + 10, ack, data, 10);
	send_flags(S_PSH, data, 10);
	assert_int_equal(seen.ack, seq + 10);
	assert_int_equal(server_reads(got, sizeof(got)), 30);
	room_revoke(first);
	turn();
	ncloses = 0;
}

#define T(x)	cmocka_unit_test_setup_teardown(x, reset_all, end_all)

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		T(test_held),
		T(test_cancel),
		T(test_new_attempt),
		T(test_denied),
		T(test_handshake_timeout),
		T(test_up),
		T(test_down),
		T(test_back_pressure),
		T(test_shut_window),
		T(test_odd_segments),
		T(test_end_guest_first),
		T(test_end_host_first),
		T(test_guest_rst),
		T(test_host_rst),
		T(test_host_rst_write),
		T(test_host_rst_taken),
		T(test_host_rst_at_once),
		T(test_revoke),
		T(test_revoke_and_eof),
		T(test_half_closed_idle),
		T(test_half_closed_unread),
		T(test_challenge),
		T(test_silent_guest),
		T(test_link_full),
		T(test_link_full_output),
		T(test_quick_answers),
		T(test_time_wait_bound),
		T(test_draining_bound),
		T(test_draining_and_waiting),
		T(test_short_memory),
		T(test_ahead_bound),
		T(test_ahead_large),
		T(test_ahead_stale),
	};

	room_on_segment = on_segment;
	room_on_other = on_other;
	room_start(0, 65520, 64);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
