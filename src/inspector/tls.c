/*
 * The name in a TLS ClientHello, in whatever records it comes.
 *
 * Trusts: nothing; a guest wrote every byte, and wants the name that is read here
 * to be another than the one that the server reads.
 * Must not: guess. What two readers could read in two ways is BAD: a hello that is
 * cut short, an extension twice, two names, bytes left over in anything that
 * counts its length. Must not: keep anything between two flights.
 *
 * The hello must be whole, and alone in its records. What follows it is not read,
 * unless it is a second handshake record: early data and what belongs to it may
 * (RFC 8446, 4.2.10), and are of any shape. A guest can send whatever it likes a
 * moment later anyway, when the flow is granted; so a hello after a
 * HelloRetryRequest, or a renegotiation, is not seen here: `assurance` sni is
 * about the first hello.
 */
#include <string.h>

#include "inspector.h"
#include "span.h"

#define RECORD_HEAD		5
#define RECORD_HANDSHAKE	PEEK_TLS_FIRST
#define RECORD_MAX		16384	/* RFC 8446, 5.1 */
#define MAJOR			3	/* SSL 3.0 to TLS 1.3 */
#define HANDSHAKE_HEAD		4
#define CLIENT_HELLO		1
#define RANDOM			32
#define SESSION_ID_MAX		32

enum extension {
	EXT_SERVER_NAME = 0,		/* RFC 6066, 3 */
	EXT_ALPN = 16,			/* RFC 7301, 3.1 */
	EXT_VERSIONS = 43,		/* RFC 8446, 4.2.1 */
	EXT_ESNI = 0xffce,		/* what came before ECH, and its drafts: */
	EXT_ECH_07 = 0xff02,
	EXT_ECH_08 = 0xff08,		/* as it was first written */
	EXT_ECH_FIRST = 0xfe08,
	EXT_ECH = 0xfe0d		/* RFC 9849, 5; GREASE is sent as this, too */
};
#define EXTENSIONS		65536

/* The handshake's bytes without their records. */
struct hello {
	uint8_t	bytes[WIRE_FLIGHT_MAX];
	size_t	len;
	uint8_t	seen[EXTENSIONS / 8];	/* a bit for each type */
};

/*
 * One record of the handshake. An empty one is forbidden (5.1), which also bounds
 * how many there can be.
 */
static bool
take_record(struct span *flight, struct hello *h)
{
	uint32_t	type, version, len;
	struct span	body;

	if (!span_number(flight, 1, &type) || type != RECORD_HANDSHAKE ||
	    !span_number(flight, 2, &version) || version >> 8 != MAJOR ||
	    !span_number(flight, 2, &len) || len == 0 || len > RECORD_MAX ||
	    !span_take(flight, len, &body) || len > sizeof(h->bytes) - h->len)
		return false;
	memcpy(h->bytes + h->len, body.p, len);
	h->len += len;
	return true;
}

/* How long the message is that begins here; 0: that is not to be seen yet. */
static size_t
announced(const struct hello *h)
{
	if (h->len < HANDSHAKE_HEAD)
		return 0;
	return HANDSHAKE_HEAD + ((size_t)h->bytes[1] << 16 |
	    (size_t)h->bytes[2] << 8 | h->bytes[3]);
}

/* Exactly one handshake message, a ClientHello; its body. */
static bool
collect(struct span flight, struct hello *h, struct span *body)
{
	h->len = 0;
	do {
		if (!take_record(&flight, h))
			return false;
	} while (announced(h) == 0 || h->len < announced(h));
	if (h->len != announced(h) || h->bytes[0] != CLIENT_HELLO ||
	    (span_left(&flight) > 0 && *flight.p == RECORD_HANDSHAKE))
		return false;
	body->p = h->bytes + HANDSHAKE_HEAD;
	body->end = h->bytes + h->len;
	return true;
}

/*
 * RFC 8446, 4.1.2; up to TLS 1.2 there may be no extensions at all, and this version is
 * the highest.
 */
static bool
skip_to_extensions(struct span *body, struct span *extensions,
    uint32_t *version)
{
	struct span	session, suites, compression;

	*extensions = (struct span){ body->end, body->end };
	if (!span_number(body, 2, version) || *version >> 8 != MAJOR ||
	    !span_take(body, RANDOM, NULL) ||
	    !span_vector(body, 1, &session) ||
	    span_left(&session) > SESSION_ID_MAX ||
	    !span_vector(body, 2, &suites) || span_left(&suites) < 2 ||
	    span_left(&suites) % 2 != 0 ||
	    !span_vector(body, 1, &compression) ||
	    span_left(&compression) == 0)
		return false;
	if (span_left(body) == 0)
		return true;
	return span_vector(body, 2, extensions) && span_left(body) == 0;
}

/*
 * The list may be empty, which names nothing; else it has one entry, a host_name.
 * A trailing dot does not belong there (RFC 6066, 3), and is not taken away.
 */
static bool
server_name(struct span ext, struct inspect_result *out)
{
	struct span	list, text;
	uint32_t	type;

	if (!span_vector(&ext, 2, &list) || span_left(&ext) > 0)
		return false;
	if (span_left(&list) == 0)
		return true;
	if (!span_number(&list, 1, &type) || type != 0 ||
	    !span_vector(&list, 2, &text) || span_left(&list) > 0 ||
	    span_left(&text) == 0 || text.end[-1] == '.')
		return false;
	return name_from_text((const char *)text.p, span_left(&text),
	    &out->name) == 0;
}

/* False: it does not fit. A comma is what stands between two. */
static bool
add_protocol(const struct span *proto, char alpn[INSPECT_ALPN_MAX])
{
	size_t		at = strnlen(alpn, INSPECT_ALPN_MAX);
	const uint8_t	*p;

	if (span_left(proto) + (at > 0) >= INSPECT_ALPN_MAX - at)
		return false;
	if (at > 0)
		alpn[at++] = ',';
	for (p = proto->p; p < proto->end; p++)
		alpn[at++] = *p > ' ' && *p < 0x7f && *p != ',' ? (char)*p :
		    '?';
	return true;
}

/* For people: as many from the front as there is room for. */
static bool
protocols(struct span ext, struct inspect_result *out)
{
	struct span	list, proto;
	bool		room = true;

	if (!span_vector(&ext, 2, &list) || span_left(&ext) > 0 ||
	    span_left(&list) == 0)
		return false;
	while (span_left(&list) > 0) {
		if (!span_vector(&list, 1, &proto) || span_left(&proto) == 0)
			return false;
		room = room && add_protocol(&proto, out->alpn);
	}
	return true;
}

/*
 * For people, so it decides nothing: a list that is not well-formed offers nothing that
 * is known. Drafts, and what is sent only so that nobody gets used to less (GREASE, RFC
 * 8701), have other first bytes.
 */
static uint32_t
versions(struct span ext)
{
	struct span	list;
	uint32_t	one, highest = 0;

	if (!span_vector(&ext, 1, &list) || span_left(&ext) > 0)
		return 0;
	while (span_number(&list, 2, &one))
		if (one >> 8 == MAJOR && one > highest)
			highest = one;
	return span_left(&list) == 0 ? highest : 0;
}

/* "There MUST NOT be more than one extension of the same type" (RFC 8446, 4.2). */
static bool
is_new(struct hello *h, uint32_t type)
{
	uint8_t	bit = (uint8_t)(1u << type % 8);
	bool	new = (h->seen[type / 8] & bit) == 0;

	h->seen[type / 8] |= bit;
	return new;
}

/*
 * An encrypted name, in any form that a server may still understand: behind each of
 * them may stand another name than the one that is read here.
 */
static bool
hides_a_name(uint32_t type)
{
	return (type >= EXT_ECH_FIRST && type <= EXT_ECH) ||
	    type == EXT_ESNI || type == EXT_ECH_07 || type == EXT_ECH_08;
}

static bool
take_extension(struct hello *h, struct span *from, struct inspect_result *out)
{
	struct span	ext;
	uint32_t	type;

	if (!span_number(from, 2, &type) || !span_vector(from, 2, &ext) ||
	    !is_new(h, type))
		return false;
	if (type == EXT_SERVER_NAME)
		return server_name(ext, out);
	if (type == EXT_ALPN)
		return protocols(ext, out);
	if (type == EXT_VERSIONS)
		out->tls = versions(ext);
	if (hides_a_name(type))
		out->ech = 1;
	return true;
}

static bool
read_hello(struct span flight, struct inspect_result *out)
{
	static struct hello	h;
	struct span		body, extensions;

	if (!collect(flight, &h, &body) ||
	    !skip_to_extensions(&body, &extensions, &out->tls))
		return false;
	memset(h.seen, 0, sizeof(h.seen));
	while (span_left(&extensions) > 0)
		if (!take_extension(&h, &extensions, out))
			return false;
	return true;
}

void
inspect_tls(const uint8_t *bytes, size_t len, struct inspect_result *out)
{
	struct span	flight = { bytes, bytes + len };

	inspect_clear(out);
	if (read_hello(flight, out))
		out->status = out->name.len > 0 ? INSPECT_NAMED :
		    INSPECT_NAMELESS;
	else
		inspect_clear(out);
}
