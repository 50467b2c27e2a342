/*
 * The resolver and the inspector, as far as they are alike: a process that the
 * keeper starts, a channel, a HELLO, a death, another start. What they answer
 * is theirs.
 */
#ifndef SALLYPORT_BROKER_CHILD_H
#define SALLYPORT_BROKER_CHILD_H

#include "chan.h"
#include "keeper.h"
#include "wire.h"

struct broker;
struct child;

enum child_state {		/* masks of the rules of both */
	CHILD_NONE = 1 << 0,		/* not started, or dead */
	CHILD_GREETING = 1 << 1,
	CHILD_UP = 1 << 2
};

struct child_ops {
	const struct wire_rule *rules;	/* their room is the struct child */
	size_t		nrules;
	void	(*started)(struct child *);	/* it may be spoken to; may be NULL */
	void	(*writable)(struct child *);	/* it greeted, or there is room */
	void	(*gone)(struct child *);	/* what it owes will not come */
};

struct child {
	struct broker	*broker;
	enum role	role;
	const struct child_ops *ops;
	struct chan	*chan;
	enum child_state state;
	bool		wanted;
	bool		there;		/* the keeper was asked, and has not lost it yet */
	bool		renewing;	/* we ended it, and it is not to blame */
	bool		begun;		/* one has greeted, or failed to */
	bool		greeted;	/* this one has */
	bool		failing;	/* the last one did not; that was said */
	const char	*fault;		/* why we ended it */
	uint64_t	hello_due;
};

void	child_want(struct child *, struct broker *, enum role,
	    const struct child_ops *);
/*
 * What it was told counts no more: it ends, and another is told anew, or is not
 * wanted at all for now. What waits for it is kept.
 */
void	child_renew(struct child *, bool wanted);
void	child_started(struct child *, int fd);
void	child_died(struct child *, const struct keeper_died *);
/* Ends it for what it did; the next one is the keeper's to time. */
void	child_fault(struct child *, const char *why);
/* It is there, or will be in a moment: what is asked now may wait. */
bool	child_expected(const struct child *);
void	child_tick(struct child *, uint64_t mono);
void	child_free(struct child *);

/* A handler for HELLO, and a handler's refusal in words. */
int	child_hello(void *child, const void *msg, int fd);
int	child_refuse(struct child *, const char *why);

#endif
