/*
 * The traces of this run and the law of the next one: CMD does not see the audit
 * log, and does not write the policy; and it leads neither of their paths elsewhere.
 *
 * The log's directory lies under an empty one, whatever its mode, and with it what
 * the log becomes when it is full. A mountpoint can neither be renamed nor removed, by
 * any path, from CMD's namespace or one below it. So each directory above that
 * CMD could rename is mounted upon itself, the outermost first. That has a price:
 * rename(2) and link(2) across it are EXDEV.
 *
 * Trusts: that nothing runs in the namespace yet, and that what CMD has at these paths
 * is theirs, or nothing: then another cover lies there.
 * Must not: go on when a mount cannot be put where it belongs.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "world.h"

/* ---- pins ---------------------------------------------------------------------- */

/*
 * CMD could rename what is in there: it owns it, or others than its owner may write.
 * A group's bits are also the mask of an access list.
 */
static bool
renames_in(const struct run *r, const struct stat *dir)
{
	return r->who.uid == 0 || dir->st_uid == r->who.uid ||
	    (dir->st_mode & (S_IWGRP | S_IWOTH)) != 0;
}

/* Upon itself, with what is mounted below; a symbolic link as such. */
static int
pin(const char *path)
{
	int	r, tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE |
		    OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW);

	if (tree == -1)
		return -1;
	r = move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
	fd_drop(&tree);
	return r;
}

static bool
is_mountpoint(const char *path, const struct stat *above)
{
	struct statx	x;
	struct stat	st;

	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, 0, &x) == 0 &&
	    (x.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0)
		return (x.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
	return lstat(path, &st) == 0 && st.st_dev != above->st_dev;
}

/*
 * The directories above `path', which has no links in it; but not those that are
 * above `but', or it, if that is not NULL.
 */
static int
pin_above(const struct run *r, const char *path, const char *but)
{
	char		p[PATH_MAX];
	char		*s;
	struct stat	above;

	snprintf(p, sizeof(p), "%s", path);
	if (stat("/", &above) == -1)
		return -1;
	for (s = p + 1; (s = strchr(s, '/')) != NULL; *s++ = '/') {
		*s = '\0';
		if (renames_in(r, &above) && !is_mountpoint(p, &above) &&
		    (but == NULL || !mounts_above(p, but)) && pin(p) == -1) {
			log_warn("%s: keeping it from being renamed by CMD", p);
			return -1;
		}
		if (stat(p, &above) == -1) {
			log_warn("%s", p);
			return -1;
		}
	}
	return 0;
}

/* ---- the log --------------------------------------------------------------------- */

/* Its directory, if CMD has one at that path; by which inode does not matter. */
static bool
find_log(const struct run *r, char dir[PATH_MAX])
{
	char	path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", r->audit_path);
	return realpath(dirname(path), dir) != NULL;
}

/* What CMD is to work on, or to have, is not to vanish with the log. */
static int
not_wanted(const struct run *r, const char *dir, const char *cwd)
{
	char	path[PATH_MAX];
	size_t	i;

	if (mounts_above(dir, cwd)) {
		log_warnx("%s is the audit log's, and hidden from CMD; start it "
		    "from another directory", cwd);
		return -1;
	}
	for (i = 0; i < r->nexpose; i++)
		if (realpath(r->expose[i], path) != NULL &&
		    mounts_above(dir, path)) {
			log_warnx("--expose %s: the audit log is there",
			    r->expose[i]);
			return -1;
		}
	return 0;
}

static int
cover_log(const struct run *r, const char *cwd)
{
	char	dir[PATH_MAX];

	if (!find_log(r, dir))
		return 0;
	if (not_wanted(r, dir, cwd) == -1 || pin_above(r, dir, NULL) == -1)
		return -1;
	return mounts_cover(dir);
}

/* The policy decides about the next run too. */
static int
guard_policy(const struct run *r)
{
	if (access(r->policy_path, F_OK) == -1)
		return 0;
	if (mount(r->policy_path, r->policy_path, NULL, MS_BIND, NULL) == 0 &&
	    mounts_readonly(r->policy_path, 0) == 0)
		return 0;
	log_warn("%s: making it read-only for CMD", r->policy_path);
	return -1;
}

int
vault_guard(const struct run *r, const char *cwd)
{
	return cover_log(r, cwd) == -1 ? -1 : guard_policy(r);
}
