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
static bool
number(const char *s, const char **end, uint64_t *out)
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
	const char	*end;
	uint64_t	 n;

	if (!number(w->text, &end, &n) || *end != '\0' || n == 0 || n > max) {
		report_error(p, &w->at, "\"%.64s\" is not a number from 1 to %u",
		    w->text, max);
		return -1;
	}
	*out = (uint32_t)n;
	return 0;
}

int
value_rate(struct parse *p, const struct item *w, uint32_t *out)
{
	const char	*end;
	uint64_t	 n;

	if (!number(w->text, &end, &n) || strcmp(end, "/s") != 0 || n == 0 ||
	    n > 1000000) {
		report_error(p, &w->at,
		    "\"%.64s\" is not a rate: a number and its unit, as 50/s",
		    w->text);
		return -1;
	}
	*out = (uint32_t)n;
	return 0;
}

int
value_duration(struct parse *p, const struct item *w, uint32_t *out)
{
	static const struct { char unit; uint32_t seconds; } units[] = {
		{ 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	const char	*end;
	uint64_t	 n;
	size_t		 i;

	if (number(w->text, &end, &n) && n > 0 && *end != '\0' && end[1] == '\0')
		for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
			if (units[i].unit == *end &&
			    n <= TEN_YEARS / units[i].seconds) {
				*out = (uint32_t)(n * units[i].seconds);
				return 0;
			}
	report_error(p, &w->at, "\"%.64s\" is not a duration: a number and "
	    "s, m, h or d, as 90s or 1h", w->text);
	return -1;
}

/* KiB per second. */
int
value_volume(struct parse *p, const struct item *w, uint32_t *out)
{
	static const char	units[] = "KMG";
	const char		*end, *unit;
	uint64_t		 n;

	if (number(w->text, &end, &n) && n > 0 && n <= 1 << 20 &&
	    *end != '\0' && strcmp(end + 1, "/s") == 0 &&
	    (unit = strchr(units, *end)) != NULL &&
	    n << (10 * (unit - units)) <= VOLUME_LARGEST) {
		*out = (uint32_t)(n << (10 * (unit - units)));
		return 0;
	}
	report_error(p, &w->at, "\"%.64s\" is not a volume from 1K/s to 1G/s: a "
	    "number, K, M or G, and /s, as 64K/s", w->text);
	return -1;
}

/* min: at least 1K, in whole K. */
int
value_size(struct parse *p, const struct item *w, uint64_t min, uint64_t *out)
{
	static const char	units[] = "KMGT";
	const char		*end, *unit;
	uint64_t		 n, size;

	if (number(w->text, &end, &n) && n > 0 && n <= 1 << 30 &&
	    *end != '\0' && end[1] == '\0' &&
	    (unit = strchr(units, *end)) != NULL) {
		size = n << (10 * (unit - units + 1));
		if (size >= min && size <= SIZE_LARGEST) {
			*out = size;
			return 0;
		}
	}
	report_error(p, &w->at, "\"%.64s\" is not a size from %llu%c to 1T: a "
	    "number and K, M, G or T, as 256M", w->text,
	    (unsigned long long)min >> (min < 1 << 20 ? 10 : 20),
	    min < 1 << 20 ? 'K' : 'M');
	return -1;
}

int
value_ports(struct parse *p, const struct item *w, uint32_t proto,
    struct blob_range *out)
{
	const char	*end;
	uint64_t	 lo, hi;
	bool		 ok = number(w->text, &end, &lo);

	hi = lo;
	if (ok && *end == '-')
		ok = number(end + 1, &end, &hi);
	if (!ok || *end != '\0' || lo == 0 || hi > 65535) {
		report_error(p, &w->at, "\"%.64s\" is not a port: a number from "
		    "1 to 65535, or a range as 8000-8010", w->text);
		return -1;
	}
	if (lo > hi) {
		report_error(p, &w->at, "the range %.64s runs backwards",
		    w->text);
		return -1;
	}
	out->lo = (uint16_t)lo;
	out->hi = (uint16_t)hi;
	out->proto = proto;
	return 0;
}

/* ---- networks --------------------------------------------------------------- */

static bool
looks_like_name(const char *s)
{
	const char	*last = strrchr(s, '.');

	last = last != NULL ? last + 1 : s;
	return strchr(s, ':') == NULL && ((*last >= 'a' && *last <= 'z') ||
	    (*last >= 'A' && *last <= 'Z') || *s == '*');
}

/* "10.0.0.1/8": what was probably meant. */
static bool
meant(const char *s, struct prefix *out)
{
	char		addr[ENDPOINT_STRLEN];
	const char	*slash = strchr(s, '/'), *end;
	struct endpoint	e;
	uint64_t	len;

	if (slash == NULL || (size_t)(slash - s) >= sizeof(addr) ||
	    !number(slash + 1, &end, &len) || *end != '\0')
		return false;
	memcpy(addr, s, (size_t)(slash - s));
	addr[slash - s] = '\0';
	if (addr_parse(addr, &e) == -1 ||
	    len > (e.family == ADDR_V4 ? 32 : 128))
		return false;
	*out = prefix_of(&e, (unsigned int)len);
	return true;
}

static int
bad_net(struct parse *p, const struct item *w)
{
	char		buf[ENDPOINT_STRLEN];
	struct prefix	near;

	if (meant(w->text, &near))
		report_error(p, &w->at, "\"%.64s\" has bits set beyond its "
		    "length: write %s", w->text, prefix_print(&near, buf));
	else if (looks_like_name(w->text))
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
	uint64_t			 len;

	if ((slash != NULL && !number(slash + 1, &end, &len)) ||
	    prefix_parse(w->text, out) == -1)
		return bad_net(p, w);
	if (out->len >= mapped.len && prefix_overlaps(out, &mapped)) {
		report_error(p, &w->at, "\"%.64s\" is an IPv4 address in IPv6 "
		    "clothes: write the IPv4 address", w->text);
		return -1;
	}
	return 0;
}

int
value_endpoint(struct parse *p, const struct item *w, struct endpoint *out)
{
	if (endpoint_parse(w->text, out) == 0 && out->port != 0)
		return 0;
	report_error(p, &w->at, "\"%.64s\" is not an address with a port: "
	    "127.0.0.1:9091 or [::1]:9091", w->text);
	return -1;
}

int
value_address(struct parse *p, const struct item *w, struct endpoint *out)
{
	if (addr_parse(w->text, out) == 0) {
		*out = endpoint_canonical(*out);
		return 0;
	}
	report_error(p, &w->at, "\"%.64s\" is not an address: 192.0.2.1 or "
	    "2001:db8::1", w->text);
	return -1;
}

/* Names of tenants, tables, macros, limits, services. */
bool
value_name(struct parse *p, const struct item *w, const char *what)
{
	size_t	n = strspn(w->text, "abcdefghijklmnopqrstuvwxyz"
		    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	if (w->text[n] == '\0' && n > 0 && n < TENANT_MAX &&
	    ((w->text[0] | 0x20) >= 'a' && (w->text[0] | 0x20) <= 'z'))
		return true;
	report_error(p, &w->at, "\"%.64s\" cannot name a %s: a letter, then "
	    "letters, digits, \".\", \"_\" and \"-\", at most %d", w->text,
	    what, TENANT_MAX - 1);
	return false;
}
