/*
 * What a tenant reaches of a network: the rules, the floor and this host cut it into
 * pieces, in each of which one address is as good as another. Each is asked about, and
 * those that are alike are told together.
 *
 * Trusts: reach_ports.c. Must not: decide anything itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "log.h"

#define PIECES_MAX	(1u << 20)
#define PIECES_SHOWN	4	/* of one kind, without --all */

struct piece {
	struct endpoint	first, last;
	uint64_t	alike;		/* a hash of its ranges; then its kind */
};
struct cuts { struct endpoint *v; size_t n, cap; };

/* ---- where it is cut ----------------------------------------------------------- */

static unsigned int
bytes_of(uint8_t family)
{
	return family == ADDR_V4 ? 4 : 16;
}

static struct endpoint
first_of(const struct prefix *p)
{
	struct endpoint	e = { .family = p->family };

	memcpy(e.addr, p->addr, sizeof(e.addr));
	return e;
}

static struct endpoint
last_of(const struct prefix *p)
{
	struct endpoint	e = first_of(p);
	unsigned int	i;

	for (i = p->len; i < 8 * bytes_of(p->family); i++)
		e.addr[i / 8] |= (uint8_t)(0x80 >> (i % 8));
	return e;
}

/* False: it was the last one there is. */
static bool
step(struct endpoint *e, bool up)
{
	unsigned int	i = bytes_of(e->family);

	while (i-- > 0) {
		e->addr[i] = (uint8_t)(up ? e->addr[i] + 1 : e->addr[i] - 1);
		if (e->addr[i] != (up ? 0 : 0xff))
			return true;
	}
	return false;
}

static void
cut_at(struct cuts *c, const struct prefix *net, const struct endpoint *e)
{
	if (!prefix_contains(net, e))
		return;
	if (c->n == c->cap) {
		c->cap = c->cap * 2 + 64;
		c->v = reallocarray(c->v, c->cap, sizeof(*c->v));
		if (c->v == NULL)
			fatalx("out of memory");
	}
	c->v[c->n++] = *e;
}

static void
cut_out(struct cuts *c, const struct prefix *net, const struct prefix *p)
{
	struct endpoint	e;

	if (p->family != net->family)
		return;
	e = first_of(p);
	cut_at(c, net, &e);
	e = last_of(p);
	if (step(&e, true))
		cut_at(c, net, &e);
}

/* A network of IPv4 in NAT64's form is one of IPv4. */
static void
cut_nets(struct cuts *c, const struct question *q, const struct prefix *net,
    const struct nets *s)
{
	struct prefix	p;
	size_t		i;

	for (i = 0; i < s->net.n; i++) {
		p = floor_unwrap(&s->net.v[i].prefix);
		cut_out(c, net, &p);
		cut_out(c, net, &s->net.v[i].prefix);
	}
	for (i = 0; i < s->table.n; i++)
		cut_nets(c, q, net, &q->r.m->table.v[s->table.v[i].index].nets);
}

static void
cut_host(struct cuts *c, const struct question *q, const struct prefix *net)
{
	const struct endpoint	*e[4] = { &q->query.gateway4,
				    &q->query.gateway6, NULL, NULL };
	struct prefix		 p;
	size_t			 i;

	for (i = 0; i < 2; i++)
		if (e[i]->family == net->family) {
			p = prefix_of(e[i], 8 * bytes_of(e[i]->family));
			cut_out(c, net, &p);
		}
	for (i = 0; i < q->nlocals; i++) {
		p = prefix_of(&q->local[i], 8 * bytes_of(q->local[i].family));
		cut_out(c, net, &p);
	}
	for (i = 0; i < floor_nentries; i++)
		cut_out(c, net, &floor_entries[i].prefix);
}

static int
compare(const void *a, const void *b)
{
	return addr_compare(a, b);
}

static void
find_cuts(struct cuts *c, const struct question *q, const struct prefix *net)
{
	const struct model	*m = q->r.m;
	int			 at = model_find_tenant(m, q->tenant);
	const struct tenant	*t = &m->tenant.v[at == -1 ? 0 : at];
	struct endpoint		 e = first_of(net);
	size_t			 i, n = 1;

	cut_at(c, net, &e);
	cut_host(c, q, net);
	for (i = 0; i < m->except.n; i++) {
		cut_nets(c, q, net, &m->except.v[i].dest.in);
		cut_nets(c, q, net, &m->except.v[i].dest.out);
	}
	for (i = 0; i < t->rule.n; i++) {
		cut_nets(c, q, net, &t->rule.v[i].dest.in);
		cut_nets(c, q, net, &t->rule.v[i].dest.out);
	}
	qsort(c->v, c->n, sizeof(*c->v), compare);
	for (i = 1; i < c->n; i++)
		if (!addr_equal(&c->v[i - 1], &c->v[i]))
			c->v[n++] = c->v[i];
	c->n = n;
}

/* ---- what becomes of each piece ------------------------------------------------ */

static void
ask(struct question *q, const struct endpoint *e, struct ranges *r)
{
	q->query.dst = *e;
	r->n = 0;
	reach_ports(q, PROTO_TCP, r);
	reach_ports(q, PROTO_UDP, r);
	reach_ports(q, PROTO_ECHO, r);
}

static bool
same(const struct ranges *a, const struct ranges *b)
{
	return a->n == b->n && memcmp(a->v, b->v, a->n * sizeof(*a->v)) == 0;
}

struct kinds { struct ranges *v; size_t n, cap; };

/* Which of the kinds known it is; a new one keeps its ranges. */
static size_t
kind_of(struct kinds *k, struct ranges *r)
{
	size_t	i;

	for (i = 0; i < k->n; i++)
		if (same(&k->v[i], r))
			return i;
	if (k->n == k->cap) {
		k->cap = k->cap * 2 + 16;
		k->v = reallocarray(k->v, k->cap, sizeof(*k->v));
		if (k->v == NULL)
			fatalx("out of memory");
	}
	k->v[k->n++] = *r;
	*r = (struct ranges){ NULL, 0, 0 };
	return i;
}

/* Neighbours that are alike become one. Returns how many there are. */
static size_t
find_pieces(struct question *q, const struct prefix *net,
    const struct cuts *c, struct piece *v, struct kinds *k)
{
	struct ranges	r = { NULL, 0, 0 };
	size_t		i, n = 0, kind;

	for (i = 0; i < c->n; i++) {
		ask(q, &c->v[i], &r);
		kind = kind_of(k, &r);
		if (n == 0 || v[n - 1].alike != kind) {
			v[n].first = c->v[i];
			v[n++].alike = kind;
		}
		if (i + 1 < c->n) {
			v[n - 1].last = c->v[i + 1];
			(void)step(&v[n - 1].last, false);
		} else
			v[n - 1].last = last_of(net);
	}
	free(r.v);
	return n;
}

/* ---- in words -------------------------------------------------------------------- */

static void
say_piece(struct text *t, const struct piece *p)
{
	char	a[ENDPOINT_STRLEN], b[ENDPOINT_STRLEN];

	if (addr_equal(&p->first, &p->last))
		text_add(t, "%s", addr_print(&p->first, a));
	else
		text_add(t, "%s-%s", addr_print(&p->first, a),
		    addr_print(&p->last, b));
}

static void
tell_kind(struct answer *a, struct question *q, struct json *j,
    const struct piece *v, size_t n, size_t kind, const struct ranges *r)
{
	struct text	t = { NULL, 0, 0 }, one;
	size_t		i, found = 0;

	json_open(j, NULL, '{');
	json_open(j, "addresses", '[');
	for (i = 0; i < n; i++) {
		if (v[i].alike != kind)
			continue;
		one = (struct text){ NULL, 0, 0 };
		say_piece(&one, &v[i]);
		json_string(j, NULL, one.buf);
		if (found++ < PIECES_SHOWN || q->all)
			text_add(&t, "%s%s", found > 1 ? " " : "", one.buf);
		free(one.buf);
	}
	json_close(j, ']');
	if (found > PIECES_SHOWN && !q->all)
		text_add(&t, " and %zu more", found - PIECES_SHOWN);
	answer_part(a);
	answer_add(a, "addresses", "%s", t.buf);
	free(t.buf);
	reach_say(a, q, r);
	reach_verdict(a, r);
	reach_json(q, j, r);
	json_close(j, '}');
}

static bool
some_open(const struct ranges *r)
{
	size_t	i;

	for (i = 0; i < r->n; i++)
		if (reach_open(&r->v[i].way))
			return true;
	return false;
}

static int
unfit(const struct question *q, const char *why)
{
	fprintf(stderr, "explain: %s %s\n", q->about, why);
	return -1;
}

int
reach_net(struct answer *a, struct question *q, const struct prefix *of,
    struct json *j)
{
	const struct prefix	 net = floor_unwrap(of);
	struct endpoint		 e = first_of(&net);
	struct forms		 forms;
	struct cuts		 c = { NULL, 0, 0 };
	struct kinds		 k = { NULL, 0, 0 };
	struct piece		*v;
	size_t			 i, n, pass;

	floor_forms(&e, &forms);
	if (forms.n > 1)
		return unfit(q, "holds IPv4 addresses in a translator's form: ask "
		    "about those");
	find_cuts(&c, q, &net);
	v = calloc(c.n, sizeof(*v));
	if (c.n > PIECES_MAX || v == NULL) {
		free(c.v);
		free(v);
		return unfit(q, "is cut into too many pieces: ask about a part");
	}
	n = find_pieces(q, &net, &c, v, &k);
	for (pass = 0; pass < 2; pass++)
		for (i = 0; i < k.n; i++)
			if (some_open(&k.v[i]) == (pass == 0))
				tell_kind(a, q, j, v, n, i, &k.v[i]);
	for (i = 0; i < k.n; i++)
		free(k.v[i].v);
	free(k.v);
	free(v);
	free(c.v);
	return 0;
}
