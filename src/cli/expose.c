/*
 * --expose: taken before the covers as a mount of its own, put back upon them.
 *
 * Trusts: the user's own options. Must not: leave one out without a word.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <stdlib.h>

#include "fd.h"
#include "world.h"

int
expose_keep(const struct run *r, struct kept *k)
{
	struct stat	st;
	size_t		i;

	for (i = 0; i < r->nexpose; i++) {
		if (realpath(r->expose[i], k[i].path) == NULL ||
		    stat(k[i].path, &st) == -1 ||
		    (k[i].tree = open_tree(AT_FDCWD, k[i].path,
		    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE)) == -1) {
			log_warn("--expose %s", r->expose[i]);
			return -1;
		}
		k[i].dir = S_ISDIR(st.st_mode);
	}
	return 0;
}

int
expose_put_back(const struct run *r, struct kept *k)
{
	size_t	i;

	for (i = 0; i < r->nexpose; i++) {
		mounts_point(k[i].path, k[i].dir);
		if (move_mount(k[i].tree, "", AT_FDCWD, k[i].path,
		    MOVE_MOUNT_F_EMPTY_PATH) == -1) {
			log_warn("--expose %s", r->expose[i]);
			return -1;
		}
		fd_drop(&k[i].tree);
	}
	return 0;
}

