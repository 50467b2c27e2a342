/*
 * Packets to the guest whose headers are made here: datagrams, echo replies,
 * errors, answers of the gateway. (TCP makes its own: netif.c.)
 *
 * Trusts: its callers. Must not: send to anybody but the guest, or send a packet
 * larger than the guest's MTU.
 */
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>

#include <string.h>

#include "bytes.h"
#include "frame.h"

#define IP4_HLEN	20
#define IP6_HLEN	40
#define FRAG6_HLEN	8	/* RFC 8200 4.5 */
#define IP4_MF		0x2000
#define IP4_DF		0x4000
#define OUT_TTL		64	/* RFC 1700, and what Linux sends */
#define NDP_TTL		255	/* RFC 4861: proves that no router was crossed */
#define OUT_IOV_MAX	8

/* One packet to send; the L4 header and payload are in l4[0..n). */
struct out {
	const struct endpoint	*src, *dst;
	struct iovec		*l4;
	unsigned int		 n;
	size_t			 len;		/* of all l4 */
	uint8_t			 proto;
	bool			 v6;
	uint8_t			 ttl;
};

static size_t
iov_length(const struct iovec *iov, unsigned int n)
{
	size_t		len = 0;
	unsigned int	i;

	for (i = 0; i < n; i++)
		len += iov[i].iov_len;
	return len;
}

/* The parts of `in` that hold bytes off..off+len; returns how many. */
static unsigned int
iov_slice(const struct iovec *in, unsigned int n, size_t off, size_t len,
    struct iovec *out)
{
	unsigned int	i, k = 0;
	size_t		part;

	for (i = 0; i < n && len > 0; i++) {
		if (off >= in[i].iov_len) {
			off -= in[i].iov_len;
			continue;
		}
		part = in[i].iov_len - off;
		if (part > len)
			part = len;
		out[k].iov_base = (uint8_t *)in[i].iov_base + off;
		out[k++].iov_len = part;
		len -= part;
		off = 0;
	}
	return k;
}

/* `frag`: the flags and offset word; `id` matters only to fragments. */
static size_t
put_v4(uint8_t *h, const struct out *o, size_t payload, uint16_t id,
    unsigned int frag)
{
	uint16_t	sum;

	memset(h, 0, IP4_HLEN);
	h[0] = 0x45;
	put16(h + 2, (unsigned int)(IP4_HLEN + payload));
	put16(h + 4, id);
	put16(h + 6, frag);
	h[8] = o->ttl;
	h[9] = o->proto;
	memcpy(h + 12, o->src->addr, 4);
	memcpy(h + 16, o->dst->addr, 4);
	sum = (uint16_t)~csum_fold(csum_add(0, h, IP4_HLEN));
	memcpy(h + 10, &sum, sizeof(sum));
	return IP4_HLEN;
}

static size_t
put_v6(uint8_t *h, const struct out *o, size_t payload, uint8_t next)
{
	memset(h, 0, IP6_HLEN);
	h[0] = 0x60;
	put16(h + 4, (unsigned int)payload);
	h[6] = next;
	h[7] = o->ttl;
	memcpy(h + 8, o->src->addr, 16);
	memcpy(h + 24, o->dst->addr, 16);
	return IP6_HLEN;
}

static size_t
put_ether(uint8_t *h, bool v6)
{
	memcpy(h, frame.guest_mac, 6);
	memcpy(h + 6, frame.config.gateway_mac, 6);
	put16(h + 12, v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
	return ETH_LEN;
}

static uint64_t
pseudo(const struct out *o)
{
	/* ICMP for IPv4 is the one that has none (RFC 792). */
	if (o->proto == IPPROTO_ICMP)
		return 0;
	return csum_pseudo(o->v6, o->src->addr, o->dst->addr, o->proto,
	    (uint32_t)o->len);
}

static void
put_csum(const struct out *o, size_t offset)
{
	uint8_t		*field = (uint8_t *)o->l4[0].iov_base + offset;
	uint16_t	 sum;

	memset(field, 0, sizeof(sum));
	sum = (uint16_t)~csum_fold(csum_iov(pseudo(o), o->l4, o->n));
	/* Zero would say that there is none (RFC 768). */
	if (sum == 0 && o->proto == IPPROTO_UDP)
		sum = 0xffff;
	memcpy(field, &sum, sizeof(sum));
}

static int
send_whole(const struct out *o, const struct tx_offload *off)
{
	uint8_t		head[ETH_LEN + IP6_HLEN];
	struct iovec	iov[1 + OUT_IOV_MAX];
	size_t		len;

	len = put_ether(head, o->v6);
	if (o->v6)
		len += put_v6(head + len, o, o->len, o->proto);
	else
		/* An atomic datagram needs no id (RFC 6864 4.1). */
		len += put_v4(head + len, o, o->len, 0, IP4_DF);
	iov[0].iov_base = head;
	iov[0].iov_len = len;
	memcpy(iov + 1, o->l4, o->n * sizeof(*iov));
	return link_send(iov, 1 + o->n, off);
}

static int
send_fragment(const struct out *o, uint32_t id, size_t at, size_t part)
{
	static const struct tx_offload	none;
	uint8_t		head[ETH_LEN + IP6_HLEN + FRAG6_HLEN];
	struct iovec	iov[1 + OUT_IOV_MAX];
	size_t		len;
	bool		more = at + part < o->len;

	len = put_ether(head, o->v6);
	if (o->v6) {
		len += put_v6(head + len, o, FRAG6_HLEN + part,
		    IPPROTO_FRAGMENT);
		head[len] = o->proto;
		head[len + 1] = 0;
		put16(head + len + 2, (unsigned int)at | (more ? 1 : 0));
		put32(head + len + 4, id);
		len += FRAG6_HLEN;
	} else
		len += put_v4(head + len, o, part, (uint16_t)id,
		    (unsigned int)(at / 8) | (more ? IP4_MF : 0));
	iov[0].iov_base = head;
	iov[0].iov_len = len;
	return link_send(iov, 1 + iov_slice(o->l4, o->n, at, part, iov + 1),
	    &none);
}

static int
send_fragments(const struct out *o)
{
	size_t		at, part, room;
	uint32_t	id = rand_u32();

	room = frame.config.mtu - (o->v6 ? IP6_HLEN + FRAG6_HLEN : IP4_HLEN);
	room &= ~(size_t)7;
	for (at = 0; at < o->len; at += part) {
		part = o->len - at < room ? o->len - at : room;
		if (send_fragment(o, id, at, part) == -1)
			return -1;
	}
	return 0;
}

static uint8_t
hop_limit(const struct out *o)
{
	const uint8_t	*type = o->l4[0].iov_base;

	return o->proto == IPPROTO_ICMPV6 && *type >= ND_ROUTER_SOLICIT &&
	    *type <= ND_REDIRECT ? NDP_TTL : OUT_TTL;
}

int
packet_send(const struct endpoint *src, const struct endpoint *dst,
    uint8_t proto, struct iovec *l4, unsigned int n, size_t csum_offset)
{
	struct out		o;
	struct tx_offload	off;
	size_t			hlen;

	memset(&o, 0, sizeof(o));
	memset(&off, 0, sizeof(off));
	o.src = src;
	o.dst = dst;
	o.l4 = l4;
	o.n = n;
	o.len = iov_length(l4, n);
	o.proto = proto;
	o.v6 = dst->family == ADDR_V6;
	o.ttl = hop_limit(&o);
	hlen = o.v6 ? IP6_HLEN : IP4_HLEN;
	if (!frame.guest_mac_known || n > OUT_IOV_MAX ||
	    o.len > 65535 - (o.v6 ? 0 : IP4_HLEN))
		return -1;
	if (hlen + o.len > frame.config.mtu) {
		if (csum_offset != SIZE_MAX)
			put_csum(&o, csum_offset);
		return send_fragments(&o);
	}
	if (csum_offset == SIZE_MAX)
		return send_whole(&o, &off);
	/*
	 * ICMP stays whole: ping in the guest reads it by a raw socket and
	 * would see the unfinished checksum.
	 */
	if (proto == IPPROTO_UDP && link_has_csum()) {
		uint16_t	sum = csum_fold(pseudo(&o));

		memcpy((uint8_t *)l4[0].iov_base + csum_offset, &sum,
		    sizeof(sum));
		off.csum = true;
		off.csum_start = (uint16_t)(ETH_LEN + hlen);
		off.csum_offset = (uint16_t)csum_offset;
		off.v6 = o.v6;
	} else
		put_csum(&o, csum_offset);
	return send_whole(&o, &off);
}
