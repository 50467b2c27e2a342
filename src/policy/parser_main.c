/*
 * sallyport-parser LEVEL POLICY [quiet]: the sealed child that turns text into a
 * compiled policy. It fills the memfd on fd 4, writes which files it has read to
 * fd 3 ("DEVICE INODE PATH" and a NUL for each, then "search NAME" for each of the
 * policy's search list) and what is wrong to fd 5 (quiet: no
 * warnings), and exits: 0 = the memfd is a policy, 1 = there were errors, all of
 * them reported.
 *
 * Trusts: its arguments, which are the keeper's.
 * Must not: outlive one reading, or be trusted: the broker checks every length.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "grammar.h"
#include "log.h"
#include "parser.h"

#define EXIT_ERRORS	1
#define FILE_LINE_MAX	(PATH_MAX + 64)

static void
line_to_log(void *arg, const char *text)
{
	char	line[GRAMMAR_LINE_MAX + 1];
	size_t	len = strlen(text);

	(void)arg;
	if (len >= sizeof(line))
		len = sizeof(line) - 1;
	memcpy(line, text, len);
	line[len] = '\n';
	log_line(line, len + 1);	/* unheard is no error */
}

static void
lock_dirs(void *arg, const char *const *dir, size_t n)
{
	(void)arg;
	parser_lock_paths(dir, n);
}

static void
name_file(void *arg, const char *path, uint64_t dev, uint64_t ino)
{
	char	line[FILE_LINE_MAX];
	int	n = snprintf(line, sizeof(line), "%llu %llu %s",
		    (unsigned long long)dev, (unsigned long long)ino, path);

	(void)arg;
	if (n < 0 || (size_t)n >= sizeof(line))
		fatalx("%s: the path is too long", path);
	if (fd_write_all(FD_CHANNEL, line, (size_t)n + 1) == -1)
		fatal("the list of files");
}

/* Between the files: a word, where those have a number. */
static void
name_search(const struct model *m)
{
	char			 line[NAME_TEXT_MAX + 16];
	const struct name	*search;
	size_t			 i, n;
	int			 len;

	search = grammar_search(m, &n);
	for (i = 0; i < n; i++) {
		len = snprintf(line, sizeof(line), "search %s", search[i].text);
		if (fd_write_all(FD_CHANNEL, line, (size_t)len + 1) == -1)
			fatal("the search list");
	}
}

static int
parse(const char *path, bool quiet)
{
	struct grammar_sink	 sink = { .line = line_to_log,
				    .dirs = lock_dirs, .file = name_file,
				    .quiet = quiet,
				    .now = (uint64_t)time(NULL) };
	struct model		*m;
	size_t			 len;
	void			*blob;

	if ((m = grammar_parse(path, &sink)) == NULL)
		return EXIT_ERRORS;
	name_search(m);
	if ((blob = grammar_compile(m, &len)) == NULL)
		fatalx("%s: %s", path, GRAMMAR_BLOB_TOO_LARGE);
	if (fd_write_all(FD_OBJECT, blob, len) == -1)
		fatal("the compiled policy");
	return 0;
}

int
main(int argc, char **argv)
{
	if (log_init_child("sallyport-parser", argc, argv) == -1 ||
	    argc < 3 || argc > 4)
		return FATAL_STATUS;
	log_wait_briefly();
	parser_lock();
	_exit(parse(argv[2], argc == 4));	/* no atexit(3) under the filter */
}
