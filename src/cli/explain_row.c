/*
 * Of a flow whose verdict depends on its first bytes: the verdict for each thing that
 * they may be, one line for each.
 *
 * Trusts: law_judge(), which is asked what it would say.
 * Must not: decide anything itself.
 */
#include <stdio.h>

#include "explain.h"

static void
show_line(const struct policy *p, const struct question *q, const char *text,
    const struct policy_shown *shown)
{
	struct policy_query	query = q->query;
	struct judgement	j;

	query.shown = shown;
	law_judge(p, &query, &j);
	printf("           %-44s %s", text, j.verdict.kind == VERDICT_DENY ?
	    "deny" : "allow");
	if (j.verdict.kind != VERDICT_ALLOW)
		printf(" (%s)", reason_name(j.verdict.reason));
	if (j.verdict.rule != POLICY_NO_RULE)
		printf(" by %s", policy_rule_loc(p, j.verdict.rule));
	printf("\n");
}

static void
show_name(const struct policy *p, const struct question *q, uint32_t kind,
    const struct name *n)
{
	struct policy_shown	s = { .what = SHOWN_NAME, .kind = kind,
				    .name = *n };
	char			text[NAME_TEXT_MAX + 16];

	snprintf(text, sizeof(text), "%s %s", kind == PEEK_TLS ? "SNI" :
	    "Host", n->text);
	show_line(p, q, text, &s);
}

/* One that is neither bound nor denied: nothing was found for it. */
static void
show_other(const struct policy *p, const struct question *q,
    const struct judgement *j)
{
	struct policy_shown	s = { .what = SHOWN_OTHER, .kind = PEEK_TLS };

	show_line(p, q, "no name: another protocol, no SNI", &s);
	printf("           %-44s %s\n", "any other name", law_allows(&j->row,
	    SHOWN_NAME, j->lenient) ? "allow" : "deny");
}

void
explain_row(const struct policy *p, const struct question *q,
    const struct judgement *j)
{
	struct policy_shown	nothing = { .what = SHOWN_NOTHING,
				    .why = REASON_SERVER_FIRST },
				undecided = { .what = SHOWN_UNDECIDED };
	size_t			i;

	printf("depends    on the guest's first bytes, which are %s:\n",
	    j->verdict.peek == PEEK_PROOF ? "to prove what it is" :
	    "not to show what is denied");
	for (i = 0; i < q->query.nbound; i++) {
		show_name(p, q, PEEK_TLS, q->query.bound[i]);
		show_name(p, q, PEEK_HTTP, q->query.bound[i]);
	}
	show_other(p, q, j);
	show_line(p, q, "nothing: the server speaks first, or ends", &nothing);
	show_line(p, q, "undecided: cut, malformed, or too late", &undecided);
	if (j->row.watch != POLICY_NO_RULE)
		printf("           %-44s deny by %s\n", "a name that this rule "
		    "denies", policy_rule_loc(p, j->row.watch));
}
