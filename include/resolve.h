/*
 * Broker and resolver: typed questions, typed answers. Same rules as wire.h; no
 * fd travels. The resolver never learns who asks, or why.
 *
 * The broker's first message is CONFIG. The resolver opens what it will ever
 * need, seals itself and says HELLO; questions may be on their way by then.
 * Every ASK gets one ANSWER, in any order, within RESOLVE_TIMEOUT.
 */
#ifndef SALLYPORT_RESOLVE_H
#define SALLYPORT_RESOLVE_H

#include "policy.h"
#include "wire.h"

#define RESOLVE_TIMEOUT		10	/* s; then the answer is FAILED */
#define RESOLVE_CHAIN_MAX	8	/* CNAMEs that are followed */
#define RESOLVE_RCODE_MAX	15	/* of a message's head */
#define RESOLVE_OPEN_MAX	4096	/* questions unanswered at one time */

enum resolve_type {
	/* broker -> resolver */
	RESOLVER_CONFIG = 400,
	RESOLVER_ASK,
	/* resolver -> broker */
	RESOLVER_HELLO = 430,		/* sealed; struct wire_hello */
	RESOLVER_ANSWER
};

/* Asked in their order, or in one of chance each time. */
struct resolver_config {
	struct wire_head head;
	uint32_t	nupstreams;	/* 1..UPSTREAM_MAX */
	uint32_t	dnssec;		/* 0 or 1 */
	uint32_t	rotate;		/* 1: any of them may be the first */
	uint32_t	tcp;		/* 1: never by UDP */
	uint32_t	patience;	/* s for one of them; 0: as we think fit */
	uint32_t	scope[UPSTREAM_MAX];	/* link of an fe80:: address; else 0 */
	uint32_t	zero;
	struct policy_upstream upstream[UPSTREAM_MAX];
};
static_assert(sizeof(struct resolver_config) ==
    16 + 6 * 4 + UPSTREAM_MAX * (4 + sizeof(struct policy_upstream)),
    "resolver_config");

struct resolver_ask {			/* head.id: the broker's number */
	struct wire_head head;
	uint32_t	qtype;		/* RESOLVE_A or RESOLVE_AAAA */
	uint32_t	zero;
	struct name	name;
};
static_assert(sizeof(struct resolver_ask) == 280, "resolver_ask");

enum { RESOLVE_A = 1, RESOLVE_AAAA = 28 };

enum resolve_status {
	RESOLVED = 1,			/* n > 0 */
	RESOLVE_NODATA,
	RESOLVE_NXDOMAIN,
	RESOLVE_BOGUS,			/* DNSSEC says it is forged */
	RESOLVE_FAILED			/* no upstream gave a usable answer in time */
};

struct resolver_answer {
	struct wire_head head;
	uint32_t	status;		/* enum resolve_status */
	uint32_t	ttl;		/* seconds: the least in chain and addresses */
	uint32_t	secure;		/* 1: validated by DNSSEC */
	uint32_t	n, nchain;
	uint32_t	more;		/* 1: there are others, for which is no room */
	/* For the log. The resolver's word, like all of this. */
	uint32_t	upstream;	/* 1 + its place in CONFIG; 0: nobody said anything */
	uint32_t	rcode;		/* 1 + what it said; 0: nothing that could be read */
	uint64_t	rtt;		/* ns, from asking that one to its word */
	struct endpoint	addr[ANSWER_MAX];	/* port 0, of the asked family */
	struct name	chain[RESOLVE_CHAIN_MAX];	/* CNAME targets, in order */
};
static_assert(sizeof(struct resolver_answer) == 16 + 40 + 256 * 20 + 8 * 256,
    "resolver_answer");

#endif
