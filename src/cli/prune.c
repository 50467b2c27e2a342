/*
 * The logs of earlier runs, where `run' keeps them by itself: a file each, which can
 * be hundreds an hour. At each start the oldest go, beyond a number and a size.
 *
 * It is evidence: a log that is in use, that was written to a moment ago, or that
 * somebody named with --audit is never touched, and the newest stays whatever its
 * size. Who needs more than the limits says so by --keep, or names a log.
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

#define SIZE_MAX_ALL	(UINT64_C(1) << 30)	/* of all of them, in bytes */
#define FRESH		60		/* s: its recorder may not have its lock yet */
#define LOCK		".pruned"

/* A log, or as yet one of its files. */
struct found {
	char		*name;			/* the log's, without what follows it */
	bool		 log;			/* and not a segment or the reserve */
	time_t		 last;			/* written to */
	uint64_t	 size;
};
struct list {
	struct found	*of;
	size_t		 n, room;
};

/* How much of a name is 20261130T210301Z-26443.jsonl, as default_audit() makes them. */
static size_t
stem(const char *name)
{
	static const char	shape[] = "dddddddd" "T" "dddddd" "Z-";
	static const char	end[] = ".jsonl";
	size_t			i, digits;

	for (i = 0; shape[i] != '\0'; i++)
		if (shape[i] == 'd' ? name[i] < '0' || name[i] > '9' :
		    name[i] != shape[i])
			return 0;
	digits = strspn(name + i, "0123456789");
	if (digits == 0 || strncmp(name + i + digits, end, strlen(end)) != 0)
		return 0;
	return i + digits + strlen(end);
}

/* What a log has besides: NAME.DIGITS, its segments, and NAME.reserve. */
static bool
is_part(const char *rest)
{
	return *rest == '.' && rest[1] != '\0' &&
	    (strspn(rest + 1, "0123456789") == strlen(rest + 1) ||
	    strcmp(rest + 1, "reserve") == 0);
}

/* What is of somebody else, or has another name, is none that a run made. */
static bool
ours(int dir, const char *name, struct stat *st)
{
	return fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st->st_mode) && st->st_uid == geteuid() &&
	    st->st_nlink == 1;
}

static int
add(struct list *l, const char *name, size_t len, const struct stat *st)
{
	struct found	*more;

	if (l->n == l->room) {
		l->room = l->room == 0 ? 256 : 2 * l->room;
		more = reallocarray(l->of, l->room, sizeof(*more));
		if (more == NULL)
			return -1;
		l->of = more;
	}
	if ((l->of[l->n].name = strndup(name, len)) == NULL)
		return -1;
	l->of[l->n].log = name[len] == '\0';
	l->of[l->n].last = st->st_mtime;
	l->of[l->n].size = (uint64_t)st->st_size;
	l->n++;
	return 0;
}

/* The log's own file before its others. */
static int
by_name(const void *a, const void *b)
{
	const struct found	*x = a, *y = b;
	int			 c = strcmp(x->name, y->name);

	return c != 0 ? c : y->log - x->log;
}

/* One for each log. What is left of one that is gone is nobody's, and stays. */
static void
join(struct list *l)
{
	size_t		 i, n = 0;
	struct found	*f;

	if (l->n > 0)
		qsort(l->of, l->n, sizeof(*l->of), by_name);
	for (i = 0; i < l->n; i++) {
		f = &l->of[i];
		if (f->log) {
			l->of[n++] = *f;
			continue;
		}
		if (n > 0 && strcmp(l->of[n - 1].name, f->name) == 0)
			l->of[n - 1].size += f->size;
		free(f->name);
	}
	l->n = n;
}

static int
look(struct list *l, DIR *d)
{
	struct dirent	*e;
	struct stat	 st;
	size_t		 len;

	while ((e = readdir(d)) != NULL) {
		len = stem(e->d_name);
		if (len == 0 || (e->d_name[len] != '\0' &&
		    !is_part(e->d_name + len)) ||
		    !ours(dirfd(d), e->d_name, &st))
			continue;
		if (add(l, e->d_name, len, &st) == -1)
			return -1;
	}
	join(l);
	return 0;
}

static int
newest_first(const void *a, const void *b)
{
	const struct found	*x = a, *y = b;

	return x->last < y->last ? 1 : x->last > y->last ? -1 :
	    strcmp(y->name, x->name);
}

static void
remove_rest(DIR *d, const char *name)
{
	size_t		 len = strlen(name);
	struct dirent	*e;
	struct stat	 st;

	rewinddir(d);
	while ((e = readdir(d)) != NULL)
		if (strncmp(e->d_name, name, len) == 0 &&
		    is_part(e->d_name + len) &&
		    ours(dirfd(d), e->d_name, &st))
			(void)unlinkat(dirfd(d), e->d_name, 0);
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

/* `others': how many may stay besides the one that is begun now. */
static size_t
thin_out(DIR *d, const struct list *l, uint32_t others, time_t now)
{
	uint64_t	size = 0;
	size_t		i, gone = 0;

	for (i = 0; i < l->n; i++) {
		size += l->of[i].size;
		if ((i >= others || (i > 0 && size > SIZE_MAX_ALL)) &&
		    now - l->of[i].last >= FRESH)
			gone += remove_log(d, l->of[i].name);
	}
	return gone;
}

static void
prune(DIR *d, uint32_t others)
{
	struct list	l = { NULL, 0, 0 };
	size_t		i, gone = 0;

	if (look(&l, d) == 0 && l.n > 0) {
		qsort(l.of, l.n, sizeof(*l.of), newest_first);
		gone = thin_out(d, &l, others, time(NULL));
	}
	if (gone > 0)
		log_info("%zu old audit logs are removed", gone);
	for (i = 0; i < l.n; i++)
		free(l.of[i].name);
	free(l.of);
}

/*
 * One of those who start at once is enough. The directory can be another user's, if
 * root was given his HOME, and what is locked a link to something of root's: nothing
 * but a file of ours that has no other name will do.
 */
static int
lock(int dir)
{
	struct stat	st;
	int		fd = openat(dir, LOCK, O_WRONLY | O_CREAT | O_NOFOLLOW |
			    O_CLOEXEC | O_NONBLOCK, 0600);

	if (fd != -1 && (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) ||
	    st.st_uid != geteuid() || st.st_nlink != 1 ||
	    flock(fd, LOCK_EX | LOCK_NB) == -1))
		fd_drop(&fd);
	return fd;
}

void
prune_logs(const char *path, uint32_t keep)
{
	DIR	*d = keep == KEEP_ALL ? NULL : opendir(path);
	int	 fd;

	if (d == NULL)
		return;
	if ((fd = lock(dirfd(d))) != -1)
		prune(d, (keep == 0 ? KEEP_DEFAULT : keep) - 1);
	fd_drop(&fd);
	closedir(d);
}

/* --keep N or --keep all; 0: it is neither, which was said. */
uint32_t
prune_limit(const char *command, const char *text)
{
	char		*end;
	unsigned long	 n;

	if (strcmp(text, "all") == 0)
		return KEEP_ALL;
	n = strtoul(text, &end, 10);
	if (*text >= '1' && *text <= '9' && *end == '\0' && n <= KEEP_MAX)
		return (uint32_t)n;
	usage_error(-1, command, "--keep %s: want a number of logs, from 1 to "
	    "%u, or all", text, KEEP_MAX);
	return 0;
}
