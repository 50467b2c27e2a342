/*
 * Fragments from the guest: what becomes of them whole, and what does not.
 */
#include <net/ethernet.h>
#include <netinet/in.h>

#include <stdlib.h>
#include <string.h>

#include "unit.h"

#include "bytes.h"
#include "frame_fake.h"

#define FAR4	"192.0.2.7"
#define FAR6	"2001:db8::7"
#define MOST	66000
#define NELEM(a)	(sizeof(a) / sizeof((a)[0]))

static struct mk	m;
static uint8_t		l4[MOST];
static size_t		l4_len;

/* A whole UDP datagram from the guest, in l4; the payload says which one it is. */
static void
datagram(bool v6, size_t len, uint8_t which)
{
	static struct mk	whole;
	static uint8_t		data[MOST];
	size_t			i;

	for (i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + (i >> 8) + which);
	mk_udp(&whole, v6 ? GUEST6 : GUEST4, 1000, v6 ? FAR6 : FAR4, 7, data,
	    len);
	l4_len = whole.len - whole.l4;
	memcpy(l4, whole.bytes + whole.l4, l4_len);
}

/* One piece of l4, as a frame, to be changed before it is sent. */
static void
piece(bool v6, uint8_t proto, uint32_t id, size_t at, size_t len, bool more)
{
	uint8_t	head[8] = { proto };

	mk_ip(&m, v6 ? GUEST6 : GUEST4, v6 ? FAR6 : FAR4, v6 ? 44 : proto);
	if (v6) {
		put16(head + 2, (unsigned int)at | more);
		put32(head + 4, id);
		mk_add(&m, head, sizeof(head));
	}
	mk_add(&m, l4 + at, len);
	if (v6)
		put16(m.bytes + m.ip + 4, (unsigned int)(8 + len));
	else {
		put16(m.bytes + m.ip + 2, (unsigned int)(20 + len));
		put16(m.bytes + m.ip + 4, id & 0xffff);
		put16(m.bytes + m.ip + 6, (unsigned int)(at / 8) |
		    (more ? 0x2000 : 0));
	}
	mk_fix_ip(&m);
}

/* What it is part of, if that is whole now. */
static struct rxbuf *
take(void)
{
	struct rxbuf	*b = fake_rx(m.bytes, m.len), *whole;
	struct packet	 p;

	assert_int_equal(packet_parse(b, &p), REASON_FRAGMENT);
	whole = fragment_take(&p);
	free(b);
	return whole;
}

static struct rxbuf *
cut(bool v6, uint32_t id, size_t size)
{
	struct rxbuf	*whole = NULL;
	size_t		 at, len;

	for (at = 0; at < l4_len; at += len) {
		assert_null(whole);
		len = l4_len - at < size ? l4_len - at : size;
		piece(v6, IPPROTO_UDP, id, at, len, at + len < l4_len);
		whole = take();
	}
	return whole;
}

static void
check_whole(struct rxbuf *b)
{
	struct packet	p;

	assert_non_null(b);
	assert_int_equal(packet_parse(b, &p), REASON_NONE);
	assert_int_equal(p.l4_len, l4_len);
	assert_memory_equal(p.l4, l4, l4_len);
	assert_int_equal(p.dst.port, 7);
}

static unsigned int
drops(void)
{
	return fake_drops[REASON_FRAGMENT];
}

static void
test_whole(void **state)
{
	static const size_t	size[] = { 8, 16, 552, 1232, 1480, 8000 };
	static const size_t	len[] = { 1, 8, 9, 1472, 1473, 3000, 9000,
				    65487, 65507 };
	size_t			i, k;
	uint32_t		id = 0;

	(void)state;
	for (i = 0; i < NELEM(size); i++)
		for (k = 0; k < NELEM(len); k++) {
			if (len[k] > 100 * size[i])
				continue;
			datagram(false, len[k], (uint8_t)k);
			if (l4_len > size[i])
				check_whole(cut(false, ++id, size[i]));
			if (len[k] > 65487)
				continue;
			datagram(true, len[k], (uint8_t)k);
			check_whole(cut(true, ++id, size[i]));
		}
	assert_int_equal(drops(), 0);
}

/* From a guest that sends two at a time: each is put together from its own. */
static void
test_interleaved(void **state)
{
	size_t	at, len;
	uint8_t	which;

	(void)state;
	for (at = 0; at < 3008; at += 1000) {
		len = 3008 - at < 1000 ? 3008 - at : 1000;
		for (which = 0; which < 6; which++) {
			datagram(which % 2 != 0, 3000, which);
			piece(which % 2 != 0, IPPROTO_UDP, which / 2u, at, len,
			    at + len < l4_len);
			if (at + len < l4_len)
				assert_null(take());
			else
				check_whole(take());
		}
	}
	assert_int_equal(drops(), 0);
}

/*
 * Pieces in any order, twice, overlapping, of the wrong length: what comes out is
 * something that went in, and each piece is delivered, kept or counted.
 */
static void
test_random(void **state)
{
	unsigned int	i, fragments = 0, delivered = 0, pieces[2] = { 0 };
	struct rxbuf	*b;
	size_t		at, len;
	uint8_t		which;
	bool		v6, more;
	struct packet	p;

	(void)state;
	srand(20261130);
	for (i = 0; i < 200000; i++) {
		which = (uint8_t)(rand() % 2);
		v6 = which == 1;
		datagram(v6, 40, which);
		at = (size_t)(rand() % 6) * 8;
		len = rand() % 3 != 0 ? 16 : (size_t)rand() % (l4_len - at);
		if (len > l4_len - at)
			len = l4_len - at;
		more = rand() % 8 == 0 ? rand() % 2 : at + len < l4_len;
		if (!v6 && at == 0 && !more)
			continue;		/* that is no fragment */
		piece(v6, IPPROTO_UDP, (uint32_t)rand() % 2, at, len, more);
		fragments++;
		if ((b = take()) == NULL)
			continue;
		if (packet_parse(b, &p) == REASON_NONE) {
			assert_memory_equal(p.l4, l4, p.l4_len);
			delivered++;
		}
		pieces[which]++;
	}
	assert_true(delivered > 100);
	assert_true(pieces[0] > 100 && pieces[1] > 100);
	assert_true(drops() < fragments);
}

/* Nothing is lost without being counted. */
static void
test_counted(void **state)
{
	(void)state;
	datagram(false, 100, 0);
	piece(false, IPPROTO_UDP, 1, 16, 16, true);	/* not the first */
	assert_null(take());
	assert_int_equal(drops(), 1);
	piece(false, IPPROTO_UDP, 1, 0, 16, true);
	assert_null(take());
	piece(false, IPPROTO_UDP, 1, 32, 16, true);	/* a hole: all of it */
	assert_null(take());
	assert_int_equal(drops(), 3);
	piece(false, IPPROTO_UDP, 1, 16, 92, false);	/* too late */
	assert_null(take());
	assert_int_equal(drops(), 4);
	/* from the start again, which is a new one */
	piece(false, IPPROTO_UDP, 1, 0, 16, true);
	assert_null(take());
	piece(false, IPPROTO_UDP, 1, 0, 16, true);
	assert_null(take());
	assert_int_equal(drops(), 5);
	piece(false, IPPROTO_UDP, 1, 16, 92, false);
	check_whole(take());
	assert_int_equal(drops(), 5);
}

static void
test_refused(void **state)
{
	static const uint8_t	protos[] = { IPPROTO_TCP, IPPROTO_ICMPV6,
				    IPPROTO_ICMP, 44, 60, 132 };
	size_t			i;

	(void)state;
	datagram(true, 65495, 0);
	for (i = 0; i < NELEM(protos); i++) {
		l4[0] = 135;			/* NDP, to ICMPv6 */
		piece(true, protos[i], 1, 0, 16, true);
		assert_null(take());
		piece(true, protos[i], 1, 16, 16, false);
		assert_null(take());
		assert_int_equal(drops(), 2 * (i + 1));
	}
	fake_forget();
	memset(fake_drops, 0, sizeof(fake_drops));
	piece(true, IPPROTO_UDP, 2, 0, 17, true);	/* not in eights */
	assert_null(take());
	piece(true, IPPROTO_UDP, 2, 0, 0, true);	/* nothing */
	assert_null(take());
	piece(true, IPPROTO_UDP, 2, 0, 7, false);	/* no header */
	assert_null(take());
	assert_int_equal(drops(), 3);
	for (i = 0; i < 65472; i += 8184) {
		piece(true, IPPROTO_UDP, 3, i, 8184, true);
		assert_null(take());
	}
	assert_int_equal(drops(), 3);
	piece(true, IPPROTO_UDP, 3, 65472, 24, true);	/* more than there can be */
	assert_null(take());
	assert_int_equal(drops(), 3 + 9);
	/* behind another header */
	mk_ip(&m, GUEST6, FAR6, 0);
	mk_add(&m, "\54\0\1\4\0\0\0\0" "\21\0\0\1\0\0\0\1", 16);
	mk_add(&m, l4, 16);
	put16(m.bytes + m.ip + 4, 32);
	assert_null(take());
	assert_int_equal(drops(), 3 + 10);
}

/* There is room for so many; the oldest goes. And none is waited for long. */
static void
test_slots(void **state)
{
	uint32_t	id;

	(void)state;
	datagram(false, 100, 0);
	for (id = 0; id < FRAGMENT_SLOTS + 1; id++) {
		frame.now_ms++;
		piece(false, IPPROTO_UDP, id, 0, 16, true);
		assert_null(take());
	}
	assert_int_equal(drops(), 1);
	piece(false, IPPROTO_UDP, 0, 16, 92, false);
	assert_null(take());
	assert_int_equal(drops(), 2);
	piece(false, IPPROTO_UDP, 1, 16, 92, false);
	check_whole(take());
	frame.now_ms += 31000;
	piece(false, IPPROTO_UDP, 2, 16, 92, false);
	assert_null(take());
	assert_int_equal(drops(), 2 + FRAGMENT_SLOTS);
}

/* All the way: a flow is asked for when it is whole, and an answer about it quotes it. */
static void
test_through(void **state)
{
	struct flow	*f;

	(void)state;
	datagram(false, 100, 0);
	piece(false, IPPROTO_UDP, 1, 0, 16, true);
	mk_send(&m);
	assert_int_equal(fake_asked, 0);
	piece(false, IPPROTO_UDP, 1, 16, 92, false);
	mk_send(&m);
	assert_int_equal(fake_asked, 1);
	f = fake_flow(0);
	assert_non_null(f);
	f->ops->denied(f, DENY_ADMIN);
	assert_int_equal(fake_nsent, 1);
	check_sent(&fake_sent[0]);
	assert_memory_equal(sent_l4(&fake_sent[0]) + 8 + 20, l4, 100);
}

/* Whatever is left of the last test is too old. */
static int
setup(void **state)
{
	static uint64_t	 now = 1000000;
	struct rxbuf	*b;
	struct packet	 p;

	fake_reset(state);
	frame.now_ms = now += 100000;
	datagram(false, 100, 0);
	piece(false, IPPROTO_UDP, 0xffff, 16, 16, true);
	b = fake_rx(m.bytes, m.len);
	packet_parse(b, &p);
	fragment_take(&p);
	free(b);
	memset(fake_drops, 0, sizeof(fake_drops));
	return 0;
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test_setup(test_whole, setup),
		cmocka_unit_test_setup(test_interleaved, setup),
		cmocka_unit_test_setup(test_random, setup),
		cmocka_unit_test_setup(test_counted, setup),
		cmocka_unit_test_setup(test_refused, setup),
		cmocka_unit_test_setup(test_slots, setup),
		cmocka_unit_test_setup(test_through, setup),
	};

	fake_reset(NULL);
	dgram_room_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
