/*
 * Which files this run's policy was read from, as the parser has told: they decide
 * about the next run, too. CMD is kept from writing them (vault.c); but a directory
 * that CMD works in, or one above, cannot be kept from being renamed. There it is
 * found out when CMD is dead.
 *
 * Trusts: the parser for its list, and that nobody changed a path meanwhile.
 * Must not: cry wolf when a user edits a policy while it is in use: it is the
 * directories that are compared, which nobody replaces in doing so.
 */
#include <sys/stat.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "fd.h"
#include "world.h"

#define LIST_MAX	(16u << 20)
#define SEARCH		"search "	/* in front of a name; a file has a number there */

static char *
read_list(int fd, size_t *len)
{
	struct stat	st;
	char		*text;

	if (fstat(fd, &st) == -1 || st.st_size < 0 || st.st_size > LIST_MAX ||
	    (text = malloc((size_t)st.st_size + 1)) == NULL)
		return NULL;
	*len = (size_t)st.st_size;
	text[*len] = '\0';
	if (pread(fd, text, *len, 0) == (ssize_t)*len)
		return text;
	free(text);
	return NULL;
}

static bool
take_search(const char *line, struct law *l)
{
	if (strncmp(line, SEARCH, sizeof(SEARCH) - 1) != 0 ||
	    l->nsearch == SEARCH_MAX)
		return false;
	l->search[l->nsearch++] = line + sizeof(SEARCH) - 1;
	return true;
}

static bool
take_line(char *line, struct law_file *f)
{
	char	*end;

	f->dev = strtoull(line, &end, 10);
	if (end == line || *end != ' ')
		return false;
	line = end + 1;
	f->ino = strtoull(line, &end, 10);
	if (end == line || end[0] != ' ' || end[1] == '\0')
		return false;
	f->path = end + 1;
	return true;
}

int
law_read(struct law *l, int fd)
{
	size_t	len = 0, i, lines = 0;
	char	*text = read_list(fd, &len);

	l->n = l->nsearch = 0;
	for (i = 0; text != NULL && i < len; i++)
		lines += text[i] == '\0';
	l->file = text == NULL ? NULL : calloc(lines + 1, sizeof(*l->file));
	if (l->file == NULL) {
		log_warnx("the list of the policy's files");
		free(text);
		return -1;
	}
	for (i = 0; i < len; i += strlen(text + i) + 1)
		if (!take_search(text + i, l) &&
		    take_line(text + i, &l->file[l->n]))
			l->n++;
	return 0;		/* the text is the list's, to the end */
}

bool
law_full(const char *path, const char *cwd, char out[PATH_MAX])
{
	int	n = snprintf(out, PATH_MAX, "%s%s%s", *path == '/' ? "" : cwd,
		    *path == '/' ? "" : "/", path);

	return n > 0 && n < PATH_MAX;
}

/* ---- what CMD might lead elsewhere --------------------------------------------- */

struct look {
	struct run	*r;
	const char	*file;
};

/* What is at or above CMD's place cannot be pinned, and a link may not have been. */
static int
note_loose(const char *path, const struct stat *above, const char *cwd, void *arg)
{
	const struct look	*look = arg;
	struct law		*l = &look->r->law;
	struct law_file		*grown;
	struct stat		 st;
	size_t			 i;

	(void)above;
	if (lstat(path, &st) == -1 ||
	    (!S_ISLNK(st.st_mode) && !mounts_above(path, cwd)))
		return 0;
	for (i = 0; i < l->nloose; i++)
		if (strcmp(l->loose[i].path, path) == 0)
			return 0;
	grown = reallocarray(l->loose, l->nloose + 1, sizeof(*grown));
	if (grown == NULL || (path = strdup(path)) == NULL)
		fatalx("no memory");
	l->loose = grown;
	grown[l->nloose++] = (struct law_file){ .path = path, .dev = st.st_dev,
	    .ino = st.st_ino, .of = look->file };
	return 0;
}

void
law_look(struct run *r)
{
	struct look	look = { .r = r };
	char		cwd[PATH_MAX], full[PATH_MAX], real[PATH_MAX];
	size_t		i;

	if (getcwd(cwd, sizeof(cwd)) == NULL)
		snprintf(cwd, sizeof(cwd), "/");
	for (i = 0; i < r->law.n; i++) {
		look.file = r->law.file[i].path;
		if (!law_full(look.file, cwd, full) ||
		    realpath(full, real) == NULL)
			continue;
		if (strcmp(full, real) != 0)
			(void)vault_above(r, full, note_loose, cwd, &look);
		(void)vault_above(r, real, note_loose, cwd, &look);
	}
}

const char *
law_replaced(const struct run *r)
{
	const struct law_file	*f;
	const char		*first = NULL;
	struct stat		 st;
	size_t			 i;

	for (i = 0; i < r->law.nloose; i++) {
		f = &r->law.loose[i];
		if (lstat(f->path, &st) == 0 && st.st_dev == f->dev &&
		    st.st_ino == f->ino)
			continue;
		log_warnx("%s was moved or replaced meanwhile, by CMD or somebody "
		    "else: the policy's %s is another now; read it before the "
		    "next run", f->path, f->of);
		if (first == NULL)
			first = f->of;
	}
	return first;
}
