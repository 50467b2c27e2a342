/*
 * What a tenant reaches, port by port. Nothing that the policy says changes but where
 * some range of its begins or ends: so one question for each such place answers for
 * all ports.
 *
 * Trusts: law_judge(), which is asked what it would say of each.
 * Must not: decide anything itself.
 */
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "log.h"

#define PORTS		65536u
#define PORT_DNS	53u

/* ---- where something may change ------------------------------------------------ */

static void
add_range(bool edge[PORTS + 1], uint32_t lo, uint32_t hi)
{
	edge[lo] = edge[hi + 1] = true;
}

static void
add_services(bool edge[PORTS + 1], const struct services *s, uint32_t proto)
{
	size_t	i;

	for (i = 0; i < s->range.n; i++)
		if (s->range.v[i].proto == proto)
			add_range(edge, s->range.v[i].lo, s->range.v[i].hi);
}

/* Ports that mean something by themselves are edges, too. */
static void
mark_edges(const struct question *q, uint32_t proto, bool edge[PORTS + 1])
{
	const struct model	*m = q->r.m;
	int			 tenant = model_find_tenant(m, q->tenant);
	const struct tenant	*t;
	size_t			 i;

	add_range(edge, 1, PORTS - 1);
	add_range(edge, PORT_DNS, PORT_DNS);
	add_range(edge, VERIFY_HOST_PORT, VERIFY_HOST_PORT);
	for (i = 0; i < floor_nports; i++)
		add_range(edge, floor_ports[i].port, floor_ports[i].port);
	for (i = 0; i < m->service.n; i++)
		add_range(edge, m->service.v[i].addr.port,
		    m->service.v[i].addr.port);
	for (i = 0; i < m->except.n; i++)
		add_services(edge, &m->except.v[i].services, proto);
	if (tenant == -1)
		tenant = 0;		/* the only one, asked for as "" */
	t = &m->tenant.v[tenant];
	for (i = 0; i < t->rule.n; i++)
		add_services(edge, &t->rule.v[i].services, proto);
}

/* They are found once: a network may be asked about in 100 000 pieces. */
static const struct edges *
find_edges(struct question *q, uint32_t proto)
{
	struct edges	*e = &q->edges[proto == PROTO_UDP];
	static bool	 edge[PORTS + 1];
	uint32_t	 port;

	if (e->n > 0)
		return e;
	memset(edge, 0, sizeof(edge));
	mark_edges(q, proto, edge);
	for (port = 1; port < PORTS; port++)
		if (edge[port])
			e->port[e->n++] = (uint16_t)port;
	return e;
}

/* ---- what becomes of one port -------------------------------------------------- */

/* Which names prove it, each by each kind of first bytes. */
static void
find_proofs(const struct question *q, struct policy_query *query,
    struct way *w)
{
	struct judgement	j;
	struct policy_shown	s = { .what = SHOWN_NAME };
	size_t			i, k;

	for (k = 0; k < PROOFS; k++)
		for (i = 0; i < query->nbound; i++) {
			s.kind = k == PROOF_HOST ? PEEK_HTTP : PEEK_TLS;
			s.ech = k == PROOF_ECH;
			s.name = *query->bound[i];
			query->shown = &s;
			law_judge(q->r.p, query, &j);
			query->shown = NULL;
			if (j.verdict.kind == VERDICT_DENY)
				continue;
			w->names[k] |= UINT64_C(1) << i;
			if (w->proof[k] == POLICY_NO_RULE)
				w->proof[k] = j.verdict.rule;
		}
}

static void
find_way(const struct question *q, struct policy_query *query, struct way *w)
{
	struct judgement	j;

	memset(w, 0, sizeof(*w));
	w->watch = w->proof[0] = w->proof[1] = w->proof[2] = POLICY_NO_RULE;
	law_judge(q->r.p, query, &j);
	w->kind = j.verdict.kind;
	w->reason = j.verdict.reason;
	w->rule = j.verdict.rule;
	if (explain_frame_answers(&j, query->proto, query->dst.port)) {
		w->gateway = 1;
		w->reason = REASON_NONE;
	}
	if (j.verdict.kind == VERDICT_DENY || j.verdict.recorded)
		return;
	w->peek = j.verdict.peek;
	if (w->peek == PEEK_LOOK)
		w->watch = j.row.watch;
	if (w->peek == PEEK_PROOF)
		find_proofs(q, query, w);
}

bool
reach_open(const struct way *w)
{
	return w->gateway != 0 || (w->kind != VERDICT_DENY &&
	    (w->peek != PEEK_PROOF || (w->names[PROOF_SNI] |
	    w->names[PROOF_ECH] | w->names[PROOF_HOST]) != 0));
}

/* One more range, or a longer one. */
static void
add_way(struct ranges *out, size_t from, uint32_t proto, uint16_t port,
    const struct way *w)
{
	if (out->n > from) {
		out->v[out->n - 1].hi = (uint16_t)(port - 1);
		if (memcmp(&out->v[out->n - 1].way, w, sizeof(*w)) == 0)
			return;
	}
	if (out->n == out->cap) {
		out->cap = out->cap * 2 + 16;
		out->v = reallocarray(out->v, out->cap, sizeof(*out->v));
		if (out->v == NULL)
			fatalx("out of memory");
	}
	memset(&out->v[out->n], 0, sizeof(*out->v));
	out->v[out->n].proto = proto;
	out->v[out->n].lo = port;
	out->v[out->n++].way = *w;
}

void
reach_ports(struct question *q, uint32_t proto, struct ranges *out)
{
	struct policy_query	 query = q->query;
	const struct edges	*e;
	size_t			 i, from = out->n;
	struct way		 w;

	query.proto = proto;
	query.own = explain_own(q, proto, &query.dst);
	query.shown = NULL;
	if (proto == PROTO_ECHO) {
		query.dst.port = 0;
		find_way(q, &query, &w);
		add_way(out, from, PROTO_ECHO, 0, &w);
		return;
	}
	e = find_edges(q, proto);
	for (i = 0; i < e->n; i++) {
		query.dst.port = e->port[i];
		find_way(q, &query, &w);
		add_way(out, from, proto, e->port[i], &w);
	}
	out->v[out->n - 1].hi = PORTS - 1;
}
