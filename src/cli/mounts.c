/*
 * Mounts in CMD's mount namespace: covers, read-only binds, places to mount on.
 *
 * Trusts: that nothing runs in the namespace yet.
 * Must not: say nothing when a mount cannot be made.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "world.h"

#define EMPTY	SCRATCH "/empty"

static int
write_file(const char *path, const char *text)
{
	int	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	int	r;

	if (fd == -1)
		return -1;
	r = fd_write_all(fd, text, strlen(text));
	fd_drop(&fd);
	return r;
}

int
mounts_scratch(const struct run *r)
{
	char	text[256];

	snprintf(text, sizeof(text), "# sallyport: the gateway\n%s%s%s",
	    r->v4 ? "nameserver " RUN_GATEWAY4 "\n" : "",
	    r->v6 ? "nameserver " RUN_GATEWAY6 "\n" : "",
	    "options attempts:1\n");
	if (mount("sallyport", SCRATCH, "tmpfs", MS_NOSUID | MS_NODEV |
	    MS_NOEXEC, "mode=0755,size=64k,nr_inodes=16") == -1)
		return -1;
	if (write_file(EMPTY, "") == -1 || write_file(RESOLV, text) == -1)
		return -1;
	return 0;
}

int
mounts_readonly(const char *path, unsigned int flags)
{
	struct mount_attr	a = { .attr_set = MOUNT_ATTR_RDONLY };

	return mount_setattr(AT_FDCWD, path, flags, &a, sizeof(a));
}

static int
cover(const char *path)
{
	struct stat	st;

	if (stat(path, &st) == -1)
		return 0;	/* not there, or not for us: nothing to hide */
	if (S_ISDIR(st.st_mode))
		return mount("sallyport", path, "tmpfs", MS_NOSUID | MS_NODEV |
		    MS_NOEXEC, "mode=0700,size=16m,nr_inodes=1k");
	return mount(EMPTY, path, NULL, MS_BIND, NULL);
}

int
mounts_cover(const char *path)
{
	if (cover(path) == 0)
		return 0;
	log_warn("hiding %s from CMD", path);
	return -1;
}

bool
mounts_above(const char *dir, const char *cwd)
{
	size_t	len = strlen(dir);

	return strncmp(dir, cwd, len) == 0 &&
	    (cwd[len] == '\0' || cwd[len] == '/' || len == 1);
}

void
mounts_point(const char *path, bool dir)
{
	char	p[PATH_MAX];
	char	*s;
	int	fd;

	snprintf(p, sizeof(p), "%s", path);
	for (s = p + 1; (s = strchr(s, '/')) != NULL; s++) {
		*s = '\0';
		(void)mkdir(p, 0755);
		*s = '/';
	}
	if (dir)
		(void)mkdir(p, 0755);
	else if ((fd = open(p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
	    0644)) != -1)
		close(fd);
}

/* As it is, but nobody writes there: a kernel may have it only that way. */
int
mounts_freeze(const char *path)
{
	if (access(path, F_OK) == -1 ||
	    (mount(path, path, NULL, MS_BIND | MS_REC, NULL) == 0 &&
	    mounts_readonly(path, AT_RECURSIVE) == 0))
		return 0;
	log_warn("%s: making it read-only for CMD", path);
	return -1;
}

