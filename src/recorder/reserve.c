/*
 * The emergency reserve: the next segment, empty but with its blocks, kept for
 * the day the disk is full. Then it becomes the active segment, and holds the
 * closes and denies of what is still running and the words about the gap.
 *
 * It is FILE.reserve; as a file of its own, because blocks preallocated behind
 * the end of a segment could not be given back without truncating it.
 *
 * Must not: be given up for a flow.open.
 */
#include "config.h"

#include <sys/stat.h>
#include <sys/statfs.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "log.h"
#include "recorder.h"

static void
reserve_name(char out[NAME_ROOM], const char *name)
{
	snprintf(out, NAME_ROOM, "%s.reserve", name);
}

/* min(8 MiB, 1/8 of what is free), and at least a page. 0 = not enough. */
static uint64_t
size_for(int dir)
{
	struct statfs	fs;
	uint64_t	size;

	if (fstatfs(dir, &fs) == -1)
		return 0;
	size = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize / 8;
	if (size > RESERVE_MAX)
		size = RESERVE_MAX;
	return size < RESERVE_MIN ? 0 : size & ~(uint64_t)(RESERVE_MIN - 1);
}

/* Blocks of its own, and a disk that answers. */
static int
fill(struct segment *s, uint64_t size)
{
	if (fallocate(s->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) == 0)
		s->alloc = size;
	else if (errno == EOPNOTSUPP || errno == ENOSYS)
		s->no_alloc = true;
	else
		return -1;
	return segment_sync(s);
}

int
reserve_make(struct reserve *r, int dir, const char *name)
{
	char		path[NAME_ROOM];
	uint64_t	size;
	int		err;

	reserve_name(path, name);
	if (segment_open(&r->seg, dir, path) == -1)
		return -1;
	size = size_for(dir);
	if (r->seg.size != 0) {
		errno = EEXIST;
		log_warnx("%s is not empty: move it away", path);
	} else if (size == 0)
		errno = ENOSPC;
	else if (fill(&r->seg, size) == 0) {
		r->size = size;
		return 0;
	}
	err = errno;
	if (r->seg.size == 0)
		unlinkat(dir, path, 0);
	segment_close(&r->seg);
	errno = err;
	return -1;
}

int
reserve_take(struct reserve *r, int dir, const char *name, struct segment *out)
{
	char		path[NAME_ROOM];
	struct stat	st;

	if (r->size == 0) {
		errno = ENOSPC;
		return -1;
	}
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		errno = EEXIST;		/* renameat(2) would destroy it */
		return -1;
	}
	if (!reserve_kept(r, dir, name)) {
		errno = ESTALE;
		return -1;
	}
	reserve_name(path, name);
	if (renameat(dir, path, dir, name) == -1)
		return -1;
	*out = r->seg;
	r->seg.fd = -1;
	r->size = 0;
	return 0;
}

void
reserve_remove(struct reserve *r, int dir, const char *name)
{
	char	path[NAME_ROOM];

	if (r->size == 0)
		return;
	reserve_name(path, name);
	unlinkat(dir, path, 0);
	segment_close(&r->seg);
	r->size = 0;
}

bool
reserve_kept(struct reserve *r, int dir, const char *name)
{
	char	path[NAME_ROOM];

	if (r->size == 0)
		return true;
	reserve_name(path, name);
	if (segment_loss(&r->seg, dir, path) == LOSS_NONE)
		return true;
	segment_close(&r->seg);
	r->size = 0;
	return false;
}
