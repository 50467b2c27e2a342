/*
 * lwIP's only netif: its segments become frames on the link.
 *
 * Trusts: lwIP's headers. Must not: keep a pbuf (output is synchronous), or use
 * an offload that the link does not have.
 */
#include <netinet/in.h>

#include <string.h>

#include "tcp.h"

#include "lwip/ip.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/tcp.h"
#include "netif.h"

#define IOV_MAX_SEGMENT	250		/* tap.c and stream.c add at most 2 */

/* The flow of the pcb that is sending; NULL: a RST without one. */
static struct tcp_flow *
sender(const struct netif *n)
{
	struct tcp_pcb	*pcb;

	if (n->hints == NULL)
		return NULL;
	pcb = (struct tcp_pcb *)(void *)((uint8_t *)n->hints -
	    offsetof(struct tcp_pcb, netif_hints));
	return pcb->callback_arg;
}

/* The checksum is the kernel's to finish: it wants the pseudo-header's sum. */
static void
offload(struct tx_offload *off, uint8_t *ip, uint32_t len, bool v6,
    const struct tcp_flow *f)
{
	unsigned int	 ihl = v6 ? 40 : 20, thl;
	uint8_t		*t = ip + ihl;
	uint16_t	 sum;

	thl = (t[12] >> 4) * 4u;
	sum = csum_fold(csum_pseudo(v6, ip + (v6 ? 8 : 12),
	    ip + (v6 ? 24 : 16), IPPROTO_TCP, len - ihl));
	memcpy(t + 16, &sum, sizeof(sum));
	off->csum = true;
	off->csum_start = (uint16_t)(ETH_LEN + ihl);
	off->csum_offset = 16;
	off->v6 = v6;
	if (f != NULL && len - ihl - thl > f->peer_mss) {
		off->gso_size = f->peer_mss;
		off->hdr_len = (uint16_t)(ETH_LEN + ihl + thl);
	}
}

/* All of a chain, or with its tail copied together if it has too many links. */
static unsigned int
gather(struct iovec *iov, struct pbuf *p)
{
	static uint8_t	 tail[65536];
	unsigned int	 n = 1;
	size_t		 len = 0;

	for (; p != NULL && n < IOV_MAX_SEGMENT - 1; p = p->next)
		iov[n++] = (struct iovec){ p->payload, p->len };
	if (p == NULL)
		return n;
	for (; p != NULL; p = p->next) {
		memcpy(tail + len, p->payload, p->len);
		len += p->len;
	}
	iov[n++] = (struct iovec){ tail, len };
	return n;
}

static err_t
output(struct netif *n, struct pbuf *p, bool v6)
{
	struct iovec		 iov[IOV_MAX_SEGMENT];
	struct tx_offload	 off = { 0 };
	struct tcp_flow		*f = sender(n);
	uint8_t			 eth[ETH_LEN];

	if (!frame.guest_mac_known)
		return ERR_OK;
	if (link_full()) {
		if (f != NULL)
			f->blocked = true;
		return ERR_MEM;		/* it stays at the head of the queue */
	}
	memcpy(eth, frame.guest_mac, 6);
	memcpy(eth + 6, frame.config.gateway_mac, 6);
	eth[12] = v6 ? 0x86 : 0x08;
	eth[13] = v6 ? 0xdd : 0x00;
	iov[0] = (struct iovec){ eth, sizeof(eth) };
	if (link_has_csum())
		offload(&off, p->payload, p->tot_len, v6, f);
	if (f != NULL)
		f->flow.pdown++;
	link_send(iov, gather(iov, p), &off);
	return ERR_OK;
}

static err_t
output4(struct netif *n, struct pbuf *p, const ip4_addr_t *to)
{
	(void)to;
	return output(n, p, false);
}

static err_t
output6(struct netif *n, struct pbuf *p, const ip6_addr_t *to)
{
	(void)to;
	return output(n, p, true);
}

/* With TSO lwIP makes segments larger than the link's MTU. */
static err_t
nif_init(struct netif *n)
{
	bool	tso = link_has_tso(false) || link_has_tso(true);

	n->name[0] = 's';
	n->name[1] = 'p';
	n->mtu = (u16_t)(tso ? 65520 : frame.config.mtu);
	n->output = output4;
	n->output_ip6 = output6;
	NETIF_SET_CHECKSUM_CTRL(n, link_has_csum() ? NETIF_CHECKSUM_GEN_IP :
	    NETIF_CHECKSUM_GEN_IP | NETIF_CHECKSUM_GEN_TCP);
	return ERR_OK;
}

/* It takes an address to be routable; no packet ever carries it (RFC 5737). */
void
netif_start(struct netif *n)
{
	ip4_addr_t	addr, mask, none = { 0 };

	IP4_ADDR(&addr, 192, 0, 2, 1);
	IP4_ADDR(&mask, 255, 255, 255, 255);
	netif_add(n, &addr, &mask, &none, NULL, nif_init, NULL);
	netif_set_default(n);
	netif_set_link_up(n);
	netif_set_up(n);
}
