/*
 * One record, one line. The order of the members is fixed and is the order of
 * sallyport-audit(5); what does not apply is left out.
 *
 * Trusts: the broker for what is true, for nothing else: line_acceptable() is
 * asked first, and every string is bounded and escaped.
 * Must not: print what was not in the record.
 *
 * Length: the strings of a record can grow six-fold, (63 + 63 + 63 + 127 + 127)
 * * 6 = 2658, host 64 * 6 = 384, ALPN 63 * 6 = 378; two names are 506; the two
 * lists, of texts of a byte or more with a space between, grow two-fold, 2 * 2047;
 * and the rest is below 2000: LINE_ROOM is safe.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "reason.h"
#include "recorder.h"

enum field {
	F_WHO = 1 << 0,		/* tenant, guest */
	F_FLOW = 1 << 1,
	F_TUPLE = 1 << 2,	/* proto, endpoints, community ids */
	F_RULE = 1 << 3,	/* rule, loc */
	F_POL = 1 << 4,		/* gen, pol */
	F_BYTES = 1 << 5,	/* up, down, pup, pdown, csrc */
	F_TIME = 1 << 6,	/* dur; rtt where known */
	F_ERRNO = 1 << 7,
	F_COUNT = 1 << 8,	/* n, first, last, uniq */
	F_PID = 1 << 9,
	F_DEATH = 1 << 10,	/* signal, status */
	F_DETAIL = 1 << 11,
	F_NAME = 1 << 12,	/* name; of a flow: names, sni, alpn, ech, assurance */
	F_ASK = 1 << 13,	/* the number is a question's; qtype */
	F_DNS = 1 << 14,	/* chain, ips, ttl, stripped, secure */
	F_CONN = 1 << 15,	/* conn_ms */
	F_WANTS = 1 << 16
};

/* must: always there. may: where it is not zero or empty. */
static const struct shape {
	const char	*type;
	uint32_t	 must, may;
} shapes[REC_TYPE_MAX] = {
	[REC_DAEMON_START] = { "daemon.start", 0, F_POL | F_PID | F_DETAIL },
	[REC_DAEMON_STOP] = { "daemon.stop", 0, F_POL | F_PID | F_DETAIL },
	[REC_POLICY_LOAD] = { "policy.load", F_POL,
	    F_WHO | F_COUNT | F_DETAIL },
	[REC_GUEST_ATTACH] = { "guest.attach", F_WHO,
	    F_TUPLE | F_POL | F_PID | F_DETAIL },
	[REC_GUEST_DETACH] = { "guest.detach", F_WHO,
	    F_TUPLE | F_POL | F_PID | F_DETAIL },
	[REC_FLOW_OPEN] = { "flow.open", F_WHO | F_FLOW | F_TUPLE | F_POL,
	    F_NAME | F_RULE | F_DETAIL },
	[REC_FLOW_DENY] = { "flow.deny", F_WHO | F_TUPLE | F_POL,
	    F_FLOW | F_NAME | F_RULE | F_CONN | F_ERRNO | F_DETAIL },
	[REC_FLOW_CLOSE] = { "flow.close",
	    F_WHO | F_FLOW | F_TUPLE | F_BYTES | F_TIME,
	    F_NAME | F_RULE | F_POL | F_CONN | F_ERRNO | F_DETAIL },
	[REC_DENY_AGG] = { "deny.agg", F_WHO | F_COUNT,
	    F_TUPLE | F_NAME | F_RULE | F_POL | F_BYTES | F_DETAIL },
	[REC_LIMIT] = { "limit", F_WHO,
	    F_FLOW | F_TUPLE | F_POL | F_COUNT | F_DETAIL },
	[REC_IPC_VIOLATION] = { "ipc.violation", F_WHO,
	    F_FLOW | F_TUPLE | F_PID | F_DETAIL },
	[REC_FRAME_DIED] = { "frame.died", F_WHO | F_DEATH,
	    F_PID | F_DETAIL },
	[REC_DNS] = { "dns", F_WHO | F_NAME | F_ASK | F_DNS | F_POL,
	    F_FLOW | F_RULE | F_COUNT | F_DETAIL },
	[REC_CHILD_DIED] = { "child.died", F_DEATH | F_DETAIL,
	    F_POL | F_PID | F_ERRNO },
	[REC_RESOLVER_CHANGE] = { "resolver.change", F_DETAIL, F_POL },
	[REC_POLICY_REPLACED] = { "policy.replaced", F_DETAIL, F_POL },
	[REC_FAIL_AGG] = { "fail.agg", F_WHO | F_COUNT,
	    F_TUPLE | F_POL | F_DETAIL },
	[REC_DNS_ASK] = { "dns.ask", F_WHO | F_FLOW | F_NAME | F_ASK | F_POL,
	    F_RULE | F_DETAIL },
	[REC_FLOW_DIAL] = { "flow.dial",
	    F_WHO | F_FLOW | F_TUPLE | F_POL | F_WANTS, F_NAME | F_DETAIL },
};

static const char *const	verdicts[] = { NULL, "allow", "deny", "audit-deny" };
static const char *const	sources[] = { NULL, "kernel", "frame" };
static const char *const	assurances[] = { "none", "dns", "sni", "host" };
static const char *const	wants[] = { "nothing", "proof", "look" };
static const char *const	modes[] = { "before-data", "before-connect",
				    "async" };

static bool
ended(const char *s, size_t size)
{
	return memchr(s, '\0', size) != NULL;
}

/* Well-formed, or none at all. */
static bool
endpoint_known(const struct endpoint *e)
{
	static const struct endpoint	none;

	return memcmp(e, &none, sizeof(none)) == 0 || endpoint_valid(e);
}

/* What may stand in a line by itself: a question never does, without its name. */
static bool
acceptable(const struct record *r)
{
	return r->type > 0 && r->type < REC_TYPE_MAX &&
	    r->verdict <= VERDICT_AUDIT_DENY && r->reason < REASON_MAX &&
	    (r->proto == PROTO_NONE || r->proto == PROTO_TCP ||
	    r->proto == PROTO_UDP || r->proto == PROTO_ECHO) &&
	    r->csrc <= CSRC_FRAME && r->err < 4096 &&
	    endpoint_known(&r->g_src) && endpoint_known(&r->g_dst) &&
	    endpoint_known(&r->h_src) && endpoint_known(&r->h_dst) &&
	    ended(r->tenant, sizeof(r->tenant)) &&
	    ended(r->guest, sizeof(r->guest)) &&
	    ended(r->rule, sizeof(r->rule)) && ended(r->loc, sizeof(r->loc)) &&
	    ended(r->detail, sizeof(r->detail));
}

static bool
is_question(const struct record *r)
{
	return r->type == REC_DNS || r->type == REC_DNS_ASK;
}

bool
line_acceptable(const struct record *r)
{
	return acceptable(r) && !is_question(r) && r->type != REC_FLOW_DIAL;
}

/* Texts with one space between them, of which none is empty. */
static bool
is_list(const char *s, size_t size)
{
	size_t	i;

	for (i = 0; i < size && s[i] != '\0'; i++)
		if (s[i] == ' ' && (i == 0 || s[i - 1] == ' ' ||
		    i + 1 == size || s[i + 1] == '\0'))
			return false;
	return i < size;
}

/* Names with commas between them, as a flow's are; nothing of it is escaped. */
static bool
is_names(const char *s, size_t size)
{
	size_t	i;

	for (i = 0; i < size && s[i] != '\0'; i++)
		if (strchr("abcdefghijklmnopqrstuvwxyz0123456789_-.,",
		    s[i]) == NULL)
			return false;
	return i < size;
}

static bool
name_known(const struct name *n)
{
	static const struct name	none;

	return name_equal(n, &none) || name_valid(n);
}

bool
line_acceptable_named(const struct record_named *n)
{
	return acceptable(&n->r) && name_known(&n->name) &&
	    name_known(&n->sni) &&
	    (!is_question(&n->r) || n->name.len > 0) &&
	    n->assurance <= ASSURANCE_HOST && n->ech <= 1 &&
	    n->qtype <= UINT16_MAX && n->secure <= 1 && n->urgent <= 1 &&
	    n->wants <= WANTS_LOOK && ended(n->alpn, sizeof(n->alpn)) &&
	    (is_question(&n->r) ? is_list(n->chain, sizeof(n->chain)) :
	    is_names(n->chain, sizeof(n->chain))) &&
	    is_list(n->ips, sizeof(n->ips));
}

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

static void
begin(struct json *j, const struct stamp *at, const char *type)
{
	JSON_LIT(j, "{\"v\":1,\"seq\":");
	json_u64(j, at->seq);
	JSON_KEY(j, "ts");
	json_time(j, at->ts);
	JSON_KEY(j, "mono");
	json_u64(j, at->mono);
	JSON_KEY(j, "type");
	json_str(j, type, 32);
}

static void
origin(struct json *j, const struct origin *o, const uint8_t inst[16])
{
	char	text[INST_STRLEN];

	JSON_KEY(j, "host");
	json_str(j, o->host, sizeof(o->host));
	if (o->boot[0] != '\0') {
		JSON_KEY(j, "boot");
		json_str(j, o->boot, sizeof(o->boot));
	}
	JSON_KEY(j, "inst");
	line_inst(text, inst);
	json_str(j, text, sizeof(text));
}

static void
finish(struct json *j)
{
	JSON_LIT(j, "}\n");
}

#define NUMBER(j, name, v)	(JSON_KEY(j, name), json_u64(j, v))
#define TEXT(j, name, s)	(JSON_KEY(j, name), json_str(j, s, sizeof(s)))
#define WORD(j, name, s)	(JSON_KEY(j, name), json_str(j, s, 64))

static bool
has(const struct shape *s, uint32_t field, bool there)
{
	return (s->must & field) != 0 || ((s->may & field) != 0 && there);
}

/* inet_ntop(3) prints IPv4 by way of printf: a quarter of a line's time. */
static void
v4(struct json *j, const uint8_t *a)
{
	int	i;

	for (i = 0; i < 4; i++) {
		json_put(j, i == 0 ? "\"" : ".", 1);
		json_u64(j, a[i]);
	}
	JSON_LIT(j, "\"");
}

static void
address(struct json *j, const struct endpoint *e)
{
	char	text[ENDPOINT_STRLEN];

	if (e->family == ADDR_V4)
		v4(j, e->addr);
	else
		json_str(j, addr_print(e, text), sizeof(text));
}

#define ADDRESS(j, name, port_name, e, ports) do {			\
	if ((e)->family == ADDR_NONE)					\
		break;							\
	JSON_KEY(j, name);						\
	address(j, e);							\
	if (ports)							\
		NUMBER(j, port_name, (e)->port);			\
} while (0)

static void
tuple(struct json *j, const struct record *r)
{
	bool	ports = r->proto == PROTO_TCP || r->proto == PROTO_UDP;
	char	id[COMMUNITY_LEN];

	if (r->proto != PROTO_NONE)
		WORD(j, "proto", proto_name(r->proto));
	ADDRESS(j, "g.src", "g.sp", &r->g_src, ports);
	ADDRESS(j, "g.dst", "g.dp", &r->g_dst, ports);
	ADDRESS(j, "h.src", "h.sp", &r->h_src, ports);
	ADDRESS(j, "h.dst", "h.dp", &r->h_dst, ports);
	if (community_id(id, r->proto, &r->g_src, &r->g_dst))
		TEXT(j, "g.cid", id);
	if (community_id(id, r->proto, &r->h_src, &r->h_dst))
		TEXT(j, "h.cid", id);
}

/* RFC 1035, 3596, 2782, 9460; what has no word here is RFC 3597's. */
static void
question_type(struct json *j, uint32_t qtype)
{
	static const struct {
		uint32_t	 qtype;
		const char	*word;
	} known[] = {
		{ 1, "A" }, { 2, "NS" }, { 5, "CNAME" }, { 6, "SOA" },
		{ 12, "PTR" }, { 15, "MX" }, { 16, "TXT" }, { 28, "AAAA" },
		{ 33, "SRV" }, { 64, "SVCB" }, { 65, "HTTPS" }, { 255, "ANY" }
	};
	size_t	i;

	JSON_KEY(j, "qtype");
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].qtype == qtype) {
			json_str(j, known[i].word, 16);
			return;
		}
	JSON_LIT(j, "\"TYPE");
	json_u64(j, qtype);
	JSON_LIT(j, "\"");
}

/* "a b c" as ["a","b","c"]. */
static void
list(struct json *j, const char *s, size_t size)
{
	const char	*space;
	size_t		 len = strnlen(s, size), n;

	JSON_LIT(j, "[");
	while (len > 0) {
		space = memchr(s, ' ', len);
		n = space != NULL ? (size_t)(space - s) : len;
		json_str(j, s, n);
		n += space != NULL;
		s += n;
		len -= n;
		if (len > 0)
			JSON_LIT(j, ",");
	}
	JSON_LIT(j, "]");
}

static void
answer(struct json *j, const struct record_named *n)
{
	if (n->chain[0] != '\0') {
		JSON_KEY(j, "chain");
		list(j, n->chain, sizeof(n->chain));
	}
	if (n->ips[0] != '\0') {
		JSON_KEY(j, "ips");
		list(j, n->ips, sizeof(n->ips));
	}
	NUMBER(j, "ttl", n->ttl);
	if (n->stripped != 0)
		NUMBER(j, "stripped", n->stripped);
	if (n->secure != 0)
		JSON_LIT(j, ",\"secure\":true");
}

/* What the first flight showed, and how far that binds the flow to its name. */
static void
shown(struct json *j, const struct record_named *n)
{
	if (n->chain[0] != '\0')
		TEXT(j, "names", n->chain);
	if (n->sni.len > 0)
		TEXT(j, "sni", n->sni.text);
	if (n->alpn[0] != '\0')
		TEXT(j, "alpn", n->alpn);
	if (n->ech != 0)
		JSON_LIT(j, ",\"ech\":true");
	WORD(j, "assurance", assurances[n->assurance]);
}

static void
names(struct json *j, const struct shape *s, const struct record_named *n)
{
	if (n == NULL || !has(s, F_NAME, true))
		return;
	if (n->name.len > 0)
		TEXT(j, "name", n->name.text);
	if (has(s, F_ASK, false))
		question_type(j, n->qtype);
	if (has(s, F_DNS, false))
		answer(j, n);
	else if (has(s, F_TUPLE, true) && !line_sums(&n->r))
		shown(j, n);
}

/* Flows and questions are counted together, so that none is taken for another. */
static void
number(struct json *j, const struct shape *s, uint64_t v)
{
	if (has(s, F_ASK, false))
		NUMBER(j, "ask", v);
	else
		NUMBER(j, "flow", v);
}

/* What stays true of a flow, or a question, from its beginning to its end. */
static void
body(struct json *j, const struct shape *s, const struct record *r,
    const struct record_named *n)
{
	if (has(s, F_WHO, r->tenant[0] != '\0' || r->guest[0] != '\0')) {
		TEXT(j, "tenant", r->tenant);
		TEXT(j, "guest", r->guest);
	}
	if (has(s, F_FLOW, r->flow != 0))
		number(j, s, r->flow);
	if (has(s, F_TUPLE, true))
		tuple(j, r);
	names(j, s, n);
	if (has(s, F_RULE, r->rule[0] != '\0')) {
		TEXT(j, "rule", r->rule);
		TEXT(j, "loc", r->loc);
	}
	if (has(s, F_POL, r->gen != 0)) {
		NUMBER(j, "gen", r->gen);
		JSON_LIT(j, ",\"pol\":\"");
		json_hex(j, r->pol, 8);
		JSON_LIT(j, "\"");
	}
}

static void
error_name(struct json *j, uint32_t err)
{
	const char	*name = strerrorname_np((int)err);

	JSON_KEY(j, "errno");
	if (name != NULL)
		json_str(j, name, 32);
	else {
		JSON_LIT(j, "\"E");
		json_u64(j, err);
		JSON_LIT(j, "\"");
	}
}

static void
amounts(struct json *j, const struct shape *s, const struct record *r)
{
	if (has(s, F_BYTES, r->csrc != CSRC_NONE && s->must & F_BYTES)) {
		NUMBER(j, "up", r->up);
		NUMBER(j, "down", r->down);
		NUMBER(j, "pup", r->pup);
		NUMBER(j, "pdown", r->pdown);
	}
	if (has(s, F_BYTES, true) && r->csrc != CSRC_NONE)
		WORD(j, "csrc", sources[r->csrc]);
	if (has(s, F_TIME, false)) {
		NUMBER(j, "dur", r->dur);
		if (r->rtt != 0)
			NUMBER(j, "rtt", r->rtt);
	}
	if (has(s, F_CONN, r->conn_ms != 0))
		NUMBER(j, "conn_ms", r->conn_ms);
	if (has(s, F_ERRNO, r->err != 0) && r->err != 0)
		error_name(j, r->err);
}

static void
counts(struct json *j, const struct shape *s, const struct record *r)
{
	if (!has(s, F_COUNT, r->n != 0))
		return;
	NUMBER(j, "n", r->n);
	if (r->first == 0)
		return;
	JSON_KEY(j, "first");
	json_time(j, r->first);
	JSON_KEY(j, "last");
	json_time(j, r->last);
	NUMBER(j, "uniq", r->uniq);
}

static void
rest(struct json *j, const struct shape *s, const struct record *r)
{
	if (has(s, F_PID, r->pid != 0))
		NUMBER(j, "pid", r->pid);
	if (has(s, F_DEATH, r->signal != 0 || r->status != 0)) {
		NUMBER(j, "signal", r->signal);
		NUMBER(j, "status", r->status);
	}
	if (has(s, F_DETAIL, r->detail[0] != '\0'))
		TEXT(j, "detail", r->detail);
}

void
line_record(struct json *j, const struct origin *o, uint64_t seq,
    const struct record *r, const struct record_named *n, struct slice *slice)
{
	const struct shape	*s = &shapes[r->type];
	struct stamp		 at = { seq, r->ts, r->mono };

	begin(j, &at, s->type);
	if (r->verdict != VERDICT_NONE)
		WORD(j, "verdict", verdicts[r->verdict]);
	if (r->reason != REASON_NONE)
		WORD(j, "reason", reason_name(r->reason));
	origin(j, o, o->inst);
	NUMBER(j, "rec", r->head.id);
	slice->p = j->p;
	body(j, s, r, n);
	slice->len = (size_t)(j->p - slice->p);
	if (n != NULL && has(s, F_WANTS, false))
		WORD(j, "wants", wants[n->wants]);
	amounts(j, s, r);
	counts(j, s, r);
	rest(j, s, r);
	finish(j);
}

void
line_close(struct json *j, const struct origin *o, const struct stamp *at,
    unsigned int reason, const struct open_flow *f)
{
	begin(j, at, f->kind == OPEN_ASK ? "dns" : "flow.close");
	WORD(j, "reason", reason_name(reason));
	origin(j, o, f->inst);
	json_put(j, f->body, f->len);
	finish(j);
}

void
line_head(struct json *j, const struct origin *o, const struct stamp *at,
    const struct head *h)
{
	begin(j, at, h->start ? "audit.open" : "audit.rotate");
	origin(j, o, o->inst);
	NUMBER(j, "rec", h->rec);
	WORD(j, "mode", modes[h->durable]);
	if (h->durable == DURABLE_ASYNC)
		JSON_LIT(j, ",\"durable\":false");
	else
		JSON_LIT(j, ",\"durable\":true");
	NUMBER(j, "rotate", h->rotate);
	NUMBER(j, "reserve", h->reserve);
	NUMBER(j, "head", at->seq - 1);
	if (h->prev != NULL) {
		JSON_KEY(j, "prev");
		json_str(j, h->prev, NAME_ROOM);
	}
	if (h->oldest != 0)
		NUMBER(j, "oldest", h->oldest);
	finish(j);
}

void
line_remove(struct json *j, const struct origin *o, const struct stamp *at,
    uint64_t rec, const char *file, uint64_t from, uint64_t to)
{
	begin(j, at, "audit.remove");
	origin(j, o, o->inst);
	NUMBER(j, "rec", rec);
	JSON_KEY(j, "file");
	json_str(j, file, NAME_ROOM);
	NUMBER(j, "first_seq", from);
	NUMBER(j, "last_seq", to);
	finish(j);
}

void
line_gap(struct json *j, const struct origin *o, const struct stamp *at,
    uint64_t rec, const struct gap *g)
{
	static const char *const	loss[] = { "", "removed", "moved",
					    "changed" };

	begin(j, at, "audit.gap");
	WORD(j, "reason", reason_name(g->crash ? REASON_UNKNOWN_CRASH :
	    REASON_AUDIT_UNAVAILABLE));
	origin(j, o, o->inst);
	NUMBER(j, "rec", rec);
	if (g->err != 0)
		error_name(j, (uint32_t)g->err);
	if (g->from != 0) {
		NUMBER(j, "from", g->from);
		NUMBER(j, "to", g->to);
	}
	NUMBER(j, "opens", g->opens);
	NUMBER(j, "closes", g->closes);
	NUMBER(j, "denies", g->denies);
	NUMBER(j, "other", g->other);
	if (g->torn != 0)
		NUMBER(j, "torn", g->torn);
	if (g->loss != LOSS_NONE)
		WORD(j, "lost", loss[g->loss]);
	if (g->lost_from != 0) {
		NUMBER(j, "lost_from", g->lost_from);
		NUMBER(j, "lost_to", g->lost_to);
	}
	finish(j);
}
