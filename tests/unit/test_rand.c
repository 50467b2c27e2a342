/* rand.c: SipHash-2-4 against the reference vectors, and what a seed is for. */
#include "unit.h"

#include "../../src/frame/rand.c"

/* Aumasson and Bernstein, "SipHash", appendix A; and three of their vectors. */
static void
test_vectors(void **state)
{
	const struct sip_key	key = { UINT64_C(0x0706050403020100),
				    UINT64_C(0x0f0e0d0c0b0a0908) };
	uint8_t			in[63];
	size_t			i;

	(void)state;
	for (i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)i;
	assert_true(siphash(&key, in, 15) == UINT64_C(0xa129ca6149be45e5));
	assert_true(siphash(&key, in, 0) == UINT64_C(0x726fdb47dd0e0e31));
	assert_true(siphash(&key, in, 1) == UINT64_C(0x74f839c593dc67fd));
	assert_true(siphash(&key, in, 8) == UINT64_C(0x93f5f5799a932462));
}

static void
test_seed(void **state)
{
	uint64_t	a, b;
	uint32_t	r, same = 0;
	unsigned int	i;

	(void)state;
	rand_seed();
	a = rand_hash("x", 1);
	assert_true(a == rand_hash("x", 1));
	r = rand_u32();
	for (i = 0; i < 100; i++)
		same += rand_u32() == r;
	assert_true(same < 2);
	rand_seed();
	b = rand_hash("x", 1);
	assert_true(a != b);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
