/*
 * One tenant's entries by what they are: a name with its kind, a network with its
 * length. What holds an entry is looked up once for each name above it, or for each
 * length that there is, so that many rules cost no more than few.
 *
 * Tables and sets of names are not copied into it: they are sorted, and searched.
 *
 * Trusts: a settled model.
 * Must not: go on for ever: all look-ups of one reading are counted.
 */
#include <stdlib.h>
#include <string.h>

#include "lint.h"
#include "log.h"

#define SEED	UINT64_C(0x9e3779b97f4a7c15)

/* ---- keys ---------------------------------------------------------------------- */

static uint64_t
mix(uint64_t h, const void *data, size_t len)
{
	const unsigned char	*p = data;
	size_t			 i;

	for (i = 0; i < len; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return h ^ h >> 31;
}

static uint64_t
name_key(uint32_t wild, const char *text, size_t len)
{
	return mix(SEED + wild, text, len);
}

static uint64_t
net_key(const struct prefix *x)
{
	return mix(SEED * 3 + ((uint64_t)x->family << 8 | x->len), x->addr,
	    sizeof(x->addr));
}

static bool
is_name(const struct hit *h, uint32_t wild, const char *text, size_t len)
{
	return h->name != NULL && h->name->wild == wild &&
	    h->name->base->len == len &&
	    memcmp(h->name->base->text, text, len) == 0;
}

static bool
is_net(const struct hit *h, const struct prefix *x)
{
	return h->net != NULL && prefix_compare(&h->net->prefix, x) == 0;
}

/* The slot of that key, or a free one. */
static uint32_t *
name_slot(const struct lint *l, uint32_t wild, const char *text, size_t len)
{
	size_t	i = (size_t)name_key(wild, text, len) & (l->nslots - 1);

	while (l->slot[i] != 0 &&
	    !is_name(&l->hit.v[l->slot[i] - 1], wild, text, len))
		i = (i + 1) & (l->nslots - 1);
	return &l->slot[i];
}

static uint32_t *
net_slot(const struct lint *l, const struct prefix *x)
{
	size_t	i = (size_t)net_key(x) & (l->nslots - 1);

	while (l->slot[i] != 0 && !is_net(&l->hit.v[l->slot[i] - 1], x))
		i = (i + 1) & (l->nslots - 1);
	return &l->slot[i];
}

/* ---- making it ------------------------------------------------------------------ */

static size_t
count(const struct tenant *t)
{
	size_t	i, n = 0;

	for (i = 0; i < t->rule.n; i++)
		n += t->rule.v[i].dest.names.list.n + t->rule.v[i].dest.in.net.n;
	return n;
}

static void
add(struct lint *l, uint32_t rule, const struct pattern *name,
    const struct net *net)
{
	struct hit	*h = &l->hit.v[l->hit.n++];
	uint32_t	*slot;

	*h = (struct hit){ .rule = rule, .name = name, .net = net };
	if (net != NULL) {
		slot = net_slot(l, &net->prefix);
		l->lens[net->prefix.family == ADDR_V4 ? 0 : 1]
		    [net->prefix.len / 32] |= UINT32_C(1) << net->prefix.len % 32;
	} else
		slot = name_slot(l, name->wild, name->base->text,
		    name->base->len);
	h->next = *slot;
	*slot = (uint32_t)l->hit.n;
}

static void *
need(void *p)
{
	if (p == NULL)
		fatalx("out of memory for the policy");
	return p;
}

void
lint_index(struct lint *l, struct parse *p, uint32_t tenant)
{
	const struct tenant	*t = &p->m->tenant.v[tenant];
	size_t			 i, n = count(t);
	uint32_t		 k;

	memset(l, 0, sizeof(*l));
	l->p = p;
	l->t = t;
	l->tenant = tenant;
	for (l->nslots = 16; l->nslots < 2 * n; l->nslots *= 2)
		;
	l->slot = need(calloc(l->nslots, sizeof(*l->slot)));
	l->hit.v = need(calloc(n + 1, sizeof(*l->hit.v)));
	l->set_rule = need(calloc(t->rule.n, sizeof(*l->set_rule)));
	l->any = need(calloc(t->rule.n, sizeof(*l->any)));
	l->same = need(calloc(t->rule.n, sizeof(*l->same)));
	/* backwards, so that what a key leads to comes in the order of the rules */
	for (k = (uint32_t)t->rule.n; k-- > 0;) {
		const struct dest *d = &t->rule.v[k].dest;

		for (i = 0; i < d->names.list.n; i++)
			add(l, k, &d->names.list.v[i], NULL);
		for (i = 0; i < d->in.net.n; i++)
			add(l, k, NULL, &d->in.net.v[i]);
	}
	for (k = 0; k < t->rule.n; k++)
		if (t->rule.v[k].dest.in.table.n > 0 ||
		    t->rule.v[k].dest.names.set.n > 0)
			l->set_rule[l->nset_rules++] = k;
}

void
lint_index_free(struct lint *l)
{
	free(l->slot);
	free(l->hit.v);
	free(l->set_rule);
	free(l->any);
	free(l->same);
}

bool
lint_goes_on(struct lint *l)
{
	return l->p->compared++ < COMPARE_MAX;
}

/* ---- asking it ------------------------------------------------------------------- */

static bool
names_in_sets(const struct model *m, const struct patterns *s,
    const struct pattern *n)
{
	size_t	i;

	for (i = 0; i < s->set.n; i++)
		if (model_covers(m, &m->nameset.v[s->set.v[i].index].patterns, n))
			return true;
	return false;
}

static const struct rule *
earlier(const struct rule *a, const struct rule *b)
{
	return a == NULL || (b != NULL && b < a) ? b : a;
}

static const struct rule *
first_good(struct lint *l, uint32_t at, const struct rule *r, lint_pred *good)
{
	for (; at != 0 && lint_goes_on(l); at = l->hit.v[at - 1].next) {
		const struct rule *o = &l->t->rule.v[l->hit.v[at - 1].rule];

		if (good(l, o, r))
			return o;
	}
	return NULL;
}

/* One kind of entry over the name, and over each one above it that the kind is about. */
static const struct rule *
above(struct lint *l, const struct rule *r, const struct pattern *n,
    uint32_t wild, lint_pred *good)
{
	const char		*text = n->base->text, *end = text + n->base->len;
	const struct rule	*found = NULL;
	uint32_t		 own = n->wild;
	bool			 self = wild == NAME_TREE || wild == own ||
				    (wild == NAME_MANY && own == NAME_ONE);

	for (;;) {
		if (self)
			found = earlier(found, first_good(l, *name_slot(l, wild,
			    text, (size_t)(end - text)), r, good));
		self = wild == NAME_MANY || wild == NAME_TREE ||
		    (wild == NAME_ONE && own == NAME_EXACT &&
		    text == n->base->text);
		text = memchr(text, '.', (size_t)(end - text));
		if (!self || text == NULL)
			return found;
		text++;
	}
}

const struct rule *
lint_name_holder(struct lint *l, const struct rule *r, const struct pattern *n,
    lint_pred *good)
{
	const struct rule	*found = NULL;
	size_t			 i;

	if (n->wild == NAME_EXACT)
		found = above(l, r, n, NAME_EXACT, good);
	if (n->wild == NAME_EXACT || n->wild == NAME_ONE)
		found = earlier(found, above(l, r, n, NAME_ONE, good));
	found = earlier(found, above(l, r, n, NAME_MANY, good));
	found = earlier(found, above(l, r, n, NAME_TREE, good));
	for (i = 0; i < l->nset_rules && lint_goes_on(l); i++) {
		const struct rule *o = &l->t->rule.v[l->set_rule[i]];

		if (good(l, o, r) && names_in_sets(l->p->m, &o->dest.names, n))
			return earlier(found, o);
	}
	return found;
}

const struct rule *
lint_name_twin(struct lint *l, const struct rule *r, const struct pattern *n,
    lint_pred *good)
{
	return first_good(l, *name_slot(l, n->wild, n->base->text,
	    n->base->len), r, good);
}

/* ---- networks ------------------------------------------------------------------------ */

static bool
has_length(const struct lint *l, const struct prefix *x, unsigned int len)
{
	return (l->lens[x->family == ADDR_V4 ? 0 : 1][len / 32] >> len % 32 &
	    1) != 0;
}

size_t
lint_place(const struct nets *s, const struct prefix *x)
{
	size_t	lo = 0, hi = s->net.n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (prefix_compare(&s->net.v[mid].prefix, x) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* One network of the sorted set holds all of it. */
static bool
set_holds(const struct nets *s, const struct prefix *x)
{
	size_t	at = lint_place(s, x);

	return at > 0 && s->net.v[at - 1].prefix.len <= x->len &&
	    prefix_overlaps(&s->net.v[at - 1].prefix, x);
}

static bool
tables_hold(const struct model *m, const struct nets *s, const struct prefix *x)
{
	size_t	i;

	for (i = 0; i < s->table.n; i++)
		if (set_holds(&m->table.v[s->table.v[i].index].nets, x))
			return true;
	return false;
}

bool
lint_nets_hold(const struct model *m, const struct nets *s,
    const struct prefix *x)
{
	return set_holds(s, x) || tables_hold(m, s, x);
}

const struct rule *
lint_net_holder(struct lint *l, const struct rule *r, const struct prefix *x,
    lint_pred *good)
{
	const struct rule	*found = NULL;
	struct endpoint		 e = { .family = x->family };
	struct prefix		 up;
	unsigned int		 len;
	size_t			 i;

	memcpy(e.addr, x->addr, sizeof(e.addr));
	for (len = 0; len <= x->len; len++) {
		if (!has_length(l, x, len))
			continue;
		up = prefix_of(&e, len);
		found = earlier(found, first_good(l, *net_slot(l, &up), r,
		    good));
	}
	for (i = 0; i < l->nset_rules && lint_goes_on(l); i++) {
		const struct rule *o = &l->t->rule.v[l->set_rule[i]];

		if (good(l, o, r) && tables_hold(l->p->m, &o->dest.in, x))
			return earlier(found, o);
	}
	return found;
}

const struct rule *
lint_net_twin(struct lint *l, const struct rule *r, const struct prefix *x,
    lint_pred *good)
{
	return first_good(l, *net_slot(l, x), r, good);
}
