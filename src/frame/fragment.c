/*
 * Fragments from the guest, put together again: a link of 1500 bytes makes some of
 * each datagram that is larger, and a guest that was told a path's MTU does.
 *
 * A guest's kernel sends them one behind the other and the link keeps their order, so
 * each must begin where the one before it has ended. Nothing is sorted, and nothing
 * can overlap or leave a hole: what does not fit ends its datagram. What is whole
 * becomes a frame and goes through the parser like one that came so.
 *
 * Trusts: packet_parse(): lengths and addresses. Must not: allocate, take anything
 * but UDP and echo requests, or keep more than FRAGMENT_SLOTS datagrams; the oldest goes.
 */
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include <string.h>

#include "bytes.h"
#include "frame.h"

#define IP4_HLEN	20
#define IP6_HLEN	40
#define HEAD_MIN	8		/* of UDP and of an echo request */
#define PATIENCE_MS	30000		/* RFC 1122 3.3.2: 60 s and more are for routers */

struct slot {
	bool		used;
	bool		v6;
	uint8_t		proto, ttl;
	uint32_t	id;
	struct endpoint	dst;
	uint32_t	n;		/* fragments, */
	uint32_t	have;		/* bytes of theirs */
	uint64_t	begun_ms;
	struct rxbuf	*buf;
};

#define BUF_SIZE	(sizeof(struct rxbuf) + RXBUF_SLACK + FRAME_MAX)
#define BUF_STRIDE	((BUF_SIZE + 15) / 16 * 16)

static struct slot		slots[FRAGMENT_SLOTS];
static _Alignas(16) uint8_t	room[FRAGMENT_SLOTS][BUF_STRIDE];

static size_t
head_len(const struct slot *s)
{
	return s->v6 ? IP6_HLEN : IP4_HLEN;
}

static uint8_t *
payload(const struct slot *s)
{
	return rxbuf_eth(s->buf) + ETH_LEN + head_len(s);
}

/* All of it is lost, and counted. */
static void
give_up(struct slot *s)
{
	for (; s->n > 0; s->n--)
		ask_drop(REASON_FRAGMENT);
	s->used = false;
}

static struct slot *
find(const struct packet *p)
{
	struct slot	*s;

	for (s = slots; s < slots + FRAGMENT_SLOTS; s++) {
		if (s->used && frame.now_ms - s->begun_ms > PATIENCE_MS)
			give_up(s);
		if (s->used && s->v6 == p->v6 && s->id == p->frag.id &&
		    s->proto == p->frag.proto && addr_equal(&s->dst, &p->dst))
			return s;
	}
	return NULL;
}

/* A free one, or the oldest. */
static struct slot *
begin(const struct packet *p)
{
	struct slot	*s, *best = slots;

	for (s = slots; s < slots + FRAGMENT_SLOTS && best->used; s++)
		if (!s->used || s->begun_ms < best->begun_ms)
			best = s;
	if (best->used)
		give_up(best);
	*best = (struct slot){ .used = true, .v6 = p->v6,
	    .proto = p->frag.proto, .ttl = p->ttl, .id = p->frag.id,
	    .dst = p->dst, .begun_ms = frame.now_ms };
	best->buf = (struct rxbuf *)(void *)room[best - slots];
	return best;
}

static bool
acceptable(const struct packet *p)
{
	const struct wire_lease	*lease = p->v6 ? &frame.config.v6 :
	    &frame.config.v4;

	if (p->frag.proto != IPPROTO_UDP &&
	    p->frag.proto != (p->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return false;
	if (p->buf->needs_csum || p->buf->gso_size != 0 ||
	    !addr_equal(&p->src, &lease->guest))
		return false;
	/* Only the last may be of any length, and the first has the header. */
	return p->frag.more ? p->frag.len > 0 && p->frag.len % 8 == 0 :
	    p->frag.at > 0 || p->frag.len >= HEAD_MIN;
}

static void
head_v4(const struct slot *s, uint8_t *h)
{
	uint16_t	sum;

	memset(h, 0, IP4_HLEN);
	h[0] = 0x45;
	put16(h + 2, IP4_HLEN + s->have);
	put16(h + 4, s->id);
	h[8] = s->ttl;
	h[9] = s->proto;
	memcpy(h + 12, frame.config.v4.guest.addr, 4);
	memcpy(h + 16, s->dst.addr, 4);
	sum = (uint16_t)~csum_fold(csum_add(0, h, IP4_HLEN));
	memcpy(h + 10, &sum, sizeof(sum));
}

static void
head_v6(const struct slot *s, uint8_t *h)
{
	memset(h, 0, IP6_HLEN);
	h[0] = 0x60;
	put16(h + 4, s->have);
	h[6] = s->proto;
	h[7] = s->ttl;
	memcpy(h + 8, frame.config.v6.guest.addr, 16);
	memcpy(h + 24, s->dst.addr, 16);
}

/* A request's first byte says so; RFC 6980: nothing of a LAN's own comes in pieces. */
static bool
is_wanted(const struct slot *s)
{
	return s->proto == IPPROTO_UDP ||
	    payload(s)[0] == (s->v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO);
}

static struct rxbuf *
finish(struct slot *s, const struct packet *p)
{
	struct rxbuf	*b = s->buf;
	uint8_t		*eth = rxbuf_eth(b);

	if (!is_wanted(s)) {
		give_up(s);
		return NULL;
	}
	s->used = false;
	memset(b, 0, sizeof(*b));
	memcpy(eth, p->eth, ETH_LEN);
	(s->v6 ? head_v6 : head_v4)(s, eth + ETH_LEN);
	b->len = (uint32_t)(ETH_LEN + head_len(s) + s->have);
	return b;
}

/*
 * A fragment with good addresses. The whole frame, if this was the last of one; it
 * lasts until the next call, and is not to be released.
 */
struct rxbuf *
fragment_take(const struct packet *p)
{
	struct slot	*s = find(p);

	if (s != NULL && (p->frag.at != s->have || !acceptable(p))) {
		give_up(s);
		s = NULL;
	}
	if (s == NULL && p->frag.at == 0 && acceptable(p))
		s = begin(p);
	if (s == NULL) {
		ask_drop(REASON_FRAGMENT);
		return NULL;
	}
	s->n++;
	if (p->frag.len > 65535 - head_len(s) - s->have) {
		give_up(s);
		return NULL;
	}
	memcpy(payload(s) + s->have, p->frag.data, p->frag.len);
	s->have += p->frag.len;
	return p->frag.more ? NULL : finish(s, p);
}
