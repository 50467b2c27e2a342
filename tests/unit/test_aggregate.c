/* Denial sums: in full + in sums == counted, for every order of events. */
#include "unit.h"

#include "aggregate.h"
#include "hash.h"

static struct aggregate	*agg;
static uint64_t		 summed, sums;
static struct aggregate_sum last;

static int
setup(void **state)
{
	(void)state;
	agg = aggregate_new();
	summed = sums = 0;
	return agg == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	aggregate_free(agg);
	return 0;
}

static bool
take(void *arg, const struct aggregate_sum *s)
{
	(void)arg;
	assert_true(s->n > 0 && s->first <= s->last);
	assert_true(s->uniq >= 1 && s->uniq <= 256 && s->uniq <= s->n);
	summed += s->n;
	sums++;
	last = *s;
	return true;
}

static void
ten_in_full(void **state)
{
	struct endpoint	e = endpoint_v4(0xc0000201, 80);
	int		i, full = 0;

	(void)state;
	for (i = 0; i < 100; i++) {
		e.addr[3] = (uint8_t)(i % 7);
		full += aggregate_deny(agg, REASON_DENY_RULE, PROTO_TCP, &e,
		    (uint64_t)i, true);
	}
	assert_int_equal(full, AGGREGATE_FULL);
	aggregate_flush(agg, 1, true, take, NULL);
	assert_int_equal(sums, 1);
	assert_int_equal(last.n, 90);
	assert_int_equal(last.uniq, 7);
	assert_int_equal(last.first, 10);
	assert_int_equal(last.last, 99);
	assert_int_equal(last.dst.addr[3], 0);
	assert_int_equal(last.dst.port, 80);
	assert_true(aggregate_busy(agg));	/* the ten are not forgotten */
	assert_false(aggregate_deny(agg, REASON_DENY_RULE, PROTO_TCP, &e, 100,
	    true));
}

static void
kinds_are_apart(void **state)
{
	struct endpoint	e = endpoint_v4(0xc0000201, 80);
	int		i, full = 0;

	(void)state;
	for (i = 0; i < 10; i++) {
		e = endpoint_v4(0xc0000201, 80);
		full += aggregate_deny(agg, REASON_RATE, PROTO_TCP, &e, 1, true);
		full += aggregate_deny(agg, REASON_CONNS, PROTO_TCP, &e, 1,
		    true);
		full += aggregate_deny(agg, REASON_RATE, PROTO_UDP, &e, 1, true);
		e.port = 81;
		full += aggregate_deny(agg, REASON_RATE, PROTO_TCP, &e, 1, true);
		e = endpoint_v4(0xc0000301, 80);
		full += aggregate_deny(agg, REASON_RATE, PROTO_TCP, &e, 1, true);
	}
	assert_int_equal(full, 50);
}

static void
period(void **state)
{
	struct endpoint	e = endpoint_v4(0xc0000201, 80);
	uint64_t	t = 1000;
	int		i;

	(void)state;
	aggregate_flush(agg, t, false, take, NULL);
	for (i = 0; i < 11; i++)
		aggregate_deny(agg, REASON_RATE, PROTO_TCP, &e, 5, true);
	aggregate_flush(agg, t + AGGREGATE_PERIOD - 1, false, take, NULL);
	assert_int_equal(sums, 0);
	aggregate_flush(agg, t + AGGREGATE_PERIOD, false, take, NULL);
	assert_int_equal(summed, 1);
	assert_false(aggregate_deny(agg, REASON_RATE, PROTO_TCP, &e, 5, true));
	aggregate_flush(agg, t + 2 * AGGREGATE_PERIOD, false, take, NULL);
	assert_int_equal(summed, 2);
	aggregate_flush(agg, t + 3 * AGGREGATE_PERIOD, false, take, NULL);
	assert_false(aggregate_busy(agg));	/* a quiet period: forgotten */
	assert_true(aggregate_deny(agg, REASON_RATE, PROTO_TCP, &e, 5, true));
}

/* Nothing is written now: all goes to the sum, nothing is lost. */
static void
not_now(void **state)
{
	struct endpoint	e = endpoint_v4(0xc0000201, 80);
	int		i;

	(void)state;
	for (i = 0; i < 30; i++)
		assert_false(aggregate_deny(agg, REASON_AUDIT_UNAVAILABLE,
		    PROTO_TCP, &e, 1, false));
	aggregate_flush(agg, 0, true, take, NULL);
	assert_int_equal(summed, 30);
}

static void
too_many_kinds(void **state)
{
	uint8_t		addr[16] = { 0x20, 0x01 };
	struct endpoint	e;
	uint64_t	full = 0, n = 0;
	unsigned int	i, round;

	(void)state;
	for (round = 0; round < 20; round++)
		for (i = 0; i < 3000; i++) {
			addr[6] = (uint8_t)(i >> 8);
			addr[7] = (uint8_t)i;
			e = endpoint_v6(addr, 80);
			full += aggregate_deny(agg, REASON_FLOOR_SPECIAL,
			    PROTO_TCP, &e, 1, true);
			n++;
			if (i % 1000 == 0)
				aggregate_flush(agg, n * AGGREGATE_PERIOD,
				    false, take, NULL);
		}
	aggregate_flush(agg, 0, true, take, NULL);
	assert_int_equal(full + summed, n);
	aggregate_flush(agg, ++n * AGGREGATE_PERIOD, false, take, NULL);
	assert_false(aggregate_busy(agg));
}

/* Random denials and flushes. */
static void
churn(void **state)
{
	uint64_t	full = 0, n, now = 1;
	struct endpoint	e;
	uint32_t	x = 3;

	(void)state;
	for (n = 0; n < 300000; n++) {
		x = x * 1664525 + 1013904223;
		e = endpoint_v4(0xc0000000 + (x >> 12), (uint16_t)(x >> 28));
		full += aggregate_deny(agg, (enum reason)(1 + x % 20),
		    PROTO_UDP, &e, n, (x & 0x100) != 0);
		now += x;
		aggregate_flush(agg, now, x % 50000 == 0, take, NULL);
	}
	aggregate_flush(agg, now, true, take, NULL);
	assert_int_equal(full + summed, n);
}

static int
key(void **state)
{
	(void)state;
	hash_init();
	return 0;
}

#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

/* Over the rate a new kind has no line and no sum of its own. */
static void
folded(void **state)
{
	struct endpoint	e = endpoint_v4(0xc0000201, 80);
	int		i;

	(void)state;
	for (i = 0; i < 300; i++) {
		e.port = (uint16_t)(1 + i);
		assert_false(aggregate_deny(agg, REASON_RATE, PROTO_TCP, &e, 7,
		    AGGREGATE_FOLD));
	}
	assert_true(aggregate_busy(agg));
	aggregate_flush(agg, 1, false, take, NULL);
	assert_int_equal(sums, 0);
	aggregate_flush(agg, 1 + AGGREGATE_PERIOD, false, take, NULL);
	assert_int_equal(sums, 1);
	assert_int_equal(summed, 300);
	assert_int_equal(last.dst.family, ADDR_NONE);
	assert_false(aggregate_busy(agg));
}

static bool
take_others(void *arg, const struct aggregate_sum *s)
{
	return s->dst.family == ADDR_NONE && s->name.len == 0 && take(arg, s);
}

/* Sums that there is no room for become one for each reason, and none is lost. */
static void
sums_are_added(void **state)
{
	struct endpoint	e = endpoint_v4(0xc0000201, 80);
	struct name	n;
	uint64_t	full = 0;
	int		i;

	(void)state;
	assert_int_equal(name_from_text("a.example", 9, &n), 0);
	for (i = 0; i < 4000; i++) {
		e.addr[2] = (uint8_t)(i % 7);
		full += aggregate_deny(agg, i % 2 == 0 ? REASON_RATE :
		    REASON_CONNS, PROTO_TCP, &e, (uint64_t)i + 1,
		    AGGREGATE_TELL);
		full += aggregate_name(agg, REASON_DNS_BUDGET, &n, 5,
		    AGGREGATE_TELL);
	}
	aggregate_flush(agg, 1, true, take_others, NULL);
	assert_int_equal(sums, 3);
	assert_int_equal(summed + full, 8000);
	aggregate_flush(agg, 2, true, take, NULL);
	assert_int_equal(sums, 3);
}

static void
hot(void **state)
{
	struct endpoint	e = endpoint_v4(0xc0000201, 80);
	int		i;

	(void)state;
	for (i = 0; i < 10; i++) {
		assert_false(aggregate_hot(agg, REASON_RATE, PROTO_TCP, &e));
		assert_true(aggregate_deny(agg, REASON_RATE, PROTO_TCP, &e, 1,
		    AGGREGATE_TELL));
	}
	assert_true(aggregate_hot(agg, REASON_RATE, PROTO_TCP, &e));
	assert_false(aggregate_hot(agg, REASON_CONNS, PROTO_TCP, &e));
	assert_false(aggregate_hot(agg, REASON_RATE, PROTO_UDP, &e));
	aggregate_flush(agg, 1, false, take, NULL);
	aggregate_flush(agg, 1 + AGGREGATE_PERIOD, false, take, NULL);
	assert_false(aggregate_hot(agg, REASON_RATE, PROTO_TCP, &e));
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		T(ten_in_full), T(kinds_are_apart), T(period), T(not_now),
		T(too_many_kinds), T(churn), T(folded), T(sums_are_added), T(hot),
	};

	return cmocka_run_group_tests(tests, key, NULL);
}
