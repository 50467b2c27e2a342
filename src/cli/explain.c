/*
 * sallyport explain: one question to a policy, with every step of the answer. The
 * steps are those of the broker: law_judge() is what policy_decide() is made of.
 *
 * Trusts: the user who runs it.
 * Must not: decide anything itself, or resolve a name.
 */
#include <sys/types.h>
#include <ifaddrs.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grammar.h"
#include "law.h"
#include "model.h"
#include "policy_cmds.h"

#define LOCALS_MAX	4096

struct question {
	const char		*path, *tenant;
	struct policy_query	 query;
	struct endpoint		 local[LOCALS_MAX];
};

static void
line_to_stderr(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s\n", text);
}

/* ---- the question -------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
	return addr_compare(a, b);
}

/* What the broker asks netlink for; here the interfaces' addresses do. */
static void
find_locals(struct question *q)
{
	struct ifaddrs	*all, *i;
	struct endpoint	*e = q->local;

	if (getifaddrs(&all) == 0) {
		for (i = all; i != NULL && e < q->local + LOCALS_MAX; i = i->ifa_next)
			if (i->ifa_addr != NULL &&
			    endpoint_from_sockaddr(i->ifa_addr, e) == 0)
				(e++)->port = 0;
		freeifaddrs(all);
	}
	q->query.locals.addr = q->local;
	q->query.locals.n = (size_t)(e - q->local);
	qsort(q->local, q->query.locals.n, sizeof(q->local[0]), compare);
}

static int
parse_proto(const char *word, uint32_t *out)
{
	static const uint32_t	protos[] = { PROTO_TCP, PROTO_UDP, PROTO_ECHO };
	size_t			i;

	for (i = 0; i < 3; i++)
		if (strcmp(word, proto_name(protos[i])) == 0) {
			*out = protos[i];
			return 0;
		}
	fprintf(stderr, "explain: \"%s\" is not tcp, udp or icmp\n", word);
	return -1;
}

static int
parse_destination(const char *word, uint32_t proto, struct endpoint *out)
{
	if (proto == PROTO_ECHO) {
		if (addr_parse(word, out) == 0)
			return 0;
		fprintf(stderr, "explain: \"%s\" is not an address "
		    "(icmp has no port)\n", word);
		return -1;
	}
	if (endpoint_parse(word, out) == 0)
		return 0;
	fprintf(stderr, "explain: \"%s\" is not an address with a port: "
	    "203.0.114.10:443 or [2600:1f00::10]:443\n", word);
	return -1;
}

/* ---- the steps of the answer ------------------------------------------------ */

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
	print_rule(&t, &m->tenant.v[i].rule.v[n]);
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
			printf(" is an address of this host%s",
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

static bool
floor_reason(uint32_t reason)
{
	return reason >= REASON_FLOOR_SPECIAL && reason <= REASON_FLOOR_PORT;
}

static int
show_verdict(const struct policy *p, const struct judgement *j)
{
	static const char *const	words[] = {
		[VERDICT_ALLOW] = "allow", [VERDICT_DENY] = "deny",
		[VERDICT_AUDIT_DENY] = "audit-deny: recorded as denied, let through" };
	const struct verdict		*v = &j->verdict;
	char				 buf[ENDPOINT_STRLEN];

	printf("verdict    %s", words[v->kind]);
	if (v->kind != VERDICT_ALLOW)
		printf(" (%s)", reason_name(v->reason));
	if (v->rule != POLICY_NO_RULE)
		printf(" by %s", policy_rule_loc(p, v->rule));
	if (v->kind != VERDICT_DENY)
		printf(", dials %s", v->dial.port == 0 ?
		    addr_print(&v->dial, buf) : endpoint_print(&v->dial, buf));
	printf("\n");
	return v->kind == VERDICT_DENY ? EXIT_BAD : EXIT_GOOD;
}

static int
answer(const struct policy *p, const struct model *m, const struct question *q)
{
	struct judgement	j;

	law_judge(p, &q->query, &j);
	show_address(&j);
	show_floor(p, &j);
	if (!floor_reason(j.verdict.reason)) {
		show_rule(p, m, "deny", j.deny);
		if (j.audited != POLICY_NO_RULE)
			show_rule(p, m, "audit", j.audited);
		show_rule(p, m, "allow", j.allow);
		if (j.allow == POLICY_NO_RULE && j.deny == POLICY_NO_RULE)
			printf("default    deny\n");
	}
	return show_verdict(p, &j);
}

static int
ask(const struct policy *p, const struct model *m, struct question *q)
{
	unsigned int	i;
	int		tenant = policy_tenant(p, q->tenant);

	if (tenant != -1) {
		q->query.tenant = (unsigned int)tenant;
		return answer(p, m, q);
	}
	fprintf(stderr, "explain: %s has no tenant \"%s\"; it has:", q->path,
	    q->tenant);
	for (i = 0; i < policy_tenants(p) && i < 20; i++)
		fprintf(stderr, " %s", policy_tenant_name(p, i));
	fprintf(stderr, "\n");
	return EXIT_DOUBT;
}

static int
explain(struct question *q)
{
	struct grammar_sink	 sink = { .line = line_to_stderr };
	struct model		*m = grammar_parse(q->path, &sink);
	struct policy		*p = NULL;
	char			 err[128] = "it is larger than 64 MiB";
	size_t			 len;
	void			*blob;
	int			 status = EXIT_DOUBT;

	if (m == NULL)
		return EXIT_DOUBT;
	if ((blob = grammar_compile(m, &len)) != NULL)
		p = policy_load(blob, len, err, sizeof(err));
	free(blob);
	if (p == NULL)
		fprintf(stderr, "%s: the compiled policy is refused: %s\n",
		    q->path, err);
	else
		status = ask(p, m, q);
	policy_free(p);
	grammar_free(m);
	return fflush(stdout) == 0 ? status : EXIT_DOUBT;
}

int
cmd_explain(int argc, char **argv)
{
	static struct question	q;

	if (argc != 5) {
		fprintf(stderr, "usage: sallyport " EXPLAIN_USAGE "\n");
		return EXIT_MISUSE;
	}
	q.path = argv[1];
	q.tenant = argv[2];
	if (parse_proto(argv[3], &q.query.proto) == -1 ||
	    parse_destination(argv[4], q.query.proto, &q.query.dst) == -1)
		return EXIT_DOUBT;
	/* the addresses that `run` gives to its guest's gateway */
	addr_parse("10.0.2.2", &q.query.gateway4);
	addr_parse("fd53:616c:6c79::2", &q.query.gateway6);
	find_locals(&q);
	return explain(&q);
}
