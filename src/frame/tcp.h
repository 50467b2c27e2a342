/*
 * The TCP half of the room: segment.c is the front door, stack.c and netif.c speak
 * to lwIP, up.c and down.c to host sockets, relay.c decides. Nobody else includes
 * this.
 */
#ifndef SALLYPORT_FRAME_TCP_H
#define SALLYPORT_FRAME_TCP_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "frame.h"
#include "pool.h"

struct tcp_pcb;

enum tcp_phase {
	TCP_HELD,	/* the SYN waits for the broker's answer */
	TCP_HANDSHAKE,	/* granted; our SYN|ACK is out */
	TCP_OPEN,	/* bytes move */
	TCP_DRAINING,	/* no host socket any more; lwIP has bytes for the guest */
	TCP_DEAD	/* out of the table; freed at the end of the turn */
};

enum tcp_gone {		/* how the pcb ended */
	GONE_NOT,
	GONE_CLEAN,	/* both FINs acknowledged */
	GONE_RESET,	/* the guest's RST */
	GONE_ABORT	/* lwIP gave up, or stack_abort() */
};

/* What is kept of a SYN: all that its canonical copy is made of. */
struct tcp_syn {
	uint32_t	seq;
	uint16_t	window;
	uint16_t	mss;
	uint8_t		scale;		/* SYN_NO_SCALE: no such option */
};
#define SYN_NO_SCALE	0xff
#define SYN_LEN		28	/* of the copy: TCP header, MSS, NOP, scale */

struct tcp_flow {
	struct flow		 flow;
	struct event		 ev;		/* edge-triggered, both ways */
	struct tcp_pcb		*pcb;
	TAILQ_ENTRY(tcp_flow)	 pcbs;		/* stack.c: while there is a pcb */
	TAILQ_ENTRY(tcp_flow)	 dirty;		/* relay.c: to be served, */
	TAILQ_ENTRY(tcp_flow)	 later;		/* in a moment, */
	TAILQ_ENTRY(tcp_flow)	 draining;	/* and TCP_DRAINING */
	enum tcp_phase		 phase;
	enum tcp_gone		 gone;
	struct tcp_syn		 syn;
	uint16_t		 peer_mss;

	/* guest to host */
	struct span_queue	 up;
	uint32_t		 up_bytes;
	uint32_t		 window;	/* what we are ready to hold */
	uint32_t		 promised;	/* this flow's share of up.c's sum */
	uint32_t		 npinned;

	/* host to guest: read, not yet acknowledged */
	struct chunk_queue	 down;
	uint32_t		 down_bytes;
	uint32_t		 queuelen;	/* share of down.c's sum */

	uint64_t asked_ms;	/* when the host was last told something */
	int	 prompt;	/* how often it answered at once */
	enum reason quit;	/* to be given up for */

	bool	 is_dirty, is_later, was_later;
	bool	 hup;		/* the end of reading was reported */
	bool	 recheck;	/* ... or could have been */
	bool	 waiting;	/* the pcb is in TIME_WAIT */
	bool	 want_ack;
	bool	 blocked;	/* the link was full in the middle of output */
	bool	 bulk;		/* the last read filled its buffer */
	bool	 readable, writable;
	bool	 guest_fin;	/* seen; its data may still be queued */
	bool	 shut_wr;	/* the host has been sent our FIN */
	bool	 host_eof;	/* read() has ended */
	bool	 host_reset;	/* sticky: a call failed with a real error */
};

/* ---- segment.c ---- */
void	segment_build_syn(uint8_t out[SYN_LEN], const struct tcp_flow *);
/* What a refused guest sees of it. */
void	segment_refuse(const struct tcp_flow *, enum deny_code);

/* ---- stack.c ---- */
void	stack_init(void);
/* The held SYN into lwIP: SYN|ACK goes out. -1: no memory. */
int	stack_replay(struct tcp_flow *);
void	stack_repeat_syn_ack(struct tcp_flow *);
/* One segment for a flow with a pcb; takes the packet's buffer. */
void	stack_input(struct tcp_flow *, struct packet *);
/* A RST without a pcb. */
void	stack_reset(const struct flow_key *, uint32_t seq, uint32_t ack);
/* RST to the guest; there is no pcb afterwards. */
void	stack_abort(struct tcp_flow *);
void	stack_fin(struct tcp_flow *);
/* Sends what may be sent, and an ACK if one is owed. */
void	stack_flush(struct tcp_flow *);
/* Opens the receive window to flow.window less what is queued. */
void	stack_open_window(struct tcp_flow *);
/* Best size of the next write; 0: none may be made now. */
uint32_t stack_segment(const struct tcp_flow *);
/* Refers to the bytes until down_acked(). -1: no memory. */
int	stack_write(struct tcp_flow *, const uint8_t *, uint32_t len, bool more);
uint32_t stack_queuelen(const struct tcp_flow *);	/* pbufs */
uint32_t stack_rcv_wnd(const struct tcp_flow *);
unsigned int stack_count(void);				/* pcbs but TIME_WAIT */
void	stack_each(void (*)(struct tcp_flow *));
void	stack_unpin(struct span *);

bool	stack_owes_ack(const struct tcp_flow *);

/* One flow's share of a turn, each way. */
#define TURN_BYTES	(4 * 65536)

/* ---- up.c ---- */
/* Payload from the guest, in order, in a span of the link's: true if kept. */
bool	up_received(struct tcp_flow *, struct span *);
/* How much of a payload of that length there is a place for. */
uint32_t up_room(const struct tcp_flow *, uint32_t len);
uint32_t up_first_window(struct tcp_flow *);
void	up_adapt_window(struct tcp_flow *, uint32_t taken);
uint32_t up_flush(struct tcp_flow *);		/* what the host took */
/* A call on the socket failed; sticky. What the host had sent is still read. */
void	up_host_failed(struct tcp_flow *);
void	up_discard(struct tcp_flow *);
void	up_recount(struct tcp_flow *);

/* ---- down.c ---- */
void	down_acked(struct tcp_flow *, uint32_t len);
uint32_t down_pump(struct tcp_flow *);		/* what the host gave */
void	down_discard(struct tcp_flow *);
void	down_recount(struct tcp_flow *);

/* ---- relay.c ---- */
extern const struct flow_ops tcp_flow_ops;

void	relay_dirty(struct tcp_flow *);		/* to be served at the turn's end */
void	relay_later(struct tcp_flow *);		/* ... or in a millisecond */
/* Out of the table now, freed at the end of the turn. */
void	relay_bury(struct tcp_flow *);
/* Acts now, not at the turn's end, on a pcb that is gone. */
void	relay_settle(struct tcp_flow *);

#endif
