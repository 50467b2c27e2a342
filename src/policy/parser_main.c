/*
 * sallyport-parser LEVEL POLICY [quiet]: the sealed child that turns text into a
 * compiled policy. It fills the memfd on fd 4, writes what is wrong to fd 5 (quiet:
 * no warnings), and exits: 0 = the memfd is a policy, 1 = there were errors, all of
 * them reported.
 *
 * Trusts: its arguments, which are the keeper's.
 * Must not: outlive one reading, or be trusted: the broker checks every length.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "grammar.h"
#include "log.h"
#include "parser.h"

#define EXIT_ERRORS	1

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

static int
parse(const char *path, bool quiet)
{
	struct grammar_sink	 sink = { .line = line_to_log,
				    .dirs = lock_dirs, .quiet = quiet };
	struct model		*m;
	size_t			 len;
	void			*blob;

	if ((m = grammar_parse(path, &sink)) == NULL)
		return EXIT_ERRORS;
	if ((blob = grammar_compile(m, &len)) == NULL)
		fatalx("%s is too big: compiled it has more than 64 MiB", path);
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
