/*
 * Which entry of a rule, of its macros, tables and sets makes it match: for people,
 * who want to know the line to look at.
 *
 * Trusts: a settled model.
 * Must not: decide anything: the evaluator asks the compiled policy.
 */
#include <string.h>

#include "model.h"

const struct net *
model_find_net(const struct nets *s, const struct endpoint *e)
{
	size_t	lo = 0, hi = s->net.n, mid;
	struct prefix key = { .family = e->family, .len = UINT8_MAX };

	memcpy(key.addr, e->addr, sizeof(key.addr));
	while (lo < hi) {		/* prefix_search() */
		mid = lo + (hi - lo) / 2;
		if (prefix_compare(&s->net.v[mid].prefix, &key) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo > 0 && prefix_contains(&s->net.v[lo - 1].prefix, e) ?
	    &s->net.v[lo - 1] : NULL;
}

bool
model_which_net(const struct model *m, const struct nets *s,
    const struct endpoint *e, struct entry *out)
{
	const struct net	*n = model_find_net(s, e);
	const char		*set = NULL;
	size_t			 i;

	for (i = 0; n == NULL && i < s->table.n; i++) {
		set = s->table.v[i].text;
		n = model_find_net(&m->table.v[s->table.v[i].index].nets, e);
	}
	if (n == NULL)
		return false;
	*out = (struct entry){ n, NULL, set };
	return true;
}

/* ---- names ------------------------------------------------------------------------ */

/* The entries are sorted by kind and text. */
static const struct pattern *
find_one(const struct patterns *s, uint32_t wild, struct model_name *base)
{
	struct pattern	key = { .base = base, .wild = wild };
	size_t		lo = 0, hi = s->list.n, mid;
	int		c;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if ((c = pattern_compare(&s->list.v[mid], &key)) == 0)
			return &s->list.v[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* By the name itself, or by one above it. */
static const struct pattern *
find_kind(const struct model *m, const struct patterns *s, enum name_wild wild,
    const struct name *n)
{
	const char		*text = n->text, *end = text + n->len, *dot;
	const struct pattern	*found;
	struct model_name	*base;
	size_t			 up;

	for (up = 0;; up++, text = dot + 1) {
		base = model_name_find(m, text, (size_t)(end - text));
		if (base != NULL && (wild == NAME_TREE ||
		    (wild == NAME_EXACT ? up == 0 : wild == NAME_ONE ?
		    up == 1 : up > 0)) &&
		    (found = find_one(s, wild, base)) != NULL)
			return found;
		dot = memchr(text, '.', (size_t)(end - text));
		if (dot == NULL || (wild == NAME_EXACT) ||
		    (wild == NAME_ONE && up == 1))
			return NULL;
	}
}

const struct pattern *
model_find_pattern(const struct model *m, const struct patterns *s,
    const struct name *n)
{
	const struct pattern	*found;
	unsigned int		 wild;

	for (wild = NAME_EXACT; s->list.n > 0 && wild <= NAME_TREE; wild++)
		if ((found = find_kind(m, s, (enum name_wild)wild, n)) != NULL)
			return found;
	return NULL;
}

bool
model_which_name(const struct model *m, const struct patterns *s,
    const struct name *n, struct entry *out)
{
	const struct pattern	*found = model_find_pattern(m, s, n);
	const char		*set = NULL;
	size_t			 i;

	for (i = 0; found == NULL && i < s->set.n; i++) {
		set = s->set.v[i].text;
		found = model_find_pattern(m,
		    &m->nameset.v[s->set.v[i].index].patterns, n);
	}
	if (found == NULL)
		return false;
	*out = (struct entry){ NULL, found, set };
	return true;
}

bool
model_has_name(const struct model *m, const struct patterns *s,
    const struct name *n)
{
	struct entry	e;

	return model_which_name(m, s, n, &e);
}

/* ---- what covers what ---------------------------------------------------------------- */

/* All that a wildcard over a name below `base' stands for. */
static bool
list_covers(const struct model *m, const struct patterns *s,
    const struct pattern *n)
{
	const char		*text = n->base->text, *end = text + n->base->len;
	struct model_name	*base = n->base;

	if (find_one(s, n->wild, base) != NULL ||
	    find_one(s, NAME_TREE, base) != NULL ||
	    (n->wild == NAME_ONE && find_one(s, NAME_MANY, base) != NULL))
		return true;
	while ((text = memchr(text, '.', (size_t)(end - text))) != NULL) {
		text++;
		base = model_name_find(m, text, (size_t)(end - text));
		if (base != NULL && (find_one(s, NAME_MANY, base) != NULL ||
		    find_one(s, NAME_TREE, base) != NULL))
			return true;
	}
	return false;
}

static bool
covers(const struct model *m, const struct patterns *s, const struct pattern *n)
{
	struct blob_name	b;

	if (s->list.n == 0)
		return false;
	if (n->wild != NAME_EXACT)
		return list_covers(m, s, n);
	pattern_spell(n, &b);
	return model_find_pattern(m, s, &b.base) != NULL;
}

bool
model_covers(const struct model *m, const struct patterns *s,
    const struct pattern *n)
{
	size_t	i;

	if (covers(m, s, n))
		return true;
	for (i = 0; i < s->set.n; i++)
		if (covers(m, &m->nameset.v[s->set.v[i].index].patterns, n))
			return true;
	return false;
}

bool
model_mentions(const struct model *m, const struct name *n)
{
	const char	*text = n->text, *end = text + n->len;

	while (model_name_find(m, text, (size_t)(end - text)) == NULL) {
		text = memchr(text, '.', (size_t)(end - text));
		if (text == NULL)
			return false;
		text++;
	}
	return true;
}
