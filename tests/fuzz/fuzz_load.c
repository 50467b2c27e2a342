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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char		 err[128];
	struct policy	*p = policy_load(data, len, err, sizeof(err));

	if (p == NULL)
		return 0;
	ask(p, PROTO_TCP, "203.0.114.9:443", false);
	ask(p, PROTO_UDP, "[2600:1f00::1]:53", false);
	ask(p, PROTO_ECHO, "[64:ff9b::a01:101]:0", false);
	ask(p, PROTO_TCP, "10.0.2.2:9091", false);
	ask(p, PROTO_TCP, "127.0.0.1:9091", true);
	ask(p, PROTO_TCP, "[64:ff9b::a9fe:a9fe]:80", true);
	policy_free(p);
	return 0;
}
