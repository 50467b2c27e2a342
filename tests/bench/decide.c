/*
 * What a verdict takes: policy_decide() and policy_name() over random questions to
 * generated policies, ten rules and ten thousand, a table of 100 000 prefixes, a
 * million names. A row: the policy, and of all questions the median, the 99th of a
 * hundred and the worst, in nanoseconds; then what the index took to make.
 *
 * Each question is asked in five rounds, all others between; its quickest counts, for
 * what else the machine did is not the policy's.
 *
 * bench_decide [WORD]: the rows with that word in their name.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "grammar.h"
#include "law.h"
#include "model.h"

#define QUESTIONS	20000u
#define ROUNDS		5

static uint64_t
now(void)
{
	struct timespec	t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t
rnd(uint32_t below)
{
	static uint64_t	state = 1;

	state = state * UINT64_C(6364136223846793005) +
	    UINT64_C(1442695040888963407);
	return (uint32_t)(state >> 33) % below;
}

static void
say(void *arg, const char *line)
{
	(void)arg;
	if (strstr(line, "warning: ") == NULL && strstr(line, "note: ") == NULL)
		fprintf(stderr, "%s\n", line);
}

static struct policy *
load(const char *text)
{
	struct grammar_sink	 sink = { .line = say };
	struct model		*m;
	struct policy		*p = NULL;
	char			 err[128] = "it is too large";
	size_t			 len;
	void			*blob = NULL;

	if ((m = grammar_parse_text("bench", text, strlen(text), &sink)) != NULL)
		blob = grammar_compile(m, &len);
	if (blob != NULL)
		p = policy_load(blob, len, err, sizeof(err));
	if (p == NULL) {
		fprintf(stderr, "bench_decide: %s\n", err);
		exit(1);
	}
	free(blob);
	grammar_free(m);
	return p;
}

/* ---- policies ------------------------------------------------------------------- */

/* The i-th of many addresses that no floor has. */
static uint32_t
address(unsigned int i)
{
	return (UINT32_C(20) << 24) + i * 16;
}

static void
add_address(struct text *t, unsigned int i)
{
	uint32_t	a = address(i);

	text_add(t, " %u.%u.%u.%u/28", a >> 24, a >> 16 & 0xff, a >> 8 & 0xff,
	    a & 0xff);
}

/* What the rules of a row are, n of them. */
struct row_of {
	const char	*name;
	unsigned int	 n;
	void		(*write)(struct text *, unsigned int n);
	unsigned int	 bound;		/* names of an address; 0: by address */
};

static void
by_net(struct text *t, unsigned int n)
{
	unsigned int	i;

	text_add(t, "tenant t {\n");
	for (i = 0; i < n; i++) {
		text_add(t, "allow to net");
		add_address(t, i);
		text_add(t, " port tcp 443\n");
	}
	text_add(t, "}\n");
}

/* A hundred ports of each address. */
static void
by_both(struct text *t, unsigned int n)
{
	unsigned int	i;

	text_add(t, "tenant t {\n");
	for (i = 0; i < n; i++) {
		text_add(t, "allow to net");
		add_address(t, i / 100);
		text_add(t, " port tcp %u\n", 400 + i % 100);
	}
	text_add(t, "}\n");
}

static void
by_port(struct text *t, unsigned int n)
{
	unsigned int	i;

	text_add(t, "tenant t {\n");
	for (i = 0; i < n; i++)
		text_add(t, "allow to any port tcp %u-%u\n", 1000 + i,
		    1000 + i + i % 50);
	text_add(t, "deny to net 20.0.0.0/12\n}\n");
}

static void
by_table(struct text *t, unsigned int n)
{
	unsigned int	i;

	text_add(t, "table <x> {");
	for (i = 0; i < n; i++)
		add_address(t, i);
	text_add(t, " }\ntenant t {\nallow to net <x> port tcp 443\n"
	    "deny to net <x> port tcp 80\n}\n");
}

static void
add_name(struct text *t, unsigned int i)
{
	text_add(t, " \"%sh%u.zone%u.example.com\"", i % 8 == 7 ? "**." : "", i,
	    i % 97);
}

static void
by_name(struct text *t, unsigned int n)
{
	unsigned int	i;

	text_add(t, "tenant t {\n");
	for (i = 0; i < n; i++) {
		text_add(t, "%s to name", i % 10 == 9 ? "deny" : "allow");
		add_name(t, i);
		text_add(t, " port tcp 443\n");
	}
	text_add(t, "}\n");
}

static void
by_names(struct text *t, unsigned int n)
{
	unsigned int	i;

	text_add(t, "names <x> {");
	for (i = 0; i < n; i++)
		add_name(t, i);
	text_add(t, " }\ntenant t {\nallow to name <x> port tcp 443\n}\n");
}

static void
by_tenant(struct text *t, unsigned int n)
{
	unsigned int	i, k;

	text_add(t, "names <x> {");
	for (i = 0; i < 350; i++)
		add_name(t, i);
	text_add(t, " }\n");
	for (i = 0; i < n; i++) {
		text_add(t, "tenant t%u {\nallow to name <x> port tcp 443\n", i);
		for (k = 0; k < 9; k++) {
			text_add(t, "allow to net");
			add_address(t, rnd(100000));
			text_add(t, " port tcp 443\n");
		}
		text_add(t, "}\n");
	}
}

static const struct row_of	rows[] = {
	{ "nets in rules", 10, by_net, 0 },
	{ "nets in rules", 1000, by_net, 0 },
	{ "nets in rules", 10000, by_net, 0 },
	{ "nets in rules", 100000, by_net, 0 },
	{ "nets and ports", 10000, by_both, 0 },
	{ "ports in rules", 10000, by_port, 0 },
	{ "nets in a table", 100000, by_table, 0 },
	{ "names in rules", 10, by_name, 1 },
	{ "names in rules", 1000, by_name, 1 },
	{ "names in rules", 10000, by_name, 1 },
	{ "names in rules", 100000, by_name, 1 },
	{ "names in rules, 1024 bound", 10, by_name, 1024 },
	{ "names in rules, 1024 bound", 10000, by_name, 1024 },
	{ "names in a set", 1000000, by_names, 1 },
	{ "names in a set, 1024 bound", 1000000, by_names, 1024 },
	{ "tenants", 1000, by_tenant, 1 },
};

/* ---- questions ----------------------------------------------------------------------- */

struct question {
	struct policy_query	 q;
	const struct name	*bound[1024];
	struct name		*name;
};

static int
compare_names(const void *a, const void *b)
{
	return name_compare(a, b);
}

/* One that is allowed mostly, below a wildcard often, of nobody sometimes. */
static struct name
random_name(unsigned int n)
{
	char		text[64];
	unsigned int	i = rnd(n + n / 10 + 1);
	struct name	name;

	snprintf(text, sizeof(text), "%sh%u.zone%u.example.com", i % 8 == 7 ?
	    "x.y." : "", i, i % 97);
	if (name_from_text(text, strlen(text), &name) == -1)
		abort();
	return name;
}

static void
make_question(struct question *x, const struct row_of *r)
{
	unsigned int	i, n;

	memset(x, 0, sizeof(*x));
	x->q.tenant = r->write == by_tenant ? rnd(r->n) : 0;
	n = r->write == by_tenant ? 350 : r->n;
	x->q.proto = PROTO_TCP;
	x->q.dst = endpoint_v4(address(rnd(n + n / 10 + 1)) + rnd(16), 443);
	if (r->write == by_port)
		x->q.dst.port = (uint16_t)(1000 + rnd(11000));
	if (r->write == by_both)
		x->q.dst = endpoint_v4(address(rnd(101)), (uint16_t)(400 +
		    rnd(101)));
	if (r->bound == 0)
		return;
	if ((x->name = calloc(r->bound, sizeof(*x->name))) == NULL)
		abort();
	for (i = 0; i < r->bound; i++)
		x->name[i] = random_name(n);
	qsort(x->name, r->bound, sizeof(*x->name), compare_names);
	for (i = 0; i < r->bound; i++)
		if (i == 0 || !name_equal(&x->name[i - 1], &x->name[i]))
			x->bound[x->q.nbound++] = &x->name[i];
	x->q.bound = x->bound;
}

static int
compare_times(const void *a, const void *b)
{
	const uint64_t	*x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
print_times(uint64_t *v, size_t n)
{
	qsort(v, n, sizeof(*v), compare_times);
	printf(" %8llu %8llu %8llu", (unsigned long long)v[n / 2],
	    (unsigned long long)v[n * 99 / 100], (unsigned long long)v[n - 1]);
}

/* A thousand names make a question large: then there are fewer. */
static size_t
questions_of(const struct row_of *r)
{
	return r->bound > 1 ? QUESTIONS / 40 : QUESTIONS;
}

static void
measure(const struct policy *p, const struct row_of *r, bool named)
{
	static uint64_t		 best[QUESTIONS];
	size_t			 i, n = questions_of(r);
	struct question		*x = calloc(n, sizeof(*x));
	unsigned int		 round;
	uint64_t		 t;

	if (x == NULL)
		abort();
	for (i = 0; i < n; i++) {
		make_question(&x[i], r);
		x[i].q.bound = x[i].bound;
		best[i] = UINT64_MAX;
	}
	for (round = 0; round < ROUNDS; round++)
		for (i = 0; i < n; i++) {
			t = now();
			if (named)
				policy_name(p, x[i].q.tenant, &x[i].name[0], 0);
			else
				policy_decide(p, &x[i].q);
			t = now() - t;
			if (t < best[i])
				best[i] = t;
		}
	print_times(best, n);
	for (i = 0; i < n; i++)
		free(x[i].name);
	free(x);
}

static void
run(const struct row_of *r)
{
	struct text	 text = { NULL, 0, 0 };
	struct policy	*p;
	unsigned int	 i;
	uint64_t	 t;
	size_t		 before;

	text_add(&text, "policy version 1\n");
	r->write(&text, r->n);
	p = load(text.buf);
	free(text.buf);
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	t = now();
	for (i = 0; i < policy_tenants(p); i++)
		if (policy_index(p, i) == -1)
			abort();
	t = now() - t;
	printf("%-28s %8u ", r->name, r->n);
	measure(p, r, false);
	if (r->bound == 1)
		measure(p, r, true);
	else
		printf(" %8s %8s %8s", "-", "-", "-");
	printf(" %8.1f %8zu\n", (double)t / 1e6, (mallinfo2().uordblks +
	    mallinfo2().hblkhd - before) / 1024);
	fflush(stdout);
	policy_free(p);
}

int
main(int argc, char *argv[])
{
	size_t	i;

	printf("%-28s %8s  %26s %26s %17s\n%-28s %8s  %8s %8s %8s %8s %8s %8s "
	    "%8s %8s\n", "", "", "policy_decide(), ns  ", "policy_name(), ns   ",
	    "the index  ", "policy", "of", "median", "p99", "worst", "median",
	    "p99", "worst", "ms", "KiB");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (argc < 2 || strstr(rows[i].name, argv[1]) != NULL)
			run(&rows[i]);
	return 0;
}
