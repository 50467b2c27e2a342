/*
 * The gateway's DNS parser and writer, and the framing of a first flight: the two
 * places where a guest's bytes are looked at beyond TCP.
 *
 * Input: { what, how many addresses, size (2 bytes), message }.
 *   what & 3: 0, 1  a question; then its answer is written and read again
 *             2     a TLS flight      3  a HTTP flight
 *   what >> 2: the answer's code
 */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "dns.h"
#include "dns_check.h"
#include "flight.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define OUT_MAX		(DNS_UDP_MIN + 4096)
#define CHECK(x)	do { if (!(x)) abort(); } while (0)

static void
check_answer(const struct dns_query *q, const struct dns_answer *a,
    const uint8_t *out, size_t len, size_t size)
{
	struct dns_seen	seen;

	CHECK(len <= size && dns_check(out, len, &seen));
	CHECK(seen.id == q->id && seen.rcode == (a->rcode & (q->edns ?
	    0xfffu : 15u)));
	CHECK(seen.question == q->len && seen.edns == q->edns);
	CHECK(memcmp(out + 12, q->question, q->len) == 0);
	CHECK(seen.tc == (seen.answers < a->n) && seen.answers <= a->n);
	CHECK(seen.answers == a->n || len + 28 > size);
	CHECK(a->n == 0 || seen.soa == 0);
	CHECK(seen.ede == (a->ede != 0 && q->edns ? a->ede + 1u : 0));
}

static void
answer(const struct dns_query *q, enum dns_rcode rcode, uint16_t ede,
    uint32_t n, size_t size)
{
	static struct endpoint	addr[ANSWER_MAX];
	struct dns_answer	a = {
		.rcode = rcode, .ede = ede, .ttl = 60, .n = n,
		.addr = addr,
	};
	static uint8_t		*buf;
	uint8_t			*out;

	/* it ends where the buffer does, for the sanitizer */
	if (buf == NULL)
		CHECK((buf = malloc(OUT_MAX)) != NULL);
	out = buf + OUT_MAX - size;
	check_answer(q, &a, out, dns_write(q, &a, out, size), size);
}

static void
question(uint8_t what, uint32_t n, uint16_t size, const uint8_t *m, size_t len)
{
	static const enum dns_rcode	codes[] = {
		DNS_NOERROR, DNS_NXDOMAIN, DNS_SERVFAIL, DNS_REFUSED
	};
	struct dns_query		q;
	struct name			name;
	enum dns_verdict		v = dns_parse(m, len, &q);
	enum dns_rcode			rcode = codes[what >> 2 & 3];

	if (v == DNS_DROP)
		return;
	CHECK(q.size >= DNS_UDP_MIN && q.size <= DNS_UDP_MAX);
	if (v != DNS_ASK) {
		answer(&q, q.rcode, 0, 0, q.size);
		return;
	}
	CHECK(name_from_wire(q.question, q.len, &name) == q.len - 4);
	CHECK(name_valid(&name));
	if (rcode != DNS_NOERROR ||
	    (q.qtype != DNS_TYPE_A && q.qtype != DNS_TYPE_AAAA))
		n = 0;
	answer(&q, rcode, rcode == DNS_NXDOMAIN && (what & 16) != 0 ? 15 : 0, n,
	    size % 2 ? q.size : DNS_UDP_MIN + size % 4096);
}

/* However it is cut, it is whole at the same byte, and stays so. */
static void
flight(enum peek_kind kind, size_t part, const uint8_t *p, size_t len)
{
	struct flight	a, b;
	size_t		i, at = SIZE_MAX;

	flight_start(&a, kind);
	for (i = 0; i < len; i++)
		if (flight_whole(&a, p + i, 1) && at == SIZE_MAX)
			at = i;
	flight_start(&b, kind);
	for (i = 0; i < len; i += part)
		CHECK(flight_whole(&b, p + i, len - i < part ? len - i :
		    part) == (at < i + part));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 4)
		return 0;
	if ((data[0] & 2) == 0)
		question(data[0], (data[1] * 5u) % (ANSWER_MAX + 1), get16(data + 2),
		    data + 4, len - 4);
	else
		flight(data[0] & 1 ? PEEK_HTTP : PEEK_TLS, 1u + data[1],
		    data + 4, len - 4);
	return 0;
}
