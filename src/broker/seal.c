/*
 * The broker's lock. It keeps the door to the street and nothing else: no file,
 * no process, no other kind of socket, no capability.
 *
 * Should: be called once, after the policy is loaded and everything in
 * broker_new() is open, and before any other process of the set exists.
 * Mustn't: be called in a process with a second thread.
 *
 * No fcntl(2), ioctl(2), dup(2), bind(2), listen(2), accept(2): channels and
 * logs come from the keeper as they are to be used.
 */
#include "config.h"	/* _GNU_SOURCE */

#include <sys/mman.h>
#include <sys/socket.h>

#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "broker.h"
#include "seal.h"

#define STREAM	(SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
#define DGRAM	(SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
#define SOCKET(domain, type, proto, who)				\
	{ SCMP_SYS(socket), who, { SEAL_INT(0, domain),			\
	    SEAL_INT(1, type), SEAL_INT(2, proto) } }
#define SETOPT(level, name, who)					\
	{ SCMP_SYS(setsockopt), who, { SEAL_INT(1, level),		\
	    SEAL_INT(2, name) } }
#define GETOPT(level, name, who)					\
	{ SCMP_SYS(getsockopt), who, { SEAL_INT(1, level),		\
	    SEAL_INT(2, name) } }

static const struct seal_call calls[] = {
	{ SCMP_SYS(read), "locals, route, changes: netlink; childlog: pipes", { { 0 } } },
	{ SCMP_SYS(write), "fd_send without an fd; locals; route; log", { { 0 } } },
	{ SCMP_SYS(recvmsg), "fd_recv", {
	    SEAL_INT(2, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) } },
	{ SCMP_SYS(sendmsg), "fd_send of a GRANT", {
	    SEAL_INT(2, MSG_NOSIGNAL | MSG_DONTWAIT) } },
	SOCKET(AF_INET, STREAM, IPPROTO_TCP, "connect"),
	SOCKET(AF_INET6, STREAM, IPPROTO_TCP, "connect"),
	SOCKET(AF_INET, DGRAM, IPPROTO_UDP, "connect"),
	SOCKET(AF_INET6, DGRAM, IPPROTO_UDP, "connect"),
	SOCKET(AF_INET, DGRAM, IPPROTO_ICMP, "connect: ping sockets"),
	SOCKET(AF_INET6, DGRAM, IPPROTO_ICMPV6, "connect: ping sockets"),
	{ SCMP_SYS(connect), "connect", { { 0 } } },
	SETOPT(SOL_SOCKET, SO_LINGER, "connect, ledger: RST or FIN"),
	SETOPT(SOL_SOCKET, SO_KEEPALIVE, "connect"),
	SETOPT(SOL_SOCKET, SO_OOBINLINE, "connect"),
	SETOPT(SOL_SOCKET, SO_MAX_PACING_RATE, "cut: a copy that was kept"),
	SETOPT(IPPROTO_TCP, TCP_NODELAY, "connect"),
	SETOPT(IPPROTO_TCP, TCP_KEEPIDLE, "connect: servers that vanish"),
	SETOPT(IPPROTO_TCP, TCP_KEEPINTVL, "connect: servers that vanish"),
	SETOPT(IPPROTO_TCP, TCP_KEEPCNT, "connect: servers that vanish"),
	SETOPT(IPPROTO_TCP, TCP_NOTSENT_LOWAT, "connect: what waits in the kernel"),
	SETOPT(IPPROTO_IP, IP_MTU_DISCOVER, "connect: UDP, echo"),
	SETOPT(IPPROTO_IP, IP_RECVERR, "connect: UDP, echo"),
	SETOPT(IPPROTO_IPV6, IPV6_V6ONLY, "connect"),
	SETOPT(IPPROTO_IPV6, IPV6_MTU_DISCOVER, "connect: UDP, echo"),
	SETOPT(IPPROTO_IPV6, IPV6_RECVERR, "connect: UDP, echo"),
	GETOPT(SOL_SOCKET, SO_ERROR, "connect: once, before the grant"),
	GETOPT(SOL_SOCKET, SO_MEMINFO, "meter: is all data fetched; kmem"),
	GETOPT(IPPROTO_TCP, TCP_INFO, "meter, silent"),
	{ SCMP_SYS(getpeername), "connect: who is there", { { 0 } } },
	{ SCMP_SYS(getsockname), "connect: our side, for the record",
	    { { 0 } } },
	{ SCMP_SYS(shutdown), "ledger: revoke", { { 0 } } },
	{ SCMP_SYS(close), "all", { { 0 } } },
	{ SCMP_SYS(epoll_wait), "libevent, ledger", { { 0 } } },
	{ SCMP_SYS(epoll_ctl), "libevent, ledger", { { 0 } } },
	{ SCMP_SYS(poll), "lib/log.c: is there room for a line",
	    { SEAL_INT(1, 1), SEAL_INT(2, 0) } },
	{ SCMP_SYS(clock_gettime), "where the vDSO falls back", { { 0 } } },
	{ SCMP_SYS(brk), "malloc", { { 0 } } },
	{ SCMP_SYS(mmap), "malloc of large blocks", {
	    SEAL_INT(2, PROT_READ | PROT_WRITE),
	    SEAL_INT(3, MAP_PRIVATE | MAP_ANONYMOUS), SEAL_INT(4, -1) } },
	{ SCMP_SYS(munmap), "free of large blocks", { { 0 } } },
	{ SCMP_SYS(mremap), "libevent: realloc of its table of fds", {
	    SEAL_INT(3, MREMAP_MAYMOVE) } },
	{ SCMP_SYS(exit_group), "the end", { { 0 } } },
};

const struct seal_table	broker_seal = {
	.room = "broker", .call = calls,
	.ncalls = sizeof(calls) / sizeof(calls[0])
};

void
broker_seal_in(void)
{
	static const struct seal_limits	limits = {
		.nofile = UINT64_MAX,	/* the hard limit: one per flow */
		.fsize = UINT64_MAX,	/* fd 5 may be the caller's file */
		.as = UINT64_MAX,
		.nproc = true
	};

	seal_rlimits(&limits);
	seal_caps();
	seal_process("sp-broker", 0);	/* its end is ordered: EOF */
	seal_landlock_street();
	seal_filter(&broker_seal);
}
