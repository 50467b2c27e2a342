/*
 * Resolvers that anyone may ask over HTTPS. A guest that reaches one has a resolver
 * that knows no law of ours, and a way to carry bytes out in questions.
 *
 * Must not: be taken for complete. It warns of a slip, it stops nobody.
 */
#include <string.h>

#include "grammar.h"
#include "read.h"

static const char *const	names[] = {
	"anycast.dns.nextdns.io",
	"chrome.cloudflare-dns.com",
	"cloudflare-dns.com",
	"dns.adguard-dns.com",
	"dns.alidns.com",
	"dns.google",
	"dns.mullvad.net",
	"dns.nextdns.io",
	"dns.quad9.net",
	"dns.sb",
	"dns10.quad9.net",
	"dns11.quad9.net",
	"dns9.quad9.net",
	"dns64.dns.google",
	"doh.cleanbrowsing.org",
	"doh.dns.sb",
	"doh.opendns.com",
	"doh.pub",
	"doh.familyshield.opendns.com",
	"family.cloudflare-dns.com",
	"freedns.controld.com",
	"mozilla.cloudflare-dns.com",
	"one.one.one.one",
	"security.cloudflare-dns.com",
	"unfiltered.adguard-dns.com",
};

static const char *const	addresses[] = {
	"1.0.0.1", "1.1.1.1", "8.8.4.4", "8.8.8.8", "9.9.9.9", "94.140.14.14",
	"94.140.15.15", "149.112.112.112", "208.67.220.220", "208.67.222.222",
	"2001:4860:4860::8844", "2001:4860:4860::8888", "2606:4700:4700::1001",
	"2606:4700:4700::1111", "2620:119:35::35", "2620:119:53::53",
	"2620:fe::9", "2620:fe::fe",
};

bool
grammar_public_resolver(const struct name *n)
{
	size_t	i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(n->text, names[i]) == 0)
			return true;
	return false;
}

/* Wider than this a network is not about the resolver in it. */
#define NARROW_V4	16
#define NARROW_V6	32

static const struct pattern *
find_pattern(const struct model *m, const struct patterns *s,
    const struct name *n)
{
	const struct pattern	*by = model_find_pattern(m, s, n);
	size_t			 i;

	for (i = 0; by == NULL && i < s->set.n; i++)
		by = model_find_pattern(m,
		    &m->nameset.v[s->set.v[i].index].patterns, n);
	return by;
}

/* Those that a pattern somewhere in the policy stands for: most policies have none. */
static void
find_mentioned(struct parse *p)
{
	struct name	n;
	size_t		i;

	p->resolvers_known = true;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (name_from_text(names[i], strlen(names[i]), &n) == 0 &&
		    model_mentions(p->m, &n))
			push(p->m, p->resolver_name, n);
}

static void
check_names(struct parse *p, const struct rule *r)
{
	const struct pattern	*by;
	const struct name	*n;
	size_t			 i;

	if (!p->resolvers_known)
		find_mentioned(p);
	for (i = 0; i < p->resolver_name.n; i++) {
		n = &p->resolver_name.v[i];
		if ((by = find_pattern(p->m, &r->dest.names, n)) == NULL ||
		    find_pattern(p->m, &r->dest.xnames, n) != NULL ||
		    (by->wild != NAME_EXACT &&
		    suffix_find(by) == SUFFIX_ICANN))
			continue;
		report_coded(p, "E110", &by->at, "this allows %s, a public "
		    "resolver: a guest that asks there is under no rule by name%s",
		    n->text, by->wild == NAME_EXACT ? "" :
		    "; subtract such names with except");
		return;
	}
}

static bool
is_narrow(const struct prefix *x)
{
	return x->len >= (x->family == ADDR_V4 ? NARROW_V4 : NARROW_V6);
}

static const struct net *
find_net(const struct model *m, const struct nets *s, const struct endpoint *e)
{
	struct entry	by;

	return model_which_net(m, s, e, &by) ? by.net : NULL;
}

static bool
has_dns_port(const struct services *s)
{
	size_t	i;

	for (i = 0; i < s->range.n; i++)
		if ((s->range.v[i].lo <= 53 && 53 <= s->range.v[i].hi) ||
		    (s->range.v[i].lo <= 443 && 443 <= s->range.v[i].hi))
			return true;
	return false;
}

static void
check_nets(struct parse *p, const struct rule *r)
{
	const struct net	*by;
	struct endpoint		 e;
	size_t			 i;

	for (i = 0; has_dns_port(&r->services) &&
	    i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		if (addr_parse(addresses[i], &e) == -1 ||
		    (by = find_net(p->m, &r->dest.in, &e)) == NULL ||
		    !is_narrow(&by->prefix) ||
		    find_net(p->m, &r->dest.out, &e) != NULL)
			continue;
		report_lint(p, "W110", &by->at, &r->at, "%s is a public resolver: a "
		    "guest that asks there is under no rule by name", addresses[i]);
	}
}

void
review_public_resolvers(struct parse *p, const struct rule *r)
{
	if (r->dest.kind == KIND_NAME)
		check_names(p, r);
	else if (r->dest.kind == KIND_NET)
		check_nets(p, r);
}
