/*
 * The traces of this run and the law of the next one: CMD does not see the audit
 * log, and does not write the policy.
 *
 * Trusts: the paths that the command found before CMD's namespaces were made.
 * Must not: go on when a cover cannot be put where it belongs.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "world.h"

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
	    (st.st_mode & 077) == 0 && !mounts_above(dir, cwd) &&
	    (home == NULL || !mounts_above(dir, home)))
		return mounts_cover(dir);
	log_info("%s: not a directory of the log's own, mode 0700; only the "
	    "file is hidden from CMD", dir);
	return mounts_cover(r->audit_path);
}

/* The policy decides about the next run too. */
static int
guard_policy(const struct run *r)
{
	if (access(r->policy_path, F_OK) == -1)
		return 0;
	if (mount(r->policy_path, r->policy_path, NULL, MS_BIND, NULL) == 0 &&
	    mounts_readonly(r->policy_path, 0) == 0)
		return 0;
	log_warn("%s: making it read-only for CMD", r->policy_path);
	return -1;
}

int
vault_guard(const struct run *r, const char *cwd)
{
	return cover_audit(r, cwd) == -1 ? -1 : guard_policy(r);
}
