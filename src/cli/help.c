/*
 * What `sallyport help NAME', and -h and --help of each command, say of its options:
 * a line or two of what sallyport(1) says in full.
 *
 * Trusts: nobody, and reads nothing. Must not: leave out an option, or promise what
 * the manual page does not.
 */
#include <stdio.h>
#include <string.h>

#include "cli.h"

static const char	of_run[] =
"Runs CMD in namespaces of its own; its only network is what the policy allows.\n"
"\n"
"  -p, --policy FILE      the policy; else the installed one, and without that\n"
"                         everything is denied\n"
"      --tenant NAME      the rules of this tenant, if the policy has several\n"
"      --learn FILE       let everything through but what the floor holds back,\n"
"                         and write the policy that CMD needs\n"
"  -4, --ipv4-only        give CMD no IPv6 address\n"
"  -6, --ipv6-only        give CMD no IPv4 address\n"
"      --guest-address ADDRESS[/LENGTH], --gateway ADDRESS\n"
"                         other addresses for CMD's link, of each family\n"
"      --mtu BYTES        of the link\n"
"      --no-offload       a tap without checksum and segmentation offload\n"
"      --ca-bundle FILE   who vouches for the policy's DNS over TLS\n"
"\n"
"      --audit FILE       write the log there; else to a new file below\n"
"                         ~/.local/state/sallyport\n"
"      --keep NUMBER|all  of the logs there, the oldest go beyond that many, or\n"
"                         beyond a gigabyte; else beyond 100\n"
"      --guest NAME       what the records call CMD\n"
"      --no-command       leave the command line out of the log\n"
"      --durable before-data|before-connect|async\n"
"                         how far a record has to be before a flow goes on\n"
"  -q, --quiet            say nothing at the end, and less at the start\n"
"  -v, --verbose          say what is denied as it happens; twice: much more\n"
"\n"
"      --user NAME|UID    run CMD as this user (for root)\n"
"      --expose PATH      let CMD see a file, directory or socket of the host's\n"
"      --ssh-agent        let CMD use the agent of SSH_AUTH_SOCK and its keys\n"
"      --share-tmp        let CMD have the host's /tmp and /var/tmp\n"
"      --keep-fd NUMBER   leave this descriptor open for CMD\n"
"      --unsafe-fd        whatever it is\n"
"      --nested           allow CMD sandboxes of its own, also where the kernel\n"
"                         could keep it from every socket of the host's\n"
"      --no-userns        let CMD make no user namespace\n";

static const char	of_serve[] =
"Serves one virtual machine at a time on a UNIX-domain stream socket, until\n"
"SIGTERM.\n"
"\n"
"  -p, --policy FILE      the policy\n"
"      --stream SOCKET    where to listen; frames have their length before them\n"
"      --tenant NAME      the rules of this tenant, if the policy has several\n"
"      --guest NAME       what the records call the machine\n"
"      --guest-address ADDRESS[/LENGTH], --gateway ADDRESS\n"
"                         the machine's address and its gateway, of each family\n"
"      --mtu BYTES        of the link\n"
"      --checksum verify|trust\n"
"                         of the machine's packets; libkrun needs trust\n"
"      --ca-bundle FILE   who vouches for the policy's DNS over TLS\n"
"      --audit FILE       write the log there; else to a new file below\n"
"                         ~/.local/state/sallyport\n"
"      --keep NUMBER|all  of the logs there, the oldest go beyond that many, or\n"
"                         beyond a gigabyte; else beyond 100\n"
"      --durable before-data|before-connect|async\n"
"                         how far a record has to be before a flow goes on\n"
"      --ready-fd NUMBER  write there that clients may come; else to stdout\n"
"  -q, --quiet            say nothing at the end, and less at the start\n"
"  -v, --verbose          say what is denied as it happens; twice: much more\n";

static const char	of_check[] =
"Reads a policy and says what is wrong with it, line by line.\n"
"Exit status: 0 good, 1 errors, 2 warnings that are not acknowledged.\n"
"\n"
"      --all              every warning, and what is acknowledged, and why\n"
"  -n                     accepted; nothing is ever put in force\n"
"  -p                     print the policy in its canonical form\n"
"      --json             as JSON: answer.schema.json\n"
"  -q, --quiet            say nothing about a good one\n";

static const char	of_explain[] =
"Shows each step from a question to its verdict: of one connection (tcp, udp,\n"
"icmp), of a name that is resolved (dns), or of all ports of a name, an address\n"
"or a network (reach). Nothing is resolved or connected to.\n"
"Exit status: 0 allow, 1 deny, 2 none, 3 it depends on the first bytes.\n"
"\n"
"      --name NAME        the guest was given the address for this name\n"
"      --sni NAME         its first bytes are a ClientHello for this name\n"
"      --ech              which offers Encrypted Client Hello\n"
"      --host NAME        its first bytes are an HTTP request to this name\n"
"      --nothing          the server speaks first\n"
"      --undecided        its first bytes show no name\n"
"      --at DATE          on that day, or at that moment; else now\n"
"      --guest-address ADDRESS[/LENGTH], --gateway ADDRESS\n"
"                         of the guest's link, as for run\n"
"\n"
"      --all              all of a long answer, not a screen of it\n"
"      --json             as JSON: answer.schema.json\n"
"  -q, --quiet            say nothing; the exit status tells\n";

static const char	of_rules[] =
"Lists all that a policy says for one tenant, one thing a line: its rules with\n"
"their place and label, limits, the floor's exceptions, hosts, services.\n"
"TENANT may be left out if there is only one.\n"
"Exit status: 0 listed, 2 errors, or no such tenant.\n"
"\n"
"      --all              all entries of long lists\n"
"      --json             as JSON: answer.schema.json\n"
"  -q, --quiet            say nothing; the exit status tells\n";

static const char	of_learn[] =
"Writes the smallest policy that allows what the logs say was let through: those\n"
"of a tenant in `mode audit', or of `run --learn'. LOG is a log, which is read\n"
"with its retired segments, a directory of logs, or - for standard input; all\n"
"runs in them count.\n"
"\n"
"  -o, --output FILE      write FILE, not standard output; it must not be there\n"
"      --force            replace FILE if it is there\n"
"      --tenant TENANT    what this tenant did, and its name in the policy;\n"
"                         needed if the logs are of several\n"
"      --merge POLICY     write POLICY with what it does not allow yet, in the\n"
"                         tenant's block; nothing of it is changed\n"
"  -q, --quiet            say only what the policy lacks\n";

static const char	of_demo[] =
"Shows an allowed fetch, a refused one and one that no policy can allow, with the\n"
"records of each, in namespaces of its own and without any network.\n";

static const char	of_help[] =
"Without a COMMAND, says which there are.\n";

static const struct {
	const char	*name, *text;
} texts[] = {
	{ "run", of_run }, { "serve", of_serve }, { "check", of_check },
	{ "explain", of_explain },
	{ "rules", of_rules }, { "learn", of_learn },
	{ "demo", of_demo }, { "help", of_help },
};

void
help_print(const struct command *c)
{
	size_t	i;

	printf("usage: sallyport %s%s%s\n\n", c->name, *c->usage != '\0' ? " " : "",
	    c->usage);
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(texts[i].name, c->name) == 0)
			fputs(texts[i].text, stdout);
	printf("\nsallyport(1) says all.\n");
}

bool
help_wanted(const char *arg)
{
	return arg != NULL && (strcmp(arg, "-h") == 0 ||
	    strcmp(arg, "--help") == 0);
}
