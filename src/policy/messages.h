/*
 * Between report.c, messages.c and nowarn.c: what is kept of a reading's messages.
 */
#ifndef SALLYPORT_MESSAGES_H
#define SALLYPORT_MESSAGES_H

#include "read.h"

/* Beyond that warnings are counted, and no more can be shown. */
#define MESSAGES_MAX	(1u << 16)

struct message {
	enum grammar_tier tier;
	const char	*code;		/* "" for most errors */
	struct where	at;
	const char	*text;		/* escaped */
	bool		shared;		/* by the rules that use what is here */
	uint32_t	uses;		/* rules whose line does not acknowledge it */
	uint32_t	forgiven;	/* those whose line does */
	struct where	owner, first;	/* the last of all, the first of uses */
	const char	*reason;
	size_t		order;		/* messages.c: of its file */
};

struct reports {
	VEC(struct message) message;
	uint32_t	*slot;		/* 0, or the number of a message, from 1 */
	size_t		 nslots;	/* a power of two */
	unsigned int	 unkept;	/* warnings that were counted only */
};

/* messages.c: which nowarns are used by what was reported at their place */
void	messages_judge(struct parse *);
/* nowarn.c: why the line, or the entry, at this place acknowledges it; or NULL. */
const char *nowarn_find(struct parse *, const char *code, const struct where *);

#endif
