/*
 * Runs a fuzz target once over every file of the directories (or files) given:
 * the committed corpus, without libFuzzer and with any compiler.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static unsigned int	runs;

static void
run_file(const char *path)
{
	static uint8_t	bytes[1 << 20];
	FILE		*f = fopen(path, "rb");
	size_t		 len;
	uint8_t		*copy;

	if (f == NULL)
		err(1, "%s", path);
	len = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	/* exactly as long as it is, for the sanitizer */
	if ((copy = malloc(len + (len == 0))) == NULL)
		err(1, "malloc");
	memcpy(copy, bytes, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
	runs++;
}

static void
run_directory(const char *path)
{
	DIR		*dir = opendir(path);
	struct dirent	*entry;
	char		 name[4096];

	if (dir == NULL)
		err(1, "%s", path);
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		if (snprintf(name, sizeof(name), "%s/%s", path,
		    entry->d_name) >= (int)sizeof(name))
			errx(1, "%s: the path is too long", path);
		run_file(name);
	}
	closedir(dir);
}

int
main(int argc, char *argv[])
{
	struct stat	st;
	int		i;

	for (i = 1; i < argc; i++) {
		if (stat(argv[i], &st) == -1)
			err(1, "%s", argv[i]);
		if (S_ISDIR(st.st_mode))
			run_directory(argv[i]);
		else
			run_file(argv[i]);
	}
	printf("%u inputs replayed\n", runs);
	return runs == 0;
}
