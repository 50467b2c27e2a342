/* One name, one form; whatever is not a host name has none. */
#include <stdlib.h>

#include "unit.h"

#include "name.h"

static struct name
name(const char *text)
{
	struct name	n;

	assert_int_equal(name_from_text(text, strlen(text), &n), 0);
	assert_true(name_valid(&n));
	return n;
}

static void
good(void **state)
{
	static const char *const pair[][2] = {
		{ "example.com", "example.com" },
		{ "EXAMPLE.Com.", "example.com" },
		{ "a", "a" },
		{ "_dmarc.x-y.org", "_dmarc.x-y.org" },
		{ "xn--bcher-kva.example", "xn--bcher-kva.example" },
		{ "1.2.3.4a", "1.2.3.4a" },
		{ "r3---sn-4g5e.example", "r3---sn-4g5e.example" },
		{ "0xzz", "0xzz" },
	};
	struct name	n;
	size_t		i;

	(void)state;
	for (i = 0; i < sizeof(pair) / sizeof(pair[0]); i++) {
		n = name(pair[i][0]);
		assert_string_equal(n.text, pair[i][1]);
		assert_int_equal(n.len, strlen(pair[i][1]));
	}
}

static void
bad(void **state)
{
	static const char *const text[] = {
		"", ".", "..", "a..b", ".a", "a..", "a b", "-a.com", "a-.com",
		"127.0.0.1", "1.2.3", "0x7f000001", "2130706433", "a.0x1f",
		"a.0x", "a.123", "b\xc3\xbc\x63her.de", "a%b.com", "*.com",
		"a/b", "[::1]", "a:1",
	};
	struct name	n;
	size_t		i;

	(void)state;
	for (i = 0; i < sizeof(text) / sizeof(text[0]); i++) {
		assert_int_equal(name_from_text(text[i], strlen(text[i]), &n),
		    -1);
		assert_int_equal(n.len, 0);
	}
	assert_int_equal(name_from_text("a\0.com", 6, &n), -1);
}

/* Every byte in every position: text and wire agree, and only on the alphabet. */
static void
bytes(void **state)
{
	static const char	pattern[] = "abc.def.com";
	uint8_t			wire[] = "\3abc\3def\3com";
	char			text[sizeof(pattern)];
	struct name		a, b;
	size_t			at;
	int			c, ra, rb;

	(void)state;
	for (at = 0; at < sizeof(pattern) - 1; at++)
		for (c = 0; c < 256; c++) {
			uint8_t	saved = wire[at + 1];

			if (pattern[at] == '.' || c == '.')
				continue;	/* a length byte there */
			memcpy(text, pattern, sizeof(text));
			text[at] = (char)c;
			wire[at + 1] = (uint8_t)c;
			ra = name_from_text(text, sizeof(pattern) - 1, &a);
			rb = name_from_wire(wire, sizeof(wire), &b);
			assert_int_equal(ra == 0, rb == sizeof(wire));
			assert_true(name_equal(&a, &b));
			wire[at + 1] = saved;
		}
	wire[2] = '.';		/* a dot inside of a label is no dot between */
	assert_int_equal(name_from_wire(wire, sizeof(wire), &b), -1);
}

static void
lengths(void **state)
{
	char		text[300];
	uint8_t		wire[NAME_WIRE_MAX];
	struct name	n, again;
	size_t		len, w;

	(void)state;
	memset(text, 'a', sizeof(text));
	for (len = 1; len < sizeof(text); len++) {
		if (len % 64 == 0)
			text[len - 1] = '.';
		if (name_from_text(text, len, &n) == -1) {
			assert_true(len > NAME_TEXT_MAX);
			continue;
		}
		assert_true(len <= NAME_TEXT_MAX + 1);
		w = name_to_wire(&n, wire);
		assert_int_equal(w, n.len + 2);
		assert_int_equal(name_from_wire(wire, w, &again), w);
		assert_true(name_equal(&n, &again));
		assert_int_equal(name_from_wire(wire, w - 1, &again), -1);
	}
	memset(text, 'a', sizeof(text));
	assert_int_equal(name_from_text(text, 63, &n), 0);
	assert_int_equal(name_from_text(text, 64, &n), -1);
}

static void
wire_faults(void **state)
{
	struct name	n;

	(void)state;
	assert_int_equal(name_from_wire((const uint8_t *)"", 1, &n), -1);
	assert_int_equal(name_from_wire((const uint8_t *)"", 0, &n), -1);
	assert_int_equal(name_from_wire((const uint8_t *)"\1a\xc0\0", 4, &n),
	    -1);
	assert_int_equal(name_from_wire((const uint8_t *)"\5ab", 4, &n), -1);
	assert_int_equal(name_from_wire((const uint8_t *)"\1a\0xyz", 6, &n), 3);
}

static void
matching(void **state)
{
	struct name	base = name("example.com"), n;

	(void)state;
	n = name("a.example.com");
	assert_false(name_matches(&n, NAME_EXACT, &base));
	assert_true(name_matches(&n, NAME_ONE, &base));
	assert_true(name_matches(&n, NAME_MANY, &base));
	n = name("a.b.example.com");
	assert_false(name_matches(&n, NAME_ONE, &base));
	assert_true(name_matches(&n, NAME_MANY, &base));
	n = name("evil-example.com");
	assert_false(name_matches(&n, NAME_ONE, &base));
	assert_false(name_matches(&n, NAME_MANY, &base));
	n = name("xexample.com");
	assert_false(name_matches(&n, NAME_MANY, &base));
	assert_true(name_matches(&base, NAME_EXACT, &base));
	assert_false(name_matches(&base, NAME_ONE, &base));
	assert_false(name_matches(&base, NAME_MANY, &base));
	assert_int_equal(name_labels(&base), 2);
}

/* A peer's struct is held to the one form. */
static void
validity(void **state)
{
	struct name	n = name("example.com");

	(void)state;
	n.text[200] = 'x';
	assert_false(name_valid(&n));
	n = name("example.com");
	n.text[0] = 'E';
	assert_false(name_valid(&n));
	n = name("example.com");
	n.len++;
	assert_false(name_valid(&n));
	n.len = UINT16_MAX;
	assert_false(name_valid(&n));
	memset(&n, 0, sizeof(n));
	assert_false(name_valid(&n));
	memset(&n, 'a', sizeof(n));
	assert_false(name_valid(&n));
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(good), cmocka_unit_test(bad),
		cmocka_unit_test(bytes), cmocka_unit_test(lengths),
		cmocka_unit_test(wire_faults), cmocka_unit_test(matching),
		cmocka_unit_test(validity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
