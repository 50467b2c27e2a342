/*
 * Which policy, and which audit log.
 *
 * Trusts: the user's options, and XDG_STATE_HOME and HOME for the place of the
 * user's own log.
 * Must not: fall back to anything that allows, or leave a log of `run' where CMD
 * cannot be kept from it: a file can be hidden, but not what it becomes when it is
 * full, so it is in a directory that holds nothing else.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "place.h"
#include "world.h"

#define INSTALLED_POLICY	SYSCONFDIR "/policy.conf"

static int
copy(char *buf, size_t size, const char *text)
{
	size_t	len = strlen(text) + 1;

	if (len > size) {
		log_warnx("%.40s...: the path is too long", text);
		return -1;
	}
	memcpy(buf, text, len);
	return 0;
}

/*
 * What is there but cannot be read is the parser's to complain about: only a
 * policy that does not exist may be replaced, and only by one that denies all.
 */
int
where_policy(const char *given, char *buf, size_t size)
{
	if (given != NULL)
		return copy(buf, size, given);
	if (access(INSTALLED_POLICY, F_OK) == 0 || errno != ENOENT)
		return copy(buf, size, INSTALLED_POLICY);
	if (place_policy(buf, size, "deny.conf") == -1) {
		log_warn("deny.conf");
		return -1;
	}
	log_warnx("no policy: there is neither -p FILE nor %s, so everything "
	    "is denied", INSTALLED_POLICY);
	return 0;
}

/* For its owner alone, and for him whatever the umask is. */
static int
make_own(const char *dir)
{
	mode_t	mask = umask(077);
	int	rc = mkdir(dir, 0700), err = errno;

	umask(mask);
	errno = err;
	return rc;
}

/* mkdir -p; what is made is for its owner alone. */
static int
make_dirs(char *path)
{
	char	*p;

	for (p = path + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		if (make_own(path) == -1 && errno != EEXIST)
			return -1;
		*p = '/';
	}
	return make_own(path) == -1 && errno != EEXIST ? -1 : 0;
}

bool
where_state(char *buf, size_t size)
{
	const char	*state = getenv("XDG_STATE_HOME");
	const char	*home = getenv("HOME");
	int		 n = -1;

	if (state != NULL && *state == '/')	/* else it is to be ignored */
		n = snprintf(buf, size, "%s/sallyport", state);
	else if (home != NULL && *home == '/')
		n = snprintf(buf, size, "%s/.local/state/sallyport", home);
	return n > 0 && (size_t)n < size;
}

static int
state_dir(char *buf, size_t size)
{
	if (!where_state(buf, size)) {
		log_warnx("no HOME to keep the audit log in, or one that is no "
		    "absolute path or too long; name a log with --audit FILE");
		return -1;
	}
	if (make_dirs(buf) == -1) {
		log_warn("%s: cannot be made; name an audit log with "
		    "--audit FILE", buf);
		return -1;
	}
	return 0;
}

/* One log per run: two runs at a time must not write one sequence. */
static int
default_audit(uint32_t keep, char *buf, size_t size)
{
	char		dir[PATH_MAX], when[32];
	time_t		now = time(NULL);
	struct tm	tm;
	int		n;

	if (state_dir(dir, sizeof(dir)) == -1)
		return -1;
	prune_logs(dir, keep);
	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm);
	n = snprintf(buf, size, "%s/%s-%d.jsonl", dir, when, (int)getpid());
	if (n < 0 || (size_t)n >= size) {
		log_warnx("the path of the audit log is too long");
		return -1;
	}
	return 0;
}

/* Why a file that is there cannot be the log; NULL: it can. */
static const char *
unfit(const char *path, const struct stat *st)
{
	if (S_ISDIR(st->st_mode))
		return "a directory, and the log is a file in one";
	if (S_ISLNK(st->st_mode))
		return "a symbolic link, and not the log itself";
	if (!S_ISREG(st->st_mode))
		return "not a regular file";
	if (st->st_nlink > 1)
		return "has another name, by which it could be changed";
	if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == -1)
		return "not a file that we may write";
	return NULL;
}

/*
 * Before anything is started, so that the message is one and early. The recorder
 * itself finds out for certain.
 */
static int
check_audit(const char *path)
{
	char		dir[PATH_MAX];
	const char	*why;
	struct stat	st;

	if (copy(dir, sizeof(dir), path) == -1)
		return -1;
	if (faccessat(AT_FDCWD, dirname(dir), W_OK | X_OK, AT_EACCESS) == -1) {
		log_warn("%s: no audit log can be written there, and without "
		    "one nothing is allowed; name another with --audit FILE",
		    path);
		return -1;
	}
	if (lstat(path, &st) == -1) {
		if (errno == ENOENT)
			return 0;
		log_warn("%s: no audit log", path);
		return -1;
	}
	if ((why = unfit(path, &st)) == NULL)
		return 0;
	log_warnx("%s: %s; name another audit log with --audit FILE", path,
	    why);
	return -1;
}

/* By what they are: a second mount shows them under other names. */
static bool
holds(const struct stat *dir, const char *what)
{
	char		path[PATH_MAX];
	struct stat	st;

	if (what == NULL || realpath(what, path) == NULL)
		return false;
	for (;;) {
		if (stat(path, &st) == 0 && st.st_dev == dir->st_dev &&
		    st.st_ino == dir->st_ino)
			return true;
		if (strcmp(path, "/") == 0)
			return false;
		path[strrchr(path, '/') == path ? 1 :
		    strrchr(path, '/') - path] = '\0';
	}
}

/* Nobody else has business in it, and CMD has none. */
static bool
logs_alone(const char *path)
{
	char		dir[PATH_MAX], copied[PATH_MAX];
	struct stat	st;

	snprintf(copied, sizeof(copied), "%s", path);
	return realpath(dirname(copied), dir) != NULL && stat(dir, &st) == 0 &&
	    st.st_uid == geteuid() && (st.st_mode & 077) == 0 &&
	    !holds(&st, ".") && !holds(&st, getenv("HOME"));
}

/* It was needed once: a log is continued where it is, wherever we stand now. */
static bool
has_own_directory(const char *path)
{
	char		file[PATH_MAX];
	int		n = snprintf(file, sizeof(file), "%s.d/%s", path,
			    strrchr(path, '/') + 1);
	struct stat	st;

	return n > 0 && (size_t)n < sizeof(file) && lstat(path, &st) == -1 &&
	    lstat(file, &st) == 0;
}

/* DIR/FILE becomes DIR/FILE.d/FILE. */
static int
own_directory(char *buf, size_t size)
{
	char		dir[PATH_MAX];
	const char	*file = strrchr(buf, '/') + 1;
	struct stat	st;
	int		n;

	n = snprintf(dir, sizeof(dir), "%s.d", buf);
	if (n < 0 || (size_t)n >= sizeof(dir) ||
	    strlen(dir) + strlen(file) + 2 > size) {
		log_warnx("the path of the audit log is too long");
		return -1;
	}
	if (make_own(dir) == -1 && errno != EEXIST) {
		log_warn("%s: the audit log's own directory", dir);
		return -1;
	}
	if (lstat(dir, &st) == -1 || !S_ISDIR(st.st_mode) ||
	    st.st_uid != geteuid()) {
		log_warnx("%s: not a directory of ours, and the audit log needs "
		    "one of its own; name another with --audit FILE", dir);
		return -1;
	}
	memmove(dir + n + 1, file, strlen(file) + 1);
	dir[n] = '/';
	return copy(buf, size, dir);
}

/* CMD's log is where CMD can be kept from all of it. */
int
where_own_audit(const char *given, uint32_t keep, char *buf, size_t size)
{
	if (where_audit(given, keep, buf, size) == -1)
		return -1;
	if (given == NULL || (logs_alone(buf) && !has_own_directory(buf)))
		return 0;
	return own_directory(buf, size) == -1 ? -1 : check_audit(buf);
}

int
where_audit(const char *given, uint32_t keep, char *buf, size_t size)
{
	char	cwd[PATH_MAX];
	int	n;

	if (given != NULL && strcmp(given, "-") == 0) {
		log_warnx("--audit -: the log is a file that can be continued, and "
		    "is not written to standard output (./- is a name)");
		return -1;
	}
	if (given == NULL && default_audit(keep, buf, size) == -1)
		return -1;
	if (given != NULL && *given == '/' && copy(buf, size, given) == -1)
		return -1;
	if (given != NULL && *given != '/') {
		if (getcwd(cwd, sizeof(cwd)) == NULL) {
			log_warn("the working directory");
			return -1;
		}
		n = snprintf(buf, size, "%s/%s", cwd, given);
		if (n < 0 || (size_t)n >= size) {
			log_warnx("the path of the audit log is too long");
			return -1;
		}
	}
	return check_audit(buf);
}
