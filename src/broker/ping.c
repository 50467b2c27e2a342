/*
 * Are there ping sockets on this host? Asked once, before the seal: the sysctl
 * net.ipv4.ping_group_range decides, even for root.
 *
 * Trusts: the kernel. Must not: keep the socket.
 */
#include <sys/socket.h>

#include <netinet/in.h>

#include <unistd.h>

#include "broker.h"

bool
ping_works(unsigned int family)
{
	int	fd;

	fd = socket(family == ADDR_V6 ? AF_INET6 : AF_INET,
	    SOCK_DGRAM | SOCK_CLOEXEC,
	    family == ADDR_V6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	if (fd == -1)
		return false;
	close(fd);
	return true;
}
