/*
 * --expose and --ssh-agent: what of the host CMD is to see that it would not. Found
 * before anything starts; kept.c puts it there.
 *
 * Trusts: the user's own options. Must not: leave one out without a word.
 */
#include <sys/stat.h>

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "world.h"

#define EXPOSED_MAX	1024	/* of one pattern; else it is a mistake */

/* What CMD has of its own in any case, or what would be everything. */
static int
refuse(const char *path)
{
	if (strcmp(path, "/") == 0)
		log_warnx("--expose /: that is all of it; name what is needed");
	else if (strcmp(path, "/dev") == 0)
		log_warnx("--expose /dev: CMD has its own; name the devices "
		    "that it needs");
	else if (mounts_above("/proc", path) || mounts_above("/sys", path))
		log_warnx("--expose %s: CMD has a /proc and a /sys of its own",
		    path);
	else
		return 0;
	return -1;
}

static int
add(struct run *r, const char *option, const char *given)
{
	struct exposed	*e, *more;
	struct stat	 st;
	char		 path[PATH_MAX];

	if (realpath(given, path) == NULL || stat(path, &st) == -1) {
		log_warn("%s %s: make it first, or name what is there", option,
		    given);
		return -1;
	}
	if (refuse(path) == -1)
		return -1;
	more = reallocarray(r->exposed, r->nexposed + 1, sizeof(*more));
	if (more == NULL)
		fatal("no memory");
	r->exposed = more;
	e = &r->exposed[r->nexposed++];
	*e = (struct exposed){ .path = strdup(path), .given = strdup(given),
	    .dev = st.st_dev, .ino = st.st_ino, .mode = st.st_mode };
	if (e->path == NULL || e->given == NULL)
		fatal("no memory");
	if (S_ISSOCK(st.st_mode) && !r->quiet && strcmp(option, "--expose") == 0)
		log_warnx("--expose %s: until its service makes it anew; its "
		    "directory would outlive that", given);
	return 0;
}

/* A pattern; but a file may have such a name. */
static int
add_all(struct run *r, const char *given)
{
	glob_t	g;
	size_t	i;
	int	rc = 0;

	if (strpbrk(given, "*?[") == NULL || access(given, F_OK) == 0)
		return add(r, "--expose", given);
	if (glob(given, 0, NULL, &g) != 0) {
		log_warnx("--expose %s: nothing here is named so", given);
		return -1;
	}
	if (g.gl_pathc > EXPOSED_MAX) {
		log_warnx("--expose %s: %zu files; name their directory", given,
		    g.gl_pathc);
		rc = -1;
	}
	for (i = 0; rc == 0 && i < g.gl_pathc; i++)
		rc = add(r, "--expose", g.gl_pathv[i]);
	globfree(&g);
	return rc;
}

static int
add_agent(struct run *r)
{
	const char	*path = getenv("SSH_AUTH_SOCK");
	struct stat	 st;

	if (path == NULL || *path == '\0') {
		log_warnx("--ssh-agent: no SSH_AUTH_SOCK in the environment; "
		    "start an agent first, as with: eval $(ssh-agent)");
		return -1;
	}
	if (*path != '/') {
		log_warnx("--ssh-agent: SSH_AUTH_SOCK=%s is no absolute path",
		    path);
		return -1;
	}
	if (stat(path, &st) == -1) {
		log_warn("--ssh-agent: SSH_AUTH_SOCK=%s; start an agent anew, as "
		    "with: eval $(ssh-agent)", path);
		return -1;
	}
	if (!S_ISSOCK(st.st_mode)) {
		log_warnx("--ssh-agent: SSH_AUTH_SOCK=%s is no socket", path);
		return -1;
	}
	return add(r, "--ssh-agent", path);
}

int
expose_find(struct run *r)
{
	size_t	i;

	for (i = 0; i < r->nexpose; i++)
		if (add_all(r, r->expose[i]) == -1)
			return -1;
	return r->ssh_agent ? add_agent(r) : 0;
}
