/*
 * The canonical text of a model: macros and files expanded, sets sorted, defaults
 * written out. What it prints parses to the same law, and to the same text.
 *
 * Trusts: a settled model.
 * Must not: print a second spelling of anything.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grammar.h"
#include "log.h"
#include "read.h"

/* What does not fit is printed again, into more room. */
void
text_add(struct text *t, const char *fmt, ...)
{
	va_list	ap;
	int	n;

	for (;;) {
		va_start(ap, fmt);
		n = vsnprintf(t->buf == NULL ? NULL : t->buf + t->len,
		    t->cap - t->len, fmt, ap);
		va_end(ap);
		if (n < 0)
			return;
		if ((size_t)n < t->cap - t->len)
			break;
		t->cap = (t->cap + (size_t)n + 128) * 2;
		if ((t->buf = realloc(t->buf, t->cap)) == NULL)
			fatalx("out of memory for the policy's text");
	}
	t->len += (size_t)n;
}

/* ---- the parts of a rule --------------------------------------------------- */

/* All of a list is canonical; for people its first few entries are enough. */
#define ALL	SIZE_MAX

static void
print_more(struct text *t, size_t n, size_t most)
{
	if (n > most)
		text_add(t, "and %zu more ", n - most);
}

static void
print_nets(struct text *t, const struct nets *s, size_t most)
{
	char	buf[ENDPOINT_STRLEN];
	size_t	i, n = s->net.n + s->table.n;

	text_add(t, n == 1 ? "" : "{ ");
	for (i = 0; i < s->net.n && i < most; i++)
		text_add(t, "%s%s", prefix_print(&s->net.v[i].prefix, buf),
		    n == 1 ? "" : " ");
	print_more(t, s->net.n, most);
	for (i = 0; i < s->table.n; i++)
		text_add(t, "<%s>%s", s->table.v[i].text, n == 1 ? "" : " ");
	text_add(t, n == 1 ? "" : "}");
}

static void
print_pattern(struct text *t, const struct pattern *n)
{
	char	buf[PATTERN_STRLEN];

	text_add(t, "\"%s\"", pattern_text(n, buf));
}

static void
print_patterns(struct text *t, const struct patterns *s, size_t most)
{
	size_t	i, n = s->list.n + s->set.n;

	text_add(t, n == 1 ? "" : "{ ");
	for (i = 0; i < s->list.n && i < most; i++) {
		print_pattern(t, &s->list.v[i]);
		text_add(t, n == 1 ? "" : " ");
	}
	print_more(t, s->list.n, most);
	for (i = 0; i < s->set.n; i++)
		text_add(t, "<%s>%s", s->set.v[i].text, n == 1 ? "" : " ");
	text_add(t, n == 1 ? "" : "}");
}

static void
print_by_name(struct text *t, const struct dest *d, size_t most)
{
	text_add(t, "name ");
	print_patterns(t, &d->names, most);
	if (d->xnames.list.n + d->xnames.set.n > 0) {
		text_add(t, " except ");
		print_patterns(t, &d->xnames, most);
	}
}

static void
print_dest(struct text *t, const struct dest *d, size_t most)
{
	if (d->kind == KIND_SERVICE) {
		text_add(t, "host-service %s", d->service.text);
		return;
	}
	if (d->kind == KIND_NAME) {
		print_by_name(t, d, most);
		return;
	}
	text_add(t, d->kind == KIND_ANY ? "any" : "net ");
	if (d->kind == KIND_NET)
		print_nets(t, &d->in, most);
	if (d->out.net.n + d->out.table.n > 0) {
		text_add(t, " except ");
		print_nets(t, &d->out, most);
	}
}

static void
print_ports(struct text *t, const struct services *s, uint32_t proto,
    size_t most)
{
	size_t	i, n = 0, shown = 0;

	for (i = 0; i < s->range.n; i++)
		n += s->range.v[i].proto == proto;
	if (n == 0)
		return;
	text_add(t, " port %s%s", proto_name(proto), n == 1 ? "" : " {");
	for (i = 0; i < s->range.n; i++) {
		const struct blob_range *r = &s->range.v[i];

		if (r->proto != proto || shown++ >= most)
			continue;
		if (r->lo == r->hi)
			text_add(t, " %u", r->lo);
		else
			text_add(t, " %u-%u", r->lo, r->hi);
	}
	if (n > most)
		text_add(t, " and %zu more", n - most);
	text_add(t, n == 1 ? "" : " }");
}

/* All that the absence of clauses means. */
static bool
is_default(const struct services *s, bool echo)
{
	return s->range.n == 2 && s->range.v[0].lo == 1 &&
	    s->range.v[0].hi == 65535 && s->range.v[1].lo == 1 &&
	    s->range.v[1].hi == 65535 && s->echo == echo;
}

static void
print_services(struct text *t, const struct services *s, size_t most)
{
	print_ports(t, s, PROTO_TCP, most);
	print_ports(t, s, PROTO_UDP, most);
	if (s->echo)
		text_add(t, " icmp echo");
}

static void
print_verify(struct text *t, const struct rule *r)
{
	static const char *const	words[] = {
		[VERIFY_NONE] = "none", [VERIFY_SNI] = "sni",
		[VERIFY_HOST] = "host" };
	size_t				i;

	for (i = 0; i < r->services.range.n; i++)
		if (r->services.range.v[i].proto == PROTO_TCP) {
			if (r->verify != VERIFY_BY_PORT)
				text_add(t, " verify %s", words[r->verify]);
			text_add(t, r->ech ? " ech allow" : "");
			return;
		}
}

static void
print_some(struct text *t, const struct rule *r, size_t most)
{
	bool	named = r->dest.kind == KIND_NAME && !r->deny;
	char	buf[DATE_STRLEN];

	text_add(t, "%s to ", r->deny ? "deny" : "allow");
	print_dest(t, &r->dest, most);
	if (named || (r->dest.kind != KIND_SERVICE &&
	    !is_default(&r->services, r->deny)))
		print_services(t, &r->services, most);
	if (named)
		print_verify(t, r);
	if (r->mode != MODE_INHERIT)
		text_add(t, " mode %s", r->mode == MODE_AUDIT ? "audit" :
		    "enforce");
	if (r->until != 0)
		text_add(t, " until %s", date_print(r->until, buf));
}

void
print_rule(struct text *t, const struct rule *r)
{
	print_some(t, r, ALL);
}

void
print_rule_short(struct text *t, const struct rule *r, size_t most)
{
	print_some(t, r, most);
}

/* ---- globals ------------------------------------------------------------------ */

static void
print_duration(struct text *t, const char *word, uint32_t seconds)
{
	if (seconds == 0)
		text_add(t, " %s 0s", word);
	else if (seconds % 86400 == 0)
		text_add(t, " %s %ud", word, seconds / 86400);
	else if (seconds % 3600 == 0)
		text_add(t, " %s %uh", word, seconds / 3600);
	else if (seconds % 60 == 0)
		text_add(t, " %s %um", word, seconds / 60);
	else
		text_add(t, " %s %us", word, seconds);
}

/* In the largest unit of which it is a whole number. */
static void
print_size(struct text *t, const char *word, uint64_t bytes)
{
	static const char	unit[] = "KMGT";
	uint64_t		n = bytes >> 10;
	size_t			u = 0;

	for (; u < 3 && n % 1024 == 0; u++)
		n /= 1024;
	text_add(t, " %s %llu%c", word, (unsigned long long)n, unit[u]);
}

void
print_limits(struct text *t, const struct limits *l)
{
	text_add(t, "limits %s { conns %u pending %u "
	    "pending-per-destination %u unproven %u "
	    "unproven-per-destination %u rate %u/s burst %u", l->name,
	    l->l.conns, l->l.pending, l->l.pending_dst, l->l.unproven,
	    l->l.unproven_dst, l->l.rate, l->l.burst);
	if (l->l.idle > 0)
		print_duration(t, "idle", l->l.idle);
	print_duration(t, "half-closed", l->l.half_closed);
	if (l->l.lifetime > 0)
		print_duration(t, "lifetime", l->l.lifetime);
	text_add(t, " dns %u/s burst %u names %u", l->l.dns_rate,
	    l->l.dns_burst, l->l.names);
	print_duration(t, "per", l->l.names_per);
	print_size(t, "kernel-memory", (uint64_t)l->l.kernel_memory << 10);
	print_size(t, "audit", (uint64_t)l->l.audit_rate << 10);
	text_add(t, "/s");
	print_size(t, "burst", (uint64_t)l->l.audit_burst << 10);
	text_add(t, " }");
}

static void
print_audit(struct text *t, const struct policy_audit *a)
{
	static const char *const durable[] = { "before-data", "before-connect",
				    "async" };

	text_add(t, "audit { durable %s", durable[a->durable]);
	print_size(t, "rotate", a->rotate);
	if (a->keep_files != 0)
		text_add(t, " keep %u", a->keep_files);
	if (a->keep_bytes != 0)
		print_size(t, "keep", a->keep_bytes);
	if (a->live != 0)
		print_duration(t, "flow-live", a->live);
	text_add(t, " on-failure deny }\n");
}

void
print_upstream(struct text *t, const struct policy_upstream *u)
{
	char	buf[ENDPOINT_STRLEN];

	text_add(t, "upstream %s%s", u->tls ? "tls " : "",
	    endpoint_print(&u->addr, buf));
	if (u->tls)
		text_add(t, " name \"%s\"", u->name.text);
}

static void
print_resolver(struct text *t, const struct model *m)
{
	const struct policy_resolver *r = &m->resolver;
	uint32_t	i;

	text_add(t, "resolver {\n");
	for (i = 0; i < r->nupstreams; i++) {
		text_add(t, "\t");
		print_upstream(t, &r->upstream[i]);
		text_add(t, "\n");
	}
	text_add(t, "\tdnssec %s\n\tpin", r->dnssec ? "yes" : "no");
	print_duration(t, "min", r->pin_min);
	print_duration(t, "max", r->pin_max);
	print_duration(t, "grace", r->pin_grace);
	for (i = 0; i < m->search.n; i++)
		text_add(t, "%s \"%s\"", i == 0 ? "\n\tsearch" : "",
		    m->search.v[i].text);
	text_add(t, "\n}\n");
}

void
print_host(struct text *t, const struct host *h, size_t most)
{
	char	buf[ENDPOINT_STRLEN];
	size_t	i;

	text_add(t, "host \"%s\"", h->name.text);
	for (i = 0; i < h->addr.n && i < most; i++)
		text_add(t, " %s", addr_print(&h->addr.v[i], buf));
	if (h->addr.n > most)
		text_add(t, " and %zu more", h->addr.n - most);
}

void
print_except(struct text *t, const struct except *e, size_t most)
{
	text_add(t, "floor except ");
	print_dest(t, &e->dest, most);
	if (e->own)
		text_add(t, " own-addresses");
	if (e->services.written)
		print_services(t, &e->services, most);
	text_add(t, " for tenant %s ticket \"%s\"", e->tenant.text,
	    e->ticket);
}

static void
print_table(struct text *t, const struct table *table)
{
	char	buf[ENDPOINT_STRLEN];
	size_t	i;

	text_add(t, "table <%s> {\n", table->name);
	for (i = 0; i < table->nets.net.n; i++)
		text_add(t, "\t%s\n", prefix_print(&table->nets.net.v[i].prefix,
		    buf));
	text_add(t, "}%s\n", table->nets.net.n == 0 ? " allow-empty" : "");
}

static void
print_nameset(struct text *t, const struct nameset *set)
{
	size_t	i;

	text_add(t, "names <%s> {\n", set->name);
	for (i = 0; i < set->patterns.list.n; i++) {
		text_add(t, "\t");
		print_pattern(t, &set->patterns.list.v[i]);
		text_add(t, "\n");
	}
	text_add(t, "}%s\n", set->patterns.list.n == 0 ? " allow-empty" : "");
}

static void
print_tenant(struct text *t, const struct tenant *tenant)
{
	size_t	i;

	text_add(t, "tenant %s%s {\n", tenant->name,
	    tenant->mode == MODE_AUDIT ? " mode audit" : "");
	if (tenant->limits.text != NULL)
		text_add(t, "\tlimits %s\n", tenant->limits.text);
	for (i = 0; i < tenant->rule.n; i++) {
		text_add(t, "\t");
		print_rule(t, &tenant->rule.v[i]);
		if (tenant->rule.v[i].label != NULL)
			text_add(t, " label \"%s\"", tenant->rule.v[i].label);
		if (tenant->rule.v[i].ticket != NULL)
			text_add(t, " ticket \"%s\"", tenant->rule.v[i].ticket);
		if (tenant->rule.v[i].note != NULL)
			text_add(t, " note \"%s\"", tenant->rule.v[i].note);
		text_add(t, "\n");
	}
	text_add(t, "}\n");
}

char *
grammar_print(const struct model *m, size_t *len)
{
	struct text	t = { NULL, 0, 0 };
	char		buf[ENDPOINT_STRLEN];
	size_t		i;

	text_add(&t, "policy version 1\n");
	print_audit(&t, &m->audit);
	print_resolver(&t, m);
	text_add(&t, "floor builtin\n");
	for (i = 0; i < m->except.n; i++) {
		print_except(&t, &m->except.v[i], ALL);
		text_add(&t, "\n");
	}
	text_add(&t, "default deny\n");
	for (i = 0; i < m->service.n; i++)
		text_add(&t, "host-service %s %s %s\n", m->service.v[i].name,
		    endpoint_print(&m->service.v[i].addr, buf),
		    proto_name(m->service.v[i].proto));
	for (i = 0; i < m->host.n; i++) {
		print_host(&t, &m->host.v[i], ALL);
		text_add(&t, "\n");
	}
	for (i = 0; i < m->table.n; i++)
		if (m->table.v[i].used)
			print_table(&t, &m->table.v[i]);
	for (i = 0; i < m->nameset.n; i++)
		if (m->nameset.v[i].used)
			print_nameset(&t, &m->nameset.v[i]);
	for (i = 0; i < m->limits.n; i++)
		if (m->limits.v[i].used) {
			print_limits(&t, &m->limits.v[i]);
			text_add(&t, "\n");
		}
	for (i = 0; i < m->tenant.n; i++)
		print_tenant(&t, &m->tenant.v[i]);
	if (len != NULL)
		*len = t.len;
	return t.buf;
}
