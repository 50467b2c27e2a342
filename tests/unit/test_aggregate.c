/* Denial sums: in full + in sums == counted, for every order of events. */
#include <stdio.h>

#include "unit.h"

#include "aggregate.h"
#include "distinct.h"
#include "hash.h"
#include "policy.h"

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

/* A flow, and a question, for no rule. */
static bool
flow(enum reason why, uint32_t proto, const struct endpoint *e, uint64_t ts,
    enum aggregate_how how)
{
	struct attempt	t = { .reason = why, .proto = proto, .dst = e,
			    .rule = POLICY_NO_RULE };

	return aggregate_count(agg, &t, ts, how);
}

static bool
named(enum reason why, enum attempt_name what, const struct name *n,
    const struct endpoint *e, enum aggregate_how how)
{
	struct attempt	t = { .reason = why, .proto = PROTO_TCP, .what = what,
			    .name = n, .dst = e, .rule = 3 };

	return aggregate_count(agg, &t, 5, how);
}

static bool
is_hot(enum reason why, uint32_t proto, const struct endpoint *e)
{
	struct attempt	t = { .reason = why, .proto = proto, .dst = e,
			    .rule = POLICY_NO_RULE };

	return aggregate_hot(agg, &t);
}

static bool
take(void *arg, const struct aggregate_sum *s)
{
	(void)arg;
	assert_true(s->n > 0 && s->first <= s->last);
	assert_true(s->uniq <= 256 && s->uniq <= s->n);
	assert_true((s->bits != 0) + (s->what != ATTEMPT_NO_NAME) + s->several ==
	    1);
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
		full += flow(REASON_DENY_RULE, PROTO_TCP, &e,
		    (uint64_t)i, AGGREGATE_TELL);
	}
	assert_int_equal(full, AGGREGATE_FULL);
	aggregate_flush(agg, 1, true, take, NULL);
	assert_int_equal(sums, 1);
	assert_int_equal(last.n, 90);
	assert_int_equal(last.uniq, 7);
	assert_int_equal(last.first, 10);
	assert_int_equal(last.last, 99);
	assert_int_equal(last.net.addr[3], 0);
	assert_int_equal(last.net.port, 80);
	assert_true(aggregate_busy(agg));	/* the ten are not forgotten */
	assert_false(flow(REASON_DENY_RULE, PROTO_TCP, &e, 100,
	    AGGREGATE_TELL));
}

static void
kinds_are_apart(void **state)
{
	struct endpoint	e = endpoint_v4(0xc0000201, 80);
	int		i, full = 0;

	(void)state;
	for (i = 0; i < 10; i++) {
		e = endpoint_v4(0xc0000201, 80);
		full += flow(REASON_RATE, PROTO_TCP, &e, 1, AGGREGATE_TELL);
		full += flow(REASON_CONNS, PROTO_TCP, &e, 1,
		    AGGREGATE_TELL);
		full += flow(REASON_RATE, PROTO_UDP, &e, 1, AGGREGATE_TELL);
		e.port = 81;
		full += flow(REASON_RATE, PROTO_TCP, &e, 1, AGGREGATE_TELL);
		e = endpoint_v4(0xc0000301, 80);
		full += flow(REASON_RATE, PROTO_TCP, &e, 1, AGGREGATE_TELL);
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
		flow(REASON_RATE, PROTO_TCP, &e, 5, AGGREGATE_TELL);
	aggregate_flush(agg, t + AGGREGATE_PERIOD - 1, false, take, NULL);
	assert_int_equal(sums, 0);
	aggregate_flush(agg, t + AGGREGATE_PERIOD, false, take, NULL);
	assert_int_equal(summed, 1);
	assert_false(flow(REASON_RATE, PROTO_TCP, &e, 5, AGGREGATE_TELL));
	aggregate_flush(agg, t + 2 * AGGREGATE_PERIOD, false, take, NULL);
	assert_int_equal(summed, 2);
	aggregate_flush(agg, t + 3 * AGGREGATE_PERIOD, false, take, NULL);
	assert_false(aggregate_busy(agg));	/* a quiet period: forgotten */
	assert_true(flow(REASON_RATE, PROTO_TCP, &e, 5, AGGREGATE_TELL));
}

/* Nothing is written now: all goes to the sum, nothing is lost. */
static void
not_now(void **state)
{
	struct endpoint	e = endpoint_v4(0xc0000201, 80);
	int		i;

	(void)state;
	for (i = 0; i < 30; i++)
		assert_false(flow(REASON_AUDIT_UNAVAILABLE,
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
			full += flow(REASON_FLOOR_SPECIAL,
			    PROTO_TCP, &e, 1, AGGREGATE_TELL);
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
		full += flow((enum reason)(1 + x % 20),
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
		assert_false(flow(REASON_RATE, PROTO_TCP, &e, 7,
		    AGGREGATE_FOLD));
	}
	assert_true(aggregate_busy(agg));
	aggregate_flush(agg, 1, false, take, NULL);
	assert_int_equal(sums, 0);
	aggregate_flush(agg, 1 + AGGREGATE_PERIOD, false, take, NULL);
	assert_int_equal(sums, 1);
	assert_int_equal(summed, 300);
	assert_int_equal(last.net.family, ADDR_NONE);
	assert_false(aggregate_busy(agg));
}

static bool
take_others(void *arg, const struct aggregate_sum *s)
{
	return s->several && take(arg, s);
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
		full += flow(i % 2 == 0 ? REASON_RATE :
		    REASON_CONNS, PROTO_TCP, &e, (uint64_t)i + 1,
		    AGGREGATE_TELL);
		full += named(REASON_DNS_BUDGET, ATTEMPT_ASKED, &n,
		    NULL, AGGREGATE_TELL);
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
		assert_false(is_hot(REASON_RATE, PROTO_TCP, &e));
		assert_true(flow(REASON_RATE, PROTO_TCP, &e, 1,
		    AGGREGATE_TELL));
	}
	assert_true(is_hot(REASON_RATE, PROTO_TCP, &e));
	assert_false(is_hot(REASON_CONNS, PROTO_TCP, &e));
	assert_false(is_hot(REASON_RATE, PROTO_UDP, &e));
	aggregate_flush(agg, 1, false, take, NULL);
	aggregate_flush(agg, 1 + AGGREGATE_PERIOD, false, take, NULL);
	assert_false(is_hot(REASON_RATE, PROTO_TCP, &e));
}

/* 60 hosts of a net that were scanned: each can be found. */
static void
scanned(void **state)
{
	struct endpoint	e = endpoint_v4(0x2d212000, 22);
	char		want[16];
	int		i, round;

	(void)state;
	for (round = 0; round < 2; round++)
		for (i = 0; i < 60; i++) {
			e.addr[3] = (uint8_t)(i * 4 + 1);
			flow(REASON_DEFAULT_DENY, PROTO_TCP, &e, 1,
			    AGGREGATE_TELL);
		}
	aggregate_flush(agg, 1, true, take, NULL);
	assert_int_equal(sums, 1);
	assert_int_equal(last.bits, 24);
	assert_int_equal(last.uniq, 60);
	assert_false(last.least);
	for (i = 0; i < 60; i++) {
		snprintf(want, sizeof(want), "45.33.32.%d", i * 4 + 1);
		assert_non_null(strstr(last.dsts, want));
	}
	assert_null(strstr(last.dsts, "..."));
	assert_null(strstr(last.dsts, "45.33.32.0"));
}

/* Of a /64 the first are told, and that there were more. */
static void
scanned_wide(void **state)
{
	uint8_t		addr[16] = { 0x20, 0x01, 0x0d, 0xb8 };
	struct endpoint	e;
	int		i;

	(void)state;
	for (i = 0; i < 10 + 40; i++) {
		addr[15] = (uint8_t)i;
		e = endpoint_v6(addr, 443);
		flow(REASON_DEFAULT_DENY, PROTO_TCP, &e, 1, AGGREGATE_TELL);
		if (i == 10 + DISTINCT_LOW - 1) {
			aggregate_flush(agg, 1, true, take, NULL);
			assert_int_equal(last.uniq, DISTINCT_LOW);
			assert_false(last.least);
		}
	}
	for (i = 100; i < 100 + (int)DISTINCT_LOW + 5; i++) {
		addr[15] = (uint8_t)i;
		e = endpoint_v6(addr, 443);
		flow(REASON_DEFAULT_DENY, PROTO_TCP, &e, 1, AGGREGATE_TELL);
	}
	aggregate_flush(agg, 1, true, take, NULL);
	assert_int_equal(last.bits, 64);
	assert_int_equal(last.uniq, DISTINCT_LOW);
	assert_true(last.least);
	assert_memory_equal(last.dsts, "2001:db8::2a 2001:db8::2b ", 26);
}

/* Names that flows have shown: a kind each; beyond the rate one sum that has them. */
static void
shown(void **state)
{
	struct endpoint	e = endpoint_v4(0xc0000201, 443);
	struct name	n;
	char		text[32];
	int		i, len, full = 0;

	(void)state;
	assert_int_equal(name_from_text("evil.example", 12, &n), 0);
	for (i = 0; i < 15; i++) {
		e.port = (uint16_t)(443 + i % 3);
		full += named(REASON_SNI_MISMATCH, ATTEMPT_SNI, &n, &e,
		    AGGREGATE_TELL);
	}
	assert_int_equal(full, 10);
	aggregate_flush(agg, 1, true, take, NULL);
	assert_int_equal(last.what, ATTEMPT_SNI);
	assert_true(name_equal(&last.name, &n));
	assert_int_equal(last.rule, 3);
	assert_int_equal(last.bits, 0);
	assert_int_equal(last.uniq, 3);
	assert_string_equal(last.dsts,
	    "192.0.2.1:444 192.0.2.1:445 192.0.2.1:443");
	for (i = 0; i < 100; i++) {
		len = snprintf(text, sizeof(text), "x%d.evil.example", i % 50);
		assert_int_equal(name_from_text(text, (size_t)len, &n), 0);
		assert_false(named(REASON_SNI_MISMATCH, ATTEMPT_SNI, &n, &e,
		    AGGREGATE_FOLD));
	}
	aggregate_flush(agg, 1, true, take, NULL);
	assert_true(last.several);
	assert_int_equal(last.n, 100);
	assert_int_equal(last.uniq, 50);
	assert_false(last.least);
	assert_int_equal(last.rule, 3);
	assert_non_null(strstr(last.names, "x49.evil.example"));
	assert_int_equal(strlen(last.dsts), 0);
}

/* Names of a guest's own making do not push out what others are denied for. */
static void
flood_of_names(void **state)
{
	struct endpoint	e = endpoint_v4(0xc0000201, 443);
	struct name	n;
	char		text[32];
	int		i, len;

	(void)state;
	for (i = 0; i < 5000; i++) {
		len = snprintf(text, sizeof(text), "x%d.evil.example", i);
		assert_int_equal(name_from_text(text, (size_t)len, &n), 0);
		named(REASON_SNI_MISMATCH, ATTEMPT_SNI, &n, &e, AGGREGATE_TELL);
	}
	for (i = 0; i < 20; i++)
		flow(REASON_DEFAULT_DENY, PROTO_TCP, &e, 5, AGGREGATE_TELL);
	aggregate_flush(agg, 1, true, take, NULL);
	assert_int_equal(sums, 2);
	assert_int_equal(summed, 5000 - AGGREGATE_SHOWN + 10);
	assert_true(last.several);	/* those come last */
	assert_int_equal(last.uniq, DISTINCT_WIDE);
	assert_true(last.least);
	aggregate_flush(agg, 1 + AGGREGATE_PERIOD, false, take, NULL);
	assert_false(aggregate_busy(agg));
	assert_true(named(REASON_SNI_MISMATCH, ATTEMPT_SNI, &n, &e,
	    AGGREGATE_TELL));
}

/* More reasons than there are lists for: all are counted. */
static void
reasons(void **state)
{
	struct endpoint	e = endpoint_v4(0xc0000201, 443);
	unsigned int	i;

	(void)state;
	for (i = 1; i < REASON_MAX; i++)
		assert_false(flow((enum reason)i, PROTO_UDP, &e, 5,
		    AGGREGATE_FOLD));
	aggregate_flush(agg, 1, true, take, NULL);
	assert_int_equal(sums, REASON_MAX - 1);
	assert_int_equal(last.uniq, 0);
	assert_int_equal(last.proto, PROTO_UDP);
	flow(REASON_RATE, PROTO_UDP, &e, 5, AGGREGATE_FOLD);
	flow(REASON_RATE, PROTO_TCP, &e, 5, AGGREGATE_FOLD);
	aggregate_flush(agg, 1, true, take, NULL);
	assert_int_equal(last.uniq, 1);
	assert_int_equal(last.proto, PROTO_NONE);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		T(ten_in_full), T(kinds_are_apart), T(period), T(not_now),
		T(too_many_kinds), T(churn), T(folded), T(sums_are_added), T(hot),
		T(scanned), T(scanned_wide), T(shown), T(flood_of_names),
		T(reasons),
	};

	return cmocka_run_group_tests(tests, key, NULL);
}
