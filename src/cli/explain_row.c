/*
 * Of a flow whose verdict depends on its first bytes: the verdict for each thing that
 * they may be, one line for each. And of a rule, which of its entries it is that the
 * question is found in.
 *
 * Trusts: law_judge(), which is asked what it would say.
 * Must not: decide anything itself.
 */
#include <stdio.h>

#include "explain.h"

static void
show_line(struct answer *a, const struct question *q, const char *shown,
    const char *text, const struct policy_shown *s)
{
	struct policy_query	 query = q->query;
	const struct verdict	*v;
	struct judgement	 j;
	struct step		*step;
	bool			 by;

	query.shown = s;
	law_judge(q->r.p, &query, &j);
	v = &j.verdict;
	by = v->rule != POLICY_NO_RULE;
	step = answer_add(a, "", "%-34s %s%s%s%s%s%s", text,
	    v->kind == VERDICT_DENY ? "deny" : "allow",
	    v->kind != VERDICT_ALLOW ? " (" : "",
	    v->kind != VERDICT_ALLOW ? reason_name(v->reason) : "",
	    v->kind != VERDICT_ALLOW ? ")" : "", by ? " by " : "",
	    policy_rule_loc(q->r.p, v->rule));
	step->minor = true;
	step->shown = shown;
	step->name = s->name;
	step->kind = v->kind;
	step->reason = v->reason;
	step->rule = v->rule;
}

static void
show_name(struct answer *a, const struct question *q, uint32_t kind,
    const struct name *n)
{
	struct policy_shown	s = { .what = SHOWN_NAME, .kind = kind,
				    .name = *n };
	char			text[NAME_TEXT_MAX + 16];

	snprintf(text, sizeof(text), "%s %s", kind == PEEK_TLS ? "SNI" :
	    "Host", n->text);
	show_line(a, q, kind == PEEK_TLS ? "sni" : "host", text, &s);
}

/* One that is neither bound nor denied: nothing was found for it. */
static void
show_other(struct answer *a, const struct question *q,
    const struct judgement *j)
{
	struct policy_shown	 s = { .what = SHOWN_OTHER, .kind = PEEK_TLS };
	struct step		*step;
	bool			 allowed = law_allows(&j->row, SHOWN_NAME,
				    j->lenient);

	show_line(a, q, "other", "no name: another protocol, no SNI", &s);
	step = answer_add(a, "", "%-34s %s", "any other name",
	    allowed ? "allow" : "deny");
	step->minor = true;
}

static void
show_names(struct answer *a, const struct question *q)
{
	size_t	i, n = q->query.nbound, shown = n;

	if (!q->all && shown > EXPLAIN_SHOWN)
		shown = EXPLAIN_SHOWN;
	for (i = 0; i < shown; i++) {
		show_name(a, q, PEEK_TLS, q->query.bound[i]);
		show_name(a, q, PEEK_HTTP, q->query.bound[i]);
	}
	if (shown < n)
		answer_add(a, "", "... and what %zu more names would be: --all",
		    n - shown)->minor = true;
}

void
explain_row(struct answer *a, const struct question *q,
    const struct judgement *j)
{
	struct policy_shown	nothing = { .what = SHOWN_NOTHING,
				    .why = REASON_SERVER_FIRST },
				undecided = { .what = SHOWN_UNDECIDED };
	struct step		*s;

	answer_add(a, "depends", "on the guest's first bytes, which are %s:",
	    j->verdict.peek == PEEK_PROOF ? "to prove what it is" :
	    "not to show what is denied");
	show_names(a, q);
	show_other(a, q, j);
	show_line(a, q, "nothing", "nothing: the server speaks first",
	    &nothing);
	show_line(a, q, "undecided", "undecided: cut, malformed, late",
	    &undecided);
	if (j->row.watch == POLICY_NO_RULE)
		return;
	s = answer_add(a, "", "%-34s deny by %s", "a name that this rule denies",
	    policy_rule_loc(q->r.p, j->row.watch));
	s->minor = true;
	s->rule = j->row.watch;
}

/* ---- entries ------------------------------------------------------------------- */

static const struct name *
matched_name(const struct question *q, const struct blob_match *m)
{
	size_t	i;

	if (q->told && q->flight.what == SHOWN_NAME &&
	    match_names(q->r.p, m, &q->flight.name))
		return &q->flight.name;
	for (i = 0; i < q->query.nbound; i++)
		if (match_names(q->r.p, m, q->query.bound[i]))
			return q->query.bound[i];
	return NULL;
}

const struct spot *
explain_entry(const struct question *q, const struct judgement *j,
    uint32_t rule, struct spot *e)
{
	const struct rule	*from = reading_rule(&q->r, rule);
	const struct name	*n;
	size_t			 i;

	if (rule == POLICY_NO_RULE || from == NULL)
		return NULL;
	n = matched_name(q, &q->r.p->rule[rule].match);
	if (n != NULL && entry_of_name(q->r.m, &from->dest, n, e))
		return e;
	for (i = 0; i < j->forms.n; i++)
		if (entry_of_address(q->r.m, &from->dest, &j->forms.form[i], e))
			return e;
	return NULL;
}
