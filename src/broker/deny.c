/*
 * A refused OPEN or question: one word to the guest, the whole truth to the log. Also
 * connects that came to nothing, and what the frame refused by itself and only counts
 * (DROPS).
 *
 * Trusts: the verdict. Must not: lose a denial or a connect; those that are not written
 * in full are in a sum (aggregate.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "log.h"

#define LIMIT_QUIET	(60 * SEC)	/* then meeting the limit is news again */

/* TCP is refused as a closed port would, the rest as by an administrator. */
enum deny_code
deny_code(uint32_t proto)
{
	return proto == PROTO_TCP ? DENY_RESET : DENY_ADMIN;
}

static bool
is_limit(enum reason why)
{
	return why == REASON_RATE || why == REASON_CONNS ||
	    why == REASON_PENDING || why == REASON_UNPROVEN ||
	    why == REASON_RESOURCE ||
	    why == REASON_DNS_BUDGET || why == REASON_KERNEL_MEMORY ||
	    why == REASON_PINS || why == REASON_PINS_NAME ||
	    why == REASON_PINS_ADDRESS || why == REASON_AUDIT_RATE;
}

#define PINS_WORDS	"answers with addresses beyond it fail"

/* To whoever runs this, once for each guest and limit. REASON_RESOURCE has its own. */
static void
say_limit(struct guest *g, enum reason why)
{
	static const char *const	words[REASON_MAX] = {
		[REASON_RATE] = "connections beyond it come again a second later, "
		    "other flows are refused",
		[REASON_CONNS] = "new flows are refused until others end",
		[REASON_PENDING] = "new flows, or those to one address "
		    "(pending-per-destination), wait until others are connected",
		[REASON_UNPROVEN] = "new flows, or those to one address "
		    "(unproven-per-destination), wait until others have shown a "
		    "name",
		[REASON_DNS_BUDGET] = "questions for names are refused",
		[REASON_KERNEL_MEMORY] = "new flows are refused until data is "
		    "taken, and the largest ended",
		[REASON_PINS] = PINS_WORDS,
		[REASON_PINS_NAME] = PINS_WORDS,
		[REASON_PINS_ADDRESS] = PINS_WORDS,
		[REASON_AUDIT_RATE] = "the log has sums in the place of lines"
	};

	if (g->account->limit_said[why] || why == REASON_RESOURCE)
		return;
	g->account->limit_said[why] = true;
	log_warnx("guest %s is at its limit \"%s\"%s%s; see "
	    "sallyport.conf(5)", g->conf.name, reason_name(why),
	    words[why] != NULL ? ": " : "",
	    words[why] != NULL ? words[why] : "");
}

/* The transition only: what was denied or ended has records of its own. */
void
deny_limit(struct guest *g, enum reason why)
{
	uint64_t	last = g->account->limit_told[why], mono = mono_now();
	struct record	r;

	say_limit(g, why);
	g->account->limit_told[why] = mono;
	if (last != 0 && mono - last < LIMIT_QUIET)
		return;
	record_init(g->broker, g, REC_LIMIT, &r);
	r.reason = why;
	record_text(r.detail, sizeof(r.detail), reason_name(why));
	record_write(g, &r);
}

/* What may be done about it. */
static const char *
advice(int error)
{
	switch (error) {
	case ENOSPC:
		return "; are fs.epoll.max_user_watches used up?";
	case ETOOMANYREFS:
		return "; another program of this user holds its file "
		    "descriptors in flight";
	case EMFILE:
	case ENFILE:
		return "; raise the limit of open files";
	default:
		return "";
	}
}

/*
 * The law allowed it and the host has nothing for it; other processes of this user
 * may have it. Each flow has its own record.
 */
void
deny_starved(struct guest *g, int error)
{
	uint64_t	mono = mono_now(), last = g->account->starved_told;

	if (audit_up(g->broker) && !audit_crowded(g->broker))
		deny_limit(g, REASON_RESOURCE);
	g->account->starved_told = mono;
	if (last != 0 && mono - last < LIMIT_QUIET)
		return;
	log_warnx("guest %s: a connection is refused, for the host has not what "
	    "it needs (%s)%s", g->conf.name, error == 0 ?
	    "memory or descriptors" : strerrordesc_np(error), advice(error));
}

/* What is left of its rate is for what cannot be in a sum; that is said once. */
static enum aggregate_how
how(struct guest *g)
{
	if (!audit_up(g->broker) || audit_crowded(g->broker))
		return AGGREGATE_COUNT;
	if (volume_has(&g->account->volume, VOLUME_FULL, 0, mono_now()))
		return AGGREGATE_TELL;
	deny_limit(g, REASON_AUDIT_RATE);
	return AGGREGATE_FOLD;
}

static enum aggregate_how
denied(struct guest *g, enum reason why)
{
	enum aggregate_how	h = how(g);

	g->broker->denied++;
	g->broker->denied_for[why]++;
	if (is_limit(why) && h != AGGREGATE_COUNT)
		deny_limit(g, why);
	broker_want_tick(g->broker);
	return h;
}

/* A name that was shown is what it is about; else it is the destination. */
static struct attempt
attempt(enum reason why, uint32_t proto, uint32_t rule,
    const struct endpoint *dst, const struct named *n)
{
	struct attempt	t = { .reason = why, .proto = proto, .rule = rule,
			    .dst = dst };

	if (n != NULL && n->name.len > 0)
		t.name = &n->name;
	if (n == NULL || !n->seen || n->shown.name.len == 0)
		return t;
	t.what = n->shown.kind == PEEK_HTTP ? ATTEMPT_VHOST : ATTEMPT_SNI;
	t.name = &n->shown.name;
	return t;
}

/* An OPEN that gets no flow.open; the answer is the caller's. */
void
deny_open(struct guest *g, const struct wire_open *m, enum reason why,
    uint32_t rule, const struct named *named)
{
	enum aggregate_how	h = denied(g, why);
	struct attempt		t = attempt(why, m->proto, rule, &m->dst, named);
	struct named		lapsed;
	struct record		r;
	char			*names;

	tell_flow(g, m->proto, &m->dst, named, why, rule);
	if (aggregate_count(g->account->denied, &t, record_time(), h)) {
		record_init(g->broker, g, REC_FLOW_DENY, &r);
		r.verdict = VERDICT_DENY;
		r.reason = why;
		r.proto = m->proto;
		r.g_src = m->guest;
		r.g_dst = m->dst;
		record_rule(g->broker, rule, &r);
		if (why == REASON_PIN_EXPIRED) {
			names = record_lapsed(g, &m->dst, &lapsed);
			named = &lapsed;
		} else
			names = record_names(g, &m->dst, named);
		record_put(g, named, names, &r);
		free(names);
	}
}

/* A flow that was dialled: in full, whatever else is only counted. */
void
deny_flow(const struct flow *f, struct record *r)
{
	(void)denied(f->guest, (enum reason)r->reason);
	tell_flow(f->guest, f->proto, &f->g_dst, f->named, (enum reason)r->reason,
	    f->rule);
	record_put(f->guest, f->named, f->names, r);
}

/*
 * A REC_DNS that says why; the answer is the caller's. One that ends a dns.ask is
 * never only counted.
 */
void
deny_question(struct guest *g, struct record_named *r, uint32_t rule)
{
	enum reason		why = (enum reason)r->r.reason;
	enum aggregate_how	h = denied(g, why);
	struct attempt		t = { .reason = why, .rule = rule,
				    .what = ATTEMPT_ASKED, .name = &r->name };

	tell_question(g, &r->name, why);
	if (r->r.flow != 0 || aggregate_count(g->account->unresolved, &t,
	    record_time(), h))
		record_write_named(g, r);
}

/* ---- connects that failed ---------------------------------------------------------- */

/* By its address, whatever name it has shown: that has nothing to do with it. */
static struct attempt
failure(const struct flow *f, enum reason why)
{
	struct attempt	t = attempt(why, f->proto, f->rule, &f->g_dst, f->named);

	if (t.what != ATTEMPT_NO_NAME)
		t.name = NULL;
	t.what = ATTEMPT_NO_NAME;
	return t;
}

/*
 * The connect alone, and its flow.open only if it succeeds: so many of this kind have
 * failed, or there is so little left of the guest's rate, that a failure would be
 * told in a sum.
 */
bool
deny_hot(const struct flow *f)
{
	static const enum reason	why[] = { REASON_CONNECT_REFUSED,
					    REASON_CONNECT_TIMEOUT, REASON_HOST_UNREACH,
					    REASON_NET_UNREACH, REASON_PEER_RESET,
					    REASON_RESOURCE, REASON_GUEST_CANCEL };
	struct account			*a = f->guest->account;
	struct attempt			 t;
	size_t				 i;

	if (!volume_has(&a->volume, VOLUME_FULL, 0, mono_now()))
		return true;
	for (i = 0; i < sizeof(why) / sizeof(why[0]); i++) {
		t = failure(f, why[i]);
		if (aggregate_hot(a->failed, &t))
			return true;
	}
	return false;
}

/* It has a flow.open and gets its close, and makes its kind hot. */
void
deny_told(const struct flow *f, enum reason why)
{
	struct attempt	t = failure(f, why);

	aggregate_told(f->guest->account->failed, &t);
	broker_want_tick(f->guest->broker);
}

/*
 * It has no flow.open, and was not connected. True: it gets one, and its close.
 * False: it is in a fail.agg.
 */
bool
deny_failed(const struct flow *f, enum reason why)
{
	struct guest	*g = f->guest;
	struct attempt	 t = failure(f, why);

	broker_want_tick(g->broker);
	if (aggregate_count(g->account->failed, &t, record_time(), how(g)))
		return true;
	g->broker->tried++;
	return false;
}

/* ---- sums ---------------------------------------------------------------------------- */

/* No address of a net is told as one that somebody meant. */
static void
put_sum(struct guest *g, enum record_type type, enum record_verdict verdict,
    const struct aggregate_sum *s)
{
	struct record_named	 m;
	struct record		*r = &m.r;

	memset(&m, 0, sizeof(m));
	record_init(g->broker, g, type, r);
	r->verdict = verdict;
	r->reason = s->reason;
	r->proto = s->proto;
	r->g_dst = s->net;
	m.bits = s->bits;
	r->n = s->n;
	r->first = s->first;
	r->last = s->last;
	r->uniq = s->uniq;
	m.least = s->least;
	record_rule(g->broker, s->rule, r);
	if (s->several)
		record_text(r->detail, sizeof(r->detail), "other");
	*(s->what == ATTEMPT_SNI || s->what == ATTEMPT_VHOST ? &m.sni :
	    &m.name) = s->name;
	m.vhost = s->what == ATTEMPT_VHOST;
	memcpy(m.chain, s->names, sizeof(m.chain));
	memcpy(m.ips, s->dsts, sizeof(m.ips));
	record_write_named(g, &m);
}

/* Of one kind, which can be added to that of others; those are few. */
static bool
affordable(struct guest *g, const struct aggregate_sum *s)
{
	if (s->several ||
	    volume_has(&g->account->volume, VOLUME_SUM, 0, mono_now()))
		return true;
	deny_limit(g, REASON_AUDIT_RATE);
	return false;
}

static bool
put_denied(void *arg, const struct aggregate_sum *s)
{
	if (!affordable(arg, s))
		return false;
	put_sum(arg, REC_DENY_AGG, VERDICT_DENY, s);
	return true;
}

static bool
put_failed(void *arg, const struct aggregate_sum *s)
{
	if (!affordable(arg, s))
		return false;
	put_sum(arg, REC_FAIL_AGG, VERDICT_ALLOW, s);
	return true;
}

void
deny_drops(struct guest *g, enum reason why, uint64_t n)
{
	struct drops	*d = &g->account->drops[why];

	if (d->n == 0)
		d->first = record_time();
	d->last = record_time();
	d->n = d->n + n < n ? UINT64_MAX : d->n + n;
	g->account->dropped = true;
	broker_want_tick(g->broker);
}

/* At most one line per reason in this time, whatever the frame does. */
static uint64_t
drops_period(struct guest *g)
{
	return volume_has(&g->account->volume, VOLUME_SUM, 0, mono_now()) ? SEC :
	    AGGREGATE_PERIOD;
}

static void
put_drops(struct guest *g, enum reason why, uint64_t mono)
{
	struct drops	*d = &g->account->drops[why];
	struct record	 r;

	record_init(g->broker, g, REC_DENY_AGG, &r);
	r.verdict = VERDICT_DENY;
	r.reason = why;
	r.csrc = CSRC_FRAME;
	r.n = d->n;
	r.first = d->first;
	r.last = d->last;
	record_write(g, &r);
	memset(d, 0, sizeof(*d));
	d->told = mono;
}

/* Without a recorder sums only grow; at a guest's end all are handed over. */
void
deny_flush(struct guest *g, uint64_t mono, bool all)
{
	uint64_t	period = drops_period(g);
	unsigned int	i;

	if (!all && (!audit_up(g->broker) || audit_crowded(g->broker)))
		return;
	aggregate_flush(g->account->denied, mono, all, put_denied, g);
	aggregate_flush(g->account->unresolved, mono, all, put_denied, g);
	aggregate_flush(g->account->failed, mono, all, put_failed, g);
	g->account->dropped = false;
	for (i = 0; i < REASON_MAX; i++) {
		if (g->account->drops[i].n == 0)
			continue;
		if (all || mono - g->account->drops[i].told >= period)
			put_drops(g, (enum reason)i, mono);
		else
			g->account->dropped = true;
	}
}
