/* A record becomes one line: escapes, times, ids, order, what is left out. */
#include <jansson.h>
#include <stdio.h>

#include "unit.h"

#include "reason.h"
#include "recorder.h"

static char		buf[LINE_ROOM];
static struct json	j;

static int
setup(void **state)
{
	(void)state;
	memset(buf, 0, sizeof(buf));
	j = (struct json){ .p = buf, .end = buf + sizeof(buf) };
	return 0;
}

static void
escapes(void **state)
{
	char	all[256];
	int	i;
	json_t	*v;

	(void)state;
	json_str(&j, "a\"b\\c\n\x1b[2J\x7f\xc3\xa9/", 64);
	assert_string_equal(buf, "\"a\\\"b\\\\c\\u000a\\u001b[2J\\u007f"
	    "\\u00c3\\u00a9/\"");
	setup(NULL);
	for (i = 0; i < 255; i++)
		all[i] = (char)(i + 1);
	all[255] = '\0';
	json_str(&j, all, sizeof(all));
	for (i = 0; buf[i] != '\0'; i++)
		assert_in_range(buf[i], 0x20, 0x7e);
	v = json_loads(buf, JSON_DECODE_ANY, NULL);
	assert_non_null(v);
	json_decref(v);
	/* not beyond `max`, though there is no NUL */
	setup(NULL);
	json_str(&j, "abcdef", 3);
	assert_string_equal(buf, "\"abc\"");
}

static void
full(void **state)
{
	(void)state;
	j.end = buf + 4;
	json_str(&j, "abcdef", 6);
	assert_true(j.over);
	assert_true(j.p <= j.end);
	assert_int_equal(buf[4], 0);
}

static void
numbers(void **state)
{
	(void)state;
	json_u64(&j, 0);
	json_put(&j, " ", 1);
	json_u64(&j, UINT64_MAX);
	json_put(&j, " ", 1);
	json_u64(&j, INT64_MAX);
	json_put(&j, " ", 1);
	json_u64(&j, INT64_MAX - 1);
	assert_string_equal(buf, "0 9223372036854775807 9223372036854775807 "
	    "9223372036854775806");
}

static void
times(void **state)
{
	static const struct {
		uint64_t	sec;
		const char	*text;
	} t[] = {
		{ 0, "1970-01-01T00:00:00" },
		{ 68169599, "1972-02-28T23:59:59" },
		{ 68169600, "1972-02-29T00:00:00" },
		{ 951782400, "2000-02-29T00:00:00" },
		{ 951868800, "2000-03-01T00:00:00" },
		{ 1767225599, "2025-12-31T23:59:59" },
		{ 1795572309, "2026-11-25T02:05:09" },
		{ 4107542400, "2100-03-01T00:00:00" },
		{ 253402300799, "9999-12-31T23:59:59" },
	};
	char	want[64];
	size_t	i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		setup(NULL);
		/* nanoseconds end in the year 2554 */
		if (t[i].sec > UINT64_MAX / 1000000000)
			continue;
		json_time(&j, t[i].sec * 1000000000 + 123456789);
		snprintf(want, sizeof(want), "\"%s.123456Z\"", t[i].text);
		assert_string_equal(buf, want);
	}
}

/*
 * The first four are the specification's own examples, the others were computed
 * by a second implementation.
 */
static void
community(void **state)
{
	static const struct {
		uint32_t	proto;
		const char	*src, *dst, *id;
	} v[] = {
		{ PROTO_TCP, "128.232.110.120:34855", "66.35.250.204:80",
		    "1:LQU9qZlK+B5F3KDmev6m5PMibrg=" },
		{ PROTO_TCP, "66.35.250.204:80", "128.232.110.120:34855",
		    "1:LQU9qZlK+B5F3KDmev6m5PMibrg=" },
		{ PROTO_UDP, "192.168.1.52:54585", "8.8.8.8:53",
		    "1:d/FP5EW3wiY1vCndhwleRRKHowQ=" },
		{ PROTO_ECHO, "192.168.0.89:77", "192.168.0.1:0",
		    "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=" },
		{ PROTO_ECHO, "192.168.0.1:0", "192.168.0.89:0",
		    "1:Xd3I0IiB3MnC0cDe3fbqH8+dDGI=" },
		{ PROTO_ECHO, "[2001:db8::1]:9", "[2001:db8::2]:0",
		    "1:u2vMS3HiWth2lIMKHB1fjELshpQ=" },
		{ PROTO_ECHO, "[2001:db8::2]:9", "[2001:db8::1]:0",
		    "1:YDcnf7YthUKAbDNo6Cs3rX4jq4w=" },
		{ PROTO_TCP, "10.0.0.1:10", "10.0.0.1:20",
		    "1:1Lc+0H/HgLmR5V4rmOeuDZQS11k=" },
		{ PROTO_TCP, "10.0.0.1:20", "10.0.0.1:10",
		    "1:1Lc+0H/HgLmR5V4rmOeuDZQS11k=" },
		{ PROTO_UDP, "[2001:db8::1]:5353", "[2001:db8::2]:53",
		    "1:sEzqFsMvqwEs2PgSeOAwGpzkZJo=" },
		{ PROTO_TCP, "[2001:db8::ffff]:443", "[2001:db8::2]:50000",
		    "1:j/kzHa2RpitryCpjIW5ohaPPqvc=" },
		{ PROTO_TCP, "255.1.1.1:1", "2.1.1.1:1",
		    "1:Rypo1R6OYYzg/pM/QkAI3ACtVQU=" },
	};
	struct endpoint	src, dst;
	char		id[COMMUNITY_LEN + 1] = "";
	size_t		i;

	(void)state;
	for (i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		assert_int_equal(endpoint_parse(v[i].src, &src), 0);
		assert_int_equal(endpoint_parse(v[i].dst, &dst), 0);
		assert_true(community_id(id, v[i].proto, &src, &dst));
		assert_string_equal(id, v[i].id);
	}
	assert_int_equal(endpoint_parse("10.0.0.1:1", &dst), 0);
	assert_false(community_id(id, PROTO_TCP, &src, &(struct endpoint){ 0 }));
	assert_int_equal(endpoint_parse("[2001:db8::1]:1", &src), 0);
	assert_false(community_id(id, PROTO_TCP, &src, &dst));
	assert_false(community_id(id, PROTO_NONE, &dst, &dst));
}

static const struct origin	o = { "h", "b", { 0xab, 1 } };

static struct record
flow(uint32_t type)
{
	struct record	r;

	memset(&r, 0, sizeof(r));
	r.head.type = RECORD_WRITE;
	r.head.id = 9;
	r.type = type;
	r.proto = PROTO_TCP;
	r.flow = 77;
	r.ts = UINT64_C(1795572309000001000);
	r.mono = 5;
	endpoint_parse("10.0.2.100:4001", &r.g_src);
	endpoint_parse("192.0.2.1:443", &r.g_dst);
	r.gen = 3;
	memset(r.pol, 0xcd, sizeof(r.pol));
	strcpy(r.tenant, "t");
	strcpy(r.guest, "g");
	return r;
}

static const char *
line(const struct record *r)
{
	struct slice	body;

	setup(NULL);
	line_record(&j, &o, 42, r, NULL, &body);
	assert_false(j.over);
	assert_true(body.p > buf && body.p + body.len < j.p);
	return buf;
}

static void
order(void **state)
{
	struct record	r = flow(REC_FLOW_CLOSE);

	(void)state;
	r.reason = REASON_CONNECT_REFUSED;
	r.err = 111;
	r.up = 1;
	r.pdown = 4;
	r.csrc = CSRC_KERNEL;
	r.dur = 6;
	r.conn = 2;
	strcpy(r.rule, "web");
	strcpy(r.loc, "f:1");
	assert_string_equal(line(&r),
	    "{\"v\":2,\"seq\":42,\"ts\":\"2026-11-25T02:05:09.000001Z\",\"mono_ns\":5,"
	    "\"type\":\"flow.close\",\"reason\":\"connect-refused\",\"hostname\":\"h\","
	    "\"boot\":\"b\",\"inst\":\"ab010000-0000-0000-0000-000000000000\","
	    "\"rec\":9,\"tenant\":\"t\",\"guest\":\"g\",\"flow\":77,\"proto\":\"tcp\","
	    "\"g_src\":\"10.0.2.100\",\"g_sp\":4001,\"g_dst\":\"192.0.2.1\","
	    "\"g_dp\":443,\"g_cid\":\"1:d9WelQ63eoXBMZD/afPFRvSBTcE=\","
	    "\"rule_id\":\"web\",\"loc\":\"f:1\",\"gen\":3,\"pol\":\"cdcdcdcdcdcdcdcd\","
	    "\"up\":1,\"down\":0,\"pup\":0,\"pdown\":4,\"csrc\":\"kernel\",\"dur_ns\":6,"
	    "\"conn_ns\":2,\"errno\":\"ECONNREFUSED\"}\n");
}

/* Everything of a record is there, whatever its type: each line is JSON. */
static void
all_types(void **state)
{
	struct record	 r;
	uint32_t	 type;
	json_t		*v;
	const char	*s;

	(void)state;
	for (type = 1; type < REC_TYPE_MAX; type++) {
		r = flow(type);
		r.verdict = VERDICT_DENY;
		r.reason = REASON_RATE;
		r.n = 3;
		r.first = r.last = r.ts;
		r.pid = r.signal = r.status = 11;
		strcpy(r.detail, "x\"\n\xff");
		v = json_loads(line(&r), JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(v);
		assert_non_null(s = json_string_value(json_object_get(v,
		    "type")));
		assert_int_equal(json_integer_value(json_object_get(v, "seq")),
		    42);
		json_decref(v);
	}
}

/* The longest record there can be fits in LINE_ROOM. */
static void
longest(void **state)
{
	struct record	r = flow(REC_FLOW_CLOSE);
	struct origin	far = o;
	struct slice	body;

	(void)state;
	memset(&r.up, 0xff, sizeof(uint64_t) * 11);
	r.verdict = VERDICT_AUDIT_DENY;
	r.reason = REASON_AUDIT_UNAVAILABLE;
	r.csrc = CSRC_KERNEL;
	r.err = 4095;
	r.flow = r.mono = r.head.id = UINT64_MAX;
	memset(r.tenant, 1, TENANT_MAX - 1);
	memset(r.guest, 1, GUEST_MAX - 1);
	memset(r.rule, 1, RULE_MAX - 1);
	memset(r.loc, 1, LOC_MAX - 1);
	memset(r.detail, 1, DETAIL_MAX - 1);
	memset(far.host, 1, sizeof(far.host) - 1);
	assert_true(line_acceptable(&r));
	setup(NULL);
	line_record(&j, &far, UINT64_MAX, &r, NULL, &body);
	assert_false(j.over);
	assert_true(j.p - buf > 3000);
	assert_true(j.p - buf < LINE_ROOM);
}

/* A frame may claim any amount; the line stays one that every reader takes. */
static void
claims(void **state)
{
	static const uint64_t	claim[] = { INT64_MAX, UINT64_C(1) << 63,
				    UINT64_MAX };
	struct record		r = flow(REC_FLOW_CLOSE);
	struct slice		body;
	json_t			*line;
	size_t			 i;

	(void)state;
	for (i = 0; i < sizeof(claim) / sizeof(claim[0]); i++) {
		r.csrc = CSRC_FRAME;
		r.up = r.down = r.pup = r.pdown = r.dur = r.rtt = claim[i];
		setup(NULL);
		line_record(&j, &o, 1, &r, NULL, &body);
		line = json_loadb(buf, (size_t)(j.p - buf), 0, NULL);
		assert_non_null(line);
		assert_true(json_integer_value(json_object_get(line, "up")) ==
		    INT64_MAX);
		json_decref(line);
	}
}

static void
acceptable(void **state)
{
	struct record	r = flow(REC_FLOW_OPEN);

	(void)state;
	assert_true(line_acceptable(&r));
#define REFUSES(field, value) do {					\
	struct record	x = r;						\
									\
	x.field = value;						\
	assert_false(line_acceptable(&x));				\
} while (0)
	REFUSES(type, 0);
	REFUSES(type, REC_TYPE_MAX);
	REFUSES(verdict, 4);
	REFUSES(reason, REASON_MAX);
	REFUSES(proto, 2);
	REFUSES(csrc, 3);
	REFUSES(err, 5000);
	REFUSES(g_src.family, 7);
	REFUSES(h_dst.zero, 1);
	memset(r.detail, 'x', sizeof(r.detail));
	assert_false(line_acceptable(&r));
}

static struct record_named
named(uint32_t type)
{
	struct record_named	n;

	memset(&n, 0, sizeof(n));
	n.r = flow(type);
	n.r.head.type = RECORD_NAMED;
	name_from_text("a.example", 9, &n.name);
	return n;
}

static const char *
named_line(const struct record_named *n)
{
	struct slice	body;

	setup(NULL);
	assert_true(line_acceptable_named(n));
	line_record(&j, &o, 42, &n->r, n, &body);
	assert_false(j.over);
	*j.p = '\0';
	return strstr(buf, n->qtype != 0 ? ",\"guest\"" :
	    n->name.len > 0 ? ",\"name\"" : ",\"names\"");
}

static void
names_of_a_flow(void **state)
{
	struct record_named	n = named(REC_FLOW_OPEN);

	(void)state;
	assert_string_equal(named_line(&n), ",\"name\":\"a.example\","
	    "\"assurance\":\"none\",\"gen\":3,\"pol\":\"cdcdcdcdcdcdcdcd\"}\n");
	n.sni = n.name;
	n.assurance = ASSURANCE_SNI;
	n.ech = 1;
	strcpy(n.alpn, "h2,\"x\"");
	assert_string_equal(named_line(&n), ",\"name\":\"a.example\","
	    "\"sni\":\"a.example\",\"alpn\":[\"h2\",\"\\\"x\\\"\"],\"ech\":true,"
	    "\"assurance\":\"sni\",\"gen\":3,\"pol\":\"cdcdcdcdcdcdcdcd\"}\n");
	n.assurance = ASSURANCE_HOST;
	n.vhost = 1;
	n.ech = 0;
	memset(n.alpn, 0, sizeof(n.alpn));
	assert_string_equal(named_line(&n), ",\"name\":\"a.example\","
	    "\"vhost\":\"a.example\",\"assurance\":\"host\",\"gen\":3,"
	    "\"pol\":\"cdcdcdcdcdcdcdcd\"}\n");
	n = named(REC_FLOW_DENY);
	memset(&n.name, 0, sizeof(n.name));
	strcpy(n.chain, "a.example b.example");
	assert_string_equal(named_line(&n),
	    ",\"names\":[\"a.example\",\"b.example\"],"
	    "\"assurance\":\"none\",\"gen\":3,\"pol\":\"cdcdcdcdcdcdcdcd\"}\n");
}

static void
names_of_a_question(void **state)
{
	struct record_named	n = named(REC_DNS);

	(void)state;
	n.r.gen = 0;
	n.qtype = 1234;
	assert_string_equal(named_line(&n), ",\"guest\":\"g\",\"ask\":77,"
	    "\"name\":\"a.example\",\"qtype\":\"TYPE1234\",\"ttl\":0,"
	    "\"gen\":0,\"pol\":\"cdcdcdcdcdcdcdcd\"}\n");
	n.r.type = REC_DNS_ASK;
	assert_string_equal(named_line(&n), ",\"guest\":\"g\",\"ask\":77,"
	    "\"name\":\"a.example\",\"qtype\":\"TYPE1234\","
	    "\"gen\":0,\"pol\":\"cdcdcdcdcdcdcdcd\"}\n");
	n.r.type = REC_DNS;
	n.r.flow = 0;
	assert_string_equal(named_line(&n), ",\"guest\":\"g\","
	    "\"name\":\"a.example\",\"qtype\":\"TYPE1234\",\"ttl\":0,"
	    "\"gen\":0,\"pol\":\"cdcdcdcdcdcdcdcd\"}\n");
	n.qtype = 28;
	n.ttl = 60;
	n.stripped = 2;
	n.secure = 1;
	n.r.n = 2;
	strcpy(n.chain, "b.example");
	strcpy(n.ips, "2001:db8::1 2001:db8::2");
	assert_string_equal(named_line(&n), ",\"guest\":\"g\","
	    "\"name\":\"a.example\",\"qtype\":\"AAAA\","
	    "\"chain\":[\"b.example\"],"
	    "\"ips\":[\"2001:db8::1\",\"2001:db8::2\"],\"ttl\":60,"
	    "\"stripped\":2,\"secure\":true,"
	    "\"gen\":0,\"pol\":\"cdcdcdcdcdcdcdcd\",\"n\":2}\n");
}

/* Lists whose every text is one byte grow the most. */
static void
longest_named(void **state)
{
	static char		 text[NAME_TEXT_MAX];
	static const uint32_t	 types[] = { REC_DNS, REC_FLOW_CLOSE };
	struct record_named	 n;
	struct origin		 far = o;
	struct slice		 body;
	size_t			 i, k;

	(void)state;
	for (i = 0; i < sizeof(text); i++)
		text[i] = i % 64 == 63 ? '.' : 'a';
	for (k = 0; k < 2; k++) {
		n = named(types[k]);
		assert_int_equal(name_from_text(text, sizeof(text), &n.name),
		    0);
		n.sni = n.name;
		memset(&n.r.up, 0xff, sizeof(uint64_t) * 11);
		n.ttl = n.stripped = UINT32_MAX;
		n.qtype = 65535;
		n.secure = n.ech = 1;
		memset(n.alpn, 1, sizeof(n.alpn) - 1);
		for (i = 0; i < RECORD_LIST_MAX - 1; i++)
			n.chain[i] = n.ips[i] = i % 2 == 0 ? '"' : ' ';
		for (i = 0; types[k] != REC_DNS && i < RECORD_LIST_MAX - 1; i++)
			n.chain[i] = i % 2 == 0 ? 'a' : ' ';
		memset(n.r.tenant, 1, TENANT_MAX - 1);
		memset(n.r.guest, 1, GUEST_MAX - 1);
		memset(n.r.rule, 1, RULE_MAX - 1);
		memset(n.r.loc, 1, LOC_MAX - 1);
		memset(n.r.detail, 1, DETAIL_MAX - 1);
		memset(far.host, 1, sizeof(far.host) - 1);
		n.r.flow = n.r.mono = n.r.head.id = UINT64_MAX;
		assert_true(line_acceptable_named(&n));
		setup(NULL);
		line_record(&j, &far, UINT64_MAX, &n.r, &n, &body);
		assert_false(j.over);
		assert_true(j.p - buf < LINE_ROOM);
	}
}

static void
acceptable_named(void **state)
{
	struct record_named	r = named(REC_DNS);
	struct record		bare = flow(REC_DNS);

	(void)state;
	assert_true(line_acceptable_named(&r));
	assert_false(line_acceptable(&bare));
#define NAMED_REFUSES(change) do {					\
	struct record_named	x = r;					\
									\
	change;								\
	assert_false(line_acceptable_named(&x));			\
} while (0)
	NAMED_REFUSES(x.r.verdict = 4);
	NAMED_REFUSES(memset(&x.name, 0, sizeof(x.name)));
	NAMED_REFUSES(x.name.text[0] = 'A');
	NAMED_REFUSES(x.name.text[20] = 'a');
	NAMED_REFUSES(x.name.len = 300);
	NAMED_REFUSES(x.sni.text[0] = 'a');
	NAMED_REFUSES(x.assurance = 4);
	NAMED_REFUSES(x.ech = 2);
	NAMED_REFUSES(x.vhost = 2);
	NAMED_REFUSES(x.secure = 2);
	NAMED_REFUSES(x.qtype = 65536);
	NAMED_REFUSES(memset(x.alpn, 'a', sizeof(x.alpn)));
	NAMED_REFUSES(strcpy(x.alpn, ",h2"));
	NAMED_REFUSES(strcpy(x.alpn, "h2,,h3"));
	NAMED_REFUSES(strcpy(x.alpn, "h2,"));
	NAMED_REFUSES(memset(x.ips, 'a', sizeof(x.ips)));
	NAMED_REFUSES(memset(x.chain, 'a', sizeof(x.chain)));
	NAMED_REFUSES(strcpy(x.chain, " a"));
	NAMED_REFUSES(strcpy(x.chain, "a "));
	NAMED_REFUSES(strcpy(x.chain, "a  b"));
	r.r.type = REC_FLOW_OPEN;
	NAMED_REFUSES(strcpy(x.chain, "a,b"));
	NAMED_REFUSES(strcpy(x.chain, "A"));
	NAMED_REFUSES(strcpy(x.chain, "a\"b"));
	NAMED_REFUSES(memset(x.chain, 'a', sizeof(x.chain)));
	strcpy(r.chain, "a-1.b_c ...");
	assert_true(line_acceptable_named(&r));
	r.r.type = REC_DNS;
	strcpy(r.chain, "a b");
	assert_true(line_acceptable_named(&r));
	memset(r.chain, 0, sizeof(r.chain));
	NAMED_REFUSES(strcpy(x.ips, " "));
	r.r.type = REC_FLOW_OPEN;
	memset(&r.name, 0, sizeof(r.name));
	assert_true(line_acceptable_named(&r));
}

static void
own_lines(void **state)
{
	struct stamp	at = { 8, UINT64_C(1795572309000001000), 1 };
	struct head	h = { .start = true, .durable = DURABLE_ASYNC,
			    .rotate = 1, .reserve = 2, .rec = 3, .oldest = 4,
			    .prev = "a\"b" };
	struct gap	g = { .opens = 1, .from = 5, .to = 6, .err = 5,
			    .torn = 6 };
	json_t		*v;

	(void)state;
	line_head(&j, &o, &at, &h);
	v = json_loads(buf, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(v);
	assert_string_equal(json_string_value(json_object_get(v, "type")),
	    "audit.open");
	assert_true(json_is_false(json_object_get(v, "durable")));
	assert_int_equal(json_integer_value(json_object_get(v, "head")), 7);
	json_decref(v);
	setup(NULL);
	line_gap(&j, &o, &at, 3, &g);
	v = json_loads(buf, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(v);
	assert_string_equal(json_string_value(json_object_get(v, "errno")),
	    "EIO");
	assert_int_equal(json_integer_value(json_object_get(v, "void_to")), 6);
	json_decref(v);
}

#define T(f)	cmocka_unit_test_setup(f, setup)

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		T(escapes), T(full), T(numbers), T(claims), T(times), T(community),
		T(order), T(all_types), T(longest), T(acceptable),
		T(names_of_a_flow), T(names_of_a_question), T(longest_named),
		T(acceptable_named), T(own_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
