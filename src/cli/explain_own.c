/*
 * What is this host's own, for who asks about a policy: the broker knows by netlink;
 * here interfaces and routes are asked once.
 *
 * Trusts: the kernel. Must not: take for other hosts' what cannot be found out.
 */
#include <sys/types.h>
#include <ifaddrs.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"

static int
compare(const void *a, const void *b)
{
	return addr_compare(a, b);
}

void
explain_locals(struct question *q)
{
	struct ifaddrs	*all, *i;
	struct endpoint	*e = q->local, *end = e + EXPLAIN_LOCALS;

	if (getifaddrs(&all) == 0) {
		for (i = all; i != NULL && e < end; i = i->ifa_next)
			if (i->ifa_addr != NULL &&
			    endpoint_from_sockaddr(i->ifa_addr, e) == 0)
				(e++)->port = 0;
		freeifaddrs(all);
	}
	q->nlocals = (size_t)(e - q->local);
	qsort(q->local, q->nlocals, sizeof(q->local[0]), compare);
	if (route_open(&q->route) == -1)
		fprintf(stderr, "explain: the kernel cannot be asked for its "
		    "routes (%s): of this host's own only the addresses of its "
		    "interfaces are known\n", strerror(errno));
}

static bool
is_own(struct question *q, uint32_t proto, const struct endpoint *e)
{
	struct endpoint	key = *e;
	enum route_kind	kind;

	key.port = 0;
	if (bsearch(&key, q->local, q->nlocals, sizeof(key), compare) != NULL)
		return true;
	if (q->route.fd == -1)
		return false;
	kind = route_ask(&q->route, proto, NULL, e);
	return kind == ROUTE_OWN || kind == ROUTE_UNKNOWN;
}

uint32_t
explain_own(struct question *q, uint32_t proto, const struct endpoint *dst)
{
	struct endpoint	form[POLICY_FORMS_MAX];
	size_t		i, n = policy_forms(dst, form);
	uint32_t	own = 0;

	for (i = 0; i < n; i++)
		if (is_own(q, proto, &form[i]))
			own |= UINT32_C(1) << i;
	return own;
}
