/*
 * The resolver's rooms within: the questions of main.c, and the engine that
 * finds their answers. There are two engines, libunbound and a stub of our own;
 * both leave the judging of an answer's packet to message.c.
 */
#ifndef SALLYPORT_RESOLVER_H
#define SALLYPORT_RESOLVER_H

#include <sys/queue.h>

#include "resolve.h"

struct event_base;

/* One ASK that has no ANSWER yet. */
struct question {
	TAILQ_ENTRY(question)	entry;
	uint64_t		id;
	uint32_t		qtype;
	int64_t			deadline;	/* ms, CLOCK_MONOTONIC */
	struct name		name;
	void			*work;		/* the engine's */
};
TAILQ_HEAD(questions, question);

/* What a question is told when there is nothing to tell. */
void	answer_failed(struct resolver_answer *);
/* The engine's last word on it; frees the question. */
void	question_done(struct question *, struct resolver_answer *);

struct engine {
	const char	*name;
	/*
	 * All that needs files or lists of the host: the seal comes next. A
	 * configuration that cannot be served is fatal, with what to do.
	 */
	void	*(*open)(struct event_base *, const struct resolver_config *);
	/* Ends in question_done(), perhaps before it returns. */
	void	(*ask)(void *state, struct question *);
	/* The question is over; question_done() is not called for it any more. */
	void	(*drop)(void *state, struct question *);
};
extern const struct engine	stub_engine, unbound_engine;

/* clock.c: CLOCK_MONOTONIC */
int64_t	now_ms(void);

/* refused.c: of the upstream that a UDP socket is connected to. */
void	refused_by(int fd);		/* that was its error */
bool	refused_lately(int fd);		/* this, or another to the same */
void	refused_no_more(int fd);	/* something came from there */

/* with_unbound.c or with_stub.c: what this program was built with. */
const struct engine *engine_for(const struct resolver_config *);

/* The bundle of CA certificates that the keeper opened; /dev/null: none. */
#define FD_CA_BUNDLE	FD_OBJECT

/* Sockets towards upstreams at one time, and what else needs a descriptor. */
#define NOFILE		2176u
#define NOFILE_OWN	128u
unsigned int sockets_max(void);

void	resolver_seal_self(void);

#endif
