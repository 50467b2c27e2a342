/*
 * The steps of an answer of `sallyport explain` about a name that a guest wants to
 * resolve.
 *
 * Trusts: policy_name(), which the broker asks, too.
 * Must not: decide anything itself, or resolve the name.
 */
#include <stdio.h>
#include <stdlib.h>

#include "explain.h"
#include "policy_cmds.h"

/*
 * What a host statement gives, as far as the floor leaves it. False if there is
 * one and nothing is left.
 */
static bool
show_host(struct answer *a, struct question *q, const struct name *n)
{
	static const enum addr_family	families[] = { ADDR_V4, ADDR_V6 };
	const struct policy		*p = q->r.p;
	struct endpoint			e[ANSWER_MAX];
	char				buf[ENDPOINT_STRLEN];
	size_t				i;
	int				k, got, left = 0, all = 0;
	bool				reached;

	for (i = 0; i < 2; i++) {
		got = policy_host(p, n, families[i], e);
		for (k = 0; k < got; k++) {
			reached = policy_reaches(p, q->query.tenant, &e[k],
			    explain_own(q, PROTO_TCP, &e[k]));
			left += reached;
			answer_add(a, "host", "%s%s", addr_print(&e[k], buf),
			    reached ? "" : ", which the floor takes away "
			    "(rebinding-stripped)")->minor = all++ > 0;
		}
	}
	return all == 0 || left > 0;
}

static void
show_budget(struct answer *a, const struct question *q,
    const struct name_verdict *v)
{
	const struct policy_limits	*l = policy_limits(q->r.p,
					    q->query.tenant);

	if (v->kind != VERDICT_DENY && v->counted)
		answer_add(a, "budget", "one of %u new names in %u seconds that "
		    "no exact rule has", l->names, l->names_per);
}

static void
show_verdict(struct answer *a, const struct question *q,
    const struct name_verdict *v)
{
	struct endpoint			e[ANSWER_MAX];
	struct text			 t = { NULL, 0, 0 };

	explain_outcome(a, v->kind, v->reason, v->rule, &t);
	text_add(&t, "%s", v->kind == VERDICT_DENY ? ", answered NXDOMAIN" :
	    policy_host(q->r.p, q->query.bound[0], ADDR_V4, e) != -1 ?
	    ", answered by this policy" : ", asked of the upstreams");
	answer_verdict(a, "%s", t.buf);
	free(t.buf);
}

void
explain_name(struct answer *a, struct question *q)
{
	const struct name	*n = q->query.bound[0];
	struct name_verdict	 v = policy_name(q->r.p, q->query.tenant, n,
				    q->query.now);
	const struct rule	*from = reading_rule(&q->r, v.rule);
	struct spot		 e;
	bool			 found = v.rule != POLICY_NO_RULE &&
				    from != NULL && entry_of_name(q->r.m,
				    &from->dest, n, &e);

	answer_add(a, "name", "%s", n->text);
	(void)answer_rule(a, v.kind != VERDICT_ALLOW &&
	    v.reason == REASON_DENY_RULE ? "deny" : "allow", v.rule,
	    found ? &e : NULL);
	show_budget(a, q, &v);
	if (v.kind != VERDICT_DENY && !show_host(a, q, n)) {
		v.kind = VERDICT_DENY;		/* as reply.c has it */
		v.reason = REASON_REBINDING_STRIPPED;
	}
	show_verdict(a, q, &v);
}
