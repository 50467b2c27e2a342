/*
 * One record, one line: which members each type has. Their order, keys and sources are
 * in member.c; the recorder's own lines are in own.c.
 *
 * Trusts: the broker for what is true, for nothing else: line_acceptable() is
 * asked first, and every string is bounded and escaped.
 * Must not: print what was not in the record.
 *
 * Length: the strings of a record can grow six-fold, (63 + 63 + 63 + 127 + 127)
 * * 6 = 2658, host 64 * 6 = 384, ALPN 63 * 6 = 378; two names are 506; the two
 * lists, of texts of a byte or more with a space between, grow two-fold, 2 * 2047;
 * where a command line or a policy's path is instead, that is below 256 * 6 + 256 * 3;
 * and the rest is below 2000: LINE_ROOM is safe.
 */
#include "config.h"

#include <string.h>

#include "line.h"
#include "reason.h"

/* must: always there. may: where it is not zero or empty. */
static const struct shape	shapes[REC_TYPE_MAX] = {
	[REC_DAEMON_START] = { "daemon.start", F_START,
	    F_POL | F_PID | F_DETAIL },
	[REC_DAEMON_STOP] = { "daemon.stop", 0, F_POL | F_PID | F_DETAIL },
	[REC_POLICY_LOAD] = { "policy.load", F_POL | F_TEXT,
	    F_WHO | F_COUNT | F_DETAIL },
	[REC_GUEST_ATTACH] = { "guest.attach", F_WHO,
	    F_TUPLE | F_POL | F_PID | F_DETAIL },
	[REC_GUEST_DETACH] = { "guest.detach", F_WHO,
	    F_TUPLE | F_POL | F_PID | F_DETAIL },
	[REC_FLOW_OPEN] = { "flow.open", F_WHO | F_FLOW | F_TUPLE | F_POL,
	    F_NAME | F_SHOWN | F_RULE | F_DETAIL },
	[REC_FLOW_DENY] = { "flow.deny", F_WHO | F_TUPLE | F_POL,
	    F_FLOW | F_NAME | F_SHOWN | F_RULE | F_CONN | F_ERRNO | F_DETAIL },
	[REC_FLOW_CLOSE] = { "flow.close",
	    F_WHO | F_FLOW | F_TUPLE | F_BYTES | F_TIME,
	    F_CSRC | F_NAME | F_SHOWN | F_RULE | F_POL | F_CONN | F_ERRNO | F_DETAIL },
	[REC_DENY_AGG] = { "deny.agg", F_WHO | F_COUNT,
	    F_SUM | F_NAME | F_RULE | F_POL | F_CSRC | F_DETAIL },
	[REC_LIMIT] = { "limit", F_WHO,
	    F_FLOW | F_TUPLE | F_POL | F_COUNT | F_DETAIL },
	[REC_IPC_VIOLATION] = { "ipc.violation", F_WHO,
	    F_FLOW | F_TUPLE | F_PID | F_DETAIL },
	[REC_FRAME_DIED] = { "frame.died", F_WHO | F_DEATH,
	    F_PID | F_DETAIL },
	[REC_DNS] = { "dns", F_WHO | F_NAME | F_ASK | F_DNS | F_POL,
	    F_FLOW | F_RULE | F_SOURCE | F_COUNT | F_DETAIL },
	[REC_FLOW_LIVE] = { "flow.live",
	    F_WHO | F_FLOW | F_TUPLE | F_LIVE | F_TIME | F_CSRC,
	    F_NAME | F_SHOWN | F_RULE | F_POL },
	[REC_CHILD_DIED] = { "child.died", F_DEATH | F_DETAIL,
	    F_POL | F_PID | F_ERRNO },
	[REC_RESOLVER_CHANGE] = { "resolver.change", F_DETAIL, F_POL },
	[REC_POLICY_REPLACED] = { "policy.replaced", F_DETAIL, F_POL },
	[REC_FAIL_AGG] = { "fail.agg", F_WHO | F_COUNT,
	    F_SUM | F_NAME | F_RULE | F_POL | F_DETAIL },
	[REC_DNS_ASK] = { "dns.ask", F_WHO | F_FLOW | F_NAME | F_ASK | F_POL,
	    F_RULE | F_DETAIL },
	[REC_FLOW_DIAL] = { "flow.dial",
	    F_WHO | F_FLOW | F_TUPLE | F_POL | F_WANTS,
	    F_NAME | F_SHOWN | F_DETAIL },
};

bool
line_begins(const struct record *r)
{
	return line_opens(r) || r->type == REC_DNS_ASK;
}

bool
line_opens(const struct record *r)
{
	return r->type == REC_FLOW_OPEN || r->type == REC_FLOW_DIAL;
}

bool
line_ends(const struct record *r)
{
	return r->type == REC_FLOW_CLOSE || (r->flow != 0 &&
	    (r->type == REC_DNS || r->type == REC_FLOW_DENY));
}

bool
line_sums(const struct record *r)
{
	return r->type == REC_DENY_AGG || r->type == REC_FAIL_AGG;
}

bool
line_denies(const struct record *r)
{
	return r->type == REC_FLOW_DENY ||
	    (r->type == REC_DNS && r->verdict == VERDICT_DENY);
}

void
line_inst(char out[INST_STRLEN], const uint8_t inst[16])
{
	struct json	j = { .p = out, .end = out + INST_STRLEN };
	size_t		i;
	static const uint8_t part[] = { 4, 2, 2, 2, 6 };

	for (i = 0; i < sizeof(part); inst += part[i++]) {
		if (i > 0)
			JSON_LIT(&j, "-");
		json_hex(&j, inst, part[i]);
	}
	*j.p = '\0';
}

/* What every line begins with, up to its type. */
void
line_start(struct json *j, const struct stamp *at, const char *type)
{
	JSON_LIT(j, "{\"v\":2,\"seq\":");
	json_u64(j, at->seq);
	JSON_KEY(j, "ts");
	json_time(j, at->ts);
	JSON_KEY(j, "mono_ns");
	json_u64(j, at->mono);
	JSON_KEY(j, "type");
	json_str(j, type, 32);
}

void
line_origin(struct json *j, const struct origin *o, const uint8_t inst[16])
{
	char	text[INST_STRLEN];

	JSON_KEY(j, "hostname");
	json_str(j, o->host, sizeof(o->host));
	if (o->boot[0] != '\0') {
		JSON_KEY(j, "boot");
		json_str(j, o->boot, sizeof(o->boot));
	}
	JSON_KEY(j, "inst");
	line_inst(text, inst);
	json_str(j, text, sizeof(text));
}

void
line_record(struct json *j, const struct origin *o, uint64_t seq,
    const struct record *r, const struct record_named *n, struct slice *slice)
{
	const struct shape	*s = &shapes[r->type];
	struct subject		 of = { s, r, n };
	struct stamp		 at = { seq, r->ts, r->mono };

	line_start(j, &at, s->type);
	member_put(j, MEMBER_VERDICT, &of);
	line_origin(j, o, o->inst);
	NUMBER(j, "rec", r->head.id);
	slice->p = j->p;
	member_put(j, MEMBER_BODY, &of);
	slice->len = (size_t)(j->p - slice->p);
	member_put(j, MEMBER_REST, &of);
	JSON_LIT(j, "}\n");
}
