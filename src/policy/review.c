/*
 * What only the whole policy can tell: an allow that reaches for the floor, an
 * exception that asks for too much, a name that nobody uses.
 *
 * Trusts: a settled model.
 * Must not: let an entry pass because the evaluator would refuse it anyway: what
 * is written and has no effect misleads its reader.
 */
#include <string.h>

#include "lint.h"

#define PORT_TFTP	69		/* RFC 1350 */

/* ---- containment ------------------------------------------------------------- */

static bool
holds(const struct prefix *outer, const struct prefix *inner)
{
	return outer->len <= inner->len && prefix_overlaps(outer, inner);
}

/*
 * One entry of the set holds all of the prefix. No two of a list overlap: it can only
 * be the one that holds its first address.
 */
static bool
nets_hold(const struct model *m, const struct nets *s, const struct prefix *x)
{
	struct endpoint		 first = { .family = x->family };
	const struct net	*n;
	size_t			 i;

	memcpy(first.addr, x->addr, sizeof(first.addr));
	n = model_find_net(s, &first);
	if (n != NULL && holds(&n->prefix, x))
		return true;
	for (i = 0; i < s->table.n; i++) {
		n = model_find_net(&m->table.v[s->table.v[i].index].nets,
		    &first);
		if (n != NULL && holds(&n->prefix, x))
			return true;
	}
	return false;
}

/* What two prefixes that overlap have in common: the longer one. */
static struct prefix
common(const struct prefix *a, const struct prefix *b)
{
	return a->len > b->len ? *a : *b;
}

/* Whatever of the set lies in the prefix, `other` holds too. */
static bool
net_inside(const struct model *m, const struct nets *other,
    const struct prefix *n, const struct prefix *x)
{
	struct prefix	both = common(n, x);

	return !prefix_overlaps(n, x) || nets_hold(m, other, &both);
}

static bool
nets_inside(const struct model *m, const struct nets *s,
    const struct nets *other, const struct prefix *x)
{
	size_t	i, k;

	for (i = 0; i < s->net.n; i++)
		if (!net_inside(m, other, &s->net.v[i].prefix, x))
			return false;
	for (i = 0; i < s->table.n; i++) {
		const struct table *t = &m->table.v[s->table.v[i].index];

		for (k = 0; k < t->nets.net.n; k++)
			if (!net_inside(m, other, &t->nets.net.v[k].prefix, x))
				return false;
	}
	return true;
}

bool
services_hold(const struct services *outer, const struct services *inner)
{
	size_t	i, k;

	if (inner->echo && !outer->echo)
		return false;
	for (i = 0; i < inner->range.n; i++) {
		const struct blob_range *r = &inner->range.v[i];

		for (k = 0; k < outer->range.n; k++)
			if (outer->range.v[k].proto == r->proto &&
			    outer->range.v[k].lo <= r->lo &&
			    r->hi <= outer->range.v[k].hi)
				break;
		if (k == outer->range.n)
			return false;
	}
	return true;
}

/* ---- allows and the address floor ----------------------------------------------- */

/* The tenant's exception that covers a piece of the floor for these services. */
static bool
excepted(struct model *m, uint32_t tenant, const struct prefix *x,
    const struct rule *r)
{
	const struct tenant *t = &m->tenant.v[tenant];
	size_t	i;
	bool	found = false;

	for (i = 0; i < t->except.n; i++) {
		struct except *e = &m->except.v[t->except.v[i]];

		if (e->dest.kind != KIND_NET ||
		    !nets_hold(m, &e->dest.in, x) ||
		    !nets_inside(m, &e->dest.out, &r->dest.out, x))
			continue;
		if (services_hold(&e->services, &r->services)) {
			e->used = true;
			found = true;
		}
	}
	return found;
}

/* The entry that an allow may not touch: best one that holds all of it. */
static const struct floor_entry *
forbidden(struct model *m, uint32_t tenant, const struct rule *r,
    const struct prefix *x)
{
	const struct floor_entry	*e, *first = NULL;
	struct prefix			 plain = floor_unwrap(x), both;
	size_t				 from = 0;

	while ((e = floor_overlap(&plain, &from)) != NULL) {
		both = common(&e->prefix, &plain);
		if (nets_hold(m, &r->dest.out, &both))
			continue;
		if (!e->never && excepted(m, tenant, &both, r))
			continue;
		if (holds(&e->prefix, &plain))
			return e;
		if (first == NULL)
			first = e;
	}
	return first;
}

static void
check_net(struct parse *p, uint32_t tenant, const struct rule *r,
    const struct net *n)
{
	const struct floor_entry	*e = forbidden(p->m, tenant, r,
					    &n->prefix);
	struct prefix			 plain = floor_unwrap(&n->prefix);
	char				 net[ENDPOINT_STRLEN],
					 entry[ENDPOINT_STRLEN];

	if (e == NULL)
		return;
	prefix_print(&n->prefix, net);
	prefix_print(&e->prefix, entry);
	if (!holds(&e->prefix, &plain))
		report_error(p, &n->at, "%s overlaps the floor at %s (%s): "
		    "subtract that with except, or write any", net, entry,
		    e->what);
	else if (e->never)
		report_error(p, &n->at, "%s is on the floor (%s: %s), and no "
		    "exception lifts that", net, entry, e->what);
	else
		report_error(p, &n->at, "%s is on the floor (%s: %s): only a "
		    "\"floor except\" for tenant %.63s and these ports lifts it",
		    net, entry, e->what, p->m->tenant.v[tenant].name);
}

/* A table is compared with the floor once, however many rules use it. */
static void
scan_table(struct parse *p, struct table *t)
{
	uint32_t	i;
	size_t		from;

	for (i = 0; i < t->nets.net.n; i++) {
		struct prefix plain = floor_unwrap(&t->nets.net.v[i].prefix);

		from = 0;
		if (floor_overlap(&plain, &from) != NULL)
			push(p->m, t->floored, i);
	}
}

static void
check_allow_nets(struct parse *p, uint32_t tenant, const struct rule *r)
{
	const struct nets	*s = &r->dest.in;
	size_t			 i, k;

	for (i = 0; i < s->net.n; i++)
		check_net(p, tenant, r, &s->net.v[i]);
	for (i = 0; i < s->table.n; i++) {
		const struct table *t = &p->m->table.v[s->table.v[i].index];

		for (k = 0; k < t->floored.n && !report_full(p); k++)
			check_net(p, tenant, r,
			    &t->nets.net.v[t->floored.v[k]]);
	}
}

/* Tables are not compared: nothing is decided by it. */
static bool
may_touch(const struct nets *a, const struct nets *b)
{
	size_t	i, k;

	for (i = 0; i < a->net.n; i++)
		for (k = 0; k < b->net.n; k++)
			if (prefix_overlaps(&a->net.v[i].prefix,
			    &b->net.v[k].prefix))
				return true;
	return a->table.n + b->table.n > 0;
}

/*
 * An exception of this host's own addresses may be a part of what the rule is about,
 * where another one has lifted the rest.
 */
static void
use_for_own(struct model *m, uint32_t tenant, const struct rule *r)
{
	const struct tenant *t = &m->tenant.v[tenant];
	size_t	i;

	for (i = 0; i < t->except.n; i++) {
		struct except *e = &m->except.v[t->except.v[i]];

		if (e->dest.kind == KIND_NET &&
		    (e->own || e->address) &&
		    may_touch(&e->dest.in, &r->dest.in))
			e->used = true;
	}
}

/* ---- allows and the port floor --------------------------------------------------- */

/* Every network of the rule lies in the exception. */
static bool
covers(const struct model *m, const struct except *e, const struct rule *r)
{
	const struct nets	*s = &r->dest.in;
	size_t			 i, k;

	if (e->dest.kind == KIND_ANY || r->dest.kind == KIND_ANY)
		return true;
	for (i = 0; i < s->net.n; i++)
		if (!nets_hold(m, &e->dest.in, &s->net.v[i].prefix))
			return false;
	for (i = 0; i < s->table.n; i++) {
		const struct table *t = &m->table.v[s->table.v[i].index];

		for (k = 0; k < t->nets.net.n; k++)
			if (!nets_hold(m, &e->dest.in, &t->nets.net.v[k].prefix))
				return false;
	}
	return true;
}

static bool
port_excepted(struct model *m, uint32_t tenant, const struct rule *r,
    const struct floor_port *f)
{
	struct blob_range	range = { f->port, f->port, f->proto };
	struct services		one = { .range = { &range, 1, 1 } };
	const struct tenant *t = &m->tenant.v[tenant];
	size_t			i;
	bool			found = false;

	for (i = 0; i < t->except.n; i++) {
		struct except *e = &m->except.v[t->except.v[i]];

		if (!e->services.written ||
		    !services_hold(&e->services, &one) || !covers(m, e, r))
			continue;
		e->used = true;
		found = true;
	}
	return found;
}

static bool
has_port(const struct services *s, const struct floor_port *f)
{
	size_t	i;

	for (i = 0; i < s->range.n; i++)
		if (s->range.v[i].proto == f->proto &&
		    s->range.v[i].lo <= f->port && f->port <= s->range.v[i].hi)
			return true;
	return false;
}

/* Without a port clause the rule means what the floor leaves. */
static void
check_allow_ports(struct parse *p, uint32_t tenant, const struct rule *r)
{
	const struct floor_port	*f;
	size_t			 i;

	for (i = 0; i < floor_nports; i++) {
		f = &floor_ports[i];
		if (!has_port(&r->services, f) ||
		    port_excepted(p->m, tenant, r, f) || !r->services.written)
			continue;
		report_error(p, &r->services.at, "%s %u is on the floor (%s): "
		    "leave it out; only a \"floor except\" with this port for "
		    "tenant %.63s lifts it", proto_name(f->proto), f->port,
		    f->what, p->m->tenant.v[tenant].name);
	}
}

/* ---- exceptions ---------------------------------------------------------------------- */

static void
check_except_net(struct parse *p, struct except *e, const struct net *n)
{
	const struct floor_entry	*f;
	struct prefix			 plain = floor_unwrap(&n->prefix), both;
	char				 net[ENDPOINT_STRLEN],
					 entry[ENDPOINT_STRLEN];
	size_t				 from = 0;

	if (floor_overlap(&plain, &from) == NULL)
		e->used = true;		/* perhaps an address of this host */
	for (from = 0; (f = floor_overlap(&plain, &from)) != NULL;) {
		both = common(&f->prefix, &plain);
		if (!f->never || nets_hold(p->m, &e->dest.out, &both))
			continue;
		report_error(p, &n->at, "%s reaches %s (%s), which can never "
		    "be excepted%s",
		    prefix_print(&n->prefix, net),
		    prefix_print(&f->prefix, entry), f->what,
		    holds(&f->prefix, &plain) ? "" : "; subtract it with "
		    "except");
		return;
	}
}

bool
review_excepted(const struct model *m, const struct endpoint *e)
{
	struct prefix	x = { .family = e->family,
			      .len = e->family == ADDR_V4 ? 32 : 128 };
	size_t		i;

	memcpy(x.addr, e->addr, sizeof(x.addr));
	for (i = 0; i < m->except.n; i++)
		if (nets_hold(m, &m->except.v[i].dest.in, &x) &&
		    !nets_hold(m, &m->except.v[i].dest.out, &x))
			return true;
	return false;
}

/* `any` says nothing about addresses: it is for the ports of the port floor. */
static void
check_except_any(struct parse *p, const struct except *e)
{
	size_t	i;

	if (!e->services.written || e->services.echo) {
		report_error(p, &e->at, "an exception for any lifts the floor of "
		    "ports only: name them, as port tcp 25");
		return;
	}
	for (i = 0; i < e->services.range.n; i++) {
		const struct blob_range *r = &e->services.range.v[i];

		if (r->lo != r->hi || floor_find_port(r->proto, r->lo) == NULL) {
			report_error(p, &e->services.at, "%s %u is not a port of "
			    "the floor", proto_name(r->proto), r->lo);
			return;
		}
	}
}

/* The first that is one address, or that is none. */
static const struct net *
first_net(const struct nets *s, bool address)
{
	size_t	i;

	for (i = 0; i < s->net.n; i++)
		if (address == (s->net.v[i].prefix.len ==
		    (s->net.v[i].prefix.family == ADDR_V4 ? 32 : 128)))
			return &s->net.v[i];
	return NULL;
}

static const struct net *
find_net(const struct model *m, const struct nets *s, bool address)
{
	const struct net	*n = first_net(s, address);
	size_t			 i;

	for (i = 0; n == NULL && i < s->table.n; i++)
		n = first_net(&m->table.v[s->table.v[i].index].nets, address);
	return n;
}

/* What a reader may take for more than it is: once for each exception. */
static void
check_except_own(struct parse *p, const struct except *e)
{
	const struct net	*n = find_net(p->m, &e->dest.in, false);
	char			 net[ENDPOINT_STRLEN];

	if (n != NULL && !e->own)
		report_lint(p, "W140", &e->at, NULL, "this host's own addresses in %s "
		    "stay on the floor: name one in an exception of its own, or "
		    "write own-addresses", prefix_print(&n->prefix, net));
}

static void
check_except(struct parse *p, struct except *e)
{
	size_t	i, k;

	if (e->dest.kind == KIND_ANY)
		check_except_any(p, e);
	e->address = find_net(p->m, &e->dest.in, true) != NULL;
	for (i = 0; i < e->dest.in.net.n; i++)
		check_except_net(p, e, &e->dest.in.net.v[i]);
	for (i = 0; i < e->dest.in.table.n; i++) {
		const struct table *t =
		    &p->m->table.v[e->dest.in.table.v[i].index];

		for (k = 0; k < t->floored.n && !report_full(p); k++)
			check_except_net(p, e,
			    &t->nets.net.v[t->floored.v[k]]);
	}
}

/* ---- host-services ---------------------------------------------------------------------- */

/* port: of TCP and of UDP, which service has it, from 1. */
static void
check_service(struct parse *p, size_t which, uint32_t port[2][65536])
{
	const struct service		*s = &p->m->service.v[which];
	const struct endpoint		 e = endpoint_canonical(s->addr);
	const struct floor_entry	*f = floor_find(&e);
	uint32_t			*by;

	if (f != NULL && f->never && !addr_is_loopback(&e))
		report_error(p, &s->at, "a host-service cannot be at this address "
		    "(%s)", f->what);
	else if (!addr_equal(&e, &s->addr))
		report_error(p, &s->at, "a host-service is written with its IPv4 "
		    "address");
	if (s->addr.port == 53)
		report_error(p, &s->at, "port 53 of the gateway is Sallyport's "
		    "own: let the service listen on another port");
	by = &port[s->proto == PROTO_UDP][s->addr.port];
	if (*by != 0)
		report_error(p, &s->at, "host-service %.63s has %s port %u "
		    "already, and guests reach both at their gateway's "
		    "address", p->m->service.v[*by - 1].name,
		    proto_name(s->proto), s->addr.port);
	else
		*by = (uint32_t)which + 1;
}

static void
check_services(struct parse *p)
{
	uint32_t	(*port)[65536];
	size_t		 i;

	if (p->m->service.n == 0)
		return;
	port = model_alloc(p->m, 2 * sizeof(*port));
	for (i = 0; i < p->m->service.n; i++)
		check_service(p, i, port);
}

/* ---- names that nobody uses ------------------------------------------------------------- */

#define UNUSED(vec, what) do {						\
	size_t	k;							\
									\
	for (k = 0; k < (vec).n; k++)					\
		if (!(vec).v[k].used)					\
			report_lint(p, "W101", &(vec).v[k].at, NULL,	\
			    what " %.63s is used by nothing: take it "	\
			    "out, or use it", (vec).v[k].name);		\
} while (0)

static void
check_unused(struct parse *p)
{
	size_t	i;

	UNUSED(p->m->macro, "the macro");
	UNUSED(p->m->table, "the table");
	UNUSED(p->m->nameset, "the set of names");
	UNUSED(p->m->limits, "the set of limits");
	UNUSED(p->m->service, "the host-service");
	for (i = 0; i < p->m->except.n; i++)
		if (!p->m->except.v[i].used)
			report_lint(p, "W102", &p->m->except.v[i].at, NULL, "no allow "
			    "of tenant %.63s needs this exception: take it out",
			    p->m->except.v[i].tenant.text);
}

/*
 * The one well-known service whose server answers from a port of its choice; a range
 * that has the port in it is not written for that.
 */
static void
check_tftp(struct parse *p, const struct rule *r)
{
	size_t	i;

	for (i = 0; i < r->services.range.n; i++)
		if (r->services.range.v[i].proto == PROTO_UDP &&
		    r->services.range.v[i].lo == PORT_TFTP &&
		    r->services.range.v[i].hi == PORT_TFTP) {
			report_lint(p, "W150", &r->services.at, NULL, "a TFTP server "
			    "answers from another port than 69, and a guest gets "
			    "only answers of the address and port that it has "
			    "sent to: transfers will not begin");
			return;
		}
}

void
review(struct parse *p)
{
	struct model	*m = p->m;
	size_t		 i, k;

	for (i = 0; i < m->table.n; i++)
		scan_table(p, &m->table.v[i]);
	check_services(p);
	for (i = 0; i < m->except.n; i++)
		check_except(p, &m->except.v[i]);
	for (i = 0; i < m->tenant.n && !report_full(p); i++) {
		struct tenant *t = &m->tenant.v[i];

		for (k = 0; k < t->rule.n; k++) {
			lint_ports(p, &t->rule.v[k]);
			review_until(p, &t->rule.v[k]);
			if (t->rule.v[k].dest.kind == KIND_NAME)
				review_name_rule(p, (uint32_t)i, &t->rule.v[k]);
			if (t->rule.v[k].deny ||
			    t->rule.v[k].dest.kind == KIND_SERVICE)
				continue;
			check_allow_nets(p, (uint32_t)i, &t->rule.v[k]);
			use_for_own(m, (uint32_t)i, &t->rule.v[k]);
			check_allow_ports(p, (uint32_t)i, &t->rule.v[k]);
			check_tftp(p, &t->rule.v[k]);
			review_public_resolvers(p, &t->rule.v[k]);
		}
	}
	if (p->sink->errors > 0)
		return;
	for (i = 0; i < m->except.n; i++)
		check_except_own(p, &m->except.v[i]);
	review_hosts(p);
	check_unused(p);
	lint_tenants(p);
	lint_host_port(p);
	lint_limits(p);
	lint_search(p);
	review_nowarn(p);
}
