/*
 * ANSWERs on their way to a frame that may be slow to read. They are as few as
 * the questions that it has open.
 *
 * Trusts: its caller for the answer. Must not: change the order, or drop one.
 */
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "log.h"

static bool
tell(struct guest *g, const struct reply *r)
{
	struct wire_answer	m;

	wire_begin(&m, sizeof(m), WIRE_ANSWER, r->id);
	m.code = r->code;
	m.ttl = r->ttl;
	m.n = r->n;
	memcpy(m.addr, r->addr, r->n * sizeof(m.addr[0]));
	return answer_tell(g, &m, sizeof(m), -1);
}

static void
pop(struct guest *g)
{
	struct reply	*r = STAILQ_FIRST(&g->replies);

	STAILQ_REMOVE_HEAD(&g->replies, entry);
	free(r);
	g->nquestions--;
}

/* Of `m` the head is not looked at. The question is over when this is told. */
void
reply_send(struct guest *g, uint64_t id, const struct wire_answer *m)
{
	struct reply	*r;

	if ((r = malloc(sizeof(*r) + m->n * sizeof(r->addr[0]))) == NULL)
		fatal("an answer");
	r->id = id;
	r->code = m->code;
	r->ttl = m->ttl;
	r->n = m->n;
	memcpy(r->addr, m->addr, m->n * sizeof(r->addr[0]));
	STAILQ_INSERT_TAIL(&g->replies, r, entry);
	reply_flush(g);
}

void
reply_flush(struct guest *g)
{
	while (!STAILQ_EMPTY(&g->replies) &&
	    tell(g, STAILQ_FIRST(&g->replies)))
		pop(g);
}

void
reply_reset(struct guest *g)
{
	while (!STAILQ_EMPTY(&g->replies))
		pop(g);
}
