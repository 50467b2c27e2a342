/*
 * See hello.h. Must not: share a line with src/inspector/; a mistake made twice is
 * not seen.
 */
#include <assert.h>
#include <string.h>

#include "hello.h"

void
put(struct bytes *to, const void *from, size_t len)
{
	assert(len <= HELLO_MAX - to->len);
	if (len > 0)
		memcpy(to->b + to->len, from, len);
	to->len += len;
}

static void
number_at(uint8_t *at, size_t bytes, size_t value)
{
	while (bytes-- > 0) {
		at[bytes] = (uint8_t)value;
		value >>= 8;
	}
}

void
put_number(struct bytes *to, size_t bytes, size_t value)
{
	uint8_t	n[4];

	number_at(n, bytes, value);
	put(to, n, bytes);
}

size_t
open_vector(struct bytes *to, size_t bytes)
{
	put_number(to, bytes, 0);
	return to->len;
}

void
close_vector(struct bytes *to, size_t at, size_t bytes)
{
	number_at(to->b + at - bytes, bytes, to->len - at);
}

void
put_extension(struct bytes *to, unsigned int type, const void *body, size_t len)
{
	put_number(to, 2, type);
	put_number(to, 2, len);
	put(to, body, len);
}

static void
put_sni(struct bytes *to, const char *text, size_t len)
{
	size_t	ext, list, name;

	put_number(to, 2, 0);
	ext = open_vector(to, 2);
	list = open_vector(to, 2);
	put_number(to, 1, 0);
	name = open_vector(to, 2);
	put(to, text, len);
	close_vector(to, name, 2);
	close_vector(to, list, 2);
	close_vector(to, ext, 2);
}

static void
put_alpn(struct bytes *to, const char *text)
{
	size_t	ext, list, n;

	put_number(to, 2, 16);
	ext = open_vector(to, 2);
	list = open_vector(to, 2);
	for (;;) {
		n = strcspn(text, ",");
		put_number(to, 1, n);
		put(to, text, n);
		if (text[n] == '\0')
			break;
		text += n + 1;
	}
	close_vector(to, list, 2);
	close_vector(to, ext, 2);
}

static void
put_ech(struct bytes *to, int here, int wanted)
{
	static const uint8_t	grease[] = { 0, 0, 1, 0, 1, 42, 0, 2, 9, 9, 0,
				    3, 7, 7, 7 };

	if (here == wanted)
		put_extension(to, 0xfe0d, grease, sizeof(grease));
}

static void
put_extensions(struct bytes *to, const struct hello_spec *s)
{
	static const uint8_t	zero[HELLO_MAX], versions[] = { 2, 3, 4 };
	int			at = 0, i;

	put_ech(to, at++, s->ech_at);
	if (s->versions == NULL)
		put_extension(to, 43, versions, sizeof(versions));
	else if (s->versions_len > 0)
		put_extension(to, 43, s->versions, s->versions_len);
	put_ech(to, at++, s->ech_at);
	if (s->sni != NULL)
		put_sni(to, s->sni, s->sni_len ? s->sni_len : strlen(s->sni));
	put_ech(to, at++, s->ech_at);
	if (s->alpn != NULL)
		put_alpn(to, s->alpn);
	for (i = 0; i < s->others; i++) {
		put_ech(to, at++, s->ech_at);
		put_extension(to, 0x4a00 + (unsigned int)i, "x", 1);
	}
	if (s->pad > 0)
		put_extension(to, 21, zero, s->pad);
	put_ech(to, at, s->ech_at);
}

void
hello_build(struct bytes *to, const struct hello_spec *s)
{
	static const uint8_t	random[32] = { 1, 2, 3, 4 };
	static const uint8_t	suites[] = { 0x13, 1, 0x13, 2, 0xc0, 0x2f };
	size_t			body, v;

	to->len = 0;
	put_number(to, 1, 1);
	body = open_vector(to, 3);
	put_number(to, 2, 0x303);
	put(to, random, sizeof(random));
	v = open_vector(to, 1);
	put(to, random, 32);
	close_vector(to, v, 1);
	v = open_vector(to, 2);
	put(to, suites, sizeof(suites));
	close_vector(to, v, 2);
	put(to, "\1\0", 2);
	v = open_vector(to, 2);
	put_extensions(to, s);
	close_vector(to, v, 2);
	close_vector(to, body, 3);
}

void
hello_records(struct bytes *to, const struct bytes *message, size_t size)
{
	size_t	at, n;

	to->len = 0;
	for (at = 0; at < message->len; at += n) {
		n = message->len - at < size ? message->len - at : size;
		put(to, "\x16\3\1", 3);
		put_number(to, 2, n);
		put(to, message->b + at, n);
	}
}
