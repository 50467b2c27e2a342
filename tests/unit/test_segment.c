/* Files: what may be in a hostile directory, the lock, blocks, names. */
#include <sys/file.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "unit.h"

#include "log.h"
#include "recorder.h"

static char		path[64];
static int		dir;
static struct segment	seg;

static int
setup(void **state)
{
	(void)state;
	strcpy(path, "/tmp/sallyport-segment.XXXXXX");
	if (mkdtemp(path) == NULL)
		return -1;
	dir = open(path, O_RDONLY | O_DIRECTORY);
	seg.fd = -1;
	log_init("test", open("/dev/null", O_WRONLY), LOG_LEVEL_WARN);
	return dir == -1 ? -1 : 0;
}

static int
teardown(void **state)
{
	DIR		*d = fdopendir(dup(dir));
	struct dirent	*e;

	(void)state;
	segment_close(&seg);
	rewinddir(d);
	while ((e = readdir(d)) != NULL)
		if (unlinkat(dir, e->d_name, 0) == -1)
			unlinkat(dir, e->d_name, AT_REMOVEDIR);
	closedir(d);
	close(dir);
	return rmdir(path);
}

static void
put(const char *name, const char *text)
{
	int	fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void
refuses(int err)
{
	assert_int_equal(segment_open(&seg, dir, "log"), -1);
	assert_int_equal(errno, err);
	assert_int_equal(seg.fd, -1);
}

static void
hostile(void **state)
{
	(void)state;
	put("victim", "");
	assert_int_equal(symlinkat("victim", dir, "log"), 0);
	refuses(ELOOP);
	unlinkat(dir, "log", 0);
	assert_int_equal(symlinkat("nowhere", dir, "log"), 0);
	refuses(ELOOP);
	assert_int_equal(faccessat(dir, "nowhere", F_OK, 0), -1);
	unlinkat(dir, "log", 0);
	assert_int_equal(mkfifoat(dir, "log", 0600), 0);
	refuses(EINVAL);		/* and does not hang */
	unlinkat(dir, "log", 0);
	assert_int_equal(mkdirat(dir, "log", 0700), 0);
	refuses(EISDIR);
	unlinkat(dir, "log", AT_REMOVEDIR);
	assert_int_equal(linkat(dir, "victim", dir, "log", 0), 0);
	refuses(EPERM);
	unlinkat(dir, "log", 0);
	put("log", "");
	assert_int_equal(fchmodat(dir, "log", 0620, 0), 0);
	refuses(EPERM);
	if (geteuid() == 0) {
		assert_int_equal(fchmodat(dir, "log", 0600, 0), 0);
		assert_int_equal(fchownat(dir, "log", 65534, 65534, 0), 0);
		refuses(EPERM);
	}
}

static void
flags(void **state)
{
	struct stat	st;

	(void)state;
	assert_int_equal(segment_open(&seg, dir, "log"), 0);
	assert_int_equal(fcntl(seg.fd, F_GETFD), FD_CLOEXEC);
	assert_true((fcntl(seg.fd, F_GETFL) & O_APPEND) != 0);
	assert_int_equal(fstat(seg.fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void
one_writer(void **state)
{
	struct segment	other;

	(void)state;
	assert_int_equal(segment_open(&seg, dir, "log"), 0);
	assert_int_equal(segment_open(&other, dir, "log"), -1);
	assert_int_equal(errno, EWOULDBLOCK);
	segment_close(&seg);
	assert_int_equal(segment_open(&other, dir, "log"), 0);
	segment_close(&other);
}

/* Preallocation must not move the end of an O_APPEND file. */
static void
blocks(void **state)
{
	struct stat	st;
	char		text[64] = "";

	(void)state;
	assert_int_equal(segment_open(&seg, dir, "log"), 0);
	assert_int_equal(segment_space(&seg, 6, 0), 0);
	assert_true(seg.alloc >= 4096 || seg.no_alloc);
	assert_int_equal(segment_append(&seg, "line1\n", 6), 6);
	assert_int_equal(segment_append(&seg, "line2\n", 6), 6);
	assert_int_equal(fstat(seg.fd, &st), 0);
	assert_int_equal(st.st_size, 12);
	assert_int_equal(seg.size, 12);
	assert_int_equal(pread(seg.fd, text, sizeof(text), 0), 12);
	assert_string_equal(text, "line1\nline2\n");
	/* never beyond what a segment may hold */
	segment_close(&seg);
	assert_int_equal(segment_create(&seg, dir, "small"), 0);
	assert_int_equal(segment_space(&seg, 6, 5000), 0);
	assert_true(seg.alloc <= 8192);
}

static void
retire(void **state)
{
	char	name[NAME_ROOM];

	(void)state;
	assert_int_equal(segment_open(&seg, dir, "log"), 0);
	seg.first = 17;
	assert_int_equal(segment_retire(&seg, dir, "log", name), 0);
	assert_string_equal(name, "log.000000000017");
	assert_int_equal(faccessat(dir, name, F_OK, 0), 0);
	segment_close(&seg);
	/* a name that is taken is not overwritten */
	assert_int_equal(segment_create(&seg, dir, "log"), 0);
	seg.first = 17;
	assert_int_equal(segment_retire(&seg, dir, "log", name), -1);
	assert_int_equal(errno, EEXIST);
}

static void
reserve(void **state)
{
	struct reserve	r;
	struct stat	st;

	(void)state;
	assert_int_equal(reserve_make(&r, dir, "log"), 0);
	assert_in_range(r.size, RESERVE_MIN, RESERVE_MAX);
	assert_int_equal(fstatat(dir, "log.reserve", &st, 0), 0);
	assert_int_equal(st.st_size, 0);
	assert_true((uint64_t)st.st_blocks * 512 >= r.size ||
	    r.seg.no_alloc);
	/* not over a file that is there */
	put("log", "x");
	assert_int_equal(reserve_take(&r, dir, "log", &seg), -1);
	assert_int_equal(errno, EEXIST);
	unlinkat(dir, "log", 0);
	assert_int_equal(reserve_take(&r, dir, "log", &seg), 0);
	assert_int_equal(r.size, 0);
	assert_true(seg.alloc >= RESERVE_MIN || seg.no_alloc);
	assert_int_equal(faccessat(dir, "log.reserve", F_OK, 0), -1);
	assert_int_equal(reserve_take(&r, dir, "log", &seg), -1);
	/* one that was left behind is used again; one with content is not */
	put("log.reserve", "");
	assert_int_equal(reserve_make(&r, dir, "log"), 0);
	reserve_remove(&r, dir, "log");
	assert_int_equal(faccessat(dir, "log.reserve", F_OK, 0), -1);
	put("log.reserve", "x");
	assert_int_equal(reserve_make(&r, dir, "log"), -1);
	assert_int_equal(faccessat(dir, "log.reserve", F_OK, 0), 0);
}

#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		T(hostile), T(flags), T(one_writer), T(blocks), T(retire),
		T(reserve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
