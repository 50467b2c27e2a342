/*
 * Between start and end of CMD: signals inwards, stops and the status outwards.
 *
 * The terminal's signals (^C, ^Z, ^\, a hang-up) reach CMD by itself, since it is
 * in our process group; they come from the kernel and are dropped here. What a
 * process sends to us is meant for CMD and passed on. When CMD stops, we stop, so
 * that the shell sees the job stop; when the shell continues us, CMD goes on.
 *
 * Trusts: init, until CMD runs; then only its status, which is CMD's to choose.
 * Must not: die of a signal while CMD lives.
 */
#include <sys/signalfd.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "fd.h"

static const int relayed[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1,
	SIGUSR2, SIGTSTP, SIGTTIN, SIGTTOU, SIGALRM, SIGWINCH };
#define NRELAYED	(sizeof(relayed) / sizeof(relayed[0]))

/*
 * What CMD is to start with is kept first. SIGCHLD is blocked for init, which
 * inherits the mask and reads it; SIGPIPE is an errno here.
 */
void
wait_signals(struct run *r)
{
	struct sigaction	sa;
	sigset_t		set;
	size_t			i;
	int			sig;

	for (sig = 1; sig < NSIG; sig++)
		r->ignored[sig] = sigaction(sig, NULL, &sa) == 0 &&
		    sa.sa_handler == SIG_IGN;
	sigemptyset(&set);
	for (i = 0; i < NRELAYED; i++)
		sigaddset(&set, relayed[i]);
	sigaddset(&set, SIGCHLD);
	signal(SIGCHLD, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, &r->mask);
}

/* The terminal, if we are in its foreground and CMD is going to be. */
static void
terminal_find(struct wait *w)
{
	w->tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (w->tty != -1 && tcgetpgrp(w->tty) != getpgrp())
		fd_drop(&w->tty);
}

/*
 * True if the group has no process left, not even one that is another user's. 1 and
 * less are no groups that can be asked for: the foreground may be outside of our
 * pid namespace, or nobody's.
 */
bool
wait_group_gone(pid_t group)
{
	return group > 1 && kill(-group, 0) == -1 && errno == ESRCH;
}

/*
 * A shell that was CMD may have died with the terminal in its hands. All of CMD's
 * groups are gone by now; one that is not is the shell's that we were started from,
 * which took the terminal when we were stopped, or what it runs since.
 */
void
wait_terminal_back(struct wait *w)
{
	pid_t	group = w->tty == -1 ? -1 : tcgetpgrp(w->tty);

	/* once more: the shell may be about to take it from a job that is over */
	if (wait_group_gone(group) && tcgetpgrp(w->tty) == group)
		(void)tcsetpgrp(w->tty, getpgrp());
	fd_drop(&w->tty);
}

/* What ends us while there is no CMD yet to decide. */
static bool
ends(uint32_t sig)
{
	return sig == SIGHUP || sig == SIGINT || sig == SIGQUIT ||
	    sig == SIGTERM;
}

static void
relay(struct wait *w, int sfd)
{
	struct signalfd_siginfo	si;

	if (read(sfd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	if (!w->began && ends(si.ssi_signo)) {
		w->over = true;
		w->status = EXIT_SIGNALLED + (int)si.ssi_signo;
	} else if (!w->started)
		sigaddset(&w->early, (int)si.ssi_signo);
	else if (si.ssi_code != SI_KERNEL)
		(void)ctl_send(w->guest->ctl, CTL_SIGNAL, (int)si.ssi_signo);
}

/* What the terminal said while there was nobody to hear it is said again. */
static void
cmd_started(struct wait *w)
{
	size_t	i;

	w->started = true;
	for (i = 0; i < NRELAYED; i++)
		if (sigismember(&w->early, relayed[i]))
			(void)ctl_send(w->guest->ctl, CTL_SIGNAL, relayed[i]);
}

/* Stop as CMD did; when we go on, so does it. */
static void
stop_with(struct wait *w)
{
	kill(getpid(), SIGSTOP);
	(void)ctl_send(w->guest->ctl, CTL_SIGNAL, SIGCONT);
}

static void
from_init(struct wait *w)
{
	struct ctl	c;
	ssize_t		n = fd_recv(w->guest->ctl, &c, sizeof(c), NULL, NULL);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == (ssize_t)sizeof(c) && c.type == CTL_STARTED) {
		cmd_started(w);
		return;
	}
	if (n == (ssize_t)sizeof(c) && c.type == CTL_STOPPED) {
		stop_with(w);
		return;
	}
	w->over = true;
	w->ended = n == (ssize_t)sizeof(c) && c.type == CTL_ENDED;
	if (w->ended)
		w->status = c.value;
	else if (w->began) {
		log_warnx("CMD was killed together with its namespace");
		w->status = EXIT_SIGNALLED + SIGKILL;
	}
}

/* The policy is in force: its files are known, and init is to guard them. */
static void
go(struct wait *w)
{
	struct ctl	c = { .type = CTL_GO };

	if (w->machine->files == -1 ||
	    law_read(&w->run->law, w->machine->files) == -1 ||
	    fd_send(w->guest->ctl, &c, sizeof(c), w->machine->files) == -1) {
		w->over = true;
		return;
	}
	law_look(w->run);
	fd_drop(&w->machine->files);
}

static void
from_machine(struct wait *w)
{
	switch (machine_read(w->machine)) {
	case MACHINE_NOTHING:
		break;
	case MACHINE_UP:
		w->began = true;
		if (w->run->who.root && !w->run->quiet)
			log_warnx("CMD is root for files: it can leave the "
			    "network through /etc/cron.d and the like; --user "
			    "NAME makes it less");
		go(w);
		break;
	default:
		w->over = true;
	}
}

void
wait_for(struct wait *w)
{
	struct pollfd	p[4] = { { .events = POLLIN }, { .events = POLLIN },
			    { .events = POLLIN }, { .events = POLLIN } };
	struct follow	f;
	sigset_t	set;
	size_t		i;
	int		sfd;

	sigemptyset(&set);
	for (i = 0; i < NRELAYED; i++)
		sigaddset(&set, relayed[i]);
	if ((sfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) == -1)
		fatal("signalfd");
	sigemptyset(&w->early);
	terminal_find(w);
	p[0].fd = w->guest->ctl;
	p[1].fd = w->machine->chan;
	p[2].fd = sfd;
	follow_open(&f, w->run, w->machine, &w->run->host);
	while (!w->over) {
		p[3].fd = f.fd;
		if (poll(p, 4, follow_timeout(&f)) == -1)
			continue;
		follow_work(&f);
		if (p[2].revents != 0)
			relay(w, sfd);
		if (p[0].revents != 0)
			from_init(w);
		else if (p[1].revents != 0)
			from_machine(w);
	}
	follow_close(&f);
	close(sfd);
}
