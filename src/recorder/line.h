/*
 * What the files that make a line share (line, member, own): which members a type of
 * record has, and the writing of one.
 */
#ifndef SALLYPORT_RECORDER_LINE_H
#define SALLYPORT_RECORDER_LINE_H

#include "recorder.h"

enum field {
	F_WHO = 1 << 0,		/* tenant, guest */
	F_FLOW = 1 << 1,
	F_TUPLE = 1 << 2,	/* proto, endpoints, community ids */
	F_RULE = 1 << 3,	/* rule_id, loc */
	F_POL = 1 << 4,		/* gen, pol */
	F_BYTES = 1 << 5,	/* up, down, pup, pdown */
	F_TIME = 1 << 6,	/* dur_ns; rtt_ns where known */
	F_ERRNO = 1 << 7,
	F_COUNT = 1 << 8,	/* n, first, last, uniq */
	F_PID = 1 << 9,
	F_DEATH = 1 << 10,	/* signal, status */
	F_DETAIL = 1 << 11,
	F_NAME = 1 << 12,
	F_ASK = 1 << 13,	/* the number is a question's; qtype */
	F_DNS = 1 << 14,	/* chain, ips, ttl, stripped, secure */
	F_CONN = 1 << 15,	/* conn_ns */
	F_WANTS = 1 << 16,
	F_CSRC = 1 << 17,
	F_SHOWN = 1 << 18,	/* names, sni, vhost, alpn, tls_offered, ech, assurance:
				   of a flow */
	F_SUM = 1 << 19,	/* proto, g_net, g_dp, names, dsts, sni, vhost, uniq_least */
	F_START = 1 << 20,	/* version, uid, cmd */
	F_TEXT = 1 << 21,	/* policy, pol_text */
	F_SOURCE = 1 << 22,	/* upstream, rcode; rtt_ns where known */
	F_LIVE = 1 << 23	/* up, down: so far */
};

/* must: always there. may: where it is not zero or empty. */
struct shape {
	const char	*type;
	uint32_t	 must, may;
};

struct subject {			/* what a line is made of */
	const struct shape		*shape;
	const struct record		*r;
	const struct record_named	*n;	/* the same, or NULL */
};

#define NUMBER(j, name, v)	(JSON_KEY(j, name), json_u64(j, v))
#define TEXT(j, name, s)	(JSON_KEY(j, name), json_str(j, s, sizeof(s)))
#define WORD(j, name, s)	(JSON_KEY(j, name), json_str(j, s, 64))

/* ---- line.c ---- */
void	line_start(struct json *, const struct stamp *, const char *type);
void	line_origin(struct json *, const struct origin *, const uint8_t inst[16]);

/* ---- member.c ---- */
/* The body is what stays true of a flow or a question from its beginning to its end. */
enum part { MEMBER_VERDICT, MEMBER_BODY, MEMBER_REST };
void	member_put(struct json *, enum part, const struct subject *);
bool	member_in_body(const char *name, size_t len);
void	member_errno(struct json *, uint32_t err);	/* with its key */

#endif
