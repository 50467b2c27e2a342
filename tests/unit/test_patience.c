/*
 * What was taken from a server is not lost to a clock: a reader may pause for as
 * long as it likes if it answers, and says nothing at all for as long as a
 * virtual machine may be paused. RFC 9293 3.8.3 (R2), 3.8.6.1 (zero windows).
 */
#include "script.h"

#define MINUTES(n)	((n) * 60000u)
#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

/* A question of no bytes, an answer of n, and both ends have said all. */
#define LAST_ACK(w, n)							\
	HANDSHAKE_WITH(w), GUEST(F | A, 1, 0, 1, w), SEES(A, 1, 0, 2),	\
	READS_EOF, WRITES(n), SERVER_CLOSE, CLOSED(HOW_FIN, REASON_DONE)
#define FIN_WAIT_1(w, n) HANDSHAKE_WITH(w), WRITES(n), SERVER_CLOSE

/* Two segments are taken of n bytes, and no more until the guest says so. */
#define STOPS(a)	TAKES(1, 2800, a, 0), FORGET, GUEST(A, a, 0, 2801, 0)
#define GOES_ON(n, a)							\
	GUEST(A, a, 0, 2801, ALL), TAKES(2801, (n) - 2800, a, ALL)

/* The guest has all n bytes now, and the FIN; nothing is left of it then. */
#define LAST_ACK_DONE(n)						\
	FORGET, GUEST(A, 2, 0, (n) + 2, ALL), NONE,			\
	GUEST(A, 2, 0, (n) + 2, ALL), SEES(R, (n) + 2, 0, 0)
#define FIN_WAIT_1_DONE(n)						\
	FORGET, GUEST(A, 1, 0, (n) + 2, ALL), NONE,			\
	GUEST(F | A, 1, 0, (n) + 2, ALL), SEES(A, (n) + 2, 0, 2),	\
	CLOSED(HOW_FIN, REASON_DONE)

static const struct step last_ack_15s[] = {
	LAST_ACK(ALL, 500), WAIT(15000), FORGET,
	GUEST(A, 2, 0, 502, ALL), NONE, END
};
static const struct step last_ack_silent[] = {
	LAST_ACK(ALL, 20000), WAIT(MINUTES(15)), FORGET,
	TAKES(1, 20000, 2, ALL), LAST_ACK_DONE(20000), END
};
static const struct step last_ack_zero_window[] = {
	LAST_ACK(TWO, 200000), STOPS(2), PAUSES(MINUTES(40), 2801, 2),
	GOES_ON(200000, 2), LAST_ACK_DONE(200000), END
};
/* Probes that nobody answers: the machine is paused, not only the reader. */
static const struct step last_ack_zero_window_silent[] = {
	LAST_ACK(TWO, 20000), STOPS(2), WAIT(MINUTES(15)), FORGET,
	GOES_ON(20000, 2), LAST_ACK_DONE(20000), END
};
/* A window that was taken back when it was full of segments. */
static const struct step last_ack_shrunk[] = {
	LAST_ACK(ALL, 20000), STOPS(2), PAUSES(MINUTES(40), 2801, 2),
	GOES_ON(20000, 2), LAST_ACK_DONE(20000), END
};
/* The server's FIN alone. */
static const struct step last_ack_fin[] = {
	LAST_ACK(ALL, 0), WAIT(MINUTES(15)), LAST_ACK_DONE(0), END
};
static const struct step last_ack_for_good[] = {
	LAST_ACK(ALL, 500), WAIT(MINUTES(21)), FORGET,
	GUEST(A, 2, 0, 1, ALL), SEES(R, 1, 0, 0), END
};
static const struct step fin_wait_1_silent[] = {
	FIN_WAIT_1(ALL, 20000), WAIT(MINUTES(15)), FORGET,
	TAKES(1, 20000, 1, ALL), FIN_WAIT_1_DONE(20000), END
};
static const struct step fin_wait_1_zero_window[] = {
	FIN_WAIT_1(TWO, 200000), STOPS(1), PAUSES(MINUTES(40), 2801, 1),
	GOES_ON(200000, 1), FIN_WAIT_1_DONE(200000), END
};
/* A reader that goes on now and then, much longer in all than any limit. */
static const struct step fin_wait_1_slow[] = {
	FIN_WAIT_1(TWO, 16800), STOPS(1),
#define SLOW(at)	PAUSES(200000, at, 1), GUEST(A, 1, 0, at, TWO),		\
			TAKES(at, 2800, 1, 0)
	SLOW(2801), SLOW(5601), SLOW(8401), SLOW(11201), SLOW(14001),
	FIN_WAIT_1_DONE(16800), END
};
/* ... and then the other half may be idle for its ten minutes and no more. */
static const struct step fin_wait_2_idle[] = {
	FIN_WAIT_1(ALL, 500), TAKES(1, 500, 1, ALL), FORGET,
	GUEST(A, 1, 0, 502, ALL), NONE, PAUSES(598000, 502, 1), NONE,
	WAIT(4000), CLOSED(HOW_RST, REASON_IDLE), SEES(R | A, 502, 0, 1), END
};
static const struct step fin_wait_1_for_good[] = {
	FIN_WAIT_1(ALL, 500), WAIT(MINUTES(21)),
	CLOSED(HOW_RST, REASON_GUEST_TIMEOUT), FORGET, END
};
/* Its FIN has come with the acknowledgment of nothing. */
static const struct step closing_silent[] = {
	FIN_WAIT_1(ALL, 20000), GUEST(F | A, 1, 0, 1, ALL),
	CLOSED(HOW_FIN, REASON_DONE), WAIT(MINUTES(15)), FORGET,
	TAKES(1, 20000, 2, ALL), FORGET, GUEST(A, 2, 0, 20002, ALL), NONE,
	GUEST(F | A, 1, 0, 20002, ALL), SEES(A, 20002, 0, 2), END
};
static const struct step established_silent[] = {
	HANDSHAKE, WRITES(20000), WAIT(MINUTES(15)), FORGET,
	TAKES(1, 20000, 1, ALL), END
};
static const struct step established_zero_window[] = {
	HANDSHAKE_WITH(TWO), WRITES(20000), STOPS(1),
	PAUSES(MINUTES(180), 2801, 1), GOES_ON(20000, 1), END
};
static const struct step established_for_good[] = {
	HANDSHAKE, WRITES(500), WAIT(MINUTES(21)),
	CLOSED(HOW_RST, REASON_GUEST_TIMEOUT), FORGET, END
};
/* A guest that has been silent because nobody asked is not gone. */
static const struct step established_asked_late[] = {
	HANDSHAKE, WAIT(MINUTES(90)), NONE, WRITES(500), WAIT(MINUTES(15)),
	FORGET, TAKES(1, 500, 1, ALL), END
};
/* The server's RST waits behind its bytes. */
static const struct step reset_zero_window[] = {
	HANDSHAKE_WITH(TWO), WRITES(20000), STOPS(1), SERVER_ABORT,
	CLOSED(HOW_RST, REASON_PEER_RESET), PAUSES(MINUTES(40), 2801, 1),
	GOES_ON(20000, 1), SEES(R | A, 20001, 0, 1), END
};

static const struct script scripts[] = {
	{ "LAST-ACK, silent for 15 s", last_ack_15s },
	{ "LAST-ACK, silent for 15 min", last_ack_silent },
	{ "LAST-ACK, zero window for 40 min", last_ack_zero_window },
	{ "LAST-ACK, zero window and silent", last_ack_zero_window_silent },
	{ "LAST-ACK, window taken back", last_ack_shrunk },
	{ "LAST-ACK, FIN unanswered for 15 min", last_ack_fin },
	{ "LAST-ACK, silent for good", last_ack_for_good },
	{ "FIN-WAIT-1, silent for 15 min", fin_wait_1_silent },
	{ "FIN-WAIT-1, zero window for 40 min", fin_wait_1_zero_window },
	{ "FIN-WAIT-1, slow reader", fin_wait_1_slow },
	{ "FIN-WAIT-1, silent for good", fin_wait_1_for_good },
	{ "FIN-WAIT-2, idle", fin_wait_2_idle },
	{ "CLOSING, silent for 15 min", closing_silent },
	{ "ESTABLISHED, silent for 15 min", established_silent },
	{ "ESTABLISHED, zero window for 3 h", established_zero_window },
	{ "ESTABLISHED, asked after 90 min", established_asked_late },
	{ "ESTABLISHED, silent for good", established_for_good },
	{ "host RST, zero window for 40 min", reset_zero_window },
};

int
main(void)
{
	return script_run(scripts, COUNT(scripts));
}
