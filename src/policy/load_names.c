/*
 * The names of a compiled policy: dictionary, keys, sets. What is found by a hash
 * must be where its hash says, once, and what a set has must be there, or a deny
 * would pass over a name that it was written for.
 *
 * Trusts: nothing in the blob but that its sections lie inside.
 * Must not: repair.
 */
#include <stdlib.h>
#include <string.h>

#include "load.h"

#define BAD_NAMES	"names are out of order"

/* ---- the dictionary ------------------------------------------------------------ */

/* The text of an entry, which stands right behind the one before it. */
static const uint8_t *
text_of(const struct policy *p, const struct blob_entry *e, uint32_t at)
{
	const uint8_t	*s = p->nametext + at;
	struct name	 n;

	if (e->text_kinds >> 4 != at || at >= p->head->nametext ||
	    *s >= p->head->nametext - at ||
	    name_from_text((const char *)s + 1, *s, &n) == -1 ||
	    n.len != *s || memcmp(n.text, s + 1, *s) != 0 ||
	    name_hash(n.text, n.len) != e->hash)
		return NULL;
	return s;
}

static bool
is_before(const uint8_t *a, const uint8_t *b)
{
	int	c = memcmp(a + 1, b + 1, *a < *b ? *a : *b);

	return c != 0 ? c < 0 : *a < *b;
}

static int
check_dictionary(const struct policy *p, const struct check *c)
{
	const uint8_t	*last = NULL, *s;
	uint32_t	 i, at = 0;

	for (i = 0; i < p->head->names; i++, last = s) {
		if ((s = text_of(p, &p->name[i], at)) == NULL)
			return load_bad(c, "a name is none");
		if (last != NULL && (p->name[i - 1].hash > p->name[i].hash ||
		    (p->name[i - 1].hash == p->name[i].hash &&
		    !is_before(last, s))))
			return load_bad(c, BAD_NAMES);
		at += 1u + *s;
	}
	if (at != p->head->nametext)
		return load_bad(c, "there is text that is no name's");
	return 0;
}

/* So that a look at the dictionary begins where its answer is. */
static int
make_buckets(struct policy *p, const struct check *c)
{
	unsigned int	bits = 1;
	uint32_t	i, b = 0, n;

	while (UINT32_C(1) << bits < p->head->names)
		bits++;
	n = UINT32_C(1) << bits;
	p->shift = 32 - bits;
	p->bucket = malloc((n + 1) * sizeof(*p->bucket));
	if (p->bucket == NULL)
		return load_bad(c, "out of memory");
	for (i = 0; i < p->head->names; i++)
		for (; b <= p->name[i].hash >> p->shift; b++)
			p->bucket[b] = i;
	for (; b <= n; b++)
		p->bucket[b] = p->head->names;
	return 0;
}

/* ---- keys and sets -------------------------------------------------------------- */

static uint32_t
labels_of(const struct policy *p, uint32_t id)
{
	const uint8_t	*s = p->nametext + (p->name[id].text_kinds >> 4);
	uint32_t	 i, labels = 1;

	for (i = 1; i <= *s; i++)
		labels += s[i] == '.';
	return labels;
}

/* All that an entry says of keys is so: whoever has none is found by nobody. */
static int
check_keys(struct policy *p, const struct check *c)
{
	uint8_t		*seen = calloc(1, (size_t)p->head->names + 1);
	uint32_t	 i, id, labels;
	bool		 good = true;

	if (seen == NULL)
		return load_bad(c, "out of memory");
	for (i = 0; good && i < p->head->keys; i++) {
		id = p->key[i] >> 2;
		if (!(good = id < p->head->names))
			break;
		seen[id] |= (uint8_t)(1u << (p->key[i] & 3));
		if ((p->key[i] & 3) >= NAME_MANY &&
		    (labels = labels_of(p, id)) > p->deepest)
			p->deepest = labels;
	}
	for (i = 0; good && i < p->head->names; i++)
		good = seen[i] != 0 && seen[i] == (p->name[i].text_kinds & 15);
	free(seen);
	return good ? 0 : load_bad(c, "a key is none");
}

static bool
is_sorted(const uint32_t *v, uint32_t n)
{
	uint32_t	i;

	for (i = 1; i < n; i++)
		if (v[i - 1] >= v[i])
			return false;
	return true;
}

static int
check_sets(const struct policy *p, const struct check *c)
{
	uint32_t	i, at = 0;

	for (i = 0; i < p->head->nsets; i++) {
		const struct blob_nset *s = &p->nset[i];

		if (s->first != at || !load_run(at, s->n, p->head->keys) ||
		    !is_sorted(p->key + s->first, s->n))
			return load_bad(c, BAD_NAMES);
		at += s->n;
	}
	if (at != p->head->keys)
		return load_bad(c, "a key is in no set");
	for (i = 0; i < p->head->nrefs; i++)
		if (p->nref[i] >= p->head->nsets)
			return load_bad(c, "a set of names is not there");
	return 0;
}

int
load_names(struct policy *p, const struct check *c)
{
	if (check_dictionary(p, c) == -1 || make_buckets(p, c) == -1 ||
	    check_keys(p, c) == -1)
		return -1;
	return check_sets(p, c);
}
