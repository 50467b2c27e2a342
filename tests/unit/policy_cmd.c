/* check and explain as a program of their own, for the tests. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy_cmds.h"

/* One command in each line, with tabs between its words; then "exit STATUS". */
static int
batch(void)
{
	char	*line = NULL, *rest, *word, *argv[64];
	size_t	 size = 0;
	int	 argc;

	while (getline(&line, &size, stdin) != -1) {
		line[strcspn(line, "\n")] = '\0';
		rest = line;
		for (argc = 0; argc < 63 && (word = strsep(&rest, "\t")) != NULL;
		    argc++)
			argv[argc] = word;
		argv[argc] = NULL;
		printf("exit %d\n", strcmp(argv[0], "rules") == 0 ?
		    cmd_rules(argc, argv) : cmd_explain(argc, argv));
		fflush(stdout);
	}
	free(line);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "batch") == 0)
		return batch();
	if (argc > 1 && strcmp(argv[1], "check") == 0)
		return cmd_check(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "explain") == 0)
		return cmd_explain(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "rules") == 0)
		return cmd_rules(argc - 1, argv + 1);
	fprintf(stderr, "usage: policy_cmd " CHECK_USAGE "\n"
	    "       policy_cmd " EXPLAIN_USAGE "\n");
	return EXIT_MISUSE;
}
