/*
 * CMD's network, made by init from inside: the tap, addresses, routes, and the
 * gateway as a permanent neighbour.
 *
 * Trusts: nothing yet runs in here. Must not: be called after CMD has started.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "fd.h"

#define QUEUE	16384	/* packets: the windows must fit in it */

static const uint8_t	guest_mac[6] = { 0x02, 0x53, 0x50, 0, 0, 2 };
static const uint8_t	gateway_mac[6] = { 0x02, 0x53, 0x50, 0, 0, 1 };

static int
family(int nl, const struct lease *l)
{
	char	guest[ENDPOINT_STRLEN];

	if (netcfg_address(nl, "eth0", addr_print(&l->guest, guest),
	    l->len) == -1 ||
	    netcfg_neighbour(nl, "eth0", l->router, gateway_mac) == -1 ||
	    netcfg_default(nl, "eth0", l->router) == -1)
		return -1;
	return 0;
}

/* A kernel without IPv6, or with it switched off, is no reason to fail. */
static int
families(int nl, const struct run *r, uint32_t *got)
{
	if (r->v4) {
		if (family(nl, &r->lease[0]) == -1)
			return -1;
		*got |= 1;
	}
	if (r->v6) {
		if (family(nl, &r->lease[1]) == 0)
			*got |= 2;
		else if (!r->v4)
			return -1;
		else
			log_info("no IPv6 here: %s", strerror(errno));
	}
	return 0;
}

/* ping(8) without a capability: icmp(7), ping_group_range. */
static void
allow_ping(void)
{
	char	text[64];
	int	fd = open("/proc/sys/net/ipv4/ping_group_range",
		    O_WRONLY | O_CLOEXEC);

	if (fd == -1)
		return;
	if (fd_write_all(fd, "0 2147483647", 12) == -1) {
		snprintf(text, sizeof(text), "%u %u", getegid(), getegid());
		if (fd_write_all(fd, text, strlen(text)) == -1)
			log_debug("no ping sockets for CMD");
	}
	close(fd);
}

static int
configure(const struct run *r, uint32_t *got)
{
	struct netcfg_link	l = { .name = "eth0", .mac = guest_mac,
				    .mtu = r->mtu, .txqlen = QUEUE };
	int			nl = netlink_open(), rc = -1;

	*got = 0;
	if (nl != -1 && netcfg_lo(nl) == 0 && netcfg_link(nl, &l) == 0 &&
	    families(nl, r, got) == 0)
		rc = 0;
	else
		log_warn("configuring the network of CMD");
	fd_drop(&nl);
	return rc;
}

/*
 * The tap goes out by `ctl'; the fd kept there holds this net namespace. What of *r
 * this kernel has not is not CMD's: a name server that cannot be reached, say.
 */
int
inside_network(struct run *r, int ctl)
{
	struct ctl	c = { .type = CTL_TAP };
	int		tap = tap_open(r->offload, &c.flags), rc;

	if (tap == -1)
		return -1;
	rc = configure(r, &c.families);
	r->v4 = (c.families & 1) != 0;
	r->v6 = (c.families & 2) != 0;
	if (rc == 0 && (rc = fd_send(ctl, &c, sizeof(c), tap)) == -1)
		log_warn("handing the tap out");
	if (rc == 0)
		allow_ping();
	fd_drop(&tap);
	return rc;
}
