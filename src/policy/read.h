/*
 * Inside libgrammar: the state of one reading, the lexer, and what the grammar's
 * actions call.
 */
#ifndef SALLYPORT_READ_H
#define SALLYPORT_READ_H

#include "grammar.h"
#include "model.h"

struct lex {
	const char	*file;
	const char	*p, *end;
	uint32_t	line, column;
	bool		block;		/* the next { opens a tenant's block */
	bool		start;		/* at the first token of a line */
	unsigned int	list;		/* open braces in which lines don't count */
	int		first;		/* start symbol to give out, then 0 */
	bool		ended;		/* the last NL has been given out */
	bool		skip;		/* the rest of the statement is not read */
	bool		stray;		/* the last } closes nothing */
	bool		unclosed;	/* a statement began in a list */
	struct where	open;		/* its first { */
	unsigned int	owed;		/* of a forgotten }: it, then its NL */
	uint32_t	more;		/* bytes of a character that are to come */
	struct where	after;		/* the end of the last token */
};

struct token {
	int		kind;
	const char	*text;
	struct where	at;
};

struct source {				/* a file that is being read */
	const char		*path;
	uint64_t		 dev, ino;
	const struct source	*parent;
	uint32_t		 scope;
	unsigned int		 depth;
};

struct include {
	const char	*path;		/* as written */
	struct where	at;
};

struct nowarn {				/* what is warned of, and meant */
	const char	*code, *reason;
	struct where	at, code_at;
	struct where	from, to;	/* what it is about */
	bool		used;
};

struct listed {				/* a file of entries, and who names it */
	const char	*file;
	struct where	by;
};

struct reports;				/* messages.h */

struct parse {
	struct model		*m;
	struct grammar_sink	*sink;
	bool			 files;		/* other files may be named */
	uint32_t		 scope;		/* of the file that is read */
	struct where		 defined;	/* line 0: it defines nothing yet */
	bool			 used;		/* it has a tenant, or includes */
	bool			 no_root;	/* idmap_lacks_root() */
	const struct source	*source;
	const char		*dir[GRAMMAR_DIRS_MAX];	/* where files may be */
	size_t			 ndirs;
	struct lex		 lex;
	struct token		 token, before, earlier;	/* the last ones given out */
	struct limits		*limits;	/* whose settings are read */
	struct tenant		*tenant;	/* whose rules are read */
	struct rule		*rule;		/* which is read */
	struct dest		*dest;		/* the last that was read */
	size_t			 expanded;	/* entries of used macros */
	size_t			 read;		/* bytes of all files */
	size_t			 compared;	/* names, by review_names.c */
	bool			 resolvers_known;	/* by public.c */
	VEC(struct name)	 resolver_name;	/* public ones that are mentioned */
	const struct tenant	*lax_of;	/* by review_names.c: what was found last */
	struct services		 lax_for;
	const struct rule	*lax;
	bool			 versioned;	/* policy version was seen */
	bool			 shown;		/* this file's text may be told */
	bool			 audit_seen;
	uint32_t		 audit_set;
	VEC(struct where)	 search_at;	/* of the model's `search' */
	struct where		 keep_at, grace_at;	/* line 0: not written */
	bool			 resolver_seen;
	uint32_t		 resolver_set;
	VEC(struct include)	 include;	/* of this file */
	struct reports		*reports;
	VEC(const char *)	 opened;	/* files, in the order of reading */
	VEC(struct listed)	 listed;
	VEC(struct nowarn)	 nowarn, entry_nowarn;
	size_t			 nowarn_closed;	/* they know what they are about */
	bool			 nowarn_sorted;
};

/* lex.c */
void	lex_open(struct lex *, const char *file, const char *text, size_t len,
	    int first);
void	lex_next(struct parse *, struct token *);
/* False, after a message: it is no text. */
bool	lex_readable(struct parse *);
/* This byte begins a character, and so a column; *more is 0 at the line's begin. */
bool	char_begins(uint32_t *more, unsigned char);
/* What is not a word of the grammar, in a file that may be no policy at all. */
bool	lex_hides(const struct parse *, const struct token *);
const char *lex_describe(struct parse *, const struct token *);

/* keywords.c */
int	keyword(const char *word);
bool	keyword_begins(const char *, size_t len, bool rule);
/* What begins a statement, or a rule, and is near to the word; or NULL. */
const char *keyword_meant(const char *word, bool rule);

/* known.c */
enum known { KNOWN_MACRO, KNOWN_TABLE, KNOWN_NAMES, KNOWN_LIMITS, KNOWN_SERVICE,
	KNOWN_TENANT };
const char *known_near(struct parse *, enum known, const char *word);
void	known_twice(struct parse *, const struct item *name, const char *what,
	    const struct where *first, const char *instead);

/* slip.c: what would have been right, where a syntax error is */
struct expected {
	size_t			 n;
	const int		*kind;		/* YYUNDEF: one of the others */
	const char *const	*name;
	const bool		*keyword;
	bool			 nowarn;	/* may stand, as it nearly always may */
};
void	slip_report(struct parse *, const struct expected *);

/*
 * report.c: messages. A lint is what is warned of, a note no more than worth knowing.
 * `owner': the rule that uses what stands at the place, or NULL; the same code at the
 * same place is one message, however many use it.
 */
void	report_error(struct parse *, const struct where *, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));
void	report_coded(struct parse *, const char *code, const struct where *,
	    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void	report_lint(struct parse *, const char *code, const struct where *at,
	    const struct where *owner, const char *fmt, ...)
	    __attribute__((format(printf, 5, 6)));
void	report_note(struct parse *, const char *code, const struct where *at,
	    const struct where *owner, const char *fmt, ...)
	    __attribute__((format(printf, 5, 6)));
/* "line 7", or "FILE:7" if that is another file than the message is about. */
#define PLACE_STRLEN	220
const char *place_print(const struct where *message, const struct where *,
	    char buf[PLACE_STRLEN]);
bool	report_full(const struct parse *);
/* How many were reported; of those from one count to another, one more rule's use. */
size_t	report_count(const struct parse *);
void	report_use(struct parse *, size_t from, size_t to, const struct where *owner);

/* messages.c: gives out what was reported, once, at the end */
void	messages_give(struct parse *);

/* nowarn.c; `entry': where that begins, or NULL for what build_nowarn_end() ends */
void	build_nowarn(struct parse *, const struct where *,
	    const struct items *codes, const struct item *reason,
	    const struct where *entry);
void	build_nowarn_end(struct parse *, const struct where *from);
void	review_nowarn(struct parse *);

/* value.c: one word to one value; 0, or -1 after a message */
bool	value_number(const char *, const char **end, uint64_t *);
int	value_count(struct parse *, const struct item *, uint32_t max,
	    uint32_t *);
int	value_rate(struct parse *, const struct item *, uint32_t *);
int	value_duration(struct parse *, const struct item *, uint32_t *);
int	value_volume(struct parse *, const struct item *, uint32_t *);
int	value_size(struct parse *, const struct item *, uint64_t min, uint64_t *);
int	value_ports(struct parse *, const struct item *, uint32_t proto,
	    struct blob_range *);
int	value_net(struct parse *, const struct item *, struct prefix *);
int	value_endpoint(struct parse *, const struct item *, struct endpoint *);
int	value_address(struct parse *, const struct item *, struct endpoint *);
void	value_quoted(struct parse *, const struct item *);
bool	value_is_net(const char *);
bool	value_name(struct parse *, const struct item *, const char *what);

/* pattern.c: host names; 0, or -1 after a message */
int	pattern_name(struct parse *, const struct item *, struct name *);
/* As people write it: code points, ending in 0; or -1. */
int	pattern_unicode(const struct name *, uint32_t out[NAME_TEXT_MAX + 1]);
int	pattern_parse(struct parse *, const struct item *, struct blob_name *);

/* links.c: the fd of a file whose name is a link, or -1 after a message */
int	links_open(struct parse *, const struct where *, const char *path);

/* file.c: files, opened once and looked at before they are read */
char	*file_read(struct parse *, const struct where *, struct source *,
	    size_t *len);
const char *file_resolve(struct parse *, const char *path);
const char *file_directory(struct parse *, const char *path);
/* The sorted files that a pattern names; the vector is the arena's. */
size_t	file_glob(struct parse *, const struct include *, const char ***out);

/* grammar.c: the policy's own file names the directory, or the file is no other's */
bool	grammar_may_read(const struct parse *, const char *path);
/* listfile.c: the file of a table, or (nets NULL) of a set of names, defined at `at` */
void	list_read(struct parse *, const struct where *at,
	    const struct item *file, bool empty, struct nets *,
	    struct patterns *);

/* build.c: the grammar's actions */
void	build_macro(struct parse *, const struct item *, struct items *);
struct items *build_items(struct parse *, struct items *, const struct item *);
struct dest *build_dest(struct parse *, uint32_t kind, const struct where *,
	    const struct items *, const struct items *except);
void	build_ports(struct parse *, struct services *, uint32_t proto,
	    const struct where *, const struct items *);
/* `empty': its file may hold nothing */
void	build_table(struct parse *, const struct item *, const struct items *,
	    const struct item *file, bool empty);
void	build_nameset(struct parse *, const struct item *, const struct items *,
	    const struct item *file, bool empty);
void	build_limits(struct parse *, const struct item *);
void	build_setting(struct parse *, unsigned int which, const struct item *);
void	build_audit(struct parse *, const struct where *);
void	build_audit_once(struct parse *, unsigned int which,
	    const struct where *);
void	build_rotate(struct parse *, const struct item *);
void	build_live(struct parse *, const struct item *);
void	build_keep(struct parse *, const struct item *);
void	build_service(struct parse *, const struct item *,
	    const struct item *addr, uint32_t proto);
void	build_except(struct parse *, const struct except *,
	    const struct where *own, const struct where *ticket);
void	build_tenant(struct parse *, const struct item *, uint32_t mode);
void	build_tenant_limits(struct parse *, const struct item *);
void	build_label(struct parse *, struct rule *, const struct item *);
void	build_mode(struct parse *, struct rule *, const struct where *,
	    uint32_t mode);
void	build_rule(struct parse *, const struct where *, bool deny);
void	build_services(struct parse *, struct services *,
	    const struct services *);
void	build_include(struct parse *, const struct item *);
void	build_version(struct parse *, const struct item *);

/* build_names.c: those about names */
void	build_ascii(struct parse *, const struct item *);
void	build_patterns(struct parse *, struct patterns *, const struct items *,
	    bool sets);
void	build_verify(struct parse *, struct rule *, const struct where *,
	    const struct item *);
void	build_ech(struct parse *, struct rule *, const struct where *, bool);
void	build_host(struct parse *, const struct item *, const struct items *);
void	build_resolver(struct parse *, const struct where *);
void	build_upstream(struct parse *, const struct where *,
	    const struct items *, const struct item *name);
void	build_dnssec(struct parse *, const struct where *, const struct item *);
void	build_pin(struct parse *, const struct items *);
void	build_search(struct parse *, const struct item *);
void	build_resolver_end(struct parse *, const struct where *);

/* attributes.c: ticket, note and until */
void	build_ticket(struct parse *, struct rule *, const struct item *);
void	build_note(struct parse *, struct rule *, const struct item *);
void	build_until(struct parse *, struct rule *, const struct where *,
	    const struct item *);
void	review_until(struct parse *, const struct rule *);

enum setting { SET_CONNS, SET_PENDING, SET_PENDING_DST, SET_UNPROVEN,
	SET_UNPROVEN_DST, SET_RATE, SET_BURST, SET_IDLE, SET_HALF_CLOSED,
	SET_LIFETIME, SET_DNS, SET_DNS_BURST, SET_NAMES,
	SET_NAMES_PER, SET_MEMORY, SET_AUDIT, SET_AUDIT_BURST };
enum audit_setting { AUDIT_DURABLE, AUDIT_ROTATE, AUDIT_FAILURE, AUDIT_KEEP,
	AUDIT_LIVE };

/*
 * settle.c: names become indexes, sets are sorted, defaults written out. False
 * if a name leads nowhere.
 */
bool	settle(struct parse *);

/* review.c: what only the whole policy can tell */
void	review(struct parse *);
/* Some exception lifts the floor of this address, for some tenant and port. */
bool	review_excepted(const struct model *, const struct endpoint *);
/* review_names.c: the same of names */
void	review_name_rule(struct parse *, uint32_t tenant, const struct rule *);
void	review_hosts(struct parse *);
/* public.c: an allow of a resolver that anyone may ask */
void	review_public_resolvers(struct parse *, const struct rule *);

/* lint_*.c: what is good and probably not meant */
void	lint_name(struct parse *, const struct rule *, const struct pattern *);
void	lint_ports(struct parse *, const struct rule *);
void	lint_any(struct parse *, const struct tenant *);
void	lint_host_port(struct parse *);
void	lint_limits(struct parse *);
void	lint_search(struct parse *);
void	lint_tenants(struct parse *);
/* settle.c drops `count' entries of one list: one of them, and what has it already */
void	lint_dropped_net(struct parse *, const struct net *, const struct net *by,
	    size_t count);
void	lint_dropped_name(struct parse *, const struct pattern *,
	    const struct pattern *by, size_t count);

/* suffix.c: who may give out names below one */
enum suffix { SUFFIX_NONE, SUFFIX_ICANN, SUFFIX_PRIVATE, SUFFIX_UNKNOWN };
enum suffix suffix_find(const struct pattern *);

#endif
