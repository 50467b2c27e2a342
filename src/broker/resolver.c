/*
 * Questions on their way to the resolver and answers on their way back: numbered
 * here, so that the resolver never learns who asks; checked here, so that nothing
 * that it says is believed for its form.
 *
 * Trusts: the policy for the upstreams.
 * Must not: keep a question longer than QUESTION_LIFE before it is asked and as
 * long after it, take an answer to a question that was not asked, or let a resolver
 * go on that gave one.
 */
#include <sys/queue.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "log.h"
#include "resolve.h"

#define QUESTION_LIFE	((RESOLVE_TIMEOUT + 2) * SEC)
#define NUMBERS		1024u		/* buckets of the table by number */
#define DNS_PORT	53

struct resolver {
	struct child	child;		/* first: the rules' room is both */
	uint64_t	number;		/* of the last question */
	uint32_t	nasked;
	struct question_list open;	/* oldest first: sent, then not yet sent */
	struct question	*unsent;	/* in it; NULL = all are sent */
	struct question	*by_number[NUMBERS];
};

/* ---- the open questions ------------------------------------------------------- */

static struct question **
number_bucket(struct resolver *r, uint64_t number)
{
	return &r->by_number[number % NUMBERS];
}

static struct question *
find(struct resolver *r, uint64_t number)
{
	struct question	*q = *number_bucket(r, number);

	while (q != NULL && q->number != number)
		q = q->chain;
	return q != NULL && q->asked ? q : NULL;
}

static void
take_off(struct resolver *r, struct question *q)
{
	struct question	**link = number_bucket(r, q->number);

	while (*link != q)
		link = &(*link)->chain;
	*link = q->chain;
	if (r->unsent == q)
		r->unsent = TAILQ_NEXT(q, open);
	TAILQ_REMOVE(&r->open, q, open);
	r->nasked -= q->asked;
}

/* As many as the socket takes and the resolver has promised to keep. */
static void
pump(struct child *c)
{
	struct resolver		*r = (struct resolver *)c;
	struct resolver_ask	 m;
	struct question		*q;

	if (c->state != CHILD_UP)
		return;
	while ((q = r->unsent) != NULL && r->nasked < RESOLVE_OPEN_MAX) {
		wire_begin(&m, sizeof(m), RESOLVER_ASK, q->number);
		m.qtype = q->qtype;
		m.name = q->name;
		if (chan_try(c->chan, &m, sizeof(m), -1) == -1)
			return;
		q->asked = true;
		q->due = mono_now() + QUESTION_LIFE;	/* its time begins now */
		r->nasked++;
		r->unsent = TAILQ_NEXT(q, open);
	}
}

bool
resolver_expected(const struct broker *b)
{
	return b->resolver != NULL && child_expected(&b->resolver->child);
}

/* Takes it; the answer comes by question_settle() or question_failed(). */
void
resolver_ask(struct broker *b, struct question *q)
{
	struct resolver	*r = b->resolver;
	struct question	**bucket;

	if (!resolver_expected(b)) {
		question_failed(q);
		return;
	}
	q->number = ++r->number;
	q->born = mono_now();
	q->due = mono_now() + QUESTION_LIFE;
	bucket = number_bucket(r, q->number);
	q->chain = *bucket;
	*bucket = q;
	TAILQ_INSERT_TAIL(&r->open, q, open);
	if (r->unsent == NULL)
		r->unsent = q;
	broker_want_tick(b);
	pump(&r->child);
}

/* Nobody waits for it any more. One that was asked stays until its answer. */
void
resolver_forget(struct broker *b, struct question *q)
{
	q->guest = NULL;
	if (q->asked)
		return;
	take_off(b->resolver, q);
	free(q);
}

static void
gone(struct child *c)
{
	struct resolver	*r = (struct resolver *)c;
	struct question	*q;

	while ((q = TAILQ_FIRST(&r->open)) != NULL) {
		take_off(r, q);
		question_failed(q);
	}
}

/* ---- its answers --------------------------------------------------------------- */

static bool
addresses_valid(const struct resolver_answer *m, uint32_t qtype)
{
	uint8_t		family = qtype == RESOLVE_A ? ADDR_V4 : ADDR_V6;
	uint32_t	i;

	for (i = 0; i < m->n; i++)
		if (!endpoint_valid(&m->addr[i]) || m->addr[i].port != 0 ||
		    m->addr[i].family != family)
			return false;
	return true;
}

static bool
chain_valid(const struct resolver_answer *m)
{
	uint32_t	i;

	for (i = 0; i < m->nchain; i++)
		if (!name_valid(&m->chain[i]))
			return false;
	return true;
}

static bool
uses_host(const struct broker *b)
{
	return policy_resolver(b->policy)->nupstreams == 0;
}

/* The policy's upstreams, or else the host's own. */
static void
upstreams(const struct broker *b, struct resolver_config *m)
{
	const struct policy_resolver	*p = policy_resolver(b->policy);
	const struct host_resolver	*h = &b->host;
	uint32_t			 i;

	m->dnssec = p->dnssec;
	m->nupstreams = p->nupstreams;
	memcpy(m->upstream, p->upstream, sizeof(m->upstream));
	if (!uses_host(b))
		return;
	m->rotate = h->rotate;
	m->tcp = h->tcp;
	m->patience = h->patience;
	m->nupstreams = h->n;
	for (i = 0; i < h->n; i++) {
		m->upstream[i].addr = h->upstream[i];
		m->scope[i] = h->scope[i];
	}
}

/* Who said what: one of those that it was given, within the time that there is. */
static bool
source_valid(const struct broker *b, const struct resolver_answer *m)
{
	const struct policy_resolver	*p = policy_resolver(b->policy);

	return m->upstream <= (uses_host(b) ? b->host.n : p->nupstreams) &&
	    m->rcode <= RESOLVE_RCODE_MAX + 1 && m->rtt <= RESOLVE_TIMEOUT * SEC &&
	    (m->upstream != 0 || (m->rcode == 0 && m->rtt == 0));
}

/* Which one that is, is ours to say; that it was it, the resolver's. */
void
resolver_source(const struct broker *b, const struct resolver_answer *m,
    struct record_named *r)
{
	const struct policy_resolver	*p = policy_resolver(b->policy);

	if (m->upstream == 0)
		return;
	if (uses_host(b))
		r->upstream = b->host.upstream[m->upstream - 1];
	else {
		r->upstream = p->upstream[m->upstream - 1].addr;
		r->upstream_tls = p->upstream[m->upstream - 1].tls;
	}
	r->rcode = m->rcode;
	r->r.rtt = m->rtt;
}

static int
answered(void *room, const void *msg, int fd)
{
	const struct resolver_answer	*m = msg;
	struct resolver			*r = room;
	struct question			*q = find(r, m->head.id);

	(void)fd;
	if (q == NULL)
		return child_refuse(&r->child, "unasked-answer");
	if (m->status < RESOLVED || m->status > RESOLVE_FAILED ||
	    m->more > 1 || m->secure > 1)
		return child_refuse(&r->child, "bad-answer");
	if (m->n > ANSWER_MAX || (m->n > 0) != (m->status == RESOLVED) ||
	    m->more > m->n ||
	    !addresses_valid(m, q->qtype))
		return child_refuse(&r->child, "bad-addresses");
	if (m->nchain > RESOLVE_CHAIN_MAX || !chain_valid(m))
		return child_refuse(&r->child, "bad-chain");
	if (!source_valid(r->child.broker, m))
		return child_refuse(&r->child, "bad-source");
	take_off(r, q);
	question_settle(q, m);
	pump(&r->child);
	return 0;
}

/*
 * It had promised to answer by now what it was asked. Questions that it did not
 * take in time fail alone.
 */
void
resolver_tick(struct broker *b, uint64_t mono)
{
	struct resolver	*r = b->resolver;
	struct question	*q;

	if (r == NULL)
		return;
	child_tick(&r->child, mono);
	while ((q = r->unsent) != NULL && q->due <= mono) {
		take_off(r, q);
		question_failed(q);
	}
	if ((q = TAILQ_FIRST(&r->open)) != NULL && q->asked && q->due <= mono)
		child_fault(&r->child, "no-answer");
}

bool
resolver_urgent(const struct broker *b)
{
	return b->resolver != NULL && (!TAILQ_EMPTY(&b->resolver->open) ||
	    b->resolver->child.state == CHILD_GREETING);
}

/* ---- its life --------------------------------------------------------------------- */

bool
resolver_host_valid(const struct host_resolver *h)
{
	const struct endpoint	*e;
	uint32_t		 i;

	if (h->n > UPSTREAM_MAX || h->rotate > 1 || h->tcp > 1 ||
	    h->patience > UPSTREAM_PATIENCE_MAX)
		return false;
	for (i = 0; i < h->n; i++) {
		e = &h->upstream[i];
		if (!endpoint_valid(e) || e->family == ADDR_NONE ||
		    e->port != DNS_PORT || (h->scope[i] != 0 &&
		    (e->family != ADDR_V6 || !addr_is_link_local(e))))
			return false;
	}
	return true;
}

static void
started(struct child *c)
{
	struct resolver_config	m;

	wire_begin(&m, sizeof(m), RESOLVER_CONFIG, 0);
	upstreams(c->broker, &m);
	chan_send(c->chan, &m, sizeof(m), -1);
}

static const struct wire_rule	rules[] = {
	{ RESOLVER_HELLO, CHILD_GREETING, sizeof(struct wire_hello), false,
	    child_hello, 0 },
	{ RESOLVER_ANSWER, CHILD_UP, sizeof(struct resolver_answer), false,
	    answered, 0 },
};

static const struct child_ops	resolver_ops = {
	.rules = rules,
	.nrules = sizeof(rules) / sizeof(rules[0]),
	.started = started,
	.writable = pump,
	.gone = gone
};

#define LIST_MAX	(UPSTREAM_MAX * (ENDPOINT_STRLEN + 16))

static const char *
list_host(const struct host_resolver *h, char buf[LIST_MAX])
{
	char		text[ENDPOINT_STRLEN];
	uint32_t	i;
	size_t		n = 0;

	snprintf(buf, LIST_MAX, "none");
	for (i = 0; i < h->n; i++) {
		n += (size_t)snprintf(buf + n, LIST_MAX - n, "%s%s",
		    i == 0 ? "" : ", ", addr_print(&h->upstream[i], text));
		if (h->scope[i] != 0)
			n += (size_t)snprintf(buf + n, LIST_MAX - n, "%%%u",
			    h->scope[i]);
	}
	return buf;
}

/* That there is nobody to ask is no news that could be left out. */
static void
say_host(const struct broker *b, bool again)
{
	char	all[LIST_MAX];

	if (b->host.n == 0)
		log_warnx("names cannot be resolved%s: the policy has no "
		    "upstream (see resolver in sallyport.conf(5)), and this "
		    "host's /etc/resolv.conf no name server that can be used; "
		    "they can when it has", again ? " any more" : "");
	else if (!b->quiet)
		log_warnx("names are resolved by this host's resolver%s %s%s",
		    b->host.n == 1 ? "" : "s", list_host(&b->host, all),
		    again ? " now" : "");
}

/* Whom questions go to, for they are somebody else's to answer from here on. */
void
resolver_record(struct broker *b)
{
	char		all[LIST_MAX];
	struct record	r;

	if (b->resolver == NULL || !uses_host(b))
		return;
	record_init(b, NULL, REC_RESOLVER_CHANGE, &r);
	record_text(r.detail, sizeof(r.detail), list_host(&b->host, all));
	audit_put(b, &r);
}

/* If the policy has use for one; as soon as there is somebody to ask. */
void
resolver_start(struct broker *b)
{
	struct resolver	*r;

	if ((policy_needs(b->policy, b->tenant) & NEEDS_RESOLVER) == 0)
		return;
	if ((r = calloc(1, sizeof(*r))) == NULL)
		fatal("resolver");
	TAILQ_INIT(&r->open);
	r->child.broker = b;
	r->child.role = ROLE_RESOLVER;
	r->child.ops = &resolver_ops;
	b->resolver = r;
	if (uses_host(b)) {
		say_host(b, false);
		if (b->host.n == 0)
			return;
	}
	child_want(&r->child, b, ROLE_RESOLVER, &resolver_ops);
}

/*
 * What is under way is asked again, of those who are asked now. What nobody waits for
 * is not, nor what a guest has given up by now: who changes this again and again shall
 * not make a question live for ever.
 */
static void
take_back(struct resolver *r)
{
	struct question	*q, *next;
	uint64_t	 now = mono_now();

	for (q = TAILQ_FIRST(&r->open); q != NULL; q = next) {
		next = TAILQ_NEXT(q, open);
		r->nasked -= q->asked;
		q->asked = false;
		if (q->guest != NULL && now < q->born + RESOLVE_TIMEOUT * SEC) {
			q->due = now + QUESTION_LIFE;
			continue;
		}
		take_off(r, q);
		question_failed(q);
	}
	r->unsent = TAILQ_FIRST(&r->open);
}

void
resolver_host(struct broker *b, const struct host_resolver *h)
{
	struct resolver	*r = b->resolver;

	if (memcmp(&b->host, h, sizeof(*h)) == 0)
		return;
	b->host = *h;
	if (r == NULL || !uses_host(b) || b->stop != STOP_NO)
		return;
	say_host(b, true);
	resolver_record(b);
	take_back(r);
	child_renew(&r->child, h->n > 0);
	if (h->n == 0)
		gone(&r->child);
}

struct child *
resolver_child(const struct broker *b)
{
	return b->resolver != NULL ? &b->resolver->child : NULL;
}

/* After the guests: each question left is nobody's. */
void
resolver_free(struct broker *b)
{
	struct resolver	*r = b->resolver;
	struct question	*q;

	if (r == NULL)
		return;
	while ((q = TAILQ_FIRST(&r->open)) != NULL) {
		take_off(r, q);
		free(q);
	}
	child_free(&r->child);
	free(r);
	b->resolver = NULL;
}
