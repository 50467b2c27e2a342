/* fd_send/fd_recv: what arrives that was not asked for is refused and closed. */
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "unit.h"

#include "fd.h"

static int	pair[2];

static int
setup(void **state)
{
	(void)state;
	return fd_channel(pair);
}

static int
teardown(void **state)
{
	(void)state;
	close(pair[0]);
	close(pair[1]);
	return 0;
}

static int
open_fds(void)
{
	int	fd, n = 0;

	for (fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

/* Several fds in one datagram: fd_send cannot, a hostile peer can. */
static void
send_many(int n)
{
	union {
		char		buf[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr	align;
	} ctl = { { 0 } };
	struct iovec	iov = { .iov_base = (char[]) { "x" }, .iov_len = 1 };
	struct msghdr	msg = { .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = ctl.buf,
			    .msg_controllen = CMSG_SPACE((size_t)n * sizeof(int)) };
	struct cmsghdr	*c = CMSG_FIRSTHDR(&msg);
	int		i, zero = 0;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
	for (i = 0; i < n; i++)
		memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &zero, sizeof(int));
	assert_int_equal(sendmsg(pair[0], &msg, 0), 1);
}

static void
plain(void **state)
{
	char	buf[8];
	int	fd;

	(void)state;
	assert_int_equal(fd_recv(pair[1], buf, sizeof(buf), &fd, NULL), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(fd_send(pair[0], "abc", 3, -1), 0);
	assert_int_equal(fd_recv(pair[1], buf, sizeof(buf), &fd, NULL), 3);
	assert_int_equal(fd, -1);
	assert_memory_equal(buf, "abc", 3);
	close(pair[0]);
	assert_int_equal(fd_recv(pair[1], buf, sizeof(buf), &fd, NULL), 0);
	pair[0] = dup(pair[1]);
}

static void
one_fd(void **state)
{
	char	buf[8];
	int	fd, before = open_fds();

	(void)state;
	assert_int_equal(fd_send(pair[0], "abc", 3, 0), 0);
	assert_int_equal(fd_recv(pair[1], buf, sizeof(buf), &fd, NULL), 3);
	assert_true(fd > 2);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	fd_drop(&fd);
	assert_int_equal(fd, -1);
	assert_int_equal(open_fds(), before);
}

static void
unasked_fd(void **state)
{
	char	buf[8];
	int	before = open_fds();

	(void)state;
	assert_int_equal(fd_send(pair[0], "abc", 3, 0), 0);
	assert_int_equal(fd_recv(pair[1], buf, sizeof(buf), NULL, NULL), -1);
	assert_int_equal(errno, EBADMSG);
	assert_int_equal(open_fds(), before);
}

static void
many_fds(void **state)
{
	char	buf[8];
	int	fd, n, before = open_fds();

	(void)state;
	for (n = 2; n <= 8; n++) {
		send_many(n);
		assert_int_equal(fd_recv(pair[1], buf, sizeof(buf), &fd, NULL),
		    -1);
		assert_int_equal(errno, EBADMSG);
		assert_int_equal(fd, -1);
		assert_int_equal(open_fds(), before);
	}
}

static void
too_long(void **state)
{
	char	buf[4];
	int	fd, before = open_fds();

	(void)state;
	assert_int_equal(fd_send(pair[0], "abcdefgh", 8, 0), 0);
	assert_int_equal(fd_recv(pair[1], buf, sizeof(buf), &fd, NULL), -1);
	assert_int_equal(errno, EBADMSG);
	assert_int_equal(open_fds(), before);
}

/* The kernel delivers the data and silently loses the fd: that must be seen. */
static void
table_full(void **state)
{
	struct rlimit	old, low;
	char		buf[8];
	size_t		lost = 0;
	int		fd, fill[64], n = 0;

	(void)state;
	assert_int_equal(fd_send(pair[0], "abc", 3, 0), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = 32;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	while (n < 64 && (fill[n] = dup(0)) != -1)
		n++;
	assert_int_equal(fd_recv(pair[1], buf, sizeof(buf), &fd, &lost), -1);
	assert_int_equal(errno, EMFILE);
	assert_int_equal(lost, 3);
	while (n > 0)
		close(fill[--n]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

static void
full_queue(void **state)
{
	char	buf[64] = { 0 };
	int	i, r = 0;

	(void)state;
	for (i = 0; i < 100000 && r == 0; i++)
		r = fd_send(pair[0], buf, sizeof(buf), -1);
	assert_int_equal(r, -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(fd_send(pair[0], buf, sizeof(buf), 0), -1);
	assert_int_equal(errno, EAGAIN);
}

/* It died with a message of ours unread; its own last one still counts. */
static void
last_words(void **state)
{
	char	buf[8];

	(void)state;
	assert_int_equal(fd_send(pair[1], "unread", 6, -1), 0);
	assert_int_equal(fd_send(pair[0], "last", 4, -1), 0);
	close(pair[0]);
	assert_int_equal(fd_recv(pair[1], buf, sizeof(buf), NULL, NULL), 4);
	assert_int_equal(fd_recv(pair[1], buf, sizeof(buf), NULL, NULL), 0);
	pair[0] = dup(pair[1]);		/* for teardown */
}

/* None comes in, by this socket or by one accepted from it; Linux 6.16. */
static void
no_fds(void **state)
{
	struct sockaddr_un	a = { .sun_family = AF_UNIX };
	socklen_t		len = sizeof(a);
	int			listener, client;

	(void)state;
	assert_int_equal(fd_refuse_fds(pair[1]), 0);
	if (getsockopt(pair[1], SOL_SOCKET, FD_PASSRIGHTS, &(int){ 0 },
	    &(socklen_t){ sizeof(int) }) == -1)
		skip();
	assert_int_equal(fd_send(pair[0], "x", 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(fd_send(pair[1], "x", 1, 0), 0);
	listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	client = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	assert_int_equal(fd_refuse_fds(listener), 0);
	/* without a name: the kernel gives it one that is nobody's */
	assert_int_equal(bind(listener, (struct sockaddr *)&a,
	    sizeof(a.sun_family)), 0);
	assert_int_equal(listen(listener, 1), 0);
	getsockname(listener, (struct sockaddr *)&a, &len);
	assert_int_equal(connect(client, (struct sockaddr *)&a, len), 0);
	assert_int_equal(fd_send(client, "x", 1, 0), -1);
	assert_int_equal(errno, EPERM);
	close(client);
	close(listener);
}

#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		T(plain), T(one_fd), T(unasked_fd), T(many_fds), T(too_long),
		T(table_full), T(full_queue), T(last_words),
		T(no_fds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
