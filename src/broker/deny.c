/*
 * A refused OPEN or question: one word to the guest, the whole truth to the log.
 * Also what the frame refused by itself and only counts (DROPS).
 *
 * Trusts: the verdict. Must not: lose a denial; those that are not written in
 * full are in a sum (aggregate.c).
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
	    why == REASON_PENDING || why == REASON_RESOURCE ||
	    why == REASON_DNS_BUDGET || why == REASON_KERNEL_MEMORY;
}

/* The transition only: what was denied or ended has records of its own. */
void
deny_limit(struct guest *g, enum reason why)
{
	uint64_t	last = g->account->limit_told[why], mono = mono_now();
	struct record	r;

	g->account->limit_told[why] = mono;
	if (last != 0 && mono - last < LIMIT_QUIET)
		return;
	record_init(g->broker, g, REC_LIMIT, &r);
	r.reason = why;
	record_text(r.detail, sizeof(r.detail), reason_name(why));
	audit_put(g->broker, &r);
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

/* Counted. True: the log can take it in full. */
static bool
denied(struct guest *g, enum reason why)
{
	struct broker	*b = g->broker;
	bool		 full = audit_up(b) && !audit_crowded(b);

	b->denied++;
	if (is_limit(why) && full)
		deny_limit(g, why);
	broker_want_tick(b);
	return full;
}

/* An OPEN that gets no flow.open; the answer is the caller's. */
void
deny_open(struct guest *g, const struct wire_open *m, enum reason why,
    uint32_t rule, const struct named *named)
{
	bool		full = denied(g, why);
	struct record	r;
	char		*names;

	if (aggregate_deny(g->account->denied, why, m->proto, &m->dst, record_time(),
	    full)) {
		record_init(g->broker, g, REC_FLOW_DENY, &r);
		r.verdict = VERDICT_DENY;
		r.reason = why;
		r.proto = m->proto;
		r.g_src = m->guest;
		r.g_dst = m->dst;
		record_rule(g->broker, rule, &r);
		names = record_names(g, &m->dst, named);
		record_put(g->broker, named, names, &r);
		free(names);
	}
}

/* A flow that was dialled: in full, whatever else is only counted. */
void
deny_flow(const struct flow *f, struct record *r)
{
	(void)denied(f->guest, (enum reason)r->reason);
	record_put(f->guest->broker, f->named, f->names, r);
}

/*
 * A REC_DNS that says why; the answer is the caller's. One that ends a dns.ask is
 * never only counted.
 */
void
deny_question(struct guest *g, struct record_named *r)
{
	bool	full = denied(g, (enum reason)r->r.reason);

	if (r->r.flow != 0 || aggregate_name(g->account->unresolved,
	    (enum reason)r->r.reason, &r->name, record_time(), full))
		audit_put_named(g->broker, r);
}

static void
put_sum(void *arg, const struct aggregate_sum *s)
{
	struct guest	*g = arg;
	struct named	 n;
	struct record	 r;

	record_init(g->broker, g, REC_DENY_AGG, &r);
	r.verdict = VERDICT_DENY;
	r.reason = s->reason;
	r.proto = s->proto;
	r.g_dst = s->dst;
	r.n = s->n;
	r.first = s->first;
	r.last = s->last;
	r.uniq = s->uniq;
	if (s->dst.family == ADDR_NONE && s->name.len == 0)
		record_text(r.detail, sizeof(r.detail), "other");
	memset(&n, 0, sizeof(n));
	n.name = s->name;
	record_put(g->broker, &n, NULL, &r);
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

/* At most one line per reason and second, whatever the frame does. */
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
	audit_put(g->broker, &r);
	memset(d, 0, sizeof(*d));
	d->told = mono;
}

/* Without a recorder sums only grow; at a guest's end all are handed over. */
void
deny_flush(struct guest *g, uint64_t mono, bool all)
{
	unsigned int	i;

	if (!all && (!audit_up(g->broker) || audit_crowded(g->broker)))
		return;
	aggregate_flush(g->account->denied, mono, all, put_sum, g);
	aggregate_flush(g->account->unresolved, mono, all, put_sum, g);
	g->account->dropped = false;
	for (i = 0; i < REASON_MAX; i++) {
		if (g->account->drops[i].n == 0)
			continue;
		if (all || mono - g->account->drops[i].told >= SEC)
			put_drops(g, (enum reason)i, mono);
		else
			g->account->dropped = true;
	}
}
