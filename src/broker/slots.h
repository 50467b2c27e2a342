/*
 * Slots of one kind, so many in all and so many to one address, and who waits for
 * one: in the order of coming, but nobody behind an address that is full.
 */
#ifndef SALLYPORT_BROKER_SLOTS_H
#define SALLYPORT_BROKER_SLOTS_H

#include <sys/queue.h>

#include <stdbool.h>

#include "addr.h"

enum slot_state {
	SLOT_NONE,
	SLOT_QUEUED,		/* waits for a place at its address */
	SLOT_PLACED,		/* has that, and waits for one of all */
	SLOT_TAKEN
};

/* A member of what it is for. Zeroed is SLOT_NONE; it may be copied in that state only. */
struct slot {
	enum slot_state	state;
	struct endpoint	addr;		/* canonical, port 0 */
	void		*owner;
	TAILQ_ENTRY(slot) entry;
};
TAILQ_HEAD(slot_list, slot);

struct target;

struct slots {
	uint32_t	 max, max_addr;
	uint32_t	 taken;
	uint32_t	 mask;		/* of head[] */
	uint32_t	 fresh;		/* targets used once, so far */
	uint32_t	 spare;		/* list of those that are not now */
	uint32_t	*head;
	struct target	*target;	/* number 0 is none */
	struct slot_list placed;
};

/* most: how many may have one or wait. -1: no memory. */
int	slots_init(struct slots *, uint32_t max, uint32_t max_addr,
	    uint32_t most);
void	slots_free(struct slots *);
/* False: it waits, until slots_next() or slots_give(). */
bool	slots_take(struct slots *, struct slot *, const struct endpoint *,
	    void *owner);
/* Whatever of it there is: the slot, or the place in the queue. */
void	slots_give(struct slots *, struct slot *);
/* Could slots_next() find one? */
bool	slots_due(const struct slots *);
/* The owner of the next one that waited, and has its slot now; NULL: there is none. */
void	*slots_next(struct slots *);

#endif
