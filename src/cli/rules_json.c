/*
 * A tenant's law as JSON.
 *
 * Trusts: rules.c for what concerns the tenant.
 * Must not: leave out what has a say.
 */
#include <stdlib.h>
#include <string.h>

#include "rules.h"

static void
json_place(struct json *j, const struct where *at)
{
	json_string(j, "file", at->file);
	json_number(j, "line", at->line);
}

static void
json_limits(const struct listing *l, struct json *j)
{
	const struct limits	 limits = rules_limits(l);
	const struct policy_limits *p = &limits.l;

	json_open(j, "limits", '{');
	if (l->tenant->limits.text != NULL) {
		json_string(j, "name", limits.name);
		json_place(j, &limits.at);
	}
	json_number(j, "conns", p->conns);
	json_number(j, "pending", p->pending);
	json_number(j, "pending_per_destination", p->pending_dst);
	json_number(j, "unproven", p->unproven);
	json_number(j, "unproven_per_destination", p->unproven_dst);
	json_number(j, "rate", p->rate);
	json_number(j, "burst", p->burst);
	json_number(j, "idle", p->idle);
	json_number(j, "half_closed", p->half_closed);
	json_number(j, "lifetime", p->lifetime);
	json_number(j, "dns", p->dns_rate);
	json_number(j, "dns_burst", p->dns_burst);
	json_number(j, "names", p->names);
	json_number(j, "names_per", p->names_per);
	json_number(j, "kernel_memory", (uint64_t)p->kernel_memory << 10);
	json_number(j, "audit", (uint64_t)p->audit_rate << 10);
	json_number(j, "audit_burst", (uint64_t)p->audit_burst << 10);
	json_close(j, '}');
}

static void
json_floor(struct json *j)
{
	char	buf[ENDPOINT_STRLEN];
	size_t	i;

	json_open(j, "floor", '{');
	json_number(j, "version", FLOOR_VERSION);
	json_open(j, "networks", '[');
	for (i = 0; i < floor_nentries; i++) {
		json_open(j, NULL, '{');
		json_string(j, "net", prefix_print(&floor_entries[i].prefix, buf));
		json_string(j, "reason", reason_name(floor_entries[i].reason));
		json_bool(j, "never", floor_entries[i].never != 0);
		json_string(j, "what", floor_entries[i].what);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_open(j, "ports", '[');
	for (i = 0; i < floor_nports; i++) {
		json_open(j, NULL, '{');
		json_string(j, "proto", proto_name(floor_ports[i].proto));
		json_number(j, "port", floor_ports[i].port);
		json_string(j, "what", floor_ports[i].what);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_close(j, '}');
}

static void
json_excepts(const struct listing *l, struct json *j)
{
	const struct model	*m = l->r.m;
	struct text		 t;
	size_t			 i;

	json_open(j, "exceptions", '[');
	for (i = 0; i < m->except.n; i++) {
		const struct except *e = &m->except.v[i];

		if (strcmp(e->tenant.text, l->tenant->name) != 0)
			continue;
		t = (struct text){ NULL, 0, 0 };
		print_except(&t, e, l->most);
		json_open(j, NULL, '{');
		json_place(j, &e->at);
		json_string(j, "ticket", e->ticket);
		json_bool(j, "own_addresses", e->own);
		json_string(j, "text", t.buf);
		json_close(j, '}');
		free(t.buf);
	}
	json_close(j, ']');
}

static void
json_resolver(const struct listing *l, struct json *j)
{
	const struct policy_resolver	*r = policy_resolver(l->r.p);
	char				 buf[ENDPOINT_STRLEN];
	uint32_t			 i;

	json_open(j, "resolver", '{');
	json_open(j, "upstreams", '[');
	for (i = 0; i < r->nupstreams; i++) {
		json_open(j, NULL, '{');
		json_string(j, "address", endpoint_print(&r->upstream[i].addr,
		    buf));
		json_bool(j, "tls", r->upstream[i].tls != 0);
		json_maybe(j, "name", r->upstream[i].name.text);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_bool(j, "dnssec", r->dnssec != 0);
	json_number(j, "pin_min", r->pin_min);
	json_number(j, "pin_max", r->pin_max);
	json_number(j, "pin_grace", r->pin_grace);
	json_close(j, '}');
}

static void
json_hosts(const struct listing *l, struct json *j)
{
	const struct model	*m = l->r.m;
	char			 buf[ENDPOINT_STRLEN];
	size_t			 i, k;

	json_open(j, "hosts", '[');
	for (i = 0; i < m->host.n; i++) {
		const struct host *h = &m->host.v[i];

		if (!rules_host(l, h))
			continue;
		json_open(j, NULL, '{');
		json_place(j, &h->at);
		json_string(j, "name", h->name.text);
		json_open(j, "addresses", '[');
		for (k = 0; k < h->addr.n; k++)
			json_string(j, NULL, addr_print(&h->addr.v[k], buf));
		json_close(j, ']');
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void
json_services(const struct listing *l, struct json *j)
{
	const struct model	*m = l->r.m;
	char			 buf[ENDPOINT_STRLEN];
	size_t			 i;

	json_open(j, "services", '[');
	for (i = 0; i < m->service.n; i++) {
		const struct service *s = &m->service.v[i];

		if (!rules_service(l, s))
			continue;
		json_open(j, NULL, '{');
		json_place(j, &s->at);
		json_string(j, "name", s->name);
		json_string(j, "address", endpoint_print(&s->addr, buf));
		json_string(j, "proto", proto_name(s->proto));
		json_close(j, '}');
	}
	json_close(j, ']');
}

/* ---- a rule ---------------------------------------------------------------------- */

/* With the proof that is wanted there. */
static void
json_part(struct json *j, const struct blob_range *r, uint32_t lo, uint32_t hi,
    const struct blob_rule *rule)
{
	static const char *const	words[] = { [VERIFY_NONE] = "none",
					    [VERIFY_SNI] = "sni",
					    [VERIFY_HOST] = "host" };

	if (lo > hi)
		return;
	json_open(j, NULL, '{');
	json_string(j, "proto", proto_name(r->proto));
	json_number(j, "from", lo);
	json_number(j, "to", hi);
	if (rule->match.kind == KIND_NAME && rule->deny == 0 &&
	    r->proto == PROTO_TCP)
		json_string(j, "verify", words[match_verify(rule,
		    (uint16_t)lo)]);
	json_close(j, '}');
}

/* The port that has a proof of its own is a range of its own. */
static void
json_ports(const struct listing *l, struct json *j, const struct rule *r,
    uint32_t rule)
{
	const struct blob_rule	*b = &l->r.p->rule[rule];
	size_t			 i;

	json_open(j, "ports", '[');
	for (i = 0; i < r->services.range.n; i++) {
		const struct blob_range *v = &r->services.range.v[i];
		uint32_t lo = v->lo, hi = v->hi, own = VERIFY_HOST_PORT;

		if (b->verify != VERIFY_BY_PORT || v->proto != PROTO_TCP ||
		    own < lo || own > hi) {
			json_part(j, v, lo, hi, b);
			continue;
		}
		json_part(j, v, lo, own - 1, b);
		json_part(j, v, own, own, b);
		json_part(j, v, own + 1, hi, b);
	}
	json_close(j, ']');
	json_bool(j, "echo", r->services.echo);
}

static void
json_rule(const struct listing *l, struct json *j, uint32_t i)
{
	static const char *const	kinds[] = { [KIND_ANY] = "any",
					    [KIND_NET] = "net",
					    [KIND_SERVICE] = "host-service",
					    [KIND_NAME] = "name" };
	const struct rule		*r = &l->tenant->rule.v[i];

	json_open(j, NULL, '{');
	reading_json_of(&l->r, j, l->first + i, l->most);
	json_string(j, "to", kinds[r->dest.kind]);
	json_string(j, "mode", rules_audited(l, r) ? "audit" : "enforce");
	json_ports(l, j, r, l->first + i);
	if (r->dest.kind == KIND_NAME && !r->deny)
		json_bool(j, "ech", r->ech);
	if (r->until != 0)
		json_bool(j, "ended", l->now >= r->until);
	json_close(j, '}');
}

void
rules_json(const struct listing *l)
{
	struct json	j = { { NULL, 0, 0 }, false };
	uint32_t	i;

	json_open(&j, NULL, '{');
	json_string(&j, "command", "rules");
	reading_json(&l->r, &j);
	json_open(&j, "tenant", '{');
	json_string(&j, "name", l->tenant->name);
	json_string(&j, "mode", l->tenant->mode == MODE_AUDIT ? "audit" :
	    "enforce");
	json_place(&j, &l->tenant->at);
	json_close(&j, '}');
	json_limits(l, &j);
	json_floor(&j);
	json_excepts(l, &j);
	json_resolver(l, &j);
	json_hosts(l, &j);
	json_services(l, &j);
	json_open(&j, "rules", '[');
	for (i = 0; i < l->tenant->rule.n; i++)
		json_rule(l, &j, i);
	json_close(&j, ']');
	json_close(&j, '}');
	json_print(&j);
}
