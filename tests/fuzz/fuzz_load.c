/*
 * Any bytes as a compiled policy. What loads must answer every question, without
 * a look outside of itself, and must keep the floor's last line.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "law.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
ask(const struct policy *p, uint32_t proto, const char *dst, bool floored)
{
	struct policy_query	q = { .proto = proto };
	struct verdict		v;

	if (endpoint_parse(dst, &q.dst) == -1 ||
	    addr_parse("10.0.2.2", &q.gateway4) == -1)
		abort();
	for (; q.tenant < policy_tenants(p) && q.tenant < 64; q.tenant++) {
		v = policy_decide(p, &q);
		if (floored && v.kind != VERDICT_DENY)
			abort();
		if (strlen(policy_rule_id(p, v.rule)) >= RULE_MAX ||
		    strlen(policy_rule_loc(p, v.rule)) >= LOC_MAX ||
		    strlen(policy_tenant_name(p, q.tenant)) >= TENANT_MAX ||
		    policy_limits(p, q.tenant)->conns == 0)
			abort();
	}
}

static struct name
name(const char *text)
{
	struct name	n;

	if (name_from_text(text, strlen(text), &n) == -1)
		abort();
	return n;
}

/* What has to prove itself does so by a name that is bound, or not at all. */
static void
ask_flow(const struct policy *p, struct policy_query *q, uint32_t kind)
{
	struct policy_shown	shown = { .kind = kind, .what = SHOWN_NAME };
	struct verdict		v, w;

	q->shown = NULL;
	v = policy_decide(p, q);
	if (v.peek != PEEK_NONE && v.kind == VERDICT_DENY)
		abort();
	shown.name = name("other.example.net");
	q->shown = &shown;
	w = policy_decide(p, q);
	if (w.peek != PEEK_NONE || (v.peek == PEEK_PROOF &&
	    w.kind != VERDICT_DENY))
		abort();
	shown.name = *q->bound[0];
	w = policy_decide(p, q);
	if (v.peek == PEEK_NONE && v.kind != w.kind)
		abort();
}

static void
ask_names(const struct policy *p, const char *text)
{
	const struct name	 a = name(text), b = name("zz.example.org");
	const struct name *const bound[] = { &a, &b };
	struct policy_query	 q = { .proto = PROTO_TCP, .bound = bound,
				    .nbound = 2 };
	struct endpoint		 out[ANSWER_MAX];
	struct name_verdict	 v;
	int			 i, n = policy_host(p, &a, ADDR_V6, out);

	for (i = 0; i < n; i++)
		if (!endpoint_valid(&out[i]) || out[i].family != ADDR_V6)
			abort();
	if (n > ANSWER_MAX || endpoint_parse("203.0.114.9:443", &q.dst) == -1)
		abort();
	for (; q.tenant < policy_tenants(p) && q.tenant < 64; q.tenant++) {
		v = policy_name(p, q.tenant, &a, 0);
		if (v.kind == VERDICT_ALLOW && (policy_needs(p, q.tenant) &
		    NEEDS_RESOLVER) == 0)
			abort();
		if (policy_limits(p, q.tenant)->names == 0 ||
		    strlen(policy_rule_loc(p, v.rule)) >= LOC_MAX)
			abort();
		ask_flow(p, &q, PEEK_TLS);
		ask_flow(p, &q, PEEK_HTTP);
	}
}

static void
check_resolver(const struct policy_resolver *r)
{
	uint32_t	i;

	if (r->nupstreams > UPSTREAM_MAX || r->pin_min > r->pin_max)
		abort();
	for (i = 0; i < r->nupstreams; i++)
		if (r->upstream[i].addr.port == 0 ||
		    (r->upstream[i].tls != 0 &&
		    !name_valid(&r->upstream[i].name)))
			abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char		 err[128];
	struct policy	*p = policy_load(data, len, err, sizeof(err));
	unsigned int	 i;

	if (p == NULL)
		return 0;
	for (i = 0; i < policy_tenants(p); i++)
		if (policy_index(p, i) == -1)
			abort();
	ask(p, PROTO_TCP, "203.0.114.9:443", false);
	ask(p, PROTO_UDP, "[2600:1f00::1]:53", false);
	ask(p, PROTO_ECHO, "[64:ff9b::a01:101]:0", false);
	ask(p, PROTO_TCP, "10.0.2.2:9091", false);
	ask(p, PROTO_TCP, "127.0.0.1:9091", true);
	ask(p, PROTO_TCP, "[64:ff9b::a9fe:a9fe]:80", true);
	ask_names(p, "packages.example.org");
	ask_names(p, "db.corp.example");
	ask_names(p, "a.b.usercontent.example.com");
	check_resolver(policy_resolver(p));
	policy_free(p);
	return 0;
}
