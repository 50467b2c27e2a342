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
#include <sys/statvfs.h>

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

#define NLOGS	(sizeof(((struct world *)NULL)->logs) / sizeof(char *))

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

int
vault_above(const struct run *r, const char *path, above_fn *todo,
    const char *cwd, void *arg)
{
	char		p[PATH_MAX];
	char		*s;
	struct stat	above;
	int		rc = 0;

	snprintf(p, sizeof(p), "%s", path);
	if (stat("/", &above) == -1)
		return -1;
	for (s = p + 1; rc == 0 && (s = strchr(s, '/')) != NULL; *s++ = '/') {
		*s = '\0';
		if (renames_in(r, &above))
			rc = todo(p, &above, cwd, arg);
		if (stat(p, &above) == -1)
			return -1;
	}
	return rc;
}

static int
pin_one(const char *path, const struct stat *above, const char *cwd, void *arg)
{
	(void)cwd;
	(void)arg;
	if (is_mountpoint(path, above) || pin(path) == 0)
		return 0;
	log_warn("%s: keeping it from being renamed by CMD", path);
	return -1;
}

/* Not where CMD works: to rename within its own tree is what it is there for. */
static int
pin_beside(const char *path, const struct stat *above, const char *cwd, void *arg)
{
	return mounts_above(path, cwd) ? 0 : pin_one(path, above, cwd, arg);
}

/* A link on the way. A kernel that cannot mount there leaves it to be found out. */
static int
pin_link(const char *path, const struct stat *above, const char *cwd, void *arg)
{
	struct stat	st;

	(void)cwd;
	(void)arg;
	if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode) &&
	    !is_mountpoint(path, above))
		(void)pin(path);
	return 0;
}

/* ---- the log --------------------------------------------------------------------- */

/* What CMD is to work on, or to have, is not to vanish with the log. */
static int
not_wanted(const struct run *r, const char *dir, const char *cwd)
{
	size_t	i;

	if (mounts_above(dir, cwd)) {
		log_warnx("%s is the audit log's, and hidden from CMD; start it "
		    "from another directory", cwd);
		return -1;
	}
	for (i = 0; i < r->nexposed; i++)
		if (mounts_above(dir, r->exposed[i].path)) {
			log_warnx("--expose %s: the audit log is there",
			    r->exposed[i].given);
			return -1;
		}
	return 0;
}

static int
cover_one(const struct run *r, const char *dir, const char *cwd)
{
	if (not_wanted(r, dir, cwd) == -1 ||
	    vault_above(r, dir, pin_one, cwd, NULL) == -1)
		return -1;
	return mounts_cover(dir);
}

struct dirs {
	size_t	n;
	char	path[6][PATH_MAX];
};

/* What CMD has at that path, by which inode does not matter; once. */
static void
add_dir(struct dirs *d, const char *path)
{
	const char	*real = path == NULL ? NULL :
			    realpath(path, d->path[d->n]);
	struct stat	 st;
	size_t		 i;

	if (real == NULL || stat(real, &st) == -1 || !S_ISDIR(st.st_mode))
		return;
	for (i = 0; i < d->n; i++)
		if (strcmp(d->path[i], d->path[d->n]) == 0)
			return;
	d->n++;
}

/* This log's, and where earlier and other runs keep theirs; as they are named. */
static bool
name_logs(const struct run *r, int which, char path[PATH_MAX])
{
	if (which == 0) {
		snprintf(path, PATH_MAX, "%s", r->audit_path);
		*strrchr(path, '/') = '\0';
		return true;
	}
	if (which == 1)
		return where_state(path, PATH_MAX);
	snprintf(path, PATH_MAX, "%.3000s/.local/state/sallyport", run_home(r));
	return true;
}

/*
 * Each by its name and by where that led before CMD had directories of its own: the
 * link that is the name may have been in one. First all other ways to each: once it is
 * covered they cannot be told any more.
 */
static int
cover_logs(const struct world *w)
{
	const struct run	*r = w->run;
	struct dirs		 d = { .n = 0 };
	char			 path[PATH_MAX];
	size_t			 i;

	for (i = 0; i < NLOGS; i++) {
		add_dir(&d, w->logs[i]);
		if (!name_logs(r, (int)i, path))
			continue;
		if (w->logs[i] == NULL || strcmp(w->logs[i], path) != 0)
			(void)vault_above(r, path, pin_link, "/", NULL);
		add_dir(&d, path);
	}
	for (i = 0; i < d.n; i++)
		if (aliases_each(r, d.path[i], cover_one, w->cwd) == -1 ||
		    cover_one(r, d.path[i], w->cwd) == -1)
			return -1;
	return 0;
}

/* ---- the policy ------------------------------------------------------------------ */

static bool
is_readonly(const char *path)
{
	struct statvfs	fs;

	return statvfs(path, &fs) == 0 && (fs.f_flag & ST_RDONLY) != 0;
}

/*
 * A directory in which an include looks for files: CMD is not to add one. In the one
 * that it works in it can only be said that it may.
 */
static int
guard_directory(const char *dir, const char *cwd)
{
	if (!mounts_above(dir, cwd))
		return mounts_freeze(dir);
	log_warnx("the policy includes files of %s, where CMD works: it can add "
	    "to the policy of the next run", dir);
	return 0;
}

/* CMD could write it, or put another in its place. */
static bool
in_reach(const struct run *r, const char *path, const struct stat *st)
{
	char		dir[PATH_MAX];
	struct stat	above;

	snprintf(dir, sizeof(dir), "%s", path);
	return renames_in(r, st) ||
	    stat(dirname(dir), &above) == -1 || renames_in(r, &above);
}

bool
vault_reaches(const struct run *r, const char *path)
{
	char		dir[PATH_MAX];
	struct stat	st;

	if (stat(path, &st) == 0)
		return in_reach(r, path, &st);
	snprintf(dir, sizeof(dir), "%s", path);
	return stat(dirname(dir), &st) == 0 && renames_in(r, &st);
}

/* By another name, which nobody can find, it is a file like others to CMD. */
static int
guard_file(const char *path, const struct stat *st)
{
	if (S_ISREG(st->st_mode) && st->st_nlink > 1)
		log_warnx("%s: the policy's file has another name, a hard link, "
		    "by which CMD may change it; read it before the next run, or "
		    "make it a copy", path);
	return mounts_freeze(path);
}

static int
guard_path(const struct run *r, const char *path, const char *cwd)
{
	struct stat	st;

	if (stat(path, &st) == -1 ||
	    vault_above(r, path, pin_beside, cwd, NULL) == -1)
		return -1;
	if (!in_reach(r, path, &st) || is_readonly(path))
		return 0;
	return S_ISDIR(st.st_mode) ? guard_directory(path, cwd) :
	    guard_file(path, &st);
}

static int
guard_one(const struct run *r, const char *path, const char *cwd, bool dirs)
{
	struct stat	st;

	if (path == NULL || stat(path, &st) == -1 || S_ISDIR(st.st_mode) != dirs)
		return 0;		/* CMD has none there */
	return aliases_each(r, path, guard_path, cwd) == -1 ? -1 :
	    guard_path(r, path, cwd);
}

/* By its name and, as the log, by where that led before. */
static int
guard_named(const struct world *w, size_t i, bool dirs)
{
	char	full[PATH_MAX], path[PATH_MAX];

	if (guard_one(w->run, w->law[i], w->cwd, dirs) == -1)
		return -1;
	if (!law_full(w->run->law.file[i].path, w->cwd, full) ||
	    (w->law[i] != NULL && strcmp(full, w->law[i]) == 0) ||
	    realpath(full, path) == NULL)
		return 0;
	if (strcmp(full, path) != 0)
		(void)vault_above(w->run, full, pin_link, w->cwd, NULL);
	if (w->law[i] != NULL && strcmp(path, w->law[i]) == 0)
		return 0;
	return guard_one(w->run, path, w->cwd, dirs);
}

/* Directories first: a file in one that is frozen needs no more. */
static int
guard_law(const struct world *w)
{
	size_t	i;
	int	dirs;

	for (dirs = 1; dirs >= 0; dirs--)
		for (i = 0; i < w->run->law.n; i++)
			if (guard_named(w, i, dirs == 1) == -1)
				return -1;
	return 0;
}

/* ---- both ------------------------------------------------------------------------ */

int
vault_find(struct world *w)
{
	const struct run	*r = w->run;
	char			 path[PATH_MAX];
	size_t			 i;

	if ((w->law = calloc(r->law.n + 1, sizeof(*w->law))) == NULL) {
		log_warnx("no memory");
		return -1;
	}
	for (i = 0; i < NLOGS; i++)
		if (name_logs(r, (int)i, path))
			w->logs[i] = realpath(path, NULL);
	for (i = 0; i < r->law.n; i++)
		if (law_full(r->law.file[i].path, w->cwd, path))
			w->law[i] = realpath(path, NULL);
	return 0;
}

int
vault_guard(const struct world *w)
{
	return cover_logs(w) == -1 ? -1 : guard_law(w);
}
