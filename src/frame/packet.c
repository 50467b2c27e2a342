/*
 * What is in a frame from the guest: lengths, addresses, checksums; then to the
 * file that answers it.
 *
 * Trusts: the length that the link gives, and the lease in the configuration.
 * Must not: believe a length inside the frame before it was compared with what
 * arrived, or hand on a packet whose source is not the lease's.
 *
 * Fragments are fragment.c's; what it has put together comes through here again.
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
#define TCP_HLEN	20
#define UDP_HLEN	8
#define ICMP_HLEN	8
#define EXT_MAX		8	/* extension headers; Linux makes 4 at most */

#define IP4_MF		0x2000
#define IP4_DF		0x4000
#define IP4_OFFSET	0x1fff
#define FRAG6_HLEN	8		/* RFC 8200 4.5 */

/* ---- IPv4 (RFC 791) ---- */

static enum reason
parse_v4(struct packet *p)
{
	size_t		have = p->eth_len - ETH_LEN, hlen;
	uint16_t	frag;

	p->ip = p->eth + ETH_LEN;
	if (have < IP4_HLEN || p->ip[0] >> 4 != 4)
		return REASON_MALFORMED;
	hlen = (p->ip[0] & 0xfu) * 4;
	p->ip_len = get16(p->ip + 2);
	if (hlen < IP4_HLEN || hlen > p->ip_len || p->ip_len > have)
		return REASON_MALFORMED;
	if (csum_fold(csum_add(0, p->ip, hlen)) != 0xffff)
		return REASON_BAD_CHECKSUM;
	frag = get16(p->ip + 6);
	p->df = (frag & IP4_DF) != 0;
	p->ttl = p->ip[8];
	p->ip_proto = p->ip[9];
	p->src = endpoint_v4(get32(p->ip + 12), 0);
	p->dst = endpoint_v4(get32(p->ip + 16), 0);
	p->l4 = p->ip + hlen;
	p->l4_len = p->ip_len - (uint32_t)hlen;
	if ((frag & (IP4_MF | IP4_OFFSET)) == 0)
		return REASON_NONE;
	p->frag = (struct fragment){ .data = p->l4, .len = p->l4_len,
	    .id = get16(p->ip + 4), .at = (frag & IP4_OFFSET) * 8u,
	    .proto = p->ip_proto, .more = (frag & IP4_MF) != 0 };
	return REASON_FRAGMENT;
}

/* ---- IPv6 (RFC 8200) ---- */

/*
 * Options of a hop-by-hop or destination header. The two high bits of an
 * unknown type say whether it may be skipped (RFC 8200 4.2); the jumbo payload
 * option (RFC 2675) is one of those that may not.
 */
static enum reason
walk_options(const uint8_t *o, const uint8_t *end)
{
	while (o < end) {
		if (o[0] == 0) {		/* Pad1 */
			o++;
			continue;
		}
		if (end - o < 2 || o[1] > end - o - 2)
			return REASON_MALFORMED;
		if (o[0] >> 6 != 0)
			return REASON_PROTO_UNSUPPORTED;
		o += 2 + o[1];
	}
	return REASON_NONE;
}

/* One extension header at l4; len is its whole length, all of it arrived. */
static enum reason
walk_header(const struct packet *p, unsigned int nth, uint32_t len)
{
	switch (p->ip_proto) {
	case IPPROTO_HOPOPTS:
		if (nth != 0)			/* RFC 8200 4.1 */
			return REASON_MALFORMED;
		return walk_options(p->l4 + 2, p->l4 + len);
	case IPPROTO_DSTOPTS:
		return walk_options(p->l4 + 2, p->l4 + len);
	default:
		/*
		 * A routing header with no segments left is to be ignored
		 * (RFC 8200 4.4); source routes are not followed.
		 */
		return p->l4[3] == 0 ? REASON_NONE : REASON_PROTO_UNSUPPORTED;
	}
}

/* What stands before a fragment header would be in each: nobody makes such. */
static enum reason
fragment_v6(struct packet *p, unsigned int nth)
{
	uint16_t	word;

	if (p->l4_len < FRAG6_HLEN)
		return REASON_MALFORMED;
	word = get16(p->l4 + 2);
	p->frag = (struct fragment){ .data = p->l4 + FRAG6_HLEN,
	    .len = p->l4_len - FRAG6_HLEN, .id = get32(p->l4 + 4),
	    .at = word & 0xfff8u, .proto = nth == 0 ? p->l4[0] :
	    IPPROTO_FRAGMENT, .more = (word & 1) != 0 };
	return REASON_FRAGMENT;
}

static enum reason
walk_extensions(struct packet *p)
{
	enum reason	r;
	unsigned int	nth;
	uint32_t	len;
	uint8_t		next;

	for (nth = 0; ; nth++) {
		switch (p->ip_proto) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_DSTOPTS:
		case IPPROTO_ROUTING:
			break;
		case IPPROTO_FRAGMENT:
			return fragment_v6(p, nth);
		default:
			return REASON_NONE;
		}
		if (nth == EXT_MAX || p->l4_len < 8)
			return REASON_MALFORMED;
		len = (p->l4[1] + 1u) * 8;
		if (len > p->l4_len)
			return REASON_MALFORMED;
		if ((r = walk_header(p, nth, len)) != REASON_NONE)
			return r;
		next = p->l4[0];
		p->l4 += len;
		p->l4_len -= len;
		p->ip_proto = next;
	}
}

static enum reason
parse_v6(struct packet *p)
{
	size_t	have = p->eth_len - ETH_LEN;

	p->ip = p->eth + ETH_LEN;
	p->v6 = true;
	p->df = true;
	if (have < IP6_HLEN || p->ip[0] >> 4 != 6)
		return REASON_MALFORMED;
	p->l4_len = get16(p->ip + 4);
	if (p->l4_len > have - IP6_HLEN)
		return REASON_MALFORMED;
	p->ip_len = IP6_HLEN + p->l4_len;
	p->ip_proto = p->ip[6];
	p->ttl = p->ip[7];
	p->src = endpoint_v6(p->ip + 8, 0);
	p->dst = endpoint_v6(p->ip + 24, 0);
	p->l4 = p->ip + IP6_HLEN;
	return walk_extensions(p);
}

/* ---- who speaks to whom ---- */

static bool
is_ndp(const struct packet *p)
{
	return p->v6 && p->ip_proto == IPPROTO_ICMPV6 && p->ttl == 255 &&
	    p->l4_len >= ICMP_HLEN && p->l4[0] >= ND_ROUTER_SOLICIT &&
	    p->l4[0] <= ND_REDIRECT;
}

static bool
is_group(const struct packet *p, const struct wire_lease *lease)
{
	if (addr_is_multicast(&p->dst))
		return true;
	/* RFC 1122 3.3.6: a frame to all that carries a packet to one. */
	if ((p->eth[0] & 1) != 0)
		return true;
	return !p->v6 && lease->guest.family == ADDR_V4 &&
	    lease->prefix_len <= 30 &&
	    endpoint_u32(&p->dst) == (endpoint_u32(&lease->guest) |
	    (uint32_t)(UINT64_C(0xffffffff) >> lease->prefix_len));
}

/*
 * The lease's address. Of the others only what NDP needs: link-local ones, also
 * for an echo to the gateway, and the unspecified one for a probe (RFC 4862).
 */
static bool
source_ok(const struct packet *p, const struct wire_lease *lease, bool ndp)
{
	if (addr_equal(&p->src, &lease->guest))
		return true;
	if (!p->v6 || p->ip_proto != IPPROTO_ICMPV6)
		return false;
	if (addr_is_link_local(&p->src))
		return ndp || lan_is_gateway(&p->dst);
	return ndp && addr_is_unspecified(&p->src);
}

static enum reason
check_addresses(const struct packet *p)
{
	const struct wire_lease	*lease = p->v6 ? &frame.config.v6 :
	    &frame.config.v4;
	bool			 ndp = is_ndp(p);

	if (!ndp && is_group(p, lease))
		return REASON_MULTICAST;
	if (!source_ok(p, lease, ndp))
		return REASON_SPOOFED_SOURCE;
	/* A guest that speaks to itself does so inside itself. */
	if (addr_equal(&p->dst, &lease->guest))
		return REASON_MALFORMED;
	return REASON_NONE;
}

/* ---- L4: lengths, ports, checksum ---- */

static enum reason
check_length(struct packet *p)
{
	size_t	len;

	switch (p->ip_proto) {
	case IPPROTO_TCP:
		if (p->l4_len < TCP_HLEN)
			return REASON_MALFORMED;
		len = (p->l4[12] >> 4) * 4u;
		return len < TCP_HLEN || len > p->l4_len ? REASON_MALFORMED :
		    REASON_NONE;
	case IPPROTO_UDP:
		if (p->l4_len < UDP_HLEN)
			return REASON_MALFORMED;
		len = get16(p->l4 + 4);
		if (len < UDP_HLEN || len > p->l4_len)
			return REASON_MALFORMED;
		p->l4_len = (uint32_t)len;
		return REASON_NONE;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if ((p->ip_proto == IPPROTO_ICMPV6) != p->v6)
			return REASON_PROTO_UNSUPPORTED;
		return p->l4_len < ICMP_HLEN ? REASON_MALFORMED : REASON_NONE;
	default:
		return REASON_PROTO_UNSUPPORTED;
	}
}

static enum reason
check_ports(struct packet *p)
{
	if (p->ip_proto != IPPROTO_TCP && p->ip_proto != IPPROTO_UDP)
		return REASON_NONE;
	p->src.port = get16(p->l4);
	p->dst.port = get16(p->l4 + 2);
	return p->src.port == 0 || p->dst.port == 0 ? REASON_MALFORMED :
	    REASON_NONE;
}

static enum reason
check_csum(const struct packet *p)
{
	uint64_t	sum = 0;

	if (p->buf->needs_csum || p->buf->csum_valid ||
	    (frame.config.flags & LINK_TRUST_CSUM) != 0)
		return REASON_NONE;
	if (p->ip_proto == IPPROTO_UDP && get16(p->l4 + 6) == 0)
		/* none was made: IPv4 only (RFC 768, RFC 8200 8.1) */
		return p->v6 ? REASON_BAD_CHECKSUM : REASON_NONE;
	if (p->ip_proto != IPPROTO_ICMP)
		sum = csum_pseudo(p->v6, p->src.addr, p->dst.addr, p->ip_proto,
		    p->l4_len);
	return csum_fold(csum_add(sum, p->l4, p->l4_len)) == 0xffff ?
	    REASON_NONE : REASON_BAD_CHECKSUM;
}

static enum reason
check_l4(struct packet *p)
{
	enum reason	r;

	if ((r = check_length(p)) != REASON_NONE)
		return r;
	/* Segments of a larger one: only TCP was offered to the guest. */
	if (p->buf->gso_size != 0 && p->ip_proto != IPPROTO_TCP)
		return REASON_MALFORMED;
	if ((r = check_ports(p)) != REASON_NONE)
		return r;
	return check_csum(p);
}

enum reason
packet_parse(struct rxbuf *buf, struct packet *p)
{
	enum reason	r, addresses;

	memset(p, 0, sizeof(*p));
	p->buf = buf;
	p->eth = rxbuf_eth(buf);
	p->eth_len = buf->len;
	if (p->eth_len < ETH_LEN)
		return REASON_MALFORMED;
	p->ethertype = get16(p->eth + 12);
	switch (p->ethertype) {
	case ETHERTYPE_IP:
		r = parse_v4(p);
		break;
	case ETHERTYPE_IPV6:
		r = parse_v6(p);
		break;
	default:
		return REASON_NONE;
	}
	if (r != REASON_NONE && r != REASON_FRAGMENT)
		return r;
	if ((addresses = check_addresses(p)) != REASON_NONE)
		return addresses;
	return r == REASON_NONE ? check_l4(p) : r;
}

/* ---- to the file that answers ---- */

static void
icmp_input(struct packet *p)
{
	if (lan_icmp(p))
		return;
	if (p->l4[0] == (p->v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO) &&
	    p->l4[1] == 0)
		dgram_echo(p);
	else
		ask_drop(REASON_ICMP_TYPE);
}

/* True if the buffer was kept. */
static bool
deliver(struct packet *p)
{
	switch (p->ip_proto) {
	case IPPROTO_TCP:
		return tcp_segment(p);
	case IPPROTO_UDP:
		if (!dns_udp(p))
			dgram_udp(p);
		return false;
	default:
		icmp_input(p);
		return false;
	}
}

/*
 * A protocol that no rule can allow is denied, not lost. What is carried behind
 * an option that we do not know may be an ICMP error, and those get none.
 */
static void
deny_protocol(const struct packet *p)
{
	switch (p->ip_proto) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_DSTOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		break;
	default:
		icmp_deny(DENY_ADMIN, p->ip, p->ip_len);
	}
}

/* It was in pieces, and may be sent on so. */
static void
whole_input(struct rxbuf *buf)
{
	struct packet	p;
	enum reason	r = packet_parse(buf, &p);

	p.df = false;
	if (r != REASON_NONE)
		ask_drop(r);
	else {
		lan_learn(&p);
		deliver(&p);
	}
}

void
packet_input(struct rxbuf *buf)
{
	struct packet	 p;
	struct rxbuf	*whole;
	enum reason	 r = packet_parse(buf, &p);

	if (r == REASON_FRAGMENT) {
		if ((whole = fragment_take(&p)) != NULL)
			whole_input(whole);
	} else if (r != REASON_NONE) {
		ask_drop(r);
		if (r == REASON_PROTO_UNSUPPORTED)
			deny_protocol(&p);
	} else if (p.ip != NULL) {
		lan_learn(&p);
		if (deliver(&p))
			return;
	} else if (p.ethertype == ETHERTYPE_ARP)
		lan_arp(&p);
	else
		ask_drop(REASON_PROTO_UNSUPPORTED);
	rxbuf_release(buf);
}
