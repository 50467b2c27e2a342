/*
 * The resolver's lock: sockets to upstreams, one channel, nothing else. No file,
 * no process, no listener, no other kind of socket, no capability. One table for
 * both engines and TLS.
 *
 * Should: be called once, when everything in engine->open() is open.
 * Must not: be called in a process with a second thread.
 */
#include "config.h"	/* _GNU_SOURCE */

#include <sys/mman.h>
#include <sys/socket.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "fd.h"
#include "resolver.h"
#include "seal.h"

static const struct seal_call	calls[] = {
	{ SCMP_SYS(exit_group), "the end", { { 0 } } },
};

const struct seal_table	resolver_seal = {
	"resolver", calls, sizeof(calls) / sizeof(calls[0])
};

void
resolver_seal_self(void)
{
	static const struct seal_limits	limits = {
		.nofile = NOFILE,
		.fsize = UINT64_MAX,	/* fd 5 may be the caller's file */
		.as = UINT64_MAX,
		.nproc = true
	};

	seal_rlimits(&limits);
	seal_caps();
	seal_process("sp-resolver", 0);	/* its end is ordered: EOF */
	seal_landlock_street();
	seal_filter(&resolver_seal);
}
