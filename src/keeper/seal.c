/*
 * The keeper's seal. It is put on when the broker runs, which must not inherit
 * it; recorder and frame are started under it and inherit it, so the table is the
 * keeper's own loop plus what those two do between clone and their own filters.
 *
 * Trusts: nobody with a path any more: policy, programs and the log's directory
 * are open. openat(2) is for id maps, loaders and the recorder.
 * Must not: know socket, connect, bind, listen, ptrace, io_uring, bpf, keyctl,
 * setns, unshare, kill: signals go by pidfd only.
 */
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>

#include "idmap.h"
#include "keeperd.h"
#include "seal.h"

#define NS_RECORDER	(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | \
			CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)
#define NS_FRAME	(NS_RECORDER | CLONE_NEWNS)

static const struct seal_call calls[] = {
	/* the loop */
	{ SCMP_SYS(epoll_wait), "libevent", { { 0 } } },
	{ SCMP_SYS(epoll_ctl), "libevent", { { 0 } } },
	{ SCMP_SYS(clock_gettime), "back-off, when the vDSO falls back",
	    { { 0 } } },
	{ SCMP_SYS(read), "signalfd, id maps, a child's readiness", { { 0 } } },
	{ SCMP_SYS(write), "channels, messages, id maps", { { 0 } } },
	{ SCMP_SYS(close), "all", { { 0 } } },
	{ SCMP_SYS(brk), "malloc", { { 0 } } },
	{ SCMP_SYS(mmap), "malloc; a child's loader", { { 0 } } },
	{ SCMP_SYS(munmap), "malloc; a child's loader", { { 0 } } },
	{ SCMP_SYS(exit_group), "the end", { { 0 } } },
	{ SCMP_SYS(restart_syscall), "a stopped epoll_wait", { { 0 } } },
	{ SCMP_SYS(recvmsg), "channels",
	    { SEAL_INT(2, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) } },
	{ SCMP_SYS(sendmsg), "channels, with an fd",
	    { SEAL_INT(2, MSG_NOSIGNAL | MSG_DONTWAIT) } },
	/* links */
	{ SCMP_SYS(accept4), "a stream's client",
	    { SEAL_INT(0, LISTENER_FD), SEAL_NULL(1), SEAL_NULL(2),
	    SEAL_INT(3, SOCK_CLOEXEC | SOCK_NONBLOCK) } },
	{ SCMP_SYS(setsockopt), "a client's send buffer",
	    { SEAL_INT(1, SOL_SOCKET), SEAL_INT(2, SO_SNDBUF) } },
	{ SCMP_SYS(setsockopt), "a client's receive buffer",
	    { SEAL_INT(1, SOL_SOCKET), SEAL_INT(2, SO_RCVBUF) } },
	{ SCMP_SYS(setsockopt), "a client, or a child, sends no descriptor",
	    { SEAL_INT(1, SOL_SOCKET), SEAL_INT(2, FD_PASSRIGHTS) } },
	{ SCMP_SYS(memfd_create), "a stream's page",
	    { SEAL_INT(1, MFD_CLOEXEC | MFD_ALLOW_SEALING) } },
	{ SCMP_SYS(ftruncate), "a stream's page; the recorder", { { 0 } } },
	/* children: the keeper's side */
	{ SCMP_SYS(socketpair), "a child's channel",
	    { SEAL_INT(0, AF_UNIX), SEAL_INT(1, SOCK_SEQPACKET |
	    SOCK_CLOEXEC | SOCK_NONBLOCK), SEAL_INT(2, 0) } },
	{ SCMP_SYS(socketpair), "waiting for the id maps",
	    { SEAL_INT(0, AF_UNIX), SEAL_INT(1, SOCK_STREAM | SOCK_CLOEXEC),
	    SEAL_INT(2, 0) } },
	{ SCMP_SYS(pipe2), "a child's log",
	    { SEAL_INT(1, O_CLOEXEC | O_NONBLOCK) } },
	{ SCMP_SYS(clone), "a frame",
	    { SEAL_INT(0, NS_FRAME | CLONE_PIDFD | SIGCHLD), SEAL_NULL(1) } },
	{ SCMP_SYS(clone), "a recorder",
	    { SEAL_INT(0, NS_RECORDER | CLONE_PIDFD | SIGCHLD),
	    SEAL_NULL(1) } },
	{ SCMP_SYS(clone), "a bearer",
	    { SEAL_INT(0, CLONE_PIDFD | SIGCHLD), SEAL_NULL(1) } },
	{ SCMP_SYS(pidfd_send_signal), "a child's end",
	    { SEAL_INT(1, SIGKILL), SEAL_NULL(2), SEAL_INT(3, 0) } },
	{ SCMP_SYS(waitid), "a child's end", { SEAL_INT(0, P_PIDFD) } },
	{ SCMP_SYS(openat), "id maps; the loader; the log", { { 0 } } },
	{ SCMP_SYS(newfstatat), "the log directory's owner; the loader",
	    { { 0 } } },
	{ SCMP_SYS(fstat), "the same", { { 0 } } },
	{ SCMP_SYS(geteuid), "a child's ids", { { 0 } } },
	{ SCMP_SYS(getegid), "a child's ids", { { 0 } } },
	{ SCMP_SYS(capget), "may we map ids; seals", { { 0 } } },
	/* children: between clone and exec */
	{ SCMP_SYS(prctl), "enter.c, seals", { { 0 } } },
	{ SCMP_SYS(rt_sigaction), "spawn.c: SIGPIPE",
	    { SEAL_INT(0, SIGPIPE) } },
	{ SCMP_SYS(rt_sigaction), "recorder: EFBIG is no reason to die",
	    { SEAL_INT(0, SIGXFSZ) } },
	{ SCMP_SYS(rt_sigprocmask), "spawn.c", { { 0 } } },
	{ SCMP_SYS(fcntl), "enter.c, memfds, seals", { { 0 } } },
	{ SCMP_SYS(dup2), "enter.c", { { 0 } } },
	{ SCMP_SYS(close_range), "enter.c; a room may close all above its own",
	    { { 0 } } },
	{ SCMP_SYS(mount), "enter.c: the frame's root", { { 0 } } },
	{ SCMP_SYS(pivot_root), "enter.c", { { 0 } } },
	{ SCMP_SYS(umount2), "enter.c",
	    { SEAL_INT(1, MNT_DETACH | UMOUNT_NOFOLLOW) } },
	{ SCMP_SYS(chdir), "enter.c", { { 0 } } },
	{ SCMP_SYS(setgroups), "enter.c", { SEAL_INT(0, 0), SEAL_NULL(1) } },
	{ SCMP_SYS(setresgid), "enter.c", { { 0 } } },
	{ SCMP_SYS(setresuid), "enter.c", { { 0 } } },
	{ SCMP_SYS(getresuid), "enter.c", { { 0 } } },
	{ SCMP_SYS(getresgid), "enter.c", { { 0 } } },
	{ SCMP_SYS(execveat), "spawn.c", { SEAL_INT(4, AT_EMPTY_PATH) } },
	/* rooms: from exec to their own filter */
	{ SCMP_SYS(arch_prctl), "C start-up", { { 0 } } },
	{ SCMP_SYS(set_tid_address), "C start-up", { { 0 } } },
	{ SCMP_SYS(set_robust_list), "C start-up", { { 0 } } },
	{ SCMP_SYS(rseq), "C start-up", { { 0 } } },
	{ SCMP_SYS(prlimit64), "C start-up, rlimits", { { 0 } } },
	{ SCMP_SYS(mprotect), "loader, relro", { { 0 } } },
	{ SCMP_SYS(pread64), "loader", { { 0 } } },
	{ SCMP_SYS(access), "loader: ld.so.preload", { { 0 } } },
	{ SCMP_SYS(readlinkat), "static start-up: its own path", { { 0 } } },
	{ SCMP_SYS(readlink), "static start-up: its own path", { { 0 } } },
	{ SCMP_SYS(getrandom), "malloc, hash keys", { { 0 } } },
	{ SCMP_SYS(futex), "locks of libraries", { { 0 } } },
	{ SCMP_SYS(capset), "seal_caps", { { 0 } } },
	{ SCMP_SYS(fstatfs), "seal_check_fds: is it /proc; recorder", { { 0 } } },
	{ SCMP_SYS(landlock_create_ruleset), "seal_landlock", { { 0 } } },
	{ SCMP_SYS(landlock_add_rule), "seal_landlock", { { 0 } } },
	{ SCMP_SYS(landlock_restrict_self), "seal_landlock", { { 0 } } },
	{ SCMP_SYS(seccomp), "their own filter", { { 0 } } },
	{ SCMP_SYS(epoll_create1), "libevent", { { 0 } } },
	{ SCMP_SYS(eventfd2), "libevent", { SEAL_INT(0, 0) } },
	{ SCMP_SYS(getsockopt), "checking what fd 3 is", { { 0 } } },
	{ SCMP_SYS(getuid), "C start-up", { { 0 } } },
	{ SCMP_SYS(getgid), "C start-up", { { 0 } } },
	{ SCMP_SYS(uname), "libseccomp", { { 0 } } },
	{ SCMP_SYS(getcwd), "loader", { { 0 } } },
	/* rooms: what their own filters let through; ours must not be less */
	{ SCMP_SYS(readv), "frame, recorder", { { 0 } } },
	{ SCMP_SYS(writev), "frame, recorder", { { 0 } } },
	{ SCMP_SYS(fdatasync), "recorder", { { 0 } } },
	{ SCMP_SYS(fsync), "recorder", { { 0 } } },
	{ SCMP_SYS(fallocate), "recorder", { { 0 } } },
	{ SCMP_SYS(renameat), "recorder", { { 0 } } },
	{ SCMP_SYS(unlinkat), "recorder", { { 0 } } },
	{ SCMP_SYS(getdents64), "seal_check_fds; recorder: its segments", { { 0 } } },
	{ SCMP_SYS(sched_yield), "recorder: the rest of a group", { { 0 } } },
	{ SCMP_SYS(flock), "recorder: one writer per log", { { 0 } } },
	{ SCMP_SYS(poll), "seal_check_fds; recorder: a full channel",
	    { { 0 } } },
	{ SCMP_SYS(ppoll), "the same, as some libc has it", { { 0 } } },
	{ SCMP_SYS(shutdown), "frame", { { 0 } } },
};

const struct seal_table keeper_seal = {
	.room = "keeper",
	.call = calls,
	.ncalls = sizeof(calls) / sizeof(calls[0]),
};

/*
 * NOFILE is at the hard limit: a frame's flows need it, a child cannot raise it,
 * and it is what the kernel compares with when an fd is sent, so the nursery needs
 * it too.
 */
void
seal_keeper_limits(void)
{
	static const struct seal_limits	limits = { .nofile = UINT64_MAX,
					    .fsize = UINT64_MAX,
					    .as = UINT64_MAX };

	seal_rlimits(&limits);
}

/*
 * Root keeps what an id map of another id needs, and nothing else (CAP_SETFCAP where
 * a child is uid 0, as the recorder is if the log's directory is root's: without it
 * a map may not name that). A uid 0 without other ids has only itself to map, but
 * that takes CAP_SETFCAP too. A child in its new user namespace has its own full set
 * to give up.
 */
void
seal_keeper_caps(const struct keeper *k, uid_t child)
{
	static const unsigned int	ids[] = { CAP_SETGID, CAP_SETUID,
					    CAP_SETFCAP };

	if (k->privileged)
		seal_caps_keep(ids, child == 0 ? 3 : 2);
	else if (child == 0 && idmap_may_name_root())
		seal_caps_keep(ids + 2, 1);
	else
		seal_caps();
}

void
seal_keeper(const struct keeper *k)
{
	uid_t	uid;
	gid_t	gid;

	child_ids(k, ROLE_RECORDER, &uid, &gid);
	seal_keeper_caps(k, uid);
	seal_process("sallyportd", 0);
	seal_filter(&keeper_seal);
}
