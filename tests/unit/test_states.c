/*
 * Every state of a connection with every segment that is not in order in it: the
 * state-event table of RFC 9293 3.10.7, with RFC 5961 where it says more. After
 * each segment a last one shows whether the connection is still what it was, so
 * that nothing of a refused segment counts: not its text, FIN, acknowledgment.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define WINDOW		65535u		/* ours, in all of these */

struct state {
	const char		*name;
	const struct step	*setup;
	uint32_t		 rcv, snd, una;	/* RCV.NXT, SND.NXT, SND.UNA */
};

static const struct step closed[] = { END };
static const struct step syn_received[] = {
	GUEST(S, 0, 0, 0, ALL), GRANT, SEES(S | A, 0, 0, 1), END
};
static const struct step established[] = { HANDSHAKE, END };
static const struct step fin_wait_1[] = {
	HANDSHAKE, SERVER_SHUT, SEES(F | A, 1, 0, 1), END
};
static const struct step fin_wait_2[] = {
	HANDSHAKE, SERVER_SHUT, SEES(F | A, 1, 0, 1), GUEST(A, 1, 0, 2, ALL),
	NONE, END
};
static const struct step closing[] = {
	HANDSHAKE, SERVER_SHUT, SEES(F | A, 1, 0, 1), GUEST(F | A, 1, 0, 1, ALL),
	SEES(A, 2, 0, 2), END
};
static const struct step time_wait[] = {
	HANDSHAKE, SERVER_SHUT, SEES(F | A, 1, 0, 1), GUEST(A, 1, 0, 2, ALL),
	GUEST(F | A, 1, 0, 2, ALL), SEES(A, 2, 0, 2), END
};
static const struct step close_wait[] = {
	HANDSHAKE, GUEST(F | A, 1, 0, 1, ALL), SEES(A, 1, 0, 2), END
};
static const struct step last_ack[] = {
	HANDSHAKE, GUEST(F | A, 1, 0, 1, ALL), SEES(A, 1, 0, 2), SERVER_CLOSE,
	SEES(F | A, 1, 0, 2), END
};

static const struct state states[] = {
	{ "SYN-RECEIVED", syn_received, 1, 1, 0 },
	{ "ESTABLISHED", established, 1, 1, 1 },
	{ "FIN-WAIT-1", fin_wait_1, 1, 2, 1 },
	{ "FIN-WAIT-2", fin_wait_2, 1, 2, 2 },
	{ "CLOSING", closing, 2, 2, 1 },
	{ "TIME-WAIT", time_wait, 2, 2, 2 },
	{ "CLOSE-WAIT", close_wait, 2, 1, 1 },
	{ "LAST-ACK", last_ack, 2, 2, 1 },
	{ "CLOSED", closed, 1, 1, 1 },
};

/*
 * In the order of the states, what the guest sees:
 *	.  nothing		A  an ACK: <SEQ=SND.NXT><ACK=RCV.NXT>
 *	R  <SEQ=SEG.ACK><CTL=RST>
 *	Z  <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>
 *	S  the SYN,ACK again	N  nothing yet: a new connection is asked for
 *	X  nothing: the connection is gone
 */
struct event {
	const char	*name;
	uint8_t		 flags;
	uint32_t	 seq;		/* from RCV.NXT on */
	uint32_t	 len;
	uint32_t	 ack;		/* from SND.NXT on */
	const char	*expect;
};

#define LESS(n)	((uint32_t)-(n))

static const struct event events[] = {
	{ "SYN above the window's left edge", S, 1000, 0, 0, "AAAAANAAN" },
	{ "SYN just below it", S, LESS(1), 0, 0, "SAAAAAAAN" },
	{ "SYN far below it", S, LESS(1000), 0, 0, "AAAAAAAAN" },
	{ "SYN beyond the window", S, 70000, 0, 0, "AAAAANAAN" },
	{ "SYN with data", S, 1000, 10, 0, "AAAAANAAN" },
	{ "SYN,FIN", S | F, 1000, 0, 0, "AAAAANAAN" },
	{ "SYN,ACK", S | A, 0, 0, 0, "AAAAAAAAR" },
	{ "SYN,FIN,ACK with data", S | F | A, 0, 10, 0, "AAAAAAAAR" },
	{ "SYN,RST in its place", S | R, 0, 0, 0, "XXXXX.XX." },
	{ "SYN,RST in the window", S | R, 1, 0, 0, "AAAAA.AA." },
	{ "no flag, data", 0, 0, 10, 0, "........Z" },
	{ "no flag, empty", 0, 0, 0, 0, "........Z" },
	{ "FIN without ACK", F, 0, 0, 0, "........Z" },
	{ "URG,PSH without ACK", U | P, 0, 10, 0, "........Z" },
	{ "ACK of the unsent, data", A, 0, 10, 1000, "RAAAAAAAR" },
	{ "ACK of the unsent by one", A, 0, 0, 1, "RAAAAAAAR" },
	{ "ACK of the unsent, FIN", F | A, 0, 0, 1, "RAAAAAAAR" },
	{ "ACK older than a window", A, 0, 10, LESS(150000), "RAAAAAAAR" },
	{ "ACK half the space away", A, 0, 10, 0x80000000, "RAAAAAAAR" },
	{ "data left of the window", A, LESS(1000), 10, 0, "AAAAAAAAR" },
	{ "data right of it", A, WINDOW + 1, 10, 0, "AAAAAAAAR" },
	{ "data half the space away", A, 0x80000000, 10, 0, "AAAAAAAAR" },
	{ "FIN left of the window", F | A, LESS(2), 0, 0, "AAAAAAAAR" },
	{ "FIN right of it", F | A, WINDOW + 1, 0, 0, "AAAAAAAAR" },
	{ "empty, left of the window", A, LESS(1), 0, 0, "AAAAAAAAR" },
	{ "empty, right of it", A, WINDOW + 1, 0, 0, "AAAAAAAAR" },
	{ "RST in its place", R, 0, 0, 0, "XXXXX.XX." },
	{ "RST,ACK of the unsent", R | A, 0, 0, 1000, "XXXXX.XX." },
	{ "RST at the window's second", R, 1, 0, 0, "AAAAA.AA." },
	{ "RST at its last", R, WINDOW - 1, 0, 0, "AAAAA.AA." },
	{ "RST at its right edge", R, WINDOW, 0, 0, "........." },
	{ "RST left of it", R, LESS(1), 0, 0, "........." },
	{ "RST half the space away", R, 0x80000000, 0, 0, "........." },
};

/* ---- one pair is one script ---- */

static void
put(struct step **to, struct step s)
{
	*(*to)++ = s;
}

static void
put_answer(struct step **to, const struct state *st, const struct step *e,
    char expect)
{
	struct step	s = { .op = OP_SEES, .line = __LINE__ };

	switch (expect) {
	case 'A':
		s.flags = A;
		s.seq = st->snd;
		s.ack = st->rcv;
		break;
	case 'R':
		s.flags = R;
		s.seq = e->ack;
		break;
	case 'Z':
		s.flags = R | A;
		s.ack = e->seq + e->len + ((e->flags & F) != 0);
		break;
	case 'S':
		s.flags = S | A;
		s.ack = 1;
		break;
	default:
		s.op = OP_NONE;
	}
	put(to, s);
}

/* A keep-alive: an ACK, or a RST if there is no connection any more. */
static void
put_proof(struct step **to, const struct state *st, char expect)
{
	bool		gone = expect == 'X' || st->setup == closed;
	struct step	ask = GUEST(A, st->rcv - 1, 0, st->una, ALL),
			alive = SEES(A, st->snd, 0, st->rcv),
			dead = SEES(R, st->una, 0, 0);

	put(to, ask);
	put(to, gone ? dead : alive);
}

static void
put_new(struct step **to, const struct state *st, const struct step *e)
{
	struct step	opens = OPENS(st->setup == closed ? 1 : 2),
			grant = GRANT, sees = SEES(S | A, 0, 0, e->seq + 1);

	put(to, opens);
	put(to, grant);
	put(to, sees);
}

static const struct step *
compile(const struct state *st, const struct event *ev, char expect)
{
	struct step		*steps = calloc(32, sizeof(*steps)), *to = steps;
	struct step		 e = GUEST(ev->flags, st->rcv + ev->seq, ev->len,
				    st->snd + ev->ack, 0), end = END;
	const struct step	*s;

	for (s = st->setup; s->op != OP_END; s++)
		put(&to, *s);
	put(&to, e);
	put_answer(&to, st, &e, expect);
	if (expect == 'N')
		put_new(&to, st, &e);
	else
		put_proof(&to, st, expect);
	put(&to, end);
	return steps;
}

int
main(void)
{
	static struct script	 all[COUNT(states) * COUNT(events)];
	size_t			 i, j, n = 0;
	char			*name;

	for (i = 0; i < COUNT(states); i++)
		for (j = 0; j < COUNT(events); j++) {
			if (asprintf(&name, "%s: %s", states[i].name,
			    events[j].name) == -1)
				return 1;
			all[n].name = name;
			all[n++].steps = compile(&states[i], &events[j],
			    events[j].expect[i]);
		}
	return script_run(all, (unsigned int)n);
}
