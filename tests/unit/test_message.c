/*
 * DNS messages by hand: what is asked, what counts as its answer, and what the
 * bytes of an answer may and may not lead to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "message.h"

/* An answer to "a.test A" with the records that are added to it. */
struct packet {
	uint8_t	at[65536];
	size_t	len;
};

static struct name		asked;
static struct resolver_answer	got;

static void
begin(struct packet *p, uint8_t rcode)
{
	static const uint8_t	head[] = {
		0x12, 0x34, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0,
		1, 'a', 4, 't', 'e', 's', 't', 0, 0, 1, 0, 1
	};

	memcpy(p->at, head, sizeof(head));
	p->at[3] |= rcode;
	p->len = sizeof(head);
	assert_int_equal(name_from_text("a.test", 6, &asked), 0);
}

static void
put(struct packet *p, const void *data, size_t len)
{
	memcpy(p->at + p->len, data, len);
	p->len += len;
}

/* owner and data in wire form; the TTL is 0x100 */
static void
record(struct packet *p, const char *owner, size_t ownerlen, uint8_t type,
    const char *data, size_t len)
{
	uint8_t	fixed[] = { 0, type, 0, 1, 0, 0, 1, 0, (uint8_t)(len >> 8),
		    (uint8_t)len };

	put(p, owner, ownerlen);
	put(p, fixed, sizeof(fixed));
	put(p, data, len);
	if (++p->at[7] == 0)
		p->at[6]++;
}
#define RR(p, owner, type, data)					\
	record(p, owner, sizeof(owner) - 1, type, data, sizeof(data) - 1)
#define SELF	"\xc0\x0c"
#define IP	"\xc0\x00\x02\x01"

static uint32_t
read_it(const struct packet *p)
{
	message_read(p->at, p->len, &asked, RESOLVE_A, &got);
	return got.status;
}

static void
test_ask(void **state)
{
	static const uint8_t	want[] = {
		0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0,
		2, 'A', 'b', 4, 't', 'E', 's', 't', 0, 0, 28, 0, 1
	};
	uint8_t			caps[CAPS_BYTES] = { 1 << 1 | 1 << 5 };
	uint8_t			out[MESSAGE_ASK_MAX];
	struct name		name;
	size_t			n;

	(void)state;
	assert_int_equal(name_from_text("ab.test", 7, &name), 0);
	n = message_ask(out, 0xabcd, &name, RESOLVE_AAAA, caps);
	assert_int_equal(n, sizeof(want));
	assert_memory_equal(out, want, n);
	message_set_id(out, 0x0102);
	assert_int_equal(message_id(out), 0x0102);
	memset(name.text, 0, sizeof(name.text));
	memset(name.text, 'x', 253);
	name.text[63] = name.text[127] = name.text[191] = '.';
	name.len = 253;
	assert_true(name_valid(&name));
	memset(caps, 0xff, sizeof(caps));
	assert_int_equal(message_ask(out, 0, &name, RESOLVE_A, caps),
	    MESSAGE_ASK_MAX);
	assert_int_equal(out[MESSAGE_HEAD + 250], 'X');
}

static void
test_fits(void **state)
{
	uint8_t		ask[MESSAGE_ASK_MAX], caps[CAPS_BYTES] = { 0x02 };
	uint8_t		m[MESSAGE_ASK_MAX + 1] = { 0 };
	size_t		n, i;

	(void)state;
	assert_int_equal(name_from_text("a.test", 6, &asked), 0);
	n = message_ask(ask, 0x1234, &asked, RESOLVE_A, caps);
	memcpy(m, ask, n);
	assert_false(message_fits(m, n, ask, n));	/* a question */
	m[2] |= 0x80;
	assert_true(message_fits(m, n, ask, n));
	assert_true(message_fits(m, n + 1, ask, n));
	assert_false(message_fits(m, n - 1, ask, n));
	for (i = 0; i < n; i++) {
		if (i == 2 || i == 3 || (i > 5 && i < MESSAGE_HEAD))
			continue;	/* flags and counts are the server's */
		m[i] ^= 0x20;
		assert_false(message_fits(m, n, ask, n));
		m[i] ^= 0x20;
	}
	m[2] |= 0x08;			/* another opcode */
	assert_false(message_fits(m, n, ask, n));
	m[2] = 0x83;
	assert_true(message_cut(m));
}

static void
many(struct packet *p, unsigned int n)
{
	char		ip[] = IP;
	unsigned int	i;

	begin(p, 0);
	for (i = 0; i < n; i++) {
		ip[2] = (char)(i / 256);
		ip[3] = (char)i;
		record(p, SELF, 2, 1, ip, 4);
	}
}

static void
test_addresses(void **state)
{
	struct packet	p;
	char		ip[] = IP;
	int		i;

	(void)state;
	begin(&p, 0);
	RR(&p, SELF, 1, IP);
	RR(&p, "\1A\4tESt\0", 1, "\xc0\x00\x02\x02");
	RR(&p, SELF, 1, IP);			/* once more */
	RR(&p, "\1b\4test\0", 1, "\6\6\6\6");	/* not ours */
	RR(&p, SELF, 28, "0123456789abcdef");	/* not asked for */
	assert_int_equal(read_it(&p), RESOLVED);
	assert_int_equal(got.n, 2);
	assert_int_equal(endpoint_u32(&got.addr[0]), 0xc0000201);
	assert_int_equal(endpoint_u32(&got.addr[1]), 0xc0000202);
	assert_int_equal(got.ttl, 0x100);
	begin(&p, 0);
	many(&p, ANSWER_MAX);
	ip[2] = 0;
	record(&p, SELF, 2, 1, ip, 4);		/* a double is none more */
	assert_int_equal(read_it(&p), RESOLVED);
	assert_int_equal(got.n, ANSWER_MAX);
	assert_int_equal(got.more, 0);
	many(&p, ANSWER_MAX + 1);
	assert_int_equal(read_it(&p), RESOLVED);
	assert_int_equal(got.n, ANSWER_MAX);
	assert_int_equal(got.more, 1);
	many(&p, 4000);				/* more than are looked at */
	assert_int_equal(read_it(&p), RESOLVED);
	assert_int_equal(got.n, ANSWER_MAX);
	assert_int_equal(got.more, 1);
	begin(&p, 0);				/* none among those */
	for (i = 0; i < 1024; i++)
		RR(&p, "\1b\4test\0", 1, IP);
	assert_int_equal(read_it(&p), RESOLVE_NODATA);
	RR(&p, SELF, 1, IP);
	assert_int_equal(read_it(&p), RESOLVE_FAILED);
}

static void
test_nothing(void **state)
{
	struct packet	p;

	(void)state;
	begin(&p, 0);
	assert_int_equal(read_it(&p), RESOLVE_NODATA);
	p.at[3] = 0;			/* neither RA nor AA */
	assert_int_equal(read_it(&p), RESOLVE_FAILED);
	p.at[2] |= 0x04;
	assert_int_equal(read_it(&p), RESOLVE_NODATA);
	begin(&p, 3);
	assert_int_equal(read_it(&p), RESOLVE_NXDOMAIN);
	RR(&p, SELF, 1, IP);		/* it is there, and it is not */
	assert_int_equal(read_it(&p), RESOLVE_FAILED);
	begin(&p, 2);
	assert_int_equal(read_it(&p), RESOLVE_FAILED);
	begin(&p, 0);
	p.at[2] |= 2;			/* TC */
	assert_int_equal(read_it(&p), RESOLVE_FAILED);
}

static void
test_chain(void **state)
{
	struct packet	p;
	struct name	c;

	(void)state;
	begin(&p, 0);
	RR(&p, "\1c\xc0\x0e", 1, IP);		/* the order is free */
	RR(&p, "\1b\xc0\x0e", 5, "\1c\xc0\x0e");
	RR(&p, SELF, 5, "\1b\xc0\x0e");
	RR(&p, "\1b\4test\0", 1, "\6\6\6\6" );
	assert_int_equal(read_it(&p), RESOLVE_FAILED);	/* b has both */
	begin(&p, 0);
	RR(&p, "\1c\xc0\x0e", 1, IP);
	RR(&p, "\1b\xc0\x0e", 5, "\1c\xc0\x0e");
	RR(&p, SELF, 5, "\1b\xc0\x0e");
	assert_int_equal(read_it(&p), RESOLVED);
	assert_int_equal(got.nchain, 2);
	assert_int_equal(name_from_text("c.test", 6, &c), 0);
	assert_true(name_equal(&got.chain[1], &c));
	RR(&p, SELF, 5, "\1x\xc0\x0e");		/* two targets */
	assert_int_equal(read_it(&p), RESOLVE_FAILED);
	begin(&p, 0);
	RR(&p, SELF, 5, "\1b\xc0\x0e\0");	/* a byte too many */
	assert_int_equal(read_it(&p), RESOLVE_FAILED);
	begin(&p, 0);
	RR(&p, SELF, 5, SELF);
	assert_int_equal(read_it(&p), RESOLVE_FAILED);
	begin(&p, 0);
	RR(&p, SELF, 5, "\3a b\4test\0");
	assert_int_equal(read_it(&p), RESOLVE_FAILED);
}

static void
test_pointers(void **state)
{
	static const char	rest[] = "\0\1\0\1\0\0\1\0\0\4\1\2\3\4";
	struct packet		p;
	unsigned int		to, i;

	(void)state;
	/* every place that a pointer can name: none but the question's leads to it */
	for (to = 0; to < 0x4000; to++) {
		uint8_t	ptr[] = { (uint8_t)(0xc0 | to >> 8), (uint8_t)to };

		begin(&p, 0);
		put(&p, ptr, 2);
		put(&p, rest, sizeof(rest) - 1);
		p.at[7] = 1;
		assert_int_equal(read_it(&p), to == 12 ? RESOLVED :
		    RESOLVE_NODATA);
	}
	begin(&p, 0);			/* one that leads on, and on */
	for (i = 0; i < 600; i++) {
		uint8_t	ptr[] = { (uint8_t)(0xc0 | (p.len - 2) >> 8),
			    (uint8_t)(p.len - 2) };

		put(&p, i == 0 ? (const uint8_t *)SELF : ptr, 2);
	}
	put(&p, rest, sizeof(rest) - 1);
	p.at[7] = 1;
	assert_true(read_it(&p) == RESOLVE_FAILED ||
	    got.status == RESOLVE_NODATA);
	begin(&p, 0);
	RR(&p, "\x40" "a\4test\0", 1, IP);	/* RFC 6891, 5: no such labels */
	assert_int_equal(read_it(&p), RESOLVE_FAILED);
}

/* A "no" about a.test, with one record of the authority section. */
static uint32_t
negative(struct packet *p, const char *owner, size_t ownerlen, uint8_t type,
    const char *data, size_t len)
{
	uint8_t	answers = p->at[7];

	record(p, owner, ownerlen, type, data, len);
	p->at[7] = answers;
	p->at[9]++;
	assert_true(read_it(p) == RESOLVE_NXDOMAIN);
	return got.ttl;
}
#define NEGATIVE(owner, type, data) (begin(&p, 3),			\
	negative(&p, owner, sizeof(owner) - 1, type, data, sizeof(data) - 1))
#define NUMBERS	"\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4"
#define SOA	"\2ns\xc0\x0c\0" NUMBERS

/* How long it lasts: RFC 2308, 5, and a minute at most. */
static void
test_negative(void **state)
{
	struct packet	p;

	(void)state;
	assert_int_equal(NEGATIVE("\xc0\x0e", 6, SOA "\0\0\0\x20"), 32);
	assert_int_equal(NEGATIVE("\4tESt\0", 6, SOA "\0\0\0\x20"), 32);
	assert_int_equal(NEGATIVE("\0", 6, "\0\0" NUMBERS "\0\0\0\x20"), 32);
	assert_int_equal(NEGATIVE(SELF, 6, SOA "\0\0\0\x3d"), 60);
	assert_int_equal(NEGATIVE(SELF, 6, SOA "\xff\xff\xff\xff"), 60);
	assert_int_equal(NEGATIVE(SELF, 6, SOA "\0\0\0\0"), 0);
	/* another zone's, another record, and what is no such record */
	assert_int_equal(NEGATIVE("\3est\0", 6, SOA "\0\0\0\x20"), 0);
	assert_int_equal(NEGATIVE("\1x\xc0\x0c", 6, SOA "\0\0\0\x20"), 0);
	assert_int_equal(NEGATIVE(SELF, 2, SOA "\0\0\0\x20"), 0);
	assert_int_equal(NEGATIVE(SELF, 6, SOA "\0\0\x20"), 0);
	assert_int_equal(NEGATIVE(SELF, 6, SOA "\0\0\0\x20\0"), 0);
	assert_int_equal(NEGATIVE(SELF, 6, "\0\0\0"), 0);
	/* cut short; and one that is there in the answers alone */
	begin(&p, 3);
	RR(&p, "\xc0\x0e", 6, "\0\0" NUMBERS "\0\0\0\x20");
	assert_int_equal(read_it(&p), RESOLVE_NXDOMAIN);
	assert_int_equal(got.ttl, 0);
	NEGATIVE(SELF, 6, SOA "\0\0\0\x20");
	p.len--;
	assert_int_equal(read_it(&p), RESOLVE_NXDOMAIN);
	assert_int_equal(got.ttl, 0);
	/* at the end of a chain, whose zone may be another, and whose TTL counts */
	begin(&p, 3);
	RR(&p, SELF, 5, "\1b\5other\0");
	assert_int_equal(read_it(&p), RESOLVE_NXDOMAIN);
	assert_int_equal(got.ttl, 0);
	assert_int_equal(negative(&p, "\5other\0", 7, 6, "\0\0" NUMBERS
	    "\0\0\0\x20", 22), 32);
	p.at[32] = 0;			/* the alias's TTL */
	p.at[33] = 7;
	assert_int_equal(read_it(&p), RESOLVE_NXDOMAIN);
	assert_int_equal(got.ttl, 7);
}

/* Each length that is not the whole of it is no answer. */
static void
test_cut_short(void **state)
{
	struct packet	p;
	size_t		whole;

	(void)state;
	begin(&p, 0);
	RR(&p, SELF, 5, "\1b\xc0\x0e");
	RR(&p, "\1b\xc0\x0e", 1, IP);
	whole = p.len;
	assert_int_equal(read_it(&p), RESOLVED);
	for (p.len = 0; p.len < whole; p.len++)
		assert_int_equal(read_it(&p), RESOLVE_FAILED);
}

/* What each byte of a label does to it: name.h's list, and nothing beside. */
static void
test_every_byte(void **state)
{
	struct packet	p;
	struct name	name;
	char		owner[] = "\3xyz\4test";
	int		place, c;

	(void)state;
	for (place = 1; place <= 3; place++)
		for (c = 0; c < 256; c++) {
			memcpy(owner + 1, "xyz", 3);
			owner[place] = (char)c;
			begin(&p, 0);
			record(&p, SELF, 2, 5, owner, sizeof(owner));
			record(&p, owner, sizeof(owner), 1, IP, 4);
			read_it(&p);
			if (name_from_wire((const uint8_t *)owner,
			    sizeof(owner), &name) == -1) {
				assert_int_equal(got.status, RESOLVE_FAILED);
				continue;
			}
			assert_int_equal(got.status, RESOLVED);
			assert_true(name_equal(&got.chain[0], &name));
		}
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_ask),
		cmocka_unit_test(test_fits),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_negative),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_pointers),
		cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
