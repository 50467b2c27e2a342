/*
 * Writes the id maps of a new user namespace. See include/idmap.h and
 * user_namespaces(7).
 *
 * Trusts: the caller's choice of ids. Must not: map an id onto another one.
 */
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "idmap.h"

#define MAP_MAX	4096	/* what one write(2) to a map may be: a page */

/* A whole small file of /proc. Its length, or -1. */
static ssize_t
slurp(const char *path, char *buf, size_t size)
{
	size_t	len = 0;
	ssize_t	n;
	int	fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd == -1)
		return -1;
	while (len < size - 1 &&
	    (n = read(fd, buf + len, size - 1 - len)) > 0)
		len += (size_t)n;
	buf[len] = '\0';
	close(fd);
	return (ssize_t)len;
}

/* The next "inside outside count" of a map. False: no more. */
static bool
extent(const char **p, uint32_t *first, uint32_t *count)
{
	uint32_t	outside;
	int		used;

	if (sscanf(*p, "%" SCNu32 " %" SCNu32 " %" SCNu32 "%n", first,
	    &outside, count, &used) != 3)
		return false;
	*p += used;
	return true;
}

/* True if the map (its text) is of more than one id. */
bool
idmap_many(const char *map)
{
	uint32_t	first, count;
	uint64_t	sum = 0;

	while (extent(&map, &first, &count))
		sum += count;
	return sum > 1;
}

static bool
effective(uint32_t need)
{
	struct __user_cap_header_struct	head = {
					    .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct	data[2];

	memset(data, 0, sizeof(data));
	return syscall(SYS_capget, &head, data) == 0 &&
	    (data[0].effective & need) == need;
}

bool
idmap_may_name_root(void)
{
	return effective(1u << CAP_SETFCAP);
}

/*
 * "root" with one id (unshare -r, a rootless container's without subordinate ids)
 * has every capability and nobody to become: it goes the ordinary user's way.
 */
bool
idmap_privileged(void)
{
	char	text[MAP_MAX];

	return geteuid() == 0 &&
	    effective(1u << CAP_SETUID | 1u << CAP_SETGID) &&
	    slurp("/proc/self/uid_map", text, sizeof(text)) != -1 &&
	    idmap_many(text);
}

bool
idmap_has_uid(uid_t uid)
{
	char		text[MAP_MAX];
	const char	*p = text;
	uint32_t	first, count;

	if (slurp("/proc/self/uid_map", text, sizeof(text)) == -1)
		return false;
	while (extent(&p, &first, &count))
		if (uid >= first && uid - first < count)
			return true;
	return false;
}

bool
idmap_lacks_root(void)
{
	char		text[MAP_MAX];
	const char	*p = text;
	uint32_t	first, count, outside;

	if (slurp("/proc/self/uid_map", text, sizeof(text)) <= 0)
		return false;
	/* of one id that is called 0 (unshare -r): that is who we are outside */
	if (!idmap_many(text))
		return sscanf(text, "%*u %" SCNu32, &outside) == 1 && outside != 0;
	while (extent(&p, &first, &count))
		if (first == 0 && count > 0)
			return false;
	return true;
}

int
idmap_identity(const char *own, char *out, size_t size)
{
	uint32_t	first, count;
	size_t		len = 0;
	int		n;

	while (extent(&own, &first, &count)) {
		n = snprintf(out + len, size - len,
		    "%" PRIu32 " %" PRIu32 " %" PRIu32 "\n", first, first,
		    count);
		if (n < 0 || (size_t)n >= size - len)
			return -1;
		len += (size_t)n;
	}
	return len > 0 ? (int)len : -1;
}

static int
put(pid_t pid, const char *name, const char *text)
{
	char	path[64];
	int	fd, r;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	if ((fd = open(path, O_WRONLY | O_CLOEXEC)) == -1)
		return -1;
	r = fd_write_all(fd, text, strlen(text));
	fd_drop(&fd);
	return r;
}

static int
put_map(pid_t pid, const char *name, bool full, uint32_t id)
{
	char	own[MAP_MAX], path[64], text[MAP_MAX];

	if (!full) {
		snprintf(text, sizeof(text), "%" PRIu32 " %" PRIu32 " 1\n",
		    id, id);
		return put(pid, name, text);
	}
	snprintf(path, sizeof(path), "/proc/self/%s", name);
	if (slurp(path, own, sizeof(own)) == -1 ||
	    idmap_identity(own, text, sizeof(text)) == -1) {
		errno = EINVAL;
		return -1;
	}
	return put(pid, name, text);
}

/*
 * "deny" must be there before an unprivileged writer may set gid_map: else a
 * process could drop a group that was meant to keep it out of a file.
 */
int
idmap_write(pid_t pid, const struct idmap *m)
{
	if (!m->setgroups && put(pid, "setgroups", "deny") == -1)
		return -1;
	if (put_map(pid, "uid_map", m->full, m->uid) == -1)
		return -1;
	return put_map(pid, "gid_map", m->full, m->gid);
}
