/*
 * The keeper as the command sees it: started, given the link, waited for.
 *
 * It runs in a session of its own, so that the terminal's signals are CMD's alone
 * and a hang-up of the terminal does not cut the log. If we die, it sees the end
 * of its channel and ends everything in order.
 *
 * Trusts: the program of this build. Must not: signal it before its time; it has
 * a log to close.
 */
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "fd.h"
#include "hint.h"
#include "place.h"
#include "reason.h"

#define FIRST_FD	3	/* channel; then the listener */
#define ARGS_MAX	(64 + 2 * COMMAND_LINE_MAX)
#define FINISH_SECONDS	20	/* the keeper's own deadlines are shorter */

struct args {
	const char	*v[ARGS_MAX];
	size_t		 n;
	char		 mtu[16], level[16];
	struct hostconf	 host;
	char		 upstream[UPSTREAM_MAX][UPSTREAM_STRLEN], timeout[24];
	char		 command[COMMAND_LINE_MAX];
};

static void
add(struct args *a, const char *option, const char *value)
{
	if (value == NULL)
		return;
	a->v[a->n++] = option;
	a->v[a->n++] = value;
}

static void
add_host(struct args *a)
{
	const struct host_resolver	*h = &a->host.host;
	uint32_t			 i;

	for (i = 0; i < h->n; i++)
		add(a, "--upstream", hostconf_upstream(&a->host, i,
		    a->upstream[i]));
	if (h->rotate)
		add(a, "--resolver-option", "rotate");
	if (h->tcp)
		add(a, "--resolver-option", "use-vc");
	if (h->patience == 0)
		return;
	snprintf(a->timeout, sizeof(a->timeout), "timeout:%u", h->patience);
	add(a, "--resolver-option", a->timeout);
}

/*
 * What the log tells of a command line: its first bytes. More of it is of no use
 * there, and who wrote its secrets behind them has not told them.
 */
static void
add_command(struct args *a, char *const *argv)
{
	size_t	at = 0, len;

	for (; *argv != NULL && at < sizeof(a->command); argv++) {
		len = strnlen(*argv, sizeof(a->command) - at - 1);
		if (len == 0 && **argv != '\0')
			break;			/* nothing of it fits */
		memcpy(a->command + at, *argv, len);	/* and a NUL is there */
		add(a, "--command", a->command + at);
		at += len + 1;
		if ((*argv)[len] != '\0')
			break;
	}
	if (*argv != NULL)
		a->v[a->n++] = "--command-cut";
}

static void
build_args(struct args *a, const struct machine_spec *s)
{
	size_t	i;

	memset(a, 0, sizeof(*a));
	snprintf(a->mtu, sizeof(a->mtu), "%u", s->mtu);
	snprintf(a->level, sizeof(a->level), "%d", s->level);
	a->v[a->n++] = "sallyportd";
	a->v[a->n++] = "--one-guest";
	add(a, "--policy", s->policy);
	add(a, "--audit", s->audit);
	add(a, "--tenant", s->tenant);
	add(a, "--guest", s->guest);
	add(a, "--durable", s->durable);
	add(a, "--link", s->link);
	add(a, "--mtu", a->mtu);
	add(a, "--level", a->level);
	for (i = 0; i < 2; i++) {
		add(a, "--address", s->address[i]);
		add(a, "--gateway", s->gateway[i]);
	}
	a->host = *s->host;
	add_host(a);
	add(a, "--ca-bundle", s->ca_bundle);
	if (s->command != NULL)
		add_command(a, s->command);
	if (s->trust_csum)
		a->v[a->n++] = "--trust-csum";
	if (s->quiet)
		a->v[a->n++] = "--quiet";
}

/*
 * Between clone and exec: the channel on 3, the listener on 4, our stderr for
 * messages, no environment, default signals. What asks it to end waits until it can
 * end in order: it would die of that before it has a signalfd, and so would we say
 * that it failed.
 */
_Noreturn static void
become_keeper(const struct args *a, int exe, int chan, int listener)
{
	static char	*const empty[] = { NULL };
	sigset_t	 later;
	int		 null = open("/dev/null", O_RDWR);

	exe = fcntl(exe, F_DUPFD_CLOEXEC, 16);
	chan = fcntl(chan, F_DUPFD_CLOEXEC, 16);
	if (listener != -1)
		listener = fcntl(listener, F_DUPFD_CLOEXEC, 16);
	if (null == -1 || exe == -1 || chan == -1 ||
	    dup2(null, STDIN_FILENO) == -1 || dup2(null, STDOUT_FILENO) == -1)
		fatal("sallyportd: descriptors");
	close(FIRST_FD + 1);
	if (dup2(chan, FIRST_FD) == -1 ||
	    (listener != -1 && dup2(listener, FIRST_FD + 1) == -1))
		fatal("sallyportd: descriptors");
	if (syscall(SYS_close_range, FIRST_FD + 2, ~0u,
	    CLOSE_RANGE_CLOEXEC) == -1)
		fatal("close_range");
	setsid();
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&later);
	sigaddset(&later, SIGTERM);
	sigaddset(&later, SIGINT);
	sigaddset(&later, SIGHUP);
	sigprocmask(SIG_SETMASK, &later, NULL);
	syscall(SYS_execveat, exe, "", a->v, empty, AT_EMPTY_PATH);
	fatal("sallyportd: exec");
}

/* With its path, because without one of its programs no build tree is known as one. */
static int
keeper_open(void)
{
	char	path[PATH_MAX] = "sallyportd";
	int	exe = place_open("sallyportd"), error = errno;

	if (exe != -1)
		return exe;
	(void)place_program(path, sizeof(path), "sallyportd");
	errno = error;
	log_warn("%s: is Sallyport installed completely, or all of it built?",
	    path);
	return -1;
}

int
machine_start(struct machine *m, const struct machine_spec *s)
{
	struct args	a;
	int		pair[2], exe;
	pid_t		pid;

	memset(m, 0, sizeof(*m));
	m->chan = m->pidfd = m->files = -1;
	if ((exe = keeper_open()) == -1)
		return -1;
	if (fd_channel(pair) == -1) {
		log_warn("socketpair");
		fd_drop(&exe);
		return -1;
	}
	build_args(&a, s);
	pid = (pid_t)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &m->pidfd,
	    NULL, NULL);
	if (pid == 0)
		become_keeper(&a, exe, pair[1], s->listener);
	fd_drop(&exe);
	fd_drop(&pair[1]);
	m->chan = pair[0];
	if (pid == -1) {
		log_warn("starting sallyportd%s", errno == EAGAIN ? ", as the "
		    "user's limit of processes (ulimit -u) is used up" : "");
		fd_drop(&m->chan);
		return -1;
	}
	return 0;
}

int
machine_link(struct machine *m, int tap, uint32_t flags)
{
	struct keeper_link	l;

	wire_begin(&l, sizeof(l), KEEPER_LINK, 0);
	l.flags = flags;
	return fd_send(m->chan, &l, sizeof(l), tap);
}

enum machine_news
machine_read(struct machine *m)
{
	union {
		struct wire_head	head;
		struct keeper_summary	down;
	} in;
	ssize_t	n;
	int	fd;

	memset(&in, 0, sizeof(in));
	n = fd_recv(m->chan, &in, sizeof(in), &fd, NULL);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return MACHINE_NOTHING;
	if (fd != -1) {
		fd_drop(&m->files);
		m->files = fd;
	}
	if (n == (ssize_t)sizeof(in.head) && in.head.type == KEEPER_UP)
		return MACHINE_UP;
	if (n == (ssize_t)sizeof(in.head) && in.head.type == KEEPER_FAILED)
		return MACHINE_FAILED;
	if (n == (ssize_t)sizeof(in.down) && in.head.type == KEEPER_DOWN) {
		m->summary = in.down;
		return MACHINE_DOWN;
	}
	return MACHINE_GONE;
}

static void
reap(struct machine *m)
{
	struct pollfd	p = { .fd = m->pidfd, .events = POLLIN };

	while (poll(&p, 1, FINISH_SECONDS * 1000) == -1 && errno == EINTR)
		;
	if ((p.revents & POLLIN) == 0)
		syscall(SYS_pidfd_send_signal, m->pidfd, SIGKILL, NULL, 0);
	waitid(P_PIDFD, (id_t)m->pidfd, NULL, WEXITED);
	fd_drop(&m->pidfd);
	fd_drop(&m->chan);
	fd_drop(&m->files);
}

void
machine_upstreams(struct machine *m, const struct host_resolver *h)
{
	struct keeper_host	u;

	wire_begin(&u, sizeof(u), KEEPER_UPSTREAMS, 0);
	u.host = *h;
	(void)fd_send(m->chan, &u, sizeof(u), -1);
}

void
machine_law(struct machine *m, const char *path)
{
	struct keeper_law	l;

	wire_begin(&l, sizeof(l), KEEPER_LAW, 0);
	memcpy(l.path, path, strnlen(path, sizeof(l.path) - 1));
	(void)fd_send(m->chan, &l, sizeof(l), -1);
}

bool
machine_finish(struct machine *m)
{
	enum machine_news	news = MACHINE_NOTHING;
	struct wire_head	finish;
	struct pollfd		p = { .fd = m->chan, .events = POLLIN };

	wire_begin(&finish, sizeof(finish), KEEPER_FINISH, 0);
	(void)fd_send(m->chan, &finish, sizeof(finish), -1);
	while (news < MACHINE_DOWN) {
		if (poll(&p, 1, FINISH_SECONDS * 1000) == -1 && errno == EINTR)
			continue;
		if ((news = machine_read(m)) == MACHINE_NOTHING)
			break;
	}
	reap(m);
	return news == MACHINE_DOWN && m->summary.failed == 0;
}

/* What most were denied for, and what to write; a reason is never the guest's word. */
static void
report_denied(const struct keeper_summary *s)
{
	const char	*hint;
	size_t		 i;

	for (i = 0; i < KEEPER_WHY && s->why[i].n > 0; i++) {
		hint = hint_of(s->why[i].reason);
		log_warnx("%llu denied, %s%s%s",
		    (unsigned long long)s->why[i].n,
		    reason_name(s->why[i].reason), *hint == '\0' ? "" : ": ",
		    hint);
	}
}

void
machine_report(const struct machine *m, const char *audit)
{
	char	tried[48] = "";

	report_denied(&m->summary);
	if (m->summary.tried > 0)
		snprintf(tried, sizeof(tried), ", %llu tried",
		    (unsigned long long)m->summary.tried);
	log_warnx("flows: %llu allowed, %llu denied%s; bytes: %llu up, "
	    "%llu down; audit log: %s",
	    (unsigned long long)m->summary.allowed,
	    (unsigned long long)m->summary.denied, tried,
	    (unsigned long long)m->summary.up,
	    (unsigned long long)m->summary.down, audit);
}
