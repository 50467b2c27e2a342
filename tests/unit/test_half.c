/*
 * Connections of which one side has ended: the probes to the guest, their end, and
 * which of them makes room.
 */
#include <sys/socket.h>

#include <errno.h>
#include <event2/event.h>
#include <unistd.h>

#include "unit.h"

#include "fd.h"
#include "frame_room.h"

#define FLOWS	64		/* what the room has, and not a few more */
#define ISS	1000u
#define FIRST	3000u		/* the guest's port of flow 0 */
#define PORTS	200u

/* The guest's and the server's ends, by the guest's port. */
static struct end {
	bool		syn_ack, reset;
	uint32_t	seq, next;	/* the guest's next; what it waits for */
	unsigned int	probes;
	uint64_t	id;
	int		server, copy;
	struct wire_close closed;
	bool		over;
} ends[PORTS];
static unsigned int	used, nopens, now;	/* now: the last OPEN's port */
static bool		v6, answers;

static struct end *
end_of(unsigned int gport)
{
	assert_in_range(gport, FIRST, FIRST + PORTS - 1);
	return &ends[gport - FIRST];
}

static void
send_flags(unsigned int n, uint8_t flags, uint32_t seq)
{
	struct room_seg	s = {
		.v6 = v6, .gport = (uint16_t)(FIRST + n), .dport = 80,
		.seq = seq, .ack = ends[n].next, .flags = flags,
		.window = 1000,
	};

	room_guest_sends(&s);
}

static void
on_segment(const struct room_seg *s)
{
	struct end	*e = end_of(s->gport);

	if ((s->flags & S_SYN) != 0) {
		e->syn_ack = true;
		e->next = s->seq + 1;
	} else if ((s->flags & S_RST) != 0)
		e->reset = true;
	else if (s->seq == e->next && s->len + (s->flags & S_FIN) > 0)
		e->next += (uint32_t)s->len + ((s->flags & S_FIN) != 0);
	else if (s->seq == e->next - 1 && s->len == 0)
		e->probes++;
}

static void
read_broker(void)
{
	_Alignas(8) uint8_t	 buf[WIRE_MAX];
	const struct wire_head	*h = (const void *)buf;
	const struct wire_open	*o = (const void *)buf;
	unsigned int		 i;

	while (room_broker_recv(buf, sizeof(buf)) > 0) {
		if (h->type == WIRE_OPEN) {
			end_of(o->guest.port)->id = h->id;
			now = o->guest.port - FIRST;
			nopens++;
		}
		for (i = 0; h->type == WIRE_CLOSE && i < used; i++)
			if (ends[i].id == h->id) {
				ends[i].closed = *(const struct wire_close *)
				    (const void *)buf;
				ends[i].over = true;
			}
	}
}

/* So long, with the guest answering probes if it does. */
static void
wait_ms(uint64_t ms)
{
	unsigned int	i, had[PORTS];

	for (; ms > 0; ms -= 500) {
		for (i = 0; i < used; i++)
			had[i] = ends[i].probes;
		room_wait(500);
		for (i = 0; i < used; i++)
			if (answers && ends[i].probes != had[i])
				send_flags(i, S_ACK, ends[i].seq);
		read_broker();
	}
}

/* A SYN; the number of its end. */
static unsigned int
begin(void)
{
	unsigned int	n = used++;

	ends[n] = (struct end){ .seq = ISS + 1, .server = -1, .copy = -1 };
	send_flags(n, S_SYN, ISS);
	room_turn();
	read_broker();
	return n;
}

static unsigned int
connect_one(void)
{
	unsigned int	n = begin();
	struct end	*e = &ends[n];
	int		pair[2];

	assert_int_not_equal(e->id, 0);
	room_tcp_pair(pair);
	e->server = pair[1];
	e->copy = pair[0];
	room_grant(e->id, pair[0]);
	room_turn();
	assert_true(e->syn_ack);
	send_flags(n, S_ACK, e->seq);
	room_turn();
	return n;
}

static void
guest_ends(unsigned int n)
{
	send_flags(n, S_FIN | S_ACK, ends[n].seq++);
	room_turn();
}

static void
server_ends(unsigned int n)
{
	assert_int_equal(shutdown(ends[n].server, SHUT_WR), 0);
	room_turn();
	send_flags(n, S_ACK, ends[n].seq);
	room_turn();
}

static int
setup(void **state)
{
	(void)state;
	used = nopens = 0;
	v6 = false;
	answers = false;
	return 0;
}

static int
teardown(void **state)
{
	unsigned int	i;

	(void)state;
	for (i = 0; i < used; i++) {
		if (ends[i].id != 0 && !ends[i].over) {
			if (ends[i].server != -1)
				room_revoke(ends[i].id);
			else
				room_deny(ends[i].id, DENY_RESET);
		}
		fd_drop(&ends[i].server);
		fd_drop(&ends[i].copy);
		room_turn();
	}
	room_wait(700000);
	read_broker();
	assert_int_equal(flow_count(), 0);
	return 0;
}

/* A guest that is there is asked once a minute, and that is all. */
static void
test_probes(void **state)
{
	unsigned int	n, way;

	(void)state;
	for (way = 0; way < 4; way++) {
		v6 = way > 1;
		answers = true;
		n = connect_one();
		wait_ms(120000);
		assert_int_equal(ends[n].probes, 0);	/* both are there */
		(way % 2 == 0 ? guest_ends : server_ends)(n);
		wait_ms(58000);
		assert_int_equal(ends[n].probes, 0);
		wait_ms(4000);
		assert_int_equal(ends[n].probes, 1);
		wait_ms(530000);
		assert_int_equal(ends[n].probes, 9);
		assert_false(ends[n].over);
		wait_ms(12000);
		assert_true(ends[n].over);
		assert_int_equal(ends[n].closed.reason, REASON_IDLE);
		assert_int_equal(ends[n].closed.how, HOW_RST);
		assert_true(ends[n].reset);
	}
}

/* Silence does not end it before its time, and what moves gives it all of it again. */
static void
test_silent(void **state)
{
	unsigned int	n = connect_one();

	(void)state;
	guest_ends(n);
	wait_ms(500000);
	assert_false(ends[n].over);
	assert_int_equal(write(ends[n].server, "late", 4), 4);
	wait_ms(1000);
	send_flags(n, S_ACK, ends[n].seq);
	wait_ms(590000);
	assert_false(ends[n].over);
	assert_false(ends[n].reset);
	wait_ms(20000);
	assert_int_equal(ends[n].closed.reason, REASON_IDLE);
}

/* One whose kernel has forgotten the connection says so. */
static void
test_forgotten(void **state)
{
	unsigned int	n, way;

	(void)state;
	for (way = 0; way < 4; way++) {
		v6 = way > 1;
		n = connect_one();
		(way % 2 == 0 ? guest_ends : server_ends)(n);
		wait_ms(62000);
		assert_int_equal(ends[n].probes, 1);
		send_flags(n, S_RST, ends[n].seq);
		room_turn();
		read_broker();
		assert_true(ends[n].over);
		assert_int_equal(ends[n].closed.reason, REASON_GUEST_RST);
		assert_int_equal(ends[n].closed.how, HOW_RST);
	}
}

/* The server's answer comes late: its bytes are the guest's, at 630 s too. */
static void
test_raised(void **state)
{
	uint32_t	was = frame.config.tcp_half_idle, next;
	unsigned int	n;

	(void)state;
	frame.config.tcp_half_idle = 900;
	answers = true;
	n = connect_one();
	guest_ends(n);
	wait_ms(630000);
	assert_false(ends[n].over);
	next = ends[n].next;
	assert_int_equal(write(ends[n].server, "late", 4), 4);
	wait_ms(500);
	assert_int_equal(ends[n].next, next + 4);
	send_flags(n, S_ACK, ends[n].seq);
	server_ends(n);
	read_broker();
	assert_true(ends[n].over);
	assert_int_equal(ends[n].closed.reason, REASON_DONE);
	assert_int_equal(ends[n].closed.down, 4);
	frame.config.tcp_half_idle = was;
}

/* Less than a minute: no probe, and the end in time. */
static void
test_lowered(void **state)
{
	uint32_t	was = frame.config.tcp_half_idle;
	unsigned int	n;

	(void)state;
	frame.config.tcp_half_idle = 5;
	n = connect_one();
	guest_ends(n);
	wait_ms(4000);
	assert_false(ends[n].over);
	wait_ms(2000);
	assert_int_equal(ends[n].closed.reason, REASON_IDLE);
	assert_int_equal(ends[n].probes, 0);
	frame.config.tcp_half_idle = was;
}

/* ---- room ---- */

static void
fill(void (*end)(unsigned int))
{
	unsigned int	i, n;

	for (i = 0; i < FLOWS; i++) {
		n = connect_one();
		if (end != NULL)
			end(n);
		wait_ms(500);
	}
}

static unsigned int
count_over(void)
{
	unsigned int	i, n = 0;

	for (i = 0; i < used; i++)
		n += ends[i].over;
	return n;
}

/* The longest idle one goes, in order if the server has heard all, and only one. */
static void
test_room(void **state)
{
	unsigned int	n;
	char		c;

	(void)state;
	fill(guest_ends);
	assert_int_equal(write(ends[0].server, "x", 1), 1);	/* not idle */
	wait_ms(500);
	send_flags(0, S_ACK, ends[0].seq);
	room_turn();
	n = connect_one();
	assert_int_equal(now, n);
	assert_int_equal(count_over(), 1);
	assert_true(ends[1].over);
	assert_int_equal(ends[1].closed.reason, REASON_CONNS);
	assert_int_equal(ends[1].closed.how, HOW_FIN);
	assert_true(ends[1].reset);
	assert_int_equal(read(ends[1].server, &c, 1), 0);
}

/* A server that has not heard the guest's end must not take this for one. */
static void
test_room_reset(void **state)
{
	(void)state;
	fill(server_ends);
	wait_ms(1000);
	connect_one();
	assert_int_equal(count_over(), 1);
	assert_int_equal(ends[0].closed.reason, REASON_CONNS);
	assert_int_equal(ends[0].closed.how, HOW_RST);
}

/* Nobody makes room who is in use, or has just been: the broker refuses. */
static void
test_no_room(void **state)
{
	unsigned int	i;

	(void)state;
	fill(NULL);
	wait_ms(100000);
	begin();
	assert_int_equal(count_over(), 0);
	for (i = 0; i < FLOWS; i++)
		guest_ends(i);
	wait_ms(500);
	begin();
	assert_int_equal(count_over(), 0);
	wait_ms(1000);
	begin();
	assert_int_equal(count_over(), 1);
	assert_int_equal(nopens, FLOWS + 3);
}

/* Bytes that one of the two has yet to take are no idleness. */
static void
test_no_room_owed(void **state)
{
	unsigned int	i;

	(void)state;
	fill(NULL);
	for (i = 0; i < FLOWS; i++) {
		assert_int_equal(write(ends[i].server, "owed", 4), 4);
		room_turn();
		ends[i].next -= 4;	/* not acknowledged */
		send_flags(i, S_FIN | S_ACK, ends[i].seq++);
	}
	wait_ms(5000);
	begin();
	assert_int_equal(count_over(), 0);
}

#define T(x)	cmocka_unit_test_setup_teardown(x, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		T(test_probes), T(test_silent), T(test_forgotten),
		T(test_raised), T(test_lowered), T(test_room),
		T(test_room_reset), T(test_no_room), T(test_no_room_owed),
	};

	room_on_segment = on_segment;
	room_start(0, 65520, FLOWS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
