/*
 * sallyport explain: one question to a policy, with every step of the answer. The
 * steps are those of the broker: law_judge() is what policy_decide() is made of, and it
 * is asked again, with what the first bytes are, if and only if it wants to see them.
 *
 * Trusts: the user who runs it.
 * Must not: decide anything itself, or resolve a name.
 */
#include <sys/types.h>
#include <ifaddrs.h>

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "explain.h"
#include "grammar.h"
#include "policy_cmds.h"

static void
line_to_stderr(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s\n", text);
}

/* ---- the question -------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
	return addr_compare(a, b);
}

/* What the broker knows by netlink; here the interfaces are asked once. */
static void
find_locals(struct question *q)
{
	struct ifaddrs	*all, *i;
	struct endpoint	*e = q->local, *end = e + EXPLAIN_LOCALS;

	if (getifaddrs(&all) == 0) {
		for (i = all; i != NULL && e < end; i = i->ifa_next)
			if (i->ifa_addr != NULL &&
			    endpoint_from_sockaddr(i->ifa_addr, e) == 0)
				(e++)->port = 0;
		freeifaddrs(all);
	}
	q->nlocals = (size_t)(e - q->local);
	qsort(q->local, q->nlocals, sizeof(q->local[0]), compare);
	if (route_open(&q->route) == -1)
		fprintf(stderr, "explain: the kernel cannot be asked for its "
		    "routes (%s): of this host's own only the addresses of its "
		    "interfaces are known\n", strerror(errno));
}

static bool
is_own(struct question *q, uint32_t proto, const struct endpoint *e)
{
	struct endpoint	key = *e;
	enum route_kind	kind;

	key.port = 0;
	if (bsearch(&key, q->local, q->nlocals, sizeof(key), compare) != NULL)
		return true;
	if (q->route.fd == -1)
		return false;
	kind = route_ask(&q->route, proto, NULL, e);
	return kind == ROUTE_OWN || kind == ROUTE_UNKNOWN;
}

uint32_t
explain_own(struct question *q, uint32_t proto, const struct endpoint *dst)
{
	struct endpoint	form[POLICY_FORMS_MAX];
	size_t		i, n = policy_forms(dst, form);
	uint32_t	own = 0;

	for (i = 0; i < n; i++)
		if (is_own(q, proto, &form[i]))
			own |= UINT32_C(1) << i;
	return own;
}

static int
parse_proto(const char *word, uint32_t *out)
{
	static const uint32_t	protos[] = { PROTO_TCP, PROTO_UDP, PROTO_ECHO };
	size_t			i;

	for (i = 0; i < 3; i++)
		if (strcmp(word, proto_name(protos[i])) == 0) {
			*out = protos[i];
			return 0;
		}
	fprintf(stderr, "explain: \"%s\" is not tcp, udp, icmp or dns\n", word);
	return -1;
}

static int
parse_destination(const char *word, uint32_t proto, struct endpoint *out)
{
	if (proto == PROTO_ECHO) {
		if (addr_parse(word, out) == 0)
			return 0;
		fprintf(stderr, "explain: \"%s\" is not an address "
		    "(icmp has no port)\n", word);
		return -1;
	}
	if (endpoint_parse(word, out) == 0)
		return 0;
	fprintf(stderr, "explain: \"%s\" is not an address with a port: "
	    "203.0.114.10:443 or [2600:1f00::10]:443\n", word);
	return -1;
}

/* ---- names ---------------------------------------------------------------------- */

static int
compare_names(const void *a, const void *b)
{
	return name_compare(a, b);
}

static int
parse_names(struct question *q)
{
	struct grammar_sink	sink = { .line = line_to_stderr };
	size_t			i, n = 0;

	for (i = 0; i < q->nnames; i++)
		if (grammar_name(q->name[i], &sink, &q->names[i]) == -1)
			return -1;
	qsort(q->names, q->nnames, sizeof(q->names[0]), compare_names);
	for (i = 0; i < q->nnames; i++)
		if (i == 0 || !name_equal(&q->names[i - 1], &q->names[i]))
			q->bound[n++] = &q->names[i];
	q->query.bound = q->bound;
	q->query.nbound = n;
	if (q->shown == NULL)
		return 0;
	q->flight.what = *q->shown != '\0' ? SHOWN_NAME : SHOWN_OTHER;
	return *q->shown == '\0' ? 0 : grammar_name(q->shown, &sink,
	    &q->flight.name);
}

/* ---- the answer ------------------------------------------------------------------ */

static int
ask(const struct policy *p, const struct model *m, struct question *q)
{
	unsigned int	i;
	int		tenant = policy_tenant(p, q->tenant);

	if (tenant != -1) {
		q->query.tenant = (unsigned int)tenant;
		if (parse_names(q) == -1)
			return EXIT_DOUBT;
		return q->dns ? explain_name(p, m, q) : explain_flow(p, m, q);
	}
	fprintf(stderr, "explain: %s has no tenant \"%s\"; it has:", q->path,
	    q->tenant);
	for (i = 0; i < policy_tenants(p) && i < 20; i++)
		fprintf(stderr, " %s", policy_tenant_name(p, i));
	fprintf(stderr, "\n");
	return EXIT_DOUBT;
}

static int
explain(struct question *q)
{
	struct grammar_sink	 sink = { .line = line_to_stderr,
				    .now = q->query.now };
	struct model		*m = grammar_parse(q->path, &sink);
	struct policy		*p = NULL;
	char			 err[128] = "it is larger than 64 MiB";
	size_t			 len;
	void			*blob;
	int			 status = EXIT_DOUBT;

	if (m == NULL)
		return EXIT_DOUBT;
	if ((blob = grammar_compile(m, &len)) != NULL)
		p = policy_load(blob, len, err, sizeof(err));
	free(blob);
	if (p == NULL)
		fprintf(stderr, "%s: the compiled policy is refused: %s\n",
		    q->path, err);
	else
		status = ask(p, m, q);
	policy_free(p);
	grammar_free(m);
	return fflush(stdout) == 0 ? status : EXIT_DOUBT;
}

/* ---- the command line --------------------------------------------------------------- */

static int
usage(void)
{
	fprintf(stderr, "usage: sallyport " EXPLAIN_USAGE "\n"
	    "       sallyport " EXPLAIN_DNS_USAGE "\n");
	return EXIT_MISUSE;
}

/* What the first bytes are is told once. */
static int
parse_shown(struct question *q, int c, const char *arg)
{
	if (q->told)
		return -1;
	q->told = true;
	if (c == 's' || c == 'h') {
		q->shown = arg;
		q->flight.kind = c == 's' ? PEEK_TLS : PEEK_HTTP;
	} else
		q->flight.what = c == '0' ? SHOWN_NOTHING : SHOWN_UNDECIDED;
	if (c == '0')
		q->flight.why = REASON_SERVER_FIRST;
	return 0;
}

/* On that day, or at that moment: `until' takes the same words. */
static int
parse_date(struct question *q, const char *text)
{
	uint64_t	end;

	if (!date_parse(text, &end)) {
		fprintf(stderr, "explain: --at %s: want a day, as 2027-01-31, or "
		    "a moment in UTC, as 2027-01-31T18:00:00Z\n", text);
		return -1;
	}
	q->query.now = strchr(text, ':') != NULL ? end : end - 1;
	return 0;
}

static int
parse_options(struct question *q, int argc, char **argv)
{
	static const struct option	options[] = {
		{ "name", required_argument, NULL, 'n' },
		{ "sni", required_argument, NULL, 's' },
		{ "host", required_argument, NULL, 'h' },
		{ "nothing", no_argument, NULL, '0' },
		{ "undecided", no_argument, NULL, 'u' },
		{ "ech", no_argument, NULL, 'e' },
		{ "at", required_argument, NULL, 'a' },
		{ NULL, 0, NULL, 0 } };
	int				c;

	optind = 0;		/* glibc: begin again, options anywhere */
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'e')
			q->flight.ech = true;
		else if (c == 'a' && parse_date(q, optarg) == 0)
			continue;
		else if (c == 'n' && q->nnames < EXPLAIN_NAMES)
			q->name[q->nnames++] = optarg;
		else if (c == 'n' || c == 'a' || c == '?' || parse_shown(q, c, optarg) == -1)
			return -1;
	}
	/* ECH stands in a ClientHello, and a flight is TCP's */
	if (argc - optind != 4 || (q->flight.ech && q->flight.kind != PEEK_TLS))
		return -1;
	return 0;
}

/* tcp ADDRESS:PORT, or dns NAME. */
static int
parse_question(struct question *q, const char *what, const char *word)
{
	if ((q->dns = strcmp(what, "dns") == 0)) {
		q->name[0] = word;
		q->nnames = 1;
		return 0;
	}
	return parse_proto(what, &q->query.proto) == -1 ||
	    parse_destination(word, q->query.proto, &q->query.dst) == -1 ?
	    -1 : 0;
}

/* What has it at the host is out of the guest's reach, whatever the law says. */
static void
note_guest(const struct endpoint *dst)
{
	struct endpoint	v4, v6;

	addr_parse(RUN_GUEST4, &v4);
	addr_parse(RUN_GUEST6, &v6);
	if (addr_equal(dst, &v4) || addr_equal(dst, &v6))
		printf("guest      this is the address that `run' gives its command, "
		    "unless it is told\n           another: what is sent there stays "
		    "in the guest\n");
}

int
cmd_explain(int argc, char **argv)
{
	static struct question	q;
	int			status;

	memset(&q, 0, sizeof(q));
	q.route.fd = -1;
	q.query.now = (uint64_t)time(NULL);
	if (parse_options(&q, argc, argv) == -1)
		return usage();
	argv += optind;
	q.path = argv[0];
	q.tenant = argv[1];
	if (strcmp(argv[2], "dns") == 0 ? q.nnames > 0 || q.told :
	    q.told && strcmp(argv[2], "tcp") != 0)
		return usage();
	if (parse_question(&q, argv[2], argv[3]) == -1)
		return EXIT_DOUBT;
	/* the addresses that `run` gives to its guest's gateway */
	addr_parse(RUN_GATEWAY4, &q.query.gateway4);
	addr_parse(RUN_GATEWAY6, &q.query.gateway6);
	find_locals(&q);
	if (!q.dns)
		note_guest(&q.query.dst);
	status = explain(&q);
	if (q.route.fd != -1)
		route_close(&q.route);
	return status;
}
