/*
 * The steps of a seal that nothing but the kernel is needed for: descriptors that
 * should not be open, by the kernel's list and without one; capabilities.
 *
 * Trusts: nothing. Must not: change this process for good; all of it is in forks.
 */
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "seal.h"
#include "unit.h"

#define NONE	77	/* no user namespace here */
#define REFUSED	FATAL_STATUS
#define FIRST	3

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

/* ---- descriptors ----------------------------------------------------------------- */

static int
only_these(void)
{
	static const int	extra[] = { 40, 700 };

	if (fd_close_from(FIRST) == -1 || dup2(STDERR_FILENO, 40) == -1 ||
	    dup2(STDERR_FILENO, 700) == -1)
		return 2;
	seal_check_fds(FIRST, extra, 2);
	return 0;
}

static int
one_more(int fd)
{
	if (fd_close_from(FIRST) == -1 || dup2(STDERR_FILENO, fd) == -1)
		return 2;
	seal_check_fds(FIRST, NULL, 0);
	return 0;
}

static int
the_first(void)
{
	return one_more(FIRST);
}

static int
a_high_one(void)
{
	return one_more(1000);
}

/* More than one read of the list, and the last of all is the stranger. */
static int
among_many(void)
{
	int	extra[300], i;

	if (fd_close_from(FIRST) == -1)
		return 2;
	for (i = 0; i < 300; i++)
		if ((extra[i] = dup2(STDERR_FILENO, 100 + i)) == -1)
			return 2;
	seal_check_fds(FIRST, extra, 300);
	seal_check_fds(FIRST, extra, 299);
	return 0;
}

static void
strangers_are_found(void **state)
{
	(void)state;
	assert_int_equal(apart(only_these), 0);
	assert_int_equal(apart(the_first), REFUSED);
	assert_int_equal(apart(a_high_one), REFUSED);
	assert_int_equal(apart(among_many), REFUSED);
}

/* As in a frame: a root without /proc. */
static bool
in_empty_root(void)
{
	char	dir[] = "/tmp/seal-XXXXXX";
	int	fd;

	if (mkdtemp(dir) == NULL)
		_exit(3);
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	if (rmdir(dir) == -1 || fd == -1 || fchdir(fd) == -1)
		_exit(3);
	if (unshare(CLONE_NEWUSER) == -1)
		return false;
	if (chroot(".") == -1 || access("/proc", F_OK) == 0)
		_exit(4);
	return true;
}

static int
only_these_unlisted(void)
{
	return in_empty_root() ? only_these() : NONE;
}

static int
high_one_unlisted(void)
{
	return in_empty_root() ? a_high_one() : NONE;
}

static void
strangers_are_found_without_proc(void **state)
{
	(void)state;
	if (apart(only_these_unlisted) == NONE)
		skip();
	assert_int_equal(apart(only_these_unlisted), 0);
	assert_int_equal(apart(high_one_unlisted), REFUSED);
}

/* ---- capabilities ---------------------------------------------------------------- */

static bool
sets_are(uint32_t low)
{
	struct __user_cap_header_struct	head = {
					    .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct	d[2];
	int				i;

	if (syscall(SYS_capget, &head, d) == -1 || d[0].effective != low ||
	    d[0].permitted != low || d[0].inheritable != 0 ||
	    (d[1].effective | d[1].permitted | d[1].inheritable) != 0)
		return false;
	for (i = 0; i <= CAP_LAST_CAP; i++)
		if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
			return false;
	return true;
}

static int
kept_one(void)
{
	static const unsigned int	kill_cap = CAP_KILL;

	if (unshare(CLONE_NEWUSER) == -1)
		return NONE;
	seal_caps_keep(&kill_cap, 1);
	return sets_are(1u << CAP_KILL) ? 0 : 2;
}

static int
kept_none(void)
{
	if (unshare(CLONE_NEWUSER) == -1)
		return NONE;
	seal_bounding();
	if (sets_are(0))
		return 2;		/* the bounding set alone */
	seal_caps();
	return sets_are(0) ? 0 : 3;
}

/* What is not permitted cannot be kept, and that is not passed over. */
static int
kept_what_is_not(void)
{
	static const unsigned int	kill_cap = CAP_KILL;

	if (unshare(CLONE_NEWUSER) == -1)
		return NONE;
	seal_caps();
	seal_caps_keep(&kill_cap, 1);
	return 0;
}

static void
capabilities_go(void **state)
{
	(void)state;
	if (apart(kept_one) == NONE)
		skip();
	assert_int_equal(apart(kept_one), 0);
	assert_int_equal(apart(kept_none), 0);
	assert_int_equal(apart(kept_what_is_not), REFUSED);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(strangers_are_found),
		cmocka_unit_test(strangers_are_found_without_proc),
		cmocka_unit_test(capabilities_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
