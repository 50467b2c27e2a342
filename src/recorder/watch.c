/*
 * Is the log still where it was, and what it was? Its files have names, and who may
 * write to the directory, or to one above it, can take those away from under us:
 * then we would go on writing where nobody looks.
 *
 * Looked at by every commit before it is acknowledged (writer.c), and here once in a
 * second. Retired segments are not: those may be moved and removed.
 *
 * Trusts: fds. Must not: open anything by a path; one is only looked at.
 */
#include "config.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>

#include "log.h"
#include "recorder.h"

/* -1: that cannot be known. */
static int
same_directory(int dir, const char *path)
{
	struct stat	a, b;

	if (fstat(dir, &a) == -1)
		return -1;
	if (fstatat(AT_FDCWD, path, &b, 0) == -1)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/*
 * Root's recorder is the owner of the directory, who may not be let through to it
 * from above.
 */
void
watch_begin(struct writer *w, const char *path)
{
	int	same;

	w->watch_at = writer_now() + WATCH_NS;
	if (path == NULL)
		return;
	if ((same = same_directory(w->dir, path)) == 0)
		fatalx("%s is not the directory of the log any more", path);
	if (same == 1)
		w->path = path;
	else
		log_info("%s cannot be looked at: it will not be seen if it is "
		    "moved", path);
}

bool
watch_away(const struct writer *w)
{
	return w->path != NULL && same_directory(w->dir, w->path) == 0;
}

static void
keep_reserve(struct writer *w)
{
	if (reserve_kept(&w->reserve, w->dir, w->name))
		return;
	log_warnx("%s.reserve was taken away; another one is made", w->name);
	if (reserve_make(&w->reserve, w->dir, w->name) == -1)
		(void)failure_full(w, errno);
}

void
watch_look(struct writer *w)
{
	enum loss	loss = segment_loss(&w->seg, w->dir, w->name);

	w->watch_at = writer_now() + WATCH_NS;
	if (loss != LOSS_NONE && w->state != WRITER_BROKEN) {
		(void)failure_lost(w, loss);
		return;
	}
	if (w->state == WRITER_OK)
		keep_reserve(w);
	if (!w->away && watch_away(w))
		failure_away(w);
}
