/*
 * Links, addresses, routes and neighbours, each as one netlink message.
 *
 * Trusts: its caller's names and addresses. Must not: leave the net namespace it
 * was called in, save for the far end of a veth pair.
 */
#include <sys/socket.h>

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>

#include <errno.h>
#include <string.h>

#include "addr.h"
#include "cli.h"

/* linux/if_link.h has it as an enum of 4.0 and later: no address of its own. */
#define ADDR_GEN_NONE	1

static unsigned char
family_of(const struct endpoint *e)
{
	return e->family == ADDR_V4 ? AF_INET : AF_INET6;
}

static size_t
size_of(const struct endpoint *e)
{
	return e->family == ADDR_V4 ? 4 : 16;
}

static int
parse(const char *text, struct endpoint *e)
{
	if (addr_parse(text, e) == 0)
		return 0;
	errno = EINVAL;
	return -1;
}

static int
up(int nl, const char *name)
{
	struct ifinfomsg	m = { .ifi_family = AF_UNSPEC,
				    .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	struct netlink		n;

	netlink_begin(&n, RTM_NEWLINK, 0, &m, sizeof(m));
	netlink_attr(&n, IFLA_IFNAME, name, strlen(name) + 1);
	return netlink_call(nl, &n);
}

int
netcfg_lo(int nl)
{
	return up(nl, "lo");
}

/*
 * The link makes no address of its own: a link-local one would only solicit and
 * report what the policy has to drop. EAFNOSUPPORT: no IPv6 in this kernel.
 */
static int
no_link_local(int nl, const char *name)
{
	struct ifinfomsg	m = { .ifi_family = AF_UNSPEC };
	struct netlink		n;
	uint8_t			mode = ADDR_GEN_NONE;
	size_t			spec, v6;

	netlink_begin(&n, RTM_NEWLINK, 0, &m, sizeof(m));
	netlink_attr(&n, IFLA_IFNAME, name, strlen(name) + 1);
	spec = netlink_nest(&n, IFLA_AF_SPEC);
	v6 = netlink_nest(&n, AF_INET6);
	netlink_attr(&n, IFLA_INET6_ADDR_GEN_MODE, &mode, sizeof(mode));
	netlink_nest_end(&n, v6);
	netlink_nest_end(&n, spec);
	return netlink_call(nl, &n) == -1 && errno != EAFNOSUPPORT &&
	    errno != EINVAL ? -1 : 0;
}

int
netcfg_link(int nl, const struct netcfg_link *l)
{
	struct ifinfomsg	m = { .ifi_family = AF_UNSPEC };
	struct netlink		n;

	netlink_begin(&n, RTM_NEWLINK, 0, &m, sizeof(m));
	netlink_attr(&n, IFLA_IFNAME, l->name, strlen(l->name) + 1);
	if (l->mac != NULL)
		netlink_attr(&n, IFLA_ADDRESS, l->mac, 6);
	if (l->mtu != 0)
		netlink_attr(&n, IFLA_MTU, &l->mtu, sizeof(l->mtu));
	if (l->txqlen != 0)
		netlink_attr(&n, IFLA_TXQLEN, &l->txqlen, sizeof(l->txqlen));
	if (netlink_call(nl, &n) == -1 || no_link_local(nl, l->name) == -1)
		return -1;
	return up(nl, l->name);
}

/* A pair, its far end in the net namespace of another process. */
int
netcfg_veth(int nl, const char *name, const char *peer, pid_t peer_ns)
{
	struct ifinfomsg	m = { .ifi_family = AF_UNSPEC };
	struct netlink		n;
	uint32_t		ns = (uint32_t)peer_ns;
	size_t			info, data, far;

	netlink_begin(&n, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &m, sizeof(m));
	netlink_attr(&n, IFLA_IFNAME, name, strlen(name) + 1);
	info = netlink_nest(&n, IFLA_LINKINFO);
	netlink_attr(&n, IFLA_INFO_KIND, "veth", 5);
	data = netlink_nest(&n, IFLA_INFO_DATA);
	far = netlink_nest(&n, VETH_INFO_PEER);
	if (!n.full && sizeof(m) <= sizeof(n.buf) - n.len) {
		memcpy(n.buf + n.len, &m, sizeof(m));
		n.len += sizeof(m);
	}
	netlink_attr(&n, IFLA_IFNAME, peer, strlen(peer) + 1);
	netlink_attr(&n, IFLA_NET_NS_PID, &ns, sizeof(ns));
	netlink_nest_end(&n, far);
	netlink_nest_end(&n, data);
	netlink_nest_end(&n, info);
	return netlink_call(nl, &n);
}

/* Without duplicate detection: nobody else is on this link. */
int
netcfg_address(int nl, const char *dev, const char *addr, unsigned int len)
{
	struct ifaddrmsg	m = { .ifa_prefixlen = (uint8_t)len };
	struct endpoint		e;
	struct netlink		n;
	uint32_t		flags = IFA_F_NODAD | IFA_F_PERMANENT;

	if (parse(addr, &e) == -1)
		return -1;
	m.ifa_family = family_of(&e);
	m.ifa_index = if_nametoindex(dev);
	netlink_begin(&n, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &m,
	    sizeof(m));
	netlink_attr(&n, IFA_LOCAL, e.addr, size_of(&e));
	netlink_attr(&n, IFA_ADDRESS, e.addr, size_of(&e));
	netlink_attr(&n, IFA_FLAGS, &flags, sizeof(flags));
	return netlink_call(nl, &n);
}

/* The gateway need not be in the address's net. */
int
netcfg_default(int nl, const char *dev, const char *gateway)
{
	struct rtmsg	m = { .rtm_table = RT_TABLE_MAIN,
			    .rtm_protocol = RTPROT_STATIC,
			    .rtm_scope = RT_SCOPE_UNIVERSE,
			    .rtm_type = RTN_UNICAST,
			    .rtm_flags = RTNH_F_ONLINK };
	struct endpoint	e;
	struct netlink	n;
	uint32_t	index = if_nametoindex(dev);

	if (parse(gateway, &e) == -1)
		return -1;
	m.rtm_family = family_of(&e);
	netlink_begin(&n, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &m,
	    sizeof(m));
	netlink_attr(&n, RTA_GATEWAY, e.addr, size_of(&e));
	netlink_attr(&n, RTA_OIF, &index, sizeof(index));
	return netlink_call(nl, &n);
}

/* Known for ever: no ARP or NDP before the first packet, and none to answer. */
int
netcfg_neighbour(int nl, const char *dev, const char *addr,
    const uint8_t mac[6])
{
	struct ndmsg	m = { .ndm_state = NUD_PERMANENT };
	struct endpoint	e;
	struct netlink	n;

	if (parse(addr, &e) == -1)
		return -1;
	m.ndm_family = family_of(&e);
	m.ndm_ifindex = (int)if_nametoindex(dev);
	netlink_begin(&n, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &m,
	    sizeof(m));
	netlink_attr(&n, NDA_DST, e.addr, size_of(&e));
	netlink_attr(&n, NDA_LLADDR, mac, 6);
	return netlink_call(nl, &n);
}
