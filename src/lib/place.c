/*
 * Finds the programs of this build. See include/place.h.
 *
 * Trusts: /proc/self/exe and the configured paths.
 * Must not: look at the environment, the working directory or PATH.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "place.h"

static const struct {
	const char	*name;
	const char	*dir;
} program[] = {
	{ "sallyport",		BINDIR },
	{ "sallyportd",		SBINDIR },
	{ "sallyport-broker",	LIBEXECDIR },
	{ "sallyport-frame",	LIBEXECDIR },
	{ "sallyport-recorder",	LIBEXECDIR },
	{ "sallyport-parser",	LIBEXECDIR },
	{ "sallyport-resolver",	LIBEXECDIR },
	{ "sallyport-inspector", LIBEXECDIR },
};
#define NPROGRAMS	(sizeof(program) / sizeof(program[0]))
#define TREE_PROGRAMS	6	/* the first ones: enough to know a build tree by */

static int
join(char *buf, size_t size, const char *dir, const char *name)
{
	int	n = snprintf(buf, size, "%s/%s", dir, name);

	if (n < 0 || (size_t)n >= size) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return 0;
}

/* The directory that this very program sits in. */
static int
own_dir(char *buf, size_t size)
{
	ssize_t	n = readlink("/proc/self/exe", buf, size - 1);
	char	*slash;

	if (n <= 0)
		return -1;
	buf[n] = '\0';
	if ((slash = strrchr(buf, '/')) == NULL)
		return -1;
	*slash = '\0';
	return 0;
}

static bool
all_there(const char *dir)
{
	char	path[PATH_MAX];
	size_t	i;

	for (i = 0; i < TREE_PROGRAMS; i++)
		if (join(path, sizeof(path), dir, program[i].name) == -1 ||
		    access(path, X_OK) == -1)
			return false;
	return true;
}

/* True in a build tree, and only there: programs of all three places together. */
static bool
tree(const char **dir)
{
	static char	own[PATH_MAX];
	static int	known = -1;	/* asked once: it stays the same program */

	if (known == -1)
		known = own_dir(own, sizeof(own)) == 0 && all_there(own);
	*dir = own;
	return known == 1;
}

int
place_program(char *buf, size_t size, const char *name)
{
	const char	*dir;
	size_t		 i;

	for (i = 0; i < NPROGRAMS; i++)
		if (strcmp(program[i].name, name) == 0)
			return join(buf, size, tree(&dir) ? dir :
			    program[i].dir, name);
	errno = ENOENT;
	return -1;
}

int
place_open(const char *name)
{
	char	path[PATH_MAX];

	if (place_program(path, sizeof(path), name) == -1)
		return -1;
	return open(path, O_PATH | O_CLOEXEC);
}

int
place_policy(char *buf, size_t size, const char *name)
{
	const char	*dir;
	char		 file[NAME_MAX + 1];

	if (!tree(&dir))
		return join(buf, size, DATADIR "/policy", name);
	if (join(file, sizeof(file), "policy", name) == -1)
		return -1;
	return join(buf, size, dir, file);
}
