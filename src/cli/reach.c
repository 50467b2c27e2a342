/*
 * sallyport explain FILE TENANT reach HOST: on which ports, and with which proofs, a
 * tenant's guests reach a name, an address or a network.
 *
 * A name has whatever addresses the upstreams say. It is asked about with one of each
 * family that no rule names, and that is not on the floor.
 *
 * Trusts: reach_ports.c. Must not: decide anything itself, or resolve a name.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "grammar.h"
#include "policy_cmds.h"

#define STANDIN_TRIES	4096u

static void
line_to_stderr(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s\n", text);
}

static void
all_ports(struct question *q, struct ranges *r)
{
	r->n = 0;
	reach_ports(q, PROTO_TCP, r);
	reach_ports(q, PROTO_UDP, r);
	reach_ports(q, PROTO_ECHO, r);
}

/* ---- what it comes to ---------------------------------------------------------- */

/* 0 something is open whatever is shown, 3 some only with that, 1 nothing. */
void
reach_verdict(struct answer *a, const struct ranges *r)
{
	struct outcome	*o = &a->verdict;
	bool		 plain = false, some = false;
	size_t		 i;

	for (i = 0; i < r->n; i++) {
		some |= reach_open(&r->v[i].way);
		plain |= reach_open(&r->v[i].way) &&
		    r->v[i].way.peek == PEEK_NONE;
	}
	if (o->word != NULL) {		/* of the parts before this one */
		some |= strcmp(o->word, "deny") != 0;
		plain |= strcmp(o->word, "allow") == 0;
	}
	o->word = plain ? "allow" : some ? "depends" : "deny";
	o->status = plain ? EXIT_GOOD : some ? EXIT_DEPENDS : EXIT_BAD;
	answer_verdict(a, "%s", plain ? "reached on some port" : some ?
	    "reached, if the first bytes show what is allowed" :
	    "not reached on any port");
}

static void
tell(struct answer *a, struct question *q, struct json *j,
    const struct ranges *r, const char *of)
{
	reach_say(a, q, r);
	reach_verdict(a, r);
	json_open(j, NULL, '{');
	json_string(j, "of", of);
	reach_json(q, j, r);
	json_close(j, '}');
}

/* ---- an address ------------------------------------------------------------------ */

static void
reach_address(struct answer *a, struct question *q, struct json *j)
{
	struct ranges	r = { NULL, 0, 0 };
	char		buf[ENDPOINT_STRLEN];

	addr_print(&q->query.dst, buf);
	answer_part(a);
	answer_add(a, "address", "%s", buf);
	all_ports(q, &r);
	tell(a, q, j, &r, buf);
	free(r.v);
}

/* ---- a name ------------------------------------------------------------------------ */

/* Numbers that are spread over what is public: 2000::/3, and IPv4. */
static struct endpoint
standin(bool v6, uint32_t i)
{
	uint32_t	 n = (i + 1) * UINT32_C(2654435761);
	uint8_t		 a[16] = { 0x26, (uint8_t)(n >> 24), (uint8_t)(n >> 16),
			    (uint8_t)(n >> 8), (uint8_t)n, [15] = 1 };

	return v6 ? endpoint_v6(a, 0) : endpoint_v4(n, 0);
}

static bool
is_named(const struct question *q, const struct endpoint *e)
{
	const struct policy	 *p = q->r.p;
	const struct blob_tenant *t = &p->tenant[q->query.tenant];
	uint32_t		  i;

	for (i = t->rule; i < t->rule + t->nrules; i++)
		if ((p->rule[i].match.kind == KIND_NET &&
		    match_net(p, &p->rule[i].match, e)) ||
		    (p->rule[i].match.kind == KIND_ANY &&
		    !match_net(p, &p->rule[i].match, e)))
			return true;
	return false;
}

/* False: there is none that no rule names; then it is one of those. */
static bool
find_standin(const struct question *q, bool v6, struct endpoint *e)
{
	struct endpoint	c;
	bool		any = false;
	uint32_t	i;

	for (i = 0; i < STANDIN_TRIES; i++) {
		c = standin(v6, i);
		if (floor_find(&c) != NULL)
			continue;
		if (!any)
			*e = c;
		any = true;
		if (!is_named(q, &c)) {
			*e = c;
			return true;
		}
	}
	return false;
}

static bool
same_ranges(const struct ranges *a, const struct ranges *b)
{
	return a->n == b->n && memcmp(a->v, b->v, a->n * sizeof(*a->v)) == 0;
}

/* Nothing is known of its addresses. */
static void
reach_anywhere(struct answer *a, struct question *q, struct json *j)
{
	static const char *const	of[] = { "any IPv4 address",
					    "any IPv6 address" };
	struct ranges			r[2] = { { NULL, 0, 0 }, { NULL, 0, 0 } };
	bool				free_of[2];
	size_t				i;

	for (i = 0; i < 2; i++) {
		free_of[i] = find_standin(q, i == 1, &q->query.dst);
		all_ports(q, &r[i]);
	}
	if (same_ranges(&r[0], &r[1])) {
		answer_add(a, "address", "whatever the upstreams say it is, outside "
		    "of the floor and of what rules by address name");
		tell(a, q, j, &r[0], "any address");
	} else
		for (i = 0; i < 2; i++) {
			answer_part(a);
			answer_add(a, "address", "%s that the upstreams say it has, "
			    "outside of the floor%s", of[i], free_of[i] ?
			    " and of what rules by address name" : "; rules by "
			    "address name all of them");
			tell(a, q, j, &r[i], of[i]);
		}
	free(r[0].v);
	free(r[1].v);
}

/* The policy says which they are. Those that the floor takes away are no answer. */
static bool
reach_host(struct answer *a, struct question *q, struct json *j)
{
	static const enum addr_family	families[] = { ADDR_V4, ADDR_V6 };
	struct endpoint			e[ANSWER_MAX];
	char				buf[ENDPOINT_STRLEN];
	bool				known = false;
	size_t				i;
	int				k, n;

	for (i = 0; i < 2; i++) {
		n = policy_host(q->r.p, q->query.bound[0], families[i], e);
		for (k = 0; k < n; k++) {
			known = true;
			if (policy_reaches(q->r.p, q->query.tenant, &e[k],
			    explain_own(q, PROTO_TCP, &e[k]))) {
				q->query.dst = e[k];
				reach_address(a, q, j);
			} else {
				answer_part(a);
				answer_add(a, "host", "%s, which the floor takes "
				    "away", addr_print(&e[k], buf));
			}
		}
	}
	return known;
}

static int
reach_name(struct answer *a, struct question *q, struct json *j)
{
	struct grammar_sink	sink = { .line = line_to_stderr };
	struct name_verdict	v;

	if (grammar_name(q->about, &sink, &q->names[0]) == -1)
		return -1;
	q->bound[0] = &q->names[0];
	q->query.nbound = 1;
	v = policy_name(q->r.p, q->query.tenant, q->bound[0], q->query.now);
	answer_add(a, "name", "%s%s", q->bound[0]->text, v.kind ==
	    VERDICT_DENY ? " does not resolve, so no flow has it:" : " resolves:");
	(void)answer_rule(a, v.reason == REASON_DENY_RULE ? "deny" : "allow",
	    v.rule, NULL);
	if (v.kind == VERDICT_DENY)
		reach_verdict(a, &(struct ranges){ NULL, 0, 0 });
	else if (!reach_host(a, q, j))
		reach_anywhere(a, q, j);
	else if (a->verdict.word == NULL)
		reach_verdict(a, &(struct ranges){ NULL, 0, 0 });
	return 0;
}

/* ---- the question ---------------------------------------------------------------- */

int
explain_reach(struct answer *a, struct question *q, struct json *j)
{
	struct prefix	net;
	int		status = 0;

	json_open(j, "reach", '[');
	if (addr_parse(q->about, &q->query.dst) == 0)
		reach_address(a, q, j);
	else if (strchr(q->about, '/') == NULL) {
		if (q->query.nbound > 0) {
			fprintf(stderr, "explain: --name tells what an address was "
			    "resolved for, and \"%s\" is none\n", q->about);
			status = -1;
		} else
			status = reach_name(a, q, j);
	} else if (prefix_parse(q->about, &net) == 0)
		status = reach_net(a, q, &net, j);
	else {
		fprintf(stderr, "explain: \"%s\" is not a network: as "
		    "203.0.114.0/24, without bits behind its length\n", q->about);
		status = -1;
	}
	json_close(j, ']');
	return status;
}
