/*
 * The floor: each range to its edges, each IPv4 address in each of its disguises,
 * under the policy that allows everything.
 */
#include "law_unit.h"

static const char	everything[] =
    "policy version 1\n"
    "tenant t {\n\tallow to any\n\tallow to any icmp echo\n}\n";

/* The exact list, written a second time on purpose. */
static const struct { const char *net; enum reason reason; } ranges[] = {
	{ "0.0.0.0/8", REASON_FLOOR_LOCAL },
	{ "10.0.0.0/8", REASON_FLOOR_SPECIAL },
	{ "100.64.0.0/10", REASON_FLOOR_SPECIAL },
	{ "127.0.0.0/8", REASON_FLOOR_LOCAL },
	{ "169.254.0.0/16", REASON_FLOOR_SPECIAL },
	{ "172.16.0.0/12", REASON_FLOOR_SPECIAL },
	{ "192.0.0.0/24", REASON_FLOOR_SPECIAL },
	{ "192.0.2.0/24", REASON_FLOOR_SPECIAL },
	{ "192.88.99.0/24", REASON_FLOOR_SPECIAL },
	{ "192.168.0.0/16", REASON_FLOOR_SPECIAL },
	{ "198.18.0.0/15", REASON_FLOOR_SPECIAL },
	{ "198.51.100.0/24", REASON_FLOOR_SPECIAL },
	{ "203.0.113.0/24", REASON_FLOOR_SPECIAL },
	{ "224.0.0.0/4", REASON_FLOOR_SPECIAL },
	{ "240.0.0.0/4", REASON_FLOOR_SPECIAL },
	{ "2001::/23", REASON_NONE },		/* parts hold IPv4: any reason */
	{ "2001:db8::/32", REASON_FLOOR_SPECIAL },
	{ "2002::/16", REASON_NONE },
	{ "3fff::/20", REASON_FLOOR_SPECIAL },
	{ "::/128", REASON_FLOOR_LOCAL },
	{ "::1/128", REASON_FLOOR_LOCAL },
	{ "100::/64", REASON_FLOOR_SPECIAL },
	{ "4000::/3", REASON_FLOOR_SPECIAL },
	{ "fc00::/7", REASON_FLOOR_SPECIAL },
	{ "fe80::/10", REASON_FLOOR_SPECIAL },
	{ "fec0::/10", REASON_FLOOR_SPECIAL },
	{ "ff00::/8", REASON_FLOOR_SPECIAL },
	{ "64:ff9b:1::/48", REASON_NONE },
};

static const char *const	metadata[] = { "169.254.169.254",
    "169.254.170.2", "169.254.170.23", "169.254.42.42", "169.254.0.23",
    "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254",
    "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42" };

/* The last address of a prefix. */
static struct endpoint
last_of(const struct prefix *p)
{
	struct endpoint	e = { .family = p->family };
	unsigned int	i, bits = p->family == ADDR_V4 ? 32 : 128;

	memcpy(e.addr, p->addr, sizeof(e.addr));
	for (i = p->len; i < bits; i++)
		e.addr[i / 8] |= (uint8_t)(0x80 >> i % 8);
	return e;
}

static struct endpoint
first_of(const struct prefix *p)
{
	struct endpoint	e = { .family = p->family };

	memcpy(e.addr, p->addr, sizeof(e.addr));
	return e;
}

/* One up or down; false at the end of the address space. */
static bool
step(struct endpoint *e, int by)
{
	int	i = e->family == ADDR_V4 ? 3 : 15;

	for (; i >= 0; i--) {
		e->addr[i] = (uint8_t)(e->addr[i] + by);
		if (e->addr[i] != (by > 0 ? 0 : 0xff))
			return true;
	}
	return false;
}

static struct verdict
ask(const struct policy *p, struct endpoint e, uint32_t proto)
{
	struct policy_query	q = { .proto = proto, .dst = e };

	q.dst.port = 443;
	return policy_decide(p, &q);
}

static bool
on_a_range(const struct endpoint *e)
{
	struct prefix	p;
	size_t		i;

	for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		assert_int_equal(prefix_parse(ranges[i].net, &p), 0);
		if (prefix_contains(&p, e))
			return true;
	}
	return e->family == ADDR_V6 && (e->addr[0] & 0xe0) != 0x20;
}

static void
ranges_to_their_edges(void **state)
{
	struct policy	*p = law(everything);
	size_t		 i, k;

	(void)state;
	for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		struct prefix	net;
		struct endpoint	edge[2], out;

		assert_int_equal(prefix_parse(ranges[i].net, &net), 0);
		edge[0] = first_of(&net);
		edge[1] = last_of(&net);
		for (k = 0; k < 2; k++) {
			struct verdict v = ask(p, edge[k], PROTO_TCP);

			assert_int_equal(v.kind, VERDICT_DENY);
			if (ranges[i].reason != REASON_NONE)
				assert_string_equal(reason_name(v.reason),
				    reason_name(ranges[i].reason));
			assert_int_equal(ask(p, edge[k], PROTO_ECHO).kind,
			    VERDICT_DENY);
			/* the neighbour is reachable, unless it is listed too */
			out = edge[k];
			if (step(&out, k == 0 ? -1 : 1) && !on_a_range(&out))
				assert_int_equal(ask(p, out, PROTO_TCP).kind,
				    VERDICT_ALLOW);
		}
	}
	policy_free(p);
}

/* Not one exception in this policy can help. */
static void
metadata_never(void **state)
{
	struct policy	*p = law("policy version 1\n"
	    "floor except net { 169.254.0.0/16 100.64.0.0/10 192.0.0.0/24 "
	    "fc00::/7 2002::/16 ::/3 2001::/23 } except { 169.254.169.254 "
	    "169.254.170.2 169.254.170.23 169.254.42.42 169.254.0.23 "
	    "100.100.100.200 192.0.0.192 fd00:ec2::254 fd00:ec2::23 "
	    "fd20:ce::254 fd00:c1::a9fe:a9fe fd00:42::42 ::/128 ::1 } "
	    "for tenant t ticket \"all\"\n"
	    "tenant t {\n\tallow to any\n\tallow to net { 2002::/16 2001::/23 "
	    "::/3 } except { ::/128 ::1 }\n}\n");
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(metadata) / sizeof(metadata[0]); i++)
		assert_denied(p, PROTO_ECHO, metadata[i], REASON_FLOOR_METADATA);
	/* in 6to4, Teredo and NAT64 clothes, with the outside excepted */
	assert_denied(p, PROTO_TCP, "[2002:a9fe:a9fe::1]:80",
	    REASON_FLOOR_METADATA);
	assert_denied(p, PROTO_TCP, "[2001:0:a9fe:a9fe::1]:80",
	    REASON_FLOOR_METADATA);
	assert_denied(p, PROTO_TCP, "[2001:0:cb00:7201::5601:5601]:80",
	    REASON_FLOOR_METADATA);
	assert_denied(p, PROTO_TCP, "[64:ff9b:1::a9fe:a9fe]:80",
	    REASON_FLOOR_METADATA);
	assert_denied(p, PROTO_TCP, "[64:ff9b::a83f:8110]:80",
	    REASON_FLOOR_METADATA);
	/* while what else is in there was opened by the operator */
	assert_allowed(p, PROTO_TCP, "[2002:cb00:7201::1]:80");
	policy_free(p);
}

/* None can be excepted, alone or in a network that is not without it. */
static void
metadata_not_excepted(void **state)
{
	char	text[512];
	size_t	i, k;

	(void)state;
	for (i = 0; i < sizeof(metadata) / sizeof(metadata[0]); i++)
		for (k = 0; k < 2; k++) {
			snprintf(text, sizeof(text), "policy version 1\n"
			    "floor except net %s%s port tcp 80 for tenant t "
			    "ticket \"x\"\ntenant t { }\n", metadata[i],
			    k == 0 ? "" : " own-addresses");
			assert_null(law_model(text, false));
		}
	assert_null(law_model("policy version 1\nfloor except net fd00::/16 for "
	    "tenant t ticket \"x\"\ntenant t { }\n", false));
	policy_free(law("policy version 1\nfloor except net fd00::/24 "
	    "except { fd00:ec2::/32 fd00:42::42 fd00:c1::/32 } for tenant t "
	    "ticket \"x\"\ntenant t { }\n"));
}

/* ---- every disguise --------------------------------------------------------- */

static void
put4(struct endpoint *e, size_t at, uint32_t a, uint8_t flip)
{
	e->addr[at] = (uint8_t)(a >> 24) ^ flip;
	e->addr[at + 1] = (uint8_t)(a >> 16) ^ flip;
	e->addr[at + 2] = (uint8_t)(a >> 8) ^ flip;
	e->addr[at + 3] = (uint8_t)a ^ flip;
}

#define ENCODERS	13

static struct endpoint
encode(unsigned int how, uint32_t a)
{
	static const char *const	base[ENCODERS] = { "::", "::ffff:0:0",
	    "::", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::", "64:ff9b:1::",
	    "64:ff9b:1::", "64:ff9b:1::", "2002::", "2001::", "2001:0:cb00:7201::",
	    "2600:1f00::5efe:0:0" };
	struct endpoint			e;

	if (how == 0)
		return endpoint_v4(a, 443);
	assert_int_equal(addr_parse(base[how], &e), 0);
	e.port = 443;
	switch (how) {
	case 6:				/* RFC 6052, /48 */
		e.addr[6] = (uint8_t)(a >> 24);
		e.addr[7] = (uint8_t)(a >> 16);
		e.addr[9] = (uint8_t)(a >> 8);
		e.addr[10] = (uint8_t)a;
		break;
	case 7:				/* /56 */
		e.addr[7] = (uint8_t)(a >> 24);
		e.addr[9] = (uint8_t)(a >> 16);
		e.addr[10] = (uint8_t)(a >> 8);
		e.addr[11] = (uint8_t)a;
		break;
	case 8:				/* /64 */
		put4(&e, 9, a, 0);
		break;
	case 9:				/* 6to4 */
		put4(&e, 2, a, 0);
		break;
	case 10:			/* Teredo: the server */
		put4(&e, 4, a, 0);
		break;
	case 11:			/* Teredo: the client, flipped */
		put4(&e, 12, a, 0xff);
		break;
	default:
		put4(&e, 12, a, 0);
		break;
	}
	return e;
}

static void
every_disguise(void **state)
{
	struct policy	*p = law(everything);
	uint64_t	 seed = 7;
	size_t		 i, k;
	unsigned int	 how;

	(void)state;
	for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		struct prefix	net;

		assert_int_equal(prefix_parse(ranges[i].net, &net), 0);
		if (net.family != ADDR_V4)
			continue;
		for (k = 0; k < 500; k++) {
			struct endpoint	a = first_of(&net);
			uint32_t	host = rnd(&seed, UINT32_MAX) ^
					    rnd(&seed, UINT32_MAX) << 1;
			uint32_t	v4 = endpoint_u32(&a) |
					    (k == 0 ? 0 : host >> net.len);

			for (how = 0; how < ENCODERS; how++)
				assert_int_equal(ask(p, encode(how, v4),
				    PROTO_TCP).kind, VERDICT_DENY);
		}
	}
	policy_free(p);
}

/* The same encoders with a public address: only the real roads are open. */
static void
public_in_disguise(void **state)
{
	static const bool	open[ENCODERS] = { [0] = true, [1] = true,
				    [4] = true, [12] = true };
	struct policy		*p = law(everything);
	unsigned int		 how;

	(void)state;
	for (how = 0; how < ENCODERS; how++)
		assert_int_equal(ask(p, encode(how, 0xcb007201),
		    PROTO_TCP).kind, open[how] ? VERDICT_ALLOW : VERDICT_DENY);
	/* a mapped address is dialled as what it is */
	assert_int_equal(ask(p, encode(1, 0xcb007201), PROTO_TCP).dial.family,
	    ADDR_V4);
	policy_free(p);
}

static void
tables(void **state)
{
	size_t	i, k;

	(void)state;
	for (i = 0; i < floor_nentries; i++) {
		assert_true(prefix_valid(&floor_entries[i].prefix));
		assert_true(floor_entries[i].reason >= REASON_FLOOR_SPECIAL &&
		    floor_entries[i].reason <= REASON_FLOOR_LOCAL);
		/* what yields never hides what does not */
		for (k = 0; k < i; k++)
			assert_false(floor_entries[i].never &&
			    !floor_entries[k].never);
	}
}

/* The man page names every entry. */
static void
man_page(void **state)
{
	const char	*src = getenv("srcdir");
	char		 path[4096], buf[ENDPOINT_STRLEN], *text;
	FILE		*f;
	size_t		 i, n;

	(void)state;
	snprintf(path, sizeof(path), "%s/man/sallyport.conf.5",
	    src != NULL ? src : ".");
	if ((f = fopen(path, "r")) == NULL)
		skip();
	text = calloc(1, 1 << 20);
	assert_non_null(text);
	n = fread(text, 1, (1 << 20) - 1, f);
	assert_true(n > 0);
	fclose(f);
	for (i = 0; i < floor_nentries; i++)
		if (strstr(text, prefix_print(&floor_entries[i].prefix,
		    buf)) == NULL)
			fail_msg("sallyport.conf(5) does not name %s", buf);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(ranges_to_their_edges),
		cmocka_unit_test(metadata_never),
		cmocka_unit_test(metadata_not_excepted),
		cmocka_unit_test(every_disguise),
		cmocka_unit_test(public_in_disguise),
		cmocka_unit_test(tables),
		cmocka_unit_test(man_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
