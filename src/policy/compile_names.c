/*
 * Names in the blob (law.h): the dictionary of all that are used, and sets of keys.
 * A set is kept once, whether it has a name in the policy, stands in a macro, or is
 * written out in a thousand rules.
 *
 * Trusts: a settled model: no list has doubles.
 * Must not: let the order of the text into the blob: one law has one hash.
 */
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "log.h"

struct seen_set {
	uint32_t	hash, n, set;	/* set BLOB_NONE: free */
};

/* ---- the dictionary ----------------------------------------------------------------- */

struct used {
	uint32_t	hash, kinds;
	struct model_name *name;
};

static int
compare_used(const void *a, const void *b)
{
	const struct used	*x = a, *y = b;
	int			 c;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	c = memcmp(x->name->text, y->name->text, x->name->len < y->name->len ?
	    x->name->len : y->name->len);
	return c != 0 ? c : (x->name->len > y->name->len) -
	    (x->name->len < y->name->len);
}

/* A name gets the number of its place here first, and that in the blob later. */
static void
use_patterns(struct bytes *used, const struct patterns *s)
{
	size_t	i;

	for (i = 0; i < s->list.n; i++) {
		struct model_name	*n = s->list.v[i].base;
		struct used		 u = { n->hash, 0, n };

		if (n->id == BLOB_NONE) {
			n->id = (uint32_t)(used->n / sizeof(u));
			compile_put(used, &u, sizeof(u));
		}
		((struct used *)(void *)used->v)[n->id].kinds |=
		    1u << s->list.v[i].wild;
	}
}

static void
forget(const struct patterns *s)
{
	size_t	i;

	for (i = 0; i < s->list.n; i++)
		s->list.v[i].base->id = BLOB_NONE;
}

/* Every list of names that is in force. */
static void
walk(const struct model *m, struct bytes *used)
{
	size_t	i, k;

	for (i = 0; i < m->nameset.n; i++)
		if (m->nameset.v[i].used) {
			if (used == NULL)
				forget(&m->nameset.v[i].patterns);
			else
				use_patterns(used, &m->nameset.v[i].patterns);
		}
	for (i = 0; i < m->tenant.n; i++)
		for (k = 0; k < m->tenant.v[i].rule.n; k++) {
			const struct dest *d = &m->tenant.v[i].rule.v[k].dest;

			if (used == NULL) {
				forget(&d->names);
				forget(&d->xnames);
			} else {
				use_patterns(used, &d->names);
				use_patterns(used, &d->xnames);
			}
		}
}

static void
put_entry(struct out *o, const struct used *u)
{
	struct blob_entry	e = { u->hash,
				    (uint32_t)o->nametext.n << 4 | u->kinds };
	uint8_t			len = (uint8_t)u->name->len;

	u->name->id = o->head.names++;
	compile_put(&o->names, &e, sizeof(e));
	compile_put(&o->nametext, &len, 1);
	compile_put(&o->nametext, u->name->text, len);
}

static void *
array(size_t n, size_t size)
{
	void	*v = calloc(n + 1, size);

	if (v == NULL)
		fatalx("out of memory for the compiled policy");
	memset(v, 0xff, n * size);
	return v;
}

void
compile_dictionary(struct out *o)
{
	struct bytes	 used = { NULL, 0, 0 };
	struct used	*u;
	size_t		 i, n;

	walk(o->m, NULL);
	walk(o->m, &used);
	u = (void *)used.v;
	n = used.n / sizeof(*u);
	if (n > 1)
		qsort(u, n, sizeof(*u), compare_used);
	for (i = 0; i < n; i++)
		put_entry(o, &u[i]);
	free(u);
	o->nameset_set = array(o->m->nameset.n, sizeof(*o->nameset_set));
}

/* ---- sets ---------------------------------------------------------------------------- */

static int
compare_keys(const void *a, const void *b)
{
	uint32_t	x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

static uint32_t *
keys_of(const struct patterns *s)
{
	uint32_t	*key = array(s->list.n, sizeof(*key));
	size_t		 i;

	for (i = 0; i < s->list.n; i++)
		key[i] = s->list.v[i].base->id << 2 | s->list.v[i].wild;
	if (s->list.n > 1)
		qsort(key, s->list.n, sizeof(*key), compare_keys);
	return key;
}

static bool
is_same(const struct out *o, uint32_t set, const uint32_t *key, uint32_t n)
{
	struct blob_nset	s;

	memcpy(&s, o->nsets.v + set * sizeof(s), sizeof(s));
	return s.n == n && memcmp(o->keys.v + s.first * sizeof(*key), key,
	    n * sizeof(*key)) == 0;
}

static void
place(struct seen_set *v, size_t cap, const struct seen_set *s)
{
	size_t	i = s->hash & (cap - 1);

	while (v[i].set != BLOB_NONE)
		i = (i + 1) & (cap - 1);
	v[i] = *s;
}

/* Twice as many places as sets, at least. */
static void
make_room(struct out *o)
{
	size_t		 cap = o->nseen == 0 ? 64 : o->nseen * 2, i;
	struct seen_set	*v;

	if (2 * ((size_t)o->head.nsets + 1) <= o->nseen)
		return;
	v = array(cap, sizeof(*v));
	for (i = 0; i < o->nseen; i++)
		if (o->seen[i].set != BLOB_NONE)
			place(v, cap, &o->seen[i]);
	free(o->seen);
	o->seen = v;
	o->nseen = cap;
}

static uint32_t
put_keys(struct out *o, const uint32_t *key, uint32_t n)
{
	struct blob_nset	s = { o->head.keys, n };
	struct seen_set		new = { name_hash((const char *)key,
				    n * sizeof(*key)), n, o->head.nsets };
	size_t			i;

	make_room(o);
	for (i = new.hash & (o->nseen - 1); o->seen[i].set != BLOB_NONE;
	    i = (i + 1) & (o->nseen - 1))
		if (o->seen[i].hash == new.hash && o->seen[i].n == n &&
		    is_same(o, o->seen[i].set, key, n))
			return o->seen[i].set;
	place(o->seen, o->nseen, &new);
	compile_put(&o->keys, key, n * sizeof(*key));
	compile_put(&o->nsets, &s, sizeof(s));
	o->head.keys += n;
	return o->head.nsets++;
}

static uint32_t
put_patterns(struct out *o, const struct patterns *s)
{
	uint32_t	*key = keys_of(s);
	uint32_t	 set = put_keys(o, key, (uint32_t)s->list.n);

	free(key);
	return set;
}

static void
put_nref(struct out *o, uint32_t set)
{
	compile_put(&o->nrefs, &set, sizeof(set));
	o->head.nrefs++;
}

void
compile_names(struct out *o, const struct patterns *s, uint32_t *first,
    uint32_t *n)
{
	uint32_t	*set;
	size_t		 i;

	*first = o->head.nrefs;
	if (s->list.n > 0)
		put_nref(o, put_patterns(o, s));
	for (i = 0; i < s->set.n; i++) {
		set = &o->nameset_set[s->set.v[i].index];
		if (*set == BLOB_NONE)
			*set = put_patterns(o,
			    &o->m->nameset.v[s->set.v[i].index].patterns);
		put_nref(o, *set);
	}
	*n = o->head.nrefs - *first;
}

void
compile_names_end(struct out *o)
{
	free(o->nameset_set);
	free(o->seen);
}
