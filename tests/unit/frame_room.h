/*
 * The whole room but its link and its clock, for tests: the real packet, flow,
 * ask, segment, stack and relay code, a broker played over a real channel, a
 * guest made of functions, and a time that stands still until told.
 */
#ifndef FRAME_ROOM_H
#define FRAME_ROOM_H

#include "frame.h"

/* Starts it, once per process: lwIP has no end. flags: enum link_flag. */
void	room_start(uint32_t flags, uint32_t mtu, uint32_t flows_max);

/* ---- the guest ---- */
struct room_seg {		/* a TCP segment, either way */
	bool		v6;
	bool		gateway;	/* to the gateway itself */
	uint16_t	gport, dport;
	uint32_t	seq, ack;
	uint8_t		flags;
	uint16_t	window, urgent;
	const uint8_t	*options;
	size_t		options_len;	/* multiple of 4 */
	const uint8_t	*data;
	size_t		len;
};
enum { S_FIN = 1, S_SYN = 2, S_RST = 4, S_PSH = 8, S_ACK = 16, S_URG = 32 };
#define SYN_OPTIONS	((const uint8_t *)"\2\4\5\264\1\3\3\7")	/* MSS 1460, scale 7 */

/* Into packet_input(), with good checksums. */
void	room_guest_datagram(bool v6, uint16_t gport, uint16_t dport,
	    const uint8_t *, size_t);	/* UDP, to the gateway */
void	room_guest_sends(const struct room_seg *);
/* Any frame. */
void	room_guest_frame(const uint8_t *, size_t);
/* Called for each TCP segment that goes to the guest; the payload is borrowed. */
extern void	(*room_on_segment)(const struct room_seg *);
/* And for everything else that does. */
extern void	(*room_on_other)(const uint8_t *frame, size_t len);
extern bool	room_link_full;
extern unsigned int room_frames;	/* sent to the guest since the start */

/* ---- the broker ---- */
/* The next message of the frame's; 0: none. */
size_t	room_broker_recv(void *, size_t);
/* fd is not closed here. */
void	room_broker_send(const void *, size_t, int fd);
void	room_grant(uint64_t id, int fd);
/* ... after a PEEK and its flight of so many bytes. */
void	room_peek(uint64_t id, enum peek_kind);
void	room_peek_leniently(uint64_t id, enum peek_kind);
void	room_grant_written(uint64_t id, int fd, uint64_t written);
void	room_deny(uint64_t id, enum deny_code);
void	room_revoke(uint64_t id);

/* ---- the loop ---- */
/* Events that are due, then the end of the turn, until nothing moves. */
void	room_turn(void);
/* Time goes on in steps of 100 ms, with turns. */
void	room_wait(uint64_t ms);

/* A connected pair of TCP sockets over the loopback, both non-blocking. */
void	room_tcp_pair(int pair[2]);

#endif
