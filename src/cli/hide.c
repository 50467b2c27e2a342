/*
 * What CMD does not see of the host's files, and what it may not write: the ways
 * by which a process with the caller's uid would reach a program outside and have
 * it open a connection, and the traces of this run.
 *
 * This closes the network's back doors. It does not close the file system:
 * sallyport(1), SECURITY.
 *
 * Trusts: the user's own options and environment.
 * Must not: go on when a cover cannot be put where it belongs.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "fd.h"

/* A tmpfs for the sources of binds; over /proc until /proc is made anew. */
#define SCRATCH		"/proc"
#define EMPTY		SCRATCH "/empty"
#define RESOLV		SCRATCH "/resolv.conf"

static const char *const hidden[] = {
	"/run/dbus",			/* system services, systemd among them */
	"/run/systemd",			/* systemd, resolved, the journal */
	"/run/docker.sock", "/run/docker", "/run/containerd", "/run/podman",
	"/run/crio", "/run/libvirt", "/run/snapd.socket",
	"/run/snapd-snap.socket",	/* start things, with a network */
	"/run/nscd", "/run/avahi-daemon",	/* resolve names */
	"/run/screen", "/run/screens", "/tmp/screens",	/* run commands */
	"/tmp/.X11-unix",		/* types into other windows */
};
#define NHIDDEN	(sizeof(hidden) / sizeof(hidden[0]))

/* Root's files of /proc that write(2) alone can do harm with. */
static const char *const readonly[] = {
	"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus",
	"/proc/fs", "/proc/acpi", "/proc/scsi",
};
#define NREADONLY	(sizeof(readonly) / sizeof(readonly[0]))

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

static int
make_scratch(const struct run *r)
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

static int
make_readonly(const char *path, unsigned int flags)
{
	struct mount_attr	a = { .attr_set = MOUNT_ATTR_RDONLY };

	return mount_setattr(AT_FDCWD, path, flags, &a, sizeof(a));
}

/* A directory disappears under an empty one, anything else under a file. */
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

static int
cover_or_say(const char *path)
{
	if (cover(path) == 0)
		return 0;
	log_warn("hiding %s from CMD", path);
	return -1;
}

/* True if `dir' is the working directory or above it. */
static bool
above(const char *dir, const char *cwd)
{
	size_t	len = strlen(dir);

	return strncmp(dir, cwd, len) == 0 &&
	    (cwd[len] == '\0' || cwd[len] == '/' || len == 1);
}

/*
 * The log's directory, if it is the log's alone: its owner's only, and neither
 * home nor where CMD works. Else the file; its later segments then lie open (sallyport(1)).
 */
static int
cover_audit(const struct run *r, const char *cwd)
{
	const char	*home = getenv("HOME");
	char		 path[PATH_MAX], dir[PATH_MAX];
	struct stat	 st;

	snprintf(path, sizeof(path), "%s", r->audit_path);
	if (realpath(dirname(path), dir) != NULL && stat(dir, &st) == 0 &&
	    (st.st_mode & 077) == 0 && !above(dir, cwd) &&
	    (home == NULL || !above(dir, home)))
		return cover_or_say(dir);
	log_info("%s: not a directory of the log's own, mode 0700; only the "
	    "file is hidden from CMD", dir);
	return cover_or_say(r->audit_path);
}

/* The session bus, systemd, agents; tmux and emacs run commands outside. */
static int
cover_users(uid_t uid)
{
	static const char *const	where[] = { "/run/user/",
					    "/tmp/tmux-", "/tmp/emacs" };
	char				path[64];
	size_t				i;

	for (i = 0; i < sizeof(where) / sizeof(where[0]); i++) {
		snprintf(path, sizeof(path), "%s%u", where[i], uid);
		if (cover_or_say(path) == -1)
			return -1;
	}
	return 0;
}

/* The same where the environment says that they are elsewhere. */
static int
cover_named(void)
{
	static const struct { const char *name, *before; } var[] = {
		{ "TMUX", "" }, { "DBUS_SESSION_BUS_ADDRESS", "unix:path=" },
		{ "DOCKER_HOST", "unix://" }, { "CONTAINER_HOST", "unix://" },
	};
	char		path[PATH_MAX];
	const char	*value;
	struct stat	st;
	size_t		i, len;

	for (i = 0; i < sizeof(var) / sizeof(var[0]); i++) {
		len = strlen(var[i].before);
		value = getenv(var[i].name);
		if (value == NULL || strncmp(value, var[i].before, len) != 0)
			continue;
		snprintf(path, sizeof(path), "%.*s",
		    (int)strcspn(value + len, ",;"), value + len);
		if (stat(path, &st) == 0 && S_ISSOCK(st.st_mode) &&
		    cover_or_say(path) == -1)
			return -1;
	}
	return 0;
}

static int
cover_all(const struct run *r, const char *cwd)
{
	const char	*runtime = getenv("XDG_RUNTIME_DIR");
	size_t		 i;

	for (i = 0; i < NHIDDEN; i++)
		if (cover_or_say(hidden[i]) == -1)
			return -1;
	if (cover_named() == -1 || cover_users(getuid()) == -1 ||
	    (r->who.other && cover_users(r->who.uid) == -1))
		return -1;
	if (runtime != NULL && *runtime == '/' && strcmp(runtime, "/") != 0 &&
	    cover_or_say(runtime) == -1)
		return -1;
	return cover_audit(r, cwd);
}

/* A place to mount on: below a cover there is none left. */
static void
make_point(const char *path, bool dir)
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

struct kept {
	char	path[PATH_MAX];
	bool	dir;
	int	tree;
};

/* Before anything is covered: --expose PATH, as a mount to put back. */
static int
keep(const struct run *r, struct kept *k)
{
	struct stat	st;
	size_t		i;

	for (i = 0; i < r->nexpose; i++) {
		if (realpath(r->expose[i], k[i].path) == NULL ||
		    stat(k[i].path, &st) == -1 ||
		    (k[i].tree = open_tree(AT_FDCWD, k[i].path,
		    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE)) == -1) {
			log_warn("--expose %s", r->expose[i]);
			return -1;
		}
		k[i].dir = S_ISDIR(st.st_mode);
	}
	return 0;
}

static int
put_back(const struct run *r, struct kept *k)
{
	size_t	i;

	for (i = 0; i < r->nexpose; i++) {
		make_point(k[i].path, k[i].dir);
		if (move_mount(k[i].tree, "", AT_FDCWD, k[i].path,
		    MOVE_MOUNT_F_EMPTY_PATH) == -1) {
			log_warn("--expose %s", r->expose[i]);
			return -1;
		}
		fd_drop(&k[i].tree);
	}
	return 0;
}

/*
 * `target' is where /etc/resolv.conf led before the covers; it may be below one
 * of them (systemd-resolved's). Without any there is nothing to lead astray.
 */
static int
name_server(const char *target)
{
	if (*target == '\0')
		return 0;
	make_point(target, false);
	if (mount(RESOLV, target, NULL, MS_BIND, NULL) == 0 &&
	    make_readonly(target, 0) == 0)
		return 0;
	log_warn("%s: pointing CMD at the gateway", target);
	return -1;
}

/* The policy decides about the next run too. */
static int
guard_policy(const struct run *r)
{
	if (access(r->policy_path, F_OK) == -1)
		return 0;
	if (mount(r->policy_path, r->policy_path, NULL, MS_BIND, NULL) == 0 &&
	    make_readonly(r->policy_path, 0) == 0)
		return 0;
	log_warn("%s: making it read-only for CMD", r->policy_path);
	return -1;
}

/* As it is, but nobody writes there: a kernel may have it only that way. */
static int
freeze(const char *path)
{
	if (access(path, F_OK) == -1 ||
	    (mount(path, path, NULL, MS_BIND | MS_REC, NULL) == 0 &&
	    make_readonly(path, AT_RECURSIVE) == 0))
		return 0;
	log_warn("%s: making it read-only for CMD", path);
	return -1;
}

/*
 * CMD's own /proc names no process outside; its own /sys has the links of its own
 * net namespace, and no cgroup to kill. Where the host's is masked the kernel
 * gives no new one.
 */
static int
make_proc(void)
{
	size_t	i;

	if (umount2(SCRATCH, MNT_DETACH) == -1 ||
	    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
	    NULL) == -1) {
		log_warn("a /proc for CMD; in a container, its own /proc must "
		    "not be masked");
		return -1;
	}
	for (i = 0; i < NREADONLY; i++)
		if (freeze(readonly[i]) == -1)
			return -1;
	if (mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC |
	    MS_RDONLY, NULL) == 0)
		return 0;
	return freeze("/sys");
}

static int
hide_in(const struct run *r, const char *cwd, struct kept *k)
{
	char	resolv[PATH_MAX];

	if (realpath("/etc/resolv.conf", resolv) == NULL)
		*resolv = '\0';
	if (keep(r, k) == -1)
		return -1;
	if (guard_policy(r) == -1)
		return -1;
	if (make_scratch(r) == -1) {
		log_warn("a scratch directory for CMD's mounts");
		return -1;
	}
	if (cover_all(r, cwd) == -1 || put_back(r, k) == -1 ||
	    name_server(resolv) == -1)
		return -1;
	return make_proc();
}

/* Not where the caller stood: better not at all, if it is a cover's doing. */
static int
elsewhere(const char *cwd)
{
	if (errno != ENOENT)
		return chdir("/");
	log_warnx("%s: the working directory is hidden from CMD; start it from "
	    "another, or --expose this one", cwd);
	return -1;
}

/*
 * The working directory is entered again by its name: the old one may lie under a
 * cover.
 */
int
hide_files(const struct run *r)
{
	struct kept	*k;
	char		 cwd[PATH_MAX];
	int		 rc;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1) {
		log_warn("making CMD's mounts private");
		return -1;
	}
	if (getcwd(cwd, sizeof(cwd)) == NULL)
		snprintf(cwd, sizeof(cwd), "/");
	if ((k = calloc(r->nexpose + 1, sizeof(*k))) == NULL) {
		log_warnx("no memory");
		return -1;
	}
	rc = hide_in(r, cwd, k);
	free(k);
	if (rc == 0 && chdir(cwd) == -1)
		rc = elsewhere(cwd);
	return rc;
}
