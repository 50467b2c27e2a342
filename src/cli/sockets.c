/*
 * Sockets of programs outside in directories that CMD shares with the host: the
 * home, /var. Each directory that holds some, or that is known to, is laid over with
 * one through which its files pass and its sockets do not.
 *
 * Not closed by this: a socket that is made later in a directory of the host's that
 * nobody knows to hold any. Where the kernel can, CMD's process is told to connect
 * to none at all (sallyport(1), SECURITY).
 *
 * Trusts: the user's own environment.
 * Must not: leave a socket that was found open without a word.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "seal.h"
#include "world.h"

/*
 * In the home itself: agents, virtual machines' engines, editors, multiplexers. What
 * is mounted on cannot be renamed; what is further below could be with the directory
 * that it is in, and its service would make it anew, in the open.
 */
static const char *const at_home[] = {
	".gnupg", ".ssh", ".docker", ".colima", ".lima", ".rd", ".orbstack",
	".emacs.d", ".vscode-server", ".vscode-server-insiders",
	".vscodium-server", ".cursor-server", ".windsurf-server", ".screen",
	".dropbox",
};
#define NAT_HOME	(sizeof(at_home) / sizeof(at_home[0]))

static const char *const by_name[] = { "GNUPGHOME", "TMUX_TMPDIR",
	"SCREENDIR" };
#define NBY_NAME	(sizeof(by_name) / sizeof(by_name[0]))

/* Engines that start things, mail, and what asks other machines. */
static const char *const of_system[] = {
	"/var/lib/lxd", "/var/lib/incus", "/var/snap/lxd/common/lxd",
	"/var/spool/postfix/public", "/var/spool/postfix/private",
	"/var/lib/sss/pipes", "/var/lib/gssproxy", "/var/agentx",
	"/var/lib/samba/winbindd_privileged", "/var/lib/kubelet",
};
#define NOF_SYSTEM	(sizeof(of_system) / sizeof(of_system[0]))

struct list {
	char	**path;
	size_t	n;
};
struct plan {
	const struct world	*w;
	char			home[PATH_MAX];
	struct list		dirs, files;
};

static int
add(struct list *l, const char *path)
{
	char	**more = reallocarray(l->path, l->n + 1, sizeof(*more));

	if (more == NULL || (more[l->n] = strdup(path)) == NULL) {
		l->path = more == NULL ? l->path : more;
		log_warnx("no memory");
		return -1;
	}
	l->path = more;
	l->n++;
	return 0;
}

static bool
exposed(const struct world *w, const char *path)
{
	size_t	i;

	for (i = 0; i < w->run->nexposed; i++)
		if (mounts_above(w->exposed[i].path, path))
			return true;
	return false;
}

/* True: CMD does not see the host's there, whatever we do. */
static bool
gone(const struct world *w, const char *path)
{
	size_t	i;

	if (private_over(&w->run->own, path) == NULL)
		return w->run->share_tmp && (mounts_above("/tmp", path) ||
		    mounts_above("/var/tmp", path));	/* and that was said */
	for (i = 0; i < w->nback; i++)
		if (mounts_above(w->back[i].path, path))
			return false;
	return true;
}

/* Where CMD sees the host's, so that it has to be covered. */
static bool
is_shared(const struct plan *p, const char *path)
{
	return strcmp(path, "/") != 0 && !mounts_above(path, p->home) &&
	    !gone(p->w, path) && !exposed(p->w, path);
}

static int
add_alias(void *plan, const char *path)
{
	struct plan	*p = plan;
	struct stat	 st;

	if (!is_shared(p, path) || lstat(path, &st) == -1)
		return 0;
	if (S_ISDIR(st.st_mode))
		return add(&p->dirs, path);
	return S_ISSOCK(st.st_mode) ? add(&p->files, path) : 0;
}

/* At each path that leads to it, and what of it is mounted elsewhere. */
static int
add_everywhere(struct plan *p, const char *path)
{
	const struct run	*r = p->w->run;

	if (add(&p->dirs, path) == -1 ||
	    aliases_walk(r, path, add_alias, p) == -1)
		return -1;
	return aliases_parts(r, path, add_alias, p);
}

/* A directory whose sockets are to go; by whatever name it was found. */
static int
add_dir(struct plan *p, const char *name)
{
	char		path[PATH_MAX];
	struct stat	st;

	/* most are not there, which one call tells */
	if (stat(name, &st) == -1 || !S_ISDIR(st.st_mode) ||
	    realpath(name, path) == NULL || !is_shared(p, path))
		return 0;
	return add_everywhere(p, path);
}

static int
add_known(struct plan *p)
{
	char		name[PATH_MAX + 64];
	const char	*value;
	size_t		i;

	for (i = 0; i < NAT_HOME; i++) {
		snprintf(name, sizeof(name), "%s/%s", p->home, at_home[i]);
		if (add_dir(p, name) == -1)
			return -1;
	}
	for (i = 0; i < NBY_NAME; i++)
		if ((value = getenv(by_name[i])) != NULL && *value == '/' &&
		    add_dir(p, value) == -1)
			return -1;
	for (i = 0; i < NOF_SYSTEM; i++)
		if (add_dir(p, of_system[i]) == -1)
			return -1;
	return 0;
}

/* "/a" and "/var/a" hold many things; below /usr and /etc is what all need. */
static bool
of_many(const char *dir)
{
	const char	*rest = dir + 1;

	if (mounts_above("/usr", dir) || mounts_above("/etc", dir) ||
	    mounts_above("/nix", dir))
		return true;
	if (mounts_above("/var", dir) && dir[4] == '/')
		rest = dir + 5;
	return strchr(rest, '/') == NULL;
}

/*
 * Where a directory cannot be laid over: what is made outside after CMD has looked
 * for it in vain would not appear, and nobody may miss what he works on. Who works
 * in his home works in no part of it.
 */
static bool
at_work(const struct plan *p, const char *dir)
{
	const struct world	*w = p->w;

	return mounts_above(dir, p->home) || mounts_above(dir, w->cwd) ||
	    (mounts_above(w->cwd, dir) && !mounts_above(w->cwd, p->home)) ||
	    mounts_above(dir, w->program) || of_many(dir);
}

static int
add_found(struct plan *p, const char *name)
{
	char	path[PATH_MAX], dir[PATH_MAX];
	char	*slash;

	/* EACCES: what we do not get at, CMD does not */
	if (realpath(name, path) == NULL || gone(p->w, path) ||
	    exposed(p->w, path))
		return 0;
	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	*slash = '\0';
	if (*dir != '\0' && !at_work(p, dir))
		return add_everywhere(p, dir);
	if (add(&p->files, path) == -1)
		return -1;
	return aliases_walk(p->w->run, path, add_alias, p);
}

static int
by_path(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What lies below an earlier one is gone with it. */
static bool
covered(const struct list *dirs, size_t n, const char *path)
{
	size_t	i;

	for (i = 0; i < n; i++)
		if (mounts_above(dirs->path[i], path))
			return true;
	return false;
}

static int
cannot(const char *path)
{
	log_warn("hiding the sockets of %s from CMD", path);
	return -1;
}

/* What --expose puts back below has its place; nothing else is to be made there. */
static int
close_dir(const struct plan *p, const char *dir)
{
	const struct kept	*k;
	size_t			 i;

	for (i = 0; i < p->w->run->nexposed; i++) {
		k = &p->w->exposed[i];
		if (mounts_above(dir, k->path) && access(k->path, F_OK) == -1)
			mounts_point(k->path, k->dir);
	}
	return mounts_readonly(dir, 0) == -1 ? cannot(dir) : 0;
}

static int
empty(const struct plan *p, const char *dir)
{
	log_info("%s: CMD sees it empty; --expose %s shows it", dir, dir);
	return mounts_tmpfs(dir, "mode=0755,size=64k,nr_inodes=64") == -1 ?
	    cannot(dir) : close_dir(p, dir);
}

static int
pieces_into(const struct plan *p, int from, const char *dir, bool *all)
{
	const struct identity	*who = &p->w->run->who;
	struct stat		 st;
	char			 options[96];

	if (fstat(from, &st) == -1)
		return -1;
	snprintf(options, sizeof(options),
	    "mode=%04o,uid=%u,gid=%u,size=64k,nr_inodes=1k",
	    st.st_mode & 0777, who->uid, who->gid);
	return mounts_tmpfs(dir, options) == -1 ? -1 :
	    pieces_put(who, from, dir, all);
}

/* File by file. It is no opening, but CMD may stumble over it. */
static int
in_pieces(const struct plan *p, const char *dir)
{
	int	from = mounts_open(dir), fd;
	bool	all = false;
	int	r = -1;

	fd = from == -1 ? -1 :
	    openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd_drop(&from);
	if (fd != -1)
		r = pieces_into(p, fd, dir, &all);
	fd_drop(&fd);
	if (r == -1)
		return cannot(dir);
	if (!p->w->run->quiet)
		log_warnx("%s: CMD can add no file to it%s, since no overlay "
		    "can be laid over it that holds its sockets back; --expose "
		    "%s shows it whole", dir,
		    all ? "" : ", and does not see all of them", dir);
	return close_dir(p, dir);
}

static int
cover_dir(const struct plan *p, const char *dir)
{
	struct stat	st;

	if (stat(dir, &st) == -1)
		return errno == ENOENT || errno == EACCES ? 0 : cannot(dir);
	if (st.st_uid != p->w->run->who.uid)
		return empty(p, dir);
	if (overlay_over(dir, p->home) == 0)
		return 0;
	log_info("%s: overlay: %s", dir, strerror(errno));
	return in_pieces(p, dir);
}

static int
cover_file(const char *path)
{
	struct stat	st;

	if (lstat(path, &st) == -1 || !S_ISSOCK(st.st_mode))
		return 0;
	return mounts_file_over(SCRATCH_EMPTY, path) == -1 ? cannot(path) : 0;
}

static int
cover_files(const struct plan *p)
{
	const char	*first = NULL;
	size_t		 i, n = 0;

	for (i = 0; i < p->files.n; i++) {
		if (covered(&p->dirs, p->dirs.n, p->files.path[i]) ||
		    (i > 0 && strcmp(p->files.path[i],
		    p->files.path[i - 1]) == 0))
			continue;
		if (cover_file(p->files.path[i]) == -1)
			return -1;
		first = p->files.path[i];
		n++;
	}
	if (n > 0)
		log_warnx("%s%s: hidden from CMD until a program outside makes "
		    "it anew; move it into a directory that CMD does not work "
		    "in", first, n > 1 ? " and others like it" : "");
	return 0;
}

static int
apply(const struct plan *p)
{
	size_t	i;

	for (i = 0; i < p->dirs.n; i++)
		if (!covered(&p->dirs, i, p->dirs.path[i]) &&
		    cover_dir(p, p->dirs.path[i]) == -1)
			return -1;
	return cover_files(p);
}

static void
sort(struct list *l)
{
	if (l->n > 1)
		qsort(l->path, l->n, sizeof(*l->path), by_path);
}

/* The plan lives as long as init does: it is about to fork CMD and to wait. */
int
sockets_find(struct world *w)
{
	struct plan	*p = w->sockets = calloc(1, sizeof(*p));
	size_t		 i;

	if (p == NULL) {
		log_warnx("no memory");
		return -1;
	}
	p->w = w;
	if (realpath(run_home(w->run), p->home) == NULL)
		snprintf(p->home, sizeof(p->home), "/");
	if (add_known(p) == -1)
		return -1;
	for (i = 0; i < w->run->outside.n; i++)
		if (add_found(p, w->run->outside.sock[i].path) == -1)
			return -1;
	sort(&p->dirs);
	sort(&p->files);
	return 0;
}

int
sockets_cover(const struct world *w)
{
	return apply(w->sockets);
}

/*
 * The whole answer, later ones too. Its price: CMD cannot mount anything, so no
 * sandbox of its own works; --nested is for those.
 */
void
sockets_close(const struct run *r)
{
	int	*fd;
	size_t	 i;

	if (r->nested || !seal_landlock_has_sockets())
		return;
	if ((fd = calloc(r->nexposed + 1, sizeof(*fd))) == NULL)
		fatal("no memory");
	for (i = 0; i < r->nexposed; i++)
		if ((fd[i] = mounts_open(r->exposed[i].path)) == -1)
			fatal("--expose %s", r->exposed[i].path);
	seal_landlock_sockets(fd, r->nexposed);
	for (i = 0; i < r->nexposed; i++)
		fd_drop(&fd[i]);
	free(fd);
}
