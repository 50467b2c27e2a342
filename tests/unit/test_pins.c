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

	assert_int_equal(pins_put(p, &name, &e, 1, until, now), PINS_PUT);
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
	put(p, "a", 1, 2, 2 * PINS_LAPSED, 100 + PINS_LAPSED);
	assert_int_equal(pins_count(p), 1);	/* forgotten with the next */
	assert_int_equal(pins_end(p), 2 * PINS_LAPSED);
}

/* For the record only: by which names it was reached. */
static void
known_as(void **state)
{
	struct pins	*p = *state;
	struct endpoint	 e = endpoint_v4(1, 443);
	struct bound	 b;

	put(p, "b", 1, 1, 100, 0);
	put(p, "a", 1, 1, 100, 0);
	put(p, "c", 1, 1, 200, 0);
	pins_lapsed(p, &e, 99, &b);
	assert_int_equal(b.n, 0);
	pins_lapsed(p, &e, 100, &b);
	assert_int_equal(b.n, 2);
	assert_string_equal(b.name[0]->text, "a01.test");
	assert_string_equal(b.name[1]->text, "b01.test");
	pins_lapsed(p, &e, 100 + PINS_LAPSED, &b);
	assert_int_equal(b.n, 1);
	assert_string_equal(b.name[0]->text, "c01.test");
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

/* ---- limits: what lives stays ------------------------------------------------------- */

/* An answer of addresses that lie side by side. */
static enum pins_full
answer(struct pins *p, const char *prefix, unsigned int n, uint32_t addr,
    uint32_t naddrs, uint64_t until, uint64_t now)
{
	struct name	name = named(prefix, n);
	struct endpoint	e[PINS_PER_NAME + 1];
	uint32_t	i;

	assert_true(naddrs <= PINS_PER_NAME + 1);
	for (i = 0; i < naddrs; i++)
		e[i] = endpoint_v4(addr + i, 0);
	return pins_put(p, &name, e, naddrs, until, now);
}

static void
addresses_of_a_name(void **state)
{
	struct pins	*p = *state;
	uint32_t	 i;

	for (i = 0; i < PINS_PER_NAME; i++)
		put(p, "a", 1, i, 1000 + i % 7, 0);
	assert_int_equal(answer(p, "a", 1, 1000000, 1, 2000, 999),
	    PINS_FULL_NAME);
	assert_int_equal(bound(p, 1000000, 999).n, 0);
	put(p, "b", 1, 1000000, 2000, 999);	/* another name's */
	put(p, "a", 1, 3, 1003, 999);		/* one that is there */
	for (i = 0; i < PINS_PER_NAME; i++)
		assert_int_equal(bound(p, i, 999).n, 1);
	/* 147 of them end at 1000, and no more */
	assert_int_equal(answer(p, "a", 1, 2000000, 148, 2000, 1000),
	    PINS_FULL_NAME);
	assert_int_equal(bound(p, 2000000, 1000).n, 0);
	assert_int_equal(answer(p, "a", 1, 2000000, 147, 2000, 1000), PINS_PUT);
	assert_int_equal(pins_count(p), PINS_PER_NAME + 1);
	for (i = 0; i < PINS_PER_NAME; i++)
		assert_int_equal(bound(p, i, 1000).n, i % 7 != 0);
	for (i = 0; i < 147; i++)
		assert_int_equal(bound(p, 2000000 + i, 1000).n, 1);
	assert_int_equal(answer(p, "c", 1, 0, PINS_PER_NAME + 1, 2000, 1000),
	    PINS_FULL_NAME);
	assert_int_equal(answer(p, "c", 1, 0, PINS_PER_NAME, 2000, 1000),
	    PINS_PUT);
}

static void
names_of_an_address(void **state)
{
	struct pins	*p = *state;
	struct bound	 b;
	uint32_t	 i;

	for (i = 0; i < PINS_PER_ADDR; i++)
		put(p, "n", i, 1, 1000 + i % 2, 0);
	assert_int_equal(answer(p, "m", 1, 1, 1, 2000, 999), PINS_FULL_ADDR);
	assert_int_equal(answer(p, "m", 1, 0, 3, 2000, 999), PINS_FULL_ADDR);
	assert_true(bound(p, 0, 999).n == 0 && bound(p, 2, 999).n == 0);
	put(p, "n", 7, 1, 1500, 999);
	b = bound(p, 1, 999);
	assert_int_equal(b.n, PINS_PER_ADDR);
	for (i = 1; i < b.n; i++)
		assert_true(name_compare(b.name[i - 1], b.name[i]) < 0);
	assert_int_equal(answer(p, "m", 1, 0, 3, 2000, 1000), PINS_PUT);
	assert_int_equal(bound(p, 1, 1000).n, PINS_PER_ADDR / 2 + 1);
	assert_true(bound(p, 0, 1000).n == 1 && bound(p, 2, 1000).n == 1);
}

static void
pins_of_a_guest(void **state)
{
	struct pins	*p = *state;
	uint32_t	 i;

	for (i = 0; i < PINS_MAX; i++)
		put(p, "n", i, i, i < 100 ? 1000 : 2000, 0);
	assert_int_equal(answer(p, "m", 1, PINS_MAX, 1, 3000, 999), PINS_FULL);
	put(p, "n", 50, 50, 2000, 999);
	/* one that ended lives again, the other 98 make room */
	assert_int_equal(answer(p, "n", 60, 60, 1, 3000, 1000), PINS_PUT);
	assert_int_equal(answer(p, "m", 1, PINS_MAX, 99, 3000, 1000),
	    PINS_FULL);
	assert_int_equal(answer(p, "m", 1, PINS_MAX, 98, 3000, 1000), PINS_PUT);
	assert_int_equal(pins_count(p), PINS_MAX);
	for (i = 0; i < PINS_MAX + 98; i++)
		assert_int_equal(bound(p, i, 1000).n, i >= 100 || i == 50 ||
		    i == 60);
	assert_int_equal(pins_end(p), 3000);
}

/* Addresses that ended and come again are no room for others beside them. */
static void
renewed(void **state)
{
	struct pins	*p = *state;

	assert_int_equal(answer(p, "a", 1, 0, PINS_PER_NAME - 10, 2000, 0),
	    PINS_PUT);
	assert_int_equal(answer(p, "a", 1, 10000, 10, 1000, 0), PINS_PUT);
	assert_int_equal(answer(p, "a", 1, 10000, 11, 2000, 1000),
	    PINS_FULL_NAME);
	assert_int_equal(answer(p, "a", 1, 10000, 10, 2000, 1000), PINS_PUT);
	assert_int_equal(pins_count(p), PINS_PER_NAME);
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

/*
 * Answers of any size until each limit is met, again and again: none is pinned in
 * part, none takes a live pin away, and none is refused while there is room.
 */
#define CROWD_NAMES	30u
#define CROWD_ADDRS	1500u

static uint64_t	crowd[CROWD_NAMES][CROWD_ADDRS];

static enum pins_full
expected(unsigned int name, unsigned int from, unsigned int n, uint64_t now)
{
	unsigned int	all = 0, of_name = 0, lack = 0, i, k;

	for (i = 0; i < CROWD_NAMES; i++)
		for (k = 0; k < CROWD_ADDRS; k++)
			all += crowd[i][k] > now;
	for (k = 0; k < CROWD_ADDRS; k++)
		of_name += crowd[name][k] > now;
	for (k = from; k < from + n; k++)
		lack += crowd[name][k] <= now;
	return of_name + lack > PINS_PER_NAME ? PINS_FULL_NAME :
	    all + lack > PINS_MAX ? PINS_FULL : PINS_PUT;
}

static void
crowd_is(struct pins *p, uint64_t now)
{
	unsigned int	name, addr, live;

	for (addr = 0; addr < CROWD_ADDRS; addr++) {
		for (name = live = 0; name < CROWD_NAMES; name++)
			live += crowd[name][addr] > now;
		assert_int_equal(bound(p, addr, now).n, live);
	}
}

static void
crowded_walk(void **state)
{
	struct pins	*p = *state;
	uint64_t	 now = 1, end;
	unsigned int	 met[PINS_FULL_ADDR + 1] = { 0 }, i, name, from, n, k;
	enum pins_full	 full;

	srandom(11);
	memset(crowd, 0, sizeof(crowd));
	for (i = 0; i < 1200; i++) {
		name = (unsigned int)random() % CROWD_NAMES;
		n = 1 + (unsigned int)random() % 800;
		from = (unsigned int)random() % (CROWD_ADDRS - n);
		end = now + 1 + (uint64_t)(random() % 300) * SEC;
		full = expected(name, from, n, now);
		met[full]++;
		assert_int_equal(answer(p, "n", name, from, n, end, now),
		    full);
		for (k = from; full == PINS_PUT && k < from + n; k++)
			if (crowd[name][k] < end)
				crowd[name][k] = end;
		if (i % 32 == 0)
			crowd_is(p, now);
		now += (uint64_t)(random() % 3) * SEC;
	}
	assert_true(met[PINS_PUT] > 50 && met[PINS_FULL] > 50 &&
	    met[PINS_FULL_NAME] > 50);
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
		T(known_as), T(other_forms), T(addresses_of_a_name),
		T(names_of_an_address), T(pins_of_a_guest), T(renewed),
		T(random_walk), T(crowded_walk),
		cmocka_unit_test(rate), cmocka_unit_test(new_names),
		cmocka_unit_test(sliding), cmocka_unit_test(no_limit),
		cmocka_unit_test(full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
