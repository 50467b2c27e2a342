/*
 * The bearer: a copy of the keeper that lets go of one descriptor for it.
 *
 * Who connects to a stream's socket may leave anything in its queue, and close(2)
 * of the last copy then closes that: a TCP socket with SO_LINGER and a peer that
 * does not read holds up whoever does so for as long as its owner likes (socket(7)),
 * a file of a FUSE or NFS server for as long as that likes. So the keeper never
 * has the last copy. It clones a bearer, which inherits everything and waits on a
 * pipe, closes its own copy, then the pipe, and the bearer ends: a process that
 * exits does not linger, and if it hangs all the same, nobody waits for it.
 *
 *   keeper                    bearer
 *   clone ------------------> read
 *   close the descriptor
 *   close the pipe ---------> _exit
 *
 * Trusts: the kernel, which gives up what it closes at exit in the order of its
 * tables: the keeper's own descriptors go before what is inside the strange one.
 * Must not: close anything in the bearer, or wait for one in the keeper.
 */
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <event2/event.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "keeperd.h"

#define LOOK_US	20000		/* between two looks at what is not over yet */

_Noreturn static void
bear(int pipe)
{
	char	c;

	(void)!read(pipe, &c, 1);	/* its end of file */
	_exit(0);
}

/* False: there is no process for it now. */
static bool
hand_over(struct load *l)
{
	int	sync[2];
	pid_t	pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sync) == -1)
		return false;
	/* a fork; CLONE_PIDFD answers where clone(2) has the parent's tid */
	pid = (pid_t)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &l->pidfd,
	    NULL, NULL);
	if (pid == 0) {
		close(sync[0]);
		bear(sync[1]);
	}
	if (pid != -1)
		fd_drop(&l->fd);
	else
		l->pidfd = -1;
	fd_drop(&sync[0]);
	fd_drop(&sync[1]);
	return pid != -1;
}

static void
bury(struct load *l)
{
	siginfo_t	si = { .si_pid = 0 };

	if (waitid(P_PIDFD, (id_t)l->pidfd, &si, WEXITED | WNOHANG) == -1 ||
	    si.si_pid != 0)
		fd_drop(&l->pidfd);
}

static void
look_later(struct bearers *b)
{
	struct timeval	tv = { .tv_usec = LOOK_US };

	event_add(b->look, &tv);
}

/* A timer, not the pidfds: that needs no watch, of which there may be none. */
static void
look(int fd, short what, void *arg)
{
	struct bearers	*b = arg;
	bool		 busy = false;
	unsigned int	 i;

	(void)fd;
	(void)what;
	for (i = 0; i < BEARERS; i++) {
		if (b->load[i].fd != -1)
			hand_over(&b->load[i]);
		else if (b->load[i].pidfd != -1)
			bury(&b->load[i]);
		busy |= b->load[i].fd != -1 || b->load[i].pidfd != -1;
	}
	if (busy)
		look_later(b);
	link_listen_on(&b->keeper->link);
}

void
bearers_init(struct keeper *k)
{
	unsigned int	i;

	k->bearers.keeper = k;
	for (i = 0; i < BEARERS; i++)
		k->bearers.load[i].fd = k->bearers.load[i].pidfd = -1;
	k->bearers.look = event_new(k->base, -1, 0, look, &k->bearers);
	if (k->bearers.look == NULL)
		fatalx("no memory for events");
}

static struct load *
spare(struct bearers *b)
{
	unsigned int	i;

	for (i = 0; i < BEARERS; i++)
		if (b->load[i].fd == -1 && b->load[i].pidfd == -1)
			return &b->load[i];
	return NULL;
}

/* As many as may hang at once, and one more for the client that is served. */
bool
bearer_room(const struct keeper *k)
{
	unsigned int	i, n = 0;

	for (i = 0; i < BEARERS; i++)
		n += k->bearers.load[i].fd != -1 ||
		    k->bearers.load[i].pidfd != -1;
	return n + 1 < BEARERS;
}

void
bearer_take(struct keeper *k, int *fd)
{
	struct load	*l;

	if (*fd == -1)
		return;
	if ((l = spare(&k->bearers)) == NULL)
		fatalx("more links than bearers");
	l->fd = *fd;
	*fd = -1;
	if (!hand_over(l))
		log_warn("no process to close a client's link; tried again");
	look_later(&k->bearers);
}
