/*
 * The law for a flow, over random policies, addresses, names and first bytes:
 *  - the order of lines changes no verdict, and not what is asked for;
 *  - one more allow takes nothing away, whatever was resolved;
 *  - one more deny gives nothing;
 *  - one more name of the address takes nothing away;
 *  - first bytes are asked for if, and only if, the verdict depends on them;
 *  - what is said in two steps, before the first bytes and with them, is what is said
 *    in one;
 *  - it is what the six lines of the law say of the policy's text (obeys()).
 *
 * LAW_POLICIES=n: so many policies for each; a policy is asked some 1 700 questions.
 */
#include "law_unit.h"

#define POLICIES	400
#define LINES		7

static const char *const	names[] = { "a.example", "b.example",
    "x.a.example", "y.b.example" };
#define NNAMES			4

static unsigned int
policies(void)
{
	const char	*n = getenv("LAW_POLICIES");

	return n != NULL ? (unsigned int)strtoul(n, NULL, 10) : POLICIES;
}

/* ---- random policies ---------------------------------------------------------- */

#define ANY_OF(seed, list) (list)[rnd((seed), sizeof(list) / sizeof(*(list)))]

static const char *const	patterns[] = { "a.example", "b.example",
    "*.a.example", "**.a.example", "*.example", "**.example", "y.b.example",
    "{ \"a.example\" \"b.example\" }" };
static const char *const	nets[] = { "203.0.114.1", "203.0.114.0/24",
    "203.0.115.1", "2600:1f00::/32", "64:ff9b::203.0.114.1" };
static const char *const	ports[] = { "443", "80", "{ 80 443 }" };

/* A deny has no `except', which could leave none of the names that are shown. */
static void
add_name(uint64_t *seed, struct text *t, bool deny)
{
	const char	*n = ANY_OF(seed, patterns);

	text_add(t, *n == '{' ? "to name %s" : "to name \"%s\"", n);
	if (!deny && rnd(seed, 6) == 0)
		text_add(t, " except \"%s\"", patterns[rnd(seed, 4)]);
}

/* On port 80 alone there is no hello that could offer ECH, unless the rule says so. */
static void
add_allow(uint64_t *seed, struct text *t)
{
	static const char *const	verify[] = { "", "", " verify host",
	    " verify none", " verify none", " verify sni ech allow",
	    " ech allow" };
	const char			*port = ANY_OF(seed, ports);
	size_t				 n = sizeof(verify) / sizeof(*verify);
	bool				 named = rnd(seed, 3) > 0;

	text_add(t, "\tallow ");
	if (named)
		add_name(seed, t, false);
	else if (rnd(seed, 2) == 0)
		text_add(t, "to any");
	else
		text_add(t, "to net %s", ANY_OF(seed, nets));
	text_add(t, " port %s %s", rnd(seed, 6) == 0 ? "udp" : "tcp",
	    port);
	if (named && strstr(t->buf, " udp ") == NULL)
		text_add(t, "%s", verify[rnd(seed, (uint32_t)n -
		    (strcmp(port, "80") == 0))]);
}

static void
add_deny(uint64_t *seed, struct text *t)
{
	text_add(t, "\tdeny ");
	if (rnd(seed, 4) > 0)
		add_name(seed, t, true);
	else
		text_add(t, "to net %s", ANY_OF(seed, nets));
	if (rnd(seed, 3) > 0)
		text_add(t, " port tcp %s", ANY_OF(seed, ports));
	if (rnd(seed, 6) == 0)
		text_add(t, " mode %s", rnd(seed, 2) ? "audit" : "enforce");
}

/* A line of its own memory. */
static char *
line_of(uint64_t *seed, bool deny)
{
	struct text	t = { NULL, 0, 0 };

	(deny ? add_deny : add_allow)(seed, &t);
	return t.buf;
}

struct lines {
	char		*v[LINES];
	unsigned int	 n;
	bool		 audit;
};

static void
lines_make(uint64_t *seed, struct lines *l)
{
	l->audit = rnd(seed, 5) == 0;
	for (l->n = 0; l->n < 2 + rnd(seed, 4); l->n++)
		l->v[l->n] = line_of(seed, rnd(seed, 3) == 0);
}

static void
lines_shuffle(uint64_t *seed, struct lines *l)
{
	unsigned int	i, k;
	char		*line;

	for (i = l->n; i > 1; i--) {
		k = rnd(seed, i);
		line = l->v[k];
		l->v[k] = l->v[i - 1];
		l->v[i - 1] = line;
	}
}

static void
lines_free(struct lines *l)
{
	while (l->n > 0)
		free(l->v[--l->n]);
}

static struct model *
model_of(const struct lines *l)
{
	struct text	 t = { NULL, 0, 0 };
	struct model	*m;
	unsigned int	 i;

	text_add(&t, "policy version 1\nhost-service h 127.0.0.1:443 tcp\n"
	    "tenant t%s {\n", l->audit ? " mode audit" : "");
	for (i = 0; i < l->n; i++)
		text_add(&t, "%s\n", l->v[i]);
	text_add(&t, "}\n");
	m = law_model(t.buf, true);
	assert_non_null(m);
	free(t.buf);
	return m;
}

static struct policy *
law_of(const struct lines *l)
{
	struct model	*m = model_of(l);
	struct policy	*p = law_load(m);

	assert_non_null(p);
	grammar_free(m);
	return p;
}

/* ---- all questions -------------------------------------------------------------- */

struct flow {
	uint32_t	 proto;
	const char	*dst;
	unsigned int	 bound;		/* bit i: names[i] */
};

static const struct flow	flows[] = {
	{ PROTO_TCP, "203.0.114.1:443", 0 }, { PROTO_TCP, "203.0.114.1:80", 0 },
	{ PROTO_TCP, "203.0.115.1:443", 0 },
	{ PROTO_TCP, "[64:ff9b::203.0.114.1]:443", 0 },
	{ PROTO_TCP, "[2600:1f00::1]:80", 0 }, { PROTO_UDP, "203.0.114.1:443", 0 },
	{ PROTO_TCP, "10.0.0.1:443", 0 },
};
#define NFLOWS	(sizeof(flows) / sizeof(flows[0]) * (1u << NNAMES))

static struct flow
flow_at(unsigned int i)
{
	struct flow	f = flows[i >> NNAMES];

	f.bound = i & ((1u << NNAMES) - 1);
	return f;
}

/* Three kinds of name with each name, and three that are none. */
#define NSHOWN	(3 * NNAMES + 3)

static struct policy_shown
shown_at(unsigned int i)
{
	static struct name	all[NNAMES];
	struct policy_shown	s = { .what = SHOWN_NAME };
	unsigned int		k;

	if (all[0].len == 0)
		for (k = 0; k < NNAMES; k++)
			all[k] = name_of(names[k]);
	if (i >= 3 * NNAMES) {
		s.what = SHOWN_OTHER + i - 3 * NNAMES;
		return s;
	}
	s.kind = i / NNAMES == 1 ? PEEK_HTTP : PEEK_TLS;
	s.ech = i / NNAMES == 2;
	s.name = all[i % NNAMES];
	return s;
}

/* The i-th of them; made once, for making names takes longer than a verdict. */
static const struct policy_query *
query_at(unsigned int i)
{
	static struct law_names		n[NFLOWS];
	static struct policy_query	q[NFLOWS];
	struct flow			f = flow_at(i);
	char				text[128] = "";
	unsigned int			k;

	if (q[i].proto != 0)
		return &q[i];
	q[i] = query(f.proto, f.dst);
	for (k = 0; k < NNAMES; k++)
		if ((f.bound >> k & 1) != 0) {
			strcat(text, *text != '\0' ? " " : "");
			strcat(text, names[k]);
		}
	bind_names(&q[i], &n[i], text);
	return &q[i];
}

/* The second step of the broker's, if there is one. */
static struct verdict
second_step(const struct policy *p, const struct policy_query *q,
    const struct verdict *first, const struct policy_shown *s)
{
	struct policy_query	x = *q;

	if (first->kind == VERDICT_DENY || first->peek == PEEK_NONE)
		return *first;
	x.shown = s;
	return policy_decide(p, &x);
}

/* Each flow of a policy, with all that it may show: what passes, as bits. */
struct answers {
	uint32_t	passes[NFLOWS];
	uint32_t	reason[NFLOWS][NSHOWN];
	uint32_t	peek[NFLOWS];
	bool		recorded[NFLOWS];
};

static void
ask_all(const struct policy *p, struct answers *a)
{
	unsigned int	i, k;

	memset(a, 0, sizeof(*a));
	for (i = 0; i < NFLOWS; i++) {
		const struct policy_query	*q = query_at(i);
		struct verdict			 at_open = policy_decide(p, q), v;

		a->peek[i] = at_open.peek;
		a->recorded[i] = at_open.recorded;
		for (k = 0; k < NSHOWN; k++) {
			struct policy_shown	s = shown_at(k);

			v = second_step(p, q, &at_open, &s);
			a->reason[i][k] = v.reason;
			if (v.kind != VERDICT_DENY)
				a->passes[i] |= UINT32_C(1) << k;
		}
	}
}

static void
fail_with(const char *why, const struct lines *l, unsigned int i)
{
	struct flow	f = flow_at(i);
	unsigned int	k;

	for (k = 0; k < l->n; k++)
		print_message("%s\n", l->v[k]);
	fail_msg("%s: %s, names %#x%s", why, f.dst, f.bound,
	    l->audit ? ", audit mode" : "");
}

/* ---- properties -------------------------------------------------------------------- */

static void
order_of_lines(void **state)
{
	static struct answers	a, b;
	struct lines		l;
	struct policy		*p;
	uint64_t		 seed = 1;
	unsigned int		 n, i;

	(void)state;
	for (n = policies(); n > 0; n--) {
		lines_make(&seed, &l);
		ask_all(p = law_of(&l), &a);
		policy_free(p);
		lines_shuffle(&seed, &l);
		ask_all(p = law_of(&l), &b);
		policy_free(p);
		for (i = 0; i < NFLOWS; i++)
			if (a.passes[i] != b.passes[i] || a.peek[i] != b.peek[i] ||
			    a.recorded[i] != b.recorded[i] ||
			    memcmp(a.reason[i], b.reason[i], sizeof(a.reason[i])))
				fail_with("order", &l, i);
		lines_free(&l);
	}
}

/* What passes without the last line, and with it. */
static void
one_more(uint64_t *seed, bool deny, unsigned int *changed)
{
	static struct answers	a, b;
	struct lines		l;
	struct policy		*p;
	unsigned int		 i;

	lines_make(seed, &l);
	ask_all(p = law_of(&l), &a);
	policy_free(p);
	l.v[l.n++] = line_of(seed, deny);
	if (rnd(seed, 2) == 0)
		lines_shuffle(seed, &l);
	ask_all(p = law_of(&l), &b);
	policy_free(p);
	for (i = 0; i < NFLOWS; i++) {
		if (deny ? b.passes[i] & ~a.passes[i] : a.passes[i] & ~b.passes[i])
			fail_with(deny ? "a deny gives" : "an allow takes away",
			    &l, i);
		*changed += a.passes[i] != b.passes[i];
	}
	lines_free(&l);
}

static void
one_more_allow(void **state)
{
	uint64_t	seed = 2;
	unsigned int	n, changed = 0;

	(void)state;
	for (n = policies(); n > 0; n--)
		one_more(&seed, false, &changed);
	assert_true(changed > policies());
}

static void
one_more_deny(void **state)
{
	uint64_t	seed = 3;
	unsigned int	n, changed = 0;

	(void)state;
	for (n = policies(); n > 0; n--)
		one_more(&seed, true, &changed);
	assert_true(changed > policies());
}

static void
one_more_name(void **state)
{
	static struct answers	a;
	struct lines		l;
	struct policy		*p;
	uint64_t		 seed = 4;
	unsigned int		 n, i, k, changed = 0;

	(void)state;
	for (n = policies(); n > 0; n--) {
		lines_make(&seed, &l);
		ask_all(p = law_of(&l), &a);
		policy_free(p);
		for (i = 0; i < NFLOWS; i++)
			for (k = 0; k < NNAMES; k++) {
				if ((a.passes[i] & ~a.passes[i | 1u << k]) != 0)
					fail_with("a name takes away", &l, i);
				changed += a.passes[i] != a.passes[i | 1u << k];
			}
		lines_free(&l);
	}
	assert_true(changed > policies());
}

static void
asked_if_it_depends(void **state)
{
	static const uint32_t	all = (UINT32_C(1) << NSHOWN) - 1;
	static struct answers	a;
	struct lines		l;
	struct policy		*p;
	uint64_t		 seed = 5;
	unsigned int		 n, i, asked[3] = { 0, 0, 0 };

	(void)state;
	for (n = policies(); n > 0; n--) {
		lines_make(&seed, &l);
		ask_all(p = law_of(&l), &a);
		for (i = 0; i < NFLOWS; i++) {
			bool	depends = a.passes[i] != 0 && a.passes[i] != all;

			if (depends != (a.peek[i] != PEEK_NONE && !a.recorded[i]))
				fail_with("asked", &l, i);
			asked[a.peek[i]]++;
		}
		policy_free(p);
		lines_free(&l);
	}
	assert_true(asked[PEEK_LOOK] > 100 && asked[PEEK_PROOF] > 100);
}

static void
one_step_is_two(void **state)
{
	static struct answers	a;
	struct lines		l;
	struct policy		*p;
	uint64_t		 seed = 6;
	unsigned int		 n, i;

	(void)state;
	for (n = policies(); n > 0; n--) {
		lines_make(&seed, &l);
		ask_all(p = law_of(&l), &a);
		for (i = 0; i < NFLOWS * NSHOWN; i++) {
			struct policy_query	q = *query_at(i / NSHOWN);
			struct policy_shown	s = shown_at(i % NSHOWN);

			q.shown = &s;
			if (q.proto == PROTO_TCP &&
			    (policy_decide(p, &q).kind != VERDICT_DENY) !=
			    (a.passes[i / NSHOWN] >> i % NSHOWN & 1))
				fail_with("two steps", &l, i / NSHOWN);
		}
		policy_free(p);
		lines_free(&l);
	}
}

/* ---- the six lines, of the policy's text ---------------------------------------------- */

static bool
has_port(const struct rule *r, const struct policy_query *q)
{
	size_t	i;

	for (i = 0; i < r->services.range.n; i++)
		if (r->services.range.v[i].proto == q->proto &&
		    r->services.range.v[i].lo <= q->dst.port &&
		    q->dst.port <= r->services.range.v[i].hi)
			return true;
	return !r->services.written;
}

static bool
has_pattern(const struct patterns *s, const struct name *n)
{
	size_t	i;

	for (i = 0; i < s->list.n; i++)
		if (pattern_matches(&s->list.v[i], n))
			return true;
	return false;
}

static bool
is_of(const struct rule *r, const struct name *n)
{
	return r->dest.kind == KIND_NAME && has_pattern(&r->dest.names, n) &&
	    !has_pattern(&r->dest.xnames, n);
}

/* The networks of these rules are one prefix each, or any. */
static bool
has_address(const struct rule *r, const struct endpoint *e)
{
	size_t	i;

	if (r->dest.kind == KIND_ANY)
		return true;
	for (i = 0; r->dest.kind == KIND_NET && i < r->dest.in.net.n; i++)
		if (prefix_contains(&r->dest.in.net.v[i].prefix, e))
			return true;
	return false;
}

static bool
in_force(const struct tenant *t, const struct rule *r)
{
	return r->deny && (r->mode == MODE_INHERIT ? t->mode : r->mode) !=
	    MODE_AUDIT;
}

/* A deny by name in force with this port, of this name (NULL: of any). */
static bool
named_deny(const struct tenant *t, const struct policy_query *q,
    const struct name *n)
{
	size_t	i;

	for (i = 0; i < t->rule.n; i++) {
		const struct rule *r = &t->rule.v[i];

		if (in_force(t, r) && r->dest.kind == KIND_NAME &&
		    has_port(r, q) && (n == NULL || is_of(r, n)))
			return true;
	}
	return false;
}

static bool
stopped_by_address(const struct tenant *t, const struct policy_query *q)
{
	struct endpoint	form[POLICY_FORMS_MAX];
	size_t		i, k, n = policy_forms(&q->dst, form);

	for (k = 0; k < n; k++)
		if (floor_find(&form[k]) != NULL)
			return true;
	for (i = 0; i < t->rule.n; i++)
		for (k = 0; k < n; k++)
			if (in_force(t, &t->rule.v[i]) &&
			    has_port(&t->rule.v[i], q) &&
			    has_address(&t->rule.v[i], &form[k]))
				return true;
	return false;
}

/* As it is written; if it is not, by the port. */
static uint32_t
wanted(const struct rule *r, const struct policy_query *q)
{
	if (r->verify_at.line != 0)
		return r->verify;
	return q->dst.port == 80 ? VERIFY_HOST : VERIFY_SNI;
}

/* Line 4 for one rule. */
static bool
is_plain(const struct tenant *t, const struct rule *r,
    const struct policy_query *q)
{
	struct endpoint	e = endpoint_canonical(q->dst);
	size_t		k;

	if (r->deny || !has_port(r, q))
		return false;
	if (r->dest.kind != KIND_NAME)
		return has_address(r, &e);
	if (q->proto == PROTO_TCP && wanted(r, q) != VERIFY_NONE)
		return false;
	for (k = 0; k < q->nbound; k++)
		if (is_of(r, q->bound[k]) && !named_deny(t, q, q->bound[k]))
			return true;
	return false;
}

/* Line 5 for one rule. */
static bool
proves(const struct tenant *t, const struct rule *r,
    const struct policy_query *q, const struct policy_shown *s)
{
	size_t	k;

	if (r->deny || !has_port(r, q) || q->proto != PROTO_TCP ||
	    s->what != SHOWN_NAME || !is_of(r, &s->name) ||
	    wanted(r, q) == VERIFY_NONE || named_deny(t, q, &s->name) ||
	    (wanted(r, q) == VERIFY_SNI) != (s->kind == PEEK_TLS) ||
	    (s->ech && !r->ech))
		return false;
	for (k = 0; k < q->nbound; k++)
		if (name_equal(q->bound[k], &s->name))
			return true;
	return false;
}

static bool
obeys(const struct tenant *t, const struct policy_query *q,
    const struct policy_shown *s)
{
	bool	tcp = q->proto == PROTO_TCP;	/* the rest shows nothing */
	size_t	i;

	if (stopped_by_address(t, q))
		return false;
	if (tcp && s->what == SHOWN_NAME && named_deny(t, q, &s->name))
		return false;
	if (t->mode == MODE_AUDIT)
		return true;
	if (tcp && s->what == SHOWN_UNDECIDED && named_deny(t, q, NULL))
		return false;
	for (i = 0; i < t->rule.n; i++)
		if (is_plain(t, &t->rule.v[i], q) ||
		    proves(t, &t->rule.v[i], q, s))
			return true;
	return false;
}

static void
as_it_is_written(void **state)
{
	static struct answers	a;
	struct lines		l;
	struct model		*m;
	struct policy		*p;
	uint64_t		 seed = 7;
	unsigned int		 n, i, k;

	(void)state;
	for (n = policies(); n > 0; n--) {
		lines_make(&seed, &l);
		m = model_of(&l);
		ask_all(p = law_load(m), &a);
		for (i = 0; i < NFLOWS; i++) {
			for (k = 0; k < NSHOWN; k++) {
				struct policy_shown s = shown_at(k);

				if (obeys(&m->tenant.v[0], query_at(i), &s) !=
				    (a.passes[i] >> k & 1))
					fail_with("the law", &l, i);
			}
		}
		policy_free(p);
		grammar_free(m);
		lines_free(&l);
	}
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(order_of_lines),
		cmocka_unit_test(one_more_allow),
		cmocka_unit_test(one_more_deny),
		cmocka_unit_test(one_more_name),
		cmocka_unit_test(asked_if_it_depends),
		cmocka_unit_test(one_step_is_two),
		cmocka_unit_test(as_it_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
