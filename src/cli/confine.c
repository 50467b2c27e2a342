/*
 * How much CMD may have of what the kernel counts per user: half of what the rest of
 * that user, Sallyport's rooms among it, can have.
 *
 * Descriptors in flight over AF_UNIX are such an account, and a grant is one. There
 * the kernel compares the user's sum with the limit of who sends: CMDs, however many,
 * fill half of it, and the broker's limit is the caller's whole. The other accounts
 * are compared for each user namespace by itself first, so two CMDs add up to the
 * whole; no room needs more of those once it runs.
 *
 * Trusts: the caller's limits. Must not: leave a soft limit that CMD can raise beyond
 * its half.
 */
#include <sys/resource.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "fd.h"

#define NAMESPACES_MAX	64	/* of each kind that CMD's user namespace may hold */
#define USER		"/proc/sys/user/"

/* Halved. Whose account is the user's: getrlimit(2). */
static const __rlimit_resource_t halved[CONFINE_HALVED] = { RLIMIT_NOFILE,
	RLIMIT_NPROC, RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE };
#define NPROC	1		/* of these */

static const char *const namespaces[] = { "user", "pid", "net", "mnt", "ipc",
	"uts", "cgroup", "time" };
#define NNAMESPACES	(sizeof(namespaces) / sizeof(namespaces[0]))

/* Counted in the first user namespace, and in each: the lower one is in force. */
static const struct {
	const char	*name, *host;
} watches[CONFINE_WATCHES] = {
	{ "max_inotify_instances",	"inotify/max_user_instances" },
	{ "max_inotify_watches",	"inotify/max_user_watches" },
	{ "max_fanotify_groups",	"fanotify/max_user_groups" },
	{ "max_fanotify_marks",		"fanotify/max_user_marks" },
};

/* A number of /proc/sys; what this kernel does not have is no limit. */
static uint64_t
read_number(const char *dir, const char *name)
{
	char		path[64], text[32];
	uint64_t	n;
	ssize_t		len;
	int		fd;

	snprintf(path, sizeof(path), "%s%s", dir, name);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return UINT64_MAX;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= 0)
		return UINT64_MAX;
	text[len] = '\0';
	return sscanf(text, "%" SCNu64, &n) == 1 ? n : UINT64_MAX;
}

/*
 * The half of a limit, at least 1: 0 would be another thing than little. No limit
 * has no half.
 */
uint64_t
confine_half(uint64_t n)
{
	return n == (uint64_t)RLIM_INFINITY || n < 2 ? n : n / 2;
}

/* Who may have all of the machine's processes may have half of that many. */
static void
bound_processes(struct rlimit *rl)
{
	uint64_t	most;

	if (rl->rlim_max != RLIM_INFINITY)
		return;
	most = read_number("/proc/sys/kernel/", "threads-max");
	if (most != UINT64_MAX) {
		rl->rlim_max = most;
		if (rl->rlim_cur > most)
			rl->rlim_cur = most;
	}
}

/* CMD's limit of cores has to be 1 (below), to which only root raises a hard 0. */
static void
raise_core(void)
{
	const struct rlimit	core = { 1, 1 };
	struct rlimit		now;

	if (getrlimit(RLIMIT_CORE, &now) == 0 && now.rlim_max == 0)
		(void)setrlimit(RLIMIT_CORE, &core);
}

void
confine_read(struct confine *c)
{
	uint64_t	host, own;
	size_t		i;

	for (i = 0; i < CONFINE_HALVED; i++)
		if (getrlimit(halved[i], &c->limit[i]) == -1)
			fatal("getrlimit");
	bound_processes(&c->limit[NPROC]);
	for (i = 0; i < CONFINE_WATCHES; i++) {
		host = read_number("/proc/sys/fs/", watches[i].host);
		own = read_number(USER, watches[i].name);
		c->watches[i] = confine_half(host < own ? host : own);
	}
	raise_core();
}

/* A kernel that does not know the account has nothing to fill. */
static int
put(const char *what, const char *name, uint64_t n)
{
	char	path[64], text[32];
	int	fd, rc;

	snprintf(path, sizeof(path), USER "%s%s", what, name);
	if ((fd = open(path, O_WRONLY | O_CLOEXEC)) == -1 && errno == ENOENT)
		return 0;
	/* The kernel takes no more than an int. */
	snprintf(text, sizeof(text), "%" PRIu64, n > INT_MAX ? INT_MAX : n);
	rc = fd == -1 ? -1 : fd_write_all(fd, text, strlen(text));
	if (rc == -1 && errno == EROFS)
		log_warnx("%s is read-only, as within a run of root's: there is no "
		    "other in it; give that one --user", path);
	else if (rc == -1)
		log_warn("%s: a limit of CMD's", path);
	fd_drop(&fd);
	return rc;
}

/*
 * In init, which has the capability that CMD will lack; before /proc/sys becomes
 * read-only. Nested namespaces are counted here too.
 */
int
confine_namespaces(const struct run *r)
{
	uint64_t	max = r->no_userns ? 0 : NAMESPACES_MAX;
	char		name[32];
	size_t		i;

	for (i = 0; i < NNAMESPACES; i++) {
		snprintf(name, sizeof(name), "%s_namespaces", namespaces[i]);
		/* root's CMD is in one of these itself */
		if (put("max_", name, i == 0 ? max + r->who.root :
		    NAMESPACES_MAX) == -1)
			return -1;
	}
	for (i = 0; i < CONFINE_WATCHES; i++)
		if (r->limits.watches[i] != UINT64_MAX &&
		    put("", watches[i].name, r->limits.watches[i]) == -1)
			return -1;
	return 0;
}

/* To at most this. */
static int
lower(__rlimit_resource_t what, rlim_t most)
{
	struct rlimit	rl;

	if (getrlimit(what, &rl) == -1)
		return -1;
	if (rl.rlim_max > most)
		rl.rlim_max = most;
	rl.rlim_cur = rl.rlim_max;
	return setrlimit(what, &rl);
}

/*
 * In CMD's process. Of a core, 1 is the only limit that also keeps the kernel from
 * starting the program of core_pattern(5), outside and as root: for that 0 is none.
 * A real-time process (some users may) leaves 5 % of a processor to everybody else.
 */
int
confine_rlimits(const struct confine *c)
{
	struct rlimit	rl;
	size_t		i;

	if (lower(RLIMIT_CORE, 1) == -1 || lower(RLIMIT_RTPRIO, 0) == -1 ||
	    limits_give_back(c->caller) == -1)
		return -1;
	for (i = 0; i < CONFINE_HALVED; i++) {
		rl.rlim_max = confine_half(c->limit[i].rlim_max);
		rl.rlim_cur = c->limit[i].rlim_cur < rl.rlim_max ?
		    c->limit[i].rlim_cur : rl.rlim_max;
		if (setrlimit(halved[i], &rl) == -1)
			return -1;
	}
	return 0;
}
