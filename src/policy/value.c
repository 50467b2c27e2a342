/*
 * One word to one value: numbers with their units, ports, networks, names. No
 * unit is implied and no historical spelling is understood.
 *
 * Trusts: nothing in the word.
 * Must not: call anything that consults a resolver, a locale or the host.
 */
#include <string.h>

#include "read.h"

#define TEN_YEARS	UINT64_C(315360000)	/* seconds */
#define VOLUME_LARGEST	(UINT64_C(1) << 20)	/* KiB */
#define SIZE_LARGEST	(UINT64_C(1) << 40)

/* Digits up to *end; false if there are none or too many. */
bool
value_number(const char *s, const char **end, uint64_t *out)
{
	uint64_t	n = 0;
	const char	*p;

	for (p = s; *p >= '0' && *p <= '9'; p++) {
		if (p - s >= 12)
			return false;
		n = n * 10 + (uint64_t)(*p - '0');
	}
	*end = p;
	*out = n;
	return p != s && (*s != '0' || p == s + 1);
}

int
value_count(struct parse *p, const struct item *w, uint32_t max, uint32_t *out)
{
	const char	*end = "";
	uint64_t	 n = 0;

	if (!value_number(w->text, &end, &n) || *end != '\0' || n == 0 || n > max) {
		report_error(p, &w->at, "\"%.64s\" is not a number from 1 to %u%s",
		    w->text, max, *end != '\0' && *end != '-' && n > 0 ?
		    ": write it without a unit" : "");
		return -1;
	}
	*out = (uint32_t)n;
	return 0;
}

/* "/sec", "ps": what others write for /s. */
static bool
is_seconds(const char *unit)
{
	return strncmp(unit, "/s", 2) == 0 || strncmp(unit, "ps", 2) == 0 ||
	    strcmp(unit, "/1s") == 0;
}

int
value_rate(struct parse *p, const struct item *w, uint32_t *out)
{
	const char	*end = "";
	uint64_t	 n = 0;

	if (!value_number(w->text, &end, &n) || strcmp(end, "/s") != 0 || n == 0 ||
	    n > 1000000) {
		if (n > 0 && n <= 1000000 && (*end == '\0' || is_seconds(end)))
			report_error(p, &w->at, "\"%.64s\" is not a rate: write "
			    "%u/s", w->text, (unsigned int)n);
		else
			report_error(p, &w->at, "\"%.64s\" is not a rate: a number "
			    "up to 1000000 and its unit, as 50/s", w->text);
		return -1;
	}
	*out = (uint32_t)n;
	return 0;
}

/* Letters alone, the first of them one of these: "min", "MiB". */
static bool
is_unit(const char *s, const char *first)
{
	const char	*at = s;

	if (*s == '\0' || strchr(first, *first >= 'a' ? *s | 0x20 :
	    *s & ~0x20) == NULL)
		return false;
	while ((*at | 0x20) >= 'a' && (*at | 0x20) <= 'z')
		at++;
	return *at == '\0';
}

int
value_duration(struct parse *p, const struct item *w, uint32_t *out)
{
	static const struct { char unit; uint32_t seconds; } units[] = {
		{ 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	const char	*end = "?";
	uint64_t	 n = 0;
	size_t		 i;

	if (value_number(w->text, &end, &n) && n > 0 && *end != '\0' && end[1] == '\0')
		for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
			if (units[i].unit == *end &&
			    n <= TEN_YEARS / units[i].seconds) {
				*out = (uint32_t)(n * units[i].seconds);
				return 0;
			}
	if (n > 0 && n < 100000 && (*end == '\0' || is_unit(end, "smhd")))
		report_error(p, &w->at, "\"%.64s\" is not a duration: write %u%c",
		    w->text, (unsigned int)n, *end == '\0' ? 's' : *end | 0x20);
	else
		report_error(p, &w->at, "\"%.64s\" is not a duration: a number "
		    "and s, m, h or d, as 90s or 1h, at most 3650d", w->text);
	return -1;
}

/* "MB", "mib/s": the unit that is meant. */
static bool
unit_of(const char *s, const char *units, char *out)
{
	static const char *const	rest[] = { "", "b", "ib", "/s", "b/s",
					    "ib/s", "bps", "B", "iB", "B/s",
					    "iB/s", "Bps", "/sec", "B/sec" };
	size_t				i;

	*out = (char)(*s & ~0x20);
	if (*s == '\0' || strchr(units, *out) == NULL)
		return false;
	for (i = 0; i < sizeof(rest) / sizeof(rest[0]); i++)
		if (strcmp(s + 1, rest[i]) == 0)
			return true;
	return false;
}

/* KiB per second. */
int
value_volume(struct parse *p, const struct item *w, uint32_t *out)
{
	static const char	units[] = "KMG";
	const char		*end = "", *unit;
	uint64_t		 n = 0;
	char			 c;

	if (value_number(w->text, &end, &n) && n > 0 && n <= 1 << 20 &&
	    *end != '\0' && strcmp(end + 1, "/s") == 0 &&
	    (unit = strchr(units, *end)) != NULL &&
	    n << (10 * (unit - units)) <= VOLUME_LARGEST) {
		*out = (uint32_t)(n << (10 * (unit - units)));
		return 0;
	}
	if (n > 0 && n <= 1 << 20 && unit_of(end, units, &c) &&
	    n << (10 * (strchr(units, c) - units)) <= VOLUME_LARGEST)
		report_error(p, &w->at, "\"%.64s\" is not a volume: write %u%c/s",
		    w->text, (unsigned int)n, c);
	else
		report_error(p, &w->at, "\"%.64s\" is not a volume from 1K/s to "
		    "1G/s: a number, K, M or G, and /s, as 64K/s", w->text);
	return -1;
}

/* min: at least 1K, in whole K. */
int
value_size(struct parse *p, const struct item *w, uint64_t min, uint64_t *out)
{
	static const char	units[] = "KMGT";
	const char		*end = "", *unit;
	uint64_t		 n = 0, size;
	char			 c;

	if (value_number(w->text, &end, &n) && n > 0 && n <= 1 << 30 &&
	    *end != '\0' && end[1] == '\0' &&
	    (unit = strchr(units, *end)) != NULL) {
		size = n << (10 * (unit - units + 1));
		if (size >= min && size <= SIZE_LARGEST) {
			*out = size;
			return 0;
		}
	}
	if (n > 0 && *end == '\0' && n % (1 << 20) == 0) {
		report_error(p, &w->at, "\"%.64s\" is not a size: write %lluM",
		    w->text, (unsigned long long)n >> 20);
		return -1;
	}
	if (n > 0 && unit_of(end, units, &c) && (*end != c || end[1] != '\0')) {
		report_error(p, &w->at, "\"%.64s\" is not a size: write %llu%c",
		    w->text, (unsigned long long)n, c);
		return -1;
	}
	report_error(p, &w->at, "\"%.64s\" is not a size from %llu%c to 1T: a "
	    "number and K, M, G or T, as 256M", w->text,
	    (unsigned long long)min >> (min < 1 << 20 ? 10 : 20),
	    min < 1 << 20 ? 'K' : 'M');
	return -1;
}

/* ---- names ------------------------------------------------------------------ */

/* Names of tenants, tables, macros, limits, services. */
bool
value_name(struct parse *p, const struct item *w, const char *what)
{
	size_t	n = strspn(w->text, "abcdefghijklmnopqrstuvwxyz"
		    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
	bool	digit = strcmp(what, "tenant") == 0;	/* others are told from numbers */

	if (w->text[n] == '\0' && n > 0 && n < TENANT_MAX &&
	    (((w->text[0] | 0x20) >= 'a' && (w->text[0] | 0x20) <= 'z') ||
	    (digit && w->text[0] >= '0' && w->text[0] <= '9')))
		return true;
	report_error(p, &w->at, "\"%.64s\" cannot name a %s: a letter%s, then "
	    "letters, digits, \".\", \"_\" and \"-\", at most %d", w->text,
	    what, digit ? " or a digit" : "", TENANT_MAX - 1);
	return false;
}
