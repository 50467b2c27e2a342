/*
 * The name in a ClientHello: every way to split it, to cut it short, and to say
 * two things at once.
 */
#include <stdlib.h>

#include "hello.h"
#include "inspector.h"
#include "unit.h"

#define NAME	"www.example.org"

static struct bytes		message, flight;
static struct inspect_result	found;

/* A copy of exactly this length, so that a sanitizer sees one byte more. */
static uint32_t
status_of(const uint8_t *bytes, size_t len)
{
	uint8_t	*copy = malloc(len + (len == 0));

	assert_non_null(copy);
	if (len > 0)
		memcpy(copy, bytes, len);
	memset(&found, 0xaa, sizeof(found));
	inspect_tls(copy, len, &found);
	free(copy);
	if (found.status == INSPECT_NAMED)
		assert_true(name_valid(&found.name));
	else
		assert_int_equal(found.name.len, 0);
	assert_non_null(memchr(found.alpn, 0, sizeof(found.alpn)));
	return found.status;
}

static uint32_t
judge(const struct bytes *b)
{
	return status_of(b->b, b->len);
}

static bool
names(const char *text)
{
	struct name	n;

	assert_int_equal(name_from_text(text, strlen(text), &n), 0);
	return found.status == INSPECT_NAMED && name_equal(&n, &found.name);
}

static void
build(const struct hello_spec *s)
{
	hello_build(&message, s);
	hello_records(&flight, &message, 16384);
}

static const struct hello_spec	usual = { .sni = NAME,
				    .alpn = "h2,http/1.1", .ech_at = -1,
				    .others = 3 };

static void
usual_hello(void **state)
{
	(void)state;
	build(&usual);
	judge(&flight);
	assert_true(names(NAME));
	assert_string_equal(found.alpn, "h2,http/1.1");
	assert_int_equal(found.ech, 0);
}

/* The highest that is one; what is malformed is not known, and decides nothing. */
static void
versions_offered(void **state)
{
	static const struct {
		const char	*body;
		size_t		 len;
		uint32_t	 want;
	} all[] = {
		{ "", 0, 0x303 },		/* none: the hello's own */
		{ "\2\3\4", 3, 0x304 },
		{ "\4\3\3\3\4", 5, 0x304 },
		{ "\6\x3a\x3a\3\2\3\3", 7, 0x303 },	/* GREASE first */
		{ "\4\x7f\x1c\3\3", 5, 0x303 },	/* a draft of 1.3 */
		{ "\2\3\5", 3, 0x305 },
		{ "\2\x7f\x1c", 3, 0 },
		{ "\3\3\4\3", 4, 0 },	/* half a version */
		{ "\2\3\4\3", 4, 0 },		/* more than its length */
		{ "\4\3\4", 3, 0 },		/* less */
		{ "\0", 1, 0 },
	};
	struct hello_spec	s = usual;
	size_t			i;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		s.versions = all[i].body;
		s.versions_len = all[i].len;
		build(&s);
		judge(&flight);
		assert_true(names(NAME));
		assert_int_equal(found.tls, all[i].want);
	}
}

static void
split_everywhere(void **state)
{
	struct bytes	rest;
	size_t		at, size;

	(void)state;
	build(&usual);
	for (size = 1; size <= message.len; size++) {
		hello_records(&flight, &message, size);
		judge(&flight);
		assert_true(names(NAME));
	}
	for (at = 1; at < message.len; at++) {
		rest.len = 0;
		put(&rest, message.b, at);
		hello_records(&flight, &rest, at);
		put(&flight, "\x16\3\3", 3);
		put_number(&flight, 2, message.len - at);
		put(&flight, message.b + at, message.len - at);
		judge(&flight);
		assert_true(names(NAME));
	}
}

static void
cut_everywhere(void **state)
{
	static const size_t	sizes[] = { 1, 2, 3, 4, 5, 50, 16384 };
	size_t			i, len;

	(void)state;
	hello_build(&message, &usual);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		hello_records(&flight, &message, sizes[i]);
		for (len = 0; len < flight.len; len++)
			assert_int_equal(status_of(flight.b, len),
			    INSPECT_BAD);
	}
}

/* The inspector's answer and name.h's are one, but for the trailing dot. */
static void
every_byte_in_the_name(void **state)
{
	struct hello_spec	s = usual;
	char			text[] = "a-b.Example9.x_y.org";
	struct name		want;
	bool			good;
	size_t			at;
	int			c;

	(void)state;
	s.sni = text;
	s.sni_len = sizeof(text) - 1;
	for (at = 0; at < sizeof(text) - 1; at++) {
		char	was = text[at];

		for (c = 0; c < 256; c++) {
			text[at] = (char)c;
			build(&s);
			good = name_from_text(text, s.sni_len, &want) == 0 &&
			    text[s.sni_len - 1] != '.';
			assert_int_equal(judge(&flight), good ?
			    INSPECT_NAMED : INSPECT_BAD);
			if (good)
				assert_true(name_equal(&found.name, &want));
		}
		text[at] = was;
	}
}

static void
names_that_are_none(void **state)
{
	static const char *const	bad[] = { "192.0.2.1", "[::1]", "::1",
					    "2130706433", "0x7f000001", "a..b",
					    ".a", "a.", "a.org.", "-a.org",
					    "a b.org", "xn--\xc3\xa4.org",
					    "\xc3\xa4.org", "a.org:443", "*.org",
					    "a/b.org", "a@b.org", "a.123" };
	struct hello_spec		s = usual;
	char				longest[256];
	size_t				i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		s.sni = bad[i];
		build(&s);
		assert_int_equal(judge(&flight), INSPECT_BAD);
	}
	s.sni = "a.org\0.evil.org";
	s.sni_len = 15;
	build(&s);
	assert_int_equal(judge(&flight), INSPECT_BAD);
	for (i = 0; i < sizeof(longest); i++)
		longest[i] = i % 50 == 49 ? '.' : 'a';
	s.sni = longest;
	for (s.sni_len = 240; s.sni_len < 256; s.sni_len++) {
		if (longest[s.sni_len - 1] == '.')
			continue;
		build(&s);
		assert_int_equal(judge(&flight), s.sni_len <= NAME_TEXT_MAX ?
		    INSPECT_NAMED : INSPECT_BAD);
	}
}

static void
ech_everywhere(void **state)
{
	struct hello_spec	s = usual;
	size_t			size;

	(void)state;
	for (s.ech_at = 0; s.ech_at < 7; s.ech_at++) {
		hello_build(&message, &s);
		for (size = 1; size <= message.len; size++) {
			hello_records(&flight, &message, size);
			judge(&flight);
			assert_true(names(NAME));
			assert_int_equal(found.ech, 1);
		}
	}
	s.ech_at = 7;			/* past the last one */
	build(&s);
	judge(&flight);
	assert_int_equal(found.ech, 0);
	s.sni = NULL;
	s.ech_at = 0;
	build(&s);
	assert_int_equal(judge(&flight), INSPECT_NAMELESS);
	assert_int_equal(found.ech, 1);
}

/* Adds `body` as one more extension, with the lengths around it put right. */
static void
with_extension(const struct hello_spec *s, unsigned int type, const void *body,
    size_t len)
{
	size_t	list = 4 + 2 + 32 + 33 + 8 + 2 + 2;

	hello_build(&message, s);
	put_extension(&message, type, body, len);
	close_vector(&message, list, 2);
	close_vector(&message, 4, 3);
	hello_records(&flight, &message, 16384);
}

/* ESNI and the drafts of ECH, whatever is in them; and none of their neighbours. */
static void
older_ech(void **state)
{
	static const unsigned int	old[] = { 0xffce, 0xff02, 0xff08, 0xfe08,
					    0xfe09, 0xfe0a, 0xfe0b, 0xfe0c, 0xfe0d };
	static const unsigned int	other[] = { 0xffcd, 0xffcf, 0xff01, 0xff03,
					    0xff07, 0xff09, 0xfe07, 0xfe0e };
	size_t				i;

	(void)state;
	for (i = 0; i < sizeof(old) / sizeof(old[0]); i++) {
		with_extension(&usual, old[i], "\x13\x01\0\x1d", 4);
		judge(&flight);
		assert_true(names(NAME));
		assert_int_equal(found.ech, 1);
	}
	for (i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		with_extension(&usual, other[i], "\x13\x01\0\x1d", 4);
		judge(&flight);
		assert_true(names(NAME));
		assert_int_equal(found.ech, 0);
	}
}

static void
twice_is_bad(void **state)
{
	static const unsigned int	there[] = { 0, 16, 43, 0x4a00, 0x4a02 };
	struct hello_spec		s = usual;
	size_t				i;

	(void)state;
	for (i = 0; i < sizeof(there) / sizeof(there[0]); i++) {
		with_extension(&s, there[i], "\0\5\0\0\2xy", 7);
		assert_int_equal(judge(&flight), INSPECT_BAD);
	}
	with_extension(&s, 0x5b5b, "", 0);
	assert_int_equal(judge(&flight), INSPECT_NAMED);
	s.ech_at = 0;
	with_extension(&s, 0xfe0d, "", 0);
	assert_int_equal(judge(&flight), INSPECT_BAD);
}

static void
server_name_lists(void **state)
{
	static const struct {
		const char	*body;
		size_t		 len;
		uint32_t	 status;
	} list[] = {
		{ "\0\6\0\0\3a.b", 8, INSPECT_NAMED },
		{ "\0\0", 2, INSPECT_NAMELESS },
		{ "", 0, INSPECT_BAD },
		{ "\0", 1, INSPECT_BAD },
		{ "\0\0x", 3, INSPECT_BAD },
		{ "\0\6\1\0\3a.b", 8, INSPECT_BAD },	/* another type */
		{ "\0\6\0\0\3a.b!", 9, INSPECT_BAD },	/* behind the list */
		{ "\0\7\0\0\3a.b!", 9, INSPECT_BAD },	/* behind the name */
		{ "\0\5\0\0\3a.b", 8, INSPECT_BAD },
		{ "\0\7\0\0\3a.b", 8, INSPECT_BAD },
		{ "\0\6\0\0\2a.b", 8, INSPECT_BAD },
		{ "\0\6\0\0\4a.b", 8, INSPECT_BAD },
		{ "\0\3\0\0\0", 5, INSPECT_BAD },	/* empty */
		{ "\0\14\0\0\3a.b\0\0\3c.d", 14, INSPECT_BAD },
		{ "\0\14\0\0\3a.b\0\0\3a.b", 14, INSPECT_BAD },
		{ "\0\14\0\0\3a.b\1\0\3c.d", 14, INSPECT_BAD },
	};
	struct hello_spec	s = usual;
	size_t			i;

	(void)state;
	s.sni = NULL;
	build(&s);
	assert_int_equal(judge(&flight), INSPECT_NAMELESS);
	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		with_extension(&s, 0, list[i].body, list[i].len);
		assert_int_equal(judge(&flight), list[i].status);
	}
}

static void
protocol_lists(void **state)
{
	static const char	ten[] = "0123456789,0123456789,0123456789,"
				    "0123456789,0123456789";
	struct hello_spec	s = usual;

	(void)state;
	s.alpn = ten;				/* 54 bytes: there is room for 9 */
	build(&s);
	assert_int_equal(judge(&flight), INSPECT_NAMED);
	assert_string_equal(found.alpn, ten);
	/* 60 bytes, then one that does not fit, then one that would */
	s.alpn = "012345678901234567890123456789012345678901234567890123456789"
	    ",abc,x";
	build(&s);
	assert_int_equal(judge(&flight), INSPECT_NAMED);
	assert_int_equal(strlen(found.alpn), 60);
	s.alpn = "\x0a\x0a,a\"b\x7f,h2\xff";
	build(&s);
	judge(&flight);
	assert_string_equal(found.alpn, "\?\?,a\"b?,h2?");
	s.alpn = NULL;
	with_extension(&s, 16, "\0\4\3a,b", 6);
	judge(&flight);
	assert_string_equal(found.alpn, "a?b");
	with_extension(&s, 16, "\0\0", 2);
	assert_int_equal(judge(&flight), INSPECT_BAD);
	with_extension(&s, 16, "\0\1\0", 3);
	assert_int_equal(judge(&flight), INSPECT_BAD);
	with_extension(&s, 16, "\0\3\2h2!", 6);
	assert_int_equal(judge(&flight), INSPECT_BAD);
	with_extension(&s, 16, "\0\3\3h2", 5);
	assert_int_equal(judge(&flight), INSPECT_BAD);
}

/* What a length says, one more or one less; and no byte may be left over. */
static void
wrong_lengths(void **state)
{
	/* record; message; session, suites, compression; extensions; the first one */
	static const size_t	at[] = { 4, 8, 43, 77, 84, 87, 91 };
	size_t			i;

	(void)state;
	build(&usual);
	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		flight.b[at[i]]++;
		assert_int_equal(judge(&flight), INSPECT_BAD);
		flight.b[at[i]] = (uint8_t)(flight.b[at[i]] - 2);
		assert_int_equal(judge(&flight), INSPECT_BAD);
		flight.b[at[i]]++;
		assert_int_equal(judge(&flight), INSPECT_NAMED);
	}
	put(&message, "!", 1);
	close_vector(&message, 4, 3);
	hello_records(&flight, &message, 16384);
	assert_int_equal(judge(&flight), INSPECT_BAD);
	message.len = 4 + 2 + 32 + 33 + 8 + 2;		/* no extensions at all */
	close_vector(&message, 4, 3);
	hello_records(&flight, &message, 16384);
	assert_int_equal(judge(&flight), INSPECT_NAMELESS);
	put(&message, "\0", 1);
	close_vector(&message, 4, 3);
	hello_records(&flight, &message, 16384);
	assert_int_equal(judge(&flight), INSPECT_BAD);
}

/* RFC 8446, 4.1.2: what the vectors in front of the extensions may hold. */
static void
vectors_out_of_bounds(void **state)
{
	static const struct {
		size_t		session, suites, compression;
		uint32_t	status;
	} v[] = {
		{ 32, 2, 1, INSPECT_NAMELESS }, { 0, 2, 2, INSPECT_NAMELESS },
		{ 33, 2, 1, INSPECT_BAD }, { 0, 0, 1, INSPECT_BAD },
		{ 0, 3, 1, INSPECT_BAD }, { 0, 2, 0, INSPECT_BAD },
	};
	static const uint8_t	zero[64];
	size_t			i;

	(void)state;
	for (i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		message.len = 0;
		put(&message, "\1\0\0\0\3\3", 6);
		put(&message, zero, 32);
		put_number(&message, 1, v[i].session);
		put(&message, zero, v[i].session);
		put_number(&message, 2, v[i].suites);
		put(&message, zero, v[i].suites);
		put_number(&message, 1, v[i].compression);
		put(&message, zero, v[i].compression);
		close_vector(&message, 4, 3);
		hello_records(&flight, &message, 16384);
		assert_int_equal(judge(&flight), v[i].status);
	}
}

static void
records_of_another_kind(void **state)
{
	size_t		at;
	unsigned int	c;

	(void)state;
	hello_build(&message, &usual);
	hello_records(&flight, &message, 40);
	for (at = 0; at < flight.len; at += 45)
		for (c = 0; c < 256; c++) {
			flight.b[at] = (uint8_t)c;
			assert_int_equal(judge(&flight), c == 22 ?
			    INSPECT_NAMED : INSPECT_BAD);
			flight.b[at] = 22;
			flight.b[at + 1] = (uint8_t)c;
			assert_int_equal(judge(&flight), c == 3 ?
			    INSPECT_NAMED : INSPECT_BAD);
			flight.b[at + 1] = 3;
		}
	flight.len = 0;
	put(&flight, "\x16\3\1\0\0", 5);		/* empty, in front */
	put(&flight, "\x16\3\1", 3);
	put_number(&flight, 2, message.len);
	put(&flight, message.b, message.len);
	assert_int_equal(judge(&flight), INSPECT_BAD);
	for (c = 0; c < 256; c++) {			/* other messages */
		message.b[0] = (uint8_t)c;
		hello_records(&flight, &message, 16384);
		assert_int_equal(judge(&flight), c == 1 ? INSPECT_NAMED :
		    INSPECT_BAD);
	}
}

static void
what_follows(void **state)
{
	size_t	whole;

	(void)state;
	build(&usual);
	whole = flight.len;
	put(&flight, "\x14\3\3\0\1\1\x17\3\3\0\20early", 16);
	assert_int_equal(judge(&flight), INSPECT_NAMED);
	flight.len = whole;
	put(&flight, "\x16", 1);
	assert_int_equal(judge(&flight), INSPECT_BAD);
	flight.len = whole;
	put(&flight, flight.b, whole);			/* a second hello */
	assert_int_equal(judge(&flight), INSPECT_BAD);
	put(&message, message.b, message.len);		/* in the same record */
	hello_records(&flight, &message, 16384);
	assert_int_equal(judge(&flight), INSPECT_BAD);
}

static void
old_hellos(void **state)
{
	/* SSL 2.0 with version 3.1: RFC 5246, E.2 */
	static const uint8_t	v2[] = { 0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0,
				    0x10, 0, 0, 0x39 };
	struct bytes		b = { .len = 0 };

	(void)state;
	put(&b, v2, sizeof(v2));
	b.len = 48;
	assert_int_equal(judge(&b), INSPECT_BAD);
}

static void
the_longest(void **state)
{
	struct hello_spec	s = usual;

	(void)state;
	s.pad = 1;
	build(&s);
	s.pad += 16384 - flight.len;
	build(&s);
	assert_int_equal(flight.len, 16384);
	assert_int_equal(judge(&flight), INSPECT_NAMED);
	hello_records(&flight, &message, 8000);		/* two heads more */
	assert_true(flight.len > 16384);
	assert_int_equal(status_of(flight.b, 16384), INSPECT_BAD);
	s.pad++;
	build(&s);
	assert_int_equal(status_of(flight.b, 16384), INSPECT_BAD);
	s.pad = 40000;
	build(&s);
	assert_int_equal(judge(&flight), INSPECT_BAD);	/* nobody sends that much */
	assert_int_equal(status_of(flight.b, 16384), INSPECT_BAD);
}

/* No flipped bit outside the name makes another name of it. */
static void
flipped_bits(void **state)
{
	size_t		at, name = 0;
	unsigned int	bit;

	(void)state;
	build(&usual);
	while (memcmp(flight.b + name, NAME, sizeof(NAME) - 1) != 0)
		name++;
	for (at = 0; at < flight.len; at++)
		for (bit = 0; bit < 8; bit++) {
			flight.b[at] ^= (uint8_t)(1u << bit);
			if (judge(&flight) == INSPECT_NAMED &&
			    (at < name || at >= name + sizeof(NAME) - 1))
				assert_true(names(NAME));
			flight.b[at] ^= (uint8_t)(1u << bit);
		}
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(usual_hello),
		cmocka_unit_test(split_everywhere),
		cmocka_unit_test(cut_everywhere),
		cmocka_unit_test(every_byte_in_the_name),
		cmocka_unit_test(names_that_are_none),
		cmocka_unit_test(ech_everywhere),
		cmocka_unit_test(older_ech),
		cmocka_unit_test(twice_is_bad),
		cmocka_unit_test(server_name_lists),
		cmocka_unit_test(protocol_lists),
		cmocka_unit_test(wrong_lengths),
		cmocka_unit_test(vectors_out_of_bounds),
		cmocka_unit_test(records_of_another_kind),
		cmocka_unit_test(what_follows),
		cmocka_unit_test(old_hellos),
		cmocka_unit_test(the_longest),
		cmocka_unit_test(versions_offered),
		cmocka_unit_test(flipped_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
