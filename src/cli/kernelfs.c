/*
 * CMD's own /proc and /sys.
 *
 * Trusts: the kernel's namespaces. Must not: leave the host's in sight.
 */
#include <sys/mount.h>

#include <stddef.h>

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

int
kernelfs_make(const struct run *r)
{
	return make_proc(r) == -1 ? -1 : make_sys();
}
