/*
 * Broker -> recorder: what is to be written. The recorder turns one record into
 * one line of JSON; sallyport-audit(5) says what each field means.
 *
 * Same rules as wire.h. Strings are NUL-terminated and NUL-filled; the recorder
 * escapes them. `rec` numbers the records of one broker from 1 without a gap;
 * the recorder acknowledges by it, and a new recorder says in READY which was
 * the last that reached the log, so the broker can send the rest again.
 */
#ifndef SALLYPORT_RECORD_H
#define SALLYPORT_RECORD_H

#include "addr.h"
#include "keeper.h"
#include "wire.h"

#define RULE_MAX	64		/* a rule's label or id, with the NUL */
#define LOC_MAX		128		/* "file:line" */
#define DETAIL_MAX	128

enum record_msg {
	/* broker -> recorder */
	RECORD_START = 300,	/* struct record_start: first, and never again */
	RECORD_WRITE,		/* struct record */
	RECORD_END,		/* struct wire_head only: flush, ack, exit 0 */
	RECORD_NAMED,		/* struct record_named: a WRITE with names */
	/* recorder -> broker */
	RECORD_HELLO = 330,	/* sealed; struct wire_hello */
	RECORD_READY,		/* struct record_ack: last rec of this inst in the log */
	RECORD_DURABLE,		/* struct record_ack: all up to `rec` are on the disk
				   (or written, where durability is async) */
	RECORD_FAILED,		/* struct record_ack: writing failed; records after
				   `rec` are not in the log unless acknowledged later */
	RECORD_RECOVERED	/* struct record_ack: writing works again */
};

enum policy_durable { DURABLE_BEFORE_DATA, DURABLE_BEFORE_CONNECT, DURABLE_ASYNC };

struct record_start {
	struct wire_head head;
	uint8_t		inst[16];	/* this daemon's uuid */
	uint32_t	durable;	/* enum policy_durable */
	uint32_t	resume;		/* 1 = same broker as before: open flows live on;
					   0 = fresh: they are closed as unknown-crash */
	uint64_t	rotate;		/* bytes per segment, 0 = never */
	uint64_t	keep_bytes, keep_files;	/* of retired segments, 0 = all */
};
static_assert(sizeof(struct record_start) == 16 + 16 + 8 + 24, "record_start");

enum record_type {
	REC_DAEMON_START = 1,
	REC_DAEMON_STOP,
	REC_POLICY_LOAD,
	REC_GUEST_ATTACH,
	REC_GUEST_DETACH,
	REC_FLOW_OPEN,
	REC_FLOW_DENY,
	REC_FLOW_CLOSE,
	REC_DENY_AGG,
	REC_LIMIT,
	REC_IPC_VIOLATION,
	REC_FRAME_DIED,
	REC_DNS,		/* a decided question: verdict, rule, answers */
	REC_CHILD_DIED,		/* resolver or inspector; detail says which */
	REC_DNS_ASK,		/* a question that leaves the host; its REC_DNS follows */
	REC_FLOW_DIAL,		/* a connect, before it is known what the flow is */
	REC_POLICY_REPLACED,	/* detail: a file's path leads to another file now */
	REC_FAIL_AGG,		/* connects that failed, counted: as REC_DENY_AGG */
	REC_RESOLVER_CHANGE,	/* detail: the host's upstreams that are asked from now on */
	REC_FLOW_LIVE,		/* what an open flow has moved so far: neither opens nor ends */
	REC_TYPE_MAX
	/* audit.open, audit.rotate, audit.gap are the recorder's own */
};

enum record_verdict { VERDICT_NONE, VERDICT_ALLOW, VERDICT_DENY, VERDICT_AUDIT_DENY };
/* What the first flight is for: the verdict, or what it is to be kept from. */
enum record_wants { WANTS_NOTHING, WANTS_PROOF, WANTS_LOOK };
enum record_csrc { CSRC_NONE, CSRC_KERNEL, CSRC_FRAME };

struct record {
	struct wire_head head;		/* id = rec */
	uint32_t	type;		/* enum record_type */
	uint32_t	verdict;
	uint32_t	reason;		/* enum reason */
	uint32_t	proto;
	uint64_t	flow;		/* same in dial, open and close; 0 = none. REC_DNS_ASK and
					   its REC_DNS have one too, of the same count */
	uint64_t	ts;		/* CLOCK_REALTIME, ns */
	uint64_t	mono;		/* CLOCK_BOOTTIME, ns */
	struct endpoint	g_src, g_dst;	/* the guest's view */
	struct endpoint	h_src, h_dst;	/* the host's socket; ADDR_NONE = none */
	uint64_t	up, down, pup, pdown;
	uint64_t	dur;		/* ns since the open */
	uint64_t	conn;		/* connect latency, ns */
	uint64_t	rtt;		/* smoothed, ns */
	uint64_t	n, first, last, uniq;	/* deny.agg: count, first and last ts, targets */
	uint32_t	csrc;
	uint32_t	err;		/* errno of a failed connect or start; printed by name */
	uint32_t	gen;		/* policy generation */
	uint32_t	pid;		/* daemon.start, guest.attach, frame.died, child.died */
	uint32_t	signal;
	uint32_t	status;
	uint8_t		pol[32];	/* SHA-256 of the compiled policy */
	char		tenant[TENANT_MAX];
	char		guest[GUEST_MAX];
	char		rule[RULE_MAX];
	char		loc[LOC_MAX];
	char		detail[DETAIL_MAX];	/* ipc.violation: which fault; limit: which */
};
static_assert(sizeof(struct record) ==
    16 + 16 + 24 + 80 + 88 + 24 + 32 + 64 + 64 + 64 + 128 + 128, "record");

/* How firmly a flow is bound to its name. */
enum assurance { ASSURANCE_NONE, ASSURANCE_DNS, ASSURANCE_SNI, ASSURANCE_HOST };

#define RECORD_LIST_MAX	1024		/* texts with spaces between */

/* A record that has names: numbered, kept and acknowledged like any other. */
struct record_named {
	struct record	r;		/* r.head.type = RECORD_NAMED */
	struct name	name;		/* the question's, or the pin's; len 0 = none */
	struct name	sni;		/* what the first flight named: SNI or Host */
	uint32_t	assurance;
	uint32_t	ech;
	uint32_t	qtype;		/* REC_DNS */
	uint32_t	ttl;		/* REC_DNS: as the guest was told */
	uint32_t	stripped;	/* REC_DNS: addresses that the floor took away */
	uint32_t	secure;		/* REC_DNS: DNSSEC */
	uint32_t	urgent;		/* REC_DNS_ASK: it is asked when this is durable */
	uint32_t	wants;		/* REC_FLOW_DIAL: enum record_wants */
	uint32_t	vhost;		/* `sni' is the Host of a request */
	uint32_t	bits;		/* of a sum: `g_dst' is a net of that length */
	uint32_t	least;		/* of a sum: `uniq' is a lower bound */
	uint32_t	tls;		/* the highest version that was offered; 0 = none */
	uint32_t	rcode;		/* REC_DNS: 1 + the upstream's; 0 = it said none */
	uint32_t	upstream_tls;
	uint32_t	uid;		/* REC_DAEMON_START, and the next two */
	uint32_t	cmd_len, cmd_cut;
	struct endpoint	upstream;	/* REC_DNS: who said so */
	union {
		char	alpn[64];
		uint8_t	text[32];	/* REC_POLICY_LOAD: SHA-256 of its text */
	};
	union {
		char	chain[RECORD_LIST_MAX];	/* CNAME targets; of a flow that has no
						   `name': those it may be of; of a
						   sum: the first different ones */
		char	cmd[COMMAND_LINE_MAX];	/* arguments, a NUL after each */
	};
	union {
		char	ips[RECORD_LIST_MAX];	/* addresses of the answer; of a sum:
						   the first different destinations */
		char	policy[POLICY_PATH_MAX];	/* REC_POLICY_LOAD */
	};
};
static_assert(sizeof(struct record_named) ==
    sizeof(struct record) + 512 + 88 + 64 + 2048, "record_named");

struct record_ack {
	struct wire_head head;		/* id = rec */
	uint32_t	err;		/* FAILED: errno */
	uint32_t	harm;		/* 1: acknowledged lines are gone, or are not
					   where the log is said to be; stays 1 */
};
static_assert(sizeof(struct record_ack) == 24, "record_ack");

#endif
