/*
 * The limits of resources that we were called with. Sallyport's own processes use
 * what the hard ones allow; CMD gets its soft ones back. What is too little for the
 * rooms is said before any of them is started, by the option of ulimit that sets it.
 *
 * Trusts: getrlimit(2). Must not: raise a hard limit.
 */
#include <sys/resource.h>

#include <string.h>

#include "cli.h"

#define KB	1024u
#define MB	(1024u * KB)
#define STACK	(8 * MB)	/* what we take of an unlimited one: the usual */

/*
 * Each room gets its descriptors by way of numbers from 64 on; the log's reserve has
 * 8 MB; the frame's buffers take some 60 MB.
 */
static const struct least {
	__rlimit_resource_t	what;
	rlim_t			n, unit;
	const char		*name, *unit_name;
	char			option;
	const char		*service, *more;
} least[LIMITS_OURS] = {
	{ RLIMIT_NOFILE, 128, 1, "open files", "", 'n', "NOFILE",
	    "; names take 257, flows more" },
	{ RLIMIT_FSIZE, 16 * MB, KB, "a file's size", " KB", 'f', "FSIZE",
	    "; the audit log is written in files of that size" },
	{ RLIMIT_STACK, 256 * KB, KB, "the stack", " KB", 's', "STACK", "" },
	{ RLIMIT_DATA, 128 * MB, KB, "memory (data)", " KB", 'd', "DATA", "" },
	{ RLIMIT_AS, 128 * MB, KB, "memory (address space)", " KB", 'v', "AS", "" },
	{ RLIMIT_CPU, 1, 1, "processor time", " s", 't', "CPU", "" },
};

static void
raise_soft(const struct least *l, const struct rlimit *caller)
{
	struct rlimit	rl = *caller;

	rl.rlim_cur = rl.rlim_max;
	if (l->what == RLIMIT_STACK && rl.rlim_cur > STACK)
		rl.rlim_cur = caller->rlim_cur > STACK ? caller->rlim_cur : STACK;
	if (rl.rlim_cur != caller->rlim_cur && setrlimit(l->what, &rl) == -1)
		log_debug("RLIMIT_%s", l->service);
}

static int
check(const struct least *l, rlim_t hard)
{
	if (hard >= l->n)
		return 0;
	log_warnx("the hard limit of %s is %llu%s, and %llu is the least: raise "
	    "it (ulimit -H%c, Limit%s=)%s", l->name,
	    (unsigned long long)(hard / l->unit), l->unit_name,
	    (unsigned long long)(l->n / l->unit), l->option, l->service, l->more);
	return -1;
}

int
limits_take(struct rlimit caller[LIMITS_OURS], bool quiet)
{
	rlim_t	cpu;
	size_t	i;

	for (i = 0; i < LIMITS_OURS; i++) {
		if (getrlimit(least[i].what, &caller[i]) == -1)
			fatal("getrlimit");
		if (check(&least[i], caller[i].rlim_max) == -1)
			return -1;
		raise_soft(&least[i], &caller[i]);
	}
	cpu = caller[LIMITS_OURS - 1].rlim_max;
	if (cpu != RLIM_INFINITY && !quiet)
		log_warnx("the hard limit of processor time (ulimit -Ht) is %llu s: "
		    "it is each of Sallyport's processes' too, and all ends with "
		    "the first one that has used it up", (unsigned long long)cpu);
	return 0;
}

int
limits_give_back(const struct rlimit caller[LIMITS_OURS])
{
	size_t	i;

	for (i = 0; i < LIMITS_OURS; i++)	/* of files CMD has the half */
		if (least[i].what != RLIMIT_NOFILE &&
		    setrlimit(least[i].what, &caller[i]) == -1)
			return -1;
	return 0;
}
