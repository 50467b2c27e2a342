/*
 * What a run of CMD was seen to need: read from the log by learn.c, thought about
 * by observed.c, written as a policy by learned.c.
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

struct list {			/* of items of one size; no two are equal */
	unsigned char	*item;
	size_t		 n, room, size;
};
/* The item that is equal byte by byte, made if need be. Ends us without memory. */
void	*list_add(struct list *, const void *item);

/* No padding below: items are compared as bytes. */
#define NAME_SIZE	sizeof(((struct name *)0)->text)

enum target { TARGET_NAME, TARGET_NET };

struct want {			/* one line of a rule before it is merged */
	uint32_t	kind;		/* enum target */
	uint32_t	proto;		/* enum proto */
	uint32_t	verify;		/* index of a word of learned.c */
	uint32_t	port;		/* 0: echo */
	uint32_t	ech;		/* it was offered */
	char		to[NAME_SIZE];
	char		zero[2];
};
static_assert(sizeof(struct want) == 20 + NAME_SIZE + 2, "want");
enum { BY_SNI, BY_HOST, BY_NOTHING, BY_NO_RULE };	/* the last: none may be written */

/* Flows that were alike, by their records. */
struct observed {
	uint32_t	proto, port;
	uint32_t	verify;		/* what of its first flight showed `name` */
	uint32_t	ech;
	uint32_t	moved;		/* bytes did */
	uint32_t	too_many;	/* names: those of its address are meant */
	char		addr[ENDPOINT_STRLEN];
	char		name[NAME_SIZE];	/* the one it was for; "": no or several */
	char		names[RECORD_LIST_MAX];	/* these, with commas */
	char		zero[2];
};
static_assert(sizeof(struct observed) == 24 + ENDPOINT_STRLEN + NAME_SIZE +
    RECORD_LIST_MAX + 2, "observed");

struct bound {			/* an address that a name was resolved to */
	char		addr[ENDPOINT_STRLEN];
	char		name[NAME_SIZE];
};

struct floored {		/* what no rule allows by itself */
	char		what[NAME_SIZE + 64];
};

struct learned {
	struct list	wants, bounds, floored, seen, unclear;	/* the last two: observed */
	uint32_t	*of;		/* by a flow's number: 1 + its place in `seen` */
	size_t		nof;
	uint64_t	limited[REASON_MAX];	/* attempts that came to nothing */
	uint64_t	blind;		/* deaths of the inspector */
	size_t		flows;
	size_t		bad;		/* lines of the log that are no records */
};

/* observed.c */
void	observed_open(struct learned *, uint64_t flow, const struct observed *);
void	observed_moved(struct learned *, uint64_t flow);
/* All is read: makes `wants` of it, of which no two differ in verify or ech alone. */
void	observed_conclude(struct learned *);

/* learn.c */
/* All of the log NAME in a directory. -1: it could not be read, which was said. */
int	learn_log(struct learned *, int dir, const char *name);
void	learn_free(struct learned *);
/* What became of attempts that came to nothing, by `limited`'s index. */
const char	*learn_fate(int reason);

/* In their order, and without a rule where `check' would refuse one: that is said. */
void	learned_arrange(struct learned *);
/* The policy's text, of what is arranged. */
void	learned_text(FILE *, struct learned *, char *const *cmd);
/*
 * Makes FILE, which must not be there yet. -1 after saying what was wrong, and,
 * so that CMD has not run in vain, what it would have held.
 */
int	learned_write(struct learned *, const struct run *);

#endif
