/*
 * Who CMD runs as: the caller, or, when root asks for it, another user.
 *
 * Trusts: getpwnam(3). Must not: keep a group of root's for another user.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "idmap.h"

#define GROUPS_MAX	65536	/* NGROUPS_MAX */

static int
find_groups(struct identity *who)
{
	who->ngroups = GROUPS_MAX;
	if ((who->groups = calloc(GROUPS_MAX, sizeof(gid_t))) == NULL ||
	    getgrouplist(who->name, who->gid, who->groups,
	    &who->ngroups) == -1) {
		log_warnx("--user %s: no groups", who->name);
		return -1;
	}
	return 0;
}

int
identity_find(struct identity *who, const char *user)
{
	struct passwd	*pw;

	memset(who, 0, sizeof(*who));
	who->uid = geteuid();
	who->gid = getegid();
	if (user == NULL)
		return 0;
	if ((pw = getpwnam(user)) == NULL) {
		log_warnx("--user %s: no such user", user);
		return -1;
	}
	if (pw->pw_uid == who->uid)
		return 0;
	if (!idmap_privileged()) {
		log_warnx("--user %s: only root can run CMD as another user",
		    user);
		return -1;
	}
	who->other = true;
	who->uid = pw->pw_uid;
	who->gid = pw->pw_gid;
	who->name = strdup(pw->pw_name);
	who->home = strdup(pw->pw_dir);
	if (who->name == NULL || who->home == NULL) {
		log_warnx("no memory");
		return -1;
	}
	return find_groups(who);
}

/* In CMD's process, while it still has its namespace's capabilities. */
int
identity_become(const struct identity *who)
{
	if (!who->other)
		return 0;
	if (setgroups((size_t)who->ngroups, who->groups) == -1 ||
	    setresgid(who->gid, who->gid, who->gid) == -1 ||
	    setresuid(who->uid, who->uid, who->uid) == -1)
		return -1;
	if (setenv("HOME", who->home, 1) == -1 ||
	    setenv("USER", who->name, 1) == -1 ||
	    setenv("LOGNAME", who->name, 1) == -1)
		return -1;
	return 0;
}
