/*
 * Ranges of ports in words and as JSON: those that go the same way together, what is
 * let through first.
 *
 * Trusts: reach_ports.c. Must not: leave out a port that is open.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "log.h"

#define RANGES_SHOWN	8	/* of one way, without --all */
#define GROUPS_SHOWN	4	/* whatever room there is */
#define GROUPS_TOLD	2	/* where something else was asked */

static const char *const	proofs[PROOFS] = { "SNI", "SNI with ECH", "Host" };
static const char *const	proof_words[PROOFS] = { "sni", "sni-ech", "host" };

/* ---- one way, in words --------------------------------------------------------- */

static void
say_rule(struct text *t, const struct question *q, uint32_t rule)
{
	if (rule != POLICY_NO_RULE)
		text_add(t, " by %s (%s)", policy_rule_loc(q->r.p, rule),
		    policy_rule_id(q->r.p, rule));
}

/* Which names, if it is not what all of them prove. */
static void
say_names(struct text *t, const struct question *q, uint64_t names)
{
	size_t	i, n = 0, all = q->query.nbound;

	for (i = 0; i < all; i++)
		if ((names >> i & 1) != 0 && (n++ < EXPLAIN_SHOWN || q->all))
			text_add(t, "%s%s", n == 1 ? " " : ", ",
			    q->query.bound[i]->text);
	if (n > EXPLAIN_SHOWN && !q->all)
		text_add(t, " and %zu more", n - EXPLAIN_SHOWN);
}

/* A proof with ECH is told beside the one without. */
static void
say_proofs(struct text *t, const struct question *q, const struct way *w)
{
	bool	any = false, ech;
	size_t	k;

	text_add(t, "allowed with proof:");
	for (k = 0; k < PROOFS; k++) {
		if (w->names[k] == 0 || (k == PROOF_ECH && w->names[k] ==
		    w->names[PROOF_SNI] && w->proof[k] == w->proof[PROOF_SNI]))
			continue;
		text_add(t, "%s %s", any ? "; or" : "", proofs[k]);
		say_names(t, q, w->names[k]);
		ech = w->names[PROOF_ECH] == w->names[PROOF_SNI] &&
		    w->proof[PROOF_ECH] == w->proof[PROOF_SNI];
		if (k == PROOF_SNI)
			text_add(t, ech ? ", with or without ECH" : ", no ECH");
		text_add(t, ",");
		say_rule(t, q, w->proof[k]);
		any = true;
	}
	if (!any)
		text_add(t, " none would do");
}

static void
say_way(struct text *t, const struct question *q, const struct way *w)
{
	if (w->gateway != 0)
		text_add(t, "answered by the gateway itself");
	else if (w->kind == VERDICT_DENY) {
		text_add(t, "denied (%s)", reason_name(w->reason));
		say_rule(t, q, w->rule);
	} else if (w->peek == PEEK_PROOF)
		say_proofs(t, q, w);
	else if (w->kind == VERDICT_AUDIT_DENY) {
		text_add(t, "let through, recorded as denied (%s)",
		    reason_name(w->reason));
		say_rule(t, q, w->rule);
	} else {
		text_add(t, "allowed");
		say_rule(t, q, w->rule);
	}
	if (w->peek == PEEK_LOOK) {
		text_add(t, ", looked at: unless it shows what is denied");
		say_rule(t, q, w->watch);
	}
}

/* ---- all ways ------------------------------------------------------------------- */

struct group { const struct range *const *v; size_t n; };
struct groups {
	const struct range	**order;	/* those of one group beside each other */
	struct group		 *v;
	size_t			  n;
};

static int
compare_ranges(const void *a, const void *b)
{
	const struct range	*x = *(const struct range *const *)a,
				*y = *(const struct range *const *)b;
	int			 c = memcmp(&x->way, &y->way, sizeof(x->way));

	if (x->proto != y->proto)
		return x->proto < y->proto ? -1 : 1;
	return c != 0 ? c : (x->lo > y->lo) - (x->lo < y->lo);
}

static unsigned int
place_of(uint32_t proto)
{
	return proto == PROTO_TCP ? 0 : proto == PROTO_UDP ? 1 : 2;
}

/* Open ones first; then by their first port. */
static int
compare_groups(const void *a, const void *b)
{
	const struct range	*x = ((const struct group *)a)->v[0],
				*y = ((const struct group *)b)->v[0];
	bool			 open = reach_open(&x->way);

	if (open != reach_open(&y->way))
		return open ? -1 : 1;
	if (x->proto != y->proto)
		return place_of(x->proto) < place_of(y->proto) ? -1 : 1;
	return (x->lo > y->lo) - (x->lo < y->lo);
}

static bool
same(const struct range *a, const struct range *b)
{
	return a->proto == b->proto &&
	    memcmp(&a->way, &b->way, sizeof(a->way)) == 0;
}

static void
find_groups(struct groups *g, const struct ranges *r)
{
	size_t	i;

	g->n = 0;
	g->order = calloc(r->n + 1, sizeof(*g->order));
	g->v = calloc(r->n + 1, sizeof(*g->v));
	if (g->order == NULL || g->v == NULL)
		fatalx("out of memory");
	for (i = 0; i < r->n; i++)
		g->order[i] = &r->v[i];
	qsort(g->order, r->n, sizeof(*g->order), compare_ranges);
	for (i = 0; i < r->n; i++) {
		if (i == 0 || !same(g->order[i - 1], g->order[i]))
			g->v[g->n++].v = &g->order[i];
		g->v[g->n - 1].n++;
	}
	qsort(g->v, g->n, sizeof(*g->v), compare_groups);
}

static void
drop_groups(struct groups *g)
{
	free(g->order);
	free(g->v);
}

static void
say_ports(struct text *t, const struct question *q, const struct group *g)
{
	size_t	i, shown = q->all || g->n < RANGES_SHOWN ? g->n : RANGES_SHOWN;

	for (i = 0; i < shown; i++)
		if (g->v[i]->lo == g->v[i]->hi)
			text_add(t, "%s%u", i > 0 ? " " : "", g->v[i]->lo);
		else
			text_add(t, "%s%u-%u", i > 0 ? " " : "", g->v[i]->lo,
			    g->v[i]->hi);
	if (shown < g->n)
		text_add(t, " and %zu more", g->n - shown);
}

static struct step *
say_group(struct answer *a, const struct question *q, const struct group *g)
{
	const struct range	*r = g->v[0];
	struct text		 t = { NULL, 0, 0 };
	struct step		*s;

	if (r->proto != PROTO_ECHO) {
		say_ports(&t, q, g);
		text_add(&t, ": ");
	}
	say_way(&t, q, &r->way);
	s = answer_add(a, proto_name(r->proto), "%s", t.buf);
	free(t.buf);
	if (r->way.peek != PEEK_PROOF)
		s->rule = r->way.rule;
	return s;
}

void
reach_say(struct answer *a, const struct question *q, const struct ranges *r)
{
	struct groups	g;
	size_t		i;

	find_groups(&g, r);
	for (i = 0; i < g.n; i++)
		say_group(a, q, &g.v[i])->minor |= i >= GROUPS_SHOWN ||
		    !reach_open(&g.v[i].v[0]->way);
	drop_groups(&g);
}

/* ---- why not --------------------------------------------------------------------- */

static void
say_instead(struct answer *a, const struct question *q, const struct group *g)
{
	const struct range	*r = g->v[0];
	struct text		 t = { NULL, 0, 0 };

	text_add(&t, "not on %s", proto_name(q->query.proto));
	if (q->query.proto != PROTO_ECHO)
		text_add(&t, " %u", q->query.dst.port);
	text_add(&t, ", but on %s", proto_name(r->proto));
	if (r->proto != PROTO_ECHO) {
		text_add(&t, " ");
		say_ports(&t, q, g);
	}
	text_add(&t, ": ");
	say_way(&t, q, &r->way);
	answer_add(a, "ports", "%s", t.buf)->rule = r->way.rule;
	free(t.buf);
}

static void
say_nothing(struct answer *a, const struct question *q)
{
	if (q->query.nbound > 0)
		answer_add(a, "ports", "no rule allows this address, or what it "
		    "was resolved for, on any port");
	else
		answer_add(a, "ports", "no rule allows this address on any port; "
		    "rules by name are about the names that the guest resolved to "
		    "it: --name tells them");
}

void
reach_hint(struct answer *a, struct question *q)
{
	struct ranges	r = { NULL, 0, 0 };
	struct groups	g;
	size_t		i;

	reach_ports(q, PROTO_TCP, &r);
	reach_ports(q, PROTO_UDP, &r);
	reach_ports(q, PROTO_ECHO, &r);
	find_groups(&g, &r);
	for (i = 0; i < g.n && i < GROUPS_TOLD && reach_open(&g.v[i].v[0]->way) &&
	    g.v[i].v[0]->way.kind == VERDICT_ALLOW; i++)
		say_instead(a, q, &g.v[i]);
	if (i == 0)
		say_nothing(a, q);
	drop_groups(&g);
	free(r.v);
}

/* ---- JSON ---------------------------------------------------------------------- */

static void
json_proofs(const struct question *q, struct json *j, const struct way *w)
{
	size_t	i, k;

	json_open(j, "proofs", '[');
	for (k = 0; k < PROOFS; k++)
		for (i = 0; i < q->query.nbound; i++) {
			if ((w->names[k] >> i & 1) == 0)
				continue;
			json_open(j, NULL, '{');
			json_string(j, "shown", proof_words[k]);
			json_string(j, "name", q->query.bound[i]->text);
			json_close(j, '}');
		}
	json_close(j, ']');
}

static const char *
way_word(const struct way *w)
{
	return w->gateway != 0 ? "gateway" : w->kind == VERDICT_DENY ? "deny" :
	    w->peek == PEEK_PROOF ? "proof" : w->peek == PEEK_LOOK ? "look" :
	    w->kind == VERDICT_AUDIT_DENY ? "audit-deny" : "allow";
}

static void
json_range(const struct question *q, struct json *j, const struct range *r)
{
	json_open(j, NULL, '{');
	json_string(j, "proto", proto_name(r->proto));
	if (r->proto != PROTO_ECHO) {
		json_number(j, "from", r->lo);
		json_number(j, "to", r->hi);
	}
	json_string(j, "verdict", way_word(&r->way));
	if (r->way.reason != REASON_NONE)
		json_string(j, "reason", reason_name(r->way.reason));
	reading_json_rule(&q->r, j, "rule", r->way.rule, EXPLAIN_SHOWN);
	reading_json_rule(&q->r, j, "watch", r->way.watch, EXPLAIN_SHOWN);
	if (r->way.peek == PEEK_PROOF)
		json_proofs(q, j, &r->way);
	json_close(j, '}');
}

/* All ports, in their order. */
void
reach_json(const struct question *q, struct json *j, const struct ranges *r)
{
	size_t	i;

	json_open(j, "ports", '[');
	for (i = 0; i < r->n; i++)
		json_range(q, j, &r->v[i]);
	json_close(j, ']');
}
