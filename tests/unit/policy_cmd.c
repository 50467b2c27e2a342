/* check and explain as a program of their own, for the tests. */
#include <stdio.h>
#include <string.h>

#include "policy_cmds.h"

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "check") == 0)
		return cmd_check(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "explain") == 0)
		return cmd_explain(argc - 1, argv + 1);
	fprintf(stderr, "usage: policy_cmd " CHECK_USAGE "\n"
	    "       policy_cmd " EXPLAIN_USAGE "\n");
	return EXIT_MISUSE;
}
