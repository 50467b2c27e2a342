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
 * CMD's own /proc names no process outside; its own /sys has the links of its own
 * net namespace, and no cgroup to kill. Where the host's is masked the kernel
 * gives no new one.
 */
int
kernelfs_make(void)
{
	size_t	i;

	if (umount2(SCRATCH, MNT_DETACH) == -1 ||
	    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
	    NULL) == -1) {
		log_warn("a /proc for CMD; in a container, its own /proc must "
		    "not be masked");
		return -1;
	}
	for (i = 0; i < NREADONLY; i++)
		if (mounts_freeze(readonly[i]) == -1)
			return -1;
	if (mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC |
	    MS_RDONLY, NULL) == 0)
		return 0;
	return mounts_freeze("/sys");
}

