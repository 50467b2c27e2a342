/*
 * A directory whose files go through both ways and whose sockets do not: an overlay
 * with the directory itself as its upper layer, and nothing below. A socket is found
 * by its inode; the overlay has inodes of its own, so one that a program of the host
 * has bound or binds later is refused, while CMD's own work.
 *
 * Trusts: the kernel's overlay file system.
 * Must not: leave its work directory behind.
 */
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "world.h"

/* The overlay wants one on the same mount. Files are never copied up here. */
struct work {
	int	parent, dir;
	char	name[32];
};

/* The mounted overlay holds what it needs of it. "incompat" is volatile's. */
static void
work_gone(struct work *w)
{
	int	error = errno;

	if (w->dir != -1) {
		(void)unlinkat(w->dir, "work/incompat/volatile/dirty", 0);
		(void)unlinkat(w->dir, "work/incompat/volatile", AT_REMOVEDIR);
		(void)unlinkat(w->dir, "work/incompat", AT_REMOVEDIR);
		(void)unlinkat(w->dir, "work", AT_REMOVEDIR);
	}
	(void)unlinkat(w->parent, w->name, AT_REMOVEDIR);
	fd_drop(&w->dir);
	fd_drop(&w->parent);
	errno = error;
}

/* Held, ours and empty: the overlay clears it, and the directory can be another's. */
static int
work_open(struct work *w)
{
	struct stat	st;

	w->dir = openat(w->parent, w->name,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (w->dir == -1 || fstat(w->dir, &st) == -1)
		return -1;
	if (st.st_uid == geteuid() &&
	    fstatat(w->dir, "work", &st, AT_SYMLINK_NOFOLLOW) == -1)
		return 0;
	errno = EPERM;
	return -1;
}

static int
work_make(struct work *w, const char *beside)
{
	uint64_t	random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -1;
	snprintf(w->name, sizeof(w->name), ".sallyport-%016" PRIx64, random);
	w->dir = -1;
	w->parent = mounts_open(beside);
	if (w->parent != -1 && mkdirat(w->parent, w->name, 0700) == 0) {
		if (work_open(w) == 0)
			return 0;
		work_gone(w);
	}
	fd_drop(&w->parent);
	return -1;
}

static int
string(int fs, const char *key, const char *value)
{
	return fsconfig(fs, FSCONFIG_SET_STRING, key, value, 0);
}

static int
configure(int fs, int dir, const struct work *w)
{
	char	upper[32], work[32];

	snprintf(upper, sizeof(upper), "/proc/self/fd/%d", dir);
	snprintf(work, sizeof(work), "/proc/self/fd/%d", w->dir);
	/*
	 * volatile: else the end of each run, like each sync(2), waits for the
	 * whole file system below to be written; so fsync(2) does nothing here.
	 * index: two runs may have the same directory, and nothing to index.
	 */
	if (string(fs, "lowerdir", SCRATCH_LOWER) == -1 ||
	    string(fs, "upperdir", upper) == -1 ||
	    string(fs, "workdir", work) == -1 ||
	    string(fs, "index", "off") == -1 ||
	    fsconfig(fs, FSCONFIG_SET_FLAG, "volatile", NULL, 0) == -1 ||
	    fsconfig(fs, FSCONFIG_SET_FLAG, "userxattr", NULL, 0) == -1)
		return -1;
	return fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
}

/* No more than the directory's own mount allows. */
static unsigned int
attributes(int dir)
{
	struct statvfs	v;
	unsigned int	attr = MOUNT_ATTR_NOSUID;

	if (fstatvfs(dir, &v) == -1)
		return attr | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
	if ((v.f_flag & ST_NODEV) != 0)
		attr |= MOUNT_ATTR_NODEV;
	if ((v.f_flag & ST_NOEXEC) != 0)
		attr |= MOUNT_ATTR_NOEXEC;
	return attr;
}

static int
overlay_with(int dir, const char *beside)
{
	struct work	w;
	int		fs, mnt = -1, r = -1;

	if (work_make(&w, beside) == -1)
		return -1;
	fs = fsopen("overlay", FSOPEN_CLOEXEC);
	if (fs != -1 && configure(fs, dir, &w) == 0)
		mnt = fsmount(fs, FSMOUNT_CLOEXEC, attributes(dir));
	if (mnt != -1)
		r = move_mount(mnt, "", dir, "", MOVE_MOUNT_F_EMPTY_PATH |
		    MOVE_MOUNT_T_EMPTY_PATH);
	work_gone(&w);
	fd_drop(&mnt);
	fd_drop(&fs);
	return r;
}

int
overlay_over(const char *path, const char *home)
{
	char	parent[PATH_MAX];
	int	dir = mounts_open(path), r;

	if (dir == -1)
		return -1;
	snprintf(parent, sizeof(parent), "%s", path);
	*strrchr(parent, '/') = '\0';
	r = overlay_with(dir, *parent == '\0' ? "/" : parent);
	if (r == -1 && strcmp(parent, home) != 0)
		r = overlay_with(dir, home);
	fd_drop(&dir);
	return r;
}
