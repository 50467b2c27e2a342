/*
 * What is this host's own: the part of the floor that no table has. The kernel is
 * asked at each dial, each answer of a name and after each change, because only it
 * knows networks that are local as a whole, anycast and broadcast addresses, and
 * what rules say. The list of addresses is asked as well: it has those of interfaces
 * that are down.
 *
 * Trusts: the kernel. Must not: take an address for somebody else's because nothing
 * is known of it.
 */
#include "broker.h"
#include "log.h"

static bool
listed(const struct broker *b, const struct endpoint *e)
{
	return addr_is_loopback(e) || addr_is_unspecified(e) ||
	    locals_has(b->locals, e);
}

static void
warn_once(struct broker *b, const struct endpoint *e)
{
	char	buf[ENDPOINT_STRLEN];

	if (!b->route_warned)
		log_warnx("the kernel does not say what it would do with %s: "
		    "such addresses are taken for this host's own",
		    addr_print(e, buf));
	b->route_warned = true;
}

/*
 * *own: which forms of the address are this host's, as policy_query.own; the kind
 * is that of the first, the one that is dialled. `src` is known once there is a
 * socket.
 */
enum route_kind
host_look(struct broker *b, uint32_t proto, const struct endpoint *src,
    const struct endpoint *dst, uint32_t *own)
{
	struct endpoint	form[POLICY_FORMS_MAX];
	enum route_kind	kind, first = ROUTE_UNKNOWN;
	size_t		i, n = policy_forms(dst, form);

	*own = 0;
	for (i = 0; i < n; i++) {
		kind = route_ask(&b->route, proto, i == 0 ? src : NULL,
		    &form[i]);
		if (kind == ROUTE_UNKNOWN)
			warn_once(b, &form[i]);
		if (kind == ROUTE_OWN || kind == ROUTE_UNKNOWN ||
		    listed(b, &form[i]))
			*own |= UINT32_C(1) << i;
		if (i == 0)
			first = kind;
	}
	return first;
}

/* What the flow is dialled at is nobody's here, or the law means it to be. */
bool
host_clear(const struct flow *f)
{
	const struct endpoint	*src = f->h_src.family != ADDR_NONE ?
				    &f->h_src : NULL;
	uint32_t		 own;

	if (f->local_ok == UINT32_MAX)
		return true;		/* a host-service */
	(void)host_look(f->guest->broker, f->proto, src, &f->dial, &own);
	if (addr_equal(&f->h_src, &f->dial))
		own |= 1;
	return (own & ~f->local_ok) == 0;
}
