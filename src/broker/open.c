/*
 * From a frame's OPEN to a connect that has begun: limits, law, a slot, record; where
 * the law wants to see a first flight, peek.c goes on when it is done.
 *
 * Trusts: the verdict. Must not: begin a connect that has neither flow.open nor
 * flow.dial on its way to the log, unless it is of a kind that fails again and again
 * (deny.c) or has failed already, or leave a charge behind for what was refused.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "log.h"

#define FLOW_LINES	2048u		/* bytes of its open and close, about */

static const char *
open_fault(const struct guest *g, const struct wire_open *m)
{
	if (m->head.id <= g->last_id || (m->head.id & WIRE_ID_BROKER) != 0)
		return "id-not-new";
	if (m->proto != PROTO_TCP && m->proto != PROTO_UDP &&
	    m->proto != PROTO_ECHO)
		return "unknown-protocol";
	if (m->zero != 0 || !endpoint_valid(&m->guest) ||
	    !endpoint_valid(&m->dst) || m->guest.family != m->dst.family)
		return "bad-endpoint";
	if (!lease_has(g, &m->guest))
		return "address-not-leased";
	return NULL;
}

static void
await(struct flow *f, uint64_t rec)
{
	f->durable = !audit_await(f->guest->broker, &f->wait, rec);
}

static void
known_names(struct flow *f)
{
	free(f->names);
	f->names = record_names(f->guest, &f->g_dst, f->named);
}

void
open_record(struct flow *f)
{
	struct record	r;

	f->opened = true;
	record_flow(f, REC_FLOW_OPEN, &r);
	r.reason = f->judged;
	known_names(f);
	await(f, record_put(f->guest, f->named, f->names, &r));
}

/* What is about to be connected to, for which names it may be, and what for. */
static void
dial_record(struct flow *f)
{
	struct record		r;
	struct record_named	m;

	f->dialled = true;
	record_undecided(f, REC_FLOW_DIAL, &r);
	r.h_dst = f->dial;
	known_names(f);
	record_named(f->named, f->names, &r, &m);
	m.wants = f->lenient ? WANTS_LOOK : WANTS_PROOF;
	await(f, record_write_named(f->guest, &m));
}

static enum reason
make_socket(struct flow *f, enum deny_code *code)
{
	if ((f->fd = connect_socket(f->proto, &f->dial)) != -1)
		return REASON_NONE;
	if (f->proto == PROTO_ECHO && errno == EACCES)
		return REASON_ICMP_UNAVAILABLE;
	return connect_reason(errno, code);
}

/*
 * The connect, before it is known what the flow is; its record goes first, and where
 * the recorder's channel is full it is waited for. REASON_NONE: it may be gone
 * already, and recorded.
 */
enum reason
open_ahead(struct flow *f, enum deny_code *code)
{
	struct broker	*b = f->guest->broker;
	enum reason	 why = make_socket(f, code);

	if (why != REASON_NONE)
		return why;
	dial_record(f);
	if (b->durable == DURABLE_BEFORE_CONNECT ||
	    (!f->durable && !audit_sent(b)))
		f->state = FLOW_RECORD;
	else
		connect_settle(f, connect_begin(f));
	return REASON_NONE;
}

/* The verdict on one that was dialled is made, and lets it go on. */
void
open_connected(struct flow *f)
{
	f->state = FLOW_RECORDED;
	open_record(f);
	if (f->durable)
		ledger_durable(f);
}

/*
 * Allowed, and charged: the connect and its record start together, or where a
 * failure would only be counted the record follows the connect; before both no byte
 * moves. REASON_NONE: the flow may be gone already, recorded or counted. Else it has
 * no flow.open.
 */
static enum reason
open_go(struct flow *f, enum deny_code *code)
{
	enum reason	why;
	int		error;

	if ((why = make_socket(f, code)) != REASON_NONE)
		return why;
	if (f->guest->broker->durable == DURABLE_BEFORE_CONNECT) {
		f->state = FLOW_RECORD;
		open_record(f);
		return REASON_NONE;
	}
	error = connect_begin(f);
	f->late = error != 0 && (error != EINPROGRESS || deny_hot(f));
	if (!f->late)
		open_record(f);
	connect_settle(f, error);
	return REASON_NONE;
}

static bool
echo_works(struct broker *b, const struct flow *f)
{
	if (f->proto != PROTO_ECHO ||
	    (f->g_dst.family == ADDR_V4 ? b->echo4 : b->echo6))
		return true;
	if (!b->echo_warned)
		log_warnx("this host has no ping sockets, so icmp echo is "
		    "denied: set the sysctl net.ipv4.ping_group_range");
	b->echo_warned = true;
	return false;
}

/* The table of pins may have had no room for it any more. */
static void
add_name(struct bound *b, const struct name *name)
{
	size_t	at = 0;

	while (at < b->n && name_compare(b->name[at], name) < 0)
		at++;
	if (b->n == sizeof(b->name) / sizeof(b->name[0]) ||
	    (at < b->n && name_equal(b->name[at], name)))
		return;
	memmove(b->name + at + 1, b->name + at,
	    (b->n - at) * sizeof(b->name[0]));
	b->name[at] = name;
	b->n++;
}

/*
 * The names that a flow is judged with, whenever that is: what was pinned at its OPEN,
 * though it may have ended since. One that came later is there too; it takes nothing
 * away.
 */
void
open_bound(const struct flow *f, struct bound *bound)
{
	pins_bound(f->guest->pins, &f->g_dst, f->asked_at, bound);
	if (f->named != NULL && f->named->name.len > 0)
		add_name(bound, &f->named->name);
}

/* The name that the record will have; len 0: none, or which is not known. */
void
open_name(struct named *n, const struct verdict *v, const struct bound *bound)
{
	struct naming	w = policy_naming(v, bound->name, bound->n,
			    n->seen ? &n->shown : NULL);

	n->assurance = w.assurance;
	if (w.name != -1)
		n->name = *bound->name[w.name];
	else
		memset(&n->name, 0, sizeof(n->name));
}

/* What it needs beside the law's word and a slot. */
static enum reason
wanting(struct flow *f)
{
	struct guest	*g = f->guest;
	struct broker	*b = g->broker;

	if (b->stop != STOP_NO)
		return REASON_SHUTDOWN;
	if (!echo_works(b, f))
		return REASON_ICMP_UNAVAILABLE;
	if (!audit_up(b))
		return REASON_AUDIT_UNAVAILABLE;
	if (!kmem_room(g))
		return REASON_KERNEL_MEMORY;
	if (!volume_has(&g->account->volume, VOLUME_MUST, FLOW_LINES,
	    mono_now()))
		return REASON_AUDIT_RATE;
	if (b->nflows - b->nheld + b->accounts.nleftovers > b->conns_max)
		return REASON_RESOURCE;
	return REASON_NONE;
}

/* It lives afterwards, or has been denied, or its end recorded. */
static void
begin(struct flow *f, const struct verdict *v)
{
	enum deny_code	 code = deny_code(f->proto);
	enum reason	 why;

	f->state = FLOW_RECORD;
	f->turned = mono_now();
	f->guest->broker->nheld--;
	why = wanting(f);
	if (why == REASON_NONE)
		why = v->peek != PEEK_NONE ? peek_begin(f, v, &code) :
		    open_go(f, &code);
	if (why != REASON_NONE)
		ledger_failed(f, why, code, 0);
}

void
open_judged(struct flow *f, const struct verdict *v)
{
	f->epoch = f->guest->broker->epoch;
	f->rule = v->rule;
	f->verdict = v->kind;
	f->judged = v->reason;
	f->local_ok = v->local_ok;
	f->dial = v->dial;
}

/* It has its slot at last; policy and host may have changed since it came. */
void
open_held(struct flow *f)
{
	struct bound	bound;
	struct verdict	v;

	open_bound(f, &bound);
	v = guest_decide(f->guest, f->proto, &f->g_dst, &bound, NULL);
	open_judged(f, &v);
	if (v.kind == VERDICT_DENY)
		ledger_failed(f, v.reason, deny_code(f->proto), 0);
	else
		begin(f, &v);
}

/* Limits, then law, then a slot. REASON_NONE: it is the ledger's. */
static enum reason
judge(struct guest *g, const struct wire_open *m, struct verdict *v,
    struct named *named)
{
	struct charge	 charge;
	struct bound	 bound;
	struct flow	*f;

	if (g->broker->stop != STOP_NO)
		return REASON_SHUTDOWN;
	if (!quota_rate(g->quota, mono_now()))
		return REASON_RATE;
	if (!quota_conn(g->quota, &charge))
		return REASON_CONNS;
	pins_bound(g->pins, &m->dst, boot_now(), &bound);
	*v = guest_decide(g, m->proto, &m->dst, &bound, NULL);
	open_name(named, v, &bound);
	if (v->kind == VERDICT_DENY ||
	    (f = ledger_add(g, m, v, named, &charge)) == NULL) {
		quota_refund(g->quota, &charge);
		return v->kind == VERDICT_DENY ? v->reason : REASON_RESOURCE;
	}
	if (quota_connecting(g->quota, &f->dial, &f->charge, f))
		begin(f, v);
	else
		hold_flow(f, REASON_PENDING);
	return REASON_NONE;
}

/* Too many at once may be fewer in a second, when the guest's kernel tries again. */
static enum deny_code
refusal(uint32_t proto, enum reason why)
{
	return why == REASON_RATE && proto == PROTO_TCP ? DENY_SILENT :
	    deny_code(proto);
}

int
open_take(struct guest *g, const struct wire_open *m)
{
	struct verdict	 v = { .rule = POLICY_NO_RULE };
	struct named	 named;
	enum reason	 why;
	const char	*fault = open_fault(g, m);

	if (fault != NULL)
		return answer_refuse(g, fault);
	g->last_id = m->head.id;
	memset(&named, 0, sizeof(named));
	if ((why = judge(g, m, &v, &named)) != REASON_NONE) {
		deny_open(g, m, why, v.rule, &named);
		answer_deny(g, m->head.id, refusal(m->proto, why));
	}
	guest_pause(g);
	return 0;
}
