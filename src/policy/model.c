/*
 * The model's memory: one arena, filled while parsing and freed at once, so that
 * no error path of the grammar has anything to clean up.
 *
 * Trusts: its callers' sizes; they are bounded by GRAMMAR_FILE_MAX.
 * Must not: know the grammar.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "grammar.h"
#include "log.h"
#include "model.h"

#define CHUNK	((size_t)64 << 10)

/* One that is larger than a chunk has one of its own, and can grow in it. */
struct arena {
	struct arena	*next, *prev;
	size_t		 used, size;
	_Alignas(16) unsigned char data[];
};

static void
link_behind(struct model *m, struct arena *a)
{
	struct arena	*head = m->arena;

	a->prev = head;
	a->next = head == NULL ? NULL : head->next;
	if (head == NULL)
		m->arena = a;
	else
		head->next = a;
	if (a->next != NULL)
		a->next->prev = a;
}

static size_t
rounded(size_t len)
{
	return (len + 15) & ~(size_t)15;
}

/* What all of it may take, so that no policy is good here and too much elsewhere. */
static void
charge(struct model *m, size_t len)
{
	if (len > GRAMMAR_MEMORY_MAX - m->memory)
		fatalx(GRAMMAR_TOO_LARGE);
	m->memory += len;
}

static struct arena *
chunk_new(struct model *m, size_t size)
{
	struct arena	*a;

	charge(m, sizeof(*a) + size);
	if ((a = calloc(1, sizeof(*a) + size)) == NULL)
		fatalx("out of memory for the policy");
	a->size = size;
	return a;
}

void *
model_alloc(struct model *m, size_t len)
{
	struct arena	*a = m->arena;
	void		*p;

	len = rounded(len);
	if (len > CHUNK) {
		a = chunk_new(m, len);
		a->used = len;
		link_behind(m, a);
		return a->data;
	}
	if (a == NULL || len > a->size - a->used) {
		a = chunk_new(m, CHUNK);
		a->next = m->arena;
		if (a->next != NULL)
			a->next->prev = a;
		m->arena = a;
	}
	p = a->data + a->used;
	a->used += len;
	return p;
}

const char *
model_string(struct model *m, const char *from, size_t len)
{
	char	*s = model_alloc(m, len + 1);

	memcpy(s, from, len);
	return s;
}

/* Of what has a chunk of its own the pages move, and are not copied. */
static void *
chunk_grow(struct model *m, const void *old, size_t from, size_t to)
{
	struct arena	*a = (struct arena *)(void *)((uintptr_t)old -
			    offsetof(struct arena, data));

	charge(m, to - from);
	if ((a = realloc(a, sizeof(*a) + to)) == NULL)
		fatalx("out of memory for the policy");
	if (a->next != NULL)
		a->next->prev = a;
	if (a->prev != NULL)
		a->prev->next = a;
	else
		m->arena = a;
	a->used = a->size = to;
	return a->data;
}

void *
model_grow(struct model *m, const void *old, size_t n, size_t *cap, size_t size)
{
	size_t	 had = rounded(*cap * size);
	size_t	 want = *cap == 0 ? (size > 128 ? 1 : 4) : *cap * 2;
	void	*p;

	*cap = want;
	if (had > CHUNK)
		return chunk_grow(m, old, had, rounded(want * size));
	p = model_alloc(m, want * size);
	if (n > 0)
		memcpy(p, old, n * size);
	return p;
}

struct model *
model_new(void)
{
	struct model	*m = calloc(1, sizeof(*m));
	size_t		 i;

	if (m == NULL)
		fatalx("out of memory for the policy");
	m->names = strtab_new();
	push(m, m->scope, ((struct scope){ 0 }));
	for (i = 0; i < MODEL_KINDS; i++)
		m->index[i] = strtab_new();
	SHA256Init(&m->text);
	m->audit.durable = DURABLE_BEFORE_DATA;
	m->audit.rotate = ROTATE_DEFAULT;
	m->resolver = (struct policy_resolver){ .pin_min = 60, .pin_max = 3600,
	    .pin_grace = 30 };
	return m;
}

void
model_read(struct model *m, const char *name, const char *text, size_t len)
{
	SHA256Update(&m->text, (const uint8_t *)text, len);
	push(m, m->read, model_string(m, name, strlen(name)));
}

const char *const *
grammar_files(const struct model *m, size_t *n)
{
	*n = m->read.n;
	return m->read.v;
}

void
grammar_free(struct model *m)
{
	struct arena	*a, *next;
	size_t		 i;

	if (m == NULL)
		return;
	strtab_free(m->names);
	for (i = 0; i < MODEL_KINDS; i++)
		strtab_free(m->index[i]);
	for (a = m->arena; a != NULL; a = next) {
		next = a->next;
		free(a);
	}
	free(m);
}

/*
 * Those that were added since the last time are indexed first: whoever reads a policy
 * pushes and asks in turns.
 */
#define FIND(what, kind)						\
int									\
model_find_##what(const struct model *m, const char *name)		\
{									\
	struct strtab	*t = m->index[kind];				\
	size_t		 i;						\
									\
	for (i = strtab_added(t); i < m->what.n; i++)			\
		strtab_add(t, 0, m->what.v[i].name, (uint32_t)i);	\
	return strtab_find(t, 0, name);					\
}

FIND(tenant, MODEL_TENANT)
FIND(table, MODEL_TABLE)
FIND(nameset, MODEL_NAMESET)
FIND(limits, MODEL_LIMITS)
FIND(service, MODEL_SERVICE)

int
model_find_macro(const struct model *m, uint32_t scope, const char *name)
{
	struct strtab	*t = m->index[MODEL_MACRO];
	size_t		 i;
	int		 found;

	for (i = strtab_added(t); i < m->macro.n; i++)
		strtab_add(t, m->macro.v[i].scope, m->macro.v[i].name,
		    (uint32_t)i);
	while ((found = strtab_find(t, scope, name)) == -1 && scope != 0)
		scope = m->scope.v[scope].parent;
	return found;
}

bool
model_sees(const struct model *m, uint32_t here, uint32_t there)
{
	while (here != there && here != 0)
		here = m->scope.v[here].parent;
	return here == there;
}
