/* The bucket of a log's bytes: no time is lost to rounding, and each use has its mark. */
#include "unit.h"

#include "volume.h"

#define SECOND	UINT64_C(1000000000)

static void
marks(void **state)
{
	struct volume	v;

	(void)state;
	volume_init(&v, 1, 64, SECOND);
	assert_true(volume_has(&v, VOLUME_FULL, 32 << 10, SECOND));
	assert_false(volume_has(&v, VOLUME_FULL, (32 << 10) + 1, SECOND));
	assert_true(volume_has(&v, VOLUME_SUM, 48 << 10, SECOND));
	assert_false(volume_has(&v, VOLUME_SUM, (48 << 10) + 1, SECOND));
	assert_true(volume_has(&v, VOLUME_MUST, 64 << 10, SECOND));
	assert_false(volume_has(&v, VOLUME_MUST, (64 << 10) + 1, SECOND));
	volume_spend(&v, 33 << 10, SECOND);
	assert_false(volume_has(&v, VOLUME_FULL, 0, SECOND));
	assert_true(volume_has(&v, VOLUME_SUM, 0, SECOND));
	volume_spend(&v, 16 << 10, SECOND);
	assert_false(volume_has(&v, VOLUME_SUM, 0, SECOND));
	assert_true(volume_has(&v, VOLUME_MUST, 15 << 10, SECOND));
	volume_spend(&v, 1 << 20, SECOND);	/* nothing is owed */
	assert_false(volume_has(&v, VOLUME_MUST, 1, SECOND));
	assert_true(volume_has(&v, VOLUME_MUST, 1024, 2 * SECOND));
}

/* Looked at as often as one likes, a second brings what a second brings. */
static void
no_time_is_lost(void **state)
{
	static const uint64_t	steps[] = { 1, 7, 999, 1000003, 333333333 };
	struct volume		v;
	uint64_t		t;
	size_t			i;

	(void)state;
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		volume_init(&v, 3, 1024, 0);
		volume_spend(&v, 1 << 20, 0);
		for (t = 0; t < SECOND / 100 || (steps[i] > 1000 &&
		    t < 10 * SECOND); t += steps[i])
			(void)volume_has(&v, VOLUME_MUST, 0, t);
		(void)volume_has(&v, VOLUME_MUST, 0, t);
		assert_in_range(v.level, t / 1000 * 3072 / 1000000,
		    t / 1000 * 3072 / 1000000 + 1);
	}
}

static void
extremes(void **state)
{
	struct volume	v;

	(void)state;
	volume_init(&v, 1u << 20, 1u << 30, 0);	/* 1G/s, 1T */
	assert_true(volume_full(&v, 0));
	volume_spend(&v, UINT64_MAX, 0);
	assert_false(volume_full(&v, 1023 * SECOND));
	assert_true(volume_has(&v, VOLUME_MUST, UINT64_C(1023) << 30,
	    1023 * SECOND));
	assert_true(volume_full(&v, UINT64_MAX));
	volume_spend(&v, 5, UINT64_MAX);
	assert_false(volume_full(&v, 0));	/* a clock that went back */
	volume_init(&v, 0, 0, 0);		/* no limit */
	volume_spend(&v, 1 << 20, 0);
	assert_true(volume_has(&v, VOLUME_FULL, UINT64_MAX, 0));
	assert_true(volume_full(&v, 0));
	volume_init(&v, 1, 1, UINT64_MAX);
	volume_spend(&v, 1024, UINT64_MAX);
	assert_false(volume_has(&v, VOLUME_MUST, 1, UINT64_MAX));
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(marks),
		cmocka_unit_test(no_time_is_lost),
		cmocka_unit_test(extremes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
