/* Rules by name: at the SYN, at the first flight, and of names to resolve. */
#include "law_unit.h"

#include <time.h>

#define HEAD	"policy version 1\n"

static struct verdict
syn(const struct policy *p, uint32_t proto, const char *dst, const char *bound)
{
	struct policy_query	q = query(proto, dst);
	struct law_names	n;

	bind_names(&q, &n, bound);
	return policy_decide(p, &q);
}

static struct verdict
flight(const struct policy *p, uint32_t kind, const char *dst,
    const char *bound, const char *shown, bool ech)
{
	struct policy_query	q = query(PROTO_TCP, dst);
	struct law_names	n;

	bind_names(&q, &n, bound);
	show_name(&q, &n, kind, shown, ech);
	return policy_decide(p, &q);
}

#define tls(p, dst, bound, sni, ech) \
	flight(p, PEEK_TLS, dst, bound, sni, ech)
#define http(p, dst, bound, host) \
	flight(p, PEEK_HTTP, dst, bound, host, false)
#define A443	"203.0.114.1:443"

/* What the record calls a flow. */
static void
named_as(const struct policy *p, const char *dst, const char *bound,
    const char *sni, bool ech, const char *want, uint32_t assurance)
{
	struct policy_query	q = query(PROTO_TCP, dst);
	struct law_names	n;
	struct verdict		v;
	struct naming		w;

	bind_names(&q, &n, bound);
	if (sni != NULL)
		show_name(&q, &n, PEEK_TLS, *sni != '\0' ? sni : NULL, ech);
	v = policy_decide(p, &q);
	w = policy_naming(&v, q.bound, q.nbound, q.shown);
	assert_int_equal(w.assurance, assurance);
	if (want == NULL)
		assert_int_equal(w.name, -1);
	else
		assert_string_equal(q.bound[w.name]->text, want);
}

static void
stages(void **state)
{
	struct policy	*p = law(HEAD "tenant t {\n"
	    "\tallow to name { \"a.example.com\" \"b.example.com\" } port tcp 443\n"
	    "\tallow to name \"c.example.com\" port tcp 443 ech allow\n}\n");
	struct verdict	 v = syn(p, PROTO_TCP, A443, "a.example.com");

	(void)state;
	assert_verdict(v, VERDICT_ALLOW, REASON_NONE);
	assert_int_equal(v.peek, PEEK_PROOF);
	v = tls(p, A443, "a.example.com", "a.example.com", false);
	assert_verdict(v, VERDICT_ALLOW, REASON_NONE);
	assert_int_equal(v.peek, PEEK_NONE);
	named_as(p, A443, "a.example.com", "a.example.com", false,
	    "a.example.com", ASSURANCE_SNI);
	/* the shown name is the flow's, whichever was bound first */
	assert_verdict(tls(p, A443, "b.example.com a.example.com",
	    "b.example.com", false), VERDICT_ALLOW, REASON_NONE);
	named_as(p, A443, "b.example.com a.example.com", "b.example.com", false,
	    "b.example.com", ASSURANCE_SNI);
	/* allowed, but this address was not given for it */
	v = tls(p, A443, "a.example.com", "b.example.com", false);
	assert_verdict(v, VERDICT_DENY, REASON_SNI_MISMATCH);
	assert_string_equal(policy_rule_loc(p, v.rule), "test:3");
	named_as(p, A443, "a.example.com", "b.example.com", false,
	    "a.example.com", ASSURANCE_NONE);
	/* bound, but not allowed */
	assert_verdict(tls(p, A443, "a.example.com z.example.com",
	    "z.example.com", false), VERDICT_DENY, REASON_SNI_MISMATCH);
	assert_verdict(tls(p, A443, "a.example.com", NULL, false), VERDICT_DENY,
	    REASON_SNI_MISSING);
	assert_verdict(tls(p, A443, "a.example.com", "a.example.com", true),
	    VERDICT_DENY, REASON_ECH_PRESENT);
	/* where ECH may be offered, the name is no more than the outer one */
	assert_verdict(tls(p, A443, "c.example.com", "c.example.com", true),
	    VERDICT_ALLOW, REASON_NONE);
	named_as(p, A443, "c.example.com", "c.example.com", true,
	    "c.example.com", ASSURANCE_DNS);
	named_as(p, A443, "c.example.com", "c.example.com", false,
	    "c.example.com", ASSURANCE_SNI);
	/* a request's head is no proof where a ClientHello was asked for */
	assert_verdict(http(p, A443, "a.example.com", "a.example.com"),
	    VERDICT_DENY, REASON_SNI_UNPARSEABLE);
	policy_free(p);
}

/* Of a flight that names nothing no name is read, whatever lies there. */
static void
unnamed(void **state)
{
	struct policy		*p = law(HEAD "tenant t {\n"
	    "\tallow to name \"a.example.com\" port tcp 443\n"
	    "\tallow to net 203.0.115.0/24 port tcp 443\n"
	    "\tdeny to name \"b.example.com\" port tcp 443\n}\n");
	struct policy_query	 q = query(PROTO_TCP, A443);
	struct law_names	 n;

	(void)state;
	bind_names(&q, &n, "a.example.com");
	show_name(&q, &n, PEEK_TLS, "a.example.com", false);
	n.shown.what = SHOWN_OTHER;
	assert_verdict(policy_decide(p, &q), VERDICT_DENY, REASON_SNI_MISSING);
	q.dst = query(PROTO_TCP, "203.0.115.1:443").dst;
	n.shown.name = name_of("b.example.com");
	assert_verdict(policy_decide(p, &q), VERDICT_ALLOW, REASON_NONE);
	n.shown.what = SHOWN_NAME;
	assert_verdict(policy_decide(p, &q), VERDICT_DENY, REASON_DENY_RULE);
	policy_free(p);
}

/* One rule for TCP and UDP: only TCP is asked for its proof. */
static void
both_protocols(void **state)
{
	struct policy	*p = law(HEAD "host-service h 127.0.0.1:443 tcp\n"
	    "tenant t {\n\tallow to name \"a.example.com\" port tcp 443 "
	    "port udp 443\n}\n");
	struct verdict	 v = syn(p, PROTO_UDP, A443, "a.example.com");

	(void)state;
	assert_verdict(v, VERDICT_ALLOW, REASON_NONE);
	assert_int_equal(v.peek, PEEK_NONE);
	assert_int_equal(syn(p, PROTO_TCP, A443, "a.example.com").peek,
	    PEEK_PROOF);
	/* and no name leads to a service of the host */
	assert_verdict(syn(p, PROTO_TCP, "10.0.2.2:443", "a.example.com"),
	    VERDICT_DENY, REASON_DEFAULT_DENY);
	policy_free(p);
}

static void
no_name(void **state)
{
	struct policy		*p = law(HEAD "tenant t {\n"
	    "\tallow to name \"a.example.com\" port tcp 443\n"
	    "\tallow to name \"ntp.example.com\" port udp 123\n}\n");
	struct policy_query	 q = query(PROTO_TCP, A443);

	(void)state;
	/* an address is no name */
	assert_denied(p, PROTO_TCP, A443, REASON_NO_PIN);
	assert_denied(p, PROTO_TCP, "203.0.114.1:80", REASON_DEFAULT_DENY);
	assert_denied(p, PROTO_ECHO, "203.0.114.1", REASON_DEFAULT_DENY);
	assert_denied(p, PROTO_UDP, "203.0.114.1:123", REASON_NO_PIN);
	q.lapsed = true;
	assert_verdict(policy_decide(p, &q), VERDICT_DENY, REASON_PIN_EXPIRED);
	assert_int_equal(policy_decide(p, &q).rule, POLICY_NO_RULE);
	/* a name that no rule allows, a port that its rule does not have */
	assert_verdict(syn(p, PROTO_TCP, A443, "z.example.com"), VERDICT_DENY,
	    REASON_DEFAULT_DENY);
	assert_verdict(syn(p, PROTO_TCP, "203.0.114.1:80", "a.example.com"),
	    VERDICT_DENY, REASON_DEFAULT_DENY);
	/* never UDP for what is TCP's (B22), never a ping */
	assert_verdict(syn(p, PROTO_UDP, A443, "a.example.com"), VERDICT_DENY,
	    REASON_QUIC_UNVERIFIABLE);
	assert_verdict(syn(p, PROTO_UDP, A443, "z.example.com"), VERDICT_DENY,
	    REASON_DEFAULT_DENY);
	assert_verdict(syn(p, PROTO_ECHO, "203.0.114.1", "a.example.com"),
	    VERDICT_DENY, REASON_DEFAULT_DENY);
	assert_verdict(syn(p, PROTO_UDP, "203.0.114.1:123", "ntp.example.com"),
	    VERDICT_ALLOW, REASON_NONE);
	policy_free(p);
}

/* A port that only another's rule has is not for want of a name. */
static void
wrong_port(void **state)
{
	struct policy	*p = law(HEAD "tenant t {\n"
	    "\tallow to name \"a.example.com\" port tcp 443\n"
	    "\tallow to name \"b.example.com\" port tcp 8443\n"
	    "\tallow to net 203.0.115.0/24 except 203.0.115.9 port tcp 80\n"
	    "\tallow to any port tcp 22\n}\n");

	(void)state;
	assert_verdict(syn(p, PROTO_TCP, "203.0.114.1:8443", "a.example.com"),
	    VERDICT_DENY, REASON_DEFAULT_DENY);
	assert_denied(p, PROTO_TCP, "203.0.114.1:8443", REASON_NO_PIN);
	assert_denied(p, PROTO_TCP, "203.0.115.1:8443", REASON_DEFAULT_DENY);
	assert_denied(p, PROTO_TCP, "203.0.115.9:8443", REASON_NO_PIN);
	policy_free(p);
}

/* The floor is under names as under everything (B1). */
static void
floored(void **state)
{
	static const char *const	dst[] = { "127.0.0.1:443",
	    "169.254.169.254:443", "10.0.0.1:443", "[::1]:443",
	    "[::ffff:127.0.0.1]:443", "[64:ff9b::7f00:1]:443",
	    "[64:ff9b::a9fe:a9fe]:443", "[2002:7f00:1::]:443",
	    "[fd00:ec2::254]:443", "0.0.0.0:443", "10.0.2.2:443" };
	struct policy	*p = law(HEAD
	    "floor except net 10.20.7.10 port tcp 443 for tenant t ticket \"x\"\n"
	    "tenant t mode audit {\n"
	    "\tallow to name \"a.example.com\" port tcp 443 verify none\n}\n");
	static const char	*local = "203.0.114.7";
	struct endpoint		 e;
	size_t			 i;

	(void)state;
	for (i = 0; i < sizeof(dst) / sizeof(dst[0]); i++) {
		assert_int_equal(syn(p, PROTO_TCP, dst[i],
		    "a.example.com").kind, VERDICT_DENY);
		assert_int_equal(endpoint_parse(dst[i], &e), 0);
		assert_false(policy_reaches(p, 0, &e, 0));
	}
	policy_free(p);
	p = law(HEAD
	    "floor except net 10.20.7.10 port tcp 443 for tenant t ticket \"x\"\n"
	    "tenant t {\n\tallow to name \"a.example.com\" port tcp 443 "
	    "verify none\n}\ntenant u { }\n");
	assert_verdict(syn(p, PROTO_TCP, "10.20.7.10:443", "a.example.com"),
	    VERDICT_ALLOW, REASON_NONE);
	assert_true(syn(p, PROTO_TCP, "10.20.7.10:443",
	    "a.example.com").local_ok);
	assert_int_equal(addr_parse("10.20.7.10", &e), 0);
	assert_true(policy_reaches(p, 0, &e, 0));
	assert_false(policy_reaches(p, 1, &e, 0));
	assert_false(policy_reaches(p, 2, &e, 0));
	assert_int_equal(addr_parse("203.0.114.8", &e), 0);
	assert_true(policy_reaches(p, 1, &e, own_of(&e, &local, 1)));
	assert_int_equal(addr_parse("203.0.114.7", &e), 0);
	assert_false(policy_reaches(p, 1, &e, own_of(&e, &local, 1)));
	assert_int_equal(addr_parse("64:ff9b::203.0.114.7", &e), 0);
	assert_false(policy_reaches(p, 1, &e, own_of(&e, &local, 1)));
	policy_free(p);
}

/* What one rule lets through, another does not take away by its being first. */
static void
none_takes_away(void **state)
{
	struct policy	*p = law(HEAD "tenant t {\n"
	    "\tallow to name \"a.example.com\" port tcp 443\n"
	    "\tallow to net 203.0.114.0/24 port tcp 443\n"
	    "\tallow to name \"b.example.com\" port tcp 443 verify none\n}\n");
	struct verdict	 v;

	(void)state;
	assert_int_equal(syn(p, PROTO_TCP, A443, "a.example.com").peek,
	    PEEK_NONE);
	assert_string_equal(policy_rule_loc(p, syn(p, PROTO_TCP, A443,
	    "a.example.com").rule), "test:4");
	assert_int_equal(syn(p, PROTO_TCP, A443, "b.example.com").peek,
	    PEEK_NONE);
	assert_int_equal(syn(p, PROTO_TCP, "203.0.115.1:443",
	    "a.example.com").peek, PEEK_PROOF);
	/* a net rule matches as ever, whatever the flight shows */
	v = tls(p, A443, "a.example.com", "z.example.com", true);
	assert_verdict(v, VERDICT_ALLOW, REASON_NONE);
	assert_string_equal(policy_rule_loc(p, v.rule), "test:4");
	/* what is shown and what it is let through by are two things */
	v = tls(p, A443, "a.example.com", "a.example.com", false);
	assert_string_equal(policy_rule_loc(p, v.rule), "test:3");
	/* and so does a name that needs no proof */
	v = tls(p, "203.0.115.1:443", "a.example.com b.example.com", NULL, false);
	assert_verdict(v, VERDICT_ALLOW, REASON_NONE);
	assert_string_equal(policy_rule_loc(p, v.rule), "test:5");
	policy_free(p);
}

static void
virtual_hosts(void **state)
{
	struct policy	*p = law(HEAD "tenant t {\n"
	    "\tallow to name \"a.example.com\" port tcp 80 verify host\n}\n");
	struct verdict	 v = syn(p, PROTO_TCP, "203.0.114.1:80",
			    "a.example.com");

	(void)state;
	assert_int_equal(v.peek, PEEK_PROOF);
	v = http(p, "203.0.114.1:80", "a.example.com", "a.example.com");
	assert_verdict(v, VERDICT_ALLOW, REASON_NONE);
	assert_verdict(http(p, "203.0.114.1:80", "a.example.com",
	    "b.example.com"), VERDICT_DENY, REASON_VHOST_MISMATCH);
	assert_verdict(http(p, "203.0.114.1:80", "a.example.com", NULL),
	    VERDICT_DENY, REASON_VHOST_MISSING);
	assert_verdict(tls(p, "203.0.114.1:80", "a.example.com",
	    "a.example.com", false), VERDICT_DENY, REASON_VHOST_UNPARSEABLE);
	policy_free(p);
}

/*
 * What a rule does not say is a matter of each of its ports: a Host on 80, a server
 * name on the others. A range that has 80 in it is no different.
 */
static void
proof_by_port(void **state)
{
	static const char *const	ports[] = { "{ 80 443 }", "79-81 port tcp 443",
					    "1-24 port tcp 26-443", "80 port tcp 443 "
					    "ech allow" };
	struct verdict			 v;
	struct policy			*p;
	char				 text[256];
	size_t				 i;

	(void)state;
	for (i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		snprintf(text, sizeof(text), HEAD "tenant t {\n\tallow to name "
		    "\"a.example.com\" port tcp %s\n}\n", ports[i]);
		p = law(text);
		v = syn(p, PROTO_TCP, "203.0.114.1:80", "a.example.com");
		assert_int_equal(v.peek, PEEK_PROOF);
		assert_verdict(http(p, "203.0.114.1:80", "a.example.com",
		    "a.example.com"), VERDICT_ALLOW, REASON_NONE);
		assert_verdict(http(p, "203.0.114.1:80", "a.example.com",
		    "b.example.com"), VERDICT_DENY, REASON_VHOST_MISMATCH);
		assert_verdict(tls(p, "203.0.114.1:80", "a.example.com",
		    "a.example.com", false), VERDICT_DENY,
		    REASON_VHOST_UNPARSEABLE);
		assert_verdict(tls(p, A443, "a.example.com", "a.example.com",
		    false), VERDICT_ALLOW, REASON_NONE);
		assert_verdict(http(p, A443, "a.example.com",
		    "a.example.com"), VERDICT_DENY, REASON_SNI_UNPARSEABLE);
		assert_int_equal(tls(p, A443, "a.example.com",
		    "a.example.com", true).kind, i == 3 ? VERDICT_ALLOW :
		    VERDICT_DENY);
		policy_free(p);
	}
	/* what is written holds for all of them */
	p = law(HEAD "tenant t {\n\tallow to name \"a.example.com\" port tcp "
	    "{ 80 443 } verify sni\n}\n");
	assert_verdict(tls(p, "203.0.114.1:80", "a.example.com",
	    "a.example.com", false), VERDICT_ALLOW, REASON_NONE);
	assert_verdict(http(p, "203.0.114.1:80", "a.example.com",
	    "a.example.com"), VERDICT_DENY, REASON_SNI_UNPARSEABLE);
	policy_free(p);
}

static void
denied_names(void **state)
{
	struct policy	*p = law(HEAD "tenant t {\n"
	    "\tallow to name \"**.example.com\" port tcp { 80 443 }\n"
	    "\tallow to name \"**.example.com\" port tcp 22 verify none\n"
	    "\tdeny to name \"bad.example.com\" port tcp { 22 443 }\n"
	    "\tdeny to name \"seen.example.com\" port tcp 22 mode audit\n}\n");
	struct verdict	 v = syn(p, PROTO_TCP, A443, "bad.example.com");

	(void)state;
	assert_verdict(v, VERDICT_DENY, REASON_NAME_NOT_ALLOWED);
	assert_string_equal(policy_rule_loc(p, v.rule), "test:5");
	/* another name of the address is another matter */
	v = syn(p, PROTO_TCP, A443, "bad.example.com good.example.com");
	assert_verdict(v, VERDICT_ALLOW, REASON_NONE);
	assert_verdict(tls(p, A443, "bad.example.com good.example.com",
	    "bad.example.com", false), VERDICT_DENY, REASON_DENY_RULE);
	assert_verdict(tls(p, A443, "bad.example.com good.example.com",
	    "good.example.com", false), VERDICT_ALLOW, REASON_NONE);
	assert_int_equal(syn(p, PROTO_TCP, "203.0.114.1:80",
	    "bad.example.com").peek, PEEK_PROOF);
	/* recorded is what would be if it were in force */
	v = syn(p, PROTO_TCP, "203.0.114.1:22", "seen.example.com");
	assert_verdict(v, VERDICT_AUDIT_DENY, REASON_NAME_NOT_ALLOWED);
	assert_string_equal(policy_rule_loc(p, v.rule), "test:6");
	assert_int_equal(v.peek, PEEK_LOOK);
	assert_false(v.recorded);
	policy_free(p);
	/* under a net rule it is the shown name that is denied, if one is shown */
	p = law(HEAD "tenant t {\n\tallow to any port tcp 443\n"
	    "\tdeny to name \"bad.example.com\"\n}\n");
	v = syn(p, PROTO_TCP, A443, "bad.example.com");
	assert_verdict(v, VERDICT_ALLOW, REASON_NONE);
	assert_int_equal(v.peek, PEEK_LOOK);
	assert_int_equal(syn(p, PROTO_TCP, A443, "").peek, PEEK_LOOK);
	assert_verdict(tls(p, A443, "", "bad.example.com", false), VERDICT_DENY,
	    REASON_DENY_RULE);
	assert_verdict(tls(p, A443, "", "bad.example.com", true), VERDICT_DENY,
	    REASON_DENY_RULE);
	assert_verdict(tls(p, A443, "bad.example.com", "a.example.com", true),
	    VERDICT_ALLOW, REASON_NONE);
	assert_verdict(tls(p, A443, "bad.example.com", NULL, false),
	    VERDICT_ALLOW, REASON_NONE);
	policy_free(p);
}

static void
under_audit(void **state)
{
	struct policy	*p = law(HEAD "tenant t mode audit {\n"
	    "\tallow to name \"a.example.com\" port tcp 443\n"
	    "\tdeny to name \"b.example.com\"\n"
	    "\tdeny to name \"c.example.com\" mode enforce\n}\n");
	struct name	 a = name_of("a.example.com"), b = name_of("b.example.com"),
			 c = name_of("c.example.com"), d = name_of("d.example.com");

	(void)state;
	assert_int_equal(syn(p, PROTO_TCP, A443, "a.example.com").peek,
	    PEEK_LOOK);
	assert_verdict(tls(p, A443, "a.example.com", "x.example.com", false),
	    VERDICT_AUDIT_DENY, REASON_SNI_MISMATCH);
	assert_verdict(syn(p, PROTO_TCP, A443, ""), VERDICT_AUDIT_DENY,
	    REASON_NO_PIN);
	assert_int_equal(policy_name(p, 0, &a, 0).kind, VERDICT_ALLOW);
	assert_int_equal(policy_name(p, 0, &b, 0).kind, VERDICT_AUDIT_DENY);
	assert_int_equal(policy_name(p, 0, &c, 0).kind, VERDICT_DENY);
	assert_int_equal(policy_name(p, 0, &d, 0).kind, VERDICT_AUDIT_DENY);
	assert_true(policy_name(p, 0, &d, 0).counted);
	assert_int_equal(policy_needs(p, 0), NEEDS_RESOLVER | NEEDS_INSPECTOR);
	/* without a flight it goes on; a deny that is in force wants to see it */
	assert_false(syn(p, PROTO_TCP, A443, "a.example.com").recorded);
	assert_verdict(tls(p, A443, "a.example.com", "c.example.com", false),
	    VERDICT_DENY, REASON_DENY_RULE);
	assert_verdict(tls(p, A443, "a.example.com", NULL, false),
	    VERDICT_AUDIT_DENY, REASON_SNI_MISSING);
	policy_free(p);
	/* of another port it is none */
	p = law(HEAD "tenant t mode audit {\n"
	    "\tallow to name \"a.example.com\" port tcp { 443 444 }\n"
	    "\tdeny to name \"b.example.com\" port tcp 443\n"
	    "\tdeny to name \"c.example.com\" port tcp 444 mode enforce\n}\n");
	assert_true(syn(p, PROTO_TCP, A443, "a.example.com").recorded);
	assert_int_equal(syn(p, PROTO_TCP, "203.0.114.1:444",
	    "a.example.com").peek, PEEK_LOOK);
	assert_false(syn(p, PROTO_TCP, "203.0.114.1:444",
	    "a.example.com").recorded);
	policy_free(p);
	/* an audited deny over an allow that verifies opens nothing */
	p = law(HEAD "tenant t {\n"
	    "\tallow to name \"a.example.com\" port tcp 443\n"
	    "\tdeny to net 203.0.114.1 mode audit\n}\n");
	assert_verdict(syn(p, PROTO_TCP, A443, "a.example.com"),
	    VERDICT_AUDIT_DENY, REASON_DENY_RULE);
	assert_int_equal(syn(p, PROTO_TCP, A443, "a.example.com").peek,
	    PEEK_PROOF);
	assert_verdict(tls(p, A443, "a.example.com", "x.example.com", false),
	    VERDICT_DENY, REASON_SNI_MISMATCH);
	assert_verdict(tls(p, A443, "a.example.com", "a.example.com", false),
	    VERDICT_AUDIT_DENY, REASON_DENY_RULE);
	policy_free(p);
}

/* In audit mode all is looked at that may have a name, and stopped by nothing. */
static void
looked_at(void **state)
{
	struct policy	*p = law(HEAD "host-service h 127.0.0.1:443 tcp\n"
	    "tenant t mode audit {\n"
	    "\tallow to name \"a.example.com\" port tcp 443\n"
	    "\tallow to net 203.0.114.0/24 port tcp { 80 81 }\n"
	    "\tdeny to any port tcp 81\n"
	    "\tdeny to name \"c.example.com\" port tcp 82 mode enforce\n}\n"
	    "tenant u {\n\tallow to any\n\tdeny to any port tcp 83 mode audit\n}\n");
	struct verdict	 v = syn(p, PROTO_TCP, "203.0.114.1:83", "b.example.com");
	struct policy_query	q;
	struct law_names	n;

	(void)state;
	assert_verdict(v, VERDICT_AUDIT_DENY, REASON_DEFAULT_DENY);
	assert_int_equal(v.peek, PEEK_LOOK);
	assert_true(v.recorded);
	v = tls(p, "203.0.114.1:83", "b.example.com", "b.example.com", false);
	assert_verdict(v, VERDICT_AUDIT_DENY, REASON_DEFAULT_DENY);
	assert_int_equal(v.peek, PEEK_NONE);
	assert_int_equal(syn(p, PROTO_TCP, "203.0.114.1:81",
	    "b.example.com").peek, PEEK_LOOK);
	/* no name, no bytes */
	assert_int_equal(syn(p, PROTO_TCP, "203.0.114.1:83", "").peek,
	    PEEK_NONE);
	assert_int_equal(syn(p, PROTO_UDP, "203.0.114.1:83",
	    "b.example.com").peek, PEEK_NONE);
	assert_int_equal(syn(p, PROTO_ECHO, "203.0.114.1",
	    "b.example.com").peek, PEEK_NONE);
	/* allowed anyway; a deny in force; a rule of its own */
	assert_true(syn(p, PROTO_TCP, "203.0.114.1:80",
	    "b.example.com").recorded);
	assert_int_equal(syn(p, PROTO_TCP, "203.0.114.1:82",
	    "b.example.com").peek, PEEK_LOOK);
	assert_false(syn(p, PROTO_TCP, "203.0.114.1:82",
	    "b.example.com").recorded);
	assert_int_equal(syn(p, PROTO_TCP, A443, "a.example.com").peek,
	    PEEK_LOOK);
	/* not at the gateway, and not where the tenant's mode is another */
	assert_int_equal(syn(p, PROTO_TCP, "10.0.2.2:443",
	    "b.example.com").peek, PEEK_NONE);
	q = query(PROTO_TCP, "203.0.114.1:83");
	bind_names(&q, &n, "b.example.com");
	q.tenant = 1;
	v = policy_decide(p, &q);
	assert_verdict(v, VERDICT_AUDIT_DENY, REASON_DENY_RULE);
	assert_int_equal(v.peek, PEEK_NONE);
	policy_free(p);
}

static void
naming(void **state)
{
	struct policy	*p = law(HEAD "tenant t mode audit {\n"
	    "\tallow to name \"a.example.com\" port tcp { 443 444 }\n"
	    "\tallow to net 203.0.114.0/24 port tcp { 80 444 }\n"
	    "\tdeny to name \"d.example.com\" port tcp 443 mode enforce\n}\n");

	(void)state;
	/* by a rule for addresses, or by none: the only one, and no more is said */
	named_as(p, "203.0.114.1:80", "b.example.com", NULL, false,
	    "b.example.com", ASSURANCE_DNS);
	named_as(p, "203.0.114.1:81", "b.example.com", NULL, false,
	    "b.example.com", ASSURANCE_DNS);
	named_as(p, "203.0.114.1:80", "a.example.com b.example.com", NULL, false,
	    NULL, ASSURANCE_NONE);
	named_as(p, "203.0.114.1:80", "", NULL, false, NULL, ASSURANCE_NONE);
	/* which of two is not known before, and no rule says it */
	named_as(p, A443, "a.example.com b.example.com", NULL, false, NULL,
	    ASSURANCE_NONE);
	named_as(p, A443, "a.example.com b.example.com", "a.example.com", false,
	    "a.example.com", ASSURANCE_SNI);
	/* the one that it shows, whatever the rule would have */
	named_as(p, A443, "a.example.com b.example.com", "b.example.com", false,
	    "b.example.com", ASSURANCE_SNI);
	named_as(p, "203.0.114.1:444", "a.example.com b.example.com",
	    "b.example.com", false, "b.example.com", ASSURANCE_SNI);
	named_as(p, A443, "a.example.com b.example.com", "b.example.com", true,
	    "b.example.com", ASSURANCE_DNS);
	/* nothing, or what is not this address's */
	named_as(p, A443, "a.example.com b.example.com", "", false, NULL,
	    ASSURANCE_NONE);
	named_as(p, A443, "a.example.com", "", false, "a.example.com",
	    ASSURANCE_DNS);
	named_as(p, A443, "a.example.com", "x.example.com", false,
	    "a.example.com", ASSURANCE_NONE);
	named_as(p, A443, "a.example.com b.example.com", "x.example.com", false,
	    NULL, ASSURANCE_NONE);
	/* of what is denied nothing was sent */
	named_as(p, A443, "a.example.com d.example.com", "d.example.com", false,
	    "d.example.com", ASSURANCE_NONE);
	policy_free(p);
}

static struct name_verdict
ask(const struct policy *p, const char *name)
{
	struct name	n = name_of(name);

	return policy_name(p, 0, &n, 0);
}

static void
resolution(void **state)
{
	struct policy	*p = law(HEAD "tenant t {\n"
	    "\tallow to name \"**.w.example.com\" port tcp 443\n"
	    "\tallow to name \"one.w.example.com\" port udp 1\n"
	    "\tallow to name \"*.l.example.com\" except \"x.l.example.com\" "
	    "port tcp 443\n"
	    "\tallow to name \"p.example.com\" port tcp 443\n"
	    "\tdeny to name \"no.w.example.com\"\n"
	    "\tdeny to name \"p.example.com\" port tcp 443\n}\n"
	    "tenant u {\n\tallow to any port tcp 443\n"
	    "\tallow to name \"e.example.com\" port tcp 443\n}\n"
	    "tenant v {\n\tallow to any\n\tdeny to any\n}\n"
	    "tenant w {\n\tallow to net 203.0.114.1\n}\n"
	    "tenant x mode audit { }\n"
	    "tenant y {\n\tallow to any\n"
	    "\tallow to name \"e.example.com\" port udp 1\n"
	    "\tallow to name \"e.example.com\" port udp 2\n"
	    "\tdeny to any except 203.0.114.0/24\n}\n");
	struct name	 n = name_of("e.example.com");
	uint32_t	 y = 5;

	(void)state;
	assert_int_equal(ask(p, "a.w.example.com").kind, VERDICT_ALLOW);
	assert_true(ask(p, "a.w.example.com").counted);
	assert_int_equal(ask(p, "a.b.w.example.com").kind, VERDICT_ALLOW);
	assert_int_equal(ask(p, "w.example.com").reason,
	    REASON_NAME_NOT_ALLOWED);
	/* an exact rule speaks first, and carries no bytes (B21) */
	assert_int_equal(ask(p, "one.w.example.com").rule, 1);
	assert_false(ask(p, "one.w.example.com").counted);
	assert_int_equal(ask(p, "a.l.example.com").kind, VERDICT_ALLOW);
	assert_int_equal(ask(p, "x.l.example.com").kind, VERDICT_DENY);
	assert_int_equal(ask(p, "a.b.l.example.com").kind, VERDICT_DENY);
	assert_int_equal(ask(p, "no.w.example.com").reason, REASON_DENY_RULE);
	assert_string_equal(policy_rule_loc(p, ask(p, "no.w.example.com").rule),
	    "test:7");
	/* with ports a deny is about flows */
	assert_int_equal(ask(p, "p.example.com").kind, VERDICT_ALLOW);
	assert_int_equal(policy_name(p, 1, &n, 0).kind, VERDICT_ALLOW);
	assert_false(policy_name(p, 1, &n, 0).counted);
	/* the first that names it; and a deny of some addresses is not one of all */
	assert_int_equal(policy_name(p, y, &n, 0).kind, VERDICT_ALLOW);
	assert_string_equal(policy_rule_loc(p, policy_name(p, y, &n, 0).rule),
	    "test:24");
	n = name_of("f.example.com");
	assert_true(policy_name(p, 1, &n, 0).counted);
	assert_int_equal(policy_name(p, 2, &n, 0).reason, REASON_DENY_RULE);
	assert_int_equal(policy_name(p, 3, &n, 0).reason, REASON_NAME_NOT_ALLOWED);
	assert_int_equal(policy_name(p, 4, &n, 0).kind, VERDICT_AUDIT_DENY);
	assert_int_equal(policy_name(p, 6, &n, 0).kind, VERDICT_DENY);
	n.text[0] = 'F';
	assert_int_equal(policy_name(p, 1, &n, 0).reason, REASON_NAME_INVALID);
	assert_int_equal(policy_needs(p, 0), NEEDS_RESOLVER | NEEDS_INSPECTOR);
	assert_int_equal(policy_needs(p, 1), NEEDS_RESOLVER | NEEDS_INSPECTOR);
	assert_int_equal(policy_needs(p, 2), NEEDS_RESOLVER);
	assert_int_equal(policy_needs(p, 3), 0);
	assert_int_equal(policy_needs(p, 4), NEEDS_RESOLVER | NEEDS_INSPECTOR);
	assert_int_equal(policy_needs(p, 6), 0);
	policy_free(p);
}

static void
hosts(void **state)
{
	struct policy	*p = law(HEAD
	    "host \"b.example.com\" 2600:1f00::1 203.0.114.2 203.0.114.1\n"
	    "host \"a.example.com\" 203.0.114.9\n"
	    "host \"c.example.com\" 2600:1f00::3\n"
	    "tenant t {\n\tallow to any\n}\n");
	struct endpoint	 out[ANSWER_MAX];
	struct name	 n = name_of("b.example.com");

	(void)state;
	assert_int_equal(policy_host(p, &n, ADDR_V4, out), 2);
	assert_int_equal(endpoint_u32(&out[0]), 0xcb007201);
	assert_int_equal(endpoint_u32(&out[1]), 0xcb007202);
	assert_int_equal(policy_host(p, &n, ADDR_V6, out), 1);
	n = name_of("a.example.com");
	assert_int_equal(policy_host(p, &n, ADDR_V6, out), 0);
	assert_int_equal(policy_host(p, &n, ADDR_V4, out), 1);
	n = name_of("c.example.com");
	assert_int_equal(policy_host(p, &n, ADDR_V6, out), 1);
	n = name_of("d.example.com");
	assert_int_equal(policy_host(p, &n, ADDR_V4, out), -1);
	n = name_of("0.example.com");
	assert_int_equal(policy_host(p, &n, ADDR_V4, out), -1);
	policy_free(p);
	p = law(HEAD "tenant t { }\n");
	assert_int_equal(policy_host(p, &n, ADDR_V4, out), -1);
	assert_int_equal(policy_resolver(p)->pin_min, 60);
	assert_int_equal(policy_resolver(p)->pin_max, 3600);
	assert_int_equal(policy_resolver(p)->pin_grace, 30);
	assert_int_equal(policy_resolver(p)->nupstreams, 0);
	policy_free(p);
}

static void
settings(void **state)
{
	struct policy	*p = law(HEAD
	    "resolver {\n\tupstream tls 9.9.9.9 name \"dns.quad9.net\"\n"
	    "\tupstream tls [2620:fe::9]:5353 name \"b.example.net\"\n"
	    "\tpin min 5s max 10s\n}\n"
	    "limits l { dns 3/s burst 4 names 5 per 1m }\n"
	    "tenant t {\n\tlimits l\n}\ntenant u { }\n");
	const struct policy_resolver	*r = policy_resolver(p);

	(void)state;
	assert_int_equal(r->nupstreams, 2);
	assert_int_equal(r->dnssec, 0);
	assert_int_equal(r->pin_min, 5);
	assert_int_equal(r->pin_max, 10);
	assert_int_equal(r->upstream[0].tls, 1);
	assert_int_equal(r->upstream[0].addr.port, 853);
	assert_string_equal(r->upstream[0].name.text, "dns.quad9.net");
	assert_int_equal(r->upstream[1].addr.port, 5353);
	assert_string_equal(r->upstream[1].name.text, "b.example.net");
	assert_int_equal(policy_limits(p, 0)->dns_rate, 3);
	assert_int_equal(policy_limits(p, 0)->dns_burst, 4);
	assert_int_equal(policy_limits(p, 0)->names, 5);
	assert_int_equal(policy_limits(p, 0)->names_per, 60);
	assert_int_equal(policy_limits(p, 1)->dns_rate, 100);
	assert_int_equal(policy_limits(p, 1)->names_per, 600);
	policy_free(p);
	p = law(HEAD "resolver {\n\tupstream 192.0.66.1\n\tdnssec yes\n}\n"
	    "tenant t { }\n");
	r = policy_resolver(p);
	assert_int_equal(r->dnssec, 1);
	assert_int_equal(r->upstream[0].addr.port, 53);
	assert_int_equal(r->upstream[0].name.len, 0);
	policy_free(p);
}

/* Labels, never substrings (B12); case and a dot at the end are nothing. */
static void
suffix_confusion(void **state)
{
	static const char *const	others[] = { "evil-example.org",
	    "evilexample.org", "example.org.evil.net", "example.org",
	    "a.example.orgx", "a.example.or", "a.xexample.org", "org",
	    "www.example.net.evil.org", "wwww.example.net", "ww.example.net",
	    "www.example.ne", "a.www.example.net", "www-example.net" };
	struct policy	*p = law(HEAD "tenant t {\n"
	    "\tallow to name { \"**.Example.ORG.\" \"www.example.net\" } "
	    "port tcp 443\n}\n");
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		assert_int_equal(ask(p, others[i]).kind, VERDICT_DENY);
		assert_verdict(syn(p, PROTO_TCP, A443, others[i]), VERDICT_DENY,
		    REASON_DEFAULT_DENY);
		assert_verdict(tls(p, A443, "www.example.net", others[i], false),
		    VERDICT_DENY, REASON_SNI_MISMATCH);
	}
	assert_int_equal(ask(p, "A.example.org.").kind, VERDICT_ALLOW);
	assert_int_equal(ask(p, "WWW.EXAMPLE.NET").kind, VERDICT_ALLOW);
	policy_free(p);
}

/* One spelling of a name, one law; another name, another law. */
static void
hash(void **state)
{
	static const char	rule[] = "tenant t {\n\tallow to name %s port tcp "
				    "443\n}\n";
	static const char *const	same[] = { "\"b\xc3\xbc" "cher.example\"",
	    "\"B\xc3\x9c" "CHER.example.\"", "\"xn--bcher-kva.EXAMPLE\"",
	    "{ \"xn--bcher-kva.example\" \"b\xc3\xbc" "cher.example\" }" };
	static const char *const	other[] = { "\"*.xn--bcher-kva.example\"",
	    "\"**.xn--bcher-kva.example\"", "\"bucher.example\"" };
	struct policy	*p = NULL, *q;
	char		 text[256];
	size_t		 i;

	(void)state;
	for (i = 0; i < 4; i++) {
		snprintf(text, sizeof(text), HEAD);
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
		    rule, same[i]);
		q = law(text);
		if (p != NULL) {
			assert_memory_equal(policy_hash(p), policy_hash(q), 32);
			assert_string_equal(policy_rule_id(p, 0),
			    policy_rule_id(q, 0));
			policy_free(q);
		} else
			p = q;
	}
	for (i = 0; i < 3; i++) {
		snprintf(text, sizeof(text), HEAD);
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
		    rule, other[i]);
		q = law(text);
		assert_memory_not_equal(policy_hash(p), policy_hash(q), 32);
		assert_string_not_equal(policy_rule_id(p, 0),
		    policy_rule_id(q, 0));
		policy_free(q);
	}
	policy_free(p);
}

/* The look-up in sorted lists says what name_matches() says of each entry. */
static void
lists(void **state)
{
	static const char *const	labels[] = { "a", "b", "c", "xa", "ax" };
	static const char *const	before[] = { "", "*.", "**." };
	uint64_t			seed = 7;
	unsigned int			i, k, matched = 0;

	(void)state;
	for (i = 0; i < 200; i++) {
		struct text	 t = { NULL, 0, 0 };
		struct model	*m;
		struct policy	*p;
		unsigned int	 n = 1 + rnd(&seed, 6);

		text_add(&t, HEAD "tenant t {\n\tallow to name {");
		for (k = 0; k < n; k++)
			text_add(&t, " \"%s%s.%s.example\"", before[rnd(&seed, 3)],
			    labels[rnd(&seed, 5)], labels[rnd(&seed, 5)]);
		text_add(&t, " } port tcp 443\n}\n");
		m = law_model(t.buf, true);
		assert_non_null(m);
		p = law_load(m);
		for (k = 0; k < 200; k++) {
			const struct patterns *s =
			    &m->tenant.v[0].rule.v[0].dest.names;
			char		 text[64];
			struct name	 name;
			bool		 want = false;
			size_t		 l, len = 0;

			for (l = rnd(&seed, 5); l > 0; l--)
				len += (size_t)snprintf(text + len,
				    sizeof(text) - len, "%s.",
				    labels[rnd(&seed, 5)]);
			snprintf(text + len, sizeof(text) - len, "example");
			name = name_of(text);
			for (l = 0; l < s->list.n; l++)
				want = want ||
				    pattern_matches(&s->list.v[l], &name);
			assert_int_equal(policy_name(p, 0, &name, 0).kind ==
			    VERDICT_ALLOW, want);
			matched += want;
		}
		policy_free(p);
		grammar_free(m);
		free(t.buf);
	}
	assert_true(matched > 1000);
}

/* 20 000 names in a list, 2 000 rules: a verdict is no long matter. */
static void
large_lists(void **state)
{
	struct text		 t = { NULL, 0, 0 };
	struct policy		*p;
	struct policy_query	 q = query(PROTO_TCP, A443);
	struct law_names	 n;
	struct timespec		 from, to;
	unsigned int		 i;
	double			 us;

	(void)state;
	text_add(&t, HEAD "tenant t {\n");
	for (i = 0; i < 2000; i++)
		text_add(&t, "\tallow to name \"**.r%u.example.net\" port tcp "
		    "443\n", i);
	text_add(&t, "\tallow to name {\n");
	for (i = 0; i < 20000; i++)
		text_add(&t, "\"h%u.d%u.example.com\"\n", i, i % 977);
	text_add(&t, "} port tcp 443\n}\n");
	p = law(t.buf);
	bind_names(&q, &n, "h19999.d459.example.com");
	show_name(&q, &n, PEEK_TLS, "h19999.d459.example.com", false);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	for (i = 0; i < 200; i++)
		assert_int_equal(policy_decide(p, &q).kind, VERDICT_ALLOW);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	us = ((double)(to.tv_sec - from.tv_sec) * 1e6 +
	    (double)(to.tv_nsec - from.tv_nsec) / 1e3) / 200;
	print_message("%.2f us per verdict\n", us);
	assert_true(us < 5000);
	policy_free(p);
	free(t.buf);
}

static void
one_verdict_of(const struct policy *p, struct policy_query *q,
    enum reason reason)
{
	struct timespec	from, to;
	unsigned int	i;
	double		us;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	for (i = 0; i < 10; i++)
		assert_verdict(policy_decide(p, q), VERDICT_DENY, reason);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	us = ((double)(to.tv_sec - from.tv_sec) * 1e6 +
	    (double)(to.tv_nsec - from.tv_nsec) / 1e3) / 10;
	print_message("%.2f us per verdict\n", us);
	assert_true(us < 30000);
}

/*
 * A guest whose zone gives one address to as many and as long names as there may
 * be: each SYN to it asks every rule about each of them.
 */
static void
deep_names(void **state)
{
	enum { NAMES = 1024, RULES = 64 };
	struct text		 t = { NULL, 0, 0 };
	struct policy_query	 q = query(PROTO_TCP, A443);
	struct name		*name = calloc(NAMES, sizeof(*name));
	const struct name	**bound = calloc(NAMES, sizeof(*bound));
	struct policy		*p;
	unsigned int		 i, k;

	(void)state;
	assert_non_null(name);
	assert_non_null(bound);
	for (i = 0; i < NAMES; i++) {
		char	text[NAME_TEXT_MAX + 1];
		int	len = snprintf(text, sizeof(text), "n%u.", i);

		for (k = 0; k < 110; k++)
			len += snprintf(text + len, sizeof(text) - (size_t)len,
			    "a.");
		snprintf(text + len, sizeof(text) - (size_t)len, "evil.example");
		name[i] = name_of(text);
		bound[i] = &name[i];
	}
	qsort(bound, NAMES, sizeof(bound[0]), law_compare);
	q.bound = bound;
	q.nbound = NAMES;
	text_add(&t, HEAD "tenant t {\n"
	    "\tallow to name \"**.evil.example\" port tcp 80\n");
	for (i = 0; i < RULES; i++)
		text_add(&t, "\tallow to name { \"h%u.example.com\" "
		    "\"**.w%u.example.com\" } port tcp 443\n", i, i);
	text_add(&t, "}\n");
	p = law(t.buf);
	one_verdict_of(p, &q, REASON_DEFAULT_DENY);
	policy_free(p);
	t.len = 0;
	text_add(&t, HEAD "tenant t {\n"
	    "\tallow to name \"**.evil.example\" port tcp 443\n");
	for (i = 0; i < RULES; i++)
		text_add(&t, "\tdeny to name \"h%u.evil.example\" port tcp 443\n",
		    i);
	text_add(&t, "\tdeny to name \"**.a.evil.example\" port tcp 443\n}\n");
	p = law(t.buf);
	one_verdict_of(p, &q, REASON_NAME_NOT_ALLOWED);
	policy_free(p);
	free(bound);
	free(name);
	free(t.buf);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(stages),
		cmocka_unit_test(unnamed),
		cmocka_unit_test(both_protocols),
		cmocka_unit_test(no_name),
		cmocka_unit_test(wrong_port),
		cmocka_unit_test(floored),
		cmocka_unit_test(none_takes_away),
		cmocka_unit_test(virtual_hosts),
		cmocka_unit_test(proof_by_port),
		cmocka_unit_test(denied_names),
		cmocka_unit_test(under_audit),
		cmocka_unit_test(looked_at),
		cmocka_unit_test(naming),
		cmocka_unit_test(resolution),
		cmocka_unit_test(suffix_confusion),
		cmocka_unit_test(hosts),
		cmocka_unit_test(settings),
		cmocka_unit_test(hash),
		cmocka_unit_test(lists),
		cmocka_unit_test(large_lists),
		cmocka_unit_test(deep_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
