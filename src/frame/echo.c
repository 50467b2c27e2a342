/*
 * Echo exchanges through connected ping sockets (icmp(7)): the host's kernel
 * gives each socket an ident of its own, so the guest's is put back here.
 *
 * A connected ping socket also takes a stranger's reply that happens to have its
 * ident (seen on Linux 6.18), so a reply must be one that is awaited: its sequence, its
 * length and the keyed hash of its payload.
 *
 * Trusts: packet_parse(). Must not: give the guest a reply that it did not ask for.
 */
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include <string.h>

#include "bytes.h"
#include "dgram.h"

#define ECHO_ID		4	/* offsets in the header (RFC 792, RFC 4443 4.1) */
#define ECHO_SEQ	6

void
dgram_echo(struct packet *p)
{
	struct dgram	g = { p->ip, p->l4, p->ip_len, p->l4_len,
			    p->df };
	struct flow_key	key;

	memset(&key, 0, sizeof(key));
	key.guest = p->src;
	key.guest.port = get16(p->l4 + ECHO_ID);
	key.dst = p->dst;
	key.proto = PROTO_ECHO;
	dgram_input(&key, &g);
}

void
echo_await(struct dgram_flow *d, const struct dgram *g)
{
	uint16_t		 seq = get16(g->l4 + ECHO_SEQ);
	struct echo_sent	*s = &d->sent[seq % ECHO_RING];

	s->awaited = true;
	s->seq = seq;
	s->len = g->l4_len - L4_HLEN;
	s->hash = rand_hash(g->l4 + L4_HLEN, s->len);
}

static bool
awaited(struct dgram_flow *d, const uint8_t *icmp, size_t len)
{
	uint16_t		 seq = get16(icmp + ECHO_SEQ);
	struct echo_sent	*s = &d->sent[seq % ECHO_RING];

	if (!s->awaited || s->seq != seq || s->len != len - L4_HLEN ||
	    s->hash != rand_hash(icmp + L4_HLEN, s->len))
		return false;
	s->awaited = false;
	return true;
}

void
echo_to_guest(struct dgram_flow *d, uint8_t *icmp, size_t len)
{
	struct endpoint	dst = d->flow.key.guest;
	struct iovec	iov = { icmp, len };
	bool		v6 = dst.family == ADDR_V6;

	if (len < L4_HLEN || icmp[1] != 0 ||
	    icmp[0] != (v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY) ||
	    !awaited(d, icmp, len))
		return;
	put16(icmp + ECHO_ID, dst.port);
	if (packet_send(&d->flow.key.dst, &dst,
	    v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, &iov, 1, 2) == 0)
		dgram_answered(d, len - L4_HLEN, frame.config.echo_idle);
}
