/*
 * Laws about laws, over random policies:
 *  - a print parses to the same law and prints as itself;
 *  - adding an allow never changes a deny by a rule or by the floor;
 *  - the order of rules never changes a verdict;
 *  - taking a token away is an error, or allows nothing new. (Not the entries of
 *    a deny's or an except's list: a shorter list of those does allow more, and
 *    says so on its face. Here such lists have one entry.);
 *  - a rule by name allows what its entries match and nothing else, no name that
 *    is not bound to the address, and no other than the one that was shown;
 *  - a name less that is bound allows nothing new;
 *  - a record names no flow by a name that may be another's;
 *  - what is found to be the host's own loses verdicts and gains none, unless it is
 *    excepted by itself or by own-addresses: then it changes nothing;
 *  - what audit mode lets through goes on whatever it shows, but for a name that is
 *    denied by a rule in force; and what it records is what would be.
 */
#include "law_unit.h"

#define PROBES	60

static const char *const	nets[] = { "203.0.114.0/24", "203.0.114.7",
    "203.0.114.128/25", "203.0.115.1", "2600:1f00::/32", "2600:1f00::1",
    "64:ff9b::203.0.114.7", "<one>", "<two>", "$macro" };
static const char *const	ports[] = { "80", "443", "8000-8010", "8005",
    "1-24", "26-852", "854-65535", "53" };
static const char *const	probes[] = { "203.0.114.1", "203.0.114.7",
    "203.0.114.200", "203.0.115.1", "203.0.116.1", "2600:1f00::1",
    "2600:1f00::2", "2600:1f01::1", "64:ff9b::cb00:7207", "10.1.2.3",
    "10.1.2.4", "10.1.2.200", "64:ff9b::10.1.2.3", "10.0.2.2", "169.254.169.254", "::ffff:203.0.114.7", "2600:2000::1" };
static const uint16_t		probe_ports[] = { 80, 443, 8000, 8007, 25, 853,
    53, 9091, 1, 65535 };

static const char *const	names[] = { "\"a.example.com\"",
    "\"b.example.com\"", "\"*.a.example.com\"", "\"**.a.example.com\"",
    "\"*.example.com\"", "\"**.example.com\"", "\"x.a.example.com\"",
    "\"**.y.a.example.com\"", "$hosts" };
static const char *const	bound[] = { "", "a.example.com",
    "b.example.com", "x.a.example.com", "a.example.com b.example.com",
    "x.y.a.example.com z.example.org", "example.com z.example.org",
    "aa.example.com b.example.com xa.example.com" };
static const struct { uint32_t kind; const char *name; bool ech; } shown[] = {
	{ 0, NULL, false }, { PEEK_TLS, "a.example.com", false },
	{ PEEK_TLS, "b.example.com", false }, { PEEK_TLS, NULL, false },
	{ 0, NULL, false }, { PEEK_TLS, "a.example.com", true },
	{ PEEK_HTTP, "a.example.com", false }, { PEEK_HTTP, NULL, false },
	{ PEEK_TLS, "x.y.a.example.com", false },
	{ PEEK_TLS, "z.example.org", false },
};

static const char	head[] = "policy version 1\n"
    "macro = { 203.0.116.0/24 203.0.117.1 }\n"
    "hosts = { \"b.example.com\" \"*.b.example.com\" }\n"
    "table <one> { 203.0.118.0/24 2600:2000::/32 }\n"
    "table <two> { 203.0.119.1 203.0.119.2 }\n"
    "host-service m 127.0.0.1:9091 tcp\n"
    "floor except net 10.1.0.0/16 for tenant t ticket \"x\"\n"
    "floor except net { 10.1.2.4 203.0.114.1 2600:1f00::2 } for tenant t "
    "ticket \"y\"\n"
    "floor except net 10.1.2.128/25 own-addresses port tcp 1-9999 for tenant t "
    "ticket \"z\"\n";

static const char *
any_of(uint64_t *seed, const char *const *from, size_t n)
{
	return from[rnd(seed, (uint32_t)n)];
}
#define ANY_OF(seed, list) any_of((seed), (list), sizeof(list) / sizeof(*(list)))

static void
random_services(uint64_t *seed, struct text *t)
{
	unsigned int	i, n;

	if (rnd(seed, 2) == 0)
		return;
	text_add(t, " port %s {", rnd(seed, 2) ? "tcp" : "udp");
	for (i = 0, n = 1 + rnd(seed, 3); i < n; i++)
		text_add(t, " %s", ANY_OF(seed, ports));
	text_add(t, " }");
	if (rnd(seed, 4) == 0)
		text_add(t, " icmp echo");
}

/* An allow has its ports; a deny may do without. */
static void
random_name_rule(uint64_t *seed, struct text *t, bool deny)
{
	static const char *const	verify[] = { "", " verify sni",
	    " verify host", " verify none", " ech allow" };
	unsigned int			i, n = deny ? 1 : 1 + rnd(seed, 3);

	text_add(t, "name {");
	for (i = 0; i < n; i++)
		text_add(t, " %s", ANY_OF(seed, names));
	text_add(t, " }");
	if (rnd(seed, 4) == 0)
		text_add(t, " except %s", ANY_OF(seed, names));
	if (deny && rnd(seed, 2))
		return;
	if (deny)
		text_add(t, " port tcp %s", ANY_OF(seed, ports));
	else if (rnd(seed, 4) == 0)
		text_add(t, " port udp { 443 %s }", ANY_OF(seed, ports));
	else
		text_add(t, " port tcp { 443 %s }%s", ANY_OF(seed, ports),
		    ANY_OF(seed, verify));
}

static void
random_rule(uint64_t *seed, struct text *t, bool deny)
{
	unsigned int	i, n = deny ? 1 : 1 + rnd(seed, 3);

	text_add(t, "\t%s to ", deny ? "deny" : "allow");
	if (rnd(seed, 8) == 0) {
		text_add(t, "host-service m\n");
		return;
	}
	if (rnd(seed, 3) == 0) {
		random_name_rule(seed, t, deny);
		text_add(t, deny && rnd(seed, 6) == 0 ? " mode audit\n" : "\n");
		return;
	}
	if (rnd(seed, 3) == 0)
		text_add(t, "any");
	else if (n == 1)
		text_add(t, "net %s", ANY_OF(seed, nets));
	else {
		text_add(t, "net {");
		for (i = 0; i < n; i++)
			text_add(t, " %s", ANY_OF(seed, nets));
		text_add(t, " }");
	}
	if (rnd(seed, 4) == 0)
		text_add(t, " except %s", ANY_OF(seed, nets));
	if (deny && rnd(seed, 2))
		text_add(t, " port tcp %s", ANY_OF(seed, ports));
	else if (!deny)
		random_services(seed, t);
	if (deny && rnd(seed, 6) == 0)
		text_add(t, " mode audit");
	text_add(t, "\n");
}

/* `swap`: allows first or denies first; `extra`: one more allow. */
static void
random_policy(uint64_t seed, struct text *t, bool swap, bool extra)
{
	struct text	allows = { NULL, 0, 0 }, denies = { NULL, 0, 0 };
	unsigned int	i, n;

	for (i = 0, n = 1 + rnd(&seed, 4); i < n; i++)
		random_rule(&seed, &allows, false);
	for (i = 0, n = rnd(&seed, 4); i < n; i++)
		random_rule(&seed, &denies, true);
	if (extra)
		random_rule(&seed, &allows, false);
	text_add(&denies, "\n");
	text_add(t, "%stenant t {\n%s%s\tallow to net 10.1.2.0/24\n}\n", head,
	    swap ? denies.buf : allows.buf, swap ? allows.buf : denies.buf);
	free(allows.buf);
	free(denies.buf);
}

/* The n-th of the questions; names are bound in every other one. */
static struct policy_query
probe(unsigned int i)
{
	static const uint32_t	protos[] = { PROTO_TCP, PROTO_UDP, PROTO_ECHO };
	static struct law_names	names_of_probe;
	const size_t		n = sizeof(probes) / sizeof(probes[0]);
	const size_t		m = sizeof(probe_ports) / sizeof(probe_ports[0]);
	const size_t		k = i / (n * m * 3), l = i % (n * m * 3);
	struct policy_query	q = query(protos[l / (n * m) % 3],
				    probes[l % n]);

	q.dst.port = probe_ports[l / n % m];
	if (i % 5 == 0)		/* on hosts that have it, or its inside */
		q.own = 1 + (uint32_t)(i / 5 % 3);
	if (k % 2 == 0)
		return q;
	bind_names(&q, &names_of_probe, bound[(i + k) % 8]);
	q.lapsed = i % 3 == 0;
	if (q.proto == PROTO_TCP && shown[(i / 8) % 10].kind != 0)
		show_name(&q, &names_of_probe, shown[(i / 8) % 10].kind,
		    shown[(i / 8) % 10].name, shown[(i / 8) % 10].ech);
	return q;
}
#define NPROBES	(17 * 10 * 3 * 4)

static void
print_is_identity(void **state)
{
	uint64_t	seed;

	(void)state;
	for (seed = 1; seed <= 400; seed++) {
		struct text	 t = { NULL, 0, 0 };
		struct model	*m, *n;
		struct policy	*p, *q;
		char		*one, *two;

		random_policy(seed, &t, false, false);
		m = law_model(t.buf, true);
		assert_non_null(m);
		one = grammar_print(m, NULL);
		n = law_model(one, true);
		assert_non_null(n);
		two = grammar_print(n, NULL);
		assert_string_equal(one, two);
		p = law_load(m);
		q = law_load(n);
		assert_memory_equal(policy_hash(p), policy_hash(q), 32);
		policy_free(p);
		policy_free(q);
		grammar_free(m);
		grammar_free(n);
		free(one);
		free(two);
		free(t.buf);
	}
}

static void
more_allows_keep_denies(void **state)
{
	uint64_t	seed;
	unsigned int	i, denied = 0, opened = 0;

	(void)state;
	for (seed = 1; seed <= 300; seed++) {
		struct text	 a = { NULL, 0, 0 }, b = { NULL, 0, 0 };
		struct policy	*p, *q;

		random_policy(seed, &a, false, false);
		random_policy(seed, &b, false, true);
		p = law(a.buf);
		q = law(b.buf);
		for (i = 0; i < NPROBES; i++) {
			struct policy_query	x = probe(i);
			struct verdict		v = policy_decide(p, &x),
						w = policy_decide(q, &x);

			if (v.kind == VERDICT_DENY &&
			    (v.reason == REASON_DENY_RULE ||
			    (v.reason >= REASON_FLOOR_SPECIAL &&
			    v.reason <= REASON_FLOOR_PORT))) {
				assert_int_equal(w.kind, v.kind);
				assert_int_equal(w.reason, v.reason);
				denied++;
			} else if (v.kind == VERDICT_DENY)
				opened += w.kind != VERDICT_DENY;
			else	/* by name, a deny may be recorded now */
				assert_int_not_equal(w.kind, VERDICT_DENY);
		}
		policy_free(p);
		policy_free(q);
		free(a.buf);
		free(b.buf);
	}
	assert_true(denied > 1000 && opened > 100);	/* it tried something */
}

static void
order_does_not_matter(void **state)
{
	uint64_t	seed;
	unsigned int	i;

	(void)state;
	for (seed = 1; seed <= 300; seed++) {
		struct text	 a = { NULL, 0, 0 }, b = { NULL, 0, 0 };
		struct policy	*p, *q;

		random_policy(seed, &a, false, false);
		random_policy(seed, &b, true, false);
		p = law(a.buf);
		q = law(b.buf);
		for (i = 0; i < NPROBES; i++) {
			struct policy_query	x = probe(i);
			struct verdict		v = policy_decide(p, &x),
						w = policy_decide(q, &x);

			assert_int_equal(v.kind, w.kind);
			assert_int_equal(v.reason, w.reason);
			assert_memory_equal(&v.dial, &w.dial, sizeof(v.dial));
		}
		policy_free(p);
		policy_free(q);
		free(a.buf);
		free(b.buf);
	}
}

/* By itself, or within the network for which the word stands. */
static bool
own_is_meant(const struct policy_query *q)
{
	static const char *const	meant[] = { "10.1.2.4", "203.0.114.1",
	    "2600:1f00::2", "10.1.2.128/25" };
	struct endpoint			form[POLICY_FORMS_MAX];
	size_t				i, n = policy_forms(&q->dst, form);
	uint32_t			in = own_of(&q->dst, meant, 3);

	if (q->proto == PROTO_TCP && q->dst.port <= 9999)
		in |= own_of(&q->dst, meant, 4);
	for (i = 0; i < n; i++)
		if ((q->own >> i & 1) != 0 && (in >> i & 1) == 0)
			return false;
	return true;
}

/* The first form that the floor has anyway is told by its reason. */
static void
check_own(const struct policy *p, const struct policy_query *q,
    unsigned int *denied, unsigned int *meant)
{
	struct policy_query	away = *q;
	struct verdict		v = policy_decide(p, q), w;

	away.own = 0;
	w = policy_decide(p, &away);
	if (v.kind != VERDICT_DENY) {	/* what is ours was meant to be */
		assert_int_not_equal(w.kind, VERDICT_DENY);
		assert_true(own_is_meant(q) || v.local_ok == UINT32_MAX);
		if (v.local_ok != UINT32_MAX) {
			assert_int_equal(w.local_ok, v.local_ok);
			(*meant)++;
		}
	} else if (w.kind != VERDICT_DENY) {
		if (!own_is_meant(q)) {
			assert_int_equal(v.reason, REASON_FLOOR_LOCAL);
			(*denied)++;
		} else		/* `any' is not for what an exception lifted */
			assert_true(v.reason != REASON_DENY_RULE &&
			    (v.reason < REASON_FLOOR_SPECIAL ||
			    v.reason > REASON_FLOOR_PORT));
	}
}

static void
own_is_not_reached(void **state)
{
	uint64_t	seed;
	unsigned int	i, denied = 0, meant = 0;

	(void)state;
	for (seed = 1; seed <= 300; seed++) {
		struct text	 t = { NULL, 0, 0 };
		struct policy	*p;

		random_policy(seed, &t, false, false);
		p = law(t.buf);
		for (i = 0; i < NPROBES; i++) {
			struct policy_query	q = probe(i);
			struct endpoint		form[POLICY_FORMS_MAX];
			size_t			n = policy_forms(&q.dst, form);

			for (q.own = 1; q.own < UINT32_C(1) << n; q.own++)
				check_own(p, &q, &denied, &meant);
		}
		policy_free(p);
		free(t.buf);
	}
	assert_true(denied > 10000 && meant > 1000);
}

/* ---- a token less ----------------------------------------------------------- */

/* The token at or after *at; a newline is one. Returns its length, 0 at the end. */
static size_t
next_token(const char *s, size_t *at)
{
	size_t	i = *at, n;

	while (s[i] == ' ' || s[i] == '\t')
		i++;
	*at = i;
	if (s[i] == '\0')
		return 0;
	if (s[i] == '\n')
		return 1;
	if (s[i] == '"') {
		for (n = 1; s[i + n] != '"'; n++)
			;
		return n + 1;
	}
	return strcspn(s + i, " \t\n");
}

static void
without_one(const char *text, size_t at, size_t len, const struct policy *full,
    unsigned int *laws)
{
	struct text	 t = { NULL, 0, 0 };
	struct model	*m;
	struct policy	*p;
	unsigned int	 i;

	text_add(&t, "%.*s %s", (int)at, text, text + at + len);
	if ((m = law_model(t.buf, false)) == NULL) {
		free(t.buf);
		return;
	}
	(*laws)++;
	p = law_load(m);
	assert_non_null(p);
	for (i = 0; i < NPROBES; i++) {
		struct policy_query	x = probe(i);

		if (policy_decide(p, &x).kind != VERDICT_DENY &&
		    policy_decide(full, &x).kind == VERDICT_DENY)
			fail_msg("without \"%.*s\" at %zu it allows more:\n%s",
			    (int)len, text + at, at, t.buf);
	}
	policy_free(p);
	grammar_free(m);
	free(t.buf);
}

static void
a_token_less(void **state)
{
	uint64_t	seed;
	unsigned int	laws = 0, tried = 0;

	(void)state;
	for (seed = 1; seed <= 60; seed++) {
		struct text	 t = { NULL, 0, 0 };
		struct policy	*p;
		size_t		 at, len;

		random_policy(seed, &t, false, false);
		p = law(t.buf);
		/* past the globals: the tables' entries may be a deny's */
		at = (size_t)(strstr(t.buf, "tenant t {") - t.buf);
		for (; (len = next_token(t.buf, &at)) > 0; at += len, tried++)
			without_one(t.buf, at, len, p, &laws);
		policy_free(p);
		free(t.buf);
	}
	print_message("%u tokens, %u times still a law\n", tried, laws);
	assert_true(tried > 2000 && laws < tried / 3);
}

/* ---- names ---------------------------------------------------------------------- */

static bool
patterns_match(const struct patterns *s, const struct name *n)
{
	size_t	i;

	for (i = 0; i < s->list.n; i++)
		if (pattern_matches(&s->list.v[i], n))
			return true;
	return false;
}

/* By the model's entries one by one, not by the search that decides. */
static bool
names_match_rule(const struct rule *r, const struct name *n)
{
	return r->dest.kind == KIND_NAME &&
	    patterns_match(&r->dest.names, n) &&
	    !patterns_match(&r->dest.xnames, n);
}

static bool
services_have(const struct services *s, const struct policy_query *q)
{
	size_t	i;

	for (i = 0; i < s->range.n; i++)
		if (s->range.v[i].proto == q->proto &&
		    s->range.v[i].lo <= q->dst.port &&
		    q->dst.port <= s->range.v[i].hi)
			return true;
	return false;
}

/* It is this rule's, and no deny in force has it. */
static bool
is_lively(const struct model *m, const struct policy_query *q,
    const struct rule *r, const struct name *n)
{
	const struct tenant	*t = &m->tenant.v[0];
	size_t			 i;

	if (!names_match_rule(r, n))
		return false;
	for (i = 0; i < t->rule.n; i++)
		if (t->rule.v[i].deny && t->rule.v[i].mode != MODE_AUDIT &&
		    services_have(&t->rule.v[i].services, q) &&
		    names_match_rule(&t->rule.v[i], n))
			return false;
	return true;
}

static void
check_allowed_name(const struct model *m, const struct policy_query *q,
    const struct verdict *v)
{
	const struct rule	*r = &m->tenant.v[0].rule.v[v->rule];
	const struct policy_shown *s = q->shown;
	bool			 verify = r->verify != VERIFY_NONE &&
				    q->proto == PROTO_TCP, found = false;
	size_t			 i;

	assert_true(services_have(&r->services, q));
	for (i = 0; i < q->nbound; i++)
		found = found || (is_lively(m, q, r, q->bound[i]) &&
		    (!verify || s == NULL || name_equal(q->bound[i],
		    &s->name)));
	assert_true(found);
	if (verify && s == NULL)
		assert_int_equal(v->peek, PEEK_PROOF);
	if (verify && s != NULL) {
		assert_int_equal(s->what, SHOWN_NAME);
		assert_true(!s->ech || r->ech);
		assert_int_equal(s->kind, (r->verify_at.line != 0 ?
		    r->verify == VERIFY_SNI : q->dst.port != 80) ? PEEK_TLS :
		    PEEK_HTTP);
	}
}

/* A record claims no name that may be another's, and no proof that it has not seen. */
static void
check_naming(const struct policy_query *q, const struct verdict *v)
{
	struct naming	w = policy_naming(v, q->bound, q->nbound, q->shown);
	bool		seen = w.name != -1 && q->shown != NULL &&
			    q->shown->what == SHOWN_NAME &&
			    name_equal(q->bound[w.name], &q->shown->name);

	assert_in_range(w.name + 1, 0, q->nbound);
	if (w.assurance > ASSURANCE_DNS) {
		assert_true(seen && v->kind != VERDICT_DENY);
		assert_int_equal(q->shown->kind, w.assurance == ASSURANCE_SNI ?
		    PEEK_TLS : PEEK_HTTP);
		assert_false(w.assurance == ASSURANCE_SNI && q->shown->ech);
	}
	if (q->nbound > 1)
		assert_int_equal(w.name != -1, seen);
}

/* Without one of its names: nothing that was denied is let through. */
static void
check_name_less(const struct policy *p, const struct policy_query *q)
{
	const struct name	*left[8];
	struct policy_query	 less = *q;
	size_t			 i;

	for (i = 0; i < q->nbound; i++) {
		memcpy(left, q->bound, q->nbound * sizeof(left[0]));
		memmove(left + i, left + i + 1,
		    (q->nbound - i - 1) * sizeof(left[0]));
		less.bound = left;
		less.nbound = q->nbound - 1;
		assert_true(policy_decide(p, q).kind != VERDICT_DENY ||
		    policy_decide(p, &less).kind == VERDICT_DENY);
	}
}

static void
names_allow_what_they_match(void **state)
{
	uint64_t	seed;
	unsigned int	i, allowed = 0, verified = 0;

	(void)state;
	for (seed = 1; seed <= 300; seed++) {
		struct text	 t = { NULL, 0, 0 };
		struct model	*m;
		struct policy	*p;

		random_policy(seed, &t, false, false);
		m = law_model(t.buf, true);
		assert_non_null(m);
		p = law_load(m);
		for (i = 0; i < NPROBES; i++) {
			struct policy_query	q = probe(i);
			struct verdict		v = policy_decide(p, &q);

			check_name_less(p, &q);
			check_naming(&q, &v);
			if (v.kind != VERDICT_ALLOW)
				continue;
			if (m->tenant.v[0].rule.v[v.rule].dest.kind !=
			    KIND_NAME)
				continue;
			check_allowed_name(m, &q, &v);
			allowed++;
			verified += q.shown != NULL &&
			    q.shown->what == SHOWN_NAME;
		}
		policy_free(p);
		grammar_free(m);
		free(t.buf);
	}
	print_message("%u flows by name, %u of them verified\n", allowed,
	    verified);
	assert_true(allowed > 1000 && verified > 100);
}

/* ---- audit mode ------------------------------------------------------------------- */

/*
 * The same law in audit mode, with the denies in the mode of the tenant, or those that
 * have none of their own in force all the same.
 */
static void
audited(const char *text, struct text *out, bool keep)
{
	struct text	 t = { NULL, 0, 0 };
	char		*line, *rest, *mode;

	text_add(&t, "%s", text);
	rest = t.buf;
	while ((line = strsep(&rest, "\n")) != NULL) {
		mode = strncmp(line, "\tdeny", 5) == 0 ?
		    strstr(line, " mode ") : NULL;
		if (mode != NULL)
			*mode = '\0';
		text_add(out, "%s%s\n", strcmp(line, "tenant t {") == 0 ?
		    "tenant t mode audit {" : line,
		    strncmp(line, "\tdeny", 5) == 0 && mode == NULL && keep ?
		    " mode enforce" : "");
	}
	free(t.buf);
}

/* At the SYN, of a law that is asked: what stops it then is a name that is denied. */
static void
check_leniency(const struct policy *p, const struct policy_query *q,
    const struct verdict *v, unsigned int *barred)
{
	static const uint32_t	what[] = { SHOWN_OTHER, SHOWN_NOTHING,
				    SHOWN_UNDECIDED };
	struct policy_shown	s = { .kind = PEEK_TLS };
	struct law_names	n;
	struct policy_query	x = *q;
	size_t			i;

	x.shown = &s;
	for (i = 0; i < 3; i++) {
		s.what = what[i];
		assert_int_not_equal(policy_decide(p, &x).kind, VERDICT_DENY);
	}
	for (i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
		if (shown[i].kind == 0)
			continue;
		show_name(&x, &n, shown[i].kind, shown[i].name, shown[i].ech);
		if (v->recorded)
			assert_int_not_equal(policy_decide(p, &x).kind,
			    VERDICT_DENY);
		else
			*barred += policy_decide(p, &x).kind == VERDICT_DENY;
	}
}

static void
audit_mode_keeps_its_word(void **state)
{
	uint64_t	seed;
	unsigned int	i, looks = 0, recorded = 0, barred = 0;

	(void)state;
	for (seed = 1; seed <= 300; seed++) {
		struct text	 t = { NULL, 0, 0 }, a = { NULL, 0, 0 };
		struct policy	*p;

		random_policy(seed, &t, false, false);
		audited(t.buf, &a, true);
		p = law(a.buf);
		for (i = 0; i < NPROBES; i++) {
			struct policy_query	q = probe(i);
			struct verdict		v = policy_decide(p, &q);

			check_naming(&q, &v);
			q.shown = NULL;
			v = policy_decide(p, &q);
			assert_int_not_equal(v.peek, PEEK_PROOF);
			if (v.peek != PEEK_NONE)
				check_leniency(p, &q, &v, &barred);
			looks += v.peek != PEEK_NONE;
			recorded += v.recorded;
		}
		policy_free(p);
		free(t.buf);
		free(a.buf);
	}
	print_message("%u flows to be seen, %u of them for the record; %u times "
	    "a deny stopped one of the others\n", looks, recorded, barred);
	assert_true(recorded > 1000 && recorded < looks && barred > 10);
}

static bool
is_floor(const struct verdict *v)
{
	return v->reason >= REASON_FLOOR_SPECIAL && v->reason <= REASON_FLOOR_PORT;
}

/* What is recorded as denied is what would be denied, for the same reason. */
static void
audit_mode_says_what_would_be(void **state)
{
	uint64_t	seed;
	unsigned int	i, denied = 0;

	(void)state;
	for (seed = 1; seed <= 300; seed++) {
		struct text	 t = { NULL, 0, 0 }, a = { NULL, 0, 0 };
		struct policy	*p, *in_force;

		random_policy(seed, &t, false, false);
		audited(t.buf, &a, false);
		p = law(a.buf);
		free(t.buf);
		t = (struct text){ NULL, 0, 0 };
		text_add(&t, "%s", a.buf);
		memmove(strstr(t.buf, "tenant t mode audit {"),
		    "tenant t            {", 21);
		in_force = law(t.buf);
		for (i = 0; i < NPROBES; i++) {
			struct policy_query	q = probe(i);
			struct verdict		v = policy_decide(p, &q),
						w = policy_decide(in_force, &q);

			/* the mode opens nothing at the gateway */
			if (addr_equal(&q.dst, &q.gateway4))
				continue;
			assert_int_equal(v.reason, w.reason);
			assert_int_equal(v.rule, w.rule);
			if (w.kind == VERDICT_DENY && !is_floor(&w)) {
				assert_int_equal(v.kind, VERDICT_AUDIT_DENY);
				denied++;
			} else
				assert_int_equal(v.kind, w.kind);
		}
		policy_free(p);
		policy_free(in_force);
		free(t.buf);
		free(a.buf);
	}
	assert_true(denied > 10000);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(print_is_identity),
		cmocka_unit_test(more_allows_keep_denies),
		cmocka_unit_test(order_does_not_matter),
		cmocka_unit_test(own_is_not_reached),
		cmocka_unit_test(a_token_less),
		cmocka_unit_test(names_allow_what_they_match),
		cmocka_unit_test(audit_mode_keeps_its_word),
		cmocka_unit_test(audit_mode_says_what_would_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
