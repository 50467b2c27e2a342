/*
 * The steps of an answer of `sallyport explain`: the question as the law sees it,
 * what each part of the law says to it, and the line that decided.
 *
 * Trusts: law_judge() and policy_name(), which the broker asks, too.
 * Must not: decide anything itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "policy_cmds.h"

#define LIST_SHOWN	4	/* entries of a rule's lists */
#define PORT_DNS	53	/* of the gateway: the frame answers it */

/* ---- a flow --------------------------------------------------------------------- */

static void
show_rule(const struct policy *p, const struct model *m, const char *step,
    uint32_t rule)
{
	struct text	t = { NULL, 0, 0 };
	uint32_t	n = rule;
	size_t		i;

	if (rule == POLICY_NO_RULE) {
		printf("%-10s no rule\n", step);
		return;
	}
	for (i = 0; n >= m->tenant.v[i].rule.n; i++)
		n -= (uint32_t)m->tenant.v[i].rule.n;
	print_rule_short(&t, &m->tenant.v[i].rule.v[n], LIST_SHOWN);
	printf("%-10s %s (%s): %s\n", step, policy_rule_loc(p, rule),
	    policy_rule_id(p, rule), t.buf);
	free(t.buf);
}

static void
show_address(const struct judgement *j)
{
	char	buf[ENDPOINT_STRLEN];
	size_t	i;

	printf("address    %s", addr_print(&j->forms.form[0], buf));
	for (i = 1; i < j->forms.n; i++)
		printf("%s%s", i == 1 ? ", which a translator may take for " : ", ",
		    addr_print(&j->forms.form[i], buf));
	printf("\n");
}

static const char *
ticket(const struct policy *p, uint32_t except)
{
	return p->text + p->except[except].ticket;
}

static void
show_floor(const struct policy *p, const struct judgement *j)
{
	char	buf[ENDPOINT_STRLEN], entry[ENDPOINT_STRLEN];

	if (j->gateway) {
		printf("gateway    this is the guest's gateway: %s\n",
		    j->service == BLOB_NONE ? "no host-service has this port" :
		    p->text + p->service[j->service].name);
		return;
	}
	if (j->floor == NULL && !j->local && j->port == NULL)
		printf("floor      clear\n");
	if (j->floor != NULL || j->local) {
		printf("floor      %s", addr_print(&j->forms.form[j->form], buf));
		if (j->local)
			printf(" is this host's own%s",
			    j->floor != NULL ? ", and" : "");
		if (j->floor != NULL && strcmp(prefix_print(&j->floor->prefix,
		    entry), buf) != 0)
			printf(" is in %s", entry);
		if (j->floor != NULL)
			printf(" (%s)", j->floor->what);
		printf("\n");
	}
	if (j->lifted != BLOB_NONE)
		printf("floor      excepted: %s\n", ticket(p, j->lifted));
	if (j->port != NULL)
		printf("floor      port %u: %s\n", j->port->port, j->port->what);
	if (j->lifted_port != BLOB_NONE)
		printf("floor      excepted: %s\n", ticket(p, j->lifted_port));
}

/* What is bound, and whether such a name is ever resolved. */
static void
show_names(const struct policy *p, const struct question *q)
{
	size_t	i;

	for (i = 0; i < q->query.nbound; i++) {
		const struct name	 *n = q->query.bound[i];
		struct name_verdict	  v = policy_name(p, q->query.tenant, n,
					      q->query.now);

		printf("name       %s leads to this address%s", n->text,
		    v.kind != VERDICT_DENY ? "" : " (but it does not resolve: ");
		if (v.kind == VERDICT_DENY)
			printf("%s%s%s)", reason_name(v.reason),
			    v.rule != POLICY_NO_RULE ? " by " : "",
			    policy_rule_loc(p, v.rule));
		printf("\n");
	}
}

static void
show_shown(const struct policy_shown *s)
{
	static const char *const	what[] = {
		[SHOWN_OTHER] = "none", [SHOWN_NOTHING] = "nothing is said",
		[SHOWN_UNDECIDED] = "undecided: cut, malformed, or too late" };

	printf("flight     %s%s%s\n", s->kind == PEEK_TLS ? "SNI " :
	    s->kind == PEEK_HTTP ? "Host " : "", s->what == SHOWN_NAME ?
	    s->name.text : what[s->what], s->ech ? ", ECH is offered" : "");
}

/* The step in between: are the first bytes asked for, and what are they? */
static void
show_peek(const struct policy *p, const struct judgement *j,
    const struct question *q)
{
	if (j->verdict.peek == PEEK_NONE) {
		if (q->told)
			printf("flight     nothing depends on it, so it is not "
			    "asked for\n");
	} else if (q->told)
		show_shown(&q->flight);
	else if (j->verdict.recorded)
		printf("flight     the guest's first bytes are looked at for the "
		    "record, and stop nothing\n           (ask again with --sni, "
		    "--host, --nothing or --undecided)\n");
	else
		explain_row(p, q, j);
}

static bool
floor_reason(uint32_t reason)
{
	return reason >= REASON_FLOOR_SPECIAL && reason <= REASON_FLOOR_PORT;
}

static const char *const	verdicts[] = {
	[VERDICT_ALLOW] = "allow", [VERDICT_DENY] = "deny",
	[VERDICT_AUDIT_DENY] = "audit-deny: recorded as denied, let through"
};

static int
show_verdict(const struct policy *p, const struct judgement *j,
    const struct question *q)
{
	static const char *const	assurance[] = { "none", "dns", "sni",
					    "host" };
	const struct verdict		*v = &j->verdict;
	const struct naming		 n = policy_naming(v, q->query.bound,
					    q->query.nbound, q->query.shown);
	char				 buf[ENDPOINT_STRLEN];

	if (v->peek != PEEK_NONE && !v->recorded) {
		printf("verdict    depends on the first bytes (ask again with "
		    "--sni, --host, --nothing or --undecided)\n");
		return EXIT_DEPENDS;
	}
	printf("verdict    %s", verdicts[v->kind]);
	if (v->kind != VERDICT_ALLOW)
		printf(" (%s)", reason_name(v->reason));
	if (v->rule != POLICY_NO_RULE)
		printf(" by %s", policy_rule_loc(p, v->rule));
	if (v->kind != VERDICT_DENY && n.name != -1)
		printf(", as %s (assurance %s)", q->query.bound[n.name]->text,
		    assurance[n.assurance]);
	else if (v->kind != VERDICT_DENY && q->query.nbound > 1)
		printf(", as one of %zu names", q->query.nbound);
	if (v->kind != VERDICT_DENY)
		printf(", dials %s", v->dial.port == 0 ?
		    addr_print(&v->dial, buf) : endpoint_print(&v->dial, buf));
	printf("\n");
	return v->kind == VERDICT_DENY ? EXIT_BAD : EXIT_GOOD;
}

static void
show_rules(const struct policy *p, const struct model *m,
    const struct judgement *j)
{
	const struct row	*r = &j->row;
	bool			 none = r->plain == POLICY_NO_RULE &&
				    r->proving == POLICY_NO_RULE;

	show_rule(p, m, "deny", r->deny);
	if (j->all.deny != r->deny)
		show_rule(p, m, "audit", j->all.deny);
	if (r->watch != POLICY_NO_RULE)
		show_rule(p, m, "shown", r->watch);
	else if (j->all.watch != POLICY_NO_RULE)
		show_rule(p, m, "audit", j->all.watch);
	if (r->barred != POLICY_NO_RULE)
		show_rule(p, m, "barred", r->barred);
	if (r->plain != POLICY_NO_RULE || none)
		show_rule(p, m, "allow", r->plain);
	if (r->proving != POLICY_NO_RULE)
		show_rule(p, m, "proof", r->proving);
	if (none && r->deny == POLICY_NO_RULE)
		printf("default    deny\n");
}

/* The frame answers for the gateway itself, and asks nobody. */
static const char *
frame_answers(const struct judgement *j, const struct question *q)
{
	if (!j->gateway || j->service != BLOB_NONE)
		return NULL;
	if (q->query.proto == PROTO_ECHO)
		return "gateway    this is the guest's gateway, which answers a "
		    "ping itself";
	return q->query.dst.port != PORT_DNS ? NULL :
	    "gateway    this is the guest's gateway, and this port its name "
	    "server: ask\n           with dns NAME";
}

int
explain_flow(const struct policy *p, const struct model *m,
    struct question *q)
{
	struct judgement	 j;
	const char		*words;

	q->query.own = explain_own(q, q->query.proto, &q->query.dst);
	law_judge(p, &q->query, &j);
	show_address(&j);
	if ((words = frame_answers(&j, q)) != NULL) {
		printf("%s\nverdict    answered by the gateway itself\n", words);
		return EXIT_GOOD;
	}
	show_floor(p, &j);
	if (!floor_reason(j.verdict.reason)) {
		show_names(p, q);
		show_rules(p, m, &j);
		show_peek(p, &j, q);
	}
	if (j.verdict.peek != PEEK_NONE && q->told) {
		q->query.shown = &q->flight;
		law_judge(p, &q->query, &j);
	}
	return show_verdict(p, &j, q);
}

/* ---- a name ---------------------------------------------------------------------- */

/*
 * What a host statement gives, as far as the floor leaves it. False if there is
 * one and nothing is left.
 */
static bool
show_host(const struct policy *p, struct question *q, const struct name *n)
{
	static const enum addr_family	families[] = { ADDR_V4, ADDR_V6 };
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
			all++;
			printf("host       %s%s\n", addr_print(&e[k], buf),
			    reached ? "" : ", which the floor takes away "
			    "(rebinding-stripped)");
		}
	}
	return all == 0 || left > 0;
}

static void
show_budget(const struct policy *p, unsigned int tenant,
    const struct name_verdict *v)
{
	const struct policy_limits	*l = policy_limits(p, tenant);

	if (v->kind != VERDICT_DENY && v->counted)
		printf("budget     one of %u new names in %u seconds that no exact "
		    "rule has\n", l->names, l->names_per);
}

int
explain_name(const struct policy *p, const struct model *m, struct question *q)
{
	const struct name	*n = q->query.bound[0];
	struct name_verdict	 v = policy_name(p, q->query.tenant, n,
				    q->query.now);

	printf("name       %s\n", n->text);
	show_rule(p, m, v.kind == VERDICT_ALLOW ? "allow" :
	    v.reason == REASON_DENY_RULE ? "deny" : "allow", v.rule);
	show_budget(p, q->query.tenant, &v);
	if (v.kind != VERDICT_DENY && !show_host(p, q, n)) {
		v.kind = VERDICT_DENY;		/* as reply.c has it */
		v.reason = REASON_REBINDING_STRIPPED;
	}
	printf("verdict    %s", verdicts[v.kind]);
	if (v.kind != VERDICT_ALLOW)
		printf(" (%s)", reason_name(v.reason));
	if (v.rule != POLICY_NO_RULE)
		printf(" by %s", policy_rule_loc(p, v.rule));
	printf("%s\n", v.kind == VERDICT_DENY ? ", answered NXDOMAIN" :
	    policy_host(p, n, ADDR_V4, (struct endpoint[ANSWER_MAX]){ { 0 } }) !=
	    -1 ? ", answered by this policy" : ", asked of the upstreams");
	return v.kind == VERDICT_DENY ? EXIT_BAD : EXIT_GOOD;
}
