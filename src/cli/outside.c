/*
 * The sockets of programs outside, as far as they can be found: those that listen
 * now, those that the environment or the command's own words name.
 *
 * A help, never the boundary: the kernel lists (listed.c) the sockets of the reader's
 * net namespace only, and what listens later is in no list. What holds without it are the
 * directories of CMD's own, and those that are known to hold sockets.
 *
 * Trusts: nothing that a name says before lstat(2) has found a socket there.
 * Must not: flood the terminal with what it has found.
 */
#include <sys/stat.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "world.h"

#define NAMED_MAX	3	/* said by name */
#define STEM_MIN	3	/* shorter names are in every word */

extern char	**environ;

/* A look at it would have the automounter ask for it. */
static bool
automounted(const struct run *r, const char *path)
{
	const struct private_dir	*d = private_over(&r->own, path);

	return d != NULL && d->kind == PRIVATE_EMPTY;
}

static bool
known(const struct outside *o, const char *path)
{
	size_t	i;

	for (i = 0; i < o->n; i++)
		if (strcmp(o->sock[i].path, path) == 0)
			return true;
	return false;
}

bool
outside_add(struct run *r, const char *path, bool named)
{
	struct outside		*o = &r->outside;
	struct outside_socket	*more;
	struct stat		 st;

	if (automounted(r, path) || lstat(path, &st) == -1 ||
	    (S_ISLNK(st.st_mode) && stat(path, &st) == -1) ||
	    !S_ISSOCK(st.st_mode))
		return false;
	if (known(o, path))
		return true;
	if (o->n % 64 == 0) {
		more = reallocarray(o->sock, o->n + 64, sizeof(*more));
		if (more == NULL)
			fatal("no memory");
		o->sock = more;
	}
	if ((o->sock[o->n].path = strdup(path)) == NULL)
		fatal("no memory");
	o->sock[o->n++].named = named;
	return true;
}

/*
 * Every path in a value, up to what ends one in some variable or other: "/a,1,0" in
 * TMUX, "unix:path=/a,guid=0;unix:path=/b" for D-Bus, "unix:///a", "/a:1:1".
 */
static void
look_in(struct run *r, const char *value)
{
	const char	*whole = value;
	char		 path[PATH_MAX];
	size_t		 len;

	outside_add(r, value, true);
	while ((value = strchr(value, '/')) != NULL) {
		while (value[1] == '/')
			value++;
		len = strcspn(value, ",;: \t\n");
		if (len < sizeof(path) && (value != whole || value[len] != '\0')) {
			memcpy(path, value, len);
			path[len] = '\0';
			outside_add(r, path, true);
		}
		value += len;
	}
}

/* Only the first file that an argument names; it is for whoever wonders. */
static void
look_for_lost(struct run *r, const char *arg)
{
	const char	*name = strchr(arg, '/');
	char		 path[PATH_MAX];
	struct stat	 st;

	if (r->outside.lost != NULL || name == NULL ||
	    automounted(r, name) || realpath(name, path) == NULL || stat(path, &st) == -1 ||
	    (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) ||
	    !kept_loses(r, path))
		return;
	r->outside.lost = strdup(path);
}

/* DISPLAY=:N is a socket without its name. */
static void
look_for_display(struct run *r)
{
	const char	*display = getenv("DISPLAY");
	char		 path[64];

	if (display == NULL || *display != ':')
		return;
	snprintf(path, sizeof(path), "/tmp/.X11-unix/X%.*s",
	    (int)strspn(display + 1, "0123456789"), display + 1);
	outside_add(r, path, true);
}

void
outside_look(struct run *r)
{
	char	**arg;

	for (arg = environ; *arg != NULL; arg++)
		if (strchr(*arg, '/') != NULL && strchr(*arg, '=') != NULL)
			look_in(r, strchr(*arg, '=') + 1);
	for (arg = r->cmd + 1; *r->cmd != NULL && *arg != NULL; arg++) {
		look_in(r, *arg);
		look_for_lost(r, *arg);
	}
	look_for_display(r);
	listed_find(r);
}

static bool
is_exposed(const struct run *r, const char *path)
{
	char	real[PATH_MAX];
	size_t	i;

	if (realpath(path, real) == NULL)
		return true;		/* gone: nothing to miss */
	for (i = 0; i < r->nexposed; i++)
		if (mounts_above(r->exposed[i].path, real))
			return true;
	return r->share_tmp && (mounts_above("/tmp", real) ||
	    mounts_above("/var/tmp", real));
}

/* "docker", of /run/docker.sock, is in what CMD was called with. */
static bool
is_called(const struct run *r, const char *path)
{
	const char	*base = strrchr(path, '/') + 1;
	char		*const *arg;
	char		 stem[64];

	snprintf(stem, sizeof(stem), "%.*s", (int)strcspn(base, "."), base);
	for (arg = r->cmd; strlen(stem) >= STEM_MIN && *arg != NULL; arg++)
		if (strstr(*arg, stem) != NULL)
			return true;
	return false;
}

/* The likely ones first: those that CMD was told of or called with. */
static size_t
missed(const struct run *r, const char *first[NAMED_MAX])
{
	const struct outside	*o = &r->outside;
	size_t			 i, n = 0;
	int			 likely;

	for (likely = 1; likely >= 0; likely--)
		for (i = 0; i < o->n; i++) {
			if ((o->sock[i].named || is_called(r,
			    o->sock[i].path)) != (likely == 1) ||
			    is_exposed(r, o->sock[i].path))
				continue;
			if (n < NAMED_MAX)
				first[n] = o->sock[i].path;
			n++;
		}
	return n;
}

void
outside_hint(const struct run *r)
{
	const char	*first[NAMED_MAX] = { NULL }, *lost = r->outside.lost;
	size_t		 n = missed(r, first);

	if (lost != NULL && !is_exposed(r, lost))
		log_warnx("%s is not there for CMD, which has directories of "
		    "its own; --expose %s, or work below it", lost, lost);
	if (n == 0)
		return;
	log_warnx("%zu socket%s of this host %s hidden from CMD: %s%s%s%s%s%s; "
	    "--expose PATH brings one back", n, n == 1 ? "" : "s",
	    n == 1 ? "was" : "were", first[0], n > 1 ? ", " : "",
	    n > 1 ? first[1] : "", n > 2 ? ", " : "",
	    n > 2 ? first[2] : "", n > NAMED_MAX ? ", ..." : "");
}
