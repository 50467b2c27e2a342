/*
 * What dgram.c, hold.c, udp.c and echo.c share.
 */
#ifndef SALLYPORT_DGRAM_H
#define SALLYPORT_DGRAM_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "frame.h"

#define L4_HLEN		8	/* of UDP and of an ICMP echo alike */
#define DGRAM_MAX	65535	/* no datagram is longer */

/* A datagram from the guest; nothing here owns memory. */
struct dgram {
	const uint8_t	*ip;	/* the whole packet, for errors about it */
	const uint8_t	*l4;
	uint32_t	 ip_len, l4_len;
	bool		 df;	/* not to be fragmented on its way */
};

/* ---- hold.c: copies that wait for their grant, in a fixed pool ---- */
struct held {
	STAILQ_ENTRY(held)	entry;
	uint32_t		ip_len, l4_at, l4_len;
	bool			large, df;
	uint8_t			ip[];
};
struct held *hold_take(const struct dgram *);	/* NULL: none is free */
void	hold_release(struct held *);
struct dgram hold_view(const struct held *);

#define ECHO_RING	32	/* requests whose reply is awaited, per exchange */
#define LAST_MAX	128	/* of the last packet: what an error quotes */

struct echo_sent {
	uint64_t	hash;		/* of the payload */
	uint32_t	len;
	uint16_t	seq;
	bool		awaited;
};

/* A UDP association or an echo exchange. */
struct dgram_flow {
	struct flow			flow;	/* must be first */
	struct event			event;
	bool				listening;	/* event is added */
	bool				refused;	/* an error came back */
	STAILQ_HEAD(, held)		held;
	unsigned int			nheld;
	TAILQ_ENTRY(dgram_flow)		entry;	/* free, or open by last use */
	uint64_t			used_ms;
	uint32_t			mtu;	/* pmtu.c: of the host's path, */
	uint64_t			mtu_ms;	/* as of then; 0: not asked */
	uint32_t			df_max;	/* largest sent that had DF */
	uint32_t			last_len;
	uint8_t				last[LAST_MAX];
	struct echo_sent		sent[ECHO_RING];
};

/* ---- dgram.c ---- */
void	dgram_input(const struct flow_key *, const struct dgram *);
/* Something came back and went to the guest. */
void	dgram_answered(struct dgram_flow *, size_t payload, uint32_t timeout);

/* ---- pmtu.c: datagrams that are too large for the host's path ---- */
bool	pmtu_fits(struct dgram_flow *, const struct dgram *);
void	pmtu_shrunk(struct dgram_flow *);

/* ---- udp.c, echo.c: one datagram from the host ---- */
void	udp_to_guest(struct dgram_flow *, uint8_t *payload, size_t len);
void	echo_to_guest(struct dgram_flow *, uint8_t *icmp, size_t len);
/* A request is about to go out: remembers what its reply must look like. */
void	echo_await(struct dgram_flow *, const struct dgram *);

#endif
