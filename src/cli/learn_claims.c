/*
 * From what flows had to do with names to what a policy must allow. A name that was
 * shown is verified as it was shown; one that was only asked for is allowed as far as
 * nothing else accounts for the flow, and what is for the address is allowed by it.
 *
 * Trusts: learn_evidence.c.
 * Must not: verify a name less because a flow that showed none went to an address that
 * others have, too.
 */
#include <string.h>

#include "learn.h"

#define PORT_HTTPS	443
#define PORT_HTTP	80

static const struct claim *
claim_at(const struct learned *l, size_t i)
{
	return list_at(&l->claims, i);
}

static int
by_spot(const void *a, const void *b)
{
	const struct claim	*c = a, *d = b;

	if (c->spot != d->spot)
		return c->spot < d->spot ? -1 : 1;
	if (c->how != d->how)
		return c->how < d->how ? -1 : 1;
	return (c->name > d->name) - (c->name < d->name);
}

bool
claims_next(const struct learned *l, size_t *from, size_t *to)
{
	if ((*from = *to) >= l->claims.n)
		return false;
	while (*to < l->claims.n &&
	    claim_at(l, *to)->spot == claim_at(l, *from)->spot)
		++*to;
	return true;
}

struct group {			/* flows to one spot that showed no name */
	const struct spot *spot;
	size_t		 from, to;
	bool		 moved;		/* those on which bytes did, or the others */
	size_t		 names;
	bool		 shown;		/* another one shows a name of these, on this port */
	bool		 hello, doubt, bare;
};

/* ---- wants -------------------------------------------------------------------------- */

static struct want
want_of(const struct learned *l, const struct spot *s, enum target kind,
    uint32_t name)
{
	const struct word	*w = kind == TARGET_NAME ? list_at(&l->names, name) :
				    list_at(&l->addrs, s->addr);
	struct want		 want;

	memset(&want, 0, sizeof(want));
	want.kind = kind;
	want.proto = s->proto;
	want.port = s->port;
	memcpy(want.to, w->text, sizeof(want.to));
	memcpy(want.addr, list_at(&l->addrs, s->addr), sizeof(want.addr));
	return want;
}

static bool
wanted(const struct learned *l, const struct spot *s, enum target kind, uint32_t name)
{
	struct want	w = want_of(l, s, kind, name);

	for (w.verify = BY_SNI; w.verify < BY_MAX; w.verify++)
		if (list_find(&l->wants, &w) != LIST_NONE)
			return true;
	return false;
}

/* Two ways to show one name on a port are two rules: either lets a flow through. */
static void
add_want(struct learned *l, const struct group *g, enum target kind, uint32_t name,
    uint32_t verify)
{
	struct want	w = want_of(l, g->spot, kind, name);

	w.verify = verify;
	(void)list_put(&l->wants, &w);
}

/* For what was not seen to be used; the user may know better. */
static uint32_t
by_port(uint32_t port)
{
	return port == PORT_HTTPS ? BY_SNI : port == PORT_HTTP ? BY_HOST :
	    BY_NOTHING;
}

/* A connection has shown the name; on `port', unless that is 0. */
static bool
was_shown(const struct learned *l, uint32_t name, uint32_t port)
{
	uint32_t	key[2] = { name, port };

	return list_find(&l->shown, key) != LIST_NONE;
}

/* ---- a spot's claims ------------------------------------------------------------------ */

static bool
is_unshown(const struct claim *c)
{
	return c->how == HOW_ASKED || c->how == HOW_DOUBT || c->how == HOW_BARE;
}

/* TCP on which nothing was said may be covered by others; a datagram is what it is. */
static bool
belongs(const struct group *g, const struct claim *c)
{
	return is_unshown(c) && g->moved == ((c->saw & SAW_MOVED) != 0 ||
	    g->spot->proto != PROTO_TCP);
}

static void
look_at(const struct learned *l, struct group *g)
{
	const struct claim	*c;
	size_t			 i;

	for (i = g->from; i < g->to; i++) {
		c = claim_at(l, i);
		if (!belongs(g, c))
			continue;
		g->doubt |= c->how == HOW_DOUBT;
		g->bare |= c->how == HOW_BARE;
		if (c->how == HOW_BARE)
			continue;
		g->names++;
		g->hello |= (c->saw & SAW_HELLO) != 0;
		g->shown |= g->spot->proto == PROTO_TCP &&
		    was_shown(l, c->name, g->spot->port);
	}
}

/* A ClientHello without a name, after several were asked for: none of them said so. */
static bool
by_address(const struct group *g)
{
	return g->names == 0 || g->shown || g->doubt || g->bare ||
	    (g->hello && g->names > 1);
}

/*
 * Where others show a name, what shows none was most likely meant for the address, as of
 * `https://192.0.2.1/'; and if it was not, the names are verified all the same. But one
 * that no connection showed was looked up for it, and has to resolve.
 */
static void
allow_name(struct learned *l, const struct group *g, const struct claim *c)
{
	bool	guess = !g->moved || c->how == HOW_DOUBT || (g->hello && g->names > 1);

	if (g->shown && was_shown(l, c->name, 0))
		return;
	if (guess && wanted(l, g->spot, TARGET_NAME, c->name))
		return;
	add_want(l, g, TARGET_NAME, c->name, guess && g->spot->proto == PROTO_TCP ?
	    by_port(g->spot->port) : BY_NOTHING);
}

/* What would have sufficed for them is there: they were only connections. */
static bool
covered(const struct learned *l, const struct group *g)
{
	const struct claim	*c;
	size_t			 i;

	for (i = g->from; i < g->to; i++) {
		c = claim_at(l, i);
		if (c->how == HOW_BARE ? wanted(l, g->spot, TARGET_NET, 0) :
		    c->how != HOW_NO_PIN && wanted(l, g->spot, TARGET_NAME, c->name))
			return true;
	}
	return false;
}

static void
conclude_group(struct learned *l, size_t from, size_t to, bool moved)
{
	const struct spot	*s = list_at(&l->spots, claim_at(l, from)->spot);
	struct group		 g = { .spot = s, .from = from, .to = to,
				    .moved = moved };
	size_t			 i;

	look_at(l, &g);
	if ((g.names == 0 && !g.bare) || (!moved && covered(l, &g)))
		return;
	for (i = from; i < to; i++)
		if (belongs(&g, claim_at(l, i)) && claim_at(l, i)->how != HOW_BARE)
			allow_name(l, &g, claim_at(l, i));
	if (by_address(&g))
		add_want(l, &g, TARGET_NET, 0, BY_NOTHING);
}

static void
conclude_shown(struct learned *l, const struct claim *c)
{
	struct want	w;
	size_t		i;

	if (c->how != HOW_SNI && c->how != HOW_HOST)
		return;
	w = want_of(l, list_at(&l->spots, c->spot), TARGET_NAME, c->name);
	w.verify = c->how == HOW_SNI ? BY_SNI : BY_HOST;
	i = list_put(&l->wants, &w);
	if ((c->saw & SAW_ECH) != 0)
		((struct want *)list_at(&l->wants, i))->ech = 1;
}

/* What is certain comes first, and what only was there last. */
void
claims_conclude(struct learned *l)
{
	size_t	i, from, to;
	int	moved;

	list_sort(&l->claims, by_spot);
	for (i = 0; i < l->claims.n; i++)
		conclude_shown(l, claim_at(l, i));
	for (moved = 1; moved >= 0; moved--)
		for (from = to = 0; claims_next(l, &from, &to); )
			conclude_group(l, from, to, moved);
}
