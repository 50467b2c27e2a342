/*
 * Rules, of what is wanted: one for each target, protocol and way to show a name; names
 * of one zone, with the same ports, are one list. What is shown by TLS comes first, then
 * HTTP, then what proves nothing, then addresses; within that they are sorted, so that
 * the same log gives the same bytes, and two policies can be compared.
 *
 * Trusts: learn_record.c, which has checked each name and address.
 * Must not: propose a wildcard below which anyone may have a name; or write one
 * otherwise than as a comment.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grammar.h"
#include "learn.h"

#define LINE_NAMES	4	/* of a list that stands in one line */
#define LINE_LENGTH	90
#define WILD_FROM	3	/* names, before a wildcard is proposed for them */

struct atom {			/* a target with its ports: one rule, or a part of one */
	const struct want *w;	/* the first of n that differ in the port alone */
	size_t		n;
	char		zone[NAME_SIZE];	/* "": it is in no list */
};

enum section { TLS, HTTP, OTHERS, NETS, SECTIONS };

static const char *const heads[SECTIONS] = {
	[TLS] = "by the server name that TLS shows",
	[HTTP] = "by the Host of a request",
	[OTHERS] = "by name, which nothing proves",
	[NETS] = "by address",
};

static enum section
section(const struct want *w)
{
	return w->kind == TARGET_NET ? NETS : w->proto != PROTO_TCP ? OTHERS :
	    w->verify == BY_SNI ? TLS : w->verify == BY_HOST ? HTTP : OTHERS;
}

/* Everything but the port and the target. */
static int
by_kind(const struct want *v, const struct want *w)
{
	if (section(v) != section(w))
		return section(v) < section(w) ? -1 : 1;
	if (v->proto != w->proto)
		return v->proto < w->proto ? -1 : 1;
	if (v->verify != w->verify)
		return v->verify < w->verify ? -1 : 1;
	return (v->ech > w->ech) - (v->ech < w->ech);
}

static int
by_want(const void *a, const void *b)
{
	const struct want	*v = a, *w = b;
	int			 c = by_kind(v, w);

	if (c == 0)
		c = strcmp(v->to, w->to);
	return c != 0 ? c : (v->port > w->port) - (v->port < w->port);
}

static bool
one_atom(const struct want *v, const struct want *w)
{
	return by_kind(v, w) == 0 && strcmp(v->to, w->to) == 0;
}

/* Whose names those below one are: as far as that is not anyone's. */
static void
find_zone(struct atom *a)
{
	struct name	n, zone;

	memset(a->zone, 0, sizeof(a->zone));
	if (a->w->kind == TARGET_NAME && name_from_text(a->w->to,
	    strlen(a->w->to), &n) == 0 && grammar_zone(&n, &zone))
		memcpy(a->zone, zone.text, sizeof(a->zone));
}

static int
by_ports(const struct atom *a, const struct atom *b)
{
	size_t	i;

	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	for (i = 0; i < a->n; i++)
		if (a->w[i].port != b->w[i].port)
			return a->w[i].port < b->w[i].port ? -1 : 1;
	return 0;
}

/* Where a name without a zone stands, it is its own. */
static const char *
place(const struct atom *a)
{
	return *a->zone != '\0' ? a->zone : a->w->to;
}

static int
by_rule(const struct atom *a, const struct atom *b)
{
	int	c = section(a->w) < section(b->w) ? -1 :
		    section(a->w) > section(b->w);

	if (c == 0)
		c = strcmp(place(a), place(b));
	if (c == 0)
		c = by_kind(a->w, b->w);
	return c != 0 ? c : by_ports(a, b);
}

static int
by_atom(const void *a, const void *b)
{
	int	c = by_rule(a, b);

	return c != 0 ? c : strcmp(((const struct atom *)a)->w->to,
	    ((const struct atom *)b)->w->to);
}

static bool
one_rule(const struct atom *a, const struct atom *b)
{
	return *a->zone != '\0' && by_rule(a, b) == 0;
}

/* NULL: no memory for it. */
static struct atom *
atoms_of(const struct learned *l, size_t *n)
{
	const struct want	*w = (const struct want *)(const void *)l->wants.item;
	struct atom		*a = calloc(l->wants.n + 1, sizeof(*a));
	size_t			 i, k;

	if (a == NULL)
		fatalx("learn: no memory");
	for (i = 0, *n = 0; i < l->wants.n; i += k) {
		for (k = 1; i + k < l->wants.n && one_atom(&w[i], &w[i + k]); )
			k++;
		if (w[i].verify == BY_NO_RULE)
			continue;
		a[*n].w = &w[i];
		a[*n].n = k;
		find_zone(&a[(*n)++]);
	}
	if (*n > 1)
		qsort(a, *n, sizeof(*a), by_atom);
	return a;
}

/* ---- what a rule says ------------------------------------------------------------- */

/* More than one label of `name' are above `base'. */
static bool
is_deep(const char *name, const char *base)
{
	size_t	n = strlen(name), m = strlen(base);

	return n > m + 1 && memchr(name, '.', n - m - 1) != NULL;
}

/* The longest name that all of them are below, from the zone on down. */
static void
common(const struct atom *a, size_t n, char out[NAME_SIZE])
{
	const char	*p = strchr(a->w->to, '.'), *q;
	size_t		 i, k;

	snprintf(out, NAME_SIZE, "%s", a->zone);
	for (; p != NULL && strlen(p + 1) >= strlen(a->zone); p = strchr(p + 1, '.')) {
		k = strlen(p);
		for (i = 0; i < n; i++) {
			q = a[i].w->to;
			if (strlen(q) <= k || strcmp(q + strlen(q) - k, p) != 0)
				break;
		}
		if (i == n) {
			snprintf(out, NAME_SIZE, "%s", p + 1);
			return;
		}
	}
}

static void
write_wildcard(FILE *f, const struct atom *a, size_t n)
{
	char	base[NAME_SIZE];
	bool	deep = false, itself = false;
	size_t	i;

	if (n < WILD_FROM)
		return;
	common(a, n, base);
	for (i = 0; i < n; i++) {
		deep |= is_deep(a[i].w->to, base);
		itself |= strcmp(a[i].w->to, base) == 0;
	}
	fprintf(f, "\t# or: \"%s%s\" (%zu names seen)\n",
	    itself ? "+." : deep ? "**." : "*.", base, n);
}

static void
write_names(FILE *f, const struct atom *a, size_t n)
{
	size_t	i, len = 0;
	bool	lines;

	for (i = 0; i < n; i++)
		len += strlen(a[i].w->to) + 3;
	lines = n > LINE_NAMES || (n > 1 && len > LINE_LENGTH - 32);
	if (n > 1)
		fputs(" {", f);
	for (i = 0; i < n; i++)
		fprintf(f, "%s\"%s\"", lines ? "\n\t\t" : " ", a[i].w->to);
	if (n > 1)
		fputs(lines ? "\n\t}" : " }", f);
}

static void
write_rule(FILE *f, const struct atom *a, size_t n)
{
	const struct want	*w = a->w;
	size_t			 i;

	write_wildcard(f, a, n);
	fputs(w->kind == TARGET_NAME ? "\tallow to name" : "\tallow to net", f);
	if (w->kind == TARGET_NAME)
		write_names(f, a, n);
	else
		fprintf(f, " %s", w->to);
	if (w->proto == PROTO_ECHO) {
		fputs(" icmp echo\n", f);
		return;
	}
	fprintf(f, " port %s%s", w->proto == PROTO_TCP ? "tcp" : "udp",
	    a->n > 1 ? " {" : "");
	for (i = 0; i < a->n; i++)
		fprintf(f, " %u", w[i].port);
	fputs(a->n > 1 ? " }" : "", f);
	if (w->kind == TARGET_NAME && w->proto == PROTO_TCP)
		fputs(w->verify == BY_HOST ? " verify host" :
		    w->verify == BY_NOTHING ? " verify none" : "", f);
	fputs(w->ech ? " ech allow" : "", f);
	fputc('\n', f);
}

/* Above the first rule of each, if there is more than one. */
static void
write_head(FILE *f, const struct atom *a, size_t i, size_t n)
{
	enum section	s = section(a[i].w);

	if (section(a[0].w) == section(a[n - 1].w) ||
	    (i > 0 && section(a[i - 1].w) == s))
		return;
	fprintf(f, "%s\t# %s\n", i > 0 ? "\n" : "", heads[s]);
}

size_t
rules_write(FILE *f, const struct learned *l)
{
	size_t		 n, i, k, rules = 0;
	struct atom	*a = atoms_of(l, &n);

	for (i = 0; i < n; i += k, rules++) {
		for (k = 1; i + k < n && one_rule(&a[i], &a[i + k]); )
			k++;
		write_head(f, a, i, n);
		write_rule(f, &a[i], k);
	}
	free(a);
	return rules;
}

/* What `check' would refuse gets no rule. */
void
rules_arrange(struct learned *l)
{
	struct want	*w;
	struct name	 n;
	size_t		 i;

	for (i = 0; i < l->wants.n; i++) {
		w = list_at(&l->wants, i);
		if (w->kind != TARGET_NAME ||
		    name_from_text(w->to, strlen(w->to), &n) == -1 ||
		    !grammar_public_resolver(&n))
			continue;
		w->verify = BY_NO_RULE;
		log_warnx("learn: %s is a public resolver, which no rule may "
		    "name: it is not in the policy", w->to);
	}
	list_sort(&l->wants, by_want);
}
