/*
 * The host's own addresses by rtnetlink (rtnetlink(7)). Any change of an address
 * makes the whole list be asked for again; lists are small and changes rare, and
 * a list read whole has no history to get wrong.
 *
 * Trusts: the kernel. Must not: block once the process is sealed, or work with
 * half a list: the old one is in force until the new one is complete.
 */
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "locals.h"
#include "log.h"

#define LOCALS_MAX	65536u		/* addresses; a host with more is not served */
#define READ_MAX	32768u		/* netlink(7): a dump's datagrams fit in 32 KiB */
#define FIRST_LIST_MS	5000
#define REFUSALS_MAX	64u		/* then the next change is waited for */

struct list {
	struct endpoint	*addr;
	size_t		 n, room;
};

struct locals {
	int		fd;
	uint32_t	seq;		/* of the dump under way */
	bool		asking;		/* a dump is under way */
	bool		stale;		/* it is out of date already */
	uint32_t	refusals;	/* of the kernel, one after the other */
	struct list	now, next;
};

static int
by_addr(const void *a, const void *b)
{
	return addr_compare(a, b);
}

/*
 * Shell's sort: glibc's qsort(3) asks for the size of the machine's memory by a
 * call that the seal does not have.
 */
static void
list_sort(struct list *l)
{
	struct endpoint	e;
	size_t		gap, i, k;

	for (gap = l->n / 2; gap > 0; gap /= 2)
		for (i = gap; i < l->n; i++) {
			e = l->addr[i];
			for (k = i; k >= gap &&
			    addr_compare(&l->addr[k - gap], &e) > 0; k -= gap)
				l->addr[k] = l->addr[k - gap];
			l->addr[k] = e;
		}
}

/* No realloc(3): it would want mremap(2) behind the seal. */
static int
list_add(struct list *l, const struct endpoint *e)
{
	struct endpoint	*grown;
	size_t		 room = l->room == 0 ? 64 : l->room * 2;

	if (l->n == l->room) {
		if (room > LOCALS_MAX ||
		    (grown = calloc(room, sizeof(*grown))) == NULL)
			return -1;
		if (l->n > 0)
			memcpy(grown, l->addr, l->n * sizeof(*grown));
		free(l->addr);
		l->addr = grown;
		l->room = room;
	}
	l->addr[l->n++] = *e;
	return 0;
}

static int
ask(struct locals *l)
{
	struct {
		struct nlmsghdr		h;
		struct ifaddrmsg	m;
	} req;

	memset(&req, 0, sizeof(req));
	req.h.nlmsg_len = sizeof(req);
	req.h.nlmsg_type = RTM_GETADDR;
	req.h.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	req.h.nlmsg_seq = ++l->seq;
	req.m.ifa_family = AF_UNSPEC;
	l->next.n = 0;
	l->stale = false;
	l->asking = write(l->fd, &req, sizeof(req)) == (ssize_t)sizeof(req);
	return l->asking ? 0 : -1;
}

/* IFA_LOCAL is ours on a point-to-point link, where IFA_ADDRESS is the peer's. */
static void
add_address(struct locals *l, struct nlmsghdr *h)
{
	struct ifaddrmsg	*m = NLMSG_DATA(h);
	struct rtattr		*a = IFA_RTA(m);
	int			 left = (int)IFA_PAYLOAD(h);
	size_t			 len = m->ifa_family == AF_INET ? 4 : 16;
	struct endpoint		 e;

	memset(&e, 0, sizeof(e));
	if (m->ifa_family != AF_INET && m->ifa_family != AF_INET6)
		return;
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if ((a->rta_type != IFA_LOCAL && (a->rta_type != IFA_ADDRESS ||
		    e.family != ADDR_NONE)) || RTA_PAYLOAD(a) != len)
			continue;
		e.family = len == 4 ? ADDR_V4 : ADDR_V6;
		memcpy(e.addr, RTA_DATA(a), len);
	}
	if (e.family != ADDR_NONE && list_add(&l->next, &e) == -1)
		fatalx("more than %u addresses on this host", LOCALS_MAX);
}

/* The dump is complete. True: the list has changed. */
static bool
finish(struct locals *l)
{
	struct list	old = l->now;

	l->asking = false;
	l->refusals = 0;
	if (l->stale) {
		if (ask(l) == -1)
			log_warn("netlink: the address list cannot be asked");
		return false;
	}
	list_sort(&l->next);
	l->now = l->next;
	l->next = old;
	return l->now.n != old.n || (old.n > 0 && memcmp(l->now.addr, old.addr,
	    old.n * sizeof(*old.addr)) != 0);
}

/* EBUSY: an earlier dump, whose end was lost by an overflow, still runs. */
static void
refused(struct locals *l)
{
	l->asking = false;
	l->stale = ++l->refusals < REFUSALS_MAX;
	if (!l->stale)
		log_warnx("netlink: the kernel gives no list of addresses");
}

/* Both carry an errno, or 0. */
static bool
is_error(struct nlmsghdr *h)
{
	int	error = 0;

	if (h->nlmsg_type != NLMSG_ERROR && h->nlmsg_type != NLMSG_DONE)
		return false;
	if (h->nlmsg_len >= NLMSG_LENGTH(sizeof(error)))
		memcpy(&error, NLMSG_DATA(h), sizeof(error));
	return error != 0;
}

static bool
take_message(struct locals *l, struct nlmsghdr *h)
{
	bool	ours = l->asking && h->nlmsg_seq == l->seq;
	bool	answer = ours && (h->nlmsg_flags & NLM_F_MULTI) != 0;

	if (ours && is_error(h)) {
		refused(l);
		return false;
	}

	if (answer && (h->nlmsg_flags & NLM_F_DUMP_INTR) != 0)
		l->stale = true;
	if (answer && h->nlmsg_type == NLMSG_DONE)
		return finish(l);
	if (answer && h->nlmsg_type == RTM_NEWADDR &&
	    h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct ifaddrmsg)))
		add_address(l, h);
	else if (!answer)
		l->stale = true;	/* something changed, or was lost */
	return false;
}

bool
locals_read(struct locals *l)
{
	_Alignas(struct nlmsghdr) unsigned char	buf[READ_MAX];
	struct nlmsghdr		*h;
	ssize_t			 n;
	unsigned int		 left;
	bool			 changed = false;

	while ((n = read(l->fd, buf, sizeof(buf))) > 0) {
		left = (unsigned int)n;
		for (h = (void *)buf; NLMSG_OK(h, left);
		    h = NLMSG_NEXT(h, left))
			changed |= take_message(l, h);
	}
	if (n == -1 && errno == ENOBUFS) {	/* messages were lost */
		l->stale = true;
		l->asking = false;
	}
	if (l->stale && !l->asking && ask(l) == -1)
		log_warn("netlink: the address list cannot be asked");
	return changed;
}

static bool
wait_first(struct locals *l)
{
	struct pollfd	p = { .fd = l->fd, .events = POLLIN };

	while (l->asking) {
		if (poll(&p, 1, FIRST_LIST_MS) != 1)
			return false;
		locals_read(l);
	}
	return l->refusals == 0;
}

struct locals *
locals_open(void)
{
	struct sockaddr_nl	 sa = { .nl_family = AF_NETLINK,
				    .nl_groups = RTMGRP_IPV4_IFADDR |
				    RTMGRP_IPV6_IFADDR };
	struct locals		*l = calloc(1, sizeof(*l));

	if (l == NULL)
		fatal("the address list");
	l->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    NETLINK_ROUTE);
	if (l->fd == -1 ||
	    bind(l->fd, (const struct sockaddr *)&sa, sizeof(sa)) == -1 ||
	    ask(l) == -1)
		fatal("netlink");
	if (!wait_first(l))
		fatalx("netlink gave no list of this host's addresses");
	return l;
}

void
locals_close(struct locals *l)
{
	if (l == NULL)
		return;
	fd_drop(&l->fd);
	free(l->now.addr);
	free(l->next.addr);
	free(l);
}

int
locals_fd(const struct locals *l)
{
	return l->fd;
}

bool
locals_has(const struct locals *l, const struct endpoint *e)
{
	return l->now.n > 0 && bsearch(e, l->now.addr, l->now.n,
	    sizeof(*l->now.addr), by_addr) != NULL;
}
