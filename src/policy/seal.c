/*
 * The seal of the parser child, which reads text that tenants may have written.
 * What is left to it: to read files below the policy's directories, and to write
 * its memfd, the list of what it read, and its messages.
 *
 * Trusts: the keeper's fds.
 * Must not: open anything for writing, make a socket, start a program.
 *
 * The filter goes on before the first byte of text, and Landlock a moment later,
 * from inside: only the text says which directories are needed, and its tokens
 * (not its grammar) are looked at for that under the filter. So this table has
 * the three Landlock calls, which can only take rights away.
 */
#include "config.h"	/* _GNU_SOURCE */

#include <sys/mman.h>
#include <sys/resource.h>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "fd.h"
#include "grammar.h"
#include "log.h"
#include "parser.h"
#include "policy.h"
#include "seal.h"

#define CPU_SECONDS	60
#define MEMORY_MAX	(UINT64_C(2) << 30)	/* the grammar asks for less */
#define FILES_MAX	32

/* What would make openat(2) more than a look. */
#define OPEN_CHANGES	(O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND)

static const struct seal_call	calls[] = {
	{ SCMP_SYS(openat), "policy, includes, tables, directories: to read; our uid_map",
	    { SEAL_BITS(2, OPEN_CHANGES, O_RDONLY) } },
	{ SCMP_SYS(newfstatat), "fstat of what was opened",
	    { SEAL_INT(3, AT_EMPTY_PATH) } },
	{ SCMP_SYS(fstat), "the same, other C libraries", { { 0 } } },
	{ SCMP_SYS(read), "files", { { 0 } } },
	{ SCMP_SYS(getdents64), "the directory of an include", { { 0 } } },
	{ SCMP_SYS(close), "files", { { 0 } } },
	{ SCMP_SYS(readlinkat), "links.c: where a link leads that it looked at",
	    { { 0 } } },
	{ SCMP_SYS(fstatfs), "links.c: is its directory mounted read-only",
	    { { 0 } } },
	{ SCMP_SYS(getuid), "whose files are trusted", { { 0 } } },
	{ SCMP_SYS(write), "which files were read", { SEAL_INT(0, FD_CHANNEL) } },
	{ SCMP_SYS(write), "the compiled policy", { SEAL_INT(0, FD_OBJECT) } },
	{ SCMP_SYS(write), "messages", { SEAL_INT(0, FD_LOG) } },
	{ SCMP_SYS(poll), "lib/log.c: is there room for a line",
	    { SEAL_INT(1, 1) } },
	{ SCMP_SYS(brk), "malloc", { { 0 } } },
	{ SCMP_SYS(mmap), "malloc: memory, of no file, never code",
	    { SEAL_BITS(2, PROT_EXEC, 0), SEAL_INT(4, -1) } },
	{ SCMP_SYS(mremap), "realloc of large blocks", { { 0 } } },
	{ SCMP_SYS(munmap), "free", { { 0 } } },
	{ SCMP_SYS(sysinfo), "glibc's qsort(3), before it calls malloc",
	    { { 0 } } },
	{ SCMP_SYS(landlock_create_ruleset), "to lose rights", { { 0 } } },
	{ SCMP_SYS(landlock_add_rule), "to lose rights", { { 0 } } },
	{ SCMP_SYS(landlock_restrict_self), "to lose rights",
	    { SEAL_INT(1, 0) } },
	{ SCMP_SYS(exit_group), "the end", { { 0 } } },
};

const struct seal_table	parser_seal = {
	"parser", calls, sizeof(calls) / sizeof(calls[0])
};

void
parser_lock(void)
{
	struct rlimit			cpu;
	const struct seal_limits	limits = {
		.nofile = FILES_MAX, .fsize = POLICY_BLOB_MAX,
		.as = MEMORY_MAX, .nproc = true
	};

	seal_check_fds(FD_LOG + 1, NULL, 0);
	if (getrlimit(RLIMIT_CPU, &cpu) == -1)
		fatal("getrlimit CPU");
	if (cpu.rlim_max > CPU_SECONDS)
		cpu.rlim_max = CPU_SECONDS;
	cpu.rlim_cur = cpu.rlim_max;
	if (setrlimit(RLIMIT_CPU, &cpu) == -1)
		fatal("setrlimit CPU");
	seal_rlimits(&limits);
	seal_caps();
	seal_process("sp-parser", SIGKILL);
	seal_filter(&parser_seal);
}

/* A directory that cannot be opened stays out; its files then say why. */
void
parser_lock_paths(const char *const *dir, size_t n)
{
	struct seal_path	path[GRAMMAR_DIRS_MAX] = { { -1, false } };
	size_t			i, k = 0;

	for (i = 0; i < n && k < GRAMMAR_DIRS_MAX; i++) {
		path[k].dirfd = open(dir[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		path[k].write = false;
		if (path[k].dirfd != -1)
			k++;
	}
	seal_landlock(path, k);
	for (i = 0; i < k; i++)
		close(path[i].dirfd);
}
