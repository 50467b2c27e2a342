/*
 * Where payload waits in a frame: two fixed pools of chunks, carved at start.
 * A chunk belongs to one flow and one direction.
 */
#ifndef SALLYPORT_FRAME_POOL_H
#define SALLYPORT_FRAME_POOL_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stdint.h>

/*
 * A large chunk holds the longest segment that is sent (TCP_MSS); a small one is
 * for what is not a bulk transfer. pool.c has the sums.
 */
#define CHUNK_LARGE	65480
#define CHUNK_SMALL	2016

struct chunk;

/* Payload on its way to the host: in a chunk, or in a buffer of the link's. */
struct span {
	TAILQ_ENTRY(span)	 entry;
	uint8_t			*data;
	uint32_t		 len;
	struct chunk		*chunk;		/* NULL: pinned */
};
TAILQ_HEAD(span_queue, span);

struct chunk {
	TAILQ_ENTRY(chunk)	 entry;
	struct span		 span;
	uint32_t		 size;		/* CHUNK_LARGE or CHUNK_SMALL */
	uint32_t		 begin, end;	/* what is in use */
	_Alignas(8) uint8_t	 data[];
};
TAILQ_HEAD(chunk_queue, chunk);

void	pool_init(void);
/* A chunk of the size wished for, else of the other; NULL: both are empty. */
struct chunk *chunk_get(bool large);
/* The same, but leaves a reserve for those that only copy what has arrived. */
struct chunk *chunk_get_spare(bool large);
void	chunk_put(struct chunk *);
/* Would chunk_get() yield so many bytes, whatever their split? */
bool	pool_holds(uint32_t len);
/* What all flows together may promise to take from the guest. */
uint32_t pool_window_budget(void);

#endif
