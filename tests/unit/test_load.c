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
    "limits l { conns 5 }\n"
    "tenant a {\n"
    "\tlimits l\n"
    "\tallow to net { <t> 203.0.116.1 } except 203.0.114.9 port tcp { 80 443 }\n"
    "\tallow to net 10.0.1.0/24 port tcp 443 label \"inside\"\n"
    "\tallow to host-service m\n"
    "\tdeny to any except <t> port udp 53 icmp echo\n"
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

	assert_non_null(copy);
	memcpy(copy, data, len);
	p = policy_load(copy, len, err, sizeof(err));
	free(copy);
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

static void
whole(void **state)
{
	const struct blob	*b = *state;
	struct policy		*p = load(b->data, b->len);

	assert_non_null(p);
	use(p);
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

int
main(void)
{
	const struct CMUnitTest	tests[] = {
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
