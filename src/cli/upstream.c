/*
 * The host's resolv.conf, as resolv.conf(5) and glibc have it: name servers, which
 * serve a policy that names none; the search list and what else of it is for CMD.
 *
 * Trusts: the file for what it says; it is the administrator's.
 * Must not: take an address that is not written out (a name, a port), or a link-local
 * one without its link; fail about a line that nobody understands.
 */
#include <net/if.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "fd.h"

#define TEXT_MAX	65536	/* what is behind that is not read */
#define WORD_MAX	256
#define DNS_PORT	53
#define NDOTS_MAX	15	/* glibc's RES_MAXNDOTS */

static bool
blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of a line, cut if need be. False: there is none. */
static bool
next_word(const char **p, const char *end, char word[WORD_MAX])
{
	size_t	n = 0;

	while (*p < end && blank(**p))
		(*p)++;
	for (; *p < end && !blank(**p); (*p)++)
		if (n < WORD_MAX - 1)
			word[n++] = **p;
	word[n] = '\0';
	return n > 0 && strlen(word) == n;
}

/* fe80::1%eth0, fe80::1%2. False: no such link here, or one is missing. */
static bool
take_scope(const struct endpoint *e, const char *link, uint32_t *scope)
{
	char		*end;
	unsigned long	 n;

	*scope = 0;
	if (e->family != ADDR_V6 || !addr_is_link_local(e))
		return link == NULL;
	if (link == NULL)
		return false;
	if ((*scope = if_nametoindex(link)) != 0)
		return true;
	n = strtoul(link, &end, 10);
	*scope = *link >= '0' && *link <= '9' && *end == '\0' &&
	    n <= INT32_MAX ? (uint32_t)n : 0;
	return *scope != 0;
}

/* 0.0.0.0 and :: have always meant this host. */
static void
take_here(struct endpoint *e)
{
	const struct endpoint	any6 = { .family = ADDR_V6 };
	const struct endpoint	any4 = { .family = ADDR_V4 };

	if (addr_equal(e, &any6))
		e->addr[15] = 1;
	else if (addr_equal(e, &any4)) {
		e->addr[0] = 127;
		e->addr[3] = 1;
	}
}

/* Once each: who is asked again after it failed fails again. */
static void
add_upstream(struct host_resolver *h, const struct endpoint *e, uint32_t scope)
{
	uint32_t	i;

	for (i = 0; i < h->n; i++)
		if (endpoint_equal(&h->upstream[i], e) && h->scope[i] == scope)
			return;
	if (h->n == UPSTREAM_MAX)
		return;
	h->scope[h->n] = scope;
	h->upstream[h->n++] = *e;
}

static void
take_server(struct host_resolver *h, char *word)
{
	char		*link;
	struct endpoint	 e;
	uint32_t	 scope;

	word[strcspn(word, ";#")] = '\0';
	if ((link = strchr(word, '%')) != NULL)
		*link++ = '\0';
	if (addr_parse(word, &e) == -1 || addr_is_multicast(&e))
		return;
	e = endpoint_canonical(e);	/* ::ffff:192.0.2.1 is an IPv4 server */
	take_here(&e);
	e.port = DNS_PORT;
	if (take_scope(&e, link, &scope))
		add_upstream(h, &e, scope);
}

/* The last such line counts. "." is a list of nothing. */
static void
take_search(struct hostconf *c, const char *p, const char *end)
{
	char		word[WORD_MAX];
	struct name	n;
	size_t		len;

	c->nsearch = 0;
	while (c->nsearch < SEARCH_MAX && next_word(&p, end, word)) {
		len = strlen(word);
		len -= len > 1 && word[len - 1] == '.';
		if (name_from_text(word, len, &n) == 0)
			c->search[c->nsearch++] = n;
	}
}

static bool
number(const char *word, const char *option, unsigned long max, uint32_t *out)
{
	size_t		 len = strlen(option);
	unsigned long	 n;
	char		*end;

	if (strncmp(word, option, len) != 0 || word[len] < '0' ||
	    word[len] > '9')
		return false;
	n = strtoul(word + len, &end, 10);
	*out = n > max ? (uint32_t)max : (uint32_t)n;
	return *end == '\0';
}

/*
 * `attempts' is not heeded: a question has ten seconds. What is about the form of
 * packets, or the order of A and AAAA, is between CMD and its gateway.
 */
static void
take_option(struct hostconf *c, const char *word)
{
	uint32_t	n;

	if (strcmp(word, "rotate") == 0)
		c->host.rotate = 1;
	else if (strcmp(word, "use-vc") == 0)
		c->host.tcp = 1;
	else if (strcmp(word, "no-aaaa") == 0)
		c->no_aaaa = true;
	else if (number(word, "timeout:", UPSTREAM_PATIENCE_MAX, &n) && n > 0)
		c->host.patience = n;
	else if (number(word, "ndots:", NDOTS_MAX, &n))
		c->ndots = (int)n;
}

/* A word that does not begin the line is none, as for glibc. */
static void
take_line(struct hostconf *c, const char *p, const char *end)
{
	char		 word[WORD_MAX];
	const char	*line;

	if (p == end || blank(*p) || !next_word(&p, end, word))
		return;
	if (strcmp(word, "nameserver") == 0 && next_word(&p, end, word))
		take_server(&c->host, word);
	else if (strcmp(word, "search") == 0)
		take_search(c, p, end);
	else if (strcmp(word, "domain") == 0) {
		while (p < end && blank(*p))
			p++;
		for (line = p; p < end && !blank(*p); p++)
			;
		take_search(c, line, p);
	} else if (strcmp(word, "options") == 0)
		while (next_word(&p, end, word))
			take_option(c, word);
}

void
hostconf_parse(const char *text, size_t len, struct hostconf *c)
{
	const char	*p = text, *end = text + len, *line;

	memset(c, 0, sizeof(*c));
	c->ndots = -1;
	while (p < end) {
		line = p;
		if ((p = memchr(line, '\n', (size_t)(end - line))) == NULL)
			p = end;
		take_line(c, line, p);
		p += p < end;
	}
}

/* None is no error: then a policy with names needs a resolver of its own. */
void
hostconf_read(struct hostconf *c)
{
	static char	text[TEXT_MAX];
	size_t		len = 0;
	ssize_t		n;
	int		fd = open(RESOLV_CONF, O_RDONLY | O_CLOEXEC |
			    O_NONBLOCK);

	if (fd == -1)
		log_debug("%s: %s", RESOLV_CONF, strerror(errno));
	while (fd != -1 && len < sizeof(text) &&
	    (n = read(fd, text + len, sizeof(text) - len)) > 0)
		len += (size_t)n;
	fd_drop(&fd);
	hostconf_parse(text, len, c);
}

const char *
hostconf_upstream(const struct hostconf *c, uint32_t i,
    char buf[UPSTREAM_STRLEN])
{
	char	text[ENDPOINT_STRLEN];

	addr_print(&c->host.upstream[i], text);
	if (c->host.scope[i] == 0)
		snprintf(buf, UPSTREAM_STRLEN, "%s", text);
	else
		snprintf(buf, UPSTREAM_STRLEN, "%s%%%u", text, c->host.scope[i]);
	return buf;
}
