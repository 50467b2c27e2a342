/*
 * What a guest expects of its LAN, from the one neighbour that it has: the
 * gateway. ARP, NDP and echo; the name server is in dns.c and its neighbours.
 *
 * The gateway stands for every other address too, those of the guest's own net
 * among them (RFC 1027): what is sent there is judged like anything else, and
 * refused at once or led to whoever has the address at the host. Without that it
 * would be looked for in vain for seconds, and nobody would hear of it.
 *
 * No router advertisements: `run` configures its guest, and a guest on a stream
 * link is configured by hand, because an advertisement without DHCPv6 behind it
 * would be a promise that this version does not keep. A router solicitation is
 * silently ignored.
 *
 * Trusts: packet_parse(). Must not: answer for the guest's own address, or a probe
 * for another one than the gateway's (a guest that looks whether an address is free
 * must find it so), or send more than it was asked with.
 */
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include <string.h>

#include "bytes.h"
#include "frame.h"

#define ARP_LEN		28	/* for Ethernet and IPv4 (RFC 826) */
#define NS_LEN		24	/* RFC 4861 4.3, without options */
#define NA_LEN		32	/* with the target's link-layer address */
#define ICMP_HLEN	8

/* fe80::/64 and the MAC's EUI-64 (RFC 4291, appendix A). */
static struct endpoint
gateway_link_local(void)
{
	const uint8_t	*mac = frame.config.gateway_mac;
	const uint8_t	 ll[16] = { 0xfe, 0x80, 0, 0, 0, 0, 0, 0,
	    mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5] };

	return endpoint_v6(ll, 0);
}

bool
lan_is_gateway(const struct endpoint *e)
{
	const struct wire_lease	*lease = e->family == ADDR_V6 ?
	    &frame.config.v6 : &frame.config.v4;
	struct endpoint		 ll;

	if (lease->guest.family == ADDR_NONE)
		return false;
	if (addr_equal(e, &lease->gateway))
		return true;
	ll = gateway_link_local();
	return addr_equal(e, &ll);
}

static void
learn(const uint8_t *mac)
{
	static const uint8_t	none[6];

	if (memcmp(frame.config.guest_mac, none, 6) != 0)
		return;			/* fixed by the configuration */
	if ((mac[0] & 1) != 0 || memcmp(mac, none, 6) == 0)
		return;
	memcpy(frame.guest_mac, mac, 6);
	frame.guest_mac_known = true;
}

void
lan_learn(const struct packet *p)
{
	learn(p->eth + 6);
}

/* An address that a machine can have, and that packets to it are sent to. */
static bool
is_machine(const struct endpoint *e)
{
	return !addr_is_unspecified(e) && !addr_is_loopback(e) &&
	    !addr_is_multicast(e);
}

/* ---- ARP (RFC 826) ---- */

static bool
arp_asks_gateway(const uint8_t *a)
{
	uint32_t	gateway = endpoint_u32(&frame.config.v4.gateway);
	uint32_t	guest = endpoint_u32(&frame.config.v4.guest);
	uint32_t	sender = get32(a + 14);
	struct endpoint	target = endpoint_v4(get32(a + 24), 0);

	if (get16(a + 6) != ARPOP_REQUEST)
		return false;
	/* A probe (RFC 5227) comes from 0.0.0.0; the gateway defends itself. */
	if (get32(a + 24) == gateway)
		return sender == guest || sender == 0;
	return sender == guest && get32(a + 24) != guest && is_machine(&target);
}

static void
arp_reply(const uint8_t *request)
{
	static const struct tx_offload	none;
	uint8_t				f[ETH_LEN + ARP_LEN], *a = f + ETH_LEN;
	struct iovec			iov = { f, sizeof(f) };

	memcpy(f, request + 8, 6);
	memcpy(f + 6, frame.config.gateway_mac, 6);
	put16(f + 12, 0x0806);
	put16(a, ARPHRD_ETHER);
	put16(a + 2, 0x0800);
	a[4] = 6;
	a[5] = 4;
	put16(a + 6, ARPOP_REPLY);
	memcpy(a + 8, frame.config.gateway_mac, 6);
	memcpy(a + 14, request + 24, 4);	/* whom it looks for */
	memcpy(a + 18, request + 8, 10);	/* its MAC and address */
	link_send(&iov, 1, &none);
}

void
lan_arp(const struct packet *p)
{
	const uint8_t	*a = p->eth + ETH_LEN;

	if (frame.config.v4.guest.family != ADDR_V4)
		return;
	if (p->eth_len < ETH_LEN + ARP_LEN || get16(a) != ARPHRD_ETHER ||
	    get16(a + 2) != 0x0800 || a[4] != 6 || a[5] != 4 ||
	    memcmp(a + 8, p->eth + 6, 6) != 0 || (a[8] & 1) != 0) {
		ask_drop(REASON_MALFORMED);
		return;
	}
	if (get32(a + 14) == endpoint_u32(&frame.config.v4.guest))
		learn(a + 8);
	if (arp_asks_gateway(a))
		arp_reply(a);
}

/* ---- NDP (RFC 4861) ---- */

static bool
ndp_options_ok(const uint8_t *o, size_t len, bool unspecified)
{
	size_t	n;

	while (len > 0) {
		if (len < 2 || o[1] == 0 || o[1] * 8u > len)
			return false;
		/* A probe names no address of its own (7.1.1). */
		if (unspecified && o[0] == ND_OPT_SOURCE_LINKADDR)
			return false;
		n = o[1] * 8u;
		o += n;
		len -= n;
	}
	return true;
}

/* For others than itself the gateway is a proxy, and no router (7.2.8). */
static void
ndp_advertise(const struct packet *p, const struct endpoint *target)
{
	static const uint8_t	 all_nodes[16] = { 0xff, 2, [15] = 1 };
	bool			 own = lan_is_gateway(target);
	const struct endpoint	*src = own ? target : &frame.config.v6.gateway;
	uint8_t			 na[NA_LEN];
	struct iovec		 iov = { na, sizeof(na) };
	struct endpoint		 dst = p->src;
	bool			 probe = addr_is_unspecified(&p->src);

	if (probe)
		dst = endpoint_v6(all_nodes, 0);
	memset(na, 0, sizeof(na));
	na[0] = ND_NEIGHBOR_ADVERT;
	/* router, solicited, override */
	na[4] = probe ? 0xa0 : own ? 0xe0 : 0x40;
	memcpy(na + 8, target->addr, 16);
	na[24] = ND_OPT_TARGET_LINKADDR;
	na[25] = 1;
	memcpy(na + 26, frame.config.gateway_mac, 6);
	packet_send(src, &dst, IPPROTO_ICMPV6, &iov, 1, 2);
}

/* On fe80::/10 there are guest and gateway only: nothing is led there. */
static bool
ndp_stands_for(const struct endpoint *target, bool probe)
{
	if (lan_is_gateway(target))
		return true;
	return !probe && frame.config.v6.guest.family == ADDR_V6 &&
	    !addr_equal(target, &frame.config.v6.guest) &&
	    !addr_is_link_local(target) && is_machine(target);
}

static void
ndp_solicit(const struct packet *p)
{
	struct endpoint	target;
	bool		probe = addr_is_unspecified(&p->src);

	if (p->ttl != 255 || p->l4[1] != 0 || p->l4_len < NS_LEN ||
	    !ndp_options_ok(p->l4 + NS_LEN, p->l4_len - NS_LEN, probe)) {
		ask_drop(REASON_MALFORMED);
		return;
	}
	target = endpoint_v6(p->l4 + 8, 0);
	if (ndp_stands_for(&target, probe))
		ndp_advertise(p, &target);
}

/* ---- echo ---- */

static void
echo_reply(const struct packet *p)
{
	uint8_t		head[ICMP_HLEN];
	struct iovec	iov[2];

	memcpy(head, p->l4, sizeof(head));
	head[0] = p->v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY;
	iov[0].iov_base = head;
	iov[0].iov_len = sizeof(head);
	iov[1].iov_base = p->l4 + ICMP_HLEN;
	iov[1].iov_len = p->l4_len - ICMP_HLEN;
	packet_send(&p->dst, &p->src, p->ip_proto, iov, 2, 2);
}

bool
lan_icmp(const struct packet *p)
{
	uint8_t	type = p->l4[0];

	if (p->v6 && type >= ND_ROUTER_SOLICIT && type <= ND_REDIRECT) {
		if (type == ND_NEIGHBOR_SOLICIT)
			ndp_solicit(p);
		return true;
	}
	if (type != (p->v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO) ||
	    p->l4[1] != 0 || !lan_is_gateway(&p->dst))
		return false;
	echo_reply(p);
	return true;
}
