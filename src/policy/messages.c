/*
 * A reading's messages, given out: the files in the order in which they were read,
 * line by line. The first GRAMMAR_ERRORS_MAX are shown, and the rest is told of.
 *
 * Trusts: report.c's.
 * Must not: lose one without a word.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "messages.h"

struct ranked {				/* a file, and when it was read */
	const char	*file;
	size_t		 order;
};

static int
by_pointer(const void *a, const void *b)
{
	uintptr_t	x = (uintptr_t)((const struct ranked *)a)->file,
			y = (uintptr_t)((const struct ranked *)b)->file;

	return (x > y) - (x < y);
}

static void
rank(struct parse *p, struct reports *r)
{
	struct ranked	*v = model_alloc(p->m, (p->opened.n + 1) * sizeof(*v));
	struct ranked	 key = { NULL, 0 };
	size_t		 i;

	for (i = 0; i < p->opened.n; i++)
		v[i] = (struct ranked){ p->opened.v[i], i + 1 };
	if (p->opened.n > 1)
		qsort(v, p->opened.n, sizeof(*v), by_pointer);
	for (i = 0; i < r->message.n; i++) {
		const struct ranked *found;

		key.file = r->message.v[i].at.file;
		found = bsearch(&key, v, p->opened.n, sizeof(*v), by_pointer);
		r->message.v[i].order = found == NULL ? 0 : found->order;
	}
}

static int
by_place(const void *a, const void *b)
{
	const struct message	*x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	if (x->at.line != y->at.line)
		return x->at.line < y->at.line ? -1 : 1;
	if (x->at.column != y->at.column)
		return x->at.column < y->at.column ? -1 : 1;
	if (x->tier != y->tier)
		return x->tier < y->tier ? -1 : 1;
	return strcmp(x->code, y->code);
}

/* ---- one ------------------------------------------------------------------------- */

/* Of many rules: of one the place says which it is. */
static void
add_uses(struct text *t, const struct grammar_message *g)
{
	if (g->uses > 1)
		text_add(t, "; used in %u rules, first at %.200s:%u", g->uses,
		    g->use_file, g->use_line);
}

static void
give_line(struct parse *p, const struct grammar_message *g)
{
	static const char *const	tiers[] = { [TIER_ERROR] = "",
	    [TIER_WARNING] = "warning: ", [TIER_NOTE] = "note: " };
	struct text			t = { NULL, 0, 0 };
	char				safe[GRAMMAR_LINE_MAX];

	text_add(&t, "%.200s:", g->file);
	if (g->line != 0)
		text_add(&t, "%u:%u:", g->line, g->column);
	text_add(&t, " %s%s", g->reason != NULL ? "acknowledged: " :
	    tiers[g->tier], g->text);
	if (*g->code != '\0')
		text_add(&t, " (%s)", g->code);
	add_uses(&t, g);
	if (g->reason != NULL)
		text_add(&t, ": %s", g->reason);
	log_escape(safe, sizeof(safe), t.buf, t.len);
	p->sink->line(p->sink->arg, safe);
	free(t.buf);
}

/* Where a use is that one rule is not acknowledged, the warning is not. */
static struct grammar_message
public(struct parse *p, const struct message *m)
{
	struct grammar_message	g = { m->tier, m->code, m->at.file, m->at.line,
				    m->at.column, m->text, m->uses,
				    m->first.file, m->first.line, NULL };

	if (m->tier == TIER_ERROR)
		return g;
	g.reason = nowarn_find(p, m->code, &m->at);
	if (g.reason == NULL && m->forgiven > 0 && m->uses == 0)
		g.reason = m->reason;
	return g;
}

/* ---- all of them ------------------------------------------------------------------- */

struct tally {
	unsigned int	errors, others;	/* given out as lines */
	unsigned int	hidden;		/* neither acknowledged nor given out */
};

static void
count(struct parse *p, const struct grammar_message *g)
{
	if (g->reason != NULL)
		p->sink->acknowledged++;
	else if (g->tier == TIER_WARNING)
		p->sink->warnings++;
	else if (g->tier == TIER_NOTE)
		p->sink->notes++;
}

static bool
is_wanted(const struct parse *p, const struct grammar_message *g)
{
	if (g->tier == TIER_ERROR)
		return true;
	if (p->sink->quiet || (g->tier == TIER_NOTE && !p->sink->advise))
		return false;
	return g->reason == NULL || p->sink->all;
}

static void
give(struct parse *p, const struct grammar_message *g, struct tally *s)
{
	count(p, g);
	if (p->sink->message != NULL) {
		p->sink->message(p->sink->arg, g);
		return;
	}
	if (!is_wanted(p, g))
		return;
	if (g->tier == TIER_ERROR)
		s->errors++;
	else if (s->others >= GRAMMAR_ERRORS_MAX && !p->sink->all) {
		s->hidden++;
		return;
	} else
		s->others++;
	give_line(p, g);
}

static void
conclude(struct parse *p, const struct tally *s, unsigned int unkept)
{
	char	line[128];

	if (p->sink->message != NULL)
		return;
	if (s->errors >= GRAMMAR_ERRORS_MAX)
		p->sink->line(p->sink->arg,
		    "20 errors: mend these first, the rest is not shown");
	if (s->hidden + unkept == 0 || p->sink->quiet)
		return;
	snprintf(line, sizeof(line), "and %u more%s", s->hidden + unkept,
	    p->sink->all ? " than can be shown: mend these first" :
	    ": sallyport check --all");
	p->sink->line(p->sink->arg, line);
}

void
messages_judge(struct parse *p)
{
	size_t	i;

	for (i = 0; p->reports != NULL && i < p->reports->message.n; i++)
		if (p->reports->message.v[i].tier != TIER_ERROR)
			nowarn_find(p, p->reports->message.v[i].code,
			    &p->reports->message.v[i].at);
}

void
messages_give(struct parse *p)
{
	struct reports	*r = p->reports;
	struct tally	 s = { 0, 0, 0 };
	size_t		 i;

	if (r == NULL)
		return;
	rank(p, r);
	if (r->message.n > 1)
		qsort(r->message.v, r->message.n, sizeof(*r->message.v),
		    by_place);
	for (i = 0; i < r->message.n; i++) {
		struct grammar_message g = public(p, &r->message.v[i]);

		give(p, &g, &s);
	}
	p->sink->warnings += r->unkept;
	conclude(p, &s, r->unkept);
	free(r->slot);
	free(r);
	p->reports = NULL;
}
