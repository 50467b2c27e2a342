/*
 * What an inspector may still ask of the kernel: to read its channel, to write to
 * it and to its log, and to end. It allocates nothing, looks at no clock, and
 * waits in read(2): main.c makes the channel blocking for that.
 *
 * There is no recvmsg(2), so no fd can come in: the kernel drops what is sent
 * along with bytes that are only read.
 */
#include "config.h"	/* _GNU_SOURCE */

#include <signal.h>

#include "fd.h"
#include "inspector.h"
#include "seal.h"

/* Stack, data and what libseccomp needs to build the filter. */
#define ADDRESS_SPACE	(UINT64_C(8) << 20)

static const struct seal_call calls[] = {
	{ SCMP_SYS(read), "main.c: a flight", { SEAL_INT(0, FD_CHANNEL) } },
	{ SCMP_SYS(write), "lib/fd.c: its result",
	    { SEAL_INT(0, FD_CHANNEL) } },
	{ SCMP_SYS(write), "lib/log.c", { SEAL_INT(0, FD_LOG) } },
	{ SCMP_SYS(exit_group), "main.c, lib/log.c", { { 0 } } },
};

const struct seal_table	inspector_seal = {
	"inspector", calls, sizeof(calls) / sizeof(calls[0])
};

void
inspector_seal_in(void)
{
	static const struct seal_limits	limits = {
		.nofile = FD_OBJECT + 1,	/* one free number: Landlock's */
		.fsize = 0, .as = ADDRESS_SPACE, .nproc = true
	};

	seal_rlimits(&limits);
	seal_caps();
	seal_process("sp-inspector", SIGKILL);
	seal_landlock(NULL, 0);
	seal_filter(&inspector_seal);
}
