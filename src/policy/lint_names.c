/*
 * Names that are read as others, or that no DNS knows: a lookalike in another script, a
 * name of one label, localhost, .local.
 *
 * Trusts: a settled model.
 * Must not: be taken for a complete list of lookalikes. It warns of a slip, and of who
 * hands over a list with one of them in it.
 */
#include <stdlib.h>
#include <string.h>

#include "lint.h"

/* ---- lookalikes ----------------------------------------------------------------- */

struct look {
	uint32_t	c;
	char		as;
};

/* Of other scripts, and not to be told apart in most fonts. Sorted. */
static const struct look	twins[] = {
	{ 0x131, 'i' },						/* dotless i */
	{ 0x251, 'a' }, { 0x261, 'g' }, { 0x269, 'i' },		/* IPA */
	{ 0x3b1, 'a' }, { 0x3b9, 'i' }, { 0x3ba, 'k' }, { 0x3bd, 'v' },
	{ 0x3bf, 'o' }, { 0x3c1, 'p' }, { 0x3c5, 'u' }, { 0x3c7, 'x' },	/* Greek */
	{ 0x430, 'a' }, { 0x435, 'e' }, { 0x43a, 'k' }, { 0x43c, 'm' },
	{ 0x43e, 'o' }, { 0x440, 'p' }, { 0x441, 'c' }, { 0x442, 't' },
	{ 0x443, 'y' }, { 0x445, 'x' }, { 0x455, 's' }, { 0x456, 'i' },
	{ 0x458, 'j' }, { 0x475, 'v' }, { 0x4bb, 'h' }, { 0x4cf, 'l' },
	{ 0x501, 'd' }, { 0x51b, 'q' }, { 0x51d, 'w' },		/* Cyrillic */
	{ 0x566, 'q' }, { 0x570, 'h' }, { 0x578, 'n' }, { 0x57d, 'u' },
	{ 0x581, 'g' }, { 0x585, 'o' },				/* Armenian */
};

/* Letters with a small mark: names of their own, unless there is the one without. */
static const struct look	kin[] = {
	{ 0xe0, 'a' }, { 0xe1, 'a' }, { 0xe2, 'a' }, { 0xe4, 'a' }, { 0xe5, 'a' },
	{ 0xe7, 'c' }, { 0xe8, 'e' }, { 0xe9, 'e' }, { 0xea, 'e' }, { 0xeb, 'e' },
	{ 0xec, 'i' }, { 0xed, 'i' }, { 0xee, 'i' }, { 0xef, 'i' }, { 0xf1, 'n' },
	{ 0xf2, 'o' }, { 0xf3, 'o' }, { 0xf4, 'o' }, { 0xf6, 'o' }, { 0xf8, 'o' },
	{ 0xf9, 'u' }, { 0xfa, 'u' }, { 0xfb, 'u' }, { 0xfc, 'u' }, { 0xfd, 'y' },
	{ 0x105, 'a' }, { 0x107, 'c' }, { 0x10d, 'c' }, { 0x119, 'e' },
	{ 0x11f, 'g' }, { 0x142, 'l' }, { 0x144, 'n' }, { 0x15b, 's' },
	{ 0x15f, 's' }, { 0x161, 's' }, { 0x163, 't' }, { 0x17a, 'z' },
	{ 0x17c, 'z' }, { 0x17e, 'z' }, { 0x1e05, 'b' }, { 0x1e0d, 'd' },
	{ 0x1e25, 'h' }, { 0x1e33, 'k' }, { 0x1e37, 'l' }, { 0x1e43, 'm' },
	{ 0x1e47, 'n' }, { 0x1e5b, 'r' }, { 0x1e63, 's' }, { 0x1e6d, 't' },
	{ 0x1e89, 'w' }, { 0x1e93, 'z' }, { 0x1ea1, 'a' }, { 0x1eb9, 'e' },
	{ 0x1ecb, 'i' }, { 0x1ecd, 'o' }, { 0x1ee5, 'u' }, { 0x1ef5, 'y' },
};

static int
compare(const void *a, const void *b)
{
	uint32_t	x = *(const uint32_t *)a, y = ((const struct look *)b)->c;

	return (x > y) - (x < y);
}

static char
look(const struct look *v, size_t n, uint32_t c)
{
	const struct look	*found = bsearch(&c, v, n, sizeof(*v), compare);

	return found == NULL ? '\0' : found->as;
}

/*
 * What the name reads as in ASCII. *near: some of it only nearly does. False: it is of
 * another script, and reads as that.
 */
static bool
reads_as(const uint32_t *s, struct name *out, bool *near)
{
	char	text[NAME_TEXT_MAX + 1], c;
	size_t	n = 0;

	*near = false;
	for (; *s != 0 && n < NAME_TEXT_MAX; s++) {
		if (*s < 0x80) {
			text[n++] = (char)*s;
			continue;
		}
		c = look(twins, sizeof(twins) / sizeof(twins[0]), *s);
		if (c == '\0') {
			c = look(kin, sizeof(kin) / sizeof(kin[0]), *s);
			*near = true;
		}
		if (c == '\0')
			return false;
		text[n++] = c;
	}
	return *s == 0 && name_from_text(text, n, out) == 0;
}

static bool
is_idn(const struct name *n)
{
	return strncmp(n->text, "xn--", 4) == 0 ||
	    strstr(n->text, ".xn--") != NULL;
}

static bool
has_host(const struct model *m, const struct name *n)
{
	size_t	lo = 0, hi = m->host.n, mid;
	int	c;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if ((c = name_compare(&m->host.v[mid].name, n)) == 0)
			return true;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

static void
check_lookalike(struct parse *p, const struct rule *r, const struct pattern *n,
    const struct name *base)
{
	uint32_t	text[NAME_TEXT_MAX + 1];
	struct name	ascii;
	bool		near;

	if (!is_idn(base) || pattern_unicode(base, text) == -1 ||
	    !reads_as(text, &ascii, &near))
		return;
	if (model_name_find(p->m, ascii.text, ascii.len) != NULL)
		report_lint(p, "W206", &n->at, &r->at, "\"%.64s\" reads as \"%.64s\", "
		    "which this policy has, too, and is another name: take the "
		    "wrong one of the two out", base->text, ascii.text);
	else if (!near)
		report_lint(p, "W206", &n->at, &r->at, "\"%.64s\" reads as \"%.64s\", "
		    "and is another name: write that, if it is meant", base->text,
		    ascii.text);
}

/* ---- names that are not in the DNS ---------------------------------------------------- */

static bool
ends_in(const struct name *n, const char *label)
{
	size_t	len = strlen(label);

	return n->len >= len && strcmp(n->text + n->len - len, label) == 0 &&
	    (n->len == len || n->text[n->len - len - 1] == '.');
}

static void
check_single(struct parse *p, const struct rule *r, const struct pattern *n,
    const struct name *base)
{
	bool	one = name_labels(base) == 1;

	if (ends_in(base, "localhost"))
		report_lint(p, "W209", &n->at, &r->at, "\"%.64s\" is the guest itself, "
		    "and never asked for: for a service of this host write "
		    "host-service", base->text);
	else if (has_host(p->m, base))
		return;
	else if (ends_in(base, "local") && !one)
		report_lint(p, "W209", &n->at, &r->at, "\"%.64s\" is found by multicast "
		    "DNS, which no guest has: give it an address with host \"%.64s\"",
		    base->text, base->text);
	else if (one && n->wild == NAME_EXACT)
		report_lint(p, "W209", &n->at, &r->at, "\"%.64s\" is a top level of the "
		    "DNS, and a guest's search list makes another name of it: write "
		    "it whole, or give it an address with host \"%.64s\"",
		    base->text, base->text);
}

void
lint_name(struct parse *p, const struct rule *r, const struct pattern *n)
{
	struct blob_name	b;

	pattern_spell(n, &b);
	check_lookalike(p, r, n, &b.base);
	check_single(p, r, n, &b.base);
}

/* ---- search ------------------------------------------------------------------------ */

static bool
is_below(const struct model_name *b, const struct name *n)
{
	const char	*end = b->text + b->len - n->len;

	return b->len >= n->len && strcmp(end, n->text) == 0 &&
	    (b->len == n->len || end[-1] == '.');
}

/* Some name below it may be resolved by this list: a wildcard's, or one that is. */
static bool
reaches_below(struct parse *p, const struct patterns *s, const struct name *n)
{
	struct name	one = { .len = (uint16_t)(n->len + 2) };
	size_t		i;

	if (one.len > NAME_TEXT_MAX)
		return true;
	memcpy(one.text, "x.", 2);
	memcpy(one.text + 2, n->text, n->len);
	if (model_has_name(p->m, s, &one))
		return true;
	for (i = 0; i < s->list.n && p->compared++ < COMPARE_MAX; i++)
		if (is_below(s->list.v[i].base, n))
			return true;
	for (i = 0; i < s->set.n; i++)
		if (reaches_below(p, &p->m->nameset.v[s->set.v[i].index].patterns,
		    n))
			return true;
	return false;
}

static bool
is_searched(struct parse *p, const struct name *n)
{
	const struct tenant	*t;
	size_t			 i, k;

	for (i = 0; i < p->m->tenant.n; i++) {
		t = &p->m->tenant.v[i];
		if (t->mode == MODE_AUDIT)
			return true;
		for (k = 0; k < t->rule.n; k++)
			if (!t->rule.v[k].deny &&
			    (t->rule.v[k].dest.kind == KIND_ANY ||
			    reaches_below(p, &t->rule.v[k].dest.names, n)))
				return true;
	}
	return p->compared >= COMPARE_MAX;
}

/* A guest that completes a name with it asks for what nobody may. */
void
lint_search(struct parse *p)
{
	size_t	i;

	for (i = 0; i < p->m->search.n; i++)
		if (!is_searched(p, &p->m->search.v[i]))
			report_note(p, "W132", &p->search_at.v[i], NULL, "no tenant may "
			    "resolve a name below \"%.64s\", so that this only costs "
			    "a question: take it out, or allow such names",
			    p->m->search.v[i].text);
}
