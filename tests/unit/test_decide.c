/* The evaluator: floor, deny, allow, default; audit mode; the gateway. */
#include "law_unit.h"

#include <time.h>

#define HEAD	"policy version 1\n"

static void
order_free(void **state)
{
	struct policy	*p = law(HEAD "tenant t {\n"
	    "\tallow to net 203.0.114.0/24 port tcp { 80 443 }\n"
	    "\tdeny to net 203.0.114.9\n"
	    "\tallow to net 203.0.114.9 port tcp 443\n"
	    "\tallow to any port udp 123\n}\n");

	(void)state;
	assert_allowed(p, PROTO_TCP, "203.0.114.1:80");
	assert_denied(p, PROTO_TCP, "203.0.114.1:81", REASON_DEFAULT_DENY);
	assert_denied(p, PROTO_UDP, "203.0.114.1:80", REASON_DEFAULT_DENY);
	assert_denied(p, PROTO_TCP, "203.0.115.1:80", REASON_DEFAULT_DENY);
	assert_denied(p, PROTO_TCP, "203.0.114.9:443", REASON_DENY_RULE);
	assert_allowed(p, PROTO_UDP, "[2600:1f00::1]:123");
	assert_denied(p, PROTO_ECHO, "203.0.114.1", REASON_DEFAULT_DENY);
	assert_denied(p, PROTO_ECHO, "203.0.114.9", REASON_DENY_RULE);
	/* which rule it was */
	assert_string_equal(policy_rule_loc(p, decide(p, PROTO_TCP,
	    "203.0.114.9:443").rule), "test:4");
	assert_int_equal(decide(p, PROTO_TCP, "203.0.114.1:81").rule,
	    POLICY_NO_RULE);
	assert_string_equal(policy_rule_loc(p, POLICY_NO_RULE), "");
	assert_string_equal(policy_rule_id(p, POLICY_NO_RULE), "");
	policy_free(p);
}

static void
ports_and_echo(void **state)
{
	struct policy	*p = law(HEAD "tenant t {\n"
	    "\tallow to net 203.0.114.1\n"
	    "\tallow to net 203.0.114.2 icmp echo\n"
	    "\tallow to net 203.0.114.3 port tcp 22 icmp echo label \"ssh\"\n"
	    "\tallow to any port tcp { 1-24 26-852 }\n}\n");

	(void)state;
	assert_allowed(p, PROTO_TCP, "203.0.114.1:65535");
	assert_allowed(p, PROTO_UDP, "203.0.114.1:1");
	assert_denied(p, PROTO_ECHO, "203.0.114.1", REASON_DEFAULT_DENY);
	assert_allowed(p, PROTO_ECHO, "203.0.114.2");
	assert_denied(p, PROTO_UDP, "203.0.114.2:53", REASON_DEFAULT_DENY);
	assert_allowed(p, PROTO_ECHO, "203.0.114.3");
	assert_string_equal(policy_rule_id(p, decide(p, PROTO_TCP,
	    "203.0.114.3:22").rule), "ssh");
	/* the floor of ports is under a rule without ports, too */
	assert_denied(p, PROTO_TCP, "203.0.114.1:25", REASON_FLOOR_PORT);
	assert_allowed(p, PROTO_UDP, "203.0.114.1:25");
	assert_denied(p, PROTO_TCP, "203.0.114.1:853", REASON_FLOOR_PORT);
	assert_denied(p, PROTO_UDP, "203.0.114.1:853", REASON_FLOOR_PORT);
	assert_denied(p, PROTO_TCP, "203.0.114.1:0", REASON_FLOOR_PORT);
	assert_int_equal(decide(p, PROTO_ECHO, "203.0.114.2").dial.port, 0);
	policy_free(p);
}

static void
exceptions(void **state)
{
	struct policy	*p = law(HEAD
	    "floor except net 10.20.7.10 port tcp 443 for tenant t ticket \"a\"\n"
	    "floor except any port tcp 25 for tenant t ticket \"b\"\n"
	    "floor except net 10.30.0.0/16 for tenant t ticket \"c\"\n"
	    "tenant t {\n\tallow to net 10.20.7.10 port tcp 443\n"
	    "\tallow to any port tcp { 25 443 }\n"
	    "\tallow to net 10.30.1.0/24\n}\n"
	    "tenant u {\n\tallow to any\n}\n");
	struct policy_query	q = query(PROTO_TCP, "10.20.7.10:443");

	(void)state;
	assert_allowed(p, PROTO_TCP, "10.20.7.10:443");
	assert_true(decide(p, PROTO_TCP, "10.20.7.10:443").local_ok);
	assert_false(decide(p, PROTO_TCP, "203.0.114.1:443").local_ok);
	assert_denied(p, PROTO_TCP, "10.20.7.10:80", REASON_FLOOR_SPECIAL);
	assert_denied(p, PROTO_TCP, "10.20.7.11:443", REASON_FLOOR_SPECIAL);
	assert_allowed(p, PROTO_TCP, "203.0.114.1:25");
	/* excepted, but `any` does not reach it: it must be named */
	assert_denied(p, PROTO_TCP, "10.30.2.1:443", REASON_DEFAULT_DENY);
	assert_allowed(p, PROTO_UDP, "10.30.1.1:9999");
	/* without a port an exception leaves the floor of ports alone */
	assert_denied(p, PROTO_UDP, "10.30.1.1:853", REASON_FLOOR_PORT);
	/* another tenant has none of it */
	q.tenant = 1;
	assert_verdict(policy_decide(p, &q), VERDICT_DENY,
	    REASON_FLOOR_SPECIAL);
	/* inside a NAT64 address: floor lifted, but no rule names the outside */
	assert_denied(p, PROTO_TCP, "[64:ff9b::a14:70a]:443",
	    REASON_DEFAULT_DENY);
	assert_denied(p, PROTO_TCP, "[64:ff9b::a14:70b]:443",
	    REASON_FLOOR_SPECIAL);
	policy_free(p);
}

/* On the host that has these. */
static struct verdict
at_home(const struct policy *p, uint32_t proto, const char *dst)
{
	static const char *const	own[] = { "203.0.114.7", "203.0.114.8",
	    "2600:1f00::7", "10.30.0.1", "10.30.0.255", "10.30.128.0/17",
	    "10.40.0.1" };
	struct policy_query		q = query(proto, dst);

	q.own = own_of(&q.dst, own, sizeof(own) / sizeof(own[0]));
	return policy_decide(p, &q);
}

static void
own(void **state)
{
	struct policy	*p = law(HEAD
	    "floor except net 203.0.114.8 port tcp 80 for tenant t ticket \"me\"\n"
	    "tenant t {\n\tallow to any\n\tallow to net 203.0.114.8\n}\n");
	struct verdict	 v;

	(void)state;
	assert_allowed(p, PROTO_TCP, "203.0.114.7:80");
	assert_verdict(at_home(p, PROTO_TCP, "203.0.114.7:80"), VERDICT_DENY,
	    REASON_FLOOR_LOCAL);
	assert_verdict(at_home(p, PROTO_TCP, "[::ffff:203.0.114.7]:80"),
	    VERDICT_DENY, REASON_FLOOR_LOCAL);
	assert_verdict(at_home(p, PROTO_TCP, "[64:ff9b::203.0.114.7]:80"),
	    VERDICT_DENY, REASON_FLOOR_LOCAL);
	assert_verdict(at_home(p, PROTO_TCP, "[2600:1f00::7]:80"),
	    VERDICT_DENY, REASON_FLOOR_LOCAL);
	assert_verdict(at_home(p, PROTO_TCP, "[2600:1f00::8]:80"),
	    VERDICT_ALLOW, REASON_NONE);
	v = at_home(p, PROTO_TCP, "203.0.114.8:80");
	assert_verdict(v, VERDICT_ALLOW, REASON_NONE);
	assert_int_equal(v.local_ok, 1);
	assert_verdict(at_home(p, PROTO_TCP, "203.0.114.8:81"), VERDICT_DENY,
	    REASON_FLOOR_LOCAL);
	policy_free(p);
}

/* A network that is excepted is the other hosts' in it. */
static void
own_in_excepted(void **state)
{
	struct policy	*p = law(HEAD
	    "floor except net 10.30.0.0/16 for tenant t ticket \"a\"\n"
	    "floor except net { 10.30.0.1 } port tcp 443 for tenant t ticket \"b\"\n"
	    "floor except net 10.40.0.0/16 own-addresses port tcp 443 for tenant t "
	    "ticket \"c\"\n"
	    "floor except net 10.40.0.0/16 for tenant t ticket \"d\"\n"
	    "tenant t {\n\tallow to net { 10.30.0.0/16 10.40.0.0/16 }\n"
	    "\tallow to net 10.30.0.0/16 icmp echo\n}\n");
	struct endpoint	 e;

	(void)state;
	/* somebody else's now: allowed, but not if it turns out to be ours */
	assert_verdict(at_home(p, PROTO_TCP, "10.30.0.9:443"), VERDICT_ALLOW,
	    REASON_NONE);
	assert_int_equal(at_home(p, PROTO_TCP, "10.30.0.9:443").local_ok, 0);
	assert_verdict(at_home(p, PROTO_TCP, "10.30.0.1:80"), VERDICT_DENY,
	    REASON_FLOOR_LOCAL);
	assert_verdict(at_home(p, PROTO_UDP, "10.30.0.255:443"), VERDICT_DENY,
	    REASON_FLOOR_LOCAL);
	assert_verdict(at_home(p, PROTO_TCP, "10.30.200.1:443"), VERDICT_DENY,
	    REASON_FLOOR_LOCAL);
	assert_verdict(at_home(p, PROTO_ECHO, "10.30.0.1"), VERDICT_DENY,
	    REASON_FLOOR_LOCAL);
	assert_verdict(at_home(p, PROTO_ECHO, "10.30.0.9"), VERDICT_ALLOW,
	    REASON_NONE);
	/* named by itself, for its port */
	assert_verdict(at_home(p, PROTO_TCP, "10.30.0.1:443"), VERDICT_ALLOW,
	    REASON_NONE);
	assert_int_equal(at_home(p, PROTO_TCP, "10.30.0.1:443").local_ok, 1);
	/* the word, for its port */
	assert_verdict(at_home(p, PROTO_TCP, "10.40.0.1:443"), VERDICT_ALLOW,
	    REASON_NONE);
	assert_int_equal(at_home(p, PROTO_TCP, "10.40.0.2:443").local_ok, 1);
	assert_verdict(at_home(p, PROTO_TCP, "10.40.0.2:80"), VERDICT_ALLOW,
	    REASON_NONE);
	assert_verdict(at_home(p, PROTO_TCP, "10.40.0.1:80"), VERDICT_DENY,
	    REASON_FLOOR_LOCAL);
	/* answers have no port */
	assert_int_equal(addr_parse("10.30.0.1", &e), 0);
	assert_true(policy_reaches(p, 0, &e, 1));
	assert_int_equal(addr_parse("10.30.0.2", &e), 0);
	assert_false(policy_reaches(p, 0, &e, 1));
	assert_true(policy_reaches(p, 0, &e, 0));
	assert_int_equal(addr_parse("10.40.0.1", &e), 0);
	assert_true(policy_reaches(p, 0, &e, 1));
	/* the inside of a NAT64 address is looked at by itself */
	assert_int_equal(addr_parse("64:ff9b::10.30.0.2", &e), 0);
	assert_true(policy_reaches(p, 0, &e, 0));
	assert_false(policy_reaches(p, 0, &e, 2));
	policy_free(p);
}

static void
gateway(void **state)
{
	struct policy	*p = law(HEAD
	    "host-service metrics 127.0.0.1:9091 tcp\n"
	    "host-service syslog [::1]:514 udp\n"
	    "tenant t mode audit {\n\tallow to any\n"
	    "\tallow to host-service metrics\n}\n");
	struct verdict	 v = decide(p, PROTO_TCP, "10.0.2.2:9091");

	(void)state;
	assert_verdict(v, VERDICT_ALLOW, REASON_NONE);
	assert_int_equal(v.local_ok, UINT32_MAX);
	assert_int_equal(endpoint_u32(&v.dial), 0x7f000001);
	assert_int_equal(v.dial.port, 9091);
	assert_allowed(p, PROTO_TCP, "[fd53:616c:6c79::2]:9091");
	assert_allowed(p, PROTO_TCP, "[::ffff:10.0.2.2]:9091");
	/* audit mode and `any` open nothing here */
	assert_denied(p, PROTO_UDP, "10.0.2.2:9091", REASON_FLOOR_LOCAL);
	assert_denied(p, PROTO_TCP, "10.0.2.2:80", REASON_FLOOR_LOCAL);
	assert_denied(p, PROTO_ECHO, "10.0.2.2", REASON_FLOOR_LOCAL);
	assert_denied(p, PROTO_UDP, "10.0.2.2:514", REASON_DEFAULT_DENY);
	/* and the service's own address is no way round */
	assert_denied(p, PROTO_TCP, "127.0.0.1:9091", REASON_FLOOR_LOCAL);
	policy_free(p);
	p = law(HEAD "host-service m 127.0.0.1:9091 tcp\ntenant t {\n"
	    "\tallow to host-service m\n\tdeny to any port tcp 9091\n}\n");
	assert_denied(p, PROTO_TCP, "10.0.2.2:9091", REASON_DENY_RULE);
	policy_free(p);
	p = law(HEAD "host-service m 127.0.0.1:9091 tcp\ntenant t {\n"
	    "\tallow to host-service m\n\tdeny to host-service m\n}\n");
	assert_denied(p, PROTO_TCP, "10.0.2.2:9091", REASON_DENY_RULE);
	policy_free(p);
}

static void
audit_mode(void **state)
{
	struct policy	*p = law(HEAD "tenant t mode audit {\n"
	    "\tallow to any port tcp 443\n"
	    "\tdeny to net 203.0.114.9\n"
	    "\tdeny to any port tcp 22 mode enforce\n}\n");

	(void)state;
	assert_allowed(p, PROTO_TCP, "203.0.114.1:443");
	assert_verdict(decide(p, PROTO_TCP, "203.0.114.1:80"),
	    VERDICT_AUDIT_DENY, REASON_DEFAULT_DENY);
	assert_verdict(decide(p, PROTO_TCP, "203.0.114.9:443"),
	    VERDICT_AUDIT_DENY, REASON_DENY_RULE);
	assert_int_equal(decide(p, PROTO_TCP, "203.0.114.9:443").dial.port, 443);
	assert_denied(p, PROTO_TCP, "203.0.114.9:22", REASON_DENY_RULE);
	/* the floor always holds */
	assert_denied(p, PROTO_TCP, "10.0.0.1:443", REASON_FLOOR_SPECIAL);
	assert_denied(p, PROTO_TCP, "203.0.114.1:25", REASON_FLOOR_PORT);
	policy_free(p);
	p = law(HEAD "tenant t {\n\tallow to any port tcp { 23 443 }\n"
	    "\tdeny to any port tcp 23 mode audit\n"
	    "\tdeny to any port tcp 24 mode audit\n"
	    "\tdeny to net 203.0.114.9\n}\n");
	assert_verdict(decide(p, PROTO_TCP, "203.0.114.1:23"),
	    VERDICT_AUDIT_DENY, REASON_DENY_RULE);
	/* a deny that is only recorded does not allow */
	assert_denied(p, PROTO_TCP, "203.0.114.1:24", REASON_DEFAULT_DENY);
	assert_denied(p, PROTO_TCP, "203.0.114.9:23", REASON_DENY_RULE);
	policy_free(p);
}

/* deny and `except` also see what is inside of a NAT64 address. */
static void
forms(void **state)
{
	struct policy	*p = law(HEAD "tenant t {\n"
	    "\tallow to any except 203.0.114.9 port tcp 443\n"
	    "\tdeny to net 203.0.115.0/24 except 203.0.115.1\n"
	    "\tallow to net 203.0.114.77 port udp 53\n}\n");

	(void)state;
	assert_allowed(p, PROTO_TCP, "[64:ff9b::203.0.114.8]:443");
	assert_denied(p, PROTO_TCP, "203.0.114.9:443", REASON_DEFAULT_DENY);
	assert_denied(p, PROTO_TCP, "[64:ff9b::203.0.114.9]:443",
	    REASON_DEFAULT_DENY);
	assert_denied(p, PROTO_TCP, "[64:ff9b::203.0.115.9]:443",
	    REASON_DENY_RULE);
	assert_allowed(p, PROTO_TCP, "[64:ff9b::203.0.115.1]:443");
	/* an allow names what is dialled */
	assert_allowed(p, PROTO_UDP, "203.0.114.77:53");
	assert_denied(p, PROTO_UDP, "[64:ff9b::203.0.114.77]:53",
	    REASON_DEFAULT_DENY);
	policy_free(p);
}

/* A guest's frame may ask anything. */
static void
nonsense(void **state)
{
	struct policy		*p = law(HEAD "tenant t {\n\tallow to any\n}\n");
	struct policy_query	 q = query(PROTO_TCP, "203.0.114.1:80");

	(void)state;
	q.tenant = 1;
	assert_int_equal(policy_decide(p, &q).kind, VERDICT_DENY);
	q.tenant = 0;
	q.proto = 0;
	assert_int_equal(policy_decide(p, &q).kind, VERDICT_DENY);
	q.proto = 132;
	assert_int_equal(policy_decide(p, &q).kind, VERDICT_DENY);
	q.proto = PROTO_TCP;
	q.dst.addr[7] = 1;		/* beyond an IPv4 address */
	assert_int_equal(policy_decide(p, &q).kind, VERDICT_DENY);
	q.dst.addr[7] = 0;
	q.dst.family = ADDR_NONE;
	assert_int_equal(policy_decide(p, &q).kind, VERDICT_DENY);
	assert_int_equal(policy_decide(p, &q).dial.family, ADDR_NONE);
	policy_free(p);
}

static void
accessors(void **state)
{
	struct policy	*p = law(HEAD "audit { durable async rotate 1M }\n"
	    "limits l { conns 7 rate 9/s }\n"
	    "tenant one {\n\tlimits l\n\tallow to any\n}\ntenant two {\n}\n");

	(void)state;
	assert_int_equal(policy_tenants(p), 2);
	assert_int_equal(policy_tenant(p, "one"), 0);
	assert_int_equal(policy_tenant(p, "two"), 1);
	assert_int_equal(policy_tenant(p, "three"), -1);
	assert_int_equal(policy_tenant(p, ""), -1);
	assert_string_equal(policy_tenant_name(p, 1), "two");
	assert_string_equal(policy_tenant_name(p, 2), "");
	assert_int_equal(policy_limits(p, 0)->conns, 7);
	assert_int_equal(policy_limits(p, 0)->burst, 9);
	assert_int_equal(policy_limits(p, 0)->pending, 512);
	assert_int_equal(policy_limits(p, 1)->conns, 4096);
	assert_int_equal(policy_limits(p, 1)->pending_dst, 128);
	assert_int_equal(policy_audit(p)->durable, DURABLE_ASYNC);
	assert_int_equal(policy_audit(p)->rotate, 1 << 20);
	assert_int_equal(policy_rules(p), 1);
	assert_int_equal(strlen(policy_rule_id(p, 0)), 8);
	policy_free(p);
	p = law(HEAD "tenant only {\n}\n");
	assert_int_equal(policy_tenant(p, ""), 0);
	policy_free(p);
}

/* Same law, same hash: comments, macros, places, spelling do not count. */
static void
hash(void **state)
{
	struct policy	*a = law(HEAD "tenant t {\n"
	    "\tallow to net { 203.0.114.1 203.0.114.2 } port tcp { 80 443 }\n}\n");
	struct policy	*b = law(HEAD "# other words\n\nweb = { 443 80 }\n"
	    "tenant t {\n\n\tallow to net { 203.0.114.2/32, 203.0.114.1 } "
	    "port tcp $web\n}\n");
	struct policy	*c = law(HEAD "tenant t {\n"
	    "\tallow to net { 203.0.114.1 203.0.114.2 } port tcp { 80 444 }\n}\n");

	(void)state;
	assert_memory_equal(policy_hash(a), policy_hash(b), 32);
	assert_memory_not_equal(policy_hash(a), policy_hash(c), 32);
	assert_string_equal(policy_rule_id(a, 0), policy_rule_id(b, 0));
	assert_string_not_equal(policy_rule_id(a, 0), policy_rule_id(c, 0));
	policy_free(a);
	policy_free(b);
	policy_free(c);
}

/* 100 000 networks in a table: a verdict stays a matter of microseconds. */
static void
large_table(void **state)
{
	struct text		 t = { NULL, 0, 0 };
	struct policy		*p;
	struct policy_query	 q = query(PROTO_TCP, "11.1.1.1:443");
	struct timespec		 from, to;
	unsigned int		 i;
	double			 us;

	(void)state;
	text_add(&t, HEAD "table <big> {\n");
	for (i = 0; i < 100000; i++)
		text_add(&t, "11.%u.%u.%u/28\n", i >> 12, i >> 4 & 255,
		    (i & 15) << 4);
	text_add(&t, "}\ntenant t {\n\tallow to net <big> port tcp 443\n}\n");
	p = law(t.buf);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	for (i = 0; i < 20000; i++)
		assert_int_equal(policy_decide(p, &q).kind, VERDICT_ALLOW);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	us = ((double)(to.tv_sec - from.tv_sec) * 1e6 +
	    (double)(to.tv_nsec - from.tv_nsec) / 1e3) / 20000;
	print_message("%.2f us per verdict\n", us);
	assert_true(us < 50);
	policy_free(p);
	free(t.buf);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(order_free),
		cmocka_unit_test(ports_and_echo),
		cmocka_unit_test(exceptions),
		cmocka_unit_test(own),
		cmocka_unit_test(own_in_excepted),
		cmocka_unit_test(gateway),
		cmocka_unit_test(audit_mode),
		cmocka_unit_test(forms),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(accessors),
		cmocka_unit_test(hash),
		cmocka_unit_test(large_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
