/*
 * DNS over UDP, at the gateway's addresses.
 *
 * Trusts: packet_parse(). Must not: send what nobody asked for, or more than the
 * guest says that it takes.
 */
#include <netinet/in.h>

#include <string.h>

#include "bytes.h"
#include "dns.h"

#define UDP_HLEN	8

static void
reply(const struct dns_client *c, const struct dns_query *q,
    const struct dns_answer *a)
{
	uint8_t		l4[UDP_HLEN + DNS_REPLY_MAX];
	struct iovec	iov = { l4, UDP_HLEN };

	iov.iov_len += dns_write(q, a, l4 + UDP_HLEN,
	    q->size < DNS_REPLY_MAX ? q->size : DNS_REPLY_MAX);
	memset(l4, 0, UDP_HLEN);
	put16(l4, DNS_PORT);
	put16(l4 + 2, c->guest.port);
	put16(l4 + 4, (unsigned int)iov.iov_len);
	packet_send(&c->gateway, &c->guest, IPPROTO_UDP, &iov, 1, 6);
}

bool
dns_is_service(const struct endpoint *dst)
{
	return dst->port == DNS_PORT && lan_is_gateway(dst);
}

bool
dns_udp(const struct packet *p)
{
	struct dns_client	c = {
		.guest = p->src, .gateway = p->dst, .reply = reply,
	};

	if (!dns_is_service(&p->dst))
		return false;
	dns_take(p->l4 + UDP_HLEN, p->l4_len - UDP_HLEN, &c);
	return true;
}
