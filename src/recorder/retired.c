/*
 * The retired segments of a log: FILE.NNNNNNNNNNNN, by the number of their first line.
 *
 * Trusts: the kernel's listing of the directory; a name says nothing of what is in the
 * file. Must not: open anything that has not such a name, or write.
 */
#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recorder.h"

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
	return parse_number(&t);
}

uint64_t
retired_find(int dir, const char *name, uint64_t most, bool up)
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

/*
 * Shell's sort: glibc's qsort(3) asks for the size of the machine's memory by a call
 * that the seal does not have.
 */
static void
ascending(uint64_t *v, size_t n)
{
	uint64_t	x;
	size_t		gap, i, k;

	for (gap = n / 2; gap > 0; gap /= 2)
		for (i = gap; i < n; i++) {
			x = v[i];
			for (k = i; k >= gap && v[k - gap] > x; k -= gap)
				v[k] = v[k - gap];
			v[k] = x;
		}
}

/* Counts them, and with `out` notes as many as there is room for. */
static size_t
list(int dir, const char *name, uint64_t *out, size_t room)
{
	static char		buf[32768] __attribute__((aligned(8)));
	const struct dirent64	*d;
	size_t			found = 0;
	uint64_t		v;
	ssize_t			n, i;
	int			fd = openat(dir, ".", DIRECTORY_READ);

	if (fd == -1)
		return 0;
	while ((n = getdents64(fd, buf, sizeof(buf))) > 0)
		for (i = 0; i < n; i += d->d_reclen) {
			d = (const void *)(buf + i);
			if ((v = segment_number(d->d_name, name)) == 0)
				continue;
			if (found < room)
				out[found] = v;
			found++;
		}
	close(fd);
	return found < room || out == NULL ? found : room;
}

uint64_t *
retired_list(int dir, const char *name, size_t *n)
{
	size_t		 room = list(dir, name, NULL, 0);
	uint64_t	*v = room == 0 ? NULL : calloc(room, sizeof(*v));

	*n = v == NULL ? 0 : list(dir, name, v, room);
	ascending(v, *n);
	return v;
}

int
retired_open(int dir, const char *name, uint64_t first)
{
	char	path[NAME_ROOM];

	segment_name(path, name, first);
	return openat(dir, path, SEGMENT_READ);
}
