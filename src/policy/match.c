/*
 * Does a match match? One address, one port, one name against what a rule or an
 * exception is about.
 *
 * Trusts: a policy that policy_load() accepted: every run lies inside, every set
 * is sorted.
 * Must not: know what a rule does with the answer.
 */
#include "law.h"

/* ---- addresses and ports -------------------------------------------------- */

/* By an entry of at least this length. */
static bool
sets_have(const struct policy *p, uint32_t ref, uint32_t n,
    const struct endpoint *e, uint8_t least)
{
	const struct prefix	*hit;
	uint32_t		 i;

	for (i = ref; i < ref + n; i++) {
		const struct blob_set *s = &p->set[p->ref[i]];

		hit = prefix_search(p->prefix + s->first, s->n, e);
		if (hit != NULL && hit->len >= least)
			return true;
	}
	return false;
}

bool
match_sets(const struct policy *p, uint32_t ref, uint32_t n,
    const struct endpoint *e)
{
	return sets_have(p, ref, n, e, 0);
}

/* The destination and its `except`, for one form of an address. */
bool
match_net(const struct policy *p, const struct blob_match *m,
    const struct endpoint *e)
{
	if (m->kind != KIND_ANY &&
	    (m->kind != KIND_NET || !match_sets(p, m->ref, m->nrefs, e)))
		return false;
	return !match_sets(p, m->xref, m->nxrefs, e);
}

bool
match_address(const struct policy *p, const struct blob_match *m,
    const struct endpoint *e)
{
	return m->kind == KIND_NET &&
	    sets_have(p, m->ref, m->nrefs, e, e->family == ADDR_V4 ? 32 : 128) &&
	    !match_sets(p, m->xref, m->nxrefs, e);
}

/* The last range that does not begin after the port is the only candidate. */
bool
match_ports(const struct policy *p, const struct blob_match *m, uint32_t proto,
    uint16_t port)
{
	uint32_t			 lo = m->range, n = m->nranges, half;
	const struct blob_range		*r;

	if (proto == PROTO_ECHO)
		return m->echo != 0;
	if (n == 0)
		return false;
	while (n > 1) {
		half = n / 2;
		r = &p->range[lo + half];
		if (r->proto < proto || (r->proto == proto && r->lo <= port))
			lo += half;
		n -= half;
	}
	r = &p->range[lo];
	return r->proto == proto && r->lo <= port && port <= r->hi;
}

static bool
has_all(const struct policy *p, const struct blob_match *m, uint32_t proto)
{
	uint32_t	i;

	for (i = m->range; i < m->range + m->nranges; i++)
		if (p->range[i].proto == proto && p->range[i].lo == 1 &&
		    p->range[i].hi == UINT16_MAX)
			return true;
	return false;
}

bool
match_all_ports(const struct policy *p, const struct blob_match *m)
{
	return m->echo != 0 && has_all(p, m, PROTO_TCP) &&
	    has_all(p, m, PROTO_UDP);
}

enum verify
match_verify(const struct blob_rule *r, uint16_t port)
{
	if (r->verify == VERIFY_BY_PORT)
		return port == VERIFY_HOST_PORT ? VERIFY_HOST : VERIFY_SNI;
	return (enum verify)r->verify;
}

bool
match_audited(const struct blob_tenant *t, const struct blob_rule *r)
{
	return (r->mode == MODE_INHERIT ? t->mode : r->mode) == MODE_AUDIT;
}

bool
match_expired(const struct blob_rule *r, uint64_t now)
{
	uint64_t	until = (uint64_t)r->until[1] << 32 | r->until[0];

	return until != 0 && now >= until;
}

/* ---- names ------------------------------------------------------------------ */

bool
match_by_keys(const struct policy *p, const struct blob_match *m,
    const struct name_keys *k)
{
	return m->kind == KIND_NAME && match_keys(p, m->name, m->nnames, k) &&
	    !match_keys(p, m->xname, m->nxnames, k);
}

bool
match_names(const struct policy *p, const struct blob_match *m,
    const struct name *name)
{
	struct name_keys	k;

	if (m->kind != KIND_NAME)
		return false;
	name_keys(p, name, &k);
	return match_by_keys(p, m, &k);
}

bool
match_exactly(const struct policy *p, const struct blob_match *m,
    const struct name *name)
{
	struct name_keys	k;

	if (m->kind != KIND_NAME)
		return false;
	name_keys(p, name, &k);
	if (match_keys(p, m->xname, m->nxnames, &k))
		return false;
	k.n = k.exact;
	return match_keys(p, m->name, m->nnames, &k);
}
