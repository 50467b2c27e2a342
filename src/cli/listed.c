/*
 * The sockets that the kernel lists as listening. It lists the names that they were
 * bound with: one that was renamed since is looked for beside its old name, or, if its
 * directory is gone, in those beside that; a relative one at the home and the working
 * directory.
 *
 * Trusts: nothing that a name says before a socket has been found there.
 * Must not: search a file system.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

#define ACCEPTS		0x10000u	/* __SO_ACCEPTCON: it listens */
#define DATAGRAM	2u	/* SOCK_DGRAM: anybody may send */
#define BESIDE_MAX	1024	/* entries of one directory */

static bool
join(char *buf, const char *dir, const char *name)
{
	return snprintf(buf, PATH_MAX, "%s/%s", dir, name) < PATH_MAX;
}

/* Each socket in there, and in the directories of it, if `deeper'. */
static bool
beside(struct run *r, const char *dir, bool deeper)
{
	char		 path[PATH_MAX];
	struct dirent	*e;
	DIR		*d;
	int		 left = BESIDE_MAX;

	if (private_over(&r->own, dir) != NULL || (d = opendir(dir)) == NULL)
		return false;
	while (left-- > 0 && (e = readdir(d)) != NULL) {
		if (*e->d_name == '.' && e->d_name[strspn(e->d_name, ".")] ==
		    '\0')
			continue;
		if (!join(path, dir, e->d_name))
			continue;
		if (e->d_type == DT_SOCK)
			outside_add(r, path, false);
		else if (e->d_type == DT_DIR && deeper)
			beside(r, path, false);
	}
	closedir(d);
	return true;
}

static void
cut(char *path)
{
	char	*slash = strrchr(path, '/');

	*(slash == path ? slash + 1 : slash) = '\0';
}

static void
absolute(struct run *r, const char *name)
{
	char	dir[PATH_MAX];

	if (outside_add(r, name, false) ||
	    snprintf(dir, sizeof(dir), "%s", name) >= PATH_MAX)
		return;
	cut(dir);
	if (beside(r, dir, false) || strcmp(dir, "/") == 0)
		return;
	cut(dir);
	(void)beside(r, dir, true);
}

static void
relative(struct run *r, const char *name)
{
	char	path[PATH_MAX];

	if (join(path, run_home(r), name))
		outside_add(r, path, false);
	if (realpath(".", path) != NULL && strlen(path) + strlen(name) + 2 <
	    PATH_MAX) {
		strncat(path, "/", sizeof(path) - strlen(path) - 1);
		strncat(path, name, sizeof(path) - strlen(path) - 1);
		outside_add(r, path, false);
	}
}

/* "Num: RefCount Protocol Flags Type St Inode Path", see proc(5). NULL: it is not. */
static const char *
name_in(const char *line, bool *reachable)
{
	uint32_t	flags, type;
	int		at = 0;

	if (sscanf(line, "%*[0-9A-Fa-f]: %*x %*x %" SCNx32 " %" SCNx32
	    " %*x %*u%n", &flags, &type, &at) != 2 || at == 0)
		return NULL;
	*reachable = (flags & ACCEPTS) != 0 || type == DATAGRAM;
	return line[at] == ' ' ? line + at + 1 : line + at;
}

/* A name with a newline goes on in the next line. */
struct pending {
	char	name[PATH_MAX];
	bool	reachable;
};

static void
take(struct run *r, struct pending *p)
{
	if (p->reachable && *p->name == '/')
		absolute(r, p->name);
	else if (p->reachable && *p->name != '\0' && *p->name != '@')
		relative(r, p->name);
	p->reachable = false;
}

static void
one_line(struct run *r, struct pending *p, char *line)
{
	const char	*name;
	size_t		 used = strlen(p->name);
	bool		 reachable = false;

	line[strcspn(line, "\n")] = '\0';
	if ((name = name_in(line, &reachable)) == NULL) {
		snprintf(p->name + used, sizeof(p->name) - used, "\n%s", line);
		return;
	}
	take(r, p);
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->reachable = reachable;
}

void
listed_find(struct run *r)
{
	FILE		*f = fopen("/proc/net/unix", "re");
	struct pending	 p = { .name = "" };
	char		*line = NULL;
	size_t		 size = 0;

	while (f != NULL && getline(&line, &size, f) != -1)
		one_line(r, &p, line);
	take(r, &p);
	free(line);
	if (f != NULL)
		fclose(f);
}
