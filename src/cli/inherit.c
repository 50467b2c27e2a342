/*
 * What CMD would inherit: descriptors 0, 1 and 2, and those of --keep-fd. Each is
 * looked at before anything else is done, because one of them can be worth more
 * than all that CMD's namespaces take away: a socket is in the net namespace that
 * it was made in, and openat(2) walks up from a directory of any mount.
 *
 * What passes, passes by what it is: data in a file, a pipe, a connection between
 * two processes of this host, a terminal, and the devices that are nobody's. All
 * else is refused, known or not.
 *
 * Trusts: the kernel's word for what a descriptor is; the user, who may say
 * otherwise of a number (--unsafe-fd).
 * Must not: change a descriptor, or read a byte from one.
 */
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <termios.h>
#include <unistd.h>

#include "cli.h"

#define MEMORY_MAJOR	1	/* Linux' devices.txt; the numbers are ABI */

/*
 * A file system without blocks is a window of the kernel's (proc, sysfs, cgroup,
 * ...), where a write is an order: or one of these, which hold data all the same.
 */
static bool
holds_data(const struct statfs *s)
{
	static const uint32_t	plain[] = { TMPFS_MAGIC, RAMFS_MAGIC,
				    HUGETLBFS_MAGIC, FUSE_SUPER_MAGIC };
	size_t			i;

	if (s->f_blocks != 0)
		return true;
	for (i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if ((uint32_t)s->f_type == plain[i])
			return true;
	return false;
}

/* A namespace or a process (nsfs, pidfs) is a "regular file" that has no read. */
static const char *
file(int fd, int flags)
{
	struct statfs	s;
	char		byte;

	if (fstatfs(fd, &s) == -1)
		return "a file of an unknown kind";
	if (holds_data(&s))
		return NULL;
	if ((flags & O_ACCMODE) != O_RDONLY)
		return "a file of the kernel's, open for writing";
	if (read(fd, &byte, 0) == -1)
		return "a handle of the kernel's";
	return NULL;
}

/* True for both ends of a connection, and for one that only takes them. */
static bool
bound_to_its_peer(int fd)
{
	struct sockaddr_storage	peer;
	socklen_t		len = sizeof(peer);
	int			listens = 0;

	if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
		return true;
	len = sizeof(listens);
	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 &&
	    listens != 0;
}

/*
 * One of AF_UNIX, too, is in its maker's net namespace, where the abstract names
 * are: it must not be able to find another peer by itself, as datagrams can.
 */
static const char *
sock(int fd)
{
	int		domain = -1, type = -1;
	socklen_t	len = sizeof(domain);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == -1 ||
	    domain != AF_UNIX)
		return "a socket of the host's network";
	len = sizeof(type);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == -1 ||
	    (type != SOCK_STREAM && type != SOCK_SEQPACKET))
		return "a datagram socket, which can be sent to anybody from";
	if (!bound_to_its_peer(fd))
		return "a socket that is not connected yet";
	return NULL;
}

/*
 * null, zero, full, random, urandom. A pty's master looks like a terminal too; it
 * types into the one at its other end.
 */
static const char *
device(int fd, dev_t dev)
{
	unsigned int	n;

	if (major(dev) == MEMORY_MAJOR) {
		n = minor(dev);
		if (n == 3 || n == 5 || n == 7 || n == 8 || n == 9)
			return NULL;
		return "a device";
	}
	if (ioctl(fd, TIOCGPTN, &n) == 0)
		return "the master of a terminal";
	return isatty(fd) ? NULL : "a device";
}

const char *
inherit_refusal(int fd)
{
	struct stat	st;
	int		flags = fcntl(fd, F_GETFL);

	if (flags == -1 || fstat(fd, &st) == -1)
		return "a descriptor of an unknown kind";
	if ((flags & O_PATH) != 0)
		return "a path, not an open file (O_PATH)";
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return file(fd, flags);
	case S_IFIFO:
		return NULL;
	case S_IFSOCK:
		return sock(fd);
	case S_IFCHR:
		return device(fd, st.st_rdev);
	case S_IFDIR:
		return "a directory";
	case S_IFBLK:
		return "a device";
	default:
		return "a handle of the kernel's";
	}
}

static bool
named(const struct run *r, int fd)
{
	size_t	i;

	for (i = 0; i < r->nkeep; i++)
		if (r->keep[i] == fd)
			return true;
	return false;
}

static int
check_one(const struct run *r, int fd)
{
	static const char *const	names[] = { "standard input",
					    "standard output",
					    "standard error" };
	const char			*why = inherit_refusal(fd);

	if (why == NULL || (r->unsafe && named(r, fd)))
		return 0;
	if (fd <= STDERR_FILENO)
		log_warnx("%s is %s: CMD could go past its policy with it; "
		    "give it a file or a pipe (or, to give it this, "
		    "--keep-fd %d --unsafe-fd)", names[fd], why, fd);
	else
		log_warnx("--keep-fd %d is %s: CMD could go past its policy "
		    "with it (to give it this, add --unsafe-fd)", fd, why);
	return -1;
}

int
inherit_check(const struct run *r)
{
	size_t	i;
	int	fd;

	for (fd = 0; fd <= STDERR_FILENO; fd++)
		if (check_one(r, fd) == -1)
			return -1;
	for (i = 0; i < r->nkeep; i++)
		if (check_one(r, r->keep[i]) == -1)
			return -1;
	return 0;
}
