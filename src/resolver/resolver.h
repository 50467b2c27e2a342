/*
 * The resolver's rooms within: the questions of main.c, the order in which
 * upstreams are asked (order.c), and the engine that asks one of them. There are
 * two engines, libunbound and a stub of our own; both leave the judging of an
 * answer's packet to message.c.
 */
#ifndef SALLYPORT_RESOLVER_H
#define SALLYPORT_RESOLVER_H

#include <sys/queue.h>

#include "resolve.h"

struct event;
struct event_base;
struct attempt;
TAILQ_HEAD(attempts, attempt);

/* Who said what, for the log; as in struct resolver_answer. */
struct heard {
	uint32_t	upstream, rcode;
	uint64_t	rtt;
};

/* One ASK that has no ANSWER yet. */
struct question {
	TAILQ_ENTRY(question)	entry;
	uint64_t		id;
	uint32_t		qtype;
	int64_t			deadline;	/* ms, CLOCK_MONOTONIC */
	struct name		name;
	/* order.c's */
	TAILQ_ENTRY(question)	ordered;
	struct attempts		attempts;	/* no answer yet, oldest first */
	uint32_t		tried;		/* a bit for each upstream */
	unsigned int		from;		/* who would be asked first */
	bool			bogus;		/* one of them gave what is forged */
	struct heard		heard;		/* from the last that was of no use */
	struct event		*patience;
};
TAILQ_HEAD(questions, question);

/* A question at one upstream. */
struct attempt {
	TAILQ_ENTRY(attempt)	entry;
	struct question		*question;	/* NULL: nobody waits for it */
	unsigned int		at;		/* the upstream's number */
	int64_t			began;		/* ms */
	int64_t			began_ns;
	uint32_t		qtype;
	struct name		name;
	void			*work;		/* the engine's */
};

/* main.c: the last word on a question; frees it. */
void	question_done(struct question *, struct resolver_answer *);
/* What a question is told when there is nothing to tell. */
void	answer_failed(struct resolver_answer *);

struct engine {
	const char	*name;
	/*
	 * For the upstream of that number. All that needs files or lists of the
	 * host: the seal comes next. A configuration that cannot be served is fatal,
	 * with what to do.
	 */
	void	*(*open)(struct event_base *, const struct resolver_config *,
		    unsigned int at);
	/* Ends in attempt_done(), perhaps before it returns. */
	void	(*ask)(void *state, struct attempt *);
	/* It is over; attempt_done() is not called for it any more. */
	void	(*drop)(void *state, struct attempt *);
};
extern const struct engine	stub_engine, unbound_engine;

/* clock.c: CLOCK_MONOTONIC */
int64_t	now_ms(void);
int64_t	now_ns(void);

/* order.c: whom to ask next */
void	order_open(struct event_base *, const struct engine *,
	    const struct resolver_config *);
/* Ends in question_done(), perhaps before it returns. */
void	order_ask(struct question *);
/* Its time is over; what it is told then. */
void	order_drop(struct question *);
void	order_failed(const struct question *, struct resolver_answer *);
/* An engine's last word on an attempt; frees it. */
void	attempt_done(struct attempt *, struct resolver_answer *);
/* That upstream refuses now: who waits for it is to ask elsewhere, too. */
void	order_refused(unsigned int at);

/* alive.c: what is known of each upstream, by its number */
void	alive_open(struct event_base *, const struct resolver_config *);
void	alive_heard(unsigned int at);	/* something came from there */
bool	alive_since(unsigned int at, int64_t when);
void	alive_refused(unsigned int at);	/* ICMP: nobody listens */
bool	alive_refuses(unsigned int at);
void	alive_silent(unsigned int at);	/* it was waited for in vain */
bool	alive_down(unsigned int at);
/* Asks whether anybody is there. False: it cannot be asked like that. */
bool	alive_probe(unsigned int at);
/* True once in a while: one that is down should be tried. */
bool	alive_due(unsigned int at);

/* socket.c: non-blocking, close-on-exec, connected (or connecting); -1. */
int	socket_udp(const struct resolver_config *, unsigned int at);
int	socket_tcp(const struct resolver_config *, unsigned int at);

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
