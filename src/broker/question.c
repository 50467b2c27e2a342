/*
 * A guest's questions for names: budget, law, static hosts, the log, the resolver;
 * and what becomes of an answer: the floor's part is taken out, the rest is pinned,
 * recorded and told.
 *
 * Trusts: the policy; resolver.c for the form of an answer.
 * Must not: let a name that the law refuses leave this process, or one that has no
 * dns.ask; tell an address that the floor keeps from the guest, or tell one before
 * it is pinned; leave a dns.ask without its one dns, whoever dies.
 *
 * A name that only a wildcard or `any` allows is of the guest's own making and can
 * carry what it likes, so its dns.ask is on the disk before the name leaves the host
 * (`durable async`: on its way, as all of that policy's). A name that the policy
 * spells out carries nothing: its dns.ask is the recorder's, which writes it also
 * when we are killed. The answer's record is on its way when the answer is told: by
 * itself it lets nothing out. Whoever dials has a flow.open, which is on the disk.
 */
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "log.h"

#define DENIED_TTL	5u		/* s: a policy may be changed, and soon asked again */
#define UNROUTED_TTL	5u		/* s: a route may come */
#define STATIC_TTL	3600u		/* of a `host` statement's answers */
#define QUESTION_LINES	4096u		/* bytes of dns.ask and dns, about */
#define QTYPE_MAX	65535u		/* RFC 1035, 3.2.2 */

/* ---- the record, and the guest's answer ------------------------------------------- */

static void
record_begin(const struct question *q, struct record_named *r)
{
	const struct guest	*g = q->guest;

	memset(r, 0, sizeof(*r));
	record_init(g->broker, g, REC_DNS, &r->r);
	r->r.flow = q->ask;
	r->r.verdict = q->verdict;
	r->r.reason = q->reason;
	record_rule(g->broker, q->rule, &r->r);
	r->name = q->name;
	r->qtype = q->qtype;
}

static enum answer_code
code_of(enum reason why)
{
	switch (why) {
	case REASON_DNS_BUDGET:
	case REASON_AUDIT_RATE:
		return ANSWER_REFUSED;
	case REASON_TYPE_NOT_ALLOWED:
		return ANSWER_NODATA;
	case REASON_REBINDING_STRIPPED:
		return ANSWER_NXDOMAIN;
	case REASON_AUDIT_UNAVAILABLE:
	case REASON_SHUTDOWN:
	case REASON_RESOURCE:
	case REASON_DNS_BOGUS:
	case REASON_DNS_UPSTREAM:
		return ANSWER_SERVFAIL;
	default:
		return ANSWER_DENIED;
	}
}

/* The question is over when this is told, or now if nobody is there to tell. */
static void
tell(struct question *q, const struct wire_answer *a)
{
	if (q->id != 0)
		reply_send(q->guest, q->id, a);
	else
		q->guest->nquestions--;
}

/* The guest gets nothing, and this is why. */
static void
refuse(struct question *q, enum reason why, struct record_named *r)
{
	struct wire_answer	a;

	memset(&a, 0, sizeof(a));
	a.code = code_of(why);
	if (a.code != ANSWER_SERVFAIL && a.code != ANSWER_REFUSED)
		a.ttl = DENIED_TTL;
	r->r.verdict = VERDICT_DENY;
	r->r.reason = why;
	r->ttl = a.ttl;
	deny_question(q->guest, r);
	tell(q, &a);
}

static void
end(struct question *q)
{
	if (q->guest != NULL)
		TAILQ_REMOVE(&q->guest->questions, q, of);
	free(q);
}

/* ---- an answer -------------------------------------------------------------------- */

static uint32_t
clamp(uint32_t ttl, uint32_t min, uint32_t max)
{
	return ttl < min ? min : ttl > max ? max : ttl;
}

enum fate { TOLD, FLOORED, UNROUTED };

/*
 * A guest that was told an address without a route would try it first, perhaps for
 * long. What for is not known yet: the kernel is asked as for TCP.
 */
static enum fate
fate_of(const struct guest *g, const struct endpoint *e)
{
	uint32_t	own;
	enum route_kind	kind = host_look(g->broker, PROTO_TCP, NULL, e, &own);

	if (!policy_reaches(g->broker->policy, g->broker->tenant, e, own))
		return FLOORED;
	return kind == ROUTE_NONE ? UNROUTED : TOLD;
}

/*
 * What floor and routes leave goes to the guest and into the record. What they do
 * not is in `detail', the floor's first.
 */
static void
strip(const struct guest *g, const struct resolver_answer *m,
    struct wire_answer *a, struct record_named *r)
{
	enum fate	fate[ANSWER_MAX];
	char		text[ENDPOINT_STRLEN];
	uint32_t	i;

	for (i = 0; i < m->n; i++) {
		addr_print(&m->addr[i], text);
		if ((fate[i] = fate_of(g, &m->addr[i])) == TOLD) {
			a->addr[a->n++] = m->addr[i];
			record_list(r->ips, sizeof(r->ips), text);
		} else if (fate[i] == FLOORED) {
			r->stripped++;
			record_list(r->r.detail, sizeof(r->r.detail), text);
		}
	}
	for (i = 0; i < m->n; i++) {
		if (fate[i] != UNROUTED)
			continue;
		if (r->r.reason == REASON_NONE)
			r->r.reason = REASON_NO_ROUTE;
		addr_print(&m->addr[i], text);
		record_list(r->r.detail, sizeof(r->r.detail), text);
	}
	r->r.n = a->n;
}

static void
pin(const struct question *q, const struct wire_answer *a)
{
	const struct policy_resolver	*p =
	    policy_resolver(q->guest->broker->policy);
	uint64_t			 now = boot_now();
	uint32_t			 i;

	for (i = 0; i < a->n; i++)
		pins_put(q->guest->pins, &q->name, &a->addr[i], now +
		    ((uint64_t)a->ttl + p->pin_grace) * SEC, now);
}

/* NXDOMAIN, NODATA or no answer at all: the law allowed it, the world did not. */
static void
fill_empty(const struct resolver_answer *m, struct wire_answer *a,
    struct record_named *r)
{
	a->code = m->status == RESOLVE_NODATA ? ANSWER_NODATA :
	    m->status == RESOLVE_NXDOMAIN ? ANSWER_NXDOMAIN : ANSWER_SERVFAIL;
	if (m->status == RESOLVE_BOGUS)
		r->r.reason = REASON_DNS_BOGUS;
	else if (m->status == RESOLVE_FAILED)
		r->r.reason = REASON_DNS_UPSTREAM;
}

static void
record_chain(const struct resolver_answer *m, struct record_named *r)
{
	uint32_t	i;

	for (i = 0; i < m->nchain; i++)
		record_list(r->chain, sizeof(r->chain), m->chain[i].text);
	r->secure = m->secure;
}

static void
conclude(struct question *q, const struct resolver_answer *m)
{
	const struct policy_resolver	*p =
	    policy_resolver(q->guest->broker->policy);
	struct record_named		 r;
	struct wire_answer		 a;

	record_begin(q, &r);
	record_chain(m, &r);
	memset(&a, 0, sizeof(a));
	strip(q->guest, m, &a, &r);
	if (!audit_up(q->guest->broker)) {
		refuse(q, REASON_AUDIT_UNAVAILABLE, &r);
		return;
	}
	if (m->n > 0 && r.stripped == m->n) {
		refuse(q, REASON_REBINDING_STRIPPED, &r);
		return;
	}
	if (a.n > 0) {
		a.code = ANSWER_ADDRESSES;
		a.ttl = clamp(m->ttl, p->pin_min, p->pin_max);
		pin(q, &a);
	} else if (m->n > 0) {
		a.code = ANSWER_NODATA;		/* some are there, for others */
		a.ttl = UNROUTED_TTL;
	} else {
		fill_empty(m, &a, &r);
		a.ttl = a.code == ANSWER_SERVFAIL ? 0 :
		    clamp(m->ttl, 0, p->pin_max);
	}
	r.ttl = a.ttl;
	record_write_named(q->guest, &r);
	tell(q, &a);
}

/* Takes the question. */
void
question_settle(struct question *q, const struct resolver_answer *m)
{
	if (q->guest != NULL)
		conclude(q, m);
	end(q);
}

/* There is no resolver, or none that answers. Takes the question. */
void
question_failed(struct question *q)
{
	struct resolver_answer	m;

	memset(&m, 0, sizeof(m));
	m.status = RESOLVE_FAILED;
	question_settle(q, &m);
}

/* ---- a question --------------------------------------------------------------------- */

static const char *
question_fault(const struct guest *g, const struct wire_resolve *m)
{
	if (m->head.id <= g->last_id || (m->head.id & WIRE_ID_BROKER) != 0)
		return "id-not-new";
	if (m->zero != 0 || m->qtype > QTYPE_MAX)
		return "bad-question";
	if (!name_valid(&m->name))
		return "bad-name";
	if (g->nquestions >= QUESTIONS_FAULT)
		return "too-many-questions";
	return NULL;
}

/* Budget, then law, then whether there is a log to tell it to. */
static enum reason
judge(struct question *q, bool *counted)
{
	struct guest		*g = q->guest;
	struct name_verdict	 v;

	if (g->broker->stop != STOP_NO)
		return REASON_SHUTDOWN;
	if (!budget_rate(g->budget, mono_now()) ||
	    g->nquestions > QUESTIONS_MAX)
		return REASON_DNS_BUDGET;
	v = policy_name(g->broker->policy, g->broker->tenant, &q->name);
	q->verdict = v.kind;
	q->reason = v.reason;
	q->rule = v.rule;
	*counted = v.counted;
	if (v.kind == VERDICT_DENY)
		return v.reason;
	if (q->qtype != RESOLVE_A && q->qtype != RESOLVE_AAAA)
		return REASON_TYPE_NOT_ALLOWED;
	if (!audit_up(g->broker))
		return REASON_AUDIT_UNAVAILABLE;
	return volume_has(&g->account->volume, VOLUME_MUST, QUESTION_LINES,
	    mono_now()) ? REASON_NONE : REASON_AUDIT_RATE;
}

/* `host "name" addr ...`: nobody is asked. */
static bool
written_out(struct question *q)
{
	struct resolver_answer	m;
	int			n;

	memset(&m, 0, sizeof(m));
	n = policy_host(q->guest->broker->policy, &q->name,
	    q->qtype == RESOLVE_A ? ADDR_V4 : ADDR_V6, m.addr);
	if (n < 0)
		return false;
	m.n = (uint32_t)n;
	m.status = n > 0 ? RESOLVED : RESOLVE_NODATA;
	m.ttl = STATIC_TTL;
	question_settle(q, &m);
	return true;
}

/*
 * It is in the log before it is asked. Where the recorder's channel is full, a name
 * of the policy's own waits for the disk, too.
 */
static void
leave(struct question *q, bool counted)
{
	struct broker		*b = q->guest->broker;
	struct record_named	 r;
	uint64_t		 rec;

	if (!resolver_expected(b)) {
		question_failed(q);
		return;
	}
	q->ask = ++b->flow_number;
	record_begin(q, &r);
	r.r.type = REC_DNS_ASK;
	r.urgent = counted || !audit_sent(b);
	rec = record_write_named(q->guest, &r);
	if ((r.urgent == 0 && audit_sent(b)) ||
	    !audit_await(b, &q->wait, rec))
		resolver_ask(b, q);
}

/* audit.c knows its dns.ask to be where the policy wants it. */
void
question_durable(struct question *q)
{
	resolver_ask(q->guest->broker, q);
}

/* Its dns.ask may never reach the log: it has not been asked, and is not. */
void
question_refuse(struct question *q)
{
	struct record_named	r;

	record_begin(q, &r);
	refuse(q, REASON_AUDIT_UNAVAILABLE, &r);
	end(q);
}

static void
ask(struct question *q)
{
	struct record_named	r;
	enum reason		why;
	bool			counted = false;

	why = judge(q, &counted);
	if (why == REASON_NONE && written_out(q))
		return;
	if (why == REASON_NONE && counted && !budget_charge(q->guest->budget,
	    q->rule, &q->name, mono_now()))
		why = REASON_DNS_BUDGET;
	if (why == REASON_NONE) {
		leave(q, counted);
		return;
	}
	record_begin(q, &r);
	refuse(q, why, &r);
	end(q);
}

int
question_take(struct guest *g, const struct wire_resolve *m)
{
	const char	*fault = question_fault(g, m);
	struct question	*q;

	if (fault != NULL)
		return answer_refuse(g, fault);
	g->last_id = m->head.id;
	if ((q = calloc(1, sizeof(*q))) == NULL)
		fatal("a question");
	q->guest = g;
	q->wait.question = q;
	q->id = m->head.id;
	q->qtype = m->qtype;
	q->name = m->name;
	q->rule = POLICY_NO_RULE;
	TAILQ_INSERT_TAIL(&g->questions, q, of);
	g->nquestions++;
	ask(q);
	guest_pause(g);
	return 0;
}

/* Its frame is gone: nobody is to be told. */
void
question_reset(struct guest *g)
{
	struct question	*q;

	reply_reset(g);
	TAILQ_FOREACH(q, &g->questions, of)
		q->id = 0;
}

/* Nobody waits for it any more: that is its end, whatever is answered. */
static void
give_up(struct question *q, enum reason why)
{
	struct broker		*b = q->guest->broker;
	struct record_named	 r;

	record_begin(q, &r);
	r.r.reason = why;
	record_write_named(q->guest, &r);
	TAILQ_REMOVE(&q->guest->questions, q, of);
	q->guest->nquestions--;
	if (!q->wait.waits) {
		resolver_forget(b, q);
		return;
	}
	audit_forget(b, &q->wait);
	free(q);
}

void
question_end_all(struct guest *g, enum reason why)
{
	struct question	*q;

	question_reset(g);
	while ((q = TAILQ_FIRST(&g->questions)) != NULL)
		give_up(q, why);
}
