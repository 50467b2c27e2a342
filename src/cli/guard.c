/*
 * CMD's filter: what namespaces do not close. Unlike a seal it answers EPERM and
 * lets everything else pass, since CMD is somebody's program and not our room.
 *
 * socket(2) of other families: AF_VSOCK, Bluetooth and their like are not in a
 * net namespace, or are attack surface for nothing. io_uring makes sockets behind
 * a filter's back. request_key(2) has the kernel start a program outside, which
 * resolves names (request-key(8)); the caller's keyrings hold the caller's keys.
 * TIOCSTI and TIOCLINUX type into the caller's terminal; TIOCSETD loads a kernel
 * module to give the terminal another line discipline, some of them networks.
 * TIOCEXCL outlives CMD: nobody but root could open the caller's terminal again.
 *
 * setpriority(2) and ioprio_set(2) of a group reach whoever is in CMD's, which is the
 * caller's: no namespace stands in the way. Of a user they stop at the pid namespace,
 * as the kernel is now; that is not left to it.
 *
 * Trusts: libseccomp's knowledge of the other ABIs of this machine.
 * Must not: compare 64 bits of what the kernel takes 32 of, unless a set upper
 * half leads to EPERM.
 */
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <errno.h>
#include <linux/ioprio.h>
#include <seccomp.h>
#include <stdint.h>

#include "cli.h"
#include "config.h"

#define EQUAL32(n, v)	SCMP_CMP(n, SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint32_t)(v))
#define DENY		SCMP_ACT_ERRNO(EPERM)

static const unsigned int families[] = { AF_UNIX, AF_INET, AF_INET6,
	AF_NETLINK };
#define FAMILY_TOP	((unsigned int)AF_NETLINK)	/* the highest of them */

static bool
permitted(unsigned int family)
{
	size_t	i;

	for (i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (families[i] == family)
			return true;
	return false;
}

static int
sockets(scmp_filter_ctx c)
{
	unsigned int	f;
	int		r;

	r = seccomp_rule_add(c, DENY, SCMP_SYS(socket), 1,
	    SCMP_A0(SCMP_CMP_GT, FAMILY_TOP, 0));
	for (f = 0; r == 0 && f <= FAMILY_TOP; f++)
		if (!permitted(f))
			r = seccomp_rule_add(c, DENY, SCMP_SYS(socket), 1,
			    EQUAL32(0, f));
	/* of what is permitted, only this one has pairs; others may learn it */
	if (r == 0)
		r = seccomp_rule_add(c, DENY, SCMP_SYS(socketpair), 1,
		    SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0));
	return r;
}

/* The first argument says whose: a process' is left, as all of CMD's are inside. */
static int
priorities(scmp_filter_ctx c)
{
	static const struct { int call, whose; } of[] = {
		{ SCMP_SYS(setpriority), PRIO_PGRP },
		{ SCMP_SYS(setpriority), PRIO_USER },
		{ SCMP_SYS(ioprio_set), IOPRIO_WHO_PGRP },
		{ SCMP_SYS(ioprio_set), IOPRIO_WHO_USER },
	};
	size_t		i;
	int		r = 0;

	for (i = 0; r == 0 && i < sizeof(of) / sizeof(of[0]); i++)
		r = seccomp_rule_add(c, DENY, of[i].call, 1,
		    EQUAL32(0, of[i].whose));
	return r;
}

static int
typing(scmp_filter_ctx c)
{
	static const unsigned int	requests[] = { TIOCSTI, TIOCLINUX,
					    TIOCSETD, TIOCEXCL };
	size_t				i;
	int				r = 0;

	for (i = 0; r == 0 && i < sizeof(requests) / sizeof(requests[0]); i++)
		r = seccomp_rule_add(c, DENY, SCMP_SYS(ioctl), 1,
		    EQUAL32(1, requests[i]));
	return r;
}

static int
others(scmp_filter_ctx c)
{
	static const int	calls[] = { SCMP_SYS(io_uring_setup),
				    SCMP_SYS(io_uring_enter),
				    SCMP_SYS(io_uring_register),
				    SCMP_SYS(add_key), SCMP_SYS(request_key),
				    SCMP_SYS(keyctl) };
	size_t			i;
	int			r = 0;

	for (i = 0; r == 0 && i < sizeof(calls) / sizeof(calls[0]); i++)
		r = seccomp_rule_add(c, DENY, calls[i], 0);
	return r;
}

/*
 * The other ABIs of this machine, each under the same rules. i386's socketcall(2)
 * keeps the family in memory, out of the filter's sight: it is refused whole.
 */
static int
more_abis(scmp_filter_ctx c)
{
#if defined(__x86_64__)
	int	r = seccomp_arch_add(c, SCMP_ARCH_X86);

	if (r == 0)
		r = seccomp_arch_add(c, SCMP_ARCH_X32);
	return r;
#elif defined(__aarch64__)
	return seccomp_arch_add(c, SCMP_ARCH_ARM);
#else
	(void)c;
	return 0;
#endif
}

static int
socketcall(scmp_filter_ctx c)
{
#if defined(__x86_64__)
	return seccomp_rule_add(c, DENY, SCMP_SYS(socketcall), 0);
#else
	(void)c;
	return 0;
#endif
}

int
guard_load(void)
{
	scmp_filter_ctx	c = seccomp_init(SCMP_ACT_ALLOW);
	int		r;

	if (c == NULL)
		return -1;
	r = more_abis(c);
	if (r == 0)
		r = sockets(c);
	if (r == 0)
		r = priorities(c);
	if (r == 0)
		r = typing(c);
	if (r == 0)
		r = others(c);
	if (r == 0)
		r = socketcall(c);
	if (r == 0)
		r = seccomp_load(c);
	seccomp_release(c);
	if (r != 0)
		errno = -r;
	return r == 0 ? 0 : -1;
}
