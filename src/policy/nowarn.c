/*
 * `nowarn W202 "reason"`: what is warned of, and meant. It stands at the end of a
 * statement, of a rule, or of an entry in braces, and is about what is warned of there.
 * Entries of a file have none of their own: whoever hands over a list is not to say
 * which of its entries are warned of. The statement that names the file may.
 *
 * It is no part of the law: the compiled policy and its hash know nothing of it.
 *
 * Trusts: that statements and entries are closed in the order of the text.
 * Must not: silence an error, or pass over a code that nothing warns with.
 */
#include <stdlib.h>
#include <string.h>

#include "messages.h"

/* All that can be acknowledged; sallyport.conf(5) says what each means. */
static const char *const	codes[] = { "W101", "W102", "W103", "W104", "W106",
	"W108", "W109", "W110", "W120", "W121", "W122", "W123", "W124", "W125", "W126",
	"W130", "W131", "W132", "W140", "W150", "W160", "W201", "W202", "W203", "W204",
	"W205", "W206", "W207", "W209" };
#define NCODES	(sizeof(codes) / sizeof(codes[0]))

/* ---- reading ----------------------------------------------------------------------- */

static size_t
alike(const char *a, const char *b)
{
	size_t	i, n = 0;

	for (i = 0; a[i] != '\0' && b[i] != '\0'; i++)
		n += (a[i] & ~0x20) == (b[i] & ~0x20);
	return n;
}

static const char *
nearest(const char *text)
{
	const char	*best = NULL;
	size_t		 i, most = 2;	/* of four characters */

	for (i = 0; i < NCODES; i++)
		if (strlen(text) == strlen(codes[i]) &&
		    alike(text, codes[i]) > most) {
			most = alike(text, codes[i]);
			best = codes[i];
		}
	return best;
}

static bool
is_code(struct parse *p, const struct item *w)
{
	const char	*near;
	size_t		 i;

	for (i = 0; i < NCODES; i++)
		if (strcmp(w->text, codes[i]) == 0)
			return true;
	near = nearest(w->text);
	if (*w->text == 'E')
		report_error(p, &w->at, "\"%.64s\" is an error, which no nowarn "
		    "silences: mend it", w->text);
	else if (near != NULL)
		report_error(p, &w->at, "no warning has the code \"%.64s\": did you "
		    "mean %s?", w->text, near);
	else
		report_error(p, &w->at, "no warning has the code \"%.64s\": it "
		    "stands in brackets behind the warning, as W202", w->text);
	return false;
}

void
build_nowarn(struct parse *p, const struct where *at, const struct items *words,
    const struct item *reason, const struct where *entry)
{
	struct nowarn	n = { .at = *at, .reason = reason->text };
	size_t		i;

	if (*reason->text == '\0')
		report_error(p, &reason->at, "the reason is empty: write why this "
		    "is meant, for whoever reads it next");
	for (i = 0; i < words->list.n; i++) {
		if (!is_code(p, &words->list.v[i]))
			continue;
		n.code = words->list.v[i].text;
		n.code_at = words->list.v[i].at;
		if (entry != NULL) {
			n.from = *entry;
			n.to = reason->at;
			push(p->m, p->entry_nowarn, n);
		} else
			push(p->m, p->nowarn, n);
	}
}

/* A statement, or a rule, from its first token to the last: those in it are about it. */
void
build_nowarn_end(struct parse *p, const struct where *from)
{
	size_t	i;

	for (i = p->nowarn_closed; i < p->nowarn.n; i++) {
		p->nowarn.v[i].from = *from;
		p->nowarn.v[i].to = p->token.at;
	}
	p->nowarn_closed = p->nowarn.n;
}

/* ---- finding --------------------------------------------------------------------------- */

static int
compare(const struct where *a, const struct where *b)
{
	if (a->file != b->file)
		return (uintptr_t)a->file < (uintptr_t)b->file ? -1 : 1;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return (a->column > b->column) - (a->column < b->column);
}

static int
by_place(const void *a, const void *b)
{
	return compare(&((const struct nowarn *)a)->from,
	    &((const struct nowarn *)b)->from);
}

/* Those of one statement or entry begin at one place; no two of a kind overlap. */
static struct nowarn *
find_in(struct nowarn *v, size_t n, const char *code, const struct where *at)
{
	size_t	lo = 0, hi = n, mid;

	while (lo < hi) {		/* the first that begins behind it */
		mid = lo + (hi - lo) / 2;
		if (compare(&v[mid].from, at) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo > 0 && compare(&v[lo - 1].to, at) >= 0; lo--)
		if (v[lo - 1].from.file == at->file &&
		    strcmp(v[lo - 1].code, code) == 0)
			return &v[lo - 1];
	return NULL;
}

static int
by_file(const void *a, const void *b)
{
	uintptr_t	x = (uintptr_t)((const struct listed *)a)->file,
			y = (uintptr_t)((const struct listed *)b)->file;

	return (x > y) - (x < y);
}

static void
sort(struct parse *p)
{
	if (p->nowarn_sorted)
		return;
	if (p->nowarn.n > 1)
		qsort(p->nowarn.v, p->nowarn.n, sizeof(*p->nowarn.v), by_place);
	if (p->entry_nowarn.n > 1)
		qsort(p->entry_nowarn.v, p->entry_nowarn.n,
		    sizeof(*p->entry_nowarn.v), by_place);
	if (p->listed.n > 1)
		qsort(p->listed.v, p->listed.n, sizeof(*p->listed.v), by_file);
	p->nowarn_sorted = true;
}

/* An entry of a file is about the statement that names the file. */
static const struct where *
statement_of(struct parse *p, const struct where *at)
{
	struct listed		 key = { .file = at->file };
	const struct listed	*l;

	l = p->listed.n == 0 ? NULL : bsearch(&key, p->listed.v, p->listed.n,
	    sizeof(key), by_file);
	return l == NULL ? at : &l->by;
}

const char *
nowarn_find(struct parse *p, const char *code, const struct where *at)
{
	struct nowarn	*n;

	if (p->nowarn.n + p->entry_nowarn.n == 0)
		return NULL;
	sort(p);
	at = statement_of(p, at);
	n = find_in(p->entry_nowarn.v, p->entry_nowarn.n, code, at);
	if (n == NULL)
		n = find_in(p->nowarn.v, p->nowarn.n, code, at);
	if (n == NULL)
		return NULL;
	n->used = true;
	return n->reason;
}

/* ---- what acknowledges nothing ------------------------------------------------------- */

/* Whether something ends soon is not always asked. */
static void
check_used(struct parse *p, const struct nowarn *v, size_t n)
{
	size_t	i;

	for (i = 0; i < n; i++)
		if (!v[i].used && (p->sink->now != 0 ||
		    strcmp(v[i].code, "W160") != 0))
			report_lint(p, "W107", &v[i].code_at, NULL, "nothing here "
			    "is warned of with %s any more: take it out, or it "
			    "hides the next one", v[i].code);
}

/* After all else that warns. */
void
review_nowarn(struct parse *p)
{
	messages_judge(p);
	check_used(p, p->nowarn.v, p->nowarn.n);
	check_used(p, p->entry_nowarn.v, p->entry_nowarn.n);
}
