/*
 * rtnetlink(7), one request and one answer at a time: what ip(8) would do, without
 * needing it.
 *
 * Trusts: the kernel at the other end.
 * Must not: write past its buffer: a message that does not fit is never sent.
 */
#include <sys/socket.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

int
netlink_open(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
}

static void
append(struct netlink *n, const void *data, size_t len)
{
	size_t	padded = NLMSG_ALIGN(len);

	if (n->full || padded > sizeof(n->buf) - n->len) {
		n->full = true;
		return;
	}
	memset(n->buf + n->len, 0, padded);
	if (len > 0)
		memcpy(n->buf + n->len, data, len);
	n->len += padded;
}

void
netlink_begin(struct netlink *n, unsigned int type, unsigned int flags,
    const void *body, size_t len)
{
	struct nlmsghdr	h;

	memset(n, 0, sizeof(*n));
	memset(&h, 0, sizeof(h));
	h.nlmsg_type = (uint16_t)type;
	h.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	append(n, &h, sizeof(h));
	append(n, body, len);
}

void
netlink_attr(struct netlink *n, unsigned int type, const void *data, size_t len)
{
	struct rtattr	a = { .rta_len = (unsigned short)RTA_LENGTH(len),
			    .rta_type = (unsigned short)type };

	append(n, &a, sizeof(a));
	append(n, data, len);
}

/* An attribute made of attributes: its length comes at the end. */
size_t
netlink_nest(struct netlink *n, unsigned int type)
{
	size_t	start = n->len;

	netlink_attr(n, type | NLA_F_NESTED, NULL, 0);
	return start;
}

void
netlink_nest_end(struct netlink *n, size_t start)
{
	struct rtattr	a;

	if (n->full)
		return;
	memcpy(&a, n->buf + start, sizeof(a));
	a.rta_len = (unsigned short)(n->len - start);
	memcpy(n->buf + start, &a, sizeof(a));
}

int
netlink_call(int fd, struct netlink *n)
{
	struct {
		struct nlmsghdr	h;
		struct nlmsgerr	e;
		unsigned char	rest[512];
	}		answer;
	uint32_t	len = (uint32_t)n->len;
	ssize_t		r;

	if (n->full) {
		errno = EMSGSIZE;
		return -1;
	}
	memcpy(n->buf, &len, sizeof(len));	/* nlmsg_len is its first */
	if (write(fd, n->buf, n->len) == -1)
		return -1;
	memset(&answer, 0, sizeof(answer));
	while ((r = read(fd, &answer, sizeof(answer))) == -1 && errno == EINTR)
		;
	if (r < (ssize_t)(sizeof(answer.h) + sizeof(answer.e)) ||
	    answer.h.nlmsg_type != NLMSG_ERROR) {
		errno = EPROTO;
		return -1;
	}
	errno = -answer.e.error;
	return answer.e.error == 0 ? 0 : -1;
}
