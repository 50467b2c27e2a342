/*
 * Whom to ask, and whom next: upstreams need not know the same names (a company's
 * server and a public one), so which of them answers must not be a matter of chance.
 *
 * As glibc does it: in their order, always from the first. What says "no such name"
 * has answered; SERVFAIL, REFUSED and all that is no answer, an error of the network
 * and silence lead to the next one. `rotate' begins anywhere.
 *
 * Other than glibc, one that is known to be gone does not cost every question its
 * time: it is asked last, until something comes from there again. And one that is
 * there and slow about a name is given longer: half of QUIET_MS after a question it
 * is asked whether it is there (alive.c).
 *
 * Trusts: the engine, to end each attempt once.
 * Must not: ask an upstream twice about one question; the engine repeats packets.
 */
#include "config.h"	/* _GNU_SOURCE */

#include <sys/random.h>

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "resolver.h"

/*
 * How long one is waited for before the next is asked: who is not there, who is. A
 * guest's own resolver gives up after 5 s.
 */
#define QUIET_MS	2000
#define ALIVE_MS	4000
/* Together for those who are not there. */
#define QUIET_ALL_MS	8000

struct order {
	const struct engine	*engine;
	const struct resolver_config *conf;
	struct event_base	*base;
	void			*state[UPSTREAM_MAX];
	int			 quiet, alive;		/* ms */
	TAILQ_HEAD(, question)	 open;
};
static struct order	o;

static void	on_patience(int, short, void *);

static int
least(int a, int b)
{
	return a < b ? a : b;
}

void
order_open(struct event_base *base, const struct engine *engine,
    const struct resolver_config *c)
{
	unsigned int	i;
	int		given = (int)c->patience * 1000;

	TAILQ_INIT(&o.open);
	o.base = base;
	o.engine = engine;
	o.conf = c;
	o.alive = given == 0 ? ALIVE_MS : least(ALIVE_MS, given);
	o.quiet = least(least(QUIET_MS, o.alive),
	    QUIET_ALL_MS / (int)c->nupstreams);
	for (i = 0; i < c->nupstreams; i++)
		if ((o.state[i] = engine->open(base, c, i)) == NULL)
			fatal("%s", engine->name);
}

/* ---- one attempt ----------------------------------------------------------------- */

static struct attempt *
attempt_new(struct question *q, unsigned int at)
{
	struct attempt	*t = calloc(1, sizeof(*t));

	if (t == NULL)
		fatal("a question");
	t->at = at;
	t->began_ns = now_ns();
	t->began = t->began_ns / 1000000;
	t->qtype = q->qtype;
	t->name = q->name;
	return t;
}

/* Nobody waits for what comes of it, but that it came is news. */
static void
sound(struct question *q, unsigned int at)
{
	if (!alive_probe(at))
		o.engine->ask(o.state[at], attempt_new(q, at));
}

static void
set_patience(struct question *q, int64_t ms)
{
	struct timeval	tv = { .tv_sec = ms / 1000,
			    .tv_usec = ms % 1000 * 1000 };

	if (event_add(q->patience, &tv) == -1)
		fatalx("no memory for a timer");
}

/* ---- which one -------------------------------------------------------------------- */

static bool
gone(unsigned int at)
{
	return alive_down(at) || alive_refuses(at);
}

/* The first that has not been asked; those that are gone are the last. -1: none. */
static int
choose(const struct question *q)
{
	unsigned int	i, at, n = o.conf->nupstreams;
	int		last = -1;

	for (i = 0; i < n; i++) {
		at = (q->from + i) % n;
		if ((q->tried >> at & 1) != 0)
			continue;
		if (!gone(at))
			return (int)at;
		if (last == -1)
			last = (int)at;
	}
	return last;
}

/* Nobody gave an answer; what was given instead is told with it. */
void
order_failed(const struct question *q, struct resolver_answer *a)
{
	answer_failed(a);
	if (q->bogus)
		a->status = RESOLVE_BOGUS;
	a->upstream = q->heard.upstream;
	a->rcode = q->heard.rcode;
	a->rtt = q->heard.rtt;
}

static void
finish(struct question *q, struct resolver_answer *a)
{
	order_drop(q);
	question_done(q, a);
}

/* Asks the next; or, if all were asked and none is waited for, that is the end. */
static void
step(struct question *q)
{
	struct resolver_answer	 a;
	struct attempt		*t;
	int			 at = choose(q);

	if (at == -1) {
		if (q->patience != NULL)
			event_del(q->patience);
		if (!TAILQ_EMPTY(&q->attempts))
			return;
		order_failed(q, &a);
		finish(q, &a);
		return;
	}
	q->tried |= 1u << at;
	t = attempt_new(q, (unsigned int)at);
	t->question = q;
	TAILQ_INSERT_TAIL(&q->attempts, t, entry);
	if (choose(q) != -1)
		set_patience(q, o.quiet / 2);
	else if (q->patience != NULL)
		event_del(q->patience);
	o.engine->ask(o.state[at], t);	/* and q may be gone */
}

static void
on_patience(int fd, short what, void *arg)
{
	struct question	*q = arg;
	struct attempt	*t = TAILQ_LAST(&q->attempts, attempts);
	int64_t		 waited;
	bool		 alive;

	(void)fd;
	(void)what;
	if (t == NULL || choose(q) == -1)
		return;
	if (alive_refuses(t->at)) {
		step(q);
		return;
	}
	waited = now_ms() - t->began;
	alive = alive_since(t->at, t->began);
	if (waited < o.quiet) {
		if (!alive)
			(void)alive_probe(t->at);
		set_patience(q, o.quiet - waited);
	} else if (alive && waited < o.alive)
		set_patience(q, o.alive - waited);
	else {
		if (!alive)
			alive_silent(t->at);
		step(q);
	}
}

/* ---- from outside ----------------------------------------------------------------- */

static unsigned int
chance(void)
{
	uint32_t	n;

	if (getrandom(&n, sizeof(n), 0) != sizeof(n))
		fatal("getrandom");
	return n % o.conf->nupstreams;
}

void
order_ask(struct question *q)
{
	unsigned int	i;

	TAILQ_INIT(&q->attempts);
	TAILQ_INSERT_TAIL(&o.open, q, ordered);
	q->from = o.conf->rotate ? chance() : 0;
	if (o.conf->nupstreams > 1 && (q->patience = event_new(o.base, -1, 0,
	    on_patience, q)) == NULL)
		fatal("a question");
	for (i = 0; i < o.conf->nupstreams; i++)
		if (alive_due(i))
			sound(q, i);
	step(q);
}

/* From within an engine: nothing that it has open may end here. */
void
order_refused(unsigned int at)
{
	struct question	*q;
	struct attempt	*t;

	TAILQ_FOREACH(q, &o.open, ordered) {
		t = TAILQ_LAST(&q->attempts, attempts);
		if (t != NULL && t->at == at && q->patience != NULL)
			set_patience(q, 0);
	}
}

void
order_drop(struct question *q)
{
	struct attempt	*t;

	TAILQ_REMOVE(&o.open, q, ordered);
	while ((t = TAILQ_FIRST(&q->attempts)) != NULL) {
		TAILQ_REMOVE(&q->attempts, t, entry);
		o.engine->drop(o.state[t->at], t);
		free(t);
	}
	if (q->patience != NULL)
		event_free(q->patience);
	q->patience = NULL;
}

static bool
usable(const struct resolver_answer *a)
{
	return a->status != RESOLVE_FAILED && a->status != RESOLVE_BOGUS;
}

/* Something came from there; silence and what is no DNS are nobody's word. */
static void
heard(const struct attempt *t, const struct resolver_answer *a,
    struct heard *h)
{
	if (a->rcode == 0 && a->status != RESOLVE_BOGUS)
		return;
	h->upstream = t->at + 1;
	h->rcode = a->rcode;
	h->rtt = (uint64_t)(now_ns() - t->began_ns);
}

void
attempt_done(struct attempt *t, struct resolver_answer *a)
{
	struct question	*q = t->question;
	bool		 newest;

	if (q == NULL) {
		free(t);
		return;
	}
	newest = TAILQ_NEXT(t, entry) == NULL;
	TAILQ_REMOVE(&q->attempts, t, entry);
	heard(t, a, &q->heard);
	free(t);
	if (usable(a)) {
		a->upstream = q->heard.upstream;
		a->rtt = q->heard.rtt;
		finish(q, a);
		return;
	}
	q->bogus = q->bogus || a->status == RESOLVE_BOGUS;
	/* an older one that gives up leaves the wait for the newest as it is */
	if (newest || TAILQ_EMPTY(&q->attempts))
		step(q);
}
