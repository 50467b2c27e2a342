/*
 * The addresses of the link: the guest's, and its gateway's.
 *
 * Both of `run' are private ones that little uses (10.83.80.0/24 is nobody's default,
 * as 10.0.2.0/24 is VirtualBox's and QEMU's), and they are all that its link has:
 * the guest's prefix is the address itself. Whatever else is in that network at the
 * host can be reached from inside, if the policy says so.
 *
 * Trusts: the user's options. Must not: let a pair through with which the guest has
 * no gateway.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static unsigned int
full(const struct endpoint *e)
{
	return e->family == ADDR_V4 ? 32 : 128;
}

static struct lease *
of_family(struct lease l[2], const struct endpoint *e)
{
	return &l[e->family == ADDR_V6];
}

/* NULL, or why no machine on a link of ours can have it. */
static const char *
unfit(const struct endpoint *e)
{
	struct endpoint	c = endpoint_canonical(*e);

	if (c.family != e->family)
		return "is an IPv4 address written as IPv6";
	if (addr_is_unspecified(e))
		return "is no machine's address";
	if (addr_is_loopback(e))
		return "is a loopback address";
	if (addr_is_multicast(e))
		return "is a group's address";
	if (addr_is_link_local(e))
		return "is a link-local address";
	return NULL;
}

static int
parse(const char *command, const char *option, const char *text,
    struct endpoint *e)
{
	const char	*why;

	if (addr_parse(text, e) == -1)
		return usage_error(-1, command, "%s %s: not an address", option,
		    text);
	if ((why = unfit(e)) != NULL)
		return usage_error(-1, command, "%s %s: %s", option, text, why);
	return 0;
}

/* The first and the last address of an IPv4 net are no machine's (RFC 1122, 3.3.6). */
static bool
is_edge(const struct endpoint *e, unsigned int len)
{
	uint32_t	rest;

	if (e->family != ADDR_V4 || len > 30)
		return false;
	rest = UINT32_MAX >> len;
	return (endpoint_u32(e) & rest) == 0 || (endpoint_u32(e) & rest) == rest;
}

int
lease_address(struct lease l[2], const char *command, const char *text)
{
	static const char	 option[] = "--guest-address";
	char			 addr[ENDPOINT_STRLEN], *end;
	const char		*slash = strchrnul(text, '/');
	struct endpoint		 e;
	struct lease		*own;
	unsigned long		 len;

	if ((size_t)(slash - text) >= sizeof(addr))
		return usage_error(-1, command, "%s %.60s...: not an address",
		    option, text);
	snprintf(addr, sizeof(addr), "%.*s", (int)(slash - text), text);
	if (parse(command, option, addr, &e) == -1)
		return -1;
	len = full(&e);
	if (*slash == '/') {
		errno = 0;
		len = strtoul(slash + 1, &end, 10);
		if (slash[1] < '0' || slash[1] > '9' || *end != '\0' ||
		    errno != 0 || len < 1 || len > full(&e))
			return usage_error(-1, command, "%s %s: want "
			    "ADDRESS/LENGTH, the length from 1 to %u", option,
			    text, full(&e));
	}
	own = of_family(l, &e);
	if (own->guest.family != ADDR_NONE)
		return usage_error(-1, command, "%s: one of each family",
		    option);
	if (is_edge(&e, (unsigned int)len))
		return usage_error(-1, command, "%s %s: the first and the last "
		    "address of a net are no machine's", option, text);
	own->guest = e;
	own->len = (unsigned int)len;
	return 0;
}

int
lease_gateway(struct lease l[2], const char *command, const char *text)
{
	struct endpoint	 e;
	struct lease	*own;

	if (parse(command, "--gateway", text, &e) == -1)
		return -1;
	own = of_family(l, &e);
	if (own->gateway.family != ADDR_NONE)
		return usage_error(-1, command, "--gateway: one of each "
		    "family");
	own->gateway = e;
	return 0;
}

/* Text for those who take text: the keeper, resolv.conf, netlink's front. */
static void
print(struct lease *l)
{
	char	buf[ENDPOINT_STRLEN];

	addr_print(&l->gateway, l->router);
	snprintf(l->address, sizeof(l->address), "%s/%u",
	    addr_print(&l->guest, buf), l->len);
}

static int
check(struct lease *l, const char *command)
{
	struct prefix	net = prefix_of(&l->guest, l->len);
	char		guest[ENDPOINT_STRLEN], gate[ENDPOINT_STRLEN];

	addr_print(&l->guest, guest);
	addr_print(&l->gateway, gate);
	if (addr_equal(&l->guest, &l->gateway))
		return usage_error(-1, command, "%s cannot be both the guest's "
		    "and the gateway's", guest);
	/* alone on its net it finds any gateway: there is nobody else */
	if (l->len < full(&l->guest) && !prefix_contains(&net, &l->gateway))
		return usage_error(-1, command, "the gateway, %s, is not in the "
		    "guest's net, %s/%u: --gateway names another", gate, guest,
		    l->len);
	if (is_edge(&l->gateway, l->len))
		return usage_error(-1, command, "--gateway %s: the first and "
		    "the last address of a net are no machine's", gate);
	print(l);
	return 0;
}

static bool
is_given(const struct lease *l)
{
	return l->guest.family != ADDR_NONE || l->gateway.family != ADDR_NONE;
}

static void
fill(struct lease *l, const char *guest, unsigned int len, const char *gateway)
{
	if (l->guest.family == ADDR_NONE) {
		(void)addr_parse(guest, &l->guest);
		l->len = len;
	}
	if (l->gateway.family == ADDR_NONE)
		(void)addr_parse(gateway, &l->gateway);
}

int
lease_run(struct lease l[2], const char *command, bool v4, bool v6)
{
	if (!v4 && is_given(&l[0]))
		return usage_error(-1, command, "-6 leaves no use for a "
		    "--guest-address or --gateway of IPv4");
	if (!v6 && is_given(&l[1]))
		return usage_error(-1, command, "-4 leaves no use for a "
		    "--guest-address or --gateway of IPv6");
	fill(&l[0], RUN_GUEST4, 32, RUN_GATEWAY4);
	fill(&l[1], RUN_GUEST6, 128, RUN_GATEWAY6);
	return check(&l[0], command) == -1 ? -1 : check(&l[1], command);
}

int
lease_serve(struct lease l[2])
{
	size_t	i, given = 0;

	for (i = 0; i < 2; i++) {
		if ((l[i].guest.family == ADDR_NONE) !=
		    (l[i].gateway.family == ADDR_NONE))
			return usage_error(-1, "serve", "a --gateway for each "
			    "--guest-address, of the same family");
		if (l[i].guest.family == ADDR_NONE)
			continue;
		if (check(&l[i], "serve") == -1)
			return -1;
		given++;
	}
	if (given > 0)
		return 0;
	fill(&l[0], RUN_GUEST4, SERVE_LEN4, RUN_GATEWAY4);
	fill(&l[1], RUN_GUEST6, SERVE_LEN6, RUN_GATEWAY6);
	return check(&l[0], "serve") == -1 ? -1 : check(&l[1], "serve");
}
