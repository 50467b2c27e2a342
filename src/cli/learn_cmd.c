/*
 * `sallyport learn': a policy from logs that are there, of tenants in audit mode and of
 * `run --learn', by the same engine as that.
 *
 * Trusts: the user who runs it; nothing of the logs.
 * Must not: mix what several tenants did.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "learn.h"

#define EXIT_NOTHING	1
#define TENANTS_SAID	8

enum { OPT_FORCE = 256, OPT_MERGE, OPT_TENANT };

static const struct option longopts[] = {
	{ "output",	required_argument,	NULL, 'o' },
	{ "force",	no_argument,		NULL, OPT_FORCE },
	{ "merge",	required_argument,	NULL, OPT_MERGE },
	{ "tenant",	required_argument,	NULL, OPT_TENANT },
	{ "quiet",	no_argument,		NULL, 'q' },
	{ NULL, 0, NULL, 0 }
};

struct options {
	const char	*out, *merge, *tenant;
	bool		 force, quiet;
	char *const	*logs;
};

static void
one_option(struct options *o, int c, const char *arg)
{
	if (c == 'o')
		o->out = arg;
	else if (c == OPT_MERGE)
		o->merge = arg;
	else if (c == OPT_TENANT)
		o->tenant = arg;
	else if (c == OPT_FORCE)
		o->force = true;
	else
		o->quiet = true;
}

/* As the grammar's. */
static bool
is_tenant(const char *s)
{
	static const char	marks[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

	return *s != '\0' && strchr("._-", *s) == NULL && strlen(s) < TENANT_MAX &&
	    strspn(s, marks) == strlen(s);
}

static int
parse(struct options *o, int argc, char **argv)
{
	int	c;

	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, ":o:q", longopts, NULL)) != -1) {
		if (c == ':')
			return usage_error(-1, "learn", "%s needs a value",
			    argv[optind - 1]);
		if (c == '?' && help_wanted(argv[optind - 1]))
			help_and_exit("learn");
		if (c == '?')
			return usage_error(-1, "learn", "no option %s",
			    argv[optind - 1]);
		one_option(o, c, optarg);
	}
	o->logs = argv + optind;
	if (o->logs[0] == NULL)
		return usage_error(-1, "learn", "LOG is missing: an audit log, a "
		    "directory of them, or -");
	if (o->force && o->out == NULL)
		return usage_error(-1, "learn", "--force goes with -o");
	if (o->tenant != NULL && !is_tenant(o->tenant))
		return usage_error(-1, "learn", "--tenant: not a tenant's name");
	return 0;
}

static void
say_tenants(const struct learned *l, const char *what, const char *tenant,
    const char *advice)
{
	char	line[LOG_LINE_MAX];
	size_t	i, at = 0;

	*line = '\0';
	for (i = 0; i < l->tenants.n && i < TENANTS_SAID; i++)
		at += (size_t)snprintf(line + at, sizeof(line) - at, "%s%.64s",
		    i > 0 ? ", " : "",
		    ((struct word *)list_at(&l->tenants, i))->text);
	log_warnx("learn: %s%s: they are of %s%s%s", what, tenant, line,
	    l->tenants.n > TENANTS_SAID ? " and others" : "", advice);
}

/* The tenant's name in the policy; NULL after saying why there is none. */
static const char *
find_tenant(const struct learned *l, const struct options *o)
{
	const char	*only;
	struct word	 w;

	memset(&w, 0, sizeof(w));
	if (o->tenant != NULL) {
		memcpy(w.text, o->tenant, strlen(o->tenant));
		if (l->tenants.n == 0 || list_find(&l->tenants, &w) != LIST_NONE)
			return o->tenant;
		memcpy(w.text, LEARN_TENANT, sizeof(LEARN_TENANT));
		memset(w.text + sizeof(LEARN_TENANT), 0, sizeof(w.text) -
		    sizeof(LEARN_TENANT));
		if (list_find(&l->tenants, &w) != LIST_NONE)
			return o->tenant;
		say_tenants(l, "the logs have nothing of tenant ", o->tenant, "");
		return NULL;
	}
	if (l->tenants.n > 1) {
		say_tenants(l, "the logs are of several tenants", "",
		    ": name one with --tenant");
		return NULL;
	}
	only = l->tenants.n == 1 ? ((struct word *)list_at(&l->tenants, 0))->text : "";
	return is_tenant(only) && strcmp(only, LEARN_TENANT) != 0 ? only : "learned";
}

static void
say_lines(const struct learned *l)
{
	if (l->bad > 0)
		log_warnx("learn: %zu lines could not be read", l->bad);
	if (l->cut > 0)
		log_warnx("learn: %zu logs end in the middle of a line, which does "
		    "not count", l->cut);
	if (l->old > 0)
		log_warnx("learn: %zu lines are not of format 2 of the log, and do "
		    "not count", l->old);
}

static int
read_logs(struct learned *l, const struct options *o)
{
	int	i, result = 0;

	for (i = 0; o->logs[i] != NULL; i++)
		if (learn_path(l, o->logs[i]) == -1)
			result = -1;
	say_lines(l);
	return result;
}

static int
write_policy(struct learned *l, const struct options *o,
    const struct learn_head *h)
{
	char	*text = NULL;
	size_t	 len = 0;
	FILE	*f;
	int	 result;

	claims_conclude(l);
	if (o->merge != NULL)
		result = merge_policy(l, o->merge, o->out, h, &text, &len);
	else if ((f = open_memstream(&text, &len)) != NULL) {
		rules_arrange(l);
		text_policy(f, l, h);
		result = fclose(f);
	} else
		result = -1;
	if (result == 0)
		result = learn_out(o->out, o->force, text, len);
	free(text);
	return result;
}

static int
learn(struct learned *l, const struct options *o)
{
	struct learn_head	h = { "learn", o->logs, NULL };

	l->tenant = o->tenant;
	if (read_logs(l, o) == -1)
		return EXIT_NOTHING;
	if ((h.tenant = find_tenant(l, o)) == NULL)
		return EXIT_NOTHING;
	if (l->flows == 0 && l->asked.n == 0 && l->floored.n == 0) {
		log_warnx("learn: nothing in the logs was let through: a tenant in "
		    "`mode audit', or `run --learn', fills them");
		return EXIT_NOTHING;
	}
	learn_say(l);
	if (write_policy(l, o, &h) == -1)
		return EXIT_NOTHING;
	if (o->out != NULL && !o->quiet)
		log_warnx("learnt from %zu flow%s: %s; read it before you use it",
		    l->flows, l->flows == 1 ? "" : "s", o->out);
	return 0;
}

int
cmd_learn(int argc, char **argv)
{
	struct options	o = { .out = NULL };
	struct learned	l;
	int		status;

	if (parse(&o, argc, argv) == -1)
		return EXIT_USAGE;
	memset(&l, 0, sizeof(l));
	evidence_init(&l);
	status = learn(&l, &o);
	learn_free(&l);
	return status;
}
