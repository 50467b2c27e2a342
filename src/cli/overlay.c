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

#define BELOW_MAX	32	/* mounts below a directory */

/* What is seen: what is in `lower' shows where `dir' has nothing of that name. */
struct layers {
	const char	*lower;
	int		 dir;
};

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
configure(int fs, const struct layers *l, const struct work *w)
{
	char	upper[32], work[32];

	snprintf(upper, sizeof(upper), "/proc/self/fd/%d", l->dir);
	snprintf(work, sizeof(work), "/proc/self/fd/%d", w->dir);
	/*
	 * volatile: else the end of each run, like each sync(2), waits for the
	 * whole file system below to be written; so fsync(2) does nothing here.
	 * index: two runs may have the same directory, and nothing to index.
	 */
	if (string(fs, "lowerdir", l->lower) == -1 ||
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

/* A mount that is nowhere yet; -1 with errno. */
static int
overlay_make(const struct layers *l, const char *beside)
{
	struct work	w;
	int		fs, mnt = -1;

	if (work_make(&w, beside) == -1)
		return -1;
	fs = fsopen("overlay", FSOPEN_CLOEXEC);
	if (fs != -1 && configure(fs, l, &w) == 0)
		mnt = fsmount(fs, FSMOUNT_CLOEXEC, attributes(l->dir));
	work_gone(&w);
	fd_drop(&fs);
	return mnt;
}

static int
attach(int *mnt, int dir)
{
	int	r = *mnt == -1 ? -1 : move_mount(*mnt, "", dir, "",
		    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
	int	error = errno;

	fd_drop(mnt);
	errno = error;
	return r;
}

int
overlay_over(const char *path, const char *home)
{
	char		parent[PATH_MAX];
	struct layers	l = { SCRATCH_LOWER, mounts_open(path) };
	int		mnt, r;

	if (l.dir == -1)
		return -1;
	snprintf(parent, sizeof(parent), "%s", path);
	*strrchr(parent, '/') = '\0';
	mnt = overlay_make(&l, *parent == '\0' ? "/" : parent);
	r = attach(&mnt, l.dir);
	if (r == -1 && strcmp(parent, home) != 0) {
		mnt = overlay_make(&l, home);
		r = attach(&mnt, l.dir);
	}
	fd_drop(&l.dir);
	return r;
}

/* ---- a file more ------------------------------------------------------------------ */

/* For who may not write in there: both are lower, and nothing is upper. */
static int
overlay_readonly(const struct layers *l)
{
	char	both[128];
	int	fs = fsopen("overlay", FSOPEN_CLOEXEC), mnt = -1;

	snprintf(both, sizeof(both), "/proc/self/fd/%d:%s", l->dir, l->lower);
	if (fs != -1 && string(fs, "lowerdir", both) == 0 &&
	    fsconfig(fs, FSCONFIG_SET_FLAG, "userxattr", NULL, 0) == 0 &&
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		mnt = fsmount(fs, FSMOUNT_CLOEXEC, attributes(l->dir) |
		    MOUNT_ATTR_RDONLY);
	fd_drop(&fs);
	return mnt;
}

/* The file is of a tmpfs, which is there only until the overlay holds it. */
static int
with_file(const struct run *r, int dir, const char *path, const char *name)
{
	char		lower[32];
	struct layers	l = { lower, dir };
	int		tmp, mnt = -1;

	if (mounts_tmpfs(path, "mode=0755,size=64k,nr_inodes=8") == -1)
		return -1;
	tmp = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(lower, sizeof(lower), "/proc/self/fd/%d", tmp);
	if (tmp != -1 && mknodat(tmp, name, S_IFREG | 0644, 0) == 0)
		mnt = r->who.uid == 0 ? overlay_make(&l, "/") :
		    overlay_readonly(&l);
	if (umount2(path, MNT_DETACH) == -1)
		fd_drop(&mnt);
	fd_drop(&tmp);
	return attach(&mnt, dir);
}

/* What is mounted below it is taken before, and put back; the outermost is enough. */
static int
take_below(const struct run *r, const char *path, struct kept *k, size_t n)
{
	size_t	i, j, len = strlen(path), got = 0;

	for (i = 0; i < r->nmounted && got < n; i++) {
		const char	*at = r->mounted[i].at;

		if (strncmp(at, path, len) != 0 || at[len] != '/')
			continue;
		for (j = 0; j < got && !mounts_above(k[j].path, at); j++)
			;
		if (j < got || (k[got].tree = mounts_clone(at)) == -1)
			continue;
		k[got++].path = r->mounted[i].at;
	}
	return (int)got;
}

int
overlay_file(const struct run *r, const char *path, const char *name)
{
	struct kept	k[BELOW_MAX];
	int		i, n, rc = -1, dir = mounts_open(path);

	if (dir == -1)
		return -1;
	n = take_below(r, path, k, BELOW_MAX);
	rc = with_file(r, dir, path, name);
	for (i = 0; i < n; i++)
		if (rc == -1)
			fd_drop(&k[i].tree);
		else if (mounts_put(&k[i].tree, k[i].path) == -1)
			log_debug("%s: not put back", k[i].path);
	fd_drop(&dir);
	return rc;
}
