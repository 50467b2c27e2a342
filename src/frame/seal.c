/*
 * What a frame may still ask of the kernel: 16 calls; the
 * table below has the reason for each.
 *
 * Nothing here makes, connects, binds or names a socket, opens a file, sends to
 * an address, sets an option, or starts anything. The one option that is read is
 * what fits a path. There is no getrandom(2): the
 * seeds are drawn before. There is no ioctl(2): no bufferevent is used. There is
 * no rt_sigreturn(2): no signal has a handler.
 */
#include <sys/mman.h>
#include <sys/socket.h>

#include <netinet/in.h>

#include "fd.h"
#include "seal.h"

static const struct seal_call calls[] = {
	{ SCMP_SYS(read), "tap.c, stream.c, down.c, dgram.c", { } },
	{ SCMP_SYS(readv), "tap.c: the frame behind its vnet header", { } },
	{ SCMP_SYS(write), "lib/fd.c: the channel; log.c; stream.c, dgram.c",
	    { } },
	{ SCMP_SYS(writev), "tap.c, stream.c, up.c", { } },
	{ SCMP_SYS(recvmsg), "lib/fd.c: the only door for fds",
	    { SEAL_INT(0, FD_CHANNEL),
	      SEAL_INT(2, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) } },
	{ SCMP_SYS(epoll_wait), "libevent", { } },
	{ SCMP_SYS(epoll_ctl), "libevent", { } },
	{ SCMP_SYS(shutdown), "up.c: the guest's FIN", { } },
	{ SCMP_SYS(getsockopt), "pmtu.c: what fits the path",
	    { SEAL_INT(1, IPPROTO_IP), SEAL_INT(2, IP_MTU) } },
	{ SCMP_SYS(getsockopt), "pmtu.c: what fits the path",
	    { SEAL_INT(1, IPPROTO_IPV6), SEAL_INT(2, IPV6_MTU) } },
	{ SCMP_SYS(close), "relay.c, dgram.c", { } },
	{ SCMP_SYS(clock_gettime), "where the vDSO has none", { } },
	{ SCMP_SYS(mmap), "malloc",
	    { SEAL_INT(3, MAP_PRIVATE | MAP_ANONYMOUS),
	      SEAL_BITS(2, PROT_EXEC, 0) } },
	{ SCMP_SYS(munmap), "malloc", { } },
	{ SCMP_SYS(brk), "malloc", { } },
	{ SCMP_SYS(exit_group), "main.c, log.c", { } },
	{ SCMP_SYS(restart_syscall), "the kernel, after a stop", { } },
};

const struct seal_table frame_seal = {
	"frame", calls, sizeof(calls) / sizeof(calls[0])
};
