/*
 * The nursery: a copy of the keeper from before its seal, for the one room that
 * is restarted and yet must not inherit that seal. A resolver makes sockets, and
 * a keeper that could make any would be worth taking over.
 *
 * It waits for two descriptors, the far ends of a channel and of a log, starts a
 * resolver with them as the *keeper's* child (CLONE_PARENT), and hands back its
 * pidfd. What it starts, with what ids and what else, was fixed when it began.
 *
 * Trusts: the keeper. Must not: hold a descriptor that it does not need, outlive
 * the keeper, or look at anything that a guest, a broker or a policy wrote.
 */
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "keeperd.h"
#include "seal.h"

/* Its descriptors, in this order; what is above goes. */
enum { NURSERY_CHAN = 3, NURSERY_EXE, NURSERY_CA, NURSERY_FREE };

struct birth {
	int32_t	pid;		/* -1: there was none */
	int32_t	err;		/* and why */
};

/*
 * One datagram of exactly this length and its descriptor, which may be -1. Waits,
 * as spawn() waits for the child: both are copies of us.
 */
static int
receive(int chan, void *msg, size_t len, int *fd)
{
	struct pollfd	p = { .fd = chan, .events = POLLIN };

	while (poll(&p, 1, -1) == -1)
		if (errno != EINTR)
			return -1;
	if (fd_recv(chan, msg, len, fd, NULL) == (ssize_t)len)
		return 0;
	fd_drop(fd);
	errno = EPIPE;
	return -1;
}

/* A child that the keeper cannot be given is none. */
static void
give_birth(struct spawn *s)
{
	struct spawned	p = { .pidfd = -1 };
	struct birth	b = { 0 };

	/* the last one read it to its end, and the place in it is shared */
	if (s->object != -1)
		lseek(s->object, 0, SEEK_SET);
	b.pid = spawn(s, &p) == -1 ? -1 : p.pid;
	b.err = b.pid == -1 ? errno : 0;
	if (fd_send(NURSERY_CHAN, &b, sizeof(b), p.pidfd) == -1) {
		b.pid = -1;
		b.err = errno;
		if (p.pidfd != -1)
			syscall(SYS_pidfd_send_signal, p.pidfd, SIGKILL, NULL,
			    0);
		if (fd_send(NURSERY_CHAN, &b, sizeof(b), -1) == -1)
			_exit(0);
	}
	fd_drop(&p.pidfd);
}

/* A channel whose log did not follow is one that the keeper could not send. */
_Noreturn static void
serve(struct spawn *s)
{
	char	c;
	int	fd;

	for (;;) {
		if (receive(NURSERY_CHAN, &c, 1, &fd) == -1)
			_exit(0);	/* the keeper is gone */
		if (c == 'c') {
			fd_drop(&s->channel);
			s->channel = fd;
			continue;
		}
		s->log = fd;
		give_birth(s);
		fd_drop(&s->channel);
		fd_drop(&s->log);
	}
}

/* Lifted first: the number of one could be the place of another. */
static void
take_place(int chan, int exe, int ca)
{
	int	from[] = { chan, exe, ca };
	size_t	i;

	for (i = 0; i < 3; i++)
		if (from[i] != -1 && (from[i] = fcntl(from[i],
		    F_DUPFD_CLOEXEC, NURSERY_FREE)) == -1)
			fatal("the nursery's descriptors");
	for (i = 0; i < 3; i++) {
		if (from[i] == -1)
			close(NURSERY_CHAN + (int)i);
		else if (dup3(from[i], NURSERY_CHAN + (int)i, O_CLOEXEC) == -1)
			fatal("the nursery's descriptors");
	}
	if (fd_close_from(NURSERY_FREE) == -1)
		fatal("close_range");
}

/* What an id map of another id needs, as the keeper keeps it. */
static void
lock(const struct keeper *k)
{
	uid_t	uid;
	gid_t	gid;

	child_ids(k, ROLE_RESOLVER, &uid, &gid);
	seal_keeper_caps(k, uid);
	seal_process("sp-nursery", SIGKILL);
}

_Noreturn static void
nursery_main(const struct keeper *k, int chan)
{
	struct spawn	s;

	child_describe(k, ROLE_RESOLVER, &s);
	take_place(chan, s.exe, s.object);
	s.exe = s.exe == -1 ? -1 : NURSERY_EXE;
	s.object = s.object == -1 ? -1 : NURSERY_CA;
	s.sibling = true;
	if (chdir("/") == -1)
		fatal("chdir /");
	lock(k);
	serve(&s);
}

int
nursery_open(struct keeper *k)
{
	int	pair[2];
	pid_t	pid;

	if (fd_channel(pair) == -1)
		return -1;
	/* a fork; CLONE_PIDFD answers where clone(2) has the parent's tid */
	pid = (pid_t)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL,
	    &k->nursery_pidfd, NULL, NULL);
	if (pid == 0)
		nursery_main(k, pair[1]);
	fd_drop(&pair[1]);
	k->nursery = pair[0];
	if (pid == -1)
		fd_drop(&k->nursery);
	return pid == -1 ? -1 : 0;
}

void
nursery_close(struct keeper *k)
{
	syscall(SYS_pidfd_send_signal, k->nursery_pidfd, SIGKILL, NULL, 0);
	waitid(P_PIDFD, (id_t)k->nursery_pidfd, NULL, WEXITED);
	fd_drop(&k->nursery_pidfd);
	fd_drop(&k->nursery);
}

/* 0 and a child of ours, or -1 with errno. */
int
nursery_spawn(const struct keeper *k, int channel, int log,
    struct spawned *out)
{
	struct birth	b;

	out->pidfd = -1;
	if (fd_send(k->nursery, "c", 1, channel) == -1 ||
	    fd_send(k->nursery, "l", 1, log) == -1 ||
	    receive(k->nursery, &b, sizeof(b), &out->pidfd) == -1)
		return -1;
	out->pid = b.pid;
	if (out->pidfd != -1 && b.pid > 0)
		return 0;
	fd_drop(&out->pidfd);
	errno = b.err;
	return -1;
}
