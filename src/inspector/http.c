/*
 * The host that the head of an HTTP/1 request is for.
 *
 * Trusts: nothing; see tls.c. Servers and the gateways in front of them differ
 * most in what they forgive: a bare line feed, a folded line, a space in front of
 * a colon, a second Host. None of that is forgiven here (RFC 9112, 2.2, 3.2, 5.1
 * and 5.2; RFC 9110, 5.5), so what passes is read alike by all of them.
 * Must not: look behind the head. `assurance` host is about the first request of
 * a connection.
 */
#include <string.h>
#include <strings.h>

#include "inspector.h"
#include "span.h"

#define PORT_DIGITS	5

/* The bytes up to `c`, which is eaten and not in `out`. */
static bool
take_until(struct span *s, int c, struct span *out)
{
	const uint8_t	*at = memchr(s->p, c, span_left(s));

	if (at == NULL)
		return false;
	*out = (struct span){ s->p, at };
	s->p = at + 1;
	return true;
}

static bool
is(const struct span *s, const char *text)
{
	return span_left(s) == strlen(text) &&
	    memcmp(s->p, text, span_left(s)) == 0;
}

static bool
is_nocase(const struct span *s, const char *text)
{
	return span_left(s) == strlen(text) &&
	    strncasecmp((const char *)s->p, text, span_left(s)) == 0;
}

/* RFC 9110, 5.6.2. */
static bool
is_token(const struct span *s)
{
	static const char	marks[] = "!#$%&'*+-.^_`|~";
	const uint8_t		*p;

	for (p = s->p; p < s->end; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
		    (*p >= '0' && *p <= '9') ||
		    memchr(marks, *p, sizeof(marks) - 1) != NULL))
			return false;
	return span_left(s) > 0;
}

/* Ends in CR LF and has neither anywhere else, nor another control character. */
static bool
take_line(struct span *head, struct span *line)
{
	const uint8_t	*p;

	if (!take_until(head, '\n', line) || span_left(line) == 0 ||
	    line->end[-1] != '\r')
		return false;
	line->end--;
	for (p = line->p; p < line->end; p++)
		if ((*p < ' ' && *p != '\t') || *p == 0x7f)
			return false;
	return true;
}

/*
 * uri-host and, after a colon, digits (RFC 9110, 7.2). The name is as in a
 * ClientHello: no address, and no trailing dot, about which servers differ.
 */
static bool
read_authority(struct span text, struct name *name)
{
	struct span	host = text, port;
	const uint8_t	*p;

	port.p = text.end;
	if (take_until(&text, ':', &host))
		port.p = text.p - 1;
	port.end = text.end;
	if (span_left(&port) == 1 || span_left(&port) > PORT_DIGITS + 1)
		return false;
	for (p = port.p; p < port.end; p++)
		if (p > port.p && (*p < '0' || *p > '9'))
			return false;
	return span_left(&host) > 0 && host.end[-1] != '.' &&
	    name_from_text((const char *)host.p, span_left(&host), name) == 0;
}

struct request {
	struct span	authority;	/* of the target, if `absolute` */
	bool		absolute;
	struct span	host;		/* the field's value */
	unsigned int	hosts;
};

/* "http://authority/path" (RFC 9112, 3.2.2). */
static bool
absolute_target(struct span target, struct request *r)
{
	struct span	scheme;
	const uint8_t	*p;

	if (!span_take(&target, strlen("http://"), &scheme) ||
	    !is_nocase(&scheme, "http://"))
		return false;
	for (p = target.p; p < target.end; p++)
		if (*p == '/' || *p == '?' || *p == '#')
			break;
	r->authority = (struct span){ target.p, p };
	r->absolute = true;
	return true;
}

/* CONNECT's target is of a fourth form, and no server of a name takes it. */
static bool
request_line(struct span line, struct request *r)
{
	struct span	method, target;
	const uint8_t	*p;

	if (!take_until(&line, ' ', &method) || !is_token(&method) ||
	    span_left(&method) > PEEK_METHOD_MAX ||
	    is(&method, "CONNECT") || !take_until(&line, ' ', &target) ||
	    (!is(&line, "HTTP/1.1") && !is(&line, "HTTP/1.0")))
		return false;
	for (p = target.p; p < target.end; p++)
		if (*p <= ' ' || *p >= 0x7f)
			return false;
	if (span_left(&target) == 0)
		return false;
	if (*target.p == '/' || (is(&target, "*") && is(&method, "OPTIONS")))
		return true;
	return absolute_target(target, r);
}

/* A line that begins with a blank is no token, so nothing is folded. */
static bool
field_line(struct span line, struct request *r)
{
	struct span	name;

	if (!take_until(&line, ':', &name) || !is_token(&name))
		return false;
	if (!is_nocase(&name, "Host"))
		return true;
	while (line.p < line.end && (*line.p == ' ' || *line.p == '\t'))
		line.p++;
	while (line.p < line.end && (line.end[-1] == ' ' ||
	    line.end[-1] == '\t'))
		line.end--;
	r->host = line;
	return ++r->hosts == 1;
}

/* To the empty line, which must be there. */
static bool
read_head(struct span head, struct request *r)
{
	struct span	line;

	if (!take_line(&head, &line) || !request_line(line, r))
		return false;
	for (;;) {
		if (!take_line(&head, &line))
			return false;
		if (span_left(&line) == 0)
			return true;
		if (!field_line(line, r))
			return false;
	}
}

/*
 * The server goes by the target's authority where there is one, whoever is in
 * front of it perhaps by Host: they are to be the same, port and all. "Host:"
 * without a value names nothing.
 */
static bool
read_host(const struct request *r, struct name *name)
{
	if (r->absolute && (r->hosts == 0 ||
	    span_left(&r->host) != span_left(&r->authority) ||
	    strncasecmp((const char *)r->host.p, (const char *)r->authority.p,
	    span_left(&r->host)) != 0))
		return false;
	if (r->hosts == 0 || (span_left(&r->host) == 0 && !r->absolute))
		return true;
	return read_authority(r->host, name);
}

void
inspect_http(const uint8_t *bytes, size_t len, struct inspect_result *out)
{
	struct span	head = { bytes, bytes + len };
	struct request	r = { 0 };

	inspect_clear(out);
	if (read_head(head, &r) && read_host(&r, &out->name))
		out->status = out->name.len > 0 ? INSPECT_NAMED :
		    INSPECT_NAMELESS;
	else
		inspect_clear(out);
}

void
inspect_clear(struct inspect_result *out)
{
	struct wire_head	head = out->head;

	memset(out, 0, sizeof(*out));
	out->head = head;
	out->status = INSPECT_BAD;
}

int
inspect(uint32_t kind, const uint8_t *bytes, size_t len,
    struct inspect_result *out)
{
	if (kind < PEEK_TLS || kind > PEEK_EITHER)
		return -1;
	if (kind == PEEK_EITHER)
		kind = len > 0 && *bytes == PEEK_TLS_FIRST ? PEEK_TLS :
		    PEEK_HTTP;
	if (kind == PEEK_TLS)
		inspect_tls(bytes, len, out);
	else
		inspect_http(bytes, len, out);
	if (out->status == INSPECT_BAD && inspect_is_alien(bytes, len))
		out->status = INSPECT_ALIEN;
	out->hint = inspect_hint(bytes, len);
	out->kind = kind;
	return 0;
}
