/*
 * The words of the grammar, and which of them begin a statement.
 *
 * Trusts: nothing. Must not: make two words of one.
 */
#include <stdlib.h>
#include <string.h>

#include "parse.h"
#include "suggest.h"

struct keyword {
	const char	*word;
	int		 kind;
};

/* Sorted, for bsearch(3). The UNSUPPORTED are the grammar's later words. */
static const struct keyword	keywords[] = {
	{ "allow", ALLOW },
	{ "allow-empty", ALLOW_EMPTY },
	{ "any", ANY },
	{ "async", ASYNC },
	{ "audit", AUDIT },
	{ "before-connect", BEFORE_CONNECT },
	{ "before-data", BEFORE_DATA },
	{ "builtin", BUILTIN },
	{ "burst", BURST },
	{ "bytes", UNSUPPORTED },
	{ "checkpoints", UNSUPPORTED },
	{ "conns", CONNS },
	{ "continue", UNSUPPORTED },
	{ "default", DEFAULT },
	{ "deny", DENY },
	{ "dns", DNS },
	{ "dnssec", DNSSEC },
	{ "down", UNSUPPORTED },
	{ "durable", DURABLE },
	{ "ech", ECH },
	{ "echo", ECHO },
	{ "egress", UNSUPPORTED },
	{ "enforce", ENFORCE },
	{ "except", EXCEPT },
	{ "file", FILE_ },
	{ "floor", FLOOR },
	{ "flow-live", FLOW_LIVE },
	{ "for", FOR },
	{ "guests", UNSUPPORTED },
	{ "half-closed", HALF_CLOSED },
	{ "host", HOST },
	{ "host-service", HOST_SERVICE },
	{ "icmp", ICMP },
	{ "idle", IDLE },
	{ "include", INCLUDE },
	{ "keep", KEEP },
	{ "kernel-memory", KERNEL_MEMORY },
	{ "label", LABEL },
	{ "lifetime", LIFETIME },
	{ "limits", LIMITS },
	{ "log", UNSUPPORTED },
	{ "mode", MODE },
	{ "name", NAME },
	{ "names", NAMES },
	{ "nat64-prefix", UNSUPPORTED },
	{ "net", NET },
	{ "note", NOTE },
	{ "nowarn", NOWARN },
	{ "on-failure", ON_FAILURE },
	{ "own-addresses", OWN_ADDRESSES },
	{ "path", UNSUPPORTED },
	{ "payload", UNSUPPORTED },
	{ "pending", PENDING },
	{ "pending-per-destination", PENDING_DST },
	{ "per", PER },
	{ "pin", PIN },
	{ "policy", POLICY },
	{ "port", PORT },
	{ "publish", UNSUPPORTED },
	{ "rate", RATE },
	{ "resolve", UNSUPPORTED },
	{ "resolver", RESOLVER },
	{ "rotate", ROTATE },
	{ "seal", UNSUPPORTED },
	{ "search", SEARCH },
	{ "table", TABLE },
	{ "tcp", TCP },
	{ "tenant", TENANT },
	{ "ticket", TICKET },
	{ "to", TO },
	{ "udp", UDP },
	{ "unproven", UNPROVEN },
	{ "unproven-per-destination", UNPROVEN_DST },
	{ "until", UNTIL },
	{ "up", UNSUPPORTED },
	{ "upstream", UPSTREAM },
	{ "verify", VERIFY },
	{ "version", VERSION },
	{ "when", UNSUPPORTED },
};

/* What a line begins with, outside of tenants and in one. */
static const char *const	statements[] = { "audit", "default", "floor",
    "host", "host-service", "include", "limits", "names", "policy", "resolver",
    "table", "tenant" };
static const char *const	rules[] = { "allow", "deny", "limits" };

static int
compare(const void *a, const void *b)
{
	return strcmp(a, ((const struct keyword *)b)->word);
}

int
keyword(const char *word)
{
	const struct keyword	*k = bsearch(word, keywords,
				    sizeof(keywords) / sizeof(keywords[0]),
				    sizeof(keywords[0]), compare);

	return k == NULL ? WORD : k->kind;
}

static bool
is_one_of(const char *const *words, size_t n, const char *word, size_t len)
{
	size_t	i;

	for (i = 0; i < n; i++)
		if (strlen(words[i]) == len && memcmp(words[i], word, len) == 0)
			return true;
	return false;
}

bool
keyword_begins(const char *word, size_t len, bool rule)
{
	return is_one_of(statements, sizeof(statements) / sizeof(statements[0]),
	    word, len) || (rule && is_one_of(rules, sizeof(rules) /
	    sizeof(rules[0]), word, len));
}

const char *
keyword_meant(const char *word, bool rule)
{
	const char *const	*from = rule ? rules : statements;
	size_t			 i, n = rule ? sizeof(rules) / sizeof(rules[0]) :
				    sizeof(statements) / sizeof(statements[0]);
	struct suggestion	 s;

	suggest_begin(&s, word);
	for (i = 0; i < n; i++)
		suggest_offer(&s, from[i]);
	return suggest_end(&s);
}
