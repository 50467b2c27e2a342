/*
 * What a child of the keeper does to itself between clone and exec: an empty
 * root, its ids, its descriptors. It runs as a copy of the keeper, under the
 * keeper's filter.
 *
 * Trusts: the keeper that it is a copy of.
 * Must not: go on after a step that failed. Every failure is fatal, and the
 * keeper then sees an exit instead of a half-sealed room.
 */
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/securebits.h>
#include <unistd.h>

#include "config.h"
#include "keeperd.h"
#include "seal.h"

/* Where lifted descriptors go: above every fixed number. */
#define LIFT	64

/*
 * A tmpfs with room for its own root and nothing else, read-only; what was there
 * before is detached and out of reach. Over /proc, which is certainly there: the
 * id maps were written through it. pivot_root(".", ".") stacks the old root on
 * the new one, where the umount finds it: pivot_root(2), NOTES.
 *
 * A sanitizer build needs its libraries and /proc, and keeps the host's root.
 */
void
enter_empty_root(void)
{
#ifdef SANITIZE
	log_debug("sanitizer build: the frame keeps the host's root");
#else
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1)
		fatal("frame: making the mounts private");
	if (mount("sallyport", "/proc", "tmpfs", MS_NOSUID | MS_NODEV |
	    MS_NOEXEC | MS_RDONLY, "nr_inodes=2,mode=0555") == -1)
		fatal("frame: mounting the empty root");
	if (chdir("/proc") == -1 || syscall(SYS_pivot_root, ".", ".") == -1)
		fatal("frame: entering the empty root");
	if (umount2(".", MNT_DETACH | UMOUNT_NOFOLLOW) == -1 ||
	    chdir("/") == -1)
		fatal("frame: leaving the old root");
#endif
}

/*
 * Should: run while we still have CAP_SETPCAP (we do in a new user namespace, and
 * as root): the bounding set and the securebits can only be given up with it.
 */
static void
give_up_capabilities(void)
{
	seal_bounding();
	if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
	    SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
	    SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
	    SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED, 0, 0, 0) == -1 &&
	    errno != EPERM)
		fatal("securebits");
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

/*
 * Groups, then the gid, then the uid: each step needs what the next gives up.
 * setgroups(2) is EPERM where the map says "deny", that is for an ordinary user,
 * who may not drop a group.
 */
void
enter_ids(uid_t uid, gid_t gid)
{
	uid_t	r, e, s;
	gid_t	rg, eg, sg;

	give_up_capabilities();
	if (setgroups(0, NULL) == -1 && errno != EPERM)
		fatal("setgroups");
	if (setresgid(gid, gid, gid) == -1)
		fatal("setresgid %u", gid);
	if (setresuid(uid, uid, uid) == -1)
		fatal("setresuid %u", uid);
	if (getresuid(&r, &e, &s) == -1 || getresgid(&rg, &eg, &sg) == -1 ||
	    r != uid || e != uid || s != uid ||
	    rg != gid || eg != gid || sg != gid)
		fatalx("the ids did not change");
}

/* One source to its fixed number, without close-on-exec; or nothing there. */
static void
place(int from, int to)
{
	if (from == -1)
		close(to);
	else if (dup2(from, to) == -1)
		fatal("fd %d", to);
}

/* High enough not to be in the way of a fixed number. */
static int
lift(int fd)
{
	int	up = fd == -1 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, LIFT);

	if (fd != -1 && up == -1)
		fatal("dup");
	return up;
}

/*
 * dup2() of a number onto itself would keep close-on-exec, hence lift(). What is
 * above the fixed numbers goes at exec, the executable too: its fd is returned.
 */
int
enter_fds(const struct spawn *s)
{
	int	null = lift(open("/dev/null", O_RDWR | O_CLOEXEC));
	int	channel = lift(s->channel), object = lift(s->object);
	int	log = lift(s->log), shared = lift(s->shared);
	int	exe = lift(s->exe);

	if (null == -1)
		fatal("/dev/null");
	place(null, STDIN_FILENO);
	place(null, STDOUT_FILENO);
	place(null, STDERR_FILENO);
	place(channel, FD_CHANNEL);
	place(object, FD_OBJECT);
	place(log, FD_LOG);
	place(shared, FD_SHARED);
	if (syscall(SYS_close_range, FD_FIRST_FREE, ~0u,
	    CLOSE_RANGE_CLOEXEC) == -1)
		fatal("close_range");
	return exe;
}
