/*
 * The private invocation `sallyportd --one-guest`, written by `sallyport run` and
 * `sallyport serve` and by nobody else. Descriptors: 2 messages, 3 the channel to
 * the command, 4 the listening socket of a stream link.
 *
 * Trusts: the user who started us, with what the user may do anyway.
 * Must not: guess. What is unknown, missing or out of range is fatal.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "keeperd.h"
#include "policy.h"

enum { OPT_ONE = 256, OPT_POLICY, OPT_TENANT, OPT_GUEST, OPT_AUDIT,
	OPT_DURABLE, OPT_LINK, OPT_MTU, OPT_TRUST, OPT_ADDRESS, OPT_GATEWAY,
	OPT_LEVEL, OPT_UPSTREAM, OPT_RESOLVER, OPT_CA, OPT_QUIET, OPT_VERSION,
	OPT_COMMAND, OPT_CUT };

static const struct option longopts[] = {
	{ "one-guest",	no_argument,		NULL, OPT_ONE },
	{ "policy",	required_argument,	NULL, OPT_POLICY },
	{ "tenant",	required_argument,	NULL, OPT_TENANT },
	{ "guest",	required_argument,	NULL, OPT_GUEST },
	{ "audit",	required_argument,	NULL, OPT_AUDIT },
	{ "durable",	required_argument,	NULL, OPT_DURABLE },
	{ "link",	required_argument,	NULL, OPT_LINK },
	{ "mtu",	required_argument,	NULL, OPT_MTU },
	{ "trust-csum",	no_argument,		NULL, OPT_TRUST },
	{ "address",	required_argument,	NULL, OPT_ADDRESS },
	{ "gateway",	required_argument,	NULL, OPT_GATEWAY },
	{ "level",	required_argument,	NULL, OPT_LEVEL },
	{ "upstream",	required_argument,	NULL, OPT_UPSTREAM },
	{ "resolver-option", required_argument,	NULL, OPT_RESOLVER },
	{ "ca-bundle",	required_argument,	NULL, OPT_CA },
	{ "command",	required_argument,	NULL, OPT_COMMAND },
	{ "command-cut", no_argument,		NULL, OPT_CUT },
	{ "quiet",	no_argument,		NULL, OPT_QUIET },
	{ "version",	no_argument,		NULL, OPT_VERSION },
	{ "help",	no_argument,		NULL, 'h' },
	{ NULL, 0, NULL, 0 }
};

static uint32_t
number(const char *what, const char *text, uint32_t min, uint32_t max)
{
	char		*end;
	unsigned long	 n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || *text == '-' ||
	    n < min || n > max)
		fatalx("--%s %s: want a number from %u to %u", what, text,
		    min, max);
	return (uint32_t)n;
}

static uint32_t
word(const char *what, const char *text, const char *const *words, uint32_t n)
{
	uint32_t	i;

	for (i = 0; i < n; i++)
		if (strcmp(text, words[i]) == 0)
			return i;
	fatalx("--%s %s: unknown", what, text);
}

static const char *
name(const char *what, const char *text, size_t max)
{
	if (strlen(text) >= max)
		fatalx("--%s: longer than %zu bytes", what, max - 1);
	return text;
}

static struct wire_lease *
lease_of(struct options *o, const struct endpoint *e)
{
	return e->family == ADDR_V4 ? &o->v4 : &o->v6;
}

/* "10.83.80.100/32" */
static void
address(struct options *o, char *text)
{
	struct wire_lease	*l;
	struct endpoint		 e;
	char			*slash = strchr(text, '/');

	if (slash == NULL)
		fatalx("--address %s: want ADDRESS/LENGTH", text);
	*slash = '\0';
	if (addr_parse(text, &e) == -1)
		fatalx("--address %s: not an address", text);
	l = lease_of(o, &e);
	l->guest = e;
	l->prefix_len = number("address", slash + 1, 1,
	    e.family == ADDR_V4 ? 32 : 128);
}

static void
gateway(struct options *o, const char *text)
{
	struct endpoint	e;

	if (addr_parse(text, &e) == -1)
		fatalx("--gateway %s: not an address", text);
	lease_of(o, &e)->gateway = e;
}

/*
 * One of the host's name servers, a link-local one with the number of its link; 53 is
 * where they all listen (RFC 1035, 4.2).
 */
static void
upstream(struct host_resolver *h, char *text)
{
	struct endpoint	e;
	char		*link = strchr(text, '%');
	uint32_t	scope = 0;

	if (link != NULL) {
		*link = '\0';
		scope = number("upstream", link + 1, 1, INT32_MAX);
	}
	if (addr_parse(text, &e) == -1 ||
	    (link != NULL && (e.family != ADDR_V6 || !addr_is_link_local(&e))))
		fatalx("--upstream %s: not an address", text);
	if (h->n == UPSTREAM_MAX)
		fatalx("--upstream: more than %d", UPSTREAM_MAX);
	e.port = 53;
	h->scope[h->n] = scope;
	h->upstream[h->n++] = e;
}

/* What the host's resolv.conf says besides. */
static void
resolver_option(struct host_resolver *h, const char *text)
{
	static const char	timeout[] = "timeout:";

	if (strcmp(text, "rotate") == 0)
		h->rotate = 1;
	else if (strcmp(text, "use-vc") == 0)
		h->tcp = 1;
	else if (strncmp(text, timeout, sizeof(timeout) - 1) == 0)
		h->patience = number("resolver-option", text +
		    sizeof(timeout) - 1, 1, UPSTREAM_PATIENCE_MAX);
	else
		fatalx("--resolver-option %s: unknown", text);
}

/* A directory to open and a file name for the recorder to open in it. */
static void
audit(struct options *o, char *path)
{
	char	*slash = strrchr(path, '/');

	o->audit_dir = slash == NULL ? "." : slash == path ? "/" : path;
	o->audit_name = slash == NULL ? path : slash + 1;
	if (slash != NULL)
		*slash = '\0';
	if (*o->audit_name == '\0')
		fatalx("--audit: no file name");
}

static void
check_lease(const struct wire_lease *l)
{
	struct prefix	net;
	bool		alone;

	if (l->guest.family == ADDR_NONE && l->gateway.family == ADDR_NONE)
		return;
	if (l->guest.family == ADDR_NONE || l->gateway.family == ADDR_NONE)
		fatalx("an address needs a gateway, and a gateway an address");
	net = prefix_of(&l->guest, l->prefix_len);
	alone = l->prefix_len == (l->guest.family == ADDR_V4 ? 32 : 128);
	if (!(alone || prefix_contains(&net, &l->gateway)) ||
	    addr_equal(&l->guest, &l->gateway))
		fatalx("the gateway must be another address of the guest's net");
}

/* One argument of the command line that the log is to tell. */
static void
command(struct keeper_who *w, const char *arg)
{
	size_t	len = strlen(arg) + 1;

	if (len > sizeof(w->cmd) - w->len)
		fatalx("--command: more than %zu bytes", sizeof(w->cmd));
	memcpy(w->cmd + w->len, arg, len);
	w->len += (uint32_t)len;
}

static bool
who_option(struct options *o, int c, const char *arg)
{
	if (c == OPT_COMMAND)
		command(&o->who, arg);
	else if (c == OPT_CUT)
		o->who.cut = 1;
	else
		return false;
	return true;
}

/* From the root, so that it means the same to who reads it elsewhere. */
static void
policy_path(char buf[POLICY_PATH_MAX], const char *path)
{
	char	cwd[PATH_MAX] = "", full[2 * PATH_MAX];
	int	len;

	if (*path != '/' && getcwd(cwd, sizeof(cwd)) == NULL)
		fatal("the working directory");
	len = snprintf(full, sizeof(full), "%s%s%s", cwd, *path == '/' ? "" :
	    "/", path);
	if (len < 0 || (size_t)len >= sizeof(full))
		fatalx("--policy: the path is too long");
	if (len < POLICY_PATH_MAX)
		memcpy(buf, full, (size_t)len + 1);
	else
		snprintf(buf, POLICY_PATH_MAX, "...%s",
		    full + len - (POLICY_PATH_MAX - 4));
}

static bool
name_option(struct options *o, int c, char *arg)
{
	if (c == OPT_UPSTREAM)
		upstream(&o->host, arg);
	else if (c == OPT_RESOLVER)
		resolver_option(&o->host, arg);
	else if (c == OPT_CA)
		o->ca_bundle = arg;
	else if (c == OPT_QUIET)
		o->quiet = true;
	else
		return false;
	return true;
}

static void
one_option(struct options *o, int c, char *arg)
{
	static const char *const durable[] = { "before-data",
	    "before-connect", "async" };
	static const char *const kind[] = { "tap", "stream" };

	if (c == OPT_POLICY)
		o->policy = arg;
	else if (c == OPT_TENANT)
		o->tenant = name("tenant", arg, TENANT_MAX);
	else if (c == OPT_GUEST)
		o->guest = name("guest", arg, GUEST_MAX);
	else if (c == OPT_AUDIT)
		audit(o, arg);
	else if (c == OPT_DURABLE)
		o->durable = word("durable", arg, durable, 3) + 1;
	else if (c == OPT_LINK)
		o->kind = word("link", arg, kind, 2) + LINK_TAP;
	else if (c == OPT_MTU)
		o->mtu = number("mtu", arg, 1280, 65520);
	else if (c == OPT_TRUST)
		o->trust_csum = true;
	else if (c == OPT_ADDRESS)
		address(o, arg);
	else if (c == OPT_GATEWAY)
		gateway(o, arg);
	else if (c == OPT_LEVEL)
		o->level = number("level", arg, LOG_LEVEL_WARN,
		    LOG_LEVEL_DEBUG);
	else if (c != OPT_ONE && !name_option(o, c, arg) &&
	    !who_option(o, c, arg))
		fatalx("unknown option; sallyportd is started by "
		    "`sallyport run' and `sallyport serve'");
}

static void
version(void)
{
	printf("sallyportd %s\n", PACKAGE_VERSION);
	exit(0);
}

static void
help(void)
{
	printf("usage: sallyportd --version\n\n"
	    "It is started by `sallyport run' and `sallyport serve', with options that are\n"
	    "theirs and no interface. `sallyport help' says what to type, sallyportd(8) what\n"
	    "runs then.\n");
	exit(0);
}

void
options_parse(struct options *o, int argc, char **argv)
{
	bool	one = false;
	int	c;

	memset(o, 0, sizeof(*o));
	o->tenant = o->guest = "";
	o->kind = LINK_TAP;
	o->mtu = 65520;
	opterr = 0;
	optind = 0;
	while ((c = getopt_long(argc, argv, "+h", longopts, NULL)) != -1) {
		if (c == OPT_VERSION)
			version();
		if (c == 'h')
			help();
		one = one || c == OPT_ONE;
		one_option(o, c, optarg);
	}
	if (!one || optind != argc)
		fatalx("this version knows --one-guest only, and `sallyport "
		    "run' or `sallyport serve' is what starts it");
	if (o->policy == NULL || o->audit_name == NULL)
		fatalx("--policy and --audit are needed");
	o->who.uid = (uint32_t)getuid();
	o->who.pid = (uint32_t)getppid();
	policy_path(o->who.policy, o->policy);
	check_lease(&o->v4);
	check_lease(&o->v6);
	if (o->v4.guest.family == ADDR_NONE && o->v6.guest.family == ADDR_NONE)
		fatalx("the guest has no address");
}
