/*
 * sallyport explain: one question to a policy, with every step of the answer. The
 * steps are those of the broker: law_judge() is what policy_decide() is made of, and it
 * is asked again, with what the first bytes are, if and only if it wants to see them.
 *
 * Trusts: the user who runs it.
 * Must not: decide anything itself, or resolve a name.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
parse_proto(const char *word, uint32_t *out)
{
	static const uint32_t	protos[] = { PROTO_TCP, PROTO_UDP, PROTO_ECHO };
	size_t			i;

	for (i = 0; i < 3; i++)
		if (strcmp(word, proto_name(protos[i])) == 0) {
			*out = protos[i];
			return 0;
		}
	fprintf(stderr, "explain: \"%s\" is not tcp, udp, icmp, dns or reach\n",
	    word);
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
	    "203.0.114.10:443 or [2600:1f00::10]:443; what a name reaches says "
	    "reach\n", word);
	return -1;
}

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

static void
begin_json(struct json *j, const struct question *q)
{
	size_t	i;

	json_open(j, NULL, '{');
	json_string(j, "command", "explain");
	reading_json(&q->r, j);
	json_string(j, "tenant", policy_tenant_name(q->r.p, q->query.tenant));
	json_open(j, "question", '{');
	json_string(j, "about", q->what);
	json_string(j, "destination", q->about);
	if (q->topic != TOPIC_DNS && q->query.nbound > 0) {
		json_open(j, "names", '[');
		for (i = 0; i < q->query.nbound; i++)
			json_string(j, NULL, q->query.bound[i]->text);
		json_close(j, ']');
	}
	json_close(j, '}');
}

static int
answer(struct question *q)
{
	struct answer	a;
	struct json	j = { { NULL, 0, 0 }, false };
	int		status = EXIT_DOUBT;

	answer_init(&a, &q->r);
	begin_json(&j, q);
	if (q->topic == TOPIC_DNS)
		explain_name(&a, q);
	else if (q->topic == TOPIC_FLOW)
		explain_flow(&a, q);
	if (q->topic != TOPIC_REACH || explain_reach(&a, q, &j) == 0) {
		status = a.verdict.status;
		answer_json(&a, &j);
		json_close(&j, '}');
		if (q->json && !q->quiet)
			json_print(&j);
		else if (!q->quiet)
			screen_print(&a, q->all);
		if (!q->json && !q->quiet)
			reading_note(&q->r);
	}
	free(j.t.buf);
	answer_free(&a);
	return status;
}

static int
explain(struct question *q)
{
	int	tenant, status = EXIT_DOUBT;

	if (reading_open(&q->r, q->path, q->query.now) == 0 &&
	    (tenant = reading_tenant(&q->r, "explain", q->tenant)) != -1 &&
	    parse_names(q) == 0) {
		q->query.tenant = (unsigned int)tenant;
		status = answer(q);
	}
	reading_close(&q->r);
	return fflush(stdout) == 0 && !ferror(stdout) ? status : EXIT_DOUBT;
}

/* ---- the command line --------------------------------------------------------------- */

static int
usage(void)
{
	fprintf(stderr, "usage: sallyport " EXPLAIN_USAGE "\n"
	    "       sallyport " EXPLAIN_DNS_USAGE "\n"
	    "       sallyport " EXPLAIN_REACH_USAGE "\n");
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
parse_option(struct question *q, int c)
{
	switch (c) {
	case 'q':
		q->quiet = true;
		return 0;
	case 'j':
		q->json = true;
		return 0;
	case 'a':
		q->all = true;
		return 0;
	case 'e':
		q->flight.ech = true;
		return 0;
	case 'n':
		if (q->nnames == EXPLAIN_NAMES)
			return -1;
		q->name[q->nnames++] = optarg;
		return 0;
	case 't':
		return parse_date(q, optarg);
	case 'A':
		return lease_address(q->lease, "explain", optarg);
	case 'G':
		return lease_gateway(q->lease, "explain", optarg);
	case '?':
		return -1;
	default:
		return parse_shown(q, c, optarg);
	}
}

static int
parse_options(struct question *q, int argc, char **argv)
{
	static const struct option	options[] = {
		{ "quiet", no_argument, NULL, 'q' },
		{ "json", no_argument, NULL, 'j' },
		{ "all", no_argument, NULL, 'a' },
		{ "name", required_argument, NULL, 'n' },
		{ "sni", required_argument, NULL, 's' },
		{ "host", required_argument, NULL, 'h' },
		{ "nothing", no_argument, NULL, '0' },
		{ "undecided", no_argument, NULL, 'u' },
		{ "ech", no_argument, NULL, 'e' },
		{ "at", required_argument, NULL, 't' },
		{ "guest-address", required_argument, NULL, 'A' },
		{ "gateway", required_argument, NULL, 'G' },
		{ NULL, 0, NULL, 0 } };
	int				c;

	optind = 0;		/* glibc: begin again, options anywhere */
	while ((c = getopt_long(argc, argv, "q", options, NULL)) != -1)
		if (parse_option(q, c) == -1)
			return -1;
	/* ECH stands in a ClientHello, and a flight is TCP's */
	if (argc - optind != 4 || (q->flight.ech && q->flight.kind != PEEK_TLS))
		return -1;
	return lease_run(q->lease, "explain", true, true);
}

/* tcp ADDRESS:PORT, dns NAME, or reach HOST. -1: such a question there is not. */
static int
parse_topic(struct question *q)
{
	q->topic = strcmp(q->what, "dns") == 0 ? TOPIC_DNS :
	    strcmp(q->what, "reach") == 0 ? TOPIC_REACH : TOPIC_FLOW;
	if (q->topic == TOPIC_DNS) {
		if (q->nnames > 0 || q->told)
			return -1;
		q->name[0] = q->about;
		q->nnames = 1;
	}
	return q->told && strcmp(q->what, "tcp") != 0 ? -1 : 0;
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
	q.path = argv[optind];
	q.tenant = argv[optind + 1];
	q.what = argv[optind + 2];
	q.about = argv[optind + 3];
	if (parse_topic(&q) == -1)
		return usage();
	if (q.topic == TOPIC_FLOW &&
	    (parse_proto(q.what, &q.query.proto) == -1 ||
	    parse_destination(q.about, q.query.proto, &q.query.dst) == -1))
		return EXIT_DOUBT;
	q.query.gateway4 = q.lease[0].gateway;
	q.query.gateway6 = q.lease[1].gateway;
	explain_locals(&q);
	status = explain(&q);
	if (q.route.fd != -1)
		route_close(&q.route);
	return status;
}
