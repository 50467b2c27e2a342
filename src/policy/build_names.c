/*
 * The grammar's actions for names, hosts and the resolver. As in build.c, each
 * reports what is wrong with the words at hand and goes on.
 *
 * Trusts: that parse.y calls it with what the grammar promises.
 * Must not: check what other parts of the policy decide; that is review's.
 */
#include <string.h>

#include "read.h"
#include "suggest.h"

#define PIN_MAX		604800		/* seconds; a week */

/* Names may have other scripts; labels, tickets and paths may not. */
void
build_ascii(struct parse *p, const struct item *w)
{
	struct where	at = w->at;
	const char	*s;

	for (s = w->text; *s != '\0' && (unsigned char)*s < 0x80; s++)
		;
	if (*s == '\0')
		return;
	at.column += (uint32_t)(s + 1 - w->text);
	report_error(p, &at, "this string holds printable ASCII: other letters are "
	    "for host names");
}

void
build_patterns(struct parse *p, struct patterns *to, const struct items *from,
    bool sets)
{
	struct blob_name	b;
	struct pattern		n;
	size_t			i;

	for (i = 0; i < from->list.n && !report_full(p); i++) {
		const struct item *w = &from->list.v[i];

		if (w->table && sets) {
			push(p->m, to->set, *w);
			continue;
		}
		if (w->table) {
			report_error(p, &w->at, "a set of names holds names, not "
			    "<%.64s>: write both where they are used, as "
			    "{ <a> <b> }", w->text);
			continue;
		}
		if (pattern_parse(p, w, &b) == -1)
			continue;
		n = (struct pattern){ .base = model_name(p->m, &b.base),
		    .via = w->via, .at = w->at, .wild = b.wild };
		push(p->m, to->list, n);
	}
}

/* ---- what a rule by name may have --------------------------------------------- */

void
build_verify(struct parse *p, struct rule *r, const struct where *at,
    const struct item *how)
{
	static const char *const	words[] = {
		[VERIFY_NONE] = "none", [VERIFY_SNI] = "sni",
		[VERIFY_HOST] = "host" };
	struct suggestion		s;
	uint32_t			i;

	if (r->verify_at.line != 0)
		report_error(p, at, "the rule says already what it verifies");
	r->verify_at = *at;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(how->text, words[i]) == 0) {
			r->verify = i;
			return;
		}
	suggest_begin(&s, how->text);
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		suggest_offer(&s, words[i]);
	if (suggest_end(&s) != NULL)
		report_error(p, &how->at, "\"%.64s\" after verify: did you mean "
		    "\"%s\"?", how->text, suggest_end(&s));
	else
		report_error(p, &how->at, "\"%.64s\" after verify: expected sni, "
		    "host or none", how->text);
}

void
build_ech(struct parse *p, struct rule *r, const struct where *at, bool allow)
{
	if (r->ech_at.line != 0)
		report_error(p, at, "the rule says already what it does with ECH");
	r->ech_at = *at;
	r->ech = allow;
}

/* ---- hosts ------------------------------------------------------------------------ */

static bool
has_address(const struct host *h, const struct endpoint *e)
{
	size_t	i;

	for (i = 0; i < h->addr.n; i++)
		if (addr_equal(&h->addr.v[i], e))
			return true;
	return false;
}

static void
add_address(struct parse *p, struct host *h, const struct item *w)
{
	const struct floor_entry	*f;
	struct endpoint			 e;

	if (w->quoted || w->table) {
		report_error(p, &w->at, "\"%.64s\" is not an address of a host",
		    w->text);
		return;
	}
	if (value_address(p, w, &e) == -1)
		return;
	f = floor_find(&e);
	if (f != NULL && f->never)
		report_error(p, &w->at, "no guest can ever reach %.64s (%s)",
		    w->text, f->what);
	else if (has_address(h, &e))
		report_error(p, &w->at, "%.64s is given twice", w->text);
	else if (h->addr.n == ANSWER_MAX)
		report_error(p, &w->at, "a host has at most %d addresses",
		    ANSWER_MAX);
	else
		push(p->m, h->addr, e);
}

void
build_host(struct parse *p, const struct item *name,
    const struct items *addresses)
{
	struct host	h = { .at = name->at };
	size_t		i;

	if (pattern_name(p, name, &h.name) == -1)
		return;
	for (i = 0; i < addresses->list.n && !report_full(p); i++)
		add_address(p, &h, &addresses->list.v[i]);
	push(p->m, p->m->host, h);
}

/* ---- the resolver ------------------------------------------------------------------ */

void
build_resolver(struct parse *p, const struct where *at)
{
	if (p->resolver_seen)
		report_error(p, at, "resolver is given twice: write all its "
		    "settings into one");
	p->resolver_seen = true;
}

/* ADDR, ADDR:PORT or [ADDR]:PORT. */
static int
upstream_address(struct parse *p, const struct item *w, bool tls,
    struct endpoint *out)
{
	memset(out, 0, sizeof(*out));
	if (addr_parse(w->text, out) == 0)
		out->port = tls ? 853 : 53;
	else if (endpoint_parse(w->text, out) == -1 || out->port == 0) {
		report_error(p, &w->at, "\"%.64s\" is not the address of an "
		    "upstream: 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53",
		    w->text);
		return -1;
	}
	*out = endpoint_canonical(*out);
	if (out->family == ADDR_V6 && addr_is_link_local(out)) {
		report_error(p, &w->at, "%.64s needs an interface, which cannot "
		    "be written here: give the upstream's other address",
		    w->text);
		return -1;
	}
	if (!addr_is_unspecified(out) && !addr_is_multicast(out))
		return 0;
	report_error(p, &w->at, "no upstream is at %.64s", w->text);
	return -1;
}

void
build_upstream(struct parse *p, const struct where *at,
    const struct items *words, const struct item *name)
{
	struct policy_resolver	*r = &p->m->resolver;
	struct policy_upstream	 u;
	const struct item	*w = words->list.v;
	bool			 tls = strcmp(w[0].text, "tls") == 0;

	memset(&u, 0, sizeof(u));
	if (words->list.n != (tls ? 2 : 1)) {
		report_error(p, at, "an upstream is one address, or tls, one "
		    "address and name \"...\"");
		return;
	}
	if (tls != (name != NULL)) {
		report_error(p, at, tls ? "an upstream with tls is verified: give "
		    "its name, as name \"dns.example.net\"" :
		    "the name of an upstream is verified with tls: write tls "
		    "before its address, or leave the name out");
		return;
	}
	u.tls = tls;
	if (upstream_address(p, &w[tls], tls, &u.addr) == -1 ||
	    (tls && pattern_name(p, name, &u.name) == -1))
		return;
	if (r->nupstreams == UPSTREAM_MAX)
		report_error(p, at, "at most %d upstreams", UPSTREAM_MAX);
	else
		r->upstream[r->nupstreams++] = u;
}

enum resolver_setting { RESOLVER_DNSSEC, RESOLVER_MIN, RESOLVER_MAX,
	RESOLVER_GRACE };

static void
once(struct parse *p, enum resolver_setting which, const struct where *at,
    const char *what)
{
	if ((p->resolver_set & 1u << which) != 0)
		report_error(p, at, "%s is given twice", what);
	p->resolver_set |= 1u << which;
}

void
build_dnssec(struct parse *p, const struct where *at, const struct item *w)
{
	once(p, RESOLVER_DNSSEC, at, "dnssec");
	p->m->resolver.dnssec = strcmp(w->text, "yes") == 0;
	if (p->m->resolver.dnssec == 0 && strcmp(w->text, "no") != 0)
		report_error(p, &w->at, "\"%.64s\" after dnssec: expected yes or "
		    "no", w->text);
}

/* A duration; nothing at all is one, too, except for the longest. */
static void
pin_value(struct parse *p, enum resolver_setting which, const struct item *w,
    uint32_t *out)
{
	if (which != RESOLVER_MAX && strcmp(w->text, "0s") == 0)
		*out = 0;
	else if (value_duration(p, w, out) == 0 && *out > PIN_MAX) {
		report_error(p, &w->at, "a pin of more than 7d outlives what it "
		    "knows");
		*out = PIN_MAX;
	}
}

void
build_pin(struct parse *p, const struct items *words)
{
	struct policy_resolver		*r = &p->m->resolver;
	static const char *const	 names[] = { [RESOLVER_MIN] = "min",
				    [RESOLVER_MAX] = "max",
				    [RESOLVER_GRACE] = "grace" };
	uint32_t			*to[] = { [RESOLVER_MIN] = &r->pin_min,
				    [RESOLVER_MAX] = &r->pin_max,
				    [RESOLVER_GRACE] = &r->pin_grace };
	size_t				 i, k;

	for (i = 0; i < words->list.n; i += 2) {
		const struct item *w = &words->list.v[i];

		for (k = RESOLVER_MIN; k <= RESOLVER_GRACE; k++)
			if (strcmp(w->text, names[k]) == 0)
				break;
		if (k > RESOLVER_GRACE || i + 1 == words->list.n) {
			report_error(p, &w->at, k > RESOLVER_GRACE ? "\"%.64s\" "
			    "after pin: expected min, max or grace" :
			    "a duration is missing after %.64s", w->text);
			return;
		}
		once(p, (enum resolver_setting)k, &w->at, names[k]);
		if (k == RESOLVER_GRACE)
			p->grace_at = w->at;
		pin_value(p, (enum resolver_setting)k, w + 1, to[k]);
	}
}

void
build_search(struct parse *p, const struct item *w)
{
	struct model	*m = p->m;
	struct name	 n;
	size_t		 i;

	if (pattern_name(p, w, &n) == -1)
		return;
	for (i = 0; i < m->search.n; i++)
		if (name_equal(&m->search.v[i], &n)) {
			report_error(p, &w->at, "%s is given twice", n.text);
			return;
		}
	if (m->search.n == GRAMMAR_SEARCH_MAX)
		report_error(p, &w->at, "at most %d names in search",
		    GRAMMAR_SEARCH_MAX);
	else {
		push(m, m->search, n);
		push(m, p->search_at, w->at);
	}
}

/* What no resolver of ours can do (resolve.h). */
static void
check_tls(struct parse *p, const struct where *at)
{
	const struct policy_resolver	*r = &p->m->resolver;
	uint32_t			 i, tls = 0;

	for (i = 0; i < r->nupstreams; i++)
		tls += r->upstream[i].tls;
	if (tls != 0 && tls != r->nupstreams)
		report_error(p, at, "upstreams with and without tls: a question "
		    "that tls cannot carry would go out in the clear; write tls "
		    "for all of them or for none");
	else if (tls != 0 && r->dnssec != 0)
		report_error(p, at, "dnssec yes does not go with tls upstreams "
		    "in this version: leave one of them out");
}

void
build_resolver_end(struct parse *p, const struct where *at)
{
	if (p->m->resolver.pin_min > p->m->resolver.pin_max)
		report_error(p, at, "pin: min is more than max (%us), and no pin "
		    "lives both that long and that short",
		    p->m->resolver.pin_max);
	check_tls(p, at);
}
