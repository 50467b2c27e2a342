/*
 * Our own sockets, the stub's and those of probes: each is bound to one peer by
 * connect(2), so the kernel drops what comes from elsewhere.
 *
 * Must not: be bound to anything but a port of chance.
 */
#include "config.h"	/* _GNU_SOURCE */

#include <sys/random.h>
#include <sys/socket.h>

#include <errno.h>
#include <unistd.h>

#include <netinet/in.h>

#include "fd.h"
#include "log.h"
#include "resolver.h"

/*
 * RFC 5452, 9.2: as many ports as possible. Below PORT_LEAST services listen;
 * a port that is taken is a reason to throw again, and after PORT_THROWS the
 * kernel chooses one of its own range.
 */
#define PORT_LEAST	10240u
#define PORT_THROWS	8

static void
bind_chance(int fd, enum addr_family family)
{
	struct sockaddr_storage	ss;
	struct endpoint		any = { .family = (uint8_t)family };
	uint16_t		chance;
	socklen_t		len;
	int			i;

	for (i = 0; i < PORT_THROWS; i++) {
		if (getrandom(&chance, sizeof(chance), 0) != sizeof(chance))
			fatal("getrandom");
		if (chance < PORT_LEAST)
			continue;
		any.port = chance;
		len = endpoint_to_sockaddr(&any, &ss);
		if (bind(fd, (struct sockaddr *)&ss, len) == 0)
			return;
	}
}

static int
open_socket(const struct resolver_config *c, unsigned int at, int type)
{
	const struct endpoint	*peer = &c->upstream[at].addr;
	struct sockaddr_storage	ss;
	socklen_t		len = endpoint_to_sockaddr(peer, &ss);
	int			fd;

	if (c->scope[at] != 0)
		((struct sockaddr_in6 *)&ss)->sin6_scope_id = c->scope[at];
	fd = socket(peer->family == ADDR_V4 ? AF_INET : AF_INET6,
	    type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (type == SOCK_DGRAM)
		bind_chance(fd, (enum addr_family)peer->family);
	if (connect(fd, (struct sockaddr *)&ss, len) == -1 &&
	    errno != EINPROGRESS)
		fd_drop(&fd);
	return fd;
}

int
socket_udp(const struct resolver_config *c, unsigned int at)
{
	return open_socket(c, at, SOCK_DGRAM);
}

int
socket_tcp(const struct resolver_config *c, unsigned int at)
{
	return open_socket(c, at, SOCK_STREAM);
}
