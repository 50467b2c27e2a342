/*
 * Which rules are about an address that has many names: random rules beside random
 * names, of few labels so that they meet, each against what one name alone says.
 */
#include "law_unit.h"

#define POLICIES	300
#define NAMES		400
#define RULES		12
#define A443		"203.0.114.1:443"

static unsigned int
chance(unsigned int n)
{
	return (unsigned int)random() % n;
}

static size_t
random_name(char *text, unsigned int labels)
{
	static const char *const	label[] = { "a", "b", "c", "dd", "e-e" };
	size_t				len = 0;

	while (labels-- > 0)
		len += (size_t)sprintf(text + len, "%s.", label[chance(5)]);
	return len + (size_t)sprintf(text + len, "ex.com");
}

/* `"a.ex.com" "*.b.ex.com" ...', all of them different. */
static void
random_list(char *text, unsigned int n)
{
	static const char *const	wild[] = { "", "", "+.", "*.", "**." };
	char				one[160], name[128];
	size_t				len = 0;

	text[0] = '\0';
	while (n-- > 0) {
		random_name(name, chance(5));
		snprintf(one, sizeof(one), "\"%s%s\"", wild[chance(5)], name);
		if (strstr(text, one) == NULL)
			len += (size_t)sprintf(text + len, "%s ", one);
	}
}

static struct policy *
random_policy(void)
{
	static char		text[1 << 16], list[1 << 13];
	size_t			len = (size_t)sprintf(text,
				    "policy version 1\ntenant t {\n");
	unsigned int		i;

	for (i = 0; i < RULES; i++) {
		random_list(list, 1 + (chance(3) == 0 ? chance(60) :
		    chance(4)));
		len += (size_t)sprintf(text + len, "\t%s to name { %s}",
		    chance(4) == 0 ? "deny" : "allow", list);
		random_list(list, 1 + chance(3));
		if (chance(4) == 0)
			len += (size_t)sprintf(text + len, " except { %s}",
			    list);
		len += (size_t)sprintf(text + len, " port tcp %s%s\n",
		    chance(5) == 0 ? "80" : "443", strrchr(text, '\t')[1] ==
		    'd' || chance(2) == 0 ? "" : " verify none");
	}
	sprintf(text + len, "}\n");
	return law(text);
}

static struct name		name[NAMES];
static const struct name	*bound[NAMES];

static size_t
random_names(size_t n)
{
	char	text[128];
	size_t	i, len, out = 0;

	for (i = 0; i < n; i++) {
		len = random_name(text, chance(6));
		assert_int_equal(name_from_text(text, len, &name[i]), 0);
		bound[i] = &name[i];
	}
	qsort(bound, n, sizeof(bound[0]), law_compare);
	for (i = 0; i < n; i++)
		if (out == 0 || !name_equal(bound[out - 1], bound[i]))
			bound[out++] = bound[i];
	return out;
}

/*
 * A plain allow, and one that has to be proved, of all of them: as of one of them at
 * least. What a name alone says was looked for the other way round: its rules' lists
 * are longer than it.
 */
static void
as_one_by_one(void **state)
{
	struct policy_query	 q = query(PROTO_TCP, A443), one = q;
	unsigned int		 i, met[3] = { 0 };
	struct policy		*p;
	struct verdict		 v, w;
	bool			 plain, proving;
	size_t			 k, n;

	(void)state;
	srandom(5);
	for (i = 0; i < POLICIES; i++) {
		p = random_policy();
		n = random_names(1 + chance(chance(2) == 0 ? 6 : NAMES));
		plain = proving = false;
		for (k = 0; k < n; k++) {
			one.bound = &bound[k];
			one.nbound = 1;
			w = policy_decide(p, &one);
			if (w.kind == VERDICT_ALLOW && w.peek == PEEK_PROOF)
				proving = true;
			else if (w.kind == VERDICT_ALLOW)
				plain = true;
		}
		q.bound = bound;
		q.nbound = n;
		v = policy_decide(p, &q);
		assert_int_equal(v.kind == VERDICT_ALLOW, plain || proving);
		if (v.kind == VERDICT_ALLOW)
			assert_int_equal(v.peek == PEEK_PROOF, !plain);
		met[plain ? 2 : proving]++;
		policy_free(p);
	}
	assert_true(met[0] > 10 && met[1] > 10 && met[2] > 10);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(as_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
