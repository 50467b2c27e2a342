/*
 * Who CMD is, as far as it can be asked without namespaces of its own: which
 * descriptors it may inherit, its filter, its limits, whose terminal it is.
 *
 * Trusts: nothing. Must not: change this process for good; what cannot be undone
 * goes to forks.
 */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <linux/capability.h>
#include <linux/ioprio.h>
#include <linux/securebits.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "idmap.h"
#include "seal.h"
#include "unit.h"

/* ---- descriptors ------------------------------------------------------------ */

/* Closes it. */
static void
passes(int fd)
{
	assert_true(fd != -1);
	assert_null(inherit_refusal(fd));
	close(fd);
}

static void
refused(int fd, const char *word)
{
	const char	*why;

	assert_true(fd != -1);
	why = inherit_refusal(fd);
	assert_non_null(why);
	assert_non_null(strstr(why, word));
	close(fd);
}

static void
data_passes(void **state)
{
	static const char *const	nodes[] = { "/dev/null", "/dev/zero",
					    "/dev/full", "/dev/random",
					    "/dev/urandom" };
	char				name[] = "who.XXXXXX";
	size_t				i;
	int				p[2];

	(void)state;
	for (i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		passes(open(nodes[i], O_RDWR));
	passes(mkstemp(name));
	passes(open(name, O_RDONLY));
	passes(open(name, O_WRONLY | O_APPEND));
	unlink(name);
	passes((int)syscall(SYS_memfd_create, "x", 0));
	passes(open("/proc/self/status", O_RDONLY));
	assert_int_equal(pipe(p), 0);
	passes(p[0]);
	passes(p[1]);
}

/* What opens more than itself. */
static void
handles_are_refused(void **state)
{
	(void)state;
	refused(open("/", O_RDONLY | O_DIRECTORY), "directory");
	refused(open(".", O_RDONLY), "directory");
	refused(open("/", O_PATH), "O_PATH");
	refused(open("/dev/null", O_PATH), "O_PATH");
	refused(open("/proc/self/ns/net", O_RDONLY), "handle");
	refused(open("/proc/self/ns/user", O_RDONLY), "handle");
	refused((int)syscall(SYS_pidfd_open, getpid(), 0), "kernel's");
	refused(epoll_create1(0), "handle");
	refused(eventfd(0, 0), "handle");
	refused(open("/proc/self/comm", O_WRONLY), "for writing");
	refused(open("/proc/self/mem", O_RDWR), "for writing");
	refused(-2 + 1000000, "unknown");
}

static void
terminals_pass(void **state)
{
	int	master = posix_openpt(O_RDWR | O_NOCTTY), slave;

	(void)state;
	if (master == -1)
		skip();
	assert_int_equal(grantpt(master) | unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	passes(slave);
	refused(master, "master");
}

static int
pair(int type, int which)
{
	int	p[2];

	assert_int_equal(socketpair(AF_UNIX, type, 0, p), 0);
	close(p[!which]);	/* the other end's end changes nothing */
	return p[which];
}

static int
listening(void)
{
	struct sockaddr_un	sun = { .sun_family = AF_UNIX };
	int			fd = socket(AF_UNIX, SOCK_STREAM, 0);

	/* an abstract name of the kernel's choice */
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sa_family_t)),
	    0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void
unix_connections_pass(void **state)
{
	(void)state;
	passes(pair(SOCK_STREAM, 0));
	passes(pair(SOCK_STREAM, 1));
	passes(pair(SOCK_SEQPACKET, 0));
	passes(listening());
	refused(pair(SOCK_DGRAM, 0), "datagram");
	refused(socket(AF_UNIX, SOCK_STREAM, 0), "not connected");
	refused(socket(AF_UNIX, SOCK_DGRAM, 0), "datagram");
}

static void
other_sockets_are_refused(void **state)
{
	static const struct { int family, type, protocol; } s[] = {
		{ AF_INET, SOCK_STREAM, 0 }, { AF_INET, SOCK_DGRAM, 0 },
		{ AF_INET6, SOCK_STREAM, 0 }, { AF_INET6, SOCK_DGRAM, 0 },
		{ AF_NETLINK, SOCK_RAW, 0 }, { AF_ALG, SOCK_SEQPACKET, 0 },
		{ AF_VSOCK, SOCK_STREAM, 0 },
	};
	size_t		i;
	int		fd;

	(void)state;
	for (i = 0; i < sizeof(s) / sizeof(s[0]); i++)
		if ((fd = socket(s[i].family, s[i].type, s[i].protocol)) != -1)
			refused(fd, "network");
		else
			assert_true(i >= 2);
}

/* 0-2 and the kept ones, and who may say otherwise. */
static void
all_are_looked_at(void **state)
{
	int		fd = socket(AF_INET, SOCK_DGRAM, 0), saved = dup(1);
	struct run	r = { .keep = &fd, .nkeep = 1 };

	(void)state;
	log_init("test", -1, LOG_LEVEL_WARN);
	assert_int_equal(inherit_check(&r), -1);
	r.unsafe = true;
	assert_int_equal(inherit_check(&r), 0);
	r.nkeep = 0;
	assert_int_equal(inherit_check(&r), 0);
	dup2(fd, 1);
	assert_int_equal(inherit_check(&r), -1);	/* it was not named */
	close(fd);
	fd = 1;
	r.nkeep = 1;
	assert_int_equal(inherit_check(&r), 0);
	dup2(saved, 1);
	close(saved);
}

/* ---- the filter --------------------------------------------------------------- */

/* What a call answers under CMD's filter, as an errno. */
static int
under_guard(long nr, long a, long b, long c)
{
	int	pair[2], status;
	pid_t	pid = fork();

	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
		    guard_load() == -1)
			_exit(200);
		_exit(syscall(nr, a, b, c, (long)pair, 0, 0) == -1 ? errno : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define HIGH	(1L << 32)	/* what the kernel does not look at */

static void
guard_refuses_pairs(void **state)
{
	long	f;

	(void)state;
	for (f = 0; f < 64; f++) {
		if (f == AF_UNIX)
			continue;
		assert_int_equal(under_guard(SYS_socketpair, f, SOCK_STREAM,
		    0), EPERM);
		assert_int_equal(under_guard(SYS_socketpair, f | HIGH,
		    SOCK_STREAM, 0), EPERM);
	}
	assert_int_equal(under_guard(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0),
	    0);
}

/* A group's or a user's: whoever else is in it. */
static void
guard_refuses_priorities(void **state)
{
	long	low = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 7);

	(void)state;
	assert_int_equal(under_guard(SYS_setpriority, PRIO_PGRP, 0, 19), EPERM);
	assert_int_equal(under_guard(SYS_setpriority, PRIO_USER, 0, 19), EPERM);
	assert_int_equal(under_guard(SYS_setpriority, PRIO_USER | HIGH, 0, 19),
	    EPERM);
	assert_int_equal(under_guard(SYS_setpriority, PRIO_PROCESS, 0, 19), 0);
	assert_int_equal(under_guard(SYS_ioprio_set, IOPRIO_WHO_PGRP, 0, low),
	    EPERM);
	assert_int_equal(under_guard(SYS_ioprio_set, IOPRIO_WHO_USER, 0, low),
	    EPERM);
	assert_int_equal(under_guard(SYS_ioprio_set, IOPRIO_WHO_USER | HIGH, 0,
	    low), EPERM);
	assert_int_not_equal(under_guard(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
	    low), EPERM);
	assert_int_equal(under_guard(SYS_ioctl, 0, TIOCSETD, 0), EPERM);
	assert_int_equal(under_guard(SYS_ioctl, 0, TIOCEXCL, 0), EPERM);
	assert_int_equal(under_guard(SYS_ioctl, 0, TIOCEXCL | HIGH, 0), EPERM);
}

#if defined(__x86_64__)
#define X32	0x40000000

/*
 * The i386 way of a call, from 64-bit code. -1: not in this kernel. It is an errno,
 * or 0, as with under_guard().
 */
static int
by_int80(long nr, long a, long b, long c)
{
	int	status;
	long	r;
	pid_t	pid = fork();

	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
		    guard_load() == -1)
			_exit(200);
		__asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(a),
		    "c"(b), "d"(c), "S"(0), "D"(0)
		    : "memory", "r8", "r9", "r10", "r11");
		_exit(r < 0 ? (int)-r : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* asm/unistd_32.h; its numbers are ABI */
#define I386_GETPID	20
#define I386_SETPRIORITY 97
#define I386_SOCKETCALL	102
#define I386_IOPRIO_SET	289
#define I386_SOCKET	359
#define I386_SOCKETPAIR	360

static void
guard_knows_other_abis(void **state)
{
	(void)state;
	assert_int_equal(under_guard(X32 | SYS_socketpair, AF_VSOCK,
	    SOCK_STREAM, 0), EPERM);
	assert_int_equal(under_guard(X32 | SYS_socket, AF_VSOCK, SOCK_STREAM,
	    0), EPERM);
	assert_int_equal(under_guard(X32 | SYS_setpriority, PRIO_PGRP, 0, 19),
	    EPERM);
	assert_int_equal(under_guard(X32 | SYS_ioprio_set, IOPRIO_WHO_PGRP, 0,
	    0), EPERM);
	if (by_int80(I386_GETPID, 0, 0, 0) == -1)
		skip();
	assert_int_equal(by_int80(I386_SOCKET, AF_VSOCK, SOCK_STREAM, 0), EPERM);
	assert_int_equal(by_int80(I386_SOCKETPAIR, AF_VSOCK, SOCK_STREAM, 0),
	    EPERM);
	assert_int_not_equal(by_int80(I386_SOCKETPAIR, AF_UNIX, SOCK_STREAM, 0),
	    EPERM);
	assert_int_equal(by_int80(I386_SOCKETCALL, 8, 0, 0), EPERM);
	assert_int_equal(by_int80(I386_SETPRIORITY, PRIO_USER, 0, 19), EPERM);
	assert_int_equal(by_int80(I386_IOPRIO_SET, IOPRIO_WHO_USER, 0, 0),
	    EPERM);
	assert_int_equal(by_int80(I386_SETPRIORITY, PRIO_PROCESS, 0, 19), 0);
}
#endif

/* ---- the border: a signal by way of a descriptor's owner ----------------------- */

/*
 * A group of two. One makes the other an owner of its descriptor (F_SETOWN of the
 * group), and has the kernel signal it. True if the other died of it.
 */
static int
signals_the_group(bool border)
{
	int	pair[2], status;
	pid_t	other, self;

	setpgid(0, 0);
	if ((other = fork()) == 0) {
		pause();
		_exit(0);
	}
	signal(SIGIO, SIG_IGN);
	if ((self = fork()) == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (border)
			seal_landlock_scope();
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == -1 ||
		    fcntl(pair[0], F_SETOWN, -getpgrp()) == -1 ||
		    fcntl(pair[0], F_SETFL, O_ASYNC) == -1 ||
		    write(pair[1], "x", 1) != 1)
			_exit(1);
		_exit(0);
	}
	if (waitpid(self, &status, 0) != self || status != 0)
		_exit(2);
	usleep(100000);
	status = waitpid(other, NULL, WNOHANG) == other;
	kill(other, SIGKILL);
	return status;
}

static int
behind_the_border(void)
{
	return signals_the_group(true);
}

static int
without_a_border(void)
{
	return signals_the_group(false);
}

static int	apart(int (*)(void));

/* landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) */
static void
border_stops_owners(void **state)
{
	(void)state;
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 6)
		skip();
	assert_int_equal(apart(without_a_border), 1);
	assert_int_equal(apart(behind_the_border), 0);
}

/* ---- capabilities and limits ----------------------------------------------------- */

/* Runs it in a fork; its exit status. */
static int
apart(int (*what)(void))
{
	int	status;
	pid_t	pid = fork();

	if (pid == 0)
		_exit(what());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define NONE	77	/* no user namespace here */

static int
keepcaps_after(void (*seal)(void))
{
	if (unshare(CLONE_NEWUSER) == -1)
		return NONE;
	seal();
	if ((prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) & SECBIT_NOROOT_LOCKED) == 0)
		return 2;
	return prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 ? 0 : 1;
}

static void
seal_cmd(void)
{
	seal_securebits_cmd();
	seal_caps_cmd();
}

static int
cmd_keepcaps(void)
{
	return keepcaps_after(seal_cmd);
}

static int
room_keepcaps(void)
{
	return keepcaps_after(seal_caps);
}

/* ping(8) says it, and ends if it may not. A room has no need to. */
static void
keepcaps_is_cmds(void **state)
{
	(void)state;
	if (apart(cmd_keepcaps) == NONE)
		skip();
	assert_int_equal(apart(cmd_keepcaps), 0);
	assert_int_equal(apart(room_keepcaps), 1);
}

static int
root_caps(void)
{
	static const unsigned int	kept[] = { CAP_CHOWN, CAP_SETUID,
					    CAP_SETFCAP, CAP_KILL };
	static const unsigned int	gone[] = { CAP_SYS_ADMIN, CAP_NET_ADMIN,
					    CAP_NET_RAW, CAP_MKNOD,
					    CAP_SYS_PTRACE, CAP_SYS_RESOURCE,
					    CAP_SYS_MODULE, CAP_SYS_RAWIO,
					    CAP_BPF };
	size_t				i;

	if (unshare(CLONE_NEWUSER) == -1)
		return NONE;
	if (identity_root_caps() == -1)
		return 1;
	for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (prctl(PR_CAPBSET_READ, kept[i], 0, 0, 0) != 1)
			return 2;
	for (i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
		if (prctl(PR_CAPBSET_READ, gone[i], 0, 0, 0) != 0)
			return 3;
	/* neither can it be taken again */
	return unshare(CLONE_NEWNET) == -1 && errno == EPERM ? 0 : 4;
}

static void
roots_list_is_short(void **state)
{
	int	got = apart(root_caps);

	(void)state;
	if (got == NONE)
		skip();
	assert_int_equal(got, 0);
}

static void
halves(void **state)
{
	(void)state;
	assert_true(confine_half(20000) == 10000);
	assert_true(confine_half(1025) == 512);
	assert_true(confine_half(1) == 1);
	assert_true(confine_half(0) == 0);
	assert_true(confine_half(RLIM_INFINITY) == RLIM_INFINITY);
}

static int
limits(void)
{
	struct confine	c;
	struct rlimit	before = { 100, 500 }, rl;

	/* root's; others keep theirs */
	rl.rlim_cur = rl.rlim_max = RLIM_INFINITY;
	(void)setrlimit(RLIMIT_NPROC, &rl);
	if (setrlimit(RLIMIT_NOFILE, &before) == -1)
		return 1;
	confine_read(&c);
	if (limits_take(c.caller, true) == -1)
		return 1;
	if (getrlimit(RLIMIT_NOFILE, &rl) == -1 || rl.rlim_cur != 500)
		return 2;		/* ours, in the command */
	if (confine_rlimits(&c) == -1)
		return 3;
	if (getrlimit(RLIMIT_NOFILE, &rl) == -1 || rl.rlim_cur != 100 ||
	    rl.rlim_max != 250)
		return 4;
	if (getrlimit(RLIMIT_CORE, &rl) == -1 || rl.rlim_max > 1 ||
	    rl.rlim_cur != rl.rlim_max)
		return 5;
	if (getrlimit(RLIMIT_RTPRIO, &rl) == -1 || rl.rlim_max != 0)
		return 6;
	if (getrlimit(RLIMIT_NPROC, &rl) == -1 ||
	    rl.rlim_max == RLIM_INFINITY)
		return 7;
	return 0;
}

static void
limits_are_halved(void **state)
{
	(void)state;
	assert_int_equal(apart(limits), 0);
}

/* ---- ids, the terminal -------------------------------------------------------------- */

static void
one_id_is_no_root(void **state)
{
	(void)state;
	assert_true(idmap_many("         0          0 4294967295\n"));
	assert_true(idmap_many("0 1000 1\n1 100000 65536\n"));
	assert_false(idmap_many("         0       1000          1\n"));
	assert_false(idmap_many(""));
}

static void
groups_of_the_living(void **state)
{
	int	p[2];
	char	c;
	pid_t	pid;

	(void)state;
	assert_int_equal(pipe(p), 0);
	if ((pid = fork()) == 0) {
		setpgid(0, 0);
		_exit(write(p[1], "x", 1) != 1 || pause());
	}
	assert_int_equal(read(p[0], &c, 1), 1);
	assert_false(wait_group_gone(pid));
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(wait_group_gone(pid));
	/* outside of our pid namespace; everybody's; no terminal at all */
	assert_false(wait_group_gone(0));
	assert_false(wait_group_gone(1));
	assert_false(wait_group_gone(-1));
	assert_false(wait_group_gone(getpgrp()));
	close(p[0]);
	close(p[1]);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(data_passes),
		cmocka_unit_test(handles_are_refused),
		cmocka_unit_test(terminals_pass),
		cmocka_unit_test(unix_connections_pass),
		cmocka_unit_test(other_sockets_are_refused),
		cmocka_unit_test(all_are_looked_at),
		cmocka_unit_test(guard_refuses_pairs),
		cmocka_unit_test(guard_refuses_priorities),
#if defined(__x86_64__)
		cmocka_unit_test(guard_knows_other_abis),
#endif
		cmocka_unit_test(border_stops_owners),
		cmocka_unit_test(keepcaps_is_cmds),
		cmocka_unit_test(roots_list_is_short),
		cmocka_unit_test(halves),
		cmocka_unit_test(limits_are_halved),
		cmocka_unit_test(one_id_is_no_root),
		cmocka_unit_test(groups_of_the_living),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
