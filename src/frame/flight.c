/*
 * When are a guest's first bytes whole? That is all that is looked for: what they
 * say is read by the inspector, in a room where less is at stake. Pure.
 *
 * Bytes that can never become what is wanted are as good as whole: the sooner they
 * are refused, the better.
 *
 * Trusts: nothing. Must not: keep a byte, or look at one twice.
 */
#include <string.h>

#include "flight.h"

/* ---- TLS: a ClientHello in one or more records (RFC 8446, 4 and 5.1) ---- */

#define TLS_HELLO	1
#define TLS_MAJOR	3
#define TLS_RECORD_HEAD	5
#define TLS_RECORD_MAX	16384
#define TLS_HELLO_HEAD	4

/* The next byte of a record's header. False: this is no such record. */
static bool
record_head(struct flight *s, uint8_t c)
{
	s->head_len++;
	switch (s->head_len) {
	case 1:
		return c == PEEK_TLS_FIRST;
	case 2:
		return c == TLS_MAJOR;
	case 3:
		return true;		/* 1, 2 or 3; it means nothing */
	case 4:
		s->left = c * 256u;
		return true;
	default:
		s->left += c;
		s->head_len = 0;
		return s->left > 0 && s->left <= TLS_RECORD_MAX;
	}
}

/* The next byte of the handshake message. False: this is no ClientHello. */
static bool
hello_byte(struct flight *s, uint8_t c)
{
	s->left--;
	s->seen++;
	if (s->seen == 1)
		return c == TLS_HELLO;
	if (s->seen <= TLS_HELLO_HEAD)
		s->hello = s->hello << 8 | c;
	return s->seen < TLS_HELLO_HEAD || s->hello <= WIRE_FLIGHT_MAX;
}

/* True: enough. */
static bool
tls_byte(struct flight *s, uint8_t c)
{
	if (s->left == 0 || s->head_len > 0)
		return !record_head(s, c);
	if (!hello_byte(s, c))
		return true;
	return s->seen >= TLS_HELLO_HEAD &&
	    s->seen - TLS_HELLO_HEAD >= s->hello && s->left == 0;
}

/* ---- HTTP: up to the empty line behind the fields (RFC 9112, 2.1) ---- */

#define VERSION_LEN	8		/* "HTTP/1.1" or "HTTP/1.0" (3, 2.3) */

/* How much of a version stands at the line's end, after this byte. */
static uint32_t
version_byte(uint32_t have, uint8_t c)
{
	static const char	version[] = "HTTP/1.";

	if (have < VERSION_LEN - 1 ? c == version[have] :
	    have == VERSION_LEN - 1 && (c == '0' || c == '1'))
		return have + 1;
	return c == version[0];
}

/* A method is a token (RFC 9110, 5.6.2 and 9.1); a blank ends it. */
static bool
method_byte(struct flight *s, uint8_t c)
{
	static const char	token[] = "!#$%&'*+-.^_`|~0123456789"
				    "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

	if (c == ' ' && s->left > 0)
		s->head_len = 1;
	if (s->head_len == 0 && ++s->method > PEEK_METHOD_MAX)
		return false;
	return s->head_len > 0 || memchr(token, c, sizeof(token) - 1) != NULL;
}

/*
 * True: enough. A CR before a LF changes nothing (2.2). What does not begin with a
 * method, and a first line that does not end in a version, is no request, whatever
 * follows: in other protocols it may be all that is said before an answer comes.
 */
static bool
http_byte(struct flight *s, uint8_t c)
{
	if (c == '\n') {
		if (s->seen > 0 && s->left == 0)
			return true;
		s->seen += s->left;	/* an empty line in front is no end */
		s->left = 0;
		return s->seen == 1 && s->hello != VERSION_LEN;
	} else if (c != '\r') {
		if (s->seen == 0 && !method_byte(s, c))
			return true;
		s->left = 1;
		if (s->seen == 0)
			s->hello = version_byte(s->hello, c);
		/* No control character but HTAB belongs in a head (RFC 9110, 5.5). */
		return (c < ' ' && c != '\t') || c == 0x7f;
	}
	return false;
}

void
flight_start(struct flight *s, enum peek_kind kind)
{
	memset(s, 0, sizeof(*s));
	s->kind = kind;
}

bool
flight_whole(struct flight *s, const uint8_t *p, size_t len)
{
	if (s->kind == PEEK_EITHER && len > 0)
		s->kind = *p == PEEK_TLS_FIRST ? PEEK_TLS : PEEK_HTTP;
	for (; len > 0 && !s->whole; p++, len--)
		s->whole = s->kind == PEEK_TLS ? tls_byte(s, *p) :
		    http_byte(s, *p);
	return s->whole;
}
