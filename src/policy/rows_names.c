/*
 * What the rules by name say of a flow. Each name of its address is looked up once: if
 * it lives, it gives each class of allows its first rule, and which classes there are
 * is all that the row wants to know.
 *
 * Trusts: a policy that policy_load() accepted, and that query.bound holds names which
 * this guest was given for this address.
 * Must not: decide. Must not: take a name for an address, or an address for a name.
 */
#include "rows.h"

/* What all names of the address gave: of each class the first rule. */
struct found {
	uint32_t	allow[CLASSES];
	uint32_t	ended[CLASSES];		/* the same, of those that have */
	uint32_t	barred;			/* the first deny of one of them */
};

/* The name that is shown. */
struct shown_name {
	bool		 lives;		/* it is bound, and no deny matches it */
	struct name_keys keys;
	struct calling	 calling;
};

/* ---- one name ------------------------------------------------------------------ */

static bool
names_it(const void *arg, uint32_t item)
{
	const struct ask	*a = arg;
	const struct blob_match	*m = &a->rule[item].match;

	return row_port(a, m) && match_by_keys(a->policy, m, a->keys);
}

static bool
allows_it(const void *arg, uint32_t item)
{
	const struct ask	*a = arg;

	return row_ended(a, item) == a->ended && names_it(a, item);
}

static void
look_up(struct ask *a, const struct name *n, struct name_keys *k,
    struct calling *c)
{
	name_keys(a->policy, n, k);
	called_find(&a->index->named, k->key, k->n, c);
	c->proto = a->query->proto;
	c->port = a->query->dst.port;
	a->keys = k;
}

/* The first deny by name that matches it; most policies have none with the port. */
static uint32_t
denied_by(const struct ask *a, const struct calling *c)
{
	uint32_t	item = POLICY_NO_RULE;

	if (a->row->watch == POLICY_NO_RULE)
		return item;
	item = called_first(c, CLASS_WATCH, item, names_it, a);
	if (a->all)
		item = called_first(c, CLASS_WATCH_AUDITED, item, names_it, a);
	return item;
}

static bool
is_allowed(const struct ask *a, const struct calling *c)
{
	uint32_t	class;

	for (class = CLASS_NAMED; class < CLASSES; class++)
		if (a->index->count[class] > 0 && called_first(c, class,
		    POLICY_NO_RULE, names_it, a) != POLICY_NO_RULE)
			return true;
	return false;
}

static void
add_allows(struct ask *a, const struct calling *c, bool ended,
    uint32_t first[CLASSES])
{
	uint32_t	class;

	a->ended = ended;
	for (class = CLASS_NAMED; class < CLASSES; class++)
		if (a->index->count[class] > 0)
			first[class] = called_first(c, class, first[class],
			    allows_it, a);
	a->ended = false;
}

static void
add_name(struct ask *a, const struct name *n, struct found *f)
{
	struct name_keys	k;
	struct calling		c;
	uint32_t		by;

	look_up(a, n, &k, &c);
	if (c.sum == 0)
		return;
	if ((by = denied_by(a, &c)) != POLICY_NO_RULE) {
		if (by < f->barred && is_allowed(a, &c))
			f->barred = by;
		return;
	}
	add_allows(a, &c, false, f->allow);
	if (row_some_ended(a))
		add_allows(a, &c, true, f->ended);
}

/* ---- what is shown -------------------------------------------------------------- */

static bool
is_bound(const struct policy_query *q, const struct name *name)
{
	size_t	lo = 0, hi = q->nbound, mid;
	int	c;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if ((c = name_compare(q->bound[mid], name)) == 0)
			return true;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

static void
fill_shown(struct ask *a, struct shown_name *s)
{
	const struct policy_shown	*shown = a->query->shown;

	s->lives = false;
	if (shown == NULL || shown->what != SHOWN_NAME)
		return;
	look_up(a, &shown->name, &s->keys, &s->calling);
	a->row->shown_deny = denied_by(a, &s->calling);
	s->lives = a->row->shown_deny == POLICY_NO_RULE &&
	    is_bound(a->query, &shown->name);
}

/* What a flow with this port has to show for a rule of this class. */
static enum verify
wanted(const struct ask *a, uint32_t class)
{
	const struct blob_rule	r = { .verify = (class - CLASS_NAMED) %
				    (CLASS_ECH - CLASS_NAMED) };

	return a->query->proto != PROTO_TCP ? VERIFY_NONE :
	    match_verify(&r, a->query->dst.port);
}

/* The first rule of a class, which is not plain, that what is shown proves. */
static uint32_t
proved_by(struct ask *a, const struct shown_name *s, uint32_t class, bool ended)
{
	const struct policy_shown	*shown = a->query->shown;
	uint32_t			 item;

	if (!s->lives || shown->kind != (wanted(a, class) == VERIFY_SNI ?
	    PEEK_TLS : PEEK_HTTP) || (shown->ech && class < CLASS_ECH))
		return POLICY_NO_RULE;
	a->keys = &s->keys;
	a->ended = ended;
	item = called_first(&s->calling, class, POLICY_NO_RULE, allows_it, a);
	a->ended = false;
	return item;
}

/* ---- the row --------------------------------------------------------------------- */

static void
fill_watch(struct ask *a, uint32_t class)
{
	const struct called	*c = &a->index->named;

	if (a->index->count[class] > 0)
		a->row->watch = ports_first(&c->ports, a->query->proto,
		    a->query->dst.port, class, a->row->watch, item_any, NULL);
}

/* What has ended is looked at if others are, too: then it counts if it is proved. */
static void
fill_ended(struct ask *a, const struct found *f, const struct shown_name *s,
    uint32_t class)
{
	bool	proof = wanted(a, class) != VERIFY_NONE &&
		    a->query->shown != NULL;

	row_earliest(&a->row->expired, proof ? proved_by(a, s, class, true) :
	    f->ended[class]);
}

static void
fill_allows(struct ask *a, const struct found *f, const struct shown_name *s,
    uint32_t class)
{
	struct row	*r = a->row;
	enum verify	 verify = wanted(a, class);

	if (verify == VERIFY_NONE) {
		row_earliest(&r->plain, f->allow[class]);
		return;
	}
	row_earliest(&r->proving, f->allow[class]);
	*(verify == VERIFY_SNI ? &r->proving_sni : &r->proving_host) = true;
	r->ech_stops |= verify == VERIFY_SNI && class < CLASS_ECH;
	row_earliest(&r->proved, proved_by(a, s, class, false));
}

/* A name is barred if no other lives. */
static void
fill_found(struct ask *a, const struct found *f, const struct shown_name *s)
{
	uint32_t	class;
	bool		lives = false;

	for (class = CLASS_NAMED; class < CLASSES; class++) {
		if (f->allow[class] != POLICY_NO_RULE)
			fill_allows(a, f, s, class);
		if (f->ended[class] != POLICY_NO_RULE)
			fill_ended(a, f, s, class);
		lives |= f->allow[class] != POLICY_NO_RULE ||
		    f->ended[class] != POLICY_NO_RULE;
	}
	if (!lives)
		a->row->barred = f->barred;
}

/* The denies first: they say which names live. */
void
row_names(struct ask *a)
{
	struct shown_name	s;
	struct found	f = { .barred = POLICY_NO_RULE };
	uint32_t	class;
	size_t		k;

	fill_watch(a, CLASS_WATCH);
	if (a->all)
		fill_watch(a, CLASS_WATCH_AUDITED);
	fill_shown(a, &s);
	for (class = 0; class < CLASSES; class++)
		f.allow[class] = f.ended[class] = POLICY_NO_RULE;
	for (k = 0; k < a->query->nbound; k++)
		add_name(a, a->query->bound[k], &f);
	fill_found(a, &f, &s);
}
