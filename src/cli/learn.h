/*
 * What a run of CMD was seen to need: read from the log by learn.c, written as a
 * policy by learned.c.
 */
#ifndef SALLYPORT_LEARN_H
#define SALLYPORT_LEARN_H

#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "cli.h"
#include "name.h"
#include "reason.h"
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
	char		to[NAME_SIZE];
	char		zero[2];
};
static_assert(sizeof(struct want) == 16 + NAME_SIZE + 2, "want");
enum { BY_SNI, BY_HOST, BY_NOTHING };

struct bound {			/* an address that a name was resolved to */
	char		addr[ENDPOINT_STRLEN];
	char		name[NAME_SIZE];
};

struct floored {		/* what no rule allows by itself */
	char		what[NAME_SIZE + 64];
};

struct learned {
	struct list	wants, bounds, floored;
	uint64_t	limited[REASON_MAX];	/* attempts that a limit refused */
	size_t		flows;
	size_t		bad;		/* lines of the log that are no records */
};

/*
 * Makes FILE, which must not be there yet. -1 after saying what was wrong, and,
 * so that CMD has not run in vain, what it would have held.
 */
int	learned_write(struct learned *, const struct run *);

#endif
