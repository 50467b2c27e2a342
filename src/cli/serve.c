/*
 * `sallyport serve': a virtual machine on a stream socket, in the foreground.
 *
 * The socket is made here and the keeper accepts on it; it is removed here, so
 * that nothing stays behind whatever becomes of the keeper.
 *
 * Trusts: the socket's mode, 0600, for who may connect.
 * Must not: remove a socket that somebody listens on, or one that it did not make.
 */
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

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

enum { OPT_STREAM = 256, OPT_TENANT, OPT_AUDIT, OPT_DURABLE, OPT_GUEST,
	OPT_ADDRESS, OPT_GATEWAY, OPT_MTU, OPT_CHECKSUM, OPT_READY, OPT_CA,
	OPT_LOGS };

static const struct option longopts[] = {
	{ "policy",	required_argument,	NULL, 'p' },
	{ "stream",	required_argument,	NULL, OPT_STREAM },
	{ "tenant",	required_argument,	NULL, OPT_TENANT },
	{ "audit",	required_argument,	NULL, OPT_AUDIT },
	{ "durable",	required_argument,	NULL, OPT_DURABLE },
	{ "keep",	required_argument,	NULL, OPT_LOGS },
	{ "guest",	required_argument,	NULL, OPT_GUEST },
	{ "guest-address", required_argument,	NULL, OPT_ADDRESS },
	{ "gateway",	required_argument,	NULL, OPT_GATEWAY },
	{ "mtu",	required_argument,	NULL, OPT_MTU },
	{ "ca-bundle",	required_argument,	NULL, OPT_CA },
	{ "checksum",	required_argument,	NULL, OPT_CHECKSUM },
	{ "ready-fd",	required_argument,	NULL, OPT_READY },
	{ "quiet",	no_argument,		NULL, 'q' },
	{ "verbose",	no_argument,		NULL, 'v' },
	{ NULL, 0, NULL, 0 }
};

#define BACKLOG		16	/* clients until the keeper looks */
#define READY_PATIENCE	1000	/* ms */
#define STREAM_MTU	1500	/* what a guest takes if nobody tells it */

struct serve {
	struct machine_spec spec;
	const char	*policy, *audit, *stream;
	uint32_t	 logs;		/* --keep; 0: not given */
	struct lease	 lease[2];
	int		 ready;		/* -1 = a line on stdout */
	int		 signals;
	struct hostconf	 host;
	char		 policy_path[4096], audit_path[4096];
	struct stat	 made;		/* our socket */
	bool		 up;
};

static int
words(struct serve *s, int c, const char *arg)
{
	if (c == OPT_DURABLE) {
		if (!durable_word(arg))
			return usage_error(-1, "serve", "--durable %s: want "
			    "before-data, before-connect or async", arg);
		s->spec.durable = arg;
		return 0;
	}
	if (strcmp(arg, "verify") != 0 && strcmp(arg, "trust") != 0)
		return usage_error(-1, "serve", "--checksum %s: want verify or "
		    "trust", arg);
	s->spec.trust_csum = *arg == 't';
	return 0;
}

static int
numbers(struct serve *s, int c, const char *arg)
{
	long	n;

	if (c == OPT_MTU) {
		n = parse_number("--mtu", arg, MTU_MIN, MTU_MAX);
		s->spec.mtu = (uint32_t)n;
		return n == -1 ? -1 : 0;
	}
	if ((n = parse_number("--ready-fd", arg, 1, 1 << 20)) == -1)
		return -1;
	if (fcntl((int)n, F_GETFD) == -1) {
		log_warn("--ready-fd %ld", n);
		return -1;
	}
	s->ready = (int)n;
	return 0;
}

static int
one_option(struct serve *s, int c, char *arg)
{
	if (c == 'p')
		s->policy = arg;
	else if (c == OPT_STREAM)
		s->stream = arg;
	else if (c == OPT_TENANT)
		s->spec.tenant = arg;
	else if (c == OPT_AUDIT)
		s->audit = arg;
	else if (c == OPT_GUEST)
		s->spec.guest = arg;
	else if (c == OPT_ADDRESS)
		return lease_address(s->lease, "serve", arg);
	else if (c == OPT_GATEWAY)
		return lease_gateway(s->lease, "serve", arg);
	else if (c == OPT_LOGS)
		return (s->logs = prune_limit("serve", arg)) == 0 ? -1 : 0;
	else if (c == OPT_CA)
		s->spec.ca_bundle = arg;
	else if (c == 'q')
		s->spec.quiet = true;
	else if (c == 'v')
		s->spec.level += s->spec.level < LOG_LEVEL_DEBUG;
	else if (c == OPT_MTU || c == OPT_READY)
		return numbers(s, c, arg);
	else
		return words(s, c, arg);
	return 0;
}

static int
check(struct serve *s)
{
	size_t	i;

	if (s->policy == NULL || s->stream == NULL)
		return usage_error(-1, "serve", "-p POLICY and --stream SOCKET "
		    "are needed");
	if (s->spec.tenant != NULL && strlen(s->spec.tenant) >= TENANT_MAX)
		return usage_error(-1, "serve", "--tenant: longer than %d "
		    "bytes", TENANT_MAX - 1);
	if (!guest_word("serve", s->spec.guest))
		return -1;
	if (s->logs != 0 && s->audit != NULL)
		return usage_error(-1, "serve", "--keep is about the logs that "
		    "have no --audit of their own, which are never removed");
	if (lease_serve(s->lease) == -1)
		return -1;
	for (i = 0; i < 2; i++)
		if (s->lease[i].guest.family != ADDR_NONE) {
			s->spec.address[i] = s->lease[i].address;
			s->spec.gateway[i] = s->lease[i].router;
		}
	return 0;
}

static int
parse(struct serve *s, int argc, char **argv)
{
	int	c;

	s->ready = s->spec.listener = -1;
	s->spec.mtu = STREAM_MTU;
	s->spec.link = "stream";
	s->spec.guest = "vm";
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:p:qv", longopts, NULL)) != -1) {
		if (c == ':')
			return usage_error(-1, "serve", "%s needs a value",
			    argv[optind - 1]);
		if (c == '?' && help_wanted(argv[optind - 1]))
			help_and_exit("serve");
		if (c == '?')
			return usage_error(-1, "serve", "no option %s",
			    argv[optind - 1]);
		if (one_option(s, c, optarg) == -1)
			return -1;
	}
	if (optind != argc)
		return usage_error(-1, "serve", "what is %s for?",
		    argv[optind]);
	return check(s);
}

/*
 * True if a socket is behind the name; then it is somebody's. Asked with the
 * wrong type, EPROTOTYPE, lest the other side takes us for its client.
 */
static bool
in_use(const struct sockaddr_un *a)
{
	int	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool	yes;

	if (fd == -1)
		return true;
	yes = connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 ||
	    errno != ECONNREFUSED;
	close(fd);
	return yes;
}

/* A socket that nobody answers on is what a killed predecessor left. */
static int
clear_stale(const struct sockaddr_un *a)
{
	struct stat	st;

	if (lstat(a->sun_path, &st) == -1)
		return 0;
	if (!S_ISSOCK(st.st_mode)) {
		log_warnx("--stream %s: is there, and not a socket", a->sun_path);
		return -1;
	}
	if (in_use(a)) {
		log_warnx("--stream %s: another program listens on it",
		    a->sun_path);
		return -1;
	}
	return unlink(a->sun_path);
}

/* A second client is accepted too, and turned away by the keeper. */
static int
listen_at(struct serve *s)
{
	struct sockaddr_un	a = { .sun_family = AF_UNIX };
	mode_t			mask;
	int			fd, r;

	if (strlen(s->stream) >= sizeof(a.sun_path)) {
		log_warnx("--stream: the path has more than %zu bytes",
		    sizeof(a.sun_path) - 1);
		return -1;
	}
	memcpy(a.sun_path, s->stream, strlen(s->stream));
	if (clear_stale(&a) == -1)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1) {
		log_warn("socket");
		return -1;
	}
	(void)fd_refuse_fds(fd);
	mask = umask(0177);
	r = bind(fd, (const struct sockaddr *)&a, sizeof(a));
	umask(mask);
	if (r == -1 || lstat(a.sun_path, &s->made) == -1 ||
	    listen(fd, BACKLOG) == -1) {
		log_warn("--stream %s", a.sun_path);
		fd_drop(&fd);
	}
	return fd;
}

static void
remove_socket(const struct serve *s)
{
	struct stat	st;

	if (lstat(s->stream, &st) == 0 && st.st_ino == s->made.st_ino &&
	    st.st_dev == s->made.st_dev)
		unlink(s->stream);
}

/* Who does not read it is not waited for: signals have to be. */
static void
say_ready(const struct serve *s)
{
	struct pollfd	p = { .fd = s->ready == -1 ? STDOUT_FILENO : s->ready,
			    .events = POLLOUT };
	char		line[256];
	int		n;

	n = snprintf(line, sizeof(line), "ready: %s\n", s->stream);
	if (poll(&p, 1, READY_PATIENCE) == 0)
		log_warnx("nobody reads that we are ready");
	else if (fd_write_all(p.fd, line, (size_t)n) == -1)
		log_warn("saying that we are ready");
	if (s->ready != -1)
		close(s->ready);
}

static int
take_signals(void)
{
	sigset_t	set;
	int		fd;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if ((fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) == -1)
		fatal("signalfd");
	return fd;
}

/* Until a signal, at whatever time, or the keeper's end. True: we were asked. */
static bool
loop(struct serve *s, struct machine *m)
{
	struct pollfd	p[3] = { { .fd = m->chan, .events = POLLIN },
			    { .fd = s->signals, .events = POLLIN },
			    { .events = POLLIN } };
	struct follow	f;

	follow_open(&f, NULL, m, &s->host);
	for (;;) {
		p[2].fd = f.fd;
		if (poll(p, 3, follow_timeout(&f)) == -1)
			continue;
		follow_work(&f);
		if (p[1].revents != 0)
			return true;
		switch (machine_read(m)) {
		case MACHINE_NOTHING:
			break;
		case MACHINE_UP:
			s->up = true;
			say_ready(s);
			break;
		default:
			if (s->up)
				log_warnx("a part of Sallyport died");
			return false;
		}
	}
}

static int
serve(struct serve *s)
{
	struct machine	m;
	bool		asked;

	if (machine_start(&m, &s->spec) == -1)
		return EXIT_MACHINERY;
	fd_drop(&s->spec.listener);
	asked = loop(s, &m);
	if (!machine_finish(&m) || !asked)
		return EXIT_MACHINERY;
	if (s->up && !s->spec.quiet)
		machine_report(&m, s->audit_path);
	return 0;
}

int
cmd_serve(int argc, char **argv)
{
	static struct serve	s;
	struct rlimit		caller[LIMITS_OURS];
	int			status;

	if (parse(&s, argc, argv) == -1)
		return EXIT_USAGE;
	log_set_level((enum log_level)s.spec.level);
	log_wait_briefly();
	s.signals = take_signals();
	if (limits_take(caller, s.spec.quiet) == -1 ||
	    where_policy(s.policy, s.policy_path, sizeof(s.policy_path)) == -1 ||
	    where_audit(s.audit, s.logs, s.audit_path, sizeof(s.audit_path)) == -1 ||
	    (s.spec.listener = listen_at(&s)) == -1)
		return EXIT_MACHINERY;
	s.spec.policy = s.policy_path;
	s.spec.audit = s.audit_path;
	hostconf_read(&s.host);
	s.spec.host = &s.host;
	status = serve(&s);
	remove_socket(&s);
	return status;
}
