/* Charges: what is taken comes back, whatever the order, and limits hold. */
#include "unit.h"

#include "hash.h"
#include "quota.h"

#define SECOND	UINT64_C(1000000000)

static const struct policy_limits	small = { .conns = 6, .pending = 3,
	    .pending_dst = 2, .unproven = 2, .unproven_dst = 1, .rate = 10,
	    .burst = 5 };

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

/* One of conns, and one that connects. False: it waits. */
static bool
begins(struct quota *q, uint32_t to, struct charge *c)
{
	struct endpoint	e = target(to);

	assert_true(quota_conn(q, c));
	return quota_connecting(q, &e, c, c);
}

static void
limits_hold(void **state)
{
	struct quota	*q = quota_new(&small, 1000, 0);
	struct charge	 c[7];
	int		 i;

	(void)state;
	assert_true(begins(q, 1, &c[0]));
	assert_true(begins(q, 1, &c[1]));
	assert_false(begins(q, 1, &c[2]));	/* of its address */
	assert_true(begins(q, 2, &c[3]));
	assert_false(begins(q, 2, &c[4]));	/* of all */
	assert_false(begins(q, 3, &c[5]));
	assert_false(quota_conn(q, &c[6]));
	assert_int_equal(quota_pending(q), 3);
	assert_false(quota_due(q));
	assert_null(quota_next(q));
	quota_connected(q, &c[3]);
	assert_true(quota_due(q));
	assert_ptr_equal(quota_next(q), &c[4]);
	assert_null(quota_next(q));
	quota_connected(q, &c[0]);	/* c[2] has a place now, behind c[5] */
	assert_ptr_equal(quota_next(q), &c[5]);
	quota_refund(q, &c[1]);
	assert_ptr_equal(quota_next(q), &c[2]);
	assert_null(quota_next(q));
	for (i = 0; i < 6; i++) {
		quota_refund(q, &c[i]);
		quota_refund(q, &c[i]);		/* nothing is left of it */
	}
	assert_int_equal(quota_conns(q), 0);
	assert_int_equal(quota_pending(q), 0);
	quota_free(q);
}

/* An address that never answers has its own queue, and nobody is behind it. */
static void
nobody_waits_for_another_address(void **state)
{
	struct policy_limits	 l = { .conns = 100, .pending = 10,
				    .pending_dst = 2 };
	struct quota		*q = quota_new(&l, 1000, 0);
	struct charge		 dead[50], c;
	int			 i;

	(void)state;
	for (i = 0; i < 50; i++)
		assert_int_equal(begins(q, 1, &dead[i]), i < 2);
	assert_true(begins(q, 2, &c));
	quota_refund(q, &dead[7]);		/* one that waits gives up */
	assert_null(quota_next(q));
	quota_refund(q, &dead[0]);
	assert_ptr_equal(quota_next(q), &dead[2]);
	assert_null(quota_next(q));
	for (i = 0; i < 50; i++)
		quota_refund(q, &dead[i]);
	assert_null(quota_next(q));
	quota_refund(q, &c);
	assert_int_equal(quota_conns(q), 0);
	quota_free(q);
}

/* A connect's slot is kept until there is one for what has yet to be proven. */
static void
proof_follows_connect(void **state)
{
	struct quota	*q = quota_new(&small, 1000, 0);
	struct charge	 c[4];
	struct endpoint	 a = target(1), b = target(2);

	(void)state;
	assert_true(begins(q, 1, &c[0]));
	assert_true(begins(q, 1, &c[1]));
	assert_true(begins(q, 2, &c[2]));
	assert_true(quota_proving(q, &a, &c[0], &c[0]));
	assert_int_equal(quota_pending(q), 2);
	assert_false(quota_proving(q, &a, &c[1], &c[1]));
	assert_true(quota_proving(q, &b, &c[2], &c[2]));
	assert_int_equal(quota_pending(q), 1);
	assert_null(quota_next(q));
	quota_proven(q, &c[0]);
	assert_ptr_equal(quota_next(q), &c[1]);
	quota_connected(q, &c[1]);
	assert_int_equal(quota_pending(q), 0);
	quota_refund(q, &c[1]);
	quota_refund(q, &c[0]);
	quota_refund(q, &c[2]);
	assert_int_equal(quota_conns(q), 0);
	quota_free(q);
}

static void
port_and_form_do_not_matter(void **state)
{
	struct quota	*q = quota_new(&small, 1000, 0);
	struct charge	 c[3] = { { .conn = false } };
	struct endpoint	 a = target(1), b = target(1), m;
	uint8_t		 raw[16] = { [10] = 0xff, [11] = 0xff };

	(void)state;
	b.port = 443;
	memcpy(raw + 12, a.addr, 4);
	m = endpoint_v6(raw, 8080);
	assert_true(quota_connecting(q, &a, &c[0], &c[0]));
	assert_true(quota_connecting(q, &b, &c[1], &c[1]));
	assert_false(quota_connecting(q, &m, &c[2], &c[2]));
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

enum { CHURN = 64, ADDRS = 8 };

struct model {				/* of one charge */
	struct charge	c;
	uint32_t	addr;
	bool		lives, waits;
};

/* Nobody waits who need not, and nobody has what is not there. */
static void
fair(struct quota *q, const struct model *m, const struct policy_limits *l)
{
	uint32_t	per[ADDRS] = { 0 }, all = 0, i;
	bool		free_place = false;

	for (i = 0; i < CHURN; i++)
		if (m[i].lives && !m[i].waits) {
			per[m[i].addr]++;
			all++;
		}
	assert_int_equal(quota_pending(q), all);
	assert_true(all <= l->pending);
	for (i = 0; i < ADDRS; i++)
		assert_true(per[i] <= l->pending_dst);
	for (i = 0; i < CHURN; i++)
		free_place |= m[i].lives && m[i].waits && all < l->pending &&
		    per[m[i].addr] < l->pending_dst;
	assert_int_equal(quota_due(q), free_place);
}

/* Random charges and refunds against a plain count. */
static void
churn(void **state)
{
	struct policy_limits	 l = { .conns = CHURN, .pending = 16,
				    .pending_dst = 4 };
	struct quota		*q = quota_new(&l, 1000, 0);
	static struct model	 m[CHURN];
	struct model		*next;
	uint32_t		 x = 7, i, k;

	(void)state;
	for (k = 0; k < 100000; k++) {
		x = x * 1664525 + 1013904223;
		i = (x >> 20) % CHURN;
		if (!m[i].lives) {
			m[i].addr = x >> 16 & 7;
			m[i].waits = !begins(q, m[i].addr, &m[i].c);
			m[i].lives = true;
		} else if ((x >> 8 & 1) != 0) {
			quota_refund(q, &m[i].c);
			m[i].lives = false;
		}
		fair(q, m, &l);
		if ((x >> 9 & 3) != 0)
			continue;
		while ((next = quota_next(q)) != NULL) {
			assert_true(next->lives && next->waits);
			next->waits = false;
		}
		fair(q, m, &l);
	}
	for (i = 0; i < CHURN; i++)
		quota_refund(q, &m[i].c);
	assert_int_equal(quota_conns(q), 0);
	assert_int_equal(quota_pending(q), 0);
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
		cmocka_unit_test(nobody_waits_for_another_address),
		cmocka_unit_test(proof_follows_connect),
		cmocka_unit_test(port_and_form_do_not_matter),
		cmocka_unit_test(clipped_to_fds),
		cmocka_unit_test(churn),
	};

	return cmocka_run_group_tests(tests, key, NULL);
}
