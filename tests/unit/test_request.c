/*
 * The host of an HTTP/1 request: what is forgiven by one server and not by another
 * must be forgiven here by nobody.
 */
#include <stdio.h>
#include <stdlib.h>

#include "inspector.h"
#include "unit.h"

static struct inspect_result	found;

static uint32_t
status_of(const char *bytes, size_t len)
{
	uint8_t	*copy = malloc(len + (len == 0));

	assert_non_null(copy);
	if (len > 0)
		memcpy(copy, bytes, len);
	memset(&found, 0xaa, sizeof(found));
	assert_int_equal(inspect(PEEK_HTTP, copy, len, &found), 0);
	free(copy);
	if (found.status == INSPECT_NAMED)
		assert_true(name_valid(&found.name));
	else
		assert_int_equal(found.name.len, 0);
	assert_int_equal(found.ech, 0);
	assert_int_equal(found.alpn[0], 0);
	return found.status;
}

static void
check(const char *text, uint32_t status)
{
	uint32_t	got = status_of(text, strlen(text));

	if (got != status)
		fail_msg("status %u, not %u: %s", got, status, text);
}

#define GET	"GET / HTTP/1.1\r\n"
#define HOST	"Host: www.example.org\r\n"

static uint32_t
either(const char *bytes, size_t len)
{
	uint8_t	*copy = malloc(len + (len == 0));

	assert_non_null(copy);
	if (len > 0)
		memcpy(copy, bytes, len);
	memset(&found, 0xaa, sizeof(found));
	assert_int_equal(inspect(PEEK_EITHER, copy, len, &found), 0);
	free(copy);
	return found.status;
}

static void
named(void **state)
{
	static const char *const	good[] = {
		GET HOST "\r\n",
		GET HOST "\r\nbody\n\n\0",
		"POST /a?b=c HTTP/1.0\r\n" HOST "A: b\r\n\r\n",
		GET "host:www.EXAMPLE.org\r\n\r\n",
		GET "HOST: \t www.example.org \t \r\nX:\r\n\r\n",
		GET "Host: www.example.org:8080\r\n\r\n",
		GET "Host: www.example.org:80\r\n\r\n",
		GET "A: \x80\xff latin\tone\r\n" HOST "\r\n",
		"OPTIONS * HTTP/1.1\r\n" HOST "\r\n",
		"GET http://www.example.org/ HTTP/1.1\r\n" HOST "\r\n",
		"GET HTTP://www.Example.org HTTP/1.1\r\n" HOST "\r\n",
		"GET http://www.example.org?q HTTP/1.1\r\n" HOST "\r\n",
		"GET http://www.example.org:81/ HTTP/1.1\r\n"
		    "Host: www.example.org:81\r\n\r\n",
		"M-SEARCH / HTTP/1.1\r\n" HOST "\r\n",
	};
	size_t	i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		check(good[i], INSPECT_NAMED);
		assert_memory_equal(found.name.text, "www.example.org", 16);
		assert_int_equal(found.name.len, 15);
	}
}

static void
nameless(void **state)
{
	(void)state;
	check(GET "\r\n", INSPECT_NAMELESS);
	check("GET / HTTP/1.0\r\nA: b\r\n\r\n", INSPECT_NAMELESS);
	check(GET "Host:\r\n\r\n", INSPECT_NAMELESS);
	check(GET "Host: \t\r\n\r\n", INSPECT_NAMELESS);
	check(GET "X-Host: www.example.org\r\n\r\n", INSPECT_NAMELESS);
}

static void
refused(void **state)
{
	static const char *const	bad[] = {
		"",
		"\r\n" GET HOST "\r\n",
		GET HOST,				/* not whole */
		GET "Host: www.example.org\n\r\n",	/* line ends */
		GET "Host: www.example.org\r\r\n\r\n",
		GET HOST "\n",
		GET HOST "\r\r\n",
		GET "A: b\rHost: evil.org\r\n" HOST "\r\n",
		GET "A: b\nHost: evil.org\r\n" HOST "\r\n",
		GET HOST HOST "\r\n",			/* two of them */
		GET HOST "Host: evil.org\r\n\r\n",
		GET HOST "host:\r\n\r\n",
		GET "Host: evil.org\r\n" HOST "\r\n",
		GET "Host: www.example.org, evil.org\r\n\r\n",
		GET "Host: www.example.org evil.org\r\n\r\n",
		GET HOST " evil.org\r\n\r\n",		/* folded */
		GET "Host:\r\n www.example.org\r\n\r\n",
		GET " Host: www.example.org\r\n\r\n",
		GET "Host : www.example.org\r\n\r\n",	/* in front of the colon */
		GET "Host\t: www.example.org\r\n\r\n",
		GET "Host\r\n" HOST "\r\n",
		GET ": x\r\n" HOST "\r\n",
		GET "H\xc3\xb6st: x\r\n" HOST "\r\n",
		GET "a b: x\r\n" HOST "\r\n",
		GET "Host: 192.0.2.1\r\n\r\n",		/* no names */
		GET "Host: [::1]\r\n\r\n",
		GET "Host: [::1]:80\r\n\r\n",
		GET "Host: 2130706433\r\n\r\n",
		GET "Host: www.example.org.\r\n\r\n",
		GET "Host: www.example.org.:80\r\n\r\n",
		GET "Host: me@www.example.org\r\n\r\n",
		GET "Host: www.example.org/\r\n\r\n",
		GET "Host: http://www.example.org\r\n\r\n",
		GET "Host: www.example.org:\r\n\r\n",	/* ports */
		GET "Host: :80\r\n\r\n",
		GET "Host: www.example.org:80:80\r\n\r\n",
		GET "Host: www.example.org:+80\r\n\r\n",
		GET "Host: www.example.org:80 \t8\r\n\r\n",
		GET "Host: www.example.org:123456\r\n\r\n",
		"GET  / HTTP/1.1\r\n" HOST "\r\n",	/* request lines */
		" GET / HTTP/1.1\r\n" HOST "\r\n",
		"GET / HTTP/1.1 \r\n" HOST "\r\n",
		"GET /a b HTTP/1.1\r\n" HOST "\r\n",
		"GET\t/ HTTP/1.1\r\n" HOST "\r\n",
		"GET /\tb HTTP/1.1\r\n" HOST "\r\n",
		"GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n",
		"GET /\r\n" HOST "\r\n",
		"GET / \r\n" HOST "\r\n",
		"GET / HTTP/0.9\r\n" HOST "\r\n",
		"GET / HTTP/1.2\r\n" HOST "\r\n",
		"GET / HTTP/2.0\r\n" HOST "\r\n",
		"GET / HTTP/1.11\r\n" HOST "\r\n",
		"GET / http/1.1\r\n" HOST "\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"CONNECT www.example.org:443 HTTP/1.1\r\n" HOST "\r\n",
		"CONNECT / HTTP/1.1\r\n" HOST "\r\n",
		"GET * HTTP/1.1\r\n" HOST "\r\n",
		"GET www.example.org HTTP/1.1\r\n" HOST "\r\n",
		"GET http://evil.org/ HTTP/1.1\r\n" HOST "\r\n",
		"GET http://www.example.org/ HTTP/1.1\r\n\r\n",
		"GET http://www.example.org/ HTTP/1.1\r\nHost:\r\n\r\n",
		"GET http:/// HTTP/1.1\r\n\r\n",
		"GET wxyz://www.example.org/ HTTP/1.1\r\n" HOST "\r\n",
		"GET http:/// HTTP/1.1\r\nHost:\r\n\r\n",
		"GET http://www.example.org:80/ HTTP/1.1\r\n" HOST "\r\n",
		"GET http://www.example.org@evil.org/ HTTP/1.1\r\n" HOST "\r\n",
		"GET http://a@www.example.org/ HTTP/1.1\r\n" HOST "\r\n",
		"GET https://www.example.org/ HTTP/1.1\r\n" HOST "\r\n",
		"GET http:www.example.org/ HTTP/1.1\r\n" HOST "\r\n",
	};
	size_t	i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		check(bad[i], INSPECT_BAD);
		assert_int_equal(either(bad[i], strlen(bad[i])), INSPECT_BAD);
	}
}

/* What no server takes for a request or a hello, and what it looks like. */
static void
aliens(void **state)
{
	static const struct {
		const char	*bytes;
		size_t		 len;
		uint32_t	 hint;
	} alien[] = {
#define BYTES(s) s, sizeof(s) - 1
		{ BYTES("SSH-2.0-OpenSSH_9.2\r\n"), HINT_SSH },
		{ BYTES("\0\0\0\10\4\322\26\57"), HINT_POSTGRES },
		{ BYTES("\5\2\0\2"), HINT_SOCKS },
		{ BYTES("\4\1\0\120\300\0\2\1\0"), HINT_SOCKS },
		{ BYTES("EHLO host\r\n"), HINT_NONE },
		{ BYTES("*1\r\n$4\r\nPING\r\n"), HINT_NONE },
		{ BYTES("get key\r\n"), HINT_NONE },
		{ BYTES("\20\17\0\4MQTT"), HINT_NONE },
		{ BYTES("AMQP\0\0\11\1"), HINT_NONE },
		{ BYTES("\200\56\1\0\2"), HINT_NONE },	/* SSLv2 names nothing */
		{ BYTES("abcdefghijklmnopqrstuvwxyzabcdefg\0"), HINT_NONE },
		{ BYTES("abcdefghijklmnopqrstuvwxyzabcdefg\r\n"), HINT_NONE },
		{ BYTES("G(T / HTTP/1.1\r\n\r\n"), HINT_NONE },
		{ BYTES("\26\20\1\0\5\1\0\0\1\0"), HINT_NONE },
		{ BYTES("\26\3\1\0\5\2\0\0\1\0"), HINT_NONE },
		/* a document of 277 bytes and its number, for a database */
		{ BYTES("\25\1\0\0\1\0\0\0\0\0\0\0"), HINT_NONE },
		{ BYTES("\25\20\3\0\2\1\132"), HINT_NONE },
		{ BYTES("\25\3\3\0\3\1\132\0"), HINT_NONE },
	};
	size_t	i;

	(void)state;
	for (i = 0; i < sizeof(alien) / sizeof(alien[0]); i++) {
		assert_int_equal(either(alien[i].bytes, alien[i].len),
		    INSPECT_ALIEN);
		assert_int_equal(found.hint, alien[i].hint);
	}
}

/* It may be the beginning of one, or of what a lenient server takes for one. */
static void
no_aliens(void **state)
{
	static const struct {
		const char	*bytes;
		size_t		 len;
		uint32_t	 hint;
	} bad[] = {
		{ BYTES("G"), HINT_NONE },
		{ BYTES("abcdefghijklmnopqrstuvwxyzabcdef"), HINT_NONE },
		{ BYTES("abcdefghijklmnopqrstuvwxyzabcdefg"), HINT_NONE },
		{ BYTES("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n"),
		    HINT_HTTP },
		{ BYTES("\r\n\r\n"), HINT_NONE },
		{ BYTES("GET / HTTP/1.1\n"), HINT_HTTP },
		{ BYTES("GET\v/x"), HINT_NONE },
		{ BYTES("GET\r/"), HINT_NONE },
		{ BYTES("POST x http/1.1\r\n"), HINT_HTTP },
		{ BYTES("GET //host\r\n"), HINT_NONE },
		{ BYTES("GET \t/\r\n"), HINT_NONE },
		{ BYTES("GET x\1HTTP/1.1\r\n"), HINT_NONE },
		{ BYTES("\26"), HINT_TLS },
		{ BYTES("\26\3\1\0\0\0"), HINT_TLS },
		{ BYTES("\26\3\1\0\5\1\0\0"), HINT_TLS },
		{ BYTES("\26\2\1\0\5\1\0\0\1\0"), HINT_TLS },
		{ BYTES("\25"), HINT_NONE },
		{ BYTES("\25\3\1\0\2\1\132\26\3\1"), HINT_NONE },
		{ BYTES("\25\2\1\0\2\2\132\26\3\1"), HINT_NONE },
		{ BYTES("\24\3\3\0\1\1\26\3\1"), HINT_NONE },
		{ BYTES("\27\3\3\0\0\26\3\1"), HINT_NONE },
	};
	size_t	i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(either(bad[i].bytes, bad[i].len), INSPECT_BAD);
		assert_int_equal(found.hint, bad[i].hint);
	}
}

static const char	usual[] = "GET /x HTTP/1.1\r\nA: b\r\n"
			    "Host: www.example.org:80\r\nUser-Agent: c\r\n\r\n";

static void
cut_everywhere(void **state)
{
	size_t	len;

	(void)state;
	for (len = 0; len < sizeof(usual) - 1; len++)
		assert_int_equal(status_of(usual, len), INSPECT_BAD);
	assert_int_equal(status_of(usual, len), INSPECT_NAMED);
}

/* Every byte at every place: never another name. */
static void
every_byte_everywhere(void **state)
{
	char		text[sizeof(usual)];
	const char	*host = strstr(usual, "www");
	size_t		at, len = sizeof(usual) - 1, from, to;
	struct name	want;
	bool		named;
	int		c;

	(void)state;
	from = (size_t)(host - usual);
	to = from + strlen("www.example.org");
	for (at = 0; at < len; at++)
		for (c = 0; c < 256; c++) {
			memcpy(text, usual, len);
			text[at] = (char)c;
			named = status_of(text, len) == INSPECT_NAMED;
			/* next to it: a longer name, or none; a shorter one */
			if (at == from - 1 || at == to ||
			    (at == from && (c == ' ' || c == '\t')))
				continue;
			if (at < from || at > to) {
				assert_true(!named || memcmp(found.name.text,
				    "www.example.org", 16) == 0);
				continue;
			}
			assert_int_equal(named, name_from_text(text + from,
			    to - from, &want) == 0 && text[to - 1] != '.');
			if (named)
				assert_true(name_equal(&found.name, &want));
		}
}

static void
control_characters(void **state)
{
	static const char	controls[] = { 0, '\r', '\n', 0x0b, 0x0c, 0x7f,
				    0x1b, 1 };
	char			text[sizeof(usual) + 1];
	size_t			at, i, end = sizeof(usual) - 1;

	(void)state;
	for (at = 0; at < end; at++)
		for (i = 0; i < sizeof(controls); i++) {
			/* that is the head's end, and then a body */
			if (at == end - 1 && controls[i] == '\n')
				continue;
			memcpy(text, usual, at);
			text[at] = controls[i];
			memcpy(text + at + 1, usual + at, end - at);
			if (status_of(text, end + 1) < INSPECT_BAD)
				fail_msg("%#x at %zu", controls[i], at);
		}
}

static void
no_such_kind(void **state)
{
	(void)state;
	assert_int_equal(inspect(0, (const uint8_t *)"x", 1, &found), -1);
	assert_int_equal(inspect(4, (const uint8_t *)"x", 1, &found), -1);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(named),
		cmocka_unit_test(nameless),
		cmocka_unit_test(refused),
		cmocka_unit_test(aliens),
		cmocka_unit_test(no_aliens),
		cmocka_unit_test(cut_everywhere),
		cmocka_unit_test(every_byte_everywhere),
		cmocka_unit_test(control_characters),
		cmocka_unit_test(no_such_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
