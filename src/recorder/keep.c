/*
 * `audit { keep ... }`: the oldest retired segments go when there are more than the
 * policy keeps. Looked at when a segment begins, which is when there is one more.
 *
 * Trusts: the directory as far as segment.c does. Must not: remove the file that is
 * written to, or one that is not a segment of this log: regular, ours, under one name,
 * and its first line has the number that its name has. Must not: remove what no line
 * tells of; the line is on the disk first.
 */
#include "config.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"
#include "recorder.h"

struct kept {
	uint64_t	*first;		/* ascending */
	size_t		 n, at;		/* at: the oldest that is not looked at yet */
	uint64_t	 files, bytes;
};

/*
 * The size of a segment of this log; 0: it is none. What only has such a name takes no
 * segment's place either.
 */
static uint64_t
size_of(const struct writer *w, uint64_t first)
{
	char		path[NAME_ROOM];
	struct stat	st;

	segment_name(path, w->name, first);
	if (fstatat(w->dir, path, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
	    !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
	    st.st_nlink != 1 || !scan_begins(w->dir, w->name, first))
		return 0;
	return (uint64_t)st.st_size;
}

static void
count(const struct writer *w, struct kept *k)
{
	uint64_t	size;
	size_t		i;

	for (i = 0; i < k->n; i++) {
		size = size_of(w, k->first[i]);
		k->files += size > 0;
		k->bytes += size;
	}
}

static bool
too_many(const struct writer *w, const struct kept *k)
{
	return (w->keep_files != 0 && k->files > w->keep_files) ||
	    (w->keep_bytes != 0 && k->bytes > w->keep_bytes);
}

static int
tell(struct writer *w, const char *path, uint64_t from, uint64_t to)
{
	struct stamp	at;
	struct json	j = writer_line(w, &at);

	line_remove(&j, &w->origin, &at, w->acked, path, from, to);
	return writer_add(w, &j) == -1 || writer_flush(w) == -1 ? -1 :
	    writer_commit(w);
}

static int
remove_oldest(struct writer *w, struct kept *k)
{
	uint64_t	first = k->first[k->at++], size = size_of(w, first);
	uint64_t	next = k->at < k->n ? k->first[k->at] : w->seg.first;
	char		path[NAME_ROOM];

	if (size == 0)
		return 0;		/* somebody else's */
	segment_name(path, w->name, first);
	if (tell(w, path, first, next - 1) == -1)
		return -1;
	if (unlinkat(w->dir, path, 0) == -1) {
		log_warn("removing %s", path);
		return -1;
	}
	k->files--;
	k->bytes -= size;
	return 0;
}

int
keep_trim(struct writer *w)
{
	struct kept	k = { .at = 0 };
	int		r = 0;

	if ((w->keep_files == 0 && w->keep_bytes == 0) ||
	    w->state != WRITER_OK || w->seg.first == 0)
		return 0;
	k.first = retired_list(w->dir, w->name, &k.n);
	count(w, &k);
	while (r == 0 && too_many(w, &k) && k.at < k.n)
		r = remove_oldest(w, &k);
	free(k.first);
	return w->state == WRITER_OK ? 0 : -1;
}
