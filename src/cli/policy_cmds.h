/*
 * `sallyport check`, `explain` and `rules`. They read a policy in the user's own
 * process: it is the user's own file, and nothing is opened for anyone.
 */
#ifndef SALLYPORT_POLICY_CMDS_H
#define SALLYPORT_POLICY_CMDS_H

/* Exit statuses of all of them; sallyport(1). */
#define EXIT_GOOD	0	/* check: no error; explain: allowed; rules: told */
#define EXIT_BAD	1	/* check: errors; explain: denied */
#define EXIT_DOUBT	2	/* check: warnings only; else: no answer */
#define EXIT_DEPENDS	3	/* explain: on first bytes that it was not told */
#define EXIT_MISUSE	64	/* sysexits.h EX_USAGE */

#define CHECK_USAGE	"check [-npq] [--all] [--json] FILE"
#define EXPLAIN_USAGE	"explain [OPTION ...] FILE TENANT tcp|udp|icmp "	\
			"ADDRESS[:PORT] [--name NAME]... [--sni NAME [--ech] | " \
			"--host NAME | --nothing | --undecided]"
#define EXPLAIN_DNS_USAGE "explain [OPTION ...] FILE TENANT dns NAME"
#define EXPLAIN_REACH_USAGE "explain [OPTION ...] FILE TENANT reach "	\
			"NAME|ADDRESS|NETWORK [--name NAME]..."

#define RULES_USAGE	"rules [-q] [--all] [--json] FILE [TENANT]"

/* argv[0] is the command's name. Return the exit status. */
int	cmd_check(int argc, char **argv);
int	cmd_explain(int argc, char **argv);
int	cmd_rules(int argc, char **argv);

/* hosts.c: notes, and how many they were */
struct policy;
struct grammar_message;
unsigned int hosts_hint(struct policy *, const char *path,
	    void (*tell)(void *, const struct grammar_message *), void *arg);

#endif
