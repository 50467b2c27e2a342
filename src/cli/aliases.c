/*
 * The other ways to a file or directory: mounts of the same file system that show it
 * at a second place, as a disk that is mounted whole beside what is bound from it.
 * What is kept from CMD at one place has to be kept from it at each.
 *
 * Trusts: the kernel's table as it was before CMD's namespaces were made, of which
 * theirs is a copy; but not that a path of it still leads there.
 * Must not: hand on a path that leads to anything else.
 */
#include <sys/stat.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

/* "\040": mountinfo writes blanks and backslashes in octal. */
static char *
unescaped(const char *s, size_t len)
{
	char	*out = malloc(len + 1), *to = out;
	size_t	 i;

	if (out == NULL)
		fatalx("no memory");
	for (i = 0; i < len; i++)
		if (s[i] == '\\' && len - i > 3) {
			*to++ = (char)((s[i + 1] - '0') * 64 +
			    (s[i + 2] - '0') * 8 + s[i + 3] - '0');
			i += 3;
		} else
			*to++ = s[i];
	*to = '\0';
	return out;
}

/* "ID PARENT MAJOR:MINOR ROOT MOUNTPOINT ... - TYPE ...", see proc(5). */
static bool
take(struct mounted *m, const char *line)
{
	int		 root = 0, root_end = 0, at = 0, at_end = 0;
	const char	*type = strstr(line, " - ");

	if (sscanf(line, "%*d %*d %31s %n%*s%n %n%*s%n", m->dev, &root,
	    &root_end, &at, &at_end) != 1 || at_end == 0 || type == NULL ||
	    sscanf(type, " - %31s", m->type) != 1)
		return false;
	m->root = unescaped(line + root, (size_t)(root_end - root));
	m->at = unescaped(line + at, (size_t)(at_end - at));
	line = strstr(line + at_end, " - autofs ");
	m->automount = line != NULL && strstr(line, ",indirect") != NULL;
	return true;
}

void
aliases_read(struct run *r)
{
	FILE	*f = fopen("/proc/self/mountinfo", "re");
	char	*line = NULL;
	size_t	 size = 0, room = 0;

	while (f != NULL && getline(&line, &size, f) != -1) {
		if (r->nmounted == room) {
			room += 64;
			r->mounted = reallocarray(r->mounted, room,
			    sizeof(*r->mounted));
			if (r->mounted == NULL)
				fatalx("no memory");
		}
		r->nmounted += take(&r->mounted[r->nmounted], line);
	}
	free(line);
	if (f != NULL)
		fclose(f);
}

/* What of `path' is below `dir': "" or "/..."; NULL if it is not there. */
static const char *
rest(const char *dir, const char *path)
{
	if (strcmp(dir, "/") == 0)
		return strcmp(path, "/") == 0 ? "" : path;
	return mounts_above(dir, path) ? path + strlen(dir) : NULL;
}

/* Of those that are above it the nearest, and of them the last. */
static const struct mounted *
mount_of(const struct run *r, const char *path)
{
	const struct mounted	*best = NULL, *m;
	size_t			 i;

	for (i = 0; i < r->nmounted; i++) {
		m = &r->mounted[i];
		if (rest(m->at, path) != NULL && (best == NULL ||
		    strlen(m->at) >= strlen(best->at)))
			best = m;
	}
	return best;
}

static bool
leads_to(const char *path, const struct stat *what)
{
	struct stat	st;

	return lstat(path, &st) == 0 && st.st_dev == what->st_dev &&
	    st.st_ino == what->st_ino;
}

/* Where `path' is in its file system; NULL: nobody knows. */
static const struct mounted *
place(const struct run *r, const char *path, char in_fs[2 * PATH_MAX])
{
	const struct mounted	*own = mount_of(r, path);

	if (own != NULL)
		snprintf(in_fs, 2 * PATH_MAX, "%s%s",
		    strcmp(own->root, "/") == 0 ? "" : own->root,
		    rest(own->at, path));
	return own;
}

int
aliases_walk(const struct run *r, const char *path,
    int (*todo)(void *, const char *), void *arg)
{
	char			 in_fs[2 * PATH_MAX], other[3 * PATH_MAX];
	const struct mounted	*own = place(r, path, in_fs), *m;
	const char		*left;
	struct stat		 st;
	size_t			 i;

	if (own == NULL || lstat(path, &st) == -1)
		return 0;
	for (i = 0; i < r->nmounted; i++) {
		m = &r->mounted[i];
		if (m == own || strcmp(m->dev, own->dev) != 0 ||
		    (left = rest(m->root, in_fs)) == NULL)
			continue;
		snprintf(other, sizeof(other), "%s%s",
		    strcmp(m->at, "/") == 0 ? "" : m->at, left);
		if (strcmp(other, path) != 0 && strlen(other) < PATH_MAX &&
		    leads_to(other, &st) && todo(arg, other) == -1)
			return -1;
	}
	return 0;
}

int
aliases_parts(const struct run *r, const char *path,
    int (*todo)(void *, const char *), void *arg)
{
	char			 in_fs[2 * PATH_MAX];
	const struct mounted	*own = place(r, path, in_fs), *m;
	const char		*left;
	size_t			 i;

	for (i = 0; own != NULL && i < r->nmounted; i++) {
		m = &r->mounted[i];
		if (m == own || strcmp(m->dev, own->dev) != 0)
			continue;
		left = rest(*in_fs == '\0' ? "/" : in_fs, m->root);
		if (left != NULL && *left != '\0' && strcmp(m->root, "/") != 0 &&
		    !mounts_above(path, m->at) && todo(arg, m->at) == -1)
			return -1;
	}
	return 0;
}

struct each {
	const struct run	*r;
	int			(*todo)(const struct run *, const char *,
				    const char *);
	const char		*cwd;
};

static int
one_of_each(void *arg, const char *path)
{
	struct each	*e = arg;

	return e->todo(e->r, path, e->cwd);
}

int
aliases_each(const struct run *r, const char *path,
    int (*todo)(const struct run *, const char *, const char *), const char *cwd)
{
	struct each	e = { r, todo, cwd };

	return aliases_walk(r, path, one_of_each, &e);
}
