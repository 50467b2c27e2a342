/*
 * The name servers of the host, which serve a policy that names none.
 *
 * Trusts: /etc/resolv.conf for which they are; it is the administrator's.
 * Must not: take anything but an address written out (a scope, a name, a port are
 * none), or more than the first three, which is what resolv.conf(5) promises.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "fd.h"

#define RESOLV_CONF	"/etc/resolv.conf"
#define TEXT_MAX	65536	/* what is behind that is not read */

static bool
blank(char c)
{
	return c == ' ' || c == '\t';
}

/* "nameserver", blanks, the address; what is behind a blank is not looked at. */
static void
take_line(const char *p, const char *end, struct upstreams *u)
{
	static const char	word[] = "nameserver";
	const size_t		len = sizeof(word) - 1;
	char			text[ENDPOINT_STRLEN];
	struct endpoint		e;
	size_t			n = 0;

	if ((size_t)(end - p) <= len || memcmp(p, word, len) != 0 ||
	    !blank(p[len]))
		return;
	for (p += len; p < end && blank(*p); p++)
		;
	for (; p < end && !blank(*p) && n < sizeof(text) - 1; p++)
		text[n++] = *p;
	text[n] = '\0';
	if (u->n == UPSTREAMS_MAX || strlen(text) != n ||
	    addr_parse(text, &e) == -1)
		return;
	e = endpoint_canonical(e);	/* ::ffff:192.0.2.1 is an IPv4 server */
	addr_print(&e, u->text[u->n++]);
}

void
upstreams_parse(const char *text, size_t len, struct upstreams *u)
{
	const char	*p = text, *end = text + len, *line;

	memset(u, 0, sizeof(*u));
	while (p < end) {
		line = p;
		if ((p = memchr(line, '\n', (size_t)(end - line))) == NULL)
			p = end;
		take_line(line, p, u);
		p += p < end;
	}
}

/* None is no error: then a policy with names needs a resolver of its own. */
void
upstreams_read(struct upstreams *u)
{
	static char	text[TEXT_MAX];
	size_t		len = 0;
	ssize_t		n;
	int		fd = open(RESOLV_CONF, O_RDONLY | O_CLOEXEC |
			    O_NONBLOCK);

	memset(u, 0, sizeof(*u));
	if (fd == -1) {
		log_debug("%s: %s", RESOLV_CONF, strerror(errno));
		return;
	}
	while ((n = read(fd, text + len, sizeof(text) - len)) > 0)
		len += (size_t)n;
	fd_drop(&fd);
	upstreams_parse(text, len, u);
}
