/*
 * The index of one tenant, so that a verdict looks at the rules that can be about its
 * port, its address and its names, and not at all of them. It says which rules to look
 * at; whether they match, match.c says, as ever.
 *
 * It is derived by who asks, and no part of the compiled policy: one that came with
 * the blob had to be compared with the rules in full before it could be trusted, which
 * is no less work than making it, and every tenant's would be carried by all brokers,
 * each of which serves one. So it is made by policy_index(), for the tenant that is
 * asked about, before the seal, and never changes.
 *
 * How slow a question is, its writer can choose, a guest never: everything here is
 * sorted lists and trees over what the policy says. Nothing that a guest asks for is
 * put in, and there is no hash that it could aim at.
 *
 * Trusts: a policy that policy_load() accepted.
 * Must not: decide, or know what an address, a port or a name is asked for.
 */
#include <stdlib.h>

#include "index.h"
#include "log.h"

static uint32_t
class_of(const struct blob_tenant *t, const struct blob_rule *r)
{
	bool	named = r->match.kind == KIND_NAME;

	if (r->deny == 0)
		return !named ? CLASS_ALLOW :
		    (r->ech != 0 ? CLASS_ECH : CLASS_NAMED) + r->verify;
	if (match_audited(t, r))
		return named ? CLASS_WATCH_AUDITED : CLASS_DENY_AUDITED;
	return named ? CLASS_WATCH : CLASS_DENY;
}

/* A deny to everything, on every port: no name leads anywhere. */
static void
note_stop(struct index *x, const struct policy *p, const struct blob_rule *r,
    uint32_t class, uint32_t item)
{
	uint32_t	*slot = &x->stops[class == CLASS_DENY_AUDITED];

	if ((class == CLASS_DENY || class == CLASS_DENY_AUDITED) &&
	    r->match.kind == KIND_ANY && r->match.nxrefs == 0 &&
	    match_all_ports(p, &r->match) && item < *slot)
		*slot = item;
}

/* Rules of one sort, by name or not: how many there are. */
static size_t
collect(struct index *x, const struct policy *p, const struct blob_tenant *t,
    bool named, struct index_item *item)
{
	uint32_t	i, class;
	size_t		n = 0;

	for (i = 0; i < t->nrules; i++) {
		const struct blob_rule	*r = &p->rule[t->rule + i];

		if ((r->match.kind == KIND_NAME) != named)
			continue;
		class = class_of(t, r);
		x->count[class]++;
		item[n++] = (struct index_item){ &r->match,
		    class << KEY_BITS | i };
		note_stop(x, p, r, class, i);
	}
	return n;
}

static int
index_rules(struct index *x, const struct policy *p,
    const struct blob_tenant *t)
{
	struct index_item	*item;
	int			 failed;

	if ((item = malloc((t->nrules + 1) * sizeof(*item))) == NULL)
		return -1;
	failed = cover_make(&x->rules, p, item,
	    collect(x, p, t, false, item)) == -1 ||
	    called_make(&x->named, p, item,
	    collect(x, p, t, true, item)) == -1;
	free(item);
	return failed ? -1 : 0;
}

static int
index_excepts(struct index *x, const struct policy *p,
    const struct blob_tenant *t)
{
	struct index_item	*item;
	uint32_t		 i;
	int			 failed;

	if ((item = malloc((t->nexcepts + 1) * sizeof(*item))) == NULL)
		return -1;
	for (i = 0; i < t->nexcepts; i++)
		item[i] = (struct index_item){ &p->except[t->except + i].match,
		    CLASS_DENY << KEY_BITS | i };
	failed = cover_make(&x->excepts, p, item, t->nexcepts) == -1;
	free(item);
	return failed ? -1 : 0;
}

int
policy_index(struct policy *p, unsigned int tenant)
{
	struct index	*x;

	if (tenant >= p->head->tenants || p->index[tenant] != NULL)
		return 0;
	if ((x = calloc(1, sizeof(*x))) == NULL)
		return -1;
	x->stops[0] = x->stops[1] = POLICY_NO_RULE;
	if (index_rules(x, p, &p->tenant[tenant]) == -1 ||
	    index_excepts(x, p, &p->tenant[tenant]) == -1) {
		index_free(x);
		return -1;
	}
	x->ending = policy_expiry(p, tenant, 0);
	if (x->ending == 0)
		x->ending = UINT64_MAX;
	p->index[tenant] = x;
	return 0;
}

void
policy_unindex(struct policy *p, unsigned int tenant)
{
	index_free(p->index[tenant]);
	p->index[tenant] = NULL;
}

const struct index *
index_of(const struct policy *p, unsigned int tenant)
{
	if (p->index[tenant] == NULL)
		fatalx("tenant %u is asked about before policy_index()", tenant);
	return p->index[tenant];
}

void
index_free(struct index *x)
{
	if (x == NULL)
		return;
	called_free(&x->named);
	cover_free(&x->rules);
	cover_free(&x->excepts);
	free(x);
}
