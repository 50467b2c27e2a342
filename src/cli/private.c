/*
 * Directories of CMD's own: /run, /tmp, /var/tmp (/dev and /dev/shm: devices.c), and
 * an empty one for each that an automounter serves.
 *
 * Programs of the host listen there, and make their sockets anew at any time. A
 * cover on a socket's name falls off when the host unlinks the name, and none can
 * lie on a name that does not exist yet. In a directory of CMD's own neither
 * appears.
 *
 * Trusts: the user's own environment.
 * Must not: bring a directory of the host's back; that is kept.c's.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "world.h"

#define LINKS_MAX	256	/* symlinks of /run that are carried over */

static void
add(struct private_dirs *p, const char *name, enum private_kind kind)
{
	struct private_dir	*more;
	struct stat		 st;
	char			 path[PATH_MAX];
	size_t			 i;

	if (realpath(name, path) == NULL || stat(path, &st) == -1 ||
	    !S_ISDIR(st.st_mode) || strcmp(path, "/") == 0)
		return;
	for (i = 0; i < p->n; i++)
		if (strcmp(p->of[i].path, path) == 0)
			return;
	more = reallocarray(p->of, p->n + 1, sizeof(*more));
	if (more == NULL)
		fatal("no memory");
	p->of = more;
	more[p->n] = (struct private_dir){ strdup(path), strdup(name), kind };
	if (more[p->n].path == NULL || more[p->n].name == NULL)
		fatal("no memory");
	p->n++;
}

/* $XDG_RUNTIME_DIR, where it is in none of the others. */
static void
add_runtime(const struct run *r, struct private_dirs *p)
{
	const char	*dir = getenv("XDG_RUNTIME_DIR"), *home;
	char		 real[PATH_MAX];

	home = run_home(r);
	if (dir == NULL || *dir != '/' || realpath(dir, real) == NULL ||
	    private_over(p, real) != NULL || mounts_above(real, home))
		return;
	add(p, real, PRIVATE_RUNTIME);
}

/*
 * An automounter's indirect map: whoever looks up a name in it has a daemon of the
 * host's ask for that name and mount what it finds, from a server by that name where
 * the map is -hosts.
 */
static void
add_automounts(struct run *r)
{
	size_t	i;

	for (i = 0; i < r->nmounted; i++)
		if (r->mounted[i].automount)
			add(&r->own, r->mounted[i].at, PRIVATE_EMPTY);
}

/* Not what is below one of them: it goes with that. A socket is for sockets.c. */
static int
add_alias(void *run, const char *path)
{
	struct run	*r = run;

	if (private_over(&r->own, path) == NULL && !outside_add(r, path, false))
		add(&r->own, path, PRIVATE_EMPTY);
	return 0;
}

/*
 * What a chroot has: terminals, devices, queues, control groups. By their kind, since
 * each mount may be an instance of its own. /proc and /sys: kernelfs.c.
 */
static void
add_kernels(struct run *r)
{
	static const char *const	types[] = { "devpts", "devtmpfs", "mqueue",
					    "cgroup", "cgroup2" };
	const struct mounted		*m;
	size_t				 i, k;

	for (i = 0; i < r->nmounted; i++)
		for (k = 0; k < sizeof(types) / sizeof(types[0]); k++) {
			m = &r->mounted[i];
			if (strcmp(m->type, types[k]) == 0 &&
			    !mounts_above("/proc", m->at) &&
			    !mounts_above("/sys", m->at))
				(void)add_alias(r, m->at);
		}
}

/* Each /run/user/UID is a file system of its own, which may be bound elsewhere, too. */
static void
add_parts_of_run(struct run *r)
{
	const struct private_dir	*d;
	const struct mounted		*m;
	size_t				 i;

	for (i = 0; i < r->nmounted; i++) {
		m = &r->mounted[i];
		d = private_over(&r->own, m->at);
		if (d != NULL && d->kind == PRIVATE_RUN &&
		    strcmp(m->type, "tmpfs") == 0)
			(void)aliases_walk(r, m->at, add_alias, r);
	}
}

/*
 * A second mount of the same file system shows the host's /tmp at another path, and a
 * directory of the host's /run may be mounted by itself.
 */
static void
add_aliases(struct run *r)
{
	size_t	i, n = r->own.n;

	add_kernels(r);
	add_parts_of_run(r);
	for (i = 0; i < n; i++) {
		(void)aliases_walk(r, r->own.of[i].path, add_alias, r);
		(void)aliases_parts(r, r->own.of[i].path, add_alias, r);
	}
	(void)aliases_walk(r, "/dev/shm", add_alias, r);
	(void)aliases_parts(r, "/dev/shm", add_alias, r);
}

void
private_find(struct run *r)
{
	struct private_dirs	*p = &r->own;

	p->n = 0;
	add(p, "/dev", PRIVATE_DEV);
	add(p, "/run", PRIVATE_RUN);
	add(p, "/var/run", PRIVATE_RUN);
	if (!r->share_tmp) {
		add(p, "/tmp", PRIVATE_TMP);
		add(p, "/var/tmp", PRIVATE_TMP);
	}
	add_automounts(r);
	add_runtime(r, p);
	add_aliases(r);
}

const struct private_dir *
private_over(const struct private_dirs *p, const char *path)
{
	size_t	i;

	for (i = 0; i < p->n; i++)
		if (mounts_above(p->of[i].path, path) ||
		    mounts_above(p->of[i].name, path))
			return &p->of[i];
	return NULL;
}

/*
 * The parents as they come; the last one is CMD's alone. Only where nobody outside
 * could turn a name of the path into something else.
 */
static int
own_dir(const struct run *r, const char *path)
{
	mounts_point(path, true);
	if (chmod(path, 0700) == 0 &&
	    (!r->who.other || chown(path, r->who.uid, r->who.gid) == 0))
		return 0;
	log_warn("%s: a directory for CMD", path);
	return -1;
}

/* Where the environment says that files of CMD's go. */
static int
own_named(const struct run *r)
{
	static const char *const	names[] = { "XDG_RUNTIME_DIR", "TMPDIR",
					    "TMP", "TEMP", "TEMPDIR",
					    "TMUX_TMPDIR", "XDG_CACHE_HOME" };
	const struct private_dir	*d;
	const char			*dir;
	struct stat			 st;
	size_t				 i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		dir = getenv(names[i]);
		if (dir == NULL || (d = private_over(&r->own, dir)) == NULL ||
		    d->kind == PRIVATE_RUNTIME || d->kind == PRIVATE_EMPTY ||
		    strstr(dir, "/..") != NULL || stat(dir, &st) == 0)
			continue;
		if (own_dir(r, dir) == -1)
			return -1;
	}
	return 0;
}

/* /run's own links, as NixOS has its programs behind one: a name opens nothing. */
static void
carry_links(DIR *old, const char *path)
{
	struct dirent	*e;
	char		 target[PATH_MAX], name[PATH_MAX * 2];
	ssize_t		 n;
	int		 left = LINKS_MAX;

	while (left > 0 && (e = readdir(old)) != NULL) {
		if (e->d_type != DT_LNK)
			continue;
		n = readlinkat(dirfd(old), e->d_name, target,
		    sizeof(target) - 1);
		if (n == -1)
			continue;
		target[n] = '\0';
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (symlink(target, name) == 0)
			left--;
	}
}

static int
fill_run(const struct run *r, const char *path)
{
	char	name[PATH_MAX + 64];

	snprintf(name, sizeof(name), "%s/lock", path);
	if ((mkdir(name, 0755) == -1 && errno != EEXIST) || chmod(name, 01777) == -1)
		return -1;
	snprintf(name, sizeof(name), "%s/shm", path);
	if (symlink("/dev/shm", name) == -1 && errno != EEXIST)
		return -1;
	snprintf(name, sizeof(name), "%s/user/%u", path, r->who.uid);
	return own_dir(r, name);
}

static int
make_run(const struct run *r, const struct private_dir *d)
{
	DIR	*old = opendir(d->path);
	int	 rc = -1;

	if (mounts_tmpfs(d->path, "mode=0755,size=20%") == 0) {
		if (old != NULL)
			carry_links(old, d->path);
		rc = fill_run(r, d->path);
	}
	if (old != NULL)
		closedir(old);
	return rc;
}

static int
make_one(const struct run *r, const struct private_dir *d)
{
	char	options[80];

	switch (d->kind) {
	case PRIVATE_RUN:
		return make_run(r, d);
	case PRIVATE_TMP:
		return mounts_tmpfs(d->path, "mode=1777,size=50%");
	case PRIVATE_EMPTY:
		return mounts_tmpfs(d->path, "mode=0555,size=64k,nr_inodes=64");
	case PRIVATE_RUNTIME:
		snprintf(options, sizeof(options),
		    "mode=0700,size=20%%,uid=%u,gid=%u", r->who.uid, r->who.gid);
		return mounts_tmpfs(d->path, options);
	case PRIVATE_DEV:
		break;
	}
	return devices_make();
}

int
private_make(const struct run *r)
{
	size_t	i;

	for (i = 0; i < r->own.n; i++) {
		/* one may have been below another */
		if (r->own.of[i].kind == PRIVATE_TMP &&
		    access(r->own.of[i].path, F_OK) == -1)
			mounts_point(r->own.of[i].path, true);
		if (make_one(r, &r->own.of[i]) == 0 || (errno == ENOENT &&
		    r->own.of[i].kind == PRIVATE_EMPTY))
			continue;	/* went with one above it */
		log_warn("%s: a directory of CMD's own in its place; the kernel "
		    "has to allow tmpfs and devpts in user namespaces",
		    r->own.of[i].path);
		return -1;
	}
	return own_named(r);
}
