/*
 * DNS messages: asked, and judged. See message.h.
 *
 * An answer is believed about the name that was asked only: an address counts
 * if its owner is that name, or what a chain of CNAMEs in the same answer leads
 * to. Of the authority section a "no" takes how long it lasts, and nothing else;
 * the additional section is not looked at.
 *
 * Trusts: nothing; every byte may be an enemy's.
 * Must not: allocate, or do work that is not bounded by the constants below.
 */
#include <string.h>
#include <strings.h>

#include "message.h"

#define FLAG_QR		0x80		/* byte 2 */
#define FLAG_OPCODE	0x78
#define FLAG_AA		0x04
#define FLAG_TC		0x02
#define FLAG_RD		0x01
#define FLAG_RA		0x80		/* byte 3 */
#define RCODE_MASK	0x0f
#define RCODE_NOERROR	0
#define RCODE_NXDOMAIN	3
#define CLASS_IN	1
#define TYPE_NS		2
#define TYPE_CNAME	5
#define TYPE_SOA	6
#define SOA_NUMBERS	20		/* bytes, behind its two names */
#define RR_FIXED	10		/* type, class, TTL, length */
#define RECORDS_MAX	1024		/* of an answer that are looked at */
/*
 * Seconds that a "no" lasts at most. Names come into being and are asked for at
 * once; libunbound's cache is given the same ("cache-max-negative-ttl:").
 */
#define NEGATIVE_MAX	60u
/* A name has at most 127 labels, and between two pointers stands one or more. */
#define HOPS_MAX	127

struct message {
	const uint8_t	*at;
	size_t		 len;
	size_t		 answers;	/* where they begin */
	unsigned int	 count;		/* how many, of those that are looked at */
	bool		 rest;		/* there are others */
	unsigned int	 authority;	/* how many follow them there */
	unsigned int	 rcode;
	bool		 served;	/* RA or AA: the server does this for us */
};

struct rr {
	size_t		owner;		/* offset of its name */
	unsigned int	type, class;
	uint32_t	ttl;
	size_t		data, len;
};

static unsigned int
get16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

static void
put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

size_t
message_ask(uint8_t out[MESSAGE_ASK_MAX], uint16_t id, const struct name *name,
    uint32_t qtype, const uint8_t caps[CAPS_BYTES])
{
	uint8_t	*p = out + MESSAGE_HEAD;
	size_t	 i, n;

	memset(out, 0, MESSAGE_HEAD);
	put16(out, id);
	out[2] = FLAG_RD;
	out[5] = 1;			/* one question */
	n = name_to_wire(name, p);
	/* a length byte is below 64 and so is no letter */
	for (i = 0; i < n; i++)
		if (p[i] >= 'a' && p[i] <= 'z' && (caps[i / 8] >> i % 8 & 1))
			p[i] = (uint8_t)(p[i] - 'a' + 'A');
	put16(p + n, qtype);
	put16(p + n + 2, CLASS_IN);
	return MESSAGE_HEAD + n + 4;
}

size_t
message_ask_root(uint8_t out[MESSAGE_ASK_MAX], uint16_t id)
{
	memset(out, 0, MESSAGE_HEAD + 1);	/* and the root's name */
	put16(out, id);
	out[2] = FLAG_RD;
	out[5] = 1;
	put16(out + MESSAGE_HEAD + 1, TYPE_NS);
	put16(out + MESSAGE_HEAD + 3, CLASS_IN);
	return MESSAGE_HEAD + 5;
}

void
message_set_id(uint8_t *ask, uint16_t id)
{
	put16(ask, id);
}

uint16_t
message_id(const uint8_t *m)
{
	return (uint16_t)get16(m);
}

bool
message_fits(const uint8_t *m, size_t len, const uint8_t *ask, size_t asklen)
{
	return len >= asklen && memcmp(m, ask, 2) == 0 &&
	    (m[2] & (FLAG_QR | FLAG_OPCODE)) == FLAG_QR && get16(m + 4) == 1 &&
	    memcmp(m + MESSAGE_HEAD, ask + MESSAGE_HEAD,
	    asklen - MESSAGE_HEAD) == 0;
}

bool
message_cut(const uint8_t *m)
{
	return (m[2] & FLAG_TC) != 0;
}

/* Moves *at behind a name, without following it. */
static bool
skip_name(const struct message *m, size_t *at)
{
	size_t	pos = *at;
	uint8_t	c;

	for (;;) {
		if (pos >= m->len)
			return false;
		c = m->at[pos];
		if (c == 0 || c > NAME_LABEL_MAX)
			break;
		pos += 1u + c;
	}
	*at = pos + (c == 0 ? 1 : 2);
	return *at <= m->len && (c == 0 || c >= 0xc0);
}

/*
 * A name with its pointers followed, in wire form. Each pointer leads to a place
 * before the piece it stands in, so there is no way round (RFC 1035, 4.1.4).
 */
static bool
expand(const struct message *m, size_t at, uint8_t out[NAME_WIRE_MAX],
    size_t *outlen)
{
	size_t		limit = at, n = 0;
	unsigned int	hops = 0;
	uint8_t		c;

	for (;;) {
		if (at >= m->len)
			return false;
		c = m->at[at];
		if (c >= 0xc0) {
			if (m->len - at < 2 || ++hops > HOPS_MAX)
				return false;
			at = get16(m->at + at) & 0x3fff;
			if (at < MESSAGE_HEAD || at >= limit)
				return false;
			limit = at;
			continue;
		}
		if (c > NAME_LABEL_MAX || c >= m->len - at ||
		    n + 1u + c > NAME_WIRE_MAX)
			return false;
		memcpy(out + n, m->at + at, 1u + c);
		n += 1u + c;
		at += 1u + c;
		if (c == 0)
			break;
	}
	*outlen = n;
	return true;
}

/* False too if the name is no host name: then it is none that was asked for. */
static bool
host_name(const struct message *m, size_t at, struct name *out)
{
	uint8_t	wire[NAME_WIRE_MAX];
	size_t	n;

	return expand(m, at, wire, &n) && name_from_wire(wire, n, out) == (int)n;
}

static bool
next_rr(const struct message *m, size_t *at, struct rr *rr)
{
	const uint8_t	*p;
	size_t		 pos = *at;

	rr->owner = pos;
	if (!skip_name(m, &pos) || m->len - pos < RR_FIXED)
		return false;
	p = m->at + pos;
	rr->type = get16(p);
	rr->class = get16(p + 2);
	rr->ttl = (uint32_t)get16(p + 4) << 16 | get16(p + 6);
	if (rr->ttl > INT32_MAX)	/* RFC 2181, 8 */
		rr->ttl = 0;
	rr->len = get16(p + 8);
	rr->data = pos + RR_FIXED;
	*at = rr->data + rr->len;
	return *at <= m->len;
}

static bool
open_message(struct message *m, const uint8_t *p, size_t len,
    const struct name *name, uint32_t qtype)
{
	struct name	asked;
	size_t		at = MESSAGE_HEAD;

	m->at = p;
	m->len = len;
	if (len < MESSAGE_HEAD || (p[2] & (FLAG_QR | FLAG_OPCODE)) != FLAG_QR ||
	    message_cut(p) || get16(p + 4) != 1)
		return false;
	m->rcode = p[3] & RCODE_MASK;
	m->served = (p[3] & FLAG_RA) != 0 || (p[2] & FLAG_AA) != 0;
	m->count = get16(p + 6);
	m->rest = m->count > RECORDS_MAX;
	if (m->rest)
		m->count = RECORDS_MAX;
	m->authority = get16(p + 8);
	if (!host_name(m, at, &asked) || !name_equal(&asked, name) ||
	    !skip_name(m, &at) || len - at < 4 || get16(p + at) != qtype ||
	    get16(p + at + 2) != CLASS_IN)
		return false;
	m->answers = at + 4;
	return m->rcode == RCODE_NOERROR || m->rcode == RCODE_NXDOMAIN;
}

static void
lower_ttl(struct resolver_answer *a, const struct rr *rr)
{
	if (rr->ttl < a->ttl)
		a->ttl = rr->ttl;
}

/* An address at the end of the chain; doubles are left out, and what is over. */
static bool
take_address(const struct message *m, const struct rr *rr,
    struct resolver_answer *a)
{
	const uint8_t	*p = m->at + rr->data;
	struct endpoint	 e;
	uint32_t	 i;

	if (rr->len != (rr->type == RESOLVE_A ? 4u : 16u))
		return false;
	e = rr->type == RESOLVE_A ? endpoint_v4((uint32_t)get16(p) << 16 |
	    get16(p + 2), 0) : endpoint_v6(p, 0);
	lower_ttl(a, rr);
	for (i = 0; i < a->n; i++)
		if (endpoint_equal(&a->addr[i], &e))
			return true;
	if (a->n < ANSWER_MAX)
		a->addr[a->n++] = e;
	else
		a->more = 1;
	return true;
}

/* The target is where the record's data end, and no second one contradicts. */
static bool
take_alias(const struct message *m, const struct rr *rr, struct name *alias,
    struct resolver_answer *a)
{
	struct name	target;
	size_t		end = rr->data;

	if (!host_name(m, rr->data, &target) || !skip_name(m, &end) ||
	    end != rr->data + rr->len ||
	    (alias->len != 0 && !name_equal(alias, &target)))
		return false;
	*alias = target;
	lower_ttl(a, rr);
	return true;
}

/* All that the answer says about `owner`. False: it is no answer. */
static bool
look(const struct message *m, const struct name *owner, uint32_t qtype,
    struct name *alias, struct resolver_answer *a)
{
	struct name	here;
	struct rr	rr;
	size_t		at = m->answers;
	unsigned int	i;

	memset(alias, 0, sizeof(*alias));
	for (i = 0; i < m->count; i++) {
		if (!next_rr(m, &at, &rr))
			return false;
		if (rr.class != CLASS_IN ||
		    (rr.type != TYPE_CNAME && rr.type != qtype) ||
		    !host_name(m, rr.owner, &here) || !name_equal(&here, owner))
			continue;
		if (rr.type == TYPE_CNAME ? !take_alias(m, &rr, alias, a) :
		    !take_address(m, &rr, a))
			return false;
	}
	return alias->len == 0 || a->n == 0;	/* RFC 1034, 3.6.2: one or the other */
}

static bool
follow(const struct message *m, const struct name *name, uint32_t qtype,
    struct resolver_answer *a)
{
	struct name	at = *name, alias;

	for (;;) {
		if (!look(m, &at, qtype, &alias, a))
			return false;
		if (alias.len == 0)
			return true;
		if (a->nchain == RESOLVE_CHAIN_MAX)
			return false;
		a->chain[a->nchain++] = at = alias;
	}
}

/* Is the name there this one, or does it end in the labels of that? */
static bool
encloses(const struct message *m, size_t at, const struct name *name)
{
	uint8_t	zone[NAME_WIRE_MAX], wire[NAME_WIRE_MAX];
	size_t	n, len = name_to_wire(name, wire), skip = 0;

	if (!expand(m, at, zone, &n) || n > len)
		return false;
	while (len - skip > n)
		skip += 1u + wire[skip];
	/* a length byte is below 64 and so is no letter */
	return len - skip == n && strncasecmp((const char *)zone,
	    (const char *)wire + skip, n) == 0;
}

/* The zone's own word for how long a "no" lasts: RFC 2308, 5. */
static bool
soa_ttl(const struct message *m, const struct rr *rr, uint32_t *ttl)
{
	const uint8_t	*p = m->at + rr->data + rr->len - 4;
	size_t		 at = rr->data;
	uint32_t	 minimum;

	if (!skip_name(m, &at) || !skip_name(m, &at) ||
	    at + SOA_NUMBERS != rr->data + rr->len)
		return false;
	minimum = (uint32_t)get16(p) << 16 | get16(p + 2);
	*ttl = minimum < rr->ttl ? minimum : rr->ttl;
	return true;
}

/* Of a "no" about `name`. 0, do not keep it: nothing there says otherwise. */
static uint32_t
negative_ttl(const struct message *m, const struct name *name)
{
	struct rr	rr;
	size_t		at = m->answers;
	uint32_t	ttl;
	unsigned int	i;

	for (i = 0; i < m->count + m->authority && i < RECORDS_MAX; i++) {
		if (!next_rr(m, &at, &rr))
			return 0;
		if (i >= m->count && rr.type == TYPE_SOA &&
		    rr.class == CLASS_IN && encloses(m, rr.owner, name) &&
		    soa_ttl(m, &rr, &ttl))
			return ttl < NEGATIVE_MAX ? ttl : NEGATIVE_MAX;
	}
	return 0;
}

/* The chain's own TTLs count, too. */
static void
limit_negative(const struct message *m, const struct name *name,
    struct resolver_answer *a)
{
	uint32_t	ttl = negative_ttl(m, a->nchain > 0 ?
			    &a->chain[a->nchain - 1] : name);

	if (ttl < a->ttl)
		a->ttl = ttl;
}

void
message_read(const uint8_t *p, size_t len, const struct name *name,
    uint32_t qtype, struct resolver_answer *a)
{
	struct message	m = { .answers = 0 };

	memset((uint8_t *)a + sizeof(a->head), 0, sizeof(*a) - sizeof(a->head));
	a->ttl = UINT32_MAX;
	if (open_message(&m, p, len, name, qtype) &&
	    follow(&m, name, qtype, a)) {
		a->more |= m.rest;
		if (a->n > 0)
			a->status = m.rcode == RCODE_NOERROR ? RESOLVED : 0;
		else if (m.rest)
			a->status = 0;	/* among those, perhaps */
		else if (m.rcode == RCODE_NXDOMAIN)
			a->status = RESOLVE_NXDOMAIN;
		else
			a->status = m.served ? RESOLVE_NODATA : 0;
		if (a->n == 0)
			limit_negative(&m, name, a);
	}
	if (a->status == 0) {
		memset((uint8_t *)a + sizeof(a->head), 0,
		    sizeof(*a) - sizeof(a->head));
		a->status = RESOLVE_FAILED;
	}
	if (m.answers != 0)		/* it is about this question */
		a->rcode = 1 + m.rcode;
}
