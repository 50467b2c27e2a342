/*
 * Inside the link: link.c owns the buffers and the statistics, tap.c and
 * stream.c each know one kind of link.
 */
#ifndef SALLYPORT_FRAME_LINK_H
#define SALLYPORT_FRAME_LINK_H

#include "frame.h"

struct link_ops {
	/* Reads and hands on at most `max` frames; true: there may be more. */
	bool	(*receive)(unsigned int max);
	int	(*send)(const struct iovec *, unsigned int n,
		    const struct tx_offload *);
	bool	(*full)(void);
};
extern const struct link_ops tap_ops, stream_ops;

void	stream_init(void);

struct rxbuf *rxbuf_get(void);		/* NULL: none left */
size_t	rxbuf_capacity(void);		/* bytes from rxbuf_eth() on */
_Noreturn void link_gone(const char *why);

/* stream.c's readiness for writing changed; link.c owns the events. */
void	link_want_write(bool);
void	stream_writable(void);

/* For tests and fuzzers: another fd than FD_OBJECT; before link_init(). */
extern int link_fd;

#endif
