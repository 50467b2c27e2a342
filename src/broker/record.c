/*
 * Builds records: who, when, under which policy. What happened is the caller's.
 *
 * Trusts: the broker's own state. Must not: carry a byte that a frame wrote
 * except endpoints that were checked, and counters marked CSRC_FRAME.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "broker.h"

static uint64_t
clock_ns(clockid_t clock)
{
	struct timespec	ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec;
}

uint64_t
mono_now(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* It goes on while the host sleeps. */
uint64_t
boot_now(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

uint64_t
record_time(void)
{
	return clock_ns(CLOCK_REALTIME);
}

/* dst has NUL-filled room for a string of any length. */
void
record_text(char *dst, size_t size, const char *src)
{
	size_t	len = strnlen(src, size - 1);

	memset(dst, 0, size);
	memcpy(dst, src, len);
}

/* guest NULL: a record of the broker itself. */
void
record_init(const struct broker *b, const struct guest *g,
    enum record_type type, struct record *r)
{
	wire_begin(r, sizeof(*r), RECORD_WRITE, 0);
	r->type = type;
	r->ts = record_time();
	r->mono = boot_now();
	r->gen = b->gen;
	memcpy(r->pol, policy_hash(b->policy), sizeof(r->pol));
	if (g == NULL)
		return;
	record_text(r->tenant, sizeof(r->tenant),
	    policy_tenant_name(b->policy, b->tenant));
	memcpy(r->guest, g->conf.name, sizeof(r->guest));
}

/* The first two: who started this and what for, and what the law is. */
void
record_begin(struct broker *b)
{
	const struct keeper_who	*w = &b->who;
	struct record_named	 m;

	memset(&m, 0, sizeof(m));
	record_init(b, NULL, REC_DAEMON_START, &m.r);
	m.r.pid = w->pid;
	m.uid = w->uid;
	m.cmd_len = w->len;
	m.cmd_cut = w->cut;
	memcpy(m.cmd, w->cmd, w->len);
	audit_put_named(b, &m);
	memset(&m, 0, sizeof(m));
	record_init(b, NULL, REC_POLICY_LOAD, &m.r);
	m.r.n = policy_rules(b->policy);
	record_text(m.policy, sizeof(m.policy), w->policy);
	memcpy(m.text, policy_text_hash(b->policy), sizeof(m.text));
	audit_put_named(b, &m);
}

void
record_rule(const struct broker *b, uint32_t rule, struct record *r)
{
	if (rule == POLICY_NO_RULE)
		return;
	record_text(r->rule, sizeof(r->rule),
	    policy_rule_id(b->policy, rule));
	record_text(r->loc, sizeof(r->loc), policy_rule_loc(b->policy, rule));
}

void
record_flow(const struct flow *f, enum record_type type, struct record *r)
{
	const struct broker	*b = f->guest->broker;

	record_init(b, f->guest, type, r);
	r->flow = f->number;
	r->verdict = f->verdict;
	r->proto = f->proto;
	r->g_src = f->g_src;
	r->g_dst = f->g_dst;
	if (f->h_src.family != ADDR_NONE) {
		r->h_src = f->h_src;
		r->h_dst = f->dial;
	}
	record_rule(b, f->rule, r);
}

/* Nothing has been decided of it, so no rule has. */
void
record_undecided(const struct flow *f, enum record_type type, struct record *r)
{
	record_flow(f, type, r);
	r->verdict = VERDICT_NONE;
	memset(r->rule, 0, sizeof(r->rule));
	memset(r->loc, 0, sizeof(r->loc));
}

static char *
list_names(const struct bound *bound)
{
	char	list[RECORD_LIST_MAX] = "";
	size_t	i;

	for (i = 0; i < bound->n; i++)
		record_list(list, sizeof(list), bound->name[i]->text);
	return strdup(list);
}

/*
 * The names of an address that has several, where it is not known which one a flow
 * is of; with commas, as they stand in the line. NULL: there is nothing to tell.
 */
char *
record_names(const struct guest *g, const struct endpoint *dst,
    const struct named *n)
{
	struct bound	bound;

	if (n != NULL && n->name.len > 0)
		return NULL;
	pins_bound(g->pins, dst, boot_now(), &bound);
	return bound.n < 2 ? NULL : list_names(&bound);
}

/* The same of those that it had; if there is one only, that is in *n. */
char *
record_lapsed(const struct guest *g, const struct endpoint *dst,
    struct named *n)
{
	struct bound	bound;

	memset(n, 0, sizeof(*n));
	pins_lapsed(g->pins, dst, boot_now(), &bound);
	if (bound.n == 1)
		n->name = *bound.name[0];
	return bound.n < 2 ? NULL : list_names(&bound);
}

/* ---- what it costs its guest ------------------------------------------------------ */

static size_t
endpoint_cost(const struct endpoint *e)
{
	return e->family == ADDR_NONE ? 0 : e->family == ADDR_V4 ? 60 : 85;
}

/*
 * About as long as its line, and not shorter unless something in it has to be
 * escaped: the recorder counts no guest's bytes, and none comes back from there.
 */
static size_t
cost(const struct record *r)
{
	return 330 + strlen(r->tenant) + strlen(r->guest) + strlen(r->rule) +
	    strlen(r->loc) + strlen(r->detail) + endpoint_cost(&r->g_src) +
	    endpoint_cost(&r->g_dst) + endpoint_cost(&r->h_src) +
	    endpoint_cost(&r->h_dst) + (r->type == REC_FLOW_CLOSE ? 170 : 0) +
	    (r->first != 0 ? 120 : 0);
}

/* The lists have a quote at each end and a comma for each text. */
static size_t
cost_named(const struct record_named *m)
{
	return cost(&m->r) + (m->tls != 0 ? 22 : 0) +
	    (m->upstream.family != ADDR_NONE ? 110 : 0) + 90 + m->name.len +
	    m->sni.len + strlen(m->alpn) * 2 +
	    strlen(m->chain) * 5 / 4 + strlen(m->ips) * 5 / 4;
}

/* A guest's line is charged to it. */
uint64_t
record_write(struct guest *g, struct record *r)
{
	volume_spend(&g->account->volume, cost(r), mono_now());
	return audit_put(g->broker, r);
}

uint64_t
record_write_named(struct guest *g, struct record_named *m)
{
	volume_spend(&g->account->volume, cost_named(m), mono_now());
	return audit_put_named(g->broker, m);
}

/* With what is known of its names. */
void
record_named(const struct named *n, const char *names, const struct record *r,
    struct record_named *m)
{
	memset(m, 0, sizeof(*m));
	m->r = *r;
	if (names != NULL)
		record_text(m->chain, sizeof(m->chain), names);
	if (n == NULL)
		return;
	m->name = n->name;
	m->assurance = n->assurance;
	if (!n->seen)
		return;
	m->sni = n->shown.name;
	m->vhost = n->shown.kind == PEEK_HTTP;
	m->tls = n->tls;
	m->ech = n->shown.ech;
	memcpy(m->alpn, n->alpn, sizeof(m->alpn));
}

/* What could not be read is said to be what it looks like. */
static void
hint(const struct named *n, struct record *r)
{
	static const char *const	words[HINT_MAX] = {
		[HINT_TLS] = "tls", [HINT_HTTP] = "http", [HINT_SSH] = "ssh",
		[HINT_POSTGRES] = "postgres-sslrequest", [HINT_SOCKS] = "socks" };

	if (n != NULL && n->hint != HINT_NONE && r->detail[0] == '\0' &&
	    (r->reason == REASON_SNI_UNPARSEABLE ||
	    r->reason == REASON_VHOST_UNPARSEABLE))
		record_text(r->detail, sizeof(r->detail), words[n->hint]);
}

uint64_t
record_put(struct guest *g, const struct named *n, const char *names,
    struct record *r)
{
	struct record_named	m;

	hint(n, r);
	if (names == NULL && (n == NULL || (n->name.len == 0 && !n->seen)))
		return record_write(g, r);
	record_named(n, names, r, &m);
	return record_write_named(g, &m);
}

/* Appends a text to a list of them; "..." stands for those that do not fit. */
void
record_list(char *list, size_t size, const char *text)
{
	static const char	more[] = " ...";
	size_t			at = strnlen(list, size);
	size_t			len = strlen(text), gap = at > 0;

	if (at >= sizeof(more) && strcmp(list + at + 1 - sizeof(more),
	    more) == 0)
		return;
	if (at + gap + len + sizeof(more) > size) {
		memcpy(list + at, more, sizeof(more));
		return;
	}
	if (gap)
		list[at++] = ' ';
	memcpy(list + at, text, len + 1);
}
