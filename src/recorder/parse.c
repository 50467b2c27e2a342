/*
 * One line of our own, read back: an object whose members have a known order, of
 * words, numbers, strings, and lists of strings. This is no JSON parser; anything that
 * is not exactly our form is not understood.
 *
 * Trusts: nothing; every step is bounded by the line.
 * Must not: be used for a line that anybody else wrote.
 */
#include <string.h>

#include "line.h"

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
	const char	*quote = memchr(in->p + 1, '"', in->len - 1);
	size_t		 i;

	if (quote == NULL)
		return false;
	i = (size_t)(quote - in->p);
	if (memchr(in->p, '\\', i) != NULL)	/* seldom: step over escapes */
		for (i = 1; i < in->len && in->p[i] != '"'; i++)
			i += in->p[i] == '\\';
	if (i >= in->len)
		return false;
	out->p = in->p + 1;
	out->len = i - 1;
	in->p += i + 1;
	in->len -= i + 1;
	return true;
}

/* Strings with commas between them; what they are is not looked at. */
static bool
take_list(struct text *in, struct text *out)
{
	struct text	item;

	*out = (struct text){ in->p, 0 };
	do {
		in->p++;		/* [ or , */
		in->len--;
		if (in->len == 0 || *in->p != '"' || !take_string(in, &item))
			return false;
	} while (in->len > 0 && *in->p == ',');
	if (in->len == 0 || *in->p != ']')
		return false;
	in->p++;
	in->len--;
	out->len = (size_t)(in->p - out->p);
	return true;
}

static bool
take_value(struct text *in, struct text *out)
{
	size_t	i;

	if (in->len > 0 && *in->p == '"')
		return take_string(in, out);
	if (in->len > 0 && *in->p == '[')
		return take_list(in, out);
	for (i = 0; i < in->len && in->p[i] != ',' && in->p[i] != '}'; i++)
		;
	out->p = in->p;
	out->len = i;
	in->p += i;
	in->len -= i;
	return i > 0;
}

/* By the first letter: this runs for every member of every line of a log. */
static void
note(struct seen *s, const struct text *key, const struct text *value)
{
	switch (key->p[0]) {
	case 's':
		if (parse_is(key, "seq"))
			s->seq = parse_number(value);
		break;
	case 't':
		if (parse_is(key, "type"))
			s->type = *value;
		break;
	case 'i':
		if (parse_is(key, "inst"))
			s->has_inst = inst_parse(s->inst, value);
		break;
	case 'r':
		if (parse_is(key, "rec"))
			s->rec = parse_number(value);
		break;
	case 'f':
		if (parse_is(key, "flow"))
			s->flow = parse_number(value);
		break;
	case 'v':
		if (parse_is(key, "void_from"))
			s->from = parse_number(value);
		else if (parse_is(key, "void_to"))
			s->to = parse_number(value);
		break;
	case 'a':
		if (parse_is(key, "ask"))
			s->flow = parse_number(value);
		break;
	case 'n':
	case 'p':
		s->past = s->past || parse_is(key, "name") ||
		    parse_is(key, "proto");
		break;
	case 'o':
		if (parse_is(key, "oldest"))
			s->oldest = parse_number(value);
		break;
	default:
		break;
	}
}

/*
 * What begins something and our own lines are read to their end, of others only the
 * beginning: of a dns and a flow.deny up to where their number would be, which not
 * all of them have.
 */
static bool
enough(const struct seen *s)
{
	if (s->type.len < 3 || (s->type.len > 5 &&
	    memcmp(s->type.p, "audit", 5) == 0) || parse_is(&s->type, "flow.open") ||
	    parse_is(&s->type, "flow.dial") || parse_is(&s->type, "dns.ask"))
		return false;
	if (s->flow != 0 || s->rec == 0)
		return s->flow != 0;
	return s->past || !(parse_is(&s->type, "dns") ||
	    parse_is(&s->type, "flow.deny") || parse_is(&s->type, "flow.close"));
}

static bool
members(struct text in, struct seen *s)
{
	struct text	key, value;
	const char	*start;

	while (in.len > 1 && (*in.p == ',' || *in.p == '{')) {
		start = in.p++;
		in.len--;
		if (*in.p != '"' || !take_string(&in, &key) || key.len == 0 ||
		    in.len < 2 || *in.p != ':')
			return false;
		in.p++;
		in.len--;
		if (!take_value(&in, &value))
			return false;
		note(s, &key, &value);
		if (enough(s))
			return true;
		if (member_in_body(key.p, key.len)) {
			if (s->body.p == NULL)
				s->body.p = start;
			s->body.len = (size_t)(in.p - s->body.p);
		}
	}
	return in.len == 1 && *in.p == '}';
}

static bool
torn(const struct text *line)
{
	static const char	end[] = "\"torn\":true}";
	size_t			n = sizeof(end) - 1;

	return line->len > n &&
	    memcmp(line->p + line->len - n, end, n) == 0;
}

bool
parse_old(const struct text *line)
{
	static const char	start[] = "{\"v\":1,";
	size_t			n = sizeof(start) - 1;

	return line->len >= n && memcmp(line->p, start, n) == 0;
}

bool
parse_line(struct text line, struct seen *s)
{
	static const char	start[] = "{\"v\":2,\"seq\":";

	memset(s, 0, sizeof(*s));
	s->torn = torn(&line);
	s->old = parse_old(&line);
	return line.len > sizeof(start) && line.len < LINE_ROOM &&
	    (s->old || memcmp(line.p, start, sizeof(start) - 1) == 0) &&
	    members(line, s) && s->seq != 0;
}

