/* Sets of prefixes against the naive way to do it. */
#include "law_unit.h"

#include <time.h>

static struct prefix
random_prefix(uint64_t *seed)
{
	struct endpoint	e = { .family = rnd(seed, 2) ? ADDR_V4 : ADDR_V6 };
	unsigned int	bits = e.family == ADDR_V4 ? 32 : 128, i;

	for (i = 0; i < bits / 8; i++)	/* few values: they shall collide */
		e.addr[i] = (uint8_t)(rnd(seed, 4) * 85);
	return prefix_of(&e, rnd(seed, bits + 1));
}

static struct endpoint
random_address(uint64_t *seed)
{
	struct prefix	p = random_prefix(seed);
	struct endpoint	e = { .family = p.family };

	memcpy(e.addr, p.addr, sizeof(e.addr));
	return e;
}

static void
against_linear_search(void **state)
{
	struct prefix	all[40], set[40];
	uint64_t	seed = 1;
	size_t		i, n, kept, round, probe;
	bool		naive;

	(void)state;
	for (round = 0; round < 2000; round++) {
		n = rnd(&seed, 40);
		for (i = 0; i < n; i++)
			all[i] = set[i] = random_prefix(&seed);
		kept = prefix_normalise(set, n);
		assert_true(kept <= n);
		assert_true(prefix_normalised(set, kept));
		for (probe = 0; probe < 40; probe++) {
			struct endpoint e = random_address(&seed);

			for (i = 0, naive = false; i < n; i++)
				naive = naive || prefix_contains(&all[i], &e);
			assert_int_equal(prefix_search(set, kept, &e) != NULL,
			    naive);
		}
	}
}

static void
order(void **state)
{
	struct prefix	a, b;

	(void)state;
	assert_int_equal(prefix_parse("10.0.0.0/8", &a), 0);
	assert_int_equal(prefix_parse("10.0.0.0/16", &b), 0);
	assert_true(prefix_compare(&a, &b) < 0);
	assert_true(prefix_compare(&b, &a) > 0);
	assert_int_equal(prefix_compare(&a, &a), 0);
	assert_false(prefix_normalised((struct prefix[]){ a, b }, 2));
	assert_int_equal(prefix_parse("::/0", &b), 0);
	assert_true(prefix_compare(&a, &b) < 0);
	assert_true(prefix_normalised((struct prefix[]){ a, b }, 2));
	assert_false(prefix_normalised((struct prefix[]){ b, a }, 2));
	assert_false(prefix_search(NULL, 0, &(struct endpoint){ .family = ADDR_V4 }));
}

/* A table of 100 000 networks decides in microseconds. */
static void
large(void **state)
{
	const size_t	 n = 100000, rounds = 200000;
	struct prefix	*set = calloc(n, sizeof(*set));
	struct endpoint	 e;
	struct timespec	 from, to;
	size_t		 i, hits = 0;
	double		 ns;

	(void)state;
	assert_non_null(set);
	for (i = 0; i < n; i++) {
		e = endpoint_v4((uint32_t)(0x0b000000 + i * 512), 0);
		set[n - 1 - i] = prefix_of(&e, 24);
	}
	assert_int_equal(prefix_normalise(set, n), n);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	for (i = 0; i < rounds; i++) {
		e = endpoint_v4((uint32_t)(0x0b000000 + i * 128), 0);
		hits += prefix_search(set, n, &e) != NULL;
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	assert_int_equal(hits, rounds / 2);
	ns = ((double)(to.tv_sec - from.tv_sec) * 1e9 +
	    (double)(to.tv_nsec - from.tv_nsec)) / (double)rounds;
	print_message("%.0f ns per look-up in %zu networks\n", ns, n);
	assert_true(ns < 10000);
	free(set);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(against_linear_search),
		cmocka_unit_test(order),
		cmocka_unit_test(large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
