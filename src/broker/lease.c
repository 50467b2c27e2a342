/*
 * The addresses of a guest's link: which are its own, and whether the policy means
 * somebody else by them. Guest and gateway are the only two whose namesakes at the
 * host a guest cannot reach, whatever is allowed.
 *
 * Trusts: the keeper for the lease. Must not: say it again at each new link.
 */
#include "broker.h"
#include "log.h"

bool
lease_has(const struct guest *g, const struct endpoint *e)
{
	const struct wire_lease	*l = e->family == ADDR_V4 ? &g->conf.v4 :
				    &g->conf.v6;

	return l->guest.family == e->family && addr_equal(&l->guest, e);
}

/* What is this host's own as well is refused in any case. */
static void
look(const struct guest *g, const struct endpoint *e, const char *whose,
    const char *option)
{
	struct broker	*b = g->broker;
	char		 text[ENDPOINT_STRLEN];
	uint32_t	 own;

	if (e->family == ADDR_NONE)
		return;
	(void)host_look(b, PROTO_TCP, NULL, e, &own);
	if (policy_reaches(b->policy, b->tenant, e, own))
		log_warnx("%s is %s address on its link, and the policy's floor "
		    "leaves what has it at this host: the guest cannot reach "
		    "that; give another with %s", addr_print(e, text), whose,
		    option);
}

void
lease_look(const struct guest *g)
{
	struct broker	*b = g->broker;

	if (b->quiet || b->lease_looked)
		return;
	b->lease_looked = true;
	look(g, &g->conf.v4.guest, "the guest's own", "--guest-address");
	look(g, &g->conf.v4.gateway, "the gateway's", "--gateway");
	look(g, &g->conf.v6.guest, "the guest's own", "--guest-address");
	look(g, &g->conf.v6.gateway, "the gateway's", "--gateway");
}
