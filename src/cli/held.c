/*
 * What `run' has opened before there was a CMD, and uses when CMD is dead: the
 * directories of the log and of --learn's file. A path is CMD's to lead elsewhere, by
 * renaming a directory above; these are not.
 *
 * Trusts: the paths, until CMD is started.
 * Must not: name a path to the user as the log's that no longer is.
 */
#include <sys/stat.h>

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "world.h"

const char *
held_name(const char *path)
{
	const char	*slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

static int
open_directory_of(const char *path)
{
	char	dir[PATH_MAX];
	int	fd;

	snprintf(dir, sizeof(dir), "%s", path);
	fd = open(dirname(dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		log_warn("%s: its directory", path);
	return fd;
}

int
held_open(struct run *r)
{
	r->learn_dir = -1;
	aliases_read(r);
	if ((r->log_dir = open_directory_of(r->audit_path)) == -1)
		return -1;
	if (r->learn == NULL)
		return 0;
	return (r->learn_dir = open_directory_of(r->learn)) == -1 ? -1 : 0;
}

bool
held_log(const struct run *r)
{
	struct stat	a, b;

	if (fstatat(r->log_dir, held_name(r->audit_path), &a,
	    AT_SYMLINK_NOFOLLOW) == 0 && lstat(r->audit_path, &b) == 0 &&
	    a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		return true;
	log_warnx("%s does not lead to the audit log any more: the log, or a "
	    "directory above it, was removed, moved or replaced",
	    r->audit_path);
	return false;
}
