/*
 * `sallyport run': one command behind two doors.
 *
 * CMD's namespaces first, then the keeper with the rooms, then CMD; and backwards
 * at the end. In between this process relays: signals inwards, stops and the
 * status outwards (wait.c).
 *
 * Trusts: the user. Must not: start CMD before the policy is in force and the log
 * durable.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "fd.h"
#include "place.h"
#include "seal.h"

enum { OPT_TENANT = 256, OPT_AUDIT, OPT_DURABLE, OPT_MTU, OPT_USER, OPT_KEEP,
	OPT_EXPOSE, OPT_SHARE_TMP, OPT_AGENT, OPT_NESTED, OPT_UNSAFE,
	OPT_NO_USERNS, OPT_PLAIN, OPT_LEARN, OPT_CA, OPT_ADDRESS, OPT_GATEWAY,
	OPT_LOGS, OPT_GUEST, OPT_NO_COMMAND };

static const struct option longopts[] = {
	{ "policy",	required_argument,	NULL, 'p' },
	{ "tenant",	required_argument,	NULL, OPT_TENANT },
	{ "audit",	required_argument,	NULL, OPT_AUDIT },
	{ "durable",	required_argument,	NULL, OPT_DURABLE },
	{ "keep",	required_argument,	NULL, OPT_LOGS },
	{ "guest",	required_argument,	NULL, OPT_GUEST },
	{ "no-command",	no_argument,		NULL, OPT_NO_COMMAND },
	{ "guest-address", required_argument,	NULL, OPT_ADDRESS },
	{ "gateway",	required_argument,	NULL, OPT_GATEWAY },
	{ "mtu",	required_argument,	NULL, OPT_MTU },
	{ "user",	required_argument,	NULL, OPT_USER },
	{ "keep-fd",	required_argument,	NULL, OPT_KEEP },
	{ "unsafe-fd",	no_argument,		NULL, OPT_UNSAFE },
	{ "no-userns",	no_argument,		NULL, OPT_NO_USERNS },
	{ "expose",	required_argument,	NULL, OPT_EXPOSE },
	{ "share-tmp",	no_argument,		NULL, OPT_SHARE_TMP },
	{ "ssh-agent",	no_argument,		NULL, OPT_AGENT },
	{ "nested",	no_argument,		NULL, OPT_NESTED },
	{ "learn",	required_argument,	NULL, OPT_LEARN },
	{ "ca-bundle",	required_argument,	NULL, OPT_CA },
	{ "no-offload",	no_argument,		NULL, OPT_PLAIN },
	{ "ipv4-only",	no_argument,		NULL, '4' },
	{ "ipv6-only",	no_argument,		NULL, '6' },
	{ "quiet",	no_argument,		NULL, 'q' },
	{ "verbose",	no_argument,		NULL, 'v' },
	{ NULL, 0, NULL, 0 }
};

/* Checked now, before a descriptor of ours could take the number. */
static int
keep_fd(struct run *r, const char *text)
{
	long	n = parse_number("--keep-fd", text, 0, 1 << 20);

	if (n == -1)
		return -1;
	if (fcntl((int)n, F_GETFD) == -1) {
		log_warn("--keep-fd %ld", n);
		return -1;
	}
	r->keep[r->nkeep++] = (int)n;
	return 0;
}

static int
values(struct run *r, int c, const char *arg)
{
	long	n;

	if (c == OPT_KEEP)
		return keep_fd(r, arg);
	if (c == OPT_LOGS)
		return (r->logs = prune_limit("run", arg)) == 0 ? -1 : 0;
	if (c == OPT_ADDRESS)
		return lease_address(r->lease, "run", arg);
	if (c == OPT_GATEWAY)
		return lease_gateway(r->lease, "run", arg);
	if ((n = parse_number("--mtu", arg, MTU_MIN, MTU_MAX)) == -1)
		return -1;
	r->mtu = (uint32_t)n;
	return 0;
}

static int
one_option(struct run *r, int c, char *arg)
{
	if (c == 'p')
		r->policy = arg;
	else if (c == OPT_TENANT)
		r->tenant = arg;
	else if (c == OPT_AUDIT)
		r->audit = arg;
	else if (c == OPT_DURABLE)
		r->durable = arg;
	else if (c == OPT_GUEST)
		r->guest = arg;
	else if (c == OPT_NO_COMMAND)
		r->no_command = true;
	else if (c == OPT_USER)
		r->user = arg;
	else if (c == OPT_EXPOSE)
		r->expose[r->nexpose++] = arg;
	else if (c == OPT_SHARE_TMP)
		r->share_tmp = true;
	else if (c == OPT_AGENT)
		r->ssh_agent = true;
	else if (c == OPT_NESTED)
		r->nested = true;
	else if (c == OPT_LEARN)
		r->learn = arg;
	else if (c == OPT_CA)
		r->ca_bundle = arg;
	else if (c == OPT_UNSAFE)
		r->unsafe = true;
	else if (c == OPT_NO_USERNS)
		r->no_userns = true;
	else if (c == OPT_PLAIN)
		r->offload = false;
	else if (c == '4')
		r->v6 = false;
	else if (c == '6')
		r->v4 = false;
	else if (c == 'q')
		r->quiet = true;
	else if (c == 'v')
		r->level += r->level < LOG_LEVEL_DEBUG;
	else
		return values(r, c, arg);
	return 0;
}

static int
check(const struct run *r)
{
	if (!r->v4 && !r->v6)
		return usage_error(-1, "run", "-4 and -6 leave no address");
	if (r->cmd[0] == NULL)
		return usage_error(-1, "run", "CMD is missing");
	if ((r->policy != NULL && *r->policy == '\0') ||
	    (r->audit != NULL && *r->audit == '\0') ||
	    (r->learn != NULL && *r->learn == '\0'))
		return usage_error(-1, "run", "-p, --audit and --learn need a "
		    "file's name");
	if (r->learn != NULL && (r->policy != NULL || r->tenant != NULL))
		return usage_error(-1, "run", "--learn brings its own policy: "
		    "neither -p nor --tenant goes with it");
	if (r->learn != NULL && r->audit != NULL &&
	    strcmp(r->learn, r->audit) == 0)
		return usage_error(-1, "run", "--learn and --audit: one file "
		    "cannot be both");
	if (r->logs != 0 && r->audit != NULL)
		return usage_error(-1, "run", "--keep is about the logs that "
		    "have no --audit of their own, which are never removed");
	if (!guest_word("run", r->guest))
		return -1;
	if (r->tenant != NULL && strlen(r->tenant) >= TENANT_MAX)
		return usage_error(-1, "run", "--tenant: longer than %d bytes",
		    TENANT_MAX - 1);
	if (r->durable != NULL && !durable_word(r->durable))
		return usage_error(-1, "run", "--durable %s: want before-data, "
		    "before-connect or async", r->durable);
	return 0;
}

static int
parse(struct run *r, int argc, char **argv)
{
	int	c;

	r->v4 = r->v6 = r->offload = true;
	r->guest = "run";
	r->keep = calloc((size_t)argc, sizeof(*r->keep));
	r->expose = calloc((size_t)argc, sizeof(*r->expose));
	if (r->keep == NULL || r->expose == NULL) {
		log_warnx("no memory");
		return -1;
	}
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:p:46qv", longopts, NULL)) != -1) {
		if (c == ':')
			return usage_error(-1, "run", "%s needs a value",
			    argv[optind - 1]);
		if (c == '?' && help_wanted(argv[optind - 1]))
			help_and_exit("run");
		if (c == '?')
			return usage_error(-1, "run", "no option %s",
			    argv[optind - 1]);
		if (one_option(r, c, optarg) == -1)
			return -1;
	}
	r->cmd = argv + optind;
	if (r->mtu == 0)
		r->mtu = linkmtu();
	return check(r) == -1 ? -1 : lease_run(r->lease, "run", r->v4, r->v6);
}

static int
start_machine(struct machine *m, const struct run *r, const struct guestns *g)
{
	struct machine_spec	s = { .policy = r->policy_path,
				    .audit = r->audit_path,
				    .tenant = r->tenant,
				    .durable = r->durable, .guest = r->guest,
				    .link = "tap", .mtu = r->mtu,
				    .ca_bundle = r->ca_bundle,
				    .command = r->no_command ? NULL :
					r->cmd,
				    .quiet = r->quiet, .host = &r->host,
				    .level = r->level, .listener = -1 };
	size_t			i;

	for (i = 0; i < 2; i++)
		if ((g->families & 1u << i) != 0) {
			s.address[i] = r->lease[i].address;
			s.gateway[i] = r->lease[i].router;
		}
	if (machine_start(m, &s) == -1)
		return -1;
	if (machine_link(m, g->tap, g->flags) == -1)
		log_debug("sallyportd did not take the tap");
	return 0;
}

/* `log': its path, if that still leads to it. */
static void
say_unwell(const struct run *r, const struct wait *w, const char *log)
{
	if (w->ended)
		log_warnx("CMD ended with status %d, but a part of Sallyport "
		    "died or the audit log is not all there%s%s", w->status,
		    log != NULL ? ": " : "", log != NULL ? log : "");
	else
		log_warnx("a part of Sallyport died; CMD was ended with it");
	if (r->learn != NULL)
		log_warnx("--learn: %s is not written", r->learn);
}

/* CMD is over, or never was; the machinery ends, and the sum is told. */
static int
finish(struct run *r, struct machine *m, struct wait *w)
{
	const char	*law = w->began ? law_replaced(r) : NULL;
	bool	well;
	bool	found;

	if (law != NULL)
		machine_law(m, law);
	well = machine_finish(m);
	found = !w->began || held_log(r);
	well = well && found;
	if (!well && w->began)
		say_unwell(r, w, found ? r->audit_path : NULL);
	if (well && w->began && !r->quiet)
		machine_report(m, r->audit_path);
	if (w->ended && w->status != 0 && w->status < EXIT_MACHINERY &&
	    !r->quiet)
		outside_hint(r);
	if (well && w->began && r->learn != NULL && learn_write(r, w->status) == -1)
		return EXIT_MACHINERY;
	return well || !w->began ? w->status : EXIT_MACHINERY;
}

static int
run_in(struct run *r)
{
	struct guestns	g;
	struct machine	m;
	struct wait	w = { .run = r, .guest = &g, .machine = &m,
			    .status = EXIT_MACHINERY };
	int		status;

	if (guestns_make(&g, r) == -1)
		return EXIT_MACHINERY;
	if (start_machine(&m, r, &g) == -1) {
		guestns_kill(&g);
		return EXIT_MACHINERY;
	}
	fd_drop(&g.tap);
	wait_for(&w);
	guestns_kill(&g);
	status = finish(r, &m, &w);
	wait_terminal_back(&w);
	return status;
}

/* The one given or found, or, to learn, ours that allows what the floor leaves. */
static int
find_policy(struct run *r)
{
	if (r->learn == NULL)
		return where_policy(r->policy, r->policy_path,
		    sizeof(r->policy_path));
	if (place_policy(r->policy_path, sizeof(r->policy_path),
	    "learn.conf") == -1) {
		log_warn("learn.conf");
		return -1;
	}
	return learn_check(r->learn);
}

/* What CMD's world depends on, as it is now. */
static int
look_around(struct run *r)
{
	if (r->share_tmp && !r->quiet)
		log_warnx("--share-tmp: CMD can reach whatever listens in /tmp: "
		    "tmux, the X server, agents");
	if (r->nested && !r->quiet && seal_landlock_has_sockets())
		log_warnx("--nested: a socket that is made from now on, in a "
		    "directory of the host's that is not known to hold any, is "
		    "open to CMD");
	hostconf_read(&r->host);
	private_find(r);
	outside_look(r);
	etc_remember(r);
	return expose_find(r);
}

int
cmd_run(int argc, char **argv)
{
	static struct run	r;

	if (parse(&r, argc, argv) == -1)
		return EXIT_MACHINERY;
	log_set_level((enum log_level)r.level);
	log_wait_briefly();	/* CMD's end is not to depend on who reads */
	confine_read(&r.limits);
	if (limits_take(r.limits.caller, r.quiet) == -1 ||
	    inherit_check(&r) == -1 ||
	    identity_find(&r.who, r.user) == -1 ||
	    find_policy(&r) == -1 ||
	    where_own_audit(r.audit, r.logs, r.audit_path, sizeof(r.audit_path)) == -1 ||
	    held_open(&r) == -1)
		return EXIT_MACHINERY;
	if (look_around(&r) == -1)
		return EXIT_MACHINERY;
	wait_signals(&r);
	return run_in(&r);
}
