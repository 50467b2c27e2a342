/*
 * The grammar of sallyport.conf(5): one rule is one sentence on one line.
 *
 * Trusts: nothing. The lexer gives it words, build.c looks at what they say.
 * Must not: accept a word that nothing acts on. The words of later versions are
 * the lexer's UNSUPPORTED, which stands in no rule.
 */
%require "3.8"
%define api.pure full
%define api.location.type {struct where}
%define parse.error custom
%define parse.lac full
%locations
%param {struct parse *p}

%code requires {
#include "read.h"
}

%code top {
/* The skeleton below is bison's; our warning flags are not for it. */
#pragma GCC diagnostic ignored "-Wconversion"
}

%code {
#include <stdlib.h>

#define YYLLOC_DEFAULT(Current, Rhs, N)					\
	(Current) = (N) > 0 ? YYRHSLOC(Rhs, 1) : YYRHSLOC(Rhs, 0)

static int	yylex(YYSTYPE *, YYLTYPE *, struct parse *);
static void	yyerror(const YYLTYPE *, struct parse *, const char *);

static struct item
item(const char *text, struct where at)
{
	return (struct item){ .text = text, .at = at };
}

static struct item
marked(const char *text, struct where at, bool table)
{
	return (struct item){ .text = text, .at = at, .table = table,
	    .macro = !table };
}
}

%union {
	const char	*text;
	unsigned int	 num;
	struct item	 item;
	struct items	*items;
	struct dest	*dest;
	struct services	*services;
}

%token END 0			"end of file"
%token NL			"end of line"
%token LBRACE			"{"
%token RBRACE			"}"
%token EQUALS			"="
%token COMMA			","
%token <text> WORD		"a word"
%token <text> STRING		"a string in quotes"
%token <text> TABLE_REF		"a <table>"
%token <text> MACRO		"a $macro"
%token UNSUPPORTED		"a word of a later version"
%token ALLOW "allow" ALLOW_EMPTY "allow-empty" ANY "any" ASYNC "async" AUDIT "audit"
%token BEFORE_CONNECT "before-connect" BEFORE_DATA "before-data"
%token BUILTIN "builtin" BURST "burst" CONNS "conns" DEFAULT "default"
%token DENY "deny" DNS "dns" DNSSEC "dnssec" DURABLE "durable" ECH "ech"
%token ECHO "echo" ENFORCE "enforce" EXCEPT "except" FILE_ "file"
%token FLOOR "floor" FOR "for" HALF_CLOSED "half-closed" HOST "host" HOST_SERVICE "host-service"
%token ICMP "icmp" IDLE "idle" INCLUDE "include"
%token FLOW_LIVE "flow-live" KEEP "keep" KERNEL_MEMORY "kernel-memory" LABEL "label"
%token LIFETIME "lifetime" LIMITS "limits" MODE "mode" NAME "name"
%token NAMES "names" NET "net" NOTE "note" NOWARN "nowarn" ON_FAILURE "on-failure"
%token OWN_ADDRESSES "own-addresses" PENDING "pending"
%token PENDING_DST "pending-per-destination" PER "per" PIN "pin" POLICY "policy"
%token PORT "port" RATE "rate" RESOLVER "resolver" ROTATE "rotate"
%token SEARCH "search"
%token TABLE "table" TCP "tcp" TENANT "tenant" TICKET "ticket" TO "to"
%token UDP "udp" UNPROVEN "unproven" UNPROVEN_DST "unproven-per-destination"
%token UNTIL "until" UPSTREAM "upstream" VERIFY "verify" VERSION "version"
/* which file is read; the lexer gives one of them first */
%token MAIN "a policy" INCLUDED "an included file"

%type <num>		proto mode durable tenant_mode setting_word ech own empty
%type <item>		word string entry verify address
%type <items>		list items except addresses words
%type <dest>		dest net_dest
%type <services>	services port_clause

%%

file		: MAIN blank version statements
		| INCLUDED included
		;
blank		: %empty
		| blank NL
		;
version		: POLICY VERSION word NL	{ build_version(p, &$3); }
		| error NL			{ YYABORT; }
		;
statements	: %empty
		| statements NL
		| statements statement NL
		| statements error NL		{ yyerrok; }
		;
statement	: plain nowarns			{ build_nowarn_end(p, &@1); }
		| tenant
		;
plain		: shared
		| audit
		| FLOOR BUILTIN
		| host
		| resolver
		| service
		| DEFAULT DENY
		;
shared		: macro
		| table
		| names
		| limits
		| floor
		| include			{ p->shown = true; }
		;
nowarns		: %empty
		| nowarns NOWARN words string	{ build_nowarn(p, &@2, $3, &$4, NULL); }
		;
included	: %empty
		| included NL
		| included tenant NL
		| included shared nowarns NL	{ build_nowarn_end(p, &@2); }
		| included error NL		{ yyerrok; }
		;

word		: WORD				{ $$ = item($1, @1); }
		;
string		: STRING {
			$$ = item($1, @1);
			build_ascii(p, &$$);
		}
		;

/* ---- lists -------------------------------------------------------------- */

list		: entry				{ $$ = build_items(p, NULL, &$1); }
		| LBRACE items RBRACE		{ $$ = $2; }
		| LBRACE items COMMA RBRACE	{ $$ = $2; }
		| LBRACE RBRACE {
			report_error(p, &@1, "the list is empty, which would "
			    "match nothing: write an entry, or leave it out");
			$$ = model_alloc(p->m, sizeof(*$$));
		}
		;
items		: entry				{ $$ = build_items(p, NULL, &$1); }
		| items comma entry		{ $$ = build_items(p, $1, &$3); }
		| items NOWARN words string {
			build_nowarn(p, &@2, $3, &$4, &$1->last);
			$$ = $1;
		}
		;
entry		: word
		| STRING {
			$$ = item($1, @1);
			$$.quoted = true;
		}
		| TABLE_REF			{ $$ = marked($1, @1, true); }
		| MACRO				{ $$ = marked($1, @1, false); }
		;
comma		: %empty
		| COMMA
		;

/* ---- globals ------------------------------------------------------------- */

macro		: word EQUALS list		{ build_macro(p, &$1, $3); }
		;
table		: TABLE TABLE_REF list {
			struct item name = item($2, @2);
			build_table(p, &name, $3, NULL, false);
		}
		| TABLE TABLE_REF list FILE_ string empty {
			struct item name = item($2, @2);
			build_table(p, &name, $3, &$5, $6 != 0);
		}
		| TABLE TABLE_REF FILE_ string empty {
			struct item name = item($2, @2);
			build_table(p, &name, NULL, &$4, $5 != 0);
		}
		| TABLE TABLE_REF LBRACE RBRACE ALLOW_EMPTY {
			struct item name = item($2, @2);
			build_table(p, &name, NULL, NULL, true);
		}
		;
names		: NAMES TABLE_REF list {
			struct item name = item($2, @2);
			build_nameset(p, &name, $3, NULL, false);
		}
		| NAMES TABLE_REF list FILE_ string empty {
			struct item name = item($2, @2);
			build_nameset(p, &name, $3, &$5, $6 != 0);
		}
		| NAMES TABLE_REF FILE_ string empty {
			struct item name = item($2, @2);
			build_nameset(p, &name, NULL, &$4, $5 != 0);
		}
		| NAMES TABLE_REF LBRACE RBRACE ALLOW_EMPTY {
			struct item name = item($2, @2);
			build_nameset(p, &name, NULL, NULL, true);
		}
		;
empty		: %empty			{ $$ = 0; }
		| ALLOW_EMPTY			{ $$ = 1; }
		;
include		: INCLUDE string		{ build_include(p, &$2); }
		;

limits		: LIMITS word { build_limits(p, &$2); } LBRACE settings RBRACE
		;
settings	: setting
		| settings setting
		;
setting		: setting_word word		{ build_setting(p, $1, &$2); }
		| RATE word			{ build_setting(p, SET_RATE, &$2); }
		| RATE word BURST word {
			build_setting(p, SET_RATE, &$2);
			build_setting(p, SET_BURST, &$4);
		}
		| DNS word			{ build_setting(p, SET_DNS, &$2); }
		| DNS word BURST word {
			build_setting(p, SET_DNS, &$2);
			build_setting(p, SET_DNS_BURST, &$4);
		}
		| AUDIT word			{ build_setting(p, SET_AUDIT, &$2); }
		| AUDIT word BURST word {
			build_setting(p, SET_AUDIT, &$2);
			build_setting(p, SET_AUDIT_BURST, &$4);
		}
		| NAMES word PER word {
			build_setting(p, SET_NAMES, &$2);
			build_setting(p, SET_NAMES_PER, &$4);
		}
		;
setting_word	: CONNS				{ $$ = SET_CONNS; }
		| PENDING			{ $$ = SET_PENDING; }
		| PENDING_DST			{ $$ = SET_PENDING_DST; }
		| UNPROVEN			{ $$ = SET_UNPROVEN; }
		| UNPROVEN_DST			{ $$ = SET_UNPROVEN_DST; }
		| IDLE				{ $$ = SET_IDLE; }
		| HALF_CLOSED			{ $$ = SET_HALF_CLOSED; }
		| LIFETIME			{ $$ = SET_LIFETIME; }
		| KERNEL_MEMORY			{ $$ = SET_MEMORY; }
		;

audit		: AUDIT { build_audit(p, &@1); } LBRACE audit_settings RBRACE
		;
audit_settings	: audit_setting
		| audit_settings audit_setting
		;
audit_setting	: DURABLE durable {
			build_audit_once(p, AUDIT_DURABLE, &@1);
			p->m->audit.durable = $2;
		}
		| ROTATE word {
			build_audit_once(p, AUDIT_ROTATE, &@1);
			build_rotate(p, &$2);
		}
		| KEEP word {
			build_audit_once(p, AUDIT_KEEP, &@1);
			build_keep(p, &$2);
		}
		| FLOW_LIVE word {
			build_audit_once(p, AUDIT_LIVE, &@1);
			build_live(p, &$2);
		}
		| ON_FAILURE DENY {
			build_audit_once(p, AUDIT_FAILURE, &@1);
		}
		;
durable		: BEFORE_DATA			{ $$ = DURABLE_BEFORE_DATA; }
		| BEFORE_CONNECT		{ $$ = DURABLE_BEFORE_CONNECT; }
		| ASYNC				{ $$ = DURABLE_ASYNC; }
		;

floor		: FLOOR EXCEPT net_dest own services FOR TENANT word TICKET string {
			struct except e = { .at = @1, .dest = *$3,
			    .own = $4 != 0, .services = *$5, .tenant = $8,
			    .ticket = $10.text };
			build_except(p, &e, &@4, &@10);
		}
		;
own		: %empty			{ $$ = 0; }
		| OWN_ADDRESSES			{ $$ = 1; }
		;
host		: HOST string addresses		{ build_host(p, &$2, $3); }
		;
addresses	: address			{ $$ = build_items(p, NULL, &$1); }
		| addresses address		{ $$ = build_items(p, $1, &$2); }
		;
address		: word
		| MACRO				{ $$ = marked($1, @1, false); }
		;
resolver	: RESOLVER { build_resolver(p, &@1); } LBRACE resolver_settings RBRACE {
			build_resolver_end(p, &@1);
		}
		;
resolver_settings : resolver_setting
		| resolver_settings resolver_setting
		;
resolver_setting : UPSTREAM words		{ build_upstream(p, &@1, $2, NULL); }
		| UPSTREAM words NAME string	{ build_upstream(p, &@1, $2, &$4); }
		| DNSSEC word			{ build_dnssec(p, &@1, &$2); }
		| PIN words			{ build_pin(p, $2); }
		| SEARCH search_names
		;
search_names	: string			{ build_search(p, &$1); }
		| search_names string		{ build_search(p, &$2); }
		;
words		: word				{ $$ = build_items(p, NULL, &$1); }
		| words word			{ $$ = build_items(p, $1, &$2); }
		;
service		: HOST_SERVICE word word proto	{ build_service(p, &$2, &$3, $4); }
		;
proto		: TCP				{ $$ = PROTO_TCP; }
		| UDP				{ $$ = PROTO_UDP; }
		;

/* ---- tenants -------------------------------------------------------------- */

tenant		: tenant_head LBRACE lines RBRACE { p->tenant = NULL; }
		| TENANT error LBRACE {
			yyerrok;	/* its rules are read, for their errors */
			p->tenant = model_alloc(p->m, sizeof(*p->tenant));
		} lines RBRACE			{ p->tenant = NULL; }
		| TENANT error
		;
tenant_head	: TENANT word tenant_mode {
			p->shown = true;
			build_tenant(p, &$2, $3);
		}
		;
tenant_mode	: %empty			{ $$ = MODE_ENFORCE; }
		| MODE mode			{ $$ = $2; }
		;
mode		: ENFORCE			{ $$ = MODE_ENFORCE; }
		| AUDIT				{ $$ = MODE_AUDIT; }
		;
lines		: full_lines
		| full_lines line
		| full_lines error		{ yyerrok; }
		;
full_lines	: %empty
		| full_lines NL
		| full_lines line NL
		| full_lines error NL		{ yyerrok; }
		;
line		: LIMITS word nowarns {
			build_tenant_limits(p, &$2);
			build_nowarn_end(p, &@1);
		}
		| rule
		;

/* ---- rules ---------------------------------------------------------------- */

rule		: action TO dest {
			p->rule->dest = *$3;
		} clauses {
			push(p->m, p->tenant->rule, *p->rule);
			build_nowarn_end(p, &@1);
		}
		;
action		: ALLOW				{ build_rule(p, &@1, false); }
		| DENY				{ build_rule(p, &@1, true); }
		;
dest		: net_dest
		| NAME list except {
			$$ = build_dest(p, KIND_NAME, &@1, $2, $3);
		}
		| HOST_SERVICE word {
			struct items *one = build_items(p, NULL, &$2);
			$$ = build_dest(p, KIND_SERVICE, &@1, one, NULL);
		}
		;
net_dest	: ANY except {
			$$ = build_dest(p, KIND_ANY, &@1, NULL, $2);
		}
		| NET list except {
			$$ = build_dest(p, KIND_NET, &@1, $2, $3);
		}
		;
except		: %empty			{ $$ = NULL; }
		| EXCEPT list			{ $$ = $2; }
		;
clauses		: %empty
		| clauses LABEL string		{ build_label(p, p->rule, &$3); }
		| clauses NOWARN words string	{ build_nowarn(p, &@2, $3, &$4, NULL); }
		| clauses MODE mode		{ build_mode(p, p->rule, &@2, $3); }
		| clauses port_clause		{ build_services(p, &p->rule->services, $2); }
		| clauses VERIFY verify		{ build_verify(p, p->rule, &@2, &$3); }
		| clauses ECH ech		{ build_ech(p, p->rule, &@2, $3 != 0); }
		| clauses TICKET string		{ build_ticket(p, p->rule, &$3); }
		| clauses UNTIL word		{ build_until(p, p->rule, &@2, &$3); }
		| clauses NOTE string		{ build_note(p, p->rule, &$3); }
		;
verify		: word
		| HOST				{ $$ = item("host", @1); }
		;
ech		: ALLOW				{ $$ = 1; }
		| DENY				{ $$ = 0; }
		;
services	: %empty {
			$$ = model_alloc(p->m, sizeof(*$$));
		}
		| services port_clause		{ build_services(p, $1, $2); }
		;
port_clause	: PORT proto list {
			$$ = model_alloc(p->m, sizeof(*$$));
			build_ports(p, $$, $2, &@1, $3);
		}
		| ICMP ECHO {
			$$ = model_alloc(p->m, sizeof(*$$));
			$$->written = $$->echo = true;
			$$->at = @1;
		}
		;

%%

static int
yylex(YYSTYPE *value, YYLTYPE *at, struct parse *p)
{
	struct token	t;

	lex_next(p, &t);
	value->text = t.text;
	*at = t.at;
	return t.kind;
}

/* Bison's own troubles: its stack, which a list cannot reach. */
static void
yyerror(const YYLTYPE *at, struct parse *p, const char *what)
{
	report_error(p, at, "%s", what);
}

/* Those that slip.c asks for by their kind. */
static int
token_of(yysymbol_kind_t kind)
{
	switch (kind) {
	case YYSYMBOL_WORD:
		return WORD;
	case YYSYMBOL_STRING:
		return STRING;
	case YYSYMBOL_TABLE_REF:
		return TABLE_REF;
	case YYSYMBOL_NL:
		return NL;
	case YYSYMBOL_EQUALS:
		return EQUALS;
	case YYSYMBOL_TENANT:
		return TENANT;
	case YYSYMBOL_ALLOW:
		return ALLOW;
	case YYSYMBOL_PORT:
		return PORT;
	default:
		return YYUNDEF;
	}
}

/*
 * What helps nobody: a comma, what may always stand, and between statements an empty
 * line.
 */
static bool
is_noise(yysymbol_kind_t kind, bool between)
{
	return kind == YYSYMBOL_COMMA || kind == YYSYMBOL_NOWARN ||
	    (between && (kind == YYSYMBOL_NL || kind == YYSYMBOL_YYEOF));
}

/* What the grammar would have taken here; slip.c has the words for it. */
static int
yyreport_syntax_error(const yypcontext_t *ctx, struct parse *p)
{
	yysymbol_kind_t	 kind[YYNTOKENS];
	const char	*name[YYNTOKENS];
	int		 token[YYNTOKENS];
	bool		 keyword[YYNTOKENS], between = false;
	struct expected	 e = { 0, token, name, keyword, false };
	int		 i, n;

	n = yypcontext_expected_tokens(ctx, kind, YYNTOKENS);
	for (i = 0; i < n; i++)
		between = between || kind[i] == YYSYMBOL_TENANT ||
		    kind[i] == YYSYMBOL_ALLOW || kind[i] == YYSYMBOL_POLICY;
	for (i = 0; i < n; i++) {
		e.nowarn |= kind[i] == YYSYMBOL_NOWARN;
		if (is_noise(kind[i], between))
			continue;
		name[e.n] = yysymbol_name(kind[i]);
		keyword[e.n] = kind[i] >= YYSYMBOL_ALLOW &&
		    kind[i] <= YYSYMBOL_VERSION;
		token[e.n++] = token_of(kind[i]);
	}
	slip_report(p, &e);
	return 0;
}
