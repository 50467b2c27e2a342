/*
 * Pid 1 of CMD's pid namespace. It makes CMD's network and the files that it
 * sees, starts CMD as pid 2 in the caller's process group, reaps, tells the
 * command outside of stops and the end. When it goes, everything in here goes.
 *
 * Why pid 1 is not CMD, and CMD not a group leader of its own: pid 1 has no
 * default actions, and a group that is not the shell's loses ^Z (processes.md, 5).
 *
 * Trusts: the command outside. Must not: trust CMD, which has its uid and may send
 * it any signal but those that pid 1 never sees.
 */
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "fd.h"
#include "seal.h"

static int
exec_status(int error)
{
	return error == ENOENT || error == ENOTDIR ? EXIT_NOT_FOUND :
	    EXIT_NOT_EXECUTABLE;
}

/* execvp(3) says EACCES too when a directory of PATH is closed to us. */
static bool
in_path(const char *name)
{
	const char	*dir = getenv("PATH"), *end;
	char		 path[PATH_MAX];
	int		 n;

	if (dir == NULL || strchr(name, '/') != NULL)
		return true;
	for (; dir != NULL; dir = *end == '\0' ? NULL : end + 1) {
		end = strchrnul(dir, ':');
		n = snprintf(path, sizeof(path), "%.*s/%s", (int)(end - dir),
		    end == dir ? "." : dir, name);
		if (n > 0 && (size_t)n < sizeof(path) &&
		    access(path, F_OK) == 0)
			return true;
	}
	return false;
}

/* Before exec in CMD's process, where the status tells whose fault it was. */
_Noreturn static void
cannot(const char *what)
{
	log_warn("starting CMD: %s", what);
	_exit(EXIT_MACHINERY);
}

static void
pass_fds(const struct run *r)
{
	size_t	i;

	if (syscall(SYS_close_range, STDERR_FILENO + 1, ~0u,
	    CLOSE_RANGE_CLOEXEC) == -1)
		cannot("close_range");
	for (i = 0; i < r->nkeep; i++)
		if (fd_cloexec(r->keep[i], false) == -1)
			cannot("--keep-fd");
}

static void
restore_signals(const struct run *r)
{
	int	sig;

	for (sig = 1; sig < NSIG; sig++)
		signal(sig, r->ignored[sig] ? SIG_IGN : SIG_DFL);
	sigprocmask(SIG_SETMASK, &r->mask, NULL);
}

/*
 * CMD: its ids, no capability, no_new_privs, the filter, nothing of ours open.
 * Should: become the user before the capabilities go.
 */
_Noreturn static void
cmd_main(const struct run *r)
{
	unsigned long	cap;
	int		error;

	/* the bounding set first: it takes a capability to give it up */
	for (cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
		;
	if (identity_become(&r->who) == -1)
		cannot("--user");
	seal_caps();
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    guard_load() == -1)
		cannot("its filter");
	seal_landlock_scope();
	pass_fds(r);
	restore_signals(r);
	execvp(r->cmd[0], r->cmd);
	error = errno;
	if (error == EACCES && !in_path(r->cmd[0]))
		error = ENOENT;
	errno = error;
	if (error == ENOENT && strchr(r->cmd[0], '/') == NULL)
		log_warnx("%s: no such program in PATH", r->cmd[0]);
	else if (error == EPERM)
		log_warn("%s: cannot be run; has it file capabilities (getcap(8)), "
		    "which CMD cannot have?", r->cmd[0]);
	else
		log_warn("%s: cannot be run", r->cmd[0]);
	_exit(exec_status(error));
}

/* Collects the dead. True when CMD is among them; *status is to be ours. */
static bool
reap(int ctl, pid_t cmd, int *status)
{
	siginfo_t	si;
	bool		ended = false;

	for (;;) {
		memset(&si, 0, sizeof(si));
		if (waitid(P_ALL, 0, &si, WEXITED | WSTOPPED | WNOHANG) == -1 ||
		    si.si_pid == 0)
			return ended;
		if (si.si_pid != cmd)
			continue;
		if (si.si_code == CLD_STOPPED || si.si_code == CLD_TRAPPED) {
			(void)ctl_send(ctl, CTL_STOPPED, si.si_status);
			continue;
		}
		ended = true;
		*status = si.si_code == CLD_EXITED ? si.si_status :
		    EXIT_SIGNALLED + si.si_status;
	}
}

/* A signal for CMD from outside. The end of the channel is ours. */
static void
obey(int ctl, pid_t cmd)
{
	struct ctl	c;
	ssize_t		n = fd_recv(ctl, &c, sizeof(c), NULL, NULL);

	if (n == (ssize_t)sizeof(c) && c.type == CTL_SIGNAL)
		kill(cmd, c.value);
	else if (n != -1 || (errno != EAGAIN && errno != EINTR))
		_exit(EXIT_MACHINERY);
}

static int
watch(int ctl, int sfd, pid_t cmd)
{
	struct signalfd_siginfo	si;
	struct pollfd		p[2] = { { .fd = ctl, .events = POLLIN },
				    { .fd = sfd, .events = POLLIN } };
	int			status = 0;

	for (;;) {
		if (poll(p, 2, -1) == -1)
			continue;
		if (p[0].revents != 0)
			obey(ctl, cmd);
		if (p[1].revents != 0 &&
		    read(sfd, &si, sizeof(si)) == (ssize_t)sizeof(si) &&
		    reap(ctl, cmd, &status))
			return status;
	}
}

/* Whatever CMD left running ends with it. */
static void
sweep(void)
{
	kill(-1, SIGKILL);
	while (waitid(P_ALL, 0, NULL, WEXITED) == 0 || errno == EINTR)
		;
	drain_wait();
}

static int
child_signals(void)
{
	sigset_t	set;
	int		fd;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd == -1)
		fatal("signalfd");
	return fd;
}

/*
 * The order: what needs the namespaces' capabilities, then CMD, then none for us
 * either. Signals are blocked since before the clone; SIGCHLD is read.
 */
_Noreturn void
init_main(const struct run *r, int ctl)
{
	/* To end what runs as somebody else; it reaches nobody outside. */
	static const unsigned int kill_cap = CAP_KILL;
	struct ctl	c;
	pid_t		cmd;
	int		sfd, status;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1 ||
	    prctl(PR_SET_NAME, "sp-init", 0, 0, 0) == -1)
		fatal("prctl");
	if (ctl_wait(ctl, &c, NULL) == -1 || inside_network(r, ctl) == -1 ||
	    ctl_wait(ctl, &c, NULL) == -1)
		_exit(EXIT_MACHINERY);
	if (world_make(r) == -1) {
		(void)ctl_send(ctl, CTL_ENDED, EXIT_MACHINERY);
		_exit(EXIT_MACHINERY);
	}
	sfd = child_signals();
	if ((cmd = fork()) == 0)
		cmd_main(r);
	if (cmd == -1 || ctl_send(ctl, CTL_STARTED, 0) == -1)
		fatal("starting CMD");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		fatal("prctl");
	seal_caps_keep(&kill_cap, r->who.other ? 1 : 0);
	status = watch(ctl, sfd, cmd);
	sweep();
	(void)ctl_send(ctl, CTL_ENDED, status);
	_exit(0);
}
