/*
 * flow.c through a channel whose other end is the test: ids, the queue of OPENs
 * behind a full channel, limits, timeouts.
 */
#include <err.h>
#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "unit.h"

#include "frame_room.h"

#define FLOWS	1024

static unsigned int	granted, denied, revoked, expired;
static struct flow	*last;

static void
on_granted(struct flow *f, int fd)
{
	granted++;
	last = f;
	assert_int_equal(f->fd, fd);
	close(fd);
	f->fd = -1;
}

static void
on_denied(struct flow *f, enum deny_code code)
{
	(void)code;
	denied++;
	last = f;
	flow_remove(f);
}

static void
on_revoked(struct flow *f)
{
	revoked++;
	last = f;
}

static void
on_timeout(struct flow *f)
{
	expired++;
	last = f;
}

static const struct flow_ops	ops = {
	NULL, on_granted, on_denied, on_revoked, on_timeout, on_revoked
};

static struct flow	flows[FLOWS + 1];

static struct flow_key
key(unsigned int n)
{
	struct flow_key	k;

	memset(&k, 0, sizeof(k));
	k.guest = endpoint_v4(0x0a000264, (uint16_t)(1 + n));
	k.dst = endpoint_v4(0xc6336409, 80);
	k.proto = PROTO_UDP;
	return k;
}

static struct flow *
insert(unsigned int n)
{
	struct flow_key	k = key(n);

	memset(&flows[n], 0, sizeof(flows[n]));
	assert_int_equal(flow_insert(&flows[n], &k, &ops), 0);
	return &flows[n];
}

/* The next OPEN's id; 0 if there is none. */
static uint64_t
next_open(void)
{
	_Alignas(8) uint8_t	buf[WIRE_MAX];
	struct wire_head	h;

	while (room_broker_recv(buf, sizeof(buf)) > 0) {
		memcpy(&h, buf, sizeof(h));
		if (h.type == WIRE_OPEN)
			return h.id;
	}
	return 0;
}

static void
remove_flow(struct flow *f)
{
	flow_close(f, HOW_RST, REASON_IDLE);
	flow_remove(f);
}

static void
test_find(void **state)
{
	struct flow_key	k0 = key(0), k1 = key(1), udp = key(0);
	struct flow	*f = insert(0);

	(void)state;
	udp.proto = PROTO_TCP;
	assert_ptr_equal(flow_find(&k0), f);
	assert_null(flow_find(&k1));
	assert_null(flow_find(&udp));
	flow_ask(f);
	assert_ptr_equal(flow_by_id(f->id), f);
	remove_flow(f);
	assert_null(flow_find(&k0));
	assert_null(flow_by_id(f->id));
	assert_int_equal(next_open(), f->id);
}

static void
test_ids_rise(void **state)
{
	uint64_t	a, b;

	(void)state;
	flow_ask(insert(0));
	flow_ask(insert(1));
	a = next_open();
	b = next_open();
	assert_true(a != 0 && b == a + 1);
	assert_true(ask_id_used(a) && ask_id_used(b));
	assert_false(ask_id_used(b + 1));
	assert_false(ask_id_used(0));
	remove_flow(&flows[0]);
	remove_flow(&flows[1]);
	next_open();
}

/* A full channel: the rest waits in order, and one that is closed never asks. */
static void
test_queue(void **state)
{
	unsigned int	i, sent = 0, waiting = 0;
	uint64_t	id, before = 0;

	(void)state;
	for (i = 0; i < FLOWS; i++)
		flow_ask(insert(i));
	for (i = 0; i < FLOWS; i++)
		waiting += flows[i].state == FLOW_NEW;
	assert_in_range(waiting, 1, FLOWS - 1);
	remove_flow(&flows[FLOWS - 1]);
	for (;;) {
		while ((id = next_open()) != 0) {
			assert_true(id > before);
			before = id;
			sent++;
		}
		if (sent == FLOWS - 1)
			break;
		room_turn();
	}
	room_turn();
	assert_int_equal(next_open(), 0);
	for (i = 0; i < FLOWS - 1; i++)
		remove_flow(&flows[i]);
	while (room_turn(), flow_count() != 0)
		;
	next_open();
}

static void
test_limit(void **state)
{
	struct flow_key	k = key(FLOWS);
	struct flow	extra = { 0 };
	unsigned int	i;
	uint32_t	limit = frame.config.flows_max;

	(void)state;
	/* Room for some that only the broker is to refuse. */
	frame.config.flows_max = FLOWS - FLOW_EXTRA;
	for (i = 0; i < FLOWS; i++)
		flow_ask(insert(i));
	assert_int_equal(flow_insert(&extra, &k, &ops), -1);
	/* A closed one does not count, even while it is in the table. */
	flow_close(&flows[0], HOW_RST, REASON_IDLE);
	assert_int_equal(flow_count(), FLOWS - 1);
	assert_int_equal(flow_insert(&extra, &k, &ops), 0);
	flow_ask(&extra);
	flow_remove(&flows[0]);
	remove_flow(&extra);
	for (i = 1; i < FLOWS; i++)
		remove_flow(&flows[i]);
	frame.config.flows_max = limit;
	assert_int_equal(flow_count(), 0);
	for (i = 0; i < 50; i++) {
		next_open();
		room_turn();
	}
}

static void
test_answers(void **state)
{
	struct flow	*f = insert(0), *g = insert(1);
	int		 pair[2];

	(void)state;
	granted = denied = revoked = 0;
	flow_ask(f);
	flow_ask(g);
	room_deny(g->id, DENY_RESET);
	room_tcp_pair(pair);
	room_grant(f->id, pair[0]);
	close(pair[0]);
	close(pair[1]);
	room_turn();
	assert_int_equal(granted, 1);
	assert_int_equal(denied, 1);
	assert_int_equal(f->state, FLOW_OPEN);
	room_revoke(f->id);
	room_turn();
	assert_int_equal(revoked, 1);
	/* What crosses our CLOSE is ignored. */
	remove_flow(f);
	room_revoke(f->id);
	room_deny(f->id, DENY_RESET);
	room_turn();
	assert_int_equal(revoked, 1);
	assert_int_equal(denied, 1);
	next_open();
}

static void
test_timeouts(void **state)
{
	struct flow	*f = insert(0), *g = insert(1);

	(void)state;
	expired = 0;
	flow_ask(f);
	flow_ask(g);
	frame_clock();
	flow_set_timeout(f, 30);
	flow_set_timeout(g, 30);
	room_wait(20000);
	flow_touch(f);
	room_wait(12000);
	assert_int_equal(expired, 1);
	assert_ptr_equal(last, g);
	room_wait(20000);
	assert_int_equal(expired, 2);
	assert_ptr_equal(last, f);
	flow_set_timeout(f, 5);
	flow_set_timeout(f, 0);
	room_wait(20000);
	assert_int_equal(expired, 2);
	remove_flow(f);
	remove_flow(g);
	next_open();
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_ids_rise),
		cmocka_unit_test(test_queue),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_timeouts),
	};

	room_start(0, 1500, FLOWS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
