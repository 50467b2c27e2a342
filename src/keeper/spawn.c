/*
 * Starts a room: clone into its namespaces, id maps from outside, then exec with
 * fixed descriptors and an empty environment.
 *
 *   keeper                         child
 *   clone  ----------------------> dumpable, "r"
 *   wait for "r", write id maps
 *   "g"  ------------------------> descriptors, empty root, ids, exec
 *
 * The child is dumpable while its maps are written: /proc/PID/uid_map of a
 * process that is not belongs to root. The uid change and exec follow at once.
 *
 * Trusts: the executables that were opened at start.
 * Must not: hand a child anything that is not named in struct spawn.
 */
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "idmap.h"
#include "keeperd.h"

/*
 * What a room does not need of the host, as namespaces of its own:
 *
 * frame: everything; its root is empty besides.
 * recorder: no network, and nobody to signal. It keeps the mount namespace: its
 *   loader and libraries are in it, and it names files by the directory it was
 *   given; Landlock shuts the rest.
 * inspector: as the frame; it has no socket but its channel.
 * broker: not the network, whose addresses and routes are its work. The user
 *   namespace takes every capability over the host's network away, which is
 *   right as long as no rule asks for one (a mark, a low port).
 * resolver: as the broker; it asks the host's or the policy's upstreams.
 * parser: none. It reads the policy and what that includes by path and checks
 *   who owns them: in a user namespace of one id root's files look like
 *   nobody's, and an ordinary user gets no other namespace without that one.
 *   Its filter knows no socket.
 */
static const unsigned long namespaces[ROLES] = {
	[ROLE_FRAME] = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |
	    CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP,
	[ROLE_RECORDER] = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |
	    CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP,
	[ROLE_BROKER] = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWIPC |
	    CLONE_NEWUTS | CLONE_NEWCGROUP,
	[ROLE_PARSER] = 0,
	[ROLE_RESOLVER] = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWIPC |
	    CLONE_NEWUTS | CLONE_NEWCGROUP,
	[ROLE_INSPECTOR] = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |
	    CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP,
};

/* All signals as at boot, but SIGPIPE, which is an errno to us. */
static void
reset_signals(void)
{
	struct sigaction	sa = { .sa_handler = SIG_IGN };
	sigset_t		none;

	sigaction(SIGPIPE, &sa, NULL);
	sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) == -1)
		fatal("sigprocmask");
}

_Noreturn static void
child_main(const struct spawn *s, int sync)
{
	static char	*const empty[] = { NULL };
	char		 go = 'r';
	int		 exe;

	/* while the keeper waits for us: until exec it may be gone there */
	if (s->foreign != -1)
		close(s->foreign);
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == -1 ||
	    write(sync, &go, 1) != 1)
		fatal("%s: before the id maps", role_name(s->role));
	if (read(sync, &go, 1) != 1)
		_exit(FATAL_STATUS);	/* the keeper has said why, or is gone */
	reset_signals();
	exe = enter_fds(s);
	if (s->log != -1)
		log_init("sallyportd", FD_LOG, LOG_LEVEL_WARN);
	if ((namespaces[s->role] & CLONE_NEWNS) != 0)
		enter_empty_root();
	enter_ids(s->uid, s->gid);
	syscall(SYS_execveat, exe, "", s->argv, empty, AT_EMPTY_PATH);
	fatal("%s: exec", role_name(s->role));
}

/* Waits until the child is dumpable, writes its maps, lets it go. */
static int
release(const struct spawn *s, pid_t pid, int sync)
{
	struct idmap	map = { .uid = s->uid, .gid = s->gid,
			    .setgroups = idmap_privileged() };
	char		c;

	if (read(sync, &c, 1) != 1) {
		errno = ECHILD;
		return -1;
	}
	if ((namespaces[s->role] & CLONE_NEWUSER) != 0 &&
	    idmap_write(pid, &map) == -1)
		return -1;
	return write(sync, "g", 1) == 1 ? 0 : -1;
}

static void
kill_child(const struct spawned *p)
{
	int	saved = errno;

	syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
	errno = saved;
}

/* It never got as far as to be a room. */
static int
abandon(struct spawned *p)
{
	int	saved = errno;

	waitid(P_PIDFD, (id_t)p->pidfd, NULL, WEXITED);
	fd_drop(&p->pidfd);
	errno = saved;
	return -1;
}

int
spawn(const struct spawn *s, struct spawned *out)
{
	int	sync[2], r;

	out->pidfd = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sync) == -1)
		return -1;
	/* A fork: no stack of its own. ptid is where CLONE_PIDFD answers. */
	out->pid = (pid_t)syscall(SYS_clone, namespaces[s->role] |
	    (s->sibling ? CLONE_PARENT : 0) | CLONE_PIDFD | SIGCHLD, NULL,
	    &out->pidfd, NULL, NULL);
	if (out->pid == 0) {
		close(sync[0]);
		child_main(s, sync[1]);
	}
	fd_drop(&sync[1]);
	r = out->pid == -1 ? -1 : release(s, out->pid, sync[0]);
	fd_drop(&sync[0]);
	if (r == 0 || out->pid == -1)
		return r;
	kill_child(out);
	return s->sibling ? 0 : abandon(out);
}

const char *
spawn_hint(int error)
{
	return error == EAGAIN ? ", as the user's limit of processes (ulimit -u) "
	    "is used up" : "";
}
