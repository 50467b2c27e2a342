/* Charges: what is taken comes back, whatever the order, and limits hold. */
#include "unit.h"

#include "hash.h"
#include "quota.h"

#define SECOND	UINT64_C(1000000000)

static const struct policy_limits	small = { .conns = 4, .pending = 3,
	    .pending_dst = 2, .rate = 10, .burst = 5 };

static struct endpoint
target(uint32_t n)
{
	return endpoint_v4(0xc6336400 + n, 80);
}

static void
bucket_runs_dry_and_fills(void **state)
{
	struct bucket	b;
	int		i;

	(void)state;
	bucket_init(&b, 10, 5, SECOND);
	for (i = 0; i < 5; i++)
		assert_true(bucket_take(&b, SECOND));
	assert_false(bucket_take(&b, SECOND));
	assert_false(bucket_take(&b, SECOND + SECOND / 10 - 1));
	assert_true(bucket_take(&b, SECOND + SECOND / 10));
	assert_false(bucket_take(&b, SECOND));	/* a clock that went back */
	for (i = 0; i < 5; i++)
		assert_true(bucket_take(&b, 1000 * SECOND));
	assert_false(bucket_take(&b, 1000 * SECOND));
}

static void
bucket_extremes(void **state)
{
	struct bucket	b;
	int		i;

	(void)state;
	bucket_init(&b, 0, 0, 0);		/* no limit */
	for (i = 0; i < 1000; i++)
		assert_true(bucket_take(&b, 0));
	bucket_init(&b, UINT32_MAX, UINT32_MAX, 0);
	assert_true(bucket_take(&b, UINT64_MAX));
	assert_true(bucket_take(&b, UINT64_MAX));
	bucket_init(&b, 1, 1, 0);
	assert_true(bucket_take(&b, 0));
	assert_false(bucket_take(&b, SECOND / 2));
	assert_true(bucket_take(&b, SECOND));	/* two halves make one */
}

static void
limits_hold(void **state)
{
	struct quota	*q = quota_new(&small, 1000, 0);
	struct charge	 c[6];
	struct endpoint	 a = target(1), b = target(2);

	(void)state;
	assert_int_equal(quota_charge(q, &a, &c[0]), REASON_NONE);
	assert_int_equal(quota_charge(q, &a, &c[1]), REASON_NONE);
	assert_int_equal(quota_charge(q, &a, &c[2]), REASON_PENDING);
	assert_int_equal(quota_charge(q, &b, &c[3]), REASON_NONE);
	assert_int_equal(quota_charge(q, &b, &c[4]), REASON_PENDING);
	quota_connected(q, &c[0]);
	assert_int_equal(quota_pending(q), 2);
	assert_int_equal(quota_charge(q, &a, &c[4]), REASON_NONE);
	assert_int_equal(quota_charge(q, &b, &c[5]), REASON_CONNS);
	assert_false(c[5].conn || c[5].pending);
	quota_refund(q, &c[0]);
	quota_refund(q, &c[0]);			/* nothing is left of it */
	assert_int_equal(quota_conns(q), 3);
	quota_refund(q, &c[1]);
	quota_refund(q, &c[3]);
	quota_refund(q, &c[4]);
	assert_int_equal(quota_conns(q), 0);
	assert_int_equal(quota_pending(q), 0);
	quota_free(q);
}

static void
port_and_form_do_not_matter(void **state)
{
	struct quota	*q = quota_new(&small, 1000, 0);
	struct charge	 c[3];
	struct endpoint	 a = target(1), b = target(1), m;
	uint8_t		 raw[16] = { [10] = 0xff, [11] = 0xff };

	(void)state;
	b.port = 443;
	memcpy(raw + 12, a.addr, 4);
	m = endpoint_v6(raw, 8080);
	assert_int_equal(quota_charge(q, &a, &c[0]), REASON_NONE);
	assert_int_equal(quota_charge(q, &b, &c[1]), REASON_NONE);
	assert_int_equal(quota_charge(q, &m, &c[2]), REASON_PENDING);
	quota_free(q);
}

static void
clipped_to_fds(void **state)
{
	struct policy_limits	huge = { .conns = UINT32_MAX,
				    .pending = UINT32_MAX };
	struct quota		*q = quota_new(&huge, 100, 0);

	(void)state;
	assert_int_equal(quota_conns_max(q), 100);
	quota_free(q);
}

/* Random charges and refunds against a plain count. */
static void
churn(void **state)
{
	struct policy_limits	 l = { .conns = 64, .pending = 32,
				    .pending_dst = 4 };
	struct quota		*q = quota_new(&l, 1000, 0);
	struct charge		 c[64];
	uint32_t		 dst[64], per[8] = { 0 }, n = 0, x = 7, i, k;
	struct endpoint		 e;

	(void)state;
	for (k = 0; k < 200000; k++) {
		x = x * 1664525 + 1013904223;
		i = x >> 16 & 7;
		e = target(i);
		if ((x >> 8 & 1) != 0 && n < 32) {
			if (quota_charge(q, &e, &c[n]) == REASON_NONE) {
				assert_true(per[i] < 4);
				per[dst[n++] = i]++;
			} else
				assert_int_equal(per[i], 4);
		} else if (n > 0) {
			i = x >> 20 & 0xff;
			i %= n;
			quota_refund(q, &c[i]);
			per[dst[i]]--;
			n--;
			c[i] = c[n];
			dst[i] = dst[n];
		}
		assert_int_equal(quota_pending(q), n);
	}
	quota_free(q);
}

static int
key(void **state)
{
	(void)state;
	hash_init();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(bucket_runs_dry_and_fills),
		cmocka_unit_test(bucket_extremes),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(port_and_form_do_not_matter),
		cmocka_unit_test(clipped_to_fds),
		cmocka_unit_test(churn),
	};

	return cmocka_run_group_tests(tests, key, NULL);
}
