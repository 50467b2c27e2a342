/*
 * What the kernel would do with what is sent to an address: rtnetlink(7)'s
 * RTM_GETROUTE, one question and its answer at a time. It knows what no list of
 * addresses does: whole networks that are local, anycast, broadcast, and the
 * tables that rules choose.
 */
#ifndef SALLYPORT_ROUTE_H
#define SALLYPORT_ROUTE_H

#include "addr.h"

struct route {
	int		fd;
	uint32_t	seq;	/* of the last question */
};

enum route_kind {
	ROUTE_STREET,		/* it leaves this host, or would */
	ROUTE_OWN,		/* local, anycast, broadcast, multicast */
	ROUTE_NONE,		/* no route, or one that refuses */
	ROUTE_UNKNOWN		/* the kernel did not say; is to be taken for OWN */
};

/* 0, or -1 with errno. It is neither bound nor subscribed to anything. */
int	route_open(struct route *);
void	route_close(struct route *);
/*
 * As a socket of this process would be routed that has this protocol, and, once
 * it is connected, this source (else NULL). Protocol and ports count where rules
 * ask for them; PROTO_NONE and port 0 are not said.
 */
enum route_kind route_ask(struct route *, uint32_t proto,
	    const struct endpoint *src, const struct endpoint *dst);

#endif
