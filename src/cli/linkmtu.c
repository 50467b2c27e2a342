/*
 * The MTU that CMD's link gets if nobody says one: that of this host's way to the
 * world. A program finds then what it would without us: its datagrams are cut where
 * they were, and what is too large for the first link is refused by its own kernel,
 * without a packet lost.
 *
 * Trusts: the kernel's routes. Must not: send anything; a datagram socket that is
 * connected has a route, and that is all.
 */
#include <sys/socket.h>

#include <netinet/in.h>

#include <unistd.h>

#include "cli.h"

#define ETHERNET	1500

/* Documentation's (RFC 5737, RFC 3849): nobody has a route of their own for them. */
#define SOMEWHERE4	0xc0000201u
static const uint8_t	somewhere6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };

/* 0: there is no way. */
static uint32_t
way(const struct endpoint *to, int level, int option)
{
	struct sockaddr_storage	ss;
	socklen_t		len = endpoint_to_sockaddr(to, &ss);
	int			fd, mtu = 0;

	fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return 0;
	if (connect(fd, (const struct sockaddr *)&ss, len) == -1)
		mtu = 0;
	else {
		len = sizeof(mtu);
		if (getsockopt(fd, level, option, &mtu, &len) == -1)
			mtu = 0;
	}
	close(fd);
	return mtu > 0 ? (uint32_t)mtu : 0;
}

/* The smaller one of both families, as far as there are any. */
uint32_t
linkmtu(void)
{
	struct endpoint	v4 = endpoint_v4(SOMEWHERE4, 9);
	struct endpoint	v6 = endpoint_v6(somewhere6, 9);
	uint32_t	a = way(&v4, IPPROTO_IP, IP_MTU);
	uint32_t	b = way(&v6, IPPROTO_IPV6, IPV6_MTU);
	uint32_t	mtu = a == 0 || (b != 0 && b < a) ? b : a;

	if (mtu == 0)
		return ETHERNET;
	if (mtu < MTU_MIN)
		return MTU_MIN;
	return mtu > MTU_MAX ? MTU_MAX : mtu;
}
