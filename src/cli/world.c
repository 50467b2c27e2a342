/*
 * The files of CMD's world, in the order in which they have to be made. What is to
 * come back is taken first, and what is to be hidden found, since a link that leads
 * there may be in a directory that goes; then CMD gets directories of its own where programs of
 * the host have their sockets; where it works is put back; sockets elsewhere are
 * hidden; what --expose names is put back upon that; log and policy are guarded last,
 * so that nothing of them shows through.
 *
 * This closes the network's back doors. It does not close the file system:
 * sallyport(1), SECURITY.
 *
 * Trusts: the user's own options and environment.
 * Must not: go on when a step fails.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "world.h"

const char *
run_home(const struct run *r)
{
	const char	*home = r->who.other ? r->who.home : getenv("HOME");

	return home != NULL && *home == '/' ? home : "/";
}

/*
 * nosuid: CMD gains nothing by exec (no_new_privs), but a program with capabilities
 * in its file, as ping(8), is only run without them where they do not count at all.
 */
static int
start(void)
{
	struct mount_attr	nosuid = { .attr_set = MOUNT_ATTR_NOSUID };

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1) {
		log_warn("making CMD's mounts private");
		return -1;
	}
	if (mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &nosuid,
	    sizeof(nosuid)) == 0)
		return 0;
	log_warn("making CMD's mounts nosuid; this needs Linux 5.12");
	return -1;
}

/* The old one by its name: it may lie under what was made. */
static int
enter(const struct world *w)
{
	const struct private_dir	*d = private_over(&w->run->own, w->cwd);

	if (chdir(w->cwd) == 0) {
		if (d != NULL && strcmp(d->path, w->cwd) == 0 && !w->run->quiet)
			log_warnx("%s: CMD has one of its own, empty; work in a "
			    "directory below it, or --expose %s", w->cwd,
			    w->cwd);
		return 0;
	}
	if (errno != ENOENT)
		return chdir("/");
	log_warnx("%s: the working directory is hidden from CMD; start it from "
	    "another, or --expose this one", w->cwd);
	return -1;
}

static int
steps(struct world *w)
{
	const struct run	*r = w->run;
	char			 resolv[PATH_MAX];

	if (start() == -1)
		return -1;
	etc_resolv(r, resolv, sizeof(resolv));
	if (kept_work(w) == -1 || kept_exposed(w) == -1 ||
	    sockets_find(w) == -1 || vault_find(w) == -1 ||
	    private_make(r) == -1 || mounts_scratch() == -1 ||
	    kept_put_work(w) == -1 || sockets_cover(w) == -1 ||
	    kept_put_exposed(w) == -1 || vault_guard(w) == -1 ||
	    etc_make(r, resolv) == -1 || kernelfs_make(r) == -1)
		return -1;
	mounts_scratch_gone();
	return enter(w);
}

/* Modes are those that we name, whatever the caller's umask; CMD gets that back. */
int
world_make(const struct run *r)
{
	struct world	w = { .run = r };
	mode_t		mask = umask(022);
	int		rc;

	if (getcwd(w.cwd, sizeof(w.cwd)) == NULL || *w.cwd != '/')
		snprintf(w.cwd, sizeof(w.cwd), "/");
	rc = steps(&w);
	umask(mask);
	return rc;
}
