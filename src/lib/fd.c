/*
 * File descriptors, and the only sendmsg(2) and recvmsg(2) of the house.
 *
 * Trusts: nothing that arrives. A datagram that is too long, or carries what was
 * not asked for, is refused and every fd in it closed.
 * Must not: block on a channel, or let an fd in without close-on-exec.
 */
#include <sys/socket.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"


/* Room for two, so that a second fd is seen and closed, not silently lost. */
union fd_control {
	char		buf[CMSG_SPACE(2 * sizeof(int))];
	struct cmsghdr	align;
};

int
fd_send(int chan, const void *buf, size_t len, int fd)
{
	union fd_control	ctl;
	struct iovec		iov = { .iov_base = (void *)(uintptr_t)buf,
				    .iov_len = len };
	struct msghdr		msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr		*c;
	ssize_t			n;

	if (fd == -1)
		n = write(chan, buf, len);
	else {
		memset(&ctl, 0, sizeof(ctl));
		msg.msg_control = ctl.buf;
		msg.msg_controllen = CMSG_SPACE(sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
		n = sendmsg(chan, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	if (n == -1)
		return -1;
	if ((size_t)n != len) {
		errno = EMSGSIZE;
		return -1;
	}
	return 0;
}

/* Collects what came; more than one fd are all closed and counted. */
static int
take_fds(struct msghdr *msg, int *fd)
{
	struct cmsghdr	*c;
	size_t		i, n;
	int		got, count = 0;

	*fd = -1;
	for (c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			memcpy(&got, CMSG_DATA(c) + i * sizeof(int),
			    sizeof(got));
			if (count++ == 0)
				*fd = got;
			else
				close(got);
		}
	}
	if (count > 1)
		fd_drop(fd);
	return count;
}

ssize_t
fd_recv(int chan, void *buf, size_t size, int *fd, size_t *lost)
{
	union fd_control	ctl;
	struct iovec		iov = { .iov_base = buf, .iov_len = size };
	struct msghdr		msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t			n;
	int			got = -1, count = 0;

	if (fd != NULL) {
		*fd = -1;
		msg.msg_control = ctl.buf;
		msg.msg_controllen = sizeof(ctl.buf);
	}
	n = recvmsg(chan, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	/*
	 * A peer that died with unread messages leaves an error, told once and
	 * ahead of what it had still said; then comes that, and then the end.
	 */
	if (n == -1 && errno == ECONNRESET)
		n = recvmsg(chan, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n <= 0)
		return n;
	if (fd != NULL)
		count = take_fds(&msg, &got);
	if ((msg.msg_flags & MSG_TRUNC) != 0 || count > 1 ||
	    (fd == NULL && (msg.msg_flags & MSG_CTRUNC) != 0)) {
		fd_drop(&got);
		errno = EBADMSG;
		return -1;
	}
	if ((msg.msg_flags & MSG_CTRUNC) != 0) {
		/* There was an fd and no room for it in our table. */
		fd_drop(&got);
		if (lost != NULL)
			*lost = (size_t)n;
		errno = EMFILE;
		return -1;
	}
	if (fd != NULL)
		*fd = got;
	return n;
}

int
fd_refuse_fds(int fd)
{
	int	no = 0;

	return setsockopt(fd, SOL_SOCKET, FD_PASSRIGHTS, &no, sizeof(no)) == -1 &&
	    errno != ENOPROTOOPT ? -1 : 0;
}

int
fd_nonblock(int fd)
{
	int	flags = fcntl(fd, F_GETFL);

	if (flags == -1)
		return -1;
	return fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int
fd_cloexec(int fd, bool on)
{
	return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0);
}

int
fd_close_from(int first)
{
	return (int)syscall(SYS_close_range, (unsigned int)first, ~0u, 0u);
}

int
fd_channel(int pair[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC |
	    SOCK_NONBLOCK, 0, pair);
}

int
fd_write_all(int fd, const void *buf, size_t len)
{
	const char	*p = buf;
	ssize_t		n;

	while (len > 0) {
		n = write(fd, p, len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

void
fd_drop(int *fd)
{
	int	saved = errno;

	if (*fd != -1)
		close(*fd);
	*fd = -1;
	errno = saved;
}
