/*
 * What a policy says, in memory: the parser builds it, review.c checks it,
 * compile.c and print.c read it. All of it lives in one arena and goes at once.
 */
#ifndef SALLYPORT_MODEL_H
#define SALLYPORT_MODEL_H

#include <sha2.h>

#include "law.h"

struct where {
	const char	*file;
	uint32_t	line, column;		/* from 1; 0 = the file as such */
};

/* A vector in the arena; push() grows it. */
#define VEC(type) struct { type *v; size_t n, cap; }

struct item {				/* an entry of a list, as written */
	const char	*text;
	struct where	at;
	bool		table;		/* <text> */
	bool		macro;		/* $text; only until it is expanded */
	bool		quoted;		/* "text": the form of names */
	const struct item *via;		/* the $macro that it stands in, where that is
					   used; NULL: as written here */
	uint32_t	index;		/* of the table or names, from settle.c */
};
struct items {
	VEC(struct item) list;
	struct where	last;			/* of the entry that was written last */
};

struct net {
	struct prefix	prefix;
	struct where	at;		/* the entry's own place, wherever it is used */
	const struct item *via;
};
struct nets {
	VEC(struct net)	net;
	VEC(struct item) table;
};

struct model_name {			/* each is kept once: see model_name() */
	uint32_t	hash;		/* name_hash() */
	uint32_t	id;		/* in the dictionary; compile.c's */
	uint16_t	len;
	char		text[];		/* with a NUL */
};

struct pattern {			/* a name, or all names below one */
	struct model_name *base;
	const struct item *via;
	struct where	at;		/* as a net's */
	uint32_t	wild;		/* enum name_wild */
};
struct patterns {
	VEC(struct pattern) list;
	VEC(struct item) set;		/* <names> */
};

struct dest {
	struct where	at;
	uint32_t	kind;		/* enum blob_kind */
	struct nets	in, out;	/* out: `except` */
	struct patterns	names, xnames;	/* KIND_NAME: the same */
	struct item	service;	/* KIND_SERVICE */
};

struct services {			/* port and icmp clauses */
	VEC(struct blob_range) range;
	bool		echo;
	bool		written;	/* there was a clause */
	struct where	at, echo_at;
};

struct rule {
	struct where	at;
	bool		deny;
	struct dest	dest;
	struct services	services;
	const char	*label;
	struct where	label_at;
	uint32_t	mode;		/* enum blob_mode */
	uint32_t	verify;		/* enum verify; see `verify_at` */
	bool		ech;		/* may be offered */
	struct where	verify_at, ech_at;	/* line 0: not written */
	const char	*ticket, *note;	/* or NULL */
	uint64_t	until;		/* s since 1970: it has ended; 0: no end */
	struct where	until_at;
};

/*
 * What an included file defines holds there and in the files that it includes: no
 * file can change what the tenants of another mean. Sets and limits have their names
 * for themselves in the whole policy, as its canonical text and its records have them;
 * macros, of which neither knows, in their own file and those around it.
 */
struct scope {
	uint32_t	parent;		/* of the policy's own file, 0: itself */
};

struct tenant {
	struct where	at;
	uint32_t	scope;
	const char	*name;
	uint32_t	mode;
	struct item	limits;		/* .text NULL: the defaults */
	VEC(struct rule) rule;
	VEC(uint32_t)	except;		/* those for it, from settle.c */
	VEC(uint32_t)	lax;		/* allows that ask for no proof: the same */
};

struct except {
	struct where	at;
	uint32_t	scope;
	struct dest	dest;
	struct services	services;
	struct item	tenant;
	const char	*ticket;
	bool		own;		/* own-addresses */
	bool		address;	/* one of its entries is one address */
	bool		used;
};

struct macro {
	struct where	at;
	uint32_t	scope;
	const char	*name;
	struct items	value;
	bool		used;
};
struct table {
	struct where	at;
	uint32_t	scope;
	const char	*name;
	struct nets	nets;		/* no tables in tables */
	VEC(uint32_t)	floored;	/* of its nets, those that touch the floor */
	bool		used;
	bool		empty;		/* allow-empty */
};
struct nameset {			/* names <x>: shares its names with tables */
	struct where	at;
	uint32_t	scope;
	const char	*name;
	struct patterns	patterns;	/* no sets in sets */
	bool		used, reviewed;
	size_t		from, to;	/* what is said of its entries: report_count() */
	bool		empty;
};
struct limits {
	struct where	at;
	uint32_t	scope;
	const char	*name;
	struct policy_limits l;
	uint32_t	seen;		/* which settings; parse time */
	bool		used;
};
struct service {
	struct where	at;
	const char	*name;
	struct endpoint	addr;
	uint32_t	proto;
	bool		used;
};

struct host {
	struct where	at;
	struct name	name;
	VEC(struct endpoint) addr;
};

/* What has names of its own, in model_find_...()'s order. */
enum model_kind { MODEL_TENANT, MODEL_TABLE, MODEL_NAMESET, MODEL_LIMITS,
	MODEL_SERVICE, MODEL_MACRO, MODEL_KINDS };

#define ROTATE_DEFAULT	(UINT64_C(256) << 20)

struct arena;
struct strtab;
struct model {
	struct arena	*arena;
	size_t		 memory;	/* that it has */
	struct strtab	*names;		/* of struct model_name */
	struct strtab	*index[MODEL_KINDS];
	struct policy_audit audit;
	struct policy_resolver resolver;
	SHA2_CTX	text;		/* of all that was read */
	VEC(const char *) read;		/* the files, in their order */
	VEC(struct name)    search;	/* told to guests, and no part of the law */
	VEC(struct host)    host;
	VEC(struct scope)   scope;
	VEC(struct macro)   macro;
	VEC(struct table)   table;
	VEC(struct nameset) nameset;
	VEC(struct limits)  limits;
	VEC(struct service) service;
	VEC(struct except)  except;
	VEC(struct tenant)  tenant;
};

/* model.c: memory; running out of it is fatal */
struct model *model_new(void);
/* The text of a file, or of none. */
void	model_read(struct model *, const char *name, const char *text, size_t len);
void	*model_alloc(struct model *, size_t len);	/* zeroed */
const char *model_string(struct model *, const char *, size_t len);
void	*model_grow(struct model *, const void *old, size_t n, size_t *cap,
	    size_t size);
#define push(m, vec, item) do {						\
	if ((vec).n == (vec).cap)					\
		(vec).v = model_grow((m), (vec).v, (vec).n,		\
		    &(vec).cap, sizeof(*(vec).v));			\
	(vec).v[(vec).n++] = (item);					\
} while (0)
int	model_find_tenant(const struct model *, const char *);
int	model_find_table(const struct model *, const char *);
int	model_find_nameset(const struct model *, const char *);
int	model_find_limits(const struct model *, const char *);
int	model_find_service(const struct model *, const char *);
int	model_find_macro(const struct model *, uint32_t scope, const char *);
/* What is defined there holds here. */
bool	model_sees(const struct model *, uint32_t here, uint32_t there);

/* attributes.c: `until', as a policy has it */
#define DATE_STRLEN	24
bool	date_parse(const char *, uint64_t *until);
const char *date_print(uint64_t until, char buf[DATE_STRLEN]);
/*
 * intern.c: strings to numbers, without a search. Keys are not copied; the first of
 * two equal ones stays. Found or added before: its value, else -1.
 */
struct strtab *strtab_new(void);
void	strtab_free(struct strtab *);
int	strtab_find(const struct strtab *, uint32_t scope, const char *key);
int	strtab_add(struct strtab *, uint32_t scope, const char *key,
	    uint32_t value);
size_t	strtab_added(const struct strtab *);	/* how often, doubles included */
/* The one of this text, which is made if there is none. */
struct model_name *model_name(struct model *, const struct name *);
struct model_name *model_name_find(const struct model *, const char *,
	    size_t len);	/* or NULL */
void	pattern_spell(const struct pattern *, struct blob_name *);
/* "*.example.com", in print.c's form and as messages show it. */
#define PATTERN_STRLEN	(NAME_TEXT_MAX + 4)
const char *pattern_text(const struct pattern *, char buf[PATTERN_STRLEN]);
int	pattern_compare(const struct pattern *, const struct pattern *);
bool	pattern_matches(const struct pattern *, const struct name *);

/*
 * which.c: the entry that makes a destination match, of those written in the rule
 * first, then of its tables and sets. False: none does; `except' is not looked at.
 */
struct entry {
	const struct net *net;		/* one of the two: .at is its own place, wherever
					   that is, .via the $macro that it came by */
	const struct pattern *pattern;
	const char	*set;		/* <x> that has it, or NULL */
};
bool	model_which_net(const struct model *, const struct nets *,
	    const struct endpoint *, struct entry *);
bool	model_which_name(const struct model *, const struct patterns *,
	    const struct name *, struct entry *);
/* Of this list alone, or NULL. */
const struct net *model_find_net(const struct nets *,
	    const struct endpoint *);
const struct pattern *model_find_pattern(const struct model *,
	    const struct patterns *, const struct name *);
/* Of all that this one stands for, some entry stands for all of it. */
bool	model_covers(const struct model *, const struct patterns *,
	    const struct pattern *);
/* It or a name above it is written anywhere. */
bool	model_mentions(const struct model *, const struct name *);
/* Some entry does: of a rule by its names and sets. */
bool	model_has_name(const struct model *, const struct patterns *,
	    const struct name *);

/* print.c: text that grows */
struct text {
	char		*buf;
	size_t		 len, cap;
};
void	text_add(struct text *, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
/* One rule without its label: what its id is made of. */
void	print_rule(struct text *, const struct rule *);
/* For people: `most' entries of each list, and how many more there are. */
void	print_rule_short(struct text *, const struct rule *, size_t most);
void	print_except(struct text *, const struct except *, size_t most);
void	print_host(struct text *, const struct host *, size_t most);
void	print_limits(struct text *, const struct limits *);
void	print_upstream(struct text *, const struct policy_upstream *);

#endif
