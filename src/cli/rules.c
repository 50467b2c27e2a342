/*
 * sallyport rules: all that holds for one tenant, one thing a line: its rules, the
 * floor and its exceptions, limits, and what the policy says for everybody.
 *
 * Trusts: the user who runs it.
 * Must not: leave out what has a say, or print a list of a million entries unasked.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policy_cmds.h"
#include "rules.h"

#define LIST_SHOWN	8
#define HOSTS_SHOWN	8

/* ---- what concerns this tenant ------------------------------------------------- */

/* Its guests may ask for it. */
bool
rules_host(const struct listing *l, const struct host *h)
{
	return policy_name(l->r.p, l->index, &h->name, l->now).kind !=
	    VERDICT_DENY;
}

bool
rules_service(const struct listing *l, const struct service *s)
{
	size_t	i;

	for (i = 0; i < l->tenant->rule.n; i++)
		if (l->tenant->rule.v[i].dest.kind == KIND_SERVICE && strcmp(
		    l->tenant->rule.v[i].dest.service.text, s->name) == 0)
			return true;
	return false;
}

struct limits
rules_limits(const struct listing *l)
{
	struct limits	limits = { .name = "default" };

	if (l->tenant->limits.text != NULL)
		limits = l->r.m->limits.v[l->tenant->limits.index];
	limits.l = *policy_limits(l->r.p, l->index);
	return limits;
}

bool
rules_audited(const struct listing *l, const struct rule *r)
{
	return (r->mode == MODE_INHERIT ? l->tenant->mode : r->mode) ==
	    MODE_AUDIT;
}

/* ---- a line each --------------------------------------------------------------- */

static void
line(const char *word, const struct where *at, const char *text)
{
	if (at != NULL)
		printf("%-10s %s:%u: %s\n", word, at->file, at->line, text);
	else
		printf("%-10s %s\n", word, text);
}

static void
show_policy(const struct listing *l)
{
	const uint8_t	*hash = policy_hash(l->r.p);
	size_t		 i;

	printf("%-10s %s, sha256 ", "policy", l->r.path);
	for (i = 0; i < 32; i++)
		printf("%02x", hash[i]);
	printf("\n%-10s %s:%u: %s, mode %s\n", "tenant", l->tenant->at.file,
	    l->tenant->at.line, l->tenant->name,
	    l->tenant->mode == MODE_AUDIT ? "audit" : "enforce");
}

static void
show_limits(const struct listing *l)
{
	struct limits	limits = rules_limits(l);
	struct text	t = { NULL, 0, 0 };

	print_limits(&t, &limits);
	line("limits", l->tenant->limits.text != NULL ? &limits.at : NULL,
	    t.buf);
	free(t.buf);
}

static void
show_floor(const struct listing *l)
{
	const struct model	*m = l->r.m;
	struct text		 t;
	size_t			 i;

	printf("%-10s version %u: %zu networks, this host's own addresses, port",
	    "floor", FLOOR_VERSION, floor_nentries);
	for (i = 0; i < floor_nports; i++)
		printf("%s %s %u", i > 0 ? "," : "",
		    proto_name(floor_ports[i].proto), floor_ports[i].port);
	printf(": sallyport.conf(5)\n");
	for (i = 0; i < m->except.n; i++) {
		if (strcmp(m->except.v[i].tenant.text, l->tenant->name) != 0)
			continue;
		t = (struct text){ NULL, 0, 0 };
		print_except(&t, &m->except.v[i], l->most);
		line("except", &m->except.v[i].at, t.buf);
		free(t.buf);
	}
}

static void
show_resolver(const struct listing *l)
{
	const struct policy_resolver	*r = policy_resolver(l->r.p);
	struct text			 t = { NULL, 0, 0 };
	uint32_t			 i;

	for (i = 0; i < r->nupstreams; i++) {
		print_upstream(&t, &r->upstream[i]);
		text_add(&t, ", ");
	}
	if (r->nupstreams == 0)
		text_add(&t, "upstreams of this host, ");
	text_add(&t, "dnssec %s, pin min %us max %us grace %us",
	    r->dnssec ? "yes" : "no", r->pin_min, r->pin_max, r->pin_grace);
	line("resolver", NULL, t.buf);
	free(t.buf);
}

static void
show_hosts(const struct listing *l)
{
	const struct model	*m = l->r.m;
	struct text		 t;
	size_t			 i, n = 0;

	for (i = 0; i < m->host.n; i++) {
		if (!rules_host(l, &m->host.v[i]) ||
		    (n++ >= HOSTS_SHOWN && !l->all))
			continue;
		t = (struct text){ NULL, 0, 0 };
		print_host(&t, &m->host.v[i], l->most);
		line("host", &m->host.v[i].at, t.buf);
		free(t.buf);
	}
	if (n > HOSTS_SHOWN && !l->all)
		printf("%-10s and %zu more\n", "host", n - HOSTS_SHOWN);
}

static void
show_services(const struct listing *l)
{
	const struct model	*m = l->r.m;
	char			 buf[ENDPOINT_STRLEN];
	size_t			 i;

	for (i = 0; i < m->service.n; i++)
		if (rules_service(l, &m->service.v[i]))
			printf("%-10s %s:%u: %s %s %s\n", "service",
			    m->service.v[i].at.file, m->service.v[i].at.line,
			    m->service.v[i].name,
			    endpoint_print(&m->service.v[i].addr, buf),
			    proto_name(m->service.v[i].proto));
}

/* What its text leaves to be known. */
static void
add_implied(struct text *t, const struct listing *l, const struct rule *r)
{
	if (r->verify == VERIFY_BY_PORT)
		text_add(t, " (verify sni, on port %u host)", VERIFY_HOST_PORT);
	if (r->mode == MODE_INHERIT && rules_audited(l, r))
		text_add(t, " (mode audit)");
	if (r->until != 0 && l->now >= r->until)
		text_add(t, " (has ended)");
	if (r->ticket != NULL)
		text_add(t, " ticket \"%s\"", r->ticket);
	if (r->note != NULL)
		text_add(t, " note \"%s\"", r->note);
}

static void
show_rules(const struct listing *l)
{
	struct text	t;
	uint32_t	i;

	for (i = 0; i < l->tenant->rule.n; i++) {
		t = (struct text){ NULL, 0, 0 };
		text_add(&t, "(%s) ", policy_rule_id(l->r.p, l->first + i));
		print_rule_short(&t, &l->tenant->rule.v[i], l->most);
		add_implied(&t, l, &l->tenant->rule.v[i]);
		line("rule", &l->tenant->rule.v[i].at, t.buf);
		free(t.buf);
	}
	line("default", NULL, l->tenant->mode == MODE_AUDIT ?
	    "deny (mode audit: recorded, let through)" : "deny");
}

static void
show(const struct listing *l)
{
	show_policy(l);
	show_limits(l);
	show_floor(l);
	show_resolver(l);
	show_hosts(l);
	show_services(l);
	show_rules(l);
}

/* ---- the command line ---------------------------------------------------------- */

static int
find_tenant(struct listing *l, const char *name)
{
	const struct model	*m = l->r.m;
	int			 index = reading_tenant(&l->r, "rules", name);
	size_t			 i;

	if (index == -1)
		return -1;
	l->index = (unsigned int)index;
	name = policy_tenant_name(l->r.p, l->index);
	for (i = 0; strcmp(m->tenant.v[i].name, name) != 0; i++)
		l->first += (uint32_t)m->tenant.v[i].rule.n;
	l->tenant = &m->tenant.v[i];
	return 0;
}

static int
usage(void)
{
	fprintf(stderr, "usage: sallyport " RULES_USAGE "\n");
	return EXIT_MISUSE;
}

static int
parse_options(struct listing *l, int argc, char **argv)
{
	static const struct option	options[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "json", no_argument, NULL, 'j' },
		{ "quiet", no_argument, NULL, 'q' }, { NULL, 0, NULL, 0 } };
	int				c;

	optind = 0;
	while ((c = getopt_long(argc, argv, "q", options, NULL)) != -1) {
		if (c == '?')
			return -1;
		l->all |= c == 'a';
		l->json |= c == 'j';
		l->quiet |= c == 'q';
	}
	l->most = l->all ? SIZE_MAX : LIST_SHOWN;
	/* the policy's only tenant needs no name, as for run */
	return argc - optind == 1 || argc - optind == 2 ? 0 : -1;
}

int
cmd_rules(int argc, char **argv)
{
	struct listing	l = { .now = (uint64_t)time(NULL) };
	int		status = EXIT_DOUBT;

	if (parse_options(&l, argc, argv) == -1)
		return usage();
	if (reading_open(&l.r, argv[optind], l.now) == 0 && find_tenant(&l,
	    argc - optind == 2 ? argv[optind + 1] : "") == 0) {
		status = EXIT_GOOD;
		if (l.json && !l.quiet)
			rules_json(&l);
		else if (!l.quiet) {
			show(&l);
			reading_note(&l.r);
		}
	}
	reading_close(&l.r);
	return fflush(stdout) == 0 && !ferror(stdout) ? status : EXIT_DOUBT;
}
