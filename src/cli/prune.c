/*
 * The logs of earlier runs, where `run' keeps them by itself: a file each, which can
 * be hundreds an hour. Once an hour the old ones go.
 *
 * It is evidence: what is younger than a day stays, however many they are, and a log
 * that somebody named with --audit is never touched. Who needs more names one.
 *
 * Trusts: the directory, which is the user's alone. Must not: remove a log that is
 * in use, or a file that no run has made.
 */
#include <sys/file.h>
#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "fd.h"

#define HOUR		3600
#define DAY		(24 * HOUR)
#define OLDEST		(30 * DAY)
#define MANY		2000u		/* logs of more than a day */
#define STAMP		".pruned"

struct found {
	char	*name;
	time_t	 last;			/* written to */
};
struct list {
	struct found	*of;
	size_t		 n, room;
};

/* 20261130T210301Z-26443.jsonl, as default_audit() makes them; not its segments. */
bool
prune_is_log(const char *name)
{
	static const char	shape[] = "dddddddd" "T" "dddddd" "Z-";
	size_t			i, digits;

	for (i = 0; shape[i] != '\0'; i++)
		if (shape[i] == 'd' ? name[i] < '0' || name[i] > '9' :
		    name[i] != shape[i])
			return false;
	digits = strspn(name + i, "0123456789");
	return digits > 0 && strcmp(name + i + digits, ".jsonl") == 0;
}

static int
add(struct list *l, const char *name, time_t last)
{
	struct found	*more;

	if (l->n == l->room) {
		l->room = l->room == 0 ? 256 : 2 * l->room;
		more = reallocarray(l->of, l->room, sizeof(*more));
		if (more == NULL)
			return -1;
		l->of = more;
	}
	l->of[l->n].last = last;
	if ((l->of[l->n].name = strdup(name)) == NULL)
		return -1;
	l->n++;
	return 0;
}

/* What is of somebody else, or has another name, is none that a run made. */
static int
look(struct list *l, DIR *d, time_t now)
{
	struct dirent	*e;
	struct stat	 st;

	while ((e = readdir(d)) != NULL) {
		if (!prune_is_log(e->d_name) || fstatat(dirfd(d), e->d_name, &st,
		    AT_SYMLINK_NOFOLLOW) == -1 || !S_ISREG(st.st_mode) ||
		    st.st_uid != geteuid() || st.st_nlink != 1)
			continue;
		if (now - st.st_mtime > DAY &&
		    add(l, e->d_name, st.st_mtime) == -1)
			return -1;
	}
	return 0;
}

static int
newest_first(const void *a, const void *b)
{
	const struct found	*x = a, *y = b;

	return x->last < y->last ? 1 : x->last > y->last ? -1 :
	    strcmp(y->name, x->name);
}

/* Segments and reserve of a log: NAME.DIGITS, NAME.reserve. */
static void
remove_rest(DIR *d, const char *name)
{
	size_t		 len = strlen(name);
	struct dirent	*e;
	const char	*end;

	rewinddir(d);
	while ((e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, name, len) != 0 || e->d_name[len] != '.')
			continue;
		end = e->d_name + len + 1;
		if (*end != '\0' && (strspn(end, "0123456789") == strlen(end) ||
		    strcmp(end, "reserve") == 0))
			(void)unlinkat(dirfd(d), e->d_name, 0);
	}
}

/* Its recorder has a lock on one that is in use (segment.c). */
static bool
remove_log(DIR *d, const char *name)
{
	int	fd = openat(dirfd(d), name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC |
		    O_NONBLOCK);
	bool	gone = false;

	if (fd != -1 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
		remove_rest(d, name);
		gone = unlinkat(dirfd(d), name, 0) == 0;
	}
	fd_drop(&fd);
	return gone;
}

static void
prune(DIR *d, time_t now)
{
	struct list	l = { NULL, 0, 0 };
	size_t		i, gone = 0;

	if (look(&l, d, now) == 0 && l.n > 0) {
		qsort(l.of, l.n, sizeof(*l.of), newest_first);
		for (i = 0; i < l.n; i++)
			if (i >= MANY || now - l.of[i].last > OLDEST)
				gone += remove_log(d, l.of[i].name);
	}
	if (gone > 0)
		log_info("%zu old audit logs are removed", gone);
	for (i = 0; i < l.n; i++)
		free(l.of[i].name);
	free(l.of);
}

/*
 * True once an hour, for one of those who ask. The directory can be another user's, if
 * root was given his HOME, and the stamp a link to something of root's: nothing but a
 * file of ours that has no other name is cut and written.
 */
static bool
due(int dir, time_t now)
{
	struct stat	st;
	int		fd = openat(dir, STAMP, O_WRONLY | O_CREAT | O_NOFOLLOW |
			    O_CLOEXEC | O_NONBLOCK, 0600);
	bool		yes;

	yes = fd != -1 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_uid == geteuid() && st.st_nlink == 1 &&
	    flock(fd, LOCK_EX | LOCK_NB) == 0 &&
	    (st.st_size == 0 || now - st.st_mtime > HOUR ||
	    now < st.st_mtime) && ftruncate(fd, 0) == 0 &&
	    fd_write_all(fd, "once an hour\n", 13) == 0;
	fd_drop(&fd);
	return yes;
}

void
prune_logs(const char *path)
{
	time_t	now = time(NULL);
	DIR	*d = opendir(path);

	if (d != NULL && due(dirfd(d), now))
		prune(d, now);
	if (d != NULL)
		closedir(d);
}
