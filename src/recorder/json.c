/*
 * The pieces of a line of JSON, straight into a buffer.
 *
 * Trusts: nothing that is printed: what is not plain ASCII is escaped, so a line
 * cannot be split, forged or made to speak to a terminal.
 * Must not: write past the buffer (`over` says that something is missing), use
 * stdio, locale or time zones.
 */
#include <string.h>

#include "recorder.h"

static const char	hex[] = "0123456789abcdef";

void
json_put(struct json *j, const char *s, size_t n)
{
	if (n > (size_t)(j->end - j->p)) {
		j->over = true;
		return;
	}
	memcpy(j->p, s, n);
	j->p += n;
}

/*
 * Many readers have signed integers of 64 bits and refuse a whole line for one that
 * is larger; of what is counted here only a frame that lies comes that far.
 */
void
json_u64(struct json *j, uint64_t v)
{
	char	tmp[20], *p = tmp + sizeof(tmp);

	if (v > INT64_MAX)
		v = INT64_MAX;
	do
		*--p = (char)('0' + v % 10);
	while ((v /= 10) != 0);
	json_put(j, p, (size_t)(tmp + sizeof(tmp) - p));
}

static bool
plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* A byte beyond ASCII becomes \u00xx: bytes are shown, no encoding is assumed. */
static void
escaped(struct json *j, unsigned char c)
{
	char	u[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

	if (c == '"' || c == '\\') {
		u[1] = (char)c;
		json_put(j, u, 2);
	} else
		json_put(j, u, sizeof(u));
}

void
json_str(struct json *j, const char *s, size_t max)
{
	size_t	i, run, n = strnlen(s, max);

	JSON_LIT(j, "\"");
	for (i = 0; i < n; i += run) {
		for (run = 0; i + run < n && plain((unsigned char)s[i + run]);
		    run++)
			;
		json_put(j, s + i, run);
		if (run == 0) {
			escaped(j, (unsigned char)s[i]);
			run = 1;
		}
	}
	JSON_LIT(j, "\"");
}

void
json_hex(struct json *j, const uint8_t *p, size_t n)
{
	char	two[2];
	size_t	i;

	for (i = 0; i < n; i++) {
		two[0] = hex[p[i] >> 4];
		two[1] = hex[p[i] & 15];
		json_put(j, two, 2);
	}
}

static void
digits(char *out, unsigned int n, uint64_t v)
{
	while (n-- > 0) {
		out[n] = (char)('0' + v % 10);
		v /= 10;
	}
}

/*
 * Days since 1970 to a Gregorian date: years counted from March, so that the
 * leap day is the last of a year; 146097 days are 400 years, 719468 days lie
 * between 0000-03-01 and 1970-01-01. Good beyond the year 9999, which is where
 * the four digits of RFC 3339 end.
 */
static void
date(char *out, uint64_t days)
{
	uint64_t	z = days + 719468, era = z / 146097, doe = z % 146097;
	uint64_t	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) /
			    365;
	uint64_t	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	uint64_t	mp = (5 * doy + 2) / 153;
	uint64_t	month = mp < 10 ? mp + 3 : mp - 9;

	digits(out, 4, yoe + era * 400 + (month <= 2));
	digits(out + 5, 2, month);
	digits(out + 8, 2, doy - (153 * mp + 2) / 5 + 1);
}

/* RFC 3339, UTC, microseconds. */
void
json_time(struct json *j, uint64_t ns)
{
	char		text[] = "\"0000-00-00T00:00:00.000000Z\"";
	uint64_t	sec = ns / 1000000000;

	date(text + 1, sec / 86400);
	digits(text + 12, 2, sec / 3600 % 24);
	digits(text + 15, 2, sec / 60 % 60);
	digits(text + 18, 2, sec % 60);
	digits(text + 21, 6, ns / 1000 % 1000000);
	json_put(j, text, sizeof(text) - 1);
}
