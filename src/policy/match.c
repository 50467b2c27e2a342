/*
 * Does a match match? One address, one port, one name against what a rule or an
 * exception is about.
 *
 * Trusts: a policy that policy_load() accepted: every run lies inside, every set
 * is sorted.
 * Must not: know what a rule does with the answer.
 */
#include <string.h>

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

bool
match_ports(const struct policy *p, const struct blob_match *m, uint32_t proto,
    uint16_t port)
{
	uint32_t	i;

	if (proto == PROTO_ECHO)
		return m->echo != 0;
	for (i = m->range; i < m->range + m->nranges; i++)
		if (p->range[i].proto == proto && p->range[i].lo <= port &&
		    port <= p->range[i].hi)
			return true;
	return false;
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

/* Exact names first, then each kind of wildcard. */
int
blob_name_compare(const struct blob_name *a, const struct blob_name *b)
{
	if (a->wild != b->wild)
		return a->wild < b->wild ? -1 : 1;
	return name_compare(&a->base, &b->base);
}

/* Two names in the order of name_compare(); the one here has no NULs to its end. */
static int
text_compare(const struct name *a, const char *text, size_t len)
{
	int	c = memcmp(a->text, text, a->len < len ? a->len : len);

	return c != 0 ? c : (a->len > len) - (a->len < len);
}

static bool
has_name(const struct policy *p, uint32_t first, uint32_t n, uint32_t wild,
    const char *text, const char *end)
{
	uint32_t	lo = first, hi = first + n, mid;
	int		c;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		c = p->name[mid].wild != wild ?
		    (p->name[mid].wild < wild ? -1 : 1) :
		    text_compare(&p->name[mid].base, text,
		    (size_t)(end - text));
		if (c == 0)
			return true;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

/*
 * From the last label towards `from`, and no further than the longest "**." or "+."
 * of the policy: how many labels there are is for a guest to choose.
 */
static bool
has_above(const struct policy *p, uint32_t first, uint32_t n,
    const char *from, const char *end)
{
	const char	*at = end + 1;
	uint32_t	 labels;

	if (p->name[first + n - 1].wild < NAME_MANY)
		return false;
	for (labels = 0; labels < p->deepest && at > from; labels++) {
		for (at--; at > from && at[-1] != '.'; at--)
			;
		if (has_name(p, first, n, NAME_MANY, at, end) ||
		    has_name(p, first, n, NAME_TREE, at, end))
			return true;
	}
	return false;
}

/*
 * One look for each name above the asked one, so that a long list costs no more
 * than a short one. It says what name_matches() says of each entry.
 */
static bool
in_names(const struct policy *p, uint32_t first, uint32_t n,
    const struct name *name)
{
	const char	*end = name->text + name->len, *dot;

	if (n == 0)
		return false;
	if (has_name(p, first, n, NAME_EXACT, name->text, end))
		return true;
	if (p->name[first + n - 1].wild == NAME_EXACT)
		return false;	/* wildcards are the last ones */
	if (has_name(p, first, n, NAME_TREE, name->text, end))
		return true;
	if ((dot = memchr(name->text, '.', name->len)) == NULL)
		return false;
	return has_name(p, first, n, NAME_ONE, dot + 1, end) ||
	    has_above(p, first, n, dot + 1, end);
}

bool
match_names(const struct policy *p, const struct blob_match *m,
    const struct name *name)
{
	return m->kind == KIND_NAME &&
	    in_names(p, m->name, m->nnames, name) &&
	    !in_names(p, m->xname, m->nxnames, name);
}

bool
match_exactly(const struct policy *p, const struct blob_match *m,
    const struct name *name)
{
	const char	*end = name->text + name->len;

	return match_names(p, m, name) &&
	    (has_name(p, m->name, m->nnames, NAME_EXACT, name->text, end) ||
	    has_name(p, m->name, m->nnames, NAME_TREE, name->text, end));
}
