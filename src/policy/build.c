/*
 * The grammar's actions: from words to the model. Each reports what is wrong with
 * the words at hand and goes on, so that one run shows several errors.
 *
 * Trusts: that parse.y calls it with what the grammar promises.
 * Must not: check what other parts of the policy decide; that is review.c's.
 */
#include <stdlib.h>
#include <string.h>

#include "read.h"

/* ---- lists, macros, tables ------------------------------------------------ */

#define OTHER_NAME	"give one of them another name, or leave it out"

/* $name: its entries, each at its own place. */
static void
expand(struct parse *p, struct items *list, const struct item *name)
{
	int		i = model_find_macro(p->m, p->scope, name->text);
	struct item	*via, entry;
	const char	*near;
	size_t		k;

	if (i == -1) {
		near = known_near(p, KNOWN_MACRO, name->text);
		report_error(p, &name->at, "there is no macro $%.64s above this "
		    "line%s%s%.64s%s", name->text, near, *near != '\0' ? "" :
		    ": define it as ", *near != '\0' ? "" : name->text,
		    *near != '\0' ? "" : " = { ... }");
		return;
	}
	p->m->macro.v[i].used = true;
	p->expanded += p->m->macro.v[i].value.list.n;
	if (p->expanded > GRAMMAR_EXPAND_MAX) {
		report_error(p, &name->at, "macros stand for more than %u entries "
		    "by now: use table <x> or names <x>", GRAMMAR_EXPAND_MAX);
		return;
	}
	via = model_alloc(p->m, sizeof(*via));
	*via = *name;
	for (k = 0; k < p->m->macro.v[i].value.list.n; k++) {
		entry = p->m->macro.v[i].value.list.v[k];
		entry.via = via;
		push(p->m, list->list, entry);
	}
}

struct items *
build_items(struct parse *p, struct items *list, const struct item *i)
{
	if (list == NULL)
		list = model_alloc(p->m, sizeof(*list));
	list->last = i->at;
	if (i->macro)
		expand(p, list, i);
	else
		push(p->m, list->list, *i);
	return list;
}

/* Of an included file it is remembered where it began to define something. */
static void
defines(struct parse *p, const struct where *at)
{
	if (p->defined.line == 0)
		p->defined = *at;
}

void
build_macro(struct parse *p, const struct item *name, struct items *value)
{
	struct macro	macro = { .at = name->at, .name = name->text,
			    .scope = p->scope, .used = !p->shown };
	int		i;

	defines(p, &name->at);
	if (!value_name(p, name, "macro"))
		return;
	if ((i = model_find_macro(p->m, p->scope, name->text)) != -1) {
		known_twice(p, name, "the macro", &p->m->macro.v[i].at, OTHER_NAME);
		return;
	}
	macro.value = *value;
	push(p->m, p->m->macro, macro);
}

static void
add_nets(struct parse *p, struct nets *to, const struct items *from, bool tables)
{
	struct net	net;
	size_t		i;

	for (i = 0; i < from->list.n && !report_full(p); i++) {
		const struct item *w = &from->list.v[i];

		if (w->quoted) {
			value_quoted(p, w);
			continue;
		}
		if (w->table && tables) {
			push(p->m, to->table, *w);
			continue;
		}
		if (w->table) {
			report_error(p, &w->at, "a table holds networks, not "
			    "<%.64s>: write both where they are used, as "
			    "{ <a> <b> }", w->text);
			continue;
		}
		net.at = w->at;
		net.via = w->via;
		if (value_net(p, w, &net.prefix) == 0)
			push(p->m, to->net, net);
	}
}

/*
 * <x> is one thing: a table of networks or a set of names. True if it is neither yet.
 */
static bool
is_new_set(struct parse *p, const struct item *name, const char *what)
{
	int			 t, n;
	const struct where	*at;

	p->shown = true;
	defines(p, &name->at);
	if (!value_name(p, name, what))
		return false;
	t = model_find_table(p->m, name->text);
	n = model_find_nameset(p->m, name->text);
	if (t == -1 && n == -1)
		return true;
	at = t != -1 ? &p->m->table.v[t].at : &p->m->nameset.v[n].at;
	report_error(p, &name->at, "<%.64s> is defined twice: %.200s:%u has it, a "
	    "%s%s", name->text, at->file, at->line, t != -1 ?
	    "table of networks" : "set of names", p->scope == 0 ? "" :
	    "; no two files may use one name: put the tenant's into it");
	return false;
}

void
build_table(struct parse *p, const struct item *name, const struct items *list,
    const struct item *file, bool empty)
{
	struct table	table = { .at = name->at, .name = name->text,
			    .scope = p->scope, .empty = empty };

	if (!is_new_set(p, name, "table"))
		return;
	if (list != NULL)
		add_nets(p, &table.nets, list, false);
	if (file != NULL)
		list_read(p, &table.at, file, empty, &table.nets, NULL);
	push(p->m, p->m->table, table);
}

void
build_nameset(struct parse *p, const struct item *name,
    const struct items *list, const struct item *file, bool empty)
{
	struct nameset	set = { .at = name->at, .name = name->text,
			    .scope = p->scope, .empty = empty };

	if (!is_new_set(p, name, "set of names"))
		return;
	if (list != NULL)
		build_patterns(p, &set.patterns, list, false);
	if (file != NULL)
		list_read(p, &set.at, file, empty, NULL, &set.patterns);
	push(p->m, p->m->nameset, set);
}

/* ---- destinations and ports ------------------------------------------------- */

struct dest *
build_dest(struct parse *p, uint32_t kind, const struct where *at,
    const struct items *in, const struct items *out)
{
	struct dest	*d = p->dest;

	if (d == NULL)		/* the one at hand, as the rule */
		d = p->dest = model_alloc(p->m, sizeof(*d));
	memset(d, 0, sizeof(*d));
	d->kind = kind;
	d->at = *at;
	if (kind == KIND_SERVICE)
		d->service = in->list.v[0];
	else if (kind == KIND_NET)
		add_nets(p, &d->in, in, true);
	else if (kind == KIND_NAME)
		build_patterns(p, &d->names, in, true);
	if (out != NULL && kind == KIND_NAME)
		build_patterns(p, &d->xnames, out, true);
	else if (out != NULL)
		add_nets(p, &d->out, out, true);
	return d;
}

void
build_ports(struct parse *p, struct services *s, uint32_t proto,
    const struct where *at, const struct items *list)
{
	struct blob_range	range;
	size_t			i;

	if (!s->written)
		s->at = *at;
	s->written = true;
	for (i = 0; i < list->list.n && !report_full(p); i++) {
		const struct item *w = &list->list.v[i];

		if (w->quoted)
			report_error(p, &w->at, "\"%.64s\" is in quotes: a port "
			    "is a number: write %.64s", w->text, w->text);
		else if (w->table)
			report_error(p, &w->at, "<%.64s> is a table of networks, "
			    "not of ports: use a macro", w->text);
		else if (value_ports(p, w, proto, &range) == 0)
			push(p->m, s->range, range);
	}
}

#define KEEP_MAX	100000u			/* segments */
#define ROTATE_MIN	(UINT64_C(64) << 10)
#define BURST_SECONDS	1024u			/* of an audit rate without a burst */
#define BURST_MIN	(UINT64_C(64) << 10)	/* some flows */
#define MEMORY_MIN	(UINT64_C(1) << 20)	/* one socket may need as much */

/* ---- settings ------------------------------------------------------------------ */

void
build_limits(struct parse *p, const struct item *name)
{
	struct limits	l = { .at = name->at, .name = name->text,
			    .scope = p->scope, .l = POLICY_LIMITS_DEFAULT };
	int		i;

	p->shown = true;
	defines(p, &name->at);
	if (value_name(p, name, "set of limits") &&
	    (i = model_find_limits(p->m, name->text)) != -1)
		known_twice(p, name, "the set of limits", &p->m->limits.v[i].at,
		    OTHER_NAME);
	push(p->m, p->m->limits, l);
	p->limits = &p->m->limits.v[p->m->limits.n - 1];
}

/* Those that are numbers of flows. */
static uint32_t *
of_flows(struct policy_limits *l, unsigned int which)
{
	switch (which) {
	case SET_CONNS:
		return &l->conns;
	case SET_PENDING:
		return &l->pending;
	case SET_PENDING_DST:
		return &l->pending_dst;
	case SET_UNPROVEN:
		return &l->unproven;
	default:
		return &l->unproven_dst;
	}
}

void
build_setting(struct parse *p, unsigned int which, const struct item *w)
{
	static const char *const names[] = { "conns", "pending",
	    "pending-per-destination", "unproven", "unproven-per-destination",
	    "rate", "burst", "idle", "half-closed", "lifetime", "dns",
	    "burst of dns", "names", "per", "kernel-memory", "audit",
	    "burst of audit" };
	struct policy_limits	*l = &p->limits->l;
	uint64_t		 size;

	if ((p->limits->seen & 1u << which) != 0)
		report_error(p, &w->at, "%s is given twice", names[which]);
	p->limits->seen |= 1u << which;
	switch (which) {
	case SET_CONNS:
	case SET_PENDING:
	case SET_PENDING_DST:
	case SET_UNPROVEN:
	case SET_UNPROVEN_DST:
		value_count(p, w, 65536, of_flows(l, which));
		break;
	case SET_RATE:
		if (value_rate(p, w, &l->rate) == 0)
			l->burst = l->rate;
		break;
	case SET_BURST:
		value_count(p, w, 1000000, &l->burst);
		break;
	case SET_IDLE:
		value_duration(p, w, &l->idle);
		break;
	case SET_HALF_CLOSED:
		value_duration(p, w, &l->half_closed);
		break;
	case SET_LIFETIME:
		value_duration(p, w, &l->lifetime);
		break;
	case SET_DNS:
		if (value_rate(p, w, &l->dns_rate) == 0)
			l->dns_burst = l->dns_rate;
		break;
	case SET_DNS_BURST:
		value_count(p, w, 1000000, &l->dns_burst);
		break;
	case SET_NAMES:
		value_count(p, w, 1000000, &l->names);
		break;
	case SET_NAMES_PER:
		value_duration(p, w, &l->names_per);
		break;
	case SET_MEMORY:
		if (value_size(p, w, MEMORY_MIN, &size) == 0)
			l->kernel_memory = (uint32_t)(size >> 10);
		break;
	case SET_AUDIT:
		if (value_volume(p, w, &l->audit_rate) == 0)
			l->audit_burst = l->audit_rate * BURST_SECONDS;
		break;
	case SET_AUDIT_BURST:
		if (value_size(p, w, BURST_MIN, &size) == 0)
			l->audit_burst = (uint32_t)(size >> 10);
		break;
	}
}

void
build_audit(struct parse *p, const struct where *at)
{
	if (p->audit_seen)
		report_error(p, at, "audit is given twice");
	p->audit_seen = true;
}

void
build_audit_once(struct parse *p, unsigned int which, const struct where *at)
{
	static const char *const names[] = { "durable", "rotate", "on-failure",
	    "keep", "flow-live" };

	if ((p->audit_set & 1u << which) != 0)
		report_error(p, at, "%s is given twice", names[which]);
	p->audit_set |= 1u << which;
}

void
build_rotate(struct parse *p, const struct item *w)
{
	value_size(p, w, ROTATE_MIN, &p->m->audit.rotate);
}

void
build_live(struct parse *p, const struct item *w)
{
	uint32_t	*live = &p->m->audit.live;

	if (value_duration(p, w, live) == 0 && *live > LIVE_MAX)
		report_error(p, &w->at, "flow-live %.64s: at most a day, as 1d or "
		    "15m", w->text);
}

/* A number of segments, or the size of all of them. */
void
build_keep(struct parse *p, const struct item *w)
{
	size_t	n = strlen(w->text);

	p->keep_at = w->at;
	if (n > 0 && w->text[n - 1] >= '0' && w->text[n - 1] <= '9')
		value_count(p, w, KEEP_MAX, &p->m->audit.keep_files);
	else
		value_size(p, w, ROTATE_MIN, &p->m->audit.keep_bytes);
}

void
build_version(struct parse *p, const struct item *w)
{
	p->versioned = true;
	if (strcmp(w->text, "1") != 0)
		report_error(p, &w->at, "policy version \"%.64s\" is not supported "
		    "in this version, which reads version 1", w->text);
}

/* ---- services, exceptions, tenants --------------------------------------------- */

void
build_service(struct parse *p, const struct item *name, const struct item *addr,
    uint32_t proto)
{
	struct service	s = { .at = name->at, .name = name->text,
			    .proto = proto };
	int		i;

	if (!value_name(p, name, "host-service") ||
	    value_endpoint(p, addr, &s.addr) == -1)
		return;
	if ((i = model_find_service(p->m, name->text)) != -1)
		known_twice(p, name, "the host-service", &p->m->service.v[i].at,
		    OTHER_NAME);
	else
		push(p->m, p->m->service, s);
}

/* `own` and `ticket`: where these are written. */
void
build_except(struct parse *p, const struct except *e, const struct where *own,
    const struct where *ticket)
{
	if (*e->ticket == '\0')
		report_error(p, ticket, "the ticket is empty: write who agreed "
		    "to this exception, and where");
	if (e->own && e->dest.kind != KIND_NET)
		report_error(p, own, "own-addresses goes with net: any lifts the "
		    "floor of ports only");
	p->shown = true;
	defines(p, &e->at);
	push(p->m, p->m->except, *e);
	p->m->except.v[p->m->except.n - 1].scope = p->scope;
}

void
build_tenant(struct parse *p, const struct item *name, uint32_t mode)
{
	struct tenant	t = { .at = name->at, .name = name->text,
			    .scope = p->scope, .mode = mode };
	int		i;

	p->used = true;
	if (value_name(p, name, "tenant") &&
	    (i = model_find_tenant(p->m, name->text)) != -1)
		known_twice(p, name, "the tenant", &p->m->tenant.v[i].at, "a tenant "
		    "has one block: move these rules into it");
	push(p->m, p->m->tenant, t);
	p->tenant = &p->m->tenant.v[p->m->tenant.n - 1];
}

void
build_tenant_limits(struct parse *p, const struct item *name)
{
	if (p->tenant->limits.text != NULL)
		report_error(p, &name->at, "the tenant %.64s has limits already",
		    p->tenant->name);
	p->tenant->limits = *name;
}

void
build_label(struct parse *p, struct rule *r, const struct item *label)
{
	if (r->label != NULL)
		report_error(p, &label->at, "the rule has a label already: "
		    "leave one of them out");
	if (*label->text == '\0' || strlen(label->text) >= RULE_MAX)
		report_error(p, &label->at, "a label has 1 to %d characters",
		    RULE_MAX - 1);
	r->label = label->text;
	r->label_at = label->at;
}

void
build_mode(struct parse *p, struct rule *r, const struct where *at,
    uint32_t mode)
{
	if (r->mode != MODE_INHERIT)
		report_error(p, at, "the rule has a mode already");
	if (!r->deny)
		report_error(p, at, "mode is for deny rules and for tenants: "
		    "an allow has nothing to enforce");
	r->mode = mode;
}

void
build_rule(struct parse *p, const struct where *at, bool deny)
{
	if (p->rule == NULL)	/* the one at hand; the tenant's are copies */
		p->rule = model_alloc(p->m, sizeof(*p->rule));
	memset(p->rule, 0, sizeof(*p->rule));
	p->rule->at = *at;
	p->rule->deny = deny;
}

void
build_services(struct parse *p, struct services *to, const struct services *from)
{
	size_t	i;

	if (!to->written)
		to->at = from->at;
	to->written = true;
	if (from->echo && !to->echo)
		to->echo_at = from->at;
	to->echo = to->echo || from->echo;
	for (i = 0; i < from->range.n; i++)
		push(p->m, to->range, from->range.v[i]);
}

void
build_include(struct parse *p, const struct item *path)
{
	struct include	inc = { path->text, path->at };

	p->used = true;
	if (!p->files)
		report_error(p, &path->at, "this text may not name files");
	else if (*path->text == '\0')
		report_error(p, &path->at, "include needs a path");
	else
		push(p->m, p->include, inc);
}
