/*
 * Landlock: every right the running kernel knows is handled, so what is not
 * granted here is refused. The second line, behind empty roots and seccomp.
 *
 * Must not: fail where the kernel has no Landlock; the other lines hold alone.
 */
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "seal.h"

/*
 * From the kernel's user-space API for Landlock (Documentation/userspace-api/
 * landlock.rst): Debian 12's headers stop at ABI 2, so the numbers are here.
 */
struct ll_ruleset {
	uint64_t	fs;
	uint64_t	net;		/* ABI 4 */
	uint64_t	scoped;		/* ABI 6 */
};
struct ll_path_beneath {
	uint64_t	allowed;
	int32_t		parent_fd;
} __attribute__((packed));

#define LL_VERSION_FLAG		1u
#define LL_RULE_PATH		1

#define LL_FS_WRITE_FILE	(1u << 1)
#define LL_FS_READ_FILE		(1u << 2)
#define LL_FS_READ_DIR		(1u << 3)
#define LL_FS_REMOVE_FILE	(1u << 5)
#define LL_FS_MAKE_REG		(1u << 8)
#define LL_FS_REFER		(1u << 13)	/* ABI 2 */
#define LL_FS_TRUNCATE		(1u << 14)	/* ABI 3 */
#define LL_FS_IOCTL_DEV		(1u << 15)	/* ABI 5 */
#define LL_FS_RESOLVE_UNIX	(1u << 16)	/* ABI 9 */
#define LL_FS_ABI1		((1u << 13) - 1)
#define LL_NET_BIND		1u
#define LL_NET_ALL		3u		/* bind and connect TCP */
#define LL_SCOPE_ALL		3u		/* abstract sockets, signals */

static uint64_t
fs_rights(int abi)
{
	uint64_t	r = LL_FS_ABI1;

	if (abi >= 2)
		r |= LL_FS_REFER;
	if (abi >= 3)
		r |= LL_FS_TRUNCATE;
	if (abi >= 5)
		r |= LL_FS_IOCTL_DEV;
	return r;
}

static size_t
ruleset_size(int abi)
{
	return abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
}

static void
add_path(int set, const struct seal_path *p)
{
	struct ll_path_beneath	b = { .parent_fd = p->dirfd,
				    .allowed = LL_FS_READ_FILE |
				    LL_FS_READ_DIR };

	if (p->write)
		b.allowed |= LL_FS_WRITE_FILE | LL_FS_MAKE_REG |
		    LL_FS_REMOVE_FILE;
	if (syscall(SYS_landlock_add_rule, set, LL_RULE_PATH, &b, 0) == 0)
		return;
	if (errno == EINVAL) {		/* a file: directory rights do not apply */
		b.allowed &= LL_FS_READ_FILE | LL_FS_WRITE_FILE;
		if (syscall(SYS_landlock_add_rule, set, LL_RULE_PATH, &b,
		    0) == 0)
			return;
	}
	fatal("landlock: rule");
}

/* 0 = no Landlock in this kernel, or not that much of it. */
static int
version(int wanted)
{
	long	abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
		    LL_VERSION_FLAG);

	if (abi >= wanted)
		return (int)abi;
	log_debug("no Landlock ABI %d in this kernel", wanted);
	return 0;
}

static void
restrict_self(const struct ll_ruleset *attr, int abi,
    const struct seal_path *path, size_t n)
{
	size_t	i;
	int	set;

	set = (int)syscall(SYS_landlock_create_ruleset, attr,
	    ruleset_size(abi), 0);
	if (set == -1)
		fatal("landlock: ruleset");
	for (i = 0; i < n; i++)
		add_path(set, &path[i]);
	if (syscall(SYS_landlock_restrict_self, set, 0) == -1)
		fatal("landlock");
	close(set);
}

/* `net`: the TCP rights that are taken away. */
static void
restrict_all(const struct seal_path *path, size_t n, uint64_t net)
{
	struct ll_ruleset	attr = { 0 };
	int			abi = version(1);

	if (abi == 0)
		return;
	attr.fs = fs_rights(abi);
	if (abi >= 4)
		attr.net = net;
	if (abi >= 6)
		attr.scoped = LL_SCOPE_ALL;
	restrict_self(&attr, abi, path, n);
}

void
seal_landlock(const struct seal_path *path, size_t n)
{
	restrict_all(path, n, LL_NET_ALL);
}

void
seal_landlock_street(void)
{
	restrict_all(NULL, 0, LL_NET_BIND);
}

void
seal_landlock_scope(void)
{
	struct ll_ruleset	attr = { .scoped = LL_SCOPE_ALL };
	int			abi = version(6);

	if (abi != 0)
		restrict_self(&attr, abi, NULL, 0);
}

bool
seal_landlock_has_sockets(void)
{
	return version(9) != 0;
}

static void
rule(int set, int fd, uint64_t allowed)
{
	struct ll_path_beneath	b = { .parent_fd = fd, .allowed = allowed };

	if (syscall(SYS_landlock_add_rule, set, LL_RULE_PATH, &b, 0) == -1)
		fatal("landlock: rule");
}

/*
 * A domain that handles any right of a file refuses to rename between directories
 * unless REFER is allowed, so it is, everywhere.
 */
void
seal_landlock_sockets(const int *except, size_t n)
{
	struct ll_ruleset	attr = { .fs = LL_FS_REFER |
				    LL_FS_RESOLVE_UNIX };
	int			abi = version(9), root, set;
	size_t			i;

	if (abi == 0)
		return;
	root = open("/", O_PATH | O_CLOEXEC);
	set = (int)syscall(SYS_landlock_create_ruleset, &attr,
	    ruleset_size(abi), 0);
	if (root == -1 || set == -1)
		fatal("landlock: ruleset");
	rule(set, root, LL_FS_REFER);
	for (i = 0; i < n; i++)
		rule(set, except[i], LL_FS_RESOLVE_UNIX);
	if (syscall(SYS_landlock_restrict_self, set, 0) == -1)
		fatal("landlock");
	close(set);
	close(root);
}
