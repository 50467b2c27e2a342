/*
 * Tokens. A statement ends with its line, except inside the braces of a list or
 * of settings, where lines do not count; the braces of a tenant hold statements.
 *
 * Columns count characters: code points of UTF-8, tabs and combining ones included, so
 * that an editor finds the place; a byte that is no UTF-8 is one.
 *
 * Trusts: nothing. The text may hold any byte.
 * Must not: read past `end`.
 */
#include <stdlib.h>

#include "lex.h"

#define BOM	"\xef\xbb\xbf"

void
lex_open(struct lex *l, const char *file, const char *text, size_t len,
    int first)
{
	memset(l, 0, sizeof(*l));
	l->file = file;
	l->p = text;
	l->end = text + len;
	if (len >= 3 && memcmp(text, BOM, 3) == 0)
		l->p += 3;		/* some editors' word for UTF-8 */
	l->line = l->column = 1;
	l->start = true;
	l->first = first;
}

/* ---- characters -------------------------------------------------------- */

bool
char_begins(uint32_t *more, unsigned char c)
{
	if (*more > 0 && (c & 0xc0) == 0x80) {
		(*more)--;
		return false;
	}
	*more = c < 0xc2 || c > 0xf4 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
	return true;
}

/* A \ and the end of its line; *blanks: there is something between. */
static bool
is_continuation(const struct lex *l, bool *blanks)
{
	const char	*s = l->p + 1;

	while (s < l->end && (*s == ' ' || *s == '\t'))
		s++;
	*blanks = s != l->p + 1;
	if (s < l->end && *s == '\r')
		s++;
	return *l->p == '\\' && s < l->end && *s == '\n';
}

static void
skip_continuation(struct parse *p, bool blanks)
{
	struct where	at = here(&p->lex);

	if (blanks)
		report_error(p, &at, "blanks follow the \\, which continues a "
		    "line as its last character only: remove them");
	skip_line(&p->lex);
	advance(&p->lex);
}

static void
skip_space(struct parse *p)
{
	struct lex	*l = &p->lex;
	bool		 blanks;
	int		 c;

	while ((c = peek(l)) != -1) {
		if (c == '#')
			skip_line(l);
		else if (c == '\\' && is_continuation(l, &blanks))
			skip_continuation(p, blanks);
		else if (c == ' ' || c == '\t' ||
		    (c == '\r' && (l->end - l->p < 2 || l->p[1] == '\n')))
			advance(l);
		else if (!foreign_comment(p))
			return;
	}
}

/* The next thing, on whichever line it stands, is this. */
static bool
next_is(const struct lex *l, char c)
{
	const char	*s;

	for (s = l->p; s < l->end; s++) {
		if (*s == '#')
			while (s + 1 < l->end && s[1] != '\n')
				s++;
		else if (*s != '\n' && !is_blank((unsigned char)*s))
			return *s == c;
	}
	return false;
}

/* ---- words --------------------------------------------------------------- */

static const char *
take_word(struct parse *p)
{
	struct lex	*l = &p->lex;
	const char	*from = l->p;

	while (is_word(peek(l)))
		advance(l);
	return model_string(p->m, from, (size_t)(l->p - from));
}

/* <name> and $name; just the name is the token's text. */
static int
take_marked(struct parse *p, struct token *t, int kind)
{
	struct lex	*l = &p->lex;

	advance(l);
	t->text = take_word(p);
	if (*t->text == '\0' || (kind == TABLE_REF && peek(l) != '>')) {
		report_error(p, &t->at, kind == TABLE_REF ?
		    "a table is named as <name>, without spaces" :
		    "a macro is used as $name, without braces");
		return give_up(p);
	}
	if (kind == TABLE_REF)
		advance(l);
	return kind;
}

static int
take_string(struct parse *p, struct token *t)
{
	struct lex	*l = &p->lex;
	const char	*from;
	struct where	 at;
	int		 c;

	advance(l);
	from = l->p;
	while ((c = peek(l)) >= ' ' && c != 0x7f && c != '"' && c != '\\')
		advance(l);
	if (c == '"') {
		t->text = model_string(p->m, from, (size_t)(l->p - from));
		advance(l);
		return STRING;
	}
	at = here(l);
	if (c == -1 || c == '\n' || c == '\r')
		report_error(p, &t->at,
		    "the string does not end: a \" is missing on this line");
	else if (c == '\\')
		report_error(p, &at, "a string has no \\ in it: leave it out");
	else
		report_error(p, &at, "a string holds printable characters "
		    "without \" and \\");
	skip_line(l);
	return YYerror;
}

/* ---- lines and braces ---------------------------------------------------- */

/* Words that begin a statement and so cannot stand in a list. */
static bool
begins_statement(const struct lex *l, bool rule)
{
	const char	*end = l->p, *next;

	while (end < l->end && is_word((unsigned char)*end))
		end++;
	for (next = end; next < l->end && (*next == ' ' || *next == '\t'); next++)
		;
	if (end - l->p == 5 && memcmp(l->p, "audit", 5) == 0 &&
	    next < l->end && *next != '{')
		return false;		/* the setting of that name */
	if (end - l->p == 5 && memcmp(l->p, "names", 5) == 0)
		return next < l->end && *next == '<';	/* the same */
	return keyword_begins(l->p, (size_t)(end - l->p), rule);
}

/*
 * To the end of the statement: of its line, or of the line on which the last of its
 * braces is closed. Not beyond a line that begins one without any indentation, and not
 * beyond the brace of its tenant.
 */
static void
skip_statement(struct parse *p)
{
	struct lex	*l = &p->lex;
	int		 c;

	for (; (c = peek(l)) != -1; advance(l)) {
		if (c == '\n' && l->list == 0 && !next_is(l, '{'))
			return;
		if (c == '}' && l->list == 0 && p->tenant != NULL)
			return;
		if (l->column == 1 && l->list > 0 && begins_statement(l, false)) {
			l->list = 0;
			return;
		}
		if (c == '#')
			while (l->p + 1 < l->end && l->p[1] != '\n')
				advance(l);
		else if (c == '"')
			while (l->p + 1 < l->end && l->p[1] != '\n' && l->p[1] != '"')
				advance(l);
		else if (c == '{')
			l->list++;
		else if (c == '}' && l->list > 0)
			l->list--;
		if (c == '"' && peek_on(l) == '"')
			advance(l);
	}
}

static int
take_brace(struct parse *p, const struct where *at, int c)
{
	struct lex	*l = &p->lex;

	advance(l);
	if (c == '{') {
		if (l->block)
			l->block = false;
		else if (l->list++ == 0)
			l->open = *at;
		return LBRACE;
	}
	l->stray = l->list == 0 && p->tenant == NULL;
	if (l->list > 0)
		l->list--;
	return RBRACE;
}

/* 0: nothing that the grammar has to know. */
static int
take_char(struct parse *p, struct token *t)
{
	struct lex	*l = &p->lex;
	int		 c = peek(l);

	if (c == '{' || c == '}')
		return take_brace(p, &t->at, c);
	if (c == '=' || c == ',') {
		advance(l);
		return c == '=' ? EQUALS : COMMA;
	}
	if (c == '"')
		return take_string(p, t);
	if (c == '<' || c == '$')
		return take_marked(p, t, c == '<' ? TABLE_REF : MACRO);
	if (!p->shown) {
		report_error(p, &t->at, "a byte that has no meaning here");
		return give_up(p);
	}
	if (c == ';')
		return foreign_semicolon(p, t);
	if (foreign_quote(l))
		return foreign_string(p, t);
	if (c >= 0x80)
		return foreign_character(p, t);
	if (c == '\\')
		report_error(p, &t->at, "a \\ continues a line, as its last "
		    "character");
	else if (c == '\r')
		report_error(p, &t->at, "a line ends with LF, or CR and LF: this CR "
		    "stands alone");
	else if (c == '>')
		report_error(p, &t->at, "a > without its <: a table is named as "
		    "<name>; a range of ports is written 1024-65535");
	else
		report_error(p, &t->at, "byte 0x%02x has no meaning here",
		    (unsigned int)c);
	return give_up(p);
}

/* A tenant's } was forgotten: it is given out in front of this statement. */
static bool
closes_late(struct parse *p, const struct token *t, int kind)
{
	if (p->tenant == NULL || kind == LIMITS || kind == WORD ||
	    !(kind == TENANT || t->at.column == 1) ||
	    !keyword_begins(t->text, strlen(t->text), false))
		return false;
	report_error(p, &t->at, "\"%.64s\" inside of the tenant that begins in line "
	    "%u: write } in front of this line", t->text, p->tenant->at.line);
	return true;
}

/* What begins a line begins a statement; what was meant is read instead. */
static int
begin_statement(struct parse *p, struct token *t, int kind)
{
	bool		 rule = p->tenant != NULL;
	const char	*meant;

	if (kind != WORD || !p->shown || !p->versioned ||
	    next_is(&p->lex, '='))
		return kind;
	if ((meant = keyword_meant(t->text, rule)) != NULL) {
		report_error(p, &t->at, "\"%.64s\" begins no %s: did you mean "
		    "\"%s\"?", t->text, rule ? "rule" : "statement", meant);
		return keyword(meant);
	}
	if (rule)
		report_error(p, &t->at, "\"%.64s\" begins no rule: expected allow, "
		    "deny or limits", t->text);
	else
		report_error(p, &t->at, "\"%.64s\" begins no statement: expected "
		    "tenant, table, names, limits, host, host-service, resolver, audit, "
		    "floor, include, default or a macro, as NAME = { ... }",
		    t->text);
	return give_up(p);
}

/* A word or a character that is not white space; 0: neither. */
static int
take(struct parse *p, struct token *t)
{
	struct lex	*l = &p->lex;
	const char	*from = l->p;
	bool		 start = l->start;
	int		 kind;

	l->start = false;
	if (!is_word(peek(l)))
		return take_char(p, t);
	t->text = take_word(p);
	kind = keyword(t->text);
	if (!start || l->list > 0)
		return kind;
	if (closes_late(p, t, kind)) {
		l->p = from;
		l->column = t->at.column;
		l->owed = 2;
		return 0;
	}
	kind = begin_statement(p, t, kind);
	l->block = kind == TENANT;
	return kind;
}

/* The end of the text, or of a line. */
static int
end(struct lex *l)
{
	bool	last = l->ended || l->start;

	l->ended = true;
	return last ? END : NL;
}

static int
lex_kind(struct parse *p, struct token *t)
{
	struct lex	*l = &p->lex;
	int		 c;

	if ((c = l->first) != 0) {
		l->first = 0;
		return c;
	}
	for (;;) {
		if (l->skip)
			skip_statement(p);
		l->skip = false;
		skip_space(p);
		t->at = here(l);
		if (l->owed > 0) {
			l->start = l->owed == 1;
			return l->owed-- == 2 ? RBRACE : NL;
		}
		c = peek(l);
		if (c == -1 || report_full(p))
			return end(l);
		if (c == '\n') {
			advance(l);
			if (!l->start && next_is(l, '{'))
				continue;	/* it may stand on the next line */
			l->start = true;
			if (l->list == 0)
				return NL;
			continue;
		}
		if (l->start && l->list > 0 && begins_statement(l, true)) {
			l->list = 0;	/* a } is missing: say so once, there */
			l->unclosed = true;
			t->at = l->after;
			return NL;
		}
		if ((c = take(p, t)) != 0)
			return c;
	}
}

void
lex_next(struct parse *p, struct token *t)
{
	memset(t, 0, sizeof(*t));
	t->at = here(&p->lex);
	t->kind = lex_kind(p, t);
	if (t->kind != NL)
		p->lex.unclosed = false;
	p->lex.after = here(&p->lex);
	p->earlier = p->before;
	p->before = p->token;
	p->token = *t;
}

/* Where a byte of the text stands, from its beginning. */
static void
lex_place(const struct lex *l, const char *byte, struct where *at)
{
	const char	*c;
	uint32_t	 more = 0;

	for (c = l->p; c < byte; c++)
		if (*c == '\n') {
			at->line++;
			at->column = 1;
		} else if (char_begins(&more, (unsigned char)*c))
			at->column++;
}

/* Text at all, as far as can be told; else one message. */
bool
lex_readable(struct parse *p)
{
	const struct lex	*l = &p->lex;
	struct where		 at = { l->file, 1, 1 };
	size_t			 len = (size_t)(l->end - l->p);
	const char		*nul = memchr(l->p, '\0', len);

	if (len >= 2 && (memcmp(l->p, "\xff\xfe", 2) == 0 ||
	    memcmp(l->p, "\xfe\xff", 2) == 0))
		report_error(p, &at, "this is UTF-16: save the file as UTF-8");
	else if (nul != NULL) {
		lex_place(l, nul, &at);
		report_error(p, &at, "a NUL byte: the file is no text, or not in "
		    "UTF-8");
	} else
		return true;
	return false;
}

/*
 * Whoever writes an include may not be allowed to read what it names, and the one
 * who has it checked may, as root: a password file is not to be in the messages.
 */
bool
lex_hides(const struct parse *p, const struct token *t)
{
	return !p->shown && (t->kind == WORD || t->kind == STRING ||
	    t->kind == TABLE_REF || t->kind == MACRO);
}

const char *
lex_describe(struct parse *p, const struct token *t)
{
	struct text	 out = { NULL, 0, 0 };
	const char	*s;

	if (lex_hides(p, t))
		return "text";
	switch (t->kind) {
	case NL:
		return "end of line";
	case END:
		return "end of file";
	case LBRACE:
		return "\"{\"";
	case RBRACE:
		return "\"}\"";
	case EQUALS:
		return "\"=\"";
	case COMMA:
		return "\",\"";
	case TABLE_REF:
		text_add(&out, "<%.64s>", t->text);
		break;
	case MACRO:
		text_add(&out, "$%.64s", t->text);
		break;
	default:
		text_add(&out, "%s\"%.64s\"", t->kind == STRING ? "string " :
		    "", t->text);
		break;
	}
	s = model_string(p->m, out.buf, out.len);
	free(out.buf);
	return s;
}
