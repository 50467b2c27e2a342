/* Between stack.c and netif.c: what needs lwIP's types. */
#ifndef SALLYPORT_FRAME_NETIF_H
#define SALLYPORT_FRAME_NETIF_H

struct netif;

void	netif_start(struct netif *);

#endif
