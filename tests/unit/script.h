/*
 * TCP by script: segments of a guest's into the real room (frame_room.h), what it
 * is sent back, what the server and the broker see of it, and hours that take no
 * time. A script is a table of steps; numbers are relative to both ends' initial
 * sequence numbers, as tcpdump(1) has them: a SYN is 0, the first byte 1.
 */
#ifndef SCRIPT_H
#define SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#include "frame_room.h"

/* For tables. */
enum { F = S_FIN, S = S_SYN, R = S_RST, P = S_PSH, A = S_ACK, U = S_URG };

enum op {
	OP_END, OP_GUEST, OP_SEES, OP_SEES_ALL, OP_NONE, OP_WAIT, OP_GRANT,
	OP_DENY, OP_OPENS, OP_CLOSED, OP_WRITES, OP_READS, OP_EOF, OP_ECONNRESET,
	OP_SHUT, OP_CLOSE, OP_ABORT, OP_WINDOW, OP_TAKES, OP_PAUSES, OP_FORGET
};

struct step {
	enum op		 op;
	int		 line;
	uint8_t		 flags;
	uint32_t	 seq, len, ack, win, urgent;
	const char	*options;	/* of a SYN: NULL: as below */
	uint32_t	 options_len;
};

/*
 * MSS 1400, the same on both families, and a scale of 3. So a window of TWO is two
 * segments, and one of ALL, 128000 bytes, is all that a script sends.
 */
#define SCRIPT_OPTIONS	"\2\4\5\170\1\3\3\3"
#define TWO		350
#define ALL		16000

struct script {
	const char		*name;
	const struct step	*steps;
};

#define STEP(o, ...)	{ .op = (o), .line = __LINE__, __VA_ARGS__ }

/* ---- the guest ---- */
#define GUEST(f, s, l, a, w)						\
	STEP(OP_GUEST, .flags = (f), .seq = (s), .len = (l), .ack = (a),	\
	    .win = (w))
#define GUEST_URGENT(f, s, l, a, w, u)					\
	STEP(OP_GUEST, .flags = (f) | U, .seq = (s), .len = (l),	\
	    .ack = (a), .win = (w), .urgent = (u))
/* With these options and no others. */
#define GUEST_OPTIONS(f, s, l, a, w, o)					\
	STEP(OP_GUEST, .flags = (f), .seq = (s), .len = (l), .ack = (a),	\
	    .win = (w), .options = (o), .options_len = sizeof(o) - 1)
/* The next segment that it is sent; payload is looked at, PSH is not. */
#define SEES(f, s, l, a)						\
	STEP(OP_SEES, .flags = (f), .seq = (s), .len = (l), .ack = (a))
/* ... and the window in it, as it stands there. */
#define SEES_WINDOW(w)	STEP(OP_WINDOW, .win = (w))
/* Segments that carry just these bytes, whatever their lengths. */
#define SEES_ALL(s, l)	STEP(OP_SEES_ALL, .seq = (s), .len = (l))
/* No more than that. */
#define NONE		STEP(OP_NONE)
#define WAIT(ms)	STEP(OP_WAIT, .len = (ms))
/*
 * Takes l bytes from sequence number s on, as a reader whose window is one segment
 * does: an ACK with a window of w for each that comes.
 */
#define TAKES(s, l, a, w)						\
	STEP(OP_TAKES, .seq = (s), .len = (l), .ack = (a), .win = (w))
/* For so long its answer to all is that it has no room for what comes at s. */
#define PAUSES(ms, s, a)						\
	STEP(OP_PAUSES, .len = (ms), .seq = (s), .ack = (a))
/* What it was sent until now got lost, or does not matter. */
#define FORGET	STEP(OP_FORGET)

/* ---- the broker ---- */
#define GRANT		STEP(OP_GRANT)
#define DENY(c)		STEP(OP_DENY, .len = (c))
#define OPENS(n)	STEP(OP_OPENS, .len = (n))	/* so many, in all */
#define CLOSED(how, why) STEP(OP_CLOSED, .len = (how), .ack = (why))

/* ---- the server ---- */
#define WRITES(l)	STEP(OP_WRITES, .len = (l))
#define READS(l)	STEP(OP_READS, .len = (l))	/* all that there is */
#define READS_EOF	STEP(OP_EOF)
#define READS_RESET	STEP(OP_ECONNRESET)
#define SERVER_SHUT	STEP(OP_SHUT)
#define SERVER_CLOSE	STEP(OP_CLOSE)
#define SERVER_ABORT	STEP(OP_ABORT)

#define END		STEP(OP_END)

/* The server sees a connection, and neither has spoken. */
#define HANDSHAKE_WITH(w)						\
	GUEST(S, 0, 0, 0, ALL), GRANT, SEES(S | A, 0, 0, 1),		\
	GUEST(A, 1, 0, 1, w), NONE
#define HANDSHAKE	HANDSHAKE_WITH(ALL)

/* Each script over IPv4 and IPv6; the exit status of the program. */
int	script_run(const struct script *, unsigned int n);

#endif
