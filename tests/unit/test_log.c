/* Diagnostics: one line each, nothing unprintable, errno kept. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "unit.h"

#include "log.h"
#include "reason.h"

static int	pipefd[2];

static const char *
line(void)
{
	static char	buf[4 * LOG_LINE_MAX];
	ssize_t		n = read(pipefd[0], buf, sizeof(buf) - 1);

	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static int
setup(void **state)
{
	(void)state;
	if (pipe(pipefd) == -1)
		return -1;
	log_init("test", pipefd[1], LOG_LEVEL_WARN);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	close(pipefd[0]);
	close(pipefd[1]);
	return 0;
}

static void
tiers(void **state)
{
	(void)state;
	errno = ENOENT;
	log_warn("a %d", 1);
	assert_int_equal(errno, ENOENT);
	assert_string_equal(line(), "test: a 1: No such file or directory\n");
	log_warnx("b");
	assert_string_equal(line(), "test: b\n");
	log_info("silent");
	log_debug("silent");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("c");
	assert_string_equal(line(), "test: debug: c\n");
}

static void
forged(void **state)
{
	(void)state;
	log_warnx("x\ny\033[31m\xff%s", "\r");
	assert_string_equal(line(), "test: x\\x0ay\\x1b[31m\\xff\\x0d\n");
}

static void
overlong(void **state)
{
	char		big[2 * LOG_LINE_MAX];
	const char	*got;

	(void)state;
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_warnx("%s", big);
	got = line();
	assert_int_equal(strlen(got), LOG_LINE_MAX);
	assert_string_equal(got + strlen(got) - 5, "a...\n");
	memset(big, 1, sizeof(big) - 1);
	log_warnx("%s", big);
	got = line();
	assert_int_equal(got[strlen(got) - 1], '\n');
	assert_true(strlen(got) <= 2 * LOG_LINE_MAX);
}

/* Nobody reads: nothing waits, and what was lost is told when there is room. */
static void
unread(void **state)
{
	char	page[4096] = { 0 };

	(void)state;
	assert_int_not_equal(fcntl(pipefd[1], F_SETPIPE_SZ, sizeof(page)), -1);
	assert_int_equal(write(pipefd[1], page, sizeof(page)), sizeof(page));
	log_never_wait();
	alarm(10);		/* what waits here waits for ever */
	log_warnx("one");
	log_warnx("two");
	assert_int_equal(read(pipefd[0], page, sizeof(page)), sizeof(page));
	log_warnx("three");
	assert_string_equal(line(), "test: lines lost for want of room: "
	    "2\ntest: three\n");
	log_warnx("four");
	assert_string_equal(line(), "test: four\n");
	alarm(0);
}

/* The same where the fd itself does not wait, whatever room there seemed to be. */
static void
refused(void **state)
{
	char	page[4096] = { 0 };

	(void)state;
	assert_int_not_equal(fcntl(pipefd[1], F_SETPIPE_SZ, sizeof(page)), -1);
	assert_int_not_equal(fcntl(pipefd[1], F_SETFL, O_NONBLOCK), -1);
	assert_int_equal(write(pipefd[1], page, sizeof(page)), sizeof(page));
	log_warnx("one");
	assert_int_equal(read(pipefd[0], page, sizeof(page)), sizeof(page));
	log_warnx("two");
	assert_string_equal(line(), "test: lines lost for want of room: "
	    "1\ntest: two\n");
}

/* Who is to end in any case waits a little, and not once for each line. */
static void
patience(void **state)
{
	struct timespec	begun, now;
	char		page[4096] = { 0 };
	double		seconds;
	int		i;

	(void)state;
	assert_int_not_equal(fcntl(pipefd[1], F_SETPIPE_SZ, sizeof(page)), -1);
	assert_int_equal(write(pipefd[1], page, sizeof(page)), sizeof(page));
	log_wait_briefly();
	alarm(10);
	clock_gettime(CLOCK_MONOTONIC, &begun);
	for (i = 0; i < 5; i++)
		log_warnx("lost");
	log_line("lost\n", 5);
	clock_gettime(CLOCK_MONOTONIC, &now);
	seconds = (double)(now.tv_sec - begun.tv_sec) +
	    (double)(now.tv_nsec - begun.tv_nsec) / 1e9;
	assert_true(seconds > 0.9 && seconds < 4);
	assert_int_equal(read(pipefd[0], page, sizeof(page)), sizeof(page));
	log_line("heard\n", 6);
	assert_string_equal(line(), "test: lines lost for want of room: 6\n"
	    "heard\n");
	alarm(0);
}

static void
fatal_ends(void **state)
{
	int	status;
	pid_t	pid;

	(void)state;
	if ((pid = fork()) == 0)
		fatalx("over");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), FATAL_STATUS);
	assert_string_equal(line(), "test: fatal: over\n");
}

static void
reasons(void **state)
{
	unsigned int	i;

	(void)state;
	for (i = 0; i < REASON_MAX; i++)
		assert_int_equal(reason_parse(reason_name(i)), i);
	assert_int_equal(reason_parse("nonsense"), -1);
	assert_string_equal(reason_name(REASON_MAX), "?");
	assert_false(reason_from_frame_close(REASON_POLICY_REVOKED));
	assert_false(reason_from_frame_close(REASON_MAX));
	assert_false(reason_from_frame_drop(REASON_DEFAULT_DENY));
	assert_false(reason_from_frame_drop(REASON_IPC_VIOLATION));
	assert_true(reason_from_frame_drop(REASON_FRAGMENT));
}

#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		T(tiers), T(forged), T(overlong), T(fatal_ends), T(refused),
		T(unread), T(patience), T(reasons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
