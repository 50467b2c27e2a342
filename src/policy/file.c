/*
 * The files of a policy: opened once, without following a link or waiting, looked
 * at through the fd, then read as a whole. What was checked is what is read.
 *
 * What is put in force (run, serve) is a file: it can be looked at afterwards, and
 * whoever could change it is known. `check' and `explain' put nothing in force, so they
 * also read what the caller's shell has opened for them (-, /dev/fd/N, which is what
 * <(command) is): that is the caller's own already, whatever it is. A file that they
 * open by its name is held to the rules of `run', for what they call good has to run.
 * Links: see links.c.
 *
 * Trusts: root, and the user who runs this. A file that anyone else owns or can
 * write is no policy.
 * Must not: write, create, or open a thing that is not a regular file twice.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idmap.h"
#include "log.h"
#include "read.h"

/* ---- paths -------------------------------------------------------------- */

/* What a shell has opened, by its names: "-", "/dev/fd/63". Or -1. */
static int
stream_of(const char *path)
{
	static const char *const	dirs[] = { "/dev/fd/", "/proc/self/fd/" };
	const char			*end;
	uint64_t			 n;
	size_t				 i;

	if (strcmp(path, "-") == 0 || strcmp(path, "/dev/stdin") == 0)
		return STDIN_FILENO;
	for (i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		if (strncmp(path, dirs[i], strlen(dirs[i])) == 0 &&
		    value_number(path + strlen(dirs[i]), &end, &n) &&
		    *end == '\0' && n < INT_MAX)
			return (int)n;
	return -1;
}

const char *
file_directory(struct parse *p, const char *path)
{
	const char	*slash = strrchr(path, '/');

	if (slash == NULL || stream_of(path) != -1)
		return ".";
	if (slash == path)
		return "/";
	return model_string(p->m, path, (size_t)(slash - path));
}

static const char *
join(struct parse *p, const char *dir, const char *name)
{
	struct text	 t = { NULL, 0, 0 };
	const char	*s;

	if (strcmp(dir, ".") == 0)
		return name;
	text_add(&t, "%s%s%s", dir, strcmp(dir, "/") == 0 ? "" : "/", name);
	s = model_string(p->m, t.buf, t.len);
	free(t.buf);
	return s;
}

/* A relative path starts at the directory of the file that names it. */
const char *
file_resolve(struct parse *p, const char *path)
{
	if (path[0] == '/')
		return path;
	return join(p, file_directory(p, p->source->path), path);
}

/* ---- one file --------------------------------------------------------------- */

/* The policy's own file is named by the message's place already. */
static const char *
about(struct parse *p, const struct where *at, const char *path)
{
	struct text	 t = { NULL, 0, 0 };
	const char	*s;

	if (at->line == 0)
		return "";
	text_add(&t, "%.200s: ", path);
	s = model_string(p->m, t.buf, t.len);
	free(t.buf);
	return s;
}

static void
explain_open(struct parse *p, const struct where *at, const char *path)
{
	const char	*name = about(p, at, path);

	switch (errno) {
	case ENOENT:
	case ENOTDIR:
		report_error(p, at, "%sthere is no such file; check the path",
		    name);
		break;
	case EACCES:
	case EPERM:
		report_error(p, at, "%suid %u may not read this; see the owner "
		    "and mode of the file and of its directories", name,
		    (unsigned int)getuid());
		break;
	default:
		report_error(p, at, "%scannot be opened: %s", name,
		    strerror(errno));
		break;
	}
}

static const char *
kind_of(mode_t mode)
{
	if (S_ISDIR(mode))
		return "a directory";
	if (S_ISFIFO(mode))
		return "a FIFO";
	if (S_ISSOCK(mode))
		return "a socket";
	return "a device";
}

/*
 * In a user namespace without uid 0, as CMD's is, root's files are nobody's. So are
 * those of others whom it does not know; but none of ours can be, and the mode has to
 * keep us, and all whom it does know, from writing.
 */
static bool
trusted(const struct parse *p, uid_t uid)
{
	return uid == 0 || uid == getuid() ||
	    (p->no_root && uid == IDMAP_NOBODY);
}

static int
file_check(struct parse *p, const struct where *at, const char *path,
    const struct stat *st)
{
	const char	*name = about(p, at, path);

	if (!S_ISREG(st->st_mode))
		report_error(p, at, "%sthis is %s; name a regular file", name,
		    kind_of(st->st_mode));
	else if (!trusted(p, st->st_uid))
		report_error(p, at, "%sit belongs to uid %u, who could change "
		    "it: it must belong to root or to uid %u (chown)", name,
		    (unsigned int)st->st_uid, (unsigned int)getuid());
	else if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
		report_error(p, at, "%sits mode is %04o, so others can change "
		    "it: chmod go-w %.200s", name,
		    (unsigned int)(st->st_mode & 07777), path);
	else if (st->st_size > (off_t)GRAMMAR_FILE_MAX)
		report_error(p, at, "%sit is larger than %u MiB; split it",
		    name, GRAMMAR_FILE_MAX >> 20);
	else if ((size_t)st->st_size + p->read > GRAMMAR_TEXT_MAX)
		report_error(p, at, "%swith it the policy's files have more than "
		    "%u MiB: leave comments and doubles out of them, or run two "
		    "policies", name, GRAMMAR_TEXT_MAX >> 20);
	else
		return 0;
	return -1;
}

/* Up to GRAMMAR_FILE_MAX bytes, whatever fstat said. */
static char *
read_all(struct parse *p, const struct where *at, const char *path, int fd,
    size_t hint, size_t *len)
{
	size_t	 size = hint + 1, n = 0;
	char	*buf = malloc(size);
	ssize_t	 r;

	while (buf != NULL && (r = read(fd, buf + n, size - n)) != 0) {
		if (r == -1) {
			report_error(p, at, "%scannot be read: %s",
			    about(p, at, path), strerror(errno));
			free(buf);
			return NULL;
		}
		if ((n += (size_t)r) < size)
			continue;
		if (n > GRAMMAR_FILE_MAX) {
			report_error(p, at, "%sit grows while it is read",
			    about(p, at, path));
			free(buf);
			return NULL;
		}
		size += size / 2 + 4096;
		buf = realloc(buf, size);
	}
	if (buf == NULL)
		fatalx("out of memory for %s", path);
	*len = n;
	return buf;
}

static void
tell(struct parse *p, const char *path, const struct stat *st)
{
	if (p->sink->file != NULL)
		p->sink->file(p->sink->arg, path, st->st_dev, st->st_ino);
}

/* To its end, whatever it is. */
static char *
read_stream(struct parse *p, const struct where *at, struct source *s,
    size_t *len)
{
	char	*text;

	if (!p->sink->streams || s->parent != NULL) {
		report_error(p, at, "%swhat is put in force is a file, which can "
		    "be looked at again: save it, and name that",
		    about(p, at, s->path));
		return NULL;
	}
	text = read_all(p, at, s->path, stream_of(s->path), 65536, len);
	if (text != NULL) {
		model_read(p->m, s->path, text, *len);
		p->read += *len;
	}
	return text;
}

/* The file of s->path; fills s->dev and s->ino. To be freed. */
char *
file_read(struct parse *p, const struct where *at, struct source *s,
    size_t *len)
{
	struct stat	 st;
	char		*text = NULL;
	int		 fd;

	if (stream_of(s->path) != -1)
		return read_stream(p, at, s, len);
	fd = open(s->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
	    O_CLOEXEC);
	if (fd == -1 && errno == ELOOP) {
		if ((fd = links_open(p, at, s->path)) == -1)
			return NULL;
	} else if (fd == -1) {
		explain_open(p, at, s->path);
		return NULL;
	}
	if (fstat(fd, &st) == -1)
		fatal("fstat %s", s->path);
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	if (file_check(p, at, s->path, &st) == 0) {
		tell(p, s->path, &st);
		text = read_all(p, at, s->path, fd, (size_t)st.st_size, len);
		if (text != NULL)
			model_read(p->m, s->path, text, *len);
	}
	close(fd);
	if (text != NULL)
		p->read += *len;
	return text;
}

/* ---- the files of a pattern ---------------------------------------------- */

/* `*` and `?`, never a leading dot. Linear: one place to go back to. */
static bool
matches(const char *pat, const char *name)
{
	const char	*star = NULL, *from = NULL;

	if (*name == '.' && *pat != '.')
		return false;
	while (*name != '\0') {
		if (*pat == '*') {
			star = pat++;
			from = name;
		} else if (*pat == '?' || *pat == *name) {
			pat++;
			name++;
		} else if (star != NULL) {
			pat = star + 1;
			name = ++from;
		} else
			return false;
	}
	while (*pat == '*')
		pat++;
	return *pat == '\0';
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static size_t
list_directory(struct parse *p, const struct include *inc, const char *dir,
    const char *pattern, const char ***out)
{
	VEC(const char *)	 found = { NULL, 0, 0 };
	const struct dirent	*d;
	struct stat		 st;
	DIR			*dp = opendir(dir);

	if (dp == NULL) {
		report_error(p, &inc->at, "%.200s: the directory cannot be read: "
		    "%s", dir, strerror(errno));
		return 0;
	}
	if (fstat(dirfd(dp), &st) == 0)
		tell(p, dir, &st);
	while ((d = readdir(dp)) != NULL && found.n < GRAMMAR_FILES_MAX) {
		if (!matches(pattern, d->d_name))
			continue;
		push(p->m, found, join(p, dir,
		    model_string(p->m, d->d_name, strlen(d->d_name))));
	}
	closedir(dp);
	if (found.n == GRAMMAR_FILES_MAX)
		report_error(p, &inc->at, "more than %d files match: "
		    "put some of them into another directory, and include that "
		    "too", GRAMMAR_FILES_MAX - 1);
	if (found.n == 0)
		report_lint(p, "W104", &inc->at, NULL, "no file matches \"%.200s\"",
		    inc->path);
	else
		qsort(found.v, found.n, sizeof(found.v[0]), compare);
	*out = found.v;
	return found.n;
}

size_t
file_glob(struct parse *p, const struct include *inc, const char ***out)
{
	const char	*path = file_resolve(p, inc->path);
	const char	*dir = file_directory(p, path);
	const char	*last = strrchr(path, '/');
	const char	**one;

	last = last == NULL ? path : last + 1;
	if (strpbrk(dir, "*?") != NULL) {
		report_error(p, &inc->at, "only the last part of an include "
		    "may have * or ?");
		return 0;
	}
	if (strpbrk(last, "*?") != NULL)
		return list_directory(p, inc, dir, last, out);
	one = model_alloc(p->m, sizeof(*one));
	*one = path;
	*out = one;
	return 1;
}
