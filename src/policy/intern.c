/*
 * Tables of strings: what has this name already, and the host names of a policy,
 * each kept once however often it is written.
 *
 * Trusts: that nobody writes a policy so that its names collide, which would make
 * its own reading slow.
 * Must not: be searched from end to end: a policy may have a million names.
 */
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "model.h"

struct slot {
	const void	*key;
	uint32_t	 hash, scope, value;
};

struct strtab {
	struct slot	*slot;
	size_t		 n, cap;	/* a power of two, twice n at least */
	size_t		 asked;		/* calls of strtab_add() */
};

struct strtab *
strtab_new(void)
{
	struct strtab	*t = calloc(1, sizeof(*t));

	if (t == NULL)
		fatalx("out of memory for the policy");
	return t;
}

void
strtab_free(struct strtab *t)
{
	if (t == NULL)
		return;
	free(t->slot);
	free(t);
}

static void
place(struct slot *slot, size_t cap, const struct slot *s)
{
	size_t	i = s->hash & (cap - 1);

	while (slot[i].key != NULL)
		i = (i + 1) & (cap - 1);
	slot[i] = *s;
}

static void
grow(struct strtab *t)
{
	size_t		 cap = t->cap == 0 ? 16 : t->cap * 2, i;
	struct slot	*slot = calloc(cap, sizeof(*slot));

	if (slot == NULL)
		fatalx("out of memory for the policy");
	for (i = 0; i < t->cap; i++)
		if (t->slot[i].key != NULL)
			place(slot, cap, &t->slot[i]);
	free(t->slot);
	t->slot = slot;
	t->cap = cap;
}

static void
insert(struct strtab *t, const struct slot *s)
{
	if (2 * (t->n + 1) > t->cap)
		grow(t);
	place(t->slot, t->cap, s);
	t->n++;
}

static uint32_t
string_hash(uint32_t scope, const char *s)
{
	return name_hash(s, strlen(s)) + scope * 0x9e3779b9u;
}

int
strtab_find(const struct strtab *t, uint32_t scope, const char *key)
{
	uint32_t	hash = string_hash(scope, key);
	size_t		i;

	if (t->cap == 0)
		return -1;
	for (i = hash & (t->cap - 1); t->slot[i].key != NULL;
	    i = (i + 1) & (t->cap - 1))
		if (t->slot[i].hash == hash && t->slot[i].scope == scope &&
		    strcmp(t->slot[i].key, key) == 0)
			return (int)t->slot[i].value;
	return -1;
}

int
strtab_add(struct strtab *t, uint32_t scope, const char *key, uint32_t value)
{
	struct slot	s = { key, string_hash(scope, key), scope, value };
	int		found = strtab_find(t, scope, key);

	t->asked++;
	if (found == -1)
		insert(t, &s);
	return found;
}

size_t
strtab_added(const struct strtab *t)
{
	return t->asked;
}

/* ---- host names -------------------------------------------------------------------- */

struct model_name *
model_name_find(const struct model *m, const char *text, size_t len)
{
	const struct strtab	*t = m->names;
	uint32_t		 hash = name_hash(text, len);
	struct model_name	*n;
	size_t			 i;

	if (t->cap == 0)
		return NULL;
	for (i = hash & (t->cap - 1); t->slot[i].key != NULL;
	    i = (i + 1) & (t->cap - 1)) {
		/* what model_name() put there */
		n = (struct model_name *)(uintptr_t)t->slot[i].key;
		if (n->hash == hash && n->len == len &&
		    memcmp(n->text, text, len) == 0)
			return n;
	}
	return NULL;
}

struct model_name *
model_name(struct model *m, const struct name *n)
{
	struct model_name	*new = model_name_find(m, n->text, n->len);

	if (new != NULL)
		return new;
	new = model_alloc(m, sizeof(*new) + n->len + 1u);
	new->hash = name_hash(n->text, n->len);
	new->id = UINT32_MAX;
	new->len = n->len;
	memcpy(new->text, n->text, n->len);
	insert(m->names, &(struct slot){ new, new->hash, 0, 0 });
	return new;
}

void
pattern_spell(const struct pattern *n, struct blob_name *out)
{
	memset(out, 0, sizeof(*out));
	out->wild = n->wild;
	out->base.len = n->base->len;
	memcpy(out->base.text, n->base->text, n->base->len);
}

/* Of each kind by itself, by text. */
int
pattern_compare(const struct pattern *a, const struct pattern *b)
{
	int	c;

	if (a->wild != b->wild)
		return a->wild < b->wild ? -1 : 1;
	if (a->base == b->base)
		return 0;
	c = memcmp(a->base->text, b->base->text, a->base->len < b->base->len ?
	    a->base->len : b->base->len);
	return c != 0 ? c : (a->base->len > b->base->len) -
	    (a->base->len < b->base->len);
}

bool
pattern_matches(const struct pattern *n, const struct name *name)
{
	struct blob_name	b;

	if (n->base->len > name->len || memcmp(n->base->text, name->text +
	    name->len - n->base->len, n->base->len) != 0)
		return false;
	pattern_spell(n, &b);
	return name_matches(name, (enum name_wild)b.wild, &b.base);
}
