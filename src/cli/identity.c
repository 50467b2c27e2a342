/*
 * Who CMD runs as: the caller, or, when root asks for it, another user; and what it
 * may do as that.
 *
 * Trusts: getpwnam(3), getpwuid(3), getgrgid(3). Must not: keep a group of root's for
 * another user, or give a group with a name (shadow, docker) to who is in none.
 */
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
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

/* All digits, and an id: -1 is none (setresuid(2)). */
static bool
is_uid(const char *text, uid_t *uid)
{
	char		*end;
	unsigned long	 n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (strspn(text, "0123456789") != strlen(text) || end == text ||
	    errno != 0 || n >= UINT32_MAX)
		return false;
	*uid = (uid_t)n;
	return true;
}

/* A number that nobody has as a name: its own group, no others, home is /. */
static int
take(struct identity *who, const struct passwd *pw, const char *user)
{
	struct group	*group;

	who->other = true;
	who->root = false;
	who->name = strdup(pw != NULL ? pw->pw_name : user);
	who->home = strdup(pw != NULL ? pw->pw_dir : "/");
	if (who->name == NULL || who->home == NULL) {
		log_warnx("no memory");
		return -1;
	}
	if (pw != NULL) {
		who->gid = pw->pw_gid;
		return find_groups(who);
	}
	who->gid = (gid_t)who->uid;
	if ((group = getgrgid(who->gid)) == NULL)
		return 0;
	log_warnx("--user %s: no user has this number, and the group that has it, "
	    "%s, is for others; name a user", user, group->gr_name);
	return -1;
}

int
identity_find(struct identity *who, const char *user)
{
	struct passwd	*pw;
	uid_t		 uid;

	memset(who, 0, sizeof(*who));
	who->uid = geteuid();
	who->gid = getegid();
	who->root = idmap_privileged();
	if (user == NULL)
		return 0;
	if ((pw = getpwnam(user)) != NULL)
		uid = pw->pw_uid;
	else if (is_uid(user, &uid))
		pw = getpwuid(uid);
	else {
		log_warnx("--user %s: no such user", user);
		return -1;
	}
	if (uid == who->uid)
		return 0;
	if (!who->root) {
		log_warnx("--user %s: only root can run CMD as another user",
		    user);
		return -1;
	}
	if (!idmap_has_uid(uid)) {
		log_warnx("--user %s: there is no such id here", user);
		return -1;
	}
	who->uid = uid;
	return take(who, pw, user);
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

/*
 * What root needs to be root for files and ids: that is what package managers, su(1)
 * and tar(1) ask for, and uid 0 has the files anyway. Not what would count for
 * devices, the kernel or other processes, if a namespace of the host's or of init's
 * were ever within reach: SYS_ADMIN, NET_ADMIN, NET_RAW, MKNOD, SYS_PTRACE, ...
 */
static const unsigned int root_caps[] = { CAP_CHOWN, CAP_DAC_OVERRIDE,
	CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_KILL, CAP_SETGID,
	CAP_SETUID, CAP_SETPCAP, CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT,
	CAP_SETFCAP };

/*
 * The securebits stay as a new user namespace has them, all 0: su(1) must lose its
 * capabilities by becoming another user.
 */
int
identity_root_caps(void)
{
	struct __user_cap_header_struct	head = {
					    .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct	data[2];
	uint64_t			keep = 0;
	unsigned long			cap;

	for (cap = 0; cap < sizeof(root_caps) / sizeof(root_caps[0]); cap++)
		keep |= UINT64_C(1) << root_caps[cap];
	for (cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != -1; cap++)
		if ((cap >= 64 || (keep >> cap & 1) == 0) &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == -1)
			return -1;
	memset(data, 0, sizeof(data));
	data[0].effective = data[0].permitted = (uint32_t)keep;
	data[1].effective = data[1].permitted = (uint32_t)(keep >> 32);
	return (int)syscall(SYS_capset, &head, data);
}
