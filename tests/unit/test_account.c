/*
 * Accounts by name on a clock of the test's own: what a reconnect finds, when an
 * account goes, and how many there can be.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

#include "account.h"
#include "hash.h"

#define SEC	UINT64_C(1000000000)
#define MINUTE	(60 * SEC)

static const struct policy_limits	limits = {
	.conns = 10, .pending = 10, .rate = 1, .burst = 5,
	.dns_rate = 1, .dns_burst = 5, .names = 3, .names_per = 3600
};

static struct accounts	all;

static int
setup(void **state)
{
	(void)state;
	accounts_init(&all);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	accounts_free(&all);
	return 0;
}

static struct account *
take(const char *name, uint64_t now)
{
	struct account	*a = account_take(&all, name, &limits, 100, 2, now);

	assert_non_null(a);
	return a;
}

static bool
ask(struct account *a, unsigned int n, uint64_t now)
{
	struct name	name;

	memset(&name, 0, sizeof(name));
	name.len = (uint16_t)snprintf(name.text, sizeof(name.text), "n%u", n);
	return budget_charge(a->budget, 0, &name, now);
}

/* Twenty links in a row are one guest. */
static void
reconnects(void **state)
{
	struct account	*a;
	unsigned int	 i, n, opens = 0, names = 0, messages = 0;

	(void)state;
	for (i = 0; i < 20; i++) {
		a = take("g", i * SEC / 10);
		for (n = 0; n < 5; n++) {
			opens += quota_rate(a->quota, i * SEC / 10);
			names += ask(a, i * 5 + n, i * SEC / 10);
		}
		for (n = 0; n < 5000; n++)
			messages += bucket_take(&a->messages, i * SEC / 10);
		account_leave(&all, a, i * SEC / 10);
		accounts_tick(&all, i * SEC / 10, 0);
	}
	assert_int_equal(opens, 5 + 1);		/* in 1.9 s */
	assert_int_equal(names, 3);
	assert_in_range(messages, 58000, 58100);	/* 20 008 and as many a second */
}

/* Another name is another guest, and a name has but one at a time. */
static void
names_are_apart(void **state)
{
	struct account	*a = take("a", 0), *b = take("b", 0);

	(void)state;
	assert_true(ask(a, 1, 0) && ask(a, 2, 0) && ask(a, 3, 0));
	assert_false(ask(a, 4, 0));
	assert_true(ask(b, 4, 0));
	assert_null(account_take(&all, "a", &limits, 100, 2, 0));
	assert_int_equal(errno, EEXIST);
	account_leave(&all, a, 0);
	account_leave(&all, b, 0);
}

/* Is it still there at this time? */
static bool
kept(uint64_t mono, uint64_t boot)
{
	accounts_tick(&all, mono, boot);
	return all.nidle > 0;
}

static void
rests_for_a_minute(void **state)
{
	(void)state;
	account_leave(&all, take("g", 0), 0);
	assert_true(kept(MINUTE - 1, 0));
	assert_false(kept(MINUTE, 0));
}

/* As long as its slowest window remembers something, whichever that is. */
static void
slowest_window(void **state)
{
	struct endpoint	e = endpoint_v4(0xc0000201, 0);
	struct name	name = { .len = 1, .text = "n" };
	struct account	*a = take("names", 0);

	(void)state;
	ask(a, 1, 0);
	account_leave(&all, a, 0);
	assert_true(kept(60 * MINUTE - 1, 0));
	assert_false(kept(60 * MINUTE, 0));

	a = take("rate", 0);
	while (quota_rate(a->quota, 2 * MINUTE))
		;
	account_leave(&all, a, MINUTE);
	assert_true(kept(2 * MINUTE + 4 * SEC, 0));
	assert_false(kept(2 * MINUTE + 5 * SEC, 0));

	a = take("pins", 0);
	pins_put(a->pins, &name, &e, 1, 7 * MINUTE, 0);
	account_leave(&all, a, 0);
	assert_true(kept(90 * MINUTE, 7 * MINUTE - 1));
	assert_false(kept(90 * MINUTE, 7 * MINUTE));
}

/* More names than places: the one that has been gone for longest is forgotten. */
static void
bounded(void **state)
{
	struct account	*a;
	char		 name[16];
	unsigned int	 i;

	(void)state;
	for (i = 0; i < ACCOUNTS_IDLE + 3; i++) {
		snprintf(name, sizeof(name), "g%u", i);
		a = take(name, i);
		ask(a, 1, i);
		account_leave(&all, a, i);
		assert_true(all.nidle <= ACCOUNTS_IDLE);
	}
	a = take("g2", i);			/* gone: nothing is remembered */
	assert_true(ask(a, 2, i) && ask(a, 3, i) && ask(a, 4, i));
	account_leave(&all, a, i);
	a = take("g5", i);			/* there: one of three is used */
	assert_true(ask(a, 2, i) && ask(a, 3, i));
	assert_false(ask(a, 4, i));
	account_leave(&all, a, i);
}

static int
key(void **state)
{
	(void)state;
	hash_init();
	return 0;
}

#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		T(reconnects), T(names_are_apart), T(rests_for_a_minute),
		T(slowest_window), T(bounded),
	};

	return cmocka_run_group_tests(tests, key, NULL);
}
