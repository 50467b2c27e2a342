/*
 * `sallyport': one table entry per command.
 *
 * Trusts: the user. Must not: know what a command does.
 */
#include <sys/personality.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "config.h"
#include "policy_cmds.h"

static int	cmd_help(int, char **);

static const struct command commands[] = {
	{ "run", cmd_run,
	    "[OPTION ...] [-p POLICY] [--] CMD [ARGUMENT ...]\n"
	    "       sallyport run --learn FILE [OPTION ...] [--] CMD "
	    "[ARGUMENT ...]",
	    "run one command with the network that a policy allows" },
	{ "serve", cmd_serve, "-p POLICY --stream SOCKET [OPTION ...]",
	    "the same for a virtual machine on a stream socket" },
	{ "check", cmd_check, "[-npq] [--all] [--json] FILE",
	    "read a policy and say what is wrong with it" },
	{ "explain", cmd_explain,
	    "[OPTION ...] FILE TENANT tcp|udp|icmp ADDRESS[:PORT]\n"
	    "           [--name NAME]... [--sni NAME [--ech] | --host NAME | "
	    "--nothing |\n           --undecided]\n"
	    "       sallyport explain [OPTION ...] FILE TENANT dns NAME\n"
	    "       sallyport explain [OPTION ...] FILE TENANT reach\n"
	    "           NAME|ADDRESS|NETWORK [--name NAME]...",
	    "show, step by step, what a policy says of one destination" },
	{ "rules", cmd_rules, "[-q] [--all] [--json] FILE [TENANT]",
	    "list all that a policy says for one tenant" },
	{ "learn", cmd_learn, "[OPTION ...] LOG ...",
	    "write the policy that what is in audit logs needs" },
	{ "demo", cmd_demo, "",
	    "show it, without any network: in namespaces of its own" },
	{ "help", cmd_help, "[COMMAND]", "say how a command is called" },
};
#define NCOMMANDS	(sizeof(commands) / sizeof(commands[0]))

static const struct command *
find(const char *name)
{
	size_t	i;

	for (i = 0; i < NCOMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static void
print_usage(FILE *out)
{
	size_t	i;

	fprintf(out, "usage: sallyport COMMAND [ARGUMENT ...]\n\n");
	for (i = 0; i < NCOMMANDS; i++)
		fprintf(out, "  %-10s %s\n", commands[i].name,
		    commands[i].what);
	fprintf(out, "\n`sallyport help COMMAND' says more, sallyport(1) "
	    "says all.\n");
}

static int
cmd_help(int argc, char **argv)
{
	const struct command	*c;

	if (argc < 2) {
		print_usage(stdout);
		return 0;
	}
	if ((c = find(argv[1])) == NULL)
		return usage_error(EXIT_USAGE, "help", "no command %s",
		    argv[1]);
	help_print(c);
	return 0;
}

/* Of a command that found -h among its options. */
void
help_and_exit(const char *name)
{
	help_print(find(name));
	exit(fflush(stdout) == 0 ? 0 : EXIT_USAGE);
}

/* A program that is started without 0, 1 or 2 would take them for its own. */
static void
fill_standard_fds(void)
{
	int	fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd != -1 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

/*
 * setarch(8) -R and its like are inherited through exec(2): the rooms would all have
 * their memory at known addresses, CMD too. What else a personality says stays
 * (linux32).
 */
static void
restore_randomness(void)
{
	int	p = personality(0xffffffff);	/* asks */

	if (p != -1 && (p & (ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC |
	    ADDR_COMPAT_LAYOUT | MMAP_PAGE_ZERO)) != 0)
		(void)personality((unsigned long)p & ~(unsigned long)
		    (ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC |
		    ADDR_COMPAT_LAYOUT | MMAP_PAGE_ZERO));
}

int
main(int argc, char **argv)
{
	const struct command	*c;

	fill_standard_fds();
	restore_randomness();
	log_init("sallyport", STDERR_FILENO, LOG_LEVEL_WARN);
	if (argc < 2) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("sallyport %s\n", PACKAGE_VERSION);
		return 0;
	}
	if (help_wanted(argv[1]))
		return cmd_help(1, argv);
	if ((c = find(argv[1])) == NULL) {
		log_warnx("no %s %s; `sallyport help' lists the commands",
		    *argv[1] == '-' ? "option" : "command", argv[1]);
		return EXIT_USAGE;
	}
	if (help_wanted(argv[2])) {
		help_print(c);
		return 0;
	}
	return c->main(argc - 1, argv + 1);
}
