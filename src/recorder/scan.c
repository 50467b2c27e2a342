/*
 * Reading back what an earlier life has left: the last number, the last record
 * of this broker, the line that was cut, the flows that are still open.
 *
 * The first line of every segment says which open flow is the oldest ("oldest"),
 * so that no more than the segments since then are read. After a clean stop
 * only the tail is.
 *
 * Trusts: nothing. Only lines in our own form are understood, by a reader that
 * knows flat objects in a fixed order; others are counted and skipped. Of a line of
 * format 1 only the number is taken, and that it was the last: what it had begun is
 * not ended here.
 * Must not: write, but for the end of a line that was cut.
 */
#include "config.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "recorder.h"

#define READ_SIZE	(1u << 20)

struct reading {
	struct scan	*scan;
	struct openset	*opens;
	const uint8_t	*inst;
};

static void
begun(struct reading *rd, const struct seen *s, enum open_kind kind)
{
	if (s->has_inst && openset_add(rd->opens, kind, s->inst, s->flow,
	    s->seq, &s->body) == -1)
		log_warnx("more than %u flows and questions are open in the log",
		    OPENS_MAX);
}

static void
follow(struct reading *rd, const struct seen *s)
{
	if (parse_is(&s->type, "flow.open"))
		begun(rd, s, OPEN_FLOW);
	else if (parse_is(&s->type, "flow.dial"))
		begun(rd, s, OPEN_DIAL);
	else if (parse_is(&s->type, "dns.ask"))
		begun(rd, s, OPEN_ASK);
	else if (parse_is(&s->type, "flow.close") ||
	    parse_is(&s->type, "flow.deny") || parse_is(&s->type, "dns")) {
		if (s->has_inst && s->flow != 0)
			openset_del(rd->opens, s->inst, s->flow);
	} else if (parse_is(&s->type, "audit.gap") && s->from != 0)
		openset_void(rd->opens, s->from, s->to);
}

/* A torn line has a number, and nothing else of it counts. */
static void
one_line(struct reading *rd, struct text line)
{
	struct scan	*scan = rd->scan;
	struct seen	 s;

	scan->lines++;
	if (!parse_line(line, &s)) {
		scan->strange++;
		return;
	}
	if (s.seq > scan->seq)
		scan->seq = s.seq;
	scan->stopped = !s.torn && parse_is(&s.type, "daemon.stop");
	if (s.torn || s.old)
		return;
	/* what a gap voids is to be sent again, unless it was written again */
	if (s.has_inst && memcmp(s.inst, rd->inst, 16) == 0 &&
	    (s.rec > scan->rec || s.from != 0))
		scan->rec = s.rec;
	follow(rd, &s);
}

/* Every whole line; the cut one at the end, if any, is left in scan->cut. */
static int
read_lines(struct reading *rd, int fd, off_t at)
{
	static char	buf[READ_SIZE];
	size_t		have = 0, len;
	ssize_t		n;
	char		*p, *nl;

	while ((n = pread(fd, buf + have, sizeof(buf) - have, at)) > 0) {
		at += n;
		have += (size_t)n;
		for (p = buf; (nl = memchr(p, '\n', have)) != NULL; p = nl + 1) {
			len = (size_t)(nl - p);
			one_line(rd, (struct text){ p, len });
			have -= len + 1;
		}
		if (have == sizeof(buf)) {	/* no line of ours */
			rd->scan->strange++;
			have = 0;
		}
		memmove(buf, p, have);
	}
	if (n == -1 || have >= sizeof(rd->scan->cut)) {
		if (n != -1)
			errno = EINVAL;
		return -1;
	}
	memcpy(rd->scan->cut, buf, have);
	rd->scan->cut_len = have;
	return 0;
}

/* The first line of a file: 1, 0 = it is empty, -1 = not ours. */
static int
first_line(int fd, struct seen *s)
{
	static char	buf[LINE_ROOM];
	ssize_t		n = pread(fd, buf, sizeof(buf), 0);
	char		*nl;

	memset(s, 0, sizeof(*s));
	if (n <= 0)
		return (int)n;
	nl = memchr(buf, '\n', (size_t)n);
	if (nl == NULL) {	/* cut in its very first line? */
		s->old = parse_old(&(struct text){ buf, (size_t)n });
		n = n < 7 ? n : 7;
		return s->old || memcmp(buf, "{\"v\":2,", (size_t)n) == 0 ? 0 : -1;
	}
	if (!parse_line((struct text){ buf, (size_t)(nl - buf) }, s))
		return -1;
	if (s->old)
		s->oldest = 0;
	return 1;
}

bool
scan_begins(int dir, const char *name, uint64_t first)
{
	struct seen	s;
	int		fd = retired_open(dir, name, first);
	bool		ours;

	if (fd == -1)
		return false;
	ours = first_line(fd, &s) == 1 && s.seq == first;
	close(fd);
	return ours;
}

/* Where to begin: the segment that holds the oldest open flow. 0 = active. */
static uint64_t
begin_at(int dir, const char *name, uint64_t oldest, uint64_t newest, bool empty)
{
	uint64_t	first, back;
	struct seen	s;
	int		fd;

	if (newest == 0)
		return 0;
	if (oldest != 0 && (first = retired_find(dir, name, oldest,
	    false)) != 0)
		return first;
	if (oldest != 0)		/* it was removed; begin with what is left */
		return retired_find(dir, name, 0, true);
	if (!empty)
		return 0;
	/* Nothing in the active one: the newest of the others knows. */
	if ((fd = retired_open(dir, name, newest)) == -1)
		return newest;
	back = first_line(fd, &s) == 1 && s.oldest != 0 ?
	    retired_find(dir, name, s.oldest, false) : 0;
	if (back == 0 && s.oldest != 0)
		back = retired_find(dir, name, 0, true);
	close(fd);
	return back != 0 ? back : newest;
}

static int
read_retired(struct reading *rd, int dir, const char *name, uint64_t first)
{
	int	fd, r;

	for (; first != 0; first = retired_find(dir, name, first, true)) {
		if ((fd = retired_open(dir, name, first)) == -1) {
			log_warn("segment %llu of %s",
			    (unsigned long long)first, name);
			continue;
		}
		r = read_lines(rd, fd, 0);
		close(fd);
		if (r == -1)
			return -1;
		rd->scan->cut_len = 0;		/* declared by what follows it */
	}
	return 0;
}

/* The last whole line of a file, and what comes behind it. */
static bool
tail(int fd, uint64_t size, struct seen *last, struct text *cut)
{
	static char	buf[2 * LINE_ROOM];
	uint64_t	at = size > sizeof(buf) ? size - sizeof(buf) : 0;
	ssize_t		n = pread(fd, buf, sizeof(buf), (off_t)at);
	const char	*end, *nl;

	if (n < 2 || (end = memrchr(buf, '\n', (size_t)n)) == NULL)
		return false;
	nl = memrchr(buf, '\n', (size_t)(end - buf));
	nl = nl == NULL ? buf : nl + 1;
	cut->p = end + 1;
	cut->len = (size_t)(buf + n - cut->p);
	return parse_line((struct text){ nl, (size_t)(end - nl) }, last);
}

/* After a clean stop the last line is daemon.stop and nothing is open. */
static bool
stopped_cleanly(struct reading *rd, const struct segment *active)
{
	struct seen	s;
	struct text	cut;

	if (!tail(active->fd, active->size, &s, &cut) || cut.len != 0 ||
	    s.torn || !parse_is(&s.type, "daemon.stop"))
		return false;
	rd->scan->seq = s.seq;
	rd->scan->stopped = true;
	return true;
}

static void
mend(int fd)
{
	char		end[TORN_ROOM];
	struct stat	st;
	struct seen	s;
	struct text	cut;
	size_t		n;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) ||
	    !tail(fd, (uint64_t)st.st_size, &s, &cut) || cut.len == 0)
		return;
	n = torn_finish(end, cut.p, cut.len, s.seq + 1);
	if (write(fd, end, n) != (ssize_t)n || fdatasync(fd) == -1)
		log_warn("the last line of a segment stays torn");
}

void
scan_mend(int dir, const char *name)
{
	char		path[NAME_ROOM];
	uint64_t	first = 0;
	int		fd;

	while ((first = retired_find(dir, name, first, true)) != 0) {
		segment_name(path, name, first);
		if ((fd = openat(dir, path, SEGMENT_REOPEN)) == -1)
			continue;
		mend(fd);
		close(fd);
	}
}

int
scan_log(struct scan *scan, int dir, const char *name,
    const struct segment *active, const uint8_t inst[16], bool quick,
    struct openset *opens)
{
	struct reading	rd = { scan, opens, inst };
	struct seen	s;
	uint64_t	newest;
	int		r;

	memset(scan, 0, sizeof(*scan));
	if ((r = first_line(active->fd, &s)) == -1) {
		log_warnx("%s is not an audit log: name another file, or move "
		    "it away", name);
		return -1;
	}
	scan->first = s.seq;
	scan->old = s.old;
	if ((newest = retired_find(dir, name, UINT64_MAX, false)) != 0)
		segment_name(scan->prev, name, newest);
	if (quick && stopped_cleanly(&rd, active))
		return 0;
	if (read_retired(&rd, dir, name, begin_at(dir, name, s.oldest,
	    newest, r == 0)) == -1 || read_lines(&rd, active->fd, 0) == -1) {
		log_warn("reading %s", name);
		return -1;
	}
	if (scan->strange != 0)
		log_warnx("%s: %llu of %llu lines are not records", name,
		    (unsigned long long)scan->strange,
		    (unsigned long long)scan->lines);
	return 0;
}
