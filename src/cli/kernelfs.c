/*
 * CMD's own /proc and /sys.
 *
 * Trusts: the kernel's namespaces. Must not: leave the host's in sight.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include <stddef.h>
#include <string.h>

#include "fd.h"
#include "world.h"

/* Root's files of /proc that write(2) alone can do harm with. */
static const char *const readonly[] = {
	"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus",
	"/proc/fs", "/proc/acpi", "/proc/scsi",
};
#define NREADONLY	(sizeof(readonly) / sizeof(readonly[0]))

/*
 * Names no process outside. Where the host's is masked the kernel gives no new one.
 *
 * An ordinary user can write nothing in it that is not its own. Root owns the files
 * of /proc/sys and writes them without a capability, so they are read-only for it.
 * For nobody else: below a procfs that shows less than all the kernel gives no
 * nested one, which sandboxes of CMD's own want (bubblewrap, unshare --mount-proc).
 */
static int
make_proc(const struct run *r)
{
	size_t	i;

	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
	    NULL) == -1) {
		log_warn("a /proc for CMD; in a container, its own /proc must "
		    "not be masked");
		return -1;
	}
	for (i = 0; r->who.uid == 0 && i < NREADONLY; i++)
		if (mounts_freeze(readonly[i]) == -1)
			return -1;
	return 0;
}

/* The links of CMD's own net namespace, and no cgroup to kill. */
static int
make_sys(void)
{
	if (mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC |
	    MS_RDONLY, NULL) == 0)
		return 0;
	return mounts_freeze("/sys");
}

static bool
is_exposed(const struct run *r, const char *path)
{
	size_t	i;

	for (i = 0; i < r->nexposed; i++)
		if (mounts_above(r->exposed[i].path, path))
			return true;
	return false;
}

/* Of a part of the host's nothing is to be seen. */
static int
put_one(const struct mounted *m, const char *own)
{
	struct stat	st;
	int		tree;

	if (stat(m->at, &st) == -1 || !S_ISDIR(st.st_mode))
		return 0;	/* it is not there for CMD */
	if (strcmp(m->root, "/") != 0)
		return mounts_cover(m->at);
	tree = mounts_clone(own);
	if (tree != -1 && mounts_put(&tree, m->at) == 0)
		return 0;
	log_warn("%s: CMD's own %s in its place", m->at, own);
	return -1;
}

/* What is there already is the host's at each other path, as in a chroot. */
static int
put_again(const struct run *r, const char *type, const char *own)
{
	size_t	i;

	for (i = 0; i < r->nmounted; i++)
		if (strcmp(r->mounted[i].type, type) == 0 &&
		    !mounts_above("/proc", r->mounted[i].at) &&
		    !mounts_above("/sys", r->mounted[i].at) &&
		    !is_exposed(r, r->mounted[i].at) &&
		    put_one(&r->mounted[i], own) == -1)
			return -1;
	return 0;
}

int
kernelfs_make(const struct run *r)
{
	if (make_proc(r) == -1 || make_sys() == -1 ||
	    put_again(r, "proc", "/proc") == -1)
		return -1;
	return put_again(r, "sysfs", "/sys");
}
