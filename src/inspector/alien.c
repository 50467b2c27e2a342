/*
 * Bytes that name nothing because they are another protocol's. A flow that only must
 * not show a denied name goes on with them; so it is not enough that our own readers
 * refuse them. No server of some use, however forgiving, may take them for the beginning
 * of a ClientHello or of a request that could name a host.
 *
 * Trusts: nothing. Must not: call alien what more bytes, or a more lenient reader,
 * could make a request of (RFC 9112, 2.2 and 3): a first word that ends in any blank, a
 * line feed alone, empty lines in front, a version in small letters, a target that is a
 * path or has an authority; a method of any length. Nor what servers skip before a hello,
 * or take for its record: alerts, empty records, versions below 16.
 */
#include <string.h>
#include <strings.h>

#include "inspector.h"
#include "span.h"

#define TLS_MAJORS	16	/* crypto/tls of Go takes all below */
#define TLS_HELLO	1
#define TLS_RECORD_HEAD	5

/* ---- TLS ---- */

static bool
is_record(uint8_t type)
{
	return type >= 20 && type <= 24;	/* RFC 8446, B.1; RFC 6520 */
}

static bool
no_hello(const uint8_t *p, size_t len)
{
	return (len > 1 && p[1] >= TLS_MAJORS) ||
	    (len > TLS_RECORD_HEAD && p[TLS_RECORD_HEAD] != TLS_HELLO &&
	    (p[3] != 0 || p[4] != 0));
}

/*
 * A record that is no handshake's: an empty one, an alert (its first byte is 1 or 2) or
 * a change of ciphers. A hello may come behind it.
 */
static bool
no_prelude(const uint8_t *p, size_t len)
{
	return (len > 1 && p[1] >= TLS_MAJORS) || (len > 3 && p[3] != 0) ||
	    (len > 4 && p[4] > 2) || (len > TLS_RECORD_HEAD && p[4] != 0 &&
	    p[TLS_RECORD_HEAD] != 1 && p[TLS_RECORD_HEAD] != 2);
}

/* ---- HTTP: the first line ---- */

static bool
is_blank(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* RFC 9110, 5.6.2: what a method is made of. */
static bool
is_token(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z') || (c != '\0' &&
	    strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool
contains(const struct span *s, const char *text)
{
	size_t		n = strlen(text);
	const uint8_t	*p;

	for (p = s->p; span_left(s) >= n && p <= s->end - n; p++)
		if (strncasecmp((const char *)p, text, n) == 0)
			return true;
	return false;
}

/* The second word is a path. */
static bool
has_path(const struct span *line)
{
	const uint8_t	*p = line->p;

	while (p < line->end && is_blank(*p))
		p++;
	return p < line->end && *p == '/';
}

static bool
no_request(struct span s)
{
	const uint8_t	*word, *end;

	while (s.p < s.end && (*s.p == '\r' || *s.p == '\n'))
		s.p++;
	for (word = s.p; s.p < s.end && is_token(*s.p); s.p++)
		;
	if (s.p == s.end)
		return false;		/* there may be more of it */
	if (!is_blank(*s.p))
		return true;
	if (s.p == word || (end = memchr(s.p, '\n', span_left(&s))) == NULL)
		return false;
	s.end = end;
	return !contains(&s, "HTTP/") && !contains(&s, "//") && !has_path(&s);
}

bool
inspect_is_alien(const uint8_t *bytes, size_t len)
{
	if (len == 0)
		return false;
	if (*bytes == PEEK_TLS_FIRST)
		return no_hello(bytes, len);
	if (is_record(*bytes))
		return no_prelude(bytes, len);
	return no_request((struct span){ bytes, bytes + len });
}

/* ---- for people ---- */

uint32_t
inspect_hint(const uint8_t *bytes, size_t len)
{
	static const uint8_t	ssl_request[] = { 0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f };
	struct span		head = { bytes, bytes + len };
	const uint8_t		*end = memchr(bytes, '\n', len);

	if (len > 0 && *bytes == PEEK_TLS_FIRST)
		return no_hello(bytes, len) ? HINT_NONE : HINT_TLS;
	if (len >= 4 && memcmp(bytes, "SSH-", 4) == 0)
		return HINT_SSH;
	if (len >= sizeof(ssl_request) &&
	    memcmp(bytes, ssl_request, sizeof(ssl_request)) == 0)
		return HINT_POSTGRES;
	if ((len >= 3 && bytes[0] == 5 && len == 2u + bytes[1]) ||
	    (len >= 9 && bytes[0] == 4 && (bytes[1] == 1 || bytes[1] == 2)))
		return HINT_SOCKS;
	if (end != NULL)
		head.end = end;
	return !no_request(head) && contains(&head, " HTTP/") ? HINT_HTTP :
	    HINT_NONE;
}
