/*
 * UDP: the key of an association, and datagrams from the host as packets.
 *
 * Trusts: packet_parse(). Must not: copy TTL, TOS or ECN either way: the
 * socket has a path of its own, and traceroute through it is no goal.
 */
#include <netinet/in.h>

#include <string.h>

#include "bytes.h"
#include "dgram.h"

void
dgram_udp(struct packet *p)
{
	struct dgram	g = { p->ip, p->l4, p->ip_len, p->l4_len,
			    p->df };
	struct flow_key	key;

	memset(&key, 0, sizeof(key));
	key.guest = p->src;
	key.dst = p->dst;
	key.proto = PROTO_UDP;
	dgram_input(&key, &g);
}

void
udp_to_guest(struct dgram_flow *d, uint8_t *payload, size_t len)
{
	const struct flow_key	*key = &d->flow.key;
	uint8_t			 head[L4_HLEN];
	struct iovec		 iov[2] = {
		{ head, sizeof(head) }, { payload, len }
	};

	if (len > DGRAM_MAX - L4_HLEN)
		return;
	memset(head, 0, sizeof(head));
	put16(head, key->dst.port);
	put16(head + 2, key->guest.port);
	put16(head + 4, (unsigned int)(L4_HLEN + len));
	if (packet_send(&key->dst, &key->guest, IPPROTO_UDP, iov, 2, 6) == 0)
		dgram_answered(d, len, frame.config.udp_stream);
}
