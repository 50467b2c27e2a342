/*
 * The seal suite: each room's filter, loaded for real in a child of its own,
 * asked for everything that it must refuse. A child that lives is a hole.
 *
 *  - every system call number that has no rule;
 *  - for each rule, each argument flipped (bit by bit), unless another rule of
 *    the same call allows the result;
 *  - pointers that are NULL in their lower half only;
 *  - the calls that do have a rule, through x32's numbers and through int 0x80;
 *  - the number -1.
 *
 * usage: seal_suite ROOM            run the suite
 *        seal_suite --pfc ROOM      print the filter, for the golden files
 */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "seal.h"

#define SYSCALL_TOP	512	/* 6.18's last is 469 */
#define X32_BIT		0x40000000L

static const struct seal_table *const	tables[] = {
	&frame_seal, &broker_seal, &recorder_seal, &keeper_seal, &parser_seal,
	&inspector_seal, &resolver_seal,
};

/* An address that no call can do harm with, should it get through. */
#define NOWHERE		UINT64_C(0xdead000000000000)

static unsigned long	tried, holes;

static bool
arg_matches(const struct seal_arg *a, const uint64_t arg[6])
{
	uint64_t	v = arg[a->arg - 1];

	return a->pointer ? v == a->value : ((uint32_t)v & a->mask) == a->value;
}

static bool
rule_matches(const struct seal_call *c, long nr, const uint64_t arg[6])
{
	size_t	i;

	if (c->nr != nr)
		return false;
	for (i = 0; i < SEAL_ARGS_MAX && c->arg[i].arg != 0; i++)
		if (!arg_matches(&c->arg[i], arg))
			return false;
	return true;
}

static bool
allowed(const struct seal_table *t, long nr, const uint64_t arg[6])
{
	size_t	i;

	for (i = 0; i < t->ncalls; i++)
		if (rule_matches(&t->call[i], nr, arg))
			return true;
	return false;
}

static long
int80(long nr)
{
#ifdef __x86_64__
	long	ret;

	__asm__ volatile ("int $0x80" : "=a"(ret) :
	    "a"(nr), "b"(-1L), "c"(0L), "d"(0L) : "memory");
	return ret;
#else
	return nr;
#endif
}

/* In a child: lock the room and try. Returns only in the parent. */
static int
attempt(const struct seal_table *t, long nr, const uint64_t a[6], bool old)
{
	pid_t	pid = fork();
	int	status;

	if (pid == -1)
		err(1, "fork");
	if (pid == 0) {
		struct rlimit	none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
			_exit(3);
		seal_filter(t);
		if (old)
			int80(nr);
		else
			syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) == -1)
		err(1, "waitpid");
	return status;
}

static void
must_die(const struct seal_table *t, long nr, const uint64_t a[6], bool old,
    const char *what)
{
	int	status = attempt(t, nr, a, old);

	tried++;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		return;
	holes++;
	fprintf(stderr, "%s: %s: syscall %ld(%llx, %llx, %llx, %llx) lived "
	    "(status %x)\n", t->room, what, nr, (unsigned long long)a[0],
	    (unsigned long long)a[1], (unsigned long long)a[2],
	    (unsigned long long)a[3], status);
}

static bool
has_rule(const struct seal_table *t, long nr)
{
	size_t	i;

	for (i = 0; i < t->ncalls; i++)
		if (t->call[i].nr == nr)
			return true;
	return false;
}

/*
 * The kernel itself lets two calls through any filter on x86-64: uretprobe (335)
 * since 6.14 and uprobe (336) since 6.18 (kernel/seccomp.c, action cache). They
 * are the trampolines of its probes: from anywhere else the first is SIGILL, the
 * second ENXIO.
 */
static bool
exempt(long nr)
{
#ifdef __x86_64__
	return nr == 335 || nr == 336;
#else
	(void)nr;
	return false;
#endif
}

static void
unlisted(const struct seal_table *t)
{
	const uint64_t	a[6] = { NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE,
			    NOWHERE };
	long		nr;

	for (nr = 0; nr < SYSCALL_TOP; nr++)
		if (!has_rule(t, nr) && !exempt(nr))
			must_die(t, nr, a, false, "unlisted");
	must_die(t, -1, a, false, "minus one");
}

/* Arguments that satisfy the rule; harmless elsewhere. */
static void
fill(const struct seal_call *c, uint64_t a[6])
{
	size_t	i;

	for (i = 0; i < 6; i++)
		a[i] = NOWHERE;
	for (i = 0; i < SEAL_ARGS_MAX && c->arg[i].arg != 0; i++)
		a[c->arg[i].arg - 1] = c->arg[i].value;
}

static void
flip_one(const struct seal_table *t, const struct seal_call *c,
    const struct seal_arg *arg)
{
	uint64_t	a[6];
	unsigned int	bit;

	for (bit = 0; bit < 64; bit++) {
		fill(c, a);
		a[arg->arg - 1] ^= UINT64_C(1) << bit;
		if (!allowed(t, c->nr, a))
			must_die(t, c->nr, a, false, c->who);
		else if (arg->pointer || (bit < 32 && (arg->mask >> bit & 1) &&
		    rule_matches(c, c->nr, a)))
			errx(1, "%s: the model is wrong about %s", t->room,
			    c->who);
	}
}

static void
flipped(const struct seal_table *t)
{
	size_t	i, j;

	for (i = 0; i < t->ncalls; i++)
		for (j = 0; j < SEAL_ARGS_MAX && t->call[i].arg[j].arg != 0;
		    j++)
			flip_one(t, &t->call[i], &t->call[i].arg[j]);
}

/*
 * What the keeper starts after its own seal inherits it: whatever frame, recorder
 * and inspector may do, the keeper's filter must let through.
 */
static void
keeper_covers(const struct seal_table *t)
{
	uint64_t	a[6];
	size_t		i;

	for (i = 0; i < t->ncalls; i++) {
		fill(&t->call[i], a);
		if (allowed(&keeper_seal, t->call[i].nr, a))
			continue;
		holes++;
		fprintf(stderr, "the keeper's filter would kill the %s at "
		    "syscall %d (%s)\n", t->room, t->call[i].nr,
		    t->call[i].who);
	}
}

#ifdef __x86_64__
static void
other_doors(const struct seal_table *t)
{
	uint64_t	a[6];
	size_t		i;
	long		nr;

	for (i = 0; i < t->ncalls; i++) {
		fill(&t->call[i], a);
		must_die(t, t->call[i].nr | X32_BIT, a, false, "x32");
	}
	memset(a, 0, sizeof(a));
	for (nr = 1; nr < 450; nr += 7)
		must_die(t, nr, a, true, "int 0x80");
}
#endif

static const struct seal_table *
find(const char *name)
{
	size_t	i;

	for (i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		if (strcmp(tables[i]->room, name) == 0)
			return tables[i];
	errx(2, "no room is called %s", name);
}

int
main(int argc, char **argv)
{
	const struct seal_table	*t;

	if (argc == 3 && strcmp(argv[1], "--pfc") == 0)
		return seal_export(find(argv[2]), STDOUT_FILENO) == 0 ? 0 : 1;
	if (argc != 2)
		errx(2, "usage: seal_suite [--pfc] ROOM");
#ifdef SANITIZE
	return 77;
#endif
	t = find(argv[1]);
	unlisted(t);
	flipped(t);
	if (t == &frame_seal || t == &recorder_seal || t == &inspector_seal)
		keeper_covers(t);
#ifdef __x86_64__
	other_doors(t);
#endif
	printf("%s: %lu attempts, %lu lived\n", t->room, tried, holes);
	return holes == 0 && tried > 400 ? 0 : 1;
}
