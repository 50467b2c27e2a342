/* Endpoints and prefixes: what is an address, and what only looks like one. */
#include "unit.h"

#include "addr.h"

static struct endpoint
ep(const char *text)
{
	struct endpoint	e;

	assert_int_equal(endpoint_parse(text, &e), 0);
	assert_true(endpoint_valid(&e));
	return e;
}

static struct endpoint
ad(const char *text)
{
	struct endpoint	e;

	assert_int_equal(addr_parse(text, &e), 0);
	return e;
}

static void
round_trip(void **state)
{
	static const char *const	good[] = { "192.0.2.1:80", "0.0.0.0:0",
	    "255.255.255.255:65535", "[::]:1", "[2001:db8::1]:443",
	    "[fe80::1]:65535" };
	char	buf[ENDPOINT_STRLEN];
	size_t	i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct endpoint	e = ep(good[i]);

		assert_string_equal(endpoint_print(&e, buf), good[i]);
	}
}

/* glibc's older parsers take most of these for addresses. */
static void
historical_spellings(void **state)
{
	static const char *const	bad[] = { "127.1", "0x7f000001",
	    "2130706433", "0177.0.0.1", "127.0.0.01", "1.2.3", "1.2.3.4.5",
	    "", " 1.2.3.4", "1.2.3.4 ", "fe80::1%lo", "[::1]", "::1::" };
	static const char *const	badep[] = { "1.2.3.4", "1.2.3.4:",
	    "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4:8x", "::1:80", "[::1]80",
	    "[1.2.3.4]:80", "[::1]:", ":80", "1.2.3.4:99999999999999999999" };
	struct endpoint	e;
	size_t		i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(addr_parse(bad[i], &e), -1);
	for (i = 0; i < sizeof(badep) / sizeof(badep[0]); i++)
		assert_int_equal(endpoint_parse(badep[i], &e), -1);
}

static void
canonical(void **state)
{
	struct endpoint	mapped = ep("[::ffff:10.1.2.3]:80");
	struct endpoint	v4 = endpoint_canonical(mapped);
	struct endpoint	other = ep("[64:ff9b::1]:80"), same;

	(void)state;
	assert_int_equal(v4.family, ADDR_V4);
	assert_int_equal(v4.port, 80);
	assert_int_equal(endpoint_u32(&v4), 0x0a010203);
	assert_true(endpoint_valid(&v4));
	same = endpoint_canonical(other);
	assert_true(endpoint_equal(&same, &other));
}

static void
invalid(void **state)
{
	struct endpoint	e = ep("1.2.3.4:5");

	(void)state;
	e.addr[4] = 1;
	assert_false(endpoint_valid(&e));
	e = ep("1.2.3.4:5");
	e.zero = 1;
	assert_false(endpoint_valid(&e));
	e = ep("1.2.3.4:5");
	e.family = 5;
	assert_false(endpoint_valid(&e));
	e.family = ADDR_NONE;
	assert_false(endpoint_valid(&e));
}

static void
prefixes(void **state)
{
	static const char *const	bad[] = { "10.0.0.1/8", "10.0.0.0/33",
	    "::/129", "10.0.0.0/", "10.0.0.0/x", "/8", "10.0.0.0/8/8", "10/8" };
	struct prefix	p, q;
	struct endpoint	in = ad("10.255.0.1"), out = ad("11.0.0.0");
	char		buf[ENDPOINT_STRLEN];
	size_t		i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(prefix_parse(bad[i], &p), -1);
	assert_int_equal(prefix_parse("10.0.0.0/8", &p), 0);
	assert_true(prefix_contains(&p, &in));
	assert_false(prefix_contains(&p, &out));
	assert_int_equal(prefix_parse("10.20.0.0/15", &q), 0);
	assert_true(prefix_overlaps(&p, &q));
	assert_true(prefix_overlaps(&q, &p));
	assert_string_equal(prefix_print(&q, buf), "10.20.0.0/15");
	assert_int_equal(prefix_parse("2001:db8::/33", &q), 0);
	assert_false(prefix_overlaps(&p, &q));
	assert_string_equal(prefix_print(&q, buf), "2001:db8::/33");
	assert_int_equal(prefix_parse("0.0.0.0/0", &p), 0);
	assert_true(prefix_contains(&p, &out));
}

/* prefix_of() against bit-by-bit arithmetic, every length. */
static void
prefix_bits(void **state)
{
	struct endpoint	e = ad("abcd:ef01:2345:6789:fedc:ba98:7654:3210");
	unsigned int	len, bit;

	(void)state;
	for (len = 0; len <= 128; len++) {
		struct prefix	p = prefix_of(&e, len);

		assert_true(prefix_valid(&p));
		assert_true(prefix_contains(&p, &e));
		for (bit = 0; bit < 128; bit++) {
			int	have = p.addr[bit / 8] >> (7 - bit % 8) & 1;
			int	want = e.addr[bit / 8] >> (7 - bit % 8) & 1;

			assert_int_equal(have, bit < len ? want : 0);
		}
	}
}

static void
classes(void **state)
{
	struct endpoint	e;

	(void)state;
	e = ad("127.9.9.9");
	assert_true(addr_is_loopback(&e));
	e = ad("::1");
	assert_true(addr_is_loopback(&e));
	e = ad("128.0.0.1");
	assert_false(addr_is_loopback(&e));
	e = ad("0.1.2.3");
	assert_true(addr_is_unspecified(&e));
	e = ad("169.254.169.254");
	assert_true(addr_is_link_local(&e));
	e = ad("febf::1");
	assert_true(addr_is_link_local(&e));
	e = ad("fec0::1");
	assert_false(addr_is_link_local(&e));
	e = ad("239.255.255.255");
	assert_true(addr_is_multicast(&e));
	e = ad("240.0.0.1");
	assert_false(addr_is_multicast(&e));
	e = ad("255.255.255.255");
	assert_true(addr_is_multicast(&e));
	e = ad("ff02::1");
	assert_true(addr_is_multicast(&e));
}

static void
sockaddrs(void **state)
{
	struct endpoint		a = ep("[2001:db8::7]:99"), b;
	struct sockaddr_storage	ss;

	(void)state;
	assert_int_equal(endpoint_to_sockaddr(&a, &ss), 28);
	assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&ss, &b), 0);
	assert_memory_equal(&a, &b, sizeof(a));
	a = ep("203.0.114.9:1");
	assert_int_equal(endpoint_to_sockaddr(&a, &ss), 16);
	assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&ss, &b), 0);
	assert_memory_equal(&a, &b, sizeof(a));
	ss.ss_family = AF_UNIX;
	assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&ss, &b), -1);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(historical_spellings),
		cmocka_unit_test(canonical),
		cmocka_unit_test(invalid),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(prefix_bits),
		cmocka_unit_test(classes),
		cmocka_unit_test(sockaddrs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
