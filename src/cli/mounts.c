/*
 * Mounts in CMD's mount namespace: clones, covers, read-only binds, places to mount
 * on. What is mounted on is opened first and held, since the caller's other
 * processes can rename it meanwhile.
 *
 * Trusts: that nothing of CMD's runs in the namespace yet.
 * Must not: follow a symlink to a place that is mounted on.
 */
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "world.h"

int
mounts_scratch_file(const char *path, const char *text, size_t len)
{
	int	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	int	r;

	if (fd == -1)
		return -1;
	r = fd_write_all(fd, text, len);
	fd_drop(&fd);
	return r;
}

int
mounts_scratch(void)
{
	if (mkdir(SCRATCH, 0700) == 0 &&
	    mounts_tmpfs(SCRATCH, "mode=0755,size=4m,nr_inodes=16") == 0 &&
	    mkdir(SCRATCH_LOWER, 0755) == 0 &&
	    mounts_scratch_file(SCRATCH_EMPTY, "", 0) == 0)
		return 0;
	log_warn("a scratch directory for CMD's mounts");
	return -1;
}

/* What was bound from it stays, and is nowhere else. */
void
mounts_scratch_gone(void)
{
	(void)umount2(SCRATCH, MNT_DETACH);
	(void)rmdir(SCRATCH);
}

int
mounts_open(const char *path)
{
	struct open_how	how = { .flags = O_PATH | O_CLOEXEC,
			    .resolve = RESOLVE_NO_SYMLINKS };

	return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}

int
mounts_tmpfs(const char *path, const char *options)
{
	char	name[32];
	int	fd = mounts_open(path), r;

	if (fd == -1)
		return -1;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	r = mount("sallyport", name, "tmpfs", MS_NOSUID | MS_NODEV, options);
	fd_drop(&fd);
	return r;
}

int
mounts_clone(const char *path)
{
	int	fd = mounts_open(path), tree;

	if (fd == -1)
		return -1;
	tree = open_tree(fd, "", AT_EMPTY_PATH | AT_RECURSIVE |
	    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	fd_drop(&fd);
	return tree;
}

int
mounts_put(int *tree, const char *path)
{
	int	fd = mounts_open(path), r, error;

	r = fd == -1 ? -1 : move_mount(*tree, "", fd, "",
	    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
	error = errno;
	fd_drop(&fd);
	fd_drop(tree);
	errno = error;
	return r;
}

int
mounts_readonly(const char *path, unsigned int flags)
{
	struct mount_attr	a = { .attr_set = MOUNT_ATTR_RDONLY };

	return mount_setattr(AT_FDCWD, path, flags, &a, sizeof(a));
}

int
mounts_file_over(const char *file, const char *path)
{
	struct mount_attr	a = { .attr_set = MOUNT_ATTR_RDONLY };
	int			tree = mounts_clone(file);

	if (tree == -1 ||
	    mount_setattr(tree, "", AT_EMPTY_PATH, &a, sizeof(a)) == -1) {
		fd_drop(&tree);
		return -1;
	}
	return mounts_put(&tree, path);
}

static int
cover(const char *path)
{
	struct stat	st;

	if (stat(path, &st) == -1)
		return 0;	/* not there, or not for us: nothing to hide */
	if (S_ISDIR(st.st_mode))
		return mounts_tmpfs(path, "mode=0700,size=16m,nr_inodes=1k");
	return mounts_file_over(SCRATCH_EMPTY, path);
}

int
mounts_cover(const char *path)
{
	if (cover(path) == 0)
		return 0;
	log_warn("hiding %s from CMD", path);
	return -1;
}

bool
mounts_above(const char *dir, const char *path)
{
	size_t	len = strlen(dir);

	return strncmp(dir, path, len) == 0 &&
	    (path[len] == '\0' || path[len] == '/' || len == 1);
}

/* False: a directory above it is not there. */
static bool
make_point(const char *path, bool dir)
{
	return (dir ? mkdir(path, 0755) : mknod(path, S_IFREG | 0644, 0)) == 0 ||
	    errno != ENOENT;
}

void
mounts_point(const char *path, bool dir)
{
	char	p[PATH_MAX];
	char	*s;

	if (make_point(path, dir))
		return;
	snprintf(p, sizeof(p), "%s", path);
	for (s = p + 1; (s = strchr(s, '/')) != NULL; s++) {
		*s = '\0';
		(void)mkdir(p, 0755);
		*s = '/';
	}
	(void)make_point(p, dir);
}

/* As it is, but nobody writes there: a kernel may have it only that way. */
int
mounts_freeze(const char *path)
{
	if (access(path, F_OK) == -1 ||
	    (mount(path, path, NULL, MS_BIND | MS_REC, NULL) == 0 &&
	    mounts_readonly(path, AT_RECURSIVE) == 0))
		return 0;
	log_warn("%s: making it read-only for CMD", path);
	return -1;
}
