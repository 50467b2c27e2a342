/*
 * Names as numbers. What a policy says of a name is found by its dictionary, once
 * for each name above it; after that sets are asked for keys (law.h) and no text is
 * compared any more, however many rules and sets there are.
 *
 * Trusts: a policy that policy_load() accepted: the dictionary is sorted, and each
 * set.
 * Must not: look for more names than there are labels, or for those above a name
 * further than a wildcard of the policy reaches: how many labels there are is for a
 * guest to choose.
 */
#include <string.h>

#include "law.h"

#define STEP	UINT64_C(0x100000001b3)
#define SPREAD	UINT64_C(0x9e3779b97f4a7c15)

/* From the end, so that the names above a name come out on the way. */
static uint64_t
hash_add(uint64_t h, char c)
{
	return (h ^ (uint8_t)c) * STEP;
}

static uint32_t
hash_end(uint64_t h)
{
	return (uint32_t)((h ^ h >> 32) * SPREAD >> 32);
}

uint32_t
name_hash(const char *text, size_t len)
{
	uint64_t	h = 0;

	while (len > 0)
		h = hash_add(h, text[--len]);
	return hash_end(h);
}

/* ---- the dictionary ----------------------------------------------------------- */

static int
compare(const struct policy *p, const struct blob_entry *e, uint32_t hash,
    const char *text, size_t len)
{
	const uint8_t	*at = p->nametext + (e->text_kinds >> 4);
	int		 c;

	if (e->hash != hash)
		return e->hash < hash ? -1 : 1;
	if ((c = memcmp(at + 1, text, *at < len ? *at : len)) != 0)
		return c;
	return (*at > len) - (*at < len);
}

/* Its index, or BLOB_NONE. A bucket has few; whoever forges many gains a search. */
static uint32_t
find(const struct policy *p, uint32_t hash, const char *text, size_t len)
{
	uint32_t	lo, hi, mid;
	int		c;

	lo = p->bucket[hash >> p->shift];
	hi = p->bucket[(hash >> p->shift) + 1];
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if ((c = compare(p, &p->name[mid], hash, text, len)) == 0)
			return mid;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return BLOB_NONE;
}

static void
add(const struct policy *p, struct name_keys *out, uint32_t id,
    enum name_wild wild)
{
	if ((p->name[id].text_kinds & 1u << wild) != 0)
		out->key[out->n++] = id << 2 | wild;
}

/* The keys of the name itself, in front of the others. */
static void
add_itself(const struct policy *p, struct name_keys *out, uint32_t id)
{
	struct name_keys	own = { .n = 0 };

	add(p, &own, id, NAME_EXACT);
	add(p, &own, id, NAME_TREE);
	memmove(out->key + own.n, out->key, out->n * sizeof(out->key[0]));
	memcpy(out->key, own.key, own.n * sizeof(out->key[0]));
	out->n += own.n;
	out->exact = own.n;
}

/* Those of a name above it; `parent': by one label. */
static void
add_above(const struct policy *p, struct name_keys *out, uint32_t id,
    bool parent)
{
	if (parent)
		add(p, out, id, NAME_ONE);
	add(p, out, id, NAME_MANY);
	add(p, out, id, NAME_TREE);
}

void
name_keys(const struct policy *p, const struct name *n, struct name_keys *out)
{
	const char	*text = n->text, *dot = memchr(text, '.', n->len);
	size_t		 i, parent = dot == NULL ? 0 : (size_t)(dot + 1 - text);
	uint64_t	 h = 0;
	uint32_t	 depth = 0, id;

	out->n = out->exact = 0;
	if (p->head->names == 0)
		return;
	for (i = n->len; i-- > 0;) {
		h = hash_add(h, text[i]);
		if (i > 0 && text[i - 1] != '.')
			continue;
		if (++depth > p->deepest && i > parent)
			continue;
		id = find(p, hash_end(h), text + i, n->len - i);
		if (id == BLOB_NONE)
			continue;
		if (i == 0)
			add_itself(p, out, id);
		else
			add_above(p, out, id, i == parent);
	}
}

/* ---- sets ----------------------------------------------------------------------- */

static bool
has_key(const uint32_t *v, uint32_t n, uint32_t key)
{
	uint32_t	half;

	if (n == 0)
		return false;
	for (; n > 1; n -= half) {
		half = n / 2;
		v += v[half] <= key ? half : 0;
	}
	return *v == key;
}

bool
match_keys(const struct policy *p, uint32_t first, uint32_t n,
    const struct name_keys *k)
{
	uint32_t	i, j;

	for (i = first; k->n > 0 && i < first + n; i++) {
		const struct blob_nset *s = &p->nset[p->nref[i]];

		for (j = 0; j < k->n; j++)
			if (has_key(p->key + s->first, s->n, k->key[j]))
				return true;
	}
	return false;
}
