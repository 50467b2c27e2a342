/*
 * sallyportd, the keeper: starts the rooms, holds the guest's link, and sees that
 * nobody is left when one of them or the command is gone.
 *
 * Trusts: the command that started it.
 * Must not: read a policy, a packet or a socket's data.
 */
#include <sys/signalfd.h>
#include <sys/stat.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "config.h"
#include "idmap.h"
#include "keeperd.h"
#include "place.h"
#include "seal.h"

#define SYSTEM_CA_BUNDLE	"/etc/ssl/certs/ca-certificates.crt"
#define START_SECONDS	15	/* for the broker, the log and the frame */
#define DEATH_SECONDS	2	/* for who has been killed */

/*
 * Opened once: a package upgrade under a running keeper cannot mix builds. Only
 * rules by name need resolver and inspector, which may be packages apart (the
 * first brings libunbound along): one that is wanted is missed in child_want().
 */
static void
open_programs(struct keeper *k)
{
	static const struct {
		enum role	 role;
		const char	*name;
		bool		 always;
	} all[] = {
		{ ROLE_BROKER, "sallyport-broker", true },
		{ ROLE_FRAME, "sallyport-frame", true },
		{ ROLE_RECORDER, "sallyport-recorder", true },
		{ ROLE_PARSER, "sallyport-parser", true },
		{ ROLE_RESOLVER, "sallyport-resolver", false },
		{ ROLE_INSPECTOR, "sallyport-inspector", false },
	};
	size_t	i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if ((k->exe[all[i].role] = place_open(all[i].name)) != -1)
			continue;
		if (all[i].always)
			fatal("%s: is Sallyport installed completely?",
			    all[i].name);
		else
			k->missing[all[i].role] = errno;
	}
}

static void
open_audit(struct keeper *k)
{
	k->audit_dir = open(k->opt.audit_dir,
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (k->audit_dir == -1)
		fatal("%s: the audit log's directory", k->opt.audit_dir);
}

/*
 * The authorities that vouch for a resolver's name in DNS over TLS. On a host
 * without the usual file there is none; one that was asked for must be there.
 */
static void
open_ca_bundle(struct keeper *k)
{
	const char	*path = k->opt.ca_bundle;

	struct stat	 st;

	if (path == NULL)
		path = SYSTEM_CA_BUNDLE;
	k->ca_bundle = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (k->ca_bundle == -1 && k->opt.ca_bundle == NULL)
		k->ca_bundle = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (k->ca_bundle == -1)
		fatal("--ca-bundle %s", path);
	if (k->opt.ca_bundle != NULL && (fstat(k->ca_bundle, &st) == -1 ||
	    !S_ISREG(st.st_mode)))
		fatalx("--ca-bundle %s: not a file", path);
}

static void
on_signal(int fd, short what, void *arg)
{
	struct signalfd_siginfo	 si;
	struct keeper		*k = arg;

	(void)what;
	if (read(fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	k->asked = true;
	life_stop(k);
}

/* TERM, INT and HUP end the set in order; SIGPIPE is an errno. */
static void
take_signals(struct keeper *k)
{
	struct sigaction	 sa = { .sa_handler = SIG_IGN };
	struct event		*ev;
	sigset_t		 set;
	int			 fd;

	sigaction(SIGPIPE, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_SETMASK, &set, NULL) == -1 ||
	    (fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) == -1)
		fatal("signalfd");
	ev = event_new(k->base, fd, EV_READ | EV_PERSIST, on_signal, k);
	if (ev == NULL)
		fatalx("no memory for events");
	if (event_add(ev, NULL) == -1)
		fatal("no epoll watch, for which see fs.epoll.max_user_watches");
}

/*
 * Whoever sleeps in the kernel, as on a disk that does not answer, dies when that
 * wakes him. It is not waited for: the command is, too.
 */
static void
leave(struct keeper *k)
{
	log_warnx("a process that was killed does not end; does a disk hang?");
	k->failed = true;
	command_end(k);
	event_base_loopbreak(k->base);
}

/* Whoever is awaited has not come: the set cannot go on. */
static void
on_deadline(int fd, short what, void *arg)
{
	struct keeper	*k = arg;

	(void)fd;
	(void)what;
	if (k->killed) {
		leave(k);
		return;
	}
	if (k->state != KEEPER_S_ENDING)
		log_warnx(k->state == KEEPER_S_STOPPING ?
		    "the broker did not end in time; it is killed" :
		    "the set did not come up within %d seconds",
		    START_SECONDS);
	child_kill(k, ROLE_BROKER);
	child_kill(k, ROLE_FRAME);
	child_kill(k, ROLE_RECORDER);
	child_kill(k, ROLE_RESOLVER);
	child_kill(k, ROLE_INSPECTOR);
	k->killed = k->failed = true;
	life_deadline(k, DEATH_SECONDS);
}

static void
setup(struct keeper *k)
{
	k->level[0] = (char)('0' + k->opt.level);
	k->state = KEEPER_S_START;
	k->link.keeper = k;
	k->link.fd = k->link.shared = -1;
	k->privileged = idmap_privileged() &&
	    idmap_has_uid(UID_BASE + 1) && idmap_has_uid(UID_BASE + 16);
	if (!k->privileged && geteuid() == 0)
		log_warnx("no ids of their own for the rooms here; they "
		    "run as uid 0 without a capability");
	open_programs(k);
	open_audit(k);
	open_ca_bundle(k);
	if (nursery_open(k) == -1)
		fatal("the nursery cannot be started%s", spawn_hint(errno));
	fd_drop(&k->ca_bundle);
	fd_drop(&k->exe[ROLE_RESOLVER]);
	k->base = chan_base();
	k->deadline = event_new(k->base, -1, 0, on_deadline, k);
	if (k->deadline == NULL)
		fatalx("no memory for events");
	child_init(k);
	bearers_init(k);
	take_signals(k);
	if (command_open(k) == -1)
		fatal("no channel to a command on fd %d", COMMAND_FD);
	if (k->opt.kind == LINK_STREAM && link_listen(&k->link) == -1)
		fatal("no listening socket on fd %d", LISTENER_FD);
}

/*
 * To ask for room first is not enough: a terminal may have some, but not for a line,
 * and a program that shares the pipe may fill it meanwhile. Our own description of
 * it does not wait; on the caller's the flag would be everybody's. Where it cannot
 * be opened, asking has to do.
 */
static void
own_stderr(void)
{
	struct stat	st;
	int		fd;

	if (fstat(STDERR_FILENO, &st) == -1 ||
	    (!S_ISFIFO(st.st_mode) && !isatty(STDERR_FILENO)))
		return;
	fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY |
	    O_CLOEXEC);
	if (fd != -1 && dup2(fd, STDERR_FILENO) == -1)
		fatal("stderr");
	fd_drop(&fd);
}

/* Should: come in this order; the broker's seal must not be inside ours. */
static int
start(struct keeper *k)
{
	uint64_t	len;
	int		policy = parse_policy(k, &len);

	if (policy == -1)
		return -1;
	fd_drop(&k->exe[ROLE_PARSER]);
	own_stderr();
	if (child_start(k, ROLE_BROKER) == -1) {
		log_warn("the broker cannot be started%s", spawn_hint(errno));
		fd_drop(&policy);
		return -1;
	}
	fd_drop(&k->exe[ROLE_BROKER]);
	hatch_policy(k, policy, len);
	fd_drop(&policy);
	life_deadline(k, START_SECONDS);
	return 0;
}

int
main(int argc, char **argv)
{
	static struct keeper	k;

	log_init("sallyport", STDERR_FILENO, LOG_LEVEL_WARN);
	log_wait_briefly();
	options_parse(&k.opt, argc, argv);
	log_set_level(k.opt.level);
	umask(077);		/* the caller's could take the log from its owner */
	seal_keeper_limits();
	seal_bounding();	/* the nursery's and the parser's are ours */
	setup(&k);
	if (start(&k) == -1) {
		command_end(&k);
		nursery_close(&k);
		return 1;
	}
	if (chdir("/") == -1)
		fatal("chdir /");
	log_never_wait();	/* from here on there are children to mind */
	seal_keeper(&k);
	event_base_dispatch(k.base);
	nursery_close(&k);
	return k.failed ? 1 : 0;
}
