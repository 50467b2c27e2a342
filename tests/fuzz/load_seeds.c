/*
 * Seeds for the loader's fuzz target: policies, compiled as they are today. Blobs that
 * are kept in files are refused by their version once the layout has changed, and then
 * nothing behind that check is tried.
 *
 * usage: load_seeds DIRECTORY POLICY...
 *
 * A policy that is wrong is left out: many of the grammar's tests are.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#include "grammar.h"
#include "law.h"

static void
quiet(void *arg, const char *line)
{
	(void)arg, (void)line;
}

static void
write_seed(const char *directory, unsigned int number, const void *blob, size_t len)
{
	char	 path[4096];
	FILE	*f;

	if (snprintf(path, sizeof(path), "%s/%03u", directory, number) >=
	    (int)sizeof(path))
		errx(1, "%s: the path is too long", directory);
	if ((f = fopen(path, "wb")) == NULL || fwrite(blob, 1, len, f) != len ||
	    fclose(f) != 0)
		err(1, "%s", path);
}

/* False if the text is no policy. What compiles must load. */
static bool
seed(const char *directory, unsigned int number, const char *path)
{
	struct grammar_sink	 sink = { .line = quiet };
	struct model		*m = grammar_parse(path, &sink);
	struct policy		*p;
	char			 why[128] = "";
	size_t			 len;
	void			*blob;

	if (m == NULL)
		return false;
	if ((blob = grammar_compile(m, &len)) == NULL)
		errx(1, "%s: not compiled", path);
	if ((p = policy_load(blob, len, why, sizeof(why))) == NULL)
		errx(1, "%s: refused: %s", path, why);
	write_seed(directory, number, blob, len);
	policy_free(p);
	free(blob);
	grammar_free(m);
	return true;
}

int
main(int argc, char *argv[])
{
	unsigned int	n = 0;
	int		i;

	if (argc < 3)
		errx(2, "usage: load_seeds DIRECTORY POLICY...");
	for (i = 2; i < argc; i++)
		n += seed(argv[1], n, argv[i]);
	printf("%u seeds of %d policies\n", n, argc - 2);
	return n < 20;
}
