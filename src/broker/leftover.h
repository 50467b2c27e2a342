/*
 * Sockets of a link that is over, with bytes that the peer has yet to take: drain.c's,
 * when nobody is left whose flows they were. They are their name's.
 */
#ifndef SALLYPORT_BROKER_LEFTOVER_H
#define SALLYPORT_BROKER_LEFTOVER_H

#include <sys/queue.h>

#include "quota.h"

struct leftover {
	TAILQ_ENTRY(leftover) entry;	/* the oldest first */
	int		fd;
	uint64_t	held;		/* bytes, at the last look */
	uint64_t	due;		/* mono: then it is stuck */
	struct charge	charge;
};

struct leftovers {
	TAILQ_HEAD(, leftover) list;
	struct quota	*quota;		/* has their charges */
	uint32_t	*total;		/* of all names: one fd each */
};

void	leftovers_init(struct leftovers *, struct quota *, uint32_t *total);
/* Takes fd and charge, if there is memory; else the kernel sends the rest alone. */
void	leftover_add(struct leftovers *, int *fd, struct charge *,
	    uint64_t held, uint64_t mono);
/* Closes what is sent, resets what is stuck. How much is left. */
uint64_t leftovers_tick(struct leftovers *, uint64_t mono);
/* The oldest is reset. How much it held. */
uint64_t leftover_reset(struct leftovers *);
/* As at the end of any process: the kernel sends the rest. */
void	leftovers_free(struct leftovers *);

#endif
