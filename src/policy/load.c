/*
 * Takes in a compiled policy: every count, run, offset and value is checked once,
 * here, so that decide.c can use them without a look.
 *
 * Trusts: nothing in the blob. It was made by a sealed child that read text.
 * Must not: repair. A blob is right or refused.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sha2.h>

#include "index.h"
#include "load.h"

#define KIB_MAX		(1u << 30)		/* 1T */
#define UNIT_MAX	UINT32_C(1000000000)	/* of any limit */

int
load_bad(const struct check *c, const char *fmt, ...)
{
	va_list	ap;

	va_start(ap, fmt);
	if (c->errlen > 0)
		vsnprintf(c->err, c->errlen, fmt, ap);
	va_end(ap);
	return -1;
}

bool
load_run(uint32_t first, uint32_t n, uint32_t total)
{
	return first <= total && n <= total - first;
}

static bool
text_ok(const struct policy *p, uint32_t off, size_t max)
{
	return off < p->head->text &&
	    strnlen(p->text + off, p->head->text - off) < max;
}

/* ---- the sections ----------------------------------------------------- */

/* Points into the blob; NULL once it is used up. */
static const void *
section(const uint8_t **at, const uint8_t *end, uint64_t n, size_t size)
{
	const uint8_t	*here = *at;

	if (here == NULL || n * size > (uint64_t)(end - here)) {
		*at = NULL;
		return NULL;
	}
	*at = here + n * size;
	return here;
}

/* Of the law alone: where its lines stand does not matter. */
static void
digest(uint8_t out[SHA256_DIGEST_LENGTH], const uint8_t *from, size_t len)
{
	SHA2_CTX	ctx;

	SHA256Init(&ctx);
	SHA256Update(&ctx, from, len);
	SHA256Final(out, &ctx);
}

static int
lay_out(struct policy *p, size_t len, const struct check *c)
{
	const struct blob_head	*h = p->head;
	const uint8_t		*at = p->blob, *end = at + len;

	at += sizeof(*h);
	p->resolver = section(&at, end, 1, sizeof(*p->resolver));
	p->tenant = section(&at, end, h->tenants, sizeof(*p->tenant));
	p->rule = section(&at, end, h->rules, sizeof(*p->rule));
	p->except = section(&at, end, h->excepts, sizeof(*p->except));
	p->service = section(&at, end, h->services, sizeof(*p->service));
	p->range = section(&at, end, h->ranges, sizeof(*p->range));
	p->ref = section(&at, end, h->refs, sizeof(*p->ref));
	p->set = section(&at, end, h->sets, sizeof(*p->set));
	p->nref = section(&at, end, h->nrefs, sizeof(*p->nref));
	p->nset = section(&at, end, h->nsets, sizeof(*p->nset));
	p->key = section(&at, end, h->keys, sizeof(*p->key));
	p->name = section(&at, end, h->names, sizeof(*p->name));
	p->host = section(&at, end, h->hosts, sizeof(*p->host));
	p->addr = section(&at, end, h->addrs, sizeof(*p->addr));
	/* bytes from here on, which nothing needs to be aligned for */
	p->prefix = section(&at, end, h->prefixes, sizeof(*p->prefix));
	p->nametext = section(&at, end, h->nametext, 1);
	p->text = section(&at, end, h->text, 1);
	if (at == NULL)
		return load_bad(c, "its sections are longer than it is");
	digest(p->hash, p->blob, (size_t)(at - (const uint8_t *)p->blob));
	p->text_hash = section(&at, end, BLOB_TEXT_HASH, 1);
	p->loc = section(&at, end, h->rules, sizeof(uint32_t));
	if (at == NULL)
		return load_bad(c, "the places of its rules are missing");
	p->loctext = (const char *)at;
	p->loctextlen = (size_t)(end - at);
	if (p->text[h->text - 1] != '\0' || p->loctextlen == 0 ||
	    p->loctext[p->loctextlen - 1] != '\0')
		return load_bad(c, "its text does not end");
	return 0;
}

static int
check_head(const struct blob_head *h, const struct check *c)
{
	const uint32_t	count[] = { h->tenants, h->rules, h->excepts,
			    h->services, h->ranges, h->refs, h->sets,
			    h->nrefs, h->nsets, h->keys, h->names, h->hosts,
			    h->addrs, h->prefixes };
	size_t		i;

	if (h->magic != BLOB_MAGIC || h->version != BLOB_VERSION)
		return load_bad(c, "it is not a compiled policy of this version");
	if (h->floor != FLOOR_VERSION)
		return load_bad(c, "it was compiled for another floor");
	if (h->durable > DURABLE_ASYNC || h->live > LIVE_MAX)
		return load_bad(c, "its head has an unknown value");
	for (i = 0; i < sizeof(count) / sizeof(count[0]); i++)
		if (count[i] > BLOB_COUNT_MAX)
			return load_bad(c, "it counts too much of something");
	if (h->tenants == 0 || h->text == 0)
		return load_bad(c, "it has no tenant");
	return 0;
}

/* ---- their contents ---------------------------------------------------- */

static bool
ranges_sorted(const struct policy *p, uint32_t first, uint32_t n)
{
	uint32_t	i;

	for (i = first + 1; i < first + n; i++) {
		const struct blob_range	*a = &p->range[i - 1],
					*b = &p->range[i];

		if (a->proto > b->proto ||
		    (a->proto == b->proto && a->hi >= b->lo))
			return false;
	}
	return true;
}

static int
check_match(const struct policy *p, const struct blob_match *m,
    const struct check *c)
{
	const struct blob_head	*h = p->head;

	if (m->kind > KIND_NAME || m->echo > 1)
		return load_bad(c, "a match has an unknown value");
	if ((m->kind == KIND_SERVICE) != (m->service != BLOB_NONE) ||
	    (m->kind == KIND_SERVICE && m->service >= h->services))
		return load_bad(c, "a match names no host-service");
	if (!load_run(m->ref, m->nrefs, h->refs) ||
	    !load_run(m->xref, m->nxrefs, h->refs) ||
	    !load_run(m->name, m->nnames, h->nrefs) ||
	    !load_run(m->xname, m->nxnames, h->nrefs) ||
	    !load_run(m->range, m->nranges, h->ranges))
		return load_bad(c, "a match points outside");
	/* an empty set means nothing, never everything */
	if ((m->kind == KIND_NET) != (m->nrefs > 0) ||
	    (m->kind == KIND_NAME) != (m->nnames > 0))
		return load_bad(c, "a match has no destination");
	if (m->kind == KIND_NAME ? m->nxrefs > 0 : m->nxnames > 0)
		return load_bad(c, "a match mixes names and networks");
	if (!ranges_sorted(p, m->range, m->nranges))
		return load_bad(c, "ranges of ports are out of order");
	return 0;
}

static bool
has_proto(const struct policy *p, const struct blob_match *m, uint32_t proto)
{
	uint32_t	i;

	for (i = m->range; i < m->range + m->nranges; i++)
		if (p->range[i].proto == proto)
			return true;
	return false;
}

/* An allow by name: ports, never echo, and what is verified is TCP's. */
static int
check_by_name(const struct policy *p, const struct blob_rule *r,
    const struct check *c)
{
	bool	named = r->match.kind == KIND_NAME && r->deny == 0;

	if (r->verify > VERIFY_BY_PORT || r->ech > 1 ||
	    (r->verify != VERIFY_NONE && (!named ||
	    !has_proto(p, &r->match, PROTO_TCP))) ||
	    (r->ech != 0 && r->verify != VERIFY_SNI &&
	    r->verify != VERIFY_BY_PORT))
		return load_bad(c, "a rule verifies what it cannot");
	if (named && (r->match.echo != 0 || r->match.nranges == 0))
		return load_bad(c, "a rule by name has no ports");
	return 0;
}

static int
check_rules(const struct policy *p, const struct check *c)
{
	uint32_t	i, off;

	for (i = 0; i < p->head->rules; i++) {
		const struct blob_rule *r = &p->rule[i];

		if (check_match(p, &r->match, c) == -1 ||
		    check_by_name(p, r, c) == -1)
			return -1;
		if (r->deny > 1 || r->mode > MODE_AUDIT ||
		    !text_ok(p, r->id, RULE_MAX) ||
		    (r->deny != 0 &&
		    (r->until[0] != 0 || r->until[1] != 0)))
			return load_bad(c, "a rule has an unknown value");
		memcpy(&off, p->loc + i * sizeof(off), sizeof(off));
		if (off >= p->loctextlen ||
		    strnlen(p->loctext + off, p->loctextlen - off) >= LOC_MAX)
			return load_bad(c, "a rule has no place");
	}
	for (i = 0; i < p->head->excepts; i++) {
		const struct blob_except *x = &p->except[i];

		if (check_match(p, &x->match, c) == -1)
			return -1;
		if (x->ports > 1 || x->own > 1 ||
		    (x->match.kind != KIND_NET && x->match.kind != KIND_ANY) ||
		    (x->own != 0 && x->match.kind != KIND_NET) ||
		    !text_ok(p, x->ticket, SIZE_MAX))
			return load_bad(c, "an exception has an unknown value");
	}
	return 0;
}

static bool
limits_ok(const struct policy_limits *l)
{
	return l->conns > 0 && l->pending > 0 && l->pending_dst > 0 &&
	    l->rate > 0 && l->burst > 0 && l->conns <= UNIT_MAX &&
	    l->pending <= UNIT_MAX && l->pending_dst <= UNIT_MAX &&
	    l->unproven > 0 && l->unproven <= UNIT_MAX &&
	    l->unproven_dst > 0 && l->unproven_dst <= UNIT_MAX &&
	    l->rate <= UNIT_MAX && l->burst <= UNIT_MAX &&
	    l->idle <= UNIT_MAX && l->half_closed > 0 &&
	    l->half_closed <= UNIT_MAX && l->lifetime <= UNIT_MAX &&
	    l->dns_rate > 0 && l->dns_burst > 0 && l->names > 0 &&
	    l->names_per > 0 && l->dns_rate <= UNIT_MAX &&
	    l->dns_burst <= UNIT_MAX && l->names <= UNIT_MAX &&
	    l->names_per <= UNIT_MAX && l->kernel_memory > 0 &&
	    l->kernel_memory <= KIB_MAX && l->audit_rate > 0 &&
	    l->audit_rate <= UNIT_MAX && l->audit_burst > 0 &&
	    l->audit_burst <= KIB_MAX;
}

/* Tenants own their rules and exceptions: the runs follow each other. */
static int
check_tenants(const struct policy *p, const struct check *c)
{
	uint32_t	i, rule = 0, except = 0;

	for (i = 0; i < p->head->tenants; i++) {
		const struct blob_tenant *t = &p->tenant[i];

		if (!text_ok(p, t->name, TENANT_MAX) ||
		    (t->mode != MODE_ENFORCE && t->mode != MODE_AUDIT) ||
		    !limits_ok(&t->limits))
			return load_bad(c, "a tenant has an unknown value");
		if (t->rule != rule || t->except != except ||
		    !load_run(t->rule, t->nrules, p->head->rules) ||
		    !load_run(t->except, t->nexcepts, p->head->excepts))
			return load_bad(c, "a tenant's rules are not its own");
		rule += t->nrules;
		except += t->nexcepts;
	}
	if (rule != p->head->rules || except != p->head->excepts)
		return load_bad(c, "a rule has no tenant");
	return 0;
}

static int
check_services(const struct policy *p, const struct check *c)
{
	uint32_t	i;

	for (i = 0; i < p->head->services; i++) {
		const struct blob_service *s = &p->service[i];

		if (!endpoint_valid(&s->addr) || s->addr.port == 0 ||
		    (s->proto != PROTO_TCP && s->proto != PROTO_UDP) ||
		    !text_ok(p, s->name, RULE_MAX))
			return load_bad(c, "a host-service is no endpoint");
	}
	return 0;
}

static int
check_sets(const struct policy *p, const struct check *c)
{
	const struct blob_head	*h = p->head;
	uint32_t		 i;

	for (i = 0; i < h->ranges; i++)
		if (p->range[i].lo == 0 || p->range[i].lo > p->range[i].hi ||
		    (p->range[i].proto != PROTO_TCP &&
		    p->range[i].proto != PROTO_UDP))
			return load_bad(c, "a range of ports is none");
	for (i = 0; i < h->refs; i++)
		if (p->ref[i] >= h->sets)
			return load_bad(c, "a set is not there");
	for (i = 0; i < h->prefixes; i++)
		if (!prefix_valid(&p->prefix[i]))
			return load_bad(c, "a prefix is none");
	for (i = 0; i < h->sets; i++) {
		const struct blob_set *s = &p->set[i];

		/* one that is empty (allow-empty) matches nothing */
		if (!load_run(s->first, s->n, h->prefixes) ||
		    !prefix_normalised(p->prefix + s->first, s->n))
			return load_bad(c, "a set is out of order");
	}
	return 0;
}

/* ---- hosts ---------------------------------------------------------------- */

static int
check_hosts(const struct policy *p, const struct check *c)
{
	const struct blob_head	*h = p->head;
	uint32_t		 i;

	for (i = 0; i < h->addrs; i++)
		if (!endpoint_valid(&p->addr[i]) || p->addr[i].port != 0)
			return load_bad(c, "the address of a host is none");
	for (i = 0; i < h->hosts; i++) {
		const struct blob_host *host = &p->host[i];

		if (!name_valid(&host->name) || host->naddrs == 0 ||
		    host->naddrs > ANSWER_MAX ||
		    !load_run(host->addr, host->naddrs, h->addrs))
			return load_bad(c, "a host has no name or no address");
		if (i > 0 && name_compare(&p->host[i - 1].name,
		    &host->name) >= 0)
			return load_bad(c, "hosts are out of order");
	}
	return 0;
}

static bool
upstream_ok(const struct policy_upstream *u)
{
	static const struct name	none;

	return endpoint_valid(&u->addr) && u->addr.port != 0 && u->tls <= 1 &&
	    (u->tls != 0 ? name_valid(&u->name) : name_equal(&u->name, &none));
}

static int
check_resolver(const struct policy *p, const struct check *c)
{
	static const struct policy_upstream	 none;
	const struct policy_resolver		*r = p->resolver;
	uint32_t				 i;

	if (r->nupstreams > UPSTREAM_MAX || r->dnssec > 1 ||
	    r->pin_min > r->pin_max || r->pin_max == 0 ||
	    r->pin_max > UNIT_MAX || r->pin_grace > UNIT_MAX)
		return load_bad(c, "its resolver has an unknown value");
	for (i = 0; i < UPSTREAM_MAX; i++)
		if (i < r->nupstreams ? !upstream_ok(&r->upstream[i]) :
		    memcmp(&r->upstream[i], &none, sizeof(none)) != 0)
			return load_bad(c, "an upstream is none");
	return 0;
}

struct policy *
policy_load(const void *blob, size_t len, char *err, size_t errlen)
{
	const struct check	 c = { err, errlen };
	struct policy		*p;

	if (len < sizeof(struct blob_head) || len > POLICY_BLOB_MAX) {
		load_bad(&c, "it is too short or too long for a compiled policy");
		return NULL;
	}
	if ((p = calloc(1, sizeof(*p))) == NULL ||
	    (p->blob = malloc(len)) == NULL) {
		load_bad(&c, "out of memory");
		policy_free(p);
		return NULL;
	}
	memcpy(p->blob, blob, len);
	p->head = p->blob;
	if (check_head(p->head, &c) == -1 || lay_out(p, len, &c) == -1 ||
	    check_sets(p, &c) == -1 || check_services(p, &c) == -1 ||
	    load_names(p, &c) == -1 || check_hosts(p, &c) == -1 ||
	    check_resolver(p, &c) == -1 ||
	    check_rules(p, &c) == -1 || check_tenants(p, &c) == -1) {
		policy_free(p);
		return NULL;
	}
	if ((p->index = calloc(p->head->tenants, sizeof(*p->index))) == NULL) {
		load_bad(&c, "out of memory");
		policy_free(p);
		return NULL;
	}
	p->audit.durable = p->head->durable;
	p->audit.rotate = p->head->rotate;
	p->audit.keep_bytes = p->head->keep_bytes;
	p->audit.keep_files = p->head->keep_files;
	p->audit.live = p->head->live;
	return p;
}

void
policy_free(struct policy *p)
{
	uint32_t	i;

	if (p == NULL)
		return;
	free(p->bucket);
	for (i = 0; p->index != NULL && i < p->head->tenants; i++)
		index_free(p->index[i]);
	free(p->index);
	free(p->blob);
	free(p);
}

/* ---- accessors ------------------------------------------------------------ */

int
policy_tenant(const struct policy *p, const char *name)
{
	uint32_t	i;

	if (*name == '\0')
		return p->head->tenants == 1 ? 0 : -1;
	for (i = 0; i < p->head->tenants; i++)
		if (strcmp(p->text + p->tenant[i].name, name) == 0)
			return (int)i;
	return -1;
}

const char *
policy_tenant_name(const struct policy *p, unsigned int tenant)
{
	return tenant < p->head->tenants ?
	    p->text + p->tenant[tenant].name : "";
}

unsigned int
policy_tenants(const struct policy *p)
{
	return p->head->tenants;
}

const struct policy_limits *
policy_limits(const struct policy *p, unsigned int tenant)
{
	return &p->tenant[tenant].limits;
}

const struct policy_audit *
policy_audit(const struct policy *p)
{
	return &p->audit;
}

const uint8_t *
policy_text_hash(const struct policy *p)
{
	return p->text_hash;
}

const uint8_t *
policy_hash(const struct policy *p)
{
	return p->hash;
}

uint32_t
policy_rules(const struct policy *p)
{
	return p->head->rules;
}

const char *
policy_rule_id(const struct policy *p, uint32_t rule)
{
	return rule < p->head->rules ? p->text + p->rule[rule].id : "";
}

uint64_t
policy_rule_until(const struct policy *p, uint32_t rule)
{
	return rule >= p->head->rules ? 0 :
	    (uint64_t)p->rule[rule].until[1] << 32 | p->rule[rule].until[0];
}

uint64_t
policy_expiry(const struct policy *p, unsigned int tenant, uint64_t now)
{
	const struct blob_tenant	*t = &p->tenant[tenant];
	uint64_t			 next = 0, until;
	uint32_t			 i;

	for (i = t->rule; i < t->rule + t->nrules; i++) {
		until = policy_rule_until(p, i);
		if (until > now && (next == 0 || until < next))
			next = until;
	}
	return next;
}

const char *
policy_rule_loc(const struct policy *p, uint32_t rule)
{
	uint32_t	off;

	if (rule >= p->head->rules)
		return "";
	memcpy(&off, p->loc + rule * sizeof(off), sizeof(off));
	return p->loctext + off;
}
