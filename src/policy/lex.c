/*
 * Tokens. A statement ends with its line, except inside the braces of a list or
 * of settings, where lines do not count; the braces of a tenant hold statements.
 *
 * Trusts: nothing. The text may hold any byte.
 * Must not: look at more than one token, or read past `end`.
 */
#include <stdlib.h>
#include <string.h>

#include "read.h"
#include "parse.h"

struct keyword {
	const char	*word;
	int		 kind;
};

/* Sorted, for bsearch(3). The UNSUPPORTED are the grammar's later words. */
static const struct keyword	keywords[] = {
	{ "allow", ALLOW },
	{ "allow-empty", ALLOW_EMPTY },
	{ "any", ANY },
	{ "async", ASYNC },
	{ "audit", AUDIT },
	{ "before-connect", BEFORE_CONNECT },
	{ "before-data", BEFORE_DATA },
	{ "builtin", BUILTIN },
	{ "burst", BURST },
	{ "bytes", UNSUPPORTED },
	{ "checkpoints", UNSUPPORTED },
	{ "conns", CONNS },
	{ "continue", UNSUPPORTED },
	{ "default", DEFAULT },
	{ "deny", DENY },
	{ "dns", DNS },
	{ "dnssec", DNSSEC },
	{ "down", UNSUPPORTED },
	{ "durable", DURABLE },
	{ "ech", ECH },
	{ "echo", ECHO },
	{ "egress", UNSUPPORTED },
	{ "enforce", ENFORCE },
	{ "except", EXCEPT },
	{ "file", FILE_ },
	{ "floor", FLOOR },
	{ "flow-live", FLOW_LIVE },
	{ "for", FOR },
	{ "guests", UNSUPPORTED },
	{ "half-closed", HALF_CLOSED },
	{ "host", HOST },
	{ "host-service", HOST_SERVICE },
	{ "icmp", ICMP },
	{ "idle", IDLE },
	{ "include", INCLUDE },
	{ "keep", KEEP },
	{ "kernel-memory", KERNEL_MEMORY },
	{ "label", LABEL },
	{ "lifetime", LIFETIME },
	{ "limits", LIMITS },
	{ "log", UNSUPPORTED },
	{ "mode", MODE },
	{ "name", NAME },
	{ "names", NAMES },
	{ "nat64-prefix", UNSUPPORTED },
	{ "net", NET },
	{ "note", NOTE },
	{ "nowarn", NOWARN },
	{ "on-failure", ON_FAILURE },
	{ "own-addresses", OWN_ADDRESSES },
	{ "path", UNSUPPORTED },
	{ "payload", UNSUPPORTED },
	{ "pending", PENDING },
	{ "pending-per-destination", PENDING_DST },
	{ "per", PER },
	{ "pin", PIN },
	{ "policy", POLICY },
	{ "port", PORT },
	{ "publish", UNSUPPORTED },
	{ "rate", RATE },
	{ "resolve", UNSUPPORTED },
	{ "resolver", RESOLVER },
	{ "rotate", ROTATE },
	{ "seal", UNSUPPORTED },
	{ "search", SEARCH },
	{ "table", TABLE },
	{ "tcp", TCP },
	{ "tenant", TENANT },
	{ "ticket", TICKET },
	{ "to", TO },
	{ "udp", UDP },
	{ "unproven", UNPROVEN },
	{ "unproven-per-destination", UNPROVEN_DST },
	{ "until", UNTIL },
	{ "up", UNSUPPORTED },
	{ "upstream", UPSTREAM },
	{ "verify", VERIFY },
	{ "version", VERSION },
	{ "when", UNSUPPORTED },
};

void
lex_open(struct lex *l, const char *file, const char *text, size_t len,
    int first)
{
	memset(l, 0, sizeof(*l));
	l->file = file;
	l->p = text;
	l->end = text + len;
	l->line = l->column = 1;
	l->start = true;
	l->first = first;
}

/* ---- characters -------------------------------------------------------- */

static int
peek(const struct lex *l)
{
	return l->p < l->end ? (unsigned char)*l->p : -1;
}

static void
advance(struct lex *l)
{
	if (*l->p++ == '\n') {
		l->line++;
		l->column = 1;
	} else
		l->column++;
}

static bool
is_word(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || (c > ' ' && c < 0x7f &&
	    strchr(".:/_-+*%[]@&;?!'|~^()", c) != NULL);
}

static bool
is_continuation(const struct lex *l)
{
	return l->p[0] == '\\' && ((l->end - l->p >= 2 && l->p[1] == '\n') ||
	    (l->end - l->p >= 3 && l->p[1] == '\r' && l->p[2] == '\n'));
}

static void
skip_space(struct lex *l)
{
	int	c;

	while ((c = peek(l)) != -1) {
		if (c == '#') {
			while (l->p < l->end && *l->p != '\n')
				advance(l);
		} else if (is_continuation(l)) {
			while (*l->p != '\n')
				advance(l);
			advance(l);
		} else if (c == ' ' || c == '\t' || (c == '\r' &&
		    (l->end - l->p < 2 || l->p[1] == '\n'))) {
			advance(l);
		} else
			return;
	}
}

/* ---- words --------------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
	return strcmp(a, ((const struct keyword *)b)->word);
}

static int
keyword(const char *word)
{
	const struct keyword	*k = bsearch(word, keywords,
				    sizeof(keywords) / sizeof(keywords[0]),
				    sizeof(keywords[0]), compare);

	return k == NULL ? WORD : k->kind;
}

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
		    "a macro is named as $name");
		return YYerror;
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
	if (c == -1 || c == '\n' || c == '\r')
		report_error(p, &t->at,
		    "the string does not end: a \" is missing on this line");
	else
		report_error(p, &(struct where){ l->file, l->line, l->column },
		    "a string holds printable characters without \" and \\");
	while (l->p < l->end && *l->p != '\n')
		advance(l);
	return YYerror;
}

/* ---- lines and braces ---------------------------------------------------- */

/* Words that begin a statement and so cannot stand in a list. */
static bool
begins_statement(const struct lex *l)
{
	static const char *const	words[] = { "allow", "audit", "default",
	    "deny", "floor", "host", "host-service", "include", "limits",
	    "policy", "publish", "resolver", "table", "tenant" };
	const char			*end = l->p, *next;
	size_t				 i;

	while (end < l->end && is_word((unsigned char)*end))
		end++;
	for (next = end; next < l->end && (*next == ' ' || *next == '\t'); next++)
		;
	if (end - l->p == 5 && memcmp(l->p, "audit", 5) == 0 &&
	    next < l->end && *next != '{')
		return false;		/* the setting of that name */
	if (end - l->p == 5 && memcmp(l->p, "names", 5) == 0)
		return next < l->end && *next == '<';	/* the same */
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strlen(words[i]) == (size_t)(end - l->p) &&
		    memcmp(words[i], l->p, strlen(words[i])) == 0)
			return true;
	return false;
}

static int
take_brace(struct lex *l, int c)
{
	advance(l);
	if (c == '{') {
		if (l->block)
			l->block = false;
		else
			l->list++;
		return LBRACE;
	}
	if (l->list > 0)
		l->list--;
	return RBRACE;
}

static int
take_char(struct parse *p, struct token *t)
{
	struct lex	*l = &p->lex;
	int		 c = peek(l);

	if (c == '{' || c == '}')
		return take_brace(l, c);
	if (c == '=' || c == ',') {
		advance(l);
		return c == '=' ? EQUALS : COMMA;
	}
	if (c == '"')
		return take_string(p, t);
	if (c == '<' || c == '$')
		return take_marked(p, t, c == '<' ? TABLE_REF : MACRO);
	if (!p->shown)
		report_error(p, &t->at, "a byte that has no meaning here");
	else
		report_error(p, &t->at, "byte 0x%02x has no meaning here%s",
		    (unsigned int)c, c >= 0x80 ?
		    ": the grammar is ASCII, other text is for comments" : "");
	while (l->p < l->end && *l->p != '\n')
		advance(l);
	return YYerror;
}

/* A word or a character that is not white space. */
static int
take(struct parse *p, struct token *t)
{
	struct lex	*l = &p->lex;
	bool		 start = l->start;
	int		 kind;

	l->start = false;
	if (!is_word(peek(l)))
		return take_char(p, t);
	t->text = take_word(p);
	kind = keyword(t->text);
	if (start && l->list == 0)
		l->block = kind == TENANT;
	return kind;
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
		skip_space(l);
		t->at = (struct where){ l->file, l->line, l->column };
		c = peek(l);
		if (c == -1 || report_full(p)) {
			if (l->ended || l->start) {
				l->ended = true;
				return END;
			}
			l->ended = true;
			return NL;
		}
		if (c != '\n')
			break;
		advance(l);
		l->start = true;
		if (l->list == 0)
			return NL;
	}
	if (l->start && l->list > 0 && begins_statement(l)) {
		l->list = 0;		/* a } is missing: say so once, there */
		t->at = l->after;
		return NL;
	}
	return take(p, t);
}

void
lex_next(struct parse *p, struct token *t)
{
	memset(t, 0, sizeof(*t));
	t->at = (struct where){ p->lex.file, p->lex.line, p->lex.column };
	t->kind = lex_kind(p, t);
	p->lex.after = (struct where){ p->lex.file, p->lex.line, p->lex.column };
	p->before = p->token;
	p->token = *t;
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
