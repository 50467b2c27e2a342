/*
 * sallyport check: reads a policy and says what is wrong with it. Nothing is put
 * in force; -p prints the law in its one canonical form.
 *
 * Trusts: the user who runs it.
 * Must not: accept what `run` would refuse: the grammar is the same.
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "grammar.h"
#include "log.h"
#include "policy.h"
#include "policy_cmds.h"

static void
line_to_stderr(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s\n", text);
}

static int
usage(void)
{
	fprintf(stderr, "usage: sallyport " CHECK_USAGE "\n");
	return EXIT_MISUSE;
}

static void
summary(const char *path, const struct policy *p)
{
	const uint8_t	*hash = policy_hash(p);
	unsigned int	 i;

	printf("%s: good: %u tenant%s, %u rule%s, sha256 ", path,
	    policy_tenants(p), policy_tenants(p) == 1 ? "" : "s",
	    policy_rules(p), policy_rules(p) == 1 ? "" : "s");
	for (i = 0; i < 32; i++)
		printf("%02x", hash[i]);
	printf("\n");
}

/* What the broker would be given must also load. */
static int
check_compiled(const struct model *m, const char *path, bool quiet)
{
	struct policy	*p = NULL;
	char		 err[128] = "it is larger than 64 MiB";
	size_t		 len;
	void		*blob = grammar_compile(m, &len);

	if (blob != NULL)
		p = policy_load(blob, len, err, sizeof(err));
	free(blob);
	if (p == NULL) {
		fprintf(stderr, "%s: the compiled policy is refused: %s\n", path,
		    err);
		return EXIT_BAD;
	}
	if (!quiet) {
		summary(path, p);
		hosts_hint(p, path);
	}
	policy_free(p);
	return EXIT_GOOD;
}

struct how {
	bool	print, quiet, all;
};

/* What is not shown does not go without a word. */
static void
tell_acknowledged(const char *path, const struct grammar_sink *sink)
{
	if (sink->acknowledged > 0 && !sink->all)
		fprintf(stderr, "%s: %u acknowledged: sallyport check --all\n",
		    path, sink->acknowledged);
}

static int
check_file(const char *path, const struct how *how)
{
	struct grammar_sink	 sink = { .line = line_to_stderr,
				    .now = (uint64_t)time(NULL),
				    .advise = !how->quiet, .all = how->all };
	struct model		*m = grammar_parse(path, &sink);
	char			*text;
	int			 status;

	if (m == NULL)
		return EXIT_BAD;
	if (!how->quiet)
		tell_acknowledged(path, &sink);
	status = check_compiled(m, path, how->print || how->quiet);
	if (status == EXIT_GOOD && how->print) {
		text = grammar_print(m, NULL);
		fputs(text, stdout);
		free(text);
	}
	grammar_free(m);
	if (status == EXIT_GOOD && sink.warnings > 0)
		status = EXIT_DOUBT;
	return fflush(stdout) == 0 ? status : EXIT_BAD;
}

int
cmd_check(int argc, char **argv)
{
	static const struct option	options[] = {
		{ "all", no_argument, NULL, 'a' }, { NULL, 0, NULL, 0 } };
	struct how			how = { false, false, false };
	int				c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "npq", options, NULL)) != -1) {
		switch (c) {
		case 'a':
			how.all = true;
			break;
		case 'n':	/* what it does anyway; for fingers used to pfctl */
			break;
		case 'p':
			how.print = true;
			break;
		case 'q':
			how.quiet = true;
			break;
		default:
			return usage();
		}
	}
	if (argc - optind != 1)
		return usage();
	return check_file(argv[optind], &how);
}
