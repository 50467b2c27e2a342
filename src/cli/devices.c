/*
 * CMD's /dev: what every program needs, pseudo terminals of its own, memory and
 * queues of its own. Not the disks, which root could open, nor kvm, vhost-vsock, a
 * modem; not the other terminals of the user, which CMD could read and write.
 *
 * Trusts: the nodes that the host has. Must not: leave the host's devpts in sight.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "fd.h"
#include "world.h"

/*
 * net/tun: a sallyport in here needs it, and slirp4netns. In CMD's net namespace it
 * gives nothing to a process without a capability over that.
 */
static const char *const nodes[] = {
	"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom",
	"/dev/tty", "/dev/net/tun",
};
#define NNODES	(sizeof(nodes) / sizeof(nodes[0]))

static const struct { const char *target, *name; } links[] = {
	{ "/proc/self/fd", "/dev/fd" },
	{ "/proc/self/fd/0", "/dev/stdin" },
	{ "/proc/self/fd/1", "/dev/stdout" },
	{ "/proc/self/fd/2", "/dev/stderr" },
	{ "pts/ptmx", "/dev/ptmx" },
};
#define NLINKS	(sizeof(links) / sizeof(links[0]))

/* One that the host lacks is not there for CMD either. */
static int
put_nodes(int tree[NNODES])
{
	size_t	i;

	for (i = 0; i < NNODES; i++) {
		if (tree[i] == -1)
			continue;
		mounts_point(nodes[i], false);
		if (mounts_put(&tree[i], nodes[i]) == -1) {
			log_warn("%s for CMD", nodes[i]);
			return -1;
		}
	}
	return 0;
}

static int
put_links(void)
{
	size_t	i;

	for (i = 0; i < NLINKS; i++)
		if (symlink(links[i].target, links[i].name) == -1)
			return -1;
	return 0;
}

/* No gid=5 for the terminals: where tty's group is not mapped, that is an error. */
static int
put_file_systems(void)
{
	if (mkdir("/dev/pts", 0755) == -1 || mount("devpts", "/dev/pts",
	    "devpts", MS_NOSUID | MS_NOEXEC,
	    "newinstance,ptmxmode=0666,mode=620") == -1)
		return -1;
	if (mkdir("/dev/shm", 0755) == -1 ||
	    mounts_tmpfs("/dev/shm", "mode=1777,size=50%") == -1)
		return -1;
	if (mkdir("/dev/mqueue", 0755) == -1)
		return -1;
	if (mount("mqueue", "/dev/mqueue", "mqueue",
	    MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == -1)
		log_debug("no message queues for CMD");	/* ENODEV: nor the host's */
	return 0;
}

int
devices_make(void)
{
	struct terminals	t;
	int			tree[NNODES];
	size_t			i;

	for (i = 0; i < NNODES; i++)
		tree[i] = mounts_clone(nodes[i]);
	terminals_keep(&t);
	if (mounts_tmpfs("/dev", "mode=0755,size=1m,nr_inodes=256") == -1 ||
	    put_nodes(tree) == -1 || put_links() == -1 ||
	    put_file_systems() == -1)
		return -1;
	return terminals_put(&t);
}
