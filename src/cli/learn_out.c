/*
 * The file that a policy is written to, all of it or nothing, and under its name only
 * when it is on the disk.
 *
 * Trusts: the user who names it.
 * Must not: overwrite a file unasked, even one that appears meanwhile; or follow a link.
 */
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
#include "learn.h"

struct out {
	const char	*path;
	int		 dir;
	char		 temp[64];
	mode_t		 mode;
	uid_t		 uid;
	gid_t		 gid;
	bool		 there;
};

static int
look(struct out *o, bool force)
{
	struct stat	st;

	o->mode = 0600;
	if (fstatat(o->dir, held_name(o->path), &st, AT_SYMLINK_NOFOLLOW) == -1) {
		if (errno == ENOENT)
			return 0;
		log_warn("learn: %s", o->path);
		return -1;
	}
	if (!S_ISREG(st.st_mode)) {
		log_warnx("learn: %s is no regular file: name a file, or leave -o "
		    "out", o->path);
		return -1;
	}
	if (!force) {
		log_warnx("learn: %s is there already, and is not overwritten; "
		    "name a new file, or add --force", o->path);
		return -1;
	}
	o->there = true;
	o->mode = st.st_mode & 07777;
	o->uid = st.st_uid;
	o->gid = st.st_gid;
	return 0;
}

static int
open_dir(struct out *o)
{
	char	dir[PATH_MAX];

	if (strlen(o->path) >= sizeof(dir) || *held_name(o->path) == '\0') {
		log_warnx("learn: -o needs a file's name");
		return -1;
	}
	snprintf(dir, sizeof(dir), "%s", o->path);
	o->dir = open(dirname(dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (o->dir == -1)
		log_warn("learn: %s: its directory", o->path);
	return o->dir == -1 ? -1 : 0;
}

static int
write_all(int fd, const char *p, size_t n)
{
	ssize_t	k;

	for (; n > 0; p += k, n -= (size_t)k)
		if ((k = write(fd, p, n)) == -1)
			return -1;
	return fsync(fd);
}

/* A file that is replaced keeps its owner and mode. */
static int
fill(struct out *o, int fd, const char *text, size_t len)
{
	struct stat	st;

	if (write_all(fd, text, len) == -1 || fstat(fd, &st) == -1)
		return -1;
	if (o->there && (st.st_uid != o->uid || st.st_gid != o->gid) &&
	    fchown(fd, o->uid, o->gid) == -1)
		return -1;
	return fchmod(fd, o->mode);
}

static int
name_it(const struct out *o)
{
	return o->there ?
	    renameat(o->dir, o->temp, o->dir, held_name(o->path)) :
	    renameat2(o->dir, o->temp, o->dir, held_name(o->path),
	    RENAME_NOREPLACE);
}

static int
put(struct out *o, const char *text, size_t len)
{
	int	fd, result;

	snprintf(o->temp, sizeof(o->temp), ".sallyport-learn.%ld", (long)getpid());
	fd = openat(o->dir, o->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC |
	    O_NOFOLLOW, 0600);
	if (fd == -1) {
		log_warn("learn: %s cannot be made", o->path);
		return -1;
	}
	result = fill(o, fd, text, len);
	if (close(fd) == -1)
		result = -1;
	if (result == 0)
		result = name_it(o);
	if (result == 0)
		result = fsync(o->dir);
	else
		log_warn("learn: %s", o->path);
	if (result == -1)
		(void)unlinkat(o->dir, o->temp, 0);
	return result;
}

int
learn_out(const char *path, bool force, const char *text, size_t len)
{
	struct out	o = { .path = path, .dir = -1 };
	int		result;

	if (path == NULL) {
		if (fwrite(text, 1, len, stdout) == len && fflush(stdout) == 0)
			return 0;
		log_warn("learn: standard output");
		return -1;
	}
	result = open_dir(&o);
	if (result == 0)
		result = look(&o, force);
	if (result == 0)
		result = put(&o, text, len);
	fd_drop(&o.dir);
	return result;
}
