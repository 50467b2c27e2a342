/*
 * One line of our own, read back: a flat object whose members have a known
 * order. This is no JSON parser; anything that is not exactly our form is not
 * understood.
 *
 * Trusts: nothing; every step is bounded by the line.
 * Must not: be used for a line that anybody else wrote.
 */
#include <string.h>

#include "recorder.h"

bool
parse_is(const struct text *t, const char *word)
{
	return t->len == strlen(word) && memcmp(t->p, word, t->len) == 0;
}

uint64_t
parse_number(const struct text *t)
{
	uint64_t	v = 0;
	size_t		i;

	for (i = 0; i < t->len && t->p[i] >= '0' && t->p[i] <= '9'; i++)
		v = v * 10 + (uint64_t)(t->p[i] - '0');
	return v;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
inst_parse(uint8_t out[16], const struct text *t)
{
	size_t	i, n = 0;
	int	hi, lo;

	for (i = 0; i + 1 < t->len && n < 16;) {
		if (t->p[i] == '-') {
			i++;
			continue;
		}
		hi = hex_digit(t->p[i]);
		lo = hex_digit(t->p[i + 1]);
		if (hi < 0 || lo < 0)
			return false;
		out[n++] = (uint8_t)(hi << 4 | lo);
		i += 2;
	}
	return n == 16 && i == t->len;
}

/* A string's content up to its closing quote, escapes left as they are. */
static bool
take_string(struct text *in, struct text *out)
{
	size_t	i;

	for (i = 1; i < in->len && in->p[i] != '"'; i++)
		if (in->p[i] == '\\')
			i++;
	if (i >= in->len)
		return false;
	out->p = in->p + 1;
	out->len = i - 1;
	in->p += i + 1;
	in->len -= i + 1;
	return true;
}

static bool
take_value(struct text *in, struct text *out)
{
	size_t	i;

	if (in->len > 0 && *in->p == '"')
		return take_string(in, out);
	for (i = 0; i < in->len && in->p[i] != ',' && in->p[i] != '}'; i++)
		;
	out->p = in->p;
	out->len = i;
	in->p += i;
	in->len -= i;
	return i > 0;
}

/* Members from tenant to pol: what a close repeats of its open (line.c). */
static bool
in_body(const struct text *key)
{
	static const char *const	keys[] = { "tenant", "guest", "flow",
					    "proto", "rule", "loc", "gen", "pol" };
	size_t				i;

	if (key->len > 2 && key->p[1] == '.')	/* g. and h. */
		return true;
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (parse_is(key, keys[i]))
			return true;
	return false;
}

static void
note(struct seen *s, const struct text *key, const struct text *value)
{
	if (parse_is(key, "seq"))
		s->seq = parse_number(value);
	else if (parse_is(key, "type"))
		s->type = *value;
	else if (parse_is(key, "inst"))
		s->has_inst = inst_parse(s->inst, value);
	else if (parse_is(key, "rec"))
		s->rec = parse_number(value);
	else if (parse_is(key, "flow"))
		s->flow = parse_number(value);
	else if (parse_is(key, "from"))
		s->from = parse_number(value);
	else if (parse_is(key, "to"))
		s->to = parse_number(value);
	else if (parse_is(key, "oldest"))
		s->oldest = parse_number(value);
	else if (parse_is(key, "torn"))
		s->torn = parse_is(value, "true");
}

static bool
members(struct text in, struct seen *s)
{
	struct text	key, value;
	const char	*start;

	while (in.len > 1 && (*in.p == ',' || *in.p == '{')) {
		start = in.p++;
		in.len--;
		if (*in.p != '"' || !take_string(&in, &key) ||
		    in.len < 2 || *in.p != ':')
			return false;
		in.p++;
		in.len--;
		if (!take_value(&in, &value))
			return false;
		note(s, &key, &value);
		if (in_body(&key)) {
			if (s->body.p == NULL)
				s->body.p = start;
			s->body.len = (size_t)(in.p - s->body.p);
		}
	}
	return in.len == 1 && *in.p == '}';
}

bool
parse_line(struct text line, struct seen *s)
{
	static const char	start[] = "{\"v\":1,\"seq\":";

	memset(s, 0, sizeof(*s));
	return line.len > sizeof(start) && line.len < LINE_ROOM &&
	    memcmp(line.p, start, sizeof(start) - 1) == 0 &&
	    members(line, s) && s->seq != 0;
}

