/*
 * What the ports of a rule say that its writer may not have meant: a proof that cannot
 * come there, a proof that was another one in the release before, names that are
 * resolved for the sake of one port.
 *
 * Trusts: a settled model.
 * Must not: judge a range that has a port in it by the way: it is not written for that.
 */
#include "read.h"

#define NARROW	16u		/* ports that are still written one by one */

/* The server greets, or TLS begins after words in the clear. */
static const uint16_t	talkers[] = { 21, 22, 23, 25, 110, 119, 143, 389, 587, 3306 };
/* Both are usual: TLS from the first byte, and not. */
static const uint16_t	mixed[] = { 1433, 1883, 5432, 5672, 6379, 9092, 11211,
			    27017 };

#define HAS(r, port)	((r)->lo <= (port) && (port) <= (r)->hi)

/* The first of these TCP ports that a narrow range has, or 0. */
static uint16_t
find_port(const struct services *s, const uint16_t *ports, size_t n)
{
	size_t	i, k;

	for (i = 0; i < s->range.n; i++) {
		const struct blob_range *r = &s->range.v[i];

		if (r->proto != PROTO_TCP || r->hi - r->lo >= (int)NARROW)
			continue;
		for (k = 0; k < n; k++)
			if (HAS(r, ports[k]))
				return ports[k];
	}
	return 0;
}

void
lint_ports(struct parse *p, const struct rule *r)
{
	const char	*what = r->verify == VERIFY_HOST ? "host" : "sni";
	uint16_t	 port;

	if (r->dest.kind != KIND_NAME || r->deny || r->verify == VERIFY_NONE)
		return;
	port = find_port(&r->services, talkers,
	    sizeof(talkers) / sizeof(talkers[0]));
	if (port != 0) {
		report_lint(p, "W204", &r->services.at, NULL, "on port %u the server "
		    "speaks first, or TLS comes later, so verify %s sees nothing "
		    "and lets nothing through: write the port in a rule of its own "
		    "with verify none nowarn W201 \"why\"", port, what);
		return;
	}
	port = find_port(&r->services, mixed, sizeof(mixed) / sizeof(mixed[0]));
	if (port != 0 && r->verify_at.line == 0)
		report_note(p, "W204", &r->services.at, NULL, "on port %u verify "
		    "sni lets through only what begins with TLS: write verify sni "
		    "if it does; else write the port in a rule of its own with "
		    "verify none", port);
}

/* ---- port 80: for one release ------------------------------------------------------- */

static bool
has_host_port(const struct rule *r)
{
	size_t	i;

	for (i = 0; i < r->services.range.n; i++)
		if (r->services.range.v[i].proto == PROTO_TCP &&
		    HAS(&r->services.range.v[i], VERIFY_HOST_PORT))
			return true;
	return false;
}

/* Once: whoever reads it knows of all of them. */
void
lint_host_port(struct parse *p)
{
	const struct rule	*first = NULL;
	const struct tenant	*t;
	unsigned int		 n = 0;
	size_t			 i, k;

	for (i = 0; i < p->m->tenant.n; i++) {
		t = &p->m->tenant.v[i];
		for (k = 0; k < t->rule.n; k++) {
			const struct rule *r = &t->rule.v[k];

			if (r->deny || r->dest.kind != KIND_NAME ||
			    r->verify_at.line != 0 || !has_host_port(r))
				continue;
			if (n++ == 0)
				first = r;
		}
	}
	if (n == 0)
		return;
	report_note(p, "W207", &first->services.at, NULL, "port 80 is proved by the "
	    "Host of a request now, no more by a server name, where a rule does not "
	    "say (%u rule%s, this is the first): write verify host or verify sni, in "
	    "a rule of its own for port 80", n, n == 1 ? "" : "s");
}

/* ---- any ----------------------------------------------------------------------------- */

/* Once for a tenant, and not for one that may send anything anywhere. */
void
lint_any(struct parse *p, const struct tenant *t)
{
	const struct rule	*r, *first = NULL;
	size_t			 i;

	if (t->mode == MODE_AUDIT)
		return;
	for (i = 0; i < t->rule.n; i++) {
		r = &t->rule.v[i];
		if (r->deny || r->dest.kind != KIND_ANY)
			continue;
		if (!r->services.written)
			return;
		if (first == NULL)
			first = r;
	}
	if (first != NULL)
		report_note(p, "W123", &first->dest.at, NULL, "any lets every name be "
		    "resolved, whatever the ports: where the networks or names are "
		    "known, write them instead");
}
