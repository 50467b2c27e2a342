/*
 * The indexed evaluator beside a plain walk over all rules (plain.c): random policies
 * of some tenants, with nested networks, tables that are big enough to be searched
 * where they lie and more of these than are, random ranges of ports, names and
 * wildcards, exceptions; random flows, names and first bytes. What each asks of the
 * rules must be the same number of the same rule.
 *
 * INDEX_POLICIES=n: so many policies, each of which is asked 1 000 questions.
 */
#include "law_unit.h"
#include "index.h"
#include "plain.h"

#define POLICIES	60
#define QUESTIONS	1000
#define TABLES		14
#define NEW_YEAR_2027	UINT64_C(1798761600)

static unsigned int
policies(void)
{
	const char	*n = getenv("INDEX_POLICIES");

	return n != NULL ? (unsigned int)strtoul(n, NULL, 10) : POLICIES;
}

#define ANY_OF(seed, list) (list)[rnd((seed), sizeof(list) / sizeof(*(list)))]

/* ---- policies ---------------------------------------------------------------------- */

static const char *const	patterns[] = { "a.example", "b.example",
    "*.a.example", "**.a.example", "*.example", "**.example", "y.b.example",
    "x.a.example", "**.b.example", "x.y.a.example", "c.test", "**.c.test",
    "+.b.example", "+.c.test" };
static const char *const	names[] = { "a.example", "b.example",
    "x.a.example", "y.b.example", "x.y.a.example", "z.b.example", "c.test",
    "x.c.test", "h7.example", "x.h20.example", "other.invalid" };
#define NNAMES			11

static void
add_net(uint64_t *seed, struct text *t)
{
	unsigned int	len;

	switch (rnd(seed, 8)) {
	case 0:
		text_add(t, " 2600:1f00:%x::/%u", rnd(seed, 3),
		    48 + rnd(seed, 2) * 16);
		return;
	case 1:
		text_add(t, " 2600:1f00::%x", rnd(seed, 6));
		return;
	case 2:
		text_add(t, " 64:ff9b::203.0.114.%u", rnd(seed, 8));
		return;
	case 3:
		text_add(t, " 10.1.%u.0/24", rnd(seed, 4));
		return;
	case 4:
		text_add(t, " 203.0.%u.0/24", 114 + rnd(seed, 4));
		return;
	}
	len = 25 + rnd(seed, 8);
	text_add(t, " 203.0.%u.%u/%u", 114 + rnd(seed, 4),
	    rnd(seed, 256) & (0xff00u >> (len - 24) & 0xffu), len);
}

/* Every third one is big; they overlap each other. */
static void
add_table(uint64_t *seed, struct text *t, unsigned int which)
{
	unsigned int	i, n = which % 3 == 0 ? 1 + rnd(seed, 6) :
			    BIG_LEAST + rnd(seed, 30);

	text_add(t, "table <t%u> {", which);
	for (i = 0; i < n; i++)
		if (which % 3 == 0)
			add_net(seed, t);
		else	/* every other address of a network, and more */
			text_add(t, " 203.0.%u.%u", 114 + which % 4,
			    i * 2 + rnd(seed, 2));
	text_add(t, " }\n");
}

/* The same of names. */
static void
add_set(uint64_t *seed, struct text *t, unsigned int which)
{
	static const char *const	kinds[] = { "", "", "*.", "**.", "+." };
	unsigned int			i, n = which % 3 == 0 ? 1 +
					    rnd(seed, 6) : BIG_LEAST +
					    rnd(seed, 30);

	text_add(t, "names <n%u> {", which);
	for (i = 0; i < n; i++)
		if (rnd(seed, 12) == 0)
			text_add(t, " \"%s%s\"", ANY_OF(seed, kinds),
			    ANY_OF(seed, names));
		else
			text_add(t, " \"%sh%u.example\"", ANY_OF(seed, kinds),
			    i * 2 + rnd(seed, 2));
	text_add(t, " }\n");
}

static void
add_nets(uint64_t *seed, struct text *t, unsigned int max)
{
	unsigned int	i, n = 1 + rnd(seed, max);

	text_add(t, " {");
	for (i = 0; i < n; i++)
		if (rnd(seed, 3) == 0)
			text_add(t, " <t%u>", rnd(seed, TABLES));
		else
			add_net(seed, t);
	text_add(t, " }");
}

/* Without those on the floor, but in an exception. */
static void
add_ports(uint64_t *seed, struct text *t, bool udp, bool floored)
{
	unsigned int	i, n = 1 + rnd(seed, 3), lo;

	text_add(t, " port %s {", udp ? "udp" : "tcp");
	for (i = 0; i < n; i++) {
		lo = 1 + rnd(seed, 20);
		if (rnd(seed, 3) == 0)
			text_add(t, " %u-%u", lo, floored ? 900 : 24);
		lo = 854 + rnd(seed, 50000);
		if (rnd(seed, 3) == 0)
			text_add(t, " %u-%u", lo, lo + rnd(seed, 5000));
		text_add(t, " %u", rnd(seed, 2) ? 443 : lo);
	}
	text_add(t, " }");
}

static void
add_names(uint64_t *seed, struct text *t, bool deny)
{
	static const char *const	verify[] = { "", "", " verify host",
	    " verify none", " verify sni", " ech allow", " verify sni ech allow" };
	unsigned int			i, n = 1 + rnd(seed, 3);
	bool				udp = rnd(seed, 5) == 0;

	text_add(t, " name {");
	for (i = 0; i < n; i++)
		if (rnd(seed, 3) == 0)
			text_add(t, " <n%u>", rnd(seed, TABLES));
		else
			text_add(t, " \"%s\"", ANY_OF(seed, patterns));
	text_add(t, " }");
	if (rnd(seed, 5) == 0)
		text_add(t, " except \"%s\"", ANY_OF(seed, patterns));
	if (deny && rnd(seed, 2) == 0)
		return;
	add_ports(seed, t, udp, false);
	if (!deny && !udp)
		text_add(t, "%s", ANY_OF(seed, verify));
}

static void
add_rule(uint64_t *seed, struct text *t)
{
	bool	deny = rnd(seed, 3) == 0;

	text_add(t, "\t%s to", deny ? "deny" : "allow");
	if (rnd(seed, 12) == 0)
		text_add(t, " host-service %s", rnd(seed, 2) ? "m" : "n");
	else if (rnd(seed, 2) == 0)
		add_names(seed, t, deny);
	else {
		if (rnd(seed, 6) == 0)
			text_add(t, " any");
		else {
			text_add(t, " net");
			add_nets(seed, t, 4);
		}
		if (rnd(seed, 4) == 0) {
			text_add(t, " except");
			add_nets(seed, t, 2);
		}
		if (rnd(seed, 3) > 0)
			add_ports(seed, t, rnd(seed, 4) == 0, false);
		else if (rnd(seed, 2) == 0)
			text_add(t, " icmp echo");
	}
	if (deny && rnd(seed, 5) == 0)
		text_add(t, " mode %s", rnd(seed, 2) ? "audit" : "enforce");
	if (!deny && rnd(seed, 5) == 0)
		text_add(t, " until 2027-0%u-01", 1 + rnd(seed, 8));
	text_add(t, "\n");
}

static void
add_except(uint64_t *seed, struct text *t, unsigned int tenant)
{
	text_add(t, "floor except net");
	if (rnd(seed, 2) == 0)
		text_add(t, " 10.1.%u.%u", rnd(seed, 4), rnd(seed, 4));
	else
		text_add(t, " 10.%u.0.0/16", rnd(seed, 3));
	if (rnd(seed, 3) == 0)
		text_add(t, " own-addresses");
	if (rnd(seed, 2) == 0)
		add_ports(seed, t, false, true);
	text_add(t, " for tenant t%u ticket \"x\"\n", tenant);
}

/* Few rules with many of a kind, or many. */
static char *
random_text(uint64_t *seed)
{
	struct text	t = { NULL, 0, 0 };
	unsigned int	i, k, n, tenants = 1 + rnd(seed, 3);

	text_add(&t, "policy version 1\nhost-service m 127.0.0.1:9091 tcp\n"
	    "host-service n 127.0.0.1:5353 udp\n");
	for (i = 0; i < TABLES; i++)
		add_table(seed, &t, i);
	for (i = 0; i < TABLES; i++)
		add_set(seed, &t, i);
	for (k = 0; k < tenants; k++) {
		for (i = rnd(seed, 5); i > 0; i--)
			add_except(seed, &t, k);
		text_add(&t, "floor except net 10.1.0.0/16 for tenant t%u "
		    "ticket \"y\"\n", k);
	}
	for (k = 0; k < tenants; k++) {
		text_add(&t, "tenant t%u%s {\n", k, rnd(seed, 4) == 0 ?
		    " mode audit" : "");
		n = rnd(seed, 4) == 0 ? 100 + rnd(seed, 200) : rnd(seed, 25);
		for (i = 0; i < n; i++)
			add_rule(seed, &t);
		text_add(&t, "}\n");
	}
	return t.buf;
}

static struct policy *
random_policy(uint64_t *seed)
{
	char		*text = random_text(seed);
	struct model	*m = law_model(text, true);
	struct policy	*p;

	assert_non_null(m);
	p = law_load(m);
	assert_non_null(p);
	grammar_free(m);
	free(text);
	return p;
}

/* ---- questions ----------------------------------------------------------------------- */

static struct endpoint
random_address(uint64_t *seed)
{
	char		 text[64];
	struct endpoint	 e;

	switch (rnd(seed, 8)) {
	case 0:
		snprintf(text, sizeof(text), "2600:1f00:%x::%x", rnd(seed, 3),
		    rnd(seed, 6));
		break;
	case 1:
		snprintf(text, sizeof(text), "64:ff9b::%u.%u.114.%u",
		    rnd(seed, 2) ? 203 : 10, rnd(seed, 2), rnd(seed, 8));
		break;
	case 2:
		snprintf(text, sizeof(text), "10.%u.%u.%u", rnd(seed, 3),
		    rnd(seed, 4), rnd(seed, 4));
		break;
	case 3:
		snprintf(text, sizeof(text), "%s", rnd(seed, 2) ? "10.0.2.2" :
		    "fd53:616c:6c79::2");
		break;
	case 4:		/* 6to4 of what may be allowed or denied */
		snprintf(text, sizeof(text), "2002:cb00:72%02x::1",
		    rnd(seed, 4));
		break;
	default:
		snprintf(text, sizeof(text), "203.0.%u.%u", 114 + rnd(seed, 4),
		    rnd(seed, 256));
	}
	assert_int_equal(addr_parse(text, &e), 0);
	return e;
}

static uint16_t
random_port(uint64_t *seed)
{
	static const uint16_t	ports[] = { 443, 443, 443, 80, 9091, 5353, 853, 25 };

	return rnd(seed, 4) ? ANY_OF(seed, ports) :
	    (uint16_t)(rnd(seed, 2) ? rnd(seed, 25) : rnd(seed, 65536));
}

static struct name	all_names[NNAMES];

static void
random_question(uint64_t *seed, const struct policy *p,
    struct policy_query *q, struct law_names *n)
{
	static const uint32_t	protos[] = { PROTO_TCP, PROTO_TCP, PROTO_UDP,
				    PROTO_ECHO };
	char			bound[128] = "";
	unsigned int		k, mask = rnd(seed, 2) ? rnd(seed, 1u << NNAMES) :
				    1u << rnd(seed, NNAMES), some = 0;

	*q = query(ANY_OF(seed, protos), "203.0.114.1:1");
	q->dst = random_address(seed);
	q->dst.port = random_port(seed);
	q->tenant = rnd(seed, policy_tenants(p));
	q->own = rnd(seed, 4) == 0 ? rnd(seed, 8) : 0;
	q->now = NEW_YEAR_2027 + rnd(seed, 9) * (30u * 86400);
	q->lapsed = rnd(seed, 2) != 0;
	for (k = 0; k < NNAMES; k++)
		if ((mask >> k & 1) != 0 && some++ < 8) {
			strcat(bound, *bound != '\0' ? " " : "");
			strcat(bound, names[k]);
		}
	bind_names(q, n, rnd(seed, 4) == 0 ? "" : bound);
	if (rnd(seed, 2) == 0)
		return;
	show_name(q, n, rnd(seed, 3) ? PEEK_TLS : PEEK_HTTP,
	    rnd(seed, 4) ? ANY_OF(seed, names) : NULL, rnd(seed, 4) == 0);
	if (q->nbound > 0 && n->shown.what == SHOWN_NAME && rnd(seed, 2) == 0)
		n->shown.name = *q->bound[rnd(seed, (uint32_t)q->nbound)];
	if (n->shown.what != SHOWN_NAME)
		n->shown.what = SHOWN_OTHER + rnd(seed, 3);
}

/* ---- the comparison -------------------------------------------------------------------- */

static unsigned int	seen[8];	/* how often there was a rule of each kind */

static void
same_row(const struct row *a, const struct row *b)
{
	const uint32_t	x[] = { a->deny, a->watch, a->shown_deny, a->plain,
			    a->proving, a->proved, a->expired, a->barred };
	const uint32_t	y[] = { b->deny, b->watch, b->shown_deny, b->plain,
			    b->proving, b->proved, b->expired, b->barred };
	size_t		i;

	for (i = 0; i < 8; i++) {
		assert_int_equal(x[i], y[i]);
		seen[i] += y[i] != POLICY_NO_RULE;
	}
	assert_int_equal(a->proving_sni, b->proving_sni);
	assert_int_equal(a->proving_host, b->proving_host);
	assert_int_equal(a->ech_stops, b->ech_stops);
}

/* Up to the first form that the floor keeps, if there is one. */
static void
same_excepts(const struct policy *p, const struct policy_query *q,
    const struct judgement *j)
{
	const struct endpoint	*form = &j->forms.form[j->form];
	size_t			 i;
	uint32_t		 bit;

	if ((j->floor != NULL && !j->floor->never) || j->local)
		assert_int_equal(j->lifted, plain_except(p, q, form, j->local));
	if (j->port != NULL)
		assert_int_equal(j->lifted_port, plain_except_port(p, q,
		    &j->forms.form[0]));
	for (i = 0; !j->gateway && !j->row.floored && i < j->forms.n; i++) {
		bit = plain_except(p, q, &j->forms.form[i], true) != BLOB_NONE;
		assert_int_equal(j->verdict.local_ok >> i & 1, bit);
	}
}

static void
same_flow(const struct policy *p, const struct policy_query *q)
{
	struct judgement	j;
	struct row		r;

	law_judge(p, q, &j);
	same_excepts(p, q, &j);
	if (j.row.floored || (j.gateway && j.service == BLOB_NONE))
		return;
	plain_row(p, q, &j, false, &r);
	same_row(&j.row, &r);
	plain_row(p, q, &j, true, &r);
	same_row(&j.all, &r);
	assert_int_equal(names_reason(p, q), plain_reason(p, q));
	assert_int_equal(policy_reaches(p, q->tenant, &q->dst, q->own),
	    plain_reaches(p, q->tenant, &q->dst, q->own));
}

static void
same_name(const struct policy *p, const struct policy_query *q,
    const struct name *n)
{
	struct name_verdict	a = policy_name(p, q->tenant, n, q->now),
				b = plain_name(p, q->tenant, n, q->now);

	assert_int_equal(a.kind, b.kind);
	assert_int_equal(a.reason, b.reason);
	assert_int_equal(a.rule, b.rule);
	assert_int_equal(a.counted, b.counted);
}

static void
index_is_a_plain_walk(void **state)
{
	struct policy_query	q;
	struct law_names	n;
	struct policy		*p;
	uint64_t		 seed = 11;
	unsigned int		 i, k;

	(void)state;
	for (k = 0; k < NNAMES; k++)
		all_names[k] = name_of(names[k]);
	for (i = policies(); i > 0; i--) {
		p = random_policy(&seed);
		for (k = 0; k < QUESTIONS; k++) {
			random_question(&seed, p, &q, &n);
			same_flow(p, &q);
			same_name(p, &q, &all_names[k % NNAMES]);
		}
		policy_free(p);
	}
	for (k = 0; k < 8; k++)
		assert_true(seen[k] > 2 * policies());
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(index_is_a_plain_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
