/*
 * How a process locks itself in. Each room's seal.c says what it needs; the
 * steps themselves are here, once.
 *
 * Trusts: the caller's order (include/seal.h).
 * Must not: go on after a step that failed. There is no way back from half a
 * privilege drop, so every failure is fatal.
 */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "log.h"
#include "seal.h"

#ifdef SANITIZE
/* The leak check at exit starts a process and traces: not behind a seal. */
const char	*__asan_default_options(void);

const char *
__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

static void
limit(int what, uint64_t value, const char *name)
{
	struct rlimit	now, rl;

	if (getrlimit((__rlimit_resource_t)what, &now) == -1)
		fatal("getrlimit %s", name);
	rl.rlim_cur = rl.rlim_max = value > now.rlim_max ? now.rlim_max : value;
	if (setrlimit((__rlimit_resource_t)what, &rl) == -1)
		fatal("setrlimit %s", name);
}

void
seal_rlimits(const struct seal_limits *l)
{
	limit(RLIMIT_CORE, 0, "CORE");
	limit(RLIMIT_NOFILE, l->nofile, "NOFILE");
	if (l->fsize != UINT64_MAX)
		limit(RLIMIT_FSIZE, l->fsize, "FSIZE");
#ifndef SANITIZE	/* its shadow memory is terabytes of address space */
	if (l->as != UINT64_MAX)
		limit(RLIMIT_AS, l->as, "AS");
#endif
	if (l->nproc)
		limit(RLIMIT_NPROC, 0, "NPROC");
}

void
seal_process(const char *name, int pdeathsig)
{
	if (prctl(PR_SET_NAME, name, 0, 0, 0) == -1 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1 ||
	    (pdeathsig != 0 &&
	    prctl(PR_SET_PDEATHSIG, pdeathsig, 0, 0, 0) == -1) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		fatal("prctl");
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 ||
	    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		fatalx("the process flags did not hold");
}

/* How far fds are looked for, and how many by one poll(2). */
#define FDS_TOP		65536
#define FDS_AT_ONCE	1024

static bool
listed(int fd, int first, const int *extra, size_t n)
{
	size_t	i;

	if (fd < first)
		return true;
	for (i = 0; i < n; i++)
		if (extra[i] == fd)
			return true;
	return false;
}

_Noreturn static void
open_fd(int fd)
{
	fatalx("fd %d is open and should not be", fd);
}

/* One read's worth of the list. Its length; 0 at the end, -1 if it cannot be read. */
static long
look_at_some(int dir, int first, const int *extra, size_t n)
{
	struct dirent64	*e;
	char		 buf[2048] __attribute__((aligned(16)));
	long		 len = syscall(SYS_getdents64, dir, buf, sizeof(buf));
	long		 at;
	int		 fd;

	for (at = 0; at < len; at += e->d_reclen) {
		e = (struct dirent64 *)(void *)(buf + at);
		fd = e->d_name[0] == '.' ? dir :
		    (int)strtol(e->d_name, NULL, 10);
		if (fd != dir && !listed(fd, first, extra, n))
			open_fd(fd);
	}
	return len;
}

/* False: there is no list of the kernel's to go by. */
static bool
check_list(int first, const int *extra, size_t n)
{
	struct statfs	fs;
	long		len = -1;
	int		dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY |
			    O_CLOEXEC);

	if (dir != -1 && fstatfs(dir, &fs) == 0 &&
	    fs.f_type == PROC_SUPER_MAGIC)
		while ((len = look_at_some(dir, first, extra, n)) > 0)
			;
	if (dir != -1)
		close(dir);
	return len == 0;
}

/*
 * Without /proc (a frame's empty root): poll(2) says POLLNVAL of each number that
 * is not open, many at a time. Asking one by one cost 6 ms per process.
 */
static void
check_numbers(int first, const int *extra, size_t n)
{
	static struct pollfd	p[FDS_AT_ONCE];
	struct rlimit		rl;
	int			fd, i, top, count;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		fatal("getrlimit");
	top = rl.rlim_cur > FDS_TOP ? FDS_TOP : (int)rl.rlim_cur;
	for (fd = 0; fd < top; fd += count) {
		count = top - fd < FDS_AT_ONCE ? top - fd : FDS_AT_ONCE;
		for (i = 0; i < count; i++)
			p[i] = (struct pollfd){ .fd = fd + i };
		if (poll(p, (nfds_t)count, 0) == -1)
			fatal("poll");
		for (i = 0; i < count; i++)
			if (p[i].revents != POLLNVAL &&
			    !listed(fd + i, first, extra, n))
				open_fd(fd + i);
	}
}

void
seal_check_fds(int first, const int *extra, size_t n)
{
	if (!check_list(first, extra, n))
		check_numbers(first, extra, n);
}

/* ---- seccomp ---------------------------------------------------------- */

static int
add_rule(scmp_filter_ctx ctx, const struct seal_call *call)
{
	struct scmp_arg_cmp	cmp[SEAL_ARGS_MAX];
	unsigned int		n;

	for (n = 0; n < SEAL_ARGS_MAX && call->arg[n].arg != 0; n++) {
		const struct seal_arg *a = &call->arg[n];

		cmp[n].arg = a->arg - 1u;
		if (a->pointer) {
			cmp[n].op = SCMP_CMP_EQ;
			cmp[n].datum_a = a->value;
			cmp[n].datum_b = 0;
		} else {
			cmp[n].op = SCMP_CMP_MASKED_EQ;
			cmp[n].datum_a = a->mask;
			cmp[n].datum_b = a->value;
		}
	}
	return seccomp_rule_add_exact_array(ctx, SCMP_ACT_ALLOW, call->nr, n,
	    cmp);
}

static scmp_filter_ctx
build(const struct seal_table *table)
{
	scmp_filter_ctx	ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	size_t		i;
	int		r;

	if (ctx == NULL)
		return NULL;
	if (seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH,
	    SCMP_ACT_KILL_PROCESS) != 0 ||
	    seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0) != 0) {
		seccomp_release(ctx);
		return NULL;
	}
	for (i = 0; i < table->ncalls; i++) {
		if ((r = add_rule(ctx, &table->call[i])) != 0) {
			errno = -r;
			log_warn("seal %s: rule %zu (%s)", table->room, i,
			    table->call[i].who);
			seccomp_release(ctx);
			return NULL;
		}
	}
	return ctx;
}

int
seal_export(const struct seal_table *table, int fd)
{
	scmp_filter_ctx	ctx = build(table);
	int		r;

	if (ctx == NULL)
		return -1;
	r = seccomp_export_pfc(ctx, fd);
	seccomp_release(ctx);
	return r == 0 ? 0 : -1;
}

void
seal_filter(const struct seal_table *table)
{
#ifdef SANITIZE
	log_debug("sanitizer build: no seccomp filter for %s", table->room);
#else
	scmp_filter_ctx	ctx = build(table);
	int		r;

	if (ctx == NULL)
		fatalx("the seccomp filter of %s cannot be built", table->room);
	if ((r = seccomp_load(ctx)) != 0) {
		errno = -r;
		fatal("the seccomp filter of %s cannot be loaded", table->room);
	}
	seccomp_release(ctx);
#endif
}
