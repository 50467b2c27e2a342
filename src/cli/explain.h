/*
 * Inside of `sallyport explain`: the question, and who answers it.
 */
#ifndef SALLYPORT_EXPLAIN_H
#define SALLYPORT_EXPLAIN_H

#include "answer.h"
#include "cli.h"
#include "law.h"
#include "model.h"
#include "route.h"

#define EXPLAIN_LOCALS	4096
#define EXPLAIN_NAMES	64		/* --name */
#define EXPLAIN_SHOWN	3		/* of those, without --all */

enum topic { TOPIC_FLOW, TOPIC_DNS, TOPIC_REACH };

/* Ports at which a verdict may be another than for the one before. */
struct edges {
	uint16_t	port[UINT16_MAX];
	size_t		n;		/* 0: not found yet */
};

struct question {
	enum topic		 topic;
	const char		*path, *tenant, *what, *about;	/* as written */
	bool			 quiet, json, all;
	const char		*name[EXPLAIN_NAMES];	/* as they were written */
	size_t			 nnames;
	const char		*shown;		/* of --sni, --host; "": it names nothing */
	bool			 told;		/* what the first bytes are: `flight' */
	struct lease		 lease[2];
	struct reading		 r;
	struct policy_query	 query;
	struct endpoint		 local[EXPLAIN_LOCALS];	/* sorted */
	size_t			 nlocals;
	struct route		 route;		/* fd -1: there is no asking */
	struct name		 names[EXPLAIN_NAMES];	/* sorted, no doubles */
	const struct name	*bound[EXPLAIN_NAMES];
	struct policy_shown	 flight;
	struct edges		 edges[2];	/* TCP, UDP */
};

/* explain_own.c: as policy_query.own, by the addresses of this host and its routes */
void	explain_locals(struct question *);
uint32_t explain_own(struct question *, uint32_t proto, const struct endpoint *);

/* explain_row.c: what the verdict would be for each thing that may be shown */
void	explain_row(struct answer *, const struct question *,
	    const struct judgement *);
/* The entry of a rule's lists that the question is found in. */
const struct spot *explain_entry(const struct question *,
	    const struct judgement *, uint32_t rule, struct spot *);

/* explain_steps.c, explain_name.c, reach.c: the steps and the verdict */
void	explain_flow(struct answer *, struct question *);
/* The verdict's word, reason and rule: into the answer, and as text. */
void	explain_outcome(struct answer *, uint32_t kind, uint32_t reason,
	    uint32_t rule, struct text *);
void	explain_name(struct answer *, struct question *);
/* 0, or -1 after a message: it is nothing that can be asked about. */
int	explain_reach(struct answer *, struct question *, struct json *);
/* The frame answers for the gateway itself, and asks nobody. */
bool	explain_frame_answers(const struct judgement *, uint32_t proto,
	    uint16_t port);

/* reach_ports.c: what becomes of all ports, from 1 to 65535 */
enum { PROOF_SNI, PROOF_ECH, PROOF_HOST, PROOFS };
struct way {				/* cleared first: compared as bytes */
	uint32_t	kind, reason, rule;
	uint32_t	peek;		/* PEEK_NONE, too, if it is only recorded */
	uint32_t	watch;		/* PEEK_LOOK: the deny that it is looked at for */
	uint32_t	gateway;	/* 1: the frame answers */
	uint32_t	proof[PROOFS];	/* the rule that is proved, or POLICY_NO_RULE */
	uint64_t	names[PROOFS];	/* bit i: bound[i] proves it */
};
struct range {
	uint32_t	proto;
	uint16_t	lo, hi;		/* 0: icmp echo */
	struct way	way;
};
struct ranges { struct range *v; size_t n, cap; };
/* Adds those of one protocol, for query.dst and the names that are bound. */
void	reach_ports(struct question *, uint32_t proto, struct ranges *);
bool	reach_open(const struct way *);		/* is let through, maybe */

/* reach_text.c: ranges that go the same way, in words */
void	reach_say(struct answer *, const struct question *,
	    const struct ranges *);
void	reach_json(const struct question *, struct json *,
	    const struct ranges *);
/* reach.c, reach_net.c */
void	reach_verdict(struct answer *, const struct ranges *);
int	reach_net(struct answer *, struct question *, const struct prefix *,
	    struct json *);
/* Why nothing lets a flow through: on which ports something would. */
void	reach_hint(struct answer *, struct question *);

#endif
