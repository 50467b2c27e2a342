/*
 * The TCP half of the room: segment.c is the front door, gate.c, stack.c and netif.c
 * speak to lwIP, up.c and down.c to host sockets, relay.c decides; peek.c and dnstcp.c
 * stand where a host socket is not yet, or never. Nobody else includes this.
 */
#ifndef SALLYPORT_FRAME_TCP_H
#define SALLYPORT_FRAME_TCP_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "flight.h"
#include "frame.h"
#include "pool.h"

struct tcp_pcb;
struct held;
TAILQ_HEAD(held_queue, held);

enum tcp_phase {
	TCP_HELD,	/* the SYN waits for the broker's answer */
	TCP_HANDSHAKE,	/* our SYN|ACK is out */
	TCP_OPEN,	/* bytes move */
	TCP_DRAINING,	/* no host socket any more; lwIP has bytes for the guest */
	TCP_DEAD	/* out of the table; freed at the end of the turn */
};

enum tcp_far {		/* who is at the other end */
	FAR_HOST,	/* a server, once granted */
	FAR_BROKER,	/* PEEK: it wants the first bytes before there is a server */
	FAR_DNS		/* dnstcp.c */
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
	uint32_t	text;		/* what came with it, and was forgotten */
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
	enum tcp_far		 far;
	enum tcp_gone		 gone;
	uint64_t		 spoke_ms;	/* the guest, or nothing is asked of it */
	struct tcp_syn		 syn;
	uint16_t		 peer_mss;

	/* guest to host */
	struct span_queue	 up;
	uint32_t		 up_bytes;
	uint32_t		 window;	/* what we are ready to hold */
	uint32_t		 promised;	/* this flow's share of up.c's sum */
	uint32_t		 npinned;
	struct held_queue	 ahead;		/* ahead.c: before their turn */
	TAILQ_ENTRY(tcp_flow)	 holders;
	uint64_t		 ahead_ms;

	/* host to guest: read, not yet acknowledged */
	struct chunk_queue	 down;
	uint32_t		 down_bytes;
	uint32_t		 queuelen;	/* share of down.c's sum */

	/* FAR_BROKER */
	TAILQ_ENTRY(tcp_flow)	 flights;	/* peek.c: for the channel */
	struct flight		 peek;
	uint32_t		 peek_seen;	/* bytes of `up` that it has seen */
	bool			 peek_begun;	/* some of it has come */
	bool			 peek_late;	/* it goes as it is */
	bool			 peek_told;	/* FLIGHT or MUTE is sent */
	bool			 peek_mute;	/* MUTE: the broker ends it for us */

	/* FAR_DNS */
	TAILQ_ENTRY(tcp_flow)	 conns;
	uint64_t		 heard_ms;	/* the last whole question or answer */
	uint32_t		 nasked;

	/* half.c: one side has ended, and nobody owes the other anything */
	TAILQ_ENTRY(tcp_flow)	 half;
	uint64_t		 moved_ms;
	uint32_t		 probes;	/* since then */
	bool			 is_half, is_listed;

	uint64_t asked_ms;	/* when the host was last told something */
	int	 prompt;	/* how often it answered at once */
	enum reason quit;	/* to be given up for */

	bool	 is_dirty, is_later, was_later;
	bool	 flight_waits;
	bool	 hup;		/* the end of reading was reported */
	bool	 recheck;	/* ... or could have been */
	bool	 waiting;	/* the pcb is in TIME_WAIT */
	bool	 is_draining;	/* in that list */
	bool	 acked;		/* the guest has taken bytes since the last turn */
	bool	 challenged;	/* ... and a SYN was answered with an ACK */
	bool	 want_ack;
	bool	 blocked;	/* the link was full in the middle of output */
	bool	 bulk;		/* the last read filled its buffer */
	bool	 readable, writable;
	bool	 guest_fin;	/* seen; its data may still be queued */
	bool	 shut_wr;	/* the host has been sent our FIN */
	bool	 host_eof;	/* read() has ended */
	bool	 host_reset;	/* sticky: a call failed with a real error, */
	enum reason host_why;	/* and this is what it said */
};

/* ---- segment.c ---- */
void	segment_build_syn(uint8_t out[SYN_LEN], const struct tcp_flow *);
/* What a refused guest sees of it. */
void	segment_refuse(const struct tcp_flow *, enum deny_code);

/* ---- gate.c ---- */
struct gate_segment {
	uint32_t	seq, ack, len;		/* len: with FIN */
	uint16_t	window;
	uint8_t		flags;
};
enum gate {
	GATE_PASS,	/* lwIP may have it */
	GATE_AHEAD,	/* ... but not yet: something is missing before it */
	GATE_ACK,	/* an ACK says what would be in order; it is dropped */
	GATE_RESET,	/* a RST at its acknowledgment number */
	GATE_END,	/* the connection ends without another word */
	GATE_DROP
};
/* Not a SYN; the flow has a pcb. */
enum gate gate_check(struct tcp_flow *, const struct gate_segment *);
/* In TIME-WAIT: is a SYN of that number a new connection's? */
bool	gate_may_reopen(const struct tcp_flow *, uint32_t seq);

/* ---- ahead.c ---- */
/* A segment that is ahead of the next may be kept; true: its buffer is, too. */
bool	ahead_keep(struct tcp_flow *, struct packet *, uint32_t seq,
	    uint32_t len);
/* The one that `next` is in, if there is one: the buffer is the caller's again. */
bool	ahead_next(struct tcp_flow *, uint32_t next, struct packet *);
void	ahead_discard(struct tcp_flow *);

/* ---- stack.c ---- */
void	stack_init(void);
/* The held SYN into lwIP: SYN|ACK goes out. -1: no memory. */
int	stack_replay(struct tcp_flow *);
void	stack_repeat_syn_ack(struct tcp_flow *);
/* One segment for a flow with a pcb; takes the packet's buffer. */
void	stack_input(struct tcp_flow *, struct packet *);
/* The acknowledgment of a segment alone: 20 bytes of header are looked at. */
void	stack_acknowledgment(struct tcp_flow *, const uint8_t *tcp);
/* An ACK at once, which says what is missing. */
void	stack_duplicate_ack(struct tcp_flow *);
uint32_t stack_rcv_nxt(const struct tcp_flow *);
/* RST to the guest; there is no pcb afterwards. */
void	stack_abort(struct tcp_flow *);
void	stack_fin(struct tcp_flow *);
/* Asks the guest for an ACK (RFC 9293 3.8.4). */
void	stack_probe(struct tcp_flow *);
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

/*
 * Of a flow whose bytes nobody takes yet. More than a flight: a window is told in
 * 128s, and a sender waits for room for a whole segment.
 */
#define PEEK_WINDOW	(2 * WIRE_FLIGHT_MAX)

/* One flow's share of a turn, each way. */
#define TURN_BYTES	(4 * 65536)

/* ---- up.c ---- */
/* Payload from the guest, in order, in a span of the link's: true if kept. */
bool	up_received(struct tcp_flow *, struct span *);
/* How much of a payload of that length there is a place for. */
uint32_t up_room(const struct tcp_flow *, uint32_t len);
uint32_t up_first_window(struct tcp_flow *);
/* At least so much, if memory allows. */
void	up_want_window(struct tcp_flow *, uint32_t);
void	up_adapt_window(struct tcp_flow *, uint32_t taken);
uint32_t up_flush(struct tcp_flow *);		/* what the host took */
/* A copy of what is queued, `from` bytes behind its start; returns how much. */
uint32_t up_read(const struct tcp_flow *, uint32_t from, uint8_t *,
	    uint32_t size);
void	up_take(struct tcp_flow *, size_t);	/* so many are done with */
/* A call on the socket failed, errno says how; sticky. What the host had sent is still read. */
void	up_host_failed(struct tcp_flow *);
void	up_discard(struct tcp_flow *);
void	up_recount(struct tcp_flow *);

/* ---- down.c ---- */
void	down_acked(struct tcp_flow *, uint32_t len);
uint32_t down_pump(struct tcp_flow *);		/* what the host gave */
void	down_look_behind_end(struct tcp_flow *);	/* after host_eof */
/* What is said here; copied. -1: no memory, or nothing can be said. */
int	down_put(struct tcp_flow *, const uint8_t *, uint32_t len);
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
/* Both ends have said all; lwIP keeps what the guest has not acknowledged. */
void	relay_end(struct tcp_flow *);
/* RST to the guest, and the flow is buried. */
void	relay_give_up(struct tcp_flow *, enum reason);
void	relay_make_room(struct tcp_flow *);

/* ---- half.c ---- */
void	half_check(struct tcp_flow *, bool moved);
void	half_idle(struct tcp_flow *);
void	half_leave(struct tcp_flow *);

/* ---- peek.c ---- */
void	peek_start(struct tcp_flow *);
void	peek_connected(struct tcp_flow *);
void	peek_overdue(struct tcp_flow *);
void	peek_serve(struct tcp_flow *);
void	peek_forget(struct tcp_flow *);
void	peek_granted(struct tcp_flow *);

/* ---- dnstcp.c ---- */
/* A zeroed flow with its SYN. False: too many are in use; nothing was done. */
bool	dnstcp_open(struct tcp_flow *, const struct flow_key *);
void	dnstcp_serve(struct tcp_flow *);
void	dnstcp_idle(struct tcp_flow *);
void	dnstcp_leave(struct tcp_flow *);	/* it ends, one way or another */

#endif
