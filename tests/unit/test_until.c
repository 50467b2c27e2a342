/*
 * Rules that end, and what else a rule may say of itself; names and all below them in
 * one entry.
 */
#include "law_unit.h"

#define HEAD	"policy version 1\n"
#define A443	"203.0.114.1:443"
#define B443	"203.0.114.2:443"
#define JAN1	UINT64_C(1798761600)	/* 2027-01-01T00:00:00Z */

static struct verdict
at(const struct policy *p, uint64_t now, const char *dst, const char *bound,
    const char *sni)
{
	struct policy_query	q = query(PROTO_TCP, dst);
	struct law_names	n;

	q.now = now;
	bind_names(&q, &n, bound);
	if (sni != NULL)
		show_name(&q, &n, PEEK_TLS, sni, false);
	return policy_decide(p, &q);
}

static struct name_verdict
resolves(const struct policy *p, uint64_t now, const char *name)
{
	const struct name	n = name_of(name);

	return policy_name(p, 0, &n, now);
}

#define says(v, k, r, place) do {					\
	struct verdict v_ = (v);					\
									\
	assert_verdict(v_, k, r);					\
	assert_string_equal(policy_rule_loc(p, v_.rule), place);	\
} while (0)

static void
by_address(void **state)
{
	struct policy	*p = law(HEAD "tenant t {\n"
	    "\tallow to net 203.0.114.1 port tcp 443 until 2026-12-31\n"
	    "\tallow to net 203.0.114.2 port tcp 443 until 2026-12-31\n"
	    "\tallow to net 203.0.114.2 port tcp 443\n"
	    "\tallow to net 203.0.114.3 until 2027-01-01T00:00:01Z\n"
	    "\tdeny to net 203.0.114.3 port tcp 443\n}\n");

	(void)state;
	says(at(p, JAN1 - 1, A443, "", NULL), VERDICT_ALLOW, REASON_NONE, "test:3");
	says(at(p, JAN1, A443, "", NULL), VERDICT_DENY, REASON_RULE_EXPIRED,
	    "test:3");
	says(at(p, JAN1, "203.0.114.1:80", "", NULL), VERDICT_DENY,
	    REASON_DEFAULT_DENY, "");
	says(at(p, JAN1 - 1, B443, "", NULL), VERDICT_ALLOW, REASON_NONE, "test:4");
	says(at(p, JAN1, B443, "", NULL), VERDICT_ALLOW, REASON_NONE, "test:5");
	says(at(p, JAN1, "203.0.114.3:80", "", NULL), VERDICT_ALLOW, REASON_NONE,
	    "test:6");
	says(at(p, JAN1 + 1, "203.0.114.3:80", "", NULL), VERDICT_DENY,
	    REASON_RULE_EXPIRED, "test:6");
	/* a deny would have stopped it anyway */
	says(at(p, JAN1 + 1, "203.0.114.3:443", "", NULL), VERDICT_DENY,
	    REASON_DENY_RULE, "test:7");
	assert_int_equal(policy_expiry(p, 0, 0), JAN1);
	assert_int_equal(policy_expiry(p, 0, JAN1), JAN1 + 1);
	assert_int_equal(policy_expiry(p, 0, JAN1 + 1), 0);
	policy_free(p);
}

static void
by_name(void **state)
{
	struct policy	*p = law(HEAD "tenant t {\n"
	    "\tallow to name \"a.example.com\" port tcp 443 until 2026-12-31\n"
	    "\tallow to name \"b.example.com\" port tcp 443\n"
	    "\tdeny to name \"c.example.com\" port tcp 443\n"
	    "\tallow to name \"c.example.com\" port tcp 443 until 2026-12-31\n}\n");

	(void)state;
	assert_int_equal(resolves(p, JAN1 - 1, "a.example.com").kind,
	    VERDICT_ALLOW);
	assert_int_equal(resolves(p, JAN1, "a.example.com").reason,
	    REASON_RULE_EXPIRED);
	assert_int_equal(resolves(p, JAN1, "z.example.com").reason,
	    REASON_NAME_NOT_ALLOWED);
	says(at(p, JAN1 - 1, A443, "a.example.com", "a.example.com"),
	    VERDICT_ALLOW, REASON_NONE, "test:3");
	/* nothing is asked for, and nothing dialled */
	says(at(p, JAN1, A443, "a.example.com", NULL), VERDICT_DENY,
	    REASON_RULE_EXPIRED, "test:3");
	/* two names of one address: it is the shown one that counts */
	says(at(p, JAN1, A443, "a.example.com b.example.com", "a.example.com"),
	    VERDICT_DENY, REASON_RULE_EXPIRED, "test:3");
	says(at(p, JAN1, A443, "a.example.com b.example.com", "b.example.com"),
	    VERDICT_ALLOW, REASON_NONE, "test:4");
	says(at(p, JAN1, A443, "a.example.com b.example.com", "z.example.com"),
	    VERDICT_DENY, REASON_SNI_MISMATCH, "test:4");
	/* its name is denied: the end of the allow has nothing to do with it */
	says(at(p, JAN1, A443, "c.example.com", NULL), VERDICT_DENY,
	    REASON_NAME_NOT_ALLOWED, "test:5");
	policy_free(p);
}

static void
beside_a_look(void **state)
{
	struct policy		*p = law(HEAD "tenant t mode audit {\n"
	    "\tallow to net 203.0.114.1 port tcp 443 until 2026-12-31\n"
	    "\tdeny to name \"c.example.com\" port tcp 443\n}\n");
	struct policy_query	 q = query(PROTO_TCP, A443);
	struct law_names	 n;

	(void)state;
	q.now = JAN1;
	bind_names(&q, &n, "c.example.com");
	show_name(&q, &n, PEEK_TLS, "x.example.com", false);
	says(policy_decide(p, &q), VERDICT_AUDIT_DENY, REASON_RULE_EXPIRED,
	    "test:3");
	show_name(&q, &n, PEEK_TLS, "c.example.com", false);
	says(policy_decide(p, &q), VERDICT_AUDIT_DENY, REASON_DENY_RULE,
	    "test:4");
	policy_free(p);
}

static void
dates(void **state)
{
	static const struct { const char *text; uint64_t until; } good[] = {
		{ "2026-12-31", JAN1 }, { "2027-01-01T00:00:00Z", JAN1 },
		{ "2024-02-29", UINT64_C(1709251200) },
		{ "2000-02-29T23:59:59z", UINT64_C(951868799) },
		{ "1971-01-01", UINT64_C(31622400) },
		{ "9999-12-31", UINT64_C(253402300800) } };
	static const char *const bad[] = { "2026-02-29", "2100-02-29",
	    "2026-13-01", "2026-00-01", "2026-01-00", "2026-01-32", "2026-1-1",
	    "1970-12-31", "20261231", "2026-12-31T", "2026-12-31T24:00:00Z",
	    "2026-12-31T00:60:00Z", "2026-12-31T00:00:60Z", "2026-12-31T00:00Z",
	    "2026-12-31T00:00:00", "2026-12-31T00:00:00+01:00", "2026-12-31Z",
	    "", "tomorrow", "2026-12-31T00:00:00Zx" };
	char		 buf[DATE_STRLEN];
	uint64_t	 t, again;
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(date_parse(good[i].text, &t));
		assert_int_equal(t, good[i].until);
		assert_true(date_parse(date_print(t, buf), &again));
		assert_int_equal(again, t);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(date_parse(bad[i], &t));
	assert_string_equal(date_print(JAN1, buf), "2026-12-31");
	assert_string_equal(date_print(JAN1 + 1, buf), "2027-01-01T00:00:01Z");
}

#define RULE	"\tallow to net 203.0.114.1 port tcp 443"

/* The id is the law's: who agreed to it, and why, is not. */
static void
ids(void **state)
{
	struct policy	*p = law(HEAD "tenant t {\n" RULE "\n"
	    RULE " ticket \"OPS-1\" note \"a # note\"\n"
	    RULE " until 2026-12-31\n" RULE " until 2026-12-31 ticket \"x\"\n}\n");

	(void)state;
	assert_string_equal(policy_rule_id(p, 0), policy_rule_id(p, 1));
	assert_string_not_equal(policy_rule_id(p, 0), policy_rule_id(p, 2));
	assert_string_equal(policy_rule_id(p, 2), policy_rule_id(p, 3));
	assert_int_equal(policy_rule_until(p, 0), 0);
	assert_int_equal(policy_rule_until(p, 3), JAN1);
	assert_int_equal(policy_rule_until(p, POLICY_NO_RULE), 0);
	policy_free(p);
}

static void
trees(void **state)
{
	struct policy	*p = law(HEAD "tenant t {\n"
	    "\tallow to name { \"+.a.example.com\" \"x.example.com\" } "
	    "except { \"+.no.a.example.com\" } port tcp 443\n}\n");

	(void)state;
	assert_int_equal(resolves(p, 0, "a.example.com").kind, VERDICT_ALLOW);
	assert_false(resolves(p, 0, "a.example.com").counted);
	assert_int_equal(resolves(p, 0, "b.a.example.com").kind, VERDICT_ALLOW);
	assert_true(resolves(p, 0, "b.a.example.com").counted);
	assert_int_equal(resolves(p, 0, "d.c.b.a.example.com").kind,
	    VERDICT_ALLOW);
	assert_int_equal(resolves(p, 0, "x.example.com").kind, VERDICT_ALLOW);
	assert_int_equal(resolves(p, 0, "no.a.example.com").kind, VERDICT_DENY);
	assert_int_equal(resolves(p, 0, "y.no.a.example.com").kind, VERDICT_DENY);
	assert_int_equal(resolves(p, 0, "nono.a.example.com").kind,
	    VERDICT_ALLOW);
	assert_int_equal(resolves(p, 0, "aa.example.com").kind, VERDICT_DENY);
	assert_int_equal(resolves(p, 0, "example.com").kind, VERDICT_DENY);
	assert_int_equal(resolves(p, 0, "y.x.example.com").kind, VERDICT_DENY);
	assert_verdict(at(p, 0, A443, "a.example.com", "a.example.com"),
	    VERDICT_ALLOW, REASON_NONE);
	assert_verdict(at(p, 0, A443, "z.no.a.example.com", NULL), VERDICT_DENY,
	    REASON_DEFAULT_DENY);
	policy_free(p);
}

static void
tenants(void **state)
{
	char		 text[4096] = HEAD, buf[TENANTS_HINT_MAX];
	struct policy	*p = law(HEAD "tenant ci-linux { }\ntenant 7apps { }\n");
	unsigned int	 i;

	(void)state;
	policy_tenants_hint(p, "ci-linx", buf, sizeof(buf));
	assert_string_equal(buf, "; did you mean ci-linux? It has: ci-linux 7apps");
	policy_tenants_hint(p, "other", buf, sizeof(buf));
	assert_string_equal(buf, "; it has: ci-linux 7apps");
	policy_tenants_hint(p, "", buf, sizeof(buf));
	assert_string_equal(buf, "; it has: ci-linux 7apps");
	policy_free(p);
	for (i = 0; i < 25; i++)
		snprintf(text + strlen(text), 100, "tenant %063u { }\n", i);
	p = law(text);
	policy_tenants_hint(p, "x", buf, sizeof(buf));
	assert_non_null(strstr(buf, " and 5 more"));
	policy_tenants_hint(p, "x", buf, 20);
	assert_int_equal(strlen(buf), 19);
	policy_free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_address), cmocka_unit_test(by_name),
		cmocka_unit_test(beside_a_look), cmocka_unit_test(dates),
		cmocka_unit_test(ids), cmocka_unit_test(trees),
		cmocka_unit_test(tenants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
