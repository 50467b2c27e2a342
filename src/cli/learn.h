/*
 * What commands were seen to need: read from logs by learn_log.c and learn_record.c,
 * weighed by learn_evidence.c and learn_claims.c, written as a policy by
 * learn_rules.c and learn_text.c. `run --learn' (learn.c) and `sallyport learn'
 * (learn_cmd.c, learn_merge.c) are two doors to it.
 */
#ifndef SALLYPORT_LEARN_H
#define SALLYPORT_LEARN_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "addr.h"
#include "cli.h"
#include "name.h"
#include "reason.h"
#include "record.h"
#include "wire.h"

/* ---- learn_list.c ------------------------------------------------------------- */

#define LIST_NONE	SIZE_MAX

struct list {			/* of items of one size; no two have the same key */
	unsigned char	*item;
	size_t		 n, room, size;
	size_t		 key;		/* bytes of it, from the item's first */
	uint32_t	*slot;
	size_t		 nslot;
};
/* Where an item with this key is, put there if need be. Ends us without memory. */
size_t	 list_put(struct list *, const void *item);
size_t	 list_find(const struct list *, const void *key);	/* or LIST_NONE */
void	*list_at(const struct list *, size_t i);
void	 list_empty(struct list *);	/* its sizes stay */
void	 list_free(struct list *);
/* There is no list_find() after it. */
void	 list_sort(struct list *, int (*)(const void *, const void *));

#define LEARN_TENANT	"learn"		/* of learn.conf */

/* ---- what is learnt --------------------------------------------------------------- */

/* No padding in the keys below: they are compared as bytes. */
#define NAME_SIZE	sizeof(((struct name *)0)->text)

enum target { TARGET_NAME, TARGET_NET };
enum { BY_SNI, BY_HOST, BY_NOTHING, BY_NO_RULE, BY_MAX };	/* NO_RULE: none may be written */

struct want {			/* one port of a rule */
	uint32_t	kind;		/* enum target */
	uint32_t	proto;		/* enum proto */
	uint32_t	port;		/* 0: echo */
	uint32_t	verify;		/* BY_SNI .. BY_NO_RULE */
	char		to[NAME_SIZE];
	char		zero[2];
	uint32_t	ech;		/* no key: it was offered */
	char		addr[ENDPOINT_STRLEN];	/* no key: one that it has */
};
#define WANT_KEY	(16 + NAME_SIZE + 2)
static_assert(offsetof(struct want, ech) == WANT_KEY, "want");

struct word { char text[NAME_SIZE]; };		/* a name, an address or a guest */

struct spot {			/* where flows went to */
	uint32_t	proto, port;
	uint32_t	addr;		/* index in addrs */
};

/* What flows to a spot had to do with a name; learn_evidence.c says what that means. */
enum how { HOW_SNI, HOW_HOST, HOW_ASKED, HOW_DOUBT, HOW_BARE, HOW_HAD,
	HOW_NO_PIN };
enum { SAW_MOVED = 1, SAW_ECH = 2, SAW_HELLO = 4 };
struct claim {
	uint32_t	spot, name, how;	/* name: index in names; BARE: 0 */
	uint32_t	saw;			/* no key */
};

struct floored {		/* what no rule allows by itself */
	uint32_t	proto, port;	/* proto NONE: a name's address */
	uint32_t	reason;
	char		addr[ENDPOINT_STRLEN];
	char		name[NAME_SIZE];
	uint64_t	n;		/* no key */
};
#define FLOORED_KEY	(12 + ENDPOINT_STRLEN + NAME_SIZE)

struct learned {
	/* distinct things: as many as there were, however many records speak of them */
	struct list	names, addrs, guests;		/* word */
	struct list	spots, claims, wants, floored;
	struct list	asked;		/* names that were resolved: index in names */
	struct list	shown;		/* (name, port) that a connection showed */
	struct list	tenants;	/* word: of all that is read */
	/* of the run that is read: learn_evidence.c */
	struct list	pairs, places, ports;
	struct live	*live;
	size_t		nlive, live_room;

	const char	*tenant;	/* whose records count; NULL: all of them */
	bool		last_only;	/* the last run of the log is meant, not all */
	uint64_t	limited[REASON_MAX];	/* attempts that came to nothing */
	uint64_t	blind;		/* deaths of the inspector */
	size_t		flows, starts;
	size_t		bad, old;	/* lines that are no records, or of format 1 */
	size_t		cut;		/* the last one of a file, in the middle */
};

/* learn_evidence.c: in the order of the log */
struct flow_fact {
	uint64_t	flow, when;	/* ns since boot */
	uint32_t	proto, port;
	uint32_t	how;		/* HOW_SNI, HOW_HOST, or HOW_ASKED: it showed no name */
	uint32_t	saw;
	bool		more;		/* it may be of names that are not listed */
	struct word	guest, addr;
	const struct word *name;	/* the one it showed; or those it may be of */
	size_t		nnames;
	const struct word *other;	/* that it showed, and was not looked up; or NULL */
};
void	evidence_init(struct learned *);
void	evidence_begin(struct learned *);	/* another run */
void	evidence_answer(struct learned *, const struct word *guest,
	    const struct word *name, const struct word *addr, uint64_t when);
void	evidence_dial(struct learned *, uint64_t flow, uint64_t when);
void	evidence_flow(struct learned *, const struct flow_fact *);
void	evidence_close(struct learned *, uint64_t flow, bool moved);
void	evidence_free(struct learned *);
/* learn_claims.c: all is read; makes `wants' of it. */
void	claims_conclude(struct learned *);
/* Claims of one spot at a time: [*from, *to) of l->claims, which is sorted by then. */
bool	claims_next(const struct learned *, size_t *from, size_t *to);

/* learn_record.c */
void	record_line(struct learned *, const char *line, size_t len);

/* learn_log.c */
/* All of the log NAME in a directory. -1: it could not be read, which was said. */
int	learn_log(struct learned *, int dir, const char *name);
/* A log with its segments, a directory of them, or "-". -1 after saying why. */
int	learn_path(struct learned *, const char *path);
void	learn_free(struct learned *);
/* What became of attempts that came to nothing, by `limited`'s index. */
const char	*learn_fate(int reason);

/* learn_lines.c */
/* A comment whose head comes with its first line, if it has one. */
struct note {
	FILE		*f;
	const char	*head;
};

/* Lines, sorted: what is printed to f goes to a list first. */
struct lines {
	char	**of;
	size_t	  n, room;
};

void	lines_say(struct lines *, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
/* And frees them. */
void	lines_write(struct lines *, struct note *);
const char *learn_proto(uint32_t proto);

/* learn_floor.c */
/* On stderr, what the policy lacks. */
void	learn_say(const struct learned *);
/* In its comments. */
void	floor_notes(FILE *, const struct learned *, const char *tenant);

/* learn_rules.c */
/* In their order, and without a rule where `check' would refuse one: that is said. */
void	rules_arrange(struct learned *);
/* How many there are. */
size_t	rules_write(FILE *, const struct learned *);

/* learn_text.c */
/* The policy's text, of what is arranged. */
struct learn_head {
	const char	*by;		/* "run --learn" */
	char *const	*cmd;		/* NULL-ended: CMD, or the logs */
	const char	*tenant;
};
void	text_policy(FILE *, struct learned *, const struct learn_head *);
/* The comments that go with the rules, each line behind `#'. */
void	text_notes(FILE *, struct learned *, const char *tenant);
/* In one line: what would end the comment, or speak to a terminal, is '?'. */
void	text_words(FILE *, char *const *words);

/* learn_out.c */
/* To a file, or if path is NULL to stdout. -1 after saying why. */
int	learn_out(const char *path, bool force, const char *text, size_t len);

/* learn_merge.c */
/* The text of a policy with what it does not allow yet. -1 after saying why. */
/* `to': where it is going to be written, NULL for stdout; no other file is lost there. */
int	merge_policy(struct learned *, const char *path, const char *to,
	    const struct learn_head *, char **out, size_t *len);

#endif
