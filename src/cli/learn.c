/*
 * `sallyport run --learn': what CMD did, as the audit log of its run tells it.
 *
 * The log is the source because it is complete: no connection exists without its
 * record, and in audit mode that has the name which the flow's first bytes showed.
 *
 * Trusts: the directories that were opened before there was a CMD.
 * Must not: be reached unless the policy was ours, and CMD is gone; reach the log or
 * the file by a path, which CMD may have led elsewhere; or overwrite a file.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "learn.h"

#define TENANT	"learned"

/* Before CMD runs, so that nothing is learnt in vain. */
int
learn_check(const char *file)
{
	char		dir[PATH_MAX];
	struct stat	st;

	if (lstat(file, &st) == 0) {
		log_warnx("--learn: %s is there already, and is not "
		    "overwritten; name a new file", file);
		return -1;
	}
	if (file[0] != '\0' && file[strlen(file) - 1] == '/') {
		errno = EISDIR;
		log_warn("--learn: %s cannot be made", file);
		return -1;
	}
	if (strlen(file) >= sizeof(dir)) {
		log_warnx("--learn: the path is too long");
		return -1;
	}
	snprintf(dir, sizeof(dir), "%s", file);
	if (errno != ENOENT ||
	    faccessat(AT_FDCWD, dirname(dir), W_OK | X_OK, AT_EACCESS) == -1) {
		log_warn("--learn: %s cannot be made", file);
		return -1;
	}
	return 0;
}

/* True if CMD cannot have been what the user meant: it was not even run. */
static bool
never_ran(const struct learned *l, int status)
{
	return (status == EXIT_NOT_FOUND || status == EXIT_NOT_EXECUTABLE) &&
	    l->flows == 0 && l->asked.n == 0 && l->floored.n == 0;
}

/* CMD may have led the path elsewhere: then the file is not what is found there. */
static bool
is_there(int fd, const char *path)
{
	struct stat	a, b;

	if (fstat(fd, &a) == 0 && lstat(path, &b) == 0 &&
	    a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		return true;
	log_warnx("--learn: %s does not lead to the file that was made: a "
	    "directory above it was moved or replaced", path);
	return false;
}

static int
fill_file(FILE *f, int fd, struct learned *l, const struct run *r)
{
	struct learn_head	h = { "run --learn", r->cmd, TENANT };
	bool			good;

	text_policy(f, l, &h);
	good = fflush(f) == 0 && fsync(fd) == 0;
	if (!good)
		log_warn("--learn: writing %s", r->learn);
	good = good && is_there(fd, r->learn);
	return fclose(f) == 0 && good ? 0 : -1;
}

static int
write_file(struct learned *l, const struct run *r)
{
	const char	*name = held_name(r->learn);
	int		 fd = openat(r->learn_dir, name, O_WRONLY | O_CREAT |
			    O_EXCL | O_CLOEXEC, 0600);
	FILE		*f = fd == -1 ? NULL : fdopen(fd, "w");

	if (f == NULL) {
		log_warn("--learn: %s cannot be made", r->learn);
		fd_drop(&fd);
		return -1;
	}
	if (fill_file(f, fd, l, r) == 0)
		return 0;
	(void)unlinkat(r->learn_dir, name, 0);
	return -1;
}

/* Like any other message: who does not read it does not stop us. */
static void
say_all(struct learned *l, const struct run *r)
{
	struct learn_head	h = { "run --learn", r->cmd, TENANT };
	char			*all = NULL, *p;
	size_t			 size, n;
	FILE			*f = open_memstream(&all, &size);

	if (f == NULL) {
		log_warn("--learn");
		return;
	}
	text_policy(f, l, &h);
	if (fclose(f) != 0)
		log_warn("--learn");
	for (p = all; p != NULL && *p != '\0'; p += n) {
		n = strcspn(p, "\n");
		n += p[n] == '\n';
		n = n > 2 * LOG_LINE_MAX ? 2 * LOG_LINE_MAX : n;
		log_line(p, n);
	}
	free(all);
}

static int
write_policy(struct learned *l, const struct run *r)
{
	rules_arrange(l);
	if (write_file(l, r) == 0)
		return 0;
	log_warnx("--learn: it would have been:");
	say_all(l, r);
	return -1;
}

static int
learn_end(struct learned *l, const struct run *r, int status)
{
	if (l->bad > 0)
		log_warnx("--learn: %zu lines of %s could not be read", l->bad,
		    r->audit_path);
	if (never_ran(l, status)) {
		log_warnx("nothing to learn: CMD did nothing and ended with "
		    "status %d; %s is not written", status, r->learn);
		return 0;
	}
	learn_say(l);
	claims_conclude(l);
	if (write_policy(l, r) == -1)
		return -1;
	if (!r->quiet)
		log_warnx("learnt from %zu flow%s: %s; read it before you use "
		    "it", l->flows, l->flows == 1 ? "" : "s", r->learn);
	return 0;
}

/* A long log is not read against the user's will: CMD has ended, and we may. */
static void
obey_signals(const struct run *r, sigset_t *before)
{
	static const int	ends[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	const struct timespec	now = { 0, 0 };
	sigset_t		set;
	size_t			i;

	sigemptyset(&set);
	for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (!r->ignored[ends[i]])
			sigaddset(&set, ends[i]);
	while (sigtimedwait(&set, NULL, &now) > 0)
		;		/* they were meant for CMD */
	sigprocmask(SIG_UNBLOCK, &set, before);
}

int
learn_write(const struct run *r, int status)
{
	struct learned	l;
	sigset_t	blocked;
	int		result;

	memset(&l, 0, sizeof(l));
	evidence_init(&l);
	l.last_only = true;	/* the log may hold earlier runs */
	obey_signals(r, &blocked);
	result = learn_log(&l, r->log_dir, held_name(r->audit_path));
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	if (result == 0)
		result = learn_end(&l, r, status);
	learn_free(&l);
	return result;
}
