/*
 * Model to blob (law.h says how it is laid out). The order of everything is that
 * of the text, so one law in one spelling has one hash.
 *
 * Trusts: a reviewed model.
 * Must not: put a place, a name of a table or anything else that is not law into
 * the part that is hashed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sha2.h>

#include "compile.h"
#include "grammar.h"
#include "log.h"

void
compile_put(struct bytes *b, const void *data, size_t len)
{
	if (b->cap - b->n < len) {
		b->cap = (b->cap + len + 64) * 2;
		if ((b->v = realloc(b->v, b->cap)) == NULL)
			fatalx("out of memory for the compiled policy");
	}
	if (len > 0)
		memcpy(b->v + b->n, data, len);
	b->n += len;
}

static uint32_t
put_text(struct bytes *b, const char *s)
{
	uint32_t	at = (uint32_t)b->n;

	compile_put(b, s, strlen(s) + 1);
	return at;
}

/* ---- sets ----------------------------------------------------------------- */

static uint32_t
put_set(struct out *o, const struct net *net, size_t n)
{
	struct blob_set	s = { o->head.prefixes, (uint32_t)n };
	size_t		i;

	for (i = 0; i < n; i++)
		compile_put(&o->prefixes, &net[i].prefix, sizeof(net[i].prefix));
	o->head.prefixes += (uint32_t)n;
	compile_put(&o->sets, &s, sizeof(s));
	return o->head.sets++;
}

static void
put_ref(struct out *o, uint32_t set)
{
	compile_put(&o->refs, &set, sizeof(set));
	o->head.refs++;
}

/* The run of sets that a destination is made of; a table's set is shared. */
static void
put_nets(struct out *o, const struct nets *s, uint32_t *first, uint32_t *n)
{
	size_t	i;

	*first = o->head.refs;
	if (s->net.n > 0)
		put_ref(o, put_set(o, s->net.v, s->net.n));
	for (i = 0; i < s->table.n; i++) {
		uint32_t		 index = s->table.v[i].index;
		const struct table	*t = &o->m->table.v[index];

		if (o->table_set[index] == BLOB_NONE)
			o->table_set[index] = put_set(o, t->nets.net.v,
			    t->nets.net.n);
		put_ref(o, o->table_set[index]);
	}
	*n = o->head.refs - *first;
}

static struct blob_match
match(struct out *o, const struct dest *d, const struct services *s)
{
	struct blob_match	m;

	memset(&m, 0, sizeof(m));
	m.kind = d->kind;
	m.service = d->kind == KIND_SERVICE ? d->service.index : BLOB_NONE;
	put_nets(o, &d->in, &m.ref, &m.nrefs);
	put_nets(o, &d->out, &m.xref, &m.nxrefs);
	compile_names(o, &d->names, &m.name, &m.nnames);
	compile_names(o, &d->xnames, &m.xname, &m.nxnames);
	m.range = o->head.ranges;
	m.nranges = (uint32_t)s->range.n;
	compile_put(&o->ranges, s->range.v, s->range.n * sizeof(struct blob_range));
	o->head.ranges += m.nranges;
	m.echo = s->echo;
	return m;
}

/* ---- rules ------------------------------------------------------------------ */

/* The label, or the first 8 hex digits of SHA-256 of the canonical rule. */
static uint32_t
put_id(struct out *o, const struct rule *r)
{
	uint8_t		hash[SHA256_DIGEST_LENGTH];
	char		hex[9];
	SHA2_CTX	ctx;
	struct text	t = { NULL, 0, 0 };

	if (r->label != NULL)
		return put_text(&o->text, r->label);
	print_rule(&t, r);
	SHA256Init(&ctx);
	SHA256Update(&ctx, (const uint8_t *)t.buf, t.len);
	SHA256Final(hash, &ctx);
	free(t.buf);
	snprintf(hex, sizeof(hex), "%02x%02x%02x%02x", hash[0], hash[1],
	    hash[2], hash[3]);
	return put_text(&o->text, hex);
}

/* "file:line"; of a long path the end, which tells more. */
static void
put_loc(struct out *o, const struct where *at)
{
	char		line[16], loc[LOC_MAX];
	const char	*file = at->file;
	int		n = snprintf(line, sizeof(line), ":%u", at->line);
	size_t		max = sizeof(loc) - 1 - (size_t)n;
	uint32_t	off;

	if (strlen(file) > max)
		snprintf(loc, sizeof(loc), "...%s%s",
		    file + strlen(file) - (max - 3), line);
	else
		snprintf(loc, sizeof(loc), "%s%s", file, line);
	off = put_text(&o->loctext, loc);
	compile_put(&o->locs, &off, sizeof(off));
}

static void
put_rule(struct out *o, const struct rule *r)
{
	struct blob_rule	b;

	memset(&b, 0, sizeof(b));
	b.match = match(o, &r->dest, &r->services);
	b.id = put_id(o, r);
	b.deny = r->deny;
	b.mode = r->mode;
	b.verify = r->verify;
	b.ech = r->ech;
	b.until[0] = (uint32_t)r->until;
	b.until[1] = (uint32_t)(r->until >> 32);
	compile_put(&o->rules, &b, sizeof(b));
	put_loc(o, &r->at);
	o->head.rules++;
}

static void
put_except(struct out *o, const struct except *e)
{
	struct blob_except	b;

	memset(&b, 0, sizeof(b));
	b.match = match(o, &e->dest, &e->services);
	b.ports = e->services.written;
	b.own = e->own;
	b.ticket = put_text(&o->text, e->ticket);
	compile_put(&o->excepts, &b, sizeof(b));
	o->head.excepts++;
}

static void
put_tenant(struct out *o, uint32_t which)
{
	static const struct policy_limits	defaults = POLICY_LIMITS_DEFAULT;
	const struct tenant			*t = &o->m->tenant.v[which];
	struct blob_tenant			 b;
	size_t					 i;

	memset(&b, 0, sizeof(b));
	b.name = put_text(&o->text, t->name);
	b.mode = t->mode;
	b.limits = t->limits.text == NULL ? defaults :
	    o->m->limits.v[t->limits.index].l;
	b.rule = o->head.rules;
	for (i = 0; i < t->rule.n; i++)
		put_rule(o, &t->rule.v[i]);
	b.nrules = o->head.rules - b.rule;
	b.except = o->head.excepts;
	for (i = 0; i < t->except.n; i++)
		put_except(o, &o->m->except.v[t->except.v[i]]);
	b.nexcepts = o->head.excepts - b.except;
	compile_put(&o->tenants, &b, sizeof(b));
	o->head.tenants++;
}

static void
put_service(struct out *o, const struct service *s)
{
	struct blob_service	b;

	memset(&b, 0, sizeof(b));
	b.addr = s->addr;
	b.proto = s->proto;
	b.name = put_text(&o->text, s->name);
	compile_put(&o->services, &b, sizeof(b));
	o->head.services++;
}

static void
put_host(struct out *o, const struct host *h)
{
	struct blob_host	b;

	memset(&b, 0, sizeof(b));
	b.name = h->name;
	b.addr = o->head.addrs;
	b.naddrs = (uint32_t)h->addr.n;
	compile_put(&o->addrs, h->addr.v, h->addr.n * sizeof(struct endpoint));
	o->head.addrs += b.naddrs;
	compile_put(&o->hosts, &b, sizeof(b));
	o->head.hosts++;
}

/* ---- the whole ------------------------------------------------------------------ */

/* Sections in the order of blob_head's counts, then the places. */
static void *
join(struct out *o, size_t *len)
{
	struct bytes	*part[] = { &o->tenants, &o->rules, &o->excepts,
			    &o->services, &o->ranges, &o->refs, &o->sets,
			    &o->nrefs, &o->nsets, &o->keys, &o->names,
			    &o->hosts, &o->addrs, &o->prefixes, &o->nametext,
			    &o->text, &o->sum, &o->locs, &o->loctext };
	struct bytes	 blob = { NULL, 0, 0 };
	size_t		 i;

	o->head.text = (uint32_t)o->text.n;
	o->head.nametext = (uint32_t)o->nametext.n;
	compile_put(&blob, &o->head, sizeof(o->head));
	compile_put(&blob, &o->m->resolver, sizeof(o->m->resolver));
	for (i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
		compile_put(&blob, part[i]->v, part[i]->n);
		free(part[i]->v);
	}
	free(o->table_set);
	compile_names_end(o);
	if (blob.n > POLICY_BLOB_MAX) {
		free(blob.v);
		return NULL;
	}
	*len = blob.n;
	return blob.v;
}

static void
put_sum(struct out *o)
{
	SHA2_CTX	ctx = o->m->text;
	uint8_t		sum[BLOB_TEXT_HASH];

	static_assert(BLOB_TEXT_HASH == SHA256_DIGEST_LENGTH, "text hash");
	SHA256Final(sum, &ctx);
	compile_put(&o->sum, sum, sizeof(sum));
}

void *
grammar_compile(const struct model *m, size_t *len)
{
	struct out	o;
	size_t		i;

	memset(&o, 0, sizeof(o));
	o.m = m;
	o.head.magic = BLOB_MAGIC;
	o.head.version = BLOB_VERSION;
	o.head.floor = FLOOR_VERSION;
	o.head.durable = m->audit.durable;
	o.head.rotate = m->audit.rotate;
	o.head.keep_bytes = m->audit.keep_bytes;
	o.head.keep_files = m->audit.keep_files;
	o.head.live = m->audit.live;
	o.table_set = calloc(m->table.n + 1, sizeof(*o.table_set));
	if (o.table_set == NULL)
		fatalx("out of memory for the compiled policy");
	memset(o.table_set, 0xff, m->table.n * sizeof(*o.table_set));
	put_sum(&o);
	put_text(&o.loctext, "");	/* so that it is never empty */
	compile_dictionary(&o);
	for (i = 0; i < m->service.n; i++)
		put_service(&o, &m->service.v[i]);
	for (i = 0; i < m->host.n; i++)
		put_host(&o, &m->host.v[i]);
	for (i = 0; i < m->tenant.n; i++)
		put_tenant(&o, (uint32_t)i);
	return join(&o, len);
}
