/*
 * The gateway's name server: dns.c reads questions and writes answers, dnsask.c
 * keeps those that the broker has not answered, dnsudp.c and dnstcp.c are its two
 * doors.
 */
#ifndef SALLYPORT_FRAME_DNS_H
#define SALLYPORT_FRAME_DNS_H

#include "frame.h"

#define DNS_PORT	53
#define DNS_HLEN	12		/* RFC 1035, 4.1.1 */
#define DNS_QUESTION_MAX (NAME_WIRE_MAX + 4)
#define DNS_UDP_MIN	512		/* RFC 1035, 4.2.1; RFC 6891, 6.2.5 */
#define DNS_UDP_MAX	4096
/* The longest answer: every address as AAAA, and an OPT with one option. */
#define DNS_REPLY_MAX	(DNS_HLEN + DNS_QUESTION_MAX + ANSWER_MAX * 28 + 17)

#define DNS_TYPE_A	1
#define DNS_TYPE_AAAA	28

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_BADVERS = 16	/* RFC 6891, 9 */
};

/* All that is kept of a question; its answer is written from this. */
struct dns_query {
	uint16_t	id;
	uint16_t	qtype;
	uint16_t	size;		/* the longest answer over UDP */
	uint8_t		head[2];	/* opcode and RD; CD */
	bool		edns, dnssec_ok;
	enum dns_rcode	rcode;		/* DNS_REPLY, DNS_NO_NAME */
	uint16_t	len;		/* of question; 0: none is echoed */
	uint8_t		question[DNS_QUESTION_MAX];	/* in the guest's case */
};

struct dns_answer {
	enum dns_rcode	rcode;
	uint16_t	ede;		/* an INFO-CODE of RFC 8914; 0: none */
	uint32_t	ttl, n;
	const struct endpoint *addr;	/* of the question's type */
};

enum dns_verdict {
	DNS_ASK,	/* the broker */
	DNS_REPLY,	/* with rcode, at once */
	DNS_NO_NAME,	/* likewise: not a host name */
	DNS_DROP	/* no question at all */
};

/* ---- dns.c: pure ---- */
enum dns_verdict dns_parse(const uint8_t *, size_t, struct dns_query *);
/* Returns the length, at most `size`, which is DNS_UDP_MIN or more. */
size_t	dns_write(const struct dns_query *, const struct dns_answer *,
	    uint8_t *out, size_t size);

/* ---- dnsask.c ---- */
/* Whose question it is, and how the one answer to it is delivered. */
struct dns_client {
	struct endpoint	guest, gateway;
	void		*conn;		/* dnstcp.c's; NULL: UDP */
	void		(*reply)(const struct dns_client *,
			    const struct dns_query *, const struct dns_answer *);
};
/* A message of the guest's. False: no question, there will be no answer. */
bool	dns_take(const uint8_t *, size_t, const struct dns_client *);
/* The connection is gone: nothing of it is answered any more. */
void	dns_orphan(const void *conn);

#endif
