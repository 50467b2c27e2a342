/*
 * CMD's process, from fork to exec, and what init does for it meanwhile.
 *
 * Trusts: init's namespaces, which are ready. Must not: leave CMD anything of ours,
 * or exec before every step has succeeded.
 */
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "fd.h"
#include "idmap.h"
#include "seal.h"

static int
exec_status(int error)
{
	return error == ENOENT || error == ENOTDIR ? EXIT_NOT_FOUND :
	    EXIT_NOT_EXECUTABLE;
}

/* The first one of PATH that is there, or may be run; as execvp(3) goes about it. */
static bool
find_in_path(const char *name, int mode, char path[PATH_MAX])
{
	const char	*dir = getenv("PATH"), *end;
	int		 n;

	for (; dir != NULL; dir = *end == '\0' ? NULL : end + 1) {
		end = strchrnul(dir, ':');
		n = snprintf(path, PATH_MAX, "%.*s%s%s", (int)(end - dir), dir,
		    end == dir ? "" : "/", name);
		if (n > 0 && n < PATH_MAX && access(path, mode) == 0)
			return true;
	}
	return false;
}

/* execvp(3) says EACCES too when a directory of PATH is closed to us. */
static bool
in_path(const char *name)
{
	char	path[PATH_MAX];

	return strchr(name, '/') != NULL || getenv("PATH") == NULL ||
	    find_in_path(name, F_OK, path);
}

/* A failed execve(2) for each directory of a long PATH costs more than a look. */
static void
run_it(char **cmd)
{
	char	path[PATH_MAX];

	if (strchr(*cmd, '/') == NULL && find_in_path(*cmd, X_OK, path))
		execv(path, cmd);
	execvp(*cmd, cmd);
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

/* What the exec(2) of CMD failed with, in words. */
_Noreturn static void
not_run(const char *name)
{
	int	error = errno;

	if (error == EACCES && !in_path(name))
		error = ENOENT;
	errno = error;
	if (error == ENOENT && strchr(name, '/') == NULL)
		log_warnx("%s: no such program in PATH", name);
	else
		log_warn("%s: cannot be run", name);
	_exit(exec_status(error));
}

/*
 * The new namespace's ids are written by init, from outside of it, because only
 * there is the capability that a map of uid 0 takes (user_namespaces(7)).
 */
_Noreturn static void
refused(int sync, int error)
{
	(void)!write(sync, &error, sizeof(error));
	_exit(EXIT_MACHINERY);
}

static void
own_ids(int sync)
{
	static const int	made = 0;
	char			go;

	if (unshare(CLONE_NEWUSER) == -1)
		refused(sync, errno);
	if (write(sync, &made, sizeof(made)) != (ssize_t)sizeof(made) ||
	    read(sync, &go, 1) != 1)
		_exit(EXIT_MACHINERY);
}

/*
 * CMD: its ids, its limits, no capability or root's few, no_new_privs, the filter,
 * nothing of ours open. Should: become the user before the capabilities go, and after
 * the securebits say that they do not go by that.
 */
_Noreturn static void
cmd_main(const struct run *r, int sync)
{
	if (sync != -1)
		own_ids(sync);
	else
		seal_securebits_cmd();
	if (confine_rlimits(&r->limits) == -1)
		cannot("its limits");
	if (identity_become(&r->who) == -1)
		cannot("--user");
	if (sync == -1)
		seal_caps_cmd();
	else if (identity_root_caps() == -1)
		cannot("its capabilities");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    guard_load() == -1)
		cannot("its filter");
	seal_landlock_scope();
	sockets_close(r);
	pass_fds(r);
	restore_signals(r);
	run_it(r->cmd);
	not_run(r->cmd[0]);
}

/* 0, or -1 with the reason in errno. */
static int
give_ids(pid_t pid, int sync)
{
	static const struct idmap	all = { .full = true, .setgroups = true };
	int				error;

	if (read(sync, &error, sizeof(error)) != (ssize_t)sizeof(error))
		error = ECHILD;
	if (error != 0) {
		errno = error;
		return -1;
	}
	return idmap_write(pid, &all) == 0 && write(sync, "g", 1) == 1 ? 0 : -1;
}

/*
 * Root's CMD is uid 0 with root's capabilities for files and ids, but in a namespace
 * that owns nothing: net, mount, pid and IPC namespace belong to init's, where CMD
 * has none. -1: it is not to be had here, errno says why.
 */
static pid_t
begin_apart(const struct run *r)
{
	int	pair[2], error;
	pid_t	pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
		return -1;
	if ((pid = fork()) == 0) {
		close(pair[0]);
		cmd_main(r, pair[1]);
	}
	close(pair[1]);
	if (pid != -1 && give_ids(pid, pair[0]) == -1) {
		error = errno;
		kill(pid, SIGKILL);
		waitid(P_PID, (id_t)pid, NULL, WEXITED);
		errno = error;
		pid = -1;
	}
	fd_drop(&pair[0]);
	return pid;
}

pid_t
begin_cmd(const struct run *r)
{
	pid_t	pid;

	if (r->who.root) {
		if ((pid = begin_apart(r)) != -1)
			return pid;
		log_warn("no user namespace for root's CMD within its own; it "
		    "runs without any capability, so that su, chown and "
		    "apt-get fail in it");
	}
	if ((pid = fork()) == 0)
		cmd_main(r, -1);
	return pid;
}
