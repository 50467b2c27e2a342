/*
 * Sets of names and tables: which entry makes a rule match, where it stands, and that
 * the model, the compiled policy and a look at each entry say the same.
 */
#include "law_unit.h"

#define HEAD	"policy version 1\n"

static const struct rule *
rule(const struct model *m, size_t i)
{
	return &m->tenant.v[0].rule.v[i];
}

static struct name
name_from(const char *text)
{
	struct name	n;

	assert_int_equal(name_from_text(text, strlen(text), &n), 0);
	return n;
}

/* One entry: its line and column, the set that has it, the macro it came by. */
static void
is_at(const struct model *m, const char *text, uint32_t line, uint32_t column,
    const char *set, const char *macro)
{
	struct name	n = name_from(text);
	struct entry	e;

	assert_true(model_which_name(m, &rule(m, 0)->dest.names, &n, &e));
	assert_int_equal(e.pattern->at.line, line);
	assert_int_equal(e.pattern->at.column, column);
	assert_true(set == NULL ? e.set == NULL : strcmp(e.set, set) == 0);
	assert_true(macro == NULL ? e.pattern->via == NULL :
	    strcmp(e.pattern->via->text, macro) == 0);
}

static void
places(void **state)
{
	struct model	*m = law_model(HEAD
	    "m = { \"m.example\"\n\t\"*.n.example\" }\n"
	    "names <s> { \"s.example\" \"+.t.example\" $m }\n"
	    "table <t> { 203.0.114.0/24\n 203.0.115.1 }\n"
	    "tenant a {\n"
	    "\tallow to name { \"r.example\" $m <s> } port tcp 443\n"
	    "\tallow to net { 203.0.116.0/24 <t> } port tcp 443\n}\n", true);
	struct entry	 e;
	struct endpoint	 a;
	struct name	 n;

	(void)state;
	assert_non_null(m);
	is_at(m, "r.example", 8, 18, NULL, NULL);
	is_at(m, "m.example", 2, 7, NULL, "m");
	is_at(m, "x.n.example", 3, 2, NULL, "m");
	is_at(m, "s.example", 4, 13, "s", NULL);
	is_at(m, "t.example", 4, 25, "s", NULL);
	is_at(m, "x.y.t.example", 4, 25, "s", NULL);
	n = name_from("y.x.n.example");
	assert_false(model_which_name(m, &rule(m, 0)->dest.names, &n, &e));
	assert_int_equal(addr_parse("203.0.115.1", &a), 0);
	assert_true(model_which_net(m, &rule(m, 1)->dest.in, &a, &e));
	assert_string_equal(e.set, "t");
	assert_int_equal(e.net->at.line, 6);
	assert_int_equal(addr_parse("203.0.116.9", &a), 0);
	assert_true(model_which_net(m, &rule(m, 1)->dest.in, &a, &e));
	assert_null(e.set);
	assert_int_equal(e.net->at.line, 9);
	assert_int_equal(addr_parse("203.0.115.2", &a), 0);
	assert_false(model_which_net(m, &rule(m, 1)->dest.in, &a, &e));
	grammar_free(m);
}

/* ---- many, at random -------------------------------------------------------------- */

static unsigned int
pick(uint64_t *seed, unsigned int n)
{
	*seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (unsigned int)(*seed >> 33) % n;
}

static const char *const	labels[] = { "a", "b", "c", "aa", "ab" };

/* One to four labels above .example. */
static void
add_name(struct text *t, uint64_t *seed)
{
	unsigned int	i, n = 1 + pick(seed, 4);

	for (i = 0; i < n; i++)
		text_add(t, "%s.", labels[pick(seed, 5)]);
	text_add(t, "example");
}

static void
add_list(struct text *t, uint64_t *seed, unsigned int most)
{
	static const char *const	kinds[] = { "", "*.", "**.", "+." };
	unsigned int			n = 1 + pick(seed, most);

	for (; n > 0; n--) {
		text_add(t, " \"%s", kinds[pick(seed, 4)]);
		add_name(t, seed);
		text_add(t, "\"");
	}
}

static bool
in_list(const struct model *m, const struct patterns *s, const struct name *n)
{
	size_t	i;

	for (i = 0; i < s->list.n; i++)
		if (pattern_matches(&s->list.v[i], n))
			return true;
	for (i = 0; i < s->set.n; i++)
		if (in_list(m, &m->nameset.v[s->set.v[i].index].patterns, n))
			return true;
	return false;
}

static void
agree(const struct model *m, const struct policy *p, const struct name *n)
{
	const struct dest	*d = &rule(m, 0)->dest;
	bool			 in = in_list(m, &d->names, n),
				 out = in_list(m, &d->xnames, n);

	assert_int_equal(model_has_name(m, &d->names, n), in);
	assert_int_equal(model_has_name(m, &d->xnames, n), out);
	assert_int_equal(match_names(p, &p->rule[0].match, n), in && !out);
}

static void
random_sets(void **state)
{
	uint64_t	seed = 11;
	unsigned int	i, k, hits = 0;

	(void)state;
	for (i = 0; i < 300; i++) {
		struct text	 t = { NULL, 0, 0 };
		struct model	*m;
		struct policy	*p;

		text_add(&t, HEAD "names <s> {");
		add_list(&t, &seed, 12);
		text_add(&t, " }\nnames <x> {");
		add_list(&t, &seed, 3);
		text_add(&t, " }\ntenant t {\n\tdeny to name { <s>");
		add_list(&t, &seed, 4);
		text_add(&t, " } except { <x>");
		add_list(&t, &seed, 2);
		text_add(&t, " }\n}\n");
		assert_non_null(m = law_model(t.buf, true));
		p = law_load(m);
		free(t.buf);
		for (k = 0; k < 200; k++) {
			struct text	q = { NULL, 0, 0 };
			struct name	n;

			add_name(&q, &seed);
			n = name_from(q.buf);
			free(q.buf);
			agree(m, p, &n);
			hits += match_names(p, &p->rule[0].match, &n);
		}
		policy_free(p);
		grammar_free(m);
	}
	assert_in_range(hits, 6000, 54000);
}

/* However often a list is written, and whoever uses a set, it is there once. */
static void
kept_once(void **state)
{
	struct text	 t = { NULL, 0, 0 };
	struct policy	*p;
	unsigned int	 i;

	(void)state;
	text_add(&t, HEAD "m = { \"a.example\" \"b.example\" }\n"
	    "names <s> { \"b.example\" \"c.example\" }\n");
	for (i = 0; i < 50; i++)
		text_add(&t, "tenant t%u {\n\tallow to name $m port tcp %u\n"
		    "\tallow to name { \"b.example\" \"a.example\" } port tcp 22\n"
		    "\tallow to name <s> except $m port tcp 443\n}\n", i, i + 2000);
	p = law(t.buf);
	assert_int_equal(p->head->names, 3);
	assert_int_equal(p->head->nsets, 2);
	assert_int_equal(p->head->keys, 4);
	policy_free(p);
	free(t.buf);
}

/* What allow-empty lets be empty matches nothing, and subtracts nothing. */
static void
empty(void **state)
{
	struct policy	*p = law(HEAD "names <none> { } allow-empty\n"
			    "table <no> { } allow-empty\ntenant t {\n"
			    "\tallow to name <none> port tcp 443\n"
			    "\tallow to net <no> port tcp 443\n"
			    "\tdeny to name <none>\n"
			    "\tallow to name \"+.example\" except <none> port tcp 22\n"
			    "}\n");
	struct name	 n = name_from("a.example");
	struct endpoint	 a;

	(void)state;
	assert_int_equal(addr_parse("203.0.114.1", &a), 0);
	assert_false(match_names(p, &p->rule[0].match, &n));
	assert_false(match_net(p, &p->rule[1].match, &a));
	assert_false(match_names(p, &p->rule[2].match, &n));
	assert_true(match_names(p, &p->rule[3].match, &n));
	policy_free(p);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(places),
		cmocka_unit_test(random_sets),
		cmocka_unit_test(kept_once),
		cmocka_unit_test(empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
