/*
 * The files of CMD's world, in the order in which they have to be made: what is to
 * come back is taken first, covers are laid, what was taken is put back upon them,
 * and log and policy are guarded last.
 *
 * Trusts: the user's own options and environment.
 * Must not: go on when a step fails.
 */
#include <sys/mount.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "world.h"

/*
 * `target' is where /etc/resolv.conf led before the covers; it may be below one
 * of them (systemd-resolved's). Without any there is nothing to lead astray.
 */
static int
name_server(const char *target)
{
	if (*target == '\0')
		return 0;
	mounts_point(target, false);
	if (mount(RESOLV, target, NULL, MS_BIND, NULL) == 0 &&
	    mounts_readonly(target, 0) == 0)
		return 0;
	log_warn("%s: pointing CMD at the gateway", target);
	return -1;
}

static int
make_in(const struct run *r, const char *cwd, struct kept *k)
{
	char	resolv[PATH_MAX];

	if (realpath("/etc/resolv.conf", resolv) == NULL)
		*resolv = '\0';
	if (expose_keep(r, k) == -1)
		return -1;
	if (mounts_scratch(r) == -1) {
		log_warn("a scratch directory for CMD's mounts");
		return -1;
	}
	if (covers_all(r) == -1 || expose_put_back(r, k) == -1 ||
	    vault_guard(r, cwd) == -1 || name_server(resolv) == -1)
		return -1;
	return kernelfs_make();
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
world_make(const struct run *r)
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
	rc = make_in(r, cwd, k);
	free(k);
	if (rc == 0 && chdir(cwd) == -1)
		rc = elsewhere(cwd);
	return rc;
}
