/*
 * The policy, compiled by a short-lived sealed child into a memfd that nobody can
 * change afterwards. The keeper never looks at the text, nor into the result.
 *
 * Trusts: the size of the file, and that only after sealing.
 * Must not: wait for ever: a policy may name a FIFO, or be made to take long.
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "keeperd.h"
#include "policy.h"

#define PARSE_DEADLINE	60000		/* ms; no policy of any size needs it */
#define POLICY_SEALS	(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int
parser_start(const struct keeper *k, int memfd, int files, struct spawned *p)
{
	struct spawn	s = { .role = ROLE_PARSER,
			    .exe = k->exe[ROLE_PARSER],
			    .argv = { "sallyport-parser", k->level,
			    k->opt.policy,
			    k->opt.quiet ? "quiet" : NULL, NULL },
			    .channel = files, .object = memfd,
			    .log = STDERR_FILENO, .shared = -1 };

	child_ids(k, ROLE_PARSER, &s.uid, &s.gid);
	return spawn(&s, p);
}

/* Of a limit, the caller's or our own, or of a fault of ours. */
static void
say_death(const char *policy, int sig)
{
	struct rlimit	size;

	if (sig == SIGXFSZ && getrlimit(RLIMIT_FSIZE, &size) == 0 &&
	    size.rlim_max < POLICY_BLOB_MAX)
		log_warnx("%s: the limit of a file's size (ulimit -Hf), %llu KB, is "
		    "too low for this policy", policy,
		    (unsigned long long)size.rlim_max / 1024);
	else
		log_warnx("%s: the parser died of signal %d; please report "
		    "this policy as a bug", policy, sig);
}

/* Its exit status, or -1 after having said why there is none. */
static int
parser_wait(const struct keeper *k, const struct spawned *p)
{
	struct pollfd	pfd = { .fd = p->pidfd, .events = POLLIN };
	siginfo_t	si;
	int		n;

	while ((n = poll(&pfd, 1, PARSE_DEADLINE)) == -1 && errno == EINTR)
		;
	if (n < 1)
		syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
	memset(&si, 0, sizeof(si));
	if (waitid(P_PIDFD, (id_t)p->pidfd, &si, WEXITED) == -1)
		fatal("waitid");
	if (n < 1) {
		log_warnx("%s: not read within %d seconds: is the host, or the file "
		    "system, that slow? (sallyport check has all other limits, "
		    "and no clock)", k->opt.policy, PARSE_DEADLINE / 1000);
		return -1;
	}
	if (si.si_code == CLD_EXITED)
		return si.si_status;
	say_death(k->opt.policy, si.si_status);
	return -1;
}

static int
freeze(int memfd, uint64_t *len)
{
	struct stat	st;

	if (fcntl(memfd, F_ADD_SEALS, POLICY_SEALS) == -1 ||
	    fstat(memfd, &st) == -1) {
		log_warn("sealing the policy");
		return -1;
	}
	if (st.st_size <= 0 || (uint64_t)st.st_size > POLICY_BLOB_MAX) {
		log_warnx("the compiled policy has %lld bytes; the limit "
		    "is %u", (long long)st.st_size, POLICY_BLOB_MAX);
		return -1;
	}
	*len = (uint64_t)st.st_size;
	return 0;
}

/* What came of one that has been started. */
static int
parsed(const struct keeper *k, const struct spawned *p, int memfd, int files,
    uint64_t *len)
{
	int	status = parser_wait(k, p);

	if (status > 1)
		log_warnx("%s: the parser failed with status %d",
		    k->opt.policy, status);
	if (status != 0)
		return -1;
	if (fcntl(files, F_ADD_SEALS, POLICY_SEALS) == -1) {
		log_warn("sealing the list of the policy's files");
		return -1;
	}
	return freeze(memfd, len);
}

int
parse_policy(struct keeper *k, uint64_t *len)
{
	struct spawned	p;
	int		memfd, files, r = -1;

	memfd = memfd_create("policy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	files = memfd_create("policy-files", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memfd == -1 || files == -1 ||
	    parser_start(k, memfd, files, &p) == -1)
		log_warn("the parser cannot be started%s", spawn_hint(errno));
	else {
		r = parsed(k, &p, memfd, files, len);
		fd_drop(&p.pidfd);
	}
	if (r == -1) {
		fd_drop(&memfd);
		fd_drop(&files);
	}
	k->files = files;
	return memfd;
}
