/*
 * The gateway's name server by UDP: what is asked, what is answered, to the last
 * byte; the broker is a counter, and the guest obeys nothing.
 */
#include <event2/event.h>
#include <stdlib.h>

#include "unit.h"

#include "bytes.h"
#include "dns.h"
#include "dns_check.h"
#include "frame_fake.h"

#define TYPE_A		1
#define TYPE_AAAA	28
#define ASKED_MAX	1024		/* dnsask.c's */

static struct mk	m;
static struct dns_seen	seen;
static uint8_t		q[2000];	/* the question that is sent */
static size_t		qlen;

/* ---- the guest ---- */

/* "wWw.example.com" as labels. */
static void
put_name(const char *text)
{
	size_t	label = qlen++, n = 0;

	for (;; text++) {
		if (*text == '.' || *text == 0) {
			q[label] = (uint8_t)n;
			label = qlen++;
			n = 0;
			if (*text == 0)
				break;
		} else {
			q[qlen++] = (uint8_t)*text;
			n++;
		}
	}
	q[label] = 0;
}

static void
query(uint16_t id, const char *name, unsigned int type)
{
	memset(q, 0, sizeof(q));
	put16(q, id);
	q[2] = 1;			/* RD */
	put16(q + 4, 1);
	qlen = 12;
	if (*name == 0)
		q[qlen++] = 0;		/* the root */
	else
		put_name(name);
	put16(q + qlen, type);
	put16(q + qlen + 2, 1);
	qlen += 4;
}

static void
edns(unsigned int size, unsigned int version, unsigned int flags,
    const void *options, size_t len)
{
	put16(q + 10, 1);
	q[qlen] = 0;
	put16(q + qlen + 1, 41);
	put16(q + qlen + 3, size);
	q[qlen + 5] = 0;
	q[qlen + 6] = (uint8_t)version;
	put16(q + qlen + 7, flags);
	put16(q + qlen + 9, (unsigned int)len);
	if (len > 0)
		memcpy(q + qlen + 11, options, len);
	qlen += 11 + len;
}

static void
send_from(uint16_t port, bool v6)
{
	fake_nsent = 0;
	mk_udp(&m, v6 ? GUEST6 : GUEST4, port, v6 ? GATEWAY6 : GATEWAY4, 53, q,
	    qlen);
	mk_send(&m);
}

static void
send_query(void)
{
	send_from(4321, false);
}

static const uint8_t *
payload(unsigned int nth, size_t *len)
{
	const uint8_t	*l4 = sent_l4(&fake_sent[nth]);

	*len = fake_sent[nth].len - (size_t)(l4 + 8 - fake_sent[nth].bytes);
	return l4 + 8;
}

/* The one answer that was sent; `seen` has what it says. */
static size_t
answered(void)
{
	const uint8_t	*d;
	size_t		 len;

	assert_int_equal(fake_nsent, 1);
	check_sent(&fake_sent[0]);
	assert_int_equal(get16(sent_l4(&fake_sent[0])), 53);
	d = payload(0, &len);
	assert_true(dns_check(d, len, &seen));
	assert_int_equal(seen.id, get16(q));
	assert_false(seen.aa);
	assert_true(seen.ra);
	assert_int_equal(seen.rd, q[2] & 1);
	assert_int_equal(seen.opcode, q[2] >> 3 & 15);
	if (seen.question > 0)
		assert_memory_equal(d + 12, q + 12, seen.question);
	return len;
}

static void
refused(unsigned int rcode, bool question)
{
	answered();
	assert_int_equal(seen.rcode, rcode);
	assert_int_equal(seen.question > 0, question);
	assert_int_equal(seen.answers, 0);
	assert_false(seen.tc);
	assert_int_equal(fake_nresolves, 0);
}

/* ---- the broker ---- */

static struct wire_answer
answer(uint64_t id, uint32_t code, uint32_t n, bool v6)
{
	struct wire_answer	w;
	uint8_t			a6[16] = { 0x20, 0x01, 0x0d, 0xb8 };
	uint32_t		i;

	wire_begin(&w, sizeof(w), WIRE_ANSWER, id);
	w.code = code;
	w.ttl = 77;
	w.n = n;
	for (i = 0; i < n; i++) {
		a6[15] = (uint8_t)(i + 1);
		w.addr[i] = v6 ? endpoint_v6(a6, 0) :
		    endpoint_v4(0xc0000201 + i, 0);
	}
	return w;
}

static void
broker(uint32_t code, uint32_t n, bool v6)
{
	struct wire_answer	w = answer(fake_first_id, code, n, v6);

	assert_int_equal(fake_nresolves, 1);
	assert_true(dns_outstanding(fake_first_id));
	fake_nsent = 0;
	assert_int_equal(dns_answered(&w), 0);
	assert_false(dns_outstanding(fake_first_id));
	fake_nresolves = 0;
}

/* What nobody answered is given up; nothing may be left behind. */
static int
end_all(void **state)
{
	(void)state;
	fake_channel_full = false;
	dns_channel_writable();
	frame.now_ms += 60000;
	event_base_dispatch(frame.base);
	assert_int_equal(event_base_get_num_events(frame.base,
	    EVENT_BASE_COUNT_ADDED), 0);
	return 0;
}

/* ---- questions ---- */

static void
test_ask(void **state)
{
	static const char	*names[] = { "example.com", "eXaMpLe.CoM", "a",
				    "_sip._tcp.x-1.example", "XN--Bcher-KVA.example" };
	static const char	*lower[] = { "example.com", "example.com", "a",
				    "_sip._tcp.x-1.example", "xn--bcher-kva.example" };
	size_t			 i;

	(void)state;
	for (i = 0; i < 10; i++) {
		query((uint16_t)(0x1234 + i), names[i / 2], TYPE_A);
		send_from(4321, i % 2 != 0);
		assert_int_equal(fake_nsent, 0);
		assert_int_equal(fake_nresolves, 1);
		assert_int_equal(fake_qtype, TYPE_A);
		assert_int_equal(fake_name.len, strlen(lower[i / 2]));
		assert_memory_equal(fake_name.text, lower[i / 2],
		    fake_name.len);
		broker(ANSWER_ADDRESSES, 1, false);
		assert_int_equal(answered(), qlen + 16);
		assert_int_equal(seen.rcode, 0);
		assert_int_equal(seen.answers, 1);
		assert_int_equal(seen.type, TYPE_A);
		assert_int_equal(seen.ttl, 77);
		assert_memory_equal(seen.data[0], "\xc0\0\2\1", 4);
		assert_int_equal(seen.question, qlen - 12);
		assert_int_equal(seen.soa, 0);
		assert_false(seen.edns);
	}
	/* not the gateway's port 53: the policy's matter, whatever it says */
	mk_udp(&m, GUEST4, 4321, "192.0.2.1", 53, q, qlen);
	mk_send(&m);
	mk_udp(&m, GUEST4, 4321, GATEWAY4, 54, q, qlen);
	mk_send(&m);
	assert_int_equal(fake_asked, 2);
	assert_int_equal(fake_nresolves, 0);
}

/* One answer in full. */
static void
test_bytes(void **state)
{
	static const uint8_t	want[] = {
		0xab, 0xcd, 0x81, 0x90, 0, 1, 0, 2, 0, 0, 0, 1,
		3, 'W', 'w', 'w', 1, 'b', 0, 0, 28, 0, 1,
		0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 77, 0, 16,
		0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
		0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 77, 0, 16,
		0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
		0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 0,
	};
	size_t			 len;

	(void)state;
	query(0xabcd, "Www.b", TYPE_AAAA);
	q[3] = 0x30;			/* AD, CD */
	edns(1232, 0, 0x8000, NULL, 0);
	send_query();
	broker(ANSWER_ADDRESSES, 2, true);
	payload(0, &len);
	assert_int_equal(len, sizeof(want));
	assert_memory_equal(payload(0, &len), want, len);
}

static void
test_codes(void **state)
{
	static const struct {
		uint32_t	code;
		unsigned int	rcode, soa, ede;
	} cases[] = {
		{ ANSWER_NODATA, 0, 1, 0 }, { ANSWER_NXDOMAIN, 3, 1, 0 },
		{ ANSWER_DENIED, 3, 1, 15 + 1 }, { ANSWER_SERVFAIL, 2, 0, 0 },
		{ ANSWER_REFUSED, 5, 0, 0 }, { ANSWER_WITHHELD, 0, 1, 15 + 1 },
		{ ANSWER_UNREACHED, 2, 0, 22 + 1 },
	};
	static const unsigned int	types[] = { 1, 28, 16, 65, 255, 41, 0 };
	size_t				i, k;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (k = 0; k < 2 * sizeof(types) / sizeof(types[0]); k++) {
			query((uint16_t)k, "example.com", types[k / 2]);
			if (k % 2 != 0)
				edns(4096, 0, 0, NULL, 0);
			send_query();
			assert_int_equal(fake_qtype, types[k / 2]);
			broker(cases[i].code, 0, false);
			answered();
			assert_int_equal(seen.rcode, cases[i].rcode);
			assert_int_equal(seen.answers, 0);
			assert_int_equal(seen.soa, cases[i].soa);
			assert_int_equal(seen.soa_ttl, cases[i].soa * 77);
			assert_int_equal(seen.soa_minimum, cases[i].soa * 77);
			assert_int_equal(seen.edns, k % 2);
			assert_int_equal(seen.ede, k % 2 * cases[i].ede);
			assert_int_equal(seen.question, 17);
		}
}

/* What is answered here, and asks nobody. */
static void
test_refused(void **state)
{
	unsigned int	opcode;

	(void)state;
	for (opcode = 1; opcode < 16; opcode++) {
		query(1, "example.com", TYPE_A);
		q[2] |= (uint8_t)(opcode << 3);
		send_query();
		refused(DNS_NOTIMP, false);
	}
	query(1, "version.bind", 16);
	put16(q + qlen - 2, 3);		/* CHAOS */
	edns(4096, 0, 0, NULL, 0);
	send_query();
	refused(DNS_REFUSED, true);
	assert_true(seen.edns);
	/* no host names: a number, a space, a hyphen in front, NUL */
	query(1, "10.0.2.2", TYPE_A);
	send_query();
	refused(DNS_NXDOMAIN, true);
	assert_int_equal(seen.soa, 1);
	query(1, "a b.com", TYPE_A);
	send_query();
	refused(DNS_NXDOMAIN, true);
	query(1, "-a.com", TYPE_A);
	send_query();
	refused(DNS_NXDOMAIN, true);
	query(1, "axa.com", TYPE_A);
	q[14] = 0;
	send_query();
	refused(DNS_NXDOMAIN, true);
	assert_int_equal(fake_drops[REASON_NAME_INVALID], 4);
	/* the root is there, and has nothing */
	query(1, "", 2);
	send_query();
	refused(DNS_NOERROR, true);
	assert_int_equal(seen.soa, 1);
	assert_int_equal(fake_drops[REASON_NAME_INVALID], 5);
}

/* Every byte in every place of a name: asked for, or "no such name". */
static void
test_bytes_of_names(void **state)
{
	struct name	name;
	size_t		at;
	unsigned int	c;
	bool		good;

	(void)state;
	for (at = 13; at < 13 + 9; at++)
		for (c = 0; c < 256; c++) {
			if (at == 12 + 4)
				continue;	/* the second length byte */
			query(9, "abc.wxyz9", TYPE_A);
			q[at] = (uint8_t)c;
			good = name_from_wire(q + 12, 11, &name) != -1;
			send_query();
			assert_int_equal(fake_nresolves, good);
			if (good) {
				assert_true(name_equal(&name, &fake_name));
				broker(ANSWER_NXDOMAIN, 0, false);
			}
			answered();
			assert_int_equal(seen.rcode, DNS_NXDOMAIN);
		}
}

static void
test_malformed(void **state)
{
	size_t	full, len;

	(void)state;
	query(7, "example.com", TYPE_A);
	edns(1232, 0, 0, "\0\12\0\10cookie00", 12);
	full = qlen;
	/* cut anywhere: no more is said than that it was not understood */
	for (qlen = 0; qlen < full; qlen++) {
		send_query();
		if (qlen < 12)
			assert_int_equal(fake_nsent, 0);
		else
			refused(DNS_FORMERR, false);
		assert_false(qlen >= 12 && seen.edns);
	}
	assert_int_equal(fake_drops[REASON_MALFORMED], 12);
	/* a byte too much, with OPT and without */
	qlen = full + 1;
	send_query();
	refused(DNS_FORMERR, false);
	query(7, "example.com", TYPE_A);
	qlen++;
	send_query();
	refused(DNS_FORMERR, false);
	/* an answer is not answered: no loop between two servers */
	query(7, "example.com", TYPE_A);
	q[2] |= 0x80;
	send_query();
	assert_int_equal(fake_nsent, 0);
	/* counts */
	for (len = 4; len < 12; len += 2) {
		query(7, "example.com", TYPE_A);
		put16(q + len, len == 4 ? 2 : 1);
		send_query();
		refused(DNS_FORMERR, false);
	}
	query(7, "example.com", TYPE_A);
	put16(q + 4, 0);
	qlen = 12;
	send_query();
	refused(DNS_FORMERR, false);
	/* a pointer, a label of 64, a record that is no OPT, two OPTs */
	query(7, "example.com", TYPE_A);
	q[12] = 0xc0;
	send_query();
	refused(DNS_FORMERR, false);
	query(7, "example.com", TYPE_A);
	q[20] = 0xc0;
	send_query();
	refused(DNS_FORMERR, false);
	query(7, "example.com", TYPE_A);
	q[12] = 64;
	qlen = 12 + 80;
	send_query();
	refused(DNS_FORMERR, false);
	query(7, "example.com", TYPE_A);
	edns(1232, 0, 0, NULL, 0);
	q[qlen - 10 + 1] = 250;		/* TSIG */
	send_query();
	refused(DNS_FORMERR, false);
	query(7, "example.com", TYPE_A);
	edns(1232, 0, 0, NULL, 0);
	edns(1232, 0, 0, NULL, 0);
	put16(q + 10, 2);
	send_query();
	refused(DNS_FORMERR, false);
	/* an option that is longer than its record */
	query(7, "example.com", TYPE_A);
	edns(1232, 0, 0, "\0\12\0\11cookie00", 12);
	send_query();
	refused(DNS_FORMERR, false);
}

/* 255 bytes of name are the most; of text 253. */
static void
test_long_names(void **state)
{
	size_t	i;

	(void)state;
	query(3, "", TYPE_A);
	qlen = 12;
	for (i = 0; i < 127; i++) {
		q[qlen++] = 1;
		q[qlen++] = 'a';
	}
	q[qlen++] = 0;
	put16(q + qlen, TYPE_A);
	put16(q + qlen + 2, 1);
	qlen += 4;
	edns(512, 0, 0, NULL, 0);
	send_query();
	assert_int_equal(fake_name.len, 253);
	broker(ANSWER_ADDRESSES, 64, false);
	assert_in_range(answered(), 496, 512);
	assert_true(seen.tc);
	/* one more byte */
	query(3, "", TYPE_A);
	qlen = 12;
	for (i = 0; i < 126; i++) {
		q[qlen++] = 1;
		q[qlen++] = 'a';
	}
	memcpy(q + qlen, "\2aa\0\0\1\0\1", 8);
	qlen += 8;
	send_query();
	refused(DNS_FORMERR, false);
}

/* ---- sizes ---- */

static void
test_sizes(void **state)
{
	static const unsigned int	sizes[] = { 0, 1, 511, 512, 513, 1232, 2000,
					    4096, 65535 };
	size_t				i, len, limit;
	uint32_t			n, k;
	bool				v6;

	(void)state;
	for (i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]) + 2; i++)
		for (n = 1; n <= ANSWER_MAX; n++) {
			v6 = i % 2 != 0;
			query((uint16_t)n, "example.com", v6 ? TYPE_AAAA : TYPE_A);
			limit = 512;
			if (i >= 2) {
				edns(sizes[i / 2 - 1], 0, 0, NULL, 0);
				limit = sizes[i / 2 - 1] < 512 ? 512 :
				    sizes[i / 2 - 1] < 4096 ?
				    sizes[i / 2 - 1] : 4096;
			}
			send_query();
			broker(ANSWER_ADDRESSES, n, v6);
			len = answered();
			assert_true(len <= limit);
			assert_int_equal(seen.edns, i >= 2);
			assert_int_equal(seen.size, i >= 2 ? 4096 : 0);
			if (qlen + n * (v6 ? 28u : 16u) <= limit) {
				assert_false(seen.tc);
				assert_int_equal(seen.answers, n);
			} else {
				assert_true(seen.tc);
				assert_in_range(seen.answers, 1, n - 1);
				assert_true(len + (v6 ? 28 : 16) > limit);
			}
			for (k = 0; k < seen.answers; k++)
				assert_int_equal(seen.data[k][v6 ? 15 : 3],
				    (k + 1) % 256);
		}
}

static void
test_edns(void **state)
{
	unsigned int	version;

	(void)state;
	for (version = 1; version < 256; version += 127) {
		query(5, "example.com", TYPE_A);
		edns(1232, version, 0x8000, NULL, 0);
		send_query();
		refused(DNS_BADVERS, true);
		assert_true(seen.edns && seen.dnssec_ok);
	}
	/* options that we do not know are skipped; Z bits are not echoed */
	query(5, "example.com", TYPE_A);
	edns(1232, 0, 0x7fff, "\0\12\0\10cookie00\0\14\0\0", 16);
	send_query();
	broker(ANSWER_DENIED, 0, false);
	answered();
	assert_true(seen.edns && !seen.dnssec_ok);
	assert_int_equal(seen.ede, 15 + 1);
	/* the longest TTL that there is (RFC 2181, 8) */
	query(5, "example.com", TYPE_A);
	send_query();
	{
		struct wire_answer	w = answer(fake_first_id,
					    ANSWER_ADDRESSES, 1, false);

		w.ttl = UINT32_MAX;
		assert_int_equal(dns_answered(&w), 0);
	}
	answered();
	assert_int_equal(seen.ttl, 0x7fffffff);
}

/* ---- the table ---- */

static void
test_duplicates(void **state)
{
	(void)state;
	query(5, "example.com", TYPE_A);
	send_query();
	send_query();
	send_query();
	assert_int_equal(fake_nresolves, 1);
	/* another id, port, family, type, or case is another question */
	send_from(4322, false);
	send_from(4321, true);
	query(6, "example.com", TYPE_A);
	send_query();
	query(5, "example.com", TYPE_AAAA);
	send_query();
	query(5, "Example.com", TYPE_A);
	send_query();
	assert_int_equal(fake_nresolves, 6);
	fake_nresolves = 1;
	query(5, "example.com", TYPE_A);
	broker(ANSWER_NXDOMAIN, 0, false);
	answered();
	/* answered: it may be asked again */
	send_query();
	assert_int_equal(fake_nresolves, 1);
}

/* As many as there is room for; each gets its own answer, in any order. */
static void
test_many(void **state)
{
	uint64_t		first = 0;
	char			name[20];
	unsigned int		i, k;
	struct wire_answer	w;

	(void)state;
	for (i = 0; i < ASKED_MAX; i++) {
		snprintf(name, sizeof(name), "n%u.example", i);
		query((uint16_t)i, name, TYPE_A);
		send_query();
		assert_int_equal(fake_nresolves, i + 1);
		assert_int_equal(fake_nsent, 0);
		assert_true(dns_outstanding(fake_first_id + i));
	}
	first = fake_first_id;
	query(0xffff, "one-more.example", TYPE_A);
	send_query();
	assert_int_equal(fake_nresolves, ASKED_MAX);
	answered();
	assert_int_equal(seen.rcode, DNS_SERVFAIL);
	assert_int_equal(fake_drops[REASON_DNS_BUDGET], 1);
	for (i = 0; i < ASKED_MAX; i++) {
		k = i * 389 % ASKED_MAX;
		w = answer(first + k, ANSWER_ADDRESSES, 1, false);
		w.addr[0] = endpoint_v4(0xc0000000 + k, 0);
		fake_nsent = 0;
		assert_int_equal(dns_answered(&w), 0);
		snprintf(name, sizeof(name), "n%u.example", k);
		query((uint16_t)k, name, TYPE_A);
		answered();
		assert_int_equal(get32(seen.data[0]), 0xc0000000 + k);
	}
	/* a second one for an id is not for anybody */
	fake_nsent = 0;
	assert_int_equal(dns_answered(&w), 0);
	assert_int_equal(fake_nsent, 0);
}

static void
test_channel_full(void **state)
{
	unsigned int	i;

	(void)state;
	fake_channel_full = true;
	for (i = 0; i < 10; i++) {
		query((uint16_t)i, "example.com", TYPE_A);
		send_query();
		send_query();
	}
	assert_int_equal(fake_nresolves, 0);
	dns_channel_writable();
	assert_int_equal(fake_nresolves, 0);
	fake_channel_full = false;
	dns_channel_writable();
	assert_int_equal(fake_nresolves, 10);
	for (i = 0; i < 10; i++) {
		struct wire_answer	w = answer(fake_first_id + i,
					    ANSWER_NODATA, 0, false);

		fake_nsent = 0;
		assert_int_equal(dns_answered(&w), 0);
		query((uint16_t)i, "example.com", TYPE_A);
		answered();
	}
}

static void
test_late(void **state)
{
	struct wire_answer	w;
	uint64_t		id;

	(void)state;
	query(5, "example.com", TYPE_A);
	send_query();
	id = fake_first_id;
	frame.now_ms += 14000;
	event_base_loop(frame.base, EVLOOP_ONCE);
	assert_int_equal(fake_nsent, 0);
	frame.now_ms += 2000;
	event_base_loop(frame.base, EVLOOP_ONCE);
	answered();
	assert_int_equal(seen.rcode, DNS_SERVFAIL);
	fake_nsent = 0;
	w = answer(id, ANSWER_ADDRESSES, 1, false);
	assert_int_equal(dns_answered(&w), 0);
	assert_int_equal(fake_nsent, 0);
	/* one that never got out is answered too */
	fake_channel_full = true;
	query(6, "example.com", TYPE_A);
	send_query();
	frame.now_ms += 16000;
	event_base_loop(frame.base, EVLOOP_ONCE);
	answered();
	assert_int_equal(seen.rcode, DNS_SERVFAIL);
}

/* A broker that speaks another language. */
static void
test_nonsense(void **state)
{
	struct wire_answer	good, w;
	uint64_t		id;

	(void)state;
	query(5, "example.com", TYPE_A);
	send_query();
	id = fake_first_id;
	good = answer(id, ANSWER_ADDRESSES, 2, false);
	w = answer(id, 0, 0, false);
	assert_int_equal(dns_answered(&w), -1);
	w = answer(id, ANSWER_UNREACHED + 1, 0, false);
	assert_int_equal(dns_answered(&w), -1);
	w = answer(id, ANSWER_ADDRESSES, 0, false);
	assert_int_equal(dns_answered(&w), -1);
	w = answer(id, ANSWER_NXDOMAIN, 1, false);
	assert_int_equal(dns_answered(&w), -1);
	w = answer(id, ANSWER_ADDRESSES, 1, true);	/* not an A */
	assert_int_equal(dns_answered(&w), -1);
	w = good;
	w.n = ANSWER_MAX + 1;
	assert_int_equal(dns_answered(&w), -1);
	w = good;
	w.n = 1;					/* one is left over */
	assert_int_equal(dns_answered(&w), -1);
	w = good;
	w.n = 3;
	assert_int_equal(dns_answered(&w), -1);
	w = good;
	w.addr[1] = fake_addr("2001:db8::1");
	assert_int_equal(dns_answered(&w), -1);
	w = good;
	w.addr[1].port = 1;
	assert_int_equal(dns_answered(&w), -1);
	w = good;
	w.zero = 1;
	assert_int_equal(dns_answered(&w), -1);
	assert_int_equal(fake_nsent, 0);
	assert_int_equal(dns_answered(&good), 0);
	answered();
	assert_int_equal(seen.answers, 2);
	/* addresses for what has none */
	query(5, "example.com", 16);
	send_query();
	good = answer(fake_first_id + 1, ANSWER_ADDRESSES, 2, false);
	assert_int_equal(dns_answered(&good), -1);
}

/* ---- chance ---- */

/* Whatever comes: nothing, or one well-formed answer that is no longer than allowed. */
static void
test_random(void **state)
{
	struct wire_answer	w;
	const uint8_t		*d;
	size_t			 len, i, n;
	unsigned int		 round;
	bool			 v6;

	(void)state;
	srand(1);
	for (round = 0; round < 200000; round++) {
		v6 = rand() % 2 != 0;
		query((uint16_t)rand(), rand() % 4 ? "wWw.example.com" : "a.b",
		    v6 ? TYPE_AAAA : TYPE_A);
		if (rand() % 2 != 0)
			edns((unsigned int)rand() % 5000, rand() % 16 == 0,
			    (unsigned int)rand() % 65536, "\0\3\0\2ab", 6);
		n = (size_t)rand() % 4;
		for (i = 0; i < n; i++)
			q[(size_t)rand() % qlen] = (uint8_t)(rand() % 3 ?
			    rand() : rand() % 2);
		if (rand() % 16 == 0)
			qlen = (size_t)rand() % (qlen + 8);
		send_from((uint16_t)(1 + rand() % 60000), v6);
		if (fake_nresolves == 1) {
			v6 = fake_qtype == TYPE_AAAA;
			w = answer(fake_first_id, fake_qtype == TYPE_A || v6 ?
			    ANSWER_ADDRESSES : ANSWER_NODATA,
			    fake_qtype == TYPE_A || v6 ?
			    1 + (uint32_t)rand() % 64 : 0, v6);
			assert_int_equal(dns_answered(&w), 0);
		}
		assert_true(fake_nsent <= 1);
		if (fake_nsent == 1) {
			check_sent(&fake_sent[0]);
			d = payload(0, &len);
			assert_true(dns_check(d, len, &seen));
			assert_true(len <= 4096);
			assert_int_equal(seen.id, get16(q));
			assert_true(seen.edns || len <= 512);
		}
		fake_forget();
	}
}

#define T(f)	cmocka_unit_test_setup_teardown(f, fake_reset, end_all)

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		T(test_ask), T(test_bytes), T(test_codes), T(test_refused),
		T(test_bytes_of_names), T(test_malformed), T(test_long_names),
		T(test_sizes), T(test_edns), T(test_duplicates), T(test_many),
		T(test_channel_full), T(test_late), T(test_nonsense),
		T(test_random),
	};
	int	failed;

	frame.base = event_base_new();
	fake_reset(NULL);
	dgram_room_init();
	dns_room_init();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	event_base_free(frame.base);
	return failed;
}
