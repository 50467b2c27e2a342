/*
 * Community ID version 1 (the open flow-hashing specification used by Zeek,
 * Suricata and others): the same text for both directions of a flow, so that a
 * record can be joined with what other sensors saw.
 *
 * base64(SHA-1(seed 0, low address, high address, protocol, 0, its port, the
 * other's port)); for echo the ports are the types of request and reply.
 *
 * Trusts: endpoint_valid() held. Must not: guess; a half-known flow has no id.
 */
#include <sha1.h>
#include <string.h>

#include "recorder.h"

#define IPPROTO_NUM_ICMP	1
#define IPPROTO_NUM_ICMPV6	58

struct side {
	uint8_t		addr[16];
	uint16_t	port;
};

/* RFC 792 and RFC 4443: types of echo request and reply. */
static uint8_t
protocol(uint32_t proto, bool v6, struct side *src, struct side *dst)
{
	if (proto != PROTO_ECHO)
		return (uint8_t)proto;
	src->port = v6 ? 128 : 8;
	dst->port = v6 ? 129 : 0;
	return v6 ? IPPROTO_NUM_ICMPV6 : IPPROTO_NUM_ICMP;
}

static bool
in_order(const struct side *a, const struct side *b, size_t len)
{
	int	c = memcmp(a->addr, b->addr, len);

	return c < 0 || (c == 0 && a->port <= b->port);
}

static void
base64(char *out, const uint8_t in[SHA1_DIGEST_LENGTH])
{
	static const char	digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t			i;
	uint32_t		v;

	for (i = 0; i < SHA1_DIGEST_LENGTH; i += 3) {
		v = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8;
		if (i + 2 < SHA1_DIGEST_LENGTH)
			v |= in[i + 2];
		*out++ = digit[v >> 18];
		*out++ = digit[v >> 12 & 63];
		*out++ = digit[v >> 6 & 63];
		*out++ = digit[v & 63];
	}
	out[-1] = '=';		/* 20 bytes: the last group has two */
}

static uint8_t *
put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

bool
community_id(char out[COMMUNITY_LEN], uint32_t proto,
    const struct endpoint *src, const struct endpoint *dst)
{
	struct side	a = { .port = src->port }, b = { .port = dst->port };
	const struct side *lo = &a, *hi = &b;
	size_t		len = src->family == ADDR_V6 ? 16 : 4;
	uint8_t		text[40] = { 0 }, digest[SHA1_DIGEST_LENGTH], *p;
	SHA1_CTX	ctx;

	if (src->family == ADDR_NONE || src->family != dst->family ||
	    proto == PROTO_NONE)
		return false;
	memcpy(a.addr, src->addr, len);
	memcpy(b.addr, dst->addr, len);
	p = text + 2;			/* the seed */
	proto = protocol(proto, len == 16, &a, &b);
	if (!in_order(&a, &b, len)) {
		lo = &b;
		hi = &a;
	}
	memcpy(p, lo->addr, len);
	memcpy(p + len, hi->addr, len);
	p += 2 * len;
	*p++ = (uint8_t)proto;
	*p++ = 0;
	p = put16(put16(p, lo->port), hi->port);
	SHA1Init(&ctx);
	SHA1Update(&ctx, text, (size_t)(p - text));
	SHA1Final(digest, &ctx);
	out[0] = '1';
	out[1] = ':';
	base64(out + 2, digest);
	return true;
}
