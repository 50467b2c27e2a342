/*
 * A log with what was retired of it, line by line.
 *
 * Trusts: nothing that is found at a path: no FIFO is waited for, and no link followed
 * but the one that the user named.
 * Must not: hold more than a line of it.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "learn.h"

#define LINE_MAX_BYTES	(64u << 10)	/* a record is below 8 KiB */

/* What is there is the recorder's, or it is not read. */
static FILE *
open_segment(int dir, const char *name, bool follow)
{
	int		 fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY |
			    O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
	struct stat	 st;
	FILE		*f = NULL;

	if (fd != -1 && (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)))
		errno = EINVAL;
	else if (fd != -1)
		f = fdopen(fd, "r");
	if (f == NULL) {
		log_warn("learn: %s", name);
		fd_drop(&fd);
	}
	return f;
}

/* A line that is too long is none of the recorder's, wherever it ends. */
static void
read_lines(struct learned *l, FILE *f)
{
	static char	line[LINE_MAX_BYTES];
	size_t		n = 0;
	int		c;

	while ((c = getc_unlocked(f)) != EOF) {
		if (n < sizeof(line))
			line[n] = (char)c;
		n++;
		if (c != '\n')
			continue;
		if (n <= sizeof(line))
			record_line(l, line, n);
		else
			l->bad++;
		n = 0;
	}
	l->cut += n > 0;	/* it was being written */
}

static int
learn_segment(struct learned *l, int dir, const char *name, bool follow)
{
	FILE	*f = open_segment(dir, name, follow);
	bool	 good;

	if (f == NULL)
		return -1;
	read_lines(l, f);
	if (!(good = ferror(f) == 0))
		log_warn("learn: %s", name);
	fclose(f);
	return good ? 0 : -1;
}

/* ---- segments ------------------------------------------------------------------------ */

static bool
is_number(const char *s)
{
	return *s != '\0' && strspn(s, "0123456789") == strlen(s);
}

/* NAME.FIRST-SEQ: what a log that grew too long was put aside as. */
static bool
is_segment(const char *file, const char *name)
{
	size_t	len = strlen(name);

	return strncmp(file, name, len) == 0 && file[len] == '.' &&
	    is_number(file + len + 1);
}

/*
 * Of a directory, all logs and their segments: each log after its own segments, whose
 * numbers have leading zeros.
 */
static int
by_log(const void *a, const void *b)
{
	const char	*s = a, *t = b;
	const char	*p = strrchr(s, '.'), *q = strrchr(t, '.');
	size_t		 n = p != NULL && is_number(p + 1) ? (size_t)(p - s) : strlen(s);
	size_t		 m = q != NULL && is_number(q + 1) ? (size_t)(q - t) : strlen(t);
	int		 c = strncmp(s, t, n < m ? n : m);

	if (c != 0)
		return c;
	if (n != m)
		return n < m ? -1 : 1;
	if (s[n] == '\0' || t[m] == '\0')	/* the log itself is the last */
		return (s[n] == '\0') - (t[m] == '\0');
	return strcmp(s + n, t + m);
}

struct segment_name {
	char	text[NAME_MAX + 1];
};

static void
add_segment(struct list *l, const char *name)
{
	struct segment_name	s;

	memset(&s, 0, sizeof(s));
	memcpy(s.text, name, strlen(name));
	(void)list_put(l, &s);
}

/* name NULL: each file, but the hidden ones and the recorder's reserve. */
static int
list_segments(int dir, const char *name, struct list *l)
{
	const struct dirent	*e;
	struct stat		 st;
	int			 fd = openat(dir, ".", O_RDONLY | O_DIRECTORY |
				    O_CLOEXEC);
	DIR			*d = fd == -1 ? NULL : fdopendir(fd);

	if (d == NULL) {
		log_warn("learn: the log's directory");
		fd_drop(&fd);
		return -1;
	}
	l->size = l->key = sizeof(struct segment_name);
	while ((e = readdir(d)) != NULL)
		if (name != NULL ? is_segment(e->d_name, name) :
		    *e->d_name != '.' && fstatat(dir, e->d_name, &st,
		    AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
			add_segment(l, e->d_name);
	closedir(d);
	list_sort(l, by_log);
	return 0;
}

static int
learn_segments(struct learned *l, int dir, const char *name)
{
	struct list	names = { .n = 0 };
	size_t		i;
	int		result = list_segments(dir, name, &names);

	for (i = 0; i < names.n; i++)
		if (learn_segment(l, dir, list_at(&names, i), false) == -1)
			result = -1;
	list_free(&names);
	return result;
}

int
learn_log(struct learned *l, int dir, const char *name)
{
	evidence_begin(l);
	(void)learn_segments(l, dir, name);
	return learn_segment(l, dir, name, false);
}

/* ---- what a user names ------------------------------------------------------------------ */

static int
learn_directory(struct learned *l, int dir, const char *path)
{
	size_t	before = l->flows + l->asked.n + l->floored.n;
	int	result;

	result = learn_segments(l, dir, NULL);
	if (result == 0 && before == l->flows + l->asked.n + l->floored.n)
		log_debug("learn: nothing in %s", path);
	return result;
}

static int
learn_file(struct learned *l, const char *path)
{
	char	dirs[PATH_MAX];
	int	dir, result;

	if (strlen(path) >= sizeof(dirs)) {
		log_warnx("learn: a path is too long");
		return -1;
	}
	snprintf(dirs, sizeof(dirs), "%s", path);
	dir = open(dirname(dirs), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir == -1) {
		log_warn("learn: %s", path);
		return -1;
	}
	result = learn_segments(l, dir, held_name(path));
	if (learn_segment(l, dir, held_name(path), true) == -1)
		result = -1;
	close(dir);
	return result;
}

int
learn_path(struct learned *l, const char *path)
{
	int	dir, result;

	evidence_begin(l);
	if (strcmp(path, "-") == 0) {
		read_lines(l, stdin);
		return ferror(stdin) == 0 ? 0 : -1;
	}
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir == -1)
		return learn_file(l, path);
	result = learn_directory(l, dir, path);
	close(dir);
	return result;
}

void
learn_free(struct learned *l)
{
	evidence_free(l);
}
