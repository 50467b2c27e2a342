/*
 * The writer without its process: what is acknowledged and when, what a failed
 * sync takes back, what a second life finds. The real program is driven in
 * tests/recorder/.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "unit.h"

#include "log.h"
#include "reason.h"
#include "recorder.h"

int	__real_fdatasync(int);
int	__wrap_fdatasync(int);
int	__real_fsync(int);
int	__wrap_fsync(int);
int	__real_fallocate(int, int, off_t, off_t);
int	__wrap_fallocate(int, int, off_t, off_t);

static int		fail_sync, fail_dir, fail_space, syncs;
static char		path[64];
static int		dir;
static struct writer	*w;
static uint64_t		rec;

int
__wrap_fdatasync(int fd)
{
	syncs++;
	if (fail_sync > 0) {
		fail_sync--;
		errno = EIO;
		return -1;
	}
	return __real_fdatasync(fd);
}

int
__wrap_fsync(int fd)
{
	if (fail_dir > 0) {
		fail_dir--;
		errno = EIO;
		return -1;
	}
	return __real_fsync(fd);
}

int
__wrap_fallocate(int fd, int mode, off_t at, off_t len)
{
	assert_int_equal(mode, FALLOC_FL_KEEP_SIZE);
	if (fail_space > 0) {
		fail_space--;
		errno = ENOSPC;
		return -1;
	}
	return __real_fallocate(fd, mode, at, len);
}

static void
life(uint32_t mode, uint32_t resume)
{
	struct record_start	st;

	wire_begin(&st, sizeof(st), RECORD_START, 0);
	st.durable = mode;
	st.resume = resume;
	memset(st.inst, 0xaa, sizeof(st.inst));
	w = calloc(1, sizeof(*w));
	assert_non_null(w);
	writer_open(w, dir, "log");
	assert_int_equal(writer_start(w, &st), 0);
}

static void
death(void)
{
	segment_close(&w->seg);
	segment_close(&w->reserve.seg);
	fd_drop(&w->torn_fd);
	openset_free(w->opens);
	queue_rewind(&w->queue);
	free(w->queue.e);
	free(w);
}

static int
setup(void **state)
{
	(void)state;
	strcpy(path, "/tmp/sallyport-writer.XXXXXX");
	if (mkdtemp(path) == NULL)
		return -1;
	dir = open(path, O_RDONLY | O_DIRECTORY);
	log_init("test", open("/dev/null", O_WRONLY), LOG_LEVEL_WARN);
	rec = 0;
	fail_sync = fail_dir = fail_space = 0;
	life(DURABLE_BEFORE_DATA, 0);
	return 0;
}

static int
teardown(void **state)
{
	DIR		*d = fdopendir(dup(dir));
	struct dirent	*e;

	(void)state;
	death();
	rewinddir(d);
	while ((e = readdir(d)) != NULL)
		unlinkat(dir, e->d_name, 0);
	closedir(d);
	close(dir);
	return rmdir(path);
}

static void
take(uint32_t type, uint64_t flow)
{
	struct record	r;

	wire_begin(&r, sizeof(r), RECORD_WRITE, ++rec);
	r.type = type;
	r.flow = flow;
	r.proto = PROTO_TCP;
	r.reason = type == REC_FLOW_OPEN ? REASON_NONE :
	    type == REC_FLOW_DENY ? REASON_AUDIT_UNAVAILABLE : REASON_DONE;
	writer_take(w, &r, NULL);
}

/* How often `text` stands in all segments. */
static int
count(const char *text)
{
	static char	buf[1 << 20];
	DIR		*d = fdopendir(dup(dir));
	struct dirent	*e;
	ssize_t		n;
	char		*p;
	int		fd, found = 0;

	rewinddir(d);
	while ((e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, "log", 3) != 0)
			continue;
		fd = openat(dir, e->d_name, O_RDONLY);
		n = read(fd, buf, sizeof(buf) - 1);
		assert_true(n >= 0);
		buf[n] = '\0';
		for (p = buf; (p = strstr(p, text)) != NULL; p++)
			found++;
		close(fd);
	}
	closedir(d);
	return found;
}

static void
group(void **state)
{
	uint64_t	i;

	(void)state;
	for (i = 1; i <= 200; i++)
		take(REC_FLOW_OPEN, i);
	syncs = 0;
	assert_false(writer_turn(w));
	assert_int_equal(syncs, 1);
	assert_true(w->out.durable);
	assert_int_equal(w->out.durable_rec, 200);
	assert_int_equal(openset_count(w->opens), 200);
	assert_int_equal(count("flow.open"), 200);
}

/* Closes and denies wait for the next sync, but not for long. */
static void
lazy(void **state)
{
	(void)state;
	take(REC_FLOW_DENY, 0);
	syncs = 0;
	writer_turn(w);
	assert_int_equal(syncs, 0);
	assert_false(w->out.durable);
	assert_true(w->sync_at > 0 && w->sync_at <= writer_now() + SYNC_NS);
	assert_int_equal(writer_deadline(w), w->sync_at);
	assert_int_equal(count("flow.deny"), 1);
	w->sync_at = writer_now();
	writer_turn(w);
	assert_int_equal(syncs, 1);
	assert_int_equal(w->out.durable_rec, 1);
}

/* What came twice (sent again to a new recorder) is written once. */
static void
twice(void **state)
{
	(void)state;
	take(REC_FLOW_OPEN, 1);
	writer_turn(w);
	rec = 0;
	take(REC_FLOW_OPEN, 1);
	writer_turn(w);
	assert_int_equal(count("flow.open"), 1);
}

/* EIO: the open is refused, the deny of the same group is written again. */
static void
sync_fails(void **state)
{
	(void)state;
	take(REC_FLOW_OPEN, 1);
	writer_turn(w);
	w->out.durable = false;
	take(REC_FLOW_OPEN, 2);
	take(REC_FLOW_DENY, 0);
	fail_sync = 1;
	writer_turn(w);
	assert_int_equal(w->state, WRITER_BROKEN);
	assert_true(w->out.failed);
	assert_int_equal(w->out.failed_rec, 1);
	assert_int_equal(w->out.failed_err, EIO);
	assert_false(w->out.durable);
	/* nothing is written before the broker knows */
	writer_turn(w);
	assert_int_equal(w->state, WRITER_BROKEN);
	w->out.failed = false;
	writer_turn(w);
	assert_int_equal(w->state, WRITER_OK);
	assert_true(w->out.recovered);
	w->sync_at = w->sync_at != 0 ? 1 : 0;
	writer_turn(w);
	assert_int_equal(w->out.durable_rec, 3);
	assert_int_equal(count("\"opens\":1"), 1);
	assert_int_equal(count("\"void_from\":3,\"void_to\":4"), 1);
	assert_int_equal(count("\"rec\":3,\"tenant\""), 2);
	assert_int_equal(openset_count(w->opens), 1);
}

/* A new segment fails before its first line: it does not stand in the way. */
static void
empty_segment_fails(void **state)
{
	(void)state;
	take(REC_FLOW_OPEN, 1);
	writer_turn(w);
	fail_dir = 2;
	assert_int_equal(writer_rotate(w, false), -1);
	assert_int_equal(w->state, WRITER_BROKEN);
	w->out.failed = false;
	writer_turn(w);			/* the reserve fails in the same way */
	assert_int_equal(w->state, WRITER_BROKEN);
	w->out.failed = false;
	w->probe_at = 1;
	writer_turn(w);
	assert_int_equal(w->state, WRITER_OK);
	take(REC_FLOW_OPEN, 2);
	writer_turn(w);
	assert_int_equal(count("flow.open"), 2);
}

/* Killed after it had said what is void, before it was written again. */
static void
killed_after_a_gap(void **state)
{
	(void)state;
	take(REC_FLOW_OPEN, 1);
	writer_turn(w);
	take(REC_FLOW_DENY, 0);
	take(REC_FLOW_OPEN, 2);
	fail_sync = 1;
	writer_turn(w);
	failure_probe(w);
	assert_int_equal(count("\"void_from\":3,\"void_to\":4"), 1);
	death();
	life(DURABLE_BEFORE_DATA, 1);
	assert_int_equal(w->rec, 1);
	assert_int_equal(openset_count(w->opens), 1);
}

/* async: an open that was acknowledged is never taken back. */
static void
async_fails(void **state)
{
	(void)state;
	w->mode = DURABLE_ASYNC;
	take(REC_FLOW_OPEN, 1);
	writer_turn(w);
	assert_int_equal(w->out.durable_rec, 1);
	fail_sync = 1;
	w->sync_at = 1;
	writer_turn(w);
	assert_int_equal(w->state, WRITER_BROKEN);
	w->out.failed = false;
	writer_turn(w);
	writer_commit(w);
	assert_int_equal(count("flow.open"), 2);
	assert_int_equal(count("\"opens\":0"), 1);
	assert_int_equal(openset_count(w->opens), 1);
}

/* Without space, opens are refused and closes go into the reserve. */
static void
no_space(void **state)
{
	(void)state;
	take(REC_FLOW_OPEN, 1);
	writer_turn(w);
	w->out.durable = false;
	w->seg.alloc = w->seg.size;
	take(REC_FLOW_OPEN, 2);
	take(REC_FLOW_CLOSE, 1);
	fail_space = 2;
	writer_turn(w);
	assert_int_equal(w->state, WRITER_FULL);
	assert_true(w->out.failed);
	assert_int_equal(w->out.failed_rec, 1);
	w->out.failed = false;
	writer_turn(w);
	writer_commit(w);
	assert_int_equal(w->out.durable_rec, 3);
	assert_int_equal(openset_count(w->opens), 0);
	take(REC_FLOW_OPEN, 3);
	assert_true(w->out.failed);
	assert_int_equal(w->gap.opens, 2);
	w->out.failed = false;
	w->probe_at = 1;
	writer_turn(w);
	assert_int_equal(w->state, WRITER_OK);
	assert_int_equal(count("\"errno\":\"ENOSPC\",\"opens\":2"), 1);
}

/* While nothing fits, denies beyond a bound are counted, not acknowledged. */
static void
counted(void **state)
{
	int	i;

	(void)state;
	w->state = WRITER_FULL;
	w->dry = true;
	w->gap.err = ENOSPC;
	for (i = 0; i < QUEUE_DENY + 500; i++)
		take(REC_FLOW_DENY, 0);
	assert_int_equal(w->gap.denies, 500);
	assert_int_equal(w->hold, QUEUE_DENY + 1);
	w->dry = false;
	while (writer_turn(w))
		;
	writer_commit(w);
	assert_int_equal(w->out.durable_rec, QUEUE_DENY);
	w->probe_at = 1;
	writer_turn(w);
	assert_int_equal(w->state, WRITER_OK);
	assert_int_equal(w->out.durable_rec, QUEUE_DENY + 500);
	assert_int_equal(count("\"denies\":500"), 1);
}

/* The broker must not take a refused open for one that is in the log. */
static void
first_failure_holds(void **state)
{
	int	i;

	(void)state;
	take(REC_FLOW_OPEN, 1);
	writer_turn(w);
	w->out.durable = false;
	w->state = WRITER_FULL;
	w->dry = true;
	take(REC_FLOW_OPEN, 2);
	assert_int_equal(w->out.failed_rec, 1);
	for (i = 0; i < UNACKED_MAX; i++)
		take(REC_FLOW_DENY, 0);
	assert_int_equal(w->out.durable_rec, UNACKED_MAX + 1);
	take(REC_FLOW_OPEN, 3);
	assert_true(w->out.failed);
	assert_int_equal(w->out.failed_rec, 1);
}

/* A deny for a flow that has an open closes it: refused after all. */
static void
deny_closes(void **state)
{
	(void)state;
	take(REC_FLOW_OPEN, 5);
	writer_turn(w);
	take(REC_FLOW_DENY, 5);
	writer_turn(w);
	writer_commit(w);
	assert_int_equal(count("flow.close"), 1);
	assert_int_equal(count("flow.deny"), 1);
	assert_int_equal(openset_count(w->opens), 0);
	/* also where both came in one group */
	take(REC_FLOW_OPEN, 6);
	take(REC_FLOW_DENY, 6);
	while (writer_turn(w))
		;
	writer_commit(w);
	assert_int_equal(count("flow.close"), 2);
	assert_int_equal(openset_count(w->opens), 0);
}

static void
second_life(void **state)
{
	uint64_t	seq;

	(void)state;
	take(REC_FLOW_OPEN, 1);
	take(REC_FLOW_OPEN, 2);
	take(REC_FLOW_CLOSE, 1);
	writer_turn(w);
	seq = w->seq;
	death();
	life(DURABLE_BEFORE_DATA, 1);		/* the recorder died */
	assert_int_equal(w->acked, 3);
	assert_int_equal(w->seq, seq + 2);	/* audit.open, audit.gap */
	assert_int_equal(openset_count(w->opens), 1);
	assert_int_equal(count("\"prev\":\"log.000000000001\",\"oldest\":3"), 1);
	death();
	life(DURABLE_BEFORE_DATA, 1);		/* again: the open is far back */
	assert_int_equal(openset_count(w->opens), 1);
	death();
	life(DURABLE_BEFORE_DATA, 0);		/* the whole daemon died */
	assert_int_equal(openset_count(w->opens), 0);
	assert_int_equal(count("unknown-crash\",\"hostname\":"), 3 + 1);
	take(REC_DAEMON_STOP, 0);
	writer_turn(w);
	assert_int_equal(writer_end(w, REASON_UNKNOWN_CRASH), 0);
	seq = w->seq;
	death();
	life(DURABLE_BEFORE_DATA, 0);		/* a clean one */
	assert_int_equal(w->seq, seq + 1);
}

#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		T(group), T(lazy), T(twice), T(sync_fails),
		T(empty_segment_fails), T(killed_after_a_gap), T(async_fails),
		T(no_space), T(counted), T(first_failure_holds), T(deny_closes), T(second_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
