/*
 * What is too large for the host's path, of datagrams that must not be fragmented: a
 * guest that looks for the path's MTU (QUIC, tracepath) is told it, as by a router.
 *
 * The host's kernel would cut them up: its sockets are to send datagrams of any size,
 * and cannot be told which of them had DF. So it is asked what fits before one leaves,
 * and again when it says that one did not (a router has said so). What it knows can be
 * a second old here: one datagram's worth of wrong, on a path that has just changed.
 *
 * Trusts: getsockopt(2) on a granted socket. Must not: send anything.
 */
#include <sys/socket.h>

#include <netinet/in.h>

#include "dgram.h"

#define FRESH_MS	1000
#define LEAST4		512	/* Linux believes in no path below 552 */
#define LEAST6		1280	/* RFC 8200 5 */

static bool
is_v6(const struct dgram_flow *d)
{
	return d->flow.key.dst.family == ADDR_V6;
}

/* 0: not known. */
static uint32_t
path(struct dgram_flow *d)
{
	int		mtu = 0;
	socklen_t	len = sizeof(mtu);

	if (d->mtu_ms != 0 && frame.now_ms - d->mtu_ms < FRESH_MS)
		return d->mtu;
	if (getsockopt(d->flow.fd, is_v6(d) ? IPPROTO_IPV6 : IPPROTO_IP,
	    is_v6(d) ? IPV6_MTU : IP_MTU, &mtu, &len) == -1 || mtu < 0)
		mtu = 0;
	d->mtu = (uint32_t)mtu;
	d->mtu_ms = frame.now_ms;
	return d->mtu;
}

/* False: the guest has been told what would. */
bool
pmtu_fits(struct dgram_flow *d, const struct dgram *g)
{
	uint32_t	size = g->l4_len + (is_v6(d) ? 40 : 20), mtu;

	if (!g->df || size <= (is_v6(d) ? LEAST6 : LEAST4))
		return true;
	mtu = path(d);
	if (mtu != 0 && size > mtu) {
		icmp_too_big(mtu, g->ip, g->ip_len);
		return false;
	}
	if (size > d->df_max)
		d->df_max = size;
	return true;
}

/* A router has said that one of those before was too large. */
void
pmtu_shrunk(struct dgram_flow *d)
{
	uint32_t	mtu;

	d->mtu_ms = 0;
	mtu = path(d);
	if (mtu != 0 && d->df_max > mtu && d->last_len > 0)
		icmp_too_big(mtu, d->last, d->last_len);
	d->df_max = 0;
}
