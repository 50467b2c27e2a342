/*
 * This host's own addresses, kept current by a netlink socket that is opened
 * before the seal: a part of what the floor calls `floor-local` (host.c).
 */
#ifndef SALLYPORT_BROKER_LOCALS_H
#define SALLYPORT_BROKER_LOCALS_H

#include "addr.h"

struct locals;

/* Opens, subscribes and reads the first list. Fatal on failure. */
struct locals	*locals_open(void);
void		 locals_close(struct locals *);
int		 locals_fd(const struct locals *);
/* The socket is readable. True: the list is another one than before. */
bool		 locals_read(struct locals *);
bool		 locals_has(const struct locals *, const struct endpoint *);

#endif
