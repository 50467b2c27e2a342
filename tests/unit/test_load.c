/*
 * policy_load() against every blob that is nearly right: cut at each length, each
 * byte changed. What it takes is asked questions, so that ASan sees what it let
 * through.
 */
#include "law_unit.h"

static const char	text[] =
    "policy version 1\n"
    "audit { durable before-connect rotate 1M }\n"
    "floor except net 10.0.0.0/16 port tcp 443 for tenant a ticket \"x\"\n"
    "host-service m 127.0.0.1:9091 tcp\n"
    "table <t> { 203.0.114.0/24 203.0.115.0/24 2600:1f00::/32 }\n"
    "names <n> { \"m.example.com\" \"+.t.example.com\" }\n"
    "limits l { conns 5 }\n"
    "resolver { upstream tls 9.9.9.9 name \"dns.quad9.net\" dnssec no }\n"
    "host \"h.example.com\" 203.0.114.1 2600:1f00::1\n"
    "host \"i.example.com\" 203.0.114.2\n"
    "tenant a {\n"
    "\tlimits l\n"
    "\tallow to net { <t> 203.0.116.1 } except 203.0.114.9 port tcp { 80 443 }\n"
    "\tallow to net 10.0.1.0/24 port tcp 443 label \"inside\"\n"
    "\tallow to host-service m\n"
    "\tdeny to any except <t> port udp 53 icmp echo\n"
    "\tallow to name { \"a.example.com\" \"*.example.com\" } except "
    "{ \"b.example.com\" \"c.example.com\" } port tcp 443 port udp 443 ech allow\n"
    "\tallow to name \"h.example.com\" port tcp 80 verify host\n"
    "\tdeny to name { \"**.d.example.com\" <n> }\n"
    "\tallow to name <n> except \"x.t.example.com\" port tcp 8443\n"
    "}\n"
    "tenant b mode audit {\n\tallow to any\n}\n";

struct blob {
	uint8_t	*data;
	size_t	 len;
};

static int
setup(void **state)
{
	static struct blob	 b;
	struct model		*m = law_model(text, true);

	assert_non_null(m);
	b.data = grammar_compile(m, &b.len);
	grammar_free(m);
	*state = &b;
	return b.data == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	free(((struct blob *)*state)->data);
	return 0;
}

/* An exact-size copy each time, so that one byte too far is seen. */
static struct policy *
load(const uint8_t *data, size_t len)
{
	char		 err[64];
	uint8_t		*copy = malloc(len + 1);
	struct policy	*p;
	unsigned int	 i;

	assert_non_null(copy);
	memcpy(copy, data, len);
	p = policy_load(copy, len, err, sizeof(err));
	free(copy);
	for (i = 0; p != NULL && i < policy_tenants(p); i++)
		assert_int_equal(policy_index(p, i), 0);
	return p;
}

static void
use(const struct policy *p)
{
	static const char *const	dst[] = { "203.0.114.9:80",
	    "203.0.116.1:443", "10.0.1.1:443", "10.0.2.2:9091",
	    "[2600:1f00::1]:53", "[64:ff9b::1]:1" };
	static const uint32_t		proto[] = { PROTO_TCP, PROTO_UDP,
					    PROTO_ECHO };
	size_t				i, k, t, len = 0;

	for (t = 0; t < policy_tenants(p); t++)
		for (i = 0; i < sizeof(dst) / sizeof(dst[0]); i++)
			for (k = 0; k < 3; k++) {
				struct policy_query	q = query(proto[k],
							    dst[i]);
				struct verdict		v;

				q.tenant = (unsigned int)t;
				v = policy_decide(p, &q);
				len += strlen(policy_rule_id(p, v.rule));
				len += strlen(policy_rule_loc(p, v.rule));
			}
	for (t = 0; t < policy_tenants(p); t++)
		len += strlen(policy_tenant_name(p, (unsigned int)t));
	assert_true(len > 0);
}

/* Every question about names; what is answered must be names and addresses. */
static void
use_names(const struct policy *p)
{
	static const char *const	names[] = { "a.example.com",
	    "c.example.com", "x.y.d.example.com", "h.example.com", "example.com" };
	const struct policy_resolver	*r = policy_resolver(p);
	struct endpoint			 out[ANSWER_MAX];
	struct policy_query		 q = query(PROTO_TCP, "203.0.114.1:443");
	struct law_names		 n;
	size_t				 i, k;
	uint32_t			 u;

	bind_names(&q, &n, "a.example.com h.example.com x.y.d.example.com");
	for (i = 0; i < 5; i++) {
		struct name	name = name_of(names[i]);
		int		got = policy_host(p, &name, ADDR_V4, out);

		assert_true(got >= -1 && got <= ANSWER_MAX);
		for (k = 0; (int)k < got; k++)
			assert_int_equal(out[k].family, ADDR_V4);
		for (u = 0; u <= policy_tenants(p); u++) {
			policy_name(p, u, &name, 0);
			policy_needs(p, u);
			policy_reaches(p, u, &q.dst, (uint32_t)i);
			q.tenant = u;
			q.shown = NULL;
			policy_decide(p, &q);
			show_name(&q, &n, i & 1 ? PEEK_TLS : PEEK_HTTP, names[i],
			    i == 2);
			policy_decide(p, &q);
		}
	}
	assert_true(r->nupstreams <= UPSTREAM_MAX && r->pin_min <= r->pin_max);
	for (u = 0; u < r->nupstreams; u++)
		assert_true(endpoint_valid(&r->upstream[u].addr) &&
		    (r->upstream[u].tls == 0 ||
		    name_valid(&r->upstream[u].name)));
}

static void
whole(void **state)
{
	const struct blob	*b = *state;
	struct policy		*p = load(b->data, b->len);

	assert_non_null(p);
	use(p);
	use_names(p);
	policy_free(p);
}

static void
cut(void **state)
{
	const struct blob	*b = *state;
	size_t			 len;
	struct policy		*p;

	for (len = 0; len < b->len; len++)
		if ((p = load(b->data, len)) != NULL) {
			fail_msg("cut to %zu of %zu it loads", len, b->len);
			policy_free(p);
		}
}

static void
every_byte(void **state)
{
	static const uint8_t	flips[] = { 0x01, 0x80, 0xff, 0x10 };
	const struct blob	*b = *state;
	size_t			 at, i, taken = 0;
	struct policy		*p;

	for (at = 0; at < b->len; at++)
		for (i = 0; i < sizeof(flips); i++) {
			b->data[at] ^= flips[i];
			if ((p = load(b->data, b->len)) != NULL) {
				use(p);
				use_names(p);
				policy_free(p);
				taken++;
			}
			b->data[at] ^= flips[i];
		}
	/* another port is another law; another structure is none */
	print_message("%zu of %zu changes are laws of their own\n", taken,
	    b->len * sizeof(flips));
	assert_true(taken < b->len * sizeof(flips) / 2);
}

/* Each word of the head and the tables, with the values that hurt. */
static void
every_word(void **state)
{
	static const uint32_t	values[] = { 0, 1, 2, 0x7fffffff, 0x80000000,
				    0xfffffffe, 0xffffffff, 0x00ffffff,
				    0x01000000 };
	const struct blob	*b = *state;
	size_t			 at, i;
	uint32_t		 old;
	struct policy		*p;

	for (at = 0; at + 4 <= b->len; at += 4)
		for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
			memcpy(&old, b->data + at, 4);
			memcpy(b->data + at, &values[i], 4);
			if ((p = load(b->data, b->len)) != NULL) {
				use(p);
				use_names(p);
				policy_free(p);
			}
			memcpy(b->data + at, &old, 4);
		}
}

static void
messages(void **state)
{
	const struct blob	*b = *state;
	char			 err[200] = "";

	assert_null(policy_load(b->data, 3, err, sizeof(err)));
	assert_true(strlen(err) > 0);
	assert_null(policy_load(b->data, 3, err, 0));
	assert_null(policy_load(b->data, POLICY_BLOB_MAX + 1, err, sizeof(err)));
}

/* Nothing of an IPv4 set in the set of another table: disjoint and sorted. */
static void
set_out_of_order(void **state)
{
	const struct blob	*b = *state;
	struct policy		*p = load(b->data, b->len);
	size_t			 off = (size_t)((const uint8_t *)p->prefix -
				    (const uint8_t *)p->blob);
	uint32_t		 i, n = p->head->prefixes, swapped = 0;
	struct prefix		 tmp[2];

	for (i = 0; i + 1 < n; i++) {
		struct policy *q;

		memcpy(tmp, b->data + off + i * sizeof(*tmp), sizeof(tmp));
		memcpy(b->data + off + i * sizeof(*tmp), &tmp[1], sizeof(*tmp));
		memcpy(b->data + off + (i + 1) * sizeof(*tmp), &tmp[0],
		    sizeof(*tmp));
		if ((q = load(b->data, b->len)) == NULL)
			swapped++;
		policy_free(q);
		memcpy(b->data + off + i * sizeof(*tmp), tmp, sizeof(tmp));
	}
	assert_true(swapped >= 2);	/* the table's own pairs */
	policy_free(p);
}

/* A rule whose set is empty is no rule for nothing, and none for everything. */
static void
empty_set(void **state)
{
	const struct blob	*b = *state;
	struct policy		*p = load(b->data, b->len);
	size_t			 off = (size_t)((const uint8_t *)p->rule -
				    (const uint8_t *)p->blob);
	struct blob_rule	 r, old;

	memcpy(&r, b->data + off, sizeof(r));
	old = r;
	assert_int_equal(r.match.kind, KIND_NET);
	r.match.nrefs = 0;
	memcpy(b->data + off, &r, sizeof(r));
	assert_null(load(b->data, b->len));
	r.match.kind = KIND_ANY;
	memcpy(b->data + off, &r, sizeof(r));
	policy_free(p);
	assert_non_null(p = load(b->data, b->len));
	r.match.nrefs = old.match.nrefs;
	memcpy(b->data + off, &r, sizeof(r));
	assert_null(load(b->data, b->len));
	memcpy(b->data + off, &old, sizeof(old));
	policy_free(p);
}

/* The blob with one struct of it changed must be refused. */
static void
refused(const struct blob *b, const void *base, const void *at, size_t len,
    const void *with)
{
	size_t	 off = (size_t)((const uint8_t *)at - (const uint8_t *)base);
	uint8_t	 old[512];

	assert_true(len <= sizeof(old) && off + len <= b->len);
	memcpy(old, b->data + off, len);
	assert_memory_not_equal(old, with, len);
	memcpy(b->data + off, with, len);
	assert_null(load(b->data, b->len));
	memcpy(b->data + off, old, len);
}

static const struct blob_rule *
first_by_name(const struct policy *p)
{
	uint32_t	i;

	for (i = 0; p->rule[i].match.kind != KIND_NAME; i++)
		;
	return &p->rule[i];
}

static void
rules_by_name(void **state)
{
	const struct blob	*b = *state;
	struct policy		*p = load(b->data, b->len);
	const struct blob_rule	*at = first_by_name(p);
	struct blob_rule	 r;

#define REFUSED(field, value) do {					\
	r = *at;							\
	r.field = (value);						\
	refused(b, p->blob, at, sizeof(r), &r);				\
} while (0)
	REFUSED(verify, VERIFY_NONE);		/* with ech */
	REFUSED(verify, VERIFY_HOST);
	REFUSED(verify, VERIFY_BY_PORT + 1);
	REFUSED(ech, 2);
	REFUSED(deny, 1);			/* with verify */
	REFUSED(match.echo, 1);
	REFUSED(match.nranges, 0);
	REFUSED(match.nnames, 0);
	REFUSED(match.nnames, p->head->nrefs + 1);
	REFUSED(match.nxnames, UINT32_MAX);
	REFUSED(match.kind, KIND_ANY);
	REFUSED(match.kind, KIND_NET);
	at = &p->rule[0];
	REFUSED(verify, VERIFY_SNI);		/* of networks */
	REFUSED(match.kind, KIND_NAME);
	REFUSED(match.nxnames, 1);
	policy_free(p);
}

/* A name that stands where it is not looked for would be a deny that does not deny. */
static void
the_dictionary(void **state)
{
	const struct blob	*b = *state;
	struct policy		*p = load(b->data, b->len);
	struct blob_entry	 e[2] = { p->name[1], p->name[0] };
	uint8_t			 byte;
	uint32_t		 i, at = 0;

	assert_true(p->head->names >= 5);
	refused(b, p->blob, p->name, sizeof(e), e);	/* out of order */
	e[0] = p->name[1];
	e[0].hash ^= 1;
	refused(b, p->blob, p->name + 1, sizeof(*e), e);
	for (i = 0; i < 4; i++) {		/* a kind too many, or too few */
		e[0] = p->name[1];
		e[0].text_kinds ^= 1u << i;
		refused(b, p->blob, p->name + 1, sizeof(*e), e);
	}
	for (i = 0; i < p->head->nametext; i++) {
		byte = p->nametext[i] ^ (i == at ? 1 : 0x20);
		refused(b, p->blob, p->nametext + i, 1, &byte);
		if (i == at + p->nametext[at])
			at = i + 1;
	}
	assert_int_equal(at, p->head->nametext);
	policy_free(p);
}

static void
sets_of_names(void **state)
{
	const struct blob	*b = *state;
	struct policy		*p = load(b->data, b->len);
	uint32_t		 i, k, bad, most = 0;
	struct blob_nset	 s;

	for (i = 0; i < p->head->keys; i++) {
		for (k = 0; k < 4; k++) {	/* nobody else has this key */
			bad = (p->key[i] & ~UINT32_C(3)) | k;
			if (bad != p->key[i])
				refused(b, p->blob, p->key + i, sizeof(bad),
				    &bad);
		}
		bad = p->head->names << 2;
		refused(b, p->blob, p->key + i, sizeof(bad), &bad);
	}
	for (i = 0; i < p->head->nsets; i++) {
		s = p->nset[i];
		most = s.n > most ? s.n : most;
		s.n++;
		refused(b, p->blob, p->nset + i, sizeof(s), &s);
		s.n -= 2;
		refused(b, p->blob, p->nset + i, sizeof(s), &s);
		s = p->nset[i];
		s.first++;
		refused(b, p->blob, p->nset + i, sizeof(s), &s);
	}
	assert_true(most >= 2);
	for (i = 0; i < p->head->nrefs; i++)
		refused(b, p->blob, p->nref + i, sizeof(i), &p->head->nsets);
	policy_free(p);
}

static void
names_and_hosts(void **state)
{
	const struct blob	*b = *state;
	struct policy		*p = load(b->data, b->len);
	struct blob_host	 h = p->host[0];
	struct endpoint		 e = p->addr[0];

	h.name = p->host[1].name;		/* twice */
	refused(b, p->blob, p->host, sizeof(h), &h);
	h = p->host[0];
	h.naddrs = 0;
	refused(b, p->blob, p->host, sizeof(h), &h);
	h.naddrs = ANSWER_MAX + 1;
	refused(b, p->blob, p->host, sizeof(h), &h);
	e.port = 1;
	refused(b, p->blob, p->addr, sizeof(e), &e);
	policy_free(p);
}

static void
the_resolver(void **state)
{
	const struct blob	*b = *state;
	struct policy		*p = load(b->data, b->len);
	const uint32_t		 many = UPSTREAM_MAX + 1, two = 2;
	const struct policy_resolver *r = p->resolver;
	struct policy_upstream	 u = r->upstream[0];
	struct blob_except	 x = p->except[0];

	refused(b, p->blob, &r->nupstreams, sizeof(many), &many);
	refused(b, p->blob, &r->nupstreams, sizeof(two), &two);
	refused(b, p->blob, &r->dnssec, sizeof(two), &two);
	refused(b, p->blob, &r->upstream[3], sizeof(u), &u);
	refused(b, p->blob, &r->pin_max, sizeof(two), &two);	/* < min */
	u.addr.port = 0;
	refused(b, p->blob, &r->upstream[0], sizeof(u), &u);
	u = r->upstream[0];
	u.tls = 0;				/* but with a name */
	refused(b, p->blob, &r->upstream[0], sizeof(u), &u);
	x.match.kind = KIND_NAME;
	x.match.nrefs = 0;
	x.match.nnames = 1;
	refused(b, p->blob, p->except, sizeof(x), &x);
	policy_free(p);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(rules_by_name),
		cmocka_unit_test(the_dictionary),
		cmocka_unit_test(sets_of_names),
		cmocka_unit_test(names_and_hosts),
		cmocka_unit_test(the_resolver),
		cmocka_unit_test(whole),
		cmocka_unit_test(cut),
		cmocka_unit_test(every_byte),
		cmocka_unit_test(every_word),
		cmocka_unit_test(messages),
		cmocka_unit_test(set_out_of_order),
		cmocka_unit_test(empty_set),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
