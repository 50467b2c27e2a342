/*
 * The hatch between broker and frame: one SOCK_SEQPACKET datagram = one
 * message = at most one fd, and fds travel from the broker only.
 *
 * Every message starts with struct wire_head and has exactly the length of its
 * struct. There is no padding, unused bytes are zero, integers are in host byte
 * order (both ends are one build on one machine), text does not cross. Identity
 * is the channel, never a field.
 *
 * id: made by the frame, strictly increasing per channel, never reused, top bit
 * clear (set = made by the broker, for inbound flows).
 *
 * The life of an id, as the frame sees it:
 *   OPEN -> ASKED -> GRANT+fd -> OPEN -> CLOSE
 *                 -> DENY (the id is gone)
 *                 -> CLOSE (cancel); one crossing GRANT, PEEK or DENY is ignored
 *                 -> PEEK -> the frame completes the guest's handshake and sends
 *                    its first bytes, once -> FLIGHT -> GRANT+fd or DENY; or,
 *                    without one in time -> MUTE -> DENY
 *                 -> PEEK{lenient} -> FLIGHT, or MUTE if the guest's FIN comes
 *                    before a byte, or neither -> GRANT+fd or DENY; a GRANT may
 *                    cross the FLIGHT or MUTE
 *   RESOLVE -> ANSWER (the id is gone; it cannot be cancelled)
 *   OPEN state: REVOKE -> the frame resets its guest and answers CLOSE
 * The frame closes its fd before it says CLOSE: one that is still there then is
 * a violation.
 * After each fd the frame sends ACK; that drives the cap on fds in flight.
 *
 * The frame's states towards the broker: HELLO must be the first message, and
 * then never again. CONFIG is the broker's first, and never again.
 */
#ifndef SALLYPORT_WIRE_H
#define SALLYPORT_WIRE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "name.h"

#define WIRE_MAGIC	UINT32_C(0x53414c59)	/* "SALY" */
#define WIRE_VERSION	2
#define WIRE_BUILD_LEN	32
#define WIRE_FLIGHT_MAX	16384			/* a guest's first bytes */
#define WIRE_MAX	(WIRE_FLIGHT_MAX + 64)	/* no message is longer */
#define WIRE_ID_BROKER	(UINT64_C(1) << 63)

enum wire_type {
	/* frame -> broker */
	WIRE_HELLO = 1,
	WIRE_OPEN,
	WIRE_ACK,
	WIRE_CLOSE,
	WIRE_DROPS,
	WIRE_PONG,
	WIRE_RESOLVE,
	WIRE_FLIGHT,		/* variable */
	WIRE_MUTE,
	/* broker -> frame */
	WIRE_CONFIG = 64,
	WIRE_GRANT,		/* carries the fd */
	WIRE_DENY,
	WIRE_REVOKE,
	WIRE_PING,
	WIRE_PEEK,
	WIRE_ANSWER
};

struct wire_head {
	uint32_t	type;
	uint32_t	zero;
	uint64_t	id;		/* 0 where the type has none */
};
static_assert(sizeof(struct wire_head) == 16, "wire_head");

struct wire_hello {
	struct wire_head head;
	uint32_t	magic;
	uint32_t	version;
	char		build[WIRE_BUILD_LEN];	/* NUL-filled */
};
static_assert(sizeof(struct wire_hello) == 56, "wire_hello");

struct wire_open {
	struct wire_head head;
	uint32_t	proto;		/* enum proto */
	struct endpoint	guest;		/* address must be the lease's; the port is a claim */
	struct endpoint	dst;
	uint32_t	zero;
};
static_assert(sizeof(struct wire_open) == 64, "wire_open");

struct wire_id {			/* ACK, MUTE, PING, PONG */
	struct wire_head head;
};

enum wire_how {
	HOW_FIN = 1,			/* flushed, both directions ended */
	HOW_RST,			/* abortive: the host socket is reset */
	HOW_CANCEL			/* before the grant */
};

struct wire_close {
	struct wire_head head;
	uint32_t	how;		/* enum wire_how */
	uint32_t	reason;		/* reason_from_frame_close() */
	uint64_t	up, down;	/* payload bytes, the frame's claim */
	uint64_t	pup, pdown;	/* packets or datagrams, its claim */
};
static_assert(sizeof(struct wire_close) == 56, "wire_close");

struct wire_drops {
	struct wire_head head;
	uint32_t	reason;		/* reason_from_frame_drop() */
	uint32_t	zero;
	uint64_t	n;		/* since the last report of this reason; > 0 */
};
static_assert(sizeof(struct wire_drops) == 32, "wire_drops");

enum link_kind { LINK_TAP = 1, LINK_STREAM = 2 };

enum link_flag {			/* wire_config.flags */
	LINK_VNET = 1 << 0,		/* struct virtio_net_hdr (12 bytes, v1) before each frame */
	LINK_CSUM = 1 << 1,		/* the guest's kernel takes NEEDS_CSUM from us */
	LINK_TSO4 = 1 << 2,
	LINK_TSO6 = 1 << 3,
	LINK_TRUST_CSUM = 1 << 4,	/* do not verify the guest's checksums */
	LINK_ECHO4 = 1 << 5,		/* ping sockets work on this host */
	LINK_ECHO6 = 1 << 6
};

struct wire_lease {
	struct endpoint	guest;		/* port 0; family ADDR_NONE: this family is off */
	struct endpoint	gateway;
	uint32_t	prefix_len;
};
static_assert(sizeof(struct wire_lease) == 44, "wire_lease");

struct wire_config {
	struct wire_head head;
	uint32_t	kind;		/* enum link_kind */
	uint32_t	flags;		/* enum link_flag */
	uint32_t	mtu;		/* 1280..65520 */
	uint32_t	flows_max;	/* live flows of all protocols */
	uint32_t	tcp_idle;	/* seconds; 0 = none */
	uint32_t	tcp_half_idle;	/* half-closed and idle */
	uint32_t	udp_idle;	/* nothing came back yet */
	uint32_t	udp_stream;	/* answered */
	uint32_t	echo_idle;
	uint8_t		gateway_mac[6];
	uint8_t		guest_mac[6];	/* all zero: learn it from the guest */
	struct wire_lease v4, v6;
	uint32_t	zero[2];
};
static_assert(sizeof(struct wire_config) == 16 + 9 * 4 + 12 + 88 + 8,
    "wire_config");

struct wire_grant {			/* + fd */
	struct wire_head head;
	uint64_t	written;	/* bytes of the FLIGHT: the broker has sent them; 0
					   without one, or if it took none (lenient). The
					   frame sends on from here. */
};
static_assert(sizeof(struct wire_grant) == 24, "wire_grant");

/* What the guest is shown. Never why: that is the log's. */
enum deny_code {
	DENY_RESET = 1,			/* TCP RST; others: port unreachable */
	DENY_ADMIN,			/* ICMP 3/13, ICMPv6 1/1 */
	DENY_HOST,			/* ICMP 3/1, ICMPv6 1/3 */
	DENY_NET,			/* ICMP 3/0, ICMPv6 1/0 */
	DENY_SILENT			/* nothing: the guest runs into its own timeout */
};

struct wire_deny {
	struct wire_head head;
	uint32_t	code;		/* enum deny_code */
	uint32_t	zero;
};
static_assert(sizeof(struct wire_deny) == 24, "wire_deny");

struct wire_revoke {
	struct wire_head head;
};

/* What a first flight is to name, and how the frame sees that it is whole. */
enum peek_kind {
	PEEK_TLS = 1,			/* a ClientHello, RFC 8446, 4.1.2 */
	PEEK_HTTP,			/* a request's head, RFC 9112, 2.1 */
	PEEK_EITHER			/* TLS, if it begins with PEEK_TLS_FIRST */
};
#define PEEK_TLS_FIRST	22		/* a handshake record, RFC 8446, 5.1 */
#define PEEK_METHOD_MAX	32		/* bytes of an HTTP method: none is as long */

struct wire_peek {
	struct wire_head head;
	uint32_t	kind;		/* enum peek_kind */
	uint32_t	lenient;	/* 1: it may be granted without a flight */
};
static_assert(sizeof(struct wire_peek) == 24, "wire_peek");

/*
 * The guest's first bytes, as it sent them: whole by the frame's judgement, or
 * WIRE_FLIGHT_MAX of them, or all that came before its FIN.
 */
struct wire_flight {			/* + len bytes */
	struct wire_head head;
	uint32_t	zero;
	uint32_t	len;		/* 1..WIRE_FLIGHT_MAX */
};
static_assert(sizeof(struct wire_flight) == 24, "wire_flight");

/* A typed question of the guest to its gateway. No byte of its packet crosses. */
struct wire_resolve {
	struct wire_head head;
	uint32_t	qtype;		/* RFC 1035, 3.2.3; any that the guest asked for */
	uint32_t	zero;
	struct name	name;
};
static_assert(sizeof(struct wire_resolve) == 280, "wire_resolve");

enum answer_code {			/* what the frame makes of it */
	ANSWER_ADDRESSES = 1,		/* NOERROR, n > 0 */
	ANSWER_NODATA,			/* NOERROR, none of this type */
	ANSWER_NXDOMAIN,
	ANSWER_DENIED,			/* NXDOMAIN and EDE 15, Blocked (RFC 8914) */
	ANSWER_WITHHELD,		/* as NODATA, and EDE 15: there are some */
	ANSWER_SERVFAIL,
	ANSWER_REFUSED,			/* a limit: try later */
	ANSWER_UNREACHED		/* SERVFAIL, and EDE 22: no upstream helped */
};
#define ANSWER_MAX	256		/* addresses */

struct wire_answer {
	struct wire_head head;
	uint32_t	code;		/* enum answer_code */
	uint32_t	ttl;		/* seconds, of the whole answer */
	uint32_t	n;		/* addresses, all of the question's family */
	uint32_t	zero;
	struct endpoint	addr[ANSWER_MAX];	/* port 0; the rest ADDR_NONE */
};
static_assert(sizeof(struct wire_answer) == 16 + 16 + 256 * 20, "wire_answer");

/* At most this many GRANTs without their ACK, per guest: descriptors in
   flight count against the user who sends them, who sends those of every guest. */
#define WIRE_INFLIGHT_MAX	16

/*
 * A stream guest's page that outlives its frame: how much of a record is still
 * to be read from and written to the link, so that the next frame goes on in step.
 */
struct link_shared {
	uint32_t	rx_remaining;	/* 0..65550, else the client is dropped */
	uint32_t	tx_remaining;
};

/*
 * A room's table of what may arrive. `states` is a mask of the room's own
 * states; `len` is exact, unless `tail`: then the struct ends in its uint32_t
 * `len`, and as many bytes, 1..tail, follow it. The handler returns 0, or -1 for
 * a violation.
 */
struct wire_rule {
	uint32_t	type;
	uint32_t	states;
	size_t		len;
	bool		fd;		/* must carry one, and only then */
	int		(*handler)(void *room, const void *msg, int fd);
	uint32_t	tail;		/* the longest tail; 0: none */
};

enum wire_fault {
	WIRE_OK = 0,
	WIRE_SHORT,		/* less than a head */
	WIRE_UNKNOWN,		/* no such type in this direction */
	WIRE_STATE,		/* not now */
	WIRE_LENGTH,		/* not exactly its length */
	WIRE_PADDING,		/* a byte that must be zero is not */
	WIRE_FD,		/* an fd where none belongs, or none where one does */
	WIRE_REFUSED		/* the handler said no */
};
const char *wire_fault_name(enum wire_fault);

/*
 * Finds the rule, checks state, length, head.zero and fd, and calls the handler.
 * Takes `fd`: it is closed here on any fault before the handler ran; a handler
 * owns it from its first line on.
 */
enum wire_fault wire_dispatch(const struct wire_rule *, size_t nrules,
	    uint32_t state, void *room, const void *buf, size_t len, int fd);

/* Fills a head and zeroes the rest of a message of `len` bytes. */
void	wire_begin(void *msg, size_t len, uint32_t type, uint64_t id);

/* "1.0.0+" and the build's id: what HELLO compares. NUL-filled. */
void	wire_build_id(char out[WIRE_BUILD_LEN]);

/* The first word of every room: its own type, and which build speaks. */
void	wire_hello_begin(struct wire_hello *, uint32_t type);
/* True if it is a peer of this very build. */
bool	wire_hello_ours(const struct wire_hello *);

#endif
