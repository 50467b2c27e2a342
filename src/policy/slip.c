/*
 * What a syntax error is told as: by what stands there and before it, and by what could
 * have stood there. One message; the lexer then passes over the rest of the statement,
 * so that nothing follows from it.
 *
 * Trusts: parse.y's list of what was expected.
 * Must not: tell the text of a file that may be no policy (lex_hides()).
 */
#include <stdlib.h>
#include <string.h>

#include "read.h"
#include "parse.h"
#include "suggest.h"

static bool
is_entry(int kind)
{
	return kind == WORD || kind == STRING || kind == TABLE_REF ||
	    kind == MACRO;
}

static bool
is_number(const char *s)
{
	return s != NULL && *s >= '0' && *s <= '9' &&
	    s[strspn(s, "0123456789-:")] == '\0';
}

/* ---- what a bare word would be ------------------------------------------------ */

/* What a bare word would mean after the token before it. */
static const char *
word_means(int before)
{
	static const struct { int after; const char *what; } means[] = {
		{ NET, "a network" }, { EXCEPT, "a network" },
		{ TCP, "a port" }, { UDP, "a port" },
		{ HOST_SERVICE, "a name" }, { LIMITS, "a name" },
		{ NAME, "a name" }, { TENANT, "a name" },
		{ CONNS, "a number" }, { PENDING, "a number" },
		{ PENDING_DST, "a number" }, { UNPROVEN, "a number" },
		{ UNPROVEN_DST, "a number" }, { BURST, "a number" },
		{ NAMES, "a number" },
		{ DNS, "a rate, as 50/s" }, { RATE, "a rate, as 50/s" },
		{ AUDIT, "a volume, as 64K/s" },
		{ VERIFY, "sni, none" }, { DNSSEC, "yes or no" },
		{ PIN, "min, max or grace" },
		{ UPSTREAM, "an address, or tls and an address" },
		{ IDLE, "a duration, as 5m" }, { FLOW_LIVE, "a duration, as 5m" },
		{ HALF_CLOSED, "a duration, as 5m" },
		{ LIFETIME, "a duration, as 5m" }, { PER, "a duration, as 5m" },
		{ KEEP, "a number, or a size, as 20G" },
		{ KERNEL_MEMORY, "a size, as 256M" }, { ROTATE, "a size, as 256M" },
		{ UNTIL, "a date, as 2027-01-31" }, { VERSION, "1" },
		{ NOWARN, "the code of a warning, as W202" },
		{ LBRACE, "an entry" }, { COMMA, "an entry" },
		{ STRING, "an entry" }, { WORD, "an entry" } };
	size_t	i;

	for (i = 0; i < sizeof(means) / sizeof(means[0]); i++)
		if (means[i].after == before)
			return means[i].what;
	return "a macro";
}

/* "a, b or c" of what the grammar would have taken here. */
static void
list_expected(const struct parse *p, const struct expected *e, struct text *out)
{
	size_t	i;

	for (i = 0; i < e->n; i++)
		text_add(out, "%s%s", i == 0 ? "expected " : i == e->n - 1 ?
		    " or " : ", ", e->kind[i] == WORD ?
		    word_means(p->before.kind) : e->name[i]);
}

static bool
expects(const struct expected *e, int kind)
{
	size_t	i;

	for (i = 0; i < e->n; i++)
		if (e->kind[i] == kind)
			return true;
	return false;
}

/* ---- slips that have a message of their own ------------------------------------- */

static const char *
named_by(int before)
{
	return before == TENANT ? "tenant" : before == LIMITS ? "set of limits" :
	    before == HOST_SERVICE ? "host-service" : NULL;
}

/* Where the name of something is to stand. */
static bool
slip_name(struct parse *p)
{
	const struct token	*t = &p->token;
	const char		*what = named_by(p->before.kind);

	if (what == NULL || t->text == NULL)
		return false;
	if (t->kind == STRING)
		report_error(p, &t->at, "the name of a %s has no quotes: write "
		    "%.64s", what, t->text);
	else if (is_entry(t->kind))
		return false;
	else
		report_error(p, &t->at, "\"%.64s\" is a word of the grammar, and "
		    "cannot be the name of a %s: write another one, as my-%.64s",
		    t->text, what, t->text);
	return true;
}

/* "443/tcp", "tcp/443": of which the protocol is known. */
static const char *
proto_in(const char *s)
{
	return s == NULL ? NULL : strstr(s, "udp") != NULL ? "udp" :
	    strstr(s, "tcp") != NULL ? "tcp" : NULL;
}

static bool
slip_port(struct parse *p)
{
	const struct token	*t = &p->token;
	const char		*digits, *proto;
	size_t			 n;

	if (p->before.kind != PORT || (t->kind != WORD && t->kind != LBRACE &&
	    t->kind != MACRO))
		return false;
	proto = t->kind == WORD ? proto_in(t->text) : NULL;
	if (t->kind == LBRACE)
		report_error(p, &t->at, "ports of which protocol? write port tcp "
		    "{ ... } or port udp { ... }");
	else if (t->kind == MACRO)
		report_error(p, &t->at, "ports of which protocol? write port tcp "
		    "$%.64s or port udp $%.64s", t->text, t->text);
	else if (proto != NULL && (digits = strpbrk(t->text, "0123456789")) != NULL) {
		n = strspn(digits, "0123456789-");
		report_error(p, &t->at, "\"%.64s\" is not a protocol: write port "
		    "%s %.*s", t->text, proto, (int)(n > 16 ? 16 : n), digits);
	} else if (is_number(t->text))
		report_error(p, &t->at, "a port of which protocol? write port tcp "
		    "%.64s or port udp %.64s", t->text, t->text);
	else
		return false;
	return true;
}

/* Of what was expected, what is nearest to it; or NULL. */
static const char *
meant(const struct parse *p, const struct expected *e)
{
	const struct token	*t = &p->token;
	struct suggestion	 s;
	size_t			 i;

	if (t->text == NULL || t->kind == STRING || t->kind == TABLE_REF ||
	    t->kind == MACRO)
		return NULL;
	suggest_begin(&s, t->text);
	for (i = 0; i < e->n; i++)
		if (e->keyword[i])
			suggest_offer(&s, e->name[i]);
	if (e->nowarn)
		suggest_offer(&s, "nowarn");
	return suggest_end(&s);
}

/* As a policy has it. */
static const char *
as_entry(struct parse *p, const struct token *t)
{
	return t->kind == WORD ? t->text : t->kind == STRING ?
	    lex_describe(p, t) + strlen("string ") : lex_describe(p, t);
}

/* What stands behind it is a list, or one entry. */
static bool
holds_list(int kind)
{
	return kind == NET || kind == NAME || kind == EXCEPT || kind == TCP ||
	    kind == UDP || kind == EQUALS || kind == TABLE_REF;
}

/* What a list has, outside of its braces; and what divides settings. */
static bool
slip_list(struct parse *p, const struct expected *e)
{
	const struct token	*t = &p->token, *b = &p->before;

	if (t->kind == COMMA && p->lex.list == 0)
		report_error(p, &t->at, "several entries stand in braces: "
		    "{ %.64s ... }", b->text != NULL ? b->text : "80, 443");
	else if (t->kind == COMMA)
		report_error(p, &t->at, "a , stands between two entries of a list: "
		    "leave it out");
	else if (t->kind == LBRACE && b->kind == WORD &&
	    holds_list(p->earlier.kind))
		report_error(p, &t->at, "the list is \"%.64s\" already: leave it out, "
		    "or move it behind this {", b->text);
	else if (t->kind == EQUALS)
		report_error(p, &t->at, "no = stands here: leave it out");
	else if (p->lex.list == 0 && is_entry(b->kind) && is_entry(t->kind) &&
	    expects(e, NL) && holds_list(p->earlier.kind) &&
	    meant(p, e) == NULL)
		report_error(p, &t->at, "several entries stand in braces: "
		    "{ %s %s }", as_entry(p, b), as_entry(p, t));
	else
		return false;
	return true;
}

/* In quotes or not, in < > or not. */
static bool
slip_marks(struct parse *p, const struct expected *e)
{
	const struct token	*t = &p->token;

	if (t->kind == STRING && p->before.kind == NOWARN)
		report_error(p, &t->at, "which warning is meant? write nowarn W202 "
		    "\"%.64s\", with the code that check shows", t->text);
	else if (t->kind == STRING && expects(e, WORD) &&
	    strchr(t->text, ' ') == NULL)
		report_error(p, &t->at, "this has no quotes: write %.64s",
		    t->text);
	else if (t->kind == WORD && e->n == 1 && expects(e, STRING))
		report_error(p, &t->at, "this stands in quotes: write \"%.64s\"",
		    t->text);
	else if (t->kind == WORD && e->n == 1 && expects(e, TABLE_REF))
		report_error(p, &t->at, "a table is named in < and >: write "
		    "<%.64s>", t->text);
	else
		return false;
	return true;
}

/* A brace too many, or too few. */
static bool
slip_braces(struct parse *p)
{
	const struct token	*t = &p->token;

	if (t->kind == RBRACE && p->lex.stray)
		report_error(p, &t->at, "there is no { that this } would close: "
		    "leave it out");
	else if (t->kind == NL && (p->lex.list > 0 || p->lex.unclosed))
		report_error(p, &t->at, "a } is missing: the { in line %u is not "
		    "closed", p->lex.open.line);
	else if (t->kind == END && p->tenant != NULL)
		report_error(p, &t->at, "a } is missing: the tenant that begins in "
		    "line %u is not closed", p->tenant->at.line);
	else
		return false;
	return true;
}

static bool
is_clause(int kind)
{
	return kind == PORT || kind == ICMP || kind == EXCEPT || kind == LABEL ||
	    kind == MODE || kind == VERIFY || kind == ECH || kind == TICKET ||
	    kind == UNTIL || kind == NOTE || kind == TO || kind == NOWARN;
}

/* Right by itself, and not here. */
static bool
slip_place(struct parse *p, const struct expected *e)
{
	const struct token	*t = &p->token;

	bool			 first = p->before.kind == NL ||
				    p->before.kind == LBRACE;

	if (p->before.kind == DEFAULT && t->kind != NL)
		report_error(p, &t->at, "what no rule allows is denied, and there is "
		    "no other default: write default deny, and allow to any in a "
		    "tenant that is to reach everything");
	else if (p->tenant == NULL && expects(e, TENANT) && p->versioned &&
	    (t->kind == ALLOW || t->kind == DENY))
		report_error(p, &t->at, "\"%.64s\" stands in a tenant: write tenant "
		    "NAME { around the rules, and }", t->text);
	else if (p->tenant != NULL && first && expects(e, ALLOW) &&
	    t->text != NULL &&
	    (t->kind == WORD || keyword_begins(t->text, strlen(t->text), false)))
		report_error(p, &t->at, "%s stand outside of tenants: write it above",
		    t->kind == WORD ? "macros" : t->kind == TABLE ? "tables" :
		    "such statements");
	else if (p->tenant != NULL && first && expects(e, ALLOW) &&
	    is_clause(t->kind))
		report_error(p, &t->at, "\"%.64s\" belongs to the rule above: write it "
		    "in that line, or end that line with a \\", t->text);
	else if (t->kind == MACRO && p->tenant == NULL && first)
		report_error(p, &t->at, "a macro is defined without its $: write "
		    "%.64s = ...", t->text);
	else if ((t->kind == TCP || t->kind == UDP) && expects(e, PORT))
		report_error(p, &t->at, "write port %s, and the port", t->text);
	else
		return false;
	return true;
}

/* "example.com" or "192.0.2.1": the first line of a list, not of a policy. */
static bool
slip_no_policy(struct parse *p)
{
	const struct token	*t = &p->token;

	if (p->versioned || p->tenant != NULL || p->source->parent != NULL ||
	    t->kind != WORD || strpbrk(t->text, ".:") == NULL ||
	    keyword_meant(t->text, false) != NULL)
		return false;
	report_error(p, &t->at, "this is no policy, which begins with: policy "
	    "version 1. A list of networks is read by one, with table <NAME> file "
	    "\"...\"; one of names with names <NAME> file \"...\"");
	return true;
}

/* ---- all others -------------------------------------------------------------------- */

static const char *
hint(const struct parse *p)
{
	if (p->tenant != NULL)
		return "";
	return p->source->parent != NULL ?
	    " (an included file holds tenants, and what is theirs alone)" : "";
}

static void
unexpected(struct parse *p, const struct expected *e)
{
	struct text	out = { NULL, 0, 0 };
	const char	*near = lex_hides(p, &p->token) ? NULL : meant(p, e);

	if (near != NULL)
		text_add(&out, "did you mean \"%s\"?", near);
	else if (p->versioned || p->source->parent != NULL)
		list_expected(p, e, &out);
	else
		text_add(&out, "a policy begins with: policy version 1");
	report_error(p, &p->token.at, "unexpected %s%s%s%s",
	    lex_describe(p, &p->token), out.len > 0 ? ": " : "",
	    out.len > 0 ? out.buf : "", near != NULL ? "" : hint(p));
	free(out.buf);
}

static bool
told(struct parse *p, const struct expected *e)
{
	if (lex_hides(p, &p->token))
		return false;
	if (slip_name(p))
		return true;
	if (p->token.kind == UNSUPPORTED) {
		report_error(p, &p->token.at, "\"%.64s\" is not supported in this "
		    "version", p->token.text);
		return true;
	}
	return slip_no_policy(p) || slip_braces(p) || slip_port(p) ||
	    slip_place(p, e) || slip_list(p, e) ||
	    slip_marks(p, e);
}

void
slip_report(struct parse *p, const struct expected *e)
{
	int	kind = p->token.kind;

	if (!told(p, e))
		unexpected(p, e);
	/* the rest of the statement; but a tenant's rules are read, and a } counts */
	p->lex.skip = !p->lex.block && kind != NL && kind != END &&
	    (kind != RBRACE || p->tenant == NULL);
}
