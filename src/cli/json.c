/*
 * JSON (RFC 8259), as it is made up: nothing is kept but the text.
 *
 * Trusts: its callers for the order of brackets. Strings it does not: a path, and
 * what is quoted from a policy, may be any bytes.
 * Must not: put out what is no UTF-8, or a control character by itself.
 */
#include <stdio.h>
#include <stdlib.h>

#include "json.h"

/* Bytes of the character at s (RFC 3629), or 0: it is none. */
static size_t
utf8_length(const unsigned char *s)
{
	size_t	n, i;

	n = s[0] >= 0xc2 && s[0] <= 0xdf ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 :
	    s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : 0;
	for (i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;	/* too long a form, a surrogate, beyond the last */
	return n;
}

/* The bytes from here on that stand for themselves. */
static size_t
plain_length(const unsigned char *s)
{
	size_t	n = 0;

	while (s[n] >= ' ' && s[n] < 0x7f && s[n] != '"' && s[n] != '\\')
		n++;
	return n;
}

static void
add_quoted(struct text *t, const char *value)
{
	const unsigned char	*s = (const unsigned char *)value;
	size_t			 n;

	text_add(t, "\"");
	for (; *s != '\0'; s += n) {
		if ((n = plain_length(s)) > 0 || (*s >= 0x80 &&
		    (n = utf8_length(s)) > 0)) {
			text_add(t, "%.*s", (int)n, (const char *)s);
			continue;
		}
		n = 1;
		if (*s == '"' || *s == '\\')
			text_add(t, "\\%c", *s);
		else if (*s < 0x80)
			text_add(t, "\\u%04x", *s);
		else
			text_add(t, "\\ufffd");
	}
	text_add(t, "\"");
}

static void
begin(struct json *j, const char *key)
{
	if (j->more)
		text_add(&j->t, ",");
	j->more = true;
	if (key != NULL) {
		add_quoted(&j->t, key);
		text_add(&j->t, ":");
	}
}

void
json_open(struct json *j, const char *key, char bracket)
{
	begin(j, key);
	text_add(&j->t, "%c", bracket);
	j->more = false;
}

void
json_close(struct json *j, char bracket)
{
	text_add(&j->t, "%c", bracket);
	j->more = true;
}

void
json_string(struct json *j, const char *key, const char *value)
{
	begin(j, key);
	add_quoted(&j->t, value);
}

void
json_maybe(struct json *j, const char *key, const char *value)
{
	if (value != NULL && *value != '\0')
		json_string(j, key, value);
}

void
json_number(struct json *j, const char *key, uint64_t value)
{
	begin(j, key);
	text_add(&j->t, "%llu", (unsigned long long)value);
}

void
json_bool(struct json *j, const char *key, bool value)
{
	begin(j, key);
	text_add(&j->t, value ? "true" : "false");
}

void
json_print(struct json *j)
{
	printf("%s\n", j->t.buf);
	free(j->t.buf);
	j->t = (struct text){ NULL, 0, 0 };
}
