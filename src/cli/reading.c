/*
 * A policy for those who ask about it: read once, as text (for its places) and as the
 * law that the broker would get.
 *
 * Trusts: the user who names the file; the grammar looks at whose it is.
 * Must not: take what `check` refuses. Must not: repeat check's warnings.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "grammar.h"


static void
line_to_stderr(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s\n", text);
}

int
reading_open(struct reading *r, const char *path, uint64_t now)
{
	struct grammar_sink	 sink = { .line = line_to_stderr, .quiet = true,
				    .now = now, .streams = true };
	char			 err[192] = GRAMMAR_BLOB_TOO_LARGE;
	size_t			 len;
	void			*blob;

	*r = (struct reading){ .path = path, .m = grammar_parse(path, &sink) };
	r->warnings = sink.warnings;
	if (r->m == NULL)
		return -1;
	if ((blob = grammar_compile(r->m, &len)) != NULL)
		r->p = policy_load(blob, len, err, sizeof(err));
	if (r->p == NULL)
		fprintf(stderr, "%s: %s%s\n", path, blob == NULL ? "" :
		    "the compiled policy is refused: ", err);
	free(blob);
	return r->p == NULL ? -1 : 0;
}

void
reading_close(struct reading *r)
{
	if (r->p != NULL)
		policy_free(r->p);
	if (r->m != NULL)
		grammar_free(r->m);
	*r = (struct reading){ .path = r->path };
}

int
reading_tenant(const struct reading *r, const char *command,
    const char *tenant)
{
	char	hint[TENANTS_HINT_MAX];
	int	found = policy_tenant(r->p, tenant);

	if (found != -1 && policy_index(r->p, (unsigned int)found) == -1) {
		fprintf(stderr, "%s: out of memory\n", command);
		return -1;
	}
	if (found != -1)
		return found;
	policy_tenants_hint(r->p, tenant, hint, sizeof(hint));
	if (*tenant == '\0')
		fprintf(stderr, "%s: %s has several tenants: name one%s\n", command,
		    r->path, hint);
	else
		fprintf(stderr, "%s: %s has no tenant \"%s\"%s\n", command, r->path,
		    tenant, hint);
	return -1;
}

/* Rules are counted through all tenants, in the order of the file. */
const struct rule *
reading_rule(const struct reading *r, uint32_t rule)
{
	size_t	i;

	for (i = 0; i < r->m->tenant.n; i++) {
		if (rule < r->m->tenant.v[i].rule.n)
			return &r->m->tenant.v[i].rule.v[rule];
		rule -= (uint32_t)r->m->tenant.v[i].rule.n;
	}
	return NULL;
}

void
reading_note(const struct reading *r)
{
	if (r->warnings > 0)
		fprintf(stderr, "%s: %u warning%s: sallyport check %s\n", r->path,
		    r->warnings, r->warnings == 1 ? "" : "s", r->path);
}

void
reading_json(const struct reading *r, struct json *j)
{
	const uint8_t	*hash = policy_hash(r->p);
	char		 text[65];
	size_t		 i;

	for (i = 0; i < 32; i++)
		snprintf(text + 2 * i, 3, "%02x", hash[i]);
	json_string(j, "policy", r->path);
	json_string(j, "sha256", text);
	json_number(j, "warnings", r->warnings);
}

/* Members of an object that is open. */
void
reading_json_of(const struct reading *r, struct json *j, uint32_t rule,
    size_t most)
{
	const struct rule	*from;
	struct text		 t = { NULL, 0, 0 };
	char			 buf[DATE_STRLEN];

	if ((from = reading_rule(r, rule)) == NULL)
		return;
	json_string(j, "rule_id", policy_rule_id(r->p, rule));
	json_maybe(j, "label", from->label);
	json_string(j, "file", from->at.file);
	json_number(j, "line", from->at.line);
	json_string(j, "action", from->deny ? "deny" : "allow");
	print_rule_short(&t, from, most);
	json_string(j, "text", t.buf);
	free(t.buf);
	json_maybe(j, "ticket", from->ticket);
	if (from->until != 0)
		json_string(j, "until", date_print(from->until, buf));
	json_maybe(j, "note", from->note);
}

void
reading_json_rule(const struct reading *r, struct json *j, const char *key,
    uint32_t rule, size_t most)
{
	if (rule == POLICY_NO_RULE)
		return;
	json_open(j, key, '{');
	reading_json_of(r, j, rule, most);
	json_close(j, '}');
}
