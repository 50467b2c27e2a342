/*
 * After the last line: names become indexes, sets are sorted and merged, and what
 * a rule leaves out is written in. From here on the model has one form only.
 *
 * Trusts: a model that was parsed without an error.
 * Must not: change what a rule means.
 */
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "read.h"

/* ---- sets ----------------------------------------------------------------- */

static int
compare_nets(const void *a, const void *b)
{
	return prefix_compare(&((const struct net *)a)->prefix,
	    &((const struct net *)b)->prefix);
}

static int
compare_items(const void *a, const void *b)
{
	const struct item	*x = a, *y = b;

	return x->index < y->index ? -1 : x->index > y->index;
}

static int
compare_ranges(const void *a, const void *b)
{
	const struct blob_range	*x = a, *y = b;

	if (x->proto != y->proto)
		return x->proto < y->proto ? -1 : 1;
	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* <x> and <y>, each once. */
static size_t
settle_refs(struct item *v, size_t n)
{
	size_t	i, kept = 0;

	if (n < 2)
		return n;
	qsort(v, n, sizeof(*v), compare_items);
	for (i = 1; i < n; i++)
		if (v[i].index != v[kept].index)
			v[++kept] = v[i];
	return kept + 1;
}

/* prefix_normalise() for networks that know where they were written. */
static void
settle_nets(struct parse *p, struct nets *s)
{
	struct net	*v = s->net.v;
	size_t		 i, kept = 0;
	struct net	 drop = { .at = { NULL, 0, 0 } }, by = drop;

	if (s->net.n > 1) {
		qsort(v, s->net.n, sizeof(*v), compare_nets);
		for (i = 1; i < s->net.n; i++)
			if (!prefix_overlaps(&v[kept].prefix, &v[i].prefix))
				v[++kept] = v[i];
			else if (drop.at.line == 0) {
				drop = v[i];
				by = v[kept];
			}
		lint_dropped_net(p, &drop, &by, s->net.n - kept - 1);
		s->net.n = kept + 1;
	}
	s->table.n = settle_refs(s->table.v, s->table.n);
}

/* The first bytes decide most comparisons, without a look at the text. */
struct sorted {
	uint64_t	head;
	const struct pattern *pattern;
};

static int
compare_patterns(const void *a, const void *b)
{
	const struct sorted	*x = a, *y = b;

	if (x->head != y->head)
		return x->head < y->head ? -1 : 1;
	return pattern_compare(x->pattern, y->pattern);
}

static uint64_t
head_of(const struct pattern *n)
{
	uint64_t	h = n->wild;
	size_t		i;

	for (i = 0; i < 7; i++)
		h = h << 8 | (i < n->base->len ? (uint8_t)n->base->text[i] : 0);
	return h;
}

static struct sorted *
sort_patterns(const struct patterns *s)
{
	struct sorted	*v = calloc(s->list.n, sizeof(*v));
	size_t		 i;

	if (v == NULL)
		fatalx("out of memory for the policy");
	for (i = 0; i < s->list.n; i++)
		v[i] = (struct sorted){ head_of(&s->list.v[i]),
		    &s->list.v[i] };
	qsort(v, s->list.n, sizeof(*v), compare_patterns);
	return v;
}

/* Sorted and without doubles; a wildcard and what it covers are two entries. */
static void
settle_patterns(struct parse *p, struct patterns *s)
{
	const struct pattern	*drop = NULL, *by = NULL;
	struct pattern		*to;
	struct sorted		*v;
	size_t			 i, kept = 0;

	if (s->list.n < 2)
		return;
	v = sort_patterns(s);
	to = model_alloc(p->m, s->list.n * sizeof(*to));
	for (i = 0; i < s->list.n; i++)
		if (i == 0 || v[i].pattern->base != to[kept - 1].base ||
		    v[i].pattern->wild != to[kept - 1].wild)
			to[kept++] = *v[i].pattern;
		else if (drop == NULL) {
			drop = v[i].pattern;
			by = &to[kept - 1];
		}
	lint_dropped_name(p, drop, by, s->list.n - kept);
	s->list.v = to;
	s->list.cap = s->list.n;
	s->list.n = kept;
	free(v);
}

static void
merge_ranges(struct services *s)
{
	struct blob_range	*v = s->range.v;
	size_t			 i, kept = 0;

	if (s->range.n < 2)
		return;
	qsort(v, s->range.n, sizeof(*v), compare_ranges);
	for (i = 1; i < s->range.n; i++) {
		if (v[i].proto != v[kept].proto || v[i].lo > v[kept].hi + 1)
			v[++kept] = v[i];
		else if (v[i].hi > v[kept].hi)
			v[kept].hi = v[i].hi;
	}
	s->range.n = kept + 1;
}

/* Nothing written: an allow opens all ports, a deny and an exception mean all. */
static void
settle_services(struct parse *p, struct services *s, bool echo)
{
	static const struct blob_range	tcp = { 1, 65535, PROTO_TCP },
					udp = { 1, 65535, PROTO_UDP };

	if (!s->written) {
		push(p->m, s->range, tcp);
		push(p->m, s->range, udp);
		s->echo = echo;
	}
	merge_ranges(s);
}

/* ---- names ------------------------------------------------------------------- */

/* What a file defines for itself is nobody else's. */
static bool
sees(struct parse *p, const struct item *w, const char *before,
    const struct where *at, uint32_t scope)
{
	if (model_sees(p->m, p->scope, scope))
		return true;
	report_error(p, &w->at, "%s%.64s%s is defined in %.200s:%u, and what an "
	    "included file defines holds there and in what that includes: define "
	    "it in the policy's own file", before, w->text,
	    *before == '<' ? ">" : "", at->file, at->line);
	return false;
}

static void
no_table(struct parse *p, const struct item *w)
{
	int	n = model_find_nameset(p->m, w->text);

	if (n == -1)
		report_error(p, &w->at, "there is no table <%.64s>%s", w->text,
		    known_near(p, KNOWN_TABLE, w->text));
	else
		report_error(p, &w->at, "<%.64s> is a set of names (%.200s:%u), "
		    "and this holds networks: write to name <%.64s>", w->text,
		    p->m->nameset.v[n].at.file, p->m->nameset.v[n].at.line,
		    w->text);
}

static void
no_nameset(struct parse *p, const struct item *w)
{
	int		 n = model_find_table(p->m, w->text);
	const char	*near = n == -1 ? known_near(p, KNOWN_NAMES, w->text) : "";

	if (*near != '\0')
		report_error(p, &w->at, "there are no names <%.64s>%s", w->text,
		    near);
	else if (n == -1)
		report_error(p, &w->at, "there are no names <%.64s>: define them "
		    "as names <%.64s> { ... }", w->text, w->text);
	else
		report_error(p, &w->at, "<%.64s> is a table of networks "
		    "(%.200s:%u), and this holds names: write to net <%.64s>",
		    w->text, p->m->table.v[n].at.file,
		    p->m->table.v[n].at.line, w->text);
}

static void
find_namesets(struct parse *p, struct patterns *s)
{
	size_t	i;
	int	found;

	for (i = 0; i < s->set.n; i++) {
		struct item *w = &s->set.v[i];

		if ((found = model_find_nameset(p->m, w->text)) == -1) {
			no_nameset(p, w);
			continue;
		}
		if (!sees(p, w, "<", &p->m->nameset.v[found].at,
		    p->m->nameset.v[found].scope))
			continue;
		w->index = (uint32_t)found;
		p->m->nameset.v[found].used = true;
	}
}

static void
find_tables(struct parse *p, struct nets *s)
{
	size_t	i;
	int	found;

	for (i = 0; i < s->table.n; i++) {
		struct item *w = &s->table.v[i];

		if ((found = model_find_table(p->m, w->text)) == -1) {
			no_table(p, w);
			continue;
		}
		if (!sees(p, w, "<", &p->m->table.v[found].at,
		    p->m->table.v[found].scope))
			continue;
		w->index = (uint32_t)found;
		p->m->table.v[found].used = true;
	}
}

static void
settle_dest(struct parse *p, struct dest *d)
{
	int	found;

	find_tables(p, &d->in);
	find_tables(p, &d->out);
	settle_nets(p, &d->in);
	settle_nets(p, &d->out);
	find_namesets(p, &d->names);
	find_namesets(p, &d->xnames);
	settle_patterns(p, &d->names);
	settle_patterns(p, &d->xnames);
	d->names.set.n = settle_refs(d->names.set.v, d->names.set.n);
	d->xnames.set.n = settle_refs(d->xnames.set.v, d->xnames.set.n);
	if (d->kind != KIND_SERVICE)
		return;
	if ((found = model_find_service(p->m, d->service.text)) == -1) {
		report_error(p, &d->service.at, "there is no host-service "
		    "\"%.64s\"%s", d->service.text, known_near(p, KNOWN_SERVICE,
		    d->service.text));
		return;
	}
	d->service.index = (uint32_t)found;
	p->m->service.v[found].used = true;
}

/* A rule by name opens what it says and no more; nothing binds a ping to a name. */
static void
settle_name_ports(struct parse *p, struct rule *r)
{
	if (r->services.echo)
		report_error(p, &r->services.echo_at, "icmp echo is never by name: "
		    "leave it out here, and write it in a rule to net");
	if (!r->deny && !r->services.written)
		report_error(p, &r->dest.at, "an allow by name names its ports, "
		    "as port tcp 443");
}

/* Has the clause TCP ports, and 80 is one of them, or another is? */
static void
look_at_ports(const struct services *s, bool *host, bool *other)
{
	size_t	i;

	*host = *other = false;
	for (i = 0; i < s->range.n; i++) {
		const struct blob_range *r = &s->range.v[i];

		if (r->proto != PROTO_TCP)
			continue;
		*host = *host || (r->lo <= VERIFY_HOST_PORT &&
		    VERIFY_HOST_PORT <= r->hi);
		*other = *other || r->lo != VERIFY_HOST_PORT ||
		    r->hi != VERIFY_HOST_PORT;
	}
}

/*
 * What is not written is a matter of the port. Only where that has two answers there
 * is no word for it, so that a law has one spelling and one hash.
 */
static void
settle_verify(struct parse *p, struct rule *r)
{
	const struct where	*at = r->verify_at.line != 0 ? &r->verify_at :
				    &r->ech_at;
	bool			 host, other, tcp;

	look_at_ports(&r->services, &host, &other);
	tcp = r->dest.kind == KIND_NAME && !r->deny && (host || other);
	if (tcp && r->verify_at.line == 0)
		r->verify = !host ? VERIFY_SNI : other ? VERIFY_BY_PORT :
		    VERIFY_HOST;
	if (at->line != 0 && !tcp)
		report_error(p, at, "verify and ech are for an allow by name with "
		    "TCP ports: %s", r->dest.kind != KIND_NAME ? "this one is not "
		    "by name" : r->deny ? "a deny needs no proof" : "this one has "
		    "none");
	else if (r->ech_at.line != 0 && r->verify != VERIFY_SNI &&
	    r->verify != VERIFY_BY_PORT)
		report_error(p, &r->ech_at, "ech is about what verify sni sees, "
		    "and this rule does not verify sni%s: leave ech out",
		    r->verify_at.line != 0 ? "" : ", but on port 80 the Host of "
		    "a request");
}

/* A host-service has one port of its own; the rule must not name others. */
static void
settle_rule(struct parse *p, struct rule *r)
{
	struct blob_range	own = { 0, 0, 0 };
	struct service		*s;

	settle_dest(p, &r->dest);
	settle_verify(p, r);
	if (r->dest.kind == KIND_NAME)
		settle_name_ports(p, r);
	if (r->dest.kind != KIND_SERVICE) {
		settle_services(p, &r->services, r->deny);
		return;
	}
	if (r->services.written)
		report_error(p, &r->services.at, "a host-service has its own "
		    "port: leave this out");
	if (p->sink->errors > 0)
		return;
	s = &p->m->service.v[r->dest.service.index];
	own.lo = own.hi = s->addr.port;
	own.proto = s->proto;
	push(p->m, r->services.range, own);
}

static bool
is_lax(const struct rule *r)
{
	return !r->deny && r->dest.kind != KIND_SERVICE &&
	    (r->dest.kind != KIND_NAME || r->verify == VERIFY_NONE);
}

static void
settle_tenant(struct parse *p, struct tenant *t)
{
	const char	*near;
	size_t		 i;
	int		 found;

	p->scope = t->scope;
	for (i = 0; i < t->rule.n && !report_full(p); i++) {
		settle_rule(p, &t->rule.v[i]);
		if (is_lax(&t->rule.v[i]))
			push(p->m, t->lax, (uint32_t)i);
	}
	if (t->limits.text == NULL)
		return;
	if ((found = model_find_limits(p->m, t->limits.text)) == -1) {
		near = known_near(p, KNOWN_LIMITS, t->limits.text);
		report_error(p, &t->limits.at, "there are no limits \"%.64s\"%s%s%.64s"
		    "%s", t->limits.text, near, *near != '\0' ? "" :
		    ": write limits ", *near != '\0' ? "" : t->limits.text,
		    *near != '\0' ? "" : " { ... } outside of the tenant");
		return;
	}
	if (!sees(p, &t->limits, "", &p->m->limits.v[found].at,
	    p->m->limits.v[found].scope))
		return;
	t->limits.index = (uint32_t)found;
	p->m->limits.v[found].used = true;
}

static void
settle_except(struct parse *p, uint32_t which)
{
	struct except	*e = &p->m->except.v[which];
	int		 found = model_find_tenant(p->m, e->tenant.text);

	p->scope = e->scope;
	settle_dest(p, &e->dest);
	settle_services(p, &e->services, true);
	if (found == -1)
		report_error(p, &e->tenant.at, "there is no tenant \"%.64s\"%s",
		    e->tenant.text, known_near(p, KNOWN_TENANT, e->tenant.text));
	else if (e->scope != 0 && p->m->tenant.v[found].scope != e->scope)
		report_error(p, &e->tenant.at, "tenant %.64s is defined in "
		    "%.200s:%u, and an included file lifts the floor for its own "
		    "tenants only: write this there, or in the policy's own file",
		    e->tenant.text, p->m->tenant.v[found].at.file,
		    p->m->tenant.v[found].at.line);
	else {
		e->tenant.index = (uint32_t)found;
		push(p->m, p->m->tenant.v[found].except, which);
	}
}

/* ---- hosts --------------------------------------------------------------------- */

static int
compare_hosts(const void *a, const void *b)
{
	return name_compare(&((const struct host *)a)->name,
	    &((const struct host *)b)->name);
}

static int
compare_addresses(const void *a, const void *b)
{
	return addr_compare(a, b);
}

static void
host_twice(struct parse *p, const struct host *a, const struct host *b)
{
	bool	swapped = a->at.line > b->at.line;

	report_error(p, swapped ? &a->at : &b->at, "the host %.64s is defined "
	    "twice, first in %.160s:%u: give all its addresses there",
	    a->name.text, swapped ? b->at.file : a->at.file,
	    swapped ? b->at.line : a->at.line);
}

static void
settle_hosts(struct parse *p)
{
	struct host	*v = p->m->host.v;
	size_t		 i, n = p->m->host.n;

	if (n > 1)
		qsort(v, n, sizeof(*v), compare_hosts);
	for (i = 0; i < n; i++) {
		if (v[i].addr.n > 1)
			qsort(v[i].addr.v, v[i].addr.n, sizeof(v[i].addr.v[0]),
			    compare_addresses);
		if (i > 0 && name_equal(&v[i - 1].name, &v[i].name))
			host_twice(p, &v[i - 1], &v[i]);
	}
}

bool
settle(struct parse *p)
{
	struct model	*m = p->m;
	size_t		 i;

	settle_hosts(p);
	for (i = 0; i < m->table.n; i++)
		settle_nets(p, &m->table.v[i].nets);
	for (i = 0; i < m->nameset.n; i++)
		settle_patterns(p, &m->nameset.v[i].patterns);
	for (i = 0; i < m->except.n; i++)
		settle_except(p, (uint32_t)i);
	for (i = 0; i < m->tenant.n && !report_full(p); i++)
		settle_tenant(p, &m->tenant.v[i]);
	return p->sink->errors == 0;
}
