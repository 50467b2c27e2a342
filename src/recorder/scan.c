/*
 * Reading back what an earlier life has left: the last number, the last record
 * of this broker, the line that was cut, the flows that are still open.
 *
 * The first line of every segment says which open flow is the oldest ("oldest"),
 * so that no more than the segments since then are read. After a clean stop
 * only the tail is.
 *
 * Trusts: nothing. Only lines in our own form are understood, by a reader that
 * knows flat objects in a fixed order; others are counted and skipped.
 * Must not: write.
 */
#include "config.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "recorder.h"

#define READ_SIZE	(1u << 20)

struct text {
	const char	*p;
	size_t		 len;
};
struct seen {				/* one line */
	uint64_t	seq, rec, flow, from, to, oldest;
	struct text	type;
	struct slice	body;
	uint8_t		inst[16];
	bool		has_inst, torn;
};

static bool
is(const struct text *t, const char *word)
{
	return t->len == strlen(word) && memcmp(t->p, word, t->len) == 0;
}

static uint64_t
number(const struct text *t)
{
	uint64_t	v = 0;
	size_t		i;

	for (i = 0; i < t->len && t->p[i] >= '0' && t->p[i] <= '9'; i++)
		v = v * 10 + (uint64_t)(t->p[i] - '0');
	return v;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
inst_parse(uint8_t out[16], const struct text *t)
{
	size_t	i, n = 0;
	int	hi, lo;

	for (i = 0; i + 1 < t->len && n < 16;) {
		if (t->p[i] == '-') {
			i++;
			continue;
		}
		hi = hex_digit(t->p[i]);
		lo = hex_digit(t->p[i + 1]);
		if (hi < 0 || lo < 0)
			return false;
		out[n++] = (uint8_t)(hi << 4 | lo);
		i += 2;
	}
	return n == 16 && i == t->len;
}

/* A string's content up to its closing quote, escapes left as they are. */
static bool
take_string(struct text *in, struct text *out)
{
	size_t	i;

	for (i = 1; i < in->len && in->p[i] != '"'; i++)
		if (in->p[i] == '\\')
			i++;
	if (i >= in->len)
		return false;
	out->p = in->p + 1;
	out->len = i - 1;
	in->p += i + 1;
	in->len -= i + 1;
	return true;
}

static bool
take_value(struct text *in, struct text *out)
{
	size_t	i;

	if (in->len > 0 && *in->p == '"')
		return take_string(in, out);
	for (i = 0; i < in->len && in->p[i] != ',' && in->p[i] != '}'; i++)
		;
	out->p = in->p;
	out->len = i;
	in->p += i;
	in->len -= i;
	return i > 0;
}

/* Members from tenant to pol: what a close repeats of its open (line.c). */
static bool
in_body(const struct text *key)
{
	static const char *const	keys[] = { "tenant", "guest", "flow",
					    "proto", "rule", "loc", "gen", "pol" };
	size_t				i;

	if (key->len > 2 && key->p[1] == '.')	/* g. and h. */
		return true;
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (is(key, keys[i]))
			return true;
	return false;
}

static void
note(struct seen *s, const struct text *key, const struct text *value)
{
	if (is(key, "seq"))
		s->seq = number(value);
	else if (is(key, "type"))
		s->type = *value;
	else if (is(key, "inst"))
		s->has_inst = inst_parse(s->inst, value);
	else if (is(key, "rec"))
		s->rec = number(value);
	else if (is(key, "flow"))
		s->flow = number(value);
	else if (is(key, "from"))
		s->from = number(value);
	else if (is(key, "to"))
		s->to = number(value);
	else if (is(key, "oldest"))
		s->oldest = number(value);
	else if (is(key, "torn"))
		s->torn = is(value, "true");
}

static bool
members(struct text in, struct seen *s)
{
	struct text	key, value;
	const char	*start;

	while (in.len > 1 && (*in.p == ',' || *in.p == '{')) {
		start = in.p++;
		in.len--;
		if (*in.p != '"' || !take_string(&in, &key) ||
		    in.len < 2 || *in.p != ':')
			return false;
		in.p++;
		in.len--;
		if (!take_value(&in, &value))
			return false;
		note(s, &key, &value);
		if (in_body(&key)) {
			if (s->body.p == NULL)
				s->body.p = start;
			s->body.len = (size_t)(in.p - s->body.p);
		}
	}
	return in.len == 1 && *in.p == '}';
}

static bool
understand(struct text line, struct seen *s)
{
	static const char	start[] = "{\"v\":1,\"seq\":";

	memset(s, 0, sizeof(*s));
	return line.len > sizeof(start) && line.len < LINE_ROOM &&
	    memcmp(line.p, start, sizeof(start) - 1) == 0 &&
	    members(line, s) && s->seq != 0;
}

struct reading {
	struct scan	*scan;
	struct openset	*opens;
	const uint8_t	*inst;
};

static void
follow(struct reading *rd, const struct seen *s)
{
	if (s->torn)
		return;
	if (is(&s->type, "flow.open")) {
		if (s->has_inst && openset_add(rd->opens, s->inst, s->flow,
		    s->seq, &s->body) == -1)
			log_warnx("more than %u flows are open in the log",
			    OPENS_MAX);
	} else if (is(&s->type, "flow.close")) {
		if (s->has_inst)
			openset_del(rd->opens, s->inst, s->flow);
	} else if (is(&s->type, "audit.gap") && s->from != 0)
		openset_void(rd->opens, s->from, s->to);
}

static void
one_line(struct reading *rd, struct text line)
{
	struct scan	*scan = rd->scan;
	struct seen	 s;

	scan->lines++;
	if (!understand(line, &s)) {
		scan->strange++;
		return;
	}
	if (s.seq > scan->seq)
		scan->seq = s.seq;
	if (s.has_inst && memcmp(s.inst, rd->inst, 16) == 0 &&
	    s.rec > scan->rec)
		scan->rec = s.rec;
	scan->stopped = is(&s.type, "daemon.stop");
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
		size_t	len = (size_t)n < 7 ? (size_t)n : 7;

		return memcmp(buf, "{\"v\":1,", len) == 0 ? 0 : -1;
	}
	return understand((struct text){ buf, (size_t)(nl - buf) }, s) ? 1 : -1;
}

/* The number of a retired segment's name, or 0. */
static uint64_t
segment_number(const char *file, const char *name)
{
	size_t		n = strlen(name);
	struct text	t;

	if (strncmp(file, name, n) != 0 || file[n] != '.')
		return 0;
	t.p = file + n + 1;
	t.len = strlen(t.p);
	if (t.len < 12 || t.len > 19 || strspn(t.p, "0123456789") != t.len)
		return 0;
	return number(&t);
}

/* The highest number <= `most`, or with up the lowest > `most`; 0 = none. */
static uint64_t
find_segment(int dir, const char *name, uint64_t most, bool up)
{
	static char		buf[32768] __attribute__((aligned(8)));
	const struct dirent64	*d;
	uint64_t		v, best = 0;
	ssize_t			n, i;
	int			fd = openat(dir, ".", DIRECTORY_READ);

	if (fd == -1)
		return 0;
	while ((n = getdents64(fd, buf, sizeof(buf))) > 0)
		for (i = 0; i < n; i += d->d_reclen) {
			d = (const void *)(buf + i);
			v = segment_number(d->d_name, name);
			if (v == 0)
				continue;
			if (up ? v > most && (best == 0 || v < best) :
			    v <= most && v > best)
				best = v;
		}
	close(fd);
	return best;
}

static int
open_segment(int dir, const char *name, uint64_t first)
{
	char	path[NAME_ROOM];

	segment_name(path, name, first);
	return openat(dir, path, SEGMENT_READ);
}

/* Where to begin: the segment that holds the oldest open flow. 0 = active. */
static uint64_t
begin_at(int dir, const char *name, uint64_t oldest, bool empty)
{
	uint64_t	first, back;
	struct seen	s;
	int		fd;

	if (oldest != 0)
		return find_segment(dir, name, oldest, false);
	if (!empty)
		return 0;
	/* Nothing in the active one: the newest of the others knows. */
	if ((first = find_segment(dir, name, UINT64_MAX, false)) == 0)
		return 0;
	if ((fd = open_segment(dir, name, first)) == -1)
		return first;
	back = first_line(fd, &s) == 1 && s.oldest != 0 ?
	    find_segment(dir, name, s.oldest, false) : 0;
	close(fd);
	return back != 0 ? back : first;
}

static int
read_retired(struct reading *rd, int dir, const char *name, uint64_t first)
{
	int	fd, r;

	for (; first != 0; first = find_segment(dir, name, first, true)) {
		if ((fd = open_segment(dir, name, first)) == -1) {
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

/* After a clean stop the last line is daemon.stop and nothing is open. */
static bool
stopped_cleanly(struct reading *rd, const struct segment *active)
{
	static char	buf[2 * LINE_ROOM];
	uint64_t	at = active->size > sizeof(buf) ?
			    active->size - sizeof(buf) : 0;
	ssize_t		n = pread(active->fd, buf, sizeof(buf), (off_t)at);
	const char	*nl;
	struct seen	s;

	if (n < 2 || buf[n - 1] != '\n')
		return false;
	nl = memrchr(buf, '\n', (size_t)n - 1);
	nl = nl == NULL ? buf : nl + 1;
	if (!understand((struct text){ nl, (size_t)(buf + n - 1 - nl) }, &s) ||
	    !is(&s.type, "daemon.stop"))
		return false;
	rd->scan->seq = s.seq;
	rd->scan->stopped = true;
	return true;
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
	if ((newest = find_segment(dir, name, UINT64_MAX, false)) != 0)
		segment_name(scan->prev, name, newest);
	if (quick && stopped_cleanly(&rd, active))
		return 0;
	if (read_retired(&rd, dir, name, begin_at(dir, name, s.oldest,
	    r == 0)) == -1 || read_lines(&rd, active->fd, 0) == -1) {
		log_warn("reading %s", name);
		return -1;
	}
	if (scan->strange != 0)
		log_warnx("%s: %llu of %llu lines are not records", name,
		    (unsigned long long)scan->strange,
		    (unsigned long long)scan->lines);
	return 0;
}
