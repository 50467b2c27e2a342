/*
 * An answer on a screen: 24 lines of 80 columns, however long the policy's lists are.
 * What is too long is cut, what is left out is counted.
 *
 * Trusts: the answer. Must not: cut the verdict.
 */
#include <stdio.h>
#include <string.h>

#include "answer.h"

#define INDENT		11
#define ROOM		(SCREEN_COLUMNS - INDENT)
#define OTHERS		2	/* lines: a note on warnings, what is left out */

struct sheet {
	unsigned int	 depth;		/* lines of each step, at most */
	bool		 silent;	/* counts only */
	unsigned int	 lines;
};

/* Columns: characters, not bytes; a wide one is taken for one. */
static size_t
width(const char *s, size_t n)
{
	size_t	i, w = 0;

	for (i = 0; i < n; i++)
		w += ((unsigned char)s[i] & 0xc0) != 0x80;
	return w;
}

/* How many bytes of s go on this line: up to a blank, or else the whole word. */
static size_t
fit(const char *s)
{
	size_t	n = 0, at = 0;

	for (;;) {
		n += strcspn(s + n, " ");
		if (at != 0 && width(s, n) > ROOM)
			return at;
		at = n;
		if (s[n] == '\0' || width(s, n) >= ROOM)
			return at;
		n++;
	}
}

/* The bytes of the first so many columns. */
static size_t
head(const char *s, size_t columns)
{
	size_t	n = 0;

	while (s[n] != '\0' && width(s, n + 1) <= columns)
		n++;
	return n;
}

static void
put(struct sheet *s, const char *word, const char *text, size_t n,
    const char *end)
{
	size_t	w = INDENT + width(text, n) + strlen(end);

	s->lines += (unsigned int)((w + SCREEN_COLUMNS - 1) / SCREEN_COLUMNS);
	if (!s->silent)
		printf("%-10s %.*s%s\n", word, (int)n, text, end);
}

static void
put_step(struct sheet *s, const char *word, const char *text)
{
	unsigned int	line;
	size_t		n;

	for (line = 1;; line++, word = "") {
		n = fit(text);
		if (text[n] == '\0') {
			put(s, word, text, n, "");
			return;
		}
		if (line == s->depth) {
			put(s, word, text, head(text, ROOM - 4), " ...");
			return;
		}
		put(s, word, text, n, "");
		text += n + 1;
	}
}

/* Not, where the rule's own line says it all. */
static bool
entry_is_news(const struct answer *a, const struct step *s)
{
	const struct rule	*r;

	if (!s->has_entry || (r = reading_rule(a->r, s->rule)) == NULL)
		return false;
	return s->entry.set[0] != '\0' || s->entry.at.line != r->at.line ||
	    strcmp(s->entry.at.file, r->at.file) != 0 ||
	    r->dest.names.list.n + r->dest.in.net.n > 1;
}

static void
put_entry(struct sheet *s, const struct spot *e)
{
	char	text[2 * NAME_TEXT_MAX + 512];

	snprintf(text, sizeof(text), "by %s (%s:%u%s%s)", e->text, e->at.file,
	    e->at.line, e->set[0] != '\0' ? ", " : "", e->set);
	put_step(s, "", text);
}

static void
put_all(struct sheet *s, const struct answer *a, unsigned int spare)
{
	size_t		i;
	unsigned int	left = 0;

	s->lines = 0;
	for (i = 0; i < a->n; i++) {
		if (a->step[i].minor && s->lines > spare) {
			left++;
			continue;
		}
		put_step(s, a->step[i].word, a->step[i].text);
		if (entry_is_news(a, &a->step[i])) {
			if (s->lines > spare)
				left++;
			else
				put_entry(s, &a->step[i].entry);
		}
	}
	if (left > 0 && !s->silent)
		printf("%-10s %u more: --all\n", "...", left);
	if (a->verdict.text != NULL) {
		s->depth = UINT32_MAX;
		put_step(s, "verdict", a->verdict.text);
	}
}

/* As much of each step as there is room for; then, of what is minor, less. */
void
screen_print(const struct answer *a, bool all)
{
	struct sheet	s;
	unsigned int	depth, spare = SCREEN_LINES;

	for (depth = 3; depth > 1 && !all; depth--) {
		s = (struct sheet){ .depth = depth, .silent = true };
		put_all(&s, a, UINT32_MAX);
		if (s.lines + OTHERS <= SCREEN_LINES)
			break;
	}
	for (; spare > 0 && depth == 1 && !all; spare--) {
		s = (struct sheet){ .depth = depth, .silent = true };
		put_all(&s, a, spare);
		if (s.lines + OTHERS <= SCREEN_LINES)
			break;
	}
	s = (struct sheet){ .depth = all ? UINT32_MAX : depth };
	put_all(&s, a, all || depth > 1 ? UINT32_MAX : spare);
}
