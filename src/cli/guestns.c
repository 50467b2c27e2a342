/*
 * CMD's namespaces, made and held from outside.
 *
 * init is cloned into new user, pid, net, mount and IPC namespaces while we have
 * one thread; identity maps are written from here. A map of 0 to the user would give
 * CMD every capability in there after exec: it could take its own tap away.
 *
 * Trusts: nothing that happens inside after CMD has started.
 * Must not: leave init behind when it is no longer wanted.
 */
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "fd.h"
#include "idmap.h"

/* IPC: System V shared memory is another's memory, if that is of the same uid. */
#define NAMESPACES	(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | \
			CLONE_NEWNS | CLONE_NEWIPC)

int
ctl_send(int fd, enum ctl_type type, int value)
{
	struct ctl	c = { .type = type, .value = value };

	return fd_send(fd, &c, sizeof(c), -1);
}

int
ctl_wait(int fd, struct ctl *c, int *passed)
{
	struct pollfd	p = { .fd = fd, .events = POLLIN };
	ssize_t		n;

	do {
		if (poll(&p, 1, -1) == -1 && errno != EINTR)
			return -1;
		n = fd_recv(fd, c, sizeof(*c), passed, NULL);
	} while (n == -1 && (errno == EAGAIN || errno == EINTR));
	return n == (ssize_t)sizeof(*c) ? 0 : -1;
}

/*
 * The kernel gives no namespace to who is in a chroot. Either nothing is mounted at
 * our root, or process 1 has another one; an ordinary user may not ask about that.
 */
static bool
in_chroot(void)
{
	FILE		*f = fopen("/proc/self/mountinfo", "re");
	struct statx	 ours, first;
	char		 line[1024], at[8];
	bool		 root = f == NULL;

	while (f != NULL && !root && fgets(line, sizeof(line), f) != NULL)
		root = sscanf(line, "%*s %*s %*s %*s %7s", at) == 1 &&
		    strcmp(at, "/") == 0;
	if (f != NULL)
		fclose(f);
	return !root || (statx(AT_FDCWD, "/", 0, STATX_INO | STATX_MNT_ID,
	    &ours) == 0 && statx(AT_FDCWD, "/proc/1/root/.", 0,
	    STATX_INO | STATX_MNT_ID, &first) == 0 &&
	    (ours.stx_mnt_id != first.stx_mnt_id || ours.stx_ino != first.stx_ino));
}

/* What to do about it depends on who said no. */
static void
say_no_namespace(void)
{
	const char	*todo = "allow user namespaces here, or run as root";
	int		 error = errno;

	if (error == ENOSPC || error == EUSERS)
		todo = "raise the limit (as root: sysctl "
		    "user.max_user_namespaces=10000)";
	else if (error == EPERM && in_chroot())
		todo = "in a chroot the kernel gives none: use a container, or "
		    "another way that ends in pivot_root(2)";
	else if (error == EPERM)
		todo = "allow unprivileged user namespaces (as root: sysctl "
		    "kernel.unprivileged_userns_clone=1, or give the "
		    "container a seccomp profile that has them)";
	else if (error == EAGAIN)
		todo = "the user's limit of processes (ulimit -u) is used up";
	else if (error == EINVAL)
		todo = "this kernel needs CONFIG_USER_NS, CONFIG_PID_NS and "
		    "CONFIG_NET_NS";
	errno = error;
	log_warn("no namespaces for CMD; %s", todo);
}

static int
map(pid_t pid)
{
	bool		root = idmap_privileged();
	struct idmap	m = { .full = root, .uid = geteuid(),
			    .gid = getegid(), .setgroups = root };

	if (idmap_write(pid, &m) == 0)
		return 0;
	if (root && errno == EPERM)	/* since Linux 5.12 */
		log_warn("the id maps of CMD's user namespace; root needs "
		    "CAP_SETFCAP for them: let the container have it, or run "
		    "as an ordinary user");
	else
		log_warn("the id maps of CMD's user namespace");
	return -1;
}

/* Until init has made the tap, or has said why not. */
static int
await_tap(struct guestns *g)
{
	struct ctl	c;

	if (ctl_wait(g->ctl, &c, &g->tap) == -1 || c.type != CTL_TAP ||
	    g->tap == -1)
		return -1;
	g->flags = c.flags;
	g->families = c.families;
	return 0;
}

int
guestns_make(struct guestns *g, const struct run *r)
{
	int	pair[2];

	g->pidfd = g->ctl = g->tap = -1;
	if (fd_channel(pair) == -1) {
		log_warn("socketpair");
		return -1;
	}
	g->pid = (pid_t)syscall(SYS_clone, NAMESPACES | CLONE_PIDFD | SIGCHLD,
	    NULL, &g->pidfd, NULL, NULL);
	if (g->pid == 0) {
		close(pair[0]);
		init_main(r, pair[1]);
	}
	if (g->pid == -1)
		say_no_namespace();
	g->ctl = pair[0];
	fd_drop(&pair[1]);
	if (g->pid == -1 || map(g->pid) == -1 ||
	    ctl_send(g->ctl, CTL_MAPPED, 0) == -1 || await_tap(g) == -1) {
		guestns_kill(g);
		return -1;
	}
	return 0;
}

/* init is pid 1 of its namespace: everything in there goes with it. */
void
guestns_kill(struct guestns *g)
{
	if (g->pidfd != -1) {
		syscall(SYS_pidfd_send_signal, g->pidfd, SIGKILL, NULL, 0);
		waitid(P_PIDFD, (id_t)g->pidfd, NULL, WEXITED);
	}
	fd_drop(&g->pidfd);
	fd_drop(&g->ctl);
	fd_drop(&g->tap);
}
