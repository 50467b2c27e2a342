/*
 * From the flows of a run to what a policy must allow: each is put down to the name
 * that it showed; where none was shown, to each name that it may have been for.
 *
 * Trusts: learn.c, which has checked each name and address.
 * Must not: allow a name because another one has its address, if the flow has shown
 * which it was for.
 */
#include <stdlib.h>
#include <string.h>

#include "learn.h"

#define PORT_HTTPS	443
#define PORT_HTTP	80
#define FLOWS_MAX	(1u << 24)	/* of one run; beyond that none is known to move */

/* ---- flows ---------------------------------------------------------------------- */

static size_t
add(struct learned *l, const struct observed *o)
{
	const unsigned char	*item = list_add(&l->seen, o);

	return (size_t)(item - l->seen.item) / l->seen.size;
}

static void
make_room(struct learned *l, uint64_t flow)
{
	size_t	room = l->nof == 0 ? 1024 : l->nof;

	while (room <= flow)
		room *= 2;
	if (room == l->nof)
		return;
	l->of = reallocarray(l->of, room, sizeof(*l->of));
	if (l->of == NULL)
		fatalx("--learn: no memory");
	memset(l->of + l->nof, 0, (room - l->nof) * sizeof(*l->of));
	l->nof = room;
}

void
observed_open(struct learned *l, uint64_t flow, const struct observed *o)
{
	size_t	i = add(l, o);

	l->flows++;
	if (flow >= FLOWS_MAX)
		return;
	make_room(l, flow);
	l->of[flow] = (uint32_t)i + 1;
}

/* Its close: bytes went either way. */
void
observed_moved(struct learned *l, uint64_t flow)
{
	struct observed	o;

	if (flow >= l->nof || l->of[flow] == 0)
		return;
	memcpy(&o, l->seen.item + (l->of[flow] - 1) * l->seen.size, sizeof(o));
	o.moved = 1;
	(void)add(l, &o);
}

/* ---- their names ------------------------------------------------------------------ */

/* The next of a flow's names; false at their end. `at` begins with 0. */
static bool
next_name(const struct learned *l, const struct observed *o, size_t *at,
    char out[NAME_SIZE])
{
	const struct bound	*b = (const struct bound *)(void *)l->bounds.item;
	const char		*p = o->names;
	size_t			 n;

	memset(out, 0, NAME_SIZE);
	if (o->name[0] != '\0' && *at == 0) {
		memcpy(out, o->name, NAME_SIZE);
		*at = 1;
		return true;
	}
	if (o->name[0] != '\0')
		return false;
	if (o->too_many == 0) {
		p += *at;
		n = strcspn(p, ",");
		memcpy(out, p, n);
		*at += n + (p[n] == ',');
		return n > 0;
	}
	for (; *at < l->bounds.n; (*at)++)
		if (strcmp(b[*at].addr, o->addr) == 0) {
			memcpy(out, b[(*at)++].name, NAME_SIZE);
			return true;
		}
	return false;
}

/* ---- what they need ----------------------------------------------------------------- */

static void
add_want(struct learned *l, const struct observed *o, enum target kind,
    const char *to, uint32_t verify)
{
	struct want	w;

	memset(&w, 0, sizeof(w));
	w.kind = kind;
	w.proto = o->proto;
	w.port = o->port;
	w.verify = verify;
	w.ech = o->ech;
	memcpy(w.to, to, strnlen(to, sizeof(w.to) - 1));
	list_add(&l->wants, &w);
}

static bool
wanted(const struct learned *l, const struct observed *o, const char *to)
{
	const struct want	*w = (const struct want *)(void *)l->wants.item;
	size_t			 i;

	for (i = 0; i < l->wants.n; i++)
		if (w[i].proto == o->proto && w[i].port == o->port &&
		    strcmp(w[i].to, to) == 0)
			return true;
	return false;
}

/* What would have sufficed for it is there: it was only a connection. */
static bool
covered(const struct learned *l, const struct observed *o)
{
	char	name[NAME_SIZE];
	size_t	at = 0;

	while (next_name(l, o, &at, name))
		if (wanted(l, o, name))
			return true;
	return false;
}

/* A guess, for what was not seen to be used; the user may know better. */
static uint32_t
by_port(uint32_t port)
{
	return port == PORT_HTTPS ? BY_SNI : port == PORT_HTTP ? BY_HOST :
	    BY_NOTHING;
}

/* A connection has shown the name; on `port', unless that is 0. */
static bool
was_shown(const struct learned *l, const char *name, uint32_t port)
{
	const struct want	*w = (const struct want *)(void *)l->wants.item;
	size_t			 i;

	for (i = 0; i < l->wants.n; i++)
		if (w[i].verify != BY_NOTHING && strcmp(w[i].to, name) == 0 &&
		    (port == 0 || w[i].port == port))
			return true;
	return false;
}

/* Others on its port have shown one of its names, as each protocol there can. */
static bool
others_show(const struct learned *l, const struct observed *o)
{
	char	name[NAME_SIZE];
	size_t	at = 0;

	while (o->proto == PROTO_TCP && next_name(l, o, &at, name))
		if (was_shown(l, name, o->port))
			return true;
	return false;
}

/*
 * Where others show a name, what shows none was most likely meant for the address,
 * as of `https://192.0.2.1/'; and if it was not, the names are verified all the same.
 * Each of its names would let through all that their other addresses serve, too. But
 * one that no connection showed may have been looked up for it, and has to resolve.
 */
static void
unshown(struct learned *l, const struct observed *o)
{
	bool	by_addr = others_show(l, o);
	char	name[NAME_SIZE];
	size_t	at = 0, n = 0;

	/* no name allows an echo */
	while (o->proto != PROTO_ECHO && next_name(l, o, &at, name)) {
		if (by_addr && was_shown(l, name, 0))
			continue;
		add_want(l, o, TARGET_NAME, name, o->proto == PROTO_TCP &&
		    !o->moved ? by_port(o->port) : BY_NOTHING);
		n++;
	}
	if (n == 0 || by_addr)
		add_want(l, o, TARGET_NET, o->addr, BY_NOTHING);
	if (n > 0)
		list_add(&l->unclear, o);
}

/* What is certain comes first, and what only was there last. */
static int
rank(const struct observed *o)
{
	if (o->verify != BY_NOTHING)
		return 0;
	return o->moved || o->proto != PROTO_TCP ? 1 : 2;
}

/*
 * Two ways to verify one name's port: only what asks for nothing lets both through,
 * as the first rule that matches is the one that decides.
 */
static void
merge(struct want *a, const struct want *b)
{
	a->ech |= b->ech;
	if (a->verify != b->verify)
		a->verify = BY_NOTHING;
}

static void
fold(struct learned *l)
{
	struct want	*w = (struct want *)(void *)l->wants.item;
	size_t		 i, j;

	for (i = 0; i < l->wants.n; i++)
		for (j = i + 1; j < l->wants.n; )
			if (w[i].kind == w[j].kind && w[i].proto == w[j].proto &&
			    w[i].port == w[j].port &&
			    strcmp(w[i].to, w[j].to) == 0) {
				merge(&w[i], &w[j]);
				w[j] = w[--l->wants.n];
			} else
				j++;
}

void
observed_conclude(struct learned *l)
{
	const struct observed	*o = (const struct observed *)(void *)l->seen.item;
	size_t			 i;
	int			 r;

	for (r = 0; r <= 2; r++)
		for (i = 0; i < l->seen.n; i++) {
			if (rank(&o[i]) != r)
				continue;
			if (r == 0)
				add_want(l, &o[i], TARGET_NAME, o[i].name,
				    o[i].verify);
			else if (r == 1 || !covered(l, &o[i]))
				unshown(l, &o[i]);
		}
	fold(l);
}
