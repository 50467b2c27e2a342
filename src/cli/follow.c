/*
 * The host's resolv.conf while we run: replaced, written anew, its link turned, come
 * or gone. The broker is told what it says now, and has another resolver started.
 *
 * What is watched: each link on the way to the file, the directories that they are in
 * (or the nearest one that is there), and the file. Where the kernel has no watch left
 * it is looked at every few seconds.
 *
 * Trusts: who can write there; that is not CMD, or the file is not followed.
 * Must not: take a file that is being written for one that names nobody.
 */
#include <sys/inotify.h>
#include <sys/stat.h>

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "fd.h"

#define LINKS_MAX	16
#define SETTLE_MS	250	/* from the first sign of a change */
#define EMPTY_MS	1500	/* it names nobody: is that all? */
#define POLL_MS		5000
#define DIR_EVENTS	(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | \
			IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define FILE_EVENTS	(IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | \
			IN_DELETE_SELF | IN_MOVE_SELF)

static int64_t
now_ms(void)
{
	struct timespec	ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Where the link leads. False: it is none. */
static bool
next_link(char path[PATH_MAX])
{
	char	to[PATH_MAX], dir[PATH_MAX];
	ssize_t	n = readlink(path, to, sizeof(to) - 1);
	int	len;

	if (n == -1)
		return false;
	to[n] = '\0';
	snprintf(dir, sizeof(dir), "%s", path);
	len = snprintf(path, PATH_MAX, "%s%s%s", *to == '/' ? "" : dirname(dir),
	    *to == '/' ? "" : "/", to);
	return len > 0 && len < PATH_MAX;
}

/* ---- whose it is ------------------------------------------------------------------ */

static int
is_loose(const char *path, const struct stat *above, const char *cwd, void *arg)
{
	(void)path;
	(void)above;
	(void)cwd;
	(void)arg;
	return 1;
}

/* As it is named, and as the directory is really named: a link to it may be on the way. */
static bool
way_is_loose(const struct run *r, const char *path)
{
	char	dir[PATH_MAX], real[PATH_MAX], self[PATH_MAX + 2];

	snprintf(dir, sizeof(dir), "%s", path);
	if (vault_above(r, path, is_loose, "/", NULL) == 1)
		return true;
	if (realpath(dirname(dir), real) == NULL)
		return false;		/* nothing is there yet */
	snprintf(self, sizeof(self), "%s/.", real);
	return vault_above(r, self, is_loose, "/", NULL) == 1;
}

/* CMD could turn the way to it, or write it: it would choose whom its names are asked of. */
static bool
in_reach(const struct run *r)
{
	char	path[PATH_MAX] = RESOLV_CONF;
	int	i;

	for (i = 0; i < LINKS_MAX; i++) {
		if (way_is_loose(r, path) || vault_reaches(r, path))
			return true;
		if (!next_link(path))
			break;
	}
	return i == LINKS_MAX;
}

/* ---- watches ---------------------------------------------------------------------- */

static bool
watch_dir(int fd, const char *path)
{
	char	dir[PATH_MAX];
	char	*slash;

	snprintf(dir, sizeof(dir), "%s", path);
	do {
		if ((slash = strrchr(dir, '/')) == NULL)
			return false;
		slash[slash == dir] = '\0';
		if (inotify_add_watch(fd, dir, DIR_EVENTS) != -1)
			return true;
	} while (errno == ENOENT && slash != dir);
	return false;
}

/* Anew each time: what was watched may be gone, and something else be there. */
static void
watch(struct follow *f)
{
	char	path[PATH_MAX] = RESOLV_CONF;
	bool	well;
	int	i;

	fd_drop(&f->fd);
	f->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	well = f->fd != -1;
	for (i = 0; well && i < LINKS_MAX; i++) {
		well = watch_dir(f->fd, path);
		if (!next_link(path))
			break;
	}
	/* mounted there, as in a container, its own directory is elsewhere */
	if (well && inotify_add_watch(f->fd, RESOLV_CONF, FILE_EVENTS) == -1)
		well = errno == ENOENT || errno == EACCES;
	if (well)
		return;
	log_debug("%s cannot be watched (%s); it is looked at every %d s",
	    RESOLV_CONF, strerror(errno), POLL_MS / 1000);
	fd_drop(&f->fd);
	f->due = now_ms() + POLL_MS;
}

static void
changed(struct follow *f, const struct hostconf *c)
{
	if (memcmp(&c->host, &f->now, sizeof(f->now)) == 0)
		return;
	if (f->run != NULL && in_reach(f->run)) {
		log_warnx("%s is another, and CMD may have written it: it is not "
		    "followed", RESOLV_CONF);
		follow_close(f);
		return;
	}
	f->now = c->host;
	machine_upstreams(f->machine, &c->host);
}

/* Watched again first: what changes after the look is seen then. */
static void
look(struct follow *f)
{
	struct hostconf	c;
	bool		empty;

	f->due = 0;
	watch(f);
	hostconf_read(&c);
	empty = c.host.n == 0 && f->now.n > 0 && !f->empty;
	f->empty = empty;
	if (empty)
		f->due = now_ms() + EMPTY_MS;
	else
		changed(f, &c);
}

void
follow_open(struct follow *f, const struct run *r, struct machine *m,
    const struct hostconf *c)
{
	memset(f, 0, sizeof(*f));
	f->fd = -1;
	f->run = r;
	f->machine = m;
	f->now = c->host;
	f->off = r != NULL && in_reach(r);
	if (f->off)
		log_info("CMD may write %s: it is not followed", RESOLV_CONF);
	else
		look(f);	/* it may have changed since it was read */
}

void
follow_close(struct follow *f)
{
	fd_drop(&f->fd);
	f->off = true;
	f->due = 0;
}

int
follow_timeout(const struct follow *f)
{
	int64_t	left = f->due - now_ms();

	return f->off || f->due == 0 ? -1 : left < 0 ? 0 : (int)left;
}

void
follow_work(struct follow *f)
{
	char	events[4096];
	bool	any = false;

	while (f->fd != -1 && read(f->fd, events, sizeof(events)) > 0)
		any = true;
	if (any && f->due == 0)
		f->due = now_ms() + SETTLE_MS;
	if (follow_timeout(f) == 0)
		look(f);
}
