/*
 * The gateway's name server by TCP: framing, pipelining, and what a guest can and
 * cannot make us keep. The broker is played here and answers when it is told to.
 */
#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

#include "bytes.h"
#include "dns_check.h"
#include "frame_room.h"

#define ISS		1000u
#define CONNS_MAX	64		/* dnstcp.c's */
#define CONN_ASKED_MAX	128
#define ASKED_MAX	1024		/* dnsask.c's */
#define QLEN		29		/* of a question for nNNNN.example.com */

struct conn {
	uint16_t	gport;
	bool		v6, fin, rst, deaf;
	unsigned int	nsyn_acks;
	uint32_t	seq, ack, window;
	uint8_t		in[400000];	/* what the gateway has said */
	size_t		in_len;
};

static struct conn	*conns[CONNS_MAX + 8];
static unsigned int	 nconns;
static uint16_t		 next_port = 5000;

static struct wire_resolve asked[2 * ASKED_MAX];
static unsigned int	 nasked, nopens, ndrops[REASON_MAX];

/* ---- the guest ---- */

static void
on_segment(const struct room_seg *s)
{
	struct conn	*c;
	unsigned int	 i;

	for (i = 0; i < nconns; i++)
		if (conns[i]->gport == s->gport)
			break;
	if (i == nconns)
		return;
	c = conns[i];
	assert_int_equal(s->dport, 53);
	c->window = (uint32_t)s->window << (s->flags & S_SYN ? 0 : 7);
	c->rst |= (s->flags & S_RST) != 0;
	if ((s->flags & S_SYN) != 0) {
		c->nsyn_acks++;
		c->ack = s->seq + 1;
		return;
	}
	if (s->seq != c->ack)
		return;
	assert_true(c->in_len + s->len <= sizeof(c->in));
	memcpy(c->in + c->in_len, s->data, s->len);
	c->in_len += s->len;
	c->ack += (uint32_t)s->len + ((s->flags & S_FIN) != 0);
	c->fin |= (s->flags & S_FIN) != 0;
}

static void
turn(void)
{
	_Alignas(8) uint8_t	buf[WIRE_MAX];
	struct wire_drops	d;
	struct wire_head	h;
	size_t			len;

	room_turn();
	while ((len = room_broker_recv(buf, sizeof(buf))) > 0) {
		memcpy(&h, buf, sizeof(h));
		if (h.type == WIRE_RESOLVE) {
			assert_int_equal(len, sizeof(asked[0]));
			assert_true(nasked < 2 * ASKED_MAX);
			memcpy(&asked[nasked++], buf, len);
		} else if (h.type == WIRE_DROPS) {
			memcpy(&d, buf, sizeof(d));
			ndrops[d.reason] += (unsigned int)d.n;
		} else
			nopens += h.type == WIRE_OPEN;
	}
}

static void
send_raw(struct conn *c, uint8_t flags, const void *data, size_t len)
{
	struct room_seg	s = {
		.v6 = c->v6, .gateway = true, .gport = c->gport, .dport = 53,
		.seq = c->seq, .ack = c->ack, .flags = flags,
		.window = c->deaf ? 0 : 1000, .data = data, .len = len,
	};

	if ((flags & S_SYN) != 0) {
		s.options = SYN_OPTIONS;
		s.options_len = 8;
	}
	room_guest_sends(&s);
	c->seq += (uint32_t)len + ((flags & (S_SYN | S_FIN)) != 0);
}

static void
say(struct conn *c, uint8_t flags, const void *data, size_t len)
{
	send_raw(c, flags | S_ACK, data, len);
	turn();
	if (!c->rst && !c->deaf)
		send_raw(c, S_ACK, NULL, 0);
	turn();
}

static struct conn *
dial_half(bool v6)
{
	struct conn	*c = calloc(1, sizeof(*c));

	assert_non_null(c);
	conns[nconns++] = c;
	c->gport = next_port++;
	c->v6 = v6;
	c->seq = ISS;
	send_raw(c, S_SYN, NULL, 0);
	turn();
	return c;
}

static struct conn *
dial(bool v6)
{
	struct conn	*c = dial_half(v6);

	assert_int_equal(c->nsyn_acks, 1);
	assert_int_equal(nopens, 0);
	say(c, 0, NULL, 0);
	return c;
}

/* With its two bytes of length. */
static size_t
query(uint8_t *q, unsigned int n, unsigned int type)
{
	char	label[8];

	memset(q, 0, 2 + 12 + QLEN);
	put16(q, 12 + 6 + 13 + 4);
	put16(q + 2, n);
	q[4] = 1;
	put16(q + 6, 1);
	snprintf(label, sizeof(label), "N%04u", n);
	q[14] = 5;
	memcpy(q + 15, label, 5);
	memcpy(q + 20, "\7example\3com", 12);
	put16(q + 33, type);
	put16(q + 35, 1);
	return 2 + get16(q);
}

/* The first answer of what was said; its id. */
static uint16_t
take_answer(struct conn *c, struct dns_seen *s)
{
	static uint8_t	m[65536];
	size_t		len;

	assert_true(c->in_len >= 2);
	len = get16(c->in);
	assert_true(c->in_len >= 2 + len);
	memcpy(m, c->in + 2, len);
	assert_true(dns_check(m, len, s));
	memmove(c->in, c->in + 2 + len, c->in_len - 2 - len);
	c->in_len -= 2 + len;
	return s->id;
}

/* ---- the broker ---- */

static unsigned int
number(const struct wire_resolve *r)
{
	char	digits[5] = { 0 };

	assert_int_equal(r->name.len, 17);
	memcpy(digits, r->name.text + 1, 4);
	return (unsigned int)atoi(digits);
}

static void
answer(unsigned int nth, uint32_t n)
{
	struct wire_answer	w;
	uint32_t		i;

	assert_true(nth < nasked);
	wire_begin(&w, sizeof(w), WIRE_ANSWER, asked[nth].head.id);
	w.code = n > 0 ? ANSWER_ADDRESSES : ANSWER_NXDOMAIN;
	w.ttl = 30;
	w.n = n;
	for (i = 0; i < n; i++)
		w.addr[i] = endpoint_v4(0xc0000000 + number(&asked[nth]), 0);
	room_broker_send(&w, sizeof(w), -1);
	turn();
}

static int
start(void **state)
{
	(void)state;
	nasked = nopens = 0;
	memset(ndrops, 0, sizeof(ndrops));
	return 0;
}

static int
end(void **state)
{
	unsigned int	i;

	(void)state;
	for (i = 0; i < nconns; i++)
		if (!conns[i]->rst)
			say(conns[i], S_RST, NULL, 0);
	room_wait(20000);		/* what was asked is forgotten */
	turn();
	assert_int_equal(flow_count(), 0);
	while (nconns > 0)
		free(conns[--nconns]);
	return 0;
}

/* ---- tests ---- */

static void
test_one(void **state)
{
	struct conn	*c;
	struct dns_seen	 s;
	uint8_t		 q[64];
	size_t		 len;
	int		 v6;

	(void)state;
	for (v6 = 0; v6 < 2; v6++) {
		c = dial(v6 != 0);
		nasked = 0;
		len = query(q, 7, 1);
		say(c, S_PSH, q, len);
		assert_int_equal(nasked, 1);
		assert_int_equal(asked[0].qtype, 1);
		assert_memory_equal(asked[0].name.text, "n0007.example.com", 17);
		assert_int_equal(c->in_len, 0);
		answer(0, 2);
		assert_int_equal(take_answer(c, &s), 7);
		assert_int_equal(s.answers, 2);
		assert_memory_equal(s.data[0], "\xc0\0\0\7", 4);
		assert_int_equal(c->in_len, 0);
		/* the longest answer needs no TC here */
		say(c, S_PSH, q, len);
		answer(1, 64);
		say(c, 0, NULL, 0);
		take_answer(c, &s);
		assert_int_equal(s.answers, 64);
		assert_false(s.tc);
		/* the end */
		say(c, S_FIN, NULL, 0);
		assert_true(c->fin);
		assert_false(c->rst);
	}
}

/* A FIN right behind the question: the answer comes first. */
static void
test_half_closed(void **state)
{
	struct conn	*c = dial(false);
	struct dns_seen	 s;
	uint8_t		 q[64];

	(void)state;
	say(c, S_PSH | S_FIN, q, query(q, 3, 1));
	assert_false(c->fin);
	answer(0, 1);
	assert_int_equal(take_answer(c, &s), 3);
	assert_true(c->fin);
	assert_false(c->rst);
	say(c, 0, NULL, 0);
	/* half a question is none */
	c = dial(false);
	say(c, S_PSH | S_FIN, q, 20);
	assert_true(c->fin);
	assert_false(c->rst);
	assert_int_equal(nasked, 1);
}

static void
test_byte_by_byte(void **state)
{
	struct conn	*c = dial(false);
	struct dns_seen	 s;
	uint8_t		 q[64];
	size_t		 len = query(q, 1, 1), i, round;

	(void)state;
	for (round = 0; round < 3; round++) {
		for (i = 0; i < len; i++) {
			assert_int_equal(nasked, round);
			say(c, S_PSH, q + i, 1);
		}
		answer((unsigned int)round, 1);
		assert_int_equal(take_answer(c, &s), 1);
	}
}

/* Many at once, in one segment and across many; answered backwards. */
static void
test_pipeline(void **state)
{
	static uint8_t	 q[CONN_ASKED_MAX * 64];
	struct conn	*c = dial(false);
	struct dns_seen	 s;
	size_t		 len = 0, i, step;
	unsigned int	 n = 100, k;

	(void)state;
	for (k = 0; k < n; k++)
		len += query(q + len, k, 1);
	for (step = 1; step <= len; step = step * 7 + 1) {
		nasked = 0;
		for (i = 0; i < len; i += step)
			say(c, S_PSH, q + i, len - i < step ? len - i : step);
		assert_int_equal(nasked, n);
		for (k = n; k-- > 0;) {
			assert_int_equal(number(&asked[k]), k);
			answer(k, 1 + k % 3);
		}
		say(c, 0, NULL, 0);
		for (k = n; k-- > 0;) {
			assert_int_equal(take_answer(c, &s), k);
			assert_int_equal(s.answers, 1 + k % 3);
			assert_int_equal(s.data[0][3], k);
		}
		assert_int_equal(c->in_len, 0);
	}
}

/* A thousand at once: none is lost, none gets another one's answer. */
static void
test_thousand(void **state)
{
	static uint8_t	 q[1000 * 40];
	struct conn	*c = dial(false);
	struct dns_seen	 s;
	size_t		 len = 0, at = 0, n;
	unsigned int	 k, done = 0, got = 0;

	(void)state;
	for (k = 0; k < 1000; k++)
		len += query(q + len, k, 1);
	while (got < 1000) {
		n = len - at < 1400 ? len - at : 1400;
		if (n <= c->window && n > 0) {
			say(c, S_PSH, q + at, n);
			at += n;
		}
		/* what is not taken yet waits in the window */
		assert_true(nasked - done <= CONN_ASKED_MAX);
		for (; done < nasked && (done % 50 != 49 || at == len ||
		    n > c->window); done++)
			answer(done, 1);
		if (done < nasked)
			answer(done++, 1);
		say(c, 0, NULL, 0);
		for (; c->in_len > 0; got++) {
			k = take_answer(c, &s);
			assert_int_equal(k, got);
			assert_int_equal(s.rcode, 0);
			assert_int_equal(get32(s.data[0]), 0xc0000000 + k);
		}
	}
	assert_int_equal(c->in_len, 0);
	assert_int_equal(ndrops[REASON_DNS_BUDGET], 0);
}

/* What is asked beyond the bound waits, and is not lost. */
static void
test_bound(void **state)
{
	static uint8_t	 q[400 * 40];
	struct conn	*c = dial(false);
	struct dns_seen	 s;
	size_t		 len = 0;
	unsigned int	 k;

	(void)state;
	for (k = 0; k < 400; k++)
		len += query(q + len, k, 1);
	assert_true(len < 2 * 16384);
	say(c, S_PSH, q, len);
	assert_int_equal(nasked, CONN_ASKED_MAX);
	answer(0, 1);
	assert_int_equal(nasked, CONN_ASKED_MAX + 1);
	for (k = 1; k < 400; k++)
		answer(k, 1);
	assert_int_equal(nasked, 400);
	for (k = 0; k < 400; k++) {
		say(c, 0, NULL, 0);
		assert_int_equal(take_answer(c, &s), k);
	}
}

/* What is answered at once, and what is not answered. */
static void
test_odd(void **state)
{
	struct conn	*c = dial(false);
	struct dns_seen	 s;
	uint8_t		 q[64], big[2] = { 0x10, 0x01 };
	size_t		 len;

	(void)state;
	len = query(q, 1, 1);
	put16(q + 35, 3);		/* CHAOS */
	say(c, S_PSH, q, len);
	take_answer(c, &s);
	assert_int_equal(s.rcode, 5);
	query(q, 2, 1);
	q[15] = '*';
	say(c, S_PSH, q, len);
	take_answer(c, &s);
	assert_int_equal(s.rcode, 3);
	/* not questions: nothing, an answer, three bytes */
	say(c, S_PSH, "\0\0", 2);
	query(q, 3, 1);
	q[4] = 0x81;
	say(c, S_PSH, q, len);
	say(c, S_PSH, "\0\3abc", 5);
	assert_int_equal(c->in_len, 0);
	assert_int_equal(nasked, 0);
	/* after all that it still works */
	query(q, 4, 1);
	say(c, S_PSH, q, len);
	answer(0, 0);
	assert_int_equal(take_answer(c, &s), 4);
	assert_int_equal(s.rcode, 3);
	/* longer than any question */
	say(c, S_PSH, big, 2);
	assert_true(c->rst);
	room_wait(1100);
	turn();
	assert_int_equal(ndrops[REASON_MALFORMED], 4);
	assert_int_equal(ndrops[REASON_NAME_INVALID], 1);
}

/* The connection is gone; its questions still count, and are answered to nobody. */
static void
test_reset_with_questions(void **state)
{
	struct conn	*c;
	uint8_t		 q[64];
	struct dns_seen	 s;
	unsigned int	 i, k;

	(void)state;
	for (i = 0; i < ASKED_MAX / 64; i++) {
		c = dial(false);
		for (k = 0; k < 64; k++)
			send_raw(c, S_ACK, q, query(q, k, 1));
		turn();
		say(c, S_RST, NULL, 0);
	}
	turn();
	assert_int_equal(nasked, ASKED_MAX);
	c = dial(false);
	say(c, S_PSH, q, query(q, 99, 1));
	take_answer(c, &s);
	assert_int_equal(s.rcode, 2);
	assert_int_equal(nasked, ASKED_MAX);
	answer(5, 1);
	say(c, S_PSH, q, query(q, 98, 1));
	assert_int_equal(c->in_len, 0);
	answer(ASKED_MAX, 1);
	assert_int_equal(take_answer(c, &s), 98);
	/* a broker that never answers: the places come back */
	room_wait(16000);
	turn();
	c = dial(false);
	say(c, S_PSH, q, query(q, 97, 1));
	assert_int_equal(c->in_len, 0);
	assert_int_equal(nasked, ASKED_MAX + 2);
}

static void
test_late(void **state)
{
	struct conn	*c = dial(false);
	struct dns_seen	 s;
	uint8_t		 q[64];

	(void)state;
	say(c, S_PSH, q, query(q, 1, 1));
	room_wait(16000);
	assert_int_equal(take_answer(c, &s), 1);
	assert_int_equal(s.rcode, 2);
	assert_false(c->rst);
	answer(0, 1);
	assert_int_equal(c->in_len, 0);
}

/* ---- time and places ---- */

static void
test_idle(void **state)
{
	struct conn	*c = dial(false);
	uint8_t		 q[64];
	size_t		 len = query(q, 1, 1), i;

	(void)state;
	/* whole questions keep it */
	for (i = 0; i < 3; i++) {
		say(c, S_PSH, q, len);
		answer((unsigned int)i, 1);
		room_wait(8000);
		assert_false(c->fin);
	}
	/* a byte now and then does not */
	for (i = 0; i < 4; i++) {
		say(c, S_PSH, q + i, 1);
		room_wait(1000);
	}
	assert_true(c->fin);
	assert_false(c->rst);
	/* and a guest that does not end its side is made to */
	room_wait(11000);
	assert_true(c->rst);
	/* one that does is left in peace */
	c = dial(false);
	room_wait(11000);
	assert_true(c->fin);
	say(c, S_FIN, NULL, 0);
	room_wait(30000);
	assert_false(c->rst);
	/* no ACK to our SYN|ACK */
	c = dial_half(false);
	room_wait(11000);
	assert_true(c->rst);
	c->rst = true;
}

static void
test_places(void **state)
{
	struct conn	*c[CONNS_MAX + 1];
	struct dns_seen	 s;
	uint8_t		 q[64];
	unsigned int	 i;

	(void)state;
	for (i = 0; i < CONNS_MAX; i++)
		c[i] = dial(i % 2 != 0);
	c[CONNS_MAX] = dial_half(false);
	assert_int_equal(c[CONNS_MAX]->nsyn_acks, 0);
	assert_true(c[CONNS_MAX]->rst);
	/* those that wait for an answer stay; the longest idle one goes */
	say(c[0], S_PSH, q, query(q, 100, 1));
	for (i = 1; i < CONNS_MAX; i++) {
		if (i == 2)
			continue;
		say(c[i], S_PSH, q, query(q, i, 1));
		answer(nasked - 1, 1);
		assert_int_equal(take_answer(c[i], &s), i);
	}
	nconns--;
	free(c[CONNS_MAX]);
	c[CONNS_MAX] = dial_half(false);	/* nobody is idle yet */
	assert_true(c[CONNS_MAX]->rst);
	room_wait(1500);
	nconns--;
	free(c[CONNS_MAX]);
	c[CONNS_MAX] = dial(false);
	assert_true(c[2]->rst);
	dial(false);
	assert_true(c[1]->rst);
	assert_false(c[0]->rst || c[3]->rst);
	answer(0, 1);
	assert_int_equal(take_answer(c[0], &s), 100);
	room_wait(1100);
	turn();
	assert_int_equal(ndrops[REASON_CONNS], 2);
}

/* A guest that does not read makes us keep so much and no more. */
static void
test_deaf(void **state)
{
	struct conn	*c = dial(false);
	uint8_t		 q[64];
	unsigned int	 k, done = 0;
	size_t		 len;

	(void)state;
	c->deaf = true;
	for (k = 0; k < 2000; k++) {
		len = query(q, k % 1000, 1);
		if (len > c->window)
			break;
		send_raw(c, S_ACK, q, len);
		turn();
		for (; done < nasked; done++)
			answer(done, 64);
	}
	/* 64 KB of answers of a kilobyte, and what is in the window */
	assert_in_range(nasked, 60, 60 + CONN_ASKED_MAX);
	assert_in_range(c->in_len, 0, 2 * 1061);	/* before it said so */
	room_wait(11000);
	assert_true(c->rst);
}

#define T(f)	cmocka_unit_test_setup_teardown(f, start, end)

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		T(test_one), T(test_half_closed), T(test_byte_by_byte),
		T(test_pipeline), T(test_thousand), T(test_bound), T(test_odd),
		T(test_reset_with_questions), T(test_late), T(test_idle),
		T(test_places), T(test_deaf),
	};

	room_on_segment = on_segment;
	room_start(0, 1500, 256);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
