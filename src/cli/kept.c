/*
 * What CMD keeps of the directories that become its own: taken as a mount before,
 * put back after. Where CMD works, its home and its program, if they are below a
 * /tmp; and what --expose names.
 *
 * Trusts: the user's own options and environment.
 * Must not: bring back a whole /tmp because somebody works in it.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "world.h"

/*
 * Below a /tmp, /dev/shm or an automounter's directory, and not that itself. /run has
 * no work of anybody's.
 */
static bool
is_work(const struct run *r, const char *path)
{
	const struct private_dir	*d = private_over(&r->own, path);

	if (d == NULL || strcmp(path, d->path) == 0)
		return false;
	return d->kind == PRIVATE_TMP || d->kind == PRIVATE_EMPTY || (d->kind == PRIVATE_DEV &&
	    strncmp(path, "/dev/shm/", 9) == 0);
}

static bool
comes_with(const struct run *r, const char *dir, const char *path)
{
	char	real[PATH_MAX];

	return realpath(dir, real) != NULL && is_work(r, real) &&
	    mounts_above(real, path);
}

bool
kept_loses(const struct run *r, const char *path)
{
	const struct private_dir	*d = private_over(&r->own, path);
	char				 dir[PATH_MAX];
	char				*slash;

	if (d == NULL || strcmp(d->path, path) == 0 ||
	    (d->kind == PRIVATE_DEV && !is_work(r, path)))
		return false;
	snprintf(dir, sizeof(dir), "%s", r->cmd[0]);
	if ((slash = strrchr(dir, '/')) != NULL)
		*slash = '\0';
	return !comes_with(r, run_home(r), path) && !comes_with(r, ".", path) &&
	    (slash == NULL || !comes_with(r, dir, path));
}

/* Nothing that comes with another; the outer ones are asked for first. */
static int
keep_work(struct world *w, const char *path)
{
	struct kept	*k = &w->back[w->nback];
	struct stat	 st;
	size_t		 i;

	if (!is_work(w->run, path) || stat(path, &st) == -1)
		return 0;
	for (i = 0; i < w->nback; i++)
		if (mounts_above(w->back[i].path, path))
			return 0;
	k->dir = S_ISDIR(st.st_mode);
	k->tree = mounts_clone(path);
	if (k->tree == -1 || (k->path = strdup(path)) == NULL) {
		log_warn("%s: keeping it for CMD", path);
		return -1;
	}
	w->nback++;
	return 0;
}

/* The first one that is in PATH, or as it is named. */
static bool
find_program(const char *name, char *buf, size_t size)
{
	const char	*dir = getenv("PATH"), *end;
	int		 n;

	if (strchr(name, '/') != NULL)
		return snprintf(buf, size, "%s", name) < (int)size;
	for (; dir != NULL; dir = *end == '\0' ? NULL : end + 1) {
		end = strchrnul(dir, ':');
		n = snprintf(buf, size, "%.*s/%s", (int)(end - dir), dir, name);
		if (n > 0 && (size_t)n < size && end > dir &&
		    access(buf, X_OK) == 0)
			return true;
	}
	return false;
}

/* The directory of a program, or the program alone where that is a /tmp. */
static int
keep_beside(struct world *w, const char *path)
{
	const struct private_dir	*d = private_over(&w->run->own, path);
	char				 dir[PATH_MAX];
	char				*slash;

	snprintf(dir, sizeof(dir), "%s", path);
	if ((slash = strrchr(dir, '/')) == NULL || d == NULL)
		return 0;
	*slash = '\0';
	return keep_work(w, strcmp(dir, d->path) == 0 ||
	    strcmp(dir, "/dev/shm") == 0 ? path : dir);
}

static int
keep_program(struct world *w)
{
	char	found[PATH_MAX], dir[PATH_MAX], named[PATH_MAX * 2];
	char	*slash;

	if (!find_program(w->run->cmd[0], found, sizeof(found)) ||
	    realpath(found, w->program) == NULL) {
		*w->program = '\0';
		return 0;
	}
	/* as it is named, the last component may be a link */
	slash = strrchr(found, '/');
	*slash = '\0';
	if (realpath(*found == '\0' ? "/" : found, dir) == NULL)
		return 0;	/* its directory went meanwhile */
	snprintf(named, sizeof(named), "%s/%s", dir, slash + 1);
	if (strlen(named) < PATH_MAX && keep_beside(w, named) == -1)
		return -1;
	return keep_beside(w, w->program);
}

int
kept_work(struct world *w)
{
	if (realpath(run_home(w->run), w->home) == NULL)
		*w->home = '\0';
	else if (keep_work(w, w->home) == -1)
		return -1;
	return keep_work(w, w->cwd) == -1 ? -1 : keep_program(w);
}

/*
 * True where everything is of our making: nobody outside could turn a name of the
 * path into another thing while we make one there. (The user himself could, who
 * gains nothing by it.)
 */
static bool
is_ours(const struct world *w, const char *path)
{
	const struct private_dir	*d = private_over(&w->run->own, path);
	size_t				 i;

	if (d == NULL || strstr(path, "/..") != NULL ||
	    (d->kind == PRIVATE_RUNTIME && w->run->who.other))
		return false;
	for (i = 0; i < w->nback; i++)
		if (w->back[i].tree == -1 &&
		    mounts_above(w->back[i].path, path))
			return false;
	return true;
}

static int
put_back(const struct world *w, struct kept *k)
{
	int	fd = mounts_open(k->path);

	if (fd == -1 && errno == ENOENT && is_ours(w, k->path))
		mounts_point(k->path, k->dir);
	fd_drop(&fd);
	if (mounts_put(&k->tree, k->path) == 0)
		return 0;
	log_warn("%s: putting it where CMD sees it", k->path);
	return -1;
}

/* It may have been named by a link that is in one of CMD's own directories. */
static void
name_again(const struct world *w, const char *given, const char *path)
{
	struct stat	st;

	if (*given != '/' || strcmp(given, path) == 0 || !is_ours(w, given) ||
	    lstat(given, &st) == 0)
		return;
	mounts_point(given, false);
	if (unlink(given) == -1 || symlink(path, given) == -1)
		log_info("%s: only as %s for CMD", given, path);
}

int
kept_put_work(struct world *w)
{
	size_t	i;

	for (i = 0; i < w->nback; i++)
		if (put_back(w, &w->back[i]) == -1)
			return -1;
	if (*w->home != '\0')
		name_again(w, run_home(w->run), w->home);
	return 0;
}

/* The one that the options named, and no other that has its name by now. */
static int
keep_exposed(const struct exposed *e, struct kept *k)
{
	struct stat	st;

	k->path = e->path;
	k->dir = S_ISDIR(e->mode);
	k->tree = mounts_clone(e->path);
	if (k->tree == -1 || fstat(k->tree, &st) == -1) {
		log_warn("--expose %s", e->path);
		return -1;
	}
	if (st.st_dev == e->dev && st.st_ino == e->ino)
		return 0;
	log_warnx("--expose %s: another file has taken its place", e->path);
	return -1;
}

int
kept_exposed(struct world *w)
{
	const struct run	*r = w->run;
	size_t			 i;

	w->exposed = calloc(r->nexposed + 1, sizeof(*w->exposed));
	if (w->exposed == NULL) {
		log_warnx("no memory");
		return -1;
	}
	for (i = 0; i < r->nexposed; i++)
		if (keep_exposed(&r->exposed[i], &w->exposed[i]) == -1)
			return -1;
	return 0;
}

int
kept_put_exposed(struct world *w)
{
	size_t	i;

	for (i = 0; i < w->run->nexposed; i++) {
		if (put_back(w, &w->exposed[i]) == -1)
			return -1;
		name_again(w, w->run->exposed[i].given,
		    w->run->exposed[i].path);
	}
	return 0;
}
