/*
 * The steps of an answer of `sallyport explain` about a flow: the question as the law
 * sees it, what each part of the law says to it, and the line that decided.
 *
 * Trusts: law_judge(), which the broker asks, too.
 * Must not: decide anything itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "policy_cmds.h"

#define PORT_DNS	53	/* of the gateway: the frame answers it */

static void
show_rule(struct answer *a, const struct question *q, const struct judgement *j,
    const char *word, uint32_t rule)
{
	struct spot	e;

	(void)answer_rule(a, word, rule, explain_entry(q, j, rule, &e));
}

/* What has it at the host is out of the guest's reach, whatever the law says. */
static void
show_guest(struct answer *a, const struct question *q)
{
	size_t	i;

	for (i = 0; i < 2; i++)
		if (addr_equal(&q->query.dst, &q->lease[i].guest)) {
			answer_add(a, "guest", "this is the guest's own address, "
			    "as `run' gives it to its command (else "
			    "--guest-address tells): what is sent there stays in "
			    "the guest");
			return;
		}
}

static void
show_address(struct answer *a, const struct judgement *j)
{
	char		buf[ENDPOINT_STRLEN];
	struct text	t = { NULL, 0, 0 };
	size_t		i;

	text_add(&t, "%s", addr_print(&j->forms.form[0], buf));
	for (i = 1; i < j->forms.n; i++)
		text_add(&t, "%s%s", i == 1 ? ", which a translator may take for " :
		    ", ", addr_print(&j->forms.form[i], buf));
	answer_add(a, "address", "%s", t.buf);
	free(t.buf);
}

static const char *
ticket(const struct policy *p, uint32_t except)
{
	return p->text + p->except[except].ticket;
}

static void
show_floored(struct answer *a, const struct judgement *j)
{
	char		buf[ENDPOINT_STRLEN], entry[ENDPOINT_STRLEN];
	struct text	t = { NULL, 0, 0 };

	text_add(&t, "%s", addr_print(&j->forms.form[j->form], buf));
	if (j->local)
		text_add(&t, " is this host's own%s",
		    j->floor != NULL ? ", and" : "");
	if (j->floor != NULL && strcmp(prefix_print(&j->floor->prefix, entry),
	    buf) != 0)
		text_add(&t, " is in %s", entry);
	if (j->floor != NULL)
		text_add(&t, " (%s)", j->floor->what);
	answer_add(a, "floor", "%s", t.buf);
	free(t.buf);
}

static void
show_floor(struct answer *a, const struct policy *p, const struct judgement *j)
{
	if (j->gateway) {
		answer_add(a, "gateway", "this is the guest's gateway: %s",
		    j->service == BLOB_NONE ? "no host-service has this port" :
		    p->text + p->service[j->service].name);
		return;
	}
	if (j->floor == NULL && !j->local && j->port == NULL)
		answer_add(a, "floor", "clear");
	if (j->floor != NULL || j->local)
		show_floored(a, j);
	if (j->lifted != BLOB_NONE)
		answer_add(a, "floor", "excepted: %s", ticket(p, j->lifted));
	if (j->port != NULL)
		answer_add(a, "floor", "port %u: %s", j->port->port,
		    j->port->what);
	if (j->lifted_port != BLOB_NONE)
		answer_add(a, "floor", "excepted: %s",
		    ticket(p, j->lifted_port));
}

/* What is bound, and whether such a name is ever resolved. */
static void
show_names(struct answer *a, const struct question *q)
{
	const struct policy	*p = q->r.p;
	size_t			 i, n = q->query.nbound;

	for (i = 0; i < n && (q->all || i < EXPLAIN_SHOWN); i++) {
		const struct name	 *b = q->query.bound[i];
		struct name_verdict	  v = policy_name(p, q->query.tenant, b,
					      q->query.now);

		if (v.kind != VERDICT_DENY)
			answer_add(a, "name", "%s leads to this address",
			    b->text)->minor = i > 0;
		else
			answer_add(a, "name", "%s leads to this address (but it "
			    "does not resolve: %s%s%s)", b->text,
			    reason_name(v.reason),
			    v.rule != POLICY_NO_RULE ? " by " : "",
			    policy_rule_loc(p, v.rule))->minor = i > 0;
	}
	if (i < n)
		answer_add(a, "name", "... and %zu more", n - i)->minor = true;
}

static void
show_shown(struct answer *a, const struct policy_shown *s)
{
	static const char *const	what[] = {
		[SHOWN_OTHER] = "none", [SHOWN_NOTHING] = "nothing is said",
		[SHOWN_UNDECIDED] = "undecided: cut, malformed, or too late" };

	answer_add(a, "flight", "%s%s%s", s->kind == PEEK_TLS ? "SNI " :
	    s->kind == PEEK_HTTP ? "Host " : "", s->what == SHOWN_NAME ?
	    s->name.text : what[s->what], s->ech ? ", ECH is offered" : "");
}

/* The step in between: are the first bytes asked for, and what are they? */
static void
show_peek(struct answer *a, const struct judgement *j, const struct question *q)
{
	if (j->verdict.peek == PEEK_NONE) {
		if (q->told)
			answer_add(a, "flight", "nothing depends on it, so it is "
			    "not asked for");
	} else if (q->told)
		show_shown(a, &q->flight);
	else if (j->verdict.recorded)
		answer_add(a, "flight", "the guest's first bytes are looked at "
		    "for the record, and stop nothing (ask again with --sni, "
		    "--host, --nothing or --undecided)");
	else
		explain_row(a, q, j);
}

static bool
floor_reason(uint32_t reason)
{
	return reason >= REASON_FLOOR_SPECIAL && reason <= REASON_FLOOR_PORT;
}

/* What a record would call it. */
static void
name_verdict(struct text *t, struct outcome *o, const struct verdict *v,
    const struct question *q)
{
	static const char *const	assurance[] = { "none", "dns", "sni",
					    "host" };
	const struct naming		 n = policy_naming(v, q->query.bound,
					    q->query.nbound, q->query.shown);

	if (v->kind == VERDICT_DENY)
		return;
	if (n.name != -1) {
		o->name = q->query.bound[n.name]->text;
		o->assurance = assurance[n.assurance];
		text_add(t, ", as %s (assurance %s)", o->name, o->assurance);
	} else if (q->query.nbound > 1)
		text_add(t, ", as one of %zu names", q->query.nbound);
	if (v->dial.port == 0)
		(void)addr_print(&v->dial, o->dial);
	else
		(void)endpoint_print(&v->dial, o->dial);
	text_add(t, ", dials %s", o->dial);
}

void
explain_outcome(struct answer *a, uint32_t kind, uint32_t reason, uint32_t rule,
    struct text *t)
{
	static const char *const	words[] = { [VERDICT_ALLOW] = "allow",
					    [VERDICT_DENY] = "deny",
					    [VERDICT_AUDIT_DENY] = "audit-deny" };
	struct outcome			*o = &a->verdict;

	o->word = words[kind];
	o->reason = kind != VERDICT_ALLOW ? reason : REASON_NONE;
	o->rule = rule;
	o->status = kind == VERDICT_DENY ? EXIT_BAD : EXIT_GOOD;
	text_add(t, "%s%s", o->word, kind == VERDICT_AUDIT_DENY ?
	    ": recorded as denied, let through" : "");
	if (kind != VERDICT_ALLOW)
		text_add(t, " (%s)", reason_name(reason));
	if (rule != POLICY_NO_RULE)
		text_add(t, " by %s", policy_rule_loc(a->r->p, rule));
}

static void
show_verdict(struct answer *a, const struct judgement *j,
    const struct question *q)
{
	const struct verdict		*v = &j->verdict;
	struct outcome			*o = &a->verdict;
	struct text			 t = { NULL, 0, 0 };

	if (v->peek != PEEK_NONE && !v->recorded) {
		o->word = "depends";
		o->status = EXIT_DEPENDS;
		answer_verdict(a, "depends on the first bytes (ask again with "
		    "--sni, --host, --nothing or --undecided)");
		return;
	}
	explain_outcome(a, v->kind, v->reason, v->rule, &t);
	name_verdict(&t, o, v, q);
	answer_verdict(a, "%s", t.buf);
	free(t.buf);
}

static void
show_rules(struct answer *a, const struct question *q,
    const struct judgement *j)
{
	const struct row	*r = &j->row;
	bool			 none = r->plain == POLICY_NO_RULE &&
				    r->proving == POLICY_NO_RULE;

	show_rule(a, q, j, "deny", r->deny);
	if (j->all.deny != r->deny)
		show_rule(a, q, j, "audit", j->all.deny);
	if (r->watch != POLICY_NO_RULE)
		show_rule(a, q, j, "shown", r->watch);
	else if (j->all.watch != POLICY_NO_RULE)
		show_rule(a, q, j, "audit", j->all.watch);
	if (r->barred != POLICY_NO_RULE)
		show_rule(a, q, j, "barred", r->barred);
	if (r->plain != POLICY_NO_RULE || none)
		show_rule(a, q, j, "allow", r->plain);
	if (r->proving != POLICY_NO_RULE)
		show_rule(a, q, j, "proof", r->proving);
	if (none && r->deny == POLICY_NO_RULE)
		answer_add(a, "default", "deny");
}

bool
explain_frame_answers(const struct judgement *j, uint32_t proto, uint16_t port)
{
	return j->gateway && j->service == BLOB_NONE &&
	    (proto == PROTO_ECHO || port == PORT_DNS);
}

static void
show_frame(struct answer *a, const struct question *q)
{
	if (q->query.proto == PROTO_ECHO)
		answer_add(a, "gateway", "this is the guest's gateway, which "
		    "answers a ping itself");
	else
		answer_add(a, "gateway", "this is the guest's gateway, and this "
		    "port its name server: ask with dns NAME");
	answer_verdict(a, "answered by the gateway itself");
	a->verdict.word = "gateway";
	a->verdict.status = EXIT_GOOD;
}

/* No allow is for it, on this port. */
static bool
lacks_allow(const struct judgement *j)
{
	return j->row.deny == POLICY_NO_RULE && j->row.plain == POLICY_NO_RULE &&
	    j->row.proving == POLICY_NO_RULE &&
	    j->row.barred == POLICY_NO_RULE && !j->gateway &&
	    j->verdict.kind != VERDICT_ALLOW;
}

static void
show_law(struct answer *a, struct question *q, const struct judgement *j)
{
	if (floor_reason(j->verdict.reason))
		return;
	show_names(a, q);
	show_rules(a, q, j);
	if (lacks_allow(j))
		reach_hint(a, q);
	show_peek(a, j, q);
}

void
explain_flow(struct answer *a, struct question *q)
{
	struct judgement	j;

	show_guest(a, q);
	q->query.own = explain_own(q, q->query.proto, &q->query.dst);
	law_judge(q->r.p, &q->query, &j);
	show_address(a, &j);
	if (explain_frame_answers(&j, q->query.proto, q->query.dst.port)) {
		show_frame(a, q);
		return;
	}
	show_floor(a, q->r.p, &j);
	show_law(a, q, &j);
	if (j.verdict.peek != PEEK_NONE && q->told) {
		q->query.shown = &q->flight;
		law_judge(q->r.p, &q->query, &j);
		if (j.row.shown_deny != POLICY_NO_RULE)
			show_rule(a, q, &j, "denied", j.row.shown_deny);
	}
	show_verdict(a, &j, q);
}
