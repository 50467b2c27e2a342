/*
 * Addresses and networks, and what is written instead of them: with a port, in
 * brackets, with a mask, as a range, cut short.
 *
 * Trusts: nothing in the word.
 * Must not: call anything that consults a resolver, a locale or the host.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "read.h"

#define PARTS_SHOWN	6		/* networks of a range */

static uint32_t
to_v4(const struct endpoint *e)
{
	return (uint32_t)e->addr[0] << 24 | (uint32_t)e->addr[1] << 16 |
	    (uint32_t)e->addr[2] << 8 | e->addr[3];
}

static struct prefix
from_v4(uint32_t a, unsigned int len)
{
	struct endpoint	e;

	memset(&e, 0, sizeof(e));
	e.family = ADDR_V4;
	e.addr[0] = (uint8_t)(a >> 24);
	e.addr[1] = (uint8_t)(a >> 16);
	e.addr[2] = (uint8_t)(a >> 8);
	e.addr[3] = (uint8_t)a;
	return prefix_of(&e, len);
}

/* The len bytes of a word, if they are an address. */
static bool
address_in(const char *s, size_t len, struct endpoint *out)
{
	char	buf[ENDPOINT_STRLEN];

	if (len >= sizeof(buf))
		return false;
	memcpy(buf, s, len);
	buf[len] = '\0';
	return addr_parse(buf, out) == 0;
}

/* ---- what was meant ----------------------------------------------------------- */

/* The length that a mask has, or a Cisco's inverse one. */
static bool
mask_length(uint32_t mask, unsigned int *len)
{
	uint32_t	m = mask >> 31 != 0 ? mask : ~mask;

	for (*len = 0; *len < 32 && (m << *len) >> 31 != 0; (*len)++)
		;
	return *len > 0 && (*len == 32 || m << *len == 0);
}

/* "10.0.0.1/8", "10.0.0.0/255.0.0.0", "10/8", "10.0.0/24". */
static bool
with_length(const char *s, struct prefix *out)
{
	const char	*slash = strchr(s, '/'), *end;
	struct endpoint	 e, mask;
	char		 padded[ENDPOINT_STRLEN];
	unsigned int	 len, dots = 0;
	uint64_t	 n;
	const char	*c;

	if (slash == NULL || (size_t)(slash - s) + 6 >= sizeof(padded))
		return false;
	for (c = s; c < slash; c++)
		dots += *c == '.';
	snprintf(padded, sizeof(padded), "%.*s%s", (int)(slash - s), s,
	    strchr(s, ':') != NULL ? "" : dots == 0 ? ".0.0.0" : dots == 1 ?
	    ".0.0" : dots == 2 ? ".0" : "");
	if (addr_parse(padded, &e) == -1)
		return false;
	if (addr_parse(slash + 1, &mask) == 0 && mask.family == ADDR_V4 &&
	    e.family == ADDR_V4 && mask_length(to_v4(&mask), &len))
		n = len;
	else if (!value_number(slash + 1, &end, &n) || *end != '\0')
		return false;
	if (n > (e.family == ADDR_V4 ? 32 : 128))
		return false;
	*out = prefix_of(&e, (unsigned int)n);
	return true;
}

/* "10.*", "10.0.0.*", "10.0.0.x", "10.0.": whole bytes of an IPv4 address. */
static bool
with_stars(const char *s, struct prefix *out)
{
	uint32_t	a = 0;
	unsigned int	bytes = 0;
	const char	*end;
	uint64_t	 n;

	while (bytes < 4 && value_number(s, &end, &n) && n <= 255 && *end == '.') {
		a |= (uint32_t)n << (24 - 8 * bytes++);
		s = end + 1;
	}
	if (bytes == 0 || bytes == 4 || (*s != '\0' && s[strspn(s, "*x.")] != '\0'))
		return false;
	*out = from_v4(a, 8 * bytes);
	return true;
}

/* ---- messages --------------------------------------------------------------------- */

static bool
looks_like_name(const char *s)
{
	const char	*last = strrchr(s, '.');

	last = last != NULL ? last + 1 : s;
	return strchr(s, ':') == NULL && strchr(s, '/') == NULL &&
	    ((*last >= 'a' && *last <= 'z') || (*last >= 'A' && *last <= 'Z') ||
	    *s == '*');
}

/* "192.0.2.1-192.0.2.9", "192.0.2.1-9": the networks that it is made of. */
static bool
told_range(struct parse *p, const struct item *w)
{
	const char	*dash = strchr(w->text, '-'), *end;
	struct text	 t = { NULL, 0, 0 };
	struct endpoint	 lo, hi;
	struct prefix	 part;
	char		 buf[ENDPOINT_STRLEN];
	uint64_t	 a, b, n;
	unsigned int	 len, parts = 0;

	if (dash == NULL || !address_in(w->text, (size_t)(dash - w->text), &lo) ||
	    lo.family != ADDR_V4)
		return false;
	a = b = to_v4(&lo);
	if (addr_parse(dash + 1, &hi) == 0 && hi.family == ADDR_V4)
		b = to_v4(&hi);
	else if (value_number(dash + 1, &end, &n) && *end == '\0' && n <= 255)
		b = (a & ~UINT64_C(255)) | n;
	else
		return false;
	if (a > b) {		/* what was meant all the same */
		n = a;
		a = b;
		b = n;
	}
	for (; a <= b; a += UINT64_C(1) << (32 - len), parts++) {
		for (len = 32; len > 0 && (a & ((UINT64_C(1) << (33 - len)) - 1)) == 0 &&
		    a + (UINT64_C(1) << (33 - len)) - 1 <= b; len--)
			;
		part = from_v4((uint32_t)a, len);
		if (parts < PARTS_SHOWN)
			text_add(&t, "%s%s", parts == 0 ? "" : " ",
			    prefix_print(&part, buf));
	}
	if (parts == 1)
		report_error(p, &w->at, "\"%.64s\" is a range, and networks are "
		    "written: %s", w->text, t.buf);
	else if (parts <= PARTS_SHOWN)
		report_error(p, &w->at, "\"%.64s\" is a range, and networks are "
		    "written: { %s }", w->text, t.buf);
	else
		report_error(p, &w->at, "\"%.64s\" is a range, and networks are "
		    "written: it is %u of them, %s ...", w->text, parts, t.buf);
	free(t.buf);
	return true;
}

/* "9.9.9.9:443", "[2606::1]:443", "[2606::1]". */
static bool
told_port(struct parse *p, const struct item *w)
{
	struct endpoint	e;
	char		buf[ENDPOINT_STRLEN];
	size_t		len = strlen(w->text);

	if (len > 2 && w->text[0] == '[' && w->text[len - 1] == ']' &&
	    address_in(w->text + 1, len - 2, &e)) {
		report_error(p, &w->at, "no brackets stand around an address: write "
		    "%s", addr_print(&e, buf));
		return true;
	}
	if (endpoint_parse(w->text, &e) == -1 || e.port == 0)
		return false;
	report_error(p, &w->at, "\"%.64s\" has a port, which stands by itself: write "
	    "net %s port tcp %u", w->text, addr_print(&e, buf), e.port);
	return true;
}

/* It is known, as a table or a macro. */
static bool
told_mark(struct parse *p, const struct item *w)
{
	if (model_find_table(p->m, w->text) != -1)
		report_error(p, &w->at, "a table is named in < and >: write "
		    "<%.64s>", w->text);
	else if (model_find_macro(p->m, p->scope, w->text) != -1)
		report_error(p, &w->at, "a macro is used with a $: write $%.64s",
		    w->text);
	else
		return false;
	return true;
}

static bool
told_form(struct parse *p, const struct item *w)
{
	struct prefix	near;
	struct endpoint	e;
	char		buf[ENDPOINT_STRLEN];

	if (with_length(w->text, &near) && address_in(w->text,
	    strcspn(w->text, "/"), &e) && strchr(strchr(w->text, '/'), '.') == NULL)
		report_error(p, &w->at, "\"%.64s\" has bits set beyond its length: "
		    "write %s", w->text, prefix_print(&near, buf));
	else if (with_length(w->text, &near) || with_stars(w->text, &near))
		report_error(p, &w->at, "\"%.64s\" is not a network: write %s",
		    w->text, prefix_print(&near, buf));
	else if (w->text[0] == '!')
		report_error(p, &w->at, "what is left out stands behind except: "
		    "except %.64s", w->text + 1);
	else if (strchr(w->text, '%') != NULL)
		report_error(p, &w->at, "\"%.64s\": an address of a rule has no "
		    "interface: leave the %% and what follows it out", w->text);
	else
		return false;
	return true;
}

static int
bad_net(struct parse *p, const struct item *w)
{
	if (told_range(p, w) || told_port(p, w) || told_mark(p, w) ||
	    told_form(p, w))
		return -1;
	if (looks_like_name(w->text))
		report_error(p, &w->at, "\"%.64s\" is not an address: a rule on a "
		    "name is written to name \"%.64s\"", w->text, w->text);
	else
		report_error(p, &w->at, "\"%.64s\" is not a network: an address, "
		    "or a prefix as 192.0.2.0/24 or 2001:db8::/32", w->text);
	return -1;
}

int
value_net(struct parse *p, const struct item *w, struct prefix *out)
{
	static const struct prefix	mapped = { ADDR_V6, 96,
					    { [10] = 0xff, [11] = 0xff } };
	const char			*slash = strchr(w->text, '/'), *end;
	char				 buf[ENDPOINT_STRLEN];
	uint64_t			 len;
	struct prefix			 v4;

	if ((slash != NULL && !value_number(slash + 1, &end, &len)) ||
	    prefix_parse(w->text, out) == -1)
		return bad_net(p, w);
	if (out->len >= mapped.len && prefix_overlaps(out, &mapped)) {
		memset(&v4, 0, sizeof(v4));
		v4 = from_v4((uint32_t)out->addr[12] << 24 |
		    (uint32_t)out->addr[13] << 16 |
		    (uint32_t)out->addr[14] << 8 | out->addr[15],
		    out->len - mapped.len);
		report_error(p, &w->at, "\"%.64s\" is an IPv4 address in IPv6 "
		    "clothes: write %s", w->text, prefix_print(&v4, buf));
		return -1;
	}
	return 0;
}

/* Quotes are for names. */
void
value_quoted(struct parse *p, const struct item *w)
{
	struct prefix	prefix;
	char		buf[ENDPOINT_STRLEN];

	if (prefix_parse(w->text, &prefix) == 0 || with_length(w->text, &prefix))
		report_error(p, &w->at, "\"%.64s\" has no quotes: write %s", w->text,
		    prefix_print(&prefix, buf));
	else
		report_error(p, &w->at, "\"%.64s\" is a name, and this holds "
		    "networks: names have rules of their own, as to name \"%.64s\"",
		    w->text, w->text);
}

/* A word of a list of names is one; nothing is told of others. */
bool
value_is_net(const char *text)
{
	struct prefix	p;

	return prefix_parse(text, &p) == 0 || with_length(text, &p);
}

int
value_endpoint(struct parse *p, const struct item *w, struct endpoint *out)
{
	struct endpoint	e;
	const char	*colon = strrchr(w->text, ':'), *end;
	uint64_t	 port;

	if (endpoint_parse(w->text, out) == 0 && out->port != 0)
		return 0;
	if (colon != NULL && (strncmp(w->text, "localhost:", 10) == 0 ||
	    strncmp(w->text, "*:", 2) == 0 || colon == w->text) &&
	    value_number(colon + 1, &end, &port) && *end == '\0' && port > 0 &&
	    port <= 65535)
		report_error(p, &w->at, "\"%.64s\" is not an address with a port: "
		    "write 127.0.0.1:%u", w->text, (unsigned int)port);
	else if (addr_parse(w->text, &e) == 0)
		report_error(p, &w->at, "\"%.64s\" has no port: write %s%.64s%s:80, "
		    "or the port that it has", w->text, e.family == ADDR_V6 ? "[" :
		    "", w->text, e.family == ADDR_V6 ? "]" : "");
	else
		report_error(p, &w->at, "\"%.64s\" is not an address with a port: "
		    "127.0.0.1:9091 or [::1]:9091", w->text);
	return -1;
}

int
value_address(struct parse *p, const struct item *w, struct endpoint *out)
{
	struct endpoint	e;
	char		buf[ENDPOINT_STRLEN];

	if (addr_parse(w->text, out) == 0) {
		*out = endpoint_canonical(*out);
		return 0;
	}
	if (endpoint_parse(w->text, &e) == 0)
		report_error(p, &w->at, "\"%.64s\" has a port, which a host has "
		    "not: write %s", w->text, addr_print(&e, buf));
	else if (value_is_net(w->text))
		report_error(p, &w->at, "\"%.64s\" is a network, and a host has "
		    "addresses: write each", w->text);
	else
		report_error(p, &w->at, "\"%.64s\" is not an address: 192.0.2.1 or "
		    "2001:db8::1", w->text);
	return -1;
}
