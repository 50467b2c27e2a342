/*
 * An answer as it is put together, and as JSON.
 *
 * Trusts: its callers. Must not: know what is asked.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "answer.h"
#include "log.h"

#define LIST_SHOWN	4	/* entries of a rule's lists */
#define PARTS_SHOWN	2	/* whatever room there is */

static const char *const	verdicts[] = { [VERDICT_ALLOW] = "allow",
    [VERDICT_DENY] = "deny", [VERDICT_AUDIT_DENY] = "audit-deny" };

static char * __attribute__((format(printf, 1, 0)))
print(const char *fmt, va_list ap)
{
	char	*text;

	if (vasprintf(&text, fmt, ap) == -1)
		fatalx("out of memory");
	return text;
}

void
answer_init(struct answer *a, const struct reading *r)
{
	*a = (struct answer){ .r = r, .verdict = { .rule = POLICY_NO_RULE } };
}

void
answer_free(struct answer *a)
{
	size_t	i;

	for (i = 0; i < a->n; i++)
		free(a->step[i].text);
	free(a->step);
	free(a->verdict.text);
	*a = (struct answer){ .r = a->r };
}

static struct step *
grow(struct answer *a, const char *word)
{
	struct step	*s;

	if (a->n == a->cap) {
		a->cap = a->cap * 2 + 16;
		a->step = reallocarray(a->step, a->cap, sizeof(*a->step));
		if (a->step == NULL)
			fatalx("out of memory");
	}
	s = &a->step[a->n++];
	*s = (struct step){ .word = word, .rule = POLICY_NO_RULE,
	    .minor = a->minor };
	return s;
}

void
answer_part(struct answer *a)
{
	a->minor = a->parts++ >= PARTS_SHOWN;
}

/* What it returns is good until the next one. */
struct step *
answer_add(struct answer *a, const char *word, const char *fmt, ...)
{
	struct step	*s = grow(a, word);
	va_list		 ap;

	va_start(ap, fmt);
	s->text = print(fmt, ap);
	va_end(ap);
	return s;
}

struct step *
answer_rule(struct answer *a, const char *word, uint32_t rule,
    const struct spot *e)
{
	const struct rule	*from = reading_rule(a->r, rule);
	struct text		 t = { NULL, 0, 0 };
	struct step		*s;

	if (rule == POLICY_NO_RULE || from == NULL)
		return answer_add(a, word, "no rule");
	print_rule_short(&t, from, LIST_SHOWN);
	s = answer_add(a, word, "%s (%s): %s", policy_rule_loc(a->r->p, rule),
	    policy_rule_id(a->r->p, rule), t.buf);
	free(t.buf);
	s->rule = rule;
	if ((s->has_entry = e != NULL))
		s->entry = *e;
	return s;
}

void
answer_verdict(struct answer *a, const char *fmt, ...)
{
	va_list	ap;

	free(a->verdict.text);
	va_start(ap, fmt);
	a->verdict.text = print(fmt, ap);
	va_end(ap);
}

/* ---- JSON ------------------------------------------------------------------ */

static void
entry_json(struct json *j, const struct spot *e)
{
	json_open(j, "entry", '{');
	json_string(j, "text", e->text);
	json_maybe(j, "set", e->set);
	json_string(j, "file", e->at.file);
	json_number(j, "line", e->at.line);
	json_number(j, "column", e->at.column);
	json_close(j, '}');
}

static void
step_json(const struct answer *a, struct json *j, const struct step *s)
{
	json_open(j, NULL, '{');
	json_string(j, "step", *s->word != '\0' ? s->word : "row");
	json_string(j, "text", s->text);
	if (s->shown != NULL) {
		json_string(j, "shown", s->shown);
		json_maybe(j, "name", s->name.text);
		json_string(j, "verdict", verdicts[s->kind]);
		if (s->kind != VERDICT_ALLOW)
			json_string(j, "reason", reason_name(s->reason));
	}
	reading_json_rule(a->r, j, "rule", s->rule, LIST_SHOWN);
	if (s->has_entry)
		entry_json(j, &s->entry);
	json_close(j, '}');
}

static void
verdict_json(const struct answer *a, struct json *j)
{
	const struct outcome	*v = &a->verdict;

	json_open(j, "verdict", '{');
	json_string(j, "verdict", v->word);
	json_string(j, "text", v->text);
	if (v->reason != REASON_NONE)
		json_string(j, "reason", reason_name(v->reason));
	reading_json_rule(a->r, j, "rule", v->rule, LIST_SHOWN);
	json_maybe(j, "name", v->name);
	if (v->name != NULL)
		json_maybe(j, "assurance", v->assurance);
	json_maybe(j, "dial", v->dial);
	json_close(j, '}');
}

/* Members of an object that is open. */
void
answer_json(const struct answer *a, struct json *j)
{
	size_t	i;

	json_open(j, "steps", '[');
	for (i = 0; i < a->n; i++)
		step_json(a, j, &a->step[i]);
	json_close(j, ']');
	verdict_json(a, j);
	json_number(j, "exit", (uint64_t)a->verdict.status);
}
