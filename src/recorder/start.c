/*
 * How a recorder's life begins: the file before the seal, the past after it.
 *
 * Should: say with a clear message what is wrong with a log that cannot be used.
 * Must not: follow a link, wait on a FIFO, or write to what is not ours.
 */
#include "config.h"

#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "reason.h"
#include "recorder.h"

static const char *
trouble(int err)
{
	switch (err) {
	case EWOULDBLOCK:
		return "another Sallyport writes to it; give each its own file";
	case ELOOP:
		return "it is a symbolic link; name the file itself";
	case EINVAL:
	case ENXIO:
	case EISDIR:
		return "it is not a regular file";
	case EPERM:
		return "it must belong to the owner of its directory, have one "
		    "name, and be writable by nobody else";
	default:
		return strerror(err);
	}
}

/* In a directory that all may write to, a file of ours could be exchanged. */
static void
check_dir(int dir)
{
	struct stat	st;

	if (fstat(dir, &st) == -1 || !S_ISDIR(st.st_mode))
		fatalx("fd %d is not the log's directory", dir);
	if ((st.st_mode & S_IWOTH) != 0 && (st.st_mode & S_ISVTX) == 0)
		fatalx("the log's directory is writable by everybody: "
		    "chmod o-w, or choose another");
}

static void
check_name(const char *name)
{
	if (name[0] == '\0' || strlen(name) > LOGNAME_MAX ||
	    strchr(name, '/') != NULL || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0)
		fatalx("\"%s\" cannot be the name of a log", name);
}

static void
who_we_are(struct origin *o)
{
	struct utsname	u;
	int		fd;

	if (uname(&u) == -1)
		fatal("uname");
	memcpy(o->host, u.nodename, strnlen(u.nodename, sizeof(o->host) - 1));
	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return;
	if (read(fd, o->boot, sizeof(o->boot) - 1) !=
	    sizeof(o->boot) - 1)
		memset(o->boot, 0, sizeof(o->boot));
	close(fd);
}

void
writer_open(struct writer *w, int dir, const char *name)
{
	uint64_t	seed;

	check_name(name);
	check_dir(dir);
	w->dir = dir;
	w->name = name;
	w->torn_fd = w->reserve.seg.fd = -1;
	who_we_are(&w->origin);
	if (segment_open(&w->seg, dir, name) == -1)
		fatalx("the audit log %s cannot be used: %s", name,
		    trouble(errno));
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		fatal("getrandom");
	if (queue_init(&w->queue) == -1 ||
	    (w->opens = openset_new(seed)) == NULL)
		fatal("memory");
}

static int
finish_torn(struct writer *w, const struct scan *scan)
{
	if (scan->cut_len == 0)
		return 0;
	w->len = torn_finish(w->buf, scan->cut, scan->cut_len, w->seq + 1);
	if (segment_space(&w->seg, w->len, 0) == -1 ||
	    segment_append(&w->seg, w->buf, w->len) != w->len) {
		log_warn("the last line of %s is torn and cannot be ended",
		    w->name);
		return -1;
	}
	w->len = 0;
	w->gap.torn = ++w->seq;
	w->file_seq = w->seq;
	if (w->seg.first == 0)
		w->seg.first = w->seq;
	return 0;
}

static void
remember(struct writer *w, const struct scan *scan)
{
	w->seq = w->file_seq = w->durable_seq = scan->seq;
	w->rec = w->acked = scan->rec;
	w->seg.first = scan->first;
	w->made = scan->seq == 0;
}

static void
begin(struct writer *w, const struct record_start *st)
{
	memcpy(w->origin.inst, st->inst, sizeof(st->inst));
	w->mode = st->durable;
	w->rotate = st->rotate;
	if (w->rotate != 0 && w->rotate < ROTATE_MIN)
		w->rotate = ROTATE_MIN;
	if (w->file_max != 0 && (w->rotate == 0 || w->rotate > w->file_max))
		w->rotate = w->file_max;
	w->keep_bytes = st->keep_bytes;
	w->keep_files = st->keep_files;
}

/* A log without a reserve can be read from, and opens are refused. */
static void
first_reserve(struct writer *w)
{
	if (reserve_make(&w->reserve, w->dir, w->name) == 0)
		return;
	log_warn("%s: no space for its reserve; new flows are refused",
	    w->name);
	w->out.failed_err = (uint32_t)errno;
	w->out.failed = true;
	w->state = WRITER_FULL;
	w->gap.err = errno;
	w->probe_wait = PROBE_NS;
	w->probe_at = writer_now() + PROBE_NS;
}

/* The first lines of this life. */
static int
first_lines(struct writer *w, const struct scan *scan, bool fresh)
{
	const char	*prev = scan->prev[0] != '\0' ? scan->prev : NULL;

	if (scan->old)
		log_warnx("%s is of format 1, and becomes a segment; it goes on in "
		    "format 2", w->name);
	if ((!fresh || scan->old) && w->seg.first != 0)
		return writer_rotate(w, true);
	return writer_head(w, true, w->seg.first == 0 ? prev : NULL);
}

int
writer_start(struct writer *w, const struct record_start *st)
{
	static struct scan	scan;
	bool			fresh = st->resume == 0;

	begin(w, st);
	if (segment_sync(&w->seg) == -1 || scan_log(&scan, w->dir, w->name,
	    &w->seg, st->inst, fresh, w->opens) == -1)
		return -1;
	if (!scan.stopped && scan.prev[0] != '\0')
		scan_mend(w->dir, w->name);
	remember(w, &scan);
	if (finish_torn(w, &scan) == -1)
		return -1;
	first_reserve(w);
	w->gap.crash = w->seq != 0 && !scan.stopped;
	if (first_lines(w, &scan, fresh) == -1 || failure_gap(w) == -1 ||
	    writer_commit(w) == -1) {
		failure_probe(w);	/* the reserve, if there is one */
		if (w->state != WRITER_OK)
			return -1;
	}
	if (writer_close_stale(w, REASON_UNKNOWN_CRASH,
	    fresh ? NULL : st->inst) == -1 || keep_trim(w) == -1)
		return -1;
	w->out.failed_rec = w->out.durable_rec = w->acked;
	w->out.durable = false;		/* READY says it */
	return 0;
}
