/*
 * The caller's terminal in CMD's /dev, under the name that it has outside: tty(1),
 * $SSH_TTY and $GPG_TTY go on to be right. The terminals of CMD's own devpts are
 * counted from 0, so the number is first taken there, and the host's node laid upon
 * it.
 *
 * No pseudo terminal of ours in between: CMD would need a new session, and lose ^Z.
 *
 * Trusts: what 0, 1 and 2 are. Must not: give CMD another terminal than those and
 * the controlling one.
 */
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "world.h"

#define PTS		"/dev/pts/"
#define PTS_MAX		1024		/* higher numbers are not reached for */
#define PTS_MAJOR	136		/* devices.txt: UNIX98 slaves, 136-143 */
#define PTS_MAJORS	8
#define FALLBACK	"/dev/console"	/* as containers have it */

static bool
is_there(const char *path, const struct stat *wanted)
{
	struct stat	st;

	return stat(path, &st) == 0 && S_ISCHR(st.st_mode) &&
	    st.st_rdev == wanted->st_rdev && st.st_ino == wanted->st_ino &&
	    st.st_dev == wanted->st_dev;
}

/* Its name, if it has one that leads to it in this mount namespace. */
static bool
name_of(int fd, char *path, size_t size)
{
	char		link[32];
	struct stat	st;
	ssize_t		n;

	if (!isatty(fd) || fstat(fd, &st) == -1)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if ((n = readlink(link, path, size - 1)) == -1)
		return false;
	path[n] = '\0';
	return strncmp(path, "/dev/", 5) == 0 && is_there(path, &st);
}

/* The controlling terminal says only its number. */
static bool
name_of_controlling(char *path, size_t size)
{
	unsigned int	dev;
	struct stat	st;
	int		fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY), r;

	if (fd == -1)
		return false;
	r = ioctl(fd, TIOCGDEV, &dev);
	fd_drop(&fd);
	if (r == -1 || major(dev) < PTS_MAJOR ||
	    major(dev) >= PTS_MAJOR + PTS_MAJORS)
		return false;
	snprintf(path, size, PTS "%u",
	    (major(dev) - PTS_MAJOR) * 256 + minor(dev));
	return stat(path, &st) == 0 && S_ISCHR(st.st_mode) &&
	    st.st_rdev == dev;
}

static void
keep(struct terminals *t, const char *path)
{
	struct terminal	*k = &t->of[t->n];
	size_t		 i;

	for (i = 0; i < t->n; i++)
		if (strcmp(t->of[i].path, path) == 0)
			return;
	/* /dev/tty is everybody's own */
	if (strcmp(path, "/dev/tty") == 0 ||
	    (k->tree = mounts_clone(path)) == -1)
		return;
	snprintf(k->path, sizeof(k->path), "%s", path);
	t->n++;
}

void
terminals_keep(struct terminals *t)
{
	char	path[sizeof(t->of[0].path)];
	int	fd;

	t->n = 0;
	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (name_of(fd, path, sizeof(path)))
			keep(t, path);
	if (name_of_controlling(path, sizeof(path)))
		keep(t, path);
}

/* The number below /dev/pts, or -1. */
static int
number(const char *path)
{
	char	*end;
	long	 n;

	if (strncmp(path, PTS, strlen(PTS)) != 0)
		return -1;
	n = strtol(path + strlen(PTS), &end, 10);
	return *end == '\0' && n >= 0 && n < INT_MAX ? (int)n : -1;
}

static bool
wanted(const struct terminals *t, int n)
{
	size_t	i;

	for (i = 0; i < t->n; i++)
		if (number(t->of[i].path) == n)
			return true;
	return false;
}

/*
 * Takes the numbers up to `top' and gives back those that nobody asked for. The
 * others stay open in init as long as it lives, so that no terminal that CMD makes
 * gets one; CMD does not inherit them.
 */
static void
take_numbers(const struct terminals *t, int top)
{
	int	fd[PTS_MAX], n = 0, got = -1;

	while (n <= top && got < top) {
		fd[n] = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
		if (fd[n] == -1)
			break;
		if (ioctl(fd[n++], TIOCGPTN, &got) == -1)
			break;
		if (wanted(t, got))
			fd[n - 1] = -1;
	}
	while (n > 0)
		fd_drop(&fd[--n]);
}

static int
put(struct terminal *k)
{
	const char	*path = k->path;

	if (number(path) == -1)
		mounts_point(path, false);
	else if (access(path, F_OK) == -1) {
		log_info("%s is %s for CMD: no terminal of that number to be "
		    "had", path, FALLBACK);
		path = FALLBACK;
		mounts_point(path, false);
	}
	if (mounts_put(&k->tree, path) == 0)
		return 0;
	log_warn("%s: CMD's terminal", path);
	return -1;
}

int
terminals_put(struct terminals *t)
{
	size_t	i;
	int	n, top = -1;

	for (i = 0; i < t->n; i++)
		if ((n = number(t->of[i].path)) > top && n < PTS_MAX)
			top = n;
	take_numbers(t, top);
	for (i = 0; i < t->n; i++)
		if (put(&t->of[i]) == -1)
			return -1;
	return 0;
}
