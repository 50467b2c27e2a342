/*
 * A line that was cut in the middle (a kill during write(2), a disk that filled
 * up) is made whole, because an append-only file cannot lose its tail and a log
 * with half a line in it stops every tool that reads it. What was written
 * stays; the last member may be cut short or null, and "torn":true says so.
 *
 * A key that was cut gets a "~", which no real key has, so that no member
 * appears twice.
 *
 * Trusts: nothing; any bytes give some line. Our own lines, which are objects of
 * words, strings with escapes of two or six characters, and lists of strings, give
 * valid JSON.
 * Must not: change or remove what is there.
 */
#include <stdio.h>
#include <string.h>

#include "recorder.h"

enum where {
	W_KEY_OR_END,		/* after { or , */
	W_KEY,			/* inside a key */
	W_COLON,		/* after a key */
	W_VALUE,		/* after : */
	W_STRING,		/* inside a value that is a string */
	W_ESCAPE,		/* after a backslash there */
	W_UNICODE,		/* inside the digits of \u */
	W_WORD,			/* inside a number, true, false, null */
	W_ITEM,			/* in a list, after [ or , */
	W_AFTER			/* after a value */
};

struct reader {
	enum where	where;
	bool		list;		/* the value is in one */
	unsigned int	unicode;	/* digits still to come */
	size_t		word;		/* where the word began */
};

static void
in_string(struct reader *r, char c)
{
	switch (r->where) {
	case W_STRING:
		if (c == '\\')
			r->where = W_ESCAPE;
		else if (c == '"')
			r->where = W_AFTER;
		break;
	case W_ESCAPE:
		r->unicode = 4;
		r->where = c == 'u' ? W_UNICODE : W_STRING;
		break;
	default:
		if (--r->unicode == 0)
			r->where = W_STRING;
		break;
	}
}

static void
step(struct reader *r, char c, size_t at)
{
	switch (r->where) {
	case W_KEY_OR_END:
		if (c == '"')
			r->where = W_KEY;
		break;
	case W_KEY:
		if (c == '"')
			r->where = W_COLON;
		break;
	case W_COLON:
		if (c == ':')
			r->where = W_VALUE;
		break;
	case W_VALUE:
		r->word = at;
		r->list = c == '[';
		r->where = c == '"' ? W_STRING : c == '[' ? W_ITEM : W_WORD;
		break;
	case W_ITEM:
		if (c == '"')
			r->where = W_STRING;
		break;
	case W_STRING:
	case W_ESCAPE:
	case W_UNICODE:
		in_string(r, c);
		break;
	case W_WORD:
	case W_AFTER:
		if (c == ',')
			r->where = r->list ? W_ITEM : W_KEY_OR_END;
		else if (c == ']')
			r->list = false;
		break;
	}
}

/* true and false cut short; a number is whole wherever it ends. */
static const char *
word_rest(const char *word, size_t len)
{
	static const char *const	words[] = { "true", "false", "null" };
	size_t				i;

	for (i = 0; i < 3; i++)
		if (len < strlen(words[i]) && memcmp(word, words[i], len) == 0)
			return words[i] + len;
	return "";
}

static const char *
rest(const struct reader *r, const char *cut, size_t len)
{
	static const char	digits[] = "003f\"";	/* "?" */

	switch (r->where) {
	case W_KEY:
		return "~\":null";
	case W_COLON:
		return ":null";
	case W_VALUE:
	case W_ITEM:
		return "null";
	case W_STRING:
		return "\"";
	case W_ESCAPE:
		return "\\\"";
	case W_UNICODE:
		return digits + 4 - r->unicode;
	case W_WORD:
		return word_rest(cut + r->word, len - r->word);
	case W_KEY_OR_END:
	case W_AFTER:
		break;
	}
	return "";
}

size_t
torn_finish(char out[TORN_ROOM], const char *cut, size_t len, uint64_t seq)
{
	struct reader	r = { .where = W_KEY_OR_END };
	char		start[48];
	size_t		i, n;

	n = (size_t)snprintf(start, sizeof(start), "{\"v\":2,\"seq\":%llu,",
	    (unsigned long long)seq);
	if (len < n && memcmp(cut, start, len) == 0)
		return (size_t)snprintf(out, TORN_ROOM, "%s\"torn\":true}\n",
		    start + len);
	for (i = 1; i < len; i++)
		step(&r, cut[i], i);
	if (len > 1 && cut[len - 1] == '}' && !r.list &&
	    (r.where == W_AFTER || r.where == W_WORD))
		return (size_t)snprintf(out, TORN_ROOM, "\n");
	return (size_t)snprintf(out, TORN_ROOM, "%s%s%s\"torn\":true}\n",
	    rest(&r, cut, len), r.list ? "]" : "",
	    r.where == W_KEY_OR_END ? "" : ",");
}
