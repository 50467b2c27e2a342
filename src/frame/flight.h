/*
 * flight.c: the framing of a guest's first bytes.
 */
#ifndef SALLYPORT_FRAME_FLIGHT_H
#define SALLYPORT_FRAME_FLIGHT_H

#include "wire.h"

struct flight {
	enum peek_kind	kind;
	bool		whole;
	uint8_t		head_len;	/* TLS: of a record's header. HTTP: 1: the method
					   is over */
	uint32_t	left;		/* TLS: of the record; HTTP: in this line */
	uint32_t	seen, hello;	/* TLS: of the message; its length. HTTP: lines;
					   of the version that the first ends in */
	uint32_t	method;		/* HTTP: bytes of it */
};

void	flight_start(struct flight *, enum peek_kind);
/* The bytes that came next. True: enough, and for ever so. */
bool	flight_whole(struct flight *, const uint8_t *, size_t);

#endif
