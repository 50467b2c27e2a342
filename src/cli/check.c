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
#include "json.h"
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

struct how {
	bool		 print, quiet, all, json;
	const char	*path;
	struct json	 out;		/* with --json: what there is to say */
};

static void
print_hash(const uint8_t *hash, char text[65])
{
	size_t	i;

	for (i = 0; i < 32; i++)
		snprintf(text + 2 * i, 3, "%02x", hash[i]);
}

static void
summary(struct how *how, const struct policy *p)
{
	char	hash[65];

	print_hash(policy_hash(p), hash);
	if (how->json) {
		json_number(&how->out, "tenants", policy_tenants(p));
		json_number(&how->out, "rules", policy_rules(p));
		json_string(&how->out, "sha256", hash);
		print_hash(policy_text_hash(p), hash);
		json_string(&how->out, "text_sha256", hash);
	} else if (!how->quiet && !how->print)
		printf("%s: good: %u tenant%s, %u rule%s, sha256 %s\n",
		    how->path, policy_tenants(p),
		    policy_tenants(p) == 1 ? "" : "s", policy_rules(p),
		    policy_rules(p) == 1 ? "" : "s", hash);
}

/* ---- messages ------------------------------------------------------------ */

static void
message_to_json(void *arg, const struct grammar_message *m)
{
	static const char *const	tiers[] = { [TIER_ERROR] = "error",
					    [TIER_WARNING] = "warning",
					    [TIER_NOTE] = "note" };
	struct json			*j = &((struct how *)arg)->out;

	json_open(j, NULL, '{');
	json_string(j, "severity", tiers[m->tier]);
	json_maybe(j, "code", m->code);
	json_string(j, "file", m->file);
	json_number(j, "line", m->line);
	json_number(j, "column", m->column);
	json_string(j, "text", m->text);
	if (m->uses > 0) {
		json_number(j, "uses", m->uses);
		json_maybe(j, "use_file", m->use_file);
		json_number(j, "use_line", m->use_line);
	}
	json_bool(j, "acknowledged", m->reason != NULL);
	json_maybe(j, "reason", m->reason);
	json_close(j, '}');
}

/* One about the file as such. */
static void
message_to_stderr(void *arg, const struct grammar_message *m)
{
	(void)arg;
	fprintf(stderr, "%s: %s%s\n", m->file,
	    m->tier == TIER_NOTE ? "note: " : "", m->text);
}

static void
tell(struct how *how, enum grammar_tier tier, const char *text)
{
	struct grammar_message	m = { .tier = tier, .code = "",
				    .file = how->path, .text = text };

	(how->json ? message_to_json : message_to_stderr)(how, &m);
}

/* What is not shown does not go without a word. */
static void
tell_acknowledged(const struct how *how, const struct grammar_sink *sink)
{
	if (sink->acknowledged > 0 && !how->all && !how->json && !how->quiet)
		fprintf(stderr, "%s: %u acknowledged: sallyport check --all\n",
		    how->path, sink->acknowledged);
}

/* ---- the policy ----------------------------------------------------------- */

/* What the broker would be given must also load. */
static struct policy *
compile(struct how *how, const struct model *m)
{
	struct policy	*p = NULL;
	char		 err[192] = GRAMMAR_BLOB_TOO_LARGE, text[256];
	size_t		 len;
	void		*blob = grammar_compile(m, &len);

	if (blob != NULL)
		p = policy_load(blob, len, err, sizeof(err));
	if (p == NULL) {
		snprintf(text, sizeof(text), "%s%s", blob == NULL ? "" :
		    "the compiled policy is refused: ", err);
		tell(how, TIER_ERROR, text);
	}
	free(blob);
	return p;
}

static void
print_policy(const struct model *m)
{
	char	*text = grammar_print(m, NULL);

	fputs(text, stdout);
	free(text);
}

/* What `text_sha256' is of: each of them, in the order in which it was read. */
static void
files_to_json(struct how *how, const struct model *m)
{
	size_t			 i, n;
	const char *const	*file = grammar_files(m, &n);

	json_open(&how->out, "files", '[');
	for (i = 0; i < n; i++)
		json_string(&how->out, NULL, file[i]);
	json_close(&how->out, ']');
}

static void
end_json(struct how *how, const struct model *m, const struct policy *p,
    const struct grammar_sink *sink, int status)
{
	json_close(&how->out, ']');
	json_number(&how->out, "errors", sink->errors);
	json_number(&how->out, "warnings", sink->warnings);
	json_number(&how->out, "notes", sink->notes);
	json_number(&how->out, "acknowledged", sink->acknowledged);
	if (p != NULL) {
		summary(how, p);
		files_to_json(how, m);
	}
	json_string(&how->out, "status", status == EXIT_GOOD ? "good" :
	    status == EXIT_DOUBT ? "warnings" : "errors");
	json_number(&how->out, "exit", (uint64_t)status);
	json_close(&how->out, '}');
	if (how->quiet)
		free(how->out.t.buf);
	else
		json_print(&how->out);
}

static void
begin_json(struct how *how, struct grammar_sink *sink)
{
	json_open(&how->out, NULL, '{');
	json_string(&how->out, "command", "check");
	json_string(&how->out, "policy", how->path);
	json_open(&how->out, "diagnostics", '[');
	sink->message = message_to_json;
}

static int
check_file(struct how *how)
{
	struct grammar_sink	 sink = { .line = line_to_stderr, .arg = how,
				    .now = (uint64_t)time(NULL),
				    .advise = !how->quiet, .all = how->all,
				    .streams = true };
	struct model		*m;
	struct policy		*p = NULL;
	int			 status = EXIT_BAD;

	if (how->json)
		begin_json(how, &sink);
	if ((m = grammar_parse(how->path, &sink)) != NULL) {
		tell_acknowledged(how, &sink);
		p = compile(how, m);
		sink.errors += p == NULL;
	}
	if (p != NULL)
		status = sink.warnings > 0 ? EXIT_DOUBT : EXIT_GOOD;
	if (p != NULL && !how->json)
		summary(how, p);
	if (p != NULL && !how->quiet && !how->print)
		sink.notes += hosts_hint(p, how->path, how->json ?
		    message_to_json : message_to_stderr, how);
	if (p != NULL && how->print)
		print_policy(m);
	if (how->json)
		end_json(how, m, p, &sink, status);
	if (p != NULL)
		policy_free(p);
	if (m != NULL)
		grammar_free(m);
	return fflush(stdout) == 0 && !ferror(stdout) ? status : EXIT_BAD;
}

int
cmd_check(int argc, char **argv)
{
	static const struct option	options[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "json", no_argument, NULL, 'j' },
		{ "quiet", no_argument, NULL, 'q' }, { NULL, 0, NULL, 0 } };
	struct how			how = { .path = NULL };
	int				c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "npq", options, NULL)) != -1) {
		switch (c) {
		case 'a':
			how.all = true;
			break;
		case 'j':
			how.json = true;
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
	if (argc - optind != 1 || (how.json && how.print))
		return usage();
	how.path = argv[optind];
	return check_file(&how);
}
