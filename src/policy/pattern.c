/*
 * Host names as people write them: other scripts become A-labels here, once, and
 * from here on there is the one form of include/name.h.
 *
 * Trusts: nothing in the word; it may be any bytes.
 * Must not: resolve anything, or depend on the locale.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <idn2.h>

#include "read.h"

static bool
is_ascii(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s >= 0x80)
			return false;
	return true;
}

/*
 * RFC 5891, 5: lookup, after the mapping of UTS 46 that every browser does too.
 * What comes out is looked at like any other name.
 */
static const char *
to_ascii(struct parse *p, const struct item *w, const char *text)
{
	uint8_t		*out = NULL;
	const char	*s = NULL;
	int		 rc;

	rc = idn2_lookup_u8((const uint8_t *)text, &out,
	    IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (rc == IDN2_OK)
		s = model_string(p->m, (char *)out, strlen((char *)out));
	else
		report_error(p, &w->at, "\"%.64s\" is not a name of IDNA2008: %s",
		    w->text, idn2_strerror(rc));
	idn2_free(out);
	return s;
}

/* 0 to 4: how many bytes the character of UTF-8 has that begins here. */
static size_t
character(const char *s)
{
	unsigned char	c = (unsigned char)*s;
	size_t		n = c == 0 ? 0 : c < 0xc0 ? 1 : c < 0xe0 ? 2 :
			    c < 0xf0 ? 3 : 4;

	return strnlen(s, n);
}

/* What the mapping makes of one character, between two that it leaves alone. */
static bool
becomes_ascii(const char *c, size_t len)
{
	char	 label[8], *mapped = NULL;
	uint8_t	*out = NULL;
	bool	 ascii = false;
	size_t	 i, n;

	snprintf(label, sizeof(label), "0%.*s0", (int)len, c);
	if (idn2_lookup_u8((const uint8_t *)label, &out, IDN2_NFC_INPUT |
	    IDN2_NONTRANSITIONAL) == IDN2_OK &&
	    idn2_to_unicode_8z8z((const char *)out, &mapped, 0) == IDN2_OK) {
		n = strlen(mapped);
		ascii = n < 3;		/* nothing is left of it */
		for (i = 1; i + 1 < n; i++)
			ascii = ascii || (unsigned char)mapped[i] < 0x80;
	}
	idn2_free(out);
	idn2_free(mapped);
	return ascii;
}

/* Nothing was mapped, but for the case of ASCII: so it is with most names. */
static bool
is_as_written(const char *s, const char *ascii)
{
	char	*back = NULL;
	bool	 same;

	same = idn2_to_unicode_8z8z(ascii, &back, 0) == IDN2_OK &&
	    strcasecmp(s, back) == 0;
	idn2_free(back);
	return same;
}

/*
 * Full-width letters, ideographic full stops, ligatures and their like are for
 * input methods. In a policy they would be read as one name and mean another.
 */
static bool
is_disguised(const char *s, const char *ascii)
{
	size_t	len;

	if (is_as_written(s, ascii))
		return false;
	for (; *s != '\0'; s += len) {
		len = character(s);
		if ((unsigned char)*s >= 0x80 && becomes_ascii(s, len))
			return true;
	}
	return false;
}

static bool
has_only(const char *s, const char *set)
{
	return *s != '\0' && s[strspn(s, set)] == '\0';
}

/* What the last label of an address, in any of its historic spellings, is. */
static bool
ends_in_number(const char *s)
{
	char		 last[NAME_LABEL_MAX + 1];
	size_t		 len = strlen(s);
	const char	*from;

	if (len > 0 && s[len - 1] == '.')
		len--;
	for (from = s + len; from > s && from[-1] != '.'; from--)
		;
	if ((len -= (size_t)(from - s)) > NAME_LABEL_MAX)
		return false;
	memcpy(last, from, len);
	last[len] = '\0';
	return has_only(last, "0123456789") || (last[0] == '0' &&
	    (last[1] | 0x20) == 'x' && (last[2] == '\0' ||
	    has_only(last + 2, "0123456789abcdefABCDEF")));
}

/* "https://www.example.com:443/path": the name in it. */
static bool
host_in(const char *text, struct name *out)
{
	const char	*from = strstr(text, "://");
	size_t		 len;

	from = from == NULL ? text + 2 * (strncmp(text, "//", 2) == 0) : from + 3;
	len = strcspn(from, "/:?#");
	return (from != text || from[len] != '\0') &&
	    name_from_text(from, len, out) == 0;
}

/* Of "a.*.example.com" what can be a name below which all is meant. */
static const char *
last_part(const char *text, struct name *out)
{
	const char	*s = text + strlen(text), *best = NULL;

	for (; s > text && s[-1] != '*' && s[-1] != '+'; s--)
		if (s[-1] == '.' && name_from_text(s, strlen(s), out) == 0)
			best = s;
	return best != NULL && strchr(best, '.') != NULL &&
	    name_from_text(best, strlen(best), out) == 0 ?
	    out->text : "example.com";
}

static int
bad_name(struct parse *p, const struct item *w, const char *text)
{
	struct endpoint	e;
	struct name	n;
	char		buf[ENDPOINT_STRLEN];

	if (value_is_net(text) || addr_parse(text, &e) == 0)
		report_error(p, &w->at, "\"%.64s\" is an address, not a name: "
		    "write to net %.64s, without quotes", w->text, text);
	else if (endpoint_parse(text, &e) == 0)
		report_error(p, &w->at, "\"%.64s\" is an address, not a name: "
		    "write to net %s port tcp %u", w->text, addr_print(&e, buf),
		    e.port);
	else if (host_in(text, &n))
		report_error(p, &w->at, "\"%.64s\" is not a host name: no scheme, "
		    "port or path belongs to one: write \"%.64s\"", w->text,
		    n.text);
	else if ((text[0] == '.' || text[0] == '*') && name_from_text(text + 1,
	    strlen(text + 1), &n) == 0 && strchr(n.text, '.') != NULL)
		report_error(p, &w->at, "\"%.64s\": write \"+.%.64s\" for the name "
		    "and all below it, \"**.%.64s\" for those below it alone",
		    w->text, n.text, n.text);
	else if (text == w->text && text[0] == '+' &&
	    name_from_text(text + 1, strlen(text + 1), &n) == 0)
		report_error(p, &w->at, "\"%.64s\": write \"+.%.64s\" for the name "
		    "and all below it", w->text, n.text);
	else if (strchr(text, '*') != NULL || strchr(text, '+') != NULL)
		report_error(p, &w->at, "\"%.64s\": only the first label may be "
		    "* (one label), ** (one or more) or + (none or more), as in "
		    "\"**.%.64s\"", w->text, last_part(text, &n));
	else if (ends_in_number(text))
		report_error(p, &w->at, "\"%.64s\" ends in a number and so reads "
		    "as an address: a rule on an address is written to net",
		    w->text);
	else
		report_error(p, &w->at, "\"%.64s\" is not a host name: labels of 1 "
		    "to 63 letters, digits, - and _, no - at their ends, at most "
		    "253 in all", w->text);
	return -1;
}

static int
parse_text(struct parse *p, const struct item *w, const char *text,
    struct name *out)
{
	const char	*written = text;

	if (!is_ascii(text) && (text = to_ascii(p, w, text)) == NULL)
		return -1;
	if (name_from_text(text, strlen(text), out) == -1)
		return bad_name(p, w, text);
	if (text == written || !is_disguised(written, text))
		return 0;
	report_error(p, &w->at, "\"%.64s\" has characters that stand for ASCII, as "
	    "full-width letters do, and so reads as another name: write %.64s",
	    w->text, text);
	return -1;
}

int
pattern_name(struct parse *p, const struct item *w, struct name *out)
{
	if (strncmp(w->text, "*.", 2) != 0 && strncmp(w->text, "**.", 3) != 0 &&
	    strncmp(w->text, "+.", 2) != 0)
		return parse_text(p, w, w->text, out);
	report_error(p, &w->at, "\"%.64s\" stands for many names, and this is the "
	    "place of one", w->text);
	return -1;
}

int
pattern_parse(struct parse *p, const struct item *w, struct blob_name *out)
{
	const char	*text = w->text;

	memset(out, 0, sizeof(*out));
	if (!w->table && !w->quoted && value_is_net(text)) {
		report_error(p, &w->at, "\"%.64s\" is an address, not a name: "
		    "write to net %.64s", text, text);
		return -1;
	}
	if (w->table || !w->quoted) {
		report_error(p, &w->at, w->table ? "<%.64s> is no name" :
		    "names are written in quotes: \"%.64s\"", w->text);
		return -1;
	}
	if (strcmp(text, "*") == 0 || strcmp(text, "**") == 0) {
		report_error(p, &w->at, "\"%s\" is every name, which is said by "
		    "any: write to any", text);
		return -1;
	}
	if (strncmp(text, "**.", 3) == 0) {
		out->wild = NAME_MANY;
		text += 3;
	} else if (strncmp(text, "*.", 2) == 0) {
		out->wild = NAME_ONE;
		text += 2;
	} else if (strncmp(text, "+.", 2) == 0) {
		out->wild = NAME_TREE;
		text += 2;
	}
	return parse_text(p, w, text, &out->base);
}

int
pattern_unicode(const struct name *n, uint32_t out[NAME_TEXT_MAX + 1])
{
	uint32_t	*text = NULL;
	size_t		 i = 0;

	if (idn2_to_unicode_8z4z(n->text, &text, 0) != IDN2_OK)
		return -1;
	for (; text[i] != 0 && i < NAME_TEXT_MAX; i++)
		out[i] = text[i];
	out[i] = 0;
	idn2_free(text);
	return 0;
}

const char *
pattern_text(const struct pattern *n, char buf[PATTERN_STRLEN])
{
	static const char *const	before[] = { "", "*.", "**.", "+." };
	size_t				len = strlen(before[n->wild]);

	memcpy(buf, before[n->wild], len);
	memcpy(buf + len, n->base->text, n->base->len);
	buf[len + n->base->len] = '\0';
	return buf;
}
