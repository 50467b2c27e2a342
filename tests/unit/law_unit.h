/* For the policy's tests: text to policy, and questions to it. */
#ifndef TEST_LAW_H
#define TEST_LAW_H

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "grammar.h"
#include "law.h"
#include "model.h"

static void
law_print(void *arg, const char *line)
{
	if (arg != NULL && strstr(line, ": warning: ") == NULL)
		print_message("%s\n", line);
}

/* NULL if it does not parse. */
static inline struct model *
law_model(const char *text, bool say)
{
	struct grammar_sink	sink = { .line = law_print,
				    .arg = say ? &sink : NULL };

	return grammar_parse_text("test", text, strlen(text), &sink);
}

static inline struct policy *
law_load(const struct model *m)
{
	char		 err[128] = "";
	size_t		 len;
	void		*blob = grammar_compile(m, &len);
	struct policy	*p = policy_load(blob, len, err, sizeof(err));

	unsigned int	 i;

	if (p == NULL)
		print_message("refused: %s\n", err);
	for (i = 0; p != NULL && i < policy_tenants(p); i++)
		assert_int_equal(policy_index(p, i), 0);
	free(blob);
	return p;
}

static inline struct policy *
law(const char *text)
{
	struct model	*m = law_model(text, true);
	struct policy	*p;

	assert_non_null(m);
	p = law_load(m);
	assert_non_null(p);
	grammar_free(m);
	return p;
}

static inline struct policy_query
query(uint32_t proto, const char *dst)
{
	struct policy_query	q = { .proto = proto };

	if (endpoint_parse(dst, &q.dst) == -1)
		assert_int_equal(addr_parse(dst, &q.dst), 0);
	assert_int_equal(addr_parse("10.0.2.2", &q.gateway4), 0);
	assert_int_equal(addr_parse("fd53:616c:6c79::2", &q.gateway6), 0);
	return q;
}

/* What a broker would find: the forms of an address that are in one of the nets. */
static inline uint32_t
own_of(const struct endpoint *dst, const char *const *nets, size_t n)
{
	struct endpoint	form[POLICY_FORMS_MAX];
	struct prefix	p;
	size_t		i, k, forms = policy_forms(dst, form);
	uint32_t	own = 0;

	for (k = 0; k < n; k++) {
		assert_int_equal(prefix_parse(nets[k], &p), 0);
		for (i = 0; i < forms; i++)
			if (prefix_contains(&p, &form[i]))
				own |= UINT32_C(1) << i;
	}
	return own;
}

static inline struct verdict
decide(const struct policy *p, uint32_t proto, const char *dst)
{
	const struct policy_query	q = query(proto, dst);

	return policy_decide(p, &q);
}

/* ---- names ---------------------------------------------------------------- */

static inline struct name
name_of(const char *text)
{
	struct name	n;

	assert_int_equal(name_from_text(text, strlen(text), &n), 0);
	return n;
}

/* The names of an address and what a flight shows, with room for both. */
struct law_names {
	struct name		 name[8];
	const struct name	*bound[8];
	struct policy_shown	 shown;
};

static inline int
law_compare(const void *a, const void *b)
{
	return name_compare(*(const struct name *const *)a,
	    *(const struct name *const *)b);
}

/* "a.example b.example": what is bound to the query's address. */
static inline void
bind_names(struct policy_query *q, struct law_names *n, const char *names)
{
	size_t	len;

	q->nbound = 0;
	for (; *names != '\0'; names += len + (names[len] == ' ')) {
		len = strcspn(names, " ");
		assert_true(q->nbound < 8);
		assert_int_equal(name_from_text(names, len,
		    &n->name[q->nbound]), 0);
		n->bound[q->nbound] = &n->name[q->nbound];
		q->nbound++;
	}
	qsort(n->bound, q->nbound, sizeof(n->bound[0]), law_compare);
	q->bound = n->bound;
}

/* NULL: the flight names nothing. */
static inline void
show_name(struct policy_query *q, struct law_names *n, uint32_t kind,
    const char *name, bool ech)
{
	memset(&n->shown, 0, sizeof(n->shown));
	n->shown.kind = kind;
	n->shown.ech = ech;
	n->shown.what = name != NULL ? SHOWN_NAME : SHOWN_OTHER;
	if (name != NULL)
		n->shown.name = name_of(name);
	q->shown = &n->shown;
}

#define assert_verdict(v, k, r) do {					\
	struct verdict verdict_ = (v);					\
									\
	assert_int_equal(verdict_.kind, k);				\
	assert_string_equal(reason_name(verdict_.reason), reason_name(r)); \
} while (0)
#define assert_allowed(p, proto, dst)					\
	assert_verdict(decide(p, proto, dst), VERDICT_ALLOW, REASON_NONE)
#define assert_denied(p, proto, dst, reason)				\
	assert_verdict(decide(p, proto, dst), VERDICT_DENY, reason)

/* A generator of one's own: the same numbers on every machine. */
static inline uint32_t
rnd(uint64_t *state, uint32_t below)
{
	*state = *state * UINT64_C(6364136223846793005) +
	    UINT64_C(1442695040888963407);
	return (uint32_t)(*state >> 33) % below;
}

#endif
