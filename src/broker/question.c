/*
 * A guest's questions for names: budget, law, static hosts, the log, the resolver.
 * What becomes of an answer is conclude.c's.
 *
 * Trusts: the policy; resolver.c for the form of an answer.
 * Must not: let a name that the law refuses leave this process, or one that has no
 * dns.ask; leave a dns.ask without its one dns, whoever dies.
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

#define STATIC_TTL	3600u		/* of a `host` statement's answers */
#define QUESTION_LINES	4096u		/* bytes of dns.ask and dns, about */
#define QTYPE_MAX	65535u		/* RFC 1035, 3.2.2 */

/* ---- its end ----------------------------------------------------------------------- */

static void
end(struct question *q)
{
	if (q->guest != NULL)
		TAILQ_REMOVE(&q->guest->questions, q, of);
	free(q);
}

/* Takes the question. */
void
question_settle(struct question *q, const struct resolver_answer *m)
{
	if (q->guest != NULL)
		conclude_answer(q, m);
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
	v = policy_name(g->broker->policy, g->broker->tenant, &q->name,
	    wall_seconds());
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

/* An address of a family that it has not would be the first one that it tries. */
static bool
has_family(const struct question *q)
{
	const struct keeper_guest	*c = &q->guest->conf;

	return (q->qtype == RESOLVE_A ? &c->v4 : &c->v6)->guest.family !=
	    ADDR_NONE;
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
	conclude_record(q, &r);
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

	conclude_record(q, &r);
	conclude_refused(q, REASON_AUDIT_UNAVAILABLE, &r);
	end(q);
}

static void
ask(struct question *q)
{
	struct record_named	r;
	enum reason		why;
	bool			counted = false;

	why = judge(q, &counted);
	if (why == REASON_NONE && !has_family(q)) {
		conclude_empty(q, REASON_NO_FAMILY);
		end(q);
		return;
	}
	if (why == REASON_NONE && written_out(q))
		return;
	if (why == REASON_NONE && counted && !budget_charge(q->guest->budget,
	    q->rule, &q->name, mono_now()))
		why = REASON_DNS_BUDGET;
	if (why == REASON_NONE) {
		leave(q, counted);
		return;
	}
	conclude_record(q, &r);
	conclude_refused(q, why, &r);
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

	conclude_record(q, &r);
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
