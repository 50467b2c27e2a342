/*
 * What other languages write where this one writes something else: comments, quotes,
 * the end of a statement, and characters that word processors put in. Each gets its
 * message, and reading goes on as if it had been written right.
 *
 * Trusts: nothing. The text may hold any byte.
 * Must not: tell anything of a file that may be no policy (lex_hides()).
 */
#include "lex.h"

/* ---- comments ---------------------------------------------------------------- */

/* A comment of another language. Of a file that may be no policy, nothing is told. */
bool
foreign_comment(struct parse *p)
{
	struct lex	*l = &p->lex;
	struct where	 at = here(l);
	int		 c = peek(l), next = peek_on(l);

	if (!p->shown || !((c == '/' && (next == '/' || next == '*')) ||
	    (l->start && ((c == '-' && next == '-') || c == ';' || c == '!'))))
		return false;
	report_error(p, &at, "a comment begins with #, and ends with its line: "
	    "write # instead of %s", c == '/' ? next == '*' ? "/*" : "//" :
	    c == '-' ? "--" : c == ';' ? ";" : "!");
	if (c != '/' || next != '*') {
		skip_line(l);
		return true;
	}
	while (l->p < l->end && (*l->p != '*' || peek_on(l) != '/'))
		advance(l);
	for (c = 0; c < 2 && l->p < l->end; c++)
		advance(l);
	return true;
}

/* ---- characters --------------------------------------------------------------- */

/* One character of UTF-8, or 0 if it is none; its bytes. */
static uint32_t
decode(const struct lex *l, size_t *len)
{
	const unsigned char	*s = (const unsigned char *)l->p;
	uint32_t		 more = 0, c, i;

	char_begins(&more, *s);
	*len = 1;
	if (more == 0 || (size_t)(l->end - l->p) <= more)
		return 0;
	c = *s & (0x3fu >> more);
	for (i = 1; i <= more; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	*len = more + 1;
	return c;
}

/* Single ones, a grave accent, and those that a word processor puts in their place. */
static bool
is_quote(uint32_t c)
{
	return c == '\'' || c == '`' || c == 0xb4 || c == 0xab || c == 0xbb ||
	    (c >= 0x2018 && c <= 0x201f) || c == 0x2039 || c == 0x203a;
}

static uint32_t
decode_any(const struct lex *l, size_t *len)
{
	*len = 1;
	return (unsigned char)*l->p < 0x80 ? (unsigned char)*l->p :
	    decode(l, len);
}

bool
foreign_quote(const struct lex *l)
{
	size_t	len;

	return is_quote(decode_any(l, &len));
}

int
foreign_string(struct parse *p, struct token *t)
{
	struct lex	*l = &p->lex;
	const char	*from, *to;
	size_t		 len;

	decode_any(l, &len);
	while (len-- > 0)
		advance(l);
	for (from = l->p; l->p < l->end && *l->p != '\n' && *l->p != '"' &&
	    !is_quote(decode_any(l, &len)); advance(l))
		;
	to = l->p;
	t->text = model_string(p->m, from, (size_t)(to - from));
	if (l->p == l->end || *l->p == '\n') {
		report_error(p, &t->at, "a string stands between double quotes, "
		    "and this quote is another one");
		return YYerror;
	}
	decode_any(l, &len);
	while (len-- > 0)
		advance(l);
	if (value_is_net(t->text)) {
		report_error(p, &t->at, "an address has no quotes: write %.64s",
		    t->text);
		return WORD;
	}
	report_error(p, &t->at, "a string stands between double quotes: write "
	    "\"%.64s\"", t->text);
	return STRING;
}

static const char *
space_of(uint32_t c)
{
	return c == 0xa0 || c == 0x202f || c == 0x2007 ? "a no-break space" :
	    c == 0x3000 ? "an ideographic space" :
	    c >= 0x2000 && c <= 0x200a ? "a typographic space" :
	    c == 0x200b || c == 0xfeff || c == 0x2060 ? "a space of no width" :
	    NULL;
}

/* Not ASCII. 0: it was a space of some kind, and has been told. */
int
foreign_character(struct parse *p, struct token *t)
{
	struct lex	*l = &p->lex;
	size_t		 len;
	uint32_t	 c = decode(l, &len);

	if (c == 0)
		report_error(p, &t->at, "byte 0x%02x is no UTF-8: save the file as "
		    "UTF-8", (unsigned int)(unsigned char)*l->p);
	else if (space_of(c) != NULL) {
		report_error(p, &t->at, "%s (U+%04X): write a blank, or nothing",
		    space_of(c), c);
		while (len-- > 0)
			advance(l);
		return 0;
	} else if ((c >= 0x2010 && c <= 0x2015) || c == 0x2212)
		report_error(p, &t->at, "a dash (U+%04X): write -", c);
	else
		report_error(p, &t->at, "the character U+%04X has no meaning here: "
		    "the grammar is ASCII, other text is for comments, and for "
		    "host names in quotes", c);
	return give_up(p);
}

/* 0: what follows on the line is read on. */
int
foreign_semicolon(struct parse *p, struct token *t)
{
	struct lex	*l = &p->lex;
	const char	*s;

	advance(l);
	for (s = l->p; s < l->end && (is_blank((unsigned char)*s) || *s == ';');
	    s++)
		;
	if (l->list > 0 || s == l->end || strchr("\n#}", *s) != NULL) {
		report_error(p, &t->at, "a ; ends nothing here: leave it out");
		return 0;
	}
	report_error(p, &t->at, "a line has one statement: write what follows "
	    "the ; on a line of its own");
	l->start = true;
	return NL;
}

