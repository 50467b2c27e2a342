/*
 * DNS messages (RFC 1035, 4; RFC 6891): a guest's question in, an answer out. Pure.
 *
 * One question of class IN, perhaps an OPT record, and not a byte more. What else
 * there is in the world of DNS gets the code that says so, which is what makes a
 * stub resolver stop instead of trying again.
 *
 * An answer has addresses only, all owned by the question's name: a chain of
 * CNAMEs was followed by the resolver and is in the log. The question goes back
 * byte by byte, because its case is a stub's nonce ("0x20"). A negative answer
 * has a SOA record, without which it may not be kept (RFC 2308, 5); the root owns
 * it, which is above every name.
 *
 * Trusts: nothing of the guest's; that addresses are of the type asked for.
 * Must not: follow a compression pointer, or write more than it was given room for.
 */
#include <string.h>

#include "bytes.h"
#include "dns.h"

/* RFC 1035 4.1.1, RFC 4035 3.2: of the header's third and fourth byte */
enum { QR = 0x80, OPCODE = 0x78, TC = 0x02, RD = 0x01, RA = 0x80, CD = 0x10 };

#define CLASS_IN	1
#define TYPE_SOA	6
#define TYPE_OPT	41
#define LABEL_MAX	63
#define OPT_LEN		11		/* without options */
#define DO_BIT		0x80		/* RFC 3225, 3 */
#define EDE_LEN		6		/* an option with nothing but its code */
#define EDE		15		/* RFC 8914, 5.1 */
#define RR_LEN		12		/* a pointer to the question, up to its data */
#define TTL_MAX		0x7fffffffu	/* RFC 2181, 8 */

/* ---- the question ---- */

/* Name, type and class; 0: cut short, compressed or too long. */
static size_t
question_length(const uint8_t *q, size_t len)
{
	size_t	at = 0;

	while (at < len && q[at] != 0) {
		if (q[at] > LABEL_MAX)
			return 0;
		at += q[at] + 1u;
	}
	if (at >= NAME_WIRE_MAX || at >= len || len - at < 5)
		return 0;
	return at + 5;
}

static bool
options_whole(const uint8_t *o, size_t len)
{
	size_t	n;

	while (len > 0) {
		if (len < 4 || (n = get16(o + 2)) > len - 4)
			return false;
		o += 4 + n;
		len -= 4 + n;
	}
	return true;
}

/* All that is behind the question must be one OPT record (RFC 6891, 6.1.2). */
static bool
parse_opt(const uint8_t *o, size_t len, struct dns_query *q)
{
	uint16_t	size;

	if (len < OPT_LEN || o[0] != 0 || get16(o + 1) != TYPE_OPT ||
	    get16(o + 9) != len - OPT_LEN ||
	    !options_whole(o + OPT_LEN, len - OPT_LEN))
		return false;
	size = get16(o + 3);
	if (size > DNS_UDP_MIN)
		q->size = size < DNS_UDP_MAX ? size : DNS_UDP_MAX;
	q->edns = true;
	q->dnssec_ok = (o[7] & DO_BIT) != 0;
	if (o[6] != 0)
		q->rcode = DNS_BADVERS;
	return true;
}

/* A message that cannot be read has no question to echo. */
static enum dns_verdict
refuse(struct dns_query *q, enum dns_rcode rcode)
{
	q->rcode = rcode;
	if (rcode == DNS_FORMERR || rcode == DNS_NOTIMP) {
		q->len = 0;
		q->edns = false;
	}
	return DNS_REPLY;
}

static bool
parse_sections(const uint8_t *m, size_t len, struct dns_query *q)
{
	size_t		n = question_length(m + DNS_HLEN, len - DNS_HLEN);
	uint16_t	additional = get16(m + 10);

	if (get16(m + 4) != 1 || get16(m + 6) != 0 || get16(m + 8) != 0 ||
	    additional > 1 || n == 0)
		return false;
	q->len = (uint16_t)n;
	memcpy(q->question, m + DNS_HLEN, n);
	q->qtype = get16(q->question + n - 4);
	m += DNS_HLEN + n;
	len -= DNS_HLEN + n;
	return additional == 1 ? parse_opt(m, len, q) : len == 0;
}

enum dns_verdict
dns_parse(const uint8_t *m, size_t len, struct dns_query *q)
{
	struct name	name;

	memset(q, 0, sizeof(*q));
	q->size = DNS_UDP_MIN;
	if (len < DNS_HLEN || (m[2] & QR) != 0)
		return DNS_DROP;
	q->id = get16(m);
	q->head[0] = m[2] & (OPCODE | RD);
	q->head[1] = m[3] & CD;
	if ((m[2] & OPCODE) != 0)
		return refuse(q, DNS_NOTIMP);
	if (!parse_sections(m, len, q))
		return refuse(q, DNS_FORMERR);
	if (q->rcode != DNS_NOERROR)
		return DNS_REPLY;
	if (get16(q->question + q->len - 2) != CLASS_IN)
		return refuse(q, DNS_REFUSED);
	if (name_from_wire(q->question, q->len, &name) != -1)
		return DNS_ASK;
	/* The root exists: were it denied, so would be all below (RFC 8020). */
	q->rcode = q->question[0] == 0 ? DNS_NOERROR : DNS_NXDOMAIN;
	return DNS_NO_NAME;
}

/* ---- the answer ---- */

static size_t
opt_length(const struct dns_query *q, const struct dns_answer *a)
{
	if (!q->edns)
		return 0;
	return a->ede != 0 ? OPT_LEN + EDE_LEN : OPT_LEN;
}

static size_t
put_opt(const struct dns_query *q, const struct dns_answer *a, uint8_t *o)
{
	size_t	len = opt_length(q, a);

	if (len == 0)
		return 0;
	memset(o, 0, len);
	put16(o + 1, TYPE_OPT);
	put16(o + 3, DNS_UDP_MAX);
	o[5] = (uint8_t)(a->rcode >> 4);
	o[7] = q->dnssec_ok ? DO_BIT : 0;
	put16(o + 9, (unsigned int)(len - OPT_LEN));
	if (a->ede != 0) {
		put16(o + OPT_LEN, EDE);
		put16(o + OPT_LEN + 2, EDE_LEN - 4);
		put16(o + OPT_LEN + 4, a->ede);
	}
	return len;
}

static uint32_t
ttl_of(const struct dns_answer *a)
{
	return a->ttl < TTL_MAX ? a->ttl : TTL_MAX;
}

/*
 * The root's SOA, and the root for its two names; of its five numbers the last
 * and the record's TTL are how long a "no" may be kept.
 */
static size_t
put_soa(const struct dns_answer *a, uint8_t *o)
{
	enum { OWNER_TO_DATA = 11, DATA = 22 };

	memset(o, 0, OWNER_TO_DATA + DATA);
	put16(o + 1, TYPE_SOA);
	put16(o + 3, CLASS_IN);
	put32(o + 5, ttl_of(a));
	put16(o + 9, DATA);
	put32(o + OWNER_TO_DATA + 2, 1);		/* serial */
	put32(o + OWNER_TO_DATA + DATA - 4, ttl_of(a));
	return OWNER_TO_DATA + DATA;
}

static size_t
put_address(const struct dns_query *q, const struct dns_answer *a,
    uint32_t nth, uint8_t *o)
{
	unsigned int	len = q->qtype == DNS_TYPE_A ? 4 : 16;

	put16(o, 0xc000 | DNS_HLEN);	/* the question's name (4.1.4) */
	put16(o + 2, q->qtype);
	put16(o + 4, CLASS_IN);
	put32(o + 6, ttl_of(a));
	put16(o + 10, len);
	memcpy(o + RR_LEN, a->addr[nth].addr, len);
	return RR_LEN + len;
}

/*
 * As many addresses as there is room for. The rest is to be asked for by TCP,
 * but a stub that cannot do that has something to begin with (RFC 2181, 9).
 */
static uint32_t
addresses_that_fit(const struct dns_query *q, const struct dns_answer *a,
    size_t room)
{
	size_t	fit = room / (RR_LEN + (q->qtype == DNS_TYPE_A ? 4 : 16));

	return fit < a->n ? (uint32_t)fit : a->n;
}

static void
put_head(const struct dns_query *q, const struct dns_answer *a,
    uint32_t n, bool negative, uint8_t *o)
{
	memset(o, 0, DNS_HLEN);
	put16(o, q->id);
	o[2] = (uint8_t)(QR | q->head[0] | (n < a->n ? TC : 0));
	o[3] = (uint8_t)(RA | q->head[1] | (a->rcode & 15));
	put16(o + 4, q->len > 0);
	put16(o + 6, n);
	put16(o + 8, negative);
	put16(o + 10, q->edns);
}

size_t
dns_write(const struct dns_query *q, const struct dns_answer *a, uint8_t *out,
    size_t size)
{
	bool		negative = a->rcode == DNS_NXDOMAIN ||
			    (a->rcode == DNS_NOERROR && a->n == 0);
	size_t		at = DNS_HLEN;
	uint32_t	n, i;

	memcpy(out + at, q->question, q->len);
	at += q->len;
	n = addresses_that_fit(q, a, size - at - opt_length(q, a));
	put_head(q, a, n, negative, out);
	for (i = 0; i < n; i++)
		at += put_address(q, a, i, out + at);
	if (negative)
		at += put_soa(a, out + at);
	return at + put_opt(q, a, out + at);
}
