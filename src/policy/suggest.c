/*
 * "Did you mean": the one word, of those that would have been right at that place,
 * which is nearest to what was written; or what the grammar has for a word of another
 * one (pass, proto, import).
 *
 * Trusts: its candidates. Must not: offer a word that nobody offered to it.
 */
#include <string.h>
#include <strings.h>

#include "suggest.h"

#define WORD_MAX	64u

/* What others write for it. */
static const struct { const char *theirs, *ours; } synonyms[] = {
	{ "accept", "allow" }, { "all", "any" }, { "anywhere", "any" },
	{ "allow_from", "allow" }, { "block", "deny" }, { "cidr", "net" },
	{ "client", "tenant" }, { "comment", "note" }, { "connections", "conns" },
	{ "description", "note" }, { "desc", "note" }, { "destination", "to" },
	{ "dest", "to" }, { "disallow", "deny" }, { "domain", "name" },
	{ "domains", "name" }, { "dport", "port" }, { "drop", "deny" },
	{ "dst", "to" }, { "dstdomain", "name" }, { "dstport", "port" },
	{ "exclude", "except" }, { "expires", "until" }, { "expiry", "until" },
	{ "forbid", "deny" }, { "fqdn", "name" }, { "group", "tenant" },
	{ "guest", "tenant" }, { "host", "name" }, { "hostname", "name" },
	{ "icmpv6", "icmp" }, { "import", "include" }, { "ip", "net" },
	{ "ip6", "net" }, { "ipset", "table" }, { "address", "net" },
	{ "limit", "limits" }, { "load", "include" }, { "nameserver", "upstream" },
	{ "network", "net" }, { "not", "except" }, { "pass", "allow" },
	{ "permit", "allow" }, { "ping", "echo" }, { "ping", "icmp" }, { "ports", "port" },
	{ "proto", "port" }, { "protocol", "port" }, { "quota", "limits" },
	{ "reject", "deny" }, { "require", "include" }, { "rule", "allow" },
	{ "server", "upstream" }, { "set", "table" }, { "site", "name" },
	{ "sources", "include" }, { "subnet", "net" }, { "unless", "except" },
	{ "tls", "sni" }, { "off", "none" }, { "http", "host" },
	{ "url", "name" }, { "user", "tenant" }, { "zone", "tenant" },
};

/* The word in small letters, without marks around it: "[Tenant]", "tenant:". */
static size_t
bare(const char *word, char out[WORD_MAX])
{
	static const char	marks[] = "[](){}<>:;,.'\"-+*!@&|=%/";
	size_t			from = strspn(word, marks), len, i;

	len = strlen(word + from);
	while (len > 0 && strchr(marks, word[from + len - 1]) != NULL)
		len--;
	if (len >= WORD_MAX)
		len = 0;
	for (i = 0; i < len; i++)
		out[i] = (char)(word[from + i] >= 'A' && word[from + i] <= 'Z' ?
		    word[from + i] | 0x20 : word[from + i]);
	out[len] = '\0';
	return len;
}

static unsigned int
least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

/* Letters that are added, lost, changed, or in each other's place. */
static unsigned int
distance(const char *a, size_t la, const char *b, size_t lb)
{
	unsigned int	row[3][WORD_MAX + 1], i, k, d;

	for (k = 0; k <= lb; k++)
		row[0][k] = k;
	for (i = 1; i <= la; i++) {
		unsigned int *now = row[i % 3], *up = row[(i - 1) % 3];

		now[0] = i;
		for (k = 1; k <= lb; k++) {
			d = least(least(up[k], now[k - 1]) + 1,
			    up[k - 1] + (a[i - 1] != b[k - 1]));
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] &&
			    a[i - 2] == b[k - 1])
				d = least(d, row[(i - 2) % 3][k - 2] + 1);
			now[k] = d;
		}
	}
	return row[la % 3][lb];
}

/* Of a short word a letter, of a long one three. */
static unsigned int
bearable(size_t len)
{
	return len < 3 ? 0 : len < 6 ? 1 : len < 9 ? 2 : 3;
}

void
suggest_begin(struct suggestion *s, const char *word)
{
	s->word = word;
	s->best = NULL;
	s->distance = WORD_MAX;
}

void
suggest_offer(struct suggestion *s, const char *candidate)
{
	char		a[WORD_MAX], b[WORD_MAX];
	size_t		la = bare(s->word, a), lb = bare(candidate, b), i;
	unsigned int	d;

	if (la == 0 || lb == 0 || strcmp(s->word, candidate) == 0)
		return;
	for (i = 0; i < sizeof(synonyms) / sizeof(synonyms[0]); i++)
		if (strcmp(synonyms[i].theirs, a) == 0 &&
		    strcmp(synonyms[i].ours, candidate) == 0 && s->distance > 0) {
			s->best = candidate;
			s->distance = 0;
			return;
		}
	if ((la > lb ? la - lb : lb - la) > bearable(la))
		return;
	d = distance(a, la, b, lb);
	if (d <= bearable(la) && d < s->distance && d < lb) {
		s->best = candidate;
		s->distance = d;
	}
}

const char *
suggest_end(const struct suggestion *s)
{
	return s->best;
}
