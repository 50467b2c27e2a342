/*
 * What check says of two rules, held to the law: of random policies, over all flows.
 *  - an allow that is called dead (W121), a rule or an entry that is said again (W122,
 *    W124) and a deny of what nothing allows (W125) can be taken out, and nothing that
 *    passes is another thing for it;
 *  - so can an exception that takes nothing away, and an entry of which nothing is left
 *    (W126);
 *  - what a deny is said to leave open (W205) passes;
 *  - and what is plainly so is said.
 *
 * LAW_POLICIES=n: so many policies.
 */
#include "law_unit.h"

#define POLICIES	600
#define LINES		6
#define FIRST_LINE	3		/* of the rules */

static const char *const	names[] = { "a.example", "b.example",
    "x.a.example", "y.x.a.example" };
#define NNAMES			4
static const char *const	patterns[] = { "a.example", "b.example",
    "x.a.example", "*.a.example", "**.a.example", "+.a.example", "*.example",
    "+.x.a.example" };
static const char *const	nets[] = { "203.0.114.1", "203.0.114.0/24",
    "203.0.114.0/23", "203.0.115.1" };
static const char *const	ports[] = { "443", "80", "{ 80 443 }" };
static const char *const	dsts[] = { "203.0.114.1", "203.0.115.1",
    "203.0.115.2", "203.0.116.1" };
#define NDSTS			4

static unsigned int
policies(void)
{
	const char	*n = getenv("LAW_POLICIES");

	return n != NULL ? (unsigned int)strtoul(n, NULL, 10) : POLICIES;
}

/* ---- random policies --------------------------------------------------------------- */

#define ANY_OF(seed, list) (list)[rnd((seed), sizeof(list) / sizeof(*(list)))]

struct lines {
	char		v[LINES][256];
	unsigned int	n;
};

static void
make_line(uint64_t *seed, char *out, size_t size)
{
	bool		deny = rnd(seed, 3) == 0, named = rnd(seed, 3) > 0;
	const char	*except = rnd(seed, 5) > 0 ? NULL : named ?
			    ANY_OF(seed, patterns) : ANY_OF(seed, nets);
	char		what[64], but[64] = "", port[32] = "";

	if (!named && except == NULL && rnd(seed, 5) == 0)
		snprintf(what, sizeof(what), "any");
	else if (named)
		snprintf(what, sizeof(what), "name \"%s\"",
		    ANY_OF(seed, patterns));
	else
		snprintf(what, sizeof(what), "net %s", ANY_OF(seed, nets));
	if (except != NULL)
		snprintf(but, sizeof(but), named ? " except \"%s\"" :
		    " except %s", except);
	if (!deny || rnd(seed, 2) == 0)
		snprintf(port, sizeof(port), " port tcp %s", ANY_OF(seed, ports));
	snprintf(out, size, "\t%s to %s%s%s%s", deny ? "deny" : "allow", what, but,
	    port, deny && rnd(seed, 6) == 0 ? " mode audit" :
	    !deny && named && rnd(seed, 3) == 0 ? " verify none" : "");
}

static void
make_lines(uint64_t *seed, struct lines *l)
{
	for (l->n = 0; l->n < 2 + rnd(seed, LINES - 2); l->n++)
		make_line(seed, l->v[l->n], sizeof(l->v[0]));
}

/* `skip': one line that is left empty, or LINES; `cut': there, only its exception. */
static char *
text_of(const struct lines *l, unsigned int skip, bool cut)
{
	struct text	t = { NULL, 0, 0 };
	unsigned int	i;
	const char	*but, *end;

	text_add(&t, "policy version 1\ntenant t {\n");
	for (i = 0; i < l->n; i++) {
		but = strstr(l->v[i], " except ");
		if (i != skip)
			text_add(&t, "%s\n", l->v[i]);
		else if (!cut || but == NULL)
			text_add(&t, "\n");
		else {
			end = but + strlen(" except ");
			end += strcspn(end, " ");
			text_add(&t, "%.*s%s\n", (int)(but - l->v[i]), l->v[i],
			    end);
		}
	}
	text_add(&t, "}\n");
	return t.buf;
}

/* ---- what passes --------------------------------------------------------------------- */

#define NPORTS	2
#define NSHOWN	(2 * NNAMES + 2)
#define NFLOWS	(NDSTS * NPORTS * (1u << NNAMES))

struct answers {
	uint32_t	passes[NFLOWS];
};

static struct policy_shown
shown_at(unsigned int i)
{
	struct policy_shown	s = { .what = SHOWN_NAME };

	if (i >= 2 * NNAMES) {
		s.what = i == 2 * NNAMES ? SHOWN_OTHER : SHOWN_UNDECIDED;
		return s;
	}
	s.kind = i < NNAMES ? PEEK_TLS : PEEK_HTTP;
	s.name = name_of(names[i % NNAMES]);
	return s;
}

static const struct policy_query *
query_at(unsigned int i)
{
	static struct law_names		n[NFLOWS];
	static struct policy_query	q[NFLOWS];
	char				text[128] = "", dst[64];
	unsigned int			k, where = i >> NNAMES;

	if (q[i].proto != 0)
		return &q[i];
	snprintf(dst, sizeof(dst), "%s:%u", dsts[where % NDSTS],
	    where / NDSTS == 0 ? 443u : 80u);
	q[i] = query(PROTO_TCP, dst);
	for (k = 0; k < NNAMES; k++)
		if ((i >> k & 1) != 0) {
			strcat(text, *text != '\0' ? " " : "");
			strcat(text, names[k]);
		}
	bind_names(&q[i], &n[i], text);
	return &q[i];
}

static void
ask_all(const struct policy *p, struct answers *a)
{
	static struct policy_shown	all[NSHOWN];
	unsigned int			i, k;

	for (k = 0; all[NSHOWN - 1].what == 0 && k < NSHOWN; k++)
		all[k] = shown_at(k);
	memset(a, 0, sizeof(*a));
	for (i = 0; i < NFLOWS; i++)
		for (k = 0; k < NSHOWN; k++) {
			struct policy_query	q = *query_at(i);

			q.shown = &all[k];
			if (policy_decide(p, &q).kind == VERDICT_ALLOW)
				a->passes[i] |= UINT32_C(1) << k;
		}
}

/* ---- what is said ------------------------------------------------------------------------ */

struct said {
	char		code[8], text[256];
	unsigned int	line;
};
struct all_said {
	struct said	v[64];
	size_t		n;
};

static void
hear(void *arg, const struct grammar_message *m)
{
	struct all_said	*s = arg;

	if (m->tier == TIER_ERROR)
		fail_msg("%u: %s", m->line, m->text);
	assert_true(s->n < sizeof(s->v) / sizeof(s->v[0]));
	snprintf(s->v[s->n].code, sizeof(s->v[0].code), "%s", m->code);
	snprintf(s->v[s->n].text, sizeof(s->v[0].text), "%s", m->text);
	s->v[s->n++].line = m->line;
}

static struct policy *
policy_of(const struct lines *l, unsigned int skip, bool cut,
    struct all_said *said)
{
	char			*text = text_of(l, skip, cut);
	struct grammar_sink	 sink = { .message = hear, .arg = said };
	struct model		*m;
	struct policy		*p;

	said->n = 0;
	m = grammar_parse_text("test", text, strlen(text), &sink);
	assert_non_null(m);
	p = law_load(m);
	assert_non_null(p);
	grammar_free(m);
	free(text);
	return p;
}

static void
fail_with(const struct lines *l, const struct said *s)
{
	unsigned int	k;

	for (k = 0; k < l->n; k++)
		print_message("%s\n", l->v[k]);
	fail_msg("line %u: %s (%s)", s->line - FIRST_LINE + 1, s->text, s->code);
}

static bool
is(const struct said *s, const char *code)
{
	return strcmp(s->code, code) == 0;
}

/*
 * Nothing passes that did not, and all that did. A deny by name of which nothing is left
 * still has first bytes looked at, and what cannot be read is refused.
 */
static void
check_needless(const struct lines *l, const struct said *s,
    const struct answers *before, bool cut)
{
	static struct answers	 after;
	static struct all_said	 said;
	struct policy		*p = policy_of(l, s->line - FIRST_LINE, cut, &said);
	uint32_t		 ask = UINT32_MAX;
	unsigned int		 i;

	if (is(s, "W126") && strncmp(l->v[s->line - FIRST_LINE], "\tdeny", 5) == 0)
		ask = ~(UINT32_C(1) << (NSHOWN - 1));
	ask_all(p, &after);
	policy_free(p);
	for (i = 0; i < NFLOWS; i++)
		if (((before->passes[i] ^ after.passes[i]) & ask) != 0)
			fail_with(l, s);
}

/* The only apex that there is among the names; on some port, with what it shows. */
static void
check_open(const struct lines *l, const struct said *s, const struct answers *a)
{
	unsigned int	i, n;

	for (n = 0; n < NNAMES; n++) {
		char	quoted[64];

		snprintf(quoted, sizeof(quoted), "leaves \"%s\" itself", names[n]);
		if (strstr(s->text, quoted) == NULL)
			continue;
		for (i = 0; i < NFLOWS; i++)
			if ((i & ((1u << NNAMES) - 1)) == 1u << n &&
			    (a->passes[i] & (1u << n | 1u << (NNAMES + n))) != 0)
				return;
		fail_with(l, s);
	}
}

#define NCODES	7
static const char *const	codes[NCODES] = { "W121", "W122", "W124", "W125",
    "W126", "W205", "W120" };

static void
count(unsigned int seen[NCODES], const struct said *s)
{
	size_t	i;

	for (i = 0; i < NCODES; i++)
		seen[i] += is(s, codes[i]);
}

static void
what_is_said_is_so(void **state)
{
	static struct answers	 a;
	static struct all_said	 said;
	unsigned int		 seen[NCODES] = { 0 }, n, i;
	struct policy		*p;
	struct lines		 l;
	uint64_t		 seed = 5;

	(void)state;
	for (n = policies(); n > 0; n--) {
		make_lines(&seed, &l);
		p = policy_of(&l, LINES, false, &said);
		ask_all(p, &a);
		policy_free(p);
		for (i = 0; i < said.n; i++) {
			const struct said *s = &said.v[i];

			count(seen, s);
			if (is(s, "W121") || is(s, "W122") || is(s, "W124") ||
			    is(s, "W125") || (is(s, "W126") &&
			    strstr(s->text, "nothing is left") != NULL))
				check_needless(&l, s, &a, false);
			else if (is(s, "W126"))
				check_needless(&l, s, &a, true);
			else if (is(s, "W205"))
				check_open(&l, s, &a);
		}
	}
	for (i = 0; i < NCODES; i++)
		if (seen[i] < policies() / 300)
			fail_msg("%s was said %u times", codes[i], seen[i]);
}

/* ---- what is so is said -------------------------------------------------------------------- */

static bool
said_of(const struct all_said *said, const char *code, unsigned int line)
{
	size_t	i;

	for (i = 0; i < said->n; i++)
		if (is(&said->v[i], code) && (line == LINES ||
		    said->v[i].line == line + FIRST_LINE))
			return true;
	return false;
}

/* The same line twice; an allow, and beside it a deny of all ports of the same. */
static void
what_is_so_is_said(void **state)
{
	static struct all_said	 said;
	struct lines		 l;
	uint64_t		 seed = 6;
	unsigned int		 n, i;
	size_t			 len;

	(void)state;
	for (n = policies() / 4; n > 0; n--) {
		make_lines(&seed, &l);
		if (l.n == LINES)
			l.n--;
		i = rnd(&seed, l.n);
		strcpy(l.v[l.n++], l.v[i]);
		policy_free(policy_of(&l, LINES, false, &said));
		if (!said_of(&said, "W122", LINES))
			fail_with(&l, &(struct said){ "W122", "not said", 0 });
		if (strncmp(l.v[i], "\tallow to ", 10) != 0)
			continue;
		len = strcspn(strstr(l.v[i], " to ") + 4, "\n");
		snprintf(l.v[l.n - 1], sizeof(l.v[0]), "\tdeny to %.*s", (int)len,
		    strstr(l.v[i], " to ") + 4);
		if (strstr(l.v[i], " except ") != NULL)
			continue;
		*strstr(l.v[l.n - 1], " port ") = '\0';
		policy_free(policy_of(&l, LINES, false, &said));
		if (!said_of(&said, "W121", i))
			fail_with(&l, &(struct said){ "W121", "not said", i });
	}
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(what_is_said_is_so),
		cmocka_unit_test(what_is_so_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
