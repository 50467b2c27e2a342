/*
 * Pins and budgets on a clock of the test's own, and a random walk of the pins
 * beside a plain list that does the same slowly.
 */
#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

#include "budget.h"
#include "hash.h"
#include "pins.h"

#define SEC	UINT64_C(1000000000)

static struct name
named(const char *prefix, unsigned int n)
{
	struct name	out;
	char		text[64];

	snprintf(text, sizeof(text), "%s%02u.test", prefix, n);
	assert_int_equal(name_from_text(text, strlen(text), &out), 0);
	return out;
}

static void
put(struct pins *p, const char *prefix, unsigned int n, uint32_t addr,
    uint64_t until, uint64_t now)
{
	struct name	name = named(prefix, n);
	struct endpoint	e = endpoint_v4(addr, 0);

	pins_put(p, &name, &e, until, now);
}

static struct bound
bound(struct pins *p, uint32_t addr, uint64_t now)
{
	struct endpoint	e = endpoint_v4(addr, 443);
	struct bound	b;

	pins_bound(p, &e, now, &b);
	return b;
}

static int
setup(void **state)
{
	hash_init();
	*state = pins_new();
	return *state == NULL;
}

static int
teardown(void **state)
{
	pins_free(*state);
	return 0;
}

static void
pinned_until(void **state)
{
	struct pins	*p = *state;
	struct bound	 b;

	b = bound(p, 1, 0);
	assert_true(b.n == 0 && !b.lapsed);
	put(p, "a", 1, 1, 100, 0);
	b = bound(p, 1, 99);
	assert_int_equal(b.n, 1);
	assert_string_equal(b.name[0]->text, "a01.test");
	assert_false(b.lapsed);
	b = bound(p, 1, 100);
	assert_true(b.n == 0 && b.lapsed);
	b = bound(p, 2, 50);
	assert_true(b.n == 0 && !b.lapsed);
	b = bound(p, 1, 100 + PINS_LAPSED - 1);
	assert_true(b.lapsed);
	b = bound(p, 1, 100 + PINS_LAPSED);
	assert_false(b.lapsed);
	assert_int_equal(pins_count(p), 0);
}

/* A new answer with a short TTL takes nothing from what was promised. */
static void
never_shorter(void **state)
{
	struct pins	*p = *state;

	put(p, "a", 1, 1, 1000, 0);
	put(p, "a", 1, 1, 500, 10);
	assert_int_equal(bound(p, 1, 999).n, 1);
	put(p, "a", 1, 1, 2000, 1500);	/* revived */
	assert_int_equal(bound(p, 1, 1999).n, 1);
	assert_int_equal(pins_count(p), 1);
}

static void
sorted_names(void **state)
{
	static const unsigned int	order[] = { 5, 1, 9, 3, 7, 1, 5 };
	struct pins			*p = *state;
	struct bound			 b;
	size_t				 i;

	for (i = 0; i < 7; i++)
		put(p, "n", order[i], 1, 100, 0);
	put(p, "old", 1, 1, 10, 0);
	b = bound(p, 1, 50);
	assert_int_equal(b.n, 5);
	assert_true(b.lapsed);
	for (i = 1; i < b.n; i++)
		assert_true(name_compare(b.name[i - 1], b.name[i]) < 0);
}

static void
other_forms(void **state)
{
	static const uint8_t	mapped[16] = { [10] = 0xff, [11] = 0xff,
				    [15] = 1 };
	struct endpoint		e = endpoint_v6(mapped, 80);
	struct pins		*p = *state;
	struct bound		 b;

	put(p, "a", 1, 1, 100, 0);
	pins_bound(p, &e, 1, &b);
	assert_int_equal(b.n, 1);
	pins_bound(NULL, &e, 1, &b);
	assert_true(b.n == 0 && !b.lapsed);
}

/* The pin that ends first makes room for the next address of its name. */
static void
addresses_of_a_name(void **state)
{
	struct pins	*p = *state;
	uint32_t	 i;

	for (i = 0; i < PINS_PER_NAME; i++)
		put(p, "a", 1, i, 1000 + i % 7, 0);
	put(p, "a", 1, 1000, 2000, 0);
	assert_int_equal(pins_count(p), PINS_PER_NAME);
	assert_int_equal(bound(p, 1000, 1).n, 1);
	for (i = 0; i < 9; i++)		/* ten of them end at 1000 */
		put(p, "a", 1, 2000 + i, 3000, 0);
	assert_int_equal(pins_count(p), PINS_PER_NAME);
	for (i = 0; i < PINS_PER_NAME; i++)
		assert_int_equal(bound(p, i, 1).n, i % 7 != 0);
}

static void
names_of_an_address(void **state)
{
	struct pins	*p = *state;
	uint32_t	 i;

	for (i = 0; i < PINS_PER_ADDR + 10; i++)
		put(p, "n", i, 1, 1000 + i, 0);
	assert_int_equal(bound(p, 1, 1).n, PINS_PER_ADDR);
	assert_int_equal(pins_count(p), PINS_PER_ADDR);
}

static void
the_least_used_goes(void **state)
{
	struct pins	*p = *state;
	uint32_t	 i;

	for (i = 0; i < PINS_MAX; i++)
		put(p, "n", i, i, 1000, 0);
	assert_int_equal(bound(p, 0, 1).n, 1);		/* used again */
	put(p, "n", 1, 1, 1000, 1);		/* and this one */
	for (i = 0; i < 100; i++)
		put(p, "m", i, PINS_MAX + i, 1000, 1);
	assert_int_equal(pins_count(p), PINS_MAX);
	assert_int_equal(bound(p, 0, 1).n, 1);
	assert_int_equal(bound(p, 1, 1).n, 1);
	for (i = 2; i < 102; i++)
		assert_int_equal(bound(p, i, 1).n, 0);
	for (; i < PINS_MAX + 100; i++)
		assert_int_equal(bound(p, i, 1).n, 1);
}

/* ---- beside a list --------------------------------------------------------------- */

#define NAMES	40u
#define ADDRS	40u

static uint64_t	until[NAMES][ADDRS];	/* 0 = never pinned, or forgotten */

static void
same_bound(struct pins *p, unsigned int addr, uint64_t now)
{
	struct bound	b = bound(p, addr, now);
	bool		lapsed = false;
	size_t		n = 0, i;
	unsigned int	k;

	for (k = 0; k < NAMES; k++) {
		if (until[k][addr] > now) {
			struct name	name = named("n", k);

			assert_true(n < b.n);
			assert_true(name_equal(b.name[n++], &name));
		} else if (until[k][addr] != 0 &&
		    now - until[k][addr] < PINS_LAPSED)
			lapsed = true;
	}
	assert_int_equal(n, b.n);
	assert_int_equal(lapsed, b.lapsed);
	for (i = 1; i < b.n; i++)
		assert_true(name_compare(b.name[i - 1], b.name[i]) < 0);
}

static void
random_walk(void **state)
{
	struct pins	*p = *state;
	uint64_t	 now = 1, end;
	unsigned int	 i, name, addr;

	srandom(7);
	memset(until, 0, sizeof(until));
	for (i = 0; i < 200000; i++) {
		name = (unsigned int)random() % NAMES;
		addr = (unsigned int)random() % ADDRS;
		if (random() % 3 == 0) {
			end = now + (uint64_t)(random() % 300) * SEC;
			put(p, "n", name, addr, end, now);
			if (until[name][addr] < end)
				until[name][addr] = end;
		} else
			same_bound(p, addr, now);
		now += (uint64_t)(random() % 3) * SEC;
		if (random() % 1000 == 0)
			now += PINS_LAPSED;
	}
}

/* ---- budgets ---------------------------------------------------------------------- */

static const struct policy_limits	limits = {
	.dns_rate = 10, .dns_burst = 20, .names = 3, .names_per = 60
};

static bool
charge(struct budget *b, uint32_t rule, unsigned int n, uint64_t now)
{
	struct name	name = named("n", n);

	return budget_charge(b, rule, &name, now);
}

static void
rate(void **state)
{
	struct budget	*b = budget_new(&limits, 2, 0);
	unsigned int	 i;

	(void)state;
	for (i = 0; i < 20; i++)
		assert_true(budget_rate(b, 0));
	assert_false(budget_rate(b, 0));
	assert_true(budget_rate(b, SEC / 10));
	assert_false(budget_rate(b, SEC / 10));
	budget_free(b);
}

/* Each rule has its own; a name that is known costs nothing. */
static void
new_names(void **state)
{
	struct budget	*b = budget_new(&limits, 2, 0);
	unsigned int	 i;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_true(charge(b, 0, i, 0));
	assert_false(charge(b, 0, 3, 0));
	assert_true(charge(b, 0, 1, 0));
	assert_true(charge(b, 1, 3, 0));
	assert_true(charge(b, POLICY_NO_RULE, 3, 0));
	assert_false(charge(b, 0, 3, 60 * SEC - 1));
	budget_free(b);
}

/* At no time more than three within the last minute. */
static void
sliding(void **state)
{
	struct budget	*b = budget_new(&limits, 1, 0);

	(void)state;
	assert_true(charge(b, 0, 0, 0));
	assert_true(charge(b, 0, 1, 30 * SEC));
	assert_true(charge(b, 0, 2, 50 * SEC));
	assert_false(charge(b, 0, 3, 59 * SEC));
	assert_true(charge(b, 0, 3, 60 * SEC));
	assert_false(charge(b, 0, 4, 61 * SEC));
	assert_false(charge(b, 0, 0, 61 * SEC));	/* forgotten: new again */
	assert_true(charge(b, 0, 4, 90 * SEC));
	assert_false(charge(b, 0, 5, 90 * SEC));
	budget_free(b);
}

static void
no_limit(void **state)
{
	struct policy_limits	l = limits;
	struct budget		*b;
	unsigned int		 i;

	(void)state;
	l.names = 0;
	b = budget_new(&l, 1, 0);
	for (i = 0; i < 100; i++)
		assert_true(charge(b, 0, i, 0));
	budget_free(b);
}

/* More than can be remembered: refused, and well again after the period. */
static void
full(void **state)
{
	struct policy_limits	l = limits;
	struct budget		*b;
	unsigned int		 i;

	(void)state;
	l.names = UINT32_MAX;
	b = budget_new(&l, 1, 0);
	for (i = 0; i < BUDGET_MAX; i++)
		assert_true(charge(b, 0, i, 0));
	assert_false(charge(b, 0, i, 0));
	assert_true(charge(b, 0, 5, 0));
	for (i = 0; i < BUDGET_MAX; i++)
		assert_true(charge(b, 0, i + 7, 60 * SEC));
	budget_free(b);
}

#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		T(pinned_until), T(never_shorter), T(sorted_names),
		T(other_forms), T(addresses_of_a_name), T(names_of_an_address),
		T(the_least_used_goes), T(random_walk),
		cmocka_unit_test(rate), cmocka_unit_test(new_names),
		cmocka_unit_test(sliding), cmocka_unit_test(no_limit),
		cmocka_unit_test(full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
