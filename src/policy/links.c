/*
 * A policy's file whose name is a symbolic link, as those of a ConfigMap are (the file
 * -> ..data/file, ..data -> ..2026_12_01/): the path is walked, each link and each
 * directory on it is looked at, and what was looked at is opened, never a name twice.
 *
 * A link says what is read as much as a file does. So whoever could turn one, or rename
 * what it leads through, must be root: all of it belongs to root, and nobody else may
 * write there, be it for its mode or because it is mounted read-only. A link of the user
 * who runs this is refused, though a file of theirs is not: `run' keeps its command,
 * which is that user, from the files that it was told of, and not from whatever leads to
 * them. (A command that is root for files is kept from nothing that is root's.)
 *
 * Trusts: root. Must not: follow a link that it has not looked at.
 */
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "idmap.h"
#include "read.h"

#define LINKS_MAX	8u
#define DEPTH_MAX	256u
#define LOOK		(O_RDONLY | O_PATH | O_NOFOLLOW | O_CLOEXEC)

struct walk {
	struct parse	*p;
	const struct where *at;
	const char	*path;			/* as it was named */
	char		 todo[PATH_MAX];	/* what of it is still to be walked */
	int		 dir;
	unsigned int	 links;
};

static bool
is_roots(const struct walk *w, uid_t uid)
{
	return uid == 0 || (w->p->no_root && uid == IDMAP_NOBODY);
}

/* Nobody but root can put another entry into it. */
static bool
is_fixed(const struct walk *w, int dir)
{
	struct statfs	fs;
	struct stat	st;

	if (fstat(dir, &st) == -1 || !S_ISDIR(st.st_mode) ||
	    !is_roots(w, st.st_uid))
		return false;
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) == 0)
		return true;
	return fstatfs(dir, &fs) == 0 && (fs.f_flags & ST_RDONLY) != 0;
}

static int
refuse(struct walk *w, const char *what)
{
	report_error(w->p, w->at, "%.200s leads over a symbolic link, and %s: name "
	    "the file itself", w->path, what);
	return -1;
}

/* All above it: whoever may write there could rename it. */
static bool
is_fixed_up(const struct walk *w, int dir)
{
	struct stat	st, above;
	unsigned int	i;
	bool		good = true;
	int		at = openat(dir, ".", LOOK | O_DIRECTORY), up;

	for (i = 0; good && at != -1 && i < DEPTH_MAX; i++) {
		up = openat(at, "..", LOOK | O_DIRECTORY);
		good = is_fixed(w, at) && up != -1 && fstat(at, &st) == 0 &&
		    fstat(up, &above) == 0;
		fd_drop(&at);
		at = up;
		if (good && st.st_dev == above.st_dev && st.st_ino == above.st_ino)
			break;		/* the root */
	}
	good = good && at != -1 && i < DEPTH_MAX;
	if (at != -1)
		fd_drop(&at);
	return good;
}

/* The target takes the link's place in front of what is still to be walked. */
static int
follow(struct walk *w, int link)
{
	char	target[PATH_MAX], rest[PATH_MAX];
	ssize_t	n = readlinkat(link, "", target, sizeof(target) - 1);

	if (n <= 0 || ++w->links > LINKS_MAX)
		return refuse(w, n <= 0 ? "that cannot be read" :
		    "that over too many others");
	target[n] = '\0';
	memcpy(rest, w->todo, sizeof(rest));
	if (snprintf(w->todo, sizeof(w->todo), "%s/%s", target, rest) >=
	    (int)sizeof(w->todo))
		return refuse(w, "that is too long");
	if (target[0] != '/')
		return 0;
	fd_drop(&w->dir);
	w->dir = open("/", LOOK | O_DIRECTORY);
	return w->dir == -1 ? refuse(w, "/ cannot be opened") : 0;
}

/* The first part of what is to be walked; false at the end. */
static bool
next_part(struct walk *w, char part[NAME_MAX + 1])
{
	const char	*from = w->todo + strspn(w->todo, "/");
	size_t		 len = strcspn(from, "/");

	if (len == 0 || len > NAME_MAX)
		return false;
	memcpy(part, from, len);
	part[len] = '\0';
	memmove(w->todo, from + len, strlen(from + len) + 1);
	return true;
}

/* One step. The fd of the file, 0 for more to walk, or -1 after a message. */
static int
step(struct walk *w, const char *part)
{
	bool		last = w->todo[strspn(w->todo, "/")] == '\0';
	struct stat	st;
	int		fd = openat(w->dir, part, LOOK), rc = 0;

	if (fd == -1 || fstat(fd, &st) == -1)
		return refuse(w, errno == ENOENT ? "what that leads to is not there" :
		    "what that leads to cannot be opened");
	if (!is_fixed(w, w->dir))
		rc = refuse(w, "others than root may write where that leads through");
	else if (S_ISLNK(st.st_mode))
		rc = is_roots(w, st.st_uid) ? follow(w, fd) :
		    refuse(w, "that is not root's");
	else if (!last && S_ISDIR(st.st_mode)) {
		fd_drop(&w->dir);
		w->dir = fd;
		return 0;
	} else if (!last)
		rc = refuse(w, "what that leads through is no directory");
	else
		rc = openat(w->dir, part, O_RDONLY | O_NOFOLLOW | O_NONBLOCK |
		    O_NOCTTY | O_CLOEXEC);
	if (rc == -1 && last && !S_ISLNK(st.st_mode) && w->p->sink->errors == 0)
		refuse(w, "what that leads to cannot be opened");
	fd_drop(&fd);
	return rc;
}

/* A file behind links, opened to be read; or -1, after a message. */
int
links_open(struct parse *p, const struct where *at, const char *path)
{
	struct walk	w = { .p = p, .at = at, .path = path, .dir = -1 };
	char		part[NAME_MAX + 1];
	int		fd = 0;

	if (snprintf(w.todo, sizeof(w.todo), "%s", path) >= (int)sizeof(w.todo))
		return refuse(&w, "the path is too long");
	w.dir = open(path[0] == '/' ? "/" : ".", LOOK | O_DIRECTORY);
	if (w.dir == -1 || !is_fixed_up(&w, w.dir))
		fd = refuse(&w, "others than root may write where that leads "
		    "through");
	while (fd == 0 && next_part(&w, part))
		fd = step(&w, part);
	if (fd == 0)
		fd = refuse(&w, "that leads to a directory");
	if (w.dir != -1)
		fd_drop(&w.dir);
	return fd;
}
