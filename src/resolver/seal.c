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

#define OURS	(SOCK_NONBLOCK | SOCK_CLOEXEC)
#define SOCKET(domain, type, proto, who)				\
	{ SCMP_SYS(socket), who, { SEAL_INT(0, domain),			\
	    SEAL_INT(1, type), SEAL_INT(2, proto) } }
#define SETOPT(level, name, who)					\
	{ SCMP_SYS(setsockopt), who, { SEAL_INT(1, level),		\
	    SEAL_INT(2, name) } }

/* Measured over tests/resolver by RESOLVER_WRAP=strace (drive.py there). */
static const struct seal_call	calls[] = {
	/* the channel */
	{ SCMP_SYS(recvmsg), "fd_recv: questions", { SEAL_INT(0, FD_CHANNEL),
	    SEAL_INT(2, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) } },
	{ SCMP_SYS(write), "fd_send: answers", { SEAL_INT(0, FD_CHANNEL) } },
	{ SCMP_SYS(write), "log", { SEAL_INT(0, FD_LOG) } },
	/* sockets to upstreams */
	SOCKET(AF_INET, SOCK_DGRAM | OURS, 0, "socket.c"),
	SOCKET(AF_INET6, SOCK_DGRAM | OURS, 0, "socket.c"),
	SOCKET(AF_INET, SOCK_STREAM | OURS, 0, "socket.c"),
	SOCKET(AF_INET6, SOCK_STREAM | OURS, 0, "socket.c"),
	SOCKET(AF_INET, SOCK_DGRAM, 0, "libunbound"),
	SOCKET(AF_INET6, SOCK_DGRAM, 0, "libunbound"),
	SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP, "libunbound"),
	SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP, "libunbound"),
	{ SCMP_SYS(bind), "socket.c, libunbound: a port of chance", { { 0 } } },
	{ SCMP_SYS(connect), "socket.c, libunbound", { { 0 } } },
	{ SCMP_SYS(sendto), "stub.c, stream.c, alive.c", {
	    SEAL_INT(3, MSG_NOSIGNAL), SEAL_NULL(4) } },
	{ SCMP_SYS(sendto), "libunbound: UDP, connected", {
	    SEAL_INT(3, 0), SEAL_NULL(4) } },
	{ SCMP_SYS(sendmsg), "libunbound: TCP's first bytes with its SYN", {
	    SEAL_INT(2, MSG_FASTOPEN) } },
	{ SCMP_SYS(writev), "libunbound: TCP", { { 0 } } },
	{ SCMP_SYS(recvfrom), "stub.c, stream.c, alive.c; libunbound: TCP", {
	    SEAL_INT(3, 0), SEAL_NULL(4) } },
	{ SCMP_SYS(recvfrom), "libunbound: UDP", {
	    SEAL_INT(3, MSG_DONTWAIT) } },
	{ SCMP_SYS(fcntl), "libunbound", { SEAL_INT(1, F_GETFL) } },
	{ SCMP_SYS(fcntl), "libunbound: non-blocking", { SEAL_INT(1, F_SETFL),
	    SEAL_INT(2, O_RDWR | O_NONBLOCK) } },
	{ SCMP_SYS(getsockopt), "stream.c, libunbound: is it connected; "
	    "pluggable.c: was a datagram refused", {
	    SEAL_INT(1, SOL_SOCKET), SEAL_INT(2, SO_ERROR) } },
	SETOPT(SOL_SOCKET, SO_REUSEADDR, "libunbound: TCP"),
	SETOPT(IPPROTO_IP, IP_MTU_DISCOVER, "libunbound: UDP, no fragments"),
	SETOPT(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, "libunbound: TCP"),
	SETOPT(IPPROTO_IPV6, IPV6_V6ONLY, "libunbound: UDP"),
	SETOPT(IPPROTO_IPV6, IPV6_MTU, "libunbound: UDP, no fragments"),
	SETOPT(IPPROTO_IPV6, IPV6_MTU_DISCOVER, "libunbound: UDP"),
	{ SCMP_SYS(poll), "libunbound: a UDP socket without room",
	    { SEAL_INT(1, 1) } },
	{ SCMP_SYS(close), "all", { { 0 } } },
	/* the process */
	{ SCMP_SYS(epoll_wait), "libevent", { { 0 } } },
	{ SCMP_SYS(epoll_ctl), "libevent", { { 0 } } },
	{ SCMP_SYS(getrandom), "socket.c, stub.c, stream.c, order.c; libunbound, OpenSSL",
	    { SEAL_INT(2, 0) } },
	{ SCMP_SYS(getpid), "OpenSSL: was its generator forked", { { 0 } } },
	{ SCMP_SYS(clock_gettime), "where the vDSO falls back", { { 0 } } },
	{ SCMP_SYS(gettimeofday), "the same, for libunbound", { { 0 } } },
	{ SCMP_SYS(time), "the same, for libunbound and OpenSSL", { { 0 } } },
	{ SCMP_SYS(brk), "malloc", { { 0 } } },
	{ SCMP_SYS(mmap), "malloc of large blocks", {
	    SEAL_INT(2, PROT_READ | PROT_WRITE),
	    SEAL_INT(3, MAP_PRIVATE | MAP_ANONYMOUS), SEAL_INT(4, -1) } },
	{ SCMP_SYS(munmap), "free of large blocks", { { 0 } } },
	{ SCMP_SYS(mremap), "realloc: buffers of streams, libevent's table", {
	    SEAL_INT(3, MREMAP_MAYMOVE) } },
	{ SCMP_SYS(restart_syscall), "epoll_wait after a stop", { { 0 } } },
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
