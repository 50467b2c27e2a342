/*
 * One file of the log: opened, checked, locked, appended to, retired.
 *
 * Trusts: the directory behind its fd, as far as the kernel's permissions go.
 * Anything in it may have been put there by someone else: a file is used only
 * if it is regular, ours, not linked elsewhere and not a symlink's target.
 * Must not: truncate, overwrite, or name a path outside that directory; or go on
 * with a file that is no longer the one of its name.
 */
#include "config.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "recorder.h"

/*
 * Preallocated ahead, so that fdatasync(2) need not write metadata and a full
 * disk is seen before a line is begun. Grows with the file: small logs stay
 * small.
 */
#define CHUNK_MIN	(16u << 10)
#define CHUNK_MAX	(1u << 20)
#define PAGE		4096u

/* 0, or -1: what is wrong with it is in errno. */
static int
check(int fd)
{
	struct stat	st;

	if (fstat(fd, &st) == -1)
		return -1;
	if (!S_ISREG(st.st_mode)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		return -1;
	}
	if (st.st_uid != geteuid() || st.st_nlink != 1 ||
	    (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
		errno = EPERM;
		return -1;
	}
	return 0;
}

bool
segment_there(const struct segment *s, int dir, const char *name)
{
	struct stat	st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_dev == s->dev && st.st_ino == s->ino;
}

/*
 * More than we wrote is somebody else's, and where it stands among our lines is
 * not known: that is no better than less.
 */
enum loss
segment_loss(const struct segment *s, int dir, const char *name)
{
	struct stat	st;

	if (s->fd == -1)
		return LOSS_NONE;
	if (fstat(s->fd, &st) == -1 || st.st_nlink == 0)
		return LOSS_REMOVED;
	if (!segment_there(s, dir, name))
		return LOSS_MOVED;
	return (uint64_t)st.st_size == s->size ? LOSS_NONE : LOSS_CHANGED;
}

int
segment_aside(int dir, const char *name, uint64_t seq)
{
	char		to[NAME_ROOM];
	struct stat	st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return errno == ENOENT ? 0 : -1;
	snprintf(to, sizeof(to), "%s.foreign.%012llu", name,
	    (unsigned long long)seq);
	if (fstatat(dir, to, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		errno = EEXIST;
		return -1;
	}
	return renameat(dir, name, dir, to);
}

static int
adopt(struct segment *s, int dir, const char *name, int fd)
{
	struct stat	st;

	memset(s, 0, sizeof(*s));
	s->fd = -1;
	if (check(fd) == -1 || flock(fd, LOCK_EX | LOCK_NB) == -1 ||
	    fstat(fd, &st) == -1) {
		fd_drop(&fd);
		return -1;
	}
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	if (!segment_there(s, dir, name)) {	/* its owner has just retired it */
		close(fd);
		errno = EWOULDBLOCK;
		return -1;
	}
	s->fd = fd;
	s->size = s->alloc = (uint64_t)st.st_size;
	return 0;
}

int
segment_create(struct segment *s, int dir, const char *name)
{
	int	fd = openat(dir, name, SEGMENT_MAKE, 0600);

	s->fd = -1;
	return fd == -1 ? -1 : adopt(s, dir, name, fd);
}

int
segment_open(struct segment *s, int dir, const char *name)
{
	int	fd;

	if (segment_create(s, dir, name) == 0)
		return 0;
	if (errno != EEXIST)
		return -1;
	if ((fd = openat(dir, name, SEGMENT_REOPEN)) == -1)
		return -1;
	return adopt(s, dir, name, fd);
}

void
segment_close(struct segment *s)
{
	fd_drop(&s->fd);
	s->first = s->size = s->alloc = 0;
}

static int
extend(struct segment *s, uint64_t to)
{
	if (fallocate(s->fd, FALLOC_FL_KEEP_SIZE, (off_t)s->alloc,
	    (off_t)(to - s->alloc)) == -1)
		return -1;
	s->alloc = to;
	return 0;
}

static uint64_t
page_up(uint64_t n)
{
	return (n + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

int
segment_space(struct segment *s, size_t len, uint64_t limit)
{
	uint64_t	need = s->size + len, want, chunk = s->size / 2;

	if (need <= s->alloc || s->no_alloc)
		return 0;
	if (chunk < CHUNK_MIN)
		chunk = CHUNK_MIN;
	if (chunk > CHUNK_MAX)
		chunk = CHUNK_MAX;
	want = page_up(need + chunk);
	if (limit != 0 && want > page_up(limit))
		want = page_up(limit);
	if (want > page_up(need) && extend(s, want) == 0)
		return 0;
	if (extend(s, page_up(need)) == 0)
		return 0;
	if (errno == EOPNOTSUPP || errno == ENOSYS) {
		s->no_alloc = true;
		return 0;
	}
	return -1;
}

/*
 * The size of the file, not the result of write(2), says what got in: that is
 * the truth also where write(2) lies or fails half way.
 */
size_t
segment_append(struct segment *s, const char *buf, size_t len)
{
	struct stat	st;
	ssize_t		n = write(s->fd, buf, len);
	int		err = n == -1 ? errno : ENOSPC;
	size_t		got = 0;

	if (n == (ssize_t)len)
		got = len;
	else if (fstat(s->fd, &st) == 0 && (uint64_t)st.st_size > s->size) {
		got = (size_t)((uint64_t)st.st_size - s->size);
		if (got > len)
			got = len;
	}
	s->size += got;
	errno = err;
	return got;
}

int
segment_sync(const struct segment *s)
{
	return fdatasync(s->fd);
}

void
segment_name(char out[NAME_ROOM], const char *name, uint64_t first)
{
	snprintf(out, NAME_ROOM, "%s.%012llu", name,
	    (unsigned long long)first);
}

int
segment_retire(const struct segment *s, int dir, const char *name,
    char to[NAME_ROOM])
{
	struct stat	st;

	segment_name(to, name, s->first);
	if (!segment_there(s, dir, name)) {
		errno = ESTALE;
		return -1;
	}
	if (fstatat(dir, to, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		errno = EEXIST;
		return -1;
	}
	return renameat(dir, name, dir, to);
}
