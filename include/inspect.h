/*
 * Broker and inspector: a guest's first bytes go in, at most one name comes out.
 * Same rules as wire.h; no fd travels. The inspector has no socket but its
 * channel, remembers nothing between two flights, and answers each at once, in
 * order.
 */
#ifndef SALLYPORT_INSPECT_H
#define SALLYPORT_INSPECT_H

#include "wire.h"

#define INSPECT_ALPN_MAX	64

enum inspect_type {
	/* broker -> inspector */
	INSPECT_FLIGHT = 500,		/* variable */
	/* inspector -> broker */
	INSPECT_HELLO = 530,		/* sealed; struct wire_hello */
	INSPECT_RESULT
};

struct inspect_flight {			/* + len bytes; head.id: the broker's number */
	struct wire_head head;
	uint32_t	kind;		/* enum peek_kind */
	uint32_t	len;		/* 1..WIRE_FLIGHT_MAX */
};
static_assert(sizeof(struct inspect_flight) == 24, "inspect_flight");

enum inspect_status {
	INSPECT_NAMED = 1,		/* exactly one name */
	INSPECT_NAMELESS,		/* well-formed and whole, but names nothing */
	INSPECT_BAD,			/* cut short, malformed, or more than one name */
	INSPECT_ALIEN			/* neither, and no server takes it for one */
};

/* What it looks like, for people who read of a refusal. */
enum inspect_hint {
	HINT_NONE,
	HINT_TLS,
	HINT_HTTP,
	HINT_SSH,
	HINT_POSTGRES,			/* asks for TLS before it says a hello */
	HINT_SOCKS,
	HINT_MAX
};

struct inspect_result {
	struct wire_head head;
	uint32_t	status;		/* enum inspect_status */
	uint32_t	ech;		/* 1: encrypted_client_hello is offered (RFC 9849) */
	uint32_t	kind;		/* what it was read as: PEEK_TLS or PEEK_HTTP */
	uint32_t	hint;		/* enum inspect_hint */
	uint32_t	tls;		/* the highest version that the hello offers, as on
					   the wire (0x0304 is 1.3); 0: none is known */
	uint32_t	zero;
	struct name	name;		/* SNI or Host without its port */
	char		alpn[INSPECT_ALPN_MAX];	/* "h2,http/1.1", NUL-filled; what is
					   not printable is '?'; "" = none */
};
static_assert(sizeof(struct inspect_result) == 16 + 24 + 256 + 64,
    "inspect_result");

#endif
