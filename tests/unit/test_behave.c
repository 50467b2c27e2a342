/*
 * How a TCP behaves towards a guest: what gateways are measured by (a connection,
 * each way that it ends, loss, windows, blind resets, urgent data), and what a
 * guest may say that is unusual. RFC 9293 unless a row says otherwise.
 */
#include "script.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static const struct step basic[] = {
	HANDSHAKE, OPENS(1), GUEST(P | A, 1, 100, 1, ALL), READS(100),
	SEES(A, 1, 0, 101), WRITES(200), SEES(A, 1, 200, 101),
	GUEST(A, 101, 0, 201, ALL), NONE,
	SERVER_CLOSE, SEES(F | A, 201, 0, 101), GUEST(A, 101, 0, 202, ALL),
	GUEST(F | A, 101, 0, 202, ALL), SEES(A, 202, 0, 102),
	CLOSED(HOW_FIN, REASON_DONE), END
};
static const struct step guest_fin_first[] = {
	HANDSHAKE, GUEST(F | P | A, 1, 100, 1, ALL), SEES(A, 1, 0, 102),
	READS(100), READS_EOF, WRITES(3000), SEES_ALL(1, 3000),
	GUEST(A, 102, 0, 3001, ALL), NONE, SERVER_CLOSE,
	SEES(F | A, 3001, 0, 102), CLOSED(HOW_FIN, REASON_DONE),
	GUEST(A, 102, 0, 3002, ALL), NONE,
	/* It is gone: LAST-ACK waits for nothing. */
	GUEST(A, 102, 0, 3002, ALL), SEES(R, 3002, 0, 0), END
};
static const struct step both_at_once[] = {
	HANDSHAKE, SERVER_SHUT, SEES(F | A, 1, 0, 1), GUEST(F | A, 1, 0, 1, ALL),
	SEES(A, 2, 0, 2), READS_EOF, CLOSED(HOW_FIN, REASON_DONE),
	GUEST(A, 2, 0, 2, ALL), NONE,
	/* TIME-WAIT: a repeated FIN is acknowledged for ten seconds. */
	WAIT(8000), GUEST(F | A, 1, 0, 2, ALL), SEES(A, 2, 0, 2),
	WAIT(8000), GUEST(F | A, 1, 0, 2, ALL), SEES(A, 2, 0, 2),
	WAIT(11000), GUEST(F | A, 1, 0, 2, ALL), SEES(R, 2, 0, 0), END
};
static const struct step refused[] = {
	GUEST(S, 0, 0, 0, ALL), DENY(DENY_RESET), SEES(R | A, 0, 0, 1), END
};
static const struct step refused_silently[] = {
	GUEST(S, 0, 0, 0, ALL), DENY(DENY_SILENT), NONE, END
};
static const struct step guest_rst[] = {
	HANDSHAKE, GUEST(P | A, 1, 100, 1, ALL), SEES(A, 1, 0, 101), READS(100),
	GUEST(R | A, 101, 0, 1, ALL), NONE, CLOSED(HOW_RST, REASON_GUEST_RST),
	READS_RESET, END
};
/* RFC 6298: after a second, doubled each time; never less than 0.6 s here. */
static const struct step rto[] = {
	HANDSHAKE, WRITES(500), SEES(A, 1, 500, 1), WAIT(500), NONE,
	WAIT(700), SEES(A, 1, 500, 1), NONE,
	WAIT(900), NONE, WAIT(1200), SEES(A, 1, 500, 1), NONE,
	WAIT(2000), NONE, WAIT(2200), SEES(A, 1, 500, 1),
	GUEST(A, 1, 0, 501, ALL), WAIT(20000), NONE, END
};
static const struct step fast_retransmit[] = {
	HANDSHAKE, WRITES(7000), SEES_ALL(1, 7000), GUEST(A, 1, 0, 1401, ALL),
	GUEST(A, 1, 0, 1401, ALL), GUEST(A, 1, 0, 1401, ALL), NONE,
	GUEST(A, 1, 0, 1401, ALL), SEES(A, 1401, 1400, 1), NONE,
	GUEST(A, 1, 0, 7001, ALL), NONE, END
};
/* One byte at a time until the window opens, less and less often. */
static const struct step zero_window[] = {
	HANDSHAKE_WITH(0), WRITES(500), NONE, WAIT(1000), SEES(A, 1, 1, 1),
	GUEST(A, 1, 0, 1, 0), NONE, WAIT(1500), SEES(A, 1, 1, 1),
	GUEST(A, 1, 0, 1, 0), WAIT(2600), SEES(A, 1, 1, 1),
	GUEST(A, 1, 0, 1, ALL), SEES(A, 1, 500, 1), GUEST(A, 1, 0, 501, ALL),
	NONE, END
};
/* A probe's byte may be taken while the window stays shut; it comes once more. */
static const struct step zero_window_byte[] = {
	HANDSHAKE_WITH(0), WRITES(500), NONE, WAIT(1000), SEES(A, 1, 1, 1),
	GUEST(A, 1, 0, 2, 0), GUEST(A, 1, 0, 2, ALL), SEES(A, 1, 500, 1),
	GUEST(A, 1, 0, 501, ALL), NONE, END
};
static const struct step window_obeyed[] = {
	HANDSHAKE_WITH(TWO), WRITES(20000), SEES(A, 1, 1400, 1),
	SEES(A, 1401, 1400, 1), NONE, GUEST(A, 1, 0, 1401, TWO),
	SEES(A, 2801, 1400, 1), NONE, GUEST(A, 1, 0, 4201, TWO),
	SEES(A, 4201, 1400, 1), SEES(A, 5601, 1400, 1), NONE, END
};
/* The same numbers, a smaller window: nothing more is sent (3.10.7.4, fifth). */
static const struct step window_shrinks[] = {
	HANDSHAKE, GUEST(A, 1, 0, 1, 0), WRITES(500), NONE,
	GUEST(A, 1, 0, 1, ALL), SEES(A, 1, 500, 1), GUEST(A, 1, 0, 501, ALL),
	NONE, END
};
/* ... with bytes in it, which are taken. */
static const struct step window_shrinks_data[] = {
	HANDSHAKE, GUEST(P | A, 1, 10, 1, 0), SEES(A, 1, 0, 11), READS(10),
	WRITES(500), NONE, GUEST(A, 11, 0, 1, ALL), SEES(A, 1, 500, 11), END
};
/* Taken back from under what is on its way: that is repeated, but no more sent. */
static const struct step window_shrinks_under[] = {
	HANDSHAKE_WITH(TWO), WRITES(20000), SEES_ALL(1, 2800),
	GUEST(A, 1, 0, 1401, 0), NONE, WAIT(20000), FORGET,
	GUEST(A, 1, 0, 1401, TWO), TAKES(1401, 18600, 1, TWO), END
};
static const struct step scale_none[] = {
	GUEST_OPTIONS(S, 0, 0, 0, 2800, "\2\4\5\170"), GRANT,
	SEES(S | A, 0, 0, 1), GUEST(A, 1, 0, 1, 2800), WRITES(20000),
	SEES_ALL(1, 2800), NONE, END
};
/* RFC 7323 2.3: 15 is taken for 14. */
static const struct step scale_15[] = {
	GUEST_OPTIONS(S, 0, 0, 0, 1400, "\2\4\5\170\1\3\3\17"), GRANT,
	SEES(S | A, 0, 0, 1), GUEST(A, 1, 0, 1, 1), WRITES(20000),
	SEES_ALL(1, 15400), NONE, END
};
static const struct step mss_default[] = {
	GUEST_OPTIONS(S, 0, 0, 0, 2800, ""), GRANT, SEES(S | A, 0, 0, 1),
	GUEST(A, 1, 0, 1, 2800), WRITES(1000), SEES(A, 1, 536, 1),
	SEES(A, 537, 464, 1), END
};
/* Smaller ones than 216 cost more than they carry. */
static const struct step mss_least[] = {
	GUEST_OPTIONS(S, 0, 0, 0, 2800, "\2\4\0\130"), GRANT,
	SEES(S | A, 0, 0, 1), GUEST(A, 1, 0, 1, 2800), WRITES(300),
	SEES(A, 1, 216, 1), SEES(A, 217, 84, 1), END
};
/* None of these, nor any ECN bit, comes back. */
static const struct step options_unknown[] = {
	GUEST_OPTIONS(S | 0xc0, 0, 0, 0, ALL,
	    "\2\4\5\170\4\2\10\12\0\0\0\1\0\0\0\0\1\3\3\3\375\6\1\2\3\4\1\1"),
	GRANT, SEES(S | A, 0, 0, 1),
	GUEST_OPTIONS(A | 0xc0, 1, 0, 1, ALL, "\1\1\5\12\0\0\0\1\0\0\0\2"),
	GUEST_OPTIONS(P | A, 1, 100, 1, ALL, "\1\1\10\12\0\0\0\2\0\0\0\1"),
	SEES(A, 1, 0, 101), READS(100), END
};
static const struct step syn_retry[] = {
	GUEST(S, 0, 0, 0, ALL), NONE, WAIT(1000), GUEST(S, 0, 0, 0, ALL),
	WAIT(2000), GUEST(S, 0, 0, 0, ALL), NONE, OPENS(1), GRANT,
	SEES(S | A, 0, 0, 1), NONE, GUEST(S, 0, 0, 0, ALL), SEES(S | A, 0, 0, 1),
	GUEST(A, 1, 0, 1, ALL), NONE, OPENS(1), END
};
/* Our half of it: after 1, 2, 4, 8 s, and given up after 20. */
static const struct step syn_ack_retry[] = {
	GUEST(S, 0, 0, 0, ALL), GRANT, SEES(S | A, 0, 0, 1), WAIT(1300),
	SEES(S | A, 0, 0, 1), NONE, WAIT(2000), SEES(S | A, 0, 0, 1), NONE,
	WAIT(4000), SEES(S | A, 0, 0, 1), NONE, WAIT(8000),
	SEES(S | A, 0, 0, 1), NONE, WAIT(6000), SEES(R | A, 1, 0, 1),
	CLOSED(HOW_RST, REASON_GUEST_TIMEOUT), END
};
/* Text beside a SYN is for later, and comes again (RFC 7413 4.2: no cookie). */
static const struct step syn_data[] = {
	GUEST(S | P, 0, 100, 0, ALL), OPENS(1), GRANT, SEES(S | A, 0, 0, 1),
	GUEST(A, 1, 0, 1, ALL), GUEST(P | A, 1, 100, 1, ALL), SEES(A, 1, 0, 101),
	READS(100), END
};
static const struct step syn_fast_open[] = {
	GUEST_OPTIONS(S, 0, 100, 0, ALL,
	    "\2\4\5\170\42\12abcdefgh\1\1"), OPENS(1), GRANT,
	SEES(S | A, 0, 0, 1), GUEST(P | A, 1, 100, 1, ALL), READS(100),
	SEES(A, 1, 0, 101), END
};
static const struct step syn_fin[] = {
	GUEST(S | F, 0, 0, 0, ALL), OPENS(1), GRANT, SEES(S | A, 0, 0, 1),
	GUEST(F | A, 1, 0, 1, ALL), SEES(A, 1, 0, 2), READS_EOF, END
};
static const struct step syn_data_refused[] = {
	GUEST(S | F | P, 0, 100, 0, ALL), DENY(DENY_RESET),
	SEES(R | A, 0, 0, 102), END
};
/* 3.10.7.1: with the numbers that it brings, and no ACK to one that has one. */
static const struct step stray[] = {
	GUEST(P | A, 5, 100, 77, ALL), SEES(R, 77, 0, 0), SEES_WINDOW(0),
	GUEST(F | A, 5, 0, 77, ALL), SEES(R, 77, 0, 0),
	GUEST(S | A, 5, 0, 77, ALL), SEES(R, 77, 0, 0),
	GUEST(P, 5, 100, 0, ALL), SEES(R | A, 0, 0, 105),
	GUEST(F, 5, 100, 0, ALL), SEES(R | A, 0, 0, 106),
	GUEST(R, 5, 0, 0, ALL), NONE, GUEST(R | A, 5, 0, 77, ALL), NONE,
	GUEST(S | R, 5, 0, 0, ALL), NONE, OPENS(0), END
};
static const struct step stray_after_end[] = {
	HANDSHAKE, GUEST(R, 1, 0, 0, 0), GUEST(P | A, 1, 10, 1, ALL),
	SEES(R, 1, 0, 0), END
};
/* RFC 5961 3: where it should be, or an ACK that lets it be so, or nothing. */
static const struct step blind_rst[] = {
	HANDSHAKE, GUEST(R, 1000, 0, 0, 0), SEES(A, 1, 0, 1),
	GUEST(R, 65535, 0, 0, 0), SEES(A, 1, 0, 1),
	GUEST(R, 65536, 0, 0, 0), NONE, GUEST(R, 0, 0, 0, 0), NONE,
	GUEST(R, 0x80000000, 0, 0, 0), NONE,
	GUEST(P | A, 1, 10, 1, ALL), SEES(A, 1, 0, 11), READS(10),
	GUEST(R, 11, 0, 0, 0), NONE, CLOSED(HOW_RST, REASON_GUEST_RST), END
};
/* What a reset says is for people. */
static const struct step rst_text[] = {
	HANDSHAKE, GUEST(R, 1, 100, 0, 0), NONE,
	CLOSED(HOW_RST, REASON_GUEST_RST), READS_RESET, END
};
/* In its place, wherever its end is said to be (RFC 6093). */
static const struct step urgent[] = {
	HANDSHAKE, GUEST_URGENT(P | A, 1, 100, 1, ALL, 100), SEES(A, 1, 0, 101),
	READS(100), GUEST_URGENT(A, 101, 0, 1, ALL, 30000), NONE,
	GUEST_URGENT(P | A, 101, 10, 1, ALL, 0xffff), SEES(A, 1, 0, 111),
	READS(10), END
};
static const struct step host_rst[] = {
	HANDSHAKE, WRITES(100), SEES(A, 1, 100, 1), SERVER_ABORT, NONE,
	GUEST(A, 1, 0, 101, ALL), SEES(R | A, 101, 0, 1),
	CLOSED(HOW_RST, REASON_PEER_RESET), END
};
/* 3.6.1 SHLD-3: the server has closed, and what comes is not read any more. */
static const struct step host_rst_after_fin[] = {
	HANDSHAKE, SERVER_CLOSE, SEES(F | A, 1, 0, 1), GUEST(A, 1, 0, 2, ALL),
	GUEST(P | A, 1, 100, 2, ALL), SEES(A, 2, 0, 101),
	SEES(R | A, 2, 0, 101), CLOSED(HOW_RST, REASON_PEER_RESET), END
};
static const struct step host_rst_after_fin_unread[] = {
	HANDSHAKE, WRITES(100), SEES(A, 1, 100, 1), SERVER_CLOSE,
	SEES(F | A, 101, 0, 1), GUEST(P | A, 1, 100, 1, ALL), SEES(A, 102, 0, 101),
	CLOSED(HOW_RST, REASON_PEER_RESET), NONE,
	GUEST(A, 101, 0, 102, ALL), SEES(R | A, 102, 0, 101), END
};
/* Duplicates of the past, in whole and in part. */
static const struct step duplicates[] = {
	HANDSHAKE, GUEST(P | A, 1, 100, 1, ALL), SEES(A, 1, 0, 101), READS(100),
	GUEST(P | A, 1, 100, 1, ALL), SEES(A, 1, 0, 101),
	GUEST(P | A, 51, 10, 1, ALL), SEES(A, 1, 0, 101),
	GUEST(P | A, 51, 100, 1, ALL), SEES(A, 1, 0, 151), READS(50), END
};
/* Told at once of each that is ahead (RFC 5681 4.2); only what is missing comes again. */
static const struct step out_of_order[] = {
	HANDSHAKE, GUEST(A, 101, 100, 1, ALL), SEES(A, 1, 0, 1),
	GUEST(P | A, 201, 100, 1, ALL), SEES(A, 1, 0, 1), READS(0),
	GUEST(A, 1, 100, 1, ALL), SEES(A, 1, 0, 301), READS(300),
	GUEST(P | A, 301, 10, 1, ALL), SEES(A, 1, 0, 311), READS(10), END
};
static const struct step out_of_order_backwards[] = {
	HANDSHAKE, GUEST(A, 401, 100, 1, ALL), SEES(A, 1, 0, 1),
	GUEST(A, 301, 100, 1, ALL), SEES(A, 1, 0, 1),
	GUEST(A, 301, 100, 1, ALL), SEES(A, 1, 0, 1),
	GUEST(A, 101, 100, 1, ALL), SEES(A, 1, 0, 1),
	GUEST(A, 201, 100, 1, ALL), SEES(A, 1, 0, 1),
	GUEST(A, 1, 100, 1, ALL), SEES(A, 1, 0, 501), READS(500), END
};
/* Pieces that overlap, cut differently when they come again. */
static const struct step out_of_order_overlap[] = {
	HANDSHAKE, GUEST(A, 51, 100, 1, ALL), SEES(A, 1, 0, 1),
	GUEST(A, 101, 200, 1, ALL), SEES(A, 1, 0, 1),
	GUEST(A, 101, 50, 1, ALL), SEES(A, 1, 0, 1),
	GUEST(A, 351, 50, 1, ALL), SEES(A, 1, 0, 1),
	GUEST(A, 1, 60, 1, ALL), SEES(A, 1, 0, 301), READS(300),
	GUEST(A, 301, 75, 1, ALL), SEES(A, 1, 0, 401), READS(100), END
};
static const struct step out_of_order_fin[] = {
	HANDSHAKE, GUEST(F | A, 201, 0, 1, ALL), SEES(A, 1, 0, 1),
	GUEST(F | A, 101, 100, 1, ALL), SEES(A, 1, 0, 1),
	GUEST(A, 1, 100, 1, ALL), SEES(A, 1, 0, 202), READS(200), READS_EOF, END
};
/* What one that is ahead acknowledges is acknowledged, and its window holds. */
static const struct step out_of_order_ack[] = {
	HANDSHAKE_WITH(TWO), WRITES(3000), SEES_ALL(1, 2800),
	GUEST(A, 101, 100, 2801, ALL), SEES(A, 2801, 200, 1),
	SEES(A, 3001, 0, 1), GUEST(A, 101, 100, 3001, ALL), SEES(A, 3001, 0, 1),
	WAIT(5000), NONE, GUEST(A, 1, 100, 3001, ALL), SEES(A, 3001, 0, 201),
	READS(200), END
};
/* They count as no duplicate ACKs of ours. */
static const struct step out_of_order_no_dupacks[] = {
	HANDSHAKE, WRITES(7000), SEES_ALL(1, 7000),
	GUEST(A, 101, 100, 1, ALL), SEES(A, 7001, 0, 1),
	GUEST(A, 201, 100, 1, ALL), SEES(A, 7001, 0, 1),
	GUEST(A, 301, 100, 1, ALL), SEES(A, 7001, 0, 1),
	GUEST(A, 401, 100, 1, ALL), SEES(A, 7001, 0, 1), NONE, END
};
static const struct step out_of_order_rst[] = {
	HANDSHAKE, GUEST(A, 101, 100, 1, ALL), SEES(A, 1, 0, 1),
	GUEST(R, 201, 0, 0, 0), SEES(A, 1, 0, 1),
	GUEST(R, 1, 0, 0, 0), NONE, CLOSED(HOW_RST, REASON_GUEST_RST), END
};
/* During the handshake, and after the server has closed. */
static const struct step out_of_order_early[] = {
	GUEST(S, 0, 0, 0, ALL), GRANT, SEES(S | A, 0, 0, 1),
	GUEST(A, 101, 100, 1, ALL), SEES(A, 1, 0, 1),
	GUEST(A, 1, 100, 1, ALL), SEES(A, 1, 0, 101),
	GUEST(A, 101, 100, 1, ALL), SEES(A, 1, 0, 201), READS(200), SERVER_SHUT,
	SEES(F | A, 1, 0, 201), GUEST(A, 301, 100, 2, ALL), SEES(A, 2, 0, 201),
	GUEST(A, 201, 100, 2, ALL), SEES(A, 2, 0, 401), READS(200), END
};
/* A guest's own keep-alives, and its probes of our window. */
static const struct step keepalive[] = {
	HANDSHAKE, GUEST(A, 0, 0, 1, ALL), SEES(A, 1, 0, 1),
	GUEST(A, 0, 1, 1, ALL), SEES(A, 1, 0, 1), END
};
/* A new connection from the same port, and an old SYN that is late. */
static const struct step time_wait_new[] = {
	HANDSHAKE, SERVER_CLOSE, SEES(F | A, 1, 0, 1), GUEST(F | A, 1, 0, 2, ALL),
	SEES(A, 2, 0, 2), GUEST(S, 0, 0, 0, ALL), SEES(A, 2, 0, 2), OPENS(1),
	GUEST(S, 2, 0, 0, ALL), NONE, OPENS(2), GRANT, SEES(S | A, 0, 0, 3),
	END
};
/* The guest was faster than its clock, and says so: the port is free again. */
static const struct step time_wait_below[] = {
	HANDSHAKE, SERVER_CLOSE, SEES(F | A, 1, 0, 1), GUEST(F | A, 1, 0, 2, ALL),
	SEES(A, 2, 0, 2), GUEST(R, 2, 0, 0, 0), GUEST(A, 1, 0, 2, ALL),
	SEES(A, 2, 0, 2), GUEST(S, (uint32_t)-5000, 0, 0, ALL), SEES(A, 2, 0, 2),
	GUEST(R, 2, 0, 0, 0), NONE, GUEST(S, (uint32_t)-5000, 0, 0, ALL), NONE,
	OPENS(2), GRANT, SEES(S | A, 0, 0, (uint32_t)-4999), END
};
/* The guest has forgotten an attempt and makes another one. */
static const struct step syn_received_new[] = {
	GUEST(S, 0, 0, 0, ALL), GRANT, SEES(S | A, 0, 0, 1),
	GUEST(S, 5000, 0, 0, ALL), SEES(A, 1, 0, 1), GUEST(R, 1, 0, 0, 0), NONE,
	GUEST(S, 5000, 0, 0, ALL), OPENS(2), GRANT, SEES(S | A, 0, 0, 5001), END
};

static const struct script scripts[] = {
	{ "basic", basic },
	{ "guest FIN first", guest_fin_first },
	{ "both FINs at once", both_at_once },
	{ "refused", refused },
	{ "refused silently", refused_silently },
	{ "out of order", out_of_order },
	{ "out of order, backwards", out_of_order_backwards },
	{ "out of order, overlapping", out_of_order_overlap },
	{ "out of order, FIN", out_of_order_fin },
	{ "out of order, acknowledging", out_of_order_ack },
	{ "out of order is no duplicate ACK", out_of_order_no_dupacks },
	{ "out of order, RST", out_of_order_rst },
	{ "out of order, early and late", out_of_order_early },
	{ "duplicates", duplicates },
	{ "guest RST", guest_rst },
	{ "RTO", rto },
	{ "fast retransmit", fast_retransmit },
	{ "zero window", zero_window },
	{ "zero window, a byte taken", zero_window_byte },
	{ "window obeyed", window_obeyed },
	{ "window shrinks", window_shrinks },
	{ "window shrinks with data", window_shrinks_data },
	{ "window shrinks under data", window_shrinks_under },
	{ "window scale, none", scale_none },
	{ "window scale 15", scale_15 },
	{ "MSS, none", mss_default },
	{ "MSS 88", mss_least },
	{ "options, unknown", options_unknown },
	{ "SYN retry", syn_retry },
	{ "SYN,ACK retry", syn_ack_retry },
	{ "SYN with data", syn_data },
	{ "SYN with a fast open cookie", syn_fast_open },
	{ "SYN with FIN", syn_fin },
	{ "SYN with data, refused", syn_data_refused },
	{ "SYN-RECEIVED, new SYN", syn_received_new },
	{ "stray data", stray },
	{ "stray data after the end", stray_after_end },
	{ "blind RST", blind_rst },
	{ "RST with text", rst_text },
	{ "urgent", urgent },
	{ "keep-alive of the guest", keepalive },
	{ "host RST", host_rst },
	{ "host RST after FIN", host_rst_after_fin },
	{ "host RST after FIN, data unread", host_rst_after_fin_unread },
	{ "TIME-WAIT, new SYN", time_wait_new },
	{ "TIME-WAIT, SYN below", time_wait_below },
};

int
main(void)
{
	return script_run(scripts, COUNT(scripts));
}
