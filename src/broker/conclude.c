/*
 * The end of a question: what a guest is told, and what the log is. Of an answer the
 * floor's part is taken out, and what has no route; the rest is pinned, recorded and
 * told.
 *
 * Trusts: resolver.c for the form of an answer.
 * Must not: tell an address that the floor keeps from the guest, or tell one before
 * it is pinned; tell some of those that it cannot pin all of.
 */
#include <string.h>

#include "broker.h"

#define DENIED_TTL	5u		/* s: a policy may be changed, and soon asked again */
#define UNROUTED_TTL	5u		/* s: a route may come */
static_assert(ANSWER_MAX <= PINS_PER_NAME, "an answer can be pinned");

/* ---- the record, and the guest's answer ------------------------------------------- */

void
conclude_record(const struct question *q, struct record_named *r)
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

static bool
ends_in(const struct name *name, const char *end)
{
	size_t	len = strlen(end);

	return name->len > len &&
	    memcmp(name->text + name->len - len, end, len) == 0;
}

/*
 * Nothing is there below the zones of addresses, for a guest (as RFC 6303 has it for
 * private ones). A name that is there but has no PTR is asked for again and again, by
 * some as often as they would a server that is silent.
 */
static bool
reverse(const struct name *name)
{
	return ends_in(name, ".in-addr.arpa") || ends_in(name, ".ip6.arpa");
}

static enum answer_code
code_of(const struct question *q, enum reason why)
{
	switch (why) {
	case REASON_DNS_BUDGET:
	case REASON_AUDIT_RATE:
		return ANSWER_REFUSED;
	case REASON_TYPE_NOT_ALLOWED:
		return reverse(&q->name) ? ANSWER_DENIED : ANSWER_NODATA;
	case REASON_REBINDING_STRIPPED:
		return ANSWER_WITHHELD;
	case REASON_AUDIT_UNAVAILABLE:
	case REASON_SHUTDOWN:
	case REASON_RESOURCE:
	case REASON_PINS:
	case REASON_PINS_NAME:
	case REASON_PINS_ADDRESS:
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
void
conclude_refused(struct question *q, enum reason why, struct record_named *r)
{
	struct wire_answer	a;

	memset(&a, 0, sizeof(a));
	a.code = code_of(q, why);
	if (a.code != ANSWER_SERVFAIL && a.code != ANSWER_REFUSED)
		a.ttl = DENIED_TTL;
	r->r.verdict = VERDICT_DENY;
	r->r.reason = why;
	r->r.n = 0;
	memset(r->ips, 0, sizeof(r->ips));
	r->ttl = a.ttl;
	deny_question(q->guest, r, q->rule);
	tell(q, &a);
}

static void
because(struct record_named *r, enum reason why)
{
	if (r->r.reason == REASON_NONE)
		r->r.reason = why;
}

/* It is allowed, and there is nothing to ask for. */
void
conclude_empty(struct question *q, enum reason why)
{
	struct record_named	r;
	struct wire_answer	a;

	memset(&a, 0, sizeof(a));
	a.code = ANSWER_NODATA;
	a.ttl = UNROUTED_TTL;
	conclude_record(q, &r);
	because(&r, why);
	r.ttl = a.ttl;
	record_write_named(q->guest, &r);
	tell(q, &a);
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
	if (m->more != 0)
		because(r, REASON_ANSWER_CUT);
	for (i = 0; i < m->n; i++) {
		if (fate[i] != UNROUTED)
			continue;
		because(r, REASON_NO_ROUTE);
		addr_print(&m->addr[i], text);
		record_list(r->r.detail, sizeof(r->r.detail), text);
	}
	r->r.n = a->n;
}

/* REASON_NONE: all of them are pinned, else none is. */
static enum reason
pin(const struct question *q, const struct wire_answer *a)
{
	const struct policy_resolver	*p =
	    policy_resolver(q->guest->broker->policy);
	uint64_t			 now = boot_now();

	switch (pins_put(q->guest->pins, &q->name, a->addr, a->n, now +
	    ((uint64_t)a->ttl + p->pin_grace) * SEC, now)) {
	case PINS_PUT:
		return REASON_NONE;
	case PINS_FULL_NAME:
		return REASON_PINS_NAME;
	case PINS_FULL_ADDR:
		return REASON_PINS_ADDRESS;
	case PINS_FULL:
		break;
	}
	return REASON_PINS;
}

/* NXDOMAIN, NODATA or no answer at all: the law allowed it, the world did not. */
static void
fill_empty(const struct resolver_answer *m, struct wire_answer *a,
    struct record_named *r)
{
	a->code = m->status == RESOLVE_NODATA ? ANSWER_NODATA :
	    m->status == RESOLVE_NXDOMAIN ? ANSWER_NXDOMAIN :
	    m->status == RESOLVE_FAILED ? ANSWER_UNREACHED : ANSWER_SERVFAIL;
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

void
conclude_answer(struct question *q, const struct resolver_answer *m)
{
	const struct policy_resolver	*p =
	    policy_resolver(q->guest->broker->policy);
	struct record_named		 r;
	struct wire_answer		 a;
	enum reason			 full;

	conclude_record(q, &r);
	record_chain(m, &r);
	resolver_source(q->guest->broker, m, &r);
	memset(&a, 0, sizeof(a));
	strip(q->guest, m, &a, &r);
	if (!audit_up(q->guest->broker)) {
		conclude_refused(q, REASON_AUDIT_UNAVAILABLE, &r);
		return;
	}
	if (m->n > 0 && r.stripped == m->n) {
		conclude_refused(q, REASON_REBINDING_STRIPPED, &r);
		return;
	}
	if (a.n > 0) {
		a.code = ANSWER_ADDRESSES;
		a.ttl = clamp(m->ttl, p->pin_min, p->pin_max);
		if ((full = pin(q, &a)) != REASON_NONE) {
			conclude_refused(q, full, &r);
			return;
		}
	} else if (m->n > 0) {
		a.code = ANSWER_NODATA;		/* some are there, for others */
		a.ttl = UNROUTED_TTL;
	} else {
		fill_empty(m, &a, &r);
		a.ttl = a.code == ANSWER_SERVFAIL ||
		    a.code == ANSWER_UNREACHED ? 0 :
		    clamp(m->ttl, 0, p->pin_max);
	}
	r.ttl = a.ttl;
	record_write_named(q->guest, &r);
	tell(q, &a);
}
