/*
 * Pid 1 of CMD's pid namespace. It makes CMD's network and the files that it
 * sees, starts CMD as pid 2 in the caller's process group, reaps, tells the
 * command outside of stops and the end. When it goes, everything in here goes.
 *
 * Why pid 1 is not CMD, and CMD not a group leader of its own: pid 1 has no
 * default actions, and a group that is not the shell's loses ^Z.
 *
 * Trusts: the command outside. Must not: trust CMD, which has its uid and may send
 * it any signal but those that pid 1 never sees.
 */
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "fd.h"
#include "seal.h"

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
	struct run	own = *r;
	struct ctl	c;
	pid_t		cmd;
	int		sfd, status, files = -1;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1 ||
	    prctl(PR_SET_NAME, "sp-init", 0, 0, 0) == -1)
		fatal("prctl");
	if (ctl_wait(ctl, &c, NULL) == -1 || inside_network(&own, ctl) == -1 ||
	    ctl_wait(ctl, &c, &files) == -1 || c.type != CTL_GO)
		_exit(EXIT_MACHINERY);
	/* the limits before the files: /proc/sys can be read-only after that */
	if (confine_namespaces(r) == -1 || files == -1 ||
	    law_read(&own.law, files) == -1 || world_make(&own) == -1) {
		(void)ctl_send(ctl, CTL_ENDED, EXIT_MACHINERY);
		_exit(EXIT_MACHINERY);
	}
	sfd = child_signals();
	seal_bounding();	/* CMD's is ours, or its own namespace's */
	if ((cmd = begin_cmd(r)) == -1 ||
	    ctl_send(ctl, CTL_STARTED, 0) == -1)
		fatal("starting CMD");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		fatal("prctl");
	seal_caps_keep(&kill_cap, r->who.other || r->who.root ? 1 : 0);
	status = watch(ctl, sfd, cmd);
	sweep();
	(void)ctl_send(ctl, CTL_ENDED, status);
	_exit(0);
}
