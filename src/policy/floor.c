/*
 * The floor: what no allow rule reaches. Outside of it is IPv4 global unicast and
 * IPv6 in 2000::/3 without the special ranges; everything else is on it.
 *
 * Must not: depend on the host. What is its own comes with each query.
 *
 * A change to a table is a new FLOOR_VERSION: the version is part of the
 * policy's hash, which is in every record.
 */
#include <string.h>

#include "law.h"

#define V4(a, b, c, d, len)						\
	{ ADDR_V4, (len), { (a), (b), (c), (d) } }
#define W(w)	(w) >> 8, (w) & 0xff
#define V6(a, b, c, d, len)						\
	{ ADDR_V6, (len), { W(a), W(b), W(c), W(d) } }
/* a:b:c:0:0:0:0:h/128 */
#define V6HOST(a, b, c, h)						\
	{ ADDR_V6, 128, { W(a), W(b), W(c), [14] = (h) >> 8, (h) & 0xff } }
/* a:b:0:0:0:0:g:h/128 */
#define V6PAIR(a, b, g, h)						\
	{ ADDR_V6, 128, { W(a), W(b), [12] = (g) >> 8, (g) & 0xff, W(h) } }

#define NEVER	1

/*
 * The IANA special-purpose registries (RFC 6890) and the addresses at which
 * clouds hand credentials to whoever asks. First match; the catch-alls of IPv6
 * stand last.
 */
const struct floor_entry	floor_entries[] = {
	{ V4(169, 254, 169, 254, 32), NEVER, REASON_FLOOR_METADATA,
	    "metadata service of most clouds" },
	{ V4(169, 254, 170, 2, 32), NEVER, REASON_FLOOR_METADATA,
	    "container credentials, AWS ECS" },
	{ V4(169, 254, 170, 23, 32), NEVER, REASON_FLOOR_METADATA,
	    "container credentials, AWS EKS" },
	{ V4(169, 254, 42, 42, 32), NEVER, REASON_FLOOR_METADATA,
	    "metadata service, Scaleway" },
	{ V4(169, 254, 0, 23, 32), NEVER, REASON_FLOOR_METADATA,
	    "metadata service, Tencent" },
	{ V4(100, 100, 100, 200, 32), NEVER, REASON_FLOOR_METADATA,
	    "metadata service, Alibaba" },
	{ V4(192, 0, 0, 192, 32), NEVER, REASON_FLOOR_METADATA,
	    "metadata service, Oracle" },
	{ V4(168, 63, 129, 16, 32), NEVER, REASON_FLOOR_METADATA,
	    "WireServer, Azure; a public address" },
	{ V6HOST(0xfd00, 0x0ec2, 0, 0x0254), NEVER, REASON_FLOOR_METADATA,
	    "metadata service, AWS" },
	{ V6HOST(0xfd00, 0x0ec2, 0, 0x0023), NEVER, REASON_FLOOR_METADATA,
	    "container credentials, AWS EKS" },
	{ V6HOST(0xfd20, 0x00ce, 0, 0x0254), NEVER, REASON_FLOOR_METADATA,
	    "metadata service, Google" },
	{ V6PAIR(0xfd00, 0x00c1, 0xa9fe, 0xa9fe), NEVER, REASON_FLOOR_METADATA,
	    "metadata service, Oracle" },
	{ V6HOST(0xfd00, 0x0042, 0, 0x0042), NEVER, REASON_FLOOR_METADATA,
	    "metadata service, Scaleway" },

	{ V4(0, 0, 0, 0, 8), NEVER, REASON_FLOOR_LOCAL,
	    "this network, RFC 791: connects to this host" },
	{ V4(127, 0, 0, 0, 8), NEVER, REASON_FLOOR_LOCAL,
	    "loopback, RFC 1122" },
	{ V4(224, 0, 0, 0, 4), NEVER, REASON_FLOOR_SPECIAL,
	    "multicast, RFC 5771" },
	{ V4(255, 255, 255, 255, 32), NEVER, REASON_FLOOR_SPECIAL,
	    "broadcast, RFC 919" },
	{ V6HOST(0, 0, 0, 0), NEVER, REASON_FLOOR_LOCAL,
	    "unspecified, RFC 4291: connects to this host" },
	{ V6HOST(0, 0, 0, 1), NEVER, REASON_FLOOR_LOCAL,
	    "loopback, RFC 4291" },
	{ V6(0xff00, 0, 0, 0, 8), NEVER, REASON_FLOOR_SPECIAL,
	    "multicast, RFC 4291" },

	{ V4(10, 0, 0, 0, 8), 0, REASON_FLOOR_SPECIAL,
	    "private, RFC 1918" },
	{ V4(100, 64, 0, 0, 10), 0, REASON_FLOOR_SPECIAL,
	    "shared, RFC 6598" },
	{ V4(169, 254, 0, 0, 16), 0, REASON_FLOOR_SPECIAL,
	    "link-local, RFC 3927" },
	{ V4(172, 16, 0, 0, 12), 0, REASON_FLOOR_SPECIAL,
	    "private, RFC 1918" },
	{ V4(192, 0, 0, 0, 24), 0, REASON_FLOOR_SPECIAL,
	    "protocol assignments, RFC 6890" },
	{ V4(192, 0, 2, 0, 24), 0, REASON_FLOOR_SPECIAL,
	    "documentation, RFC 5737" },
	{ V4(192, 88, 99, 0, 24), 0, REASON_FLOOR_SPECIAL,
	    "6to4 relay anycast, RFC 7526" },
	{ V4(192, 168, 0, 0, 16), 0, REASON_FLOOR_SPECIAL,
	    "private, RFC 1918" },
	{ V4(198, 18, 0, 0, 15), 0, REASON_FLOOR_SPECIAL,
	    "benchmarking, RFC 2544" },
	{ V4(198, 51, 100, 0, 24), 0, REASON_FLOOR_SPECIAL,
	    "documentation, RFC 5737" },
	{ V4(203, 0, 113, 0, 24), 0, REASON_FLOOR_SPECIAL,
	    "documentation, RFC 5737" },
	{ V4(240, 0, 0, 0, 4), 0, REASON_FLOOR_SPECIAL,
	    "reserved, RFC 1112" },

	{ V6(0x2001, 0, 0, 0, 23), 0, REASON_FLOOR_SPECIAL,
	    "protocol assignments with Teredo, RFC 2928 and 4380" },
	{ V6(0x2001, 0x0db8, 0, 0, 32), 0, REASON_FLOOR_SPECIAL,
	    "documentation, RFC 3849" },
	{ V6(0x2002, 0, 0, 0, 16), 0, REASON_FLOOR_SPECIAL,
	    "6to4, RFC 3056" },
	{ V6(0x3fff, 0, 0, 0, 20), 0, REASON_FLOOR_SPECIAL,
	    "documentation, RFC 9637" },
	{ V6(0x0064, 0xff9b, 1, 0, 48), 0, REASON_FLOOR_SPECIAL,
	    "local-use NAT64, RFC 8215" },
	{ V6(0xfc00, 0, 0, 0, 7), 0, REASON_FLOOR_SPECIAL,
	    "unique local, RFC 4193" },
	{ V6(0xfe80, 0, 0, 0, 10), 0, REASON_FLOOR_SPECIAL,
	    "link-local, RFC 4291" },
	{ V6(0xfec0, 0, 0, 0, 10), 0, REASON_FLOOR_SPECIAL,
	    "site-local, RFC 3879" },
	{ V6(0, 0, 0, 0, 3), 0, REASON_FLOOR_SPECIAL,
	    "not global unicast, RFC 4291" },
	{ V6(0x4000, 0, 0, 0, 2), 0, REASON_FLOOR_SPECIAL,
	    "not global unicast, RFC 4291" },
	{ V6(0x8000, 0, 0, 0, 1), 0, REASON_FLOOR_SPECIAL,
	    "not global unicast, RFC 4291" },
};
const size_t	floor_nentries = sizeof(floor_entries) / sizeof(floor_entries[0]);

const struct floor_port	floor_ports[] = {
	{ 25, PROTO_TCP, "mail relay" },
	{ 853, PROTO_TCP, "DNS over TLS, RFC 7858: past our resolver" },
	{ 853, PROTO_UDP, "DNS over QUIC, RFC 9250: past our resolver" },
};
const size_t	floor_nports = sizeof(floor_ports) / sizeof(floor_ports[0]);

/* The one range that is not judged by itself but by what it holds (RFC 6052). */
static const struct prefix	nat64 = V6(0x0064, 0xff9b, 0, 0, 96);

/* ---- one address in another ------------------------------------------- */

static void
add_v4(struct forms *f, const uint8_t *a, uint8_t flip)
{
	struct endpoint	*e = &f->form[f->n++];

	memset(e, 0, sizeof(*e));
	e->family = ADDR_V4;
	e->port = f->form[0].port;
	e->addr[0] = a[0] ^ flip;
	e->addr[1] = a[1] ^ flip;
	e->addr[2] = a[2] ^ flip;
	e->addr[3] = a[3] ^ flip;
}

/* RFC 6052 2.2: the length of a local prefix is its operator's; try them all. */
static void
add_rfc6052(struct forms *f, const uint8_t a[16])
{
	const uint8_t	p48[4] = { a[6], a[7], a[9], a[10] };
	const uint8_t	p56[4] = { a[7], a[9], a[10], a[11] };

	add_v4(f, p48, 0);
	add_v4(f, p56, 0);
	add_v4(f, a + 9, 0);		/* /64 */
	add_v4(f, a + 12, 0);		/* /96 */
}

static bool
is_isatap(const uint8_t a[16])		/* RFC 5214 6.1 */
{
	return (a[8] & 0xfd) == 0 && a[9] == 0 && a[10] == 0x5e && a[11] == 0xfe;
}

void
floor_forms(const struct endpoint *e, struct forms *f)
{
	static const struct prefix	local64 = V6(0x0064, 0xff9b, 1, 0, 48),
					sixto4 = V6(0x2002, 0, 0, 0, 16),
					teredo = V6(0x2001, 0, 0, 0, 32),
					compat = V6(0, 0, 0, 0, 96),
					siit = { ADDR_V6, 96,	/* RFC 2765 */
					    { [8] = 0xff, 0xff } };
	const uint8_t			*a;

	memset(f, 0, sizeof(*f));
	f->form[0] = endpoint_canonical(*e);
	f->n = 1;
	if (f->form[0].family != ADDR_V6)
		return;
	a = e->addr;
	if (prefix_contains(&nat64, e) || prefix_contains(&siit, e) ||
	    (prefix_contains(&compat, e) && !addr_is_unspecified(e) &&
	    !addr_is_loopback(e)))
		add_v4(f, a + 12, 0);
	if (prefix_contains(&local64, e))
		add_rfc6052(f, a);
	if (prefix_contains(&sixto4, e))
		add_v4(f, a + 2, 0);
	if (prefix_contains(&teredo, e)) {	/* RFC 4380 4: server, client */
		add_v4(f, a + 4, 0);
		add_v4(f, a + 12, 0xff);
	}
	if (is_isatap(a))
		add_v4(f, a + 12, 0);
}

size_t
policy_forms(const struct endpoint *e, struct endpoint out[POLICY_FORMS_MAX])
{
	struct forms	f;

	floor_forms(e, &f);
	memcpy(out, f.form, sizeof(f.form));
	return f.n;
}

/* ---- look-ups ------------------------------------------------------------ */

/* Most of them are told apart by their first byte: this is asked for each flow. */
static bool
may_contain(const struct prefix *p, const struct endpoint *e)
{
	return p->family == e->family &&
	    (p->len < 8 || p->addr[0] == e->addr[0]);
}

const struct floor_entry *
floor_find(const struct endpoint *e)
{
	size_t	i;

	if (prefix_contains(&nat64, e))
		return NULL;
	for (i = 0; i < floor_nentries; i++)
		if (may_contain(&floor_entries[i].prefix, e) &&
		    prefix_contains(&floor_entries[i].prefix, e))
			return &floor_entries[i];
	return NULL;
}

const struct floor_port *
floor_find_port(uint32_t proto, uint16_t port)
{
	size_t	i;

	for (i = 0; i < floor_nports; i++)
		if (floor_ports[i].proto == proto && floor_ports[i].port == port)
			return &floor_ports[i];
	return NULL;
}

struct prefix
floor_unwrap(const struct prefix *p)
{
	struct prefix	v4 = { .family = ADDR_V4 };

	if (p->len < nat64.len || !prefix_overlaps(p, &nat64))
		return *p;
	v4.len = (uint8_t)(p->len - nat64.len);
	memcpy(v4.addr, p->addr + 12, 4);
	return v4;
}

const struct floor_entry *
floor_overlap(const struct prefix *p, size_t *from)
{
	while (*from < floor_nentries) {
		const struct floor_entry *e = &floor_entries[(*from)++];

		if (prefix_overlaps(p, &e->prefix))
			return e;
	}
	return NULL;
}
