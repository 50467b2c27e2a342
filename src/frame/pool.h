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
#define CHUNK_SMALL	944

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
/*
 * A chunk of the size wished for, else of the other. The last `reserve` small
 * ones are left alone; NULL when there is nothing else.
 */
struct chunk *chunk_get(bool large, unsigned int reserve);
void	chunk_put(struct chunk *);
/* Would chunk_get() yield so many bytes, however they come? */
bool	pool_holds(uint32_t len, unsigned int reserve);
uint64_t pool_free_bytes(unsigned int reserve);

#endif
