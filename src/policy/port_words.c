/*
 * Ports: numbers and ranges, and what is written instead of them.
 *
 * Trusts: nothing in the word. Must not: ask the host's services(5); its names would
 * mean one thing here and another there.
 */
#include <string.h>
#include <strings.h>

#include "read.h"
#include "suggest.h"

/* Those that are written most; the message has the number. */
static const struct { const char *name; uint16_t port; } known[] = {
	{ "amqp", 5672 }, { "amqps", 5671 }, { "bgp", 179 }, { "dns", 53 },
	{ "domain", 53 }, { "ftp", 21 }, { "ftp-data", 20 }, { "ftps", 990 },
	{ "git", 9418 }, { "http", 80 }, { "http-alt", 8080 }, { "https", 443 },
	{ "imap", 143 }, { "imaps", 993 }, { "ipp", 631 }, { "irc", 6667 },
	{ "kafka", 9092 }, { "kerberos", 88 }, { "ldap", 389 }, { "ldaps", 636 },
	{ "memcached", 11211 }, { "mongodb", 27017 }, { "mqtt", 1883 },
	{ "mssql", 1433 }, { "ms-sql-s", 1433 }, { "mysql", 3306 },
	{ "nfs", 2049 }, { "ntp", 123 }, { "openvpn", 1194 }, { "pop3", 110 },
	{ "pop3s", 995 }, { "postgres", 5432 }, { "postgresql", 5432 },
	{ "quic", 443 }, { "rdp", 3389 }, { "redis", 6379 }, { "rsync", 873 },
	{ "sip", 5060 }, { "smb", 445 }, { "smtp", 25 }, { "smtps", 465 },
	{ "snmp", 161 }, { "socks", 1080 }, { "ssh", 22 }, { "stun", 3478 },
	{ "submission", 587 }, { "svn", 3690 }, { "syslog", 514 },
	{ "telnet", 23 }, { "tftp", 69 }, { "turn", 3478 }, { "vnc", 5900 },
	{ "whois", 43 }, { "wireguard", 51820 }, { "xmpp", 5222 },
};

static uint16_t
known_port(const char *word, const char **name)
{
	struct suggestion	s;
	size_t			i, n = sizeof(known) / sizeof(known[0]);

	suggest_begin(&s, word);
	for (i = 0; i < n; i++) {
		*name = known[i].name;
		if (strcasecmp(word, known[i].name) == 0)
			return known[i].port;
		suggest_offer(&s, known[i].name);
	}
	*name = suggest_end(&s);
	for (i = 0; *name != NULL && i < n; i++)
		if (known[i].name == *name)
			return known[i].port;
	return 0;
}

/* Digits, without the zeros in front that say octal elsewhere. */
static bool
loose(const char **s, uint64_t *out)
{
	const char	*from;

	while (**s == '0' && (*s)[1] >= '0' && (*s)[1] <= '9')
		(*s)++;
	from = *s;
	return value_number(from, s, out) && *out >= 1 && *out <= 65535;
}

/* "443/tcp", "80:90", "1024-", ":80", "080", ">1023": what was meant. */
static bool
meant(const char *text, uint64_t *lo, uint64_t *hi)
{
	const char	*s = text + strcspn(text, "0123456789");
	bool		 open = s > text && (s[-1] == '-' || s[-1] == '.');

	if (*s == '\0' || !loose(&s, lo))
		return false;
	*hi = *lo;
	if (open)
		*lo = 1;
	else if (*s == ':' || *s == '-' || strncmp(s, "..", 2) == 0) {
		s += strspn(s, ":-.");
		if (*s == '\0')
			*hi = 65535;
		else if (!loose(&s, hi))
			return false;
	}
	if (*lo > *hi)
		return false;
	return *s == '\0' || strcmp(s, "/tcp") == 0 || strcmp(s, "/udp") == 0 ||
	    strcmp(s, ",") == 0;
}

static int
bad_port(struct parse *p, const struct item *w)
{
	const char	*name;
	uint64_t	 lo, hi;
	uint16_t	 port;

	if (meant(w->text, &lo, &hi) && lo == hi)
		report_error(p, &w->at, "\"%.64s\" is not a port: write %u",
		    w->text, (unsigned int)lo);
	else if (meant(w->text, &lo, &hi))
		report_error(p, &w->at, "\"%.64s\" is not a range of ports: write "
		    "%u-%u", w->text, (unsigned int)lo, (unsigned int)hi);
	else if ((port = known_port(w->text, &name)) != 0)
		report_error(p, &w->at, "\"%.64s\" is not a port, which is a "
		    "number: %s is %u", w->text, name, port);
	else if (strcmp(w->text, "*") == 0)
		report_error(p, &w->at, "\"*\" is not a port: write a range, as "
		    "1024-65535");
	else
		report_error(p, &w->at, "\"%.64s\" is not a port: a number from "
		    "1 to 65535, or a range as 8000-8010", w->text);
	return -1;
}

int
value_ports(struct parse *p, const struct item *w, uint32_t proto,
    struct blob_range *out)
{
	const char	*end;
	uint64_t	 lo, hi;
	bool		 ok = value_number(w->text, &end, &lo);

	hi = lo;
	if (ok && *end == '-')
		ok = value_number(end + 1, &end, &hi);
	if (!ok || *end != '\0' || lo == 0 || hi > 65535 || lo > 65535)
		return bad_port(p, w);
	if (lo > hi) {
		report_error(p, &w->at, "the range %.64s runs backwards: write "
		    "%u-%u", w->text, (unsigned int)hi, (unsigned int)lo);
		return -1;
	}
	out->lo = (uint16_t)lo;
	out->hi = (uint16_t)hi;
	out->proto = proto;
	return 0;
}
