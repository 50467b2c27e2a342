/*
 * A directory's files without its sockets, where no overlay can be laid over it (a
 * mount of its own, an overlay already, a network's file system): a read-only
 * directory in its place, into which each file is bound by itself. Files can be
 * read and written as they are, none can be added, and a socket that is made outside
 * later does not appear.
 *
 * Trusts: nothing of what it finds in there but its type.
 * Must not: bring in a directory as a whole.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "world.h"

#define DEPTH_MAX	4
#define PIECES_MAX	256	/* each is a mount */

struct walk {
	uid_t		uid;
	gid_t		gid;
	unsigned int	left;
	bool		all;
};

static int
put_file(int from, int to, const char *name)
{
	int	fd, tree, r;

	fd = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd == -1)
		return -1;
	tree = open_tree(from, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
	    AT_SYMLINK_NOFOLLOW);
	r = tree == -1 ? -1 : move_mount(tree, "", fd, "",
	    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
	fd_drop(&tree);
	fd_drop(&fd);
	return r;
}

static int
put_link(int from, int to, const char *name)
{
	char	target[PATH_MAX];
	ssize_t	n = readlinkat(from, name, target, sizeof(target) - 1);

	if (n == -1)
		return -1;
	target[n] = '\0';
	return symlinkat(target, to, name);
}

static int	put_all(struct walk *, int from, int to, unsigned int depth);

static int
put_dir(struct walk *w, int from, int to, const char *name, unsigned int depth,
    mode_t mode)
{
	int	f, t, r = -1;

	if (depth == DEPTH_MAX) {
		w->all = false;
		return 0;
	}
	f = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (f == -1)
		return 0;		/* not for us, so not for CMD */
	if (mkdirat(to, name, mode & 0777) == 0 &&
	    fchownat(to, name, w->uid, w->gid, AT_SYMLINK_NOFOLLOW) == 0 &&
	    (t = openat(to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) != -1) {
		r = put_all(w, f, t, depth + 1);
		fd_drop(&t);
	}
	fd_drop(&f);
	return r;
}

static int
put_one(struct walk *w, int from, int to, const char *name, unsigned int depth)
{
	struct stat	st;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	    fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
	    S_ISSOCK(st.st_mode))
		return 0;
	if (w->left == 0) {
		w->all = false;
		return 0;
	}
	w->left--;
	if (S_ISLNK(st.st_mode))
		return put_link(from, to, name);
	if (S_ISDIR(st.st_mode))
		return put_dir(w, from, to, name, depth, st.st_mode);
	return put_file(from, to, name);
}

static int
put_all(struct walk *w, int from, int to, unsigned int depth)
{
	int		 copy = fcntl(from, F_DUPFD_CLOEXEC, 0), rc = 0;
	DIR		*d = copy == -1 ? NULL : fdopendir(copy);
	struct dirent	*e;

	if (d == NULL) {
		fd_drop(&copy);
		return -1;
	}
	while (rc == 0 && (e = readdir(d)) != NULL)
		rc = put_one(w, from, to, e->d_name, depth);
	closedir(d);
	return rc;
}

/* `to` is the new directory, which was mounted upon `from`. */
int
pieces_put(const struct identity *who, int from, const char *path, bool *all)
{
	struct walk	w = { .uid = who->uid, .gid = who->gid,
			    .left = PIECES_MAX, .all = true };
	int		to = mounts_open(path), dir = -1, r = -1;

	if (to != -1)
		dir = openat(to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir != -1)
		r = put_all(&w, from, dir, 0);
	fd_drop(&dir);
	fd_drop(&to);
	*all = w.all;
	return r;
}
